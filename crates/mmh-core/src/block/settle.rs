//! Whether the codec that was chosen by a sample keeps its promise for all of a block, and which is taken if not.

use super::planned::{alone, attempt};
use crate::codec::{self, Block, Codec, Scratch, zstd};
use crate::error::Result;
use crate::plan::Choice;

/// A promise that is kept, over what was promised.
const KEPT: f64 = 1.01;

/// Appends the payload of the codec that was chosen, or of one whose bid is less than what that makes of the block.
pub(super) fn settle(
    choice: &Choice,
    block: &Block<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<u8> {
    let start = out.len();
    let len = block.data.len() as f64;
    let others = choice.others();
    let chosen = match others.first() {
        Some(&(other, estimate)) if is_hopeless(choice.codec, estimate * len, block, scratch) => other,
        _ => choice.codec,
    };
    let mut codec = attempt(chosen, block, scratch, out)?;
    if codec::is_difference(chosen.id()) {
        return Ok(codec);
    }
    for (other, estimate) in others {
        if (out.len() - start) as f64 <= estimate * len * KEPT {
            break;
        }
        if other.id() != chosen.id() {
            codec = alone(codec, start, other, block, scratch, out)?;
        }
    }
    Ok(codec)
}

/// Whether a codec had better not be tried, which was believed for a piece from the middle of the block: the slower levels of Zstandard take long
/// to find out what its fastest one shows.
fn is_hopeless(codec: &dyn Codec, size: f64, block: &Block<'_>, scratch: &mut Scratch) -> bool {
    codec.id() == zstd::ID && !zstd::is_near(block.data, size as usize, block.level, scratch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Given, Settings, encode};
    use crate::codec::{self, Level};
    use crate::dtype::Dtype;
    use crate::testing::noise;

    /// Sums of uniform numbers, bell-shaped as weights are.
    fn weights(n: usize, seed: u64) -> Vec<f32> {
        let uniform = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]) as f32 / 65536.0 - 0.5;
        noise(8 * n, seed).chunks(8).map(|c| c.chunks(2).map(uniform).sum::<f32>() * 0.05).collect()
    }

    fn bytes(w: impl IntoIterator<Item = f32>) -> Vec<u8> {
        w.into_iter().flat_map(f32::to_le_bytes).collect()
    }

    fn size(data: &[u8], level: Level, codec: Option<&'static dyn Codec>) -> usize {
        let given = Given { data, declared: Some(Dtype::F32), base: None, whole: true };
        let settings = Settings { level, codec, verify: true };
        encode(&given, &settings, &mut Scratch::default(), Vec::new()).unwrap().payload.len()
    }

    fn no_larger_than_alone(data: &[u8]) {
        for level in [Level::FAST, Level::BALANCED, Level::MAX] {
            let planned = size(data, level, None);
            let least = codec::CODECS.iter().map(|c| size(data, level, Some(*c))).min().unwrap();
            assert!(planned * 100 <= least * 101, "level {}: {planned}, alone {least}", level.get());
        }
    }

    #[test]
    fn a_middle_that_repeats_does_not_stand_for_all() {
        let mut w = weights(1 << 18, 1);
        let (row, at) = (w[..100].to_vec(), (1 << 17) - (1 << 12));
        w[at..at + (1 << 13)].iter_mut().enumerate().for_each(|(i, w)| *w = row[i * i / 50 % 100]);
        no_larger_than_alone(&bytes(w));
    }

    #[test]
    fn zeros_in_some_places_are_no_promise_for_others() {
        // Sparser in the middle than elsewhere.
        let zero = noise(1 << 19, 5);
        let w = weights(1 << 19, 2).into_iter().zip(zero).enumerate();
        let sparse = |i: usize| if (7 << 15..9 << 15).contains(&i) { 16 } else { 32 };
        no_larger_than_alone(&bytes(w.map(|(i, (w, z))| if z < sparse(i) { w } else { 0.0 })));
    }

    #[test]
    fn numbers_that_were_quantized_have_words() {
        // Codes of 4 bits times the scale of their group of 128: words of four bytes come again, of eight hardly ever.
        let codes = noise(1 << 18, 7);
        let scale = |group: usize| (3 + group * 7919 % 997) as f32 * 1.37e-5;
        let value = |(i, code): (usize, &u8)| (*code as f32 / 16.0).floor() * scale(i / 128);
        let data = bytes(codes.iter().enumerate().map(value));
        for level in [Level::BALANCED, Level::MAX] {
            let (planned, alone) = (size(&data, level, None), size(&data, level, Some(&zstd::Zstd)));
            assert!(planned * 100 <= alone * 101, "level {}: {planned}, zstd {alone}", level.get());
        }
        // Weights have none, and are not asked twice.
        let (data, scratch) = (bytes(weights(1 << 18, 4)), &mut Scratch::default());
        for level in [Level::BALANCED, Level::MAX] {
            assert!(!zstd::finds_words(&data, data.len(), level, scratch));
        }
    }

    #[test]
    fn sparse_numbers_are_not_given_to_the_slowest_levels_of_zstandard() {
        let zero = noise(1 << 18, 5);
        let data =
            bytes(weights(1 << 18, 3).into_iter().zip(zero).map(|(w, z)| if z < 128 { w } else { 0.0 }));
        let size = size(&data, Level::MAX, None);
        assert!(!zstd::is_near(&data, size, Level::MAX, &mut Scratch::default()));
        // Text is.
        let text = b"the quick brown fox jumps over the lazy dog; ".repeat(10_000);
        assert!(zstd::is_near(&text, 1000, Level::MAX, &mut Scratch::default()));
    }
}

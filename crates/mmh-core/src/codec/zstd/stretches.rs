//! Whether stretches of a block come again, from however far away: longer ones than a few words that are frequent make by chance.

/// Bytes of a stretch, and between the places where one may begin.
const STRETCH: usize = 32;
const STEP: usize = 4;

/// One in 2 to this power is looked at, chosen by its first bytes, so that the same are chosen wherever they stand.
const CHOSEN: u32 = 6;

/// Places to remember stretches at.
const SLOTS: usize = 1 << 12;

/// Fewer stretches tell nothing, and of so many one that comes again says something.
const FEWEST: u32 = 256;
const AGAIN: u32 = 32;

/// Whether one in some of the stretches has been there before, or too few were looked at to tell.
pub fn come_again(data: &[u8]) -> bool {
    let mut seen = [0u32; SLOTS];
    let (mut looked_at, mut again) = (0, 0);
    for at in (0..data.len().saturating_sub(STRETCH)).step_by(STEP) {
        let Some(stretch) = data[at..].first_chunk::<STRETCH>() else { break };
        let words = stretch.as_chunks::<8>().0;
        let mixed = u64::from_le_bytes(words[0]).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if mixed >> (64 - CHOSEN) != 1 {
            continue;
        }
        let key = words[1..].iter().fold(mixed, |key, word| {
            (key.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        });
        let slot = (key >> 52) as usize % SLOTS;
        again +=
            (std::mem::replace(&mut seen[slot], (key >> 16) as u32 | 1) == (key >> 16) as u32 | 1) as u32;
        looked_at += 1;
    }
    looked_at < FEWEST || again * AGAIN > looked_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    #[test]
    fn stretches_are_told_from_words() {
        // Frequent words in any order.
        let words: Vec<u8> = noise(1 << 18, 1).iter().flat_map(|b| [0x3c, *b & 15, 7, 9]).collect();
        assert!(!come_again(&words));
        // The same again, from far away.
        let mut twice = words[..1 << 19].to_vec();
        twice.extend_from_slice(&words[1 << 18..][..3 << 17]);
        assert!(come_again(&twice));
        // Nothing is known of few, as of a block that is zero.
        assert!(come_again(&vec![0; 1 << 20]));
        assert!(come_again(&words[..4096]));
    }
}

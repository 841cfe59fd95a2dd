//! Blocks: how a source is cut, and how one block becomes a frame and comes back.
//!
//! * `planned`: a payload by the codec that the plan picks, or by another one where that disappoints
//! * `settle`: whether the codec that was chosen keeps its promise for all of a block
//! * `tiny`: blocks for which all codecs are tried

use crate::codec::{self, Codec, Counterpart, Level, Scratch, tensor};
use crate::dtype::{Dtype, Kind};
use crate::error::{Error, Result};
use crate::io::ReadAt;
use crate::source::Layout;
use mmh_kernels::checksum;
use twox_hash::XxHash3_64;

mod planned;
mod settle;
mod tiny;

use planned::{forced, planned};

/// The most bytes that a block may restore, by the format.
pub const MAX_BLOCK: usize = 1 << 24;

/// Bytes that this writer puts into a block: large enough for its tables to weigh nothing, small enough to be read for a slice.
pub const BLOCK: usize = 1 << 20;

/// The same for floats at the levels at which numbers are predicted: what predicts a column from those before it takes some ten thousand bytes.
pub const LARGE_BLOCK: usize = 1 << 22;

/// The same for elements of one byte: as many of them as of two bytes, in as many groups that choose among codes.
pub const BYTE_BLOCK: usize = 1 << 19;

/// The same for bf16 at the fastest levels, where a block has one code and four groups are decoded together: larger blocks are no faster to restore,
/// and codes of their own for smaller ones save more than they cost.
pub const FAST_BF16_BLOCK: usize = 1 << 19;

/// Bytes of a block of a segment with this dtype at most, a whole number of its units; opaque bytes have none.
pub fn size_for(dtype: Option<Dtype>, level: Level) -> usize {
    // Texts go on from what is before them in their block.
    let Some(dtype) = dtype else { return BLOCK };
    let (elements, bytes) = dtype.unit();
    let is_bytes = elements >= bytes && dtype.kind() != Kind::Blocks;
    let size = match (level.get(), is_bytes) {
        (..=3, _) if dtype == Dtype::BF16 => FAST_BF16_BLOCK,
        (8, false) | (9.., _) if matches!(dtype.kind(), Kind::Float { .. }) => LARGE_BLOCK,
        (_, true) => BYTE_BLOCK,
        (_, false) => BLOCK,
    };
    size - size % bytes as usize
}

/// Bytes that blocks of opaque bytes are whole multiples of.
const PAGE: u64 = 4096;

/// A stretch of the source: a tensor, bytes between tensors whose elements are known, or opaque bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Source offset.
    pub start: u64,
    /// Bytes, at least 1; `u64::MAX − start` for the last one of a stream whose end is not known.
    pub len: u64,
    /// Position of the tensor in the layout.
    pub tensor: Option<usize>,
    /// Of the elements, where it is known.
    pub dtype: Option<Dtype>,
}

impl Segment {
    /// Bytes of each of its blocks but the last one, which may be shorter. Those of opaque bytes are as large as one another: a folder of sources
    /// is one such segment with few blocks, and threads that take one each then end together.
    pub fn block_size(&self, level: Level) -> usize {
        let most = size_for(self.dtype, level);
        if self.dtype.is_some() {
            return most;
        }
        let each = self.len.div_ceil(self.len.div_ceil(most as u64).max(1));
        each.next_multiple_of(PAGE).min(most as u64) as usize
    }
}

/// The segments of a source of `len` bytes (`None`: not known yet), in order, covering all of it.
pub fn segments(layout: &Layout, len: Option<u64>) -> Vec<Segment> {
    let tensors = layout.tensors.iter().enumerate();
    let tensors =
        tensors.map(|(i, t)| Segment { start: t.start, len: t.len, tensor: Some(i), dtype: Some(t.dtype) });
    let hints = layout.hints.iter();
    let hints = hints.map(|h| Segment { start: h.start, len: h.len, tensor: None, dtype: Some(h.dtype) });
    let mut known: Vec<Segment> = tensors.chain(hints).filter(|s| s.len > 0).collect();
    known.sort_by_key(|s| s.start);
    let mut all = Vec::with_capacity(2 * known.len() + 1);
    let mut at = 0;
    let opaque = |start, len| Segment { start, len, tensor: None, dtype: None };
    for s in known {
        if s.start > at {
            all.push(opaque(at, s.start - at));
        }
        at = s.start + s.len;
        all.push(s);
    }
    let end = len.unwrap_or(u64::MAX);
    if end > at {
        all.push(opaque(at, end - at));
    }
    all
}

/// A block that has become a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Codec id.
    pub codec: u8,
    /// Bytes that it restores.
    pub raw: u64,
    /// As the frame carries it.
    pub checksum: u64,
    /// What the frame holds.
    pub payload: Vec<u8>,
}

/// How to encode.
#[derive(Clone, Copy)]
pub struct Settings {
    /// Of the codecs.
    pub level: Level,
    /// The one codec to use; `None` lets the plan pick.
    pub codec: Option<&'static dyn Codec>,
    /// Decode each block again and compare.
    pub verify: bool,
}

/// The checksum of a run, which is determined by its payload and its length.
pub fn run_checksum(payload: &[u8], raw: u64) -> u64 {
    XxHash3_64::oneshot_with_seed(raw, payload)
}

/// What is known of a block that was encoded, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coded {
    /// Codec id.
    pub codec: u8,
    /// Bytes that it restores.
    pub raw: u64,
    /// As the frame carries it.
    pub checksum: u64,
}

/// What there is to encode.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// 1 to [`MAX_BLOCK`] bytes.
    pub data: &'a [u8],
    /// The dtype of the tensor that they belong to.
    pub declared: Option<Dtype>,
    /// The same stretch of a base.
    pub base: Option<Counterpart<'a>>,
    /// Whether it is all of its segment.
    pub whole: bool,
}

/// Encodes a block; `payload` lends its memory. The same block, base and settings give the same bytes.
pub fn encode(
    given: &Given<'_>,
    settings: &Settings,
    scratch: &mut Scratch,
    mut payload: Vec<u8>,
) -> Result<Encoded> {
    payload.clear();
    let Coded { codec, raw, checksum } = encode_into(given, settings, scratch, &mut payload)?;
    Ok(Encoded { codec, raw, checksum, payload })
}

/// The same, with the payload appended to `out`.
pub fn encode_into(
    given: &Given<'_>,
    settings: &Settings,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<Coded> {
    // First of all, as it goes through the block from end to end: samples, which come from all over it, then find it in the cache.
    encode_summed(given, checksum::xxh3(given.data), settings, scratch, out)
}

/// The same of a block whose checksum is known.
pub fn encode_summed(
    given: &Given<'_>,
    of_data: u64,
    settings: &Settings,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<Coded> {
    let start = out.len();
    let data = given.data;
    let codec = match settings.codec {
        Some(codec) => forced(codec, given, settings.level, scratch, out)?,
        None => planned(given, settings.level, scratch, out)?,
    };
    let payload = &out[start..];
    let raw = data.len() as u64;
    let checksum = if codec::is_run(codec) { run_checksum(payload, raw) } else { of_data };
    let coded = Coded { codec, raw, checksum };
    if settings.verify && codec != codec::store::ID {
        self_check(given, &coded, payload, scratch)?;
    }
    Ok(coded)
}

fn self_check(given: &Given<'_>, coded: &Coded, payload: &[u8], scratch: &mut Scratch) -> Result<()> {
    let data = given.data;
    let mut back = std::mem::take(&mut scratch.check);
    back.resize(data.len().max(back.len()), 0);
    let out = &mut back[..data.len()];
    let base = given.base.as_ref().map(|b| b as &dyn ReadAt);
    // Bytes that are the same have the same checksum.
    let check = codec::is_run(coded.codec);
    let result = decode(coded.codec, payload, coded.checksum, base, out, check, scratch);
    let same = *out == *data;
    scratch.check = back;
    match result {
        Ok(()) if same => Ok(()),
        Ok(()) => Err(Error::SelfCheck(format!("{} gave other bytes", codec::name_of(coded.codec)))),
        Err(e) => Err(Error::SelfCheck(e.to_string())),
    }
}

/// Restores a block, or a run that fits into memory, into all of `out`, with the help of `base` if it is needed; compares the checksum if
/// `check`.
pub fn decode(
    codec: u8,
    payload: &[u8],
    checksum: u64,
    base: Option<&dyn ReadAt>,
    out: &mut [u8],
    check: bool,
    scratch: &mut Scratch,
) -> Result<()> {
    let known = codec::by_id(codec).ok_or_else(|| {
        Error::Unsupported(format!(
            "codec {codec}: this version ({}) does not know it",
            env!("CARGO_PKG_VERSION")
        ))
    })?;
    if codec::is_run(codec) && check {
        check_run(payload, checksum, out.len() as u64)?;
    }
    scratch.tensor.is_far = scratch.is_far && codec == tensor::ID;
    scratch.tensor.sum = None;
    let done = known.decode_with(payload, base, out, scratch);
    scratch.tensor.is_far = false;
    done?;
    if check && !codec::is_run(codec) {
        // Other codecs have it decode a part of theirs.
        let taken = scratch.tensor.sum.filter(|_| codec == tensor::ID);
        let found = taken.unwrap_or_else(|| checksum::xxh3(out));
        if found != checksum {
            return Err(mismatch(checksum, found));
        }
    }
    Ok(())
}

/// Compares the checksum of a run.
pub fn check_run(payload: &[u8], checksum: u64, raw: u64) -> Result<()> {
    match run_checksum(payload, raw) {
        found if found == checksum => Ok(()),
        found => Err(mismatch(checksum, found)),
    }
}

fn mismatch(expected: u64, found: u64) -> Error {
    Error::corrupt(format!("block checksum: expected {expected:016x}, found {found:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::symbols::{GROUP, MOST_SIDE_BY_SIDE, SIDE_BY_SIDE};
    use crate::codec::{pattern251, zstd};
    use crate::plan;
    use crate::testing::noise;

    fn coded(data: &[u8], level: Level) -> (u8, usize) {
        let settings = Settings { level, codec: None, verify: true };
        let given = Given { data, declared: None, base: None, whole: false };
        let mut out = Vec::new();
        let coded = encode_into(&given, &settings, &mut Scratch::default(), &mut out).unwrap();
        (coded.codec, out.len())
    }

    #[test]
    fn opaque_bytes_are_cut_into_equal_parts() {
        let of =
            |len| Segment { start: 0, len, tensor: None, dtype: None }.block_size(Level::BALANCED) as u64;
        for len in [1, 4096, 1 << 20, (1 << 20) + 1, 1_500_000, 10_000_001, u64::MAX] {
            let (size, count) = (of(len), len.div_ceil(of(len)));
            assert!(size > 0 && size <= BLOCK as u64, "{len}");
            assert_eq!(count, len.div_ceil(BLOCK as u64), "{len}");
            assert!(len - (count - 1) * size >= size - size.min(count * PAGE), "{len}");
        }
        let tensor = Segment { start: 0, len: 1_500_000, tensor: Some(0), dtype: Some(Dtype::BF16) };
        assert_eq!(tensor.block_size(Level::BALANCED), BLOCK);
    }

    #[test]
    fn blocks_at_fast_have_as_many_groups_as_are_decoded_side_by_side() {
        for (dtype, side_by_side) in [
            (Dtype::F32, MOST_SIDE_BY_SIDE),
            (Dtype::F16, MOST_SIDE_BY_SIDE),
            (Dtype::U8, MOST_SIDE_BY_SIDE),
            (Dtype::BF16, SIDE_BY_SIDE),
        ] {
            let groups = size_for(Some(dtype), Level::FAST) / (GROUP * dtype.unit().1 as usize);
            assert!(groups >= side_by_side && groups.is_multiple_of(side_by_side), "{dtype:?} {groups}");
        }
    }

    #[test]
    fn opaque_bytes_are_no_larger_than_by_zstandard_alone() {
        // Five bytes from a book of 20,000 behind some of few values, at any place: words that no sample of a few pages shows to come again.
        let book = noise(5 * 20_000, 3);
        let record = |r: &[u8]| {
            let at = u16::from_le_bytes([r[0], r[1]]) as usize % 20_000 * 5;
            [vec![r[2] & 0x1f; (r[3] % 3) as usize + 1], book[at..at + 5].to_vec()].concat()
        };
        let data: Vec<u8> = noise(4 * 150_000, 4).chunks(4).flat_map(record).collect();
        let data = &data[..BLOCK];
        let mut alone = Vec::new();
        let given = Given { data, declared: None, base: None, whole: false };
        let settings = Settings { level: Level::BALANCED, codec: Some(&zstd::Zstd), verify: true };
        encode_into(&given, &settings, &mut Scratch::default(), &mut alone).unwrap();
        let (codec, stored) = coded(data, Level::BALANCED);
        assert!(stored * 100 <= alone.len() * 101, "{codec}: {stored}, zstd {}", alone.len());
    }

    #[test]
    fn texts_are_not_planned_for() {
        let words: Vec<&str> = include_str!("block.rs").split_inclusive(' ').collect();
        let pick = |b: &[u8]| words[u16::from_le_bytes([b[0], b[1]]) as usize % words.len()];
        let source: String = noise(400_000, 1).chunks(2).map(pick).collect();
        for level in [Level::FAST, Level::BALANCED, Level::MAX] {
            for len in [10_000, 100_000, 800_000] {
                let data = &source.as_bytes()[..len];
                let planned = plan::choose(data, None, level, &mut Scratch::default()).codec.id();
                assert_eq!((coded(data, level).0, planned), (zstd::ID, zstd::ID), "{len}");
            }
        }
        assert_eq!(coded(&b"0123456789 ".repeat(10_000), Level::BALANCED), (pattern251::ID, 11));
    }

    #[test]
    fn what_is_far_apart_twice_is_found() {
        let once = noise(250_000, 3);
        let data = [&once[..], &noise(150_000, 4), &once].concat();
        for level in [Level::FAST, Level::BALANCED, Level::MAX] {
            let (codec, stored) = coded(&data, level);
            assert_eq!(codec, zstd::ID);
            assert!(stored < 410_000, "{stored}");
            assert_eq!(coded(&data[..400_000], level).0, codec::store::ID);
        }
    }

    #[test]
    fn small_files_of_several_kinds_are_not_planned_for() {
        let mut archive = Vec::new();
        for i in 0..40u64 {
            let mut header = [0; 512];
            header[..4].copy_from_slice(&[b'f', b'0' + (i / 10) as u8, b'0' + (i % 10) as u8, 0]);
            header[257..263].copy_from_slice(b"ustar\0");
            archive.extend(header);
            match i % 3 {
                0 => archive.extend(noise(8192, i)),
                1 => archive.extend(include_bytes!("block.rs")[..8192].iter().map(|b| b ^ (i as u8 & 7))),
                _ => archive.extend((0..2048u32).flat_map(|n| (n * 3 + i as u32).to_le_bytes())),
            }
        }
        let mut scratch = Scratch::default();
        assert!(plan::is_mixed(&archive, &mut scratch));
        assert_eq!(coded(&archive, Level::FAST).0, zstd::ID);
        // Without the headers nobody knows that it is an archive; noise is of one kind, and so are numbers.
        let bare: Vec<u8> = archive.chunks(8704).flat_map(|file| &file[512..]).copied().collect();
        assert!(!plan::is_mixed(&bare, &mut scratch));
        let mut numbers = archive.clone();
        numbers.chunks_mut(8704).for_each(|file| (512..8704).for_each(|at| file[at] = (at / 8) as u8));
        assert!(!plan::is_mixed(&numbers, &mut scratch));
    }
}

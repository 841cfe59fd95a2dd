//! Zstandard frames, through the reference library.
//!
//! * `prefix`: frames that go on from what the first frame restores
//! * `stretches`: whether stretches come again, from however far away

use super::symbols::entropy;
use super::{Block, Codec, Level};
use crate::dtype::{Dtype, Kind};
use crate::error::{Error, Result};
use crate::plan::{Bid, Sample};
use std::io::Cursor;
use zstd_safe::{
    CCtx, CParameter, DCtx, ErrorCode, InBuffer, OutBuffer, ResetDirective, compress_bound,
    zstd_sys::ZSTD_EndDirective as End,
};

pub mod prefix;
mod stretches;

/// `spec/codecs/zstd.md`
pub struct Zstd;

/// Its id.
pub const ID: u8 = 3;

/// Contexts, kept from block to block: making one costs more than a small block.
#[derive(Default)]
pub struct Scratch {
    compress: Option<CCtx<'static>>,
    decompress: Option<DCtx<'static>>,
}

/// zstd's own level. Small blocks of tensors are tables, where time does not matter and every byte does. Bytes that are in no tensor are few
/// beside tensors, but a folder of sources is all of them: there each level buys what it costs (`docs/design/0010-folders.md`).
fn level_for(level: Level, len: usize, opaque: bool) -> i32 {
    match (level.get(), len) {
        (1, _) => 1,
        (2..=3, _) if opaque => 3,
        (4..=5, 0..=0x3ffff) if opaque => 6,
        (6, 0x10000..) if opaque => 7,
        (2..=3, 0..=0x3ffff) => 3,
        (2..=3, _) => 2,
        (4..=6, 0..=0xffff) => 12,
        (4..=6, 0x10000..=0x3ffff) => 6,
        (4..=6, _) => 3,
        (7, _) => 12,
        (8, _) => 17,
        _ => 22,
    }
}

/// Up to this level floats are left to their own codec, which decodes them ten times as fast, unless what this one saves is clear.
const FAST_NUMBERS: u8 = 3;

/// Whether a ratio that was tried is clearly less than what the codec of numbers makes of the block: an eighth.
fn saves(ratio: f64, sample: &Sample<'_>) -> bool {
    sample.split().is_none_or(|found| ratio * 8.0 <= found.ratio(sample.block().len()) * 7.0)
}

/// Up to this level compressing takes little longer than at the fastest.
const FAST: i32 = 3;

/// From this level on a block may take a second.
const SLOW: i32 = 13;

/// Bytes that are compressed at a time there: a block of Zstandard.
const PIECE: usize = 128 << 10;

fn failed(e: ErrorCode) -> Error {
    Error::SelfCheck(format!("zstd: {}", zstd_safe::get_error_name(e)))
}

/// Compresses a piece at a time; between them `go_on` may end it.
fn compress_slowly(
    data: &[u8],
    level: i32,
    scratch: &mut Scratch,
    go_on: impl Fn() -> Result<()>,
    out: &mut Vec<u8>,
) -> Result<usize> {
    let start = out.len();
    out.resize(start + compress_bound(data.len()), 0);
    let context = scratch.compress.get_or_insert_with(CCtx::create);
    context.reset(ResetDirective::SessionAndParameters).map_err(failed)?;
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
    context.set_pledged_src_size(Some(data.len() as u64)).map_err(failed)?;
    let mut target = OutBuffer::around(&mut out[start..]);
    let mut pieces = data.chunks(PIECE).peekable();
    while let Some(piece) = pieces.next() {
        go_on()?;
        let (mut input, last) = (InBuffer::around(piece), pieces.peek().is_none());
        let how = if last { End::ZSTD_e_end } else { End::ZSTD_e_continue };
        // There is room for all of it, so each call makes some way.
        while context.compress_stream2(&mut target, &mut input, how).map_err(failed)? > 0 && last
            || input.pos() < piece.len()
        {}
    }
    let n = target.pos();
    out.truncate(start + n);
    Ok(n)
}

fn compress(data: &[u8], level: i32, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<usize> {
    let context = scratch.compress.get_or_insert_with(CCtx::create);
    append(data.len(), out, |room| context.compress(room, data, level))
}

/// Appends the frame of `len` bytes that `write` makes, in room that is not filled with zeros before.
fn append(
    len: usize,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Cursor<&mut Vec<u8>>) -> std::result::Result<usize, ErrorCode>,
) -> Result<usize> {
    let start = out.len();
    out.reserve(compress_bound(len));
    let mut room = Cursor::new(out);
    room.set_position(start as u64);
    write(&mut room).map_err(failed)
}

/// Appends `data` as one frame, as small as it gets in little time.
pub fn compress_whole(data: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let level = if data.len() <= 1 << 18 { 12 } else { 3 };
    let mut packed = Vec::new();
    compress(data, level, &mut Scratch::default(), &mut packed)?;
    out.append(&mut packed);
    Ok(())
}

/// Restores all of `out` from one frame.
pub fn decompress_whole(frame: &[u8], out: &mut [u8]) -> Result<()> {
    Zstd.decode(frame, out, &mut super::Scratch::default())
}

/// Size of `data` over its size compressed at level 1, for estimates.
pub fn quick_ratio(data: &[u8], scratch: &mut Scratch) -> Option<f64> {
    let mut out = Vec::new();
    let n = compress(data, 1, scratch, &mut out).ok()?;
    Some(n as f64 / data.len().max(1) as f64)
}

/// What the slower levels of Zstandard take off what a fast one makes that looks for words of four bytes, at most, where words that come again have been
/// taken out of as many bytes: a tenth. Sparse numbers are what they are slowest at, some MB a second.
const MORE: f64 = 0.9;

/// The same of what it makes of a glance, in which fewer words come again than in a part.
const MUCH_MORE: f64 = 0.75;

/// Blocks up to this size are tried without a question.
const SOON: usize = 128 << 10;

/// Whether a block may become as small as `size`, by what a fast level makes of it, if that is much faster than the one for `level`.
pub fn is_near(data: &[u8], size: usize, level: Level, scratch: &mut super::Scratch) -> bool {
    if data.len() <= SOON || level_for(level, data.len(), false) <= FAST {
        return true;
    }
    let quick = quick_size(data, &mut scratch.zstd);
    quick.is_none_or(|quick| quick as f64 * MORE <= size as f64)
}

/// Bytes of the part that tells whether Zstandard finds anything close by.
const PART: usize = 1 << 16;

/// Whether a block, whose words that come again have been taken out to make it `size` bytes, may become smaller: where a part of it would, or where
/// stretches come again, from however far away; and [`is_near`] says so.
pub fn may_be_smaller(data: &[u8], size: usize, level: Level, scratch: &mut super::Scratch) -> bool {
    if data.len() > SOON && !stretches::come_again(data) {
        let part = &data[data.len() / 4..][..PART];
        if !leaves_as_little(part, data, size, MORE, scratch) {
            return false;
        }
    }
    is_near(data, size, level, scratch)
}

/// Whether a fast level makes a part of a block smaller than that is of a block of `size` bytes.
pub fn makes_a_part_smaller(data: &[u8], size: usize, scratch: &mut super::Scratch) -> bool {
    let part = &data[data.len() / 4..][..PART.min(data.len() - data.len() / 4)];
    leaves_as_little(part, data, size, 1.0, scratch)
}

/// Whether a fast level leaves of a part, times what other levels or more bytes may take off that, as little as `size` is of all of `data`.
fn leaves_as_little(part: &[u8], data: &[u8], size: usize, more: f64, scratch: &mut super::Scratch) -> bool {
    let quick = quick_size(part, &mut scratch.zstd);
    quick.is_some_and(|quick| quick as f64 * more <= share(size, part, data))
}

/// What a part takes of the `size` bytes that all of `data` takes, if every part takes as much.
fn share(size: usize, part: &[u8], data: &[u8]) -> f64 {
    size as f64 * part.len() as f64 / data.len() as f64
}

/// What words that come again leave of a part of a block, at most, of what its bytes take by how often each comes, where they are worth a search
/// at the slower levels: numbers that are bell-shaped stay above it.
const WORDS: f64 = 0.97;

/// The fastest level that looks for words in a part of any block; before, there have to be some that a glance finds.
const PATIENT: u8 = 7;

/// Whether words come again in a part of a block often enough that the block may become smaller than `size`.
pub fn finds_words(data: &[u8], size: usize, level: Level, scratch: &mut super::Scratch) -> bool {
    let from = if data.len() > 2 * PART { data.len() / 4 } else { 0 };
    let part = &data[from..data.len().min(from + PART)];
    if level.get() < PATIENT {
        let glance = &part[..part.len().min(GLANCE)];
        if !short_words_come_again(glance) || !leaves_as_little(glance, data, size, MUCH_MORE, scratch) {
            return false;
        }
    }
    let bytes = entropy::of_bytes(part).0 as f64 / 8.0;
    let Some(quick) = quick_size(part, &mut scratch.zstd).map(|quick| quick as f64) else { return false };
    quick < bytes * WORDS && quick * MORE <= share(size, part, data) && is_near(data, size, level, scratch)
}

/// Whether words of four bytes come again somewhere in a block, which consists of so many parts that may be unlike one another.
pub fn words_come_again(data: &[u8], parts: usize) -> bool {
    let glances = data.chunks(data.len().div_ceil(parts).next_multiple_of(4));
    glances.into_iter().any(|part| short_words_come_again(&part[..part.len().min(GLANCE)]))
}

/// Bytes of the glance.
const GLANCE: usize = 1 << 14;

/// Whether one word of four bytes in 16 came before, of those at multiples of four, as in numbers that were quantized, or upper halves of times.
/// Zeros, which sparse numbers have, do not count.
fn short_words_come_again(piece: &[u8]) -> bool {
    const SLOTS: usize = 1 << 12;
    // Of the word that was there last so many bits; odd, as 0 is none.
    let mut last = [0u16; SLOTS];
    let (mut words, mut again) = (0u32, 0u32);
    for bytes in piece.as_chunks::<4>().0 {
        let word = u32::from_le_bytes(*bytes);
        let mixed = (word as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let (slot, of_word) = ((mixed >> 52) as usize % SLOTS, (mixed >> 36) as u16 | 1);
        let counts = word != word.rotate_left(8);
        again += (counts & (std::mem::replace(&mut last[slot], of_word) == of_word)) as u32;
        words += counts as u32;
    }
    words >= 256 && again * 16 > words
}

/// The size at a fast level that looks for words of four bytes: numbers are no longer, and the fastest levels look for five and more.
fn quick_size(data: &[u8], scratch: &mut Scratch) -> Option<usize> {
    let context = scratch.compress.get_or_insert_with(CCtx::create);
    context.reset(ResetDirective::SessionAndParameters).ok()?;
    context.set_parameter(CParameter::CompressionLevel(FAST)).ok()?;
    context.set_parameter(CParameter::MinMatch(4)).ok()?;
    let size = append(data.len(), &mut Vec::new(), |room| context.compress2(room, data)).ok();
    context.reset(ResetDirective::SessionAndParameters).ok()?;
    size
}

/// Appends the frame, and gives its size.
fn encode_at(data: &[u8], level: i32, scratch: &mut super::Scratch, out: &mut Vec<u8>) -> Result<usize> {
    let super::Scratch { zstd, watch, .. } = scratch;
    if level >= SLOW && data.len() > PIECE {
        compress_slowly(data, level, zstd, || watch.as_ref().map_or(Ok(()), |w| w.check()), out)
    } else {
        compress(data, level, zstd, out)
    }
}

/// Appends the frame of a short stretch beside tensors, where time does not matter and every byte does.
pub fn encode_closely(
    data: &[u8],
    level: Level,
    scratch: &mut super::Scratch,
    out: &mut Vec<u8>,
) -> Result<usize> {
    encode_at(data, level_for(level, data.len(), false), scratch, out)
}

/// Appends the frame of strings that stand close together. They were twice as many bytes with the lengths between them, which leaves time to look
/// more closely.
pub fn encode_strings(
    data: &[u8],
    level: Level,
    scratch: &mut super::Scratch,
    out: &mut Vec<u8>,
) -> Result<usize> {
    let least = if level.get() >= 4 { 6 } else { 1 };
    encode_at(data, level_for(level, data.len(), false).max(least), scratch, out)
}

impl Codec for Zstd {
    fn id(&self) -> u8 {
        ID
    }

    fn name(&self) -> &'static str {
        "zstd"
    }

    fn bid(&self, sample: &Sample<'_>) -> Bid {
        // Numbers that count up never come again, but all of their upper bytes do.
        let wide =
            |d: Dtype| matches!(d.kind(), Kind::Signed | Kind::Unsigned) && matches!(d.unit(), (1, 4..));
        if !sample.is_text() && !sample.repeats() && !sample.declared().is_some_and(wide) {
            return Bid::none("no repeated words");
        }
        let hurried = sample.level().get() <= FAST_NUMBERS
            && sample.declared().is_some_and(|d| matches!(d.kind(), Kind::Float { .. }));
        if hurried && !sample.repeats_often() {
            return Bid::none("few repeated words");
        }
        let ratio = quick_ratio(sample.piece(), &mut sample.scratch().zstd);
        match ratio {
            Some(r) if hurried && !saves(r, sample) => Bid::none("saves too little beside numbers' codec"),
            Some(r) => Bid::of(r, "tried on the sample"),
            None => Bid::none("zstd failed"),
        }
    }

    fn encode(&self, block: &Block<'_>, scratch: &mut super::Scratch, out: &mut Vec<u8>) -> Result<bool> {
        let level = level_for(block.level, block.data.len(), block.declared.is_none());
        let n = encode_at(block.data, level, scratch, out)?;
        Ok(n < block.data.len())
    }

    fn decode(&self, payload: &[u8], out: &mut [u8], scratch: &mut super::Scratch) -> Result<()> {
        one_frame(payload)?;
        let context = scratch.zstd.decompress.get_or_insert_with(DCtx::create);
        match context.decompress(out, payload) {
            Ok(n) if n == out.len() => Ok(()),
            Ok(n) => Err(Error::corrupt(format!("zstd: expected {} bytes, found {n}", out.len()))),
            Err(e) => Err(corrupt("zstd", e)),
        }
    }
}

/// Refuses what is not one frame. The library would go on to further ones.
fn one_frame(payload: &[u8]) -> Result<()> {
    match zstd_safe::find_frame_compressed_size(payload) {
        Ok(n) if n == payload.len() => Ok(()),
        Ok(n) => {
            Err(Error::corrupt(format!("zstd: expected one frame of {} bytes, found {n}", payload.len())))
        }
        Err(e) => Err(corrupt("zstd", e)),
    }
}

fn corrupt(codec: &str, e: ErrorCode) -> Error {
    Error::corrupt(format!("{codec}: {}", zstd_safe::get_error_name(e)))
}

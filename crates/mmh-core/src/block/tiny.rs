//! Tiny blocks: all codecs are tried, as a sample would be no smaller.

use super::Given;
use super::planned::{MODELS, attempt};
use crate::codec::symbols::entropy;
use crate::codec::{self, Block, Codec, Level, Scratch, pattern251, zstd};
use crate::error::{Error, Result};
use crate::plan;

/// Blocks up to this size are encoded with all codecs.
pub(super) const TINY: usize = 16_384;

/// Blocks up to this size that nobody declared are seldom numbers.
const SHORT: usize = 1024;

/// Encodes a tiny block with every codec that may make it smallest, and keeps the smallest.
pub(super) fn smallest(
    given: &Given<'_>,
    level: Level,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<u8> {
    let &Given { data, declared, base, .. } = given;
    if pattern251::find(data).is_some() {
        let choice = plan::choose_given(given, level, scratch);
        return attempt(choice.codec, &choice.block(data, declared, level, base), scratch, out);
    }
    let mut best = (codec::store::ID, data.to_vec());
    let mut all_of = |codecs: &[&dyn Codec], block: &Block<'_>, scratch: &mut Scratch| {
        for codec in codecs {
            let mut candidate = Vec::new();
            if codec.encode(block, scratch, &mut candidate)? && candidate.len() < best.1.len() {
                best = (codec.id(), candidate);
            }
        }
        Ok::<_, Error>(best.1.len())
    };
    let bare = Block { data, declared, element: None, level, split: None, structure: None, base };
    // A thorough search for words that come again takes several times as long as all else; numbers seldom have any, as a quick one tells.
    let quick = declared.is_some() && data.len() >= SHORT && level > Level::FAST && level.get() < MODELS;
    let first = Block { level: if quick { Level::FAST } else { level }, ..bare };
    let size = all_of(&codec::GENERAL, &first, scratch)?;
    let is_known = declared.is_some() || base.is_some();
    if is_known || !is_header(data.len(), size) {
        let choice = plan::prepare_given(given, level, scratch);
        let best = all_of(&codec::SPECIAL, &choice.block(data, declared, level, base), scratch)?;
        if quick && words_may_pay(data, size, best) {
            all_of(&[&zstd::Zstd], &bare, scratch)?;
        }
    }
    out.extend_from_slice(&best.1);
    Ok(best.0)
}

/// Whether a thorough search for words may make a tiny block smaller than `best`, of which a quick one left `size` bytes: where words save more than
/// the values of bytes do, or these are few, it often saves a good part again; else hardly anything.
fn words_may_pay(data: &[u8], size: usize, best: usize) -> bool {
    let (bits, _) = entropy::of_bytes(data);
    // Of few values, many words come again that a quick search does not find.
    let has_words = 8 * size as u64 * 100 < bits * 97 || bits < 5 * data.len() as u64;
    100 * size <= if has_words { 135 } else { 103 } * best
}

/// Whether a tiny block that nobody declared, of which words that come again leave so many bytes, is what stands between tensors. The codecs of
/// numbers gain nothing there, and take several times as long as the others to find that out. Of numbers few words come again.
fn is_header(len: usize, size: usize) -> bool {
    3 * size <= len || len < SHORT && 4 * size <= 3 * len
}

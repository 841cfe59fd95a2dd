//! The payload of a block by the codec that the plan picks, and second thoughts: what the plan could not know from a sample, the size that a codec came to tells.

use super::Given;
use super::settle::settle;
use super::tiny::{TINY, smallest};
use crate::codec::hierarchical::Found as Structure;
use crate::codec::{self, Block, Codec, Level, Scratch, hierarchical, pattern251, store, tensor, zstd};
use crate::dtype::Kind;
use crate::error::Result;
use crate::plan::{self, Choice};

/// The fastest level whose groups of numbers have a choice of codes.
const CHOICE_OF_CODES: u8 = 4;

/// The fastest level that has models of numbers.
pub(super) const MODELS: u8 = 7;

/// What models leave of numbers at the least, where they save much.
const SAVED_BY_MODELS: f64 = 0.9;

/// Encodes with the codec asked for; stores what it cannot make smaller.
pub(super) fn forced(
    codec: &'static dyn Codec,
    given: &Given<'_>,
    level: Level,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<u8> {
    // The plan is asked for the element type, which opaque bytes do not declare.
    let &Given { data, declared, base, .. } = given;
    let mut choice = plan::choose_given(given, level, scratch);
    choice.element = choice.element.or_else(|| plan::element_of(given, level, scratch));
    attempt(codec, &choice.block(data, declared, level, base), scratch, out)
}

/// Encodes with the codec that the plan picks.
pub(super) fn planned(
    given: &Given<'_>,
    level: Level,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<u8> {
    let &Given { data, declared, base, whole } = given;
    if let Some(counterpart) = base.filter(|b| b.bytes == data)
        && pattern251::find(data).is_none()
    {
        // Weights that were frozen, or cast: there is nothing to plan.
        let block = Block { data, declared, element: None, level, split: None, structure: None, base };
        return attempt(codec::of_origin(counterpart.origin), &block, scratch, out);
    }
    if declared.is_none() && base.is_none() {
        // A text, or an archive of small files: what else the plan would look at, to come to the same end, takes a tenth of the time. Where there is
        // time, more can be found in an archive.
        let is_text = plan::is_text_block(data);
        if is_text || level.get() <= 6 && plan::is_mixed(data, scratch) {
            let period = pattern251::find(data);
            // One period of a text may be made smaller itself.
            if !(is_text && whole && period.is_some()) {
                return text(data, period, level, scratch, out);
            }
        }
    }
    if data.len() <= TINY {
        return smallest(given, level, scratch, out);
    }
    let choice = plan::choose_given(given, level, scratch);
    let block = choice.block(data, declared, level, base);
    let start = out.len();
    let mut codec = settle(&choice, &block, scratch, out)?;
    if let Some(other) = second_thought(&choice, &block, codec, out.len() - start, scratch) {
        codec = alone(codec, start, other, &block, scratch, out)?;
    }
    if may_have_words(&choice, level, codec) && zstd::finds_words(data, out.len() - start, level, scratch) {
        return alone(codec, start, &zstd::Zstd, &block, scratch, out);
    }
    Ok(codec)
}

/// Another codec that may make a block smaller than `codec` did, which left `stored` bytes; the first reason counts.
fn second_thought(
    choice: &Choice,
    block: &Block<'_>,
    codec: u8,
    stored: usize,
    scratch: &mut Scratch,
) -> Option<&'static dyn Codec> {
    let (level, len) = (block.level.get(), block.data.len());
    let is_hierarchical = codec == hierarchical::ID;
    let structure = choice.structure.as_ref();
    let is_float = choice.element.is_some_and(|e| matches!(e.kind, Kind::Float { .. }));
    let models_save_much =
        || choice.estimate_of(tensor::ID).is_some_and(|e| e * len as f64 * SAVED_BY_MODELS < stored as f64);
    if let Some((other, estimate)) = choice.alone()
        && codec::is_difference(choice.codec.id())
        && stored as f64 > estimate * len as f64
    {
        return Some(other);
    }
    match structure {
        // All of the block was looked at; or what is in it has no words.
        Some(Structure::Strings(_) | Structure::Period(_) | Structure::Packed(_)) => return None,
        // Zeros among numbers come again, but nothing else does; what models would make of them is asked below.
        Some(Structure::Sparse(_)) if is_hierarchical && block.declared.is_some() && level < MODELS => {
            return None;
        }
        _ => {}
    }
    // Bytes of which nothing is known may be of several kinds, and what was looked at of one.
    if block.declared.is_none()
        && codec != zstd::ID
        && (choice.estimate_of(zstd::ID).is_some()
            || choice.has_disappointed(stored, len)
            || (CHOICE_OF_CODES..MODELS).contains(&level)
                && codec != store::ID
                && zstd::makes_a_part_smaller(block.data, stored, scratch))
    {
        return Some(&zstd::Zstd);
    }
    match structure {
        // Floats on several scales, which steps are for, are smaller than they were bid for where groups choose among codes.
        Some(Structure::Steps(_)) if is_hierarchical && level >= CHOICE_OF_CODES && is_float => {
            Some(&tensor::Tensor)
        }
        // Models make numbers smaller than they were bid for.
        Some(_) if is_hierarchical && level >= MODELS && models_save_much() => Some(&tensor::Tensor),
        // Zeros at the bottom of the sample need not be there in all of the block, where values of a grid are.
        Some(Structure::Scaled(_)) if codec == tensor::ID && choice.has_disappointed(stored, len) => {
            Some(&hierarchical::Hierarchical)
        }
        // Values of a grid have no words but by chance.
        Some(Structure::Scaled(_)) if level < MODELS => None,
        // Where words come again, longer stretches may, from further away than the piece reaches.
        Some(_) if is_hierarchical && zstd::may_be_smaller(block.data, stored, block.level, scratch) => {
            Some(&zstd::Zstd)
        }
        _ => None,
    }
}

/// Whether words of four bytes may come again in what `codec` made smaller: the plan looks for words of eight.
fn may_have_words(choice: &Choice, level: Level, codec: u8) -> bool {
    let is_scaled = codec == hierarchical::ID && matches!(choice.structure, Some(Structure::Scaled(_)));
    level.get() >= CHOICE_OF_CODES
        && [hierarchical::ID, tensor::ID, store::ID].contains(&codec)
        && (level.get() >= MODELS || choice.estimate_of(zstd::ID).is_none() && !is_scaled)
}

/// A text: there are many in a directory of sources, and hardly ever another codec makes them as small.
fn text(
    data: &[u8],
    period: Option<usize>,
    level: Level,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<u8> {
    let block =
        Block { data, declared: None, element: None, level, split: None, structure: None, base: None };
    match period {
        Some(_) => attempt(&pattern251::Pattern251, &block, scratch, out),
        None => attempt(&zstd::Zstd, &block, scratch, out),
    }
}

/// The choice may have disappointed: what is in `out` from `start` on gives way to what `other` makes of the block, if that is smaller.
pub(super) fn alone(
    codec: u8,
    start: usize,
    other: &'static dyn Codec,
    block: &Block<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<u8> {
    let end = out.len();
    let found = attempt(other, block, scratch, out)?;
    if out.len() - end < end - start {
        out.drain(start..end);
        return Ok(found);
    }
    out.truncate(end);
    Ok(codec)
}

pub(super) fn attempt(
    codec: &'static dyn Codec,
    block: &Block<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<u8> {
    let start = out.len();
    if codec.encode(block, scratch, out)? && out.len() - start < block.data.len() {
        return Ok(codec.id());
    }
    out.truncate(start);
    out.extend_from_slice(block.data);
    Ok(store::ID)
}

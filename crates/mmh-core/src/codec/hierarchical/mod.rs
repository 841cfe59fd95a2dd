//! Structure at several scales: records field by field; floats that were printed in decimal; weights that were quantized and expanded again; strings apart from their lengths; varints; integers in order; values of a few bits, bit after bit; elements beside one that is frequent; one period of what repeats; words that are few, as
//! numbers in a codebook; what is not in it, passed down to narrower words and at last to another codec. `spec/codecs/hierarchical.md` is the definition.
//!
//! * `node`: what a payload is made of, and which of it may stand where
//! * `records`: fields of a few bits at fixed places
//! * `formats`: where GGUF's quantized types have theirs
//! * `decimals`: floats that were printed in decimal
//! * `scaled`: weights that were quantized and expanded again
//! * `steps`: integers of which each is a small step from the one before
//! * `packed`: values of a few bits, one behind the other
//! * `sparse`: one frequent word apart from the other elements
//! * `period`: one period of what repeats
//! * `strings`: strings behind their lengths
//! * `varints`: integers of seven bits a byte
//! * `words`: codebooks: whether one would pay, what is in it, the numbers of the words

use super::{Block, Codec};
use crate::container::varint;
use crate::error::{Error, Result};
use crate::plan::{Bid, Reason, Sample};
use std::ops::RangeInclusive;

pub mod decimals;
mod formats;
mod node;
mod packed;
pub mod period;
mod records;
pub mod scaled;
mod sparse;
pub mod steps;
pub mod strings;
#[cfg(test)]
mod tests;
pub mod varints;
pub mod words;

/// `spec/codecs/hierarchical.md`
pub struct Hierarchical;

/// Its id.
pub const ID: u8 = 4;

/// Bits of the narrowest and of the widest words.
const MIN_BITS: usize = 4;
const MAX_BITS: usize = mmh_kernels::words::MAX_BITS;

/// Bytes that the nodes below the top one may restore together, for each byte of the block, and some for the smallest blocks.
const BELOW: usize = 8;
const BELOW_ANY: usize = 64;

/// Whether a payload is words of a codebook.
pub fn has_words(payload: &[u8]) -> bool {
    payload.first() == Some(&node::WORDS)
}

/// Memory larger than this is not kept: the blocks of this writer need less.
const KEPT: usize = 8 << 20;

/// Memory kept from block to block.
#[derive(Default)]
pub struct Scratch {
    spare: Vec<Vec<u8>>,
    /// Bytes that nodes below the top one may still restore.
    room: usize,
    counter: words::Counter,
    numbers: Vec<u16>,
}

impl Scratch {
    /// Memory of `n` bytes, whatever is in it: that which is nearest in size, as what it grows by is cleared.
    fn lend(&mut self, n: usize) -> Vec<u8> {
        let nearest = (0..self.spare.len()).min_by_key(|i| {
            let had = self.spare[*i].len();
            (had < n, had.abs_diff(n))
        });
        let mut memory = nearest.map(|i| self.spare.swap_remove(i)).unwrap_or_default();
        memory.resize(n, 0);
        memory
    }

    /// Keeps memory for the next one.
    fn give_back(&mut self, memory: Vec<u8>) {
        if memory.capacity() <= KEPT {
            self.spare.push(memory);
        }
    }

    /// Begins a block of `n` bytes.
    fn begin(&mut self, n: usize) {
        self.room = n.saturating_mul(BELOW) + BELOW_ANY;
    }

    /// Takes `n` bytes off what nodes below the top one may restore; whether there were so many.
    fn claim(&mut self, n: usize) -> bool {
        let left = self.room.checked_sub(n);
        self.room = left.unwrap_or(self.room);
        left.is_some()
    }

    /// Memory for `n` bytes that a node below the top one restores.
    fn lend_node(&mut self, n: usize) -> Result<Vec<u8>> {
        match self.claim(n) {
            true => Ok(self.lend(n)),
            false => Err(bad(format_args!("the nodes restore more than {BELOW} times the block"))),
        }
    }
}

/// What makes a block that is not made of records smaller.
#[derive(Clone, Debug)]
pub enum Found {
    /// Words that come again.
    Words(words::Found),
    /// Floats that were printed in decimal.
    Decimals(decimals::Found),
    /// Values of a grid and the scales of their groups.
    Scaled(scaled::Found),
    /// Strings behind their lengths.
    Strings(strings::Found),
    /// Integers of seven bits a byte.
    Varints(varints::Found),
    /// Integers of which each is a small step from the one before.
    Steps(steps::Found),
    /// Values of a few bits, one behind the other.
    Packed(packed::Found),
    /// Elements of which one word is frequent.
    Sparse(sparse::Found),
    /// One period of what repeats.
    Period(period::Found),
}

impl Found {
    /// The best of them. What promises no less than `bound`, a size over size, need not be looked at. `repeats` tells whether words of eight
    /// bytes may come again often.
    pub fn best(block: &Block<'_>, bound: f64, repeats: bool, scratch: &mut super::Scratch) -> Option<Found> {
        if let Some(strings) = strings::find(block, bound, scratch) {
            return Some(Found::Strings(strings));
        }
        if let Some(varints) = varints::find(block, scratch).filter(|found| found.estimate < bound) {
            return Some(Found::Varints(varints));
        }
        let packed = packed::find(block, bound);
        let bound = packed.map_or(bound, |found| found.estimate.min(bound));
        let scaled = scaled::find(block);
        let bound = scaled.as_ref().map_or(bound, |found| found.estimate.min(bound));
        let sparse = sparse::find(block, scratch);
        // Words take many times as long.
        let most_size = sparse.as_ref().map_or(f64::INFINITY, |found| found.bound(block.level));
        let bits = block.split.map(|s| s.element_millibits);
        let sought = words::Sought {
            most: MAX_BITS,
            element: block.element,
            element_millibits: bits,
            bound: most_size.min(bound),
            most_size,
            repeats,
            exact: block.base.is_some(),
            level: block.level,
        };
        let is_dense = sparse.as_ref().is_some_and(|found| found.is_dense);
        let mut words = if is_dense { None } else { words::find(block.data, &sought, scratch) };
        let decimals = decimals::find(block, scratch);
        let steps = steps::find(block, scratch);
        // What a part of the sample says of words is more than what all of it does, and enough where nothing is less.
        let others = [decimals.as_ref().map(|d| d.estimate), steps.as_ref().map(|s| s.estimate)];
        let least = others.into_iter().flatten().fold(f64::INFINITY, f64::min);
        if let Some(words) = words.as_mut().filter(|words| least < words.estimate) {
            words.settle(block.data, block.level, scratch);
        }
        let all = [
            words.map(Found::Words),
            decimals.map(Found::Decimals),
            scaled.map(Found::Scaled),
            steps.map(Found::Steps),
            packed.map(Found::Packed),
            sparse.map(Found::Sparse),
        ];
        all.into_iter().flatten().min_by(|a, b| a.estimate().total_cmp(&b.estimate()))
    }

    /// Size over size.
    pub fn estimate(&self) -> f64 {
        match self {
            Found::Words(found) => found.estimate,
            Found::Decimals(found) => found.estimate,
            Found::Scaled(found) => found.estimate,
            Found::Strings(found) => found.estimate,
            Found::Varints(found) => found.estimate,
            Found::Steps(found) => found.estimate,
            Found::Packed(found) => found.estimate,
            Found::Sparse(found) => found.estimate,
            Found::Period(found) => found.estimate,
        }
    }

    /// In words, for `--why`.
    fn describe(&self) -> String {
        match self {
            Found::Words(found) => found.describe(),
            Found::Decimals(found) => found.describe(),
            Found::Scaled(found) => found.describe(),
            Found::Strings(found) => found.describe(),
            Found::Varints(found) => found.describe(),
            Found::Steps(found) => found.describe().into(),
            Found::Packed(found) => found.describe(),
            Found::Sparse(found) => found.describe(),
            Found::Period(found) => found.describe(),
        }
    }
}

/// What a period comes to, of a block of which nothing else need be looked at, if it is smaller than a run; found once for the encoder, too.
pub fn bid_period(sample: &Sample<'_>) -> Option<Bid> {
    let (data, declared, element, level) =
        (sample.block(), sample.declared(), sample.element(), sample.level());
    let block = Block { data, declared, element, level, split: None, structure: None, base: None };
    let found = period::find(&block, &mut sample.scratch()).ok().flatten()?;
    let (estimate, told) = (found.estimate, found.describe());
    let bid = Bid::always(estimate, Reason::of(move || told.clone()));
    sample.set_structure(Found::Period(found));
    Some(bid)
}

impl Codec for Hierarchical {
    fn id(&self) -> u8 {
        ID
    }

    fn name(&self) -> &'static str {
        "hierarchical"
    }

    fn bid(&self, sample: &Sample<'_>) -> Bid {
        if let Some(dtype) = sample.declared()
            && let Some(record) = formats::record_of(dtype)
        {
            return match record.estimate(sample.block()) {
                Some(estimate) => {
                    let size = record.size;
                    Bid::of(estimate, Reason::of(move || format!("records of {size} bytes, field by field")))
                }
                None => Bid::none("too few records"),
            };
        }
        if sample.is_text() {
            // Words of fixed sizes at fixed places; text has neither.
            return Bid::none("text");
        }
        match sample.structure() {
            Some(found) => {
                let known = found.clone();
                Bid::of(found.estimate(), Reason::of(move || known.describe()))
            }
            None => Bid::none("no words that come again often"),
        }
    }

    fn encode(&self, block: &Block<'_>, scratch: &mut super::Scratch, out: &mut Vec<u8>) -> Result<bool> {
        let period = match block.structure {
            Some(Found::Period(found)) => Some(found.clone()),
            None => period::find(block, scratch)?,
            _ => None,
        };
        match period {
            Some(found) => {
                period::encode(&found, out);
                Ok(true)
            }
            None => encode_parts(block, scratch, out),
        }
    }

    fn decode(&self, payload: &[u8], out: &mut [u8], scratch: &mut super::Scratch) -> Result<()> {
        let mut from = payload;
        scratch.hierarchical.begin(out.len());
        node::decode(&mut from, out, node::Kinds::root(), scratch)?;
        match from.len() {
            0 => Ok(()),
            n => Err(bad(format_args!("{n} bytes left over"))),
        }
    }
}

/// Appends what is no period; whether that is smaller than the block.
fn encode_parts(block: &Block<'_>, scratch: &mut super::Scratch, out: &mut Vec<u8>) -> Result<bool> {
    let start = out.len();
    scratch.hierarchical.begin(block.data.len());
    let record = block.declared.and_then(formats::record_of);
    let done = if let Some(record) = record {
        out.push(node::RECORDS);
        record.encode(block.data, block.level, scratch, out)?
    } else {
        let found = block.structure.cloned().or_else(|| Found::best(block, 1.0, true, scratch));
        match &found {
            Some(Found::Words(found)) => words::encode(block, found, scratch, out)?,
            Some(Found::Decimals(found)) => decimals::encode(block, found, scratch, out)?,
            Some(Found::Scaled(found)) => scaled::encode(block, found, scratch, out)?,
            Some(Found::Strings(found)) => strings::encode(block.data, block.level, found, scratch, out)?,
            Some(Found::Varints(found)) => varints::encode(block.data, block.level, found, scratch, out)?,
            Some(Found::Steps(_)) => steps::encode(block, scratch, out)?,
            Some(Found::Packed(found)) => packed::encode(block.data, block.level, found, scratch, out)?,
            Some(Found::Sparse(found)) => sparse::encode(block, found, scratch, out)?,
            Some(Found::Period(_)) | None => false,
        }
    };
    Ok(done && out.len() - start < block.data.len())
}

/// A payload that the format does not allow.
fn bad(what: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("hierarchical: {what}"))
}

/// The next `n` bytes.
fn take<'a>(from: &mut &'a [u8], n: usize) -> Result<&'a [u8]> {
    let (now, later) = from
        .split_at_checked(n)
        .ok_or_else(|| bad(format_args!("expected {n} more bytes of payload, found {}", from.len())))?;
    *from = later;
    Ok(now)
}

/// Bytes with so many bits, of which the unused ones are zero.
fn take_bits<'a>(from: &mut &'a [u8], bits: usize) -> Result<&'a [u8]> {
    let bytes = take(from, bits.div_ceil(8))?;
    match bytes.last() {
        Some(last) if !bits.is_multiple_of(8) && last >> (bits % 8) != 0 => Err(bad("unused bits are set")),
        _ => Ok(bytes),
    }
}

fn byte(from: &mut &[u8]) -> Result<u8> {
    Ok(take(from, 1)?[0])
}

fn short(from: &mut &[u8]) -> Result<u16> {
    let bytes = take(from, 2)?;
    Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// A number from 1 to `most`.
fn number(from: &mut &[u8], most: u64, what: &str) -> Result<usize> {
    within(from, 1..=most, what)
}

/// A number within a range.
fn within(from: &mut &[u8], range: RangeInclusive<u64>, what: &str) -> Result<usize> {
    match varint::read(from) {
        Some(n) if range.contains(&n) => Ok(n as usize),
        Some(n) => Err(bad(format_args!("{what}: expected {} to {}, found {n}", range.start(), range.end()))),
        None => Err(bad(format_args!("{what}: no number"))),
    }
}

//! Numbers: symbols (exponents) entropy-coded, the rest in bit planes. `spec/codecs/tensor.md` is the definition.
//!
//! * `params`: the head of the payload, written and read
//! * `analyze`: which split of the element pays
//! * `counts`: how often each field occurs in a sample
//! * `modelled`, `columns`: symbols whose probabilities depend on the scale of what is around them
//! * `predicted`, `fit`: numbers that others in their row say something of
//! * `encode`, `decode`: the payload
//! * `parts`: blocks that are cut once more
//! * `direct`: the payload of most blocks of weights, made faster
//! * `planes`: how planes of rests are stored
//! * `lanes`: symbols in lanes: which code, and elements of 16 bits that are put together at once

use super::symbols::{GROUP, Streams};
use super::{Block, Codec};
use crate::dtype::{Dtype, Kind};
use crate::error::Result;
use crate::plan::{Bid, Reason, Sample};
use mmh_kernels::huffman::DecodeTable;
use mmh_kernels::lanes::Work;
use mmh_kernels::modelled::{DecodeModel, Encoded};
use mmh_kernels::predicted as predicted_kernels;

pub mod analyze;
mod columns;
mod counts;
mod decode;
mod direct;
mod encode;
mod fit;
mod lanes;
mod modelled;
mod params;
mod parts;
mod planes;
mod predicted;

pub use decode::Later;

/// `spec/codecs/tensor.md`
pub struct Tensor;

/// Its id.
pub const ID: u8 = 5;

/// How the elements of a block lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// log2 of the size in bytes.
    pub width: u8,
    /// How the bits are read.
    pub kind: Kind,
    /// Bytes of the block before the first whole element.
    pub head: u8,
}

impl Element {
    /// The elements of a tensor of this dtype; packed ones as bytes.
    pub fn of(dtype: Dtype) -> Element {
        let width = match dtype {
            Dtype::C64 => 2,
            d if d.unit().0 == 1 => d.unit().1.trailing_zeros() as u8,
            _ => 0,
        };
        let kind = if dtype.kind() == Kind::Blocks { Kind::Unsigned } else { dtype.kind() };
        Element { width, kind, head: 0 }
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        1 << self.width
    }

    /// Whole elements in a block of so many bytes.
    fn count(&self, len: usize) -> usize {
        len.saturating_sub(self.head as usize) >> self.width
    }
}

/// Memory kept from block to block.
#[derive(Default)]
pub struct Scratch {
    /// Whether what is decoded now will not be read soon.
    pub is_far: bool,
    /// The checksum of what was decoded, where it has been taken.
    pub sum: Option<u64>,
    symbols: Vec<u8>,
    rest: Vec<u64>,
    low: Vec<u64>,
    bytes: Vec<u8>,
    misses: Vec<u32>,
    codeless: Vec<u32>,
    ors: Vec<u64>,
    fields: Vec<u16>,
    counts: counts::Scratch,
    tables: Vec<DecodeTable>,
    streams: Streams,
    lanes: Work,
    batch_symbols: Vec<u8>,
    models: Models,
    classes: Vec<u8>,
    modelled: Encoded,
    signs: Vec<u8>,
    contexts: Vec<predicted_kernels::Contexts>,
    predicted: [predicted_kernels::Work; predicted_kernels::SIDE_BY_SIDE],
}

/// Models of a plane, laid out for the kernels.
#[derive(Default)]
struct Models {
    modelled: DecodeModel,
    predictor: predicted_kernels::Model,
}

/// Restores a block, or puts it off until `later` is finished: several that are short decode faster together.
pub fn decode_or_put_off<'a>(
    payload: &'a [u8],
    out: &'a mut [u8],
    scratch: &mut Scratch,
    later: &mut Later<'a>,
) -> Result<()> {
    parts::decode(payload, out, scratch, Some(later))
}

/// Gives `v` at least `n` entries and lends the first `n`; what is in them is of no account.
fn lend<T: Clone + Default>(v: &mut Vec<T>, n: usize) -> &mut [T] {
    if v.len() < n {
        v.resize(n, T::default());
    }
    &mut v[..n]
}

impl Codec for Tensor {
    fn id(&self) -> u8 {
        ID
    }

    fn name(&self) -> &'static str {
        "tensor"
    }

    fn bid(&self, sample: &Sample<'_>) -> Bid {
        if sample.element().is_none() {
            return Bid::none("no element type");
        }
        if sample.is_text() {
            return Bid::none("text");
        }
        match sample.split() {
            Some(found) => {
                let known = found.clone();
                Bid::of(found.ratio(sample.block().len()), Reason::of(move || known.describe()))
            }
            None => Bid::none("shorter than one element"),
        }
    }

    fn encode(&self, block: &Block<'_>, scratch: &mut super::Scratch, out: &mut Vec<u8>) -> Result<bool> {
        let element = block.element.unwrap_or(Element { width: 0, kind: Kind::Unsigned, head: 0 });
        let scratch = &mut scratch.tensor;
        let (data, level) = (block.data, block.level);
        if let Some(done) = parts::encode(data, element, level, scratch, out) {
            return Ok(done);
        }
        if block.declared.is_none()
            && block.split.is_some()
            && let Some(done) = parts::encode_mixed(data, element, level, scratch, out)
        {
            return Ok(done);
        }
        match block.split.cloned().or_else(|| analyze::analyze(data, element, level, scratch)) {
            Some(found) => Ok(direct::encode(data, element, level, &found, scratch, out)
                .unwrap_or_else(|| encode::encode(data, element, level, &found, scratch, out))),
            None => Ok(false),
        }
    }

    fn decode(&self, payload: &[u8], out: &mut [u8], scratch: &mut super::Scratch) -> Result<()> {
        parts::decode(payload, out, &mut scratch.tensor, None)
    }
}

#[cfg(test)]
mod tests;

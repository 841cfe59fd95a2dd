//! A block against the same bytes of a base: a fine-tune, the next checkpoint. `spec/codecs/delta.md` is the definition.
//!
//! * `form`: how elements are compared, and which are expected to differ alike; differences themselves are `mmh_kernels::differences`
//! * `estimate`: what the differences of a sample cost
//! * `parts`: bytes that another codec stores
//! * `encode`, `decode`: the payload

use super::tensor::Element;
use super::{Block, Codec, Counterpart};
use crate::container::varint;
use crate::dtype::Kind;
use crate::error::{Error, Result};
use crate::io::ReadAt;
use crate::plan::{Bid, Reason, Sample};
use std::borrow::Cow;

mod decode;
mod encode;
mod estimate;
mod form;
mod parts;

/// `spec/codecs/delta.md`
pub struct Delta;

/// Its id.
pub const ID: u8 = 6;

/// The ways to say what a block is, given its counterpart.
mod mode {
    /// It is the same.
    pub const COPY: u8 = 0;
    /// Bitwise difference.
    pub const XOR: u8 = 1;
    /// A difference for each element.
    pub const DIFFERENCE: u8 = 2;
    /// A difference for those elements that changed.
    pub const SPARSE: u8 = 3;
}

/// Memory kept from block to block.
#[derive(Default)]
pub struct Scratch {
    base: Vec<u8>,
    classes: Vec<u8>,
    symbols: Vec<u8>,
    extra: Vec<u8>,
    gathered: Vec<u8>,
    changed: Vec<u8>,
}

/// Gives memory at least `n` bytes; what is in it is of no account.
fn lend(memory: &mut Vec<u8>, n: usize) {
    if memory.len() < n {
        memory.resize(n, 0);
    }
}

/// The element of a block of which nothing is known.
fn element_of(element: Option<Element>) -> Element {
    element.unwrap_or(Element { width: 0, kind: Kind::Unsigned, head: 0 })
}

impl Codec for Delta {
    fn id(&self) -> u8 {
        ID
    }

    fn name(&self) -> &'static str {
        "delta"
    }

    fn bid(&self, sample: &Sample<'_>) -> Bid {
        let Some(base) = sample.base() else {
            return Bid::none("no base, or nothing like it there");
        };
        let element = element_of(sample.element());
        match estimate::estimate(sample.block(), base.bytes, element) {
            Some(found) => Bid::of(found.ratio(), Reason::of(move || found.describe())),
            None => Bid::none("shorter than one element"),
        }
    }

    fn encode(&self, block: &Block<'_>, scratch: &mut super::Scratch, out: &mut Vec<u8>) -> Result<bool> {
        match block.base {
            Some(base) if base.bytes.len() == block.data.len() => encode::encode(block, base, scratch, out),
            _ => Ok(false),
        }
    }

    fn decode(&self, _: &[u8], _: &mut [u8], _: &mut super::Scratch) -> Result<()> {
        // Whoever reads a file has seen to it that there is a base: this is a payload within that of another codec.
        Err(bad("a difference from a base where there can be none".into()))
    }

    fn decode_with(
        &self,
        payload: &[u8],
        base: Option<&dyn ReadAt>,
        out: &mut [u8],
        scratch: &mut super::Scratch,
    ) -> Result<()> {
        let Some(base) = base else { return self.decode(payload, out, scratch) };
        let mut rest = payload;
        let offset = varint::read(&mut rest).ok_or_else(|| bad("malformed offset".into()))?;
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > base.len()) {
            return Err(bad(format!(
                "{} bytes from byte {offset} of a base of {} bytes",
                out.len(),
                base.len()
            )));
        }
        let mut held = std::mem::take(&mut scratch.delta.base);
        let counterpart = match base.slice(offset, out.len()) {
            Some(slice) => Cow::Borrowed(slice),
            None => {
                held.resize(held.len().max(out.len()), 0);
                base.read_exact_at(offset, &mut held[..out.len()])?;
                Cow::Owned(held)
            }
        };
        let done = decode::decode(rest, &counterpart[..out.len()], out, scratch);
        if let Cow::Owned(held) = counterpart {
            scratch.delta.base = held;
        }
        done
    }
}

fn bad(what: String) -> Error {
    Error::corrupt(format!("delta: {what}"))
}

/// What a base looks like where only the counterpart of one block is at hand.
impl ReadAt for Counterpart<'_> {
    fn len(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        let from = ReadAt::slice(self, offset, buf.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(from);
        Ok(())
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        ReadAt::slice(self.bytes, offset.checked_sub(self.offset)?, len)
    }
}

#[cfg(test)]
mod tests;

//! A block against the same elements elsewhere: of a base (`delta`: a fine-tune, the next checkpoint), or of another tensor of the same source (`relative`: a copy in another
//! type, an average of weights). `spec/codecs/delta.md` and `spec/codecs/relative.md` are the definition.
//!
//! * `conversion`: which dtypes become which
//! * `place`: where the counterpart stands, and what its elements become
//! * `form`: how elements are compared, and which are expected to differ alike; differences themselves are `mmh_kernels::differences`
//! * `estimate`: what the differences of a sample cost
//! * `parts`: bytes that another codec stores
//! * `encode`, `decode`: the payload

use super::tensor::Element;
use super::{Block, Codec, Counterpart, Origin, lend};
use crate::dtype::Kind;
use crate::error::{Error, Result};
use crate::io::{ReadAt, Window};
use crate::plan::{Bid, Reason, Sample};
use mmh_kernels::conversions;

mod conversion;
mod decode;
mod encode;
mod estimate;
mod form;
mod parts;
mod place;

pub use conversion::{between, float_of, sizes};
pub use place::Place;

/// Differences from counterparts of one origin.
pub struct Difference(Origin);

/// `spec/codecs/delta.md`
pub static OF_BASE: Difference = Difference(Origin::Base);

/// `spec/codecs/relative.md`
pub static OF_SOURCE: Difference = Difference(Origin::Source);

/// The id of [`OF_BASE`].
pub const ID: u8 = 6;

/// The id of [`OF_SOURCE`].
pub const RELATIVE: u8 = 9;

/// Bytes of the blocks that restore the counterpart of a relative block of `raw` bytes, at most, so that no file of small blocks takes much longer than others that restore as much.
pub const fn most_lent(raw: usize) -> u64 {
    16 * raw as u64
}

/// What such a block counts at least.
pub const LEAST_LENT: u64 = 4096;

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
    converted: Vec<u8>,
    classes: Vec<u8>,
    symbols: Vec<u8>,
    extra: Vec<u8>,
    gathered: Vec<u8>,
    changed: Vec<u8>,
}

/// The element of a block of which nothing is known.
fn element_of(element: Option<Element>) -> Element {
    element.unwrap_or(Element { width: 0, kind: Kind::Unsigned, head: 0 })
}

/// Restores a block with the bytes that its counterpart is among.
fn decode(
    payload: &[u8],
    (among, what): (&dyn ReadAt, &str),
    out: &mut [u8],
    scratch: &mut super::Scratch,
) -> Result<()> {
    let (place, mode, rest) = Place::read(payload, out.len())?;
    let end = place.offset.checked_add(place.len as u64);
    if end.is_none_or(|end| end > among.len()) {
        let Place { offset, len, .. } = place;
        return Err(bad(format!("{len} bytes from byte {offset} of {what} of {} bytes", among.len())));
    }
    let mut held = std::mem::take(&mut scratch.delta.base);
    let mut converted = std::mem::take(&mut scratch.delta.converted);
    let done = there(&place, among, &mut held).and_then(|bytes| {
        let counterpart = match place.conversion {
            None => bytes,
            Some(conversion) => {
                lend(&mut converted, out.len());
                conversions::convert(conversion, bytes, &mut converted[..out.len()]);
                &converted[..out.len()]
            }
        };
        decode::decode(mode, rest, counterpart, out, scratch)
    });
    (scratch.delta.base, scratch.delta.converted) = (held, converted);
    done
}

/// The bytes of a place, in `held` unless they are in memory already.
fn there<'a>(place: &Place, among: &'a dyn ReadAt, held: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    if let Some(slice) = among.slice(place.offset, place.len) {
        return Ok(slice);
    }
    lend(held, place.len);
    among.read_exact_at(place.offset, &mut held[..place.len])?;
    Ok(&held[..place.len])
}

impl Codec for Difference {
    fn id(&self) -> u8 {
        match self.0 {
            Origin::Base => ID,
            Origin::Source => RELATIVE,
        }
    }

    fn name(&self) -> &'static str {
        match self.0 {
            Origin::Base => "delta",
            Origin::Source => "relative",
        }
    }

    fn bid(&self, sample: &Sample<'_>) -> Bid {
        let Some(base) = sample.base().filter(|base| base.origin == self.0) else {
            return Bid::none(match self.0 {
                Origin::Base => "no base, or nothing like it there",
                Origin::Source => "no other tensor is like it",
            });
        };
        let element = element_of(sample.element());
        match estimate::estimate(sample.block(), base.bytes, element) {
            Some(found) => Bid::of(found.ratio(), Reason::of(move || found.describe())),
            None => Bid::none("shorter than one element"),
        }
    }

    fn encode(&self, block: &Block<'_>, scratch: &mut super::Scratch, out: &mut Vec<u8>) -> Result<bool> {
        match block.base {
            Some(base) if base.origin == self.0 && base.bytes.len() == block.data.len() => {
                encode::encode(block, base, scratch, out)
            }
            _ => Ok(false),
        }
    }

    fn decode(&self, _: &[u8], _: &mut [u8], _: &mut super::Scratch) -> Result<()> {
        // Whoever reads a file has seen to it that there is a counterpart: this is a payload within that of another codec.
        Err(bad("there is nothing that it could be a difference from".into()))
    }

    fn decode_with(
        &self,
        payload: &[u8],
        among: Option<&dyn ReadAt>,
        out: &mut [u8],
        scratch: &mut super::Scratch,
    ) -> Result<()> {
        let what = match self.0 {
            Origin::Base => "a base",
            Origin::Source => "a source",
        };
        match among {
            Some(among) => decode(payload, (among, what), out, scratch),
            None => self.decode(payload, out, scratch),
        }
    }
}

fn bad(what: String) -> Error {
    Error::corrupt(format!("difference: {what}"))
}

/// What a base, or the source, looks like where only the counterpart of one block is at hand.
impl ReadAt for Counterpart<'_> {
    fn len(&self) -> u64 {
        self.window().len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.window().read_exact_at(offset, buf)
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        ReadAt::slice(self.there, offset.checked_sub(self.offset)?, len)
    }
}

impl<'a> Counterpart<'a> {
    fn window(&self) -> Window<'a> {
        Window { start: self.offset, bytes: self.there }
    }
}

#[cfg(test)]
mod tests;

//! Nodes: what a payload is made of.

use super::{
    bad, byte, decimals, number, packed, period, records, scaled, sparse, steps, strings, take, varints,
    words,
};
use crate::codec::tensor::{self, Element};
use crate::codec::{self, Block, Codec, Level, zstd};
use crate::container::varint;
use crate::error::Result;

/// Another codec's payload.
pub const LEAF: u8 = 0;
/// Records, field by field.
pub const RECORDS: u8 = 1;
/// Numbers of words in a codebook.
pub const WORDS: u8 = 2;
/// Numbers and places of floats printed in decimal.
pub const DECIMALS: u8 = 3;
/// Strings without the lengths before them.
pub const STRINGS: u8 = 4;
/// Integers of seven bits a byte.
pub const VARINTS: u8 = 5;
/// Steps from each integer to the next.
pub const STEPS: u8 = 6;
/// One period of what repeats.
pub const PERIOD: u8 = 7;
/// Values of a few bits, one behind the other.
pub const PACKED: u8 = 8;
/// A frequent word apart from the other elements.
pub const SPARSE: u8 = 9;
/// Values of a grid and the scales of their groups.
pub const SCALED: u8 = 10;

/// Codecs that a leaf may be of.
const LEAVES: [u8; 4] = [codec::store::ID, codec::lz4::ID, zstd::ID, tensor::ID];

/// Which nodes may stand at a place: each level of the tree allows less than the one above it, so that none is deep.
#[derive(Clone, Copy)]
pub struct Kinds {
    /// A period.
    period: bool,
    /// Records, decimals, strings, varints, steps, packed values, sparse elements and scaled values.
    top: bool,
    /// The widest words; 0 for none.
    words: usize,
}

impl Kinds {
    /// At the top.
    pub fn root() -> Kinds {
        Kinds { period: true, ..Kinds::period() }
    }

    /// Within a period.
    pub fn period() -> Kinds {
        Kinds { period: false, top: true, words: super::MAX_BITS }
    }

    /// Below a record or a codebook: words of at most so many bits.
    pub fn words(most: usize) -> Kinds {
        Kinds { words: if most < super::MIN_BITS { 0 } else { most }, ..Kinds::leaf() }
    }

    /// At the bottom.
    pub fn leaf() -> Kinds {
        Kinds { period: false, top: false, words: 0 }
    }
}

/// Restores `out` from the next node. No bytes have no node.
pub fn decode(from: &mut &[u8], out: &mut [u8], kinds: Kinds, scratch: &mut codec::Scratch) -> Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    match byte(from)? {
        LEAF => decode_leaf(from, out, scratch),
        RECORDS if kinds.top => records::decode(from, out, scratch),
        DECIMALS if kinds.top => decimals::decode(from, out, scratch),
        STRINGS if kinds.top => strings::decode(from, out, scratch),
        VARINTS if kinds.top => varints::decode(from, out, scratch),
        STEPS if kinds.top => steps::decode(from, out, scratch),
        PACKED if kinds.top => packed::decode(from, out, scratch),
        SPARSE if kinds.top => sparse::decode(from, out, scratch),
        SCALED if kinds.top => scaled::decode(from, out, scratch),
        PERIOD if kinds.period => period::decode(from, out, scratch),
        WORDS if kinds.words > 0 => words::decode(from, out, kinds.words, scratch),
        kind => Err(bad(format_args!("a node of kind {kind} where none may be"))),
    }
}

/// The same; a leaf may be put off until `later` is finished.
pub fn decode_or_put_off<'a>(
    from: &mut &'a [u8],
    out: &'a mut [u8],
    kinds: Kinds,
    scratch: &mut codec::Scratch,
    later: &mut tensor::Later<'a>,
) -> Result<()> {
    if out.is_empty() || !from.starts_with(&[LEAF, tensor::ID]) {
        return decode(from, out, kinds, scratch);
    }
    take(from, 2)?;
    let stored = number(from, out.len() as u64, "size of a leaf")?;
    let payload = take(from, stored)?;
    tensor::decode_or_put_off(payload, out, &mut scratch.tensor, later)
}

fn decode_leaf(from: &mut &[u8], out: &mut [u8], scratch: &mut codec::Scratch) -> Result<()> {
    let id = byte(from)?;
    let stored = number(from, out.len() as u64, "size of a leaf")?;
    let payload = take(from, stored)?;
    match codec::by_id(id).filter(|c| LEAVES.contains(&c.id())) {
        Some(codec) => codec.decode(payload, out, scratch),
        None => Err(bad(format_args!("a leaf of codec {id}"))),
    }
}

/// Appends a leaf: what the `tensor` codec makes of the data, or the data.
pub fn encode_leaf(
    data: &[u8],
    element: Element,
    level: Level,
    scratch: &mut codec::Scratch,
    out: &mut Vec<u8>,
) -> Result<()> {
    if data.is_empty() {
        return Ok(());
    }
    let block = Block {
        data,
        declared: None,
        element: Some(element),
        level,
        split: None,
        structure: None,
        base: None,
    };
    let mut payload = scratch.hierarchical.lend(0);
    let smaller = tensor::Tensor.encode(&block, scratch, &mut payload)?;
    write_leaf(data, smaller.then_some((tensor::ID, payload.as_slice())), out);
    scratch.hierarchical.give_back(payload);
    Ok(())
}

/// Appends a leaf: text by Zstandard, or as it is.
pub fn encode_text(data: &[u8], level: Level, scratch: &mut codec::Scratch, out: &mut Vec<u8>) -> Result<()> {
    if data.is_empty() {
        return Ok(());
    }
    let mut payload = scratch.hierarchical.lend(0);
    zstd::encode_strings(data, level, scratch, &mut payload)?;
    write_leaf(data, Some((zstd::ID, payload.as_slice())), out);
    scratch.hierarchical.give_back(payload);
    Ok(())
}

/// Appends a leaf with what another codec made of the data, if that is smaller, or with the data.
pub fn write_leaf(data: &[u8], coded: Option<(u8, &[u8])>, out: &mut Vec<u8>) {
    let smaller = coded.filter(|(_, payload)| payload.len() < data.len());
    let (id, bytes) = smaller.unwrap_or((codec::store::ID, data));
    out.extend([LEAF, id]);
    varint::write(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

//! Symbols to streams.

use super::{CodeLengths, streams};
use crate::generic;

/// Code and length of each symbol, laid out for the encoder's loop.
pub struct EncodeTable {
    pub(crate) code: [u64; 256],
    pub(crate) length: [u64; 256],
    pub(crate) longest: u32,
}

impl EncodeTable {
    /// The table of a code.
    pub fn new(code: &CodeLengths) -> EncodeTable {
        let codes = code.codes();
        EncodeTable {
            code: codes.map(u64::from),
            length: code.lengths().map(u64::from),
            longest: code.longest(),
        }
    }
}

multiversion! {
    /// Appends one group of a coded plane: the streams' sizes, then the streams. Symbols without a code must not occur (they would
    /// be left out); a group has at most 32,768 symbols.
    pub fn encode_group(table: &EncodeTable, symbols: &[u8], out: &mut Vec<u8>) = encode;
    on encode_group_on
}

#[inline(always)]
fn encode(table: &EncodeTable, symbols: &[u8], out: &mut Vec<u8>) {
    if symbols.is_empty() {
        return;
    }
    let k = streams(symbols.len());
    let sizes = out.len();
    out.resize(sizes + 2 * k, 0);
    let mut sizes_of = [0u16; super::STREAMS];
    let per = symbols.len().div_ceil(k);
    for (pair, sizes) in symbols.chunks(2 * per).zip(sizes_of.chunks_mut(2)) {
        if pair.len() > per {
            let (a, b) = generic::encode::two(table, &pair[..per], &pair[per..], out);
            sizes.copy_from_slice(&[a as u16, b as u16]);
        } else {
            sizes[0] = generic::encode::one(table, pair, out) as u16;
        }
    }
    for (o, size) in out[sizes..].chunks_exact_mut(2).zip(&sizes_of[..k]) {
        o.copy_from_slice(&size.to_le_bytes());
    }
}

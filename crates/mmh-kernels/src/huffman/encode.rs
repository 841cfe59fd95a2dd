//! Symbols to streams.

use super::{CodeLengths, streams};
use crate::cpu::Simd;
use crate::generic;

/// Code and length of each symbol, laid out for the encoder's loop.
pub struct EncodeTable {
    pub(crate) code: [u64; 256],
    pub(crate) length: [u64; 256],
    pub(crate) longest: u32,
    #[cfg(target_arch = "x86_64")]
    vector: crate::x86_64::encode::VectorTable,
}

impl EncodeTable {
    /// The table of a code.
    pub fn new(code: &CodeLengths) -> EncodeTable {
        let codes = code.codes();
        let (codes, lengths) = (codes.map(u64::from), code.lengths().map(u64::from));
        EncodeTable {
            #[cfg(target_arch = "x86_64")]
            vector: crate::x86_64::encode::VectorTable::new(&codes, &lengths),
            code: codes,
            length: lengths,
            longest: code.longest(),
        }
    }
}

multiversion! {
    /// Scalar streams, compiled for each instruction set.
    #[allow(dead_code)]
    pub fn encode_group_scalar(table: &EncodeTable, symbols: &[u8], out: &mut Vec<u8>) = encode;
    on encode_group_scalar_on
}

/// Appends one group of a coded plane: the streams' sizes, then the streams. Symbols without a code must not occur (they would be
/// left out); a group has at most 32,768 symbols.
pub fn encode_group(table: &EncodeTable, symbols: &[u8], out: &mut Vec<u8>) {
    encode_group_on(crate::cpu::simd(), table, symbols, out);
}

/// The same on the given instruction set.
pub fn encode_group_on(simd: Simd, table: &EncodeTable, symbols: &[u8], out: &mut Vec<u8>) {
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() && symbols.len() >= super::MANY {
        encode_avx512(table, symbols, out);
        return;
    }
    encode_group_scalar_on(simd, table, symbols, out);
}

#[cfg(target_arch = "x86_64")]
fn encode_avx512(table: &EncodeTable, symbols: &[u8], out: &mut Vec<u8>) {
    let k = streams(symbols.len());
    let per = symbols.len().div_ceil(k);
    let sizes = out.len();
    let mut at = sizes + 2 * k;
    // Room for all of the group once; each stream is written behind the one before it.
    out.resize(at + generic::encode::room(symbols.len()) + 8 * k, 0);
    let mut joined = crate::x86_64::encode::Joined::default();
    for (i, part) in symbols.chunks(per).enumerate() {
        // SAFETY: the caller has seen that the CPU has these instructions.
        let size = unsafe {
            let (rest, bytes, acc, bits) =
                crate::x86_64::encode::stream(&table.vector, part, &mut joined, &mut out[at..]);
            generic::encode::resume(table, rest, &mut out[at..], bytes, acc, bits)
        };
        out[sizes + 2 * i..sizes + 2 * i + 2].copy_from_slice(&(size as u16).to_le_bytes());
        at += size;
    }
    out.truncate(at);
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

//! Streams to symbols.

use super::{CodeLengths, streams};
use crate::generic;

/// What the decoder looks up.
///
/// `multi[i]`, for the next `index_bits` bits `i` of a stream (first bit lowest): bits 0–7 the length in bits of all whole symbols in
/// them (at most six), bits 8–15 their number, then the symbols from the top byte down. `single[i]`: symbol, and its length << 8.
pub struct DecodeTable {
    pub(crate) multi: Vec<u64>,
    pub(crate) single: Vec<u16>,
    pub(crate) index_bits: u32,
    work: Vec<u64>,
}

/// Symbols that an entry has room for.
pub(crate) const PER_ENTRY: u64 = 6;

/// Fewer symbols are decoded one by one in less time than it takes to find out which of them come in one look-up.
const FEW: usize = 1 << 14;

impl Default for DecodeTable {
    fn default() -> Self {
        Self::new()
    }
}

impl DecodeTable {
    /// An empty table, to be built before use; keep it to reuse its memory.
    pub fn new() -> DecodeTable {
        DecodeTable { multi: Vec::new(), single: Vec::new(), index_bits: 0, work: Vec::new() }
    }

    /// Fills the table for a code, of which about so many symbols are to be decoded.
    pub fn build(&mut self, code: &CodeLengths, symbols: usize) {
        let index_bits = code.longest().max(11);
        self.index_bits = index_bits;
        let size = 1usize << index_bits;
        self.single.clear();
        self.single.resize(size, 0);
        for (symbol, (&start, &length)) in code.codes().iter().zip(code.lengths()).enumerate() {
            if length > 0 {
                let entry = symbol as u16 | (length as u16) << 8;
                for slot in self.single[start as usize..].iter_mut().step_by(1 << length) {
                    *slot = entry;
                }
            }
        }
        if symbols < FEW {
            let entry = |single: &u16| (*single as u64) << 56 | 1 << 8 | (single >> 8) as u64;
            self.multi.clear();
            self.multi.extend(self.single.iter().map(entry));
            return;
        }
        // work[2^b + x]: the entry for the b bits x. Each is its first symbol before the entry of what remains, so that
        // building costs one step an entry. A seventh symbol falls off the end; its length is found in `first_five`.
        self.work.clear();
        self.work.resize(2 * size, 0);
        let mut first_five = vec![0u8; 2 * size];
        for b in 1..=index_bits {
            for x in 0..1usize << b {
                let single = self.single[x] as u64;
                let length = single >> 8;
                if length > b as u64 {
                    continue;
                }
                let rest = (1usize << (b as u64 - length)) | (x >> length);
                let (tail, five) = (self.work[rest], first_five[rest]);
                let count = (tail >> 8) & 0xff;
                let (kept, kept_bits) =
                    if count == PER_ENTRY { (PER_ENTRY - 1, five as u64) } else { (count, tail & 0xff) };
                let symbols = (tail >> 16 << 8) & !0xffff;
                self.work[(1 << b) | x] =
                    (single & 0xff) << 56 | symbols | (kept + 1) << 8 | (kept_bits + length);
                // Length of the first five symbols, of use when this entry has six.
                first_five[(1 << b) | x] = if kept + 1 == PER_ENTRY {
                    let last = (tail >> 24) as u8;
                    (kept_bits + length) as u8 - code.lengths()[last as usize]
                } else {
                    (kept_bits + length) as u8
                };
            }
        }
        self.multi.clear();
        self.multi.extend_from_slice(&self.work[size..]);
    }
}

multiversion! {
    /// Decodes one group of a coded plane from the front of `data` into `out` (at most 32,768 symbols). Gives the bytes it took; `None` if
    /// the streams are cut off, do not end where they should, or have padding that is not zero.
    pub fn decode_group(table: &DecodeTable, data: &[u8], out: &mut [u8]) -> Option<usize> = decode;
    on decode_group_on
}

#[inline(always)]
fn decode(table: &DecodeTable, data: &[u8], out: &mut [u8]) -> Option<usize> {
    if out.is_empty() {
        return Some(0);
    }
    if table.multi.len() != 1 << table.index_bits || table.single.len() != table.multi.len() {
        return None;
    }
    let k = streams(out.len());
    let head = data.get(..2 * k)?;
    let mut starts = [0usize; super::STREAMS + 1];
    starts[0] = 2 * k;
    for (i, size) in head.as_chunks::<2>().0.iter().enumerate() {
        starts[i + 1] = starts[i] + u16::from_le_bytes(*size) as usize;
    }
    let data = data.get(..starts[k])?;
    let per = out.len().div_ceil(k);
    if k == super::STREAMS {
        let done = generic::decode::side_by_side(table, data, &starts, per, out);
        for (i, (bit, left)) in done.into_iter().enumerate() {
            generic::decode::finish(
                table,
                &data[starts[i]..starts[i + 1]],
                bit,
                &mut out[i * per..i * per + left],
            )?;
        }
    } else {
        let n = out.len();
        generic::decode::finish(table, &data[starts[0]..starts[1]], 0, &mut out[..n])?;
    }
    Some(starts[k])
}

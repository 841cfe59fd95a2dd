//! Streams of codes.

use crate::huffman::{EncodeTable, MAX_CODE};

/// Bytes that the codes of `n` symbols can take, and the eight that each flush writes whole.
pub fn room(n: usize) -> usize {
    n * MAX_CODE as usize / 8 + 9
}

/// Appends the codes of `symbols`, last symbol first; gives their size in bytes.
#[inline(always)]
pub fn one(table: &EncodeTable, symbols: &[u8], out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + room(symbols.len()), 0);
    let size = if table.longest <= 11 {
        Stream::default().finish::<5>(table, symbols, &mut out[start..])
    } else {
        Stream::default().finish::<4>(table, symbols, &mut out[start..])
    };
    out.truncate(start + size);
    size
}

/// Goes on with a stream of which `at` bytes are written and `bits` bits wait in `acc`; gives its size in bytes.
#[cfg(target_arch = "x86_64")]
pub fn resume(table: &EncodeTable, symbols: &[u8], out: &mut [u8], at: usize, acc: u64, bits: u64) -> usize {
    Stream { acc, bits, at }.finish::<4>(table, symbols, out)
}

/// The same for two streams at once, so that one does not wait for the other's additions; the second follows the first.
#[inline(always)]
pub fn two(table: &EncodeTable, first: &[u8], second: &[u8], out: &mut Vec<u8>) -> (usize, usize) {
    let start = out.len();
    out.resize(start + room(first.len()) + room(second.len()), 0);
    let (a, b) = out[start..].split_at_mut(room(first.len()));
    let (n, m) = if table.longest <= 11 {
        pair::<5>(table, first, second, a, b)
    } else {
        pair::<4>(table, first, second, a, b)
    };
    let second_start = start + room(first.len());
    out.copy_within(second_start..second_start + m, start + n);
    out.truncate(start + n + m);
    (n, m)
}

#[inline(always)]
fn pair<const BATCH: usize>(
    table: &EncodeTable,
    first: &[u8],
    second: &[u8],
    a: &mut [u8],
    b: &mut [u8],
) -> (usize, usize) {
    let common = first.len().min(second.len()) / BATCH * BATCH;
    let (first, first_now) = first.split_at(first.len() - common);
    let (second, second_now) = second.split_at(second.len() - common);
    if a.len() < room(common) || b.len() < room(common) {
        return (0, 0);
    }
    let (mut x, mut y) = (0u64, 0u64);
    let (mut x_bits, mut y_bits) = (0u64, 0u64);
    let (mut x_out, mut y_out) = (a.as_mut_ptr(), b.as_mut_ptr());
    for (p, q) in first_now.rchunks_exact(BATCH).zip(second_now.rchunks_exact(BATCH)) {
        for i in (0..BATCH).rev() {
            let (s, t) = (p[i] as usize, q[i] as usize);
            x |= table.code[s] << (x_bits & 63);
            x_bits += table.length[s];
            y |= table.code[t] << (y_bits & 63);
            y_bits += table.length[t];
        }
        // SAFETY: `room(common)` bytes hold MAX_CODE bits for each of `common` symbols and eight bytes more; a batch of codes moves the
        // output by at most its bits, rounded down over all batches together, so eight bytes are always left.
        unsafe {
            x_out.cast::<u64>().write_unaligned(x.to_le());
            x_out = x_out.add((x_bits >> 3) as usize);
            y_out.cast::<u64>().write_unaligned(y.to_le());
            y_out = y_out.add((y_bits >> 3) as usize);
        }
        x >>= x_bits & 56;
        x_bits &= 7;
        y >>= y_bits & 56;
        y_bits &= 7;
    }
    let x = Stream { acc: x, bits: x_bits, at: x_out as usize - a.as_ptr() as usize };
    let y = Stream { acc: y, bits: y_bits, at: y_out as usize - b.as_ptr() as usize };
    (x.finish::<BATCH>(table, first, a), y.finish::<BATCH>(table, second, b))
}

/// A stream being written: `bits` bits of it wait in `acc`, `at` bytes are out.
#[derive(Default)]
struct Stream {
    acc: u64,
    bits: u64,
    at: usize,
}

impl Stream {
    /// Joins a batch of codes: at most `64 − 7` bits.
    #[inline(always)]
    fn batch(&mut self, table: &EncodeTable, symbols: &[u8]) {
        for &s in symbols.iter().rev() {
            self.acc |= table.code[s as usize] << (self.bits & 63);
            self.bits += table.length[s as usize];
        }
    }

    #[inline(always)]
    fn flush(&mut self, out: &mut [u8]) {
        if let Some(o) = out.get_mut(self.at..self.at + 8) {
            o.copy_from_slice(&self.acc.to_le_bytes());
        }
        self.at += (self.bits >> 3) as usize;
        self.acc >>= self.bits & 56;
        self.bits &= 7;
    }

    /// Writes `symbols`, last first, and the bits that wait; gives the stream's size.
    #[inline(always)]
    fn finish<const BATCH: usize>(mut self, table: &EncodeTable, symbols: &[u8], out: &mut [u8]) -> usize {
        let mut batches = symbols.rchunks_exact(BATCH);
        for batch in &mut batches {
            self.batch(table, batch);
            self.flush(out);
        }
        self.batch(table, batches.remainder());
        let left = self.bits.div_ceil(8) as usize;
        if let Some(o) = out.get_mut(self.at..self.at + left) {
            o.copy_from_slice(&self.acc.to_le_bytes()[..left]);
        }
        self.at + left
    }
}

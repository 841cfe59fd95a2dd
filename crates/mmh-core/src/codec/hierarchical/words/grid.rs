//! Where words are in a block, and what they are compared by.

use mmh_kernels::words::read;
use std::ops::Range;

/// Where words are in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    /// Bits of a word.
    pub(super) bits: usize,
    /// Bits before the first one.
    pub(super) head: usize,
}

impl Grid {
    pub(super) fn count(&self, bytes: usize) -> usize {
        (bytes * 8).saturating_sub(self.head) / self.bits
    }

    /// A word as a number that is equal for equal words, and hardly ever for others.
    fn key(&self, data: &[u8], i: usize) -> u64 {
        let at = self.head + i * self.bits;
        if self.bits <= 64 {
            return read(data, at, self.bits);
        }
        let mut key = 0u64;
        let mut done = 0;
        while done < self.bits {
            let n = (self.bits - done).min(64);
            key = (key.rotate_left(23) ^ read(data, at + done, n)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            done += n;
        }
        key
    }

    /// Calls `f` with words that follow one another, and their keys. Those of whole numbers are read as such.
    #[inline(always)]
    pub(super) fn each_key(&self, data: &[u8], words: Range<usize>, mut f: impl FnMut(usize, u64)) {
        let first = words.start;
        macro_rules! each {
            ($number:ty) => {{
                let at = |i: usize| self.head / 8 + i * size_of::<$number>();
                let part = data.get(at(words.start)..at(words.end)).unwrap_or_default();
                let numbers = part.as_chunks().0.iter().map(|bytes| <$number>::from_le_bytes(*bytes));
                numbers.enumerate().for_each(|(i, number)| f(first + i, number as u64))
            }};
        }
        match (self.bits, self.head % 8) {
            (16, 0) => each!(u16),
            (32, 0) => each!(u32),
            (64, 0) => each!(u64),
            _ => words.for_each(|i| f(i, self.key(data, i))),
        }
    }

    /// The keys of words that are anywhere, `at(0)` and so on, for a first look.
    #[inline(always)]
    pub(super) fn quick_keys(&self, data: &[u8], at: impl Fn(usize) -> usize, keys: &mut [u64]) {
        macro_rules! each {
            ($number:ty) => {
                for (i, key) in keys.iter_mut().enumerate() {
                    let first = self.head / 8 + at(i) * size_of::<$number>();
                    let word = data.get(first..).and_then(|data| data.first_chunk());
                    *key = word.map_or(0, |bytes| <$number>::from_le_bytes(*bytes) as u64);
                }
            };
        }
        match (self.bits, self.head % 8) {
            (16, 0) => each!(u16),
            (32, 0) => each!(u32),
            (64, 0) => each!(u64),
            _ => keys.iter_mut().enumerate().for_each(|(i, key)| *key = self.quick_key(data, at(i))),
        }
    }

    /// Whether there are few enough words of so many bits for a table of all of them.
    pub(super) fn is_narrow(&self) -> bool {
        self.bits <= 16
    }

    /// Calls `f` with each word of up to 16 bits.
    pub(super) fn each_narrow(&self, data: &[u8], mut f: impl FnMut(u16)) {
        match data.get(self.head / 8..) {
            Some(data) if self.bits == 16 && self.head.is_multiple_of(8) => {
                data.as_chunks::<2>().0.iter().for_each(|word| f(u16::from_le_bytes(*word)));
            }
            _ => (0..self.count(data.len())).for_each(|i| f(self.key(data, i) as u16)),
        }
    }

    /// The key for a first look at long words of whole groups of 64 bits: that of their ends.
    fn quick_key(&self, data: &[u8], i: usize) -> u64 {
        if self.bits <= 128 || !self.bits.is_multiple_of(64) {
            return self.key(data, i);
        }
        let at = self.head + i * self.bits;
        let ends = [at, at + self.bits - 64].map(|at| read(data, at, 64));
        (ends[0].rotate_left(23) ^ ends[1]).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// Whether two words are the same.
    pub(super) fn equal(&self, data: &[u8], i: usize, j: usize) -> bool {
        (0..self.bits).step_by(64).all(|done| {
            let n = (self.bits - done).min(64);
            let word = |i| read(data, self.head + i * self.bits + done, n);
            word(i) == word(j)
        })
    }
}

//! Where words are in a block, and what they are compared by.

use mmh_kernels::words::read;

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
    pub(super) fn key(&self, data: &[u8], i: usize) -> u64 {
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

    /// Calls `f` with words and their keys. Those of whole numbers are read as such.
    #[inline(always)]
    pub(super) fn each_key(
        &self,
        data: &[u8],
        words: impl Iterator<Item = usize>,
        mut f: impl FnMut(usize, u64),
    ) {
        fn load<const SIZE: usize>(data: &[u8], at: usize) -> u64 {
            let mut word = [0; 8];
            if let Some(bytes) = data.get(at..).and_then(|d| d.first_chunk::<SIZE>()) {
                word[..SIZE].copy_from_slice(bytes);
            }
            u64::from_le_bytes(word)
        }
        let head = self.head / 8;
        match (self.bits, self.head % 8) {
            (16, 0) => words.for_each(|i| f(i, load::<2>(data, head + 2 * i))),
            (32, 0) => words.for_each(|i| f(i, load::<4>(data, head + 4 * i))),
            (64, 0) => words.for_each(|i| f(i, load::<8>(data, head + 8 * i))),
            _ => words.for_each(|i| f(i, self.key(data, i))),
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
    pub(super) fn quick_key(&self, data: &[u8], i: usize) -> u64 {
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

//! Strings of bits, the first of them lowest in its byte.

/// Appends bits to bytes.
pub struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    waiting: u64,
    count: u32,
}

impl<'a> BitWriter<'a> {
    /// Begins with a byte of its own.
    pub fn new(out: &'a mut Vec<u8>) -> BitWriter<'a> {
        BitWriter { out, waiting: 0, count: 0 }
    }

    /// Appends the low `n` ≤ 32 bits of a value that has no others.
    pub fn put(&mut self, value: u64, n: u32) {
        self.waiting |= value << self.count;
        self.count += n;
        if self.count >= 32 {
            self.out.extend((self.waiting as u32).to_le_bytes());
            self.waiting >>= 32;
            self.count -= 32;
        }
    }

    /// Appends a difference, in an Exp-Golomb code of order 2.
    fn put_difference(&mut self, difference: i32) {
        let v = ((difference << 1) ^ (difference >> 31)) as u64 + 4;
        let n = v.ilog2();
        self.put((1 << (n - 2)) - 1, n - 1);
        self.put(v - (1 << n), n);
    }

    /// Appends weights below 128: the first one, and then differences.
    pub fn put_weights(&mut self, weights: &[u8]) {
        let Some(first) = weights.first() else { return };
        self.put(*first as u64, 7);
        weights.windows(2).for_each(|w| self.put_difference(w[1] as i32 - w[0] as i32));
    }

    /// Fills up the last byte with zeros.
    pub fn finish(self) {
        let bytes = self.count.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.waiting.to_le_bytes()[..bytes]);
    }
}

/// Takes bits from bytes. Behind the end are zeros: [`BitReader::finish`] tells whether any of them were taken.
pub struct BitReader<'a> {
    from: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// Begins with the first byte.
    pub fn new(from: &'a [u8]) -> BitReader<'a> {
        BitReader { from, at: 0 }
    }

    /// The next 32 bits, which are not taken yet.
    pub fn peek(&self) -> u32 {
        self.peek_long() as u32
    }

    /// The next 57 bits, and maybe some more.
    pub fn peek_long(&self) -> u64 {
        let rest = self.from.get(self.at / 8..).unwrap_or(&[]);
        let word = match rest.first_chunk::<8>() {
            Some(b) => u64::from_le_bytes(*b),
            None => rest.iter().rev().fold(0, |w, &b| w << 8 | b as u64),
        };
        word >> (self.at % 8)
    }

    /// Leaves out `n` bits.
    pub fn skip(&mut self, n: u32) {
        self.at += n as usize;
    }

    /// Takes at most 32 bits.
    pub fn take(&mut self, n: u32) -> u32 {
        let bits = self.peek() as u64 & ((1 << n) - 1);
        self.skip(n);
        bits as u32
    }

    /// Takes a difference.
    fn take_difference(&mut self) -> Option<i32> {
        let ones = self.peek().trailing_ones();
        if ones > 6 {
            return None;
        }
        self.skip(ones + 1);
        let n = ones + 2;
        let v = (self.take(n) + (1 << n) - 4) as i32;
        Some((v >> 1) ^ -(v & 1))
    }

    /// Takes so many weights, at least one; `None` if one is not below 128.
    pub fn take_weights(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut weight = self.take(7) as i32;
        let mut weights = vec![weight as u8];
        for _ in 1..count {
            weight += self.take_difference()?;
            weights.push(u8::try_from(weight).ok().filter(|w| *w < 128)?);
        }
        Some(weights)
    }

    /// Bytes taken; `None` if there were not so many, or if bits that are left in the last one are set.
    pub fn finish(self) -> Option<usize> {
        let size = self.at.div_ceil(8);
        let left = self.peek() & ((1u32 << (size * 8 - self.at)) - 1);
        (size <= self.from.len() && left == 0).then_some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_come_back_and_what_is_cut_off_is_refused() {
        let weights: Vec<u8> = (0..256u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 25) as u8).collect();
        for some in [&weights[..1], &weights[..2], &weights, &[0, 127, 0], &[127; 9]] {
            let mut out = Vec::new();
            let mut bits = BitWriter::new(&mut out);
            bits.put_weights(some);
            bits.finish();
            let mut bits = BitReader::new(&out);
            assert_eq!(bits.take_weights(some.len()).as_deref(), Some(some));
            assert_eq!(bits.finish(), Some(out.len()));
            let mut bits = BitReader::new(&out[..out.len() - 1]);
            assert!(bits.take_weights(some.len()).is_none() || bits.finish().is_none());
        }
    }

    #[test]
    fn weights_beyond_the_limits_are_refused() {
        // 7 bits of 127, then the difference 1: 2 + 4 is 110 in binary, n = 2, so 0 and then 10.
        assert_eq!(BitReader::new(&[0x7f, 0b10]).take_weights(2), None);
        // A difference of seven ones.
        assert_eq!(BitReader::new(&[0x80, 0x3f, 0]).take_weights(2), None);
    }
}

//! How often each value is to be expected, in 256ths: chosen, written down, read back.

use super::STATES;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// The frequency of each byte value, in 256ths, 0 for values that have no code. They sum to 256, and at least two values have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frequencies {
    of: [u8; 256],
    first: u8,
    last: u8,
}

impl Frequencies {
    /// Those that suit counts. A value so rare that a 256th of its own would lengthen the codes of the others by more than `exception_bits`
    /// for each of its occurrences gets none. `None` when fewer than two values are left.
    pub fn for_counts(counts: &[u32; 256], exception_bits: u64) -> Option<Frequencies> {
        let total: u64 = counts.iter().map(|c| *c as u64).sum();
        // The others lengthen by log2(1 / (1 − 2^-8)), which is 1/177 of a bit.
        let worth = |count: u32| count > 0 && count as u64 * exception_bits * 177 >= total;
        let kept: Vec<(usize, u64)> =
            (0..256).filter(|v| worth(counts[*v])).map(|v| (v, counts[v] as u64)).collect();
        if kept.len() < 2 {
            return None;
        }
        let sum: u64 = kept.iter().map(|k| k.1).sum();
        let mut parts: Vec<u64> = kept.iter().map(|k| (k.1 * STATES as u64 / sum).clamp(1, 255)).collect();
        let mut given: u64 = parts.iter().sum();
        // One by one to where another 256th saves most, or is missed least: c · log2((n + 1) / n) is close to c / (n + 1/2). Of equals, the
        // lower value. a / b as an integer that is the same everywhere.
        let more = given < STATES as u64;
        let can = |n: u64| if more { n < 255 } else { n > 1 };
        let urgency = |i: usize, n: u64| {
            let weight = ((kept[i].1 << 20) / if more { 2 * n + 1 } else { 2 * n - 1 }) as i64;
            (if more { weight } else { -weight }, Reverse(i))
        };
        let mut first: BinaryHeap<(i64, Reverse<usize>)> =
            (0..parts.len()).filter(|i| can(parts[*i])).map(|i| urgency(i, parts[i])).collect();
        while given != STATES as u64 {
            let mut next = first.peek_mut()?;
            let i = next.1.0;
            parts[i] = if more { parts[i] + 1 } else { parts[i] - 1 };
            given = if more { given + 1 } else { given - 1 };
            if can(parts[i]) {
                *next = urgency(i, parts[i]);
            } else {
                PeekMut::pop(next);
            }
        }
        let mut of = [0; 256];
        for ((v, _), n) in kept.iter().zip(&parts) {
            of[*v] = *n as u8;
        }
        Frequencies::new(of)
    }

    fn new(of: [u8; 256]) -> Option<Frequencies> {
        let first = of.iter().position(|n| *n > 0)?;
        let last = of.iter().rposition(|n| *n > 0)?;
        let sum: usize = of.iter().map(|n| *n as usize).sum();
        (sum == STATES && first < last).then_some(Frequencies { of, first: first as u8, last: last as u8 })
    }

    /// The frequencies, by byte value.
    pub fn of(&self) -> &[u8; 256] {
        &self.of
    }

    /// Size in bytes as written.
    pub fn written_size(&self) -> usize {
        3 + self.last as usize - self.first as usize
    }

    /// Appends them.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend([self.first, self.last]);
        out.extend(&self.of[self.first as usize..=self.last as usize]);
    }

    /// Reads them from the front of `data`; gives them and the bytes they took. `None` if they are cut off or not what the format asks for.
    pub fn read(data: &[u8]) -> Option<(Frequencies, usize)> {
        let (&first, &last) = (data.first()?, data.get(1)?);
        let n = (last as usize).checked_sub(first as usize)? + 1;
        let mut of = [0; 256];
        of[first as usize..=last as usize].copy_from_slice(data.get(2..2 + n)?);
        let read = Frequencies::new(of)?;
        (read.first == first && read.last == last).then_some((read, 2 + n))
    }

    /// The value of each state: each value's states lie 163 apart, modulo 256 (RFC 8878, section 4.1.1).
    pub(super) fn spread(&self) -> [u8; STATES] {
        let mut values = [0; STATES];
        let mut at = 0;
        for (value, &n) in self.of.iter().enumerate() {
            for _ in 0..n {
                values[at] = value as u8;
                at = (at + 163) % STATES;
            }
        }
        values
    }
}

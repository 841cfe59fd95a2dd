//! Counting. Several tables side by side, so that equal neighbours do not wait for each other's store.

use std::ops::AddAssign;

/// Bytes that are counted before four tables are cleared and added up.
const FEW: usize = 512;

/// Bytes from which on counts of 16 bits, whose tables are cleared and added up in half the time, may not be enough.
const MANY: usize = 1 << 18;

/// Bytes from which on eight tables pay.
const SOME: usize = 1 << 11;

#[inline(always)]
pub fn bytes(data: &[u8], counts: &mut [u32; 256]) {
    if data.len() < FEW {
        data.iter().for_each(|b| counts[*b as usize] += 1);
        return;
    }
    match data.len() {
        ..SOME => bytes_in::<u16, 4>(data, counts),
        SOME..MANY => bytes_in::<u16, 8>(data, counts),
        _ => bytes_in::<u32, 8>(data, counts),
    }
}

/// Counts in `TABLES` tables, 8 or a part of them, of numbers that hold a count of all of the bytes.
#[inline(always)]
fn bytes_in<C, const TABLES: usize>(data: &[u8], counts: &mut [u32; 256])
where
    C: Copy + Default + AddAssign + From<u8> + Into<u32>,
{
    let one = C::from(1);
    let mut t = [[C::default(); 256]; TABLES];
    let (words, tail) = data.as_chunks::<8>();
    for w in words {
        let v = u64::from_le_bytes(*w);
        for i in 0..8 {
            t[i % TABLES][(v >> (8 * i)) as u8 as usize] += one;
        }
    }
    for &b in tail {
        t[0][b as usize] += one;
    }
    for (i, c) in counts.iter_mut().enumerate() {
        *c += t.iter().map(|t| t[i].into()).sum::<u32>();
    }
}

#[inline(always)]
pub fn fields(data: &[u16], counts: &mut [u32], scratch: &mut Vec<u32>) {
    let n = counts.len();
    if n == 0 || !n.is_power_of_two() {
        return;
    }
    let mask = n - 1;
    scratch.clear();
    scratch.resize(3 * n, 0);
    let (a, rest) = scratch.split_at_mut(n);
    let (b, c) = rest.split_at_mut(n);
    let (quads, tail) = data.as_chunks::<4>();
    for q in quads {
        counts[q[0] as usize & mask] += 1;
        a[q[1] as usize & mask] += 1;
        b[q[2] as usize & mask] += 1;
        c[q[3] as usize & mask] += 1;
    }
    for &v in tail {
        counts[v as usize & mask] += 1;
    }
    for (i, o) in counts.iter_mut().enumerate() {
        *o += a[i] + b[i] + c[i];
    }
}

#[inline(always)]
pub fn range(data: &[u8]) -> (bool, u8, u8) {
    // Less one, zero is the highest value: one minimum leaves it out, and one maximum tells of it.
    let (mut lowest, mut highest, mut top) = (255u8, 0u8, 0u8);
    for &b in data {
        let less = b.wrapping_sub(1);
        lowest = lowest.min(less);
        top = top.max(less);
        highest = highest.max(b);
    }
    (top == 255, lowest.saturating_add(1), highest)
}

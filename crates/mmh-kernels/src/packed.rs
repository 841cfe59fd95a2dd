//! Values of a few bits, one behind the other without a gap, as bytes and back (`spec/codecs/hierarchical.md`, section 10).

/// The fewest and the most bits of a value.
pub const BITS: std::ops::RangeInclusive<u8> = 2..=7;

multiversion! {
    /// Writes each value to a byte: value `i` is the `bits` bits of `data` from `head + i · bits` up, where bit `j` of the data is bit `j mod 8` of
    /// byte `⌊j / 8⌋`. Bits that are not there are zero. Nothing is done unless `bits` is among [`BITS`] and `head` below 8.
    pub fn unpack(bits: u8, head: u8, data: &[u8], values: &mut [u8]) = unpack_generic;
    on unpack_on
}

multiversion! {
    /// The converse: the first `head` bits of `out` stay as they are, the lowest bits of each value stand behind them, and zeros behind the last
    /// one. What does not fit is left out.
    pub fn pack(bits: u8, head: u8, values: &[u8], out: &mut [u8]) = pack_generic;
    on pack_on
}

multiversion! {
    /// Adds to `differ` how often a bit is not what the one above it is: for each place of values of `bits` bits, 3 to 8, that follow one another from
    /// the first bit of `data` on. Every 64th bit counts as equal to the next one. `data` is taken as so many whole words of 64 bits as it has.
    pub fn differences(bits: u8, data: &[u8], differ: &mut [u32; 8]) = differences_generic;
    on differences_on
}

#[inline(always)]
fn differences_generic(bits: u8, data: &[u8], differ: &mut [u32; 8]) {
    match bits {
        3 => differences_in::<3>(data, differ),
        4 => differences_in::<4>(data, differ),
        5 => differences_in::<5>(data, differ),
        6 => differences_in::<6>(data, differ),
        7 => differences_in::<7>(data, differ),
        8 => differences_in::<8>(data, differ),
        _ => {}
    }
}

/// Every `B`-th bit of a word, from a first one on.
const fn every<const B: usize>() -> [u64; B] {
    let (mut masks, mut bit) = ([0; B], 0);
    while bit < 64 {
        masks[bit % B] |= 1 << bit;
        bit += 1;
    }
    masks
}

#[inline(always)]
fn differences_in<const B: usize>(data: &[u8], differ: &mut [u32; 8]) {
    let masks = const { every::<B>() };
    let mut found = [0; B];
    let mut add = |k: usize, word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        // The last bit has its neighbour in another word.
        let apart = (word ^ word >> 1) & (u64::MAX >> 1);
        for (i, mask) in masks.iter().enumerate() {
            found[(64 * k + i) % B] += (apart & mask).count_ones();
        }
    };
    // After so many words, one begins where a value does.
    let (groups, rest) = data.as_chunks::<8>().0.as_chunks::<B>();
    for group in groups {
        group.iter().enumerate().for_each(|(k, word)| add(k, word));
    }
    rest.iter().enumerate().for_each(|(k, word)| add(k, word));
    differ.iter_mut().zip(found).for_each(|(differ, found)| *differ += found);
}

macro_rules! with_bits {
    ($bits:ident, $head:ident, $function:ident $args:tt) => {
        match $bits {
            _ if $head > 7 => {}
            2 => $function::<2> $args,
            3 => $function::<3> $args,
            4 => $function::<4> $args,
            5 => $function::<5> $args,
            6 => $function::<6> $args,
            7 => $function::<7> $args,
            _ => {}
        }
    };
}

#[inline(always)]
fn unpack_generic(bits: u8, head: u8, data: &[u8], values: &mut [u8]) {
    with_bits!(bits, head, unpack_in(head, data, values));
}

#[inline(always)]
fn pack_generic(bits: u8, head: u8, values: &[u8], out: &mut [u8]) {
    with_bits!(bits, head, pack_in(head, values, out));
}

/// Eight values: a multiple of whole bytes.
const TOGETHER: usize = 8;

/// Up to 8 bytes from `at` on, those that are not there being zero.
#[inline(always)]
fn load(data: &[u8], at: usize) -> u64 {
    let from = data.get(at..).unwrap_or_default();
    match from.first_chunk::<8>() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => from.iter().rev().fold(0, |word, byte| word << 8 | *byte as u64),
    }
}

/// `n` ones at the bottom of each field of `of` bits.
const fn ones(n: u32, of: u32) -> u64 {
    let (mut mask, mut at) = (0, 0);
    while at < 64 {
        mask |= ((1 << n) - 1) << at;
        at += of;
    }
    mask
}

/// Eight values of `B` bits to eight bytes: halves move apart, then quarters, then values.
#[inline(always)]
fn spread<const B: u32>(x: u64) -> u64 {
    let x = x & const { ones(4 * B, 64) } | x << (32 - 4 * B) & const { ones(4 * B, 64) << 32 };
    let x = x & const { ones(2 * B, 32) } | x << (16 - 2 * B) & const { ones(2 * B, 32) << 16 };
    x & const { ones(B, 16) } | x << (8 - B) & const { ones(B, 16) << 8 }
}

/// The converse.
#[inline(always)]
fn squeeze<const B: u32>(x: u64) -> u64 {
    let x = x & const { ones(B, 16) } | x >> (8 - B) & const { ones(B, 16) << B };
    let x = x & const { ones(2 * B, 32) } | x >> (16 - 2 * B) & const { ones(2 * B, 32) << (2 * B) };
    x & const { ones(4 * B, 64) } | x >> (32 - 4 * B) & const { ones(4 * B, 64) << (4 * B) }
}

#[inline(always)]
fn unpack_in<const B: u32>(head: u8, data: &[u8], values: &mut [u8]) {
    let (eights, last) = values.as_chunks_mut::<TOGETHER>();
    let whole = eights.len();
    for (k, eight) in eights.iter_mut().enumerate() {
        *eight = spread::<B>(load(data, k * B as usize) >> head).to_le_bytes();
    }
    let left = spread::<B>(load(data, whole * B as usize) >> head).to_le_bytes();
    last.iter_mut().zip(left).for_each(|(to, value)| *to = value);
}

#[inline(always)]
fn pack_in<const B: u32>(head: u8, values: &[u8], out: &mut [u8]) {
    let (eights, last) = values.as_chunks::<TOGETHER>();
    // The bits of a byte that eight values begin within.
    let mut begun = out.first().map_or(0, |byte| (byte & ((1 << head) - 1)) as u64);
    let mut at = 0;
    for eight in eights {
        let bits = begun | squeeze::<B>(u64::from_le_bytes(*eight)) << head;
        // What is too much is overwritten by the next ones.
        store(bits, at, out);
        begun = bits >> (8 * B);
        at += B as usize;
    }
    let mut left = [0; TOGETHER];
    left.iter_mut().zip(last).for_each(|(to, value)| *to = *value);
    store(begun | squeeze::<B>(u64::from_le_bytes(left)) << head, at, out);
}

/// Writes a word to as many of the bytes from `at` on as there are.
#[inline(always)]
fn store(word: u64, at: usize, out: &mut [u8]) {
    let to = out.get_mut(at..).unwrap_or_default();
    let bytes = word.to_le_bytes();
    match to.first_chunk_mut::<8>() {
        Some(to) => *to = bytes,
        None => to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Simd;

    fn bit(data: &[u8], at: usize) -> u8 {
        data[at / 8] >> (at % 8) & 1
    }

    #[test]
    fn values_stand_where_they_are_said_to_on_every_set() {
        let noise: Vec<u8> = (0..400u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
        for bits in BITS {
            for head in 0..8u8 {
                for len in [1usize, 2, 7, 8, 9, 63, 64, 65, 400] {
                    let data = &noise[..len];
                    let n = (8 * len - head as usize) / bits as usize;
                    let value = |i: usize| {
                        let first = head as usize + i * bits as usize;
                        (0..bits as usize).map(|k| bit(data, first + k) << k).sum::<u8>()
                    };
                    let expected: Vec<u8> = (0..n).map(value).collect();
                    for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                        let mut values = vec![0xaa; n];
                        unpack_on(simd, bits, head, data, &mut values);
                        assert!(values == expected, "{simd:?} {bits} {head} {len}");
                        // Bits above a value are of no account.
                        values.iter_mut().for_each(|v| *v |= 0x80 & (0xff << bits));
                        let mut out = vec![data[0]; len];
                        pack_on(simd, bits, head, &values, &mut out);
                        let end = head as usize + n * bits as usize;
                        let zero = |at: usize| at >= end;
                        let same =
                            (0..8 * len).all(|at| bit(&out, at) == if zero(at) { 0 } else { bit(data, at) });
                        assert!(same, "{simd:?} {bits} {head} {len}");
                    }
                }
            }
        }
    }

    #[test]
    fn differences_are_counted_by_their_place_on_every_set() {
        let noise: Vec<u8> = (0..400u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
        for bits in 3..=8 {
            for len in [0, 7, 8, 63, 64, 256, 400] {
                let data = &noise[..len];
                let mut expected = [1; 8];
                for at in (0..len / 8 * 64).filter(|at| at % 64 < 63) {
                    expected[at % bits as usize] += (bit(data, at) != bit(data, at + 1)) as u32;
                }
                for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                    let mut differ = [1; 8];
                    differences_on(simd, bits, data, &mut differ);
                    assert_eq!(differ, expected, "{simd:?} {bits} {len}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_width_does_nothing() {
        for (bits, head) in [(0, 0), (1, 0), (8, 0), (255, 0), (3, 8), (7, 255)] {
            let (mut values, mut out) = ([7; 9], [7; 9]);
            unpack(bits, head, &[0; 20], &mut values);
            pack(bits, head, &[0; 20], &mut out);
            assert!(values == [7; 9] && out == [7; 9]);
        }
        // More values than there is room or data for.
        let (mut values, mut out) = ([7; 20], [0; 2]);
        unpack(5, 1, &[0xff; 2], &mut values);
        assert_eq!(values[..4], [31, 31, 31, 0]);
        pack(5, 0, &[31; 20], &mut out);
        assert_eq!(out, [0xff; 2]);
        pack(5, 0, &[], &mut []);
    }
}

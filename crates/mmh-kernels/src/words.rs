//! Words of any number of bits, one behind the other without gaps: bit `j` of a word that begins at bit `b` is bit `(b + j) mod 8` of byte
//! `⌊(b + j) / 8⌋` (`spec/codecs/hierarchical.md`, section 4).

/// The most bits of a word.
pub const MAX_BITS: usize = 512;

/// `bits` (1 to 64) bits from bit `at` on; those behind the end of `data` are zero.
#[inline(always)]
pub fn read(data: &[u8], at: usize, bits: usize) -> u64 {
    let (byte, shift) = (at / 8, at % 8);
    let mask = u64::MAX >> (64 - bits.clamp(1, 64));
    if let Some(nine) = data.get(byte..).and_then(|d| d.first_chunk::<9>()) {
        let low =
            u64::from_le_bytes([nine[0], nine[1], nine[2], nine[3], nine[4], nine[5], nine[6], nine[7]]);
        // In two steps, as a shift by 64 is none.
        return (low >> shift | (nine[8] as u64) << 1 << (63 - shift)) & mask;
    }
    let mut low = 0u128;
    for (i, b) in data.get(byte..).unwrap_or_default().iter().take(9).enumerate() {
        low |= (*b as u128) << (8 * i);
    }
    (low >> shift) as u64 & mask
}

/// Ors `bits` (1 to 64) bits into `out` from bit `at` on; those behind its end are dropped. `word` has no others.
#[inline(always)]
pub fn or(out: &mut [u8], at: usize, bits: usize, word: u64) {
    let (byte, shift) = (at / 8, at % 8);
    let Some(out) = out.get_mut(byte..) else { return };
    if let Some(eight) = out.first_chunk_mut::<8>()
        && bits + shift <= 64
    {
        *eight = (u64::from_le_bytes(*eight) | word << shift).to_le_bytes();
        return;
    }
    let all = (word as u128) << shift;
    out.iter_mut().take(9).enumerate().for_each(|(i, b)| *b |= (all >> (8 * i)) as u8);
}

/// The same of a word of any length up to [`MAX_BITS`], which begins at bit `from` of `data`.
#[inline(always)]
pub fn copy(data: &[u8], from: usize, out: &mut [u8], at: usize, bits: usize) {
    let mut done = 0;
    while done < bits {
        let n = (bits - done).min(56);
        or(out, at + done, n, read(data, from + done, n));
        done += n;
    }
}

multiversion! {
    /// Writes the words that `numbers` (of one byte each, or two in little-endian order if `wide`) stand for, `bits` bits each, from bit `at` of `out` on, which is zero
    /// there. `book` has the words one behind the other; a number beyond it leaves zeros.
    pub fn expand(book: &[u8], bits: usize, numbers: &[u8], wide: bool, out: &mut [u8], at: usize) = expand_generic;
    on expand_on
}

#[inline(always)]
fn expand_generic(book: &[u8], bits: usize, numbers: &[u8], wide: bool, out: &mut [u8], at: usize) {
    let out = out.get_mut(at / 8..).unwrap_or_default();
    match (bits, at % 8, wide) {
        (8, 0, false) => bytes::<1, 1>(book, numbers, out),
        (16, 0, false) => bytes::<2, 1>(book, numbers, out),
        (32, 0, false) => bytes::<4, 1>(book, numbers, out),
        (64, 0, false) => bytes::<8, 1>(book, numbers, out),
        (16, 0, true) => bytes::<2, 2>(book, numbers, out),
        (32, 0, true) => bytes::<4, 2>(book, numbers, out),
        (64, 0, true) => bytes::<8, 2>(book, numbers, out),
        (4, 0, false) => nibbles(book, numbers, out),
        _ => any(book, bits, numbers, wide, out, at % 8),
    }
}

/// Words of whole bytes.
#[inline(always)]
fn bytes<const SIZE: usize, const NUMBER: usize>(book: &[u8], numbers: &[u8], out: &mut [u8]) {
    let words = book.as_chunks::<SIZE>().0;
    if NUMBER == 1 {
        // Without a question whether a number is in the book.
        let all: [[u8; SIZE]; 256] = std::array::from_fn(|i| words.get(i).copied().unwrap_or([0; SIZE]));
        let each = out.as_chunks_mut::<SIZE>().0.iter_mut().zip(numbers);
        each.for_each(|(word, n)| *word = all[*n as usize]);
    } else {
        let each = out.as_chunks_mut::<SIZE>().0.iter_mut().zip(numbers.as_chunks::<2>().0);
        each.for_each(|(word, n)| {
            *word = words.get(u16::from_le_bytes(*n) as usize).copied().unwrap_or([0; SIZE]);
        });
    }
}

/// Words of four bits.
#[inline(always)]
fn nibbles(book: &[u8], numbers: &[u8], out: &mut [u8]) {
    let all: [u8; 256] = std::array::from_fn(|i| book.get(i / 2).map_or(0, |b| b >> (4 * (i % 2)) & 15));
    let (pairs, last) = numbers.as_chunks::<2>();
    for (byte, pair) in out.iter_mut().zip(pairs) {
        *byte = all[pair[0] as usize] | all[pair[1] as usize] << 4;
    }
    if let (Some(n), Some(byte)) = (last.first(), out.get_mut(pairs.len())) {
        *byte |= all[*n as usize];
    }
}

#[inline(always)]
fn any(book: &[u8], bits: usize, numbers: &[u8], wide: bool, out: &mut [u8], at: usize) {
    let bits = bits.clamp(1, MAX_BITS);
    let known = book.len() * 8 / bits;
    let mut at = at;
    let mut put = |n: usize| {
        if n < known {
            copy(book, n * bits, out, at, bits);
        }
        at += bits;
    };
    if wide {
        numbers.as_chunks::<2>().0.iter().for_each(|n| put(u16::from_le_bytes(*n) as usize));
    } else {
        numbers.iter().for_each(|n| put(*n as usize));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Simd;

    fn bit(data: &[u8], at: usize) -> u8 {
        data.get(at / 8).map_or(0, |b| b >> (at % 8) & 1)
    }

    #[test]
    fn reads_and_writes_the_bits_that_are_meant() {
        let data: Vec<u8> = (0..40u32).map(|i| (i * i * 37 + 11) as u8).collect();
        for at in 0..330 {
            for bits in 1..=64 {
                let word = read(&data, at, bits);
                for j in 0..64 {
                    let expected = if j < bits { bit(&data, at + j) } else { 0 };
                    assert_eq!((word >> j) as u8 & 1, expected, "{at} {bits} {j}");
                }
                let mut out = [0; 40];
                or(&mut out, at, bits, word);
                for j in 0..320 {
                    let expected = if (at..at + bits).contains(&j) { bit(&data, j) } else { 0 };
                    assert_eq!(bit(&out, j), expected, "{at} {bits} {j}");
                }
            }
        }
    }

    #[test]
    fn numbers_become_their_words_on_every_set() {
        for bits in [4usize, 5, 8, 12, 16, 24, 32, 64, 128, 251, 512] {
            for (wide, known, at) in
                [(false, 7, 0), (false, 16, 3), (true, 7, 8), (true, 900, 0), (true, 30, 5)]
            {
                let known = if bits == 4 { known.min(16) } else { known };
                let book: Vec<u8> = (0..(known * bits).div_ceil(8)).map(|i| (i * i / 3 + i) as u8).collect();
                let count = 101;
                let number = |i: usize| i * i % known;
                let numbers: Vec<u8> = (0..count)
                    .flat_map(|i| {
                        if wide { (number(i) as u16).to_le_bytes().to_vec() } else { vec![number(i) as u8] }
                    })
                    .collect();
                for simd in Simd::ALL.iter().copied().filter(|s| s.is_available()) {
                    let mut out = vec![0; (at + count * bits).div_ceil(8)];
                    expand_on(simd, &book, bits, &numbers, wide, &mut out, at);
                    for i in 0..count {
                        for j in 0..bits {
                            let expected = bit(&book, number(i) * bits + j);
                            assert_eq!(
                                bit(&out, at + i * bits + j),
                                expected,
                                "{simd:?} {bits} {at} {i} {j}"
                            );
                        }
                    }
                }
            }
        }
    }
}

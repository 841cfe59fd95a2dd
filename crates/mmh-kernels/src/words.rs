//! Words of any number of bits, one behind the other without gaps: bit `j` of a word that begins at bit `b` is bit `(b + j) mod 8` of byte
//! `⌊(b + j) / 8⌋` (`spec/codecs/hierarchical.md`, section 4).

/// The most bits of a word.
pub const MAX_BITS: usize = 512;

/// `bits` (1 to 64) bits from bit `at` on; those behind the end of `data` are zero.
#[inline(always)]
pub fn read(data: &[u8], at: usize, bits: usize) -> u64 {
    let (byte, shift) = (at / 8, at % 8);
    let mask = u64::MAX >> (64 - bits.clamp(1, 64));
    if shift + bits <= 64
        && let Some(eight) = data.get(byte..).and_then(|d| d.first_chunk::<8>())
    {
        return u64::from_le_bytes(*eight) >> shift & mask;
    }
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
    let bits = bits.clamp(1, MAX_BITS);
    if wide {
        expand_numbers::<2>(book, bits, numbers, out, at);
    } else {
        expand_numbers::<1>(book, bits, numbers, out, at);
    }
}

/// Calls a function with the bytes of a word as a constant, where words are of whole bytes, of a common number of them.
macro_rules! with_size {
    ($bits:expr, $at:expr, $name:ident::<$($more:tt),*>($($arg:expr),*), else $other:expr) => {
        match ($bits, $at % 8) {
            (8, 0) => $name::<1, $($more),*>($($arg),*),
            (16, 0) => $name::<2, $($more),*>($($arg),*),
            (24, 0) => $name::<3, $($more),*>($($arg),*),
            (32, 0) => $name::<4, $($more),*>($($arg),*),
            (48, 0) => $name::<6, $($more),*>($($arg),*),
            (64, 0) => $name::<8, $($more),*>($($arg),*),
            (96, 0) => $name::<12, $($more),*>($($arg),*),
            (128, 0) => $name::<16, $($more),*>($($arg),*),
            (512, 0) => $name::<64, $($more),*>($($arg),*),
            _ => $other,
        }
    };
}

#[inline(always)]
fn expand_numbers<const NUMBER: usize>(book: &[u8], bits: usize, numbers: &[u8], out: &mut [u8], at: usize) {
    if bits == 4 && at.is_multiple_of(8) && NUMBER == 1 {
        return nibbles(book, numbers, out.get_mut(at / 8..).unwrap_or_default());
    }
    with_size!(bits, at, bytes::<NUMBER>(book, numbers, out.get_mut(at / 8..).unwrap_or_default()), else {
        // As many words as fit 56 bits go into a look at the output.
        match bits {
            ..=14 => stream::<4, NUMBER>(book, bits, numbers, out, at),
            15..=28 => stream::<2, NUMBER>(book, bits, numbers, out, at),
            29..=56 => stream::<1, NUMBER>(book, bits, numbers, out, at),
            _ => pieces::<NUMBER>(book, bits, numbers, out, at),
        }
    });
}

#[inline(always)]
fn number<const NUMBER: usize>(n: &[u8; NUMBER]) -> usize {
    n.iter().rev().fold(0, |v, b| v << 8 | *b as usize)
}

/// Words of whole bytes.
#[inline(always)]
fn bytes<const SIZE: usize, const NUMBER: usize>(book: &[u8], numbers: &[u8], out: &mut [u8]) {
    let words = book.as_chunks::<SIZE>().0;
    let each = out.as_chunks_mut::<SIZE>().0.iter_mut().zip(numbers.as_chunks::<NUMBER>().0);
    if NUMBER == 1 {
        // Without a question whether a number is in the book.
        let all: [[u8; SIZE]; 256] = std::array::from_fn(|i| words.get(i).copied().unwrap_or([0; SIZE]));
        each.for_each(|(word, n)| *word = all[n[0] as usize]);
    } else {
        each.for_each(|(word, n)| *word = words.get(number(n)).copied().unwrap_or([0; SIZE]));
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

/// Bits that go out in order.
struct Stream<'a> {
    out: &'a mut [u8],
    byte: usize,
    /// Those of the next byte that are there already, fewer than 8.
    word: u64,
    used: usize,
}

impl<'a> Stream<'a> {
    /// From bit `at` on.
    #[inline(always)]
    fn new(out: &'a mut [u8], at: usize) -> Stream<'a> {
        let word = out.get(at / 8).map_or(0, |b| *b as u64);
        Stream { out, byte: at / 8, word, used: at % 8 }
    }

    /// Appends up to 56 bits, and zeros behind them; there are 8 bytes from here on.
    #[inline(always)]
    fn put(&mut self, value: u64, bits: usize) {
        self.word |= value << self.used;
        if let Some(eight) = self.out.get_mut(self.byte..).and_then(|o| o.first_chunk_mut::<8>()) {
            *eight = self.word.to_le_bytes();
        }
        let all = self.used + bits;
        self.byte += all / 8;
        self.word = self.word >> (all & 56) & 0xff;
        self.used = all % 8;
    }
}

/// Of so many numbers those whose words end 8 bytes or more before the end of all of them, from where on a stream may not write zeros.
#[inline(always)]
fn early(count: usize, bits: usize, at: usize, out: &[u8]) -> usize {
    let end = (at + count * bits).min(out.len() * 8);
    count.min((end.saturating_sub(at + 64 + 8)) / bits)
}

/// Words of up to 56 bits, `N` of which have no more together.
#[inline(always)]
fn stream<const N: usize, const NUMBER: usize>(
    book: &[u8],
    bits: usize,
    numbers: &[u8],
    out: &mut [u8],
    at: usize,
) {
    let known = book.len() * 8 / bits;
    let word = |n: usize| if n < known { read(book, n * bits, bits) } else { 0 };
    let numbers = numbers.as_chunks::<NUMBER>().0;
    let groups = early(numbers.len(), bits, at, out) / N;
    let (now, later) = numbers.split_at(groups * N);
    // The words apart, where a number can be looked up without a question; of wide numbers if there are enough of them that it pays.
    let few: [u64; 256];
    let many: Vec<u64>;
    let all: &[u64] = if NUMBER == 1 {
        few = std::array::from_fn(word);
        &few
    } else if known < numbers.len() / 4 {
        many = (0..known).map(word).collect();
        &many
    } else {
        &[]
    };
    let mut to = Stream::new(out, at);
    for group in now.as_chunks::<N>().0 {
        let mut value = 0;
        for (j, n) in group.iter().enumerate() {
            let n = number(n);
            let word =
                if NUMBER == 1 || !all.is_empty() { all.get(n).copied().unwrap_or(0) } else { word(n) };
            value |= word << (j * bits);
        }
        to.put(value, N * bits);
    }
    any(book, bits, later, out, at + now.len() * bits);
}

/// Longer words that are not whole bytes.
#[inline(always)]
fn pieces<const NUMBER: usize>(book: &[u8], bits: usize, numbers: &[u8], out: &mut [u8], at: usize) {
    let known = book.len() * 8 / bits;
    let numbers = numbers.as_chunks::<NUMBER>().0;
    let (now, later) = numbers.split_at(early(numbers.len(), bits, at, out));
    let mut to = Stream::new(out, at);
    for n in now {
        let n = number(n);
        let from = n * bits;
        for done in (0..bits).step_by(56) {
            let m = (bits - done).min(56);
            to.put(if n < known { read(book, from + done, m) } else { 0 }, m);
        }
    }
    any(book, bits, later, out, at + now.len() * bits);
}

/// Words of any length, one bit or another; what is there already stays.
#[inline(always)]
fn any<const NUMBER: usize>(
    book: &[u8],
    bits: usize,
    numbers: &[[u8; NUMBER]],
    out: &mut [u8],
    mut at: usize,
) {
    let known = book.len() * 8 / bits;
    for n in numbers {
        let n = number(n);
        if n < known {
            copy(book, n * bits, out, at, bits);
        }
        at += bits;
    }
}

multiversion! {
    /// Shifts numbers (of one byte each, or two in little-endian order if `wide`) down by `shift`, where wide ones are. Gives how many are `highest`; `None` if one is above
    /// it, or had lower bits that were not zero.
    pub fn narrow(numbers: &mut [u8], wide: bool, shift: u32, highest: usize) -> Option<usize> = narrow_generic;
    on narrow_on
}

#[inline(always)]
fn narrow_generic(numbers: &mut [u8], wide: bool, shift: u32, highest: usize) -> Option<usize> {
    let (mut most, mut lost, mut count) = (0, 0, 0);
    if wide {
        let highest = highest as u16;
        let shift = shift & 15;
        // Short enough that 16 bits count them.
        for part in numbers.as_chunks_mut::<2>().0.chunks_mut(1 << 15) {
            let mut some = 0u16;
            for n in part {
                let number = u16::from_le_bytes(*n);
                let low = number >> shift;
                lost |= low << shift ^ number;
                most = low.max(most);
                some += (low == highest) as u16;
                *n = low.to_le_bytes();
            }
            count += some as usize;
        }
    } else {
        let highest = highest.min(255) as u8;
        for part in numbers.chunks(255) {
            count += part.iter().fold(0u8, |some, n| some + (*n == highest) as u8) as usize;
            most = part.iter().fold(0u8, |most, n| most.max(*n)).max(most as u8) as u16;
        }
    }
    (most as usize <= highest && lost == 0).then_some(count)
}

multiversion! {
    /// Writes the words of `rest`, one behind the other, to the places in `out` of the numbers (as those of [`expand`]) that are `escape`: `bits` bits each,
    /// the words of all numbers from bit `at` on. What is there is zero; words of 32 and 64 bits at whole bytes may stand on anything.
    pub fn scatter(numbers: &[u8], wide: bool, escape: usize, rest: &[u8], bits: usize, out: &mut [u8], at: usize) = scatter_generic;
    on scatter_on
}

#[inline(always)]
fn scatter_generic(
    numbers: &[u8],
    wide: bool,
    escape: usize,
    rest: &[u8],
    bits: usize,
    out: &mut [u8],
    at: usize,
) {
    let bits = bits.clamp(1, MAX_BITS);
    if wide {
        scatter_words::<2>(numbers, escape, rest, bits, out, at);
    } else {
        scatter_words::<1>(numbers, escape, rest, bits, out, at);
    }
}

#[inline(always)]
fn scatter_words<const NUMBER: usize>(
    numbers: &[u8],
    escape: usize,
    rest: &[u8],
    bits: usize,
    out: &mut [u8],
    at: usize,
) {
    with_size!(bits, at, scatter_bytes::<NUMBER>(numbers, escape, rest, out.get_mut(at / 8..).unwrap_or_default()), else {
        let mut from = 0;
        each_equal::<NUMBER>(numbers, escape, |i| {
            copy(rest, from, out, at + i * bits, bits);
            from += bits;
        });
    });
}

#[inline(always)]
fn scatter_bytes<const SIZE: usize, const NUMBER: usize>(
    numbers: &[u8],
    escape: usize,
    rest: &[u8],
    out: &mut [u8],
) {
    let mut words = rest.as_chunks::<SIZE>().0.iter();
    let out = out.as_chunks_mut::<SIZE>().0;
    each_equal::<NUMBER>(numbers, escape, |i| {
        if let (Some(to), Some(word)) = (out.get_mut(i), words.next()) {
            *to = *word;
        }
    });
}

/// Calls `f` with the position of each number that is `value`. A list of them might take more memory than the words.
#[inline(always)]
fn each_equal<const NUMBER: usize>(numbers: &[u8], value: usize, mut f: impl FnMut(usize)) {
    // Eight bytes at a time: a lane without the bits of `value` is zero, and carries nothing into its highest bit.
    let most = u64::MAX >> (64 - 8 * NUMBER);
    let ones = u64::MAX / most;
    let most = most as usize;
    if value > most {
        return;
    }
    let same = ones * value as u64;
    let below = ones * (most as u64 >> 1);
    let (eights, last) = numbers.as_chunks::<8>();
    for (i, eight) in eights.iter().enumerate() {
        let x = u64::from_le_bytes(*eight) ^ same;
        let mut equal = !(((x & below) + below) | x | below);
        while equal != 0 {
            f((8 * i + equal.trailing_zeros() as usize / 8) / NUMBER);
            equal &= equal - 1;
        }
    }
    for (i, n) in last.as_chunks::<NUMBER>().0.iter().enumerate() {
        if number(n) == value {
            f(8 * eights.len() / NUMBER + i);
        }
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
        for bits in [4usize, 5, 8, 12, 13, 16, 17, 24, 31, 32, 48, 56, 57, 64, 96, 100, 128, 251, 504, 512] {
            for (wide, known, at) in
                [(false, 7, 0), (false, 16, 3), (true, 7, 8), (true, 900, 0), (true, 30, 5), (false, 16, 8)]
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

    #[test]
    fn words_that_are_in_no_book_come_to_their_places_on_every_set() {
        for bits in [4usize, 5, 8, 12, 16, 24, 32, 48, 64, 96, 100, 128, 251, 512] {
            for (wide, escape, at) in [(false, 3, 0), (false, 255, 8), (true, 3, 16), (true, 300, 5)] {
                let count = 301;
                let is_escape = |i: usize| i.is_multiple_of(3) || i > 280;
                let number = |i: usize| if is_escape(i) { escape } else { (escape + i + 1) % 251 };
                let numbers: Vec<u8> = (0..count)
                    .flat_map(|i| {
                        if wide { (number(i) as u16).to_le_bytes().to_vec() } else { vec![number(i) as u8] }
                    })
                    .collect();
                let equal: Vec<usize> = (0..count).filter(|i| number(*i) == escape).collect();
                let rest: Vec<u8> =
                    (0..(equal.len() * bits).div_ceil(8)).map(|i| (i * i / 5 + 3 * i + 1) as u8).collect();
                for simd in Simd::ALL.iter().copied().filter(|s| s.is_available()) {
                    let mut out = vec![0; (at + count * bits).div_ceil(8)];
                    scatter_on(simd, &numbers, wide, escape, &rest, bits, &mut out, at);
                    let mut set = 0;
                    for (k, i) in equal.iter().enumerate() {
                        for j in 0..bits {
                            let expected = bit(&rest, k * bits + j);
                            set += expected as u32;
                            assert_eq!(bit(&out, at + i * bits + j), expected, "{simd:?} {bits} {i} {j}");
                        }
                    }
                    assert_eq!(out.iter().map(|b| b.count_ones()).sum::<u32>(), set, "nothing else is set");
                }
            }
        }
    }

    #[test]
    fn numbers_are_shifted_down_counted_and_checked_on_every_set() {
        for simd in Simd::ALL.iter().copied().filter(|s| s.is_available()) {
            let numbers: Vec<u16> = (0..70_000u32).map(|i| (i * 7919 % 900) as u16).collect();
            let mut wide: Vec<u8> = numbers.iter().flat_map(|n| (n << 6).to_le_bytes()).collect();
            let expected = numbers.iter().filter(|n| **n == 899).count();
            assert_eq!(narrow_on(simd, &mut wide.clone(), true, 6, 898), None);
            let mut low = wide.clone();
            low[1000] |= 1;
            assert_eq!(narrow_on(simd, &mut low, true, 6, 899), None);
            assert_eq!(narrow_on(simd, &mut wide, true, 6, 899), Some(expected));
            assert!(wide.chunks(2).zip(&numbers).all(|(w, n)| w == n.to_le_bytes()));
            let mut bytes: Vec<u8> = numbers.iter().map(|n| (n % 77) as u8).collect();
            let expected = bytes.iter().filter(|n| **n == 76).count();
            assert_eq!(narrow_on(simd, &mut bytes, false, 0, 76), Some(expected));
            assert_eq!(narrow_on(simd, &mut bytes, false, 0, 75), None);
            assert_eq!(narrow_on(simd, &mut bytes, false, 0, 300), Some(0));
        }
    }
}

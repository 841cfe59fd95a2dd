//! Elements of which one word is frequent: a bit for each tells whether it is another, and the others stand one behind the other
//! (`spec/codecs/hierarchical.md`, section 11). Strings of bits have bit `i` in bit `i mod 8` of byte `⌊i / 8⌋`, and zeros behind the last one.

use crate::cpu::Simd;

/// The elements that are taken apart: `1 << width` bytes each, in little-endian order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequent {
    /// log2 of the bytes of an element, up to 3.
    pub width: u8,
    /// The frequent one; bits above those of an element are of no account.
    pub word: u64,
    /// Whether elements are the frequent one with either value of their highest bit, of which there is a string then.
    pub signed: bool,
}

impl Frequent {
    /// The highest bit of an element.
    fn top(&self) -> u64 {
        1 << ((8 << self.width) - 1)
    }
}

/// Elements taken apart: bytes of others, and how many are frequent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Bytes of `others` that are written.
    pub others: usize,
    /// Bits of `signs` that are written, if there are any signs.
    pub frequent: usize,
}

/// Writes to `mask` a bit for each element of `data`, which tells whether it is another, to `others` those that are, and to `signs` the highest bits of those that are not, if these have
/// signs. What is in `mask` and `signs` before is of no account; bytes of `signs` behind the last bit are undefined.
///
/// # Panics
/// If `mask` has not a bit for each element, `others` not as many bytes as `data`, or `signs` not a bit for each element and [`SLACK`]
/// bytes more, if there are any signs.
pub fn split(of: &Frequent, data: &[u8], mask: &mut [u8], others: &mut [u8], signs: &mut [u8]) -> Apart {
    split_on(crate::cpu::simd(), of, data, mask, others, signs)
}

/// The same on the given instruction set.
pub fn split_on(
    simd: Simd,
    of: &Frequent,
    data: &[u8],
    mask: &mut [u8],
    others: &mut [u8],
    signs: &mut [u8],
) -> Apart {
    assert!(of.width < 4);
    let count = data.len() >> of.width;
    assert!(mask.len() == count.div_ceil(8) && others.len() >= data.len());
    assert!(!of.signed || signs.len() >= mask.len() + SLACK);
    let mut to = Bits { bytes: signs, window: 0, held: 0, at: 0 };
    let mut done = Apart { others: 0, frequent: 0 };
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with; there is room for others.
        done.others = unsafe { crate::x86_64::sparse_avx512::split(of, data, mask, others, &mut to) };
    }
    // What is left of less than a register, or all.
    let taken = taken_on(simd, data.len());
    let (left, bits) = (&data[taken..], &mut mask[taken >> of.width >> 3..]);
    done.others += split_plain_on(simd, of, left, bits, &mut others[done.others..], &mut to);
    to.end();
    done.frequent = count - (done.others >> of.width);
    done
}

/// The converse: fills `out` with the frequent one and the others. Whether there are as many bits and others as elements, and no bits behind them; nothing
/// is done if not.
pub fn join(of: &Frequent, mask: &[u8], others: &[u8], signs: &[u8], out: &mut [u8]) -> bool {
    join_on(crate::cpu::simd(), of, mask, others, signs, out)
}

/// The same on the given instruction set.
pub fn join_on(simd: Simd, of: &Frequent, mask: &[u8], others: &[u8], signs: &[u8], out: &mut [u8]) -> bool {
    if of.width > 3 {
        return false;
    }
    let elements = out.len() >> of.width;
    let left = count_on(simd, mask);
    let frequent = elements.wrapping_sub(left);
    if !are_bits(mask, elements)
        || left << of.width != others.len()
        || of.signed && !are_bits(signs, frequent)
    {
        return false;
    }
    let mut from = Bits { bytes: signs, window: 0, held: 0, at: 0 };
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
    let mut at = 0;
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with; others are as many as bits are set.
        at = unsafe { crate::x86_64::sparse_avx512::join(of, mask, others, &mut from, out) };
    }
    let taken = taken_on(simd, out.len());
    let bits = &mask[taken >> of.width >> 3..];
    join_plain_on(simd, of, bits, &others[at..], &mut from, &mut out[taken..]);
    true
}

/// Bytes of elements that are taken a register at a time.
fn taken_on(simd: Simd, len: usize) -> usize {
    if cfg!(target_arch = "x86_64") && simd == Simd::Avx512 && simd.is_available() {
        len / 64 * 64
    } else {
        0
    }
}

/// Whether so many bits are in as many bytes as they need, with zeros behind them.
fn are_bits(bytes: &[u8], bits: usize) -> bool {
    let unused = if bits.is_multiple_of(8) { 0 } else { bytes.last().map_or(0, |b| b >> (bits % 8)) };
    bytes.len() == bits.div_ceil(8) && unused == 0
}

/// Bytes that [`split`] has to have room for behind the bits of signs.
pub const SLACK: usize = 8;

/// A string of bits, in order.
pub(crate) struct Bits<B> {
    bytes: B,
    /// Bits that are not written yet, or not read, the next one lowest, and how many.
    window: u64,
    held: u32,
    at: usize,
}

impl Bits<&mut [u8]> {
    /// Appends `n` bits, up to 56 at a time where there are less than 8 in the window: those above are zero.
    #[inline(always)]
    pub(crate) fn push(&mut self, bits: u64, n: u32) {
        self.window |= bits << self.held;
        self.held += n;
        if let Some(to) = self.bytes.get_mut(self.at..).and_then(|b| b.first_chunk_mut::<8>()) {
            *to = self.window.to_le_bytes();
        }
        let whole = self.held / 8;
        self.at += whole as usize;
        self.window = self.window.checked_shr(8 * whole).unwrap_or(0);
        self.held %= 8;
    }

    /// Writes what is left.
    fn end(&mut self) {
        if self.held > 0
            && let Some(to) = self.bytes.get_mut(self.at)
        {
            *to = self.window as u8;
        }
    }
}

impl Bits<&[u8]> {
    /// The next `n` bits, up to 32; zeros behind the last one.
    #[inline(always)]
    pub(crate) fn pop(&mut self, n: u32) -> u64 {
        if self.held < n {
            let from = self.bytes.get(self.at..).unwrap_or_default();
            let four = match from.first_chunk::<4>() {
                Some(four) => u32::from_le_bytes(*four),
                None => from.iter().rev().fold(0, |word, byte| word << 8 | *byte as u32),
            };
            self.window |= (four as u64) << self.held;
            self.held += 32;
            self.at += 4;
        }
        let bits = self.window & ((1 << n) - 1);
        self.window >>= n;
        self.held -= n;
        bits
    }
}

multiversion! {
    /// Bits that are set.
    pub fn count(mask: &[u8]) -> usize = count_generic;
    on count_on
}

#[inline(always)]
fn count_generic(mask: &[u8]) -> usize {
    let (words, last) = mask.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word).count_ones() as usize).sum::<usize>();
    words + last.iter().map(|byte| byte.count_ones() as usize).sum::<usize>()
}

multiversion! {
    /// As the compiler has it; gives the bytes of others.
    fn split_plain(of: &Frequent, data: &[u8], mask: &mut [u8], others: &mut [u8], signs: &mut Bits<&mut [u8]>) -> usize = split_generic;
    on split_plain_on
}

multiversion! {
    /// As the compiler has it.
    fn join_plain(of: &Frequent, mask: &[u8], others: &[u8], signs: &mut Bits<&[u8]>, out: &mut [u8]) = join_generic;
    on join_plain_on
}

/// Calls a function for elements of so many bytes, with or without signs.
macro_rules! of_kind {
    ($of:expr, $name:ident($($arg:expr),*)) => {
        match ($of.width, $of.signed) {
            (0, false) => $name::<1, false>($($arg),*),
            (0, true) => $name::<1, true>($($arg),*),
            (1, false) => $name::<2, false>($($arg),*),
            (1, true) => $name::<2, true>($($arg),*),
            (2, false) => $name::<4, false>($($arg),*),
            (2, true) => $name::<4, true>($($arg),*),
            (_, false) => $name::<8, false>($($arg),*),
            (_, true) => $name::<8, true>($($arg),*),
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(crate) use of_kind;

#[inline(always)]
fn split_generic(
    of: &Frequent,
    data: &[u8],
    mask: &mut [u8],
    others: &mut [u8],
    signs: &mut Bits<&mut [u8]>,
) -> usize {
    of_kind!(of, split_in(of, data, mask, others, signs))
}

/// An element, and one as elements are.
#[inline(always)]
fn word<const SIZE: usize>(bytes: &[u8; SIZE]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | *byte as u64)
}

#[inline(always)]
fn bytes<const SIZE: usize>(word: u64) -> [u8; SIZE] {
    let all = word.to_le_bytes();
    std::array::from_fn(|i| all[i])
}

#[inline(always)]
fn split_in<const SIZE: usize, const SIGNED: bool>(
    of: &Frequent,
    data: &[u8],
    mask: &mut [u8],
    others: &mut [u8],
    signs: &mut Bits<&mut [u8]>,
) -> usize {
    let others = others.as_chunks_mut::<SIZE>().0;
    let of_sign = if SIGNED { of.top() } else { 0 };
    let frequent = word(&bytes::<SIZE>(of.word)) & !of_sign;
    let mut at = 0;
    for (bits, elements) in mask.iter_mut().zip(data.as_chunks::<SIZE>().0.chunks(8)) {
        *bits = 0;
        let (mut minus, mut n) = (0, 0);
        for (i, element) in elements.iter().enumerate() {
            // Written whether it is one or not, as a branch would be guessed wrong.
            if let Some(to) = others.get_mut(at) {
                *to = *element;
            }
            let x = word(element);
            let is_other = x & !of_sign != frequent;
            *bits |= (is_other as u8) << i;
            at += is_other as usize;
            if SIGNED {
                minus |= (!is_other as u64 & (x & of_sign != 0) as u64) << n;
                n += !is_other as u32;
            }
        }
        if SIGNED {
            signs.push(minus, n);
        }
    }
    at * SIZE
}

#[inline(always)]
fn join_generic(of: &Frequent, mask: &[u8], others: &[u8], signs: &mut Bits<&[u8]>, out: &mut [u8]) {
    of_kind!(of, join_in(of, mask, others, signs, out))
}

#[inline(always)]
fn join_in<const SIZE: usize, const SIGNED: bool>(
    of: &Frequent,
    mask: &[u8],
    others: &[u8],
    signs: &mut Bits<&[u8]>,
    out: &mut [u8],
) {
    let others = others.as_chunks::<SIZE>().0;
    let top = of.top();
    let plus = if SIGNED { of.word & !top } else { of.word };
    let mut at = 0;
    for (bits, elements) in mask.iter().zip(out.as_chunks_mut::<SIZE>().0.chunks_mut(8)) {
        let mut minus = if SIGNED { signs.pop(elements.len() as u32 - bits.count_ones()) } else { 0 };
        for (i, element) in elements.iter_mut().enumerate() {
            let is_other = bits >> i & 1 == 1;
            let sign = if SIGNED { top * (minus & 1) } else { 0 };
            let frequent = bytes::<SIZE>(plus | sign);
            let other = others.get(at).unwrap_or(&frequent);
            *element = if is_other { *other } else { frequent };
            at += is_other as usize;
            if SIGNED {
                minus >>= !is_other as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(i: usize) -> u32 {
        (i as u32).wrapping_mul(2_654_435_761).rotate_left(15).wrapping_mul(0x85EB_CA6B)
    }

    /// Elements of which so many of 256 are the frequent one.
    fn elements(of: &Frequent, count: usize, share: u32) -> Vec<u8> {
        let each = (0..count).flat_map(|i| {
            let other = (mixed(i + 7) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let sign = if of.signed && mixed(i + 99) >> 30 == 0 { of.top() } else { 0 };
            let element = if mixed(i) >> 24 < share { of.word ^ sign } else { other };
            element.to_le_bytes().into_iter().take(1 << of.width)
        });
        each.collect()
    }

    fn bits(all: impl Iterator<Item = bool>) -> Vec<u8> {
        let all: Vec<bool> = all.collect();
        all.chunks(8).map(|c| c.iter().enumerate().map(|(i, bit)| (*bit as u8) << i).sum()).collect()
    }

    #[test]
    fn elements_are_taken_apart_and_put_together_on_every_set() {
        for (width, signed) in (0..4u8).flat_map(|w| [(w, false), (w, true)]) {
            let size = 1 << width;
            // Bits of the word above an element's are of no account.
            let of = Frequent { width, word: 0x1234_5678_8000_0080, signed };
            let of_sign = if signed { of.top() } else { 0 };
            let most = u64::MAX >> (64 - 8 * size);
            for (count, share) in [
                (0, 9),
                (1, 0),
                (1, 256),
                (7, 99),
                (64, 128),
                (1000, 20),
                (1001, 250),
                (5003, 128),
                (999, 256),
            ] {
                let data = elements(&of, count, share);
                let each = || data.chunks(size).map(|e| e.iter().rev().fold(0, |w, b| w << 8 | *b as u64));
                let is_other = |e: u64| (e ^ of.word) & most & !of_sign != 0;
                let expected = bits(each().map(is_other));
                let signs = bits(each().filter(|e| !is_other(*e)).map(|e| e & of.top() != 0));
                let apart = each().zip(data.chunks(size)).filter(|(e, _)| is_other(*e));
                let apart: Vec<u8> = apart.flat_map(|(_, bytes)| bytes).copied().collect();
                for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                    // What is there before is of no account.
                    let mut mask = vec![0xaa; count.div_ceil(8)];
                    let (mut others, mut minus) = (vec![0xaa; data.len()], vec![0xaa; mask.len() + SLACK]);
                    let found = split_on(simd, &of, &data, &mut mask, &mut others, &mut minus);
                    let told = format!("{simd:?} {of:?} {count} {share}");
                    assert!(mask == expected && others[..found.others] == apart, "{told}");
                    assert_eq!(count_on(simd, &mask) + found.frequent, count, "{told}");
                    let minus = if signed { &minus[..found.frequent.div_ceil(8)] } else { &[][..] };
                    assert!(!signed || minus == signs, "{told}");
                    let mut out = vec![0xaa; data.len()];
                    assert!(join_on(simd, &of, &mask, &apart, minus, &mut out), "{told}");
                    assert!(out == data, "{told}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_on_every_set() {
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            let mut out = [7; 22];
            let mut refused = |mask: &[u8], others: &[u8], signs: &[u8], width, signed| {
                let of = Frequent { width, word: 0, signed };
                !join_on(simd, &of, mask, others, signs, &mut out)
            };
            let all = [0xff, 7];
            assert!(refused(&all, &[0; 20], &[], 1, false) && refused(&all, &[0; 24], &[], 1, false));
            assert!(
                refused(&[0xff], &[0; 16], &[], 1, false) && refused(&[0xff, 7, 0], &[0; 22], &[], 1, false)
            );
            assert!(refused(&[0xff, 8], &[0; 18], &[], 1, false), "a bit behind the last element");
            assert!(refused(&all, &[0; 22], &[0], 1, true) && refused(&[0xff, 0], &[0; 16], &[], 1, true));
            assert!(refused(&[0xff, 0], &[0; 16], &[8], 1, true), "a bit behind the last sign");
            assert!(refused(&[0xff, 0xff, 0xff], &[0; 48], &[], 1, false), "more bits than elements");
            assert!(refused(&[], &[], &[], 4, false), "no such width");
            assert_eq!(out, [7; 22]);
        }
    }
}

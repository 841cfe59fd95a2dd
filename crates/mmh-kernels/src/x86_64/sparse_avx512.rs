//! Elements of which one word is frequent, a register at a time. The bytes are those of `sparse`.

use crate::sparse::{Bits, Frequent, of_kind};
use std::arch::x86_64::*;

/// Bytes of a register.
const WHOLE: usize = 64;

/// What is done with elements of `SIZE` bytes, 1, 2, 4 or 8.
struct Elements<const SIZE: usize>;

impl<const SIZE: usize> Elements<SIZE> {
    /// Elements of a register.
    const MANY: usize = WHOLE / SIZE;
    /// A bit for each.
    const ALL: u64 = u64::MAX >> (64 - Self::MANY);

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn all(word: u64) -> __m512i {
        match SIZE {
            1 => _mm512_set1_epi8(word as i8),
            2 => _mm512_set1_epi16(word as i16),
            4 => _mm512_set1_epi32(word as i32),
            _ => _mm512_set1_epi64(word as i64),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn differ(a: __m512i, b: __m512i) -> u64 {
        match SIZE {
            1 => _mm512_cmpneq_epi8_mask(a, b),
            2 => _mm512_cmpneq_epi16_mask(a, b) as u64,
            4 => _mm512_cmpneq_epi32_mask(a, b) as u64,
            _ => _mm512_cmpneq_epi64_mask(a, b) as u64,
        }
    }

    /// The highest bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    fn signs(a: __m512i) -> u64 {
        match SIZE {
            1 => _mm512_movepi8_mask(a),
            2 => _mm512_movepi16_mask(a) as u64,
            4 => _mm512_movepi32_mask(a) as u64,
            _ => _mm512_movepi64_mask(a) as u64,
        }
    }

    /// Those whose bits are set, one behind the other.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vbmi2")]
    fn compress(these: u64, a: __m512i) -> __m512i {
        match SIZE {
            1 => _mm512_maskz_compress_epi8(these, a),
            2 => _mm512_maskz_compress_epi16(these as u32, a),
            4 => _mm512_maskz_compress_epi32(these as u16, a),
            _ => _mm512_maskz_compress_epi64(these as u8, a),
        }
    }

    /// The first so many of memory; nothing else is read.
    ///
    /// # Safety
    /// They are readable.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,bmi2")]
    unsafe fn load(n: u32, from: *const u8) -> __m512i {
        let these = _bzhi_u64(u64::MAX, n);
        // SAFETY: the caller's promise.
        unsafe {
            match SIZE {
                1 => _mm512_maskz_loadu_epi8(these, from.cast()),
                2 => _mm512_maskz_loadu_epi16(these as u32, from.cast()),
                4 => _mm512_maskz_loadu_epi32(these as u16, from.cast()),
                _ => _mm512_maskz_loadu_epi64(these as u8, from.cast()),
            }
        }
    }

    /// `a`, and in place of those whose bits are set the first ones of `b`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vbmi2")]
    fn expand(a: __m512i, these: u64, b: __m512i) -> __m512i {
        match SIZE {
            1 => _mm512_mask_expand_epi8(a, these, b),
            2 => _mm512_mask_expand_epi16(a, these as u32, b),
            4 => _mm512_mask_expand_epi32(a, these as u16, b),
            _ => _mm512_mask_expand_epi64(a, these as u8, b),
        }
    }

    /// `a`, and `b` in place of those whose bits are set.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn select(a: __m512i, these: u64, b: __m512i) -> __m512i {
        match SIZE {
            1 => _mm512_mask_mov_epi8(a, these, b),
            2 => _mm512_mask_mov_epi16(a, these as u32, b),
            4 => _mm512_mask_mov_epi32(a, these as u16, b),
            _ => _mm512_mask_mov_epi64(a, these as u8, b),
        }
    }
}

/// The highest bit of an element.
const fn top(size: usize) -> u64 {
    1 << (8 * size - 1)
}

/// # Safety
/// `others` has room for as many bytes as `data`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vbmi2,popcnt,bmi2")]
unsafe fn split_in<const SIZE: usize, const SIGNED: bool>(
    of: &Frequent,
    data: &[u8],
    mask: &mut [u8],
    others: &mut [u8],
    signs: &mut Bits<&mut [u8]>,
) -> usize {
    let plus = if SIGNED { Elements::<SIZE>::all(!top(SIZE)) } else { _mm512_set1_epi64(-1) };
    let word = _mm512_and_si512(Elements::<SIZE>::all(of.word), plus);
    let mut at = 0;
    let bits = mask.chunks_exact_mut(Elements::<SIZE>::MANY / 8);
    for (elements, bits) in data.as_chunks::<WHOLE>().0.iter().zip(bits) {
        // SAFETY: a register's bytes are readable.
        let x = unsafe { _mm512_loadu_si512(elements.as_ptr().cast()) };
        let found = Elements::<SIZE>::differ(_mm512_and_si512(x, plus), word);
        bits.copy_from_slice(&found.to_le_bytes()[..Elements::<SIZE>::MANY / 8]);
        // SAFETY: there is room for as many bytes as `data` has, of which no more than those of the elements before have been written.
        unsafe {
            _mm512_storeu_si512(others.as_mut_ptr().add(at).cast(), Elements::<SIZE>::compress(found, x))
        };
        at += SIZE * found.count_ones() as usize;
        if SIGNED {
            let frequent = !found & Elements::<SIZE>::ALL;
            let minus = Elements::<SIZE>::signs(x);
            // In halves, as a window takes no 64 bits at once.
            let (low, high) = (frequent & 0xffff_ffff, frequent >> 32);
            signs.push(_pext_u64(minus, low), low.count_ones());
            if SIZE == 1 {
                signs.push(_pext_u64(minus >> 32, high), high.count_ones());
            }
        }
    }
    at
}

/// # Safety
/// There are as many others as bits are set.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vbmi2,popcnt,bmi2")]
unsafe fn join_in<const SIZE: usize, const SIGNED: bool>(
    of: &Frequent,
    mask: &[u8],
    others: &[u8],
    signs: &mut Bits<&[u8]>,
    out: &mut [u8],
) -> usize {
    let plus = if SIGNED { of.word & !top(SIZE) } else { of.word };
    let minus = Elements::<SIZE>::all(plus | top(SIZE));
    let plus = Elements::<SIZE>::all(plus);
    let mut at = 0;
    let bits = mask.chunks_exact(Elements::<SIZE>::MANY / 8);
    for (elements, bits) in out.as_chunks_mut::<WHOLE>().0.iter_mut().zip(bits) {
        let found = bits.iter().rev().fold(0, |word, byte| word << 8 | *byte as u64);
        let n = found.count_ones();
        let mut word = plus;
        if SIGNED {
            let frequent = !found & Elements::<SIZE>::ALL;
            let (low, high) = (frequent & 0xffff_ffff, frequent >> 32);
            let mut these = _pdep_u64(signs.pop(low.count_ones()), low);
            if SIZE == 1 {
                these |= _pdep_u64(signs.pop(high.count_ones()), high) << 32;
            }
            word = Elements::<SIZE>::select(plus, these, minus);
        }
        // SAFETY: there are as many others as bits are set; a register's bytes are written.
        unsafe {
            let x = Elements::<SIZE>::load(n, others.as_ptr().add(at));
            _mm512_storeu_si512(elements.as_mut_ptr().cast(), Elements::<SIZE>::expand(word, found, x));
        }
        at += SIZE * n as usize;
    }
    at
}

/// Takes what fills registers apart; gives the bytes of others. See [`crate::sparse::split`].
///
/// # Safety
/// `others` has room for as many bytes as `data`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vbmi2,popcnt,bmi2")]
pub(crate) unsafe fn split(
    of: &Frequent,
    data: &[u8],
    mask: &mut [u8],
    others: &mut [u8],
    signs: &mut Bits<&mut [u8]>,
) -> usize {
    // SAFETY: the caller's promise.
    unsafe { of_kind!(of, split_in(of, data, mask, others, signs)) }
}

/// Puts what fills registers together; gives the bytes of others. See [`crate::sparse::join`].
///
/// # Safety
/// There are as many others as bits are set.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vbmi2,popcnt,bmi2")]
pub(crate) unsafe fn join(
    of: &Frequent,
    mask: &[u8],
    others: &[u8],
    signs: &mut Bits<&[u8]>,
    out: &mut [u8],
) -> usize {
    // SAFETY: the caller's promise.
    unsafe { of_kind!(of, join_in(of, mask, others, signs, out)) }
}

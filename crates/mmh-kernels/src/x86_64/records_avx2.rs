//! Values that share bytes of records, 16 or 32 bytes of them at a time. The bytes are those of `records`.

use crate::records::Part;
use std::arch::x86_64::*;

/// Ors the bits of values into records, if the shape of the part is one of those that this is for; whether it is. The part fits.
#[target_feature(enable = "avx2")]
pub fn merge(values: &[u8], count: usize, part: Part, to: u8, size: usize, records: &mut [u8]) -> bool {
    let (span, repeats) = (part.span as usize, part.repeats as usize);
    let wide = span.is_multiple_of(32);
    let bits = (span, repeats, part.bits, part.shift) == (1, 8, 1, 0) && count.is_multiple_of(32);
    if !bits && (repeats < 2 || part.shift > 0 || !span.is_multiple_of(16)) {
        return false;
    }
    let from = part.offset as usize;
    for (values, record) in values.chunks_exact(count).zip(records.chunks_exact_mut(size)) {
        let into = &mut record[from..from + count / repeats];
        if bits {
            single(values, to, into);
            continue;
        }
        for (values, into) in values.chunks_exact(span * repeats).zip(into.chunks_exact_mut(span)) {
            match wide {
                true => shared32(values, part.bits, to, into),
                false => shared16(values, part.bits, to, into),
            }
        }
    }
    true
}

/// Single bits: those of 32 values are four bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn single(values: &[u8], to: u8, into: &mut [u8]) {
    // To the top of their bytes; what comes from the byte below is at lower places.
    let up = _mm_cvtsi32_si128(7 - to as i32);
    for (values, into) in values.as_chunks::<32>().0.iter().zip(into.as_chunks_mut::<4>().0) {
        // SAFETY: there are 32 bytes.
        let values = unsafe { _mm256_loadu_si256(values.as_ptr().cast()) };
        let bits = _mm256_movemask_epi8(_mm256_sll_epi16(values, up)).cast_unsigned();
        *into = (u32::from_le_bytes(*into) | bits).to_le_bytes();
    }
}

macro_rules! shared {
    ($name:ident, $n:literal, $load:ident, $store:ident, $set1:ident, $right:ident, $left:ident, $and:ident, $or:ident) => {
        /// Values of a unit of a part: as many bytes of each that share them.
        #[inline]
        #[target_feature(enable = "avx2")]
        fn $name(values: &[u8], bits: u8, to: u8, into: &mut [u8]) {
            let span = into.len();
            let (down, mask) = (_mm_cvtsi32_si128(to as i32), $set1((0xffu8 >> (8 - bits)).cast_signed()));
            for (j, into) in into.as_chunks_mut::<$n>().0.iter_mut().enumerate() {
                // SAFETY: there are as many bytes.
                let mut all = unsafe { $load(into.as_ptr().cast()) };
                for (r, values) in values.chunks_exact(span).enumerate() {
                    let up = _mm_cvtsi32_si128((bits as usize * r) as i32);
                    // SAFETY: as above.
                    let values = unsafe { $load(values.as_chunks::<$n>().0[j].as_ptr().cast()) };
                    all = $or(all, $left($and($right(values, down), mask), up));
                }
                // SAFETY: as above.
                unsafe { $store(into.as_mut_ptr().cast(), all) };
            }
        }
    };
}
shared!(
    shared16,
    16,
    _mm_loadu_si128,
    _mm_storeu_si128,
    _mm_set1_epi8,
    _mm_srl_epi16,
    _mm_sll_epi16,
    _mm_and_si128,
    _mm_or_si128
);
shared!(
    shared32,
    32,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_set1_epi8,
    _mm256_srl_epi16,
    _mm256_sll_epi16,
    _mm256_and_si256,
    _mm256_or_si256
);

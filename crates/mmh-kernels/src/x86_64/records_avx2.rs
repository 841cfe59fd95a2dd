//! Values that share bytes of records, 16 or 32 bytes of them at a time. The bytes are those of `records`.

use crate::records::Part;
use std::arch::x86_64::*;

/// Ors the bits of values into records, if the shape of the part is one of those that this is for; whether it is. The part fits.
#[target_feature(enable = "avx2")]
pub fn merge(values: &[u8], count: usize, part: Part, to: u8, size: usize, records: &mut [u8]) -> bool {
    let from = part.offset as usize;
    let until = from + count / part.repeats as usize;
    // A loop for each shape, as what is constant in them is what makes them fast.
    macro_rules! each {
        ($merge:expr) => {
            for (values, record) in values.chunks_exact(count).zip(records.chunks_exact_mut(size)) {
                $merge(values, to, &mut record[from..until]);
            }
        };
    }
    match (part.span, part.repeats, part.bits, part.shift) {
        (1, 8, 1, 0) if count.is_multiple_of(32) => each!(single),
        (16, 2, 4, 0) => each!(shared_by_two),
        (32, 2, 4, 0) => each!(shared::<1, 2, 4>),
        (64, 2, 4, 0) => each!(shared::<2, 2, 4>),
        (32, 4, 2, 0) => each!(shared::<1, 4, 2>),
        (32, 8, 1, 0) => each!(shared::<1, 8, 1>),
        _ => return false,
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

/// Values of four bits, of which 16 lie below the next 16.
#[inline]
#[target_feature(enable = "avx2")]
fn shared_by_two(values: &[u8], to: u8, into: &mut [u8]) {
    let (down, mask) = (_mm_cvtsi32_si128(to as i32), _mm_set1_epi8(15));
    for (values, into) in values.as_chunks::<32>().0.iter().zip(into.as_chunks_mut::<16>().0) {
        // SAFETY: there are 32 bytes and 16.
        let [low, high, known] = unsafe {
            [
                _mm_loadu_si128(values.as_ptr().cast()),
                _mm_loadu_si128(values.as_ptr().add(16).cast()),
                _mm_loadu_si128(into.as_ptr().cast()),
            ]
        };
        let [low, high] = [low, high].map(|values| _mm_and_si128(_mm_srl_epi16(values, down), mask));
        let all = _mm_or_si128(_mm_or_si128(known, low), _mm_slli_epi16::<4>(high));
        // SAFETY: there are 16 bytes.
        unsafe { _mm_storeu_si128(into.as_mut_ptr().cast(), all) };
    }
}

/// `REPEATS` values of `BITS` bits in each of `PIECES` times 32 neighbouring bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn shared<const PIECES: usize, const REPEATS: usize, const BITS: usize>(
    values: &[u8],
    to: u8,
    into: &mut [u8],
) {
    let (down, mask) = (_mm_cvtsi32_si128(to as i32), _mm256_set1_epi8((1 << BITS) - 1));
    let units = values.as_chunks::<32>().0.as_chunks::<PIECES>().0.as_chunks::<REPEATS>().0;
    for (values, into) in units.iter().zip(into.as_chunks_mut::<32>().0.as_chunks_mut::<PIECES>().0) {
        for (j, into) in into.iter_mut().enumerate() {
            // SAFETY: there are 32 bytes.
            let mut all = unsafe { _mm256_loadu_si256(into.as_ptr().cast()) };
            for (r, values) in values.iter().enumerate() {
                // SAFETY: as above.
                let values = unsafe { _mm256_loadu_si256(values[j].as_ptr().cast()) };
                let values = _mm256_and_si256(_mm256_srl_epi16(values, down), mask);
                let up = _mm_cvtsi32_si128((BITS * r) as i32);
                all = _mm256_or_si256(all, _mm256_sll_epi16(values, up));
            }
            // SAFETY: as above.
            unsafe { _mm256_storeu_si256(into.as_mut_ptr().cast(), all) };
        }
    }
}

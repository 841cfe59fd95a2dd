//! Inner products, 32 elements at a time: the compiler takes half as many.

use std::arch::x86_64::*;

/// Elements whose products, two for each of 16 sums at a time, fit 32 bits.
const FITTING: usize = 1 << 13;

const WIDE: usize = 32;

/// As `correlation::product`.
#[target_feature(enable = "avx512f,avx512bw")]
pub fn product(a: &[i16], b: &[i16]) -> i64 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut sum = _mm512_setzero_si512();
    for (a, b) in a.chunks(FITTING).zip(b.chunks(FITTING)) {
        // What one sum waits for, the others have time for.
        let mut sums = [_mm512_setzero_si512(); 4];
        let (a, last_a) = a.as_chunks::<WIDE>();
        let (b, last_b) = b.as_chunks::<WIDE>();
        for (a, b) in a.chunks(4).zip(b.chunks(4)) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                // SAFETY: there are 64 bytes in each.
                let (a, b) =
                    unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
                *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(a, b));
            }
        }
        let some = (1u32 << last_a.len()) - 1;
        // SAFETY: elements that the mask leaves out are not read.
        let (a, b) = unsafe {
            let [a, b] = [last_a, last_b].map(|last| _mm512_maskz_loadu_epi16(some, last.as_ptr()));
            (a, b)
        };
        let [s, t, u, v] = sums;
        let [s, t] = [_mm512_add_epi32(s, t), _mm512_add_epi32(u, v)];
        let all = _mm512_add_epi32(_mm512_add_epi32(s, t), _mm512_madd_epi16(a, b));
        let low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(all));
        let high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(all));
        sum = _mm512_add_epi64(sum, _mm512_add_epi64(low, high));
    }
    _mm512_reduce_add_epi64(sum)
}

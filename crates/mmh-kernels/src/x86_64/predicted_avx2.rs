//! Sums of products of weights and numbers, eight lanes in a register.

use crate::predicted::{Both, LANES, Pair};
use std::arch::x86_64::*;

/// Adds, for two columns and each lane, the products of weights and of the numbers of as many pairs of columns.
#[target_feature(enable = "avx2")]
pub fn add(weights: &[Pair], numbers: &[Both], sums: &mut [[i32; LANES]; 2]) {
    // SAFETY: each of them has 32 bytes for each half of the lanes; loads and stores ask for no alignment.
    let [mut a0, mut a1, mut b0, mut b1] = unsafe {
        [(0, 0), (0, 8), (1, 0), (1, 8)].map(|(c, l)| _mm256_loadu_si256(sums[c].as_ptr().add(l).cast()))
    };
    for (weights, numbers) in weights.iter().zip(numbers) {
        let [wa, wb] = weights.map(|[even, odd]| even as u16 as u32 | (odd as u16 as u32) << 16);
        let (wa, wb) = (_mm256_set1_epi32(wa as i32), _mm256_set1_epi32(wb as i32));
        // SAFETY: as above.
        let (x0, x1) = unsafe {
            let at = numbers.as_ptr().cast::<__m256i>();
            (_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1)))
        };
        a0 = _mm256_add_epi32(a0, _mm256_madd_epi16(x0, wa));
        a1 = _mm256_add_epi32(a1, _mm256_madd_epi16(x1, wa));
        b0 = _mm256_add_epi32(b0, _mm256_madd_epi16(x0, wb));
        b1 = _mm256_add_epi32(b1, _mm256_madd_epi16(x1, wb));
    }
    let [a, b] = sums;
    // SAFETY: as above.
    unsafe {
        _mm256_storeu_si256(a.as_mut_ptr().cast(), a0);
        _mm256_storeu_si256(a.as_mut_ptr().add(8).cast(), a1);
        _mm256_storeu_si256(b.as_mut_ptr().cast(), b0);
        _mm256_storeu_si256(b.as_mut_ptr().add(8).cast(), b1);
    }
}

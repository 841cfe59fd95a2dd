//! Sums of products of weights and numbers.

use super::model::{Both, LANES, Pair};

/// How sums are made on a kind of CPU.
pub(crate) trait Dot {
    /// Adds, for two columns and each lane, the products of weights and of the numbers of as many pairs of columns.
    fn add(weights: &[Pair], numbers: &[Both], sums: &mut [[i32; LANES]; 2]);

    /// The sums for each of two times as many numbers, and for the columns of two times as many weights.
    #[inline(always)]
    fn tile(weights: [&[Pair]; 2], numbers: [&[Both]; 2]) -> [[[[i32; LANES]; 2]; 2]; 2] {
        numbers.map(|numbers| {
            weights.map(|weights| {
                let mut sums = [[0; LANES]; 2];
                Self::add(weights, numbers, &mut sums);
                sums
            })
        })
    }
}

/// In loops that compilers know how to make vector code of.
pub(crate) struct Portable;

impl Dot for Portable {
    // By itself, or it is not made vector code of.
    #[inline(never)]
    fn add(weights: &[Pair], numbers: &[Both], sums: &mut [[i32; LANES]; 2]) {
        let [mut a, mut b] = *sums;
        for ([wa, wb], numbers) in weights.iter().zip(numbers) {
            for ((a, b), x) in a.iter_mut().zip(&mut b).zip(numbers) {
                *a = a.wrapping_add(wa[0] as i32 * x[0] as i32 + wa[1] as i32 * x[1] as i32);
                *b = b.wrapping_add(wb[0] as i32 * x[0] as i32 + wb[1] as i32 * x[1] as i32);
            }
        }
        *sums = [a, b];
    }
}

/// On AVX2, which whoever uses it has made sure of.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Dot for Avx2 {
    #[inline(always)]
    fn add(weights: &[Pair], numbers: &[Both], sums: &mut [[i32; LANES]; 2]) {
        // SAFETY: only code for this instruction set names the type.
        unsafe { crate::x86_64::predicted_avx2::add(weights, numbers, sums) }
    }
}

/// On AVX-512, likewise.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Dot for Avx512 {
    #[inline(always)]
    fn add(weights: &[Pair], numbers: &[Both], sums: &mut [[i32; LANES]; 2]) {
        // SAFETY: only code for this instruction set names the type.
        unsafe { crate::x86_64::predicted_avx512::add_all(weights, numbers, sums) }
    }

    #[inline(always)]
    fn tile(weights: [&[Pair]; 2], numbers: [&[Both]; 2]) -> [[[[i32; LANES]; 2]; 2]; 2] {
        // SAFETY: as above.
        unsafe { crate::x86_64::predicted_avx512::tile(weights, numbers) }
    }
}

/// On NEON.
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
pub(crate) struct Neon;

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
impl Dot for Neon {
    #[inline(always)]
    fn add(weights: &[Pair], numbers: &[Both], sums: &mut [[i32; LANES]; 2]) {
        // SAFETY: every aarch64 has it.
        unsafe { crate::aarch64::predicted_neon::add(weights, numbers, sums) }
    }
}

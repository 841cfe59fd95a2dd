//! Sums of products of weights and numbers, eight lanes at a time.

use crate::predicted::{Both, LANES, Pair};
use std::arch::aarch64::*;

/// Adds, for two columns and each lane, the products of weights and of the numbers of as many pairs of columns.
#[target_feature(enable = "neon")]
pub fn add(weights: &[Pair], numbers: &[Both], sums: &mut [[i32; LANES]; 2]) {
    for half in [0, 8] {
        // SAFETY: there are 32 bytes for each half of the lanes.
        let mut of = sums
            .each_ref()
            .map(|s| unsafe { [vld1q_s32(s.as_ptr().add(half)), vld1q_s32(s.as_ptr().add(half + 4))] });
        for (weights, numbers) in weights.iter().zip(numbers) {
            // SAFETY: as above. Numbers of the even column and of the odd one come apart.
            let int16x8x2_t(even, odd) = unsafe { vld2q_s16(numbers.as_ptr().add(half).cast()) };
            for ([low, high], [w0, w1]) in of.iter_mut().zip(*weights) {
                *low = vmlal_n_s16(*low, vget_low_s16(even), w0);
                *low = vmlal_n_s16(*low, vget_low_s16(odd), w1);
                *high = vmlal_n_s16(*high, vget_high_s16(even), w0);
                *high = vmlal_n_s16(*high, vget_high_s16(odd), w1);
            }
        }
        for (sums, [low, high]) in sums.iter_mut().zip(of) {
            // SAFETY: as above.
            unsafe {
                vst1q_s32(sums.as_mut_ptr().add(half), low);
                vst1q_s32(sums.as_mut_ptr().add(half + 4), high);
            }
        }
    }
}

//! XXH3-64, the checksum of blocks.

use crate::cpu::Simd;
use twox_hash::XxHash3_64;

/// XXH3-64 of `data`, with seed 0.
pub fn xxh3(data: &[u8]) -> u64 {
    xxh3_on(crate::cpu::simd(), data)
}

/// The same on the given instruction set.
pub fn xxh3_on(simd: Simd, data: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() && data.len() >= crate::x86_64::xxh3_avx512::SHORTEST {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        return unsafe { crate::x86_64::xxh3_avx512::xxh3(data) };
    }
    let _ = simd;
    XxHash3_64::oneshot(data)
}

/// XXH3-64 of bytes that are made one after the other, taken while they are in registers. Blocks of 1,024 bytes are taken whole.
#[derive(Clone, Debug)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub struct Running {
    /// As much as has been taken.
    pub(crate) done: usize,
    /// Whether that is all of it.
    pub(crate) ended: bool,
    pub(crate) lanes: [u64; 8],
}

impl Running {
    /// Of nothing yet; `None` where the CPU has nothing that takes bytes.
    pub fn new() -> Option<Running> {
        #[cfg(target_arch = "x86_64")]
        if crate::cpu::simd() == Simd::Avx512 && Simd::Avx512.is_available() {
            let lanes = crate::x86_64::xxh3_avx512::BEGINNING;
            return Some(Running { done: 0, ended: false, lanes });
        }
        None
    }

    /// How many bytes have been taken.
    pub fn done(&self) -> usize {
        self.done
    }

    /// The hash of `data`, of which the first bytes have been taken.
    pub fn finish(self, data: &[u8]) -> u64 {
        if self.done == 0 {
            return xxh3(data);
        }
        #[cfg(target_arch = "x86_64")]
        if Simd::Avx512.is_available() {
            if self.ended {
                return crate::x86_64::xxh3_avx512::end(&self.lanes, data.len());
            }
            // SAFETY: `is_available` has just seen every feature that the function is compiled with.
            return unsafe { crate::x86_64::xxh3_avx512::go_on(&self.lanes, self.done, data) };
        }
        xxh3(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_the_hash_that_the_reference_gives() {
        let data: Vec<u8> = (0..70_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 19) as u8).collect();
        let around = [1024usize, 2048, 16_384, 65_536].into_iter().flat_map(|n| n - 70..n + 70);
        for n in (0..1500).chain(around).chain([70_000]) {
            for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                assert_eq!(xxh3_on(simd, &data[..n]), XxHash3_64::oneshot(&data[..n]), "{simd:?} {n}");
            }
        }
    }
}

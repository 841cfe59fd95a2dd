//! Random numbers of a distribution whose quantiles are given: the same on every CPU.
//!
//! Only +, −, × of IEEE 754 and integers.

use crate::generic;
pub use crate::generic::quantiles::{STEP, mix, random};

/// Parts of each octave of the probability of a tail.
pub const PARTS: usize = 128;
/// Octaves: 2^-31 is the smallest probability.
pub const OCTAVES: usize = 31;
/// Places of the table, in the order in which the bits of a float count them.
pub(crate) const SLOTS: usize = 32 * PARTS;

/// Quantiles of a distribution that is symmetric around zero.
pub struct Quantiles {
    pub(crate) near: [f32; SLOTS],
    pub(crate) more: [f32; SLOTS],
}

impl Quantiles {
    /// For each part of each octave, from the likely ones on, the value at its end nearer to zero, and how much more it is at the other end.
    /// What is missing is zero.
    pub fn new(parts: &[(f32, f32)]) -> Box<Quantiles> {
        let mut table = Box::new(Quantiles { near: [0.0; SLOTS], more: [0.0; SLOTS] });
        for octave in 0..=OCTAVES {
            for part in 0..PARTS {
                // The very last value is in no octave, and stands for one of the first.
                let from = octave % OCTAVES * PARTS + part;
                let slot = (2 * SLOTS - (2 + octave) * PARTS) % SLOTS + part;
                (table.near[slot], table.more[slot]) = parts.get(from).copied().unwrap_or_default();
            }
        }
        table
    }

    /// The number that 32 random bits stand for.
    pub fn value(&self, bits: u32) -> f32 {
        generic::quantiles::value(bits, self)
    }
}

multiversion! {
    /// Fills `out` from the SplitMix64 of a key and a counter, two numbers from each of its 64 bits. Bit 31 of 32 is the sign; the others, and a
    /// one after them, are the probability of being further out.
    pub fn sample(key: u64, table: &Quantiles, out: &mut [f32]) = generic::quantiles::sample;
    on sample_on
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Simd;

    /// By counting zeros.
    fn slowly(bits: u32, parts: &[(f32, f32)]) -> f32 {
        let tail = bits << 1 | 1;
        let octave = tail.leading_zeros() as usize;
        let aligned = tail << octave;
        let part = (aligned >> 24) as usize % PARTS;
        let inward = ((!aligned & 0xFF_FFFF) + 1) as f32 / 16_777_216.0;
        let (near, more) = parts[octave % OCTAVES * PARTS + part];
        let size = near + more * inward;
        if bits >> 31 == 1 { -size } else { size }
    }

    #[test]
    fn every_set_gives_the_same_numbers() {
        let parts: Vec<(f32, f32)> =
            (0..OCTAVES * PARTS).map(|i| (0.001 * i as f32, 0.7 + 0.01 * (i % 89) as f32)).collect();
        let table = Quantiles::new(&parts);
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            for len in [0, 1, 2, 3, 7, 16, 33, 100_001] {
                let mut out = vec![0f32; len];
                sample_on(simd, 42, &table, &mut out);
                for (i, x) in out.iter().enumerate() {
                    let word = random(42, i as u64 / 2);
                    let bits = if i % 2 == 0 { word as u32 } else { (word >> 32) as u32 };
                    assert_eq!(x.to_bits(), slowly(bits, &parts).to_bits(), "{simd:?}, {i} of {len}");
                }
            }
        }
    }

    #[test]
    fn every_octave_and_both_ends_of_its_parts() {
        let parts: Vec<(f32, f32)> = (0..OCTAVES * PARTS).map(|i| (i as f32, 0.5)).collect();
        let table = Quantiles::new(&parts);
        let around = |bits: u32| [bits.wrapping_sub(1), bits, bits.wrapping_add(1)];
        let powers = (0..32).flat_map(|n| around(1 << n).into_iter().chain(around(129 << n >> 7)));
        for bits in powers.chain([0, u32::MAX, 1 << 31, !(1 << 31)]) {
            let found = generic::quantiles::value(bits, &table);
            assert_eq!(found.to_bits(), slowly(bits, &parts).to_bits(), "{bits:#x}");
        }
    }
}

//! Samples of a distribution, from random bits and a table of its quantiles.

use crate::quantiles::{Quantiles, SLOTS};

/// The odd number that a counter of SplitMix64 goes up by.
pub const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A bijection of 64 bits that leaves nothing of their order: what SplitMix64 (Steele, Lea, Flood 2014,
/// <https://doi.org/10.1145/2714064.2660195>) makes of its counter.
#[inline(always)]
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// The 64 bits at a position of the stream of a key.
#[inline(always)]
pub fn random(key: u64, position: u64) -> u64 {
    mix(key.wrapping_add(position.wrapping_add(1).wrapping_mul(STEP)))
}

#[inline(always)]
pub fn value(bits: u32, table: &Quantiles) -> f32 {
    // Bit 31 is the sign, the others are the probability of being further out. As a float of 64 bits it has octave, part and the way
    // through the part as fields; and it becomes one without a conversion, as the low bits of a large number.
    let tail = (bits << 1 | 1) as u64;
    const LARGE: f64 = (1u64 << 52) as f64;
    let float = (f64::from_bits(tail | LARGE.to_bits()) - LARGE).to_bits();
    let at = (float >> 45) as usize & (SLOTS - 1);
    let outward = (float >> 21) as i32 & 0xFF_FFFF;
    // From 1 down to 2^-24: exact.
    let inward = (0x100_0000 - outward) as f32 * (1.0 / 16_777_216.0);
    f32::from_bits((table.near[at] + table.more[at] * inward).to_bits() | bits & 1 << 31)
}

#[inline(always)]
pub fn sample(key: u64, table: &Quantiles, out: &mut [f32]) {
    let (pairs, last) = out.as_chunks_mut::<2>();
    for (i, pair) in pairs.iter_mut().enumerate() {
        let bits = random(key, i as u64);
        *pair = [value(bits as u32, table), value((bits >> 32) as u32, table)];
    }
    if let [x] = last {
        *x = value(random(key, pairs.len() as u64) as u32, table);
    }
}

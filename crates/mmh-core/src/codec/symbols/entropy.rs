//! What a histogram costs. In integers: a floating-point logarithm may differ from machine to machine in its last bit, and the same
//! source must give the same file everywhere.

use mmh_kernels::histogram;

/// Fractional bits of the results.
const SCALE: u32 = 16;

/// log2(1 + i/256) in units of 2^-16, for i = 0 … 256.
const LOG: [u32; 257] = log_table();

const fn log_table() -> [u32; 257] {
    let mut table = [0; 257];
    let mut i = 0;
    while i <= 256 {
        // Bit by bit: squaring a number in [1, 2) doubles its logarithm.
        let mut x: u64 = (256 + i as u64) << 22;
        let mut log = 0;
        let mut bit = 0;
        if i == 256 {
            log = 1 << SCALE;
            bit = SCALE;
        }
        while bit < SCALE {
            x = (x * x) >> 30;
            log <<= 1;
            if x >= 1 << 31 {
                x >>= 1;
                log |= 1;
            }
            bit += 1;
        }
        table[i] = log;
        i += 1;
    }
    table
}

/// log2(x) in units of 2^-16, x ≥ 1; off by less than 2^-15 bits.
pub fn log2(x: u32) -> u64 {
    let whole = 31 - x.leading_zeros();
    let mantissa = ((x as u64) << 32 >> whole) as u32;
    let (i, part) = ((mantissa >> 24) as usize, (mantissa >> 8 & 0xffff) as u64);
    let fraction = LOG[i] as u64 + (((LOG[i + 1] - LOG[i]) as u64 * part) >> 16);
    ((whole as u64) << SCALE) + fraction
}

/// The ideal code length of each value, in units of 2^-16 bits; values that do not occur cost a bit more than those that occur once.
pub fn lengths(counts: &[u32; 256]) -> [u32; 256] {
    let total: u32 = counts.iter().fold(0, |t, c| t.saturating_add(*c));
    let all = log2(total.max(1)) as u32;
    counts.map(|c| if c == 0 { all + (1 << SCALE) } else { all.saturating_sub(log2(c) as u32) })
}

/// Order-0 entropy of the counts, in bits over all of them, rounded down.
pub fn bits(counts: impl Iterator<Item = u32> + Clone) -> u64 {
    let total: u64 = counts.clone().map(u64::from).sum();
    let Ok(n) = u32::try_from(total) else { return u64::MAX };
    if n == 0 {
        return 0;
    }
    let all = log2(n);
    counts.filter(|c| *c > 0).map(|c| c as u64 * (all.saturating_sub(log2(c)))).sum::<u64>() >> SCALE
}

/// Order-0 entropy of bytes, in bits over all of them, rounded down, and how many values they have.
pub fn of_bytes(bytes: &[u8]) -> (u64, usize) {
    let mut counts = [0u32; 256];
    histogram::bytes(bytes, &mut counts);
    if bytes.len() >= counts.len() {
        return (bits(counts.iter().copied()), counts.iter().filter(|c| **c > 0).count());
    }
    // Of few bytes, each value is met by way of one of them sooner than among all that there are.
    let mut few = [0u32; 256];
    let mut values = 0;
    for b in bytes {
        let count = std::mem::take(&mut counts[*b as usize]);
        few[values] = count;
        values += (count > 0) as usize;
    }
    (bits(few[..values].iter().copied()), values)
}

/// Bytes that [`are_noise`] tells anything of.
const TELLING: usize = 4096;

/// Whether bytes are noise, as one in four of them tells, in short stretches at different places: no more pairs of them are equal than of noise,
/// within a few hundredths. It is told in half the time that [`of_bytes`] takes, and never of bytes that have less than 7.85 bits, but by chance.
pub fn are_noise(bytes: &[u8]) -> bool {
    const STRETCH: usize = 64;
    if bytes.len() < TELLING {
        return false;
    }
    let mut counts = [0u32; 256];
    let mut n = 0;
    for (i, four) in bytes.chunks_exact(4 * STRETCH).enumerate() {
        four[i % 4 * STRETCH..][..STRETCH].iter().for_each(|b| counts[*b as usize] += 1);
        n += STRETCH as u64;
    }
    // Rényi's entropy of order 2, which is no more than Shannon's.
    let pairs = counts.iter().map(|c| *c as u64 * *c as u64).sum::<u64>() - n;
    pairs * 242 < n * (n - 1)
}

/// What each value takes, in units of 2^-16 bits, when it has one of these frequencies, which add up to 2 to `total`; one without takes
/// `exception` bits.
pub fn lengths_of(total: u32, frequency: impl Fn(u8) -> u32, exception: u32) -> [u32; 256] {
    std::array::from_fn(|s| match frequency(s as u8) {
        0 => exception << SCALE,
        f => (total << SCALE) - log2(f) as u32,
    })
}

/// The values that occur, as a range: loops over all 256 take several times as long.
pub fn range(counts: &[u32; 256]) -> std::ops::Range<usize> {
    let first = counts.iter().position(|c| *c > 0).unwrap_or(0);
    first..counts.iter().rposition(|c| *c > 0).map_or(first, |last| last + 1)
}

/// Bits of all counts of a range of values when these take so much each, in units of 2^-16.
pub fn cost(range: &std::ops::Range<usize>, counts: &[u32; 256], lengths: &[u32; 256]) -> u64 {
    counts[range.clone()].iter().zip(&lengths[range.clone()]).map(|(c, l)| *c as u64 * *l as u64).sum::<u64>()
        >> SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_close_to_the_real_logarithm() {
        for x in (1..100_000).chain([1 << 20, (1 << 20) + 1, u32::MAX - 1, u32::MAX]) {
            let exact = (x as f64).log2();
            assert!((log2(x) as f64 / 65536.0 - exact).abs() < 5e-5, "{x}");
        }
        assert_eq!(bits([1, 1, 1, 1].into_iter()), 8);
        assert_eq!(bits([5, 0, 0].into_iter()), 0);
        assert_eq!(bits([0; 4].into_iter()), 0);
    }

    #[test]
    fn noise_is_told_from_what_is_nearly_noise() {
        for seed in 0..50 {
            for n in [4096, 5000, 8192] {
                let noise = crate::testing::noise(n, seed);
                assert!(are_noise(&noise) || n < 8192);
                // One value in eight is as frequent as two: 7.75 bits.
                let nearly: Vec<u8> = noise.iter().map(|b| if *b < 64 { b & 31 } else { *b }).collect();
                assert!(!are_noise(&nearly), "{seed} {n}");
                let stretches: Vec<u8> =
                    noise.iter().enumerate().map(|(i, b)| if i / 64 % 4 == 1 { 0 } else { *b }).collect();
                assert!(!are_noise(&stretches));
            }
            assert!(!are_noise(&crate::testing::noise(4095, seed)));
        }
    }

    #[test]
    fn few_bytes_are_as_many() {
        for n in [0, 1, 2, 100, 255, 256, 1000] {
            for mask in [0x00, 0x13, 0xff] {
                let bytes: Vec<u8> = crate::testing::noise(n, 1).iter().map(|b| b & mask).collect();
                let mut counts = [0u32; 256];
                bytes.iter().for_each(|b| counts[*b as usize] += 1);
                let values = counts.iter().filter(|c| **c > 0).count();
                assert_eq!(of_bytes(&bytes), (bits(counts.iter().copied()), values), "{n} {mask}");
            }
        }
    }
}

//! Random numbers by position: the same on every machine, in any order, by any number of threads.
//!
//! SplitMix64 (Steele, Lea, Flood 2014, <https://doi.org/10.1145/2714064.2660195>) of a key and a counter.

use mmh_kernels::quantiles::{STEP, mix, random};

/// A stream of random numbers that can be read at any position.
#[derive(Clone, Copy, Debug)]
pub struct Stream(u64);

impl Stream {
    /// The stream of a name under a seed.
    pub fn named(seed: u64, name: &str) -> Stream {
        // FNV-1a, mixed afterwards.
        let hash =
            name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |h, b| (h ^ b as u64).wrapping_mul(0x0100_0000_01B3));
        Stream(mix(mix(seed ^ STEP) ^ hash))
    }

    /// A stream of its own for each number.
    #[inline]
    pub fn part(self, number: u64) -> Stream {
        Stream(mix(self.0 ^ mix(number.wrapping_add(STEP))))
    }

    /// What the counter is added to.
    pub fn key(self) -> u64 {
        self.0
    }

    /// The 64 bits at a position.
    #[inline(always)]
    pub fn at(self, position: u64) -> u64 {
        random(self.0, position)
    }

    /// A number from 0 (included) to 1 (not).
    pub fn unit(self, position: u64) -> f64 {
        (self.at(position) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number from `low` to `high`.
    pub fn between(self, position: u64, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_splitmix64() {
        // The first numbers of the published generator for seed 1234567.
        let stream = Stream(1_234_567);
        assert_eq!(stream.at(0), 6_457_827_717_110_365_317);
        assert_eq!(stream.at(1), 3_203_168_211_198_807_973);
    }

    #[test]
    fn names_seeds_and_parts_differ() {
        let one = Stream::named(1, "a");
        let all = [
            one.at(0),
            one.at(1),
            one.part(0).at(0),
            Stream::named(2, "a").at(0),
            Stream::named(1, "b").at(0),
        ];
        let mut sorted = all.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), all.len());
    }
}

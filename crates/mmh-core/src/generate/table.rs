//! Samples of bell curves with heavy tails, by looking up quantiles.
//!
//! Only +, −, ×, ÷ and square roots, which IEEE 754 defines to the last bit, and integers: `exp` and its like of a libm differ from
//! platform to platform, and with them would the files.

use super::random::Stream;
use mmh_kernels::quantiles::{self, OCTAVES, PARTS, Quantiles};

/// Steps of the integral over the density.
const STEPS: usize = 4096;

/// e^x, for |x| below 700; to about 14 digits.
pub fn exp(x: f64) -> f64 {
    let mut halvings = 0;
    let mut r = x;
    while !(-0.0625..=0.0625).contains(&r) && halvings < 16 {
        r *= 0.5;
        halvings += 1;
    }
    // Taylor, from the smallest term on.
    let mut sum = 1.0;
    for n in (1..=10).rev() {
        sum = 1.0 + sum * r / n as f64;
    }
    for _ in 0..halvings {
        sum *= sum;
    }
    sum
}

/// Normal distributions of several widths, in the shares in which they come.
fn components(spread: f64) -> Vec<(f64, f64)> {
    let nodes = (-4..=4).map(|k| k as f64 * 0.75);
    let mut all: Vec<(f64, f64)> = nodes.map(|z| (exp(-z * z / 2.0), exp(spread * z))).collect();
    let sum: f64 = all.iter().map(|c| c.0).sum();
    all.iter_mut().for_each(|c| c.0 /= sum);
    if spread > 0.0 {
        // A few weights are far out.
        all.push((4e-6, 12.0));
    }
    let variance: f64 = all.iter().map(|(share, width)| share * width * width).sum();
    let scale = variance.sqrt();
    all.iter_mut().for_each(|c| c.1 /= scale);
    all
}

/// Quantiles of a symmetric distribution of mean 0 and variance 1.
pub struct Table {
    /// For each part the value at its end nearer to zero, and how much more it is at the other end.
    parts: Vec<(f32, f32)>,
    quantiles: Box<Quantiles>,
}

impl Table {
    /// A normal distribution whose width varies by a factor of about e^±spread; 0 for one that does not.
    pub fn new(spread: f64) -> Table {
        let components = components(spread);
        let density = |x: f64| -> f64 {
            let one = |(share, width): &(f64, f64)| {
                let z = x / width;
                if z > 30.0 { 0.0 } else { share / width * exp(-z * z / 2.0) }
            };
            // 2 / sqrt(2π), for both sides.
            components.iter().map(one).sum::<f64>() * 0.797_884_560_802_865_4
        };
        // Points that lie closer towards zero, and the probability of being beyond each.
        let widest = components.iter().map(|c| c.1).fold(0.0, f64::max);
        let point = |i: usize| {
            let u = i as f64 / STEPS as f64;
            8.0 * widest * u * u * u
        };
        let mut beyond = vec![0.0; STEPS + 1];
        for i in (0..STEPS).rev() {
            let (a, b) = (point(i), point(i + 1));
            // Simpson's rule.
            let mean = (density(a) + 4.0 * density((a + b) / 2.0) + density(b)) / 6.0;
            beyond[i] = beyond[i + 1] + (b - a) * mean;
        }
        let all = beyond[0];
        let mut i = STEPS;
        let mut quantile = |tail: f64| {
            let wanted = tail * all;
            while i > 0 && beyond[i] < wanted {
                i -= 1;
            }
            if beyond[i] < wanted {
                return 0.0;
            }
            let (a, b) = (point(i), point((i + 1).min(STEPS)));
            let (high, low) = (beyond[i], beyond[(i + 1).min(STEPS)]);
            if high > low { a + (b - a) * (high - wanted) / (high - low) } else { a }
        };
        // From the smallest probability on: the search goes one way.
        let mut knots = Vec::with_capacity(OCTAVES * PARTS + 1);
        for octave in (0..OCTAVES).rev() {
            let base = 1.0 / (2u64 << octave) as f64;
            knots.extend((0..PARTS).map(|part| quantile(base * (1.0 + part as f64 / PARTS as f64))));
        }
        knots.push(0.0);
        let mut parts = vec![(0.0, 0.0); OCTAVES * PARTS];
        for (k, pair) in knots.windows(2).enumerate() {
            let (octave, part) = (OCTAVES - 1 - k / PARTS, k % PARTS);
            parts[octave * PARTS + part] = (pair[1] as f32, (pair[0] - pair[1]) as f32);
        }
        let quantiles = Quantiles::new(&parts);
        Table { parts, quantiles }
    }

    /// Values, two from each 64 bits of a stream.
    pub fn sample(&self, stream: Stream, out: &mut [f32]) {
        quantiles::sample(stream.key(), &self.quantiles, out);
    }

    /// The value at a position of a stream, from half of its bits.
    pub fn draw(&self, stream: Stream, position: u64) -> f64 {
        self.quantiles.value(stream.at(position) as u32) as f64
    }

    /// The value that 64 random bits stand for, with all of the digits of an f64.
    pub fn wide_value(&self, bits: u64) -> f64 {
        let tail = bits << 1 | 1;
        let octave = tail.leading_zeros() as usize;
        let aligned = tail << octave.min(OCTAVES - 1);
        let part = (aligned >> 56) as usize & (PARTS - 1);
        let inward = ((!(aligned >> 3) & ((1 << 53) - 1)) + 1) as f64 / (1u64 << 53) as f64;
        let (near, more) = self.parts[octave.min(OCTAVES - 1) * PARTS + part];
        f64::from_bits((near as f64 + more as f64 * inward).to_bits() | bits & 1 << 63)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(table: &Table) -> (f64, f64, f64) {
        let stream = Stream::named(3, "moments");
        let n = 1 << 20;
        let values: Vec<f64> = (0..n).map(|i| table.draw(stream, i)).collect();
        let mean = |f: &dyn Fn(f64) -> f64| values.iter().map(|x| f(*x)).sum::<f64>() / n as f64;
        let variance = mean(&|x| x * x);
        (mean(&|x| x), variance, mean(&|x| x * x * x * x) / (variance * variance))
    }

    #[test]
    fn exp_is_what_libm_has() {
        for x in [-40.0, -3.3, -0.01, 0.0, 1e-9, 0.5, 2.0, 17.0] {
            assert!((exp(x) / f64::exp(x) - 1.0).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn the_normal_one_is_normal() {
        let (mean, variance, kurtosis) = moments(&Table::new(0.0));
        assert!(mean.abs() < 0.004 && (variance - 1.0).abs() < 0.01 && (kurtosis - 3.0).abs() < 0.05);
        let table = Table::new(0.0);
        // Half of all lie within 0.6745, one of a thousand beyond 3.2905.
        assert!((table.quantiles.value(1 << 30).abs() - 0.674_490).abs() < 1e-4);
        assert!((table.quantiles.value(((1u64 << 31) / 1000) as u32) - 3.290_527).abs() < 1e-3);
    }

    #[test]
    fn others_have_heavier_tails() {
        let (_, variance, kurtosis) = moments(&Table::new(0.25));
        assert!((0.97..1.03).contains(&variance) && kurtosis > 3.4, "{variance} {kurtosis}");
    }

    #[test]
    fn both_widths_agree() {
        let table = Table::new(0.2);
        for i in 0..1000 {
            let bits = Stream::named(0, "x").at(i);
            let (narrow, wide) = (table.quantiles.value((bits >> 32) as u32) as f64, table.wide_value(bits));
            assert!((narrow - wide).abs() <= 1e-6 * narrow.abs().max(1e-3), "{narrow} {wide}");
        }
    }
}

//! Statistics of the elements of a tensor, of one stretch at a time; stretches are joined in their order.

use super::distinct::Distinct;
use crate::api::diff::Decoder;
use crate::dtype::{Dtype, Kind};
use mmh_kernels::histogram;

/// Bits of an f32 that make its bin: sign, exponent, and four of the mantissa.
const BIN_BITS: u32 = 13;
/// Number of bins.
pub const BINS: usize = 1 << BIN_BITS;
/// So few numbers are kept.
const KEPT: u64 = 1 << 16;
/// More columns than this are not looked at one by one.
const MAX_COLUMNS: u64 = 1 << 16;

/// What is asked about a tensor: how its bytes are read.
pub struct Reader {
    dtype: Dtype,
    decoder: Option<Decoder>,
    /// Bytes of an element, or of a block, and where numbers of 16 bits stand in it.
    unit: usize,
    scales: Option<&'static [usize]>,
    /// Elements of a row, where there are several rows.
    pub columns: Option<u64>,
    /// Bits below the exponent, and of the exponent.
    exponent: Option<(u32, u32)>,
}

/// Where the scales of a block stand, which are binary16.
fn scales(dtype: Dtype) -> Option<&'static [usize]> {
    use Dtype::*;
    Some(match dtype {
        Q4_0 | Q5_0 | Q8_0 | IQ2_XXS | IQ2_XS | IQ3_XXS | IQ1_S | IQ4_NL | IQ3_S | IQ2_S | IQ4_XS | Q1_0 => {
            &[0]
        }
        Q4_1 | Q5_1 | Q8_1 | Q4_K | Q5_K => &[0, 2],
        Q2_K => &[80, 82],
        Q3_K => &[108],
        Q6_K => &[208],
        TQ1_0 => &[52],
        TQ2_0 => &[64],
        _ => return None,
    })
}

impl Reader {
    /// For a tensor of this dtype and shape; its first axis is the one that varies slowest.
    pub fn new(dtype: Dtype, shape: &[u64]) -> Reader {
        let unit = dtype.unit().1 as usize;
        let columns: u64 = shape.iter().skip(1).product();
        let scales = scales(dtype);
        let decoder = match dtype {
            Dtype::Bool => Some(Decoder::Unsigned(1)),
            _ if scales.is_some() => Some(Decoder::F16),
            _ => Decoder::of(dtype),
        };
        let exponent = match (dtype, dtype.kind()) {
            (Dtype::C64, _) => Some((23, 8)),
            (_, Kind::Float { exponent }) => Some((8 * unit as u32 - 1 - exponent as u32, exponent as u32)),
            _ => None,
        };
        let rows = shape.len() >= 2 && shape[0] > 1 && dtype.unit().0 == 1 && dtype != Dtype::C64;
        let rows = rows && columns > 1 && columns * unit as u64 <= super::PIECE as u64;
        Reader { dtype, decoder, unit, scales, columns: rows.then_some(columns), exponent }
    }

    /// Whether its numbers are scales of blocks, not the elements.
    pub fn reads_scales(&self) -> bool {
        self.scales.is_some()
    }

    /// Bytes that stretches are a multiple of.
    pub fn granule(&self) -> usize {
        self.columns.map_or(self.unit, |n| n as usize * self.unit)
    }

    /// Bits of the exponent of an element.
    pub fn exponent_bits(&self) -> Option<u32> {
        self.exponent.map(|e| e.1)
    }

    /// What is in a stretch of whole granules.
    pub fn look(&self, bytes: &[u8]) -> Stats {
        let mut s = Stats::default();
        let mut counts = [0u32; 256];
        histogram::bytes(bytes, &mut counts);
        s.bytes = counts.iter().map(|c| *c as u64).collect();
        let Some(decoder) = &self.decoder else { return s };
        let mut values = Vec::new();
        match self.scales {
            Some(places) => {
                let scales: Vec<u8> = bytes
                    .chunks_exact(self.unit)
                    .flat_map(|block| places.iter().flat_map(|at| [block[*at], block[at + 1]]))
                    .collect();
                decoder.values(&scales, &mut values);
            }
            None => {
                decoder.values(bytes, &mut values);
                self.raw(bytes, &mut s);
            }
        }
        s.numbers(&values);
        if values.len() as u64 <= KEPT {
            s.values.clone_from(&values);
        }
        if let Some(columns) = self.columns {
            s.rows(&values, columns as usize);
        }
        s
    }

    /// What the bits of elements say.
    fn raw(&self, bytes: &[u8], s: &mut Stats) {
        let width = if self.dtype == Dtype::C64 { 4 } else { self.unit };
        s.distinct = Distinct::of(width, bytes);
        if let Some((shift, bits)) = self.exponent {
            s.exponents = vec![0; 1 << bits];
            let mask = (1u64 << bits) - 1;
            let mut count = |x: u64| s.exponents[(x >> shift & mask) as usize] += 1;
            match width {
                1 => bytes.iter().for_each(|b| count(*b as u64)),
                2 => bytes.as_chunks().0.iter().for_each(|b| count(u16::from_le_bytes(*b) as u64)),
                4 => bytes.as_chunks().0.iter().for_each(|b| count(u32::from_le_bytes(*b) as u64)),
                _ => bytes.as_chunks().0.iter().for_each(|b| count(u64::from_le_bytes(*b))),
            }
        }
        let stretch = self.columns.map_or(bytes.len(), |n| n as usize * self.unit).max(1);
        match self.dtype {
            Dtype::F32 | Dtype::C64 => s.narrow(bytes, stretch, |b| {
                let all = b.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).fold(
                    (0, true),
                    |(or, fits), x| {
                        (or | x, fits && (x << 1 == 0 || (0x67..0x8F).contains(&(x >> 23 & 0xFF))))
                    },
                );
                (all.0 << 1 != 0, all.0 & 0xFFFF == 0, all.0 & 0x1FFF == 0 && all.1)
            }),
            Dtype::F64 => s.narrow(bytes, stretch, |b| {
                let all = b.as_chunks().0.iter().fold(0, |or, b| or | u64::from_le_bytes(*b));
                (all << 1 != 0, all & 0x1FFF_FFFF == 0, false)
            }),
            _ => {}
        }
    }
}

/// A sum of squares for each row or column, boiled down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    /// How many there are that are not all zero.
    pub count: u64,
    /// Sum of their mean squares.
    pub sum: f64,
    /// Sum of the squares of those.
    pub squares: f64,
}

impl Spread {
    fn add(&mut self, mean_square: f64) {
        if mean_square > 0.0 {
            self.count += 1;
            self.sum += mean_square;
            self.squares += mean_square * mean_square;
        }
    }

    /// Variance of the mean squares.
    pub fn variance(&self) -> f64 {
        let n = self.count.max(1) as f64;
        (self.squares / n - (self.sum / n) * (self.sum / n)).max(0.0)
    }
}

/// Runs of zeros at both ends, and the longest one with its place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zeros {
    head: u64,
    tail: u64,
    /// Its length.
    pub longest: u64,
    /// Its first element.
    pub at: u64,
}

/// What is known about a stretch.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Numbers.
    pub count: u64,
    /// Those that are no number.
    pub nan: u64,
    /// Infinities.
    pub infinite: u64,
    /// Zeros, of both signs.
    pub zeros: u64,
    /// Finite ones.
    pub finite: u64,
    /// The smallest and the largest finite one.
    pub range: Option<(f64, f64)>,
    /// Mean of the finite ones, and sums of the second, third and fourth powers of the differences from it.
    pub moments: [f64; 4],
    /// How often each exponent comes.
    pub exponents: Vec<u64>,
    /// How many are in each bin of f32: the upper 13 bits.
    pub bins: Vec<u64>,
    /// The numbers themselves, where there are few.
    pub values: Vec<f64>,
    /// How often each byte comes.
    pub bytes: Vec<u64>,
    /// Different patterns of bits.
    pub distinct: Distinct,
    /// Of rows.
    pub rows: Spread,
    /// Sums of squares of columns.
    pub columns: Vec<f64>,
    /// Rows that are not all zero, those that fit bf16 (f64: f32), and those that fit f16.
    pub narrow: [u64; 3],
    /// Runs of zeros.
    pub runs: Zeros,
    /// First and last number, and what each is more than the one before, if that is the same for all.
    pub steps: Option<(f64, f64, Option<f64>)>,
}

impl Stats {
    fn numbers(&mut self, values: &[f64]) {
        self.count = values.len() as u64;
        self.bins = vec![0; BINS];
        let (mut low, mut high, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
        let mut run = 0;
        for (i, &x) in values.iter().enumerate() {
            if x == 0.0 {
                self.zeros += 1;
                run += 1;
            } else {
                self.end_run(run, i as u64);
                run = 0;
            }
            if x.is_finite() {
                self.finite += 1;
                sum += x;
                low = low.min(x);
                high = high.max(x);
                self.bins[((x as f32).to_bits() >> (32 - BIN_BITS)) as usize] += 1;
            }
        }
        self.end_run(run, self.count);
        self.runs.tail = run;
        self.nan = values.iter().filter(|x| x.is_nan()).count() as u64;
        self.infinite = self.count - self.finite - self.nan;
        let mean = sum / self.finite.max(1) as f64;
        let (mut m2, mut m3, mut m4) = (0.0, 0.0, 0.0);
        for x in values.iter().filter(|x| x.is_finite()) {
            let d = x - mean;
            m2 += d * d;
            m3 += d * d * d;
            m4 += d * d * d * d;
        }
        self.moments = [mean, m2, m3, m4];
        self.range = (self.finite > 0).then_some((low, high));
        if let [first, .., last] = values {
            let step = values[1] - first;
            let even = values.windows(2).all(|w| w[1] - w[0] == step);
            self.steps = Some((*first, *last, even.then_some(step)));
        } else if let [only] = values {
            self.steps = Some((*only, *only, None));
        }
    }

    fn end_run(&mut self, run: u64, end: u64) {
        if run == end {
            self.runs.head = run;
        }
        if run > self.runs.longest {
            (self.runs.longest, self.runs.at) = (run, end - run);
        }
    }

    fn rows(&mut self, values: &[f64], columns: usize) {
        let wide = columns as u64 > MAX_COLUMNS;
        self.columns = vec![0.0; if wide { 0 } else { columns }];
        for row in values.chunks_exact(columns) {
            let mut sum = 0.0;
            for x in row {
                sum += if x.is_finite() { x * x } else { 0.0 };
            }
            self.rows.add(sum / columns as f64);
            for (c, x) in self.columns.iter_mut().zip(row) {
                *c += if x.is_finite() { x * x } else { 0.0 };
            }
        }
    }

    fn narrow(&mut self, bytes: &[u8], stretch: usize, look: impl Fn(&[u8]) -> (bool, bool, bool)) {
        for row in bytes.chunks(stretch) {
            let (any, one, other) = look(row);
            self.narrow[0] += any as u64;
            self.narrow[1] += (any && one) as u64;
            self.narrow[2] += (any && other) as u64;
        }
    }

    /// Takes in the stretch that comes after this one.
    pub fn join(&mut self, next: Stats) {
        if self.bytes.is_empty() {
            *self = next;
            return;
        }
        let (a, b) = (self.runs, next.runs);
        let across = a.tail + b.head;
        self.runs.head = if a.head == self.count { a.head + b.head } else { a.head };
        self.runs.tail = if b.tail == next.count { a.tail + b.tail } else { b.tail };
        for (length, at) in [(across, self.count - a.tail), (b.longest, self.count + b.at)] {
            if length > self.runs.longest {
                (self.runs.longest, self.runs.at) = (length, at);
            }
        }
        self.steps = match (self.steps, next.steps) {
            (Some((first, last, step)), Some((then, end, following))) => {
                let between = then - last;
                // A stretch of one number has no step of its own.
                let one = step.is_none() && self.count == 1;
                let other = following.is_none() && next.count == 1;
                let even = (one || step == Some(between)) && (other || following == Some(between));
                Some((first, end, even.then_some(between)))
            }
            (a, b) => a.or(b),
        };
        self.join_moments(&next);
        self.count += next.count;
        let kept = (self.values.len() + next.values.len()) as u64;
        if kept == self.count && kept <= KEPT {
            self.values.extend(&next.values)
        } else {
            self.values.clear()
        }
        self.nan += next.nan;
        self.infinite += next.infinite;
        self.zeros += next.zeros;
        self.range = match (self.range, next.range) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (a, b) => a.or(b),
        };
        add(&mut self.exponents, &next.exponents);
        add(&mut self.bins, &next.bins);
        add(&mut self.bytes, &next.bytes);
        self.distinct.join(next.distinct);
        self.rows.count += next.rows.count;
        self.rows.sum += next.rows.sum;
        self.rows.squares += next.rows.squares;
        self.columns.iter_mut().zip(&next.columns).for_each(|(a, b)| *a += b);
        self.narrow.iter_mut().zip(next.narrow).for_each(|(a, b)| *a += b);
    }

    /// Chan, Golub and LeVeque 1979; Pébay 2008 for the higher ones.
    fn join_moments(&mut self, next: &Stats) {
        let (n, m) = (self.finite as f64, next.finite as f64);
        self.finite += next.finite;
        if m == 0.0 {
            return;
        }
        if n == 0.0 {
            self.moments = next.moments;
            return;
        }
        let all = n + m;
        let [mean, a2, a3, a4] = self.moments;
        let [other, b2, b3, b4] = next.moments;
        let d = other - mean;
        let d2 = d * d;
        self.moments = [
            mean + d * m / all,
            a2 + b2 + d2 * n * m / all,
            a3 + b3 + d2 * d * n * m * (n - m) / (all * all) + 3.0 * d * (n * b2 - m * a2) / all,
            a4 + b4
                + d2 * d2 * n * m * (n * n - n * m + m * m) / (all * all * all)
                + 6.0 * d2 * (n * n * b2 + m * m * a2) / (all * all)
                + 4.0 * d * (n * b3 - m * a3) / all,
        ];
    }

    /// Standard deviation of the finite ones.
    pub fn std(&self) -> f64 {
        (self.moments[1] / self.finite.max(1) as f64).sqrt()
    }

    /// Kurtosis: 3 for a bell curve, 1.8 where all values of a range come alike.
    pub fn kurtosis(&self) -> Option<f64> {
        let [_, m2, _, m4] = self.moments;
        (m2 > 0.0).then(|| m4 * self.finite as f64 / (m2 * m2)).filter(|k| k.is_finite())
    }

    /// Bits of entropy of the exponents.
    pub fn exponent_entropy(&self) -> Option<f64> {
        (!self.exponents.is_empty()).then(|| entropy(&self.exponents))
    }

    /// Bits of entropy of the bytes.
    pub fn byte_entropy(&self) -> f64 {
        entropy(&self.bytes)
    }
}

fn add(to: &mut [u64], from: &[u64]) {
    to.iter_mut().zip(from).for_each(|(a, b)| *a += b);
}

fn entropy(counts: &[u64]) -> f64 {
    let n = counts.iter().sum::<u64>() as f64;
    let bits = |c: &u64| *c as f64 / n * (n / *c as f64).log2();
    counts.iter().filter(|c| **c > 0).map(bits).sum::<f64>().max(0.0)
}

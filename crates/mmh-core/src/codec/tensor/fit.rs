//! What predicts the numbers of a block, and about how many bits they take with it.
//!
//! In floating point where least squares need it; the operations used give the same bits on every machine.

use super::predicted::Predictor;
use super::{Element, columns};
use crate::codec::Level;
use crate::codec::symbols::GROUP;
use crate::codec::symbols::entropy::{self, log2};
use crate::dtype::Kind;
use mmh_kernels::fields::FieldSpec;
use mmh_kernels::histogram;
use mmh_kernels::predicted::{
    self, AT_ONCE, BINS, Contexts, MAX_MANTISSA, MAX_WEIGHT_SUM, MIDDLE, Model, NEUTRAL, SCALES, Shape, UNIT,
    Work, magnitudes,
};

/// The fastest level at which numbers of two bytes and more are predicted, with weights.
const FASTEST: u8 = 8;

/// The fastest level at which bytes are predicted as well, which would be slower than `max` may be, and numbers without weights: what that saves is
/// little, and to find out takes as long as models do.
pub const FASTEST_FOR_ALL: u8 = 9;

/// Whether numbers are predicted.
pub fn is_tried(element: Element, level: Level) -> bool {
    let fastest = if element.width == 0 { FASTEST_FOR_ALL } else { FASTEST };
    matches!(element.kind, Kind::Float { .. }) && level.get() >= fastest
}

/// Rows that a block of several parts has at least, in rows' columns, for weights to be thought of: a weight takes a few bits, and saves less in
/// each row.
const ROWS_THAT_PAY: usize = 4;

/// Octaves of a block below its median that symbols have magnitudes for.
const BELOW_MEDIAN: u32 = 10;

/// Rows where none are found.
const NO_PERIOD: usize = 2048;

/// Columns of which weights are looked for: their matrix has to be factored.
const MOST_WEIGHTED: usize = 512;

/// Rows that least squares are made over.
const MOST_ROWS: usize = 4096;

/// Rows that tell where rows begin, and how little columns of different rows have in common, of what those of a row have.
const ROWS_FOR_PHASE: usize = 512;
const NOTHING_IN_COMMON: f64 = 0.25;

/// Fewest rows of a block, in fractions of a row's columns, that say something of how columns hang together.
const FEWEST_ROWS: usize = 2;

/// Rows for which weights have to be right to a whole unit; four times as many to half a unit, and so on. Half of the squared error is
/// lost in each row, against what a finer weight takes.
const FINENESS: f64 = 24.0;

/// A column's width, where it is as large as others.
const WIDTH: f64 = 1024.0;

/// What a mean error is beside the deviation, about.
const START: u16 = 800;

/// log2 of the elements that errors are averaged over.
const WINDOW: u8 = 6;

/// Groups that tell what all of them take, and of these one in so many columns.
const SAMPLE: usize = 8;
const STRIDE: usize = 13;

/// What a group takes beside its words, in bits.
const STATES: u64 = 8 * (2 + 4 * predicted::LANES as u64);

/// 2^(-r/8).
const EIGHTHS: [f64; 8] = [
    1.0,
    60097.0 / 65536.0,
    55109.0 / 65536.0,
    50535.0 / 65536.0,
    46341.0 / 65536.0,
    42495.0 / 65536.0,
    38968.0 / 65536.0,
    35734.0 / 65536.0,
];

/// A block's symbols, and the signs that go with them, a byte each.
#[derive(Clone, Copy)]
pub struct Numbers<'a> {
    pub symbols: &'a [u8],
    pub signs: &'a [u8],
    /// Bits of mantissa of a symbol.
    mantissa: u8,
    /// What is added to a symbol that is not zero.
    base: u16,
    /// Nothing but the sign is left of a number beside its symbol.
    rounded: bool,
}

impl<'a> Numbers<'a> {
    /// The symbols of a split of floats, and their signs, which are written to `signs`. `None` if the split is none that has them.
    pub fn of(
        symbols: &'a [u8],
        body: &[u8],
        spec: &FieldSpec,
        element: Element,
        signs: &'a mut [u8],
    ) -> Option<Numbers<'a>> {
        let Kind::Float { exponent } = element.kind else { return None };
        if !spec.sign_moved || !(exponent..=exponent + MAX_MANTISSA).contains(&spec.t) {
            return None;
        }
        match spec.size() {
            1 => tops::<1>(body, signs),
            2 => tops::<2>(body, signs),
            4 => tops::<4>(body, signs),
            size => signs.iter_mut().zip(body.chunks_exact(size)).for_each(|(s, e)| *s = e[size - 1] >> 7),
        }
        let mantissa = spec.t - exponent;
        Some(Numbers { symbols, signs, mantissa, base: spec.base, rounded: spec.rest_bits() == 1 })
    }

    /// Those from one on.
    fn from(&self, at: usize) -> Numbers<'a> {
        let at = at.min(self.symbols.len());
        Numbers { symbols: &self.symbols[at..], signs: &self.signs[at..], ..*self }
    }

    fn magnitudes(&self) -> [u16; 256] {
        magnitudes(self.mantissa, self.rounded, origin(self, &self.counts()))
    }

    fn counts(&self) -> [u32; 256] {
        let mut counts = [0; 256];
        histogram::bytes(self.symbols, &mut counts);
        counts
    }
}

/// The top bit of each element of `N` bytes.
fn tops<const N: usize>(body: &[u8], signs: &mut [u8]) {
    signs.iter_mut().zip(body.as_chunks::<N>().0).for_each(|(s, e)| *s = e[N - 1] >> 7);
}

/// What is known of the rows of a block, and what is to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Nothing yet.
    Unknown,
    /// Their length; only a prediction with weights is of use.
    Weighted(usize),
    /// Their length, of which weights take little; below level 9 only a prediction with weights is of use.
    Short(usize),
    /// Their length; weights are not worth what they take.
    Plain(usize),
    /// Nothing, nor is anything to be predicted.
    Unpredicted,
}

impl Rows {
    /// Rows of this length in a part of a block of which one prediction is not good for all.
    pub fn of_part(length: usize, elements: usize) -> Rows {
        if elements >= ROWS_THAT_PAY * length * length { Rows::Short(length) } else { Rows::Plain(length) }
    }

    /// Whether predictions are tried.
    pub fn are_predicted(self, level: Level) -> bool {
        match self {
            Rows::Unpredicted => false,
            Rows::Weighted(_) | Rows::Short(_) => true,
            Rows::Unknown | Rows::Plain(_) => level.get() >= FASTEST_FOR_ALL,
        }
    }

    fn only_weights(self, level: Level) -> bool {
        matches!(self, Rows::Weighted(_)) || level.get() < FASTEST_FOR_ALL
    }
}

/// The predictor of a block and about how many bits its symbols and signs take; leaves the model. `rows` is the length of rows, as told by
/// [`rows`] or `known`. `None` if there is none worth a thought.
pub fn choose(
    numbers: Numbers<'_>,
    rows: Option<usize>,
    known: Rows,
    level: Level,
    model: &mut Model,
    contexts: &mut Vec<Contexts>,
    work: &mut Work,
) -> Option<(Predictor, u64)> {
    let counts = numbers.counts();
    let origin = origin(&numbers, &counts);
    let magnitude = magnitudes(numbers.mantissa, numbers.rounded, origin);
    let sum: u64 = counts.iter().zip(&magnitude).map(|(c, m)| *c as u64 * *m as u64).sum();
    let mean = sum / numbers.symbols.len().max(1) as u64;
    let plain = Shape {
        mantissa: numbers.mantissa,
        rounded: numbers.rounded,
        origin,
        window: WINDOW,
        start: mean.min(u16::MAX as u64) as u16,
        period: NO_PERIOD,
        scales: Vec::new(),
        biases: Vec::new(),
        precision: 0,
        weights: Vec::new(),
        curve: [1; BINS],
    };
    let (mut shape, phase) = match rows {
        Some(period) => with_columns(&numbers, &magnitude, plain, period, known, level)?,
        None => (plain, 0),
    };
    if !model.lay_out(&shape) {
        return None;
    }
    // Some groups tell what all of them take.
    let groups = numbers.symbols.len().div_ceil(GROUP);
    let step = groups.div_ceil(SAMPLE).max(1);
    let sampled = || {
        let parts = numbers.symbols.chunks(GROUP).zip(numbers.signs.chunks(GROUP));
        parts.enumerate().skip(step / 2).step_by(step)
    };
    let mut errors = [0; BINS];
    let mut sampled_contexts = Vec::with_capacity(SAMPLE);
    for (g, part) in sampled() {
        predicted::classify(model, phase + g * GROUP, part, contexts, Some(&mut errors), work);
        sampled_contexts.push(std::mem::take(contexts));
    }
    shape.curve = curve(&errors);
    let predictor = Predictor { shape, phase };
    predictor.build(model).ok()?;
    let mut descriptor = Vec::new();
    predictor.write(&mut descriptor);
    let (mut bits, mut seen) = (0u64, 0u64);
    for contexts in &sampled_contexts {
        for context in contexts.iter().step_by(STRIDE).flatten().filter(|c| **c != predicted::NONE) {
            bits += (15 << 16) - log2(model.frequency(*context).max(1));
            bits += (model.escaped(*context) as u64) << 16;
            seen += 1;
        }
    }
    *contexts = sampled_contexts.pop().unwrap_or_default();
    let n = numbers.symbols.len() as u64;
    let bits = ((bits >> 8) * n / seen.max(1)) >> 8;
    Some((predictor, bits + 8 * descriptor.len() as u64 + groups as u64 * STATES))
}

/// The length of the rows of a block.
pub fn rows(numbers: &Numbers<'_>) -> Option<usize> {
    let magnitude = numbers.magnitudes();
    columns::folded(&values(numbers, &magnitude)).or_else(|| columns::period(numbers.symbols, &magnitude))
}

/// The length of the rows of a block that [`choose`] could find weights for, if it is `known` or that is not.
pub fn period(numbers: &Numbers<'_>, known: Option<usize>) -> Option<usize> {
    let values = values(numbers, &numbers.magnitudes());
    match known {
        Some(period) => columns::folds(&values, period).then_some(period),
        None => columns::folded(&values),
    }
}

/// As many elements as [`period`] looks at.
pub const LOOKED_AT: usize = columns::FOLDED;

/// The first numbers, so that their median is 32, cut off at four times that.
fn values(numbers: &Numbers<'_>, magnitude: &[u16; 256]) -> Vec<i16> {
    let positive = magnitude.map(|m| (m >> 5).min(127) as i16);
    let of = numbers.symbols.iter().zip(numbers.signs).take(columns::FOLDED);
    of.map(|(symbol, sign)| positive[*symbol as usize] * (1 - 2 * (*sign & 1) as i16)).collect()
}

/// The symbol of magnitude one, so far below the median that what is below it is rare.
fn origin(numbers: &Numbers<'_>, counts: &[u32; 256]) -> u8 {
    let n: u64 = counts.iter().map(|c| *c as u64).sum();
    let mut below = 0;
    let median = counts.iter().position(|c| {
        below += *c as u64;
        2 * below >= n
    });
    let k = numbers.mantissa as u32;
    // The low bits of the origin make those of a symbol the mantissa.
    let low = (1u32 << k) - 1;
    let align = (numbers.base as u32).wrapping_neg() & low;
    let lowest = (median.unwrap_or(0) as u32).saturating_sub(BELOW_MEDIAN << k);
    ((lowest & !low) + align).min(255) as u8
}

/// The logarithms of what was counted.
fn curve(errors: &[u32; BINS]) -> [u8; BINS] {
    let most = errors.iter().copied().max().unwrap_or(1).max(1);
    errors.map(|c| match c {
        0 => 0,
        c => (127 - ((8 * (log2(most) - log2(c)) + (1 << 15)) >> 16).min(126)) as u8,
    })
}

/// Least squares over rows of columns whose numbers are about as large, each row divided by its mean.
struct Sums {
    period: usize,
    rows: usize,
    /// What each column was divided by.
    scale: Vec<f64>,
    /// Of each column.
    means: Vec<f64>,
    /// Mean square of each column, without its mean.
    squares: Vec<f64>,
    /// Sums of products.
    products: Vec<f32>,
}

impl Sums {
    fn of(
        numbers: &Numbers<'_>,
        magnitude: &[u16; 256],
        (period, phase): (usize, usize),
        with_products: bool,
        most_rows: usize,
    ) -> Sums {
        let numbers = numbers.from((period - phase) % period);
        let rows = numbers.symbols.len() / period;
        let step = rows.div_ceil(most_rows).max(1);
        let parts = || {
            let symbols = numbers.symbols.chunks_exact(period);
            symbols.zip(numbers.signs.chunks_exact(period)).step_by(step)
        };
        // Half of the rows are enough to tell how large the numbers of a column are.
        let mut totals = vec![0u32; period];
        for (symbols, _) in parts().step_by(2) {
            totals.iter_mut().zip(symbols).for_each(|(t, s)| *t += magnitude[*s as usize] as u32);
        }
        let (count, half) = (parts().count(), parts().step_by(2).count());
        let scale: Vec<f64> = totals.iter().map(|t| (*t).max(1) as f64 / half.max(1) as f64).collect();
        let inverse: Vec<f32> = scale.iter().map(|s| (1.0 / s) as f32).collect();
        let values: [f32; 512] = std::array::from_fn(|i| {
            let m = magnitude[i & 255] as f32;
            if i < 256 { m } else { -m }
        });
        let mut products = vec![0.0; if with_products { period * period } else { 0 }];
        let (mut means, mut squares) = (vec![0; period], vec![0.0; period]);
        let mut some = vec![0; AT_ONCE * period];
        let mut work = predicted::Sums::default();
        let mut filled = 0;
        let mut add = |rows: &[i16]| {
            if with_products {
                predicted::accumulate(rows, period, &mut products, &mut work);
            }
        };
        for part in parts() {
            let row = &mut some[filled * period..(filled + 1) * period];
            predicted::normalize(part, &values, &inverse, row, &mut means, &mut squares);
            filled += 1;
            if filled == AT_ONCE {
                add(&some);
                filled = 0;
            }
        }
        add(&some[..filled * period]);
        let n = count.max(1) as f64;
        let unit = UNIT as f64;
        let means: Vec<f64> = means.into_iter().map(|m: i32| m as f64 / n / unit).collect();
        let square = |(square, mean): (f32, &f64)| (square as f64 / n / unit / unit - mean * mean).max(1e-6);
        let squares = squares.into_iter().zip(&means).map(square).collect();
        Sums { period, rows: count, scale, means, squares, products }
    }

    /// The Cholesky factor of the covariance, drawn a little towards columns that have nothing in common.
    fn factor(&mut self) -> bool {
        let p = self.period;
        let (n, unit) = (self.rows.max(1) as f64, UNIT as f64);
        let more = 1.0 + 0.3 * p as f64 / n + 1e-3;
        for i in 0..p {
            let row = &mut self.products[i * p..=i * p + i];
            for (sum, mean) in row.iter_mut().zip(&self.means) {
                *sum = (*sum as f64 / n / unit / unit - mean * self.means[i]) as f32;
            }
            row[i] = (self.squares[i] * more) as f32;
        }
        predicted::factor(&mut self.products, p)
    }

    /// With the factor: what is left of the deviation of each column.
    fn deviations(&self) -> Vec<f64> {
        (0..self.period).map(|i| self.products[i * self.period + i] as f64).collect()
    }

    /// With the factor: how many octaves smaller the squares of a row become, of all columns together.
    fn gain(&self) -> f64 {
        let squares = self.deviations().into_iter().zip(&self.squares).map(|(d, s)| s / (d * d));
        squares.map(|r| log2((r * 65536.0).clamp(1.0, 4e9) as u32) as f64 / 65536.0 - 16.0).sum()
    }
}

/// The column of the first element, if rows of this length begin elsewhere than the block: columns on either side of a place where rows end
/// have nothing in common, as they are of different rows.
fn phase(numbers: &Numbers<'_>, magnitude: &[u16; 256], period: usize) -> usize {
    let mut sums = Sums::of(numbers, magnitude, (period, 0), true, ROWS_FOR_PHASE);
    let p = period;
    let (n, unit) = (sums.rows.max(1) as f64, UNIT as f64);
    // Squares of correlations, without what they would be by chance.
    let common = |i: usize, j: usize| {
        let covariance = sums.products[i * p + j] as f64 / n / unit / unit - sums.means[i] * sums.means[j];
        covariance * covariance / (sums.squares[i] * sums.squares[j]) - 1.0 / n
    };
    // What columns before have in common with a column, and that with columns behind.
    let (mut before, mut behind) = (vec![0.0; p], vec![0.0; p]);
    for (i, own) in before.iter_mut().enumerate() {
        for (j, other) in behind.iter_mut().enumerate().take(i) {
            let c = common(i, j);
            *own += c;
            *other += c;
        }
    }
    let mean = before.iter().sum::<f64>() / (p * (p - 1) / 2).max(1) as f64;
    // Of all pairs on different sides of a place.
    let mut across = 0.0;
    let (mut least, mut at) = (mean * NOTHING_IN_COMMON, 0);
    for c in 1..p {
        across += behind[c - 1] - before[c - 1];
        let each = across / (c * (p - c)) as f64;
        if each < least {
            (least, at) = (each, c);
        }
    }
    let phase = (p - at) % p;
    if phase == 0 {
        return 0;
    }
    // Kernels of convolutions have such places in their rows, too: it is as good as what can be told with it.
    let mut with = Sums::of(numbers, magnitude, (period, phase), true, ROWS_FOR_PHASE);
    let is_better = with.factor() && sums.factor() && with.gain() > sums.gain();
    if is_better { phase } else { 0 }
}

/// The shape with what its columns say, and the column of the first element; `None` if only weights are of use and are not worth what they take.
fn with_columns(
    numbers: &Numbers<'_>,
    magnitude: &[u16; 256],
    plain: Shape,
    period: usize,
    known: Rows,
    level: Level,
) -> Option<(Shape, usize)> {
    let rows = numbers.symbols.len() / period;
    let only_weights = known.only_weights(level);
    let enough = if only_weights { rows >= ROWS_THAT_PAY * period } else { rows * FEWEST_ROWS >= period };
    let weighted = (2..=MOST_WEIGHTED).contains(&period) && enough && !matches!(known, Rows::Plain(_));
    if only_weights && !weighted {
        return None;
    }
    let phase = if weighted { phase(numbers, magnitude, period) } else { 0 };
    let mut sums = Sums::of(numbers, magnitude, (period, phase), weighted, MOST_ROWS);
    let shape = Shape { period, start: START, ..plain };
    if weighted && sums.factor() {
        let deviations = sums.deviations();
        // What is saved: half of it for each row.
        let gain = sums.gain() * 0.5 * rows as f64;
        let (scales, units) = scales(&sums, &deviations);
        let mut precision = 0;
        while rows as f64 > FINENESS * (1u64 << (2 * precision)) as f64 {
            precision += 1;
        }
        let weights = weights(&sums, &units, precision);
        let mut counts = [0u32; 256];
        weights.iter().for_each(|w| counts[w.cast_unsigned() as usize] += 1);
        let cost = entropy::bits(counts.iter().copied()) as f64;
        if gain > cost {
            let biases = biases(&sums, &units, &weights, precision);
            return Some((Shape { scales, biases, precision, weights, ..shape }, phase));
        }
    }
    if only_weights {
        return None;
    }
    let deviations: Vec<f64> = sums.squares.iter().map(|s| s.sqrt()).collect();
    let (scales, units) = scales(&sums, &deviations);
    let biases = biases(&sums, &units, &[], 0);
    Some((Shape { scales, biases, ..shape }, phase))
}

/// The scale of each column, and in how many of its units a number of [`Sums`] is that then has a deviation of [`WIDTH`], nearly.
fn scales(sums: &Sums, deviations: &[f64]) -> (Vec<u8>, Vec<f64>) {
    let scale = |(deviation, scale): (&f64, &f64)| {
        // In units of 2^-8.
        let of = log2((deviation * scale * 256.0).clamp(1.0, 4e9) as u32) as i64;
        let eighths = (8 * (of - (18 << 16)) + (1 << 15)) >> 16;
        let chosen = (eighths + NEUTRAL as i64).clamp(0, SCALES as i64 - 1) as usize;
        let unit = EIGHTHS[chosen % 8] * 16.0 / (1u32 << (chosen / 8)) as f64;
        (chosen as u8, unit * scale / WIDTH)
    };
    deviations.iter().zip(&sums.scale).map(scale).unzip()
}

/// The weights of all columns, as told by the factor, in units of 2^-precision.
fn weights(sums: &Sums, units: &[f64], precision: u8) -> Vec<i8> {
    let p = sums.period;
    let one = (1u32 << precision) as f64;
    let mut all = Vec::with_capacity(p * (p - 1) / 2);
    let (mut steps, mut own) = (Vec::new(), Vec::new());
    for j in 1..p {
        steps.clear();
        steps.extend(units[..j].iter().map(|unit| (unit / units[j] / one) as f32));
        predicted::regress(&sums.products, p, j, &steps, &mut own);
        let mut left = MAX_WEIGHT_SUM as i32;
        for w in &own {
            let size = (w.abs() as i32).min(left);
            left -= size;
            all.push(if *w < 0.0 { -size } else { size } as i8);
        }
    }
    all
}

/// What the prediction of each column begins with, as numbers have means.
fn biases(sums: &Sums, units: &[f64], weights: &[i8], precision: u8) -> Vec<u8> {
    let one = (1u32 << precision) as f64;
    let mut rest = weights;
    let means: Vec<f64> = sums.means.iter().zip(units).map(|(m, u)| m * u).collect();
    (0..sums.period)
        .map(|j| {
            let own = rest.split_off(..j.min(rest.len())).unwrap_or_default();
            let of_others: f64 = own.iter().zip(&means).map(|(w, m)| *w as f64 / one * m).sum();
            Model::bias(means[j] - of_others)
        })
        .collect()
}

// A bias of 1 is 32 of its steps.
const _: () = assert!(MIDDLE == 64);

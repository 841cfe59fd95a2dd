//! What a tensor looks like, and why.

use super::Examined;
use super::stats::Stats;
use crate::dtype::{Dtype, Kind};

/// What a tensor looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody trained it.
    Trained,
    /// As it was made before training.
    Fresh,
    /// Made by a rule, not learnt.
    Synthetic,
    /// All elements are the same.
    Constant,
    /// Integers or narrow floats that stand for wider ones.
    Quantized,
    /// It is damaged.
    Corrupt,
    /// Integers that count or number something.
    Data,
    /// Too few elements, or of a type that tells nothing.
    Unknown,
}

impl Verdict {
    /// As reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Trained => "trained",
            Verdict::Fresh => "fresh",
            Verdict::Synthetic => "synthetic",
            Verdict::Constant => "constant",
            Verdict::Quantized => "quantized",
            Verdict::Corrupt => "corrupt",
            Verdict::Data => "data",
            Verdict::Unknown => "unknown",
        }
    }
}

/// Fewer elements than this tell nothing.
const FEW: u64 = 16;
/// So many elements are enough to tell noise from weights.
const ENOUGH: u64 = 2048;
/// Bytes of zeros, other than whole rows, that look like a hole.
const HOLE: u64 = 4096;
/// So many different values are a palette, if each comes often enough.
const PALETTE: u64 = 256;

/// The verdict with its reason.
pub fn verdict(e: &Examined, stats: &Stats, generated: bool) -> (Verdict, String) {
    if e.tensor.len == 0 {
        return (Verdict::Unknown, "no elements".into());
    }
    if stats.count == 1 && stats.finite == 1 {
        return (Verdict::Unknown, "a single number".into());
    }
    if let Some(found) = constant(stats) {
        return found;
    }
    if let Some(reason) = damage(e, stats) {
        return (Verdict::Corrupt, reason);
    }
    if generated {
        return (Verdict::Synthetic, "the file says that mmh generate made it".into());
    }
    if let Some(reason) = rule(e, stats) {
        return (Verdict::Synthetic, reason);
    }
    let name = e.tensor.dtype.name();
    match e.tensor.dtype.kind() {
        Kind::Blocks => (Verdict::Quantized, format!("blocks of {name}")),
        _ if matches!(e.tensor.dtype, Dtype::F4 | Dtype::F6_E2M3 | Dtype::F6_E3M2 | Dtype::F8_E8M0) => {
            (Verdict::Quantized, format!("packed {name}"))
        }
        Kind::Float { .. } => floats(e, stats),
        _ => integers(e, stats),
    }
}

fn constant(s: &Stats) -> Option<(Verdict, String)> {
    let one = s.distinct.count() == Some(1) || s.count > 0 && s.zeros == s.count;
    let (low, high) = s.range?;
    (one && low == high).then(|| {
        let why = match low {
            0.0 => "all zeros",
            1.0 => "all ones, as gains are made",
            _ => "",
        };
        let reason = if why.is_empty() { format!("all elements are {}", short(low)) } else { why.into() };
        (Verdict::Constant, reason)
    })
}

/// What is no weight of any model.
fn damage(e: &Examined, s: &Stats) -> Option<String> {
    let float = matches!(e.tensor.dtype.kind(), Kind::Float { .. }) || e.scales;
    // Masks are made of zeros and infinities.
    let mask = s.distinct.count().is_some_and(|n| n <= 3);
    if float && !mask && s.nan + s.infinite > 0 {
        let what = if e.scales { "scales of blocks" } else { "elements" };
        return Some(match (s.nan, s.infinite) {
            (nan, 0) => format!("{nan} {what} are NaN"),
            (0, infinite) => format!("{infinite} {what} are infinite"),
            (nan, infinite) => format!("{nan} {what} are NaN, {infinite} are infinite"),
        });
    }
    if let (Some(entropy), Some(bits)) = (s.exponent_entropy(), e.exponent_bits) {
        // Weights of narrow floats fill their exponents too; those of five bits and more never do.
        if bits >= 5 && s.count >= ENOUGH && entropy > bits as f64 - 0.2 {
            return Some(format!("exponents are noise: {entropy:.2} bits of {bits}"));
        }
    }
    hole(e, s)
}

/// A stretch of zeros that neither begins nor ends with a row, among elements that are rarely zero.
fn hole(e: &Examined, s: &Stats) -> Option<String> {
    if !matches!(e.tensor.dtype.kind(), Kind::Float { .. }) || s.runs.longest == 0 {
        return None;
    }
    let size = e.tensor.len / s.count.max(1);
    let columns = e.columns.unwrap_or(s.count);
    let (start, end) = (s.runs.at, s.runs.at + s.runs.longest);
    let rows = start.is_multiple_of(columns) && end.is_multiple_of(columns);
    let others = (s.zeros - s.runs.longest) as f64 / (s.count - s.runs.longest).max(1) as f64;
    (s.runs.longest * size >= HOLE && !rows && others < 0.01)
        .then(|| format!("a hole: {} zeros from element {start} on, hardly any elsewhere", s.runs.longest))
}

/// Rules that elements follow.
fn rule(e: &Examined, s: &Stats) -> Option<String> {
    if let (Some((first, _, Some(step))), true) = (s.steps, s.count > 2) {
        return Some(match (first, step) {
            (0.0, 1.0) => "counts up from 0".into(),
            _ => format!("each is {} more than the one before", short(step)),
        });
    }
    if let Some(period) = e.period {
        return Some(format!("repeats every {period} bytes"));
    }
    let few = s.distinct.count().filter(|n| *n <= 3 && s.count >= FEW)?;
    (!matches!(e.tensor.dtype, Dtype::I8 | Dtype::U8)).then(|| format!("only {few} different values"))
}

fn integers(e: &Examined, s: &Stats) -> (Verdict, String) {
    let narrow = matches!(e.tensor.dtype, Dtype::I8 | Dtype::U8);
    if s.count < FEW {
        return (Verdict::Unknown, few(s.count));
    }
    if narrow && e.tensor.shape.len() >= 2 {
        return (
            Verdict::Quantized,
            format!("8-bit integers, {} different ones", s.distinct.count().unwrap_or(0)),
        );
    }
    let (low, high) = s.range.unwrap_or_default();
    (Verdict::Data, format!("integers from {low} to {high}"))
}

fn few(n: u64) -> String {
    format!("{n} element{} tell too little", if n == 1 { "" } else { "s" })
}

fn floats(e: &Examined, s: &Stats) -> (Verdict, String) {
    if s.count < FEW {
        return (Verdict::Unknown, few(s.count));
    }
    let eight = e.tensor.dtype.unit().1 == 1;
    if eight {
        return (Verdict::Quantized, "8-bit floats".into());
    }
    if let Some(n) = s.distinct.count().filter(|n| *n <= PALETTE && s.count >= 16 * n) {
        return (Verdict::Quantized, format!("dequantized: only {n} different values"));
    }
    let kurtosis = s.kurtosis().unwrap_or(3.0);
    let Some((rows, columns)) = excess(e, s) else { return vector(e, s, kurtosis) };
    if rows > 1.0 || columns > 1.0 {
        let by = |x: f64| if x > 1.0 { format!("{x:.0} ×") } else { "no more than".into() };
        let reason = format!("scales of rows differ {} by chance, of columns {}", by(rows), by(columns));
        return (Verdict::Trained, reason.replace("× by chance", "× as much as by chance"));
    }
    let noise = 6.0 * (24.0 / s.count as f64).sqrt() + 0.05;
    let kind = shape_of(kurtosis, noise);
    match kind {
        Some("uniform") if s.range.is_some_and(|(low, high)| high.max(-low) > 1.9 * s.std()) => (
            Verdict::Fresh,
            format!("rows and columns are all alike, elements nearly uniform (σ {})", short(s.std())),
        ),
        Some(kind) => (
            Verdict::Fresh,
            format!("rows and columns are all alike, elements {kind} (σ {})", short(s.std())),
        ),
        None if kurtosis > 3.0 => {
            let reason = format!("tails are heavier than of any initialisation (kurtosis {kurtosis:.1})");
            (Verdict::Trained, reason)
        }
        None => (Verdict::Fresh, format!("rows and columns are all alike, kurtosis {kurtosis:.2}")),
    }
}

/// Three digits.
fn short(x: f64) -> String {
    match x.abs() {
        y if (0.001..1000.0).contains(&y) => {
            let digits = (2 - y.log10().floor() as i32).max(0) as usize;
            format!("{x:.digits$}")
        }
        _ => format!("{x:.2e}"),
    }
}

/// Elements as initialisations draw them.
fn shape_of(kurtosis: f64, noise: f64) -> Option<&'static str> {
    [
        (1.8, "uniform"),
        (3.0, "normal"),
        // Cut at two standard deviations.
        (2.37, "of a truncated bell curve"),
    ]
    .into_iter()
    .find(|(expected, _)| (kurtosis - expected).abs() < noise)
    .map(|(_, name)| name)
}

/// By how much more rows and columns differ than they would by chance; at most 1 where that is within chance.
fn excess(e: &Examined, s: &Stats) -> Option<(f64, f64)> {
    let columns = e.columns?;
    let [_, m2, _, m4] = s.moments;
    let n = s.finite as f64;
    // Of the squares of elements: about zero, since weights have next to no mean.
    let mean = s.moments[0];
    let second = m2 / n + mean * mean;
    let fourth = m4 / n + 6.0 * mean * mean * m2 / n + mean.powi(4);
    let variance = fourth - second * second;
    if s.count < ENOUGH / 4 || variance <= 0.0 {
        return None;
    }
    let judged = |groups: f64, each: f64, found: f64| {
        if groups < 8.0 || each < 8.0 {
            return 0.0;
        }
        let ratio = found * each / variance;
        // How far such a ratio strays by chance.
        let stray = 6.0 * (2.0 / groups).sqrt();
        if ratio > 1.3 + stray { ratio } else { 1.0 }
    };
    let rows = judged(s.rows.count as f64, columns as f64, s.rows.variance());
    let each = s.rows.count as f64;
    let squares: Vec<f64> = s.columns.iter().map(|c| c / each.max(1.0)).filter(|c| *c > 0.0).collect();
    let count = squares.len() as f64;
    let middle = squares.iter().sum::<f64>() / count.max(1.0);
    let spread = squares.iter().map(|c| (c - middle) * (c - middle)).sum::<f64>() / count.max(1.0);
    let columns = judged(count, each, spread);
    (rows > 0.0 || columns > 0.0).then_some((rows, columns))
}

/// Gains, biases and the like, and matrices of few elements.
fn vector(e: &Examined, s: &Stats, kurtosis: f64) -> (Verdict, String) {
    let (low, high) = s.range.unwrap_or_default();
    // Biases of PyTorch are drawn alike from a range around zero.
    let reach = low.abs().max(high.abs());
    let noise = 6.0 * (24.0 / s.count as f64).sqrt();
    let alike = (kurtosis - 1.8).abs() < noise.min(0.5)
        && reach < 1.85 * s.std()
        && s.moments[0].abs() < 0.3 * s.std();
    if alike && s.count >= 64 {
        return (Verdict::Fresh, format!("drawn alike from ±{}, as biases are made", short(reach)));
    }
    let what = if e.tensor.shape.len() < 2 { "a vector whose elements differ" } else { "elements differ" };
    (Verdict::Trained, format!("{what}; when they are made they are constant or drawn alike"))
}

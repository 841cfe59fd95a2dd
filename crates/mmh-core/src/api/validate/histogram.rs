//! A histogram that people read, from the bins that were counted.

use super::stats::{BINS, Stats};

/// Counts of values in steps of the same width.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Where it begins and ends.
    pub range: (f64, f64),
    /// How many there are in each step, about: bins that lie in several steps are shared out.
    pub counts: Vec<f64>,
    /// Values below and above.
    pub outside: (f64, f64),
}

/// Standard deviations to each side that are shown.
const REACH: f64 = 4.5;

/// The f32 that a bin begins with, towards zero, and the one that the next begins with.
fn edges(bin: usize) -> (f64, f64) {
    let shift = 32 - BINS.trailing_zeros();
    let at = |i: usize| f32::from_bits((i as u32) << shift) as f64;
    let half = BINS / 2;
    let (near, far) = (at(bin % half), at(bin % half + 1));
    if bin >= half { (-far, -near) } else { (near, far) }
}

/// Around the mean, in so many steps; `None` where there are no numbers, or all are the same.
pub fn histogram(s: &Stats, steps: usize) -> Option<Histogram> {
    let (low, high) = s.range?;
    let (mean, std) = (s.moments[0], s.std());
    let (from, to) = (low.max(mean - REACH * std), high.min(mean + REACH * std));
    let width = (to - from) / steps as f64;
    if !(width > 0.0 && width.is_finite()) {
        return None;
    }
    let (mut counts, mut outside) = (vec![0.0; steps], (0.0, 0.0));
    if s.values.len() as u64 == s.count {
        for x in s.values.iter().filter(|x| x.is_finite()) {
            match *x {
                x if x < from => outside.0 += 1.0,
                x if x > to => outside.1 += 1.0,
                x => counts[(((x - from) / width) as usize).min(steps - 1)] += 1.0,
            }
        }
        return Some(Histogram { range: (from, to), counts, outside });
    }
    for (bin, &n) in s.bins.iter().enumerate().filter(|(_, n)| **n > 0) {
        let (a, b) = edges(bin);
        // What is known of the ends of the range is known of the bins there.
        let (a, b) = (a.max(low), b.min(high).max(a.max(low)));
        let n = n as f64;
        let part = |x: f64, y: f64| if b > a { n * ((y.min(b) - x.max(a)) / (b - a)).max(0.0) } else { 0.0 };
        if b <= a {
            // All of it is at one place.
            if a < from {
                outside.0 += n;
            } else if a > to {
                outside.1 += n;
            } else {
                counts[(((a - from) / width) as usize).min(steps - 1)] += n;
            }
            continue;
        }
        outside.0 += part(f64::NEG_INFINITY, from);
        outside.1 += part(to, f64::INFINITY);
        let first = (((a - from) / width).floor().max(0.0) as usize).min(steps - 1);
        let last = (((b - from) / width).ceil().max(0.0) as usize).max(first + 1).min(steps);
        for (i, count) in counts.iter_mut().enumerate().take(last).skip(first) {
            // The end of one step is the beginning of the next, to the last bit.
            *count += part(from + i as f64 * width, from + (i + 1) as f64 * width);
        }
    }
    Some(Histogram { range: (from, to), counts, outside })
}

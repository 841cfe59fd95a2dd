//! The scale of a group: its largest number is one of the values of the grid; each of them says what the scale would be, and few agree with the
//! other numbers.

use super::Scaled;
use mmh_kernels::scaled::{Float, Grid, SCALES, bounds, fit, integers_agree, load};

/// Numbers that a scale is tried on before it is tried on all.
const FEW: usize = 24;

/// Scales whose bounds cross by no more than this may do: they are where a product is rounded twice.
const TWICE: f64 = 1.0 + 1.0 / (1 << 22) as f64;

/// The scale of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Solved {
    pub(super) scale: f32,
    /// Within these bounds its magnitude may be another one.
    pub(super) bounds: (f64, f64),
    /// Which value of the grid its largest number is.
    pub(super) largest: f32,
    /// Elements that are none of the values.
    pub(super) escaped: usize,
}

/// Memory to work in.
#[derive(Default)]
pub(super) struct Work {
    values: Vec<f32>,
    /// A group had zeros of both signs: what was below zero before it was rounded. Else the zeros tell the sign of the scale.
    pub(super) mixed: bool,
}

/// One in so many elements of a group may be none of the values.
const FEWEST: usize = 16;

/// What the largest number of another group was is tried first from here on. Smaller ones are found soon, and twice as small a scale would do as well, with codes
/// that are others than those of the other groups.
const LEAST_HINT: f32 = 32.0;

/// What the largest number of a group may be, the likeliest first.
fn candidates(grid: Grid, hint: f32) -> impl Iterator<Item = f32> {
    let others: Vec<f32> = match grid {
        Grid::Integers => (1..=127u8).map(f32::from).collect(),
        // A power of two more or less in the scale changes exponents only.
        Grid::E4m3 => {
            [14u8, 8, 9, 10, 11, 12, 13, 15].map(|m| m as f32 * if m == 15 { 16.0 } else { 32.0 }).into()
        }
        Grid::NormalFloat4 => grid.values().into_iter().rev().map(f32::abs).filter(|v| *v > 0.0).collect(),
    };
    std::iter::once(hint.abs()).filter(|h| *h >= LEAST_HINT).chain(others)
}

/// The number with the shortest mantissa between bounds: that of the one who quantized, if it had few bits, and one that costs little.
fn simplest(low: f64, high: f64) -> f32 {
    let middle = ((low + high) / 2.0) as f32;
    let rounded = |dropped: u32| {
        let half = 1u32.checked_shl(dropped.wrapping_sub(1)).unwrap_or(0);
        f32::from_bits(middle.to_bits().wrapping_add(half) >> dropped << dropped)
    };
    let fits = |scale: &f32| low <= *scale as f64 && *scale as f64 <= high;
    (0..=23).rev().map(rounded).find(fits).unwrap_or(middle)
}

impl Scaled {
    /// Reads the numbers of a group; the largest one, on either side of zero.
    pub(super) fn load(self, body: &[u8], work: &mut Work) -> f32 {
        work.values.resize(body.len() / self.float.size(), 0.0);
        load(self.float, body, &mut work.values);
        work.values.iter().fold(0f32, |largest, v| if v.abs() > largest.abs() { *v } else { largest })
    }

    /// The scale with which all numbers of `body` are values of the grid, and their codes; `hint` is what the largest number of another group was.
    pub(super) fn solve(self, body: &[u8], hint: f32, work: &mut Work, codes: &mut [u8]) -> Option<Solved> {
        self.load(body, work);
        self.solve_loaded(body, hint, work, codes)
    }

    /// The same of numbers that have been read.
    pub(super) fn solve_loaded(
        self,
        body: &[u8],
        hint: f32,
        work: &mut Work,
        codes: &mut [u8],
    ) -> Option<Solved> {
        let Scaled { float, grid } = self;
        let (values, mixed) = (&work.values, &mut work.mixed);
        let mut largest = 0f32;
        // How many of the zeros are negative, and how many are not.
        let mut zeros = [0usize; 2];
        for value in values {
            largest = if value.abs() > largest.abs() { *value } else { largest };
            zeros[value.is_sign_negative() as usize] += (*value == 0.0) as usize;
        }
        *mixed |= grid == Grid::Integers && zeros.iter().all(|n| *n > 0);
        // A scale below zero makes negative zeros of zeros; FP8 has its own. Where there are none, the largest number is likely on the side where that of other groups was.
        let negative = match zeros {
            _ if grid == Grid::E4m3 => false,
            [0, 0] => {
                grid == Grid::Integers && hint != 0.0 && largest.is_sign_negative() != hint.is_sign_negative()
            }
            [not, _] => not == 0 && !*mixed,
        };
        let signed = |scale: f32| if negative { -scale } else { scale };
        if largest == 0.0 {
            let (scale, bounds) = (signed(1.0), (0.0, f64::INFINITY));
            let escaped = fit(float, grid, scale, body, 0, codes);
            return (escaped == 0).then_some(Solved { scale, bounds, largest, escaped });
        }
        let (mut few, mut count) = ([0f32; FEW], 0);
        let stride = values.len().div_ceil(FEW);
        for value in values.iter().step_by(stride).filter(|v| **v != 0.0 && !v.is_nan()) {
            few[count] = *value;
            count += 1;
        }
        let few = &few[..count];
        let (most, least) = tolerance(float);
        let integers = (grid == Grid::Integers).then(|| integers_agree(few, largest.abs(), most, least));
        let mut best: Option<Solved> = None;
        for candidate in candidates(grid, hint) {
            let scale = largest.abs() / candidate;
            let agree = match &integers {
                Some(all) => all[candidate as usize % SCALES],
                None => agree(grid, signed(scale), few, (most, least)),
            };
            if !agree || !scale.is_normal() || !(1.0 / scale).is_normal() {
                continue;
            }
            let Some(bounds) = narrowed(float, grid, signed(scale), values) else { continue };
            let middle = ((bounds.0 + bounds.1) / 2.0) as f32;
            for scale in [simplest(bounds.0, bounds.1), middle].map(signed) {
                let most = best.map_or(values.len() / FEWEST, |b| b.escaped.saturating_sub(1));
                let escaped = fit(float, grid, scale, body, most, codes);
                if escaped <= most && best.is_none_or(|b| escaped < b.escaped) {
                    best =
                        Some(Solved { scale, bounds, largest: candidate.copysign(largest * scale), escaped });
                }
                if escaped == 0 {
                    return best;
                }
            }
        }
        // Those of the last one that was tried are there now.
        best.inspect(|best| {
            fit(float, grid, best.scale, body, usize::MAX, codes);
        })
    }
}

/// By how much of themselves numbers may be off where a scale is known by one of them, and by how much besides.
fn tolerance(float: Float) -> (f32, f32) {
    // Numbers have been rounded, and so has the one that the scale comes from; and what is computed here is.
    let most = 2.125 * float.rounding() + 4.0 * f32::EPSILON;
    // Halves below the normal ones have been rounded to multiples of 2^-24.
    let least = if float == Float::Half { f32::from_bits((127 - 24) << 23) } else { 0.0 };
    (most, least)
}

/// Whether numbers may be values of the grid times about this scale.
fn agree(grid: Grid, scale: f32, few: &[f32], (most, least): (f32, f32)) -> bool {
    let inverse = 1.0 / scale;
    few.iter().all(|value| {
        let ratio = value * inverse;
        let nearest = grid.nearest(ratio);
        (ratio - nearest).abs() <= nearest.abs() * most + least * inverse.abs()
    })
}

/// The bounds of the scale: first by numbers that can be told apart with the scale that is roughly known, then by all.
fn narrowed(float: Float, grid: Grid, scale: f32, values: &[f32]) -> Option<(f64, f64)> {
    let mut scale = scale;
    let mut found = (0.0, f64::INFINITY);
    for most in [0.125 / float.rounding(), f32::INFINITY] {
        let (low, high) = bounds(float, grid, scale, most, values);
        if low > high * TWICE || !high.is_finite() && most.is_infinite() {
            return None;
        }
        if high.is_finite() {
            found = (low.min(high), high.max(low));
            scale = (((low + high) / 2.0) as f32).copysign(scale);
        }
    }
    scale.is_normal().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_mantissa_is_found() {
        assert_eq!(simplest(0.9, 1.1), 1.0);
        assert_eq!(simplest(1.4, 1.6), 1.5);
        assert_eq!(simplest(0.001_220_7, 0.001_220_71), 0.001_220_703_1);
        let exact = 0.012_345_678_f32;
        assert_eq!(simplest(exact as f64, exact as f64), exact);
    }
}

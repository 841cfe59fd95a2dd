//! Least squares: what of a column the columns before it tell.
//!
//! Sums of products are integers. What is made of them is in floating point, of which the four operations and square roots give the same bits
//! everywhere, in a fixed order. Matrices are square, row by row, and only what is not above the diagonal counts.

use super::dot::{Dot, Portable};
use super::model::{Both, LANES, Pair};
use crate::cpu::Simd;

/// Rows that are added up at once: sums of products stay below 2^31.
pub const AT_ONCE: usize = 64;

/// The largest number in a row, and its smallest is as far from 0.
pub const LARGEST_IN_ROW: i16 = 4095;

/// What a number that is as large as others of its row and column is in [`normalize`]d rows.
pub const UNIT: f32 = 256.0;

/// What is added to a weight before it is cut off: one that is nearly half a step is not worth its bits.
const UP: f32 = 0.4;

/// How much of what is lost by rounding a weight is left to those before it. All of it is best for rows that are what least squares take them
/// for; where rows are of several kinds weights would become large.
const MADE_UP_FOR: f32 = 0.75;

/// The largest weight.
const LARGEST_WEIGHT: i32 = 127;

/// Memory that sums are made in.
#[derive(Default)]
pub struct Sums {
    numbers: Vec<Both>,
    weights: Vec<Pair>,
}

/// Adds to the matrix of sums of products those of all pairs of columns, over rows of `period` numbers, at most [`AT_ONCE`] rows of numbers of
/// at most [`LARGEST_IN_ROW`].
pub fn accumulate(rows: &[i16], period: usize, sums: &mut [f32], work: &mut Sums) {
    accumulate_on(crate::cpu::simd(), rows, period, sums, work);
}

/// The same on the given instruction set.
pub fn accumulate_on(simd: Simd, rows: &[i16], period: usize, sums: &mut [f32], work: &mut Sums) {
    super::encode::on!(
        simd,
        crate::x86_64::predicted_avx512::accumulate,
        add(rows: &[i16], period: usize, sums: &mut [f32], work: &mut Sums)
    )
}

#[inline(always)]
pub(crate) fn add<D: Dot>(rows: &[i16], period: usize, sums: &mut [f32], work: &mut Sums) {
    let period = period.max(1);
    let count = (rows.len() / period).min(AT_ONCE);
    let pairs = count.div_ceil(2);
    let blocks = period.div_ceil(LANES);
    let Sums { numbers, weights } = work;
    // Pairs of rows: as columns in lanes, and as pairs of columns.
    numbers.clear();
    numbers.resize(blocks * pairs, [[0; 2]; LANES]);
    weights.clear();
    weights.resize(blocks * LANES / 2 * pairs, [[0; 2]; 2]);
    for (r, row) in rows.chunks_exact(period).take(count).enumerate() {
        let (k, half) = (r / 2, r % 2);
        for (block, row) in row.chunks(LANES).enumerate() {
            let to = &mut numbers[block * pairs + k];
            to.iter_mut().zip(row).for_each(|(to, x)| to[half] = *x);
        }
        for (pair, row) in row.chunks(2).enumerate() {
            let to = &mut weights[pair * pairs + k];
            to.iter_mut().zip(row).for_each(|(to, x)| to[half] = *x);
        }
    }
    if pairs == 0 {
        return;
    }
    let numbers_of = |block: usize| numbers.get(block * pairs..(block + 1) * pairs).unwrap_or_default();
    let weights_of = |pair: usize| weights.get(pair * pairs..(pair + 1) * pairs).unwrap_or_default();
    for i in (0..period).step_by(4) {
        for block in (0..=(i + 3).min(period - 1) / LANES).step_by(2) {
            let weights = [weights_of(i / 2), weights_of(i / 2 + 1)];
            let own = D::tile(weights, [numbers_of(block), numbers_of(block + 1)]);
            for (block, own) in (block..).zip(own) {
                for (i, own) in (i..period).zip(own.as_flattened()) {
                    let row = &mut sums[i * period..=i * period + i];
                    let row = &mut row[(block * LANES).min(i + 1)..];
                    row.iter_mut().zip(own).for_each(|(sum, x)| *sum += *x as f32);
                }
            }
        }
    }
}

multiversion! {
    /// Makes a row of numbers as large as others: divides them by what numbers of their columns are like, and by what is left of the row's mean.
    /// `values` has the number of a symbol, and of a symbol with a minus sign after all others; `inverse` is one of a column each. Adds them to
    /// the sums of columns, and their squares.
    pub fn normalize(
        numbers: (&[u8], &[u8]),
        values: &[f32; 512],
        inverse: &[f32],
        row: &mut [i16],
        sums: &mut [i32],
        squares: &mut [f32],
    ) = to_integers;
    on normalize_on
}

#[inline(always)]
fn to_integers(
    (symbols, signs): (&[u8], &[u8]),
    values: &[f32; 512],
    inverse: &[f32],
    row: &mut [i16],
    sums: &mut [i32],
    squares: &mut [f32],
) {
    let largest = LARGEST_IN_ROW as f32;
    let mut total = 0;
    let of = symbols.iter().zip(signs).zip(inverse);
    for (to, ((symbol, sign), inverse)) in row.iter_mut().zip(of) {
        let value = values[*symbol as usize | (*sign as usize & 1) << 8] * inverse;
        *to = rounded((value * UNIT).clamp(-largest, largest));
        total += to.unsigned_abs() as u32;
    }
    let by = UNIT / (total as f32 / row.len().max(1) as f32).max(UNIT * 0.05);
    for ((x, sum), square) in row.iter_mut().zip(sums).zip(squares) {
        let new = rounded((*x as f32 * by).clamp(-largest, largest));
        *sum += new as i32;
        *square += (new as i32 * new as i32) as f32;
        *x = new;
    }
}

/// The integer next to a number far below 2^22, whose bits are then the low ones of the sum. Conversions that look at every number first would
/// not be made vector code of.
#[inline(always)]
fn rounded(x: f32) -> i16 {
    (x + 12_582_912.0).to_bits() as i16
}

multiversion! {
    /// Replaces a positive definite matrix by its Cholesky factor; `false` if it is none.
    pub fn factor(matrix: &mut [f32], period: usize) -> bool = cholesky;
    on factor_on
}

#[inline(always)]
fn cholesky(matrix: &mut [f32], period: usize) -> bool {
    let mut column = vec![0.0; period];
    for k in 0..period {
        let pivot = matrix[k * period + k];
        if !(pivot > 0.0 && pivot < f32::MAX) {
            return false;
        }
        let root = pivot.sqrt();
        matrix[k * period + k] = root;
        for i in k + 1..period {
            column[i] = matrix[i * period + k] / root;
            matrix[i * period + k] = column[i];
        }
        for i in k + 1..period {
            let own = column[i];
            let row = &mut matrix[i * period + k + 1..=i * period + i];
            row.iter_mut().zip(&column[k + 1..=i]).for_each(|(m, c)| *m -= own * c);
        }
    }
    true
}

multiversion! {
    /// With the factor of the covariance: what column `of` is best predicted with, a weight for each column before it, as whole numbers of so many
    /// `steps` each. What one loses by that, those before it mostly make up for.
    pub fn regress(factor: &[f32], period: usize, of: usize, steps: &[f32], weights: &mut Vec<f32>) = solve;
    on regress_on
}

#[inline(always)]
fn solve(factor: &[f32], period: usize, of: usize, steps: &[f32], weights: &mut Vec<f32>) {
    weights.clear();
    weights.extend_from_slice(&factor[of * period..of * period + of]);
    for i in (0..of).rev() {
        let (before, own) = weights.split_at_mut(i);
        let row = &factor[i * period..=i * period + i];
        let exact = own[0] / row[i] / steps[i];
        let size = ((exact.abs() + UP) as i32).min(LARGEST_WEIGHT) as f32;
        own[0] = size.copysign(exact);
        let w = (exact + (own[0] - exact) * MADE_UP_FOR) * steps[i];
        before.iter_mut().zip(row).for_each(|(v, l)| *v -= w * l);
    }
}

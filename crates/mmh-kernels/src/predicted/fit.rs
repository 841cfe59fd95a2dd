//! Least squares: what of a column the columns before it tell.
//!
//! In floating point, of which the four operations and square roots give the same bits everywhere; sums are made in a fixed order. Matrices are
//! square, row by row, and only what is not above the diagonal counts.

multiversion! {
    /// Adds to the matrix of sums of products those of all pairs of columns, over rows of `period` numbers.
    pub fn accumulate(rows: &[f32], period: usize, sums: &mut [f32]) = add;
    on accumulate_on
}

#[inline(always)]
fn add(rows: &[f32], period: usize, sums: &mut [f32]) {
    // Four rows at a time, as the matrix does not fit the nearest cache.
    let (fours, rest) = rows.split_at(rows.len() / (4 * period) * (4 * period));
    for four in fours.chunks_exact(4 * period) {
        let (a, four) = four.split_at(period);
        let (b, four) = four.split_at(period);
        let (c, d) = four.split_at(period);
        for (i, sums) in sums.chunks_exact_mut(period).enumerate() {
            let (wa, wb, wc, wd) = (a[i], b[i], c[i], d[i]);
            let columns = a.iter().zip(b).zip(c.iter().zip(d));
            for (sum, ((a, b), (c, d))) in sums[..=i].iter_mut().zip(columns) {
                *sum += (wa * a + wb * b) + (wc * c + wd * d);
            }
        }
    }
    for row in rest.chunks_exact(period) {
        for (i, sums) in sums.chunks_exact_mut(period).enumerate() {
            for (sum, x) in sums[..=i].iter_mut().zip(row) {
                *sum += row[i] * x;
            }
        }
    }
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
    /// With the factor of the covariance: what column `of` is best predicted with, a weight for each column before it.
    pub fn regress(factor: &[f32], period: usize, of: usize, weights: &mut Vec<f32>) = solve;
    on regress_on
}

#[inline(always)]
fn solve(factor: &[f32], period: usize, of: usize, weights: &mut Vec<f32>) {
    weights.clear();
    weights.extend_from_slice(&factor[of * period..of * period + of]);
    for i in (0..of).rev() {
        let (before, own) = weights.split_at_mut(i);
        let row = &factor[i * period..=i * period + i];
        own[0] /= row[i];
        let w = own[0];
        before.iter_mut().zip(row).for_each(|(v, l)| *v -= w * l);
    }
}

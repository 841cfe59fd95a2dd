//! The elements of a tensor, row by row.

use super::element::{self, append};
use super::random::Stream;
use super::role::Spread;
use super::table::{Table, exp};
use crate::dtype::Dtype;
use std::ops::Range;

/// Streams of a tensor: of the scales of rows, of their elements, of whether they are dead or upcast.
const ROW_SCALES: u64 = 1 << 42;
const ROW_FATES: u64 = 1 << 43;
const ROWS: u64 = 1 << 48;

/// What a tensor of the file holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// The elements, each times a factor.
    Elements(f32),
    /// The scale of each row of int8.
    RowScales,
    /// One number.
    One(f32),
}

/// A tensor that can be filled from any row on.
pub struct Tensor {
    /// How its elements are spread.
    pub spread: Spread,
    /// Its random numbers.
    pub stream: Stream,
    /// Rows, of which zeros may stand at both ends.
    pub rows: u64,
    /// Elements of a row.
    pub columns: u64,
    /// What is asked for.
    pub content: Content,
    /// As what.
    pub dtype: Dtype,
}

impl Tensor {
    /// Appends these rows of the file's tensor; `tables` are those of `role::TABLES`.
    pub fn append(&self, rows: Range<u64>, tables: &[Table], out: &mut Vec<u8>) {
        match (&self.content, &self.spread) {
            (Content::One(x), _) => append(&[*x], self.dtype, out),
            (_, Spread::Count) => rows.for_each(|row| {
                (0..self.columns).for_each(|i| out.extend((row * self.columns + i).to_le_bytes()));
            }),
            (Content::Elements(factor), _) if self.dtype == Dtype::F64 => {
                rows.for_each(|row| self.wide_row(row, *factor, tables, out));
            }
            (content, _) => {
                let mut values = vec![0f32; self.columns as usize];
                for row in rows {
                    let upcast = self.row(row, tables, &mut values);
                    match content {
                        Content::RowScales => out.extend(element::row_scale(&values).to_le_bytes()),
                        Content::Elements(factor) if *factor != 1.0 => {
                            values.iter_mut().for_each(|x| *x *= factor);
                            append(&values, self.dtype, out);
                        }
                        _ => {
                            if upcast && self.dtype == Dtype::F32 {
                                values.iter_mut().for_each(|x| *x = element::of_f16(element::f16(*x)));
                            }
                            append(&values, self.dtype, out);
                        }
                    }
                }
            }
        }
    }

    /// The scale of a row, without those of its columns, and whether it was upcast.
    fn scale(&self, row: u64, normal: &Table) -> (f32, bool) {
        let Spread::Bell { scale, rows, dead, zeros, upcast, .. } = &self.spread else { return (0.0, false) };
        let fates = self.stream.part(ROW_FATES);
        let mut factor = exp(rows * normal.draw(self.stream.part(ROW_SCALES), row));
        if *dead > 0.0 && fates.unit(2 * row) < *dead {
            // What weight decay leaves of a channel that nobody listens to.
            factor *= exp(-16.0 * fates.unit(2 * row + 1));
        }
        let share = fates.part(1).unit(row);
        (scale * factor as f32, share < *upcast && zeros.0 <= row)
    }

    fn is_zero(&self, row: u64) -> bool {
        match &self.spread {
            Spread::Bell { zeros, .. } => row < zeros.0 || row + zeros.1 >= self.rows,
            _ => true,
        }
    }

    /// Fills a row; returns whether it is one that was upcast.
    fn row(&self, row: u64, tables: &[Table], out: &mut [f32]) -> bool {
        let stream = self.stream.part(ROWS + row);
        match &self.spread {
            Spread::Positive { scale, spread } => {
                for (i, x) in out.iter_mut().enumerate() {
                    *x = (scale * exp(spread * tables[0].draw(stream, i as u64))) as f32;
                }
                false
            }
            Spread::Bell { mean, table, columns, .. } if !self.is_zero(row) => {
                let (scale, upcast) = self.scale(row, &tables[0]);
                tables[*table].sample(stream, out);
                if columns.is_empty() {
                    out.iter_mut().for_each(|x| *x = mean + *x * scale);
                } else {
                    out.iter_mut().zip(columns).for_each(|(x, c)| *x *= c * scale);
                }
                upcast
            }
            _ => {
                out.fill(0.0);
                false
            }
        }
    }

    /// The same in 64 bits.
    fn wide_row(&self, row: u64, factor: f32, tables: &[Table], out: &mut Vec<u8>) {
        let Spread::Bell { mean, table, columns, .. } = &self.spread else {
            let mut narrow = vec![0f32; self.columns as usize];
            self.row(row, tables, &mut narrow);
            out.extend(narrow.iter().flat_map(|x| (*x as f64).to_le_bytes()));
            return;
        };
        if self.is_zero(row) {
            out.resize(out.len() + 8 * self.columns as usize, 0);
            return;
        }
        let (stream, (scale, upcast)) = (self.stream.part(ROWS + row), self.scale(row, &tables[0]));
        let table = &tables[*table];
        for i in 0..self.columns {
            let column = columns.get(i as usize).copied().unwrap_or(1.0);
            let x = *mean as f64 + table.wide_value(stream.at(i)) * (scale * column * factor) as f64;
            out.extend(if upcast { x as f32 as f64 } else { x }.to_le_bytes());
        }
    }
}

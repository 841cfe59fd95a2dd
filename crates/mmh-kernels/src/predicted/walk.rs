//! The order in which the elements of a group are coded: sixteen rows side by side, column by column.

use super::model::LANES;

/// Where a group's rows stand.
pub(crate) struct Rows {
    first: usize,
    end: usize,
    period: usize,
}

/// [`LANES`] rows, one to a lane, and which of their columns belong to the group.
pub(crate) struct Pass {
    /// The columns of each lane: from, to before.
    span: [(usize, usize); LANES],
    /// The place in the group where each lane's column 0 would be, modulo 2^64.
    start: [usize; LANES],
    /// The first column that a lane has.
    pub from: usize,
    /// The column after the last.
    pub to: usize,
    lanes: u16,
    /// The lane that begins late, and where.
    late: (u16, usize),
    /// The lane that ends early, and where.
    early: (u16, usize),
}

impl Rows {
    /// Of the group whose `len` elements are from number `first` of the block on.
    pub fn new(first: usize, len: usize, period: usize) -> Rows {
        Rows { first, end: first + len, period: period.max(1) }
    }

    fn rows(&self) -> std::ops::Range<usize> {
        self.first / self.period..self.end.div_ceil(self.period)
    }

    /// All passes.
    pub fn passes(&self) -> impl DoubleEndedIterator<Item = Pass> + '_ {
        (0..self.count()).map(|pass| self.nth(pass))
    }

    /// How many passes there are.
    pub fn count(&self) -> usize {
        self.rows().len().div_ceil(LANES)
    }

    /// A pass; behind the last one, one that no lane takes part in.
    pub fn nth(&self, pass: usize) -> Pass {
        self.pass(self.rows().start + pass * LANES)
    }

    fn pass(&self, row: usize) -> Pass {
        let p = self.period;
        let start = |lane: usize| (row + lane) * p;
        let span: [(usize, usize); LANES] = std::array::from_fn(|lane| {
            let from = self.first.saturating_sub(start(lane)).min(p);
            let to = self.end.saturating_sub(start(lane)).min(p);
            (from, to)
        });
        let with = |which: &dyn Fn(&(usize, usize)) -> bool| -> u16 {
            span.iter().enumerate().map(|(lane, s)| (which(s) as u16) << lane).sum()
        };
        Pass {
            from: span.iter().filter(|s| s.0 < s.1).map(|s| s.0).min().unwrap_or(0),
            to: span.iter().map(|s| s.1).max().unwrap_or(0),
            lanes: with(&|s| s.0 < s.1),
            late: (with(&|s| s.0 > 0), span.iter().map(|s| s.0).max().unwrap_or(0)),
            early: (
                with(&|s| s.1 < p),
                span.iter().map(|s| s.1).filter(|to| (1..p).contains(to)).min().unwrap_or(p),
            ),
            span,
            start: std::array::from_fn(|lane| start(lane).wrapping_sub(self.first)),
        }
    }
}

impl Pass {
    /// The lanes whose row has an element of the group in this column, a bit each.
    #[inline(always)]
    pub fn lanes(&self, column: usize) -> u16 {
        let late = if column < self.late.1 { self.late.0 } else { 0 };
        let early = if column >= self.early.1 { self.early.0 } else { 0 };
        if column < self.to { self.lanes & !late & !early } else { 0 }
    }

    /// The place of a lane's column in the group.
    #[inline(always)]
    pub fn at(&self, lane: usize, column: usize) -> usize {
        self.start[lane].wrapping_add(column)
    }

    /// Puts the lanes of each column side by side: symbols, and signs << 8. What other lanes are given is of no account.
    #[inline(always)]
    pub fn transpose(&self, symbols: &[u8], signs: &[u8], columns: &mut [[u16; LANES]]) {
        for lane in 0..LANES {
            let (from, to) = self.span[lane];
            if from >= to {
                continue;
            }
            let at = |column| self.at(lane, column);
            let row = symbols[at(from)..at(to)].iter().zip(&signs[at(from)..at(to)]);
            for (column, (symbol, sign)) in columns[from..to].iter_mut().zip(row) {
                column[lane] = *symbol as u16 | (*sign as u16 & 1) << 8;
            }
        }
    }

    /// The converse.
    #[inline(always)]
    pub fn transpose_back(&self, columns: &[[u16; LANES]], symbols: &mut [u8], signs: &mut [u8]) {
        for lane in 0..LANES {
            let (from, to) = self.span[lane];
            if from >= to {
                continue;
            }
            let at = |column| self.at(lane, column);
            let row = symbols[at(from)..at(to)].iter_mut().zip(&mut signs[at(from)..at(to)]);
            for ((symbol, sign), column) in row.zip(&columns[from..to]) {
                (*symbol, *sign) = (column[lane] as u8, (column[lane] >> 8) as u8);
            }
        }
    }
}

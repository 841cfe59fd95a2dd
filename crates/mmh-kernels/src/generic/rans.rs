//! One stream of words for 16 lanes, a lane at a time: what the vector versions have to agree with, and what takes the rows at the ends.

use crate::rans::{
    CARRIED, Encoder, Entry, LANES, LOWEST, PROBABILITY_BITS, RECIPROCAL_BITS, STATES, TOTAL, Table, coded,
};
use std::hint::select_unpredictable;

/// A stream that is being read.
pub struct Reader {
    pub states: [u32; LANES],
    /// Words of the stream that no lane has taken; the states lie behind them.
    pub left: usize,
}

impl Reader {
    #[inline(always)]
    pub fn begin(stream: &[u8]) -> Option<Reader> {
        let left = stream.len().checked_sub(STATES)?;
        let states: &[u8; STATES] = stream[left..].first_chunk()?;
        let states = std::array::from_fn(|l| u32::from_le_bytes(std::array::from_fn(|i| states[4 * l + i])));
        // What comes out of a state below the lowest is of no account, but on each instruction set the same.
        let good = left.is_multiple_of(2) && states.iter().all(|s| *s >= LOWEST);
        good.then_some(Reader { states, left: left / 2 })
    }

    /// Decodes rows of 16 lanes. Which lanes take a word is not to be foreseen, so there is no branch on it.
    #[inline(always)]
    fn whole_rows(&mut self, table: &Table, stream: &[u8], rows: &mut [[u8; LANES]]) -> Option<()> {
        let words = stream.as_chunks::<2>().0;
        let mut states = self.states;
        for row in rows {
            let base = self.left.saturating_sub(LANES);
            let near: &[[u8; 2]; LANES] = words.get(base..)?.first_chunk()?;
            let there = self.left - base;
            let mut at = there;
            // The last lane takes the last word. Short loops, that they be unrolled.
            for half in (0..2).rev() {
                for l in 0..LANES / 2 {
                    let l = half * LANES / 2 + LANES / 2 - 1 - l;
                    let entry = table[(states[l] & (TOTAL - 1)) as usize];
                    row[l] = entry as u8;
                    let state = advance(entry, states[l]);
                    let word = u16::from_le_bytes(near[at.wrapping_sub(1) & (LANES - 1)]) as u32;
                    let takes = state < LOWEST;
                    at = at.wrapping_sub(takes as usize);
                    states[l] = select_unpredictable(takes, state << 16 | word, state);
                }
            }
            // Past the first word `at` has gone below zero.
            if at > there {
                return None;
            }
            self.left = base + at;
        }
        self.states = states;
        Some(())
    }

    /// Decodes the rest of a group, of which `done` elements are there, a multiple of 16, and checks the end of the stream.
    #[inline(always)]
    pub fn finish(mut self, table: &Table, stream: &[u8], out: &mut [u8], done: usize) -> Option<()> {
        let (now, carried) = out.split_at_mut(coded(out.len()));
        let (rows, last) = now.get_mut(done..)?.as_chunks_mut();
        self.whole_rows(table, stream, rows)?;
        for (o, state) in last.iter_mut().zip(&mut self.states).rev() {
            let entry = table[(*state & (TOTAL - 1)) as usize];
            *o = entry as u8;
            *state = advance(entry, *state);
            if *state < LOWEST {
                self.left = self.left.checked_sub(1)?;
                let word = *stream.as_chunks::<2>().0.get(self.left)?;
                *state = *state << 16 | u16::from_le_bytes(word) as u32;
            }
        }
        let mut bytes = [0; CARRIED];
        let mut good = self.left == 0;
        for (l, state) in self.states.into_iter().enumerate() {
            good &= state >> 16 == LOWEST >> 16;
            (bytes[l], bytes[LANES + l]) = (state as u8, (state >> 8) as u8);
        }
        let (symbols, unused) = bytes.split_at_checked(carried.len())?;
        carried.copy_from_slice(symbols);
        (good && unused.iter().all(|b| *b == 0)).then_some(())
    }
}

/// The state after a symbol, before it is filled up.
#[inline(always)]
fn advance(entry: u32, state: u32) -> u32 {
    // Wraps for no state: frequencies are below 2^12.
    (entry >> 8 & (TOTAL - 1)).wrapping_mul(state >> PROBABILITY_BITS) + (entry >> 20)
}

#[inline(always)]
pub fn decode(table: &Table, stream: &[u8], out: &mut [u8]) -> Option<()> {
    if out.is_empty() {
        return stream.is_empty().then_some(());
    }
    Reader::begin(stream)?.finish(table, stream, out, 0)
}

/// A stream that is being written.
pub struct Writer {
    pub states: [u32; LANES],
    /// Bytes that are written.
    pub at: usize,
}

impl Writer {
    /// Takes the symbols that are carried, and those of the last row if it has less than 16.
    #[inline(always)]
    pub fn begin(
        table: &Encoder,
        symbols: &[u8],
        first: u32,
        misses: &mut Vec<u32>,
        out: &mut [u8],
    ) -> Writer {
        let (coded, carried) = symbols.split_at(coded(symbols.len()));
        let carried = |i: usize| carried.get(i).copied().unwrap_or(0) as u32;
        let states = std::array::from_fn(|l| LOWEST | carried(l) | carried(LANES + l) << 8);
        let mut w = Writer { states, at: 0 };
        let last = coded.len() / LANES * LANES;
        w.row(table, &coded[last..], first + last as u32, misses, out);
        w
    }

    /// Writes a row that may have fewer than 16 symbols.
    #[inline(always)]
    fn row(&mut self, table: &Encoder, row: &[u8], first: u32, misses: &mut Vec<u32>, out: &mut [u8]) {
        let mut missing = 0;
        for (state, symbol) in self.states.iter_mut().zip(row) {
            let entry = &table.entries[*symbol as usize];
            missing |= entry.missing;
            if let Some(word) = out.get_mut(self.at..).and_then(|o| o.first_chunk_mut()) {
                *word = (*state as u16).to_le_bytes();
            }
            let due;
            (*state, due) = put(entry, *state);
            self.at += 2 * due;
        }
        if missing != 0 {
            find_missing(table, row, first, misses);
        }
    }

    /// Writes rows of 16, the last one first.
    #[inline(always)]
    pub fn rows(
        &mut self,
        table: &Encoder,
        rows: &[[u8; LANES]],
        first: u32,
        misses: &mut Vec<u32>,
        out: &mut [u8],
    ) {
        let mut states = self.states;
        for (r, row) in rows.iter().enumerate().rev() {
            let Some(out) = out.get_mut(self.at..).and_then(|o| o.first_chunk_mut::<{ 2 * LANES }>()) else {
                return;
            };
            let words = out.as_chunks_mut::<2>().0;
            let (mut given, mut missing) = (0, 0);
            // Short loops, that they be unrolled.
            for half in 0..2 {
                for l in half * LANES / 2..(half + 1) * LANES / 2 {
                    let entry = &table.entries[row[l] as usize];
                    missing |= entry.missing;
                    // A word that is not due is overwritten by the next.
                    words[given & (LANES - 1)] = (states[l] as u16).to_le_bytes();
                    let due;
                    (states[l], due) = put(entry, states[l]);
                    given += due;
                }
            }
            self.at += 2 * given;
            if missing != 0 {
                find_missing(table, row, first + (r * LANES) as u32, misses);
            }
        }
        self.states = states;
    }

    /// Writes the states; gives the size of the stream.
    #[inline(always)]
    pub fn end(self, out: &mut [u8]) -> usize {
        if let Some(states) = out.get_mut(self.at..).and_then(|o| o.first_chunk_mut::<STATES>()) {
            states.as_chunks_mut().0.iter_mut().zip(self.states).for_each(|(o, s)| *o = s.to_le_bytes());
        }
        self.at + STATES
    }
}

/// The state after a symbol, and the number of words that it gives up before, which is not to be foreseen: so there is no branch on it.
#[inline(always)]
fn put(entry: &Entry, state: u32) -> (u32, usize) {
    let due = state >> (32 - PROBABILITY_BITS) >= entry.frequency as u32;
    let x = select_unpredictable(due, state >> 16, state);
    let quotient = ((x as u64 * entry.reciprocal) >> RECIPROCAL_BITS) as u32;
    // q · 2^12 + (x − q · f) + start
    let x = x.wrapping_add(entry.start as u32).wrapping_add(quotient.wrapping_mul(entry.others as u32));
    (x, due as usize)
}

/// Appends the positions of the symbols of some rows that have no frequency; `first` is the first one's.
#[cold]
pub fn find_missing(table: &Encoder, rows: &[u8], first: u32, misses: &mut Vec<u32>) {
    let missing = |symbol: u8| table.entries[symbol as usize].missing != 0;
    misses.extend((first..).zip(rows).filter(|(_, s)| missing(**s)).map(|(at, _)| at));
}

/// `out` has [`crate::rans::room`] for the stream; gives its size.
#[inline(always)]
pub fn encode(table: &Encoder, symbols: &[u8], first: u32, misses: &mut Vec<u32>, out: &mut [u8]) -> usize {
    if symbols.is_empty() {
        return 0;
    }
    let mut w = Writer::begin(table, symbols, first, misses, out);
    w.rows(table, symbols[..coded(symbols.len())].as_chunks().0, first, misses, out);
    w.end(out)
}

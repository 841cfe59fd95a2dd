//! Symbols and signs to words.

use super::model::{BINS, Context, ESCAPED_BITS, LANES, MIDDLE, Model, PROBABILITY_BITS, Rows, Span, common};
use crate::rans::LOWEST;

/// For each element its table, and its entry there.
#[derive(Default)]
pub struct Contexts {
    /// Of the tables.
    pub tables: Vec<u16>,
    /// Of a table.
    pub entries: Vec<u8>,
    history: Vec<[i32; LANES]>,
}

impl Contexts {
    /// Makes room for the elements of a block.
    pub fn reserve(&mut self, elements: usize) {
        if self.tables.len() < elements {
            self.tables.resize(elements, 0);
            self.entries.resize(elements, 0);
        }
    }
}

multiversion! {
    /// Finds the contexts of a group, whose first element is number `first` of the block and has that place in `contexts`; adds to `errors`
    /// how often they are in which eighth of the width. Needs no tables.
    pub fn classify(
        model: &Model,
        first: usize,
        symbols: &[u8],
        signs: &[u8],
        contexts: &mut Contexts,
        errors: &mut [u32; BINS],
    ) = contexts_of;
    on classify_on
}

#[inline(always)]
fn contexts_of(
    model: &Model,
    first: usize,
    symbols: &[u8],
    signs: &[u8],
    contexts: &mut Contexts,
    errors: &mut [u32; BINS],
) {
    let (Some(magnitude), Some(reciprocal)) = (model.magnitude(), model.reciprocal()) else { return };
    let Contexts { tables, entries, history } = contexts;
    let tables = tables.get_mut(first..first + symbols.len()).unwrap_or_default();
    let entries = entries.get_mut(first..first + symbols.len()).unwrap_or_default();
    if history.len() < model.period {
        history.resize(model.period, [0; LANES]);
    }
    let mut mean = [model.start; LANES];
    let rows = Rows::new(first, symbols.len(), model.period);
    for row in rows.passes() {
        let (span, start) = rows.spans(row);
        let from = span.iter().filter(|s| s.0 < s.1).map(|s| s.0).min().unwrap_or(0);
        let to = span.iter().map(|s| s.1).max().unwrap_or(0);
        history[..from].fill([0; LANES]);
        let all = common(&span);
        for column in from..to {
            let (before, now) = history.split_at_mut(column);
            let predicted = model.predict(column, before);
            let now = &mut now[0];
            *now = [0; LANES];
            let (multiplier, octave) = model.column(column);
            let mut one = |lane: usize| {
                let at = start[lane].wrapping_add(column);
                let (symbol, sign) = (symbols[at], signs[at] as u32 & 1);
                let p = predicted[lane];
                let Context { table, turned, lowest, class } =
                    model.context(mean[lane], p, octave, reciprocal);
                let x = model.scaled(magnitude[symbol as usize], sign, multiplier);
                let error = x.abs_diff(p);
                let number = (symbol as i32 - lowest) as u32;
                let of_sign = if sign ^ turned == 0 {
                    model.numbers.wrapping_add(1).wrapping_add(number)
                } else {
                    model.numbers.wrapping_sub(1).wrapping_sub(number)
                };
                let entry = if number < model.numbers { of_sign } else { model.numbers };
                tables[at] = table as u16;
                entries[at] = entry as u8;
                let bin = (error as u64 * reciprocal[class as usize] as u64) >> 16;
                errors[bin.min(BINS as u64 - 1) as usize] += 1;
                now[lane] = x;
                mean[lane] = model.step(mean[lane], error);
            };
            if all.contains(&column) {
                (0..LANES).for_each(one);
            } else {
                (0..LANES).filter(|lane| has(&span, *lane, column)).for_each(&mut one);
            }
        }
    }
}

#[inline(always)]
fn has(span: &Span, lane: usize, column: usize) -> bool {
    (span[lane].0..span[lane].1).contains(&column)
}

impl Model {
    /// How many of 32,768 slots an entry of a table has.
    pub fn frequency(&self, table: u16, entry: u8) -> u32 {
        self.tables.get(table as usize).map_or(0, |t| t.below(entry as u32 + 1) - t.below(entry as u32))
    }

    /// Bits that an escape takes more than its entry.
    pub fn escaped(&self, entry: u8) -> u32 {
        if entry as u32 == self.numbers { ESCAPED_BITS } else { 0 }
    }

    /// The bias that comes closest to this many 1024ths.
    pub fn bias(value: f64) -> u8 {
        (value * 32.0 + MIDDLE as f64 + 0.5).clamp(0.0, 127.0) as u8
    }
}

multiversion! {
    /// Appends one group (at most 32,768 `numbers`: symbols, and as many signs), whose first element is number `first` of the block, with the
    /// tables and entries of its contexts. `false`, and nothing appended, when it takes more words than a group can have.
    pub fn encode_group(
        model: &Model,
        first: usize,
        contexts: (&[u16], &[u8]),
        numbers: (&[u8], &[u8]),
        out: &mut Vec<u8>,
    ) -> bool = encode;
    on encode_group_on
}

/// Words in the order of the encoder, which is not that of the decoder: they fill a buffer from its end.
struct Words {
    buffer: Vec<u16>,
    at: usize,
}

impl Words {
    /// Takes the low half of the state as a word if that is due, without a branch: whether it is, is as good as random.
    #[inline(always)]
    fn shrink(&mut self, state: u32, due: bool) -> u32 {
        let before = self.at.wrapping_sub(1);
        if let Some(word) = self.buffer.get_mut(before) {
            *word = state as u16;
        }
        self.at = if due { before } else { self.at };
        state >> (16 * due as u32)
    }
}

#[inline(always)]
fn encode(
    model: &Model,
    first: usize,
    (tables, entries): (&[u16], &[u8]),
    (symbols, signs): (&[u8], &[u8]),
    out: &mut Vec<u8>,
) -> bool {
    let n = symbols.len();
    // An element takes two words at most.
    let mut words = Words { buffer: vec![0; 2 * n], at: 2 * n };
    let mut states = [LOWEST; LANES];
    let mut put = |state: u32, at: usize| {
        let entry = entries[at];
        let mut state = state;
        if entry as u32 == model.numbers {
            state = words.shrink(state, state >> (32 - ESCAPED_BITS) != 0) << ESCAPED_BITS
                | (signs[at] as u32 & 1) << 8
                | symbols[at] as u32;
        }
        let Some(table) = model.tables.get(tables[at] as usize) else { return state };
        let below = table.below(entry as u32);
        let frequency = (table.below(entry as u32 + 1) - below).max(1);
        let state = words.shrink(state, state >> (32 - PROBABILITY_BITS) >= frequency);
        ((state / frequency) << PROBABILITY_BITS) + state % frequency + below
    };
    let rows = Rows::new(first, n, model.period);
    for row in rows.passes().rev() {
        let (span, start) = rows.spans(row);
        let all = common(&span);
        let to = span.iter().map(|s| s.1).max().unwrap_or(0);
        let from = span.iter().map(|s| s.0).min().unwrap_or(0);
        for column in (from..to).rev() {
            let whole = all.contains(&column);
            for lane in (0..LANES).rev() {
                if whole || has(&span, lane, column) {
                    states[lane] = put(states[lane], start[lane].wrapping_add(column));
                }
            }
        }
    }
    let words = words.buffer.get(words.at..).unwrap_or_default();
    let Ok(count) = u16::try_from(words.len()) else { return false };
    out.extend(count.to_le_bytes());
    states.iter().for_each(|s| out.extend(s.to_le_bytes()));
    let start = out.len();
    out.resize(start + 2 * words.len(), 0);
    out[start..].as_chunks_mut::<2>().0.iter_mut().zip(words).for_each(|(o, w)| *o = w.to_le_bytes());
    true
}

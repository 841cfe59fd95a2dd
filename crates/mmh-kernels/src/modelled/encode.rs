//! Symbols to words.

use super::model::{CLASSES, ClassHistogram, Place, Walk};
use super::{LANES, lanes};
use crate::rans::{Frequencies, LOWEST, PROBABILITY_BITS};

multiversion! {
    /// Writes the class of each element of a group to `out`, which is as long as `symbols`; the group's first element is number `first` of the
    /// block.
    pub fn classify(walk: &Walk, first: usize, symbols: &[u8], out: &mut [u8]) = classes;
    on classify_on
}

#[inline(always)]
fn classes(walk: &Walk, first: usize, symbols: &[u8], out: &mut [u8]) {
    match (lanes(symbols.len()) == LANES, walk.has_columns()) {
        (true, false) => classes_in::<LANES, false>(walk, first, symbols, out),
        (true, true) => classes_in::<LANES, true>(walk, first, symbols, out),
        (false, false) => classes_in::<1, false>(walk, first, symbols, out),
        (false, true) => classes_in::<1, true>(walk, first, symbols, out),
    }
}

#[inline(always)]
fn classes_in<const K: usize, const COLUMNS: bool>(
    walk: &Walk,
    first: usize,
    symbols: &[u8],
    out: &mut [u8],
) {
    let n = symbols.len().min(out.len());
    let Some(magnitude) = walk.magnitude() else { return };
    if n == 0 {
        return;
    }
    let per = n.div_ceil(K);
    let class_of_raw = walk.class_of_raw();
    let mut places: [_; K] = std::array::from_fn(|i| walk.begin(first + i * per));
    let classify = |place: &mut Place, symbol: u8| {
        let column = walk.column::<COLUMNS>(*place);
        let class = class_of_raw[walk.raw_class::<COLUMNS>(*place, column)];
        walk.step::<COLUMNS>(place, column, magnitude[symbol as usize] as u32);
        class
    };
    // Lanes side by side, as in the decoder, since each waits for its own running mean; the last may be shorter than the others.
    let whole = n - (K - 1) * per;
    if let ([p0, p1, p2, p3], true) = (places.as_mut_slice(), n >= LANES * whole) {
        let mut from = symbols.chunks(per);
        let mut to = out[..n].chunks_mut(per);
        let mut next = || from.next().unwrap_or_default().iter().zip(to.next().unwrap_or_default());
        let (a, b, c, d) = (next(), next(), next(), next());
        let (mut l0, mut l1, mut l2, mut l3) = (*p0, *p1, *p2, *p3);
        let lanes = a.zip(b).zip(c).zip(d);
        for ((((a, to_a), (b, to_b)), (c, to_c)), (d, to_d)) in lanes {
            *to_a = classify(&mut l0, *a);
            *to_b = classify(&mut l1, *b);
            *to_c = classify(&mut l2, *c);
            *to_d = classify(&mut l3, *d);
        }
        (*p0, *p1, *p2, *p3) = (l0, l1, l2, l3);
    }
    let done = if K == LANES { whole } else { 0 };
    for (i, place) in places.iter_mut().enumerate() {
        for at in i * per + done..n.min((i + 1) * per) {
            out[at] = classify(place, symbols[at]);
        }
    }
}

/// Adds to `counts` how often each symbol occurs in each class; classes are below 64.
pub fn histogram(classes: &[u8], symbols: &[u8], counts: &mut ClassHistogram) {
    for (c, s) in classes.iter().zip(symbols) {
        counts[*c as usize % CLASSES][*s as usize] += 1;
    }
}

/// What the encoder does for a symbol.
#[derive(Clone, Copy)]
struct Entry {
    /// 2^64 / frequency, rounded up: exact for states of 32 bits and frequencies of 12.
    reciprocal: u64,
    /// 0 for symbols to be escaped.
    frequency: u32,
    /// The first slot; what is to be added.
    slot: u32,
}

/// A model, laid out for the encoder's loop.
pub struct EncodeModel {
    /// By table and symbol.
    entries: Vec<[Entry; 256]>,
    escapes: Vec<Entry>,
    table_of: [u8; CLASSES],
}

impl EncodeModel {
    /// `tables[table_of[c]]` has the frequencies in class `c`.
    pub fn new(table_of: &[u8; CLASSES], tables: &[Frequencies]) -> EncodeModel {
        let mut model = EncodeModel { entries: Vec::new(), escapes: Vec::new(), table_of: *table_of };
        for table in tables {
            let mut slot = 0;
            let mut place = |f: u16| {
                let frequency = f as u32;
                slot += frequency;
                let first = slot - frequency;
                match frequency {
                    0 => Entry { reciprocal: 0, frequency, slot: first },
                    // 2^64 does not fit: the quotient comes out too small by one, which the slot makes up for.
                    1 => Entry { reciprocal: u64::MAX, frequency, slot: first + (1 << PROBABILITY_BITS) - 1 },
                    f => Entry { reciprocal: u64::MAX / f as u64 + 1, frequency, slot: first },
                }
            };
            model.entries.push(std::array::from_fn(|s| place(table.of(s as u8))));
            model.escapes.push(place(table.escape()));
        }
        model
    }
}

multiversion! {
    /// Appends one group (at most 32,768 symbols), as many classes. `false`, and nothing of use appended, when a symbol has no frequency
    /// in its table and neither has the escape.
    pub fn encode_group(model: &EncodeModel, classes: &[u8], symbols: &[u8], out: &mut Vec<u8>) -> bool = encode;
    on encode_group_on
}

/// Words in the order of the encoder, which is not that of the decoder: they fill a buffer from its end.
struct Words {
    buffer: Vec<u16>,
    /// The first word.
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

/// Puts a symbol on top of a state; `None` if it cannot be coded.
#[inline(always)]
fn put(model: &EncodeModel, words: &mut Words, state: u32, class: u8, symbol: u8) -> Option<u32> {
    let table = model.table_of[class as usize % CLASSES] as usize;
    let mut entry = model.entries.get(table)?[symbol as usize];
    let mut state = state;
    if entry.frequency == 0 {
        entry = *model.escapes.get(table)?;
        if entry.frequency == 0 {
            return None;
        }
        state = words.shrink(state, state >= 1 << 24) << 8 | symbol as u32;
    }
    let state = words.shrink(state, state >> (32 - PROBABILITY_BITS) >= entry.frequency);
    let quotient = ((state as u128 * entry.reciprocal as u128) >> 64) as u32;
    // q · 2^12 + (x − q · f) + slot
    Some(state + entry.slot + quotient * ((1 << PROBABILITY_BITS) - entry.frequency))
}

#[inline(always)]
fn encode(model: &EncodeModel, classes: &[u8], symbols: &[u8], out: &mut Vec<u8>) -> bool {
    let n = symbols.len().min(classes.len());
    if n == 0 {
        return true;
    }
    let k = lanes(n);
    let per = n.div_ceil(k);
    // The last lane may be shorter than the others.
    let whole = n - (k - 1) * per;
    let mut states = [LOWEST; LANES];
    // Two words for each symbol are more than it can take.
    let mut words = Words { buffer: vec![0; 2 * n], at: 2 * n };
    let mut some = || {
        let mut step = per;
        while step > if k == LANES { whole } else { 0 } {
            step -= 1;
            let lanes = if step < whole { k } else { k - 1 };
            for (lane, state) in states[..lanes].iter_mut().enumerate().rev() {
                let at = lane * per + step;
                *state = put(model, &mut words, *state, classes[at], symbols[at])?;
            }
        }
        if k == LANES {
            let part =
                |i: usize| symbols[i * per..i * per + whole].iter().zip(&classes[i * per..i * per + whole]);
            let [mut s0, mut s1, mut s2, mut s3] = states;
            for (((a, b), c), d) in part(0).zip(part(1)).zip(part(2)).zip(part(3)).rev() {
                s3 = put(model, &mut words, s3, *d.1, *d.0)?;
                s2 = put(model, &mut words, s2, *c.1, *c.0)?;
                s1 = put(model, &mut words, s1, *b.1, *b.0)?;
                s0 = put(model, &mut words, s0, *a.1, *a.0)?;
            }
            states = [s0, s1, s2, s3];
        }
        Some(())
    };
    if some().is_none() {
        return false;
    }
    let words = words.buffer.get(words.at..).unwrap_or_default();
    out.extend((words.len() as u16).to_le_bytes());
    states[..k].iter().for_each(|s| out.extend(s.to_le_bytes()));
    let start = out.len();
    out.resize(start + 2 * words.len(), 0);
    out[start..].as_chunks_mut::<2>().0.iter_mut().zip(words).for_each(|(o, w)| *o = w.to_le_bytes());
    true
}

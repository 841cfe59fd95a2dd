//! Symbols to words.

use super::model::{CLASSES, ClassHistogram, Frequencies, PROBABILITY_BITS, Walk};
use super::{LANES, LOWEST, lanes};

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
    // Lanes side by side, as in the decoder: each waits for its own running mean.
    for step in 0..per {
        for (i, place) in places.iter_mut().enumerate() {
            let at = i * per + step;
            if at >= n {
                break;
            }
            let column = walk.column::<COLUMNS>(*place);
            out[at] = class_of_raw[walk.raw_class::<COLUMNS>(*place, column)];
            walk.step::<COLUMNS>(place, column, magnitude[symbols[at] as usize] as u32);
        }
    }
}

/// Adds to `counts` how often each symbol occurs in each class; classes are below 64.
pub fn histogram(classes: &[u8], symbols: &[u8], counts: &mut ClassHistogram) {
    for (c, s) in classes.iter().zip(symbols) {
        counts[*c as usize % CLASSES][*s as usize] += 1;
    }
}

/// A model, laid out for the encoder's loop.
pub struct EncodeModel {
    /// Frequency, and the first slot << 16, by table and symbol; frequency 0 for symbols to be escaped.
    entries: Vec<[u32; 256]>,
    escapes: Vec<u32>,
    table_of: [u8; CLASSES],
}

impl EncodeModel {
    /// `tables[table_of[c]]` has the frequencies in class `c`.
    pub fn new(table_of: &[u8; CLASSES], tables: &[Frequencies]) -> EncodeModel {
        let mut model = EncodeModel { entries: Vec::new(), escapes: Vec::new(), table_of: *table_of };
        for table in tables {
            let mut slot = 0;
            let mut place = |f: u16| {
                let entry = f as u32 | slot << 16;
                slot += f as u32;
                entry
            };
            model.entries.push(std::array::from_fn(|s| place(table.of(s as u8))));
            model.escapes.push(place(table.escape()));
        }
        model
    }
}

/// Appends one group (at most 32,768 symbols), as many classes. `false`, and nothing of use appended, when a symbol has no frequency
/// in its table and neither has the escape.
pub fn encode_group(model: &EncodeModel, classes: &[u8], symbols: &[u8], out: &mut Vec<u8>) -> bool {
    let n = symbols.len();
    if n == 0 {
        return true;
    }
    let k = lanes(n);
    let per = n.div_ceil(k);
    let mut states = [LOWEST; LANES];
    // The decoder's last word comes first.
    let mut words: Vec<u16> = Vec::with_capacity(n);
    for step in (0..per).rev() {
        for (lane, state) in states[..k].iter_mut().enumerate().rev() {
            let at = lane * per + step;
            let (Some(&symbol), Some(&class)) = (symbols.get(at), classes.get(at)) else { continue };
            let table = model.table_of[class as usize % CLASSES] as usize;
            let mut entry = model.entries[table][symbol as usize];
            if entry & 0xffff == 0 {
                entry = model.escapes[table];
                if entry & 0xffff == 0 {
                    return false;
                }
                if *state >= 1 << 24 {
                    words.push(*state as u16);
                    *state >>= 16;
                }
                *state = *state << 8 | symbol as u32;
            }
            let (frequency, slot) = (entry & 0xffff, entry >> 16);
            if *state >> (32 - PROBABILITY_BITS) >= frequency {
                words.push(*state as u16);
                *state >>= 16;
            }
            *state = (*state / frequency) << PROBABILITY_BITS | (*state % frequency + slot);
        }
    }
    out.extend((words.len() as u16).to_le_bytes());
    states[..k].iter().for_each(|s| out.extend(s.to_le_bytes()));
    out.reserve(2 * words.len());
    words.iter().rev().for_each(|w| out.extend(w.to_le_bytes()));
    true
}

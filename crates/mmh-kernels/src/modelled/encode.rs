//! Symbols to words.

use super::model::{CLASSES, ClassHistogram, Place, Walk};
use super::{LANES, lanes};
use crate::cpu::Simd;
use crate::rans::{Frequencies, LOWEST, PROBABILITY_BITS};

multiversion! {
    /// Writes the class of each element of a group to `out`, which is as long as `symbols`; the group's first element is number `first` of the
    /// block.
    pub fn classify(walk: &Walk, first: usize, symbols: &[u8], out: &mut [u8]) = classes;
    on classify_on
}

/// Writes the classes of every `stride`-th group of `size` elements of a block to its place in `out`, which is as long as `symbols`.
///
/// # Panics
/// If `size` or `stride` is 0.
pub fn classify_groups(walk: &Walk, symbols: &[u8], size: usize, stride: usize, out: &mut [u8]) {
    classify_groups_on(crate::cpu::simd(), walk, symbols, size, stride, out);
}

/// The same on the given instruction set.
pub fn classify_groups_on(
    simd: Simd,
    walk: &Walk,
    symbols: &[u8],
    size: usize,
    stride: usize,
    out: &mut [u8],
) {
    let n = symbols.len().min(out.len());
    let mut starts = (0..n).step_by(size * stride);
    while let Some(start) = starts.next() {
        #[cfg(target_arch = "x86_64")]
        if simd == Simd::Avx512 && simd.is_available() {
            use crate::x86_64::modelled_avx512::{AT_ONCE, GROUPS, classify};
            let four: [usize; GROUPS] = std::array::from_fn(|i| start + i * size * stride);
            let fits = four[GROUPS - 1] + size <= n;
            if fits && size >= super::MANY && size.is_multiple_of(LANES * AT_ONCE) {
                // SAFETY: `is_available` has just seen every feature that the functions are compiled with.
                unsafe {
                    match walk.has_columns() {
                        true => classify::<true>(walk, four, size, symbols, out),
                        false => classify::<false>(walk, four, size, symbols, out),
                    }
                }
                starts.nth(GROUPS - 2);
                continue;
            }
        }
        let end = n.min(start + size);
        classify_on(simd, walk, start, &symbols[start..end], &mut out[start..end]);
    }
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
    /// States from here on give a word first; 0 for symbols to be escaped.
    limit: u32,
    /// The first slot; what is to be added.
    slot: u16,
    /// 2^12 less the frequency.
    others: u16,
}

/// A model, laid out for the encoder's loop.
pub struct EncodeModel {
    /// By table and symbol, 256 for each table.
    entries: Vec<Entry>,
    escapes: Vec<Entry>,
    /// As entries: the frequency, or 0, and the first slot << 16.
    #[cfg(target_arch = "x86_64")]
    pub(crate) packed: Vec<u32>,
    pub(crate) table_of: [u8; CLASSES],
}

impl EncodeModel {
    /// `tables[table_of[c]]` has the frequencies in class `c`.
    pub fn new(table_of: &[u8; CLASSES], tables: &[Frequencies]) -> EncodeModel {
        let mut model = EncodeModel {
            entries: Vec::new(),
            escapes: Vec::new(),
            #[cfg(target_arch = "x86_64")]
            packed: Vec::new(),
            table_of: *table_of,
        };
        for table in tables {
            let mut slot = 0;
            let mut place = |f: u16| {
                slot += f;
                // A table has two entries at least, so that this fits.
                let (limit, others) = ((f as u32) << (32 - PROBABILITY_BITS), (1 << PROBABILITY_BITS) - f);
                let first = slot - f;
                match f {
                    0 => Entry { reciprocal: 0, limit: 0, slot: first, others },
                    // 2^64 does not fit: the quotient comes out too small by one, which the slot makes up for.
                    1 => Entry { reciprocal: u64::MAX, limit, slot: first + others, others },
                    f => Entry { reciprocal: u64::MAX / f as u64 + 1, limit, slot: first, others },
                }
            };
            model.entries.extend((0..=255).map(|s| place(table.of(s))));
            model.escapes.push(place(table.escape()));
            #[cfg(target_arch = "x86_64")]
            model.packed.extend((0..=255).scan(0, |slot, s| {
                let f = table.of(s) as u32;
                *slot += f;
                Some(f | (*slot - f) << 16)
            }));
        }
        // Tables that there are not have no symbols.
        #[cfg(target_arch = "x86_64")]
        model
            .packed
            .resize(table_of.iter().fold(model.packed.len(), |n, t| n.max(256 * (*t as usize + 1))), 0);
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
pub(crate) struct Words<'b> {
    pub buffer: &'b mut [u16],
    /// The first word.
    pub at: usize,
}

impl Words<'_> {
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

/// Puts a symbol on top of a state; `None` if it cannot be coded. `place` is its table and itself, 8 bits.
#[inline(always)]
pub(crate) fn put(model: &EncodeModel, words: &mut Words<'_>, state: u32, place: u16) -> Option<u32> {
    let mut entry = *model.entries.get(place as usize)?;
    let mut state = state;
    if entry.limit == 0 {
        entry = *model.escapes.get(place as usize / 256)?;
        if entry.limit == 0 {
            return None;
        }
        state = words.shrink(state, state >= 1 << 24) << 8 | (place & 0xff) as u32;
    }
    let state = words.shrink(state, state >= entry.limit);
    let quotient = ((state as u128 * entry.reciprocal as u128) >> 64) as u32;
    // q · 2^12 + (x − q · f) + slot
    Some(state + entry.slot as u32 + quotient * entry.others as u32)
}

#[inline(always)]
fn encode(model: &EncodeModel, classes: &[u8], symbols: &[u8], out: &mut Vec<u8>) -> bool {
    let n = symbols.len().min(classes.len());
    if n == 0 {
        return true;
    }
    let k = lanes(n);
    let per = n.div_ceil(k);
    // Two words for each symbol are more than it can take.
    let mut buffer = vec![0; 2 * n];
    let mut words = Words { buffer: &mut buffer, at: 2 * n };
    let Some(states) = encode_lanes(model, &mut words, (k, per), &classes[..n], &symbols[..n]) else {
        return false;
    };
    write(&words, &states[..k], out);
    true
}

/// Appends a group whose symbols are all encoded.
#[inline(always)]
fn write(words: &Words<'_>, states: &[u32], out: &mut Vec<u8>) {
    let words = words.buffer.get(words.at..).unwrap_or_default();
    out.extend((words.len() as u16).to_le_bytes());
    states.iter().for_each(|s| out.extend(s.to_le_bytes()));
    let start = out.len();
    out.resize(start + 2 * words.len(), 0);
    out[start..].as_chunks_mut::<2>().0.iter_mut().zip(words).for_each(|(o, w)| *o = w.to_le_bytes());
}

/// Streams of groups, and the memory that they are made in.
#[derive(Default)]
pub struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    #[cfg(target_arch = "x86_64")]
    words: Vec<u16>,
}

impl Encoded {
    /// Encodes the groups of `size` elements of a block, several side by side where the CPU has registers for it; as many classes as symbols. `false`
    /// when a symbol has no frequency in its table and neither has the escape.
    ///
    /// # Panics
    /// If `size` is 0.
    pub fn encode(&mut self, model: &EncodeModel, size: usize, classes: &[u8], symbols: &[u8]) -> bool {
        self.encode_on(crate::cpu::simd(), model, size, classes, symbols)
    }

    /// The same on the given instruction set.
    pub fn encode_on(
        &mut self,
        simd: Simd,
        model: &EncodeModel,
        size: usize,
        classes: &[u8],
        symbols: &[u8],
    ) -> bool {
        self.bytes.clear();
        self.ends.clear();
        let mut rest = (classes, symbols);
        #[cfg(target_arch = "x86_64")]
        if simd == Simd::Avx512 && simd.is_available() {
            use crate::x86_64::modelled_avx512::{AT_ONCE, GROUPS};
            if size >= super::MANY && size.is_multiple_of(LANES * AT_ONCE) {
                for fours in [2, 1] {
                    while rest.1.len().min(rest.0.len()) >= fours * GROUPS * size {
                        let (now, later) = rest.0.split_at(fours * GROUPS * size);
                        let (symbols, symbols_later) = rest.1.split_at(fours * GROUPS * size);
                        rest = (later, symbols_later);
                        if !self.encode_side_by_side(model, size, now, symbols) {
                            return false;
                        }
                    }
                }
            }
        }
        for (classes, symbols) in rest.0.chunks(size).zip(rest.1.chunks(size)) {
            if !encode_group_on(simd, model, classes, symbols, &mut self.bytes) {
                return false;
            }
            self.ends.push(self.bytes.len());
        }
        true
    }

    /// Four or eight groups.
    #[cfg(target_arch = "x86_64")]
    fn encode_side_by_side(
        &mut self,
        model: &EncodeModel,
        size: usize,
        classes: &[u8],
        symbols: &[u8],
    ) -> bool {
        use crate::x86_64::modelled_encode_avx512::{ROOM, Side, encode};
        let groups = symbols.len() / size;
        let room = 2 * size + ROOM;
        if self.words.len() < groups * room {
            self.words.resize(groups * room, 0);
        }
        let each = classes.chunks_exact(size).zip(symbols.chunks_exact(size));
        let mut sides: Vec<Side<'_>> = each
            .zip(self.words.chunks_exact_mut(room))
            .map(|((classes, symbols), buffer)| Side {
                classes,
                symbols,
                words: Words { buffer, at: room },
                states: [0; LANES],
            })
            .collect();
        let fours = sides.as_chunks_mut().0;
        // SAFETY: this is only called where `is_available` has seen every feature that the functions are compiled with.
        let done = unsafe {
            match fours.len() {
                1 => fours.first_chunk_mut().and_then(|fours| encode::<1>(model, fours)),
                _ => fours.first_chunk_mut().and_then(|fours| encode::<2>(model, fours)),
            }
        };
        for side in &sides {
            write(&side.words, &side.states, &mut self.bytes);
            self.ends.push(self.bytes.len());
        }
        done.is_some()
    }

    /// The stream of a group.
    pub fn get(&self, group: usize) -> &[u8] {
        let start = group.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(group).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

/// The last states of so many lanes of so many symbols, the last of which may be shorter; `None` if a symbol cannot be coded.
#[inline(always)]
fn encode_lanes(
    model: &EncodeModel,
    words: &mut Words<'_>,
    (k, per): (usize, usize),
    classes: &[u8],
    symbols: &[u8],
) -> Option<[u32; LANES]> {
    let whole = symbols.len() - (k - 1) * per;
    let place = |at: usize| (model.table_of[classes[at] as usize % CLASSES] as u16) << 8 | symbols[at] as u16;
    let mut states = [LOWEST; LANES];
    let mut step = per;
    while step > if k == LANES { whole } else { 0 } {
        step -= 1;
        let lanes = if step < whole { k } else { k - 1 };
        for (lane, state) in states[..lanes].iter_mut().enumerate().rev() {
            *state = put(model, words, *state, place(lane * per + step))?;
        }
    }
    if k == LANES {
        // In the order of their use, as otherwise there are more places in memory to keep in mind than registers.
        let mut places = [[0u16; LANES]; PIECE];
        let [mut s0, mut s1, mut s2, mut s3] = states;
        let mut left = whole;
        while left > 0 {
            let now = left.min(PIECE);
            left -= now;
            gather(&model.table_of, per, left, classes, symbols, &mut places[..now]);
            for of in places[..now].iter().rev() {
                s3 = put(model, words, s3, of[3])?;
                s2 = put(model, words, s2, of[2])?;
                s1 = put(model, words, s1, of[1])?;
                s0 = put(model, words, s0, of[0])?;
            }
        }
        states = [s0, s1, s2, s3];
    }
    Some(states)
}

/// Steps whose symbols are laid side by side at a time.
const PIECE: usize = 512;

/// Table and symbol of each lane for the steps from `first` on.
#[inline(always)]
fn gather(
    table_of: &[u8; CLASSES],
    per: usize,
    first: usize,
    classes: &[u8],
    symbols: &[u8],
    places: &mut [[u16; LANES]],
) {
    let n = places.len();
    for lane in 0..LANES {
        let range = lane * per + first..lane * per + first + n;
        for ((place, class), symbol) in places.iter_mut().zip(&classes[range.clone()]).zip(&symbols[range]) {
            place[lane] = (table_of[*class as usize % CLASSES] as u16) << 8 | *symbol as u16;
        }
    }
}

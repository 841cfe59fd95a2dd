//! Words to symbols.

use super::model::{CLASSES, MAX_TABLES, Place, RAW_CLASSES, Shape, Walk};
use super::{LANES, lanes};
use crate::rans::{Frequencies, LOWEST, PROBABILITY_BITS, TOTAL};

/// For each of the 4096 slots: symbol, its frequency << 8, the slot's position in it << 20, the symbol's magnitude << 32.
type Table = [u64; TOTAL as usize];

/// A model, laid out for the decoder's loop.
#[derive(Default)]
pub struct DecodeModel {
    tables: Vec<Table>,
    /// By raw class.
    table_of: Vec<u8>,
    walk: Walk,
    /// No byte has this value when nothing is escaped.
    escape: u32,
}

/// Frequency 4096 does not occur, as a table has at least two entries.
fn fill(table: &mut Table, frequencies: &Frequencies, escape: u8, magnitude: &[u16; 256]) {
    let mut slot = 0;
    let all = (0..=255).map(|s| (s, frequencies.of(s))).chain([(escape, frequencies.escape())]);
    for (symbol, f) in all {
        let base = symbol as u64 | (f as u64) << 8 | (magnitude[symbol as usize] as u64) << 32;
        let entries = table.get_mut(slot..slot + f as usize).unwrap_or_default();
        entries.iter_mut().enumerate().for_each(|(at, entry)| *entry = base | (at as u64) << 20);
        slot += f as usize;
    }
}

impl DecodeModel {
    /// An empty model, to be built before use; keep it to reuse its memory.
    pub fn new() -> DecodeModel {
        DecodeModel::default()
    }

    /// Prepares a model: `tables[table_of[c]]` has the frequencies in class `c`; `escape` is the symbol that stands for the escape and
    /// has frequency 0 in all tables. `false` unless that is so and all is within its limits.
    pub fn build(
        &mut self,
        shape: &Shape,
        table_of: &[u8; CLASSES],
        tables: &[Frequencies],
        escape: Option<u8>,
    ) -> bool {
        let good = (1..=MAX_TABLES).contains(&tables.len())
            && table_of.iter().all(|t| (*t as usize) < tables.len())
            && tables.iter().all(|t| escape.map_or(t.escape(), |e| t.of(e)) == 0)
            && (1..=8).contains(&shape.window);
        if !good {
            return false;
        }
        self.tables.resize(tables.len(), [0; TOTAL as usize]);
        let magnitude = shape.magnitude.table();
        for (table, frequencies) in self.tables.iter_mut().zip(tables) {
            fill(table, frequencies, escape.unwrap_or(0), &magnitude);
        }
        self.walk = Walk::new(shape);
        self.table_of = self.walk.class_of_raw().map(|c| table_of[c as usize]).to_vec();
        self.escape = escape.map_or(256, u32::from);
        true
    }
}

multiversion! {
    /// Decodes one group of a plane, whose first element is number `first` of the block, from the front of `data` into `out` (at most 32,768
    /// symbols). Gives the bytes it took; `None` if they are cut off or no encoder could have written them.
    pub fn decode_group(model: &DecodeModel, first: usize, data: &[u8], out: &mut [u8]) -> Option<usize> = decode;
    on decode_group_on
}

#[inline(always)]
fn decode(model: &DecodeModel, first: usize, data: &[u8], out: &mut [u8]) -> Option<usize> {
    if out.is_empty() {
        return Some(0);
    }
    let tables = by_class(model)?;
    let magnitude = model.walk.magnitude()?;
    let (words, rest) = data.split_first_chunk::<2>()?;
    let size = 2 * u16::from_le_bytes(*words) as usize;
    let k = lanes(out.len());
    let (states, rest) = rest.split_at_checked(4 * k)?;
    let words = rest.get(..size)?.as_chunks::<2>().0;
    let job = Job { model, tables: &tables, magnitude, first };
    match (k == LANES, model.walk.has_columns()) {
        (true, false) => job.run::<LANES, false>(states, words, out),
        (true, true) => job.run::<LANES, true>(states, words, out),
        (false, false) => job.run::<1, false>(states, words, out),
        (false, true) => job.run::<1, true>(states, words, out),
    }?;
    Some(2 + 4 * k + size)
}

/// The state after a symbol, before it is filled up.
#[inline(always)]
fn advance(entry: u64, state: u32) -> u32 {
    (entry as u32 >> 8 & 0xfff) * (state >> PROBABILITY_BITS) + (entry as u32 >> 20)
}

fn by_class(model: &DecodeModel) -> Option<[&Table; RAW_CLASSES]> {
    let mut tables = [model.tables.first()?; RAW_CLASSES];
    for (table, i) in tables.iter_mut().zip(&model.table_of) {
        *table = model.tables.get(*i as usize)?;
    }
    Some(tables)
}

struct Job<'a> {
    model: &'a DecodeModel,
    tables: &'a [&'a Table; RAW_CLASSES],
    magnitude: &'a [u16; 256],
    first: usize,
}

/// A lane, half way.
#[derive(Clone, Copy, Default)]
struct Lane {
    state: u32,
    place: Place,
}

/// Takes words from the stream.
struct Words<'a> {
    all: &'a [[u8; 2]],
    at: usize,
}

impl Words<'_> {
    #[inline(always)]
    fn refill(&mut self, state: u32) -> Option<u32> {
        if state >= LOWEST {
            return Some(state);
        }
        let word = u16::from_le_bytes(*self.all.get(self.at)?);
        self.at += 1;
        Some(state << 16 | word as u32)
    }
}

impl Job<'_> {
    #[inline(always)]
    fn run<const K: usize, const COLUMNS: bool>(
        &self,
        states: &[u8],
        words: &[[u8; 2]],
        out: &mut [u8],
    ) -> Option<()> {
        let n = out.len();
        let per = n.div_ceil(K);
        let mut lane = [Lane::default(); K];
        for (i, (lane, state)) in lane.iter_mut().zip(states.as_chunks::<4>().0).enumerate() {
            let state = u32::from_le_bytes(*state);
            if state < LOWEST {
                return None;
            }
            *lane = Lane { state, place: self.model.walk.begin(self.first + i * per) };
        }
        let mut words = Words { all: words, at: 0 };
        // The last lane may be shorter than the others.
        let whole = n - (K - 1) * per;
        let mut step =
            if K == LANES { self.fast::<K, COLUMNS>(&mut lane, &mut words, whole, per, out) } else { 0 };
        while step < per {
            for (i, lane) in lane.iter_mut().enumerate().take(if step < whole { K } else { K - 1 }) {
                out[i * per + step] = self.one::<COLUMNS>(lane, &mut words)?;
            }
            step += 1;
        }
        (words.at == words.all.len() && lane.iter().all(|l| l.state == LOWEST)).then_some(())
    }

    /// Decodes the next element of a lane.
    #[inline(always)]
    fn one<const COLUMNS: bool>(&self, lane: &mut Lane, words: &mut Words<'_>) -> Option<u8> {
        let walk = &self.model.walk;
        let column = walk.column::<COLUMNS>(lane.place);
        let table = self.tables[walk.raw_class::<COLUMNS>(lane.place, column)];
        let entry = table[(lane.state & (TOTAL - 1)) as usize];
        lane.state = words.refill(advance(entry, lane.state))?;
        let mut symbol = entry as u8;
        let mut m = (entry >> 32) as u32;
        if symbol as u32 == self.model.escape {
            symbol = lane.state as u8;
            m = self.magnitude[symbol as usize] as u32;
            lane.state = words.refill(lane.state >> 8)?;
        }
        walk.step::<COLUMNS>(&mut lane.place, column, m);
        Some(symbol)
    }

    /// Decodes steps as long as there are words enough for any step, so that no word has to be asked for. Gives the number of steps done.
    #[inline(always)]
    fn fast<const K: usize, const COLUMNS: bool>(
        &self,
        lane: &mut [Lane; K],
        words: &mut Words<'_>,
        whole: usize,
        per: usize,
        out: &mut [u8],
    ) -> usize {
        let mut parts = out.chunks_mut(per);
        let mut part = || parts.next().and_then(|p| p.get_mut(..whole)).unwrap_or_default();
        let (a, b, c, d) = (part(), part(), part(), part());
        let [mut l0, mut l1, mut l2, mut l3] = match lane.as_slice() {
            [l0, l1, l2, l3] => [*l0, *l1, *l2, *l3],
            _ => return 0,
        };
        let (walk, tables, magnitude, escape) =
            (&self.model.walk, self.tables, self.magnitude, self.model.escape);
        let mut at = words.at;
        let mut steps = 0;
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            // A lane takes at most two words in a step.
            let Some(ahead) = words.all.get(at..).and_then(|w| w.first_chunk::<8>()) else { break };
            let mut taken = 0;
            // The state of each lane lives in variables of its own; a loop over an array of lanes would keep it in memory.
            macro_rules! next {
                ($lane:ident, $out:ident) => {
                    let column = walk.column::<COLUMNS>($lane.place);
                    let table = tables[walk.raw_class::<COLUMNS>($lane.place, column)];
                    let entry = table[($lane.state & (TOTAL - 1)) as usize];
                    let state = advance(entry, $lane.state);
                    let low = (state < LOWEST) as u32;
                    let word = u16::from_le_bytes(ahead[taken & 7]) as u32;
                    // Without a branch: whether a word is due is as good as random.
                    $lane.state = state << (16 * low) | word & low.wrapping_neg();
                    taken += low as usize;
                    let mut symbol = entry as u8;
                    let mut m = (entry >> 32) as u32;
                    if symbol as u32 == escape {
                        symbol = $lane.state as u8;
                        m = magnitude[symbol as usize] as u32;
                        $lane.state >>= 8;
                        if $lane.state < LOWEST {
                            $lane.state = $lane.state << 16 | u16::from_le_bytes(ahead[taken & 7]) as u32;
                            taken += 1;
                        }
                    }
                    walk.step::<COLUMNS>(&mut $lane.place, column, m);
                    *$out = symbol;
                };
            }
            next!(l0, a);
            next!(l1, b);
            next!(l2, c);
            next!(l3, d);
            at += taken;
            steps += 1;
        }
        words.at = at;
        lane.copy_from_slice(&[l0, l1, l2, l3]);
        steps
    }
}

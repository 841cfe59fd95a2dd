//! Words to symbols.

use super::model::{CLASSES, MAX_TABLES, Place, RAW_CLASSES, Shape, Walk};
use super::{LANES, lanes};
use crate::cpu::Simd;
use crate::rans::{Frequencies, LOWEST, PROBABILITY_BITS, TOTAL};

/// For each of the 4096 slots of a table: symbol, its frequency << 8, the slot's position in it << 20.
type Table = [u32; TOTAL as usize];

/// A model, laid out for the decoder's loop.
#[derive(Default)]
pub struct DecodeModel {
    pub(crate) tables: Vec<Table>,
    /// By class.
    #[cfg(target_arch = "x86_64")]
    pub(crate) table_of: Vec<u16>,
    /// By raw class.
    table_of_raw: Vec<u8>,
    pub(crate) walk: Walk,
    /// No byte has this value when nothing is escaped.
    pub(crate) escape: u32,
}

/// Frequency 4096 does not occur, as a table has at least two entries.
fn fill(table: &mut Table, frequencies: &Frequencies, escape: u8) {
    let mut slot = 0;
    let all = (0..=255).map(|s| (s, frequencies.of(s))).chain([(escape, frequencies.escape())]);
    for (symbol, f) in all {
        let base = symbol as u32 | (f as u32) << 8;
        let entries = table.get_mut(slot..slot + f as usize).unwrap_or_default();
        entries.iter_mut().enumerate().for_each(|(at, entry)| *entry = base | (at as u32) << 20);
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
        for (table, frequencies) in self.tables.iter_mut().zip(tables) {
            fill(table, frequencies, escape.unwrap_or(0));
        }
        self.walk = Walk::new(shape);
        #[cfg(target_arch = "x86_64")]
        {
            self.table_of = table_of.map(u16::from).to_vec();
        }
        self.table_of_raw = self.walk.class_of_raw().map(|c| table_of[c as usize]).to_vec();
        self.escape = escape.map_or(256, u32::from);
        true
    }
}

/// A group to decode.
pub struct Group<'a> {
    /// The number of its first element in the block.
    pub first: usize,
    /// All of its bytes.
    pub stream: &'a [u8],
    /// A byte a symbol; at most 32,768.
    pub out: &'a mut [u8],
}

/// The bytes of the group of `n` symbols that `data` begins with; `None` if they are cut off.
pub fn stream_size(data: &[u8], n: usize) -> Option<usize> {
    let stream = Stream::begin(data, lanes(n))?;
    Some(if n == 0 { 0 } else { stream.size() })
}

/// Decodes groups, several side by side where the CPU has registers for it. `None` if no encoder could have written one of the streams.
pub fn decode_groups(model: &DecodeModel, groups: &mut [Group<'_>]) -> Option<()> {
    decode_groups_on(crate::cpu::simd(), model, groups)
}

/// The same on the given instruction set.
pub fn decode_groups_on(simd: Simd, model: &DecodeModel, groups: &mut [Group<'_>]) -> Option<()> {
    let mut rest = groups;
    while let Some(next) = rest.first() {
        let n = side_by_side(simd, next.out.len(), rest);
        let (now, later) = rest.split_at_mut(n);
        rest = later;
        match now {
            [one] => {
                let taken = decode_group_on(simd, model, one.first, one.stream, one.out)?;
                (taken == one.stream.len()).then_some(())?;
            }
            #[cfg(target_arch = "x86_64")]
            several => decode_side_by_side(model, several)?,
            #[cfg(not(target_arch = "x86_64"))]
            _ => return None,
        }
    }
    Some(())
}

/// How many groups from the front are decoded at once: all of them have so many symbols.
fn side_by_side(simd: Simd, size: usize, groups: &[Group<'_>]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        use crate::x86_64::modelled_avx512::{AT_ONCE, GROUPS};
        let same = groups.iter().take_while(|g| g.out.len() == size).count();
        if size >= super::MANY && size.is_multiple_of(LANES * AT_ONCE) {
            return if same >= 2 * GROUPS {
                2 * GROUPS
            } else if same >= GROUPS {
                GROUPS
            } else {
                1
            };
        }
    }
    let _ = (simd, size, groups);
    1
}

/// Decodes four or eight groups of one size.
#[cfg(target_arch = "x86_64")]
fn decode_side_by_side(model: &DecodeModel, groups: &mut [Group<'_>]) -> Option<()> {
    let tables = by_class(model)?;
    let job = Job { model, tables: &tables, magnitude: model.walk.magnitude()? };
    let mut sides = Vec::with_capacity(groups.len());
    for group in groups.iter_mut() {
        let stream = Stream::begin(group.stream, LANES).filter(|s| s.size() == group.stream.len())?;
        let per = group.out.len() / LANES;
        let lanes = job.begin(&stream, group.first, per)?;
        sides.push(Side { lanes, words: Words { all: stream.words, at: 0 }, out: &mut *group.out });
    }
    // SAFETY: this is only called where `is_available` has seen every feature that the functions are compiled with.
    unsafe {
        match model.walk.has_columns() {
            false => decode_fours::<false>(&job, &mut sides),
            true => decode_fours::<true>(&job, &mut sides),
        }
    }?;
    sides.iter().all(|side| side.words.end(&side.lanes)).then_some(())
}

/// # Safety
/// The CPU has what the functions are compiled with.
#[cfg(target_arch = "x86_64")]
unsafe fn decode_fours<const COLUMNS: bool>(job: &Job<'_>, sides: &mut [Side<'_>]) -> Option<()> {
    use crate::x86_64::modelled_decode_avx512::decode;
    let fours = sides.as_chunks_mut().0;
    match fours.len() {
        // SAFETY: the caller's promise.
        1 => unsafe { decode::<1, COLUMNS>(job, fours.first_chunk_mut()?) },
        // SAFETY: the same.
        _ => unsafe { decode::<2, COLUMNS>(job, fours.first_chunk_mut()?) },
    }
}

/// Decodes one group of a plane, whose first element is number `first` of the block, from the front of `data` into `out` (at most 32,768
/// symbols). Gives the bytes it took; `None` if they are cut off or no encoder could have written them.
pub fn decode_group(model: &DecodeModel, first: usize, data: &[u8], out: &mut [u8]) -> Option<usize> {
    decode_group_on(crate::cpu::simd(), model, first, data, out)
}

/// The same on the given instruction set.
pub fn decode_group_on(
    simd: Simd,
    model: &DecodeModel,
    first: usize,
    data: &[u8],
    out: &mut [u8],
) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if matches!(simd, Simd::Avx2 | Simd::Avx512) && simd.is_available() {
        // Nothing here is done by vectors, and with the shifts of BMI2 the compiler's code was slower by a third.
        #[target_feature(enable = "lzcnt,popcnt")]
        fn counting(model: &DecodeModel, first: usize, data: &[u8], out: &mut [u8]) -> Option<usize> {
            decode(model, first, data, out)
        }
        // SAFETY: `is_available` has just seen these features, too.
        return unsafe { counting(model, first, data, out) };
    }
    let _ = simd;
    decode(model, first, data, out)
}

#[inline(always)]
fn decode(model: &DecodeModel, first: usize, data: &[u8], out: &mut [u8]) -> Option<usize> {
    if out.is_empty() {
        return Some(0);
    }
    let tables = by_class(model)?;
    let magnitude = model.walk.magnitude()?;
    let k = lanes(out.len());
    let stream = Stream::begin(data, k)?;
    let job = Job { model, tables: &tables, magnitude };
    match (k == LANES, model.walk.has_columns()) {
        (true, false) => job.run::<LANES, false>(stream, first, out),
        (true, true) => job.run::<LANES, true>(stream, first, out),
        (false, false) => job.run::<1, false>(stream, first, out),
        (false, true) => job.run::<1, true>(stream, first, out),
    }
}

/// What a group's bytes are.
struct Stream<'a> {
    states: &'a [[u8; 4]],
    words: &'a [[u8; 2]],
}

impl<'a> Stream<'a> {
    #[inline(always)]
    fn begin(data: &'a [u8], lanes: usize) -> Option<Stream<'a>> {
        let (count, rest) = data.split_first_chunk::<2>()?;
        let size = 2 * u16::from_le_bytes(*count) as usize;
        let (states, rest) = rest.split_at_checked(4 * lanes)?;
        Some(Stream { states: states.as_chunks().0, words: rest.get(..size)?.as_chunks().0 })
    }

    /// In bytes.
    #[inline(always)]
    fn size(&self) -> usize {
        2 + size_of_val(self.states) + size_of_val(self.words)
    }
}

/// The state after a symbol, before it is filled up.
#[inline(always)]
fn advance(entry: u32, state: u32) -> u32 {
    (entry >> 8 & 0xfff) * (state >> PROBABILITY_BITS) + (entry >> 20)
}

fn by_class(model: &DecodeModel) -> Option<[&Table; RAW_CLASSES]> {
    let mut tables = [model.tables.first()?; RAW_CLASSES];
    for (table, i) in tables.iter_mut().zip(&model.table_of_raw) {
        *table = model.tables.get(*i as usize)?;
    }
    Some(tables)
}

/// What decoding needs of a model.
pub(crate) struct Job<'a> {
    pub model: &'a DecodeModel,
    tables: &'a [&'a Table; RAW_CLASSES],
    magnitude: &'a [u16; 256],
}

/// A lane, half way.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lane {
    pub state: u32,
    pub place: Place,
}

/// A group that is decoded beside others.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Side<'a> {
    pub lanes: [Lane; LANES],
    pub words: Words<'a>,
    pub out: &'a mut [u8],
}

/// Takes words from the stream.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a> {
    pub all: &'a [[u8; 2]],
    pub at: usize,
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

    /// Whether all words were taken and the states are those that an encoder begins with.
    #[inline(always)]
    fn end(&self, lanes: &[Lane]) -> bool {
        self.at == self.all.len() && lanes.iter().all(|l| l.state == LOWEST)
    }
}

impl Job<'_> {
    /// Lanes of `per` elements, the first of which is number `first` of the block.
    #[inline(always)]
    fn begin<const K: usize>(&self, stream: &Stream<'_>, first: usize, per: usize) -> Option<[Lane; K]> {
        let mut lanes = [Lane::default(); K];
        for (i, (lane, state)) in lanes.iter_mut().zip(stream.states).enumerate() {
            let state = u32::from_le_bytes(*state);
            if state < LOWEST {
                return None;
            }
            *lane = Lane { state, place: self.model.walk.begin(first + i * per) };
        }
        Some(lanes)
    }

    #[inline(always)]
    fn run<const K: usize, const COLUMNS: bool>(
        &self,
        stream: Stream<'_>,
        first: usize,
        out: &mut [u8],
    ) -> Option<usize> {
        let n = out.len();
        let per = n.div_ceil(K);
        let mut lane = self.begin::<K>(&stream, first, per)?;
        let mut words = Words { all: stream.words, at: 0 };
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
        words.end(&lane).then_some(stream.size())
    }

    /// Decodes the next element of a lane.
    #[inline(always)]
    pub fn one<const COLUMNS: bool>(&self, lane: &mut Lane, words: &mut Words<'_>) -> Option<u8> {
        let walk = &self.model.walk;
        let column = walk.column::<COLUMNS>(lane.place);
        let table = self.tables[walk.raw_class::<COLUMNS>(lane.place, column)];
        let entry = table[(lane.state & (TOTAL - 1)) as usize];
        lane.state = words.refill(advance(entry, lane.state))?;
        let mut symbol = entry as u8;
        if symbol as u32 == self.model.escape {
            symbol = lane.state as u8;
            lane.state = words.refill(lane.state >> 8)?;
        }
        walk.step::<COLUMNS>(&mut lane.place, column, self.magnitude[symbol as usize] as u32);
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
                    if symbol as u32 == escape {
                        symbol = $lane.state as u8;
                        $lane.state >>= 8;
                        if $lane.state < LOWEST {
                            $lane.state = $lane.state << 16 | u16::from_le_bytes(ahead[taken & 7]) as u32;
                            taken += 1;
                        }
                    }
                    walk.step::<COLUMNS>(&mut $lane.place, column, magnitude[symbol as usize] as u32);
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

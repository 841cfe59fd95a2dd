//! Words to symbols and signs.

use super::dot::{Dot, Portable};
use super::model::{Both, Context, ESCAPED_BITS, LANES, Model, PROBABILITY_BITS, TOTAL};
use super::walk::Rows;
use crate::cpu::Simd;
use crate::rans::LOWEST;

/// Memory that decoding and encoding need, kept from group to group.
#[derive(Default)]
pub struct Work {
    pub(crate) history: Vec<Both>,
    /// Of each column: symbols, and signs << 8.
    pub(crate) columns: Vec<[u16; LANES]>,
    pub(crate) words: Vec<u16>,
}

impl Work {
    /// Makes room for rows of so many elements, and an even number of columns.
    pub(crate) fn reserve(&mut self, period: usize) {
        let pairs = period.div_ceil(2);
        if self.history.len() < pairs {
            self.history.resize(pairs, [[0; 2]; LANES]);
            self.columns.resize(2 * pairs, [0; LANES]);
        }
    }
}

/// Decodes one group of a plane, whose first element is number `first` of the block, from the front of `data` into `symbols` and `signs` (as
/// many, at most 32,768; a sign is 0 or 1). Gives the bytes it took; `None` if they are cut off or no encoder could have written them.
pub fn decode_group(
    model: &Model,
    first: usize,
    data: &[u8],
    symbols: &mut [u8],
    signs: &mut [u8],
    work: &mut Work,
) -> Option<usize> {
    decode_group_on(crate::cpu::simd(), model, first, data, symbols, signs, work)
}

/// The same on the given instruction set.
pub fn decode_group_on(
    simd: Simd,
    model: &Model,
    first: usize,
    data: &[u8],
    symbols: &mut [u8],
    signs: &mut [u8],
    work: &mut Work,
) -> Option<usize> {
    if symbols.len() != signs.len() || model.tables.is_empty() {
        return None;
    }
    let (stream, taken) = Stream::begin(data, model.start)?;
    work.reserve(model.period);
    let rows = Rows::new(first, symbols.len(), model.period);
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn avx2(
            model: &Model,
            rows: &Rows,
            stream: Stream<'_>,
            symbols: &mut [u8],
            signs: &mut [u8],
            work: &mut Work,
        ) -> Option<()> {
            decode::<super::dot::Avx2>(model, rows, stream, symbols, signs, work)
        }
        match simd {
            Simd::Avx512 if simd.is_available() => {
                let job = crate::x86_64::predicted_avx512::decode;
                // SAFETY: `is_available` has just seen every feature that the function is compiled with.
                unsafe { job(model, &rows, stream, symbols, signs, work) }?;
                return Some(taken);
            }
            Simd::Avx2 if simd.is_available() => {
                // SAFETY: as above.
                unsafe { avx2(model, &rows, stream, symbols, signs, work) }?;
                return Some(taken);
            }
            _ => {}
        }
    }
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    if simd == Simd::Neon {
        decode::<super::dot::Neon>(model, &rows, stream, symbols, signs, work)?;
        return Some(taken);
    }
    let _ = simd;
    decode::<Portable>(model, &rows, stream, symbols, signs, work)?;
    Some(taken)
}

/// Words that a step of all lanes takes at most.
const MOST: usize = 2 * LANES;

/// Where the lanes stand, and the words that are left.
pub(crate) struct Stream<'a> {
    words: &'a [[u8; 2]],
    at: usize,
    pub states: [u32; LANES],
    /// Mean errors.
    pub means: [u32; LANES],
}

impl<'a> Stream<'a> {
    /// The stream in front of `data`, and its size.
    fn begin(data: &'a [u8], start: u32) -> Option<(Stream<'a>, usize)> {
        let (count, rest) = data.split_first_chunk::<2>()?;
        let size = 2 * u16::from_le_bytes(*count) as usize;
        let (lanes, rest) = rest.split_at_checked(4 * LANES)?;
        let words = rest.get(..size)?.as_chunks::<2>().0;
        let mut states = [0; LANES];
        for (state, bytes) in states.iter_mut().zip(lanes.as_chunks::<4>().0) {
            *state = u32::from_le_bytes(*bytes);
        }
        let good = states.iter().all(|s| *s >= LOWEST);
        good.then_some((Stream { words, at: 0, states, means: [start; LANES] }, 2 + 4 * LANES + size))
    }

    /// The words that come next, as many as a step can take, zeros behind the last; `None` when more have been taken than there are.
    #[inline(always)]
    pub fn ahead(&self) -> Option<[u16; MOST]> {
        let left = self.words.get(self.at..)?;
        Some(match left.first_chunk::<MOST>() {
            Some(all) => all.map(u16::from_le_bytes),
            None => std::array::from_fn(|i| left.get(i).map_or(0, |w| u16::from_le_bytes(*w))),
        })
    }

    /// Goes on behind words that have been taken.
    #[inline(always)]
    pub fn skip(&mut self, words: usize) {
        self.at += words;
    }

    /// Whether all words were taken and the states are those that an encoder begins with.
    pub fn end(&self) -> Option<()> {
        (self.at == self.words.len() && self.states == [LOWEST; LANES]).then_some(())
    }
}

/// Fills up the states of these lanes; gives symbols and signs << 8 of those that were escaped.
pub(crate) fn refill(
    stream: &mut Stream<'_>,
    lanes: u16,
    escaped: u16,
    numbers: &mut [u16; LANES],
) -> Option<()> {
    let words = stream.ahead()?;
    let mut taken = 0;
    let mut fill = |state: &mut u32| {
        if *state < LOWEST {
            *state = *state << 16 | words[taken % MOST] as u32;
            taken += 1;
        }
    };
    for (lane, state) in stream.states.iter_mut().enumerate().filter(|(lane, _)| lanes >> lane & 1 == 1) {
        fill(state);
        if escaped >> lane & 1 == 1 {
            numbers[lane] = *state as u16 & 0x1ff;
            *state >>= ESCAPED_BITS;
            fill(state);
        }
    }
    stream.skip(taken);
    Some(())
}

#[inline(always)]
fn decode<D: Dot>(
    model: &Model,
    rows: &Rows,
    mut stream: Stream<'_>,
    symbols: &mut [u8],
    signs: &mut [u8],
    work: &mut Work,
) -> Option<()> {
    let reciprocal = model.reciprocal()?;
    let magnitude = model.magnitude()?;
    let Work { history, columns, .. } = work;
    for pass in rows.passes() {
        let begin = pass.from / 2;
        // Numbers before the group are taken for zeros.
        history[..begin].fill([[0; 2]; LANES]);
        for i in begin..pass.to.div_ceil(2) {
            let (before, now) = history.split_at_mut_checked(i)?;
            let now = now.first_mut()?;
            let weights = model.pairs(i);
            let mut sums = [0, 1].map(|half| [model.column(2 * i + half).bias; LANES]);
            D::add(weights.get(..i).unwrap_or_default(), before, &mut sums);
            let own = weights.last().map_or(0, |w| w[1][0] as i32);
            *now = [[0; 2]; LANES];
            for (half, sums) in sums.iter().enumerate() {
                let column = 2 * i + half;
                let lanes = pass.lanes(column);
                let of = model.column(column);
                let numbers = columns.get_mut(column)?;
                let mut contexts = [Context::default(); LANES];
                let mut predicted = [0; LANES];
                let mut entries = [0; LANES];
                let mut escaped = 0;
                for lane in (0..LANES).filter(|lane| lanes >> lane & 1 == 1) {
                    let p =
                        model.predicted(sums[lane].wrapping_add(own * (now[lane][0] as i32 * half as i32)));
                    let context = model.context(stream.means[lane], p, of.octave, reciprocal);
                    let table = model.tables.get(context.table as usize)?;
                    let state = stream.states[lane];
                    let slot = state & (TOTAL - 1);
                    let mut entry = table.first[(slot >> 7) as usize] as u32;
                    while table.below(entry + 1) <= slot {
                        entry += 1;
                    }
                    let below = table.below(entry);
                    let frequency = table.below(entry + 1) - below;
                    stream.states[lane] = frequency * (state >> PROBABILITY_BITS) + slot - below;
                    escaped |= ((entry == model.numbers) as u16) << lane;
                    (contexts[lane], predicted[lane], entries[lane]) = (context, p, entry);
                }
                refill(&mut stream, lanes, escaped, numbers)?;
                for lane in (0..LANES).filter(|lane| lanes >> lane & 1 == 1) {
                    if escaped >> lane & 1 == 0 {
                        numbers[lane] = model.number(contexts[lane], entries[lane]);
                    }
                    let number = numbers[lane];
                    let x = model.scaled(magnitude[number as usize & 255], number as u32 >> 8, of.multiplier);
                    now[lane][half] = x as i16;
                    stream.means[lane] = model.step(stream.means[lane], x.abs_diff(predicted[lane]));
                }
            }
        }
        pass.transpose_back(columns, symbols, signs);
    }
    stream.end()
}

impl Model {
    /// The symbol, and the sign << 8, of an entry that is not the escape.
    #[inline(always)]
    fn number(&self, context: Context, entry: u32) -> u16 {
        let negative = (entry < self.numbers) as u32;
        let number = if negative == 1 { self.numbers - 1 - entry } else { entry - self.numbers - 1 };
        let symbol = (context.lowest + number as i32) as u8;
        symbol as u16 | ((negative ^ context.turned) as u16) << 8
    }
}

//! Words to symbols and signs.

use super::dot::{Dot, Portable};
use super::model::{Both, Context, ESCAPED_BITS, LANES, Model, PART_BITS, PROBABILITY_BITS, TOTAL};
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

/// A group to decode.
pub struct Group<'a> {
    /// The number of its first element in the block, counted from the beginning of a row.
    pub first: usize,
    /// All of its bytes.
    pub stream: &'a [u8],
    /// A byte a symbol; at most 32,768.
    pub symbols: &'a mut [u8],
    /// As many: 0 or 1.
    pub signs: &'a mut [u8],
}

/// Groups that are decoded side by side.
pub const SIDE_BY_SIDE: usize = 2;

/// A group whose stream has been begun.
pub(crate) struct Begun<'a, 'b> {
    pub rows: &'a Rows,
    pub stream: Stream<'a>,
    pub symbols: &'b mut [u8],
    pub signs: &'b mut [u8],
    pub work: &'b mut Work,
}

/// The bytes of the group that `data` begins with; `None` if they are cut off.
pub fn stream_size(data: &[u8]) -> Option<usize> {
    let size = 2 + 4 * LANES + 2 * u16::from_le_bytes(*data.first_chunk()?) as usize;
    (size <= data.len()).then_some(size)
}

/// Decodes groups, several side by side where the CPU has registers for it. `None` if no encoder could have written one of the streams.
pub fn decode_groups(model: &Model, groups: &mut [Group<'_>], work: &mut [Work; SIDE_BY_SIDE]) -> Option<()> {
    decode_groups_on(crate::cpu::simd(), model, groups, work)
}

/// The same on the given instruction set.
pub fn decode_groups_on(
    simd: Simd,
    model: &Model,
    groups: &mut [Group<'_>],
    work: &mut [Work; SIDE_BY_SIDE],
) -> Option<()> {
    let is_wide = cfg!(target_arch = "x86_64") && simd == Simd::Avx512 && simd.is_available();
    for groups in groups.chunks_mut(if is_wide { SIDE_BY_SIDE } else { 1 }) {
        let rows: Vec<Rows> =
            groups.iter().map(|g| Rows::new(g.first, g.symbols.len(), model.period)).collect();
        let mut begun = Vec::with_capacity(groups.len());
        for ((group, rows), work) in groups.iter_mut().zip(&rows).zip(work.iter_mut()) {
            if group.symbols.len() != group.signs.len() || model.tables.is_empty() {
                return None;
            }
            let stream = Stream::begin(group.stream, model.start)?;
            work.reserve(model.period);
            begun.push(Begun { rows, stream, symbols: group.symbols, signs: group.signs, work });
        }
        match <[Begun<'_, '_>; SIDE_BY_SIDE]>::try_from(begun) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: there are two only where `is_available` has just seen every feature that the function is compiled with.
            Ok(two) => unsafe { crate::x86_64::predicted_avx512::decode(model, two) }?,
            #[cfg(not(target_arch = "x86_64"))]
            Ok(_) => return None,
            Err(one) => one.into_iter().try_for_each(|one| decode_on(simd, model, one))?,
        }
    }
    Some(())
}

fn decode_on(simd: Simd, model: &Model, one: Begun<'_, '_>) -> Option<()> {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn avx2(model: &Model, one: Begun<'_, '_>) -> Option<()> {
            decode::<super::dot::Avx2>(model, one)
        }
        match simd {
            Simd::Avx512 if simd.is_available() => {
                // SAFETY: `is_available` has just seen every feature that the function is compiled with.
                return unsafe { crate::x86_64::predicted_avx512::decode(model, [one]) };
            }
            // SAFETY: as above.
            Simd::Avx2 if simd.is_available() => return unsafe { avx2(model, one) },
            _ => {}
        }
    }
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    if simd == Simd::Neon {
        return decode::<super::dot::Neon>(model, one);
    }
    let _ = simd;
    decode::<Portable>(model, one)
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
    /// The stream that `data` is; `None` if it is none.
    fn begin(data: &'a [u8], start: u32) -> Option<Stream<'a>> {
        if stream_size(data) != Some(data.len()) {
            return None;
        }
        let (lanes, words) = data.get(2..)?.split_at_checked(4 * LANES)?;
        let mut states = [0; LANES];
        for (state, bytes) in states.iter_mut().zip(lanes.as_chunks::<4>().0) {
            *state = u32::from_le_bytes(*bytes);
        }
        let good = states.iter().all(|s| *s >= LOWEST);
        good.then_some(Stream { words: words.as_chunks::<2>().0, at: 0, states, means: [start; LANES] })
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
fn decode<D: Dot>(model: &Model, one: Begun<'_, '_>) -> Option<()> {
    let Begun { rows, mut stream, symbols, signs, work } = one;
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
                    let mut entry = table.first[(slot >> PART_BITS) as usize] as u32;
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

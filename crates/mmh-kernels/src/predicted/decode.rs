//! Words to symbols and signs.

use super::model::{Context, ESCAPED_BITS, LANES, Model, PROBABILITY_BITS, Rows, TOTAL, common};
use crate::rans::LOWEST;

multiversion! {
    /// Decodes one group of a plane, whose first element is number `first` of the block, from the front of `data` into `symbols` and `signs`
    /// (as many, at most 32,768; a sign is 0 or 1); `history` is memory to work in. Gives the bytes it took; `None` if they are cut off or no
    /// encoder could have written them.
    pub fn decode_group(
        model: &Model,
        first: usize,
        data: &[u8],
        symbols: &mut [u8],
        signs: &mut [u8],
        history: &mut Vec<[i32; LANES]>,
    ) -> Option<usize> = decode;
    on decode_group_on
}

#[inline(always)]
fn decode(
    model: &Model,
    first: usize,
    data: &[u8],
    symbols: &mut [u8],
    signs: &mut [u8],
    history: &mut Vec<[i32; LANES]>,
) -> Option<usize> {
    if symbols.len() != signs.len() || model.tables.is_empty() {
        return None;
    }
    let (count, rest) = data.split_first_chunk::<2>()?;
    let size = 2 * u16::from_le_bytes(*count) as usize;
    let (states, rest) = rest.split_at_checked(4 * LANES)?;
    let words = rest.get(..size)?.as_chunks::<2>().0;
    let mut state = [0; LANES];
    for (state, bytes) in state.iter_mut().zip(states.as_chunks::<4>().0) {
        *state = u32::from_le_bytes(*bytes);
        if *state < LOWEST {
            return None;
        }
    }
    if history.len() < model.period {
        history.resize(model.period, [0; LANES]);
    }
    let mut job = Job {
        model,
        reciprocal: model.reciprocal()?,
        magnitude: model.magnitude()?,
        words,
        at: 0,
        state,
        mean: [model.start; LANES],
    };
    let rows = Rows::new(first, symbols.len(), model.period);
    for row in rows.passes() {
        let (span, start) = rows.spans(row);
        let all = common(&span);
        let from = span.iter().filter(|s| s.0 < s.1).map(|s| s.0).min().unwrap_or(0);
        let to = span.iter().map(|s| s.1).max().unwrap_or(0);
        // Numbers before the group are taken for zeros.
        history.get_mut(..from)?.fill([0; LANES]);
        for column in from..to {
            let (before, now) = history.split_at_mut_checked(column)?;
            let predicted = model.predict(column, before);
            let now = now.first_mut()?;
            let of = model.column(column);
            if all.contains(&column) {
                let column_words = job.ahead()?;
                let mut taken = 0;
                for lane in 0..LANES {
                    let (symbol, sign, x) = job.next(lane, predicted[lane], of, column_words, &mut taken);
                    let at = start[lane].wrapping_add(column);
                    *symbols.get_mut(at)? = symbol;
                    *signs.get_mut(at)? = sign;
                    now[lane] = x;
                }
                job.at += taken;
            } else {
                *now = [0; LANES];
                for lane in 0..LANES {
                    if !(span[lane].0..span[lane].1).contains(&column) {
                        continue;
                    }
                    let column_words = job.ahead()?;
                    let mut taken = 0;
                    let (symbol, sign, x) = job.next(lane, predicted[lane], of, column_words, &mut taken);
                    let at = start[lane].wrapping_add(column);
                    *symbols.get_mut(at)? = symbol;
                    *signs.get_mut(at)? = sign;
                    now[lane] = x;
                    job.at += taken;
                }
            }
        }
    }
    let good = job.at == words.len() && job.state == [LOWEST; LANES];
    good.then_some(2 + 4 * LANES + size)
}

/// Words that a step of all lanes takes at most.
const MOST: usize = 2 * LANES;

struct Job<'a> {
    model: &'a Model,
    reciprocal: &'a [u32; 256],
    magnitude: &'a [u16; 256],
    words: &'a [[u8; 2]],
    at: usize,
    state: [u32; LANES],
    mean: [u32; LANES],
}

impl<'a> Job<'a> {
    /// The words that come next, as many as a step can take, zeros behind the last; `None` when more have been taken than there are.
    #[inline(always)]
    fn ahead(&self) -> Option<[u16; MOST]> {
        let left = self.words.get(self.at..)?;
        Some(match left.first_chunk::<MOST>() {
            Some(all) => all.map(u16::from_le_bytes),
            None => std::array::from_fn(|i| left.get(i).map_or(0, |w| u16::from_le_bytes(*w))),
        })
    }

    /// The next number of a lane: its symbol, its sign, and itself, scaled.
    #[inline(always)]
    fn next(
        &mut self,
        lane: usize,
        predicted: i32,
        (multiplier, octave): (u32, i32),
        words: [u16; MOST],
        taken: &mut usize,
    ) -> (u8, u8, i32) {
        let model = self.model;
        let Context { table, turned, lowest, .. } =
            model.context(self.mean[lane], predicted, octave, self.reciprocal);
        let Some(table) = model.tables.get(table as usize) else { return (0, 0, 0) };
        let state = self.state[lane];
        let slot = state & (TOTAL - 1);
        let mut entry = table.first[(slot >> 7) as usize] as u32;
        while table.below(entry + 1) <= slot {
            entry += 1;
        }
        let below = table.below(entry);
        let frequency = table.below(entry + 1) - below;
        let state = frequency * (state >> PROBABILITY_BITS) + slot - below;
        // Without a branch: whether a word is due is as good as random.
        let low = (state < LOWEST) as u32;
        let mut state = state << (16 * low) | words[*taken % MOST] as u32 & low.wrapping_neg();
        *taken += low as usize;
        let (symbol, sign);
        if entry == model.numbers {
            (symbol, sign) = (state as u8, state >> 8 & 1);
            state >>= ESCAPED_BITS;
            if state < LOWEST {
                state = state << 16 | words[*taken % MOST] as u32;
                *taken += 1;
            }
        } else {
            let negative = (entry < model.numbers) as u32;
            let number = if negative == 1 { model.numbers - 1 - entry } else { entry - model.numbers - 1 };
            (symbol, sign) = ((lowest + number as i32) as u8, negative ^ turned);
        }
        self.state[lane] = state;
        let x = model.scaled(self.magnitude[symbol as usize], sign, multiplier);
        self.mean[lane] = model.step(self.mean[lane], x.abs_diff(predicted));
        (symbol, sign as u8, x)
    }
}

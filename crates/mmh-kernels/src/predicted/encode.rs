//! Symbols and signs to words.

use super::decode::Work;
use super::dot::{Dot, Portable};
use super::model::{BINS, Context, ESCAPED_BITS, LANES, Model, PROBABILITY_BITS};
use super::walk::{Pass, Rows};
use crate::cpu::Simd;
use crate::rans::LOWEST;

/// Of each lane of a column: the entry, and the table << 8; [`NONE`] where the group has no element.
pub type Contexts = [u32; LANES];

/// What a lane has that has no element.
pub const NONE: u32 = u32::MAX;

/// Errors are counted in one of so many columns.
pub const COUNTED: usize = 4;

/// Calls a loop compiled for an instruction set, or the one that is written for AVX-512.
macro_rules! on {
    ($simd:expr, $avx512:path, $generic:ident($($arg:ident: $ty:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[allow(clippy::too_many_arguments)]
            #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
            fn avx2($($arg: $ty),*) {
                $generic::<super::dot::Avx2>($($arg),*)
            }
            match $simd {
                // SAFETY: `is_available` has just seen every feature that the function is compiled with.
                Simd::Avx512 if $simd.is_available() => return unsafe { $avx512($($arg),*) },
                // SAFETY: as above.
                Simd::Avx2 if $simd.is_available() => return unsafe { avx2($($arg),*) },
                _ => {}
            }
        }
        #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
        if $simd == Simd::Neon {
            return $generic::<super::dot::Neon>($($arg),*);
        }
        let _ = $simd;
        $generic::<Portable>($($arg),*)
    }};
}
pub(super) use on;

/// Finds the contexts of a group, whose first element is number `first` of the block, and puts them into `contexts`, in the order in which they
/// are coded; adds to `errors`, for one in [`COUNTED`] columns, how often they are in which eighth of the width. Needs no
/// tables.
pub fn classify(
    model: &Model,
    first: usize,
    numbers: (&[u8], &[u8]),
    contexts: &mut Vec<Contexts>,
    errors: Option<&mut [u32; BINS]>,
    work: &mut Work,
) {
    classify_on(crate::cpu::simd(), model, first, numbers, contexts, errors, work);
}

/// The same on the given instruction set.
pub fn classify_on(
    simd: Simd,
    model: &Model,
    first: usize,
    (symbols, signs): (&[u8], &[u8]),
    contexts: &mut Vec<Contexts>,
    errors: Option<&mut [u32; BINS]>,
    work: &mut Work,
) {
    contexts.clear();
    if symbols.len() != signs.len() || model.period == 0 {
        return;
    }
    work.reserve(model.period);
    let rows = &Rows::new(first, symbols.len(), model.period);
    on!(
        simd,
        crate::x86_64::predicted_avx512::classify,
        contexts_of(
            model: &Model,
            rows: &Rows,
            symbols: &[u8],
            signs: &[u8],
            contexts: &mut Vec<Contexts>,
            errors: Option<&mut [u32; BINS]>,
            work: &mut Work,
        )
    )
}

#[inline(always)]
fn contexts_of<D: Dot>(
    model: &Model,
    rows: &Rows,
    symbols: &[u8],
    signs: &[u8],
    contexts: &mut Vec<Contexts>,
    mut errors: Option<&mut [u32; BINS]>,
    work: &mut Work,
) {
    let (Some(magnitude), Some(reciprocal)) = (model.magnitude(), model.reciprocal()) else { return };
    let Work { history, columns, .. } = work;
    let mut means = [model.start; LANES];
    for pass in rows.passes() {
        pass.transpose(symbols, signs, columns);
        let begin = pass.from / 2;
        history[..begin].fill([[0; 2]; LANES]);
        for i in begin..pass.to.div_ceil(2) {
            let (before, now) = history.split_at_mut(i);
            let now = &mut now[0];
            let weights = model.pairs(i);
            let mut sums = [0, 1].map(|half| [model.column(2 * i + half).bias; LANES]);
            D::add(weights.get(..i).unwrap_or_default(), before, &mut sums);
            let own = weights.last().map_or(0, |w| w[1][0] as i32);
            *now = [[0; 2]; LANES];
            for (half, sums) in sums.iter().enumerate() {
                let column = 2 * i + half;
                if !(pass.from..pass.to).contains(&column) {
                    continue;
                }
                let lanes = pass.lanes(column);
                let of = model.column(column);
                let mut found = [NONE; LANES];
                for lane in (0..LANES).filter(|lane| lanes >> lane & 1 == 1) {
                    let p =
                        model.predicted(sums[lane].wrapping_add(own * (now[lane][0] as i32 * half as i32)));
                    let context = model.context(means[lane], p, of.octave, reciprocal);
                    let (symbol, sign) = (columns[column][lane] & 255, columns[column][lane] as u32 >> 8);
                    let x = model.scaled(magnitude[symbol as usize], sign, of.multiplier);
                    let error = x.abs_diff(p);
                    found[lane] = model.entry(context, symbol, sign) | context.table << 8;
                    if let Some(errors) = errors.as_deref_mut().filter(|_| column % COUNTED == 0) {
                        let bin = (error as u64 * reciprocal[context.class as usize] as u64) >> 16;
                        errors[bin.min(BINS as u64 - 1) as usize] += 1;
                    }
                    now[lane][half] = x as i16;
                    means[lane] = model.step(means[lane], error);
                }
                contexts.push(found);
            }
        }
    }
}

impl Model {
    /// The entry of a symbol and a sign.
    #[inline(always)]
    fn entry(&self, context: Context, symbol: u16, sign: u32) -> u32 {
        let number = (symbol as i32 - context.lowest).cast_unsigned();
        let of_sign = if sign ^ context.turned == 0 {
            self.numbers.wrapping_add(1).wrapping_add(number)
        } else {
            self.numbers.wrapping_sub(1).wrapping_sub(number)
        };
        if number < self.numbers { of_sign } else { self.numbers }
    }

    /// How many of 32,768 slots the entry of a context has.
    pub fn frequency(&self, context: u32) -> u32 {
        let entry = context & 255;
        self.tables.get((context >> 8) as usize).map_or(0, |t| t.below(entry + 1) - t.below(entry))
    }

    /// How many bits an escape takes more than its entry.
    pub fn escaped(&self, context: u32) -> u32 {
        if context & 255 == self.numbers { ESCAPED_BITS } else { 0 }
    }

    /// The bias that comes closest to this many 1024ths.
    pub fn bias(value: f64) -> u8 {
        (value * 32.0 + super::MIDDLE as f64 + 0.5).clamp(0.0, 127.0) as u8
    }
}

/// Appends one group (at most 32,768 numbers: symbols, and as many signs), whose first element is number `first` of the block; `contexts` is
/// memory to work in. `false`, and nothing appended, when it takes more words than a group can have.
pub fn encode_group(
    model: &Model,
    first: usize,
    numbers: (&[u8], &[u8]),
    contexts: &mut Vec<Contexts>,
    work: &mut Work,
    out: &mut Vec<u8>,
) -> bool {
    encode_group_on(crate::cpu::simd(), model, first, numbers, contexts, work, out)
}

/// The same on the given instruction set.
pub fn encode_group_on(
    simd: Simd,
    model: &Model,
    first: usize,
    (symbols, signs): (&[u8], &[u8]),
    contexts: &mut Vec<Contexts>,
    work: &mut Work,
    out: &mut Vec<u8>,
) -> bool {
    if model.tables.is_empty() {
        return false;
    }
    classify_on(simd, model, first, (symbols, signs), contexts, None, work);
    let rows = Rows::new(first, symbols.len(), model.period);
    let mut words = std::mem::take(&mut work.words);
    // An element takes two words at most; a row of lanes is written whole.
    let room = 2 * symbols.len() + 2 * LANES;
    if words.len() < room {
        words.resize(room, 0);
    }
    let mut writer = Writer { states: [LOWEST; LANES], at: words.len(), words: &mut words };
    let mut left = contexts.as_slice();
    for pass in rows.passes().rev() {
        let (before, own) = left.split_at(left.len() - (pass.to - pass.from));
        left = before;
        put_all(simd, model, own, &Numbers { pass: &pass, symbols, signs }, &mut writer);
    }
    let Writer { states, at, words: of } = writer;
    let done = &of[at..];
    let count = u16::try_from(done.len());
    if let Ok(count) = count {
        out.extend(count.to_le_bytes());
        states.iter().for_each(|s| out.extend(s.to_le_bytes()));
        let start = out.len();
        out.resize(start + 2 * done.len(), 0);
        out[start..].as_chunks_mut::<2>().0.iter_mut().zip(done).for_each(|(o, w)| *o = w.to_le_bytes());
    }
    work.words = words;
    count.is_ok()
}

/// States, and words in the order of the encoder, which is not that of the decoder: they fill a buffer from its end.
pub(crate) struct Writer<'a> {
    pub states: [u32; LANES],
    pub words: &'a mut [u16],
    pub at: usize,
}

impl Writer<'_> {
    /// Takes the low half of the state as a word if that is due, without a branch: whether it is, is as good as random.
    #[inline(always)]
    fn shrink(&mut self, state: u32, due: bool) -> u32 {
        let before = self.at.wrapping_sub(1);
        if let Some(word) = self.words.get_mut(before) {
            *word = state as u16;
        }
        self.at = if due { before } else { self.at };
        state >> (16 * due as u32)
    }
}

/// The numbers of a pass, for those that are escaped.
pub(crate) struct Numbers<'a> {
    pass: &'a Pass,
    symbols: &'a [u8],
    signs: &'a [u8],
}

fn put_all(simd: Simd, model: &Model, contexts: &[Contexts], numbers: &Numbers<'_>, writer: &mut Writer<'_>) {
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        return unsafe { crate::x86_64::predicted_avx512::put_all(model, contexts, numbers, writer) };
    }
    let _ = simd;
    let all = contexts.iter().enumerate().rev();
    all.for_each(|(i, contexts)| put(model, contexts, numbers, i, writer));
}

/// Puts the lanes of the `i`-th column of a pass on top of the states, the last one first.
pub(crate) fn put(
    model: &Model,
    contexts: &Contexts,
    numbers: &Numbers<'_>,
    i: usize,
    writer: &mut Writer<'_>,
) {
    for lane in (0..LANES).rev().filter(|lane| contexts[*lane] != NONE) {
        let context = contexts[lane];
        let entry = context & 255;
        let mut state = writer.states[lane];
        if entry == model.numbers {
            let due = state >> (32 - ESCAPED_BITS) != 0;
            let at = numbers.pass.at(lane, numbers.pass.from + i);
            let number = numbers.symbols[at] as u32 | (numbers.signs[at] as u32 & 1) << 8;
            state = writer.shrink(state, due) << ESCAPED_BITS | number;
        }
        let Some(table) = model.tables.get((context >> 8) as usize) else { continue };
        let below = table.below(entry);
        let frequency = (table.below(entry + 1) - below).max(1);
        let state = writer.shrink(state, state >> (32 - PROBABILITY_BITS) >= frequency);
        writer.states[lane] = ((state / frequency) << PROBABILITY_BITS) + state % frequency + below;
    }
}

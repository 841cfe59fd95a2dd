//! Symbols of four groups, lane by lane in one register, or of eight in two. They are those of `modelled::decode`.

use super::modelled_avx512::{AT_ONCE, GROUPS, Places, Steps, all, load, numbers, turned};
use crate::modelled::{Job, LANES, Lane, Place, Side, Words};
use crate::rans::{LOWEST, PROBABILITY_BITS, TOTAL};
use std::arch::x86_64::*;

/// Words that the lanes of a group take at most while a line of symbols is made: two for each symbol.
const MOST: usize = 2 * LANES * AT_ONCE;

/// Words that are loaded at a time for a group: one for each lane.
const LOADED: usize = LANES;

/// Where the words of a group are loaded from.
struct Source {
    /// The word with number `from` is here.
    words: *const u8,
    from: usize,
    /// The last words, and as many behind them as may be loaded.
    tail: [[u8; 2]; 2 * (MOST + LOADED)],
}

impl Source {
    /// The place of word `at`, behind which all that a line of symbols can take is readable; `None` if more have been taken than there are.
    #[inline]
    fn place(&mut self, words: &Words<'_>) -> Option<*const u8> {
        let left = words.all.get(words.at..)?;
        if left.len() < MOST + LOADED && self.from == 0 {
            self.tail[..left.len()].copy_from_slice(left);
            (self.words, self.from) = (self.tail.as_ptr().cast(), words.at);
        }
        // SAFETY: `from` is not behind `at`, and `at` is at most the number of words.
        Some(unsafe { self.words.add(2 * (words.at - self.from)) })
    }
}

/// Four groups: their lanes stand side by side.
#[derive(Clone, Copy)]
struct Four {
    states: __m512i,
    places: Places,
    /// Where the next words of each are.
    at: [*const u8; GROUPS],
    /// The last four symbols of each lane, the first of them in the lowest byte.
    symbols: __m512i,
}

/// The words that come next, in lane order for each group, in the low halves of the lanes.
///
/// # Safety
/// Four words are readable from each place on.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn ahead(at: &[*const u8; GROUPS]) -> __m512i {
    // SAFETY: the caller's promise.
    let [a, b, c, d] = at.map(|at| unsafe { at.cast::<i64>().read_unaligned() });
    let (low, high) = (_mm_set_epi64x(b, a), _mm_set_epi64x(d, c));
    _mm512_cvtepu16_epi32(_mm256_set_m128i(high, low))
}

/// `tables[slot]`.
///
/// # Safety
/// They are below the number of all slots.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn look_up(slots: __m512i, tables: &[[u32; TOTAL as usize]]) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_i32gather_epi32::<4>(slots, tables.as_ptr().cast()) }
}

/// How many lanes up to each of a group, itself counted, take a word.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn counted(takes: __mmask16) -> __m512i {
    let one = _mm512_maskz_mov_epi32(takes, all(1));
    let two = _mm512_add_epi32(one, _mm512_bslli_epi128::<4>(one));
    _mm512_add_epi32(two, _mm512_bslli_epi128::<8>(two))
}

/// What does not change from step to step.
struct Constants<'a> {
    job: &'a Job<'a>,
    steps: Steps<'a>,
    table_of: [__m512i; 2],
}

impl Constants<'_> {
    /// Decodes the next symbol of each lane. `false`, and nothing has changed, where one is an escape.
    ///
    /// # Safety
    /// As many words are readable as lanes can take.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,popcnt")]
    unsafe fn step<const COLUMNS: bool>(&self, four: &mut Four) -> bool {
        let context = self.steps.context::<COLUMNS>(&four.places);
        let [low, high] = self.table_of;
        // Of each 32 bits the upper half is not looked up.
        let table = _mm512_maskz_permutex2var_epi16(0x5555_5555, low, context.class, high);
        let slot = _mm512_and_si512(four.states, all(TOTAL as i32 - 1));
        let slot = _mm512_or_si512(slot, _mm512_slli_epi32::<PROBABILITY_BITS>(table));
        // SAFETY: there are as many tables as `table_of` says, each of so many slots.
        let entries = unsafe { look_up(slot, &self.job.model.tables) };
        let symbols = _mm512_and_si512(entries, all(0xff));
        if _mm512_cmpeq_epi32_mask(symbols, all(self.job.model.escape as i32)) != 0 {
            return false;
        }
        self.steps.go_on::<COLUMNS>(&mut four.places, &context, symbols);
        let f = _mm512_and_si512(_mm512_srli_epi32::<8>(entries), all(0xfff));
        let x = _mm512_mullo_epi32(f, _mm512_srli_epi32::<PROBABILITY_BITS>(four.states));
        let x = _mm512_add_epi32(x, _mm512_srli_epi32::<20>(entries));
        let takes = _mm512_cmplt_epu32_mask(x, all(LOWEST as i32));
        // SAFETY: the caller's promise.
        let words = _mm512_castsi512_ps(unsafe { ahead(&four.at) });
        let order = _mm512_sub_epi32(counted(takes), all(1));
        let words = _mm512_castps_si512(_mm512_permutevar_ps(words, order));
        four.states = _mm512_mask_or_epi32(x, takes, _mm512_slli_epi32::<16>(x), words);
        for (i, at) in four.at.iter_mut().enumerate() {
            let taken = (takes as u32 >> (LANES * i) & 15).count_ones();
            // SAFETY: the caller's promise.
            *at = unsafe { at.add(2 * taken as usize) };
        }
        four.symbols =
            _mm512_or_si512(_mm512_srli_epi32::<8>(four.symbols), _mm512_slli_epi32::<24>(symbols));
        true
    }

    /// The same, lane by lane, where some are escapes. `None` where words are missing.
    #[cold]
    #[inline(never)]
    #[target_feature(enable = "avx512f")]
    fn step_by_step<const COLUMNS: bool>(
        &self,
        four: &Four,
        sides: &mut [Side<'_>; GROUPS],
    ) -> Option<(Four, [usize; GROUPS])> {
        let mut lanes = lanes(four);
        let mut symbols = [0; GROUPS * LANES];
        let before = sides.each_ref().map(|side| side.words.at);
        for (i, (lane, symbol)) in lanes.iter_mut().zip(&mut symbols).enumerate() {
            *symbol = (self.job.one::<COLUMNS>(lane, &mut sides[i / LANES].words)? as u32) << 24;
        }
        let symbols = _mm512_or_si512(_mm512_srli_epi32::<8>(four.symbols), load(symbols));
        let taken = std::array::from_fn(|g| sides[g].words.at - before[g]);
        Some((Four { symbols, ..place(&lanes, four.at) }, taken))
    }
}

/// The lanes of four groups.
#[inline]
#[target_feature(enable = "avx512f")]
fn lanes(four: &Four) -> [Lane; GROUPS * LANES] {
    let [states, means, columns] =
        [numbers(four.states), numbers(four.places.mean), numbers(four.places.column)];
    std::array::from_fn(|i| Lane { state: states[i], place: Place { mean: means[i], column: columns[i] } })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn place(lanes: &[Lane; GROUPS * LANES], at: [*const u8; GROUPS]) -> Four {
    let places =
        Places { mean: load(lanes.map(|l| l.place.mean)), column: load(lanes.map(|l| l.place.column)) };
    Four { states: load(lanes.map(|l| l.state)), places, at, symbols: _mm512_setzero_si512() }
}

/// Decodes all symbols of `FOURS` times four groups of one size. `None` if words are missing.
///
/// # Panics
/// If the groups are not of one size, a multiple of 256.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,bmi1,bmi2,popcnt")]
pub fn decode<const FOURS: usize, const COLUMNS: bool>(
    job: &Job<'_>,
    sides: &mut [[Side<'_>; GROUPS]; FOURS],
) -> Option<()> {
    let size = sides[0][0].out.len();
    assert!(size.is_multiple_of(LANES * AT_ONCE));
    assert!(sides.as_flattened().iter().all(|side| side.out.len() == size));
    let per = size / LANES;
    let (low, high) = job.model.table_of.as_chunks::<32>().0.split_first_chunk::<1>()?;
    // SAFETY: there are 32 numbers of 16 bits in each.
    let table_of =
        [low.first()?, high.first()?].map(|half| unsafe { _mm512_loadu_si512(half.as_ptr().cast()) });
    let constants = Constants { job, steps: Steps::new::<COLUMNS>(&job.model.walk)?, table_of };
    let mut sources: Vec<[Source; GROUPS]> = sides
        .iter()
        .map(|four| {
            four.each_ref().map(|side| Source {
                words: side.words.all.as_ptr().cast(),
                from: 0,
                tail: [[0; 2]; 2 * (MOST + LOADED)],
            })
        })
        .collect();
    let mut fours: [Four; FOURS] = std::array::from_fn(|i| {
        let lanes: [Lane; GROUPS * LANES] = std::array::from_fn(|l| sides[i][l / LANES].lanes[l % LANES]);
        place(&lanes, [std::ptr::null(); GROUPS])
    });
    for step in (0..per).step_by(AT_ONCE) {
        let mut starts = [[std::ptr::null(); GROUPS]; FOURS];
        for (i, four) in fours.iter_mut().enumerate() {
            let sources = sources.get_mut(i)?.iter_mut().zip(&sides[i]);
            for (at, (source, side)) in four.at.iter_mut().zip(sources) {
                *at = source.place(&side.words)?;
            }
            starts[i] = four.at;
        }
        let mut rows = [[_mm512_setzero_si512(); 16]; FOURS];
        for row in 0..16 {
            for _ in 0..4 {
                for (i, four) in fours.iter_mut().enumerate() {
                    // SAFETY: lines of symbols take no more words than are readable from their sources' places.
                    if !unsafe { constants.step::<COLUMNS>(four) } {
                        for (g, side) in sides[i].iter_mut().enumerate() {
                            side.words.at += (four.at[g] as usize - starts[i][g] as usize) / 2;
                        }
                        let (mut after, taken) = constants.step_by_step::<COLUMNS>(four, &mut sides[i])?;
                        for (at, taken) in after.at.iter_mut().zip(taken) {
                            // SAFETY: they lie within the words of the group.
                            *at = unsafe { at.add(2 * taken) };
                        }
                        *four = after;
                        starts[i] = four.at;
                    }
                }
            }
            for (rows, four) in rows.iter_mut().zip(&fours) {
                rows[row] = four.symbols;
            }
        }
        for (i, rows) in rows.into_iter().enumerate() {
            for (l, line) in turned(rows).into_iter().enumerate() {
                let side = &mut sides[i][l / LANES];
                let at = l % LANES * per + step;
                // SAFETY: the line is within its lane, and that within the group.
                unsafe { _mm512_storeu_si512(side.out.as_mut_ptr().add(at).cast(), line) };
                if l % LANES == 0 {
                    side.words.at += (fours[i].at[l / LANES] as usize - starts[i][l / LANES] as usize) / 2;
                }
            }
        }
    }
    for (sides, four) in sides.iter_mut().zip(&fours) {
        let lanes = lanes(four);
        for (side, lanes) in sides.iter_mut().zip(lanes.as_chunks::<LANES>().0) {
            side.lanes = *lanes;
        }
    }
    Some(())
}

//! Words of four groups, lane by lane in one register, or of eight in two. They are those of `modelled::encode`.

use super::modelled_avx512::{AT_ONCE, GROUPS, all, load, numbers, turned};
use super::rans_avx512::next;
use crate::modelled::{EncodeModel, EncodeWords as Words, LANES, put};
use crate::rans::{LOWEST, PROBABILITY_BITS};
use std::arch::x86_64::*;

/// Words in front of a buffer that are written over, but hold nothing.
pub const ROOM: usize = LANES;

/// A group, half way.
pub struct Side<'a> {
    pub classes: &'a [u8],
    pub symbols: &'a [u8],
    /// Filled from its end, with [`ROOM`] and two words for each symbol.
    pub words: Words<'a>,
    pub states: [u32; LANES],
}

/// Puts the next symbols on top of the states of four groups. `false`, and nothing has changed, if one has no frequency in its table.
///
/// # Safety
/// The words of each group have room for four more, and its places are those of the model.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi2,popcnt")]
unsafe fn step(
    model: &EncodeModel,
    places: __m512i,
    states: &mut __m512i,
    sides: &mut [Side<'_>; GROUPS],
) -> bool {
    // SAFETY: there is an entry for each symbol of each table that a class has.
    let entries = unsafe { _mm512_i32gather_epi32::<4>(places, model.packed.as_ptr().cast()) };
    let f = _mm512_and_si512(entries, all(0xffff));
    if _mm512_testn_epi32_mask(f, f) != 0 {
        return false;
    }
    let x = *states;
    let due = _mm512_cmpge_epu32_mask(_mm512_srli_epi32::<{ 32 - PROBABILITY_BITS }>(x), f);
    let words = _mm512_cvtepi32_epi16(x);
    let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    let words = [
        _mm_cvtsi128_si64(low),
        _mm_extract_epi64::<1>(low),
        _mm_cvtsi128_si64(high),
        _mm_extract_epi64::<1>(high),
    ];
    for (g, (side, words)) in sides.iter_mut().zip(words).enumerate() {
        let lanes = due as u64 >> (LANES * g) & 15;
        let due = _pdep_u64(lanes, 0x0001_0001_0001_0001) * 0xffff;
        let count = lanes.count_ones();
        // The last of them at the end of four; those before them are written over later.
        let words = _pext_u64(words.cast_unsigned(), due).wrapping_shl(64 - 16 * count);
        // SAFETY: the caller's promise.
        unsafe {
            let to = side.words.buffer.as_mut_ptr().add(side.words.at - LANES);
            to.cast::<u64>().write_unaligned(words.to_le());
        }
        side.words.at -= count as usize;
    }
    *states = next(_mm512_mask_srli_epi32::<16>(x, due, x), f, _mm512_srli_epi32::<16>(entries));
    true
}

/// The same, lane by lane, where some are escaped. `None` if one cannot be coded.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx512f")]
fn step_by_step(
    model: &EncodeModel,
    places: __m512i,
    states: __m512i,
    sides: &mut [Side<'_>; GROUPS],
) -> Option<__m512i> {
    let mut states = numbers(states);
    for (i, (state, place)) in states.iter_mut().zip(numbers(places)).enumerate().rev() {
        *state = put(model, &mut sides[i / LANES].words, *state, place as u16)?;
    }
    Some(load(states))
}

/// Encodes all symbols of `FOURS` times four groups of one size. `None` if one cannot be coded.
///
/// # Panics
/// If the groups are not of one size, a multiple of 256, or have not as much room as they should.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
pub fn encode<const FOURS: usize>(
    model: &EncodeModel,
    sides: &mut [[Side<'_>; GROUPS]; FOURS],
) -> Option<()> {
    let size = sides[0][0].symbols.len();
    assert!(size.is_multiple_of(LANES * AT_ONCE));
    assert!(sides.as_flattened().iter().all(|side| {
        let room = side.words.at >= 2 * size + ROOM && side.words.at <= side.words.buffer.len();
        side.symbols.len() == size && side.classes.len() == size && room
    }));
    let per = size / LANES;
    // SAFETY: there are 64 bytes.
    let table_of = unsafe { _mm512_loadu_si512(model.table_of.as_ptr().cast()) };
    let mut states = [all(LOWEST as i32); FOURS];
    for first in (0..per).step_by(AT_ONCE).rev() {
        // The symbols of four steps in each register, and their tables.
        let lines = |of: &dyn Fn(usize) -> *const u8| {
            // SAFETY: `first` and 63 more are below the length of a lane, and all lanes are within their group.
            turned(std::array::from_fn(|l| unsafe {
                _mm512_loadu_si512(of(l).add(l % LANES * per + first).cast())
            }))
        };
        let each: [_; FOURS] = std::array::from_fn(|i| {
            let symbols = lines(&|l| sides[i][l / LANES].symbols.as_ptr());
            let classes = lines(&|l| sides[i][l / LANES].classes.as_ptr());
            (symbols, classes.map(|four| _mm512_permutexvar_epi8(four, table_of)))
        });
        for row in (0..AT_ONCE / 4).rev() {
            for shift in [24, 16, 8, 0] {
                let shift = _mm_cvtsi32_si128(shift);
                for (i, (symbols, tables)) in each.iter().enumerate() {
                    let byte = |four| _mm512_and_si512(_mm512_srl_epi32(four, shift), all(0xff));
                    let table = _mm512_slli_epi32::<8>(byte(tables[row]));
                    let places = _mm512_or_si512(byte(symbols[row]), table);
                    // SAFETY: two words for each symbol are more than they can take, and tables are those of the model.
                    if !unsafe { step(model, places, &mut states[i], &mut sides[i]) } {
                        states[i] = step_by_step(model, places, states[i], &mut sides[i])?;
                    }
                }
            }
        }
    }
    for (sides, states) in sides.iter_mut().zip(states) {
        for (side, states) in sides.iter_mut().zip(numbers(states).as_chunks().0) {
            side.states = *states;
        }
    }
    Some(())
}

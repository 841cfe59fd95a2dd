//! The 16 states of a stream in two registers of 256 bits. The bytes are those of `generic::rans`.

use super::rans_avx512::four_slots;
use crate::generic::rans::Reader;
use crate::rans::{Group, LANES, LOWEST, PROBABILITY_BITS, TOTAL, Table, coded};
use std::arch::x86_64::*;

/// For a mask, how many bits are set below each one: which word a lane takes.
static RANKS: [[u8; 8]; 256] = {
    let mut ranks = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let mut bit = 1;
        while bit < 8 {
            ranks[mask][bit] = ranks[mask][bit - 1] + (mask >> (bit - 1) & 1) as u8;
            bit += 1;
        }
        mask += 1;
    }
    ranks
};

/// The entries of the slots of 8 states.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up(table: &Table, states: __m256i) -> __m256i {
    let slots = _mm256_and_si256(states, _mm256_set1_epi32(TOTAL as i32 - 1));
    // SAFETY: they have just been cut to 12 bits.
    let (low, high) = unsafe {
        (
            four_slots(table, _mm256_castsi256_si128(slots)),
            four_slots(table, _mm256_extracti128_si256::<1>(slots)),
        )
    };
    _mm256_set_m128i(high, low)
}

/// States after these entries; those that have become short take words below `from`, of which the new place is given.
///
/// # Safety
/// 16 bytes are readable from each place on that is as many words below `from` as lanes can take.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
unsafe fn advance(states: __m256i, entries: __m256i, from: *const u8) -> (__m256i, *const u8) {
    let f = _mm256_and_si256(_mm256_srli_epi32::<8>(entries), _mm256_set1_epi32(TOTAL as i32 - 1));
    let x = _mm256_mullo_epi32(f, _mm256_srli_epi32::<{ PROBABILITY_BITS as i32 }>(states));
    let x = _mm256_add_epi32(x, _mm256_srli_epi32::<20>(entries));
    const { assert!(LOWEST == 1 << 16) };
    let takes = _mm256_cmpeq_epi32(_mm256_srli_epi32::<16>(x), _mm256_setzero_si256());
    let mask = _mm256_movemask_ps(_mm256_castsi256_ps(takes)) as usize;
    // SAFETY: the caller's promise; a row of ranks has 8 bytes.
    unsafe {
        let from = from.sub(2 * mask.count_ones() as usize);
        let words = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
        let ranks = _mm256_cvtepu8_epi32(_mm_loadl_epi64(RANKS[mask & 255].as_ptr().cast()));
        let words = _mm256_permutevar8x32_epi32(words, ranks);
        let longer = _mm256_or_si256(_mm256_slli_epi32::<16>(x), words);
        (_mm256_blendv_epi8(x, longer, takes), from)
    }
}

/// Decodes groups, those of one size four or two side by side.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn decode(mut groups: &mut [Group<'_>]) -> Option<()> {
    while !groups.is_empty() {
        let same = groups.iter().take_while(|g| g.out.len() == groups[0].out.len()).count();
        let n = [1, 1, 2, 2, 4][same.min(4)];
        let (now, later) = groups.split_at_mut(n);
        groups = later;
        if now[0].out.is_empty() {
            now.iter().all(|g| g.stream.is_empty()).then_some(())?;
            continue;
        }
        let mut readers = [const { Reader { states: [0; LANES], left: 0 } }; 4];
        for (reader, g) in readers.iter_mut().zip(now.iter()) {
            *reader = Reader::begin(g.stream)?;
        }
        let done = match n {
            4 => four(now, &mut readers),
            2 => two(now, &mut readers),
            _ => one(now, &mut readers),
        };
        for (reader, g) in readers.into_iter().zip(now) {
            reader.finish(&g.table.table, g.stream, g.out, done)?;
        }
    }
    Some(())
}

macro_rules! side_by_side {
    ($name:ident, $($i:literal $x:ident $y:ident $p:ident $t:ident $o:ident),*) => {
        /// Decodes as far as no stream can run out of words or of elements; gives the number of elements.
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn $name(groups: &mut [Group<'_>], readers: &mut [Reader; 4]) -> usize {
            let steps = groups.iter().map(|g| coded(g.out.len())).min().unwrap_or(0) / LANES;
            let mut done = 0;
            let symbols = _mm256_set1_epi32(0xff);
            // In variables of their own, the states stay in registers.
            $(
                let states = readers[$i].states.as_ptr();
                // SAFETY: there are 16 states of 32 bits.
                let mut $x = unsafe { _mm256_loadu_si256(states.cast()) };
                // SAFETY: as above.
                let mut $y = unsafe { _mm256_loadu_si256(states.add(8).cast()) };
                // SAFETY: `left` is within the stream.
                let mut $p = unsafe { groups[$i].stream.as_ptr().add(2 * readers[$i].left) };
                let $t: &Table = &groups[$i].table.table;
                let $o = groups[$i].out.as_mut_ptr();
            )*
            loop {
                // A row takes at most 16 words.
                let mut rounds = steps - done / LANES;
                $(
                    rounds = rounds.min(($p as usize - groups[$i].stream.as_ptr() as usize) / (2 * LANES));
                )*
                if rounds == 0 {
                    break;
                }
                for _ in 0..rounds {
                    $(
                        let (low, high) = (look_up($t, $x), look_up($t, $y));
                        // SAFETY: `rounds` keeps `done` below the coded elements of every group, and leaves 16 words below each of the
                        // places in the streams, which have 64 bytes behind them from their beginning on.
                        unsafe {
                            // The last lane takes the last word.
                            ($y, $p) = advance($y, high, $p);
                            ($x, $p) = advance($x, low, $p);
                            let (low, high) = (_mm256_and_si256(low, symbols), _mm256_and_si256(high, symbols));
                            let halves = [low, high].map(|h| {
                                _mm_packus_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256::<1>(h))
                            });
                            _mm_storeu_si128($o.add(done).cast(), _mm_packus_epi16(halves[0], halves[1]));
                        }
                    )*
                    done += LANES;
                }
            }
            $(
                let states = readers[$i].states.as_mut_ptr();
                // SAFETY: there is room for 16 states of 32 bits.
                unsafe {
                    _mm256_storeu_si256(states.cast(), $x);
                    _mm256_storeu_si256(states.add(8).cast(), $y);
                }
                readers[$i].left = ($p as usize - groups[$i].stream.as_ptr() as usize) / 2;
            )*
            done
        }
    };
}

side_by_side!(four, 0 x0 y0 p0 t0 o0, 1 x1 y1 p1 t1 o1, 2 x2 y2 p2 t2 o2, 3 x3 y3 p3 t3 o3);
side_by_side!(two, 0 x0 y0 p0 t0 o0, 1 x1 y1 p1 t1 o1);
side_by_side!(one, 0 x0 y0 p0 t0 o0);

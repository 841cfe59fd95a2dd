//! Codes of few values, whose tables are registers: 32 states are looked up at once, those of two streams side by side. Upper and lower halves of states are
//! registers of their own, so that all arithmetic is on lanes of 16 bits. The bytes are those of `generic::rans`.

use crate::generic::rans::Reader;
use crate::memory::Soon;
use crate::rans::narrow::{BUCKET_BITS, MOST, MOST_STEPS, Narrow};
use crate::rans::{Group, LANES, PROBABILITY_BITS, TOTAL, coded};
use std::arch::asm;
use std::arch::x86_64::*;

/// Pairs of groups that are decoded side by side: with fewer of them, each waits for itself.
pub const PAIRS: usize = 4;

/// How many groups the kernels of this file decode together from the first one on: two by two they have one code, all have one size.
pub fn suited(groups: &[Group<'_>]) -> usize {
    let len = groups.first().map_or(0, |g| g.out.len());
    let is_pair = |pair: &&[Group<'_>; 2]| {
        let [a, b] = pair;
        std::ptr::eq(a.table, b.table) && a.table.narrow.is_some() && a.out.len() == len && b.out.len() == len
    };
    match groups.as_chunks::<2>().0.iter().take_while(is_pair).take(PAIRS).count() {
        PAIRS => 2 * PAIRS,
        // Two pairs gain nothing over four streams of other codes, unless the search is short.
        2 | 3
            if groups
                .iter()
                .take(4)
                .all(|g| g.table.narrow.as_ref().is_some_and(|n| n.steps <= 2 && !n.is_near)) =>
        {
            4
        }
        _ => 0,
    }
}

/// Decodes as many groups as [`suited`] gave, as far as no stream can run out of words or of elements; gives the number of elements.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
pub fn decode(groups: &mut [Group<'_>], readers: &mut [Reader], soon: &mut Soon) -> usize {
    let narrow = || groups.iter().filter_map(|g| g.table.narrow.as_deref());
    let steps = narrow().map(|n| n.steps).max().unwrap_or(MOST_STEPS);
    let half = narrow().all(|n| n.half);
    let is_near = narrow().any(|n| n.is_near);
    match (groups.len(), steps, half, is_near) {
        (4, ..=2, true, false) => two::<2, true, false>(groups, readers, soon),
        (4, ..=2, false, false) => two::<2, false, false>(groups, readers, soon),
        (8, ..=2, true, false) => four::<2, true, false>(groups, readers, soon),
        (8, ..=2, false, false) => four::<2, false, false>(groups, readers, soon),
        (8, 3, true, false) => four::<3, true, false>(groups, readers, soon),
        (8, 3, false, false) => four::<3, false, false>(groups, readers, soon),
        (8, _, true, false) => four::<MOST_STEPS, true, false>(groups, readers, soon),
        (8, _, false, false) => four::<MOST_STEPS, false, false>(groups, readers, soon),
        (8, ..=2, true, true) => four::<2, true, true>(groups, readers, soon),
        (8, ..=2, false, true) => four::<2, false, true>(groups, readers, soon),
        (8, 3, true, true) => four::<3, true, true>(groups, readers, soon),
        (8, 3, false, true) => four::<3, false, true>(groups, readers, soon),
        (8, _, true, true) => four::<MOST_STEPS, true, true>(groups, readers, soon),
        (8, _, false, true) => four::<MOST_STEPS, false, true>(groups, readers, soon),
        _ => 0,
    }
}

/// `table[index]` for 32 indices.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn look_up<const HALF: bool>(table: &[u16; MOST], index: __m512i) -> __m512i {
    let halves = table.as_chunks::<32>().0;
    // SAFETY: each half has 64 readable bytes.
    let load = |i: usize| unsafe { _mm512_loadu_si512(halves[i].as_ptr().cast()) };
    match HALF {
        true => _mm512_permutexvar_epi16(index, load(0)),
        false => _mm512_permutex2var_epi16(load(0), index, load(1)),
    }
}

/// The ranks of 32 slots.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn search<const STEPS: usize, const HALF: bool, const NEAR: bool>(
    narrow: &Narrow,
    slots: __m512i,
) -> __m512i {
    let look_up_byte = |table: &[u8; 128], index: __m512i| {
        let halves = table.as_chunks::<64>().0;
        // SAFETY: each half has 64 readable bytes.
        let load = |i: usize| unsafe { _mm512_loadu_si512(halves[i].as_ptr().cast()) };
        _mm512_permutex2var_epi8(load(0), index, load(1))
    };
    // The first entry, which the upper bytes look up, is 0.
    let mut rank = look_up_byte(&narrow.coarse, _mm512_srli_epi16::<BUCKET_BITS>(slots));
    for k in (0..STEPS).rev() {
        let reached = _mm512_cmpge_epu16_mask(slots, look_up::<HALF>(&narrow.ahead[k], rank));
        rank = _mm512_mask_add_epi16(rank, reached, rank, _mm512_set1_epi16(1 << k));
    }
    if NEAR {
        let near = _mm512_sub_epi16(slots, _mm512_set1_epi16(narrow.near_from as i16));
        let near = _mm512_min_epu16(near, _mm512_set1_epi16(narrow.near.len() as i16 - 1));
        rank = _mm512_max_epu8(rank, look_up_byte(&narrow.near, near));
    }
    rank
}

/// What steps need besides the states.
struct Constants {
    ones: __m512i,
    slot: __m512i,
    /// 16 words backwards.
    backwards: __m256i,
    /// The bytes of either stream backwards.
    symbols: __m256i,
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn constants() -> Constants {
    let backwards: [u16; LANES] = std::array::from_fn(|i| (LANES - 1 - i) as u16);
    let symbols: [u8; 2 * LANES] = std::array::from_fn(|i| (LANES - 1 - i % LANES) as u8);
    Constants {
        ones: _mm512_set1_epi16(-1),
        slot: _mm512_set1_epi16(TOTAL as i16 - 1),
        // SAFETY: the array has 32 readable bytes.
        backwards: unsafe { _mm256_loadu_si256(backwards.as_ptr().cast()) },
        // SAFETY: as above.
        symbols: unsafe { _mm256_loadu_si256(symbols.as_ptr().cast()) },
    }
}

/// States that have become short take the next words, of which the 16 before `ends` are looked at. Gives which did. Lanes are in reverse, as a stream is
/// read: of the words before its end the last one is the first lane's, so that it need not be known how many are taken before they are.
///
/// `low` is the sum of `addend` and another number, as far as 16 bits hold it, and the carry is not in `high` yet.
///
/// # Safety
/// 32 bytes are readable before each of the ends.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2")]
unsafe fn refill(
    c: &Constants,
    high: &mut __m512i,
    low: &mut __m512i,
    addend: __m512i,
    ends: [*const u8; 2],
) -> u32 {
    // SAFETY: the caller's promise.
    let words = ends.map(|end| unsafe { _mm256_loadu_si256(end.sub(2 * LANES).cast()) });
    let words = words.map(|words| _mm256_permutexvar_epi16(c.backwards, words));
    let takes: u32;
    // In assembly, as the compiler would take the masks through general registers, which takes longer than all of this.
    // SAFETY: these are instructions on registers alone, for which the function is compiled.
    unsafe {
        asm!(
            "vpcmpltuw {carry}, {low}, {addend}",
            "vpsubw {high}{{{carry}}}, {high}, {ones}",
            "vptestnmw {takes}, {high}, {high}",
            "kmovd {count:e}, {takes}",
            "kshiftrd {second}, {takes}, 16",
            "vpexpandw ymm30{{{takes}}}{{z}}, {words}",
            "vpexpandw ymm31{{{second}}}{{z}}, {other_words}",
            "vmovdqu16 {high}{{{takes}}}, {low}",
            "vinserti64x4 zmm30, zmm30, ymm31, 1",
            "vmovdqu16 {low}{{{takes}}}, zmm30",
            carry = out(kreg) _,
            takes = out(kreg) _,
            second = out(kreg) _,
            count = out(reg) takes,
            out("zmm30") _,
            out("zmm31") _,
            high = inout(zmm_reg) *high,
            low = inout(zmm_reg) *low,
            addend = in(zmm_reg) addend,
            ones = in(zmm_reg) c.ones,
            words = in(ymm_reg) words[0],
            other_words = in(ymm_reg) words[1],
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    takes
}

/// Upper and lower halves of the states of two streams, the lanes of each in reverse.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(readers: &[Reader]) -> [__m512i; 2] {
    let half = |shift: u32| {
        let lane = |i: usize| (readers[i / LANES].states[LANES - 1 - i % LANES] >> shift) as u16;
        let lanes: [u16; 2 * LANES] = std::array::from_fn(lane);
        // SAFETY: the array has 64 readable bytes.
        unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
    };
    [half(16), half(0)]
}

/// The converse.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store(high: __m512i, low: __m512i, readers: &mut [Reader]) {
    let mut halves = [[0u16; 2 * LANES]; 2];
    for (to, half) in halves.iter_mut().zip([high, low]) {
        // SAFETY: the array has room for 64 bytes.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), half) };
    }
    for (i, reader) in readers.iter_mut().enumerate() {
        for (l, state) in reader.states.iter_mut().enumerate() {
            let lane = i * LANES + LANES - 1 - l;
            *state = (halves[0][lane] as u32) << 16 | halves[1][lane] as u32;
        }
    }
}

macro_rules! side_by_side {
    ($name:ident, $($i:literal $high:ident $low:ident $p:ident $q:ident $t:ident $o:ident $r:ident),*) => {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
        fn $name<const STEPS: usize, const HALF: bool, const NEAR: bool>(
            groups: &mut [Group<'_>],
            readers: &mut [Reader],
            soon: &mut Soon,
        ) -> usize {
            let steps = groups.iter().map(|g| coded(g.out.len())).min().unwrap_or(0) / LANES;
            let mut done = 0;
            let c = constants();
            // In variables of their own, the state stays in registers.
            $(
                let Some($t) = groups[2 * $i].table.narrow.as_deref() else { return 0 };
                let [mut $high, mut $low] = load(&readers[2 * $i..2 * $i + 2]);
                // SAFETY: `left` is within the stream.
                let mut $p = unsafe { groups[2 * $i].stream.as_ptr().add(2 * readers[2 * $i].left) };
                // SAFETY: as above.
                let mut $q = unsafe { groups[2 * $i + 1].stream.as_ptr().add(2 * readers[2 * $i + 1].left) };
                let ($o, $r) = (groups[2 * $i].out.as_mut_ptr(), groups[2 * $i + 1].out.as_mut_ptr());
            )*
            loop {
                // A row takes at most 16 words.
                let mut rounds = steps - done / LANES;
                $(
                    rounds = rounds.min(($p as usize - groups[2 * $i].stream.as_ptr() as usize) / (2 * LANES));
                    rounds = rounds.min(($q as usize - groups[2 * $i + 1].stream.as_ptr() as usize) / (2 * LANES));
                )*
                if rounds == 0 {
                    break;
                }
                for _ in 0..rounds {
                    $(
                        let slots = _mm512_and_si512($low, c.slot);
                        let rank = search::<STEPS, HALF, NEAR>($t, slots);
                        // f · (x >> 12) + place, of which f · (x >> 16) · 16 alone may take more than 16 bits: all else adds up to at most
                        // 15 · 4095 + 4094.
                        let f = look_up::<HALF>(&$t.frequency, rank);
                        let places = _mm512_sub_epi16(slots, look_up::<HALF>(&$t.start, rank));
                        let addend = _mm512_mulhi_epu16(f, _mm512_andnot_si512(c.slot, $low));
                        let addend = _mm512_add_epi16(addend, places);
                        $low = _mm512_add_epi16(_mm512_mullo_epi16(f, $high), addend);
                        $high = _mm512_mulhi_epu16(f, $high);
                        // SAFETY: `rounds` keeps `done` below the coded elements of every group, and leaves 16 words below each of the
                        // places in the streams.
                        unsafe {
                            let takes = refill(&c, &mut $high, &mut $low, addend, [$p, $q]);
                            $p = $p.sub(2 * (takes as u16).count_ones() as usize);
                            $q = $q.sub(2 * (takes >> 16).count_ones() as usize);
                            let ranks = _mm512_cvtepi16_epi8(rank);
                            let halves = [0, 32].map(|at| _mm256_loadu_si256($t.symbol.as_ptr().add(at).cast()));
                            let symbols = match HALF {
                                true => _mm256_permutexvar_epi8(ranks, halves[0]),
                                false => _mm256_permutex2var_epi8(halves[0], ranks, halves[1]),
                            };
                            let symbols = _mm256_shuffle_epi8(symbols, c.symbols);
                            _mm_storeu_si128($o.add(done).cast(), _mm256_castsi256_si128(symbols));
                            _mm_storeu_si128($r.add(done).cast(), _mm256_extracti128_si256::<1>(symbols));
                        }
                    )*
                    soon.ask();
                    done += LANES;
                }
            }
            $(
                store($high, $low, &mut readers[2 * $i..2 * $i + 2]);
                readers[2 * $i].left = ($p as usize - groups[2 * $i].stream.as_ptr() as usize) / 2;
                readers[2 * $i + 1].left = ($q as usize - groups[2 * $i + 1].stream.as_ptr() as usize) / 2;
            )*
            done
        }
    };
}

side_by_side!(four, 0 h0 l0 p0 q0 t0 o0 r0, 1 h1 l1 p1 q1 t1 o1 r1, 2 h2 l2 p2 q2 t2 o2 r2, 3 h3 l3 p3 q3 t3 o3 r3);
side_by_side!(two, 0 h0 l0 p0 q0 t0 o0 r0, 1 h1 l1 p1 q1 t1 o1 r1);

const _: () = assert!(PROBABILITY_BITS == 12);

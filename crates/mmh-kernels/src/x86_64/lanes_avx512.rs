//! Lanes in registers of 512 bits: 32 lanes of 16 bits are one register, and the look-ups of two streams share the bytes of another.
//! The bytes are those of `generic::lanes`.

use super::bytes_avx512::{Table, look_up, registers};
use crate::lanes::{BEGINNING, Decoder, Group, LANES};
use crate::memory::Soon;
use std::arch::x86_64::*;

/// Where the mask is set `a`, else `b`.
#[inline]
#[target_feature(enable = "avx512f")]
fn select(mask: __m512i, a: __m512i, b: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xca>(mask, a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn low_bytes() -> __m512i {
    _mm512_set1_epi16(0xff)
}

/// What steps need besides the lanes.
#[derive(Clone, Copy)]
struct Constants {
    value: Table,
    bits: Table,
    above: Table,
    /// Byte i of the rest to both bytes of lane i.
    twice: __m512i,
    /// Even bytes before odd ones.
    apart: __m512i,
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn constants(table: &Decoder) -> Constants {
    let twice: [u8; 64] = std::array::from_fn(|i| (i / 2) as u8);
    let apart: [u8; 64] = std::array::from_fn(|i| (2 * (i % 32) + i / 32) as u8);
    Constants {
        value: registers(&table.value),
        bits: registers(&table.bits),
        above: registers(&table.above),
        // SAFETY: the array has 64 readable bytes.
        twice: unsafe { _mm512_loadu_si512(twice.as_ptr().cast()) },
        // SAFETY: as above.
        apart: unsafe { _mm512_loadu_si512(apart.as_ptr().cast()) },
    }
}

/// A stream at work: states, windows and missing bits of its lanes, each in the low byte or all of 16 bits; the bytes that are left, the
/// elements that are done.
#[derive(Clone, Copy)]
struct Lanes {
    state: __m512i,
    window: __m512i,
    short: __m512i,
    left: usize,
    done: usize,
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn begin(stream: &[u8]) -> Option<Lanes> {
        let left = stream.len().checked_sub(BEGINNING)?;
        let beginning: &[u8; BEGINNING] = stream[left..].first_chunk()?;
        let (mut short, mut window) = ([0u8; LANES], [0u8; LANES]);
        for ((short, window), &marked) in short.iter_mut().zip(&mut window).zip(beginning) {
            if marked == 0 {
                return None;
            }
            *short = 1 + marked.trailing_zeros() as u8;
            *window = marked & (marked - 1);
        }
        // SAFETY: 32 bytes each.
        let load = |from: *const u8| unsafe { _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.cast())) };
        Some(Lanes {
            state: load(beginning[LANES..].as_ptr()),
            window: _mm512_slli_epi16::<8>(load(window.as_ptr())),
            short: load(short.as_ptr()),
            left,
            done: 0,
        })
    }
}

/// Lanes for which the next state takes `bits` bits take bytes. Gives how many were taken, and the sums before.
///
/// # Safety
/// 32 bytes are readable from each place on that is as many bytes below `end` as lanes can take.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
unsafe fn refill(window: &mut __m512i, short: &mut __m512i, bits: __m512i, end: *const u8) -> usize {
    let sum = _mm512_add_epi8(*short, bits);
    // High bytes are zero: the mask has bits for low bytes alone, and the bytes expand to lanes of 16 bits.
    let takes = _mm512_cmpgt_epi8_mask(sum, _mm512_set1_epi16(8));
    let taken = takes.count_ones() as usize;
    // SAFETY: the caller's promise.
    let bytes = unsafe { _mm256_loadu_si256(end.sub(taken).cast()) };
    let bytes = _mm512_maskz_expand_epi8(takes, _mm512_castsi256_si512(bytes));
    *window = _mm512_or_si512(*window, _mm512_sllv_epi16(bytes, *short));
    *short = _mm512_mask_sub_epi8(sum, takes, sum, _mm512_set1_epi16(8));
    taken
}

/// Joins 32 exponents, each in its lane of 16 bits at its place, with 32 rests.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn bf16(c: &Constants, exponents: __m512i, rests: __m256i) -> __m512i {
    let rests = _mm512_permutexvar_epi8(c.twice, _mm512_castsi256_si512(rests));
    // The sign from the high copy of the rest, the mantissa from the low one.
    select(_mm512_set1_epi16(0x7f80), exponents, rests)
}

/// How far ahead of their use bytes are asked for.
const AHEAD: usize = 512;

/// Steps after which the symbols of a piece are handed on.
const PIECE: usize = 32;

/// What takes symbols while they are new: the group, the first element, the symbols.
pub type Take<'f> = &'f mut dyn FnMut(usize, usize, &mut [u8]);

/// Decodes groups; those of one size four or two side by side, where each two have one table. `take` gets their symbols, where it is asked for,
/// and makes of them what is `soon` written, two bytes a symbol: if it met that memory all at once, everything else that is not in the first
/// cache would have to wait for it. Of what is needed `after` that a part is asked for with
/// each row of the groups.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
pub fn decode<const MERGE: bool>(
    groups: &mut [Group<'_>],
    mut take: Option<Take<'_>>,
    soon: &[*const u8],
    after: &mut Soon,
) -> Option<()> {
    let mut groups = groups;
    let mut first = 0;
    while !groups.is_empty() {
        let same = groups.iter().take_while(|g| g.out.len() == groups[0].out.len()).count();
        let alike = |i: usize| i + 1 < same && std::ptr::eq(groups[i].table, groups[i + 1].table);
        let n = match (alike(0), alike(2)) {
            (true, true) => 4,
            (true, false) => 2,
            _ => 1,
        };
        let (now, later) = groups.split_at_mut(n);
        groups = later;
        if now[0].out.is_empty() {
            now.iter().all(|g| g.stream.is_empty()).then_some(())?;
            continue;
        }
        let zero = _mm512_setzero_si512();
        let mut lanes = [Lanes { state: zero, window: zero, short: zero, left: 0, done: 0 }; 4];
        for (l, g) in lanes.iter_mut().zip(now.iter()) {
            *l = Lanes::begin(g.stream)?;
        }
        let c = [constants(now[0].table), constants(now[n - 1].table)];
        match n {
            4 => four::<MERGE>(&c, now, &mut lanes, first, &mut take, soon, after),
            2 => two::<MERGE>(&c, now, &mut lanes, first, &mut take, soon, after),
            _ => {}
        }
        for (i, (l, g)) in lanes.into_iter().zip(now).enumerate() {
            let done = l.done;
            finish::<MERGE>(&c[i / 2], l, g)?;
            if let Some(take) = &mut take {
                take(first + i, done, &mut g.out[done..]);
            }
        }
        first += n;
    }
    Some(())
}

/// Elements of a group.
#[inline(always)]
fn elements<const MERGE: bool>(g: &Group<'_>) -> usize {
    if MERGE { g.rest.len() } else { g.out.len() }
}

macro_rules! side_by_side {
    ($name:ident, $n:literal, $($c:ident $i:literal $a:literal $b:literal $x:ident $wa:ident $ma:ident $pa:ident $wb:ident $mb:ident $pb:ident),*) => {
        /// Decodes as far as no stream can run out of bytes or of elements.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
        fn $name<const MERGE: bool>(
            c: &[Constants; 2],
            groups: &mut [Group<'_>],
            lanes: &mut [Lanes; 4],
            first: usize,
            take: &mut Option<Take<'_>>,
            soon: &[*const u8],
            after: &mut Soon,
        ) {
            // The last two steps, of which one may be short and one has no next state, are left to `finish`.
            let steps = (groups.iter().map(elements::<MERGE>).min().unwrap_or(0) / LANES).saturating_sub(2);
            let mut done = 0;
            let low = low_bytes();
            // In variables of their own, the state stays in registers. The states of two streams are the bytes of one.
            $(
                let $c = &c[$i];
                let mut $x = select(low, lanes[$a].state, _mm512_slli_epi16::<8>(lanes[$b].state));
                let (mut $wa, mut $ma) = (lanes[$a].window, lanes[$a].short);
                let (mut $wb, mut $mb) = (lanes[$b].window, lanes[$b].short);
                // SAFETY: `left` is within the stream.
                let mut $pa = unsafe { groups[$a].stream.as_ptr().add(lanes[$a].left) };
                // SAFETY: as above.
                let mut $pb = unsafe { groups[$b].stream.as_ptr().add(lanes[$b].left) };
            )*
            let rests: [*const u8; $n] = std::array::from_fn(|i| groups[i].rest.as_ptr());
            let outs: [*mut u8; $n] = std::array::from_fn(|i| groups[i].out.as_mut_ptr());
            let soon: [*const u8; $n] = std::array::from_fn(|i| soon.get(first + i).copied().unwrap_or(outs[i]));
            loop {
                // A refill takes at most 32 bytes.
                let mut rounds = steps - done / LANES;
                $(
                    rounds = rounds.min(($pa as usize - groups[$a].stream.as_ptr() as usize) / LANES);
                    rounds = rounds.min(($pb as usize - groups[$b].stream.as_ptr() as usize) / LANES);
                )*
                if rounds == 0 {
                    break;
                }
                if take.is_some() {
                    rounds = rounds.min(PIECE);
                }
                // Symbols that are handed on stand at the same place each time, which stays in the first cache.
                let before = if take.is_some() { done } else { 0 };
                for _ in 0..rounds {
                    $(
                        let high = _mm512_movepi8_mask($x);
                        let values = look_up(&$c.value, $x, high);
                        let bits = look_up(&$c.bits, $x, high);
                        let above = look_up(&$c.above, $x, high);
                        let (na, nb) = (_mm512_and_si512(bits, low), _mm512_srli_epi16::<8>(bits));
                        // SAFETY: `rounds` keeps `done` below the elements of every group less 32, and leaves 32 bytes below each
                        // of the places in the streams, which have 64 bytes behind them from their beginning on. A prefetch reads
                        // nothing.
                        unsafe {
                            $pa = $pa.sub(refill(&mut $wa, &mut $ma, na, $pa));
                            $pb = $pb.sub(refill(&mut $wb, &mut $mb, nb, $pb));
                            // The hardware does not see so many streams coming, least of all those that run backwards.
                            _mm_prefetch::<_MM_HINT_T0>($pa.wrapping_sub(AHEAD).cast());
                            _mm_prefetch::<_MM_HINT_T0>($pb.wrapping_sub(AHEAD).cast());
                            if MERGE {
                                _mm_prefetch::<_MM_HINT_T0>(rests[$a].wrapping_add(done + AHEAD).cast());
                                _mm_prefetch::<_MM_HINT_T0>(rests[$b].wrapping_add(done + AHEAD).cast());
                                let ra = _mm256_loadu_si256(rests[$a].add(done).cast());
                                let rb = _mm256_loadu_si256(rests[$b].add(done).cast());
                                let ea = bf16($c, _mm512_slli_epi16::<7>(values), ra);
                                let eb = bf16($c, _mm512_srli_epi16::<1>(values), rb);
                                _mm512_storeu_si512(outs[$a].add(2 * done).cast(), ea);
                                _mm512_storeu_si512(outs[$b].add(2 * done).cast(), eb);
                            } else {
                                _mm_prefetch::<_MM_HINT_T0>(soon[$a].wrapping_add(2 * done).cast());
                                _mm_prefetch::<_MM_HINT_T0>(soon[$b].wrapping_add(2 * done).cast());
                                let apart = _mm512_permutexvar_epi8($c.apart, values);
                                let vb = _mm512_extracti64x4_epi64::<1>(apart);
                                let at = done - before;
                                _mm256_storeu_si256(outs[$a].add(at).cast(), _mm512_castsi512_si256(apart));
                                _mm256_storeu_si256(outs[$b].add(at).cast(), vb);
                            }
                        }
                        // Above and window side by side, shifted left: the next state is in the low byte.
                        let sa = _mm512_shldv_epi16(above, $wa, na);
                        let sb = _mm512_shldv_epi16(_mm512_srli_epi16::<8>(above), $wb, nb);
                        $x = select(low, sa, _mm512_slli_epi16::<8>(sb));
                        $wa = _mm512_sllv_epi16($wa, na);
                        $wb = _mm512_sllv_epi16($wb, nb);
                    )*
                    if !MERGE {
                        after.ask();
                    }
                    done += LANES;
                }
                if let Some(take) = take {
                    for (i, out) in outs.iter().enumerate() {
                        // SAFETY: these elements have just been written, and nobody else refers to them now.
                        let piece = unsafe { std::slice::from_raw_parts_mut(*out, done - before) };
                        take(first + i, before, piece);
                    }
                }
            }
            $(
                let (sa, sb) = (_mm512_and_si512($x, low), _mm512_srli_epi16::<8>($x));
                let left = $pa as usize - groups[$a].stream.as_ptr() as usize;
                lanes[$a] = Lanes { state: sa, window: $wa, short: $ma, left, done };
                let left = $pb as usize - groups[$b].stream.as_ptr() as usize;
                lanes[$b] = Lanes { state: sb, window: $wb, short: $mb, left, done };
            )*
        }
    };
}

side_by_side!(four, 4, c0 0 0 1 x0 w0 m0 p0 w1 m1 p1, c1 1 2 3 x1 w2 m2 p2 w3 m3 p3);
side_by_side!(two, 2, c0 0 0 1 x0 w0 m0 p0 w1 m1 p1);

/// Decodes what is left of one stream, and checks its end.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
fn finish<const MERGE: bool>(c: &Constants, mut l: Lanes, g: &mut Group<'_>) -> Option<()> {
    let count = elements::<MERGE>(g);
    let eight = _mm512_set1_epi16(8);
    while l.done < count {
        let now = (count - l.done).min(LANES);
        let present = u32::MAX >> (LANES - now);
        let high = _mm512_movepi8_mask(l.state);
        let values = look_up(&c.value, l.state, high);
        // SAFETY: the masks leave out what lies beyond the elements.
        unsafe {
            if MERGE {
                let rests = _mm256_maskz_loadu_epi8(present, g.rest.as_ptr().add(l.done).cast());
                let elements = bf16(c, _mm512_slli_epi16::<7>(values), rests);
                _mm512_mask_storeu_epi16(g.out.as_mut_ptr().add(2 * l.done).cast(), present, elements);
            } else {
                let values = _mm512_cvtepi16_epi8(values);
                _mm256_mask_storeu_epi8(g.out.as_mut_ptr().add(l.done).cast(), present, values);
            }
        }
        l.done += now;
        let next = (count - l.done).min(LANES);
        if next == 0 {
            break;
        }
        let next = u32::MAX >> (LANES - next);
        let bits = _mm512_and_si512(look_up(&c.bits, l.state, high), low_bytes());
        let bits = _mm512_maskz_mov_epi16(next, bits);
        let above = look_up(&c.above, l.state, high);
        let taken = _mm512_cmpgt_epi8_mask(_mm512_add_epi8(l.short, bits), eight).count_ones() as usize;
        l.left = l.left.checked_sub(taken)?;
        // SAFETY: `left` is within the stream, and at least 64 bytes lie behind it.
        unsafe { refill(&mut l.window, &mut l.short, bits, g.stream.as_ptr().add(l.left + taken)) };
        let state = _mm512_and_si512(_mm512_shldv_epi16(above, l.window, bits), low_bytes());
        l.state = _mm512_mask_mov_epi16(l.state, next, state);
        l.window = _mm512_sllv_epi16(l.window, bits);
    }
    let empty =
        _mm512_test_epi16_mask(l.window, l.window) == 0 && _mm512_cmpneq_epi16_mask(l.short, eight) == 0;
    (l.left == 0 && empty).then_some(())
}

//! Lanes in registers of 512 bits: 32 lanes of 16 bits are one register, and the look-ups of two streams share the bytes of another.
//! The bytes are those of `generic::lanes`.

use super::bytes_avx512::{EVEN, Table, look_up, registers, select};
use crate::lanes::{BEGINNING, Decoder, Group, LANES, STATES};
use crate::memory::Soon;
use std::arch::asm;
use std::arch::x86_64::*;

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
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn constants(table: &Decoder) -> Constants {
    Constants { value: registers(&table.value), bits: registers(&table.bits), above: registers(&table.above) }
}

/// Byte i of 32 to both bytes of lane i; even bytes before odd ones.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn orders() -> (__m512i, __m512i) {
    let twice: [u8; 64] = std::array::from_fn(|i| (i / 2) as u8);
    let apart: [u8; 64] = std::array::from_fn(|i| (2 * (i % 32) + i / 32) as u8);
    // SAFETY: the arrays have 64 readable bytes.
    unsafe { (_mm512_loadu_si512(twice.as_ptr().cast()), _mm512_loadu_si512(apart.as_ptr().cast())) }
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

/// The first and third quarter of each table in registers; the others are met in memory, as there are not enough.
#[derive(Clone, Copy)]
struct Quarters<'a> {
    table: &'a Decoder,
    value: [__m512i; 2],
    bits: [__m512i; 2],
    above: [__m512i; 2],
}

impl Quarters<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn of(table: &Decoder) -> Quarters<'_> {
        let halves = |t: &[u8; STATES]| {
            let all = registers(t);
            [all[0], all[2]]
        };
        Quarters {
            table,
            value: halves(&table.value),
            bits: halves(&table.bits),
            above: halves(&table.above),
        }
    }
}

/// Two streams at work side by side: the first one has the low bytes of lanes of 16 bits, the second one the high bytes.
#[derive(Clone, Copy)]
struct Two {
    state: __m512i,
    /// Bits that are missing from a byte; of the second stream less 8.
    short: __m512i,
    window: [__m512i; 2],
    /// Where the bytes that are left end.
    end: [*const u8; 2],
}

/// A lane takes a byte where it is short of more bits than so many, those for the next state included: 8 of the first stream, 0 of the second, which
/// counts 8 less.
const ENOUGH: i16 = 8;

impl Two {
    /// Two streams side by side.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn begin(lanes: [&Lanes; 2], groups: [&Group<'_>; 2]) -> Two {
        let low = low_bytes();
        let [a, b] = lanes;
        let less = _mm512_sub_epi16(b.short, _mm512_set1_epi16(8));
        Two {
            state: select(low, a.state, _mm512_slli_epi16::<8>(b.state)),
            short: select(low, a.short, _mm512_slli_epi16::<8>(less)),
            window: [a.window, b.window],
            // SAFETY: `left` is within the stream.
            end: [0, 1].map(|i| unsafe { groups[i].stream.as_ptr().add(lanes[i].left) }),
        }
    }

    /// Each for itself again, after so many elements.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn leave(self, groups: [&Group<'_>; 2], done: usize) -> [Lanes; 2] {
        let bytes = |of| [_mm512_and_si512(of, low_bytes()), _mm512_srli_epi16::<8>(of)];
        let (state, short) =
            (bytes(self.state), bytes(_mm512_add_epi8(self.short, _mm512_set1_epi16(8 << 8))));
        [0, 1].map(|i| {
            let left = self.end[i] as usize - groups[i].stream.as_ptr() as usize;
            Lanes { state: state[i], window: self.window[i], short: short[i], left, done }
        })
    }

    /// Goes to the next states, and gives the values of those before.
    ///
    /// In assembly: the compiler compares every shift with 16, which it cannot know to be needless, and has registers change places for a
    /// fourth of the time. Counts of `vpshldvw` are taken modulo 16, so that what is above them need not be masked off; and what stays in
    /// its place where a mask is not set saves the blending of two look-ups, where nothing waits for them: one has to come after the other then.
    ///
    /// # Safety
    /// 32 bytes are readable below each of the ends.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,popcnt")]
    unsafe fn step(&mut self, q: &Quarters<'_>) -> __m512i {
        let (values, state): (__m512i, __m512i);
        let (_bits, _s, _t): (__m512i, __m512i, __m512i);
        let [mut window_a, mut window_b] = self.window;
        let [mut end_a, mut end_b] = self.end;
        let mut short = self.short;
        // SAFETY: the instructions are of the features that are enabled; of memory they read the tables, and the 32 bytes below the new ends, which are at
        // most 32 bytes below those before.
        unsafe {
            asm!(
                "vpmovb2m {high}, {x}",
                "knotq {not}, {high}",
                // How many bits the next states take, and the bytes that lanes are short of for them.
                "vmovdqa64 {bits}, {x}",
                "vpermi2b {bits}, {b2}, [{table} + {bits_at} + 192]",
                "vmovdqa64 {t}, {x}",
                "vpermi2b {t}, {b0}, [{table} + {bits_at} + 64]",
                "vmovdqu8 {bits}{{{not}}}, {t}",
                "vmovdqa64 {above}, {x}",
                "vpermi2b {above}{{{high}}}, {a2}, [{table} + {above_at} + 192]",
                "vpermi2b {above}{{{not}}}, {a0}, [{table} + {above_at} + 64]",
                "vpaddb {s}, {m}, {bits}",
                "vpcmpgtb {takes}, {s}, {enough}",
                "vpermi2b {x}{{{high}}}, {v2}, [{table} + {value_at} + 192]",
                "vpermi2b {x}{{{not}}}, {v0}, [{table} + {value_at} + 64]",
                "vpsrlw {t}, {m}, 8",
                "kmovq {of_b}, {takes}",
                "kandq {high}, {takes}, {even}",
                "kandnq {not}, {even}, {takes}",
                "mov {of_a}, {of_b}",
                "and {of_a}, {even_bits}",
                "popcnt {of_b}, {of_b}",
                "popcnt {of_a}, {of_a}",
                "sub {of_b}, {of_a}",
                "sub {pa}, {of_a}",
                "sub {pb}, {of_b}",
                "vmovdqu ymm0, ymmword ptr [{pa}]",
                "vpexpandb zmm0{{{high}}}{{z}}, zmm0",
                "vpandq {m}, {m}, {low}",
                "vpsllvw zmm0, zmm0, {m}",
                "vporq {wa}, {wa}, zmm0",
                "vmovdqu ymm0, ymmword ptr [{pb}]",
                "vpexpandb zmm0{{{not}}}{{z}}, zmm0",
                "vpshldvw zmm0, zmm0, {t}",
                "vporq {wb}, {wb}, zmm0",
                "vmovdqa64 {m}, {s}",
                "vpsubb {m}{{{takes}}}, {m}, {eight}",
                // Both side by side, shifted left: the next state is in the low byte.
                "vpsrlw {t}, {bits}, 8",
                "vpsrlw {s}, {above}, 8",
                "vpshldvw {s}, {wb}, {t}",
                "vpshldvw {above}, {wa}, {bits}",
                "vpxor xmm0, xmm0, xmm0",
                "vpsllw {s}, {s}, 8",
                "vpternlogd {above}, {s}, {low}, 0xe4",
                "vpshldvw {wa}, zmm0, {bits}",
                "vpsllvw {wb}, {wb}, {t}",
                x = inout(zmm_reg) self.state => values,
                m = inout(zmm_reg) short,
                wa = inout(zmm_reg) window_a,
                wb = inout(zmm_reg) window_b,
                pa = inout(reg) end_a,
                pb = inout(reg) end_b,
                out("zmm0") _,
                bits = out(zmm_reg) _bits,
                above = out(zmm_reg) state,
                s = out(zmm_reg) _s,
                t = out(zmm_reg) _t,
                high = out(kreg) _,
                not = out(kreg) _,
                takes = out(kreg) _,
                of_a = out(reg) _,
                of_b = out(reg) _,
                table = in(reg) q.table,
                even = in(kreg) EVEN,
                even_bits = in(reg) EVEN,
                low = in(zmm_reg) low_bytes(),
                enough = in(zmm_reg) _mm512_set1_epi16(ENOUGH),
                eight = in(zmm_reg) _mm512_set1_epi8(8),
                v0 = in(zmm_reg) q.value[0],
                v2 = in(zmm_reg) q.value[1],
                b0 = in(zmm_reg) q.bits[0],
                b2 = in(zmm_reg) q.bits[1],
                a0 = in(zmm_reg) q.above[0],
                a2 = in(zmm_reg) q.above[1],
                value_at = const std::mem::offset_of!(Decoder, value),
                bits_at = const std::mem::offset_of!(Decoder, bits),
                above_at = const std::mem::offset_of!(Decoder, above),
                options(readonly, nostack),
            );
        }
        (self.state, self.short) = (state, short);
        (self.window, self.end) = ([window_a, window_b], [end_a, end_b]);
        values
    }
}

/// Joins 32 exponents, each in its lane of 16 bits at its place, with 32 rests.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn bf16(twice: __m512i, exponents: __m512i, rests: __m256i) -> __m512i {
    let rests = _mm512_permutexvar_epi8(twice, _mm512_castsi256_si512(rests));
    // The sign from the high copy of the rest, the mantissa from the low one.
    select(_mm512_set1_epi16(0x7f80), exponents, rests)
}

/// How far ahead of their use bytes are asked for.
const AHEAD: usize = 512;

/// Steps after which the symbols of a piece are handed on.
const PIECE: usize = 128;

/// What takes symbols while they are new: the group, the first element, the symbols.
pub type Take<'f> = &'f mut dyn FnMut(usize, usize, &mut [u8]);

/// Decodes groups; those of one size eight, four or two side by side, where each two have one table. `take` gets their symbols, where it is asked for,
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
        let pairs = [0, 2, 4, 6].into_iter().take_while(|i| alike(*i)).count();
        // Eight places of elements, each of a power of two apart, would share few places of the first cache.
        let n = [1, 2, 4, 4, if MERGE { 4 } else { 8 }][pairs];
        let of_one_code = (1..n).step_by(2).all(|i| i + 1 >= n || alike(i));
        let (now, later) = groups.split_at_mut(n);
        groups = later;
        if now[0].out.is_empty() {
            now.iter().all(|g| g.stream.is_empty()).then_some(())?;
            continue;
        }
        let zero = _mm512_setzero_si512();
        let mut lanes = [Lanes { state: zero, window: zero, short: zero, left: 0, done: 0 }; MOST];
        for (l, g) in lanes.iter_mut().zip(now.iter()) {
            *l = Lanes::begin(g.stream)?;
        }
        let run = match n {
            8 if of_one_code => eight_alike::<MERGE>,
            8 => eight::<MERGE>,
            4 if of_one_code => four_alike::<MERGE>,
            4 => four::<MERGE>,
            2 => two::<MERGE>,
            _ => none,
        };
        run(now, &mut lanes, first, &mut take, soon, after);
        for (i, (l, g)) in lanes.into_iter().zip(now).enumerate() {
            let done = l.done;
            finish::<MERGE>(&constants(g.table), l, g)?;
            if let Some(take) = &mut take {
                take(first + i, done, &mut g.out[done..]);
            }
        }
        first += n;
    }
    Some(())
}

/// Groups side by side at most.
const MOST: usize = 8;

/// Elements of a group.
#[inline(always)]
fn elements<const MERGE: bool>(g: &Group<'_>) -> usize {
    if MERGE { g.rest.len() } else { g.out.len() }
}

macro_rules! side_by_side {
    ($name:ident, $n:literal, $($c:ident $i:literal),*; $($two:ident $of:ident $a:literal $b:literal),*) => {
        /// Decodes as far as no stream can run out of bytes or of elements.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
        fn $name<const MERGE: bool>(
            groups: &mut [Group<'_>],
            lanes: &mut [Lanes; MOST],
            first: usize,
            take: &mut Option<Take<'_>>,
            soon: &[*const u8],
            after: &mut Soon,
        ) {
            // The last two steps, of which one may be short and one has no next state, are left to `finish`.
            let steps = (groups.iter().map(elements::<MERGE>).min().unwrap_or(0) / LANES).saturating_sub(2);
            let mut done = 0;
            let (twice, apart) = orders();
            // In variables of their own, the state stays in registers.
            $(let $c = Quarters::of(groups[$i].table);)*
            $(
                let mut $two = Two::begin([&lanes[$a], &lanes[$b]], [&groups[$a], &groups[$b]]);
            )*
            let rests: [*const u8; $n] = std::array::from_fn(|i| groups[i].rest.as_ptr());
            let outs: [*mut u8; $n] = std::array::from_fn(|i| groups[i].out.as_mut_ptr());
            let soon: [*const u8; $n] = std::array::from_fn(|i| soon.get(first + i).copied().unwrap_or(outs[i]));
            loop {
                // A refill takes at most 32 bytes.
                let mut rounds = steps - done / LANES;
                $(
                    for (i, end) in [$a, $b].into_iter().zip($two.end) {
                        rounds = rounds.min((end as usize - groups[i].stream.as_ptr() as usize) / LANES);
                    }
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
                        // SAFETY: `rounds` keeps `done` below the elements of every group less 32, and leaves 32 bytes below each
                        // of the places in the streams, which have 64 bytes behind them from their beginning on. A prefetch reads
                        // nothing.
                        unsafe {
                            let values = $two.step(&$of);
                            // The hardware does not see so many streams coming, least of all those that run backwards.
                            _mm_prefetch::<_MM_HINT_T0>($two.end[0].wrapping_sub(AHEAD).cast());
                            _mm_prefetch::<_MM_HINT_T0>($two.end[1].wrapping_sub(AHEAD).cast());
                            if MERGE {
                                _mm_prefetch::<_MM_HINT_T0>(rests[$a].wrapping_add(done + AHEAD).cast());
                                _mm_prefetch::<_MM_HINT_T0>(rests[$b].wrapping_add(done + AHEAD).cast());
                                let ra = _mm256_loadu_si256(rests[$a].add(done).cast());
                                let rb = _mm256_loadu_si256(rests[$b].add(done).cast());
                                let ea = bf16(twice, _mm512_slli_epi16::<7>(values), ra);
                                let eb = bf16(twice, _mm512_srli_epi16::<1>(values), rb);
                                _mm512_storeu_si512(outs[$a].add(2 * done).cast(), ea);
                                _mm512_storeu_si512(outs[$b].add(2 * done).cast(), eb);
                            } else {
                                _mm_prefetch::<_MM_HINT_T0>(soon[$a].wrapping_add(2 * done).cast());
                                _mm_prefetch::<_MM_HINT_T0>(soon[$b].wrapping_add(2 * done).cast());
                                let apart = _mm512_permutexvar_epi8(apart, values);
                                let vb = _mm512_extracti64x4_epi64::<1>(apart);
                                let at = done - before;
                                _mm256_storeu_si256(outs[$a].add(at).cast(), _mm512_castsi512_si256(apart));
                                _mm256_storeu_si256(outs[$b].add(at).cast(), vb);
                            }
                        }
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
                [lanes[$a], lanes[$b]] = $two.leave([&groups[$a], &groups[$b]], done);
            )*
        }
    };
}

side_by_side!(eight, 8, c0 0, c1 2, c2 4, c3 6; w c0 0 1, x c1 2 3, y c2 4 5, z c3 6 7);
// Of one code, of whose tables as much as there is room for then stays in registers.
side_by_side!(eight_alike, 8, c0 0; w c0 0 1, x c0 2 3, y c0 4 5, z c0 6 7);
side_by_side!(four, 4, c0 0, c1 2; x c0 0 1, y c1 2 3);
side_by_side!(four_alike, 4, c0 0; x c0 0 1, y c0 2 3);
side_by_side!(two, 2, c0 0; x c0 0 1);

/// A group alone is left to `finish`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
fn none(
    _: &mut [Group<'_>],
    _: &mut [Lanes; MOST],
    _: usize,
    _: &mut Option<Take<'_>>,
    _: &[*const u8],
    _: &mut Soon,
) {
}

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
                let elements = bf16(orders().0, _mm512_slli_epi16::<7>(values), rests);
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

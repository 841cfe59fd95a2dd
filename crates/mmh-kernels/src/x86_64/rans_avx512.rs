//! The 16 states of a stream in one register of 512 bits. The bytes are those of `generic::rans`.

use super::{bytes_avx512, rans_narrow_avx512};
use crate::generic::rans::{Reader, Writer, find_missing};
use crate::lanes::{PAIRS, Pair};
use crate::memory::Soon;
use crate::rans::{Encoder, Group, LANES, LOWEST, MISSING, PROBABILITY_BITS, TOTAL, Table, coded};
use std::arch::x86_64::*;

/// `table[slot]` for 4 slots.
///
/// # Safety
/// They are slots: below 4096.
#[inline]
#[target_feature(enable = "sse4.1")]
pub unsafe fn four_slots(table: &Table, slots: __m128i) -> __m128i {
    let (low, high) = (_mm_cvtsi128_si64(slots) as u64, _mm_extract_epi64::<1>(slots) as u64);
    // SAFETY: the caller's promise.
    let at = |slot: u64| unsafe { *table.get_unchecked(slot as usize) as i32 };
    _mm_setr_epi32(at(low as u32 as u64), at(low >> 32), at(high as u32 as u64), at(high >> 32))
}

/// `table[x mod 4096]` for 16 states: through general registers, which takes less time than the gather instruction does on the CPU that this
/// was measured on.
#[inline]
#[target_feature(enable = "avx512f")]
fn look_up(table: &Table, states: __m512i) -> __m512i {
    let slots = _mm512_and_si512(states, _mm512_set1_epi32(TOTAL as i32 - 1));
    // SAFETY: they have just been cut to 12 bits.
    let [a, b, c, d] = unsafe {
        [
            four_slots(table, _mm512_castsi512_si128(slots)),
            four_slots(table, _mm512_extracti32x4_epi32::<1>(slots)),
            four_slots(table, _mm512_extracti32x4_epi32::<2>(slots)),
            four_slots(table, _mm512_extracti32x4_epi32::<3>(slots)),
        ]
    };
    let (low, high) = (_mm256_set_m128i(b, a), _mm256_set_m128i(d, c));
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

/// Decodes groups, those of one size side by side: eight or four with codes of few values, of others four or two. Asks for a part of `soon` with each row of them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
pub fn decode(mut groups: &mut [Group<'_>], soon: &mut Soon) -> Option<()> {
    while !groups.is_empty() {
        let same = groups.iter().take_while(|g| g.out.len() == groups[0].out.len()).count();
        let suited = rans_narrow_avx512::suited(groups);
        let n = if suited > 0 { suited } else { [1, 1, 2, 2, 4][same.min(4)] };
        let (now, later) = groups.split_at_mut(n);
        groups = later;
        if now[0].out.is_empty() {
            now.iter().all(|g| g.stream.is_empty()).then_some(())?;
            continue;
        }
        let mut readers = [const { Reader { states: [0; LANES], left: 0 } }; 2 * rans_narrow_avx512::PAIRS];
        for (reader, g) in readers.iter_mut().zip(now.iter()) {
            *reader = Reader::begin(g.stream)?;
        }
        let done = match n {
            _ if suited > 0 => rans_narrow_avx512::decode(now, &mut readers[..n], soon),
            4 => four(now, &mut readers, soon),
            2 => two(now, &mut readers, soon),
            _ => one(now, &mut readers, soon),
        };
        for (reader, g) in readers.into_iter().zip(now) {
            reader.finish(&g.table.table, g.stream, g.out, done)?;
        }
    }
    Some(())
}

macro_rules! side_by_side {
    ($name:ident, $($i:literal $x:ident $p:ident $t:ident $o:ident),*) => {
        /// Decodes as far as no stream can run out of words or of elements; gives the number of elements.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
        fn $name(groups: &mut [Group<'_>], readers: &mut [Reader], soon: &mut Soon) -> usize {
            let steps = groups.iter().map(|g| coded(g.out.len())).min().unwrap_or(0) / LANES;
            let mut done = 0;
            let low = _mm512_set1_epi32(TOTAL as i32 - 1);
            let lowest = _mm512_set1_epi32(LOWEST as i32);
            // In variables of their own, the state stays in registers.
            $(
                // SAFETY: there are 16 states of 32 bits.
                let mut $x = unsafe { _mm512_loadu_si512(readers[$i].states.as_ptr().cast()) };
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
                        let entries = look_up($t, $x);
                        let f = _mm512_and_si512(_mm512_srli_epi32::<8>(entries), low);
                        let x = _mm512_mullo_epi32(f, _mm512_srli_epi32::<PROBABILITY_BITS>($x));
                        let x = _mm512_add_epi32(x, _mm512_srli_epi32::<20>(entries));
                        let takes = _mm512_cmplt_epu32_mask(x, lowest);
                        // SAFETY: `rounds` keeps `done` below the coded elements of every group, and leaves 16 words below each of the
                        // places in the streams, which have 64 bytes behind them from their beginning on.
                        unsafe {
                            $p = $p.sub(2 * takes.count_ones() as usize);
                            let words = _mm512_cvtepu16_epi32(_mm256_loadu_si256($p.cast()));
                            let words = _mm512_maskz_expand_epi32(takes, words);
                            $x = _mm512_or_si512(_mm512_mask_slli_epi32::<16>(x, takes, x), words);
                            _mm_storeu_si128($o.add(done).cast(), _mm512_cvtepi32_epi8(entries));
                        }
                    )*
                    soon.ask();
                    done += LANES;
                }
            }
            $(
                // SAFETY: there is room for 16 states of 32 bits.
                unsafe { _mm512_storeu_si512(readers[$i].states.as_mut_ptr().cast(), $x) };
                readers[$i].left = ($p as usize - groups[$i].stream.as_ptr() as usize) / 2;
            )*
            done
        }
    };
}

side_by_side!(four, 0 x0 p0 t0 o0, 1 x1 p1 t1 o1, 2 x2 p2 t2 o2, 3 x3 p3 t3 o3);
side_by_side!(two, 0 x0 p0 t0 o0, 1 x1 p1 t1 o1);
side_by_side!(one, 0 x0 p0 t0 o0);

/// Rows that are looked up at once.
const ROWS: usize = 4;

/// [`crate::rans::Encoder::places`] in registers.
struct Tables {
    bytes: [bytes_avx512::Table; 4],
    first: __m512i,
}

impl Tables {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn new(e: &Encoder) -> Tables {
        Tables {
            bytes: e.places.bytes.each_ref().map(|bytes| bytes_avx512::registers(bytes)),
            first: _mm512_set1_epi8(e.places.first as i8),
        }
    }
}

/// Frequency and first slot << 16 of the symbols of four rows, and which of them have none, in no order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up_rows<const REGISTERS: usize>(
    tables: &Tables,
    order: __m512i,
    rows: &[u8; ROWS * LANES],
) -> ([__m512i; ROWS], __mmask64) {
    // SAFETY: 64 bytes are readable; the load asks for no alignment.
    let symbols = unsafe { _mm512_loadu_si512(rows.as_ptr().cast()) };
    // Such that what is interleaved below comes out row by row.
    let symbols = _mm512_permutexvar_epi8(order, symbols);
    let symbols = bytes_avx512::places::<REGISTERS>(symbols, tables.first);
    let high = if REGISTERS == 4 { _mm512_movepi8_mask(symbols) } else { 0 };
    let [low_f, high_f, low_s, high_s] = [
        bytes_avx512::look_up_in::<REGISTERS>(&tables.bytes[0], symbols, high),
        bytes_avx512::look_up_in::<REGISTERS>(&tables.bytes[1], symbols, high),
        bytes_avx512::look_up_in::<REGISTERS>(&tables.bytes[2], symbols, high),
        bytes_avx512::look_up_in::<REGISTERS>(&tables.bytes[3], symbols, high),
    ];
    let missing = _mm512_movepi8_mask(high_f);
    let high_f = _mm512_and_si512(high_f, _mm512_set1_epi8(!MISSING as i8));
    let (fa, fb) = (_mm512_unpacklo_epi8(low_f, high_f), _mm512_unpackhi_epi8(low_f, high_f));
    let (sa, sb) = (_mm512_unpacklo_epi8(low_s, high_s), _mm512_unpackhi_epi8(low_s, high_s));
    let rows = [
        _mm512_unpacklo_epi16(fa, sa),
        _mm512_unpackhi_epi16(fa, sa),
        _mm512_unpacklo_epi16(fb, sb),
        _mm512_unpackhi_epi16(fb, sb),
    ];
    (rows, missing)
}

/// The byte at `4 · (row) + 16 · (lane / 4) + lane mod 4` is the symbol of this row and lane.
fn order() -> [u8; ROWS * LANES] {
    std::array::from_fn(|i| (i % 16 / 4 * LANES + i / 16 * 4 + i % 4) as u8)
}

/// States `x`, from which all due words have been taken, after symbols of frequencies `f` whose first slots are `start`.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn next(x: __m512i, f: __m512i, start: __m512i) -> __m512i {
    const TOWARDS_ZERO: i32 = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
    // The quotient is below 2^20. Rounded towards zero in each step, it is exact, or one too small where it is close to the next.
    let quotient = _mm512_div_round_ps::<TOWARDS_ZERO>(
        _mm512_cvt_roundepu32_ps::<TOWARDS_ZERO>(x),
        _mm512_cvt_roundepu32_ps::<TOWARDS_ZERO>(f),
    );
    let quotient = _mm512_cvttps_epu32(quotient);
    let rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(quotient, f));
    let more = _mm512_cmpge_epu32_mask(rest, f);
    let x = _mm512_add_epi32(_mm512_slli_epi32::<PROBABILITY_BITS>(quotient), _mm512_add_epi32(rest, start));
    // One more in the quotient is f less in the rest.
    _mm512_mask_add_epi32(x, more, x, _mm512_sub_epi32(_mm512_set1_epi32(TOTAL as i32), f))
}

/// States after symbols of these frequencies and first slots; appends words to `to` and gives where it ends.
///
/// # Safety
/// 32 bytes are writable from `to` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
unsafe fn put(states: &mut __m512i, entries: __m512i, to: *mut u8) -> *mut u8 {
    let f = _mm512_and_si512(entries, _mm512_set1_epi32(0xffff));
    let start = _mm512_srli_epi32::<16>(entries);
    let x = *states;
    let due = _mm512_cmpge_epu32_mask(_mm512_srli_epi32::<{ 32 - PROBABILITY_BITS }>(x), f);
    let words = _mm256_maskz_compress_epi16(due, _mm512_cvtepi32_epi16(x));
    // SAFETY: the caller's promise.
    unsafe { _mm256_storeu_si256(to.cast(), words) };
    let x = _mm512_mask_srli_epi32::<16>(x, due, x);
    *states = next(x, f, start);
    // SAFETY: at most 16 words are due.
    unsafe { to.add(2 * due.count_ones() as usize) }
}

/// Encodes the groups of two pairs side by side; each of `out` has [`crate::rans::room`]. Gives the sizes of the streams.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
pub fn encode(
    pairs: [Pair<'_, Encoder>; PAIRS],
    misses: &mut Vec<u32>,
    out: [[&mut [u8]; 2]; PAIRS],
) -> [[usize; 2]; PAIRS] {
    match pairs[0].table.places.quarters.max(pairs[1].table.places.quarters) {
        1 => encode_in::<1>(pairs, misses, out),
        2 => encode_in::<2>(pairs, misses, out),
        _ => encode_in::<4>(pairs, misses, out),
    }
}

/// The same with tables in so many registers.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
fn encode_in<const REGISTERS: usize>(
    pairs: [Pair<'_, Encoder>; PAIRS],
    misses: &mut Vec<u32>,
    out: [[&mut [u8]; 2]; PAIRS],
) -> [[usize; 2]; PAIRS] {
    let tables = [Tables::new(pairs[0].table), Tables::new(pairs[1].table)];
    let order = order();
    // SAFETY: the array has 64 readable bytes.
    let order = unsafe { _mm512_loadu_si512(order.as_ptr().cast()) };
    let [one, other] = pairs;
    let [[out_a, out_b], [out_c, out_d]] = out;
    let mut a = Stream::begin(one.table, one.groups[0], one.first[0], misses, out_a);
    let mut b = Stream::begin(one.table, one.groups[1], one.first[1], misses, out_b);
    let mut c = Stream::begin(other.table, other.groups[0], other.first[0], misses, out_c);
    let mut d = Stream::begin(other.table, other.groups[1], other.first[1], misses, out_d);
    macro_rules! encode {
        ($($pair:literal $s:ident $x:ident $to:ident),*) => {
            let rounds = usize::MAX$( .min($s.quads.len()) )*;
            // In variables of their own, the state stays in registers.
            $(
                // SAFETY: there are 16 states of 32 bits.
                let mut $x = unsafe { _mm512_loadu_si512($s.writer.states.as_ptr().cast()) };
                // SAFETY: `at` is within the output.
                let mut $to = unsafe { $s.out.as_mut_ptr().add($s.writer.at) };
            )*
            for _ in 0..rounds {
                $(
                    let Some((quad, rest)) = $s.quads.split_last() else { break };
                    let (rows, missing) = look_up_rows::<REGISTERS>(&tables[$pair], order, quad);
                    $s.quads = rest;
                    if missing != 0 {
                        find_missing(pairs[$pair].table, quad, $s.next(), misses);
                    }
                    let $s = rows;
                )*
                for r in (0..ROWS).rev() {
                    // SAFETY: there is room for a word of each symbol, and for 32 bytes behind them.
                    $( $to = unsafe { put(&mut $x, $s[r], $to) }; )*
                }
            }
            $(
                // SAFETY: there is room for 16 states of 32 bits.
                unsafe { _mm512_storeu_si512($s.writer.states.as_mut_ptr().cast(), $x) };
                $s.writer.at = $to as usize - $s.out.as_ptr() as usize;
            )*
        };
    }
    // What one waits for, the others have time for.
    encode!(0 a xa ta, 0 b xb tb, 1 c xc tc, 1 d xd td);
    encode!(0 a xa ta, 0 b xb tb);
    encode!(1 c xc tc, 1 d xd td);
    encode!(0 a xa ta);
    encode!(0 b xb tb);
    encode!(1 c xc tc);
    encode!(1 d xd td);
    [[a.end(), b.end()], [c.end(), d.end()]]
}

/// A stream that is being written, and the rows that are left, four by four.
struct Stream<'a> {
    writer: Writer,
    quads: &'a [[u8; ROWS * LANES]],
    first: u32,
    symbols: usize,
    out: &'a mut [u8],
}

impl<'a> Stream<'a> {
    /// Writes the rows that do not make up four.
    fn begin(
        table: &Encoder,
        symbols: &'a [u8],
        first: u32,
        misses: &mut Vec<u32>,
        out: &'a mut [u8],
    ) -> Stream<'a> {
        let mut writer = Writer::begin(table, symbols, first, misses, out);
        let rows = symbols[..coded(symbols.len())].as_chunks::<LANES>().0;
        let (quads, left) = rows.as_flattened().as_chunks();
        let left = left.as_chunks().0;
        writer.rows(table, left, first + (quads.len() * ROWS * LANES) as u32, misses, out);
        Stream { writer, quads, first, symbols: symbols.len(), out }
    }

    /// The position of the first element behind the rows that are left.
    fn next(&self) -> u32 {
        self.first + (self.quads.len() * ROWS * LANES) as u32
    }

    fn end(self) -> usize {
        if self.symbols == 0 { 0 } else { self.writer.end(self.out) }
    }
}

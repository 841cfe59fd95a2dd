//! The encoder of lanes in registers of 512 bits. The symbols of two streams share the bytes of a register: the first one's are the low bytes of
//! lanes of 16 bits. The bytes are those of `generic::lanes`, which also takes the rows in which lanes are missing.

use super::bytes_avx512::{EVEN, Table, look_up_in, places, registers, select};
use crate::generic::lanes::{Writer, whole_rows};
use crate::lanes::{Encoder, LANES, PAIRS, Pair};
use std::arch::asm;
use std::arch::x86_64::*;

/// [`crate::lanes::Encoder::places`] in registers.
struct Tables {
    bits: Table,
    threshold: Table,
    offset: Table,
    states: Table,
    first: __m512i,
}

impl Tables {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn new(e: &Encoder) -> Tables {
        Tables {
            bits: registers(&e.places.bits),
            threshold: registers(&e.places.threshold),
            offset: registers(&e.places.offset),
            states: registers(&e.states),
            first: _mm512_set1_epi8(e.places.first as i8),
        }
    }
}

/// Where rows come from, and where their rests go.
#[derive(Clone, Copy)]
struct Rows {
    source: *const u8,
    rests: *mut u8,
}

/// A stream at work: the states of its lanes, from 256 on, shifted up by the bits that wait, which stand below; the number of these; where
/// bytes go.
#[derive(Clone, Copy)]
struct Lanes {
    lane: __m512i,
    count: __m512i,
    at: *mut u8,
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn new(w: &Writer, out: &mut [u8]) -> Lanes {
        // SAFETY: 32 bytes each.
        let load =
            |from: &[u8; LANES]| unsafe { _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.as_ptr().cast())) };
        let (state, count) = (_mm512_or_si512(load(&w.state), _mm512_set1_epi16(256)), load(&w.count));
        let lane = _mm512_or_si512(_mm512_sllv_epi16(state, count), load(&w.held));
        Lanes { lane, count, at: out[w.at..].as_mut_ptr() }
    }

    /// Back to where `generic::lanes` can end it.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn leave(self, w: &mut Writer, out: &[u8]) {
        let state = _mm512_srlv_epi16(self.lane, self.count);
        let held = _mm512_xor_si512(self.lane, _mm512_sllv_epi16(state, self.count));
        for (to, from) in [(&mut w.state, state), (&mut w.held, held), (&mut w.count, self.count)] {
            // SAFETY: 32 bytes each.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtepi16_epi8(from)) };
        }
        w.at = self.at as usize - out.as_ptr() as usize;
    }
}

/// Two streams at work, whose states and counts share the bytes of registers: the first one's are the low bytes of lanes of 16 bits.
struct Two {
    lanes: [__m512i; 2],
    count: __m512i,
    x: __m512i,
    at: [*mut u8; 2],
}

impl Two {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn new([a, b]: [Lanes; 2]) -> Two {
        let low = _mm512_set1_epi16(0xff);
        let count = select(low, a.count, _mm512_slli_epi16::<8>(b.count));
        let (xa, xb) = (_mm512_srlv_epi16(a.lane, a.count), _mm512_srlv_epi16(b.lane, b.count));
        let x = select(low, xa, _mm512_slli_epi16::<8>(xb));
        Two { lanes: [a.lane, b.lane], count, x, at: [a.at, b.at] }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn leave(self) -> [Lanes; 2] {
        let count =
            [_mm512_and_si512(self.count, _mm512_set1_epi16(0xff)), _mm512_srli_epi16::<8>(self.count)];
        std::array::from_fn(|i| Lanes { lane: self.lanes[i], count: count[i], at: self.at[i] })
    }

    /// Encodes row `r` and tells which symbols have no code: bit 2 l + i is lane l of stream i. Only the streams that are `PRESENT`, bit i for
    /// stream i, write what counts.
    ///
    /// # Safety
    /// The row is readable at both sources and, if elements are bf16, writable at both places of rests; at each place of bytes 32 are writable.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
    unsafe fn step<const REGISTERS: usize, const BF16: bool, const PRESENT: u8>(
        &mut self,
        t: &Tables,
        of: &[Rows; 2],
        r: usize,
    ) -> u64 {
        let apart: [u8; 64] = std::array::from_fn(|i| (2 * (i % 32) + i / 32) as u8);
        // SAFETY: the array has 64 readable bytes.
        let apart = unsafe { _mm512_loadu_si512(apart.as_ptr().cast()) };
        let low = _mm512_set1_epi16(0xff);
        // SAFETY: the caller's promise.
        let symbols = unsafe {
            if BF16 {
                let xa = _mm512_loadu_si512(of[0].source.add(2 * LANES * r).cast());
                let xb = _mm512_loadu_si512(of[1].source.add(2 * LANES * r).cast());
                let ra = select(_mm512_set1_epi16(0x80), _mm512_srli_epi16::<8>(xa), xa);
                let rb = select(_mm512_set1_epi16(0x80 << 8), xb, _mm512_slli_epi16::<8>(xb));
                let rests = _mm512_permutexvar_epi8(apart, select(low, ra, rb));
                _mm256_storeu_si256(of[0].rests.add(LANES * r).cast(), _mm512_castsi512_si256(rests));
                let upper = _mm512_extracti64x4_epi64::<1>(rests);
                _mm256_storeu_si256(of[1].rests.add(LANES * r).cast(), upper);
                select(low, _mm512_srli_epi16::<7>(xa), _mm512_slli_epi16::<1>(xb))
            } else {
                let sa = _mm512_cvtepu8_epi16(_mm256_loadu_si256(of[0].source.add(LANES * r).cast()));
                let sb = _mm512_cvtepu8_epi16(_mm256_loadu_si256(of[1].source.add(LANES * r).cast()));
                _mm512_or_si512(sa, _mm512_slli_epi16::<8>(sb))
            }
        };
        // What is outside of the tables has no code, and neither has their last value.
        let symbols = places::<REGISTERS>(symbols, t.first);
        let high = if REGISTERS == 4 { _mm512_movepi8_mask(symbols) } else { 0 };
        let bits = look_up_in::<REGISTERS>(&t.bits, symbols, high);
        let threshold = look_up_in::<REGISTERS>(&t.threshold, symbols, high);
        let offset = look_up_in::<REGISTERS>(&t.offset, symbols, high);
        let before = self.at;
        // SAFETY: the caller's promise.
        let missing = unsafe { self.put(t, bits, threshold, offset) };
        for (i, at) in before.into_iter().enumerate() {
            if PRESENT >> i & 1 == 0 {
                self.at[i] = at;
            }
        }
        missing
    }

    /// Goes to the next states, of which symbols say how many bits they take, below which threshold one less, and where they are. Gives which of them
    /// have no code, as their `bits` tell.
    ///
    /// In assembly, as [`super::lanes_avx512`] says. Counts of `vpshldvw` and `vpshrdvw` are taken modulo 16.
    ///
    /// # Safety
    /// At each place of bytes 32 are writable.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
    unsafe fn put(&mut self, t: &Tables, bits: __m512i, threshold: __m512i, offset: __m512i) -> u64 {
        let missing: u64;
        let (_sum, _b): (__m512i, __m512i);
        let [mut lane_a, mut lane_b] = self.lanes;
        let [mut at_a, mut at_b] = self.at;
        let (mut count, mut x) = (self.count, self.x);
        // SAFETY: the instructions are of the features that are enabled; of memory they read the table of states, and write 32 bytes at each of
        // the places.
        unsafe {
            asm!(
                // One bit less where the state is below its threshold.
                "vpcmpub {k}, {x}, {threshold}, 1",
                "vpaddb {sum}, {count}, {bits}",
                "vpsubb {sum}{{{k}}}, {sum}, {one}",
                "vpmovb2m {k}, {bits}",
                "kmovq {missing}, {k}",
                "vptestmb {k}, {sum}, {eight}",
                "vpandq {count}, {sum}, {seven}",
                "vpsrlw {b}, {sum}, 8",
                // Bytes of lanes that have eight bits.
                "kmovq {of_b}, {k}",
                "kandq {l}, {k}, {even}",
                "kshiftrq {k}, {k}, 1",
                "kandq {k}, {k}, {even}",
                "vpcompressb zmm1{{{l}}}{{z}}, {la}",
                "vpcompressb zmm2{{{k}}}{{z}}, {lb}",
                "vmovdqu ymmword ptr [{pa}], ymm1",
                "vmovdqu ymmword ptr [{pb}], ymm2",
                "mov {of_a}, {of_b}",
                "and {of_a}, {even_bits}",
                "popcnt {of_b}, {of_b}",
                "popcnt {of_a}, {of_a}",
                "sub {of_b}, {of_a}",
                "add {pa}, {of_a}",
                "add {pb}, {of_b}",
                // States without what they give up, and the next ones.
                "vpxord zmm0, zmm0, zmm0",
                "vmovdqa64 zmm1, {la}",
                "vpshrdvw zmm1, zmm0, {sum}",
                "vmovdqa64 zmm2, {lb}",
                "vpshrdvw zmm2, zmm0, {b}",
                "vpsllw zmm2, zmm2, 8",
                "vpternlogd zmm1, zmm2, {low}, 0xe4",
                "vpaddb zmm1, zmm1, {offset}",
                "vpmovb2m {k}, zmm1",
                "vmovdqa64 {x}, [{states}]",
                "vpermt2b {x}, zmm1, [{states} + 64]",
                "vmovdqa64 zmm2, [{states} + 128]",
                "vpermt2b zmm2, zmm1, [{states} + 192]",
                "vmovdqu8 {x}{{{k}}}, zmm2",
                // The new states above the bits that wait. These come to the top of their lanes first, behind those that were written.
                "vpsubb {sum}, zmm0, {sum}",
                "vpshldvw {la}, zmm0, {sum}",
                "vpsrlw {sum}, {sum}, 8",
                "vpshldvw {lb}, zmm0, {sum}",
                "vpsrlw {b}, {count}, 8",
                "vmovdqa64 zmm1, {top}",
                "vpternlogd zmm1, {x}, {low}, 0xf8",
                "vpshldvw zmm1, {la}, {count}",
                "vmovdqa64 {la}, zmm1",
                "vpsrlw zmm2, {x}, 8",
                "vporq zmm2, zmm2, {top}",
                "vpshldvw zmm2, {lb}, {b}",
                "vmovdqa64 {lb}, zmm2",
                x = inout(zmm_reg) x,
                count = inout(zmm_reg) count,
                la = inout(zmm_reg) lane_a,
                lb = inout(zmm_reg) lane_b,
                pa = inout(reg) at_a,
                pb = inout(reg) at_b,
                bits = in(zmm_reg) bits,
                threshold = in(zmm_reg) threshold,
                offset = in(zmm_reg) offset,
                out("zmm0") _,
                sum = out(zmm_reg) _sum,
                b = out(zmm_reg) _b,
                out("zmm1") _,
                out("zmm2") _,
                k = out(kreg) _,
                l = out(kreg) _,
                missing = out(reg) missing,
                of_a = out(reg) _,
                of_b = out(reg) _,
                states = in(reg) &t.states,
                even = in(kreg) EVEN,
                even_bits = in(reg) EVEN,
                one = in(zmm_reg) _mm512_set1_epi8(1),
                seven = in(zmm_reg) _mm512_set1_epi8(7),
                eight = in(zmm_reg) _mm512_set1_epi8(8),
                low = in(zmm_reg) _mm512_set1_epi16(0xff),
                top = in(zmm_reg) _mm512_set1_epi16(256),
                options(nostack),
            );
        }
        (self.lanes, self.at, self.count, self.x) = ([lane_a, lane_b], [at_a, at_b], count, x);
        missing
    }
}

/// Encodes a range of rows of two streams, the last one first, all with 32 lanes that go on in the next row. Which symbols have no code goes to
/// `missing`, a word for each row, as [`Two::step`] tells.
///
/// # Safety
/// All of the rows are readable at both sources and, if elements are bf16, writable at both places of rests; at each place of bytes 32 more
/// are writable than there are elements in the rows of a stream that is present, and 32 at that of another one, which keeps its place.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
unsafe fn rows<const REGISTERS: usize, const BF16: bool, const PRESENT: u8>(
    t: &Tables,
    of: [Rows; 2],
    range: std::ops::Range<usize>,
    lanes: [Lanes; 2],
    missing: &mut [u64],
) -> [Lanes; 2] {
    let present = [0, EVEN, !EVEN, u64::MAX][PRESENT as usize & 3];
    let mut pair = Two::new(lanes);
    for (r, missing) in range.clone().zip(&mut missing[range]).rev() {
        // SAFETY: the caller's promise.
        *missing = unsafe { pair.step::<REGISTERS, BF16, PRESENT>(t, &of, r) } & present;
    }
    pair.leave()
}

/// The same for the first rows of four streams: what one pair of them waits for, the other has time for.
///
/// # Safety
/// As for `rows`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
unsafe fn rows_of_four<const REGISTERS: usize, const BF16: bool>(
    t: [&Tables; 2],
    of: [[Rows; 2]; 2],
    lanes: [[Lanes; 2]; 2],
    missing: [&mut [u64]; 2],
) -> [[Lanes; 2]; 2] {
    let [mut one, mut other] = [Two::new(lanes[0]), Two::new(lanes[1])];
    let [of_one, of_other] = missing;
    for (r, (a, b)) in of_one.iter_mut().zip(of_other).enumerate().rev() {
        // SAFETY: the caller's promise.
        unsafe {
            *a = one.step::<REGISTERS, BF16, 3>(t[0], &of[0], r);
            *b = other.step::<REGISTERS, BF16, 3>(t[1], &of[1], r);
        }
    }
    [one.leave(), other.leave()]
}

/// Symbols of the elements that are no whole rows: fewer than two rows.
fn tail<const BF16: bool>(source: &[u8], rests: &mut [u8], symbols: &mut [u8; 2 * LANES]) -> usize {
    if !BF16 {
        symbols[..source.len()].copy_from_slice(source);
        return source.len();
    }
    for ((element, symbol), rest) in source.as_chunks().0.iter().zip(&mut *symbols).zip(rests) {
        let x = u16::from_le_bytes(*element);
        (*symbol, *rest) = ((x >> 7) as u8, (x & 0x7f | x >> 8 & 0x80) as u8);
    }
    source.len() / 2
}

/// Appends the positions of a stream's symbols without a code, in order: those of its `bits` in the words of the rows. Which rows have any is not to be
/// foreseen, so there is no branch on it.
#[target_feature(enable = "avx512f,popcnt")]
fn list_missing(missing: &[u64], bits: u64, first: u32, misses: &mut Vec<u32>) {
    const AT_ONCE: usize = 64;
    for (i, some) in missing.chunks(AT_ONCE).enumerate() {
        // Room for eight behind the last one.
        let (mut rows, mut places, mut n) = ([0u64; AT_ONCE + 8], [0u64; AT_ONCE + 8], 0);
        let mut place = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
        for eight in some.chunks(8) {
            let here = u8::MAX >> (8 - eight.len());
            // SAFETY: the mask leaves out what is not there, and at most as many words are written as were read before, and eight more.
            unsafe {
                let row = _mm512_maskz_loadu_epi64(here, eight.as_ptr().cast());
                let row = _mm512_and_si512(row, _mm512_set1_epi64(bits as i64));
                let any = _mm512_test_epi64_mask(row, row);
                _mm512_storeu_si512(rows.as_mut_ptr().add(n).cast(), _mm512_maskz_compress_epi64(any, row));
                _mm512_storeu_si512(
                    places.as_mut_ptr().add(n).cast(),
                    _mm512_maskz_compress_epi64(any, place),
                );
                n += any.count_ones() as usize;
            }
            place = _mm512_add_epi64(place, _mm512_set1_epi64(8));
        }
        for (row, place) in rows[..n].iter().zip(&places) {
            let first = first + ((i * AT_ONCE + *place as usize) * LANES) as u32;
            let mut row = *row;
            loop {
                misses.push(first + row.trailing_zeros() / 2);
                row &= row - 1;
                if row == 0 {
                    break;
                }
            }
        }
    }
}

/// Two streams from their last rows, which are encoded already, on.
struct Task<'a> {
    tables: Tables,
    quarters: usize,
    of: [Rows; 2],
    /// Rows of each that are whole and followed by such rows.
    whole: [usize; 2],
    writers: [Writer; 2],
    lanes: [Lanes; 2],
    elements: [usize; 2],
    first: [u32; 2],
    out: [&'a mut [u8]; 2],
}

impl<'a> Task<'a> {
    /// Encodes the elements that are no whole rows. All groups have room for their streams and rests.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn begin<const BF16: bool>(
        pair: &Pair<'_, Encoder>,
        mut rests: [&mut [u8]; 2],
        misses: &mut Vec<u32>,
        mut out: [&'a mut [u8]; 2],
    ) -> Task<'a> {
        let &Pair { table, groups, first } = pair;
        let size = 1 + BF16 as usize;
        let elements = groups.map(|g| g.len() / size);
        let whole = elements.map(whole_rows);
        let writers: [Writer; 2] = std::array::from_fn(|i| {
            let from = whole[i] * LANES;
            let mut symbols = [0; 2 * LANES];
            let last = if BF16 { &mut rests[i][from..] } else { &mut [][..] };
            let n = tail::<BF16>(&groups[i][size * from..size * elements[i]], last, &mut symbols);
            Writer::begin(table, &symbols[..n], first[i] + from as u32, misses, out[i])
        });
        let lanes = [Lanes::new(&writers[0], out[0]), Lanes::new(&writers[1], out[1])];
        let of = std::array::from_fn(|i| Rows { source: groups[i].as_ptr(), rests: rests[i].as_mut_ptr() });
        let (tables, quarters) = (Tables::new(table), table.places.quarters);
        Task { tables, quarters, of, whole, writers, lanes, elements, first, out }
    }

    /// Encodes the rows from `to` on.
    ///
    /// # Safety
    /// The rests of [`Task::begin`] are still there, and nobody else looks at them.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
    unsafe fn down_to<const BF16: bool>(&mut self, to: usize, missing: &mut [u64]) {
        let [a, b] = self.whole;
        let both = a.min(b).max(to);
        // The rows that one of them has more than the other, in the company of themselves.
        let more = (b > a) as usize;
        if self.whole[more] > both {
            let run = match (self.quarters, more) {
                (1, 0) => rows::<1, BF16, 1>,
                (1, _) => rows::<1, BF16, 2>,
                (2, 0) => rows::<2, BF16, 1>,
                (2, _) => rows::<2, BF16, 2>,
                (_, 0) => rows::<4, BF16, 1>,
                _ => rows::<4, BF16, 2>,
            };
            let range = both..self.whole[more];
            // SAFETY: the rows are within the group, and `out` has room for a byte of each element and 64 more.
            let done = unsafe { run(&self.tables, [self.of[more]; 2], range, self.lanes, missing) };
            self.lanes[more] = done[more];
        }
        let run = match self.quarters {
            1 => rows::<1, BF16, 3>,
            2 => rows::<2, BF16, 3>,
            _ => rows::<4, BF16, 3>,
        };
        // SAFETY: as above, for both.
        self.lanes = unsafe { run(&self.tables, self.of, to..both, self.lanes, missing) };
    }

    /// The sizes of the streams. Positions of symbols without a code are appended to `misses`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,popcnt")]
    fn end(self, missing: &[u64], misses: &mut Vec<u32>) -> [usize; 2] {
        for (bits, first) in [EVEN, !EVEN].into_iter().zip(self.first) {
            list_missing(missing, bits, first, misses);
        }
        let mut sizes = [0; 2];
        for (i, mut writer) in self.writers.into_iter().enumerate().filter(|(i, _)| self.elements[*i] > 0) {
            self.lanes[i].leave(&mut writer, self.out[i]);
            sizes[i] = writer.end(self.out[i]);
        }
        sizes
    }
}

/// Encodes pairs of groups side by side: bytes, or the exponents of elements of bf16, whose rests go to `rests`. Gives the sizes of the
/// streams. `missing` is memory to reuse.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
pub fn encode<const BF16: bool>(
    pairs: [Pair<'_, Encoder>; PAIRS],
    rests: [[&mut [u8]; 2]; PAIRS],
    misses: &mut Vec<u32>,
    out: [[&mut [u8]; 2]; PAIRS],
    missing: &mut [Vec<u64>; PAIRS],
) -> [[usize; 2]; PAIRS] {
    let fits = |(p, i): (usize, usize)| {
        let elements = pairs[p].groups[i].len() / (1 + BF16 as usize);
        out[p][i].len() >= crate::lanes::room(elements) && (!BF16 || rests[p][i].len() >= elements)
    };
    if ![(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().all(fits) {
        return [[0; 2]; PAIRS];
    }
    let ([rests_a, rests_b], [out_a, out_b]) = (rests, out);
    let mut a = Task::begin::<BF16>(&pairs[0], rests_a, misses, out_a);
    let mut b = Task::begin::<BF16>(&pairs[1], rests_b, misses, out_b);
    let [missing_a, missing_b] = missing.each_mut().map(|m| {
        let rows = a.whole.into_iter().chain(b.whole).max().unwrap_or(0);
        m.resize(rows.max(m.len()), 0);
        &mut m[..rows]
    });
    let (missing_a, missing_b) =
        (&mut missing_a[..a.whole[0].max(a.whole[1])], &mut missing_b[..b.whole[0].max(b.whole[1])]);
    let all =
        if a.quarters == b.quarters { a.whole.into_iter().chain(b.whole).min().unwrap_or(0) } else { 0 };
    // SAFETY: `rests` are lent to the end.
    unsafe {
        a.down_to::<BF16>(all, missing_a);
        b.down_to::<BF16>(all, missing_b);
        if all > 0 {
            let run = match a.quarters {
                1 => rows_of_four::<1, BF16>,
                2 => rows_of_four::<2, BF16>,
                _ => rows_of_four::<4, BF16>,
            };
            let missing = [&mut missing_a[..all], &mut missing_b[..all]];
            [a.lanes, b.lanes] = run([&a.tables, &b.tables], [a.of, b.of], [a.lanes, b.lanes], missing);
        }
    }
    [a.end(missing_a, misses), b.end(missing_b, misses)]
}

//! The encoder of lanes in registers of 512 bits. The symbols of two streams share the bytes of a register: the first one's are the low bytes of
//! lanes of 16 bits. The bytes are those of `generic::lanes`, which also takes the rows in which lanes are missing.

use super::bytes_avx512::{Table, look_up, registers};
use crate::generic::lanes::{Writer, whole_rows};
use crate::lanes::{Encoder, LANES};
use std::arch::x86_64::*;

/// Where the mask is set `a`, else `b`.
#[inline]
#[target_feature(enable = "avx512f")]
fn select(mask: __m512i, a: __m512i, b: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xca>(mask, a, b)
}

/// Bits of the first stream where those of two take turns.
const EVEN: u64 = 0x5555_5555_5555_5555;

/// [`crate::lanes::Encoder::places`] in registers.
struct Tables {
    bits: Table,
    threshold: Table,
    offset: Table,
    states: Table,
    first: u8,
    /// The one that stands in for those that are outside of the tables.
    stand_in: u8,
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
            first: e.places.first,
            stand_in: e.stand_in.wrapping_sub(e.places.first),
        }
    }
}

/// `table[index]`, of so many registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up_in<const REGISTERS: usize>(table: &Table, index: __m512i, high: __mmask64) -> __m512i {
    match REGISTERS {
        1 => _mm512_permutexvar_epi8(index, table[0]),
        2 => _mm512_permutex2var_epi8(table[0], index, table[1]),
        _ => look_up(table, index, high),
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

/// Encodes rows `from … to` of two streams, the last one first, all with 32 lanes that go on in the next row. Which symbols have no code goes
/// to `missing`, a word for each row, in which bit 2 l + i is lane l of stream i. A stream that is not `present` writes nothing that counts.
///
/// # Safety
/// All of the rows are readable at both sources and, if elements are bf16, writable at both places of rests; at each place of bytes 32 more
/// are writable than there are elements in the rows of a stream that is present.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
unsafe fn rows<const REGISTERS: usize, const BF16: bool>(
    t: &Tables,
    of: [Rows; 2],
    range: std::ops::Range<usize>,
    lanes: [Lanes; 2],
    present: [bool; 2],
    missing: &mut [u64],
) -> [Lanes; 2] {
    let apart: [u8; 64] = std::array::from_fn(|i| (2 * (i % 32) + i / 32) as u8);
    // SAFETY: the array has 64 readable bytes.
    let apart = unsafe { _mm512_loadu_si512(apart.as_ptr().cast()) };
    let (low, top) = (_mm512_set1_epi16(0xff), _mm512_set1_epi16(256));
    let (seven, one) = (_mm512_set1_epi8(7), _mm512_set1_epi8(1));
    let (first, end) = (_mm512_set1_epi8(t.first as i8), _mm512_set1_epi8((64 * REGISTERS) as u8 as i8));
    let stand_in = _mm512_set1_epi8(t.stand_in as i8);
    let present = present.map(|p| if p { u32::MAX } else { 0 });
    // Lanes of one stream are every second bit.
    let twice = present.map(|p| p as u64 * 0x1_0000_0001);
    let of_present = (twice[0] & EVEN) | (twice[1] & !EVEN);
    // In variables of their own, the state stays in registers.
    let [Lanes { lane: mut la, count: ca, at: mut ta }, Lanes { lane: mut lb, count: cb, at: mut tb }] =
        lanes;
    let mut count = select(low, ca, _mm512_slli_epi16::<8>(cb));
    let (xa, xb) = (_mm512_srlv_epi16(la, ca), _mm512_srlv_epi16(lb, cb));
    let mut x = select(low, xa, _mm512_slli_epi16::<8>(xb));
    for (r, missing) in range.clone().zip(&mut missing[range]).rev() {
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
        let (symbols, outside) = if REGISTERS == 4 {
            (symbols, 0)
        } else {
            let symbols = _mm512_sub_epi8(symbols, first);
            let outside = _mm512_cmpge_epu8_mask(symbols, end);
            (_mm512_mask_mov_epi8(symbols, outside, stand_in), outside)
        };
        let high = if REGISTERS == 4 { _mm512_movepi8_mask(symbols) } else { 0 };
        let bits = look_up_in::<REGISTERS>(&t.bits, symbols, high);
        let threshold = look_up_in::<REGISTERS>(&t.threshold, symbols, high);
        let offset = look_up_in::<REGISTERS>(&t.offset, symbols, high);
        // Rare, but not so rare that a branch would be foreseen.
        *missing = (_mm512_movepi8_mask(bits) | outside) & of_present;
        let bits = _mm512_and_si512(bits, seven);
        let more = _mm512_cmpge_epu8_mask(x, threshold);
        let sum = _mm512_add_epi8(count, _mm512_mask_add_epi8(bits, more, bits, one));
        count = _mm512_and_si512(sum, seven);
        let (sa, sb) = (_mm512_and_si512(sum, low), _mm512_srli_epi16::<8>(sum));
        let (fa, fb) = (
            _mm512_cmpgt_epi16_mask(sa, _mm512_set1_epi16(7)) & present[0],
            _mm512_cmpgt_epi16_mask(sb, _mm512_set1_epi16(7)) & present[1],
        );
        let bytes = _mm512_permutexvar_epi8(apart, select(low, la, _mm512_slli_epi16::<8>(lb)));
        let (ba, bb) = (_mm512_castsi512_si256(bytes), _mm512_extracti64x4_epi64::<1>(bytes));
        // SAFETY: the caller's promise.
        unsafe {
            _mm256_storeu_si256(ta.cast(), _mm256_maskz_compress_epi8(fa, ba));
            _mm256_storeu_si256(tb.cast(), _mm256_maskz_compress_epi8(fb, bb));
            ta = ta.add(fa.count_ones() as usize);
            tb = tb.add(fb.count_ones() as usize);
        }
        // States without what they give up.
        let (ka, kb) = (_mm512_srlv_epi16(la, sa), _mm512_srlv_epi16(lb, sb));
        let place = _mm512_add_epi8(select(low, ka, _mm512_slli_epi16::<8>(kb)), offset);
        x = look_up(&t.states, place, _mm512_movepi8_mask(place));
        // The new state in the place of the old one.
        let na = _mm512_sub_epi16(_mm512_ternarylogic_epi32::<0xf8>(top, x, low), ka);
        let nb = _mm512_sub_epi16(_mm512_or_si512(_mm512_srli_epi16::<8>(x), top), kb);
        let (ca, cb) = (_mm512_and_si512(count, low), _mm512_srli_epi16::<8>(count));
        la = _mm512_add_epi16(_mm512_mask_srli_epi16::<8>(la, fa, la), _mm512_sllv_epi16(na, ca));
        lb = _mm512_add_epi16(_mm512_mask_srli_epi16::<8>(lb, fb, lb), _mm512_sllv_epi16(nb, cb));
    }
    [
        Lanes { lane: la, count: _mm512_and_si512(count, low), at: ta },
        Lanes { lane: lb, count: _mm512_srli_epi16::<8>(count), at: tb },
    ]
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

/// Encodes two groups side by side: bytes, or the exponents of elements of bf16, whose rests go to `rests`. Gives the sizes of the streams.
/// `missing` is memory to reuse.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
pub fn encode<const BF16: bool>(
    table: &Encoder,
    groups: [&[u8]; 2],
    rests: [&mut [u8]; 2],
    first: [u32; 2],
    misses: &mut Vec<u32>,
    out: [&mut [u8]; 2],
    missing: &mut Vec<u64>,
) -> [usize; 2] {
    let size = 1 + BF16 as usize;
    let elements = groups.map(|g| g.len() / size);
    if (0..2)
        .any(|i| out[i].len() < crate::lanes::room(elements[i]) || (BF16 && rests[i].len() < elements[i]))
    {
        return [0; 2];
    }
    let tables = Tables::new(table);
    let whole = elements.map(whole_rows);
    let mut writers: [Writer; 2] = std::array::from_fn(|i| {
        let from = whole[i] * LANES;
        let mut symbols = [0; 2 * LANES];
        let last = if BF16 { &mut rests[i][from..] } else { &mut [][..] };
        let n = tail::<BF16>(&groups[i][size * from..size * elements[i]], last, &mut symbols);
        Writer::begin(table, &symbols[..n], first[i] + from as u32, misses, out[i])
    });
    let mut lanes = [Lanes::new(&writers[0], out[0]), Lanes::new(&writers[1], out[1])];
    let of: [Rows; 2] =
        std::array::from_fn(|i| Rows { source: groups[i].as_ptr(), rests: rests[i].as_mut_ptr() });
    missing.resize(missing.len().max(whole[0].max(whole[1])), 0);
    let run = match table.places.quarters {
        1 => rows::<1, BF16>,
        2 => rows::<2, BF16>,
        _ => rows::<4, BF16>,
    };
    let both = whole[0].min(whole[1]);
    // The rows that one of them has more than the other, in the company of themselves.
    let more = (whole[1] > whole[0]) as usize;
    if whole[more] > both {
        let present = [more == 0, more == 1];
        // SAFETY: the rows are within the group; `out` has room for a byte of each element and 64 more.
        let done = unsafe { run(&tables, [of[more]; 2], both..whole[more], lanes, present, missing) };
        lanes[more] = done[more];
    }
    // SAFETY: as above, for both.
    lanes = unsafe { run(&tables, of, 0..both, lanes, [true; 2], missing) };
    for (i, which) in [EVEN, !EVEN].into_iter().enumerate() {
        for (r, row) in missing[..whole[i]].iter().enumerate() {
            let mut row = row & which;
            while row != 0 {
                misses.push(first[i] + (r * LANES) as u32 + row.trailing_zeros() / 2);
                row &= row - 1;
            }
        }
    }
    let mut sizes = [0; 2];
    for (i, writer) in writers.iter_mut().enumerate().filter(|(i, _)| elements[*i] > 0) {
        lanes[i].leave(writer, out[i]);
    }
    for (i, (writer, out)) in writers.into_iter().zip(out).enumerate() {
        sizes[i] = if elements[i] > 0 { writer.end(out) } else { 0 };
    }
    sizes
}

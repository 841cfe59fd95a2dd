//! Symbols to streams, whose 16 states are two registers of 256 bits. The bytes are those of `generic::rans`.

use crate::generic::rans::{Writer, find_missing};
use crate::rans::{Encoder, FREQUENCY_BITS, LANES, MISSING_BIT, PROBABILITY_BITS, START_AT, TOTAL, coded};
use std::arch::x86_64::*;

/// For a mask, the bytes of the words whose bits are set, in order; what follows is of no account.
static CLOSER: [[u8; 16]; 256] = {
    let mut all = [[0; 16]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut bit, mut at) = (0, 0);
        while bit < 8 {
            if mask >> bit & 1 == 1 {
                all[mask][at] = 2 * bit;
                all[mask][at + 1] = 2 * bit + 1;
                at += 2;
            }
            bit += 1;
        }
        mask += 1;
    }
    all
};

/// Reciprocals, and what else coding takes, of 8 symbols.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up(entries: &[u64; 256], symbols: &[u8; 8]) -> (__m256i, __m256i) {
    let two = |a: u8, b: u8| {
        // SAFETY: an entry of 8 bytes is readable at each index of a byte.
        unsafe {
            let low = _mm_loadl_epi64((&raw const entries[a as usize]).cast());
            _mm_castpd_si128(_mm_loadh_pd(_mm_castsi128_pd(low), (&raw const entries[b as usize]).cast()))
        }
    };
    let [a, b, c, d, e, f, g, h] = *symbols;
    let even = _mm256_castsi256_ps(_mm256_set_m128i(two(e, f), two(a, b)));
    let odd = _mm256_castsi256_ps(_mm256_set_m128i(two(g, h), two(c, d)));
    (
        _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(even, odd)),
        _mm256_castps_si256(_mm256_shuffle_ps::<0xdd>(even, odd)),
    )
}

/// States after symbols of these entries; appends words to `to` and gives where it ends.
///
/// # Safety
/// 16 bytes are writable from `to` on.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
unsafe fn put(states: __m256i, (reciprocal, others): (__m256i, __m256i), to: *mut u8) -> (__m256i, *mut u8) {
    let f = _mm256_and_si256(others, _mm256_set1_epi32((1 << FREQUENCY_BITS) - 1));
    let shift =
        _mm256_and_si256(_mm256_srli_epi32::<{ FREQUENCY_BITS as i32 }>(others), _mm256_set1_epi32(15));
    let start = _mm256_and_si256(
        _mm256_srli_epi32::<{ START_AT as i32 }>(others),
        _mm256_set1_epi32(TOTAL as i32 - 1),
    );
    // Both sides are below 2^20: the comparison has signs.
    let early = _mm256_cmpgt_epi32(f, _mm256_srli_epi32::<{ 32 - PROBABILITY_BITS as i32 }>(states));
    let due = !_mm256_movemask_ps(_mm256_castsi256_ps(early)) as usize & 255;
    let low = _mm256_and_si256(states, _mm256_set1_epi32(0xffff));
    let words = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low));
    // SAFETY: the table's rows have 16 bytes; the caller's promise.
    let to = unsafe {
        let closer = _mm_loadu_si128(CLOSER[due].as_ptr().cast());
        _mm_storeu_si128(to.cast(), _mm_shuffle_epi8(words, closer));
        to.add(2 * due.count_ones() as usize)
    };
    let x = _mm256_blendv_epi8(_mm256_srli_epi32::<16>(states), states, early);
    // The quotient, or one too few.
    let even = _mm256_srli_epi64::<32>(_mm256_mul_epu32(x, reciprocal));
    let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(x), _mm256_srli_epi64::<32>(reciprocal));
    let quotient = _mm256_srlv_epi32(_mm256_blend_epi32::<0xaa>(even, odd), shift);
    let rest = _mm256_sub_epi32(x, _mm256_mullo_epi32(quotient, f));
    let exact = _mm256_cmpgt_epi32(f, rest);
    let x = _mm256_add_epi32(
        _mm256_slli_epi32::<{ PROBABILITY_BITS as i32 }>(quotient),
        _mm256_add_epi32(rest, start),
    );
    // One more in the quotient is f less in the rest.
    let more = _mm256_andnot_si256(exact, _mm256_sub_epi32(_mm256_set1_epi32(TOTAL as i32), f));
    (_mm256_add_epi32(x, more), to)
}

/// Encodes a group; `out` has [`crate::rans::room`]. Gives the size of the stream.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn encode(
    table: &Encoder,
    groups: [&[u8]; 2],
    first: [u32; 2],
    misses: &mut Vec<u32>,
    out: [&mut [u8]; 2],
) -> [usize; 2] {
    let [out_a, out_b] = out;
    let mut a = Stream::begin(table, groups[0], first[0], misses, out_a);
    let mut b = Stream::begin(table, groups[1], first[1], misses, out_b);
    let both = a.rows.len().min(b.rows.len());
    macro_rules! encode {
        ($rounds:expr, $($s:ident $x:ident $y:ident $to:ident),*) => {
            // In variables of their own, the states stay in registers.
            $(
                let states = $s.writer.states.as_ptr();
                // SAFETY: there are 16 states of 32 bits.
                let mut $x = unsafe { _mm256_loadu_si256(states.cast()) };
                // SAFETY: as above.
                let mut $y = unsafe { _mm256_loadu_si256(states.add(8).cast()) };
                // SAFETY: `at` is within the output.
                let mut $to = unsafe { $s.out.as_mut_ptr().add($s.writer.at) };
            )*
            for _ in 0..$rounds {
                $(
                    let Some((row, rest)) = $s.rows.split_last() else { break };
                    let [low, high] = row.as_chunks::<8>().0 else { break };
                    let (low, high) = (look_up(&table.packed, low), look_up(&table.packed, high));
                    let marks = _mm256_or_si256(low.1, high.1);
                    $s.rows = rest;
                    // SAFETY: there is room for a word of each symbol, and for 32 bytes behind them.
                    ($x, $to) = unsafe { put($x, low, $to) };
                    // SAFETY: as above.
                    ($y, $to) = unsafe { put($y, high, $to) };
                    if _mm256_testz_si256(marks, _mm256_set1_epi32(MISSING_BIT as i32)) == 0 {
                        find_missing(table, row, $s.next(), misses);
                    }
                )*
            }
            $(
                let states = $s.writer.states.as_mut_ptr();
                // SAFETY: there is room for 16 states of 32 bits.
                unsafe {
                    _mm256_storeu_si256(states.cast(), $x);
                    _mm256_storeu_si256(states.add(8).cast(), $y);
                }
                $s.writer.at = $to as usize - $s.out.as_ptr() as usize;
            )*
        };
    }
    encode!(both, a xa ya ta, b xb yb tb);
    encode!(a.rows.len(), a xa ya ta);
    encode!(b.rows.len(), b xb yb tb);
    [a.end(), b.end()]
}

/// A stream that is being written, and the rows that are left.
struct Stream<'a> {
    writer: Writer,
    rows: &'a [[u8; LANES]],
    first: u32,
    symbols: usize,
    out: &'a mut [u8],
}

impl<'a> Stream<'a> {
    fn begin(
        table: &Encoder,
        symbols: &'a [u8],
        first: u32,
        misses: &mut Vec<u32>,
        out: &'a mut [u8],
    ) -> Stream<'a> {
        let writer = Writer::begin(table, symbols, first, misses, out);
        let rows = symbols[..coded(symbols.len())].as_chunks().0;
        Stream { writer, rows, first, symbols: symbols.len(), out }
    }

    /// The position of the first element behind the rows that are left.
    fn next(&self) -> u32 {
        self.first + (self.rows.len() * LANES) as u32
    }

    fn end(self) -> usize {
        if self.symbols == 0 { 0 } else { self.writer.end(self.out) }
    }
}

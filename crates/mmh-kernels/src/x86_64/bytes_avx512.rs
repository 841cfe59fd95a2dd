//! Bytes of two streams in registers of 512 bits, and look-ups in tables of 256 bytes that stay in such registers.

use std::arch::x86_64::*;

/// Bits of the first stream in masks of bytes, where those of two take turns.
pub const EVEN: u64 = 0x5555_5555_5555_5555;

/// Where the mask is set `a`, else `b`.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn select(mask: __m512i, a: __m512i, b: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0xca>(mask, a, b)
}

/// A table of 256 bytes in four registers.
pub type Table = [__m512i; 4];

/// Loads one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub fn registers(bytes: &[u8; 256]) -> Table {
    let quarters = bytes.as_chunks::<64>().0;
    // SAFETY: each quarter has 64 readable bytes; the load asks for no alignment.
    std::array::from_fn(|i| unsafe { _mm512_loadu_si512(quarters[i].as_ptr().cast()) })
}

/// `table[index]` for 64 indices; `high` tells which of them are 128 or more.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub fn look_up(table: &Table, index: __m512i, high: __mmask64) -> __m512i {
    let lower = _mm512_permutex2var_epi8(table[0], index, table[1]);
    let upper = _mm512_permutex2var_epi8(table[2], index, table[3]);
    _mm512_mask_blend_epi8(high, lower, upper)
}

/// `table[index]`, where so many of its registers are used.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub fn look_up_in<const REGISTERS: usize>(table: &Table, index: __m512i, high: __mmask64) -> __m512i {
    match REGISTERS {
        1 => _mm512_permutexvar_epi8(index, table[0]),
        2 => _mm512_permutex2var_epi8(table[0], index, table[1]),
        _ => look_up(table, index, high),
    }
}

/// Where to look symbols up in so many registers, of which the first byte is that of `first`. What is outside has the place of the last one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub fn places<const REGISTERS: usize>(symbols: __m512i, first: __m512i) -> __m512i {
    let places = _mm512_sub_epi8(symbols, first);
    let last = _mm512_set1_epi8((64 * REGISTERS - 1) as u8 as i8);
    if REGISTERS == 4 { places } else { _mm512_min_epu8(places, last) }
}

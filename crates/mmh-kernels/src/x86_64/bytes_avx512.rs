//! Look-ups in tables of 256 bytes that stay in registers of 512 bits.

use std::arch::x86_64::*;

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

//! Elements out of symbols and planes, a register at a time: the twin of `merge_avx512::parts`. The elements are those of `generic::fields`.

use crate::fields::{FieldSpec, Part};
use std::arch::x86_64::*;

/// As many elements of 8, 16 or 32 bits, not folded, as fill registers; gives how many that were.
#[target_feature(enable = "avx2")]
pub fn parts(spec: &FieldSpec, symbols: &[u8], parts: &[Part<'_>], fill: u64, out: &mut [u8]) -> usize {
    // A rest of no bits has no sign.
    if spec.zigzag || spec.rest_bits() == 0 || spec.drop as u32 >= spec.bits() {
        return 0;
    }
    match (spec.width, parts) {
        (0, &[a]) => elements::<1, 1>(spec, symbols, [a], fill, out),
        (0, &[a, b]) => elements::<1, 2>(spec, symbols, [a, b], fill, out),
        (1, &[a]) => elements::<2, 1>(spec, symbols, [a], fill, out),
        (1, &[a, b]) => elements::<2, 2>(spec, symbols, [a, b], fill, out),
        (1, &[a, b, c]) => elements::<2, 3>(spec, symbols, [a, b, c], fill, out),
        (2, &[a]) => elements::<4, 1>(spec, symbols, [a], fill, out),
        (2, &[a, b]) => elements::<4, 2>(spec, symbols, [a, b], fill, out),
        (2, &[a, b, c]) => elements::<4, 3>(spec, symbols, [a, b, c], fill, out),
        (2, &[a, b, c, d]) => elements::<4, 4>(spec, symbols, [a, b, c, d], fill, out),
        (2, &[a, b, c, d, e]) => elements::<4, 5>(spec, symbols, [a, b, c, d, e], fill, out),
        _ => 0,
    }
}

/// The same for elements of `SIZE` bytes, 1, 2 or 4, and so many parts. Bytes are shifted two by two: what crosses over is masked out.
#[inline]
#[target_feature(enable = "avx2")]
fn elements<const SIZE: usize, const PARTS: usize>(
    spec: &FieldSpec,
    symbols: &[u8],
    parts: [Part<'_>; PARTS],
    fill: u64,
    out: &mut [u8],
) -> usize {
    let lanes = 32 / SIZE;
    let n = parts.iter().map(|p| p.bytes.len()).fold(symbols.len().min(out.len() / SIZE), usize::min);
    let n = n / lanes * lanes;
    let set = |x: u32| match SIZE {
        1 => _mm256_set1_epi8(x as i8),
        2 => _mm256_set1_epi16(x as i16),
        _ => _mm256_set1_epi32(x as i32),
    };
    let count = |n: u32| _mm_cvtsi32_si128(n as i32);
    let up = |x, n| if SIZE == 4 { _mm256_sll_epi32(x, n) } else { _mm256_sll_epi16(x, n) };
    let down = |x, n| if SIZE == 4 { _mm256_srl_epi32(x, n) } else { _mm256_srl_epi16(x, n) };
    // SAFETY: `SIZE` tells that so many bytes, a lane each, are readable.
    let load = |from: *const u8| unsafe {
        match SIZE {
            1 => _mm256_loadu_si256(from.cast()),
            2 => _mm256_cvtepu8_epi16(_mm_loadu_si128(from.cast())),
            _ => _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())),
        }
    };
    // From a part's place in its byte to that in the rest.
    let drop = spec.drop as u32;
    let lefts = parts.map(|p| count((p.shift + drop).saturating_sub(p.down)));
    let rights = parts.map(|p| count(p.down.saturating_sub(p.shift + drop)));
    let masks = parts.map(|p| set((p.mask() as u32) << (p.shift + drop)));
    let (bits, t) = (spec.bits(), spec.t as u32);
    let (signed, low) = (spec.sign_moved, spec.rest_bits() - spec.sign_moved as u32);
    let (field_up, field_mask) = (count(low), set((((1u64 << t) - 1) << low) as u32));
    // Where the sign is not moved it is in the field.
    let sign_up = count(if signed { bits - 1 - low } else { 0 });
    let sign_mask = set(if signed { 1 << (bits - 1) } else { 0 });
    let (base, fill) = (set(spec.base as u32), set((fill as u32) << drop));
    let zero = _mm256_setzero_si256();
    let choose = |mask, a, b| _mm256_or_si256(_mm256_and_si256(mask, a), _mm256_andnot_si256(mask, b));
    for i in (0..n).step_by(lanes) {
        // SAFETY: a byte for each lane from `i` on is within the `n` of the symbols and of each part.
        let (s, bytes) = unsafe { (symbols.as_ptr().add(i), parts.map(|p| p.bytes.as_ptr().add(i))) };
        let mut rest = fill;
        for (k, from) in bytes.into_iter().enumerate() {
            let moved = down(up(load(from), lefts[k]), rights[k]);
            rest = _mm256_or_si256(rest, _mm256_and_si256(moved, masks[k]));
        }
        let s = load(s);
        // Symbol 0 stands for field 0.
        let field = match SIZE {
            // Whose base is 0.
            1 => s,
            2 => _mm256_add_epi16(s, _mm256_andnot_si256(_mm256_cmpeq_epi16(s, zero), base)),
            _ => _mm256_add_epi32(s, _mm256_andnot_si256(_mm256_cmpeq_epi32(s, zero), base)),
        };
        let element = choose(field_mask, up(field, field_up), rest);
        let element = choose(sign_mask, up(rest, sign_up), element);
        // SAFETY: a register from there on is within the `n` elements of `out`.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(SIZE * i).cast(), element) };
    }
    n
}

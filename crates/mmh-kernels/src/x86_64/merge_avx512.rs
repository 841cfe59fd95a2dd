//! Elements out of symbols and planes. Those of 16 bits with planes of 4, 2 and 1 bits are made 64 at a time: the planes are put together as
//! bytes, of which a register holds twice as many as of elements. Others fill a register. The elements are those of `generic::fields`.

use super::xxh3_avx512::{Accumulators, STRIPES};
use crate::checksum::Running;
use crate::fields::{FieldSpec, Part};
use crate::planes::Plane;
use std::arch::x86_64::*;

/// How far ahead of the elements that are written memory is asked for.
const AHEAD: usize = 2048;

/// As many whole blocks of 64 elements as `symbols` has, of a split that moves the sign; gives how many elements that were. Their bits are in the
/// `row` of each plane from a `column` on, and stay in that row for all of `symbols`.
#[target_feature(enable = "avx512f,avx512bw")]
pub fn nibbles(
    spec: &FieldSpec,
    symbols: &[u8],
    planes: &[Plane<'_>; 3],
    places: &[(usize, usize); 3],
    out: &mut [u8],
) -> usize {
    let n = symbols.len().min(out.len() / 2);
    let part = |i: usize| {
        let (plane, (row, column)) = (&planes[i], places[i]);
        (plane.data.get(column..column + n).map(<[u8]>::as_ptr), (row * plane.bits as usize) as i32)
    };
    let [(Some(four), a), (Some(two), b), (Some(one), c)] = [0, 1, 2].map(part) else { return 0 };
    if !spec.sign_moved || spec.t as u32 > 15 {
        return 0;
    }
    // From where the bits are in their byte to where they are in the rest: left or right.
    let counts = |up: i32| (_mm_cvtsi32_si128(up.max(0)), _mm_cvtsi32_si128((-up).max(0)));
    let (four_up, four_down) = counts(3 - a);
    let (two_up, two_down) = counts(1 - b);
    let (_, one_down) = counts(-c);
    let base = _mm512_set1_epi16(spec.base as i16);
    let field_mask = _mm512_set1_epi16(((1i32 << 15) - (1 << (15 - spec.t))) as i16);
    let field_up = _mm_cvtsi32_si128(15 - spec.t as i32);
    let sign_up = _mm_cvtsi32_si128(spec.t as i32);
    for i in (0..n / 64 * 64).step_by(64) {
        // SAFETY: 64 bytes from `i` on are within the `n` of each part and of the symbols.
        let (x4, x2, x1, s) = unsafe {
            (
                _mm512_loadu_si512(four.add(i).cast()),
                _mm512_loadu_si512(two.add(i).cast()),
                _mm512_loadu_si512(one.add(i).cast()),
                _mm512_loadu_si512(symbols.as_ptr().add(i).cast()),
            )
        };
        let x4 = _mm512_srl_epi16(_mm512_sll_epi16(x4, four_up), four_down);
        let x2 = _mm512_srl_epi16(_mm512_sll_epi16(x2, two_up), two_down);
        let x1 = _mm512_srl_epi16(x1, one_down);
        let low = _mm512_ternarylogic_epi32::<0xca>(
            _mm512_set1_epi8(0x06),
            x2,
            _mm512_and_si512(x1, _mm512_set1_epi8(1)),
        );
        let rest = _mm512_ternarylogic_epi32::<0xca>(_mm512_set1_epi8(0x78), x4, low);
        let halves = [
            (_mm512_castsi512_si256(s), _mm512_castsi512_si256(rest)),
            (_mm512_extracti64x4_epi64::<1>(s), _mm512_extracti64x4_epi64::<1>(rest)),
        ];
        for (half, (s, rest)) in halves.into_iter().enumerate() {
            let (s, rest) = (_mm512_cvtepu8_epi16(s), _mm512_cvtepu8_epi16(rest));
            // Symbol 0 stands for field 0.
            let field = _mm512_mask_add_epi16(s, _mm512_test_epi16_mask(s, s), s, base);
            let field = _mm512_sll_epi16(field, field_up);
            let rest = _mm512_or_si512(rest, _mm512_sll_epi16(rest, sign_up));
            let element = _mm512_ternarylogic_epi32::<0xca>(field_mask, field, rest);
            // SAFETY: 128 bytes from `2 i` on are within `out`.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(2 * i + 64 * half).cast(), element) };
        }
    }
    n / 64 * 64
}

/// As many elements of 8, 16 or 32 bits, not folded, as fill registers; gives how many that were.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
pub fn parts(spec: &FieldSpec, symbols: &[u8], parts: &[Part<'_>], fill: u64, out: &mut [u8]) -> usize {
    of_width::<false>(spec, symbols, parts, fill, out, None)
}

/// The same with as many as fill blocks of the checksum, which is taken meanwhile; `is_end` tells that they are the last ones of what it is of. They go past
/// the cache: memory that is overwritten is not read first.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
pub fn parts_away(
    spec: &FieldSpec,
    symbols: &[u8],
    parts: &[Part<'_>],
    fill: u64,
    out: &mut [u8],
    running: &mut Running,
    is_end: bool,
) -> usize {
    of_width::<true>(spec, symbols, parts, fill, out, Some((running, is_end)))
}

/// Whether [`parts_away`] takes such elements, in whole blocks of the checksum, that are put there.
pub fn can_go_away(spec: &FieldSpec, out: &[u8]) -> bool {
    let suits = !spec.zigzag && spec.rest_bits() > 0 && (spec.drop as u32) < spec.bits();
    matches!(spec.width, 1 | 2) && suits && out.as_ptr().align_offset(16) == 0
}

/// Whether it takes so many of them in so many parts.
pub fn takes(spec: &FieldSpec, parts: usize, n: usize) -> bool {
    let most = if spec.width == 1 { 3 } else { 5 };
    (1..=most).contains(&parts) && n > 0 && (n * spec.size()).is_multiple_of(64 * STRIPES)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn of_width<const AWAY: bool>(
    spec: &FieldSpec,
    symbols: &[u8],
    parts: &[Part<'_>],
    fill: u64,
    out: &mut [u8],
    running: Option<(&mut Running, bool)>,
) -> usize {
    // A rest of no bits has no sign.
    if spec.zigzag || spec.rest_bits() == 0 || spec.drop as u32 >= spec.bits() {
        return 0;
    }
    match (spec.width, parts) {
        (0, &[a]) if !AWAY => elements::<1, 1, AWAY>(spec, symbols, [a], fill, out, running),
        (0, &[a, b]) if !AWAY => elements::<1, 2, AWAY>(spec, symbols, [a, b], fill, out, running),
        (1, &[a]) => elements::<2, 1, AWAY>(spec, symbols, [a], fill, out, running),
        (1, &[a, b]) => elements::<2, 2, AWAY>(spec, symbols, [a, b], fill, out, running),
        (1, &[a, b, c]) => elements::<2, 3, AWAY>(spec, symbols, [a, b, c], fill, out, running),
        (2, &[a]) => elements::<4, 1, AWAY>(spec, symbols, [a], fill, out, running),
        (2, &[a, b]) => elements::<4, 2, AWAY>(spec, symbols, [a, b], fill, out, running),
        (2, &[a, b, c]) => elements::<4, 3, AWAY>(spec, symbols, [a, b, c], fill, out, running),
        (2, &[a, b, c, d]) => elements::<4, 4, AWAY>(spec, symbols, [a, b, c, d], fill, out, running),
        (2, &[a, b, c, d, e]) => elements::<4, 5, AWAY>(spec, symbols, [a, b, c, d, e], fill, out, running),
        _ => 0,
    }
}

/// The same for elements of `SIZE` bytes, 1, 2 or 4, and so many parts. Bytes are shifted two by two: what crosses over is masked out.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn elements<const SIZE: usize, const PARTS: usize, const AWAY: bool>(
    spec: &FieldSpec,
    symbols: &[u8],
    parts: [Part<'_>; PARTS],
    fill: u64,
    out: &mut [u8],
    running: Option<(&mut Running, bool)>,
) -> usize {
    let lanes = 64 / SIZE;
    let n = parts.iter().map(|p| p.bytes.len()).fold(symbols.len().min(out.len() / SIZE), usize::min);
    let whole = if AWAY { lanes * STRIPES } else { lanes };
    let n = n / whole * whole;
    let set = |x: u32| match SIZE {
        1 => _mm512_set1_epi8(x as i8),
        2 => _mm512_set1_epi16(x as i16),
        _ => _mm512_set1_epi32(x as i32),
    };
    let count = |n: u32| if SIZE == 4 { set(n) } else { _mm512_set1_epi16(n as i16) };
    let up = |x, n| if SIZE == 4 { _mm512_sllv_epi32(x, n) } else { _mm512_sllv_epi16(x, n) };
    // SAFETY: `SIZE` tells that so many bytes, a lane each, are readable.
    let load = |from: *const u8| unsafe {
        match SIZE {
            1 => _mm512_loadu_si512(from.cast()),
            2 => _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.cast())),
            _ => _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast())),
        }
    };
    // From a part's place in its byte to that in the rest. Where lanes have 32 bits a rotation does for both directions.
    let drop = spec.drop as u32;
    let lefts = parts.map(|p| {
        let to = p.shift + drop;
        count(if SIZE == 4 { to.wrapping_sub(p.down) & 31 } else { to.saturating_sub(p.down) })
    });
    let rights = parts.map(|p| count(p.down.saturating_sub(p.shift + drop)));
    let masks = parts.map(|p| set((p.mask() as u32) << (p.shift + drop)));
    let moved = |x, i: usize| {
        if SIZE == 4 { _mm512_rolv_epi32(x, lefts[i]) } else { _mm512_srlv_epi16(up(x, lefts[i]), rights[i]) }
    };
    let (bits, t) = (spec.bits(), spec.t as u32);
    let (signed, low) = (spec.sign_moved, spec.rest_bits() - spec.sign_moved as u32);
    let (field_up, field_mask) = (count(low), set((((1u64 << t) - 1) << low) as u32));
    // Where the sign is not moved it is in the field.
    let sign_up = count(if signed { bits - 1 - low } else { 0 });
    let sign_mask = set(if signed { 1 << (bits - 1) } else { 0 });
    let (base, fill) = (set(spec.base as u32), set((fill as u32) << drop));
    let element = |i: usize| {
        // SAFETY: a byte for each lane from `i` on is within the `n` of the symbols and of each part.
        let (s, bytes) = unsafe { (symbols.as_ptr().add(i), parts.map(|p| p.bytes.as_ptr().add(i))) };
        let mut rest = fill;
        for (k, from) in bytes.into_iter().enumerate() {
            // rest | moved & mask
            rest = _mm512_ternarylogic_epi32::<0xf8>(rest, moved(load(from), k), masks[k]);
        }
        let s = load(s);
        // Symbol 0 stands for field 0.
        let field = match SIZE {
            // Whose base is 0.
            1 => s,
            2 => _mm512_mask_add_epi16(s, _mm512_test_epi16_mask(s, s), s, base),
            _ => _mm512_mask_add_epi32(s, _mm512_test_epi32_mask(s, s), s, base),
        };
        let element = _mm512_ternarylogic_epi32::<0xca>(field_mask, up(field, field_up), rest);
        _mm512_ternarylogic_epi32::<0xca>(sign_mask, up(rest, sign_up), element)
    };
    let Some((running, is_end)) = running.filter(|_| AWAY) else {
        for i in (0..n).step_by(lanes) {
            // What comes next is asked for, to be written: a prefetch touches nothing.
            _mm_prefetch::<_MM_HINT_ET0>(out.as_ptr().wrapping_add(SIZE * i + AHEAD).cast());
            // SAFETY: a register from there on is within the `n` elements of `out`.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(SIZE * i).cast(), element(i)) };
        }
        return n;
    };
    if out.as_ptr().align_offset(16) != 0 {
        return 0;
    }
    let mut sum = Accumulators::load(&running.lanes);
    for block in (0..n).step_by(whole) {
        let is_last = is_end && block + whole == n;
        for k in 0..STRIPES {
            let i = block + lanes * k;
            let element = element(i);
            match is_last && k + 1 == STRIPES {
                true => sum.take_last(element),
                false => sum.take(element, k),
            }
            // SAFETY: a register from there on is within the `n` elements of `out`, whose address and so this one is a multiple of 16.
            unsafe {
                let to: *mut u8 = out.as_mut_ptr().add(SIZE * i);
                _mm_stream_si128(to.cast(), _mm512_castsi512_si128(element));
                _mm_stream_si128(to.add(16).cast(), _mm512_extracti32x4_epi32::<1>(element));
                _mm_stream_si128(to.add(32).cast(), _mm512_extracti32x4_epi32::<2>(element));
                _mm_stream_si128(to.add(48).cast(), _mm512_extracti32x4_epi32::<3>(element));
            }
        }
        if !is_last {
            sum.mix();
        }
    }
    // Whoever reads them, on whichever core, is to find them.
    _mm_sfence();
    sum.store(&mut running.lanes);
    running.done += SIZE * n;
    running.ended = is_end;
    n
}

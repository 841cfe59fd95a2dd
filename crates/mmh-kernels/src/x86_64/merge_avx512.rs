//! Elements of 16 bits out of symbols and planes of 4, 2 and 1 bits, 64 at a time: the planes are put together as bytes, of which a register
//! holds twice as many as of elements. The elements are those of `generic::fields::merge_nibbles`.

use crate::fields::FieldSpec;
use crate::planes::Plane;
use std::arch::x86_64::*;

/// How far ahead of the elements that are written memory is asked for.
const AHEAD: usize = 2048;

/// As many whole blocks of 64 elements as `symbols` has, of a split that moves the sign; gives how many elements that were. Elements
/// `at …` of the planes are meant, and their bits stay at one place in the planes' bytes for all of `symbols`.
#[target_feature(enable = "avx512f,avx512bw")]
pub fn nibbles(
    spec: &FieldSpec,
    symbols: &[u8],
    planes: &[Plane<'_>; 3],
    at: usize,
    out: &mut [u8],
) -> usize {
    let n = symbols.len().min(out.len() / 2);
    let part = |p: &Plane<'_>| {
        let (row, column) = (at / p.data.len(), at % p.data.len());
        (p.data.get(column..column + n).map(<[u8]>::as_ptr), (row * p.bits as usize) as i32)
    };
    let [(Some(four), a), (Some(two), b), (Some(one), c)] = planes.each_ref().map(part) else { return 0 };
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
        // What comes next is asked for, to be written: a prefetch touches nothing.
        let next = out.as_ptr().wrapping_add(2 * i + AHEAD);
        _mm_prefetch::<_MM_HINT_ET0>(next.cast());
        _mm_prefetch::<_MM_HINT_ET0>(next.wrapping_add(64).cast());
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

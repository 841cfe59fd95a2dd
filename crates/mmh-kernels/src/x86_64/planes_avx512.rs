//! Planes of the rests of elements, all of them in one pass, 64 elements of each eighth at a time. The bytes are those of `generic::fields::planes`.

use crate::fields::FieldSpec;
use crate::generic::fields::{Cuts, PIECE};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// Planes of elements of 8, 16 or 32 bits that are not zigzagged, whose number is a multiple of 512; `false`, with nothing written, for
/// others. `out` is as long as all planes.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2")]
pub fn planes(spec: &FieldSpec, src: &[u8], cuts: &Cuts, out: &mut [MaybeUninit<u8>]) -> bool {
    let n = src.len() / spec.size();
    let good = !spec.zigzag && n.is_multiple_of(8 * PIECE) && out.len() >= cuts.size;
    match spec.width {
        0 if good => pieces::<1>(spec, src, n, cuts, out),
        1 if good => pieces::<2>(spec, src, n, cuts, out),
        2 if good => pieces::<4>(spec, src, n, cuts, out),
        _ => return false,
    }
    true
}

/// Bytes `from` up of 64 words of `SIZE` bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn bytes<const SIZE: usize>(words: &[__m512i; 4], order: [__m512i; 2], from: __m512i) -> __m512i {
    match SIZE {
        // What comes from the byte above is masked out later: rests of bytes have no planes of 8 bits.
        1 => _mm512_srlv_epi16(words[0], from),
        2 => {
            let [a, b] = [_mm512_srlv_epi16(words[0], from), _mm512_srlv_epi16(words[1], from)];
            _mm512_permutex2var_epi8(a, order[0], b)
        }
        _ => {
            let w = words.map(|w| _mm512_srlv_epi32(w, from));
            // The first half of one, the second half of the other.
            let low = _mm512_permutex2var_epi8(w[0], order[0], w[1]);
            let high = _mm512_permutex2var_epi8(w[2], order[1], w[3]);
            _mm512_mask_blend_epi64(0xf0, low, high)
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2")]
fn pieces<const SIZE: usize>(
    spec: &FieldSpec,
    src: &[u8],
    n: usize,
    cuts: &Cuts,
    out: &mut [MaybeUninit<u8>],
) {
    let r = spec.rest_bits();
    let bits = spec.bits();
    let eighth = n / 8;
    // Bytes are shifted two by two.
    let set = |x: u32| if SIZE <= 2 { _mm512_set1_epi16(x as i16) } else { _mm512_set1_epi32(x as i32) };
    let sign = if spec.sign_moved { 1u32 << (r - 1) } else { 0 };
    let (sign, sign_down) = (set(if SIZE == 1 { sign * 0x101 } else { sign }), set(bits - r));
    // Which bytes are the lowest of 64 words of 16 bits; of 32 words of 32 bits, in either half.
    let order: [[u8; 64]; 2] = match SIZE {
        1 | 2 => [std::array::from_fn(|i| 2 * i as u8); 2],
        _ => [std::array::from_fn(|i| (4 * i) as u8 & 127); 2],
    };
    // SAFETY: each has 64 bytes.
    let order = order.each_ref().map(|o| unsafe { _mm512_loadu_si512(o.as_ptr().cast()) });
    let zero = _mm512_setzero_si512();
    // Bits of a row of a plane of less than 8 go to their place in the byte; what else comes along is masked out.
    let narrow = |i: usize| {
        let bits = 1u32 << i;
        cuts.narrow[i].map(|(at, shift)| {
            let up = |row: u32| _mm512_set1_epi16(((bits * row + 16 + cuts.lowest - shift) & 15) as i16);
            let mask = |row: u32| _mm512_set1_epi8((((1u32 << bits) - 1) << (bits * row)) as i8);
            let rows: [_; 8] = std::array::from_fn(|row| (up(row as u32), mask((row as u32) % (8 >> i))));
            (at, rows)
        })
    };
    let (one, two, four) = (narrow(0), narrow(1), narrow(2));
    let lowest = set(cuts.lowest);
    let or = |to: __m512i, low: __m512i, (up, mask): (__m512i, __m512i)| {
        _mm512_ternarylogic_epi32::<0xf8>(to, _mm512_shldv_epi16(low, low, up), mask)
    };
    for j in (0..eighth).step_by(PIECE) {
        let (mut ones, mut twos, mut fours) = (zero, [zero; 2], [zero; 4]);
        // The rows by themselves: in a loop the bytes that are put together would be kept in memory.
        macro_rules! row {
            ($($k:literal)*) => {$({
                let first = $k * eighth + j;
                // SAFETY: 64 elements from `first` on are within `src`, as `n` is a multiple of 512.
                let at = unsafe { src.as_ptr().add(SIZE * first) };
                let load = |i: usize| {
                    // SAFETY: as above; elements of 16 bits are two registers.
                    if i < SIZE { unsafe { _mm512_loadu_si512(at.add(64 * i).cast()) } } else { zero }
                };
                let rests = [load(0), load(1), load(2), load(3)].map(|x| {
                    let down = match SIZE {
                        1 | 2 => _mm512_srlv_epi16(x, sign_down),
                        _ => _mm512_srlv_epi32(x, sign_down),
                    };
                    _mm512_ternarylogic_epi32::<0xca>(sign, down, x)
                });
                for &(at, shift) in cuts.eights() {
                    let bytes = bytes::<SIZE>(&rests, order, set(shift));
                    // SAFETY: `Cuts` has the plane, which has a byte for each element, within `out`.
                    unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(at + first).cast(), bytes) };
                }
                // They are within 8 bits, so that one byte has them all.
                let low = bytes::<SIZE>(&rests, order, lowest);
                if let Some((_, rows)) = &four {
                    fours[$k & 3] = or(fours[$k & 3], low, rows[$k / 4]);
                }
                if let Some((_, rows)) = &two {
                    twos[$k & 1] = or(twos[$k & 1], low, rows[$k / 2]);
                }
                if let Some((_, rows)) = &one {
                    ones = or(ones, low, rows[$k]);
                }
            })*};
        }
        row!(0 1 2 3 4 5 6 7);
        let mut write = |at: usize, bytes: __m512i| {
            // SAFETY: 64 bytes of an eighth of the plane, as above.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(at + j).cast(), bytes) };
        };
        if let Some((at, _)) = one {
            write(at, ones);
        }
        if let Some((at, _)) = two {
            twos.into_iter().enumerate().for_each(|(i, x)| write(at + i * eighth, x));
        }
        if let Some((at, _)) = four {
            fours.into_iter().enumerate().for_each(|(i, x)| write(at + i * eighth, x));
        }
    }
}

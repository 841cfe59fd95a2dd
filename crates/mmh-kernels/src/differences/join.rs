//! Symbols and extra bits to elements.

use super::{STEP, Spec};
use crate::cpu::Simd;

multiversion! {
    /// As the compiler has it.
    fn tile_plain(spec: &Spec, symbols: &[u8], extra: &[u8], at: usize, base: &[u8], out: &mut [u8]) -> usize = tile_generic::<false>;
    on tile_plain_on
}

/// Restores the elements of a tile from their symbols; the extra bits begin at bit `at`. Gives where they end.
pub fn tile_on(
    simd: Simd,
    spec: &Spec,
    symbols: &[u8],
    extra: &[u8],
    at: usize,
    base: &[u8],
    out: &mut [u8],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        return unsafe { avx512::tile(spec, symbols, extra, at, base, out) };
    }
    tile_plain_on(simd, spec, symbols, extra, at, base, out)
}

/// With vectors for the extra bits, which the CPU then has to have, or without.
#[inline(always)]
fn tile_generic<const VECTORS: bool>(
    spec: &Spec,
    symbols: &[u8],
    extra: &[u8],
    at: usize,
    base: &[u8],
    out: &mut [u8],
) -> usize {
    match spec.width {
        0 => bytes::<VECTORS>(spec, symbols, extra, at, base, out),
        1 => halves::<VECTORS>(spec, symbols, extra, at, base, out),
        2 => singles::<VECTORS>(spec, symbols, extra, at, base, out),
        _ => doubles::<VECTORS>(spec, symbols, extra, at, base, out),
    }
}

/// Eight bytes from the byte of a bit on, shifted so that it is the lowest: 57 bits or more. Zeros where there are none.
#[inline(always)]
fn load(extra: &[u8], at: usize) -> u64 {
    let byte = at >> 3;
    if let Some(eight) = extra.get(byte..).and_then(|e| e.first_chunk::<8>()) {
        return u64::from_le_bytes(*eight) >> (at & 7);
    }
    let mut eight = [0; 8];
    eight.iter_mut().zip(extra.get(byte..).unwrap_or_default()).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(eight) >> (at & 7)
}

/// Takes the extra bits of as many elements, `N` for each look at them, which have `bits` each: at most 57 for `N` of them. Gives where they end.
#[inline(always)]
fn take<const N: usize>(
    extra: &[u8],
    mut at: usize,
    bits: &[u8; STEP],
    mut put: impl FnMut(usize, u64),
) -> usize {
    for (i, bits) in bits.as_chunks::<N>().0.iter().enumerate() {
        let mut word = load(extra, at);
        for (j, bits) in bits.iter().enumerate() {
            let bits = *bits as u32 & 63;
            put(N * i + j, word & ((1 << bits) - 1));
            word >>= bits;
            at += bits as usize;
        }
    }
    at
}

/// Up to 64 bits for each element.
#[inline(always)]
fn take_wide(extra: &[u8], mut at: usize, bits: &[u8; STEP], mut put: impl FnMut(usize, u64)) -> usize {
    for (i, bits) in bits.iter().enumerate() {
        let bits = *bits as usize & 63;
        let low = bits.min(32);
        let word = load(extra, at) & ((1 << low) - 1);
        let upper = load(extra, at + low) & ((1 << (bits - low)) - 1);
        put(i, word | upper << low);
        at += bits;
    }
    at
}

/// What vectors write and read again, at the beginning of a line of the cache: across two it would be waited for.
#[repr(align(64))]
struct Line<T>(T);

macro_rules! join {
    ($name:ident, $word:ty) => {
        #[inline(always)]
        fn $name<const VECTORS: bool>(
            spec: &Spec,
            symbols: &[u8],
            extra: &[u8],
            mut at: usize,
            base: &[u8],
            out: &mut [u8],
        ) -> usize {
            const SIZE: usize = size_of::<$word>();
            const BITS: u32 = <$word>::BITS;
            let k = spec.mantissa as u32 & 7;
            let drop = spec.drop as u32 & (BITS - 1);
            let (mask, top) = (<$word>::MAX >> drop, BITS - drop - 1);
            let mantissa = ((1u32 << k) - 1) as $word;
            // What an element whose sign is set has inverted.
            let flip = if spec.float { mask >> 1 } else { 0 };
            let ordered = |x: $word| x ^ ((0 as $word).wrapping_sub(x >> top & 1) & flip);
            let most = spec.most_extra();
            let steps = symbols.chunks(STEP).zip(base.as_chunks::<SIZE>().0.chunks(STEP));
            for ((symbols, base), out) in steps.zip(out.as_chunks_mut::<SIZE>().0.chunks_mut(STEP)) {
                let mut lines = (Line([0u8; STEP]), Line([0 as $word; STEP]));
                let (Line(bits), Line(low)) = &mut lines;
                bits.iter_mut().zip(symbols).for_each(|(bits, s)| *bits = (s >> k).max(1) - 1);
                if symbols.iter().fold(0, |most, s| (*s).max(most)) >> k > 1 {
                    #[cfg(target_arch = "x86_64")]
                    let taken = match VECTORS {
                        // SAFETY: with vectors the caller has been compiled for them.
                        true => unsafe { avx512::$name(extra, at, most, bits, low) },
                        false => None,
                    };
                    #[cfg(not(target_arch = "x86_64"))]
                    let taken: Option<usize> = None;
                    let put = |i: usize, value: u64| low[i % STEP] = value as $word;
                    at = match (taken, most) {
                        (Some(end), _) => end,
                        (None, 0..=14) => take::<4>(extra, at, bits, put),
                        (None, 15..=28) => take::<2>(extra, at, bits, put),
                        (None, 29..=57) => take::<1>(extra, at, bits, put),
                        _ => take_wide(extra, at, bits, put),
                    };
                }
                let each = out.iter_mut().zip(base).zip(symbols).zip(bits.iter().zip(low.iter()));
                for (((y, x), s), (bits, low)) in each {
                    let s = *s as $word;
                    let highest = ((s >> k != 0) as $word) << k;
                    let difference =
                        ((s & mantissa | highest) << (*bits as u32 & (BITS - 1))).wrapping_add(*low);
                    let d = (difference >> 1) ^ (0 as $word).wrapping_sub(difference & 1);
                    let x = ordered(<$word>::from_le_bytes(*x) >> drop);
                    *y = (ordered(x.wrapping_add(d) & mask) << drop).to_le_bytes();
                }
            }
            at
        }
    };
}
join!(bytes, u8);
join!(halves, u16);
join!(singles, u32);
join!(doubles, u64);

/// Extra bits of 16 or 8 elements at a time: where each one's begin is a running sum, and all of them are in one register.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{STEP, Spec, tile_generic};
    use std::arch::x86_64::*;

    #[target_feature(
        enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2"
    )]
    pub fn tile(spec: &Spec, symbols: &[u8], extra: &[u8], at: usize, base: &[u8], out: &mut [u8]) -> usize {
        tile_generic::<true>(spec, symbols, extra, at, base, out)
    }

    /// The 64 bytes from that of a bit on.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn near(extra: &[u8], at: usize) -> Option<__m512i> {
        let bytes: &[u8; 64] = extra.get(at / 8..)?.first_chunk()?;
        // SAFETY: there are 64 bytes.
        Some(unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) })
    }

    /// Takes the bits of 16 elements, at most 25 each. Gives them and where they end.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn sixteen(extra: &[u8], at: usize, bits: &[u8; 16]) -> Option<(__m512i, usize)> {
        let all = near(extra, at)?;
        let zero = _mm512_setzero_si512();
        // SAFETY: there are 16 bytes.
        let bits = _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(bits.as_ptr().cast()) });
        let sum = _mm512_add_epi32(bits, _mm512_alignr_epi32::<15>(bits, zero));
        let sum = _mm512_add_epi32(sum, _mm512_alignr_epi32::<14>(sum, zero));
        let sum = _mm512_add_epi32(sum, _mm512_alignr_epi32::<12>(sum, zero));
        let sum = _mm512_add_epi32(sum, _mm512_alignr_epi32::<8>(sum, zero));
        let taken = _mm_extract_epi32::<3>(_mm512_extracti32x4_epi32::<3>(sum)) as usize;
        let from = _mm512_add_epi32(_mm512_sub_epi32(sum, bits), _mm512_set1_epi32(at as i32 & 7));
        // Four bytes from the first one of each on: at most 15 · 25 + 7 bits lie before them.
        let first = _mm512_shuffle_epi8(
            _mm512_srli_epi32::<3>(from),
            _mm512_set4_epi32(0x0c0c_0c0c, 0x0808_0808, 0x0404_0404, 0),
        );
        let bytes = _mm512_add_epi8(first, _mm512_set1_epi32(0x0302_0100));
        let words = _mm512_permutexvar_epi8(bytes, all);
        let words = _mm512_srlv_epi32(words, _mm512_and_si512(from, _mm512_set1_epi32(7)));
        let beyond = _mm512_sllv_epi32(_mm512_set1_epi32(-1), bits);
        Some((_mm512_andnot_si512(beyond, words), at + taken))
    }

    /// The same of 8 elements, at most 57 each.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn eight(extra: &[u8], at: usize, bits: &[u8; 8]) -> Option<(__m512i, usize)> {
        let all = near(extra, at)?;
        let zero = _mm512_setzero_si512();
        let bits = _mm512_cvtepu8_epi64(_mm_cvtsi64_si128(i64::from_le_bytes(*bits)));
        let sum = _mm512_add_epi64(bits, _mm512_alignr_epi64::<7>(bits, zero));
        let sum = _mm512_add_epi64(sum, _mm512_alignr_epi64::<6>(sum, zero));
        let sum = _mm512_add_epi64(sum, _mm512_alignr_epi64::<4>(sum, zero));
        let taken = _mm_extract_epi64::<1>(_mm512_extracti32x4_epi32::<3>(sum)) as usize;
        let from = _mm512_add_epi64(_mm512_sub_epi64(sum, bits), _mm512_set1_epi64(at as i64 & 7));
        // Eight bytes from the first one of each on: at most 7 · 57 + 7 bits lie before them.
        let first = _mm512_shuffle_epi8(
            _mm512_srli_epi64::<3>(from),
            _mm512_set4_epi32(0x0808_0808, 0x0808_0808, 0, 0),
        );
        let bytes = _mm512_add_epi8(first, _mm512_set1_epi64(0x0706_0504_0302_0100));
        let words = _mm512_permutexvar_epi8(bytes, all);
        let words = _mm512_srlv_epi64(words, _mm512_and_si512(from, _mm512_set1_epi64(7)));
        let beyond = _mm512_sllv_epi64(_mm512_set1_epi64(-1), bits);
        Some((_mm512_andnot_si512(beyond, words), at + taken))
    }

    /// The same of 32 elements, at most [`MOST_OF_FOUR`] each: eight bytes have those of four.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn thirty_two(extra: &[u8], at: usize, bits: &[u8; 32]) -> Option<(__m512i, usize)> {
        let all = near(extra, at)?;
        let zero = _mm512_setzero_si512();
        // SAFETY: there are 32 bytes.
        let bits = _mm512_cvtepu8_epi16(unsafe { _mm256_loadu_si256(bits.as_ptr().cast()) });
        let sum = _mm512_add_epi16(bits, _mm512_slli_epi64::<16>(bits));
        let sum = _mm512_add_epi16(sum, _mm512_slli_epi64::<32>(sum));
        let fours = _mm512_srli_epi64::<48>(sum);
        let end = _mm512_add_epi64(fours, _mm512_alignr_epi64::<7>(fours, zero));
        let end = _mm512_add_epi64(end, _mm512_alignr_epi64::<6>(end, zero));
        let end = _mm512_add_epi64(end, _mm512_alignr_epi64::<4>(end, zero));
        let taken = _mm_extract_epi64::<1>(_mm512_extracti32x4_epi32::<3>(end)) as usize;
        let from = _mm512_add_epi64(_mm512_sub_epi64(end, fours), _mm512_set1_epi64(at as i64 & 7));
        // Eight bytes from that of the first bit of each four on.
        let each = _mm512_set4_epi32(0x0808_0808, 0x0808_0808, 0, 0);
        let first = _mm512_shuffle_epi8(_mm512_srli_epi64::<3>(from), each);
        let bytes = _mm512_add_epi8(first, _mm512_set1_epi64(0x0706_0504_0302_0100));
        let eights = _mm512_permutexvar_epi8(bytes, all);
        // Where in them the bits of each element begin: those of its lower and of its upper byte.
        let before = _mm512_sub_epi16(sum, bits);
        let before = _mm512_add_epi8(
            _mm512_or_si512(before, _mm512_slli_epi16::<8>(before)),
            _mm512_set1_epi16(0x0800),
        );
        let within = _mm512_shuffle_epi8(_mm512_and_si512(from, _mm512_set1_epi64(7)), each);
        let words = _mm512_multishift_epi64_epi8(_mm512_add_epi8(before, within), eights);
        let beyond = _mm512_sllv_epi16(_mm512_set1_epi16(-1), bits);
        Some((_mm512_andnot_si512(beyond, words), at + taken))
    }

    /// With 7 bits before them, the bits of four elements are in eight bytes.
    const MOST_OF_FOUR: u32 = (64 - 7) / 4;

    /// Takes the bits of a step and gives where they end; `None` where too few bytes are left.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
    pub fn halves(
        extra: &[u8],
        mut at: usize,
        most: u32,
        bits: &[u8; STEP],
        low: &mut [u16; STEP],
    ) -> Option<usize> {
        if most > MOST_OF_FOUR {
            return wide_halves(extra, at, most, bits, low);
        }
        for (low, bits) in low.as_chunks_mut::<32>().0.iter_mut().zip(bits.as_chunks::<32>().0) {
            let (words, end) = thirty_two(extra, at, bits)?;
            // SAFETY: as many words are written as there is room for.
            unsafe { _mm512_storeu_si512(low.as_mut_ptr().cast(), words) };
            at = end;
        }
        Some(at)
    }

    macro_rules! take {
        ($name:ident, $word:ty, $n:literal, $some:ident, $store:expr) => {
            /// Takes the bits of a step and gives where they end; `None` where too few bytes are left, or elements are too wide.
            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
            pub fn $name(
                extra: &[u8],
                mut at: usize,
                _: u32,
                bits: &[u8; STEP],
                low: &mut [$word; STEP],
            ) -> Option<usize> {
                for (low, bits) in low.as_chunks_mut::<$n>().0.iter_mut().zip(bits.as_chunks::<$n>().0) {
                    let (words, end) = $some(extra, at, bits)?;
                    // SAFETY: as many words are written as there is room for.
                    unsafe { $store(low.as_mut_ptr(), words) };
                    at = end;
                }
                Some(at)
            }
        };
    }
    take!(bytes, u8, 16, sixteen, |to: *mut u8, words| _mm_storeu_si128(
        to.cast(),
        _mm512_cvtepi32_epi8(words)
    ));
    take!(wide_halves, u16, 16, sixteen, |to: *mut u16, words| _mm256_storeu_si256(
        to.cast(),
        _mm512_cvtepi32_epi16(words)
    ));
    take!(singles, u32, 8, eight, |to: *mut u32, words| _mm256_storeu_si256(
        to.cast(),
        _mm512_cvtepi64_epi32(words)
    ));

    /// Elements of 64 bits have too many.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn doubles(_: &[u8], _: usize, _: u32, _: &[u8; STEP], _: &mut [u64; STEP]) -> Option<usize> {
        None
    }
}

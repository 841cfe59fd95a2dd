//! Classes, and bytes in the order of them: a counting sort, and what undoes it.

use super::Spec;
use crate::cpu::Simd;

/// Writes the class of each element.
#[inline(always)]
pub fn of(spec: &Spec, base: &[u8], classes: &mut [u8]) {
    let shift = spec.shift as u32;
    let mask = ((1u32 << spec.bits.min(8)) - 1) as u8;
    macro_rules! each {
        ($word:ty) => {{
            let words = base.as_chunks::<{ size_of::<$word>() }>().0;
            let shift = shift & (<$word>::BITS - 1);
            classes
                .iter_mut()
                .zip(words)
                .for_each(|(class, x)| *class = (<$word>::from_le_bytes(*x) >> shift) as u8 & mask);
        }};
    }
    match spec.width {
        _ if mask == 0 => classes.fill(0),
        0 => each!(u8),
        1 => each!(u16),
        2 => each!(u32),
        _ => each!(u64),
    }
}

/// Where the next byte of each class stands.
pub struct Places {
    next: [u32; 256],
    /// The classes, the most frequent first, and how many there are.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    order: [u8; 256],
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    known: usize,
}

impl Places {
    /// At the beginning, given how many bytes each class has.
    pub fn of(counts: &[u32; 256]) -> Places {
        let mut order: [u8; 256] = std::array::from_fn(|i| i as u8);
        order.sort_by_key(|c| std::cmp::Reverse(counts[*c as usize]));
        let known = counts.iter().filter(|c| **c > 0).count();
        let mut start = 0u32;
        let next = counts.map(|c| {
            start = start.wrapping_add(c);
            start.wrapping_sub(c)
        });
        Places { next, order, known }
    }

    /// The place of the next byte of a class.
    #[inline(always)]
    fn next(&mut self, class: u8) -> usize {
        let place = &mut self.next[class as usize];
        *place += 1;
        *place as usize - 1
    }
}

/// Takes the bytes of elements of these classes out of `sorted`.
pub fn take(simd: Simd, classes: &[u8], places: &mut Places, sorted: &[u8], bytes: &mut [u8]) {
    // All of one class stand as they are.
    if places.known == 1
        && let (Some(first), n) = (classes.first(), classes.len())
    {
        let from = places.next[*first as usize] as usize;
        if let Some(all) = sorted.get(from..from + n) {
            bytes.copy_from_slice(all);
            places.next[*first as usize] += n as u32;
            return;
        }
    }
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        return unsafe { avx512::take(classes, places, sorted, bytes) };
    }
    let _ = simd;
    take_scalar(classes, places, sorted, bytes);
}

/// Puts the bytes of elements of these classes where they belong in `sorted`.
pub fn put(simd: Simd, classes: &[u8], places: &mut Places, bytes: &[u8], sorted: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        // SAFETY: as above.
        return unsafe { avx512::put(classes, places, bytes, sorted) };
    }
    let _ = simd;
    put_scalar(classes, places, bytes, sorted);
}

#[inline(always)]
fn take_scalar(classes: &[u8], places: &mut Places, sorted: &[u8], bytes: &mut [u8]) {
    for (byte, class) in bytes.iter_mut().zip(classes) {
        *byte = sorted.get(places.next(*class)).copied().unwrap_or_default();
    }
}

#[inline(always)]
fn put_scalar(classes: &[u8], places: &mut Places, bytes: &[u8], sorted: &mut [u8]) {
    for (byte, class) in bytes.iter().zip(classes) {
        if let Some(to) = sorted.get_mut(places.next(*class)) {
            *to = *byte;
        }
    }
}

/// Class by class, 64 elements at a time: most weights have one of a few exponents.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{Places, put_scalar, take_scalar};
    use std::arch::x86_64::*;

    /// Classes that are looked for among 64 elements at once; elements of others go one by one.
    const FREQUENT: usize = 20;

    /// Which of 64 elements are of each frequent class, as `$body` is told by `$mask` and `$place`, and which are left.
    macro_rules! each_class {
        ($classes:ident, $places:ident, |$mask:ident, $place:ident| $body:block) => {{
            let mut left = u64::MAX;
            for class in &$places.order[..$places.known.min(FREQUENT)] {
                let $mask = _mm512_cmpeq_epi8_mask($classes, _mm512_set1_epi8(*class as i8));
                if $mask != 0 {
                    let $place = $places.next[*class as usize] as usize;
                    $body
                    $places.next[*class as usize] += $mask.count_ones();
                    left &= !$mask;
                    if left == 0 {
                        break;
                    }
                }
            }
            left
        }};
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
    pub fn take(classes: &[u8], places: &mut Places, sorted: &[u8], bytes: &mut [u8]) {
        let ((blocks, rest), (out, out_rest)) = (classes.as_chunks::<64>(), bytes.as_chunks_mut::<64>());
        for (block, out) in blocks.iter().zip(out) {
            // SAFETY: there are 64 bytes.
            let of = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
            let mut all = _mm512_setzero_si512();
            let mut left = each_class!(of, places, |mask, place| {
                let n = mask.count_ones();
                let some = match sorted.get(place..place + 64) {
                    // SAFETY: there are 64 bytes.
                    Some(b) => unsafe { _mm512_loadu_si512(b.as_ptr().cast()) },
                    None => {
                        let mut last = [0u8; 64];
                        let from = sorted.get(place..).unwrap_or_default();
                        last.iter_mut().zip(from).take(n as usize).for_each(|(to, from)| *to = *from);
                        // SAFETY: there are 64 bytes.
                        unsafe { _mm512_loadu_si512(last.as_ptr().cast()) }
                    }
                };
                all = _mm512_mask_expand_epi8(all, mask, some);
            });
            // SAFETY: there are 64 bytes.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), all) };
            while left != 0 {
                let i = left.trailing_zeros() as usize & 63;
                left &= left - 1;
                out[i] = sorted.get(places.next(block[i])).copied().unwrap_or_default();
            }
        }
        take_scalar(rest, places, sorted, out_rest);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
    pub fn put(classes: &[u8], places: &mut Places, bytes: &[u8], sorted: &mut [u8]) {
        let ((blocks, rest), (from, from_rest)) = (classes.as_chunks::<64>(), bytes.as_chunks::<64>());
        for (block, from) in blocks.iter().zip(from) {
            // SAFETY: there are 64 bytes in each.
            let (of, all) = unsafe {
                (_mm512_loadu_si512(block.as_ptr().cast()), _mm512_loadu_si512(from.as_ptr().cast()))
            };
            let mut left = each_class!(of, places, |mask, place| {
                let n = mask.count_ones();
                let some = _mm512_maskz_compress_epi8(mask, all);
                if let Some(to) = sorted.get_mut(place..place + n as usize) {
                    let first = u64::MAX >> (64 - n);
                    // SAFETY: no more than the `n` bytes are written.
                    unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr().cast(), first, some) };
                }
            });
            while left != 0 {
                let i = left.trailing_zeros() as usize & 63;
                left &= left - 1;
                if let Some(to) = sorted.get_mut(places.next(block[i])) {
                    *to = from[i];
                }
            }
        }
        put_scalar(rest, places, from_rest, sorted);
    }
}

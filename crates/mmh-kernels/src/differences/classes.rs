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

/// How many elements each class has.
pub fn count(simd: Simd, classes: &[u8]) -> [u32; 256] {
    let mut counts = [0; 256];
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        unsafe { avx512::count(classes, &mut counts) };
        return counts;
    }
    crate::histogram::bytes_on(simd, classes, &mut counts);
    counts
}

/// The classes, the most frequent first.
fn order(counts: &[u32; 256]) -> [u8; 256] {
    let mut order: [u8; 256] = std::array::from_fn(|i| i as u8);
    order.sort_by_key(|c| std::cmp::Reverse(counts[*c as usize]));
    order
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
        let known = counts.iter().filter(|c| **c > 0).count();
        let mut start = 0u32;
        let next = counts.map(|c| {
            start = start.wrapping_add(c);
            start.wrapping_sub(c)
        });
        Places { next, order: order(counts), known }
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
    use super::{Places, order, put_scalar, take_scalar};
    use std::arch::x86_64::*;

    /// Classes that are looked for among 64 elements at once; elements of others go one by one.
    const FREQUENT: usize = 20;

    /// Classes that are counted without a question whether there are any among 64 elements, and those that bytes are taken out for: where weights are
    /// bell-shaped, one element of the 64 is left, or none.
    const COUNTED: usize = 12;
    const ALWAYS: usize = 8;

    /// So many elements that are left are taken one by one.
    const LEFT: u32 = 4;

    /// Of which classes there are many is told by so many elements, in pieces.
    const SAMPLE: usize = 2048;
    const PIECE: usize = 64;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
    pub fn count(classes: &[u8], counts: &mut [u32; 256]) {
        let (blocks, rest) = classes.as_chunks::<64>();
        rest.iter().for_each(|class| counts[*class as usize] += 1);
        let mut some = [0; 256];
        for block in blocks.iter().step_by((classes.len() / SAMPLE).max(1) * PIECE / 64) {
            block.iter().for_each(|class| some[*class as usize] += 1);
        }
        let order = order(&some);
        let mut frequent = [0u32; COUNTED];
        for block in blocks {
            // SAFETY: there are 64 bytes.
            let of = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
            let mut left = u64::MAX;
            for (n, class) in frequent.iter_mut().zip(&order) {
                let mask = _mm512_cmpeq_epi8_mask(of, _mm512_set1_epi8(*class as i8));
                *n += mask.count_ones();
                left &= !mask;
            }
            while left != 0 {
                counts[block[left.trailing_zeros() as usize & 63] as usize] += 1;
                left &= left - 1;
            }
        }
        frequent.iter().zip(order).for_each(|(n, class)| counts[class as usize] += n);
    }

    /// 64 bytes from a place on, as far as there are any.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn load(sorted: &[u8], place: usize) -> __m512i {
        match sorted.get(place..).and_then(|s| s.first_chunk::<64>()) {
            // SAFETY: there are 64 bytes.
            Some(bytes) => unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) },
            None => last(sorted, place),
        }
    }

    #[cold]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn last(sorted: &[u8], place: usize) -> __m512i {
        let mut last = [0u8; 64];
        let from = sorted.get(place..).unwrap_or_default();
        last.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        // SAFETY: there are 64 bytes.
        unsafe { _mm512_loadu_si512(last.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
    pub fn take(classes: &[u8], places: &mut Places, sorted: &[u8], bytes: &mut [u8]) {
        let ((blocks, rest), (out, out_rest)) = (classes.as_chunks::<64>(), bytes.as_chunks_mut::<64>());
        let always: [u8; ALWAYS] = std::array::from_fn(|i| places.order[i]);
        let others: [u8; FREQUENT - ALWAYS] = std::array::from_fn(|i| places.order[ALWAYS + i]);
        for (block, out) in blocks.iter().zip(out) {
            // SAFETY: there are 64 bytes.
            let of = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
            let (mut all, mut left) = (_mm512_setzero_si512(), u64::MAX);
            let mut one = |class: u8, mask: u64| {
                let next = &mut places.next[class as usize];
                all = _mm512_mask_expand_epi8(all, mask, load(sorted, *next as usize));
                *next += mask.count_ones();
                left &= !mask;
                left
            };
            for class in always {
                one(class, _mm512_cmpeq_epi8_mask(of, _mm512_set1_epi8(class as i8)));
            }
            if one(0, 0).count_ones() > LEFT {
                for class in others {
                    let mask = _mm512_cmpeq_epi8_mask(of, _mm512_set1_epi8(class as i8));
                    if mask != 0 && one(class, mask) == 0 {
                        break;
                    }
                }
            }
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
            let mut left = u64::MAX;
            for class in &places.order[..places.known.min(FREQUENT)] {
                let mask = _mm512_cmpeq_epi8_mask(of, _mm512_set1_epi8(*class as i8));
                if mask == 0 {
                    continue;
                }
                let n = mask.count_ones();
                let next = &mut places.next[*class as usize];
                let some = _mm512_maskz_compress_epi8(mask, all);
                if let Some(to) = sorted.get_mut(*next as usize..(*next + n) as usize) {
                    let first = u64::MAX >> (64 - n);
                    // SAFETY: no more than the `n` bytes are written.
                    unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr().cast(), first, some) };
                }
                *next += n;
                left &= !mask;
                if left == 0 {
                    break;
                }
            }
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

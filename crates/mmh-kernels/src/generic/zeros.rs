//! Which low bits are zero.

use super::Word;

#[inline(always)]
pub fn segment_ors(width: u8, rest: &[u64], len: usize, segment: usize, out: &mut Vec<u64>) {
    match width {
        0 => segment_ors_in::<u8>(rest, len, segment, out),
        1 => segment_ors_in::<u16>(rest, len, segment, out),
        2 => segment_ors_in::<u32>(rest, len, segment, out),
        _ => segment_ors_in::<u64>(rest, len, segment, out),
    }
}

#[inline(always)]
fn segment_ors_in<W: Word>(rest: &[u64], len: usize, segment: usize, out: &mut Vec<u64>) {
    let rest: &[W] = bytemuck::cast_slice(rest);
    for s in rest[..len].chunks(segment.max(1)) {
        out.push(s.iter().fold(W::default(), |a, &x| a.or(x)).to_u64());
    }
}

#[inline(always)]
pub fn low_bit_in_each(width: u8, data: &[u8], segment: usize) -> bool {
    // The lowest bits of all elements of eight bytes.
    let lowest = u64::MAX / (u64::MAX >> (64 - (8 << width.min(3))));
    // From the end on: that is what other passes over the data have left in the cache.
    data.chunks(segment.max(1) << width).rev().all(|part| {
        // The first few elements nearly always tell.
        let (first, others) = part.split_at(part.len().min(FIRST));
        let odd = |part: &[u8]| {
            let (words, tail) = part.as_chunks::<8>();
            let or = words.iter().fold(0, |or, word| or | u64::from_le_bytes(*word));
            let mut last = [0; 8];
            last[..tail.len()].copy_from_slice(tail);
            (or | u64::from_le_bytes(last)) & lowest != 0
        };
        match first.first_chunk::<FIRST>() {
            Some(first) => odd(first) || odd(others),
            None => odd(part),
        }
    })
}

/// Bytes of a segment that are looked at first.
const FIRST: usize = 32;

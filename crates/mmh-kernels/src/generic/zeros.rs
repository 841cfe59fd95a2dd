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

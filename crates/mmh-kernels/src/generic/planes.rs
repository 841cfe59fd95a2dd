//! Rest ⇄ planes. Element `i` of a plane of `p` bits is at byte `i mod c`, bit `p · ⌊i / c⌋`, with `c = ⌈m·p/8⌉`: so each loop runs
//! over neighbouring bytes with one constant shift, which every instruction set can do.

use super::Word;
use crate::planes::Plane;

#[inline(always)]
pub fn unpack_or(width: u8, plane: &Plane<'_>, start: usize, rest: &mut [u64], len: usize) {
    unpack::<true>(width, plane, start, rest, len);
}

#[inline(always)]
pub fn unpack_first(width: u8, plane: &Plane<'_>, start: usize, rest: &mut [u64], len: usize) {
    unpack::<false>(width, plane, start, rest, len);
}

#[inline(always)]
fn unpack<const OR: bool>(width: u8, plane: &Plane<'_>, start: usize, rest: &mut [u64], len: usize) {
    match width {
        0 => unpack_in::<u8, OR>(plane, start, rest, len),
        1 => unpack_in::<u16, OR>(plane, start, rest, len),
        2 => unpack_in::<u32, OR>(plane, start, rest, len),
        _ => unpack_in::<u64, OR>(plane, start, rest, len),
    }
}

#[inline(always)]
fn unpack_in<W: Word, const OR: bool>(plane: &Plane<'_>, start: usize, rest: &mut [u64], len: usize) {
    let rest: &mut [W] = bytemuck::cast_slice_mut(rest);
    let mut rest = &mut rest[..len];
    let (p, shift, c) = (plane.bits as u32, plane.shift as u32, plane.data.len());
    if c == 0 {
        return;
    }
    let mask = (0xffu16 >> (8 - p)) as u8;
    let mut at = start;
    while !rest.is_empty() {
        let (row, column) = (at / c, at % c);
        let run = rest.len().min(c - column);
        let (now, later) = rest.split_at_mut(run);
        let down = (p * row as u32) & 7;
        for (r, &b) in now.iter_mut().zip(&plane.data[column..column + run]) {
            let bits = W::from_u64(((b >> down) & mask) as u64).shl(shift);
            *r = if OR { r.or(bits) } else { bits };
        }
        at += run;
        rest = later;
    }
}

#[inline(always)]
pub fn pack(width: u8, rest: &[u64], len: usize, bits: u8, shift: u8, out: &mut [u8]) {
    match width {
        0 => pack_in::<u8>(rest, len, bits, shift, out),
        1 => pack_in::<u16>(rest, len, bits, shift, out),
        2 => pack_in::<u32>(rest, len, bits, shift, out),
        _ => pack_in::<u64>(rest, len, bits, shift, out),
    }
}

#[inline(always)]
fn pack_in<W: Word>(rest: &[u64], len: usize, bits: u8, shift: u8, out: &mut [u8]) {
    let rest: &[W] = bytemuck::cast_slice(rest);
    let rest = &rest[..len];
    let (p, shift) = (bits as u32, shift as u32);
    let mask = (0xffu16 >> (8 - p)) as u8;
    for (row, part) in rest.chunks(out.len().max(1)).enumerate() {
        let up = (p * row as u32) & 7;
        if row == 0 {
            for (o, r) in out.iter_mut().zip(part) {
                *o = r.shr(shift).to_u64() as u8 & mask;
            }
        } else {
            for (o, r) in out.iter_mut().zip(part) {
                *o |= (r.shr(shift).to_u64() as u8 & mask) << up;
            }
        }
    }
}

pub fn each_word(
    width: u8,
    from: &[u64],
    from_at: usize,
    to: &mut [u64],
    to_at: usize,
    len: usize,
    or: bool,
) {
    match width {
        0 => each_word_in::<u8>(from, from_at, to, to_at, len, or),
        1 => each_word_in::<u16>(from, from_at, to, to_at, len, or),
        2 => each_word_in::<u32>(from, from_at, to, to_at, len, or),
        _ => each_word_in::<u64>(from, from_at, to, to_at, len, or),
    }
}

fn each_word_in<W: Word>(from: &[u64], from_at: usize, to: &mut [u64], to_at: usize, len: usize, or: bool) {
    let from: &[W] = &bytemuck::cast_slice::<u64, W>(from)[from_at..from_at + len];
    let to: &mut [W] = &mut bytemuck::cast_slice_mut::<u64, W>(to)[to_at..to_at + len];
    if or {
        for (t, f) in to.iter_mut().zip(from) {
            *t = t.or(*f);
        }
    } else {
        to.copy_from_slice(from);
    }
}

//! Element ⇄ symbol and rest.

use super::Word;
use crate::fields::FieldSpec;

/// How the sign is treated, as a compile-time constant so that the loops have no branch.
const PLAIN: u8 = 0;
const SIGN: u8 = 1;
const ZIGZAG: u8 = 2;

/// Calls `$f::<W, MODE>` for the spec's width and mode.
macro_rules! by_spec {
    ($spec:expr, $f:ident ( $($arg:expr),* )) => {
        match $spec.width {
            0 => by_mode!($spec, $f<u8>($($arg),*)),
            1 => by_mode!($spec, $f<u16>($($arg),*)),
            2 => by_mode!($spec, $f<u32>($($arg),*)),
            _ => by_mode!($spec, $f<u64>($($arg),*)),
        }
    };
}

/// Calls `$f::<W, R, MODE>`, R the word that holds what is kept of the rest.
macro_rules! by_rest {
    ($spec:expr, $f:ident ( $($arg:expr),* )) => {
        match ($spec.width, $spec.rest_width()) {
            (0, _) => by_mode!($spec, $f<u8, u8>($($arg),*)),
            (1, 0) => by_mode!($spec, $f<u16, u8>($($arg),*)),
            (1, _) => by_mode!($spec, $f<u16, u16>($($arg),*)),
            (2, 0) => by_mode!($spec, $f<u32, u8>($($arg),*)),
            (2, 1) => by_mode!($spec, $f<u32, u16>($($arg),*)),
            (2, _) => by_mode!($spec, $f<u32, u32>($($arg),*)),
            (_, 0) => by_mode!($spec, $f<u64, u8>($($arg),*)),
            (_, 1) => by_mode!($spec, $f<u64, u16>($($arg),*)),
            (_, 2) => by_mode!($spec, $f<u64, u32>($($arg),*)),
            _ => by_mode!($spec, $f<u64, u64>($($arg),*)),
        }
    };
}

macro_rules! by_mode {
    ($spec:expr, $f:ident < $($w:ty),* > ( $($arg:expr),* )) => {
        if $spec.sign_moved {
            $f::<$($w,)* SIGN>($($arg),*)
        } else if $spec.zigzag {
            $f::<$($w,)* ZIGZAG>($($arg),*)
        } else {
            $f::<$($w,)* PLAIN>($($arg),*)
        }
    };
}

/// The bits below the symbol field.
#[inline(always)]
fn low_mask<W: Word>(n: u32) -> W {
    if n >= 64 { W::from_u64(u64::MAX) } else { W::from_u64((1u64 << n) - 1) }
}

#[inline(always)]
fn zigzag<W: Word>(x: W) -> W {
    x.shl(1).xor(x.shr(W::BITS - 1).neg())
}

#[inline(always)]
fn unzigzag<W: Word>(x: W) -> W {
    x.shr(1).xor(x.and(W::from_u64(1)).neg())
}

/// Number of bits by which the symbol field is shifted up in the element, after zigzag.
#[inline(always)]
fn shift<W: Word, const MODE: u8>(t: u32) -> u32 {
    let r = W::BITS - t;
    if MODE == SIGN { r - 1 } else { r }
}

#[inline(always)]
fn field<W: Word, const MODE: u8>(x: W, t: u32, shift: u32) -> W {
    let x = if MODE == ZIGZAG { zigzag(x) } else { x };
    let top = x.shr(shift);
    if MODE == SIGN { top.and(low_mask(t)) } else { top }
}

#[inline(always)]
pub fn top_fields(spec: &FieldSpec, src: &[u8], out: &mut [u16]) {
    by_spec!(spec, top_fields_in(spec, src, out));
}

#[inline(always)]
fn top_fields_in<W: Word, const MODE: u8>(spec: &FieldSpec, src: &[u8], out: &mut [u16]) {
    let t = spec.t as u32;
    let s = shift::<W, MODE>(t);
    for (x, o) in src.chunks_exact(size_of::<W>()).zip(out) {
        *o = field::<W, MODE>(W::load(x), t, s).to_u64() as u16;
    }
}

#[inline(always)]
pub fn symbols(spec: &FieldSpec, src: &[u8], out: &mut [u8], misses: &mut Vec<u32>) {
    by_spec!(spec, symbols_in(spec, src, out, misses));
}

#[inline(always)]
fn symbols_in<W: Word, const MODE: u8>(spec: &FieldSpec, src: &[u8], out: &mut [u8], misses: &mut Vec<u32>) {
    let t = spec.t as u32;
    let s = shift::<W, MODE>(t);
    if t <= 8 {
        for (x, o) in src.chunks_exact(size_of::<W>()).zip(out) {
            *o = field::<W, MODE>(W::load(x), t, s).to_u64() as u8;
        }
        return;
    }
    const CHUNK: usize = 1024;
    let base = spec.base;
    for (c, (xs, os)) in src.chunks(CHUNK * size_of::<W>()).zip(out.chunks_mut(CHUNK)).enumerate() {
        let mut missed = 0u16;
        for (x, o) in xs.chunks_exact(size_of::<W>()).zip(os.iter_mut()) {
            let f = field::<W, MODE>(W::load(x), t, s).to_u64() as u16;
            let d = f.wrapping_sub(base);
            let inside = d.wrapping_sub(1) < 255;
            *o = if inside { d as u8 } else { 0 };
            missed |= if inside { 0 } else { f };
        }
        if missed != 0 {
            for (i, x) in xs.chunks_exact(size_of::<W>()).enumerate() {
                let f = field::<W, MODE>(W::load(x), t, s).to_u64() as u16;
                if f != 0 && f.wrapping_sub(base).wrapping_sub(1) >= 255 {
                    misses.push((c * CHUNK + i) as u32);
                }
            }
        }
    }
}

#[inline(always)]
pub fn rests(spec: &FieldSpec, src: &[u8], out: &mut [u64]) {
    by_rest!(spec, rests_in(spec, src, out));
}

#[inline(always)]
fn rests_in<W: Word, R: Word, const MODE: u8>(spec: &FieldSpec, src: &[u8], out: &mut [u64]) {
    let r = W::BITS - spec.t as u32;
    if r == 0 {
        return;
    }
    let drop = spec.drop as u32;
    let out: &mut [R] = bytemuck::cast_slice_mut(out);
    for (x, o) in src.chunks_exact(size_of::<W>()).zip(out) {
        let x = W::load(x);
        let x = if MODE == ZIGZAG { zigzag(x) } else { x };
        let rest = if MODE == SIGN {
            x.and(low_mask(r - 1)).or(x.shr(W::BITS - 1).shl(r - 1))
        } else {
            x.and(low_mask(r))
        };
        *o = R::from_u64(if drop >= W::BITS { 0 } else { rest.shr(drop).to_u64() });
    }
}

#[inline(always)]
pub fn merge(spec: &FieldSpec, symbols: &[u8], rest: &[u64], out: &mut [u8]) {
    by_rest!(spec, merge_words(spec, symbols, rest, out));
}

#[inline(always)]
fn merge_words<W: Word, R: Word, const MODE: u8>(
    spec: &FieldSpec,
    symbols: &[u8],
    rest: &[u64],
    out: &mut [u8],
) {
    merge_in::<W, R, MODE>(spec, symbols, bytemuck::cast_slice(rest), out);
}

#[inline(always)]
pub fn merge_bytes(spec: &FieldSpec, symbols: &[u8], rest: &[u8], out: &mut [u8]) {
    by_spec!(spec, merge_bytes_in(spec, symbols, rest, out));
}

#[inline(always)]
fn merge_bytes_in<W: Word, const MODE: u8>(spec: &FieldSpec, symbols: &[u8], rest: &[u8], out: &mut [u8]) {
    merge_in::<W, u8, MODE>(spec, symbols, rest, out);
}

#[inline(always)]
fn merge_in<W: Word, R: Word, const MODE: u8>(spec: &FieldSpec, symbols: &[u8], rest: &[R], out: &mut [u8]) {
    let t = spec.t as u32;
    let r = W::BITS - t;
    let s = shift::<W, MODE>(t);
    let drop = spec.drop as u32;
    let mask = low_mask::<W>(t);
    let base = spec.base;
    for ((o, &sym), &rest) in out.chunks_exact_mut(size_of::<W>()).zip(symbols).zip(rest) {
        let f = if t <= 8 {
            W::from_u64(sym as u64)
        } else {
            let f = base.wrapping_add(sym as u16);
            W::from_u64(if sym == 0 { 0 } else { f } as u64)
        }
        .and(mask);
        let rest =
            if r == 0 || drop >= W::BITS { W::default() } else { W::from_u64(rest.to_u64()).shl(drop) };
        let x = if MODE == SIGN {
            f.shl(s).or(rest.and(low_mask(r - 1))).or(rest.shr(r - 1).shl(W::BITS - 1))
        } else if r == 0 {
            f
        } else {
            f.shl(s).or(rest.and(low_mask(r)))
        };
        let x = if MODE == ZIGZAG { unzigzag(x) } else { x };
        x.store(o);
    }
}

#[inline(always)]
pub fn patch(spec: &FieldSpec, element: &mut [u8], t_field: u16) {
    by_spec!(spec, patch_in(spec, element, t_field));
}

#[inline(always)]
fn patch_in<W: Word, const MODE: u8>(spec: &FieldSpec, element: &mut [u8], t_field: u16) {
    let t = spec.t as u32;
    let s = shift::<W, MODE>(t);
    let x = W::load(element);
    let x = if MODE == ZIGZAG { zigzag(x) } else { x };
    let f = W::from_u64(t_field as u64).and(low_mask(t));
    let hole = low_mask::<W>(t).shl(s);
    let x = x.and(hole.xor(W::from_u64(u64::MAX))).or(f.shl(s));
    let x = if MODE == ZIGZAG { unzigzag(x) } else { x };
    x.store(element);
}

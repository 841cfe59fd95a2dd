//! Element ⇄ symbol and rest.

use super::Word;
use crate::fields::{FieldSpec, Part};
use crate::planes::Plane;
use std::mem::MaybeUninit;

/// How the sign is treated, as a compile-time constant so that the loops have no branch.
const PLAIN: u8 = 0;
const SIGN: u8 = 1;
const ZIGZAG: u8 = 2;

/// Calls `$f::<W, MODE>` for the spec's width and mode, or `$f::<W, MODE, $n>`.
macro_rules! by_spec {
    ($spec:expr, $f:ident $(::<$n:tt>)? ( $($arg:expr),* )) => {
        match $spec.width {
            0 => by_mode!($spec, $f<u8 $(; $n)?>($($arg),*)),
            1 => by_mode!($spec, $f<u16 $(; $n)?>($($arg),*)),
            2 => by_mode!($spec, $f<u32 $(; $n)?>($($arg),*)),
            _ => by_mode!($spec, $f<u64 $(; $n)?>($($arg),*)),
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
    ($spec:expr, $f:ident < $($w:ty),* $(; $n:tt)? > ( $($arg:expr),* )) => {
        if $spec.sign_moved {
            $f::<$($w,)* SIGN $(, $n)?>($($arg),*)
        } else if $spec.zigzag {
            $f::<$($w,)* ZIGZAG $(, $n)?>($($arg),*)
        } else {
            $f::<$($w,)* PLAIN $(, $n)?>($($arg),*)
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
        *o = R::from_u64(rest_of::<W, MODE>(W::load(x), r, drop).to_u64());
    }
}

/// What is kept of the rest of an element, which has `r` bits.
#[inline(always)]
fn rest_of<W: Word, const MODE: u8>(x: W, r: u32, drop: u32) -> W {
    if r == 0 || drop >= W::BITS {
        return W::default();
    }
    let x = if MODE == ZIGZAG { zigzag(x) } else { x };
    let rest = if MODE == SIGN {
        x.and(low_mask(r - 1)).or(x.shr(W::BITS - 1).shl(r - 1))
    } else {
        x.and(low_mask(r))
    };
    rest.shr(drop)
}

#[inline(always)]
pub fn split_bytes(spec: &FieldSpec, src: &[u8], symbols: &mut [u8], rests: &mut [u8]) {
    if spec.t <= 8 && spec.rest_width() == 0 {
        by_spec!(spec, split_bytes_in(spec, src, symbols, rests));
    }
}

#[inline(always)]
fn split_bytes_in<W: Word, const MODE: u8>(
    spec: &FieldSpec,
    src: &[u8],
    symbols: &mut [u8],
    rests: &mut [u8],
) {
    let t = spec.t as u32;
    let s = shift::<W, MODE>(t);
    for ((x, symbol), rest) in src.chunks_exact(size_of::<W>()).zip(symbols).zip(rests) {
        let x = W::load(x);
        *symbol = field::<W, MODE>(x, t, s).to_u64() as u8;
        *rest = rest_of::<W, MODE>(x, W::BITS - t, spec.drop as u32).to_u64() as u8;
    }
}

#[inline(always)]
pub fn plane(spec: &FieldSpec, src: &[u8], bits: u8, shift: u8, out: &mut [MaybeUninit<u8>]) {
    match bits {
        8 => by_spec!(spec, plane_rows::<1>(spec, src, shift as u32, out)),
        4 => by_spec!(spec, plane_rows::<2>(spec, src, shift as u32, out)),
        2 => by_spec!(spec, plane_rows::<4>(spec, src, shift as u32, out)),
        _ => by_spec!(spec, plane_rows::<8>(spec, src, shift as u32, out)),
    }
}

#[inline(always)]
fn plane_rows<W: Word, const MODE: u8, const ROWS: usize>(
    spec: &FieldSpec,
    src: &[u8],
    shift: u32,
    out: &mut [MaybeUninit<u8>],
) {
    let (bits, r) = (8 / ROWS as u32, W::BITS - spec.t as u32);
    let mask = 0xffu8 >> (8 - bits);
    let one = |x: W::Bytes| rest_of::<W, MODE>(W::of(x), r, shift).to_u64() as u8 & mask;
    let c = out.len();
    let elements = W::elements(src);
    // Bytes that have an element in each of their rows, in pieces of a fixed size that compilers make vectors of.
    let full = elements.len().saturating_sub((ROWS - 1) * c).min(c) / PIECE * PIECE;
    let (whole, ragged) = out.split_at_mut(full);
    for (p, piece) in whole.as_chunks_mut::<PIECE>().0.iter_mut().enumerate() {
        let mut bytes = [0u8; PIECE];
        for k in 0..ROWS {
            if let Some(row) = elements[k * c + p * PIECE..].first_chunk::<PIECE>() {
                for (byte, x) in bytes.iter_mut().zip(row) {
                    *byte |= one(*x) << (bits * k as u32);
                }
            }
        }
        *piece = bytes.map(MaybeUninit::new);
    }
    for (j, o) in ragged.iter_mut().enumerate() {
        let there = (0..ROWS).map(|k| k * c + full + j).take_while(|i| *i < elements.len());
        let byte = there.enumerate().fold(0, |byte, (k, i)| byte | one(elements[i]) << (bits * k as u32));
        o.write(byte);
    }
}

/// Bytes of a plane that are made at a time.
pub const PIECE: usize = 64;

/// Planes of elements whose number is a multiple of [`TOGETHER_IN_PLANES`], one behind the other. An eighth of the elements is a row of the
/// plane of single bits, two of them one of the plane of two bits, four of four: so eight elements, one of each eighth, make whole bytes of
/// each plane, and are loaded once.
#[inline(always)]
pub fn planes(spec: &FieldSpec, src: &[u8], cuts: &Cuts, out: &mut [MaybeUninit<u8>]) {
    by_rest!(spec, planes_in(spec, src, cuts, out));
}

/// Elements that are a piece of each row.
pub const TOGETHER_IN_PLANES: usize = 8 * PIECE;

/// Where planes stand one behind the other, with how far up in the rest they are.
pub struct Cuts {
    /// Those of 8 bits.
    eights: [(usize, u32); 8],
    count: usize,
    /// Those of 1, 2 and 4 bits.
    pub narrow: [Option<(usize, u32)>; 3],
    /// The lowest of these.
    pub lowest: u32,
    /// Bytes of all.
    pub size: usize,
}

impl Cuts {
    /// Of `n` elements; `None` unless they are planes of 8 bits, and at most one each of 4, 2 and 1, which together are within 8 bits.
    pub fn of(cuts: &[(u8, u8)], n: usize, rest_bits: u32) -> Option<Cuts> {
        let mut all = Cuts { eights: [(0, 0); 8], count: 0, narrow: [None; 3], lowest: u32::MAX, size: 0 };
        let mut top = 0;
        for &(bits, shift) in cuts {
            let (bits, shift) = (bits as u32, shift as u32);
            if shift + bits > rest_bits {
                return None;
            }
            match bits {
                8 => {
                    *all.eights.get_mut(all.count)? = (all.size, shift);
                    all.count += 1;
                }
                1 | 2 | 4 => {
                    let narrow = &mut all.narrow[bits as usize / 2];
                    if narrow.is_some() {
                        return None;
                    }
                    *narrow = Some((all.size, shift));
                    all.lowest = all.lowest.min(shift);
                    top = top.max(shift + bits);
                }
                _ => return None,
            }
            all.size += n * bits as usize / 8;
        }
        (top == 0 || top - all.lowest <= 8).then_some(all)
    }

    /// Those of 8 bits: where they stand, and how far up they are in the rest.
    pub fn eights(&self) -> &[(usize, u32)] {
        &self.eights[..self.count]
    }
}

#[inline(always)]
fn planes_in<W: Word, R: Word, const MODE: u8>(
    spec: &FieldSpec,
    src: &[u8],
    cuts: &Cuts,
    out: &mut [MaybeUninit<u8>],
) {
    let elements = W::elements(src);
    let (n, r) = (elements.len(), W::BITS - spec.t as u32);
    let eighth = n / 8;
    let [one, two, four] = cuts.narrow;
    for j in (0..eighth).step_by(PIECE) {
        let mut ones = [0u8; PIECE];
        let mut twos = [[0u8; PIECE]; 2];
        let mut fours = [[0u8; PIECE]; 4];
        for k in 0..8 {
            let Some(row) = elements.get(k * eighth + j..).and_then(|e| e.first_chunk::<PIECE>()) else {
                return;
            };
            let rest = row.map(|x| R::from_u64(rest_of::<W, MODE>(W::of(x), r, 0).to_u64()));
            let bits_of = |shift: u32, mask: u8| rest.map(|x| x.shr(shift).to_u64() as u8 & mask);
            for &(at, shift) in cuts.eights() {
                write_piece(out, at + k * eighth + j, bits_of(shift, 0xff));
            }
            if let Some((_, shift)) = four {
                or_into(&mut fours[k & 3], bits_of(shift, 15), 4 * (k as u32 / 4));
            }
            if let Some((_, shift)) = two {
                or_into(&mut twos[k & 1], bits_of(shift, 3), 2 * (k as u32 / 2));
            }
            if let Some((_, shift)) = one {
                or_into(&mut ones, bits_of(shift, 1), k as u32);
            }
        }
        if let Some((at, _)) = one {
            write_piece(out, at + j, ones);
        }
        if let Some((at, _)) = two {
            twos.into_iter().enumerate().for_each(|(i, piece)| write_piece(out, at + i * eighth + j, piece));
        }
        if let Some((at, _)) = four {
            fours.into_iter().enumerate().for_each(|(i, piece)| write_piece(out, at + i * eighth + j, piece));
        }
    }
}

#[inline(always)]
fn or_into(bytes: &mut [u8; PIECE], bits: [u8; PIECE], up: u32) {
    bytes.iter_mut().zip(bits).for_each(|(byte, bits)| *byte |= bits << up);
}

#[inline(always)]
fn write_piece(out: &mut [MaybeUninit<u8>], at: usize, piece: [u8; PIECE]) {
    if let Some(to) = out.get_mut(at..).and_then(|o| o.first_chunk_mut::<PIECE>()) {
        *to = piece.map(MaybeUninit::new);
    }
}

#[inline(always)]
pub fn rest_ors(spec: &FieldSpec, src: &[u8], segment: usize, out: &mut Vec<u64>) {
    by_spec!(spec, rest_ors_in(spec, src, segment, out));
}

#[inline(always)]
fn rest_ors_in<W: Word, const MODE: u8>(spec: &FieldSpec, src: &[u8], segment: usize, out: &mut Vec<u64>) {
    let size = size_of::<W>();
    let r = W::BITS - spec.t as u32;
    for s in src[..src.len() / size * size].chunks(segment.max(1) * size) {
        let elements = s.chunks_exact(size).map(W::load);
        // Moving bits about commutes with or; zigzag does not.
        let or = if MODE == ZIGZAG {
            elements.fold(W::default(), |a, x| a.or(rest_of::<W, MODE>(x, r, 0)))
        } else {
            rest_of::<W, MODE>(elements.fold(W::default(), |a, x| a.or(x)), r, 0)
        };
        out.push(or.to_u64());
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

/// Elements of 16 bits whose rest is in planes of 4, 2 and 1 bits, in one pass: what is in between stays in registers.
#[inline(always)]
pub fn merge_nibbles(
    spec: &FieldSpec,
    symbols: &[u8],
    planes: &[Plane<'_>; 3],
    start: usize,
    out: &mut [u8],
) {
    if spec.width != 1 || spec.rest_bits() != 7 || planes.iter().any(|p| p.data.is_empty()) {
        return;
    }
    if spec.sign_moved {
        nibbles_in::<SIGN>(spec, symbols, planes, start, out);
    } else if spec.zigzag {
        nibbles_in::<ZIGZAG>(spec, symbols, planes, start, out);
    } else {
        nibbles_in::<PLAIN>(spec, symbols, planes, start, out);
    }
}

#[inline(always)]
fn nibbles_in<const MODE: u8>(
    spec: &FieldSpec,
    mut symbols: &[u8],
    planes: &[Plane<'_>; 3],
    start: usize,
    mut out: &mut [u8],
) {
    let mut at = start;
    while !symbols.is_empty() {
        // As far as each plane's bits stay at one place in its bytes.
        let run = planes.iter().map(|p| p.data.len() - at % p.data.len()).fold(symbols.len(), usize::min);
        let parts = planes.each_ref().map(|p| {
            let (row, column) = (at / p.data.len(), at % p.data.len());
            (&p.data[column..column + run], ((p.bits as usize * row) & 7) as u32)
        });
        let (now, later) = symbols.split_at(run);
        let (to, rest) = std::mem::take(&mut out).split_at_mut(2 * run);
        let [(four, a), (two, b), (one, c)] = parts;
        for ((((o, &symbol), &x), &y), &z) in to.chunks_exact_mut(2).zip(now).zip(four).zip(two).zip(one) {
            let rest = (x >> a & 15) << 3 | (y >> b & 3) << 1 | (z >> c & 1);
            merge_one::<u16, MODE>(spec, symbol, rest as u16).store(o);
        }
        (symbols, out) = (later, rest);
        at += run;
    }
}

/// Elements that are merged at a time: of a fixed number, that compilers make vectors of the loops.
const TOGETHER: usize = 64;

/// Merges elements all of whose planes' bits stay at one place in their bytes.
#[inline(always)]
pub fn merge_parts(spec: &FieldSpec, symbols: &[u8], parts: &[Part<'_>], fill: u64, out: &mut [u8]) {
    by_spec!(spec, merge_parts_in(spec, symbols, parts, fill, out));
}

#[inline(always)]
fn merge_parts_in<W: Word, const MODE: u8>(
    spec: &FieldSpec,
    symbols: &[u8],
    parts: &[Part<'_>],
    fill: u64,
    out: &mut [u8],
) {
    let fill = W::from_u64(fill);
    let out = W::elements_mut(out);
    let n = parts.iter().map(|p| p.bytes.len()).fold(symbols.len().min(out.len()), usize::min);
    let pieces = symbols[..n].as_chunks::<TOGETHER>().0.iter().zip(out.as_chunks_mut::<TOGETHER>().0);
    for (p, (symbols, out)) in pieces.enumerate() {
        let mut rests = [fill; TOGETHER];
        for part in parts {
            let Some(bytes) = part.bytes[p * TOGETHER..].first_chunk::<TOGETHER>() else { return };
            for (rest, byte) in rests.iter_mut().zip(bytes) {
                *rest = rest.or(W::from_u64((byte >> part.down & part.mask()) as u64).shl(part.shift));
            }
        }
        for ((o, symbol), rest) in out.iter_mut().zip(symbols).zip(rests) {
            *o = merge_one::<W, MODE>(spec, *symbol, rest).bytes();
        }
    }
    for k in n / TOGETHER * TOGETHER..n {
        let rest = parts.iter().fold(fill, |rest, part| {
            rest.or(W::from_u64((part.bytes[k] >> part.down & part.mask()) as u64).shl(part.shift))
        });
        out[k] = merge_one::<W, MODE>(spec, symbols[k], rest).bytes();
    }
}

#[inline(always)]
fn merge_in<W: Word, R: Word, const MODE: u8>(spec: &FieldSpec, symbols: &[u8], rest: &[R], out: &mut [u8]) {
    for ((o, &symbol), &rest) in out.chunks_exact_mut(size_of::<W>()).zip(symbols).zip(rest) {
        let rest = if spec.drop as u32 >= W::BITS { W::default() } else { W::from_u64(rest.to_u64()) };
        merge_one::<W, MODE>(spec, symbol, rest).store(o);
    }
}

/// An element of a symbol and what is kept of its rest.
#[inline(always)]
fn merge_one<W: Word, const MODE: u8>(spec: &FieldSpec, symbol: u8, kept: W) -> W {
    let t = spec.t as u32;
    let r = W::BITS - t;
    let s = shift::<W, MODE>(t);
    let field = if t <= 8 {
        W::from_u64(symbol as u64)
    } else {
        let f = spec.base.wrapping_add(symbol as u16);
        W::from_u64(if symbol == 0 { 0 } else { f } as u64)
    }
    .and(low_mask(t));
    let rest = if r == 0 { W::default() } else { kept.shl(spec.drop as u32) };
    let x = if MODE == SIGN {
        field.shl(s).or(rest.and(low_mask(r - 1))).or(rest.shr(r - 1).shl(W::BITS - 1))
    } else if r == 0 {
        field
    } else {
        field.shl(s).or(rest.and(low_mask(r)))
    };
    if MODE == ZIGZAG { unzigzag(x) } else { x }
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

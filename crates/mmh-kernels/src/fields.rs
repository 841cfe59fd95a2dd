//! The split of an element into a symbol and a rest, as `spec/codecs/tensor.md` section 1 defines it.

use crate::checksum::Running;
use crate::cpu::Simd;
use crate::generic;
use crate::generic::fields::Cuts;
use crate::planes::Plane;
#[cfg(target_arch = "x86_64")]
use crate::x86_64;
use std::mem::MaybeUninit;

/// How elements are split. The caller keeps: `width` ≤ 3; `1 ≤ t ≤ min(16, bits)`; `sign_moved` needs `t < bits` and excludes
/// `zigzag`; `drop ≤ bits − t`; `base` is 0 when `t ≤ 8`, else below `2^t`. [`FieldSpec::is_valid`] checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FieldSpec {
    /// log2 of the element's size in bytes.
    pub width: u8,
    /// The sign bit goes below the symbol field.
    pub sign_moved: bool,
    /// Two's complement is folded to unsigned first.
    pub zigzag: bool,
    /// Bits of the symbol field.
    pub t: u8,
    /// Low bits of the rest that are zero and dropped.
    pub drop: u8,
    /// Symbol `s` stands for field `base + s` when `t > 8`.
    pub base: u16,
}

impl FieldSpec {
    /// Bits of an element.
    pub fn bits(&self) -> u32 {
        8 << self.width
    }

    /// Bytes of an element.
    pub fn size(&self) -> usize {
        1 << self.width
    }

    /// Bits of the rest, dropped ones included.
    pub fn rest_bits(&self) -> u32 {
        self.bits() - self.t as u32
    }

    /// log2 of the bytes of the word that holds what is kept of the rest: the narrower, the more of them share a register.
    pub fn rest_width(&self) -> u8 {
        match self.rest_bits().saturating_sub(self.drop as u32) {
            0..=8 => 0,
            9..=16 => 1,
            17..=32 => 2,
            _ => 3,
        }
    }

    /// Whether the fields keep to the limits above.
    pub fn is_valid(&self) -> bool {
        self.width <= 3
            && self.t >= 1
            && (self.t as u32) <= self.bits().min(16)
            && !(self.sign_moved && (self.zigzag || self.t as u32 == self.bits()))
            && (self.drop as u32) <= self.rest_bits()
            && if self.t > 8 { (self.base as u32) < 1 << self.t } else { self.base == 0 }
    }
}

multiversion! {
    /// Writes the symbol field `T` of each element of `src` to `out`; as many as the shorter one holds.
    pub fn top_fields(spec: &FieldSpec, src: &[u8], out: &mut [u16]) = generic::fields::top_fields;
    on top_fields_on
}

multiversion! {
    /// Writes the symbol of each element of `src` to `out`. Appends to `misses` the positions of those that have none (symbol 0 is
    /// written for them).
    pub fn symbols(spec: &FieldSpec, src: &[u8], out: &mut [u8], misses: &mut Vec<u32>) = generic::fields::symbols;
    on symbols_on
}

multiversion! {
    /// Writes `R >> drop` of each element of `src` to `out`, seen as an array of words of `8 << spec.rest_width()` bits.
    pub fn rests(spec: &FieldSpec, src: &[u8], out: &mut [u64]) = generic::fields::rests;
    on rests_on
}

multiversion! {
    /// Both at once, of splits with symbols of at most 8 bits and rests of which at most 8 bits are kept, which are written a byte each; other
    /// splits leave both as they are.
    pub fn split_bytes(spec: &FieldSpec, src: &[u8], symbols: &mut [u8], rests: &mut [u8]) = generic::fields::split_bytes;
    on split_bytes_on
}

multiversion! {
    /// Writes `bits` (1, 2, 4 or 8) bits of the rests of all elements of `src`, from `shift` up, to all of `out`, which is a packed plane:
    /// [`crate::planes::packed_size`] bytes. `spec.drop` is of no account.
    fn plane(spec: &FieldSpec, src: &[u8], bits: u8, shift: u8, out: &mut [MaybeUninit<u8>]) = generic::fields::plane;
    on plane_on
}

/// Appends `bits` (1, 2, 4 or 8) bits of the rests of all elements of `src`, from `shift` up, as a packed plane. `spec.drop` is of no account.
pub fn append_plane(spec: &FieldSpec, src: &[u8], bits: u8, shift: u8, out: &mut Vec<u8>) {
    append_plane_on(crate::cpu::simd(), spec, src, bits, shift, out);
}

/// The same on the given instruction set.
pub fn append_plane_on(simd: Simd, spec: &FieldSpec, src: &[u8], bits: u8, shift: u8, out: &mut Vec<u8>) {
    if !matches!(bits, 1 | 2 | 4 | 8) {
        return;
    }
    let size = crate::planes::packed_size(src.len() / spec.size(), bits);
    out.reserve(size);
    plane_on(simd, spec, src, bits, shift, &mut out.spare_capacity_mut()[..size]);
    // SAFETY: there is room for so many bytes more, and `plane` has written each of them.
    unsafe { out.set_len(out.len() + size) };
}

multiversion! {
    /// Several planes at once, of as many elements as make whole pieces of each.
    fn planes_of_pieces(spec: &FieldSpec, src: &[u8], cuts: &Cuts, out: &mut [MaybeUninit<u8>]) = generic::fields::planes;
    on planes_of_pieces_on
}

/// Appends planes, one behind the other, each of so many bits (8, or 4, 2 and 1 at most once) from so far up of the rests of all elements of
/// `src`. `spec.drop` is of no account.
pub fn append_planes(spec: &FieldSpec, src: &[u8], cuts: &[(u8, u8)], out: &mut Vec<u8>) {
    append_planes_on(crate::cpu::simd(), spec, src, cuts, out);
}

/// The same on the given instruction set.
pub fn append_planes_on(simd: Simd, spec: &FieldSpec, src: &[u8], cuts: &[(u8, u8)], out: &mut Vec<u8>) {
    let n = src.len() / spec.size();
    let spec = &FieldSpec { drop: 0, ..*spec };
    let cut = Cuts::of(cuts, n, spec.rest_bits());
    // One plane of wider elements is as fast by itself.
    let together = cuts.len() > 1 || spec.width == 0;
    let whole = n > 0 && n.is_multiple_of(generic::fields::TOGETHER_IN_PLANES) && together;
    let Some(cut) = cut.filter(|_| whole) else {
        cuts.iter().for_each(|(bits, shift)| append_plane_on(simd, spec, src, *bits, *shift, out));
        return;
    };
    let src = &src[..n * spec.size()];
    out.reserve(cut.size);
    let room = &mut out.spare_capacity_mut()[..cut.size];
    #[allow(unused_mut)]
    let mut done = false;
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        done = unsafe { x86_64::planes_avx512::planes(spec, src, &cut, room) };
    }
    if !done {
        planes_of_pieces_on(simd, spec, src, &cut, room);
    }
    // SAFETY: there is room for so many bytes more, and each has been written: every piece of every row of every plane.
    unsafe { out.set_len(out.len() + cut.size) };
}

multiversion! {
    /// Appends the bitwise or of the rests of each segment of `segment` elements of `src` to `out`. `spec.drop` is of no account.
    pub fn rest_ors(spec: &FieldSpec, src: &[u8], segment: usize, out: &mut Vec<u64>) = generic::fields::rest_ors;
    on rest_ors_on
}

multiversion! {
    /// The converse of [`symbols`] and [`rests`], apart from the symbols that were missing: fills `out` with elements. `rest` is as `rests` leaves it.
    pub fn merge(spec: &FieldSpec, symbols: &[u8], rest: &[u64], out: &mut [u8]) = generic::fields::merge;
    on merge_on
}

multiversion! {
    /// The same with rests of at most 8 bits, one a byte.
    pub fn merge_bytes(spec: &FieldSpec, symbols: &[u8], rest: &[u8], out: &mut [u8]) = generic::fields::merge_bytes;
    on merge_bytes_on
}

/// Elements of a plane in which its bits stay at one place.
#[derive(Clone, Copy, Default)]
pub struct Part<'a> {
    /// A byte for each element.
    pub bytes: &'a [u8],
    /// How many bits up in it.
    pub down: u32,
    /// How many there are.
    pub bits: u32,
    /// Where they belong in the rest.
    pub shift: u32,
}

impl Part<'_> {
    /// The bits, when they have been shifted down.
    #[inline(always)]
    pub(crate) fn mask(&self) -> u8 {
        0xff >> (8 - self.bits.clamp(1, 8))
    }
}

/// The most planes that a rest is cut into.
const MOST_PLANES: usize = 10;

multiversion! {
    /// [`merge`] with rests in parts of planes.
    fn merge_parts(spec: &FieldSpec, symbols: &[u8], parts: &[Part<'_>], fill: u64, out: &mut [u8]) = generic::fields::merge_parts;
    on merge_parts_on
}

/// The same as [`merge`] with the rests in packed planes, of all elements from the first one of the planes on; `fill` has those bits of each
/// rest that are in none of them.
pub fn merge_planes(spec: &FieldSpec, symbols: &[u8], planes: &[Plane<'_>], fill: u64, out: &mut [u8]) {
    merge_planes_on(crate::cpu::simd(), spec, symbols, planes, fill, out);
}

/// The same on the given instruction set.
pub fn merge_planes_on(
    simd: Simd,
    spec: &FieldSpec,
    symbols: &[u8],
    planes: &[Plane<'_>],
    fill: u64,
    out: &mut [u8],
) {
    each_run(spec, symbols, planes, out, |symbols, parts, out| {
        #[allow(unused_mut)]
        let (mut symbols, mut out) = (symbols, out);
        #[cfg(target_arch = "x86_64")]
        if simd.is_available() {
            let done = match simd {
                // SAFETY: `is_available` has just seen every feature that the function is compiled with.
                Simd::Avx512 => unsafe { x86_64::merge_avx512::parts(spec, symbols, parts, fill, out) },
                // SAFETY: as above.
                Simd::Avx2 => unsafe { x86_64::merge_avx2::parts(spec, symbols, parts, fill, out) },
                _ => 0,
            };
            (symbols, out) = (&symbols[done..], &mut out[spec.size() * done..]);
            parts.iter_mut().for_each(|p| p.bytes = &p.bytes[done..]);
        }
        merge_parts_on(simd, spec, symbols, parts, fill, out);
    });
}

/// Whether [`merge_planes_away`] can do so with whole groups of such elements from the beginning of `out` on.
pub fn can_go_away(spec: &FieldSpec, out: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if crate::cpu::simd() == Simd::Avx512 && Simd::Avx512.is_available() {
        return x86_64::merge_avx512::can_go_away(spec, out);
    }
    let _ = (spec, out);
    false
}

/// The same as [`merge_planes`] for what will not be read soon: it goes past the cache, while its checksum is taken. `is_end` tells that the last element is the end of what the
/// checksum is of. Gives whether it did that: if not, nothing has been done.
pub fn merge_planes_away(
    spec: &FieldSpec,
    symbols: &[u8],
    planes: &[Plane<'_>],
    fill: u64,
    out: &mut [u8],
    running: &mut Running,
    is_end: bool,
) -> bool {
    #[cfg(target_arch = "x86_64")]
    if crate::cpu::simd() == Simd::Avx512 && Simd::Avx512.is_available() {
        // Planes of a bit stay at one place for an eighth of them.
        let eighth = symbols.len() / 8;
        let suits = symbols.len().is_multiple_of(8)
            && out.len() == spec.size() * symbols.len()
            && planes.iter().all(|p| p.data.len() == crate::planes::packed_size(symbols.len(), p.bits))
            && x86_64::merge_avx512::takes(spec, planes.len(), eighth)
            && can_go_away(spec, out);
        if !suits {
            return false;
        }
        let mut left = symbols.len();
        each_run(spec, symbols, planes, out, |symbols, parts, out| {
            left -= symbols.len();
            let is_end = is_end && left == 0;
            // SAFETY: `is_available` has just seen every feature that the function is compiled with.
            unsafe { x86_64::merge_avx512::parts_away(spec, symbols, parts, fill, out, running, is_end) };
        });
        return true;
    }
    let _ = (spec, symbols, planes, fill, out, running, is_end);
    false
}

/// Calls with symbols, parts and room for elements, as far as each plane's bits stay at one place in its bytes.
fn each_run(
    spec: &FieldSpec,
    symbols: &[u8],
    planes: &[Plane<'_>],
    out: &mut [u8],
    mut call: impl FnMut(&[u8], &mut [Part<'_>], &mut [u8]),
) {
    if planes.len() > MOST_PLANES || planes.iter().any(|p| p.data.is_empty()) {
        return;
    }
    let size = spec.size();
    let n = symbols.len().min(out.len() / size);
    let mut at = 0;
    while at < n {
        let run = planes.iter().map(|p| p.data.len() - at % p.data.len()).fold(n - at, usize::min);
        let mut parts = [Part::default(); MOST_PLANES];
        for (part, p) in parts.iter_mut().zip(planes) {
            let (row, column) = (at / p.data.len(), at % p.data.len());
            let (bits, shift) = (p.bits as u32, p.shift as u32);
            *part = Part { bytes: &p.data[column..column + run], down: (bits * row as u32) & 7, bits, shift };
        }
        let (symbols, out) = (&symbols[at..at + run], &mut out[size * at..size * (at + run)]);
        call(symbols, &mut parts[..planes.len()], out);
        at += run;
    }
}

multiversion! {
    /// As the compiler has it.
    pub fn merge_nibbles_plain(spec: &FieldSpec, symbols: &[u8], planes: &[Plane<'_>; 3], start: usize, out: &mut [u8]) = generic::fields::merge_nibbles;
    on merge_nibbles_plain_on
}

/// The same as [`merge`] for elements of 16 bits with rests of 7, in planes of 4, 2 and 1 bits in this order, of which elements `start …` are
/// meant; other splits leave `out` as it is.
pub fn merge_nibbles(
    spec: &FieldSpec,
    symbols: &[u8],
    planes: &[Plane<'_>; 3],
    start: usize,
    out: &mut [u8],
) {
    merge_nibbles_on(crate::cpu::simd(), spec, symbols, planes, start, out);
}

/// The same on the given instruction set.
pub fn merge_nibbles_on(
    simd: Simd,
    spec: &FieldSpec,
    symbols: &[u8],
    planes: &[Plane<'_>; 3],
    start: usize,
    out: &mut [u8],
) {
    if spec.width != 1 || spec.rest_bits() != 7 || planes.iter().any(|p| p.data.is_empty()) {
        return;
    }
    let n = symbols.len().min(out.len() / 2);
    let mut done = 0;
    // Row and column of the next element in each plane.
    let mut places = planes.each_ref().map(|p| (start / p.data.len(), start % p.data.len()));
    while done < n {
        // As far as each plane's bits stay at one place in its bytes.
        let left = planes.iter().zip(&places).map(|(p, (_, column))| p.data.len() - column);
        let run = left.fold(n - done, usize::min);
        let (symbols, out) = (&symbols[done..done + run], &mut out[2 * done..2 * (done + run)]);
        #[allow(unused_mut)]
        let mut whole = 0;
        #[cfg(target_arch = "x86_64")]
        if simd == Simd::Avx512 && simd.is_available() {
            // SAFETY: `is_available` has just seen every feature that the function is compiled with.
            whole = unsafe { x86_64::merge_avx512::nibbles(spec, symbols, planes, &places, out) };
        }
        if whole < run {
            let at = start + done + whole;
            merge_nibbles_plain_on(simd, spec, &symbols[whole..], planes, at, &mut out[2 * whole..]);
        }
        done += run;
        for ((row, column), plane) in places.iter_mut().zip(planes) {
            *column += run;
            if *column == plane.data.len() {
                (*row, *column) = (*row + 1, 0);
            }
        }
    }
}

/// Puts the field `t_field` into one element, whose own is overwritten. `element` has exactly the element's size.
pub fn patch(spec: &FieldSpec, element: &mut [u8], t_field: u16) {
    generic::fields::patch(spec, element, t_field);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_of_elements_are_those_of_their_rests() {
        let noise: Vec<u8> = (0..40_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as u8).collect();
        for (width, t, sign_moved, zigzag) in [
            (0, 4, true, false),
            (0, 5, true, false),
            (0, 1, true, false),
            (0, 5, false, false),
            (0, 2, false, false),
            (0, 3, false, true),
            (1, 8, true, false),
            (1, 9, true, false),
            (1, 8, false, false),
            (2, 8, false, false),
            (2, 10, true, false),
            (2, 8, false, true),
            (3, 12, true, false),
        ] {
            let spec = FieldSpec { width, t, sign_moved, zigzag, ..FieldSpec::default() };
            for n in [1usize, 5, 8, 63, 64, 1000, 4096, 5000] {
                let src = &noise[..n << width];
                let mut rest = vec![0u64; crate::planes::storage(spec.rest_width(), n)];
                rests(&spec, src, &mut rest);
                let mut ors = Vec::new();
                crate::zeros::segment_ors(spec.rest_width(), &rest, n, 64, &mut ors);
                for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                    for (bits, shift) in crate::planes::cut(spec.rest_bits()) {
                        let mut expected = vec![0; crate::planes::packed_size(n, bits)];
                        crate::planes::pack(spec.rest_width(), &rest, n, bits, shift, &mut expected);
                        let mut out = vec![7];
                        append_plane_on(simd, &spec, src, bits, shift, &mut out);
                        assert!(out[0] == 7 && out[1..] == expected, "{simd:?} {spec:?} {n} {bits} {shift}");
                    }
                    let cuts: Vec<_> = crate::planes::cut(spec.rest_bits()).collect();
                    for cuts in [&cuts[..], &cuts[1..], &cuts[..1]] {
                        let (mut expected, mut out) = (vec![7], vec![7]);
                        for (bits, shift) in cuts {
                            append_plane_on(Simd::Scalar, &spec, src, *bits, *shift, &mut expected);
                        }
                        append_planes_on(simd, &spec, src, cuts, &mut out);
                        assert!(out == expected, "{simd:?} {spec:?} {n} {cuts:?}");
                    }
                    let mut found = Vec::new();
                    rest_ors_on(simd, &spec, src, 64, &mut found);
                    assert_eq!(found, ors);
                    if spec.rest_width() == 0 {
                        let (mut a, mut b, mut c) = (vec![0; n], vec![0; n], vec![0; n]);
                        symbols(&spec, src, &mut a, &mut Vec::new());
                        split_bytes_on(simd, &spec, src, &mut b, &mut c);
                        let whole = t > 8 || a == b && c == crate::planes::as_bytes(&rest)[..n];
                        assert!(whole, "{simd:?} {spec:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn planes_are_merged_as_rests_are() {
        let noise: Vec<u8> = (0..60_000u32).map(|i| (i.wrapping_mul(2_246_822_519) >> 21) as u8).collect();
        for (width, t, sign_moved, zigzag, drop) in [
            (0, 4, true, false, 0),
            (0, 3, false, true, 1),
            (0, 5, false, false, 0),
            (0, 6, false, false, 1),
            (1, 8, false, false, 0),
            (2, 8, false, false, 3),
            (1, 8, true, false, 0),
            (1, 9, true, false, 3),
            (2, 10, true, false, 0),
            (2, 9, true, false, 16),
            (2, 8, false, true, 0),
            (3, 12, true, false, 5),
        ] {
            let base = if t > 8 { 100 } else { 0 };
            let spec = FieldSpec { width, t, sign_moved, zigzag, drop, base };
            let kept = spec.rest_bits() - drop as u32;
            for n in [1usize, 5, 63, 64, 1000, 4096, 5000] {
                let mut at = 0;
                let planes: Vec<Plane<'_>> = crate::planes::cut(kept)
                    .map(|(bits, shift)| {
                        let size = crate::planes::packed_size(n, bits);
                        at += size;
                        Plane { data: &noise[at - size..at], bits, shift }
                    })
                    .collect();
                let symbols = &noise[at..at + n];
                for (planes, fill) in [(&planes[..], 0u64), (&planes[1..], 1u64 << planes[0].shift)] {
                    let rest_width = spec.rest_width();
                    let mut rest = vec![0u64; crate::planes::storage(rest_width, n)];
                    let words: Vec<u8> =
                        (0..n).flat_map(|_| fill.to_le_bytes().into_iter().take(1 << rest_width)).collect();
                    bytemuck::cast_slice_mut::<u64, u8>(&mut rest)[..words.len()].copy_from_slice(&words);
                    for plane in planes {
                        crate::planes::unpack_or(rest_width, plane, 0, &mut rest, n);
                    }
                    let mut expected = vec![0u8; n << width];
                    merge(&spec, symbols, &rest, &mut expected);
                    for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                        let mut out = vec![0u8; n << width];
                        merge_planes_on(simd, &spec, symbols, planes, fill, &mut out);
                        assert!(out == expected, "{simd:?} {spec:?} {n} {fill}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_goes_past_the_cache_is_the_same_and_has_the_same_checksum() {
        let Some(beginning) = Running::new() else { return };
        let noise: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_246_822_519) >> 21) as u8).collect();
        for (width, t, sign_moved, drop) in [
            (2, 8, true, 0),
            (2, 9, true, 16),
            (2, 8, false, 3),
            (1, 9, true, 0),
            (1, 6, true, 0),
            (2, 8, true, 16),
        ] {
            let base = if t > 8 { 100 } else { 0 };
            let spec = FieldSpec { width, t, sign_moved, zigzag: false, drop, base };
            let n = 8192;
            let mut at = 0;
            let planes: Vec<Plane<'_>> = crate::planes::cut(spec.rest_bits() - drop as u32)
                .map(|(bits, shift)| {
                    let size = crate::planes::packed_size(n, bits);
                    at += size;
                    Plane { data: &noise[at - size..at], bits, shift }
                })
                .collect();
            let size = n << width;
            // Groups, and bytes behind them; the memory begins where a register of 16 bytes may.
            for (groups, behind) in [(1, 0), (3, 0), (1, 1), (2, 77), (3, 1024)] {
                let mut memory = vec![7u8; groups * size + behind + 16];
                let from = memory.as_ptr().align_offset(16);
                let out = &mut memory[from..from + groups * size + behind];
                let mut expected = out.to_vec();
                let mut running = beginning.clone();
                for g in 0..groups {
                    let symbols = &noise[at + g..at + g + n];
                    merge_planes(&spec, symbols, &planes, 0, &mut expected[g * size..(g + 1) * size]);
                    let to = &mut out[g * size..(g + 1) * size];
                    let is_end = g + 1 == groups && behind == 0;
                    assert!(merge_planes_away(&spec, symbols, &planes, 0, to, &mut running, is_end));
                    assert_eq!(running.done(), (g + 1) * size);
                }
                assert!(*out == expected, "{spec:?} {groups} {behind}");
                assert_eq!(
                    running.finish(out),
                    crate::checksum::xxh3(&expected),
                    "{spec:?} {groups} {behind}"
                );
            }
            // Not at any place, and no part of a block.
            let (mut memory, mut running) = (vec![7u8; size + 16], beginning.clone());
            let from = memory.as_ptr().align_offset(16) + 1;
            let symbols = &noise[at..at + n];
            let to = &mut memory[from..from + size];
            assert!(!merge_planes_away(&spec, symbols, &planes, 0, to, &mut running, true));
            let to = &mut memory[..size - (8 << width)];
            assert!(!merge_planes_away(&spec, &symbols[..n - 8], &planes, 0, to, &mut running, true));
            assert!(running.done() == 0 && memory.iter().all(|b| *b == 7));
        }
    }

    #[test]
    fn nibbles_are_merged_as_planes_are() {
        let spec = FieldSpec { width: 1, sign_moved: true, t: 9, base: 200, ..FieldSpec::default() };
        for (n, m) in [(1usize, 0usize), (7, 3), (64, 0), (1000, 129), (32_768, 0), (32_700, 64)] {
            let symbols: Vec<u8> =
                (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let noise = |len: usize, seed: u32| -> Vec<u8> {
                (0..len as u32).map(|i| ((i + seed).wrapping_mul(2_246_822_519) >> 19) as u8).collect()
            };
            let size = |bits| crate::planes::packed_size(n, bits);
            let (four, two, one) = (noise(size(4), 1), noise(size(2), 2), noise(size(1), 3));
            let planes = [(&four, 4, 3), (&two, 2, 1), (&one, 1, 0)].map(|(data, bits, shift)| Plane {
                data: data.as_slice(),
                bits,
                shift,
            });
            let mut rest = vec![0u64; n.div_ceil(8)];
            for plane in &planes {
                crate::planes::unpack_or(0, plane, 0, &mut rest, n);
            }
            let mut expected = vec![0u8; 2 * n];
            merge(&spec, &symbols, &rest, &mut expected);
            for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                let mut out = vec![0u8; 2 * (n - m)];
                merge_nibbles_on(simd, &spec, &symbols[m..], &planes, m, &mut out);
                assert!(out == expected[2 * m..], "{simd:?} {n} {m}");
            }
        }
    }
}

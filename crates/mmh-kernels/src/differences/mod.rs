//! Differences of the elements of a block from their counterparts in a base: symbols, extra bits, and classes that say which elements differ alike
//! (`spec/codecs/delta.md`, section 2).
//!
//! * `spec`: what a difference is, and its symbol
//! * `join`: symbols in the order of classes and extra bits, to elements
//! * `split`: the converse
//! * `classes`: bytes from the order of classes to that of the elements, and back

use crate::cpu::Simd;

mod classes;
mod join;
mod spec;
mod split;
#[cfg(test)]
mod tests;

pub use spec::Spec;

/// Elements that are worked on at a time: what is known of them stays in the nearest cache.
const TILE: usize = 4096;

/// Elements of which it is asked at a time whether any has extra bits.
const STEP: usize = 64;

multiversion! {
    /// The classes of the elements of `base`, one for each byte of `classes`.
    pub fn classes(spec: &Spec, base: &[u8], classes: &mut [u8]) = classes::of;
    on classes_on
}

/// Where the symbols of each class begin among all.
fn starts(simd: Simd, classes: &[u8]) -> classes::Places {
    classes::Places::of(&classes::count(simd, classes))
}

/// Restores the elements `out` from their counterparts `base` and `classes`, from `symbols` in the order of the classes, none of which is above
/// [`Spec::last_symbol`], and from `extra` bits: as many elements as there are of all. Gives the number of extra bits used; where there are fewer, those that
/// are lacking are zero.
pub fn join(spec: &Spec, classes: &[u8], symbols: &[u8], extra: &[u8], base: &[u8], out: &mut [u8]) -> usize {
    join_on(crate::cpu::simd(), spec, classes, symbols, extra, base, out)
}

/// The same on the given instruction set.
pub fn join_on(
    simd: Simd,
    spec: &Spec,
    classes: &[u8],
    symbols: &[u8],
    extra: &[u8],
    base: &[u8],
    out: &mut [u8],
) -> usize {
    let mut places = starts(simd, classes);
    let mut tile = [0; TILE];
    let mut at = 0;
    let size = spec.size();
    let parts = out.chunks_mut(TILE * size).zip(base.chunks(TILE * size)).zip(classes.chunks(TILE));
    for ((out, base), classes) in parts {
        let tile = &mut tile[..classes.len()];
        classes::take(simd, classes, &mut places, symbols, tile);
        at = join::tile_on(simd, spec, tile, extra, at, base, out);
    }
    at
}

/// Writes the symbols of the differences of `data` from `base` in the order of `classes`, and appends the extra bits to `extra`, of whose last byte
/// what is not used is zero.
pub fn split(spec: &Spec, classes: &[u8], data: &[u8], base: &[u8], symbols: &mut [u8], extra: &mut Vec<u8>) {
    split_on(crate::cpu::simd(), spec, classes, data, base, symbols, extra);
}

/// The same on the given instruction set.
pub fn split_on(
    simd: Simd,
    spec: &Spec,
    classes: &[u8],
    data: &[u8],
    base: &[u8],
    symbols: &mut [u8],
    extra: &mut Vec<u8>,
) {
    let mut places = starts(simd, classes);
    let mut tile = [0; TILE];
    let mut bits = split::Bits::default();
    let size = spec.size();
    let parts = data.chunks(TILE * size).zip(base.chunks(TILE * size)).zip(classes.chunks(TILE));
    for ((data, base), classes) in parts {
        let tile = &mut tile[..classes.len()];
        split::tile_on(simd, spec, data, base, tile, &mut bits, extra);
        classes::put(simd, classes, &mut places, tile, symbols);
    }
    bits.finish(extra);
}

//! Planes of 8, 4, 2 and 1 bits (`spec/codecs/tensor.md`, sections 1 and 3).

use crate::generic;

/// A packed plane: `bits` bits of each element, that stand `shift` bits up in the (dropped) rest.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// `⌈m · bits / 8⌉` bytes for the `m` elements of the group.
    pub data: &'a [u8],
    /// 1, 2, 4 or 8.
    pub bits: u8,
    /// Less than the element's bits.
    pub shift: u8,
}

/// Size in bytes of a packed plane of `m` elements.
pub fn packed_size(m: usize, bits: u8) -> usize {
    (m * bits as usize).div_ceil(8)
}

/// The widths of the planes that `bits` bits are cut into, from the top down, each with its shift.
pub fn cut(bits: u32) -> impl Iterator<Item = (u8, u8)> {
    let widths = std::iter::repeat_n(8u8, (bits / 8) as usize)
        .chain([4u8, 2, 1].into_iter().filter(move |w| (bits % 8) & *w as u32 != 0));
    let mut left = bits;
    widths.map(move |w| {
        left -= w as u32;
        (w, left as u8)
    })
}

multiversion! {
    /// Ors elements `start … start + len` of a plane into `rest`, an array of words of `8 << width` bits.
    pub fn unpack_or(width: u8, plane: &Plane<'_>, start: usize, rest: &mut [u64], len: usize) = generic::planes::unpack_or;
    on unpack_or_on
}

multiversion! {
    /// The same, over what is in `rest`.
    pub fn unpack_first(width: u8, plane: &Plane<'_>, start: usize, rest: &mut [u64], len: usize) = generic::planes::unpack_first;
    on unpack_first_on
}

multiversion! {
    /// Packs `bits` bits from `shift` up of each of the first `len` words of `rest` into `out`, which has [`packed_size`] bytes.
    pub fn pack(width: u8, rest: &[u64], len: usize, bits: u8, shift: u8, out: &mut [u8]) = generic::planes::pack;
    on pack_on
}

/// Ors `len` words of `from`, from word `from_at` on, into `to` from word `to_at` on; words of `8 << width` bits.
pub fn or_words(width: u8, from: &[u64], from_at: usize, to: &mut [u64], to_at: usize, len: usize) {
    generic::planes::each_word(width, from, from_at, to, to_at, len, true);
}

/// Copies words likewise.
pub fn copy_words(width: u8, from: &[u64], from_at: usize, to: &mut [u64], to_at: usize, len: usize) {
    generic::planes::each_word(width, from, from_at, to, to_at, len, false);
}

/// Number of `u64` that hold `len` words of `8 << width` bits.
pub fn storage(width: u8, len: usize) -> usize {
    (len << width).div_ceil(8)
}

/// Whether the bits of a packed plane that belong to none of its `m` elements are zero.
pub fn padding_is_zero(plane: &Plane<'_>, m: usize) -> bool {
    let (c, p) = (plane.data.len(), plane.bits as usize);
    (m..c * 8 / p).all(|i| (plane.data[i % c] >> (p * (i / c))) & (0xff >> (8 - p)) == 0)
}

/// Words of 8 bits as they stand.
pub fn as_bytes(rest: &[u64]) -> &[u8] {
    bytemuck::cast_slice(rest)
}

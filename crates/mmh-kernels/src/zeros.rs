//! Low bits that are zero in a whole segment: the mark of rows that were upcast from a narrower type.

use crate::generic;

multiversion! {
    /// Appends the bitwise or of each segment of `segment` words (of `8 << width` bits, `len` of them in `rest`) to `out`.
    pub fn segment_ors(width: u8, rest: &[u64], len: usize, segment: usize, out: &mut Vec<u64>) = generic::zeros::segment_ors;
    on segment_ors_on
}

//! Low bits that are zero in a whole segment: the mark of rows that were upcast from a narrower type.

use crate::generic;

multiversion! {
    /// Appends the bitwise or of each segment of `segment` words (of `8 << width` bits, `len` of them in `rest`) to `out`.
    pub fn segment_ors(width: u8, rest: &[u64], len: usize, segment: usize, out: &mut Vec<u64>) = generic::zeros::segment_ors;
    on segment_ors_on
}

multiversion! {
    /// Whether in each segment of `segment` elements (of `1 << width` bytes, little-endian) some element is odd. Takes less time than
    /// [`segment_ors`], and where it is so there is nothing to be found.
    pub fn low_bit_in_each(width: u8, data: &[u8], segment: usize) -> bool = generic::zeros::low_bit_in_each;
    on low_bit_in_each_on
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Simd;

    #[test]
    fn a_segment_without_odd_elements_is_found() {
        for width in 0..4u8 {
            let size = 1usize << width;
            for elements in [1, 63, 64, 65, 200, 256] {
                let data = vec![0xffu8; elements * size];
                for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                    assert!(low_bit_in_each_on(simd, width, &data, 64));
                    for segment in 0..elements.div_ceil(64) {
                        let mut data = data.clone();
                        data[segment * 64 * size..].chunks_mut(size).take(64).for_each(|x| x[0] = 0xfe);
                        assert!(!low_bit_in_each_on(simd, width, &data, 64), "{simd:?} {width} {elements}");
                        // One odd element is enough.
                        data[(segment * 64 + elements.min((segment + 1) * 64) - 1 - segment * 64) * size] = 1;
                        assert!(low_bit_in_each_on(simd, width, &data, 64), "{simd:?} {width} {elements}");
                    }
                }
            }
        }
    }
}

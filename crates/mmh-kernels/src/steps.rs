//! Integers of which each is a small step from the one before (`spec/codecs/hierarchical.md`, section 6).

multiversion! {
    /// Writes the step from each element of `data` (little-endian, of `1 << width` bytes) to the next one as a zigzagged word of the same size.
    pub fn split(width: u8, data: &[u8], words: &mut [u8]) = split_generic;
    on split_on
}

multiversion! {
    /// The converse: all elements, of which the first is given as `out` begins with it, from the words shifted down by `shift`.
    pub fn join(width: u8, words: &[u8], shift: u8, out: &mut [u8]) = join_generic;
    on join_on
}

macro_rules! steps {
    ($split:ident, $join:ident, $word:ty, $signed:ty) => {
        #[inline(always)]
        fn $split(data: &[u8], words: &mut [u8]) {
            const SIZE: usize = size_of::<$word>();
            let data = data.as_chunks::<SIZE>().0;
            let words = words.as_chunks_mut::<SIZE>().0.iter_mut();
            for ((word, x), y) in words.zip(data).zip(data.get(1..).unwrap_or_default()) {
                let step = <$signed>::from_le_bytes(*y).wrapping_sub(<$signed>::from_le_bytes(*x));
                *word = ((step << 1) ^ (step >> (<$signed>::BITS - 1))).to_le_bytes();
            }
        }

        #[inline(always)]
        fn $join(words: &[u8], shift: u8, out: &mut [u8]) {
            const SIZE: usize = size_of::<$word>();
            let Some((first, rest)) = out.as_chunks_mut::<SIZE>().0.split_first_mut() else { return };
            let shift = shift as u32 & (<$word>::BITS - 1);
            let mut x = <$word>::from_le_bytes(*first);
            for (y, word) in rest.iter_mut().zip(words.as_chunks::<SIZE>().0) {
                let z = <$word>::from_le_bytes(*word) >> shift;
                x = x.wrapping_add((z >> 1) ^ (0 as $word).wrapping_sub(z & 1));
                *y = x.to_le_bytes();
            }
        }
    };
}
steps!(split_bytes, join_bytes, u8, i8);
steps!(split_halves, join_halves, u16, i16);
steps!(split_singles, join_singles, u32, i32);
steps!(split_doubles, join_doubles, u64, i64);

#[inline(always)]
fn split_generic(width: u8, data: &[u8], words: &mut [u8]) {
    match width {
        0 => split_bytes(data, words),
        1 => split_halves(data, words),
        2 => split_singles(data, words),
        _ => split_doubles(data, words),
    }
}

#[inline(always)]
fn join_generic(width: u8, words: &[u8], shift: u8, out: &mut [u8]) {
    match width {
        0 => join_bytes(words, shift, out),
        1 => join_halves(words, shift, out),
        2 => join_singles(words, shift, out),
        _ => join_doubles(words, shift, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Simd;

    #[test]
    fn steps_are_zigzagged_and_come_back_on_every_set() {
        for width in 0..4u8 {
            let size = 1usize << width;
            let mask = u64::MAX >> (64 - 8 * size);
            // Up, down, and around.
            let values: Vec<u64> =
                (0..301u64).map(|i| ((i * i * i * 0x1234_5677) >> (i % 40)) & mask).collect();
            let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()[..size].to_vec()).collect();
            for simd in Simd::ALL.iter().copied().filter(|s| s.is_available()) {
                let mut words = vec![0; data.len() - size];
                split_on(simd, width, &data, &mut words);
                for (word, v) in words.chunks(size).zip(values.windows(2)) {
                    let z = word.iter().rev().fold(0u64, |z, b| z << 8 | *b as u64);
                    let step = (z >> 1) ^ 0u64.wrapping_sub(z & 1);
                    assert_eq!(v[0].wrapping_add(step) & mask, v[1], "{simd:?} {width}");
                }
                let mut back = vec![0; data.len()];
                back[..size].copy_from_slice(&data[..size]);
                join_on(simd, width, &words, 0, &mut back);
                assert!(back == data, "{simd:?} {width}");
                // One, and words that are shifted.
                let mut one = data[..size].to_vec();
                join_on(simd, width, &[], 3, &mut one);
                assert_eq!(one, data[..size]);
                let mut two = [&data[..size], &data[..size]].concat();
                let word = (4u64 << 2 | 3).to_le_bytes();
                join_on(simd, width, &word[..size], 2, &mut two);
                let x = values[0].wrapping_add(2) & mask;
                assert_eq!(two[size..], x.to_le_bytes()[..size]);
            }
        }
    }
}

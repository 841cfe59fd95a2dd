//! Which elements samples look at.

use std::ops::Range;

/// Pieces of `piece` elements, one of each `stride` of the elements `0 … n`, at some place of it: at the same place, they would all meet the
/// same columns of a matrix. They begin at multiples of 64.
pub fn pieces(n: usize, stride: usize, piece: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(stride.max(1)).enumerate().map(move |(i, start)| {
        // Multiples of the golden ratio spread evenly (Knuth, "The Art of Computer Programming", 6.4).
        let part = (i as u32 + 1).wrapping_mul(0x9E37_79B9) >> 16;
        let len = stride.min(n - start);
        let at = start + (((len.saturating_sub(piece) * part as usize) >> 16) & !63);
        at..(start + len).min(at + piece)
    })
}

/// The place of a look, of which any number are spread evenly among `n` places and fall into no step with rows, filters or layers: multiples of the
/// golden ratio again.
pub fn spread(look: u64, n: u64) -> u64 {
    let part = (look + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((part as u128 * n as u128) >> 64) as u64
}

/// The elements of `size` bytes that such pieces have, one behind the other.
pub fn gather(body: &[u8], size: usize, pieces: impl Iterator<Item = Range<usize>>) -> Vec<u8> {
    let mut gathered = Vec::new();
    // Not byte by byte, as chained iterators would go.
    pieces.for_each(|p| gathered.extend_from_slice(&body[p.start * size..p.end * size]));
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_in_their_strides_and_at_different_places() {
        for (n, stride, piece) in
            [(0, 8, 4), (5, 1024, 64), (100_000, 8192, 1024), (8192, 1024, 1024), (99_999, 4096, 1000)]
        {
            let all: Vec<_> = pieces(n, stride, piece).collect();
            assert_eq!(all.len(), n.div_ceil(stride));
            for (i, p) in all.iter().enumerate() {
                assert!(p.start % 64 == 0 && p.start / stride == i && p.end <= n && p.len() <= piece);
                assert!(!p.is_empty());
            }
        }
        let places: Vec<usize> = pieces(1 << 19, 1 << 14, 1024).map(|p| p.start % (1 << 14)).collect();
        assert!(places.iter().filter(|p| **p < 4096).count() < 12, "{places:?}");
    }
}

//! The numbers of words in a small codebook, by one look at a table in which no two of them share a place.

use super::counter::Word;
use super::grid::Grid;

/// Words of the largest such codebook, and log2 of the places that it may take.
const MOST: usize = 512;
const PLACES: u32 = 17;

/// Multipliers that are tried: of 512 words in 2^17 places no two meet for one in three of them.
const TRIED: u64 = 16;

/// Where each word of a codebook is looked for.
pub(super) struct Finder {
    multiplier: u64,
    shift: u32,
    /// The number of the word of a place, or of any other one where there is none.
    places: Vec<u16>,
    keys: Box<[u64; MOST]>,
    known: u16,
}

impl Finder {
    /// `None` for a large codebook, and for one of words that have no keys of their own.
    pub(super) fn of(book: &[Word], grid: Grid) -> Option<Finder> {
        if book.len() > MOST || grid.bits > 64 {
            return None;
        }
        let mut keys = Box::new([0; MOST]);
        keys.iter_mut().zip(book).for_each(|(key, word)| *key = word.key);
        let mut finder =
            Finder { multiplier: 0, shift: 0, places: Vec::new(), keys, known: book.len() as u16 };
        // Fewer places stay nearer.
        let least = (2 * book.len().max(2)).ilog2().min(PLACES);
        for bits in least..=PLACES {
            for i in 0..TRIED {
                finder.multiplier =
                    0x9E37_79B9_7F4A_7C15u64.wrapping_add(i.wrapping_mul(0x5851_F42D_4C95_7F2E));
                finder.shift = 64 - bits;
                finder.places.clear();
                finder.places.resize(1 << bits, 0);
                if finder.fill() {
                    return Some(finder);
                }
            }
        }
        None
    }

    /// Puts all words in their places, unless two have the same.
    fn fill(&mut self) -> bool {
        let mut taken = vec![0u64; self.places.len().div_ceil(64)];
        for number in 0..self.known as usize {
            let place = self.place(self.keys[number]);
            let bit = 1u64 << (place % 64);
            if taken[place / 64] & bit != 0 {
                return false;
            }
            taken[place / 64] |= bit;
            self.places[place] = number as u16;
        }
        true
    }

    #[inline(always)]
    fn place(&self, key: u64) -> usize {
        (key.wrapping_mul(self.multiplier) >> self.shift) as usize
    }

    /// Writes the number of each word of a block, or the number of words where it is none of them.
    pub(super) fn number(&self, data: &[u8], grid: Grid, numbers: &mut [u16]) {
        let places = &self.places[..];
        grid.each_key(data, 0..numbers.len(), |i, key| {
            // Each multiplier and shift gives a place that there is.
            let number = places.get(self.place(key)).copied().unwrap_or(0);
            let is_known = self.keys[number as usize % MOST] == key && number < self.known;
            numbers[i] = if is_known { number } else { self.known };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    #[test]
    fn numbers_are_those_of_a_search() {
        for bits in [32usize, 64, 24] {
            let size = bits / 8;
            for known in [1usize, 2, 3, 17, 256, 257, 512] {
                let random = noise(8 * known, known as u64);
                let key = |b: &[u8; 8]| u64::from_le_bytes(*b) >> (64 - bits);
                let mut keys: Vec<u64> = random.as_chunks().0.iter().map(key).collect();
                // Zero, which places without a word could be taken for.
                keys[known / 2] = 0;
                keys.sort_unstable();
                keys.dedup();
                let book: Vec<Word> = keys.iter().map(|key| Word { key: *key, first: 0, count: 1 }).collect();
                let grid = Grid { bits, head: 0 };
                let finder = Finder::of(&book, grid).unwrap();
                let words: Vec<u64> = noise(5000, 3)
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|&[a, b]| match a {
                        ..200 => keys[(a as usize * 256 + b as usize) % keys.len()],
                        200..220 => 0,
                        _ => keys[b as usize % keys.len()] ^ 1 << (a as usize % bits),
                    })
                    .collect();
                let data: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()[..size].to_vec()).collect();
                let mut numbers = vec![0; words.len()];
                finder.number(&data, grid, &mut numbers);
                let expected = |w: &u64| keys.binary_search(w).map_or(keys.len(), |number| number) as u16;
                assert_eq!(numbers, words.iter().map(expected).collect::<Vec<_>>(), "{bits} {known}");
            }
        }
        assert!(
            Finder::of(&[Word { key: 1, first: 0, count: 1 }; MOST + 1], Grid { bits: 32, head: 0 })
                .is_none()
        );
        assert!(Finder::of(&[Word { key: 1, first: 0, count: 1 }], Grid { bits: 96, head: 0 }).is_none());
    }
}

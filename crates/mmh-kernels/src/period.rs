//! The smallest period of a block: is all of it one repeated pattern?

use memchr::arch::all::packedpair::HeuristicFrequencyRank;
use memchr::memmem::{self, FinderBuilder};

/// Bytes of the start of a block that are searched for its own beginning.
const NEEDLE: usize = 16;

/// Bytes that are counted to know which are rare.
const COUNTED: usize = 512;

/// How frequent bytes are in this block. What is rare in texts, zeros say, is every other byte of some numbers, and would be stumbled over.
struct Counted([u8; 256]);

impl Counted {
    fn of(data: &[u8]) -> Counted {
        let mut counts = [0u8; 256];
        for byte in &data[..data.len().min(COUNTED)] {
            let count = &mut counts[*byte as usize];
            *count = count.saturating_add(1);
        }
        Counted(counts)
    }
}

impl HeuristicFrequencyRank for Counted {
    fn rank(&self, byte: u8) -> u8 {
        self.0[byte as usize]
    }
}

/// Words at the start of a block, one from each byte on, that are looked for at every so many bytes.
const STEPS: usize = 256;

/// Bytes of such a word.
const WORD: usize = 8;

/// What words are hashed to has so many bits.
const HASH: u32 = 14;

/// Whether there may be a period of up to `max` bytes. `false` is certain, and takes less time than a search for the first bytes does.
///
/// A period `p` is `STEPS · j − i` with `i` below [`STEPS`], and so the word at `STEPS · j` is the one at `i`: baby steps and giant steps (D. Shanks,
/// "Class number, a theory of factorization, and genera", 1971).
fn may_repeat(data: &[u8], max: usize) -> bool {
    let ends = STEPS..max.next_multiple_of(STEPS) + STEPS;
    let (Some(start), Some(giant)) = (data.first_chunk::<{ STEPS + WORD - 1 }>(), data.get(ends)) else {
        return true;
    };
    let place = |word: [u8; WORD]| {
        let hash = u64::from_le_bytes(word).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - HASH);
        (hash as usize / 64, hash % 64)
    };
    let mut known = [0u64; 1 << (HASH - 6)];
    for i in 0..STEPS {
        let (at, bit) = place(std::array::from_fn(|k| start[i + k]));
        known[at] |= 1 << bit;
    }
    giant.as_chunks::<STEPS>().0.iter().any(|chunk| {
        let word = std::array::from_fn(|k| chunk[k]);
        let (at, bit) = place(word);
        known[at] >> bit & 1 > 0 && memmem::find(start, &word).is_some()
    })
}

/// Where the first bytes of `data` come again, within the first `end` bytes.
fn again(data: &[u8], end: usize) -> Option<usize> {
    let (needle, window) = (&data[..NEEDLE], &data[1..end]);
    FinderBuilder::new().build_forward_with_ranker(Counted::of(data), needle).find(window).map(|at| at + 1)
}

/// The smallest `p ≤ max` such that `data[i] == data[i + p]` for every `i`, if there is one with `p < data.len()`.
///
/// Noise is rejected by some hundred words of it, texts by one or two searches for 16 bytes; the rest takes time linear in `data.len() + max`.
pub fn smallest(data: &[u8], max: usize) -> Option<usize> {
    let n = data.len();
    if n < 2 || max == 0 {
        return None;
    }
    if n <= NEEDLE {
        return (1..n.min(max + 1)).find(|&p| holds(data, p));
    }
    if !may_repeat(data, max) {
        return None;
    }
    match again(data, n.min(max + NEEDLE)) {
        Some(p) if holds(data, p) => return Some(p),
        Some(_) => {}
        // What is left are periods that leave less than the needle to compare with.
        None => return (n - NEEDLE + 1..n.min(max + 1)).find(|&p| holds(data, p)),
    }
    // Texts begin with a word that comes again soon, or with padding; then other words of theirs do not.
    if [n / 3, n / 2].into_iter().any(|start| stands_alone(&data[start..], max)) {
        return None;
    }
    // The first repetition was not it. If p is a period of the data, then the smallest period of a prefix of at least
    // 2·max bytes divides it (Fine and Wilf) and is one itself.
    let prefix = &data[..n.min(2 * max)];
    let p = prefix_period(prefix);
    (p <= max && p < n && holds(data, p)).then_some(p)
}

/// Whether the first bytes of `data` do not come again within `max` bytes, so that no period of up to `max` can be one.
fn stands_alone(data: &[u8], max: usize) -> bool {
    data.len() >= max + NEEDLE && again(data, max + NEEDLE).is_none()
}

/// Whether `p` is a period of `data`.
pub fn holds(data: &[u8], p: usize) -> bool {
    p <= data.len() && data[p..] == data[..data.len() - p]
}

/// The smallest period of `data` (its length if there is no smaller one), by the prefix function of Knuth, Morris and Pratt.
fn prefix_period(data: &[u8]) -> usize {
    let mut border = vec![0u32; data.len()];
    let mut k = 0usize;
    for i in 1..data.len() {
        while k > 0 && data[i] != data[k] {
            k = border[k - 1] as usize;
        }
        if data[i] == data[k] {
            k += 1;
        }
        border[i] = k as u32;
    }
    data.len() - k
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(data: &[u8], max: usize) -> Option<usize> {
        (1..data.len()).find(|&p| p <= max && holds(data, p))
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_search(unit in prop::collection::vec(0u8..3, 1..60), n in 0usize..800, max in 1usize..80, flip in any::<Option<usize>>()) {
            let mut data: Vec<u8> = unit.iter().cycle().take(n).copied().collect();
            if let (Some(i), true) = (flip, n > 0) {
                data[i % n] ^= 1;
            }
            prop_assert_eq!(smallest(&data, max), naive(&data, max));
        }

        #[test]
        fn finds_periods_of_all_lengths(unit in prop::collection::vec(any::<u8>(), 1..1100), n in 0usize..5000, max in 1usize..1100, flip in any::<Option<usize>>()) {
            let mut data: Vec<u8> = unit.iter().cycle().take(n).copied().collect();
            if let (Some(i), true) = (flip, n > 0) {
                data[i % n] ^= 1;
            }
            prop_assert_eq!(smallest(&data, max), naive(&data, max));
        }
    }

    #[test]
    fn a_beginning_that_comes_again_is_no_period() {
        let mut text: Vec<u8> =
            (0..300_000u32).map(|i| b'a' + (i.wrapping_mul(2_654_435_761) >> 24) as u8 % 26).collect();
        for at in [100, 5_000, 40_000] {
            text.copy_within(..NEEDLE, at);
        }
        assert_eq!(smallest(&text, 65_536), None);
        text.truncate(20_000);
        assert_eq!(smallest(&text, 65_536), naive(&text, 65_536));
    }

    #[test]
    fn long_periods_with_ragged_ends() {
        for p in [1usize, 2, 251, 4096, 65_535, 65_536] {
            let unit: Vec<u8> =
                (0..p as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect();
            let data: Vec<u8> = unit.iter().cycle().take(300_001).copied().collect();
            let found = smallest(&data, 65_536).unwrap();
            assert!(holds(&data, found) && found <= p);
            assert!(p == 1 || found > 1);
        }
        let noise: Vec<u8> =
            (0..1u64 << 20).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8).collect();
        let p = smallest(&noise, 65_536);
        assert!(p.is_none_or(|p| holds(&noise, p)));
    }
}

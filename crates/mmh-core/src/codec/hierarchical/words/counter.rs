//! Counting words: each different one in order of its first occurrence, with how often it comes.

/// Words that are counted at a time.
pub(super) const PIECE: usize = 64;

/// Stands for a word for which there was no room.
pub(super) const NOT_TAKEN: u32 = u32::MAX;

/// Counts words. They lie one behind the other, in order of their first occurrence, and what is looked up is small: few words then stay in the
/// cache, whatever there is room for.
#[derive(Default)]
pub struct Counter {
    pub(super) words: Vec<Word>,
    /// By what a key is hashed to: the position of its word and 1, or 0.
    pub(super) slots: Vec<u32>,
    /// Of the slots, in the order of the words.
    used: Vec<u32>,
    /// Positions of the words of a sample, in order; of those that were not taken, [`NOT_TAKEN`].
    pub(super) met: Vec<u32>,
    mask: usize,
}

#[derive(Clone, Copy)]
pub(super) struct Word {
    pub(super) key: u64,
    pub(super) first: u32,
    pub(super) count: u32,
}

impl Counter {
    /// Begins anew, with room for so many different words.
    pub(super) fn clear(&mut self, room: usize) {
        let size = (2 * room).next_power_of_two();
        // Few of the slots that there are may have been in use.
        if self.slots.len() < size {
            self.slots = vec![0; size];
        } else {
            self.used.iter().for_each(|at| self.slots[*at as usize] = 0);
        }
        self.used.clear();
        self.words.clear();
        self.words.reserve(room);
        self.mask = size - 1;
    }

    /// The slot of a word: its own, or a free one.
    #[inline(always)]
    pub(super) fn slot(&self, key: u64) -> usize {
        let mut at = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & self.mask;
        while self.slots[at] > 0 && self.words[self.slots[at] as usize - 1].key != key {
            at = (at + 1) & self.mask;
        }
        at
    }

    /// Counts words, the first of them the one with this number in the block; gives their positions.
    #[inline(always)]
    pub(super) fn count(&mut self, keys: &[u64], first: usize, positions: &mut [u32]) {
        // Of a power of two of slots each is there.
        let (slots, words) = (&mut self.slots[..=self.mask], &mut self.words);
        let mask = slots.len() - 1;
        for (i, (key, position)) in keys.iter().zip(positions).enumerate() {
            let mut at = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize;
            *position = loop {
                let slot = &mut slots[at & mask];
                if let Some(word) = words.get_mut((*slot as usize).wrapping_sub(1)) {
                    if word.key == *key {
                        word.count += 1;
                        break *slot - 1;
                    }
                    at += 1;
                    continue;
                }
                // With half of the slots in use no more words are taken: those that are frequent have come by now.
                if words.len() * 2 > mask {
                    break NOT_TAKEN;
                }
                words.push(Word { key: *key, first: (first + i) as u32, count: 1 });
                self.used.push((at & mask) as u32);
                *slot = words.len() as u32;
                break *slot - 1;
            };
        }
    }

    /// Puts a word that is new into the slot that is its own.
    pub(super) fn put(&mut self, word: Word) {
        let at = self.slot(word.key);
        self.words.push(word);
        self.slots[at] = self.words.len() as u32;
        self.used.push(at as u32);
    }

    /// Words that came more than once, of so many that were counted.
    pub(super) fn again(&self, counted: usize) -> usize {
        counted - self.words.iter().filter(|word| word.count == 1).count()
    }
}

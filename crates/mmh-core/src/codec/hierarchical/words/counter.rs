//! Counting words: each different one, in the order in which they come first, and how often it comes.

use super::MOST;
use super::grid::Grid;
use std::ops::Range;

/// Words that were counted. They lie one behind the other, and what is looked up is small: few words then stay in the cache, whatever there is
/// room for.
#[derive(Default)]
pub struct Counter {
    words: Vec<Word>,
    /// By what a key is hashed to: the position of its word and 1, or 0.
    slots: Vec<u16>,
    /// Of the slots, in the order of the words.
    used: Vec<u32>,
    mask: usize,
}

#[derive(Clone, Copy)]
pub(super) struct Word {
    pub(super) key: u64,
    /// Where it comes first.
    pub(super) first: u32,
    /// How often it comes.
    pub(super) count: u32,
}

fn hash(key: u64) -> usize {
    (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize
}

impl Counter {
    /// Begins anew, with room for so many different words, [`MOST`] at most.
    pub(super) fn clear(&mut self, room: usize) {
        let size = (2 * room.min(MOST)).next_power_of_two();
        // Few of the slots that there are may have been in use.
        if self.slots.len() < size {
            self.slots = vec![0; size];
        } else {
            self.used.iter().for_each(|at| self.slots[*at as usize] = 0);
        }
        self.used.clear();
        self.words.clear();
        self.mask = size - 1;
    }

    /// The words, in the order in which they come first.
    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    /// The slot of a word: its own, or a free one.
    #[inline(always)]
    fn slot(&self, key: u64) -> usize {
        let mut at = hash(key) & self.mask;
        while self.slots[at] > 0 && self.words[self.slots[at] as usize - 1].key != key {
            at = (at + 1) & self.mask;
        }
        at
    }

    /// The position of the word with this key.
    #[inline(always)]
    pub(super) fn position(&self, key: u64) -> Option<usize> {
        self.slots[self.slot(key)].checked_sub(1).map(|at| at as usize)
    }

    /// Counts some words of a block.
    #[inline(always)]
    pub(super) fn count(&mut self, data: &[u8], grid: Grid, range: Range<usize>) {
        let Counter { words, slots, used, mask } = self;
        // Of a power of two of slots each is there.
        let slots = &mut slots[..=*mask];
        let mask = slots.len() - 1;
        // With half of the slots in use no more words are taken: those that are frequent have come by now.
        let room = (slots.len() / 2).min(MOST);
        grid.each_key(data, range, |i, key| {
            let mut at = hash(key);
            loop {
                let slot = &mut slots[at & mask];
                match words.get_mut((*slot as usize).wrapping_sub(1)) {
                    Some(word) if word.key == key => {
                        word.count += 1;
                        return;
                    }
                    Some(_) => at += 1,
                    None => {
                        if words.len() < room {
                            words.push(Word { key, first: i as u32, count: 1 });
                            used.push((at & mask) as u32);
                            *slot = words.len() as u16;
                        }
                        return;
                    }
                }
            }
        });
    }

    /// Counts all words of a block. Where there is no more room, words that came once are forgotten, if those are most: rows of a matrix have frequent
    /// words of their own, which come late.
    pub(super) fn count_all(&mut self, data: &[u8], grid: Grid, n: usize) {
        let room = self.mask.div_ceil(2).min(MOST);
        let mut forgets = true;
        for first in (0..n).step_by(room / 4) {
            self.count(data, grid, first..n.min(first + room / 4));
            if forgets && self.words.len() * 4 >= room * 3 {
                self.used.iter().for_each(|at| self.slots[*at as usize] = 0);
                self.used.clear();
                let all = std::mem::take(&mut self.words);
                self.words.reserve(room);
                all.into_iter().filter(|word| word.count > 1).for_each(|word| self.put(word));
                forgets = self.words.len() * 2 < room;
            }
        }
    }

    /// Puts a word that is new behind the others.
    pub(super) fn put(&mut self, word: Word) {
        let at = self.slot(word.key);
        self.words.push(word);
        self.slots[at] = self.words.len() as u16;
        self.used.push(at as u32);
    }

    /// Words that came more than once, of so many that were counted.
    pub(super) fn again(&self, counted: usize) -> usize {
        counted - self.words.iter().filter(|word| word.count == 1).count()
    }
}

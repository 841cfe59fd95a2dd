//! What a codebook would make of a block, from a sample of its words.

use super::counter::{Counter, Word};
use super::form::Form;
use super::grid::Grid;
use super::worth::least_worth;
use super::{MOST, Tried};
use crate::codec::symbols::{self, entropy};
use crate::codec::tensor::analyze::analyze;
use crate::codec::{self, Level, tensor};
use std::ops::Range;

/// Words of the sample, in pieces.
const MANY: usize = 1 << 14;
const PIECE: usize = 64;

/// Parts of it. After the first one, and after half of them, what is known may do, if it is of so many words.
const PARTS: usize = 4;
const TELLING: usize = 1024;

/// Of the first part it is asked that of all of the sample one word in so many has a twin.
const TWINS: usize = 64;

/// How much less half of the sample has to promise than a quarter did, where that does not pay, for the rest of it to be asked. Of words that are
/// few, more and more have come twice.
const LESS: f64 = 0.97;

/// Words that are passed down take as much as all others are known to, or what a look at them tells. It is not asked for where they would have to
/// take so much less.
const NEARLY: f64 = 0.95;

/// What the sample tells.
pub(super) struct Estimate {
    /// Size over size.
    pub(super) size: f64,
    /// Words that were seen and would be in the codebook.
    pub(super) seen: usize,
    /// Room for the words of the block, most of which may not have been seen.
    pub(super) room: usize,
    /// Not all of the sample was looked at: the block will be smaller, as more of its words come twice.
    pub(super) is_rough: bool,
}

/// The estimate, where it is below `worth`, a size over size; from a part of the sample, where that is below `enough`.
pub(super) fn estimate(
    data: &[u8],
    tried: &Tried,
    worth: f64,
    enough: f64,
    level: Level,
    scratch: &mut codec::Scratch,
) -> Option<Estimate> {
    let codec::Scratch { hierarchical, tensor, .. } = scratch;
    let counter = &mut hierarchical.counter;
    let n = tried.grid.count(data.len());
    let stride = (n / MANY).max(1) * PIECE;
    let pieces: Vec<Range<usize>> = symbols::pieces(n, stride, PIECE).collect();
    let new = vec![0..0; pieces.len()];
    let mut sample = Sample { tried, bytes: data.len(), words: n, seen: 0, new, level };
    let mut before = f64::INFINITY;
    counter.clear(MANY.min(n));
    for part in 0..PARTS {
        for (piece, new) in pieces.iter().zip(&mut sample.new).skip(part).step_by(PARTS) {
            sample.seen += piece.len();
            let known = counter.words().len();
            counter.count(data, tried.grid, piece.clone());
            *new = known..counter.words().len();
        }
        if !matches!(part + 1, 1 | 2) || sample.seen < TELLING {
            continue;
        }
        // Where few words have twins, those that have are as many times more in a sample that is so many times larger.
        if part == 0 && counter.again(sample.seen) * PARTS * TWINS < sample.seen {
            return None;
        }
        let Some(book) = sample.book(counter) else { continue };
        let promised = sample.size(&book, tried.passed);
        if promised < enough {
            let size = sample.size(&book, sample.passed_down(&book, counter, tensor)?);
            if size < enough {
                let room = 4 * counter.words().len();
                return Some(Estimate { size, seen: book.words, room, is_rough: true });
            }
        }
        if promised >= worth && promised > LESS * before {
            return None;
        }
        before = promised;
    }
    let book = sample.book(counter)?;
    if sample.size(&book, tried.passed) * NEARLY >= worth {
        return None;
    }
    let size = sample.size(&book, sample.passed_down(&book, counter, tensor)?);
    let (seen, room) = (book.words, 4 * book.words);
    (size < worth).then_some(Estimate { size, seen, room, is_rough: false })
}

/// What is known of a sample beside its words.
struct Sample<'a> {
    tried: &'a Tried,
    /// Bytes of the block.
    bytes: usize,
    /// Words of the block.
    words: usize,
    /// Words that were counted.
    seen: usize,
    /// Of each piece, the different words that came first in it.
    new: Vec<Range<usize>>,
    level: Level,
}

/// The codebook of a sample.
struct Book {
    /// How often a word has to come to be in it.
    least: u32,
    /// Words in it.
    words: usize,
    /// Words of the sample that are not in it.
    escapes: u64,
    /// Bits of all numbers.
    numbers: u64,
}

impl Sample<'_> {
    /// The codebook, if any words are worth it.
    fn book(&self, counter: &Counter) -> Option<Book> {
        let &Tried { grid, passed, .. } = self.tried;
        let seen = self.seen as u64;
        let least = least_worth(grid, passed, seen, self.words as u64);
        let mut kept: Vec<&Word> = Vec::with_capacity(counter.words().len());
        counter.words().iter().filter(|word| word.count >= least).for_each(|word| kept.push(word));
        if !(1..=MOST).contains(&kept.len()) {
            return None;
        }
        let escapes = seen - kept.iter().map(|word| word.count as u64).sum::<u64>();
        let numbers = cost_of_numbers(grid, &mut kept, escapes as u32, seen);
        Some(Book { least, words: kept.len(), escapes, numbers })
    }

    /// Size over size, when a word that is passed down takes so many thousandths of a bit.
    fn size(&self, book: &Book, passed: u64) -> f64 {
        let bits = (book.numbers + book.escapes * passed / 1000) as f64;
        let words = (book.words * self.tried.grid.bits) as f64 + 1000.0;
        (bits * self.words as f64 / self.seen as f64 + words) / 8.0 / self.bytes as f64
    }

    /// Thousandths of a bit that a word takes that is not in the codebook. Those that are elements are looked at as such.
    fn passed_down(&self, book: &Book, counter: &Counter, scratch: &mut tensor::Scratch) -> Option<u64> {
        let &Tried { grid, own, passed } = self.tried;
        let Some(element) = own.filter(|_| book.escapes > 0) else {
            // The words that are in the book may cost nothing, so that all that is known to be spent is spent on the others.
            return Some((passed * self.seen as u64 / book.escapes.max(1)).min(1000 * grid.bits as u64));
        };
        let (size, escapes) = (element.size(), book.escapes as usize);
        // All eight bytes of each, of which the next one covers those that are not the word's.
        let mut rest = vec![0; escapes * size + 8 - size];
        let mut at = 0;
        // In the order of the block, of which pieces are looked at in turn.
        for piece in &self.new {
            for word in counter.words()[piece.clone()].iter().filter(|word| word.count < book.least) {
                for _ in 0..word.count {
                    rest[at..at + 8].copy_from_slice(&word.key.to_le_bytes());
                    at += size;
                }
            }
        }
        rest.truncate(escapes * size);
        Some(analyze(&rest, element, self.level, scratch)?.element_millibits)
    }
}

/// Bits that the numbers of a sample cost: of those of two bytes, the bits below the upper eight are as they are.
fn cost_of_numbers(grid: Grid, book: &mut [&Word], escapes: u32, seen: u64) -> u64 {
    let few = book.len() as u64 * 72 / 100;
    let form = Form { known: book.len(), escapes: escapes > 0 };
    let low = form.shift().map_or(0, |shift| 8 - shift.min(8));
    if low == 0 {
        return entropy::bits(book.iter().map(|word| word.count).chain([escapes])) + few;
    }
    // In the order of the codebook, in which neighbours share their upper bits.
    let upper: Vec<u32> = if grid.bits <= 32 {
        let mut numbers = book.iter().map(|word| word.key << 32 | word.count as u64).collect();
        sort_upper(&mut numbers);
        let count = |words: &[u64]| words.iter().map(|word| *word as u32).sum();
        numbers.chunks(1 << low).map(count).collect()
    } else {
        book.sort_unstable_by_key(|word| word.key);
        book.chunks(1 << low).map(|words| words.iter().map(|word| word.count).sum()).collect()
    };
    entropy::bits(upper.into_iter().chain([escapes])) + few + seen * low as u64
}

/// Sorts numbers by their upper 32 bits, byte by byte from the lowest one: some thousand are sorted in half the time that comparisons take.
fn sort_upper(numbers: &mut Vec<u64>) {
    let byte = |number: u64, of: usize| (number >> (32 + 8 * of)) as u8 as usize;
    let mut places = [[0u32; 256]; 4];
    for number in numbers.iter() {
        places.iter_mut().enumerate().for_each(|(of, places)| places[byte(*number, of)] += 1);
    }
    let mut sorted = vec![0; numbers.len()];
    for (of, places) in places.iter_mut().enumerate() {
        let mut next = 0;
        for place in places.iter_mut() {
            next += std::mem::replace(place, next);
        }
        for number in numbers.iter() {
            let place = &mut places[byte(*number, of)];
            sorted[*place as usize] = *number;
            *place += 1;
        }
        std::mem::swap(numbers, &mut sorted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_by_their_upper_half() {
        for (n, bits) in [(0, 32), (1, 32), (1000, 32), (5000, 12), (300, 1)] {
            let noise = crate::testing::noise(8 * n, 5);
            let words = noise.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            let mut numbers: Vec<u64> = words.map(|word| word << 32 >> (32 - bits) | word >> 40).collect();
            let mut expected = numbers.clone();
            expected.sort_by_key(|number| number >> 32);
            sort_upper(&mut numbers);
            assert_eq!(numbers, expected);
        }
    }
}

//! Words that come again: a codebook of those that pay for themselves, the number of each word in it, and the words that are not in
//! it, passed down (`spec/codecs/hierarchical.md`, section 4).

use super::node::{self, Kinds};
use super::{MIN_BITS, bad, byte, number, take_bits};
use crate::codec::symbols;
use crate::codec::symbols::entropy::{self, log2};
use crate::codec::tensor::Element;
use crate::codec::tensor::analyze::analyze;
use crate::codec::{self, Block, Level};
use crate::container::varint;
use crate::dtype::Kind;
use crate::error::Result;
use mmh_kernels::words::{copy, expand, narrow, or, read, scatter};

/// The most words of a codebook.
const MOST: usize = 65_535;

/// Widths that are tried where the elements do not tell one. Bytes are left to the codec of the leaves.
const WIDTHS: [usize; 11] = [4, 12, 16, 24, 32, 48, 64, 96, 128, 251, 512];

/// Words of the first sample, which tells by words that come twice how many there may be.
const FEW: usize = 256;

/// Words of the second sample, of those that seem to be few; in pieces of so many.
const MANY: usize = 1 << 14;
const PIECE: usize = 64;

/// Parts of the second sample, of which the first one, if it has so many words, has to promise that of all of it one in so many has a twin.
const PARTS: usize = 4;
const TELLING: usize = 1024;
const WORTH: usize = 64;

/// Words of blocks too short to tell anything.
const SHORTEST: usize = FEW;

/// Words of a block that is too long for one word in its sample to tell of most others.
const FAR: usize = 8 * FEW;

/// What a word costs that has to be passed down, over its bits, when nothing is known of it.
const PASSED: u64 = 1000;

/// Where words are in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    /// Bits of a word.
    bits: usize,
    /// Bits before the first one.
    head: usize,
}

impl Grid {
    fn count(&self, bytes: usize) -> usize {
        (bytes * 8).saturating_sub(self.head) / self.bits
    }

    /// A word as a number that is equal for equal words, and hardly ever for others.
    fn key(&self, data: &[u8], i: usize) -> u64 {
        let at = self.head + i * self.bits;
        if self.bits <= 64 {
            return read(data, at, self.bits);
        }
        let mut key = 0u64;
        let mut done = 0;
        while done < self.bits {
            let n = (self.bits - done).min(64);
            key = (key.rotate_left(23) ^ read(data, at + done, n)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            done += n;
        }
        key
    }

    /// Calls `f` with words and their keys. Those of whole numbers are read as such.
    #[inline(always)]
    fn each_key(&self, data: &[u8], words: impl Iterator<Item = usize>, mut f: impl FnMut(usize, u64)) {
        fn load<const SIZE: usize>(data: &[u8], at: usize) -> u64 {
            let mut word = [0; 8];
            if let Some(bytes) = data.get(at..).and_then(|d| d.first_chunk::<SIZE>()) {
                word[..SIZE].copy_from_slice(bytes);
            }
            u64::from_le_bytes(word)
        }
        let head = self.head / 8;
        match (self.bits, self.head % 8) {
            (16, 0) => words.for_each(|i| f(i, load::<2>(data, head + 2 * i))),
            (32, 0) => words.for_each(|i| f(i, load::<4>(data, head + 4 * i))),
            (64, 0) => words.for_each(|i| f(i, load::<8>(data, head + 8 * i))),
            _ => words.for_each(|i| f(i, self.key(data, i))),
        }
    }

    /// Whether there are few enough words of so many bits for a table of all of them.
    fn is_narrow(&self) -> bool {
        self.bits <= 16
    }

    /// Calls `f` with each word of up to 16 bits.
    fn each_narrow(&self, data: &[u8], mut f: impl FnMut(u16)) {
        match data.get(self.head / 8..) {
            Some(data) if self.bits == 16 && self.head.is_multiple_of(8) => {
                data.as_chunks::<2>().0.iter().for_each(|word| f(u16::from_le_bytes(*word)));
            }
            _ => (0..self.count(data.len())).for_each(|i| f(self.key(data, i) as u16)),
        }
    }

    /// The key for a first look at long words of whole groups of 64 bits: that of their ends.
    fn quick_key(&self, data: &[u8], i: usize) -> u64 {
        if self.bits <= 128 || !self.bits.is_multiple_of(64) {
            return self.key(data, i);
        }
        let at = self.head + i * self.bits;
        let ends = [at, at + self.bits - 64].map(|at| read(data, at, 64));
        (ends[0].rotate_left(23) ^ ends[1]).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// Whether two words are the same.
    fn equal(&self, data: &[u8], i: usize, j: usize) -> bool {
        (0..self.bits).step_by(64).all(|done| {
            let n = (self.bits - done).min(64);
            let word = |i| read(data, self.head + i * self.bits + done, n);
            word(i) == word(j)
        })
    }
}

/// Words that pay.
#[derive(Clone, Debug)]
pub struct Found {
    grid: Grid,
    /// Size over size.
    pub estimate: f64,
    /// Thousandths of a bit that a word costs when it is passed down.
    passed: u64,
    seen: usize,
}

impl Found {
    /// In words, for `--why`.
    pub fn describe(&self) -> String {
        format!("{} words of {} bits in a codebook", self.seen, self.grid.bits)
    }
}

/// Counts words. They lie one behind the other, in order of their first occurrence, and what is looked up is small: few words then stay in the
/// cache, whatever there is room for.
#[derive(Default)]
pub struct Counter {
    words: Vec<Word>,
    /// By what a key is hashed to: the position of its word and 1, or 0.
    slots: Vec<u32>,
    /// Of the slots, in the order of the words.
    used: Vec<u32>,
    /// Positions of the words of a sample, in order; of those that were not taken, [`NOT_TAKEN`].
    met: Vec<u32>,
    mask: usize,
}

/// Stands for a word for which there was no room.
const NOT_TAKEN: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Word {
    key: u64,
    first: u32,
    count: u32,
}

impl Counter {
    /// Begins anew, with room for so many different words.
    fn clear(&mut self, room: usize) {
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
    fn slot(&self, key: u64) -> usize {
        let mut at = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & self.mask;
        while self.slots[at] > 0 && self.words[self.slots[at] as usize - 1].key != key {
            at = (at + 1) & self.mask;
        }
        at
    }

    /// Counts words, the first of them the one with this number in the block; gives their positions.
    #[inline(always)]
    fn count(&mut self, keys: &[u64], first: usize, positions: &mut [u32]) {
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
    fn put(&mut self, word: Word) {
        let at = self.slot(word.key);
        self.words.push(word);
        self.slots[at] = self.words.len() as u32;
        self.used.push(at as u32);
    }

    /// Words that came more than once, of so many that were counted.
    fn again(&self, counted: usize) -> usize {
        counted - self.words.iter().filter(|word| word.count == 1).count()
    }
}

/// What is known of a block that words are looked for in.
pub struct Sought {
    /// Bits of the widest words.
    pub most: usize,
    /// The elements of the block.
    pub element: Option<Element>,
    /// What one of them costs elsewhere.
    pub element_millibits: Option<u64>,
    /// A size over size that another codec has offered already.
    pub bound: f64,
    /// Whether words of eight bytes may come again often.
    pub repeats: bool,
    /// How much to look for.
    pub level: Level,
}

/// The grid of words whose codebook would make the block smallest, if one would.
pub fn find(data: &[u8], sought: &Sought, scratch: &mut codec::Scratch) -> Option<Found> {
    let &Sought { most, element, element_millibits, bound, repeats, level } = sought;
    let element = element.unwrap_or(Element { width: 0, kind: Kind::Unsigned, head: 0 });
    let own = 8 * element.size();
    let per_bit = element_millibits.map_or(PASSED, |m| m / own as u64);
    let head = 8 * element.head as usize;
    let mut grids: Vec<Grid> = if own > 8 { vec![Grid { bits: own, head }] } else { Vec::new() };
    // Numbers whose fields are worth coding are no words of other widths.
    let typed = !matches!(element.kind, Kind::Unsigned) && per_bit < 930;
    let others: &[usize] = match (level.get(), typed) {
        (..=3, true) => &[],
        // Three bytes, of a color or a packed number, are no element that has a name.
        (..=3, false) if own == 8 => &[16, 24, 32, 64],
        (..=3, false) => &[16, 32, 64],
        // A row that comes again is found as pieces of itself.
        (_, true) => &[64, 512],
        _ => &WIDTHS,
    };
    for bits in others.iter().copied().filter(|w| *w != own || head > 0) {
        grids.push(Grid { bits, head: 0 });
    }
    let mut best: Option<Found> = None;
    // Two numbers come again where one does, and so do rows unless they are far from each other.
    let mut pairs = !typed || own == 8 || repeats;
    for grid in grids {
        let count = grid.count(data.len());
        if count < SHORTEST || grid.bits > most {
            continue;
        }
        let passed = per_bit * grid.bits as u64;
        // Another grid has to do better than what was found so far.
        let offer = best.as_ref().map_or(bound, |b| b.estimate.min(bound));
        let offered = (offer * 1000.0 * grid.bits as f64) as u64;
        let is_own = grid.bits == own && grid.head == head;
        if !is_own && !pairs && (grid.bits == 64 || count < FAR) {
            continue;
        }
        let (promised, found) = promises(data, grid, is_own, passed, passed.min(offered));
        pairs |= found;
        let Some(grid) = promised else { continue };
        let own = is_own.then_some(Element { head: 0, ..element });
        let Some((estimate, seen)) = estimate(data, grid, own, passed, level, scratch) else { continue };
        // A narrower word that does as well is simpler; an estimate is not worth a codebook for less than a fiftieth.
        if estimate * 51.0 < 50.0 * per_bit as f64 / 1000.0
            && best.as_ref().is_none_or(|b| estimate * 1.01 < b.estimate)
        {
            best = Some(Found { grid, estimate, passed, seen });
        }
    }
    best
}

/// How far apart the places are where the first whole word of a block may begin: blocks are cut at powers of two.
fn places(bits: usize) -> usize {
    match bits {
        12 => 4,
        24 | 48 | 96 => 8,
        // Others come in the middle of no block, or are searched for bit by bit.
        _ => bits,
    }
}

/// log2(n) in thousandths; 0 for 0.
fn millibits(n: u32) -> u64 {
    (log2(n.max(1)) * 1000) >> 16
}

/// Pairs among `n`.
fn of_pairs(n: u64) -> u64 {
    n * n.saturating_sub(1) / 2
}

/// Pairs of equal keys among [`FEW`], and how often the most frequent one comes.
fn pairs(keys: &[u64; FEW]) -> (u64, u64) {
    const SLOTS: usize = 4 * FEW;
    const { assert!(FEW == 256) };
    // A slot has the place of its key and 1, as small tables are cleared sooner; 0 is free. Places are bytes.
    let mut slots = [0u16; SLOTS];
    let (mut different, mut counts, mut used) = ([0u64; FEW], [1u16; FEW], 0u16);
    let (mut all, mut most) = (0, 1);
    for &key in keys {
        let mut at = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as usize % SLOTS;
        while slots[at] > 0 && different[(slots[at] - 1) as u8 as usize] != key {
            at = (at + 1) % SLOTS;
        }
        if slots[at] == 0 {
            different[used as u8 as usize] = key;
            used += 1;
            slots[at] = used;
        } else {
            let count = &mut counts[(slots[at] - 1) as u8 as usize];
            all += *count as u64;
            *count += 1;
            most = most.max(*count as u64);
        }
    }
    (all, most)
}

/// Whether words come twice so often that they may be few; and where the first one is, unless they are the block's `own` elements: blocks
/// are cut at bytes. `passed` is what a word costs elsewhere, `offered` the best offer for it; in thousandths of a bit. Tells as well whether
/// any word came twice.
fn promises(data: &[u8], grid: Grid, own: bool, passed: u64, offered: u64) -> (Option<Grid>, bool) {
    // Pairs of equal words, and how often the most frequent word comes.
    let pairs_of = |grid: Grid| {
        let stride = grid.count(data.len()) / FEW;
        // Not at the same place of each stride, where all might be of one column.
        let scatter = |i: usize| ((i as u32).wrapping_mul(0x9E37_79B9) as u64 * stride as u64) >> 32;
        let words = (0..FEW).map(|i| i * stride + scatter(i) as usize);
        let mut keys = [0; FEW];
        match grid.bits {
            ..=128 => {
                let mut next = keys.iter_mut();
                grid.each_key(data, words, |_, key| {
                    if let Some(next) = next.next() {
                        *next = key;
                    }
                });
            }
            _ => keys.iter_mut().zip(words).for_each(|(key, i)| *key = grid.quick_key(data, i)),
        }
        pairs(&keys)
    };
    let best_of = |step: usize| {
        let grids = (grid.head..grid.bits).step_by(step).map(|head| Grid { head, ..grid });
        grids.map(|g| (pairs_of(g), std::cmp::Reverse(g.head), g)).max_by_key(|g| (g.0.0, g.1))
    };
    let first = best_of(if own { grid.bits } else { places(grid.bits) });
    let Some(((found, most), _, grid)) = first.filter(|(pairs, ..)| pairs.0 > 0) else {
        return (None, false);
    };
    // Words that are drawn from n alike come twice once in n pairs; in general log2 n is at most their entropy (Rényi's of order 2).
    let low = millibits((of_pairs(FEW as u64) / found) as u32);
    // One word, zero say, may be frequent, and tell nothing of the others.
    let (others, found_there) = (FEW as u64 - most, found - of_pairs(most));
    let cost_there =
        of_pairs(others).checked_div(found_there).map_or(passed, |n| millibits(n as u32).min(passed));
    if low.max(cost_there * others / FEW as u64) * 5 >= offered * 4 {
        return (None, true);
    }
    // Runs of one value are words at any place.
    if grid.bits.is_multiple_of(8) || grid.bits == MIN_BITS || low < 1000 || found_there == 0 {
        return (Some(grid), true);
    }
    (best_of(1).map(|best| best.2), true)
}

/// Estimated size over size, and the words seen that would be in the codebook.
/// Words that are elements, and not in it, are looked at as such.
fn estimate(
    data: &[u8],
    grid: Grid,
    own: Option<Element>,
    passed: u64,
    level: Level,
    scratch: &mut codec::Scratch,
) -> Option<(f64, usize)> {
    let counter = &mut scratch.hierarchical.counter;
    let n = grid.count(data.len());
    let stride = (n / MANY).max(1) * PIECE;
    // Short blocks need little of the table, and what is not needed is not cleared.
    counter.clear(MANY.min(n));
    let pieces = || symbols::pieces(n, stride, PIECE).enumerate();
    counter.met.clear();
    counter.met.resize(pieces().map(|(_, piece)| piece.len()).sum(), NOT_TAKEN);
    let (mut keys, mut positions) = ([0; PIECE], [0; PIECE]);
    for part in 0..PARTS {
        let mut met = 0;
        for (p, piece) in pieces().skip(part).step_by(PARTS) {
            let (first, len) = (piece.start, piece.len());
            grid.each_key(data, piece, |i, key| keys[i - first] = key);
            // All pieces are as long as one another but the last one.
            counter.count(&keys[..len], first, &mut positions[..len]);
            counter.met[p * PIECE..][..len].copy_from_slice(&positions[..len]);
            met += len;
        }
        // Where few words have twins, those that have are as many times more in a sample that is so many times larger.
        if part == 0 && met >= TELLING && counter.again(met) * PARTS * WORTH < met {
            return None;
        }
    }
    let seen = counter.met.len() as u64;
    let least = least_worth(grid, passed, seen, n as u64);
    let mut kept: Vec<Word> = counter.words.iter().filter(|w| w.count >= least).copied().collect();
    if kept.is_empty() || kept.len() > MOST {
        return None;
    }
    let escapes = seen - kept.iter().map(|s| s.count as u64).sum::<u64>();
    let bits = cost_of_numbers(&mut kept, escapes as u32, seen);
    let passed = match own {
        Some(element) if escapes > 0 => {
            let size = element.size();
            // All eight bytes of each, of which the next one covers those that are not the word's.
            let mut rest = vec![0; escapes as usize * size + 8 - size];
            let met = counter.met.iter().filter_map(|at| counter.words.get(*at as usize));
            for (k, word) in met.filter(|w| w.count < least).enumerate() {
                rest[k * size..k * size + 8].copy_from_slice(&word.key.to_le_bytes());
            }
            rest.truncate(escapes as usize * size);
            analyze(&rest, element, level, &mut scratch.tensor)?.element_millibits
        }
        // Elsewhere the words that are in the book may cost nothing, so that all that is known to be spent is spent on the others.
        _ => (passed * seen / escapes.max(1)).min(1000 * grid.bits as u64),
    };
    let passed_bits = escapes * passed / 1000;
    let book = kept.len() as f64 * grid.bits as f64;
    let all = (bits + passed_bits) as f64 * n as f64 / seen as f64 + book + 1000.0;
    Some((all / 8.0 / data.len() as f64, kept.len()))
}

/// Bits that the numbers of a sample cost: of those of two bytes, the bits below the upper eight are as they are.
fn cost_of_numbers(book: &mut [Word], escapes: u32, seen: u64) -> u64 {
    let form = Form { known: book.len(), escapes: escapes > 0 };
    let low = form.shift().map_or(0, |shift| 8 - shift.min(8));
    if low > 0 {
        book.sort_unstable_by_key(|s| s.key);
    }
    let upper = book.chunks(1 << low).map(|words| words.iter().map(|s| s.count).sum::<u32>());
    entropy::bits(upper.chain([escapes])) + book.len() as u64 * 72 / 100 + seen * low as u64
}

/// How often a word has to come among `seen` of `n` to be worth its place in the codebook.
fn least_worth(grid: Grid, passed: u64, seen: u64, n: u64) -> u32 {
    let all = millibits(seen as u32);
    let pays = |count: u32| {
        let numbered = all.saturating_sub(millibits(count));
        // Once is no evidence in a sample.
        let occurs = count as u64 * n / seen.max(1);
        (count > 1 || seen == n) && occurs * passed.saturating_sub(numbered) > 1000 * grid.bits as u64 + 2000
    };
    // The more often it comes, the more it saves each time: halves of what is left, as in a sorted list.
    let (mut less, mut enough) = (0, seen as u32 + 1);
    while less + 1 < enough {
        let between = less + (enough - less) / 2;
        if pays(between) { enough = between } else { less = between }
    }
    enough
}

/// Appends the node; `false` if no word would be in the codebook.
pub fn encode(
    block: &Block<'_>,
    found: &Found,
    scratch: &mut codec::Scratch,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let (data, grid) = (block.data, found.grid);
    let book = codebook(data, found, &mut scratch.hierarchical.counter);
    if book.is_empty() {
        return Ok(false);
    }
    let mut numbers = std::mem::take(&mut scratch.hierarchical.numbers);
    number_words(data, grid, &book, &mut scratch.hierarchical.counter, &mut numbers);
    let escapes = numbers.iter().filter(|i| **i as usize == book.len()).count();
    let form = Form { known: book.len(), escapes: escapes > 0 };
    let passed_down = (escapes * grid.bits).div_ceil(8);
    if !scratch.hierarchical.claim(numbers.len() * form.size() + passed_down) {
        scratch.hierarchical.numbers = numbers;
        return Ok(false);
    }
    write_head(data, grid, &book, &form, out);

    let mut plane = scratch.hierarchical.lend(numbers.len() * form.size());
    match form.shift() {
        None => plane.iter_mut().zip(&numbers).for_each(|(p, i)| *p = *i as u8),
        Some(shift) => {
            let each = plane.as_chunks_mut::<2>().0.iter_mut().zip(&numbers);
            each.for_each(|(p, i)| *p = (*i << shift).to_le_bytes());
        }
    }
    let element = Element { width: form.size() as u8 - 1, kind: Kind::Unsigned, head: 0 };
    let done = node::encode_leaf(&plane, element, block.level, scratch, out);
    scratch.hierarchical.give_back(plane);

    let mut rest = scratch.hierarchical.lend(0);
    rest.resize(passed_down, 0);
    let passed = numbers.iter().enumerate().filter(|w| *w.1 as usize == book.len()).map(|w| w.0);
    for (k, i) in passed.enumerate() {
        copy(data, grid.head + i * grid.bits, &mut rest, k * grid.bits, grid.bits);
    }
    scratch.hierarchical.numbers = numbers;
    let done = done.and_then(|()| pass_down(&rest, block, grid, scratch, out));
    scratch.hierarchical.give_back(rest);
    done.map(|()| true)
}

/// The words of the block that are worth their place, with where each occurs first (of those that are no longer than their keys, their keys).
fn codebook(data: &[u8], found: &Found, counter: &mut Counter) -> Vec<Word> {
    let grid = found.grid;
    let n = grid.count(data.len());
    let least = least_worth(grid, found.passed, n as u64, n as u64);
    let mut book: Vec<Word> = if grid.is_narrow() {
        let mut counts = vec![0u32; 1 << grid.bits];
        grid.each_narrow(data, |word| counts[word as usize] += 1);
        let all = counts.into_iter().enumerate();
        all.map(|(word, count)| Word { key: word as u64, first: 0, count })
            .filter(|s| s.count >= least)
            .collect()
    } else {
        counter.clear((4 * found.seen).clamp(1 << 10, MOST));
        let (mut keys, mut positions) = ([0; PIECE], [0; PIECE]);
        for first in (0..n).step_by(PIECE) {
            let len = PIECE.min(n - first);
            grid.each_key(data, first..first + len, |i, key| keys[i - first] = key);
            counter.count(&keys[..len], first, &mut positions);
        }
        counter.words.iter().filter(|w| w.count >= least).copied().collect()
    };
    book.truncate(MOST);
    // Neighbours in value have neighbouring numbers, whose upper bits are alike.
    if grid.bits <= 64 {
        book.sort_by_key(|s| s.key);
    }
    book
}

/// The number of each word in the codebook, or the number of words in it.
fn number_words(data: &[u8], grid: Grid, book: &[Word], counter: &mut Counter, numbers: &mut Vec<u16>) {
    numbers.clear();
    numbers.reserve(grid.count(data.len()));
    if grid.is_narrow() {
        let mut table = vec![book.len() as u16; 1 << grid.bits];
        book.iter().enumerate().for_each(|(i, word)| table[word.key as usize] = i as u16);
        return grid.each_narrow(data, |word| numbers.push(table[word as usize]));
    }
    // From here on the position of a word is its number; the words that are not in the book have none.
    counter.clear(book.len());
    book.iter().for_each(|word| counter.put(*word));
    grid.each_key(data, 0..grid.count(data.len()), |i, key| {
        let at = counter.slot(key);
        let known = counter.slots[at].checked_sub(1).filter(|number| {
            grid.bits <= 64 || grid.equal(data, counter.words[*number as usize].first as usize, i)
        });
        numbers.push(known.map_or(book.len() as u16, |number| number as u16));
    });
}

/// All that stands before the numbers.
fn write_head(data: &[u8], grid: Grid, book: &[Word], form: &Form, out: &mut Vec<u8>) {
    out.push(node::WORDS);
    varint::write(grid.bits as u64, out);
    varint::write(grid.head as u64, out);
    varint::write(book.len() as u64, out);
    out.push(form.escapes as u8);
    put_bits(data, 0, grid.head, out);
    let end = grid.head + grid.count(data.len()) * grid.bits;
    put_bits(data, end, 8 * data.len() - end, out);
    let words = out.len();
    out.resize(words + (book.len() * grid.bits).div_ceil(8), 0);
    for (i, word) in book.iter().enumerate() {
        let (to, at) = (&mut out[words..], i * grid.bits);
        match grid.bits {
            ..=64 => or(to, at, grid.bits, word.key),
            _ => copy(data, grid.head + word.first as usize * grid.bits, to, at, grid.bits),
        }
    }
}

/// Codes the words that are not in the codebook: as narrower words, or in a leaf.
fn pass_down(
    rest: &[u8],
    block: &Block<'_>,
    grid: Grid,
    scratch: &mut codec::Scratch,
    out: &mut Vec<u8>,
) -> Result<()> {
    let own = block.element.filter(|e| grid.bits.is_multiple_of(8 * e.size()));
    let element = match own {
        Some(element) => Element { head: 0, ..element },
        None => Element { width: 0, kind: Kind::Unsigned, head: 0 },
    };
    let start = out.len();
    node::encode_leaf(rest, element, block.level, scratch, out)?;
    let sought = Sought {
        most: grid.bits / 2,
        element: Some(element),
        element_millibits: None,
        bound: 1.0,
        repeats: true,
        level: block.level,
    };
    if let Some(found) = find(rest, &sought, scratch) {
        let inner = Block {
            data: rest,
            declared: None,
            element: Some(element),
            level: block.level,
            split: None,
            structure: None,
            base: None,
        };
        // The estimate does not know what the leaf makes of the elements, so both are made.
        let mut words = scratch.hierarchical.lend(0);
        let done = encode(&inner, &found, scratch, &mut words);
        if matches!(done, Ok(true)) && words.len() < out.len() - start {
            out.truncate(start);
            out.extend_from_slice(&words);
        }
        scratch.hierarchical.give_back(words);
        done?;
    }
    Ok(())
}

/// How numbers are written.
struct Form {
    known: usize,
    escapes: bool,
}

impl Form {
    /// The numbers that there are.
    fn numbers(&self) -> usize {
        self.known + self.escapes as usize
    }

    /// Bytes of a number.
    fn size(&self) -> usize {
        if self.numbers() <= 256 { 1 } else { 2 }
    }

    /// By how much numbers of two bytes are shifted up, to have what differs in the upper byte.
    fn shift(&self) -> Option<u32> {
        (self.size() == 2).then(|| (self.numbers() as u32 - 1).leading_zeros() - 16)
    }
}

/// Appends bits as whole bytes.
fn put_bits(data: &[u8], at: usize, bits: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bits.div_ceil(8), 0);
    copy(data, at, &mut out[start..], 0, bits);
}

/// Restores `out` from the node, whose kind has been read; its words have at most `most` bits.
pub fn decode(from: &mut &[u8], out: &mut [u8], most: usize, scratch: &mut codec::Scratch) -> Result<()> {
    let bits = number(from, most as u64, "bits of a word")?;
    let head = varint::read(from)
        .filter(|h| *h < bits as u64)
        .ok_or_else(|| bad("the first word begins too late"))?;
    let grid = Grid { bits, head: head as usize };
    let n = grid.count(out.len());
    // There are no more words of so many bits: it bounds the memory that numbers take.
    let most_known = MOST.min(n).min(1 << bits.min(16));
    let known = number(from, most_known as u64, "words of a codebook")?;
    let escapes = match byte(from)? {
        flag @ (0 | 1) => flag == 1,
        flag => return Err(bad(format_args!("reserved bits of the flags {flag:#x}"))),
    };
    if bits < MIN_BITS {
        return Err(bad(format_args!("words of {bits} bits")));
    }
    let form = Form { known, escapes };
    let first = take_bits(from, grid.head)?;
    let end = grid.head + n * bits;
    let last = take_bits(from, 8 * out.len() - end)?;
    let book = take_bits(from, known * bits)?;

    let mut plane = scratch.hierarchical.lend_node(n * form.size())?;
    let mut rest = Vec::new();
    let mut restore = || {
        node::decode(from, &mut plane, Kinds::leaf(), scratch)?;
        let escapes = prepare(&form, &mut plane)?;
        if form.escapes == (escapes == 0) {
            return Err(bad("the flags do not say whether words are passed down"));
        }
        rest = scratch.hierarchical.lend_node((escapes * bits).div_ceil(8))?;
        node::decode(from, &mut rest, Kinds::words(bits / 2), scratch)?;
        if !(escapes * bits).is_multiple_of(8) && rest.last().is_some_and(|b| b >> (escapes * bits % 8) != 0)
        {
            return Err(bad("unused bits are set"));
        }
        out.fill(0);
        copy(first, 0, out, 0, grid.head);
        copy(last, 0, out, end, 8 * out.len() - end);
        expand(book, bits, &plane, form.size() == 2, out, grid.head);
        if escapes > 0 {
            scatter(&plane, form.size() == 2, form.known, &rest, bits, out, grid.head);
        }
        Ok(())
    };
    let done = restore();
    scratch.hierarchical.give_back(plane);
    scratch.hierarchical.give_back(rest);
    done
}

/// Shifts wide numbers down; gives how many words are not in the codebook.
fn prepare(form: &Form, plane: &mut [u8]) -> Result<usize> {
    let (wide, shift) = (form.size() == 2, form.shift().unwrap_or(0));
    let highest =
        narrow(plane, wide, shift, form.numbers() - 1).ok_or_else(|| bad("a number that no word has"))?;
    Ok(if form.escapes { highest } else { 0 })
}

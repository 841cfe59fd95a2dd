//! Writes the node.

use super::counter::{Counter, Word};
use super::finder::Finder;
use super::form::Form;
use super::grid::Grid;
use super::search::{Sought, find};
use super::worth::least_worth;
use super::{Found, MOST, Tried, node};
use crate::codec::tensor::Element;
use crate::codec::{self, Block};
use crate::container::varint;
use crate::dtype::Kind;
use crate::error::Result;
use mmh_kernels::words::{copy, or};

/// Appends the node; `false` if no word would be in the codebook.
pub fn encode(
    block: &Block<'_>,
    found: &Found,
    scratch: &mut codec::Scratch,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let (data, grid) = (block.data, found.tried.grid);
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
    let Tried { grid, passed, .. } = found.tried;
    let n = grid.count(data.len());
    let least = least_worth(grid, passed, n as u64, n as u64);
    let mut book: Vec<Word> = if grid.is_narrow() {
        let mut counts = vec![0u32; 1 << grid.bits];
        grid.each_narrow(data, |word| counts[word as usize] += 1);
        let all = counts.into_iter().enumerate();
        all.map(|(word, count)| Word { key: word as u64, first: 0, count })
            .filter(|s| s.count >= least)
            .collect()
    } else {
        counter.clear(found.room.clamp(1 << 10, MOST));
        counter.count_all(data, grid, n);
        counter.words().iter().filter(|w| w.count >= least).copied().collect()
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
    if let Some(finder) = Finder::of(book, grid) {
        numbers.resize(grid.count(data.len()), 0);
        return finder.number(data, grid, numbers);
    }
    // From here on the position of a word is its number; the words that are not in the book have none.
    counter.clear(book.len());
    book.iter().for_each(|word| counter.put(*word));
    grid.each_key(data, 0..grid.count(data.len()), |i, key| {
        let known = counter
            .position(key)
            .filter(|number| grid.bits <= 64 || grid.equal(data, counter.words()[*number].first as usize, i));
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
        most_size: f64::INFINITY,
        repeats: true,
        exact: false,
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

/// Appends bits as whole bytes.
fn put_bits(data: &[u8], at: usize, bits: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bits.div_ceil(8), 0);
    copy(data, at, &mut out[start..], 0, bits);
}

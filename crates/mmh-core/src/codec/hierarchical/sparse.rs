//! Elements of which one word is frequent, as zero is in pruned weights, activations and gradients: a bit for each element tells which are others, and these stand one
//! behind the other, as dense as numbers are elsewhere (`spec/codecs/hierarchical.md`, section 11). Where a mask has made the zeros, half of them are negative: they are one word,
//! with their signs apart.

use super::node::{self, Kinds};
use super::{bad, byte, take, take_bits};
use crate::codec::symbols::{self, entropy};
use crate::codec::tensor::Element;
use crate::codec::tensor::analyze::analyze;
use crate::codec::{self, Block, Level, zstd};
use crate::dtype::Kind;
use crate::error::Result;
use mmh_kernels::sparse::{Frequent, SLACK, count, join, split};

/// In the form: the signs of the frequent word are apart.
const SIGNED: u8 = 0x20;

/// Elements that are looked at, at the fastest levels, up to this one, and at others, and how many of them have to be the same for more to be.
const LOOKS: [usize; 2] = [64, 256];
const SAME: [usize; 2] = [3, 5];
const FASTEST: u8 = 3;

/// Elements of the sample, at those levels, and of the pieces that it is in: whole bytes of bits.
const MANY: [usize; 2] = [1 << 12, 1 << 13];
const PIECE: usize = 64;

/// Bytes of a payload beside what elements cost.
const OVERHEAD: f64 = 60.0;

/// What the elements would otherwise take, of which these leave so much at the most: to take them apart is quick, but not as quick as not to.
const WORTH: f64 = 0.985;

/// What codebooks have to leave of that at levels up to this one.
const WORTH_OF_WORDS: f64 = 0.95;
const SLOWEST: u8 = 6;

/// Of how many others so many thousandths come again at the most, if they are dense, and how many have to be there: of those of two bytes, and of wider
/// ones, of which the few that a very sparse sample has tell enough.
const SOON: (usize, usize, usize) = (1024, 500, 256);
const EVER: (usize, usize, usize) = (SLOTS, 30, 32);

/// Places that there are to remember them at, a power of two.
const SLOTS: usize = 1 << 12;

/// What Zstandard has to make of a piece of the bits, of what they cost otherwise, and the bytes of the piece.
const REPEATS: f64 = 0.9;
const TRIED: usize = 8 << 10;

/// A word that pays.
#[derive(Clone, Debug)]
pub struct Found {
    frequent: Frequent,
    /// Thousandths of elements that are it.
    share: u64,
    /// Of the others hardly any is the same as another.
    pub is_dense: bool,
    /// Size over size.
    pub estimate: f64,
}

impl Found {
    /// What others have to come below to be worth their time, where a codebook would take ten times as long.
    pub fn bound(&self, level: Level) -> f64 {
        let is_clear = level.get() <= FASTEST || self.is_dense && level.get() <= SLOWEST;
        self.estimate * if is_clear { WORTH_OF_WORDS } else { WORTH }
    }

    /// In words, for `--why`.
    pub fn describe(&self) -> String {
        let Frequent { word, signed, .. } = self.frequent;
        let signs = if signed { " of both signs" } else { "" };
        format!("{:.1} % of elements are {word:#x}{signs}, the others dense", self.share as f64 / 10.0)
    }
}

/// Whether taking a word out makes the block smaller than its elements are otherwise. Of bytes zeros are a symbol as any other.
pub fn find(block: &Block<'_>, scratch: &mut codec::Scratch) -> Option<Found> {
    let element = block.element.filter(|e| e.width > 0)?;
    let body = &block.data[block.data.len().min(element.head as usize)..];
    let n = body.len() >> element.width;
    let frequent = frequent(element, body, n, block.level)?;
    let many = MANY[(block.level.get() > FASTEST) as usize];
    let pieces = symbols::pieces(n, (n / many).max(1) * PIECE, PIECE);
    let sample = symbols::gather(body, element.size(), pieces);
    let seen = sample.len() >> element.width;
    let mut mask = vec![0; seen.div_ceil(8)];
    let (mut others, mut signs) = (vec![0; sample.len()], vec![0; mask.len() + SLACK]);
    let apart = split(&frequent, &sample, &mut mask, &mut others, &mut signs);
    others.truncate(apart.others);
    let left = apart.others >> element.width;
    let mut bits = cost_of_bits(&mask, seen, left);
    // Where all have one sign they are the word as it is.
    let minus = count(&signs[..apart.frequent / 8]);
    let signed = frequent.signed && minus > 0;
    if signed {
        bits += cost_of_bits(&signs[..apart.frequent / 8], apart.frequent, minus);
    }
    let without_head = Element { head: 0, ..element };
    if let Some(found) = analyze(&others, without_head, block.level, &mut scratch.tensor) {
        bits += left as u64 * found.element_millibits / 1000;
    }
    let estimate = (bits as f64 / seen as f64 * n as f64 / 8.0 + OVERHEAD) / block.data.len() as f64;
    let share = 1000 * apart.frequent as u64 / seen as u64;
    let dense = block.split.map_or(1.0, |split| split.ratio(block.data.len()).min(1.0));
    let frequent = Frequent { signed, ..frequent };
    let is_dense = are_distinct(&others, element);
    (estimate < dense * WORTH).then_some(Found { frequent, share, is_dense, estimate })
}

/// Whether elements hardly come again, so that a codebook had nothing to say of them. Of two bytes there are only so many: these do in a short while.
fn are_distinct(others: &[u8], element: Element) -> bool {
    let size = element.size();
    let (asked, most, fewest) = if element.width == 1 { SOON } else { EVER };
    let mut last = vec![0u32; SLOTS];
    let (mut n, mut again) = (0, 0);
    for bytes in others.chunks_exact(size).take(asked) {
        let mixed = word_of(bytes).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // Odd, as 0 is none.
        let of_word = mixed as u32 | 1;
        let slot = (mixed >> 32) as usize % SLOTS;
        again += (std::mem::replace(&mut last[slot], of_word) == of_word) as usize;
        n += 1;
    }
    n >= fewest && again * 1000 < n * most
}

fn word_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | *byte as u64)
}

/// The most frequent word of `n` elements, by some of them; of floats with either sign.
fn frequent(element: Element, body: &[u8], n: usize, level: Level) -> Option<Frequent> {
    let slow = (level.get() > FASTEST) as usize;
    let (looks, same) = (LOOKS[slow].min(n), SAME[slow]);
    let signed = matches!(element.kind, Kind::Float { .. });
    let mut words = [0u64; LOOKS[1]];
    let words = &mut words[..looks];
    for (word, look) in words.iter_mut().zip(0..) {
        // Steps of equal length see the same channels of each filter, which may be the ones that have no zeros.
        let at = symbols::spread(look, n as u64) as usize;
        *word = word_of(&body[at << element.width..(at + 1) << element.width]);
        if signed {
            *word &= u64::MAX >> (65 - 8 * element.size());
        }
    }
    words.sort_unstable();
    let runs = words.chunk_by(|a, b| a == b).filter(|run| run.len() >= same);
    let word = *runs.max_by_key(|run| run.len())?.first()?;
    Some(Frequent { width: element.width, word, signed })
}

/// What the bits of `n` elements cost, of which so many are set: one by one, or eight by eight, as there may be patterns.
fn cost_of_bits(mask: &[u8], n: usize, set: usize) -> u64 {
    let single = entropy::bits([set as u32, (n - set) as u32].into_iter());
    // A sample looks less random than its source: half a nat for each value.
    let (eights, values) = entropy::of_bytes(mask);
    single.min(eights + values as u64 * 72 / 100)
}

/// The bits, to the codec that codes them.
const BITS: Element = Element { width: 0, kind: Kind::Unsigned, head: 0 };

/// Appends the node.
pub fn encode(
    block: &Block<'_>,
    found: &Found,
    scratch: &mut codec::Scratch,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let Some(element) = block.element else { return Ok(false) };
    let size = element.size();
    let (head, body) = block.data.split_at(block.data.len().min(element.head as usize));
    let (body, tail) = body.split_at(body.len() / size * size);
    if body.is_empty() {
        return Ok(false);
    }
    let Frequent { word, signed, .. } = found.frequent;
    let mut mask = scratch.hierarchical.lend((body.len() / size).div_ceil(8));
    let mut others = scratch.hierarchical.lend(body.len());
    let mut signs = scratch.hierarchical.lend(mask.len() + SLACK);
    let apart = split(&found.frequent, body, &mut mask, &mut others, &mut signs);
    out.extend([node::SPARSE, element.width | element.head << 2 | if signed { SIGNED } else { 0 }]);
    out.extend_from_slice(head);
    out.extend_from_slice(tail);
    out.extend_from_slice(&word.to_le_bytes()[..size]);
    let minus = &signs[..if signed { apart.frequent.div_ceil(8) } else { 0 }];
    let without_head = Element { head: 0, ..element };
    let done = encode_bits(&mask, block.level, scratch, out)
        .and_then(|()| encode_bits(minus, block.level, scratch, out))
        .and_then(|()| encode_others(&others[..apart.others], without_head, block.level, scratch, out));
    [mask, others, signs].into_iter().for_each(|memory| scratch.hierarchical.give_back(memory));
    done.map(|()| true)
}

/// Appends the leaf of bits: by Zstandard, where rows or squares of them come again.
fn encode_bits(bits: &[u8], level: Level, scratch: &mut codec::Scratch, out: &mut Vec<u8>) -> Result<()> {
    let n = bits.len().min(TRIED);
    let piece = &bits[(bits.len() - n) / 2..][..n];
    let alone = entropy::of_bytes(piece).0 as f64;
    let tried = zstd::quick_ratio(piece, &mut scratch.zstd);
    if tried.is_some_and(|ratio| ratio * 8.0 * n as f64 <= alone * REPEATS) {
        return node::encode_text(bits, level, scratch, out);
    }
    node::encode_leaf(bits, BITS, level, scratch, out)
}

/// Appends the leaf of the others: by Zstandard, where all of them are the same, as in a mask that is added.
fn encode_others(
    others: &[u8],
    element: Element,
    level: Level,
    scratch: &mut codec::Scratch,
    out: &mut Vec<u8>,
) -> Result<()> {
    let size = element.size().min(others.len());
    if others[size..] == others[..others.len() - size] {
        return node::encode_text(others, Level::FAST, scratch, out);
    }
    node::encode_leaf(others, element, level, scratch, out)
}

/// Restores `out` from the node, whose kind has been read.
pub fn decode(from: &mut &[u8], out: &mut [u8], scratch: &mut codec::Scratch) -> Result<()> {
    let form = byte(from)?;
    let (width, head, signed) = (form & 3, (form >> 2 & 7) as usize, form & SIGNED != 0);
    let size = 1usize << width;
    if head >= size || form >= 2 * SIGNED {
        return Err(bad(format_args!("sparse elements of form {form:#x}")));
    }
    let (first, body) =
        out.split_at_mut_checked(head).ok_or_else(|| bad("the first element begins too late"))?;
    let (body, last) = body.split_at_mut(body.len() / size * size);
    if body.is_empty() {
        return Err(bad("there is no whole element"));
    }
    first.copy_from_slice(take(from, first.len())?);
    last.copy_from_slice(take(from, last.len())?);
    let mut word = [0; 8];
    word[..size].copy_from_slice(take(from, size)?);
    let frequent = Frequent { width, word: u64::from_le_bytes(word), signed };
    let elements = body.len() / size;
    let mask = string(from, elements, scratch)?;
    let left = count(&mask);
    let signs = string(from, if signed { elements - left } else { 0 }, scratch)?;
    let others = leaf(from, left * size, scratch)?;
    let is_whole = join(&frequent, &mask, &others, &signs, body);
    [mask, signs, others].into_iter().for_each(|memory| scratch.hierarchical.give_back(memory));
    if is_whole { Ok(()) } else { Err(bad("elements and others are not as many")) }
}

/// A string of so many bits, which a leaf restores.
fn string(from: &mut &[u8], bits: usize, scratch: &mut codec::Scratch) -> Result<Vec<u8>> {
    let bytes = leaf(from, bits.div_ceil(8), scratch)?;
    take_bits(&mut bytes.as_slice(), bits)?;
    Ok(bytes)
}

/// What a leaf of so many bytes restores.
fn leaf(from: &mut &[u8], n: usize, scratch: &mut codec::Scratch) -> Result<Vec<u8>> {
    let mut memory = scratch.hierarchical.lend_node(n)?;
    node::decode(from, &mut memory, Kinds::leaf(), scratch)?;
    Ok(memory)
}

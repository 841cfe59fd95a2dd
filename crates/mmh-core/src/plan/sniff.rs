//! The element type of bytes that nobody declared.

use crate::codec::Level;
use crate::codec::symbols::{self, entropy};
use crate::codec::tensor::{Element, Scratch, analyze::analyze};
use crate::dtype::Kind;

/// Bytes of the shortest block that tells anything.
const SHORTEST: usize = 256;

/// Bytes of each piece that is looked at, and how many pieces.
const PIECE: usize = 8192;
const PIECES: usize = 3;

/// A wider type has to beat plain bytes by this much, since chance favours the one with more parameters.
const MARGIN: f64 = 0.985;

/// The element type that makes the sampled bytes smallest: floats and integers of every width at every offset, or plain bytes.
/// `None` when the block is too short to tell.
pub fn sniff(block: &[u8], level: Level, scratch: &mut Scratch) -> Option<Element> {
    if block.len() < SHORTEST {
        return None;
    }
    let sample = sample(block);
    let plain = Element { width: 0, kind: Kind::Unsigned, head: 0 };
    // Configurations, tokenizers and sources are many and small; trying every width on them takes longer than compressing them.
    if is_text(&sample) {
        return Some(plain);
    }
    let mut best = (plain, ratio(&sample, plain, level, scratch));
    for element in candidates(&sample) {
        let r = ratio(&sample, element, level, scratch);
        let margin = if best.0.width < element.width { MARGIN } else { 0.999 };
        if r < best.1 * margin {
            best = (element, r);
        }
    }
    Some(best.0)
}

/// A few pieces of the block, each at a multiple of eight bytes so that the offset of the elements is the same in all.
fn sample(block: &[u8]) -> Vec<u8> {
    if block.len() <= PIECE * PIECES {
        return block[..block.len() & !7].to_vec();
    }
    let at = |i: usize| ((block.len() - PIECE) / (PIECES - 1) * i) & !7;
    symbols::gather(block, 1, (0..PIECES).map(|i| at(i)..at(i) + PIECE))
}

/// Zeros in a row that are padding, between the files of an archive say.
const PADDING: usize = 16;

/// Whether there are no control characters but those of text, and zeros as archives of texts have them. Numbers have some soon, in small
/// exponents and whole numbers if nowhere else; and where all of theirs are zero, those are many and in short rows.
pub fn is_text(sample: &[u8]) -> bool {
    let (mut row, mut few) = (0, 0);
    for &b in sample {
        match b {
            0 => row += 1,
            0x20..=0x7E | 0x80.. | b'\t' | b'\n' | b'\r' | 0x0C | 0x1B => {
                few += if row < PADDING { row } else { 0 };
                row = 0;
            }
            _ => return false,
        }
    }
    few * 32 <= sample.len() && row < sample.len().max(1)
}

fn ratio(sample: &[u8], element: Element, level: Level, scratch: &mut Scratch) -> f64 {
    analyze(sample, element, level, scratch)
        .map_or(1.0, |f| f.element_millibits as f64 / 1000.0 / (8 << element.width) as f64)
}

/// The byte column of eight that is the most concentrated one, at `of`, if it is clearly more so than another: where the top bytes of numbers stand.
pub fn top_bytes(of: &[u8]) -> Option<usize> {
    let counts = columns(of);
    let spreads = counts.each_ref().map(|counts| concentration([counts].into_iter()));
    let (low, high) = (spreads.iter().min().copied()?, spreads.iter().max().copied()?);
    (high >= low + low / 8).then(|| spreads.iter().position(|s| *s == high))?
}

/// How often each value occurs in each byte column of eight.
fn columns(sample: &[u8]) -> [[u32; 256]; 8] {
    let mut counts = [[0u32; 256]; 8];
    for eight in sample.as_chunks::<8>().0 {
        counts.iter_mut().zip(eight).for_each(|(counts, b)| counts[*b as usize] += 1);
    }
    counts
}

/// Bits that a histogram of few bytes seems to save, beside what it does: 255 / (2 ln 2).
const CHANCE: u64 = 184;

/// Whether declared integers are but words that something else is packed in, as quantized values are in words of 32 bits: their bytes are alike, whatever
/// their place. One code for all of them takes no more than one each, and is decoded in a fraction of the time.
pub fn are_bytes(block: &[u8], element: Element) -> bool {
    let size = element.size();
    if size == 1 || !matches!(element.kind, Kind::Unsigned | Kind::Signed) || block.len() < PIECE {
        return false;
    }
    let sample = sample(block);
    let each = columns(&sample);
    let bits = |first: usize, step: usize| {
        let sum = |value: usize| each[first..].iter().step_by(step).map(|counts| counts[value]).sum();
        entropy::bits((0..256).map(sum))
    };
    let apart: u64 = (0..size).map(|column| bits(column, size)).sum();
    let together = bits(0, 1);
    together <= apart + apart / 512 + CHANCE * (size as u64 - 1) * 3 / 2
}

/// Elements worth trying: those at whose size the bytes of a column are more alike than those of neighbouring columns.
fn candidates(sample: &[u8]) -> Vec<Element> {
    // Those of eight have those of two and four in them.
    let counts = columns(sample);
    let mut found = Vec::new();
    for width in 1..=3u8 {
        let size = 1usize << width;
        let spreads: Vec<u32> = (0..size).map(|c| concentration(counts[c..].iter().step_by(size))).collect();
        let (low, high) =
            (spreads.iter().min().copied().unwrap_or(0), spreads.iter().max().copied().unwrap_or(0));
        if high < low + low / 8 {
            continue;
        }
        // The top byte of a little-endian element is the most concentrated one, and the last of its element.
        let mut columns: Vec<usize> = (0..size).collect();
        columns.sort_by_key(|c| std::cmp::Reverse(spreads[*c]));
        for top in columns.into_iter().take(2) {
            let head = ((top + 1) % size) as u8;
            let kinds: &[Kind] = match width {
                1 => &[Kind::Float { exponent: 8 }, Kind::Float { exponent: 5 }, Kind::Signed],
                2 => &[Kind::Float { exponent: 8 }, Kind::Signed],
                _ => &[Kind::Float { exponent: 11 }, Kind::Signed],
            };
            found.extend(kinds.iter().map(|&kind| Element { width, kind, head }));
        }
    }
    found
}

/// Sum of squared counts of a byte column, which is so many of those of eight, over its length: large where few values are frequent.
fn concentration<'a>(columns: impl Iterator<Item = &'a [u32; 256]>) -> u32 {
    let mut all = [0u32; 256];
    columns.for_each(|counts| all.iter_mut().zip(counts).for_each(|(all, c)| *all += c));
    let n: u64 = all.iter().map(|c| *c as u64).sum();
    let squares: u64 = all.iter().map(|c| (*c as u64).pow(2)).sum();
    (squares * 1024 / n.max(1).pow(2).max(1)) as u32
}

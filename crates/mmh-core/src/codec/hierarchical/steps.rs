//! Integers of which each is a small step from the one before: positions, sorted numbers, offsets (`spec/codecs/hierarchical.md`, section 8).

use super::decimals::{shift_up, spare_bits};
use super::node::{self, Kinds};
use super::{bad, byte, take};
use crate::codec::symbols;
use crate::codec::tensor::Element;
use crate::codec::tensor::analyze::analyze;
use crate::codec::{self, Block};
use crate::dtype::Kind;
use crate::error::Result;
use mmh_kernels::steps::{join, split};

/// Elements of the sample, and of the pieces that it is in.
const MANY: usize = 4096;
const PIECE: usize = 256;

/// Bytes of a payload beside what the steps cost.
const OVERHEAD: f64 = 40.0;

/// Steps that pay.
#[derive(Clone, Debug)]
pub struct Found {
    /// Size over size.
    pub estimate: f64,
}

impl Found {
    /// In words, for `--why`.
    pub fn describe(&self) -> &'static str {
        "steps from one number to the next"
    }
}

/// The words of the steps, to the codec that codes them.
fn words_of(width: u8) -> Element {
    Element { width, kind: Kind::Unsigned, head: 0 }
}

/// What a sample promises to save is chance above this.
const WORTH: f64 = 0.99;

/// What steps of floats leave of what the floats themselves would take, at the most: at the fastest levels, up to this one, and at others. They take several
/// times as long, and where groups choose among codes floats take less than they are estimated to.
const WORTH_FOR_FLOATS: [f64; 2] = [0.875, 0.97];
const FASTEST: u8 = 3;

/// Thousandths of bits that exponents take in bell-shaped numbers, at the most: where they take no more, there is but one scale to be on.
const ON_ONE_SCALE: u64 = 3_000;

/// Pieces that tell whether floats are like their neighbours, those that tell it of most tensors, and the elements of each.
const LOOKS: usize = 8;
const FIRST_LOOKS: usize = 2;
const NEIGHBOURS: usize = 64;

/// Whether neighbours have the same sign and nearly the same exponent half as often again as chance would make them: then they are on the same scale,
/// as second moments of an optimizer are, or a curve's values. Words that are the same are for others.
fn are_on_a_scale(body: &[u8], size: usize, exponent: u8) -> bool {
    // Weights are hardly ever alike more often than by chance, which few of them tell.
    alike(body, size, exponent, FIRST_LOOKS) > 1.35 && alike(body, size, exponent, LOOKS) > 1.5
}

/// How many times as often as by chance neighbours are alike, by so many pieces.
fn alike(body: &[u8], size: usize, exponent: u8, looks: usize) -> f64 {
    let n = body.len() / size;
    let below = 15u32.saturating_sub(exponent as u32);
    // Of the exponent all but the highest bits, which differ last.
    let top = |element: &[u8]| {
        let (low, high) = (element[size - 2], element[size - 1]);
        (u16::from_le_bytes([low, high]) >> below) as u8 & 0x7F | high & 0x80
    };
    let (mut counts, mut tops, mut pairs, mut same) =
        ([0u16; 256], Vec::with_capacity(looks * NEIGHBOURS), 0, 0);
    for piece in symbols::pieces(n, (n / looks).max(NEIGHBOURS), NEIGHBOURS) {
        let elements = body[piece.start * size..piece.end * size].chunks_exact(size);
        let first = tops.len();
        tops.extend(elements.map(top));
        for (i, two) in tops[first..].windows(2).enumerate() {
            let at = (piece.start + i) * size;
            let differ = two[0] != two[1] || body[at..at + size] != body[at + size..at + 2 * size];
            pairs += differ as u64;
            same += (differ && two[0] == two[1]) as u64;
        }
    }
    tops.iter().for_each(|top| counts[*top as usize] += 1);
    let all = tops.len() as u64;
    // Each value as often as it occurs: the sum of the squares.
    let squares: u64 = tops.iter().map(|top| counts[*top as usize] as u64).sum();
    // Exact, as none of these is above 2^53.
    (same * all * all) as f64 / (squares * pairs).max(1) as f64
}

/// Whether steps are smaller than the elements, or anything at all. Bytes are left to others: what goes up soon begins again.
pub fn find(block: &Block<'_>, scratch: &mut codec::Scratch) -> Option<Found> {
    let element = block.element.filter(|e| e.width >= 1)?;
    let size = element.size();
    let body = &block.data[block.data.len().min(element.head as usize)..];
    let n = body.len() / size;
    if n < 3 {
        return None;
    }
    if let Kind::Float { exponent } = element.kind
        && (block.split.is_some_and(|split| split.exponent_millibits(exponent) < ON_ONE_SCALE)
            || !are_on_a_scale(body, size, exponent))
    {
        return None;
    }
    let mut words = Vec::new();
    for piece in symbols::pieces(n, (n * PIECE / MANY).max(PIECE), PIECE) {
        let (from, to) = (words.len(), piece.len().saturating_sub(1) * size);
        words.resize(from + to, 0);
        split(element.width, &body[piece.start * size..piece.end * size], &mut words[from..]);
    }
    let spare = spare_bits(&words, size);
    shift_up(&mut words, size, spare);
    let found = analyze(&words, words_of(element.width), block.level, &mut scratch.tensor)?;
    let share = found.element_millibits as f64 / (8000 * size) as f64;
    let estimate = share + (OVERHEAD + size as f64) / block.data.len() as f64;
    let is_float = matches!(element.kind, Kind::Float { .. });
    let most = match block.split.filter(|_| is_float) {
        Some(split) => {
            split.ratio(block.data.len()) * WORTH_FOR_FLOATS[(block.level.get() > FASTEST) as usize]
        }
        None => WORTH,
    };
    (estimate < most).then_some(Found { estimate })
}

/// Appends the node.
pub fn encode(block: &Block<'_>, scratch: &mut codec::Scratch, out: &mut Vec<u8>) -> Result<bool> {
    let Some(element) = block.element else { return Ok(false) };
    let size = element.size();
    let (head, body) = block.data.split_at(block.data.len().min(element.head as usize));
    let (body, tail) = body.split_at(body.len() / size * size);
    let Some((first, _)) = body.split_at_checked(size) else { return Ok(false) };
    let mut words = scratch.hierarchical.lend(body.len() - size);
    split(element.width, body, &mut words);
    let shift = if words.is_empty() { 0 } else { spare_bits(&words, size) };
    shift_up(&mut words, size, shift);
    out.extend([node::STEPS, element.width | element.head << 2, shift]);
    out.extend_from_slice(head);
    out.extend_from_slice(tail);
    out.extend_from_slice(first);
    let done = node::encode_leaf(&words, words_of(element.width), block.level, scratch, out);
    scratch.hierarchical.give_back(words);
    done.map(|()| true)
}

/// Restores `out` from the node, whose kind has been read.
pub fn decode(from: &mut &[u8], out: &mut [u8], scratch: &mut codec::Scratch) -> Result<()> {
    let (form, shift) = (byte(from)?, byte(from)?);
    let (width, head) = (form & 3, (form >> 2) as usize);
    let size = 1usize << width;
    if head >= size || shift as usize >= 8 * size {
        return Err(bad(format_args!("steps of form {form:#x}, shifted by {shift}")));
    }
    let (first, body) =
        out.split_at_mut_checked(head).ok_or_else(|| bad("the first number begins too late"))?;
    let (body, last) = body.split_at_mut(body.len() / size * size);
    first.copy_from_slice(take(from, first.len())?);
    last.copy_from_slice(take(from, last.len())?);
    let begins = body.get_mut(..size).ok_or_else(|| bad("there is no whole number"))?;
    begins.copy_from_slice(take(from, size)?);
    let mut words = scratch.hierarchical.lend_node(body.len() - size)?;
    let done = node::decode(from, &mut words, Kinds::leaf(), scratch);
    if done.is_ok() {
        join(width, &words, shift, body);
    }
    scratch.hierarchical.give_back(words);
    done
}

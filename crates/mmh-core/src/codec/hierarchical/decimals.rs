//! Floats that were printed in decimal, with a few digits, and read again: their numbers and places (`spec/codecs/hierarchical.md`,
//! section 5).

use super::node::{self, Kinds};
use super::{bad, byte, take};
use crate::codec::symbols::{self, entropy};
use crate::codec::tensor::Element;
use crate::codec::tensor::analyze::analyze;
use crate::codec::{self, Block, Level, tensor};
use crate::dtype::Kind;
use crate::error::Result;
use mmh_kernels::decimals::{ESCAPE, MOST_PLACES, merge, split};
use mmh_kernels::words::{narrow, scatter};

/// Elements of the samples: those that tell whether there is anything to find, those that tell how many bits the numbers have at which places, and
/// those that tell what they cost.
const FEW: usize = 16;
const SOME: usize = 512;
const MANY: usize = 2048;

/// Up to this level the two that have fewest bits are compared by what they cost. Above it, all.
const HURRIED: u8 = 6;

/// Elements that are side by side in a sample.
const PIECE: usize = 64;

/// Places that are tried as the fewest.
const BASES: std::ops::RangeInclusive<u8> = 0..=12;

/// Decimals that pay.
#[derive(Clone, Debug)]
pub struct Found {
    base: u8,
    /// Size over size.
    pub estimate: f64,
}

impl Found {
    /// In words, for `--why`.
    pub fn describe(&self) -> String {
        format!("decimals with {} places and more", self.base)
    }
}

fn is_double(element: Element) -> bool {
    element.width == 3
}

fn bytes() -> Element {
    Element { width: 0, kind: Kind::Unsigned, head: 0 }
}

fn numbers_of(element: Element) -> Element {
    Element { width: element.width, kind: Kind::Unsigned, head: 0 }
}

/// Elements of a sample as decimals.
struct Tried {
    element: Element,
    places: Vec<u8>,
    numbers: Vec<u8>,
    /// Those that are none.
    escapes: usize,
}

impl Tried {
    /// Takes them to have so many places, and some more.
    fn split(&mut self, base: u8, body: &[u8]) {
        self.places.resize(body.len() / self.element.size(), 0);
        self.numbers.resize(body.len(), 0);
        split(is_double(self.element), base, body, &mut self.places, &mut self.numbers);
        self.escapes = self.places.iter().filter(|p| **p == ESCAPE).count();
    }

    /// Bits of all of them, of which the numbers take so many.
    fn bits(&self, of_numbers: u64) -> u64 {
        entropy::of_bytes(&self.places).0 + of_numbers + (self.escapes * self.element.size() * 8) as u64
    }

    /// The same with numbers that are coded as they will be.
    fn coded_bits(&mut self, level: Level, scratch: &mut tensor::Scratch) -> Option<u64> {
        let size = self.element.size();
        let spare = spare_bits(&self.numbers, size);
        shift_up(&mut self.numbers, size, spare);
        let found = analyze(&self.numbers, numbers_of(self.element), level, scratch)?;
        Some(self.bits(self.places.len() as u64 * found.element_millibits / 1000))
    }
}

/// The places that would make the block smallest, if its elements are decimals.
pub fn find(block: &Block<'_>, scratch: &mut codec::Scratch) -> Option<Found> {
    let element = block.element.filter(|e| e.width >= 2 && matches!(e.kind, Kind::Float { .. }))?;
    let size = element.size();
    let body = &block.data[block.data.len().min(element.head as usize)..];
    let n = body.len() / size;
    if n < PIECE * FEW {
        return None;
    }
    let gather = |stride: usize, piece: usize| symbols::gather(body, size, symbols::pieces(n, stride, piece));
    let few = gather(n.div_ceil(FEW), 1);
    let mut tried = Tried { element, places: Vec::new(), numbers: Vec::new(), escapes: 0 };
    // All places of all bases: what none of these finds is found at none. One in four tells of most that have none.
    for (few, least) in [(&few[..few.len() / size / 4 * size], 1), (&few[..], 3 * FEW / 4)] {
        let found = [0, 5, 10, 12].map(|base| {
            tried.split(base, few);
            tried.places.len() - tried.escapes
        });
        if found.iter().sum::<usize>() < least {
            return None;
        }
    }
    let mut promises = |base: &u8| {
        tried.split(*base, &few);
        // Zero is a decimal of any places, and tells nothing.
        let telling = tried.numbers.chunks_exact(size).filter(|n| n.iter().any(|b| *b != 0)).count();
        4 * tried.escapes <= FEW && 2 * telling >= FEW
    };
    let mut bases: Vec<u8> = BASES.filter(|base| promises(base)).collect();
    if bases.is_empty() {
        return None;
    }
    let sample = |count: usize| {
        let mut sample = gather((n * PIECE / count).max(PIECE), PIECE);
        sample.truncate(count * size);
        sample
    };
    if block.level.get() <= HURRIED {
        let some = sample(SOME);
        bases.sort_by_cached_key(|base| {
            tried.split(*base, &some);
            tried.bits(used_bits(&tried.numbers, size))
        });
        bases.truncate(2);
    }
    let many = sample(MANY);
    let mut best: Option<(u8, u64)> = None;
    for base in bases {
        tried.split(base, &many);
        let Some(bits) = tried.coded_bits(block.level, &mut scratch.tensor) else { continue };
        match best {
            // With more places than are needed, numbers grow by a digit each time.
            Some((_, least)) if bits > least + least / 50 => break,
            Some((_, least)) if bits >= least => {}
            _ => best = Some((base, bits)),
        }
    }
    let (base, bits) = best?;
    let estimate = bits as f64 / (8 * many.len()) as f64 + 200.0 / block.data.len() as f64;
    Some(Found { base, estimate })
}

/// Calls a function with the bytes of a word as a constant.
macro_rules! with_word {
    ($size:expr, $name:ident($($arg:expr),*)) => {
        match $size {
            1 => $name::<1>($($arg),*),
            2 => $name::<2>($($arg),*),
            4 => $name::<4>($($arg),*),
            _ => $name::<8>($($arg),*),
        }
    };
}

fn load<const SIZE: usize>(word: &[u8; SIZE]) -> u64 {
    let mut all = [0; 8];
    all[..SIZE].copy_from_slice(word);
    u64::from_le_bytes(all)
}

/// Bits at the top of all words of so many bytes that are zero; not all of them.
pub fn spare_bits(words: &[u8], size: usize) -> u8 {
    fn any<const SIZE: usize>(words: &[u8]) -> u64 {
        words.as_chunks::<SIZE>().0.iter().fold(0, |any, w| any | load(w))
    }
    let any = with_word!(size, any(words));
    (8 * size as u32 - (64 - any.leading_zeros()).max(1)) as u8
}

/// Bits of all words of so many bytes below their first ones.
fn used_bits(words: &[u8], size: usize) -> u64 {
    fn used<const SIZE: usize>(words: &[u8]) -> u64 {
        let bits = |word| u64::BITS - load::<SIZE>(word).leading_zeros();
        words.as_chunks().0.iter().map(|word| bits(word) as u64).sum()
    }
    with_word!(size, used(words))
}

/// Shifts words of so many bytes up.
pub fn shift_up(words: &mut [u8], size: usize, shift: u8) {
    fn up<const SIZE: usize>(words: &mut [u8], shift: u8) {
        for word in words.as_chunks_mut::<SIZE>().0 {
            let up = load(word) << shift;
            word.copy_from_slice(&up.to_le_bytes()[..SIZE]);
        }
    }
    with_word!(size, up(words, shift));
}

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
    let n = body.len() / size;
    let mut places = scratch.hierarchical.lend(n);
    let mut numbers = scratch.hierarchical.lend(n * size);
    split(is_double(element), found.base, body, &mut places, &mut numbers);
    let shift = spare_bits(&numbers, size);
    shift_up(&mut numbers, size, shift);
    let mut rest = scratch.hierarchical.lend(0);
    let escaped = places.iter().zip(body.chunks_exact(size)).filter(|e| *e.0 == ESCAPE);
    escaped.for_each(|e| rest.extend_from_slice(e.1));

    out.extend([node::DECIMALS, is_double(element) as u8 | element.head << 1, found.base, shift]);
    out.extend_from_slice(head);
    out.extend_from_slice(tail);
    let mut all = || {
        node::encode_leaf(&places, bytes(), block.level, scratch, out)?;
        node::encode_leaf(&numbers, numbers_of(element), block.level, scratch, out)?;
        node::encode_leaf(&rest, Element { head: 0, ..element }, block.level, scratch, out)
    };
    let done = all();
    [places, numbers, rest].into_iter().for_each(|m| scratch.hierarchical.give_back(m));
    done.map(|()| true)
}

/// Restores `out` from the node, whose kind has been read.
pub fn decode(from: &mut &[u8], out: &mut [u8], scratch: &mut codec::Scratch) -> Result<()> {
    let (form, base, shift) = (byte(from)?, byte(from)?, byte(from)?);
    let double = form & 1 == 1;
    let (size, head) = (if double { 8 } else { 4 }, (form >> 1) as usize);
    if head >= size || base > MOST_PLACES || shift as usize >= 8 * size {
        return Err(bad(format_args!("decimals of form {form:#x}, {base} places, shifted by {shift}")));
    }
    let (first, body) =
        out.split_at_mut_checked(head).ok_or_else(|| bad("the first number begins too late"))?;
    let (body, last) = body.split_at_mut(body.len() / size * size);
    first.copy_from_slice(take(from, first.len())?);
    last.copy_from_slice(take(from, last.len())?);
    let n = body.len() / size;
    let mut places = scratch.hierarchical.lend_node(n)?;
    let mut numbers = scratch.hierarchical.lend_node(n * size)?;
    let mut rest = Vec::new();
    let mut restore = || {
        node::decode(from, &mut places, Kinds::leaf(), scratch)?;
        node::decode(from, &mut numbers, Kinds::leaf(), scratch)?;
        let escapes = narrow(&mut places, false, 0, ESCAPE as usize).unwrap_or(0);
        rest = scratch.hierarchical.lend_node(escapes * size)?;
        node::decode(from, &mut rest, Kinds::leaf(), scratch)?;
        if !merge(double, base, &places, &numbers, shift, body) {
            return Err(bad("a number or its places are out of range"));
        }
        if escapes > 0 {
            scatter(&places, false, ESCAPE as usize, &rest, 8 * size, body, 0);
        }
        Ok(())
    };
    let done = restore();
    [places, numbers, rest].into_iter().for_each(|m| scratch.hierarchical.give_back(m));
    done
}

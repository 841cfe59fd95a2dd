//! Floats that were printed in decimal, with a few digits, and read again: their numbers and places (`spec/codecs/hierarchical.md`,
//! section 5).

use super::node::{self, Kinds};
use super::{bad, byte, take};
use crate::codec::symbols::{self, entropy};
use crate::codec::tensor::Element;
use crate::codec::tensor::analyze::analyze;
use crate::codec::{self, Block};
use crate::dtype::Kind;
use crate::error::Result;
use mmh_kernels::decimals::{ESCAPE, MOST_PLACES, merge, split};
use mmh_kernels::words::{narrow, scatter};

/// Elements of the samples: those that tell whether there is anything to find, those that tell at which places, and those that tell what it costs.
const FEW: usize = 16;
const SOME: usize = 512;
const MANY: usize = 2048;

/// Up to this level fewer elements tell the places than tell the cost.
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
    let (mut places, mut numbers) = (Vec::new(), Vec::new());
    // Gives how many are no decimals.
    let try_at = |base: u8, body: &[u8], places: &mut Vec<u8>, numbers: &mut Vec<u8>| {
        let m = body.len() / size;
        numbers.resize(body.len(), 0);
        places.resize(m, 0);
        split(is_double(element), base, body, places, numbers);
        places.iter().filter(|p| **p == ESCAPE).count()
    };
    // All places of all bases: what none of these finds is found at none. One in four tells of most that have none.
    for (few, least) in [(&few[..few.len() / size / 4 * size], 1), (&few[..], 3 * FEW / 4)] {
        let n = few.len() / size;
        let found = [0, 5, 10, 12].map(|base| n - try_at(base, few, &mut places, &mut numbers));
        if found.iter().sum::<usize>() < least {
            return None;
        }
    }
    let mut promises = |base: &u8| {
        let escapes = try_at(*base, &few, &mut places, &mut numbers);
        // Zero is a decimal of any places, and tells nothing.
        let telling = numbers.chunks_exact(size).filter(|n| n.iter().any(|b| *b != 0)).count();
        4 * escapes <= FEW && 2 * telling >= FEW
    };
    let promising: Vec<u8> = BASES.filter(|base| promises(base)).collect();
    if promising.is_empty() {
        return None;
    }
    let mut estimate_at = |base: u8, body: &[u8]| {
        let m = (body.len() / size) as u64;
        let escapes = try_at(base, body, &mut places, &mut numbers);
        let place_bits = entropy::of_bytes(&places).0;
        let spare = spare_bits(&numbers, size);
        shift_up(&mut numbers, size, spare);
        let split = analyze(&numbers, numbers_of(element), block.level, &mut scratch.tensor)?;
        let bits = place_bits + m * split.element_millibits / 1000 + (escapes * size * 8) as u64;
        Some(bits as f64 / (m * 8 * size as u64) as f64 + 200.0 / block.data.len() as f64)
    };
    let sample = |count: usize| {
        let mut sample = gather((n * PIECE / count).max(PIECE), PIECE);
        sample.truncate(count * size);
        sample
    };
    let some = sample(if block.level.get() <= HURRIED { SOME } else { MANY });
    let mut best: Option<Found> = None;
    for base in promising {
        let Some(estimate) = estimate_at(base, &some) else { continue };
        match &best {
            // With more places than are needed, numbers grow by a digit each time.
            Some(b) if estimate > b.estimate * 1.02 => break,
            Some(b) if estimate >= b.estimate => {}
            _ => best = Some(Found { base, estimate }),
        }
    }
    let base = best?.base;
    estimate_at(base, &sample(MANY)).map(|estimate| Found { base, estimate })
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

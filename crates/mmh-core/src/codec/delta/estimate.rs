//! What the differences of a sample cost.

use super::form::Form;
use crate::codec::symbols::{self, entropy};
use crate::codec::tensor::Element;

/// What was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Estimated bits of an element's difference, times 1000.
    pub difference: u64,
    /// The same of its bitwise difference.
    pub xor: u64,
    /// Elements looked at, and those of them that are equal.
    pub seen: usize,
    pub equal: usize,
    bits: u64,
    len: usize,
}

/// Bytes of a payload beside what each element costs.
const OVERHEAD: f64 = 60.0;

impl Found {
    /// Estimated size over size.
    pub fn ratio(&self) -> f64 {
        let share = self.difference.min(self.xor) as f64 / (1000 * self.bits) as f64;
        share + OVERHEAD / self.len.max(1) as f64
    }

    /// In words, for `--why`.
    pub fn describe(&self) -> String {
        let equal = self.equal * 100 / self.seen.max(1);
        let (what, millibits) =
            if self.xor < self.difference { ("bitwise", self.xor) } else { ("difference", self.difference) };
        format!("{what}: {:.2} bits of {}, {equal} % equal", millibits as f64 / 1000.0, self.bits)
    }
}

/// Elements of a contiguous piece of a sample, and pieces of a block.
const PIECE: usize = 1024;
const PIECES: usize = 8;

/// Estimates on a sample of the block; `None` if there is no whole element.
pub fn estimate(data: &[u8], base: &[u8], element: Element) -> Option<Found> {
    let mut form = Form::of(element);
    let n = form.count(data.len());
    if n == 0 {
        return None;
    }
    let size = form.size();
    let head = form.head as usize;
    let (data_of, base_of) = (&data[head..head + n * size], &base[head..head + n * size]);
    let pieces = || symbols::pieces(n, (n / PIECES).max(PIECE), PIECE);
    let pairs = || {
        let both = pieces()
            .map(|p| (&data_of[p.start * size..p.end * size], &base_of[p.start * size..p.end * size]));
        both.flat_map(|(d, b)| d.chunks_exact(size).zip(b.chunks_exact(size)))
            .map(|(y, x)| (load(y), load(x)))
    };
    let all = pairs().fold(0, |all, (y, _)| all | y);
    form.spec.drop = all.trailing_zeros().min(form.spec.significant() - 1) as u8;
    let spec = form.spec;
    let (mut seen, mut equal, mut extra) = (0usize, 0usize, 0u64);
    let mut places = [0u8; 256];
    let mut classes: Vec<[u32; 256]> = Vec::new();
    let mut planes = vec![[0u32; 256]; size];
    for (y, x) in pairs() {
        seen += 1;
        equal += (y == x) as usize;
        let place = &mut places[spec.class(x) as usize];
        if *place == 0 && classes.len() < 255 {
            classes.push([0; 256]);
            *place = classes.len() as u8;
        }
        let (symbol, more) = spec.symbol(spec.difference(y, x));
        if let Some(counts) = classes.get_mut((*place as usize).wrapping_sub(1)) {
            counts[symbol as usize] += 1;
        }
        extra += more as u64;
        let bytes = (y ^ x).to_le_bytes();
        planes.iter_mut().zip(bytes).for_each(|(counts, b)| counts[b as usize] += 1);
    }
    let cost = |counts: &[[u32; 256]]| counts.iter().map(source_bits).sum::<u64>();
    Some(Found {
        difference: (cost(&classes) + extra) * 1000 / seen as u64,
        xor: cost(&planes) * 1000 / seen as u64,
        seen,
        equal,
        bits: 8 << spec.width,
        len: data.len(),
    })
}

/// Bits of all counts, by the entropy of what they are a sample of: that of a sample falls short of it by half a nat for each value but one
/// (G. A. Miller, "Note on the bias of information estimates", 1955).
fn source_bits(counts: &[u32; 256]) -> u64 {
    let values = counts.iter().filter(|c| **c > 0).count() as u64;
    entropy::bits(counts.iter().copied()) + values.saturating_sub(1) * 72 / 100
}

/// An element of 1, 2, 4 or 8 bytes.
fn load(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |v, b| v << 8 | *b as u64)
}

//! Segments that are likely to compress alike, and which pieces of them are looked at.

use super::repeats::Repeated;
use crate::block::Segment;
use crate::codec::{Level, symbols};
use crate::counterparts::Counterparts;
use crate::dtype::Dtype;
use crate::source::Tensor;
use std::collections::HashMap;

/// Bytes of a class that are looked at at least, where it has so many.
const LEAST: u64 = 256 << 10;
/// Classes that are kept apart; the smallest ones beyond them are one.
const CLASSES: usize = 64;
/// Pieces of a class that are looked at, at most: very small tensors take longer than their bytes say.
const PIECES: u64 = 2048;

/// Bytes of a piece of a segment: a block of the slower levels.
pub fn piece_of(segment: &Segment) -> u64 {
    segment.block_size(Level::BALANCED) as u64
}

/// Segments that are likely to compress alike.
#[derive(Default)]
pub struct Class {
    /// Positions of the segments, the number of pieces of those before each, and the size of its pieces.
    segments: Vec<(usize, u64, u64)>,
    pub pieces: u64,
    pub bytes: u64,
    /// Bytes of blocks that were there before.
    pub repeated: u64,
}

impl Class {
    fn push(&mut self, position: usize, segment: &Segment) {
        let piece = piece_of(segment);
        self.segments.push((position, self.pieces, piece));
        self.pieces += segment.len.div_ceil(piece);
        self.bytes += segment.len;
    }

    /// Which of its pieces to look at: one in each of `n` equal parts, at places that follow the golden ratio, so that they fall into no
    /// step with the layers.
    pub fn choose(&self, n: u64) -> impl Iterator<Item = u64> {
        let pieces = self.pieces as u128;
        (0..n as u128).map(move |k| {
            let (from, to) = (k * pieces / n as u128, (k + 1) * pieces / n as u128);
            from as u64 + symbols::spread(k as u64, (to - from) as u64)
        })
    }

    /// How many pieces to look at for so many bytes.
    pub fn count(&self, bytes: u64) -> u64 {
        let wanted = bytes.max(LEAST).min(self.bytes) as u128 * self.pieces as u128;
        (wanted.div_ceil(self.bytes as u128) as u64).clamp(1, self.pieces.min(PIECES))
    }

    /// The segment of a piece, and its offset there.
    pub fn find(&self, piece: u64) -> (usize, u64) {
        let i = self.segments.partition_point(|s| s.1 <= piece) - 1;
        let (position, before, size) = self.segments[i];
        (position, (piece - before) * size)
    }
}

/// The name without its numbers.
fn family(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c => out.push(c),
        }
    }
    out
}

/// The classes in order of their first segments, the smallest ones joined.
pub fn classes(
    tensors: &[Tensor],
    segments: &[Segment],
    copies: &[usize],
    repeated: &Repeated,
    against: &Counterparts<'_>,
) -> Vec<Class> {
    let key = |i: usize, s: &Segment| {
        let name = s.tensor.map(|t| family(&tensors[t].name));
        (s.dtype.map(Dtype::id), name, against.has(i))
    };
    let mut copies = copies.iter().peekable();
    let mut positions: HashMap<(Option<u8>, Option<String>, bool), usize> = HashMap::new();
    let mut members: Vec<(u64, Vec<usize>)> = Vec::new();
    for (i, s) in segments.iter().enumerate() {
        if copies.next_if(|c| **c == i).is_some() {
            continue;
        }
        let at = *positions.entry(key(i, s)).or_insert(members.len());
        if at == members.len() {
            members.push((0, Vec::new()));
        }
        members[at].0 += s.len;
        members[at].1.push(i);
    }
    // The sort is stable: equal sizes stay in order.
    members.sort_by_key(|m| std::cmp::Reverse(m.0));
    let rest: Vec<usize> =
        members.split_off(members.len().min(CLASSES - 1)).into_iter().flat_map(|m| m.1).collect();
    let all = members.into_iter().map(|m| m.1).chain((!rest.is_empty()).then_some(rest));
    all.map(|positions| {
        let mut class = Class::default();
        positions.iter().for_each(|&i| class.push(i, &segments[i]));
        class.repeated =
            positions.iter().flat_map(|i| repeated.range((*i, 0)..(*i + 1, 0))).map(|r| r.1).sum();
        class
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lie_in_different_parts_of_their_class() {
        for (pieces, n) in [(1, 1), (5, 5), (1000, 7), (400_000_000, 48)] {
            let class = Class { pieces, ..Class::default() };
            let chosen: Vec<u64> = class.choose(n).collect();
            assert_eq!(chosen.len() as u64, n);
            assert!(chosen.windows(2).all(|w| w[0] < w[1]) && chosen.iter().all(|c| *c < pieces));
        }
        assert_eq!(family("model.layers.10.w2"), "model.layers.#.w#");
    }
}

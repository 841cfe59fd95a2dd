//! Tensors and blocks that were there before, told by a few bytes of each.

use super::classes::piece_of;
use crate::api::Workers;
use crate::block::Segment;
use crate::error::Result;
use crate::io::ReadAt;
use std::collections::{BTreeMap, HashMap};

/// Segments that seem to equal an earlier one: of the same length, and alike wherever they are looked at.
pub fn likely_copies(source: &dyn ReadAt, segments: &[Segment], workers: &Workers) -> Result<Vec<usize>> {
    let mut lengths: HashMap<u64, u32> = HashMap::new();
    segments.iter().filter(|s| s.tensor.is_some()).for_each(|s| *lengths.entry(s.len).or_default() += 1);
    let twins = |s: &Segment| s.tensor.is_some() && s.len >= SHORTEST && lengths[&s.len] > 1;
    let candidates: Vec<usize> = (0..segments.len()).filter(|i| twins(&segments[*i])).collect();
    let looks =
        workers.map(candidates.clone(), |i| workers.check().and_then(|()| look(source, &segments[i])));
    let mut seen = std::collections::HashSet::new();
    let mut copies = Vec::new();
    for (i, look) in candidates.into_iter().zip(looks) {
        if look?.is_some_and(|hash| !seen.insert((segments[i].len, hash))) {
            copies.push(i);
        }
    }
    Ok(copies)
}

/// Tensors shorter than this are not looked at for equal ones.
const SHORTEST: u64 = 64;

/// Blocks shorter than this are not looked at for equal ones, and none of a source that has more of them than this: each is a read at another
/// place, and the user waits.
const SHORTEST_BLOCK: u64 = 4096;
const BLOCKS: usize = 4096;

/// Blocks that are likely to equal an earlier one, in their own tensor or in another: the positions of their segments, where they begin there,
/// and their lengths.
pub fn likely_blocks(
    source: &dyn ReadAt,
    segments: &[Segment],
    copies: &[usize],
    workers: &Workers,
) -> Result<Repeated> {
    let mut copies = copies.iter().peekable();
    let mut blocks: Vec<((usize, u64), Segment)> = Vec::new();
    for (i, s) in segments.iter().enumerate() {
        if copies.next_if(|c| **c == i).is_some() {
            continue;
        }
        let size = piece_of(s);
        for offset in (0..s.len.div_ceil(size)).map(|k| k * size) {
            let len = (s.len - offset).min(size);
            if len >= SHORTEST_BLOCK {
                blocks.push(((i, offset), Segment { start: s.start + offset, len, ..s.clone() }));
            }
            if blocks.len() > BLOCKS {
                return Ok(Repeated::new());
            }
        }
    }
    let all = |which: &[usize], look: &(dyn Fn(&Segment) -> Result<Option<[u8; 32]>> + Sync)| {
        let looks = workers.map(which.to_vec(), |i| workers.check().and_then(|()| look(&blocks[i].1)));
        looks.into_iter().collect::<Result<Vec<_>>>()
    };
    // The first few bytes of each, and more of those that are alike there.
    let first: Vec<usize> = (0..blocks.len()).collect();
    let hashes = all(&first, &|s| look(source, &Segment { len: FEW_BYTES, ..s.clone() }))?;
    let mut counts: HashMap<(u64, [u8; 32]), u32> = HashMap::new();
    let key = |i: &usize| hashes[*i].map(|hash| (blocks[*i].1.len, hash));
    first.iter().filter_map(key).for_each(|key| *counts.entry(key).or_default() += 1);
    let alike: Vec<usize> =
        first.into_iter().filter(|i| key(i).is_some_and(|key| counts[&key] > 1)).collect();
    let looks = all(&alike, &|s| look(source, s))?;
    let mut seen = std::collections::HashSet::new();
    let mut repeated = Repeated::new();
    for (i, look) in alike.into_iter().zip(looks) {
        let (place, block) = &blocks[i];
        if look.is_some_and(|hash| !seen.insert((block.len, hash))) {
            repeated.insert(*place, block.len);
        }
    }
    Ok(repeated)
}

/// Lengths of blocks, by the positions of their segments and where they begin there.
pub type Repeated = BTreeMap<(usize, u64), u64>;

/// Bytes of a look, at so many places.
const FEW_BYTES: u64 = 512;
const PLACES: u64 = 4;

/// A hash of some pieces of a segment; none where they are all one byte: then they say little, and a run takes no room anyway.
fn look(source: &dyn ReadAt, s: &Segment) -> Result<Option<[u8; 32]>> {
    let n = s.len.min(FEW_BYTES);
    let places = if s.len > n { PLACES } else { 1 };
    let mut pieces = vec![0u8; (n * places) as usize];
    for (i, piece) in pieces.chunks_mut(n as usize).enumerate() {
        source.read_exact_at(s.start + (s.len - n) * i as u64 / (PLACES - 1), piece)?;
    }
    let plain = pieces.iter().all(|b| *b == pieces[0]);
    Ok((!plain).then(|| *blake3::hash(&pieces).as_bytes()))
}

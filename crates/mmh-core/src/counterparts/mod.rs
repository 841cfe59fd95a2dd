//! Counterparts of segments: elements elsewhere that blocks may be stored as differences from.
//!
//! * `relatives`: tensors of one source that are the same weights, in another type or some steps later

use crate::api::Workers;
use crate::base::Base;
use crate::block::{LARGE_BLOCK, Segment};
use crate::codec::delta::{self, sizes};
use crate::codec::{Counterpart, Held, Level, Origin, lend};
use crate::container::reader::Archive;
use crate::error::Result;
use crate::io::ReadAt;
use crate::source::Layout;
use mmh_kernels::conversions::{self, Conversion};
use std::collections::{HashMap, HashSet};

mod relatives;

/// What the blocks of a segment may be stored against.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Against {
    /// What it is a stretch of.
    origin: Origin,
    /// That stretch. Its elements are those of the segment, one for one, as far as there are any.
    root: Segment,
    /// What its elements become.
    conversion: Option<Conversion>,
}

impl Against {
    /// Whether a block of `raw` bytes at this level may refer to `len` bytes from byte `at` of the root on, in view of the blocks that these are in.
    fn may_be_lent(&self, raw: usize, (at, len): (u64, u64), level: Level) -> bool {
        if self.origin == Origin::Base {
            return true;
        }
        let (size, end) = (self.root.block_size(level) as u64, at.saturating_add(len));
        if end > self.root.len {
            return false;
        }
        // All blocks but the last one are larger than what counts at least.
        let lent = end.next_multiple_of(size).min(self.root.len) - at / size * size + delta::LEAST_LENT;
        lent <= delta::most_lent(raw)
    }
}

/// The counterparts of all segments that have one.
pub struct Counterparts<'a> {
    base: Option<&'a Base>,
    source: Option<&'a dyn ReadAt>,
    all: HashMap<usize, Against>,
}

impl<'a> Counterparts<'a> {
    /// Those in a base, of a source that need not be at hand: it is looked at for how it was cast.
    pub fn in_base(
        base: Option<&'a Base>,
        source: Option<&'a dyn ReadAt>,
        layout: &Layout,
        segments: &[Segment],
    ) -> Result<Counterparts<'a>> {
        let mut all = HashMap::new();
        for (i, root) in base.map(|b| b.counterparts(layout, segments)).unwrap_or_default() {
            let s = &segments[i];
            let types = root.dtype.zip(s.dtype);
            let ways = types.map(|(from, to)| delta::between(from, to)).unwrap_or_default();
            let conversion = match base.zip(source) {
                Some((base, source)) => closest(&ways, (base, &root), (source, s))?,
                None => ways.first().copied().flatten(),
            };
            all.insert(i, Against { origin: Origin::Base, root, conversion });
        }
        Ok(Counterparts { base, source, all })
    }

    /// Those in a base, and among the tensors of the source itself, of which some equal an earlier one.
    pub fn of(
        base: Option<&'a Base>,
        source: &'a dyn ReadAt,
        layout: &Layout,
        segments: &[Segment],
        is_copy: impl Fn(usize) -> bool,
        workers: &Workers,
    ) -> Result<Counterparts<'a>> {
        let mut found = Counterparts::in_base(base, Some(source), layout, segments)?;
        for (i, against) in relatives::find(source, layout, segments, is_copy, workers)? {
            // What was cast is known to the last bit by what it was cast from, and only nearly by an earlier cast.
            let is_better = against.conversion.is_some()
                || match found.all.get(&i).zip(base) {
                    Some((known, base)) => {
                        relatives::are_strangers((base, &known.root), (source, &segments[i]))?
                    }
                    None => true,
                };
            if is_better {
                found.all.insert(i, against);
            }
        }
        Ok(found)
    }

    /// Those in a base, and those by which the blocks of an archive are stored, whose source is to be read.
    pub fn stored<R: ReadAt>(
        archive: &'a Archive<R>,
        source: &'a dyn ReadAt,
        layout: &Layout,
        segments: &[Segment],
    ) -> Result<Counterparts<'a>> {
        let base = archive.base().map(|b| &**b);
        let mut found = Counterparts::in_base(base, Some(source), layout, segments)?;
        for (i, s) in segments.iter().enumerate() {
            let mut frames = archive.covering(s.start, s.start + s.len);
            let Some(frame) = frames.find(|i| archive.frames()[*i].codec == delta::RELATIVE) else {
                continue;
            };
            let within = archive.frames()[frame].start.saturating_sub(s.start);
            let mut held = Vec::new();
            let (head, payload) = archive.frame(frame, &mut held)?;
            let (place, ..) = delta::Place::read(payload, head.raw as usize)?;
            let (from, to) = sizes(place.conversion);
            let start = place.offset.checked_sub((within / to as u64).saturating_mul(from as u64));
            let root = start.and_then(|start| segments.binary_search_by_key(&start, |s| s.start).ok());
            if let Some(root) = root {
                let (root, conversion) = (segments[root].clone(), place.conversion);
                found.all.insert(i, Against { origin: Origin::Source, root, conversion });
            }
        }
        Ok(found)
    }

    /// The base, if anything has a counterpart there.
    pub fn base(&self) -> Option<&'a Base> {
        self.base.filter(|_| self.any(Origin::Base))
    }

    /// The segment of the source that a segment is stored against.
    pub fn root(&self, segment: usize) -> Option<&Segment> {
        self.all.get(&segment).filter(|against| against.origin == Origin::Source).map(|against| &against.root)
    }

    /// Where the segments of the source begin that others are stored against.
    pub fn roots(&self) -> HashSet<u64> {
        let of_source = self.all.values().filter(|against| against.origin == Origin::Source);
        of_source.map(|against| against.root.start).collect()
    }

    /// Whether a segment has one.
    pub fn has(&self, segment: usize) -> bool {
        self.all.contains_key(&segment)
    }

    /// Whether a segment has one of this origin.
    pub fn any(&self, origin: Origin) -> bool {
        self.all.values().any(|against| against.origin == origin)
    }

    /// Bytes of each block of a segment but the last one: no more than make a large block of what they are cast from, which is held beside them.
    pub fn block_size(&self, (i, segment): (usize, &Segment), level: Level) -> usize {
        let (from, to) = sizes(self.all.get(&i).and_then(|against| against.conversion));
        segment.block_size(level).min(if from == to { usize::MAX } else { LARGE_BLOCK / from * to })
    }

    /// The counterpart of a block of `len` bytes of a segment, from byte `within` on, in memory that is lent; `None` if there is none, or not so much of it.
    pub fn read<'h>(
        &self,
        (segment, within): (usize, u64),
        len: usize,
        level: Level,
        held: &'h mut Held,
    ) -> Result<Option<Counterpart<'h>>> {
        let Some(against) = self.all.get(&segment) else { return Ok(None) };
        let &Against { origin, ref root, conversion } = against;
        let among = match origin {
            Origin::Base => self.base.map(|b| b as &dyn ReadAt),
            Origin::Source => self.source,
        };
        let Some(among) = among else { return Ok(None) };
        let (from, to) = sizes(conversion);
        let is_whole = within.is_multiple_of(to as u64) && len.is_multiple_of(to);
        let (at, n) = ((within / to as u64).saturating_mul(from as u64), len / to * from);
        let offset = root.start.saturating_add(at);
        let reaches = offset.checked_add(n as u64).is_some_and(|end| end <= among.len());
        if !is_whole || !reaches || !against.may_be_lent(len, (at, n as u64), level) {
            return Ok(None);
        }
        let Held { there, converted } = held;
        lend(there, n);
        among.read_exact_at(offset, &mut there[..n])?;
        let there = &there[..n];
        let bytes = match conversion {
            None => there,
            Some(conversion) => {
                lend(converted, len);
                conversions::convert(conversion, there, &mut converted[..len]);
                &converted[..len]
            }
        };
        Ok(Some(Counterpart { origin, offset, there, conversion, bytes }))
    }
}

/// Bytes of a root that conversions are tried on.
const TRIED: usize = 4096;

/// Of the ways from the elements of a stretch to those of another, all between the same two types, the one that makes most of them; the first of equal ones.
fn closest(
    ways: &[Option<Conversion>],
    root: (&dyn ReadAt, &Segment),
    own: (&dyn ReadAt, &Segment),
) -> Result<Option<Conversion>> {
    match ways {
        [] => Ok(None),
        [only] => Ok(*only),
        _ => Ok(tried(ways, root, own)?.1),
    }
}

/// The same, and how many of some elements it does not make.
fn tried(
    ways: &[Option<Conversion>],
    (among, root): (&dyn ReadAt, &Segment),
    (source, own): (&dyn ReadAt, &Segment),
) -> Result<(usize, Option<Conversion>)> {
    let (from, to) = sizes(ways.first().copied().flatten());
    let count = (root.len / from as u64).min(own.len / to as u64);
    let n = count.min((TRIED / from) as u64);
    let skip = (count - n) / 2;
    let n = n as usize;
    let (mut there, mut here, mut made) = (vec![0; n * from], vec![0; n * to], vec![0; n * to]);
    among.read_exact_at(root.start + skip * from as u64, &mut there)?;
    source.read_exact_at(own.start + skip * to as u64, &mut here)?;
    let differ = |way: &Option<Conversion>| {
        match way {
            Some(conversion) => conversions::convert(*conversion, &there, &mut made),
            None => made.copy_from_slice(&there),
        }
        (here.chunks(to).zip(made.chunks(to)).filter(|(a, b)| a != b).count(), *way)
    };
    Ok(ways.iter().map(differ).min_by_key(|(differ, _)| *differ).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::Dtype;

    #[test]
    fn roots_lend_whole_blocks_and_nothing_behind_their_end() {
        let root = Segment { start: 100, len: (5 << 20) + 8, tensor: Some(0), dtype: Some(Dtype::F32) };
        let conversion = Some(Conversion::F32ToBf16);
        let of = |origin| Against { origin, root: root.clone(), conversion };
        let may =
            |raw: usize, at: u64, level| of(Origin::Source).may_be_lent(raw, (at, 2 * raw as u64), level);
        assert!(may(1 << 20, 0, Level::BALANCED) && may(1 << 19, 4 << 20, Level::FAST));
        // Of a block of a megabyte a few bytes are not lent; of what is left at the end they are.
        assert!(!may(1 << 10, 0, Level::BALANCED));
        assert!(may(1 << 17, 0, Level::BALANCED) && !may(1 << 17, 0, Level::MAX));
        assert!(!may(4, 5 << 20, Level::BALANCED));
        assert!(!may(1 << 20, 4 << 20, Level::BALANCED) && !may(1 << 20, u64::MAX - 5, Level::BALANCED));
        // A base may have fewer rows than what is stored against it.
        assert!(of(Origin::Base).may_be_lent(1 << 20, (7 << 20, 2 << 20), Level::BALANCED));
    }
}

//! Counterparts of segments: elements elsewhere that blocks may be stored as differences from.
//!
//! * `relatives`: tensors of one source that are the same weights, in another type or some steps later

use crate::base::Base;
use crate::block::{LARGE_BLOCK, Segment};
use crate::codec::{Counterpart, Held, Level, Origin, delta};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::io::ReadAt;
use crate::source::Layout;
use mmh_kernels::conversions::{self, Conversion, Float};
use std::collections::HashMap;

mod relatives;

/// Where the counterpart of a segment begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// What it is a stretch of: a base, or this segment of the source.
    pub among: Among,
    /// Its first byte there.
    pub offset: u64,
    /// What its elements become.
    pub conversion: Option<Conversion>,
}

/// What counterparts are stretches of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Among {
    /// A base.
    Base,
    /// A segment of the source.
    Segment(Segment),
}

impl Among {
    fn origin(&self) -> Origin {
        match self {
            Among::Base => Origin::Base,
            Among::Segment(_) => Origin::Source,
        }
    }

    /// Whether a block of `raw` bytes at this level may refer to these bytes, in view of the blocks that they are in.
    fn may_be_lent(&self, raw: usize, offset: u64, len: u64, level: Level) -> bool {
        let Among::Segment(s) = self else { return true };
        let size = s.block_size(level) as u64;
        let from = (offset - s.start) / size * size;
        let to = (offset - s.start + len).next_multiple_of(size).min(s.len);
        to - from <= delta::most_lent(raw)
    }
}

/// The counterparts of all segments that have one.
#[derive(Default)]
pub struct Counterparts<'a> {
    base: Option<&'a Base>,
    source: Option<&'a dyn ReadAt>,
    starts: HashMap<usize, Start>,
}

impl<'a> Counterparts<'a> {
    /// Those in a base, of a source that need not be at hand.
    pub fn in_base(
        base: Option<&'a Base>,
        source: Option<&'a dyn ReadAt>,
        layout: &Layout,
        segments: &[Segment],
    ) -> Result<Counterparts<'a>> {
        let found = base.map(|b| b.counterparts(layout, segments, source)).transpose()?;
        Ok(Counterparts { base, source, starts: found.unwrap_or_default() })
    }

    /// Those in a base, and among the tensors of the source itself, of which some equal an earlier one.
    pub fn of(
        base: Option<&'a Base>,
        source: &'a dyn ReadAt,
        layout: &Layout,
        segments: &[Segment],
        is_copy: impl Fn(usize) -> bool,
    ) -> Result<Counterparts<'a>> {
        let mut all = Counterparts::in_base(base, Some(source), layout, segments)?;
        let is_known = |i: &usize| is_copy(*i) || all.starts.contains_key(i);
        let relatives = relatives::find(source, layout, segments, is_known)?;
        all.starts.extend(relatives);
        Ok(all)
    }

    /// The base, if anything has a counterpart there.
    pub fn base(&self) -> Option<&'a Base> {
        self.base.filter(|_| self.any(Origin::Base))
    }

    /// Whether a segment has one.
    pub fn has(&self, segment: usize) -> bool {
        self.starts.contains_key(&segment)
    }

    /// Whether a segment has one of this origin.
    pub fn any(&self, origin: Origin) -> bool {
        self.starts.values().any(|start| start.among.origin() == origin)
    }

    /// Bytes of each block of a segment but the last one: no larger than those that its counterpart is in, which are held beside it.
    pub fn block_size(&self, (i, segment): (usize, &Segment), level: Level) -> usize {
        let size = segment.block_size(level);
        let conversion = self.starts.get(&i).and_then(|start| start.conversion);
        let most = conversion.map(|c| LARGE_BLOCK / c.types().0.size() * c.types().1.size());
        most.map_or(size, |most| size.min(most))
    }

    /// The counterpart of a block of `len` bytes of a segment, from byte `within` on, in memory that is lent; `None` if there is none, or not so much of it.
    pub fn read<'h>(
        &self,
        (segment, within): (usize, u64),
        len: usize,
        level: Level,
        held: &'h mut Held,
    ) -> Result<Option<Counterpart<'h>>> {
        let Some(Start { among: stretch, offset, conversion }) = self.starts.get(&segment) else {
            return Ok(None);
        };
        let (origin, conversion) = (stretch.origin(), *conversion);
        let among: Option<&dyn ReadAt> = match origin {
            Origin::Base => self.base.map(|b| b as &dyn ReadAt),
            Origin::Source => self.source,
        };
        let Some(among) = among else { return Ok(None) };
        let (from, to) = conversion.map_or((1, 1), |c| (c.types().0.size(), c.types().1.size()));
        let is_whole = within.is_multiple_of(to as u64) && len.is_multiple_of(to);
        let n = len / to * from;
        let offset = (within / to as u64).checked_mul(from as u64).and_then(|n| n.checked_add(*offset));
        let reaches = |offset: &u64| {
            offset.checked_add(n as u64).is_some_and(|end| is_whole && end <= among.len())
                && stretch.may_be_lent(len, *offset, n as u64, level)
        };
        let Some(offset) = offset.filter(reaches) else { return Ok(None) };
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

/// Gives memory at least `n` bytes; what is in it is of no account.
fn lend(memory: &mut Vec<u8>, n: usize) {
    if memory.len() < n {
        memory.resize(n, 0);
    }
}

/// The type of floats that others are converted from and to.
pub fn float_of(dtype: Dtype) -> Option<Float> {
    match dtype {
        Dtype::F16 => Some(Float::F16),
        Dtype::BF16 => Some(Float::Bf16),
        Dtype::F32 => Some(Float::F32),
        Dtype::F8_E4M3 => Some(Float::E4m3),
        Dtype::F8_E5M2 => Some(Float::E5m2),
        _ => None,
    }
}

/// The conversions between two types that can be told from each other by bytes alone: none for elements of one type.
pub fn conversions_between(from: Dtype, to: Dtype) -> Option<Vec<Option<Conversion>>> {
    if from == to {
        return Some(vec![None]);
    }
    let all: Vec<_> = Conversion::between(float_of(from)?, float_of(to)?).map(Some).collect();
    (!all.is_empty()).then_some(all)
}

/// Bytes of a tensor that conversions are tried on.
const TRIED: usize = 4096;

/// Of these conversions the one that makes most elements of a tensor of what stands from byte `from` on; the first of equal ones.
pub fn closest(
    conversions: &[Option<Conversion>],
    (among, from): (&dyn ReadAt, u64),
    (source, start, len): (&dyn ReadAt, u64, u64),
) -> Result<Option<Conversion>> {
    let [first, _, ..] = conversions else { return Ok(conversions.first().copied().flatten()) };
    let mut best = (usize::MAX, *first);
    for conversion in conversions.iter().flatten() {
        let (x, y) = (conversion.types().0.size(), conversion.types().1.size());
        let n = (len as usize / y).min(TRIED / x);
        let skip = (len / y as u64 - n as u64) / 2;
        let (mut there, mut own, mut made) = (vec![0; n * x], vec![0; n * y], vec![0; n * y]);
        let at = from + skip * x as u64;
        if at + there.len() as u64 > among.len() {
            continue;
        }
        among.read_exact_at(at, &mut there)?;
        source.read_exact_at(start + skip * y as u64, &mut own)?;
        conversions::convert(*conversion, &there, &mut made);
        let differ = own.chunks(y).zip(made.chunks(y)).filter(|(a, b)| a != b).count();
        if differ < best.0 {
            best = (differ, Some(*conversion));
        }
    }
    Ok(best.1)
}

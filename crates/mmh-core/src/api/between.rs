//! Short stretches of bytes that are in no tensor, in a source that has tensors: heads, and what stands between.
//!
//! They are few beside the tensors, so that there is time to look at them more closely than at a folder of texts. And some formats scatter what
//! they say about tensors among them: HDF5 its groups and attributes, zip archives the name of each entry. Such stretches are alike, and
//! like the beginning of the file, but too short to be made small one by one: they go on from the first block of the source.

use super::pipeline::Work;
use crate::block::{self, Coded, Segment};
use crate::codec::zstd::prefix::Prepared;
use crate::codec::{Level, PREFIX, Scratch, pattern251, zstd};
use crate::error::{Error, Result};
use crate::io::ReadAt;
use mmh_kernels::checksum;
use std::sync::OnceLock;

/// Bytes of the longest stretch.
const LONGEST: u64 = 1 << 16;

/// Bytes of the shortest that goes on from the first block: others are no smaller than their own heads.
const SHORTEST: u64 = 48;

/// All that do are at least so many bytes together, and one part in so many of the source.
const WORTH: u64 = 1 << 12;
const PART: u64 = 1000;

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// A tensor, or too long.
    Other,
    /// The beginning of the source, or too short to go on from it.
    Alone,
    /// What may go on from the beginning.
    GoesOn,
}

impl Stretch {
    /// Of a segment.
    pub fn of(segment: &Segment) -> Stretch {
        match segment.len {
            _ if segment.tensor.is_some() || segment.dtype.is_some() => Stretch::Other,
            SHORTEST..=LONGEST if segment.start > 0 => Stretch::GoesOn,
            ..=LONGEST => Stretch::Alone,
            _ => Stretch::Other,
        }
    }
}

/// What is known of all stretches of a source.
pub struct Between {
    /// What they go on from, where there are enough of them.
    first: Option<First>,
    level: Level,
    verify: bool,
}

impl Between {
    /// `None` if there are no tensors, or a codec is asked for.
    pub fn of(source: Option<&dyn ReadAt>, work: &Work<'_>) -> Result<Option<Between>> {
        let settings = &work.settings;
        if settings.codec.is_some() || !work.segments.iter().any(|s| s.dtype.is_some()) {
            return Ok(None);
        }
        let first = source.map(|source| first(source, work)).transpose()?.flatten();
        Ok(Some(Between { first, level: settings.level, verify: settings.verify }))
    }

    /// Replaces what was made of a block, which is in `out` from `start` on, by the smallest of what else can be made of it.
    pub fn improve(
        &self,
        data: &[u8],
        stretch: Stretch,
        coded: Coded,
        start: usize,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<Coded> {
        let mut best = coded;
        if coded.codec == zstd::ID {
            let end = out.len();
            zstd::encode_closely(data, self.level, scratch, out)?;
            keep_smaller(start, end, out);
        }
        let first = self.first.as_ref().filter(|_| stretch == Stretch::GoesOn);
        if let Some(prepared) = first.and_then(|f| f.prepared(self.level)) {
            let end = out.len();
            prepared.encode(data, scratch, out)?;
            if keep_smaller(start, end, out) {
                best = Coded { codec: PREFIX, raw: data.len() as u64, checksum: checksum::xxh3(data) };
            }
        }
        if self.verify && [zstd::ID, PREFIX].contains(&best.codec) {
            let mut back = vec![0; data.len()];
            let first = self.first.as_ref().map(|f| &f.bytes as &dyn ReadAt);
            block::decode(best.codec, &out[start..], best.checksum, first, &mut back, true, scratch)
                .map_err(|e| Error::SelfCheck(e.to_string()))?;
        }
        Ok(best)
    }
}

/// Keeps what is in `out` from `start` to `end`, or what is behind that if it is smaller; tells whether it was.
fn keep_smaller(start: usize, end: usize, out: &mut Vec<u8>) -> bool {
    let smaller = out.len() - end < end - start;
    if smaller {
        out.drain(start..end);
    } else {
        out.truncate(end);
    }
    smaller
}

/// The first block, if it is opaque, and there are stretches enough.
fn first(source: &dyn ReadAt, work: &Work<'_>) -> Result<Option<First>> {
    let Some(first) = work.segments.first() else { return Ok(None) };
    let is_opaque = first.dtype.is_none() && !work.counterparts.has(0);
    let all: u64 = work.segments.iter().filter(|s| Stretch::of(s) == Stretch::GoesOn).map(|s| s.len).sum();
    if !is_opaque || all < WORTH.max(source.len() / PART) {
        return Ok(None);
    }
    let level = work.settings.level;
    let mut bytes = vec![0; first.len.min(first.block_size(level) as u64) as usize];
    source.read_exact_at(0, &mut bytes)?;
    // Nothing goes on from a run.
    let is_run = pattern251::find(&bytes).is_some();
    Ok((!is_run).then(|| First { bytes, prepared: OnceLock::new() }))
}

/// The first block.
struct First {
    bytes: Vec<u8>,
    prepared: OnceLock<Option<Prepared>>,
}

impl First {
    /// Made by the thread that needs it first, while others go on. `None` if it cannot be used.
    fn prepared(&self, level: Level) -> Option<&Prepared> {
        self.prepared.get_or_init(|| Prepared::new(&self.bytes, level)).as_ref()
    }
}

//! Short stretches between tensors that go on from the first block of the source.
//!
//! Some formats scatter what they say about tensors among them: HDF5 its groups and attributes, zip archives the name of each entry. Such
//! stretches are alike, and like the beginning of the file, but too short to be made small one by one.

use super::pipeline::Work;
use crate::block::{self, Coded, Segment, Settings};
use crate::codec::zstd::prefix::Prepared;
use crate::codec::{PREFIX, Scratch, pattern251};
use crate::error::{Error, Result};
use crate::io::ReadAt;
use mmh_kernels::checksum;

/// Bytes of stretches that are tried: what is shorter is no smaller than its own head, what is longer stands by itself.
const SHORTEST: u64 = 48;
const LONGEST: u64 = 1 << 16;

/// All of them together are at least so many bytes, and one part in so many of the source.
const WORTH: u64 = 1 << 12;
const PART: u64 = 1000;

/// What blocks go on from.
pub struct Prefix {
    prepared: Prepared,
    bytes: Vec<u8>,
}

/// Whether a segment is one of the stretches.
pub fn may_go_on(segment: &Segment) -> bool {
    segment.tensor.is_none() && segment.dtype.is_none() && (SHORTEST..=LONGEST).contains(&segment.len)
}

/// The first block, if it is opaque, and there are stretches enough.
pub fn of(source: &dyn ReadAt, work: &Work<'_>) -> Result<Option<Prefix>> {
    let Some((first, others)) = work.segments.split_first() else { return Ok(None) };
    let is_opaque = first.tensor.is_none() && first.dtype.is_none() && !work.counterparts.contains_key(&0);
    let all: u64 = others.iter().filter(|s| may_go_on(s)).map(|s| s.len).sum();
    if !is_opaque || work.settings.codec.is_some() || all < WORTH.max(source.len() / PART) {
        return Ok(None);
    }
    let mut bytes = vec![0; first.len.min(first.block_size(work.settings.level) as u64) as usize];
    source.read_exact_at(0, &mut bytes)?;
    // Nothing goes on from a run.
    if pattern251::find(&bytes).is_some() {
        return Ok(None);
    }
    Ok(Prepared::new(&bytes, work.settings.level).map(|prepared| Prefix { prepared, bytes }))
}

impl Prefix {
    /// Replaces what was made of a block, which is in `out` from `start` on, by what goes on from the first one, if that is smaller.
    pub fn improve(
        &self,
        data: &[u8],
        coded: Coded,
        start: usize,
        settings: &Settings,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<Coded> {
        let end = out.len();
        self.prepared.encode(data, scratch, out)?;
        if out.len() - end >= end - start {
            out.truncate(end);
            return Ok(coded);
        }
        out.drain(start..end);
        let coded = Coded { codec: PREFIX, raw: data.len() as u64, checksum: checksum::xxh3(data) };
        if settings.verify {
            let mut back = vec![0; data.len()];
            let base = Some(&self.bytes as &dyn ReadAt);
            block::decode(PREFIX, &out[start..], coded.checksum, base, &mut back, true, scratch)
                .map_err(|e| Error::SelfCheck(e.to_string()))?;
        }
        Ok(coded)
    }
}

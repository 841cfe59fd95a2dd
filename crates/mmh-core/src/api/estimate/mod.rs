//! What compressing would save and cost, from a part of the blocks.
//!
//! A source that fits the budget is compressed whole, in memory, and the sizes are exact. Of a larger one, tensors whose names differ in
//! numbers only (the same matrix of each layer) are a class; each class gives blocks in proportion to its bytes, scattered over its
//! tensors and always the same ones. Many are encoded at the fastest level, which tells how the parts of the source differ; fewer at all
//! levels, which tells how the levels differ on the same bytes, and that varies much less. Tensors and blocks that were there before are no
//! part of what is stored; a few bytes of each tell.
//!
//! * `repeats`: tensors and blocks that were there before
//! * `classes`: segments that are likely to compress alike
//! * `measure`: what becomes of some pieces of each
//! * `sampled`: from pieces to all of a source
//! * `whole`: a source that fits the budget
//! * `size`: what is stored beside payloads

use super::Workers;
use crate::base::Base;
use crate::block;
use crate::codec::Level;
use crate::container::base::RECORD;
use crate::counterparts::Counterparts;
use crate::error::Result;
use crate::io::ReadAt;
use crate::source::{self, Input};
use measure::Sample;
use std::sync::Arc;

mod classes;
mod measure;
mod repeats;
mod sampled;
mod size;
#[cfg(test)]
mod tests;
mod whole;

pub(super) use repeats::likely_copies;

/// Bytes that are encoded at every level, unless the caller says otherwise: less than a second's work for three levels and two threads.
pub const BUDGET: u64 = 24 << 20;

/// What one level would do.
#[derive(Clone, Copy, Debug)]
pub struct LevelEstimate {
    /// The level.
    pub level: Level,
    /// Bytes of the `.mmh`.
    pub stored: u64,
    /// Seconds to compress, with the self-check and the hashes, from a file to a file, if the disk keeps up.
    pub compress_seconds: f64,
    /// Seconds to decompress.
    pub decompress_seconds: f64,
}

/// What compressing would save and cost.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// Bytes of the source.
    pub source_bytes: u64,
    /// Bytes of it that were encoded to find out.
    pub sampled_bytes: u64,
    /// Whether all of them were, at every level, so that the sizes are exact.
    pub exact: bool,
    /// Format of the source.
    pub format: &'static str,
    /// Number of tensors.
    pub tensors: usize,
    /// Bytes of tensors that equal an earlier one.
    pub copied_bytes: u64,
    /// One for each level asked for.
    pub levels: Vec<LevelEstimate>,
}

/// Estimates a source, whose name will be stored with it, at some levels, perhaps against a base. Sizes are the same on every run; times are not.
pub fn estimate(
    source: &dyn ReadAt,
    name: &str,
    base: Option<Arc<Base>>,
    levels: &[Level],
    workers: &Workers,
    budget: u64,
) -> Result<Estimate> {
    let layout = source::find(Input { bytes: source, complete: true });
    let segments = block::segments(&layout, Some(source.len()));
    let copies = likely_copies(source, &segments, workers)?;
    let copied_bytes = copies.iter().map(|i| segments[*i].len).sum();
    let (format, tensors) = (layout.format.name(), layout.tensors.len());
    let exact = source.len() <= budget;
    let (sampled_bytes, levels) = if exact {
        (source.len(), whole::whole(source, name, base, levels, workers)?)
    } else {
        let repeated = repeats::likely_blocks(source, &segments, &copies, workers)?;
        let is_copy = |i: usize| copies.binary_search(&i).is_ok();
        let against = Counterparts::of(base.as_deref(), source, &layout, &segments, is_copy, workers)?;
        let classes = classes::classes(&layout.tensors, &segments, &copies, &repeated, &against);
        let sample = Sample {
            source,
            segments: &segments,
            classes: &classes,
            repeated: &repeated,
            against: &against,
            workers,
        };
        let (sampled_bytes, mut estimates) = sampled::sampled(&sample, levels, budget)?;
        let record = against.base().map_or(0, |base| (RECORD + base.recorded_name().len()) as u64);
        let fixed = record + size::fixed_bytes(source.len(), name, layout, &segments, &copies);
        estimates.iter_mut().for_each(|e| e.stored += fixed);
        (sampled_bytes, estimates)
    };
    Ok(Estimate { source_bytes: source.len(), sampled_bytes, exact, format, tensors, copied_bytes, levels })
}

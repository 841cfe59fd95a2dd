//! What is in a file, and whether it comes back: statistics of every tensor in one pass, what each looks like, and the proof.
//!
//! * `stats`: statistics of the elements, one stretch at a time
//! * `distinct`: how many different elements there are
//! * `histogram`: bins that people read
//! * `verdict`: what a tensor looks like, and why
//! * `prove`: what a codec stores is read back and compared

use super::diff::Side;
use super::{Progress, Step, Workers};
use crate::block;
use crate::codec::pattern251;
use crate::error::Result;
use crate::source::Tensor;
use std::collections::HashMap;

mod distinct;
mod histogram;
mod prove;
mod stats;
#[cfg(test)]
mod tests;
mod verdict;

pub use histogram::{Histogram, histogram};
pub use prove::{Proof, prove};
use stats::Reader;
pub use stats::Stats;
pub use verdict::Verdict;
use verdict::verdict;

/// Bytes that one thread looks at, at a time, about. Results do not depend on the number of threads, since pieces do not.
const PIECE: usize = 1 << 20;
/// Bytes of a batch at most.
const BATCH: usize = 32 << 20;
/// Bytes at the beginning of a file in which it may say who made it.
const HEAD: u64 = 1 << 20;
/// What files of `generate` say.
const MADE_BY: &[u8] = b"mmh generate --like";

/// A tensor with what is known about it.
pub struct Examined {
    /// Name, dtype, shape and place.
    pub tensor: Tensor,
    /// Statistics of its numbers.
    pub stats: Stats,
    /// Whether the numbers are the scales of blocks, not elements.
    pub scales: bool,
    /// Elements of a row, where rows were looked at.
    pub columns: Option<u64>,
    /// Bits of an exponent.
    pub exponent_bits: Option<u32>,
    /// After how many bytes it repeats itself.
    pub period: Option<usize>,
    /// The earlier tensor that it equals.
    pub equals: Option<usize>,
    /// What it looks like.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

/// A file with what is known about it.
pub struct Validation {
    /// Its tensors in the order of the file.
    pub tensors: Vec<Examined>,
    /// Bytes outside of tensors.
    pub other_bytes: u64,
    /// Whether it says that `generate` made it.
    pub generated: bool,
}

/// Looks at all tensors of a file.
pub fn validate(side: &Side, workers: &Workers, progress: Progress<'_>) -> Result<Validation> {
    side.check_base(workers)?;
    let total: u64 = side.tensors().iter().map(|t| t.len).sum();
    let generated = says_generated(side, workers)?;
    let mut tensors: Vec<Examined> = Vec::with_capacity(side.tensors().len());
    let mut firsts = HashMap::new();
    let mut done = 0;
    for (i, tensor) in side.tensors().iter().enumerate() {
        let mut step = |n| progress(Step { done: done + n, total: Some(total), stored: 0 });
        let (mut one, hash) = examine(side, tensor, workers, &mut step)?;
        if tensor.len > 0 {
            let first = *firsts.entry((hash, tensor.dtype, tensor.len)).or_insert(i);
            one.equals = (first != i).then_some(first);
        }
        let stats = std::mem::take(&mut one.stats);
        (one.verdict, one.reason) = verdict(&one, &stats, generated);
        one.stats = stats;
        done += tensor.len;
        tensors.push(one);
    }
    progress(Step { done, total: Some(total), stored: 0 })?;
    Ok(Validation { tensors, other_bytes: side.source_bytes() - total.min(side.source_bytes()), generated })
}

/// One pass over a tensor.
fn examine(
    side: &Side,
    tensor: &Tensor,
    workers: &Workers,
    step: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<(Examined, [u8; 32])> {
    let mut shape = tensor.shape.clone();
    if tensor.fortran {
        shape.reverse();
    }
    let reader = Reader::new(tensor.dtype, &shape);
    let granule = reader.granule().max(1);
    let piece = (PIECE / granule).max(1) * granule;
    let batch = (workers.long_batch().min(BATCH) / piece).max(1) * piece;
    let (mut stats, mut hasher) = (Stats::default(), blake3::Hasher::new());
    // Whether all pieces have the period of the first one.
    let mut period = None;
    let mut buf = Vec::new();
    let mut at = 0;
    while at < tensor.len {
        let n = (tensor.len - at).min(batch as u64) as usize;
        buf.resize(n, 0);
        side.read(tensor.start + at, &mut buf, workers)?;
        let pieces: Vec<&[u8]> = buf.chunks(piece).collect();
        let hash = || {
            hasher.update(&buf);
        };
        let look = || {
            workers.map(pieces, |bytes| {
                workers.check()?;
                Ok::<_, crate::Error>((reader.look(bytes), pattern251::find(bytes)))
            })
        };
        let ((), found) = workers.join(hash, look);
        for (i, one) in found.into_iter().enumerate() {
            let (next, repeats) = one?;
            period = if at == 0 && i == 0 { repeats } else { period.filter(|_| repeats.is_some()) };
            stats.join(next);
        }
        at += n as u64;
        step(at)?;
    }
    let examined = Examined {
        tensor: tensor.clone(),
        stats,
        scales: reader.reads_scales(),
        columns: reader.columns,
        exponent_bits: reader.exponent_bits(),
        period,
        equals: None,
        verdict: Verdict::Unknown,
        reason: String::new(),
    };
    Ok((examined, *hasher.finalize().as_bytes()))
}

/// Whether something outside of the tensors, near the beginning or the end, tells that the weights are made up.
fn says_generated(side: &Side, workers: &Workers) -> Result<bool> {
    let segments = block::segments(side.layout(), Some(side.source_bytes()));
    let others = segments.iter().filter(|s| s.tensor.is_none());
    for s in others.clone().take(2).chain(others.clone().next_back()) {
        let mut bytes = vec![0; s.len.min(HEAD) as usize];
        side.read(s.start, &mut bytes, workers)?;
        if bytes.windows(MADE_BY.len()).any(|w| w == MADE_BY) {
            return Ok(true);
        }
    }
    Ok(false)
}

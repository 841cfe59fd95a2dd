//! From pieces of each class to all of a source.

use super::LevelEstimate;
use super::measure::{Measured, Sample};
use super::whole::seconds_to_write;
use crate::codec::Level;
use crate::error::Result;
use crate::io::ReadAt;

/// How many times as many are encoded at the fastest level.
const WIDE: u64 = 8;

/// Looks at pieces of each class, and takes them for all of it.
pub fn sampled(sample: &Sample<'_>, levels: &[Level], budget: u64) -> Result<(u64, Vec<LevelEstimate>)> {
    let &Sample { source, classes, .. } = sample;
    let (wide, _) = sample.look(budget * WIDE, &[Level::FAST], false)?;
    let all: Vec<Level> = std::iter::once(Level::FAST).chain(levels.iter().copied()).collect();
    let (narrow, threads) = sample.look(budget, &all, true)?;
    let scaled = |seconds: &dyn Fn(&Measured) -> f64| -> f64 {
        let each = classes.iter().zip(&narrow);
        each.map(|(c, m)| seconds(m) * c.bytes as f64 / m.raw.max(1) as f64).sum()
    };
    let (read, hash) = (scaled(&|m| m.read), scaled(&|m| m.hash));
    let write = seconds_to_write();
    // The base is read and hashed once, in both directions.
    let base =
        sample.against.base().map_or(0.0, |b| (read + hash) * b.len() as f64 / source.len().max(1) as f64);
    let estimates = (1..all.len()).map(|i| {
        let each = classes.iter().zip(wide.iter().zip(&narrow));
        let stored: f64 = each
            .map(|(c, (wide, narrow))| {
                (wide.rate(0) + narrow.rate(i) - narrow.rate(0)).max(0.0) * (c.bytes - c.repeated) as f64
            })
            .sum();
        // Beside the encoding, the source is read, and hashed once for itself and once for its tensors; when restored, once.
        LevelEstimate {
            level: all[i],
            stored: stored.round() as u64,
            compress_seconds: shared(
                scaled(&|m| m.levels[i].encode),
                base + read + 2.0 * hash + write * stored,
                threads,
            ),
            decompress_seconds: shared(
                scaled(&|m| m.levels[i].decode),
                base + hash + write * source.len() as f64,
                threads,
            ),
        }
    });
    Ok((wide.iter().map(|m| m.raw).sum(), estimates.collect()))
}

/// Seconds for work that is shared among threads beside work that is not.
fn shared(parallel: f64, serial: f64, threads: f64) -> f64 {
    ((parallel + serial) / threads).max(serial)
}

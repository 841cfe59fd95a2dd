//! The body, made whole.

use super::examine::Examination;
use super::section::{group_data, restore};
use crate::api::{Progress, Step, Workers};
use crate::error::{Error, Result};
use crate::io::ReadAt;
use std::io::{Seek, SeekFrom, Write};

/// Bytes that are copied at a time.
const AT_ONCE: u64 = 8 << 20;

/// Writes the body of an examined file, with what was lost restored. Whether it is the one that was protected is for the caller to compare.
pub fn mend<W: Write + Seek>(
    input: &dyn ReadAt,
    found: &Examination,
    out: &mut W,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<()> {
    let plan = &found.plan;
    if let Some(group) = (0..plan.groups).find(|g| found.missing(*g).len() > found.recovery_of(*g).len()) {
        return Err(Error::corrupt(format!(
            "{} of {} shards of group {group} are lost and {} recovery shards are left (mmh repair --salvage saves the tensors that are intact)",
            found.missing(group).len(),
            plan.shards_of(group),
            found.recovery_of(group).len(),
        )));
    }
    copy_sound(input, found, out, workers, progress)?;
    let mut data = Vec::new();
    for group in 0..plan.groups {
        let missing = found.missing(group);
        if missing.is_empty() {
            continue;
        }
        group_data(input, plan, group, &|shard| found.data[shard as usize], &mut data, workers)?;
        let mut recovery = Vec::with_capacity(missing.len());
        for (number, at) in found.recovery_of(group).into_iter().take(missing.len()) {
            let mut shard = vec![0; plan.shard as usize];
            input.read_exact_at(at, &mut shard)?;
            recovery.push((number, shard));
        }
        restore(&mut data, plan, group, &missing, &recovery, workers)?;
        for m in missing {
            let (start, len) = plan.place(m as u64 * plan.groups + group);
            out.seek(SeekFrom::Start(start))?;
            out.write_all(&data[m * plan.shard as usize..][..len])?;
        }
    }
    out.seek(SeekFrom::Start(plan.body))?;
    Ok(())
}

/// Copies what is sound to its place, and zeros to where it is not.
fn copy_sound<W: Write>(
    input: &dyn ReadAt,
    found: &Examination,
    out: &mut W,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<()> {
    let plan = &found.plan;
    let mut buffer = Vec::new();
    let mut shard = 0;
    while shard < plan.shards() {
        workers.check()?;
        let (start, len) = plan.place(shard);
        let at = found.data[shard as usize];
        // As many as stand side by side, or are lost side by side.
        let mut bytes = len as u64;
        let mut next = shard + 1;
        while next < plan.shards()
            && bytes < AT_ONCE
            && found.data[next as usize] == at.map(|at| at + (next - shard) * plan.shard)
        {
            bytes += plan.place(next).1 as u64;
            next += 1;
        }
        buffer.clear();
        buffer.resize(bytes as usize, 0);
        if let Some(at) = at {
            input.read_exact_at(at, &mut buffer)?;
        }
        out.write_all(&buffer)?;
        shard = next;
        progress(Step { done: start / 2, total: Some(plan.body), stored: 0 })?;
    }
    Ok(())
}

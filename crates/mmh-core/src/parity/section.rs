//! The section, written behind a body.

use super::plan::{Kind, Plan, SUM};
use crate::api::{Progress, Step, Workers};
use crate::error::{Error, Result};
use crate::io::{FileAt, ReadAt};
use mmh_kernels::checksum::xxh3;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use std::fs::File;
use std::io::Write;

/// Bytes of the body that are hashed at a time.
const AT_ONCE: u64 = 16 << 20;

/// Bytes of each shard that are worked on at a time: those of all shards of a group fit a cache.
pub const COLUMN: usize = 512;

/// Takes `len` bytes piece by piece, in order; the next one is filled while one is worked on. Pieces are whole multiples of `unit`.
pub fn in_pieces(
    len: u64,
    unit: u64,
    fill: &(dyn Fn(u64, &mut [u8]) -> Result<()> + Sync),
    take: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<()> {
    let (mut ready, mut next) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < len || !ready.is_empty() {
        workers.check()?;
        next.resize((len - at).min(AT_ONCE.max(unit)) as usize, 0);
        let (filled, taken) = workers.join(
            || if next.is_empty() { Ok(()) } else { fill(at, &mut next) },
            || if ready.is_empty() { Ok(()) } else { take(&ready) },
        );
        filled?;
        taken?;
        progress(Step { done: at, total: Some(len), stored: 0 })?;
        at += next.len() as u64;
        std::mem::swap(&mut ready, &mut next);
    }
    Ok(())
}

/// The sums of all data shards, and the plan with its hashes. What is read is also written to `copy`, where there is one. `done` tells how far
/// it is, of twice the body.
pub fn hashed(
    body: &dyn ReadAt,
    plan: Plan,
    mut copy: Option<&mut (dyn Write + Send)>,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<(Plan, Vec<u8>)> {
    let mut table = Vec::new();
    let mut hasher = blake3::Hasher::new();
    let mut take = |piece: &[u8]| {
        let shards = piece.chunks(plan.shard as usize);
        let ((sums, ()), written) = workers.join(
            || {
                let sums = || shards.flat_map(|s| xxh3(s).to_le_bytes()).collect::<Vec<u8>>();
                let hash = || workers.hash(&mut hasher, piece);
                workers.join(sums, hash)
            },
            || copy.as_mut().map_or(Ok(()), |out| out.write_all(piece)),
        );
        table.extend(sums);
        Ok(written?)
    };
    let fill = |at: u64, piece: &mut [u8]| Ok(body.read_exact_at(at, piece)?);
    let mut half = |s: Step| progress(Step { done: s.done / 2, ..s });
    in_pieces(plan.body, plan.shard, &fill, &mut take, workers, &mut half)?;
    Ok((Plan { table: xxh3(&table), blake3: *hasher.finalize().as_bytes(), ..plan }, table))
}

/// The data of a group, each shard filled up; those that `at` does not know stay zero.
pub fn group_data(
    input: &dyn ReadAt,
    plan: &Plan,
    group: u64,
    at: &(dyn Fn(u64) -> Option<u64> + Sync),
    data: &mut Vec<u8>,
    workers: &Workers,
) -> Result<()> {
    let size = plan.shard as usize;
    // Memory of the group before is written over, not cleared first.
    data.resize(plan.shards_of(group) as usize * size, 0);
    let shards = data.chunks_mut(size).enumerate().collect();
    let read = |(i, to): (usize, &mut [u8])| {
        let shard = i as u64 * plan.groups + group;
        let (to, filling) = to.split_at_mut(plan.place(shard).1);
        filling.fill(0);
        match at(shard) {
            Some(from) => input.read_exact_at(from, to),
            None => {
                to.fill(0);
                Ok(())
            }
        }
    };
    workers.map(shards, read).into_iter().collect::<std::io::Result<()>>()?;
    workers.check()
}

/// An error of the library, which our numbers do not lead to.
fn impossible(e: reed_solomon_simd::Error) -> Error {
    Error::SelfCheck(format!("Reed-Solomon: {e}"))
}

/// The recovery shards of the data of a group, one after the other.
pub fn recovery_of(data: &[u8], plan: &Plan, group: u64, workers: &Workers) -> Result<Vec<u8>> {
    let (size, count) = (plan.shard as usize, plan.shards_of(group) as usize);
    let column = COLUMN.min(size);
    let make = |from: usize| -> Result<Vec<u8>, reed_solomon_simd::Error> {
        let mut encoder = ReedSolomonEncoder::new(count, plan.recovery as usize, column)?;
        for shard in data.chunks(size) {
            encoder.add_original_shard(&shard[from..from + column])?;
        }
        let made = encoder.encode()?;
        Ok(made.recovery_iter().collect::<Vec<&[u8]>>().concat())
    };
    let columns = workers.map((0..size).step_by(column).collect(), make);
    let mut recovery = vec![0; plan.recovery as usize * size];
    for (c, made) in columns.into_iter().enumerate() {
        let made = made.map_err(impossible)?;
        for (to, part) in recovery.chunks_mut(size).zip(made.chunks(column)) {
            to[c * column..(c + 1) * column].copy_from_slice(part);
        }
    }
    Ok(recovery)
}

/// Restores the data shards of a group that are `missing`, by their numbers in it, from the others and from recovery shards with their
/// numbers.
pub fn restore(
    data: &mut [u8],
    plan: &Plan,
    group: u64,
    missing: &[usize],
    recovery: &[(usize, Vec<u8>)],
    workers: &Workers,
) -> Result<()> {
    let (size, count) = (plan.shard as usize, plan.shards_of(group) as usize);
    let column = COLUMN.min(size);
    let known = &*data;
    let make = |from: usize| -> Result<Vec<Vec<u8>>, reed_solomon_simd::Error> {
        let mut decoder = ReedSolomonDecoder::new(count, plan.recovery as usize, column)?;
        let mut gone = missing.iter().peekable();
        for (i, shard) in known.chunks(size).enumerate() {
            if gone.next_if(|m| **m == i).is_none() {
                decoder.add_original_shard(i, &shard[from..from + column])?;
            }
        }
        for (number, shard) in recovery {
            decoder.add_recovery_shard(*number, &shard[from..from + column])?;
        }
        let done = decoder.decode()?;
        Ok(missing.iter().map(|m| done.restored_original(*m).unwrap_or_default().to_vec()).collect())
    };
    let columns = workers.map((0..size).step_by(column).collect(), make);
    for (c, made) in columns.into_iter().enumerate() {
        for (m, part) in missing.iter().zip(made.map_err(impossible)?) {
            let at = m * size + c * column;
            data[at..at + part.len()].copy_from_slice(&part);
        }
    }
    Ok(())
}

/// Where bytes wait that are more than memory should hold.
pub type Spool<'a> = &'a dyn Fn() -> std::io::Result<File>;

/// Writes the section of a body whose sums are known.
pub fn write(
    body: &dyn ReadAt,
    plan: &Plan,
    table: &[u8],
    spool: Spool<'_>,
    out: &mut dyn Write,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<()> {
    // Groups take turns in the section: what is made waits in a file without a name, unless there is but one group.
    let mut data = Vec::new();
    let mut waiting = if plan.groups > 1 { Some(spool()?) } else { None };
    let mut only = Vec::new();
    for group in 0..plan.groups {
        group_data(body, plan, group, &|shard| Some(plan.place(shard).0), &mut data, workers)?;
        let recovery = recovery_of(&data, plan, group, workers)?;
        match &mut waiting {
            Some(file) => file.write_all(&recovery)?,
            None => only = recovery,
        }
        let done = plan.body / 2 + plan.body / 2 * (group + 1) / plan.groups;
        progress(Step { done, total: Some(plan.body), stored: 0 })?;
    }
    drop(data);
    let waiting = waiting.map(FileAt::new).transpose()?;
    let size = plan.shard as usize;
    let mut record = |group: u64, number: u64, shard: &mut [u8]| -> Result<()> {
        match &waiting {
            Some(file) => file.read_exact_at((group * plan.recovery + number) * plan.shard, shard)?,
            None => shard.copy_from_slice(&only[number as usize * size..][..size]),
        }
        Ok(())
    };
    write_section(plan, table, &mut record, out)
}

/// Fills in a recovery shard: its group, its number there, where it is wanted.
pub type Record<'a> = &'a mut dyn FnMut(u64, u64, &mut [u8]) -> Result<()>;

/// Writes the section.
pub fn write_section(plan: &Plan, table: &[u8], record: Record<'_>, out: &mut dyn Write) -> Result<()> {
    debug_assert_eq!(table.len(), plan.shards() as usize * SUM);
    out.write_all(&plan.head(Kind::Section))?;
    out.write_all(table)?;
    let mut shard = vec![0; plan.shard as usize];
    for number in 0..plan.recovery {
        for group in 0..plan.groups {
            record(group, number, &mut shard)?;
            out.write_all(&plan.head(Kind::Record(group as u32, number as u32, xxh3(&shard))))?;
            out.write_all(&shard)?;
        }
    }
    out.write_all(table)?;
    out.write_all(&plan.head(Kind::Trailer))?;
    Ok(())
}

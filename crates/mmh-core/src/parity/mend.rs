//! The file, made whole.

use super::examine::Examination;
use super::plan::{HEAD, Kind, Plan};
use super::section::{Spool, group_data, in_pieces, recovery_of, restore, write_section};
use crate::api::{Progress, Step, Workers};
use crate::error::{Error, Result};
use crate::io::{FileAt, ReadAt};
use mmh_kernels::checksum::xxh3;
use std::io::Write;

/// Where a shard is to be had.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In the damaged file.
    Input(u64),
    /// Among those that were made again.
    Made(u64),
    /// Nowhere: too much of its group is lost.
    Lost,
}

/// Writes an examined file whole: its body, with what was lost restored, and its parity. The body is hashed on its way; if it is not the one
/// that was protected, that is an error, and what was written is good for nothing.
pub fn mend(
    input: &dyn ReadAt,
    found: &Examination,
    spool: Spool<'_>,
    out: &mut (dyn Write + Send),
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
    let places = Places::find(input, found, spool, workers, progress)?;
    let mut hasher = blake3::Hasher::new();
    let mut take = |piece: &[u8]| {
        let ((), written) = workers.join(|| workers.hash(&mut hasher, piece), || out.write_all(piece));
        Ok(written?)
    };
    let fill = |at: u64, piece: &mut [u8]| places.body(at, piece);
    let mut half = |s: Step| progress(Step { done: (plan.body + s.done) / 2, ..s });
    in_pieces(plan.body, plan.shard, &fill, &mut take, workers, &mut half)?;
    if *hasher.finalize().as_bytes() != plan.blake3 {
        return Err(Error::corrupt(
            "what was restored does not have the hash that was protected: nothing was written (restore the file from another copy)",
        ));
    }
    write_section(plan, &found.table, &mut |g, n, shard| places.record(g, n, shard), out)
}

/// Where all shards are to be had.
pub(super) struct Places<'a> {
    input: &'a dyn ReadAt,
    plan: &'a Plan,
    pub made: Option<FileAt>,
    pub data: Vec<Place>,
    /// In the order of records.
    recovery: Vec<Place>,
}

impl<'a> Places<'a> {
    /// Makes again what is lost, of data and of recovery shards, in groups that can be mended. Each group in which something is lost is read
    /// once.
    pub fn find(
        input: &'a dyn ReadAt,
        found: &'a Examination,
        spool: Spool<'_>,
        workers: &Workers,
        progress: Progress<'_>,
    ) -> Result<Places<'a>> {
        let plan = &found.plan;
        let place = |at: &Option<u64>| at.map_or(Place::Lost, Place::Input);
        let mut recovery: Vec<Place> = found.recovery.iter().map(place).collect();
        let mut data: Vec<Place> = found.data.iter().map(place).collect();
        let (mut file, mut size) = (None, 0u64);
        let mut group_bytes = Vec::new();
        for group in 0..plan.groups {
            let missing = found.missing(group);
            let left = found.recovery_of(group);
            if missing.is_empty() && left.len() as u64 == plan.recovery || missing.len() > left.len() {
                continue;
            }
            if file.is_none() {
                file = Some(spool()?);
            }
            let Some(file) = &mut file else { continue };
            let mut put = |shard: &[u8]| -> Result<Place> {
                file.write_all(shard)?;
                size += plan.shard;
                Ok(Place::Made(size - plan.shard))
            };
            group_data(input, plan, group, &|shard| found.data[shard as usize], &mut group_bytes, workers)?;
            if !missing.is_empty() {
                let mut shards = Vec::with_capacity(missing.len());
                for (number, at) in left.iter().take(missing.len()) {
                    let mut shard = vec![0; plan.shard as usize];
                    input.read_exact_at(*at, &mut shard)?;
                    shards.push((*number, shard));
                }
                restore(&mut group_bytes, plan, group, &missing, &shards, workers)?;
            }
            for m in missing {
                let shard = &group_bytes[m * plan.shard as usize..][..plan.shard as usize];
                data[m * plan.groups as usize + group as usize] = put(shard)?;
            }
            if (left.len() as u64) < plan.recovery {
                let all = recovery_of(&group_bytes, plan, group, workers)?;
                for (number, shard) in all.chunks(plan.shard as usize).enumerate() {
                    let record = number * plan.groups as usize + group as usize;
                    if found.recovery[record].is_none() {
                        recovery[record] = put(shard)?;
                    }
                }
            }
            let done = plan.body / 2 * (group + 1) / plan.groups;
            progress(Step { done, total: Some(plan.body), stored: 0 })?;
        }
        let made = file.map(FileAt::new).transpose()?;
        Ok(Places { input, plan, made, data, recovery })
    }

    fn read(&self, place: Place, buf: &mut [u8]) -> Result<()> {
        match (place, &self.made) {
            (Place::Input(at), _) => self.input.read_exact_at(at, buf)?,
            (Place::Made(at), Some(made)) => made.read_exact_at(at, buf)?,
            (Place::Made(_), None) | (Place::Lost, _) => {
                return Err(Error::SelfCheck("a shard that was not made".into()));
            }
        }
        Ok(())
    }

    /// Fills in bytes of the body, from the beginning of a shard on. Shards that stand side by side are read at once.
    fn body(&self, start: u64, mut out: &mut [u8]) -> Result<()> {
        let mut shard = (start / self.plan.shard) as usize;
        while !out.is_empty() {
            let first = self.data[shard];
            let mut count = 1;
            while let (Place::Input(at), Some(Place::Input(next))) = (first, self.data.get(shard + count))
                && *next == at + count as u64 * self.plan.shard
                && ((count as u64 * self.plan.shard) as usize) < out.len()
            {
                count += 1;
            }
            let n = ((count as u64 * self.plan.shard) as usize).min(out.len());
            let (now, later) = out.split_at_mut(n);
            self.read(first, now)?;
            (out, shard) = (later, shard + count);
        }
        Ok(())
    }

    /// Fills in a recovery shard. One that was sound has to be it still.
    fn record(&self, group: u64, number: u64, out: &mut [u8]) -> Result<()> {
        let place = self.recovery[(number * self.plan.groups + group) as usize];
        self.read(place, out)?;
        if let Place::Input(at) = place {
            let mut head = [0; HEAD];
            self.input.read_exact_at(at - HEAD as u64, &mut head)?;
            if head != self.plan.head(Kind::Record(group as u32, number as u32, xxh3(out))) {
                return Err(Error::corrupt_at(at, "the parity was changed while it was read"));
            }
        }
        Ok(())
    }
}

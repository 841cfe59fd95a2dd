//! A protected body as far as it can be mended, for what lies in its sound parts.

use super::examine::Examination;
use super::mend::{Place, Places};
use super::plan::Plan;
use super::section::Spool;
use crate::api::{Progress, Workers};
use crate::error::Result;
use crate::io::{FileAt, ReadAt};
use std::io;
use std::sync::Arc;

/// The body. Shards that are lost for good are zeros.
pub struct Rescued {
    input: Arc<dyn ReadAt>,
    made: Option<FileAt>,
    data: Vec<Place>,
    plan: Plan,
}

/// Puts the shards of an examined file in their places, and makes those again that can be.
pub fn rescue(
    input: Arc<dyn ReadAt>,
    found: &Examination,
    spool: Spool<'_>,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Rescued> {
    let Places { made, data, .. } = Places::find(&input, found, spool, workers, progress)?;
    Ok(Rescued { input, made, data, plan: found.plan })
}

impl ReadAt for Rescued {
    fn len(&self) -> u64 {
        self.plan.body
    }

    fn read_exact_at(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.plan.body) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !buf.is_empty() {
            let (shard, skip) = (offset / self.plan.shard, offset % self.plan.shard);
            let (now, later) = buf.split_at_mut(((self.plan.shard - skip) as usize).min(buf.len()));
            match (self.data[shard as usize], &self.made) {
                (Place::Input(at), _) => self.input.read_exact_at(at + skip, now)?,
                (Place::Made(at), Some(made)) => made.read_exact_at(at + skip, now)?,
                _ => now.fill(0),
            }
            offset += now.len() as u64;
            buf = later;
        }
        Ok(())
    }
}

//! A file whose beginning is damaged or missing: what its footer says of the header is enough to read the rest.

use super::index::{self, HAS_BASE, HAS_COPIES};
use super::{END_MAGIC, FOOTER, HEADER};
use crate::error::{Error, Result};
use crate::io::ReadAt;
use crate::parity::{self, HEAD, Plan};
use std::io;

/// Whether the end is that of an MMH file, whatever the beginning is.
pub fn ends_like_ours(input: &dyn ReadAt) -> bool {
    let last = |n: usize| {
        let mut end = vec![0; n];
        let at = input.len().checked_sub(n as u64)?;
        input.read_exact_at(at, &mut end).ok().map(|()| end)
    };
    last(HEAD).is_some_and(|end| end.starts_with(&parity::MAGIC))
        || last(END_MAGIC.len()).is_some_and(|end| end == END_MAGIC)
}

/// The file as it was: its header made again, zeros where bytes are missing at its beginning, parity left out.
pub struct Recovered<R: ReadAt> {
    input: R,
    header: [u8; HEADER],
    missing: u64,
    len: u64,
}

impl<R: ReadAt> Recovered<R> {
    /// Goes by the footer, whose check says which header was before it.
    pub fn new(input: R) -> Result<Recovered<R>> {
        let end = body_end(&input)?;
        let at =
            end.checked_sub(FOOTER as u64).ok_or_else(|| Error::corrupt_at(end, "there is no footer"))?;
        let mut footer = [0; FOOTER];
        input.read_exact_at(at, &mut footer)?;
        let len = footer[16..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let lost = || Error::corrupt_at(at, "the footer is damaged, too: frames cannot be found");
        // What is claimed has to be earned: no more may be missing than there is.
        let missing = len.checked_sub(end).filter(|missing| *missing <= end).ok_or_else(lost)?;
        let fits = |header: &[u8; HEADER]| index::read_footer(header, &footer, len - FOOTER as u64).is_ok();
        let headers = [0, HAS_COPIES, HAS_BASE, HAS_COPIES | HAS_BASE].map(index::header);
        let header = headers.into_iter().find(fits).ok_or_else(lost)?;
        Ok(Recovered { input, header, missing, len })
    }
}

/// Where the footer ends: parity may follow.
fn body_end(input: &dyn ReadAt) -> Result<u64> {
    let mut trailer = [0; HEAD];
    let at = input.len().saturating_sub(HEAD as u64);
    let n = (input.len() - at) as usize;
    input.read_exact_at(at, &mut trailer[..n])?;
    let section = Plan::read(&trailer).map_or(0, |(plan, _)| plan.section());
    Ok(input.len().saturating_sub(section))
}

impl<R: ReadAt> ReadAt for Recovered<R> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let gone = self.missing.saturating_sub(offset).min(buf.len() as u64) as usize;
        let (before, there) = buf.split_at_mut(gone);
        before.fill(0);
        self.input.read_exact_at((offset + gone as u64).saturating_sub(self.missing), there)?;
        if offset < HEADER as u64 {
            let from = &self.header[offset as usize..];
            let n = from.len().min(buf.len());
            buf[..n].copy_from_slice(&from[..n]);
        }
        Ok(())
    }
}

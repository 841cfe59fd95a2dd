//! The source of an `.mmh`, read at any place as if it were a file.

use super::reader::Archive;
use crate::codec::{self, Scratch};
use crate::error::{Error, Result};
use crate::io::ReadAt;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

/// Bytes of restored blocks that are kept: what is asked for does not begin and end where blocks do.
const KEPT: usize = 32 << 20;

/// The source of an `.mmh`, restored where it is read.
pub struct Restored<R: ReadAt> {
    archive: Archive<R>,
    /// Memory for codecs: what reads a base may be in the middle of decoding itself.
    scratch: Mutex<Vec<Scratch>>,
    kept: Mutex<VecDeque<(usize, Arc<Vec<u8>>)>>,
}

impl<R: ReadAt> Restored<R> {
    /// Nothing is restored yet.
    pub fn new(archive: Archive<R>) -> Restored<R> {
        Restored { archive, scratch: Mutex::default(), kept: Mutex::default() }
    }

    /// What it is restored from.
    pub fn archive(&self) -> &Archive<R> {
        &self.archive
    }

    /// What it was restored from.
    pub fn into_archive(self) -> Archive<R> {
        self.archive
    }

    /// Fills `out` with the bytes of the source from `start` on.
    pub fn read(&self, start: u64, out: &mut [u8]) -> Result<()> {
        let end = start.checked_add(out.len() as u64).filter(|end| *end <= self.archive.index().source_len);
        let end =
            end.ok_or_else(|| Error::Invalid(format!("no {} bytes from byte {start} on", out.len())))?;
        let mut scratch = self.scratch.lock().ok().and_then(|mut s| s.pop()).unwrap_or_default();
        let done = self.read_with(start, end, out, &mut scratch);
        if let Ok(mut s) = self.scratch.lock() {
            s.push(scratch);
        }
        done
    }

    fn read_with(&self, start: u64, end: u64, out: &mut [u8], scratch: &mut Scratch) -> Result<()> {
        for i in self.archive.covering(start, end) {
            let f = self.archive.frames()[i];
            let (from, to) = (f.start.max(start), f.end().min(end));
            let out = &mut out[(from - start) as usize..(to - start) as usize];
            if codec::is_run(f.codec) || to - from == f.raw {
                self.archive.read_frames(from, out, true, scratch)?;
            } else {
                let skip = (from - f.start) as usize;
                out.copy_from_slice(&self.frame(i, scratch)?[skip..skip + out.len()]);
            }
        }
        Ok(())
    }

    /// A whole block, perhaps one that was restored a moment ago.
    fn frame(&self, i: usize, scratch: &mut Scratch) -> Result<Arc<Vec<u8>>> {
        let kept = || self.kept.lock().ok();
        if let Some(found) = kept().and_then(|k| k.iter().find(|f| f.0 == i).map(|f| f.1.clone())) {
            return Ok(found);
        }
        let f = self.archive.frames()[i];
        let mut whole = vec![0; f.raw as usize];
        self.archive.read_frames(f.start, &mut whole, true, scratch)?;
        let whole = Arc::new(whole);
        if let Some(mut kept) = kept() {
            kept.push_back((i, whole.clone()));
            while kept.len() > 1 && kept.iter().map(|f| f.1.len()).sum::<usize>() > KEPT {
                kept.pop_front();
            }
        }
        Ok(whole)
    }
}

impl<R: ReadAt> ReadAt for Restored<R> {
    fn len(&self) -> u64 {
        self.archive.index().source_len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read(offset, buf).map_err(io::Error::other)
    }
}

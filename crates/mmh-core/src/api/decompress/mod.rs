//! From `.mmh`.
//!
//! * `stream`: from a pipe, whose index comes last

mod stream;

use super::attended::Attended;
use super::line::{Lane, Line};
use super::spare::Spare;
use super::target::Output;
use super::{Ask, BATCH_BLOCKS, Content, LOT, Progress, Report, Step, Workers, totals, zeroed};
use crate::base::Base;
use crate::codec::{self, pattern251};
use crate::container::index::Index;
use crate::container::reader::{Archive, Frame};
use crate::error::{Error, Result};
use crate::io::{FileAt, ReadAt};
use crate::limits::Limits;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use stream::from_stream;

/// Bytes that are copied at once: those of some blocks.
const MOST_COPIED: u64 = 8 << 20;

/// How to decompress.
#[derive(Clone, Debug)]
pub struct DecompressOptions {
    /// 0 for as many as the machine has.
    pub threads: usize,
    /// Compare checksums and hashes.
    pub check: bool,
    /// Write over an existing target.
    pub force: bool,
    /// What the file was compressed against; of no account where it was not.
    pub base: Option<PathBuf>,
    /// What is accepted.
    pub limits: Limits,
    /// Asked now and then whether to go on.
    pub ask: Option<Ask>,
}

impl DecompressOptions {
    pub(super) fn base(&self) -> Result<Option<Arc<Base>>> {
        self.base.as_deref().map(|path| Base::open(path).map(Arc::new)).transpose()
    }
}

/// Restores all of a blob's source.
pub fn decompress_bytes(blob: &[u8], threads: usize, check: bool) -> Result<Vec<u8>> {
    let archive = Archive::open(blob)?;
    let workers = Workers::new(threads);
    archive.check_base(&workers)?;
    let mut out = zeroed(archive.index().source_len)?;
    archive.read_range(0, &mut out, &workers, check)?;
    Ok(out)
}

/// Restores all of a blob's source into the front of `out`; gives the number of bytes.
pub fn decompress_into(blob: &[u8], out: &mut [u8], threads: usize, check: bool) -> Result<usize> {
    decompress_into_by(blob, || Ok(None), out, &Workers::new(threads), check)
}

/// The same by these threads, with the base that it was compressed against, which is opened where it is needed.
pub fn decompress_into_by(
    blob: &[u8],
    base: impl FnOnce() -> Result<Option<Arc<Base>>>,
    out: &mut [u8],
    workers: &Workers,
    check: bool,
) -> Result<usize> {
    let mut archive = Archive::open_within(blob, &Limits::default().any_size())?;
    if archive.needs_base().is_some() {
        archive.set_base(base()?)?;
    }
    let len = archive.index().source_len;
    let have = out.len();
    let out = usize::try_from(len)
        .ok()
        .and_then(|n| out.get_mut(..n))
        .ok_or_else(|| Error::Invalid(format!("`out` has {have} bytes, {len} are needed")))?;
    archive.check_base(workers)?;
    archive.read_range(0, out, workers, check)?;
    Ok(out.len())
}

/// Source ranges of about `batch` bytes that end where frames end, so that no block is decoded twice.
pub(super) fn windows<R: ReadAt>(archive: &Archive<R>, batch: u64) -> impl Iterator<Item = (u64, u64)> {
    let frames = archive.frames();
    let len = archive.index().source_len;
    let (mut at, mut i) = (0u64, 0usize);
    std::iter::from_fn(move || {
        if at >= len {
            return None;
        }
        let start = at;
        let mut blocks = 0;
        while let Some(f) = frames.get(i) {
            if f.end() - start > batch || blocks == BATCH_BLOCKS {
                break;
            }
            (at, i, blocks) = (f.end(), i + 1, blocks + 1);
        }
        if at == start {
            at = frames.get(i).map_or(len, |f| f.end().min(start + most_of(f, batch)));
            i += frames.get(i).is_some_and(|f| f.end() == at) as usize;
        }
        Some((start, at))
    })
}

/// Bytes of a frame that is longer than a batch to be taken at once. A run can be cut anywhere and a block nowhere; where a copy is cut, the block
/// that it copies there is decoded twice.
fn most_of(f: &Frame, batch: u64) -> u64 {
    match f.codec {
        pattern251::ID => batch,
        codec::COPY => batch.max(MOST_COPIED),
        _ => f.raw,
    }
}

/// Decompresses a file or standard input (`None`) to a file or standard output (`None`).
pub fn decompress_file(
    source: Option<&Path>,
    target: Option<&Path>,
    options: &DecompressOptions,
    progress: Progress<'_>,
) -> Result<Report> {
    let workers = Workers::watched(options.threads, options.ask.clone());
    match source {
        Some(path) => {
            let file = File::open(path).map_err(|e| Error::io(path, e))?;
            let meta = file.metadata().map_err(|e| Error::io(path, e))?;
            if meta.is_dir() {
                return Err(Error::io(path, std::io::Error::from(std::io::ErrorKind::IsADirectory)));
            }
            if meta.is_file() {
                let input = FileAt::of(file, &meta);
                return from_file(input, Some(path), target, options, &workers, progress);
            }
            from_stream(&mut Attended::new(file, &workers)?, target, options, &workers, progress)
        }
        None => {
            let mut stdin = Attended::new(std::io::stdin(), &workers)?;
            from_stream(&mut stdin, target, options, &workers, progress)
        }
    }
}

fn from_file(
    input: FileAt,
    path: Option<&Path>,
    target: Option<&Path>,
    options: &DecompressOptions,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Report> {
    let place = |p: Option<&Path>, e: Error| match (e, p) {
        (Error::Io { path: None, source }, Some(p)) => Error::io(p, source),
        (e, _) => e,
    };
    let mut archive = Archive::open_within(&input, &options.limits).map_err(|e| place(path, e))?;
    if archive.needs_base().is_some() {
        archive.set_base(options.base()?)?;
        archive.check_base(workers)?;
    }
    let mut output = Output::new(target, options.force, [path, options.base.as_deref()])?;
    if let Output::File(t) = &mut output {
        // A full disk is better met before an hour of work than after it.
        t.reserve(archive.index().source_len).map_err(|e| place(target, e.into()))?;
    }
    let has = archive.index();
    let mut hasher =
        Content::new(options.check && has.blake3.is_some(), options.check && has.sha256.is_some());
    let mut out = output.writer()?;
    let total = has.source_len;
    let (spare, done) = (Spare::default(), AtomicU64::new(0));
    let mut windows = windows(&archive, LOT as u64);
    let restore = |(start, end): (u64, u64)| -> Result<Vec<u8>> {
        let len = (end - start) as usize;
        let mut raw = spare.take(len)?;
        raw.resize(len, 0);
        archive.read_range_here(start, &mut raw, workers, options.check).map_err(|e| place(path, e))?;
        Ok(raw)
    };
    let write: Lane<'_, Vec<u8>> = Box::new(|raw| {
        out.write_all(raw).map_err(|e| place(target, e.into()))?;
        done.fetch_add(raw.len() as u64, Ordering::Relaxed);
        Ok(())
    });
    let mut lanes = vec![write];
    lanes.extend(hasher.lanes());
    Line {
        next: Box::new(|| Ok(windows.next())),
        make: &restore,
        lanes,
        finish: &|raw| {
            spare.give(raw);
            Ok(())
        },
        step: &|| Step {
            done: done.load(Ordering::Relaxed),
            total: Some(total),
            stored: archive.stored_len(),
        },
    }
    .run(workers, progress)?;
    out.flush().map_err(|e| place(target, e.into()))?;
    drop(out);
    check_hash(hasher, archive.index())?;
    // A pipe has neither mode nor time to take over, and the file that it was spooled to is private.
    output.commit(path.is_some().then_some(input.file()))?;
    Ok(report(archive.index(), archive.stored_len()))
}

pub(super) fn check_hash(hasher: Content, index: &Index) -> Result<()> {
    match hasher.differing(index).first() {
        Some(name) => {
            Err(Error::corrupt(format!("the restored bytes do not have the {name} hash of the source")))
        }
        None => Ok(()),
    }
}

pub(super) fn report(index: &Index, stored_bytes: u64) -> Report {
    Report {
        source_bytes: index.source_len,
        stored_bytes,
        format: index.format.name(),
        tensors: index.tensors.len(),
        codecs: totals(&index.frames),
        blake3: index.blake3,
        sha256: index.sha256,
        in_base: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{CompressOptions, compress_bytes};
    use crate::block::Settings;
    use crate::codec::Level;
    use crate::testing::noise;

    #[test]
    fn no_block_is_cut() {
        let settings = Settings { level: Level::new(5).unwrap(), codec: None, verify: false };
        // Noise, zeros, the noise once more, and a block that begins nowhere near the end of a batch.
        let data = [noise(5 << 20, 1), vec![0; 20 << 20], noise(5 << 20, 1), noise(3_000_001, 2)].concat();
        let blob = compress_bytes(&data, None, &CompressOptions::new(settings)).unwrap();
        let archive = Archive::open(blob.as_slice()).unwrap();
        for batch in [1, 300_000, LOT as u64, 16 << 20] {
            let mut at = 0;
            for (start, end) in windows(&archive, batch) {
                assert!(start == at && end > start);
                at = end;
                let cut = archive.frames().iter().find(|f| f.start < end && end < f.end());
                assert!(
                    cut.is_none_or(|f| f.codec == pattern251::ID && end - start == batch),
                    "{start} {end}"
                );
            }
            assert_eq!(at, data.len() as u64);
        }
    }
}

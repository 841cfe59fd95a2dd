//! From `.mmh`.

use super::attended::Attended;
use super::target::Output;
use super::{Ask, BATCH_BLOCKS, Content, Progress, Report, Step, Workers, totals, zeroed};
use crate::base::Base;
use crate::block;
use crate::codec::{self, delta, pattern251};
use crate::container::base::{BaseRecord, RECORD};
use crate::container::frame::{self, Head};
use crate::container::index::{self, FrameRow, Index};
use crate::container::reader::{Archive, with_scratch};
use crate::container::{FOOTER, HEADER};
use crate::error::{Error, Result};
use crate::io::{FileAt, ReadAt};
use crate::limits::Limits;
use crate::parity;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twox_hash::XxHash3_64;

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
    decompress_into_by(blob, out, &Workers::new(threads), check)
}

/// The same by these threads.
pub fn decompress_into_by(blob: &[u8], out: &mut [u8], workers: &Workers, check: bool) -> Result<usize> {
    let archive = Archive::open_within(blob, &Limits::default().any_size())?;
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
            // A run longer than a batch can be cut anywhere, a block (up to 16 MiB) never is.
            at = frames.get(i).map_or(len, |f| f.end().min(start + batch));
            i += frames.get(i).is_some_and(|f| f.end() == at) as usize;
        }
        Some((start, at))
    })
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
    let mut output = Output::new(target, options.force)?;
    if let Output::File(t) = &mut output {
        // A full disk is better met before an hour of work than after it.
        t.reserve(archive.index().source_len).map_err(|e| place(target, e.into()))?;
    }
    let has = archive.index();
    let mut hasher =
        Content::new(options.check && has.blake3.is_some(), options.check && has.sha256.is_some());
    let mut out = output.writer()?;
    let (mut ready, mut spare): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    let total = archive.index().source_len;
    for (start, end) in windows(&archive, workers.short_batch() as u64) {
        let len = (end - start) as usize;
        let mut now = std::mem::take(&mut spare);
        if now.capacity() < len {
            now = zeroed(len as u64)?;
        }
        now.resize(len, 0);
        let (decoded, (written, ())) = workers.join(
            || archive.read_range(start, &mut now, workers, options.check),
            || workers.join(|| out.write_all(&ready), || hasher.update(&ready)),
        );
        written.map_err(|e| place(target, e.into()))?;
        decoded.map_err(|e| place(path, e))?;
        spare = std::mem::replace(&mut ready, now);
        progress(Step { done: end, total: Some(total), stored: archive.stored_len() })?;
    }
    hasher.update(&ready);
    out.write_all(&ready).map_err(|e| place(target, e.into()))?;
    out.flush().map_err(|e| place(target, e.into()))?;
    drop(out);
    check_hash(hasher, archive.index())?;
    // A pipe has neither mode nor time to take over, and the file that it was spooled to is private.
    output.commit(path.is_some().then_some(input.file()))?;
    Ok(report(archive.index(), archive.stored_len()))
}

fn hash_and_write(hasher: &mut Content, out: &mut dyn Write, data: &[u8]) -> Result<()> {
    hasher.update(data);
    Ok(out.write_all(data)?)
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
    }
}

/// A frame as it came from a stream.
struct Incoming {
    head: Head,
    payload: Vec<u8>,
    offset: u64,
}

/// Counts what it reads.
struct Counted<'a> {
    stream: &'a mut dyn Read,
    at: u64,
}

impl Counted<'_> {
    fn exact(&mut self, buf: &mut [u8]) -> Result<()> {
        let n = super::pipeline::fill(self.stream, buf)?;
        self.at += n as u64;
        if n < buf.len() { Err(Error::corrupt_at(self.at, "the stream is cut off")) } else { Ok(()) }
    }
}

fn from_stream(
    stream: &mut dyn Read,
    target: Option<&Path>,
    options: &DecompressOptions,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Report> {
    let mut input = Counted { stream, at: 0 };
    let mut header = [0; HEADER];
    let n = super::pipeline::fill(input.stream, &mut header)?;
    input.at = n as u64;
    let flags = index::read_header(&header[..n])?;
    let record = if flags & index::HAS_BASE != 0 { Some(read_record(&mut input)?) } else { None };
    let base = match &record {
        None => None,
        Some(record) => Some(options.base()?.ok_or_else(|| record.missing())?),
    };
    if let (Some(base), Some(record)) = (&base, &record) {
        base.check(record, workers)?;
    }
    if flags & index::HAS_COPIES != 0 {
        // Copies need what came before: the stream goes to a nameless temporary file.
        let mut spool = tempfile::tempfile()?;
        spool.write_all(&header)?;
        spool.write_all(&record.map(|r| r.to_bytes()).unwrap_or_default())?;
        std::io::copy(input.stream, &mut spool)?;
        return from_file(FileAt::new(spool)?, None, target, options, workers, progress);
    }
    let mut output = Output::new(target, options.force)?;
    let mut out = output.writer()?;
    // Whether there is a SHA-256 is known at the end only; BLAKE3, four times as fast, says the same.
    let mut hasher = Content::new(options.check, false);
    let mut seen: Vec<FrameRow> = Vec::new();
    let mut done = 0u64;
    let sync = loop {
        let (batch, ended) = read_batch(&mut input, workers.batch() as u64)?;
        // What comes later is not known: a stream is held to what has come.
        let raw = batch.iter().fold(done, |n: u64, f| n.saturating_add(f.head.raw));
        options.limits.check_restored(raw, input.at)?;
        for group in batch.chunk_by(|a, b| codec::is_run(a.head.codec) == codec::is_run(b.head.codec)) {
            if codec::is_run(group[0].head.codec) {
                for run in group {
                    write_run(run, options.check, workers, &mut hasher, &mut *out)?;
                }
                continue;
            }
            let decoded = workers.map(group.iter().collect(), |f: &Incoming| -> Result<Vec<u8>> {
                workers.check()?;
                let mut raw = zeroed(f.head.raw)?;
                let base = base.as_deref().map(|b| b as &dyn ReadAt);
                if f.head.codec == delta::ID && base.is_none() {
                    let what = "a delta frame in a file whose header says that it needs no base";
                    return Err(Error::corrupt_at(f.offset, what));
                }
                with_scratch(|s| {
                    let Head { codec, checksum, .. } = f.head;
                    block::decode(codec, &f.payload, checksum, base, &mut raw, options.check, s)
                })
                .map_err(|e| e.at(f.offset))?;
                Ok(raw)
            });
            for raw in decoded {
                hash_and_write(&mut hasher, &mut *out, &raw?)?;
            }
        }
        for f in &batch {
            done += f.head.raw;
            seen.push(FrameRow { codec: f.head.codec, raw: f.head.raw, stored: f.head.stored as u64 });
        }
        progress(Step { done, total: None, stored: input.at })?;
        if let Some(sync) = ended {
            break sync;
        }
    };
    let index = read_end(&mut input, sync, &header, flags, &seen, &options.limits)?;
    out.flush()?;
    drop(out);
    check_hash(hasher, &index)?;
    output.commit(None)?;
    Ok(report(&index, input.at))
}

/// Reads what is said of the base.
fn read_record(input: &mut Counted<'_>) -> Result<BaseRecord> {
    let mut head = [0; RECORD];
    input.exact(&mut head)?;
    let at = |e: Error| e.at(HEADER as u64);
    let mut all = head.to_vec();
    all.resize(RECORD + BaseRecord::name_len(&head).map_err(at)?, 0);
    input.exact(&mut all[RECORD..])?;
    BaseRecord::from_bytes(&all).map_err(at)
}

/// Reads frames of about a batch; the sync of the index, where that is next.
fn read_batch(input: &mut Counted<'_>, most: u64) -> Result<(Vec<Incoming>, Option<[u8; 2]>)> {
    let mut batch = Vec::new();
    let mut size = 0;
    while size < most && batch.len() < BATCH_BLOCKS {
        let offset = input.at;
        let mut head = [0; frame::HEAD];
        input.exact(&mut head[..2])?;
        if head[..2] == index::SYNC || head[..2] == index::PACKED_SYNC {
            return Ok((batch, Some([head[0], head[1]])));
        }
        input.exact(&mut head[2..])?;
        let head = Head::from_bytes(&head).map_err(|e| e.at(offset))?;
        // What a damaged head claims is read piece by piece: memory grows only with what arrives.
        let mut payload = Vec::new();
        let n = input.stream.take(head.stored as u64).read_to_end(&mut payload)?;
        input.at += n as u64;
        if n < head.stored as usize {
            return Err(Error::corrupt_at(input.at, "the stream is cut off"));
        }
        size += if codec::is_run(head.codec) { head.stored as u64 } else { head.raw };
        batch.push(Incoming { head, payload, offset });
    }
    Ok((batch, None))
}

fn write_run(
    run: &Incoming,
    check: bool,
    workers: &Workers,
    hasher: &mut Content,
    out: &mut dyn Write,
) -> Result<()> {
    if run.head.codec == codec::COPY {
        return Err(Error::corrupt_at(run.offset, "a copy frame in a file whose header says there is none"));
    }
    if check {
        block::check_run(&run.payload, run.head.checksum, run.head.raw).map_err(|e| e.at(run.offset))?;
    }
    pattern251::check(&run.payload, run.head.raw).map_err(|e| e.at(run.offset))?;
    let mut piece = vec![0; run.head.raw.min(1 << 20) as usize];
    let mut at = 0;
    while at < run.head.raw {
        workers.check()?;
        let n = (run.head.raw - at).min(piece.len() as u64) as usize;
        pattern251::fill(&run.payload, at, &mut piece[..n]);
        hash_and_write(hasher, out, &piece[..n])?;
        at += n as u64;
    }
    Ok(())
}

/// Reads on to the end of the stream, of which `end` came last; gives its length without parity, which may follow the footer.
fn skip_parity(input: &mut Counted<'_>, end: &[u8]) -> Result<u64> {
    let mut last = end[end.len().saturating_sub(parity::HEAD)..].to_vec();
    let most = input.at.saturating_mul(3).saturating_add(1 << 20);
    let mut piece = vec![0; 1 << 16];
    loop {
        let n = super::pipeline::fill(input.stream, &mut piece)?;
        input.at += n as u64;
        last.extend_from_slice(&piece[..n]);
        last.drain(..last.len().saturating_sub(parity::HEAD));
        if n < piece.len() {
            break;
        }
        if input.at > most {
            return Err(Error::Limit(format!(
                "{} bytes behind the frames and still no end: more than index and parity of such a file have",
                input.at - most / 3
            )));
        }
    }
    last.first_chunk().map_or(Ok(input.at), |trailer| parity::body_before(trailer, input.at))
}

/// Reads index and footer and compares them with the frames that came.
fn read_end(
    input: &mut Counted<'_>,
    sync: [u8; 2],
    header: &[u8; HEADER],
    flags: u16,
    seen: &[FrameRow],
    limits: &Limits,
) -> Result<Index> {
    let at = input.at - sync.len() as u64;
    let mut end = sync.to_vec();
    // An endless stream must not fill the memory.
    let most = limits.index.saturating_add(FOOTER as u64);
    input.stream.take(most).read_to_end(&mut end)?;
    input.at = at + end.len() as u64;
    let body = skip_parity(input, &end)?;
    if body < input.at {
        end.truncate((body.saturating_sub(at)) as usize);
    }
    limits.check_index((end.len() as u64).saturating_sub(FOOTER as u64))?;
    let Some(split) = end.len().checked_sub(FOOTER) else {
        return Err(Error::corrupt_at(input.at, "the stream is cut off"));
    };
    let (bytes, tail) = end.split_at(split);
    let footer = tail.first_chunk::<FOOTER>().ok_or_else(|| Error::corrupt("no footer"))?;
    let (len, hash) = index::read_footer(header, footer, at + split as u64)?;
    if len != bytes.len() as u64 || XxHash3_64::oneshot(bytes) != hash {
        return Err(Error::corrupt_at(at, "the index does not agree with its size or checksum"));
    }
    let index = Index::from_bytes(bytes, at, flags, limits)?;
    if index.frames != seen {
        return Err(Error::corrupt_at(at, "the index does not agree with the frames"));
    }
    Ok(index)
}

//! From a pipe, whose index comes last.

use super::{DecompressOptions, check_hash, from_file, report};
use crate::api::line::{Lane, Line};
use crate::api::pipeline::fill;
use crate::api::spare::Spare;
use crate::api::target::Output;
use crate::api::{BATCH_BLOCKS, Content, LOT, Progress, Report, Step, Workers};
use crate::block;
use crate::codec::{self, Scratch, delta, pattern251};
use crate::container::base::{BaseRecord, RECORD};
use crate::container::frame::{self, Head};
use crate::container::index::{self, FrameRow, Index};
use crate::container::reader::{restore_first, with_scratch};
use crate::container::{FOOTER, HEADER};
use crate::error::{Error, Result};
use crate::io::{FileAt, ReadAt};
use crate::limits::Limits;
use crate::parity;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use twox_hash::XxHash3_64;

/// A frame as it came from a stream.
#[derive(Clone)]
struct Incoming {
    head: Head,
    payload: Vec<u8>,
    offset: u64,
}

/// Counts what it reads.
struct Counted<'a> {
    stream: &'a mut (dyn Read + Send),
    at: u64,
}

impl Counted<'_> {
    fn exact(&mut self, buf: &mut [u8]) -> Result<()> {
        let n = fill(self.stream, buf)?;
        self.at += n as u64;
        if n < buf.len() { Err(Error::corrupt_at(self.at, "the stream is cut off")) } else { Ok(()) }
    }
}

/// Decompresses what comes from a pipe.
pub fn from_stream(
    stream: &mut (dyn Read + Send),
    target: Option<&Path>,
    options: &DecompressOptions,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Report> {
    let mut input = Counted { stream, at: 0 };
    let mut header = [0; HEADER];
    let n = fill(input.stream, &mut header)?;
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
    if flags & (index::HAS_COPIES | index::HAS_RELATIVES) != 0 {
        // Copies need what came before, relatives what may yet come: the stream goes to a nameless temporary file.
        let mut spool = tempfile::tempfile()?;
        spool.write_all(&header)?;
        spool.write_all(&record.map(|r| r.to_bytes()).unwrap_or_default())?;
        std::io::copy(input.stream, &mut spool)?;
        return from_file(FileAt::new(spool)?, None, target, options, workers, progress);
    }
    let mut output = Output::new(target, options.force, [options.base.as_deref()])?;
    let mut out = output.writer()?;
    // Whether there is a SHA-256 is known at the end only; BLAKE3, four times as fast, says the same.
    let mut hasher = Content::new(options.check, false);
    let mut seen: Vec<FrameRow> = Vec::new();
    let (done, at) = (AtomicU64::new(0), AtomicU64::new(0));
    let first = First::default();
    let mut sync = None;
    let mut raw = 0u64;
    let next = || {
        if sync.is_some() {
            return Ok(None);
        }
        let (frames, ended) = read_frames(&mut input)?;
        sync = ended;
        if seen.is_empty()
            && let Some(frame) = frames.first().filter(|f| !codec::is_run(f.head.codec))
        {
            let _ = first.frame.set(frame.clone());
        }
        // What comes later is not known: a stream is held to what has come.
        raw = frames.iter().fold(raw, |n, f| n.saturating_add(f.head.raw));
        options.limits.check_restored(raw, input.at)?;
        let row =
            |f: &Incoming| FrameRow { codec: f.head.codec, raw: f.head.raw, stored: f.head.stored as u64 };
        seen.extend(frames.iter().map(row));
        at.store(input.at, Ordering::Relaxed);
        Ok((!frames.is_empty()).then_some(frames))
    };
    let base = base.as_deref().map(|b| b as &dyn ReadAt);
    let spare = Spare::default();
    let restore = |frames: Vec<Incoming>| -> Result<Vec<Restored>> {
        let restored =
            |f| workers.check().and_then(|()| Restored::of(f, base, &first, options.check, &spare));
        frames.into_iter().map(restored).collect()
    };
    let finish = |lot: Vec<Restored>| {
        for restored in lot {
            if let Restored::Block(raw) = restored {
                spare.give(raw);
            }
        }
        Ok(())
    };
    let write: Lane<'_, Vec<Restored>> = Box::new(|lot| {
        for restored in lot {
            restored.pieces(workers, |piece| Ok(out.write_all(piece)?))?;
            done.fetch_add(restored.len(), Ordering::Relaxed);
        }
        Ok(())
    });
    let mut lanes = vec![write];
    if options.check {
        lanes.push(Box::new(|lot: &Vec<Restored>| {
            for restored in lot {
                restored.pieces(workers, |piece| {
                    hasher.update(piece);
                    Ok(())
                })?;
            }
            Ok(())
        }));
    }
    Line {
        next: Box::new(next),
        make: &restore,
        lanes,
        finish: &finish,
        step: &|| Step {
            done: done.load(Ordering::Relaxed),
            total: None,
            stored: at.load(Ordering::Relaxed),
        },
    }
    .run(workers, progress)?;
    let sync = sync.ok_or_else(|| Error::corrupt("no end"))?;
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

/// Reads frames that restore about a lot; the sync of the index, where that is next.
fn read_frames(input: &mut Counted<'_>) -> Result<(Vec<Incoming>, Option<[u8; 2]>)> {
    let mut frames = Vec::new();
    let mut size = 0;
    while size < LOT as u64 && frames.len() < BATCH_BLOCKS {
        let offset = input.at;
        let mut head = [0; frame::HEAD];
        input.exact(&mut head[..2])?;
        if head[..2] == index::SYNC || head[..2] == index::PACKED_SYNC {
            return Ok((frames, Some([head[0], head[1]])));
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
        frames.push(Incoming { head, payload, offset });
    }
    Ok((frames, None))
}

/// The first frame, which others may go on from.
#[derive(Default)]
struct First {
    frame: OnceLock<Incoming>,
    prefix: OnceLock<Vec<u8>>,
}

impl First {
    fn prefix(&self, scratch: &mut Scratch) -> Result<&Vec<u8>> {
        if let Some(prefix) = self.prefix.get() {
            return Ok(prefix);
        }
        let frame = self.frame.get().ok_or_else(|| Error::corrupt("the first frame is no block"))?;
        let prefix = restore_first(&frame.head, &frame.payload, scratch)?;
        Ok(self.prefix.get_or_init(|| prefix))
    }
}

/// What a frame restores.
enum Restored {
    Block(Vec<u8>),
    /// A run is of any length.
    Run(Incoming),
}

impl Restored {
    fn of(
        f: Incoming,
        base: Option<&dyn ReadAt>,
        first: &First,
        check: bool,
        spare: &Spare,
    ) -> Result<Restored> {
        let Head { codec, checksum, raw: len, .. } = f.head;
        let corrupt = |what| Err(Error::corrupt_at(f.offset, what));
        if codec == codec::COPY {
            return corrupt("a copy frame in a file whose header says there is none");
        }
        if codec::is_run(codec) {
            if check {
                block::check_run(&f.payload, checksum, len).map_err(|e| e.at(f.offset))?;
            }
            pattern251::check(&f.payload, len).map_err(|e| e.at(f.offset))?;
            return Ok(Restored::Run(f));
        }
        if codec == delta::RELATIVE {
            return corrupt("a relative frame in a file whose header says there is none");
        }
        if codec == delta::ID && base.is_none() {
            return corrupt("a delta frame in a file whose header says that it needs no base");
        }
        let len = usize::try_from(len).map_err(|_| Error::Limit(format!("a block of {len} bytes")))?;
        let mut raw = spare.take(len)?;
        raw.resize(len, 0);
        let decode = |s: &mut Scratch| {
            let prefix = if codec == codec::PREFIX { Some(first.prefix(s)?) } else { None };
            let base = prefix.map(|p| p as &dyn ReadAt).or(base);
            block::decode(codec, &f.payload, checksum, base, &mut raw, check, s)
        };
        with_scratch(decode).map_err(|e| e.at(f.offset))?;
        Ok(Restored::Block(raw))
    }

    fn len(&self) -> u64 {
        match self {
            Restored::Block(raw) => raw.len() as u64,
            Restored::Run(f) => f.head.raw,
        }
    }

    /// Its bytes in order.
    fn pieces(&self, workers: &Workers, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let run = match self {
            Restored::Block(raw) => return take(raw),
            Restored::Run(run) => run,
        };
        let mut piece = vec![0; run.head.raw.min(1 << 20) as usize];
        let mut at = 0;
        while at < run.head.raw {
            workers.check()?;
            let n = (run.head.raw - at).min(piece.len() as u64) as usize;
            pattern251::fill(&run.payload, at, &mut piece[..n]);
            take(&piece[..n])?;
            at += n as u64;
        }
        Ok(())
    }
}

/// Reads on to the end of the stream, of which `end` came last; gives its length without parity, which may follow the footer.
fn skip_parity(input: &mut Counted<'_>, end: &[u8]) -> Result<u64> {
    let mut last = end[end.len().saturating_sub(parity::HEAD)..].to_vec();
    let most = input.at.saturating_mul(3).saturating_add(1 << 20);
    let mut piece = vec![0; 1 << 16];
    loop {
        let n = fill(input.stream, &mut piece)?;
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

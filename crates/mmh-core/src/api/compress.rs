//! To `.mmh`.

use super::attended::Attended;
use super::pipeline::{self, Feed, Work};
use super::target::Output;
use super::twins::SHORTEST_COPY;
use super::{Ask, Progress, Report, Step, Workers, allowance, totals};
use crate::base::Base;
use crate::block::{self, Segment, Settings};
use crate::codec::{Codec, Origin, delta};
use crate::container::base::BaseRecord;
use crate::container::index::{MAX_NAME, TensorRow, is_file_name};
use crate::container::room::Room;
use crate::container::writer::{Facts, Target, Writer, amend};
use crate::counterparts::Counterparts;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::io::{FileAt, FileInMemory, ReadAt};
use crate::source::{self, Input, Layout, Tensor};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::Arc;

/// How to compress.
#[derive(Clone)]
pub struct CompressOptions {
    /// Codec, level, self-check.
    pub settings: Settings,
    /// 0 for as many as the machine has.
    pub threads: usize,
    /// BLAKE3 of the source and of its tensors.
    pub blake3: bool,
    /// SHA-256 of the source.
    pub sha256: bool,
    /// Write over an existing target.
    pub force: bool,
    /// The source's name, for streams and arrays.
    pub name: Option<String>,
    /// What to store differences from.
    pub base: Option<Arc<Base>>,
    /// No tensor is stored as a difference from another one of the source.
    pub independent: bool,
    /// Asked now and then whether to go on, where a file is compressed.
    pub ask: Option<Ask>,
    /// Parity of so many percent, 1 to 100, behind a file.
    pub parity: Option<u32>,
}

impl CompressOptions {
    /// With these settings, all threads, and neither hashes nor a name.
    pub fn new(settings: Settings) -> CompressOptions {
        CompressOptions {
            settings,
            threads: 0,
            blake3: false,
            sha256: false,
            force: false,
            name: None,
            base: None,
            independent: false,
            ask: None,
            parity: None,
        }
    }

    fn work<'a>(
        &'a self,
        segments: &'a [Segment],
        copies: &'a HashMap<usize, u64>,
        counterparts: &'a Counterparts<'a>,
        total: Option<u64>,
    ) -> Work<'a> {
        let &CompressOptions { settings, blake3, sha256, .. } = self;
        Work { segments, copies, counterparts, settings, blake3, sha256, total }
    }

    /// The file that the base is.
    pub(super) fn base_place(&self) -> Option<&Path> {
        self.base.as_deref().and_then(Base::place)
    }

    /// Refuses what makes no sense.
    fn check(&self) -> Result<()> {
        match self.settings.codec {
            Some(c) if c.id() == delta::ID && self.base.is_none() => {
                Err(Error::Invalid("codec delta stores differences from a base: name one".into()))
            }
            _ => Ok(()),
        }
    }
}

/// What is said of the base, if anything has a counterpart there.
fn record_of(counterparts: &Counterparts<'_>, workers: &Workers) -> Result<Option<BaseRecord>> {
    counterparts.base().map(|base| base.record(workers)).transpose()
}

/// First bytes of a stream that readers see.
const HEAD: usize = 8 << 20;

/// Sources up to this size are compressed in memory, and in more ways than one.
const SMALL: u64 = 1 << 20;

/// An index without names has to make the whole smaller by one part in so many.
const NAMES_ARE_WORTH: u64 = 256;

/// Compresses bytes (of a file, say: readers look for its tensors), or an array of the given dtype and shape.
#[inline(never)]
pub fn compress_bytes(
    data: &[u8],
    array: Option<(Dtype, Vec<u64>)>,
    options: &CompressOptions,
) -> Result<Vec<u8>> {
    compress_bytes_by(data, array, options, &Workers::new(options.threads))
}

/// The same by these threads.
pub fn compress_bytes_by(
    data: &[u8],
    array: Option<(Dtype, Vec<u64>)>,
    options: &CompressOptions,
    workers: &Workers,
) -> Result<Vec<u8>> {
    options.check()?;
    let mut quiet = |_: Step| Ok(());
    match array {
        None => {
            let layout = source::find(Input { bytes: &data, complete: true });
            Ok(smallest(&data, layout, options, workers, &mut quiet)?.0)
        }
        Some((dtype, shape)) => {
            let layout = Layout::of_array(data.len() as u64, dtype, shape)?;
            Ok(compress_at(&data, layout, Vec::new(), options, workers, &mut quiet)?.0)
        }
    }
}

/// The same into memory of the caller's, and gives how many bytes were written; `None` if there is too little room. That saves a copy: what
/// was made of a block is still in the cache when it is written, and every thread writes what it has made.
pub fn compress_into(
    data: &[u8],
    array: Option<(Dtype, Vec<u64>)>,
    options: &CompressOptions,
    workers: &Workers,
    room: &mut [MaybeUninit<u8>],
) -> Result<Option<usize>> {
    options.check()?;
    let is_file = array.is_none();
    let layout = match array {
        Some((dtype, shape)) => Layout::of_array(data.len() as u64, dtype, shape)?,
        None if data.len() as u64 <= SMALL => {
            let blob = compress_bytes_by(data, None, options, workers)?;
            return Ok(Room::new(room).write_all(&blob).ok().map(|()| blob.len()));
        }
        None => source::find(Input { bytes: &data, complete: true }),
    };
    let mut attempt =
        |layout| match compress_at(&data, layout, Room::new(room), options, workers, &mut |_| Ok(())) {
            Ok((_, report)) => Ok(Some(report.stored_bytes as usize)),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::WriteZero => Ok(None),
            Err(e) => Err(e),
        };
    match attempt(layout)? {
        None if is_file => attempt(bare(&data)),
        done => Ok(done),
    }
}

/// Bytes that the `.mmh` of so many bytes takes at most.
pub fn room_for(len: usize) -> usize {
    allowance(len as u64).try_into().unwrap_or(usize::MAX)
}

/// Compresses what can be read at any offset.
pub(super) fn compress_at<W: Target>(
    source: &dyn ReadAt,
    layout: Layout,
    out: W,
    options: &CompressOptions,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<(W, Report)> {
    let len = source.len();
    let segments = block::segments(&layout, Some(len));
    let copies = find_copies(source, &segments, workers)?;
    let base = options.base.as_deref();
    let is_copy = |i: usize| copies.contains_key(&i);
    let has_no_relatives = |codec: &dyn Codec| codec.id() != delta::RELATIVE;
    let counterparts = if options.independent || options.settings.codec.is_some_and(has_no_relatives) {
        Counterparts::in_base(base, Some(source), &layout, &segments)?
    } else {
        Counterparts::of(base, source, &layout, &segments, is_copy, workers)?
    };
    let record = record_of(&counterparts, workers)?;
    let flags = Writer::<W>::flags(!copies.is_empty(), counterparts.any(Origin::Source));
    let mut writer = Writer::new(out, flags, record.as_ref())?;
    let work = options.work(&segments, &copies, &counterparts, Some(len));
    let seen = pipeline::run(&work, Feed::At(source), &mut writer, workers, progress)?;
    // Equal tensors, hashes and blocks were read one after the other: of a file that is written to meanwhile they do not fit together.
    source.check_unchanged()?;
    finish(writer, layout, seen, options)
}

fn finish<W: Target>(
    writer: Writer<W>,
    layout: Layout,
    seen: pipeline::Seen,
    options: &CompressOptions,
) -> Result<(W, Report)> {
    if let Some(base) = &options.base {
        base.check_unchanged()?;
    }
    let in_base = options.base.as_ref().map(|base| base.matched(&layout));
    let empty = *blake3::hash(&[]).as_bytes();
    let hash = |i: usize| seen.blake3.map(|_| seen.tensors.get(&i).copied().unwrap_or(empty));
    let tensors: Vec<TensorRow> = layout
        .tensors
        .into_iter()
        .enumerate()
        // Of a stream that ended early, only the tensors that came whole.
        .filter(|(_, t)| t.end() <= seen.len)
        .map(|(i, tensor)| TensorRow { blake3: hash(i), tensor })
        .collect();
    let count = tensors.len();
    let name = options.name.clone().filter(|n| is_file_name(n) && n.len() <= MAX_NAME).unwrap_or_default();
    let facts = Facts { blake3: seen.blake3, sha256: seen.sha256, format: layout.format, name, tensors };
    let (out, stored_bytes, frames) = writer.finish(facts)?;
    let report = Report {
        source_bytes: seen.len,
        stored_bytes,
        format: layout.format.name(),
        tensors: count,
        codecs: totals(&frames),
        blake3: seen.blake3,
        sha256: seen.sha256,
        in_base,
    };
    Ok((out, report))
}

/// Segments that equal an earlier one: those of the same length whose samples agree are compared in full.
fn find_copies(source: &dyn ReadAt, segments: &[Segment], workers: &Workers) -> Result<HashMap<usize, u64>> {
    let mut lengths: HashMap<u64, u32> = HashMap::new();
    let eligible = |s: &&Segment| s.tensor.is_some() && s.len >= SHORTEST_COPY;
    segments.iter().filter(eligible).for_each(|s| *lengths.entry(s.len).or_default() += 1);
    let mut firsts: HashMap<(u64, [u8; 32]), Vec<u64>> = HashMap::new();
    let mut copies = HashMap::new();
    for (i, s) in segments.iter().enumerate() {
        if s.tensor.is_none() || lengths.get(&s.len).is_none_or(|n| *n < 2) {
            continue;
        }
        let candidates = firsts.entry((s.len, sample(source, s)?)).or_default();
        match candidates.iter().find_map(|&from| {
            equal(source, from, s.start, s.len, workers).map(|e| e.then_some(from)).transpose()
        }) {
            Some(from) => {
                copies.insert(i, from?);
            }
            None => candidates.push(s.start),
        }
    }
    Ok(copies)
}

/// A hash of pieces of the segment's start, middle and end.
fn sample(source: &dyn ReadAt, s: &Segment) -> Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = [0u8; 1024];
    let n = s.len.min(1024);
    for at in [0, (s.len - n) / 2, s.len - n] {
        source.read_exact_at(s.start + at, &mut piece[..n as usize])?;
        hasher.update(&piece[..n as usize]);
    }
    Ok(*hasher.finalize().as_bytes())
}

fn equal(source: &dyn ReadAt, a: u64, b: u64, len: u64, workers: &Workers) -> Result<bool> {
    let mut pieces = (vec![0; 1 << 18], vec![0; 1 << 18]);
    let mut at = 0;
    while at < len {
        workers.check()?;
        let n = (len - at).min(1 << 18) as usize;
        source.read_exact_at(a + at, &mut pieces.0[..n])?;
        source.read_exact_at(b + at, &mut pieces.1[..n])?;
        if pieces.0[..n] != pieces.1[..n] {
            return Ok(false);
        }
        at += n as u64;
    }
    Ok(true)
}

/// Compresses a file or standard input (`None`) to a file or standard output (`None`).
pub fn compress_file(
    source: Option<&Path>,
    target: Option<&Path>,
    options: &CompressOptions,
    progress: Progress<'_>,
) -> Result<Report> {
    options.check()?;
    if options.parity.is_some() && target.is_none() {
        return Err(Error::Invalid(
            "parity is made of what has been written: it needs a file as its target, not a pipe (-o FILE)"
                .into(),
        ));
    }
    let workers = Workers::watched(options.threads, options.ask.clone());
    match source {
        Some(path) => {
            let file = File::open(path).map_err(|e| Error::io(path, e))?;
            if file.metadata().map_err(|e| Error::io(path, e))?.is_dir() {
                return Err(Error::io(path, std::io::Error::from(ErrorKind::IsADirectory)));
            }
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            let options = CompressOptions { name: name.or(options.name.clone()), ..options.clone() };
            match whole(file) {
                Ok(input) => from_file(input, Some(path), target, &options, &workers, progress),
                Err(pipe) => {
                    from_stream(&mut Attended::new(pipe, &workers)?, target, &options, &workers, progress)
                }
            }
        }
        None => match stdin_file() {
            Some(input) => from_file(input, None, target, options, &workers, progress),
            None => {
                let mut stdin = Attended::new(std::io::stdin(), &workers)?;
                from_stream(&mut stdin, target, options, &workers, progress)
            }
        },
    }
}

/// A regular file can be read at any offset; a pipe or a device cannot.
fn whole(file: File) -> std::result::Result<FileAt, File> {
    match file.metadata() {
        Ok(m) if m.is_file() => Ok(FileAt::of(file, &m)),
        _ => Err(file),
    }
}

/// Standard input, if it was redirected from a file and nothing of it has been read.
#[cfg(unix)]
fn stdin_file() -> Option<FileAt> {
    use std::os::fd::AsFd;
    let mut file = File::from(std::io::stdin().as_fd().try_clone_to_owned().ok()?);
    (file.stream_position().ok()? == 0).then(|| whole(file).ok()).flatten()
}

#[cfg(not(unix))]
fn stdin_file() -> Option<FileAt> {
    None
}

fn with_path(path: Option<&Path>) -> impl Fn(Error) -> Error + '_ {
    move |e| match (e, path) {
        (Error::Io { path: None, source }, Some(p)) => Error::io(p, source),
        (e, _) => e,
    }
}

fn from_file(
    input: FileAt,
    path: Option<&Path>,
    target: Option<&Path>,
    options: &CompressOptions,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Report> {
    // What is refused anyway is not read.
    let output = Output::new(target, options.force, [path, options.base_place()])?;
    if input.len() > SMALL {
        let layout = source::find(Input { bytes: &input, complete: true });
        let like = Some(input.file());
        return compress_source(&input, layout, (path, like), (target, output), options, workers, progress);
    }
    let input = FileInMemory::new(input).map_err(|e| with_path(path)(e.into()))?;
    let layout = source::find(Input { bytes: &input, complete: true });
    let like = Some(input.file());
    compress_source(&input, layout, (path, like), (target, output), options, workers, progress)
}

/// Compresses what can be read at any offset to an output. Of the source, its path and the file whose mode and time are taken over; of the
/// target, its path.
pub(super) fn compress_source(
    input: &dyn ReadAt,
    layout: Layout,
    (path, like): (Option<&Path>, Option<&File>),
    (target, mut output): (Option<&Path>, Output),
    options: &CompressOptions,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Report> {
    let at_source = with_path(path);
    let at_target = with_path(target);
    let allowed = allowance(input.len());
    if let Output::Stdout = output {
        // What went into a pipe cannot be taken back: small sources are compressed in memory first, and the tensors of large ones
        // whose index would weigh too much have no names.
        if input.len() <= HEAD as u64 {
            let (blob, report) = smallest(input, layout, options, workers, progress)?;
            write_whole(&blob, &mut output).map_err(&at_target)?;
            output.commit(None)?;
            return Ok(report);
        }
        let layout = layout.within(input.len());
        let report = compress_at(input, layout, output.writer()?, options, workers, progress)
            .map(|(_, r)| r)
            .map_err(at_target)?;
        output.commit(None)?;
        return Ok(report);
    }
    if input.len() <= SMALL {
        let (blob, report) = smallest(input, layout, options, workers, progress)
            .map_err(|e| of_target(e, &at_source, &at_target))?;
        write_whole(&blob, &mut output).map_err(&at_target)?;
        return ended(output, like, report, options, workers, progress).map_err(at_target);
    }
    let Output::File(file) = &mut output else { return Err(Error::Invalid("no target".into())) };
    let out = TargetWriter(file.writer());
    let (_, mut report) = compress_at(input, layout, out, options, workers, progress)
        .map_err(|e| of_target(e, &at_source, &at_target))?;
    if report.stored_bytes > allowed && report.tensors > 0 {
        let again = file.file();
        again.set_len(0).and_then(|()| again.rewind()).map_err(|e| at_target(e.into()))?;
        let out = TargetWriter(file.writer());
        (_, report) = compress_at(input, bare(input), out, options, workers, progress)
            .map_err(|e| of_target(e, &at_source, &at_target))?;
    }
    ended(output, like, report, options, workers, progress).map_err(at_target)
}

/// Adds parity, where it is asked for, and gives the file its name.
fn ended(
    mut output: Output,
    like: Option<&File>,
    mut report: Report,
    options: &CompressOptions,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Report> {
    if let (Output::File(file), Some(percent)) = (&mut output, options.parity) {
        let stored = report.stored_bytes;
        let mut step = |s| progress(Step { stored, ..s });
        report.stored_bytes = super::protect::append(file, percent, workers, &mut step)?.file();
    }
    output.commit(like)?;
    Ok(report)
}

/// The format without the tensors: for files so small or so noisy that an index of them would cost more than is allowed. Their tensors are
/// found again in the restored bytes.
fn bare(input: &dyn ReadAt) -> Layout {
    let format = source::find(Input { bytes: input, complete: true }).format;
    Layout::of(format, Vec::new())
}

fn smallest(
    input: &dyn ReadAt,
    layout: Layout,
    options: &CompressOptions,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<(Vec<u8>, Report)> {
    let others =
        if input.len() <= SMALL && options.base.is_none() { layout.without_names() } else { Vec::new() };
    let (mut blob, mut report) = compress_at(input, layout, Vec::new(), options, workers, progress)?;
    let named = report.stored_bytes;
    for other in others {
        let (smaller, of_it) = compress_at(input, other, Vec::new(), options, workers, progress)?;
        if of_it.stored_bytes < report.stored_bytes && of_it.stored_bytes + named / NAMES_ARE_WORTH < named {
            (blob, report) = (smaller, of_it);
        }
    }
    if report.stored_bytes <= allowance(input.len()) || report.tensors == 0 {
        return Ok((blob, report));
    }
    compress_at(input, bare(input), Vec::new(), options, workers, progress)
}

fn write_whole(blob: &[u8], output: &mut Output) -> Result<()> {
    let mut out = output.writer()?;
    out.write_all(blob)?;
    Ok(out.flush()?)
}

/// Marks errors of writing, so that the message names the target and not the source.
struct TargetWriter<W: Write>(W);

impl<W: Write + Seek + Send> Target for TargetWriter<W> {
    type Place = Infallible;
    const AMENDS: bool = true;

    fn amend(&mut self, start: &[u8]) -> std::io::Result<()> {
        amend(self, start)
    }
}

#[derive(Debug)]
struct OfTarget(std::io::Error);

impl std::fmt::Display for OfTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for OfTarget {}

impl<W: Write + Seek> Seek for TargetWriter<W> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to).map_err(|e| std::io::Error::new(e.kind(), OfTarget(e)))
    }
}

impl<W: Write> Write for TargetWriter<W> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.write(buf).map_err(|e| std::io::Error::new(e.kind(), OfTarget(e)))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush().map_err(|e| std::io::Error::new(e.kind(), OfTarget(e)))
    }
}

fn of_target(e: Error, at_source: &dyn Fn(Error) -> Error, at_target: &dyn Fn(Error) -> Error) -> Error {
    match e {
        Error::Io { path: None, source } => match source.downcast::<OfTarget>() {
            Ok(inner) => at_target(inner.0.into()),
            Err(source) => at_source(source.into()),
        },
        e => e,
    }
}

fn from_stream(
    stream: &mut (dyn Read + Send),
    target: Option<&Path>,
    options: &CompressOptions,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Report> {
    let at_target = with_path(target);
    let mut head = vec![0; HEAD];
    let n = pipeline::fill(stream, &mut head)?;
    head.truncate(n);
    let mut output = Output::new(target, options.force, [options.base_place()])?;
    if n < HEAD {
        // All of it is here.
        let layout = source::find(Input { bytes: &head, complete: true });
        let (blob, report) = smallest(&head, layout, options, workers, progress)?;
        write_whole(&blob, &mut output).map_err(&at_target)?;
        return ended(output, None, report, options, workers, progress).map_err(at_target);
    }
    let layout = source::find(Input { bytes: &head, complete: false });
    let end = layout.tensors.last().map_or(0, Tensor::end);
    let layout = layout.within(end);
    let segments = block::segments(&layout, None);
    let copies = HashMap::new();
    let counterparts = Counterparts::in_base(options.base.as_deref(), None, &layout, &segments)?;
    let record = record_of(&counterparts, workers)?;
    let work = options.work(&segments, &copies, &counterparts, None);
    let mut out = output.writer()?;
    let feed = Feed::Stream(std::io::Cursor::new(head).chain(stream));
    let mut writer = Writer::new(&mut out, 0, record.as_ref()).map_err(&at_target)?;
    let seen = pipeline::run(&work, feed, &mut writer, workers, progress).map_err(&at_target)?;
    let (_, report) = finish(writer, layout, seen, options).map_err(&at_target)?;
    drop(out);
    ended(output, None, report, options, workers, progress).map_err(at_target)
}

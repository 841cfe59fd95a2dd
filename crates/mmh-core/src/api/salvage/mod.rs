//! What can be saved of a damaged file, with its index or without.
//!
//! * with an index that is sound, wherever it stands: `locate` looks for the frames that are not in their places
//! * without: frames in order are the source in order, whose own header names the tensors; `place` tells where frames behind a hole belong
//!
//! A tensor gets its name only if every byte before it is accounted for, or its place is proved, or the index has its hash.

mod locate;
mod place;

use super::{BATCH_BLOCKS, Progress, Workers, verify, zeroed};
use crate::base::Base;
use crate::codec::{self, delta};
use crate::container::base::{BaseRecord, RECORD};
use crate::container::ending::{self, Ending};
use crate::container::frame::{self, Head};
use crate::container::index::{self, FrameRow, Index, TensorRow};
use crate::container::reader::{Archive, Frame, LOST, read_record, with_scratch};
use crate::container::restored::Restored;
use crate::container::scan::{Scan, Stretch, scan};
use crate::container::{HEADER, MAGIC};
use crate::error::{Error, Result};
use crate::io::{FileAt, ReadAt};
use crate::limits::Limits;
use crate::parity;
use crate::source::{self, Format, Input, Layout};
use place::Gap;
use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// What is read by several at once.
pub type Shared = Arc<dyn ReadAt>;

/// Restores stretches, one behind the other, and where each is among what it restores.
pub type Loose = (Archive<Shared>, Vec<Range<u64>>);

/// Frames of which references into what is known may be made up, for each frame that there is.
const REFERENCES: usize = 4;

/// What was saved.
pub struct Salvaged {
    /// Restores what has a place in the source. Its index has the tensors that are whole, and no others.
    pub archive: Archive<Shared>,
    /// The names of the other tensors that are known of.
    pub lost: Vec<String>,
    /// Bytes of the source that can be restored.
    pub ranges: Vec<Range<u64>>,
    /// Restores what is sound but whose place is not known, if there is such: one stretch behind the other, and where each is.
    pub loose: Option<Loose>,
    /// Whether the index was found: then all tensors are known of.
    pub indexed: bool,
    /// Bytes of the source, as far as that is known.
    pub source_len: Option<u64>,
    /// Bytes of the file that are in no sound frame and in no index, where the index did not say which frames they are.
    pub damaged: Vec<Range<u64>>,
    /// There were so many false frames that the rest was not looked at.
    pub gave_up: bool,
}

/// Finds all that is sound in a file. What its parity can still mend is mended; shards wait in a file without a name in `folder`. An error if
/// nothing of a `.mmh` is in it.
pub fn salvage_file(
    path: &Path,
    folder: &Path,
    base: Option<Arc<Base>>,
    limits: &Limits,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Salvaged> {
    let named = |e| match e {
        Error::Io { path: None, source } => Error::io(path, source),
        e => e,
    };
    let io = |e| Error::io(path, e);
    let file = File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.is_dir() {
        return Err(io(std::io::ErrorKind::IsADirectory.into()));
    }
    let input: Shared = Arc::new(FileAt::new(file).map_err(io)?);
    let input = rescued(input, &|| tempfile::tempfile_in(folder), workers, progress).map_err(named)?;
    salvage(input, base, limits, workers, progress).map_err(named)
}

/// The body of a protected file as far as its parity can mend it; any other file as it is.
fn rescued(
    input: Shared,
    spool: parity::Spool<'_>,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Shared> {
    if Archive::open_within(input.clone(), &Limits::NONE).is_ok_and(|a| !matches!(a.parity(), Ok(Some(_)))) {
        return Ok(input);
    }
    let found = match parity::examine(&input, workers, progress) {
        Ok(Some(found)) if !found.is_sound() => found,
        // Without its tables parity is of no use, and the file is what it is.
        Ok(_) | Err(Error::Corrupt { .. }) => return Ok(input),
        Err(e) => return Err(e),
    };
    Ok(Arc::new(parity::rescue(input, &found, spool, workers, progress)?))
}

/// The same of bytes that have no parity.
pub fn salvage(
    input: Shared,
    base: Option<Arc<Base>>,
    limits: &Limits,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Salvaged> {
    let what_is_wrong = match Archive::open_within(input.clone(), limits) {
        Ok(mut archive) => {
            archive.set_base(base)?;
            return in_place(archive, limits, workers, progress);
        }
        Err(e @ (Error::Io { .. } | Error::Limit(_) | Error::Unsupported(_))) => return Err(e),
        Err(e) => e,
    };
    let begin = Beginning::of(&input)?;
    if let (Some(base), Some(record)) = (&base, &begin.record) {
        base.check(record, workers)?;
    }
    let lent = base.as_deref().map(|b| b as &dyn ReadAt);
    let scanned = scan(&input, begin.frames, lent, limits, workers, progress)?;
    if scanned.needs_base {
        return Err(begin.record.map_or_else(needs_base, |record| record.missing()));
    }
    if scanned.stretches.is_empty() {
        return Err(what_is_wrong);
    }
    let gaps = scanned.gaps(0, input.len());
    if let Some(ending) = ending::find(&input, &gaps, limits, workers)?
        && let Some(archive) = by_index(&input, ending, &begin, &scanned, base.clone(), limits)?
    {
        let damage = verify(&archive, workers, progress)?;
        return finish(archive, damage.damaged, scanned.gave_up);
    }
    by_order(input, begin, scanned, base, limits, workers)
}

fn needs_base() -> Error {
    Error::Invalid(
        "some blocks are differences from a base, which is needed (--base FILE, base= in Python)".into(),
    )
}

/// What stands before the frames.
struct Beginning {
    /// Byte at which they begin, or may begin.
    frames: u64,
    /// Header and all are sound.
    sure: bool,
    record: Option<BaseRecord>,
}

impl Beginning {
    fn of(input: &Shared) -> Result<Beginning> {
        let mut header = [0; HEADER];
        let n = input.len().min(HEADER as u64) as usize;
        input.read_exact_at(0, &mut header[..n])?;
        let flags = index::read_header(&header[..n]);
        let after = HEADER as u64;
        let record = match flags {
            Ok(flags) if flags & index::HAS_BASE == 0 => None,
            _ => read_record(input, after).ok(),
        };
        if let Some(record) = record {
            let frames = after + (RECORD + record.name.len()) as u64;
            return Ok(Beginning { frames, sure: flags.is_ok(), record: Some(record) });
        }
        let mut head = [0; frame::HEAD];
        let fits = input.len() >= after + frame::HEAD as u64;
        let is_frame = fits && {
            input.read_exact_at(after, &mut head)?;
            Head::from_bytes(&head).is_ok()
        };
        // Frames may begin anywhere if what was before them is gone.
        let frames = if is_frame || header.starts_with(&MAGIC) { after } else { 0 };
        let sure = flags.is_ok_and(|flags| flags & index::HAS_BASE == 0);
        Ok(Beginning { frames, sure, record: None })
    }
}

/// A file that can be opened: only frames may be damaged, or somewhere else.
fn in_place(
    archive: Archive<Shared>,
    limits: &Limits,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Salvaged> {
    let damage = verify(&archive, workers, progress)?.damaged;
    let hurt: HashSet<usize> = damage.iter().filter_map(|d| d.frame).collect();
    if hurt.is_empty() {
        return finish(archive, damage, false);
    }
    let first = archive.frames().first().map_or(0, |f| f.offset);
    let lent = archive.base().map(|b| &**b as &dyn ReadAt);
    let scanned = scan(archive.input(), first, lent, limits, workers, progress)?;
    let mut frames = archive.frames().to_vec();
    let index = archive.index().clone();
    let places = locate::places(&index.frames, first, &scanned, &[0]);
    let mut moved = false;
    for i in hurt {
        if places[i] != LOST && places[i] != frames[i].offset {
            (frames[i].offset, moved) = (places[i], true);
        }
    }
    let archive = archive.with(index, frames);
    let damage = if moved { verify(&archive, workers, progress)?.damaged } else { damage };
    finish(archive, damage, scanned.gave_up)
}

/// The file by an index that was found, if that is the index of these frames.
fn by_index(
    input: &Shared,
    ending: Ending,
    begin: &Beginning,
    scanned: &Scan,
    base: Option<Arc<Base>>,
    limits: &Limits,
) -> Result<Option<Archive<Shared>>> {
    let Ending { index, flags, at, was_at } = ending;
    limits.check_restored(index.source_len, input.len())?;
    let first = index.frames_size().and_then(|size| was_at.checked_sub(size));
    let Some(first) = first.filter(|first| *first >= HEADER as u64) else { return Ok(None) };
    let places = locate::places(&index.frames, first, scanned, &[0, at as i128 - was_at as i128]);
    // A `.mmh` in a `.mmh` has an index, too, which is not that of most frames, nor of the first one.
    let found: usize = scanned.stretches.iter().map(|s| s.frames.len()).sum();
    let located = places.iter().filter(|at| **at != LOST).count();
    let is_first = |s: &Stretch| begin.sure && s.range().start == begin.frames;
    let other = scanned.stretches.first().is_some_and(is_first) && !places.contains(&begin.frames);
    if other || located * 2 <= found {
        return Ok(None);
    }
    let mut start = 0;
    let frames = index.frames.iter().zip(places).map(|(row, offset)| {
        let frame = Frame { codec: row.codec, stored: row.stored, start, raw: row.raw, offset };
        start += row.raw;
        frame
    });
    let record = begin.record.clone().filter(|_| flags & index::HAS_BASE != 0);
    let frames = frames.collect();
    Ok(Some(Archive::from_parts(input.clone(), index, frames, record, base, begin.frames)))
}

/// Of a file whose index is known: which tensors are whole.
fn finish(archive: Archive<Shared>, damage: Vec<super::Damage>, gave_up: bool) -> Result<Salvaged> {
    let mut whole = vec![true; archive.frames().len()];
    let mut damaged = Vec::new();
    for frame in damage.iter().filter_map(|d| d.frame) {
        whole[frame] = false;
        let f = &archive.frames()[frame];
        if f.offset != LOST {
            damaged.push(f.offset..f.offset + frame::HEAD as u64 + f.stored);
        }
    }
    // All frames of a tensor may be sound, and yet they are not this tensor.
    let others: HashSet<&str> =
        damage.iter().filter(|d| d.frame.is_none()).filter_map(|d| d.tensor.as_deref()).collect();
    let source_len = archive.index().source_len;
    let unnamed = archive.index().tensors.is_empty() && archive.index().format != Format::Unknown;
    let (archive, rows) = if unnamed {
        let (archive, layout) = layout_of(archive, true);
        (archive, rows_of(layout))
    } else {
        let rows = archive.index().tensors.clone();
        (archive, rows)
    };
    let is_whole = |row: &TensorRow| {
        !others.contains(row.tensor.name.as_str())
            && archive.covering(row.tensor.start, row.tensor.end()).all(|i| whole[i])
    };
    let (saved, lost): (Vec<TensorRow>, Vec<TensorRow>) = rows.into_iter().partition(is_whole);
    let ranges = ranges_of(archive.frames(), &whole);
    Ok(Salvaged {
        archive: with_tensors(archive, saved),
        lost: lost.into_iter().map(|row| row.tensor.name).collect(),
        ranges,
        loose: None,
        indexed: true,
        source_len: Some(source_len),
        damaged,
        gave_up,
    })
}

fn rows_of(layout: Layout) -> Vec<TensorRow> {
    layout.tensors.into_iter().map(|tensor| TensorRow { tensor, blake3: None }).collect()
}

fn with_tensors(archive: Archive<Shared>, tensors: Vec<TensorRow>) -> Archive<Shared> {
    let index = Index { tensors, ..archive.index().clone() };
    let frames = archive.frames().to_vec();
    archive.with(index, frames)
}

/// What the source says of its tensors.
fn layout_of(archive: Archive<Shared>, complete: bool) -> (Archive<Shared>, Layout) {
    let source = Restored::new(archive);
    let layout = source::find(Input { bytes: &source, complete });
    (source.into_archive(), layout)
}

/// Bytes of the source in frames that are whole.
fn ranges_of(frames: &[Frame], whole: &[bool]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for (f, _) in frames.iter().zip(whole).filter(|(_, whole)| **whole) {
        match ranges.last_mut().filter(|last| last.end == f.start) {
            Some(last) => last.end = f.end(),
            None => ranges.push(f.start..f.end()),
        }
    }
    ranges
}

/// An archive of these frames, of which nothing else is known.
fn bare(
    input: &Shared,
    frames: Vec<Frame>,
    format: Format,
    record: Option<&BaseRecord>,
    base: Option<Arc<Base>>,
    first: u64,
) -> Archive<Shared> {
    let rows = frames.iter().map(|f| FrameRow { codec: f.codec, raw: f.raw, stored: f.stored });
    let index = Index {
        source_len: frames.last().map_or(0, Frame::end),
        blake3: None,
        sha256: None,
        format,
        name: String::new(),
        frames: rows.collect(),
        tensors: Vec::new(),
    };
    Archive::from_parts(input.clone(), index, frames, record.cloned(), base, first)
}

/// Puts the frames of a stretch behind those that are there, or nothing if there would be more than 2^64 bytes.
fn extend(frames: &mut Vec<Frame>, stretch: &Stretch) -> Result<()> {
    let mut start = frames.last().map_or(0, Frame::end);
    for found in &stretch.frames {
        let Head { codec, stored, raw, .. } = found.head;
        frames.push(Frame { codec, stored: stored.into(), start, raw, offset: found.offset });
        start = start.checked_add(raw).ok_or_else(|| Error::Limit("more than 2^64 bytes".into()))?;
    }
    Ok(())
}

/// A file without an index: its frames are the source in order, as far as nothing is missing.
fn by_order(
    input: Shared,
    begin: Beginning,
    scanned: Scan,
    base: Option<Arc<Base>>,
    limits: &Limits,
    workers: &Workers,
) -> Result<Salvaged> {
    let record = begin.record.as_ref();
    let damaged = scanned.gaps(begin.frames, input.len());
    let mut stretches = scanned.stretches.as_slice();
    let mut frames = Vec::new();
    if let [first, rest @ ..] = stretches
        && first.range().start == begin.frames
    {
        extend(&mut frames, first)?;
        stretches = rest;
    }
    // Where the frames end, the index begins.
    let end = scanned.stretches.last().map_or(0, |s| s.range().end);
    let mut sync = [0; 2];
    let ends = stretches.is_empty() && input.len() >= end + 2 && {
        input.read_exact_at(end, &mut sync)?;
        sync == index::SYNC || sync == index::PACKED_SYNC
    };
    let mut layout = Layout::opaque();
    for complete in [true, false] {
        if layout.format == Format::Unknown && (ends || !complete) {
            layout = layout_of(
                bare(&input, frames.clone(), Format::Unknown, record, base.clone(), begin.frames),
                complete,
            )
            .1;
        }
    }
    limits.check_tensors(layout.tensors.len() as u64)?;
    // A file may end without an end of its frames, but not with one in the middle of its tensors.
    let whole = frames.last().map_or(0, Frame::end);
    let fits =
        place::agree(&frames, &layout) && !(ends && place::end(&layout).is_some_and(|end| end != whole));
    let placed = fits && (begin.sure || layout.format != Format::Unknown);
    if !placed {
        frames.clear();
        layout = Layout::opaque();
        stretches = &scanned.stretches;
    }
    let mut loose = Vec::new();
    let mut gap = Gap::default();
    for stretch in stretches {
        match place::behind(&frames, &gap, stretch, &layout).filter(|_| placed) {
            Some(at) => {
                let start = frames.last().map_or(0, Frame::end);
                frames.push(Frame { codec: 0, stored: 0, start, raw: at - start, offset: LOST });
                extend(&mut frames, stretch)?;
                gap = Gap::default();
            }
            None => {
                gap.add(stretch);
                loose.push(stretch);
            }
        }
    }
    let loose = loose_of(&input, &loose, &frames, &begin, base.clone())?;
    let archive = bare(&input, frames, layout.format, record, base, begin.frames);
    let whole = sound(&archive, workers)?;
    let source_len = place::end(&layout).or((ends && placed).then_some(archive.index().source_len));
    let end = archive.index().source_len;
    let is_whole = |row: &TensorRow| {
        row.tensor.end() <= end && archive.covering(row.tensor.start, row.tensor.end()).all(|i| whole[i])
    };
    let (saved, lost): (Vec<TensorRow>, Vec<TensorRow>) = rows_of(layout).into_iter().partition(is_whole);
    let ranges = ranges_of(archive.frames(), &whole);
    Ok(Salvaged {
        archive: with_tensors(archive, saved),
        lost: lost.into_iter().map(|row| row.tensor.name).collect(),
        ranges,
        loose,
        indexed: false,
        source_len,
        damaged,
        gave_up: scanned.gave_up,
    })
}

/// Which frames can be restored: those that were found; of those that were found by their heads alone, because they refer to others, the ones that decode; and of the copies those of
/// such frames.
fn sound(archive: &Archive<Shared>, workers: &Workers) -> Result<Vec<bool>> {
    let frames = archive.frames();
    let mut sound: Vec<bool> = frames.iter().map(|f| f.offset != LOST).collect();
    let refer = |i: &usize| frames[*i].codec == delta::RELATIVE && sound[*i];
    let relatives: Vec<usize> = (0..frames.len()).filter(refer).collect();
    for some in relatives.chunks(BATCH_BLOCKS) {
        let verdicts = workers.map(some.to_vec(), |i| restores(archive, &frames[i], workers));
        for (i, verdict) in some.iter().zip(verdicts) {
            sound[*i] = verdict?;
        }
    }
    for (i, f) in frames.iter().enumerate().filter(|(_, f)| f.codec == codec::COPY) {
        sound[i] = archive
            .copied(i, true)
            .is_ok_and(|from| archive.covering(from, from + f.raw).all(|origin| sound[origin]));
    }
    Ok(sound)
}

fn restores(archive: &Archive<Shared>, f: &Frame, workers: &Workers) -> Result<bool> {
    workers.check()?;
    let mut out = zeroed(f.raw)?;
    match with_scratch(|scratch| archive.read_frames(f.start, &mut out, true, scratch)) {
        Ok(()) => Ok(true),
        Err(e @ (Error::Io { .. } | Error::Stopped)) => Err(e),
        Err(_) => Ok(false),
    }
}

/// Stretches without a place, one behind the other. A copy is replaced by the frames that it repeats, which are known by their places.
fn loose_of(
    input: &Shared,
    stretches: &[&Stretch],
    placed: &[Frame],
    begin: &Beginning,
    base: Option<Arc<Base>>,
) -> Result<Option<Loose>> {
    let record = begin.record.as_ref();
    let known = bare(input, placed.to_vec(), Format::Unknown, record, None, begin.frames);
    let mut references =
        REFERENCES * (placed.len() + stretches.iter().map(|s| s.frames.len()).sum::<usize>());
    let mut frames: Vec<Frame> = Vec::new();
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for stretch in stretches {
        let mut goes_on = false;
        for found in &stretch.frames {
            let Head { codec, stored, raw, .. } = found.head;
            let start = frames.last().map_or(0, Frame::end);
            let end = start.checked_add(raw).ok_or_else(|| Error::Limit("more than 2^64 bytes".into()))?;
            if codec == delta::RELATIVE {
                // What it refers to has another place here.
                goes_on = false;
                continue;
            }
            if codec == codec::COPY {
                let mut payload = [0; 8];
                input.read_exact_at(found.offset + frame::HEAD as u64, &mut payload)?;
                let from = u64::from_le_bytes(payload);
                let repeated = repeated(&known, from, raw).filter(|frames| frames.len() <= references);
                let Some(repeated) = repeated else {
                    goes_on = false;
                    continue;
                };
                references -= repeated.len();
                frames.extend(repeated.iter().map(|f| Frame { start: f.start - from + start, ..*f }));
            } else {
                frames.push(Frame { codec, stored: stored.into(), start, raw, offset: found.offset });
            }
            match ranges.last_mut().filter(|_| goes_on) {
                Some(last) => last.end = end,
                None => ranges.push(start..end),
            }
            goes_on = true;
        }
    }
    let archive = bare(input, frames, Format::Unknown, record, base, begin.frames);
    Ok((!ranges.is_empty()).then_some((archive, ranges)))
}

/// The frames that a copy repeats, if they are all there.
fn repeated(known: &Archive<Shared>, from: u64, raw: u64) -> Option<&[Frame]> {
    let end = from.checked_add(raw)?;
    let frames = known.frames().get(known.covering(from, end))?;
    let exact = frames.first()?.start == from && frames.last()?.end() == end;
    let there = frames.iter().all(|f| ![codec::COPY, delta::RELATIVE].contains(&f.codec) && f.offset != LOST);
    (exact && there).then_some(frames)
}

#[cfg(test)]
mod tests;

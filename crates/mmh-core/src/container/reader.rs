//! Any range of the source, from the frames that cover it.

use super::base::{BaseRecord, RECORD};
use super::ending::ends_like_ours;
use super::frame::{self, Head};
use super::index::{self, Index};
use super::{FOOTER, HEADER};
use crate::api::{Workers, zeroed};
use crate::base::Base;
use crate::block;
use crate::codec::{self, Scratch, delta, pattern251};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Window};
use crate::limits::Limits;
use crate::parity;
use mmh_kernels::memory;
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::sync::{Arc, OnceLock};
use twox_hash::XxHash3_64;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Lends this thread's memory for codecs.
pub fn with_scratch<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with(|s| match s.try_borrow_mut() {
        Ok(mut s) => f(&mut s),
        // Rayon may run another task of ours while this one waits.
        Err(_) => f(&mut Scratch::default()),
    })
}

/// A frame's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Codec id.
    pub codec: u8,
    /// Bytes of the payload.
    pub stored: u64,
    /// Source offset.
    pub start: u64,
    /// Bytes restored.
    pub raw: u64,
    /// Offset of its head in the file.
    pub offset: u64,
}

impl Frame {
    /// Source offset of the byte after its last.
    pub fn end(&self) -> u64 {
        self.start + self.raw
    }
}

/// An open `.mmh`.
pub struct Archive<R: ReadAt> {
    input: R,
    index: Index,
    frames: Vec<Frame>,
    /// Which of them are copies, in order: a copy of many small frames is not gone through each time that it is looked at.
    copies: Vec<usize>,
    record: Option<BaseRecord>,
    base: Option<Arc<Base>>,
    /// Where the first frame of the file is.
    first: u64,
    /// What it restores, for the frames that go on from it; or why it does not, which is not asked for each of them again.
    prefix: OnceLock<std::result::Result<Vec<u8>, String>>,
}

/// A piece of work: part of a frame into part of the output.
struct Piece<'o, T = u8> {
    frame: usize,
    /// Offset within the frame.
    skip: u64,
    out: &'o mut [T],
}

/// What is said of a file whose end alone is as it should be.
const BEGINNING: &str = "the beginning of the file is missing or damaged (mmh repair mends it where there is parity; mmh repair --salvage saves the tensors that are intact)";

/// Where a frame is that is nowhere.
pub(crate) const LOST: u64 = u64::MAX;

/// Runs are filled in pieces of this size, so that several threads can share a long one.
const RUN_PIECE: usize = 1 << 20;

/// So many bytes are not all in a cache when they have been restored.
const FAR: usize = 16 << 20;

impl<R: ReadAt> Archive<R> {
    /// Reads header, footer and index, and checks them, within the usual limits.
    pub fn open(input: R) -> Result<Archive<R>> {
        Archive::open_within(input, &Limits::default())
    }

    /// The same within other limits.
    pub fn open_within(input: R, limits: &Limits) -> Result<Archive<R>> {
        let stored_len = input.len();
        let mut header = [0; HEADER];
        let n = stored_len.min(HEADER as u64) as usize;
        input.read_exact_at(0, &mut header[..n])?;
        let flags = index::read_header(&header[..n]).map_err(|e| match e {
            Error::NotMmh(what) if ends_like_ours(&input) => {
                Error::NotMmh(format!("{what}, but its end is that of one: {BEGINNING}"))
            }
            Error::Corrupt { what, .. } if ends_like_ours(&input) => {
                Error::corrupt_at(0, format!("{what}: {BEGINNING}"))
            }
            e => e,
        })?;
        // Parity may follow the footer.
        let len = parity::body_len(&input)?;
        if len < (HEADER + FOOTER) as u64 {
            return Err(Error::corrupt_at(len, "the file is cut off: it is shorter than header and footer"));
        }
        let at = len - FOOTER as u64;
        let mut footer = [0; FOOTER];
        input.read_exact_at(at, &mut footer)?;
        let (index_len, hash) = index::read_footer(&header, &footer, at)?;
        let offset = at.checked_sub(index_len).filter(|o| *o >= HEADER as u64).ok_or_else(|| {
            Error::corrupt_at(at, format!("an index of {index_len} bytes does not fit the file"))
        })?;
        limits.check_index(index_len)?;
        let mut held = Vec::new();
        let bytes = read(&input, offset, index_len, &mut held)?;
        if XxHash3_64::oneshot(bytes) != hash {
            return Err(Error::corrupt_at(offset, "the index does not agree with its checksum"));
        }
        let index = Index::from_bytes(bytes, offset, flags, limits)?;
        let record =
            if flags & index::HAS_BASE != 0 { Some(read_record(&input, HEADER as u64)?) } else { None };
        let first = HEADER as u64 + record.as_ref().map_or(0, |r| (RECORD + r.name.len()) as u64);
        if index.frames_size().is_none_or(|n| n.checked_add(first) != Some(offset)) {
            return Err(Error::corrupt_at(
                offset,
                "the sizes of the frames do not add up to the index's place",
            ));
        }
        limits.check_restored(index.source_len, len)?;
        let (mut start, mut offset) = (0, first);
        let frames = index
            .frames
            .iter()
            .map(|f| {
                let frame = Frame { codec: f.codec, stored: f.stored, start, raw: f.raw, offset };
                start += f.raw;
                offset += frame::HEAD as u64 + f.stored;
                frame
            })
            .collect();
        Ok(Archive::from_parts(input, index, frames, record, None, first))
    }

    /// A file of which this much is known, wherever it is known from; its first frame is at byte `first`. `frames` go on from source byte 0 without a gap; those that are lost are at
    /// [`LOST`].
    pub(crate) fn from_parts(
        input: R,
        index: Index,
        frames: Vec<Frame>,
        record: Option<BaseRecord>,
        base: Option<Arc<Base>>,
        first: u64,
    ) -> Archive<R> {
        let copies = copies_of(&frames);
        Archive { input, index, frames, copies, record, base, first, prefix: OnceLock::new() }
    }

    /// The same with another index, and its frames in these places.
    pub(crate) fn with(self, index: Index, frames: Vec<Frame>) -> Archive<R> {
        let copies = copies_of(&frames);
        Archive { index, frames, copies, ..self }
    }

    /// What the first frame of the file restores.
    fn prefix(&self, scratch: &mut Scratch) -> Result<&Vec<u8>> {
        let found = match self.prefix.get() {
            Some(found) => found,
            None => {
                let found = match self.first_block(scratch) {
                    Err(Error::Corrupt { what, .. }) => Err(what),
                    found => Ok(found?),
                };
                self.prefix.get_or_init(|| found)
            }
        };
        found.as_ref().map_err(|what| Error::corrupt_at(self.first, what.clone()))
    }

    fn first_block(&self, scratch: &mut Scratch) -> Result<Vec<u8>> {
        match self.frames.first() {
            // What the file restores has been held against limits: what the frame claims counts only if it is that.
            Some(f) if f.offset == self.first => {
                let mut held = Vec::new();
                let (head, payload) = self.frame(0, &mut held).map_err(|e| of_first(e, self.first))?;
                restore_first(&head, payload, scratch).map_err(|e| of_first(e, self.first))
            }
            _ => first_block(&self.input, self.first, scratch),
        }
    }

    /// Lends the base that the file was compressed against; of no account where it needs none. Its length is compared, and its hash where it is
    /// known; [`Archive::check_base`] compares the hash in any case.
    pub fn set_base(&mut self, base: Option<Arc<Base>>) -> Result<()> {
        if let (Some(base), Some(record)) = (&base, self.needs_base()) {
            base.check_quickly(record)?;
        }
        self.base = base;
        Ok(())
    }

    /// The base that was lent.
    pub fn base(&self) -> Option<&Arc<Base>> {
        self.base.as_ref()
    }

    /// The base that the file was compressed against, whether or not it turned out to be of use.
    pub fn record(&self) -> Option<&BaseRecord> {
        self.record.as_ref()
    }

    /// The base without which some of the source cannot be restored.
    pub fn needs_base(&self) -> Option<&BaseRecord> {
        self.record.as_ref().filter(|_| self.frames.iter().any(|f| f.codec == delta::ID))
    }

    /// Refuses a base that is missing or another one than the file was compressed against.
    pub fn check_base(&self, workers: &Workers) -> Result<()> {
        match (self.needs_base(), &self.base) {
            (None, _) => Ok(()),
            (Some(record), None) => Err(record.missing()),
            (Some(record), Some(base)) => base.check(record, workers),
        }
    }

    /// What it is read from.
    pub fn input(&self) -> &R {
        &self.input
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The frames, in order.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Size of the `.mmh` file.
    pub fn stored_len(&self) -> u64 {
        self.input.len()
    }

    /// What it is protected by.
    pub fn parity(&self) -> Result<Option<parity::Plan>> {
        parity::plan_of(&self.input)
    }

    /// The frames that restore source bytes `start … end`.
    pub fn covering(&self, start: u64, end: u64) -> std::ops::Range<usize> {
        if start >= end {
            return 0..0;
        }
        let first = self.frames.partition_point(|f| f.end() <= start);
        let last = self.frames.partition_point(|f| f.start < end);
        first..last
    }

    /// Fills `out` with source bytes from `start` on, reading only the frames that cover them.
    pub fn read_range(&self, start: u64, out: &mut [u8], workers: &Workers, check: bool) -> Result<()> {
        let is_far = out.len() >= FAR;
        let read = |p| {
            workers.check()?;
            with_scratch(|s| {
                s.is_far = is_far;
                let done = self.read_piece(p, check, s);
                s.is_far = false;
                done
            })
        };
        workers.each(self.pieces(start, out, check)?, read)
    }

    /// The same into memory without a value, of which all has one if this succeeds. Whoever restores a piece clears its memory just before, so that
    /// fresh pages are touched by all threads, and each but once.
    pub fn read_range_new(
        &self,
        start: u64,
        out: &mut [MaybeUninit<u8>],
        workers: &Workers,
        check: bool,
    ) -> Result<()> {
        let read = |Piece { frame, skip, out }: Piece<'_, MaybeUninit<u8>>| {
            workers.check()?;
            let piece = Piece { frame, skip, out: memory::cleared(out) };
            with_scratch(|s| self.read_piece(piece, check, s))
        };
        workers.each(self.pieces(start, out, check)?, read)
    }

    /// The same by this thread alone, of several that do so.
    pub(crate) fn read_range_here(
        &self,
        start: u64,
        out: &mut [u8],
        workers: &Workers,
        check: bool,
    ) -> Result<()> {
        self.pieces(start, out, check)?
            .into_iter()
            .try_for_each(|p| workers.check().and_then(|()| with_scratch(|s| self.read_piece(p, check, s))))
    }

    /// What has to be read to fill `out` with source bytes from `start` on.
    fn pieces<'o, T>(&self, start: u64, out: &'o mut [T], check: bool) -> Result<Vec<Piece<'o, T>>> {
        let end =
            start.checked_add(out.len() as u64).filter(|e| *e <= self.index.source_len).ok_or_else(|| {
                Error::Invalid(format!(
                    "source bytes from {start} on: {} wanted, there are {}",
                    out.len(),
                    self.index.source_len
                ))
            })?;
        let mut pieces = Vec::new();
        let mut left = out;
        let mut cut = |i: usize, start: u64, end: u64| {
            let f = &self.frames[i];
            let (mut from, to) = (f.start.max(start), f.end().min(end));
            while from < to {
                let most = if codec::is_run(f.codec) { RUN_PIECE as u64 } else { u64::MAX };
                let n = (to - from).min(most) as usize;
                let (now, later) = std::mem::take(&mut left).split_at_mut(n);
                pieces.push(Piece { frame: i, skip: from - f.start, out: now });
                left = later;
                from += n as u64;
            }
        };
        for i in self.covering(start, end) {
            let f = &self.frames[i];
            if f.codec != codec::COPY {
                cut(i, start, end);
                continue;
            }
            // The frames that it repeats take its place: each is decoded once, on whichever thread is free.
            let at = self.copied(i, check)? + (start.max(f.start) - f.start);
            let n = f.end().min(end) - f.start.max(start);
            self.covering(at, at + n).for_each(|j| cut(j, at, at + n));
        }
        Ok(pieces)
    }

    fn read_piece(&self, piece: Piece<'_>, check: bool, scratch: &mut Scratch) -> Result<()> {
        if self.frames[piece.frame].codec == codec::COPY {
            let from = self.copied(piece.frame, check)?;
            return self.read_frames(from + piece.skip, piece.out, check, scratch);
        }
        let mut held = std::mem::take(&mut scratch.stored);
        let done = self
            .frame(piece.frame, &mut held)
            .and_then(|(head, payload)| self.restore(piece, &head, payload, check, scratch));
        scratch.stored = held;
        done
    }

    /// Restores a part of a frame that has been read, and is no copy.
    fn restore(
        &self,
        piece: Piece<'_>,
        head: &Head,
        payload: &[u8],
        check: bool,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let f = &self.frames[piece.frame];
        let at = |e: Error| e.at(f.offset);
        match f.codec {
            pattern251::ID => {
                if check {
                    block::check_run(payload, head.checksum, f.raw).map_err(at)?;
                }
                pattern251::check(payload, f.raw).map_err(at)?;
                pattern251::fill(payload, piece.skip, piece.out);
                Ok(())
            }
            _ if piece.out.len() as u64 == f.raw => {
                self.decode(f, head, payload, piece.out, check, scratch).map_err(at)
            }
            _ => {
                let mut whole = std::mem::take(&mut scratch.check);
                let raw = f.raw as usize;
                whole.resize(whole.len().max(raw), 0);
                scratch.is_far = false;
                let done = self.decode(f, head, payload, &mut whole[..raw], check, scratch);
                let skip = piece.skip as usize;
                piece.out.copy_from_slice(&whole[skip..skip + piece.out.len()]);
                scratch.check = whole;
                done.map_err(at)
            }
        }
    }

    fn decode(
        &self,
        f: &Frame,
        head: &Head,
        payload: &[u8],
        out: &mut [u8],
        check: bool,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let base = self.base.as_deref().map(|b| b as &dyn ReadAt);
        match (f.codec, &self.record, &self.base) {
            (codec::PREFIX, ..) => {
                let prefix = self.prefix(scratch)?;
                block::decode(f.codec, payload, head.checksum, Some(prefix), out, check, scratch)
            }
            (delta::RELATIVE, ..) => {
                let (place, ..) = delta::Place::read(payload, out.len())?;
                let mut held = std::mem::take(&mut scratch.counterpart.there);
                let done = self.read_root(&place, out.len(), &mut held, check, scratch).and_then(|()| {
                    let there = Window { start: place.offset, bytes: &held[..place.len] };
                    block::decode(f.codec, payload, head.checksum, Some(&there), out, check, scratch)
                });
                scratch.counterpart.there = held;
                done
            }
            (delta::ID, Some(record), None) => Err(record.missing()),
            (delta::ID, Some(record), Some(lent)) => {
                block::decode(f.codec, payload, head.checksum, base, out, check, scratch).map_err(|e| match e
                {
                    // The block may be as good as the base is wrong.
                    Error::Corrupt { .. } => lent.check(record, &Workers::new(1)).err().unwrap_or(e),
                    e => e,
                })
            }
            _ => block::decode(f.codec, payload, head.checksum, base, out, check, scratch),
        }
    }

    /// Restores a stretch that a relative block of `raw` bytes refers to, and that refers to none itself.
    fn read_root(
        &self,
        place: &delta::Place,
        raw: usize,
        held: &mut Vec<u8>,
        check: bool,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (start, len) = (place.offset, place.len as u64);
        let bad = |what: String| {
            Err(Error::corrupt(format!("it refers to {len} bytes from source byte {start}, {what}")))
        };
        let Some(end) = start.checked_add(len).filter(|end| *end <= self.index.source_len) else {
            return bad("beyond its end".into());
        };
        let mut lent = 0u64;
        let mut count = |frames: std::ops::Range<usize>| {
            let blocks = self.frames[frames].iter().filter(|f| !codec::is_run(f.codec));
            blocks.fold(false, |refers, f| {
                lent = lent.saturating_add(f.raw.max(delta::LEAST_LENT));
                refers | (f.codec == delta::RELATIVE)
            })
        };
        let roots = self.covering(start, end);
        let mut refers = count(roots.clone());
        for i in roots.filter(|i| self.frames[*i].codec == codec::COPY) {
            let f = &self.frames[i];
            let at = self.copied(i, check)? + (f.start.max(start) - f.start);
            refers |= count(self.covering(at, at + (f.end().min(end) - f.start.max(start))));
        }
        if refers {
            return bad("which are relative themselves".into());
        }
        let most = delta::most_lent(raw);
        if lent > most {
            return bad(format!("in blocks that count {lent} bytes, at most {most} are allowed"));
        }
        held.resize(held.len().max(place.len), 0);
        let held = &mut held[..place.len];
        scratch.for_root(|scratch| self.read_frames(start, held, check, scratch)).map_err(|e| match e {
            Error::Corrupt { what, at } => {
                let at = at.map(|at| format!(" at byte {at}")).unwrap_or_default();
                Error::corrupt(format!("the block{at} that it refers to is damaged: {what}"))
            }
            e => e,
        })
    }

    /// Where a copy frame copies from; compares its checksum if `check`.
    pub(crate) fn copied(&self, i: usize, check: bool) -> Result<u64> {
        let f = &self.frames[i];
        let mut held = Vec::new();
        let (head, payload) = self.frame(i, &mut held)?;
        if check {
            block::check_run(payload, head.checksum, f.raw).map_err(|e| e.at(f.offset))?;
        }
        self.copy_source(f, payload)
    }

    /// Where a copy frame with this payload copies from: whole frames, so that no block is decoded for the sake of a few bytes.
    fn copy_source(&self, f: &Frame, payload: &[u8]) -> Result<u64> {
        let from = payload.first_chunk().map(|b| u64::from_le_bytes(*b)).unwrap_or(u64::MAX);
        let sound = from.checked_add(f.raw).filter(|end| *end <= f.start).is_some_and(|end| {
            let covering = self.covering(from, end);
            let next = self.copies.partition_point(|copy| *copy < covering.start);
            let has_copy = self.copies.get(next).is_some_and(|copy| *copy < covering.end);
            let frames = &self.frames[covering];
            let whole = frames.first().is_some_and(|f| f.start == from)
                && frames.last().is_some_and(|f| f.end() == end);
            whole && !has_copy
        });
        if !sound {
            return Err(Error::corrupt_at(
                f.offset,
                format!("a copy of {} bytes from source byte {from} into byte {}", f.raw, f.start),
            ));
        }
        Ok(from)
    }

    /// Fills `out` with source bytes from `start` on, which are there, one frame after the other.
    pub(crate) fn read_frames(
        &self,
        start: u64,
        out: &mut [u8],
        check: bool,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let end = start + out.len() as u64;
        let mut left = out;
        for i in self.covering(start, end) {
            let f = &self.frames[i];
            let (from, to) = (f.start.max(start), f.end().min(end));
            let (now, later) = std::mem::take(&mut left).split_at_mut((to - from) as usize);
            self.read_piece(Piece { frame: i, skip: from - f.start, out: now }, check, scratch)?;
            left = later;
        }
        Ok(())
    }

    /// A frame's head, compared with the index, and its payload; `held` lends memory for what is not in memory already.
    pub fn frame<'a>(&'a self, i: usize, held: &'a mut Vec<u8>) -> Result<(Head, &'a [u8])> {
        let f = &self.frames[i];
        if f.offset == LOST {
            return Err(Error::corrupt(format!(
                "the frame of source bytes {}..{} is lost",
                f.start,
                f.end()
            )));
        }
        let all = read(&self.input, f.offset, frame::HEAD as u64 + f.stored, held)?;
        let head = match all.first_chunk() {
            Some(head) => Head::from_bytes(head).map_err(|e| match e {
                // An unknown codec that the index does not name is damage, not a newer format.
                Error::Unsupported(what) => Error::corrupt_at(f.offset, what),
                e => e.at(f.offset),
            })?,
            None => return Err(Error::corrupt_at(f.offset, "a frame is cut off")),
        };
        if (head.codec, head.stored as u64, head.raw) != (f.codec, f.stored, f.raw) {
            return Err(Error::corrupt_at(f.offset, "a frame does not agree with the index"));
        }
        Ok((head, &all[frame::HEAD..]))
    }

    /// For a copy frame: the source offset that it copies from.
    pub fn copied_from(&self, i: usize) -> Result<Option<u64>> {
        if self.frames[i].codec != codec::COPY {
            return Ok(None);
        }
        let mut held = Vec::new();
        let (_, payload) = self.frame(i, &mut held)?;
        self.copy_source(&self.frames[i], payload).map(Some)
    }

    /// The tensor whose bytes a frame restores.
    pub fn tensor_of(&self, f: &Frame) -> Option<&str> {
        let rows = &self.index.tensors;
        let i = rows.partition_point(|t| t.tensor.end() <= f.start);
        rows.get(i).filter(|t| t.tensor.start < f.end()).map(|t| t.tensor.name.as_str())
    }
}

/// The positions of the copies among frames.
fn copies_of(frames: &[Frame]) -> Vec<usize> {
    let is_copy = |(i, f): (usize, &Frame)| (f.codec == codec::COPY).then_some(i);
    frames.iter().enumerate().filter_map(is_copy).collect()
}

/// What the frame at byte `at` of the file, the first one, restores, if others can go on from it.
pub(crate) fn first_block(input: &dyn ReadAt, at: u64, scratch: &mut Scratch) -> Result<Vec<u8>> {
    let mut head = [0; frame::HEAD];
    let whole = at.checked_add(frame::HEAD as u64).is_some_and(|end| end <= input.len());
    if !whole {
        return Err(Error::corrupt_at(input.len(), "the file is cut off"));
    }
    input.read_exact_at(at, &mut head)?;
    let head = Head::from_bytes(&head).map_err(|e| of_first(e, at))?;
    let mut held = Vec::new();
    let payload = read(input, at + frame::HEAD as u64, head.stored.into(), &mut held)?;
    restore_first(&head, payload, scratch).map_err(|e| of_first(e, at))
}

fn of_first(e: Error, at: u64) -> Error {
    match e {
        Error::Corrupt { what, .. } => Error::corrupt_at(at, format!("the first frame: {what}")),
        e => e,
    }
}

/// The same of a frame that has been read.
pub(crate) fn restore_first(head: &Head, payload: &[u8], scratch: &mut Scratch) -> Result<Vec<u8>> {
    if codec::is_run(head.codec) || !codec::stands_alone(head.codec) {
        let what =
            format!("expected a block that others can go on from, found {}", codec::name_of(head.codec));
        return Err(Error::corrupt(what));
    }
    let mut out = zeroed(head.raw)?;
    block::decode(head.codec, payload, head.checksum, None, &mut out, true, scratch)?;
    Ok(out)
}

/// Reads what is said of the base, at this byte of the file.
pub(crate) fn read_record<R: ReadAt>(input: &R, offset: u64) -> Result<BaseRecord> {
    let at = |e: Error| e.at(offset);
    let mut held = Vec::new();
    let head = read(input, offset, RECORD as u64, &mut held)?;
    let name = head.first_chunk().map(BaseRecord::name_len).transpose().map_err(at)?.unwrap_or(0);
    let all = read(input, offset, (RECORD + name) as u64, &mut held)?;
    BaseRecord::from_bytes(all).map_err(at)
}

/// Bytes that the file's own length has earned, in `held` unless they are in memory already. What is in `held` stays there to be overwritten:
/// clearing it each time costs as much as reading.
fn read<'a, R: ReadAt + ?Sized>(
    input: &'a R,
    offset: u64,
    len: u64,
    held: &'a mut Vec<u8>,
) -> Result<&'a [u8]> {
    if offset.checked_add(len).is_none_or(|end| end > input.len()) {
        return Err(Error::corrupt_at(input.len(), "the file is cut off"));
    }
    let len = usize::try_from(len)
        .map_err(|_| Error::Limit(format!("{len} bytes do not fit the address space")))?;
    if let Some(there) = input.slice(offset, len) {
        return Ok(there);
    }
    if held.len() < len {
        held.try_reserve_exact(len - held.len())
            .map_err(|_| Error::Limit(format!("no memory for {len} bytes")))?;
        held.resize(len, 0);
    }
    input.read_exact_at(offset, &mut held[..len])?;
    Ok(&held[..len])
}

//! Blocks in parallel, everything else in order.

use super::between::{Between, Stretch};
use super::line::{Lane, Line};
use super::spare::Spare;
use super::twins::{Manner, Twins};
use super::{BATCH_BLOCKS, LOT, Progress, Step, Workers};
use crate::block::{self, Coded, Encoded, Given, Segment, Settings};
use crate::codec::{self, Level, Scratch, hierarchical, tensor, zstd};
use crate::container::frame::{self, Head};
use crate::container::reader::with_scratch;
use crate::container::writer::{Place, Target, Writer};
use crate::counterparts::Counterparts;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::io::ReadAt;
use mmh_kernels::checksum;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where source bytes come from, in order.
pub enum Feed<'a> {
    /// They are in memory, or in a file of known length.
    At(&'a dyn ReadAt),
    /// They come from a stream whose first bytes have been read already.
    Stream(std::io::Chain<std::io::Cursor<Vec<u8>>, &'a mut (dyn Read + Send)>),
}

/// Something to be done with a part of a lot.
enum Item {
    Encode(Piece),
    Copy { from: u64, raw: u64 },
}

/// A block of a lot.
struct Piece {
    range: Range<usize>,
    dtype: Option<Dtype>,
    joins: bool,
    /// Whether it is all of its segment.
    whole: bool,
    /// Its segment, and where it begins there.
    place: (usize, u64),
    /// Whether the segment has a counterpart.
    against: bool,
    /// What its segment is beside tensors.
    stretch: Stretch,
}

impl Piece {
    /// How it is encoded; `None` if that depends on a counterpart.
    fn manner(&self) -> Option<Manner> {
        let &Piece { dtype, whole, stretch, .. } = self;
        (!self.against).then_some(Manner { dtype, whole, stretch })
    }

    /// The same in pieces of `size` bytes.
    fn parts(&self, size: usize) -> impl Iterator<Item = Piece> {
        let (segment, within) = self.place;
        self.range.clone().step_by(size).map(move |start| Piece {
            range: start..self.range.end.min(start + size),
            joins: self.joins || start > self.range.start,
            whole: false,
            place: (segment, within + (start - self.range.start) as u64),
            ..*self
        })
    }
}

/// A stretch of the source.
struct Lot<'a> {
    start: u64,
    len: usize,
    /// Its bytes, unless they are still to be read.
    data: Option<Cow<'a, [u8]>>,
    items: Vec<Item>,
    /// Parts of the data that belong to a tensor, by the tensor's position.
    parts: Vec<(Range<usize>, usize)>,
}

/// Walks through the segments.
struct Cutter<'a, 's> {
    feed: Feed<'a>,
    segments: &'s [Segment],
    /// Segments that equal an earlier one: source offset of that.
    copies: &'s HashMap<usize, u64>,
    counterparts: &'s Counterparts<'s>,
    segment: usize,
    done_in_segment: u64,
    at: u64,
    ended: bool,
    level: Level,
    spare: &'s Spare,
}

impl<'a> Cutter<'a, '_> {
    /// The next lot; `None` at the end.
    fn next(&mut self) -> Result<Option<Lot<'a>>> {
        let start = self.at;
        let mut planned: Vec<(Range<usize>, usize, bool)> = Vec::new();
        let mut len = 0usize;
        let (mut segment, mut done) = (self.segment, self.done_in_segment);
        while let Some(s) = self.segments.get(segment) {
            if len >= LOT || planned.len() >= BATCH_BLOCKS {
                break;
            }
            let size = self.counterparts.block_size((segment, s), self.level) as u64;
            let n = (s.len - done).min(size) as usize;
            planned.push((len..len + n, segment, done > 0));
            len += n;
            done += n as u64;
            if done == s.len {
                (segment, done) = (segment + 1, 0);
            }
        }
        if len == 0 || self.ended {
            return Ok(None);
        }
        let data: Option<Cow<'a, [u8]>> = match &mut self.feed {
            Feed::At(bytes) => {
                let bytes: &'a dyn ReadAt = *bytes;
                bytes.slice(start, len).map(Cow::Borrowed)
            }
            Feed::Stream(stream) => {
                let mut memory = self.spare.take(len)?;
                memory.resize(len, 0);
                let n = fill(stream, &mut memory)?;
                self.ended = n < len;
                memory.truncate(n);
                len = n;
                Some(Cow::Owned(memory))
            }
        };
        let mut lot = Lot { start, len, data, items: Vec::with_capacity(planned.len()), parts: Vec::new() };
        for (range, index, joins) in planned {
            let range = range.start.min(len)..range.end.min(len);
            if range.is_empty() {
                continue;
            }
            let s = &self.segments[index];
            if let Some(tensor) = s.tensor {
                lot.parts.push((range.clone(), tensor));
            }
            match self.copies.get(&index) {
                Some(_) if joins => {}
                Some(&from) => lot.items.push(Item::Copy { from, raw: s.len }),
                None => {
                    let within = start + range.start as u64 - s.start;
                    let whole = range.len() as u64 == s.len;
                    lot.items.push(Item::Encode(Piece {
                        range,
                        dtype: s.dtype,
                        joins,
                        whole,
                        place: (index, within),
                        against: self.counterparts.has(index),
                        stretch: Stretch::of(s),
                    }));
                }
            }
        }
        self.at += len as u64;
        (self.segment, self.done_in_segment) = (segment, done);
        Ok((len > 0).then_some(lot))
    }
}

/// Reads until `buf` is full or the stream ends.
pub fn fill(stream: &mut dyn Read, buf: &mut [u8]) -> Result<usize> {
    let mut n = 0;
    while n < buf.len() {
        match stream.read(&mut buf[n..]) {
            Ok(0) => break,
            Ok(m) => n += m,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(n)
}

/// Hashes of the tensors, fed in order.
#[derive(Default)]
struct TensorHashes {
    now: Option<(usize, blake3::Hasher)>,
    done: HashMap<usize, [u8; 32]>,
}

impl TensorHashes {
    fn update(&mut self, data: &[u8], parts: &[(Range<usize>, usize)]) {
        for (range, index) in parts {
            if self.now.as_ref().is_none_or(|(tensor, _)| tensor != index) {
                self.end();
                self.now = Some((*index, blake3::Hasher::new()));
            }
            if let Some((_, hasher)) = &mut self.now {
                hasher.update(&data[range.clone()]);
            }
        }
    }

    fn end(&mut self) {
        if let Some((tensor, hasher)) = self.now.take() {
            self.done.insert(tensor, *hasher.finalize().as_bytes());
        }
    }
}

/// What the pipeline has seen of the source.
pub struct Seen {
    /// Its length.
    pub len: u64,
    /// BLAKE3 of it.
    pub blake3: Option<[u8; 32]>,
    /// SHA-256 of it.
    pub sha256: Option<[u8; 32]>,
    /// BLAKE3 of each tensor with bytes, by its position.
    pub tensors: HashMap<usize, [u8; 32]>,
}

/// What to do with the source.
pub struct Work<'a> {
    /// The source, cut.
    pub segments: &'a [Segment],
    /// Segments that equal an earlier one.
    pub copies: &'a HashMap<usize, u64>,
    /// What to store differences from.
    pub counterparts: &'a Counterparts<'a>,
    /// How to encode.
    pub settings: Settings,
    /// BLAKE3 of source and tensors.
    pub blake3: bool,
    /// SHA-256 of the source.
    pub sha256: bool,
    /// Length of the source, where it is known.
    pub total: Option<u64>,
}

/// A lot whose blocks have become frames.
struct Made<'a, P> {
    start: u64,
    data: Cow<'a, [u8]>,
    parts: Vec<(Range<usize>, usize)>,
    frames: Vec<Frame>,
    /// Where frames stand that are no runs.
    bytes: Vec<u8>,
    /// Places in the target for some of these bytes.
    places: Mutex<Vec<(P, Range<usize>)>>,
}

enum Frame {
    /// A block of the lot's data, whose frame stands whole in its bytes.
    Made { coded: Coded, block: Range<usize>, bytes: Range<usize>, manner: Option<Manner>, joins: bool },
    /// A block that equals one which was written, and was not encoded.
    Twin { block: Range<usize>, from: u64, joins: bool },
    /// A run, which may become one with its neighbours.
    Run { run: Encoded, joins: bool },
    /// As many bytes as came from there on before.
    Copy { from: u64, raw: u64 },
}

impl Frame {
    /// The same, where its bytes stand so much further behind.
    fn moved(self, by: usize) -> Frame {
        match self {
            Frame::Made { coded, block, bytes, manner, joins } => {
                Frame::Made { coded, block, bytes: bytes.start + by..bytes.end + by, manner, joins }
            }
            frame => frame,
        }
    }
}

/// Encodes all of the source into `writer`.
pub fn run<W: Target>(
    work: &Work<'_>,
    feed: Feed<'_>,
    writer: &mut Writer<W>,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Seen> {
    let source = match &feed {
        Feed::At(source) => Some(*source),
        Feed::Stream(_) => None,
    };
    let between = Between::of(source, work)?;
    // Of a stream there is nothing to compare with.
    let twins = source.filter(|_| writer.takes_copies()).map(|s| Twins::new(s, !work.copies.is_empty()));
    let twins = twins.as_ref();
    let spare = Spare::default();
    let mut cutter = Cutter {
        feed,
        segments: work.segments,
        copies: work.copies,
        counterparts: work.counterparts,
        segment: 0,
        done_in_segment: 0,
        at: 0,
        ended: false,
        level: work.settings.level,
        spare: &spare,
    };
    let (mut blake3, mut sha256) = (work.blake3.then(blake3::Hasher::new), work.sha256.then(Sha256::new));
    let mut tensors = TensorHashes::default();
    let (done, stored) = (AtomicU64::new(0), AtomicU64::new(writer.written()));

    let mut lanes: Vec<Lane<'_, Made<'_, W::Place>>> = vec![Box::new(|lot| {
        write(lot, writer, twins, workers)?;
        stored.store(writer.written(), Ordering::Relaxed);
        done.fetch_add(lot.data.len() as u64, Ordering::Relaxed);
        Ok(())
    })];
    if let Some(hasher) = &mut blake3 {
        lanes.push(Box::new(|lot| {
            hasher.update(&lot.data);
            Ok(())
        }));
        lanes.push(Box::new(|lot| {
            tensors.update(&lot.data, &lot.parts);
            Ok(())
        }));
    }
    if let Some(hasher) = &mut sha256 {
        lanes.push(Box::new(|lot| {
            hasher.update(&lot.data);
            Ok(())
        }));
    }
    let make = |lot| make(lot, source, work, between.as_ref(), twins, workers, &spare);
    let finish = |lot: Made<'_, W::Place>| {
        for (place, range) in lot.places.into_inner().unwrap_or_default() {
            place.put(&lot.bytes[range]);
        }
        spare.give(lot.bytes);
        if let Cow::Owned(memory) = lot.data {
            spare.give(memory);
        }
        Ok(())
    };
    let step = || {
        let (done, stored) = (done.load(Ordering::Relaxed), stored.load(Ordering::Relaxed));
        Step { done, total: work.total, stored }
    };
    let next = Box::new(|| cutter.next());
    Line { next, make: &make, lanes, finish: &finish, step: &step }.run(workers, progress)?;

    tensors.end();
    Ok(Seen {
        len: done.into_inner(),
        blake3: blake3.map(|h| *h.finalize().as_bytes()),
        sha256: sha256.map(|h| h.finalize().into()),
        tensors: tensors.done,
    })
}

/// Reads a lot, unless it has been read, and encodes its blocks.
fn make<'a, P: Place>(
    lot: Lot<'a>,
    source: Option<&'a dyn ReadAt>,
    work: &Work<'_>,
    between: Option<&Between>,
    twins: Option<&Twins<'_>>,
    workers: &Workers,
    spare: &Spare,
) -> Result<Made<'a, P>> {
    let data = match (lot.data, source) {
        (Some(data), _) => data,
        (None, Some(source)) => Cow::Owned(read(source, lot.start, lot.len, spare)?),
        (None, None) => return Err(Error::Invalid("a lot without bytes".into())),
    };
    // Encoders may write somewhat more than they keep.
    let mut bytes = spare.take(lot.len + lot.len / 16 + lot.items.len() * frame::HEAD + 4096)?;
    bytes.clear();
    let mut frames = Vec::with_capacity(lot.items.len());
    for item in &lot.items {
        let piece = match item {
            Item::Copy { from, raw } => {
                frames.push(Frame::Copy { from: *from, raw: *raw });
                continue;
            }
            Item::Encode(piece) => piece,
        };
        workers.check()?;
        let block = &data[piece.range.clone()];
        let checksum = checksum::xxh3(block);
        let between = between.filter(|_| piece.stretch != Stretch::Other);
        if let Some(frame) = before(&frames, &data, piece, checksum, twins, workers)? {
            frames.push(frame);
            continue;
        }
        let at = bytes.len();
        let frame = encode(block, checksum, piece, work, between, workers, &mut bytes)?;
        match in_parts(&frame, &data, piece, work, workers, &bytes[bytes.len().min(at + frame::HEAD)..])? {
            Some((parts, of_parts)) => {
                bytes.truncate(at);
                bytes.extend_from_slice(&of_parts);
                frames.extend(parts.into_iter().map(|part| part.moved(at)));
            }
            None => frames.push(frame),
        }
    }
    Ok(Made { start: lot.start, data, parts: lot.parts, frames, bytes, places: Mutex::default() })
}

/// Words that come again in one place are others than in the next: where a large block has some, blocks as large as at the other levels may take
/// less than its payload. Gives them and their bytes, if each goes on taking less.
fn in_parts(
    frame: &Frame,
    data: &[u8],
    piece: &Piece,
    work: &Work<'_>,
    workers: &Workers,
    payload: &[u8],
) -> Result<Option<(Vec<Frame>, Vec<u8>)>> {
    let Frame::Made { coded, .. } = frame else { return Ok(None) };
    let is_large = piece.range.len() > block::BLOCK && work.settings.codec.is_none();
    let has_words = || {
        let parts = piece.range.len().div_ceil(block::BLOCK);
        match coded.codec {
            hierarchical::ID => hierarchical::has_words(payload),
            tensor::ID => zstd::words_come_again(&data[piece.range.clone()], parts),
            _ => false,
        }
    };
    if !is_large || !has_words() {
        return Ok(None);
    }
    let (mut frames, mut bytes) = (Vec::new(), Vec::new());
    for part in piece.parts(block::BLOCK) {
        workers.check()?;
        let block = &data[part.range.clone()];
        frames.push(encode(block, checksum::xxh3(block), &part, work, None, workers, &mut bytes)?);
        let done = part.range.end - piece.range.start;
        if bytes.len() as u64 * piece.range.len() as u64 > payload.len() as u64 * done as u64 {
            return Ok(None);
        }
    }
    Ok(Some((frames, bytes)))
}

/// What becomes of a block that equals one which was written, or one of its own lot, and is encoded in the same manner.
fn before(
    frames: &[Frame],
    data: &[u8],
    piece: &Piece,
    checksum: u64,
    twins: Option<&Twins<'_>>,
    workers: &Workers,
) -> Result<Option<Frame>> {
    let Some(own) = piece.manner() else { return Ok(None) };
    let joins = piece.joins;
    let made = frames.iter().find_map(|frame| match frame {
        Frame::Made { coded, block, bytes, manner, .. }
            if coded.checksum == checksum
                && *manner == Some(own)
                && data[block.clone()] == data[piece.range.clone()] =>
        {
            let (coded, block, bytes) = (*coded, piece.range.clone(), bytes.clone());
            Some(Frame::Made { coded, block, bytes, manner: *manner, joins })
        }
        _ => None,
    });
    if made.is_some() {
        return Ok(made);
    }
    let Some(twins) = twins else { return Ok(None) };
    let from = twins.known(&data[piece.range.clone()], checksum, Some(own), workers)?;
    Ok(from.map(|from| Frame::Twin { block: piece.range.clone(), from, joins }))
}

fn read(source: &dyn ReadAt, start: u64, len: usize, spare: &Spare) -> Result<Vec<u8>> {
    let mut memory = spare.take(len)?;
    memory.resize(len, 0);
    source.read_exact_at(start, &mut memory).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::Io {
            path: None,
            source: std::io::Error::other("the file became shorter while it was read"),
        },
        _ => e.into(),
    })?;
    Ok(memory)
}

/// Lends a block with its counterpart, where it has one, and memory for codecs.
fn with_given<R>(
    data: &[u8],
    piece: &Piece,
    work: &Work<'_>,
    encode: impl FnOnce(&Given<'_>, &mut Scratch) -> Result<R>,
) -> Result<R> {
    with_scratch(|s| {
        let given = Given { data, declared: piece.dtype, base: None, whole: piece.whole };
        if !piece.against {
            return encode(&given, s);
        }
        let mut held = std::mem::take(&mut s.counterpart);
        let base = work.counterparts.read(piece.place, data.len(), work.settings.level, &mut held);
        let done = base.and_then(|base| encode(&Given { base, ..given }, s));
        s.counterpart = held;
        done
    })
}

/// Appends a frame.
fn encode(
    data: &[u8],
    checksum: u64,
    piece: &Piece,
    work: &Work<'_>,
    between: Option<&Between>,
    workers: &Workers,
    out: &mut Vec<u8>,
) -> Result<Frame> {
    let at = out.len();
    out.extend([0; frame::HEAD]);
    let encode = |given: &Given<'_>, s: &mut Scratch| {
        workers.attended(s, |s| {
            let coded = block::encode_summed(given, checksum, &work.settings, s, out)?;
            match between {
                Some(between) => between.improve(given.data, piece.stretch, coded, at + frame::HEAD, s, out),
                None => Ok(coded),
            }
        })
    };
    let coded = with_given(data, piece, work, encode)?;
    let Coded { codec, raw, checksum } = coded;
    let stored = (out.len() - at - frame::HEAD) as u64;
    if codec::is_run(codec) {
        let payload = out.split_off(at + frame::HEAD);
        out.truncate(at);
        return Ok(Frame::Run { run: Encoded { codec, raw, checksum, payload }, joins: piece.joins });
    }
    frame::check(codec, stored, raw)?;
    let head = Head { codec, stored: stored as u32, raw, checksum };
    out[at..at + frame::HEAD].copy_from_slice(&head.to_bytes());
    let (block, bytes) = (piece.range.clone(), at..out.len());
    Ok(Frame::Made { coded, block, bytes, manner: piece.manner(), joins: piece.joins })
}

/// Writes what was made of a lot, or finds places for it.
fn write<W: Target>(
    lot: &Made<'_, W::Place>,
    writer: &mut Writer<W>,
    twins: Option<&Twins<'_>>,
    workers: &Workers,
) -> Result<()> {
    for frame in &lot.frames {
        match frame {
            Frame::Copy { from, raw } => match twins {
                Some(twins) => {
                    for (i, (from, raw)) in twins.origins(*from, *raw).into_iter().enumerate() {
                        writer.push_copy(from, raw, i > 0)?;
                    }
                }
                None => writer.push_copy(*from, *raw, false)?,
            },
            Frame::Run { run, joins } => writer.push(run, *joins)?,
            Frame::Twin { block, from, joins } => {
                let raw = block.len() as u64;
                if let Some(twins) = twins {
                    twins.copy(lot.start + block.start as u64, raw, *from);
                }
                writer.push_copy(*from, raw, *joins)?;
            }
            Frame::Made { coded, block, bytes, manner, joins } => {
                let (at, stored) = (lot.start + block.start as u64, (bytes.len() - frame::HEAD) as u64);
                let data = &lot.data[block.clone()];
                let twin = twins.map(|t| t.find(at, data, coded, stored, *manner, workers)).transpose()?;
                if let Some(from) = twin.flatten() {
                    writer.push_copy(from, coded.raw, *joins)?;
                } else if let Some(place) = writer.push_made(coded, &lot.bytes[bytes.clone()])?
                    && let Ok(mut places) = lot.places.lock()
                {
                    places.push((place, bytes.clone()));
                }
            }
        }
    }
    Ok(())
}

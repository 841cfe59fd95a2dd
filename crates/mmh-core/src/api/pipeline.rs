//! Blocks in parallel, everything else in order.

use super::{BATCH_BLOCKS, Progress, Step, Workers};
use crate::base::Base;
use crate::block::{self, Encoded, Given, Segment, Settings};
use crate::codec::{Counterpart, Level, Scratch};
use crate::container::reader::with_scratch;
use crate::container::writer::{Target, Writer};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::io::ReadAt;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::sync::Mutex;

/// Where source bytes come from, in order.
pub enum Feed<'a> {
    /// They are in memory, or in a file of known length.
    At(&'a dyn ReadAt),
    /// They come from a stream whose first bytes have been read already.
    Stream(std::io::Chain<std::io::Cursor<Vec<u8>>, &'a mut (dyn Read + Send)>),
}

/// Something to be done with a part of a batch.
enum Item {
    Encode(Piece),
    Copy { from: u64, raw: u64 },
}

/// A block of a batch.
struct Piece {
    range: Range<usize>,
    dtype: Option<Dtype>,
    joins: bool,
    /// Where its counterpart begins.
    base: Option<u64>,
}

/// A stretch of the source in memory.
struct Batch<'a> {
    data: Cow<'a, [u8]>,
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
    /// Segments that have a counterpart in the base: offset of that.
    counterparts: &'s HashMap<usize, u64>,
    segment: usize,
    done_in_segment: u64,
    at: u64,
    ended: bool,
    batch: usize,
    level: Level,
}

impl<'a> Cutter<'a, '_> {
    /// The next batch, in the memory of an old one; `None` at the end.
    fn next(&mut self, mut memory: Vec<u8>) -> Result<Option<Batch<'a>>> {
        let start = self.at;
        let mut planned: Vec<(Range<usize>, usize, bool)> = Vec::new();
        let mut len = 0usize;
        let (mut segment, mut done) = (self.segment, self.done_in_segment);
        while let Some(s) = self.segments.get(segment) {
            if len >= self.batch || planned.len() >= BATCH_BLOCKS {
                break;
            }
            let n = (s.len - done).min(block::size_for(s.dtype, self.level) as u64) as usize;
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
        let data: Cow<'a, [u8]> = match &mut self.feed {
            Feed::At(bytes) => {
                let bytes: &'a dyn ReadAt = *bytes;
                match bytes.slice(start, len) {
                    Some(slice) => Cow::Borrowed(slice),
                    None => {
                        if memory.capacity() < len {
                            memory = super::zeroed(len as u64)?;
                        }
                        memory.resize(len, 0);
                        bytes.read_exact_at(start, &mut memory).map_err(|e| match e.kind() {
                            std::io::ErrorKind::UnexpectedEof => Error::Io {
                                path: None,
                                source: std::io::Error::other("the file became shorter while it was read"),
                            },
                            _ => e.into(),
                        })?;
                        Cow::Owned(memory)
                    }
                }
            }
            Feed::Stream(stream) => {
                memory.resize(len, 0);
                let n = fill(stream, &mut memory)?;
                self.ended = n < len;
                memory.truncate(n);
                Cow::Owned(memory)
            }
        };
        let mut batch = Batch { items: Vec::with_capacity(planned.len()), parts: Vec::new(), data };
        for (range, index, joins) in planned {
            let range = range.start.min(batch.data.len())..range.end.min(batch.data.len());
            if range.is_empty() {
                continue;
            }
            let s = &self.segments[index];
            if let Some(tensor) = s.tensor {
                batch.parts.push((range.clone(), tensor));
            }
            match self.copies.get(&index) {
                Some(_) if joins => {}
                Some(&from) => batch.items.push(Item::Copy { from, raw: s.len }),
                None => {
                    let within = start + range.start as u64 - s.start;
                    let base = self.counterparts.get(&index).and_then(|from| from.checked_add(within));
                    batch.items.push(Item::Encode(Piece { range, dtype: s.dtype, joins, base }));
                }
            }
        }
        self.at += batch.data.len() as u64;
        (self.segment, self.done_in_segment) = (segment, done);
        Ok((!batch.data.is_empty()).then_some(batch))
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

/// Hashes of the source and of its tensors, fed in order.
struct Hashes {
    blake3: Option<blake3::Hasher>,
    sha256: Option<Sha256>,
    tensor: Option<(usize, blake3::Hasher)>,
    tensors: HashMap<usize, [u8; 32]>,
}

impl Hashes {
    fn update(&mut self, batch: &Batch<'_>) {
        if let Some(h) = &mut self.sha256 {
            h.update(&batch.data);
        }
        let Some(all) = &mut self.blake3 else { return };
        all.update(&batch.data);
        for (range, tensor) in &batch.parts {
            if self.tensor.as_ref().is_none_or(|(t, _)| t != tensor) {
                self.end_tensor();
                self.tensor = Some((*tensor, blake3::Hasher::new()));
            }
            if let Some((_, h)) = &mut self.tensor {
                h.update(&batch.data[range.clone()]);
            }
        }
    }

    fn end_tensor(&mut self) {
        if let Some((t, h)) = self.tensor.take() {
            self.tensors.insert(t, *h.finalize().as_bytes());
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
    /// What to store differences from, and where the counterparts of segments begin there.
    pub base: Option<&'a Base>,
    pub counterparts: &'a HashMap<usize, u64>,
    /// How to encode.
    pub settings: Settings,
    /// BLAKE3 of source and tensors.
    pub blake3: bool,
    /// SHA-256 of the source.
    pub sha256: bool,
    /// Length of the source, where it is known.
    pub total: Option<u64>,
}

/// Encodes all of the source into `writer`.
pub fn run<W: Target>(
    work: &Work<'_>,
    feed: Feed<'_>,
    writer: &mut Writer<W>,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Seen> {
    let mut cutter = Cutter {
        feed,
        segments: work.segments,
        copies: work.copies,
        counterparts: work.counterparts,
        segment: 0,
        done_in_segment: 0,
        at: 0,
        ended: false,
        batch: workers.batch(),
        level: work.settings.level,
    };
    let mut hashes = Hashes {
        blake3: work.blake3.then(blake3::Hasher::new),
        sha256: work.sha256.then(Sha256::new),
        tensor: None,
        tensors: HashMap::new(),
    };
    // Payloads go back here when they are written, to be filled again.
    let spare: Mutex<Vec<Vec<u8>>> = Mutex::default();
    let mut encoded: Vec<Frame> = Vec::new();
    let mut memory = Vec::new();
    let mut done = 0;
    let mut batch = cutter.next(Vec::new())?;
    let in_place = !workers.are_many() && writer.is_memory();
    while let Some(now) = batch {
        if in_place {
            encode_in_place(&now, work, writer)?;
        }
        let items = if in_place { &[][..] } else { now.items.as_slice() };
        let encode = || encode_all(&now, items, work, workers, &spare);
        let other = || -> Result<Option<Batch<'_>>> {
            for frame in encoded.drain(..) {
                write(frame, writer, &spare)?;
            }
            hashes.update(&now);
            cutter.next(std::mem::take(&mut memory))
        };
        let (frames, next) = workers.join(encode, other);
        encoded = frames?;
        batch = next?;
        done += now.data.len() as u64;
        if let Cow::Owned(m) = now.data {
            memory = m;
        }
        progress(Step { done, total: work.total, stored: writer.written() })?;
    }
    for frame in encoded {
        write(frame, writer, &spare)?;
    }
    hashes.end_tensor();
    Ok(Seen {
        len: done,
        blake3: hashes.blake3.map(|h| *h.finalize().as_bytes()),
        sha256: hashes.sha256.map(|h| h.finalize().into()),
        tensors: hashes.tensors,
    })
}

enum Frame {
    Block(Encoded, bool),
    Copy { from: u64, raw: u64 },
}

/// One block after the other, each made where it is to stay.
fn encode_in_place<W: Target>(batch: &Batch<'_>, work: &Work<'_>, writer: &mut Writer<W>) -> Result<()> {
    for item in &batch.items {
        match item {
            Item::Copy { from, raw } => writer.push_copy(*from, *raw)?,
            Item::Encode(piece) => writer.push_made(piece.joins, |out| {
                with_given(batch, piece, work, |given, s| block::encode_into(given, &work.settings, s, out))
            })?,
        }
    }
    Ok(())
}

/// Lends a block with its counterpart, where it has one, and memory for codecs.
fn with_given<R>(
    batch: &Batch<'_>,
    piece: &Piece,
    work: &Work<'_>,
    encode: impl FnOnce(&Given<'_>, &mut Scratch) -> Result<R>,
) -> Result<R> {
    with_scratch(|s| {
        let data = &batch.data[piece.range.clone()];
        let given = Given { data, declared: piece.dtype, base: None };
        let reaches = |b: &Base, at: u64| at.checked_add(data.len() as u64).is_some_and(|end| end <= b.len());
        let Some((base, offset)) = work.base.zip(piece.base).filter(|(b, at)| reaches(b, *at)) else {
            return encode(&given, s);
        };
        let mut held = std::mem::take(&mut s.counterpart);
        held.resize(held.len().max(data.len()), 0);
        let bytes = &mut held[..data.len()];
        let done = base
            .read_exact_at(offset, bytes)
            .map_err(Error::from)
            .and_then(|()| encode(&Given { base: Some(Counterpart { offset, bytes }), ..given }, s));
        s.counterpart = held;
        done
    })
}

fn encode_all(
    batch: &Batch<'_>,
    items: &[Item],
    work: &Work<'_>,
    workers: &Workers,
    spare: &Mutex<Vec<Vec<u8>>>,
) -> Result<Vec<Frame>> {
    let items: Vec<&Item> = items.iter().collect();
    workers
        .map(items, |item| match item {
            Item::Copy { from, raw } => Ok(Frame::Copy { from: *from, raw: *raw }),
            Item::Encode(piece) => {
                let memory = spare.lock().ok().and_then(|mut s| s.pop()).unwrap_or_default();
                let encode =
                    |given: &Given<'_>, s: &mut Scratch| block::encode(given, &work.settings, s, memory);
                Ok(Frame::Block(with_given(batch, piece, work, encode)?, piece.joins))
            }
        })
        .into_iter()
        .collect()
}

fn write<W: Target>(frame: Frame, writer: &mut Writer<W>, spare: &Mutex<Vec<Vec<u8>>>) -> Result<()> {
    match frame {
        Frame::Copy { from, raw } => writer.push_copy(from, raw),
        Frame::Block(block, joins) => {
            writer.push(&block, joins)?;
            if let Ok(mut s) = spare.lock() {
                s.push(block.payload);
            }
            Ok(())
        }
    }
}

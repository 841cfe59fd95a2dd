//! Blocks in parallel, everything else in order.

use super::chunks::Chunks;
use super::{BATCH_BLOCKS, Progress, Step, Workers};
use crate::base::Base;
use crate::block::{self, Coded, Encoded, Given, Segment, Settings};
use crate::codec::{self, Counterpart, Level, Scratch};
use crate::container::frame::{self, Head};
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

/// From this level on a block takes long.
const SLOW: u8 = 7;

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
    fn update(&mut self, batch: &Batch<'_>, workers: &Workers) {
        let Hashes { blake3, sha256, tensor, tensors } = self;
        let Some(blake3) = blake3 else {
            sha256.iter_mut().for_each(|h| h.update(&batch.data));
            return;
        };
        let whole = || {
            let sha256 = || sha256.iter_mut().for_each(|h| h.update(&batch.data));
            workers.join(|| blake3.update(&batch.data).count(), sha256);
        };
        workers.join(whole, || {
            for (range, index) in &batch.parts {
                if tensor.as_ref().is_none_or(|(t, _)| t != index) {
                    end_tensor(tensor, tensors);
                    *tensor = Some((*index, blake3::Hasher::new()));
                }
                if let Some((_, h)) = tensor {
                    h.update(&batch.data[range.clone()]);
                }
            }
        });
    }

    fn end(&mut self) {
        end_tensor(&mut self.tensor, &mut self.tensors);
    }
}

fn end_tensor(tensor: &mut Option<(usize, blake3::Hasher)>, tensors: &mut HashMap<usize, [u8; 32]>) {
    if let Some((t, h)) = tensor.take() {
        tensors.insert(t, *h.finalize().as_bytes());
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
    let in_memory = matches!(&feed, Feed::At(source) if source.slice(0, 0).is_some());
    let is_slow = work.settings.level.get() >= SLOW;
    let keeps = writer.target().keeps();
    // One thread writes a frame when it has made it, while it is in the cache; there is nothing to wait for.
    let at_once = workers.threads() == 1 && !keeps;
    let batch_len = match () {
        () if in_memory && at_once => 1,
        () if is_slow || in_memory && keeps => workers.long_batch(),
        () => workers.batch(),
    };
    let mut cutter = Cutter {
        feed,
        segments: work.segments,
        copies: work.copies,
        counterparts: work.counterparts,
        segment: 0,
        done_in_segment: 0,
        at: 0,
        ended: false,
        batch: batch_len,
        level: work.settings.level,
    };
    let mut hashes = Hashes {
        blake3: work.blake3.then(blake3::Hasher::new),
        sha256: work.sha256.then(Sha256::new),
        tensor: None,
        tensors: HashMap::new(),
    };
    // While frames are made in one, those of the other are written; or all stay in the first.
    let total = work.total.unwrap_or(u64::MAX);
    let expected = super::allowance(if keeps { total } else { total.min(batch_len as u64) });
    let mut chunks = [Chunks::new(expected), Chunks::new(expected)];
    let mut made: Vec<Frame> = Vec::new();
    let mut memory = Vec::new();
    let mut done = 0;
    let mut batch = cutter.next(Vec::new())?;
    while let Some(now) = batch {
        let [filled, before] = &mut chunks;
        let frames = std::mem::take(&mut made);
        let encode = || encode_all(&now, work, workers, filled);
        let write_and_read = || -> Result<Option<Batch<'_>>> {
            write(frames, before, writer)?;
            cutter.next(std::mem::take(&mut memory))
        };
        let (frames, (next, ())) =
            workers.join(encode, || workers.join(write_and_read, || hashes.update(&now, workers)));
        made = frames?;
        batch = next?;
        done += now.data.len() as u64;
        if let Cow::Owned(m) = now.data {
            memory = m;
        }
        if at_once {
            write(std::mem::take(&mut made), &mut chunks[0], writer)?;
        } else if !keeps {
            chunks.swap(0, 1);
        }
        progress(Step { done, total: work.total, stored: writer.written() })?;
    }
    let [kept, last] = &mut chunks;
    write(made, last, writer)?;
    if keeps {
        writer.target().take_over(kept.take());
    }
    hashes.end();
    Ok(Seen {
        len: done,
        blake3: hashes.blake3.map(|h| *h.finalize().as_bytes()),
        sha256: hashes.sha256.map(|h| h.finalize().into()),
        tensors: hashes.tensors,
    })
}

enum Frame {
    /// A block that stands in a chunk as a whole frame.
    Made {
        coded: Coded,
        chunk: usize,
        bytes: Range<usize>,
    },
    /// A run, which may become one with its neighbours.
    Run {
        run: Encoded,
        joins: bool,
    },
    Copy {
        from: u64,
        raw: u64,
    },
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

fn encode_all(batch: &Batch<'_>, work: &Work<'_>, workers: &Workers, chunks: &Chunks) -> Result<Vec<Frame>> {
    workers
        .map(batch.items.iter().collect(), |item| match item {
            Item::Copy { from, raw } => Ok(Frame::Copy { from: *from, raw: *raw }),
            Item::Encode(piece) => workers.check().and_then(|()| make(batch, piece, work, workers, chunks)),
        })
        .into_iter()
        .collect()
}

/// A frame, at the end of a chunk.
fn make(
    batch: &Batch<'_>,
    piece: &Piece,
    work: &Work<'_>,
    workers: &Workers,
    chunks: &Chunks,
) -> Result<Frame> {
    // Encoders may write somewhat more than they keep.
    let room = frame::HEAD + piece.range.len() + piece.range.len() / 16 + 4096;
    chunks.lend(room, |chunk, out| {
        let at = out.len();
        out.extend([0; frame::HEAD]);
        let encode = |given: &Given<'_>, s: &mut Scratch| {
            workers.attended(s, |s| block::encode_into(given, &work.settings, s, out))
        };
        let coded = match with_given(batch, piece, work, encode) {
            Ok(coded) => coded,
            Err(e) => {
                out.truncate(at);
                return Err(e);
            }
        };
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
        Ok(Frame::Made { coded, chunk, bytes: at..out.len() })
    })
}

/// Writes what was made in `chunks`, which then are empty; where the target keeps chunks there are none.
fn write<W: Target>(frames: Vec<Frame>, chunks: &mut Chunks, writer: &mut Writer<W>) -> Result<()> {
    let full = chunks.take();
    for frame in frames {
        match frame {
            Frame::Copy { from, raw } => writer.push_copy(from, raw)?,
            Frame::Run { run, joins } => writer.push(&run, joins)?,
            Frame::Made { coded, chunk, bytes } => {
                writer.push_made(&coded, chunk, bytes, full.get(chunk).map_or(&[], Vec::as_slice))?
            }
        }
    }
    chunks.put_back(full);
    Ok(())
}

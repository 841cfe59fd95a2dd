//! What compressing would save and cost, from a part of the blocks.
//!
//! A source that fits the budget is compressed whole, in memory, and the sizes are exact. Of a larger one, tensors whose names differ in
//! numbers only (the same matrix of each layer) are a class; each class gives blocks in proportion to its bytes, scattered over its
//! tensors and always the same ones. Many are encoded at the fastest level, which tells how the parts of the source differ; fewer at all
//! levels, which tells how the levels differ on the same bytes, and that varies much less. Tensors and blocks that were there before are no
//! part of what is stored; a few bytes of each tell.

use super::{CompressOptions, Workers, compress_bytes_by};
use crate::base::Base;
use crate::block::{self, Given, Segment, Settings};
use crate::codec::{Counterpart, Level, Scratch, pattern251};
use crate::container::base::RECORD;
use crate::container::index::{FrameRow, Index, TensorRow};
use crate::container::reader::{Archive, with_scratch};
use crate::container::{FOOTER, HEADER, frame, varint};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::io::ReadAt;
use crate::source::{self, Input, Layout, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// Bytes that are encoded at every level, unless the caller says otherwise: less than a second's work for three levels and two threads.
pub const BUDGET: u64 = 24 << 20;

/// How many times as many are encoded at the fastest level.
const WIDE: u64 = 8;

/// Bytes of a class that are looked at at least, where it has so many.
const LEAST: u64 = 256 << 10;
/// Classes that are kept apart; the smallest ones beyond them are one.
const CLASSES: usize = 64;
/// Pieces of a class that are looked at, at most: very small tensors take longer than their bytes say.
const PIECES: u64 = 2048;

/// Bytes of a piece of a segment: a block of the slower levels.
fn piece_of(segment: &Segment) -> u64 {
    segment.block_size(Level::BALANCED) as u64
}

/// What one level would do.
#[derive(Clone, Copy, Debug)]
pub struct LevelEstimate {
    /// The level.
    pub level: Level,
    /// Bytes of the `.mmh`.
    pub stored: u64,
    /// Seconds to compress, with the self-check and the hashes, from a file to a file, if the disk keeps up.
    pub compress_seconds: f64,
    /// Seconds to decompress.
    pub decompress_seconds: f64,
}

/// What compressing would save and cost.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// Bytes of the source.
    pub source_bytes: u64,
    /// Bytes of it that were encoded to find out.
    pub sampled_bytes: u64,
    /// Whether all of them were, at every level, so that the sizes are exact.
    pub exact: bool,
    /// Format of the source.
    pub format: &'static str,
    /// Number of tensors.
    pub tensors: usize,
    /// Bytes of tensors that equal an earlier one.
    pub copied_bytes: u64,
    /// One for each level asked for.
    pub levels: Vec<LevelEstimate>,
}

/// Estimates a source, whose name will be stored with it, at some levels, perhaps against a base. Sizes are the same on every run; times are not.
pub fn estimate(
    source: &dyn ReadAt,
    name: &str,
    base: Option<Arc<Base>>,
    levels: &[Level],
    workers: &Workers,
    budget: u64,
) -> Result<Estimate> {
    let layout = source::find(Input { bytes: source, complete: true });
    let segments = block::segments(&layout, Some(source.len()));
    let copies = likely_copies(source, &segments, workers)?;
    let copied_bytes = copies.iter().map(|i| segments[*i].len).sum();
    let (format, tensors) = (layout.format.name(), layout.tensors.len());
    let exact = source.len() <= budget;
    let (sampled_bytes, levels) = if exact {
        (source.len(), whole(source, name, base, levels, workers)?)
    } else {
        let repeated = likely_repeats(source, &segments, &copies, workers)?;
        let classes = classes(&layout.tensors, &segments, &copies, &repeated);
        let against = Against::new(base.as_deref(), &layout, &segments);
        let sample = Sample {
            source,
            segments: &segments,
            classes: &classes,
            repeated: &repeated,
            against: against.as_ref(),
            workers,
        };
        let (sampled_bytes, mut estimates) = sampled(&sample, levels, budget)?;
        let record = against.map_or(0, |a| (RECORD + a.base.recorded_name().len()) as u64);
        let fixed = record + fixed_bytes(source.len(), name, layout, &segments, &copies);
        estimates.iter_mut().for_each(|e| e.stored += fixed);
        (sampled_bytes, estimates)
    };
    Ok(Estimate { source_bytes: source.len(), sampled_bytes, exact, format, tensors, copied_bytes, levels })
}

/// Compresses all of a small source, and decompresses it.
fn whole(
    source: &dyn ReadAt,
    name: &str,
    base: Option<Arc<Base>>,
    levels: &[Level],
    workers: &Workers,
) -> Result<Vec<LevelEstimate>> {
    let mut data = super::zeroed(source.len())?;
    let start = Instant::now();
    source.read_exact_at(0, &mut data)?;
    let (read, write) = (start.elapsed().as_secs_f64(), seconds_to_write());
    let mut back = super::zeroed(source.len())?;
    let counting = workers.counting(2 * source.len() * levels.len() as u64);
    let one = |&level: &Level| {
        let settings = Settings { level, codec: None, verify: true };
        let name = Some(name.to_owned());
        let options = CompressOptions {
            threads: workers.threads,
            blake3: true,
            name,
            base: base.clone(),
            ..CompressOptions::new(settings)
        };
        let start = Instant::now();
        let blob = compress_bytes_by(&data, None, &options, workers)?;
        let compress_seconds = start.elapsed().as_secs_f64() + read + write * blob.len() as f64;
        counting.advance(source.len());
        let start = Instant::now();
        let mut archive = Archive::open(blob.as_slice())?;
        archive.set_base(base.clone())?;
        archive.read_range(0, &mut back, workers, true)?;
        let decompress_seconds = start.elapsed().as_secs_f64() + write * data.len() as f64;
        counting.advance(source.len());
        Ok(LevelEstimate { level, stored: blob.len() as u64, compress_seconds, decompress_seconds })
    };
    levels.iter().map(one).collect()
}

/// A base, and where the counterparts of segments begin there.
struct Against<'a> {
    base: &'a Base,
    counterparts: HashMap<usize, u64>,
}

impl<'a> Against<'a> {
    /// `None` if nothing in the base is of use.
    fn new(base: Option<&'a Base>, layout: &Layout, segments: &[Segment]) -> Option<Against<'a>> {
        let base = base?;
        let counterparts = base.counterparts(layout, segments);
        (!counterparts.is_empty()).then_some(Against { base, counterparts })
    }

    /// Where the counterpart of so many bytes of a segment, from `offset` on, begins.
    fn place(&self, segment: usize, offset: u64, len: u64) -> Option<u64> {
        let start = self.counterparts.get(&segment)?.checked_add(offset)?;
        start.checked_add(len).filter(|end| *end <= self.base.len()).map(|_| start)
    }
}

/// Bytes of a source and, where there is one, their counterpart.
struct Stretch {
    data: Vec<u8>,
    counterpart: Option<(u64, Vec<u8>)>,
}

/// Segments that seem to equal an earlier one: of the same length, and alike wherever they are looked at.
fn likely_copies(source: &dyn ReadAt, segments: &[Segment], workers: &Workers) -> Result<Vec<usize>> {
    let mut lengths: HashMap<u64, u32> = HashMap::new();
    segments.iter().filter(|s| s.tensor.is_some()).for_each(|s| *lengths.entry(s.len).or_default() += 1);
    let twins = |s: &Segment| s.tensor.is_some() && s.len >= SHORTEST && lengths[&s.len] > 1;
    let candidates: Vec<usize> = (0..segments.len()).filter(|i| twins(&segments[*i])).collect();
    let looks =
        workers.map(candidates.clone(), |i| workers.check().and_then(|()| look(source, &segments[i])));
    let mut seen = std::collections::HashSet::new();
    let mut copies = Vec::new();
    for (i, look) in candidates.into_iter().zip(looks) {
        if look?.is_some_and(|hash| !seen.insert((segments[i].len, hash))) {
            copies.push(i);
        }
    }
    Ok(copies)
}

/// Tensors shorter than this are not looked at for equal ones.
const SHORTEST: u64 = 64;

/// Blocks shorter than this are not looked at for equal ones, and none of a source that has more of them than this: each is a read at another
/// place, and the user waits.
const SHORTEST_BLOCK: u64 = 4096;
const BLOCKS: usize = 4096;

/// Blocks that are likely to equal an earlier one, in their own tensor or in another: the positions of their segments, where they begin there,
/// and their lengths.
fn likely_repeats(
    source: &dyn ReadAt,
    segments: &[Segment],
    copies: &[usize],
    workers: &Workers,
) -> Result<Repeated> {
    let mut copies = copies.iter().peekable();
    let mut blocks: Vec<((usize, u64), Segment)> = Vec::new();
    for (i, s) in segments.iter().enumerate() {
        if copies.next_if(|c| **c == i).is_some() {
            continue;
        }
        let size = piece_of(s);
        for offset in (0..s.len.div_ceil(size)).map(|k| k * size) {
            let len = (s.len - offset).min(size);
            if len >= SHORTEST_BLOCK {
                blocks.push(((i, offset), Segment { start: s.start + offset, len, ..s.clone() }));
            }
            if blocks.len() > BLOCKS {
                return Ok(Repeated::new());
            }
        }
    }
    let all = |which: &[usize], look: &(dyn Fn(&Segment) -> Result<Option<[u8; 32]>> + Sync)| {
        let looks = workers.map(which.to_vec(), |i| workers.check().and_then(|()| look(&blocks[i].1)));
        looks.into_iter().collect::<Result<Vec<_>>>()
    };
    // The first few bytes of each, and more of those that are alike there.
    let first: Vec<usize> = (0..blocks.len()).collect();
    let hashes = all(&first, &|s| look(source, &Segment { len: FEW_BYTES, ..s.clone() }))?;
    let mut counts: HashMap<(u64, [u8; 32]), u32> = HashMap::new();
    let key = |i: &usize| hashes[*i].map(|hash| (blocks[*i].1.len, hash));
    first.iter().filter_map(key).for_each(|key| *counts.entry(key).or_default() += 1);
    let alike: Vec<usize> =
        first.into_iter().filter(|i| key(i).is_some_and(|key| counts[&key] > 1)).collect();
    let looks = all(&alike, &|s| look(source, s))?;
    let mut seen = std::collections::HashSet::new();
    let mut repeated = Repeated::new();
    for (i, look) in alike.into_iter().zip(looks) {
        let (place, block) = &blocks[i];
        if look.is_some_and(|hash| !seen.insert((block.len, hash))) {
            repeated.insert(*place, block.len);
        }
    }
    Ok(repeated)
}

/// Lengths of blocks, by the positions of their segments and where they begin there.
type Repeated = BTreeMap<(usize, u64), u64>;

/// Bytes of a look, at so many places.
const FEW_BYTES: u64 = 512;
const PLACES: u64 = 4;

/// A hash of some pieces of a segment; none where they are all one byte: then they say little, and a run takes no room anyway.
fn look(source: &dyn ReadAt, s: &Segment) -> Result<Option<[u8; 32]>> {
    let n = s.len.min(FEW_BYTES);
    let places = if s.len > n { PLACES } else { 1 };
    let mut pieces = vec![0u8; (n * places) as usize];
    for (i, piece) in pieces.chunks_mut(n as usize).enumerate() {
        source.read_exact_at(s.start + (s.len - n) * i as u64 / (PLACES - 1), piece)?;
    }
    let plain = pieces.iter().all(|b| *b == pieces[0]);
    Ok((!plain).then(|| *blake3::hash(&pieces).as_bytes()))
}

/// Segments that are likely to compress alike.
#[derive(Default)]
struct Class {
    /// Positions of the segments, the number of pieces of those before each, and the size of its pieces.
    segments: Vec<(usize, u64, u64)>,
    pieces: u64,
    bytes: u64,
    /// Bytes of blocks that were there before.
    repeated: u64,
}

impl Class {
    fn push(&mut self, position: usize, segment: &Segment) {
        let piece = piece_of(segment);
        self.segments.push((position, self.pieces, piece));
        self.pieces += segment.len.div_ceil(piece);
        self.bytes += segment.len;
    }

    /// Which of its pieces to look at: one in each of `n` equal parts, at places that follow the golden ratio, so that they fall into no
    /// step with the layers.
    fn choose(&self, n: u64) -> impl Iterator<Item = u64> {
        let pieces = self.pieces as u128;
        (0..n as u128).map(move |k| {
            let (from, to) = (k * pieces / n as u128, (k + 1) * pieces / n as u128);
            let place = (k as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (from + (((to - from) * place as u128) >> 64)) as u64
        })
    }

    /// How many pieces to look at for so many bytes.
    fn count(&self, bytes: u64) -> u64 {
        let wanted = bytes.max(LEAST).min(self.bytes) as u128 * self.pieces as u128;
        (wanted.div_ceil(self.bytes as u128) as u64).clamp(1, self.pieces.min(PIECES))
    }

    /// The segment of a piece, and its offset there.
    fn find(&self, piece: u64) -> (usize, u64) {
        let i = self.segments.partition_point(|s| s.1 <= piece) - 1;
        let (position, before, size) = self.segments[i];
        (position, (piece - before) * size)
    }
}

/// The name without its numbers.
fn family(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c => out.push(c),
        }
    }
    out
}

/// The classes in order of their first segments, the smallest ones joined.
fn classes(tensors: &[Tensor], segments: &[Segment], copies: &[usize], repeated: &Repeated) -> Vec<Class> {
    let key = |s: &Segment| (s.dtype.map(Dtype::id), s.tensor.map(|i| family(&tensors[i].name)));
    let mut copies = copies.iter().peekable();
    let mut positions: HashMap<(Option<u8>, Option<String>), usize> = HashMap::new();
    let mut members: Vec<(u64, Vec<usize>)> = Vec::new();
    for (i, s) in segments.iter().enumerate() {
        if copies.next_if(|c| **c == i).is_some() {
            continue;
        }
        let at = *positions.entry(key(s)).or_insert(members.len());
        if at == members.len() {
            members.push((0, Vec::new()));
        }
        members[at].0 += s.len;
        members[at].1.push(i);
    }
    // The sort is stable: equal sizes stay in order.
    members.sort_by_key(|m| std::cmp::Reverse(m.0));
    let rest: Vec<usize> =
        members.split_off(members.len().min(CLASSES - 1)).into_iter().flat_map(|m| m.1).collect();
    let all = members.into_iter().map(|m| m.1).chain((!rest.is_empty()).then_some(rest));
    all.map(|positions| {
        let mut class = Class::default();
        positions.iter().for_each(|&i| class.push(i, &segments[i]));
        class.repeated =
            positions.iter().flat_map(|i| repeated.range((*i, 0)..(*i + 1, 0))).map(|r| r.1).sum();
        class
    })
    .collect()
}

/// What was seen of a class, or of a piece, at one level.
#[derive(Clone, Copy, Default)]
struct Seen {
    raw: u64,
    stored: u64,
    encode: f64,
    decode: f64,
}

/// The same for some levels.
struct Measured {
    raw: u64,
    levels: Vec<Seen>,
    /// Seconds to read it, and to hash it once.
    read: f64,
    hash: f64,
}

impl Measured {
    /// Bytes stored per byte, at the level in this place.
    fn rate(&self, level: usize) -> f64 {
        self.levels[level].stored as f64 / self.levels[level].raw.max(1) as f64
    }
}

/// Pieces of every class, in proportion to its bytes.
struct Sample<'a> {
    source: &'a dyn ReadAt,
    segments: &'a [Segment],
    classes: &'a [Class],
    repeated: &'a Repeated,
    against: Option<&'a Against<'a>>,
    workers: &'a Workers,
}

impl Sample<'_> {
    /// Looks at about `budget` bytes, at some levels; `timed`: with the self-check, and decodes them as well. Gives what was seen of each
    /// class, and how many threads' work was done at a time.
    fn look(&self, budget: u64, levels: &[Level], timed: bool) -> Result<(Vec<Measured>, f64)> {
        let bytes: u64 = self.classes.iter().map(|c| c.bytes).sum();
        let mut chosen: Vec<(usize, u64)> = Vec::new();
        for (i, class) in self.classes.iter().enumerate() {
            let share = (budget as u128 * class.bytes as u128 / bytes.max(1) as u128) as u64;
            let wanted: Vec<u64> = class.choose(class.count(share)).collect();
            // What was there before says nothing of what is stored, unless there is nothing else.
            let is_new = |piece: &&u64| !self.repeated.contains_key(&class.find(**piece));
            let new: Vec<u64> = wanted.iter().filter(is_new).copied().collect();
            let wanted = if new.is_empty() { wanted } else { new };
            chosen.extend(wanted.into_iter().map(|piece| (i, piece)));
        }
        let place = |(class, piece): (usize, u64)| self.classes[class].find(piece);
        let each = levels.len() as u64;
        let wanted = |(i, offset): (usize, u64)| each * self.piece_len(i, offset);
        let counting = self.workers.counting(chosen.iter().map(|c| wanted(place(*c))).sum());
        let start = Instant::now();
        let measured = self.workers.map(chosen.clone(), |chosen| {
            let (segment, offset) = place(chosen);
            let measured = with_scratch(|s| {
                self.workers.attended(s, |s| self.measure(segment, offset, levels, timed, s))
            });
            counting.advance(wanted((segment, offset)));
            measured
        });
        let wall = start.elapsed().as_secs_f64();
        let nothing =
            || Measured { raw: 0, levels: vec![Seen::default(); levels.len()], read: 0.0, hash: 0.0 };
        let mut of_class: Vec<Measured> = self.classes.iter().map(|_| nothing()).collect();
        let mut busy = 0.0;
        for ((class, _), one) in chosen.iter().zip(measured) {
            let (one, all) = (one?, &mut of_class[*class]);
            all.raw += one.raw;
            all.read += one.read;
            all.hash += one.hash;
            busy += one.read + one.hash;
            for (sum, seen) in all.levels.iter_mut().zip(&one.levels) {
                sum.raw += seen.raw;
                sum.stored += seen.stored;
                sum.encode += seen.encode;
                sum.decode += seen.decode;
                busy += seen.encode + seen.decode;
            }
        }
        // Threads that share caches and memory, or that others use too, are less than so many times one.
        Ok((of_class, (busy / wall.max(1e-9)).clamp(1.0, self.workers.threads as f64)))
    }

    /// Bytes of the piece of a segment that begins there.
    fn piece_len(&self, segment: usize, offset: u64) -> u64 {
        let segment = &self.segments[segment];
        (segment.len - offset).min(piece_of(segment))
    }

    /// Encodes the blocks of a piece at each level; if `timed`, with the self-check, and decodes them.
    fn measure(
        &self,
        i: usize,
        offset: u64,
        levels: &[Level],
        timed: bool,
        scratch: &mut Scratch,
    ) -> Result<Measured> {
        let (segment, raw) = (&self.segments[i], self.piece_len(i, offset));
        let mut data = vec![0; raw as usize];
        let start = Instant::now();
        self.source.read_exact_at(segment.start + offset, &mut data)?;
        let counterpart = match self.against.and_then(|a| Some((a.base, a.place(i, offset, raw)?))) {
            Some((base, at)) => {
                let mut bytes = vec![0; raw as usize];
                base.read_exact_at(at, &mut bytes)?;
                Some((at, bytes))
            }
            None => None,
        };
        let stretch = Stretch { data, counterpart };
        let read = start.elapsed().as_secs_f64();
        let mut back = vec![0; if timed { raw as usize } else { 0 }];
        let start = Instant::now();
        if timed {
            std::hint::black_box(blake3::hash(&stretch.data));
        }
        let hash = start.elapsed().as_secs_f64();
        let one = |&level: &Level| {
            self.workers.check()?;
            measure_at(&stretch, &mut back, segment, offset, level, scratch)
        };
        Ok(Measured { raw, levels: levels.iter().map(one).collect::<Result<_>>()?, read, hash })
    }
}

/// Looks at pieces of each class, and takes them for all of it.
fn sampled(sample: &Sample<'_>, levels: &[Level], budget: u64) -> Result<(u64, Vec<LevelEstimate>)> {
    let &Sample { source, classes, .. } = sample;
    let (wide, _) = sample.look(budget * WIDE, &[Level::FAST], false)?;
    let all: Vec<Level> = std::iter::once(Level::FAST).chain(levels.iter().copied()).collect();
    let (narrow, threads) = sample.look(budget, &all, true)?;
    let scaled = |seconds: &dyn Fn(&Measured) -> f64| -> f64 {
        let each = classes.iter().zip(&narrow);
        each.map(|(c, m)| seconds(m) * c.bytes as f64 / m.raw.max(1) as f64).sum()
    };
    let (read, hash) = (scaled(&|m| m.read), scaled(&|m| m.hash));
    let write = seconds_to_write();
    // The base is read and hashed once, in both directions.
    let base =
        sample.against.map_or(0.0, |a| (read + hash) * a.base.len() as f64 / source.len().max(1) as f64);
    let estimates = (1..all.len()).map(|i| {
        let each = classes.iter().zip(wide.iter().zip(&narrow));
        let stored: f64 = each
            .map(|(c, (wide, narrow))| {
                (wide.rate(0) + narrow.rate(i) - narrow.rate(0)).max(0.0) * (c.bytes - c.repeated) as f64
            })
            .sum();
        // Beside the encoding, the source is read, and hashed once for itself and once for its tensors; when restored, once.
        LevelEstimate {
            level: all[i],
            stored: stored.round() as u64,
            compress_seconds: shared(
                scaled(&|m| m.levels[i].encode),
                base + read + 2.0 * hash + write * stored,
                threads,
            ),
            decompress_seconds: shared(
                scaled(&|m| m.levels[i].decode),
                base + hash + write * source.len() as f64,
                threads,
            ),
        }
    });
    Ok((wide.iter().map(|m| m.raw).sum(), estimates.collect()))
}

/// Seconds for work that is shared among threads beside work that is not.
fn shared(parallel: f64, serial: f64, threads: f64) -> f64 {
    ((parallel + serial) / threads).max(serial)
}

/// Seconds for a byte to go into a new file, as far as the system's cache; nothing where no file can be made.
fn seconds_to_write() -> f64 {
    const BYTES: usize = 1 << 20;
    const TIMES: usize = 16;
    let data = vec![1u8; BYTES];
    let start = Instant::now();
    let written = tempfile::tempfile().and_then(|mut file| {
        (0..TIMES).try_for_each(|_| std::io::Write::write_all(&mut file, &data))?;
        Ok(start.elapsed().as_secs_f64())
    });
    written.map_or(0.0, |seconds| seconds / (BYTES * TIMES) as f64)
}

/// The same at one level. Blocks are decoded into `back`, unless that is empty.
fn measure_at(
    stretch: &Stretch,
    back: &mut [u8],
    segment: &Segment,
    offset: u64,
    level: Level,
    scratch: &mut Scratch,
) -> Result<Seen> {
    let dtype = segment.dtype;
    let timed = !back.is_empty();
    let settings = Settings { level, codec: None, verify: timed };
    let mut seen = Seen::default();
    let mut payload = Vec::new();
    let mut in_run = offset > 0;
    let size = segment.block_size(level);
    let ends = offset + stretch.data.len() as u64 == segment.len;
    for (i, block) in stretch.data.chunks(size).enumerate() {
        if block.len() < size && !ends && seen.raw > 0 {
            break; // blocks of this level need not end where the piece does
        }
        seen.raw += block.len() as u64;
        let start = Instant::now();
        let base = stretch.counterpart.as_ref().map(|(at, bytes)| Counterpart {
            offset: at + (i * size) as u64,
            bytes: &bytes[i * size..i * size + block.len()],
        });
        let given = Given { data: block, declared: dtype, base, whole: block.len() as u64 == segment.len };
        let encoded = block::encode(&given, &settings, scratch, payload)?;
        seen.encode += start.elapsed().as_secs_f64();
        if timed {
            let back = &mut back[..block.len()];
            let start = Instant::now();
            let base = given.base.as_ref().map(|b| b as &dyn ReadAt);
            block::decode(encoded.codec, &encoded.payload, encoded.checksum, base, back, true, scratch)?;
            seen.decode += start.elapsed().as_secs_f64();
        }
        // A run that goes on is one frame with the block before.
        let is_run = encoded.codec == pattern251::ID;
        if !(is_run && in_run) {
            seen.stored += frame_bytes(encoded.raw, encoded.payload.len() as u64);
        }
        in_run = is_run;
        payload = encoded.payload;
    }
    Ok(seen)
}

/// Bytes of a frame and of its row in the index.
fn frame_bytes(raw: u64, stored: u64) -> u64 {
    let mut row = vec![0];
    varint::write(raw, &mut row);
    varint::write(stored, &mut row);
    frame::HEAD as u64 + stored + row.len() as u64
}

/// What does not depend on the level: header, footer, the index without the frames, and copies.
fn fixed_bytes(source_len: u64, name: &str, layout: Layout, segments: &[Segment], copies: &[usize]) -> u64 {
    let hash = Some([0; 32]);
    // Hashes do not compress, and names are as good as bytes to make some of.
    let row =
        |tensor: Tensor| TensorRow { blake3: Some(*blake3::hash(tensor.name.as_bytes()).as_bytes()), tensor };
    let tensors = layout.tensors.into_iter().map(row).collect();
    let frames: Vec<FrameRow> = Vec::new();
    let name = name.into();
    let index =
        Index { source_len, blake3: hash, sha256: None, format: layout.format, name, frames, tensors };
    let copied: u64 = copies.iter().map(|i| frame_bytes(segments[*i].len, 8)).sum();
    (HEADER + FOOTER + index.to_bytes().map_or(0, |b| b.len())) as u64 + copied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    /// A model of `layers` layers in a safetensors file: bf16 weights, noise that does not compress, zeros, a tensor and its twin.
    fn model(layers: usize) -> Vec<u8> {
        let mut header = BTreeMap::new();
        let mut data: Vec<u8> = Vec::new();
        let mut add = |name: String, dtype: &str, width: usize, bytes: Vec<u8>| {
            let range = [data.len(), data.len() + bytes.len()];
            let shape = [bytes.len() / width];
            header.insert(name, serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": range}));
            data.extend(bytes);
        };
        for i in 0..layers {
            let sums = |seed: u64, n: usize| -> Vec<u8> {
                let raw = noise(4 * n, seed + i as u64);
                let each =
                    raw.chunks(4).map(|c| c.iter().map(|b| *b as f32 / 255.0 - 0.5).sum::<f32>() * 0.05);
                each.flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect()
            };
            add(format!("layers.{i}.up"), "BF16", 2, sums(100, 700_000));
            add(format!("layers.{i}.ids"), "U8", 1, noise(300_000, 900 + i as u64));
            add(format!("layers.{i}.mask"), "F32", 4, vec![0; 400_000]);
            add(format!("layers.{i}.norm"), "BF16", 2, sums(300, 256));
        }
        add("head".into(), "U8", 1, noise(1_000_000, 5));
        add("twin".into(), "U8", 1, noise(1_000_000, 5));
        let text = serde_json::to_vec(&header).unwrap();
        [&(text.len() as u64).to_le_bytes()[..], &text, &data].concat()
    }

    fn truth(source: &[u8], level: Level) -> u64 {
        let settings = Settings { level, codec: None, verify: false };
        let options = CompressOptions { blake3: true, ..CompressOptions::new(settings) };
        crate::api::compress_bytes(source, None, &options).unwrap().len() as u64
    }

    const LEVELS: [Level; 3] = [Level::FAST, Level::BALANCED, Level::MAX];

    #[test]
    fn a_part_tells_the_size_of_the_whole() {
        let source = model(12);
        let found = estimate(&source, "", None, &LEVELS, &Workers::new(2), 1 << 20).unwrap();
        assert!(found.sampled_bytes < source.len() as u64 / 2, "{}", found.sampled_bytes);
        assert_eq!((found.format, found.tensors, found.copied_bytes), ("safetensors", 50, 1_000_000));
        for level in &found.levels {
            let truth = truth(&source, level.level) as f64;
            assert!((level.stored as f64 / truth - 1.0).abs() < 0.01, "{} {truth}", level.stored);
            assert!(level.compress_seconds > 0.0 && level.decompress_seconds > 0.0);
        }
    }

    #[test]
    fn small_sources_are_exact() {
        for source in [Vec::new(), b"x".to_vec(), noise(5000, 1), model(1)] {
            let found = estimate(&source, "", None, &LEVELS, &Workers::new(1), BUDGET).unwrap();
            assert_eq!(found.sampled_bytes, source.len() as u64);
            for level in found.levels {
                assert_eq!(level.stored, truth(&source, level.level));
            }
        }
    }

    #[test]
    fn blocks_that_were_there_before_cost_nothing() {
        let old = noise(4_000_000, 1);
        let parts = [
            old.clone(),
            [&old[..6 * block::BYTE_BLOCK], &noise(2_000_000, 2)].concat(),
            noise(1_000_000, 3),
        ];
        let mut at = 0;
        let header: BTreeMap<String, serde_json::Value> = (parts.iter().enumerate())
            .map(|(i, part)| {
                let range = [at, at + part.len()];
                at = range[1];
                let tensor = serde_json::json!({"dtype": "U8", "shape": [part.len()], "data_offsets": range});
                (format!("{i}"), tensor)
            })
            .collect();
        let text = serde_json::to_vec(&header).unwrap();
        let source = [&(text.len() as u64).to_le_bytes()[..], &text, &parts.concat()].concat();
        let found = estimate(&source, "", None, &LEVELS, &Workers::new(2), 1 << 20).unwrap();
        for level in &found.levels {
            let truth = truth(&source, level.level) as f64;
            assert!((level.stored as f64 / truth - 1.0).abs() < 0.01, "{} {truth}", level.stored);
        }
    }

    #[test]
    fn runs_cost_nothing_however_long() {
        let mut source = noise(251, 1).repeat(60_000);
        source.extend(noise(1000, 2));
        let found = estimate(&source, "", None, &[Level::BALANCED], &Workers::new(1), 1 << 20).unwrap();
        assert!(found.levels[0].stored < 5000, "{}", found.levels[0].stored);
    }

    #[test]
    fn it_is_the_same_each_time_for_any_number_of_threads() {
        let source = model(6);
        let sizes = |threads| {
            let found = estimate(&source, "", None, &LEVELS, &Workers::new(threads), 2 << 20).unwrap();
            found.levels.iter().map(|l| l.stored).collect::<Vec<_>>()
        };
        assert_eq!(sizes(1), sizes(3));
    }

    #[test]
    fn pieces_lie_in_different_parts_of_their_class() {
        for (pieces, n) in [(1, 1), (5, 5), (1000, 7), (400_000_000, 48)] {
            let class = Class { pieces, ..Class::default() };
            let chosen: Vec<u64> = class.choose(n).collect();
            assert_eq!(chosen.len() as u64, n);
            assert!(chosen.windows(2).all(|w| w[0] < w[1]) && chosen.iter().all(|c| *c < pieces));
        }
        assert_eq!(family("model.layers.10.w2"), "model.layers.#.w#");
    }
}

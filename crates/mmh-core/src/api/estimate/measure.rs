//! Pieces of every class, encoded at some levels.

use super::classes::{Class, piece_of};
use super::repeats::Repeated;
use super::size::frame_bytes;
use crate::api::Workers;
use crate::block::{self, Given, Segment, Settings};
use crate::codec::{Counterpart, Held, Level, Scratch, pattern251};
use crate::container::reader::with_scratch;
use crate::counterparts::Counterparts;
use crate::error::Result;
use crate::io::ReadAt;
use std::time::Instant;

/// Bytes of a source and, where there is one, their counterpart.
struct Stretch<'a> {
    data: Vec<u8>,
    counterpart: Option<Counterpart<'a>>,
}

/// What was seen of a class, or of a piece, at one level.
#[derive(Clone, Copy, Default)]
pub struct Seen {
    pub raw: u64,
    pub stored: u64,
    pub encode: f64,
    pub decode: f64,
}

/// The same for some levels.
pub struct Measured {
    pub raw: u64,
    pub levels: Vec<Seen>,
    /// Seconds to read it, and to hash it once.
    pub read: f64,
    pub hash: f64,
}

impl Measured {
    /// Bytes stored per byte, at the level in this place.
    pub fn rate(&self, level: usize) -> f64 {
        self.levels[level].stored as f64 / self.levels[level].raw.max(1) as f64
    }
}

/// Pieces of every class, in proportion to its bytes.
pub struct Sample<'a> {
    pub source: &'a dyn ReadAt,
    pub segments: &'a [Segment],
    pub classes: &'a [Class],
    pub repeated: &'a Repeated,
    pub against: &'a Counterparts<'a>,
    pub workers: &'a Workers,
}

impl Sample<'_> {
    /// Looks at about `budget` bytes, at some levels; `timed`: with the self-check, and decodes them as well. Gives what was seen of each
    /// class, and how many threads' work was done at a time.
    pub fn look(&self, budget: u64, levels: &[Level], timed: bool) -> Result<(Vec<Measured>, f64)> {
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
        Ok((of_class, (busy / wall.max(1e-9)).clamp(1.0, self.workers.threads() as f64)))
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
        let mut held = Held::default();
        let counterpart = self.against.read((i, offset), raw as usize, Level::BALANCED, &mut held)?;
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
            let size = self.against.block_size((i, segment), level);
            measure_at(&stretch, &mut back, (segment, offset, size), level, scratch)
        };
        Ok(Measured { raw, levels: levels.iter().map(one).collect::<Result<_>>()?, read, hash })
    }
}

/// Encodes the blocks of a stretch at one level. They are decoded into `back`, unless that is empty.
fn measure_at(
    stretch: &Stretch<'_>,
    back: &mut [u8],
    (segment, offset, size): (&Segment, u64, usize),
    level: Level,
    scratch: &mut Scratch,
) -> Result<Seen> {
    let dtype = segment.dtype;
    let timed = !back.is_empty();
    let settings = Settings { level, codec: None, verify: timed };
    let mut seen = Seen::default();
    let mut payload = Vec::new();
    let mut in_run = offset > 0;
    let ends = offset + stretch.data.len() as u64 == segment.len;
    for (i, block) in stretch.data.chunks(size).enumerate() {
        if block.len() < size && !ends && seen.raw > 0 {
            break; // blocks of this level need not end where the piece does
        }
        seen.raw += block.len() as u64;
        let start = Instant::now();
        let base = stretch.counterpart.map(|whole| whole.part(i * size, block.len()));
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

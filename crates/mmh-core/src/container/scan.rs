//! Frames found by what they are, where no index says where they are.
//!
//! Each frame tells where the next one begins, and proves itself: its bytes decode, and have its checksum. Where a frame does not hold, the
//! next one is looked for: two bytes of sync and a head that makes sense first, which noise hardly ever shows, and then the checksum.

use super::frame::{HEAD, Head, SYNC};
use super::index;
use crate::api::{BATCH_BLOCKS, Progress, Step, Workers};
use crate::block;
use crate::codec::delta::{self, Place};
use crate::codec::{self, Scratch, pattern251};
use crate::container::reader::{first_block, with_scratch};
use crate::error::{Error, Result};
use crate::io::ReadAt;
use crate::limits::Limits;
use memchr::memmem;

/// Bytes that are read to find the next heads of small frames.
const HEADS: u64 = 1 << 12;
/// Bytes of the first and of the largest piece that is searched for a head.
const PIECE: (u64, u64) = (1 << 12, 4 << 20);
/// What decoding in vain may cost, beside a few times the file: noise never comes near it, a file full of false frames does.
const VAIN: u64 = 256 << 20;

/// A frame that holds, or one that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Byte of the file at which its head begins.
    pub offset: u64,
    /// What its head says.
    pub head: Head,
}

impl Found {
    /// Byte of the file behind its last.
    pub fn end(&self) -> u64 {
        self.offset + HEAD as u64 + self.head.stored as u64
    }
}

/// Frames that hold, each beginning where the one before ends.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// At least one.
    pub frames: Vec<Found>,
    /// Damaged frames, if nothing else is between the stretch before, or the place where the scan began, and this one: each begins where the
    /// one before says that it does, and so does this stretch.
    pub damaged: Option<Vec<Head>>,
}

impl Stretch {
    /// Its bytes of the file.
    pub fn range(&self) -> std::ops::Range<u64> {
        let start = self.frames.first().map_or(0, |f| f.offset);
        start..self.frames.last().map_or(start, Found::end)
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Scan {
    /// In the order of the file.
    pub stretches: Vec<Stretch>,
    /// There are differences from a base, which was not given.
    pub needs_base: bool,
    /// So much was decoded in vain that the rest of the file was not looked at.
    pub gave_up: bool,
}

impl Scan {
    /// Bytes of a file of `len` bytes, from `start` on, that are in no frame that holds.
    pub fn gaps(&self, start: u64, len: u64) -> Vec<std::ops::Range<u64>> {
        let mut at = start;
        let ends = self.stretches.iter().map(Stretch::range).chain(std::iter::once(len..len));
        let gaps = ends.map(|r| std::mem::replace(&mut at, r.end)..r.start);
        gaps.filter(|gap| gap.start < gap.end).collect()
    }
}

/// Looks for frames from byte `from` on. What they restore in all is held against the limits.
pub fn scan(
    input: &dyn ReadAt,
    from: u64,
    base: Option<&dyn ReadAt>,
    limits: &Limits,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Scan> {
    let vain = input.len().saturating_mul(4).saturating_add(VAIN);
    let heads = Heads { input, held: Vec::new(), start: 0 };
    // Frames that go on from the first one are nothing without it.
    let prefix = with_scratch(|scratch| first_block(input, from, scratch)).ok();
    let mut scanner = Scanner {
        input,
        bases: Bases { base, prefix: prefix.as_deref() },
        limits,
        workers,
        heads,
        vain,
        raw: 0,
        damaged: Some(Vec::new()),
        first: None,
        scan: Scan::default(),
    };
    let mut at = from;
    loop {
        workers.check()?;
        progress(Step { done: at, total: Some(input.len()), stored: at })?;
        let batch = scanner.chain(at)?;
        if let Some(last) = batch.last() {
            at = last.end();
            scanner.judge(batch)?;
            if scanner.vain == 0 {
                scanner.scan.gave_up = true;
                break;
            }
            continue;
        }
        // What a damaged frame says of its end may be the damage.
        let next = scanner.first.take().unwrap_or(at) + 1;
        scanner.damaged = None;
        match scanner.search(next, progress)? {
            Some(found) => {
                at = found.end();
                scanner.accept(found)?;
            }
            None => break,
        }
    }
    Ok(scanner.scan)
}

/// What frames refer to.
#[derive(Clone, Copy)]
struct Bases<'a> {
    base: Option<&'a dyn ReadAt>,
    /// What the first frame restores.
    prefix: Option<&'a [u8]>,
}

struct Scanner<'a> {
    input: &'a dyn ReadAt,
    bases: Bases<'a>,
    limits: &'a Limits,
    workers: &'a Workers,
    heads: Heads<'a>,
    /// Bytes that may still be decoded in vain.
    vain: u64,
    /// Bytes that all frames restore so far.
    raw: u64,
    /// As of the next stretch.
    damaged: Option<Vec<Head>>,
    /// Where the first of those damaged frames is.
    first: Option<u64>,
    scan: Scan,
}

impl Scanner<'_> {
    /// Frames from `at` on, as far as their heads say, and no more than a batch.
    fn chain(&mut self, mut at: u64) -> Result<Vec<Found>> {
        let mut batch = Vec::new();
        let mut size = 0;
        while size < self.workers.batch() as u64 && batch.len() < BATCH_BLOCKS {
            let Some(found) = self.heads.at(at)? else { break };
            at = found.end();
            size += cost(&found);
            batch.push(found);
        }
        Ok(batch)
    }

    /// Decodes frames that stand one behind the other.
    fn judge(&mut self, batch: Vec<Found>) -> Result<()> {
        let (input, bases) = (self.input, self.bases);
        let verdicts = self.workers.map(batch.clone(), |found| holds(input, bases, &found));
        for (found, verdict) in batch.into_iter().zip(verdicts) {
            match verdict? {
                true => self.accept(found)?,
                false => self.reject(found),
            }
        }
        Ok(())
    }

    fn accept(&mut self, found: Found) -> Result<()> {
        let sum = self.raw.checked_add(found.head.raw);
        self.raw = sum.ok_or_else(|| Error::Limit("frames restore more than 2^64 bytes".into()))?;
        self.limits.check_restored(self.raw, self.input.len())?;
        self.first = None;
        // Only what goes on without a gap belongs to the stretch before.
        match (self.damaged.replace(Vec::new()), self.scan.stretches.last_mut()) {
            (Some(none), Some(stretch)) if none.is_empty() => stretch.frames.push(found),
            (damaged, _) => self.scan.stretches.push(Stretch { frames: vec![found], damaged }),
        }
        Ok(())
    }

    fn reject(&mut self, found: Found) {
        self.scan.needs_base |= found.head.codec == delta::ID && self.bases.base.is_none();
        self.vain = self.vain.saturating_sub(cost(&found));
        self.first.get_or_insert(found.offset);
        if let Some(damaged) = &mut self.damaged {
            damaged.push(found.head);
        }
    }

    /// The next frame that holds, from `at` on.
    fn search(&mut self, mut at: u64, progress: Progress<'_>) -> Result<Option<Found>> {
        let finder = memmem::Finder::new(&SYNC);
        let mut piece = PIECE.0;
        let mut held = Vec::new();
        while at + HEAD as u64 <= self.input.len() {
            self.workers.check()?;
            progress(Step { done: at, total: Some(self.input.len()), stored: at })?;
            let n = piece.min(self.input.len() - at);
            held.resize(n as usize, 0);
            self.input.read_exact_at(at, &mut held)?;
            for hit in finder.find_iter(&held) {
                // One that is cut off here is whole in the next piece.
                let Some(head) = held[hit..].first_chunk() else { break };
                let Some(found) = plausible(head, at + hit as u64, self.input.len()) else { continue };
                if holds(self.input, self.bases, &found)? {
                    return Ok(Some(found));
                }
                self.scan.needs_base |= found.head.codec == delta::ID && self.bases.base.is_none();
                self.vain = self.vain.saturating_sub(cost(&found));
                if self.vain == 0 {
                    self.scan.gave_up = true;
                    return Ok(None);
                }
            }
            at += n - (HEAD as u64 - 1);
            piece = (piece * 2).min(PIECE.1);
        }
        Ok(None)
    }
}

/// A frame whose head makes sense at this place of a file of `len` bytes.
fn plausible(head: &[u8; HEAD], offset: u64, len: u64) -> Option<Found> {
    let found = Found { offset, head: Head::from_bytes(head).ok()? };
    (found.end() <= len).then_some(found)
}

/// Whether a frame or the index begins there, or the file ends.
fn something_begins(input: &dyn ReadAt, at: u64) -> Result<bool> {
    let mut head = [0; HEAD];
    let n = input.len().saturating_sub(at).min(HEAD as u64) as usize;
    input.read_exact_at(at, &mut head[..n])?;
    let sync = &head[..n.min(SYNC.len())];
    let is_index = [index::SYNC, index::PACKED_SYNC].iter().any(|s| sync == s);
    Ok(n == 0 || is_index || n == HEAD && plausible(&head, at, input.len()).is_some())
}

/// What it takes to decode a frame, in bytes.
fn cost(found: &Found) -> u64 {
    let raw = if codec::is_run(found.head.codec) { 0 } else { found.head.raw };
    HEAD as u64 + found.head.stored as u64 + raw
}

/// Heads that are read where they stand close together.
struct Heads<'a> {
    input: &'a dyn ReadAt,
    held: Vec<u8>,
    start: u64,
}

impl Heads<'_> {
    fn at(&mut self, at: u64) -> Result<Option<Found>> {
        let len = self.input.len();
        if at.checked_add(HEAD as u64).is_none_or(|end| end > len) {
            return Ok(None);
        }
        let end = self.start + self.held.len() as u64;
        if at < self.start || at + HEAD as u64 > end {
            self.held.resize(HEADS.min(len - at) as usize, 0);
            self.start = at;
            self.input.read_exact_at(at, &mut self.held)?;
        }
        let head = self.held[(at - self.start) as usize..].first_chunk();
        Ok(head.and_then(|head| plausible(head, at, len)))
    }
}

/// Whether a frame is what its head says.
fn holds(input: &dyn ReadAt, bases: Bases<'_>, found: &Found) -> Result<bool> {
    with_scratch(|scratch| {
        let mut stored = std::mem::take(&mut scratch.stored);
        let mut out = std::mem::take(&mut scratch.check);
        let verdict = decodes(input, bases, found, &mut stored, &mut out, scratch);
        (scratch.stored, scratch.check) = (stored, out);
        match verdict {
            Ok(()) => Ok(true),
            Err(e @ (Error::Io { .. } | Error::Stopped)) => Err(e),
            Err(_) => Ok(false),
        }
    })
}

fn decodes(
    input: &dyn ReadAt,
    bases: Bases<'_>,
    found: &Found,
    stored: &mut Vec<u8>,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<()> {
    let Head { codec, raw, checksum, .. } = found.head;
    let n = found.head.stored as usize;
    stored.resize(stored.len().max(n), 0);
    let payload = &mut stored[..n];
    input.read_exact_at(found.offset + HEAD as u64, payload)?;
    if codec::is_run(codec) {
        block::check_run(payload, checksum, raw)?;
        return if codec == pattern251::ID { pattern251::check(payload, raw) } else { Ok(()) };
    }
    if codec == delta::RELATIVE {
        // What it refers to is known when all frames have their places. Until then it is believed where its end is that of a frame.
        Place::read(payload, raw as usize)?;
        return if something_begins(input, found.end())? { Ok(()) } else { Err(Error::corrupt("no end")) };
    }
    out.resize(out.len().max(raw as usize), 0);
    let prefix = bases.prefix.as_ref().map(|p| p as &dyn ReadAt);
    let base = if codec == codec::PREFIX { prefix } else { bases.base };
    block::decode(codec, payload, checksum, base, &mut out[..raw as usize], true, scratch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::run_checksum;
    use crate::testing::noise;
    use mmh_kernels::checksum::xxh3;

    /// A block of these bytes, stored as they are.
    fn block_of(data: &[u8]) -> Vec<u8> {
        let head = Head { codec: 0, stored: data.len() as u32, raw: data.len() as u64, checksum: xxh3(data) };
        [&head.to_bytes()[..], data].concat()
    }

    fn run_of(pattern: &[u8], raw: u64) -> Vec<u8> {
        let checksum = run_checksum(pattern, raw);
        let head = Head { codec: 1, stored: pattern.len() as u32, raw, checksum };
        [&head.to_bytes()[..], pattern].concat()
    }

    fn found_in(file: &[u8]) -> Scan {
        scan(&file, 0, None, &Limits::default(), &Workers::new(2), &mut |_| Ok(())).unwrap()
    }

    /// Numbers of frames of the stretches, and of damaged ones before each.
    fn shape(scan: &Scan) -> Vec<(usize, Option<usize>)> {
        scan.stretches.iter().map(|s| (s.frames.len(), s.damaged.as_ref().map(Vec::len))).collect()
    }

    #[test]
    fn frames_that_follow_each_other_are_one_stretch() {
        let file =
            [block_of(&noise(5000, 1)), run_of(b"abc", 1 << 40 >> 10), block_of(&noise(70, 2))].concat();
        let scan = found_in(&file);
        assert_eq!(shape(&scan), [(3, Some(0))]);
        assert!(scan.gaps(0, file.len() as u64).is_empty());
    }

    #[test]
    fn a_damaged_frame_is_passed_over_and_known_as_one() {
        let blocks: Vec<Vec<u8>> = (0..5).map(|i| block_of(&noise(3000, i))).collect();
        let size = blocks[0].len();
        let mut file = blocks.concat();
        file[size + 500] ^= 1;
        file[2 * size + 500] ^= 1;
        assert_eq!(shape(&found_in(&file)), [(1, Some(0)), (2, Some(2))]);
        // Its head: nothing says how much is missing.
        file[size] ^= 1;
        let scan = found_in(&file);
        assert_eq!(shape(&scan), [(1, Some(0)), (2, None)]);
        let gaps = scan.gaps(0, file.len() as u64);
        assert_eq!(gaps.len(), 1);
        assert_eq!(gaps[0], size as u64..3 * size as u64);
        // A size that leads nowhere.
        let mut file = blocks.concat();
        file[size + 5] ^= 4;
        assert_eq!(shape(&found_in(&file)), [(1, Some(0)), (3, None)]);
    }

    #[test]
    fn bytes_that_were_put_in_are_passed_over_wherever_pieces_end() {
        let blocks: Vec<Vec<u8>> = (0..3).map(|i| block_of(&noise(100, i))).collect();
        for n in (1..200).chain((3950..4150).step_by(7)).chain([1 << 16]) {
            let file = [&blocks[0][..], &noise(n, 9), &blocks[1], &blocks[2]].concat();
            let scan = found_in(&file);
            assert_eq!(shape(&scan), [(1, Some(0)), (2, None)], "{n}");
            assert_eq!(scan.stretches[1].frames[0].offset, (blocks[0].len() + n) as u64);
        }
    }

    #[test]
    fn false_frames_are_given_up_after_a_while() {
        // Each says that it restores 16 MiB, and none does.
        let head = Head { codec: 3, stored: 1, raw: 1 << 24, checksum: 0 }.to_bytes();
        let file = [&head[..], &[7]].concat().repeat(2000);
        let scan = found_in(&file);
        assert!(scan.gave_up && scan.stretches.is_empty());
    }
}

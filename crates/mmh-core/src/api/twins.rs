//! Blocks that were there before: a copy takes their place.
//!
//! A block is looked for by the checksum that it has anyway, among the blocks that were written as they are, and then compared: a checksum
//! alone proves nothing. That takes place where frames are written, in order, so what is found is the same for any number of threads.
//!
//! Threads that encode look there before, and leave out a block that equals one which has been written. Which ones have been depends on how far the
//! others are, but not what becomes of the block: what was made of an equal block that is encoded in the same way is what would be made of it, and
//! that was worth a copy, so it would become one in any case, of the same first block.

use super::Workers;
use super::between::Stretch;
use crate::block::Coded;
use crate::codec::delta;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::io::ReadAt;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

/// Blocks that take fewer bytes than this are not worth a copy frame, and neither are tensors shorter than this.
pub const SHORTEST_COPY: u64 = 64;

/// Bytes that are compared at a time.
const PIECE: usize = 1 << 18;

/// All that counts when a block is encoded, beside its bytes, where there is no base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Of its segment.
    pub dtype: Option<Dtype>,
    /// Whether it is all of its segment.
    pub whole: bool,
    /// What its segment is beside tensors.
    pub stretch: Stretch,
}

/// The first block with some checksum and length.
#[derive(Clone, Copy)]
struct First {
    /// Source offset.
    at: u64,
    /// `None` for one that was encoded against a counterpart.
    manner: Option<Manner>,
}

/// What has been written so far.
pub struct Twins<'a> {
    /// The source, which is read again to compare.
    source: &'a dyn ReadAt,
    /// By checksum and length.
    firsts: Mutex<HashMap<(u64, u64), First>>,
    /// Stretches of the source that are stored as copies, by their start: length, and where they are copied from. Only whole tensors are
    /// copied from elsewhere than their own blocks, so a file without them needs no such list.
    copied: Option<Mutex<BTreeMap<u64, (u64, u64)>>>,
}

impl<'a> Twins<'a> {
    /// Nothing has been written. `tensors`: whether there are whole tensors that are copies.
    pub fn new(source: &'a dyn ReadAt, tensors: bool) -> Twins<'a> {
        Twins { source, firsts: Mutex::default(), copied: tensors.then(Mutex::default) }
    }

    /// Where the same bytes as those of a block were before, if that has been written, and the block would be encoded in the same manner: it is
    /// a copy whatever is made of it, and need not be encoded.
    pub fn known(
        &self,
        data: &[u8],
        checksum: u64,
        manner: Option<Manner>,
        workers: &Workers,
    ) -> Result<Option<u64>> {
        let key = (checksum, data.len() as u64);
        let first = self.firsts.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        match first.filter(|first| first.manner.is_some() && first.manner == manner) {
            Some(first) if self.is_at(first.at, data, workers)? => Ok(Some(first.at)),
            _ => Ok(None),
        }
    }

    /// Where the same bytes as those of the block `data` at source offset `at` were before; it will be stored as a copy then.
    pub fn find(
        &self,
        at: u64,
        data: &[u8],
        coded: &Coded,
        stored: u64,
        manner: Option<Manner>,
        workers: &Workers,
    ) -> Result<Option<u64>> {
        if stored < SHORTEST_COPY {
            return Ok(None);
        }
        let raw = data.len() as u64;
        let mut firsts = self.firsts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (coded.checksum, raw);
        // A relative block is never the origin of a copy: a root may be that copy, and roots must not depend on relatives.
        let first = match coded.codec {
            delta::RELATIVE => firsts.get(&key).copied(),
            _ => Some(*firsts.entry(key).or_insert(First { at, manner })),
        };
        drop(firsts);
        let Some(First { at: from, .. }) = first else { return Ok(None) };
        if from == at || !self.is_at(from, data, workers)? {
            return Ok(None);
        }
        self.copy(at, raw, from);
        Ok(Some(from))
    }

    /// So many bytes from `at` on are stored as a copy.
    pub fn copy(&self, at: u64, raw: u64, from: u64) {
        if let Some(copied) = &self.copied {
            copied.lock().unwrap_or_else(PoisonError::into_inner).insert(at, (raw, from));
        }
    }

    /// Whether the source has these bytes there.
    fn is_at(&self, from: u64, data: &[u8], workers: &Workers) -> Result<bool> {
        if let Some(there) = self.source.slice(from, data.len()) {
            return Ok(there == data);
        }
        let mut there = vec![0; PIECE.min(data.len())];
        let mut from = from;
        for piece in data.chunks(PIECE) {
            workers.check()?;
            let there = &mut there[..piece.len()];
            self.source.read_exact_at(from, there)?;
            if there != piece {
                return Ok(false);
            }
            from += piece.len() as u64;
        }
        Ok(true)
    }

    /// Where so many bytes, equal to those from `from` on, are copied from: stretches in order, offset and length of each, none of them a copy itself.
    pub fn origins(&self, from: u64, raw: u64) -> Vec<(u64, u64)> {
        let (mut at, end) = (from, from + raw);
        let mut found = Vec::new();
        let copied = self.copied.as_ref().map(|c| c.lock().unwrap_or_else(PoisonError::into_inner));
        for (&start, &(len, origin)) in copied.iter().flat_map(|c| c.range(from..end)) {
            if start > at {
                found.push((at, start - at));
            }
            found.push((origin, len));
            at = start + len;
        }
        if at < end {
            found.push((at, end - at));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::compress::compress_at;
    use super::super::{CompressOptions, decompress_bytes};
    use super::*;
    use crate::block::{BYTE_BLOCK, Settings};
    use crate::codec::{COPY, Level};
    use crate::container::reader::Archive;
    use crate::container::writer::Target;
    use crate::dtype::Dtype;
    use crate::source::{Format, Layout, Tensor};
    use crate::testing::noise;
    use mmh_kernels::checksum;

    fn options(threads: usize) -> CompressOptions {
        let settings = Settings { level: Level::BALANCED, codec: None, verify: false };
        CompressOptions { threads, blake3: true, ..CompressOptions::new(settings) }
    }

    /// A source of pieces of blocks, each numbered by what is in it; and the tensors that they are cut into, by their blocks.
    fn source_of(blocks: &[u64], tensors: &[usize]) -> (Vec<u8>, Layout) {
        let data: Vec<u8> = blocks.iter().flat_map(|seed| noise(BYTE_BLOCK, *seed)).collect();
        let mut start = 0;
        let tensor = |(i, n): (usize, &usize)| {
            let len = (n * BYTE_BLOCK) as u64;
            start += len;
            let (name, shape) = (i.to_string(), vec![len]);
            Tensor { name, dtype: Dtype::U8, shape, fortran: false, start: start - len, len }
        };
        let tensors = tensors.iter().enumerate().map(tensor).collect();
        (data, Layout::of(Format::Safetensors, tensors))
    }

    /// Compresses into a target by so many threads, and gives the copies: source offset, length, and where from, in blocks.
    fn copies<W: Target + AsRef<[u8]>>(
        (data, layout): &(Vec<u8>, Layout),
        out: W,
        threads: usize,
    ) -> (W, Vec<(u64, u64, u64)>) {
        let workers = Workers::new(threads);
        let (out, _) =
            compress_at(data, layout.clone(), out, &options(threads), &workers, &mut |_| Ok(())).unwrap();
        let blob = out.as_ref();
        assert!(decompress_bytes(blob, threads, true).unwrap() == *data);
        let archive = Archive::open(blob).unwrap();
        let block = BYTE_BLOCK as u64;
        let of = |(i, f): (usize, &crate::container::reader::Frame)| {
            let from = (f.codec == COPY).then(|| archive.copied(i, true).unwrap())?;
            Some((f.start / block, f.raw / block, from / block))
        };
        let copies = archive.frames().iter().enumerate().filter_map(of).collect();
        (out, copies)
    }

    #[test]
    fn blocks_that_were_there_before_are_copies() {
        for (blocks, tensors, expected) in [
            (vec![1, 2, 3, 4], vec![2, 2], vec![]),
            // Side by side they are one, but not across the border of a tensor.
            (vec![1, 2, 3, 1, 2, 3, 9], vec![7], vec![(3, 3, 0)]),
            (vec![1, 2, 3, 1, 2, 3, 9], vec![3, 2, 2], vec![(3, 2, 0), (5, 1, 2)]),
            (vec![1, 1, 1, 2, 1, 2, 1], vec![7], vec![(1, 1, 0), (2, 1, 0), (4, 1, 0), (5, 1, 3), (6, 1, 0)]),
            // A tensor that equals one which has copies itself.
            (
                vec![1, 2, 5, 2, 6, 1, 5, 2, 6, 1],
                vec![2, 4, 4],
                vec![(3, 1, 1), (5, 1, 0), (6, 1, 2), (7, 1, 1), (8, 1, 4), (9, 1, 0)],
            ),
            (vec![1, 2, 5, 1, 2, 5, 1, 2], vec![2, 3, 3], vec![(3, 2, 0), (5, 1, 2), (6, 2, 0)]),
        ] {
            let source = source_of(&blocks, &tensors);
            let (blob, found) = copies(&source, Vec::new(), 1);
            assert_eq!(found, expected, "{blocks:?} {tensors:?}");
            assert!(copies(&source, Vec::new(), 3).0 == blob, "{blocks:?} {tensors:?}");
        }
    }

    /// A pipe: what went in cannot be changed.
    #[derive(Default)]
    struct Pipe(Vec<u8>);

    impl std::io::Write for Pipe {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.0.write(buf)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Target for Pipe {
        type Place = std::convert::Infallible;
    }

    impl AsRef<[u8]> for Pipe {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    #[test]
    fn a_pipe_has_copies_if_its_header_says_so_from_the_first() {
        assert_eq!(copies(&source_of(&[1, 2, 1, 2], &[4]), Pipe::default(), 1).1, []);
        assert_eq!(
            copies(&source_of(&[1, 2, 1, 2, 3, 2], &[2, 2, 2]), Pipe::default(), 1).1,
            [(2, 2, 0), (5, 1, 1)]
        );
    }

    #[test]
    fn blocks_of_one_lot_are_encoded_once() {
        // What stands between tensors: of those themselves, equal ones are copies before anything is encoded.
        let (mut data, mut tensors) = (Vec::new(), Vec::new());
        for (i, seed) in [1, 1, 2, 1, 2, 3].into_iter().enumerate() {
            data.extend(noise(80_000, seed));
            let (start, len) = (data.len() as u64, 100);
            data.extend(noise(len as usize, 100 + i as u64));
            let name = i.to_string();
            tensors.push(Tensor { name, dtype: Dtype::U8, shape: vec![len], fortran: false, start, len });
        }
        let layout = Layout::of(Format::Safetensors, tensors);
        let settings = Settings { level: Level::FAST, codec: None, verify: true };
        let options = CompressOptions { blake3: true, ..CompressOptions::new(settings) };
        let mut found = Vec::new();
        for threads in [1, 3] {
            let workers = Workers::new(threads);
            let quiet = &mut |_| Ok(());
            let (pipe, _) =
                compress_at(&data, layout.clone(), Pipe::default(), &options, &workers, quiet).unwrap();
            let (file, _) =
                compress_at(&data, layout.clone(), Vec::new(), &options, &workers, quiet).unwrap();
            // Only in the file, whose header can be told of them, they are copies.
            for (blob, expected) in [(pipe.as_ref(), 0), (file.as_slice(), 3)] {
                assert!(decompress_bytes(blob, threads, true).unwrap() == data);
                let archive = Archive::open(blob).unwrap();
                assert_eq!(archive.frames().iter().filter(|f| f.codec == COPY).count(), expected);
            }
            found.push((pipe.0, file));
        }
        assert!(found[0] == found[1]);
    }

    #[test]
    fn a_checksum_alone_proves_nothing() {
        let source = noise(3 * BYTE_BLOCK, 1);
        let n = BYTE_BLOCK;
        let sum = checksum::xxh3(&source[..n]);
        let coded = Coded { codec: 0, raw: n as u64, checksum: sum };
        let workers = Workers::new(1);
        let twins = Twins::new(&source, false);
        let manner = Manner { dtype: Some(Dtype::U8), whole: false, stretch: Stretch::Other };
        let find = |at: usize, data: &[u8]| {
            twins.find(at as u64, data, &coded, n as u64, Some(manner), &workers).unwrap()
        };
        let known = |data: &[u8], manner| twins.known(data, sum, manner, &workers).unwrap();
        assert_eq!(known(&source[..n], Some(manner)), None);
        assert_eq!(find(0, &source[..n]), None);
        assert_eq!(find(n, &source[n..2 * n]), None);
        assert_eq!(find(2 * n, &source[..n]), Some(0));
        assert_eq!(find(2 * n, &source[..n - 1]), None);
        assert_eq!(known(&source[..n], Some(manner)), Some(0));
        assert_eq!(known(&source[n..2 * n], Some(manner)), None);
        // What would be made of it is known only where it is encoded in the same way.
        assert_eq!(known(&source[..n], Some(Manner { dtype: Some(Dtype::I8), ..manner })), None);
        assert_eq!(known(&source[..n], Some(Manner { whole: true, ..manner })), None);
        assert_eq!(known(&source[..n], None), None);
    }
}

//! Datasets in chunks: where those are. Each is a piece of the array of the same shape, in row-major order, at the edges of the array
//! with elements that are not used.
//!
//! The index that is kept unless asked otherwise is a B-tree; the newest version of the format has none for one chunk or for chunks one behind
//! the other, and a list of addresses for a dataset that cannot grow. Of those that can (extensible arrays, a B-tree of the second version) the
//! chunks stay opaque.

use super::{Hint, MAX_LEVELS, UNDEFINED, Walk, u16_at, u32_at, u64_at};
use crate::dtype::Dtype;

/// Axes of a chunk, and one more for the bytes of an element.
const MAX_RANK: u8 = 33;

/// Chunks shorter than this are left to what is around them, unless they stand one behind the other: a frame for each would cost more than it saves.
const SHORTEST: u64 = 1024;

/// The index of the chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Index {
    Tree,
    Single,
    Implicit,
    Array,
}

/// What a dataset's header says of its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    index: Index,
    /// Of the index, or of the chunks themselves.
    address: u64,
    /// Elements along each axis.
    shape: Vec<u64>,
    /// Bytes of an element.
    size: u64,
}

impl Chunks {
    /// From the message of the layout.
    pub fn of(message: &[u8]) -> Option<Chunks> {
        let (version, class) = (*message.first()?, *message.get(1)?);
        let (index, address, mut shape) = match (version, class) {
            (3, 2) => {
                let rank = *message.get(2).filter(|rank| **rank <= MAX_RANK)?;
                let sizes = (0..usize::from(rank)).map(|i| u32_at(message, 11 + 4 * i).map(u64::from));
                (Index::Tree, u64_at(message, 3)?, sizes.collect::<Option<Vec<u64>>>()?)
            }
            (4, 2) => {
                let [flags, rank, width] = *message.get(2..)?.first_chunk::<3>()?;
                if rank > MAX_RANK || !(1..=8).contains(&width) {
                    return None;
                }
                let mut at = 5;
                let mut shape = Vec::new();
                for _ in 0..rank {
                    let size = message.get(at..at + usize::from(width))?;
                    shape.push(size.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)));
                    at += usize::from(width);
                }
                let index = match *message.get(at)? {
                    // A single chunk that is filtered has its size and the filters here.
                    1 if flags & 2 == 0 => Index::Single,
                    2 => Index::Implicit,
                    3 => {
                        at += 1;
                        Index::Array
                    }
                    _ => return None,
                };
                (index, u64_at(message, at + 1)?, shape)
            }
            _ => return None,
        };
        let size = shape.pop()?;
        let known = address != UNDEFINED && !shape.is_empty() && shape.iter().all(|n| *n > 0);
        known.then_some(Chunks { index, address, shape, size })
    }

    /// Bytes of a chunk.
    fn bytes(&self) -> Option<u64> {
        self.shape.iter().try_fold(self.size, |n, size| n.checked_mul(*size))
    }

    /// Chunks of an array of this shape.
    fn count(&self, array: &[u64]) -> Option<u64> {
        if array.len() != self.shape.len() {
            return None;
        }
        array.iter().zip(&self.shape).try_fold(1u64, |n, (all, each)| n.checked_mul(all.div_ceil(*each)))
    }
}

impl Walk<'_> {
    /// Adds the chunks of a dataset.
    pub(super) fn chunks(&mut self, chunks: &Chunks, dtype: Dtype, array: Option<&[u64]>) -> Option<()> {
        let len = chunks.bytes().filter(|_| chunks.size == dtype.unit().1)?;
        let count = chunks.count(array?)?;
        match chunks.index {
            Index::Tree => self.chunk_tree(chunks, dtype, len, chunks.address, 0),
            Index::Single => self.chunk(chunks.address, len, dtype),
            Index::Implicit => self.chunk(chunks.address, len.checked_mul(count)?, dtype),
            Index::Array => self.chunk_array(chunks.address, count, dtype, len),
        }
    }

    fn chunk(&mut self, start: u64, len: u64, dtype: Dtype) -> Option<()> {
        self.spend()?;
        // Chunks that were never written have no address.
        if start != UNDEFINED {
            self.hints.push(Hint { start, len, dtype });
        }
        Some(())
    }

    /// A node of the B-tree of a dataset.
    fn chunk_tree(
        &mut self,
        chunks: &Chunks,
        dtype: Dtype,
        len: u64,
        address: u64,
        level: u32,
    ) -> Option<()> {
        self.spend()?;
        let head = self.input.read(address, 24)?;
        if !head.starts_with(b"TREE\x01") || level == MAX_LEVELS {
            return None;
        }
        // Keys and children in turn, a key first: bytes of the chunk, filters that were left out, an offset on each axis.
        let key = 8 + 8 * (chunks.shape.len() as u64 + 1);
        for i in 0..u64::from(u16_at(&head, 6)?) {
            let at = address.checked_add(24 + i * (key + 8))?;
            let (size, child) = (self.input.read(at, 4)?, self.input.read(at.checked_add(key)?, 8)?);
            let child = u64_at(&child, 0)?;
            match head.get(5)? {
                0 if u64::from(u32_at(&size, 0)?) == len => self.chunk(child, len, dtype)?,
                0 => self.spend()?,
                _ => _ = self.chunk_tree(chunks, dtype, len, child, level + 1),
            }
        }
        Some(())
    }

    /// A list of addresses, as it is for up to 1,024 chunks (unless asked otherwise).
    fn chunk_array(&mut self, address: u64, count: u64, dtype: Dtype, len: u64) -> Option<()> {
        let head = self.input.read(address, 24)?;
        // Version 0; chunks without filters, of which there is an address.
        if !head.starts_with(b"FAHD\0\0\x08") || u64_at(&head, 8)? != count {
            return None;
        }
        let page = 1u64.checked_shl((*head.get(7)?).into())?;
        let list = u64_at(&head, 16)?;
        if count > page || !self.input.read(list, 6)?.starts_with(b"FADB\0\0") {
            return None;
        }
        for i in 0..count {
            let at = list.checked_add(14)?.checked_add(8 * i)?;
            let start = u64_at(&self.input.read(at, 8)?, 0)?;
            self.chunk(start, len, dtype)?;
        }
        Some(())
    }
}

/// Chunks of one dtype that stand one behind the other are one hint; short ones are left out.
pub(super) fn joined(mut hints: Vec<Hint>) -> Vec<Hint> {
    hints.sort_by_key(|hint| hint.start);
    let mut joined: Vec<Hint> = Vec::new();
    for hint in hints {
        match joined.last_mut().filter(|last| last.dtype == hint.dtype) {
            Some(last) if last.start.checked_add(last.len) == Some(hint.start) => {
                last.len = last.len.saturating_add(hint.len);
            }
            _ => joined.push(hint),
        }
    }
    joined.retain(|hint| hint.len >= SHORTEST);
    joined
}

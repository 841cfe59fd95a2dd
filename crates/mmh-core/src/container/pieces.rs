//! A `.mmh` in memory, in the pieces that several threads made.

use super::writer::Target;
use crate::api::Workers;
use mmh_kernels::memory;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::ops::Range;

/// What was written in order, and frames that stay where they were made.
#[derive(Default)]
pub struct Pieces {
    /// Chunks in which frames were made.
    chunks: Vec<Vec<u8>>,
    /// Header, runs, index, footer.
    loose: Vec<u8>,
    /// The file: bytes of a chunk, or of `loose`.
    order: Vec<(Option<usize>, Range<usize>)>,
    len: usize,
}

/// Bytes that one thread copies at a time.
const COPY_AT_ONCE: usize = 4 << 20;

impl Pieces {
    /// Number of bytes of the file.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of the file, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.order.iter().map(|(chunk, range)| match chunk {
            Some(i) => &self.chunks[*i][range.clone()],
            None => &self.loose[range.clone()],
        })
    }

    /// The file in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len);
        self.iter().for_each(|piece| all.extend_from_slice(piece));
        all
    }

    /// Copies the file into `out`, which has room for just that, with all threads: pages that are touched for the first time cost more than
    /// the copy.
    pub fn copy_to(&self, out: &mut [MaybeUninit<u8>], workers: &Workers) {
        let mut left = out;
        let mut parts = Vec::new();
        for piece in self.iter() {
            for from in piece.chunks(COPY_AT_ONCE) {
                let (to, rest) = std::mem::take(&mut left).split_at_mut(from.len());
                parts.push((from, to));
                left = rest;
            }
        }
        workers.map(parts, |(from, to)| memory::copy(from, to));
    }

    /// The memory, for whoever has use for it.
    pub fn into_chunks(self) -> Vec<Vec<u8>> {
        self.chunks
    }

    fn append(&mut self, chunk: Option<usize>, range: Range<usize>) {
        self.len += range.len();
        match self.order.last_mut() {
            Some((last, r)) if *last == chunk && r.end == range.start => r.end = range.end,
            _ => self.order.push((chunk, range)),
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let at = self.loose.len();
        self.loose.extend_from_slice(buf);
        self.append(None, at..self.loose.len());
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Target for Pieces {
    fn keeps(&self) -> bool {
        true
    }

    fn keep(&mut self, chunk: usize, range: Range<usize>) {
        self.append(Some(chunk), range);
    }

    fn take_over(&mut self, chunks: Vec<Vec<u8>>) {
        self.chunks = chunks;
    }
}

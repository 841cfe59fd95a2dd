//! Memory in which frames are made, one after the other, by whichever thread.

use mmh_kernels::memory;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a chunk, unless less is to be expected or one frame needs more. Memory that is not touched costs nothing.
const CHUNK: usize = 16 << 20;

/// As many chunks as threads make frames at a time, and those that are full.
pub struct Chunks {
    idle: Mutex<Vec<Chunk>>,
    count: AtomicUsize,
    size: usize,
}

struct Chunk {
    id: usize,
    bytes: Vec<u8>,
}

impl Chunks {
    /// None yet. All frames together are expected to take no more than `expected` bytes.
    pub fn new(expected: u64) -> Chunks {
        let size = expected.min(CHUNK as u64) as usize;
        Chunks { idle: Mutex::default(), count: AtomicUsize::new(0), size }
    }

    /// Lends a chunk that has room for `n` bytes more, and its number.
    pub fn lend<R>(&self, n: usize, f: impl FnOnce(usize, &mut Vec<u8>) -> R) -> R {
        let fits = |c: &Chunk| c.bytes.capacity() - c.bytes.len() >= n;
        let found = self.idle.lock().ok().and_then(|mut idle| {
            let i = idle.iter().rposition(fits)?;
            Some(idle.swap_remove(i))
        });
        let mut chunk = found.unwrap_or_else(|| Chunk {
            id: self.count.fetch_add(1, Ordering::Relaxed),
            bytes: memory::take(self.size.max(n)).unwrap_or_default(),
        });
        let result = f(chunk.id, &mut chunk.bytes);
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(chunk);
        }
        result
    }

    /// All chunks, by their numbers.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        let mut all = self.idle.get_mut().map(std::mem::take).unwrap_or_default();
        all.sort_by_key(|c| c.id);
        all.into_iter().map(|c| c.bytes).collect()
    }

    /// Puts chunks back that [`Chunks::take`] took, empty.
    pub fn put_back(&mut self, chunks: Vec<Vec<u8>>) {
        let empty = chunks.into_iter().enumerate().map(|(id, mut bytes)| {
            bytes.clear();
            Chunk { id, bytes }
        });
        if let Ok(idle) = self.idle.get_mut() {
            idle.extend(empty);
        }
    }
}

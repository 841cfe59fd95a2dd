//! Memory that is used again: the first touch of a page costs more than what is done in it.

use crate::error::{Error, Result};
use std::sync::Mutex;

/// Buffers that nobody uses at the moment. There are never more than were in use at once.
#[derive(Default)]
pub struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    /// A buffer with room for `n` bytes, with whatever it held before.
    pub fn take(&self, n: usize) -> Result<Vec<u8>> {
        let found = self.0.lock().ok().and_then(|mut idle| {
            let fits = idle.iter().rposition(|b| b.capacity() >= n);
            // One that is too small makes room for a larger one: there are to be no more and more of them.
            fits.or(idle.len().checked_sub(1)).map(|i| idle.swap_remove(i))
        });
        match found {
            Some(buffer) if buffer.capacity() >= n => Ok(buffer),
            _ => mmh_kernels::memory::with_capacity(n)
                .ok_or_else(|| Error::Limit(format!("no memory for {n} bytes"))),
        }
    }

    /// Gives a buffer back, empty or not.
    pub fn give(&self, buffer: Vec<u8>) {
        if let Ok(mut idle) = self.0.lock() {
            idle.push(buffer);
        }
    }
}

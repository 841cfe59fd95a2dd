//! The engine of MMH-RS: lossless compression of AI tensors. No Python, no unsafe code.
//!
//! Data flows through the modules in this order:
//!
//! ```text
//!   file ─ source ─▶ tensors and opaque bytes ─ block ─▶ blocks ─ plan ─▶ which codec, per block
//!                                                                  │
//!   file.mmh ◀─ container ◀─ frames ◀──────────────────────────── codec
//! ```
//!
//! * [`error`], [`dtype`], [`io`], [`limits`]: what the others speak of
//! * [`source`]: readers that find the tensors of a file
//! * [`block`]: cutting segments into blocks; turning a block into a frame and back
//! * [`plan`]: samples a block, hears the codecs' bids, picks one, can explain it
//! * [`codec`]: one folder per codec behind one trait and one table
//! * [`container`]: the `.mmh` file: header, frames, index, footer; writing in order, reading at random
//! * [`parity`]: what mends a damaged `.mmh`
//! * [`base`]: the file that others are stored against; [`counterparts`]: what blocks may be stored as differences from, there or in their own source
//! * [`api`]: what callers call: compress, decompress, verify, estimate, diff, validate, explain, pack, protect, repair and salvage, for files, streams and
//!   arrays, in parallel and in bounded memory; the threads, progress and interruption that all of it shares
//! * [`generate`]: weights made on demand, to try all of this on
//!
//! Loops that touch every byte, and all that is written for a CPU, are in the crate `mmh-kernels`; entropy coding on top of them is in [`codec::symbols`]. Each
//! module's own text says what is in its files.

#![forbid(unsafe_code)]

pub mod api;
pub mod base;
pub mod block;
pub mod codec;
pub mod container;
pub mod counterparts;
pub mod dtype;
pub mod error;
pub mod generate;
pub mod io;
pub mod limits;
pub mod parity;
pub mod plan;
pub mod source;
#[cfg(test)]
mod testing;

pub use dtype::Dtype;
pub use error::{Error, Result};
pub use limits::Limits;

/// Version of the container that this engine writes, and the only one that it reads.
pub const FORMAT_VERSION: u16 = 0;

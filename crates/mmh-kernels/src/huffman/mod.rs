//! Huffman coding with codes of at most 12 bits in streams that are decoded side by side (`spec/codecs/tensor.md`, sections 2
//! and 3).
//!
//! The decoder looks up a whole group of symbols at once: a table of 2^11 entries (2^12 when a code is that long) of 64 bits, each
//! holding every whole symbol that fits its index, up to six. Several streams run side by side to hide the latency of the
//! look-up. Streams are written last element first and decoded from the end of the output down, so that an entry is stored with one
//! 8-byte write without a shift.
//!
//! * `code`: lengths of codes, written and read
//! * `encode`: symbols to streams
//! * `decode`: streams to symbols

mod code;
mod decode;
mod encode;

pub use code::{CodeLengths, MAX_CODE, coded_bits};
pub use decode::{DecodeTable, decode_group, decode_group_on};
pub use encode::{EncodeTable, encode_group, encode_group_on};

/// Elements of a group, from which on there are [`STREAMS`] streams instead of one.
pub const MANY: usize = 1024;

/// Streams of a large group.
pub const STREAMS: usize = 8;

/// Number of streams of a group of `m` elements.
pub fn streams(m: usize) -> usize {
    if m >= MANY { STREAMS } else { 1 }
}

#[cfg(test)]
mod tests;

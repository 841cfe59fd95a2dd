//! Asymmetric numeral systems of exact frequencies (rANS) whose symbols are dealt to 16 lanes that share one stream of words
//! (`spec/codecs/tensor.md`, mode 5).
//!
//! A frequency is a 4096th and a state has 32 bits, so that next to nothing is lost against the entropy, whatever the number of values:
//! smaller than `lanes` with its 256 states, and slower, as the table of a code does not fit registers. The 16 states are one register of
//! 512 bits; those that have become short take the next words of the stream, in the order of the lanes.
//!
//! Sources: J. Duda, "Asymmetric numeral systems" (arXiv:1311.2540); F. Giesen, "Interleaved entropy coders" (arXiv:1402.3392).
//!
//! * `encode`: symbols to streams
//! * `decode`: streams to symbols
//! * `narrow`: codes of few values, whose tables fit registers

mod decode;
mod encode;
mod frequencies;
#[cfg(target_arch = "x86_64")]
pub(crate) mod narrow;

pub(crate) use decode::Table;
pub use decode::{Decoder, Group, decode, decode_and_ask, decode_on};
pub use encode::{Encoder, encode, encode_on};
pub(crate) use encode::{Entry, RECIPROCAL_BITS};
#[cfg(target_arch = "x86_64")]
pub(crate) use encode::{FREQUENCY_BITS, MISSING, MISSING_BIT, START_AT};
pub use frequencies::Frequencies;

/// Frequencies of a table add up to 2 to this.
pub const PROBABILITY_BITS: u32 = 12;

/// What the frequencies of a table add up to.
pub const TOTAL: u32 = 1 << PROBABILITY_BITS;

/// Lanes that share a stream.
pub const LANES: usize = 16;

/// The last symbols of a group are not coded: the encoder's first states carry them.
pub const CARRIED: usize = 2 * LANES;

/// Size in bytes of the states at the end of a stream.
pub const STATES: usize = 4 * LANES;

/// States are at least this large between two symbols; what an encoder adds to it at first are the symbols that are carried.
pub const LOWEST: u32 = 1 << 16;

/// How many of the symbols of a group are coded.
pub(crate) const fn coded(symbols: usize) -> usize {
    symbols.saturating_sub(CARRIED)
}

/// Bytes that an encoder needs for the stream of `m` symbols: a word for each, the states, and what it writes ahead.
pub const fn room(m: usize) -> usize {
    2 * m + STATES + 32
}

#[cfg(test)]
mod tests;

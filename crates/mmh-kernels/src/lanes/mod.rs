//! Asymmetric numeral systems of 256 states whose symbols are dealt to 32 lanes that share one stream of bytes
//! (`spec/codecs/tensor.md`, mode 3).
//!
//! A step decodes 32 symbols at once: each lane looks up its state, and those that have fewer bits left than the next state needs take the
//! next bytes of the stream, in the order of the lanes. A state is a byte, and all tables have 256 entries: they fit the registers where
//! those are large, so that a step takes no look-up in memory. A warp of a GPU does the same with a ballot and a prefix count.
//!
//! The code is the tabled variant of J. Duda, "Asymmetric numeral systems" (arXiv:1311.2540), with the spread of RFC 8878, section 4.1;
//! lanes that refill from one stream are from F. Giesen, "Interleaved entropy coders" (arXiv:1402.3392).
//!
//! * `frequencies`: how often each value is to be expected, in 256ths
//! * `encode`: symbols to streams
//! * `decode`: streams to symbols

mod decode;
mod encode;
mod frequencies;

pub(crate) use decode::BF16;
pub use decode::{
    Decoder, Group, decode, decode_and_ask, decode_bf16, decode_bf16_on, decode_on, decode_pieces,
    decode_pieces_on,
};
pub use encode::{Encoder, PAIRS, Pair, Work, encode, encode_bf16, encode_bf16_on, encode_on};
pub use frequencies::Frequencies;

/// Lanes that share a stream.
pub const LANES: usize = 32;

/// Size in bytes of what stands at the end of a stream: the states of the lanes, and the bits that they begin with.
pub const BEGINNING: usize = 2 * LANES;

/// States of the code, and sum of the frequencies.
pub const STATES: usize = 256;

/// The most bytes that the stream of `m` symbols can have.
pub const fn room(m: usize) -> usize {
    m + BEGINNING
}

#[cfg(test)]
mod tests;

//! Symbols coded with the probabilities of a context: how large the numbers just before were, and how large the numbers of this column
//! are (`spec/codecs/tensor.md`, section 5).
//!
//! Weights are noise whose scale changes slowly along a row and from column to column. A running mean of the magnitudes says what
//! to expect of the next one: it picks one of a few frequency tables, and asymmetric numeral systems (rANS) code the symbol with
//! it. Each lane of a group walks through a stretch of neighbouring elements; the lanes share one stream of words.
//!
//! rANS: J. Duda, "Asymmetric numeral systems" (2013), arXiv:1311.2540; lanes that share a stream: F. Giesen, "Interleaved
//! entropy coders" (2014), arXiv:1402.3392. Contexts from a running mean of magnitudes: as in M. J. Weinberger, G. Seroussi, G. Sapiro,
//! "The LOCO-I lossless image compression algorithm" (2000), where local gradients take its place.
//!
//! * `model`: magnitudes and classes, which encoder and decoder have in common
//! * `encode`: symbols to words
//! * `decode`: words to symbols

mod decode;
mod encode;
mod model;

pub use decode::{
    DecodeModel, Group, decode_group, decode_group_on, decode_groups, decode_groups_on, stream_size,
};
#[cfg(target_arch = "x86_64")]
pub(crate) use decode::{Job, Lane, Side, Words};
pub use encode::{
    EncodeModel, Encoded, classify, classify_groups, classify_groups_on, classify_on, encode_group,
    encode_group_on, histogram,
};
#[cfg(target_arch = "x86_64")]
pub(crate) use encode::{Words as EncodeWords, put};
#[cfg(target_arch = "x86_64")]
pub(crate) use model::Place;
pub use model::{
    CLASSES, ClassHistogram, MAX_COLUMNS, MAX_TABLES, Magnitude, NEUTRAL, SCALES, Shape, Walk, fine_class,
};

/// Elements of a group, from which on there are [`LANES`] lanes instead of one.
pub const MANY: usize = 1024;

/// Lanes of a large group.
pub const LANES: usize = 4;

/// Number of lanes of a group of `m` elements.
pub fn lanes(m: usize) -> usize {
    if m >= MANY { LANES } else { 1 }
}

#[cfg(test)]
mod tests;

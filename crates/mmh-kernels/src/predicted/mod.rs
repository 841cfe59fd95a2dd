//! Numbers predicted from those before them in their row, and coded with the probabilities of what is left
//! (`spec/codecs/tensor.md`, section 6).
//!
//! The columns of a matrix of weights are correlated: what stands in some columns of a row says something of what stands in the others, of
//! its sign as well. A linear prediction with small integer weights, the same for all rows of a block, gives the middle of the
//! distribution of a number; a running mean of how far predictions were off gives its width. Both together give the probability of each
//! symbol, an interval of numbers, from one curve for the whole block. Sixteen rows of a group are coded side by side, so that a
//! prediction is made for sixteen numbers at once.
//!
//! Linear prediction by the Cholesky factor of the covariance: M. Pourahmadi, "Joint mean-covariance models with applications to
//! longitudinal data" (Biometrika, 1999); coding of what a prediction leaves with a distribution of the context's width: X. Wu, N. Memon,
//! "Context-based, adaptive, lossless image coding" (1997).
//!
//! * `fit`: what of a column the columns before it tell, by least squares
//! * `model`: magnitudes, predictions and tables, which encoder and decoder have in common
//! * `walk`: the order in which elements are coded
//! * `dot`: sums of products
//! * `encode`: symbols and signs to words
//! * `decode`: the converse

mod decode;
mod dot;
mod encode;
mod fit;
mod model;
mod walk;

#[cfg(target_arch = "x86_64")]
pub(crate) use decode::{Begun, Stream, refill};
pub use decode::{Group, SIDE_BY_SIDE, Work, decode_groups, decode_groups_on, stream_size};
#[cfg(target_arch = "x86_64")]
pub(crate) use dot::Avx512;
pub use encode::{COUNTED, Contexts, NONE, classify, classify_on, encode_group, encode_group_on};
#[cfg(target_arch = "x86_64")]
pub(crate) use encode::{Numbers, Writer, put};
#[cfg(target_arch = "x86_64")]
pub(crate) use fit::add;
pub use fit::{
    AT_ONCE, LARGEST_IN_ROW, Sums, UNIT, accumulate, accumulate_on, factor, factor_on, normalize,
    normalize_on, regress, regress_on,
};
#[cfg(target_arch = "x86_64")]
pub(crate) use model::{BELOW, EIGHTHS, LARGEST, PART_BITS, PLACES, PROBABILITY_BITS, TABLES, TOTAL, Table};
pub use model::{
    BINS, LANES, MAX_MANTISSA, MAX_PERIOD, MAX_WEIGHT_SUM, MAX_WEIGHTED, MIDDLE, Model, NEUTRAL, SCALES,
    Shape, magnitudes,
};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use model::{Both, Pair};
#[cfg(target_arch = "x86_64")]
pub(crate) use walk::{Pass, Rows};

#[cfg(test)]
mod tests;

//! Planes of symbols, a byte each, in groups that choose among some codes: what codecs have in common that code them.
//!
//! * `bits`: strings of bits, and weights in them
//! * `entropy`: what a histogram costs, in integers, the same on every machine
//! * `sample`: which elements are looked at
//! * `cluster`: groups that share a code
//! * `code`: what a code can do; the codes of a plane, chosen, written and read; the streams of its groups
//! * `lanes`, `rans`: the codes that there are
//! * `codeless`: symbols that have no code
//!
//! A plane is stored in parts that its codec puts where it likes: the [`Codes`], a stream for each group (not empty, below 64 KiB), and the
//! list of the symbols without a code.

pub mod bits;
mod cluster;
mod code;
pub mod codeless;
pub mod entropy;
mod lanes;
mod rans;
mod sample;

pub use code::{Code, Codes, MOST_CODES, MOST_SIDE_BY_SIDE, Part, SIDE_BY_SIDE, Streams, count, sum};
pub use rans::Table;
pub use sample::{gather, pieces, spread};

/// Elements of a group.
pub const GROUP: usize = 1 << 15;

/// Bits that a symbol without a code costs: its gap, itself, and the other one that is coded in its place.
pub const CODELESS_BITS: u64 = 18;

/// A plane that the format does not allow.
fn bad(what: impl std::fmt::Display) -> crate::Error {
    crate::Error::corrupt(format!("symbols: {what}"))
}

#[cfg(test)]
mod tests;

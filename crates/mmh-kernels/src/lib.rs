//! The loops of MMH-RS: everything that touches every byte.
//!
//! ```text
//!   bytes of a block
//!     │ checksum    XXH3
//!     │ period      is all of it one repeated pattern?
//!     │ correlation how alike are two stretches of numbers?
//!     │ histogram   how often does each symbol field occur?
//!     │ zeros       how many low bits are zero, segment by segment?
//!     │ fields      element ⇄ symbol + rest
//!     │ planes      rest ⇄ planes of 8, 4, 2 and 1 bits
//!     │ records     fields of packed records ⇄ their values
//!     │ packed      values of a few bits, bit after bit ⇄ a byte each
//!     │ decimals    floats printed in decimal ⇄ numbers and places
//!     │ scaled      floats ⇄ values of a grid, given the scale of their group
//!     │ steps       integers ⇄ their steps from one to the next
//!     │ words       words ⇄ their numbers in a codebook
//!     │ sparse      elements ⇄ a bit for each, and those that are not the frequent one
//!     │ conversions floats as those of another type
//!     │ differences elements ⇄ symbols and extra bits, given those of a base
//!     ├ huffman     symbols ⇄ streams of codes
//!     ├ lanes       symbols ⇄ streams that 32 lanes share
//!     ├ rans        symbols ⇄ streams of words that 16 lanes share
//!     ├ modelled    symbols ⇄ words, with the probabilities of a context
//!     ▼ predicted   numbers ⇄ words, with what others in their row say of them
//!   streams and planes
//! ```
//!
//! Functions here are pure: they never allocate beyond the vectors handed to them, never panic on any data, and give the
//! same bytes whatever the CPU. [`memory`] asks the system and the caches for large buffers. [`quantiles`] makes the elements of weights that are generated. A loop is written once in `generic` and compiled for each instruction set by
//! `dispatch`; what the compiler does not find is written by hand in `x86_64` and `aarch64`; [`cpu`] chooses among them at run time, and `MMH_SIMD` forces one.

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod aarch64;
#[macro_use]
mod dispatch;
pub mod checksum;
pub mod conversions;
pub mod correlation;
pub mod cpu;
pub mod decimals;
pub mod differences;
pub mod fields;
mod generic;
pub mod histogram;
pub mod huffman;
pub mod lanes;
pub mod memory;
pub mod modelled;
pub mod packed;
pub mod period;
pub mod planes;
pub mod predicted;
pub mod quantiles;
pub mod rans;
pub mod records;
pub mod scaled;
pub mod sparse;
pub mod steps;
pub mod words;
#[cfg(target_arch = "x86_64")]
mod x86_64;
pub mod zeros;

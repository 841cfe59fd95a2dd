//! The `.mmh` file. `spec/FORMAT.md` is the definition.
//!
//! * [`base`]: which base a file needs
//! * `varint`: variable-length numbers
//! * `frame`: the head of a frame
//! * `index`: the table of frames and tensors; footer and header
//! * [`writer`]: frames in order, then the index
//! * [`room`]: memory that a `.mmh` is written to
//! * [`reader`]: any range of the source, from the frames that cover it
//! * [`restored`]: the source, read at any place
//! * [`scan`]: frames found by what they are, where no index says where
//! * [`ending`]: index and footer, wherever they stand now

pub mod base;
pub mod ending;
pub mod frame;
pub mod index;
pub mod reader;
pub mod restored;
pub mod room;
pub mod scan;
pub mod varint;
pub mod writer;

/// How a `.mmh` file begins.
pub const MAGIC: [u8; 8] = *b"\x89MMH\r\n\x1a\n";
/// How it ends.
pub const END_MAGIC: [u8; 8] = *b"MMHEND\r\n";
/// Size of the header.
pub const HEADER: usize = 16;
/// Size of the footer.
pub const FOOTER: usize = 40;

//! What is stored beside payloads.

use crate::block::Segment;
use crate::container::index::{FrameRow, Index, TensorRow};
use crate::container::{FOOTER, HEADER, frame, varint};
use crate::source::{Layout, Tensor};

/// Bytes of a frame and of its row in the index.
pub fn frame_bytes(raw: u64, stored: u64) -> u64 {
    let mut row = vec![0];
    varint::write(raw, &mut row);
    varint::write(stored, &mut row);
    frame::HEAD as u64 + stored + row.len() as u64
}

/// What does not depend on the level: header, footer, the index without the frames, and copies.
pub fn fixed_bytes(
    source_len: u64,
    name: &str,
    layout: Layout,
    segments: &[Segment],
    copies: &[usize],
) -> u64 {
    let hash = Some([0; 32]);
    // Hashes do not compress, and names are as good as bytes to make some of.
    let row =
        |tensor: Tensor| TensorRow { blake3: Some(*blake3::hash(tensor.name.as_bytes()).as_bytes()), tensor };
    let tensors = layout.tensors.into_iter().map(row).collect();
    let frames: Vec<FrameRow> = Vec::new();
    let name = name.into();
    let index =
        Index { source_len, blake3: hash, sha256: None, format: layout.format, name, frames, tensors };
    let copied: u64 = copies.iter().map(|i| frame_bytes(segments[*i].len, 8)).sum();
    (HEADER + FOOTER + index.to_bytes().map_or(0, |b| b.len())) as u64 + copied
}

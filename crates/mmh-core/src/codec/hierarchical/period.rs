//! Data that repeats with a period that is itself made smaller (`spec/codecs/hierarchical.md`, section 9).

use super::node::{self, Kinds};
use super::{bad, number};
use crate::codec::{self, Block, Codec, lz4, pattern251, tensor, zstd};
use crate::container::varint;
use crate::error::Result;

/// Periods shorter than this are left to runs.
const SHORTEST: usize = 64;

/// What a leaf of the period is tried with.
static CODECS: [&dyn Codec; 3] = [&lz4::Lz4, &zstd::Zstd, &tensor::Tensor];

/// A period that pays.
#[derive(Clone, Debug)]
pub struct Found {
    /// Size over size, which is known.
    pub estimate: f64,
    /// Bytes of the period.
    pub period: usize,
    /// The whole node.
    payload: Vec<u8>,
}

impl Found {
    /// In words, for `--why`.
    pub fn describe(&self) -> String {
        format!("period of {} bytes, in {}", self.period, self.payload.len())
    }
}

/// The period of the block, if what is made of it is smaller than it is.
pub fn find(block: &Block<'_>, scratch: &mut codec::Scratch) -> Result<Option<Found>> {
    let Some(period) = pattern251::find(block.data).filter(|p| *p >= SHORTEST) else { return Ok(None) };
    let data = &block.data[..period];
    let one = Block { data, split: None, structure: None, base: None, ..*block };
    let mut best = Vec::new();
    if !super::encode_parts(&one, scratch, &mut best)? {
        best.clear();
    }
    for codec in CODECS {
        let (mut payload, mut leaf) = (Vec::new(), Vec::new());
        if codec.encode(&one, scratch, &mut payload)? {
            node::write_leaf(data, Some((codec.id(), &payload)), &mut leaf);
            if best.is_empty() || leaf.len() < best.len() {
                best = leaf;
            }
        }
    }
    let mut payload = vec![node::PERIOD];
    varint::write(period as u64, &mut payload);
    payload.extend_from_slice(&best);
    let estimate = payload.len() as f64 / block.data.len() as f64;
    Ok((!best.is_empty() && payload.len() < period).then_some(Found { estimate, period, payload }))
}

/// Appends the node.
pub fn encode(found: &Found, out: &mut Vec<u8>) {
    out.extend_from_slice(&found.payload);
}

/// Restores `out` from the node, whose kind has been read.
pub fn decode(from: &mut &[u8], out: &mut [u8], scratch: &mut codec::Scratch) -> Result<()> {
    let period = number(from, out.len() as u64, "period")?;
    if !scratch.hierarchical.claim(period) {
        return Err(bad("a period of more bytes than nodes may restore"));
    }
    node::decode(from, &mut out[..period], Kinds::period(), scratch)?;
    let mut done = period;
    while done < out.len() {
        // Whole periods only, so that the copy stays in phase.
        let n = done.min(out.len() - done);
        out.copy_within(..n, done);
        done += n;
    }
    Ok(())
}

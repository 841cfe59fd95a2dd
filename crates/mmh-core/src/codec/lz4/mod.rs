//! LZ4 blocks, through lz4_flex.

use super::{Block, Codec, Scratch};
use crate::error::{Error, Result};
use crate::plan::{Bid, Sample};

/// `spec/codecs/lz4.md`
pub struct Lz4;

/// Its id.
pub const ID: u8 = 2;

impl Codec for Lz4 {
    fn id(&self) -> u8 {
        ID
    }

    fn name(&self) -> &'static str {
        "lz4"
    }

    fn bid(&self, sample: &Sample<'_>) -> Bid {
        if sample.level() != super::Level::new(1).unwrap_or(super::Level::FAST) {
            return Bid::none("bids at level 1 only");
        }
        if !sample.repeats() {
            return Bid::none("no repeated words");
        }
        Bid::of(
            lz4_flex::block::compress(sample.piece()).len() as f64 / sample.piece().len() as f64,
            "tried on the sample",
        )
    }

    fn encode(&self, block: &Block<'_>, _: &mut Scratch, out: &mut Vec<u8>) -> Result<bool> {
        let start = out.len();
        out.resize(start + lz4_flex::block::get_maximum_output_size(block.data.len()), 0);
        let n = lz4_flex::block::compress_into(block.data, &mut out[start..])
            .map_err(|e| Error::SelfCheck(format!("lz4: {e}")))?;
        out.truncate(start + n);
        Ok(n < block.data.len())
    }

    fn decode(&self, payload: &[u8], out: &mut [u8], _: &mut Scratch) -> Result<()> {
        match lz4_flex::block::decompress_into(payload, out) {
            Ok(n) if n == out.len() => Ok(()),
            Ok(n) => Err(Error::corrupt(format!("lz4: expected {} bytes, found {n}", out.len()))),
            Err(e) => Err(Error::corrupt(format!("lz4: {e}"))),
        }
    }
}

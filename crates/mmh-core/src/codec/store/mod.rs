//! The bytes as they are.

use super::{Block, Codec, Scratch};
use crate::error::{Error, Result};
use crate::plan::{Bid, Sample};

/// `spec/codecs/store.md`
pub struct Store;

/// Its id.
pub const ID: u8 = 0;

impl Codec for Store {
    fn id(&self) -> u8 {
        ID
    }

    fn name(&self) -> &'static str {
        "store"
    }

    fn bid(&self, sample: &Sample<'_>) -> Bid {
        Bid::of(sample.size(), "always possible")
    }

    fn encode(&self, block: &Block<'_>, _: &mut Scratch, out: &mut Vec<u8>) -> Result<bool> {
        out.extend_from_slice(block.data);
        Ok(true)
    }

    fn decode(&self, payload: &[u8], out: &mut [u8], _: &mut Scratch) -> Result<()> {
        if payload.len() != out.len() {
            return Err(Error::corrupt(format!(
                "store: expected {} bytes of payload, found {}",
                out.len(),
                payload.len()
            )));
        }
        out.copy_from_slice(payload);
        Ok(())
    }
}

//! The head of a frame.

use crate::block::MAX_BLOCK;
use crate::codec;
use crate::error::{Error, Result};

/// Its size in bytes.
pub const HEAD: usize = 24;
/// Its first two bytes.
pub const SYNC: [u8; 2] = *b"FR";

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Codec id.
    pub codec: u8,
    /// Bytes of the payload.
    pub stored: u32,
    /// Bytes restored.
    pub raw: u64,
    /// Of the restored bytes, or of a run's payload.
    pub checksum: u64,
}

/// What the format allows of a frame, whatever its payload.
pub fn check(codec: u8, stored: u64, raw: u64) -> Result<()> {
    if codec::by_id(codec).is_none() && codec != codec::COPY {
        return Err(Error::Unsupported(format!(
            "codec {codec}: this version ({}) does not know it; a newer one may",
            env!("CARGO_PKG_VERSION")
        )));
    }
    let allowed = match codec {
        _ if raw == 0 => false,
        codec::COPY => stored == 8,
        c if codec::is_run(c) => {
            stored >= 1 && stored <= raw && stored <= codec::pattern251::MAX_PERIOD as u64
        }
        _ => raw <= MAX_BLOCK as u64 && stored <= raw,
    };
    match allowed {
        true => Ok(()),
        false => {
            Err(Error::corrupt(format!("a {} frame of {stored} bytes for {raw}", codec::name_of(codec))))
        }
    }
}

impl Head {
    /// As bytes.
    pub fn to_bytes(self) -> [u8; HEAD] {
        let mut b = [0; HEAD];
        b[..2].copy_from_slice(&SYNC);
        b[2] = self.codec;
        b[4..8].copy_from_slice(&self.stored.to_le_bytes());
        b[8..16].copy_from_slice(&self.raw.to_le_bytes());
        b[16..].copy_from_slice(&self.checksum.to_le_bytes());
        b
    }

    /// From bytes, checked.
    pub fn from_bytes(b: &[u8; HEAD]) -> Result<Head> {
        if b[..2] != SYNC {
            return Err(Error::corrupt(format!("expected a frame, found bytes {:02x} {:02x}", b[0], b[1])));
        }
        if b[3] != 0 {
            return Err(Error::corrupt(format!("reserved byte of a frame is {}", b[3])));
        }
        let field = |r: std::ops::Range<usize>| b[r].iter().rev().fold(0u64, |v, &x| v << 8 | x as u64);
        let head =
            Head { codec: b[2], stored: field(4..8) as u32, raw: field(8..16), checksum: field(16..24) };
        check(head.codec, head.stored as u64, head.raw)?;
        Ok(head)
    }
}

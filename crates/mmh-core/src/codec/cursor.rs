//! Reading forward through a payload.

use crate::error::{Error, Result};

/// What is left of a payload.
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let found = self.0.len();
        let (now, later) = self
            .0
            .split_at_checked(n)
            .ok_or_else(|| Error::corrupt(format!("expected {n} more bytes of payload, found {found}")))?;
        self.0 = later;
        Ok(now)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> Result<u16> {
        let b = self.take(2)?;
        Ok(u16::from_le_bytes([b[0], b[1]]))
    }

    /// The next variable-length number.
    pub fn varint(&mut self) -> Result<u64> {
        crate::container::varint::read(&mut self.0).ok_or_else(|| Error::corrupt("malformed number"))
    }
}

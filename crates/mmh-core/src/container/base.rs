//! What a file says about the base that it was compressed against; it stands right behind the header.

use super::index::{MAX_NAME, is_file_name};
use crate::error::{Error, Result};
use twox_hash::XxHash3_64;

/// Its size in bytes, without the name.
pub const RECORD: usize = 48;
/// Its first two bytes.
pub const SYNC: [u8; 2] = *b"BS";

/// Which file is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseRecord {
    /// Bytes of the base.
    pub len: u64,
    /// BLAKE3 of them.
    pub blake3: [u8; 32],
    /// Name of the base, without a directory; may be empty.
    pub name: String,
}

impl BaseRecord {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut b = SYNC.to_vec();
        b.extend((self.name.len() as u16).to_le_bytes());
        b.extend([0; 4]);
        b.extend(self.len.to_le_bytes());
        b.extend(self.blake3);
        b.extend(self.name.as_bytes());
        let check = check(&b);
        b[4..8].copy_from_slice(&check);
        b
    }

    /// Bytes of the name, from the part before it.
    pub fn name_len(head: &[u8; RECORD]) -> Result<usize> {
        let n = u16::from_le_bytes([head[2], head[3]]) as usize;
        if head[..2] != SYNC || n > MAX_NAME {
            return Err(Error::corrupt("expected the record of a base"));
        }
        Ok(n)
    }

    /// From all of its bytes.
    pub fn from_bytes(b: &[u8]) -> Result<BaseRecord> {
        let cut = || Error::corrupt("the record of the base is cut off");
        let head = b.first_chunk::<RECORD>().ok_or_else(cut)?;
        if b.len() != RECORD + Self::name_len(head)? {
            return Err(cut());
        }
        if head[4..8] != check(b) {
            return Err(Error::corrupt("the record of the base does not agree with its check"));
        }
        let name = String::from_utf8(b[RECORD..].to_vec()).ok().filter(|n| is_file_name(n));
        let name = name.ok_or_else(|| Error::corrupt("the name of the base is not a file name"))?;
        let mut blake3 = [0; 32];
        blake3.copy_from_slice(&head[16..]);
        let len = head[8..16].iter().rev().fold(0, |v, b| v << 8 | *b as u64);
        Ok(BaseRecord { len, blake3, name })
    }

    /// That it is needed and was not given.
    pub fn missing(&self) -> Error {
        Error::Invalid(format!(
            "compressed against a base, which is needed to read it: name {self} (--base FILE, base= in Python)"
        ))
    }
}

impl std::fmt::Display for BaseRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.name.is_empty() { "the file" } else { &self.name };
        write!(f, "{name} ({} bytes, BLAKE3 {})", self.len, blake3::Hash::from(self.blake3))
    }
}

/// Of all bytes but the check's own.
fn check(record: &[u8]) -> [u8; 4] {
    let joined = [&record[..4], &record[8..]].concat();
    (XxHash3_64::oneshot(&joined) as u32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_and_every_lie_is_seen() {
        let record = BaseRecord { len: 1 << 40, blake3: [7; 32], name: "größe.safetensors".into() };
        let bytes = record.to_bytes();
        assert_eq!(BaseRecord::from_bytes(&bytes).unwrap(), record);
        for i in 0..bytes.len() {
            let mut lie = bytes.clone();
            lie[i] ^= 1;
            assert!(BaseRecord::from_bytes(&lie).is_err(), "byte {i}");
            assert!(BaseRecord::from_bytes(&bytes[..i]).is_err());
        }
        for name in ["a/b", "..", "a\0"] {
            let lie = BaseRecord { name: name.into(), ..record.clone() };
            assert!(BaseRecord::from_bytes(&lie.to_bytes()).is_err());
        }
    }
}

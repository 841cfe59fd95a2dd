//! How much a file may ask for.
//!
//! A `.mmh` of a few hundred bytes may rightly stand for gigabytes: a run says how often a pattern comes again. It may as well claim
//! 2^60 bytes. What a file restores is therefore held against what it stores, before any of it is restored; the reasons are in
//! `docs/design/0007-limits.md`.

use crate::error::{Error, Result};

/// Bytes that any file may restore, however small it is.
pub const ALWAYS: u64 = 64 << 30;

/// Bytes that a file may restore for each byte that it stores, where that is more.
pub const FOR_EACH: u64 = 1024;

/// What a reader accepts. Whatever these are, counts and sizes are compared with the bytes that are there before memory is taken by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the source; `None` for [`ALWAYS`], or [`FOR_EACH`] for each byte stored.
    pub restored: Option<u64>,
    /// Bytes of the index, which is held in memory.
    pub index: u64,
    /// Tensors, of which a few hundred bytes each are held in memory.
    pub tensors: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { restored: None, index: 256 << 20, tensors: 1 << 22 }
    }
}

impl Limits {
    /// None at all: for looking at what a file says about itself.
    pub const NONE: Limits = Limits { restored: Some(u64::MAX), index: u64::MAX, tensors: u64::MAX };

    /// No limit of what is restored, as where the caller lends the memory for it.
    pub fn any_size(self) -> Limits {
        Limits { restored: Some(u64::MAX), ..self }
    }

    /// Refuses a source of `restored` bytes in a file of `stored`.
    pub fn check_restored(&self, restored: u64, stored: u64) -> Result<()> {
        let most = self.restored.unwrap_or_else(|| ALWAYS.max(stored.saturating_mul(FOR_EACH)));
        if restored <= most {
            return Ok(());
        }
        Err(Error::Limit(format!(
            "{stored} bytes stand for {restored}, at most {most} are restored unless more is allowed \
             (--max-size, limits= in Python)"
        )))
    }

    /// Refuses an index of `bytes` bytes.
    pub fn check_index(&self, bytes: u64) -> Result<()> {
        most(bytes, self.index, "bytes of the index", "max_index")
    }

    /// Refuses `count` tensors.
    pub fn check_tensors(&self, count: u64) -> Result<()> {
        most(count, self.tensors, "tensors", "max_tensors")
    }
}

fn most(found: u64, most: u64, what: &str, name: &str) -> Result<()> {
    if found <= most {
        return Ok(());
    }
    Err(Error::Limit(format!(
        "{found} {what}, at most {most} are read unless more is allowed ({name} in Python)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_may_restore_much_and_large_ones_in_proportion() {
        let limits = Limits::default();
        assert!(limits.check_restored(1 << 30, 536).is_ok());
        assert!(limits.check_restored(ALWAYS, 0).is_ok());
        assert!(limits.check_restored(ALWAYS + 1, 536).is_err());
        assert!(limits.check_restored(10 << 40, 10 << 30).is_ok());
        assert!(limits.check_restored(u64::MAX, u64::MAX / 2).is_ok());
        assert!(limits.any_size().check_restored(u64::MAX, 0).is_ok());
        assert!(Limits { restored: Some(5), ..limits }.check_restored(6, 1 << 40).is_err());
    }
}

//! What restored bytes are to be: those with a hash, those of a file, or those that another `.mmh` restores.

use super::{Content, Hashes, Workers, verify};
use crate::base::blake3_of;
use crate::container::MAGIC;
use crate::container::index::Index;
use crate::container::reader::Archive;
use crate::error::{Error, Result};
use crate::io::{FileAt, ReadAt};
use crate::limits::Limits;
use std::fs::File;
use std::path::{Path, PathBuf};

/// See the module.
pub enum Reference {
    /// BLAKE3 or SHA-256, which cannot be told apart.
    Hash([u8; 32]),
    /// A file, opened.
    File(PathBuf, FileAt),
}

impl Reference {
    /// Opens a regular file. It is read when it has to be.
    pub fn open(path: &Path) -> Result<Reference> {
        let io = |e| Error::io(path, e);
        let file = File::open(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        if meta.is_dir() {
            return Err(io(std::io::ErrorKind::IsADirectory.into()));
        }
        if !meta.is_file() {
            let what = format!("{} is no regular file: there is nothing to compare with", path.display());
            return Err(Error::Invalid(what));
        }
        Ok(Reference::File(path.to_path_buf(), FileAt::of(file, &meta)))
    }

    /// Whether SHA-256 has to be computed of what this index restores.
    pub(super) fn may_be_sha256(&self, index: &Index) -> bool {
        matches!(self, Reference::Hash(hash) if index.blake3 != Some(*hash))
    }

    /// Whether bytes of this length and with these hashes are meant.
    pub(super) fn is(&self, len: u64, hashes: &Hashes, workers: &Workers) -> Result<bool> {
        match self {
            Reference::Hash(hash) => Ok([hashes.blake3, hashes.sha256].contains(&Some(*hash))),
            Reference::File(path, file) => {
                let named = |e| match e {
                    Error::Io { path: None, source } => Error::io(path, source),
                    e => e,
                };
                // An `.mmh` stands for what it restores; that may also be an `.mmh`, which then stands for itself.
                if let Some((its, hash)) = restored_by(file, workers).map_err(|e| within(path, e))?
                    && its == len
                    && hashes.blake3 == Some(hash)
                {
                    return Ok(true);
                }
                Ok(file.len() == len && hashes.blake3 == Some(blake3_of(file, workers).map_err(named)?))
            }
        }
    }
}

fn within(path: &Path, e: Error) -> Error {
    match e {
        Error::Io { path: None, source } => Error::io(path, source),
        Error::Corrupt { what, at } => Error::Corrupt { what: format!("{}: {what}", path.display()), at },
        e => e,
    }
}

/// Length and BLAKE3 of what an `.mmh` restores, as it says itself; restored, where it says nothing. `None` for any other file.
fn restored_by(file: &FileAt, workers: &Workers) -> Result<Option<(u64, [u8; 32])>> {
    let mut magic = [0; MAGIC.len()];
    if file.len() < magic.len() as u64 {
        return Ok(None);
    }
    file.read_exact_at(0, &mut magic)?;
    if magic != MAGIC {
        return Ok(None);
    }
    let archive = Archive::open_within(file, &Limits::NONE)?;
    let index = archive.index();
    if let Some(hash) = index.blake3 {
        return Ok(Some((index.source_len, hash)));
    }
    let (damaged, hashes) =
        verify::decode_all(&archive, Content::new(true, false), workers, &mut |_| Ok(()))?;
    if let Some(damage) = damaged.first() {
        return Err(Error::corrupt_at(damage.offset, damage.what.clone()));
    }
    Ok(hashes.and_then(|h| h.blake3).map(|hash| (index.source_len, hash)))
}

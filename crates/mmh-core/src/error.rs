//! The few kinds of errors that a caller can act on.

use std::path::{Path, PathBuf};

/// What went wrong. Messages say what was expected, what was found, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data is damaged.
    #[error("damaged: {what}{}", at.map(|a| format!(" (byte {a} of the file)")).unwrap_or_default())]
    Corrupt {
        /// What is wrong.
        what: String,
        /// Offset in the `.mmh` file, where it is known.
        at: Option<u64>,
    },
    /// The data is not a `.mmh` file at all.
    #[error("not an MMH file: {0}")]
    NotMmh(String),
    /// A newer version of the format or an unknown codec.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// More than the limits allow.
    #[error("limit: {0}")]
    Limit(String),
    /// The caller's arguments do not make sense.
    #[error("{0}")]
    Invalid(String),
    /// The operating system said no.
    #[error("{}{source}", path.as_ref().map(|p| format!("{}: ", p.display())).unwrap_or_default())]
    Io {
        /// The file, where there is one.
        path: Option<PathBuf>,
        /// What the system said.
        source: std::io::Error,
    },
    /// A base that is not the one that is needed, or cannot serve as one.
    #[error("{0}")]
    WrongBase(String),
    /// A block did not come back as it was when it was decoded again; nothing was written. A fault of this program or of the memory.
    #[error(
        "self-check failed: {0}; nothing was written, please report this (and test the machine's memory)"
    )]
    SelfCheck(String),
    /// The progress callback asked to stop.
    #[error("stopped")]
    Stopped,
}

/// Damage of a base, on its way through [`std::io::Error`], by which everything is read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DamagedBase(pub String);

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Damage at a byte of the `.mmh` file.
    pub fn corrupt_at(at: u64, what: impl Into<String>) -> Error {
        Error::Corrupt { what: what.into(), at: Some(at) }
    }

    /// Damage whose place is added later, by `at`.
    pub fn corrupt(what: impl Into<String>) -> Error {
        Error::Corrupt { what: what.into(), at: None }
    }

    /// Adds the place to damage that has none.
    pub fn at(self, offset: u64) -> Error {
        match self {
            Error::Corrupt { what, at: None } => Error::Corrupt { what, at: Some(offset) },
            e => e,
        }
    }

    /// An input or output error of a file.
    pub fn io(path: &Path, source: std::io::Error) -> Error {
        Error::Io { path: Some(path.to_path_buf()), source }
    }
}

impl From<std::io::Error> for Error {
    /// An error of ours that came by way of a reader is what it was.
    fn from(source: std::io::Error) -> Error {
        source.downcast().unwrap_or_else(|source| Error::Io { path: None, source })
    }
}

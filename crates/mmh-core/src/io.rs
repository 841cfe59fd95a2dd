//! Reading at an offset, from a file, from memory, from whatever else can do it.

use std::fs::{File, Metadata};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes that can be read at any offset, by several threads at once.
pub trait ReadAt: Send + Sync {
    /// Number of bytes.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` from `offset` on; an error of kind `UnexpectedEof` when there are fewer bytes.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// The bytes themselves, where they are in memory already.
    fn slice(&self, _offset: u64, _len: usize) -> Option<&[u8]> {
        None
    }

    /// An error if it was written to since it was opened, as far as that can be told.
    fn check_unchanged(&self) -> io::Result<()> {
        Ok(())
    }
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let from = self.slice(offset, buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(from);
        Ok(())
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        self.get(start..start.checked_add(len)?)
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_exact_at(offset, buf)
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        ReadAt::slice(self.as_slice(), offset, len)
    }
}

/// What a pointer to a source does: all that the source does.
macro_rules! by_pointer {
    ($(($($generic:tt)*) $pointer:ty),*) => {$(
        impl $($generic)* ReadAt for $pointer {
            fn len(&self) -> u64 {
                (**self).len()
            }

            fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
                (**self).read_exact_at(offset, buf)
            }

            fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
                (**self).slice(offset, len)
            }

            fn check_unchanged(&self) -> io::Result<()> {
                (**self).check_unchanged()
            }
        }
    )*};
}

by_pointer!((<T: ReadAt + ?Sized>) &T, (<T: ReadAt + ?Sized>) Box<T>, () Arc<dyn ReadAt>);

/// A file that was read as a whole: of a small one, many small reads take longer than that.
#[derive(Debug)]
pub struct FileInMemory {
    bytes: Vec<u8>,
    file: FileAt,
}

impl FileInMemory {
    /// Reads it.
    pub fn new(file: FileAt) -> io::Result<FileInMemory> {
        let mut bytes = vec![0; usize::try_from(file.len()).map_err(|_| io::ErrorKind::OutOfMemory)?];
        file.read_exact_at(0, &mut bytes)?;
        Ok(FileInMemory { bytes, file })
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        self.file.file()
    }
}

impl ReadAt for FileInMemory {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.bytes.read_exact_at(offset, buf)
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        ReadAt::slice(&self.bytes, offset, len)
    }

    fn check_unchanged(&self) -> io::Result<()> {
        self.file.check_unchanged()
    }
}

/// A file with the length that it had when it was opened.
#[derive(Debug)]
pub struct FileAt {
    file: File,
    len: u64,
    modified: Option<SystemTime>,
}

impl FileAt {
    /// Takes the length from the file's metadata.
    pub fn new(file: File) -> io::Result<FileAt> {
        let meta = file.metadata()?;
        Ok(FileAt::of(file, &meta))
    }

    /// The same, where the metadata is at hand.
    pub fn of(file: File, meta: &Metadata) -> FileAt {
        FileAt { file, len: meta.len(), modified: meta.modified().ok() }
    }

    /// The same with the length and the time of change that it had earlier; whether it still has them is seen by `check_unchanged`.
    pub fn as_it_was(file: File, len: u64, modified: Option<SystemTime>) -> FileAt {
        FileAt { file, len, modified }
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What there is to say where the file ends before it did when it was opened.
    fn told(&self, offset: u64, len: usize, e: io::Error) -> io::Error {
        let was_there = offset.checked_add(len as u64).is_some_and(|end| end <= self.len);
        if e.kind() == io::ErrorKind::UnexpectedEof && was_there {
            return io::Error::new(e.kind(), "the file became shorter while it was read");
        }
        e
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buf, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.file, buf, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl ReadAt for FileAt {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let len = buf.len();
        self.read_at(offset, buf).map_err(|e| self.told(offset, len, e))
    }

    fn check_unchanged(&self) -> io::Result<()> {
        let Some(modified) = self.modified else { return Ok(()) };
        let meta = self.file.metadata()?;
        if meta.len() == self.len && meta.modified()? == modified {
            return Ok(());
        }
        Err(io::Error::other("the file was changed while it was read"))
    }
}
/// Some bytes of something longer, which are all of it that is at hand.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    /// Where they begin.
    pub start: u64,
    /// They.
    pub bytes: &'a [u8],
}

impl ReadAt for Window<'_> {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let there = ReadAt::slice(self, offset, buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(there);
        Ok(())
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        ReadAt::slice(self.bytes, offset.checked_sub(self.start)?, len)
    }
}

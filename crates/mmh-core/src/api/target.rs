//! A file that takes its name only when it is whole.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Bytes that are written to a file at a time. Larger writes make the system look for larger pages, which are slower to be had.
const WRITE_AT_ONCE: usize = 1 << 19;

/// A file that is written to in pieces.
pub struct InPieces<'a>(&'a mut File);

impl Write for InPieces<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(&buf[..buf.len().min(WRITE_AT_ONCE)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for InPieces<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

/// A temporary file beside its target. Dropped without [`Target::commit`], it is removed.
pub struct Target {
    temp: NamedTempFile,
    directory: PathBuf,
    path: PathBuf,
    force: bool,
}

impl Target {
    /// As [`check_target`] allows it.
    pub fn new<'p>(
        path: &Path,
        force: bool,
        read: impl IntoIterator<Item = Option<&'p Path>>,
    ) -> Result<Target> {
        check_target(path, force, read)?;
        let directory = directory_of(path);
        let temp = tempfile::Builder::new()
            .prefix(".mmh-")
            .suffix(".part")
            .tempfile_in(directory)
            .map_err(|e| Error::io(path, plain(e)))?;
        // Whoever cleans up tells by the lock that this is not what a process that was killed has left. Where there are no locks, by its age.
        #[cfg(unix)]
        let _ = temp.as_file().try_lock();
        Ok(Target { temp, directory: directory.to_path_buf(), path: path.to_path_buf(), force })
    }

    /// Makes files without a name where the target is: where there is room for it there is some for a part of it, and what is in `/tmp` may be in
    /// memory.
    pub fn spool(&self) -> impl Fn() -> io::Result<File> + use<> {
        let directory = self.directory.clone();
        move || tempfile::tempfile_in(&directory)
    }

    /// The file.
    pub fn file(&mut self) -> &mut File {
        self.temp.as_file_mut()
    }

    /// What to write to it with; small writes are gathered.
    pub fn writer(&mut self) -> BufWriter<InPieces<'_>> {
        BufWriter::with_capacity(1 << 16, InPieces(self.file()))
    }

    /// Claims the space for a file of `len` bytes: a full disk is better met before an hour of work than after it, and writes into space that
    /// is claimed cost less. Where the file system cannot do that, the file just gets its length. It is not cut back to nothing, which
    /// would make ext4 flush it when it is closed.
    pub fn reserve(&mut self, len: u64) -> io::Result<()> {
        let file = self.file();
        #[cfg(target_os = "linux")]
        if len > 0 {
            use rustix::{fs, io::Errno, io::retry_on_intr};
            match retry_on_intr(|| fs::fallocate(&*file, fs::FallocateFlags::empty(), 0, len)) {
                Ok(()) => return Ok(()),
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(e) => return Err(e.into()),
            }
        }
        file.set_len(len)
    }

    /// Takes over mode and modification time of `like`, and renames.
    pub fn commit(self, like: Option<&File>) -> Result<()> {
        let io = |e| Error::io(&self.path, e);
        let file = self.temp.as_file();
        match like.map(File::metadata) {
            Some(Ok(meta)) => {
                file.set_permissions(meta.permissions()).map_err(io)?;
                if let Ok(modified) = meta.modified() {
                    file.set_modified(modified).map_err(io)?;
                }
            }
            _ => set_default_mode(file).map_err(io)?,
        }
        let done =
            if self.force { self.temp.persist(&self.path) } else { self.temp.persist_noclobber(&self.path) };
        match done {
            Ok(_) => Ok(()),
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Err(exists(&self.path)),
            Err(e) => Err(Error::io(&self.path, e.error)),
        }
    }
}

/// The kind of the error, without the name of the temporary file, which means nothing to the user.
fn plain(e: io::Error) -> io::Error {
    io::Error::from(e.kind())
}

/// Refuses a target that is one of the files that are `read`, which would be lost; one that is no regular file, as it would be replaced by one;
/// and one that exists, unless `force`.
pub fn check_target<'p>(
    path: &Path,
    force: bool,
    read: impl IntoIterator<Item = Option<&'p Path>>,
) -> Result<()> {
    if let Some(source) = read.into_iter().flatten().find(|source| is_same(path, source)) {
        let it = if path == source { String::new() } else { format!(" is {}, which", source.display()) };
        let what = format!("{}{it} is read, and would be written over (name another target)", path.display());
        return Err(Error::Invalid(what));
    }
    refuse_special(path)?;
    match path.symlink_metadata() {
        Ok(_) if !force => Err(exists(path)),
        Ok(_) if path.is_dir() => Err(Error::io(path, io::Error::from(io::ErrorKind::IsADirectory))),
        _ => Ok(()),
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// Whether both are one file: there may be links on the way to it.
fn is_same(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(a), Ok(b)) = (a.metadata(), b.metadata()) {
        use std::os::unix::fs::MetadataExt;
        return (a.dev(), a.ino()) == (b.dev(), b.ino());
    }
    a == b || a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
}

/// Devices, pipes and sockets would be gone, and a file in their place; so would be the links of `/dev` and `/proc` that stand for open files,
/// whatever these are.
fn refuse_special(path: &Path) -> Result<()> {
    let Ok(meta) = path.metadata() else { return Ok(()) };
    let directory = directory_of(path).canonicalize().ok();
    let of_system = directory.is_some_and(|d| d == Path::new("/dev") || d.starts_with("/proc"));
    if meta.is_dir() || meta.is_file() && !of_system {
        return Ok(());
    }
    let what = format!("{} is a device, a pipe or a socket, and would be replaced by a file", path.display());
    Err(Error::Invalid(format!("{what} (write to standard output, with -o -, and lead that there)")))
}

fn exists(path: &Path) -> Error {
    Error::io(path, io::Error::from(io::ErrorKind::AlreadyExists))
}

/// Temporary files are private to their owner; a file made from a pipe is not.
#[cfg(unix)]
fn set_default_mode(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_default_mode(_: &File) -> io::Result<()> {
    Ok(())
}

/// Where output goes: to a path by way of a temporary file, or to standard output.
pub enum Output {
    /// A file.
    File(Target),
    /// A pipe, or whatever standard output is.
    Stdout,
}

impl Output {
    /// `None` is standard output. The files that are `read` are refused.
    pub fn new<'p>(
        path: Option<&Path>,
        force: bool,
        read: impl IntoIterator<Item = Option<&'p Path>>,
    ) -> Result<Output> {
        Ok(match path {
            Some(p) => Output::File(Target::new(p, force, read)?),
            None => Output::Stdout,
        })
    }

    /// What to write to; small writes are gathered.
    pub fn writer(&mut self) -> Result<Box<dyn Write + Send + '_>> {
        Ok(match self {
            Output::File(t) => Box::new(t.writer()),
            Output::Stdout => Box::new(BufWriter::with_capacity(1 << 16, io::stdout())),
        })
    }

    /// Gives the file its name.
    pub fn commit(self, like: Option<&File>) -> Result<()> {
        match self {
            Output::File(t) => t.commit(like),
            Output::Stdout => Ok(io::stdout().flush()?),
        }
    }
}

//! A tar archive of a directory: headers in memory, contents in the files that they are in.

use super::{Packed, Workers};
use crate::error::{Error, Result};
use crate::io::{FileAt, ReadAt};
use std::ffi::OsString;
use std::fs::{self, DirEntry, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tar::{Builder, EntryType, Header};

/// Files up to this size stand together, by the ends of their names: what is alike is in one block then.
const SMALL: u64 = 1 << 20;

/// Groups of files that are looked at again at once.
const AT_ONCE: usize = 64;

/// Bytes of a block of an archive; contents are filled up to whole ones.
const BLOCK: u64 = 512;

/// The archive.
pub struct Image<'a> {
    workers: &'a Workers,
    /// Headers and padding, in order.
    loose: Vec<u8>,
    parts: Vec<Part>,
    /// With length and time as they were when they were found.
    files: Vec<(PathBuf, u64, Option<SystemTime>)>,
    len: u64,
    /// The file that was read last, by its number.
    open: Mutex<Option<(usize, Arc<FileAt>)>>,
}

/// A stretch of the archive.
struct Part {
    start: u64,
    /// Offset in `loose`, or the number of a file.
    from: From,
}

#[derive(Clone, Copy)]
enum From {
    Loose(usize),
    File(usize),
}

/// What there is of each kind.
#[derive(Default)]
pub struct Counts {
    files: u64,
    links: u64,
    directories: u64,
    ignored: Vec<PathBuf>,
}

/// What was found, with names relative to the directory.
#[derive(Default)]
struct Found {
    directories: Vec<(PathBuf, Metadata)>,
    links: Vec<(PathBuf, PathBuf, Metadata)>,
    files: Vec<(PathBuf, Metadata)>,
    ignored: Vec<PathBuf>,
}

impl<'a> Image<'a> {
    /// Walks through a directory. Directories come first, then links, then files.
    pub fn of(directory: &Path, workers: &'a Workers) -> Result<(Image<'a>, Counts)> {
        let mut found = walk(directory, workers)?;
        found.files.sort_by_cached_key(|(path, meta)| {
            let large = meta.len() > SMALL;
            let end: Option<OsString> = path.extension().filter(|_| !large).map(Into::into);
            (large, end, place(path))
        });
        let mut image = Image {
            workers,
            loose: Vec::new(),
            parts: Vec::new(),
            files: Vec::new(),
            len: 0,
            open: Mutex::default(),
        };
        let mut headers = Headers(Builder::new(Vec::new()));
        for (path, meta) in &found.directories {
            headers.add(path, None, meta, EntryType::Directory, 0).map_err(|e| Error::io(path, e))?;
        }
        for (path, text, meta) in &found.links {
            headers.add(path, Some(text), meta, EntryType::Symlink, 0).map_err(|e| Error::io(path, e))?;
        }
        for (path, meta) in &found.files {
            headers.add(path, None, meta, EntryType::Regular, meta.len()).map_err(|e| Error::io(path, e))?;
            image.put(headers.0.get_mut());
            image.put_file(directory.join(path), meta);
            headers.0.get_mut().resize((meta.len().next_multiple_of(BLOCK) - meta.len()) as usize, 0);
        }
        let mut end = headers.0.into_inner().map_err(|e| Error::io(directory, e))?;
        image.put(&mut end);
        let counts = Counts {
            files: found.files.len() as u64,
            links: found.links.len() as u64,
            directories: found.directories.len() as u64,
            ignored: found.ignored,
        };
        Ok((image, counts))
    }

    /// Appends what is in `bytes`, and takes it.
    fn put(&mut self, bytes: &mut Vec<u8>) {
        if !bytes.is_empty() {
            self.parts.push(Part { start: self.len, from: From::Loose(self.loose.len()) });
            self.len += bytes.len() as u64;
            self.loose.append(bytes);
        }
    }

    fn put_file(&mut self, path: PathBuf, meta: &Metadata) {
        let len = meta.len();
        if len > 0 {
            self.parts.push(Part { start: self.len, from: From::File(self.files.len()) });
            self.files.push((path, len, meta.modified().ok()));
            self.len += len;
        }
    }

    fn file(&self, i: usize) -> io::Result<Arc<FileAt>> {
        let held =
            self.open.lock().ok().and_then(|open| open.as_ref().filter(|o| o.0 == i).map(|o| o.1.clone()));
        if let Some(file) = held {
            return Ok(file);
        }
        let (path, len, modified) = &self.files[i];
        let file = File::open(path).map_err(|e| named(path, e))?;
        let file = Arc::new(FileAt::as_it_was(file, *len, *modified));
        if let Ok(mut open) = self.open.lock() {
            *open = Some((i, file.clone()));
        }
        Ok(file)
    }

    /// Reads from a file. Whether it still is what was found is seen at the end, for all of them.
    fn read_file(&self, i: usize, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let file = self.file(i)?;
        let path = &self.files[i].0;
        file.read_exact_at(offset, buf).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => changed(path),
            _ => named(path, e),
        })
    }
}

impl ReadAt for Image<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut i = self.parts.partition_point(|p| p.start <= offset).saturating_sub(1);
        let (mut at, mut left) = (offset, buf);
        while !left.is_empty() {
            let end = self.parts.get(i + 1).map_or(self.len, |p| p.start);
            let n = (end - at).min(left.len() as u64) as usize;
            let (now, later) = left.split_at_mut(n);
            let within = at - self.parts[i].start;
            match self.parts[i].from {
                From::Loose(start) => now.copy_from_slice(&self.loose[start + within as usize..][..n]),
                From::File(file) => self.read_file(file, within, now)?,
            }
            (at, left, i) = (end, later, i + 1);
        }
        Ok(())
    }

    fn check_unchanged(&self) -> io::Result<()> {
        let check = |(path, len, modified): &(PathBuf, u64, Option<SystemTime>)| {
            let same = fs::symlink_metadata(path)
                .is_ok_and(|meta| meta.len() == *len && meta.modified().ok() == *modified);
            if same { Ok(()) } else { Err(changed(path)) }
        };
        let groups = self.files.chunks(self.files.len().div_ceil(AT_ONCE).max(1));
        let checked = self.workers.map(groups.collect(), |group| group.iter().try_for_each(check));
        checked.into_iter().collect()
    }
}

fn named(path: &Path, e: io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

fn changed(path: &Path) -> io::Error {
    io::Error::other(format!("{} changed while it was packed", path.display()))
}

/// Writes headers; contents are elsewhere.
struct Headers(Builder<Vec<u8>>);

impl Headers {
    fn add(
        &mut self,
        path: &Path,
        link: Option<&Path>,
        meta: &Metadata,
        kind: EntryType,
        len: u64,
    ) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(len);
        header.set_mode(mode(meta, kind));
        header.set_uid(0);
        header.set_gid(0);
        let modified = meta.modified()?.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        header.set_mtime(modified);
        match link {
            Some(text) => self.0.append_link(&mut header, path, text),
            None => self.0.append_data(&mut header, path, io::empty()),
        }
    }
}

#[cfg(unix)]
fn mode(meta: &Metadata, _: EntryType) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & 0o7777
}

#[cfg(not(unix))]
fn mode(meta: &Metadata, kind: EntryType) -> u32 {
    match (kind, meta.permissions().readonly()) {
        (EntryType::Directory, _) => 0o755,
        (_, true) => 0o444,
        (_, false) => 0o644,
    }
}

/// The directories of one depth are read at once, and then groups of what is in them are looked at.
fn walk(root: &Path, workers: &Workers) -> Result<Found> {
    let of_root = |e| Error::io(root, e);
    let meta = fs::metadata(root).map_err(of_root)?;
    if !meta.is_dir() {
        return Err(of_root(io::ErrorKind::NotADirectory.into()));
    }
    let mut found = Found::default();
    let mut waiting = vec![PathBuf::new()];
    while !waiting.is_empty() {
        workers.check()?;
        let entries = workers.map(waiting, |directory| entries(root, directory));
        let entries: Vec<_> =
            entries.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        let groups = entries.chunks(GROUP).collect();
        waiting = Vec::new();
        for one in workers.map(groups, look_at) {
            let one = one?;
            waiting.extend(one.directories.iter().map(|(path, _)| path.clone()));
            found.directories.extend(one.directories);
            found.links.extend(one.links);
            found.files.extend(one.files);
            found.ignored.extend(one.ignored);
        }
    }
    found.directories.sort_by(|a, b| a.0.cmp(&b.0));
    found.directories.insert(0, (PathBuf::from("./"), meta));
    found.links.sort_by(|a, b| a.0.cmp(&b.0));
    found.ignored.sort();
    Ok(found)
}

/// Entries that one thread looks at.
const GROUP: usize = 64;

/// What sorts as a path does, component by component, and is compared at once.
fn place(path: &Path) -> Vec<u8> {
    let mut all = Vec::with_capacity(path.as_os_str().len() + 1);
    for component in path.components() {
        all.extend(component.as_os_str().as_encoded_bytes());
        // No name has this byte, and none is less.
        all.push(0);
    }
    all
}

/// What there is in one directory, in any order, with names relative to the root.
fn entries(root: &Path, directory: PathBuf) -> Result<Vec<(PathBuf, DirEntry)>> {
    let path = root.join(&directory);
    let at = |e| Error::io(&path, e);
    let entries = fs::read_dir(&path).map_err(at)?;
    entries.map(|entry| entry.map(|e| (directory.join(e.file_name()), e)).map_err(at)).collect()
}

/// What some entries are.
fn look_at(entries: &[(PathBuf, DirEntry)]) -> Result<Found> {
    let mut found = Found::default();
    for (name, entry) in entries {
        let at = |e| Error::io(&entry.path(), e);
        let meta = entry.metadata().map_err(at)?;
        let name = name.clone();
        if meta.is_dir() {
            found.directories.push((name, meta));
        } else if meta.is_symlink() {
            found.links.push((name, fs::read_link(entry.path()).map_err(at)?, meta));
        } else if meta.is_file() {
            found.files.push((name, meta));
        } else {
            found.ignored.push(entry.path());
        }
    }
    Ok(found)
}

impl std::convert::From<(Counts, crate::api::Report)> for Packed {
    fn from((counts, report): (Counts, crate::api::Report)) -> Packed {
        let Counts { files, links, directories, ignored } = counts;
        Packed { report, files, links, directories, ignored }
    }
}

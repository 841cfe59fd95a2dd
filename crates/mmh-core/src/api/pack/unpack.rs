//! From a `.mmh` of a tar archive to files.

use super::Packed;
use crate::api::decompress::{DecompressOptions, check_hash, report, windows};
use crate::api::{Content, Progress, Step, Workers, zeroed};
use crate::container::reader::Archive;
use crate::error::{Error, Result};
use crate::io::FileAt;
use crate::source::Format;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path};
use std::time::{Duration, UNIX_EPOCH};
use tar::EntryType;

/// Unpacks what [`super::pack_dir`] made, or the `.mmh` of any other tar archive, into a directory that is not there yet. It appears whole or
/// not at all. Nothing is written outside of it, whatever names and links the archive has.
pub fn unpack_dir(
    source: &Path,
    target: &Path,
    options: &DecompressOptions,
    progress: Progress<'_>,
) -> Result<Packed> {
    let workers = Workers::watched(options.threads, options.ask.clone());
    let at_source = |e: Error| match e {
        Error::Io { path: None, source: e } => Error::io(source, e),
        e => e,
    };
    let at_target = |e| Error::io(target, e);
    let file = File::open(source).map_err(|e| Error::io(source, e))?;
    let input = FileAt::new(file).map_err(|e| Error::io(source, e))?;
    let mut archive = Archive::open_within(&input, &options.limits).map_err(at_source)?;
    if archive.index().format != Format::Tar {
        return Err(Error::Invalid(format!(
            "{} holds no directory (its source is {}); decompress it as a file",
            source.display(),
            archive.index().format.name()
        )));
    }
    if archive.needs_base().is_some() {
        archive.set_base(options.base()?)?;
        archive.check_base(&workers)?;
    }
    if target.symlink_metadata().is_ok() {
        return Err(at_target(io::ErrorKind::AlreadyExists.into()));
    }
    let parent = match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    // Dropped without a new name, it is removed.
    let temp = tempfile::Builder::new()
        .prefix(".mmh-")
        .suffix(".part")
        .tempdir_in(parent)
        .map_err(|e| at_target(io::Error::from(e.kind())))?;
    let inside = temp.path().join("unpacked");
    fs::create_dir(&inside).map_err(at_target)?;
    let has = archive.index();
    let content = Content::new(options.check && has.blake3.is_some(), options.check && has.sha256.is_some());
    let mut restored = Restored {
        archive: &archive,
        windows: &mut windows(&archive, workers.batch() as u64),
        workers: &workers,
        check: options.check,
        content,
        progress,
        ready: Vec::new(),
        at: 0,
        failed: None,
    };
    let done = unpack(&mut restored, &inside);
    // What the archive could not restore is the reason, not what tar makes of it.
    if let Some(e) = restored.failed.take() {
        return Err(at_source(e));
    }
    let mut packed = done.map_err(|e| match e {
        Error::Io { path: None, source } => at_target(source),
        e => e,
    })?;
    check_hash(restored.content, archive.index())?;
    fs::rename(&inside, target).map_err(at_target)?;
    packed.report = report(archive.index(), archive.stored_len());
    Ok(packed)
}

fn unpack(restored: &mut Restored<'_, '_>, inside: &Path) -> Result<Packed> {
    let mut packed = Packed {
        report: report(restored.archive.index(), 0),
        files: 0,
        links: 0,
        directories: 0,
        ignored: Vec::new(),
    };
    let mut tar = tar::Archive::new(&mut *restored);
    tar.set_preserve_permissions(true);
    tar.set_preserve_mtime(true);
    tar.set_overwrite(false);
    // Modes and times of directories come last, as what is written into them would change or forbid them.
    let mut directories = Vec::new();
    for entry in tar.entries()? {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::Directory => {
                packed.directories += 1;
                directories.push(entry);
                continue;
            }
            EntryType::Symlink => packed.links += 1,
            EntryType::Regular | EntryType::Continuous | EntryType::Link | EntryType::GNUSparse => {
                packed.files += 1
            }
            EntryType::XGlobalHeader | EntryType::XHeader => continue,
            _ => {
                packed.ignored.push(entry.path()?.into_owned());
                continue;
            }
        }
        if !entry.unpack_in(inside)? {
            packed.ignored.push(entry.path()?.into_owned());
        }
    }
    directories.sort_by(|a, b| b.path_bytes().cmp(&a.path_bytes()));
    let mut times = Vec::new();
    for mut entry in directories {
        if entry.unpack_in(inside)? {
            times.push((entry.path()?.into_owned(), entry.header().mtime()?));
        }
    }
    times.iter().for_each(|(name, seconds)| set_time(inside, name, *seconds));
    // What is behind the archive's end counts for the hash.
    io::copy(restored, &mut io::sink())?;
    Ok(packed)
}

/// Gives a directory its time, unless it is none, or one outside. That a file system keeps no such time is no reason to fail.
fn set_time(inside: &Path, name: &Path, seconds: u64) {
    let path = name
        .components()
        .filter(|c| matches!(c, Component::Normal(_)))
        .fold(inside.to_owned(), |p, c| p.join(c));
    let is_inside = || Some(path.canonicalize().ok()?.starts_with(inside.canonicalize().ok()?));
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    if let (Some(true), Some(time)) = (is_inside(), time)
        && path.symlink_metadata().is_ok_and(|m| m.is_dir())
    {
        let _ = File::open(&path).and_then(|directory| directory.set_modified(time));
    }
}

/// The source of an archive, in order, checked and hashed.
struct Restored<'a, 'p> {
    archive: &'a Archive<&'a FileAt>,
    windows: &'a mut (dyn Iterator<Item = (u64, u64)> + 'a),
    workers: &'a Workers,
    check: bool,
    content: Content,
    progress: Progress<'p>,
    ready: Vec<u8>,
    at: usize,
    failed: Option<Error>,
}

impl Restored<'_, '_> {
    fn next(&mut self, start: u64, end: u64) -> Result<()> {
        let len = (end - start) as usize;
        if self.ready.capacity() < len {
            self.ready = zeroed(len as u64)?;
        }
        self.ready.resize(len, 0);
        self.archive.read_range(start, &mut self.ready, self.workers, self.check)?;
        self.content.update(&self.ready);
        self.at = 0;
        let (total, stored) = (Some(self.archive.index().source_len), self.archive.stored_len());
        (self.progress)(Step { done: end, total, stored })
    }
}

impl Read for Restored<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.ready.len() {
            let Some((start, end)) = self.windows.next() else { return Ok(0) };
            if let Err(e) = self.next(start, end) {
                self.ready.clear();
                self.at = 0;
                let said = io::Error::other(e.to_string());
                self.failed = Some(e);
                return Err(said);
            }
        }
        let n = (self.ready.len() - self.at).min(buf.len());
        buf[..n].copy_from_slice(&self.ready[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

//! A directory in one `.mmh`, and back: the source is a tar archive of it, which is never on the disk.
//!
//! * `image`: the archive, from the files as they are
//! * `unpack`: from the `.mmh` to files
//!
//! Whatever reads tar reads the restored source as well. Small texts share blocks, which makes them smaller than each by itself, and one
//! file is written for all of them, which takes less time than many.

use super::compress::{CompressOptions, compress_source};
use super::target::Output;
use super::{Progress, Report, Workers};
use crate::error::{Error, Result};
use crate::source::{self, Input};
use image::Image;
use std::path::{Path, PathBuf};

mod image;
#[cfg(test)]
mod tests;
mod unpack;

pub use unpack::unpack_dir;

/// What was packed or unpacked.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Of the archive.
    pub report: Report,
    /// Files.
    pub files: u64,
    /// Symbolic links.
    pub links: u64,
    /// Directories, the one itself included.
    pub directories: u64,
    /// Sockets, pipes and devices, which were left out.
    pub ignored: Vec<PathBuf>,
}

/// Packs a directory into one file (`None`: standard output). Names, contents, modes, whole seconds of modification times, empty directories
/// and symbolic links are kept; owners, extended attributes and hard links are not. The same tree gives the same bytes.
pub fn pack_dir(
    directory: &Path,
    target: Option<&Path>,
    options: &CompressOptions,
    progress: Progress<'_>,
) -> Result<Packed> {
    let workers = Workers::watched(options.threads, options.ask.clone());
    if let Some(target) = target {
        refuse_inside(directory, target)?;
    }
    // A target that exists is better met before the walk.
    let output = Output::new(target, options.force, [options.base_place()])?;
    let (image, counts) = Image::of(directory, &workers)?;
    let layout = source::find(Input { bytes: &image, complete: true });
    let report = compress_source(
        &image,
        layout,
        (Some(directory), None),
        (target, output),
        options,
        &workers,
        progress,
    )?;
    Ok((counts, report).into())
}

/// An archive inside the directory would have to hold itself.
fn refuse_inside(directory: &Path, target: &Path) -> Result<()> {
    let parent = match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let (Ok(inner), Ok(outer)) = (parent.canonicalize(), directory.canonicalize()) else { return Ok(()) };
    match inner.starts_with(outer) {
        true => Err(Error::Invalid(format!(
            "the target {} lies in the directory itself; name one outside of it",
            target.display()
        ))),
        false => Ok(()),
    }
}

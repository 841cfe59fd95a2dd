//! Readers: where the tensors of a file are. A reader never changes a byte and never executes anything; what it does not
//! understand, or what lies, it leaves opaque, and every byte comes back all the same.
//!
//! * `safetensors`: a JSON header, then the tensors
//! * `gguf`: rows of tensors behind metadata
//! * `pytorch`: pickles, which are read and never executed
//! * `onnx`: one message of protocol buffers
//! * `hdf5`: groups and contiguous datasets
//! * `tflite`: a flatbuffer
//! * `npy`: one array
//! * `npz`: arrays in a zip archive
//! * `tar`: any of these in an archive
//! * `zip`: stored entries, and where they are
//! * `cursor`: reading forward through a file of which little is needed

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::io::ReadAt;
use std::collections::{HashMap, HashSet};

mod cursor;
mod gguf;
mod hdf5;
mod npy;
mod npz;
mod onnx;
mod pytorch;
mod safetensors;
mod tar;
mod tflite;
mod zip;

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Not one of the others.
    Unknown,
    /// safetensors.
    Safetensors,
    /// One NumPy array.
    Npy,
    /// A zip archive of NumPy arrays.
    Npz,
    /// An array in memory.
    Array,
    /// GGUF, of llama.cpp and others.
    Gguf,
    /// PyTorch's zip archives: checkpoints and TorchScript.
    Pytorch,
    /// What PyTorch wrote before it wrote zip archives.
    PytorchLegacy,
    /// ONNX.
    Onnx,
    /// HDF5, in which Keras keeps weights.
    Hdf5,
    /// TensorFlow Lite.
    Tflite,
    /// A tar archive, of whatever files.
    Tar,
}

impl Format {
    const ALL: [Format; 12] = [
        Format::Unknown,
        Format::Safetensors,
        Format::Npy,
        Format::Npz,
        Format::Array,
        Format::Gguf,
        Format::Pytorch,
        Format::PytorchLegacy,
        Format::Onnx,
        Format::Hdf5,
        Format::Tflite,
        Format::Tar,
    ];

    /// The number that stands for it in the container.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// From the number in the container.
    pub fn from_id(id: u8) -> Option<Format> {
        Self::ALL.get(id as usize).copied()
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Format::Unknown => "opaque",
            Format::Safetensors => "safetensors",
            Format::Npy => "npy",
            Format::Npz => "npz",
            Format::Array => "array",
            Format::Gguf => "gguf",
            Format::Pytorch => "pytorch",
            Format::PytorchLegacy => "pytorch-legacy",
            Format::Onnx => "onnx",
            Format::Hdf5 => "hdf5",
            Format::Tflite => "tflite",
            Format::Tar => "tar",
        }
    }
}

/// A tensor of a file: a named range of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Unique in the file.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Elements along each axis.
    pub shape: Vec<u64>,
    /// The first axis is contiguous, not the last.
    pub fortran: bool,
    /// Source offset of its first byte.
    pub start: u64,
    /// Bytes: `dtype.size_of(&shape)`.
    pub len: u64,
}

impl Tensor {
    /// Source offset of the byte after its last.
    pub fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// Bytes outside of tensors whose elements are known all the same: of a tensor that is cut off, say. The plan alone is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Source offset of its first byte.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Element type.
    pub dtype: Dtype,
}

/// Bytes of a tensor's row in the index, without its name, and of the frames that it asks for.
const ROW_COST: u64 = 100;
/// Bytes of a frame of its own, and of one for the bytes before it, with their rows.
const FRAMES_COST: u64 = 60;

/// The tensors of a file. All other bytes are opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The reader that understood the file.
    pub format: Format,
    /// Its tensors, in order of their offsets, not overlapping.
    pub tensors: Vec<Tensor>,
    /// What is known of bytes between them, in order, overlapping nothing.
    pub hints: Vec<Hint>,
}

impl Layout {
    /// A file with these tensors.
    pub fn of(format: Format, tensors: Vec<Tensor>) -> Layout {
        Layout { format, tensors, hints: Vec::new() }
    }

    /// An array of so many bytes.
    pub fn of_array(len: u64, dtype: Dtype, shape: Vec<u64>) -> Result<Layout> {
        if dtype.size_of(&shape) != Some(len) {
            let dtype = dtype.name();
            return Err(Error::Invalid(format!("shape {shape:?} of {dtype} does not make {len} bytes")));
        }
        let tensor = Tensor { name: "data".into(), dtype, shape, fortran: false, start: 0, len };
        Ok(Layout::of(Format::Array, vec![tensor]))
    }

    /// A file that no reader understands.
    pub fn opaque() -> Layout {
        Layout::of(Format::Unknown, Vec::new())
    }

    /// The same bytes without an index of tensors, for small files with many: each by itself, and neighbours of one dtype together. Of
    /// safetensors alone, whose own header, at the front, has the names for whoever reads the restored bytes.
    pub fn without_names(&self) -> Vec<Layout> {
        if self.format != Format::Safetensors || self.tensors.len() < 2 {
            return Vec::new();
        }
        let filled = self.tensors.iter().filter(|t| t.len > 0);
        let mut each: Vec<Hint> =
            filled.map(|t| Hint { start: t.start, len: t.len, dtype: t.dtype }).collect();
        each.extend(&self.hints);
        each.sort_by_key(|hint| hint.start);
        let mut joined: Vec<Hint> = Vec::new();
        for hint in &each {
            match joined
                .last_mut()
                .filter(|last| last.start + last.len == hint.start && last.dtype == hint.dtype)
            {
                Some(last) => last.len += hint.len,
                None => joined.push(*hint),
            }
        }
        let of = |hints| Layout { format: self.format, tensors: Vec::new(), hints };
        vec![of(each), of(joined)]
    }

    /// A layout that makes a container no larger than a thousandth of these bytes more than none would, whatever the bytes are: this
    /// one, or the dtypes of its large tensors without the names.
    pub fn within(mut self, bytes: u64) -> Layout {
        let rows: u64 = self.tensors.iter().map(|t| t.name.len() as u64 + ROW_COST).sum();
        if rows + self.hints.len() as u64 * FRAMES_COST <= bytes / 1000 {
            return self;
        }
        let tensors = std::mem::take(&mut self.tensors);
        self.hints.extend(tensors.iter().map(|t| Hint { start: t.start, len: t.len, dtype: t.dtype }));
        self.hints.retain(|h| h.len >= FRAMES_COST * 1000);
        self.hints.sort_by_key(|h| h.start);
        self
    }
}

/// What a reader sees of a file.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The bytes: all of them, or of a stream the first few MiB.
    pub bytes: &'a dyn ReadAt,
    /// Whether those are all. If not, tensors may end behind them; those that turn out to be cut off are dropped later.
    pub complete: bool,
}

impl Input<'_> {
    /// Reads `len` bytes at `offset`, or `None` if they are not there (or cannot be read: the error will come again when the
    /// bytes are compressed).
    pub fn read(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        if offset.checked_add(len as u64)? > self.bytes.len() {
            return None;
        }
        let mut buf = vec![0; len];
        self.bytes.read_exact_at(offset, &mut buf).ok()?;
        Some(buf)
    }

    /// Whether `end` can be the end of a range of the file.
    pub fn reaches(&self, end: u64) -> bool {
        !self.complete || end <= self.bytes.len()
    }
}

type Reader = fn(Input<'_>) -> Option<Layout>;

/// The readers, in the order in which they are asked: ONNX has no magic number, and comes last.
const READERS: [Reader; 10] = [
    tar::read,
    safetensors::read,
    npy::read,
    gguf::read,
    pytorch::read,
    npz::read,
    pytorch::read_legacy,
    hdf5::read,
    tflite::read,
    onnx::read,
];

/// Asks the readers in turn; the first that understands the file wins.
pub fn find(input: Input<'_>) -> Layout {
    READERS.iter().find_map(|read| read(input)).filter(is_sound).unwrap_or_else(Layout::opaque)
}

/// The same for a file in an archive, which is not looked for in archives in it.
fn find_inside(input: Input<'_>) -> Option<Layout> {
    READERS.iter().skip(1).find_map(|read| read(input)).filter(is_sound)
}

/// The longest name and the most axes that the container holds.
const MAX_NAME: usize = u16::MAX as usize;
const MAX_RANK: usize = 64;

/// Bytes of names that a layout may have in all. A few bytes of a hostile file can stand for a long name.
const MAX_NAMES: usize = 64 << 20;

/// The layout of a file in which these tensors and hints were found, in any order. Of several that overlap, the first counts,
/// and a tensor before a hint; a name that is taken gets a number; what is cut off by the end of the file, or cannot be a row of
/// the index, becomes a hint.
fn collect(input: Input<'_>, format: Format, mut found: Vec<Tensor>, mut hints: Vec<Hint>) -> Layout {
    // Stable, so that empty tensors at the same place keep the file's order.
    found.sort_by_key(|t| t.start);
    let mut names = Names::default();
    let mut tensors: Vec<Tensor> = Vec::new();
    let mut end = 0;
    for mut t in found {
        let known = t.dtype.size_of(&t.shape) == Some(t.len) && t.start.checked_add(t.len).is_some();
        if !known || t.start < end {
            continue;
        }
        if input.reaches(t.end()) && t.shape.len() <= MAX_RANK && names.take(&mut t.name) {
            end = t.end();
            tensors.push(t);
        } else {
            hints.push(Hint { start: t.start, len: t.len, dtype: t.dtype });
        }
    }
    let hints = between(input, &tensors, hints);
    let layout = Layout { format, tensors, hints };
    debug_assert!(is_sound(&layout), "{layout:?}");
    layout
}

/// The hints for bytes that are there and that are in no tensor, cut to whole units.
fn between(input: Input<'_>, tensors: &[Tensor], mut hints: Vec<Hint>) -> Vec<Hint> {
    hints.sort_by_key(|h| h.start);
    let mut end = 0;
    hints.retain_mut(|h| {
        if input.complete {
            h.len = h.len.min(input.bytes.len().saturating_sub(h.start));
        }
        h.len -= h.len % h.dtype.unit().1;
        let Some(stop) = h.start.checked_add(h.len) else { return false };
        let next = tensors.partition_point(|t| t.end() <= h.start);
        let free = h.start >= end && tensors.get(next).is_none_or(|t| t.start >= stop);
        if free && h.len > 0 {
            end = stop;
        }
        free && h.len > 0
    });
    hints
}

/// Names that are taken.
#[derive(Default)]
struct Names {
    /// With the number that was given last to a tensor of the name.
    taken: HashMap<String, u32>,
    bytes: usize,
}

impl Names {
    /// Takes the name, with a number behind it if it is taken.
    fn take(&mut self, name: &mut String) -> bool {
        if let Some(last) = self.taken.get_mut(name) {
            *last += 1;
            *name = format!("{name}#{last}");
        }
        self.bytes += name.len();
        // A name that looks as if it were numbered may be in the way: not worth another try.
        name.len() <= MAX_NAME && self.bytes <= MAX_NAMES && self.taken.insert(name.clone(), 1).is_none()
    }
}

/// What the container asks of a layout; a reader that breaks it is not believed.
fn is_sound(layout: &Layout) -> bool {
    let mut names = HashSet::new();
    let mut end = 0;
    layout.tensors.iter().all(|t| {
        let sound = t.start >= end
            && t.dtype.size_of(&t.shape) == Some(t.len)
            && t.start.checked_add(t.len).is_some()
            && t.name.len() <= MAX_NAME
            && t.shape.len() <= MAX_RANK
            && names.insert(&t.name);
        end = t.start.saturating_add(t.len);
        sound
    }) && hints_are_sound(layout)
}

fn hints_are_sound(layout: &Layout) -> bool {
    let tensors = layout.tensors.iter().map(|t| (t.start, t.len));
    let mut all: Vec<(u64, u64)> = tensors.chain(layout.hints.iter().map(|h| (h.start, h.len))).collect();
    all.sort_unstable();
    all.windows(2).all(|w| w[0].0.checked_add(w[0].1).is_some_and(|end| end <= w[1].0))
        && all.last().is_none_or(|l| l.0.checked_add(l.1).is_some())
        && layout.hints.is_sorted_by_key(|h| h.start)
}

#[cfg(test)]
mod tests;

//! Readers: where the tensors of a file are. A reader never changes a byte and never executes anything; what it does not
//! understand, or what lies, it leaves opaque, and every byte comes back all the same.

use crate::dtype::Dtype;
use crate::io::ReadAt;

mod npy;
mod npz;
mod safetensors;

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
}

impl Format {
    const ALL: [Format; 5] = [Format::Unknown, Format::Safetensors, Format::Npy, Format::Npz, Format::Array];

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

    /// A file that no reader understands.
    pub fn opaque() -> Layout {
        Layout::of(Format::Unknown, Vec::new())
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

/// Asks the readers in turn; the first that understands the file wins.
pub fn find(input: Input<'_>) -> Layout {
    let readers: [fn(Input<'_>) -> Option<Layout>; 3] = [safetensors::read, npy::read, npz::read];
    readers.iter().find_map(|read| read(input)).filter(is_sound).unwrap_or_else(Layout::opaque)
}

/// What the container asks of a layout; a reader that breaks it is not believed.
fn is_sound(layout: &Layout) -> bool {
    let mut names = std::collections::HashSet::new();
    let mut end = 0;
    layout.tensors.iter().all(|t| {
        let sound = t.start >= end
            && t.dtype.size_of(&t.shape) == Some(t.len)
            && t.start.checked_add(t.len).is_some()
            && t.name.len() <= u16::MAX as usize
            && t.shape.len() <= 64
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

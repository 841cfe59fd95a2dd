//! NumPy's `.npz`: a zip archive of `.npy` files. Of entries whose size is behind their data (an archive that was written to a
//! pipe) the array's own header tells it.

use super::npy::{self, Array};
use super::zip::{self, Entry};
use super::{Format, Input, Layout, collect};

/// Finds the arrays of a `.npz` file that are stored as they are; a zip archive without any is not ours.
pub fn read(input: Input<'_>) -> Option<Layout> {
    let size = |entry: &Entry| Some(array(input, entry, u64::MAX)?.tensor.end() - entry.start);
    let entries = zip::entries(input, size);
    let (tensors, hints) = npy::sorted(entries.iter().filter_map(|entry| stored(input, entry)));
    let none = tensors.is_empty() && hints.is_empty();
    (!none).then(|| collect(input, Format::Npz, tensors, hints))
}

/// The array in an entry, if it is one that is understood, and all of it is in the entry.
fn stored(input: Input<'_>, entry: &Entry) -> Option<Array> {
    array(input, entry, entry.len).filter(|array| entry.plain && array.tensor.end() <= entry.end())
}

fn array(input: Input<'_>, entry: &Entry, most: u64) -> Option<Array> {
    let name = entry.name()?.strip_suffix(".npy")?;
    npy::array_at(input, entry.start, most, name.to_owned())
}

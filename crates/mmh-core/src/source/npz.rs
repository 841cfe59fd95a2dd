//! NumPy's `.npz`: a zip archive of `.npy` files. Of entries whose size is behind their data (an archive that was written to a
//! pipe) the array's own header tells it.

use super::zip::{self, Entry};
use super::{Format, Input, Layout, Tensor, collect, npy};

/// Finds the arrays of a `.npz` file that are stored as they are; a zip archive without any is not ours.
pub fn read(input: Input<'_>) -> Option<Layout> {
    let size = |entry: &Entry| Some(array(input, entry)?.end() - entry.start);
    let entries = zip::entries(input, size);
    // NumPy reads the last of several entries of a name.
    let found: Vec<_> = entries.iter().filter_map(|entry| stored(input, entry)).collect();
    (!found.is_empty()).then(|| collect(input, Format::Npz, found, Vec::new()))
}

/// The array in an entry, if it is one that is understood, and all of it is in the entry.
fn stored(input: Input<'_>, entry: &Entry) -> Option<Tensor> {
    array(input, entry).filter(|tensor| entry.plain && tensor.end() <= entry.end())
}

fn array(input: Input<'_>, entry: &Entry) -> Option<Tensor> {
    let name = entry.name()?.strip_suffix(".npy")?;
    npy::tensor_at(input, entry.start, name.to_owned())
}

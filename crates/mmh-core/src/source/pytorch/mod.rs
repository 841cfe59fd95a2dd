//! PyTorch's files: a pickle that says what there is, and the bytes of storages. The pickle is read, never executed.
//!
//! * A zip archive of `NAME/data.pkl` and `NAME/data/KEY`; TorchScript adds code, and `constants.pkl` with `constants/KEY`.
//! * Before 1.6, and on request since: five pickles (magic number, version, system, object, keys of the storages), then each
//!   storage with its number of elements before it.
//!
//! See `torch/serialization.py` and `caffe2/serialize/inline_container.h` in <https://github.com/pytorch/pytorch>.
//!
//! * `global`: classes and functions that mean something
//! * `names`: what tensors are called, and which of them are those of the container

use self::names::Place;
use self::pickle::Pickle;
use super::zip::{self, Entry};
use super::{Format, Hint, Input, Layout, Tensor, collect};
use std::collections::HashMap;

mod global;
mod names;
mod pickle;

/// What the entry is called that every archive has, in the archive's own folder.
const DATA: &str = "data.pkl";
/// Pickles whose storages are entries, the folders of those, and what goes before the names of their tensors.
const PICKLES: [(&str, &str, &str); 2] = [(DATA, "data/", ""), ("constants.pkl", "constants/", "constants")];
/// The entry that says how numbers are stored, and that they are as nobody here reads them.
const ORDER: &str = "byteorder";
const BIG: &[u8] = b"big";

/// Finds the tensors in a zip archive that PyTorch wrote.
pub fn read(input: Input<'_>) -> Option<Layout> {
    let mut archive = Archive { input, asked: false, folder: None, sizes: HashMap::new() };
    let entries = zip::entries(input, |entry| archive.size(entry));
    let folder = entries.iter().find_map(|entry| folder(entry.name()?))?;
    let mut plain: HashMap<&str, &Entry> = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.plain) {
        if let Some(name) = entry.name().and_then(|name| name.strip_prefix(folder)) {
            plain.entry(name).or_insert(entry);
        }
    }
    let order = plain.get(ORDER).filter(|entry| entry.len == BIG.len() as u64);
    if order.is_some_and(|entry| input.read(entry.start, BIG.len()).as_deref() == Some(BIG)) {
        return None;
    }
    let (mut tensors, mut hints) = (Vec::new(), Vec::new());
    for (name, folder, prefix) in PICKLES {
        let pickle = plain.get(name).and_then(|entry| Pickle::read(input, entry.start));
        let Some(pickle) = pickle else { continue };
        let place = |key: &str| {
            let entry = plain.get(format!("{folder}{key}").as_str())?;
            Some(Place { start: entry.start, len: entry.len })
        };
        let places: Vec<_> = pickle.storages.iter().map(|storage| place(&storage.key)).collect();
        let found = names::tensors(&pickle, prefix, &places);
        tensors.extend(found.0);
        hints.extend(found.1);
    }
    Some(collect(input, Format::Pytorch, tensors, hints))
}

/// The folder of the archive, if this is the name of its first pickle.
fn folder(name: &str) -> Option<&str> {
    name.strip_suffix(DATA).filter(|folder| folder.ends_with('/') && folder.matches('/').count() == 1)
}

/// What tells the sizes of entries where nothing else does: the pickle comes first, and names all storages.
struct Archive<'a> {
    input: Input<'a>,
    /// The first pickle was looked for: a damaged one is not worth another.
    asked: bool,
    folder: Option<String>,
    /// Of the storages, by their keys.
    sizes: HashMap<String, u64>,
}

impl Archive<'_> {
    fn size(&mut self, entry: &Entry) -> Option<u64> {
        let name = entry.name()?;
        if let Some(folder) = &self.folder {
            let key = name.strip_prefix(folder)?.strip_prefix("data/")?;
            return self.sizes.get(key).copied();
        }
        let folder = folder(name)?;
        if std::mem::replace(&mut self.asked, true) {
            return None;
        }
        let pickle = Pickle::read(self.input, entry.start)?;
        self.folder = Some(folder.to_owned());
        for storage in pickle.storages {
            let size = storage.count.checked_mul(storage.stored.width())?;
            self.sizes.insert(storage.key, size);
        }
        Some(pickle.end - entry.start)
    }
}

/// The magic number of files before zip archives, as LONG1 and its length begin it in a pickle of any protocol.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Finds the tensors in a file of the time before zip archives.
pub fn read_legacy(input: Input<'_>) -> Option<Layout> {
    let at = [2, 11].into_iter().find(|at| input.read(*at, MAGIC.len()).as_deref() == Some(MAGIC))?;
    let version = Pickle::read(input, at + MAGIC.len() as u64)?;
    let system = Pickle::read(input, version.end)?;
    let object = Pickle::read(input, system.end)?;
    let keys = Pickle::read(input, object.end)?;
    let places = storages(input, &object, &keys);
    let (tensors, hints): (Vec<Tensor>, Vec<Hint>) = names::tensors(&object, "", &places);
    Some(collect(input, Format::PytorchLegacy, tensors, hints))
}

/// Where the storages are: one behind the other, in the order of their keys, each with a number of elements before it.
fn storages(input: Input<'_>, object: &Pickle, keys: &Pickle) -> Vec<Option<Place>> {
    let by_key: HashMap<&str, usize> =
        object.storages.iter().enumerate().map(|(i, storage)| (storage.key.as_str(), i)).collect();
    let mut places = vec![None; object.storages.len()];
    let mut at = keys.end;
    let keys = keys.node(keys.root).map_or(&[][..], |list| &list.items).iter().map(|key| keys.text(*key));
    for key in keys {
        let known = key.and_then(|key| by_key.get(key)).and_then(|i| Some((*i, object.storages.get(*i)?)));
        let Some((i, storage)) = known else { break };
        let Some(place) = place(input, at, storage.stored.width()) else { break };
        at = place.start + place.len;
        if let Some(free @ None) = places.get_mut(i) {
            *free = Some(place);
        }
    }
    places
}

/// The storage whose number of elements is at `at`.
fn place(input: Input<'_>, at: u64, width: u64) -> Option<Place> {
    let count = u64::from_le_bytes(*input.read(at, 8)?.first_chunk()?);
    let (start, len) = (at.checked_add(8)?, count.checked_mul(width)?);
    start.checked_add(len)?;
    Some(Place { start, len })
}

//! NumPy's `.npz`: a zip archive of `.npy` files. The entries are walked from the front, without the
//! directory at the end, so that a stream and an archive that was cut off show what they have. See PKWARE's
//! APPNOTE.TXT, 4.3.7.

use std::collections::HashSet;

use super::{Format, Input, Layout, Tensor, npy};

const SIGNATURE: &[u8] = b"PK\x03\x04";
/// Bytes of a local header before name and extra fields.
const FIXED: usize = 30;

/// Flag: encrypted.
const ENCRYPTED: u16 = 1;
/// Flag: sizes may be behind the data only.
const DESCRIPTOR: u16 = 1 << 3;
/// Flag: the name is UTF-8.
const UTF8: u16 = 1 << 11;

/// Finds the arrays of a `.npz` file that are stored as they are; a zip archive without any is not ours.
pub fn read(input: Input<'_>) -> Option<Layout> {
    let mut tensors = Vec::new();
    let mut names = HashSet::new();
    let mut at = 0;
    while let Some(entry) = Entry::read(input, at) {
        at = entry.end;
        // NumPy reads the last of several entries of a name; here all that matters is that names are unique.
        if let Some(tensor) = entry.tensor(input)
            && names.insert(tensor.name.clone())
        {
            tensors.push(tensor);
        }
    }
    (!tensors.is_empty()).then(|| Layout::of(Format::Npz, tensors))
}

/// A file in the archive.
struct Entry {
    /// What the array is called, if the entry can be one.
    array: Option<String>,
    /// Source offset of its first byte.
    start: u64,
    /// Source offset of the byte after its last, where the next entry is.
    end: u64,
}

impl Entry {
    /// The entry whose local header is at `at`, if there is one and if it says where it ends.
    fn read(input: Input<'_>, at: u64) -> Option<Entry> {
        let header = input.read(at, FIXED)?;
        if !header.starts_with(SIGNATURE) {
            return None;
        }
        let flags = u16_at(&header, 6)?;
        let method = u16_at(&header, 8)?;
        let name_len = usize::from(u16_at(&header, 26)?);
        let extra_len = usize::from(u16_at(&header, 28)?);
        let at = at.checked_add(FIXED as u64)?;
        let behind = input.read(at, name_len + extra_len)?;
        let (name, extra) = behind.split_at_checked(name_len)?;
        let mut zip64 = zip64(extra);
        let stored_short = u32_at(&header, 18)?;
        // The order is that of the extra field.
        let size = zip64.size(u32_at(&header, 22)?)?;
        let stored = zip64.size(stored_short)?;
        if flags & DESCRIPTOR != 0 && stored == 0 {
            return None;
        }
        let start = at.checked_add(behind.len() as u64)?;
        let end = start.checked_add(stored)?;
        let plain = method == 0 && stored == size && flags & ENCRYPTED == 0;
        let array = if plain { array_name(name, flags) } else { None };
        input.reaches(end).then_some(Entry { array, start, end })
    }

    /// The array in it, if it is one that is understood.
    fn tensor(self, input: Input<'_>) -> Option<Tensor> {
        npy::tensor_at(input, self.start, self.array?).filter(|tensor| tensor.end() <= self.end)
    }
}

/// The name of the array in the file of this name.
fn array_name(file: &[u8], flags: u16) -> Option<String> {
    let file = str::from_utf8(file).ok()?;
    // Without the flag a name is in some code page, all of which share ASCII. Readers cut names at a NUL.
    let readable = (flags & UTF8 != 0 || file.is_ascii()) && !file.contains('\0');
    file.strip_suffix(".npy").filter(|_| readable).map(str::to_owned)
}

/// The sizes of the zip64 extra field that were not read yet.
struct Zip64<'a>(&'a [u8]);

/// Finds the zip64 extra field.
fn zip64(mut extra: &[u8]) -> Zip64<'_> {
    while let (Some(id), Some(len)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let Some((field, rest)) = extra.get(4..).and_then(|rest| rest.split_at_checked(usize::from(len)))
        else {
            break;
        };
        if id == 1 {
            return Zip64(field);
        }
        extra = rest;
    }
    Zip64(&[])
}

impl Zip64<'_> {
    /// The size that the header gives in 32 bits, or if it does not fit those, the next of the field.
    fn size(&mut self, short: u32) -> Option<u64> {
        if short != u32::MAX {
            return Some(short.into());
        }
        let (size, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*size))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

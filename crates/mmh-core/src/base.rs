//! The base: a file, plain or an `.mmh`, or an array in memory, that others are stored against.

use crate::api::Workers;
use crate::block::Segment;
use crate::codec::delta::between;
use crate::container::MAGIC;
use crate::container::base::BaseRecord;
use crate::container::index::is_file_name;
use crate::container::reader::Archive;
use crate::container::restored::Restored;
use crate::dtype::Dtype;
use crate::error::{DamagedBase, Error, Result};
use crate::io::{FileAt, ReadAt};
use crate::source::{self, Format, Input, Layout, Tensor};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Bytes that are hashed at a time.
const PIECE: usize = 8 << 20;

/// Files shorter than this are not compared by position alone.
const SHORTEST_OPAQUE: u64 = 1 << 16;

/// Names longer than this are not recorded.
const LONGEST_NAME: usize = 255;

/// An open base.
pub struct Base {
    /// As messages name it.
    path: PathBuf,
    /// Of the file; empty in memory.
    name: String,
    bytes: Bytes,
    /// Of an array, which no reader has to look for.
    array: Option<Layout>,
    blake3: OnceLock<[u8; 32]>,
}

/// What can be read at any offset.
type Any = Box<dyn ReadAt>;

enum Bytes {
    Plain(Any),
    Restored(Box<Restored<Any>>),
}

impl Base {
    /// Opens a file, or the source of an `.mmh`, which must not need a base itself.
    pub fn open(path: &Path) -> Result<Base> {
        let of = |e| Error::io(path, e);
        let file = File::open(path).map_err(of)?;
        let meta = file.metadata().map_err(of)?;
        if meta.is_dir() {
            return Err(of(io::ErrorKind::IsADirectory.into()));
        }
        if !meta.is_file() {
            return Err(Error::Invalid(format!(
                "the base {} is no regular file: it is read at any place, and more than once",
                path.display()
            )));
        }
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Base::of(Box::new(FileAt::of(file, &meta)), path, name)
    }

    /// The content of a file in memory, plain or an `.mmh`; or an array of the given dtype and shape.
    pub fn in_memory(bytes: Box<dyn ReadAt>, array: Option<(Dtype, Vec<u64>)>) -> Result<Base> {
        let path = Path::new("in memory");
        match array {
            None => Base::of(bytes, path, String::new()),
            Some((dtype, shape)) => {
                let layout = Layout::of_array(bytes.len(), dtype, shape)?;
                let (path, name, blake3) = (path.to_path_buf(), String::new(), OnceLock::new());
                Ok(Base { path, name, bytes: Bytes::Plain(bytes), array: Some(layout), blake3 })
            }
        }
    }

    fn of(input: Any, path: &Path, name: String) -> Result<Base> {
        let mut magic = [0; MAGIC.len()];
        let is_mmh = input.read_exact_at(0, &mut magic).is_ok() && magic == MAGIC;
        let blake3 = OnceLock::new();
        let bytes = if is_mmh {
            let archive = Archive::open(input).map_err(|e| within(path, e))?;
            if let Some(record) = archive.needs_base() {
                return Err(Error::Invalid(format!(
                    "the base {} was itself compressed against a base, {record}: decompress it first",
                    path.display()
                )));
            }
            if let Some(hash) = archive.index().blake3 {
                let _ = blake3.set(hash);
            }
            Bytes::Restored(Box::new(Restored::new(archive)))
        } else {
            Bytes::Plain(input)
        };
        Ok(Base { path: path.to_path_buf(), name, bytes, array: None, blake3 })
    }

    /// Where it is, unless it is in memory.
    pub fn place(&self) -> Option<&Path> {
        (!self.name.is_empty()).then_some(&self.path)
    }

    /// Where its tensors are.
    pub fn layout(&self) -> Layout {
        if let Some(array) = &self.array {
            return array.clone();
        }
        if let Bytes::Restored(r) = &self.bytes {
            let index = r.archive().index();
            if !index.tensors.is_empty() {
                let tensors = index.tensors.iter().map(|t| t.tensor.clone()).collect();
                return Layout::of(index.format, tensors);
            }
        }
        source::find(Input { bytes: self, complete: true })
    }

    /// BLAKE3 of all of it: as an `.mmh` has it, or computed when it is first asked for.
    pub fn blake3(&self, workers: &Workers) -> Result<[u8; 32]> {
        if let Some(hash) = self.blake3.get() {
            return Ok(*hash);
        }
        let hash = blake3_of(self, workers)?;
        Ok(*self.blake3.get_or_init(|| hash))
    }

    /// What a file that is compressed against it says about it.
    pub fn record(&self, workers: &Workers) -> Result<BaseRecord> {
        Ok(BaseRecord { len: self.len(), blake3: self.blake3(workers)?, name: self.recorded_name() })
    }

    /// The name that such a file records.
    pub fn recorded_name(&self) -> String {
        let recorded = match &self.bytes {
            Bytes::Restored(r) => r.archive().index().name.clone(),
            Bytes::Plain(_) => String::new(),
        };
        let name = if recorded.is_empty() { self.name.clone() } else { recorded };
        Some(name).filter(|n| is_file_name(n) && n.len() <= LONGEST_NAME).unwrap_or_default()
    }

    /// Refuses another file than the one that was recorded, as far as that is known without reading all of it.
    pub fn check_quickly(&self, expected: &BaseRecord) -> Result<()> {
        let other = self.blake3.get().is_some_and(|found| *found != expected.blake3);
        if self.len() == expected.len && !other { Ok(()) } else { Err(self.is_not(expected)) }
    }

    /// Refuses another file than the one that was recorded.
    pub fn check(&self, expected: &BaseRecord, workers: &Workers) -> Result<()> {
        self.check_quickly(expected)?;
        self.blake3(workers)?;
        self.check_quickly(expected)
    }

    fn is_not(&self, expected: &BaseRecord) -> Error {
        let hash =
            self.blake3.get().map(|h| format!(", BLAKE3 {}", blake3::Hash::from(*h))).unwrap_or_default();
        Error::WrongBase(format!(
            "the base {} ({} bytes{hash}) is not the one that was compressed against: expected {expected}",
            self.path.display(),
            self.len()
        ))
    }

    /// Refuses a base that was written to since it was opened.
    pub fn check_unchanged(&self) -> Result<()> {
        let input = match &self.bytes {
            Bytes::Plain(input) => input,
            Bytes::Restored(r) => r.archive().input(),
        };
        input.check_unchanged().map_err(|_| {
            Error::WrongBase(format!("the base {} was changed while it was read", self.path.display()))
        })
    }

    /// For each segment that has one: its counterpart. Tensors are matched by name and shape, but for the number of rows, as vocabularies grow, and by dtype, or one that is cast
    /// to it; if none has that name, a name may go on where the other one begins, as `model.` and a point come before all names of a wrapped model. Files of which no tensor is
    /// known are matched by position.
    pub fn counterparts(&self, layout: &Layout, segments: &[Segment]) -> HashMap<usize, Segment> {
        let own = self.layout();
        if layout.tensors.is_empty() {
            let opaque = layout.format == Format::Unknown && own.format == Format::Unknown;
            let long = |s: &&Segment| s.len >= SHORTEST_OPAQUE;
            let all =
                |s: &Segment| (0, Segment { start: s.start, len: self.len(), tensor: None, dtype: None });
            return segments.iter().filter(|_| opaque).take(1).filter(long).map(all).collect();
        }
        let names = Names::of(&own.tensors);
        let of = |s: &Segment| {
            let known = names.counterpart(layout.tensors.get(s.tensor?)?)?;
            Some(Segment { start: known.start, len: known.len, tensor: None, dtype: Some(known.dtype) })
        };
        segments.iter().enumerate().filter_map(|(i, s)| Some((i, of(s)?))).collect()
    }

    /// How many of the tensors have a counterpart; a file of which no tensor is known counts as one.
    pub fn matched(&self, layout: &Layout) -> usize {
        let own = self.layout();
        if layout.tensors.is_empty() {
            return (layout.format == Format::Unknown && own.format == Format::Unknown) as usize;
        }
        let names = Names::of(&own.tensors);
        layout.tensors.iter().filter(|t| names.counterpart(t).is_some()).count()
    }
}

/// Whether a tensor has the same elements at the same places of each row as one of a base, whose type may be another one; one of them may have more rows.
fn are_alike(a: &Tensor, known: &Tensor) -> bool {
    let same_rows = !a.fortran && a.shape.iter().skip(1).eq(known.shape.iter().skip(1));
    (a.fortran, a.shape.len()) == (known.fortran, known.shape.len())
        && !between(known.dtype, a.dtype).is_empty()
        && (a.shape == known.shape || same_rows)
}

/// Tensors by their names, and by what stands behind the points in those.
struct Names<'a> {
    whole: HashMap<&'a str, &'a Tensor>,
    /// `None` where several names end so.
    ends: HashMap<&'a str, Option<&'a Tensor>>,
}

impl<'a> Names<'a> {
    fn of(tensors: &'a [Tensor]) -> Names<'a> {
        let mut ends = HashMap::new();
        for tensor in tensors {
            for end in ends_of(&tensor.name) {
                ends.entry(end).and_modify(|known| *known = None).or_insert(Some(tensor));
            }
        }
        Names { whole: tensors.iter().map(|t| (t.name.as_str(), t)).collect(), ends }
    }

    /// The tensor that another one is a later state of.
    fn counterpart(&self, tensor: &Tensor) -> Option<&'a Tensor> {
        self.find(&tensor.name).filter(|known| are_alike(tensor, known))
    }

    /// The tensor of this name; else the only one whose name ends with it, or the one whose name is the longest end of it.
    fn find(&self, name: &str) -> Option<&'a Tensor> {
        let shorter = || ends_of(name).find_map(|end| self.whole.get(end).copied());
        self.whole.get(name).copied().or_else(|| *self.ends.get(name)?).or_else(shorter)
    }
}

/// What stands behind each point of a name, the longest first.
fn ends_of(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(at, point)| &name[at + point.len()..]).filter(|end| !end.is_empty())
}

/// BLAKE3 of all that can be read; the next piece is read while this one is hashed.
pub(crate) fn blake3_of(input: &dyn ReadAt, workers: &Workers) -> Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let (mut ready, mut next) = (Vec::new(), vec![0; PIECE]);
    let mut at = 0;
    let counting = workers.counting(input.len());
    while at < input.len() {
        workers.check()?;
        let n = (input.len() - at).min(PIECE as u64) as usize;
        next.resize(n, 0);
        let (read, ()) =
            workers.join(|| input.read_exact_at(at, &mut next), || workers.hash(&mut hasher, &ready));
        read?;
        std::mem::swap(&mut ready, &mut next);
        at += n as u64;
        counting.advance(n as u64);
    }
    hasher.update(&ready);
    Ok(*hasher.finalize().as_bytes())
}

/// Names the base in an error of its own.
fn within(path: &Path, e: Error) -> Error {
    match e {
        Error::Io { path: None, source } => Error::io(path, source),
        e => Error::WrongBase(format!("the base {}: {e}", path.display())),
    }
}

impl ReadAt for Base {
    fn len(&self) -> u64 {
        match &self.bytes {
            Bytes::Plain(f) => f.len(),
            Bytes::Restored(r) => r.archive().index().source_len,
        }
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let base = self.path.display();
        match &self.bytes {
            Bytes::Plain(f) => f.read_exact_at(offset, buf).map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => {
                    io::Error::other(format!("the base {base} became shorter while it was read"))
                }
                _ => io::Error::other(format!("the base {base}: {e}")),
            }),
            Bytes::Restored(r) => r.read(offset, buf).map_err(|e| match e {
                Error::Corrupt { .. } => io::Error::other(DamagedBase(format!("the base {base}: {e}"))),
                e => io::Error::other(format!("the base {base}: {e}")),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::Dtype;

    fn tensor(name: &str, shape: &[u64], start: u64) -> Tensor {
        let (shape, len) = (shape.to_vec(), 4 * shape.iter().product::<u64>());
        Tensor { name: name.into(), dtype: Dtype::F32, shape, fortran: false, start, len }
    }

    #[test]
    fn names_are_found_whole_or_behind_what_stands_before_all_of_them() {
        let base =
            ["encoder.0.weight", "encoder.0.bias", "encoder.1.bias", "weight"].map(|n| tensor(n, &[2], 0));
        let names = Names::of(&base);
        let found = |name: &str| names.find(name).map(|t| t.name.as_str());
        assert_eq!(found("encoder.0.weight"), Some("encoder.0.weight"));
        assert_eq!(found("bert.encoder.0.weight"), Some("encoder.0.weight"));
        assert_eq!(found("a.b.encoder.1.bias"), Some("encoder.1.bias"));
        assert_eq!(found("0.bias"), Some("encoder.0.bias"));
        // Two names end so; and no name is a part of another but at a point.
        assert_eq!(found("bias"), None);
        assert_eq!(found("myencoder.0.bias"), None);
        assert_eq!(found("decoder.weight"), Some("weight"));
        assert_eq!(found("decoder."), None);
    }

    #[test]
    fn tensors_are_alike_with_more_rows_alone() {
        let of = |shape: &[u64]| tensor("t", shape, 0);
        assert!(are_alike(&of(&[30, 4]), &of(&[30, 4])));
        assert!(are_alike(&of(&[40, 4]), &of(&[30, 4])));
        assert!(are_alike(&of(&[]), &of(&[])));
        assert!(!are_alike(&of(&[30, 4]), &of(&[30, 5])));
        assert!(!are_alike(&of(&[30, 4]), &of(&[120])));
        assert!(!are_alike(&of(&[30]), &of(&[])));
        assert!(!are_alike(&of(&[30]), &Tensor { dtype: Dtype::I32, ..of(&[30]) }));
        let half = Tensor { dtype: Dtype::F16, ..of(&[30]) };
        assert!(are_alike(&of(&[30]), &half) && are_alike(&half, &of(&[30])));
        let eight = Tensor { dtype: Dtype::F8_E4M3, ..of(&[30]) };
        assert!(are_alike(&eight, &half) && !are_alike(&half, &eight));
        let columns = |shape: &[u64]| Tensor { fortran: true, ..of(shape) };
        assert!(are_alike(&columns(&[30, 4]), &columns(&[30, 4])));
        assert!(!are_alike(&columns(&[30, 4]), &columns(&[40, 4])));
        assert!(!are_alike(&columns(&[30, 4]), &of(&[30, 4])));
    }
}

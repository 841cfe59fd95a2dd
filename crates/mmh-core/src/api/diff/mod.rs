//! What two files do not have in common, tensor by tensor: sources or `.mmh` files, in any combination.
//!
//! * `numbers`: how far apart elements are
//! * `restored`: the restored bytes of an archive, for readers of headers

use super::{Progress, Step, Workers};
use crate::base::Base;
use crate::block;
use crate::codec::Level;
use crate::container::MAGIC;
use crate::container::reader::Archive;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::io::ReadAt;
use crate::limits::Limits;
use crate::source::{self, Input, Layout, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

mod numbers;
mod restored;

pub(super) use numbers::Decoder;
pub use numbers::Numbers;
use numbers::element_size;
use restored::Restored;

/// Blocks of each side that are in memory at a time.
const BLOCKS: usize = 8;
/// Bytes that one thread compares at a time, about.
const PIECE: usize = 256 << 10;

/// A file to compare.
pub struct Side {
    content: Content,
    layout: Layout,
    /// BLAKE3 of each tensor, where it is known without reading it.
    hashes: Vec<Option<[u8; 32]>>,
    /// BLAKE3 of all of it.
    hash: Option<[u8; 32]>,
    len: u64,
    name: String,
}

enum Content {
    Plain(Box<dyn ReadAt>),
    Packed(Box<Archive<Box<dyn ReadAt>>>),
}

impl Side {
    /// Takes what begins as a `.mmh` for one, and anything else for a source.
    pub fn open(input: Box<dyn ReadAt>, limits: &Limits) -> Result<Side> {
        Side::open_with(input, None, limits)
    }

    /// Refuses a base that is another file than was compressed against.
    pub fn check_base(&self, workers: &Workers) -> Result<()> {
        match &self.content {
            Content::Plain(_) => Ok(()),
            Content::Packed(archive) => archive.check_base(workers),
        }
    }

    /// The same with what a `.mmh` was compressed against; of no account for others.
    pub fn open_with(input: Box<dyn ReadAt>, base: Option<Arc<Base>>, limits: &Limits) -> Result<Side> {
        let mut magic = [0; MAGIC.len()];
        let packed = input.len() >= magic.len() as u64
            && input.read_exact_at(0, &mut magic).map(|()| magic == MAGIC)?;
        if !packed {
            let (layout, len) = (source::find(Input { bytes: &input, complete: true }), input.len());
            let hashes = vec![None; layout.tensors.len()];
            return Ok(Side {
                content: Content::Plain(input),
                layout,
                hashes,
                hash: None,
                len,
                name: String::new(),
            });
        }
        let mut archive = Archive::open_within(input, limits)?;
        archive.set_base(base)?;
        let index = archive.index();
        let (hash, len) = (index.blake3, index.source_len);
        let (layout, hashes) = if index.tensors.is_empty() {
            // Of a small file the index leaves the tensors out.
            let layout = source::find(Input { bytes: &Restored::new(&archive), complete: true });
            let hashes = vec![None; layout.tensors.len()];
            (layout, hashes)
        } else {
            let tensors = index.tensors.iter().map(|row| row.tensor.clone()).collect();
            (Layout::of(index.format, tensors), index.tensors.iter().map(|row| row.blake3).collect())
        };
        Ok(Side {
            content: Content::Packed(Box::new(archive)),
            layout,
            hashes,
            hash,
            len,
            name: String::new(),
        })
    }

    /// Bytes of the source.
    pub fn source_bytes(&self) -> u64 {
        self.len
    }

    /// Format of the source.
    pub fn format(&self) -> &'static str {
        self.layout.format.name()
    }

    /// Its tensors.
    pub fn tensors(&self) -> &[Tensor] {
        &self.layout.tensors
    }

    /// Whether it is a `.mmh`.
    pub fn is_packed(&self) -> bool {
        matches!(self.content, Content::Packed(_))
    }

    /// The same side with a name for messages about damage.
    pub fn called(self, name: &str) -> Side {
        Side { name: name.to_owned(), ..self }
    }

    /// The segments' places.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn read(&self, start: u64, out: &mut [u8], workers: &Workers) -> Result<()> {
        match &self.content {
            Content::Plain(input) => Ok(input.read_exact_at(start, out)?),
            Content::Packed(archive) => archive.read_range(start, out, workers, true),
        }
        .map_err(|e| match e {
            Error::Corrupt { what, at } => Error::Corrupt { what: format!("{}{what}", self.name), at },
            e => e,
        })
    }

    /// Source ranges outside of tensors.
    fn other(&self) -> Vec<(u64, u64)> {
        let segments = block::segments(&self.layout, Some(self.len));
        segments.iter().filter(|s| s.tensor.is_none()).map(|s| (s.start, s.len)).collect()
    }
}

/// What became of a tensor of the first file in the second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Equal,
    /// The same dtype and shape, other bytes.
    Changed,
    /// The same dtype, another shape or order of axes.
    Reshaped,
    /// Another dtype.
    Retyped,
    /// Only the second file has it.
    Added,
    /// Only the first file has it.
    Gone,
}

impl Change {
    /// As reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Change::Equal => "equal",
            Change::Changed => "changed",
            Change::Reshaped => "reshaped",
            Change::Retyped => "retyped",
            Change::Added => "added",
            Change::Gone => "gone",
        }
    }
}

/// How many elements differ.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Found {
    /// Elements compared; of packed ones the groups that fill whole bytes, outside of tensors bytes.
    pub elements: u64,
    /// Those whose bits differ.
    pub differing: u64,
    /// The first of them.
    pub first: Option<u64>,
    /// How far they are apart, where they are numbers.
    pub numbers: Option<Numbers>,
}

/// One tensor.
#[derive(Clone, Debug)]
pub struct TensorDiff {
    /// What became of it.
    pub change: Change,
    /// Its position in the first file.
    pub first: Option<usize>,
    /// Its position in the second file.
    pub second: Option<usize>,
    /// What was found, where elements could be compared.
    pub found: Option<Found>,
}

/// Two files, compared.
#[derive(Clone, Debug)]
pub struct Diff {
    /// Whether every byte is the same.
    pub identical: bool,
    /// Tensors of the first file in order, then those that only the second has.
    pub tensors: Vec<TensorDiff>,
    /// Bytes outside of tensors, in both files.
    pub other_bytes: (u64, u64),
    /// How many of those that both have differ.
    pub other: Found,
}

/// Compares two files. Tensors of two `.mmh` files are equal if their BLAKE3 is; they are not decoded then.
pub fn diff(a: &Side, b: &Side, workers: &Workers, progress: Progress<'_>) -> Result<Diff> {
    let same = a.hash.is_some() && a.hash == b.hash;
    let positions: HashMap<&str, usize> =
        b.tensors().iter().enumerate().map(|(i, t)| (t.name.as_str(), i)).collect();
    let mut in_both = vec![false; b.tensors().len()];
    let total = a.tensors().iter().map(|t| t.len).sum();
    let mut tensors = Vec::with_capacity(a.tensors().len());
    let mut done = 0;
    for (i, t) in a.tensors().iter().enumerate() {
        let second = positions.get(t.name.as_str()).copied();
        let mut one = TensorDiff { change: Change::Gone, first: Some(i), second, found: None };
        if let Some(j) = second {
            in_both[j] = true;
            let mut step = |n| progress(Step { done: done + n, total: Some(total), stored: 0 });
            (one.change, one.found) = compare(a, i, b, j, same, workers, &mut step)?;
        }
        done += t.len;
        progress(Step { done, total: Some(total), stored: 0 })?;
        tensors.push(one);
    }
    let added = (0..in_both.len()).filter(|j| !in_both[*j]);
    tensors.extend(added.map(|j| TensorDiff {
        change: Change::Added,
        first: None,
        second: Some(j),
        found: None,
    }));
    let (from, to) = (a.other(), b.other());
    let sum = |ranges: &[(u64, u64)]| ranges.iter().map(|r| r.1).sum();
    let other_bytes = (sum(&from), sum(&to));
    let other = match same {
        true => Found { elements: other_bytes.0, ..Found::default() },
        false => compare_other(a, &from, b, &to, workers)?,
    };
    let in_place = |t: &TensorDiff| match (t.first, t.second) {
        (Some(i), Some(j)) => t.change == Change::Equal && a.tensors()[i].start == b.tensors()[j].start,
        _ => false,
    };
    let identical = a.len == b.len
        && tensors.iter().all(in_place)
        && other_bytes.0 == other_bytes.1
        && other.differing == 0;
    Ok(Diff { identical, tensors, other_bytes, other })
}

/// Compares a tensor with one of the same name.
fn compare(
    a: &Side,
    i: usize,
    b: &Side,
    j: usize,
    same: bool,
    workers: &Workers,
    step: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<(Change, Option<Found>)> {
    let (s, t) = (&a.tensors()[i], &b.tensors()[j]);
    if s.dtype != t.dtype {
        return Ok((Change::Retyped, None));
    }
    let alike = s.shape == t.shape && s.fortran == t.fortran;
    if s.len != t.len {
        return Ok((Change::Reshaped, None));
    }
    let equal_hashes = a.hashes[i].is_some() && a.hashes[i] == b.hashes[j];
    let size = element_size(s.dtype);
    let found = if same || equal_hashes {
        Found { elements: s.len / size as u64, ..Found::default() }
    } else {
        compare_ranges(a, s.start, b, t.start, s.len, Some(s.dtype), workers, step)?
    };
    let change = match (alike, found.differing) {
        (true, 0) => Change::Equal,
        (true, _) => Change::Changed,
        (false, _) => Change::Reshaped,
    };
    Ok((change, Some(found)))
}

#[allow(clippy::too_many_arguments)]
fn compare_ranges(
    a: &Side,
    at_a: u64,
    b: &Side,
    at_b: u64,
    len: u64,
    dtype: Option<Dtype>,
    workers: &Workers,
    step: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Found> {
    let size = dtype.map_or(1, element_size);
    let decoder = dtype.and_then(Decoder::of);
    let mut all = Found { numbers: decoder.as_ref().map(|_| Numbers::default()), ..Found::default() };
    // Where `.mmh` files cut a tensor at the usual level, so that no block is decoded twice; whole elements as well.
    let chunk = (BLOCKS * block::size_for(dtype, Level::BALANCED)) as u64;
    let piece = PIECE - PIECE % size;
    let room = len.min(chunk) as usize;
    let (mut left, mut right) = (vec![0u8; room], vec![0u8; room]);
    let mut done = 0;
    while done < len {
        workers.check()?;
        let n = (len - done).min(chunk) as usize;
        let (x, y) = (&mut left[..n], &mut right[..n]);
        let (p, q) = workers.join(|| a.read(at_a + done, x, workers), || b.read(at_b + done, y, workers));
        p.and(q)?;
        let pieces: Vec<(&[u8], &[u8])> = x.chunks(piece).zip(y.chunks(piece)).collect();
        for found in workers.map(pieces, |(x, y)| compare_piece(x, y, size, decoder.as_ref())) {
            all.first = all.first.or(found.first.map(|first| all.elements + first));
            all.elements += found.elements;
            all.differing += found.differing;
            if let (Some(sum), Some(numbers)) = (&mut all.numbers, &found.numbers) {
                sum.add(numbers);
            }
        }
        done += n as u64;
        step(done)?;
    }
    Ok(all)
}

fn compare_piece(x: &[u8], y: &[u8], size: usize, decoder: Option<&Decoder>) -> Found {
    let mut found = Found { elements: (x.len() / size) as u64, ..Found::default() };
    if x != y {
        (found.differing, found.first) = match size {
            1 => count(x.as_chunks::<1>().0, y.as_chunks::<1>().0),
            2 => count(x.as_chunks::<2>().0, y.as_chunks::<2>().0),
            4 => count(x.as_chunks::<4>().0, y.as_chunks::<4>().0),
            8 => count(x.as_chunks::<8>().0, y.as_chunks::<8>().0),
            // Blocks of quantized elements.
            _ => count(&x.chunks(size).collect::<Vec<_>>(), &y.chunks(size).collect::<Vec<_>>()),
        };
    }
    found.numbers = decoder.map(|d| d.compare(x, y));
    found
}

/// How many elements differ, and the first one.
fn count<T: PartialEq>(x: &[T], y: &[T]) -> (u64, Option<u64>) {
    let differing = x.iter().zip(y).filter(|(x, y)| x != y).count() as u64;
    (differing, x.iter().zip(y).position(|(x, y)| x != y).map(|i| i as u64))
}

/// Compares bytes that lie in several ranges on each side, as far as both have them.
fn compare_other(
    a: &Side,
    from: &[(u64, u64)],
    b: &Side,
    to: &[(u64, u64)],
    workers: &Workers,
) -> Result<Found> {
    let mut all = Found::default();
    let (mut from, mut to) = (from.iter().copied(), to.iter().copied());
    let (mut left, mut right) = (from.next(), to.next());
    while let (Some((at_a, len_a)), Some((at_b, len_b))) = (left, right) {
        let n = len_a.min(len_b);
        let found = compare_ranges(a, at_a, b, at_b, n, None, workers, &mut |_| Ok(()))?;
        all.first = all.first.or(found.first.map(|first| all.elements + first));
        all.elements += n;
        all.differing += found.differing;
        left = if len_a > n { Some((at_a + n, len_a - n)) } else { from.next() };
        right = if len_b > n { Some((at_b + n, len_b - n)) } else { to.next() };
    }
    Ok(all)
}

#[cfg(test)]
mod tests;

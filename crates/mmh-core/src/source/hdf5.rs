//! HDF5, as Keras and h5py write it: groups by the old way (symbol tables: a B-tree, nodes, a heap of names) and by the new way
//! (links in the header of the group), datasets that stand in the file in one piece, and the chunks of others (`chunks`). See
//! <https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html>.
//!
//! Compressed or otherwise filtered, compact, virtual and external datasets stay opaque, so do big-endian numbers, records and text, and
//! groups of so many links that they are kept in a heap of their own (more than eight, where the new way was asked for).

use super::cursor::Cursor;
use super::{Format, Hint, Input, Layout, MAX_NAMES, Tensor, collect};
use crate::dtype::Dtype;
use chunks::Chunks;
use std::collections::HashSet;

mod chunks;

const MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";
/// An address of nothing.
const UNDEFINED: u64 = u64::MAX;
/// Groups in groups, so deep.
const MAX_DEPTH: u32 = 32;
/// Levels of a B-tree.
const MAX_LEVELS: u32 = 16;
/// The longest way to a dataset, and the longest name in it.
const MAX_PATH: usize = 1 << 12;
/// The most axes that are read.
const MAX_AXES: u8 = 32;
/// Headers, nodes and links that are looked at: more than any model has.
const MAX_OBJECTS: usize = 1 << 20;
/// Bytes of a message that are read: those that matter are short.
const MAX_MESSAGE: usize = 1 << 12;

/// Messages of object headers.
const DATASPACE: u16 = 0x01;
const DATATYPE: u16 = 0x03;
const LINK: u16 = 0x06;
const LAYOUT: u16 = 0x08;
const FILTERS: u16 = 0x0b;
const CONTINUATION: u16 = 0x10;
const SYMBOL_TABLE: u16 = 0x11;

/// Finds the datasets of an HDF5 file whose addresses have eight bytes, as they do unless asked otherwise.
pub fn read(input: Input<'_>) -> Option<Layout> {
    if input.read(0, 8)? != MAGIC {
        return None;
    }
    let version = *input.read(8, 1)?.first()?;
    let (sizes, base, root) = match version {
        // The root's header is the second address of its entry, behind four addresses of the file.
        0 => (13, 24, 24 + 4 * 8 + 8),
        1 => (13, 28, 28 + 4 * 8 + 8),
        2 | 3 => (9, 12, 12 + 3 * 8),
        _ => return None,
    };
    if input.read(sizes, 2)? != [8, 8] || u64_at(&input.read(base, 8)?, 0)? != 0 {
        return None;
    }
    let root = u64_at(&input.read(root, 8)?, 0)?;
    let mut walk = Walk {
        input,
        seen: HashSet::new(),
        budget: MAX_OBJECTS,
        names: MAX_NAMES,
        found: Vec::new(),
        hints: Vec::new(),
    };
    let mut path = String::new();
    // What is damaged or not understood is left out, not all the rest.
    let _ = walk.object(root, &mut path, 0);
    Some(collect(input, Format::Hdf5, walk.found, chunks::joined(walk.hints)))
}

struct Walk<'a> {
    input: Input<'a>,
    /// Object headers, so that a group in itself ends.
    seen: HashSet<u64>,
    /// Headers, nodes and links that may still be looked at.
    budget: usize,
    /// Bytes that names may still take.
    names: usize,
    found: Vec<Tensor>,
    /// Chunks.
    hints: Vec<Hint>,
}

/// What the header of an object says.
#[derive(Default)]
struct Object {
    dtype: Option<Dtype>,
    shape: Option<Vec<u64>>,
    /// Address and bytes of the data.
    data: Option<(u64, u64)>,
    /// Where the data stands in many pieces.
    chunks: Option<Chunks>,
    /// The data is compressed, or what else filters do.
    filtered: bool,
    /// Addresses of the B-tree and the heap.
    table: Option<(u64, u64)>,
    links: Vec<(String, u64)>,
}

impl Walk<'_> {
    fn spend(&mut self) -> Option<()> {
        self.budget = self.budget.checked_sub(1)?;
        Some(())
    }

    /// A group or a dataset.
    fn object(&mut self, address: u64, path: &mut String, depth: u32) -> Option<()> {
        if depth == MAX_DEPTH || path.len() > MAX_PATH || !self.seen.insert(address) {
            return Some(());
        }
        let object = self.header(address)?;
        if let (Some(dtype), Some(shape), Some((start, len))) =
            (object.dtype, object.shape.clone(), object.data)
        {
            self.names = self.names.checked_sub(path.len())?;
            if dtype.size_of(&shape) == Some(len) {
                let (name, fortran) = (path.clone(), false);
                self.found.push(Tensor { name, dtype, shape, fortran, start, len });
            }
            return Some(());
        }
        if let (Some(dtype), Some(chunks), false) = (object.dtype, object.chunks, object.filtered) {
            // A tensor is one range of bytes; in pieces, its elements are known all the same.
            let _ = self.chunks(&chunks, dtype, object.shape.as_deref());
            return Some(());
        }
        for (name, address) in object.links {
            self.link(&name, address, path, depth);
        }
        if let Some((tree, heap)) = object.table {
            let names = self.heap(heap)?;
            self.tree(tree, names, path, depth, 0)?;
        }
        Some(())
    }

    /// An object in a group. One that cannot be read is left out.
    fn link(&mut self, name: &str, address: u64, path: &mut String, depth: u32) {
        let len = path.len();
        if len > 0 {
            path.push('/');
        }
        path.push_str(name);
        let _ = self.object(address, path, depth + 1);
        path.truncate(len);
    }

    /// All messages of an object's header that matter, with those of its continuations.
    fn header(&mut self, address: u64) -> Option<Object> {
        let mut object = Object::default();
        let mut cursor = Cursor::new(self.input, address);
        let first = cursor.array::<4>()?;
        // (start, bytes) of pieces that are still to be read.
        let mut pieces = Vec::new();
        let order = if &first == b"OHDR" {
            let flags = *cursor.array::<2>()?.get(1)?;
            cursor.skip(if flags & 0x20 != 0 { 16 } else { 0 } + if flags & 0x10 != 0 { 4 } else { 0 })?;
            let width = 1usize << (flags & 3);
            let size = cursor.bytes(width as u64, width)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
            pieces.push((cursor.at(), size));
            Some(flags & 4 != 0)
        } else {
            if first[0] != 1 {
                return None;
            }
            cursor.u32()?;
            let size = cursor.u32()?;
            // The messages are aligned to eight bytes.
            pieces.push((address.checked_add(16)?, size.into()));
            None
        };
        while let Some((start, len)) = pieces.pop() {
            self.spend()?;
            let end = start.checked_add(len)?;
            cursor.seek(start);
            self.messages(&mut cursor, end, order, &mut object, &mut pieces);
        }
        Some(object)
    }

    /// The messages up to `end`. `order`: of a header of version 2, whether messages have a number of creation.
    fn messages(
        &mut self,
        cursor: &mut Cursor<'_>,
        end: u64,
        order: Option<bool>,
        object: &mut Object,
        pieces: &mut Vec<(u64, u64)>,
    ) -> Option<()> {
        while cursor.at() < end {
            self.spend()?;
            let (kind, len) = match order {
                None => (cursor.u16()?, cursor.u16()?),
                Some(_) => (cursor.u8()?.into(), cursor.u16()?),
            };
            cursor.skip(match order {
                None => 4,
                Some(numbered) => 1 + if numbered { 2 } else { 0 },
            })?;
            let next = cursor.at().checked_add(len.into())?;
            if matches!(kind, DATASPACE | DATATYPE | LINK | LAYOUT | FILTERS | CONTINUATION | SYMBOL_TABLE) {
                let message = cursor.bytes(len.into(), MAX_MESSAGE)?;
                if kind == CONTINUATION {
                    let (start, len) = (u64_at(&message, 0)?, u64_at(&message, 8)?);
                    // Those of version 2 have a signature before and a checksum behind.
                    let frame = if order.is_some() { 4 } else { 0 };
                    pieces.push((start.checked_add(frame)?, len.checked_sub(2 * frame)?));
                } else {
                    object.take(kind, &message);
                }
            }
            cursor.seek(next);
        }
        Some(())
    }

    /// Source offset and bytes of the names in a local heap.
    fn heap(&mut self, address: u64) -> Option<(u64, u64)> {
        let heap = self.input.read(address, 32)?;
        heap.starts_with(b"HEAP").then(|| Some((u64_at(&heap, 24)?, u64_at(&heap, 8)?)))?
    }

    /// A node of the B-tree of a group.
    fn tree(
        &mut self,
        address: u64,
        names: (u64, u64),
        path: &mut String,
        depth: u32,
        level: u32,
    ) -> Option<()> {
        self.spend()?;
        let head = self.input.read(address, 24)?;
        if head.starts_with(b"SNOD") {
            return self.symbols(address, u16_at(&head, 6)?, names, path, depth);
        }
        if !head.starts_with(b"TREE\0") || level == MAX_LEVELS {
            return None;
        }
        // Keys and children in turn, a key first.
        for i in 0..u64::from(u16_at(&head, 6)?) {
            let at = address.checked_add(24 + 8 + 16 * i)?;
            let child = u64_at(&self.input.read(at, 8)?, 0)?;
            let _ = self.tree(child, names, path, depth, level + 1);
        }
        Some(())
    }

    /// The entries of a node of symbols.
    fn symbols(
        &mut self,
        address: u64,
        count: u16,
        names: (u64, u64),
        path: &mut String,
        depth: u32,
    ) -> Option<()> {
        for i in 0..u64::from(count) {
            self.spend()?;
            let entry = self.input.read(address.checked_add(8 + 40 * i)?, 40)?;
            // 2: a soft link, which leads nowhere.
            if u32_at(&entry, 16)? == 2 {
                continue;
            }
            if let Some(name) = self.name(names, u64_at(&entry, 0)?) {
                self.link(&name, u64_at(&entry, 8)?, path, depth);
            }
        }
        Some(())
    }

    /// The name at an offset of a heap, up to its NUL.
    fn name(&self, (heap, len): (u64, u64), offset: u64) -> Option<String> {
        let most = len.checked_sub(offset)?.min(MAX_PATH as u64);
        let start = heap.checked_add(offset)?;
        let there = self.input.bytes.len().checked_sub(start)?.min(most);
        let bytes = self.input.read(start, usize::try_from(there).ok()?)?;
        let (name, _) = bytes.split_at_checked(bytes.iter().position(|b| *b == 0)?)?;
        String::from_utf8(name.to_vec()).ok()
    }
}

impl Object {
    fn take(&mut self, kind: u16, message: &[u8]) {
        match kind {
            DATASPACE => self.shape = shape(message),
            DATATYPE => self.dtype = dtype(message),
            LAYOUT => (self.data, self.chunks) = (contiguous(message), Chunks::of(message)),
            // The message of no filters is as good as none.
            FILTERS => self.filtered = message.get(1).is_none_or(|filters| *filters > 0),
            LINK => self.links.extend(link(message)),
            _ => self.table = u64_at(message, 0).zip(u64_at(message, 8)),
        }
    }
}

fn shape(message: &[u8]) -> Option<Vec<u64>> {
    let (&version, &rank) = (message.first()?, message.get(1)?);
    let at = match version {
        1 => 8,
        // 2: there is no data at all.
        2 if *message.get(3)? != 2 => 4,
        _ => return None,
    };
    (rank <= MAX_AXES).then(|| (0..usize::from(rank)).map(|i| u64_at(message, at + 8 * i)).collect())?
}

/// Little-endian numbers whose bits are all used, and floats that are IEEE's or bfloat16.
fn dtype(message: &[u8]) -> Option<Dtype> {
    let (class, bits) = (message.first()? & 15, *message.get(1)?);
    let size = u32_at(message, 4)?;
    let (offset, precision) = (u16_at(message, 8)?, u16_at(message, 10)?);
    if bits & 1 != 0 || offset != 0 || u64::from(precision) != u64::from(size) * 8 {
        return None;
    }
    let fields = message.get(12..16);
    Some(match (class, size, bits & 8 != 0) {
        (0, 1, false) => Dtype::U8,
        (0, 1, true) => Dtype::I8,
        (0, 2, false) => Dtype::U16,
        (0, 2, true) => Dtype::I16,
        (0, 4, false) => Dtype::U32,
        (0, 4, true) => Dtype::I32,
        (0, 8, false) => Dtype::U64,
        (0, 8, true) => Dtype::I64,
        // Position and bits of the exponent, then of the mantissa.
        (1, 2, _) if fields == Some(&[10, 5, 0, 10]) => Dtype::F16,
        (1, 2, _) if fields == Some(&[7, 8, 0, 7]) => Dtype::BF16,
        (1, 4, _) if fields == Some(&[23, 8, 0, 23]) => Dtype::F32,
        (1, 8, _) if fields == Some(&[52, 11, 0, 52]) => Dtype::F64,
        _ => return None,
    })
}

/// Address and bytes, if the data stands in one piece.
fn contiguous(message: &[u8]) -> Option<(u64, u64)> {
    match message {
        [3 | 4, 1, ..] => u64_at(message, 2).filter(|at| *at != UNDEFINED).zip(u64_at(message, 10)),
        _ => None,
    }
}

/// Name and address of a hard link.
fn link(message: &[u8]) -> Option<(String, u64)> {
    let flags = *message.get(1)?;
    let mut at = 2;
    if flags & 8 != 0 {
        if *message.get(at)? != 0 {
            return None;
        }
        at += 1;
    }
    at += if flags & 4 != 0 { 8 } else { 0 } + usize::from(flags & 16 != 0);
    let width = 1usize << (flags & 3);
    let len = message.get(at..at + width)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    let (name, address) = message.get(at + width..)?.split_at_checked(usize::try_from(len).ok()?)?;
    Some((String::from_utf8(name.to_vec()).ok()?, u64_at(address, 0)?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

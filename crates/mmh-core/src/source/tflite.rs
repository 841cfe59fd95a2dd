//! TensorFlow Lite: a flatbuffer with tables of tensors and of buffers. See
//! <https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs> and
//! <https://flatbuffers.dev/internals/>.
//!
//! Tensors of a type that has no dtype here (4-bit integers, text) stay opaque. Of several tensors that share a buffer, the first
//! is the one.

use super::{Format, Input, Layout, MAX_NAMES, Tensor, collect};
use crate::dtype::Dtype;
use std::collections::HashSet;

const MAGIC: &[u8] = b"TFL3";
/// The longest name that is read.
const MAX_NAME: u32 = 1 << 12;
/// The most axes that are read.
const MAX_AXES: u32 = 64;
/// Tensors, and subgraphs, that are looked at: more than any model has.
const MAX_TENSORS: usize = 1 << 17;

/// Fields of the tables, by their numbers.
const MODEL_SUBGRAPHS: u64 = 2;
const MODEL_BUFFERS: u64 = 4;
const SUBGRAPH_TENSORS: u64 = 0;
const TENSOR_SHAPE: u64 = 0;
const TENSOR_TYPE: u64 = 1;
const TENSOR_BUFFER: u64 = 2;
const TENSOR_NAME: u64 = 3;
const BUFFER_DATA: u64 = 0;
const BUFFER_OFFSET: u64 = 1;
const BUFFER_SIZE: u64 = 2;

/// Finds the tensors of a model that have constant values.
pub fn read(input: Input<'_>) -> Option<Layout> {
    if input.read(4, 4)? != MAGIC {
        return None;
    }
    let file = File(input);
    let model = file.follow(0)?;
    let buffers = file.offsets(model, MODEL_BUFFERS)?;
    let (mut found, mut taken, mut names) = (Vec::new(), HashSet::new(), MAX_NAMES);
    let subgraphs = file.offsets(model, MODEL_SUBGRAPHS)?.elements().take(MAX_TENSORS);
    let tensors = subgraphs.filter_map(|at| file.offsets(file.follow(at)?, SUBGRAPH_TENSORS));
    // Vectors may overlap, so that a small file has any number of them.
    for at in tensors.flat_map(|tensors| tensors.elements()).take(MAX_TENSORS) {
        let Some(tensor) = file.tensor(at, &buffers, &mut taken) else { continue };
        let Some(left) = names.checked_sub(tensor.name.len()) else { break };
        names = left;
        found.push(tensor);
    }
    Some(collect(input, Format::Tflite, found, Vec::new()))
}

/// A vector: where its first element is, and how many there are.
struct Vector {
    start: u64,
    count: u32,
}

impl Vector {
    /// Where the elements of a vector of offsets are.
    fn elements(&self) -> impl Iterator<Item = u64> + use<> {
        let start = self.start;
        (0..u64::from(self.count)).map(move |i| start + 4 * i)
    }
}

/// Places in a flatbuffer. They are below 2^33, since each is one of 32 bits and a step of 32 bits, until they are checked.
struct File<'a>(Input<'a>);

impl File<'_> {
    fn u32(&self, at: u64) -> Option<u32> {
        Some(u32::from_le_bytes(*self.0.read(at, 4)?.first_chunk()?))
    }

    fn u64(&self, at: u64) -> Option<u64> {
        Some(u64::from_le_bytes(*self.0.read(at, 8)?.first_chunk()?))
    }

    fn u16(&self, at: u64) -> Option<u16> {
        Some(u16::from_le_bytes(*self.0.read(at, 2)?.first_chunk()?))
    }

    /// What the offset at `at` leads to.
    fn follow(&self, at: u64) -> Option<u64> {
        at.checked_add(self.u32(at)?.into())
    }

    /// Where a field of a table is, if the table has it.
    fn field(&self, table: u64, number: u64) -> Option<u64> {
        let back = i64::from(self.u32(table)?.cast_signed());
        let fields = table.checked_add_signed(back.checked_neg()?)?;
        let entry = 4 + 2 * number;
        if entry >= u64::from(self.u16(fields)?) {
            return None;
        }
        let offset = self.u16(fields.checked_add(entry)?)?;
        (offset != 0).then(|| table.checked_add(offset.into()))?
    }

    fn vector(&self, table: u64, number: u64) -> Option<Vector> {
        let at = self.follow(self.field(table, number)?)?;
        let count = self.u32(at)?;
        let start = at.checked_add(4)?;
        start.checked_add(u64::from(count) * 4)?;
        Some(Vector { start, count })
    }

    /// A vector of offsets, as much of it as there is.
    fn offsets(&self, table: u64, number: u64) -> Option<Vector> {
        let Vector { start, count } = self.vector(table, number)?;
        let there = self.0.bytes.len().checked_sub(start)? / 4;
        Some(Vector { start, count: u32::try_from(there).map_or(count, |there| count.min(there)) })
    }

    /// The tensor that the offset at `at` leads to, unless it is empty or its buffer is another tensor's.
    fn tensor(&self, at: u64, buffers: &Vector, taken: &mut HashSet<u32>) -> Option<Tensor> {
        let table = self.follow(at)?;
        let buffer = self.u32(self.field(table, TENSOR_BUFFER)?)?;
        if buffer >= buffers.count || !taken.insert(buffer) {
            return None;
        }
        let (start, len) = self.buffer(self.follow(buffers.start + 4 * u64::from(buffer))?)?;
        let kind = match self.field(table, TENSOR_TYPE) {
            Some(at) => *self.0.read(at, 1)?.first()?,
            None => 0,
        };
        let dtype = dtype(kind)?;
        let shape = self.shape(table)?;
        let name = self.vector(table, TENSOR_NAME).filter(|name| name.count <= MAX_NAME);
        let name = name.and_then(|name| self.0.read(name.start, name.count as usize)).unwrap_or_default();
        let name = String::from_utf8(name).ok()?;
        (dtype.size_of(&shape) == Some(len)).then_some(Tensor {
            name,
            dtype,
            shape,
            fortran: false,
            start,
            len,
        })
    }

    /// Where the bytes of a buffer are: in it, or, in files of more than 2 GiB, behind the flatbuffer.
    fn buffer(&self, table: u64) -> Option<(u64, u64)> {
        if let Some(data) = self.vector(table, BUFFER_DATA) {
            return (data.count > 0).then_some((data.start, data.count.into()));
        }
        let start = self.u64(self.field(table, BUFFER_OFFSET)?)?;
        let len = self.u64(self.field(table, BUFFER_SIZE)?)?;
        // 0 and 1 say that there is none.
        (start > 1).then_some((start, len))
    }

    /// No shape is that of a scalar.
    fn shape(&self, table: u64) -> Option<Vec<u64>> {
        let Some(shape) = self.vector(table, TENSOR_SHAPE) else { return Some(Vec::new()) };
        if shape.count > MAX_AXES {
            return None;
        }
        shape.elements().map(|at| u64::try_from(self.u32(at)?.cast_signed()).ok()).collect()
    }
}

fn dtype(kind: u8) -> Option<Dtype> {
    Some(match kind {
        0 => Dtype::F32,
        1 => Dtype::F16,
        2 => Dtype::I32,
        3 => Dtype::U8,
        4 => Dtype::I64,
        6 => Dtype::Bool,
        7 => Dtype::I16,
        8 => Dtype::C64,
        9 => Dtype::I8,
        10 => Dtype::F64,
        12 => Dtype::U64,
        15 => Dtype::U32,
        16 => Dtype::U16,
        18 => Dtype::BF16,
        _ => return None,
    })
}

//! GGUF: magic, version, counts, metadata, a row per tensor, padding, the tensors. See
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Versions 2 and 3, little-endian.
//!
//! The metadata holds the tokenizer, some megabytes of it, and is passed over without being kept. GGUF counts axes from the one
//! that is contiguous; here that one is last.

use super::cursor::Cursor;
use super::{Format, Input, Layout, Tensor, collect};
use crate::dtype::Dtype;

const MAGIC: &[u8; 4] = b"GGUF";
const DEFAULT_ALIGNMENT: u64 = 32;
/// Where the alignment is.
const ALIGNMENT: &str = "general.alignment";
/// The longest name that is read.
const MAX_NAME: usize = 1 << 16;
/// The most axes that are read; GGML has four.
const MAX_AXES: u32 = 8;
/// Arrays in arrays in arrays, so deep.
const MAX_DEPTH: u32 = 4;

const UINT32: u32 = 4;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Finds the tensors of a GGUF file. Those of a type that is not known stay opaque.
pub fn read(input: Input<'_>) -> Option<Layout> {
    if input.read(0, 4)? != MAGIC {
        return None;
    }
    let mut cursor = Cursor::new(input, 4);
    if !matches!(cursor.u32()?, 2 | 3) {
        return None;
    }
    let (tensors, pairs) = (cursor.u64()?, cursor.u64()?);
    let alignment = alignment(&mut cursor, pairs)?;
    // Not `with_capacity`: the count may lie, the rows cannot.
    let mut rows = Vec::new();
    for _ in 0..tensors {
        rows.push(row(&mut cursor)?);
    }
    let data = cursor.at().checked_next_multiple_of(alignment)?;
    let found = rows.into_iter().flatten().filter_map(|row| {
        let len = row.dtype.size_of(&row.shape)?;
        let start = data.checked_add(row.offset)?;
        let (name, dtype, shape) = (row.name, row.dtype, row.shape);
        Some(Tensor { name, dtype, shape, fortran: false, start, len })
    });
    Some(collect(input, Format::Gguf, found.collect(), Vec::new()))
}

/// Passes over the metadata and returns the one value that matters.
fn alignment(cursor: &mut Cursor<'_>, pairs: u64) -> Option<u64> {
    let mut alignment = DEFAULT_ALIGNMENT;
    for _ in 0..pairs {
        let key = string(cursor)?;
        match cursor.u32()? {
            UINT32 if key.as_deref() == Some(ALIGNMENT) => alignment = cursor.u32()?.into(),
            kind => skip_value(cursor, kind, 0)?,
        }
    }
    alignment.is_power_of_two().then_some(alignment)
}

fn skip_value(cursor: &mut Cursor<'_>, kind: u32, depth: u32) -> Option<()> {
    match kind {
        STRING => {
            let len = cursor.u64()?;
            cursor.skip(len)
        }
        ARRAY if depth < MAX_DEPTH => {
            let (kind, count) = (cursor.u32()?, cursor.u64()?);
            if let Some(width) = width(kind) {
                return cursor.skip(count.checked_mul(width)?);
            }
            // Each of them takes some bytes of the file.
            (0..count).try_for_each(|_| skip_value(cursor, kind, depth + 1))
        }
        _ => cursor.skip(width(kind)?),
    }
}

/// Bytes of a value of one of the plain types.
fn width(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        UINT32 | 5 | 6 => 4,
        10..=12 => 8,
        _ => return None,
    })
}

/// A string, if it is short enough and UTF-8.
fn string(cursor: &mut Cursor<'_>) -> Option<Option<String>> {
    let len = cursor.u64()?;
    cursor.text(len, MAX_NAME)
}

/// What the header says of a tensor; its offset counts from the end of the header.
struct Row {
    name: String,
    dtype: Dtype,
    shape: Vec<u64>,
    offset: u64,
}

/// The next row, `None` in it if the tensor cannot be understood.
fn row(cursor: &mut Cursor<'_>) -> Option<Option<Row>> {
    let name = string(cursor)?;
    let axes = cursor.u32().filter(|axes| *axes <= MAX_AXES)?;
    let mut shape = (0..axes).map(|_| cursor.u64()).collect::<Option<Vec<_>>>()?;
    let dtype = dtype(cursor.u32()?);
    let offset = cursor.u64()?;
    // A block lies within a row.
    let whole = dtype.is_some_and(|d| shape.first().copied().unwrap_or(1).is_multiple_of(d.unit().0));
    shape.reverse();
    Some(name.zip(dtype.filter(|_| whole)).map(|(name, dtype)| Row { name, dtype, shape, offset }))
}

fn dtype(kind: u32) -> Option<Dtype> {
    Some(match kind {
        0 => Dtype::F32,
        1 => Dtype::F16,
        2 => Dtype::Q4_0,
        3 => Dtype::Q4_1,
        6 => Dtype::Q5_0,
        7 => Dtype::Q5_1,
        8 => Dtype::Q8_0,
        9 => Dtype::Q8_1,
        10 => Dtype::Q2_K,
        11 => Dtype::Q3_K,
        12 => Dtype::Q4_K,
        13 => Dtype::Q5_K,
        14 => Dtype::Q6_K,
        15 => Dtype::Q8_K,
        16 => Dtype::IQ2_XXS,
        17 => Dtype::IQ2_XS,
        18 => Dtype::IQ3_XXS,
        19 => Dtype::IQ1_S,
        20 => Dtype::IQ4_NL,
        21 => Dtype::IQ3_S,
        22 => Dtype::IQ2_S,
        23 => Dtype::IQ4_XS,
        24 => Dtype::I8,
        25 => Dtype::I16,
        26 => Dtype::I32,
        27 => Dtype::I64,
        28 => Dtype::F64,
        29 => Dtype::IQ1_M,
        30 => Dtype::BF16,
        34 => Dtype::TQ1_0,
        35 => Dtype::TQ2_0,
        39 => Dtype::MXFP4,
        40 => Dtype::NVFP4,
        41 => Dtype::Q1_0,
        _ => return None,
    })
}

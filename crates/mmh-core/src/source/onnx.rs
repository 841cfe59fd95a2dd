//! ONNX: one message of protocol buffers, walked by hand: a library would load the file. See
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto> and <https://protobuf.dev/programming-guides/encoding/>.
//!
//! Tensors are the initializers of graphs, also of those inside of nodes and functions, and the tensors among the attributes of
//! nodes (`Constant`). Their numbers are `raw_data`, or a packed list of floats or doubles. Integers, and halves among them, that are not raw
//! are varints: no tensors of the container, but hints of where they begin and end. Sparse tensors, and files of external data, which have no
//! structure of their own, stay opaque.

use super::cursor::Cursor;
use super::{Format, Hint, Input, Layout, MAX_NAMES, Tensor, collect};
use crate::dtype::Dtype;

/// The longest name that is read.
const MAX_NAME: usize = 1 << 12;
/// The most axes that are read.
const MAX_AXES: usize = 64;
/// Graphs in nodes of graphs in nodes, so deep.
const MAX_DEPTH: u32 = 32;
/// Tensors that are looked for: more than any model has.
const MAX_TENSORS: usize = 1 << 20;
/// Lists of varints shorter than this are left to what is around them.
const SHORTEST_LIST: u64 = 1024;

/// Fields of a model, and whether each is a message or text, rather than a number.
const MODEL: [(u64, bool); 12] = [
    (1, false),
    (2, true),
    (3, true),
    (4, true),
    (5, false),
    (6, true),
    (7, true),
    (8, true),
    (14, true),
    (20, true),
    (25, true),
    (26, true),
];
/// The first version of the format, and far more than the latest.
const VERSIONS: std::ops::RangeInclusive<u64> = 1..=1000;

/// Finds the tensors of an ONNX model. There is no magic number: what is believed begins with a version, and has the fields of a
/// model and no others.
pub fn read(input: Input<'_>) -> Option<Layout> {
    let mut walk =
        Walk { cursor: Cursor::new(input, 0), found: Vec::new(), hints: Vec::new(), names: MAX_NAMES };
    if !is_first_version(&mut walk.cursor) {
        return None;
    }
    walk.cursor.seek(0);
    let end = input.bytes.len();
    let mut graphs = 0;
    while walk.cursor.at() < end {
        let Some(field) = Field::next(&mut walk.cursor) else { break };
        if !MODEL.contains(&(field.number, field.len.is_some())) {
            return None;
        }
        let Some(len) = field.len else { continue };
        let stop = walk.cursor.at().checked_add(len)?;
        if !input.reaches(stop) && field.number != 7 {
            return None;
        }
        match field.number {
            7 => {
                graphs += 1;
                walk.graph(stop.min(end), 0);
            }
            25 => walk.function(stop.min(end)),
            _ => {}
        }
        walk.cursor.seek(stop);
    }
    (graphs == 1).then(|| collect(input, Format::Onnx, walk.found, walk.hints))
}

fn is_first_version(cursor: &mut Cursor<'_>) -> bool {
    Field::next(cursor).is_some_and(|f| f.number == 1 && f.len.is_none() && VERSIONS.contains(&f.value))
}

/// The head of a field: the cursor is at its content, if it has a length.
struct Field {
    number: u64,
    /// Bytes of a message, text or packed list.
    len: Option<u64>,
    /// A number.
    value: u64,
}

impl Field {
    fn next(cursor: &mut Cursor<'_>) -> Option<Field> {
        let tag = varint(cursor)?;
        let number = tag >> 3;
        let (len, value) = match tag & 7 {
            0 => (None, varint(cursor)?),
            1 => (None, cursor.u64()?),
            2 => (Some(varint(cursor)?), 0),
            5 => (None, cursor.u32()?.into()),
            _ => return None,
        };
        (number > 0).then_some(Field { number, len, value })
    }
}

fn varint(cursor: &mut Cursor<'_>) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = cursor.u8()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    found: Vec<Tensor>,
    hints: Vec<Hint>,
    /// Bytes that names may still take.
    names: usize,
}

impl Walk<'_> {
    /// Calls `each` for the fields of a message that ends at `end`, with the end of the field; numbers end where they begin. What
    /// is cut off or wrong ends the walk.
    fn fields(&mut self, end: u64, mut each: impl FnMut(&mut Self, Field, u64)) {
        while self.cursor.at() < end && self.found.len() + self.hints.len() < MAX_TENSORS {
            let Some(field) = Field::next(&mut self.cursor) else { break };
            let Some(stop) = self.cursor.at().checked_add(field.len.unwrap_or(0)) else { break };
            each(self, field, stop);
            self.cursor.seek(stop);
        }
    }

    fn graph(&mut self, end: u64, depth: u32) {
        self.fields(end, |walk, field, stop| match field.number {
            1 => walk.node(stop.min(end), depth),
            5 => walk.tensor(stop.min(end), None),
            _ => {}
        });
    }

    fn function(&mut self, end: u64) {
        self.fields(end, |walk, field, stop| {
            if field.number == 7 {
                walk.node(stop.min(end), 0);
            }
        });
    }

    fn node(&mut self, end: u64, depth: u32) {
        let mut name = None;
        self.fields(end, |walk, field, stop| match field.number {
            2 | 3 if name.is_none() => name = walk.text(&field),
            5 => walk.attribute(stop.min(end), name.as_deref().unwrap_or("node"), depth),
            _ => {}
        });
    }

    fn attribute(&mut self, end: u64, node: &str, depth: u32) {
        let mut name = None;
        self.fields(end, |walk, field, stop| match field.number {
            1 => name = walk.text(&field),
            5 | 10 => walk.tensor(stop.min(end), Some((node, name.as_deref().unwrap_or("value")))),
            6 | 11 if depth < MAX_DEPTH => walk.graph(stop.min(end), depth + 1),
            _ => {}
        });
    }

    fn text(&mut self, field: &Field) -> Option<String> {
        let text = self.cursor.text(field.len?, MAX_NAME)??;
        (!text.is_empty()).then_some(text)
    }

    fn tensor(&mut self, end: u64, owner: Option<(&str, &str)>) {
        let mut tensor = Proto::default();
        self.fields(end, |walk, field, stop| match (field.number, field.len) {
            (1, None) => tensor.dims.push(field.value),
            (1, Some(_)) => {
                while walk.cursor.at() < stop && tensor.dims.len() <= MAX_AXES {
                    let Some(size) = varint(&mut walk.cursor) else { break };
                    tensor.dims.push(size);
                }
            }
            (2, None) => tensor.dtype = dtype(field.value),
            (4, Some(len)) => tensor.part(Part::Floats, walk.cursor.at(), len),
            (10, Some(len)) => tensor.part(Part::Doubles, walk.cursor.at(), len),
            (9, Some(len)) => tensor.part(Part::Raw, walk.cursor.at(), len),
            // Packed integers of up to 32 bits, of 64, and unsigned ones of 64.
            (5 | 7 | 11, Some(len)) if len >= SHORTEST_LIST => {
                walk.hints.push(Hint { start: walk.cursor.at(), len, dtype: Dtype::U8 });
            }
            (8, _) => tensor.name = walk.text(&field),
            _ => {}
        });
        let named = tensor.name.is_some() || owner.is_some();
        let Some(tensor) = tensor.tensor(owner) else { return };
        match self.names.checked_sub(tensor.name.len()).filter(|_| named) {
            Some(left) => {
                self.names = left;
                self.found.push(tensor);
            }
            // The name is behind the numbers, and cut off.
            None => self.hints.push(Hint { start: tensor.start, len: tensor.len, dtype: tensor.dtype }),
        }
    }
}

/// The field that a tensor's numbers are in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Raw,
    Floats,
    Doubles,
}

/// What a tensor's message says.
#[derive(Default)]
struct Proto {
    name: Option<String>,
    dtype: Option<Dtype>,
    dims: Vec<u64>,
    /// The field of its numbers, where those are, and their bytes.
    data: Option<(Part, u64, u64)>,
    /// They are in several places.
    scattered: bool,
}

impl Proto {
    fn part(&mut self, part: Part, start: u64, len: u64) {
        self.scattered |= self.data.replace((part, start, len)).is_some();
    }

    fn tensor(self, owner: Option<(&str, &str)>) -> Option<Tensor> {
        let (part, start, len) = self.data.filter(|_| !self.scattered)?;
        let dtype = self.dtype.filter(|dtype| match part {
            Part::Raw => true,
            Part::Floats => matches!(dtype, Dtype::F32 | Dtype::C64),
            Part::Doubles => *dtype == Dtype::F64,
        })?;
        let fits = self.dims.len() <= MAX_AXES && dtype.size_of(&self.dims) == Some(len);
        let name = self.name.or_else(|| owner.map(|(node, attribute)| format!("{node}.{attribute}")));
        fits.then(|| Tensor {
            name: name.unwrap_or_default(),
            dtype,
            shape: self.dims,
            fortran: false,
            start,
            len,
        })
    }
}

fn dtype(number: u64) -> Option<Dtype> {
    Some(match number {
        1 => Dtype::F32,
        2 => Dtype::U8,
        3 => Dtype::I8,
        4 => Dtype::U16,
        5 => Dtype::I16,
        6 => Dtype::I32,
        7 => Dtype::I64,
        9 => Dtype::Bool,
        10 => Dtype::F16,
        11 => Dtype::F64,
        12 => Dtype::U32,
        13 => Dtype::U64,
        14 => Dtype::C64,
        16 => Dtype::BF16,
        17 => Dtype::F8_E4M3,
        18 => Dtype::F8_E4M3FNUZ,
        19 => Dtype::F8_E5M2,
        20 => Dtype::F8_E5M2FNUZ,
        23 => Dtype::F4,
        24 => Dtype::F8_E8M0,
        _ => return None,
    })
}

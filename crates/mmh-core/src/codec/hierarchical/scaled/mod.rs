//! Weights that were quantized and expanded again: values of a small grid and the scales of their groups (`spec/codecs/hierarchical.md`,
//! section 12).
//!
//! * `find`: whether elements are such, on which grid, and how many share a scale
//! * `solve`: the scale of a group
//! * `scales`: scales that were met before

use super::node::{self, Kinds};
use super::{bad, byte, number, take, within};
use crate::codec::tensor::Element;
use crate::codec::{self, Block, Codec, Level, tensor, zstd};
use crate::container::varint;
use crate::dtype::Kind;
use crate::error::Result;
use mmh_kernels::scaled::{ESCAPE, Float, Grid, Values, join};
use mmh_kernels::words::{narrow, scatter};
use scales::Scales;

mod find;
mod scales;
mod solve;

pub use find::find;

/// What elements are values of.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scaled {
    float: Float,
    grid: Grid,
}

/// A grid and groups that pay.
#[derive(Clone, Debug)]
pub struct Found {
    scaled: Scaled,
    /// Elements that share a scale.
    length: usize,
    /// Size over size.
    pub estimate: f64,
}

impl Found {
    /// In words, for `--why`.
    pub fn describe(&self) -> String {
        let of = match self.scaled.grid {
            Grid::Integers => "integers",
            Grid::E4m3 => "FP8 numbers",
            Grid::NormalFloat4 => "4-bit NormalFloat",
        };
        format!("{of}, times a scale for each {}", self.length)
    }
}

/// The floats that elements are, if they are such as can be scaled.
fn float_of(element: Element) -> Option<Float> {
    match (element.width, element.kind) {
        (1, Kind::Float { exponent: 5 }) => Some(Float::Half),
        (1, Kind::Float { exponent: 8 }) => Some(Float::Brain),
        (2, Kind::Float { exponent: 8 }) => Some(Float::Single),
        _ => None,
    }
}

/// Levels from which on models are made of codes, which take bytes of FP8 for what they are. Without one, few of its values are better known as any bytes.
const MODELS: u8 = 7;

/// What codes are to the codec that codes them.
fn codes_of(grid: Grid, level: Level) -> Element {
    let is_float = grid == Grid::E4m3 && level.get() >= MODELS;
    let kind = if is_float { Kind::Float { exponent: 4 } } else { Kind::Unsigned };
    Element { width: 0, kind, head: 0 }
}

/// Appends the node.
pub fn encode(
    block: &Block<'_>,
    found: &Found,
    scratch: &mut codec::Scratch,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let Some(element) = block.element else { return Ok(false) };
    let Scaled { float, grid } = found.scaled;
    let size = float.size();
    let (head, body) = block.data.split_at(block.data.len().min(element.head as usize));
    let (body, tail) = body.split_at(body.len() / size * size);
    let mut codes = scratch.hierarchical.lend(body.len() / size);
    let mut scales = Scales::new(found.scaled);
    for (codes, body) in codes.chunks_mut(found.length).zip(body.chunks(found.length * size)) {
        scales.add(body, codes);
    }
    let mut rest = scratch.hierarchical.lend(0);
    if codes.contains(&ESCAPE) {
        let escaped = codes.iter().zip(body.chunks_exact(size)).filter(|e| *e.0 == ESCAPE);
        escaped.for_each(|e| rest.extend_from_slice(e.1));
    }
    let values = used_values(grid, &mut codes);

    out.extend([node::SCALED, float as u8 | element.head << 2]);
    out.extend_from_slice(head);
    out.extend_from_slice(tail);
    varint::write(found.length as u64, out);
    varint::write(0, out);
    out.push(values.len() as u8);
    let mut all = || {
        encode_singles(&values, true, block, scratch, out)?;
        encode_singles(scales.all(), scales.come_again(), block, scratch, out)?;
        node::encode_leaf(&codes, codes_of(grid, block.level), block.level, scratch, out)?;
        node::encode_leaf(&rest, Element { head: 0, ..element }, block.level, scratch, out)
    };
    let done = all();
    [codes, rest].into_iter().for_each(|m| scratch.hierarchical.give_back(m));
    done.map(|()| true)
}

/// The values of the grid from the first one to the last one that occur, and codes that begin with the first one.
fn used_values(grid: Grid, codes: &mut [u8]) -> Vec<f32> {
    let values = grid.values();
    let first = codes.iter().fold(ESCAPE, |least, c| least.min(*c));
    // One more, as a byte: escapes are nothing then.
    let last = codes.iter().fold(0u8, |most, c| most.max(c.wrapping_add(1))).wrapping_sub(1);
    if first == ESCAPE {
        return values;
    }
    // FP8 numbers are better known by their bytes.
    if grid == Grid::E4m3 {
        return values[..=last as usize].to_vec();
    }
    codes.iter_mut().for_each(|c| *c = if *c == ESCAPE { ESCAPE } else { *c - first });
    values[first as usize..=last as usize].to_vec()
}

/// Appends a leaf with binary32: what is smaller, as numbers, or as bytes that may come again.
fn encode_singles(
    values: &[f32],
    again: bool,
    block: &Block<'_>,
    scratch: &mut codec::Scratch,
    out: &mut Vec<u8>,
) -> Result<()> {
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let [mut numbers, mut bytes] = [0, 0].map(|n| scratch.hierarchical.lend(n));
    let block = Block {
        data: &data,
        declared: None,
        element: Some(Element { width: 2, kind: Kind::Float { exponent: 8 }, head: 0 }),
        level: block.level,
        split: None,
        structure: None,
        base: None,
    };
    let mut both = || -> Result<()> {
        let smaller = tensor::Tensor.encode(&block, scratch, &mut numbers)?;
        if again {
            zstd::encode_strings(&data, block.level, scratch, &mut bytes)?;
        }
        let best = match smaller && (!again || numbers.len() <= bytes.len()) {
            true => (tensor::ID, numbers.as_slice()),
            false => (zstd::ID, bytes.as_slice()),
        };
        node::write_leaf(&data, Some(best).filter(|b| !b.1.is_empty()), out);
        Ok(())
    };
    let done = both();
    [numbers, bytes].into_iter().for_each(|m| scratch.hierarchical.give_back(m));
    done
}

/// Restores `out` from the node, whose kind has been read.
pub fn decode(from: &mut &[u8], out: &mut [u8], scratch: &mut codec::Scratch) -> Result<()> {
    let form = byte(from)?;
    let (float, head) = (Float::ALL.get((form & 3) as usize).copied(), (form >> 2) as usize);
    let Some(float) = float.filter(|f| head < f.size()) else {
        return Err(bad(format_args!("scaled values of form {form:#x}")));
    };
    let size = float.size();
    let (first, body) =
        out.split_at_mut_checked(head).ok_or_else(|| bad("the first number begins too late"))?;
    let (body, last) = body.split_at_mut(body.len() / size * size);
    first.copy_from_slice(take(from, first.len())?);
    last.copy_from_slice(take(from, last.len())?);
    let n = body.len() / size;
    if n == 0 {
        return Err(bad("there is no whole number"));
    }
    let length = number(from, u32::MAX.into(), "numbers of a group")?;
    let missing = within(from, 0..=length as u64 - 1, "numbers that the first group lacks")?;
    let values = byte(from)? as usize;
    if values == 0 {
        return Err(bad("a grid of no values"));
    }
    let mut grid = scratch.hierarchical.lend_node(4 * values)?;
    let mut scales = scratch.hierarchical.lend_node((n + missing).div_ceil(length) * 4)?;
    let mut codes = scratch.hierarchical.lend_node(n)?;
    let mut rest = Vec::new();
    let mut restore = || {
        node::decode(from, &mut grid, Kinds::leaf(), scratch)?;
        node::decode(from, &mut scales, Kinds::leaf(), scratch)?;
        node::decode(from, &mut codes, Kinds::leaf(), scratch)?;
        let mut table = [0.0; 256];
        table.iter_mut().zip(singles(&grid)).for_each(|(to, value)| *to = value);
        if !singles(&grid).chain(singles(&scales)).all(f32::is_finite) {
            return Err(bad("a value or a scale is not finite"));
        }
        if !join(float, Values::new(&table, values), &scales, length, missing, &codes, body) {
            return Err(bad("a code beyond the grid"));
        }
        let escapes = narrow(&mut codes, false, 0, ESCAPE as usize).unwrap_or(0);
        rest = scratch.hierarchical.lend_node(escapes * size)?;
        node::decode(from, &mut rest, Kinds::leaf(), scratch)?;
        if escapes > 0 {
            scatter(&codes, false, ESCAPE as usize, &rest, 8 * size, body, 0);
        }
        Ok(())
    };
    let done = restore();
    [grid, scales, codes, rest].into_iter().for_each(|m| scratch.hierarchical.give_back(m));
    done
}

fn singles(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))
}

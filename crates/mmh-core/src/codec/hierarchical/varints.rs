//! Integers as protocol buffers keep them, seven bits a byte: as numbers of a fixed size (`spec/codecs/hierarchical.md`, section 7).

use super::node::{self, Kinds};
use super::{bad, byte, number, take};
use crate::codec::tensor::Element;
use crate::codec::tensor::analyze::analyze;
use crate::codec::{self, Block, Level};
use crate::container::varint;
use crate::dtype::{Dtype, Kind};
use crate::error::Result;

/// Bytes that tell whether there is anything to find, and numbers that tell what they cost.
const FEW: usize = 4096;
const MANY: usize = 1 << 14;

/// Bytes of the longest varint.
const LONGEST: usize = 10;

/// Bytes for ten numbers, from which on something is gained: numbers of one byte are bytes already.
const LONG: usize = 13;

/// How the numbers are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Form {
    /// log2 of the bytes of a number.
    width: u8,
    /// In two's complement, extended to 64 bits before it became a varint.
    signed: bool,
}

/// Varints that pay.
#[derive(Clone, Debug)]
pub struct Found {
    form: Form,
    /// What the numbers are to the codec that codes them.
    kind: Kind,
    /// Bytes before the first number and behind the last.
    around: (usize, usize),
    count: usize,
    /// Size over size.
    pub estimate: f64,
}

impl Found {
    /// In words, for `--why`.
    pub fn describe(&self) -> String {
        let sign = if self.form.signed { "signed" } else { "unsigned" };
        format!("varints of {sign} numbers of {} bits", 8u32 << self.form.width)
    }

    fn element(&self) -> Element {
        Element { width: self.form.width, kind: self.kind, head: 0 }
    }
}

/// The varint at the beginning of some bytes, in its shortest form, and how many bytes it has.
fn first(data: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, byte) in data.iter().take(LONGEST).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            let shortest = *byte > 0 || i == 0;
            let fits = i + 1 < LONGEST || *byte == 1;
            return (shortest && fits).then_some((value, i + 1));
        }
    }
    None
}

/// The numbers of a block from an offset on, and where the last one ends.
struct Numbers<'a> {
    data: &'a [u8],
    at: usize,
}

impl Iterator for Numbers<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let (value, len) = first(&self.data[self.at..])?;
        self.at += len;
        Some(value)
    }
}

/// The smallest form that holds all the numbers.
fn form_of(numbers: impl Iterator<Item = u64>) -> (Form, usize) {
    let (mut count, mut most, mut magnitude) = (0, 0u64, 0u64);
    for value in numbers {
        count += 1;
        most = most.max(value);
        // −1 has as many bits as 0.
        magnitude = magnitude.max((value as i64 ^ (value as i64 >> 63)) as u64);
    }
    let width = |bits: u32| bits.div_ceil(8).max(1).next_power_of_two().trailing_zeros() as u8;
    let unsigned = width(64 - most.leading_zeros());
    let signed = width(65 - magnitude.leading_zeros());
    let form = match signed < unsigned {
        true => Form { width: signed, signed: true },
        false => Form { width: unsigned, signed: false },
    };
    (form, count)
}

/// Appends a number as it is kept.
fn keep(value: u64, form: Form, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes()[..1 << form.width]);
}

/// Varints, if the block has nothing else: but the rest of one at its beginning, and the beginning of one at its end.
pub fn find(block: &Block<'_>, scratch: &mut codec::Scratch) -> Option<Found> {
    let data = block.data;
    if !matches!(block.declared, None | Some(Dtype::U8)) || data.len() < FEW / 8 {
        return None;
    }
    // Skipping one number leaves a whole one, whatever the block begins with.
    let head = data.iter().take(LONGEST).position(|b| *b < 0x80)? + 1;
    let mut few = Numbers { data: &data[..data.len().min(FEW)], at: head };
    let (form, count) = form_of(few.by_ref());
    let seen = few.at - head;
    if few.data.len() - few.at >= LONGEST || seen * 10 < count * LONG || seen <= count << form.width {
        return None;
    }
    let mut all = Numbers { data, at: head };
    let (form, count) = form_of(all.by_ref());
    let tail = data.len() - all.at;
    if tail >= LONGEST || data.len() <= count << form.width {
        return None;
    }
    let mut numbers = scratch.hierarchical.lend(0);
    Numbers { data, at: head }.take(MANY).for_each(|value| keep(value, form, &mut numbers));
    let kinds: &[Kind] = match form {
        Form { signed: true, .. } => &[Kind::Signed],
        // Halves have no field of their own in ONNX, and stand among the integers.
        Form { width: 1, .. } => {
            &[Kind::Float { exponent: 5 }, Kind::Float { exponent: 8 }, Kind::Unsigned, Kind::Signed]
        }
        _ => &[Kind::Unsigned],
    };
    let cost = |kind: &Kind| {
        let element = Element { width: form.width, kind: *kind, head: 0 };
        let found = analyze(&numbers, element, block.level, &mut scratch.tensor)?;
        Some((found.element_millibits, *kind))
    };
    let best = kinds.iter().filter_map(cost).min_by_key(|(millibits, _)| *millibits);
    scratch.hierarchical.give_back(numbers);
    let (millibits, kind) = best?;
    let estimate = (millibits as f64 / 8000.0 * count as f64 + 200.0) / data.len() as f64;
    Some(Found { form, kind, around: (head, tail), count, estimate })
}

/// Appends the node.
pub fn encode(
    data: &[u8],
    level: Level,
    found: &Found,
    scratch: &mut codec::Scratch,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let (head, tail) = found.around;
    out.extend([node::VARINTS, found.form.width | (found.form.signed as u8) << 2, head as u8, tail as u8]);
    out.extend_from_slice(&data[..head]);
    out.extend_from_slice(&data[data.len() - tail..]);
    varint::write(found.count as u64, out);
    let mut numbers = scratch.hierarchical.lend(0);
    Numbers { data, at: head }.for_each(|value| keep(value, found.form, &mut numbers));
    let done = node::encode_leaf(&numbers, found.element(), level, scratch, out);
    scratch.hierarchical.give_back(numbers);
    done.map(|()| true)
}

/// Restores `out` from the node, whose kind has been read.
pub fn decode(from: &mut &[u8], out: &mut [u8], scratch: &mut codec::Scratch) -> Result<()> {
    let (form, head, tail) = (byte(from)?, byte(from)? as usize, byte(from)? as usize);
    if form > 7 || head + tail > out.len() {
        return Err(bad(format_args!("varints of form {form:#x} between {head} and {tail} bytes")));
    }
    let form = Form { width: form & 3, signed: form & 4 != 0 };
    let (before, body) = out.split_at_mut(head);
    let (body, behind) = body.split_at_mut(body.len() - tail);
    before.copy_from_slice(take(from, head)?);
    behind.copy_from_slice(take(from, tail)?);
    let count = number(from, body.len() as u64, "varints")?;
    let mut numbers = scratch.hierarchical.lend_node(count << form.width)?;
    let done = node::decode(from, &mut numbers, Kinds::leaf(), scratch);
    let fits = done.is_ok() && spell(&numbers, form, body).is_some();
    scratch.hierarchical.give_back(numbers);
    done?;
    if fits { Ok(()) } else { Err(bad("varints do not fit their block")) }
}

/// Writes the numbers as varints; `None` if they do not fill `out`.
fn spell(numbers: &[u8], form: Form, mut out: &mut [u8]) -> Option<()> {
    let size = 1usize << form.width;
    for bytes in numbers.chunks_exact(size) {
        let negative = form.signed && bytes[size - 1] >= 0x80;
        let mut all = if negative { [0xff; 8] } else { [0; 8] };
        all[..size].copy_from_slice(bytes);
        let mut value = u64::from_le_bytes(all);
        while value >= 0x80 {
            *out.split_off_first_mut()? = value as u8 | 0x80;
            value >>= 7;
        }
        *out.split_off_first_mut()? = value as u8;
    }
    out.is_empty().then_some(())
}

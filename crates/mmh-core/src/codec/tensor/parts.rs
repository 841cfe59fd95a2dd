//! Blocks that are cut once more (`spec/codecs/tensor.md`, section 2): a large block is worth its size where all of it has the same rows, and
//! is better off in parts, each with a split and a code of its own, where it has not.

use super::analyze::{Found, analyze};
use super::decode::Later;
use super::fit::Rows;
use super::params::{Mode, Params, bad};
use super::planes::{Sample, Zeros};
use super::{Element, GROUP, Scratch, decode as whole, direct, encode as plain, fit, lend};
use crate::codec::Level;
use crate::codec::cursor::Cursor;
use crate::dtype::Kind;
use crate::error::Result;
use crate::plan::{sniff, top_bytes};
use mmh_kernels::fields::{self, FieldSpec};

/// In the first byte of a payload: it is of parts.
const OF_PARTS: u8 = 0x80;

/// log2 of the sizes that parts may have.
const SIZES: std::ops::RangeInclusive<u32> = 16..=23;

/// log2 of the size of this writer's parts: about that of blocks at other levels.
fn size_for(element: Element) -> u32 {
    if element.width == 0 { 19 } else { 20 }
}

/// Restores a block, in parts or not; `later` is where one that is not may be put off.
pub fn decode<'a>(
    payload: &'a [u8],
    out: &'a mut [u8],
    scratch: &mut Scratch,
    later: Option<&mut Later<'a>>,
) -> Result<()> {
    let Some(size) = payload.first().filter(|b| **b & OF_PARTS != 0).map(|b| (b & !OF_PARTS) as u32) else {
        return whole::decode_or_put_off(payload, out, scratch, later);
    };
    let mut from = Cursor(payload);
    from.byte()?;
    if !SIZES.contains(&size) || out.len() <= 1 << size {
        return Err(bad(format_args!("parts of 2^{size} bytes of a block of {}", out.len())));
    }
    let sizes = from.take(4 * out.len().div_ceil(1 << size))?;
    let sizes = sizes.as_chunks::<4>().0.iter().map(|size| u32::from_le_bytes(*size) as usize);
    // The checksum is of all of them.
    scratch.is_far = false;
    for (size, part) in sizes.zip(out.chunks_mut(1 << size)) {
        whole::decode(from.take(size)?, part, scratch)?;
    }
    if !from.0.is_empty() {
        return Err(bad(format_args!("{} bytes left over after the parts", from.0.len())));
    }
    Ok(())
}

/// Appends the payload of a block that is large enough for parts: as a whole if one prediction is good for all of it, else in parts. `None`, with
/// `out` as it was, if it had better be encoded as small blocks are.
pub fn encode(
    data: &[u8],
    element: Element,
    level: Level,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Option<bool> {
    let size = size_for(element);
    if !fit::is_tried(element, level) || data.len() <= 1 << size {
        return None;
    }
    let mut rows = Rows::Unknown;
    if let Some((length, found)) = rows_of_all(data, element, level, scratch) {
        let with_weights = Rows::Weighted(length);
        if let Some(done) = plain::encode_rows(data, element, level, &found, with_weights, scratch, out) {
            return Some(done);
        }
        rows = Rows::of_part(length, element.count(1 << size));
    }
    let start = out.len();
    let sizes = begin(data.len(), size, out);
    for (i, part) in data.chunks(1 << size).enumerate() {
        let from = out.len();
        let done = analyze(part, element, level, scratch)
            .and_then(|found| plain::encode_rows(part, element, level, &found, rows, scratch, out));
        if done != Some(true) {
            out.truncate(start);
            return None;
        }
        plain::set_size(sizes, i, out.len() - from, out);
    }
    Some(out.len() - start < data.len())
}

/// The fewest bytes of which nothing is known that are worth a look at their parts.
const SHORTEST_MIXED: usize = 1 << 17;

/// What kinds of their own have to save, in thousandths: a code for each part costs some.
const WORTH: f64 = 5.0;

/// log2 of the size of the parts of bytes of which nothing is known.
fn size_of_mixed(len: usize) -> u32 {
    if len > 1 << 19 { 17 } else { 16 }
}

/// The numbers of each part of a block of which nothing is known but what `element` says about all of it, if they are not the same everywhere: formats
/// without a reader keep names between their tensors, so that what follows is aligned in another way, or tensors of several types.
fn mixed(
    data: &[u8],
    element: Element,
    level: Level,
    scratch: &mut Scratch,
) -> Option<Vec<(Element, Found)>> {
    if data.len() <= SHORTEST_MIXED {
        return None;
    }
    let parts = || data.chunks(1 << size_of_mixed(data.len()));
    // Elements of a size have their top bytes so far apart.
    let place = |top: Option<usize>| top.map(|top| top & (element.size() - 1));
    let own =
        (element.width > 0).then_some((element.head as usize + element.size() - 1) & (element.size() - 1));
    let alike = parts().all(|part| {
        let middle = (part.len() / 2) & !7;
        let top = top_bytes(&part[middle..part.len().min(middle + LOOK)]);
        top.is_none() || place(top) == own
    });
    if alike {
        return None;
    }
    let whole = analyze(data, element, level, scratch)?.ratio(data.len()) * data.len() as f64;
    let mut of_parts = 0.0;
    let mut found = Vec::new();
    for part in parts() {
        let element = sniff(part, level, scratch).unwrap_or(BYTES);
        let split = analyze(part, element, level, scratch)?;
        of_parts += split.ratio(part.len()) * part.len() as f64;
        found.push((element, split));
    }
    (of_parts * (1000.0 + WORTH) < whole * 1000.0).then_some(found)
}

/// What may be anything.
const BYTES: Element = Element { width: 0, kind: Kind::Unsigned, head: 0 };

/// Begins a payload in parts; gives the place of their sizes.
fn begin(len: usize, size: u32, out: &mut Vec<u8>) -> usize {
    out.push(OF_PARTS | size as u8);
    let sizes = out.len();
    out.resize(sizes + 4 * len.div_ceil(1 << size), 0);
    sizes
}

/// Appends the payload of a part of which nothing is made smaller.
fn as_it_is(part: &[u8], out: &mut Vec<u8>) {
    let spec = FieldSpec { t: 8, ..FieldSpec::default() };
    let params = Params { spec, head: 0, low: 0, segment: 0, signed_symbols: false };
    let sizes = plain::begin(&params, part, part.len(), &Mode::Packed, [].iter(), &[], out);
    for (g, group) in part.chunks(GROUP).enumerate() {
        out.extend_from_slice(group);
        plain::set_size(sizes, g, group.len(), out);
    }
}

/// Bytes of each part that tell where its elements end.
const LOOK: usize = 4096;

/// Appends the payload of a block of which nothing is known, in parts of several kinds; `None`, with `out` as it was, if all of it is of one.
pub fn encode_mixed(
    data: &[u8],
    element: Element,
    level: Level,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Option<bool> {
    let found = mixed(data, element, level, scratch)?;
    let size = size_of_mixed(data.len());
    let start = out.len();
    let sizes = begin(data.len(), size, out);
    for (i, (part, (element, split))) in data.chunks(1 << size).zip(&found).enumerate() {
        let from = out.len();
        let done = direct::encode(part, *element, level, split, scratch, out)
            .unwrap_or_else(|| plain::encode(part, *element, level, split, scratch, out));
        if !done {
            out.truncate(from);
            as_it_is(part, out);
        }
        plain::set_size(sizes, i, out.len() - from, out);
    }
    Some(out.len() - start < data.len())
}

/// The length of rows that all parts have, and the split of all, if their columns say something and low bits are alike.
fn rows_of_all(data: &[u8], element: Element, level: Level, scratch: &mut Scratch) -> Option<(usize, Found)> {
    let found = analyze(data, element, level, scratch)?;
    let spec = found.spec;
    let head = element.head as usize;
    let body = |data: &'_ [u8]| head..head + element.count(data.len()) * element.size();
    let saved = |body: &[u8], scratch: &mut Scratch| -> u64 {
        let n = body.len() / element.size();
        let zeros = Zeros::find(&spec, body, &mut scratch.ors);
        let coded =
            Sample::of(&spec, body, level, &mut scratch.rest, &mut scratch.bytes).saved(spec.rest_bits(), n);
        (zeros.saved + zeros.drop as u64 * n as u64).max(coded)
    };
    let mut period = None;
    let mut in_parts = 0;
    for part in data.chunks(1 << size_for(element)) {
        let n = element.count(part.len());
        // What is left at the end is like the rest.
        if part.len() < 1 << (size_for(element) - 2) {
            continue;
        }
        let body = &part[body(part)];
        scratch.misses.clear();
        let n = n.min(fit::LOOKED_AT);
        let some = &body[..n * element.size()];
        fields::symbols(&spec, some, lend(&mut scratch.symbols, n), &mut scratch.misses);
        let signs = lend(&mut scratch.signs, n);
        let numbers = fit::Numbers::of(&scratch.symbols[..n], some, &spec, element, signs)?;
        period = Some(fit::period(&numbers, period)?);
        in_parts += saved(body, scratch);
    }
    let n = element.count(data.len()) as u64;
    // A prediction is worth a tenth of a bit.
    let alike = in_parts <= saved(&data[body(data)], scratch) + n / 10;
    period.filter(|_| alike).map(|period| (period, found))
}

//! A block to a payload.

use super::form::Form;
use super::{Counterpart, element_of, estimate, lend, mode, parts, place};
use crate::codec::{Block, Level, Scratch};
use crate::container::varint;
use crate::dtype::Dtype;
use crate::error::Result;
use mmh_kernels::differences::{self, Spec};

/// log2 of the symbols in a part: each has codes of its own. At the levels where symbols are modelled, one model serves all.
fn part_for(level: Level) -> u8 {
    if level.get() >= 7 { 24 } else { 18 }
}

/// One changed element in so many, or fewer, and they are named one by one.
const SPARSE: usize = 8;
/// So few, and no other way is tried.
const VERY_SPARSE: usize = 64;

/// Appends the payload; `false` if it would not be smaller than the block.
pub fn encode(
    block: &Block<'_>,
    base: Counterpart<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let start = out.len();
    place::write_offset(&base, out);
    if block.data == base.bytes {
        place::write_mode(mode::COPY, &base, out);
        return Ok(out.len() - start < block.data.len());
    }
    let body = out.len();
    let element = element_of(block.element);
    let Some(found) = estimate::estimate(block.data, base.bytes, element) else {
        xor(block, base, scratch, out)?;
        return Ok(out.len() - start < block.data.len());
    };
    let form = Form::of(element);
    let mut named = false;
    if (found.seen - found.equal) * SPARSE < found.seen {
        let changed = changed(&form, block.data, base.bytes);
        if changed.len() * SPARSE < form.count(block.data.len()) {
            sparse(form, block, base, &changed, scratch, out)?;
            named = true;
            if changed.len() * VERY_SPARSE < form.count(block.data.len()) {
                return Ok(out.len() - start < block.data.len());
            }
        }
    }
    let other = out.len();
    if found.xor < found.difference {
        xor(block, base, scratch, out)?;
    } else {
        let all = Elements::of(&form, block.data, base.bytes);
        place::write_mode(mode::DIFFERENCE, &base, out);
        dense(form, block, all, scratch, out)?;
    }
    if named && out.len() - other >= other - body {
        out.truncate(other);
    } else {
        out.drain(body..other);
    }
    Ok(out.len() - start < block.data.len())
}

fn xor(block: &Block<'_>, base: Counterpart<'_>, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<()> {
    place::write_mode(mode::XOR, &base, out);
    let mut bits = std::mem::take(&mut scratch.delta.gathered);
    bits.clear();
    bits.extend(block.data.iter().zip(base.bytes).map(|(y, x)| y ^ x));
    parts::put(&bits, Some(Dtype::U8), block.level, scratch, out)?;
    scratch.delta.gathered = bits;
    Ok(())
}

/// Elements and their counterparts.
#[derive(Clone, Copy)]
struct Elements<'a> {
    data: &'a [u8],
    base: &'a [u8],
}

impl<'a> Elements<'a> {
    fn of(form: &Form, data: &'a [u8], base: &'a [u8]) -> Elements<'a> {
        let head = form.head as usize;
        let range = head..head + form.count(data.len()) * form.size();
        Elements { data: &data[range.clone()], base: &base[range] }
    }
}

/// The positions of the elements that are not equal.
fn changed(form: &Form, data: &[u8], base: &[u8]) -> Vec<u32> {
    let size = form.size();
    let Elements { data, base } = Elements::of(form, data, base);
    let mut all = Vec::new();
    // Most pieces are equal, and comparing many bytes is quick.
    let piece = 64 * size;
    for (p, (y, x)) in data.chunks(piece).zip(base.chunks(piece)).enumerate() {
        if y != x {
            let pairs = y.chunks_exact(size).zip(x.chunks_exact(size)).enumerate();
            all.extend(pairs.filter(|(_, (y, x))| y != x).map(|(i, _)| (64 * p + i) as u32));
        }
    }
    all
}

/// Appends what does not belong to any element.
fn ends(form: &Form, data: &[u8], out: &mut Vec<u8>) {
    let head = form.head as usize;
    out.extend_from_slice(&data[..head]);
    out.extend_from_slice(&data[head + form.count(data.len()) * form.size()..]);
}

fn dense(
    form: Form,
    block: &Block<'_>,
    all: Elements<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<()> {
    let form = with_drop(form, all.data);
    form.write(out);
    ends(&form, block.data, out);
    differences(&form, all, block.level, scratch, out)
}

fn sparse(
    form: Form,
    block: &Block<'_>,
    base: Counterpart<'_>,
    changed: &[u32],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<()> {
    place::write_mode(mode::SPARSE, &base, out);
    let all = Elements::of(&form, block.data, base.bytes);
    let size = form.size();
    let gather = |from: &[u8]| -> Vec<u8> {
        changed.iter().flat_map(|&i| &from[i as usize * size..(i as usize + 1) * size]).copied().collect()
    };
    let (data, of_base) = (gather(all.data), gather(all.base));
    let form = with_drop(form, &data);
    form.write(out);
    ends(&form, block.data, out);
    let mut gaps = Vec::with_capacity(changed.len());
    let mut next = 0;
    for &at in changed {
        let gap = at - next;
        gaps.extend(std::iter::repeat_n(255, gap as usize / 255));
        gaps.push((gap % 255) as u8);
        next = at + 1;
    }
    varint::write(changed.len() as u64, out);
    varint::write(gaps.len() as u64, out);
    let log = part_for(block.level);
    out.push(log);
    parts::put_all(&gaps, log, block.level, scratch, out)?;
    differences(&form, Elements { data: &data, base: &of_base }, block.level, scratch, out)
}

/// The form, with the low bits dropped that are zero in all elements.
fn with_drop(form: Form, data: &[u8]) -> Form {
    let size = form.size();
    // Whole words of eight bytes, each of one element or more.
    let (words, rest) = data.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let or = words.iter().fold(u64::from_le_bytes(last), |or, w| or | u64::from_le_bytes(*w));
    let all = or
        .to_le_bytes()
        .chunks(size)
        .fold(0, |all, e| all | e.iter().rev().fold(0u64, |v, b| v << 8 | *b as u64));
    let drop = all.trailing_zeros().min(8 * size as u32 - 1) as u8;
    Form { spec: Spec { drop, ..form.spec }, ..form }
}

/// Appends symbols and extra bits of the differences.
fn differences(
    form: &Form,
    all: Elements<'_>,
    level: Level,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<()> {
    let n = all.data.len() / form.size();
    let mut symbols = std::mem::take(&mut scratch.delta.symbols);
    let mut extra = std::mem::take(&mut scratch.delta.extra);
    let mut classes = std::mem::take(&mut scratch.delta.classes);
    lend(&mut symbols, n);
    lend(&mut classes, n);
    extra.clear();
    differences::classes(&form.spec, all.base, &mut classes[..n]);
    differences::split(&form.spec, &classes[..n], all.data, all.base, &mut symbols[..n], &mut extra);
    let log = part_for(level);
    out.push(log);
    let done = parts::put_all(&symbols[..n], log, level, scratch, out);
    out.extend_from_slice(&extra);
    (scratch.delta.symbols, scratch.delta.extra, scratch.delta.classes) = (symbols, extra, classes);
    done
}

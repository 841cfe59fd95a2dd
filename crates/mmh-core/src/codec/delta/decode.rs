//! A payload to a block.

use super::form::{Form, WRITTEN};
use super::{bad, lend, mode, parts};
use crate::codec::Scratch;
use crate::container::varint;
use crate::error::Result;
use mmh_kernels::differences;

/// Restores `out`, given its counterpart, the mode, and the rest of the payload.
pub fn decode(mode: u8, rest: &[u8], base: &[u8], out: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    match mode {
        mode::COPY if rest.is_empty() => out.copy_from_slice(base),
        mode::COPY => return Err(bad(format!("{} bytes left over", rest.len()))),
        mode::XOR => {
            parts::get(rest, out, scratch)?;
            out.iter_mut().zip(base).for_each(|(y, x)| *y ^= x);
        }
        mode::DIFFERENCE | mode::SPARSE => return elements(mode == mode::SPARSE, rest, base, out, scratch),
        _ => return Err(bad(format!("unknown mode {mode}"))),
    }
    Ok(())
}

fn take<'a>(from: &mut &'a [u8], n: usize, what: &str) -> Result<&'a [u8]> {
    let (now, later) = from.split_at_checked(n).ok_or_else(|| bad(format!("cut off in {what}")))?;
    *from = later;
    Ok(now)
}

fn number(from: &mut &[u8], most: usize, what: &str) -> Result<usize> {
    let n = varint::read(from).ok_or_else(|| bad(format!("malformed {what}")))?;
    match usize::try_from(n) {
        Ok(n) if n <= most => Ok(n),
        _ => Err(bad(format!("{what} is {n}, at most {most} is allowed"))),
    }
}

fn part_log(from: &mut &[u8]) -> Result<u8> {
    match take(from, 1, "the size of parts")?[0] {
        log @ 12..=24 => Ok(log),
        log => Err(bad(format!("parts of 2^{log}"))),
    }
}

fn elements(sparse: bool, mut from: &[u8], base: &[u8], out: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    let form = take(&mut from, WRITTEN, "the form")?;
    let form = Form::read(form.first_chunk().ok_or_else(|| bad("no form".into()))?, out.len())?;
    let (head, size) = (form.head as usize, form.size());
    let n = form.count(out.len());
    let end = head + n * size;
    let tail = out.len() - end;
    out[..head].copy_from_slice(take(&mut from, head, "the head")?);
    out[end..].copy_from_slice(take(&mut from, tail, "the tail")?);
    let (out, base) = (&mut out[head..end], &base[head..end]);
    if !sparse {
        return differences(&form, from, base, out, scratch);
    }
    let m = number(&mut from, n, "number of changed elements")?;
    let count = number(&mut from, m + n / 255, "number of gaps")?;
    let log = part_log(&mut from)?;
    let mut gaps = vec![0; count];
    parts::get_all(&mut from, log, &mut gaps, scratch)?;
    let changed = positions(&gaps, m, n)?;
    let mut gathered = std::mem::take(&mut scratch.delta.gathered);
    gathered.clear();
    changed
        .iter()
        .for_each(|&i| gathered.extend_from_slice(&base[i as usize * size..(i as usize + 1) * size]));
    let mut values = std::mem::take(&mut scratch.delta.changed);
    values.resize(values.len().max(m * size), 0);
    let done = differences(&form, from, &gathered, &mut values[..m * size], scratch);
    out.copy_from_slice(base);
    for (&i, value) in changed.iter().zip(values.chunks_exact(size)) {
        out[i as usize * size..(i as usize + 1) * size].copy_from_slice(value);
    }
    (scratch.delta.gathered, scratch.delta.changed) = (gathered, values);
    done
}

/// The positions of `m` elements among `n`.
fn positions(gaps: &[u8], m: usize, n: usize) -> Result<Vec<u32>> {
    let mut all = Vec::with_capacity(m);
    let mut at = 0usize;
    for &gap in gaps {
        at += gap as usize;
        if gap < 255 {
            all.push(at as u32);
            at += 1;
        }
    }
    if all.len() != m || gaps.last() == Some(&255) || at > n {
        return Err(bad(format!("gaps for {} elements up to {at}, expected {m} of {n}", all.len())));
    }
    Ok(all)
}

/// Restores elements from symbols and extra bits.
fn differences(
    form: &Form,
    mut from: &[u8],
    base: &[u8],
    out: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let n = out.len() / form.size();
    let log = part_log(&mut from)?;
    let mut symbols = std::mem::take(&mut scratch.delta.symbols);
    lend(&mut symbols, n);
    let read = parts::get_all(&mut from, log, &mut symbols[..n], scratch);
    let Scratch { delta: memory, .. } = scratch;
    memory.symbols = symbols;
    read?;
    let symbols = &memory.symbols[..n];
    let last = form.spec.last_symbol();
    if symbols.iter().fold(0, |most, s| most.max(*s)) > last {
        return Err(bad(format!("a symbol above {last}")));
    }
    lend(&mut memory.classes, n);
    let classes = &mut memory.classes[..n];
    differences::classes(&form.spec, base, classes);
    let used = differences::join(&form.spec, classes, symbols, from, base, out);
    let unused_bits = (from.len() * 8).checked_sub(used).filter(|n| *n < 8);
    match unused_bits {
        Some(0) => Ok(()),
        Some(n) if from.last().is_some_and(|b| b >> (8 - n) == 0) => Ok(()),
        _ => Err(bad(format!("{} bytes of extra bits, {used} bits are used", from.len()))),
    }
}

//! A block to a payload, whatever is in it; `direct` has a shorter way for most blocks of weights.
//!
//! * `symbols`: how symbols are stored
//! * `rests`: how the rests are

use super::analyze::Found;
use super::direct::MISSES;
use super::fit::Rows;
use super::params::{Cut, Mode, Params};
use super::{Element, GROUP, Scratch, lend};
use crate::codec::Level;
use crate::codec::symbols::codeless;
use crate::container::varint;
use mmh_kernels::fields::{self, FieldSpec};
use mmh_kernels::huffman::{self, EncodeTable};
use mmh_kernels::{planes, predicted};
use rests::gather;
use std::ops::Range;
use symbols::Elements;

mod rests;
mod symbols;

/// Appends the payload; `false` if it would not be smaller than the block.
pub fn encode(
    data: &[u8],
    element: Element,
    level: Level,
    found: &Found,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> bool {
    encode_rows(data, element, level, found, Rows::Unknown, scratch, out).unwrap_or(false)
}

/// The same with what is known of rows; `None`, with `out` as it was, if weights were asked for and are not worth what they take.
pub fn encode_rows(
    data: &[u8],
    element: Element,
    level: Level,
    found: &Found,
    rows: Rows,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Option<bool> {
    let n = element.count(data.len());
    if n == 0 {
        return Some(false);
    }
    let start = out.len();
    let head = element.head as usize;
    let body = &data[head..head + n * element.size()];
    let spec = split(found.spec, body, n, scratch);
    let of = Elements { body, n, element, spec, rows, level };
    let symbols = symbols::choose(&of, scratch)?;
    let signed_symbols = matches!(symbols.mode, Mode::Predicted(_));
    fields::rests(&spec, body, lend(&mut scratch.rest, planes::storage(spec.rest_width(), n)));
    let rests = rests::choose(&of, found, signed_symbols, scratch);
    let Some(taken) = write(data, &of, &symbols.mode, &rests, scratch, out) else { return Some(false) };
    if signed_symbols && symbols.lost + taken > symbols.enough {
        // A sample was not like the rest.
        let predicted = out.split_off(start);
        if matches!(rows, Rows::Weighted(_)) {
            return None;
        }
        let done = encode_rows(data, element, level, found, Rows::Unpredicted, scratch, out);
        if done == Some(true) && out.len() - start <= predicted.len() {
            return done;
        }
        out.truncate(start);
        out.extend(predicted);
    }
    Some(out.len() - start < data.len())
}

/// Puts the symbols of all elements, and those that do not tell the field, into `scratch`; gives how elements were split.
fn split(spec: FieldSpec, body: &[u8], n: usize, scratch: &mut Scratch) -> FieldSpec {
    scratch.misses.clear();
    fields::symbols(&spec, body, lend(&mut scratch.symbols, n), &mut scratch.misses);
    if scratch.misses.len() <= n / MISSES {
        return spec;
    }
    // The sample was not like the rest: a symbol of 8 bits has no exceptions.
    let spec = FieldSpec { t: 8, base: 0, ..spec };
    scratch.misses.clear();
    fields::symbols(&spec, body, lend(&mut scratch.symbols, n), &mut scratch.misses);
    spec
}

/// Appends the payload. Gives the bits that symbols and signs take, if they are predicted; `None` if the payload would not be smaller than the block.
fn write(
    data: &[u8],
    of: &Elements<'_>,
    mode: &Mode,
    rests: &rests::Choice,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Option<u64> {
    let (n, start, width) = (of.n, out.len(), of.spec.rest_width());
    let rests::Choice { params, zeros, high, low } = rests;
    let mut taken = 0;
    if let Mode::Predicted(predictor) = mode {
        let mut descriptor = Vec::new();
        predictor.write(&mut descriptor);
        taken += 8 * descriptor.len() as u64;
    }
    let sizes = begin(params, data, n, mode, high.iter().chain(low), &zeros.presence, out);
    let tables = |modes: &[(Cut, Mode)]| modes.iter().map(|(_, m)| table_of(m)).collect::<Vec<_>>();
    let (symbol_table, high_tables, low_tables) = (table_of(mode), tables(high), tables(low));
    let symbols = &scratch.symbols[..n];
    let in_lanes = matches!(mode, Mode::Lanes(_) | Mode::Exact(_));
    let mut fill = |of: Range<usize>, to: &mut [u8]| to.copy_from_slice(&symbols[of]);
    match mode {
        Mode::Lanes(codes) => scratch.streams.encode(codes, n, &mut fill, &mut scratch.codeless),
        Mode::Exact(codes) => scratch.streams.encode(codes, n, &mut fill, &mut scratch.codeless),
        _ => {}
    }
    let is_modelled = matches!(mode, Mode::Modelled(_));
    if let Mode::Modelled(model) = mode {
        let done = scratch.modelled.encode(&model.encoder()?, GROUP, &scratch.classes[..n], symbols);
        done.then_some(())?;
    }
    for g in 0..n.div_ceil(GROUP) {
        let group_start = out.len();
        let (from, to) = (g * GROUP, n.min((g + 1) * GROUP));
        if in_lanes {
            out.extend((scratch.streams.get(g).len() as u16).to_le_bytes());
        } else if is_modelled {
            out.extend_from_slice(scratch.modelled.get(g));
        } else if let Mode::Predicted(predictor) = mode {
            let numbers = (&symbols[from..to], &scratch.signs[from..to]);
            let (contexts, work) = (&mut scratch.contexts, &mut scratch.predicted[0]);
            let first = predictor.phase + from;
            if !predicted::encode_group(&scratch.models.predictor, first, numbers, contexts, work, out) {
                return None;
            }
            taken += 8 * (out.len() - group_start) as u64;
        } else {
            put_bytes(mode, &symbol_table, &symbols[from..to], out);
        }
        let rest = &scratch.rest[planes::storage(width, from)..];
        for ((cut, mode), table) in high.iter().zip(&high_tables) {
            put_plane(*cut, mode, table, width, rest, to - from, &mut scratch.bytes, out);
        }
        if params.low > 0 {
            let m = gather(zeros, width, rest, from, to, &mut scratch.low);
            for ((cut, mode), table) in low.iter().zip(&low_tables) {
                put_plane(*cut, mode, table, width, &scratch.low, m, &mut scratch.bytes, out);
            }
        }
        if in_lanes {
            out.extend_from_slice(scratch.streams.get(g));
        }
        set_size(sizes, g, out.len() - group_start, out);
        if out.len() - start >= data.len() {
            return None;
        }
    }
    if of.spec.t > 8 {
        write_exceptions(&params.spec, of.body, &scratch.misses, out);
    }
    if in_lanes {
        let listed: Vec<u8> = scratch.codeless.iter().map(|at| symbols[*at as usize]).collect();
        codeless::write(&scratch.codeless, &listed, out);
    }
    Some(taken)
}

/// Appends all before the groups; gives the place of their sizes, which are yet to be known.
pub fn begin<'m>(
    params: &Params,
    data: &[u8],
    n: usize,
    symbols: &Mode,
    planes: impl Iterator<Item = &'m (Cut, Mode)>,
    presence: &[u8],
    out: &mut Vec<u8>,
) -> usize {
    let head = params.head as usize;
    params.write(out);
    out.extend_from_slice(&data[..head]);
    out.extend_from_slice(&data[head + n * params.spec.size()..]);
    symbols.write(out);
    planes.for_each(|(_, mode)| mode.write(out));
    out.extend_from_slice(presence);
    let sizes = out.len();
    out.resize(sizes + 4 * n.div_ceil(GROUP), 0);
    sizes
}

/// Writes the size of a group to where [`begin`] has left room for it.
pub fn set_size(sizes: usize, group: usize, size: usize, out: &mut [u8]) {
    let at = sizes + 4 * group;
    out[at..at + 4].copy_from_slice(&(size as u32).to_le_bytes());
}

fn table_of(mode: &Mode) -> Option<Box<EncodeTable>> {
    match mode {
        Mode::Coded(code) => Some(Box::new(EncodeTable::new(code))),
        _ => None,
    }
}

pub fn write_exceptions(spec: &FieldSpec, body: &[u8], misses: &[u32], out: &mut Vec<u8>) {
    varint::write(misses.len() as u64, out);
    let mut next = 0u32;
    for &at in misses {
        varint::write((at - next) as u64, out);
        next = at + 1;
        let mut field = [0u16];
        let from = at as usize * spec.size();
        fields::top_fields(spec, &body[from..from + spec.size()], &mut field);
        out.extend(field[0].to_le_bytes());
    }
}

/// Appends a group's part of a plane of bytes.
fn put_bytes(mode: &Mode, table: &Option<Box<EncodeTable>>, bytes: &[u8], out: &mut Vec<u8>) {
    match (mode, table) {
        (Mode::Packed, _) => out.extend_from_slice(bytes),
        (Mode::Coded(_), Some(table)) => huffman::encode_group(table, bytes, out),
        _ => {}
    }
}

/// Appends a group's part of a plane of the rest.
#[allow(clippy::too_many_arguments)]
fn put_plane(
    (bits, shift): Cut,
    mode: &Mode,
    table: &Option<Box<EncodeTable>>,
    width: u8,
    rest: &[u64],
    m: usize,
    bytes: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    match mode {
        // The others are for symbols alone.
        Mode::Constant(_) | Mode::Lanes(_) | Mode::Modelled(_) | Mode::Exact(_) | Mode::Predicted(_) => {}
        Mode::Packed if width == 0 && bits == 8 && shift == 0 => {
            out.extend_from_slice(&planes::as_bytes(rest)[..m]);
        }
        Mode::Packed => {
            let start = out.len();
            out.resize(start + planes::packed_size(m, bits), 0);
            planes::pack(width, rest, m, bits, shift, &mut out[start..]);
        }
        Mode::Coded(_) => {
            let plane = lend(bytes, m);
            planes::pack(width, rest, m, 8, shift, plane);
            put_bytes(mode, table, plane, out);
        }
    }
}

//! A block to a payload, whatever is in it; `direct` has a shorter way for most blocks of weights.

use super::analyze::Found;
use super::direct::MISSES;
use super::fit::{self, Rows};
use super::lanes;
use super::modelled::{Lengths, Model};
use super::params::{Cut, Mode, Params};
use super::planes::{
    SAMPLE_PIECE, SAMPLE_STRIDE, Sample, Zeros, code_if_it_pays, plane_mode, saved_by_coding,
};
use super::{Element, GROUP, Scratch, lend};
use crate::codec::Level;
use crate::codec::symbols::{codeless, count, entropy, pieces};
use crate::container::varint;
use mmh_kernels::fields::{self, FieldSpec};
use mmh_kernels::huffman::{self, EncodeTable};
use mmh_kernels::{histogram, modelled, planes, predicted};
use std::ops::Range;

/// Elements from which on a model is tried: with fewer, its tables cost more than it saves.
const SHORTEST_MODELLED: usize = 1024;

/// What a prediction saves of symbols and signs where nothing else is tried, in hundredths: models have nothing to set against weights.
const MUCH: u64 = 4;

/// What weights for a whole block save at least against a model of all of it, in thousandths of symbols and signs.
const MORE_THAN_PARTS: u64 = 5;

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
    let size = element.size();
    if n == 0 {
        return Some(false);
    }
    let start = out.len();
    let head = element.head as usize;
    let body = &data[head..head + n * size];
    let mut spec = found.spec;

    scratch.misses.clear();
    fields::symbols(&spec, body, lend(&mut scratch.symbols, n), &mut scratch.misses);
    if scratch.misses.len() > n / MISSES {
        // The sample was not like the rest: a symbol of 8 bits has no exceptions.
        spec = FieldSpec { t: 8, base: 0, ..spec };
        scratch.misses.clear();
        fields::symbols(&spec, body, lend(&mut scratch.symbols, n), &mut scratch.misses);
    }
    let (symbols, signs) = (&scratch.symbols[..n], lend(&mut scratch.signs, n));
    let one_of = lanes::one_of(n, &spec, level);
    let counts = count(n, lanes::together(&spec, level), one_of, &mut |of, to| {
        to.copy_from_slice(&scratch.symbols[of]);
    });
    let symbol_mode = lanes::choose(&counts, n, &spec, level).unwrap_or_else(|| byte_mode(symbols, level));
    // Models of either kind are made at the levels that are for size, and predictions first: where they save much, nothing else would do.
    let numbers = (rows.are_predicted(level) && is_worth_a_model(&symbol_mode, symbols, level))
        .then(|| fit::Numbers::of(symbols, body, &spec, element, signs))
        .flatten();
    // Without the sign, planes of bytes are others, and zeros may be of less use.
    let lost = numbers.as_ref().map_or(0, |_| {
        let mut sample = Sample::of(&spec, body, level, &mut scratch.rest, &mut scratch.bytes);
        let bits = spec.rest_bits();
        sample.saved(bits, n).saturating_sub(sample.saved(bits.saturating_sub(1), n))
    });
    // No prediction saves half a bit.
    let numbers = numbers.filter(|_| lost < n as u64 / 2);
    let known = numbers.as_ref().map(|numbers| match rows {
        Rows::Unknown | Rows::Unpredicted => fit::rows(numbers),
        Rows::Weighted(rows) | Rows::Short(rows) | Rows::Plain(rows) => Some(rows),
    });
    let predicted = numbers.zip(known).and_then(|(numbers, length)| {
        let (model, contexts) = (&mut scratch.predictor, &mut scratch.contexts);
        fit::choose(numbers, length, rows, level, model, contexts, &mut scratch.predicted)
    });
    // The sign would take a bit each.
    let predicted = predicted.map(|(predictor, bits)| (predictor, (bits + lost).saturating_sub(n as u64)));
    if matches!(rows, Rows::Weighted(_)) && predicted.is_none() {
        return None;
    }
    // So few bits that models are not asked for.
    let plain = || bits_of(&symbol_mode, n, &counts, one_of) + n as u64;
    let few = if level.get() < fit::FASTEST_FOR_ALL { plain() * (100 - MUCH) / 100 } else { 0 };
    let much = predicted.as_ref().is_some_and(|(_, predicted)| predicted + (n as u64) < few);
    let (symbol_mode, bits) = if is_worth_a_model(&symbol_mode, symbols, level) && !much {
        // This time all symbols are counted.
        let counts = count(n, GROUP, 1, &mut |of, to| to.copy_from_slice(&symbols[of]));
        let plain = bits_of(&symbol_mode, n, &counts, 1);
        let most = predicted.as_ref().map_or(u64::MAX, |p| p.1);
        let classes = &mut scratch.classes;
        if matches!(rows, Rows::Weighted(_)) {
            // It is asked for the sake of comparison alone.
            let lengths = Lengths::Known(known.flatten());
            let bits = bits_of_model(symbols, &counts, &spec, element, lengths, most, classes);
            (symbol_mode, bits.unwrap_or(plain).min(plain))
        } else {
            let lengths = Lengths::Also(known.flatten());
            model_if_it_pays(symbol_mode, plain, symbols, &counts, &spec, element, lengths, most, classes)
        }
    } else {
        (symbol_mode, u64::MAX / 2000)
    };
    // A block as a whole has one model, where its parts have one each.
    let margin = if matches!(rows, Rows::Weighted(_)) { MORE_THAN_PARTS } else { 1 };
    // Fewer bits than this are worth a prediction.
    let enough = if much { few } else { (bits + n as u64) * 1000 / (1000 + margin) };
    let symbol_mode = match predicted {
        Some((predictor, predicted)) if predicted + (n as u64) < enough => {
            Mode::Predicted(Box::new(predictor))
        }
        _ => symbol_mode,
    };
    let has_weights = matches!(&symbol_mode, Mode::Predicted(p) if !p.shape.weights.is_empty());
    if matches!(rows, Rows::Weighted(_)) && !has_weights {
        return None;
    }
    let signed_symbols = matches!(symbol_mode, Mode::Predicted(_));

    let width = spec.rest_width();
    let rest = lend(&mut scratch.rest, planes::storage(width, n));
    fields::rests(&spec, body, rest);
    // At the fastest levels the sample is believed.
    let zeros = if level.get() <= 3 && !found.any_zeros {
        Zeros::none()
    } else {
        let found = Zeros::find(&spec, body, &mut scratch.ors);
        // Coding whole planes may save more than leaving out the low part of some segments, which cuts the planes up.
        let by_coding = |top: u32, bottom: u32, bytes: &mut Vec<u8>| -> u64 {
            planes::cut(top - bottom)
                .filter(|cut| cut.0 == 8)
                .map(|cut| saved_by_coding(cut.1 + bottom as u8, width, rest, n, level, bytes))
                .sum()
        };
        let (top, bottom) = (spec.rest_bits(), found.drop as u32);
        let split = bottom + found.low as u32;
        if found.low > 0
            && by_coding(top, bottom, &mut scratch.bytes)
                > found.saved + by_coding(top, split, &mut scratch.bytes)
        {
            found.without_low_part()
        } else {
            found
        }
    };
    // The sign is coded even where all bits below it are zero.
    let zeros = if signed_symbols { zeros.below(spec.rest_bits() - 1) } else { zeros };
    let params = Params {
        spec: FieldSpec { drop: zeros.drop, ..spec },
        head: element.head,
        low: zeros.low,
        segment: zeros.segment,
        signed_symbols,
    };
    // Shifts within the whole rest, of which nothing has been dropped here.
    let drop = zeros.drop;
    let high: Vec<(Cut, Mode)> = params
        .high_planes()
        .map(|(w, s)| (w, s + drop))
        .map(|cut| (cut, plane_mode(cut, width, rest, n, zeros.all, level, &mut scratch.bytes)))
        .collect();
    // What the low part costs is told by the segments that have one.
    let present = if zeros.low > 0 { gather(&zeros, width, rest, 0, n, &mut scratch.low) } else { 0 };
    let low: Vec<(Cut, Mode)> = params
        .low_planes()
        .map(|(w, s)| (w, s + drop))
        .map(|cut| (cut, plane_mode(cut, width, &scratch.low, present, zeros.all, level, &mut scratch.bytes)))
        .collect();

    // What symbols and signs take, if they are predicted.
    let mut taken = lost;
    if let Mode::Predicted(predictor) = &symbol_mode {
        let mut descriptor = Vec::new();
        predictor.write(&mut descriptor);
        taken += 8 * descriptor.len() as u64;
    }
    let sizes = begin(&params, data, n, &symbol_mode, high.iter().chain(&low), &zeros.presence, out);
    let groups = n.div_ceil(GROUP);

    let tables = |modes: &[(Cut, Mode)]| modes.iter().map(|(_, m)| table_of(m)).collect::<Vec<_>>();
    let (symbol_table, high_tables, low_tables) = (table_of(&symbol_mode), tables(&high), tables(&low));
    let symbols = &scratch.symbols[..n];
    let in_lanes = matches!(symbol_mode, Mode::Lanes(_) | Mode::Exact(_));
    let mut fill = |of: Range<usize>, to: &mut [u8]| to.copy_from_slice(&symbols[of]);
    match &symbol_mode {
        Mode::Lanes(codes) => scratch.streams.encode(codes, n, &mut fill, &mut scratch.codeless),
        Mode::Exact(codes) => scratch.streams.encode(codes, n, &mut fill, &mut scratch.codeless),
        _ => {}
    }
    let symbol_model = if let Mode::Modelled(model) = &symbol_mode { model.encoder() } else { None };
    for g in 0..groups {
        let group_start = out.len();
        let (from, to) = (g * GROUP, n.min((g + 1) * GROUP));
        if in_lanes {
            out.extend((scratch.streams.get(g).len() as u16).to_le_bytes());
        } else if let Some(model) = &symbol_model {
            if !modelled::encode_group(model, &scratch.classes[from..to], &symbols[from..to], out) {
                return Some(false);
            }
        } else if let Mode::Predicted(predictor) = &symbol_mode {
            let numbers = (&symbols[from..to], &scratch.signs[from..to]);
            let (contexts, work) = (&mut scratch.contexts, &mut scratch.predicted);
            let first = predictor.phase + from;
            if !predicted::encode_group(&scratch.predictor, first, numbers, contexts, work, out) {
                return Some(false);
            }
            taken += 8 * (out.len() - group_start) as u64;
        } else {
            put_bytes(&symbol_mode, &symbol_table, &symbols[from..to], out);
        }
        let rest = &scratch.rest[planes::storage(width, from)..];
        for ((cut, mode), table) in high.iter().zip(&high_tables) {
            put_plane(*cut, mode, table, width, rest, to - from, &mut scratch.bytes, out);
        }
        if params.low > 0 {
            let m = gather(&zeros, width, rest, from, to, &mut scratch.low);
            for ((cut, mode), table) in low.iter().zip(&low_tables) {
                put_plane(*cut, mode, table, width, &scratch.low, m, &mut scratch.bytes, out);
            }
        }
        if in_lanes {
            out.extend_from_slice(scratch.streams.get(g));
        }
        set_size(sizes, g, out.len() - group_start, out);
        if out.len() - start >= data.len() {
            return Some(false);
        }
    }
    if spec.t > 8 {
        write_exceptions(&params.spec, body, &scratch.misses, out);
    }
    if in_lanes {
        let listed: Vec<u8> = scratch.codeless.iter().map(|at| symbols[*at as usize]).collect();
        codeless::write(&scratch.codeless, &listed, out);
    }
    if signed_symbols && taken > enough {
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

/// How to store a plane of bytes.
fn byte_mode(bytes: &[u8], level: Level) -> Mode {
    // The exact set of values matters, as each needs a code; their frequencies can be estimated.
    let (any_zero, lowest, highest) = histogram::range(bytes);
    if highest == 0 || (!any_zero && lowest == highest) {
        return Mode::Constant(highest);
    }
    let mut counts = [0u32; 256];
    let exact = bytes.len() <= GROUP || level.get() >= 7;
    if exact {
        histogram::bytes(bytes, &mut counts);
    } else {
        pieces(bytes.len(), SAMPLE_STRIDE, SAMPLE_PIECE)
            .for_each(|p| histogram::bytes(&bytes[p], &mut counts));
        counts[lowest as usize..=highest as usize].iter_mut().for_each(|c| *c = (*c).max(1));
        counts[0] = if any_zero { counts[0].max(1) } else { 0 };
    }
    code_if_it_pays(&counts, level)
}

fn is_worth_a_model(mode: &Mode, symbols: &[u8], level: Level) -> bool {
    level.get() >= 7 && symbols.len() >= SHORTEST_MODELLED && !matches!(mode, Mode::Constant(_))
}

fn sum(counts: &[[u32; 256]]) -> [u32; 256] {
    std::array::from_fn(|s| counts.iter().map(|c| c[s]).sum())
}

/// How many bits symbols take in a mode without a model. `counts` has those of one in `one_of` pieces of each group.
fn bits_of(mode: &Mode, n: usize, counts: &[[u32; 256]], one_of: usize) -> u64 {
    match mode {
        Mode::Coded(code) => {
            let all = sum(counts);
            let seen: u64 = all.iter().map(|c| *c as u64).sum();
            huffman::coded_bits(&all, code) * n as u64 / seen.max(1) + 8 * code.written_size() as u64
        }
        Mode::Exact(codes) => codes.bits(counts, one_of),
        _ => n as u64 * 8,
    }
}

/// A model instead, where it saves more than a thousandth of the symbols, which take `bits`.
#[allow(clippy::too_many_arguments)]
fn model_if_it_pays(
    mode: Mode,
    bits: u64,
    symbols: &[u8],
    counts: &[[u32; 256]],
    spec: &FieldSpec,
    element: Element,
    lengths: Lengths,
    most: u64,
    classes: &mut Vec<u8>,
) -> (Mode, u64) {
    match Model::choose(symbols, &sum(counts), spec, element.kind, lengths, most, classes) {
        Some((model, modelled)) if modelled * 1001 < bits * 1000 => {
            (Mode::Modelled(Box::new(model)), modelled)
        }
        _ => (mode, bits),
    }
}

/// About how many bits all symbols would take with a model, by what those in the middle take. `None` as in [`Model::choose`].
fn bits_of_model(
    symbols: &[u8],
    counts: &[[u32; 256]],
    spec: &FieldSpec,
    element: Element,
    lengths: Lengths,
    most: u64,
    classes: &mut Vec<u8>,
) -> Option<u64> {
    let groups = counts.len();
    let middle = groups * 3 / 8..(groups * 5 / 8).max(1);
    let all = entropy::bits(sum(counts).into_iter()).max(1);
    let counts = sum(&counts[middle.clone()]);
    let those = entropy::bits(counts.into_iter());
    let of_all = |bits: u64| (bits as u128 * all as u128 / those.max(1) as u128) as u64;
    let most = (most as u128 * those as u128 / all as u128) as u64;
    let symbols = &symbols[middle.start * GROUP..symbols.len().min(middle.end * GROUP)];
    let (_, bits) = Model::choose(symbols, &counts, spec, element.kind, lengths, most, classes)?;
    Some(of_all(bits))
}

/// Collects the rests of the present segments among elements `from … to`; gives their number.
fn gather(zeros: &Zeros, width: u8, rest: &[u64], from: usize, to: usize, low: &mut Vec<u64>) -> usize {
    lend(low, planes::storage(width, to - from));
    let mut m = 0;
    for at in (from..to).step_by(1 << zeros.segment) {
        let s = at >> zeros.segment;
        if zeros.presence[s / 8] >> (s % 8) & 1 == 1 {
            let len = (1 << zeros.segment).min(to - at);
            planes::copy_words(width, rest, at - from, low, m, len);
            m += len;
        }
    }
    m
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

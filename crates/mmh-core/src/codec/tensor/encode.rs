//! A block to a payload.

use super::analyze::Found;
use super::lanes;
use super::modelled::Model;
use super::params::{Cut, Mode, Params};
use super::{Element, GROUP, Scratch, lend};
use crate::codec::Level;
use crate::codec::symbols::{codeless, count_groups, entropy, pieces};
use crate::container::varint;
use mmh_kernels::fields::{self, FieldSpec};
use mmh_kernels::huffman::{self, CodeLengths, EncodeTable};
use mmh_kernels::{histogram, modelled, planes, zeros};

/// Elements of the finest segment.
const FINEST: u32 = 6;

/// Elements of a piece of a sample of a plane, and how many of them it stands for; at the fastest levels four times as many.
const SAMPLE_PIECE: usize = 1024;
const SAMPLE_STRIDE: usize = 8 * SAMPLE_PIECE;
/// Elements from which on a model is tried: with fewer, its tables cost more than it saves.
const SHORTEST_MODELLED: usize = 1024;

/// A plane must shrink by this much to be coded: a fifty-second, about what decoding it costs is worth.
const PAYS: (u64, u64) = (51, 52);

/// Appends the payload; `false` if it would not be smaller than the block.
pub fn encode(
    data: &[u8],
    element: Element,
    level: Level,
    found: &Found,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> bool {
    let n = element.count(data.len());
    let size = element.size();
    if n == 0 {
        return false;
    }
    let start = out.len();
    let head = element.head as usize;
    let body = &data[head..head + n * size];
    let mut spec = found.spec;

    scratch.misses.clear();
    fields::symbols(&spec, body, lend(&mut scratch.symbols, n), &mut scratch.misses);
    if scratch.misses.len() > n / 64 {
        // The sample was not like the rest: a symbol of 8 bits has no exceptions.
        spec = FieldSpec { t: 8, base: 0, ..spec };
        scratch.misses.clear();
        fields::symbols(&spec, body, lend(&mut scratch.symbols, n), &mut scratch.misses);
    }
    let symbols = &scratch.symbols[..n];
    let symbol_mode = lanes::choose(symbols, &spec, level).unwrap_or_else(|| byte_mode(symbols, level));
    let symbol_mode = model_if_it_pays(symbol_mode, symbols, &spec, element, level, &mut scratch.classes);

    let width = spec.rest_width();
    let rest = lend(&mut scratch.rest, planes::storage(width, n));
    fields::rests(&spec, body, rest);
    // At the fastest levels the sample is believed.
    let zeros = if level.get() <= 3 && !found.any_zeros {
        Zeros::none()
    } else {
        let found = find_zeros(&spec, width, rest, n, &mut scratch.ors);
        // Coding whole planes may save more than leaving out the low part of some segments, which cuts the planes up.
        let by_coding = |top: u32, bottom: u32, bytes: &mut Vec<u8>| -> u64 {
            planes::cut(top - bottom)
                .filter(|cut| cut.0 == 8)
                .map(|cut| saved_by_coding(cut.1 + bottom as u8, width, rest, n, bytes))
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
    let params = Params {
        spec: FieldSpec { drop: zeros.drop, ..spec },
        head: element.head,
        low: zeros.low,
        segment: zeros.segment,
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

    params.write(out);
    out.extend_from_slice(&data[..head]);
    out.extend_from_slice(&data[head + n * size..]);
    symbol_mode.write(out);
    high.iter().chain(&low).for_each(|(_, mode)| mode.write(out));
    out.extend_from_slice(&zeros.presence);
    let sizes = out.len();
    let groups = n.div_ceil(GROUP);
    out.resize(sizes + 4 * groups, 0);

    let tables = |modes: &[(Cut, Mode)]| modes.iter().map(|(_, m)| table_of(m)).collect::<Vec<_>>();
    let (symbol_table, high_tables, low_tables) = (table_of(&symbol_mode), tables(&high), tables(&low));
    let symbols = &scratch.symbols[..n];
    let in_lanes = match &symbol_mode {
        Mode::Lanes(codes) => {
            scratch.streams.encode(codes, symbols, &mut scratch.codeless);
            true
        }
        Mode::Exact(codes) => {
            scratch.streams.encode(codes, symbols, &mut scratch.codeless);
            true
        }
        _ => false,
    };
    let symbol_model = if let Mode::Modelled(model) = &symbol_mode { model.encoder() } else { None };
    for g in 0..groups {
        let group_start = out.len();
        let (from, to) = (g * GROUP, n.min((g + 1) * GROUP));
        if in_lanes {
            out.extend((scratch.streams.get(g).len() as u16).to_le_bytes());
        } else if let Some(model) = &symbol_model {
            if !modelled::encode_group(model, &scratch.classes[from..to], &symbols[from..to], out) {
                return false;
            }
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
        let size = (out.len() - group_start) as u32;
        out[sizes + 4 * g..sizes + 4 * g + 4].copy_from_slice(&size.to_le_bytes());
        if out.len() - start >= data.len() {
            return false;
        }
    }
    if spec.t > 8 {
        write_exceptions(&params.spec, body, &scratch.misses, out);
    }
    if in_lanes {
        codeless::write(&scratch.symbols, &mut scratch.codeless, out);
    }
    out.len() - start < data.len()
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

/// A model instead, at the levels that are for size, where it saves more than a thousandth of the symbols.
fn model_if_it_pays(
    mode: Mode,
    symbols: &[u8],
    spec: &FieldSpec,
    element: Element,
    level: Level,
    classes: &mut Vec<u8>,
) -> Mode {
    if level.get() < 7 || symbols.len() < SHORTEST_MODELLED || matches!(mode, Mode::Constant(_)) {
        return mode;
    }
    let mut counts = [0; 256];
    histogram::bytes(symbols, &mut counts);
    let bits = match &mode {
        Mode::Coded(code) => huffman::coded_bits(&counts, code) + 8 * code.written_size() as u64,
        Mode::Exact(codes) => codes.bits(&count_groups(symbols, 1), 1),
        _ => symbols.len() as u64 * 8,
    };
    match Model::choose(symbols, &counts, spec, element.kind, classes) {
        Some((model, modelled)) if modelled * 1001 < bits * 1000 => Mode::Modelled(Box::new(model)),
        _ => mode,
    }
}

/// Bits of the longest code: with 11, look-ups give more symbols.
fn code_limit(level: Level) -> u32 {
    if level.get() >= 7 { 12 } else { 11 }
}

fn code_if_it_pays(counts: &[u32; 256], level: Level) -> Mode {
    let total: u64 = counts.iter().map(|c| *c as u64).sum();
    if entropy::bits(counts.iter().copied()) * PAYS.1 >= total * 8 * PAYS.0 {
        return Mode::Packed;
    }
    match CodeLengths::for_counts(counts, code_limit(level)) {
        Some(code) if huffman::coded_bits(counts, &code) * PAYS.1 < total * 8 * PAYS.0 => {
            Mode::Coded(Box::new(code))
        }
        _ => Mode::Packed,
    }
}

/// How to store a plane of the rest. `all` is the bitwise or of all rests.
fn plane_mode(
    (bits, shift): Cut,
    width: u8,
    rest: &[u64],
    n: usize,
    all: u64,
    level: Level,
    bytes: &mut Vec<u8>,
) -> Mode {
    let mask = (1u64 << bits) - 1;
    if (all >> shift) & mask == 0 {
        return Mode::Constant(0);
    }
    if bits < 8 {
        return Mode::Packed;
    }
    // Noise is told by a part of it; only what promises to pay is looked at in full.
    let stride = if level.get() <= 3 { 4 * SAMPLE_STRIDE } else { SAMPLE_STRIDE };
    let (cost, total) = sampled_cost(shift, width, rest, n, stride, bytes);
    if cost * PAYS.1 >= total * 8 * PAYS.0 {
        return Mode::Packed;
    }
    let whole = lend(bytes, n);
    planes::pack(width, rest, n, 8, shift, whole);
    let mut counts = [0u32; 256];
    histogram::bytes(whole, &mut counts);
    if let Some(value) = counts.iter().position(|c| *c as usize == n) {
        return Mode::Constant(value as u8);
    }
    code_if_it_pays(&counts, level)
}

/// Bits that a sample of a plane of bytes would cost, and the bytes of the sample.
fn sampled_cost(
    shift: u8,
    width: u8,
    rest: &[u64],
    n: usize,
    stride: usize,
    bytes: &mut Vec<u8>,
) -> (u64, u64) {
    let mut counts = [0u32; 256];
    let piece = lend(bytes, SAMPLE_PIECE);
    for at in pieces(n, stride, SAMPLE_PIECE) {
        let m = at.len();
        planes::pack(width, &rest[planes::storage(width, at.start)..], m, 8, shift, &mut piece[..m]);
        histogram::bytes(&piece[..m], &mut counts);
    }
    let total: u64 = counts.iter().map(|c| *c as u64).sum();
    // A short sample looks less random than it is: 255 / (2 ln 2) bits in all.
    (entropy::bits(counts.iter().copied()) + 184, total)
}

/// Bits that coding a plane of bytes would save.
fn saved_by_coding(shift: u8, width: u8, rest: &[u64], n: usize, bytes: &mut Vec<u8>) -> u64 {
    let (cost, total) = sampled_cost(shift, width, rest, n, SAMPLE_STRIDE, bytes);
    if cost * PAYS.1 >= total * 8 * PAYS.0 { 0 } else { (total * 8 - cost) * n as u64 / total.max(1) }
}

/// Zero bits at the bottom of the rests.
struct Zeros {
    drop: u8,
    low: u8,
    segment: u8,
    presence: Vec<u8>,
    all: u64,
    /// Bits saved by the segments without a low part.
    saved: u64,
}

impl Zeros {
    /// The same with one part alone.
    fn without_low_part(self) -> Zeros {
        Zeros { low: 0, segment: 0, presence: Vec::new(), saved: 0, ..self }
    }

    /// Nothing to drop, and no plane known to be constant.
    fn none() -> Zeros {
        Zeros { drop: 0, low: 0, segment: 0, presence: Vec::new(), all: u64::MAX, saved: 0 }
    }
}

/// Finds what can be dropped everywhere, and what in some segments only.
fn find_zeros(spec: &FieldSpec, width: u8, rest: &[u64], n: usize, ors: &mut Vec<u64>) -> Zeros {
    let r = spec.rest_bits();
    ors.clear();
    if r > 0 {
        zeros::segment_ors(width, rest, n, 1 << FINEST, ors);
    }
    let all = ors.iter().fold(0, |a, b| a | b);
    let drop = all.trailing_zeros().min(r);
    let mut zeros = Zeros { drop: drop as u8, low: 0, segment: 0, presence: Vec::new(), all, saved: 0 };
    if ors.iter().all(|or| or.trailing_zeros() <= drop) {
        return zeros;
    }
    // Coarser segments cost fewer bits of presence and find less.
    for segment in FINEST..=12 {
        let group = 1usize << (segment - FINEST);
        let tz: Vec<u32> =
            ors.chunks(group).map(|o| o.iter().fold(0, |a, b| a | b).trailing_zeros().min(r)).collect();
        // How many segments have at least so many zeros.
        let mut at_least = [0u64; 66];
        tz.iter().for_each(|z| at_least[*z as usize] += 1);
        for z in (0..65).rev() {
            at_least[z] += at_least[z + 1];
        }
        for split in drop + 1..=r {
            let saved = (at_least[split as usize] * ((split - drop) as u64)) << segment;
            let cost = tz.len() as u64 + 64;
            if saved > cost && saved - cost > zeros.saved {
                zeros.saved = saved - cost;
                zeros.low = (split - drop) as u8;
                zeros.segment = segment as u8;
                zeros.presence = bitmap(tz.iter().map(|z| *z < split));
            }
        }
    }
    // Not for a ten-thousandth of the size.
    if zeros.saved * 10_000 < n as u64 * spec.bits() as u64 { zeros.without_low_part() } else { zeros }
}

fn bitmap(bits: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut map = vec![0; bits.len().div_ceil(8)];
    for (i, bit) in bits.enumerate() {
        map[i / 8] |= (bit as u8) << (i % 8);
    }
    map
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

fn write_exceptions(spec: &FieldSpec, body: &[u8], misses: &[u32], out: &mut Vec<u8>) {
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
        Mode::Constant(_) | Mode::Lanes(_) | Mode::Modelled(_) | Mode::Exact(_) => {}
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

//! A payload to a block.

use super::lanes;
use super::params::{Cut, Mode, Params, bad};
use super::{GROUP, Scratch, lend};
use crate::codec::cursor::Cursor;
use crate::codec::symbols::{Code, Codes, MOST_SIDE_BY_SIDE, Part, SIDE_BY_SIDE, Table, codeless};
use crate::error::Result;
use mmh_kernels::checksum::Running;
use mmh_kernels::fields::{self, FieldSpec};
use mmh_kernels::huffman::{self, CodeLengths, DecodeTable};
use mmh_kernels::lanes::Frequencies;
use mmh_kernels::memory::{self, Soon};
use mmh_kernels::modelled::DecodeModel;
use mmh_kernels::planes::{self, Plane};
use mmh_kernels::predicted::{Model, Work};
use mmh_kernels::rans::{Decoder, LANES as ROW};

/// A plane of the rest, and its decoding table if it is coded.
struct Described {
    cut: Cut,
    mode: Mode,
    table: Option<usize>,
}

/// Restores all of `out`.
pub fn decode(payload: &[u8], out: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    decode_or_put_off(payload, out, scratch, None)
}

/// The same, or puts it off where others could be decoded at the same time.
pub fn decode_or_put_off<'a>(
    payload: &'a [u8],
    out: &'a mut [u8],
    scratch: &mut Scratch,
    later: Option<&mut Later<'a>>,
) -> Result<()> {
    let mut from = Cursor(payload);
    let mut params = Params::read(&mut from)?;
    let spec = params.spec;
    let size = spec.size();
    let head = params.head as usize;
    if head > out.len() || out.len() - head < size {
        return Err(bad(format_args!("no whole element in {} bytes after {head}", out.len())));
    }
    let n = (out.len() - head) / size;
    out[..head].copy_from_slice(from.take(head)?);
    let tail = (out.len() - head) % size;
    let body_end = out.len() - tail;
    out[body_end..].copy_from_slice(from.take(tail)?);

    let mut tables = 0;
    let symbols = Mode::read_symbols(&mut from, &params, n.div_ceil(GROUP))?;
    let table = match &symbols {
        Mode::Coded(code) => Some(build(&mut scratch.tables, &mut tables, code, n)),
        _ => None,
    };
    if let Mode::Modelled(model) = &symbols {
        model.build(&mut scratch.model)?;
    }
    if let Mode::Predicted(predictor) = &symbols {
        predictor.build(&mut scratch.predictor)?;
        params.signed_symbols = true;
    }
    let mut describe = |cut: Cut, from: &mut Cursor<'_>| -> Result<Described> {
        let mode = Mode::read(from, cut.0)?;
        let table = match &mode {
            Mode::Coded(code) => Some(build(&mut scratch.tables, &mut tables, code, n)),
            _ => None,
        };
        Ok(Described { cut, mode, table })
    };
    let high = params.high_planes().map(|cut| describe(cut, &mut from)).collect::<Result<Vec<_>>>()?;
    let low = params.low_planes().map(|cut| describe(cut, &mut from)).collect::<Result<Vec<_>>>()?;
    let presence = read_presence(&params, n, &mut from)?;
    let sizes = from.take(4 * n.div_ceil(GROUP))?;
    let sizes = sizes.as_chunks::<4>().0.iter().map(|size| u32::from_le_bytes(*size) as usize);
    let mut groups = sizes.map(|size| from.take(size)).collect::<Result<Vec<_>>>()?;
    let exceptions = if spec.t > 8 { read_exceptions(&params, n, &mut from)? } else { Vec::new() };
    let codeless = match &symbols {
        Mode::Lanes(codes) => codeless::read(codes, n, &mut from)?,
        Mode::Exact(codes) => codeless::read(codes, n, &mut from)?,
        _ => Vec::new(),
    };
    if !from.0.is_empty() {
        return Err(bad(format_args!("{} bytes left over after the groups", from.0.len())));
    }

    let streams = match &symbols {
        Mode::Lanes(_) | Mode::Exact(_) => lanes::split_off_streams(&mut groups)?,
        _ => Vec::new(),
    };
    if let Mode::Lanes(codes) = &symbols {
        if lanes::is_straight(&params) && matches!(high.as_slice(), [one] if one.mode == Mode::Packed) {
            lanes::decode_bf16(codes, &streams, &groups, &mut out[head..body_end], scratch)?;
            lanes::patch_bf16(&codeless, &mut out[head..body_end]);
            return Ok(());
        }
        if let Some(planes) = nibbles_of(&params, &high, &groups, n)? {
            let symbols = lend(&mut scratch.batch_symbols, SIDE_BY_SIDE * GROUP);
            let body = &mut out[head..body_end];
            lanes::decode_nibbles(codes, &spec, &streams, &planes, &codeless, body, symbols)?;
            patch(&spec, &exceptions, body);
            return Ok(());
        }
    }
    let decoder = match &symbols {
        Mode::Lanes(codes) => BatchDecoder::Lanes(codes, codes.decoders()),
        Mode::Exact(codes) => BatchDecoder::Exact(codes, codes.decoders()),
        _ => BatchDecoder::None,
    };
    let batches = decoder.batches(n, spec.width == 0);

    if spec == BYTES && !matches!(decoder, BatchDecoder::None) {
        let body = &mut out[head..body_end];
        if let Some(g) = groups.iter().position(|g| !g.is_empty()) {
            return Err(bad(format_args!("{} bytes left over in group {g}", groups[g].len())));
        }
        let few = groups.len() < MOST_SIDE_BY_SIDE;
        return match (later, decoder) {
            (Some(later), BatchDecoder::Exact(codes, tables)) if few && codes.only().is_some() => {
                later.blocks.push(PutOff { tables, streams, codeless, body });
                Ok(())
            }
            (_, decoder) => bytes(&decoder, &batches, &streams, &codeless, body),
        };
    }

    let width = spec.rest_width();
    // The groups of a batch in order, each with its place there.
    let orders: Vec<Vec<(usize, usize)>> = batches
        .iter()
        .map(|batch| {
            let mut order: Vec<(usize, usize)> = batch.iter().copied().enumerate().collect();
            order.sort_by_key(|(_, g)| *g);
            order
        })
        .collect();
    // What is made in order, and not changed any more, can have its checksum taken meanwhile.
    let is_plain = head == 0 && exceptions.is_empty() && params.low == 0 && !params.signed_symbols;
    let in_order = || orders.iter().flatten().is_sorted_by_key(|(_, g)| g);
    let goes_away = scratch.is_far && is_plain && in_order() && fields::can_go_away(&spec, out);
    let mut running = if goes_away { Running::new() } else { None };
    let mut is_running = running.is_some();
    let mut bodies: Vec<&mut [u8]> = out[head..body_end].chunks_mut(GROUP * size).collect();
    let last = bodies.len() - 1;
    let mut batch_symbols = std::mem::take(&mut scratch.batch_symbols);
    let each = batches.iter().zip(&orders).flat_map(|(batch, order)| {
        let place = move |(i, (slot, g)): (usize, &(usize, usize))| (batch.as_slice(), i == 0, *slot, *g);
        order.iter().enumerate().map(place)
    });
    for (batch, is_first, slot, g) in each {
        let in_lanes = !matches!(decoder, BatchDecoder::None);
        if in_lanes && is_first {
            // Planes and elements are met in bursts between long stretches of decoding, too short for the hardware to see coming.
            let planes = batch.iter().map(|g| groups[*g]);
            let elements = batch.iter().map(|g| &*bodies[*g]).filter(|_| !is_running);
            let mut soon = Soon::new(planes.chain(elements), GROUP / ROW);
            let out = lend(&mut batch_symbols, batch.len() * GROUP);
            let each = batch.iter().zip(out.chunks_mut(GROUP));
            let symbols = each.map(|(g, out)| &mut out[..bodies[*g].len() / size]).collect();
            decoder.decode(batch, &streams, symbols, &mut soon)?;
            codeless::patch(&codeless, batch, out);
        }
        let body = &mut *bodies[g];
        let m = body.len() / size;
        let mut group = Cursor(groups[g]);
        if !in_lanes {
            memory::prefetch(groups.get(g + 1).unwrap_or(&[].as_slice()));
        }
        let own_symbols = lend(&mut scratch.symbols, m);
        let mut sign_plane = Vec::new();
        let symbol_bytes = match (&symbols, table) {
            (Mode::Lanes(_) | Mode::Exact(_), _) => &batch_symbols[slot * GROUP..slot * GROUP + m],
            (Mode::Constant(v), _) => {
                own_symbols.fill(*v);
                own_symbols
            }
            (Mode::Modelled(_), _) => {
                modelled(&scratch.model, g * GROUP, &mut group, own_symbols)?;
                own_symbols
            }
            (Mode::Predicted(predictor), _) => {
                let signs = lend(&mut scratch.signs, m);
                let (model, work) = (&scratch.predictor, &mut scratch.predicted);
                let first = predictor.phase + g * GROUP;
                predicted(model, first, &mut group, own_symbols, signs, work)?;
                sign_plane = packed_signs(signs);
                own_symbols
            }
            (_, None) => group.take(m)?,
            (_, Some(t)) => {
                coded(&scratch.tables[t], &mut group, own_symbols)?;
                own_symbols
            }
        };
        // Where each plane's bytes are: in the payload, or decoded into scratch memory side by side.
        let high_coded = high.iter().filter(|p| p.table.is_some()).count();
        let mut spare = lend(&mut scratch.bytes, high_coded * m);
        let mut constant = 0u64;
        let mut parts: Vec<Plane<'_>> = Vec::with_capacity(high.len() + 1);
        if params.signed_symbols {
            let shift = (spec.rest_bits() - spec.drop as u32 - 1) as u8;
            parts.push(Plane { data: &sign_plane, bits: 1, shift });
        }
        for plane in &high {
            let (bits, shift) = plane.cut;
            match (&plane.mode, plane.table) {
                (Mode::Constant(v), _) => constant |= (*v as u64) << shift,
                (_, None) => parts.push(packed(&mut group, m, plane.cut)?),
                (_, Some(t)) => {
                    let (now, later) = std::mem::take(&mut spare).split_at_mut(m);
                    coded(&scratch.tables[t], &mut group, now)?;
                    parts.push(Plane { data: now, bits, shift });
                    spare = later;
                }
            }
        }
        let fill = repeat(constant, width);
        let whole_bytes = match parts.as_slice() {
            [only] if width == 0 && only.bits == 8 && params.low == 0 => Some(only.data),
            _ => None,
        };
        let nibbles = match parts.as_slice() {
            [a, b, c] if is_nibbles(&spec) && params.low == 0 && (a.bits, b.bits, c.bits) == (4, 2, 1) => {
                Some([*a, *b, *c])
            }
            _ => None,
        };
        // Behind one that did not go away none can.
        is_running = is_running
            && running.as_mut().is_some_and(|running| {
                let is_end = tail == 0 && g == last;
                fields::merge_planes_away(&spec, symbol_bytes, &parts, constant, body, running, is_end)
            });
        if is_running {
            // They are where they belong.
        } else if let Some(planes) = nibbles {
            fields::merge_nibbles(&spec, symbol_bytes, &planes, 0, body);
        } else if let Some(bytes) = whole_bytes {
            // The one plane is the rest as it stands.
            fields::merge_bytes(&spec, symbol_bytes, bytes, body);
        } else if params.low == 0 && !params.signed_symbols {
            fields::merge_planes(&spec, symbol_bytes, &parts, constant, body);
        } else {
            // What is not one packed part is put together in words for the whole group first.
            let mut whole = vec![fill; planes::storage(width, m)];
            for plane in &parts {
                planes::unpack_or(width, plane, 0, &mut whole, m);
            }
            let first = g * GROUP;
            let present = |at: usize| {
                let s = at >> params.segment;
                presence[s / 8] >> (s % 8) & 1 == 1
            };
            let segments = || {
                (first..if params.low > 0 { first + m } else { first })
                    .step_by(1 << params.segment)
                    .filter(|at| present(*at))
                    .map(|at| (at - first, (1usize << params.segment).min(first + m - at)))
            };
            let count: usize = segments().map(|s| s.1).sum();
            let words = lend(&mut scratch.low, planes::storage(width, count));
            words.fill(0);
            let mut decoded = vec![0; count];
            for plane in &low {
                let (bits, shift) = plane.cut;
                let part = match (&plane.mode, plane.table) {
                    (Mode::Constant(v), _) => {
                        let fill = repeat((*v as u64) << shift, width);
                        words.iter_mut().for_each(|w| *w |= fill);
                        continue;
                    }
                    (_, None) => packed(&mut group, count, plane.cut)?,
                    (_, Some(t)) => {
                        coded(&scratch.tables[t], &mut group, &mut decoded)?;
                        Plane { data: &decoded, bits, shift }
                    }
                };
                planes::unpack_or(width, &part, 0, words, count);
            }
            let mut at = 0;
            for (to, len) in segments() {
                planes::or_words(width, words, at, &mut whole, to, len);
                at += len;
            }
            fields::merge(&spec, symbol_bytes, &whole, body);
        }
        if !group.0.is_empty() {
            return Err(bad(format_args!("{} bytes left over in group {g}", group.0.len())));
        }
    }
    scratch.batch_symbols = batch_symbols;
    patch(&spec, &exceptions, &mut out[head..body_end]);
    scratch.sum = running.map(|running| running.finish(out));
    Ok(())
}

/// What decodes the symbols of several groups at once, with its tables.
enum BatchDecoder<'a> {
    None,
    Lanes(&'a Codes<Frequencies>, Vec<<Frequencies as Code>::Decoder>),
    Exact(&'a Codes<Table>, Vec<<Table as Code>::Decoder>),
}

impl BatchDecoder<'_> {
    /// Groups of `n` elements that are decoded at once; all, where each decodes by itself. Where symbols are `all` that there is to the elements, or codes
    /// decode in registers, they are as many as have some; else fewer, whose symbols wait in a cache.
    fn batches(&self, n: usize, all: bool) -> Vec<Vec<usize>> {
        match self {
            BatchDecoder::None => vec![(0..n.div_ceil(GROUP)).collect()],
            BatchDecoder::Lanes(codes, _) => codes.batches(n, MOST_SIDE_BY_SIDE),
            BatchDecoder::Exact(codes, tables) => {
                let most = all || tables.iter().all(Decoder::is_narrow);
                codes.batches(n, if most { MOST_SIDE_BY_SIDE } else { SIDE_BY_SIDE })
            }
        }
    }

    fn decode(
        &self,
        batch: &[usize],
        streams: &[&[u8]],
        symbols: Vec<&mut [u8]>,
        soon: &mut Soon,
    ) -> Result<()> {
        match self {
            BatchDecoder::None => Ok(()),
            BatchDecoder::Lanes(codes, tables) => codes.decode(tables, batch, streams, symbols, soon),
            BatchDecoder::Exact(codes, tables) => codes.decode(tables, batch, streams, symbols, soon),
        }
    }
}

/// Bytes that are symbols.
const BYTES: FieldSpec = FieldSpec { width: 0, sign_moved: false, zigzag: false, t: 8, drop: 0, base: 0 };

/// Decodes elements that are no more than their symbols: right to where they belong.
fn bytes(
    decoder: &BatchDecoder<'_>,
    batches: &[Vec<usize>],
    streams: &[&[u8]],
    codeless: &[(u32, u8)],
    body: &mut [u8],
) -> Result<()> {
    let mut bodies: Vec<Option<&mut [u8]>> = body.chunks_mut(GROUP).map(Some).collect();
    for batch in batches {
        let symbols = batch.iter().filter_map(|g| bodies[*g].take()).collect();
        decoder.decode(batch, streams, symbols, &mut Soon::default())?;
    }
    codeless.iter().for_each(|&(at, symbol)| body[at as usize] = symbol);
    Ok(())
}

/// Bytes that are symbols of exact codes, in fewer groups than are decoded side by side: those of several blocks together are more.
#[derive(Default)]
pub struct Later<'a> {
    blocks: Vec<PutOff<'a>>,
}

/// One of the blocks.
struct PutOff<'a> {
    /// Of its only code.
    tables: Vec<<Table as Code>::Decoder>,
    streams: Vec<&'a [u8]>,
    codeless: Vec<(u32, u8)>,
    body: &'a mut [u8],
}

impl Later<'_> {
    /// Decodes all of them.
    pub fn finish(mut self) -> Result<()> {
        let mut parts = Vec::new();
        for PutOff { tables, streams, body, .. } in &mut self.blocks {
            let each = streams.iter().zip(body.chunks_mut(GROUP));
            let tables = tables.iter().cycle();
            parts.extend(each.zip(tables).map(|((stream, out), table)| Part { table, stream, out }));
        }
        // Groups of one size are decoded side by side.
        parts.sort_by_key(|part: &Part<'_, Table>| std::cmp::Reverse(part.out.len()));
        Table::decode(parts, &mut Soon::default()).ok_or_else(|| bad("a stream does not decode"))?;
        for PutOff { codeless, body, .. } in &mut self.blocks {
            codeless.iter().for_each(|&(at, symbol)| body[at as usize] = symbol);
        }
        Ok(())
    }
}

/// The planes of each group, if they are packed ones of 4, 2 and 1 bits of elements of 16 bits, and nothing else.
fn nibbles_of<'a>(
    params: &Params,
    high: &[Described],
    groups: &[&'a [u8]],
    n: usize,
) -> Result<Option<Vec<[Plane<'a>; 3]>>> {
    let packed_all = high.len() == 3 && high.iter().all(|p| p.mode == Mode::Packed);
    if !is_nibbles(&params.spec) || params.low > 0 || !packed_all {
        return Ok(None);
    }
    let mut all = Vec::with_capacity(groups.len());
    for (g, group) in groups.iter().enumerate() {
        let m = (n - g * GROUP).min(GROUP);
        let mut from = Cursor(group);
        let mut plane = |i: usize| packed(&mut from, m, high[i].cut);
        all.push([plane(0)?, plane(1)?, plane(2)?]);
        if !from.0.is_empty() {
            return Err(bad(format_args!("{} bytes left over in group {g}", from.0.len())));
        }
    }
    Ok(Some(all))
}

/// Whether the rest of an element of 16 bits is 4, 2 and 1 bits.
fn is_nibbles(spec: &FieldSpec) -> bool {
    spec.width == 1 && spec.rest_bits() == 7 && spec.drop == 0
}

/// Builds another table, for so many symbols; gives its position.
fn build(all: &mut Vec<DecodeTable>, used: &mut usize, code: &CodeLengths, symbols: usize) -> usize {
    if all.len() == *used {
        all.push(DecodeTable::new());
    }
    all[*used].build(code, symbols);
    *used += 1;
    *used - 1
}

/// Puts the exceptions into their elements.
fn patch(spec: &FieldSpec, exceptions: &[(usize, u16)], body: &mut [u8]) {
    let size = spec.size();
    for &(at, field) in exceptions {
        fields::patch(spec, &mut body[at * size..(at + 1) * size], field);
    }
}

fn packed<'a>(group: &mut Cursor<'a>, m: usize, (bits, shift): Cut) -> Result<Plane<'a>> {
    let plane = Plane { data: group.take(planes::packed_size(m, bits))?, bits, shift };
    if !planes::padding_is_zero(&plane, m) {
        return Err(bad("unused bits of a packed plane are set"));
    }
    Ok(plane)
}

fn coded(table: &DecodeTable, group: &mut Cursor<'_>, out: &mut [u8]) -> Result<()> {
    let taken =
        huffman::decode_group(table, group.0, out).ok_or_else(|| bad("a coded plane does not decode"))?;
    group.take(taken)?;
    Ok(())
}

fn modelled(model: &DecodeModel, first: usize, group: &mut Cursor<'_>, out: &mut [u8]) -> Result<()> {
    let taken = mmh_kernels::modelled::decode_group(model, first, group.0, out)
        .ok_or_else(|| bad("a modelled plane does not decode"))?;
    group.take(taken)?;
    Ok(())
}

fn predicted(
    model: &Model,
    first: usize,
    group: &mut Cursor<'_>,
    symbols: &mut [u8],
    signs: &mut [u8],
    work: &mut Work,
) -> Result<()> {
    let taken = mmh_kernels::predicted::decode_group(model, first, group.0, symbols, signs, work)
        .ok_or_else(|| bad("a predicted plane does not decode"))?;
    group.take(taken)?;
    Ok(())
}

/// Signs as a packed plane.
fn packed_signs(signs: &[u8]) -> Vec<u8> {
    let size = planes::packed_size(signs.len(), 1);
    let mut plane = vec![0; size];
    for (level, signs) in signs.chunks(size.max(1)).enumerate() {
        plane.iter_mut().zip(signs).for_each(|(to, sign)| *to |= (sign & 1) << level);
    }
    plane
}

/// A word of `8 << width` bits, as often as it fits into 64.
fn repeat(word: u64, width: u8) -> u64 {
    match width {
        0 => word * 0x0101_0101_0101_0101,
        1 => word * 0x0001_0001_0001_0001,
        2 => word | word << 32,
        _ => word,
    }
}

fn read_presence<'a>(params: &Params, n: usize, from: &mut Cursor<'a>) -> Result<&'a [u8]> {
    if params.low == 0 {
        return Ok(&[]);
    }
    let segments = n.div_ceil(1 << params.segment);
    let map = from.take(segments.div_ceil(8))?;
    let unused = if segments.is_multiple_of(8) { 0 } else { map[segments / 8] >> (segments % 8) };
    if unused != 0 {
        return Err(bad("unused bits of the presence map are set"));
    }
    Ok(map)
}

fn read_exceptions(params: &Params, n: usize, from: &mut Cursor<'_>) -> Result<Vec<(usize, u16)>> {
    let (base, t) = (params.spec.base as u32, params.spec.t);
    let count = from.varint()?;
    // Each takes at least three bytes.
    if count > (from.0.len() / 3) as u64 {
        return Err(bad(format_args!("{count} exceptions in {} bytes", from.0.len())));
    }
    let mut next = 0u64;
    (0..count)
        .map(|_| {
            let at = from.varint()?.checked_add(next).filter(|at| *at < n as u64);
            let at = at.ok_or_else(|| bad("an exception lies outside of the block"))?;
            next = at + 1;
            let field = from.u16()?;
            let has_symbol = field == 0 || (base < field as u32 && field as u32 <= base + 255);
            if has_symbol || field as u32 >= 1 << t {
                return Err(bad(format_args!("field {field} cannot be an exception")));
            }
            Ok((at as usize, field))
        })
        .collect()
}

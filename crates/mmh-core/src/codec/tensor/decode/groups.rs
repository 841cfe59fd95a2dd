//! Elements group by group, out of symbols and planes of any kind.

use super::batch::{BatchDecoder, Into};
use super::patch;
use super::payload::{Described, Payload, all_read, is_nibbles, packed};
use crate::codec::cursor::Cursor;
use crate::codec::symbols::codeless;
use crate::codec::tensor::params::{Mode, bad};
use crate::codec::tensor::{GROUP, Scratch, lend};
use crate::error::Result;
use mmh_kernels::checksum::Running;
use mmh_kernels::fields::{self, FieldSpec};
use mmh_kernels::huffman::{self, DecodeTable};
use mmh_kernels::memory::{self, Soon};
use mmh_kernels::planes::{self, Plane};
use mmh_kernels::rans::LANES as ROW;

/// Elements that go past the cache, and their checksum, which is taken meanwhile.
struct Away {
    running: Option<Running>,
    /// Nothing has stayed behind yet.
    goes_on: bool,
    /// The last group.
    last: usize,
    /// Whether nothing stands behind it.
    ends: bool,
}

impl Away {
    /// Writes a group, if all groups before it went this way.
    fn write(&mut self, spec: &FieldSpec, g: usize, group: &Parts<'_>, body: &mut [u8]) -> bool {
        // Behind one that did not go away none can.
        self.goes_on = self.goes_on
            && self.running.as_mut().is_some_and(|running| {
                let is_end = self.ends && g == self.last;
                let Parts { symbols, planes, constant } = group;
                fields::merge_planes_away(spec, symbols, planes, *constant, body, running, is_end)
            });
        self.goes_on
    }
}

/// What the elements of a group are made of.
struct Parts<'a> {
    symbols: &'a [u8],
    planes: Vec<Plane<'a>>,
    /// Bits of planes that are the same in all elements.
    constant: u64,
}

/// Restores all groups.
pub(super) fn restore(
    payload: &Payload<'_>,
    decoder: &BatchDecoder<'_>,
    out: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let Payload { params, groups, .. } = payload;
    let (spec, size) = (params.spec, params.spec.size());
    let batches = decoder.batches(payload.n, false);
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
    let is_plain =
        payload.head.is_empty() && payload.exceptions.is_empty() && params.low == 0 && !params.signed_symbols;
    let in_order = || orders.iter().flatten().is_sorted_by_key(|(_, g)| g);
    let goes_away = scratch.is_far && is_plain && in_order() && fields::can_go_away(&spec, out);
    let running = if goes_away { Running::new() } else { None };
    let (head, body_end) = (payload.head.len(), out.len() - payload.tail.len());
    let mut bodies: Vec<&mut [u8]> = out[head..body_end].chunks_mut(GROUP * size).collect();
    let (goes_on, last, ends) = (running.is_some(), bodies.len() - 1, payload.tail.is_empty());
    let mut away = Away { running, goes_on, last, ends };
    let mut batch_symbols = std::mem::take(&mut scratch.batch_symbols);
    let mut batch_signs = std::mem::take(&mut scratch.signs);
    for (batch, order) in batches.iter().zip(&orders) {
        if !decoder.is_none() {
            // Planes and elements are met in bursts between long stretches of decoding, too short for the hardware to see coming.
            let planes = batch.iter().map(|g| groups[*g]);
            let elements = batch.iter().map(|g| &*bodies[*g]).filter(|_| !away.goes_on);
            let mut soon = Soon::new(planes.chain(elements), GROUP / ROW);
            let out = lend(&mut batch_symbols, batch.len() * GROUP);
            let signs = lend(&mut batch_signs, if decoder.has_signs() { batch.len() * GROUP } else { 0 });
            let [symbols, signs] = [&mut *out, signs].map(|all| {
                let each = batch.iter().zip(all.chunks_mut(GROUP));
                each.map(|(g, out)| &mut out[..bodies[*g].len() / size]).collect()
            });
            let into = Into { symbols, signs, work: &mut scratch.predicted };
            decoder.decode(batch, &payload.streams, into, &mut soon)?;
            codeless::patch(&payload.codeless, batch, out);
        }
        for &(slot, g) in order {
            let body = &mut *bodies[g];
            let decoded = (!decoder.is_none()).then(|| {
                let range = slot * GROUP..slot * GROUP + body.len() / size;
                let signs = if decoder.has_signs() { &batch_signs[range.clone()] } else { &[] };
                (&batch_symbols[range], signs)
            });
            restore_group(payload, g, decoded, body, &mut away, scratch)?;
        }
    }
    (scratch.batch_symbols, scratch.signs) = (batch_symbols, batch_signs);
    patch(&spec, &payload.exceptions, &mut out[head..body_end]);
    scratch.sum = away.running.map(|running| running.finish(out));
    Ok(())
}

/// Restores a group, whose symbols, and signs if they are apart, may be `decoded` already.
fn restore_group(
    payload: &Payload<'_>,
    g: usize,
    decoded: Option<(&[u8], &[u8])>,
    body: &mut [u8],
    away: &mut Away,
    scratch: &mut Scratch,
) -> Result<()> {
    let (params, spec) = (&payload.params, &payload.params.spec);
    let m = body.len() / spec.size();
    let mut group = Cursor(payload.groups[g]);
    if decoded.is_none() {
        memory::prefetch(payload.groups.get(g + 1).unwrap_or(&[].as_slice()));
    }
    let own = lend(&mut scratch.symbols, m);
    let mut sign_plane = Vec::new();
    let symbols = match (decoded, &payload.symbols, payload.table) {
        (Some((symbols, signs)), ..) => {
            sign_plane = packed_signs(signs);
            symbols
        }
        (_, Mode::Constant(v), _) => {
            own.fill(*v);
            own
        }
        (_, _, Some(t)) => {
            coded(&scratch.tables[t], &mut group, own)?;
            own
        }
        (_, _, None) => group.take(m)?,
    };
    // Where each plane's bytes are: in the payload, or decoded into scratch memory side by side.
    let high_coded = payload.high.iter().filter(|p| p.table.is_some()).count();
    let mut spare = lend(&mut scratch.bytes, high_coded * m);
    let mut parts = Parts { symbols, planes: Vec::with_capacity(payload.high.len() + 1), constant: 0 };
    if params.signed_symbols {
        let shift = (spec.rest_bits() - spec.drop as u32 - 1) as u8;
        parts.planes.push(Plane { data: &sign_plane, bits: 1, shift });
    }
    for Described { cut, mode, table } in &payload.high {
        let (bits, shift) = *cut;
        match (mode, *table) {
            (Mode::Constant(v), _) => parts.constant |= (*v as u64) << shift,
            (_, None) => parts.planes.push(packed(&mut group, m, *cut)?),
            (_, Some(t)) => {
                let (now, later) = std::mem::take(&mut spare).split_at_mut(m);
                coded(&scratch.tables[t], &mut group, now)?;
                parts.planes.push(Plane { data: now, bits, shift });
                spare = later;
            }
        }
    }
    if away.write(spec, g, &parts, body) {
        // They are where they belong.
    } else if params.low > 0 || params.signed_symbols {
        let rests = whole_rests(payload, g, m, &parts, &mut group, &mut scratch.low, &scratch.tables)?;
        fields::merge(spec, symbols, &rests, body);
    } else {
        merge(spec, &parts, body);
    }
    all_read(g, &group)
}

/// Puts elements together whose planes are all there is to them.
fn merge(spec: &FieldSpec, parts: &Parts<'_>, body: &mut [u8]) {
    let Parts { symbols, planes, constant } = parts;
    match planes.as_slice() {
        [a, b, c] if is_nibbles(spec) && (a.bits, b.bits, c.bits) == (4, 2, 1) => {
            fields::merge_nibbles(spec, symbols, &[*a, *b, *c], 0, body);
        }
        // The one plane is the rest as it stands.
        [only] if spec.rest_width() == 0 && only.bits == 8 => {
            fields::merge_bytes(spec, symbols, only.data, body)
        }
        planes => fields::merge_planes(spec, symbols, planes, *constant, body),
    }
}

/// The rests of a group as words, with the low planes of the segments that have them, which follow in `group`.
fn whole_rests(
    payload: &Payload<'_>,
    g: usize,
    m: usize,
    parts: &Parts<'_>,
    group: &mut Cursor<'_>,
    words: &mut Vec<u64>,
    tables: &[DecodeTable],
) -> Result<Vec<u64>> {
    let params = &payload.params;
    let width = params.spec.rest_width();
    let mut whole = vec![repeat(parts.constant, width); planes::storage(width, m)];
    for plane in &parts.planes {
        planes::unpack_or(width, plane, 0, &mut whole, m);
    }
    let first = g * GROUP;
    let present = |at: usize| {
        let s = at >> params.segment;
        payload.presence[s / 8] >> (s % 8) & 1 == 1
    };
    let segments = || {
        (first..if params.low > 0 { first + m } else { first })
            .step_by(1 << params.segment)
            .filter(|at| present(*at))
            .map(|at| (at - first, (1usize << params.segment).min(first + m - at)))
    };
    let count: usize = segments().map(|s| s.1).sum();
    let words = lend(words, planes::storage(width, count));
    words.fill(0);
    let mut decoded = vec![0; count];
    for Described { cut, mode, table } in &payload.low {
        let (bits, shift) = *cut;
        let part = match (mode, *table) {
            (Mode::Constant(v), _) => {
                let fill = repeat((*v as u64) << shift, width);
                words.iter_mut().for_each(|w| *w |= fill);
                continue;
            }
            (_, None) => packed(group, count, *cut)?,
            (_, Some(t)) => {
                coded(&tables[t], group, &mut decoded)?;
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
    Ok(whole)
}

fn coded(table: &DecodeTable, group: &mut Cursor<'_>, out: &mut [u8]) -> Result<()> {
    let taken =
        huffman::decode_group(table, group.0, out).ok_or_else(|| bad("a coded plane does not decode"))?;
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

//! Symbols in lanes (modes 3 and 5): the choice of the codes, and elements of 16 bits that are put together while they are decoded.

use super::encode::set_size;
use super::params::{Mode, Params, bad};
use super::{GROUP, Scratch, lend};
use crate::codec::Level;
use crate::codec::symbols::{Code, Codes, SIDE_BY_SIDE, Table, entropy, sum};
use crate::error::{Error, Result};
use mmh_kernels::fields::{self, FieldSpec};
use mmh_kernels::huffman::MANY;
use mmh_kernels::lanes::{self, Frequencies, Group, PAIRS, Pair};
use mmh_kernels::memory;
use mmh_kernels::planes::Plane;
use std::array::from_fn;

/// Bytes of the size of a stream.
const SIZE: usize = 2;

/// The slowest level that uses 256 states.
const SLOWEST: u8 = 6;

/// The fastest level whose groups have a choice of codes, and that uses exact frequencies.
const CHOOSES: u8 = 4;

/// Of how many symbols one is looked at, at levels that are faster and at others, and the same at the faster ones where there are many.
const ONE_OF: [usize; 2] = [16, 4];
const ONE_OF_MANY: usize = 32;
const MANY_FAST: usize = 1 << 17;

/// Codes that groups are offered; more where the symbols are nearly all of the block.
const OFFERED: usize = 4;
const OFFERED_BYTES: usize = 8;

/// The same at the fastest levels, whose codes are small tables: a second one for half of the groups gains as much as more bits in a symbol would.
const OFFERED_FAST_BYTES: usize = 2;

/// Fewer symbols are not worth the states that exact frequencies begin with.
pub const MANY_EXACT: usize = GROUP / 2;

/// Exponents of bf16 as symbols; signs and mantissas are the rests.
const BF16: FieldSpec = FieldSpec { width: 1, sign_moved: true, zigzag: false, t: 8, drop: 0, base: 0 };

/// Of how many of `n` symbols one is looked at.
pub fn one_of(n: usize, spec: &FieldSpec, level: Level) -> usize {
    match level.get() >= CHOOSES {
        // Bytes are nearly all symbol.
        false if n >= MANY_FAST && spec.width > 0 => ONE_OF_MANY,
        chooses => ONE_OF[chooses as usize],
    }
}

/// How many symbols are counted together: those of a group, where groups have a choice.
pub fn together(spec: &FieldSpec, level: Level) -> usize {
    if level.get() >= CHOOSES || spec.width == 0 { GROUP } else { usize::MAX }
}

/// The codes for a plane of `n` symbols, where lanes suit the level and pay. `groups` are the counts of one in [`one_of`] of them, of as many
/// as are counted [`together`].
pub fn choose(groups: &[[u32; 256]], n: usize, spec: &FieldSpec, level: Level) -> Option<Mode> {
    if n < MANY {
        return None;
    }
    let chooses = level.get() >= CHOOSES;
    let one_of = one_of(n, spec, level);
    let total = sum(groups);
    let elements = total.iter().map(|c| *c as u64).sum::<u64>() * one_of as u64;
    let pays = |bits: u64| bits * 52 < elements * 8 * 51;
    let small = || {
        let offered = match (chooses, spec.width) {
            (true, _) => OFFERED.min(groups.len() / 2),
            (false, 0) => OFFERED_FAST_BYTES.min(groups.len()),
            (false, _) => 1,
        };
        let codes = Codes::<Frequencies>::choose(groups, one_of, offered)?;
        Some((codes.bits(groups, one_of), codes)).filter(|s| pays(s.0))
    };
    let worth = elements * EXACT / 100;
    // Bytes are put together later, and yet at the fastest levels the faster code counts for them as well.
    let fast_byte = spec.width == 0 && !chooses;
    let joined = if fast_byte || level.get() <= SLOWEST && is_joined(spec) { small() } else { None };
    if let Some((bits, codes)) = &joined
        && *bits <= codes.ideal(groups, one_of) + worth
    {
        // No other code takes so much less.
        return joined.map(|(_, codes)| Mode::Lanes(codes));
    }
    // Elements of a byte are all symbol: for them exact frequencies are smaller and faster than prefix codes at any level.
    let exact = if (chooses || spec.width == 0) && n >= MANY_EXACT {
        let offered = if spec.width == 0 { OFFERED_BYTES } else { OFFERED };
        let offered = if chooses { offered } else { 1 };
        Codes::<Table>::choose(groups, one_of, offered.min(groups.len()))
    } else {
        None
    };
    let exact = exact.map(|codes| (codes.bits(groups, one_of), codes)).filter(|e| pays(e.0));
    let small = match joined {
        None if level.get() <= SLOWEST && exact.is_none() => small(),
        joined => joined,
    };
    match (small, exact) {
        (Some((_, codes)), None) => {
            let ideal = entropy::bits(total.iter().copied()) * one_of as u64;
            let bits = codes.symbol_bits(groups, one_of);
            // Elements of one byte are all symbol: for them a hundredth of a bit is more than speed is worth.
            let speed = if spec.width == 0 { 1 } else { PREFIX };
            (bits <= ideal + elements * speed / 100).then_some(Mode::Lanes(codes))
        }
        (Some((bits, codes)), Some((best, _))) if bits <= best + worth => Some(Mode::Lanes(codes)),
        (_, exact) => exact.map(|(_, codes)| Mode::Exact(codes)),
    }
}

/// What the speed of 256 states is worth, in hundredths of a bit a symbol, where others would be a prefix code, which costs some hundredths
/// more than the entropy and takes longer to decode.
const PREFIX: u64 = 8;

/// The same where others would be exact frequencies, and elements are put together while symbols are decoded. Elsewhere it is worth less than
/// 256 states always cost.
const EXACT: u64 = 8;

/// Whether elements can be put together while their symbols are decoded.
fn is_joined(spec: &FieldSpec) -> bool {
    *spec == BF16 || spec.width == 1 && spec.rest_bits() == 7
}

/// Appends the groups of a block of bf16 that [`is_straight`], some at a time: elements are split while their exponents are encoded. The sizes
/// of the groups go to where [`begin`](super::encode::begin) has left room for them.
pub fn encode_bf16(code: &Frequencies, body: &[u8], sizes: usize, scratch: &mut Scratch, out: &mut Vec<u8>) {
    const AT_ONCE: usize = 2 * PAIRS;
    let table = code.encoder();
    let Scratch { lanes: work, codeless, bytes, .. } = scratch;
    codeless.clear();
    for (t, some) in body.chunks(2 * AT_ONCE * GROUP).enumerate() {
        let group = |g: usize| {
            let from = (2 * g * GROUP).min(some.len());
            &some[from..(from + 2 * GROUP).min(some.len())]
        };
        let groups: [[&[u8]; 2]; PAIRS] = from_fn(|p| from_fn(|i| group(2 * p + i)));
        let pairs = from_fn(|p| {
            let first = from_fn(|i| ((AT_ONCE * t + 2 * p + i) * GROUP) as u32);
            Pair { table: &table, groups: groups[p], first }
        });
        let mut left = lend(bytes, AT_ONCE * GROUP);
        let rests =
            groups.map(|two| two.map(|group| left.split_off_mut(..group.len() / 2).unwrap_or_default()));
        let streams = lanes::encode_bf16(pairs, rests, codeless, work);
        let mut rests = bytes.as_slice();
        let all = groups.iter().flatten().zip(streams.iter().flatten()).enumerate();
        for (i, (group, stream)) in all.filter(|(_, (group, _))| !group.is_empty()) {
            let rest = rests.split_off(..group.len() / 2).unwrap_or_default();
            out.extend((stream.len() as u16).to_le_bytes());
            out.extend_from_slice(rest);
            out.extend_from_slice(stream);
            set_size(sizes, AT_ONCE * t + i, SIZE + rest.len() + stream.len(), out);
        }
    }
    codeless.sort();
}

/// Takes the streams off the groups, which keep their planes.
pub fn split_off_streams<'a>(groups: &mut [&'a [u8]]) -> Result<Vec<&'a [u8]>> {
    let split = |group: &mut &'a [u8]| {
        let (size, rest) = group.split_first_chunk::<SIZE>()?;
        let (planes, stream) =
            rest.split_at_checked(rest.len().checked_sub(u16::from_le_bytes(*size) as usize)?)?;
        *group = planes;
        Some(stream)
    };
    groups
        .iter_mut()
        .map(split)
        .collect::<Option<_>>()
        .ok_or_else(|| bad("a group is shorter than its stream"))
}

/// Decodes the elements of a block whose rests are in planes of 4, 2 and 1 bits: the groups' planes are put together with symbols that
/// are still in the cache.
pub fn decode_nibbles(
    codes: &Codes<Frequencies>,
    spec: &FieldSpec,
    streams: &[&[u8]],
    planes: &[[Plane<'_>; 3]],
    codeless: &[(u32, u8)],
    body: &mut [u8],
    symbols: &mut [u8],
) -> Result<()> {
    let tables = codes.decoders();
    let batches = codes.batches(body.len() / 2, SIDE_BY_SIDE);
    let mut bodies: Vec<&mut [u8]> = body.chunks_mut(2 * GROUP).collect();
    // Planes are read in bursts between stretches of decoding, too short for the hardware to see coming: while one batch is decoded those of
    // the next are asked for, bit by bit, as all at once would be waited for.
    let ask = |g: usize, elements: std::ops::Range<usize>| {
        for plane in &planes[g] {
            let at = |element: usize| (plane.data.len() * element / GROUP).min(plane.data.len());
            memory::prefetch(&plane.data[at(elements.start)..at(elements.end)]);
        }
    };
    batches.iter().take(1).flatten().for_each(|g| ask(*g, 0..GROUP));
    for (b, batch) in batches.iter().enumerate() {
        let next = batches.get(b + 1).map_or(&[][..], Vec::as_slice);
        let mut groups: Vec<Group<'_>> = (batch.iter().zip(symbols.chunks_mut(GROUP)))
            .map(|(&g, out)| {
                let out = &mut out[..bodies[g].len() / 2];
                Group { table: &tables[codes.chosen(g)], stream: streams[g], rest: &[], out }
            })
            .collect();
        let soon: Vec<*const u8> = batch.iter().map(|g| bodies[*g].as_ptr()).collect();
        // Where each group stands in the list.
        let starts = batch.iter().map(|g| codeless.partition_point(|c| (c.0 as usize) < g * GROUP));
        let mut listed: Vec<usize> = starts.collect();
        let mut take = |i: usize, first: usize, piece: &mut [u8]| {
            let g = batch[i];
            let (from, to) = (g * GROUP + first, g * GROUP + first + piece.len());
            while let Some(&(at, symbol)) = codeless.get(listed[i]).filter(|c| (c.0 as usize) < to) {
                piece[at as usize - from] = symbol;
                listed[i] += 1;
            }
            let out = &mut bodies[g][2 * first..2 * (first + piece.len())];
            fields::merge_nibbles(spec, piece, &planes[g], first, out);
            if let Some(g) = next.get(i) {
                ask(*g, first..first + piece.len());
            }
        };
        lanes::decode_pieces(&mut groups, &soon, &mut take).ok_or_else(undecodable)?;
    }
    Ok(())
}

fn undecodable() -> Error {
    bad("a stream of lanes does not decode")
}

/// Whether a block with one packed plane of eight bits is what [`decode_bf16`] takes.
pub fn is_straight(params: &Params) -> bool {
    params.spec == BF16 && params.low == 0
}

/// Decodes all elements of such a block; the planes are the rests.
pub fn decode_bf16(
    codes: &Codes<Frequencies>,
    streams: &[&[u8]],
    rests: &[&[u8]],
    body: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let tables = codes.decoders();
    let n = body.len() / 2;
    let mut groups: Vec<Option<Group<'_>>> = Vec::with_capacity(streams.len());
    for (g, ((stream, rest), out)) in streams.iter().zip(rests).zip(body.chunks_mut(2 * GROUP)).enumerate() {
        if out.len() != 2 * rest.len() {
            return Err(bad("a packed plane has the wrong size"));
        }
        groups.push(Some(Group { table: &tables[codes.chosen(g)], stream, rest, out }));
    }
    let order = codes.batches(n, SIDE_BY_SIDE).into_iter().flatten();
    let mut ordered: Vec<Group<'_>> = order.filter_map(|g| groups[g].take()).collect();
    lanes::decode_bf16(&mut ordered, &mut scratch.symbols).ok_or_else(undecodable)
}

/// Puts such symbols into elements of bf16.
pub fn patch_bf16(codeless: &[(u32, u8)], body: &mut [u8]) {
    let elements = body.as_chunks_mut::<2>().0;
    for &(at, symbol) in codeless {
        let element = &mut elements[at as usize];
        let others = u16::from_le_bytes(*element) & !0x7f80;
        *element = (others | (symbol as u16) << 7).to_le_bytes();
    }
}

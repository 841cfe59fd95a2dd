//! Symbols in lanes (mode 3): the choice of the codes, the streams of a block.

use super::choice::MOST_CODES;
use super::cluster::{cluster, sum};
use super::params::{Cursor, Params, bad};
use super::sample::pieces;
use super::{GROUP, Scratch, entropy};
use crate::codec::Level;
use crate::error::{Error, Result};
use mmh_kernels::fields::{self, FieldSpec};
use mmh_kernels::histogram;
use mmh_kernels::huffman::MANY;
use mmh_kernels::lanes::{self, Decoder, Encoder, Frequencies, Group, Work};
use mmh_kernels::memory;
use mmh_kernels::planes::Plane;

/// Bytes of the size of a stream.
const SIZE: usize = 2;

/// The slowest level that uses lanes.
const SLOWEST: u8 = 6;

/// Bits that a symbol without a code costs: its gap, itself, and the other one that is coded in its place.
const CODELESS_BITS: u64 = 18;

/// Exponents of bf16 as symbols; signs and mantissas are the rests.
const BF16: FieldSpec = FieldSpec { width: 1, sign_moved: true, zigzag: false, t: 8, drop: 0, base: 0 };

/// Elements of a piece of a sample, and how many of them one piece stands for.
const PIECE: usize = 1024;
const STRIDE: usize = 16 * PIECE;

/// Groups that are decoded side by side.
pub const SIDE_BY_SIDE: usize = 4;

/// The codes of a block: each group has one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    all: Vec<Frequencies>,
    /// By group; empty if there is but one.
    chosen: Vec<u8>,
}

impl Codes {
    /// One for all groups.
    pub fn one(frequencies: Frequencies) -> Codes {
        Codes { all: vec![frequencies], chosen: Vec::new() }
    }

    /// Which of them a group has.
    fn chosen(&self, group: usize) -> usize {
        self.chosen.get(group).map_or(0, |c| *c as usize)
    }

    /// The frequencies of a group.
    pub fn of(&self, group: usize) -> &Frequencies {
        &self.all[self.chosen(group)]
    }

    /// Groups of a block two by two, as far as two have the same code; those that are left over come last.
    fn pairs(&self, groups: usize) -> Vec<Vec<usize>> {
        let those = |c| (0..groups).filter(|g| self.chosen(*g) == c).collect::<Vec<usize>>();
        let by_code: Vec<Vec<usize>> = (0..self.all.len()).map(those).collect();
        let pairs = by_code.iter().flat_map(|those| those.as_chunks::<2>().0).map(|pair| pair.to_vec());
        pairs.chain(by_code.iter().flat_map(|those| those.as_chunks::<2>().1).map(|g| vec![*g])).collect()
    }

    /// Groups that are decoded side by side.
    pub fn batches(&self, groups: usize) -> Vec<Vec<usize>> {
        let order: Vec<usize> = self.pairs(groups).into_iter().flatten().collect();
        order.chunks(SIDE_BY_SIDE).map(<[usize]>::to_vec).collect()
    }

    /// What decoders look up, by code.
    pub fn decoders(&self) -> Vec<Decoder> {
        self.all.iter().map(Decoder::new).collect()
    }

    /// Appends them.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.all.len() as u8);
        self.all.iter().for_each(|f| f.write(out));
        out.extend(&self.chosen);
    }

    /// Reads those of a block of so many groups.
    pub fn read(from: &mut Cursor<'_>, groups: usize) -> Result<Codes> {
        let count = from.byte()? as usize;
        if count == 0 || count > MOST_CODES {
            return Err(bad(format_args!("{count} codes for lanes")));
        }
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let (frequencies, size) =
                Frequencies::read(from.0).ok_or_else(|| bad("malformed frequencies"))?;
            from.take(size)?;
            all.push(frequencies);
        }
        let chosen = if count > 1 { from.take(groups)?.to_vec() } else { Vec::new() };
        match chosen.iter().find(|c| **c as usize >= count) {
            Some(c) => Err(bad(format_args!("code {c} of {count}"))),
            None => Ok(Codes { all, chosen }),
        }
    }

    /// The codes for a plane of symbols, where lanes suit the level and cost little more than a code without their limits would.
    pub fn choose(symbols: &[u8], spec: &FieldSpec, level: Level) -> Option<Codes> {
        if level.get() > SLOWEST || symbols.len() < MANY {
            return None;
        }
        let stride = if level.get() < MANY_CODES { STRIDE } else { STRIDE / 4 };
        let groups = sample_groups(symbols, stride);
        let total = sum(&groups);
        let all = if level.get() < MANY_CODES {
            Codes::one(Frequencies::for_counts(&total, CODELESS_BITS)?)
        } else {
            codes_of_unlike(&groups)?
        };
        let cost: u64 = groups.iter().enumerate().map(|(g, counts)| all.cost(g, counts)).sum();
        let elements: u64 = total.iter().map(|c| *c as u64).sum();
        // A prefix code costs some hundredths of a bit more than the entropy, and takes longer to decode. Elements of one byte are all symbol:
        // for them a hundredth of a bit is more than speed is worth.
        let hundredths = if spec.width == 0 { 1 } else { 8 };
        let ideal = if level.get() < MANY_CODES {
            entropy::bits(total.iter().copied())
        } else {
            let of = cluster(&groups, OFFERED);
            let those = |c: u8| sum(groups.iter().zip(&of).filter(|g| *g.1 == c).map(|g| g.0));
            (0..OFFERED as u8).map(|c| entropy::bits(those(c).iter().copied())).sum()
        };
        let others = ideal + elements * hundredths / 100;
        (cost <= others && cost * 52 < elements * 8 * 51).then_some(all)
    }

    fn cost(&self, group: usize, counts: &[u32; 256]) -> u64 {
        entropy::cost(counts, self.of(group).of(), CODELESS_BITS)
    }
}

/// Counts of pieces of all groups.
fn sample_groups(symbols: &[u8], stride: usize) -> Vec<[u32; 256]> {
    let mut counts = vec![[0u32; 256]; symbols.len().div_ceil(GROUP)];
    for piece in pieces(symbols.len(), stride, PIECE) {
        histogram::bytes(&symbols[piece.clone()], &mut counts[piece.start / GROUP]);
    }
    counts
}

/// The fastest level whose groups have a choice of codes.
const MANY_CODES: u8 = 4;

/// Codes that groups are offered.
const OFFERED: usize = 4;

/// Codes for groups that are not alike.
fn codes_of_unlike(groups: &[[u32; 256]]) -> Option<Codes> {
    let one = Codes::one(Frequencies::for_counts(&sum(groups), CODELESS_BITS)?);
    let offered = OFFERED.min(groups.len() / 2).max(1);
    let mut of = cluster(groups, offered);
    let mut best = one.clone();
    // The clusters are of ideal codes: two more rounds with what these ones cost.
    for _ in 0..2 {
        let used = (0..offered as u8).filter(|c| of.contains(c));
        let those = |c: u8| sum(groups.iter().zip(&of).filter(|g| *g.1 == c).map(|g| g.0));
        let all = used.map(|c| Frequencies::for_counts(&those(c), CODELESS_BITS)).collect::<Option<Vec<_>>>();
        // A cluster of one value alone has no code.
        let Some(all) = all.filter(|all| all.len() > 1) else { return Some(one) };
        let cost = |group, c: usize| entropy::cost(group, all[c].of(), CODELESS_BITS);
        let nearest = |group| (0..all.len()).min_by_key(|c| cost(group, *c)).unwrap_or(0) as u8;
        of = groups.iter().map(nearest).collect();
        make_even(&mut of, all.len(), |g, c| cost(&groups[g], c));
        best = Codes { chosen: of.clone(), all };
    }
    Some(best)
}

/// Two groups with the same code decode faster than two without: of two codes with an odd number of groups, one gives the other the group
/// that loses least.
fn make_even(of: &mut [u8], codes: usize, cost: impl Fn(usize, usize) -> u64) {
    let odd = |of: &[u8]| {
        (0..codes).filter(|c| of.iter().filter(|o| **o as usize == *c).count() % 2 == 1).collect()
    };
    let odd: Vec<usize> = odd(of);
    for pair in odd.as_chunks::<2>().0 {
        let moves = (0..of.len()).filter_map(|g| {
            let to = match of[g] as usize {
                c if c == pair[0] => pair[1],
                c if c == pair[1] => pair[0],
                _ => return None,
            };
            Some((cost(g, to).saturating_sub(cost(g, of[g] as usize)), g, to))
        });
        if let Some((_, g, to)) = moves.min() {
            of[g] = to as u8;
        }
    }
}

/// The streams of all groups of a block.
#[derive(Default)]
pub struct Streams {
    bytes: Vec<u8>,
    of: Vec<std::ops::Range<usize>>,
}

impl Streams {
    /// Encodes a block, two groups at a time. `codeless` gets the positions of symbols without a code, in no order.
    pub fn encode(&mut self, codes: &Codes, symbols: &[u8], codeless: &mut Vec<u32>, work: &mut Work) {
        let groups: Vec<&[u8]> = symbols.chunks(GROUP).collect();
        let tables: Vec<Encoder> = codes.all.iter().map(Encoder::new).collect();
        self.bytes.clear();
        self.of.clear();
        self.of.resize(groups.len(), 0..0);
        codeless.clear();
        for pair in codes.pairs(groups.len()) {
            let both = [groups[pair[0]], pair.get(1).map_or(&[][..], |g| groups[*g])];
            let first = [pair[0], *pair.last().unwrap_or(&0)].map(|g| (g * GROUP) as u32);
            let streams = lanes::encode(&tables[codes.chosen(pair[0])], both, first, codeless, work);
            for (g, stream) in pair.iter().zip(streams) {
                self.of[*g] = self.bytes.len()..self.bytes.len() + stream.len();
                self.bytes.extend_from_slice(stream);
            }
        }
    }

    /// Of a group.
    pub fn get(&self, group: usize) -> &[u8] {
        self.of.get(group).and_then(|range| self.bytes.get(range.clone())).unwrap_or(&[])
    }
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

/// Decodes the symbols of a batch of groups of a block of `n` elements; `symbols` has room for a whole group each.
pub fn decode(
    codes: &Codes,
    tables: &[Decoder],
    batch: &[usize],
    streams: &[&[u8]],
    n: usize,
    symbols: &mut [u8],
) -> Result<()> {
    let mut groups: Vec<Group<'_>> = (batch.iter().zip(symbols.chunks_mut(GROUP)))
        .map(|(&g, out)| {
            let out = &mut out[..(n - g * GROUP).min(GROUP)];
            Group { table: &tables[codes.chosen(g)], stream: streams[g], rest: &[], out }
        })
        .collect();
    lanes::decode(&mut groups).ok_or_else(undecodable)
}

/// Decodes the elements of a block whose rests are in planes of 4, 2 and 1 bits: the groups' planes are put together with symbols that
/// are still in the cache.
pub fn decode_nibbles(
    codes: &Codes,
    spec: &FieldSpec,
    streams: &[&[u8]],
    planes: &[[Plane<'_>; 3]],
    codeless: &[(u32, u8)],
    body: &mut [u8],
    symbols: &mut [u8],
) -> Result<()> {
    let tables = codes.decoders();
    let mut bodies: Vec<&mut [u8]> = body.chunks_mut(2 * GROUP).collect();
    for batch in codes.batches(streams.len()) {
        for g in &batch {
            planes[*g].iter().for_each(|plane| memory::prefetch(plane.data));
        }
        let mut groups: Vec<Group<'_>> = (batch.iter().zip(symbols.chunks_mut(GROUP)))
            .map(|(&g, out)| {
                let out = &mut out[..bodies[g].len() / 2];
                Group { table: &tables[codes.chosen(g)], stream: streams[g], rest: &[], out }
            })
            .collect();
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
        };
        lanes::decode_pieces(&mut groups, &mut take).ok_or_else(undecodable)?;
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
    codes: &Codes,
    streams: &[&[u8]],
    rests: &[&[u8]],
    body: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let tables = codes.decoders();
    let mut groups: Vec<Option<Group<'_>>> = Vec::with_capacity(streams.len());
    for (g, ((stream, rest), out)) in streams.iter().zip(rests).zip(body.chunks_mut(2 * GROUP)).enumerate() {
        if out.len() != 2 * rest.len() {
            return Err(bad("a packed plane has the wrong size"));
        }
        groups.push(Some(Group { table: &tables[codes.chosen(g)], stream, rest, out }));
    }
    let order = codes.batches(groups.len()).into_iter().flatten();
    let mut ordered: Vec<Group<'_>> = order.filter_map(|g| groups[g].take()).collect();
    lanes::decode_bf16(&mut ordered, &mut scratch.symbols).ok_or_else(undecodable)
}

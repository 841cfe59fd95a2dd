//! Symbols in lanes (mode 3): the choice of the codes, the streams of a block.

use super::params::{Cursor, Params};
use super::{GROUP, Scratch, entropy};
use crate::codec::Level;
use crate::error::{Error, Result};
use mmh_kernels::fields::FieldSpec;
use mmh_kernels::histogram;
use mmh_kernels::huffman::MANY;
use mmh_kernels::lanes::{self, Decoder, Encoder, Frequencies, Group, Work};

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

/// The most codes that a block may have.
const MOST_CODES: usize = 16;

/// Groups that are decoded side by side.
const SIDE_BY_SIDE: usize = 4;

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

    /// All groups of a block, so that as many as can be have a neighbour with the same code.
    pub fn batches(&self, groups: usize) -> Vec<Vec<usize>> {
        let by_code = (0..self.all.len()).map(|c| (0..groups).filter(|g| self.chosen(*g) == c).collect());
        let by_code: Vec<Vec<usize>> = by_code.collect();
        let pairs = by_code.iter().flat_map(|those| those.as_chunks::<2>().0).flatten();
        let single = by_code.iter().flat_map(|those| those.as_chunks::<2>().1);
        let order: Vec<usize> = pairs.chain(single).copied().collect();
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
    pub fn choose(symbols: &[u8], level: Level) -> Option<Codes> {
        if level.get() > SLOWEST || symbols.len() < MANY {
            return None;
        }
        let stride = if level.get() < MANY_CODES { STRIDE } else { STRIDE / 4 };
        let groups: Vec<[u32; 256]> =
            symbols.chunks(GROUP).enumerate().map(|(g, group)| sample(g, group, stride)).collect();
        let total = sum(&groups);
        let all = if level.get() < MANY_CODES {
            Codes::one(Frequencies::for_counts(&total, CODELESS_BITS)?)
        } else {
            cluster(&groups)?
        };
        let cost: u64 = groups.iter().enumerate().map(|(g, counts)| all.cost(g, counts)).sum();
        let elements: u64 = total.iter().map(|c| *c as u64).sum();
        // A prefix code costs some hundredths of a bit more than the entropy, and takes longer.
        let others = entropy::bits(total.iter().copied()) + elements * 6 / 100;
        (cost <= others && cost * 52 < elements * 8 * 51).then_some(all)
    }

    fn cost(&self, group: usize, counts: &[u32; 256]) -> u64 {
        entropy::cost(counts, self.of(group).of(), CODELESS_BITS)
    }
}

/// Counts of pieces of a group, one at some place of each stride: at the same place, they would all meet the same columns of a matrix.
fn sample(number: usize, group: &[u8], stride: usize) -> [u32; 256] {
    let mut counts = [0u32; 256];
    let first = number * (GROUP / stride);
    for (i, c) in group.chunks(stride).enumerate() {
        // Multiples of the golden ratio spread evenly (Knuth, "The Art of Computer Programming", 6.4).
        let part = ((first + i) as u32).wrapping_mul(0x9E37_79B9) >> 16;
        let at = (c.len().saturating_sub(PIECE) * part as usize) >> 16;
        histogram::bytes(&c[at..c.len().min(at + PIECE)], &mut counts);
    }
    counts
}

fn sum(groups: &[[u32; 256]]) -> [u32; 256] {
    let mut total = [0u32; 256];
    for group in groups {
        total.iter_mut().zip(group).for_each(|(t, c)| *t += c);
    }
    total
}

/// The fastest level whose groups have a choice of codes.
const MANY_CODES: u8 = 4;

/// Codes that groups are offered.
const OFFERED: usize = 4;

/// Rounds of the search for them: the third changes next to nothing.
const ROUNDS: usize = 3;

/// Codes for groups that are not alike (Lloyd's algorithm with code lengths for distances): begins with groups that are alike in the
/// mean of their symbols.
fn cluster(groups: &[[u32; 256]]) -> Option<Codes> {
    let mean = |counts: &[u32; 256]| {
        let n: u64 = counts.iter().map(|c| *c as u64).sum();
        let sum: u64 = counts.iter().enumerate().map(|(v, c)| v as u64 * *c as u64).sum();
        (sum << 16) / n.max(1)
    };
    let one = Codes::one(Frequencies::for_counts(&sum(groups), CODELESS_BITS)?);
    // Two neighbours share a code: that is how groups decode fastest.
    let pairs: Vec<[u32; 256]> = groups.chunks(2).map(sum).collect();
    let (singles, groups) = (groups.len(), pairs);
    let offered = OFFERED.min(groups.len() / 2);
    if offered < 2 {
        return Some(one);
    }
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|g| mean(&groups[*g]));
    let mut chosen = vec![0u8; groups.len()];
    for (rank, g) in order.iter().enumerate() {
        chosen[*g] = (rank * offered / groups.len()) as u8;
    }
    let mut best = one;
    for _ in 0..ROUNDS {
        let used: Vec<u8> = (0..offered as u8).filter(|c| chosen.contains(c)).collect();
        let of = |c: u8| groups.iter().zip(&chosen).filter(|g| *g.1 == c).map(|g| *g.0).collect::<Vec<_>>();
        let all = used
            .iter()
            .map(|c| Frequencies::for_counts(&sum(&of(*c)), CODELESS_BITS))
            .collect::<Option<Vec<_>>>();
        let Some(all) = all else { break };
        let cost = |group: &[u32; 256], f: &Frequencies| entropy::cost(group, f.of(), CODELESS_BITS);
        let nearest = |group: &[u32; 256]| (0..all.len()).min_by_key(|c| cost(group, &all[*c])).unwrap_or(0);
        chosen = groups.iter().map(|g| nearest(g) as u8).collect();
        let of_single =
            if all.len() > 1 { (0..singles).map(|g| chosen[g / 2]).collect() } else { Vec::new() };
        best = Codes { all, chosen: of_single };
    }
    Some(best)
}

/// Encodes the groups of a block, two neighbours at a time.
pub struct Pairs<'a> {
    codes: &'a Codes,
    tables: Vec<Encoder>,
}

impl<'a> Pairs<'a> {
    /// Neighbours have to have the same code.
    pub fn new(codes: &'a Codes) -> Pairs<'a> {
        Pairs { codes, tables: codes.all.iter().map(Encoder::new).collect() }
    }

    /// The streams of group `first`, which is even, and of the next; the second is empty where there is none. `codeless` gets the
    /// positions of symbols without a code, in no order.
    pub fn encode<'w>(
        &self,
        first: usize,
        symbols: &[u8],
        codeless: &mut Vec<u32>,
        work: &'w mut Work,
    ) -> [&'w [u8]; 2] {
        let pair = &symbols[first * GROUP..symbols.len().min((first + 2) * GROUP)];
        let (one, other) = pair.split_at(pair.len().min(GROUP));
        let at = [first, first + 1].map(|g| (g * GROUP) as u32);
        lanes::encode(&self.tables[self.codes.chosen(first)], [one, other], at, codeless, work)
    }
}

fn bad(what: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("tensor: {what}"))
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

//! What a code can do, and the codes of a plane: each group has one of them.

use super::cluster::cluster;
use super::{GROUP, bad, entropy, pieces};
use crate::codec::cursor::Cursor;
use crate::error::Result;
use mmh_kernels::histogram;
use mmh_kernels::lanes::{PAIRS, Pair, Work};
use mmh_kernels::memory::Soon;
use std::ops::Range;

/// The most codes that the groups of a plane choose from.
pub const MOST_CODES: usize = 16;

/// Groups that are decoded side by side.
pub const SIDE_BY_SIDE: usize = 4;

/// The same of exact codes, where symbols need not wait for others: those of few values have registers for as many.
pub const MOST_SIDE_BY_SIDE: usize = 8;

/// Elements of a piece of a sample, and those from the beginning of one to the next at the most: where more are left out, pieces are shorter.
const PIECE: usize = 1024;
const STRIDE: usize = 16 * PIECE;

/// A group to decode.
pub struct Part<'a, C: Code> {
    /// Of its code.
    pub table: &'a C::Decoder,
    /// All of its stream.
    pub stream: &'a [u8],
    /// Where its symbols go.
    pub out: &'a mut [u8],
}

/// A code for the symbols of a group.
pub trait Code: Clone + PartialEq {
    /// What the encoder looks up.
    type Encoder;
    /// What the decoder looks up.
    type Decoder;

    /// Of all bits one in so many may be lost for two groups to have the same code, which then decode faster than two without; 0 if any loss is
    /// worth that.
    const PAIR_LOSES: u64;

    /// The one that suits counts; `None` where too few values occur.
    fn for_counts(counts: &[u32; 256]) -> Option<Self>;
    /// What it makes of each symbol, in units of 2^-16 bits, those without a code counted as they are stored.
    fn lengths(&self) -> [u32; 256];
    /// Whether it has a code for the symbol.
    fn has(&self, symbol: u8) -> bool;
    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads it.
    fn read(from: &mut Cursor<'_>) -> Result<Self>;
    /// Prepares encoding.
    fn encoder(&self) -> Self::Encoder;
    /// Prepares decoding.
    fn decoder(&self) -> Self::Decoder;
    /// Encodes the groups of pairs, of which any may be empty; appends the positions of symbols without a code to `codeless`, in no
    /// order.
    fn encode<'w>(
        pairs: [Pair<'_, Self::Encoder>; PAIRS],
        codeless: &mut Vec<u32>,
        work: &'w mut Work,
    ) -> [[&'w [u8]; 2]; PAIRS];
    /// Decodes groups side by side, and asks for memory that is needed after that; `None` if a stream is damaged.
    fn decode(groups: Vec<Part<'_, Self>>, soon: &mut Soon) -> Option<()>;
}

/// The codes of a plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes<C> {
    all: Vec<C>,
    /// By group; empty if there is but one.
    chosen: Vec<u8>,
}

impl<C: Code> Codes<C> {
    /// One for all groups.
    pub fn one(code: C) -> Codes<C> {
        Codes { all: vec![code], chosen: Vec::new() }
    }

    /// Those that suit groups, at most `offered`: one, if several do not pay. The counts are of one in `one_of` symbols.
    pub fn choose(groups: &[[u32; 256]], one_of: usize, offered: usize) -> Option<Codes<C>> {
        let total = sum(groups);
        let range = entropy::range(&total);
        let one = Codes::one(C::for_counts(&total)?);
        if offered < 2 {
            return Some(one);
        }
        let mut of = cluster(groups, offered);
        let mut best = one.clone();
        // The clusters are of ideal codes: two more rounds with what these ones cost.
        for _ in 0..2 {
            let used = (0..offered as u8).filter(|c| of.contains(c));
            let those = |c: u8| sum(groups.iter().zip(&of).filter(|g| *g.1 == c).map(|g| g.0));
            let all = used.map(|c| C::for_counts(&those(c))).collect::<Option<Vec<_>>>();
            // A cluster of one value alone may have no code.
            let Some(all) = all.filter(|all| all.len() > 1) else { return Some(one) };
            let lengths: Vec<[u32; 256]> = all.iter().map(C::lengths).collect();
            let cost = |group| lengths.iter().map(|l| entropy::cost(&range, group, l)).collect::<Vec<u64>>();
            let costs: Vec<Vec<u64>> = groups.iter().map(cost).collect();
            let nearest = |costs: &Vec<u64>| (0..all.len()).min_by_key(|c| costs[*c]).unwrap_or(0) as u8;
            of = costs.iter().map(nearest).collect();
            let bits: u64 = costs.iter().zip(&of).map(|(costs, c)| costs[*c as usize]).sum();
            let most = bits.checked_div(C::PAIR_LOSES).unwrap_or(u64::MAX);
            make_even(&mut of, all.len(), most, |g, c| costs[g][c]);
            best = Codes { chosen: of.clone(), all };
        }
        let dearer = best.bits(groups, one_of) >= one.bits(groups, one_of);
        Some(if dearer { one } else { best })
    }

    /// About how many bits they take, with what they make of groups of which one in `one_of` symbols is counted.
    pub fn bits(&self, groups: &[[u32; 256]], one_of: usize) -> u64 {
        let mut head = Vec::new();
        self.write(&mut head);
        // A code suits the sample that it was made from better than it suits what is coded: by half a nat for each value in the sample, and it
        // falls short of the best one for the rest by as much.
        let values: usize = self.all.iter().map(|code| (0..=255).filter(|s| code.has(*s)).count()).sum();
        let flattered = (values * (one_of - 1)) as u64 * 144 / 100;
        self.symbol_bits(groups, one_of) + 8 * head.len() as u64 + flattered
    }

    /// The same of the symbols alone, as if the sample were all.
    pub fn symbol_bits(&self, groups: &[[u32; 256]], one_of: usize) -> u64 {
        let lengths: Vec<[u32; 256]> = self.all.iter().map(C::lengths).collect();
        let range = entropy::range(&sum(groups));
        let cost = |(g, counts)| entropy::cost(&range, counts, &lengths[self.chosen(g)]);
        groups.iter().enumerate().map(cost).sum::<u64>() * one_of as u64
    }

    /// What no code could do without for groups that are put together as these are: their entropy.
    pub fn ideal(&self, groups: &[[u32; 256]], one_of: usize) -> u64 {
        let those = |c: usize| sum(groups.iter().enumerate().filter(|g| self.chosen(g.0) == c).map(|g| g.1));
        (0..self.all.len()).map(|c| entropy::bits(those(c).into_iter())).sum::<u64>() * one_of as u64
    }

    /// Which of them a group has.
    pub fn chosen(&self, group: usize) -> usize {
        self.chosen.get(group).map_or(0, |c| *c as usize)
    }

    /// The code, if there is but one.
    pub fn only(&self) -> Option<&C> {
        self.all.first().filter(|_| self.all.len() == 1)
    }

    /// The code of a group.
    pub fn of(&self, group: usize) -> &C {
        &self.all[self.chosen(group)]
    }

    /// Groups of a plane of `n` elements two by two, as far as two of one size have the same code; those that are left over come last.
    fn pairs(&self, n: usize) -> Vec<Vec<usize>> {
        let whole = n / GROUP;
        let those = |c| (0..whole).filter(|g| self.chosen(*g) == c).collect::<Vec<usize>>();
        let by_code: Vec<Vec<usize>> = (0..self.all.len()).map(those).collect();
        let pairs = by_code.iter().flat_map(|those| those.as_chunks::<2>().0).map(|pair| pair.to_vec());
        let single = by_code.iter().flat_map(|those| those.as_chunks::<2>().1).copied();
        let short = (!n.is_multiple_of(GROUP)).then_some(whole);
        pairs.chain(single.chain(short).map(|g| vec![g])).collect()
    }

    /// Groups of a plane of `n` elements that are decoded side by side, so many at a time.
    pub fn batches(&self, n: usize, side_by_side: usize) -> Vec<Vec<usize>> {
        let order: Vec<usize> = self.pairs(n).into_iter().flatten().collect();
        order.chunks(side_by_side).map(<[usize]>::to_vec).collect()
    }

    /// What decoders look up, by code.
    pub fn decoders(&self) -> Vec<C::Decoder> {
        self.all.iter().map(C::decoder).collect()
    }

    /// Appends them.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.all.len() as u8);
        self.all.iter().for_each(|code| code.write(out));
        out.extend(&self.chosen);
    }

    /// Reads those of a plane of so many groups.
    pub fn read(from: &mut Cursor<'_>, groups: usize) -> Result<Codes<C>> {
        let count = from.byte()? as usize;
        if count == 0 || count > MOST_CODES {
            return Err(bad(format_args!("a choice of {count} codes")));
        }
        let all = (0..count).map(|_| C::read(from)).collect::<Result<Vec<_>>>()?;
        let chosen = if count > 1 { from.take(groups)?.to_vec() } else { Vec::new() };
        match chosen.iter().find(|c| **c as usize >= count) {
            Some(c) => Err(bad(format_args!("code {c} of {count}"))),
            None => Ok(Codes { all, chosen }),
        }
    }

    /// Decodes the symbols of a batch of groups, each to where it belongs. Those without a code have to be put in place after that. `soon` is
    /// memory that will be needed then.
    pub fn decode(
        &self,
        tables: &[C::Decoder],
        batch: &[usize],
        streams: &[&[u8]],
        symbols: Vec<&mut [u8]>,
        soon: &mut Soon,
    ) -> Result<()> {
        let part = |(&g, out)| Part { table: &tables[self.chosen(g)], stream: streams[g], out };
        let parts = batch.iter().zip(symbols).map(part);
        C::decode(parts.collect(), soon).ok_or_else(|| bad("a stream does not decode"))
    }
}

/// Two groups with the same code decode faster than two without: of two codes with an odd number of groups, one gives the other the group
/// that loses least, unless it loses more than `most`.
fn make_even(of: &mut [u8], codes: usize, most: u64, cost: impl Fn(usize, usize) -> u64) {
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
        if let Some((_, g, to)) = moves.min().filter(|best| best.0 <= most) {
            of[g] = to as u8;
        }
    }
}

/// All counts together.
pub fn sum<'a>(groups: impl IntoIterator<Item = &'a [u32; 256]>) -> [u32; 256] {
    let mut total = [0u32; 256];
    for group in groups {
        total.iter_mut().zip(group).for_each(|(t, c)| *t += c);
    }
    total
}

/// Counts of `n` symbols, of as many together as `of` tells: of one in `one_of`. `fill` writes the symbols of a range of elements.
pub fn count(
    n: usize,
    of: usize,
    one_of: usize,
    fill: &mut dyn FnMut(Range<usize>, &mut [u8]),
) -> Vec<[u32; 256]> {
    let mut counts = vec![[0u32; 256]; n.div_ceil(of)];
    let stride = (one_of * PIECE).min(STRIDE);
    // All that are counted together are gathered first: counting has a price of its own, however few are counted.
    let (mut symbols, mut now) = (Vec::with_capacity(n.min(of) / one_of.max(1) + PIECE), 0);
    for piece in pieces(n, stride, stride / one_of) {
        if piece.start / of != now {
            histogram::bytes(&symbols, &mut counts[now]);
            symbols.clear();
            now = piece.start / of;
        }
        let known = symbols.len();
        symbols.resize(known + piece.len(), 0);
        fill(piece, &mut symbols[known..]);
    }
    if let Some(counts) = counts.get_mut(now) {
        histogram::bytes(&symbols, counts);
    }
    counts
}

/// The streams of all groups of a plane.
#[derive(Default)]
pub struct Streams {
    /// Streams stay where they were written, so that nothing is copied but to where it belongs.
    work: Vec<Work>,
    of: Vec<Place>,
    symbols: [[Vec<u8>; 2]; PAIRS],
}

/// Where a stream is: which of the groups that were encoded together, and its bytes.
#[derive(Clone, Copy, Default)]
struct Place {
    batch: usize,
    pair: usize,
    member: usize,
    len: usize,
}

impl Streams {
    /// Encodes a plane of `n` elements, some groups at a time, whose symbols `fill` writes. `codeless` gets the positions of symbols without
    /// a code, in order.
    pub fn encode<C: Code>(
        &mut self,
        codes: &Codes<C>,
        n: usize,
        fill: &mut dyn FnMut(Range<usize>, &mut [u8]),
        codeless: &mut Vec<u32>,
    ) {
        let groups = n.div_ceil(GROUP);
        let tables: Vec<C::Encoder> = codes.all.iter().map(C::encoder).collect();
        self.of.clear();
        self.of.resize(groups, Place::default());
        codeless.clear();
        self.symbols.iter_mut().flatten().for_each(|s| s.resize(GROUP, 0));
        let Streams { work, of, symbols } = self;
        for (batch, pairs) in codes.pairs(n).chunks(PAIRS).enumerate() {
            for (pair, symbols) in pairs.iter().zip(&mut *symbols) {
                for (g, symbols) in pair.iter().zip(symbols) {
                    let group = g * GROUP..n.min((g + 1) * GROUP);
                    fill(group.clone(), &mut symbols[..group.len()]);
                }
            }
            let given = std::array::from_fn(|p| {
                let Some(pair) = pairs.get(p) else { return Pair::none(&tables[0]) };
                let first = std::array::from_fn(|i| pair.get(i).map_or(0, |g| g * GROUP));
                let groups = std::array::from_fn(|i| match pair.get(i) {
                    Some(_) => &symbols[p][i][..(n - first[i]).min(GROUP)],
                    None => &[][..],
                });
                Pair { table: &tables[codes.chosen(pair[0])], groups, first: first.map(|f| f as u32) }
            });
            if work.len() == batch {
                work.push(Work::default());
            }
            let streams = C::encode(given, codeless, &mut work[batch]);
            for (pair, (those, streams)) in pairs.iter().zip(streams).enumerate() {
                for (member, (g, stream)) in those.iter().zip(streams).enumerate() {
                    of[*g] = Place { batch, pair, member, len: stream.len() };
                }
            }
        }
        // Made of runs that are in order.
        codeless.sort();
    }

    /// Of a group.
    pub fn get(&self, group: usize) -> &[u8] {
        let of =
            |place: &Place| self.work.get(place.batch)?.stream(place.pair, place.member).get(..place.len);
        self.of.get(group).and_then(of).unwrap_or(&[])
    }
}

//! Symbols to streams.

use super::{Frequencies, STATES};
use crate::cpu::Simd;
use crate::fields;
use crate::generic;
#[cfg(target_arch = "x86_64")]
use crate::x86_64;

/// What the encoder looks up: by value, and by the place of a state among those of its value.
pub struct Encoder {
    /// States from this one on give up `bits` bits, those below it one less.
    pub(crate) threshold: [u8; 256],
    /// The most bits that a state gives up before this value, 1 to 8; 0 for values without a code.
    pub(crate) bits: [u8; 256],
    /// The place of the first state of the value in `states`.
    pub(crate) begin: [u8; 256],
    /// What is added to a state without those bits, modulo 256, to find its place in `states`.
    pub(crate) offset: [u8; 256],
    /// The states, ordered by value.
    pub(crate) states: [u8; STATES],
    /// The most frequent value, which stands in for those without a code.
    pub(crate) stand_in: u8,
    /// The same by value less the first one, for vectors.
    pub(crate) places: Places,
}

/// Set in [`Places::bits`] for values without a code.
pub(crate) const MISSING: u8 = 128;

/// What vectors look up, by value less `first`, modulo 256; for values without a code what the one has that stands in.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) struct Places {
    /// Quarters of the tables that are used: 1, 2 or 4.
    pub(crate) quarters: usize,
    pub(crate) first: u8,
    /// The most bits that a state gives up, and [`MISSING`].
    pub(crate) bits: [u8; 256],
    pub(crate) threshold: [u8; 256],
    pub(crate) offset: [u8; 256],
}

impl Encoder {
    /// The tables of a code.
    pub fn new(frequencies: &Frequencies) -> Encoder {
        let of = frequencies.of();
        let mut e = Encoder {
            threshold: [0; 256],
            bits: [0; 256],
            begin: [0; 256],
            offset: [0; 256],
            states: [0; STATES],
            stand_in: 0,
            places: Places { quarters: 0, first: 0, bits: [0; 256], threshold: [0; 256], offset: [0; 256] },
        };
        let mut first = [0u16; 256];
        let mut sum = 0u16;
        for (value, &n) in of.iter().enumerate() {
            first[value] = sum;
            if n > 0 {
                // A state x from 256 to 511 gives up bits until it is below 2n, and then is not below n: 8 − ⌊log2 n⌋ of them if
                // x ≥ n · 2^that, else one less.
                let bits = (n.leading_zeros() + 1) as u8;
                e.bits[value] = bits;
                e.begin[value] = sum as u8;
                e.threshold[value] = ((n as u16) << bits) as u8;
                e.offset[value] = (sum as u8).wrapping_sub(n);
                if n > of[e.stand_in as usize] {
                    e.stand_in = value as u8;
                }
                sum += n as u16;
            }
        }
        for (state, value) in frequencies.spread().into_iter().enumerate() {
            let place = &mut first[value as usize];
            e.states[*place as usize] = state as u8;
            *place += 1;
        }
        e.places = e.find_places();
        e
    }

    fn find_places(&self) -> Places {
        let has = |value: &usize| self.bits[*value] > 0;
        let (first, last) = ((0..256).find(has).unwrap_or(0), (0..256).rfind(has).unwrap_or(255));
        // Their last value has no code, unless they have all values.
        let (first, quarters) = match last - first {
            0..63 => (first, 1),
            63..127 => (first, 2),
            _ => (0, 4),
        };
        let coded: [usize; 256] = std::array::from_fn(|i| self.coded((first + i) as u8) as usize);
        let missing = |i: usize| if coded[i] == (first + i) & 255 { 0 } else { MISSING };
        Places {
            quarters,
            first: first as u8,
            bits: std::array::from_fn(|i| self.bits[coded[i]] | missing(i)),
            threshold: coded.map(|coded| self.threshold[coded]),
            offset: coded.map(|coded| self.offset[coded]),
        }
    }

    /// The symbol, or the one that stands in for it.
    #[inline(always)]
    pub(crate) fn coded(&self, symbol: u8) -> u8 {
        if self.bits[symbol as usize] == 0 { self.stand_in } else { symbol }
    }
}

/// Two groups with one code, which share registers; the second one may be empty.
pub struct Pair<'a, E> {
    /// What is looked up.
    pub table: &'a E,
    /// Symbols, at most 32,768 each, or the elements that have them.
    pub groups: [&'a [u8]; 2],
    /// The positions of the groups' first symbols.
    pub first: [u32; 2],
}

impl<E> Clone for Pair<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Pair<'_, E> {}

impl<'a, E> Pair<'a, E> {
    /// No groups, where there is but one pair.
    pub fn none(table: &'a E) -> Pair<'a, E> {
        Pair { table, groups: [&[]; 2], first: [0; 2] }
    }
}

/// Pairs that are encoded side by side.
pub const PAIRS: usize = 2;

/// Where the streams of pairs go.
#[cfg(target_arch = "x86_64")]
type Streams<'w> = [[&'w mut [u8]; 2]; PAIRS];

/// Memory to reuse from group to group.
#[derive(Default)]
pub struct Work {
    streams: [[Vec<u8>; 2]; PAIRS],
    symbols: [Vec<u8>; 2],
    /// Symbols without a code, by row.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    missing: [Vec<u64>; PAIRS],
}

fn at_least<T: Clone + Default>(v: &mut Vec<T>, n: usize) -> &mut [T] {
    if v.len() < n {
        v.resize(n, T::default());
    }
    &mut v[..n]
}

impl Work {
    /// Memory for the streams of one of the pairs, of at most so many bytes.
    pub(crate) fn streams(&mut self, pair: usize, rooms: [usize; 2]) -> [&mut [u8]; 2] {
        let [one, other] = &mut self.streams[pair];
        [at_least(one, rooms[0]), at_least(other, rooms[1])]
    }

    /// The same for all of them, and memory for what is missing.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn all(&mut self, rooms: [[usize; 2]; PAIRS]) -> (Streams<'_>, &mut [Vec<u64>; PAIRS]) {
        let mut rooms = rooms.into_iter().flatten();
        let streams = self.streams.each_mut();
        let streams = streams.map(|two| two.each_mut().map(|s| at_least(s, rooms.next().unwrap_or(0))));
        (streams, &mut self.missing)
    }

    /// Encodes pair by pair what takes `room` bytes at most.
    pub(crate) fn each<E>(
        &mut self,
        pairs: [Pair<'_, E>; PAIRS],
        room: impl Fn(usize) -> usize,
        mut encode: impl FnMut(&Pair<'_, E>, [&mut [u8]; 2]) -> [usize; 2],
    ) -> [[&[u8]; 2]; PAIRS] {
        let mut sizes = [[0; 2]; PAIRS];
        for (p, pair) in pairs.iter().enumerate() {
            sizes[p] = encode(pair, self.streams(p, pair.groups.map(|g| room(g.len()))));
        }
        self.written(sizes)
    }

    /// The memory of a stream of the groups that were encoded last, which begins with the stream: where it stays until others are encoded here.
    pub fn stream(&self, pair: usize, member: usize) -> &[u8] {
        &self.streams[pair][member]
    }

    /// The first so many bytes of them.
    pub(crate) fn written(&self, sizes: [[usize; 2]; PAIRS]) -> [[&[u8]; 2]; PAIRS] {
        std::array::from_fn(|p| std::array::from_fn(|i| &self.streams[p][i][..sizes[p][i]]))
    }
}

/// Encodes the groups of two pairs (the second pair may have none) and gives their streams. Symbols without a code are written as another one;
/// their positions are appended to `misses`, in no order.
pub fn encode<'w>(
    pairs: [Pair<'_, Encoder>; PAIRS],
    misses: &mut Vec<u32>,
    work: &'w mut Work,
) -> [[&'w [u8]; 2]; PAIRS] {
    encode_on(crate::cpu::simd(), pairs, misses, work)
}

/// The same on the given instruction set.
pub fn encode_on<'w>(
    simd: Simd,
    pairs: [Pair<'_, Encoder>; PAIRS],
    misses: &mut Vec<u32>,
    work: &'w mut Work,
) -> [[&'w [u8]; 2]; PAIRS] {
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        let (out, missing) = work.all(pairs.map(|pair| pair.groups.map(|g| super::room(g.len()))));
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        let sizes = unsafe {
            x86_64::lanes_encode_avx512::encode::<false>(pairs, Default::default(), misses, out, missing)
        };
        return work.written(sizes);
    }
    work.each(pairs, super::room, |pair, out| encode_pair(simd, pair, misses, out))
}

/// The same for elements of bf16, whose exponents are the symbols; what is left of them goes to `rests`, a byte each. The lengths of `rests`
/// tell the numbers of elements; no group may have fewer.
pub fn encode_bf16<'w>(
    pairs: [Pair<'_, Encoder>; PAIRS],
    rests: [[&mut [u8]; 2]; PAIRS],
    misses: &mut Vec<u32>,
    work: &'w mut Work,
) -> [[&'w [u8]; 2]; PAIRS] {
    encode_bf16_on(crate::cpu::simd(), pairs, rests, misses, work)
}

/// The same on the given instruction set.
pub fn encode_bf16_on<'w>(
    simd: Simd,
    mut pairs: [Pair<'_, Encoder>; PAIRS],
    rests: [[&mut [u8]; 2]; PAIRS],
    misses: &mut Vec<u32>,
    work: &'w mut Work,
) -> [[&'w [u8]; 2]; PAIRS] {
    for (pair, rests) in pairs.iter_mut().zip(&rests) {
        for (group, rests) in pair.groups.iter_mut().zip(rests) {
            *group = &group[..2 * rests.len().min(group.len() / 2)];
        }
    }
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        let (out, missing) = work.all(pairs.map(|pair| pair.groups.map(|g| super::room(g.len() / 2))));
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        let sizes =
            unsafe { x86_64::lanes_encode_avx512::encode::<true>(pairs, rests, misses, out, missing) };
        return work.written(sizes);
    }
    let mut sizes = [[0; 2]; PAIRS];
    for (p, (pair, rests)) in pairs.into_iter().zip(rests).enumerate() {
        let elements = pair.groups.map(|g| g.len() / 2);
        let mut symbols = std::mem::take(&mut work.symbols);
        for (((group, n), symbols), rests) in
            pair.groups.into_iter().zip(elements).zip(&mut symbols).zip(rests)
        {
            fields::split_bytes_on(simd, &super::BF16, group, at_least(symbols, n), rests);
        }
        let groups = [&symbols[0][..elements[0]], &symbols[1][..elements[1]]];
        let out = work.streams(p, elements.map(super::room));
        sizes[p] = encode_pair(simd, &Pair { groups, ..pair }, misses, out);
        work.symbols = symbols;
    }
    work.written(sizes)
}

/// Both have room for their streams, whose sizes are given.
fn encode_pair(
    simd: Simd,
    pair: &Pair<'_, Encoder>,
    misses: &mut Vec<u32>,
    out: [&mut [u8]; 2],
) -> [usize; 2] {
    let &Pair { table, groups, first } = pair;
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx2 && simd.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        return unsafe { x86_64::lanes_avx2::encode(table, groups, first, misses, out) };
    }
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    if simd == Simd::Neon {
        // SAFETY: NEON is part of the target.
        return unsafe { crate::aarch64::lanes_neon::encode(table, groups, first, misses, out) };
    }
    let _ = simd;
    let [one, other] = out;
    [
        generic::lanes::encode(table, groups[0], first[0], misses, one),
        generic::lanes::encode(table, groups[1], first[1], misses, other),
    ]
}

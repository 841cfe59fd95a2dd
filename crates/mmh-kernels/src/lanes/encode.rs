//! Symbols to streams.

use super::{Frequencies, STATES};
use crate::cpu::Simd;
use crate::fields;
use crate::generic;

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
    /// One bit less than the most that a state gives up, and [`MISSING`].
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
        let (first, quarters) = match last - first {
            0..64 => (first, 1),
            64..128 => (first, 2),
            _ => (0, 4),
        };
        let coded: [usize; 256] = std::array::from_fn(|i| self.coded((first + i) as u8) as usize);
        let missing = |i: usize| if coded[i] == (first + i) & 255 { 0 } else { MISSING };
        Places {
            quarters,
            first: first as u8,
            bits: std::array::from_fn(|i| self.bits[coded[i]].wrapping_sub(1) & 7 | missing(i)),
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

/// Memory to reuse from group to group.
#[derive(Default)]
pub struct Work {
    streams: [Vec<u8>; 2],
    symbols: [Vec<u8>; 2],
    missing: Vec<u64>,
}

fn at_least<T: Clone + Default>(v: &mut Vec<T>, n: usize) -> &mut [T] {
    if v.len() < n {
        v.resize(n, T::default());
    }
    &mut v[..n]
}

impl Work {
    /// Memory for two streams of at most so many bytes.
    pub(crate) fn streams(&mut self, rooms: [usize; 2]) -> &mut [Vec<u8>; 2] {
        for (stream, room) in self.streams.iter_mut().zip(rooms) {
            at_least(stream, room);
        }
        &mut self.streams
    }
}

/// Encodes one or two groups (the second may be empty) of at most 32,768 symbols and gives their streams. Symbols without a code are
/// written as another one; their positions, of which the groups' first are given, are appended to `misses`, in no order.
pub fn encode<'w>(
    table: &Encoder,
    groups: [&[u8]; 2],
    first: [u32; 2],
    misses: &mut Vec<u32>,
    work: &'w mut Work,
) -> [&'w [u8]; 2] {
    encode_on(crate::cpu::simd(), table, groups, first, misses, work)
}

/// The same on the given instruction set.
pub fn encode_on<'w>(
    simd: Simd,
    table: &Encoder,
    groups: [&[u8]; 2],
    first: [u32; 2],
    misses: &mut Vec<u32>,
    work: &'w mut Work,
) -> [&'w [u8]; 2] {
    let Work { streams: [one, other], missing, .. } = work;
    let (one, other) =
        (at_least(one, super::room(groups[0].len())), at_least(other, super::room(groups[1].len())));
    let sizes = encode_into(simd, table, groups, first, misses, [&mut *one, &mut *other], missing);
    [&one[..sizes[0]], &other[..sizes[1]]]
}

/// The same for elements of bf16, whose exponents are the symbols; what is left of them goes to `rests`, a byte each. The lengths of `rests`
/// tell the numbers of elements; no group may have fewer.
pub fn encode_bf16<'w>(
    table: &Encoder,
    groups: [&[u8]; 2],
    rests: [&mut [u8]; 2],
    first: [u32; 2],
    misses: &mut Vec<u32>,
    work: &'w mut Work,
) -> [&'w [u8]; 2] {
    encode_bf16_on(crate::cpu::simd(), table, groups, rests, first, misses, work)
}

/// The same on the given instruction set.
pub fn encode_bf16_on<'w>(
    simd: Simd,
    table: &Encoder,
    groups: [&[u8]; 2],
    rests: [&mut [u8]; 2],
    first: [u32; 2],
    misses: &mut Vec<u32>,
    work: &'w mut Work,
) -> [&'w [u8]; 2] {
    let elements = [0, 1].map(|i| rests[i].len().min(groups[i].len() / 2));
    let groups = [&groups[0][..2 * elements[0]], &groups[1][..2 * elements[1]]];
    let Work { streams: [one, other], symbols, missing } = work;
    let (one, other) = (at_least(one, super::room(elements[0])), at_least(other, super::room(elements[1])));
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        let out = [&mut *one, &mut *other];
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        let sizes = unsafe {
            crate::x86_64::lanes_encode_avx512::encode::<true>(
                table, groups, rests, first, misses, out, missing,
            )
        };
        return [&one[..sizes[0]], &other[..sizes[1]]];
    }
    let [a, b] = symbols;
    let symbols = [at_least(a, elements[0]), at_least(b, elements[1])];
    for ((group, symbols), rests) in groups.into_iter().zip(symbols).zip(rests) {
        fields::split_bytes_on(simd, &super::BF16, group, symbols, rests);
    }
    let symbols = [&a[..elements[0]], &b[..elements[1]]];
    let sizes = encode_into(simd, table, symbols, first, misses, [&mut *one, &mut *other], missing);
    [&one[..sizes[0]], &other[..sizes[1]]]
}

/// Both have room for their streams, whose sizes are given.
fn encode_into(
    simd: Simd,
    table: &Encoder,
    groups: [&[u8]; 2],
    first: [u32; 2],
    misses: &mut Vec<u32>,
    out: [&mut [u8]; 2],
    missing: &mut Vec<u64>,
) -> [usize; 2] {
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        let none = [&mut [][..], &mut [][..]];
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        return unsafe {
            crate::x86_64::lanes_encode_avx512::encode::<false>(
                table, groups, none, first, misses, out, missing,
            )
        };
    }
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx2 && simd.is_available() {
        // SAFETY: as above.
        return unsafe { crate::x86_64::lanes_avx2::encode(table, groups, first, misses, out) };
    }
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    if simd == Simd::Neon {
        // SAFETY: NEON is part of the target.
        return unsafe { crate::aarch64::lanes_neon::encode(table, groups, first, misses, out) };
    }
    let _ = (simd, missing);
    let [one, other] = out;
    [
        generic::lanes::encode(table, groups[0], first[0], misses, one),
        generic::lanes::encode(table, groups[1], first[1], misses, other),
    ]
}

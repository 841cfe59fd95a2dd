//! Streams to symbols.

use super::{Frequencies, LANES, STATES};
use crate::cpu::Simd;
use crate::fields::{self, FieldSpec};
use crate::generic;
use crate::memory::Soon;

/// What the decoder looks up, by state.
#[repr(C, align(64))]
pub struct Decoder {
    /// The value that the state stands for.
    pub(crate) value: [u8; STATES],
    /// How many bits the next state takes.
    pub(crate) bits: [u8; STATES],
    /// The bits of the next state above those, modulo 256.
    pub(crate) above: [u8; STATES],
}

impl Decoder {
    /// The tables of a code.
    pub fn new(frequencies: &Frequencies) -> Decoder {
        let value = frequencies.spread();
        let mut next = frequencies.of().map(u16::from);
        let (mut bits, mut above) = ([0; STATES], [0; STATES]);
        for (state, value) in value.iter().enumerate() {
            let n = &mut next[*value as usize];
            bits[state] = (n.leading_zeros() as u8).saturating_sub(7);
            above[state] = *n as u8;
            *n += 1;
        }
        Decoder { value, bits, above }
    }
}

/// A group to decode: its code, its stream, and where its elements go.
pub struct Group<'a> {
    /// Groups decode fastest where each two in a row have the same one.
    pub table: &'a Decoder,
    /// All of its bytes.
    pub stream: &'a [u8],
    /// The rests of its elements, a byte each, for [`decode_bf16`]; empty for [`decode`].
    pub rest: &'a [u8],
    /// For [`decode`] a byte a symbol; for [`decode_bf16`] two bytes an element.
    pub out: &'a mut [u8],
}

impl Group<'_> {
    /// Whether the lanes that have none of so many elements have state 0. Their bits are checked with those of the others.
    fn idle_lanes_are_zero(&self, elements: usize) -> bool {
        let states = self.stream.last_chunk::<LANES>().and_then(|states| states.get(elements..));
        states.is_none_or(|idle| idle.iter().all(|state| *state == 0))
    }

    /// How many elements it has.
    pub(crate) fn elements<const MERGE: bool>(&self) -> usize {
        if MERGE { self.rest.len() } else { self.out.len() }
    }
}

/// How bf16 is split.
pub(crate) const BF16: FieldSpec =
    FieldSpec { width: 1, sign_moved: true, zigzag: false, t: 8, drop: 0, base: 0 };

/// Decodes groups into bytes, several side by side. `None` if a stream does not end where and as it should.
pub fn decode(groups: &mut [Group<'_>]) -> Option<()> {
    decode_on(crate::cpu::simd(), groups)
}

/// The same on the given instruction set.
pub fn decode_on(simd: Simd, groups: &mut [Group<'_>]) -> Option<()> {
    if !groups.iter().all(|g| g.idle_lanes_are_zero(g.out.len())) {
        return None;
    }
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        return unsafe {
            crate::x86_64::lanes_avx512::decode::<false>(groups, None, &[], &mut Soon::default())
        };
    }
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx2 && simd.is_available() {
        // SAFETY: as above.
        return unsafe { crate::x86_64::lanes_avx2::decode::<false>(groups) };
    }
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    if simd == Simd::Neon {
        // SAFETY: NEON is part of the target.
        return unsafe { crate::aarch64::lanes_neon::decode::<false>(groups) };
    }
    let _ = simd;
    groups.iter_mut().try_for_each(|g| generic::lanes::decode(g.table, g.stream, g.out))
}

/// The same as [`decode`], while memory is asked for that what is decoded will be joined with.
pub fn decode_and_ask(groups: &mut [Group<'_>], soon: &mut Soon) -> Option<()> {
    #[cfg(target_arch = "x86_64")]
    if crate::cpu::simd() == Simd::Avx512 && Simd::Avx512.is_available() {
        if !groups.iter().all(|g| g.idle_lanes_are_zero(g.out.len())) {
            return None;
        }
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        return unsafe { crate::x86_64::lanes_avx512::decode::<false>(groups, None, &[], soon) };
    }
    soon.ask_for_all();
    decode(groups)
}

/// Decodes groups into bytes and hands them on piece by piece, while they are in the cache: `take` gets the position of the group, of
/// the first element, and the symbols; a group's pieces come in order. Where `take` makes elements of two bytes of them, `soon` says where those
/// of each group begin: the memory is asked for while symbols are decoded, and not touched. What the groups' `out` holds in the end is
/// not said. `None` as for [`decode`], maybe after some pieces.
pub fn decode_pieces(
    groups: &mut [Group<'_>],
    soon: &[*const u8],
    take: &mut dyn FnMut(usize, usize, &mut [u8]),
) -> Option<()> {
    decode_pieces_on(crate::cpu::simd(), groups, soon, take)
}

/// The same on the given instruction set.
pub fn decode_pieces_on(
    simd: Simd,
    groups: &mut [Group<'_>],
    soon: &[*const u8],
    take: &mut dyn FnMut(usize, usize, &mut [u8]),
) -> Option<()> {
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        if !groups.iter().all(|g| g.idle_lanes_are_zero(g.out.len())) {
            return None;
        }
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        return unsafe {
            crate::x86_64::lanes_avx512::decode::<false>(groups, Some(take), soon, &mut Soon::default())
        };
    }
    // Others do not ask.
    let _ = soon;
    decode_on(simd, groups)?;
    groups.iter_mut().enumerate().for_each(|(i, g)| take(i, 0, g.out));
    Some(())
}

/// Decodes groups of bf16 whose symbols are the exponents and whose rests are sign and mantissa, and joins the two.
/// `scratch` is memory to reuse. `None` as for [`decode`], and if `out` and `rest` do not have the same number of elements.
pub fn decode_bf16(groups: &mut [Group<'_>], scratch: &mut Vec<u8>) -> Option<()> {
    decode_bf16_on(crate::cpu::simd(), groups, scratch)
}

/// The same on the given instruction set.
pub fn decode_bf16_on(simd: Simd, groups: &mut [Group<'_>], scratch: &mut Vec<u8>) -> Option<()> {
    if !groups.iter().all(|g| g.out.len() == 2 * g.rest.len() && g.idle_lanes_are_zero(g.rest.len())) {
        return None;
    }
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        return unsafe {
            crate::x86_64::lanes_avx512::decode::<true>(groups, None, &[], &mut Soon::default())
        };
    }
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx2 && simd.is_available() {
        // SAFETY: as above.
        return unsafe { crate::x86_64::lanes_avx2::decode::<true>(groups) };
    }
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    if simd == Simd::Neon {
        // SAFETY: NEON is part of the target.
        return unsafe { crate::aarch64::lanes_neon::decode::<true>(groups) };
    }
    for g in groups {
        if scratch.len() < g.rest.len() {
            scratch.resize(g.rest.len(), 0);
        }
        let symbols = &mut scratch[..g.rest.len()];
        decode_on(simd, &mut [Group { table: g.table, stream: g.stream, rest: &[], out: symbols }])?;
        fields::merge_bytes_on(simd, &BF16, symbols, g.rest, g.out);
    }
    Some(())
}

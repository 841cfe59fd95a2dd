//! Streams to symbols.

#[cfg(target_arch = "x86_64")]
use super::narrow::Narrow;
use super::{Frequencies, TOTAL};
use crate::cpu::Simd;
use crate::generic;
use crate::memory::Soon;

/// For each slot: symbol, its frequency << 8, the slot's place among the symbol's << 20.
pub(crate) type Table = [u32; TOTAL as usize];

/// What the decoder looks up.
pub struct Decoder {
    pub(crate) table: Box<Table>,
    /// What serves instead where a code has few values.
    #[cfg(target_arch = "x86_64")]
    pub(crate) narrow: Option<Box<Narrow>>,
}

impl Decoder {
    /// Whether its code has so few values that twice as many groups as of others are decoded side by side here.
    pub fn is_narrow(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        if crate::cpu::simd() == Simd::Avx512 && Simd::Avx512.is_available() {
            return self.narrow.is_some();
        }
        false
    }

    /// The table of a code, which has no escape.
    pub fn new(frequencies: &Frequencies) -> Decoder {
        let mut table = Box::new([0; TOTAL as usize]);
        let mut slots = table.iter_mut();
        for symbol in 0..=255u8 {
            let f = frequencies.of(symbol) as u32;
            // Frequency 4096 does not occur, as a table has at least two entries.
            let entry = symbol as u32 | f << 8;
            slots.by_ref().zip((0..f).map(|place| entry | place << 20)).for_each(|(slot, e)| *slot = e);
        }
        Decoder {
            table,
            #[cfg(target_arch = "x86_64")]
            narrow: Narrow::new(frequencies),
        }
    }
}

/// A group to decode: its code, its stream, and where its symbols go.
pub struct Group<'a> {
    /// Its own; groups that are decoded side by side are fastest where they have the same one.
    pub table: &'a Decoder,
    /// All of its bytes.
    pub stream: &'a [u8],
    /// A byte a symbol.
    pub out: &'a mut [u8],
}

/// Decodes groups, several side by side. `None` if a stream does not end where and as it should.
pub fn decode(groups: &mut [Group<'_>]) -> Option<()> {
    decode_on(crate::cpu::simd(), groups)
}

/// The same, while memory is asked for that what is decoded will be joined with.
pub fn decode_and_ask(groups: &mut [Group<'_>], soon: &mut Soon) -> Option<()> {
    #[cfg(target_arch = "x86_64")]
    if crate::cpu::simd() == Simd::Avx512 && Simd::Avx512.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        return unsafe { crate::x86_64::rans_avx512::decode(groups, soon) };
    }
    soon.ask_for_all();
    decode(groups)
}

/// The same on the given instruction set.
pub fn decode_on(simd: Simd, groups: &mut [Group<'_>]) -> Option<()> {
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        return unsafe { crate::x86_64::rans_avx512::decode(groups, &mut Soon::default()) };
    }
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx2 && simd.is_available() {
        // SAFETY: as above.
        return unsafe { crate::x86_64::rans_avx2::decode(groups) };
    }
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    if simd == Simd::Neon {
        // SAFETY: every aarch64 has it.
        return unsafe { crate::aarch64::rans_neon::decode(groups) };
    }
    let _ = simd;
    groups.iter_mut().try_for_each(|g| generic::rans::decode(&g.table.table, g.stream, g.out))
}

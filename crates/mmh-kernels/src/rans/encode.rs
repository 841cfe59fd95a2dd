//! Symbols to streams.

use super::{Frequencies, PROBABILITY_BITS, TOTAL};
use crate::cpu::Simd;
use crate::generic;
use crate::lanes::Work;

/// What coding a symbol takes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Entry {
    /// 2^44 over the frequency, rounded up: a state below 2^20 times the frequency, multiplied by it, gives the exact quotient.
    pub(crate) reciprocal: u64,
    pub(crate) frequency: u16,
    /// What the frequency lacks of 4096.
    pub(crate) others: u16,
    /// The first slot of the symbol.
    pub(crate) start: u16,
    /// Whether these are of another symbol, because this one has no frequency.
    pub(crate) missing: u16,
}

/// What the encoder looks up, by symbol. Those without a frequency have the entry of the most frequent one.
pub struct Encoder {
    pub(crate) entries: [Entry; 256],
    /// The frequency's low byte, its high one with bit 7 set where the symbol has none, the first slot's low and high byte.
    pub(crate) bytes: [[u8; 256]; 4],
}

/// Fractional bits of the reciprocals.
pub(crate) const RECIPROCAL_BITS: u32 = 32 + PROBABILITY_BITS;

/// Marks a symbol without a frequency.
pub(crate) const MISSING: u8 = 0x80;

impl Encoder {
    /// The tables of a code, which has no escape.
    pub fn new(frequencies: &Frequencies) -> Encoder {
        let mut entries = [Entry::default(); 256];
        let mut start = 0;
        for (symbol, entry) in entries.iter_mut().enumerate() {
            let frequency = frequencies.of(symbol as u8);
            let reciprocal = (1u64 << RECIPROCAL_BITS).div_ceil(frequency.max(1) as u64);
            *entry = Entry { reciprocal, frequency, others: TOTAL as u16 - frequency, start, missing: 0 };
            start += frequency;
        }
        let stand_in = entries.iter().copied().max_by_key(|e| e.frequency).unwrap_or_default();
        let mut bytes = [[0; 256]; 4];
        for (symbol, entry) in entries.iter_mut().enumerate() {
            let missing = entry.frequency == 0;
            *entry = if missing { Entry { missing: 1, ..stand_in } } else { *entry };
            let ([f, high_f], [s, high_s]) = (entry.frequency.to_le_bytes(), entry.start.to_le_bytes());
            let marked = high_f | if missing { MISSING } else { 0 };
            bytes.iter_mut().zip([f, marked, s, high_s]).for_each(|(table, byte)| table[symbol] = byte);
        }
        Encoder { entries, bytes }
    }
}

/// Encodes one or two groups (the second may be empty) of at most 32,768 symbols and gives their streams. Coded symbols without a frequency
/// are written as another one; their positions, of which the groups' first are given, are appended to `misses`, in no order.
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
    let [one, other] = work.streams(groups.map(|symbols| super::room(symbols.len())));
    #[cfg(target_arch = "x86_64")]
    if simd == Simd::Avx512 && simd.is_available() {
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        let sizes = unsafe {
            crate::x86_64::rans_avx512::encode(table, groups, first, misses, [&mut *one, &mut *other])
        };
        return [&one[..sizes[0]], &other[..sizes[1]]];
    }
    let _ = simd;
    let a = generic::rans::encode(table, groups[0], first[0], misses, one);
    let b = generic::rans::encode(table, groups[1], first[1], misses, other);
    [&one[..a], &other[..b]]
}

//! Symbols to streams.

use super::{Frequencies, PROBABILITY_BITS, TOTAL};
use crate::cpu::Simd;
use crate::generic;
use crate::lanes::{PAIRS, Pair, Work};
#[cfg(target_arch = "x86_64")]
use crate::x86_64;

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
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(crate) places: Places,
    /// The reciprocal, 2^(31 + n) over the frequency, rounded down, where 2^n is not below it and n at least 1; and above it the frequency,
    /// n − 1 << [`FREQUENCY_BITS`], the first slot << [`START_AT`], and [`MISSING_BIT`] where the symbol has none.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(crate) packed: [u64; 256],
}

/// What vectors look up, by symbol less `first`, modulo 256.
pub(crate) struct Places {
    /// Quarters of the tables that are used: 1, 2 or 4.
    pub(crate) quarters: usize,
    pub(crate) first: u8,
    /// The frequency's low byte, its high one with bit 7 set where the symbol has none, the first slot's low and high byte.
    pub(crate) bytes: [[u8; 256]; 4],
}

impl Places {
    fn new(entries: &[Entry; 256]) -> Places {
        let has = |entry: &Entry| entry.missing == 0;
        let window =
            (entries.iter().position(has).unwrap_or(0), entries.iter().rposition(has).unwrap_or(255));
        // The last symbol of a part has no frequency: those that are outside are taken for it.
        let (first, quarters) = match window.1 - window.0 {
            0..63 => (window.0, 1),
            63..127 => (window.0, 2),
            _ => (0, 4),
        };
        let mut bytes = [[0; 256]; 4];
        for i in 0..256 {
            let entry = &entries[(first + i) % 256];
            let ([f, high_f], [s, high_s]) = (entry.frequency.to_le_bytes(), entry.start.to_le_bytes());
            let marked = high_f | if has(entry) { 0 } else { MISSING };
            bytes.iter_mut().zip([f, marked, s, high_s]).for_each(|(table, byte)| table[i] = byte);
        }
        Places { quarters, first: first as u8, bytes }
    }
}

/// Fractional bits of the reciprocals.
pub(crate) const RECIPROCAL_BITS: u32 = 32 + PROBABILITY_BITS;

/// Where the parts of a packed entry begin.
pub(crate) const FREQUENCY_BITS: u32 = PROBABILITY_BITS;
pub(crate) const START_AT: u32 = FREQUENCY_BITS + 4;
pub(crate) const MISSING_BIT: u32 = 1 << (START_AT + PROBABILITY_BITS);

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
        let mut packed = [0; 256];
        for (entry, packed) in entries.iter_mut().zip(&mut packed) {
            if entry.frequency == 0 {
                *entry = Entry { missing: 1, ..stand_in };
            }
            *packed = pack(entry);
        }
        let places = Places::new(&entries);
        Encoder { entries, places, packed }
    }
}

fn pack(entry: &Entry) -> u64 {
    let f = entry.frequency.max(1) as u32;
    let n = f.next_power_of_two().trailing_zeros().max(1);
    // That of 1 is one too small, which costs the quotient what is added again.
    let reciprocal = ((1u64 << (31 + n)) / f as u64).min(u32::MAX as u64);
    let missing = if entry.missing == 0 { 0 } else { MISSING_BIT };
    let others = f | (n - 1) << FREQUENCY_BITS | (entry.start as u32) << START_AT | missing;
    reciprocal | (others as u64) << 32
}

/// Encodes the groups of two pairs (the second pair may have none) and gives their streams. Coded symbols without a frequency are written as
/// another one; their positions are appended to `misses`, in no order.
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
        let (out, _) = work.all(pairs.map(|pair| pair.groups.map(|symbols| super::room(symbols.len()))));
        // SAFETY: `is_available` has just seen every feature that the function is compiled with.
        let sizes = unsafe { x86_64::rans_avx512::encode(pairs, misses, out) };
        return work.written(sizes);
    }
    work.each(pairs, super::room, |pair, out| encode_pair(simd, pair, misses, out))
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
        return unsafe { x86_64::rans_encode_avx2::encode(table, groups, first, misses, out) };
    }
    let _ = simd;
    let [one, other] = out;
    [
        generic::rans::encode(table, groups[0], first[0], misses, one),
        generic::rans::encode(table, groups[1], first[1], misses, other),
    ]
}

//! The code of exact frequencies for 16 lanes (`tensor`, mode 5).

use super::bits::{BitReader, BitWriter};
use super::code::{Code, Part};
use super::entropy::{self, log2};
use super::{CODELESS_BITS, bad};
use crate::codec::cursor::Cursor;
use crate::error::Result;
use mmh_kernels::lanes::{PAIRS, Pair, Work};
use mmh_kernels::memory::Soon;
use mmh_kernels::rans::{self, Decoder, Encoder, Frequencies, Group, TOTAL};

/// Weights that tell the frequencies of the values from the first one on.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    first: u8,
    weights: Vec<u8>,
    frequencies: Frequencies,
}

/// The largest weight.
const LARGEST: u8 = 127;

/// By giving a value a slot, the others lengthen by log2(4096 / 4095) bits, which is one in so many.
const SLOTS_IN_A_BIT: u64 = 2839;

impl Table {
    fn new(first: u8, weights: Vec<u8>) -> Option<Table> {
        let frequencies = Frequencies::from_weights(first, &weights, 0)?;
        Some(Table { first, weights, frequencies })
    }
}

impl Code for Table {
    type Encoder = Encoder;
    type Decoder = Decoder;

    const PAIR_LOSES: u64 = 2000;

    /// A value so rare that a slot of its own would lengthen the codes of the others by more than it would cost without a code gets none.
    fn for_counts(counts: &[u32; 256]) -> Option<Table> {
        let all: u64 = counts.iter().map(|c| *c as u64).sum();
        let kept = counts.map(|c| if c as u64 * CODELESS_BITS * SLOTS_IN_A_BIT >= all { c } else { 0 });
        let sum: u64 = kept.iter().map(|c| *c as u64).sum();
        // What a frequency has more than the slot that it has by itself, in units of 2^-16 slots.
        let more = |c: u32| {
            let share = (c as u64 * ((TOTAL as u64) << 16)) / sum.max(1);
            share.saturating_sub(1 << 16).clamp(1, u32::MAX as u64) as u32
        };
        let most = log2(more(*kept.iter().max()?));
        let weight = |c: u32| match c {
            0 => 0,
            c => LARGEST - ((8 * (most - log2(more(c))) + (1 << 15)) >> 16).min(LARGEST as u64 - 1) as u8,
        };
        let mut weights = kept.map(weight);
        let (mut first, mut last) =
            (weights.iter().position(|w| *w > 0)?, weights.iter().rposition(|w| *w > 0)?);
        if first == last {
            // A table has two entries at least.
            (first, last) = if last < 255 { (first, last + 1) } else { (first - 1, last) };
            weights[first..=last].iter_mut().for_each(|w| *w = (*w).max(1));
        }
        Table::new(first as u8, weights[first..=last].to_vec())
    }

    fn lengths(&self) -> [u32; 256] {
        entropy::lengths_of(rans::PROBABILITY_BITS, |s| self.frequencies.of(s) as u32, CODELESS_BITS as u32)
    }

    fn has(&self, symbol: u8) -> bool {
        self.frequencies.of(symbol) > 0
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend([self.first, (self.first as usize + self.weights.len() - 1) as u8]);
        let mut bits = BitWriter::new(out);
        bits.put_weights(&self.weights);
        bits.finish();
    }

    fn read(from: &mut Cursor<'_>) -> Result<Table> {
        let (first, last) = (from.byte()?, from.byte()?);
        let mut bits = BitReader::new(from.0);
        let table = (last as usize + 1)
            .checked_sub(first as usize)
            .filter(|count| *count > 0)
            .and_then(|count| Table::new(first, bits.take_weights(count)?));
        let table = table.ok_or_else(|| bad("malformed weights"))?;
        let size = bits.finish().ok_or_else(|| bad("weights do not end where they should"))?;
        from.take(size)?;
        Ok(table)
    }

    fn encoder(&self) -> Encoder {
        Encoder::new(&self.frequencies)
    }

    fn decoder(&self) -> Decoder {
        Decoder::new(&self.frequencies)
    }

    fn encode<'w>(
        pairs: [Pair<'_, Encoder>; PAIRS],
        codeless: &mut Vec<u32>,
        work: &'w mut Work,
    ) -> [[&'w [u8]; 2]; PAIRS] {
        rans::encode(pairs, codeless, work)
    }

    fn decode(groups: Vec<Part<'_, Table>>, soon: &mut Soon) -> Option<()> {
        let group = |p| {
            let Part { table, stream, out } = p;
            Group { table, stream, out }
        };
        rans::decode_and_ask(&mut groups.into_iter().map(group).collect::<Vec<_>>(), soon)
    }
}

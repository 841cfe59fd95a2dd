//! The code of 256 states for 32 lanes (`tensor`, mode 3).

use super::code::{Code, Part};
use super::{CODELESS_BITS, bad, entropy};
use crate::codec::cursor::Cursor;
use crate::error::Result;
use mmh_kernels::lanes::{self, Decoder, Encoder, Frequencies, Group, PAIRS, Pair, Work};
use mmh_kernels::memory::Soon;

impl Code for Frequencies {
    type Encoder = Encoder;
    type Decoder = Decoder;

    const PAIR_LOSES: u64 = 0;

    fn for_counts(counts: &[u32; 256]) -> Option<Frequencies> {
        Frequencies::for_counts(counts, CODELESS_BITS)
    }

    fn lengths(&self) -> [u32; 256] {
        entropy::lengths_of(8, |s| self.of()[s as usize] as u32, CODELESS_BITS as u32)
    }

    fn has(&self, symbol: u8) -> bool {
        self.of()[symbol as usize] > 0
    }

    fn write(&self, out: &mut Vec<u8>) {
        Frequencies::write(self, out);
    }

    fn read(from: &mut Cursor<'_>) -> Result<Frequencies> {
        let (frequencies, size) = Frequencies::read(from.0).ok_or_else(|| bad("malformed frequencies"))?;
        from.take(size)?;
        Ok(frequencies)
    }

    fn encoder(&self) -> Encoder {
        Encoder::new(self)
    }

    fn decoder(&self) -> Decoder {
        Decoder::new(self)
    }

    fn encode<'w>(
        pairs: [Pair<'_, Encoder>; PAIRS],
        codeless: &mut Vec<u32>,
        work: &'w mut Work,
    ) -> [[&'w [u8]; 2]; PAIRS] {
        lanes::encode(pairs, codeless, work)
    }

    fn decode(groups: Vec<Part<'_, Frequencies>>, soon: &mut Soon) -> Option<()> {
        let group = |p| {
            let Part { table, stream, out } = p;
            Group { table, stream, rest: &[], out }
        };
        lanes::decode_and_ask(&mut groups.into_iter().map(group).collect::<Vec<_>>(), soon)
    }
}

//! Symbols that have no code: where they are, and what they are (`spec/codecs/tensor.md`, "Symbols without a code").

use super::bits::{BitReader, BitWriter};
use super::code::{Code, Codes};
use super::{GROUP, bad};
use crate::codec::cursor::Cursor;
use crate::container::varint;
use crate::error::Result;

/// A gap of so many times 2^r or more is written in full.
const LONG: u32 = 24;

/// Bits of a gap that is written in full.
const FULL: u32 = 24;

/// The largest r.
const MOST_LOW: u8 = 15;

/// Bits that tell `kinds` symbols apart.
fn width(kinds: usize) -> u32 {
    kinds.next_power_of_two().trailing_zeros()
}

/// Appends the symbols at these positions, which are in order.
pub fn write(positions: &[u32], symbols: &[u8], out: &mut Vec<u8>) {
    varint::write(positions.len() as u64, out);
    let Some(last) = positions.last() else { return };
    // Rice's code is best where 2^r is about the mean gap times ln 2.
    let mean = *last as u64 / positions.len() as u64;
    let low = ((mean * 11 / 16).max(1).ilog2() as u8).min(MOST_LOW);
    let mut seen = [false; 256];
    symbols.iter().for_each(|s| seen[*s as usize] = true);
    let kinds: Vec<u8> = (0..=255u8).filter(|s| seen[*s as usize]).collect();
    let mut index = [0u8; 256];
    kinds.iter().enumerate().for_each(|(i, s)| index[*s as usize] = i as u8);
    out.extend([low, (kinds.len() - 1) as u8]);
    out.extend(&kinds);
    let width = width(kinds.len());
    let mut bits = BitWriter::new(out);
    let mut next = 0;
    for (&at, &symbol) in positions.iter().zip(symbols) {
        let gap = at - next;
        let times = gap >> low;
        if times < LONG {
            bits.put(1 << times, times + 1);
            bits.put(gap as u64 & ((1 << low) - 1), low as u32);
        } else {
            bits.put(1 << LONG, LONG + 1);
            bits.put(gap as u64, FULL);
        }
        bits.put(index[symbol as usize] as u64, width);
        next = at + 1;
    }
    bits.finish();
}

/// Reads the list of a block of `n` elements: positions and symbols.
pub fn read<C: Code>(codes: &Codes<C>, n: usize, from: &mut Cursor<'_>) -> Result<Vec<(u32, u8)>> {
    let count = from.varint()?;
    if count == 0 {
        return Ok(Vec::new());
    }
    let (low, kinds) = (from.byte()?, from.byte()? as usize + 1);
    if low > MOST_LOW {
        return Err(bad(format_args!("2^{low} as the unit of gaps")));
    }
    let kinds = from.take(kinds)?;
    if kinds.windows(2).any(|w| w[0] >= w[1]) {
        return Err(bad("symbols without a code are not in order"));
    }
    let width = width(kinds.len());
    // Each takes a bit at the least, and an element of its own: the second bounds what a hostile count makes us reserve.
    if count > (8 * from.0.len()).min(n) as u64 {
        return Err(bad(format_args!("{count} symbols without a code in {} bytes", from.0.len())));
    }
    let mut bits = BitReader::new(from.0);
    let mut all = Vec::with_capacity(count as usize);
    let mut next = 0usize;
    for _ in 0..count {
        // At most 57 bits, which are looked at together.
        let ahead = bits.peek_long();
        let times = ahead.trailing_zeros();
        let (whole, rest) = match times {
            ..LONG => (times << low, low as u32),
            LONG => (0, FULL),
            _ => return Err(bad("a gap of more than 24 units")),
        };
        let ahead = ahead >> (times + 1);
        let gap = (whole | ahead as u32 & ((1 << rest) - 1)) as usize;
        let at = next + gap;
        let symbol = kinds.get((ahead >> rest) as usize & ((1 << width) - 1));
        bits.skip(times + 1 + rest + width);
        let Some(&symbol) = symbol.filter(|s| at < n && !codes.of(at / GROUP).has(**s)) else {
            return Err(bad(format_args!("element {at} of {n} cannot have a symbol without a code")));
        };
        all.push((at as u32, symbol));
        next = at + 1;
    }
    let size = bits
        .finish()
        .ok_or_else(|| bad("the list of symbols without a code does not end where it should"))?;
    from.take(size)?;
    Ok(all)
}

/// Puts such symbols among those of a batch of groups, which has room for a whole group each.
pub fn patch(codeless: &[(u32, u8)], batch: &[usize], symbols: &mut [u8]) {
    for (slot, &g) in batch.iter().enumerate() {
        let first = (g * GROUP) as u32;
        let from = codeless.partition_point(|c| c.0 < first);
        for &(at, symbol) in codeless[from..].iter().take_while(|c| c.0 < first + GROUP as u32) {
            symbols[slot * GROUP + (at - first) as usize] = symbol;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmh_kernels::lanes::Frequencies;

    #[test]
    fn lists_of_every_density_come_back_and_cut_ones_are_refused() {
        // Values 0 and 1 have codes.
        let f = Frequencies::read(&[0, 1, 128, 128]).unwrap().0;
        let codes = Codes::one(f);
        let n = 200_000u32;
        for step in [1u32, 2, 7, 100, 3001, 65_537, 199_999] {
            let mut positions: Vec<u32> = (0..n).step_by(step as usize).chain([n - 1]).collect();
            positions.dedup();
            let symbols: Vec<u8> = positions.iter().map(|at| 2 + (at % 19) as u8).collect();
            let mut out = Vec::new();
            write(&positions, &symbols, &mut out);
            let expected: Vec<(u32, u8)> = positions.into_iter().zip(symbols).collect();
            out.push(77);
            let mut from = Cursor(&out);
            assert_eq!(read(&codes, n as usize, &mut from).unwrap(), expected, "{step}");
            assert_eq!(from.0, [77]);
            assert!(read(&codes, n as usize - 1, &mut Cursor(&out)).is_err());
            out.truncate(out.len() - 2);
            assert!(read(&codes, n as usize, &mut Cursor(&out)).is_err());
        }
    }
}

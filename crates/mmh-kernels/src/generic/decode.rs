//! Streams of codes, several at once.

use crate::huffman::{DecodeTable, STREAMS};

/// Bytes an iteration can take from a stream: 56 bits, and a look at eight bytes.
const TAKES: usize = 7;
/// Symbols an iteration can give: five look-ups of six.
const GIVES: usize = 30;
/// Look-ups an iteration makes when the index has 11 bits; four when it has 12.
const LOOKUPS: usize = 5;

/// Decodes most of the eight streams. Stream `i` is `data[starts[i]..starts[i + 1]]` and fills `out[i · per ..]` from the end of its part down.
/// Gives for each how many bits were taken and how many elements are still to be filled.
#[inline(always)]
pub fn side_by_side(
    table: &DecodeTable,
    data: &[u8],
    starts: &[usize; STREAMS + 1],
    per: usize,
    out: &mut [u8],
) -> [(usize, usize); STREAMS] {
    let mut state = [(0usize, 0usize); STREAMS];
    for (i, s) in state.iter_mut().enumerate() {
        *s = (0, out.len().saturating_sub(i * per).min(per));
    }
    if table.index_bits == 11 {
        four::<LOOKUPS>(table, data, starts, per, out, &mut state, 0);
        four::<LOOKUPS>(table, data, starts, per, out, &mut state, 4);
    } else {
        four::<{ LOOKUPS - 1 }>(table, data, starts, per, out, &mut state, 0);
        four::<{ LOOKUPS - 1 }>(table, data, starts, per, out, &mut state, 4);
    }
    state
}

/// Streams `from … from + 4`.
#[inline(always)]
fn four<const N: usize>(
    table: &DecodeTable,
    data: &[u8],
    starts: &[usize; STREAMS + 1],
    per: usize,
    out: &mut [u8],
    state: &mut [(usize, usize); STREAMS],
    from: usize,
) {
    let mask = table.multi.len() as u64 - 1;
    let entries = table.multi.as_ptr();
    // The state of each stream lives in variables of its own: in arrays, LLVM turns it into vector code that is half as fast.
    macro_rules! streams {
        ($($bits:ident $input:ident $output:ident $i:literal),*) => {
            loop {
                // How many iterations are safe for all: each takes at most TAKES bytes and gives at most GIVES symbols.
                let mut rounds = usize::MAX;
                $(
                    let (bit, left) = state[from + $i];
                    let $input = starts[from + $i] + bit / 8;
                    let behind = (data.len() + 1).saturating_sub($input + 8);
                    rounds = rounds.min(behind / TAKES).min(left.saturating_sub(2) / GIVES);
                )*
                if rounds == 0 {
                    break;
                }
                $(
                    let (bit, left) = state[from + $i];
                    // SAFETY: rounds > 0, so at least 8 bytes of data begin at $input, and the output position is within `out`.
                    let mut $input = unsafe { data.as_ptr().add($input) };
                    // SAFETY: `left` is within this stream's part of `out`.
                    let mut $output = unsafe { out.as_mut_ptr().add((from + $i) * per + left) };
                    // SAFETY: as above.
                    let mut $bits = (unsafe { load($input) } | 1 << 63) >> (bit & 7);
                )*
                for round in 0..rounds {
                    if round > 0 {
                        $(
                            // The highest bit that is set is the sentinel: the zeros above it count the bits that were taken.
                            let taken = $bits.leading_zeros();
                            // SAFETY: taken ≤ 63, and `rounds` allows TAKES bytes an iteration with 8 readable behind them.
                            $input = unsafe { $input.add((taken >> 3) as usize) };
                            // SAFETY: as above.
                            $bits = (unsafe { load($input) } | 1 << 63) >> (taken & 7);
                        )*
                    }
                    for _ in 0..N {
                        $(
                            // SAFETY: mask is the length of `multi` less one. An entry holds at most six symbols, `left` was at least
                            // GIVES · rounds + 2, so the eight bytes below $output are within this stream's part of `out`.
                            unsafe {
                                let entry = *entries.add(($bits & mask) as usize);
                                $output.sub(8).cast::<u64>().write_unaligned(entry.to_le());
                                $bits >>= entry & 63;
                                $output = $output.sub((entry >> 8) as u8 as usize);
                            }
                        )*
                    }
                }
                $(
                    let taken = $bits.leading_zeros() as usize;
                    let whole = $input as usize - data.as_ptr() as usize - starts[from + $i];
                    let left = $output as usize - out.as_ptr() as usize - (from + $i) * per;
                    state[from + $i] = (whole * 8 + taken, left);
                )*
            }
        };
    }
    streams!(b0 p0 o0 0, b1 p1 o1 1, b2 p2 o2 2, b3 p3 o3 3);
}

/// # Safety
/// Eight bytes are readable at `p`.
#[inline(always)]
unsafe fn load(p: *const u8) -> u64 {
    // SAFETY: the caller's promise.
    u64::from_le(unsafe { p.cast::<u64>().read_unaligned() })
}

/// Decodes the rest of one stream, from bit `bit` of `data` on, into all of `out` from its end down; checks its end.
#[inline(always)]
pub fn finish(table: &DecodeTable, data: &[u8], mut bit: usize, out: &mut [u8]) -> Option<()> {
    let mask = table.multi.len() - 1;
    // Whole entries, as long as eight bytes can be read and written.
    let mut left = out.len();
    while left >= 8 {
        let Some(word) = data.get(bit / 8..).and_then(|d| d.first_chunk::<8>()) else { break };
        let mut word = u64::from_le_bytes(*word) >> (bit & 7);
        for _ in 0..4 {
            let entry = table.multi[word as usize & mask];
            let Some(room) = out[..left].last_chunk_mut::<8>() else { break };
            *room = entry.to_le_bytes();
            word >>= entry & 63;
            bit += (entry & 63) as usize;
            left -= (entry >> 8) as u8 as usize;
        }
    }
    for slot in out[..left].iter_mut().rev() {
        let word = match data.get(bit / 8..).and_then(|d| d.first_chunk::<4>()) {
            Some(b) => u32::from_le_bytes(*b),
            None => data.get(bit / 8..).unwrap_or(&[]).iter().rev().fold(0, |w, &b| w << 8 | b as u32),
        };
        let entry = table.single[(word >> (bit & 7)) as usize & mask];
        *slot = entry as u8;
        bit += (entry >> 8) as usize;
    }
    let ends_here = bit.div_ceil(8) == data.len();
    let padding = if bit.is_multiple_of(8) { 0 } else { data.get(bit / 8)? >> (bit % 8) };
    (ends_here && padding == 0).then_some(())
}

//! One stream for 32 lanes, a lane at a time: what the vector versions have to agree with.
//!
//! A lane has a state; a window of 16 bits, its next bit highest, with fewer than 8 bits left in it from step to step; and how many
//! bits it is short of 8.

use crate::lanes::{BEGINNING, Decoder, Encoder, LANES};

#[inline(always)]
pub fn decode(table: &Decoder, stream: &[u8], out: &mut [u8]) -> Option<()> {
    if out.is_empty() {
        return stream.is_empty().then_some(());
    }
    let mut left = stream.len().checked_sub(BEGINNING)?;
    let beginning: &[u8; BEGINNING] = stream[left..].first_chunk()?;
    let (mut window, mut short, mut state) = ([0u16; LANES], [0u8; LANES], [0u8; LANES]);
    for l in 0..LANES {
        // The lowest bit that is set stands below the bits that the lane begins with.
        let marked = beginning[l];
        if marked == 0 {
            return None;
        }
        short[l] = 1 + marked.trailing_zeros() as u8;
        window[l] = ((marked & (marked - 1)) as u16) << 8;
        state[l] = beginning[LANES + l];
    }
    let mut rows = out.chunks_mut(LANES).peekable();
    while let Some(row) = rows.next() {
        for (o, s) in row.iter_mut().zip(&state) {
            *o = table.value[*s as usize];
        }
        let Some(next) = rows.peek().map(|r| r.len()) else { break };
        // How many bytes are taken has to be known before the first is: they are read upwards, rows downwards.
        let taken = state[..next].iter().zip(&short).map(|(s, m)| (m + table.bits[*s as usize] > 8) as usize);
        left = left.checked_sub(taken.sum())?;
        // There are 64 bytes behind `left` at the least. Which lanes take one is not to be foreseen, so there is no branch on it.
        let bytes: &[u8; LANES] = stream[left..].first_chunk()?;
        let mut at = 0usize;
        for l in 0..next {
            let (bits, above) = (table.bits[state[l] as usize], table.above[state[l] as usize]);
            let sum = short[l] + bits;
            let takes = sum > 8;
            let byte = if takes { bytes[at & (LANES - 1)] } else { 0 };
            at += takes as usize;
            let w = window[l] | (byte as u16) << short[l];
            state[l] = ((above as u32) << bits | (w as u32) << bits >> 16) as u8;
            window[l] = w << bits;
            short[l] = sum - if takes { 8 } else { 0 };
        }
    }
    let empty = window.iter().all(|w| *w == 0) && short.iter().all(|m| *m == 8);
    (left == 0 && empty).then_some(())
}

/// `out` has [`crate::lanes::room`] for the stream; gives its size.
#[inline(always)]
pub fn encode(table: &Encoder, symbols: &[u8], first: u32, misses: &mut Vec<u32>, out: &mut [u8]) -> usize {
    if symbols.is_empty() {
        return 0;
    }
    let coded = |s: u8| if table.bits[s as usize] == 0 { table.stand_in } else { s } as usize;
    let without = |(_, s): &(u32, &u8)| table.bits[**s as usize] == 0;
    misses.extend((first..).zip(symbols).filter(without).map(|(at, _)| at));
    let (mut state, mut held, mut count) = ([0u8; LANES], [0u16; LANES], [0u8; LANES]);
    let mut next = 0;
    let mut at = 0;
    for row in symbols.chunks(LANES).rev() {
        for (l, s) in row.iter().enumerate().take(next) {
            let q = coded(*s);
            let x = state[l] as u32 | 256;
            let bits = table.bits[q] - (state[l] < table.threshold[q]) as u8;
            let all = held[l] as u32 | (x & ((1 << bits) - 1)) << count[l];
            let sum = count[l] + bits;
            let gives = sum >= 8;
            // A byte that is not given is overwritten by the next one.
            if let Some(o) = out.get_mut(at) {
                *o = all as u8;
            }
            at += gives as usize;
            held[l] = if gives { all >> 8 } else { all } as u16;
            count[l] = sum - if gives { 8 } else { 0 };
            state[l] = table.states[((x >> bits) as u8).wrapping_add(table.offset[q]) as usize];
        }
        for (l, s) in row.iter().enumerate().skip(next) {
            // The lane's last element: the first state of its value, which costs nothing.
            let q = coded(*s);
            state[l] = table.states[table.begin[q] as usize];
        }
        next = row.len();
    }
    for l in 0..LANES {
        if let Ok([marked, last]) = out.get_disjoint_mut([at + l, at + LANES + l]) {
            *marked = ((held[l] << 1 | 1) << (7 - count[l])) as u8;
            *last = state[l];
        }
    }
    at + BEGINNING
}

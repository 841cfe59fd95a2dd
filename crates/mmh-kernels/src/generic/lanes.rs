//! One stream for 32 lanes, a lane at a time: what the vector versions have to agree with, and what takes their rows in which lanes are
//! missing.

use crate::lanes::{BEGINNING, BF16, Decoder, Encoder, Group, LANES, STATES};

/// A stream that is being read.
pub struct Reader {
    pub state: [u8; LANES],
    /// The bits that a lane has left, the next one highest of `count`, fewer than 8.
    pub held: [u8; LANES],
    pub count: [u8; LANES],
    /// Bytes of the stream that no lane has taken; [`BEGINNING`] lie behind them.
    pub left: usize,
}

impl Reader {
    #[inline(always)]
    pub fn begin(stream: &[u8]) -> Option<Reader> {
        let left = stream.len().checked_sub(BEGINNING)?;
        let beginning: &[u8; BEGINNING] = stream[left..].first_chunk()?;
        let mut r = Reader { state: [0; LANES], held: [0; LANES], count: [0; LANES], left };
        for l in 0..LANES {
            // The lowest bit that is set stands below the bits that the lane begins with.
            let marked = beginning[l] as u32;
            if marked == 0 {
                return None;
            }
            let below = marked.trailing_zeros();
            r.count[l] = 7 - below as u8;
            r.held[l] = (marked >> below >> 1) as u8;
            r.state[l] = beginning[LANES + l];
        }
        Some(r)
    }

    /// Decodes rows of which each is followed by another, all with 32 lanes.
    ///
    /// State and held bits are one number here, the state higher: a step shifts a byte in from below and adds what makes the old state the
    /// new one. Which lanes take a byte is not to be foreseen, so there is no branch on it.
    #[inline(always)]
    fn whole_rows(&mut self, table: &Decoder, stream: &[u8], rows: &mut [[u8; LANES]]) -> Option<()> {
        let steps: [u32; STATES] = std::array::from_fn(|s| {
            let (bits, above) = (table.bits[s], table.above[s] as u32);
            let change = (above << bits & 255) as i32 - ((s as i32) << bits);
            (change << 16) as u32 | (table.value[s] as u32) << 8 | bits as u32
        });
        let mut counts: [u32; LANES] = std::array::from_fn(|l| self.count[l] as u32);
        let mut lanes: [u32; LANES] =
            std::array::from_fn(|l| (self.state[l] as u32) << self.count[l] | self.held[l] as u32);
        for row in rows {
            let base = self.left.saturating_sub(LANES);
            let bytes: &[u8; LANES] = stream[base..].first_chunk()?;
            let there = self.left - base;
            let mut at = there;
            // The last lane takes the last byte. Short loops, that they be unrolled.
            for eight in (0..LANES / 8).rev() {
                for l in 0..8 {
                    let l = 8 * eight + 7 - l;
                    let (lane, count) = (lanes[l], counts[l]);
                    let step = steps[lane.wrapping_shr(count) as u8 as usize];
                    row[l] = (step >> 8) as u8;
                    let bits = step as u8 as u32;
                    let longer = lane << 8 | bytes[at.wrapping_sub(1) & (LANES - 1)] as u32;
                    let takes = count < bits;
                    at = at.wrapping_sub(takes as usize);
                    let lane = if takes { longer } else { lane };
                    let count = count.wrapping_sub(bits) & 7;
                    lanes[l] = lane.wrapping_add(((step as i32) >> 16).wrapping_shl(count) as u32);
                    counts[l] = count;
                }
            }
            // Past the first byte `at` has gone below zero.
            if at > there {
                return None;
            }
            self.left = base + at;
        }
        for l in 0..LANES {
            let count = counts[l] & 7;
            self.state[l] = (lanes[l] >> count) as u8;
            self.held[l] = (lanes[l] & ((1 << count) - 1)) as u8;
            self.count[l] = count as u8;
        }
        Some(())
    }

    /// Decodes the rows of a group from an element on, joins their elements if asked to, and checks the end of the stream.
    #[inline(always)]
    pub fn finish<const MERGE: bool>(self, g: &mut Group<'_>, from: usize) -> Option<()> {
        if !MERGE {
            return self.last_rows(g.table, g.stream, g.out.get_mut(from..)?);
        }
        let rest = g.rest.get(from..)?;
        let mut symbols = [0; 2 * LANES];
        let symbols = symbols.get_mut(..rest.len())?;
        self.last_rows(g.table, g.stream, symbols)?;
        super::fields::merge_bytes(&BF16, symbols, rest, g.out.get_mut(2 * from..)?);
        Some(())
    }

    /// Decodes the last rows, and checks the end.
    #[inline(always)]
    fn last_rows(mut self, table: &Decoder, stream: &[u8], out: &mut [u8]) -> Option<()> {
        let mut rows = out.chunks_mut(LANES).peekable();
        while let Some(row) = rows.next() {
            for (o, s) in row.iter_mut().zip(&self.state) {
                *o = table.value[*s as usize];
            }
            let next = rows.peek().map_or(0, |r| r.len());
            for l in (0..next).rev() {
                let s = self.state[l] as usize;
                let (bits, above) = (table.bits[s] as u32, table.above[s] as u32);
                let (mut held, mut count) = (self.held[l] as u32, self.count[l] as u32);
                if count < bits {
                    self.left = self.left.checked_sub(1)?;
                    held = held << 8 | stream[self.left] as u32;
                    count += 8;
                }
                count -= bits;
                self.state[l] = (above << bits | held >> count) as u8;
                self.held[l] = (held & ((1 << count) - 1)) as u8;
                self.count[l] = count as u8;
            }
        }
        (self.left == 0 && self.count == [0; LANES]).then_some(())
    }
}

/// How many rows of so many elements are followed by one with 32 lanes.
pub fn whole_rows(elements: usize) -> usize {
    (elements / LANES).saturating_sub(1)
}

#[inline(always)]
pub fn decode(table: &Decoder, stream: &[u8], out: &mut [u8]) -> Option<()> {
    if out.is_empty() {
        return stream.is_empty().then_some(());
    }
    let (whole, last) = out.split_at_mut(whole_rows(out.len()) * LANES);
    let mut r = Reader::begin(stream)?;
    r.whole_rows(table, stream, whole.as_chunks_mut().0)?;
    r.last_rows(table, stream, last)
}

/// A stream that is being written.
pub struct Writer {
    pub state: [u8; LANES],
    /// The bits of a lane that wait, the oldest lowest of `count`, fewer than 8.
    pub held: [u8; LANES],
    pub count: [u8; LANES],
    /// Bytes that are written.
    pub at: usize,
}

impl Writer {
    /// Writes the last rows: all but [`whole_rows`].
    #[inline(always)]
    pub fn begin(
        table: &Encoder,
        symbols: &[u8],
        first: u32,
        misses: &mut Vec<u32>,
        out: &mut [u8],
    ) -> Writer {
        let mut w = Writer { state: [0; LANES], held: [0; LANES], count: [0; LANES], at: 0 };
        let whole = whole_rows(symbols.len()) * LANES;
        missing(table, &symbols[whole..], first + whole as u32, misses);
        let mut next = 0;
        for row in symbols[whole..].chunks(LANES).rev() {
            for (l, s) in row.iter().enumerate() {
                let s = table.coded(*s) as usize;
                if l >= next {
                    // The lane's last element: the first state of its value, which costs nothing.
                    w.state[l] = table.states[table.begin[s] as usize];
                    continue;
                }
                let state = w.state[l] as u32 | 256;
                let bits = table.bits[s] - (w.state[l] < table.threshold[s]) as u8;
                let all = w.held[l] as u32 | (state & ((1 << bits) - 1)) << w.count[l];
                let sum = w.count[l] + bits;
                if sum >= 8 {
                    out[w.at] = all as u8;
                    w.at += 1;
                }
                w.held[l] = (all >> (sum & 8)) as u8;
                w.count[l] = sum & 7;
                w.state[l] = table.states[((state >> bits) as u8).wrapping_add(table.offset[s]) as usize];
            }
            next = row.len();
        }
        w
    }

    /// Writes rows of 32 lanes that are followed by such rows, the last one first.
    ///
    /// State, from 256 on, and waiting bits are one number here, the state higher. Which lanes give a byte is not to be foreseen, so there
    /// is no branch on it: one that is not given is overwritten by the next.
    #[inline(always)]
    fn whole_rows(
        &mut self,
        table: &Encoder,
        rows: &[[u8; LANES]],
        first: u32,
        misses: &mut Vec<u32>,
        out: &mut [u8],
    ) {
        // From `threshold` on, of which bit 8 is left out there, states give up `bits` bits, below it one less: a number that, added to the
        // state, makes that 512 times as much and something.
        let add: [u32; 256] = std::array::from_fn(|s| {
            let s = table.coded(s as u8) as usize;
            ((table.bits[s] as u32) << 9).wrapping_sub(256 + table.threshold[s] as u32)
        });
        // With a bit more for symbols that have no code.
        let offset: [u16; 256] = std::array::from_fn(|s| {
            let coded = table.coded(s as u8) as usize;
            table.offset[coded] as u16 | if coded == s { 0 } else { 256 }
        });
        let mut counts: [u32; LANES] = std::array::from_fn(|l| self.count[l] as u32);
        let mut lanes: [u32; LANES] =
            std::array::from_fn(|l| (self.state[l] as u32 | 256) << self.count[l] | self.held[l] as u32);
        for (r, row) in rows.iter().enumerate().rev() {
            let Some(bytes) = out.get_mut(self.at..).and_then(|o| o.first_chunk_mut::<LANES>()) else {
                return;
            };
            let (mut given, mut any) = (0, 0);
            // Short loops, that they be unrolled.
            for eight in 0..LANES / 8 {
                for l in 0..8 {
                    let l = 8 * eight + l;
                    let (lane, count, symbol) = (lanes[l], counts[l], row[l] as usize);
                    let sum = count + (lane.wrapping_shr(count).wrapping_add(add[symbol]) >> 9);
                    bytes[given & (LANES - 1)] = lane as u8;
                    given += (sum >> 3) as usize;
                    let kept = lane.wrapping_shr(sum);
                    let offset = offset[symbol];
                    any |= offset;
                    let state = table.states[(kept as u16).wrapping_add(offset) as u8 as usize] as u32 | 256;
                    lanes[l] =
                        (lane >> (sum & 8)).wrapping_add(state.wrapping_sub(kept).wrapping_shl(sum & 7));
                    counts[l] = sum & 7;
                }
            }
            self.at += given;
            if any & 256 != 0 {
                missing(table, row, first + (r * LANES) as u32, misses);
            }
        }
        for l in 0..LANES {
            self.state[l] = (lanes[l] >> counts[l]) as u8;
            self.held[l] = (lanes[l] & ((1 << counts[l]) - 1)) as u8;
            self.count[l] = counts[l] as u8;
        }
    }

    /// Writes what stands at the end of the stream; gives its size.
    #[inline(always)]
    pub fn end(self, out: &mut [u8]) -> usize {
        for l in 0..LANES {
            if let Ok([marked, last]) = out.get_disjoint_mut([self.at + l, self.at + LANES + l]) {
                *marked = ((self.held[l] as u32 * 2 + 1) << (7 - self.count[l])) as u8;
                *last = self.state[l];
            }
        }
        self.at + BEGINNING
    }
}

/// The numbers of the bits that are set in a mask: which bytes of 8 are moved down to close the gaps.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub static SET: [[u8; 8]; 256] = {
    let mut set = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut bit, mut n) = (0, 0);
        while bit < 8 {
            if mask >> bit & 1 == 1 {
                set[mask][n] = bit as u8;
                n += 1;
            }
            bit += 1;
        }
        mask += 1;
    }
    set
};

/// Appends the positions of the symbols of a row that have no code; `first` is the first one's.
#[cold]
pub fn missing(table: &Encoder, row: &[u8], first: u32, misses: &mut Vec<u32>) {
    misses.extend((first..).zip(row).filter(|(_, s)| table.coded(**s) != **s).map(|(at, _)| at));
}

/// `out` has [`crate::lanes::room`] for the stream; gives its size.
#[inline(always)]
pub fn encode(table: &Encoder, symbols: &[u8], first: u32, misses: &mut Vec<u32>, out: &mut [u8]) -> usize {
    if symbols.is_empty() {
        return 0;
    }
    let mut w = Writer::begin(table, symbols, first, misses, out);
    w.whole_rows(table, &symbols.as_chunks().0[..whole_rows(symbols.len())], first, misses, out);
    w.end(out)
}

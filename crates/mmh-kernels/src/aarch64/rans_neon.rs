//! The 16 states of a stream in four registers. The bytes are those of `generic::rans`, which also takes the rows at the ends.

use crate::generic::rans::Reader;
use crate::rans::{Group, LANES, LOWEST, PROBABILITY_BITS, TOTAL, Table, coded};
use std::arch::aarch64::*;

/// For a mask, the bytes that the four lanes take of the words ahead: the next word, or none.
static TAKEN: [[u8; 16]; 16] = {
    let mut all = [[0xff; 16]; 16];
    let mut mask = 0;
    while mask < 16 {
        let (mut lane, mut word) = (0, 0);
        while lane < 4 {
            if mask >> lane & 1 == 1 {
                all[mask][4 * lane] = 2 * word;
                all[mask][4 * lane + 1] = 2 * word + 1;
                word += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    all
};

/// Lanes of a stream that is being read.
#[derive(Clone, Copy)]
struct Lanes {
    states: [uint32x4_t; 4],
    /// Words that no lane has taken.
    left: usize,
}

/// The entries of the slots of 4 states.
#[inline]
#[target_feature(enable = "neon")]
fn look_up(table: &Table, states: uint32x4_t) -> uint32x4_t {
    let slot = |state: u32| table[(state & (TOTAL - 1)) as usize];
    let entries = [
        slot(vgetq_lane_u32::<0>(states)),
        slot(vgetq_lane_u32::<1>(states)),
        slot(vgetq_lane_u32::<2>(states)),
        slot(vgetq_lane_u32::<3>(states)),
    ];
    // SAFETY: there are 16 bytes.
    unsafe { vld1q_u32(entries.as_ptr()) }
}

impl Lanes {
    #[inline]
    #[target_feature(enable = "neon")]
    fn begin(stream: &[u8]) -> Option<Lanes> {
        let reader = Reader::begin(stream)?;
        let states = reader.states.as_chunks::<4>().0;
        // SAFETY: each has 16 bytes.
        let states = [0, 1, 2, 3].map(|v| unsafe { vld1q_u32(states[v].as_ptr()) });
        Some(Lanes { states, left: reader.left })
    }

    /// Decodes a row. At least 16 words are left.
    #[inline]
    #[target_feature(enable = "neon")]
    fn row(&mut self, table: &Table, stream: &[u8]) -> uint8x16_t {
        const { assert!(LOWEST == 1 << 16) };
        let entries = self.states.map(|states| look_up(table, states));
        // SAFETY: 16 bytes are readable.
        let weights = unsafe { vld1q_u32([1, 2, 4, 8].as_ptr()) };
        // The last lane takes the last word.
        for v in (0..4).rev() {
            let (entries, states) = (entries[v], self.states[v]);
            let f = vandq_u32(vshrq_n_u32::<8>(entries), vdupq_n_u32(TOTAL - 1));
            let x =
                vmlaq_u32(vshrq_n_u32::<20>(entries), f, vshrq_n_u32::<{ PROBABILITY_BITS as i32 }>(states));
            let takes = vcltq_u32(x, vdupq_n_u32(LOWEST));
            let mask = vaddvq_u32(vandq_u32(takes, weights)) as usize & 15;
            self.left = self.left.saturating_sub(mask.count_ones() as usize);
            // SAFETY: 64 bytes lie behind the words; a row of the table has 16.
            let words = unsafe {
                let ahead = vld1_u8(stream.as_ptr().add(2 * self.left));
                vqtbl1q_u8(vcombine_u8(ahead, ahead), vld1q_u8(TAKEN[mask].as_ptr()))
            };
            let longer = vorrq_u32(vshlq_n_u32::<16>(x), vreinterpretq_u32_u8(words));
            self.states[v] = vbslq_u32(takes, longer, x);
        }
        let halves = [0, 2]
            .map(|v| vreinterpretq_u8_u16(vcombine_u16(vmovn_u32(entries[v]), vmovn_u32(entries[v + 1]))));
        // The lowest byte of each.
        vuzp1q_u8(halves[0], halves[1])
    }
}

/// Groups that are decoded side by side: the steps of one depend on each other.
const SIDE_BY_SIDE: usize = 2;

/// Decodes groups; those of one size side by side.
#[target_feature(enable = "neon")]
pub fn decode(mut groups: &mut [Group<'_>]) -> Option<()> {
    while !groups.is_empty() {
        let same = |g: &&Group<'_>| g.out.len() == groups[0].out.len();
        let n = groups.iter().take(SIDE_BY_SIDE).take_while(same).count();
        let (now, later) = groups.split_at_mut(n);
        groups = later;
        match now {
            [a, b] if !a.out.is_empty() => side_by_side([a, b])?,
            others => {
                for g in others {
                    if g.out.is_empty() {
                        g.stream.is_empty().then_some(())?;
                    } else {
                        side_by_side([g])?;
                    }
                }
            }
        }
    }
    Some(())
}

/// Decodes groups of one size.
#[inline]
#[target_feature(enable = "neon")]
fn side_by_side<const N: usize>(mut groups: [&mut Group<'_>; N]) -> Option<()> {
    let rows = coded(groups[0].out.len()) / LANES;
    // SAFETY: zero is a value of these registers.
    let mut lanes = [Lanes { states: [unsafe { std::mem::zeroed() }; 4], left: 0 }; N];
    for (l, g) in lanes.iter_mut().zip(&groups) {
        *l = Lanes::begin(g.stream)?;
    }
    let mut done = 0;
    loop {
        // A row takes at most 16 words.
        let safe = lanes.iter().map(|l| l.left / LANES).fold(rows - done, usize::min);
        if safe == 0 {
            break;
        }
        for row in done..done + safe {
            for (l, g) in lanes.iter_mut().zip(groups.iter_mut()) {
                let symbols = l.row(&g.table.table, g.stream);
                // SAFETY: the row is one of the coded ones of the group.
                unsafe { vst1q_u8(g.out.as_mut_ptr().add(LANES * row), symbols) };
            }
        }
        done += safe;
    }
    for (l, g) in lanes.into_iter().zip(groups) {
        let mut states = [0; LANES];
        for (to, of) in states.as_chunks_mut::<4>().0.iter_mut().zip(l.states) {
            // SAFETY: each has 16 bytes.
            unsafe { vst1q_u32(to.as_mut_ptr(), of) };
        }
        Reader { states, left: l.left }.finish(&g.table.table, g.stream, g.out, LANES * done)?;
    }
    Some(())
}

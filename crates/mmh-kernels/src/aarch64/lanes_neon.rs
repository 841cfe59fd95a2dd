//! Lanes in registers of 128 bits: the states of the 32 lanes are the bytes of two, and so are the bits that they hold and their numbers.
//! The bytes are those of `generic::lanes`, which also takes the rows in which lanes are missing.

use crate::generic::lanes::{Reader, SET, Writer, missing, whole_rows};
use crate::lanes::{Encoder, Group, LANES};
use std::arch::aarch64::*;

/// A byte for each lane.
type Bytes = [uint8x16_t; 2];

#[inline]
#[target_feature(enable = "neon")]
fn load(from: &[u8; LANES]) -> Bytes {
    // SAFETY: 32 bytes are readable.
    unsafe { [vld1q_u8(from.as_ptr()), vld1q_u8(from.as_ptr().add(16))] }
}

#[inline]
#[target_feature(enable = "neon")]
fn bytes(of: Bytes) -> [u8; LANES] {
    let mut bytes = [0; LANES];
    // SAFETY: 32 bytes are writable.
    unsafe {
        vst1q_u8(bytes.as_mut_ptr(), of[0]);
        vst1q_u8(bytes.as_mut_ptr().add(16), of[1]);
    }
    bytes
}

#[inline]
#[target_feature(enable = "neon")]
fn all(byte: u8) -> uint8x16_t {
    vdupq_n_u8(byte)
}

/// `bytes << by`, or `bytes >> −by`.
#[inline]
#[target_feature(enable = "neon")]
fn shift(bytes: uint8x16_t, by: uint8x16_t) -> uint8x16_t {
    vshlq_u8(bytes, vreinterpretq_s8_u8(by))
}

/// `table[index]` for 32 indices.
#[inline]
#[target_feature(enable = "neon")]
fn look_up(table: &[u8; 256], index: Bytes) -> Bytes {
    let mut table: *const [u8; 256] = table;
    // SAFETY: nothing is done. The compiler is to load the table each time: the registers hold one, and it would write others back and forth.
    let table = unsafe {
        std::arch::asm!("/* {0} */", inout(reg) table, options(nostack, preserves_flags));
        &*table
    };
    let mut found = [all(0); 2];
    for (q, quarter) in table.as_chunks::<64>().0.iter().enumerate() {
        // SAFETY: a quarter has 64 readable bytes.
        let quarter = unsafe { vld1q_u8_x4(quarter.as_ptr()) };
        for (found, index) in found.iter_mut().zip(index) {
            // Zero for indices in other quarters.
            let here = vqtbl4q_u8(quarter, vsubq_u8(index, all(64 * q as u8)));
            *found = vorrq_u8(*found, here);
        }
    }
    found
}

/// For each byte the sum of those up to it.
#[inline]
#[target_feature(enable = "neon")]
fn sums(of: uint8x16_t) -> uint8x16_t {
    let zero = all(0);
    let of = vaddq_u8(of, vextq_u8::<15>(zero, of));
    let of = vaddq_u8(of, vextq_u8::<14>(zero, of));
    let of = vaddq_u8(of, vextq_u8::<12>(zero, of));
    vaddq_u8(of, vextq_u8::<8>(zero, of))
}

/// Lanes of a stream that is being read.
#[derive(Clone, Copy)]
struct Lanes {
    state: Bytes,
    held: Bytes,
    count: Bytes,
    left: usize,
    /// The stream had too few bytes.
    cut_off: bool,
}

impl Lanes {
    /// Goes to the next states, which take `bits` bits below those of `above`; 64 bytes lie behind those that are left of the stream.
    #[inline]
    #[target_feature(enable = "neon")]
    fn step(&mut self, stream: &[u8], above: Bytes, bits: Bytes) {
        let takes = [0, 1].map(|h| vcltq_u8(self.count[h], bits[h]));
        // How many lanes up to each one take a byte, in its half.
        let n = takes.map(|t| sums(vandq_u8(t, all(1))));
        let [low, high] = n.map(|n| vgetq_lane_u8::<15>(n) as usize);
        self.cut_off |= low + high > self.left;
        self.left = self.left.saturating_sub(low + high);
        for (h, skip) in [0, low].into_iter().enumerate() {
            // SAFETY: 64 bytes lie behind `left`, and `low` is at most 16.
            let taken = unsafe { vld1q_u8(stream.as_ptr().add(self.left + skip)) };
            // Where no byte is taken, the index is too high, which gives zero.
            let which = vornq_u8(vsubq_u8(n[h], all(1)), takes[h]);
            let taken = vqtbl1q_u8(taken, which);
            // It goes below the bits that are held. Then what is above those that stay is used.
            let low = vbslq_u8(takes[h], taken, self.held[h]);
            let high = vandq_u8(takes[h], self.held[h]);
            let count = vandq_u8(vsubq_u8(self.count[h], bits[h]), all(7));
            let used = shift(low, vnegq_u8(count));
            let used = vorrq_u8(used, shift(high, vsubq_u8(all(8), count)));
            self.state[h] = vorrq_u8(shift(above[h], bits[h]), used);
            self.held[h] = vbicq_u8(low, shift(all(0xff), count));
            self.count[h] = count;
        }
    }
}

/// `−bytes`.
#[inline]
#[target_feature(enable = "neon")]
fn vnegq_u8(bytes: uint8x16_t) -> uint8x16_t {
    vreinterpretq_u8_s8(vnegq_s8(vreinterpretq_s8_u8(bytes)))
}

/// Groups that are decoded side by side: the steps of one depend on each other.
const SIDE_BY_SIDE: usize = 4;

/// Decodes groups; those of one size side by side.
#[target_feature(enable = "neon")]
pub fn decode<const MERGE: bool>(groups: &mut [Group<'_>]) -> Option<()> {
    let mut groups = groups;
    while !groups.is_empty() {
        let same = |g: &&Group<'_>| g.out.len() == groups[0].out.len();
        let n = groups.iter().take(SIDE_BY_SIDE).take_while(same).count();
        let (now, later) = groups.split_at_mut(n);
        // If every state takes bits, their number follows from what they come below.
        if now.iter().all(|g| g.table.bits.iter().all(|bits| *bits > 0)) {
            side_by_side::<MERGE, true>(now)?;
        } else {
            side_by_side::<MERGE, false>(now)?;
        }
        groups = later;
    }
    Some(())
}

/// Decodes at most [`SIDE_BY_SIDE`] groups of one size.
#[target_feature(enable = "neon")]
fn side_by_side<const MERGE: bool, const ALWAYS: bool>(groups: &mut [Group<'_>]) -> Option<()> {
    let elements = groups[0].elements::<MERGE>();
    let size = if MERGE { 2 * elements } else { elements };
    if groups.iter().any(|g| g.elements::<MERGE>() != elements || g.out.len() != size) {
        return None;
    }
    if elements == 0 {
        return groups.iter().all(|g| g.stream.is_empty()).then_some(());
    }
    let zero = [all(0); 2];
    let mut lanes = [Lanes { state: zero, held: zero, count: zero, left: 0, cut_off: false }; SIDE_BY_SIDE];
    for (l, g) in lanes.iter_mut().zip(groups.iter()) {
        let r = Reader::begin(g.stream)?;
        *l = Lanes { state: load(&r.state), held: load(&r.held), count: load(&r.count), left: r.left, ..*l };
    }
    let whole = whole_rows(elements) * LANES;
    for done in (0..whole).step_by(LANES) {
        for (l, g) in lanes.iter_mut().zip(groups.iter_mut()) {
            let state = l.state;
            let above = look_up(&g.table.above, state);
            let bits = if ALWAYS {
                above.map(|a| vaddq_u8(vclzq_u8(a), all(1)))
            } else {
                look_up(&g.table.bits, state)
            };
            l.step(g.stream, above, bits);
            for (h, value) in look_up(&g.table.value, state).into_iter().enumerate() {
                let at = done + 16 * h;
                // SAFETY: `at` is at least 16 below the number of elements; the sizes of `rest` and `out` have been compared with it.
                unsafe {
                    if MERGE {
                        // The lowest bit of the value above the mantissa, the others below the sign.
                        let rest = vld1q_u8(g.rest.as_ptr().add(at));
                        let element =
                            uint8x16x2_t(vsliq_n_u8::<7>(rest, value), vsriq_n_u8::<1>(rest, value));
                        vst2q_u8(g.out.as_mut_ptr().add(2 * at), element);
                    } else {
                        vst1q_u8(g.out.as_mut_ptr().add(at), value);
                    }
                }
            }
        }
    }
    if lanes.iter().any(|l| l.cut_off) {
        return None;
    }
    for (l, g) in lanes.into_iter().zip(groups) {
        let r = Reader { state: bytes(l.state), held: bytes(l.held), count: bytes(l.count), left: l.left };
        r.finish::<MERGE>(g, whole)?;
    }
    Some(())
}

/// Lanes of a stream that is being written.
#[derive(Clone, Copy)]
struct Giving {
    state: Bytes,
    held: Bytes,
    count: Bytes,
    at: *mut u8,
}

/// Sums of the four times 8 bytes, each below 256, the first one lowest.
#[inline]
#[target_feature(enable = "neon")]
fn sums_of_eight(of: Bytes) -> u32 {
    let pairs = vpaddq_u8(of[0], of[1]);
    let fours = vpaddq_u8(pairs, pairs);
    vgetq_lane_u32::<0>(vreinterpretq_u32_u8(vpaddq_u8(fours, fours)))
}

impl Giving {
    /// Lanes give up `bits` bits of their states; full bytes are written. Gives the states without them, without bit 8.
    ///
    /// # Safety
    /// At `at` as many bytes are writable as there are lanes, and 8 more.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn give(&mut self, bits: Bytes) -> Bytes {
        let mut kept = [all(0); 2];
        let (mut low, mut full) = (kept, kept);
        for h in 0..2 {
            let given = vbicq_u8(self.state[h], shift(all(0xff), bits[h]));
            let count = self.count[h];
            low[h] = vorrq_u8(self.held[h], shift(given, count));
            let high = shift(given, vsubq_u8(count, all(8)));
            let sum = vaddq_u8(count, bits[h]);
            full[h] = vcgtq_u8(sum, all(7));
            self.held[h] = vbslq_u8(full[h], high, low[h]);
            self.count[h] = vandq_u8(sum, all(7));
            // Bit 8 of the state goes along.
            let top = shift(all(0x80), vsubq_u8(all(1), bits[h]));
            kept[h] = vorrq_u8(shift(self.state[h], vnegq_u8(bits[h])), top);
        }
        let weights = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
        let masks = sums_of_eight(full.map(|f| vandq_u8(f, weights))).to_le_bytes();
        // How many bytes are given up to each eighth's end.
        let given = sums_of_eight(full.map(|f| vandq_u8(f, all(1)))).wrapping_mul(0x0101_0101);
        let eights = [vget_low_u8(low[0]), vget_high_u8(low[0]), vget_low_u8(low[1]), vget_high_u8(low[1])];
        let before = (given << 8).to_le_bytes();
        for i in 0..4 {
            // SAFETY: eight bytes are readable at each entry. Eight are written as many bytes behind `at` as lanes gave one, and at least
            // eight lanes are still to be asked for theirs.
            unsafe {
                let order = vld1_u8(SET[masks[i] as usize].as_ptr());
                vst1_u8(self.at.add(before[i] as usize), vtbl1_u8(eights[i], order));
            }
        }
        // SAFETY: as above.
        self.at = unsafe { self.at.add((given >> 24) as usize) };
        kept
    }
}

/// Encodes two groups side by side; gives the sizes of their streams.
#[target_feature(enable = "neon")]
pub fn encode(
    encoder: &Encoder,
    groups: [&[u8]; 2],
    first: [u32; 2],
    misses: &mut Vec<u32>,
    out: [&mut [u8]; 2],
) -> [usize; 2] {
    if (0..2).any(|i| out[i].len() < crate::lanes::room(groups[i].len())) {
        return [0; 2];
    }
    // Thresholds end in `bits` zeros, the first of which is set here: they tell `bits`, which are never zero, too. Zero without a code.
    let mut threshold = encoder.threshold;
    for (t, bits) in threshold.iter_mut().zip(encoder.bits) {
        *t |= ((1u32 << bits) >> 1) as u8;
    }
    let rows = groups.map(|g| &g.as_chunks::<LANES>().0[..whole_rows(g.len())]);
    let zero = [all(0); 2];
    let mut giving = [Giving { state: zero, held: zero, count: zero, at: std::ptr::null_mut() }; 2];
    for i in 0..2 {
        let w = Writer::begin(encoder, groups[i], first[i], misses, out[i]);
        giving[i] = Giving {
            state: load(&w.state),
            held: load(&w.held),
            count: load(&w.count),
            at: out[i][w.at..].as_mut_ptr(),
        };
    }
    for r in (0..rows[0].len().max(rows[1].len())).rev() {
        for i in 0..2 {
            let Some(row) = rows[i].get(r) else { continue };
            let mut symbols = load(row);
            let mut marked = look_up(&threshold, symbols);
            if vminvq_u8(vminq_u8(marked[0], marked[1])) == 0 {
                missing(encoder, row, first[i] + (r * LANES) as u32, misses);
                symbols = load(&row.map(|s| encoder.coded(s)));
                marked = look_up(&threshold, symbols);
            }
            let g = &mut giving[i];
            let bits = [0, 1].map(|h| {
                let below = vandq_u8(marked[h], vsubq_u8(marked[h], all(1)));
                let bits = vaddq_u8(vclzq_u8(vrbitq_u8(marked[h])), all(1));
                // One less below the threshold.
                vaddq_u8(bits, vcltq_u8(g.state[h], below))
            });
            let offset = look_up(&encoder.offset, symbols);
            // SAFETY: `out` has 64 bytes more than the group has elements, each of which gives at most one.
            let kept = unsafe { g.give(bits) };
            g.state = look_up(&encoder.states, [0, 1].map(|h| vaddq_u8(kept[h], offset[h])));
        }
    }
    let mut sizes = [0; 2];
    for (i, g) in giving.into_iter().enumerate() {
        if !groups[i].is_empty() {
            let at = g.at as usize - out[i].as_ptr() as usize;
            let w = Writer { state: bytes(g.state), held: bytes(g.held), count: bytes(g.count), at };
            sizes[i] = w.end(out[i]);
        }
    }
    sizes
}

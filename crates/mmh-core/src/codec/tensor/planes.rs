//! How the planes of the rests are stored: which bits are zero, and which planes are worth coding.

use super::params::{Cut, Mode};
use super::{GROUP, lend};
use crate::codec::Level;
use crate::codec::symbols::{entropy, pieces};
use mmh_kernels::fields::{self, FieldSpec};
use mmh_kernels::huffman::{self, CodeLengths};
use mmh_kernels::{histogram, planes, zeros};

/// log2 of the elements of the finest segment.
pub const FINEST: u32 = 5;

/// Elements of a piece of a sample of a plane, and how many of them it stands for; at faster levels twice, at the fastest four times as many.
pub const SAMPLE_PIECE: usize = 1024;
pub const SAMPLE_STRIDE: usize = 8 * SAMPLE_PIECE;

/// A plane must shrink by this much to be coded: a fifty-second, about what decoding it costs is worth. At the fastest levels, whose other planes
/// decode many times as fast, a twelfth.
const PAYS: (u64, u64) = (51, 52);
const PAYS_FAST: (u64, u64) = (11, 12);

/// Whether coding a plane of the rest pays that makes `cost` bits of so many bytes.
pub fn pays(cost: u64, bytes: u64, level: Level) -> bool {
    pays_by(cost, bytes, share(level))
}

/// What coding a plane saves at least, in thousandths of bits of an element.
pub fn worth_of_coding(level: Level) -> u64 {
    let (most, of) = share(level);
    8000 * (of - most) / of
}

fn share(level: Level) -> (u64, u64) {
    if level.get() <= 3 { PAYS_FAST } else { PAYS }
}

fn pays_by(cost: u64, bytes: u64, (most, of): (u64, u64)) -> bool {
    cost * of < bytes * 8 * most
}

/// How far apart the pieces of a sample are.
fn stride(level: Level) -> usize {
    let times = match level.get() {
        ..=3 => 4,
        4..=6 => 2,
        _ => 1,
    };
    times * SAMPLE_STRIDE
}

/// Zero bits at the bottom of the rests.
pub struct Zeros {
    /// Zero in all.
    pub drop: u8,
    /// Bits above those that are zero in some segments.
    pub low: u8,
    /// log2 of the elements of a segment.
    pub segment: u8,
    /// Which segments have a low part.
    pub presence: Vec<u8>,
    /// The bitwise or of all rests.
    pub all: u64,
    /// Bits saved by the segments without a low part.
    pub saved: u64,
}

impl Zeros {
    /// The same with one part alone.
    pub fn without_low_part(self) -> Zeros {
        Zeros { low: 0, segment: 0, presence: Vec::new(), saved: 0, ..self }
    }

    /// The same, of the lowest so many bits of the rests.
    pub fn below(self, bits: u32) -> Zeros {
        let bits = bits as u8;
        let drop = self.drop.min(bits);
        let low = self.low.min(bits - drop);
        let zeros = Zeros { drop, low, ..self };
        if low == 0 { zeros.without_low_part() } else { zeros }
    }

    /// Nothing to drop, and no plane known to be constant.
    pub fn none() -> Zeros {
        Zeros { drop: 0, low: 0, segment: 0, presence: Vec::new(), all: u64::MAX, saved: 0 }
    }

    /// Whether a plane of the rest, of so many bits from a place up, is zero.
    pub fn is_zero(&self, (bits, shift): Cut) -> bool {
        (self.all >> shift) & ((1u64 << bits) - 1) == 0
    }

    /// Finds what can be dropped everywhere, and what in some segments only.
    pub fn find(spec: &FieldSpec, body: &[u8], ors: &mut Vec<u64>) -> Zeros {
        let r = spec.rest_bits();
        let n = body.len() / spec.size();
        // With a rest of more than a bit that is not zigzagged, the lowest bit is the element's own.
        if r > 1 && !spec.zigzag && zeros::low_bit_in_each(spec.width, body, 1 << FINEST) {
            return Zeros::none();
        }
        ors.clear();
        if r > 0 {
            fields::rest_ors(spec, body, 1 << FINEST, ors);
        }
        let all = ors.iter().fold(0, |a, b| a | b);
        let drop = all.trailing_zeros().min(r);
        let mut zeros = Zeros { drop: drop as u8, low: 0, segment: 0, presence: Vec::new(), all, saved: 0 };
        if ors.iter().all(|or| or.trailing_zeros() <= drop) {
            return zeros;
        }
        // How many bits are zero in each segment.
        let mut tz: Vec<u8> = ors.iter().map(|or| or.trailing_zeros().min(r) as u8).collect();
        // Coarser segments cost fewer bits of presence and find less.
        for segment in FINEST..=12 {
            // How many segments have at least so many zeros.
            let mut counts = [0u32; 256];
            histogram::bytes(&tz, &mut counts);
            let mut at_least = [0u64; 66];
            for z in (0..65).rev() {
                at_least[z] = at_least[z + 1] + counts[z] as u64;
            }
            let before = zeros.saved;
            for split in drop + 1..=r {
                let saved = (at_least[split as usize] * ((split - drop) as u64)) << segment;
                let cost = tz.len() as u64 + 64;
                if saved > cost && saved - cost > zeros.saved {
                    zeros.saved = saved - cost;
                    zeros.low = (split - drop) as u8;
                    zeros.segment = segment as u8;
                }
            }
            if zeros.saved > before {
                zeros.presence = bitmap(tz.iter().map(|z| *z < zeros.drop + zeros.low));
            }
            // What is zero in two of them.
            tz = tz.chunks(2).map(|two| two.iter().fold(u8::MAX, |a, b| a.min(*b))).collect();
        }
        // Not for a ten-thousandth of the size.
        if zeros.saved * 10_000 < n as u64 * spec.bits() as u64 { zeros.without_low_part() } else { zeros }
    }
}

fn bitmap(bits: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut map = vec![0; bits.len().div_ceil(8)];
    for (i, bit) in bits.enumerate() {
        map[i / 8] |= (bit as u8) << (i % 8);
    }
    map
}

/// Bits of the longest code: with 11, look-ups give more symbols.
fn code_limit(level: Level) -> u32 {
    if level.get() >= 7 { 12 } else { 11 }
}

/// Bytes that tell how large the streams of a group of so many bytes are.
fn sizes_of_streams(bytes: u64) -> u64 {
    if bytes < 1024 { 2 } else { 16 }
}

/// Bytes of one group.
const GROUP_BYTES: u64 = GROUP as u64;

/// A prefix code for bytes that are so frequent, if it pays.
pub fn code_if_it_pays(counts: &[u32; 256], level: Level) -> Mode {
    let total: u64 = counts.iter().map(|c| *c as u64).sum();
    if !pays_by(entropy::bits(counts.iter().copied()), total, PAYS) {
        return Mode::Packed;
    }
    // Where there are several groups, the table is nothing.
    let stored = |code: &CodeLengths| match total {
        ..=GROUP_BYTES => 8 * (code.written_size() as u64 + sizes_of_streams(total)),
        _ => 0,
    };
    match CodeLengths::for_counts(counts, code_limit(level)) {
        Some(code) if pays_by(huffman::coded_bits(counts, &code) + stored(&code), total, PAYS) => {
            Mode::Coded(Box::new(code))
        }
        _ => Mode::Packed,
    }
}

/// The rests of a sample of a block.
pub struct Sample<'a> {
    level: Level,
    width: u8,
    rests: &'a [u64],
    n: usize,
    bytes: &'a mut Vec<u8>,
}

impl<'a> Sample<'a> {
    /// One piece of each [`stride`].
    pub fn of(
        spec: &FieldSpec,
        body: &[u8],
        level: Level,
        rests: &'a mut Vec<u64>,
        bytes: &'a mut Vec<u8>,
    ) -> Sample<'a> {
        let (size, width) = (spec.size(), spec.rest_width());
        let elements = body.len() / size;
        let pieces: Vec<_> = pieces(elements, stride(level), SAMPLE_PIECE).collect();
        lend(rests, planes::storage(width, pieces.len() * SAMPLE_PIECE));
        let mut n = 0;
        for piece in pieces.into_iter().filter(|_| spec.rest_bits() > 0) {
            // The last one may be shorter; those before it end where a word does.
            let at = planes::storage(width, n);
            fields::rests(spec, &body[piece.start * size..piece.end * size], &mut rests[at..]);
            n += piece.len();
        }
        Sample { level, width, rests, n, bytes }
    }

    /// Whether coding a plane of bytes of the rest could pay.
    pub fn may_pay(&mut self, shift: u8) -> bool {
        let bytes = lend(self.bytes, self.n);
        planes::pack(self.width, self.rests, self.n, 8, shift, bytes);
        if entropy::are_noise(bytes) {
            return false;
        }
        let mut counts = [0u32; 256];
        histogram::bytes(bytes, &mut counts);
        pays(entropy::bits(counts.iter().copied()) + SHORT, self.n as u64, self.level)
    }
}

impl Sample<'_> {
    /// About how many bits coding the planes of bytes saves in all of so many elements.
    pub fn saved(&mut self, rest_bits: u32, elements: usize) -> u64 {
        let mut saved = 0;
        for (_, shift) in planes::cut(rest_bits).filter(|cut| cut.0 == 8 && self.n > 0) {
            let bytes = lend(self.bytes, self.n);
            planes::pack(self.width, self.rests, self.n, 8, shift, bytes);
            let mut counts = [0u32; 256];
            histogram::bytes(bytes, &mut counts);
            let bits = entropy::bits(counts.iter().copied());
            if pays(bits, self.n as u64, self.level) {
                saved += (8 * self.n as u64 - bits) * elements as u64 / self.n as u64;
            }
        }
        saved
    }
}

/// A short sample looks less random than it is: 255 / (2 ln 2) bits in all.
const SHORT: u64 = 184;

/// How to store a plane of the rest. `all` is the bitwise or of all rests.
pub fn plane_mode(
    (bits, shift): Cut,
    width: u8,
    rest: &[u64],
    n: usize,
    all: u64,
    level: Level,
    bytes: &mut Vec<u8>,
) -> Mode {
    let mask = (1u64 << bits) - 1;
    if (all >> shift) & mask == 0 {
        return Mode::Constant(0);
    }
    if bits < 8 {
        return Mode::Packed;
    }
    // Noise is told by a part of it; only what promises to pay is looked at in full.
    let (cost, total) = sampled_cost(shift, width, rest, n, stride(level), bytes);
    if !pays(cost, total, level) {
        return Mode::Packed;
    }
    let whole = lend(bytes, n);
    planes::pack(width, rest, n, 8, shift, whole);
    let mut counts = [0u32; 256];
    histogram::bytes(whole, &mut counts);
    if let Some(value) = counts.iter().position(|c| *c as usize == n) {
        return Mode::Constant(value as u8);
    }
    code_if_it_pays(&counts, level)
}

/// Bits that a sample of a plane of bytes would cost, and the bytes of the sample.
fn sampled_cost(
    shift: u8,
    width: u8,
    rest: &[u64],
    n: usize,
    stride: usize,
    bytes: &mut Vec<u8>,
) -> (u64, u64) {
    let mut counts = [0u32; 256];
    let piece = lend(bytes, SAMPLE_PIECE);
    for at in pieces(n, stride, SAMPLE_PIECE) {
        let m = at.len();
        planes::pack(width, &rest[planes::storage(width, at.start)..], m, 8, shift, &mut piece[..m]);
        histogram::bytes(&piece[..m], &mut counts);
    }
    let total: u64 = counts.iter().map(|c| *c as u64).sum();
    (entropy::bits(counts.iter().copied()) + SHORT, total)
}

/// Bits that coding a plane of bytes would save.
pub fn saved_by_coding(
    shift: u8,
    width: u8,
    rest: &[u64],
    n: usize,
    level: Level,
    bytes: &mut Vec<u8>,
) -> u64 {
    let (cost, total) = sampled_cost(shift, width, rest, n, SAMPLE_STRIDE, bytes);
    if pays(cost, total, level) { (total * 8 - cost) * n as u64 / total.max(1) } else { 0 }
}

//! Which split of the element pays: from samples of a block to the width of the symbol, and to what it will cost.

use super::counts::{Counts, too_low};
use super::lanes::MANY_EXACT;
use super::planes::{pays, worth_of_coding};
use super::{Element, GROUP, Scratch, lend};
use crate::codec::Level;
use crate::codec::symbols::{self, entropy};
use crate::dtype::Kind;
use mmh_kernels::fields::{self, FieldSpec};
use mmh_kernels::{planes, zeros};

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// How to split; `drop` is still 0.
    pub spec: FieldSpec,
    /// Estimated bits of a symbol, times 1000.
    pub symbol_millibits: u64,
    /// Estimated bits of an element, times 1000.
    pub element_millibits: u64,
    /// Low bits that were zero in all of the sample.
    pub zero_bits: u32,
    /// Some segment of the sample had low bits that were zero.
    pub any_zeros: bool,
    size: usize,
}

impl Found {
    /// Estimated size over size, for a block of `len` bytes.
    pub fn ratio(&self, len: usize) -> f64 {
        let elements = (len / self.size) as f64;
        let tables = 80.0 + 24.0 * (elements / GROUP as f64).ceil();
        (elements * self.element_millibits as f64 / 8000.0 + tables) / len.max(1) as f64
    }

    /// About how many thousandths of bits an exponent of so many bits takes, if what else is in a symbol is noise, but for the sign, which is in
    /// one where it is nearly always the same.
    pub fn exponent_millibits(&self, exponent: u8) -> u64 {
        let sign = !self.spec.sign_moved as u8;
        let others = self.spec.t.saturating_sub(exponent + sign) as u64;
        self.symbol_millibits.saturating_sub(1000 * others)
    }

    /// In words, for `--why`.
    pub fn describe(&self) -> String {
        let zeros = match self.zero_bits {
            0 => String::new(),
            n => format!(", low {n} bits zero"),
        };
        format!(
            "symbol of {} bits costs {:.2}, element of {} bits {:.2}{zeros}",
            self.spec.t,
            self.symbol_millibits as f64 / 1000.0,
            self.spec.bits(),
            self.element_millibits as f64 / 1000.0
        )
    }
}

/// Elements of a contiguous piece of a sample, at the most; of a small block half is looked at.
const PIECE: usize = 1024;

/// Pieces of a block that are looked at.
const PIECES: usize = 8;

/// Where they are, as ranges of elements.
fn pieces(n: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let stride = (n / PIECES).max(PIECE);
    symbols::pieces(n, stride, (stride / 2).min(PIECE))
}

/// The bits of the mantissa that may join the exponent in a symbol.
fn extra_bits(exponent: u8, width: u8, level: Level) -> u8 {
    match (exponent, level.get()) {
        // As many values as suit the 256 states of lanes.
        (0..=5, 1..=3) => 1,
        // As many as exact frequencies of few values have.
        (0..=5, 4..=6) if width == 0 => FAST_BYTE - exponent,
        (0..=5, _) => 3,
        (_, 1..=3) => 0,
        // Numbers of 16 bits are put together while lanes of 256 states are decoded.
        (_, 4..=5) if width < 2 => 1,
        (11.., _) => 1,
        _ => 2,
    }
}

/// The most bits of a byte's symbol that 256 states serve well, which decode at twice the speed of exact frequencies, or for which exact frequencies
/// have tables that fit registers.
const FAST_BYTE: u8 = 6;

/// The splits that are compared.
fn candidates(element: Element, n: usize, level: Level) -> Vec<FieldSpec> {
    let bits = 8 << element.width;
    let base = FieldSpec { width: element.width, ..FieldSpec::default() };
    match element.kind {
        Kind::Float { exponent: e } => {
            let most = (e + extra_bits(e, element.width, level)).min(bits - 1);
            let moved = (e..=most).map(|t| FieldSpec { sign_moved: true, t, ..base });
            // With the sign in the symbol: for numbers that are all positive.
            let all = moved.chain((e + 1..=most + 1).map(|t| FieldSpec { t, ..base }));
            // Where exact frequencies are cheap, the more in a symbol the better, and a rest of whole bytes is fast.
            let exact = n >= MANY_EXACT && (4..=6).contains(&level.get());
            let whole = |t: u8| e > 5 || bits != 16 || !exact || t == e || t == 8;
            all.filter(|c| whole(c.t)).collect()
        }
        // At the fastest levels what is nearly noise may be left out of the symbol, as it is of floating-point numbers.
        Kind::Unsigned | Kind::Signed if element.width == 0 && level.get() <= 3 => {
            [5, 8].map(|t| FieldSpec { t, ..base }).to_vec()
        }
        Kind::Unsigned | Kind::Blocks => vec![FieldSpec { t: 8, ..base }],
        Kind::Signed if element.width == 0 => vec![FieldSpec { t: 8, ..base }],
        Kind::Signed => vec![FieldSpec { t: 8, zigzag: true, ..base }, FieldSpec { t: 8, ..base }],
    }
}

/// Of twenty elements so many may have the rarer sign for the sign to be tried as a part of the symbol: of 40 % it takes a thirtieth of a bit less.
/// Models have symbols of magnitudes, and leave the sign to them only where there is nearly none.
fn most_minus(level: Level) -> u64 {
    if level.get() <= 6 { 8 } else { 1 }
}

/// Estimates every candidate on a sample of the block and gives the cheapest; `None` if there is no whole element.
pub fn analyze(data: &[u8], element: Element, level: Level, scratch: &mut Scratch) -> Option<Found> {
    let n = element.count(data.len());
    let body = &data[data.len().min(element.head as usize)..];
    if n == 0 {
        return None;
    }
    let candidates = candidates(element, n, level);
    let size = element.size();
    let table_millibits = TABLE_MILLIBITS[(level.get() > 6) as usize];
    // With what a table takes of each element, which is much in a short block.
    let mut best: Option<(u64, Found)> = None;
    // One histogram of the widest field with the sign serves all candidates that are not zigzagged.
    for zigzag in [false, true] {
        let Some(widest) =
            candidates.iter().filter(|c| c.zigzag == zigzag).map(|c| c.t + c.sign_moved as u8).max()
        else {
            continue;
        };
        let wide =
            FieldSpec { t: widest, zigzag, ..FieldSpec { width: element.width, ..FieldSpec::default() } };
        // All are gathered first: counting has a price of its own, whatever is counted.
        let sampled = pieces(n).map(|piece| piece.len()).sum();
        let fields = lend(&mut scratch.fields, sampled);
        let mut at = 0;
        for piece in pieces(n) {
            let of = &mut fields[at..at + piece.len()];
            fields::top_fields(&wide, &body[piece.start * size..piece.end * size], of);
            at += piece.len();
        }
        let seen = sampled as u64;
        let float = matches!(element.kind, Kind::Float { .. });
        // The sign is the highest bit of the widest field, and joins the symbol only where it is often enough the same.
        let minus = fields.iter().fold(0, |n, field| n + (field >> (widest - 1))) as u64;
        let with_sign = !float || minus.min(seen - minus) * 20 < seen * most_minus(level);
        let unsigned = float.then(|| Counts::of(fields, widest - 1, &mut scratch.counts));
        let signed = with_sign.then(|| Counts::of(fields, widest, &mut scratch.counts));
        let mut noise = false;
        // A sign that is always the same takes nothing in a symbol. In the rest it makes a plane of bytes worth coding, which saves as much and takes
        // far longer, so that comes second and has to save what coding a plane has to.
        let one_sign = float && minus.min(seen - minus) == 0;
        let (second, first): (Vec<&FieldSpec>, _) =
            (candidates.iter()).filter(|c| c.zigzag == zigzag).partition(|c| one_sign && c.sign_moved);
        for candidate in first.into_iter().chain(second) {
            let counts = if candidate.sign_moved { &unsigned } else { &signed };
            let Some(counts) = counts else { continue };
            let narrowed = counts.narrowed(widest - candidate.t - candidate.sign_moved as u8);
            let (symbol_bits, base) = narrowed.symbol_cost(candidate.t);
            let spec = FieldSpec { base, ..*candidate };
            let symbol_millibits = symbol_bits * 1000 / seen;
            // A rest that is noise to its last bit is so without its first bits, too.
            let (rest_millibits, zero_bits, any_zeros) = match noise && !(one_sign && candidate.sign_moved) {
                true => (spec.rest_bits() as u64 * 1000, 0, false),
                false => rest_cost(&spec, body, n, level, scratch),
            };
            noise |= rest_millibits == spec.rest_bits() as u64 * 1000 && !any_zeros;
            let found = Found {
                spec,
                symbol_millibits,
                element_millibits: symbol_millibits + rest_millibits,
                zero_bits,
                any_zeros,
                size,
            };
            let cost =
                found.element_millibits + narrowed.values(candidate.t) as u64 * table_millibits / n as u64;
            // A later candidate has a larger symbol, which decodes more slowly: it has to be worth it.
            let worth = |b: &Found| match level.get() {
                ..=6 if one_sign && candidate.sign_moved => worth_of_coding(level),
                1..=3 if candidate.t > FAST_BYTE && element.width == 0 => b.element_millibits / 200,
                1..=3 => b.element_millibits / 1000,
                _ => 8,
            };
            if best.as_ref().is_none_or(|(least, b)| cost + worth(b) < *least) {
                best = Some((cost, found));
            }
        }
    }
    best.map(|(_, found)| found)
}

/// Thousandths of bits that a symbol takes in the tables of a block, about, and where models do without most of them.
const TABLE_MILLIBITS: [u64; 2] = [6_000, 3_000];

/// Thousandths of bits that the rest of an element costs, the low bits that are zero everywhere, and whether any are somewhere.
fn rest_cost(
    spec: &FieldSpec,
    body: &[u8],
    n: usize,
    level: Level,
    scratch: &mut Scratch,
) -> (u64, u32, bool) {
    let r = spec.rest_bits();
    if r == 0 {
        return (0, 0, false);
    }
    let size = spec.size();
    let width = spec.rest_width();
    let (mut seen, mut kept, mut all) = (0u64, 0u64, 0u64);
    let sampled: usize = pieces(n).map(|piece| piece.len()).sum();
    // The planes of whole bytes, each of all pieces.
    let bytes = (r / 8) as usize;
    let planes_of = lend(&mut scratch.bytes, sampled * bytes);
    for piece in pieces(n) {
        let rest = lend(&mut scratch.rest, planes::storage(width, PIECE));
        fields::rests(spec, &body[piece.start * size..piece.end * size], rest);
        scratch.ors.clear();
        zeros::segment_ors(width, rest, piece.len(), 64, &mut scratch.ors);
        for (i, or) in scratch.ors.iter().enumerate() {
            all |= or;
            let m = piece.len().min(64 * (i + 1)) - 64 * i;
            kept += m as u64 * (r - or.trailing_zeros().min(r)) as u64;
        }
        let whole = planes::cut(r).filter(|c| c.0 == 8).map(|c| c.1);
        for (shift, plane) in whole.zip(planes_of.chunks_exact_mut(sampled)) {
            planes::pack(width, rest, piece.len(), 8, shift, &mut plane[seen as usize..][..piece.len()]);
        }
        seen += piece.len() as u64;
    }
    // Either zero bits are dropped or whole planes are coded; what the encoder does is at least as good as the better.
    let plane = |bytes: &[u8]| {
        if entropy::are_noise(bytes) {
            return seen * 8;
        }
        let (bits, values) = entropy::of_bytes(bytes);
        let bits = bits + too_low(values);
        if pays(bits, seen, level) { bits } else { seen * 8 }
    };
    let coded_bits = planes_of.chunks_exact(sampled).map(plane).sum::<u64>() + seen * (r % 8) as u64;
    let zero_bits = all.trailing_zeros().min(r);
    (kept.min(coded_bits) * 1000 / seen, zero_bits, kept < seen * r as u64)
}

//! The descriptor of a modelled plane, and the choice of a model (`spec/codecs/tensor.md`, section 5).

use super::columns;
use super::params::bad;
use crate::codec::cursor::Cursor;
use crate::codec::symbols::GROUP;
use crate::codec::symbols::bits::{BitReader, BitWriter};
use crate::codec::symbols::entropy::{self, log2};
use crate::container::varint;
use crate::dtype::Kind;
use crate::error::Result;
use mmh_kernels::fields::FieldSpec;
use mmh_kernels::histogram;
use mmh_kernels::huffman::{self, CodeLengths, DecodeTable, EncodeTable};
use mmh_kernels::modelled::{
    self, CLASSES, ClassHistogram, DecodeModel, EncodeModel, MAX_COLUMNS, MAX_TABLES, Magnitude, SCALES,
    Shape, Walk, fine_class,
};
use mmh_kernels::rans::Frequencies;

/// The frequencies of some neighbouring classes.
#[derive(Clone, Debug, PartialEq)]
struct Table {
    /// The classes end before this one.
    end: u8,
    first: u8,
    weights: Vec<u8>,
    escape: u8,
}

/// A model of a plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    shape: Shape,
    escape: Option<u8>,
    tables: Vec<Table>,
}

/// What is known of the length of rows.
#[derive(Clone, Copy, Debug)]
pub enum Lengths {
    /// It has been looked for.
    Known(Option<usize>),
    /// It is to be looked for by the scales of columns, and this is tried as well: their means may tell another.
    Also(Option<usize>),
}

/// Windows that are tried.
const WINDOWS: [u8; 2] = [4, 6];

/// Class of the mean of the block, in the middle.
const MIDDLE: u32 = CLASSES as u32 / 2;

/// Groups that candidates are compared on: as many as classes are found of side by side.
const SAMPLE: usize = 4;

/// What a table costs before its first weight, in bits, and what a weight costs.
const TABLE_BITS: u64 = 40;
const WEIGHT_BITS: u64 = 5;

/// What the weight of a symbol that does not occur costs beside others of its kind, in bits.
const GAP_BITS: u64 = 3;

/// What an escaped symbol costs more than one of a table, in bits.
const ESCAPE_BITS: u64 = 6;

/// Classes are joined until they hold one in so many elements, before tables are assigned to them.
const UNITS: u64 = 128;

/// The same where models are compared, which takes a fourth of the time.
const COARSE: u64 = 32;

/// Symbols at the ends of a table rarer than this are escaped: they would cost more by the slot that each needs at least.
const RARE: u64 = 16_000;

impl Model {
    /// A model of the symbols of a block, which occur `counts` times each, and about how many bits it takes to code them with it; leaves
    /// their classes in `classes`. `None` if there is none worth a thought, or none that a
    /// sample promises to come within two hundredths of `most` bits.
    pub fn choose(
        symbols: &[u8],
        counts: &[u32; 256],
        spec: &FieldSpec,
        kind: Kind,
        lengths: Lengths,
        most: u64,
        classes: &mut Vec<u8>,
    ) -> Option<(Model, u64)> {
        let magnitude = magnitude(counts, symbols.len(), spec, kind);
        let table = magnitude.table();
        let sum: u64 = counts.iter().zip(&table).map(|(c, m)| *c as u64 * *m as u64).sum();
        let start = (sum / symbols.len().max(1) as u64).min(u16::MAX as u64) as u16;
        if start < 2 {
            return None;
        }
        let plain = |window: u8| {
            let first_class = fine_class((start as u32) << window).saturating_sub(MIDDLE).min(255) as u8;
            Shape { magnitude, window, start, first_class, columns: Vec::new() }
        };
        let [other, window] = WINDOWS;
        let mut shapes = vec![plain(window)];
        let lengths = match lengths {
            Lengths::Known(length) => [length, None],
            Lengths::Also(also) => {
                let found = columns::period(symbols, &table);
                [also.filter(|_| also != found), found]
            }
        };
        let columns = lengths.into_iter().flatten().filter_map(|rows| columns::differ(symbols, &table, rows));
        shapes.extend(columns.map(|columns| Shape { columns, ..plain(window) }));
        let classes = super::lend(classes, symbols.len());
        let mut promised = |shape: &Shape| {
            let counts = count(shape, symbols, SAMPLE, classes);
            let total: u64 = counts.iter().flatten().map(|c| *c as u64).sum();
            segment(&counts, COARSE).1 * symbols.len() as u64 / total.max(1) + column_bits(&shape.columns)
        };
        let promises = shapes.into_iter().map(|shape| (promised(&shape), shape));
        let (bits, shape) = promises.min_by_key(|(bits, _)| *bits)?;
        if most < u64::MAX && bits / 102 > most / 100 {
            return None;
        }
        // Which window is best is hardly a matter of columns.
        let narrow = Shape { columns: shape.columns.clone(), ..plain(other) };
        let shape = if promised(&narrow) < bits { narrow } else { shape };
        let counts = count(&shape, symbols, usize::MAX, classes);
        let (ends, bits) = segment(&counts, UNITS);
        let bits = bits + column_bits(&shape.columns);
        let model = Model::of(shape, &counts, &ends);
        model.frequencies().is_some().then_some((model, bits))
    }

    /// The model with one table for the classes up to each end.
    fn of(shape: Shape, counts: &ClassHistogram, ends: &[u8]) -> Model {
        let all = merge(counts);
        let rarest = (0..256).rev().min_by_key(|s| all[*s]).unwrap_or(0);
        let total: u64 = all.iter().map(|c| *c as u64).sum();
        let escape = (all[rarest] as u64 * RARE < total).then_some(rarest as u8);
        let table = |(range, end): (std::ops::Range<usize>, &u8)| {
            let mut counts = merge(&counts[range]);
            let all: u32 = counts.iter().sum();
            let mut window = 0..256;
            if let Some(escape) = escape {
                counts[escape as usize] = 0;
                window = keep(&mut counts);
            }
            let rare = all - counts[window.clone()].iter().sum::<u32>();
            let most = counts.iter().copied().max().unwrap_or(1).max(1);
            let weight = |c: u32| match c {
                0 => 0,
                c => (127 - ((8 * (log2(most) - log2(c.min(most))) + (1 << 15)) >> 16).min(126)) as u8,
            };
            let mut weights: Vec<u8> = counts[window.clone()].iter().map(|c| weight(*c)).collect();
            if escape.is_none() {
                // A table has two entries at least.
                let missing = 2usize.saturating_sub(weights.iter().filter(|w| **w > 0).count());
                weights.iter_mut().filter(|w| **w == 0).take(missing).for_each(|w| *w = 1);
            }
            let escape = if escape.is_some() { weight(rare.max(1)) } else { 0 };
            Table { end: *end, first: window.start as u8, weights, escape }
        };
        let tables = pieces(ends).zip(ends).map(table).collect();
        Model { shape, escape, tables }
    }

    fn frequencies(&self) -> Option<Vec<Frequencies>> {
        self.tables.iter().map(|t| Frequencies::from_weights(t.first, &t.weights, t.escape)).collect()
    }

    fn table_of(&self) -> [u8; CLASSES] {
        std::array::from_fn(|c| self.tables.iter().filter(|t| t.end as usize <= c).count() as u8)
    }

    /// What the encoder needs; `None` if a table has too few entries.
    pub fn encoder(&self) -> Option<EncodeModel> {
        Some(EncodeModel::new(&self.table_of(), &self.frequencies()?))
    }

    /// Prepares the decoder.
    pub fn build(&self, decoder: &mut DecodeModel) -> Result<()> {
        let frequencies = self.frequencies().ok_or_else(|| bad("malformed frequencies"))?;
        if !decoder.build(&self.shape, &self.table_of(), &frequencies, self.escape) {
            return Err(bad("malformed model"));
        }
        Ok(())
    }

    /// Appends the descriptor, after its mode.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (form, origin) = match self.shape.magnitude {
            Magnitude::Float { mantissa, origin } => (mantissa, origin),
            Magnitude::Integer { origin } => (8, origin),
        };
        out.push(form | (self.shape.window - 1) << 4 | (self.escape.is_some() as u8) << 7);
        out.push(origin);
        out.extend(self.shape.start.to_le_bytes());
        out.push(self.shape.first_class);
        out.extend(self.escape);
        varint::write(self.shape.columns.len() as u64, out);
        if let Some(code) = column_code(&self.shape.columns) {
            code.write(out);
            huffman::encode_group(&EncodeTable::new(&code), &self.shape.columns, out);
        }
        out.push(self.tables.len() as u8);
        self.tables.iter().rev().skip(1).rev().for_each(|t| out.push(t.end));
        let mut bits = BitWriter::new(out);
        for t in &self.tables {
            bits.put(t.first as u64, 8);
            bits.put((t.first as usize + t.weights.len() - 1) as u64, 8);
            if self.escape.is_some() {
                bits.put(t.escape as u64, 7);
            }
            bits.put_weights(&t.weights);
        }
        bits.finish();
    }

    /// Reads the descriptor, after its mode.
    pub fn read(from: &mut Cursor<'_>) -> Result<Model> {
        let form = from.byte()?;
        let origin = from.byte()?;
        let magnitude = match form & 15 {
            8 => Magnitude::Integer { origin },
            mantissa @ 0..8 => Magnitude::Float { mantissa, origin },
            other => return Err(bad(format_args!("magnitude of kind {other}"))),
        };
        let window = (form >> 4 & 7) + 1;
        let start = from.u16()?;
        let first_class = from.byte()?;
        let escape = if form >> 7 == 1 { Some(from.byte()?) } else { None };
        let columns = read_columns(from)?;
        let count = from.byte()? as usize;
        if !(1..=MAX_TABLES).contains(&count) {
            return Err(bad(format_args!("{count} frequency tables")));
        }
        let mut ends = from.take(count - 1)?.to_vec();
        ends.push(CLASSES as u8);
        if ends[0] == 0 || ends.windows(2).any(|e| e[0] >= e[1]) {
            return Err(bad("classes of frequency tables out of order"));
        }
        let mut bits = BitReader::new(from.0);
        let tables = ends.into_iter().map(|end| read_table(&mut bits, end, escape.is_some()));
        let tables =
            tables.collect::<Option<Vec<Table>>>().ok_or_else(|| bad("malformed frequency table"))?;
        let size = bits.finish().ok_or_else(|| bad("unused bits of the frequency tables are set"))?;
        from.take(size)?;
        Ok(Model { shape: Shape { magnitude, window, start, first_class, columns }, escape, tables })
    }
}

/// How large the number is that a symbol stands for; the block's median is placed in the middle of what can be told apart.
fn magnitude(counts: &[u32; 256], n: usize, spec: &FieldSpec, kind: Kind) -> Magnitude {
    let mut below = 0u64;
    let median = counts.iter().position(|c| {
        below += *c as u64;
        2 * below >= n as u64
    });
    let median = median.unwrap_or(0) as u32;
    match kind {
        Kind::Float { exponent } => {
            let mantissa = (spec.t - !spec.sign_moved as u8).saturating_sub(exponent).min(7);
            // The low bits of the origin make those of a symbol the mantissa.
            let low = (1u32 << mantissa) - 1;
            let align = (spec.base as u32).wrapping_neg() & low;
            let lowest = median.saturating_sub(8 << mantissa);
            let origin = (lowest & !low) + align;
            Magnitude::Float { mantissa, origin: origin.min(255) as u8 }
        }
        Kind::Signed => Magnitude::Integer { origin: 0 },
        Kind::Unsigned | Kind::Blocks => Magnitude::Integer { origin: median as u8 },
    }
}

/// How often each symbol occurs in each class, in so many groups if there are more of them, scaled to about all; leaves the
/// classes of these groups in `classes`.
fn count(shape: &Shape, symbols: &[u8], groups: usize, classes: &mut [u8]) -> Box<ClassHistogram> {
    let walk = Walk::new(shape);
    let mut counts = Box::new([[0; 256]; CLASSES]);
    let stride = (symbols.len() / GROUP / groups).max(1);
    let symbols = &symbols[..symbols.len().min((stride * GROUP).saturating_mul(groups))];
    modelled::classify_groups(&walk, symbols, GROUP, stride, classes);
    for (part, classes) in symbols.chunks(GROUP).zip(classes.chunks(GROUP)).step_by(stride) {
        modelled::histogram(classes, part, &mut counts);
    }
    counts.iter_mut().flatten().for_each(|c| *c *= stride as u32);
    counts
}

fn pieces(ends: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let starts = std::iter::once(0).chain(ends.iter().map(|e| *e as usize));
    starts.zip(ends).map(|(from, to)| from..*to as usize)
}

fn merge(counts: &[[u32; 256]]) -> [u32; 256] {
    counts.iter().fold([0; 256], |mut sum, c| {
        sum.iter_mut().zip(c).for_each(|(s, c)| *s += c);
        sum
    })
}

/// The symbols that a table is worth having entries for, as a range outside of which all are escaped; sets the counts of rare ones inside
/// to zero.
fn keep(counts: &mut [u32]) -> std::ops::Range<usize> {
    let n: u64 = counts.iter().map(|c| *c as u64).sum();
    let rare = |c: u32| (c as u64) * RARE < n;
    counts.iter_mut().filter(|c| rare(**c)).for_each(|c| *c = 0);
    // From the most frequent one outwards: what lies behind a gap has to be worth the gap.
    let most = (0..counts.len()).rev().max_by_key(|s| counts[*s]).unwrap_or(0);
    let worth = |at: usize, gap: usize| counts[at] as u64 * ESCAPE_BITS > WEIGHT_BITS + GAP_BITS * gap as u64;
    let mut window = most..most + 1;
    for s in (0..most).rev() {
        if worth(s, window.start - s - 1) {
            window.start = s;
        }
    }
    for s in most + 1..counts.len() {
        if worth(s, s - window.end) {
            window.end = s + 1;
        }
    }
    window
}

/// Bits of a table and of what is coded with it, of the values that occur at all.
fn cost(counts: &[u32]) -> u64 {
    let mut kept = [0; 256];
    let kept = &mut kept[..counts.len()];
    kept.copy_from_slice(counts);
    let window = keep(kept);
    let n: u64 = counts.iter().map(|c| *c as u64).sum();
    let inside: u64 = kept[window.clone()].iter().map(|c| *c as u64).sum();
    let escaped = (n - inside).min(u32::MAX as u64);
    entropy::bits(kept[window.clone()].iter().copied().chain([escaped as u32]))
        + 8 * escaped
        + TABLE_BITS
        + WEIGHT_BITS * window.len() as u64
}

/// The cheapest way to give neighbouring classes a table each, as the ends of the tables' classes, by dynamic programming; and what it
/// costs. Classes with less than one element in `one_of` are joined.
fn segment(counts: &ClassHistogram, one_of: u64) -> (Vec<u8>, u64) {
    // Classes that hardly occur go with the ones below: the first of each unit, and its counts.
    let total: u64 = counts.iter().flatten().map(|c| *c as u64).sum();
    let mut units: Vec<(usize, u64, [u32; 256])> = Vec::new();
    for (class, counts) in counts.iter().enumerate() {
        let n: u64 = counts.iter().map(|c| *c as u64).sum();
        match units.last_mut() {
            Some((_, m, sum)) if (*m + n) * one_of < total || n == 0 => {
                *m += n;
                sum.iter_mut().zip(counts).for_each(|(s, c)| *s += c);
            }
            _ => units.push((class, n, *counts)),
        }
    }
    let range = entropy::range(&merge(counts));
    let n = units.len();
    let mut best = vec![(u64::MAX, 0usize, 0usize); n + 1];
    best[0] = (0, 0, 0);
    for from in 0..n {
        let mut sum = [0u32; 256];
        let sum = &mut sum[range.clone()];
        for to in from..n {
            sum.iter_mut().zip(&units[to].2[range.clone()]).for_each(|(s, c)| *s += c);
            let total = best[from].0 + cost(sum);
            if total < best[to + 1].0 && best[from].2 < MAX_TABLES {
                best[to + 1] = (total, from, best[from].2 + 1);
            }
        }
    }
    let mut ends = Vec::new();
    let mut at = n;
    while at > 0 {
        ends.push(units.get(at).map_or(CLASSES, |u| u.0) as u8);
        at = best[at].1;
    }
    ends.reverse();
    (ends, best[n].0)
}

fn column_code(columns: &[u8]) -> Option<CodeLengths> {
    let mut counts = [0; 256];
    histogram::bytes(columns, &mut counts);
    CodeLengths::for_counts(&counts, 12)
}

fn column_bits(columns: &[u8]) -> u64 {
    let mut counts = [0; 256];
    histogram::bytes(columns, &mut counts);
    column_code(columns)
        .map_or(0, |code| huffman::coded_bits(&counts, &code) + 8 * (code.written_size() as u64 + 16))
}

fn read_columns(from: &mut Cursor<'_>) -> Result<Vec<u8>> {
    let count = from.varint()?;
    if count == 0 {
        return Ok(Vec::new());
    }
    if !(2..=MAX_COLUMNS as u64).contains(&count) {
        return Err(bad(format_args!("{count} columns")));
    }
    let (code, size) = CodeLengths::read(from.0).ok_or_else(|| bad("malformed code table of the columns"))?;
    from.take(size)?;
    let mut table = DecodeTable::new();
    table.build(&code, count as usize);
    let mut columns = vec![0; count as usize];
    let taken = huffman::decode_group(&table, from.0, &mut columns)
        .filter(|_| columns.iter().all(|c| *c < SCALES))
        .ok_or_else(|| bad("malformed columns"))?;
    from.take(taken)?;
    Ok(columns)
}

fn read_table(bits: &mut BitReader<'_>, end: u8, has_escape: bool) -> Option<Table> {
    let (first, last) = (bits.take(8) as u8, bits.take(8) as u8);
    let escape = if has_escape { bits.take(7) as u8 } else { 0 };
    let weights = bits.take_weights((last as usize + 1).checked_sub(first as usize)?.max(1))?;
    (first <= last).then_some(Table { end, first, weights, escape })
}

//! What encoder and decoder have in common: magnitudes, predictions, tables.

/// Rows of a group that are coded side by side.
pub const LANES: usize = 16;

/// The longest row.
pub const MAX_PERIOD: usize = 32_768;

/// The longest row of which columns have weights.
pub const MAX_WEIGHTED: usize = 1024;

/// What the weights of a column add up to at most, regardless of their signs: sums of products and a bias stay below 2^31.
pub const MAX_WEIGHT_SUM: u32 = 60_000;

/// The most bits of mantissa in a symbol.
pub const MAX_MANTISSA: u8 = 3;

/// Scales that a column can have, an eighth of an octave apart.
pub const SCALES: u8 = 64;

/// The scale of a column whose numbers are taken as they are.
pub const NEUTRAL: u8 = 32;

/// Bins of the curve, each an eighth of the width.
pub const BINS: usize = 96;

/// The bias of a column that has none.
pub const MIDDLE: u8 = 64;

/// Octaves of a table, and how many of them are below the width.
const OCTAVES: i32 = 13;
pub(crate) const BELOW: i32 = 9;

/// Places of the prediction that tables are made for, in eighths of the width.
pub(crate) const PLACES: usize = 33;

/// Tables of a model: for each eighth of an octave of the width, for each place of the prediction.
pub(crate) const TABLES: usize = 8 * PLACES;

/// Frequencies of a table add up to 2 to this.
pub(crate) const PROBABILITY_BITS: u32 = 15;

/// What the frequencies of a table add up to.
pub(crate) const TOTAL: u32 = 1 << PROBABILITY_BITS;

/// Bits of an escaped symbol and its sign.
pub(crate) const ESCAPED_BITS: u32 = 9;

/// 2^(-r/8), in units of 2^-16.
pub(crate) const EIGHTHS: [u32; 8] = [65536, 60097, 55109, 50535, 46341, 42495, 38968, 35734];

/// The largest number, scaled; the smallest is as far from 0.
pub(crate) const LARGEST: i32 = 32_767;

/// What a block's numbers are coded with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bits of mantissa of a symbol, at most [`MAX_MANTISSA`].
    pub mantissa: u8,
    /// Symbols are all that there is of a number but its sign: it has been rounded to them, not cut off.
    pub rounded: bool,
    /// The symbol with magnitude one.
    pub origin: u8,
    /// Errors are averaged over about 2 to this many elements; 1 to 8.
    pub window: u8,
    /// The mean error that a lane begins with.
    pub start: u16,
    /// Elements of a row, 1 to [`MAX_PERIOD`].
    pub period: usize,
    /// The scale of each column, below [`SCALES`]; empty when columns are alike.
    pub scales: Vec<u8>,
    /// What each column's prediction begins with, in 32nds of 1024, counted from [`MIDDLE`]; below 128. As many as scales.
    pub biases: Vec<u8>,
    /// Fractional bits of weights, at most 15.
    pub precision: u8,
    /// Column 1's weight of column 0, column 2's weights of columns 0 and 1, …; empty when nothing but the bias is predicted. Only with
    /// scales, and at most [`MAX_WEIGHTED`] columns; within [`MAX_WEIGHT_SUM`].
    pub weights: Vec<i8>,
    /// Of the curve: how often the error is in each eighth of the width, as logarithms like those of [`crate::rans::Frequencies`]; not all
    /// zero, below 128.
    pub curve: [u8; BINS],
}

/// The magnitude of each symbol, at most 65,535.
pub fn magnitudes(mantissa: u8, rounded: bool, origin: u8) -> [u16; 256] {
    let k = mantissa.min(MAX_MANTISSA) as u32;
    std::array::from_fn(|s| {
        let Some(v) = (s as u32).checked_sub(origin as u32) else { return 0 };
        let m = 2 * ((1 << k) | (v & ((1 << k) - 1))) + !rounded as u32;
        let octave = v >> k;
        if octave >= 16 { u16::MAX } else { ((m << octave) >> (k + 1)) as u16 }
    })
}

/// Slots of a part of a table, 2 to this many: the fewer they are, the fewer entries are passed on the way to that of a slot.
pub(crate) const PART_BITS: u32 = 5;

/// Parts of a table.
const PARTS: usize = 1 << (PROBABILITY_BITS - PART_BITS);

/// The cumulated frequencies of the entries in one context: negative numbers, from the largest, the escape, positive numbers.
#[repr(C)]
pub(crate) struct Table {
    /// The entry that holds the first slot of each part.
    pub first: [u8; PARTS],
    /// Entry `e` has the slots from `below[e]` to before `below[e + 1]`.
    pub below: [u16; 256],
}

impl Table {
    #[inline(always)]
    pub fn below(&self, entry: u32) -> u32 {
        self.below[(entry & 255) as usize] as u32
    }
}

/// The weights of columns `2 i` and `2 i + 1` for a pair of columns before them, or for `2 i` and itself.
pub(crate) type Pair = [[i16; 2]; 2];

/// The numbers of all lanes in a pair of columns.
pub(crate) type Both = [[i16; 2]; LANES];

/// What a column's numbers are scaled and predicted with.
#[derive(Clone, Copy, Default)]
pub(crate) struct Column {
    /// What its magnitudes are multiplied by, in units of 2^-12.
    pub multiplier: u32,
    /// What is to be added to the class of the mean error.
    pub octave: i32,
    /// Of the sum that is predicted.
    pub bias: i32,
}

/// A model, laid out for loops.
#[derive(Default)]
pub struct Model {
    /// None, or as many as there can be.
    pub(crate) tables: Vec<Table>,
    magnitude: Vec<u16>,
    columns: Vec<Column>,
    /// For each pair of columns those of all pairs up to itself; empty if nothing but the bias is predicted.
    pairs: Vec<Pair>,
    pub(crate) precision: u32,
    pub(crate) period: usize,
    pub(crate) window: u32,
    pub(crate) start: u32,
    /// By class: eighths of a mean error in 2^-16.
    reciprocal: Vec<u32>,
    pub(crate) mantissa: u32,
    pub(crate) rounded: bool,
    pub(crate) origin: u32,
    /// Numbers of a sign in a table.
    pub(crate) numbers: u32,
}

/// The context of a number: what table, whether its sign is turned around, what symbol the table's first number is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Context {
    pub table: u32,
    pub turned: u32,
    pub lowest: i32,
    pub class: u32,
}

impl Model {
    /// An empty model, to be built before use; keep it to reuse its memory.
    pub fn new() -> Model {
        Model::default()
    }

    /// Prepares a model without its tables; `false` unless all is within its limits.
    pub fn lay_out(&mut self, shape: &Shape) -> bool {
        let p = shape.period;
        let (columns, weights) = (shape.scales.len(), shape.weights.len());
        let mut rest = shape.weights.as_slice();
        let sums = (0..p).all(|j| {
            let own = rest.split_off(..j.min(rest.len())).unwrap_or_default();
            own.iter().map(|w| w.unsigned_abs() as u32).sum::<u32>() <= MAX_WEIGHT_SUM
        });
        let good = shape.mantissa <= MAX_MANTISSA
            && (1..=8).contains(&shape.window)
            && (1..=MAX_PERIOD).contains(&p)
            && (columns == 0 || columns == p)
            && columns == shape.biases.len()
            && shape.scales.iter().all(|s| *s < SCALES)
            && shape.biases.iter().all(|b| *b < 128)
            && shape.precision <= 15
            && (weights == 0 || columns == p && p <= MAX_WEIGHTED && weights == p * (p - 1) / 2)
            && sums;
        if !good {
            return false;
        }
        self.window = shape.window as u32;
        self.start = (shape.start as u32) << self.window;
        self.period = p;
        self.precision = if weights == 0 { 0 } else { shape.precision as u32 };
        self.mantissa = shape.mantissa as u32;
        self.rounded = shape.rounded;
        self.origin = shape.origin as u32;
        self.numbers = (OCTAVES as u32) << self.mantissa;
        self.magnitude = magnitudes(shape.mantissa, shape.rounded, shape.origin).to_vec();
        let column = |scale: u8, bias: u8| {
            let scale = scale as usize;
            Column {
                multiplier: EIGHTHS[scale % 8] >> (scale / 8),
                octave: scale as i32 - NEUTRAL as i32 - 8 * self.window as i32,
                bias: (bias as i32 - MIDDLE as i32) << 5 << self.precision,
            }
        };
        self.columns.clear();
        self.columns.extend(shape.scales.iter().zip(&shape.biases).map(|(s, b)| column(*s, *b)));
        self.columns.resize(p, column(NEUTRAL, MIDDLE));
        self.pairs.clear();
        if weights > 0 {
            let of = |column: usize, before: usize| -> i16 {
                let known = before < column && column < p;
                if known { shape.weights[column * (column - 1) / 2 + before] as i16 } else { 0 }
            };
            for i in 0..p.div_ceil(2) {
                let pair = |k: usize| [2 * i, 2 * i + 1].map(|j| [of(j, 2 * k), of(j, 2 * k + 1)]);
                self.pairs.extend((0..=i).map(pair));
            }
        }
        self.reciprocal.clear();
        let reciprocal = |class: u32| (EIGHTHS[class as usize % 8] << (3 + self.window)) >> (class / 8);
        self.reciprocal.extend((0..256).map(reciprocal));
        true
    }

    /// Prepares the tables of a curve, as told by its weights; `false` if they are all zero or some are too large.
    pub fn build_tables(&mut self, shape: &Shape) -> bool {
        let Some(curve) = cumulate(&shape.curve) else { return false };
        let octaves = OCTAVES as u32;
        let k = self.mantissa;
        let entries = 2 * self.numbers + 1;
        self.tables.resize_with(TABLES, || Table { first: [0; PARTS], below: [0; 256] });
        let mut edges = [0i32; 256];
        for (f, tables) in self.tables.chunks_mut(PLACES).enumerate() {
            // The lower edge of each number, in 1024ths of the width; that of the one behind the last is not used.
            for (i, edge) in edges.iter_mut().enumerate().take((octaves << k) as usize) {
                let (octave, m) = (i as u32 >> k, i as u32 & ((1 << k) - 1));
                let half = match (shape.rounded, m) {
                    (false, _) => 0,
                    (true, 0) => 1,
                    (true, _) => 2,
                };
                let edge_of = (4 * ((1u64 << k) | m as u64) - half) << octave;
                *edge = ((edge_of * EIGHTHS[f] as u64) >> (17 + k)) as i32;
            }
            for (place, table) in tables.iter_mut().enumerate() {
                let shift = place as i32 * 128;
                let n = self.numbers as usize;
                let below = |entry: usize| -> u32 {
                    let edge = match entry {
                        0 => return 0,
                        e if e > 2 * n => return TOTAL,
                        e if e <= n => edges.get(n - e).map_or(0, |r| -r),
                        e => edges.get(e - n - 1).copied().unwrap_or(0),
                    };
                    // A number behind the last edge belongs to the last entry.
                    let edge = if entry == 0 { i32::MIN } else { edge };
                    entry as u32 + ((share(&curve, edge - shift) * (TOTAL - entries) as u64) >> 21) as u32
                };
                table.below = [TOTAL as u16; 256];
                for (entry, to) in table.below.iter_mut().enumerate().take(entries as usize + 1) {
                    *to = below(entry) as u16;
                }
                let mut part = 0;
                for (entry, slots) in table.below.windows(2).enumerate().take(entries as usize) {
                    let end = (slots[1] as usize).div_ceil(1 << PART_BITS);
                    table.first.get_mut(part..end).unwrap_or_default().fill(entry as u8);
                    part = end;
                }
            }
        }
        true
    }

    /// The symbol with which magnitudes begin.
    pub(crate) fn magnitude(&self) -> Option<&[u16; 256]> {
        self.magnitude.as_slice().try_into().ok()
    }

    pub(crate) fn reciprocal(&self) -> Option<&[u32; 256]> {
        self.reciprocal.as_slice().try_into().ok()
    }

    /// What a column is scaled and predicted with.
    #[inline(always)]
    pub(crate) fn column(&self, column: usize) -> Column {
        self.columns.get(column).copied().unwrap_or_default()
    }

    /// The weights of a pair of columns for all pairs up to itself, if there are any.
    #[inline(always)]
    pub(crate) fn pairs(&self, i: usize) -> &[Pair] {
        let at = i * (i + 1) / 2;
        self.pairs.get(at..at + i + 1).unwrap_or_default()
    }

    /// What is predicted, of the sum of a bias and products.
    #[inline(always)]
    pub(crate) fn predicted(&self, sum: i32) -> i32 {
        (sum >> self.precision).clamp(-LARGEST, LARGEST)
    }

    /// The context of a number, of which so much is predicted after this mean error.
    #[inline(always)]
    pub(crate) fn context(&self, mean: u32, predicted: i32, octave: i32, reciprocal: &[u32; 256]) -> Context {
        let class = class_of(mean);
        let width = class as i32 + octave;
        let place = (predicted.unsigned_abs() as u64 * reciprocal[class as usize] as u64 + (1 << 15)) >> 16;
        Context {
            table: (width & 7) as u32 * PLACES as u32 + place.min(PLACES as u64 - 1) as u32,
            turned: (predicted < 0) as u32,
            lowest: self.origin as i32 + (((width >> 3) - BELOW) << self.mantissa),
            class,
        }
    }

    /// A number, scaled, of a column with this multiplier.
    #[inline(always)]
    pub(crate) fn scaled(&self, magnitude: u16, sign: u32, multiplier: u32) -> i32 {
        let x = ((magnitude as u32 * multiplier) >> 12).min(LARGEST as u32) as i32;
        if sign == 0 { x } else { -x }
    }

    /// The mean error after one more.
    #[inline(always)]
    pub(crate) fn step(&self, mean: u32, error: u32) -> u32 {
        mean - (mean >> self.window) + error
    }
}

/// 8 · ⌊log2 a⌋ and the three bits of a that follow the highest, with a = mean + 8, which a floating-point number, exact below 2^24, has side
/// by side.
#[inline(always)]
fn class_of(mean: u32) -> u32 {
    let a = (mean + 8).cast_signed() as f32;
    (a.to_bits() >> 20).wrapping_sub(127 << 3) & 255
}

/// The shares of errors up to each eighth of the width, in units of 2^-20.
fn cumulate(weights: &[u8; BINS]) -> Option<[u64; BINS + 1]> {
    // 2^(r/8), in units of 2^-15.
    let weight = |w: u8| if w == 0 { 0 } else { UP[w as usize % 8] << (w / 8) };
    if weights.iter().any(|w| *w >= 128) {
        return None;
    }
    let total: u64 = weights.iter().map(|w| weight(*w)).sum();
    let mut sum = 0;
    let mut curve = [0; BINS + 1];
    for (to, w) in curve[1..].iter_mut().zip(weights) {
        sum += weight(*w);
        *to = (sum << 20).checked_div(total)?;
    }
    Some(curve)
}

/// 2^(r/8), in units of 2^-15.
const UP: [u64; 8] = [32768, 35734, 38968, 42495, 46341, 50535, 55109, 60097];

/// The share of errors below a place in 1024ths of the width, in units of 2^-21.
fn share(curve: &[u64; BINS + 1], place: i32) -> u64 {
    let at = place.unsigned_abs() as usize;
    let (bin, part) = (at >> 7, (at & 127) as u64);
    let up_to = match (curve.get(bin), curve.get(bin + 1)) {
        (Some(from), Some(to)) => from + (((to - from) * part) >> 7),
        _ => 1 << 20,
    };
    if place < 0 { (1 << 20) - up_to } else { (1 << 20) + up_to }
}

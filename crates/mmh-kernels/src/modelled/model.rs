//! What encoder and decoder have in common: magnitudes, classes.

/// Classes that the running mean is told apart by, before tables are assigned to them.
pub const CLASSES: usize = 64;

/// The most tables of a model.
pub const MAX_TABLES: usize = 32;

/// The most columns of a model.
pub const MAX_COLUMNS: usize = 32_768;

/// Scales that a column can have, a quarter of an octave apart.
pub const SCALES: u8 = 25;

/// The scale of a column like all others.
pub const NEUTRAL: u8 = 12;

/// Counts of symbols, by class.
pub type ClassHistogram = [[u32; 256]; CLASSES];

/// How large the number is that a symbol stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Magnitude {
    /// The symbol is an exponent followed by this many bits of mantissa, at most 7; `origin` stands for one.
    Float {
        /// Bits of mantissa.
        mantissa: u8,
        /// The symbol with magnitude one.
        origin: u8,
    },
    /// The symbol is an integer, taken as the signed distance from `origin` mod 256.
    Integer {
        /// The symbol with magnitude zero.
        origin: u8,
    },
}

impl Magnitude {
    /// The magnitude of each symbol, at most 16,384.
    pub fn table(self) -> [u16; 256] {
        std::array::from_fn(|s| match self {
            Magnitude::Float { mantissa, origin } => {
                let k = mantissa.min(7) as u32;
                let Some(v) = (s as u32).checked_sub(origin as u32) else { return 0 };
                let octave = v >> k;
                let m = (1 << k) | (v & ((1 << k) - 1));
                if octave >= 14 { 1 << 14 } else { ((m << octave) >> k) as u16 }
            }
            Magnitude::Integer { origin } => {
                (s as u8).wrapping_sub(origin).cast_signed().unsigned_abs() as u16 * 128
            }
        })
    }
}

/// What the context is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Of symbols.
    pub magnitude: Magnitude,
    /// The running mean is over about 2 to this many elements; 1 to 8.
    pub window: u8,
    /// The mean that a lane begins with.
    pub start: u16,
    /// The class of the running mean that is counted as the first.
    pub first_class: u8,
    /// The scale of each column, below [`SCALES`]; empty when columns are alike. At most [`MAX_COLUMNS`].
    pub columns: Vec<u8>,
}

/// 2^(-r/4), in units of 2^-15.
const QUARTERS: [u32; 4] = [32768, 27554, 23170, 19484];

/// What magnitudes are multiplied by, in units of 2^-12 (16 bits), and twice the scale << 16.
fn column_word(scale: u8) -> u32 {
    let scale = scale.min(SCALES - 1) as u32;
    QUARTERS[(scale % 4) as usize] >> (scale / 4) | (2 * scale) << 16
}

/// Eighths of octaves of a running mean s, with a = s + 8: 8 · ⌊log2 a⌋ and the three bits of a that follow the highest.
#[inline(always)]
pub fn fine_class(s: u32) -> u32 {
    let a = s + 8;
    let octave = 31 - a.leading_zeros();
    (octave << 3) + (a >> (octave - 3)) - 8
}

/// More than any class before it is counted from the first.
pub(super) const RAW_CLASSES: usize = 512;

/// A shape, laid out for loops.
#[derive(Default)]
pub struct Walk {
    magnitude: Vec<u16>,
    columns: Vec<u32>,
    window: u32,
    start: u32,
    first_class: u32,
}

/// Where a lane stands.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place {
    /// The running mean of magnitudes, times 2^window.
    pub mean: u32,
    /// The next element's column.
    pub column: u32,
}

impl Walk {
    /// The walk through elements of this shape.
    pub fn new(shape: &Shape) -> Walk {
        let window = shape.window.clamp(1, 8) as u32;
        Walk {
            magnitude: shape.magnitude.table().to_vec(),
            columns: shape.columns.iter().map(|s| column_word(*s)).collect(),
            window,
            start: (shape.start as u32) << window,
            first_class: shape.first_class as u32,
        }
    }

    /// The words of all columns; none where columns are alike.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// The running mean is over about 2 to this many elements.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn window(&self) -> u32 {
        self.window
    }

    /// What is subtracted from the class of an element of a neutral column.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn first_class(&self) -> u32 {
        self.first_class
    }

    /// Whether columns differ.
    pub(super) fn has_columns(&self) -> bool {
        !self.columns.is_empty()
    }

    /// The magnitude of each symbol.
    pub(crate) fn magnitude(&self) -> Option<&[u16; 256]> {
        self.magnitude.as_slice().try_into().ok()
    }

    /// Where a lane begins whose first element is number `first` of the block.
    pub(crate) fn begin(&self, first: usize) -> Place {
        Place { mean: self.start, column: first.checked_rem(self.columns.len()).unwrap_or(0) as u32 }
    }

    /// The word of the column at `place`.
    #[inline(always)]
    pub(super) fn column<const COLUMNS: bool>(&self, place: Place) -> u32 {
        if COLUMNS { self.columns.get(place.column as usize).copied().unwrap_or(0) } else { 0 }
    }

    /// The class of the element at `place`, not yet counted from the first; below [`RAW_CLASSES`].
    #[inline(always)]
    pub(super) fn raw_class<const COLUMNS: bool>(&self, place: Place, column: u32) -> usize {
        let added = if COLUMNS { column >> 16 } else { 2 * NEUTRAL as u32 };
        (fine_class(place.mean) + added) as usize % RAW_CLASSES
    }

    /// For each raw class the class, below [`CLASSES`].
    pub(super) fn class_of_raw(&self) -> [u8; RAW_CLASSES] {
        let first = self.first_class as usize + 2 * NEUTRAL as usize;
        std::array::from_fn(|raw| raw.saturating_sub(first).min(CLASSES - 1) as u8)
    }

    /// Goes on to the next element, after one of magnitude `m`.
    #[inline(always)]
    pub(super) fn step<const COLUMNS: bool>(&self, place: &mut Place, column: u32, m: u32) {
        let m = if COLUMNS { (m * (column & 0xffff)) >> 12 } else { m };
        place.mean = place.mean - (place.mean >> self.window) + m;
        if COLUMNS {
            let next = place.column + 1;
            place.column = if next as usize == self.columns.len() { 0 } else { next };
        }
    }
}

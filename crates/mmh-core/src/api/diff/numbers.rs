//! How far apart elements are, as numbers.

use crate::dtype::{Dtype, Kind};

/// How far numbers are from those of the first file; pairs with a NaN or an infinity are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    /// The largest absolute difference.
    pub max_abs: f64,
    /// The largest difference relative to the number in the first file, of those that are not zero there.
    pub max_rel: f64,
    /// Sum of the squared differences.
    pub squared: f64,
    /// Sum of the squared numbers of the first file.
    pub base: f64,
    /// Pairs that differ, of which at least one is no finite number.
    pub not_finite: u64,
}

impl Numbers {
    fn pair(&mut self, x: f64, y: f64) {
        if !x.is_finite() || !y.is_finite() {
            self.not_finite += (x.to_bits() != y.to_bits()) as u64;
            return;
        }
        self.base += x * x;
        let d = (y - x).abs();
        if d > 0.0 {
            self.squared += d * d;
            self.max_abs = self.max_abs.max(d);
            if x != 0.0 {
                self.max_rel = self.max_rel.max(d / x.abs());
            }
        }
    }

    /// Takes in what was found in another part.
    pub fn add(&mut self, other: &Numbers) {
        self.max_abs = self.max_abs.max(other.max_abs);
        self.max_rel = self.max_rel.max(other.max_rel);
        self.squared += other.squared;
        self.base += other.base;
        self.not_finite += other.not_finite;
    }

    /// Norm of the difference over the norm of the first tensor; `None` where that is zero.
    pub fn relative_norm(&self) -> Option<f64> {
        (self.base > 0.0).then(|| (self.squared / self.base).sqrt())
    }
}

/// Bytes of an element, or of the least number of packed ones that fill whole bytes.
pub fn element_size(dtype: Dtype) -> usize {
    dtype.unit().1 as usize
}

/// Bytes as numbers.
pub enum Decoder {
    F32,
    F64,
    Bf16,
    /// Floats of 8 bits, all of them.
    Table8(Box<[f64; 256]>),
    F16,
    Signed(usize),
    Unsigned(usize),
}

impl Decoder {
    /// `None` for what is no number, or several to a byte.
    pub fn of(dtype: Dtype) -> Option<Decoder> {
        let size = element_size(dtype);
        let table = |exponent, bias, decode: fn(u8) -> Option<f64>| {
            let value = |b: u8| decode(b).unwrap_or_else(|| float(b as u32, 8, exponent, bias));
            Decoder::Table8(Box::new(std::array::from_fn(|b| value(b as u8))))
        };
        Some(match dtype {
            Dtype::F32 | Dtype::C64 => Decoder::F32,
            Dtype::F64 => Decoder::F64,
            Dtype::BF16 => Decoder::Bf16,
            Dtype::F16 => Decoder::F16,
            Dtype::F8_E4M3 => table(4, 7, |b| (b & 0x7F == 0x7F).then_some(f64::NAN)),
            Dtype::F8_E5M2 => table(5, 15, |b| (b & 0x7C == 0x7C).then_some(f64::NAN)),
            Dtype::F8_E4M3FNUZ => table(4, 8, |b| (b == 0x80).then_some(f64::NAN)),
            Dtype::F8_E5M2FNUZ => table(5, 16, |b| (b == 0x80).then_some(f64::NAN)),
            Dtype::Bool | Dtype::F8_E8M0 => return None,
            _ if dtype.unit().0 > 1 => return None,
            _ => match dtype.kind() {
                Kind::Signed => Decoder::Signed(size),
                Kind::Unsigned => Decoder::Unsigned(size),
                Kind::Float { .. } | Kind::Blocks => return None,
            },
        })
    }

    /// Appends the numbers of a range.
    pub fn values(&self, x: &[u8], out: &mut Vec<f64>) {
        match self {
            Decoder::F32 => all(x, out, |b| f32::from_le_bytes(b) as f64),
            Decoder::F64 => all(x, out, f64::from_le_bytes),
            Decoder::Bf16 => all(x, out, |b| f32::from_bits((u16::from_le_bytes(b) as u32) << 16) as f64),
            Decoder::Table8(table) => all(x, out, |b: [u8; 1]| table[b[0] as usize]),
            Decoder::F16 => all(x, out, |b| half(u16::from_le_bytes(b))),
            Decoder::Signed(1) => all(x, out, |b: [u8; 1]| b[0] as i8 as f64),
            Decoder::Signed(2) => all(x, out, |b| i16::from_le_bytes(b) as f64),
            Decoder::Signed(4) => all(x, out, |b| i32::from_le_bytes(b) as f64),
            Decoder::Signed(_) => all(x, out, |b| i64::from_le_bytes(b) as f64),
            Decoder::Unsigned(1) => all(x, out, |b: [u8; 1]| b[0] as f64),
            Decoder::Unsigned(2) => all(x, out, |b| u16::from_le_bytes(b) as f64),
            Decoder::Unsigned(4) => all(x, out, |b| u32::from_le_bytes(b) as f64),
            Decoder::Unsigned(_) => all(x, out, |b| u64::from_le_bytes(b) as f64),
        }
    }

    /// How far the numbers of two ranges of the same length are apart.
    pub fn compare(&self, x: &[u8], y: &[u8]) -> Numbers {
        match self {
            Decoder::F32 => numbers(x, y, |b| f32::from_le_bytes(b) as f64),
            Decoder::F64 => numbers(x, y, f64::from_le_bytes),
            Decoder::Bf16 => numbers(x, y, |b| f32::from_bits((u16::from_le_bytes(b) as u32) << 16) as f64),
            Decoder::Table8(table) => numbers(x, y, |b: [u8; 1]| table[b[0] as usize]),
            Decoder::F16 => numbers(x, y, |b| half(u16::from_le_bytes(b))),
            Decoder::Signed(1) => numbers(x, y, |b: [u8; 1]| b[0] as i8 as f64),
            Decoder::Signed(2) => numbers(x, y, |b| i16::from_le_bytes(b) as f64),
            Decoder::Signed(4) => numbers(x, y, |b| i32::from_le_bytes(b) as f64),
            Decoder::Signed(_) => numbers(x, y, |b| i64::from_le_bytes(b) as f64),
            Decoder::Unsigned(1) => numbers(x, y, |b: [u8; 1]| b[0] as f64),
            Decoder::Unsigned(2) => numbers(x, y, |b| u16::from_le_bytes(b) as f64),
            Decoder::Unsigned(4) => numbers(x, y, |b| u32::from_le_bytes(b) as f64),
            Decoder::Unsigned(_) => numbers(x, y, |b| u64::from_le_bytes(b) as f64),
        }
    }
}

fn all<const N: usize>(x: &[u8], out: &mut Vec<f64>, decode: impl Fn([u8; N]) -> f64) {
    out.extend(x.as_chunks::<N>().0.iter().map(|x| decode(*x)));
}

fn numbers<const N: usize>(x: &[u8], y: &[u8], decode: impl Fn([u8; N]) -> f64) -> Numbers {
    let mut found = Numbers::default();
    for (x, y) in x.as_chunks::<N>().0.iter().zip(y.as_chunks::<N>().0) {
        found.pair(decode(*x), decode(*y));
    }
    found
}

fn half(bits: u16) -> f64 {
    match (bits >> 10 & 0x1F, bits & 0x3FF) {
        (0x1F, 0) => f64::INFINITY.copysign(if bits >> 15 == 1 { -1.0 } else { 1.0 }),
        (0x1F, _) => f64::NAN,
        _ => float(bits as u32, 16, 5, 15),
    }
}

/// A finite float of `width` bits with so many bits of exponent, of this bias.
fn float(bits: u32, width: u32, exponent: u32, bias: i32) -> f64 {
    let mantissa = width - 1 - exponent;
    let field = (bits >> mantissa & ((1 << exponent) - 1)) as i32;
    let fraction = (bits & ((1 << mantissa) - 1)) as f64 / (1u32 << mantissa) as f64;
    let size =
        if field == 0 { fraction * 2f64.powi(1 - bias) } else { (1.0 + fraction) * 2f64.powi(field - bias) };
    if bits >> (width - 1) & 1 == 1 { -size } else { size }
}

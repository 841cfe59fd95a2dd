//! Numbers as the bits of an element, rounded to the nearest, ties to even, by integers alone.

use crate::dtype::Dtype;

/// A float of so many bits of exponent and mantissa; what is too large becomes the largest.
#[inline(always)]
fn narrowed(x: f32, exponent: u32, mantissa: u32, largest: u32) -> u32 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7FFF_FFFF;
    let field = (magnitude >> 23) as i32 - 127 + (1 << (exponent - 1)) - 1;
    let digits = magnitude & 0x7F_FFFF | 0x80_0000;
    // Numbers below the least normal one lose a digit for each power of two.
    let drop = (23 - mantissa + (1 - field).max(0) as u32).min(25);
    let rounded = (digits + (1 << (drop - 1)) - 1 + (digits >> drop & 1)) >> drop;
    let whole = ((field - 1).max(0) as u32).wrapping_shl(mantissa) + rounded;
    whole.min(largest) | bits >> 31 << (exponent + mantissa)
}

/// IEEE 754 binary16.
#[inline(always)]
pub fn f16(x: f32) -> u16 {
    narrowed(x, 5, 10, 0x7BFF) as u16
}

/// The number that a finite binary16 is.
pub fn of_f16(bits: u16) -> f32 {
    let (exponent, mantissa) = ((bits >> 10 & 31) as u32, (bits & 0x3FF) as u32);
    let size = match exponent {
        0 => mantissa as f32 * (1.0 / 16_777_216.0),
        _ => f32::from_bits((exponent + 112) << 23 | mantissa << 13),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// bfloat16.
#[inline(always)]
pub fn bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) as u16
}

/// Elements of a row, in the file's order of bytes.
pub fn append(row: &[f32], dtype: Dtype, out: &mut Vec<u8>) {
    let start = out.len();
    match dtype {
        Dtype::F32 => {
            out.resize(start + 4 * row.len(), 0);
            for (o, x) in out[start..].as_chunks_mut::<4>().0.iter_mut().zip(row) {
                *o = x.to_le_bytes();
            }
        }
        Dtype::BF16 | Dtype::F16 => {
            out.resize(start + 2 * row.len(), 0);
            let to = out[start..].as_chunks_mut::<2>().0.iter_mut().zip(row);
            match dtype {
                Dtype::BF16 => to.for_each(|(o, x)| *o = bf16(*x).to_le_bytes()),
                _ => to.for_each(|(o, x)| *o = f16(*x).to_le_bytes()),
            }
        }
        Dtype::F8_E4M3 => out.extend(row.iter().map(|x| narrowed(*x, 4, 3, 0x7E) as u8)),
        Dtype::F8_E5M2 => out.extend(row.iter().map(|x| narrowed(*x, 5, 2, 0x7B) as u8)),
        Dtype::I8 => {
            let scale = row_scale(row);
            out.extend(row.iter().map(|x| nearest(x / scale) as i8 as u8));
        }
        Dtype::Q8_0 => row.as_chunks::<32>().0.iter().for_each(|block| q8_0(block, out)),
        Dtype::Q4_0 => row.as_chunks::<32>().0.iter().for_each(|block| q4_0(block, out)),
        _ => unreachable!("no weights are made of {}", dtype.name()),
    }
}

/// The largest magnitude of a row of int8 is 127.
pub fn row_scale(row: &[f32]) -> f32 {
    row.iter().fold(0f32, |m, x| m.max(x.abs())).max(1e-12) / 127.0
}

/// The nearest integer, halves away from zero.
#[inline(always)]
fn nearest(x: f32) -> i32 {
    (x + if x < 0.0 { -0.5 } else { 0.5 }) as i32
}

/// GGML's Q8_0: a scale in binary16, and 32 integers from -127 to 127.
fn q8_0(block: &[f32; 32], out: &mut Vec<u8>) {
    let largest = block.iter().fold(0f32, |m, x| m.max(x.abs()));
    let scale = largest / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    out.extend(f16(scale).to_le_bytes());
    out.extend(block.iter().map(|x| nearest(x * inverse) as i8 as u8));
}

/// GGML's Q4_0: a scale in binary16, and 32 integers from -8 to 7, the first half in the low bits.
fn q4_0(block: &[f32; 32], out: &mut Vec<u8>) {
    let largest = block.iter().fold(0f32, |m, x| if x.abs() > m.abs() { *x } else { m });
    let scale = largest / -8.0;
    let inverse = if scale != 0.0 { 1.0 / scale } else { 0.0 };
    out.extend(f16(scale).to_le_bytes());
    let q = |x: f32| ((x * inverse + 8.5) as i32).clamp(0, 15) as u8;
    out.extend((0..16).map(|i| q(block[i]) | q(block[i + 16]) << 4));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_comes_back() {
        for bits in (0..0x7C00u16).chain(0x8000..0xFC00) {
            assert_eq!(f16(of_f16(bits)), bits);
        }
    }

    #[test]
    fn ties_go_to_even_and_large_numbers_to_the_largest() {
        assert_eq!(f16(1.0 + 1.0 / 2048.0), 0x3C00);
        assert_eq!(f16(1.0 + 3.0 / 2048.0), 0x3C02);
        assert_eq!(f16(1e9), 0x7BFF);
        assert_eq!(f16(1e-9), 0);
        assert_eq!(f16(-6e-8), 0x8001);
        assert_eq!(bf16(1.0 + 1.0 / 256.0), 0x3F80);
        assert_eq!(bf16(1.0 + 3.0 / 256.0), 0x3F82);
        assert_eq!(narrowed(448.0, 4, 3, 0x7E), 0x7E);
        assert_eq!(narrowed(-1e6, 4, 3, 0x7E), 0xFE);
        assert_eq!(narrowed(1.0 / 512.0, 4, 3, 0x7E), 1);
        assert_eq!(narrowed(1.0, 5, 2, 0x7B), 0x3C);
    }

    #[test]
    fn blocks_are_ggmls() {
        let block: [f32; 32] = std::array::from_fn(|i| i as f32 - 16.0);
        let mut out = Vec::new();
        q8_0(&block, &mut out);
        assert_eq!(out.len(), 34);
        assert_eq!((out[2] as i8, out[18] as i8, out[33] as i8), (-127, 0, 119));
        out.clear();
        q4_0(&block, &mut out);
        // -16 is the largest: the scale is 2, -16 is 0, 0 is 8, 15 is 15.
        assert_eq!((out.len(), of_f16(u16::from_le_bytes([out[0], out[1]]))), (18, 2.0));
        assert_eq!((out[2] & 15, out[2] >> 4, out[17] >> 4), (0, 8, 15));
    }
}

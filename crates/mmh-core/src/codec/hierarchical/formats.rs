//! How GGUF's quantized types lay out their blocks: `ggml-common.h` and the `dequantize_row_*` functions of ggml's `ggml-quants.c`.

use super::records::{Field, Record};
use crate::dtype::Dtype;
use mmh_kernels::records::Part;

/// Bits of values that share bytes: `span` bytes hold `repeats` values of `bits` bits each, the first ones lowest.
const fn shared(offset: u16, span: u16, bits: u8, repeats: u8) -> Part {
    Part { offset, span, bits, shift: 0, repeats }
}

/// Some bits of neighbouring bytes.
const fn some(offset: u16, span: u16, bits: u8, shift: u8) -> Part {
    Part { offset, span, bits, shift, repeats: 1 }
}

/// Whole bytes, each a value.
fn bytes(offset: u16, count: u16) -> Field {
    Field { count, parts: vec![some(offset, count, 8, 0)], halves: false }
}

/// Numbers of IEEE 754 binary16.
fn halves(offset: u16, count: u16) -> Field {
    Field { count: 2 * count, parts: vec![some(offset, 2 * count, 8, 0)], halves: true }
}

/// Values whose bits stand in one place or two, the low ones first.
fn joined<const N: usize>(count: u16, parts: [Part; N]) -> Field {
    Field { count, parts: parts.to_vec(), halves: false }
}

/// The 12 bytes with the 6-bit scales and minima of Q4_K and Q5_K: four of each as they are, of four more the upper two bits above those.
fn scales_and_minima(at: u16) -> [Field; 4] {
    [
        joined(4, [some(at, 4, 6, 0)]),
        joined(4, [some(at + 4, 4, 6, 0)]),
        joined(4, [some(at + 8, 4, 4, 0), some(at, 4, 2, 6)]),
        joined(4, [some(at + 8, 4, 4, 4), some(at + 4, 4, 2, 6)]),
    ]
}

/// The fields of a block; `None` for types that are no such blocks, or whose bytes are indices into tables, which are noise.
///
/// Pairs of 4-bit values stay bytes: they are coded as one symbol.
pub fn record_of(dtype: Dtype) -> Option<Record> {
    let fields = match dtype {
        Dtype::Q4_0 | Dtype::IQ4_NL => vec![halves(0, 1), bytes(2, 16)],
        Dtype::Q4_1 => vec![halves(0, 1), halves(2, 1), bytes(4, 16)],
        Dtype::Q5_0 => vec![halves(0, 1), joined(32, [shared(6, 16, 4, 2), shared(2, 1, 1, 8)])],
        Dtype::Q5_1 => {
            vec![halves(0, 1), halves(2, 1), joined(32, [shared(8, 16, 4, 2), shared(4, 1, 1, 8)])]
        }
        Dtype::Q8_0 => vec![halves(0, 1), bytes(2, 32)],
        Dtype::Q8_1 => vec![bytes(0, 8), bytes(8, 32)],
        Dtype::Q2_K => vec![bytes(0, 16), bytes(16, 64), halves(80, 1), halves(82, 1)],
        // Two neighbours in a byte as one value: half as many symbols to decode.
        Dtype::Q3_K => vec![
            joined(128, [shared(32, 32, 4, 2), shared(0, 32, 2, 4)]),
            joined(16, [shared(96, 8, 4, 2), shared(104, 4, 2, 4)]),
            halves(108, 1),
        ],
        Dtype::Q4_K => {
            let mut fields = vec![halves(0, 1), halves(2, 1)];
            fields.extend(scales_and_minima(4));
            fields.push(bytes(16, 128));
            fields
        }
        Dtype::Q5_K => {
            let mut fields = vec![halves(0, 1), halves(2, 1)];
            fields.extend(scales_and_minima(4));
            fields.push(joined(256, [shared(48, 32, 4, 2), shared(16, 32, 1, 8)]));
            fields
        }
        Dtype::Q6_K => {
            vec![joined(256, [shared(0, 64, 4, 2), shared(128, 32, 2, 4)]), bytes(192, 16), halves(208, 1)]
        }
        Dtype::Q8_K => vec![bytes(0, 4), bytes(4, 256), bytes(260, 32)],
        Dtype::IQ4_XS => vec![halves(0, 1), bytes(2, 2), bytes(4, 4), bytes(8, 128)],
        Dtype::MXFP4 => vec![bytes(0, 1), bytes(1, 16)],
        Dtype::NVFP4 => vec![bytes(0, 4), bytes(4, 32)],
        _ => return None,
    };
    Some(Record { size: dtype.unit().1 as u16, fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_block_is_in_one_field() {
        let known = Dtype::ALL.iter().filter_map(|d| record_of(*d).map(|r| (d, r)));
        assert_eq!(known.map(|(d, r)| assert!(r.is_sound(), "{}", d.name())).count(), 16);
    }
}

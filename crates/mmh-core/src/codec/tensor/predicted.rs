//! The descriptor of a predicted plane (`spec/codecs/tensor.md`, section 6).

use super::params::{bad, read_code};
use crate::codec::cursor::Cursor;
use crate::codec::symbols::GROUP;
use crate::codec::symbols::bits::{BitReader, BitWriter};
use crate::container::varint;
use crate::error::Result;
use mmh_kernels::histogram;
use mmh_kernels::huffman::{self, CodeLengths, DecodeTable, EncodeTable};
use mmh_kernels::predicted::{BINS, MAX_PERIOD, MAX_WEIGHTED, Model, Shape};

/// What a predicted plane is coded with.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictor {
    pub shape: Shape,
    /// The column of the block's first element.
    pub phase: usize,
}

impl Predictor {
    /// Prepares what encoder and decoder need.
    pub fn build(&self, model: &mut Model) -> Result<()> {
        if model.lay_out(&self.shape) && model.build_tables(&self.shape) {
            return Ok(());
        }
        Err(bad("malformed predictor"))
    }

    /// Appends the descriptor, after its mode. Weights that are all alike have no code, and are left out when they are zero.
    pub fn write(&self, out: &mut Vec<u8>) {
        let shape = &self.shape;
        let code = code_of(&shape.weights);
        let flags = (shape.rounded as u8) << 2
            | (!shape.scales.is_empty() as u8) << 3
            | (shape.window - 1) << 4
            | (code.is_some() as u8) << 7;
        out.push(shape.mantissa | flags);
        out.push(shape.origin);
        out.extend(shape.start.to_le_bytes());
        varint::write(shape.period as u64, out);
        if self.phase > 0 {
            varint::write(self.phase as u64, out);
        }
        if !shape.scales.is_empty() {
            let mut bits = BitWriter::new(out);
            bits.put_weights(&shape.scales);
            bits.put_weights(&shape.biases);
            bits.finish();
        }
        if let Some(code) = code {
            out.push(shape.precision);
            code.write(out);
            let table = EncodeTable::new(&code);
            for part in bytes_of(&shape.weights).chunks(GROUP) {
                huffman::encode_group(&table, part, out);
            }
        }
        let mut bits = BitWriter::new(out);
        bits.put_weights(&shape.curve);
        bits.finish();
    }

    /// Reads the descriptor, after its mode, which tells whether the block may begin within a row.
    pub fn read(from: &mut Cursor<'_>, within_a_row: bool) -> Result<Predictor> {
        let form = from.byte()?;
        let origin = from.byte()?;
        let start = from.u16()?;
        let period = from.varint()?;
        if !(1..=MAX_PERIOD as u64).contains(&period) {
            return Err(bad(format_args!("rows of {period}")));
        }
        let phase = if within_a_row { from.varint()? } else { 0 };
        if within_a_row && !(1..period).contains(&phase) {
            return Err(bad(format_args!("column {phase} in rows of {period}")));
        }
        let (period, phase) = (period as usize, phase as usize);
        let (mut scales, mut biases) = (Vec::new(), Vec::new());
        if form & 8 != 0 {
            let mut bits = BitReader::new(from.0);
            scales = numbers(&mut bits, period)?;
            biases = numbers(&mut bits, period)?;
            take_bits(bits, from)?;
        }
        let (mut precision, mut weights) = (0, Vec::new());
        if form >> 7 == 1 {
            if period > MAX_WEIGHTED || scales.is_empty() {
                return Err(bad(format_args!("weights of {period} columns")));
            }
            precision = from.byte()?;
            weights = read_weights(from, period * (period - 1) / 2)?;
        }
        let mut bits = BitReader::new(from.0);
        let curve = numbers(&mut bits, BINS)?;
        take_bits(bits, from)?;
        let curve = curve.try_into().map_err(|_| bad("malformed curve"))?;
        let shape = Shape {
            mantissa: form & 3,
            rounded: form & 4 != 0,
            origin,
            window: (form >> 4 & 7) + 1,
            start,
            period,
            scales,
            biases,
            precision,
            weights,
            curve,
        };
        Ok(Predictor { shape, phase })
    }
}

fn numbers(bits: &mut BitReader<'_>, count: usize) -> Result<Vec<u8>> {
    bits.take_weights(count).ok_or_else(|| bad("malformed numbers of a predictor"))
}

fn take_bits(bits: BitReader<'_>, from: &mut Cursor<'_>) -> Result<()> {
    let size = bits.finish().ok_or_else(|| bad("unused bits of a predictor are set"))?;
    from.take(size)?;
    Ok(())
}

/// Weights as the bytes that are coded.
fn bytes_of(weights: &[i8]) -> Vec<u8> {
    weights.iter().map(|w| w.cast_unsigned()).collect()
}

/// `None` if there are no two different ones.
fn code_of(weights: &[i8]) -> Option<CodeLengths> {
    let mut counts = [0; 256];
    histogram::bytes(&bytes_of(weights), &mut counts);
    if counts.iter().filter(|c| **c > 0).count() < 2 { None } else { CodeLengths::for_counts(&counts, 12) }
}

fn read_weights(from: &mut Cursor<'_>, count: usize) -> Result<Vec<i8>> {
    let code = read_code(from)?;
    // Each takes a bit at least.
    if count / 8 > from.0.len() {
        return Err(bad(format_args!("{count} weights in {} bytes", from.0.len())));
    }
    let mut table = DecodeTable::new();
    table.build(&code, count);
    let mut weights = vec![0; count];
    for part in weights.chunks_mut(GROUP) {
        let taken =
            huffman::decode_group(&table, from.0, part).ok_or_else(|| bad("weights do not decode"))?;
        from.take(taken)?;
    }
    Ok(weights.into_iter().map(u8::cast_signed).collect())
}

//! The head of a payload: how the block is split, and how each plane is stored (`spec/codecs/tensor.md`, section 2).

use super::modelled::Model;
use super::predicted::Predictor;
use crate::codec::cursor::Cursor;
use crate::codec::symbols::{Codes, Table};
use crate::error::{Error, Result};
use mmh_kernels::fields::FieldSpec;
use mmh_kernels::huffman::CodeLengths;
use mmh_kernels::lanes::Frequencies;
use mmh_kernels::planes;

/// How a plane is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// Every element has this value.
    Constant(u8),
    /// As it is.
    Packed,
    /// Entropy-coded.
    Coded(Box<CodeLengths>),
    /// Entropy-coded in lanes, with 256 states; symbols only. Those without a code stand in a list.
    Lanes(Codes<Frequencies>),
    /// The same, with exact frequencies.
    Exact(Codes<Table>),
    /// Entropy-coded with contexts.
    Modelled(Box<Model>),
    /// Entropy-coded together with the signs of the elements, around what is predicted.
    Predicted(Box<Predictor>),
}

/// The split of a block.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Of the element.
    pub spec: FieldSpec,
    /// Bytes before the first element.
    pub head: u8,
    /// Bits of the low part.
    pub low: u8,
    /// log2 of the elements of a segment, 0 without a low part.
    pub segment: u8,
    /// Whether the sign, the top bit of the rest, is coded with the symbols and in none of the planes.
    pub signed_symbols: bool,
}

/// A plane's place: its width, its shift within its part.
pub type Cut = (u8, u8);

/// A payload that the format does not allow.
pub fn bad(what: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("tensor: {what}"))
}

impl Params {
    /// Bits of the high part.
    pub fn high_bits(&self) -> u32 {
        let kept = self.spec.rest_bits() - self.spec.drop as u32 - self.low as u32;
        kept.saturating_sub(self.signed_symbols as u32)
    }

    /// The planes of the high part; shifts are within what is kept of the rest.
    pub fn high_planes(&self) -> impl Iterator<Item = Cut> {
        let low = self.low;
        planes::cut(self.high_bits()).map(move |(w, s)| (w, s + low))
    }

    /// The planes of the low part.
    pub fn low_planes(&self) -> impl Iterator<Item = Cut> {
        planes::cut(self.low as u32)
    }

    /// Appends the fields before the head and tail bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let s = &self.spec;
        out.push(s.width | (s.sign_moved as u8) << 2 | (s.zigzag as u8) << 3 | self.head << 4);
        out.extend([s.t, s.drop, self.low, self.segment]);
        out.extend(s.base.to_le_bytes());
    }

    /// Reads and checks them.
    pub fn read(from: &mut Cursor<'_>) -> Result<Params> {
        let b0 = from.byte()?;
        let (t, drop, low, segment) = (from.byte()?, from.byte()?, from.byte()?, from.byte()?);
        let base = from.u16()?;
        let spec = FieldSpec { width: b0 & 3, sign_moved: b0 & 4 != 0, zigzag: b0 & 8 != 0, t, drop, base };
        if b0 & 0x80 != 0 {
            return Err(bad("reserved bit 7 of the first byte is set"));
        }
        if !spec.is_valid() {
            return Err(bad(format_args!("impossible split {spec:?}")));
        }
        if drop as u32 + low as u32 > spec.rest_bits() {
            return Err(bad(format_args!("{drop} + {low} low bits of a rest of {}", spec.rest_bits())));
        }
        let segment_ok = if low == 0 { segment == 0 } else { (4..=15).contains(&segment) };
        if !segment_ok {
            return Err(bad(format_args!("segment size 2^{segment} with a low part of {low} bits")));
        }
        Ok(Params { spec, head: (b0 >> 4) & 7, low, segment, signed_symbols: false })
    }
}

/// Reads a code table.
pub fn read_code(from: &mut Cursor<'_>) -> Result<CodeLengths> {
    let (code, size) = CodeLengths::read(from.0).ok_or_else(|| bad("malformed code table"))?;
    from.take(size)?;
    Ok(code)
}

impl Mode {
    /// Appends a plane's descriptor.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Mode::Constant(v) => out.extend([0, *v]),
            Mode::Packed => out.push(1),
            Mode::Coded(code) => {
                out.push(2);
                code.write(out);
            }
            Mode::Lanes(codes) => {
                out.push(3);
                codes.write(out);
            }
            Mode::Modelled(model) => {
                out.push(4);
                model.write(out);
            }
            Mode::Exact(codes) => {
                out.push(5);
                codes.write(out);
            }
            Mode::Predicted(predictor) => {
                out.push(if predictor.phase == 0 { 6 } else { 7 });
                predictor.write(out);
            }
        }
    }

    /// Reads the descriptor of the plane of symbols, of a split, of so many groups.
    pub fn read_symbols(from: &mut Cursor<'_>, params: &Params, groups: usize) -> Result<Mode> {
        let t = params.spec.t;
        match from.0.first() {
            Some(3) => {
                from.byte()?;
                Ok(Mode::Lanes(Codes::read(from, groups)?))
            }
            Some(4) => {
                from.byte()?;
                Ok(Mode::Modelled(Box::new(Model::read(from)?)))
            }
            Some(5) => {
                from.byte()?;
                Ok(Mode::Exact(Codes::read(from, groups)?))
            }
            Some(mode @ (6 | 7)) => {
                let within_a_row = *mode == 7;
                let kept = params.spec.rest_bits() - params.spec.drop as u32 - params.low as u32;
                if !params.spec.sign_moved || kept == 0 {
                    return Err(bad("predicted numbers without a sign"));
                }
                from.byte()?;
                Ok(Mode::Predicted(Box::new(Predictor::read(from, within_a_row)?)))
            }
            _ => match Mode::read(from, 8)? {
                Mode::Constant(value) if t < 8 && value >> t != 0 => {
                    Err(bad(format_args!("constant {value} as a symbol of {t} bits")))
                }
                mode => Ok(mode),
            },
        }
    }

    /// Reads the descriptor of another plane of so many bits.
    pub fn read(from: &mut Cursor<'_>, bits: u8) -> Result<Mode> {
        match from.byte()? {
            0 => {
                let value = from.byte()?;
                if value as u32 >= 1 << bits {
                    return Err(bad(format_args!("constant {value} in a plane of {bits} bits")));
                }
                Ok(Mode::Constant(value))
            }
            1 => Ok(Mode::Packed),
            2 if bits == 8 => Ok(Mode::Coded(Box::new(read_code(from)?))),
            mode => Err(bad(format_args!("mode {mode} for a plane of {bits} bits"))),
        }
    }
}

//! How elements are compared, as it stands in a payload.

use super::bad;
use crate::codec::tensor::Element;
use crate::dtype::Kind;
use crate::error::Result;
use mmh_kernels::differences::Spec;

/// How the elements of a block lie and are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// What their differences are. The low bits that it drops are zero in every element of the block.
    pub spec: Spec,
    /// Bytes before the first element.
    pub head: u8,
}

/// Bytes of a form in a payload.
pub const WRITTEN: usize = 5;

impl Form {
    /// For elements of a kind. The class of a float is its exponent: the step from one float to the next doubles with it, and a change of the
    /// same size is half as many steps.
    pub fn of(element: Element) -> Form {
        let size = 8u8 << element.width;
        let (shift, bits) = match element.kind {
            Kind::Float { exponent } => (size - 1 - exponent.min(size - 1), exponent.min(8)),
            Kind::Signed | Kind::Unsigned | Kind::Blocks => (0, 0),
        };
        let spec = Spec {
            width: element.width,
            float: matches!(element.kind, Kind::Float { .. }),
            // As many as leave no more than 256 symbols.
            mantissa: [7, 4, 3, 2][element.width as usize & 3],
            drop: 0,
            shift,
            bits,
        };
        Form { spec, head: element.head }
    }

    /// Size of an element in bytes.
    pub fn size(&self) -> usize {
        self.spec.size()
    }

    /// Whole elements in a block of so many bytes.
    pub fn count(&self, len: usize) -> usize {
        len.saturating_sub(self.head as usize) >> self.spec.width
    }

    /// As it stands in a payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Spec { width, float, mantissa, drop, shift, bits } = self.spec;
        out.push(width | (float as u8) << 2 | self.head << 3);
        out.extend([mantissa, drop, shift, bits]);
    }

    /// From a payload, for a block of `raw` bytes.
    pub fn read(from: &[u8; WRITTEN], raw: usize) -> Result<Form> {
        let [b, mantissa, drop, shift, bits] = *from;
        let spec = Spec { width: b & 3, float: b & 4 != 0, mantissa, drop, shift, bits };
        let form = Form { spec, head: b >> 3 & 7 };
        let e = 8u32 << spec.width;
        let sound = b < 64
            && form.head as usize <= raw
            && form.count(raw) >= 1
            && mantissa <= 7
            && (drop as u32) < e
            && bits <= 8
            && shift as u32 + bits as u32 <= e;
        if sound { Ok(form) } else { Err(bad(format!("impossible elements {from:02x?}"))) }
    }
}

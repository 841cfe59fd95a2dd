//! Where the counterpart of a block stands, as a payload says it.

use super::{bad, mode, sizes};
use crate::block::MAX_BLOCK;
use crate::codec::Counterpart;
use crate::container::varint;
use crate::error::Result;
use mmh_kernels::conversions::Conversion;

/// Bits of the byte behind the offset that are the mode; those above are the conversion.
const MODE_BITS: u32 = 4;

/// A stretch of a base, or of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its first byte.
    pub offset: u64,
    /// Bytes.
    pub len: usize,
    /// What its elements become.
    pub conversion: Option<Conversion>,
}

impl Place {
    /// Of the counterpart of a block of `raw` bytes; and the mode, and what follows it.
    pub fn read(payload: &[u8], raw: usize) -> Result<(Place, u8, &[u8])> {
        let mut rest = payload;
        let offset = varint::read(&mut rest).ok_or_else(|| bad("malformed offset".into()))?;
        let (&byte, rest) = rest.split_first().ok_or_else(|| bad("no mode".into()))?;
        let (mode, id) = (byte & ((1 << MODE_BITS) - 1), byte >> MODE_BITS);
        let conversion = Conversion::from_id(id);
        if conversion.is_none() && id != 0 {
            return Err(bad(format!("unknown conversion {id}")));
        }
        let (from, to) = sizes(conversion);
        if !raw.is_multiple_of(to) {
            return Err(bad(format!("{raw} bytes are no whole number of converted elements")));
        }
        let len = raw / to * from;
        if len > MAX_BLOCK {
            return Err(bad(format!("a counterpart of {len} bytes, at most {MAX_BLOCK} are allowed")));
        }
        Ok((Place { offset, len, conversion }, mode, rest))
    }
}

/// Appends the offset of a counterpart.
pub fn write_offset(of: &Counterpart<'_>, out: &mut Vec<u8>) {
    varint::write(of.offset, out);
}

/// Appends the mode, and how the elements of the counterpart are converted.
pub fn write_mode(mode: u8, of: &Counterpart<'_>, out: &mut Vec<u8>) {
    debug_assert!(mode <= mode::SPARSE);
    out.push(mode | of.conversion.map_or(0, Conversion::id) << MODE_BITS);
}

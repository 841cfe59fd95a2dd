//! NumPy's format, version 1: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use super::Row;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::generate::sink::Sink;

pub fn write(row: &Row, sink: &mut dyn Sink) -> Result<()> {
    let descr = match row.dtype {
        Dtype::F64 => "<f8",
        Dtype::F16 => "<f2",
        Dtype::I8 => "|i1",
        _ => "<f4",
    };
    let shape: Vec<String> = row.shape.iter().map(u64::to_string).collect();
    let shape = shape.join(", ") + if row.shape.len() == 1 { "," } else { "" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The newline at its end is followed by a multiple of 64.
    let padding = (10 + header.len() + 1).next_multiple_of(64) - (10 + header.len() + 1);
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    sink.bytes(bytes)?;
    sink.tensor(0, row.len)
}

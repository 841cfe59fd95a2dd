//! What `torch.save` writes: a zip archive of a pickled dictionary and of storages.
//!
//! The pickle calls what PyTorch's own does, and nothing else: `torch.load(…, weights_only=True)` opens it.

use super::zip::Archive;
use super::{About, Row};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::generate::sink::Sink;

/// What PyTorch calls a storage of the dtype, or the dtype itself where there is no storage of its own.
fn class(dtype: Dtype) -> Result<&'static str, &'static str> {
    match dtype {
        Dtype::F64 => Ok("DoubleStorage"),
        Dtype::F16 => Ok("HalfStorage"),
        Dtype::BF16 => Ok("BFloat16Storage"),
        Dtype::I8 => Ok("CharStorage"),
        Dtype::I64 => Ok("LongStorage"),
        Dtype::F8_E4M3 => Err("float8_e4m3fn"),
        Dtype::F8_E5M2 => Err("float8_e5m2"),
        _ => Ok("FloatStorage"),
    }
}

/// Opcodes of protocol 2.
struct Pickle(Vec<u8>);

impl Pickle {
    fn op(&mut self, op: u8) {
        self.0.push(op);
    }

    fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.op(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn number(&mut self, n: u64) {
        match n {
            0..=0xFF => self.0.extend([b'K', n as u8]),
            0x100..=0x7FFF_FFFF => {
                self.op(b'J');
                self.0.extend((n as i32).to_le_bytes());
            }
            _ => {
                // LONG1 of nine bytes: the last one holds the sign.
                self.0.extend([0x8A, 9]);
                self.0.extend(n.to_le_bytes());
                self.op(0);
            }
        }
    }

    fn tuple(&mut self, numbers: &[u64]) {
        self.op(b'(');
        numbers.iter().for_each(|n| self.number(*n));
        self.op(b't');
    }

    fn tensor(&mut self, row: &Row, key: usize) {
        let class = class(row.dtype);
        let elements: u64 = row.shape.iter().product();
        self.global("torch._utils", if class.is_ok() { "_rebuild_tensor_v2" } else { "_rebuild_tensor_v3" });
        self.op(b'(');
        self.op(b'(');
        self.text("storage");
        match class {
            Ok(class) => self.global("torch", class),
            Err(_) => self.global("torch.storage", "UntypedStorage"),
        }
        self.text(&key.to_string());
        self.text("cpu");
        self.number(if class.is_ok() { elements } else { row.len });
        self.0.extend(b"tQ");
        self.number(0);
        self.tuple(&row.shape);
        let mut strides = vec![1; row.shape.len()];
        for i in (1..row.shape.len()).rev() {
            strides[i - 1] = strides[i] * row.shape[i];
        }
        self.tuple(&strides);
        // No gradient is required; there are no hooks.
        self.op(0x89);
        self.global("collections", "OrderedDict");
        self.0.extend(b")R");
        if let Err(dtype) = class {
            self.global("torch", dtype);
        }
        self.0.extend(b"tR");
    }
}

pub fn write(rows: &[Row], about: &About<'_>, sink: &mut dyn Sink) -> Result<()> {
    let mut pickle = Pickle(b"\x80\x02}(".to_vec());
    for (i, row) in rows.iter().enumerate() {
        pickle.text(&row.name);
        pickle.tensor(row, row.tied.unwrap_or(i));
    }
    pickle.0.extend(b"u.");
    let mut archive = Archive::default();
    archive.bytes("archive/data.pkl", pickle.0, sink)?;
    // PyTorch has a file of its own in that folder, and leaves others alone.
    archive.bytes("archive/.data/made_by", about.made_by.clone().into_bytes(), sink)?;
    archive.bytes("archive/byteorder", b"little".to_vec(), sink)?;
    for (i, row) in rows.iter().enumerate().filter(|(_, row)| row.tied.is_none()) {
        archive.tensor(&format!("archive/data/{i}"), i, row.len, sink)?;
    }
    archive.bytes("archive/version", b"3\n".to_vec(), sink)?;
    archive.finish(sink)
}

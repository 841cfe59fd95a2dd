//! Files around the tensors.
//!
//! * `safetensors`: its header
//! * `gguf`: GGUF 3
//! * `npy`: one array
//! * `pytorch`: what `torch.save` writes, in a zip archive
//! * `zip`: an archive of stored entries

use super::sink::Sink;
use crate::dtype::Dtype;
use crate::error::{Error, Result};

mod gguf;
mod npy;
mod pytorch;
mod safetensors;
pub mod zip;

/// A tensor of the file.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Elements along each axis.
    pub shape: Vec<u64>,
    /// Bytes.
    pub len: u64,
    /// The row whose storage it shares, in formats that can.
    pub tied: Option<usize>,
}

/// What stands around the tensors.
pub struct About<'a> {
    /// The kind of the model.
    pub family: &'a str,
    /// How the file was made.
    pub made_by: String,
    /// Sizes of the model.
    pub dims: super::Dims,
}

/// A format that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// safetensors.
    Safetensors,
    /// One NumPy array.
    Npy,
    /// GGUF.
    Gguf,
    /// What `torch.save` writes.
    Pytorch,
}

impl Kind {
    /// From a name as in `--format`.
    pub fn from_name(name: &str) -> Option<Kind> {
        match name {
            "safetensors" => Some(Kind::Safetensors),
            "npy" => Some(Kind::Npy),
            "gguf" => Some(Kind::Gguf),
            "pt" => Some(Kind::Pytorch),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Safetensors => "safetensors",
            Kind::Npy => "npy",
            Kind::Gguf => "gguf",
            Kind::Pytorch => "pt",
        }
    }

    /// The element types that it can hold.
    pub fn dtypes(self) -> &'static [Dtype] {
        use Dtype::*;
        match self {
            Kind::Safetensors => &[BF16, F16, F32, F64, F8_E4M3, F8_E5M2, I8],
            Kind::Npy => &[F32, F16, F64, I8],
            Kind::Gguf => &[BF16, F16, F32, Q8_0, Q4_0],
            Kind::Pytorch => &[BF16, F16, F32, F64, F8_E4M3, F8_E5M2, I8],
        }
    }

    /// Whether tensors can share their bytes.
    pub fn shares(self) -> bool {
        self == Kind::Pytorch
    }

    /// Writes a file of these tensors.
    pub fn write(self, rows: &[Row], about: &About<'_>, sink: &mut dyn Sink) -> Result<()> {
        match self {
            Kind::Safetensors => safetensors::write(rows, about, sink),
            Kind::Npy => match rows {
                [row] => npy::write(row, sink),
                _ => Err(Error::Invalid("npy holds one array".into())),
            },
            Kind::Gguf => gguf::write(rows, about, sink),
            Kind::Pytorch => pytorch::write(rows, about, sink),
        }
    }
}

/// All rows in order.
fn tensors(rows: &[Row], sink: &mut dyn Sink) -> Result<()> {
    rows.iter().enumerate().try_for_each(|(i, row)| sink.tensor(i, row.len))
}

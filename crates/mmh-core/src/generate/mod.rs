//! Weights made on demand: names, shapes and statistics as real models have them, and the same bytes for the same seed on every machine.
//!
//! ```text
//!   size ─ fit ─▶ dims ─ family ─▶ names, shapes, roles ─ role ─▶ how elements are spread
//!                                                               │
//!   file ◀─ write (format) ◀─ sink ◀─ element (dtype) ◀─ fill ◀─┘ ◀─ table ◀─ random
//! ```
//!
//! A family is one of `transformer` (text) or `vision` (images).
//!
//! Rows of tensors are made in parallel, each from random numbers of its own, with arithmetic that IEEE 754 defines to the last bit.

use crate::api::{Ask, Output, Progress, Workers};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use fill::{Content, Tensor};
use random::Stream;
use role::{Role, Spread};
use sha2::{Digest, Sha256};
use sink::{Count, Sink};
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use table::Table;

mod element;
mod family;
mod fill;
mod fit;
mod random;
mod role;
mod sink;
mod table;
mod transformer;
mod vision;
mod write;

pub use family::{Dims, FAMILIES, Family, by_name};
pub use write::Kind;
use write::{About, Row};

/// Bytes of a file at most.
const MAX_SIZE: u64 = 1 << 44;
/// What a tensor takes in the head of a file, about.
const HEAD: u64 = 120;

/// What to make.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kind of the model, one of `FAMILIES`.
    pub like: String,
    /// Bytes that the file should have, about.
    pub size: u64,
    /// Type of the matrices; what cannot be of it is of a wider one.
    pub dtype: Dtype,
    /// Format of the file.
    pub kind: Kind,
    /// Another seed gives other weights.
    pub seed: u64,
    /// Threads; 0 for as many as the machine has.
    pub threads: usize,
    /// Overwrite the target.
    pub force: bool,
    /// Compute the SHA-256 of the file.
    pub sha256: bool,
    /// Asks the caller now and then whether to go on.
    pub ask: Option<Ask>,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Bytes of the file.
    pub bytes: u64,
    /// Tensors in it.
    pub tensors: usize,
    /// Elements in all.
    pub elements: u64,
    /// Sizes of the model.
    pub dims: Dims,
    /// What `dims.rows` counts.
    pub rows_name: &'static str,
    /// SHA-256 of the file.
    pub sha256: Option<[u8; 32]>,
}

/// What a tensor of the file is made from.
#[derive(Clone, Debug)]
struct Source {
    /// The name that its random numbers are drawn by.
    name: String,
    shape: Vec<u64>,
    role: Role,
    part: Part,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Elements,
    RowScales,
    Scale,
}

/// The largest magnitude of an fp8 type, which 8 typical scales reach.
fn reach(dtype: Dtype) -> Option<f32> {
    match dtype {
        Dtype::F8_E4M3 => Some(448.0),
        Dtype::F8_E5M2 => Some(57_344.0),
        _ => None,
    }
}
const TYPICAL: f32 = 8.0;

/// The tensors of the file.
fn layout(family: &Family, dims: &Dims, options: &Options) -> Result<(Vec<Row>, Vec<Source>)> {
    let (mut rows, mut sources) = (Vec::new(), Vec::new());
    let mut positions = HashMap::new();
    let mut add = |name: String, dtype: Dtype, shape: Vec<u64>, tied: Option<usize>, source: Source| {
        let len = dtype.size_of(&shape).ok_or_else(|| Error::Invalid("the model is too large".into()))?;
        rows.push(Row { name, dtype, shape, len, tied });
        sources.push(source);
        Ok::<usize, Error>(rows.len() - 1)
    };
    if options.kind == Kind::Npy {
        let shape = vec![dims.rows, dims.width];
        let source = Source {
            name: family.name.into(),
            shape: shape.clone(),
            role: Role::Linear,
            part: Part::Elements,
        };
        add("array".into(), options.dtype, shape, None, source)?;
        return Ok((rows, sources));
    }
    for spec in (family.build)(dims) {
        let dtype = dtype_of(spec.role, &spec.shape, spec.columns(), options);
        let original = spec.tied.clone().unwrap_or_else(|| spec.name.clone());
        let tied = spec
            .tied
            .as_ref()
            .filter(|_| options.kind.shares())
            .and_then(|name| positions.get(name).copied());
        let source =
            |part| Source { name: original.clone(), shape: spec.shape.clone(), role: spec.role, part };
        let number = add(spec.name.clone(), dtype, spec.shape.clone(), tied, source(Part::Elements))?;
        positions.insert(spec.name.clone(), number);
        let scale = format!("{}_scale", spec.name);
        if reach(dtype).is_some() {
            add(scale, Dtype::F32, vec![], None, source(Part::Scale))?;
        } else if dtype == Dtype::I8 {
            add(scale, Dtype::F32, vec![spec.shape[0]], None, source(Part::RowScales))?;
        }
    }
    Ok((rows, sources))
}

/// What a tensor is stored as.
fn dtype_of(role: Role, shape: &[u64], columns: u64, options: &Options) -> Dtype {
    let gguf = options.kind == Kind::Gguf;
    match (role, options.dtype) {
        (Role::Count, _) => Dtype::I64,
        _ if gguf && shape.len() < 2 => Dtype::F32,
        (_, wanted) if matches!(wanted, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16) => wanted,
        (role, wanted) if role.is_matrix() && (!gguf || shape.len() == 2 && columns.is_multiple_of(32)) => {
            wanted
        }
        _ if gguf => Dtype::F16,
        _ => Dtype::BF16,
    }
}

/// What the file says about itself.
fn about<'a>(family: &'a Family, dims: &Dims, options: &Options) -> About<'a> {
    let made_by = format!(
        "mmh generate --like {} --dtype {} --seed {}: random numbers, not a trained model",
        family.name,
        options.dtype.name(),
        options.seed
    );
    About { family: family.name, made_by, dims: *dims }
}

fn file_size(family: &Family, dims: &Dims, options: &Options) -> Result<u64> {
    let (rows, _) = layout(family, dims, options)?;
    let mut count = Count::new(rows.len());
    options.kind.write(&rows, &about(family, dims, options), &mut count)?;
    Ok(count.position())
}

/// Of what the width has to be a multiple: rows of quantized matrices are whole blocks, where there is room for any.
fn multiple(family: &Family, options: &Options) -> u64 {
    let (elements, _) = options.dtype.unit();
    match options.size {
        // Kernels are not quantized, and change fast with the width.
        _ if family.widths.0 < 8 => 1,
        size if elements > 1 && size > 1 << 16 => elements,
        size if size > 4 << 20 => 32,
        _ => 1,
    }
}

fn dims_for(family: &Family, options: &Options) -> Result<Dims> {
    if options.kind == Kind::Npy {
        // About four rows to a column, in whole rows.
        let elements = options.size.saturating_sub(128) / options.dtype.unit().1;
        let width = ((elements / 4).isqrt() / 64 * 64).clamp(64, 8192).min(elements.max(1));
        let rows = ((elements + width / 2) / width).max(1);
        return Ok(Dims { width, layers: 1, rows });
    }
    let close = |dims: &Dims| match layout(family, dims, options) {
        Ok((rows, _)) => rows.iter().filter(|row| row.tied.is_none()).map(|row| row.len + HEAD).sum(),
        Err(_) => u64::MAX,
    };
    let exact = |dims: &Dims| file_size(family, dims, options).unwrap_or(u64::MAX);
    let dims = fit::fit(family, options.size, multiple(family, options), close, exact);
    file_size(family, &dims, options)?;
    Ok(dims)
}

fn tensor(row: &Row, source: &Source, options: &Options, normal: &Table) -> Tensor {
    let stream = Stream::named(options.seed, &source.name);
    let spread = role::spread(source.role, &source.shape, stream, normal);
    let (rows, columns) = match source.shape.as_slice() {
        [] => (1, 1),
        [n] => (1, *n),
        [rows, rest @ ..] => (*rows, rest.iter().product()),
    };
    let scale = match (&spread, reach(row.dtype)) {
        (Spread::Bell { scale, .. }, Some(reach)) => reach / (TYPICAL * scale),
        _ => 1.0,
    };
    let content = match (source.part, &spread) {
        (Part::Elements, _) => Content::Elements(scale),
        (Part::RowScales, _) => Content::RowScales,
        // Of the fp8 tensor before it.
        (Part::Scale, Spread::Bell { scale, .. }) => {
            Content::One(TYPICAL * scale / reach(options.dtype).unwrap_or(1.0))
        }
        (Part::Scale, _) => Content::One(1.0),
    };
    Tensor { spread, stream, rows, columns, content, dtype: row.dtype }
}

/// Writes and hashes.
struct Hashed<'a> {
    out: Box<dyn Write + Send + 'a>,
    sha256: Option<Sha256>,
}

impl Write for Hashed<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.out.write(buf)?;
        if let Some(hash) = &mut self.sha256 {
            hash.update(&buf[..n]);
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Makes a file, or writes it to standard output where `target` is `None`.
pub fn generate(target: Option<&Path>, options: &Options, progress: Progress<'_>) -> Result<Made> {
    let family = by_name(&options.like).ok_or_else(|| {
        let names: Vec<&str> = FAMILIES.iter().map(|f| f.name).collect();
        Error::Invalid(format!("no model is like {:?} (there are: {})", options.like, names.join(", ")))
    })?;
    if !options.kind.dtypes().contains(&options.dtype) {
        let names: Vec<&str> = options.kind.dtypes().iter().map(|d| d.name()).collect();
        let (kind, dtype) = (options.kind.name(), options.dtype.name());
        return Err(Error::Invalid(format!(
            "{kind} files are not made of {dtype} (but of {})",
            names.join(", ")
        )));
    }
    if options.size > MAX_SIZE {
        return Err(Error::Invalid(format!("{} bytes are too many (16 TiB at most)", options.size)));
    }
    let mut output = Output::new(target, options.force, [])?;
    let dims = dims_for(family, options)?;
    let (rows, sources) = layout(family, &dims, options)?;
    let total = file_size(family, &dims, options)?;
    if let (Output::File(file), Some(path)) = (&mut output, target) {
        file.reserve(total).map_err(|e| Error::io(path, e))?;
    }
    let workers = Workers::watched(options.threads, options.ask.clone());
    let normal = Table::new(role::TABLES[0]);
    let make = |number: usize| Ok(tensor(&rows[number], &sources[number], options, &normal));
    let mut out = Hashed { out: output.writer()?, sha256: options.sha256.then(Sha256::new) };
    let checked = options.kind == Kind::Pytorch;
    let mut stream = sink::Stream::new(&make, rows.len(), &workers, &mut out, progress, total, checked);
    let written = options.kind.write(&rows, &about(family, &dims, options), &mut stream);
    let bytes = written.and_then(|()| stream.finish()).map_err(|e| named(e, target))?;
    out.flush().map_err(|e| named(e.into(), target))?;
    let sha256 = out.sha256.take().map(|hash| hash.finalize().into());
    drop(out);
    output.commit(None)?;
    let elements = rows.iter().map(|row| row.shape.iter().product::<u64>()).sum();
    Ok(Made { bytes, tensors: rows.len(), elements, dims, rows_name: family.rows_name, sha256 })
}

/// An error of the system with the file's name.
fn named(error: Error, path: Option<&Path>) -> Error {
    match (error, path) {
        (Error::Io { path: None, source }, Some(path)) => Error::io(path, source),
        (error, _) => error,
    }
}

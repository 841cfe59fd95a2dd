//! `generate`.

use crate::convert::{self, Watch};
use crate::functions::text;
use mmh_core::generate::{self as engine, FAMILIES, Kind, Options};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::time::Instant;

#[pyfunction]
pub fn families() -> Vec<(&'static str, &'static str)> {
    FAMILIES.iter().map(|f| (f.name, f.about)).collect()
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
#[pyo3(signature = (target, like, size, dtype, format, seed, threads, force, sha256, progress=None))]
pub fn generate<'py>(
    py: Python<'py>,
    target: Option<PathBuf>,
    like: String,
    size: u64,
    dtype: &str,
    format: &str,
    seed: u64,
    threads: usize,
    force: bool,
    sha256: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let kind = Kind::from_name(format).ok_or_else(|| {
        PyValueError::new_err(format!("unknown format {format:?} (safetensors, npy, gguf, pt)"))
    })?;
    let dtype = convert::dtype(dtype)?;
    let start = Instant::now();
    let mut watch = Watch::new(progress);
    let ask = Some(watch.ask());
    let options = Options { like, size, dtype, kind, seed, threads, force, sha256, ask };
    let done = py.detach(|| engine::generate(target.as_deref(), &options, &mut |s| watch.step(s)));
    let made = done.map_err(|e| watch.error(py, e))?;
    let d = PyDict::new(py);
    d.set_item("target", text(&target))?;
    d.set_item("like", &options.like)?;
    d.set_item("dtype", dtype.name())?;
    d.set_item("format", kind.name())?;
    d.set_item("seed", seed)?;
    d.set_item("bytes", made.bytes)?;
    d.set_item("tensors", made.tensors)?;
    d.set_item("elements", made.elements)?;
    d.set_item("width", made.dims.width)?;
    d.set_item("layers", made.dims.layers)?;
    d.set_item("rows", made.dims.rows)?;
    d.set_item("rows_name", made.rows_name)?;
    d.set_item("seconds", start.elapsed().as_secs_f64())?;
    d.set_item("sha256", made.sha256.as_ref().map(convert::hex))?;
    Ok(d)
}

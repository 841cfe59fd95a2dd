//! `estimate` and `diff`.

use crate::convert::{self, GivenLimits, Watch};
use crate::error::raise;
use crate::file_object::FileObject;
use crate::functions::{GivenBase, Input, lent, open_base, open_lent};
use mmh_core::api::{self, Found, Numbers, Side};
use mmh_core::codec::Level;
use mmh_core::io::FileAt;
use mmh_core::source::Tensor;
use mmh_core::{Error, Result};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::{Path, PathBuf};

fn opened(path: &Path) -> Result<FileAt> {
    let io = |e| Error::io(path, e);
    // Opening a pipe would wait for whoever writes to it.
    let meta = std::fs::metadata(path).map_err(io)?;
    if meta.is_dir() {
        return Err(io(std::io::ErrorKind::IsADirectory.into()));
    }
    if !meta.is_file() {
        return Err(Error::Invalid(
            "is a pipe or a device (a file is needed, to be read at any place)".into(),
        ));
    }
    FileAt::new(std::fs::File::open(path).map_err(io)?).map_err(io)
}

#[pyfunction]
#[pyo3(signature = (source, levels, threads, budget, progress=None, base=None))]
pub fn estimate<'py>(
    py: Python<'py>,
    source: PathBuf,
    levels: Vec<u8>,
    threads: usize,
    budget: u64,
    progress: Option<Py<PyAny>>,
    base: Option<PathBuf>,
) -> PyResult<Bound<'py, PyDict>> {
    let levels: Vec<Level> = levels
        .into_iter()
        .map(Level::new)
        .collect::<Result<_>>()
        .map_err(|e| PyValueError::new_err(e.to_string()))?;
    let name = source.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let watch = Watch::new(progress);
    let workers = watch.workers(threads);
    let found = py
        .detach(|| api::estimate(&opened(&source)?, &name, open_base(base)?, &levels, &workers, budget))
        .map_err(|e| watch.error(py, e))?;
    let d = PyDict::new(py);
    d.set_item("source_bytes", found.source_bytes)?;
    d.set_item("sampled_bytes", found.sampled_bytes)?;
    d.set_item("exact", found.exact)?;
    d.set_item("format", found.format)?;
    d.set_item("tensors", found.tensors)?;
    d.set_item("copied_bytes", found.copied_bytes)?;
    let mut all = Vec::with_capacity(found.levels.len());
    for level in &found.levels {
        let l = PyDict::new(py);
        l.set_item("level", level.level.get())?;
        l.set_item("stored_bytes", level.stored)?;
        l.set_item("compress_seconds", level.compress_seconds)?;
        l.set_item("decompress_seconds", level.decompress_seconds)?;
        all.push(l);
    }
    d.set_item("levels", all)?;
    Ok(d)
}

/// A path, or a file object that can seek.
pub fn input(source: &Bound<'_, PyAny>) -> PyResult<Input> {
    if let Ok(path) = source.extract::<PathBuf>() {
        let file = source.py().detach(|| opened(&path)).map_err(|e| raise(source.py(), e))?;
        return Ok(Box::new(file));
    }
    Ok(Box::new(FileObject::new(source)?))
}

#[pyfunction]
#[pyo3(signature = (first, second, threads=0, progress=None, limits=None, base=None))]
pub fn diff<'py>(
    py: Python<'py>,
    first: &Bound<'py, PyAny>,
    second: &Bound<'py, PyAny>,
    threads: usize,
    progress: Option<Py<PyAny>>,
    limits: GivenLimits,
    base: Option<GivenBase<'py>>,
) -> PyResult<Bound<'py, PyDict>> {
    let limits = convert::limits(limits);
    let base = lent(base)?;
    let base = py.detach(|| open_lent(base)).map_err(|e| raise(py, e))?;
    let side = |source, name: &str| -> PyResult<Side> {
        let input = input(source)?;
        let opened = py.detach(|| Side::open_with(input, base.clone(), &limits)).map_err(|e| match e {
            Error::Corrupt { what, at } => Error::Corrupt { what: format!("{name}{what}"), at },
            e => e,
        });
        Ok(opened.map_err(|e| raise(py, e))?.called(name))
    };
    let (a, b) = (side(first, "in the first file, ")?, side(second, "in the second file, ")?);
    let mut watch = Watch::new(progress);
    let workers = watch.workers(threads);
    let done = py.detach(|| api::diff(&a, &b, &workers, &mut |s| watch.step(s)));
    let found = done.map_err(|e| watch.error(py, e))?;
    let d = PyDict::new(py);
    d.set_item("identical", found.identical)?;
    for (key, side, other) in [("first", &a, found.other_bytes.0), ("second", &b, found.other_bytes.1)] {
        let s = PyDict::new(py);
        s.set_item("format", side.format())?;
        s.set_item("source_bytes", side.source_bytes())?;
        s.set_item("tensors", side.tensors().len())?;
        s.set_item("other_bytes", other)?;
        s.set_item("packed", side.is_packed())?;
        d.set_item(key, s)?;
    }
    d.set_item("other", self::found(py, &found.other)?)?;
    let mut tensors = Vec::with_capacity(found.tensors.len());
    for t in &found.tensors {
        let e = PyDict::new(py);
        let (x, y) = (t.first.map(|i| &a.tensors()[i]), t.second.map(|j| &b.tensors()[j]));
        e.set_item("name", x.or(y).map(|t| &t.name))?;
        e.set_item("change", t.change.name())?;
        e.set_item("first", tensor(py, x)?)?;
        e.set_item("second", tensor(py, y)?)?;
        e.set_item("found", t.found.as_ref().map(|f| self::found(py, f)).transpose()?)?;
        tensors.push(e);
    }
    d.set_item("tensors", tensors)?;
    Ok(d)
}

pub fn tensor<'py>(py: Python<'py>, tensor: Option<&Tensor>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(t) = tensor else { return Ok(None) };
    let d = PyDict::new(py);
    d.set_item("dtype", t.dtype.name())?;
    d.set_item("shape", &t.shape)?;
    d.set_item("fortran", t.fortran)?;
    d.set_item("bytes", t.len)?;
    Ok(Some(d))
}

fn found<'py>(py: Python<'py>, found: &Found) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("elements", found.elements)?;
    d.set_item("differing", found.differing)?;
    d.set_item("first", found.first)?;
    // Of elements that are all equal there is nothing to say.
    let numbers = found.numbers.filter(|_| found.differing > 0);
    d.set_item("max_abs", numbers.map(|n| n.max_abs))?;
    d.set_item("max_rel", numbers.map(|n| n.max_rel))?;
    d.set_item("relative_norm", numbers.and_then(|n: Numbers| n.relative_norm()))?;
    d.set_item("not_finite", numbers.map(|n| n.not_finite))?;
    Ok(d)
}

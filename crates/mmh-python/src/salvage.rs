//! `salvage`.

use crate::archive::Archive;
use crate::convert::{self, GivenLimits, Watch};
use crate::functions::open_base;
use crate::parity::ranges;
use mmh_core::api;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;

#[pyfunction]
#[pyo3(signature = (source, folder, threads=0, progress=None, base=None, limits=None))]
pub fn salvage<'py>(
    py: Python<'py>,
    source: PathBuf,
    folder: PathBuf,
    threads: usize,
    progress: Option<Py<PyAny>>,
    base: Option<PathBuf>,
    limits: GivenLimits,
) -> PyResult<Bound<'py, PyDict>> {
    let mut watch = Watch::new(progress);
    let workers = watch.workers(threads);
    let limits = convert::limits(limits);
    let done = py.detach(|| {
        let base = open_base(base)?;
        api::salvage_file(&source, &folder, base, &limits, &workers, &mut |s| watch.step(s))
    });
    let found = done.map_err(|e| watch.error(py, e))?;
    let d = PyDict::new(py);
    d.set_item("archive", Archive::of(found.archive))?;
    d.set_item("lost", found.lost)?;
    d.set_item("ranges", ranges(found.ranges))?;
    let (loose, loose_ranges) = found.loose.unzip();
    d.set_item("loose", loose.map(Archive::of))?;
    d.set_item("loose_ranges", ranges(loose_ranges.unwrap_or_default()))?;
    d.set_item("indexed", found.indexed)?;
    d.set_item("source_bytes", found.source_len)?;
    d.set_item("damaged", ranges(found.damaged))?;
    d.set_item("gave_up", found.gave_up)?;
    Ok(d)
}

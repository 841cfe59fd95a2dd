//! Directories in one file.

use crate::convert::{self, GivenLimits, Watch};
use mmh_core::api::{self, DecompressOptions, Packed};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::time::Instant;

#[pyfunction]
#[allow(clippy::too_many_arguments)]
#[pyo3(signature = (source, target, codec, level, threads, verify, sha256, force, name, progress=None, parity=None, independent=false))]
pub fn pack_dir<'py>(
    py: Python<'py>,
    source: PathBuf,
    target: Option<PathBuf>,
    codec: &str,
    level: u8,
    threads: usize,
    verify: bool,
    sha256: bool,
    force: bool,
    name: String,
    progress: Option<Py<PyAny>>,
    parity: Option<u32>,
    independent: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let mut options = convert::options(codec, level, threads)?;
    options.settings.verify = verify;
    options.blake3 = true;
    options.sha256 = sha256;
    options.force = force;
    options.name = Some(name);
    options.parity = parity;
    options.independent = independent;
    let start = Instant::now();
    let mut watch = Watch::new(progress);
    options.ask = Some(watch.ask());
    let done = py.detach(|| api::pack_dir(&source, target.as_deref(), &options, &mut |s| watch.step(s)));
    let packed = done.map_err(|e| watch.error(py, e))?;
    report(py, &packed, start)
}

#[pyfunction]
#[pyo3(signature = (source, target, threads, progress=None, base=None, limits=None))]
pub fn unpack_dir<'py>(
    py: Python<'py>,
    source: PathBuf,
    target: PathBuf,
    threads: usize,
    progress: Option<Py<PyAny>>,
    base: Option<PathBuf>,
    limits: GivenLimits,
) -> PyResult<Bound<'py, PyDict>> {
    let start = Instant::now();
    let mut watch = Watch::new(progress);
    let (limits, ask) = (convert::limits(limits), Some(watch.ask()));
    let options = DecompressOptions { threads, check: true, force: false, base, limits, ask };
    let done = py.detach(|| api::unpack_dir(&source, &target, &options, &mut |s| watch.step(s)));
    let packed = done.map_err(|e| watch.error(py, e))?;
    report(py, &packed, start)
}

fn report<'py>(py: Python<'py>, packed: &Packed, start: Instant) -> PyResult<Bound<'py, PyDict>> {
    let d = convert::report(py, &packed.report, None, None, start.elapsed().as_secs_f64())?;
    d.set_item("files", packed.files)?;
    d.set_item("links", packed.links)?;
    d.set_item("directories", packed.directories)?;
    d.set_item(
        "ignored",
        packed.ignored.iter().map(|p| p.to_string_lossy().into_owned()).collect::<Vec<_>>(),
    )?;
    Ok(d)
}

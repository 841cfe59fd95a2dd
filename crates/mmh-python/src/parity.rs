//! `protect`, `examine` and `repair`.

use crate::convert::Watch;
use crate::functions::open_base;
use mmh_core::api;
use mmh_core::parity::{Examination, Plan};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

/// What a plan promises.
pub fn promise<'py>(py: Python<'py>, plan: &Plan) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("bytes", plan.section())?;
    d.set_item("body_bytes", plan.body)?;
    d.set_item("shard_bytes", plan.shard)?;
    d.set_item("groups", plan.groups)?;
    d.set_item("data_shards", plan.shards_of(0))?;
    d.set_item("recovery_shards", plan.recovery)?;
    d.set_item("burst_bytes", plan.burst())?;
    d.set_item("promise", plan.promise())?;
    Ok(d)
}

/// The same of a file that has none.
fn no_parity(py: Python<'_>, body: u64) -> PyResult<Bound<'_, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("body_bytes", body)?;
    for name in ["bytes", "shard_bytes", "groups", "data_shards", "recovery_shards", "burst_bytes"] {
        d.set_item(name, 0)?;
    }
    d.set_item("promise", "survives no damage: there is no parity")?;
    Ok(d)
}

/// As pairs of the first and the byte after the last.
pub fn ranges(all: Vec<Range<u64>>) -> Vec<(u64, u64)> {
    all.into_iter().map(|r| (r.start, r.end)).collect()
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
#[pyo3(signature = (source, target, percent, threads, force, progress=None, base=None))]
pub fn protect<'py>(
    py: Python<'py>,
    source: PathBuf,
    target: PathBuf,
    percent: u32,
    threads: usize,
    force: bool,
    progress: Option<Py<PyAny>>,
    base: Option<PathBuf>,
) -> PyResult<Bound<'py, PyDict>> {
    let start = Instant::now();
    let mut watch = Watch::new(progress);
    let workers = watch.workers(threads);
    let done = py.detach(|| {
        let base = open_base(base)?;
        api::protect_file(&source, &target, base, percent, force, &workers, &mut |s| watch.step(s))
    });
    let done = done.map_err(|e| watch.error(py, e))?;
    let d = promise(py, &done.plan)?;
    d.set_item("unchecked", done.unchecked)?;
    d.set_item("seconds", start.elapsed().as_secs_f64())?;
    Ok(d)
}

fn examined<'py>(py: Python<'py>, found: &Examination) -> PyResult<Bound<'py, PyDict>> {
    let d = promise(py, &found.plan)?;
    d.set_item("ok", found.is_sound())?;
    d.set_item("mendable", found.is_mendable())?;
    d.set_item("lost", ranges(found.lost()))?;
    d.set_item("lost_data", found.lost_data())?;
    d.set_item("lost_recovery", found.lost_recovery())?;
    Ok(d)
}

#[pyfunction]
#[pyo3(signature = (source, threads, progress=None))]
pub fn examine<'py>(
    py: Python<'py>,
    source: PathBuf,
    threads: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let mut watch = Watch::new(progress);
    let workers = watch.workers(threads);
    let done = py.detach(|| api::examine_file(&source, &workers, &mut |s| watch.step(s)));
    done.map_err(|e| watch.error(py, e))?.map(|found| examined(py, &found)).transpose()
}

#[pyfunction]
#[pyo3(signature = (source, target, threads, force, progress=None))]
pub fn repair<'py>(
    py: Python<'py>,
    source: PathBuf,
    target: PathBuf,
    threads: usize,
    force: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let start = Instant::now();
    let mut watch = Watch::new(progress);
    let workers = watch.workers(threads);
    let done = py.detach(|| api::repair_file(&source, &target, force, &workers, &mut |s| watch.step(s)));
    let mended = done.map_err(|e| watch.error(py, e))?;
    let d = match &mended.plan {
        Some(plan) => promise(py, plan)?,
        None => no_parity(py, mended.body)?,
    };
    d.set_item("sound", mended.sound)?;
    d.set_item("restored", ranges(mended.restored))?;
    d.set_item("lost_recovery", mended.lost_recovery)?;
    d.set_item("seconds", start.elapsed().as_secs_f64())?;
    Ok(d)
}

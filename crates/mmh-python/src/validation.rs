//! `validate` and the proof.

use crate::compare::{input, tensor};
use crate::convert::{self, GivenLimits, Watch};
use crate::error::raise;
use crate::functions::{GivenBase, lent, open_lent};
use mmh_core::api::{self, Examined, Side, histogram};
use mmh_core::dtype::Kind;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Steps of the histograms.
const STEPS: usize = 64;

/// A file that is looked at more than once.
#[pyclass(frozen)]
pub struct Validator(Side);

#[pymethods]
impl Validator {
    #[new]
    #[pyo3(signature = (source, limits=None, base=None))]
    fn new(
        source: &Bound<'_, PyAny>,
        limits: GivenLimits,
        base: Option<GivenBase<'_>>,
    ) -> PyResult<Validator> {
        let (py, input, limits) = (source.py(), input(source)?, convert::limits(limits));
        let base = lent(base)?;
        let open = || Side::open_with(input, open_lent(base)?, &limits);
        let side = py.detach(open).map_err(|e| raise(py, e))?;
        Ok(Validator(side))
    }

    /// What is in it.
    #[pyo3(signature = (threads, progress=None))]
    fn tensors<'py>(
        &self,
        py: Python<'py>,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let mut watch = Watch::new(progress);
        let workers = watch.workers(threads);
        let done = py.detach(|| api::validate(&self.0, &workers, &mut |s| watch.step(s)));
        let found = done.map_err(|e| watch.error(py, e))?;
        let d = PyDict::new(py);
        d.set_item("format", self.0.format())?;
        d.set_item("source_bytes", self.0.source_bytes())?;
        d.set_item("packed", self.0.is_packed())?;
        d.set_item("other_bytes", found.other_bytes)?;
        d.set_item("generated", found.generated)?;
        let name = |i: usize| found.tensors[i].tensor.name.as_str();
        let all: PyResult<Vec<_>> =
            found.tensors.iter().map(|e| examined(py, e, e.equals.map(name))).collect();
        d.set_item("tensors", all?)?;
        Ok(d)
    }

    /// Whether it comes back, through one codec at one level.
    #[pyo3(signature = (codec, level, threads, progress=None))]
    fn prove<'py>(
        &self,
        py: Python<'py>,
        codec: &str,
        level: u8,
        threads: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let mut options = convert::options(codec, level, threads)?;
        options.blake3 = true;
        let mut watch = Watch::new(progress);
        let workers = watch.workers(threads);
        let done = py.detach(|| api::prove(&self.0, &options, &workers, &mut |s| watch.step(s)));
        let proof = done.map_err(|e| watch.error(py, e))?;
        let d = PyDict::new(py);
        d.set_item("codec", codec)?;
        d.set_item("level", level)?;
        d.set_item("stored_bytes", proof.stored_bytes)?;
        d.set_item("compress_seconds", proof.compress_seconds)?;
        d.set_item("decompress_seconds", proof.decompress_seconds)?;
        d.set_item("differs", proof.differs)?;
        Ok(d)
    }
}

fn examined<'py>(py: Python<'py>, e: &Examined, equals: Option<&str>) -> PyResult<Bound<'py, PyDict>> {
    let (s, numbers) = (&e.stats, e.stats.count > 0);
    let d = tensor(py, Some(&e.tensor))?.unwrap_or_else(|| PyDict::new(py));
    d.set_item("name", &e.tensor.name)?;
    d.set_item("verdict", e.verdict.name())?;
    d.set_item("reason", &e.reason)?;
    d.set_item("equals", equals)?;
    d.set_item("scales", e.scales)?;
    d.set_item("count", numbers.then_some(s.count))?;
    d.set_item("min", s.range.map(|r| r.0))?;
    d.set_item("max", s.range.map(|r| r.1))?;
    d.set_item("mean", s.range.map(|_| s.moments[0]))?;
    d.set_item("std", s.range.map(|_| s.std()))?;
    d.set_item("kurtosis", s.kurtosis())?;
    d.set_item("nan", numbers.then_some(s.nan))?;
    d.set_item("infinite", numbers.then_some(s.infinite))?;
    d.set_item("zeros", numbers.then_some(s.zeros))?;
    d.set_item("distinct", s.distinct.count())?;
    d.set_item("byte_entropy", if e.tensor.len > 0 { Some(s.byte_entropy()) } else { None })?;
    d.set_item("exponent_entropy", s.exponent_entropy().filter(|_| numbers))?;
    d.set_item("exponent_bits", e.exponent_bits)?;
    d.set_item("period", e.period)?;
    let [rows, first, second] = s.narrow;
    let (from, share) = match (e.tensor.dtype.kind(), first.max(second)) {
        (Kind::Float { .. }, n) if n > 0 => {
            let wide = e.tensor.dtype.unit().1 == 8 && e.tensor.dtype != mmh_core::Dtype::C64;
            let name = if wide {
                "F32"
            } else if first >= second {
                "BF16"
            } else {
                "F16"
            };
            (Some(name), Some(n as f64 / rows as f64))
        }
        _ => (None, None),
    };
    d.set_item("upcast_from", from)?;
    d.set_item("upcast_share", share)?;
    let exponents = s.exponents.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, n)| (i, *n));
    d.set_item("exponents", exponents.collect::<Vec<_>>())?;
    let shown = histogram(s, STEPS).map(|h| (h.range.0, h.range.1, h.counts, h.outside.0, h.outside.1));
    d.set_item("histogram", shown)?;
    Ok(d)
}

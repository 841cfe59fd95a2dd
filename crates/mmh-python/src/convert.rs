//! Results of the engine as Python dictionaries, arguments as settings.

use mmh_core::api::{Ask, CodecTotal, CompressOptions, Report, Step, Why, Workers};
use mmh_core::block::Settings;
use mmh_core::codec::{self, Level};
use mmh_core::{Dtype, Error, Limits};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Hexadecimal, as hash tools print.
pub fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn dtype(name: &str) -> PyResult<Dtype> {
    Dtype::from_name(name).ok_or_else(|| PyValueError::new_err(format!("unknown dtype {name:?}")))
}

pub fn options(codec: &str, level: u8, threads: usize) -> PyResult<CompressOptions> {
    let codec = match codec {
        "auto" => None,
        name => Some(
            codec::by_name(name).ok_or_else(|| PyValueError::new_err(format!("unknown codec {name:?}")))?,
        ),
    };
    let level = Level::new(level).map_err(|e| PyValueError::new_err(e.to_string()))?;
    Ok(CompressOptions {
        settings: Settings { level, codec, verify: false },
        threads,
        blake3: false,
        sha256: false,
        force: false,
        name: None,
        base: None,
        independent: false,
        ask: None,
        parity: None,
    })
}

/// Bytes restored, bytes of the index, tensors; as `mmh_rs.Limits` has them.
pub type GivenLimits = Option<(Option<u64>, u64, u64)>;

pub fn limits(given: GivenLimits) -> Limits {
    given.map_or(Limits::default(), |(restored, index, tensors)| Limits { restored, index, tensors })
}

pub fn codecs<'py>(
    py: Python<'py>,
    totals: &BTreeMap<&'static str, CodecTotal>,
) -> PyResult<Bound<'py, PyDict>> {
    let all = PyDict::new(py);
    for (name, t) in totals {
        let d = PyDict::new(py);
        d.set_item("frames", t.frames)?;
        d.set_item("raw", t.raw)?;
        d.set_item("stored", t.stored)?;
        all.set_item(name, d)?;
    }
    Ok(all)
}

pub fn report<'py>(
    py: Python<'py>,
    report: &Report,
    source: Option<String>,
    target: Option<String>,
    seconds: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("source", source)?;
    d.set_item("target", target)?;
    d.set_item("source_bytes", report.source_bytes)?;
    d.set_item("stored_bytes", report.stored_bytes)?;
    d.set_item("seconds", seconds)?;
    d.set_item("format", report.format)?;
    d.set_item("tensors", report.tensors)?;
    d.set_item("codecs", codecs(py, &report.codecs)?)?;
    d.set_item("blake3", report.blake3.as_ref().map(hex))?;
    d.set_item("sha256", report.sha256.as_ref().map(hex))?;
    if let Some(count) = report.in_base {
        d.set_item("in_base", count)?;
    }
    Ok(d)
}

pub fn why<'py>(py: Python<'py>, why: &Why) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("name", &why.name)?;
    d.set_item("dtype", why.dtype)?;
    d.set_item("start", why.start)?;
    d.set_item("bytes", why.bytes)?;
    d.set_item("stored", why.stored)?;
    d.set_item("chosen", why.chosen)?;
    let frames = PyDict::new(py);
    for (codec, count) in &why.frames {
        frames.set_item(codec, count)?;
    }
    d.set_item("frames", why.stored.map(|_| frames))?;
    let seen = PyDict::new(py);
    seen.set_item("byte_entropy", why.byte_entropy)?;
    seen.set_item("zero_bytes", why.zero_bytes)?;
    seen.set_item("period", why.period)?;
    seen.set_item("element_bits", why.element.map(|e| e.0))?;
    seen.set_item("element_offset", why.element.map(|e| e.1))?;
    seen.set_item("symbol_bits", why.symbol_bits)?;
    seen.set_item("symbol_cost", why.bits.map(|b| b.0))?;
    seen.set_item("element_cost", why.bits.map(|b| b.1))?;
    seen.set_item("zero_low_bits", why.zero_bits)?;
    d.set_item("seen", seen)?;
    let mut bids = Vec::with_capacity(why.bids.len());
    for (codec, estimate, reason) in &why.bids {
        let b = PyDict::new(py);
        b.set_item("codec", codec)?;
        b.set_item("estimate", estimate)?;
        b.set_item("reason", reason)?;
        bids.push(b);
    }
    d.set_item("bids", bids)?;
    Ok(d)
}

/// Calls Python while the engine works: for signals always, for progress, between batches, if it is wanted. What Python raises is kept
/// and stops the work.
pub struct Watch {
    callback: Option<Arc<Py<PyAny>>>,
    raised: Arc<Mutex<Option<PyErr>>>,
}

impl Watch {
    pub fn new(callback: Option<Py<PyAny>>) -> Watch {
        Watch { callback: callback.map(Arc::new), raised: Arc::default() }
    }

    /// For the engine to ask whether to go on: not after Ctrl-C, whose exception is kept.
    pub fn ask(&self) -> Ask {
        let (callback, raised) = (self.callback.clone(), self.raised.clone());
        Ask::new(move |step| match told(callback.as_deref(), step) {
            Ok(()) => true,
            Err(e) => {
                keep(&raised, e);
                false
            }
        })
    }

    pub fn step(&mut self, step: Step) -> Result<(), Error> {
        told(self.callback.as_deref(), Some(step)).map_err(|e| {
            keep(&self.raised, e);
            Error::Stopped
        })
    }

    /// Threads of a call that is stopped by Ctrl-C.
    pub fn workers(&self, threads: usize) -> Workers {
        Workers::watched(threads, Some(self.ask()))
    }

    /// The exception for an error: what Python raised, if that was it.
    pub fn error(self, py: Python<'_>, error: Error) -> PyErr {
        match self.raised.lock().ok().and_then(|mut raised| raised.take()) {
            Some(e) => e,
            None => crate::error::raise(py, error),
        }
    }
}

/// Signals first, then the caller's function, if there is something to tell it.
fn told(callback: Option<&Py<PyAny>>, step: Option<Step>) -> PyResult<()> {
    Python::attach(|py| {
        py.check_signals()?;
        if let Some((f, step)) = callback.zip(step) {
            f.call1(py, (step.done, step.total, step.stored))?;
        }
        Ok(())
    })
}

fn keep(raised: &Mutex<Option<PyErr>>, e: PyErr) {
    if let Ok(mut raised) = raised.lock() {
        *raised = Some(e);
    }
}

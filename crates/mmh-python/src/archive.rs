//! One open `.mmh`.

use crate::buffer::{Bytes, BytesMut, Held};
use crate::convert::{self, GivenLimits, Watch};
use crate::error::raise;
use crate::file_object::FileObject;
use crate::functions::{GivenBase, lent, open_lent};
use crate::parity;
use mmh_core::api::{self, Reference, Shared};
use mmh_core::codec::{self, Level};
use mmh_core::container::{frame, reader};
use mmh_core::io::FileAt;
use mmh_core::{Error, Result};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

#[pyclass(frozen, module = "mmh_rs._core")]
pub struct Archive {
    inner: reader::Archive<Shared>,
    /// Position of each tensor, by name; made when it is first asked for.
    names: OnceLock<HashMap<String, usize>>,
    /// A tensor has been asked for by name.
    asked: AtomicBool,
}

impl Archive {
    fn new(
        py: Python<'_>,
        base: Option<GivenBase<'_>>,
        limits: GivenLimits,
        open: impl FnOnce() -> Result<Shared> + Send,
    ) -> PyResult<Archive> {
        let base = lent(base)?;
        let open = || {
            let mut archive = reader::Archive::open_within(open()?, &convert::limits(limits))?;
            if archive.needs_base().is_some() {
                archive.set_base(open_lent(base)?)?;
            }
            Ok(archive)
        };
        Ok(Archive::of(py.detach(open).map_err(|e| raise(py, e))?))
    }

    /// One that is open.
    pub fn of(inner: reader::Archive<Shared>) -> Archive {
        Archive { inner, names: OnceLock::new(), asked: AtomicBool::new(false) }
    }

    fn position(&self, name: &str) -> PyResult<usize> {
        let rows = &self.inner.index().tensors;
        let unknown = || PyKeyError::new_err(name.to_owned());
        // One look through all names is quicker than a table of them, which pays from the second tensor on.
        if !self.asked.swap(true, Ordering::Relaxed) {
            return rows.iter().position(|t| t.tensor.name == name).ok_or_else(unknown);
        }
        let names = self
            .names
            .get_or_init(|| rows.iter().enumerate().map(|(i, t)| (t.tensor.name.clone(), i)).collect());
        names.get(name).copied().ok_or_else(unknown)
    }

    fn describe<'py>(&self, py: Python<'py>, i: usize) -> PyResult<Bound<'py, PyDict>> {
        let row = &self.inner.index().tensors[i];
        let t = &row.tensor;
        let d = PyDict::new(py);
        d.set_item("name", &t.name)?;
        d.set_item("dtype", t.dtype.name())?;
        d.set_item("shape", &t.shape)?;
        d.set_item("fortran", t.fortran)?;
        d.set_item("start", t.start)?;
        d.set_item("bytes", t.len)?;
        let range = self.inner.covering(t.start, t.end());
        let frames = &self.inner.frames()[range.clone()];
        d.set_item("frames", frames.len())?;
        d.set_item("stored", frames.iter().map(|f| f.stored + frame::HEAD as u64).sum::<u64>())?;
        let mut by_codec: Vec<(&str, u64)> = Vec::new();
        for f in frames {
            let name = codec::name_of(f.codec);
            match by_codec.iter_mut().find(|c| c.0 == name) {
                Some(c) => c.1 += f.raw,
                None => by_codec.push((name, f.raw)),
            }
        }
        by_codec.sort_by_key(|c| std::cmp::Reverse(c.1));
        d.set_item("codecs", by_codec.iter().map(|c| c.0).collect::<Vec<_>>())?;
        d.set_item("blake3", row.blake3.as_ref().map(convert::hex))?;
        let from = match frames {
            [only] if only.codec == codec::COPY => {
                py.detach(|| self.inner.copied_from(range.start)).map_err(|e| raise(py, e))?
            }
            _ => None,
        };
        let original = from.and_then(|at| {
            let rows = &self.inner.index().tensors;
            rows.iter()
                .find(|r| r.tensor.start == at && r.tensor.len == t.len)
                .map(|r| r.tensor.name.as_str())
        });
        d.set_item("copy_of", original)?;
        Ok(d)
    }
}

#[pymethods]
impl Archive {
    #[staticmethod]
    #[pyo3(signature = (path, base=None, limits=None))]
    fn open_path(
        py: Python<'_>,
        path: PathBuf,
        base: Option<GivenBase<'_>>,
        limits: GivenLimits,
    ) -> PyResult<Archive> {
        Archive::new(py, base, limits, || {
            let io = |e| Error::io(&path, e);
            let file = std::fs::File::open(&path).map_err(io)?;
            if file.metadata().map_err(io)?.is_dir() {
                return Err(io(std::io::ErrorKind::IsADirectory.into()));
            }
            Ok(Arc::new(FileAt::new(file).map_err(io)?))
        })
    }

    #[staticmethod]
    #[pyo3(signature = (data, base=None, limits=None))]
    fn open_buffer(
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        base: Option<GivenBase<'_>>,
        limits: GivenLimits,
    ) -> PyResult<Archive> {
        let held = Held(Bytes::new(data)?);
        Archive::new(py, base, limits, move || Ok(Arc::new(held)))
    }

    #[staticmethod]
    #[pyo3(signature = (file, base=None, limits=None))]
    fn open_object(
        py: Python<'_>,
        file: &Bound<'_, PyAny>,
        base: Option<GivenBase<'_>>,
        limits: GivenLimits,
    ) -> PyResult<Archive> {
        let object = FileObject::new(file)?;
        Archive::new(py, base, limits, move || Ok(Arc::new(object)))
    }

    fn header<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let index = self.inner.index();
        let d = PyDict::new(py);
        d.set_item("version", mmh_core::FORMAT_VERSION)?;
        d.set_item("name", &index.name)?;
        d.set_item("format", index.format.name())?;
        d.set_item("source_bytes", index.source_len)?;
        d.set_item("stored_bytes", self.inner.stored_len())?;
        d.set_item("frames", index.frames.len())?;
        d.set_item("tensors", index.tensors.len())?;
        d.set_item("blake3", index.blake3.as_ref().map(convert::hex))?;
        d.set_item("sha256", index.sha256.as_ref().map(convert::hex))?;
        d.set_item("codecs", convert::codecs(py, &api::totals(&index.frames))?)?;
        let base = self.inner.record().map(|record| {
            let b = PyDict::new(py);
            b.set_item("name", &record.name)?;
            b.set_item("bytes", record.len)?;
            b.set_item("blake3", convert::hex(&record.blake3))?;
            b.set_item("needed", self.inner.needs_base().is_some())?;
            PyResult::Ok(b)
        });
        d.set_item("base", base.transpose()?)?;
        let plan = py.detach(|| self.inner.parity()).map_err(|e| raise(py, e))?;
        d.set_item("parity", plan.map(|plan| parity::promise(py, &plan)).transpose()?)?;
        Ok(d)
    }

    /// Number of tensors in the index; of a small file it may leave them to the header of the source.
    #[getter]
    fn indexed(&self) -> usize {
        self.inner.index().tensors.len()
    }

    /// Format of the source.
    #[getter]
    fn format(&self) -> &'static str {
        self.inner.index().format.name()
    }

    fn keys(&self) -> Vec<&str> {
        self.inner.index().tensors.iter().map(|t| t.tensor.name.as_str()).collect()
    }

    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        (0..self.inner.index().tensors.len()).map(|i| self.describe(py, i)).collect()
    }

    fn tensor<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyDict>> {
        self.describe(py, self.position(name)?)
    }

    #[pyo3(signature = (start, out, threads=0, check=true))]
    fn read_into(
        &self,
        py: Python<'_>,
        start: u64,
        out: &Bound<'_, PyAny>,
        threads: usize,
        check: bool,
    ) -> PyResult<()> {
        let mut out = BytesMut::new(out)?;
        let out = out.as_mut_slice();
        let watch = Watch::new(None);
        let workers = watch.workers(threads);
        py.detach(|| self.inner.read_range(start, out, &workers, check)).map_err(|e| watch.error(py, e))
    }

    #[pyo3(signature = (threads=0, progress=None, hash=None, file=None))]
    fn verify<'py>(
        &self,
        py: Python<'py>,
        threads: usize,
        progress: Option<Py<PyAny>>,
        hash: Option<[u8; 32]>,
        file: Option<PathBuf>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let start = Instant::now();
        let mut watch = Watch::new(progress);
        let workers = watch.workers(threads);
        let done = py.detach(|| {
            // A file that cannot be read is said before the work, not after it.
            let file = file.map(|path| Reference::open(&path)).transpose()?;
            let reference = file.or(hash.map(Reference::Hash));
            api::verify_against(&self.inner, reference.as_ref(), &workers, &mut |s| watch.step(s))
        });
        let found = done.map_err(|e| watch.error(py, e))?;
        let d = PyDict::new(py);
        d.set_item("ok", found.damaged.is_empty() && found.matches != Some(false))?;
        d.set_item("matches", found.matches)?;
        d.set_item("source_bytes", self.inner.index().source_len)?;
        d.set_item("stored_bytes", self.inner.stored_len())?;
        d.set_item("frames", found.frames)?;
        d.set_item("tensors", self.inner.index().tensors.len())?;
        d.set_item("seconds", start.elapsed().as_secs_f64())?;
        let mut damaged = Vec::with_capacity(found.damaged.len());
        for x in &found.damaged {
            let e = PyDict::new(py);
            e.set_item("frame", x.frame)?;
            e.set_item("offset", x.offset)?;
            e.set_item("source_start", x.source_start)?;
            e.set_item("source_bytes", x.source_bytes)?;
            e.set_item("codec", x.codec)?;
            e.set_item("tensor", &x.tensor)?;
            e.set_item("what", &x.what)?;
            damaged.push(e);
        }
        d.set_item("damaged", damaged)?;
        Ok(d)
    }

    #[pyo3(signature = (level=5, progress=None))]
    fn why<'py>(
        &self,
        py: Python<'py>,
        level: u8,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let level = Level::new(level).map_err(|e| PyValueError::new_err(e.to_string()))?;
        let watch = Watch::new(progress);
        let workers = watch.workers(1);
        let done = py.detach(|| api::explain_archive(&self.inner, level, &workers));
        let all = done.map_err(|e| watch.error(py, e))?;
        all.iter().map(|w| convert::why(py, w)).collect()
    }
}

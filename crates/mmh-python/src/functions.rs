//! The module's functions.

use crate::buffer::{Bytes, BytesMut, Held, new_bytes, written_at_most};
use crate::convert::{self, GivenLimits, Watch};
use crate::error::raise;
use mmh_core::api::{self, DecompressOptions};
use mmh_core::base::Base;
use mmh_core::codec::Level;
use mmh_core::container::reader::Archive;
use mmh_core::io::{FileAt, ReadAt};
use mmh_core::{Dtype, Error, Limits};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

#[pyfunction]
#[allow(clippy::too_many_arguments)]
#[pyo3(signature = (data, dtype, shape, codec, level, threads, hashes, base=None))]
pub fn compress<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    dtype: Option<&str>,
    shape: Option<Vec<u64>>,
    codec: &str,
    level: u8,
    threads: usize,
    hashes: bool,
    base: Option<GivenBase<'py>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let data = Bytes::new(data)?;
    let mut options = convert::options(codec, level, threads)?;
    options.blake3 = hashes;
    let base = lent(base)?;
    options.base = py.detach(|| open_lent(base)).map_err(|e| raise(py, e))?;
    let array = array(dtype, shape, data.as_slice().len())?;
    let slice = data.as_slice();
    let watch = Watch::new(None);
    let workers = watch.workers(options.threads);
    let write = |room: &mut [MaybeUninit<u8>]| {
        py.detach(|| api::compress_into(slice, array.clone(), &options, &workers, room))
    };
    match written_at_most(py, api::room_for(slice.len()), write)? {
        Ok(Some(bytes)) => return Ok(bytes),
        Ok(None) => {} // there was no room
        Err(e) => return Err(watch.error(py, e)),
    }
    let done = py.detach(|| api::compress_bytes_by(slice, array, &options, &workers));
    Ok(PyBytes::new(py, &done.map_err(|e| watch.error(py, e))?))
}

/// Dtype and shape of so many bytes, which have one axis where no shape is given.
fn array(dtype: Option<&str>, shape: Option<Vec<u64>>, len: usize) -> PyResult<Option<(Dtype, Vec<u64>)>> {
    let Some(name) = dtype else { return Ok(None) };
    let dtype = convert::dtype(name)?;
    let (elements, bytes) = dtype.unit();
    let n = len as u64 / bytes * elements;
    Ok(Some((dtype, shape.unwrap_or(vec![n]))))
}

#[pyfunction]
pub fn decompressed_size(py: Python<'_>, blob: &Bound<'_, PyAny>) -> PyResult<u64> {
    let blob = Bytes::new(blob)?;
    let archive = Archive::open_within(blob.as_slice(), &Limits::NONE).map_err(|e| raise(py, e))?;
    Ok(archive.index().source_len)
}

#[pyfunction]
#[pyo3(signature = (blob, threads, check, limits=None, base=None))]
pub fn decompress<'py>(
    py: Python<'py>,
    blob: &Bound<'py, PyAny>,
    threads: usize,
    check: bool,
    limits: GivenLimits,
    base: Option<GivenBase<'py>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let blob = Bytes::new(blob)?;
    let slice = blob.as_slice();
    let base = lent(base)?;
    let open = || {
        let mut archive = Archive::open_within(slice, &convert::limits(limits))?;
        if archive.needs_base().is_some() {
            archive.set_base(open_lent(base)?)?;
        }
        Ok(archive)
    };
    let archive = py.detach(open).map_err(|e| raise(py, e))?;
    let len = usize::try_from(archive.index().source_len)
        .map_err(|_| raise(py, Error::Limit("the source does not fit the address space".into())))?;
    new_bytes(py, len, |out| {
        let watch = Watch::new(None);
        let workers = watch.workers(threads);
        let restore = || {
            archive.check_base(&workers)?;
            archive.read_range_new(0, out, &workers, check)
        };
        py.detach(restore).map_err(|e| watch.error(py, e))
    })
}

#[pyfunction]
#[pyo3(signature = (blob, out, threads, check, base=None))]
pub fn decompress_into<'py>(
    py: Python<'py>,
    blob: &Bound<'py, PyAny>,
    out: &Bound<'py, PyAny>,
    threads: usize,
    check: bool,
    base: Option<GivenBase<'py>>,
) -> PyResult<usize> {
    let blob = Bytes::new(blob)?;
    let mut out = BytesMut::new(out)?;
    let (slice, out) = (blob.as_slice(), out.as_mut_slice());
    let watch = Watch::new(None);
    let workers = watch.workers(threads);
    let base = lent(base)?;
    let in_out = |bytes: &[u8]| {
        let (a, b) = (bytes.as_ptr_range(), out.as_ptr_range());
        !bytes.is_empty() && a.start < b.end && b.start < a.end
    };
    let base_in_out = matches!(&base, Some(Lent::Memory(held, _)) if in_out(held.0.as_slice()));
    if in_out(slice) || base_in_out {
        return Err(PyValueError::new_err(
            "out is in the same memory as what is decompressed; pass another buffer",
        ));
    }
    py.detach(|| api::decompress_into_by(slice, || open_lent(base), out, &workers, check))
        .map_err(|e| watch.error(py, e))
}

pub fn text(path: &Option<PathBuf>) -> Option<String> {
    path.as_deref().map(|p: &Path| p.to_string_lossy().into_owned())
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
#[pyo3(signature = (source, target, codec, level, threads, verify, sha256, force, name=None, progress=None, base=None, parity=None, independent=false))]
pub fn compress_file<'py>(
    py: Python<'py>,
    source: Option<PathBuf>,
    target: Option<PathBuf>,
    codec: &str,
    level: u8,
    threads: usize,
    verify: bool,
    sha256: bool,
    force: bool,
    name: Option<String>,
    progress: Option<Py<PyAny>>,
    base: Option<PathBuf>,
    parity: Option<u32>,
    independent: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let mut options = convert::options(codec, level, threads)?;
    options.parity = parity;
    options.independent = independent;
    options.settings.verify = verify;
    options.blake3 = true;
    options.sha256 = sha256;
    options.force = force;
    options.name = name;
    let start = Instant::now();
    let mut watch = Watch::new(progress);
    options.ask = Some(watch.ask());
    let done = py.detach(|| {
        options.base = open_base(base)?;
        api::compress_file(source.as_deref(), target.as_deref(), &options, &mut |s| watch.step(s))
    });
    let report = done.map_err(|e| watch.error(py, e))?;
    convert::report(py, &report, text(&source), text(&target), start.elapsed().as_secs_f64())
}

#[pyfunction]
#[pyo3(signature = (source, target, threads, check, force, progress=None, base=None, limits=None))]
#[allow(clippy::too_many_arguments)]
pub fn decompress_file<'py>(
    py: Python<'py>,
    source: Option<PathBuf>,
    target: Option<PathBuf>,
    threads: usize,
    check: bool,
    force: bool,
    progress: Option<Py<PyAny>>,
    base: Option<PathBuf>,
    limits: GivenLimits,
) -> PyResult<Bound<'py, PyDict>> {
    let start = Instant::now();
    let mut watch = Watch::new(progress);
    let (limits, ask) = (convert::limits(limits), Some(watch.ask()));
    let options = DecompressOptions { threads, check, force, base, limits, ask };
    let done = py.detach(|| {
        api::decompress_file(source.as_deref(), target.as_deref(), &options, &mut |s| watch.step(s))
    });
    let report = done.map_err(|e| watch.error(py, e))?;
    convert::report(py, &report, text(&source), text(&target), start.elapsed().as_secs_f64())
}

/// A base as Python gives it.
#[derive(FromPyObject)]
pub enum GivenBase<'py> {
    /// Bytes in memory, and the dtype and shape that they have as an array.
    Memory(Bound<'py, PyAny>, Option<String>, Option<Vec<u64>>),
    /// A file.
    Path(PathBuf),
}

/// The same, for threads that do not hold the GIL.
pub enum Lent {
    Memory(Held, Option<(Dtype, Vec<u64>)>),
    Path(PathBuf),
}

/// Takes hold of a base.
pub fn lent(base: Option<GivenBase<'_>>) -> PyResult<Option<Lent>> {
    let lent = |base| match base {
        GivenBase::Path(path) => Ok(Lent::Path(path)),
        GivenBase::Memory(data, dtype, shape) => {
            let data = Bytes::new(&data)?;
            let array = array(dtype.as_deref(), shape, data.as_slice().len())?;
            Ok(Lent::Memory(Held(data), array))
        }
    };
    base.map(lent).transpose()
}

/// Opens it.
pub fn open_lent(base: Option<Lent>) -> mmh_core::Result<Option<Arc<Base>>> {
    match base {
        None => Ok(None),
        Some(Lent::Path(path)) => open_base(Some(path)),
        Some(Lent::Memory(data, array)) => Ok(Some(Arc::new(Base::in_memory(Box::new(data), array)?))),
    }
}

/// Refuses a target that may not be written.
#[pyfunction]
#[pyo3(signature = (target, force, read))]
pub fn check_target(py: Python<'_>, target: PathBuf, force: bool, read: Vec<PathBuf>) -> PyResult<()> {
    let read = read.iter().map(|path| Some(path.as_path()));
    py.detach(|| api::check_target(&target, force, read)).map_err(|e| raise(py, e))
}

/// The base at a path.
pub fn open_base(path: Option<PathBuf>) -> mmh_core::Result<Option<Arc<Base>>> {
    path.map(|p| Base::open(&p).map(Arc::new)).transpose()
}

#[pyfunction]
#[pyo3(signature = (source, level, base=None, progress=None))]
pub fn explain_file<'py>(
    py: Python<'py>,
    source: PathBuf,
    level: u8,
    base: Option<PathBuf>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let level = Level::new(level).map_err(|e| PyValueError::new_err(e.to_string()))?;
    let watch = Watch::new(progress);
    let workers = watch.workers(1);
    let explain = || -> mmh_core::Result<_> {
        let io = |e| Error::io(&source, e);
        let file = std::fs::File::open(&source).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            return Err(io(std::io::ErrorKind::IsADirectory.into()));
        }
        let input = FileAt::new(file).map_err(io)?;
        api::explain_source(&input, open_base(base)?.as_deref(), level, &workers)
    };
    let all = py.detach(explain).map_err(|e| watch.error(py, e))?;
    all.iter().map(|w| convert::why(py, w)).collect()
}

/// GB/s of `f` over `bytes` bytes, the best of a few runs.
fn speed(bytes: usize, mut f: impl FnMut()) -> f64 {
    let run = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        f();
        bytes as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..4).map(|_| run(&mut f)).fold(0.0, f64::max)
}

#[pyfunction]
pub fn doctor<'py>(py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
    use mmh_kernels::cpu::{Simd, simd};
    let d = PyDict::new(py);
    d.set_item("version", env!("CARGO_PKG_VERSION"))?;
    d.set_item("format_version", mmh_core::FORMAT_VERSION)?;
    d.set_item("os", std::env::consts::OS)?;
    d.set_item("arch", std::env::consts::ARCH)?;
    d.set_item("cpu", cpu_name())?;
    d.set_item("threads", std::thread::available_parallelism().map_or(1, |n| n.get()))?;
    let sets = PyDict::new(py);
    for s in Simd::ALL {
        sets.set_item(s.name(), s.is_available())?;
    }
    d.set_item("simd", sets)?;
    d.set_item("simd_used", simd().name())?;
    let copied = py.detach(|| {
        let from = vec![1u8; 32 << 20];
        let mut to = vec![2u8; 32 << 20];
        speed(from.len(), || {
            to.copy_from_slice(&from);
            std::hint::black_box(&to);
        })
    });
    d.set_item("memcpy_gbps", copied)?;
    Ok(d)
}

/// The processor's name, where the system tells it.
fn cpu_name() -> String {
    std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|t| {
            let line = t.lines().find(|l| l.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// What can be opened as an archive.
pub type Input = Box<dyn ReadAt>;

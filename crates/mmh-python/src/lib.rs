//! The Python module `mmh_rs._core`: conversions, errors, and the GIL released around every piece of work. Nothing else.
//!
//! `python/mmh_rs/_core.pyi` holds the signatures and their documentation.
//!
//! * `functions`: the functions of the module
//! * `archive`: one open `.mmh`
//! * `making`: `generate`
//! * `compare`: `estimate` and `diff`
//! * `validation`: `validate` and the proof
//! * `parity`: `protect`, `examine`, `repair`
//! * `salvage`: `salvage`
//! * `pack`: directories in one file
//! * `buffer`: Python buffers as slices, without a copy
//! * `file_object`: Python file objects, read at any offset
//! * `convert`: results as dictionaries, arguments as settings
//! * `error`: errors as exceptions

mod archive;
mod buffer;
mod compare;
mod convert;
mod error;
mod file_object;
mod functions;
mod making;
mod pack;
mod parity;
mod salvage;
mod validation;

use pyo3::prelude::*;

#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("FORMAT_VERSION", mmh_core::FORMAT_VERSION)?;
    let names = std::iter::once("auto").chain(mmh_core::codec::CODECS.iter().map(|c| c.name()));
    m.add("CODECS", names.collect::<Vec<_>>())?;
    m.add("MmhError", py.get_type::<error::MmhError>())?;
    m.add("CorruptionError", py.get_type::<error::CorruptionError>())?;
    m.add("UnsupportedFormatError", py.get_type::<error::UnsupportedFormatError>())?;
    m.add("LimitError", py.get_type::<error::LimitError>())?;
    m.add_class::<archive::Archive>()?;
    m.add_class::<validation::Validator>()?;
    m.add_function(wrap_pyfunction!(functions::compress, m)?)?;
    m.add_function(wrap_pyfunction!(functions::decompressed_size, m)?)?;
    m.add_function(wrap_pyfunction!(functions::decompress, m)?)?;
    m.add_function(wrap_pyfunction!(functions::decompress_into, m)?)?;
    m.add_function(wrap_pyfunction!(functions::check_target, m)?)?;
    m.add_function(wrap_pyfunction!(functions::compress_file, m)?)?;
    m.add_function(wrap_pyfunction!(functions::decompress_file, m)?)?;
    m.add_function(wrap_pyfunction!(pack::pack_dir, m)?)?;
    m.add_function(wrap_pyfunction!(pack::unpack_dir, m)?)?;
    m.add_function(wrap_pyfunction!(functions::explain_file, m)?)?;
    m.add_function(wrap_pyfunction!(compare::estimate, m)?)?;
    m.add_function(wrap_pyfunction!(compare::diff, m)?)?;
    m.add_function(wrap_pyfunction!(making::families, m)?)?;
    m.add_function(wrap_pyfunction!(making::generate, m)?)?;
    m.add_function(wrap_pyfunction!(parity::protect, m)?)?;
    m.add_function(wrap_pyfunction!(parity::examine, m)?)?;
    m.add_function(wrap_pyfunction!(parity::repair, m)?)?;
    m.add_function(wrap_pyfunction!(salvage::salvage, m)?)?;
    m.add_function(wrap_pyfunction!(functions::doctor, m)?)?;
    Ok(())
}

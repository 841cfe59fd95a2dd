//! The engine's errors as Python's.

use mmh_core::Error;
use mmh_core::error::DamagedBase;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::prelude::*;

create_exception!(mmh_rs, MmhError, PyException, "Base of the errors that Python has no class for.");
create_exception!(mmh_rs, CorruptionError, MmhError, "The data is damaged.");
create_exception!(mmh_rs, UnsupportedFormatError, MmhError, "Not an MMH file, or one for a newer version.");
create_exception!(mmh_rs, LimitError, MmhError, "More than the limits or the memory allow.");

/// The Python exception for an error of the engine.
pub fn raise(py: Python<'_>, error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Corrupt { .. } => CorruptionError::new_err(message),
        Error::NotMmh(_) | Error::Unsupported(_) => UnsupportedFormatError::new_err(message),
        Error::Limit(_) => LimitError::new_err(message),
        Error::Invalid(_) => PyValueError::new_err(message),
        Error::WrongBase(_) | Error::SelfCheck(_) | Error::Stopped => MmhError::new_err(message),
        Error::Io { path, source } => os_error(py, path.as_deref(), source),
    }
}

/// With errno where there is one, so that Python picks the subclass, and with the file's name.
fn os_error(py: Python<'_>, path: Option<&std::path::Path>, source: std::io::Error) -> PyErr {
    // An exception that Python code (a file object) raised comes back as it was.
    if source.get_ref().is_some_and(|e| e.is::<PyErr>()) {
        return source.into();
    }
    // Names of files need not be text.
    let name = path.and_then(|p| p.as_os_str().into_pyobject(py).ok()).map(Bound::unbind);
    if source.get_ref().is_some_and(|e| e.is::<DamagedBase>()) {
        return CorruptionError::new_err(source.to_string());
    }
    let Some(errno) = errno(&source) else {
        return PyOSError::new_err(match path {
            Some(p) => format!("{}: {source}", p.display()),
            None => source.to_string(),
        });
    };
    let strerror = || py.import("os")?.call_method1("strerror", (errno,))?.extract::<String>();
    let text = strerror().unwrap_or_else(|_: PyErr| source.to_string());
    match name {
        Some(name) => PyOSError::new_err((errno, text, name)),
        None => PyOSError::new_err((errno, text)),
    }
}

/// The number that C gives to this kind of error; the same on every system for these.
fn errno(e: &std::io::Error) -> Option<i32> {
    use std::io::ErrorKind as Kind;
    Some(match e.kind() {
        Kind::NotFound => 2,
        Kind::PermissionDenied => 13,
        Kind::AlreadyExists => 17,
        Kind::NotADirectory => 20,
        Kind::IsADirectory => 21,
        Kind::FileTooLarge => 27,
        Kind::StorageFull => 28,
        Kind::ReadOnlyFilesystem => 30,
        Kind::BrokenPipe => 32,
        // Others differ from system to system; Windows has numbers of its own.
        _ if cfg!(unix) => return e.raw_os_error(),
        _ => return None,
    })
}

//! A Python file object as something that can be read at any offset.

use mmh_core::io::ReadAt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyString};
use std::io;
use std::sync::Mutex;

/// Seek and read are two calls: a lock keeps them together.
pub struct FileObject {
    file: Mutex<Py<PyAny>>,
    len: u64,
}

impl FileObject {
    /// Takes its length by seeking to its end.
    pub fn new(file: &Bound<'_, PyAny>) -> PyResult<FileObject> {
        let end = file.call_method1("seek", (0, 2))?;
        // Those of maps of memory give nothing before Python 3.13.
        let end = if end.is_none() { file.call_method0("tell")? } else { end };
        let len = end.extract()?;
        Ok(FileObject { file: Mutex::new(file.clone().unbind()), len })
    }
}

fn not_bytes(piece: &Bound<'_, PyAny>) -> PyErr {
    let what = if piece.is_instance_of::<PyString>() {
        "the file was opened as text; open it in binary mode, \"rb\"".to_owned()
    } else {
        let kind = piece.get_type().name().map(|n| n.to_string()).unwrap_or_default();
        format!("read() of the file object gives {kind}, not bytes")
    };
    PyTypeError::new_err(what)
}

impl ReadAt for FileObject {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        Python::attach(|py| -> io::Result<()> {
            // Who waits for the lock lets go of the GIL, whether the caller held it or not: who has the lock needs it.
            let file = self.file.lock_py_attached(py);
            let file = file.map_err(|_| io::Error::other("a reader of this file object failed"))?;
            let file = file.bind(py);
            file.call_method1("seek", (offset,))?;
            let mut done = 0;
            while done < buf.len() {
                let piece = file.call_method1("read", (buf.len() - done,))?;
                let piece = piece.cast::<PyBytes>().map_err(|_| not_bytes(&piece))?.as_bytes();
                if piece.is_empty() || piece.len() > buf.len() - done {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                buf[done..done + piece.len()].copy_from_slice(piece);
                done += piece.len();
            }
            Ok(())
        })
    }
}

//! Python buffers as slices, without a copy.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A contiguous buffer of bytes, held for as long as this lives.
pub struct Bytes(PyBuffer<u8>);

impl Bytes {
    /// Of `bytes`, or of a C-contiguous memoryview of bytes.
    pub fn new(object: &Bound<'_, PyAny>) -> PyResult<Bytes> {
        let buffer = PyBuffer::<u8>::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err("the buffer is not C-contiguous"));
        }
        Ok(Bytes(buffer))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        if self.0.len_bytes() == 0 {
            return &[];
        }
        // SAFETY: the buffer is C-contiguous, of `len_bytes` bytes, and the export keeps it alive and unresized. Other threads of the
        // program could write to it while the GIL is released; the documentation forbids that, as hashlib's does.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), self.0.len_bytes()) }
    }
}

/// The same, writable.
pub struct BytesMut(PyBuffer<u8>);

impl BytesMut {
    /// Refuses a read-only buffer.
    pub fn new(object: &Bound<'_, PyAny>) -> PyResult<BytesMut> {
        let buffer = PyBuffer::<u8>::get(object)?;
        if buffer.readonly() || !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err("`out` has to be writable and C-contiguous"));
        }
        Ok(BytesMut(buffer))
    }

    /// The bytes.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        if self.0.len_bytes() == 0 {
            return &mut [];
        }
        // SAFETY: as in `Bytes::as_slice`; the buffer is writable, and `&mut self` keeps this borrow the only one through this export.
        unsafe { std::slice::from_raw_parts_mut(self.0.buf_ptr().cast(), self.0.len_bytes()) }
    }
}

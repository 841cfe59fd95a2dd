//! Python buffers as slices, without a copy.

use mmh_core::io::ReadAt;
use mmh_kernels::memory;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::cell::Cell;
use std::mem::MaybeUninit;

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

/// A Python buffer that is read at offsets.
pub struct Held(pub Bytes);

impl ReadAt for Held {
    fn len(&self) -> u64 {
        ReadAt::len(self.0.as_slice())
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.0.as_slice().read_exact_at(offset, buf)
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        ReadAt::slice(self.0.as_slice(), offset, len)
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

unsafe extern "C" {
    /// Part of the stable ABI (docs.python.org/3/c-api/stable.html), but not of `pyo3::ffi`.
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> std::ffi::c_int;
}

/// A new `bytes` object of at most `most` bytes: as many as `write` says that it wrote, from the start on. Memory that is not written to is
/// given back, or was never there. `None` also where there is not enough memory to begin with.
pub fn written_at_most<'py, E>(
    py: Python<'py>,
    most: usize,
    write: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<Option<usize>, E>,
) -> PyResult<Result<Option<Bound<'py, PyBytes>>, E>> {
    if most < memory::LARGE {
        return copied_at_most(py, most, write);
    }
    let size = isize::try_from(most).map_err(|_| PyMemoryError::new_err(()))?;
    // SAFETY: with a null pointer the call makes an object of `size` bytes that nobody else knows of yet, and that may be written to
    // until somebody does; it gives null with an exception set when there is no memory. `_PyBytes_Resize` takes such an object over, and
    // leaves the new one, or null with an exception set, in its place.
    unsafe {
        let object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), size);
        let Ok(object) = Bound::from_owned_ptr_or_err(py, object) else { return Ok(Ok(None)) };
        let start = ffi::PyBytes_AsString(object.as_ptr()).cast::<MaybeUninit<u8>>();
        let room = std::slice::from_raw_parts_mut(start, most);
        memory::prefer_huge_pages(room);
        let written = match write(room) {
            Ok(Some(n)) => n.min(most),
            Ok(None) => return Ok(Ok(None)),
            Err(e) => return Ok(Err(e)),
        };
        let mut object = object.into_ptr();
        _PyBytes_Resize(&mut object, written as isize);
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        Ok(Ok(Some(object.cast_into_unchecked())))
    }
}

/// The same by way of memory that this thread keeps: an object that is made too large and cut to size is made of fresh pages each time, whose
/// first touch costs more than a copy.
fn copied_at_most<'py, E>(
    py: Python<'py>,
    most: usize,
    write: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<Option<usize>, E>,
) -> PyResult<Result<Option<Bound<'py, PyBytes>>, E>> {
    thread_local! {
        static KEPT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // Taken, as Python code may run meanwhile, and come here again.
    let mut memory = KEPT.take();
    memory.clear();
    memory.try_reserve(most).map_err(|_| PyMemoryError::new_err(()))?;
    let room = &mut memory.spare_capacity_mut()[..most];
    let done = write(room).map(|written| {
        written.map(|n| {
            let n = n.min(most);
            // SAFETY: `write` says that these bytes have a value.
            PyBytes::new(py, unsafe { std::slice::from_raw_parts(room.as_ptr().cast(), n) })
        })
    });
    KEPT.set(memory);
    Ok(done)
}

/// A new `bytes` object of `len` bytes, all of which `fill` has given a value if it succeeds; on huge pages where that pays, as its first
/// touch would cost more than the work.
pub fn new_bytes<'py>(
    py: Python<'py>,
    len: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> PyResult<()>,
) -> PyResult<Bound<'py, PyBytes>> {
    let size = isize::try_from(len).map_err(|_| PyMemoryError::new_err(()))?;
    // SAFETY: with a null pointer the call makes an object of `size` bytes that nobody else knows of yet, and that may be written to
    // until somebody does; it gives null with an exception set when there is no memory. Nobody sees it unless all of it has a value. (The
    // object of no bytes is not ours alone, and nothing is written to it.)
    unsafe {
        let object =
            Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), size))?;
        let start = ffi::PyBytes_AsString(object.as_ptr()).cast::<MaybeUninit<u8>>();
        let room = std::slice::from_raw_parts_mut(start, len);
        memory::prefer_huge_pages(room);
        fill(room)?;
        Ok(object.cast_into_unchecked())
    }
}

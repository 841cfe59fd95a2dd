//! Memory of a fixed size that a `.mmh` is written to, from its start on.

use super::writer::Target;
use std::io::{self, Write};
use std::mem::MaybeUninit;

/// Where it is written, and how far it has come.
pub struct Room<'a> {
    bytes: &'a mut [MaybeUninit<u8>],
    written: usize,
}

impl<'a> Room<'a> {
    /// Nothing is written yet.
    pub fn new(bytes: &'a mut [MaybeUninit<u8>]) -> Room<'a> {
        Room { bytes, written: 0 }
    }
}

impl Write for Room<'_> {
    /// All of `buf`, or nothing where it does not fit.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Some(to) = self.bytes.get_mut(self.written..).and_then(|left| left.get_mut(..buf.len())) else {
            return Ok(0);
        };
        mmh_kernels::memory::copy_away(buf, to);
        self.written += buf.len();
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Target for Room<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_an_error() {
        let mut bytes = [MaybeUninit::uninit(); 5];
        let mut room = Room::new(&mut bytes);
        room.write_all(b"abc").unwrap();
        assert_eq!(room.write_all(b"def").unwrap_err().kind(), io::ErrorKind::WriteZero);
        room.write_all(b"de").unwrap();
        assert_eq!(room.written, 5);
    }
}

//! Memory of a fixed size that a `.mmh` is written to, from its start on.

use super::writer::{Place, Target};
use mmh_kernels::memory;
use std::io::{self, Write};
use std::mem::MaybeUninit;

/// What is left of it.
pub struct Room<'a> {
    left: &'a mut [MaybeUninit<u8>],
    /// What was written first.
    start: &'a mut [MaybeUninit<u8>],
}

impl<'a> Room<'a> {
    /// Nothing is written yet.
    pub fn new(bytes: &'a mut [MaybeUninit<u8>]) -> Room<'a> {
        Room { left: bytes, start: &mut [] }
    }
}

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// Touches each huge page that begins in a place. Who touches one first has it cleared; where neighbours in a page begin to write at the same
/// time, each would have one cleared, and all but one in vain.
fn touch(place: &mut [MaybeUninit<u8>]) {
    let first = place.as_ptr().addr().wrapping_neg() % HUGE;
    place.iter_mut().skip(first).step_by(HUGE).for_each(|byte| _ = byte.write(0));
}

impl Write for Room<'_> {
    /// All of `buf`, or nothing where it does not fit.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let Some(place) = self.place(buf.len()) else { return Ok(0) };
        place.put(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Target for Room<'a> {
    type Place = &'a mut [MaybeUninit<u8>];
    const AMENDS: bool = true;

    /// Where one does not fit, nothing more does.
    fn place(&mut self, n: usize) -> Option<Self::Place> {
        let (place, left) = std::mem::take(&mut self.left).split_at_mut_checked(n)?;
        self.left = left;
        touch(place);
        Some(place)
    }

    fn begin(&mut self, start: &[u8]) -> io::Result<()> {
        self.start = self.place(start.len()).ok_or(io::ErrorKind::WriteZero)?;
        self.amend(start)
    }

    fn amend(&mut self, start: &[u8]) -> io::Result<()> {
        self.start.put(start);
        Ok(())
    }
}

impl Place for &mut [MaybeUninit<u8>] {
    fn put(self, bytes: &[u8]) {
        memory::copy_away(bytes, self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_an_error() {
        let mut bytes = [MaybeUninit::uninit(); 5];
        let mut room = Room::new(&mut bytes);
        room.write_all(b"abc").unwrap();
        assert_eq!(room.write_all(b"def").unwrap_err().kind(), io::ErrorKind::WriteZero);
        let mut room = Room::new(&mut bytes);
        assert_eq!(room.begin(b"abcdef").unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}

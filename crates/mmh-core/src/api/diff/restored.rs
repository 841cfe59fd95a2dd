//! The restored bytes of an archive, for readers of headers: they read a few bytes at a time, often of the same block.

use crate::api::Workers;
use crate::codec;
use crate::container::reader::Archive;
use crate::io::ReadAt;
use std::io;
use std::sync::Mutex;

/// Reads through the block that was restored last.
pub struct Restored<'a> {
    archive: &'a Archive<Box<dyn ReadAt>>,
    last: Mutex<Last>,
}

/// The block that was restored last, or that could not be.
#[derive(Default)]
struct Last {
    frame: Option<usize>,
    bytes: Vec<u8>,
    sound: bool,
}

impl<'a> Restored<'a> {
    pub fn new(archive: &'a Archive<Box<dyn ReadAt>>) -> Restored<'a> {
        Restored { archive, last: Mutex::default() }
    }

    fn read(&self, start: u64, buf: &mut [u8]) -> io::Result<()> {
        self.archive.read_range(start, buf, &Workers::new(1), true).map_err(io::Error::other)
    }
}

impl ReadAt for Restored<'_> {
    fn len(&self) -> u64 {
        self.archive.index().source_len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        let covering = self.archive.covering(offset, end);
        let (i, mut last) = match (covering.len(), self.last.lock()) {
            (1, Ok(last)) if !codec::is_run(self.archive.frames()[covering.start].codec) => {
                (covering.start, last)
            }
            _ => return self.read(offset, buf),
        };
        let f = self.archive.frames()[i];
        if last.frame != Some(i) {
            last.frame = Some(i);
            last.bytes.resize(f.raw as usize, 0);
            last.sound = self.read(f.start, &mut last.bytes).is_ok();
        }
        if !last.sound {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let skip = (offset - f.start) as usize;
        buf.copy_from_slice(&last.bytes[skip..skip + buf.len()]);
        Ok(())
    }
}

//! Frames in order, then the index.

use super::base::BaseRecord;
use super::frame::{self, Head};
use super::index::{self, FrameRow, Index, TensorRow};
use super::{FOOTER, HEADER};
use crate::block::{Coded, Encoded, run_checksum};
use crate::codec::{self, pattern251};
use crate::error::Result;
use crate::source::Format;
use std::convert::Infallible;
use std::io::{self, Seek, SeekFrom, Write};

/// What a `.mmh` is written to.
pub trait Target: Write + Send {
    /// A place for the next bytes of the file, which anybody fills while others go on; [`Infallible`] where all is written in order.
    type Place: Place;

    /// Whether what was written first can be written again.
    const AMENDS: bool = false;

    /// A place for `n` bytes, if there are such.
    fn place(&mut self, _n: usize) -> Option<Self::Place> {
        None
    }

    /// Writes what comes first.
    fn begin(&mut self, start: &[u8]) -> io::Result<()> {
        self.write_all(start)
    }

    /// Writes it again, in other bytes; only where that is possible.
    fn amend(&mut self, _start: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Writes the first bytes of a file again.
pub fn amend(file: &mut (impl Write + Seek), start: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(start)?;
    file.seek(SeekFrom::End(0))?;
    Ok(())
}

/// A place for bytes of a file.
pub trait Place: Send {
    /// Writes all of it.
    ///
    /// # Panics
    /// If there are more or less `bytes`.
    fn put(self, bytes: &[u8]);
}

impl Place for Infallible {
    fn put(self, _: &[u8]) {
        match self {}
    }
}

impl Target for Vec<u8> {
    type Place = Infallible;
    const AMENDS: bool = true;

    fn amend(&mut self, start: &[u8]) -> io::Result<()> {
        self[..start.len()].copy_from_slice(start);
        Ok(())
    }
}

impl Target for &mut Box<dyn Write + Send + '_> {
    type Place = Infallible;
}

impl Target for Box<dyn Write + Send + '_> {
    type Place = Infallible;
}

/// Writes a `.mmh` to anything that takes bytes in order.
pub struct Writer<W: Target> {
    out: W,
    header: [u8; HEADER],
    written: u64,
    frames: Vec<FrameRow>,
    source_len: u64,
    pending: Option<Pending>,
    /// Flags that the header has, or is to have.
    flags: u16,
}

/// The last frame, as long as the next may become one with it.
enum Pending {
    Run { pattern: Vec<u8>, raw: u64 },
    Copy { from: u64, raw: u64 },
}

/// What the index says beside its frames.
pub struct Facts {
    /// BLAKE3 of the source.
    pub blake3: Option<[u8; 32]>,
    /// SHA-256 of the source.
    pub sha256: Option<[u8; 32]>,
    /// Format of the source.
    pub format: Format,
    /// Name of the source.
    pub name: String,
    /// The tensors.
    pub tensors: Vec<TensorRow>,
}

impl<W: Target> Writer<W> {
    /// Flags of a file: `copies`: whether there will be copy frames for sure; `relatives`: whether there may be relative frames.
    pub fn flags(copies: bool, relatives: bool) -> u16 {
        (if copies { index::HAS_COPIES } else { 0 }) | if relatives { index::HAS_RELATIVES } else { 0 }
    }

    /// Writes the header, with these flags; `base`: what delta frames refer to, if there may be some.
    pub fn new(mut out: W, flags: u16, base: Option<&BaseRecord>) -> Result<Writer<W>> {
        let flags = flags | if base.is_some() { index::HAS_BASE } else { 0 };
        let header = index::header(flags);
        let record = base.map(BaseRecord::to_bytes).unwrap_or_default();
        out.begin(&header)?;
        out.write_all(&record)?;
        Ok(Writer {
            out,
            header,
            written: (HEADER + record.len()) as u64,
            frames: Vec::new(),
            source_len: 0,
            pending: None,
            flags,
        })
    }

    /// Whether there may be copy frames: what comes first says so, or can still be made to.
    pub fn takes_copies(&self) -> bool {
        W::AMENDS || self.flags & index::HAS_COPIES != 0
    }

    /// Appends a block of its own. `joins`: it goes on in the segment of the frame before; then two runs of the same pattern become one.
    pub fn push(&mut self, block: &Encoded, joins: bool) -> Result<()> {
        if block.codec == pattern251::ID {
            if let Some(Pending::Run { pattern, raw }) = &mut self.pending {
                let period = pattern.len();
                let phase = (*raw % period as u64) as usize;
                let continues = block.payload.len() == period
                    && block.payload[..period - phase] == pattern[phase..]
                    && block.payload[period - phase..] == pattern[..phase];
                if joins && continues {
                    *raw += block.raw;
                    return Ok(());
                }
            }
            self.flush_pending()?;
            self.pending = Some(Pending::Run { pattern: block.payload.clone(), raw: block.raw });
            return Ok(());
        }
        self.flush_pending()?;
        self.put(block.codec, block.raw, block.checksum, &block.payload)
    }

    /// Appends a frame that is no run and that is complete, head included; or gives a place for it.
    pub fn push_made(&mut self, coded: &Coded, bytes: &[u8]) -> Result<Option<W::Place>> {
        self.flush_pending()?;
        let place = self.out.place(bytes.len());
        if place.is_none() {
            self.out.write_all(bytes)?;
        }
        self.count(coded.codec, coded.raw, (bytes.len() - frame::HEAD) as u64);
        Ok(place)
    }

    /// Appends a frame that repeats `raw` earlier source bytes from `from` on, none of them a copy. `joins`: it goes on in the segment of the
    /// frame before; then two copies of what lies side by side become one.
    pub fn push_copy(&mut self, from: u64, raw: u64, joins: bool) -> Result<()> {
        if let Some(Pending::Copy { from: first, raw: so_far }) = &mut self.pending
            && joins
            && *first + *so_far == from
        {
            *so_far += raw;
            return Ok(());
        }
        self.flush_pending()?;
        self.pending = Some(Pending::Copy { from, raw });
        self.flags |= index::HAS_COPIES;
        Ok(())
    }

    fn flush_pending(&mut self) -> Result<()> {
        match self.pending.take() {
            Some(Pending::Run { pattern, raw }) => {
                self.put(pattern251::ID, raw, run_checksum(&pattern, raw), &pattern)
            }
            Some(Pending::Copy { from, raw }) => {
                let payload = from.to_le_bytes();
                self.put(codec::COPY, raw, run_checksum(&payload, raw), &payload)
            }
            None => Ok(()),
        }
    }

    fn put(&mut self, codec: u8, raw: u64, checksum: u64, payload: &[u8]) -> Result<()> {
        let stored = payload.len() as u64;
        frame::check(codec, stored, raw)?;
        self.out.write_all(&Head { codec, stored: stored as u32, raw, checksum }.to_bytes())?;
        self.out.write_all(payload)?;
        self.count(codec, raw, stored);
        Ok(())
    }

    fn count(&mut self, codec: u8, raw: u64, stored: u64) {
        self.frames.push(FrameRow { codec, raw, stored });
        self.written += frame::HEAD as u64 + stored;
        self.source_len += raw;
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes index and footer; gives back what was written to, the size of the file, and the frames.
    pub fn finish(mut self, facts: Facts) -> Result<(W, u64, Vec<FrameRow>)> {
        self.flush_pending()?;
        let Facts { blake3, sha256, format, name, tensors } = facts;
        let index =
            Index { source_len: self.source_len, blake3, sha256, format, name, frames: self.frames, tensors };
        let bytes = index.to_bytes()?;
        let header = index::header(self.flags);
        let len = self.written + bytes.len() as u64 + FOOTER as u64;
        self.out.write_all(&bytes)?;
        self.out.write_all(&index::footer(&header, &bytes, len))?;
        if header != self.header {
            self.out.amend(&header)?;
        }
        self.out.flush()?;
        Ok((self.out, len, index.frames))
    }
}

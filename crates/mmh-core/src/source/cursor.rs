//! Reading forward through a file of which little is needed.

use super::Input;

/// Bytes of the first read after a jump; reads double while there is no other jump.
const FIRST: usize = 512;
/// Bytes of the largest read.
const LARGEST: usize = 1 << 18;
/// Bytes that a reader may have read before it gives up: far more than headers take.
const BUDGET: u64 = 256 << 20;

/// A place in a file, and a few bytes from there on. What is passed over is not read.
pub(super) struct Cursor<'a> {
    input: Input<'a>,
    at: u64,
    buffer: Vec<u8>,
    /// Source offset of the buffer's first byte.
    start: u64,
    piece: usize,
    budget: u64,
}

impl<'a> Cursor<'a> {
    pub fn new(input: Input<'a>, at: u64) -> Cursor<'a> {
        Cursor { input, at, buffer: Vec::new(), start: at, piece: FIRST, budget: BUDGET }
    }

    /// Source offset of the next byte.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Goes to an offset, which may lie behind the end: there is nothing to read then.
    pub fn seek(&mut self, to: u64) {
        self.at = to;
    }

    /// Passes over bytes.
    pub fn skip(&mut self, bytes: u64) -> Option<()> {
        self.at = self.at.checked_add(bytes)?;
        Some(())
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        Some(self.array::<1>()?[0])
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.array()?))
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.array()?))
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.array()?))
    }

    /// The next bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let next = self.ahead(N)?.first_chunk::<N>().copied()?;
        self.at += N as u64;
        Some(next)
    }

    /// The next bytes, if they are no more than `most`.
    pub fn bytes(&mut self, len: u64, most: usize) -> Option<Vec<u8>> {
        let len = usize::try_from(len).ok().filter(|len| *len <= most)?;
        let next = self.ahead(len)?.get(..len)?.to_vec();
        self.at += len as u64;
        Some(next)
    }

    /// The next bytes as text, `None` in it if they are too many, or not UTF-8. They are passed over in any case.
    pub fn text(&mut self, len: u64, most: usize) -> Option<Option<String>> {
        if len > most as u64 {
            self.skip(len)?;
            return Some(None);
        }
        Some(String::from_utf8(self.bytes(len, most)?).ok())
    }

    /// The bytes up to the next line feed, which is passed over.
    pub fn line(&mut self, most: usize) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            match self.u8()? {
                b'\n' => return Some(line),
                _ if line.len() == most => return None,
                byte => line.push(byte),
            }
        }
    }

    /// At least `len` of the bytes that are next, without passing over them.
    fn ahead(&mut self, len: usize) -> Option<&[u8]> {
        let from = self.at.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let held = from.filter(|from| from.checked_add(len).is_some_and(|end| end <= self.buffer.len()));
        match held {
            Some(from) => self.buffer.get(from..),
            None => {
                self.fill(len)?;
                Some(&self.buffer)
            }
        }
    }

    fn fill(&mut self, len: usize) -> Option<()> {
        let left = self.input.bytes.len().checked_sub(self.at)?;
        let known = self.start + self.buffer.len() as u64;
        let onward = (self.start..=known).contains(&self.at);
        self.piece = if onward { (self.piece * 2).min(LARGEST) } else { FIRST };
        let take = (self.piece.max(len) as u64).min(left);
        self.budget = self.budget.checked_sub(take)?;
        if take < len as u64 {
            return None;
        }
        self.buffer = self.input.read(self.at, usize::try_from(take).ok()?)?;
        self.start = self.at;
        Some(())
    }
}

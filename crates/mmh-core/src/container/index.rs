//! Header, index and footer.

use super::frame;
use super::{END_MAGIC, FOOTER, HEADER, MAGIC, varint};
use crate::api::zeroed;
use crate::codec::{self, delta, zstd};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::source::{Format, Tensor};
use std::collections::HashSet;
use twox_hash::XxHash3_64;

/// First bytes of the index.
pub const SYNC: [u8; 2] = *b"IX";
/// The same of one that is compressed.
pub const PACKED_SYNC: [u8; 2] = *b"IZ";
/// An index that is compressed restores at most so many times its bytes.
const MOST_PACKED: u64 = 256;
/// An index shorter than this is left as it is.
const WORTH_PACKING: usize = 1024;
/// Flag of the header: the file has `copy` frames.
pub const HAS_COPIES: u16 = 1;
/// Flag of the header: the record of a base follows, and the file may have `delta` frames.
pub const HAS_BASE: u16 = 2;
/// Flag of the header: the file may have `relative` frames.
pub const HAS_RELATIVES: u16 = 4;
/// The longest source name, in bytes.
pub const MAX_NAME: usize = 1024;

/// A frame in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRow {
    /// Codec id.
    pub codec: u8,
    /// Bytes restored.
    pub raw: u64,
    /// Bytes of the payload.
    pub stored: u64,
}

/// A tensor in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRow {
    /// What and where it is.
    pub tensor: Tensor,
    /// BLAKE3 of its bytes.
    pub blake3: Option<[u8; 32]>,
}

/// What the index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Bytes of the source.
    pub source_len: u64,
    /// BLAKE3 of the source.
    pub blake3: Option<[u8; 32]>,
    /// SHA-256 of the source.
    pub sha256: Option<[u8; 32]>,
    /// Format of the source.
    pub format: Format,
    /// Name of the source, without a directory.
    pub name: String,
    /// The frames, in order.
    pub frames: Vec<FrameRow>,
    /// The tensors, in order.
    pub tensors: Vec<TensorRow>,
}

/// The header.
pub fn header(flags: u16) -> [u8; HEADER] {
    let mut h = [0; HEADER];
    h[..8].copy_from_slice(&MAGIC);
    h[8..10].copy_from_slice(&crate::FORMAT_VERSION.to_le_bytes());
    h[10..12].copy_from_slice(&flags.to_le_bytes());
    let check = XxHash3_64::oneshot(&h[..12]) as u32;
    h[12..].copy_from_slice(&check.to_le_bytes());
    h
}

/// Checks a header (which may be cut off) and gives its flags.
pub fn read_header(h: &[u8]) -> Result<u16> {
    if !h.starts_with(&MAGIC) {
        return Err(Error::NotMmh("it does not begin with the MMH signature".into()));
    }
    let h: &[u8; HEADER] = h
        .first_chunk()
        .ok_or_else(|| Error::corrupt_at(h.len() as u64, "the file ends within its header"))?;
    if h[12..] != (XxHash3_64::oneshot(&h[..12]) as u32).to_le_bytes() {
        return Err(Error::corrupt_at(12, "the header does not agree with its check"));
    }
    let (version, flags) = (u16::from_le_bytes([h[8], h[9]]), u16::from_le_bytes([h[10], h[11]]));
    if version != crate::FORMAT_VERSION {
        return Err(Error::Unsupported(format!(
            "format version {version}; this program reads version {}, a newer one is needed",
            crate::FORMAT_VERSION
        )));
    }
    if flags & !(HAS_COPIES | HAS_BASE | HAS_RELATIVES) != 0 {
        return Err(Error::corrupt_at(10, format!("reserved flags {flags:#x} are set")));
    }
    Ok(flags)
}

/// The footer of a file whose header and index are these.
pub fn footer(header: &[u8; HEADER], index: &[u8], file_len: u64) -> [u8; FOOTER] {
    let mut f = [0; FOOTER];
    f[..8].copy_from_slice(&(index.len() as u64).to_le_bytes());
    f[8..16].copy_from_slice(&XxHash3_64::oneshot(index).to_le_bytes());
    f[16..24].copy_from_slice(&file_len.to_le_bytes());
    let check = footer_check(header, &f);
    f[24..32].copy_from_slice(&check);
    f[32..].copy_from_slice(&END_MAGIC);
    f
}

fn footer_check(header: &[u8; HEADER], footer: &[u8; FOOTER]) -> [u8; 8] {
    let joined = [&header[..], &footer[..24]].concat();
    XxHash3_64::oneshot(&joined).to_le_bytes()
}

/// Checks a footer at byte `at` and gives the size of the index before it and its hash.
pub fn read_footer(header: &[u8; HEADER], footer: &[u8; FOOTER], at: u64) -> Result<(u64, u64)> {
    if footer[32..] != END_MAGIC {
        return Err(Error::corrupt_at(
            at + 32,
            "the end of the file is missing: it was cut off, or bytes were appended",
        ));
    }
    if footer[24..32] != footer_check(header, footer) {
        return Err(Error::corrupt_at(at + 24, "the footer does not agree with its check"));
    }
    let field = |i: usize| footer[i..i + 8].iter().rev().fold(0u64, |v, &b| v << 8 | b as u64);
    let (index_len, hash, file_len) = (field(0), field(8), field(16));
    if Some(file_len) != at.checked_add(FOOTER as u64) {
        return Err(Error::corrupt_at(
            at + 16,
            format!("expected a file of {file_len} bytes, found {}", at + FOOTER as u64),
        ));
    }
    Ok((index_len, hash))
}

fn put_string(s: &str, out: &mut Vec<u8>) {
    varint::write(s.len() as u64, out);
    out.extend_from_slice(s.as_bytes());
}

impl Index {
    /// As a file has it: compressed where that pays. (Names of tensors are alike, and so are the sizes of frames.)
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let plain = self.to_plain_bytes();
        if plain.len() < WORTH_PACKING {
            return Ok(plain);
        }
        let mut packed = PACKED_SYNC.to_vec();
        varint::write(plain.len() as u64, &mut packed);
        zstd::compress_whole(&plain, &mut packed)?;
        let earned = packed.len() as u64 * MOST_PACKED >= plain.len() as u64;
        Ok(if earned && packed.len() < plain.len() - plain.len() / 16 { packed } else { plain })
    }

    fn to_plain_bytes(&self) -> Vec<u8> {
        let mut out = SYNC.to_vec();
        varint::write(self.source_len, &mut out);
        out.push(self.blake3.is_some() as u8 | (self.sha256.is_some() as u8) << 1);
        out.extend(self.blake3.iter().chain(&self.sha256).flatten());
        out.push(self.format.id());
        put_string(&self.name, &mut out);
        varint::write(self.frames.len() as u64, &mut out);
        for f in &self.frames {
            out.push(f.codec);
            varint::write(f.raw, &mut out);
            varint::write(f.stored, &mut out);
        }
        varint::write(self.tensors.len() as u64, &mut out);
        let mut end = 0;
        for row in &self.tensors {
            let t = &row.tensor;
            varint::write(t.start - end, &mut out);
            end = t.end();
            put_string(&t.name, &mut out);
            out.extend([t.dtype.id(), t.fortran as u8, t.shape.len() as u8]);
            t.shape.iter().for_each(|d| varint::write(*d, &mut out));
            if self.blake3.is_some() {
                out.extend(row.blake3.unwrap_or_default());
            }
        }
        out
    }

    /// From bytes that begin at `offset` of the file; every rule of the format is checked.
    pub fn from_bytes(bytes: &[u8], offset: u64, flags: u16, limits: &Limits) -> Result<Index> {
        if !bytes.starts_with(&PACKED_SYNC) {
            return Index::from_plain_bytes(bytes, offset, flags, limits);
        }
        let bad = |what: String| Error::corrupt_at(offset, format!("index: {what}"));
        let mut left = &bytes[PACKED_SYNC.len()..];
        let len = varint::read(&mut left).ok_or_else(|| bad("malformed number in its size".into()))?;
        if len > bytes.len() as u64 * MOST_PACKED {
            return Err(bad(format!("{} bytes that would restore {len}", bytes.len())));
        }
        limits.check_index(len)?;
        let mut plain = zeroed(len)?;
        zstd::decompress_whole(left, &mut plain).map_err(|e| e.at(offset))?;
        Index::from_plain_bytes(&plain, offset, flags, limits)
    }

    fn from_plain_bytes(bytes: &[u8], offset: u64, flags: u16, limits: &Limits) -> Result<Index> {
        let mut at = Reader { left: bytes, offset, len: bytes.len(), limits };
        if at.take(2, "sync")? != SYNC {
            return Err(Error::corrupt_at(offset, "expected the index"));
        }
        let source_len = at.varint("source length")?;
        let hashes = at.byte("content hashes")?;
        if hashes & !3 != 0 {
            return Err(at.bad(format!("reserved bits of the content hashes are set: {hashes:#x}")));
        }
        let blake3 = if hashes & 1 != 0 { Some(at.hash("BLAKE3")?) } else { None };
        let sha256 = if hashes & 2 != 0 { Some(at.hash("SHA-256")?) } else { None };
        let format = at.byte("source format")?;
        let format =
            Format::from_id(format).ok_or_else(|| at.bad(format!("unknown source format {format}")))?;
        let name = at.string(MAX_NAME, "source name")?;
        if !is_file_name(&name) {
            return Err(at.bad(format!("source name {name:?} is not a file name")));
        }
        let frames = at.frames(source_len, flags)?;
        let tensors = at.tensors(source_len, blake3.is_some())?;
        if !at.left.is_empty() {
            return Err(at.bad(format!("{} bytes left over after the index", at.left.len())));
        }
        check_borders(&frames, &tensors).map_err(|e| e.at(offset))?;
        Ok(Index { source_len, blake3, sha256, format, name, frames, tensors })
    }

    /// Size of all frames, their heads included.
    pub fn frames_size(&self) -> Option<u64> {
        self.frames.iter().try_fold(0u64, |n, f| n.checked_add(f.stored)?.checked_add(frame::HEAD as u64))
    }
}

/// Whether a name can be that of a source: a file name, or empty.
pub fn is_file_name(name: &str) -> bool {
    !name.contains(['/', '\\', '\0']) && name != "." && name != ".." && name.len() <= MAX_NAME
}

/// No frame straddles the border of a tensor.
fn check_borders(frames: &[FrameRow], tensors: &[TensorRow]) -> Result<()> {
    let mut borders =
        tensors.iter().filter(|t| t.tensor.len > 0).flat_map(|t| [t.tensor.start, t.tensor.end()]).peekable();
    let mut start = 0;
    for f in frames {
        let end = start + f.raw;
        while borders.next_if(|b| *b <= start).is_some() {}
        if borders.peek().is_some_and(|b| *b < end) {
            return Err(Error::corrupt(format!(
                "the frame of source bytes {start}..{end} straddles a tensor"
            )));
        }
        start = end;
    }
    Ok(())
}

struct Reader<'a> {
    left: &'a [u8],
    offset: u64,
    len: usize,
    limits: &'a Limits,
}

impl<'a> Reader<'a> {
    fn bad(&self, what: String) -> Error {
        Error::corrupt_at(self.offset + (self.len - self.left.len()) as u64, format!("index: {what}"))
    }

    fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8]> {
        let (now, later) =
            self.left.split_at_checked(n).ok_or_else(|| self.bad(format!("cut off in {what}")))?;
        self.left = later;
        Ok(now)
    }

    fn byte(&mut self, what: &str) -> Result<u8> {
        Ok(self.take(1, what)?[0])
    }

    fn varint(&mut self, what: &str) -> Result<u64> {
        let mut left = self.left;
        let v = varint::read(&mut left).ok_or_else(|| self.bad(format!("malformed number in {what}")))?;
        self.left = left;
        Ok(v)
    }

    fn hash(&mut self, what: &str) -> Result<[u8; 32]> {
        let mut h = [0; 32];
        h.copy_from_slice(self.take(32, what)?);
        Ok(h)
    }

    fn string(&mut self, max: usize, what: &str) -> Result<String> {
        let n = self.varint(what)?;
        if n > max as u64 {
            return Err(self.bad(format!("{what} of {n} bytes, at most {max} are allowed")));
        }
        let bytes = self.take(n as usize, what)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.bad(format!("{what} is not UTF-8")))
    }

    /// A count of rows of at least `least` bytes each.
    fn count(&mut self, least: usize, what: &str) -> Result<usize> {
        let n = self.varint(what)?;
        if n > (self.left.len() / least) as u64 {
            return Err(self.bad(format!("{n} {what} in {} bytes", self.left.len())));
        }
        Ok(n as usize)
    }

    fn frames(&mut self, source_len: u64, flags: u16) -> Result<Vec<FrameRow>> {
        let n = self.count(3, "frames")?;
        // Each has a head before the index: what a row takes in memory is earned there, not by its three bytes here.
        if n as u64 > self.offset / frame::HEAD as u64 {
            return Err(self.bad(format!("{n} frames in {} bytes", self.offset)));
        }
        let mut frames = Vec::with_capacity(n);
        let mut end = 0u64;
        for _ in 0..n {
            let codec = self.byte("frame")?;
            let (raw, stored) = (self.varint("frame")?, self.varint("frame")?);
            frame::check(codec, stored, raw)
                .map_err(|e| e.at(self.offset + (self.len - self.left.len()) as u64))?;
            end =
                end.checked_add(raw).ok_or_else(|| self.bad("frames restore more than 2^64 bytes".into()))?;
            frames.push(FrameRow { codec, raw, stored });
        }
        if end != source_len {
            return Err(self.bad(format!("expected frames for {source_len} source bytes, found {end}")));
        }
        let copies = frames.iter().any(|f| f.codec == codec::COPY);
        if copies != (flags & HAS_COPIES != 0) {
            return Err(self.bad("copy frames and the header's flag do not agree".into()));
        }
        if flags & HAS_BASE == 0 && frames.iter().any(|f| f.codec == delta::ID) {
            return Err(self.bad("delta frames in a file whose header says that it needs no base".into()));
        }
        if flags & HAS_RELATIVES == 0 && frames.iter().any(|f| f.codec == delta::RELATIVE) {
            return Err(self.bad("relative frames in a file whose header says that there are none".into()));
        }
        Ok(frames)
    }

    fn tensors(&mut self, source_len: u64, hashed: bool) -> Result<Vec<TensorRow>> {
        let n = self.count(if hashed { 37 } else { 5 }, "tensors")?;
        self.limits.check_tensors(n as u64)?;
        let mut tensors: Vec<TensorRow> = Vec::with_capacity(n);
        let mut end = 0u64;
        for _ in 0..n {
            let gap = self.varint("tensor")?;
            let name = self.string(u16::MAX as usize, "tensor name")?;
            let dtype = self.byte("dtype")?;
            let dtype = Dtype::from_id(dtype).ok_or_else(|| self.bad(format!("unknown dtype {dtype}")))?;
            let layout = self.byte("layout")?;
            if layout > 1 {
                return Err(self.bad(format!("unknown layout {layout}")));
            }
            let rank = self.byte("rank")?;
            if rank > 64 {
                return Err(self.bad(format!("rank {rank}, at most 64 is allowed")));
            }
            let shape = (0..rank).map(|_| self.varint("shape")).collect::<Result<Vec<u64>>>()?;
            let len = dtype.size_of(&shape).ok_or_else(|| self.bad(format!("impossible shape {shape:?}")))?;
            let start = end.checked_add(gap);
            let stop = start.and_then(|s| s.checked_add(len)).filter(|s| *s <= source_len);
            let (Some(start), Some(stop)) = (start, stop) else {
                return Err(self.bad(format!("tensor {name:?} lies outside of the source")));
            };
            end = stop;
            let blake3 = if hashed { Some(self.hash("BLAKE3 of a tensor")?) } else { None };
            let tensor = Tensor { name, dtype, shape, fortran: layout == 1, start, len };
            tensors.push(TensorRow { tensor, blake3 });
        }
        let mut names = HashSet::with_capacity(n);
        if let Some(twin) = tensors.iter().find(|t| !names.insert(t.tensor.name.as_str())) {
            return Err(self.bad(format!("two tensors named {:?}", twin.tensor.name)));
        }
        Ok(tensors)
    }
}

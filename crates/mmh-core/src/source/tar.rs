//! Tar archives: the tensors of the files in them. POSIX.1-2001 (pax) and GNU's format; `tar(5)` of FreeBSD describes both.

use super::cursor::Cursor;
use super::{Format, Hint, Input, Layout, Tensor, collect, find_inside};
use crate::io::ReadAt;
use std::io;

const BLOCK: u64 = 512;
/// What headers have in common, and where.
const MAGIC: &[u8] = b"ustar";
const MAGIC_AT: u64 = 257;
/// The longest header of names and sizes that is read.
const MAX_EXTENDED: usize = 1 << 16;
/// Files smaller than this are not looked into: their tensors would not pay for rows in the index.
const SMALLEST: u64 = 1 << 16;
/// Files that are looked into.
const MAX_FILES: usize = 1 << 16;

/// A file in an archive.
struct Member {
    name: String,
    start: u64,
    len: u64,
}

/// Finds the tensors of an archive's files, named `file:tensor`. What is no archive from its first byte on is not ours.
pub fn read(input: Input<'_>) -> Option<Layout> {
    let mut cursor = Cursor::new(input, 0);
    let mut next = Extended::default();
    if input.read(MAGIC_AT, MAGIC.len())? != MAGIC || !is_header(&cursor.array::<512>()?) {
        return None;
    }
    cursor.seek(0);
    let (mut tensors, mut hints, mut files) = (Vec::new(), Vec::new(), 0);
    // What comes behind something that is not understood is opaque.
    while let Some(Some(member)) = member(&mut cursor, &mut next) {
        if member.len < SMALLEST || files == MAX_FILES {
            continue;
        }
        files += 1;
        look_into(input, &member, &mut tensors, &mut hints);
    }
    Some(collect(input, Format::Tar, tensors, hints))
}

/// The next file of the archive; `None` in it at the end.
fn member(cursor: &mut Cursor<'_>, next: &mut Extended) -> Option<Option<Member>> {
    loop {
        let header = cursor.array::<512>()?;
        if !is_header(&header) {
            return Some(None);
        }
        let len = number(&header[124..136])?;
        let kind = header[156];
        match kind {
            b'L' | b'x' | b'g' => {
                let content = cursor.bytes(len, MAX_EXTENDED)?;
                cursor.seek(cursor.at().checked_next_multiple_of(BLOCK)?);
                match kind {
                    b'L' => next.name = text(&content),
                    b'x' => next.take(&content)?,
                    _ => {}
                }
            }
            b'0' | 0 | b'7' => {
                let Extended { name, len: longer } = std::mem::take(next);
                let len = longer.unwrap_or(len);
                let start = cursor.at();
                cursor.seek(start.checked_add(len)?.checked_next_multiple_of(BLOCK)?);
                let name = name.unwrap_or_else(|| short_name(&header));
                return Some(Some(Member { name, start, len }));
            }
            // Links, directories, devices: nothing follows, whatever they say.
            b'1'..=b'6' => *next = Extended::default(),
            _ => {
                *next = Extended::default();
                cursor.seek(cursor.at().checked_add(len)?.checked_next_multiple_of(BLOCK)?);
            }
        }
    }
}

/// What headers say of the file behind the next one.
#[derive(Default)]
struct Extended {
    name: Option<String>,
    len: Option<u64>,
}

impl Extended {
    /// Records of a pax header: `length key=value\n`.
    fn take(&mut self, mut content: &[u8]) -> Option<()> {
        while !content.is_empty() {
            let space = content.iter().position(|b| *b == b' ')?;
            let len: usize = str::from_utf8(&content[..space]).ok()?.parse().ok()?;
            let record = content.get(space + 1..len)?.strip_suffix(b"\n")?;
            content = &content[len..];
            let (key, value) = record.split_at_checked(record.iter().position(|b| *b == b'=')?)?;
            match key {
                b"path" => self.name = text(&value[1..]),
                b"size" => self.len = Some(str::from_utf8(&value[1..]).ok()?.parse().ok()?),
                _ => {}
            }
        }
        Some(())
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

/// Prefix and name of a header.
fn short_name(header: &[u8; 512]) -> String {
    let name = text(&header[..100]).unwrap_or_default();
    // GNU's format has other things where POSIX has the prefix.
    match text(&header[345..500]).filter(|p| &header[257..263] == b"ustar\0" && !p.is_empty()) {
        Some(prefix) => format!("{prefix}/{name}"),
        None => name,
    }
}

/// Whether it is one of POSIX's or GNU's, and agrees with its checksum.
fn is_header(header: &[u8; 512]) -> bool {
    let blank = header.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { b' ' } else { *b });
    &header[257..262] == MAGIC && number(&header[148..156]) == Some(blank.map(u64::from).sum())
}

/// Octal digits, or GNU's big-endian binary after a byte of 0x80.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] == 0x80 {
        let (high, low) = field[1..].split_at(field.len() - 9);
        let low = low.first_chunk().map(|b| u64::from_be_bytes(*b));
        return low.filter(|_| high.iter().all(|b| *b == 0));
    }
    let digits = str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

fn look_into(input: Input<'_>, member: &Member, tensors: &mut Vec<Tensor>, hints: &mut Vec<Hint>) {
    let there = input.bytes.len().saturating_sub(member.start).min(member.len);
    let part = Part { whole: input.bytes, start: member.start, len: there };
    let complete = input.complete || there == member.len;
    let Some(found) = find_inside(Input { bytes: &part, complete }) else { return };
    let inside = |start: u64, len: u64| start.checked_add(len).is_some_and(|end| end <= member.len);
    tensors.extend(found.tensors.into_iter().filter(|t| inside(t.start, t.len)).map(|t| Tensor {
        name: format!("{}:{}", member.name, t.name),
        start: member.start + t.start,
        ..t
    }));
    let hint = |h: Hint| Hint { start: member.start + h.start, ..h };
    hints.extend(found.hints.into_iter().filter(|h| inside(h.start, h.len)).map(hint));
}

/// A stretch of a source.
struct Part<'a> {
    whole: &'a dyn ReadAt,
    start: u64,
    len: u64,
}

impl ReadAt for Part<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match offset.checked_add(buf.len() as u64).filter(|end| *end <= self.len) {
            Some(_) => self.whole.read_exact_at(self.start + offset, buf),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

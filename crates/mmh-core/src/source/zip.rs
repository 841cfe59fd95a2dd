//! Zip archives: which stored entries they have, and where. See PKWARE's APPNOTE.TXT, 4.3.
//!
//! Entries are walked from the front, so that a stream and an archive that was cut off show what they have. Where an entry says
//! that its size is behind its data, the directory at the end is asked; where there is none, whoever knows what is in the entry.

use super::Input;
use super::cursor::Cursor;

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";
const DESCRIPTOR: &[u8] = b"PK\x07\x08";

/// Bytes of a local header before name and extra fields.
const FIXED: usize = 30;
/// Bytes of the longer kind of descriptor.
const DESCRIPTOR_LEN: u64 = 24;
/// Bytes of the end of the directory, without its comment.
const END_LEN: usize = 22;
/// The longest comment.
const MAX_COMMENT: u64 = 65_535;
/// Entries of unknown size that are looked at: more than checkpoints have tensors.
const MAX_UNKNOWN: u32 = 1 << 17;
/// Those that nobody knows are looked through so far.
const SCAN: u64 = 4096;

/// Flag: encrypted.
const ENCRYPTED: u16 = 1;
/// Flag: sizes may be behind the data only.
const BEHIND: u16 = 1 << 3;
/// Flag: the name is UTF-8.
const UTF8: u16 = 1 << 11;

/// A file in an archive.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    name: Vec<u8>,
    flags: u16,
    /// Whether its bytes stand in the archive as they are.
    pub plain: bool,
    /// Source offset of its first byte.
    pub start: u64,
    /// Bytes in the archive.
    pub len: u64,
}

impl Entry {
    /// Its name, if it can be read.
    pub fn name(&self) -> Option<&str> {
        let name = str::from_utf8(&self.name).ok()?;
        // Without the flag a name is in some code page, all of which share ASCII. Readers cut names at a NUL.
        let readable = (self.flags & UTF8 != 0 || name.is_ascii()) && !name.contains('\0');
        readable.then_some(name)
    }

    /// Source offset of the byte after its last.
    pub fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// The entries of an archive that begins at the first byte of the file. The last one may be cut off. `size` tells the length of
/// an entry from what is in it.
pub(super) fn entries(input: Input<'_>, mut size: impl FnMut(&Entry) -> Option<u64>) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut at = 0;
    let mut unknown = 0;
    while let Some((mut entry, known)) = local(input, at) {
        if !known {
            unknown += 1;
            if unknown == 1
                && let Some(all) = directory(input)
            {
                return all;
            }
            if unknown > MAX_UNKNOWN {
                break;
            }
            let Some(len) = size(&entry).filter(|_| entry.plain).or_else(|| scan(input, entry.start)) else {
                break;
            };
            entry.len = len;
        }
        let Some(end) = entry.start.checked_add(entry.len) else { break };
        if end > input.bytes.len() {
            entries.push(entry);
            break;
        }
        let behind = if known { Some(0) } else { descriptor(input, end, entry.len) };
        // What is known of the last entry of an archive that was cut off right behind it cannot be checked.
        if behind.is_none() && input.bytes.len() - end >= DESCRIPTOR_LEN {
            break;
        }
        entries.push(entry);
        let Some(behind) = behind else { break };
        at = end + behind;
    }
    entries
}

/// The entry whose local header is at `at`, and whether that says how long it is.
fn local(input: Input<'_>, at: u64) -> Option<(Entry, bool)> {
    let header = input.read(at, FIXED)?;
    if !header.starts_with(LOCAL) {
        return None;
    }
    let (flags, method) = (u16_at(&header, 6)?, u16_at(&header, 8)?);
    let name_len = usize::from(u16_at(&header, 26)?);
    let extra_len = usize::from(u16_at(&header, 28)?);
    let at = at.checked_add(FIXED as u64)?;
    let mut name = input.read(at, name_len + extra_len)?;
    let start = at.checked_add(name.len() as u64)?;
    let extra = name.split_off(name_len);
    let mut zip64 = zip64(&extra);
    // The order is that of the extra field.
    let size = zip64.number(u32_at(&header, 22)?)?;
    let len = zip64.number(u32_at(&header, 18)?)?;
    let known = flags & BEHIND == 0 || len != 0;
    let plain = method == 0 && flags & ENCRYPTED == 0 && len == size;
    Some((Entry { name, flags, plain, start, len }, known))
}

/// Bytes of the descriptor at `at`, behind an entry of this length.
fn descriptor(input: Input<'_>, at: u64, len: u64) -> Option<u64> {
    let short = input.read(at, 16)?;
    if !short.starts_with(DESCRIPTOR) {
        return None;
    }
    let same = |bytes: &[u8], at| u64_at(bytes, at) == Some(len);
    if input.read(at, 24).is_some_and(|long| same(&long, 8) && same(&long, 16)) {
        return Some(24);
    }
    let len = u32::try_from(len).ok();
    (u32_at(&short, 8) == len && u32_at(&short, 12) == len).then_some(16)
}

/// The length of a short entry, up to a descriptor that says as much.
fn scan(input: Input<'_>, start: u64) -> Option<u64> {
    let there = input.bytes.len().checked_sub(start)?.min(SCAN);
    let bytes = input.read(start, usize::try_from(there).ok()?)?;
    let starts = bytes.windows(4).enumerate().filter(|(_, four)| *four == DESCRIPTOR);
    starts.map(|(len, _)| len as u64).find(|len| descriptor(input, start + len, *len).is_some())
}

/// The entries that the directory names, in its order.
fn directory(input: Input<'_>) -> Option<Vec<Entry>> {
    let (count, offset) = end_of_directory(input)?;
    let mut cursor = Cursor::new(input, offset);
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.extend(central(input, &mut cursor)?);
    }
    Some(entries)
}

/// Number of entries, and offset of the first one's row.
fn end_of_directory(input: Input<'_>) -> Option<(u64, u64)> {
    if !input.complete {
        return None;
    }
    let len = input.bytes.len();
    let (at, end) = [0, MAX_COMMENT].into_iter().find_map(|comment| {
        let take = (END_LEN as u64 + comment).min(len);
        let tail = input.read(len - take, usize::try_from(take).ok()?)?;
        let ends = |at: &usize| {
            let comment = tail.get(*at..).filter(|end| end.starts_with(END)).and_then(|end| u16_at(end, 20));
            comment.is_some_and(|comment| at + END_LEN + usize::from(comment) == tail.len())
        };
        let at = (0..=tail.len().checked_sub(END_LEN)?).rev().find(ends)?;
        Some((len - take + at as u64, tail.get(at..)?.to_vec()))
    })?;
    let (count, offset) = (u16_at(&end, 10)?, u32_at(&end, 16)?);
    if count != u16::MAX && offset != u32::MAX {
        return Some((count.into(), offset.into()));
    }
    let locator = input.read(at.checked_sub(20)?, 20)?;
    let end = input.read(u64_at(locator.strip_prefix(LOCATOR64)?, 4)?, 56)?;
    end.starts_with(END64).then(|| Some((u64_at(&end, 32)?, u64_at(&end, 48)?)))?
}

/// The next row of the directory, `None` in it if its entry is not there.
fn central(input: Input<'_>, cursor: &mut Cursor<'_>) -> Option<Option<Entry>> {
    let row = cursor.array::<46>()?;
    if !row.starts_with(CENTRAL) {
        return None;
    }
    let (flags, method) = (u16_at(&row, 8)?, u16_at(&row, 10)?);
    let [name_len, extra_len, comment_len] = [28, 30, 32].map(|at| u16_at(&row, at).unwrap_or(0));
    let name = cursor.bytes(name_len.into(), usize::from(name_len))?;
    let extra = cursor.bytes(extra_len.into(), usize::from(extra_len))?;
    cursor.skip(comment_len.into())?;
    let mut zip64 = zip64(&extra);
    let size = zip64.number(u32_at(&row, 24)?)?;
    let len = zip64.number(u32_at(&row, 20)?)?;
    let at = zip64.number(u32_at(&row, 42)?)?;
    let plain = method == 0 && flags & ENCRYPTED == 0 && len == size;
    let start = data(input, at).filter(|start| start.checked_add(len).is_some_and(|end| input.reaches(end)));
    Some(start.map(|start| Entry { name, flags, plain, start, len }))
}

/// Where the data of the entry is whose local header is at `at`.
fn data(input: Input<'_>, at: u64) -> Option<u64> {
    let header = input.read(at, FIXED)?;
    let lens = u64::from(u16_at(&header, 26)?) + u64::from(u16_at(&header, 28)?);
    header.starts_with(LOCAL).then(|| at.checked_add(FIXED as u64 + lens))?
}

/// The numbers of the zip64 extra field that were not read yet.
struct Zip64<'a>(&'a [u8]);

/// Finds the zip64 extra field.
fn zip64(mut extra: &[u8]) -> Zip64<'_> {
    while let (Some(id), Some(len)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let Some((field, rest)) = extra.get(4..).and_then(|rest| rest.split_at_checked(usize::from(len)))
        else {
            break;
        };
        if id == 1 {
            return Zip64(field);
        }
        extra = rest;
    }
    Zip64(&[])
}

impl Zip64<'_> {
    /// What the header gives in 32 bits, or if it does not fit those, the next number of the field.
    fn number(&mut self, short: u32) -> Option<u64> {
        if short != u32::MAX {
            return Some(short.into());
        }
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

//! Index and footer, wherever they stand now: of a file whose beginning is lost, or behind whose end there is more, or in which bytes were
//! put in or taken out.

use super::index::{self, HAS_BASE, HAS_COPIES, HAS_RELATIVES, Index};
use super::{END_MAGIC, FOOTER, HEADER};
use crate::api::{Workers, zeroed};
use crate::error::{Error, Result};
use crate::io::ReadAt;
use crate::limits::Limits;
use crate::parity::{self, HEAD};
use memchr::memmem;
use std::ops::Range;
use twox_hash::XxHash3_64;

/// Bytes that are searched at a time.
const PIECE: u64 = 4 << 20;
/// What is left of a file has to be more than one part in so many: memory is taken in proportion to what is there.
const LEAST: u64 = 8;

/// Whether the end is that of an MMH file, whatever the beginning is.
pub fn ends_like_ours(input: &dyn ReadAt) -> bool {
    let last = |n: usize| {
        let mut end = vec![0; n];
        let at = input.len().checked_sub(n as u64)?;
        input.read_exact_at(at, &mut end).ok().map(|()| end)
    };
    last(HEAD).is_some_and(|end| end.starts_with(&parity::MAGIC))
        || last(END_MAGIC.len()).is_some_and(|end| end == END_MAGIC)
}

/// What was found.
pub struct Ending {
    /// The index.
    pub index: Index,
    /// The flags of the header that was before it.
    pub flags: u16,
    /// Where the index is.
    pub at: u64,
    /// Where it was in the whole file.
    pub was_at: u64,
}

/// The last index with a footer in these ranges of the input, both of them sound.
pub fn find(
    input: &dyn ReadAt,
    ranges: &[Range<u64>],
    limits: &Limits,
    workers: &Workers,
) -> Result<Option<Ending>> {
    // An index is hashed before it is believed, and footers may be many.
    let mut may_hash = input.len().saturating_mul(2);
    let mut held = Vec::new();
    for range in ranges.iter().rev() {
        let mut end = range.end;
        while end - range.start >= END_MAGIC.len() as u64 {
            workers.check()?;
            let start = range.start.max(end.saturating_sub(PIECE));
            held.resize((end - start) as usize, 0);
            input.read_exact_at(start, &mut held)?;
            for hit in memmem::rfind_iter(&held, &END_MAGIC) {
                let after = start + (hit + END_MAGIC.len()) as u64;
                if let Some(found) = before(input, after, &mut may_hash, limits)? {
                    return Ok(Some(found));
                }
            }
            if start == range.start {
                break;
            }
            end = start + END_MAGIC.len() as u64 - 1;
        }
    }
    Ok(None)
}

/// The index before a footer that ends at `end`.
fn before(input: &dyn ReadAt, end: u64, may_hash: &mut u64, limits: &Limits) -> Result<Option<Ending>> {
    let Some(at) = end.checked_sub(FOOTER as u64) else { return Ok(None) };
    let mut footer = [0; FOOTER];
    input.read_exact_at(at, &mut footer)?;
    // The footer tells how long the file was, and its check which header was before it.
    let len = footer[16..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    let was_at = len.checked_sub(FOOTER as u64).filter(|_| len / LEAST <= input.len());
    let Some(was_at) = was_at else { return Ok(None) };
    let mut flags = (0..=(HAS_COPIES | HAS_BASE | HAS_RELATIVES)).map(|flags| (flags, index::header(flags)));
    let said = flags.find_map(|(flags, header)| {
        let (size, hash) = index::read_footer(&header, &footer, was_at).ok()?;
        Some((flags, size, hash))
    });
    let Some((flags, size, hash)) = said else { return Ok(None) };
    let places = at.checked_sub(size).zip(was_at.checked_sub(size)).filter(|p| p.1 >= HEADER as u64);
    let Some((at, was_at)) = places.filter(|_| size <= *may_hash) else { return Ok(None) };
    limits.check_index(size)?;
    *may_hash -= size;
    let mut bytes = zeroed(size)?;
    input.read_exact_at(at, &mut bytes)?;
    if XxHash3_64::oneshot(&bytes) != hash {
        return Ok(None);
    }
    match Index::from_bytes(&bytes, was_at, flags, limits) {
        Ok(index) => Ok(Some(Ending { index, flags, at, was_at })),
        Err(e @ Error::Limit(_)) => Err(e),
        Err(_) => Ok(None),
    }
}

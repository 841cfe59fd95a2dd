//! Frames of an index among those that were found.

use crate::container::frame::HEAD;
use crate::container::index::FrameRow;
use crate::container::reader::LOST;
use crate::container::scan::{Found, Scan};

/// Rows that are compared in all, for each row and each frame: a hostile file has as many of one size as it likes.
const COMPARISONS: usize = 64;

/// For each row the byte of the file at which its frame is, or [`LOST`]. In a whole file the first is at `first`. Frames are looked for in their
/// places, moved by each of `shifts`; others where one place alone fits all frames that stand together.
pub fn places(rows: &[FrameRow], first: u64, scanned: &Scan, shifts: &[i128]) -> Vec<u64> {
    let mut expected = Vec::with_capacity(rows.len());
    let mut at = first;
    for row in rows {
        expected.push(at);
        at = at.saturating_add(HEAD as u64).saturating_add(row.stored);
    }
    let found: usize = scanned.stretches.iter().map(|s| s.frames.len()).sum();
    let mut table = Table {
        rows,
        expected,
        places: vec![LOST; rows.len()],
        may_compare: COMPARISONS * (rows.len() + found) + 4096,
    };
    let mut left: Vec<&[Found]> = scanned.stretches.iter().map(|s| s.frames.as_slice()).collect();
    for shift in shifts {
        left = left.into_iter().flat_map(|frames| table.put_shifted(frames, *shift)).collect();
    }
    for frames in left {
        table.put_where_it_fits(frames);
    }
    table.places
}

struct Table<'a> {
    rows: &'a [FrameRow],
    expected: Vec<u64>,
    places: Vec<u64>,
    may_compare: usize,
}

impl Table<'_> {
    fn is(&self, row: usize, found: &Found) -> bool {
        let FrameRow { codec, raw, stored } = self.rows[row];
        (codec, raw, stored) == (found.head.codec, found.head.raw, found.head.stored as u64)
    }

    /// Takes the frames that are where they should be but for a shift; gives back the others, in pieces.
    fn put_shifted<'f>(&mut self, frames: &'f [Found], shift: i128) -> Vec<&'f [Found]> {
        let mut fits = frames.iter().map(|f| {
            let at = u64::try_from(f.offset as i128 - shift).ok()?;
            let row = self.expected.binary_search(&at).ok()?;
            (self.is(row, f) && self.places[row] == LOST).then_some(row)
        });
        let fits: Vec<Option<usize>> = fits.by_ref().collect();
        for (row, found) in fits.iter().zip(frames).filter_map(|(row, f)| Some(((*row)?, f))) {
            self.places[row] = found.offset;
        }
        let mut left = Vec::new();
        let mut at = 0;
        for piece in fits.chunk_by(|a, b| a.is_some() == b.is_some()) {
            if piece[0].is_none() {
                left.push(&frames[at..at + piece.len()]);
            }
            at += piece.len();
        }
        left
    }

    /// Takes frames that fit in one place alone.
    fn put_where_it_fits(&mut self, frames: &[Found]) {
        let mut only = None;
        for row in 0..(self.rows.len() + 1).saturating_sub(frames.len()) {
            let mut fits = true;
            for (i, found) in frames.iter().enumerate() {
                if self.may_compare == 0 {
                    return;
                }
                self.may_compare -= 1;
                fits = self.is(row + i, found) && self.places[row + i] == LOST;
                if !fits {
                    break;
                }
            }
            if fits && only.replace(row).is_some() {
                return;
            }
        }
        if let Some(row) = only {
            for (place, found) in self.places[row..].iter_mut().zip(frames) {
                *place = found.offset;
            }
        }
    }
}

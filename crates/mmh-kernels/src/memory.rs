//! Large buffers: the first touch of a fresh page of 4 KiB costs more than decoding into it does.

use std::mem::MaybeUninit;

/// Buffers smaller than this are left alone.
pub const LARGE: usize = 4 << 20;

/// Asks the system to back a large buffer that has not been touched yet with huge pages. Advice: what is in it does not change, and
/// where the system cannot or will not, nothing happens.
pub fn prefer_huge_pages(room: &mut [MaybeUninit<u8>]) {
    #[cfg(target_os = "linux")]
    if room.len() >= LARGE {
        let range = room.as_mut_ptr_range();
        let page = 4096;
        let start = range.start.align_offset(page);
        let len = (room.len() - start.min(room.len())) & !(page - 1);
        if start < room.len() && len > 0 {
            // SAFETY: the range lies within `room`; this advice changes neither contents nor validity of memory.
            unsafe {
                libc::madvise(room.as_mut_ptr().add(start).cast(), len, libc::MADV_HUGEPAGE);
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = room;
}

/// The same bytes, all of them 0.
pub fn cleared(room: &mut [MaybeUninit<u8>]) -> &mut [u8] {
    room.fill(MaybeUninit::new(0));
    // SAFETY: it is the same memory, lent for as long, and each byte has just been given a value.
    unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast(), room.len()) }
}

/// A vector with room for `n` bytes, on huge pages where that pays; `None` if there is no memory for it.
pub fn with_capacity(n: usize) -> Option<Vec<u8>> {
    let mut v = Vec::new();
    v.try_reserve_exact(n).ok()?;
    prefer_huge_pages(v.spare_capacity_mut());
    Some(v)
}

/// Copies `from` to `to`, which is as long.
///
/// # Panics
/// If it is not.
fn copy(from: &[u8], to: &mut [MaybeUninit<u8>]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: both are of that length, and a shared and an exclusive borrow do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr().cast(), from.len()) }
}

/// The same for what will not be read soon: it goes past the cache, and memory that is overwritten is not read first.
///
/// # Panics
/// If `to` is not as long as `from`.
pub fn copy_away(from: &[u8], to: &mut [MaybeUninit<u8>]) {
    assert_eq!(from.len(), to.len());
    #[cfg(target_arch = "x86_64")]
    if from.len() >= FAR {
        use std::arch::x86_64::*;
        let before = to.as_ptr().align_offset(64).min(to.len());
        let (first, lines) = from.split_at(before);
        let (to_first, to_lines) = to.split_at_mut(before);
        copy(first, to_first);
        let whole = lines.len() / 64 * 64;
        for at in (0..whole).step_by(64) {
            // SAFETY: 64 bytes from `at` on are within both, and those of `to_lines` are aligned to 64 bytes. SSE2 is part of x86-64.
            unsafe {
                let (from, to) = (
                    lines.as_ptr().add(at).cast::<__m128i>(),
                    to_lines.as_mut_ptr().add(at).cast::<__m128i>(),
                );
                let line = [0, 1, 2, 3].map(|i| _mm_loadu_si128(from.add(i)));
                line.into_iter().enumerate().for_each(|(i, x)| _mm_stream_si128(to.add(i), x));
            }
        }
        copy(&lines[whole..], &mut to_lines[whole..]);
        // Whoever reads it, on whichever core, is to find it.
        // SAFETY: SSE is part of x86-64.
        unsafe { _mm_sfence() };
        return;
    }
    copy(from, to);
}

/// Bytes from which on [`copy_away`] goes past the cache.
#[cfg(target_arch = "x86_64")]
const FAR: usize = 64 << 10;

/// Asks for data that will be needed soon to be brought near. Advice only.
pub fn prefetch(data: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in data.chunks(64) {
        // SAFETY: SSE is part of x86-64, and a prefetch never faults.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(line.as_ptr().cast())
        };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = data;
}

/// Stretches of memory that will be needed, to be asked for little by little: when all of it is asked for at once, whatever else is not in the
/// first cache has to wait for it.
#[derive(Debug, Default)]
pub struct Soon {
    /// Where stretches begin and end, the last one first.
    left: Vec<(*const u8, *const u8)>,
    at: *const u8,
    end: *const u8,
    lines: usize,
}

impl Soon {
    /// The stretches in order, of which every [`Soon::ask`] asks for a part, so that `steps` of them do for all.
    pub fn new<'a>(stretches: impl IntoIterator<Item = &'a [u8]>, steps: usize) -> Soon {
        let ranges = stretches.into_iter().map(<[u8]>::as_ptr_range);
        let mut left: Vec<_> = ranges.map(|range| (range.start, range.end)).collect();
        left.reverse();
        let lines = |(start, end): &(*const u8, *const u8)| (*end as usize - *start as usize).div_ceil(64);
        let all: usize = left.iter().map(lines).sum();
        Soon { left, lines: all.div_ceil(steps.max(1)), at: std::ptr::null(), end: std::ptr::null() }
    }

    /// Asks for the next part. Advice only: nothing is touched.
    #[inline]
    pub fn ask(&mut self) {
        for _ in 0..self.lines {
            if self.at >= self.end {
                let Some((start, end)) = self.left.pop() else { return };
                (self.at, self.end) = (start, end);
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: SSE is part of x86-64, and a prefetch never faults.
            unsafe {
                std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(self.at.cast());
            }
            self.at = self.at.wrapping_add(64);
        }
    }

    /// Asks for all that is left.
    pub fn ask_for_all(&mut self) {
        while self.at < self.end || !self.left.is_empty() {
            self.ask();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_past_the_cache_arrives() {
        let from: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as u8).collect();
        for (start, len) in [(0, 300_000), (1, 200_001), (63, 65_600), (5, 100), (0, 0)] {
            let mut to = vec![MaybeUninit::new(7); len + start];
            copy_away(&from[..len], &mut to[start..]);
            // SAFETY: all of it has a value.
            let to: Vec<u8> = to.into_iter().map(|b| unsafe { b.assume_init() }).collect();
            assert!(to[..start].iter().all(|b| *b == 7) && to[start..] == from[..len]);
        }
    }

    #[test]
    fn steps_do_for_all_that_is_needed_soon() {
        let bytes = vec![0u8; 100_000];
        for (parts, steps) in
            [(vec![0..9, 9..100_000], 10), (vec![5..70, 70..70, 90..91, 1000..50_000], 7), (vec![], 3)]
        {
            let mut soon = Soon::new(parts.iter().map(|part| &bytes[part.clone()]), steps);
            (0..steps).for_each(|_| soon.ask());
            assert!(soon.left.is_empty() && soon.at >= soon.end);
            soon.ask_for_all();
        }
    }
}

//! Large buffers: the first touch of a fresh page of 4 KiB costs more than decoding into it does.

use std::mem::MaybeUninit;
use std::sync::Mutex;

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

/// A vector with room for `n` bytes, on huge pages where that pays; `None` if there is no memory for it.
pub fn with_capacity(n: usize) -> Option<Vec<u8>> {
    let mut v = Vec::new();
    v.try_reserve_exact(n).ok()?;
    prefer_huge_pages(v.spare_capacity_mut());
    Some(v)
}

/// Memory that was given back, to be taken again: the first touch of its pages is behind it.
static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// The most bytes that are kept.
pub const MOST_KEPT: usize = 64 << 20;

/// An empty vector with room for `n` bytes, one of those of [`give_back`] if there is one that is large enough; `None` if there is no memory
/// for it.
pub fn take(n: usize) -> Option<Vec<u8>> {
    if n >= LARGE
        && let Ok(mut kept) = KEPT.lock()
        && let Some(i) = kept.iter().position(|v| v.capacity() >= n)
    {
        return Some(kept.swap_remove(i));
    }
    with_capacity(n)
}

/// Keeps the memory of vectors that are no longer needed, unless they are small, as long as [`MOST_KEPT`] bytes are enough for all of them.
pub fn give_back(vectors: impl IntoIterator<Item = Vec<u8>>) {
    let Ok(mut kept) = KEPT.lock() else { return };
    let mut bytes: usize = kept.iter().map(Vec::capacity).sum();
    for mut v in vectors {
        if v.capacity() >= LARGE && bytes + v.capacity() <= MOST_KEPT {
            bytes += v.capacity();
            v.clear();
            kept.push(v);
        }
    }
}

/// Copies `from` to `to`, which is as long.
///
/// # Panics
/// If it is not.
pub fn copy(from: &[u8], to: &mut [MaybeUninit<u8>]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: both are of that length, and a shared and an exclusive borrow do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr().cast(), from.len()) }
}

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

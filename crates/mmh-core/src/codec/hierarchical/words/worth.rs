//! What a word of a codebook costs, and how often it has to come to be worth that.

use super::grid::Grid;
use crate::codec::symbols::entropy::log2;

/// log2(n) in thousandths; 0 for 0.
pub(super) fn millibits(n: u32) -> u64 {
    (log2(n.max(1)) * 1000) >> 16
}

/// How often a word has to come among `seen` of `n` to be worth its place in the codebook.
pub(super) fn least_worth(grid: Grid, passed: u64, seen: u64, n: u64) -> u32 {
    let all = millibits(seen as u32);
    let pays = |count: u32| {
        let numbered = all.saturating_sub(millibits(count));
        // Once is no evidence in a sample.
        let occurs = count as u64 * n / seen.max(1);
        (count > 1 || seen == n) && occurs * passed.saturating_sub(numbered) > 1000 * grid.bits as u64 + 2000
    };
    // The more often it comes, the more it saves each time: halves of what is left, as in a sorted list.
    let (mut less, mut enough) = (0, seen as u32 + 1);
    while less + 1 < enough {
        let between = less + (enough - less) / 2;
        if pays(between) { enough = between } else { less = between }
    }
    enough
}

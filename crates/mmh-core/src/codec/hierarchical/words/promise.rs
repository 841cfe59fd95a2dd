//! The first look at words: whether so many of a few come twice that there may be few different ones.

use super::MIN_BITS;
use super::grid::Grid;
use super::worth::millibits;

/// Words that are looked at.
pub(super) const FEW: usize = 256;

/// How far apart the places are where the first whole word of a block may begin: blocks are cut at powers of two.
fn places(bits: usize) -> usize {
    match bits {
        12 => 4,
        24 | 48 | 96 => 8,
        // Others come in the middle of no block, or are searched for bit by bit.
        _ => bits,
    }
}

/// Pairs among `n`.
fn of_pairs(n: u64) -> u64 {
    n * n.saturating_sub(1) / 2
}

/// Pairs of equal keys among [`FEW`], and how often the most frequent one comes.
fn pairs(keys: &[u64; FEW]) -> (u64, u64) {
    const SLOTS: usize = 4 * FEW;
    const { assert!(FEW == 256) };
    // A slot has the place of its key and 1, as small tables are cleared sooner; 0 is free. Places are bytes.
    let mut slots = [0u16; SLOTS];
    let (mut different, mut counts, mut used) = ([0u64; FEW], [1u16; FEW], 0u16);
    let (mut all, mut most) = (0, 1);
    for &key in keys {
        let mut at = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as usize % SLOTS;
        while slots[at] > 0 && different[(slots[at] - 1) as u8 as usize] != key {
            at = (at + 1) % SLOTS;
        }
        if slots[at] == 0 {
            different[used as u8 as usize] = key;
            used += 1;
            slots[at] = used;
        } else {
            let count = &mut counts[(slots[at] - 1) as u8 as usize];
            all += *count as u64;
            *count += 1;
            most = most.max(*count as u64);
        }
    }
    (all, most)
}

/// Whether words come twice so often that they may be few; and where the first one is, unless they are the block's `own` elements: blocks
/// are cut at bytes. `passed` is what a word costs elsewhere, `offered` the best offer for it; in thousandths of a bit. Tells as well whether
/// any word came twice.
pub(super) fn promises(
    data: &[u8],
    grid: Grid,
    own: bool,
    passed: u64,
    offered: u64,
) -> (Option<Grid>, bool) {
    // Pairs of equal words, and how often the most frequent word comes.
    let pairs_of = |grid: Grid| {
        let stride = grid.count(data.len()) / FEW;
        // Not at the same place of each stride, where all might be of one column.
        let scatter = |i: usize| ((i as u32).wrapping_mul(0x9E37_79B9) as u64 * stride as u64) >> 32;
        let mut keys = [0; FEW];
        grid.quick_keys(data, |i| i * stride + scatter(i) as usize, &mut keys);
        pairs(&keys)
    };
    let best_of = |step: usize| {
        let grids = (grid.head..grid.bits).step_by(step).map(|head| Grid { head, ..grid });
        grids.map(|g| (pairs_of(g), std::cmp::Reverse(g.head), g)).max_by_key(|g| (g.0.0, g.1))
    };
    let first = best_of(if own { grid.bits } else { places(grid.bits) });
    let Some(((found, most), _, grid)) = first.filter(|(pairs, ..)| pairs.0 > 0) else {
        return (None, false);
    };
    // Words that are drawn from n alike come twice once in n pairs; in general log2 n is at most their entropy (Rényi's of order 2).
    let low = millibits((of_pairs(FEW as u64) / found) as u32);
    // One word, zero say, may be frequent, and tell nothing of the others.
    let (others, found_there) = (FEW as u64 - most, found - of_pairs(most));
    let cost_there =
        of_pairs(others).checked_div(found_there).map_or(passed, |n| millibits(n as u32).min(passed));
    if low.max(cost_there * others / FEW as u64) * 5 >= offered * 4 {
        return (None, true);
    }
    // Runs of one value are words at any place.
    if grid.bits.is_multiple_of(8) || grid.bits == MIN_BITS || low < 1000 || found_there == 0 {
        return (Some(grid), true);
    }
    (best_of(1).map(|best| best.2), true)
}

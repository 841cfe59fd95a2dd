//! Sizes of a model for a file of about so many bytes.

use super::family::{Dims, Family};

/// The largest width that is tried, and the most rows.
const MAX_WIDTH: u64 = 1 << 16;
const MAX_ROWS: u64 = 1 << 22;

/// The sizes for which the bytes come closest to `target`. Width, a `multiple`, and layers first, in usual proportions and with as many rows as
/// is usual, by `bytes`; then the rows make up the difference, by `exact`.
pub fn fit(
    family: &Family,
    target: u64,
    multiple: u64,
    bytes: impl Fn(&Dims) -> u64,
    exact: impl Fn(&Dims) -> u64,
) -> Dims {
    let mut best: Option<((u64, u64), Dims)> = None;
    for width in widths(family, multiple) {
        let rows = usual_rows(family, width, target, &bytes);
        let at = |layers| Dims { width, layers, rows };
        let (one, two) = (bytes(&at(1)), bytes(&at(2)));
        let most = (width / family.aspect.0).clamp(1, family.max_layers);
        let least = (width / family.aspect.1).clamp(1, most);
        let layer = two.saturating_sub(one).max(1);
        let wanted = 1 + (target.saturating_sub(one) + layer / 2) / layer;
        let dims = at(wanted.clamp(least, most));
        // What the rows cannot make up for, and what they would have to.
        let (few, many) = reach(rows);
        let beyond = bytes(&Dims { rows: few, ..dims }).saturating_sub(target)
            + target.saturating_sub(bytes(&Dims { rows: many, ..dims }));
        let difference = (beyond, bytes(&dims).abs_diff(target));
        if best.is_none_or(|(least, _)| difference < least) {
            best = Some((difference, dims));
        }
        if bytes(&at(least)) > target.saturating_mul(2) {
            break;
        }
    }
    let start = best.map_or(Dims { width: family.widths.0, layers: 1, rows: 1 }, |(_, dims)| dims);
    with_rows(start, target, &exact)
}

fn widths(family: &Family, multiple: u64) -> impl Iterator<Item = u64> {
    let (least, coarse) = family.widths;
    let step = least.max(multiple);
    let mut width = step;
    std::iter::from_fn(move || {
        let now = width;
        width += if now >= coarse { 64 } else { step };
        (now <= MAX_WIDTH).then_some(now)
    })
}

/// As many as models of the width have, but not so many that little is left for the layers.
fn usual_rows(family: &Family, width: u64, target: u64, bytes: &impl Fn(&Dims) -> u64) -> u64 {
    let at = |rows| bytes(&Dims { width, layers: 1, rows });
    let each = (at(65).saturating_sub(at(1)) / 64).max(1);
    let most = (target as f64 * family.rows_share) as u64 / each;
    (family.rows)(width).min(most).max(1)
}

/// The fewest and the most rows that still are like the usual number.
fn reach(usual: u64) -> (u64, u64) {
    ((usual / 2).max(1), (2 * usual + 64).min(MAX_ROWS))
}

/// The number of rows that comes closest, which is not far from the usual one.
fn with_rows(start: Dims, target: u64, bytes: &impl Fn(&Dims) -> u64) -> Dims {
    let at = |rows| Dims { rows, ..start };
    let (mut low, mut high) = reach(start.rows);
    // The most rows that are not too many.
    while low < high {
        let middle = (low + high).div_ceil(2);
        if bytes(&at(middle)) <= target { low = middle } else { high = middle - 1 }
    }
    let over = |rows| bytes(&at(rows)).abs_diff(target);
    at(if over(low + 1) < over(low) { low + 1 } else { low })
}

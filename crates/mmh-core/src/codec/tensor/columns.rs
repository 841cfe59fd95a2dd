//! Columns whose numbers are larger or smaller than others: how long is a row, and what is the scale of each column?

use crate::codec::symbols::entropy::log2;
use mmh_kernels::correlation;
use mmh_kernels::modelled::{NEUTRAL, SCALES};

/// Stretches of a block that are compared with what follows them at some distance, and their elements: few for all distances, more for those
/// that look best.
const STRETCHES: usize = 4;
const FEW: usize = 1 << 13;
const MORE: usize = 1 << 15;

/// How many distances look best.
const BEST: usize = 24;

/// The longest row that is looked for.
const LONGEST: usize = 1 << 14;

/// The scale of each column of rows of so many elements, if they differ.
pub fn differ(symbols: &[u8], magnitude: &[u16; 256], period: usize) -> Option<Vec<u8>> {
    let scales = scales(symbols, magnitude, period);
    scales.iter().any(|s| *s != scales[0]).then_some(scales)
}

/// Lengths of rows that are tried: those that dimensions of tensors give, and kernels of 3 × 3 and 3 × 3 × 3.
fn lags() -> impl Iterator<Item = usize> {
    (16..=LONGEST).filter(|l| match l {
        ..=512 => l.is_multiple_of(8) || l.is_multiple_of(9),
        ..=1024 => l.is_multiple_of(8),
        ..=4096 => l.is_multiple_of(16),
        _ => l.is_multiple_of(64),
    })
}

/// The distance at which magnitudes are most alike, if they are at any.
pub fn period(symbols: &[u8], magnitude: &[u16; 256]) -> Option<usize> {
    if symbols.len() < 4 * 1024 {
        return None;
    }
    let level: [i16; 256] = std::array::from_fn(|s| (log2(magnitude[s] as u32 + 1) >> 13) as i16);
    let longest = LONGEST.min(symbols.len() / 4);
    let room = symbols.len() - longest;
    let start = |i: usize| (room - MORE.min(room)) * i / (STRETCHES - 1);
    let stretch = |i: usize| &symbols[start(i)..start(i) + MORE.min(room) + longest];
    let windows = residuals(std::array::from_fn(stretch), &level);
    // Stretch by stretch, each stays in the first cache.
    let alike = |elements: usize, found: &mut [(i64, usize)]| {
        found.iter_mut().for_each(|f| f.0 = 0);
        for w in &windows {
            let some = &w[..elements.min(room)];
            found.iter_mut().for_each(|(sum, lag)| *sum += correlation::product(some, &w[*lag..]));
        }
    };
    let mut found: Vec<(i64, usize)> = lags().take_while(|l| *l <= longest).map(|l| (0, l)).collect();
    alike(FEW, &mut found);
    found.sort_unstable_by_key(|f| std::cmp::Reverse(*f));
    found.truncate(BEST);
    alike(MORE, &mut found);
    found.sort_unstable_by_key(|f| f.1);
    let most = found.iter().map(|f| f.0).max()?;
    // Chance alone gives about 1/400 of what an element has in common with itself.
    let mut itself = [(0, 0)];
    alike(MORE, &mut itself);
    if most * 80 < itself[0].0 {
        return None;
    }
    // Multiples of the period are about as good: the shortest of the best.
    found.iter().find(|f| f.0 * 8 >= most * 7).map(|f| f.1)
}

/// Elements that columns are summed over at most.
pub const FOLDED: usize = 1 << 17;

/// The longest row that is found by its columns' sums.
pub const LONGEST_FOLDED: usize = 512;

/// How much larger than by chance the sums of the columns have to be, in deviations.
const SURE: i64 = 12;

/// The length of a row whose columns have means that are not zero, if there is one: sums over all its rows tell more than what neighbours
/// have in common. `values` are signed, below 128.
pub fn folded(values: &[i16]) -> Option<usize> {
    let values = &values[..values.len().min(FOLDED)];
    let square = correlation::product(values, values);
    let mut best = None;
    let mut most = SURE_SQUARE;
    for period in lags().take_while(|l| *l <= LONGEST_FOLDED) {
        let deviations = deviations(values, square, period);
        if deviations > most {
            most = deviations;
            best = Some(period);
        }
    }
    best
}

/// Whether that may be the length of a row.
pub fn folds(values: &[i16], period: usize) -> bool {
    let values = &values[..values.len().min(FOLDED)];
    deviations(values, correlation::product(values, values), period) > SURE_SQUARE
}

/// What [`deviations`] gives for [`SURE`].
const SURE_SQUARE: i64 = (2 * SURE * SURE) << 16;

/// How much larger than by chance the sums of the columns are, in deviations: squared, times 2^17. `square` is the sum
/// of squares.
fn deviations(values: &[i16], square: i64, period: usize) -> i64 {
    if period * 32 > values.len() {
        return 0;
    }
    let mut sums = vec![0i32; period];
    correlation::fold(values, &mut sums);
    let of_sums: i64 = sums.iter().map(|s| *s as i64 * *s as i64).sum();
    // By chance as large as the sum of squares, give or take √(2/period) of it.
    let above = ((of_sums - square) * 256 / square.max(1)).clamp(0, 1 << 20);
    // A part of the period has about as much above chance, a multiple of it less, and chance has more where there are fewer columns.
    above * above * period as i64
}

/// Eighths of octaves around a mean that follows slowly, so that only what is local counts, of stretches that are equally long: side by side,
/// as each waits for its mean.
fn residuals(stretches: [&[u8]; STRETCHES], level: &[i16; 256]) -> [Vec<i16>; STRETCHES] {
    let level = |s: u8| level[s as usize] as i32;
    let mut means = stretches.map(|s| s.first().map_or(0, |s| level(*s) << 10));
    let mut next = |i: usize, symbol: u8| {
        let (v, mean) = (level(symbol), &mut means[i]);
        let r = v - (*mean >> 10);
        *mean += (v << 4) - (*mean >> 6);
        r.clamp(-31, 31) as i16
    };
    let n = stretches[0].len();
    let mut all = stretches.map(|s| vec![0; s.len()]);
    for at in 0..n {
        for (i, (to, stretch)) in all.iter_mut().zip(stretches).enumerate() {
            to[at] = next(i, stretch[at]);
        }
    }
    all
}

/// The mean magnitude of each column, in quarters of octaves around that of all.
fn scales(symbols: &[u8], magnitude: &[u16; 256], period: usize) -> Vec<u8> {
    let mut sums = vec![0u64; period];
    for row in symbols.chunks(period) {
        for (sum, s) in sums.iter_mut().zip(row) {
            *sum += magnitude[*s as usize] as u64;
        }
    }
    let rows = |column: usize| (symbols.len() - column).div_ceil(period) as u64;
    let total: u64 = sums.iter().sum();
    // In units of 2^-8.
    let log = |sum: u64, n: u64| log2(((sum << 8) / n.max(1)).clamp(1, u32::MAX as u64) as u32) as i64;
    let all = log(total, symbols.len() as u64);
    let scale = |(column, sum): (usize, &u64)| {
        let quarters = (log(*sum, rows(column)) - all + (1 << 13)) >> 14;
        (quarters + NEUTRAL as i64).clamp(0, SCALES as i64 - 1) as u8
    };
    sums.iter().enumerate().map(scale).collect()
}

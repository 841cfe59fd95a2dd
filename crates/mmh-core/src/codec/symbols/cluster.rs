//! Which groups of symbols are alike enough to share a code.

use super::{entropy, sum};

/// Rounds of the search: the third changes next to nothing.
const ROUNDS: usize = 3;

/// A cluster for each group, from 0 on without a gap, at most `offered`: Lloyd's algorithm with the bits that a group takes in the code of a
/// cluster for a distance. Begins with groups that are alike in the mean of their symbols.
pub fn cluster(groups: &[[u32; 256]], offered: usize) -> Vec<u8> {
    let mean = |counts: &[u32; 256]| {
        let n: u64 = counts.iter().map(|c| *c as u64).sum();
        let sum: u64 = counts.iter().enumerate().map(|(v, c)| v as u64 * *c as u64).sum();
        (sum << 16) / n.max(1)
    };
    let range = entropy::range(&sum(groups));
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_cached_key(|g| mean(&groups[*g]));
    let mut chosen = vec![0u8; groups.len()];
    for (rank, g) in order.iter().enumerate() {
        chosen[*g] = (rank * offered / groups.len()) as u8;
    }
    for _ in 0..ROUNDS {
        let lengths: Vec<[u32; 256]> = (0..offered as u8)
            .map(|c| entropy::lengths(&sum(groups.iter().zip(&chosen).filter(|g| *g.1 == c).map(|g| g.0))))
            .collect();
        let cost = |group, c: usize| entropy::cost(&range, group, &lengths[c]);
        let nearest = |group| (0..offered).min_by_key(|c| cost(group, *c)).unwrap_or(0);
        chosen = groups.iter().map(|g| nearest(g) as u8).collect();
    }
    let used: Vec<u8> = (0..offered as u8).filter(|c| chosen.contains(c)).collect();
    chosen.iter().map(|c| used.iter().position(|u| u == c).unwrap_or(0) as u8).collect()
}

//! Codes of few values: what tells the symbol of a slot from tables that fit registers.

use super::{Frequencies, TOTAL};

/// The most values of such a code.
pub const MOST: usize = 64;

/// log2 of the slots of a bucket, and the buckets.
pub const BUCKET_BITS: u32 = 5;
const BUCKETS: usize = TOTAL as usize >> BUCKET_BITS;

/// Steps of a search, at most: they tell 2^4 − 1 values apart that begin within a bucket.
pub const MOST_STEPS: usize = 4;

/// Entries of the table of near slots.
const NEAR: usize = 128;

/// Buckets whose slots it tells, whole.
const NEAR_BUCKETS: usize = 3;

/// Steps that such a table has to save.
const STEPS_SAVED: usize = 2;

/// Where no value begins: above all slots.
const NOWHERE: u16 = u16::MAX;

/// A code of at most 64 values. They have ranks in the order of their slots: a bucket tells the rank of its first slot, and a search from there
/// on that of any other. Rare values stand together where symbols are exponents; a table of the slots there spares all others the steps that
/// only these would take.
#[repr(C, align(64))]
pub struct Narrow {
    /// The rank of the first slot of each bucket.
    pub coarse: [u8; BUCKETS],
    /// Table `k` has the first slot of the rank that is 2^k higher.
    pub ahead: [[u16; MOST]; MOST_STEPS],
    /// The first slot of each rank.
    pub start: [u16; MOST],
    /// Its frequency, times 16.
    pub frequency: [u16; MOST],
    /// Its symbol.
    pub symbol: [u8; MOST],
    /// The rank of the slot that is so far above `near_from`, or the least that it can be, which is 0 for the first entry and the last one. Those
    /// that are further above, or below, have the last one.
    pub near: [u8; NEAR],
    pub near_from: u16,
    /// Whether `near` tells anything.
    pub is_near: bool,
    /// Steps that a search takes.
    pub steps: usize,
    /// Whether half of the entries are enough.
    pub half: bool,
}

impl Narrow {
    /// The tables of a code; `None` if it has too many values, or too many of them are rare.
    pub fn new(frequencies: &Frequencies) -> Option<Box<Narrow>> {
        let (mut symbol, mut start, mut known, mut next) = ([0; MOST], [0; MOST], 0, 0);
        // How many values begin within a bucket, behind its first slot.
        let mut inside = [0u8; BUCKETS];
        for s in (0..=255u8).filter(|s| frequencies.of(*s) > 0) {
            *symbol.get_mut(known)? = s;
            start[known] = next;
            inside[(next >> BUCKET_BITS) as usize] += (next & ((1 << BUCKET_BITS) - 1) != 0) as u8;
            known += 1;
            next += frequencies.of(s);
        }
        let steps_of = |inside: &[u8]| {
            let most = inside.iter().max().map_or(0, |most| *most as usize);
            (most + 1).next_power_of_two().trailing_zeros() as usize
        };
        let steps_without =
            |first: usize| steps_of(&inside[..first]).max(steps_of(&inside[first + NEAR_BUCKETS..]));
        let (all, dense) =
            (steps_of(&inside), inside.iter().enumerate().max_by_key(|b| b.1).map_or(0, |b| b.0));
        let firsts = dense.saturating_sub(NEAR_BUCKETS - 1)..=dense.min(BUCKETS - NEAR_BUCKETS);
        let (few, first) = firsts.map(|first| (steps_without(first), first)).min().unwrap_or((all, 0));
        let is_near = few + STEPS_SAVED <= all;
        let steps = if is_near { few } else { all };
        if steps > MOST_STEPS {
            return None;
        }
        let near_from = ((first << BUCKET_BITS) as u16).wrapping_sub(1);
        let mut tables = Box::new(Narrow {
            coarse: [0; BUCKETS],
            ahead: [[NOWHERE; MOST]; MOST_STEPS],
            start,
            frequency: [0; MOST],
            symbol,
            near: [0; NEAR],
            near_from,
            is_near,
            steps,
            half: known <= MOST / 2,
        });
        let first_bucket = |start: u16| start.div_ceil(1 << BUCKET_BITS) as usize;
        for (rank, symbol) in symbol[..known].iter().enumerate() {
            let f = frequencies.of(*symbol);
            tables.frequency[rank] = f << 4;
            tables.coarse[first_bucket(start[rank])..first_bucket(start[rank] + f)].fill(rank as u8);
        }
        if is_near {
            let end = |rank: usize| start[rank] + (tables.frequency[rank] >> 4);
            let mut rank = 0;
            for (slot, near) in (near_from.wrapping_add(1)..).zip(&mut tables.near[1..NEAR - 1]) {
                while rank + 1 < known && end(rank) <= slot {
                    rank += 1;
                }
                *near = rank as u8;
            }
        }
        for (k, ahead) in tables.ahead.iter_mut().enumerate() {
            let later = start[..known].get(1 << k..).unwrap_or_default();
            ahead.iter_mut().zip(later).for_each(|(to, start)| *to = *start);
        }
        Some(tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_the_symbol_of_every_slot() {
        let codes: [Vec<u8>; 9] = [
            vec![1, 1],
            (0..32).map(|i: u8| 40 + 3 * i.min(31 - i)).collect(),
            (0..64).map(|i: u8| 40 + i.min(63 - i)).collect(),
            (0..64).map(|i: u8| 1 + i).collect(),
            (0..60).map(|i: u8| 60 - i).collect(),
            [vec![100; 20], vec![1; 30], vec![100; 3]].concat(),
            [vec![127], vec![0; 100], vec![90, 120], vec![0; 50], vec![100; 4]].concat(),
            [vec![127; 40], vec![70; 14]].concat(),
            vec![80; 64],
        ];
        for weights in codes {
            let frequencies = Frequencies::from_weights(7, &weights, 0).unwrap();
            let narrow = Narrow::new(&frequencies).unwrap();
            let mut slot = 0;
            for symbol in 0..=255 {
                for place in 0..frequencies.of(symbol) {
                    let mut rank = narrow.coarse[slot >> BUCKET_BITS] as usize;
                    for k in (0..narrow.steps).rev() {
                        rank += if slot as u16 >= narrow.ahead[k][rank] { 1 << k } else { 0 };
                    }
                    let near = (slot as u16).wrapping_sub(narrow.near_from).min(NEAR as u16 - 1);
                    rank = rank.max(narrow.near[near as usize] as usize);
                    assert!(!narrow.half || rank < MOST / 2);
                    assert_eq!(narrow.symbol[rank], symbol, "slot {slot}");
                    assert_eq!(slot as u16 - narrow.start[rank], place);
                    assert_eq!(narrow.frequency[rank], frequencies.of(symbol) << 4);
                    slot += 1;
                }
            }
        }
    }

    #[test]
    fn codes_of_many_or_of_many_rare_values_are_none() {
        let code = |weights: &[u8]| Narrow::new(&Frequencies::from_weights(0, weights, 0).unwrap());
        assert!(code(&[9; 65]).is_none());
        assert!(code(&[&[127; 1], &[1; 17][..]].concat()).is_some_and(|c| c.is_near));
        assert!(code(&[&[1; 17][..], &[127], &[1; 17]].concat()).is_none());
        assert!(code(&[&[127; 1], &[1; 15][..]].concat()).is_some());
    }
}

//! Codes of few values: what tells the symbol of a slot from tables that fit registers.

use super::{Frequencies, TOTAL};

/// The most values of such a code.
pub const MOST: usize = 64;

/// log2 of the slots of a bucket, and the buckets.
pub const BUCKET_BITS: u32 = 5;
const BUCKETS: usize = TOTAL as usize >> BUCKET_BITS;

/// Steps of a search, at most: they tell 2^4 − 1 values apart that begin within a bucket.
pub const MOST_STEPS: usize = 4;

/// Where no value begins: above all slots.
const NOWHERE: u16 = u16::MAX;

/// A code of at most 64 values. They have ranks in the order of their slots: a bucket tells the rank of its first slot, and a search from there
/// on that of any other.
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
        let most = inside.into_iter().max().unwrap_or(0);
        let steps = (most as usize + 1).next_power_of_two().trailing_zeros() as usize;
        if steps > MOST_STEPS {
            return None;
        }
        let mut tables = Box::new(Narrow {
            coarse: [0; BUCKETS],
            ahead: [[NOWHERE; MOST]; MOST_STEPS],
            start,
            frequency: [0; MOST],
            symbol,
            steps,
            half: known <= MOST / 2,
        });
        let first_bucket = |start: u16| start.div_ceil(1 << BUCKET_BITS) as usize;
        for (rank, symbol) in symbol[..known].iter().enumerate() {
            let f = frequencies.of(*symbol);
            tables.frequency[rank] = f << 4;
            tables.coarse[first_bucket(start[rank])..first_bucket(start[rank] + f)].fill(rank as u8);
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
        let codes: [Vec<u8>; 6] = [
            vec![1, 1],
            (0..32).map(|i: u8| 40 + 3 * i.min(31 - i)).collect(),
            (0..64).map(|i: u8| 40 + i.min(63 - i)).collect(),
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
        assert!(code(&[&[127; 1], &[1; 17][..]].concat()).is_none());
        assert!(code(&[&[127; 1], &[1; 15][..]].concat()).is_some());
    }
}

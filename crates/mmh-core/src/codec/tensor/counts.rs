//! How often each field occurs in a sample: only of those that do, as a sample of weights has some hundred of the thousands of fields that
//! there are, and a short block no more than it has elements.

use crate::codec::symbols::entropy;
use mmh_kernels::histogram;

/// Bits that an exception costs: its gap, its field.
const EXCEPTION_BITS: u64 = 32;

/// Fields below all that a sample has that get a symbol, if there is room for them.
const BELOW: usize = 24;

/// Fields that have a symbol where there are more than 256, zero aside.
const WINDOW: usize = 255;

/// Memory to count in.
#[derive(Default)]
pub struct Scratch {
    dense: Vec<u32>,
    more: Vec<u32>,
    sorted: Vec<u16>,
}

/// The fields that occur, in order, and how often each does.
#[derive(Clone, Debug, PartialEq)]
pub struct Counts(Vec<(u16, u32)>);

impl Counts {
    /// Counts the lowest `bits` bits of each field, 15 at most.
    pub fn of(fields: &[u16], bits: u8, scratch: &mut Scratch) -> Counts {
        let mask = (1u16 << bits) - 1;
        // Of signed numbers any processor has a minimum.
        let (first, last) = fields.iter().fold((i16::MAX, 0), |(first, last), field| {
            let field = (field & mask) as i16;
            (first.min(field), last.max(field))
        });
        let (first, last) = (first.min(last) as usize, last as usize);
        let span = (last + 1 - first).next_power_of_two();
        let mut counts: Vec<(u16, u32)> = Vec::new();
        // A short sample is sorted sooner than a long table is looked through.
        if span > 8 * fields.len() {
            let sorted = &mut scratch.sorted;
            sorted.clear();
            sorted.extend(fields.iter().map(|field| field & mask));
            sorted.sort_unstable();
            counts.extend(sorted.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)));
        } else {
            // Modulo a power of two that is no less than the range, each field has a place of its own.
            let dense = super::lend(&mut scratch.dense, span);
            dense.fill(0);
            histogram::fields(fields, dense, &mut scratch.more);
            let each = (first..=last).map(|field| (field as u16, dense[field & (span - 1)]));
            counts.extend(each.filter(|(_, count)| *count > 0));
        }
        Counts(counts)
    }

    /// The same of fields without their `down` lowest bits.
    pub fn narrowed(&self, down: u8) -> Counts {
        if down == 0 {
            return self.clone();
        }
        let same = self.0.chunk_by(|a, b| a.0 >> down == b.0 >> down);
        Counts(same.map(|same| (same[0].0 >> down, same.iter().map(|c| c.1).sum())).collect())
    }

    /// Bits of all symbols of fields of `t` bits, exceptions counted, and the base of the best window.
    pub fn symbol_cost(&self, t: u8) -> (u64, u16) {
        if t <= 8 {
            return (entropy::bits(self.each()) + too_low(self.0.len()), 0);
        }
        // Zero has a symbol of its own.
        let (zeros, others) = match self.0.split_first() {
            Some(((0, zeros), others)) => (*zeros, others),
            _ => (0, self.0.as_slice()),
        };
        let (held, base) = best_window(others, (1 << t) - 1 - WINDOW);
        let place = |field: usize| others.partition_point(|c| (c.0 as usize) < field);
        let window = &others[place(base + 1)..place(base + 1 + WINDOW)];
        let outside = others.iter().map(|c| c.1).sum::<u32>() - held;
        let each = window.iter().map(|c| c.1).chain([zeros + outside]);
        (entropy::bits(each) + too_low(window.len()) + outside as u64 * EXCEPTION_BITS, base as u16)
    }

    /// Fields that there are, no more than have symbols of `t` bits.
    pub fn values(&self, t: u8) -> usize {
        if t <= 8 { self.0.len() } else { self.0.len().min(WINDOW + 1) }
    }

    fn each(&self) -> impl Iterator<Item = u32> + Clone {
        self.0.iter().map(|c| c.1)
    }
}

/// How many the windows hold that hold most, and the base of one of them: the window of base `b`, of at most `most`, is the fields from
/// `b + 1` on.
fn best_window(counts: &[(u16, u32)], most: usize) -> (u32, usize) {
    let field = |i: usize| counts.get(i).map(|c| c.0 as usize);
    let (mut base, mut held, mut entered, mut left) = (0, 0, 0, 0);
    let (mut best, mut first, mut last) = (0, 0, 0);
    while base <= most {
        while field(entered).is_some_and(|f| f <= base + WINDOW) {
            held += counts[entered].1;
            entered += 1;
        }
        while field(left).is_some_and(|f| f <= base) {
            held -= counts[left].1;
            left += 1;
        }
        // Up to the next field that enters or leaves, all windows hold the same.
        let next = field(entered).map_or(most + 1, |f| f - WINDOW).min(field(left).unwrap_or(most + 1));
        let next = next.min(most + 1);
        if held > best {
            (best, first) = (held, base);
        }
        if held == best {
            last = next - 1;
        }
        base = next;
    }
    // The block has larger numbers than its sample, and smaller ones.
    (best, first.max(last.saturating_sub(BELOW)))
}

/// By how much a sample's entropy falls short of its source's: half a nat for each value but one (G. A. Miller, "Note on the bias of
/// information estimates", 1955).
pub fn too_low(values: usize) -> u64 {
    values.saturating_sub(1) as u64 * 72 / 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    /// Fields of so many bits, bell-shaped around a place, some of them zero.
    fn fields(n: usize, bits: u8, at: u16, scale: u16, zeros: u8) -> Vec<u16> {
        let bytes = noise(5 * n, n as u64 + bits as u64);
        let field = |b: &[u8]| match b[4] < zeros {
            true => 0,
            false => at + (b[..4].iter().map(|b| *b as u32).sum::<u32>() * scale as u32 / 1020) as u16,
        };
        bytes.chunks(5).map(|b| field(b) & ((1 << bits) - 1)).collect()
    }

    /// The same from a table of all fields.
    fn naive(counts: &[u32]) -> (u64, u16) {
        let too_low = |counts: &[u32]| too_low(counts.iter().filter(|c| **c > 0).count());
        if counts.len() <= 256 {
            return (entropy::bits(counts.iter().copied()) + too_low(counts), 0);
        }
        let held = |base: usize| counts[base + 1..][..WINDOW].iter().sum::<u32>();
        let bases = 0..counts.len() - WINDOW;
        let best = bases.clone().map(held).max().unwrap();
        let first = bases.clone().find(|b| held(*b) == best).unwrap();
        let last = bases.rev().find(|b| held(*b) == best).unwrap();
        let base = first.max(last.saturating_sub(BELOW));
        let window = &counts[base + 1..][..WINDOW];
        let outside = counts[1..].iter().sum::<u32>() - best;
        let bits = entropy::bits(window.iter().copied().chain([counts[0] + outside])) + too_low(window);
        (bits + outside as u64 * EXCEPTION_BITS, base as u16)
    }

    #[test]
    fn is_what_a_table_of_all_fields_tells() {
        let mut scratch = Scratch::default();
        for n in [1, 2, 30, 1000, 8192] {
            for (bits, at, scale) in [
                (7, 3, 50),
                (8, 0, 256),
                (9, 100, 90),
                (10, 0, 1024),
                (10, 700, 320),
                (13, 4000, 300),
                (13, 0, 8191),
            ] {
                for zeros in [0, 20, 250, 255] {
                    let fields = fields(n, bits, at, scale, zeros);
                    for counted in [bits, bits - 1] {
                        let found = Counts::of(&fields, counted, &mut scratch);
                        for down in 0..3 {
                            let t = counted - down;
                            let mut all = vec![0; 1 << t];
                            fields
                                .iter()
                                .for_each(|f| all[(*f as usize & ((1 << counted) - 1)) >> down] += 1);
                            assert_eq!(
                                found.narrowed(down).symbol_cost(t),
                                naive(&all),
                                "{n} {bits} {t} {zeros}"
                            );
                        }
                    }
                }
            }
        }
    }
}

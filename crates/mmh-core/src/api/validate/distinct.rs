//! How many different elements there are, as far as that is worth knowing.

use std::collections::HashSet;

/// Of wider elements, more than this are many.
pub const MANY: usize = 4096;

/// Patterns of bits that were seen.
#[derive(Clone, Debug, Default)]
pub enum Distinct {
    /// Nobody asked.
    #[default]
    Unknown,
    /// Of 8 or 16 bits: a bit for each.
    Map(Vec<u64>),
    /// Of more bits: those that there are.
    Set(HashSet<u64>),
    /// More than `MANY`.
    Many,
}

impl Distinct {
    /// Of elements of so many bytes.
    pub fn of(width: usize, bytes: &[u8]) -> Distinct {
        let mut map = vec![0u64; 1 << (8 * width.min(2) - 6)];
        let mut mark = |x: usize| map[x >> 6] |= 1 << (x & 63);
        match width {
            1 => bytes.iter().for_each(|b| mark(*b as usize)),
            2 => bytes.as_chunks().0.iter().for_each(|b| mark(u16::from_le_bytes(*b) as usize)),
            4 => return Distinct::set(bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b) as u64)),
            8 => return Distinct::set(bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b))),
            _ => return Distinct::Unknown,
        }
        Distinct::Map(map)
    }

    fn set(values: impl Iterator<Item = u64>) -> Distinct {
        let mut set = HashSet::new();
        for x in values {
            set.insert(x);
            if set.len() > MANY {
                return Distinct::Many;
            }
        }
        Distinct::Set(set)
    }

    /// Takes in those of another stretch.
    pub fn join(&mut self, other: Distinct) {
        let now = std::mem::take(self);
        *self = match (now, other) {
            (Distinct::Map(mut a), Distinct::Map(b)) => {
                a.iter_mut().zip(&b).for_each(|(a, b)| *a |= b);
                Distinct::Map(a)
            }
            (Distinct::Set(mut a), Distinct::Set(b)) => {
                a.extend(b);
                if a.len() > MANY { Distinct::Many } else { Distinct::Set(a) }
            }
            (Distinct::Unknown, other) => other,
            (now, Distinct::Unknown) => now,
            _ => Distinct::Many,
        };
    }

    /// How many; `None` if there are too many to count, or nobody asked.
    pub fn count(&self) -> Option<u64> {
        match self {
            Distinct::Map(map) => Some(map.iter().map(|word| word.count_ones() as u64).sum()),
            Distinct::Set(set) => Some(set.len() as u64),
            Distinct::Many | Distinct::Unknown => None,
        }
    }
}

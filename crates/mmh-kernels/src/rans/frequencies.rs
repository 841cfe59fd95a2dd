//! Frequencies in 4096ths, told by weights that are logarithms.

use super::TOTAL;

/// 2^(r/8), in units of 2^-15.
const EIGHTHS: [u64; 8] = [32768, 35734, 38968, 42495, 46341, 50535, 55109, 60097];

/// The frequency of each symbol in one table; they add up to 4096.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frequencies {
    of: [u16; 256],
    escape: u16,
}

impl Frequencies {
    /// The table of the symbols from `first` on, whose relative frequencies are `2^(w/8)` for the `weights` w (below 128) that are not
    /// zero; the same for the escape, which comes last. `None` unless at least one symbol and two entries in all have a weight that is not
    /// zero.
    pub fn from_weights(first: u8, weights: &[u8], escape: u8) -> Option<Frequencies> {
        let all = || weights.iter().chain([&escape]).copied();
        let n = all().filter(|w| *w > 0).count() as u64;
        let some = weights.iter().any(|w| *w > 0);
        if !some || n < 2 || weights.len() > 256 - first as usize || all().any(|w| w >= 128) {
            return None;
        }
        let weight = |w: u8| if w > 0 { EIGHTHS[(w % 8) as usize] << (w / 8) } else { 0 };
        let sum: u64 = all().map(weight).sum();
        // One for each, and of the others what lies between a sum of weights and the next one: rounded where it ends, nothing is left over.
        let mut below = 0;
        let mut share = |w: u8| {
            let before = below * (TOTAL as u64 - n) / sum;
            below += weight(w);
            if w > 0 { 1 + (below * (TOTAL as u64 - n) / sum - before) as u16 } else { 0 }
        };
        let mut table = Frequencies { of: [0; 256], escape: 0 };
        for (f, w) in table.of.iter_mut().skip(first as usize).zip(weights) {
            *f = share(*w);
        }
        table.escape = share(escape);
        Some(table)
    }

    /// The frequency of a symbol, 0 if it has none in the table.
    pub fn of(&self, symbol: u8) -> u16 {
        self.of[symbol as usize]
    }

    /// The frequency of the escape.
    pub fn escape(&self) -> u16 {
        self.escape
    }
}

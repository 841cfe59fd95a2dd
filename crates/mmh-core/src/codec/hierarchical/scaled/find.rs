//! Whether elements are values of a grid times the scales of their groups, and what that comes to.

use super::solve::Work;
use super::{Found, Scaled, float_of};
use crate::codec::Block;
use crate::codec::symbols::entropy;
use mmh_kernels::histogram;
use mmh_kernels::scaled::Grid;

/// Elements that are looked at first, at so many places, which are as large groups as are tried; the fewest of them that are not zero, and how many places
/// with so many are enough.
const FIRST: usize = 16;
const FIRST_PLACES: usize = 4;
const LARGEST: usize = 4096;
const TELLING: usize = 4;
const TELLING_PLACES: usize = 2;

/// Groups of each length that are tried, and how many of them may be none.
const GROUPS: usize = 32;
const AMISS: usize = 6;

/// Bits of a scale: in groups up to so many elements, and in larger ones, whose scales come again.
const SCALE_BITS: [f64; 2] = [20.0, 12.0];
const SMALL_GROUP: usize = 64;

/// Bytes of a payload beside codes and scales.
const OVERHEAD: f64 = 800.0;

/// What is left of what the elements would take themselves, at the most, at the fastest levels, up to this one.
const WORTH: f64 = 0.875;
const FASTEST: u8 = 3;

/// Multiples of `size`, spread over `n` elements.
fn places(n: usize, size: usize, count: usize) -> impl Iterator<Item = usize> {
    let all = n / size;
    // Multiples of the golden ratio, as for other samples.
    (0..count.min(all)).map(move |i| {
        let part = (i as u32 + 1).wrapping_mul(0x9E37_79B9) as u64;
        let (from, to) = (i * all / count.min(all), (i + 1) * all / count.min(all));
        (from + ((part * (to - from) as u64) >> 32) as usize) * size
    })
}

/// The grid and the groups that make a block smallest, if its elements are such.
pub fn find(block: &Block<'_>) -> Option<Found> {
    let element = block.element?;
    let float = float_of(element)?;
    let size = float.size();
    let body = &block.data[block.data.len().min(element.head as usize)..];
    let n = body.len() / size;
    let mut tries = Tries { body, n, size, work: Work::default(), codes: vec![0; FIRST], sample: Vec::new() };
    let grids = Grid::ALL.map(|grid| Scaled { float, grid });
    let likely = grids.map(|scaled| tries.is_likely(scaled).then_some(scaled));
    let all = likely.into_iter().flatten().filter_map(|scaled| tries.groups(scaled, block.data.len()));
    let best = all.min_by(|a, b| a.estimate.total_cmp(&b.estimate))?;
    let most = match block.level.get() {
        ..=FASTEST => WORTH * block.split.map_or(1.0, |s| s.ratio(block.data.len())),
        _ => 1.0,
    };
    (best.estimate < most).then_some(best)
}

struct Tries<'a> {
    body: &'a [u8],
    n: usize,
    size: usize,
    work: Work,
    codes: Vec<u8>,
    sample: Vec<u8>,
}

impl Tries<'_> {
    /// Whether a few elements side by side are values of the grid.
    fn is_likely(&mut self, scaled: Scaled) -> bool {
        // Where groups begin, whatever their length is.
        let step = (self.n / FIRST_PLACES / FIRST * FIRST).clamp(FIRST, LARGEST);
        let few = |place: usize| &self.body[place * self.size..(place + FIRST) * self.size];
        let tells = |place: &usize| {
            let elements = few(*place).chunks_exact(self.size);
            elements.filter(|e| e.iter().any(|b| b & 0x7F != 0)).count() >= TELLING
        };
        let telling = places(self.n, step, FIRST_PLACES).filter(tells).take(TELLING_PLACES);
        let (work, codes) = (&mut self.work, &mut self.codes[..FIRST]);
        telling.into_iter().any(|place| scaled.solve(few(place), 0.0, work, codes).is_some())
    }

    /// The groups that come to least, and to what.
    fn groups(&mut self, scaled: Scaled, len: usize) -> Option<Found> {
        let mut best: Option<Found> = None;
        let mut length = FIRST;
        while length <= LARGEST.min(self.n) {
            self.codes.resize(length, 0);
            self.sample.clear();
            let (mut tried, mut amiss, mut escaped, mut hint) = (0, 0, 0, 0.0);
            for place in places(self.n, length, GROUPS) {
                tried += 1;
                let group = &self.body[place * self.size..(place + length) * self.size];
                match scaled.solve(group, hint, &mut self.work, &mut self.codes) {
                    Some(solved) => {
                        hint = solved.largest;
                        escaped += solved.escaped;
                        self.sample.extend_from_slice(&self.codes);
                    }
                    None => {
                        amiss += 1;
                        escaped += length;
                    }
                }
                if amiss > AMISS {
                    return best;
                }
            }
            if self.sample.is_empty() {
                return best;
            }
            let mut counts = [0; 256];
            histogram::bytes(&self.sample, &mut counts);
            let values = counts.iter().filter(|c| **c > 0).count() as f64;
            // A sample looks less random than its source: half a nat for each value.
            let seen = self.sample.len() as f64;
            let code = (entropy::bits(counts.into_iter()) as f64 + values * 0.72) / seen;
            let scale = SCALE_BITS[(length > SMALL_GROUP) as usize] / length as f64;
            let escaped = escaped as f64 / (tried * length) as f64 * 8.0 * self.size as f64;
            let bits = (code + scale + escaped) * self.n as f64;
            let estimate = (bits / 8.0 + OVERHEAD) / len as f64;
            if best.as_ref().is_none_or(|b| estimate < b.estimate) {
                best = Some(Found { scaled, length, estimate });
            }
            length *= 2;
        }
        best
    }
}

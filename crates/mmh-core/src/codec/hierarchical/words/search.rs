//! The words whose codebook would make a block smallest: which are tried, and which is best.

use super::estimate::estimate;
use super::grid::Grid;
use super::promise::{FEW, promises};
use super::{Found, Tried};
use crate::codec::tensor::Element;
use crate::codec::{self, Level};
use crate::dtype::Kind;

/// Widths that are tried where the elements do not tell one. Bytes are left to the codec of the leaves.
const WIDTHS: [usize; 11] = [4, 12, 16, 24, 32, 48, 64, 96, 128, 251, 512];

/// Words of blocks too short to tell anything.
const SHORTEST: usize = FEW;

/// Words of a block that is too long for one word in its sample to tell of most others.
const FAR: usize = 8 * FEW;

/// Of what others offer, what words have to promise by a part of their sample for the rest of it not to be asked. By then many of those that come
/// again have come once, and seem to cost as much as others.
const CLEAR: f64 = 0.9;

/// What a word costs that has to be passed down, over its bits, when nothing is known of it.
const PASSED: u64 = 1000;

/// What is known of a block that words are looked for in.
pub struct Sought {
    /// Bits of the widest words.
    pub most: usize,
    /// The elements of the block.
    pub element: Option<Element>,
    /// What one of them costs elsewhere.
    pub element_millibits: Option<u64>,
    /// A size over size that another codec has offered already.
    pub bound: f64,
    /// A size over size that words have to come below.
    pub most_size: f64,
    /// Whether words of eight bytes may come again often.
    pub repeats: bool,
    /// Whether the size has to be known as closely as a sample tells, also where a part of it tells that the words pay.
    pub exact: bool,
    /// How much to look for.
    pub level: Level,
}

/// The grid of words whose codebook would make the block smallest, if one would.
pub fn find(data: &[u8], sought: &Sought, scratch: &mut codec::Scratch) -> Option<Found> {
    let &Sought { most, element, element_millibits, bound, most_size, repeats, exact, level } = sought;
    let element = element.unwrap_or(Element { width: 0, kind: Kind::Unsigned, head: 0 });
    let own = 8 * element.size();
    let per_bit = element_millibits.map_or(PASSED, |m| m / own as u64);
    let head = 8 * element.head as usize;
    let mut grids: Vec<Grid> = if own > 8 { vec![Grid { bits: own, head }] } else { Vec::new() };
    // Numbers whose fields are worth coding are no words of other widths.
    let typed = !matches!(element.kind, Kind::Unsigned) && per_bit < 930;
    let others: &[usize] = match (level.get(), typed) {
        (..=3, true) => &[],
        // Three bytes, of a color or a packed number, are no element that has a name.
        (..=3, false) if own == 8 => &[16, 24, 32, 64],
        (..=3, false) => &[16, 32, 64],
        // A row that comes again is found as pieces of itself.
        (_, true) => &[64, 512],
        _ => &WIDTHS,
    };
    for bits in others.iter().copied().filter(|w| *w != own || head > 0) {
        grids.push(Grid { bits, head: 0 });
    }
    let mut best: Option<Found> = None;
    // Two numbers come again where one does, and so do rows unless they are far from each other.
    let mut pairs = !typed || own == 8 || repeats;
    for grid in grids {
        let count = grid.count(data.len());
        if count < SHORTEST || grid.bits > most {
            continue;
        }
        let passed = per_bit * grid.bits as u64;
        // Another grid has to do better than what was found so far.
        let offer = best.as_ref().map_or(bound, |b| b.estimate.min(bound));
        let offered = (offer * 1000.0 * grid.bits as f64) as u64;
        let is_own = grid.bits == own && grid.head == head;
        if !is_own && !pairs && (grid.bits == 64 || count < FAR) {
            continue;
        }
        let (promised, found) = promises(data, grid, is_own, passed, passed.min(offered));
        pairs |= found;
        let Some(grid) = promised else { continue };
        let tried = Tried { grid, own: is_own.then_some(Element { head: 0, ..element }), passed };
        if let Some(best) = &mut best {
            best.settle(data, level, scratch);
        }
        // An estimate is not worth a codebook for less than a fiftieth.
        let worth = (50.0 / 51.0 * per_bit as f64 / 1000.0).min(most_size);
        let enough = if exact { 0.0 } else { CLEAR * offer.min(worth) };
        // A narrower word that does as well is simpler.
        let worth = best.as_ref().map_or(worth, |b| worth.min(b.estimate / 1.01));
        if let Some(found) = estimate(data, &tried, worth, enough, level, scratch) {
            best = Some(Found::of(tried, found));
        }
    }
    best
}

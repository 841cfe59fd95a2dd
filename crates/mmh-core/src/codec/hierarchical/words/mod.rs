//! Words that come again: a codebook of those that pay for themselves, the number of each word in it, and the words that are not in
//! it, passed down (`spec/codecs/hierarchical.md`, section 4).
//!
//! * `grid`: where words are in a block, and what they are compared by
//! * `promise`: the first look: whether words may be few
//! * `estimate`: what a codebook would come to, from a sample
//! * `search`: which words make the block smallest
//! * `counter`: words and how often each comes
//! * `finder`: the number of a word in a small codebook, by one look
//! * `worth`: how often a word has to come to be in the codebook
//! * `form`: how numbers are written
//! * `encode`, `decode`

use super::{MIN_BITS, bad, byte, node, number, take_bits};
use crate::codec::tensor::Element;
use crate::codec::{self, Level};
use estimate::Estimate;
use grid::Grid;

mod counter;
mod decode;
mod encode;
mod estimate;
mod finder;
mod form;
mod grid;
mod promise;
mod search;
mod worth;

pub use counter::Counter;
pub use decode::decode;
pub use encode::encode;
pub use search::{Sought, find};

/// The most words of a codebook.
const MOST: usize = 65_535;

/// Words that are tried.
#[derive(Clone, Copy, Debug)]
struct Tried {
    grid: Grid,
    /// The elements of the block, where the words are those.
    own: Option<Element>,
    /// Thousandths of a bit that a word costs when it is passed down.
    passed: u64,
}

/// Words that pay.
#[derive(Clone, Debug)]
pub struct Found {
    tried: Tried,
    /// Size over size.
    pub estimate: f64,
    /// Words that were seen and would be in the codebook.
    seen: usize,
    /// Room for those of the block.
    room: usize,
    /// The rest of the sample was not asked for the size.
    is_rough: bool,
}

impl Found {
    fn of(tried: Tried, estimate: Estimate) -> Found {
        let Estimate { size, seen, room, is_rough } = estimate;
        Found { tried, estimate: size, seen, room, is_rough }
    }

    /// Asks the rest of the sample, to compare sizes.
    pub fn settle(&mut self, data: &[u8], level: Level, scratch: &mut codec::Scratch) {
        if self.is_rough
            && let Some(exact) = estimate::estimate(data, &self.tried, f64::INFINITY, 0.0, level, scratch)
        {
            *self = Found::of(self.tried, exact);
        }
    }

    /// In words, for `--why`.
    pub fn describe(&self) -> String {
        format!("{} words of {} bits in a codebook", self.seen, self.tried.grid.bits)
    }
}

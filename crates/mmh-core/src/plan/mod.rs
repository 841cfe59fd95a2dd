//! Which codec for a block: every codec bids on a sample, the lowest bid wins, and the bids can be shown.
//!
//! Each block is planned by itself, from its own bytes and its declared type alone: so planning is parallel, an unchanged
//! tensor gives unchanged frames, and a tensor whose rows differ (some upcast, some zero) gets what fits each part.
//!
//! * `sniff`: the element type of bytes that nobody declared

use crate::block::Given;
use crate::codec::hierarchical::{self, Found as Structure};
use crate::codec::symbols::{self, entropy};
use crate::codec::tensor::Element;
use crate::codec::tensor::analyze::{Found, analyze};
use crate::codec::{self, Block, Codec, Counterpart, Level, Scratch, zstd};
use crate::dtype::Dtype;
use memchr::memmem;
use mmh_kernels::histogram;
use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::fmt;

mod sniff;

use sniff::is_text;
pub use sniff::{sniff, top_bytes};

/// Why a codec bids as it does.
pub enum Reason {
    /// The same for every block.
    Always(&'static str),
    /// Put into words when somebody asks: most bids are made to be compared, and numbers take longer to write than to find.
    Of(Box<dyn Fn() -> String>),
}

impl Reason {
    /// What `tell` gives of what was found.
    pub fn of(tell: impl Fn() -> String + 'static) -> Reason {
        Reason::Of(Box::new(tell))
    }
}

impl From<&'static str> for Reason {
    fn from(words: &'static str) -> Reason {
        Reason::Always(words)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Always(words) => f.write_str(words),
            Reason::Of(tell) => f.write_str(&tell()),
        }
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a codec expects to make of a block.
#[derive(Debug)]
pub struct Bid {
    /// Stored over raw; `None`: it does not bid.
    pub estimate: Option<f64>,
    /// Known, not estimated: no other bid is heard.
    pub certain: bool,
    /// Why, in a few words.
    pub reason: Reason,
}

impl Bid {
    /// An estimate from a sample.
    pub fn of(estimate: f64, reason: impl Into<Reason>) -> Bid {
        Bid { estimate: Some(estimate), certain: false, reason: reason.into() }
    }

    /// A size that is known.
    pub fn always(estimate: f64, reason: impl Into<Reason>) -> Bid {
        Bid { estimate: Some(estimate), certain: true, reason: reason.into() }
    }

    /// No bid.
    pub fn none(reason: impl Into<Reason>) -> Bid {
        Bid { estimate: None, certain: false, reason: reason.into() }
    }
}

/// Bytes of the piece of a block that general-purpose codecs are tried on.
const PIECE: usize = 1 << 15;

/// Blocks up to this size that nobody declared are what stands between tensors, if half of them is letters, or what stands between letters, and
/// words come again in them as in texts.
const BETWEEN: usize = 1 << 16;

/// The slowest level at which such blocks are not looked at more closely.
const SLOWEST_FOR_BETWEEN: u8 = 6;

/// A block as the bidding codecs see it.
pub struct Sample<'a> {
    block: &'a [u8],
    declared: Option<Dtype>,
    element: OnceCell<Option<Element>>,
    base: Option<Counterpart<'a>>,
    level: Level,
    scratch: RefCell<&'a mut Scratch>,
    again: Cell<Option<(u32, u32)>>,
    text: OnceCell<bool>,
    split: OnceCell<Option<Found>>,
    structure: OnceCell<Option<Structure>>,
    best: Cell<f64>,
}

impl<'a> Sample<'a> {
    fn new(
        block: &'a [u8],
        declared: Option<Dtype>,
        base: Option<Counterpart<'a>>,
        level: Level,
        scratch: &'a mut Scratch,
    ) -> Sample<'a> {
        Sample {
            block,
            declared,
            element: OnceCell::new(),
            base: base.filter(|b| b.bytes.len() == block.len()),
            level,
            scratch: RefCell::new(scratch),
            again: Cell::new(None),
            text: OnceCell::new(),
            split: OnceCell::new(),
            structure: OnceCell::new(),
            best: Cell::new(1.0),
        }
    }

    /// All of the block; a codec looks at as little of it as it can.
    pub fn block(&self) -> &[u8] {
        self.block
    }

    /// Up to 32 KiB from the middle of the block.
    pub fn piece(&self) -> &[u8] {
        piece(self.block)
    }

    fn is_short(&self) -> bool {
        is_short(self.block)
    }

    /// Whether Zstandard, with this bid, leaves so little of a short block that nobody declared, and that looks as names and what they are about do,
    /// that it is no numbers. To take it for a dozen kinds of numbers takes longer than to compress it.
    fn is_between(&self, bid: &Bid) -> bool {
        let letters = || self.piece().iter().filter(|b| matches!(b, 0x20..=0x7E)).count();
        self.declared.is_none()
            && self.base.is_none()
            && self.block.len() <= BETWEEN
            && self.level.get() <= SLOWEST_FOR_BETWEEN
            && bid.estimate.is_some_and(|estimate| 3.0 * estimate <= 1.0)
            && 2 * letters() >= self.piece().len()
    }

    /// All that was found out, with the choice.
    fn found(self, codec: &'static dyn Codec, bids: Vec<(&'static dyn Codec, Bid)>) -> Choice {
        Choice {
            codec,
            element: self.element.into_inner().flatten(),
            split: self.split.into_inner().flatten(),
            structure: self.structure.into_inner().flatten(),
            bids,
        }
    }

    /// Whether it looks like text, and nobody said that it is something else.
    pub fn is_text(&self) -> bool {
        self.declared.is_none() && *self.text.get_or_init(|| is_text_block(self.block))
    }

    /// The dtype of the tensor that the block is of, where it is known.
    pub fn declared(&self) -> Option<Dtype> {
        self.declared
    }

    /// The declared or sniffed element; sniffed for the first that asks.
    pub fn element(&self) -> Option<Element> {
        let find = || match self.declared {
            Some(dtype) => {
                let element = Element::of(dtype);
                Some(if sniff::are_bytes(self.block, element) { Element::of(Dtype::U8) } else { element })
            }
            None => sniff(self.block, self.level, &mut self.scratch.borrow_mut().tensor),
        };
        *self.element.get_or_init(find)
    }

    /// The same stretch of a base, of the same length.
    pub fn base(&self) -> Option<Counterpart<'a>> {
        self.base
    }

    /// The level asked for.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The bid of the block as it is.
    pub fn size(&self) -> f64 {
        1.0
    }

    /// Memory to work in.
    pub fn scratch(&self) -> RefMut<'_, &'a mut Scratch> {
        self.scratch.borrow_mut()
    }

    /// Whether words of eight bytes come again often enough for a codec that looks for matches.
    pub fn repeats(&self) -> bool {
        repeats(self.again())
    }

    /// Whether so many do that finding them may save more than coding numbers does.
    pub fn repeats_often(&self) -> bool {
        let (words, again) = self.again();
        again * 8 > words
    }

    /// Words of eight bytes that were looked at, and how many of them came again.
    fn again(&self) -> (u32, u32) {
        self.again.get().unwrap_or_else(|| {
            // A part of the piece will do where time is short.
            let hurried = self.level.get() <= 3;
            let n = if hurried { self.piece().len().min(PIECE / 4) } else { PIECE };
            let found = match self.declared {
                // Bytes of which nothing is known may be of several kinds.
                None if !self.is_short() => match again(&scattered(self.block, n)) {
                    near if repeats(near) => near,
                    near => again_far(self.block).filter(|far| repeats(*far)).unwrap_or(near),
                },
                _ => {
                    let piece = &self.piece()[..n.min(self.piece().len())];
                    // Where a part of it has no word twice, all of it has few, unless rows come again, from further away.
                    let part = again(&piece[..piece.len().min(if hurried { PIECE / 16 } else { PIECE / 8 })]);
                    let rows = match hurried || self.is_short() {
                        true => again_among::<1024, 64>(self.piece()),
                        false => NEVER,
                    };
                    let promise = part.1 > 0 || self.is_short() && rows.1 > 0;
                    let near = if promise { again(piece) } else { NEVER };
                    if !repeats(near) && repeats(rows) { rows } else { near }
                }
            };
            self.again.set(Some(found));
            found
        })
    }

    /// The split of the elements that the `tensor` codec would choose; found once for all that ask, and for the encoder.
    pub fn split(&self) -> Option<&Found> {
        self.split.get_or_init(|| self.find_split()).as_ref()
    }

    // Not inlined: `benches/planner_cost.py` tells it apart, as the encoder would have to find it if the plan did not.
    #[inline(never)]
    fn find_split(&self) -> Option<Found> {
        let element = self.element()?;
        analyze(self.block, element, self.level, &mut self.scratch.borrow_mut().tensor)
    }

    /// The period of a block of which one period was made smaller: for its encoder.
    pub fn set_structure(&self, found: Structure) {
        let _ = self.structure.set(Some(found));
    }

    /// The words or decimals that the `hierarchical` codec would choose, if they may do better than the bids so far; found once for it and
    /// for its encoder.
    pub fn structure(&self) -> Option<&Structure> {
        let find = || {
            let &Sample { block: data, declared, base, level, .. } = self;
            let (element, split) = (self.element(), self.split());
            let block = Block { data, declared, element, level, split, structure: None, base };
            let repeats = self.repeats();
            Structure::best(&block, self.best.get(), repeats, &mut self.scratch.borrow_mut())
        };
        self.structure.get_or_init(find).as_ref()
    }
}

fn piece(block: &[u8]) -> &[u8] {
    let n = block.len().min(PIECE);
    let at = ((block.len() - n) / 2) & !63;
    &block[at..at + n]
}

fn is_short(block: &[u8]) -> bool {
    block.len() <= 4 * PIECE
}

/// Whether a block looks like text, in the middle and, unless it is short, all over it.
pub fn is_text_block(block: &[u8]) -> bool {
    is_text(piece(block)) && (is_short(block) || is_text(&scattered(block, PIECE)))
}

/// Bits per byte by which the entropies of pieces of one kind differ at most.
const OF_ONE_KIND: u64 = 1;

/// What Zstandard makes of a block of several kinds at most, where nothing else is asked.
const EASY: f64 = 0.9;

/// What tar's headers have, and how many make a block one of small files.
const HEADER: &[u8] = b"ustar";
const MANY: usize = 8;

/// Whether a block has small files of several kinds in an archive, and Zstandard makes it smaller. What is made for numbers of one kind finds
/// little in it.
pub fn is_mixed(block: &[u8], scratch: &mut Scratch) -> bool {
    let has = |part: &[u8], n: usize| memmem::find_iter(part, HEADER).take(n).count() == n;
    // Where small files are, one begins soon.
    if is_short(block) || !has(&block[..block.len() / MANY], 1) || !has(block, MANY) {
        return false;
    }
    let pieces = scattered(block, PIECE);
    let bits = pieces.chunks_exact(PIECE / PIECES).map(|piece| {
        let mut counts = [0; 256];
        histogram::bytes(piece, &mut counts);
        entropy::bits(counts.into_iter())
    });
    let (least, most) = bits.fold((u64::MAX, 0), |(least, most), bits| (bits.min(least), bits.max(most)));
    most - least > OF_ONE_KIND * (PIECE / PIECES) as u64
        && zstd::quick_ratio(&pieces, &mut scratch.zstd).is_some_and(|r| r <= EASY)
}

/// Pieces that are taken from all over a block.
const PIECES: usize = 8;

/// `n` bytes in pieces from all over the block.
fn scattered(block: &[u8], n: usize) -> Vec<u8> {
    let piece = n / PIECES;
    let stride = (block.len() - piece) / (PIECES - 1);
    symbols::gather(block, 1, (0..PIECES).map(|i| i * stride..i * stride + piece))
}

/// Where no word comes again, of more than are looked at.
const NEVER: (u32, u32) = (u32::MAX, 0);

/// One word in 32 comes again, or there were too few to tell.
fn repeats((words, again): (u32, u32)) -> bool {
    words < 64 || again * 32 > words
}

/// Words anywhere in a block, and how many of them have been seen: they are where a file is in an archive twice, say. Of the words at multiples of
/// [`FAR_STEP`], some thousands are looked at, chosen by what they are, so that the same words are chosen wherever they stand. `None` if there are
/// too few to tell.
fn again_far(block: &[u8]) -> Option<(u32, u32)> {
    let mut seen = [0u64; FAR_SLOTS];
    let (mut words, mut again) = (0u32, 0u32);
    for chunk in block.chunks_exact(FAR_STEP) {
        let Some(word) = chunk.first_chunk::<8>().map(|b| u64::from_le_bytes(*b)) else { continue };
        let mixed = word.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // Zeros, and what is repeated at once, are no reason to look further back.
        if mixed >> (64 - FAR_CHOSEN) == 1 && word != word.rotate_left(8) {
            let slot = (mixed >> 8) as usize % FAR_SLOTS;
            again += (std::mem::replace(&mut seen[slot], word) == word) as u32;
            words += 1;
        }
    }
    (words >= 64).then_some((words, again))
}

/// Bytes between words that may be looked at; archives align files to more.
const FAR_STEP: usize = 64;
/// One in 2 to this power is looked at.
const FAR_CHOSEN: u32 = 5;
/// Words that are remembered.
const FAR_SLOTS: usize = 4096;

/// Words of eight bytes, and how many of them have been seen lately.
fn again(piece: &[u8]) -> (u32, u32) {
    // No more of the table than few words need has to be cleared.
    match piece.len() {
        0..1024 => again_among::<256, 4>(piece),
        1024..=4096 => again_among::<1024, 4>(piece),
        _ => again_among::<4096, 4>(piece),
    }
}

/// The same of the words at every so many bytes, with so many places, a power of two, to remember them at.
fn again_among<const SLOTS: usize, const STEP: usize>(piece: &[u8]) -> (u32, u32) {
    // Of the word that was there last so many bits, which are hardly ever those of another one; odd, as 0 is none. Small tables are cleared sooner.
    let mut last = [0u16; SLOTS];
    let (mut words, mut again) = (0, 0);
    for word in piece.windows(8).step_by(STEP) {
        let mut b = [0; 8];
        b.copy_from_slice(word);
        let mixed = u64::from_le_bytes(b).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // The upper bits are those that depend on all of the word.
        let slot = (mixed >> (64 - SLOTS.trailing_zeros())) as usize;
        let of_word = (mixed >> (64 - SLOTS.trailing_zeros() - u16::BITS)) as u16 | 1;
        again += (std::mem::replace(&mut last[slot], of_word) == of_word) as u32;
        words += 1;
    }
    (words, again)
}

/// What the plan chose for a block, and why.
pub struct Choice {
    /// The codec.
    pub codec: &'static dyn Codec,
    /// The element type that it was chosen with, where one was asked for.
    pub element: Option<Element>,
    /// What is known about the split of the elements.
    pub split: Option<Found>,
    /// What is known about words that come again, and decimals.
    pub structure: Option<Structure>,
    /// Every codec's bid, in the order of the table.
    pub bids: Vec<(&'static dyn Codec, Bid)>,
}

impl Choice {
    /// What an encoder is given of the block that was looked at.
    pub fn block<'a>(
        &'a self,
        data: &'a [u8],
        declared: Option<Dtype>,
        level: Level,
        base: Option<Counterpart<'a>>,
    ) -> Block<'a> {
        let (split, structure) = (self.split.as_ref(), self.structure.as_ref());
        Block { data, declared, element: self.element, level, split, structure, base }
    }

    /// What a codec has bid.
    pub fn estimate_of(&self, codec: u8) -> Option<f64> {
        self.bids.iter().find(|(c, _)| c.id() == codec)?.1.estimate
    }

    /// Whether `stored` of `raw` bytes is clearly more than what the winner had bid.
    pub fn has_disappointed(&self, stored: usize, raw: usize) -> bool {
        let bid = self.estimate_of(self.codec.id()).unwrap_or(1.0);
        stored as f64 > (bid * raw as f64) * DISAPPOINTING
    }

    /// The bids that do without a counterpart.
    fn alone_bids(&self) -> impl Iterator<Item = &(&'static dyn Codec, Bid)> {
        self.bids.iter().filter(|(c, _)| !codec::is_difference(c.id()))
    }

    /// Those of them beside the winner's, the best first.
    pub fn others(&self) -> Vec<(&'static dyn Codec, f64)> {
        let others = self.alone_bids().filter(|(c, _)| c.id() != self.codec.id());
        let mut estimates: Vec<_> = others.filter_map(|(c, bid)| bid.estimate.map(|e| (*c, e))).collect();
        estimates.sort_by(|a, b| a.1.total_cmp(&b.1));
        estimates
    }

    /// The best of them.
    pub fn alone(&self) -> Option<(&'static dyn Codec, f64)> {
        let estimates = self.alone_bids().filter_map(|(c, bid)| bid.estimate.map(|e| (*c, e)));
        estimates.reduce(|best, other| if other.1 < best.1 { other } else { best })
    }
}

/// Estimated savings below this are not worth decoding for.
const WORTH: f64 = 0.995;

/// Of a block that was clearly not what it was taken for, over the bid. Blocks of one kind are within some thousandths.
const DISAPPOINTING: f64 = 1.03;

/// Picks a codec for a block. `declared` is the dtype of the tensor that the block is of; the elements of opaque bytes are sniffed.
pub fn choose(block: &[u8], declared: Option<Dtype>, level: Level, scratch: &mut Scratch) -> Choice {
    choose_given(&Given { data: block, declared, base: None, whole: false }, level, scratch)
}

/// The same with all that is known of it.
pub fn choose_given(given: &Given<'_>, level: Level, scratch: &mut Scratch) -> Choice {
    choose_among(&codec::CODECS, given, level, scratch)
}

/// What is to be known of a block that every codec is tried on, whatever it would bid: its element, and the split.
#[inline(never)]
pub fn prepare_given(given: &Given<'_>, level: Level, scratch: &mut Scratch) -> Choice {
    let &Given { data: block, declared, base, .. } = given;
    let sample = Sample::new(block, declared, base, level, scratch);
    sample.split();
    sample.found(codec::CODECS[0], Vec::new())
}

/// The element of a block, declared or sniffed.
pub fn element_of(given: &Given<'_>, level: Level, scratch: &mut Scratch) -> Option<Element> {
    Sample::new(given.data, given.declared, None, level, scratch).element()
}

/// The same among some of the codecs, of which the first stores what none makes smaller.
#[inline(never)]
pub fn choose_among(
    codecs: &[&'static dyn Codec],
    given: &Given<'_>,
    level: Level,
    scratch: &mut Scratch,
) -> Choice {
    let &Given { data: block, declared, base, whole } = given;
    let sample = Sample::new(block, declared, base, level, scratch);
    let mut bids: Vec<(&'static dyn Codec, Bid)> = Vec::with_capacity(codecs.len());
    for &codec in codecs {
        let bid = codec.bid(&sample);
        let certain = bid.certain;
        let between = codec.id() == zstd::ID && sample.is_between(&bid);
        sample.best.set(bid.estimate.map_or(1.0, |e| e).min(sample.best.get()));
        bids.push((codec, bid));
        if certain {
            // One period says all, but may be made smaller itself. Where a segment has other blocks they would be one run.
            if whole && let Some(bid) = hierarchical::bid_period(&sample) {
                bids.push((&hierarchical::Hierarchical, bid));
            }
            break;
        }
        if between {
            break;
        }
    }
    let mut winner: Option<(&'static dyn Codec, f64)> = None;
    for (codec, bid) in &bids {
        let Some(estimate) = bid.estimate else { continue };
        let better = match winner {
            None => true,
            Some((w, e)) => bid.certain || estimate < if w.id() == codec::store::ID { e * WORTH } else { e },
        };
        if better {
            winner = Some((*codec, estimate));
        }
    }
    let codec = winner.map_or(codecs[0], |w| w.0);
    sample.found(codec, bids)
}

#[cfg(test)]
mod tests;

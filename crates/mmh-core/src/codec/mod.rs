//! Codecs: one folder each, behind one trait and one table.
//!
//! * [`store`]: bytes as they are
//! * [`pattern251`]: one period and a count
//! * [`lz4`], [`zstd`]: bytes that come again
//! * [`hierarchical`]: structure: records, codebooks, decimals, zeros, grids with scales, …
//! * [`tensor`]: numbers: symbols entropy-coded, the rest in planes
//! * [`delta`]: a block against the same elements of a base, or of another tensor of its own file (`relative`)
//! * [`symbols`]: entropy coding for those that have symbols; `cursor`: reading payloads
//!
//! CONTRIBUTING.md says what a new one takes: a folder here, a row in [`CODECS`] and one in [`GENERAL`] or [`SPECIAL`], a page, a decoder, vectors. The plan, the generic
//! tests, the fuzz targets and the benches find it in the tables.

use crate::api::Watch;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::io::ReadAt;
use crate::plan::{Bid, Sample};
use mmh_kernels::conversions::Conversion;
use std::sync::Arc;

mod cursor;
pub mod delta;
pub mod hierarchical;
pub mod lz4;
pub mod pattern251;
pub mod store;
pub mod symbols;
pub mod tensor;
pub mod zstd;

/// A block to be encoded, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Its bytes: 1 to [`crate::block::MAX_BLOCK`].
    pub data: &'a [u8],
    /// The dtype of the tensor that it is of, where that is known.
    pub declared: Option<Dtype>,
    /// How its elements are laid out, declared or sniffed; `None` for plain bytes.
    pub element: Option<tensor::Element>,
    /// 1 (fastest) to 9 (smallest).
    pub level: Level,
    /// What the plan has found out about the elements already.
    pub split: Option<&'a tensor::analyze::Found>,
    /// What the plan has found out about words that come again, and decimals.
    pub structure: Option<&'a hierarchical::Found>,
    /// The same stretch of a base, or of another tensor, where there is one.
    pub base: Option<Counterpart<'a>>,
}

/// What counterparts are bytes of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The base.
    Base,
    /// The source itself.
    Source,
}

/// Elements that a block may be stored against, as many as the block has.
#[derive(Clone, Copy, Debug)]
pub struct Counterpart<'a> {
    /// What they are read from.
    pub origin: Origin,
    /// Where they begin there, in source bytes.
    pub offset: u64,
    /// Their bytes as they stand there.
    pub there: &'a [u8],
    /// What is made of those.
    pub conversion: Option<Conversion>,
    /// The outcome: as many bytes as the block has.
    pub bytes: &'a [u8],
}

impl<'a> Counterpart<'a> {
    /// Bytes of a base as they are.
    pub fn of_base(offset: u64, bytes: &'a [u8]) -> Counterpart<'a> {
        Counterpart { origin: Origin::Base, offset, there: bytes, conversion: None, bytes }
    }

    /// That of `len` bytes from byte `at` of the block on, both whole elements.
    pub fn part(self, at: usize, len: usize) -> Counterpart<'a> {
        let (from, to) = delta::sizes(self.conversion);
        let there = |n: usize| n / to * from;
        Counterpart {
            offset: self.offset + there(at) as u64,
            there: &self.there[there(at)..there(at + len)],
            bytes: &self.bytes[at..at + len],
            ..self
        }
    }
}

/// A level from 1 to 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

impl Level {
    /// `fast`.
    pub const FAST: Level = Level(2);
    /// `balanced`, the default.
    pub const BALANCED: Level = Level(5);
    /// `max`.
    pub const MAX: Level = Level(8);

    /// 1 to 9.
    pub fn new(level: u8) -> Result<Level> {
        match level {
            1..=9 => Ok(Level(level)),
            _ => Err(Error::Invalid(format!("level {level}: expected 1 (fastest) to 9 (smallest)"))),
        }
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// One way to store a block.
pub trait Codec: Sync {
    /// The number that stands for it in a frame.
    fn id(&self) -> u8;

    /// Its name on the command line and in reports.
    fn name(&self) -> &'static str;

    /// What it expects to make of a block, judged by a sample.
    fn bid(&self, sample: &Sample<'_>) -> Bid;

    /// Appends the payload for the block to `out`. Gives `false`, and leaves in `out` what it likes, when it has nothing smaller than the
    /// block itself to offer.
    fn encode(&self, block: &Block<'_>, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<bool>;

    /// Restores `out.len()` bytes from the payload; an error of kind `Corrupt` for every payload that the codec's page does not allow.
    fn decode(&self, payload: &[u8], out: &mut [u8], scratch: &mut Scratch) -> Result<()>;

    /// The same where bytes that the block may refer to are at hand: of a base for `delta`, of the source for `relative`, of the first frame for `prefix`.
    fn decode_with(
        &self,
        payload: &[u8],
        _base: Option<&dyn ReadAt>,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.decode(payload, out, scratch)
    }
}

/// The codecs, in order of their ids, which is also the order in which equal bids win.
pub static CODECS: [&dyn Codec; 8] = [
    &store::Store,
    &pattern251::Pattern251,
    &lz4::Lz4,
    &zstd::Zstd,
    &hierarchical::Hierarchical,
    &tensor::Tensor,
    &delta::OF_BASE,
    &delta::OF_SOURCE,
];

/// Those that look for the same bytes again, whatever bytes mean.
pub static GENERAL: [&dyn Codec; 2] = [&lz4::Lz4, &zstd::Zstd];

/// Those that are told what is known of a block.
pub static SPECIAL: [&dyn Codec; 4] =
    [&hierarchical::Hierarchical, &tensor::Tensor, &delta::OF_BASE, &delta::OF_SOURCE];

/// Id of the frames that repeat earlier source bytes; no codec of a block, so not in the table.
pub const COPY: u8 = 7;

/// Id of the frames that go on from the first one; a block, but none that the plan could choose, so not in the table.
pub const PREFIX: u8 = 8;

/// The codec with this id.
pub fn by_id(id: u8) -> Option<&'static dyn Codec> {
    if id == PREFIX {
        return Some(&zstd::prefix::Prefix);
    }
    CODECS.iter().copied().find(|c| c.id() == id)
}

/// Whether blocks of this id are decoded from their own bytes alone.
pub fn stands_alone(id: u8) -> bool {
    ![COPY, PREFIX].contains(&id) && !is_difference(id)
}

/// Whether blocks of this id are differences from their counterparts.
pub fn is_difference(id: u8) -> bool {
    id == delta::ID || id == delta::RELATIVE
}

/// The codec of differences from counterparts of this origin.
pub fn of_origin(origin: Origin) -> &'static dyn Codec {
    match origin {
        Origin::Base => &delta::OF_BASE,
        Origin::Source => &delta::OF_SOURCE,
    }
}

/// The codec with this name.
pub fn by_name(name: &str) -> Option<&'static dyn Codec> {
    CODECS.iter().copied().find(|c| c.name() == name)
}

/// The name of a frame's codec.
pub fn name_of(id: u8) -> &'static str {
    if id == COPY { "copy" } else { by_id(id).map_or("unknown", |c| c.name()) }
}

/// Whether frames of this id are runs: any length, determined by their payload.
pub fn is_run(id: u8) -> bool {
    id == COPY || id == pattern251::ID
}

/// Gives memory at least `n` bytes; what is in it is of no account.
pub(crate) fn lend(memory: &mut Vec<u8>, n: usize) {
    if memory.len() < n {
        memory.resize(n, 0);
    }
}

/// Memory for a counterpart.
#[derive(Default)]
pub struct Held {
    /// As it is read.
    pub there: Vec<u8>,
    /// As it is converted.
    pub converted: Vec<u8>,
}

/// Memory that codecs keep from block to block.
#[derive(Default)]
pub struct Scratch {
    /// Of the `hierarchical` codec.
    pub hierarchical: hierarchical::Scratch,
    /// Of the `tensor` codec.
    pub tensor: tensor::Scratch,
    /// Of the `zstd` codec.
    pub zstd: zstd::Scratch,
    /// Of the `delta` codec.
    pub delta: delta::Scratch,
    /// The counterpart of a block.
    pub counterpart: Held,
    /// What the self-check decodes into, and a block that is wanted in part.
    pub check: Vec<u8>,
    /// The frame that is decoded, as it is stored.
    pub stored: Vec<u8>,
    /// The last two again, for the blocks that restore the counterpart of the one that is decoded.
    pub of_root: [Vec<u8>; 2],
    /// Whether what is decoded is part of so much that no cache will have it when it is read.
    pub is_far: bool,
    /// Whom codecs that take long ask whether to go on.
    pub watch: Option<Arc<Watch>>,
}

impl Scratch {
    /// Works on the counterpart of a block whose frame has been read: with the same memory of codecs, as that block is not decoded before.
    pub fn for_root<T>(&mut self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let is_far = std::mem::take(&mut self.is_far);
        self.turn();
        let done = work(self);
        self.turn();
        self.is_far = is_far;
        done
    }

    fn turn(&mut self) {
        let [check, stored] = &mut self.of_root;
        std::mem::swap(&mut self.check, check);
        std::mem::swap(&mut self.stored, stored);
    }
}

#[cfg(test)]
mod tests;

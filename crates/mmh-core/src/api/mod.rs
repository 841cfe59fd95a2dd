//! Files, streams and arrays: in parallel, in bounded memory, always in order.
//!
//! * `line`: lots are worked on by all threads at once and go out in order
//! * `spare`: memory that is used again
//! * `pipeline`: from a source to frames
//! * `between`: what stands between tensors, as frames that go on from the first one
//! * `twins`: blocks that were there before; a copy takes their place
//! * `compress`, `decompress`: between memory, files and pipes
//! * `pack`: a directory in one file
//! * `verify`: every frame and every hash
//! * `reference`: what restored bytes are compared with
//! * `protect`: parity for files
//! * `salvage`: what is sound of a damaged file, with its index or without
//! * `explain`: what the plan sees
//! * `estimate`: what compressing would save, from a part of the blocks
//! * `diff`: what two files do not have in common
//! * `validate`: statistics of tensors, what they look like, and the proof that they come back
//! * `target`: a temporary file that takes its name only when it is whole
//! * `workers`: the threads of one call
//! * `watch`, `attended`: asking the caller whether to go on, also while a pipe is waited for

mod attended;
mod between;
mod compress;
mod decompress;
mod diff;
mod estimate;
mod explain;
mod line;
mod pack;
mod pipeline;
mod protect;
mod reference;
mod salvage;
mod spare;
mod target;
mod twins;
mod validate;
mod verify;
mod watch;
mod workers;

pub use compress::{
    CompressOptions, compress_bytes, compress_bytes_by, compress_file, compress_into, room_for,
};
pub use decompress::{
    DecompressOptions, decompress_bytes, decompress_file, decompress_into, decompress_into_by,
};
pub use diff::{Change, Diff, Found, Numbers, Side, TensorDiff, diff};
pub use estimate::{BUDGET, Estimate, LevelEstimate, estimate};
pub use explain::{Why, explain_archive, explain_source};
pub use pack::{Packed, pack_dir, unpack_dir};
pub use protect::{Mended, Protected, examine_file, protect_file, repair_file};
pub use reference::Reference;
pub use salvage::{Loose, Salvaged, Shared, salvage, salvage_file};
pub(crate) use target::Output;
pub use target::check_target;
pub use validate::{Examined, Histogram, Proof, Stats, Validation, Verdict, histogram, prove, validate};
pub use verify::{Damage, Verification, verify, verify_against};
pub use watch::{Ask, Watch};
pub use workers::Workers;

use crate::codec;
use crate::container::index::{FrameRow, Index};
use crate::error::{Error, Result};
use line::Lane;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Bytes of source that one thread works on at a time, or one block if that is more: few enough for its cache.
pub(crate) const LOT: usize = 512 << 10;
/// Blocks of a lot or a batch: small tensors must not pile up.
pub(crate) const BATCH_BLOCKS: usize = 1024;

/// What the format promises for any source: 0.1 % and 1 KiB.
fn allowance(len: u64) -> u64 {
    len.saturating_add(len / 1000 + 1024)
}

/// Called between batches, on the thread that called.
pub type Progress<'a> = &'a mut dyn FnMut(Step) -> Result<()>;

/// How far the work is.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Source bytes done.
    pub done: u64,
    /// Source bytes in all, where that is known.
    pub total: Option<u64>,
    /// Bytes of the `.mmh` so far.
    pub stored: u64,
}

/// Frames of one codec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodecTotal {
    /// How many.
    pub frames: u64,
    /// Bytes that they restore.
    pub raw: u64,
    /// Bytes that they take, heads included.
    pub stored: u64,
}

/// Totals by codec name.
pub fn totals<'a>(frames: impl IntoIterator<Item = &'a FrameRow>) -> BTreeMap<&'static str, CodecTotal> {
    let mut all: BTreeMap<&'static str, CodecTotal> = BTreeMap::new();
    for f in frames {
        let t = all.entry(codec::name_of(f.codec)).or_default();
        t.frames += 1;
        t.raw += f.raw;
        t.stored += f.stored + crate::container::frame::HEAD as u64;
    }
    all
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Report {
    /// Bytes of the uncompressed side.
    pub source_bytes: u64,
    /// Bytes of the `.mmh` side.
    pub stored_bytes: u64,
    /// Format of the source.
    pub format: &'static str,
    /// Number of tensors.
    pub tensors: usize,
    /// Totals by codec.
    pub codecs: BTreeMap<&'static str, CodecTotal>,
    /// BLAKE3 of the uncompressed side.
    pub blake3: Option<[u8; 32]>,
    /// SHA-256 of it.
    pub sha256: Option<[u8; 32]>,
    /// How many of the tensors have a counterpart in the base, where something was compressed against one; a file of which no tensor is known counts as one.
    pub in_base: Option<usize>,
}

/// Content hashes of restored bytes, fed in order and compared with the index at the end.
pub(crate) struct Content {
    blake3: Option<blake3::Hasher>,
    sha256: Option<Sha256>,
}

impl Content {
    /// Those that are asked for.
    pub fn new(blake3: bool, sha256: bool) -> Content {
        Content { blake3: blake3.then(blake3::Hasher::new), sha256: sha256.then(Sha256::new) }
    }

    /// The next bytes of the source.
    pub fn update(&mut self, data: &[u8]) {
        if let Some(h) = &mut self.blake3 {
            h.update(data);
        }
        if let Some(h) = &mut self.sha256 {
            h.update(data);
        }
    }

    /// What takes restored bytes in, in order.
    pub fn lanes(&mut self) -> Vec<Lane<'_, Vec<u8>>> {
        fn lane<'a>(hash: &'a mut (impl Digest + Send)) -> Lane<'a, Vec<u8>> {
            Box::new(|data| {
                hash.update(data);
                Ok(())
            })
        }
        let blake3 = self.blake3.as_mut().map(|h| -> Lane<'_, Vec<u8>> {
            Box::new(|data| {
                h.update(data);
                Ok(())
            })
        });
        blake3.into_iter().chain(self.sha256.as_mut().map(lane)).collect()
    }

    /// The names of the hashes that the index has, that were computed, and that differ.
    pub fn differing(self, index: &Index) -> Vec<&'static str> {
        self.finish().differing(index)
    }

    /// What they come to.
    pub fn finish(self) -> Hashes {
        Hashes {
            blake3: self.blake3.map(|h| *h.finalize().as_bytes()),
            sha256: self.sha256.map(|h| h.finalize().into()),
        }
    }
}

/// Content hashes, those that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hashes {
    /// BLAKE3.
    pub blake3: Option<[u8; 32]>,
    /// SHA-256.
    pub sha256: Option<[u8; 32]>,
}

impl Hashes {
    /// The names of those that the index has too, and that differ.
    fn differing(&self, index: &Index) -> Vec<&'static str> {
        let both = [("BLAKE3", self.blake3.zip(index.blake3)), ("SHA-256", self.sha256.zip(index.sha256))];
        both.into_iter()
            .filter(|(_, h)| h.is_some_and(|(found, expected)| found != expected))
            .map(|(n, _)| n)
            .collect()
    }
}

/// A vector with room for `n` bytes that the input has earned, or an error in place of an abort.
pub(crate) fn zeroed(n: u64) -> Result<Vec<u8>> {
    let n =
        usize::try_from(n).map_err(|_| Error::Limit(format!("{n} bytes do not fit the address space")))?;
    let mut v = mmh_kernels::memory::with_capacity(n)
        .ok_or_else(|| Error::Limit(format!("no memory for {n} bytes")))?;
    v.resize(n, 0);
    Ok(v)
}

//! Bytes that another codec stores.

use super::bad;
use crate::block::Given;
use crate::codec::{self, Block, Codec, Level, Scratch, hierarchical, lz4, pattern251, store, tensor, zstd};
use crate::container::varint;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::plan;

/// What is tried: symbols and bitwise differences are no quantized values, for which there are codebooks.
static CODECS: [&dyn Codec; 4] = [&store::Store, &pattern251::Pattern251, &zstd::Zstd, &tensor::Tensor];

/// What a codec may come to, over what it had bid, before others are tried.
const KEPT: f64 = 1.01;

/// Codecs that a part may be of.
const PARTS: [u8; 6] = [store::ID, pattern251::ID, lz4::ID, zstd::ID, hierarchical::ID, tensor::ID];

/// Appends codec and payload of `data`, as the plan chooses: of bytes, or of elements of a dtype.
pub fn put(
    data: &[u8],
    declared: Option<Dtype>,
    level: Level,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<()> {
    let given = Given { data, declared, base: None, whole: false };
    let choice = plan::choose_among(&CODECS, &given, level, scratch);
    let block = choice.block(data, declared, level, None);
    // What zstd spends on a short block is meant for headers; these are parts of a long one.
    let quick = Block { level: Level::FAST, ..block };
    let start = out.len();
    store(data, out);
    let chosen = (choice.codec, choice.estimate_of(choice.codec.id()).unwrap_or(1.0));
    // Symbols are sorted: what was promised by some from the middle need not hold for all.
    for (codec, estimate) in std::iter::once(chosen).chain(choice.others()) {
        let block = if codec.id() == zstd::ID { &quick } else { &block };
        let size = attempt(codec, block, start, scratch, out)?;
        if size.is_some_and(|size| size as f64 <= KEPT * estimate * data.len() as f64) {
            break;
        }
    }
    if level >= Level::MAX && out[start] == zstd::ID {
        attempt(&zstd::Zstd, &block, start, scratch, out)?;
    }
    Ok(())
}

/// Appends bytes as they are.
fn store(data: &[u8], out: &mut Vec<u8>) {
    out.push(store::ID);
    out.extend_from_slice(data);
}

/// Puts what a codec makes of a part in the place of what stands in `out` from `start` on, if that is smaller; gives the size of what it makes, if it makes anything.
fn attempt(
    codec: &dyn Codec,
    block: &Block<'_>,
    start: usize,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<Option<usize>> {
    let end = out.len();
    out.push(codec.id());
    let done = codec.encode(block, scratch, out)?;
    let size = out.len() - end;
    if done && size < end - start {
        out.drain(start..end);
    } else {
        out.truncate(end);
    }
    Ok(done.then_some(size))
}

/// Restores `out.len()` bytes from codec and payload.
pub fn get(from: &[u8], out: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    let (&id, payload) = from.split_first().ok_or_else(|| bad("no codec".into()))?;
    match codec::by_id(id) {
        Some(codec) if PARTS.contains(&id) => codec.decode(payload, out, scratch),
        _ => Err(bad(format!("codec {id} within"))),
    }
}

/// Appends `data` in parts of 2^`log` bytes, each with its size.
pub fn put_all(data: &[u8], log: u8, level: Level, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<()> {
    let mut part = Vec::new();
    for piece in data.chunks(1 << log) {
        part.clear();
        put(piece, Some(Dtype::U8), level, scratch, &mut part)?;
        varint::write(part.len() as u64, out);
        out.extend_from_slice(&part);
    }
    Ok(())
}

/// Restores all of `out` from parts at the front of `from`, and moves that on.
pub fn get_all(from: &mut &[u8], log: u8, out: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    for piece in out.chunks_mut(1 << log) {
        let size = varint::read(from).ok_or_else(|| bad("malformed size of a part".into()))?;
        let cut = usize::try_from(size).ok().and_then(|n| from.split_at_checked(n));
        let (part, later) =
            cut.ok_or_else(|| bad(format!("a part of {size} bytes, there are {}", from.len())))?;
        get(part, piece, scratch)?;
        *from = later;
    }
    Ok(())
}

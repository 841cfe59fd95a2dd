//! What bytes of an input choose.

use mmh_core::codec::{CODECS, Codec, by_id};

/// The codec of this id, as `seeds.py` has it; of one that no block is of, another.
pub fn codec_of(id: u8) -> &'static dyn Codec {
    by_id(id).unwrap_or(CODECS[usize::from(id) % CODECS.len()])
}

/// A base for a payload that restores so many bytes: what `delta` refers to. Of the payload's own bytes, so that it is not always the same, and longer than
/// what is restored, so that offsets are of use.
pub fn base_of(payload: &[u8], restored: usize) -> Vec<u8> {
    let from = payload.iter().rev().chain(&[0x3C, 0x51, 0xBC]);
    from.copied().cycle().take(restored + 64).collect()
}

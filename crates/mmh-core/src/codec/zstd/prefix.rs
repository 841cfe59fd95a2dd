//! Zstandard frames that go on from what the first frame of the file restores (`spec/codecs/prefix.md`).

use super::{append, corrupt, one_frame};
use crate::codec::{Block, Codec, Level, PREFIX, Scratch};
use crate::error::{Error, Result};
use crate::io::ReadAt;
use crate::plan::{Bid, Sample};
use zstd_safe::{CCtx, CDict, DCtx};

/// Blocks that go on from the first one. The plan has no choice of it: what is tried is up to who cuts a source.
pub struct Prefix;

/// What a Zstandard dictionary of the other kind begins with.
const MAGIC: [u8; 4] = [0x37, 0xA4, 0x30, 0xEC];

/// Whether blocks can go on from these bytes.
pub fn is_usable(prefix: &[u8]) -> bool {
    !prefix.starts_with(&MAGIC)
}

/// The bytes of the first block, made ready for what goes on from them.
pub struct Prepared(CDict<'static>);

impl Prepared {
    /// `None` if they cannot be used.
    pub fn new(prefix: &[u8], level: Level) -> Option<Prepared> {
        let level = match level.get() {
            ..=3 => 3,
            4..=6 => 12,
            _ => 19,
        };
        if is_usable(prefix) { CDict::try_create(prefix, level).map(Prepared) } else { None }
    }

    /// Appends the payload of a block.
    pub fn encode(&self, data: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<()> {
        let context = scratch.zstd.compress.get_or_insert_with(CCtx::create);
        append(data.len(), out, |room| context.compress_using_cdict(room, data, &self.0)).map(drop)
    }
}

impl Codec for Prefix {
    fn id(&self) -> u8 {
        PREFIX
    }

    fn name(&self) -> &'static str {
        "prefix"
    }

    fn bid(&self, _: &Sample<'_>) -> Bid {
        Bid::none("not asked")
    }

    fn encode(&self, _: &Block<'_>, _: &mut Scratch, _: &mut Vec<u8>) -> Result<bool> {
        Ok(false)
    }

    fn decode(&self, _: &[u8], _: &mut [u8], _: &mut Scratch) -> Result<()> {
        Err(Error::corrupt("prefix: there is nothing that it could go on from"))
    }

    /// The base is all that the first frame restores.
    fn decode_with(
        &self,
        payload: &[u8],
        base: Option<&dyn ReadAt>,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Some(prefix) = base.and_then(|b| b.slice(0, usize::try_from(b.len()).ok()?)) else {
            return self.decode(payload, out, scratch);
        };
        if !is_usable(prefix) {
            return Err(Error::corrupt("prefix: the first frame restores a dictionary"));
        }
        one_frame(payload)?;
        let context = scratch.zstd.decompress.get_or_insert_with(DCtx::create);
        match context.decompress_using_dict(out, payload, prefix) {
            Ok(n) if n == out.len() => Ok(()),
            Ok(n) => Err(Error::corrupt(format!("prefix: expected {} bytes, found {n}", out.len()))),
            Err(e) => Err(corrupt("prefix", e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    #[test]
    fn blocks_come_back_with_their_prefix_and_not_without() {
        let prefix = noise(5000, 1);
        for (level, data) in
            [(Level::FAST, &prefix[100..900]), (Level::BALANCED, &prefix[..]), (Level::MAX, &b"abc"[..])]
        {
            let mut scratch = Scratch::default();
            let mut payload = Vec::new();
            Prepared::new(&prefix, level).unwrap().encode(data, &mut scratch, &mut payload).unwrap();
            assert!(payload.len() < 40, "{}", payload.len());
            let mut back = vec![0; data.len()];
            Prefix.decode_with(&payload, Some(&prefix), &mut back, &mut scratch).unwrap();
            assert_eq!(back, data);
            if data.len() > 100 {
                let other = noise(5000, 2);
                let wrong = Prefix.decode_with(&payload, Some(&other), &mut back, &mut scratch);
                assert!(wrong.is_err() || back != data);
            }
            assert!(Prefix.decode(&payload, &mut back, &mut scratch).is_err());
            assert!(Prefix.decode_with(&payload, Some(&prefix), &mut back[1..], &mut scratch).is_err());
            payload.push(0);
            assert!(Prefix.decode_with(&payload, Some(&prefix), &mut back, &mut scratch).is_err());
        }
        assert!(Prepared::new(&[&MAGIC[..], &prefix].concat(), Level::BALANCED).is_none());
    }
}

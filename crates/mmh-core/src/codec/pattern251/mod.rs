//! One period and a count: data that repeats perfectly.

use super::{Block, Codec, Scratch};
use crate::error::{Error, Result};
use crate::plan::{Bid, Reason, Sample};
use mmh_kernels::period;

/// `spec/codecs/pattern251.md`
pub struct Pattern251;

/// Its id.
pub const ID: u8 = 1;

/// The longest period.
pub const MAX_PERIOD: usize = 1 << 16;

/// The smallest period of `data` that is worth a run: its payload is at most an eighth of the data.
pub fn find(data: &[u8]) -> Option<usize> {
    period::smallest(data, MAX_PERIOD.min(data.len() / 8))
}

/// Writes bytes `offset …` of the endless repetition of `pattern` to `out`. `pattern` is not empty.
pub fn fill(pattern: &[u8], offset: u64, out: &mut [u8]) {
    let p = pattern.len();
    if p == 1 {
        out.fill(pattern[0]);
        return;
    }
    let phase = (offset % p as u64) as usize;
    // One period first, then ever longer copies of what is there.
    let mut done = 0;
    while done < out.len().min(p) {
        let at = (phase + done) % p;
        let n = (p - at).min(out.len() - done).min(p - done);
        out[done..done + n].copy_from_slice(&pattern[at..at + n]);
        done += n;
    }
    while done < out.len() {
        // Whole periods only, so that the copy stays in phase.
        let n = (done / p * p).min(out.len() - done);
        out.copy_within(..n, done);
        done += n;
    }
}

/// Checks a payload's size against the bytes it stands for.
pub fn check(payload: &[u8], raw: u64) -> Result<()> {
    match payload.len() {
        n @ 1..=MAX_PERIOD if n as u64 <= raw => Ok(()),
        n => Err(Error::corrupt(format!(
            "pattern251: expected a period of 1 to {} bytes, found {n}",
            raw.min(MAX_PERIOD as u64)
        ))),
    }
}

impl Codec for Pattern251 {
    fn id(&self) -> u8 {
        ID
    }

    fn name(&self) -> &'static str {
        "pattern251"
    }

    fn bid(&self, sample: &Sample<'_>) -> Bid {
        // Looked for in the whole block: a sample that repeats proves nothing, and noise is told from it at once.
        match find(sample.block()) {
            Some(p) => Bid::always(
                p as f64 / sample.block().len() as f64,
                Reason::of(move || format!("period of {p} bytes")),
            ),
            None => Bid::none("no period up to 65,536 bytes"),
        }
    }

    fn encode(&self, block: &Block<'_>, _: &mut Scratch, out: &mut Vec<u8>) -> Result<bool> {
        match find(block.data) {
            Some(p) => {
                out.extend_from_slice(&block.data[..p]);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn decode(&self, payload: &[u8], out: &mut [u8], _: &mut Scratch) -> Result<()> {
        check(payload, out.len() as u64)?;
        fill(payload, 0, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fill_starts_anywhere() {
        for p in [1usize, 2, 3, 7, 251] {
            let pattern: Vec<u8> = (0..p).map(|i| (i * 37 + 11) as u8).collect();
            for offset in [0u64, 1, 5, 250, 251, 1 << 40] {
                for n in [0usize, 1, 2, 250, 251, 252, 1000] {
                    let mut out = vec![0; n];
                    fill(&pattern, offset, &mut out);
                    for (i, b) in out.iter().enumerate() {
                        assert_eq!(*b, pattern[((offset + i as u64) % p as u64) as usize]);
                    }
                }
            }
        }
    }
}

//! Every frame and every hash.

use super::decompress::windows;
use super::{BATCH_BLOCKS, Content, Hashes, Progress, Reference, Step, Workers, zeroed};
use crate::codec::{self, delta};
use crate::container::reader::{Archive, with_scratch};
use crate::error::{Error, Result};
use crate::io::ReadAt;

/// Something that is damaged.
#[derive(Clone, Debug)]
pub struct Damage {
    /// Number of the frame; `None` for a content hash.
    pub frame: Option<usize>,
    /// Byte of the `.mmh` file.
    pub offset: u64,
    /// Source bytes concerned.
    pub source_start: u64,
    /// How many.
    pub source_bytes: u64,
    /// Codec of the frame, or the name of the hash.
    pub codec: &'static str,
    /// The tensor that they belong to.
    pub tensor: Option<String>,
    /// What is wrong.
    pub what: String,
}

/// The outcome.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Frames looked at.
    pub frames: usize,
    /// All that is damaged, in order.
    pub damaged: Vec<Damage>,
    /// Whether the restored bytes are those of the reference; `None` where there is none, or where damage leaves it open.
    pub matches: Option<bool>,
}

/// Decodes everything and compares every checksum and hash. Damage is reported, not an error.
pub fn verify<R: ReadAt>(
    archive: &Archive<R>,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Verification> {
    verify_against(archive, None, workers, progress)
}

/// The same, and compares the restored bytes with what they are to be.
pub fn verify_against<R: ReadAt>(
    archive: &Archive<R>,
    reference: Option<&Reference>,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Verification> {
    let index = archive.index();
    let wanted = Content::new(
        index.blake3.is_some() || reference.is_some(),
        index.sha256.is_some() || reference.is_some_and(|r| r.may_be_sha256(index)),
    );
    let (damaged, hashes) = decode_all(archive, wanted, workers, progress)?;
    let matches = match (reference, hashes) {
        (Some(reference), Some(hashes)) if damaged.is_empty() => {
            Some(reference.is(index.source_len, &hashes, workers)?)
        }
        _ => None,
    };
    Ok(Verification { frames: archive.frames().len(), damaged, matches })
}

/// What is damaged, and the hashes that are `wanted` of what is restored, unless some of it cannot be.
pub(super) fn decode_all<R: ReadAt>(
    archive: &Archive<R>,
    wanted: Content,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<(Vec<Damage>, Option<Hashes>)> {
    archive.check_base(workers)?;
    let index = archive.index();
    let mut damaged = Vec::new();
    let mut whole = Some(wanted);
    let mut rows = index.tensors.iter().peekable();
    let mut tensor = blake3::Hasher::new();
    let mut tensor_hurt = false;
    let mut buf = Vec::new();
    for (start, end) in windows(archive, workers.batch() as u64) {
        buf.resize((end - start) as usize, 0);
        let hurt = match archive.read_range(start, &mut buf, workers, true) {
            Ok(()) => false,
            Err(Error::Corrupt { .. } | Error::Unsupported(_)) => {
                find_damage(archive, start, end, workers, &mut damaged)?;
                true
            }
            Err(e) => return Err(e),
        };
        if hurt {
            whole = None;
        }
        if let Some(h) = &mut whole {
            h.update(&buf);
        }
        // The part of each tensor in this window; a tensor that was hurt has been named already.
        while let Some(row) = rows.peek() {
            let t = &row.tensor;
            let (from, to) = (t.start.max(start), t.end().min(end));
            if from < to {
                tensor_hurt |= hurt;
                tensor.update(&buf[(from - start) as usize..(to - start) as usize]);
            }
            if t.end() > end {
                break;
            }
            if let Some(expected) = row.blake3.filter(|e| !tensor_hurt && *tensor.finalize().as_bytes() != *e)
            {
                damaged.push(Damage {
                    frame: None,
                    offset: 0,
                    source_start: t.start,
                    source_bytes: t.len,
                    codec: "blake3",
                    tensor: Some(t.name.clone()),
                    what: format!("expected BLAKE3 {} of the tensor", blake3::Hash::from(expected)),
                });
            }
            tensor = blake3::Hasher::new();
            tensor_hurt = false;
            rows.next();
        }
        progress(Step { done: end, total: Some(index.source_len), stored: archive.stored_len() })?;
    }
    let whole = whole.map(Content::finish);
    for name in whole.as_ref().map(|h| h.differing(index)).unwrap_or_default() {
        damaged.push(Damage {
            frame: None,
            offset: 0,
            source_start: 0,
            source_bytes: index.source_len,
            codec: name,
            tensor: None,
            what: format!("the restored bytes do not have the {name} hash of the source"),
        });
    }
    Ok((damaged, whole))
}

/// Of a file whose base is not at hand: decodes the frames that are no differences from it, and compares the heads of the others with the
/// index. Gives the number of those, or an error at the first frame that is damaged.
pub(super) fn check_without_base<R: ReadAt>(archive: &Archive<R>, workers: &Workers) -> Result<u64> {
    let check = |i: usize| -> Result<u64> {
        workers.check()?;
        let f = archive.frames()[i];
        match f.codec {
            delta::ID => archive.frame(i, &mut Vec::new()).map(|_| 1),
            // What it refers to may be a difference from the base.
            delta::RELATIVE => {
                let mut out = zeroed(f.raw)?;
                match with_scratch(|s| archive.read_frames(f.start, &mut out, true, s)) {
                    Err(Error::Invalid(_)) => Ok(1),
                    done => done.map(|()| 0),
                }
            }
            codec::COPY => archive.copied(i, true).map(|_| 0),
            _ => {
                // The checksum of a run is of what is repeated: a part of it says all.
                let most = if codec::is_run(f.codec) { 1 << 20 } else { u64::MAX };
                let mut out = zeroed(f.raw.min(most))?;
                with_scratch(|s| archive.read_frames(f.start, &mut out, true, s)).map(|()| 0)
            }
        }
    };
    let all: Vec<usize> = (0..archive.frames().len()).collect();
    let mut unchecked = 0;
    for some in all.chunks(BATCH_BLOCKS) {
        for count in workers.map(some.to_vec(), check) {
            unchecked += count?;
        }
    }
    Ok(unchecked)
}

/// Names the frames of a window that do not decode.
fn find_damage<R: ReadAt>(
    archive: &Archive<R>,
    start: u64,
    end: u64,
    workers: &Workers,
    damaged: &mut Vec<Damage>,
) -> Result<()> {
    for i in archive.covering(start, end) {
        let f = archive.frames()[i];
        if damaged.last().is_some_and(|d| d.frame == Some(i)) {
            // A run that spans windows has been named.
            continue;
        }
        let mut out = vec![0; (f.end().min(end) - f.start.max(start)) as usize];
        match archive.read_range(f.start.max(start), &mut out, workers, true) {
            Ok(()) => {}
            Err(e @ (Error::Corrupt { .. } | Error::Unsupported(_))) => damaged.push(Damage {
                frame: Some(i),
                offset: f.offset,
                source_start: f.start,
                source_bytes: f.raw,
                codec: codec::name_of(f.codec),
                tensor: archive.tensor_of(&f).map(str::to_owned),
                what: match e {
                    Error::Corrupt { what, .. } => what,
                    e => e.to_string(),
                },
            }),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

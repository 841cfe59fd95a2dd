//! What the plan sees, and why it chooses as it does.

use super::Workers;
use crate::base::Base;
use crate::block::{self, Given, Settings};
use crate::codec::{self, Counterpart, Level, Scratch};
use crate::container::reader::{Archive, Frame};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::io::ReadAt;
use crate::plan;
use crate::source::{self, Input, Layout};
use mmh_kernels::histogram;
use std::collections::HashMap;

/// One segment, explained by its first block. What the plan saw and what was bid is seen anew, at the level asked for.
#[derive(Clone, Debug)]
pub struct Why {
    /// The tensor's name; `None` for opaque bytes.
    pub name: Option<String>,
    /// The tensor's dtype.
    pub dtype: Option<&'static str>,
    /// Source offset.
    pub start: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bytes of its frames, in an archive.
    pub stored: Option<u64>,
    /// Codec of its first block: that of its frame, in an archive; else what the plan picks.
    pub chosen: &'static str,
    /// How many of its frames are of which codec, in an archive, in the order in which the codecs come first.
    pub frames: Vec<(&'static str, u64)>,
    /// Bits of entropy of a byte of its first block.
    pub byte_entropy: f64,
    /// Share of zero bytes.
    pub zero_bytes: f64,
    /// Bits of the elements, as declared or sniffed, with the bytes before the first one.
    pub element: Option<(u32, u8)>,
    /// Estimated bits of a symbol and of an element.
    pub bits: Option<(f64, f64)>,
    /// Bits of the symbol.
    pub symbol_bits: Option<u8>,
    /// Low bits that are zero in every element looked at.
    pub zero_bits: Option<u32>,
    /// Period of the block, if it has one.
    pub period: Option<usize>,
    /// Each codec's bid: name, estimate, reason.
    pub bids: Vec<(&'static str, Option<f64>, String)>,
}

/// Explains a source that is not compressed yet.
pub fn explain_source(
    source: &dyn ReadAt,
    base: Option<&Base>,
    level: Level,
    workers: &Workers,
) -> Result<Vec<Why>> {
    let layout = source::find(Input { bytes: source, complete: true });
    let segments = block::segments(&layout, Some(source.len()));
    let against = Against::new(base, &layout, &segments);
    let mut scratch = Scratch::default();
    let mut buf = Vec::new();
    let mut all = Vec::with_capacity(segments.len());
    let counting = workers.counting(looked_at(&segments, level));
    for (i, s) in segments.iter().enumerate() {
        workers.check()?;
        buf.resize(first_block(s, level) as usize, 0);
        source.read_exact_at(s.start, &mut buf)?;
        let name = s.tensor.and_then(|i| layout.tensors.get(i)).map(|t| t.name.clone());
        let base = against.read(i, buf.len())?;
        let why = workers.attended(&mut scratch, |scratch| -> Result<Why> {
            let mut why = explain(&buf, &base, s, name, level, scratch);
            why.chosen = chosen(&buf, &base, s, level, scratch)?;
            Ok(why)
        });
        all.push(why?);
        counting.advance(first_block(s, level));
    }
    Ok(all)
}

/// Explains an archive, from its restored bytes.
pub fn explain_archive<R: ReadAt>(archive: &Archive<R>, level: Level, workers: &Workers) -> Result<Vec<Why>> {
    let index = archive.index();
    let layout = Layout::of(index.format, index.tensors.iter().map(|t| t.tensor.clone()).collect());
    let segments = block::segments(&layout, Some(index.source_len));
    let against = Against::new(archive.base().map(|b| &**b), &layout, &segments);
    let mut scratch = Scratch::default();
    let mut buf = Vec::new();
    let mut all = Vec::with_capacity(segments.len());
    let counting = workers.counting(looked_at(&segments, level));
    for (i, s) in segments.iter().enumerate() {
        workers.check()?;
        buf.resize(first_block(s, level) as usize, 0);
        archive.read_range(s.start, &mut buf, workers, true)?;
        let name = s.tensor.and_then(|i| layout.tensors.get(i)).map(|t| t.name.clone());
        let base = against.read(i, buf.len())?;
        let mut why = workers.attended(&mut scratch, |scratch| -> Result<Why> {
            Ok(explain(&buf, &base, s, name, level, scratch))
        })?;
        counting.advance(first_block(s, level));
        let frames = &archive.frames()[archive.covering(s.start, s.start + s.len)];
        why.stored = Some(frames.iter().map(|f| f.stored + crate::container::frame::HEAD as u64).sum());
        why.frames = by_codec(frames);
        // Not what the plan would pick: whoever made the file may have asked for another level or codec, and found equal blocks, or blocks
        // that go on from the first one.
        why.chosen = why.frames.first().map_or(why.chosen, |f| f.0);
        all.push(why);
    }
    Ok(all)
}

/// How many frames are of which codec.
fn by_codec(frames: &[Frame]) -> Vec<(&'static str, u64)> {
    let mut all: Vec<(&'static str, u64)> = Vec::new();
    for name in frames.iter().map(|f| codec::name_of(f.codec)) {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => all.push((name, 1)),
        }
    }
    all
}

/// Bytes of the first block of a segment.
fn first_block(segment: &block::Segment, level: Level) -> u64 {
    segment.len.min(segment.block_size(level) as u64)
}

fn looked_at(segments: &[block::Segment], level: Level) -> u64 {
    segments.iter().map(|s| first_block(s, level)).sum()
}

/// A base, and where the counterparts of segments begin there.
struct Against<'a> {
    base: Option<&'a Base>,
    counterparts: HashMap<usize, u64>,
}

impl<'a> Against<'a> {
    fn new(base: Option<&'a Base>, layout: &Layout, segments: &[block::Segment]) -> Against<'a> {
        let counterparts = base.map(|b| b.counterparts(layout, segments)).unwrap_or_default();
        Against { base, counterparts }
    }

    /// The counterpart of the first `len` bytes of a segment.
    fn read(&self, segment: usize, len: usize) -> Result<Option<(u64, Vec<u8>)>> {
        let Some((base, &offset)) = self.base.zip(self.counterparts.get(&segment)) else { return Ok(None) };
        if offset.checked_add(len as u64).is_none_or(|end| end > base.len()) {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        base.read_exact_at(offset, &mut bytes)?;
        Ok(Some((offset, bytes)))
    }
}

fn given<'a>(block: &'a [u8], base: &'a Option<(u64, Vec<u8>)>, s: &block::Segment) -> Given<'a> {
    let base = base.as_ref().map(|(offset, bytes)| Counterpart { offset: *offset, bytes });
    Given { data: block, declared: s.dtype, base, whole: block.len() as u64 == s.len }
}

/// The codec that a block comes to, since the choice falls back to others where it disappoints.
fn chosen(
    block: &[u8],
    base: &Option<(u64, Vec<u8>)>,
    s: &block::Segment,
    level: Level,
    scratch: &mut Scratch,
) -> Result<&'static str> {
    let settings = Settings { level, codec: None, verify: false };
    let encoded = block::encode(&given(block, base, s), &settings, scratch, Vec::new())?;
    Ok(codec::name_of(encoded.codec))
}

fn explain(
    block: &[u8],
    base: &Option<(u64, Vec<u8>)>,
    s: &block::Segment,
    name: Option<String>,
    level: Level,
    scratch: &mut Scratch,
) -> Why {
    let given = given(block, base, s);
    let choice = plan::choose_given(&given, level, scratch);
    let element = choice.element.or_else(|| plan::element_of(&given, level, scratch));
    let mut counts = [0u32; 256];
    histogram::bytes(block, &mut counts);
    let n = block.len() as f64;
    let byte_entropy =
        counts.iter().filter(|c| **c > 0).map(|c| *c as f64 / n * (n / *c as f64).log2()).sum();
    let split = choice.split.as_ref();
    Why {
        name,
        dtype: s.dtype.map(Dtype::name),
        start: s.start,
        bytes: s.len,
        stored: None,
        chosen: choice.codec.name(),
        frames: Vec::new(),
        byte_entropy,
        zero_bytes: counts[0] as f64 / n,
        element: element.map(|e| (8 << e.width, e.head)),
        bits: split.map(|f| (f.symbol_millibits as f64 / 1000.0, f.element_millibits as f64 / 1000.0)),
        symbol_bits: split.map(|f| f.spec.t),
        zero_bits: split.map(|f| f.zero_bits),
        period: codec::pattern251::find(block),
        bids: choice.bids.into_iter().map(|(c, b)| (c.name(), b.estimate, b.reason.to_string())).collect(),
    }
}

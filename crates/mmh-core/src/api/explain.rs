//! What the plan sees, and why it chooses as it does.

use super::Workers;
use super::estimate::likely_copies;
use crate::base::Base;
use crate::block::{self, Given, Settings};
use crate::codec::{self, Codec, Counterpart, Held, Level, Scratch, delta};
use crate::container::reader::{Archive, Frame};
use crate::counterparts::Counterparts;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::io::ReadAt;
use crate::plan::{self, Bid};
use crate::source::{self, Input, Layout};
use mmh_kernels::histogram;

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
    let copies = likely_copies(source, &segments, workers)?;
    let is_copy = |i: usize| copies.binary_search(&i).is_ok();
    let against = Counterparts::of(base, source, &layout, &segments, is_copy, workers)?;
    each_first(source, (&layout, &segments), &against, level, workers, |first, why, scratch| {
        why.chosen = chosen(first, scratch)?;
        Ok(())
    })
}

/// Explains an archive, from its restored bytes.
pub fn explain_archive<R: ReadAt>(archive: &Archive<R>, level: Level, workers: &Workers) -> Result<Vec<Why>> {
    let index = archive.index();
    let layout = Layout::of(index.format, index.tensors.iter().map(|t| t.tensor.clone()).collect());
    let segments = block::segments(&layout, Some(index.source_len));
    let source = Content(archive, workers);
    let against = Counterparts::stored(archive, &source, &layout, &segments)?;
    each_first(&source, (&layout, &segments), &against, level, workers, |first, why, _| {
        let (start, end) = (first.segment.start, first.segment.start + first.segment.len);
        let frames = &archive.frames()[archive.covering(start, end)];
        why.stored = Some(frames.iter().map(|f| f.stored + crate::container::frame::HEAD as u64).sum());
        why.frames = by_codec(frames);
        // Not what the plan would pick: whoever made the file may have asked for another level or codec, and found equal blocks, or blocks
        // that go on from the first one.
        why.chosen = why.frames.first().map_or(why.chosen, |f| f.0);
        Ok(())
    })
}

/// Explains the first block of each segment; `finish` adds to it.
fn each_first(
    source: &dyn ReadAt,
    (layout, segments): (&Layout, &[block::Segment]),
    against: &Counterparts<'_>,
    level: Level,
    workers: &Workers,
    finish: impl Fn(&First<'_>, &mut Why, &mut Scratch) -> Result<()>,
) -> Result<Vec<Why>> {
    let roots = against.roots();
    let (mut held, mut scratch, mut buf) = (Held::default(), Scratch::default(), Vec::new());
    let mut all = Vec::with_capacity(segments.len());
    let first_block = |i: usize, s: &block::Segment| s.len.min(against.block_size((i, s), level) as u64);
    let looked_at = segments.iter().enumerate().map(|(i, s)| first_block(i, s)).sum();
    let counting = workers.counting(looked_at);
    let name_of = |s: &block::Segment| layout.tensors.get(s.tensor?).map(|t| t.name.as_str());
    for (i, s) in segments.iter().enumerate() {
        workers.check()?;
        buf.resize(first_block(i, s) as usize, 0);
        source.read_exact_at(s.start, &mut buf)?;
        let base = against.read((i, 0), buf.len(), level, &mut held)?;
        let root = against.root(i).and_then(name_of);
        let first = First { data: &buf, base, root, is_root: roots.contains(&s.start), segment: s, level };
        let why = workers.attended(&mut scratch, |scratch| -> Result<Why> {
            let mut why = explain(&first, name_of(s).map(str::to_owned), scratch);
            finish(&first, &mut why, scratch)?;
            Ok(why)
        });
        all.push(why?);
        counting.advance(first_block(i, s));
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

/// What an archive restores, read as the source was.
struct Content<'a, R: ReadAt>(&'a Archive<R>, &'a Workers);

impl<R: ReadAt> ReadAt for Content<'_, R> {
    fn len(&self) -> u64 {
        self.0.index().source_len
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.0.read_range(offset, buf, self.1, true).map_err(std::io::Error::other)
    }
}

/// The first block of a segment.
struct First<'a> {
    data: &'a [u8],
    base: Option<Counterpart<'a>>,
    /// The tensor that the counterpart is of.
    root: Option<&'a str>,
    /// Whether it is what others are stored against.
    is_root: bool,
    segment: &'a block::Segment,
    level: Level,
}

impl First<'_> {
    /// Why a codec bids what it does; of one that refers to another tensor, which one that is.
    fn reason(&self, codec: &dyn Codec, bid: &Bid) -> String {
        match self.root {
            Some(root) if codec.id() == delta::RELATIVE && bid.estimate.is_some() => {
                format!("{}; beside {root}", bid.reason)
            }
            None if codec.id() == delta::RELATIVE && self.is_root => "others are stored against it".into(),
            _ => bid.reason.to_string(),
        }
    }

    fn given(&self) -> Given<'_> {
        let &First { data, base, segment: s, .. } = self;
        Given { data, declared: s.dtype, base, whole: data.len() as u64 == s.len }
    }
}

/// The codec that a block comes to, since the choice falls back to others where it disappoints.
fn chosen(first: &First<'_>, scratch: &mut Scratch) -> Result<&'static str> {
    let settings = Settings { level: first.level, codec: None, verify: false };
    let encoded = block::encode(&first.given(), &settings, scratch, Vec::new())?;
    Ok(codec::name_of(encoded.codec))
}

fn explain(first: &First<'_>, name: Option<String>, scratch: &mut Scratch) -> Why {
    let &First { data: block, segment: s, level, .. } = first;
    let given = first.given();
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
        bids: choice.bids.into_iter().map(|(c, b)| (c.name(), b.estimate, first.reason(c, &b))).collect(),
    }
}

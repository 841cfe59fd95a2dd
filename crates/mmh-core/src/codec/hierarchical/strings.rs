//! Strings behind their lengths, as tokenizers are kept: the lengths and the texts apart (`spec/codecs/hierarchical.md`, section 6).

use super::node::{self, Kinds};
use super::{bad, byte, number, within};
use crate::codec::{self, Block, Level, zstd};
use crate::container::varint;
use crate::error::Result;
use memchr::memmem;

/// log2 of the bytes of a length, in the order in which they are tried: GGUF has eight, its predecessors four.
const WIDTHS: [u8; 2] = [3, 2];

/// The longest string that is looked for. Longer ones hide what is around them from no codec.
const LONGEST: u64 = 4096;

/// Bytes of such a length that are not always zero.
const LOW: usize = 2;

/// Strings that a run has at the least: so many lengths lead from one to the next by no chance.
const SHORTEST_RUN: usize = 16;

/// Stands behind each string. Text has no such byte; small integers, which may look like lengths, have many.
const TERMINATOR: u8 = 0;

/// Empty strings in a row that end a run: zeros are lengths of empty strings, too.
const EMPTY: usize = 16;

/// The most runs of a block.
const MAX_RUNS: usize = 4096;

/// Bytes of strings that are tried to see what is saved.
const SAMPLE: usize = 1 << 15;

/// Strings one behind the other.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Of its first length.
    start: usize,
    /// Behind its last string.
    end: usize,
    strings: usize,
}

/// Runs of strings that pay.
#[derive(Clone, Debug)]
pub struct Found {
    /// log2 of the bytes of a length.
    width: u8,
    runs: Vec<Run>,
    /// Size over size.
    pub estimate: f64,
}

impl Found {
    /// In words, for `--why`.
    pub fn describe(&self) -> String {
        let strings: usize = self.runs.iter().map(|r| r.strings).sum();
        format!("{strings} strings behind lengths of {} bytes", 1 << self.width)
    }
}

/// The strings of opaque bytes, if there are any; `bound` is what the block would cost otherwise, a size over size.
pub fn find(block: &Block<'_>, bound: f64, scratch: &mut codec::Scratch) -> Option<Found> {
    let data = block.data;
    if block.declared.is_some() {
        return None;
    }
    let (mut width, mut runs, mut most) = (0, Vec::new(), 0);
    for other in WIDTHS {
        // What is half of the block already leaves no more for another width.
        if most * 2 < data.len() {
            let found = of_width(data, other);
            if covered(&found) > most {
                (width, most, runs) = (other, covered(&found), found);
            }
        }
    }
    // What is saved on some of the strings is saved on all.
    let longest = runs.iter().max_by_key(|r| r.end - r.start)?;
    let few = prefix(data, *longest, width, SAMPLE);
    let bytes = &data[few.start..few.end];
    let mut texts = Vec::new();
    split(bytes, Run { start: 0, end: bytes.len(), ..few }, width, &mut texts);
    let before = zstd::quick_ratio(bytes, &mut scratch.zstd)? * bytes.len() as f64;
    let after = zstd::quick_ratio(&texts, &mut scratch.zstd)? * texts.len() as f64;
    let share = most as f64 / data.len() as f64;
    let estimate = bound * (1.0 - share + share * after / before);
    (estimate < bound).then_some(Found { width, runs, estimate })
}

fn covered(runs: &[Run]) -> usize {
    runs.iter().map(|r| r.end - r.start).sum()
}

/// All runs of a block, from the front.
fn of_width(data: &[u8], width: u8) -> Vec<Run> {
    let mut runs = Vec::new();
    // Of a length up to the longest all bytes but two are zero, which noise has nowhere and text seldom: what lies between is passed over.
    let high = [0; 8];
    let high = memmem::Finder::new(&high[..(1 << width) - LOW]);
    let mut at = 0;
    while runs.len() < MAX_RUNS {
        let next = data.get(at + LOW..).and_then(|rest| high.find(rest));
        let Some(next) = next else { break };
        at += next;
        match run(data, at, width) {
            Some(run) => {
                at = run.end;
                runs.push(run);
            }
            None => at += 1,
        }
    }
    runs
}

/// The length at an offset, and where its string begins.
fn length(data: &[u8], at: usize, width: u8) -> Option<(u64, usize)> {
    let rest = data.get(at..)?;
    let len = match width {
        3 => u64::from_le_bytes(*rest.first_chunk()?),
        _ => u32::from_le_bytes(*rest.first_chunk()?).into(),
    };
    Some((len, at + (1usize << width)))
}

/// The strings from an offset on, which begin and end with one that is not empty.
fn run(data: &[u8], start: usize, width: u8) -> Option<Run> {
    let (mut at, mut strings, mut empty) = (start, 0, 0);
    let mut run = Run { start, end: start, strings: 0 };
    while let Some((len, text)) = length(data, at, width).filter(|(len, _)| *len <= LONGEST) {
        at = text + len as usize;
        if data.get(text..at).is_none_or(|text| text.contains(&TERMINATOR)) {
            break;
        }
        empty = if len == 0 { empty + 1 } else { 0 };
        strings += 1;
        if len > 0 {
            run = Run { end: at, strings, ..run };
        }
        if empty == EMPTY || run.strings == 0 {
            break;
        }
    }
    (run.strings >= SHORTEST_RUN).then_some(run)
}

/// The first strings of a run, of about so many bytes.
fn prefix(data: &[u8], run: Run, width: u8, bytes: usize) -> Run {
    let mut few = Run { end: run.start, strings: 0, ..run };
    while few.end < run.end && few.end - few.start < bytes {
        let Some((len, text)) = length(data, few.end, width) else { break };
        few = Run { end: text + len as usize, strings: few.strings + 1, ..few };
    }
    few
}

/// The strings of a run.
fn each(data: &[u8], run: Run, width: u8) -> impl Iterator<Item = &[u8]> {
    let mut at = run.start;
    (0..run.strings).map_while(move |_| {
        let (len, text) = length(data, at, width)?;
        at = text + len as usize;
        data.get(text..at)
    })
}

/// Appends the strings of a run, a terminator behind each.
fn split(data: &[u8], run: Run, width: u8, texts: &mut Vec<u8>) {
    for text in each(data, run, width) {
        texts.extend_from_slice(text);
        texts.push(TERMINATOR);
    }
}

/// Appends the node.
pub fn encode(
    data: &[u8],
    level: Level,
    found: &Found,
    scratch: &mut codec::Scratch,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let mut texts = scratch.hierarchical.lend(0);
    let mut others = scratch.hierarchical.lend(0);
    out.extend([node::STRINGS, found.width, TERMINATOR]);
    varint::write(found.runs.len() as u64, out);
    let mut at = 0;
    for run in &found.runs {
        varint::write((run.start - at) as u64, out);
        varint::write(run.strings as u64, out);
        others.extend_from_slice(&data[at..run.start]);
        split(data, *run, found.width, &mut texts);
        at = run.end;
    }
    others.extend_from_slice(&data[at..]);
    varint::write(texts.len() as u64, out);
    let done = node::encode_text(&others, level, scratch, out)
        .and_then(|()| node::encode_text(&texts, level, scratch, out));
    [texts, others].into_iter().for_each(|m| scratch.hierarchical.give_back(m));
    done.map(|()| true)
}

/// Restores `out` from the node, whose kind has been read.
pub fn decode(from: &mut &[u8], out: &mut [u8], scratch: &mut codec::Scratch) -> Result<()> {
    let (width, terminator) = (byte(from)?, byte(from)?);
    if width > 3 {
        return Err(bad(format_args!("lengths of 2^{width} bytes")));
    }
    let count = number(from, MAX_RUNS as u64, "runs of strings")?;
    let most = out.len() as u64;
    let mut runs = Vec::new();
    let mut strings = 0usize;
    for _ in 0..count {
        let gap = within(from, 0..=most, "bytes before strings")?;
        let n = number(from, most, "strings")?;
        strings = strings.saturating_add(n);
        runs.push((gap, n));
    }
    let text = number(from, most, "bytes of strings")?;
    // Each string takes its text and its length of the block, and its text and a terminator of the texts.
    let others = strings
        .checked_mul(1 << width)
        .zip(text.checked_sub(strings))
        .and_then(|(lengths, text)| out.len().checked_sub(lengths.checked_add(text)?))
        .ok_or_else(|| bad(format_args!("{strings} strings in {text} bytes")))?;
    let mut memory = (scratch.hierarchical.lend_node(others)?, scratch.hierarchical.lend_node(text)?);
    let mut restore = || {
        node::decode(from, &mut memory.0, Kinds::leaf(), scratch)?;
        node::decode(from, &mut memory.1, Kinds::leaf(), scratch)?;
        join(&runs, 1 << width, terminator, &memory.0, &memory.1, out)
            .ok_or_else(|| bad("strings do not fit their block"))
    };
    let done = restore();
    scratch.hierarchical.give_back(memory.0);
    scratch.hierarchical.give_back(memory.1);
    done
}

/// Puts lengths, texts and other bytes together; `None` if they do not fill `out`, or a length has too few bytes.
fn join(
    runs: &[(usize, usize)],
    size: usize,
    terminator: u8,
    mut others: &[u8],
    mut texts: &[u8],
    mut out: &mut [u8],
) -> Option<()> {
    let put = |bytes: &[u8], out: &mut &mut [u8]| -> Option<()> {
        out.split_off_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(())
    };
    for &(gap, strings) in runs {
        put(others.split_off(..gap)?, &mut out)?;
        for _ in 0..strings {
            let len = texts.iter().position(|b| *b == terminator)?;
            let length = (len as u64).to_le_bytes();
            if length[size..].iter().any(|b| *b != 0) {
                return None;
            }
            put(&length[..size], &mut out)?;
            put(texts.split_off(..len)?, &mut out)?;
            texts.split_off(..1)?;
        }
    }
    put(others, &mut out)?;
    (texts.is_empty() && out.is_empty()).then_some(())
}

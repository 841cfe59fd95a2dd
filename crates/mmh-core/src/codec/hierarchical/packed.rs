//! Values of a few bits, one behind the other without a gap, as weights quantized to 3, 5, 6 or 7 bits are kept (`spec/codecs/hierarchical.md`,
//! section 10). Their bytes look like noise, as each has parts of several values.

use super::node::{self, Kinds};
use super::{bad, byte, take_bits};
use crate::codec::symbols::entropy;
use crate::codec::tensor::Element;
use crate::codec::{self, Block, Level};
use crate::dtype::Kind;
use crate::error::Result;
use mmh_kernels::histogram;
use mmh_kernels::packed::{self, BITS, pack, unpack};

/// Widths that are looked for, the narrow ones first. Values of 2 and 4 bits are as many to each byte: where elements are bytes, these are coded as
/// they are, and where they are not, two values of 2 bits are one of 4.
const SOUGHT: [u8; 5] = [3, 4, 5, 6, 7];

/// Bytes that are multiples of all of these widths, in bits, so that values stand in all pieces of a sample alike.
const STEP: usize = 3 * 5 * 7;

/// Bytes of the pieces of a sample, and how many there are.
const PIECE: usize = 512;
const PIECES: usize = 4;

/// By how much more or less often than elsewhere two neighbouring bits differ at one place of the values, if there are values: where small ones are
/// frequent, the two highest bits. In thousandths.
const TELLING: u64 = 80;

/// Widths that come this close to the most telling one, whole bytes included, are looked at.
const CLOSE: u64 = 50;

/// Bytes of a piece that are asked for differences.
const ASKED: usize = PIECE / 2;

/// Bytes of a payload beside what the values cost.
const OVERHEAD: f64 = 60.0;

/// What a sample promises to save is chance above this.
const WORTH: f64 = 0.985;

/// By how much less than other codecs promise for bytes it has to be, being slower to decode than they are, and how much more wider values may
/// take, of which there are fewer: two of 3 bits are one of 6.
const SLOWER: f64 = 0.002;
const WIDER: f64 = 0.001;

/// What is taken off where elements are wider: their planes are coded with prefix codes, which take as much more than is promised for them.
const PREFIX: f64 = 0.004;

/// Values that pay.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Of a value.
    bits: u8,
    /// Bits before the first one.
    head: u8,
    /// Size over size.
    pub estimate: f64,
}

impl Found {
    /// In words, for `--why`.
    pub fn describe(&self) -> String {
        format!("values of {} bits, bit after bit", self.bits)
    }
}

/// What the values are to the codec that codes them.
const ELEMENT: Element = Element { width: 0, kind: Kind::Unsigned, head: 0 };

/// Values of `bits` bits in so many bytes.
fn count(bytes: usize, bits: u8, head: u8) -> usize {
    (8 * bytes).saturating_sub(head as usize) / bits as usize
}

/// The values that make the block smallest, where it is of integers and they make it smaller than `bound`, a size over size. What comes out of a
/// compressor is not asked.
pub fn find(block: &Block<'_>, bound: f64) -> Option<Found> {
    let data = block.data;
    let of_integers = block.declared.is_some_and(|d| matches!(d.kind(), Kind::Unsigned | Kind::Signed));
    if !of_integers || data.len() < PIECES * (PIECE + STEP) {
        return None;
    }
    let stride = (data.len() - PIECE) / (PIECES - 1) / STEP * STEP;
    let pieces: [&[u8]; PIECES] = std::array::from_fn(|i| &data[i * stride..][..PIECE]);
    let of_bytes = block.element.is_some_and(|e| e.width == 0);
    let telling = SOUGHT.map(|bits| if bits == 4 && of_bytes { 0 } else { differences(bits, &pieces) });
    let most = telling.into_iter().max().filter(|most| *most >= TELLING)?.max(differences(8, &pieces));
    let widths = SOUGHT.into_iter().zip(telling).filter(|(_, telling)| telling + CLOSE >= most);
    let places = widths.flat_map(|(bits, _)| (0..bits).map(move |head| (bits, head)));
    let all = places.map(|(bits, head)| {
        let n = count(data.len(), bits, head) as f64;
        let estimate = (n * cost(&pieces, bits, head) / 8.0 + OVERHEAD) / data.len() as f64;
        Found { bits, head, estimate }
    });
    let best = all.reduce(|best, found| {
        let more = if found.bits > best.bits { WIDER } else { 0.0 };
        if found.estimate < best.estimate + more { found } else { best }
    });
    let best = best.filter(|found| found.estimate < WORTH)?;
    let estimate = if of_bytes { best.estimate } else { best.estimate - PREFIX };
    let bound = if of_bytes { bound - SLOWER } else { bound };
    (estimate < bound).then_some(Found { estimate, ..best })
}

/// By how much more or less often than on average neighbouring bits differ, in thousandths, at that of the places of a value at which it is most.
fn differences(bits: u8, pieces: &[&[u8]]) -> u64 {
    let mut differ = [0; 8];
    pieces.iter().for_each(|piece| packed::differences(bits, &piece[..ASKED], &mut differ));
    let differ = &differ[..bits as usize];
    // Of each word one bit has its neighbour in another one.
    let each = (pieces.len() * ASKED / 8 * 63 / bits as usize).max(1);
    let mean = differ.iter().sum::<u32>() / bits as u32;
    let most = differ.iter().map(|n| n.abs_diff(mean)).max().unwrap_or(0);
    1000 * most as u64 / each as u64
}

/// Bits that a value takes, from a sample.
fn cost(pieces: &[&[u8]], bits: u8, head: u8) -> f64 {
    let mut counts = [0u32; 256];
    let mut values = [0u8; 8 * PIECE / 3];
    let mut seen = 0;
    for piece in pieces {
        let values = &mut values[..count(piece.len(), bits, head)];
        unpack(bits, head, piece, values);
        histogram::bytes(values, &mut counts);
        seen += values.len();
    }
    // A sample looks less random than its source: half a nat for each value.
    let distinct = counts.iter().filter(|c| **c > 0).count() as u64;
    (entropy::bits(counts.into_iter()) + distinct * 72 / 100) as f64 / seen.max(1) as f64
}

/// Appends the node.
pub fn encode(
    data: &[u8],
    level: Level,
    found: &Found,
    scratch: &mut codec::Scratch,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let &Found { bits, head, .. } = found;
    let n = count(data.len(), bits, head);
    if n == 0 {
        return Ok(false);
    }
    out.extend([node::PACKED, bits, head]);
    if head > 0 {
        out.push(data[0] & ((1 << head) - 1));
    }
    let behind = 8 * data.len() - head as usize - n * bits as usize;
    if behind > 0 {
        out.push(data[data.len() - 1] >> (8 - behind));
    }
    let mut values = scratch.hierarchical.lend(n);
    unpack(bits, head, data, &mut values);
    let done = node::encode_leaf(&values, ELEMENT, level, scratch, out);
    scratch.hierarchical.give_back(values);
    done.map(|()| true)
}

/// Restores `out` from the node, whose kind has been read.
pub fn decode(from: &mut &[u8], out: &mut [u8], scratch: &mut codec::Scratch) -> Result<()> {
    let (bits, head) = (byte(from)?, byte(from)?);
    if !BITS.contains(&bits) || head >= bits {
        return Err(bad(format_args!("values of {bits} bits behind {head}")));
    }
    let n = count(out.len(), bits, head);
    if n == 0 {
        return Err(bad("there is no whole value"));
    }
    let first = take_bits(from, head as usize)?;
    let behind = 8 * out.len() - head as usize - n * bits as usize;
    let last = take_bits(from, behind)?;
    let mut values = scratch.hierarchical.lend_node(n)?;
    let done = node::decode(from, &mut values, Kinds::leaf(), scratch);
    if done.is_ok() {
        out[0] = first.first().copied().unwrap_or(0);
        pack(bits, head, &values, out);
        if let (Some(to), Some(bits)) = (out.last_mut(), last.first()) {
            *to |= bits << (8 - behind);
        }
    }
    scratch.hierarchical.give_back(values);
    done
}

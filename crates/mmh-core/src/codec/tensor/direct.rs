//! Blocks whose symbols are in lanes and whose rests are stored as they are, which is to say most blocks of weights: from the elements to the
//! payload group by group, with nothing in between but what fits a cache. The payload is the one that `encode` would make.

use super::analyze::Found;
use super::encode::{begin, set_size, write_exceptions};
use super::lanes;
use super::params::{Cut, Mode, Params};
use super::planes::{Sample, Zeros};
use super::{Element, GROUP, Scratch, lend};
use crate::codec::Level;
use crate::codec::symbols::{codeless, count};
use mmh_kernels::fields::{self, FieldSpec};
use mmh_kernels::huffman::MANY;
use std::ops::Range;

/// The slowest level that does not look at all symbols before it chooses a code.
const SLOWEST: u8 = 6;

/// Of so many elements one may have no symbol, or symbols of 8 bits are taken, which have no exceptions: the sample that chose the split was
/// not like the rest then.
pub const MISSES: usize = 64;

/// Appends the payload, and tells whether it is smaller than the block; `None` if the block is none of these, with `out` as it was.
pub fn encode(
    data: &[u8],
    element: Element,
    level: Level,
    found: &Found,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Option<bool> {
    let n = element.count(data.len());
    if level.get() > SLOWEST || n < MANY {
        return None;
    }
    let head = element.head as usize;
    let body = &data[head..head + n * element.size()];
    let spec = found.spec;
    let one_of = lanes::one_of(n, &spec, level);
    scratch.misses.clear();
    let misses = &mut scratch.misses;
    let counts =
        count(n, lanes::together(&spec, level), one_of, &mut |of, to| symbols(&spec, body, of, to, misses));
    if scratch.misses.len() * one_of > n / MISSES {
        return None;
    }
    let mode = lanes::choose(&counts, n, &spec, level)?;

    // At the fastest levels the sample is believed.
    let zeros = if level.get() <= 3 && !found.any_zeros {
        Zeros::none()
    } else {
        Zeros::find(&spec, body, &mut scratch.ors)
    };
    if zeros.low > 0 {
        return None;
    }
    let params = Params {
        spec: FieldSpec { drop: zeros.drop, ..spec },
        head: element.head,
        low: 0,
        segment: 0,
        signed_symbols: false,
    };
    let mut sample = Sample::of(&spec, body, level, &mut scratch.rest, &mut scratch.bytes);
    let mut planes: Vec<(Cut, Mode)> = Vec::new();
    for (bits, shift) in params.high_planes() {
        let cut = (bits, shift + zeros.drop);
        let zero = zeros.is_zero(cut);
        if !zero && bits == 8 && sample.may_pay(cut.1) {
            return None;
        }
        planes.push((cut, if zero { Mode::Constant(0) } else { Mode::Packed }));
    }

    let start = out.len();
    let sizes = begin(&params, data, n, &mode, planes.iter(), &[], out);
    scratch.misses.clear();
    let one_code = if let Mode::Lanes(codes) = &mode { codes.only() } else { None };
    let straight = lanes::is_straight(&params) && planes.iter().all(|p| p.1 == Mode::Packed);
    if let Some(code) = one_code.filter(|_| straight) {
        lanes::encode_bf16(code, body, sizes, scratch, out);
    } else {
        let Scratch { misses, streams, codeless, .. } = scratch;
        let mut fill = |of: Range<usize>, to: &mut [u8]| symbols(&spec, body, of, to, misses);
        match &mode {
            Mode::Lanes(codes) => streams.encode(codes, n, &mut fill, codeless),
            Mode::Exact(codes) => streams.encode(codes, n, &mut fill, codeless),
            _ => return None,
        }
        if scratch.misses.len() > n / MISSES {
            out.truncate(start);
            return None;
        }
        let packed: Vec<Cut> = planes.iter().filter(|p| p.1 == Mode::Packed).map(|p| p.0).collect();
        for (g, elements) in body.chunks(GROUP * spec.size()).enumerate() {
            let group_start = out.len();
            let stream = scratch.streams.get(g);
            out.extend((stream.len() as u16).to_le_bytes());
            fields::append_planes(&spec, elements, &packed, out);
            out.extend_from_slice(stream);
            set_size(sizes, g, out.len() - group_start, out);
        }
    }
    if spec.t > 8 {
        // Groups are not encoded in order.
        scratch.misses.sort();
        write_exceptions(&params.spec, body, &scratch.misses, out);
    }
    let listed = listed(&spec, body, &scratch.codeless, &mut scratch.bytes);
    codeless::write(&scratch.codeless, &listed, out);
    Some(out.len() - start < data.len())
}

/// Writes the symbols of a range of elements; appends the positions of those that have none.
fn symbols(spec: &FieldSpec, body: &[u8], of: Range<usize>, to: &mut [u8], misses: &mut Vec<u32>) {
    let (size, known) = (spec.size(), misses.len());
    fields::symbols(spec, &body[of.start * size..of.end * size], to, misses);
    misses[known..].iter_mut().for_each(|at| *at += of.start as u32);
}

/// The symbols of the elements at these positions.
fn listed(spec: &FieldSpec, body: &[u8], positions: &[u32], elements: &mut Vec<u8>) -> Vec<u8> {
    let size = spec.size();
    let elements = lend(elements, positions.len() * size);
    for (to, at) in elements.chunks_exact_mut(size).zip(positions) {
        to.copy_from_slice(&body[*at as usize * size..][..size]);
    }
    let mut listed = vec![0; positions.len()];
    fields::symbols(spec, elements, &mut listed, &mut Vec::new());
    listed
}

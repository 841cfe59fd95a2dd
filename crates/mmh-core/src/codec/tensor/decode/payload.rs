//! What stands in a payload, read and compared with what there is to restore; its tables are built.

use crate::codec::cursor::Cursor;
use crate::codec::symbols::codeless;
use crate::codec::tensor::params::{Cut, Mode, Params, bad};
use crate::codec::tensor::{GROUP, Scratch, lanes};
use crate::error::Result;
use mmh_kernels::fields::FieldSpec;
use mmh_kernels::huffman::{CodeLengths, DecodeTable};
use mmh_kernels::planes::{self, Plane};
use mmh_kernels::{modelled, predicted};

/// A plane of the rest, and its decoding table if it is coded.
pub(super) struct Described {
    pub(super) cut: Cut,
    pub(super) mode: Mode,
    pub(super) table: Option<usize>,
}

/// The parts of a payload.
pub(super) struct Payload<'a> {
    pub(super) params: Params,
    /// Elements.
    pub(super) n: usize,
    /// Bytes before the first element, and behind the last one.
    pub(super) head: &'a [u8],
    pub(super) tail: &'a [u8],
    pub(super) symbols: Mode,
    /// That of the symbols, if they are coded.
    pub(super) table: Option<usize>,
    pub(super) high: Vec<Described>,
    pub(super) low: Vec<Described>,
    /// Which segments have low planes.
    pub(super) presence: &'a [u8],
    /// Planes of each group, without the streams of lanes.
    pub(super) groups: Vec<&'a [u8]>,
    pub(super) streams: Vec<&'a [u8]>,
    /// Elements whose symbol does not tell the field, and the fields.
    pub(super) exceptions: Vec<(usize, u16)>,
    /// Symbols that have no code.
    pub(super) codeless: Vec<(u32, u8)>,
}

impl<'a> Payload<'a> {
    /// Reads all of a payload that restores `len` bytes. Tables go to `scratch`.
    pub(super) fn read(payload: &'a [u8], len: usize, scratch: &mut Scratch) -> Result<Payload<'a>> {
        let mut from = Cursor(payload);
        let mut params = Params::read(&mut from)?;
        let size = params.spec.size();
        let head = params.head as usize;
        if head > len || len - head < size {
            return Err(bad(format_args!("no whole element in {len} bytes after {head}")));
        }
        let n = (len - head) / size;
        let head = from.take(head)?;
        let tail = from.take((len - head.len()) % size)?;

        let mut tables = 0;
        let symbols = Mode::read_symbols(&mut from, &params, n.div_ceil(GROUP))?;
        let table = match &symbols {
            Mode::Coded(code) => Some(build(&mut scratch.tables, &mut tables, code, n)),
            _ => None,
        };
        if let Mode::Modelled(model) = &symbols {
            model.build(&mut scratch.models.modelled)?;
        }
        if let Mode::Predicted(predictor) = &symbols {
            predictor.build(&mut scratch.models.predictor)?;
            params.signed_symbols = true;
        }
        let mut describe = |cut: Cut, from: &mut Cursor<'_>| -> Result<Described> {
            let mode = Mode::read(from, cut.0)?;
            let table = match &mode {
                Mode::Coded(code) => Some(build(&mut scratch.tables, &mut tables, code, n)),
                _ => None,
            };
            Ok(Described { cut, mode, table })
        };
        let high = params.high_planes().map(|cut| describe(cut, &mut from)).collect::<Result<Vec<_>>>()?;
        let low = params.low_planes().map(|cut| describe(cut, &mut from)).collect::<Result<Vec<_>>>()?;
        let presence = read_presence(&params, n, &mut from)?;
        let sizes = from.take(4 * n.div_ceil(GROUP))?;
        let sizes = sizes.as_chunks::<4>().0.iter().map(|size| u32::from_le_bytes(*size) as usize);
        let mut groups = sizes.map(|size| from.take(size)).collect::<Result<Vec<_>>>()?;
        let exceptions = if params.spec.t > 8 { read_exceptions(&params, n, &mut from)? } else { Vec::new() };
        let codeless = match &symbols {
            Mode::Lanes(codes) => codeless::read(codes, n, &mut from)?,
            Mode::Exact(codes) => codeless::read(codes, n, &mut from)?,
            _ => Vec::new(),
        };
        if !from.0.is_empty() {
            return Err(bad(format_args!("{} bytes left over after the groups", from.0.len())));
        }
        let streams = match &symbols {
            Mode::Lanes(_) | Mode::Exact(_) => lanes::split_off_streams(&mut groups)?,
            Mode::Modelled(_) => {
                split_off(&mut groups, |g, group| modelled::stream_size(group, (n - g * GROUP).min(GROUP)))?
            }
            Mode::Predicted(_) => split_off(&mut groups, |_, group| predicted::stream_size(group))?,
            _ => Vec::new(),
        };
        Ok(Payload {
            params,
            n,
            head,
            tail,
            symbols,
            table,
            high,
            low,
            presence,
            groups,
            streams,
            exceptions,
            codeless,
        })
    }

    /// Whether elements are bf16 of which symbols in lanes and one packed plane are all there is.
    pub(super) fn is_straight(&self) -> bool {
        lanes::is_straight(&self.params) && matches!(self.high.as_slice(), [one] if one.mode == Mode::Packed)
    }

    /// The planes of each group, if they are packed ones of 4, 2 and 1 bits of elements of 16 bits, and nothing else.
    pub(super) fn nibbles(&self) -> Result<Option<Vec<[Plane<'a>; 3]>>> {
        let packed_all = self.high.len() == 3 && self.high.iter().all(|p| p.mode == Mode::Packed);
        if !is_nibbles(&self.params.spec) || self.params.low > 0 || !packed_all {
            return Ok(None);
        }
        let mut all = Vec::with_capacity(self.groups.len());
        for (g, group) in self.groups.iter().enumerate() {
            let m = (self.n - g * GROUP).min(GROUP);
            let mut from = Cursor(group);
            let mut plane = |i: usize| packed(&mut from, m, self.high[i].cut);
            all.push([plane(0)?, plane(1)?, plane(2)?]);
            all_read(g, &from)?;
        }
        Ok(Some(all))
    }
}

/// Takes the streams of symbols off the fronts of the groups.
fn split_off<'a>(
    groups: &mut [&'a [u8]],
    size: impl Fn(usize, &[u8]) -> Option<usize>,
) -> Result<Vec<&'a [u8]>> {
    let split = |(g, group): (usize, &mut &'a [u8])| {
        let size = size(g, group);
        size.and_then(|size| group.split_off(..size)).ok_or_else(|| bad("a stream of symbols is cut off"))
    };
    groups.iter_mut().enumerate().map(split).collect()
}

/// Whether the rest of an element of 16 bits is 4, 2 and 1 bits.
pub(super) fn is_nibbles(spec: &FieldSpec) -> bool {
    spec.width == 1 && spec.rest_bits() == 7 && spec.drop == 0
}

/// Refuses a group of which bytes are left over.
pub(super) fn all_read(g: usize, group: &Cursor<'_>) -> Result<()> {
    match group.0.len() {
        0 => Ok(()),
        left => Err(bad(format_args!("{left} bytes left over in group {g}"))),
    }
}

/// A packed plane of `m` elements.
pub(super) fn packed<'a>(group: &mut Cursor<'a>, m: usize, (bits, shift): Cut) -> Result<Plane<'a>> {
    let plane = Plane { data: group.take(planes::packed_size(m, bits))?, bits, shift };
    if !planes::padding_is_zero(&plane, m) {
        return Err(bad("unused bits of a packed plane are set"));
    }
    Ok(plane)
}

/// Builds another table, for so many symbols; gives its position.
fn build(all: &mut Vec<DecodeTable>, used: &mut usize, code: &CodeLengths, symbols: usize) -> usize {
    if all.len() == *used {
        all.push(DecodeTable::new());
    }
    all[*used].build(code, symbols);
    *used += 1;
    *used - 1
}

fn read_presence<'a>(params: &Params, n: usize, from: &mut Cursor<'a>) -> Result<&'a [u8]> {
    if params.low == 0 {
        return Ok(&[]);
    }
    let segments = n.div_ceil(1 << params.segment);
    let map = from.take(segments.div_ceil(8))?;
    let unused = if segments.is_multiple_of(8) { 0 } else { map[segments / 8] >> (segments % 8) };
    if unused != 0 {
        return Err(bad("unused bits of the presence map are set"));
    }
    Ok(map)
}

fn read_exceptions(params: &Params, n: usize, from: &mut Cursor<'_>) -> Result<Vec<(usize, u16)>> {
    let (base, t) = (params.spec.base as u32, params.spec.t);
    let count = from.varint()?;
    // Each takes at least three bytes.
    if count > (from.0.len() / 3) as u64 {
        return Err(bad(format_args!("{count} exceptions in {} bytes", from.0.len())));
    }
    let mut next = 0u64;
    (0..count)
        .map(|_| {
            let at = from.varint()?.checked_add(next).filter(|at| *at < n as u64);
            let at = at.ok_or_else(|| bad("an exception lies outside of the block"))?;
            next = at + 1;
            let field = from.u16()?;
            let has_symbol = field == 0 || (base < field as u32 && field as u32 <= base + 255);
            if has_symbol || field as u32 >= 1 << t {
                return Err(bad(format_args!("field {field} cannot be an exception")));
            }
            Ok((at as usize, field))
        })
        .collect()
}

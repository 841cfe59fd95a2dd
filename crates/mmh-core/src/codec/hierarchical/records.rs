//! Records: fixed fields of a few bits, one record after the other (`spec/codecs/hierarchical.md`, section 3).

use super::node::{self, Kinds};
use super::{bad, byte, number, short, take};
use crate::codec::symbols::{self, entropy};
use crate::codec::tensor::{Element, Later};
use crate::codec::{self, Level};
use crate::container::varint;
use crate::dtype::Kind;
use crate::error::Result;
use mmh_kernels::histogram;
use mmh_kernels::records::{self, Part};

/// The largest record, in bytes.
const MAX_SIZE: usize = 4096;

/// The most fields of a record, and parts of a field.
const MAX_FIELDS: u64 = 64;
const MAX_PARTS: u8 = 8;

/// Bytes of records that are put together at a time.
const NEAR: usize = 16 << 10;

/// A field of a record: so many values, and where their bits are, the lowest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Values in each record.
    pub count: u16,
    /// Where their bits stand.
    pub parts: Vec<Part>,
    /// The values are the bytes of numbers of IEEE 754 binary16. Not written: the one who encodes them has to know.
    pub halves: bool,
}

impl Field {
    fn bits(&self) -> u8 {
        self.parts.iter().fold(0, |n, p| n.saturating_add(p.bits))
    }

    /// Takes the values out of records.
    fn split(&self, data: &[u8], size: usize, values: &mut [u8]) {
        values.fill(0);
        let mut to = 0;
        for part in &self.parts {
            records::split(data, size, *part, to, self.count as usize, values);
            to += part.bits;
        }
    }

    /// What the values are to the codec that codes them.
    fn element(&self) -> Element {
        match self.halves {
            true => Element { width: 1, kind: Kind::Float { exponent: 5 }, head: 0 },
            false => Element { width: 0, kind: Kind::Unsigned, head: 0 },
        }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Bytes.
    pub size: u16,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// Records that a bid looks at, of small ones and of so many bytes of large ones, in pieces of so many.
const SAMPLE: usize = 512;
const SAMPLE_BYTES: usize = 1 << 15;
const PIECE: usize = 16;

impl Record {
    /// Whether the fields take each bit of the record once, and none that it does not have.
    pub fn is_sound(&self) -> bool {
        let mut taken = vec![0u8; self.size as usize];
        let fits = self.fields.iter().all(|field| {
            (2..=8).contains(&field.bits())
                && field.parts.iter().all(|part| {
                    part.fits(self.size as usize, field.count as usize)
                        && taken[part.offset as usize..][..field.count as usize / part.repeats as usize]
                            .iter_mut()
                            .all(|byte| {
                                let free = *byte & part.mask() == 0;
                                *byte |= part.mask();
                                free
                            })
                })
        });
        fits && taken.iter().all(|byte| *byte == 0xff)
    }

    /// Estimated size over size, from a sample of the records; `None` if there are too few.
    pub fn estimate(&self, data: &[u8]) -> Option<f64> {
        let size = self.size as usize;
        let all = data.len() / size;
        if all < 4 * PIECE {
            return None;
        }
        let stride = (all * PIECE / SAMPLE.min(SAMPLE_BYTES / size).max(PIECE)).max(PIECE);
        // All are gathered first: counting has a price of its own, whatever is counted.
        let records = symbols::gather(data, size, symbols::pieces(all, stride, PIECE));
        let seen = records.len() / size;
        let mut bits = 0;
        let mut add = |counts: &[u32; 256]| {
            let n: u64 = counts.iter().map(|c| *c as u64).sum();
            // A sample looks less random than its source: half a nat for each value.
            let values = counts.iter().filter(|c| **c > 0).count() as u64;
            bits += (entropy::bits(counts.iter().copied()) + values * 72 / 100).min(n * 8);
        };
        let mut values = Vec::new();
        for field in &self.fields {
            values.resize(seen * field.count as usize, 0);
            field.split(&records, size, &mut values);
            let parts = 1 + field.halves as usize;
            let mut counts = [[0u32; 256]; 2];
            if field.halves {
                values.as_chunks::<2>().0.iter().for_each(|half| {
                    counts.iter_mut().zip(half).for_each(|(counts, v)| counts[*v as usize] += 1);
                });
            } else {
                histogram::bytes(&values, &mut counts[0]);
            }
            counts[..parts].iter().for_each(&mut add);
        }
        let tables: usize = self.fields.len() * 64;
        Some((bits as f64 / 8.0 / seen as f64 * all as f64 + tables as f64) / data.len() as f64)
    }

    /// Appends the node for `data`; `false` if there is no whole record in it.
    pub fn encode(
        &self,
        data: &[u8],
        level: Level,
        scratch: &mut codec::Scratch,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let size = self.size as usize;
        let all = data.len() / size;
        if all == 0 {
            return Ok(false);
        }
        let (records, tail) = data.split_at(all * size);
        self.write(out);
        out.extend_from_slice(tail);
        for field in &self.fields {
            let mut values = scratch.hierarchical.lend(all * field.count as usize);
            field.split(records, size, &mut values);
            let done = node::encode_leaf(&values, field.element(), level, scratch, out);
            scratch.hierarchical.give_back(values);
            done?;
        }
        Ok(true)
    }

    fn write(&self, out: &mut Vec<u8>) {
        varint::write(self.size as u64, out);
        varint::write(self.fields.len() as u64, out);
        for field in &self.fields {
            out.extend(field.count.to_le_bytes());
            out.push(field.parts.len() as u8);
            for part in &field.parts {
                out.extend(part.offset.to_le_bytes());
                out.extend(part.span.to_le_bytes());
                out.extend([part.bits, part.shift, part.repeats]);
            }
        }
    }

    fn read(from: &mut &[u8]) -> Result<Record> {
        let size = number(from, MAX_SIZE as u64, "bytes of a record")? as u16;
        let fields = number(from, MAX_FIELDS, "fields of a record")?;
        let mut record = Record { size, fields: Vec::new() };
        for _ in 0..fields {
            let count = short(from)?;
            let parts = byte(from)?;
            if !(1..=MAX_PARTS).contains(&parts) {
                return Err(bad(format_args!("a field of {parts} parts")));
            }
            let part = |from: &mut &[u8]| -> Result<Part> {
                let (offset, span) = (short(from)?, short(from)?);
                Ok(Part { offset, span, bits: byte(from)?, shift: byte(from)?, repeats: byte(from)? })
            };
            let parts = (0..parts).map(|_| part(from)).collect::<Result<_>>()?;
            record.fields.push(Field { count, parts, halves: false });
        }
        if !record.is_sound() {
            return Err(bad("the fields of a record do not take each of its bits once"));
        }
        Ok(record)
    }
}

/// Restores `out` from the node, whose kind has been read.
pub fn decode(from: &mut &[u8], out: &mut [u8], scratch: &mut codec::Scratch) -> Result<()> {
    let record = Record::read(from)?;
    let size = record.size as usize;
    let all = out.len() / size;
    let (records, tail) = out.split_at_mut(all * size);
    tail.copy_from_slice(take(from, tail.len())?);
    if all == 0 {
        return Err(bad("there is no whole record"));
    }
    // All values first, then the records piece by piece: a piece is still in the nearest cache when the last field comes to it.
    let mut values = Vec::with_capacity(record.fields.len());
    let done = fields(&record, all, from, &mut values, scratch);
    if done.is_ok() {
        let piece = (NEAR / size).max(1);
        for (p, records) in records.chunks_mut(piece * size).enumerate() {
            records.fill(0);
            for (field, values) in record.fields.iter().zip(&values) {
                let count = field.count as usize;
                let values = &values[p * piece * count..][..records.len() / size * count];
                let mut to = 0;
                for part in &field.parts {
                    records::merge(values, count, *part, to, size, records);
                    to += part.bits;
                }
            }
        }
    }
    values.into_iter().for_each(|v| scratch.hierarchical.give_back(v));
    done
}

/// Restores the values of all fields of `all` records.
fn fields(
    record: &Record,
    all: usize,
    from: &mut &[u8],
    values: &mut Vec<Vec<u8>>,
    scratch: &mut codec::Scratch,
) -> Result<()> {
    for field in &record.fields {
        values.push(scratch.hierarchical.lend_node(all * field.count as usize)?);
    }
    // The fields of few values are decoded together.
    let (mut rest, mut later) = (*from, Later::default());
    for values in values.iter_mut() {
        node::decode_or_put_off(&mut rest, values, Kinds::words(super::MAX_BITS), scratch, &mut later)?;
    }
    let left = rest.len();
    later.finish()?;
    let read = from.len() - left;
    take(from, read).map(|_| ())
}

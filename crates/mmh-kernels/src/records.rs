//! Records: values of a few bits that stand at fixed places of records of one size (`spec/codecs/hierarchical.md`, section 3).

/// Where bits of a field's values stand in a record. Of value `i`, with `u = i / (span · repeats)` and `r = i mod (span · repeats)`, they stand in
/// byte `offset + u · span + r mod span`, `shift + bits · (r / span)` bits up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Byte of the record where they begin.
    pub offset: u16,
    /// Neighbouring bytes.
    pub span: u16,
    /// Bits of each value, 1 to 8.
    pub bits: u8,
    /// Bits of a byte below those of the first value.
    pub shift: u8,
    /// Values that share a byte.
    pub repeats: u8,
}

impl Part {
    /// Whether `count` values of it lie within a record of `size` bytes.
    pub fn fits(&self, size: usize, count: usize) -> bool {
        let each = self.span as usize * self.repeats as usize;
        each > 0
            && self.bits >= 1
            && self.shift as usize + self.bits as usize * self.repeats as usize <= 8
            && count > 0
            && count.is_multiple_of(each)
            && self.offset as usize + count / self.repeats as usize <= size
    }

    /// The bits of byte `offset` and those like it that belong to the part.
    pub fn mask(&self) -> u8 {
        (((1u32 << (self.bits as u32 * self.repeats as u32)) - 1) << self.shift) as u8
    }
}

multiversion! {
    /// Ors the bits of a part into the values of a field: `values` has `count` for each record of `size` bytes of `records`; the bits go `to` bits
    /// up. Nothing is done unless the part fits.
    pub fn split(records: &[u8], size: usize, part: Part, to: u8, count: usize, values: &mut [u8]) = split_generic;
    on split_on
}

multiversion! {
    /// The converse: ors the bits of values into `records`.
    pub fn merge(values: &[u8], count: usize, part: Part, to: u8, size: usize, records: &mut [u8]) = merge_generic;
    on merge_on
}

/// Calls a loop with the span as a constant, where it is a common one, so that it becomes vector code; 0 stands for any other.
macro_rules! with_span {
    ($part:ident, $name:ident($($arg:expr),*)) => {
        match $part.span {
            1 if $part.repeats == 8 => $name::<1>($($arg),*),
            2 => $name::<2>($($arg),*),
            4 => $name::<4>($($arg),*),
            16 => $name::<16>($($arg),*),
            32 => $name::<32>($($arg),*),
            64 => $name::<64>($($arg),*),
            _ => $name::<0>($($arg),*),
        }
    };
}

#[inline(always)]
fn split_generic(records: &[u8], size: usize, part: Part, to: u8, count: usize, values: &mut [u8]) {
    if part.fits(size, count) {
        with_span!(part, split_spans(records, size, part, to, count, values));
    }
}

#[inline(always)]
fn merge_generic(values: &[u8], count: usize, part: Part, to: u8, size: usize, records: &mut [u8]) {
    if part.fits(size, count) {
        with_span!(part, merge_spans(values, count, part, to, size, records));
    }
}

/// One bit in each of eight bytes.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Eight bits to as many bytes, the lowest bit first.
#[inline(always)]
fn spread(byte: u8) -> u64 {
    // Byte i keeps bit i; adding 127 carries it into the top bit.
    let kept = (byte as u64 * ONES) & 0x8040_2010_0804_0201;
    ((kept + 0x7f7f_7f7f_7f7f_7f7f) >> 7) & ONES
}

/// The lowest bits of eight bytes to a byte.
#[inline(always)]
fn collect(bytes: u64) -> u8 {
    ((bytes & ONES).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

#[inline(always)]
fn split_spans<const SPAN: usize>(
    records: &[u8],
    size: usize,
    part: Part,
    to: u8,
    count: usize,
    values: &mut [u8],
) {
    let span = if SPAN == 0 { part.span as usize } else { SPAN };
    let mask = (0xffu32 >> (8 - part.bits as u32)) as u8;
    let bytes = count / part.repeats as usize;
    for (record, values) in records.chunks_exact(size).zip(values.chunks_exact_mut(count)) {
        let from = &record[part.offset as usize..part.offset as usize + bytes];
        if SPAN == 1 {
            for (byte, eight) in from.iter().zip(values.as_chunks_mut::<8>().0) {
                *eight = (u64::from_le_bytes(*eight) | spread(*byte) << to).to_le_bytes();
            }
            continue;
        }
        for (from, values) in
            from.chunks_exact(span).zip(values.chunks_exact_mut(span * part.repeats as usize))
        {
            for (r, values) in values.chunks_exact_mut(span).enumerate() {
                let shift = (part.shift + part.bits * r as u8) & 7;
                values.iter_mut().zip(from).for_each(|(v, b)| *v |= ((b >> shift) & mask) << (to & 7));
            }
        }
    }
}

#[inline(always)]
fn merge_spans<const SPAN: usize>(
    values: &[u8],
    count: usize,
    part: Part,
    to: u8,
    size: usize,
    records: &mut [u8],
) {
    let span = if SPAN == 0 { part.span as usize } else { SPAN };
    let mask = (0xffu32 >> (8 - part.bits as u32)) as u8;
    let bytes = count / part.repeats as usize;
    for (record, values) in records.chunks_exact_mut(size).zip(values.chunks_exact(count)) {
        let into = &mut record[part.offset as usize..part.offset as usize + bytes];
        if SPAN == 1 {
            for (byte, eight) in into.iter_mut().zip(values.as_chunks::<8>().0) {
                *byte |= collect(u64::from_le_bytes(*eight) >> to);
            }
            continue;
        }
        for (into, values) in
            into.chunks_exact_mut(span).zip(values.chunks_exact(span * part.repeats as usize))
        {
            for (r, values) in values.chunks_exact(span).enumerate() {
                let shift = (part.shift + part.bits * r as u8) & 7;
                into.iter_mut().zip(values).for_each(|(b, v)| *b |= ((v >> (to & 7)) & mask) << shift);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Simd;

    /// By the definition, bit by bit.
    fn value(record: &[u8], part: &Part, i: usize) -> u8 {
        let (span, each) = (part.span as usize, part.span as usize * part.repeats as usize);
        let byte = record[part.offset as usize + i / each * span + i % each % span];
        let shift = part.shift as usize + part.bits as usize * (i % each / span);
        ((byte as u32 >> shift) & ((1 << part.bits) - 1)) as u8
    }

    #[test]
    fn values_come_out_where_the_definition_says_and_go_back_on_every_set() {
        for (size, count, part) in [
            (18, 32, Part { offset: 2, span: 16, bits: 4, shift: 0, repeats: 2 }),
            (22, 32, Part { offset: 2, span: 1, bits: 1, shift: 0, repeats: 8 }),
            (210, 256, Part { offset: 128, span: 32, bits: 2, shift: 0, repeats: 4 }),
            (210, 256, Part { offset: 0, span: 64, bits: 4, shift: 0, repeats: 2 }),
            (144, 4, Part { offset: 4, span: 4, bits: 2, shift: 6, repeats: 1 }),
            (34, 32, Part { offset: 2, span: 32, bits: 8, shift: 0, repeats: 1 }),
            (9, 6, Part { offset: 1, span: 3, bits: 3, shift: 1, repeats: 2 }),
            (9, 8, Part { offset: 1, span: 1, bits: 3, shift: 1, repeats: 2 }),
        ] {
            let records: Vec<u8> = (0..size * 37).map(|i| (i * i / 7 + i) as u8).collect();
            let to = 8 - part.bits.min(8);
            for simd in Simd::ALL.iter().copied().filter(|s| s.is_available()) {
                let mut values = vec![0; 37 * count];
                split_on(simd, &records, size, part, to, count, &mut values);
                let mut back = vec![0; records.len()];
                merge_on(simd, &values, count, part, to, size, &mut back);
                for (r, record) in records.chunks(size).enumerate() {
                    for i in 0..count {
                        assert_eq!(values[r * count + i], value(record, &part, i) << to, "{part:?} {i}");
                        assert_eq!(
                            value(&back[r * size..], &part, i),
                            value(record, &part, i),
                            "{part:?} {i}"
                        );
                    }
                }
                let bits = |bytes: &[u8]| bytes.iter().map(|b| b.count_ones()).sum::<u32>();
                assert_eq!(bits(&back), bits(&values), "{part:?}: nothing else is set");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_left_alone() {
        let part = Part { offset: 2, span: 16, bits: 4, shift: 0, repeats: 2 };
        let bad = [
            Part { offset: 3, ..part },
            Part { bits: 5, ..part },
            Part { span: 0, ..part },
            Part { repeats: 0, ..part },
            Part { span: 5, ..part },
            Part { shift: 1, ..part },
        ];
        for part in bad {
            let mut values = [0; 32];
            split(&[255; 18], 18, part, 0, 32, &mut values);
            assert_eq!(values, [0; 32], "{part:?}");
        }
    }
}

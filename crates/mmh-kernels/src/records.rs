//! Records: values of a few bits that stand at fixed places of records of one size (`spec/codecs/hierarchical.md`, section 3).

use crate::cpu::Simd;

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

/// The converse: ors the bits of values into `records`.
pub fn merge(values: &[u8], count: usize, part: Part, to: u8, size: usize, records: &mut [u8]) {
    merge_on(crate::cpu::simd(), values, count, part, to, size, records);
}

/// The same on the given instruction set.
pub fn merge_on(
    simd: Simd,
    values: &[u8],
    count: usize,
    part: Part,
    to: u8,
    size: usize,
    records: &mut [u8],
) {
    if !part.fits(size, count) {
        return;
    }
    let to = to & 7;
    #[cfg(target_arch = "x86_64")]
    if matches!(simd, Simd::Avx2 | Simd::Avx512)
        && simd.is_available()
        // SAFETY: `is_available` has just seen every feature that the function is compiled with: AVX-512 comes with AVX2.
        && unsafe { crate::x86_64::records_avx2::merge(values, count, part, to, size, records) }
    {
        return;
    }
    merge_plain_on(simd, values, count, part, to, size, records);
}

multiversion! {
    /// As the compiler has it.
    fn merge_plain(values: &[u8], count: usize, part: Part, to: u8, size: usize, records: &mut [u8]) = merge_generic;
    on merge_plain_on
}

/// Calls a loop with the shape of the part as constants, where it is a common one, so that it becomes vector code.
macro_rules! with_shape {
    ($part:ident, $to:ident, $count:ident, $bytes:ident, $bits:ident, $shared:ident, $any:ident, $args:tt) => {
        match ($part.span, $part.repeats, $part.bits, $part.shift, $to) {
            (_, 1, 8, 0, 0) => match $count {
                1 => $bytes::<1> $args,
                2 => $bytes::<2> $args,
                4 => $bytes::<4> $args,
                8 => $bytes::<8> $args,
                16 => $bytes::<16> $args,
                32 => $bytes::<32> $args,
                64 => $bytes::<64> $args,
                128 => $bytes::<128> $args,
                256 => $bytes::<256> $args,
                _ => $any $args,
            },
            (1, 8, 1, 0, _) if $count == 32 => $bits::<32> $args,
            (1, 8, 1, 0, _) => $bits::<8> $args,
            (8, 2, 4, 0, 0) => $shared::<8, 8, 2, 4, 0> $args,
            (16, 2, 4, 0, 0) => $shared::<8, 16, 2, 4, 0> $args,
            (32, 2, 4, 0, 0) => $shared::<8, 32, 2, 4, 0> $args,
            (64, 2, 4, 0, 0) => $shared::<8, 64, 2, 4, 0> $args,
            (32, 8, 1, 0, 4) => $shared::<8, 32, 8, 1, 4> $args,
            (32, 4, 2, 0, 4) => $shared::<8, 32, 4, 2, 4> $args,
            (4, 4, 2, 0, 4) => $shared::<4, 4, 4, 2, 4> $args,
            _ => $any $args,
        }
    };
}

#[inline(always)]
fn split_generic(records: &[u8], size: usize, part: Part, to: u8, count: usize, values: &mut [u8]) {
    if part.fits(size, count) {
        let to = to & 7;
        with_shape!(
            part,
            to,
            count,
            split_bytes,
            split_bits,
            split_shared,
            split_any,
            (records, size, part, to, count, values)
        );
    }
}

#[inline(always)]
fn merge_generic(values: &[u8], count: usize, part: Part, to: u8, size: usize, records: &mut [u8]) {
    if part.fits(size, count) {
        let to = to & 7;
        with_shape!(
            part,
            to,
            count,
            merge_bytes,
            merge_bits,
            merge_shared,
            merge_any,
            (values, count, part, to, size, records)
        );
    }
}

/// The bytes of each record in which a part stands.
#[inline(always)]
fn places(records: &[u8], size: usize, part: Part, count: usize) -> impl Iterator<Item = &[u8]> {
    let from = part.offset as usize;
    let to = from + count / part.repeats as usize;
    records.chunks_exact(size).map(move |record| &record[from..to])
}

/// The same, to be written to.
#[inline(always)]
fn places_mut(records: &mut [u8], size: usize, part: Part, count: usize) -> impl Iterator<Item = &mut [u8]> {
    let from = part.offset as usize;
    let to = from + count / part.repeats as usize;
    records.chunks_exact_mut(size).map(move |record| &mut record[from..to])
}

/// Whole bytes, `N` in a record.
#[inline(always)]
fn split_bytes<const N: usize>(
    records: &[u8],
    size: usize,
    part: Part,
    _: u8,
    count: usize,
    values: &mut [u8],
) {
    for (values, from) in values.as_chunks_mut::<N>().0.iter_mut().zip(places(records, size, part, count)) {
        if let Some(from) = from.first_chunk::<N>() {
            values.iter_mut().zip(from).for_each(|(v, b)| *v |= b);
        }
    }
}

#[inline(always)]
fn merge_bytes<const N: usize>(
    values: &[u8],
    count: usize,
    part: Part,
    _: u8,
    size: usize,
    records: &mut [u8],
) {
    for (values, into) in values.as_chunks::<N>().0.iter().zip(places_mut(records, size, part, count)) {
        if let Some(into) = into.first_chunk_mut::<N>() {
            into.iter_mut().zip(values).for_each(|(b, v)| *b |= v);
        }
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

/// Single bits, those of a byte for neighbours; there are `COUNT` of them in each record, or a multiple of it.
#[inline(always)]
fn split_bits<const COUNT: usize>(
    records: &[u8],
    size: usize,
    part: Part,
    to: u8,
    count: usize,
    values: &mut [u8],
) {
    let mut values = values.as_chunks_mut::<COUNT>().0.iter_mut();
    for from in places(records, size, part, count) {
        for (from, values) in from.chunks_exact(COUNT / 8).zip(&mut values) {
            for (byte, eight) in from.iter().zip(values.as_chunks_mut::<8>().0) {
                *eight = (u64::from_le_bytes(*eight) | spread(*byte) << to).to_le_bytes();
            }
        }
    }
}

#[inline(always)]
fn merge_bits<const COUNT: usize>(
    values: &[u8],
    count: usize,
    part: Part,
    to: u8,
    size: usize,
    records: &mut [u8],
) {
    let mut values = values.as_chunks::<COUNT>().0.iter();
    for into in places_mut(records, size, part, count) {
        for (into, values) in into.chunks_exact_mut(COUNT / 8).zip(&mut values) {
            for (byte, eight) in into.iter_mut().zip(values.as_chunks::<8>().0) {
                *byte |= collect(u64::from_le_bytes(*eight) >> to);
            }
        }
    }
}

/// Up to eight bytes as a word.
#[inline(always)]
fn load<const N: usize>(bytes: &[u8; N]) -> u64 {
    let mut all = [0; 8];
    all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(all)
}

/// Ors a word into as many bytes.
#[inline(always)]
fn or<const N: usize>(bytes: &mut [u8; N], word: u64) {
    let all = (load(bytes) | word).to_le_bytes();
    bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
}

/// The lowest bits of each byte of a word, as many as a value has.
#[inline(always)]
fn mask_of(bits: usize) -> u64 {
    ONES * (0xff >> (8 - bits.clamp(1, 8)))
}

/// Values that share bytes, `REPEATS` of `BITS` bits in each of `SPAN` neighbours, a multiple of `N`; they stand `TO` bits up in the values. `N` bytes at
/// a time are a word: of loops over single bytes the compiler made transposed ones.
#[inline(always)]
fn split_shared<
    const N: usize,
    const SPAN: usize,
    const REPEATS: usize,
    const BITS: usize,
    const TO: usize,
>(
    records: &[u8],
    size: usize,
    part: Part,
    _: u8,
    count: usize,
    values: &mut [u8],
) {
    for (values, from) in values.chunks_exact_mut(count).zip(places(records, size, part, count)) {
        let units = values.as_chunks_mut::<SPAN>().0.as_chunks_mut::<REPEATS>().0;
        for (values, from) in units.iter_mut().zip(from.as_chunks::<SPAN>().0) {
            for (r, values) in values.iter_mut().enumerate() {
                for (values, from) in values.as_chunks_mut::<N>().0.iter_mut().zip(from.as_chunks::<N>().0) {
                    or(values, (load(from) >> (BITS * r) & mask_of(BITS)) << TO);
                }
            }
        }
    }
}

#[inline(always)]
fn merge_shared<
    const N: usize,
    const SPAN: usize,
    const REPEATS: usize,
    const BITS: usize,
    const TO: usize,
>(
    values: &[u8],
    count: usize,
    part: Part,
    _: u8,
    size: usize,
    records: &mut [u8],
) {
    for (values, into) in values.chunks_exact(count).zip(places_mut(records, size, part, count)) {
        let units = values.as_chunks::<SPAN>().0.as_chunks::<REPEATS>().0;
        for (values, into) in units.iter().zip(into.as_chunks_mut::<SPAN>().0) {
            for (j, into) in into.as_chunks_mut::<N>().0.iter_mut().enumerate() {
                let word =
                    |r: usize| (load(&values[r].as_chunks::<N>().0[j]) >> TO & mask_of(BITS)) << (BITS * r);
                or(into, (0..REPEATS).fold(0, |all, r| all | word(r)));
            }
        }
    }
}

/// Calls a function with the bytes of a word as a constant: as many as go into the span.
macro_rules! by_words {
    ($part:ident, $name:ident, $args:tt) => {
        if $part.span.is_multiple_of(8) {
            $name::<8> $args
        } else if $part.span.is_multiple_of(4) {
            $name::<4> $args
        } else {
            $name::<1> $args
        }
    };
}

#[inline(always)]
fn split_any(records: &[u8], size: usize, part: Part, to: u8, count: usize, values: &mut [u8]) {
    by_words!(part, split_words, (records, size, part, to, count, values));
}

#[inline(always)]
fn merge_any(values: &[u8], count: usize, part: Part, to: u8, size: usize, records: &mut [u8]) {
    by_words!(part, merge_words, (values, count, part, to, size, records));
}

/// Any shape, `N` bytes at a time.
#[inline(always)]
fn split_words<const N: usize>(
    records: &[u8],
    size: usize,
    part: Part,
    to: u8,
    count: usize,
    values: &mut [u8],
) {
    let (span, mask) = (part.span as usize, mask_of(part.bits as usize));
    for (values, from) in values.chunks_exact_mut(count).zip(places(records, size, part, count)) {
        let units = from.chunks_exact(span).zip(values.chunks_exact_mut(span * part.repeats as usize));
        for (from, values) in units {
            for (r, values) in values.chunks_exact_mut(span).enumerate() {
                let shift = (part.shift + part.bits * r as u8) & 7;
                let words = values.as_chunks_mut::<N>().0.iter_mut().zip(from.as_chunks::<N>().0);
                words.for_each(|(v, b)| or(v, (load(b) >> shift & mask) << to));
            }
        }
    }
}

#[inline(always)]
fn merge_words<const N: usize>(
    values: &[u8],
    count: usize,
    part: Part,
    to: u8,
    size: usize,
    records: &mut [u8],
) {
    let (span, mask) = (part.span as usize, mask_of(part.bits as usize));
    if span == N && count == N {
        // A word of each record.
        let shift = part.shift & 7;
        for (values, into) in values.as_chunks::<N>().0.iter().zip(places_mut(records, size, part, count)) {
            if let Some(into) = into.first_chunk_mut::<N>() {
                or(into, (load(values) >> to & mask) << shift);
            }
        }
        return;
    }
    for (values, into) in values.chunks_exact(count).zip(places_mut(records, size, part, count)) {
        let units = into.chunks_exact_mut(span).zip(values.chunks_exact(span * part.repeats as usize));
        for (into, values) in units {
            for (r, values) in values.chunks_exact(span).enumerate() {
                let shift = (part.shift + part.bits * r as u8) & 7;
                let words = into.as_chunks_mut::<N>().0.iter_mut().zip(values.as_chunks::<N>().0);
                words.for_each(|(b, v)| or(b, (load(v) >> to & mask) << shift));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (84, 64, Part { offset: 16, span: 64, bits: 8, shift: 0, repeats: 1 }),
            (110, 128, Part { offset: 32, span: 32, bits: 4, shift: 0, repeats: 2 }),
            (110, 128, Part { offset: 0, span: 32, bits: 2, shift: 0, repeats: 4 }),
            (176, 256, Part { offset: 16, span: 32, bits: 1, shift: 0, repeats: 8 }),
            (110, 16, Part { offset: 96, span: 8, bits: 4, shift: 0, repeats: 2 }),
            (110, 16, Part { offset: 104, span: 4, bits: 2, shift: 0, repeats: 4 }),
            (12, 16, Part { offset: 7, span: 1, bits: 1, shift: 0, repeats: 8 }),
            (18, 96, Part { offset: 3, span: 1, bits: 1, shift: 0, repeats: 8 }),
            (18, 8, Part { offset: 3, span: 4, bits: 2, shift: 1, repeats: 1 }),
            (20, 8, Part { offset: 5, span: 8, bits: 4, shift: 4, repeats: 1 }),
            (9, 4, Part { offset: 5, span: 2, bits: 8, shift: 0, repeats: 1 }),
            (9, 6, Part { offset: 1, span: 3, bits: 3, shift: 1, repeats: 2 }),
            (9, 8, Part { offset: 1, span: 1, bits: 3, shift: 1, repeats: 2 }),
        ] {
            let records: Vec<u8> = (0..size * 37).map(|i| (i * i / 7 + i) as u8).collect();
            for simd in Simd::ALL.iter().copied().filter(|s| s.is_available()) {
                for to in [0, 8 - part.bits.min(8)] {
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

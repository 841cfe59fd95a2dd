use super::*;
use crate::codec::symbols::entropy;
use crate::codec::tensor::Element;
use crate::codec::{self, Level};
use crate::dtype::{Dtype, Kind};
use crate::testing::noise;
use mmh_kernels::scaled::{Float, Grid};
use mmh_kernels::words::{copy, read};
use proptest::prelude::*;

/// Words drawn from a book of so many, `bits` bits each, the first one beginning `head` bits into the result.
fn drawn(bits: usize, known: usize, count: usize, head: usize) -> Vec<u8> {
    let book = noise((known * bits).div_ceil(8), bits as u64);
    let draws = noise(2 * count, 5);
    let mut out = vec![0; (head + count * bits).div_ceil(8)];
    for (i, draw) in draws.chunks(2).enumerate() {
        let word = u16::from_le_bytes([draw[0], draw[1]]) as usize % known;
        copy(&book, word * bits, &mut out, head + i * bits, bits);
    }
    out
}

fn block<'a>(data: &'a [u8], declared: Option<Dtype>, element: Option<Element>) -> Block<'a> {
    Block { data, declared, element, level: Level::BALANCED, split: None, structure: None, base: None }
}

/// Encodes, decodes, compares; gives the payload.
fn round_trip(block: &Block<'_>) -> Option<Vec<u8>> {
    let mut scratch = codec::Scratch::default();
    let mut payload = Vec::new();
    if !Hierarchical.encode(block, &mut scratch, &mut payload).unwrap() {
        return None;
    }
    let mut back = vec![0xaa; block.data.len()];
    Hierarchical.decode(&payload, &mut back, &mut scratch).unwrap();
    assert!(back == block.data);
    Some(payload)
}

#[test]
fn words_of_every_width_are_found_and_come_back() {
    for (bits, known, count, head) in [
        (4, 3, 100_000, 0),
        (12, 40, 60_000, 0),
        (12, 40, 60_000, 8),
        (16, 200, 60_000, 0),
        (16, 900, 60_000, 0),
        (24, 200, 40_000, 16),
        (32, 4000, 60_000, 0),
        (64, 1000, 20_000, 0),
        (96, 50, 9000, 40),
        (128, 300, 9000, 0),
        (251, 16, 4000, 0),
        (251, 16, 4000, 77),
        (512, 300, 2000, 0),
    ] {
        let data = drawn(bits, known, count, head);
        let payload = round_trip(&block(&data, None, None)).unwrap();
        let ideal = (count as f64 * (known as f64).log2() + (known * bits) as f64) / 8.0;
        assert!((payload.len() as f64) < 1.02 * ideal + 200.0, "{bits}: {} for {ideal}", payload.len());
        for exact in [false, true] {
            let sought = words::Sought {
                most: MAX_BITS,
                element: None,
                element_millibits: None,
                bound: 1.0,
                most_size: f64::INFINITY,
                repeats: true,
                exact,
                level: Level::BALANCED,
            };
            let found = words::find(&data, &sought, &mut Default::default()).unwrap();
            let told = found.describe();
            assert!(told.ends_with(&format!("words of {bits} bits in a codebook")), "{told}");
            let over = found.estimate / (payload.len() as f64 / data.len() as f64);
            // A part of the sample promises no more than all of it does.
            assert!(over > 0.95 && (over < 1.05 || !exact && over < 1.5), "{bits} {exact}: {over}");
        }
    }
}

#[test]
fn words_outside_of_the_book_are_passed_down_to_narrower_ones() {
    // Two thirds are drawn from a book of 64-bit words; the others are four words of 16 bits each, from another book.
    let (wide, narrow) = (drawn(64, 200, 30_000, 0), drawn(16, 400, 120_000, 0));
    let data: Vec<u8> = (0..30_000)
        .flat_map(|i| {
            if i % 3 == 0 { narrow[8 * i..8 * i + 8].to_vec() } else { wide[8 * i..8 * i + 8].to_vec() }
        })
        .collect();
    let payload = round_trip(&block(&data, None, None)).unwrap();
    // Which is which; 20,000 words of 200; 40,000 words of 400; and two books.
    let ideal = (30_000.0 * 0.918 + 20_000.0 * 7.65 + 40_000.0 * 8.65) / 8.0 + 200.0 * 8.0 + 800.0;
    assert!((payload.len() as f64) < 1.03 * ideal, "{} for {ideal}", payload.len());
}

#[test]
fn palettes_of_floats_and_mostly_zero_tensors_are_found() {
    let element = Element { width: 2, kind: Kind::Float { exponent: 8 }, head: 0 };
    let palette = drawn(32, 16, 100_000, 0);
    let payload = round_trip(&block(&palette, Some(Dtype::F32), Some(element))).unwrap();
    assert!(payload.len() * 100 < palette.len() * 13, "{}", payload.len());
    let mut sparse = noise(400_000, 9);
    for (word, draw) in sparse.chunks_mut(4).zip(noise(100_000, 10)) {
        if draw > 25 {
            word.fill(0);
        }
    }
    let payload = round_trip(&block(&sparse, Some(Dtype::F32), Some(element))).unwrap();
    assert!(payload.len() * 100 < sparse.len() * 12, "{}", payload.len());
    assert!(round_trip(&block(&noise(400_000, 11), Some(Dtype::F32), Some(element))).is_none());
}

#[test]
fn decimals_come_back_with_the_strange_ones_among_them() {
    for width in [2, 3] {
        let element =
            Element { width, kind: Kind::Float { exponent: if width == 2 { 8 } else { 11 } }, head: 3 };
        let mut data = vec![1, 2, 3];
        for (i, draw) in noise(80_000, 12).chunks(4).enumerate() {
            let k = i32::from_le_bytes([draw[0], draw[1], draw[2], 0]) % 90_000 - 45_000;
            let text = if i % 7 == 0 { format!("{k}e-6") } else { format!("{k}e-5") };
            let (mut single, mut double): (f32, f64) = (text.parse().unwrap(), text.parse().unwrap());
            if i % 97 == 0 {
                (single, double) = (f32::from_bits(0x7fc0_1234), -0.0);
            }
            match width {
                2 => data.extend(single.to_le_bytes()),
                _ => data.extend(double.to_le_bytes()),
            }
        }
        data.push(9);
        let payload = round_trip(&block(&data, None, Some(element))).unwrap();
        assert_eq!(payload[0], node::DECIMALS);
        assert!(payload.len() * 8 < 20_000 * 20, "{}", payload.len());
    }
}

#[test]
fn frequent_words_of_late_rows_are_in_the_codebook() {
    // Each row has a word of its own for every fourth place: classes that were never trained.
    let (rows, columns) = (14, 18_000);
    let other = noise(4 * rows * columns, 1);
    let frequent = noise(4 * rows, 2);
    let untrained = noise(rows * columns, 3);
    let data: Vec<u8> = (0..rows * columns)
        .flat_map(|i| {
            let (from, i) = if untrained[i] < 64 { (&frequent, i / columns) } else { (&other, i) };
            <[u8; 4]>::try_from(&from[4 * i..4 * i + 4]).unwrap()
        })
        .collect();
    let of = block(&data, Some(Dtype::U32), Some(Element::of(Dtype::U32)));
    let payload = round_trip(&of).unwrap();
    assert!(payload.len() * 100 < data.len() * 82, "{} of {}", payload.len(), data.len());
}

#[test]
fn integers_in_order_become_their_steps() {
    let positions: Vec<u8> = (0..131_072i64).flat_map(|i| i.to_le_bytes()).collect();
    let draws = noise(4 * 50_000, 4);
    let mut sorted: Vec<i32> = draws.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b) >> 2).collect();
    sorted.sort();
    let down: Vec<u8> = (0..20_000u16).flat_map(|i| 7u16.wrapping_sub(3 * i).to_le_bytes()).collect();
    let sorted: Vec<u8> = sorted.iter().flat_map(|x| x.to_le_bytes()).collect();
    for (data, dtype, most) in [
        (positions, Dtype::I64, 400),
        (sorted.clone(), Dtype::I32, sorted.len() / 2),
        (down, Dtype::I16, 120),
    ] {
        let of = block(&data, Some(dtype), Some(Element::of(dtype)));
        let found = steps::find(&of, &mut Default::default()).unwrap();
        let payload = round_trip(&of).unwrap();
        assert_eq!(payload[0], node::STEPS, "{dtype:?}");
        assert!(payload.len() < most, "{dtype:?}: {}", payload.len());
        let estimate = found.estimate * data.len() as f64;
        assert!(
            (estimate - payload.len() as f64).abs() < 400.0 + 0.05 * estimate,
            "{estimate} {}",
            payload.len()
        );
        // Between other bytes.
        let shifted = [b"!", data.as_slice()].concat();
        let element = Element { head: 1, ..Element::of(dtype) };
        assert!(round_trip(&block(&shifted, None, Some(element))).unwrap().len() < most + 10);
    }
    // Noise has no small steps.
    let of = block(&draws, Some(Dtype::I32), Some(Element::of(Dtype::I32)));
    assert!(steps::find(&of, &mut Default::default()).is_none());
}

#[test]
fn floats_on_one_scale_become_their_steps_and_weights_do_not() {
    let uniform = |seed: u64| noise(40_000, seed).into_iter().map(|b| b as f32 / 64.0);
    let low: Vec<u8> = noise(80_000, 9);
    let bytes = |of: Vec<f32>| -> Vec<u8> {
        let low = low.chunks(2).map(|b| u16::from_le_bytes([b[0], b[1]]) as u32);
        of.iter().zip(low).flat_map(|(x, low)| (x.to_bits() & !0xFFFF | low).to_le_bytes()).collect()
    };
    // Second moments of an optimizer: rows on scales that are octaves apart.
    let row = |i: usize| 20.0 * ((i / 500) as f32 * 0.7).sin() - 40.0;
    let each = uniform(1).zip(uniform(2)).enumerate();
    let moments = bytes(each.map(|(i, (a, b))| 2f32.powf(row(i) + (a - b) / 4.0)).collect());
    let weights = bytes(uniform(3).zip(uniform(4)).map(|(a, b)| (a - b) * 0.02).collect());
    for level in [Level::FAST, Level::BALANCED] {
        let of = |data| Block { level, ..block(data, Some(Dtype::F32), Some(Element::of(Dtype::F32))) };
        let found = steps::find(&of(&moments), &mut Default::default()).unwrap();
        let payload = round_trip(&of(&moments)).unwrap();
        assert_eq!(payload[0], node::STEPS);
        let estimate = found.estimate * moments.len() as f64;
        assert!((estimate / payload.len() as f64 - 1.0).abs() < 0.02, "{estimate} {}", payload.len());
        let mut alone = Vec::new();
        codec::tensor::Tensor.encode(&of(&moments), &mut Default::default(), &mut alone).unwrap();
        assert!(payload.len() * 100 < alone.len() * 95, "{} {}", payload.len(), alone.len());
        assert!(steps::find(&of(&weights), &mut Default::default()).is_none());
    }
}

#[test]
fn steps_by_hand_and_lies_of_them() {
    let good = payload(&[&[node::STEPS, 1, 12, 16, 0], &[0, 0, 4, 0, 0x20, 0, 0x50]]);
    let mut out = [0; 6];
    Hierarchical.decode(&good, &mut out, &mut codec::Scratch::default()).unwrap();
    assert_eq!(out, [16, 0, 17, 0, 14, 0]);
    let with = |at: usize, byte: u8| {
        let mut lie = good.clone();
        lie[at] = byte;
        lie
    };
    refuses(&with(1, 1 | 2 << 2), 6, "steps of form");
    refuses(&with(2, 16), 6, "shifted by 16");
    refuses(&with(5, node::STEPS), 6, "a node of kind 6");
    refuses(&good, 1, "there is no whole number");
    refuses(&good[..4], 6, "expected 2 more bytes");
}

/// Values of `bits` bits, of which those in the middle are frequent, bit after bit behind `head` others.
fn packed_values(bits: u8, head: usize, count: usize) -> Vec<u8> {
    let middle = |r: &[u8]| (r.iter().map(|b| *b as usize).sum::<usize>() << bits) / (256 * r.len());
    let mut bytes = vec![0u8; (head + count * bits as usize).div_ceil(8)];
    for (i, r) in noise(4 * count, bits as u64).chunks(4).enumerate() {
        for k in (0..bits as usize).filter(|k| middle(r) >> k & 1 == 1) {
            let at = head + i * bits as usize + k;
            bytes[at / 8] |= 1 << (at % 8);
        }
    }
    bytes
}

#[test]
fn packed_values_are_found_at_every_width_and_place() {
    for bits in 3..8u8 {
        for (head, dtype) in [(0, Dtype::U32), (bits as usize - 1, Dtype::I32), (2, Dtype::U8)] {
            let data = packed_values(bits, head, 60_000);
            let of = block(&data, Some(dtype), Some(Element::of(dtype)));
            if bits == 4 && dtype == Dtype::U8 {
                // Bytes are coded as they are.
                continue;
            }
            let found = packed::find(&of, 1.0).unwrap();
            let payload = round_trip(&of).unwrap();
            let stored = payload.len() as f64 / data.len() as f64;
            assert_eq!(payload[0], node::PACKED, "{bits} {head}");
            assert!((stored - found.estimate).abs() < 0.015, "{bits} {head}: {stored} {}", found.estimate);
            assert!(stored < [0.85, 0.89, 0.91, 0.93, 0.94][bits as usize - 3], "{bits} {head}: {stored}");
        }
    }
    // Floats, noise, and what nobody declared are not asked, or have none.
    let data = packed_values(3, 0, 60_000);
    let float = block(&data, Some(Dtype::F32), Some(Element::of(Dtype::F32)));
    assert!(packed::find(&float, 1.0).is_none());
    assert!(packed::find(&block(&data, None, None), 1.0).is_none());
    assert!(packed::find(&block(&data[..2000], Some(Dtype::U8), None), 1.0).is_none());
    let none = noise(60_000, 4);
    assert!(packed::find(&block(&none, Some(Dtype::U8), Some(Element::of(Dtype::U8))), 1.0).is_none());
}

#[test]
fn packed_values_by_hand_and_lies_of_them() {
    let good = payload(&[&[node::PACKED, 3, 1, 1, 1], &[0, 0, 2, 5, 2]]);
    let mut out = [0; 1];
    Hierarchical.decode(&good, &mut out, &mut codec::Scratch::default()).unwrap();
    assert_eq!(out, [0xab]);
    let with = |at: usize, byte: u8| {
        let mut lie = good.clone();
        lie[at] = byte;
        lie
    };
    refuses(&with(1, 1), 1, "values of 1 bits");
    refuses(&with(1, 8), 1, "values of 8 bits");
    refuses(&with(2, 3), 1, "values of 3 bits behind 3");
    refuses(&with(3, 2), 1, "unused bits are set");
    refuses(&with(4, 2), 1, "unused bits are set");
    refuses(&with(5, node::PACKED), 1, "a node of kind 8");
    refuses(&payload(&[&[node::PACKED, 7, 6, 0, 0]]), 1, "there is no whole value");
    refuses(&good[..4], 1, "expected 1 more bytes");
    refuses(&[good.as_slice(), b"!"].concat(), 1, "1 bytes left over");
}

/// Bell-shaped numbers, of which so many of 256 are zero, as a mask makes them: of either sign.
fn pruned(count: usize, zeros: u8) -> Vec<f32> {
    let uniform = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]) as f32 / 65536.0 - 0.5;
    let weights = noise(8 * count, 3)
        .chunks(8)
        .map(|c| c.chunks(2).map(uniform).sum::<f32>() * 0.05)
        .collect::<Vec<_>>();
    weights.into_iter().zip(noise(count, 4)).map(|(w, z)| if z < zeros { w * 0.0 } else { w }).collect()
}

#[test]
fn sparse_elements_are_found_at_every_width() {
    for zeros in [26, 128, 230] {
        let weights = pruned(60_000, zeros);
        let f32: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
        let bf16: Vec<u8> = weights.iter().flat_map(|w| ((w.to_bits() >> 16) as u16).to_le_bytes()).collect();
        let f64: Vec<u8> = weights.iter().flat_map(|w| (*w as f64 * 1.1).to_le_bytes()).collect();
        // Of one sign, and of integers.
        let i32: Vec<u8> = weights.iter().flat_map(|w| ((w * 1e9) as i32).to_le_bytes()).collect();
        let p = zeros as f64 / 256.0;
        let of_places = -p * p.log2() - (1.0 - p) * (1.0 - p).log2();
        for (data, dtype, dense, signs) in [
            (&bf16, Dtype::BF16, 10.7, 1.0),
            (&f32, Dtype::F32, 26.7, 1.0),
            (&f64, Dtype::F64, 55.0, 1.0),
            (&i32, Dtype::I32, 28.0, 0.0),
        ] {
            let element = Element::of(dtype);
            // Behind other bytes, where elements begin later, too.
            for head in [0, 1] {
                let data = [&vec![7; head], data.as_slice()].concat();
                let mut of = block(&data, Some(dtype), Some(Element { head: head as u8, ..element }));
                let found = sparse::find(&of, &mut codec::Scratch::default()).unwrap();
                let structure = Found::Sparse(found.clone());
                of.structure = Some(&structure);
                let payload = round_trip(&of).unwrap();
                let stored = payload.len() as f64 / data.len() as f64;
                assert_eq!(payload[0], node::SPARSE, "{dtype:?} {zeros}");
                assert!(
                    (stored - found.estimate).abs() < 0.01,
                    "{dtype:?} {zeros}: {stored} {}",
                    found.estimate
                );
                let ideal = (of_places + p * signs + (1.0 - p) * dense) / 8.0 / element.size() as f64;
                assert!(stored < 1.02 * ideal + 0.003, "{dtype:?} {zeros}: {stored} for {ideal}");
            }
        }
    }
}

#[test]
fn channels_of_zeros_are_found_wherever_they_are_in_a_filter() {
    // 128 filters of 128 channels of 27 elements, of which 8 channels are zero: one after the other, at every place.
    let weights = pruned(128 * 128 * 27, 0);
    for first in (0..128).step_by(8) {
        let is_zero = |i: usize| (first..first + 8).contains(&(i / 27 % 128));
        let kept = weights.iter().enumerate().map(|(i, w)| if is_zero(i) { 0.0 } else { *w });
        let bf16: Vec<u8> = kept.flat_map(|w| ((w.to_bits() >> 16) as u16).to_le_bytes()).collect();
        for level in [Level::FAST, Level::BALANCED] {
            let of = Block { level, ..block(&bf16, Some(Dtype::BF16), Some(Element::of(Dtype::BF16))) };
            let found = sparse::find(&of, &mut codec::Scratch::default());
            let share = found.as_ref().map(|found| found.describe());
            assert!(share.as_ref().is_some_and(|s| s.contains("are 0x0")), "{first} {level:?}: {share:?}");
        }
    }
}

#[test]
fn dense_elements_are_not_taken_apart() {
    let scratch = &mut codec::Scratch::default();
    let weights: Vec<u8> = pruned(60_000, 0).iter().flat_map(|w| w.to_le_bytes()).collect();
    assert!(
        sparse::find(&block(&weights, Some(Dtype::F32), Some(Element::of(Dtype::F32))), scratch).is_none()
    );
    // Of bytes, of which zeros are a symbol as any other, and of fewer elements than are looked at.
    let bytes: Vec<u8> = noise(60_000, 1).iter().map(|b| b & 0x83).collect();
    assert!(sparse::find(&block(&bytes, Some(Dtype::U8), Some(Element::of(Dtype::U8))), scratch).is_none());
    let few = [0; 6];
    assert!(sparse::find(&block(&few, Some(Dtype::F16), Some(Element::of(Dtype::F16))), scratch).is_none());
}

#[test]
fn sparse_elements_by_hand_and_lies_of_them() {
    let good = payload(&[
        &[node::SPARSE, 0x21, 0, 1],
        &[0, 0, 1, 5],
        &[0, 0, 1, 2],
        &[0, 0, 4, 0xaa, 0xbb, 0xcc, 0xdd],
    ]);
    let mut out = [0; 8];
    Hierarchical.decode(&good, &mut out, &mut codec::Scratch::default()).unwrap();
    assert_eq!(out, [0xaa, 0xbb, 0, 1, 0xcc, 0xdd, 0, 0x81]);
    let with = |at: usize, byte: u8| {
        let mut lie = good.clone();
        lie[at] = byte;
        lie
    };
    refuses(&with(1, 0x61), 8, "sparse elements of form");
    refuses(&with(1, 0x29), 8, "sparse elements of form");
    refuses(&with(1, 0x3f), 6, "the first element begins too late");
    refuses(&with(1, 0x23), 7, "there is no whole element");
    refuses(&with(7, 0x15), 8, "unused bits are set");
    refuses(&with(11, 6), 8, "unused bits are set");
    // As many others as there are bits.
    refuses(&with(7, 1), 8, "size of a leaf");
    refuses(&with(4, node::SPARSE), 8, "a node of kind 9");
    refuses(&with(12, node::SPARSE), 8, "a node of kind 9");
    refuses(&good[..10], 8, "size of a leaf");
    refuses(&[good.as_slice(), b"!"].concat(), 8, "1 bytes left over");
}

#[test]
fn a_period_is_made_smaller_itself() {
    let rows: Vec<u8> = (0..512i64).flat_map(|i| i.to_le_bytes()).collect();
    let pick = |b: &u8| [b"some ", b"more ", b"text "][*b as usize % 3];
    let text: Vec<u8> = noise(400, 2).iter().flat_map(pick).copied().collect();
    let q4: Vec<u8> = noise(600 * 18, 3).iter().map(|b| b & 0x33).collect();
    let numbers = Some(Element::of(Dtype::I64));
    for (period, dtype, element, kind, most) in [
        (rows, Some(Dtype::I64), numbers, node::STEPS, 60),
        (text, None, None, node::LEAF, 500),
        (q4, Some(Dtype::Q4_0), None, node::LEAF, 8000),
    ] {
        for n in [8 * period.len(), 9 * period.len() + 5, 40 * period.len()] {
            let data: Vec<u8> = period.iter().cycle().take(n).copied().collect();
            let payload = round_trip(&block(&data, dtype, element)).unwrap();
            assert_eq!((payload[0], payload[3]), (node::PERIOD, kind), "{dtype:?}");
            assert!(payload.len() < most, "{dtype:?}: {}", payload.len());
        }
    }
    // Noise, and what is too short, are runs.
    for n in [2000, 20] {
        let of = noise(n, 5).repeat(10);
        assert!(period::find(&block(&of, None, None), &mut Default::default()).unwrap().is_none());
    }
    // What comes again eight times and a half is not one period and then another.
    let twice = [noise(100, 6).repeat(8), noise(50, 7)].concat().repeat(9);
    assert_eq!(round_trip(&block(&twice, None, None)).unwrap()[3], node::LEAF);
}

#[test]
fn a_period_by_hand_and_lies_of_it() {
    let good =
        payload(&[&[node::PERIOD, 8, node::STEPS, 1, 12, 0, 0], &[0, 0, 6, 0, 0x20, 0, 0x20, 0, 0x20]]);
    let mut out = [0; 12];
    Hierarchical.decode(&good, &mut out, &mut codec::Scratch::default()).unwrap();
    assert_eq!(out, [0, 0, 1, 0, 2, 0, 3, 0, 0, 0, 1, 0]);
    let with = |at: usize, byte: u8| {
        let mut lie = good.clone();
        lie[at] = byte;
        lie
    };
    refuses(&with(1, 0), 12, "period: expected 1 to 12, found 0");
    refuses(&good, 7, "period: expected 1 to 7, found 8");
    refuses(&with(2, node::PERIOD), 12, "a node of kind 7");
    refuses(&with(7, node::PERIOD), 12, "a node of kind 7");
    refuses(&[good.as_slice(), b"!"].concat(), 12, "1 bytes left over");
}

#[test]
fn records_of_every_type_come_back_whatever_is_in_them() {
    for dtype in Dtype::ALL.iter().filter(|d| formats::record_of(**d).is_some()) {
        let size = dtype.unit().1 as usize;
        // Half of the bits are zero, so that there is something to gain; a ragged end.
        let data: Vec<u8> = noise(300 * size + 5, 3).iter().map(|b| b & 0x33).collect();
        let payload =
            round_trip(&block(&data, Some(*dtype), None)).unwrap_or_else(|| panic!("{}", dtype.name()));
        assert!(payload.len() < data.len() * 9 / 10, "{}", dtype.name());
        let noise = noise(20 * size, 4);
        assert!(round_trip(&block(&noise, Some(*dtype), None)).is_none(), "{}", dtype.name());
    }
}

/// Joins the parts of a payload.
fn payload(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn refuses(payload: &[u8], n: usize, what: &str) {
    let mut out = vec![0; n];
    let error =
        Hierarchical.decode(payload, &mut out, &mut codec::Scratch::default()).unwrap_err().to_string();
    assert!(error.contains(what), "{error}, not {what}");
}

/// Words of 16 bits, of which there are two in the book, and one is passed down: numbers 0, 1, 2, 0.
fn good() -> Vec<Vec<u8>> {
    vec![
        vec![node::WORDS, 16, 0, 2, 1],
        vec![0x11, 0x22, 0x33, 0x44],
        vec![node::LEAF, codec::store::ID, 4, 0, 1, 2, 0],
        vec![node::LEAF, codec::store::ID, 2, 0x55, 0x66],
    ]
}

fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn a_payload_by_hand() {
    let mut out = [0; 8];
    Hierarchical.decode(&joined(&good()), &mut out, &mut codec::Scratch::default()).unwrap();
    assert_eq!(out, [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x11, 0x22]);
}

#[test]
fn lies_are_refused() {
    let with = |i: usize, part: &[u8]| {
        let mut parts = good();
        parts[i] = part.to_vec();
        joined(&parts)
    };
    refuses(&payload(&[&joined(&good()), &[0]]), 8, "1 bytes left over");
    refuses(&with(0, &[11, 16, 0, 2, 1]), 8, "a node of kind 11");
    refuses(&with(0, &[node::WORDS, 3, 0, 2, 1]), 8, "words of 3 bits");
    refuses(&with(0, &[node::WORDS, 0x81, 4, 0, 2, 1]), 8, "expected 1 to 512, found 513");
    refuses(&with(0, &[node::WORDS, 16, 16, 2, 1]), 8, "begins too late");
    refuses(&with(0, &[node::WORDS, 16, 0, 5, 1]), 8, "expected 1 to 4, found 5");
    refuses(&with(0, &[node::WORDS, 16, 0, 2, 2]), 8, "reserved bits");
    // There are 16 words of 4 bits.
    refuses(&payload(&[&[node::WORDS, 4, 0, 17, 0], &[0; 30]]), 64, "expected 1 to 16, found 17");
    refuses(&with(0, &[node::WORDS, 16, 0, 2, 0]), 8, "a number that no word has");
    refuses(&with(2, &[node::LEAF, codec::store::ID, 4, 0, 1, 3, 0]), 8, "a number that no word has");
    refuses(&with(2, &[node::LEAF, codec::store::ID, 4, 0, 1, 1, 0]), 8, "whether words are passed down");
    refuses(&with(2, &[node::WORDS, 4, 0, 1, 0, 1]), 8, "a node of kind 2");
    // A codec that is new to the table is none of a leaf.
    for id in (0..=255).filter(|id| ![0, 2, 3, 5].contains(id)) {
        refuses(&with(2, &[node::LEAF, id, 4, 0, 1, 2, 0]), 8, &format!("a leaf of codec {id}"));
    }
    refuses(&with(2, &[node::LEAF, codec::store::ID, 5, 0, 1, 2, 0, 0]), 8, "expected 1 to 4, found 5");
    refuses(&with(3, &[node::RECORDS]), 8, "a node of kind 1");
    refuses(&with(3, &[node::WORDS, 9, 0, 1, 0]), 8, "expected 1 to 8, found 9");
    refuses(&joined(&good())[..20], 8, "expected 2 more bytes of payload, found 1");
    let record =
        |field: &[u8]| payload(&[&[node::RECORDS, 2, 1], field, &[node::LEAF, codec::store::ID, 2, 1, 2]]);
    let mut out = [0; 2];
    let whole = record(&[2, 0, 1, 0, 0, 2, 0, 8, 0, 1]);
    Hierarchical.decode(&whole, &mut out, &mut codec::Scratch::default()).unwrap();
    assert_eq!(out, [1, 2]);
    refuses(&whole, 1, "there is no whole record");
    for field in [
        [1, 0, 1, 0, 0, 1, 0, 8, 0, 1],
        [2, 0, 1, 1, 0, 2, 0, 8, 0, 1],
        [2, 0, 1, 0, 0, 2, 0, 7, 0, 1],
        [2, 0, 1, 0, 0, 0, 0, 8, 0, 1],
        [2, 0, 1, 0, 0, 2, 0, 8, 0, 0],
        [0, 0, 1, 0, 0, 2, 0, 8, 0, 1],
    ] {
        refuses(&record(&field), 2, "do not take each of its bits once");
    }
    refuses(&record(&[2, 0, 9, 0, 0, 2, 0, 8, 0, 1]), 2, "a field of 9 parts");
    assert_eq!(read(&out, 0, 16), 0x0201);
}

/// Weights, bell-shaped, as values of `grid` times a scale for each `length`, and the bits of the order-0 entropy of the values.
fn expanded(float: Float, grid: Grid, length: usize, n: usize, rows: bool) -> (Vec<u8>, f64) {
    let values: Vec<f32> = grid.values().into_iter().filter(|v| v.abs() < 480.0).collect();
    let largest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
    let draws = noise(4 * n, 31);
    let bell = |c: &[u8]| c.iter().map(|b| *b as f32 / 255.0 - 0.5).sum::<f32>() * 0.6;
    let (mut out, mut counts) = (Vec::new(), vec![0u32; values.len()]);
    for (g, group) in draws.chunks(4 * length).enumerate() {
        let scale = 0.0123 * (1.0 + if rows { g / 8 } else { g } as f32 * 0.713 % 1.0);
        for (i, draw) in group.chunks(4).enumerate() {
            // Each group has a number that is as large as can be.
            let ratio = if i == length / 3 { largest } else { bell(draw) * largest };
            let from = |v: &f32| (v - ratio).abs();
            let code =
                (0..values.len()).min_by(|a, b| from(&values[*a]).total_cmp(&from(&values[*b]))).unwrap();
            counts[code] += 1;
            let product = values[code] * scale;
            match float {
                Float::Single => out.extend(product.to_le_bytes()),
                Float::Brain => {
                    let bits = product.to_bits();
                    out.extend((((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) as u16).to_le_bytes());
                }
                Float::Half => {
                    // No product is as small as halves that are not normal, but for zero.
                    let bits = (product.to_bits() & 0x7FFF_FFFF).saturating_sub(112 << 23);
                    let magnitude = (bits + 0xFFF + (bits >> 13 & 1)) >> 13;
                    out.extend((magnitude as u16 | (product.to_bits() >> 16) as u16 & 0x8000).to_le_bytes());
                }
            }
        }
    }
    (out, entropy::bits(counts.into_iter()) as f64)
}

fn floats_of(float: Float) -> (Dtype, Element) {
    let dtype = match float {
        Float::Half => Dtype::F16,
        Float::Brain => Dtype::BF16,
        Float::Single => Dtype::F32,
    };
    (dtype, Element::of(dtype))
}

#[test]
fn weights_that_were_quantized_and_expanded_are_found_and_come_back() {
    for (float, grid) in Float::ALL.into_iter().flat_map(|f| Grid::ALL.map(|g| (f, g))) {
        // The least of FP8 would be halves that are not normal, which `expanded` does not make.
        if (float, grid) == (Float::Half, Grid::E4m3) {
            continue;
        }
        for (length, rows) in [(16, false), (64, false), (128, true), (4096, true)] {
            let n = 65_536;
            let (data, codes) = expanded(float, grid, length, n, rows);
            let (dtype, element) = floats_of(float);
            let payload = round_trip(&block(&data, Some(dtype), Some(element))).unwrap();
            assert_eq!(payload[0], node::SCALED, "{float:?} {grid:?} {length}");
            // Each scale takes no more than its mantissa and a little.
            let most = (codes * 1.01 + 26.0 * (n / length) as f64) / 8.0 + 1500.0;
            assert!(
                (payload.len() as f64) < most,
                "{float:?} {grid:?} {length}: {} of {most}",
                payload.len()
            );
        }
    }
}

#[test]
fn elements_that_are_no_such_values_are_escaped() {
    let (dtype, element) = floats_of(Float::Brain);
    let mut data = expanded(Float::Brain, Grid::Integers, 64, 32_768, false).0;
    // A group of others, a number that is none, a zero of the other sign; and elements that begin in the middle.
    data[640..768].copy_from_slice(&noise(128, 3));
    data[1280..1282].copy_from_slice(&0x7FC1u16.to_le_bytes());
    data[2560..2562].copy_from_slice(&0x8000u16.to_le_bytes());
    let payload = round_trip(&block(&data, Some(dtype), Some(element))).unwrap();
    assert_eq!(payload[0], node::SCALED);
    data.insert(0, 7);
    let payload = round_trip(&block(&data, None, Some(Element { head: 1, ..element }))).unwrap();
    assert_eq!(payload[0], node::SCALED);
    let weights = noise(65_536, 4);
    let found = scaled::find(&block(&weights, Some(dtype), Some(element)));
    assert!(found.is_none(), "{found:?}");
}

/// Integers times a scale for each 64, as bf16.
fn integers(scale: impl Fn(usize) -> f32, integer: impl Fn(usize, u8) -> f32) -> Vec<u8> {
    let draws = noise(65_536, 77);
    let each = draws.iter().enumerate().map(|(i, draw)| integer(i, *draw) * scale(i / 64));
    let bf16 = |x: f32| ((x.to_bits() + 0x7FFF + (x.to_bits() >> 16 & 1)) >> 16) as u16;
    each.flat_map(|x| bf16(x).to_le_bytes()).collect()
}

fn size_of_bf16(data: &[u8]) -> usize {
    let (dtype, element) = floats_of(Float::Brain);
    let payload = round_trip(&block(data, Some(dtype), Some(element))).unwrap();
    assert_eq!(payload[0], node::SCALED);
    payload.len()
}

#[test]
fn zeros_of_both_signs_and_numbers_that_are_none_cost_what_they_are() {
    let draws = noise(3 * 1024, 5);
    let scale =
        |g: usize| 0.0123 * (1.0 + u16::from_le_bytes([draws[3 * g], draws[3 * g + 1]]) as f32 / 65536.0);
    // 0 and 1 are rare at the ends, as bell-shaped numbers are.
    let of = |draw: u8| [-7, -4, -3, -2, -1, -1, 0, 0, 0, 0, 1, 1, 2, 3, 4, 7][draw as usize % 16] as f32;
    let plain = size_of_bf16(&integers(scale, |_, draw| of(draw)));
    // What was below zero before it was rounded: of one bit for a fourth of the numbers.
    let signed = size_of_bf16(&integers(
        scale,
        |_, draw| if draw >= 128 && of(draw) == 0.0 { -0.0 } else { of(draw) },
    ));
    assert!(signed < plain + 65_536 / 32 + 400, "{signed} and {plain}");
    // One in a hundred is no number.
    let holed = size_of_bf16(&integers(scale, |i, draw| if i % 100 == 7 { f32::NAN } else { of(draw) }));
    assert!(holed < plain + 1200, "{holed} and {plain}");
    // Scales of either sign: all zeros of a group are of one, and where there are none, the largest number tells.
    let signs = |g: usize| scale(g) * if draws[3 * g + 2] & 1 == 0 { 1.0 } else { -1.0 };
    let skewed = |_: usize, draw: u8| {
        [-8, -8, -5, -3, -2, -1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6][draw as usize % 16] as f32
    };
    let (one, both) = (size_of_bf16(&integers(scale, skewed)), size_of_bf16(&integers(signs, skewed)));
    assert!(both < one + 1024 / 8 + 300, "{both} and {one}");
    let no_zeros = |_: usize, draw: u8| {
        [-9, -9, -5, -3, -2, -1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7][draw as usize % 16] as f32
    };
    let (one, both) = (size_of_bf16(&integers(scale, no_zeros)), size_of_bf16(&integers(signs, no_zeros)));
    assert!(both < one + 1024 / 8 + 300, "{both} and {one}");
}

#[test]
fn scaled_values_by_hand_and_lies_about_them() {
    let leaf = |bytes: &[u8]| [&[node::LEAF, codec::store::ID, bytes.len() as u8], bytes].concat();
    let with = |fixed: [u8; 5], grid: [f32; 2], scale: f32, codes: [u8; 3]| {
        let grid: Vec<u8> = grid.iter().flat_map(|v| v.to_le_bytes()).collect();
        let scales = [0.5f32, scale].map(f32::to_le_bytes).concat();
        [fixed.to_vec(), leaf(&grid), leaf(&scales), leaf(&codes), leaf(&[0xAB, 0xCD])].concat()
    };
    let fixed = [node::SCALED, 1, 2, 0, 2];
    let mut out = [0; 6];
    let good = with(fixed, [1.0, -3.0], 1.0, [0, 1, 255]);
    Hierarchical.decode(&good, &mut out, &mut codec::Scratch::default()).unwrap();
    assert_eq!(out, [0x00, 0x3F, 0xC0, 0xBF, 0xAB, 0xCD]);
    refuses(&with([node::SCALED, 3, 2, 0, 2], [1.0, -3.0], 1.0, [0, 1, 255]), 6, "of form 0x3");
    refuses(&with([node::SCALED, 9, 2, 0, 2], [1.0, -3.0], 1.0, [0, 1, 255]), 6, "of form 0x9");
    refuses(&with([node::SCALED, 1, 0, 0, 2], [1.0, -3.0], 1.0, [0, 1, 255]), 6, "numbers of a group");
    refuses(&with([node::SCALED, 1, 2, 2, 2], [1.0, -3.0], 1.0, [0, 1, 255]), 6, "the first group lacks");
    refuses(&with([node::SCALED, 1, 2, 0, 0], [1.0, -3.0], 1.0, [0, 1, 255]), 6, "a grid of no values");
    refuses(&with(fixed, [1.0, f32::NAN], 1.0, [0, 1, 255]), 6, "not finite");
    refuses(&with(fixed, [1.0, -3.0], f32::INFINITY, [0, 1, 255]), 6, "not finite");
    refuses(&with(fixed, [1.0, -3.0], 1.0, [0, 2, 255]), 6, "a code beyond the grid");
    refuses(&[good.as_slice(), b"!"].concat(), 6, "1 bytes left over");
    refuses(&good, 1, "there is no whole number");
}

proptest! {
    #[test]
    fn any_words_come_back(
        bits in 4usize..=512,
        known in 1usize..300,
        count in 1usize..3000,
        head in 0usize..64,
        strange in 0u8..255,
    ) {
        let mut data = drawn(bits, known, count, head % bits);
        let noise = noise(data.len(), 8);
        data.iter_mut().zip(&noise).filter(|d| *d.1 < strange / 16).for_each(|d| *d.0 ^= d.1);
        let _ = round_trip(&block(&data, None, None));
    }
}

/// Strings behind lengths of so many bytes, and their lengths alone.
fn strings(size: usize, count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, draw) in noise(count, 21).into_iter().enumerate() {
        let text = format!("{}{}", ["token", "to", "ken", "ing", "s", ""][draw as usize % 6], i % 300);
        let text = if i % 50 == 7 { "" } else { text.as_str() };
        out.extend(&(text.len() as u64).to_le_bytes()[..size]);
        out.extend(text.as_bytes());
    }
    out
}

#[test]
fn strings_are_found_between_other_bytes_and_come_back() {
    for size in [4, 8] {
        let (one, other) = (strings(size, 4000), strings(size, 700));
        let numbers: Vec<u8> = (0..3000u32).flat_map(|i| (i % 5).to_le_bytes()).collect();
        let data = [&[1, 2, 3][..], &one, &numbers, &other, b"end"].concat();
        let plain = block(&data, None, None);
        let found = strings::find(&plain, 1.0, &mut codec::Scratch::default()).unwrap();
        let told = found.describe();
        assert!(told.ends_with(&format!("strings behind lengths of {size} bytes")), "{told}");
        let strings: usize = told.split(' ').next().unwrap().parse().unwrap();
        assert!((4690..=4710).contains(&strings), "{told}");
        let payload = round_trip(&plain).unwrap();
        assert_eq!(payload[0], node::STRINGS);
        let mut whole = Vec::new();
        codec::zstd::Zstd.encode(&plain, &mut codec::Scratch::default(), &mut whole).unwrap();
        assert!(payload.len() * 10 < whole.len() * 9, "{} beside {}", payload.len(), whole.len());
        // A block may begin and end in the midst of a string.
        let cut = round_trip(&block(&data[11..data.len() - 9], None, None)).unwrap();
        assert_eq!(cut[0], node::STRINGS);
    }
    // Nothing that looks like strings by chance, in noise, zeros and small numbers.
    let small: Vec<u8> = (0..40_000u32).flat_map(|i| (i % 7).to_le_bytes()).collect();
    for data in [noise(100_000, 22), vec![0; 100_000], small] {
        assert!(strings::find(&block(&data, None, None), 1.0, &mut codec::Scratch::default()).is_none());
    }
}

#[test]
fn strings_by_hand_and_lies_about_them() {
    let (others, texts) = ([0, 0, 2, b'X', b'Y'], [0, 0, 6, b'a', b'b', 0, b'c', b'd', 0]);
    let good = payload(&[&[node::STRINGS, 2, 0, 1, 1, 2, 6], &others, &texts]);
    let mut out = [0; 14];
    Hierarchical.decode(&good, &mut out, &mut codec::Scratch::default()).unwrap();
    assert_eq!(&out, b"X\x02\0\0\0ab\x02\0\0\0cdY");
    let with = |head: &[u8]| payload(&[head, &others, &texts]);
    refuses(&with(&[node::STRINGS, 4, 0, 1, 1, 2, 6]), 14, "lengths of 2^4 bytes");
    refuses(&with(&[node::STRINGS, 2, 0, 0, 1, 2, 6]), 14, "runs of strings: expected 1 to 4096, found 0");
    refuses(&with(&[node::STRINGS, 2, 0, 1, 15, 2, 6]), 14, "expected 0 to 14, found 15");
    refuses(&with(&[node::STRINGS, 2, 0, 1, 1, 0, 6]), 14, "expected 1 to 14, found 0");
    refuses(&with(&[node::STRINGS, 2, 0, 1, 1, 7, 6]), 14, "7 strings in 6 bytes");
    refuses(&with(&[node::STRINGS, 2, 0, 1, 1, 3, 6]), 14, "3 strings in 6 bytes");
    refuses(&with(&[node::STRINGS, 2, 0, 1, 3, 2, 6]), 14, "do not fit");
    refuses(&with(&[node::STRINGS, 2, 9, 1, 1, 2, 6]), 14, "do not fit");
    refuses(
        &payload(&[&[node::STRINGS, 2, 0, 1, 1, 1, 6], &[0, 0, 5, 1, 2, 3, 4, 5], &texts]),
        14,
        "do not fit",
    );
    // 256 bytes behind a length of one byte.
    let long = [&[0, 0, 0x81, 2][..], &[7; 256], &[0]].concat();
    refuses(&payload(&[&[node::STRINGS, 0, 0, 1, 0, 1, 0x81, 2], &long]), 257, "do not fit");
}

/// Numbers as protocol buffers spell them.
fn spelled(numbers: impl IntoIterator<Item = i64>) -> Vec<u8> {
    let mut out = Vec::new();
    numbers.into_iter().for_each(|n| varint::write(n as u64, &mut out));
    out
}

#[test]
fn varints_are_found_and_come_back() {
    let draws = noise(200_000, 31);
    let pairs = draws.as_chunks::<2>().0;
    // The upper half of floats around one, integers of a byte with a sign, large ones, and 64 bits.
    let halves: Vec<i64> = pairs.iter().map(|d| 0x3400 + (d[0] as i64 & 15) * 256 + d[1] as i64).collect();
    let bytes: Vec<i64> = draws.iter().map(|d| (*d as i8 >> 2) as i64).collect();
    let wide: Vec<i64> = pairs.iter().map(|d| (d[0] as i64 - 128) << 20 | d[1] as i64).collect();
    let widest: Vec<i64> = pairs.iter().map(|d| (d[0] as i64) << 55 | d[1] as i64).collect();
    for (numbers, told) in [
        (halves, "unsigned numbers of 16 bits"),
        (bytes, "signed numbers of 8 bits"),
        (wide, "signed numbers of 32 bits"),
        (widest, "unsigned numbers of 64 bits"),
    ] {
        let data = spelled(numbers);
        for part in [&data[..], &data[3..data.len() - 1], &data[1..]] {
            let plain = block(part, None, None);
            let Some(found) = varints::find(&plain, &mut codec::Scratch::default()) else {
                assert_eq!(told, "unsigned numbers of 64 bits");
                continue;
            };
            assert!(found.describe().ends_with(told), "{}, not {told}", found.describe());
            let payload = round_trip(&plain).unwrap();
            assert_eq!(payload[0], node::VARINTS);
            assert!((payload.len() as f64 / part.len() as f64 / found.estimate - 1.0).abs() < 0.05, "{told}");
        }
    }
    for data in
        [noise(50_000, 32), vec![0; 50_000], spelled((0..50_000).map(|i| i % 100)), vec![0x80; 50_000]]
    {
        assert!(varints::find(&block(&data, None, None), &mut codec::Scratch::default()).is_none());
    }
}

#[test]
fn varints_by_hand_and_lies_about_them() {
    // −1 and 300, in 16 bits, between two bytes.
    let leaf = [0, 0, 4, 0xff, 0xff, 0x2c, 0x01];
    let good = payload(&[&[node::VARINTS, 5, 1, 1, 7, 8, 2], &leaf]);
    let mut out = [0; 14];
    Hierarchical.decode(&good, &mut out, &mut codec::Scratch::default()).unwrap();
    assert_eq!(out[..], [&[7][..], &[0xff; 9], &[1, 0xac, 2, 8]].concat());
    let with = |head: &[u8]| payload(&[head, &leaf]);
    refuses(&with(&[node::VARINTS, 8, 1, 1, 7, 8, 2]), 14, "varints of form 0x8");
    refuses(&with(&[node::VARINTS, 5, 14, 1, 7, 8, 2]), 14, "between 14 and 1 bytes");
    refuses(&with(&[node::VARINTS, 5, 1, 1, 7, 8, 0]), 14, "expected 1 to 12, found 0");
    refuses(&with(&[node::VARINTS, 5, 1, 1, 7, 8, 13]), 14, "expected 1 to 12, found 13");
    refuses(&with(&[node::VARINTS, 1, 1, 1, 7, 8, 2]), 14, "do not fit");
    refuses(&good, 13, "do not fit");
}

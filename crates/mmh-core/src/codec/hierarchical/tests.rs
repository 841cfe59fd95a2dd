use super::*;
use crate::codec::tensor::Element;
use crate::codec::{self, Level};
use crate::dtype::{Dtype, Kind};
use crate::testing::noise;
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
        let found =
            words::find(&data, MAX_BITS, None, None, 1.0, Level::BALANCED, &mut Default::default()).unwrap();
        assert!(
            found.describe().ends_with(&format!("words of {bits} bits in a codebook")),
            "{}",
            found.describe()
        );
        let payload = round_trip(&block(&data, None, None)).unwrap();
        let ideal = (count as f64 * (known as f64).log2() + (known * bits) as f64) / 8.0;
        assert!((payload.len() as f64) < 1.02 * ideal + 200.0, "{bits}: {} for {ideal}", payload.len());
        assert!((payload.len() as f64 / data.len() as f64 / found.estimate - 1.0).abs() < 0.05, "{bits}");
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
    refuses(&with(0, &[4, 16, 0, 2, 1]), 8, "a node of kind 4");
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
    refuses(&with(2, &[node::LEAF, ID, 4, 0, 1, 2, 0]), 8, "a leaf of codec 4");
    refuses(&with(2, &[node::LEAF, codec::pattern251::ID, 1, 0]), 8, "a leaf of codec 1");
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

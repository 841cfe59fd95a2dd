use super::numbers::Decoder;
use super::*;
use crate::api::{CompressOptions, compress_bytes};
use crate::block::Settings;
use crate::codec::Level;
use crate::testing::noise;

/// A safetensors file of these tensors.
fn file(tensors: &[(&str, &str, &[u64], Vec<u8>)]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let range = [data.len(), data.len() + bytes.len()];
        header.insert(
            name.to_string(),
            serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": range}),
        );
        data.extend(bytes);
    }
    let text = serde_json::to_vec(&header).unwrap();
    [&(text.len() as u64).to_le_bytes()[..], &text, &data].concat()
}

fn packed(source: &[u8], blake3: bool) -> Vec<u8> {
    let settings = Settings { level: Level::FAST, codec: None, verify: false };
    compress_bytes(source, None, &CompressOptions { blake3, ..CompressOptions::new(settings) }).unwrap()
}

fn compared(a: Vec<u8>, b: Vec<u8>) -> Diff {
    let (a, b) = (
        Side::open(Box::new(a), &Limits::default()).unwrap(),
        Side::open(Box::new(b), &Limits::default()).unwrap(),
    );
    diff(&a, &b, &Workers::new(2), &mut |_| Ok(())).unwrap()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn pair() -> (Vec<u8>, Vec<u8>) {
    let large = noise(10 << 20, 1);
    let mut other = large.clone();
    other[9_000_001] ^= 1;
    other[9_000_003] ^= 1;
    let a = file(&[
        ("same", "U8", &[3000], noise(3000, 2)),
        ("large", "I32", &[(10 << 20) / 4], large),
        ("moved", "F32", &[2, 3], floats(&[1.0; 6])),
        ("typed", "F32", &[2], floats(&[1.0; 2])),
        ("gone", "U8", &[1], vec![1]),
        ("near", "F32", &[5], floats(&[0.0, 2.0, -4.0, f32::NAN, 1.0])),
    ]);
    let b = file(&[
        ("same", "U8", &[3000], noise(3000, 2)),
        ("large", "I32", &[(10 << 20) / 4], other),
        ("moved", "F32", &[3, 2], floats(&[1.0; 6])),
        ("typed", "I32", &[2], floats(&[1.0; 2])),
        ("near", "F32", &[5], floats(&[0.5, 2.5, -4.0, f32::NAN, f32::INFINITY])),
        ("new", "U8", &[1], vec![1]),
    ]);
    (a, b)
}

#[test]
fn each_kind_of_change_is_told() {
    let (a, b) = pair();
    for (x, y) in [
        (a.clone(), b.clone()),
        (packed(&a, true), b.clone()),
        (a.clone(), packed(&b, false)),
        (packed(&a, true), packed(&b, true)),
    ] {
        let found = compared(x, y);
        assert!(!found.identical);
        let changes: Vec<&str> = found.tensors.iter().map(|t| t.change.name()).collect();
        assert_eq!(changes, ["equal", "changed", "reshaped", "retyped", "gone", "changed", "added"]);
        let large = found.tensors[1].found.unwrap();
        assert_eq!((large.elements, large.differing, large.first), ((10 << 20) / 4, 1, Some(2_250_000)));
        assert_eq!(found.tensors[2].found.unwrap().differing, 0);
        let near = found.tensors[5].found.unwrap();
        assert_eq!((near.differing, near.first), (3, Some(0)));
        let numbers = near.numbers.unwrap();
        assert_eq!((numbers.max_abs, numbers.max_rel, numbers.not_finite), (0.5, 0.25, 1));
        assert_eq!(numbers.relative_norm(), Some((0.5f64 / 20.0).sqrt()));
        assert!(found.other.differing > 0, "the headers differ");
    }
}

#[test]
fn a_file_equals_itself_in_every_form() {
    let (a, _) = pair();
    for (x, y) in [
        (a.clone(), a.clone()),
        (a.clone(), packed(&a, true)),
        (packed(&a, false), packed(&a, true)),
        (packed(&a, true), packed(&a, true)),
        (Vec::new(), Vec::new()),
        (Vec::new(), packed(&[], true)),
    ] {
        let found = compared(x, y);
        assert!(found.identical);
        assert!(found.tensors.iter().all(|t| t.change == Change::Equal));
        assert_eq!(found.other.differing, 0);
    }
}

#[test]
fn equal_hashes_are_believed_without_decoding() {
    let (a, b) = pair();
    let mut damaged = packed(&a, true);
    damaged[5000] ^= 1;
    assert!(compared(packed(&a, true), damaged.clone()).identical);
    let (x, y) = (
        Side::open(Box::new(damaged), &Limits::default()).unwrap(),
        Side::open(Box::new(b), &Limits::default()).unwrap(),
    );
    assert!(diff(&x, &y, &Workers::new(1), &mut |_| Ok(())).is_err());
}

#[test]
fn tensors_that_only_moved_are_equal_but_the_file_is_not() {
    let tensor = |name, seed| (name, "U8", &[100u64][..], noise(100, seed));
    let found = compared(file(&[tensor("a", 1), tensor("b", 2)]), file(&[tensor("b", 2), tensor("a", 1)]));
    assert!(found.tensors.iter().all(|t| t.change == Change::Equal));
    assert!(!found.identical);
}

#[test]
fn files_without_tensors_are_compared_as_bytes() {
    let found = compared(b"hello world".to_vec(), b"hullo".to_vec());
    assert_eq!((found.other_bytes, found.other.differing, found.other.first), ((11, 5), 1, Some(1)));
    assert!(!found.identical);
    let found = compared(b"hello".to_vec(), b"hello world".to_vec());
    assert_eq!(found.other.differing, 0);
    assert!(!found.identical);
}

#[test]
fn a_callback_can_stop_it() {
    let (a, b) = pair();
    let (a, b) = (
        Side::open(Box::new(a), &Limits::default()).unwrap(),
        Side::open(Box::new(b), &Limits::default()).unwrap(),
    );
    let stopped = diff(&a, &b, &Workers::new(1), &mut |_| Err(Error::Stopped));
    assert!(matches!(stopped, Err(Error::Stopped)));
}

#[test]
fn quantized_elements_are_counted_by_their_blocks() {
    let side = |bytes: Vec<u8>| {
        let (dtype, len) = (Dtype::Q6_K, bytes.len() as u64);
        let shape = vec![len / 210 * 256];
        let tensor = Tensor { name: "w".into(), dtype, shape, fortran: false, start: 0, len };
        let mut side = Side::open(Box::new(bytes), &Limits::default()).unwrap();
        (side.layout, side.hashes) = (Layout::of(side.layout.format, vec![tensor]), vec![None]);
        side
    };
    let bytes = noise(210 * 50_000, 1);
    let mut other = bytes.clone();
    for at in [0, 1, 209, 210 * 40_000, 210 * 50_000 - 1] {
        other[at] ^= 1;
    }
    let found = diff(&side(bytes), &side(other), &Workers::new(2), &mut |_| Ok(())).unwrap();
    let found = found.tensors[0].found.unwrap();
    assert_eq!((found.elements, found.differing, found.first, found.numbers), (50_000, 3, Some(0), None));
}

#[test]
fn elements_are_read_as_their_dtype_says() {
    let value = |dtype, bytes: &[u8]| {
        let zero = vec![0; bytes.len()];
        Decoder::of(dtype).unwrap().compare(&zero, bytes).max_abs
    };
    assert_eq!(value(Dtype::F16, &0x3C00u16.to_le_bytes()), 1.0);
    assert_eq!(value(Dtype::F16, &1u16.to_le_bytes()), 2f64.powi(-24));
    assert_eq!(value(Dtype::F16, &0xFBFFu16.to_le_bytes()), 65504.0);
    assert_eq!(value(Dtype::BF16, &0xC040u16.to_le_bytes()), 3.0);
    assert_eq!(value(Dtype::F8_E4M3, &[0x7E]), 448.0);
    assert_eq!(value(Dtype::F8_E4M3, &[0x01]), 2f64.powi(-9));
    assert_eq!(value(Dtype::F8_E5M2, &[0x7B]), 57344.0);
    assert_eq!(value(Dtype::F8_E4M3FNUZ, &[0x7F]), 240.0);
    assert_eq!(value(Dtype::F8_E5M2FNUZ, &[0xFF]), 57344.0);
    assert_eq!(value(Dtype::I8, &[0x80]), 128.0);
    assert_eq!(value(Dtype::U16, &[0, 1]), 256.0);
    assert_eq!(value(Dtype::I64, &(-5i64).to_le_bytes()), 5.0);
    for (dtype, bytes) in [(Dtype::F16, &[0, 0x7C][..]), (Dtype::F8_E4M3, &[0x7F]), (Dtype::F8_E5M2, &[0xFC])]
    {
        assert_eq!(Decoder::of(dtype).unwrap().compare(&vec![0; bytes.len()], bytes).not_finite, 1);
    }
    assert!(Decoder::of(Dtype::F4).is_none() && Decoder::of(Dtype::Bool).is_none());
}

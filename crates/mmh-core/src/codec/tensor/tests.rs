use super::*;
use crate::codec::{self, Level, by_id};
use crate::dtype::Kind;
use proptest::prelude::*;

fn encode(data: &[u8], element: Element, level: u8) -> Option<Vec<u8>> {
    let mut scratch = codec::Scratch::default();
    let level = Level::new(level).unwrap();
    let block = Block { data, element: Some(element), level, split: None };
    let mut out = Vec::new();
    Tensor.encode(&block, &mut scratch, &mut out).unwrap().then_some(out)
}

fn decode(payload: &[u8], n: usize) -> Vec<u8> {
    let mut out = vec![0x55; n];
    by_id(ID).unwrap().decode(payload, &mut out, &mut codec::Scratch::default()).unwrap();
    out
}

fn element(width: u8, kind: Kind) -> Element {
    Element { width, kind, head: 0 }
}

const F32: Element = Element { width: 2, kind: Kind::Float { exponent: 8 }, head: 0 };
const BF16: Element = Element { width: 1, kind: Kind::Float { exponent: 8 }, head: 0 };

fn random(n: usize) -> impl Iterator<Item = u64> {
    let mut x = 0x1234_5678_9abc_def1u64;
    std::iter::repeat_with(move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    })
    .take(n)
}

/// Bell-shaped numbers with a full mantissa.
fn weights(n: usize) -> Vec<f32> {
    random(n)
        .map(|x| {
            (((x & 0xffff) + (x >> 16 & 0xffff) + (x >> 32 & 0xffff) + (x >> 48)) as f32 / 65536.0 - 2.0, x)
        })
        .map(|(w, x)| {
            f32::from_bits(w.to_bits() & !0x3_ffff | (x.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 46) as u32)
        })
        .collect()
}

fn bytes(w: &[f32]) -> Vec<u8> {
    w.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[test]
fn upcast_weights_cost_what_the_narrow_ones_cost() {
    let wide: Vec<f32> = weights(300_000).iter().map(|x| f32::from_bits(x.to_bits() & 0xffff_0000)).collect();
    let data = bytes(&wide);
    let narrow: Vec<u8> = wide.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect();
    let (a, b) = (encode(&data, F32, 5).unwrap(), encode(&narrow, BF16, 5).unwrap());
    assert_eq!(decode(&a, data.len()), data);
    assert!(a.len() <= b.len() + b.len() / 200, "{} {}", a.len(), b.len());
}

#[test]
fn rows_with_zero_low_bits_are_found_among_others() {
    // Every third row of 384 was upcast from a type with 10 bits of mantissa.
    let mut w = weights(384 * 300);
    for row in w.chunks_mut(384).step_by(3) {
        row.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits() & !0x1fff));
    }
    let data = bytes(&w);
    let plain = encode(&bytes(&weights(384 * 300)), F32, 5).unwrap();
    let packed = encode(&data, F32, 5).unwrap();
    assert_eq!(decode(&packed, data.len()), data);
    let saved = plain.len() as f64 - packed.len() as f64;
    let possible = 100.0 * 384.0 * 13.0 / 8.0;
    assert!(saved > 0.95 * possible, "saved {saved} of {possible}");
}

#[test]
fn outliers_become_exceptions() {
    let mut w = weights(100_000);
    for (i, at) in (0..w.len()).step_by(997).enumerate() {
        w[at] = [f32::NAN, f32::MAX, 1e-38, -f32::INFINITY, f32::from_bits(1), f32::from_bits(0xffc0_1234)]
            [i % 6];
    }
    let data: Vec<u8> = w.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect();
    for level in [1, 5, 6, 9] {
        let packed = encode(&data, BF16, level).unwrap();
        assert_eq!(decode(&packed, data.len()), data);
        assert!(packed.len() * 100 < data.len() * 75);
    }
}

#[test]
fn noise_is_declined_or_at_least_not_larger() {
    let data: Vec<u8> = random(50_000).flat_map(u64::to_le_bytes).collect();
    for width in 0..=3 {
        for kind in [Kind::Unsigned, Kind::Signed] {
            if let Some(p) = encode(&data, element(width, kind), 5) {
                assert!(p.len() < data.len());
            }
        }
    }
}

/// Every way in which an element can lie.
fn elements() -> impl Strategy<Value = Element> {
    prop_oneof![
        Just(element(0, Kind::Float { exponent: 4 })),
        Just(element(0, Kind::Float { exponent: 5 })),
        Just(element(1, Kind::Float { exponent: 5 })),
        Just(BF16),
        Just(F32),
        Just(element(3, Kind::Float { exponent: 11 })),
        (0u8..=3).prop_map(|w| element(w, Kind::Signed)),
        (0u8..=3).prop_map(|w| element(w, Kind::Unsigned)),
    ]
    .prop_flat_map(|e| (0u8..e.size() as u8).prop_map(move |head| Element { head, ..e }))
}

/// Values as tensors have them: centred, sparse, small integers, special floats, noise.
fn values() -> impl Strategy<Value = Vec<u64>> {
    let sizes =
        prop_oneof![1usize..200, 1000usize..1100, 32_700usize..32_900, Just(65_536usize), Just(70_001)];
    (sizes, 0u8..7, any::<u64>()).prop_map(|(n, shape, salt)| {
        random(n)
            .enumerate()
            .map(|(i, x)| {
                let x = x ^ salt;
                match shape {
                    0 => x,
                    1 => x % 17,
                    2 => (x as i64 % 9) as u64,
                    3 => {
                        if x % 10 == 0 {
                            x
                        } else {
                            0
                        }
                    }
                    4 => ((x % 1000) as f64 / 1000.0 - 0.5).to_bits(),
                    5 => ((x % 1000) as f32 / 1000.0 - 0.5).to_bits() as u64,
                    _ => [0, 1 << 63, 0x7ff0 << 48, 0x7ff8 << 48 | i as u64, 1, 0x7fc0_0001, 0x8000, 0x7c01]
                        [x as usize % 8],
                }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn bits_come_back(e in elements(), values in values(), level in 1u8..=9, tail in 0usize..8) {
        let mut data = vec![0xc3; e.head as usize];
        values.iter().for_each(|v| data.extend(&v.to_le_bytes()[..e.size()]));
        data.extend(std::iter::repeat_n(0x3c, tail % e.size()));
        if let Some(payload) = encode(&data, e, level) {
            prop_assert!(decode(&payload, data.len()) == data, "{:?}", e);
        }
    }
}

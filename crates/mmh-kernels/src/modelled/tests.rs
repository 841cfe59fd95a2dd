use super::*;
use crate::cpu::Simd;
use crate::rans::Frequencies;
use proptest::prelude::*;

fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut x = seed | 1;
    move || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x >> 33
    }
}

/// Exponents whose scale wanders and differs from column to column, with a few outliers.
fn wandering(n: usize, seed: u64, columns: usize) -> Vec<u8> {
    let mut next = random(seed);
    let mut scale = 100;
    (0..n)
        .map(|i| {
            let r = next();
            scale += [0, 0, 1, -1][(r >> 3) as usize % 4] * r.is_multiple_of(64) as i32;
            let column = if columns > 0 { (i % columns % 5) as i32 * 4 } else { 0 };
            let s = scale.clamp(60, 140) - (r as u32 | 1 << 20).trailing_zeros() as i32 * 3 + column;
            if next().is_multiple_of(500) { (r >> 8) as u8 } else { s.clamp(0, 255) as u8 }
        })
        .collect()
}

fn shape(columns: usize, window: u8) -> Shape {
    let columns = (0..columns).map(|c| NEUTRAL - 6 + (c % 5) as u8 * 3).collect();
    let magnitude = Magnitude::Float { mantissa: 2, origin: 66 };
    Shape { magnitude, window, start: 300, first_class: fine_class(300 << window) as u8 - 32, columns }
}

/// Three tables: of symbols 40 … 149, of 60 … 139 and of two, all with an escape.
fn tables() -> (Vec<Frequencies>, [u8; CLASSES]) {
    let hill = |first: u8, n: u8| -> Vec<u8> {
        // One that does not occur, and one that has a single slot.
        let weight = |s: u8| 127 - s.abs_diff(100);
        (first..first + n).map(|s| [weight(s), 0, 1][(s == 93) as usize + 2 * (s == 95) as usize]).collect()
    };
    let tables = vec![
        Frequencies::from_weights(40, &hill(40, 110), 80),
        Frequencies::from_weights(60, &hill(60, 80), 100),
        Frequencies::from_weights(99, &[127], 127),
    ];
    let table_of = std::array::from_fn(|c| [0, 1, 2, 1][c / 16]);
    (tables.into_iter().map(Option::unwrap).collect(), table_of)
}

const ESCAPE: u8 = 255;

fn encode(shape: &Shape, first: usize, symbols: &[u8]) -> Vec<u8> {
    let (tables, table_of) = tables();
    let mut classes = vec![0; symbols.len()];
    classify_on(Simd::Scalar, &Walk::new(shape), first, symbols, &mut classes);
    for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
        let mut again = vec![0; symbols.len()];
        classify_on(simd, &Walk::new(shape), first, symbols, &mut again);
        assert_eq!(again, classes, "{simd:?}");
    }
    let mut out = Vec::new();
    let model = EncodeModel::new(&table_of, &tables);
    assert!(encode_group_on(Simd::Scalar, &model, &classes, symbols, &mut out));
    for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
        let mut again = Vec::new();
        assert!(encode_group_on(simd, &model, &classes, symbols, &mut again));
        assert_eq!(again, out, "{simd:?}");
    }
    out
}

fn decoder(shape: &Shape) -> DecodeModel {
    let (tables, table_of) = tables();
    let mut model = DecodeModel::new();
    assert!(model.build(shape, &table_of, &tables, Some(ESCAPE)));
    model
}

#[test]
fn every_group_size_comes_back_on_every_instruction_set() {
    let sizes = [1, 2, 3, 100, 1023, 1024, 1025, 1026, 1027, 1028, 4099, 32_767, 32_768];
    for (columns, window) in [(0, 4), (0, 8), (2, 1), (37, 6), (5000, 4)] {
        let shape = shape(columns, window);
        let model = decoder(&shape);
        for (i, n) in sizes.into_iter().enumerate() {
            let first = i * 32_768;
            let symbols = wandering(n, i as u64, columns);
            let mut data = encode(&shape, first, &symbols);
            let size = data.len();
            data.extend([0xff; 3]);
            for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                let mut out = vec![0; n];
                assert_eq!(decode_group_on(simd, &model, first, &data, &mut out), Some(size), "{simd:?} {n}");
                assert_eq!(out, symbols, "{simd:?} {n} {columns}");
            }
        }
    }
}

#[test]
fn groups_are_encoded_side_by_side() {
    let (tables, table_of) = tables();
    let model = EncodeModel::new(&table_of, &tables);
    // Eight, four and one of a size, and a shorter one; a size that is none of whole lines.
    for (n, size) in
        [(13 * 2048 + 300, 2048), (4 * 1024, 1024), (5 * 1024 - 1, 1024), (9 * 1032, 1032), (7, 512)]
    {
        let mut symbols = wandering(n, n as u64, 0);
        symbols[n / 2..].iter_mut().step_by(3).for_each(|s| *s = 255 - (*s & 7));
        let mut classes = vec![0; n];
        classify_groups(&Walk::new(&shape(0, 4)), &symbols, size, 1, &mut classes);
        let mut expected = Vec::new();
        for (classes, symbols) in classes.chunks(size).zip(symbols.chunks(size)) {
            let mut out = Vec::new();
            assert!(encode_group_on(Simd::Scalar, &model, classes, symbols, &mut out));
            expected.push(out);
        }
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            let mut encoded = Encoded::default();
            for _ in 0..2 {
                assert!(encoded.encode_on(simd, &model, size, &classes, &symbols));
                for (g, stream) in expected.iter().enumerate() {
                    assert!(encoded.get(g) == stream, "{simd:?} {n} {size} {g}");
                }
                assert!(encoded.get(expected.len()).is_empty());
            }
        }
    }
    let none = EncodeModel::new(&[0; CLASSES], &[Frequencies::from_weights(7, &[1, 1], 0).unwrap()]);
    for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
        let mut symbols = vec![7; 8192];
        assert!(Encoded::default().encode_on(simd, &none, 1024, &[0; 8192], &symbols));
        symbols[5000] = 9;
        assert!(!Encoded::default().encode_on(simd, &none, 1024, &[0; 8192], &symbols));
    }
}

#[test]
fn groups_are_decoded_side_by_side() {
    for (columns, window) in [(0, 4), (2, 1), (37, 6), (5000, 4)] {
        let shape = shape(columns, window);
        let model = decoder(&shape);
        // Eight, four and one of a size; of another size; of a size that is none of whole lines; and a short one.
        let sizes = [&[2048; 13][..], &[1024; 5], &[1032; 9], &[7]].concat();
        let mut first = 11;
        let mut groups = Vec::new();
        for (i, n) in sizes.into_iter().enumerate() {
            let mut symbols = wandering(n, i as u64, columns);
            if i % 3 == 0 {
                // Escapes to the end.
                symbols[n / 2..].iter_mut().step_by(3).for_each(|s| *s = 255 - (*s & 7));
            }
            let stream = encode(&shape, first, &symbols);
            assert_eq!(stream_size(&[&stream, &[0xa5; 9][..i.min(9)]].concat(), n), Some(stream.len()));
            groups.push((first, symbols, stream));
            first += n;
        }
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            let mut outs: Vec<Vec<u8>> = groups.iter().map(|g| vec![0; g.1.len()]).collect();
            let mut jobs: Vec<Group> = groups
                .iter()
                .zip(&mut outs)
                .map(|((first, _, stream), out)| Group { first: *first, stream, out })
                .collect();
            decode_groups_on(simd, &model, &mut jobs).unwrap();
            assert!(outs.iter().zip(&groups).all(|(out, g)| *out == g.1), "{simd:?} {columns}");
        }
    }
}

#[test]
fn groups_side_by_side_have_the_classes_of_each() {
    for (columns, window) in [(0, 4), (0, 8), (2, 1), (37, 6), (5000, 4)] {
        for magnitude in [shape(0, 4).magnitude, Magnitude::Integer { origin: 100 }] {
            let shape = Shape { magnitude, ..shape(columns, window) };
            let walk = Walk::new(&shape);
            // As many as the whole, one less, and groups whose lanes are not of whole lines.
            for (n, size, stride) in [
                (16 * 2048, 2048, 1),
                (16 * 2048 - 1, 2048, 3),
                (9 * 1032, 1032, 1),
                (9000, 512, 2),
                (5, 8, 1),
            ] {
                let symbols = wandering(n, n as u64, columns);
                let mut expected = vec![99; n];
                for start in (0..n).step_by(size * stride) {
                    let end = n.min(start + size);
                    classify_on(Simd::Scalar, &walk, start, &symbols[start..end], &mut expected[start..end]);
                }
                for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                    let mut found = vec![99; n];
                    classify_groups_on(simd, &walk, &symbols, size, stride, &mut found);
                    assert_eq!(found, expected, "{simd:?} {n} {size} {stride} {columns}");
                }
            }
        }
    }
}

#[test]
fn nothing_but_escapes_comes_back() {
    let shape = shape(0, 4);
    for n in [1, 1024, 5000] {
        let symbols: Vec<u8> = (0..n).map(|i| if i % 2 == 0 { 255 } else { (i % 40) as u8 }).collect();
        let data = encode(&shape, 0, &symbols);
        let mut out = vec![0; n];
        assert_eq!(decode_group(&decoder(&shape), 0, &data, &mut out), Some(data.len()));
        assert_eq!(out, symbols);
    }
}

#[test]
fn a_symbol_that_cannot_be_coded_is_reported() {
    let table = Frequencies::from_weights(7, &[1, 1], 0).unwrap();
    let model = EncodeModel::new(&[0; CLASSES], &[table]);
    assert!(encode_group(&model, &[0; 3], &[7, 8, 7], &mut Vec::new()));
    assert!(!encode_group(&model, &[0; 3], &[7, 8, 9], &mut Vec::new()));
}

#[test]
fn models_beyond_the_limits_are_refused() {
    let (tables, table_of) = tables();
    let good = shape(0, 4);
    let mut model = DecodeModel::new();
    assert!(model.build(&good, &table_of, &tables, Some(ESCAPE)));
    // The escape's symbol has a frequency; an escape that has no symbol; a table that is not there.
    assert!(!model.build(&good, &table_of, &tables, Some(100)));
    assert!(!model.build(&good, &table_of, &tables, None));
    assert!(!model.build(&good, &[3; CLASSES], &tables, Some(ESCAPE)));
    assert!(!model.build(&good, &[0; CLASSES], &[], Some(ESCAPE)));
    // A group is not decoded without a model.
    assert_eq!(decode_group(&DecodeModel::new(), 0, &[0; 100], &mut [0; 5]), None);
}

#[test]
fn magnitudes_are_those_of_the_numbers() {
    // Exponent 5 of origin 20 >> 2, mantissa 3 of 4: 1.75 · 2^3.
    let float = Magnitude::Float { mantissa: 2, origin: 20 }.table();
    assert_eq!((float[19], float[20], float[20 + 4 * 3 + 3], float[20 + 4 * 14]), (0, 1, 14, 1 << 14));
    let integer = Magnitude::Integer { origin: 128 }.table();
    assert_eq!((integer[128], integer[129], integer[127], integer[0]), (0, 128, 128, 1 << 14));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_groups_are_refused_or_decoded_alike_everywhere(seed in any::<u64>(), n in 1usize..6000, columns in 0usize..50, at in any::<usize>(), bit in 0u8..8, cut in 0usize..40) {
        let shape = shape(if columns < 2 { 0 } else { columns }, 5);
        let symbols = wandering(n, seed, 0);
        let mut data = encode(&shape, 0, &symbols);
        let i = at % data.len();
        data[i] ^= 1 << bit;
        data.truncate(data.len() - cut.min(data.len()));
        let model = decoder(&shape);
        let mut first = vec![0; n];
        let scalar = decode_group_on(Simd::Scalar, &model, 0, &data, &mut first);
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            let mut out = vec![0; n];
            let got = decode_group_on(simd, &model, 0, &data, &mut out);
            prop_assert_eq!(got, scalar);
            // Beside others, all are refused where one is.
            if n >= 1024 {
                let n = n / 256 * 256;
                let whole = encode(&shape, 0, &symbols[..n]);
                let mut one = whole.clone();
                let i = at % one.len();
                one[i] ^= 1 << bit;
                one.truncate(one.len() - cut.min(one.len()));
                let mut alone = vec![0; n];
                let expected = decode_group_on(Simd::Scalar, &model, 0, &one, &mut alone);
                let mut outs = vec![vec![0; n]; 4];
                let mut jobs: Vec<Group> =
                    outs.iter_mut().map(|out| Group { first: 0, stream: &whole, out }).collect();
                jobs[seed as usize % 4].stream = &one;
                let done = decode_groups_on(simd, &model, &mut jobs).is_some();
                prop_assert_eq!(done, expected == Some(one.len()));
                if done {
                    prop_assert_eq!(&outs[seed as usize % 4], &alone);
                }
            }
            if got.is_some() {
                prop_assert_eq!(&out, &first);
            }
        }
    }
}

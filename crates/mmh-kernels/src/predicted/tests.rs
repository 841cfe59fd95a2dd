use super::*;
use crate::cpu::Simd;
use proptest::prelude::*;

fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut x = seed | 1;
    move || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x >> 33
    }
}

/// Exponents of numbers about 2^100, a few of them far away, and signs that are mostly those of the number before.
fn numbers(n: usize, seed: u64) -> (Vec<u8>, Vec<u8>) {
    let mut next = random(seed);
    let mut sign = 0;
    (0..n)
        .map(|_| {
            let r = next();
            sign ^= r.is_multiple_of(4) as u8;
            let s = 100 - (r as u32 | 1 << 20).trailing_zeros() as i32 * 4 + (r >> 24) as i32 % 4;
            (if next().is_multiple_of(300) { (r >> 8) as u8 } else { s.clamp(0, 255) as u8 }, sign)
        })
        .unzip()
}

fn shape(period: usize, columns: bool, weighted: bool, window: u8) -> Shape {
    let count = if columns { period } else { 0 };
    let pairs = if weighted { period * (period - 1) / 2 } else { 0 };
    Shape {
        mantissa: 2,
        rounded: false,
        origin: 58,
        window,
        start: 900,
        period,
        scales: (0..count).map(|c| NEUTRAL - 9 + (c % 7) as u8 * 3).collect(),
        biases: (0..count).map(|c| MIDDLE - 2 + (c % 5) as u8).collect(),
        precision: 4,
        weights: (0..pairs).map(|i| [0, 1, 0, -2, 3, 0, -1][i % 7]).collect(),
        curve: std::array::from_fn(|i| 127 - i as u8),
    }
}

fn built(shape: &Shape) -> Model {
    let mut model = Model::new();
    assert!(model.lay_out(shape) && model.build_tables(shape));
    model
}

fn encode(model: &Model, first: usize, symbols: &[u8], signs: &[u8]) -> Vec<u8> {
    let mut all: Option<Vec<u8>> = None;
    let mut all_contexts = None;
    for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
        let (mut contexts, mut work) = (Vec::new(), Work::default());
        let mut errors = [0; BINS];
        classify_on(simd, model, first, (symbols, signs), &mut contexts, Some(&mut errors), &mut work);
        let counted =
            (first..first + symbols.len()).filter(|at| (at % model.period).is_multiple_of(COUNTED)).count();
        assert_eq!(errors.iter().sum::<u32>() as usize, counted);
        let flat = contexts.as_flattened();
        assert_eq!(flat.iter().filter(|c| **c != NONE).count(), symbols.len());
        all_contexts.get_or_insert_with(|| (contexts.clone(), errors));
        let same = all_contexts.as_ref().is_some_and(|(c, e)| *c == contexts && *e == errors);
        assert!(same, "{simd:?}");
        let mut out = Vec::new();
        assert!(encode_group_on(simd, model, first, (symbols, signs), &mut contexts, &mut work, &mut out));
        assert_eq!(all.get_or_insert_with(|| out.clone()), &out, "{simd:?}");
    }
    all.unwrap()
}

#[test]
fn every_group_size_comes_back_on_every_instruction_set() {
    let shapes = [
        shape(1, false, false, 6),
        shape(2048, false, false, 1),
        shape(27, true, false, 8),
        shape(40, true, true, 5),
        shape(61, true, true, 4),
        shape(1000, true, true, 6),
        shape(100, true, true, 6),
        shape(MAX_PERIOD, false, false, 6),
        shape(5000, true, false, 6),
    ];
    for shape in shapes {
        let model = built(&shape);
        for (i, n) in [1, 2, 15, 100, 1600, 4099, 32_767, 32_768].into_iter().enumerate() {
            let first = i % 3 * 32_768;
            let (symbols, signs) = numbers(n, i as u64);
            let data = encode(&model, first, &symbols, &signs);
            for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                let (mut s, mut t) = (vec![0; n], vec![0; n]);
                // What is left of another group is of no account.
                let mut work = Work::default();
                work.history.resize(50, [[77; 2]; LANES]);
                work.columns.resize(100, [77; LANES]);
                let done = decode_one(simd, &model, first, &data, &mut s, &mut t, work);
                assert_eq!(done, Some(()), "{simd:?} {n}");
                assert!(s == symbols && t == signs, "{simd:?} {n} {}", shape.period);
            }
        }
    }
}

fn decode_one(
    simd: Simd,
    model: &Model,
    first: usize,
    stream: &[u8],
    symbols: &mut [u8],
    signs: &mut [u8],
    work: Work,
) -> Option<()> {
    let mut group = [Group { first, stream, symbols, signs }];
    decode_groups_on(simd, model, &mut group, &mut [work, Work::default()])
}

/// Where a group begins, its stream, its symbols and signs.
type Encoded = (usize, Vec<u8>, Vec<u8>, Vec<u8>);

fn beside<'a>(groups: &'a [Encoded], outs: &'a mut [(Vec<u8>, Vec<u8>)]) -> Vec<Group<'a>> {
    let job = |((first, stream, ..), (symbols, signs)): (&'a Encoded, &'a mut (Vec<u8>, Vec<u8>))| Group {
        first: *first,
        stream,
        symbols,
        signs,
    };
    groups.iter().zip(outs).map(job).collect()
}

#[test]
fn groups_are_decoded_side_by_side() {
    for (i, period) in [16, 37, 100, 1024].into_iter().enumerate() {
        for (scaled, weighted) in [(true, true), (true, false), (false, false)] {
            let model = built(&shape(period, scaled, weighted, 4 + i as u8));
            // Begins and ends within rows, of as many passes or more, or of a part of a row.
            let sizes = [3000, 3000, 2048, 5000, 5, 3000, 90, 2, 700];
            let mut first = 3 * i;
            let mut groups = Vec::new();
            for (i, n) in sizes.into_iter().enumerate() {
                let (mut symbols, signs) = numbers(n, i as u64);
                if i % 4 == 1 {
                    symbols[n / 2..].iter_mut().step_by(3).for_each(|s| *s = 255 - (*s & 7));
                }
                let stream = encode(&model, first, &symbols, &signs);
                assert_eq!(stream_size(&[&stream[..], &[0xa5; 9][..i]].concat()), Some(stream.len()));
                groups.push((first, stream, symbols, signs));
                first += n;
            }
            for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                let mut outs: Vec<_> = sizes.iter().map(|n| (vec![9; *n], vec![9; *n])).collect();
                let mut jobs = beside(&groups, &mut outs);
                let mut work = [Work::default(), Work::default()];
                assert_eq!(
                    decode_groups_on(simd, &model, &mut jobs, &mut work),
                    Some(()),
                    "{simd:?} {period}"
                );
                for (out, (.., symbols, signs)) in outs.iter().zip(&groups) {
                    assert!(out.0 == *symbols && out.1 == *signs, "{simd:?} {period}");
                }
                // A stream that has a byte too few, wherever it stands.
                for bad in 0..3 {
                    let mut outs: Vec<_> = sizes.iter().map(|n| (vec![9; *n], vec![9; *n])).collect();
                    let mut jobs = beside(&groups, &mut outs);
                    jobs[bad].stream = jobs[bad].stream.split_last().unwrap().1;
                    assert_eq!(decode_groups_on(simd, &model, &mut jobs, &mut work), None);
                }
            }
        }
    }
}

#[test]
fn nothing_but_escapes_comes_back() {
    let model = built(&shape(64, true, true, 6));
    let symbols: Vec<u8> = (0..3000).map(|i| if i % 2 == 0 { 255 } else { (i % 40) as u8 }).collect();
    let signs: Vec<u8> = (0..3000).map(|i| (i / 3 % 2) as u8).collect();
    let data = encode(&model, 0, &symbols, &signs);
    let (mut s, mut t) = (vec![0; 3000], vec![0; 3000]);
    let simd = crate::cpu::simd();
    assert_eq!(decode_one(simd, &model, 0, &data, &mut s, &mut t, Work::default()), Some(()));
    assert!(s == symbols && t == signs);
}

#[test]
fn shapes_beyond_the_limits_are_refused() {
    let good = shape(40, true, true, 6);
    let mut model = Model::new();
    assert!(model.lay_out(&good));
    let bad = [
        Shape { mantissa: 4, ..good.clone() },
        Shape { window: 0, ..good.clone() },
        Shape { window: 9, ..good.clone() },
        Shape { period: 0, ..good.clone() },
        Shape { period: 41, ..good.clone() },
        Shape { scales: vec![SCALES; 40], ..good.clone() },
        Shape { biases: vec![128; 40], ..good.clone() },
        Shape { biases: Vec::new(), ..good.clone() },
        Shape { precision: 16, ..good.clone() },
        Shape { weights: vec![1; 3], ..good.clone() },
        Shape { scales: Vec::new(), biases: Vec::new(), ..good.clone() },
        Shape {
            period: MAX_PERIOD + 1,
            scales: Vec::new(),
            biases: Vec::new(),
            weights: Vec::new(),
            ..good.clone()
        },
        Shape { weights: vec![-128; 600 * 599 / 2], ..shape(600, true, true, 6) },
    ];
    for (i, shape) in bad.iter().enumerate() {
        assert!(!model.lay_out(shape), "{i}");
    }
    assert!(model.lay_out(&good));
    assert!(!model.build_tables(&Shape { curve: [0; BINS], ..good.clone() }));
    assert!(!model.build_tables(&Shape { curve: [128; BINS], ..good }));
    let stream = [&[0; 2], [1; 4 * LANES].as_slice()].concat();
    for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
        let decode = |model| decode_one(simd, model, 0, &stream, &mut [0; 5], &mut [0; 5], Work::default());
        assert_eq!(decode(&Model::new()), None);
    }
}

#[test]
fn magnitudes_are_those_of_the_numbers() {
    // Exponent 5 of origin 20 >> 2, mantissa 3 of 4: the middle of 1.75 · 2^5 and 2 · 2^5.
    let cut = magnitudes(2, false, 20);
    assert_eq!((cut[19], cut[20], cut[20 + 4 * 5 + 3], cut[20 + 4 * 16]), (0, 1, 60, u16::MAX));
    let rounded = magnitudes(3, true, 0);
    assert_eq!((rounded[0], rounded[8 * 4 + 3], rounded[8 * 16]), (1, 22, u16::MAX));
}

#[test]
fn least_squares_find_what_columns_have_in_common() {
    let mut next = random(9);
    let mut normal = || (0..12).map(|_| (next() % 4096) as f32 / 4096.0 - 0.5).sum::<f32>();
    let rows: Vec<i16> = (0..2003)
        .flat_map(|_| {
            let (a, b, c) = (normal(), normal(), normal());
            [a, b, 0.5 * a - 0.25 * b + 0.1 * c].map(|x| (x * UNIT) as i16)
        })
        .collect();
    let mut reference = vec![0f32; 9];
    let mut found = [0f32; 2];
    for (i, simd) in Simd::ALL.into_iter().filter(|s| s.is_available()).enumerate() {
        let mut sums = vec![0f32; 9];
        let mut work = Sums::default();
        rows.chunks(3 * AT_ONCE).for_each(|rows| accumulate_on(simd, rows, 3, &mut sums, &mut work));
        assert!(factor_on(simd, &mut sums, 3));
        let mut weights = Vec::new();
        regress_on(simd, &sums, 3, 2, &[0.01, 0.01], &mut weights);
        if i == 0 {
            reference = sums.clone();
            found.copy_from_slice(&weights);
        }
        assert!(sums == reference && weights == found, "{simd:?}");
    }
    assert!((found[0] - 50.0).abs() <= 2.0 && (found[1] + 25.0).abs() <= 2.0, "{found:?}");
    assert!(found.iter().all(|w| w.fract() == 0.0), "{found:?}");
    assert!(!factor(&mut [0.0], 1));
    assert!(!factor(&mut [f32::NAN], 1));
}

#[test]
fn sums_of_products_are_those_of_all_pairs_of_columns() {
    for (period, rows) in [(1, 1), (2, 64), (17, 7), (33, 64), (100, 31)] {
        let mut next = random(period as u64);
        let largest = 2 * LARGEST_IN_ROW as u64 + 1;
        let numbers: Vec<i16> =
            (0..period * rows).map(|_| (next() % largest) as i16 - LARGEST_IN_ROW).collect();
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            let mut sums = vec![0f32; period * period];
            accumulate_on(simd, &numbers, period, &mut sums, &mut Sums::default());
            for i in 0..period {
                for j in 0..=i {
                    let each = numbers.chunks(period).map(|row| row[i] as i32 * row[j] as i32);
                    assert_eq!(sums[i * period + j], each.sum::<i32>() as f32, "{simd:?} {i} {j}");
                }
            }
        }
    }
}

#[test]
fn rows_are_made_as_large_as_others() {
    let values: [f32; 512] = std::array::from_fn(|i| if i < 256 { i as f32 } else { 256.0 - i as f32 });
    let (symbols, signs) = ([10, 20, 30, 0], [0, 1, 0, 1]);
    for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
        let (mut row, mut sums, mut squares) = ([0; 4], [1; 4], [0.0; 4]);
        let inverse = [0.1, 0.1, 0.1, 0.1];
        normalize_on(simd, (&symbols, &signs), &values, &inverse, &mut row, &mut sums, &mut squares);
        assert_eq!((row, sums), ([171, -341, 512, 0], [172, -340, 513, 1]), "{simd:?}");
        assert_eq!(squares, row.map(|x| (x as f32) * (x as f32)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn damaged_groups_are_refused_or_decoded_alike_everywhere(seed in any::<u64>(), n in 1usize..6000, period in 2usize..80, weighted in any::<bool>(), at in any::<usize>(), bit in 0u8..8, cut in 0usize..40) {
        let model = built(&shape(period, true, weighted, 5));
        let (symbols, signs) = numbers(n, seed);
        let mut data = encode(&model, 0, &symbols, &signs);
        let i = at % data.len();
        data[i] ^= 1 << bit;
        data.truncate(data.len() - cut.min(data.len()));
        let (mut first, mut first_signs) = (vec![0; n], vec![0; n]);
        let scalar = decode_one(Simd::Scalar, &model, 0, &data, &mut first, &mut first_signs, Work::default());
        for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
            let (mut s, mut t) = (vec![0; n], vec![0; n]);
            let got = decode_one(simd, &model, 0, &data, &mut s, &mut t, Work::default());
            prop_assert_eq!(got, scalar);
            if got.is_some() {
                prop_assert!(s == first && t == first_signs);
            }
        }
    }
}

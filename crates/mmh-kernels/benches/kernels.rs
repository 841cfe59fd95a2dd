//! Each kernel on each instruction set that the CPU has, over a block of bf16 that lies in the cache.
//! `cargo bench -p mmh-kernels -- lanes` runs those whose names contain "lanes". Bytes are those of the source block.

// criterion makes functions that have none.
#![allow(missing_docs)]

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use mmh_kernels::cpu::Simd;
use mmh_kernels::fields::{self, FieldSpec};
use mmh_kernels::huffman::{self, CodeLengths, DecodeTable, EncodeTable};
use mmh_kernels::lanes::{self, Frequencies, Pair};
use mmh_kernels::planes::{self, Plane};
use mmh_kernels::predicted::{self, Work};
use mmh_kernels::sparse::{self, Frequent};
use mmh_kernels::{histogram, modelled, period, rans, zeros};
use std::hint::black_box;

/// Elements of a group.
const GROUP: usize = 1 << 15;

/// Elements of the block: eight groups.
const N: usize = 8 * GROUP;

/// The exponent is the symbol; sign and mantissa are the rest.
const BF16: FieldSpec = FieldSpec { width: 1, sign_moved: true, zigzag: false, t: 8, drop: 0, base: 0 };

/// A bit of the mantissa joins the exponent.
const NINE: FieldSpec = FieldSpec { t: 9, base: 100, ..BF16 };

/// Bell-shaped numbers, cut to bf16.
fn weights() -> Vec<u8> {
    let mut x = 0x1234_5678_9abc_def1u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let mut element = || {
        let (a, b) = (next(), next());
        // The sum of eight uniform numbers is close to normal.
        let sum: i64 =
            (0..4).map(|i| ((a >> (16 * i)) & 0xffff) as i64 - ((b >> (16 * i)) & 0xffff) as i64).sum();
        ((sum as f32 / 1e6).to_bits() >> 16) as u16
    };
    (0..N).flat_map(|_| element().to_le_bytes()).collect()
}

fn each(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut run: impl FnMut(Simd)) {
    // What comes after needs what this one leaves behind, even where a filter leaves it out.
    run(Simd::Scalar);
    for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
        group.bench_function(BenchmarkId::new(name, simd.name()), |b| b.iter(|| run(simd)));
    }
}

fn kernels(c: &mut Criterion) {
    let data = weights();
    let mut group = c.benchmark_group("bf16");
    group.throughput(Throughput::Bytes(data.len() as u64));

    each(&mut group, "checksum/xxh3", |s| {
        black_box(mmh_kernels::checksum::xxh3_on(s, &data));
    });
    let mut symbols = vec![0u8; N];
    let mut misses = Vec::new();
    let mut rests = vec![0u64; N / 8];
    each(&mut group, "fields/symbols", |s| fields::symbols_on(s, &BF16, &data, &mut symbols, &mut misses));
    each(&mut group, "fields/rests", |s| fields::rests_on(s, &BF16, &data, &mut rests));
    each(&mut group, "fields/symbols of 9 bits", |s| {
        fields::symbols_on(s, &NINE, &data, &mut symbols, &mut misses);
    });
    fields::symbols(&BF16, &data, &mut symbols, &mut misses);
    let mut merged = data.clone();
    let rest = planes::as_bytes(&rests)[..N].to_vec();
    each(&mut group, "fields/merge_bytes", |s| {
        fields::merge_bytes_on(s, &BF16, &symbols, &rest, &mut merged)
    });
    assert!(merged == data);

    let mut nibbles = [vec![0u8; GROUP / 2], vec![0u8; GROUP / 4], vec![0u8; GROUP / 8]];
    let cuts = [(4u8, 3u8), (2, 1), (1, 0)];
    each(&mut group, "planes/pack", |s| {
        for part in rests.chunks(GROUP / 8) {
            for ((bits, shift), plane) in cuts.iter().zip(&mut nibbles) {
                planes::pack_on(s, 0, part, GROUP, *bits, *shift, plane);
            }
        }
    });
    let mut appended = Vec::with_capacity(2 * N);
    let wide = FieldSpec { width: 2, t: 10, base: 100, ..BF16 };
    for (name, spec, cuts) in [
        ("8 of bf16", BF16, &[(8u8, 0u8)][..]),
        ("4, 2, 1 of bf16", NINE, &[(4, 3), (2, 1), (1, 0)]),
        ("2, 1 of fp8", FieldSpec { width: 0, t: 5, ..BF16 }, &[(2, 1), (1, 0)]),
        ("8, 8, 4, 2 of fp32", wide, &[(8, 14), (8, 6), (4, 2), (2, 0)]),
    ] {
        each(&mut group, &format!("fields/append_plane {name}"), |s| {
            appended.clear();
            for part in data.chunks(GROUP << spec.width) {
                for (bits, shift) in cuts {
                    fields::append_plane_on(s, &spec, part, *bits, *shift, &mut appended);
                }
            }
        });
        each(&mut group, &format!("fields/append_planes {name}"), |s| {
            appended.clear();
            for part in data.chunks(GROUP << spec.width) {
                fields::append_planes_on(s, &spec, part, cuts, &mut appended);
            }
        });
    }
    let mut unpacked = vec![0u64; GROUP / 8];
    each(&mut group, "planes/unpack", |s| {
        for _ in 0..N / GROUP {
            unpacked.fill(0);
            for ((bits, shift), data) in cuts.iter().zip(&nibbles) {
                planes::unpack_or_on(
                    s,
                    0,
                    &Plane { data, bits: *bits, shift: *shift },
                    0,
                    &mut unpacked,
                    GROUP,
                );
            }
        }
    });
    let parts = std::array::from_fn(|i| Plane { data: &nibbles[i], bits: cuts[i].0, shift: cuts[i].1 });
    each(&mut group, "fields/merge_nibbles", |s| {
        for (symbols, out) in symbols.chunks(GROUP).zip(merged.chunks_mut(2 * GROUP)) {
            fields::merge_nibbles_on(s, &NINE, symbols, &parts, 0, out);
        }
    });
    let parts: Vec<Plane<'_>> = [(8, 14), (8, 6), (4, 2), (2, 0)]
        .map(|(bits, shift)| Plane { data: &data[..GROUP * bits as usize / 8], bits, shift })
        .to_vec();
    each(&mut group, "fields/merge_planes 8, 8, 4, 2 to fp32", |s| {
        for (symbols, out) in symbols.chunks(GROUP).zip(merged.chunks_mut(4 * GROUP)) {
            fields::merge_planes_on(s, &wide, symbols, &parts, 0, out);
        }
    });
    let mut ors = Vec::new();
    each(&mut group, "fields/rest_ors", |s| {
        ors.clear();
        fields::rest_ors_on(s, &BF16, &data, 64, &mut ors);
    });
    each(&mut group, "zeros/segment_ors", |s| {
        ors.clear();
        zeros::segment_ors_on(s, 0, &rests, N, 64, &mut ors);
    });

    let mut counts = [0u32; 256];
    each(&mut group, "histogram/bytes", |s| histogram::bytes_on(s, &symbols, &mut counts));
    counts.fill(0);
    histogram::bytes(&symbols, &mut counts);

    let Some(code) = CodeLengths::for_counts(&counts, 11) else { return };
    let to = EncodeTable::new(&code);
    let mut from = DecodeTable::new();
    from.build(&code, N);
    let mut stream = Vec::new();
    each(&mut group, "huffman/encode", |s| {
        stream.clear();
        symbols.chunks(GROUP).for_each(|g| huffman::encode_group_on(s, &to, g, &mut stream));
    });
    let mut back = vec![0u8; N];
    each(&mut group, "huffman/decode", |s| {
        let mut at = 0;
        for g in back.chunks_mut(GROUP) {
            at += huffman::decode_group_on(s, &from, &stream[at..], g).unwrap_or(0);
        }
    });
    assert!(back == symbols);

    let Some(frequencies) = Frequencies::for_counts(&counts, 18) else { return };
    let to = lanes::Encoder::new(&frequencies);
    let from = lanes::Decoder::new(&frequencies);
    let mut work = lanes::Work::default();
    let mut streams: Vec<Vec<u8>> = vec![Vec::new(); N / GROUP];
    each(&mut group, "lanes/encode", |s| {
        misses.clear();
        for (four, out) in symbols.chunks(4 * GROUP).zip(streams.chunks_mut(4)) {
            let pair = |p: usize| Pair {
                table: &to,
                groups: [0, 1usize].map(|i| &four[(2 * p + i) * GROUP..][..GROUP]),
                first: [0; 2],
            };
            let encoded = lanes::encode_on(s, [pair(0), pair(1)], &mut misses, &mut work);
            for (out, stream) in out.iter_mut().zip(encoded.into_iter().flatten()) {
                out.clear();
                out.extend_from_slice(stream);
            }
        }
    });
    each(&mut group, "lanes/decode", |s| {
        let mut groups: Vec<_> = (streams.iter().zip(back.chunks_mut(GROUP)))
            .map(|(stream, out)| lanes::Group { table: &from, stream, rest: &[], out })
            .collect();
        black_box(lanes::decode_on(s, &mut groups));
    });
    let mut scratch = Vec::new();
    each(&mut group, "lanes/decode_bf16", |s| {
        let mut groups: Vec<_> = (streams.iter().zip(rest.chunks(GROUP)).zip(merged.chunks_mut(2 * GROUP)))
            .map(|((stream, rest), out)| lanes::Group { table: &from, stream, rest, out })
            .collect();
        black_box(lanes::decode_bf16_on(s, &mut groups, &mut scratch));
    });
    group.bench_function("lanes/tables", |b| {
        b.iter(|| {
            let f = Frequencies::for_counts(black_box(&counts), 18);
            f.map(|f| (black_box(lanes::Encoder::new(&f)), black_box(lanes::Decoder::new(&f)))).is_some()
        });
    });

    let weights: [u8; 256] = counts.map(|c| if c == 0 { 0 } else { 1 + 6 * c.ilog2() as u8 });
    let Some(frequencies) = rans::Frequencies::from_weights(0, &weights, 0) else { return };
    let to = rans::Encoder::new(&frequencies);
    let from = rans::Decoder::new(&frequencies);
    each(&mut group, "rans/encode", |s| {
        misses.clear();
        for (four, out) in symbols.chunks(4 * GROUP).zip(streams.chunks_mut(4)) {
            let pair = |p: usize| Pair {
                table: &to,
                groups: [0, 1usize].map(|i| &four[(2 * p + i) * GROUP..][..GROUP]),
                first: [0; 2],
            };
            let encoded = rans::encode_on(s, [pair(0), pair(1)], &mut misses, &mut work);
            for (out, stream) in out.iter_mut().zip(encoded.into_iter().flatten()) {
                out.clear();
                out.extend_from_slice(stream);
            }
        }
    });
    each(&mut group, "rans/decode", |s| {
        let mut groups: Vec<_> = (streams.iter().zip(back.chunks_mut(GROUP)))
            .map(|(stream, out)| rans::Group { table: &from, stream, out })
            .collect();
        black_box(rans::decode_on(s, &mut groups));
    });
    assert!(misses.is_empty() && back == symbols);

    // With AVX-512 codes of few values fit registers. Those of five bits are all alike, those of exponents and two bits of the mantissa mostly rare.
    let five: Vec<u8> = data.iter().step_by(2).map(|b| (b & 15) + (b >> 4)).collect();
    let top = |element: &[u8; 2]| u16::from_le_bytes(*element) >> 5 & 0x3ff;
    let elements = data.as_chunks().0;
    let highest = elements.iter().map(top).max().unwrap_or(0);
    let six: Vec<u8> = elements.iter().map(|e| (63 + top(e)).saturating_sub(highest) as u8).collect();
    for (name, few) in [("few values", five), ("few values, many of them rare", six)] {
        let mut counts = [0; 256];
        histogram::bytes(&few, &mut counts);
        let weights: [u8; 256] = counts.map(|c| if c == 0 { 0 } else { 1 + 6 * c.ilog2() as u8 });
        let Some(frequencies) = rans::Frequencies::from_weights(0, &weights, 0) else { return };
        let (to, from) = (rans::Encoder::new(&frequencies), rans::Decoder::new(&frequencies));
        for (g, out) in few.chunks(GROUP).zip(&mut streams) {
            let pairs = [Pair { table: &to, groups: [g, &[]], first: [0; 2] }, Pair::none(&to)];
            *out = rans::encode(pairs, &mut misses, &mut work)[0][0].to_vec();
        }
        each(&mut group, &format!("rans/decode {name}"), |s| {
            let mut groups: Vec<_> = (streams.iter().zip(back.chunks_mut(GROUP)))
                .map(|(stream, out)| rans::Group { table: &from, stream, out })
                .collect();
            black_box(rans::decode_on(s, &mut groups));
        });
        assert!(misses.is_empty() && back == few);
    }

    let pattern: Vec<u8> = data[..251].iter().copied().cycle().take(data.len()).collect();
    group.bench_function("period/found", |b| b.iter(|| period::smallest(black_box(&pattern), 1 << 16)));
    group.bench_function("period/none", |b| b.iter(|| period::smallest(black_box(&data), 1 << 16)));
    group.finish();
}

/// Exponents in the context of those before them, with four tables.
fn contexts(c: &mut Criterion) {
    let data = weights();
    let mut symbols = vec![0u8; N];
    fields::symbols(&BF16, &data, &mut symbols, &mut Vec::new());
    let most = symbols.iter().copied().max().unwrap_or(0);
    let magnitude = modelled::Magnitude::Float { mantissa: 0, origin: most.saturating_sub(10) };
    let shape = modelled::Shape { magnitude, window: 6, start: 300, first_class: 112, columns: Vec::new() };
    let walk = modelled::Walk::new(&shape);
    let mut classes = vec![0; N];
    let mut group = c.benchmark_group("modelled");
    group.throughput(Throughput::Elements(N as u64));
    each(&mut group, "classify", |s| {
        modelled::classify_groups_on(s, &walk, &symbols, GROUP, 1, &mut classes);
    });
    let table_of = std::array::from_fn(|class| class as u8 / 16);
    let table = |flat: u8| {
        let weights: Vec<u8> = (0..=255u8).map(|s| 127 - (most.abs_diff(s).min(14) * flat)).collect();
        rans::Frequencies::from_weights(0, &weights, 0)
    };
    let tables: Vec<rans::Frequencies> = (4..8).filter_map(table).collect();
    let (to, mut from) = (modelled::EncodeModel::new(&table_of, &tables), modelled::DecodeModel::new());
    assert!(from.build(&shape, &table_of, &tables, None));
    let mut encoded = modelled::Encoded::default();
    each(&mut group, "encode", |s| assert!(encoded.encode_on(s, &to, GROUP, &classes, &symbols)));
    let mut back = vec![0; N];
    each(&mut group, "decode one by one", |s| {
        for (g, out) in back.chunks_mut(GROUP).enumerate() {
            assert!(modelled::decode_group_on(s, &from, g * GROUP, encoded.get(g), out).is_some());
        }
    });
    back.fill(0);
    each(&mut group, "decode", |s| {
        let of = |(g, out)| modelled::Group { first: g * GROUP, stream: encoded.get(g), out };
        let mut groups: Vec<_> = back.chunks_mut(GROUP).enumerate().map(of).collect();
        assert!(modelled::decode_groups_on(s, &from, &mut groups).is_some());
    });
    assert!(back == symbols);
    group.finish();
}

/// Rows of 384 numbers that are predicted from each other.
fn predictions(c: &mut Criterion) {
    const COLUMNS: usize = 384;
    let shape = predicted::Shape {
        mantissa: 0,
        rounded: false,
        origin: 100,
        window: 6,
        start: 800,
        period: COLUMNS,
        scales: vec![predicted::NEUTRAL; COLUMNS],
        biases: vec![predicted::MIDDLE; COLUMNS],
        precision: 6,
        weights: (0..COLUMNS * (COLUMNS - 1) / 2).map(|i| [0, 1, 0, -1, 2, 0, -1][i % 7]).collect(),
        curve: std::array::from_fn(|i| 127 - i as u8),
    };
    let mut model = predicted::Model::new();
    assert!(model.lay_out(&shape) && model.build_tables(&shape));
    let data = weights();
    let mut symbols = vec![0u8; GROUP];
    fields::symbols(&BF16, &data[..2 * GROUP], &mut symbols, &mut Vec::new());
    // About 2^10 times the symbol of magnitude one.
    let most = symbols.iter().copied().max().unwrap_or(0);
    symbols.iter_mut().for_each(|s| *s = s.wrapping_add(111u8.wrapping_sub(most)));
    let signs: Vec<u8> = data.chunks(2).take(GROUP).map(|e| e[1] >> 7).collect();
    let mut group = c.benchmark_group("predicted");
    group.throughput(Throughput::Elements(GROUP as u64));
    let (mut contexts, mut work, mut out) = (Vec::new(), Work::default(), Vec::new());
    let numbers = (symbols.as_slice(), signs.as_slice());
    each(&mut group, "classify", |s| {
        predicted::classify_on(s, &model, 0, numbers, &mut contexts, None, &mut work);
    });
    each(&mut group, "encode", |s| {
        out.clear();
        black_box(predicted::encode_group_on(s, &model, 0, numbers, &mut contexts, &mut work, &mut out));
    });
    // As many as are decoded side by side.
    let n = predicted::SIDE_BY_SIDE;
    let (mut back, mut back_signs) = (symbols.repeat(n), signs.repeat(n));
    let mut works = std::array::from_fn(|_| Work::default());
    group.throughput(Throughput::Elements((n * GROUP) as u64));
    each(&mut group, "decode", |s| {
        let each = back.chunks_mut(GROUP).zip(back_signs.chunks_mut(GROUP));
        let of = |(symbols, signs)| predicted::Group { first: 0, stream: &out, symbols, signs };
        let mut groups: Vec<_> = each.map(of).collect();
        assert!(predicted::decode_groups_on(s, &model, &mut groups, &mut works).is_some());
    });
    assert!(back == symbols.repeat(n) && back_signs == signs.repeat(n));
    let rows: Vec<i16> = (0..1024 * COLUMNS).map(|i| (i * 7919 % 1000) as i16 - 500).collect();
    let mut sums = vec![0f32; COLUMNS * COLUMNS];
    let mut some = predicted::Sums::default();
    group.throughput(Throughput::Elements(rows.len() as u64));
    each(&mut group, "accumulate", |s| {
        for rows in rows.chunks(predicted::AT_ONCE * COLUMNS) {
            predicted::accumulate_on(s, rows, COLUMNS, &mut sums, &mut some);
        }
    });
    (0..COLUMNS).for_each(|i| sums[i * COLUMNS + i] *= 2.0);
    each(&mut group, "factor", |s| {
        let mut matrix = sums.clone();
        assert!(predicted::factor_on(s, &mut matrix, COLUMNS));
    });
    group.finish();
}

/// Of two bytes, of which every second one is zero by chance, of either sign.
fn sparse_elements(c: &mut Criterion) {
    let of = Frequent { width: 1, word: 0, signed: true };
    let mut data = weights();
    let chance =
        |i: usize| (i as u32).wrapping_mul(2_654_435_761).rotate_left(15).wrapping_mul(0x85EB_CA6B) >> 31;
    for (i, element) in data.chunks_exact_mut(2).enumerate().filter(|(i, _)| chance(*i) == 0) {
        element.copy_from_slice(&[0, ((i / 3 % 2) as u8) << 7]);
    }
    let (mut mask, mut others) = (vec![0; N / 8], vec![0; data.len()]);
    let mut signs = vec![0; mask.len() + sparse::SLACK];
    let mut group = c.benchmark_group("sparse");
    group.throughput(Throughput::Bytes(data.len() as u64));
    each(&mut group, "split", |s| {
        black_box(sparse::split_on(s, &of, &data, &mut mask, &mut others, &mut signs));
    });
    let apart = sparse::split(&of, &data, &mut mask, &mut others, &mut signs);
    let (others, signs) = (&others[..apart.others], &signs[..apart.frequent.div_ceil(8)]);
    let mut out = vec![0; data.len()];
    each(&mut group, "join", |s| assert!(sparse::join_on(s, &of, &mask, others, signs, &mut out)));
    assert!(out == data);
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = kernels, contexts, predictions, sparse_elements
}
criterion_main!(benches);

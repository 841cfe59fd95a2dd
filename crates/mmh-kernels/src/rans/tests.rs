use super::*;
use crate::cpu::Simd;
use crate::lanes::{Pair, Work};
use proptest::prelude::*;

fn random(seed: u64) -> impl FnMut() -> u32 {
    let mut x = seed | 1;
    move || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 33) as u32
    }
}

/// As skewed as exponents are: halving, with a few values at the bottom.
fn skewed(n: usize, seed: u64, spread: u32) -> Vec<u8> {
    let mut next = random(seed);
    let mut one = || {
        let v = next();
        (v.trailing_zeros().min(spread) as u8).wrapping_mul(3).wrapping_add((v >> 28) as u8 & 3)
    };
    (0..n).map(|_| one()).collect()
}

/// Frequencies of what occurs, of which every `without`-th value has none.
fn fit(symbols: &[u8], without: usize) -> Option<Frequencies> {
    let mut counts = [0; 256];
    crate::histogram::bytes(symbols, &mut counts);
    counts.iter_mut().step_by(without.max(1)).for_each(|c| *c *= (without == 0) as u32);
    let weight = |c: u32| if c == 0 { 0 } else { 20 + 5 * c.ilog2() as u8 };
    Frequencies::from_weights(0, &counts.map(weight), 0)
}

fn sets() -> impl Iterator<Item = Simd> {
    Simd::ALL.into_iter().filter(|s| s.is_available())
}

/// Streams of two groups, and the positions of symbols without a frequency.
fn streams_of(simd: Simd, table: &Encoder, groups: [&[u8]; 2]) -> ([Vec<u8>; 2], Vec<u32>) {
    let (mut misses, mut work) = (Vec::new(), Work::default());
    let pairs = [Pair::none(table), Pair { table, groups, first: [7, 100_007] }];
    let [_, streams] = encode_on(simd, pairs, &mut misses, &mut work);
    let streams = streams.map(<[u8]>::to_vec);
    misses.sort_unstable();
    (streams, misses)
}

/// Every instruction set writes the same streams and reads them back, with what has no frequency patched.
fn check(symbols: &[u8], other: &[u8], groups: usize, without: usize) {
    let both = [symbols, other].concat();
    let Some(frequencies) = fit(&both, without) else { return };
    let (to, from) = (Encoder::new(&frequencies), Decoder::new(&frequencies));
    let expected = streams_of(Simd::Scalar, &to, [symbols, other]);
    for simd in sets() {
        let found = streams_of(simd, &to, [symbols, other]);
        assert!(found == expected, "{simd:?} {} {}", symbols.len(), other.len());
        let (streams, misses) = found;
        for ((symbols, stream), first) in [symbols, other].into_iter().zip(&streams).zip([7, 100_007]) {
            let mut outs = vec![vec![0u8; symbols.len()]; groups];
            let mut all: Vec<Group<'_>> =
                outs.iter_mut().map(|out| Group { table: &from, stream, out }).collect();
            assert_eq!(decode_on(simd, &mut all), Some(()), "{simd:?} {}", symbols.len());
            for out in &mut outs {
                for (at, symbol) in symbols.iter().enumerate() {
                    let missing = frequencies.of(*symbol) == 0 && at < coded(symbols.len());
                    assert_eq!(misses.binary_search(&(first + at as u32)).is_ok(), missing);
                    out[at] = if missing { *symbol } else { out[at] };
                }
                assert!(out == symbols, "{simd:?} {}", symbols.len());
            }
        }
    }
}

#[test]
fn every_group_size_comes_back_on_every_instruction_set() {
    let sizes = [1, 2, 15, 16, 31, 32, 33, 47, 48, 49, 63, 64, 65, 97, 160, 1023, 1024, 5000, 32_735, 32_768];
    for (i, n) in sizes.into_iter().enumerate() {
        let mut symbols = skewed(n, i as u64, 20);
        symbols[0] = 200;
        for groups in [1, 2, 3, 4, 5, 9] {
            check(&symbols, &[], groups, 0);
            check(&symbols, &symbols[n / 2..], groups, 3);
            check(&symbols[..n / 3], &symbols, groups, 0);
        }
    }
}

#[test]
fn nearly_constant_and_uniform_symbols() {
    let rare: Vec<u8> = (0..32_768u32).map(|i| (i % 5000 == 77) as u8).collect();
    check(&rare, &rare[3..], 4, 0);
    let uniform: Vec<u8> = (0..32_768u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    check(&uniform, &uniform[3..], 4, 0);
    check(&[5; 32_768], &[6; 40], 2, 0);
}

#[test]
fn the_rarest_symbols_alone_fill_the_room() {
    // One slot each: 12 bits a symbol, and the size still fits 16 bits.
    let frequencies = Frequencies::from_weights(3, &[127, 1, 1, 1], 0).unwrap();
    assert_eq!((frequencies.of(3), frequencies.of(4)), (4092, 1));
    let symbols: Vec<u8> = (0..32_768u32).map(|i| 4 + (i % 2) as u8).collect();
    for simd in sets() {
        let ([stream, _], misses) = streams_of(simd, &Encoder::new(&frequencies), [&symbols, &[]]);
        assert!(misses.is_empty() && stream.len() > 49_000 && stream.len() < 1 << 16, "{}", stream.len());
        let mut out = vec![0; symbols.len()];
        let table = &Decoder::new(&frequencies);
        let group = Group { table, stream: &stream, out: &mut out };
        assert_eq!(decode_on(simd, &mut [group]), Some(()));
        assert!(out == symbols);
    }
}

#[test]
fn groups_side_by_side_have_codes_of_their_own() {
    let symbols =
        [skewed(3000, 1, 20), skewed(3000, 2, 3), vec![5; 2998].into_iter().chain([6, 7]).collect()];
    let coded = symbols.each_ref().map(|symbols| {
        let frequencies = fit(symbols, 0).unwrap();
        let ([stream, _], _) = streams_of(Simd::Scalar, &Encoder::new(&frequencies), [symbols, &[]]);
        (stream, Decoder::new(&frequencies))
    });
    for simd in sets() {
        for order in [[0, 1, 2, 0, 1, 2, 0], [0, 0, 1, 1, 1, 2, 2], [2, 1, 1, 1, 1, 0, 0]] {
            let mut outs = vec![vec![0; 3000]; order.len()];
            let mut groups: Vec<Group<'_>> = (order.into_iter().zip(&mut outs))
                .map(|(which, out)| Group { table: &coded[which].1, stream: &coded[which].0, out })
                .collect();
            assert_eq!(decode_on(simd, &mut groups), Some(()), "{simd:?} {order:?}");
            for (i, which) in order.into_iter().enumerate() {
                assert!(outs[i] == symbols[which], "{simd:?} {order:?} {i}");
            }
        }
    }
}

#[test]
fn codes_of_few_values_are_decoded_alike_however_many_groups_share_them() {
    // As many values, and more of them rare, from code to code.
    let codes: [Vec<u8>; 9] = [
        vec![80; 64],
        (0..32).map(|i: u8| 40 + 3 * i.min(31 - i)).collect(),
        (0..32).map(|i: u8| 40 + 2 * i.min(31 - i)).collect(),
        (0..64).map(|i: u8| 50 + i.min(63 - i)).collect(),
        vec![60, 0, 60, 127, 127, 1, 1, 1, 1, 1],
        vec![70; 100],
        (0..64).map(|i: u8| 1 + i).collect(),
        (0..60).map(|i: u8| 60 - i).collect(),
        [vec![1; 20], vec![100; 10]].concat(),
    ];
    let n = 3000;
    let coded: Vec<_> = (codes.iter().enumerate())
        .map(|(i, weights)| {
            let frequencies = Frequencies::from_weights(100, weights, 0).unwrap();
            let mut next = random(i as u64 + 1);
            let slots: Vec<u8> = (0..=255).flat_map(|s| vec![s; frequencies.of(s) as usize]).collect();
            let symbols: Vec<u8> = (0..n).map(|_| slots[next() as usize % slots.len()]).collect();
            let ([stream, _], misses) =
                streams_of(Simd::Scalar, &Encoder::new(&frequencies), [&symbols, &[]]);
            assert!(misses.is_empty());
            (symbols, stream, Decoder::new(&frequencies))
        })
        .collect();
    for simd in sets() {
        for groups in [2, 4, 6, 8, 10, 21] {
            for stride in [1, 2, 3, 8] {
                for first in 0..codes.len() {
                    let order = (0..groups).map(|i| (first + i / stride) % codes.len());
                    let mut outs = vec![vec![0; n]; groups];
                    let mut all: Vec<Group<'_>> = (order.clone().zip(&mut outs))
                        .map(|(which, out)| Group { table: &coded[which].2, stream: &coded[which].1, out })
                        .collect();
                    assert_eq!(decode_on(simd, &mut all), Some(()), "{simd:?} {groups} {stride} {first}");
                    for (out, which) in outs.iter().zip(order) {
                        assert!(*out == coded[which].0, "{simd:?} {groups} {stride} {first}");
                    }
                }
            }
        }
    }
}

#[test]
fn pairs_side_by_side_give_what_each_gives_alone() {
    // Of few values that begin somewhere, of more, and of all that there are.
    let symbols: [Vec<u8>; 3] = [40, 100, 256].map(|kinds| {
        let mut next = random(kinds as u64);
        (0..5000)
            .map(|_| (next() % (1 + next() % kinds)) as u8 ^ if kinds < 256 { 0x80 } else { 0 })
            .collect()
    });
    for without in [0, 7] {
        let tables = symbols.each_ref().map(|s| Encoder::new(&fit(s, without).unwrap()));
        let alone =
            [0, 1, 2].map(|c| streams_of(Simd::Scalar, &tables[c], [&symbols[c], &symbols[c][1234..]]));
        for simd in sets() {
            for (a, b) in (0..9).map(|i| (i / 3, i % 3)) {
                let pair = |c: usize, at: u32| {
                    let groups = [symbols[c].as_slice(), &symbols[c][1234..]];
                    Pair { table: &tables[c], groups, first: [at + 7, at + 100_007] }
                };
                let (mut misses, mut work) = (Vec::new(), Work::default());
                let streams = encode_on(simd, [pair(a, 0), pair(b, 1 << 20)], &mut misses, &mut work);
                assert!(streams[0] == alone[a].0.each_ref().map(Vec::as_slice), "{simd:?} {a} {b}");
                assert!(streams[1] == alone[b].0.each_ref().map(Vec::as_slice), "{simd:?} {a} {b}");
                misses.sort_unstable();
                let expected = alone[a].1.iter().copied().chain(alone[b].1.iter().map(|at| at + (1 << 20)));
                assert!(misses.into_iter().eq(expected), "{simd:?} {a} {b}");
            }
        }
    }
}

#[test]
fn a_group_costs_little_more_than_its_entropy() {
    // 16 values, all as frequent: 4 bits each, but for those that are carried.
    let symbols: Vec<u8> = (0..32_768u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 28) as u8).collect();
    let frequencies = Frequencies::from_weights(0, &[9; 16], 0).unwrap();
    let ([stream, _], _) = streams_of(Simd::Scalar, &Encoder::new(&frequencies), [&symbols, &[]]);
    assert!(stream.len() <= 16_384 + 40, "{}", stream.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn frequencies_add_up(first in 0u8..=255, weights in prop::collection::vec(prop_oneof![Just(0u8), 0u8..128], 0..256), escape in 0u8..128) {
        let weights = &weights[..weights.len().min(256 - first as usize)];
        let some = weights.iter().filter(|w| **w > 0).count();
        let table = Frequencies::from_weights(first, weights, escape);
        prop_assert_eq!(table.is_some(), some > 0 && some + (escape > 0) as usize > 1);
        if let Some(table) = table {
            let sum: u32 = (0..=255).map(|s| table.of(s) as u32).sum();
            prop_assert_eq!(sum + table.escape() as u32, 4096);
            for s in 0..=255u8 {
                let weight = s.checked_sub(first).and_then(|i| weights.get(i as usize)).copied().unwrap_or(0);
                prop_assert_eq!(table.of(s) > 0, weight > 0);
            }
        }
    }

    #[test]
    fn symbols_come_back(n in 1usize..4000, seed in any::<u64>(), spread in 0u32..30, without in 0usize..5) {
        let symbols = skewed(n, seed, spread);
        check(&symbols, &symbols[n / 3..], 1 + n % 5, without);
    }

    #[test]
    fn damaged_streams_are_refused_or_decoded_alike_everywhere(seed in any::<u64>(), n in 1usize..6000, at in any::<usize>(), bit in 0u8..8, cut in 0usize..40) {
        let symbols = skewed(n, seed, 20);
        let Some(frequencies) = fit(&symbols, 0) else { return Ok(()) };
        let ([mut stream, _], _) = streams_of(Simd::Scalar, &Encoder::new(&frequencies), [&symbols, &[]]);
        let i = at % stream.len();
        stream[i] ^= 1 << bit;
        stream.drain(..cut.min(stream.len()));
        let table = Decoder::new(&frequencies);
        let mut first = vec![0; n];
        let scalar = decode_on(Simd::Scalar, &mut [Group { table: &table, stream: &stream, out: &mut first }]);
        for simd in sets() {
            let mut outs = vec![vec![0; n]; 8 + n % 4];
            let mut groups: Vec<Group<'_>> =
                outs.iter_mut().map(|out| Group { table: &table, stream: &stream, out }).collect();
            prop_assert_eq!(decode_on(simd, &mut groups), scalar);
            if scalar.is_some() {
                prop_assert!(outs.iter().all(|out| *out == first));
            }
        }
    }
}

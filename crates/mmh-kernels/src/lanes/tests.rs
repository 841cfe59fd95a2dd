use super::*;
use crate::cpu::Simd;
use proptest::prelude::*;

/// As skewed as exponents are: halving, with a few values at the bottom.
fn skewed(n: usize, seed: u64, spread: u32) -> Vec<u8> {
    let mut x = seed | 1;
    (0..n)
        .map(|_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let v = (x >> 33) as u32;
            (v.trailing_zeros().min(spread) as u8).wrapping_mul(3).wrapping_add((v >> 28) as u8 & 3)
        })
        .collect()
}

fn counts(symbols: &[u8]) -> [u32; 256] {
    let mut counts = [0; 256];
    crate::histogram::bytes(symbols, &mut counts);
    counts
}

fn sets() -> impl Iterator<Item = Simd> {
    Simd::ALL.into_iter().filter(|s| s.is_available())
}

#[test]
fn instruction_sets_that_run_here() {
    use std::io::Write;
    let names: Vec<&str> = sets().map(Simd::name).collect();
    assert!(names.contains(&"scalar"));
    // Past what the harness keeps back from tests that pass.
    writeln!(
        std::io::stderr(),
        "lanes: tested on {}; in use: {}",
        names.join(", "),
        crate::cpu::simd().name()
    )
    .unwrap();
}

/// Two streams and the symbols without a code.
fn stream_of(simd: Simd, table: &Encoder, groups: [&[u8]; 2]) -> (Vec<u8>, Vec<u8>, Vec<u32>) {
    let (mut misses, mut work) = (Vec::new(), Work::default());
    let pair = Pair { table, groups, first: [7, 100_007] };
    let [[a, b], none] = encode_on(simd, [pair, Pair::none(table)], &mut misses, &mut work);
    assert!(none == [&[][..]; 2]);
    let (a, b) = (a.to_vec(), b.to_vec());
    misses.sort_unstable();
    (a, b, misses)
}

/// Every instruction set writes the same streams and reads them back, with what has no code patched.
fn check(symbols: &[u8], other: &[u8], groups: usize) {
    let mut both = counts(symbols);
    both.iter_mut().zip(counts(other)).for_each(|(c, o)| *c += o);
    let Some(frequencies) = Frequencies::for_counts(&both, 32) else { return };
    let (to, from) = (Encoder::new(&frequencies), Decoder::new(&frequencies));
    let expected = stream_of(Simd::Scalar, &to, [symbols, other]);
    for simd in sets() {
        let found = stream_of(simd, &to, [symbols, other]);
        assert!(found == expected, "{simd:?} {} {}", symbols.len(), other.len());
        let (stream, second, misses) = found;
        let parts = [(symbols, stream.as_slice(), 7), (other, second.as_slice(), 100_007)];
        for (symbols, stream, first) in parts {
            let mut outs = vec![vec![0u8; symbols.len()]; groups];
            let mut all: Vec<Group<'_>> =
                outs.iter_mut().map(|out| Group { table: &from, stream, rest: &[], out }).collect();
            assert_eq!(decode_on(simd, &mut all), Some(()), "{simd:?} {}", symbols.len());
            let here = |at: &&u32| **at >= first && **at < first + symbols.len() as u32;
            for out in &mut outs {
                for at in misses.iter().filter(here) {
                    assert_eq!(frequencies.of()[symbols[(*at - first) as usize] as usize], 0);
                    out[(*at - first) as usize] = symbols[(*at - first) as usize];
                }
                assert!(out == symbols, "{simd:?} {}", symbols.len());
            }
            // Piece by piece, by way of memory that is used again.
            let mut memory = outs.clone();
            let mut all: Vec<Group<'_>> =
                memory.iter_mut().map(|out| Group { table: &from, stream, rest: &[], out }).collect();
            let mut pieces = vec![Vec::new(); groups];
            let verdict = decode_pieces_on(simd, &mut all, &[], &mut |g, first, piece| {
                assert_eq!(pieces[g].len(), first);
                pieces[g].extend_from_slice(piece);
            });
            assert_eq!(verdict, Some(()));
            for piece in &mut pieces {
                for at in misses.iter().filter(here) {
                    piece[(*at - first) as usize] = symbols[(*at - first) as usize];
                }
            }
            assert!(pieces == outs, "{simd:?}");
            // Joined with the rests.
            let rest: Vec<u8> = (0..symbols.len()).map(|i| (i * 37 + i / 256) as u8).collect();
            let mut merged = vec![vec![0u8; 2 * symbols.len()]; groups];
            let mut all: Vec<Group<'_>> =
                merged.iter_mut().map(|out| Group { table: &from, stream, rest: &rest, out }).collect();
            assert_eq!(decode_bf16_on(simd, &mut all, &mut Vec::new()), Some(()), "{simd:?}");
            for out in &merged {
                for (i, element) in out.as_chunks::<2>().0.iter().enumerate() {
                    let x = u16::from_le_bytes(*element);
                    assert_eq!((x & 0x7f | x >> 8 & 0x80) as u8, rest[i]);
                    assert!((x >> 7) as u8 == symbols[i] || misses.contains(&(i as u32 + first)));
                }
            }
        }
    }
}

#[test]
fn every_group_size_comes_back_on_every_instruction_set() {
    let sizes = [2, 3, 31, 32, 33, 63, 64, 65, 95, 96, 97, 100, 1023, 1024, 1025, 5000, 32_735, 32_768];
    for (i, n) in sizes.into_iter().enumerate() {
        let mut symbols = skewed(n, i as u64, 20);
        symbols[0] = 200;
        symbols[1] = 201;
        for groups in [1, 2, 3, 4, 9] {
            check(&symbols, &[], groups);
            check(&symbols, &symbols[n / 2..], groups);
            check(&symbols[..n / 3], &symbols, groups);
        }
    }
}

#[test]
fn groups_side_by_side_have_codes_of_their_own() {
    // A value above half in one of them, so that not every state takes bits.
    let symbols =
        [skewed(3000, 1, 20), skewed(3000, 2, 3), vec![5; 3000].into_iter().chain([6, 7]).skip(2).collect()];
    let coded = symbols.each_ref().map(|symbols| {
        let frequencies = Frequencies::for_counts(&counts(symbols), 3200).unwrap();
        let (stream, _, misses) = stream_of(Simd::Scalar, &Encoder::new(&frequencies), [symbols, &[]]);
        assert!(misses.is_empty());
        (stream, Decoder::new(&frequencies))
    });
    let rest = vec![0x85; 3000];
    for simd in sets() {
        for order in [[0, 1, 2, 0, 1, 2, 0], [0, 0, 1, 1, 1, 2, 2], [2, 1, 1, 1, 1, 0, 0]] {
            let mut outs = vec![vec![0; 3000]; order.len()];
            let mut joined = vec![vec![0; 6000]; order.len()];
            let group = |(which, out): (usize, _), rest| {
                let (stream, table): &(Vec<u8>, Decoder) = &coded[which];
                Group { table, stream, rest, out }
            };
            let mut groups: Vec<_> = order
                .into_iter()
                .zip(outs.iter_mut().map(Vec::as_mut_slice))
                .map(|g| group(g, &[]))
                .collect();
            assert_eq!(decode_on(simd, &mut groups), Some(()), "{simd:?} {order:?}");
            let mut groups: Vec<_> = order
                .into_iter()
                .zip(joined.iter_mut().map(Vec::as_mut_slice))
                .map(|g| group(g, &rest))
                .collect();
            assert_eq!(decode_bf16_on(simd, &mut groups, &mut Vec::new()), Some(()), "{simd:?} {order:?}");
            for (i, which) in order.into_iter().enumerate() {
                assert!(outs[i] == symbols[which], "{simd:?} {order:?} {i}");
                let expected = symbols[which].iter().map(|s| 0x8005 | (*s as u16) << 7);
                assert!(
                    joined[i] == expected.flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
                    "{simd:?} {order:?} {i}"
                );
            }
        }
    }
}

#[test]
fn nearly_constant_and_nearly_uniform_symbols() {
    let rare: Vec<u8> = (0..32_768u32).map(|i| (i % 5000 == 77) as u8).collect();
    check(&rare, &rare[3..], 4);
    let uniform: Vec<u8> = (0..32_768u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    check(&uniform, &uniform[..9999], 4);
    check(&uniform.iter().map(|s| s >> 3).collect::<Vec<_>>(), &[], 4);
}

#[test]
fn the_cost_is_close_to_what_the_frequencies_promise() {
    let symbols = skewed(32_768, 5, 20);
    let frequencies = Frequencies::for_counts(&counts(&symbols), 32).unwrap();
    let (stream, _, misses) = stream_of(Simd::Scalar, &Encoder::new(&frequencies), [&symbols, &[]]);
    let bits: f64 = symbols
        .iter()
        .map(|s| frequencies.of()[*s as usize])
        .filter(|n| *n > 0)
        .map(|n| 8.0 - (n as f64).log2())
        .sum();
    let found = (stream.len() * 8) as f64;
    assert!(found < bits * 1.01 + 512.0 + 8.0 * misses.len() as f64, "{found} {bits}");
}

#[test]
fn frequencies_sum_to_256_and_come_back() {
    let many = [
        counts(&skewed(32_768, 1, 20)),
        counts(&(0..=255).collect::<Vec<u8>>()),
        counts(&[0, 0, 0, 0, 0, 0, 0, 255]),
        std::array::from_fn(|i| if i < 2 { u32::MAX >> (8 * i) } else { 0 }),
    ];
    for c in many {
        let frequencies = Frequencies::for_counts(&c, 32).unwrap();
        let mut data = Vec::new();
        frequencies.write(&mut data);
        assert_eq!(data.len(), frequencies.written_size());
        assert_eq!(Frequencies::read(&data), Some((frequencies, data.len())));
        assert_eq!(Frequencies::read(&data[..data.len() - 1]), None);
        data[2] ^= 1;
        assert_eq!(Frequencies::read(&data), None);
    }
    assert_eq!(Frequencies::for_counts(&counts(&[9; 100]), 32), None);
    assert_eq!(Frequencies::for_counts(&[0; 256], 32), None);
    // Bounds have to be those of values that occur, and one value alone is no code.
    assert_eq!(Frequencies::read(&[0, 2, 0, 128, 128]), None);
    assert_eq!(Frequencies::read(&[5, 4, 128, 128]), None);
    assert_eq!(Frequencies::read(&[4, 4, 0]), None);
}

#[test]
fn streams_that_are_cut_off_or_too_long_are_refused() {
    let symbols = skewed(5000, 3, 20);
    let frequencies = Frequencies::for_counts(&counts(&symbols), 32).unwrap();
    let (to, from) = (Encoder::new(&frequencies), Decoder::new(&frequencies));
    let (stream, _, _) = stream_of(Simd::Scalar, &to, [&symbols, &[]]);
    let mut longer = vec![0; 3];
    longer.extend(&stream);
    for simd in sets() {
        let mut out = vec![0; symbols.len()];
        let mut refuses = |stream: &[u8]| {
            let mut groups = [Group { table: &from, stream, rest: &[], out: &mut out }];
            assert_eq!(decode_on(simd, &mut groups), None, "{simd:?}");
        };
        refuses(&[]);
        refuses(&stream[..63]);
        refuses(&stream[1..]);
        refuses(&stream[..stream.len() - 1]);
        refuses(&longer);
        assert_eq!(
            decode_on(simd, &mut [Group { table: &from, stream: &[], rest: &[], out: &mut [] }]),
            Some(())
        );
    }
}

#[test]
fn lanes_without_elements_have_state_zero() {
    let symbols = skewed(20, 3, 20);
    let frequencies = Frequencies::for_counts(&counts(&symbols), 32).unwrap();
    let (to, table) = (Encoder::new(&frequencies), &Decoder::new(&frequencies));
    let (stream, _, _) = stream_of(Simd::Scalar, &to, [&symbols, &[]]);
    for simd in sets() {
        for lane in 0..LANES {
            let mut changed = stream.clone();
            changed[LANES + lane] ^= 255;
            let (mut out, mut joined) = (vec![0; symbols.len()], vec![0; 2 * symbols.len()]);
            let mut groups = [Group { table, stream: &changed, rest: &[], out: &mut out }];
            // Of a lane with an element, it is another value.
            let expected = (lane < symbols.len()).then_some(());
            assert_eq!(decode_on(simd, &mut groups), expected, "{simd:?} {lane}");
            let mut groups = [Group { table, stream: &changed, rest: &symbols, out: &mut joined }];
            assert_eq!(decode_bf16_on(simd, &mut groups, &mut Vec::new()), expected, "{simd:?} {lane}");
        }
    }
}

proptest! {
    #[test]
    fn any_symbols_come_back(a in prop::collection::vec(0u8..40, 0..3000), b in prop::collection::vec(0u8..9, 0..300), groups in 1usize..6) {
        check(&a, &b, groups);
    }

    #[test]
    fn instruction_sets_agree_on_damaged_streams(seed: u64, n in 2usize..4000, at: usize, flip in 1u8.., groups in 1usize..6) {
        let symbols = skewed(n, seed, 20);
        if let Some(frequencies) = Frequencies::for_counts(&counts(&symbols), 32) {
            let (to, from) = (Encoder::new(&frequencies), Decoder::new(&frequencies));
            let (mut stream, _, _) = stream_of(Simd::Scalar, &to, [&symbols, &[]]);
            let at = at % stream.len();
            stream[at] ^= flip;
            let results: Vec<_> = sets().map(|simd| {
                let mut outs = vec![vec![0u8; n]; groups];
                let mut all: Vec<Group<'_>> = outs.iter_mut().map(|out| Group { table: &from, stream: &stream, rest: &[], out }).collect();
                let verdict = decode_on(simd, &mut all);
                let (rest, mut joined) = (vec![0; n], vec![vec![0u8; 2 * n]; groups]);
                let mut all: Vec<Group<'_>> = joined.iter_mut().map(|out| Group { table: &from, stream: &stream, rest: &rest, out }).collect();
                assert_eq!(decode_bf16_on(simd, &mut all, &mut Vec::new()), verdict, "{simd:?}");
                (verdict, verdict.map(|()| (outs, joined)))
            }).collect();
            prop_assert!(results.windows(2).all(|r| r[0] == r[1]));
        }
    }
}

#[test]
fn elements_of_bf16_are_split_while_they_are_encoded() {
    for (n, other) in [(2, 0), (31, 33), (64, 64), (1000, 999), (4097, 32_768), (32_768, 32_735)] {
        // Codes of less than 64 values in a row, of more, and of values far apart.
        for (spread, stride) in [(12, 1), (30, 1), (20, 3)] {
            let groups = [(n, 5u64), (other, 9)].map(|(n, seed)| {
                let symbols: Vec<u8> =
                    skewed(n, seed, spread).iter().map(|s| s.wrapping_mul(stride)).collect();
                let rests: Vec<u8> = (0..n).map(|i| (i * 37 + i / 256) as u8).collect();
                (symbols, rests)
            });
            let mut both = counts(&groups[0].0);
            both.iter_mut().zip(counts(&groups[1].0)).for_each(|(c, o)| *c += o);
            let Some(frequencies) = Frequencies::for_counts(&both, 32) else { continue };
            let table = Encoder::new(&frequencies);
            let expected = stream_of(Simd::Scalar, &table, [&groups[0].0, &groups[1].0]);
            let sources = groups.each_ref().map(|(symbols, rests)| {
                let join = |(s, r): (&u8, &u8)| {
                    ((*r as u16 & 0x80) << 8 | (*s as u16) << 7 | *r as u16 & 0x7f).to_le_bytes()
                };
                symbols.iter().zip(rests).flat_map(join).collect::<Vec<u8>>()
            });
            for simd in sets() {
                let (mut misses, mut work) = (Vec::new(), Work::default());
                let [mut a, mut b] = groups.each_ref().map(|g| vec![0u8; g.1.len()]);
                let pair = Pair { table: &table, groups: [&sources[0], &sources[1]], first: [7, 100_007] };
                let rests = [[&mut a[..], &mut b[..]], Default::default()];
                let [[one, two], _] =
                    encode_bf16_on(simd, [pair, Pair::none(&table)], rests, &mut misses, &mut work);
                let (one, two) = (one.to_vec(), two.to_vec());
                misses.sort_unstable();
                assert!((one, two, misses) == expected, "{simd:?} {n} {other} {spread}");
                assert!(a == groups[0].1 && b == groups[1].1, "{simd:?} {n} {other} {spread}");
            }
        }
    }
}

#[test]
fn pairs_side_by_side_give_what_each_gives_alone() {
    let lens = [0, 1, 31, 32, 33, 63, 64, 100, 1000, 4096, 5000, 32_767, 32_768];
    for seed in 0..40 {
        let len = |i: u64| lens[(seed * 7 + i * (seed + 3)) as usize % lens.len()];
        // Of codes of one, two and four registers, equal or not.
        let all: [[Vec<u8>; 2]; PAIRS] = std::array::from_fn(|p| {
            let stride = [1, 3, 91][(seed as usize + p * (seed as usize % 2)) % 3];
            std::array::from_fn(|i| {
                let i = (2 * p + i) as u64;
                skewed(len(i), seed * 5 + i, 8).iter().map(|s| s.wrapping_mul(stride)).collect()
            })
        });
        let frequencies = all.each_ref().map(|pair| {
            let mut both = counts(&pair[0]);
            both.iter_mut().zip(counts(&pair[1])).for_each(|(c, o)| *c += o);
            Frequencies::for_counts(&both, 32)
        });
        let [Some(one), Some(other)] = frequencies else { continue };
        let tables = [Encoder::new(&one), Encoder::new(&other)];
        let elements = all.each_ref().map(|pair| {
            pair.each_ref()
                .map(|g| g.iter().flat_map(|s| ((*s as u16) << 7).to_le_bytes()).collect::<Vec<u8>>())
        });
        let pair_of = |groups: &'static str, p: usize| {
            let of = if groups == "elements" { &elements } else { &all };
            let first = [1_000_000 * p as u32, 1_000_000 * p as u32 + 500_000];
            Pair { table: &tables[p], groups: [&of[p][0], &of[p][1]], first }
        };
        let mut expected = (Vec::new(), Vec::new());
        for (p, table) in tables.iter().enumerate() {
            let mut work = Work::default();
            let pairs = [pair_of("symbols", p), Pair::none(table)];
            let [streams, _] = encode_on(Simd::Scalar, pairs, &mut expected.1, &mut work);
            expected.0.extend(streams.map(<[u8]>::to_vec));
        }
        expected.1.sort_unstable();
        for simd in sets() {
            let (mut misses, mut work) = (Vec::new(), Work::default());
            let pairs = [pair_of("symbols", 0), pair_of("symbols", 1)];
            let streams = encode_on(simd, pairs, &mut misses, &mut work);
            let streams: Vec<Vec<u8>> = streams.into_iter().flatten().map(<[u8]>::to_vec).collect();
            misses.sort_unstable();
            assert!((streams, misses) == expected, "{simd:?} {seed}");

            let mut rests = all.each_ref().map(|pair| pair.each_ref().map(|g| vec![0xaa; g.len()]));
            let (mut misses, places) =
                (Vec::new(), rests.each_mut().map(|two| two.each_mut().map(|r| &mut r[..])));
            let pairs = [pair_of("elements", 0), pair_of("elements", 1)];
            let streams = encode_bf16_on(simd, pairs, places, &mut misses, &mut work);
            let streams: Vec<Vec<u8>> = streams.into_iter().flatten().map(<[u8]>::to_vec).collect();
            misses.sort_unstable();
            assert!((streams, misses) == expected, "{simd:?} {seed}");
            assert!(rests.iter().flatten().flatten().all(|r| *r == 0), "{simd:?} {seed}");
        }
    }
}

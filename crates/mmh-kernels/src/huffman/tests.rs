use super::*;
use crate::cpu::Simd;
use proptest::prelude::*;

/// Counts as skewed as exponents are: halving, with a few values at the bottom.
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
    let mut c = [0; 256];
    crate::histogram::bytes(symbols, &mut c);
    c
}

fn sets() -> impl Iterator<Item = Simd> {
    Simd::ALL.into_iter().filter(|s| s.is_available())
}

#[test]
fn every_group_size_comes_back_on_every_instruction_set() {
    let sizes = [2, 3, 7, 8, 9, 100, 1023, 1024, 1025, 1031, 2048, 4096, 5000, 32_767, 32_768];
    for limit in [8, 11, 12] {
        for (i, n) in sizes.into_iter().enumerate() {
            let mut symbols = skewed(n, i as u64, 20);
            symbols[0] = 200;
            symbols[1] = 201;
            let code = CodeLengths::for_counts(&counts(&symbols), limit).unwrap();
            assert!(code.longest() <= limit);
            let mut expected = Vec::new();
            encode_group_on(Simd::Scalar, &EncodeTable::new(&code), &symbols, &mut expected);
            let mut table = DecodeTable::new();
            for (simd, few) in sets().flat_map(|simd| [(simd, false), (simd, true)]) {
                table.build(&code, if few { 1 } else { usize::MAX });
                let mut data = Vec::new();
                encode_group_on(simd, &EncodeTable::new(&code), &symbols, &mut data);
                assert_eq!(data, expected, "{simd:?}");
                data.extend([0xff; 3]);
                let mut out = vec![0; n];
                assert_eq!(
                    decode_group_on(simd, &table, &data, &mut out),
                    Some(expected.len()),
                    "{simd:?} {n}"
                );
                assert_eq!(out, symbols, "{simd:?} {n}");
            }
        }
    }
}

#[test]
fn a_two_symbol_code_fills_entries_with_six() {
    let symbols: Vec<u8> = skewed(32_768, 9, 0).iter().map(|s| s & 1).collect();
    let code = CodeLengths::for_counts(&counts(&symbols), 11).unwrap();
    assert_eq!(code.longest(), 1);
    let mut data = Vec::new();
    encode_group(&EncodeTable::new(&code), &symbols, &mut data);
    let mut table = DecodeTable::new();
    table.build(&code, symbols.len());
    let mut out = vec![0; symbols.len()];
    assert_eq!(decode_group(&table, &data, &mut out), Some(data.len()));
    assert_eq!(out, symbols);
}

#[test]
fn code_lengths_are_optimal_when_the_limit_does_not_bind() {
    // 1, 1, 2, 3, 5, 8, 13: the Fibonacci tree, lengths 6 6 5 4 3 2 1.
    let mut c = [0; 256];
    for (i, n) in [1, 1, 2, 3, 5, 8, 13].into_iter().enumerate() {
        c[i + 10] = n;
    }
    let code = CodeLengths::for_counts(&c, 12).unwrap();
    assert_eq!(&code.lengths()[10..17], [6, 6, 5, 4, 3, 2, 1]);
    let mut written = Vec::new();
    code.write(&mut written);
    assert_eq!(written.len(), code.written_size());
    assert_eq!(CodeLengths::read(&written), Some((code, written.len())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn codes_keep_to_the_limit_and_are_complete(c in prop::collection::vec(prop_oneof![Just(0u32), 1u32..100, 1u32..1_000_000], 256), limit in 8u32..=12) {
        let c: [u32; 256] = c.try_into().unwrap();
        prop_assume!(c.iter().filter(|c| **c > 0).count() >= 2);
        let code = CodeLengths::for_counts(&c, limit).unwrap();
        prop_assert!(code.longest() <= limit);
        for (c, l) in c.iter().zip(code.lengths()) {
            prop_assert_eq!(*c > 0, *l > 0);
        }
    }

    #[test]
    fn damaged_groups_are_refused_or_decoded_alike_everywhere(seed in any::<u64>(), n in 1000usize..6000, at in any::<usize>(), bit in 0u8..8, cut in 0usize..40) {
        let symbols = skewed(n, seed, 12);
        let code = CodeLengths::for_counts(&counts(&symbols), 11).unwrap();
        let mut data = Vec::new();
        encode_group(&EncodeTable::new(&code), &symbols, &mut data);
        let i = at % data.len();
        data[i] ^= 1 << bit;
        data.truncate(data.len() - cut.min(data.len()));
        let mut table = DecodeTable::new();
        table.build(&code, usize::MAX);
        let mut first = vec![0; n];
        let scalar = decode_group_on(Simd::Scalar, &table, &data, &mut first);
        for (simd, few) in sets().flat_map(|simd| [(simd, false), (simd, true)]) {
            table.build(&code, if few { 1 } else { usize::MAX });
            let mut out = vec![0; n];
            let got = decode_group_on(simd, &table, &data, &mut out);
            prop_assert_eq!(got, scalar);
            if got.is_some() {
                prop_assert_eq!(&out, &first);
            }
        }
    }
}

use super::*;

fn noise(n: usize, seed: u64) -> Vec<u8> {
    let mut x = seed | 1;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 32) as u8
        })
        .collect()
}

fn sets() -> impl Iterator<Item = Simd> {
    Simd::ALL.into_iter().filter(|s| s.is_available())
}

fn load(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |v, b| v << 8 | *b as u64)
}

/// Symbols in the order of classes and the bits behind them, by the definition.
fn by_definition(spec: &Spec, data: &[u8], base: &[u8]) -> (Vec<u8>, Vec<bool>) {
    let size = spec.size();
    let mut symbols = Vec::new();
    let mut extra = Vec::new();
    for (i, (y, x)) in data.chunks_exact(size).zip(base.chunks_exact(size)).enumerate() {
        let difference = spec.difference(load(y), load(x));
        let (symbol, bits) = spec.symbol(difference);
        symbols.push((spec.class(load(x)), i, symbol));
        extra.extend((0..bits).map(|j| difference >> j & 1 == 1));
    }
    symbols.sort();
    (symbols.into_iter().map(|s| s.2).collect(), extra)
}

/// Elements near those of the base, some equal, some far.
fn near(base: &[u8], spec: &Spec) -> Vec<u8> {
    let size = spec.size();
    let mask = u64::MAX >> (64 - 8 * size);
    let steps = noise(base.len(), 9);
    let each = base.chunks_exact(size).zip(&steps).enumerate();
    each.flat_map(|(i, (x, step))| {
        let step = match i % 7 {
            0..=2 => 0,
            3..=5 => *step as u64 >> 3,
            _ => (*step as u64) << (i % (8 * size)),
        };
        let y = (load(x).wrapping_add(step) & mask) >> spec.drop << spec.drop;
        y.to_le_bytes()[..size].to_vec()
    })
    .collect()
}

#[test]
fn elements_become_symbols_and_come_back_on_every_set() {
    for width in 0..4u8 {
        let bits = 8u8 << width;
        for (float, mantissa, drop) in [
            (false, 0, 0),
            (true, 2, 0),
            (true, 3, 1),
            (false, 4, bits / 2),
            (true, 7, 0),
            (true, 3, bits - 1),
        ] {
            for (shift, class_bits) in [(0, 0), (bits / 2, (bits / 2).min(8)), (0, 3)] {
                let spec = Spec { width, float, mantissa, drop, shift, bits: class_bits };
                // Symbols are bytes.
                if spec.most_extra() + 2 > 256 >> mantissa {
                    continue;
                }
                for n in [1, 63, 64, 65, 5000] {
                    let base = noise(n << width, 1 + n as u64);
                    let data = near(&base, &spec);
                    let (expected, bits) = by_definition(&spec, &data, &base);
                    for simd in sets() {
                        let mut found = vec![0; n];
                        classes_on(simd, &spec, &base, &mut found);
                        let class = |x: &[u8]| spec.class(load(x));
                        assert!(base.chunks(spec.size()).map(class).eq(found.iter().copied()), "{spec:?}");
                        let (mut symbols, mut extra) = (vec![0; n], Vec::new());
                        split_on(simd, &spec, &found, &data, &base, &mut symbols, &mut extra);
                        assert!(symbols == expected, "{simd:?} {spec:?} {n}");
                        assert_eq!(extra.len(), bits.len().div_ceil(8), "{simd:?} {spec:?} {n}");
                        let bit = |i: usize| extra[i / 8] >> (i % 8) & 1 == 1;
                        assert!(bits.iter().enumerate().all(|(i, b)| bit(i) == *b), "{simd:?} {spec:?} {n}");
                        assert!(symbols.iter().all(|s| *s <= spec.last_symbol()));
                        let mut back = vec![0xaa; data.len()];
                        let used = join_on(simd, &spec, &found, &symbols, &extra, &base, &mut back);
                        assert_eq!(used, bits.len());
                        assert!(back == data, "{simd:?} {spec:?} {n}");
                    }
                }
            }
        }
    }
}

#[test]
fn whatever_the_symbols_the_sets_agree() {
    for width in 0..4u8 {
        let bits = 8u8 << width;
        for (mantissa, drop) in [(7, 0), (4, 3), (2, 0), (3, bits - 1)] {
            let spec = Spec { width, float: true, mantissa, drop, shift: bits / 4, bits: 6 };
            let n = 3000;
            let base = noise(n << width, 5);
            let last = spec.last_symbol() as u32;
            let symbols: Vec<u8> = noise(n, 6).into_iter().map(|s| (s as u32 % (last + 1)) as u8).collect();
            for short in [0, 100, 100_000] {
                let extra = noise(short, 7);
                let mut classes = vec![0; n];
                super::classes(&spec, &base, &mut classes);
                let results: Vec<_> = sets()
                    .map(|simd| {
                        let mut out = vec![0; base.len()];
                        let used = join_on(simd, &spec, &classes, &symbols, &extra, &base, &mut out);
                        (used, out)
                    })
                    .collect();
                assert!(results.windows(2).all(|r| r[0] == r[1]), "{spec:?} {short}");
                // By the definition.
                let mut next = [0usize; 256];
                for (class, next) in next.iter_mut().enumerate() {
                    *next = classes.iter().filter(|c| (**c as usize) < class).count();
                }
                let mut at = 0;
                let bit = |i: usize| extra.get(i / 8).map_or(0, |b| (b >> (i % 8) & 1) as u64);
                for (i, (x, class)) in base.chunks(spec.size()).zip(&classes).enumerate() {
                    let (lowest, bits) = spec.lowest(symbols[next[*class as usize]]);
                    next[*class as usize] += 1;
                    let low = (0..bits as usize).fold(0, |low, j| low | bit(at + j) << j);
                    at += bits as usize;
                    let y = &results[0].1[i * spec.size()..(i + 1) * spec.size()];
                    assert_eq!(load(y), spec.undo(lowest + low, load(x)), "{spec:?} {i}");
                }
                assert_eq!(results[0].0, at);
            }
        }
    }
}

#[test]
fn classes_of_bell_shaped_weights_are_told_apart_on_every_set() {
    let spec = Spec { width: 1, float: true, mantissa: 3, drop: 0, shift: 7, bits: 8 };
    for (n, rare) in [(200, 8), (5000, 8), (70_000, 5), (70_000, 60)] {
        let noise: Vec<[u8; 4]> = noise(4 * n, n as u64).as_chunks().0.to_vec();
        // Each class is half as frequent as the one before it, and some are anything.
        let weight = |x: &[u8; 4]| {
            let exponent =
                if x[3] < rare { x[0] as u16 } else { 120 - (x[0] as u16 | 256).trailing_zeros() as u16 };
            (exponent << 7 | (x[1] as u16 & 0x807f)).to_le_bytes()
        };
        let base: Vec<u8> = noise.iter().flat_map(weight).collect();
        let data = near(&base, &spec);
        let (expected, _) = by_definition(&spec, &data, &base);
        for simd in sets() {
            let mut found = vec![0; n];
            classes_on(simd, &spec, &base, &mut found);
            let mut counts = [0; 256];
            found.iter().for_each(|class| counts[*class as usize] += 1);
            assert!(classes::count(simd, &found) == counts, "{simd:?} {n}");
            let (mut symbols, mut extra) = (vec![0; n], Vec::new());
            split_on(simd, &spec, &found, &data, &base, &mut symbols, &mut extra);
            assert!(symbols == expected, "{simd:?} {n}");
            let mut back = vec![0; data.len()];
            join_on(simd, &spec, &found, &symbols, &extra, &base, &mut back);
            assert!(back == data, "{simd:?} {n}");
        }
    }
}

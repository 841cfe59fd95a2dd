use super::*;
use crate::codec::cursor::Cursor;
use crate::codec::{self, Level, by_id};
use crate::dtype::Kind;
use proptest::prelude::*;

fn encode(data: &[u8], element: Element, level: u8) -> Option<Vec<u8>> {
    let mut scratch = codec::Scratch::default();
    let level = Level::new(level).unwrap();
    let block = Block {
        data,
        declared: None,
        element: Some(element),
        level,
        split: None,
        structure: None,
        base: None,
    };
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
fn the_checksum_of_what_goes_past_the_cache_is_taken_meanwhile() {
    let can = mmh_kernels::checksum::Running::new().is_some();
    let wide = weights(4 * GROUP + 5);
    let upcast: Vec<f32> = wide.iter().map(|x| f32::from_bits(x.to_bits() & 0xffff_0000)).collect();
    let some = bytes(&wide[..3 * GROUP]);
    let odd = [some.as_slice(), &[1, 2, 3]].concat();
    // Whether all groups go there that are whole.
    for (data, is_plain) in [
        (some.clone(), true),
        (bytes(&upcast[..4 * GROUP]), true),
        (bytes(&wide), true),
        (odd, true),
        ([&[9, 9], some.as_slice()].concat(), false),
    ] {
        for level in [1, 5] {
            let element = Element { head: if is_plain { 0 } else { 2 }, ..F32 };
            let packed = encode(&data, element, level).unwrap();
            let mut scratch = codec::Scratch::default();
            let mut memory = vec![0x55; data.len() + 17];
            for misaligned in [0, 1] {
                let from = memory.as_ptr().align_offset(16) + misaligned;
                let out = &mut memory[from..from + data.len()];
                out.fill(0x55);
                (scratch.tensor.is_far, scratch.tensor.sum) = (true, None);
                Tensor.decode(&packed, out, &mut scratch).unwrap();
                assert!(*out == data);
                assert_eq!(scratch.tensor.sum.is_some(), can && is_plain && misaligned == 0);
                let expected = mmh_kernels::checksum::xxh3(&data);
                assert!(scratch.tensor.sum.is_none_or(|sum| sum == expected), "level {level}");
            }
        }
    }
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

/// The elements of bf16 that weights have; those at `at` have other exponents.
fn bf16(w: &[f32], rare: &[(usize, f32)]) -> Vec<u8> {
    let mut w = w.to_vec();
    rare.iter().for_each(|(at, x)| w[*at] = *x);
    w.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect()
}

/// What a payload of `n` elements says of its lanes: the number of codes, those that groups have, the exceptions, and the symbols
/// without a code. `None` if the symbols are not in lanes.
fn lanes_of(payload: &[u8], n: usize) -> Option<(usize, usize, u64, u64)> {
    let groups = n.div_ceil(GROUP);
    let mut from = Cursor(payload);
    let params = params::Params::read(&mut from).unwrap();
    assert_eq!((params.head, params.low), (0, 0));
    let symbols = params::Mode::read_symbols(&mut from, &params, groups).unwrap();
    let chosen = |g| match &symbols {
        params::Mode::Lanes(codes) => Some(codes.chosen(g)),
        params::Mode::Exact(codes) => Some(codes.chosen(g)),
        _ => None,
    };
    let mut used = (0..groups).map(chosen).collect::<Option<Vec<_>>>()?;
    used.sort_unstable();
    used.dedup();
    for cut in params.high_planes() {
        params::Mode::read(&mut from, cut.0).unwrap();
    }
    let sizes = from.take(4 * groups).unwrap().as_chunks::<4>().0;
    for size in sizes {
        from.take(u32::from_le_bytes(*size) as usize).unwrap();
    }
    let exceptions = if params.spec.t > 8 { from.varint().unwrap() } else { 0 };
    for _ in 0..exceptions {
        from.varint().unwrap();
        from.u16().unwrap();
    }
    Some((payload[8] as usize, used.len(), exceptions, from.varint().unwrap()))
}

/// Rows of columns that have a number in common, and means of their own.
fn correlated(rows: usize, columns: usize) -> Vec<f32> {
    let noise = weights(rows * (columns + 1));
    let rows = noise.chunks(columns + 1);
    let mean = |column: usize| (column * 37 % 11) as f32 * 0.05 - 0.25;
    rows.flat_map(|row| row[1..].iter().enumerate().map(|(j, x)| x + row[0] + mean(j)).collect::<Vec<_>>())
        .collect()
}

/// The modes of the plane of symbols, of each part.
fn modes_of(payload: &[u8], len: usize) -> Vec<u8> {
    let mode = |payload: &[u8]| payload[7 + (payload[0] as usize >> 4)];
    let Some(size) = payload[0].checked_sub(0x80) else { return vec![mode(payload)] };
    let count = len.div_ceil(1 << size);
    let mut at = 1 + 4 * count;
    let sizes = payload[1..at].as_chunks::<4>().0.iter().map(|s| u32::from_le_bytes(*s) as usize);
    let mut next = |size: usize| {
        at += size;
        mode(&payload[at - size..])
    };
    sizes.map(&mut next).collect()
}

#[test]
fn correlated_columns_are_predicted() {
    let data = bf16(&correlated(3000, 64), &[(5, f32::NAN), (77, f32::INFINITY), (300, 1e-38)]);
    let packed = encode(&data, BF16, 9).unwrap();
    assert_eq!(modes_of(&packed, data.len()), [6]);
    assert_eq!(decode(&packed, data.len()), data);
    // The sign alone is worth a tenth of a bit, and the model does not see it.
    let modelled = encode(&data, BF16, 6).unwrap();
    assert!(packed.len() * 100 < modelled.len() * 98, "{} {}", packed.len(), modelled.len());
}

#[test]
fn rows_that_begin_before_the_block_are_predicted_as_well_as_others() {
    let mut numbers = correlated(3000, 64);
    // Columns have eight numbers in common, each with signs of its own.
    let common = weights(3000 * 8);
    for (row, common) in numbers.chunks_mut(64).zip(common.chunks(8)) {
        for (j, x) in row.iter_mut().enumerate() {
            let sum =
                common.iter().enumerate().map(|(k, c)| if (j * 37 + 11) >> k & 1 == 1 { *c } else { -c });
            *x += sum.sum::<f32>();
        }
    }
    let data = bf16(&numbers, &[]);
    let whole = encode(&data, BF16, 9).unwrap();
    for missing in [20, 30, 50] {
        let data = bf16(&numbers[missing..], &[]);
        let packed = encode(&data, BF16, 9).unwrap();
        assert_eq!(modes_of(&packed, data.len()), [7]);
        // Behind the mode, form, origin and start: elements of a row, then the column.
        assert_eq!((packed[12], packed[13] as usize), (64, missing));
        assert_eq!(decode(&packed, data.len()), data);
        assert!(packed.len() * 1000 < whole.len() * 1002, "{} {}", packed.len(), whole.len());
    }
}

#[test]
fn short_rows_of_one_part_are_predicted_where_a_model_is_better_for_others() {
    let mut numbers = correlated(58_000, 27);
    let part = 1 << 19;
    // What a model sees: scales that come again after many rows.
    for (i, x) in numbers.iter_mut().enumerate().skip(part) {
        *x *= [1.0, 8.0, 64.0][i % 1296 * 7919 % 1297 % 3];
    }
    let data = bf16(&numbers, &[]);
    for level in [8, 9] {
        let packed = encode(&data, BF16, level).unwrap();
        assert_eq!(modes_of(&packed, data.len()), [6, 4, 4], "{level}");
        assert_eq!(decode(&packed, data.len()), data);
    }
}

#[test]
fn large_blocks_are_whole_where_one_prediction_is_good_for_all_and_in_parts_where_not() {
    let alike = correlated(9000, 96);
    let data = bf16(&alike, &[]);
    assert!(data.len() > 3 << 19);
    let packed = encode(&data, BF16, 9).unwrap();
    assert_eq!(modes_of(&packed, data.len()), [6]);
    assert_eq!(decode(&packed, data.len()), data);
    let mut other = alike;
    let half = other.len() / 2;
    other[half..].copy_from_slice(&weights(half));
    let data = bf16(&other, &[]);
    let packed = encode(&data, BF16, 9).unwrap();
    assert_eq!(modes_of(&packed, data.len()).len(), 2);
    assert_eq!(decode(&packed, data.len()), data);
}

#[test]
fn bytes_of_several_kinds_are_in_parts_with_elements_of_their_own() {
    // Tensors behind names of any length, one of them of another type.
    let w = weights(150_000);
    let (first, second) = w.split_at(70_000);
    let data = [&bytes(first), b"a.name".as_slice(), &bytes(second), b"b", &bf16(&w, &[])].concat();
    let mut scratch = codec::Scratch::default();
    for level in [2, 5, 8].map(|l| Level::new(l).unwrap()) {
        let split = analyze::analyze(&data, F32, level, &mut scratch.tensor).unwrap();
        let all = Block {
            data: &data,
            declared: None,
            element: Some(F32),
            level,
            split: Some(&split),
            structure: None,
            base: None,
        };
        let mut sizes = [None, Some(Dtype::F32)].map(|declared| {
            let mut out = Vec::new();
            assert!(Tensor.encode(&Block { declared, ..all }, &mut scratch, &mut out).unwrap());
            assert!(decode(&out, data.len()) == data);
            assert_eq!(out[0] & 0x80 != 0, declared.is_none());
            out.len()
        });
        sizes.sort();
        assert!(sizes[0] * 100 < sizes[1] * 95, "{sizes:?}");
        // What is of one kind stays whole, wherever it begins.
        let whole = &data[3..270_000];
        let element = Element { head: 1, ..F32 };
        let split = analyze::analyze(whole, element, level, &mut scratch.tensor).unwrap();
        let of = Block { data: whole, element: Some(element), split: Some(&split), ..all };
        let mut out = Vec::new();
        assert!(Tensor.encode(&of, &mut scratch, &mut out).unwrap());
        assert_eq!(out[0] & 0x80, 0);
    }
}

#[test]
fn a_few_low_bits_among_many_zeros_cost_little() {
    // Halves that were cast from bfloat16: those that are subnormal alone have bits below the seventh of the mantissa.
    let n = 4 * GROUP;
    let half = |w: f32| ((w.abs().max(0.001).to_bits() >> 13) - (112 << 10)) as u16 & !7;
    let numbers: Vec<u16> = weights(n).into_iter().map(half).collect();
    let with = |few: u64| -> Vec<u8> {
        let low = random(n).map(|x| if x % 1000 < few { (x >> 40) as u16 & 7 | 1 } else { 0 });
        numbers.iter().zip(low).flat_map(|(x, low)| (x | low).to_le_bytes()).collect()
    };
    let (none, few) = (with(0), with(1));
    for level in [2, 5] {
        let [none, packed] =
            [&none, &few].map(|data| encode(data, element(1, Kind::Float { exponent: 5 }), level).unwrap());
        assert_eq!(decode(&packed, few.len()), few);
        let more = packed.len().saturating_sub(none.len()) * 8;
        assert!(more * 100 < n * 16, "level {level}: {more} bits more of {n} numbers");
    }
}

#[test]
fn a_sign_that_is_mostly_the_same_is_a_part_of_the_symbol() {
    let n = 4 * GROUP;
    let f16 = element(1, Kind::Float { exponent: 5 });
    // Rounded towards zero; those that would be subnormal are left out.
    let half = |w: f32| ((w.abs().max(0.001).to_bits() >> 13) - (112 << 10)) as u16;
    let numbers: Vec<u16> = weights(n).into_iter().map(half).collect();
    let with = |minus: u64| -> Vec<u8> {
        let signs = random(n).map(|x| ((x >> 7) % 100 < minus) as u16);
        numbers.iter().zip(signs).flat_map(|(x, s)| (x | s << 15).to_le_bytes()).collect()
    };
    let (even, uneven) = (with(50), with(20));
    for level in [2, 5] {
        let (even, packed) = (encode(&even, f16, level).unwrap(), encode(&uneven, f16, level).unwrap());
        assert_eq!(decode(&packed, uneven.len()), uneven);
        // A sign of which a fifth is minus is worth .72 bits.
        assert!(
            (even.len() - packed.len()) * 8 * 100 > n * 20,
            "level {level}: {} {}",
            even.len(),
            packed.len()
        );
    }
}

#[test]
fn tables_of_short_blocks_are_counted() {
    // With three more bits a symbol takes less, and its table more than that.
    let f16 = element(1, Kind::Float { exponent: 5 });
    let half =
        |w: f32| ((w.abs().max(0.001).to_bits() >> 13) - (112 << 10)) as u16 | ((w < 0.0) as u16) << 15;
    for n in [1000, 2000, 4000] {
        let data: Vec<u8> = weights(n).into_iter().flat_map(|w| half(w).to_le_bytes()).collect();
        let [fast, balanced] = [2, 5].map(|level| encode(&data, f16, level).unwrap());
        assert_eq!(decode(&balanced, data.len()), data);
        assert!(balanced.len() * 500 <= fast.len() * 501, "{n}: {} {}", balanced.len(), fast.len());
    }
}

#[test]
fn a_sign_that_is_always_the_same_makes_no_plane_worth_coding() {
    let n = 4 * GROUP;
    let squares: Vec<f32> = weights(n).into_iter().map(|w| w * w).collect();
    let (wide, half) =
        (squares.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>(), bf16(&squares, &[]));
    for (data, width) in [(wide, 2), (half, 1)] {
        for level in [2, 5] {
            let packed = encode(&data, element(width, Kind::Float { exponent: 8 }), level).unwrap();
            assert_eq!(decode(&packed, data.len()), data);
            let mut from = Cursor(&packed);
            let params = params::Params::read(&mut from).unwrap();
            assert!(!params.spec.sign_moved, "{width} {level}");
            params::Mode::read_symbols(&mut from, &params, n.div_ceil(GROUP)).unwrap();
            for cut in params.high_planes() {
                let mode = params::Mode::read(&mut from, cut.0).unwrap();
                assert!(matches!(mode, params::Mode::Packed), "{width} {level} {cut:?}");
            }
        }
    }
}

#[test]
fn groups_that_are_not_alike_have_codes_of_their_own() {
    // Two neighbours share a code.
    let n = 16 * GROUP + 1234;
    let scales = [1e-3f32, 1.0, 1e3, 1e6];
    let mut w = weights(n);
    for (g, group) in w.chunks_mut(2 * GROUP).enumerate() {
        group.iter_mut().for_each(|x| *x *= scales[g % 4]);
    }
    let data = bf16(&w, &[]);
    let packed = encode(&data, BF16, 5).unwrap();
    assert_eq!(decode(&packed, data.len()), data);
    let (codes, used, ..) = lanes_of(&packed, n).unwrap();
    assert!(codes == 4 && used == 4, "{codes} {used}");
    // Levels for speed have one for all.
    let fast = encode(&data, BF16, 2).unwrap();
    assert_eq!(decode(&fast, data.len()), data);
    assert!(lanes_of(&fast, n).is_none_or(|(codes, ..)| codes == 1));
    assert!(packed.len() < fast.len() - fast.len() / 50, "{} {}", packed.len(), fast.len());
}

#[test]
fn symbols_without_a_code_and_exceptions_in_lanes_come_back() {
    let n = GROUP + 3000;
    let w = weights(n);
    // The last of a group and of all, among others.
    let places = [2000, 2001, 2047, GROUP - 1, GROUP + 2500, n - 1];
    let values = [0.0, f32::NAN, -f32::INFINITY, 1e-38, f32::MAX, 1e-30];
    let rare: Vec<(usize, f32)> = places.into_iter().zip(values).collect();
    let data = bf16(&w, &rare);
    let plain = bf16(&w, &[]);
    for level in [1, 2, 3, 4, 5, 6] {
        let packed = encode(&data, BF16, level).unwrap();
        assert_eq!(decode(&packed, data.len()), data);
        let found = lanes_of(&packed, n);
        let before = lanes_of(&encode(&plain, BF16, level).unwrap(), n);
        if let (Some((.., exceptions, codeless)), Some((.., none, some))) = (found, before) {
            assert_eq!(none, 0);
            assert!(codeless <= some + rare.len() as u64, "{level} {codeless} {some}");
            // With two bits of the mantissa, values are about as rare as these, and the sample may have met some. Where frequencies are
            // exact, they may be rare and have a code.
            let listed = codeless + exceptions;
            assert!(level > 5 || packed[7] == 5 || listed > some, "{level} {listed} {some}");
            // The largest numbers have no symbol where a bit of the mantissa belongs to it.
            assert_eq!(exceptions > 0, packed[1] > 8, "{level}");
        }
        assert!(level > 5 || found.is_some(), "{level}");
    }
}

#[test]
fn columns_of_other_scales_do_not_deceive_the_sample() {
    for width in [2048, 4096, 16_384] {
        let mut w = weights(8 * GROUP);
        for row in w.chunks_mut(width) {
            row[..1024].iter_mut().for_each(|x| *x *= 1e-4);
        }
        let data = bf16(&w, &[]);
        for level in 1..=6 {
            let packed = encode(&data, BF16, level).unwrap();
            assert_eq!(decode(&packed, data.len()), data);
            // A code for what is there comes to 0.73 of the size.
            assert!(packed.len() * 4 < data.len() * 3, "{width} {level} {}", packed.len());
        }
    }
}

/// Payloads with lanes: symbols of 8 bits, and rests as they are; symbols of more bits, of which some have no code, and exceptions;
/// low bits that are zero in some segments.
fn in_lanes() -> Vec<(Vec<u8>, usize)> {
    let w = weights(1500);
    let straight = bf16(&w, &[(1300, 1e-30)]);
    let wide = bf16(&w, &[(1100, 1e30), (1200, f32::NAN), (1300, 0.0)]);
    let mut segments = w.clone();
    segments[512..1024].iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits() & 0xffff_0000));
    [(straight, BF16, 1), (wide, BF16, 5), (bytes(&segments), F32, 2)]
        .into_iter()
        .map(|(data, element, level)| {
            let packed = encode(&data, element, level).unwrap();
            assert_eq!(packed[7], 3, "not in lanes");
            assert_eq!(decode(&packed, data.len()), data);
            (packed, data.len())
        })
        .collect()
}

#[test]
fn lanes_that_are_cut_off_are_refused() {
    for (packed, n) in in_lanes() {
        let (mut out, mut scratch) = (vec![0; n], codec::Scratch::default());
        for size in 0..packed.len() {
            assert!(Tensor.decode(&packed[..size], &mut out, &mut scratch).is_err(), "{size}");
        }
        let mut longer = packed.clone();
        longer.push(0);
        assert!(Tensor.decode(&longer, &mut out, &mut scratch).is_err());
        // What was refused leaves nothing behind.
        Tensor.decode(&packed, &mut out, &mut scratch).unwrap();
        assert!(out == decode(&packed, n));
    }
}

#[test]
fn flipped_bits_in_lanes_do_not_panic() {
    for (packed, n) in in_lanes() {
        let (mut out, mut scratch) = (vec![0; n], codec::Scratch::default());
        let mut refused = 0;
        for bit in 0..8 * packed.len() {
            let mut damaged = packed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            refused += Tensor.decode(&damaged, &mut out, &mut scratch).is_err() as usize;
            // A block of another size.
            let _ = Tensor.decode(&damaged, &mut out[..n - 1 - bit % n], &mut scratch);
        }
        assert!(refused > 0);
        Tensor.decode(&packed, &mut out, &mut scratch).unwrap();
        assert!(out == decode(&packed, n));
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

/// Bell-shaped bfloat16 numbers whose scale differs from row to row and from column to column.
fn scaled_rows(rows: usize, columns: usize) -> Vec<u8> {
    let power = |n: usize, most: usize| 2f32.powi((n % most) as i32);
    let scaled = weights(rows * columns).into_iter().enumerate().map(|(i, x)| {
        let (row, column) = (i / columns, i % columns);
        x * power(row * 7919 / 8, 4) * power(column * 104_729 / 16, 4)
    });
    scaled.flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect()
}

fn is_modelled(payload: &[u8]) -> bool {
    // b0, t, drop, q, lambda, base; no head and no tail.
    payload[7] == 4
}

#[test]
fn scales_of_rows_and_columns_are_made_use_of() {
    let data = scaled_rows(400, 384);
    let (fast, small) = (encode(&data, BF16, 6).unwrap(), encode(&data, BF16, 7).unwrap());
    assert_eq!(decode(&small, data.len()), data);
    assert!(is_modelled(&small) && !is_modelled(&fast));
    // More than half a bit of each element.
    assert!((fast.len() - small.len()) * 8 > data.len() / 4, "{} {}", fast.len(), small.len());
}

#[test]
fn a_model_is_not_used_where_it_saves_nothing() {
    // So few that its tables would weigh more than it could save.
    let data: Vec<u8> =
        weights(1000).iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect();
    assert!(!is_modelled(&encode(&data, BF16, 9).unwrap()));
    // Exponents that Huffman codes of whole bits fit exactly.
    let halving: Vec<u8> = random(100_000)
        .flat_map(|x| ((100 + x.trailing_zeros().min(7) as u16) << 7 | 1 << 5).to_le_bytes())
        .collect();
    assert!(!is_modelled(&encode(&halving, BF16, 9).unwrap()));
}

#[test]
fn integers_of_all_values_are_modelled_without_an_escape() {
    // Uniform within a scale that changes from row to row; every byte value occurs often.
    let data: Vec<u8> =
        random(200_000).enumerate().map(|(i, x)| ((x as u8 as i8) >> (i / 512 % 4)) as u8).collect();
    for kind in [Kind::Signed, Kind::Unsigned] {
        let payload = encode(&data, element(0, kind), 8).unwrap();
        assert!(is_modelled(&payload), "{kind:?}");
        assert_eq!(decode(&payload, data.len()), data);
    }
}

#[test]
fn damaged_models_are_refused_or_decode_to_something() {
    let data = scaled_rows(20, 128);
    let payload = encode(&data, BF16, 7).unwrap();
    assert!(is_modelled(&payload));
    let mut scratch = codec::Scratch::default();
    let mut out = vec![0; data.len()];
    for n in 0..payload.len() {
        assert!(Tensor.decode(&payload[..n], &mut out, &mut scratch).is_err(), "{n}");
    }
    // Every bit of the head and of the beginning of the groups.
    for bit in 0..8 * payload.len().min(600) {
        let mut changed = payload.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let _ = Tensor.decode(&changed, &mut out, &mut scratch);
    }
    Tensor.decode(&payload, &mut out, &mut scratch).unwrap();
    assert_eq!(out, data);
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

#[test]
fn the_short_way_gives_what_the_long_one_gives() {
    let noise = |n: usize| random(n).map(|x| x as u8);
    let w = bytes(&weights(200_000));
    let upcast: Vec<u8> = w.chunks(4).flat_map(|x| [0, 0, x[2], x[3]]).collect();
    let narrow: Vec<u8> = w.chunks(4).flat_map(|x| [x[2], x[3]]).collect();
    let bytes_alone: Vec<u8> = noise(300_000).zip(noise(300_000).skip(1)).map(|(a, b)| a & b).collect();
    let mut outliers = w.clone();
    outliers.chunks_mut(4).step_by(5000).for_each(|x| x[3] = 0x7f);
    let f16 = Element { width: 1, kind: Kind::Float { exponent: 5 }, head: 0 };
    let f8 = Element { width: 0, kind: Kind::Float { exponent: 4 }, head: 0 };
    let shifted = Element { head: 3, ..F32 };
    let mut taken = 0;
    for (data, element) in [
        (&w, F32),
        (&w, shifted),
        (&outliers, F32),
        (&upcast, F32),
        (&narrow, BF16),
        (&narrow, f16),
        (&bytes_alone, f8),
        (&bytes_alone, element(0, Kind::Unsigned)),
    ] {
        for level in 1..=9 {
            let level = Level::new(level).unwrap();
            let mut scratch = codec::Scratch::default().tensor;
            let found = analyze::analyze(data, element, level, &mut scratch).unwrap();
            let (mut short, mut long) = (vec![9], vec![9]);
            let smaller = encode::encode(data, element, level, &found, &mut scratch, &mut long);
            match direct::encode(data, element, level, &found, &mut scratch, &mut short) {
                Some(verdict) => {
                    taken += 1;
                    assert!(verdict == smaller && short == long, "{element:?} {level:?}");
                }
                None => assert_eq!(short, [9]),
            }
        }
    }
    assert!(taken > 30, "{taken}");
}

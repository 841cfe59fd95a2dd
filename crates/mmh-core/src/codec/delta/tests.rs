use super::form::Form;
use super::*;
use crate::block::Given;
use crate::codec::{Level, Scratch as Memory, tensor};
use crate::dtype::Dtype;
use crate::plan;
use crate::testing::noise;
use mmh_kernels::conversions::{Conversion, Float};
use mmh_kernels::differences::Spec;
use proptest::prelude::*;

const KINDS: [Dtype; 9] = [
    Dtype::U8,
    Dtype::F8_E4M3,
    Dtype::I16,
    Dtype::F16,
    Dtype::BF16,
    Dtype::F32,
    Dtype::U32,
    Dtype::F64,
    Dtype::I64,
];

fn encoded(data: &[u8], base: &[u8], element: Element, level: Level, offset: u64) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let base = Some(Counterpart::of_base(offset, base));
    let block =
        Block { data, declared: None, element: Some(element), level, split: None, structure: None, base };
    OF_BASE.encode(&block, &mut Memory::default(), &mut out).unwrap().then_some(out)
}

fn decoded(payload: &[u8], base: &[u8], n: usize) -> Result<Vec<u8>> {
    let mut out = vec![0xaa; n];
    OF_BASE.decode_with(payload, Some(&base.to_vec()), &mut out, &mut Memory::default()).map(|()| out)
}

/// The mode of a payload whose offset takes one byte.
fn mode_of(payload: &[u8]) -> u8 {
    payload[1]
}

fn weights(n: usize, seed: u64) -> Vec<f32> {
    noise(4 * n, seed)
        .chunks(4)
        .map(|c| c.iter().map(|b| *b as f32 / 255.0 - 0.5).sum::<f32>() * 0.03)
        .collect()
}

fn bf16(w: impl Iterator<Item = f32>) -> Vec<u8> {
    w.flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect()
}

#[test]
fn differences_are_undone_at_every_width() {
    let random: Vec<u64> =
        noise(8 * 64, 3).chunks(8).map(|c| u64::from_le_bytes(c.try_into().unwrap())).collect();
    for dtype in KINDS {
        let form = Form::of(Element::of(dtype)).spec;
        let e = form.significant();
        let mask = u64::MAX >> (64 - e);
        let edges = [0, 1, 2, mask, mask - 1, mask >> 1, (mask >> 1) + 1];
        for drop in [0, 1, e / 2, e - 1] {
            let form = Spec { drop: drop as u8, ..form };
            let kept = mask >> drop << drop;
            for x in edges.iter().chain(&random).map(|v| v & mask) {
                assert_eq!(form.difference(x & kept, x), 0);
                for y in edges.iter().chain(&random).map(|v| v & kept) {
                    let difference = form.difference(y, x);
                    assert_eq!(form.undo(difference, x), y, "{dtype:?} {drop} {y:x} {x:x}");
                    let (symbol, extra) = form.symbol(difference);
                    assert!(symbol <= form.last_symbol());
                    let (lowest, bits) = form.lowest(symbol);
                    assert_eq!(bits, extra);
                    assert_eq!(lowest + (difference & ((1 << bits) - 1)), difference);
                }
            }
        }
    }
}

#[test]
fn neighbours_among_floats_differ_by_one_step() {
    let form = Form::of(Element::of(Dtype::F32)).spec;
    let bits = |x: f32| x.to_bits() as u64;
    assert_eq!(form.difference(bits(1.0) + 1, bits(1.0)), 2);
    assert_eq!(form.difference(bits(1.0), bits(1.0) + 1), 1);
    assert_eq!(form.difference(bits(-1.0), bits(-1.0) + 1), 2);
    assert_eq!(form.difference(bits(0.0), bits(-0.0)), 2);
    assert_eq!(form.difference(bits(2.0), bits(2.0) - 1), 2);
}

#[test]
fn each_kind_of_change_gets_its_mode() {
    let w = weights(50_000, 5);
    let base = bf16(w.iter().copied());
    let element = Element::of(Dtype::BF16);
    let at = |data: &[u8], level| encoded(data, &base, element, level, 9).unwrap();
    let same = at(&base, Level::BALANCED);
    assert_eq!(same, [9, mode::COPY]);
    let step = noise(w.len(), 8);
    let tuned = bf16(w.iter().zip(&step).map(|(w, s)| w + (*s as f32 / 255.0 - 0.5) * 1e-4));
    let few = bf16(w.iter().zip(&step).map(|(w, s)| if *s < 5 { w * 1.02 } else { *w }));
    for level in [Level::FAST, Level::BALANCED, Level::MAX] {
        let payload = at(&tuned, level);
        assert_eq!(mode_of(&payload), mode::DIFFERENCE);
        assert!(payload.len() * 4 < tuned.len(), "{} of {}", payload.len(), tuned.len());
        assert_eq!(decoded(&payload, &[&[0; 9], &base[..]].concat(), tuned.len()).unwrap(), tuned);
    }
    // Only the fastest levels leave it at that: where both are tried, the smaller one is taken.
    let payload = at(&few, Level::BALANCED);
    assert!(payload.len() * 30 < few.len(), "{} of {}", payload.len(), few.len());
    assert_eq!(decoded(&payload, &[&[0; 9], &base[..]].concat(), few.len()).unwrap(), few);
    let mut one = base.clone();
    one[777] ^= 1;
    let payload = at(&one, Level::BALANCED);
    assert_eq!(mode_of(&payload), mode::SPARSE);
    assert!(payload.len() < 40);
    assert_eq!(decoded(&payload, &[&[0; 9], &base[..]].concat(), one.len()).unwrap(), one);
    let packed = noise(60_000, 6);
    let flipped: Vec<u8> = packed.iter().zip(noise(60_000, 7)).map(|(b, r)| b ^ (0x80 * (r & 1))).collect();
    let payload = encoded(&flipped, &packed, Element::of(Dtype::U8), Level::BALANCED, 0).unwrap();
    assert_eq!(decoded(&payload, &packed, flipped.len()).unwrap(), flipped);
}

#[test]
fn upcast_elements_cost_what_they_cost_before() {
    let (w, step) = (weights(30_000, 5), noise(30_000, 8));
    let tuned = w.iter().zip(&step).map(|(w, s)| w + (*s as f32 / 255.0 - 0.5) * 1e-4);
    let narrow = |w: f32| w.to_bits() & 0xffff_0000;
    let base: Vec<u8> = w.iter().flat_map(|w| narrow(*w).to_le_bytes()).collect();
    let data: Vec<u8> = tuned.flat_map(|w| narrow(w).to_le_bytes()).collect();
    let payload = encoded(&data, &base, Element::of(Dtype::F32), Level::BALANCED, 0).unwrap();
    assert!(payload.len() * 8 < data.len(), "{} of {}", payload.len(), data.len());
    assert_eq!(decoded(&payload, &base, data.len()).unwrap(), data);
}

/// A counterpart that is converted, of either origin.
fn converted_counterpart<'a>(
    conversion: Conversion,
    origin: Origin,
    there: &'a [u8],
    bytes: &'a mut Vec<u8>,
) -> Counterpart<'a> {
    let (from, to) = conversion.types();
    bytes.resize(there.len() / from.size() * to.size(), 0);
    conversions::convert(conversion, there, bytes);
    Counterpart { origin, offset: 5, there, conversion: Some(conversion), bytes }
}

#[test]
fn what_is_converted_is_compared_in_every_mode() {
    let mut seen = [0; 4];
    for &conversion in Conversion::ALL {
        let (from, to) = conversion.types();
        let dtype = [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F8_E4M3, Dtype::F8_E5M2]
            .into_iter()
            .find(|d| float_of(*d) == Some(to))
            .unwrap();
        let w = weights(20_000, 3);
        let mut there = vec![0; 20_000 * from.size()];
        let single: Vec<u8> = w.iter().flat_map(|w| w.to_le_bytes()).collect();
        match from {
            Float::F32 => there.copy_from_slice(&single),
            Float::F16 => conversions::convert(Conversion::F32ToF16, &single, &mut there),
            _ => conversions::convert(Conversion::F32ToBf16, &single, &mut there),
        }
        for (codec, origin) in [(&OF_BASE as &dyn Codec, Origin::Base), (&OF_SOURCE, Origin::Source)] {
            let mut bytes = Vec::new();
            let base = converted_counterpart(conversion, origin, &there, &mut bytes);
            let step = noise(20_000, 4);
            let moved = |few: u8, by: u8| -> Vec<u8> {
                let elements = base.bytes.chunks(to.size()).zip(&step);
                let moved = elements.flat_map(|(x, s)| {
                    // Up by some steps, with a carry now and then.
                    let value = x.iter().rev().fold(0u32, |v, b| v << 8 | *b as u32);
                    let more = if *s < few { by & *s } else { 0 };
                    value.wrapping_add(more.into()).to_le_bytes()[..to.size()].to_vec()
                });
                moved.collect()
            };
            for (data, expected) in [
                (moved(0, 0), mode::COPY),
                (moved(0, 7), mode::COPY),
                (moved(3, 7), mode::SPARSE),
                (moved(255, if to.size() == 1 { 3 } else { 63 }), mode::DIFFERENCE),
            ] {
                let block = Block {
                    data: &data,
                    declared: Some(dtype),
                    element: Some(Element::of(dtype)),
                    level: Level::BALANCED,
                    split: None,
                    structure: None,
                    base: Some(base),
                };
                let (mut payload, mut scratch) = (Vec::new(), Memory::default());
                assert!(codec.encode(&block, &mut scratch, &mut payload).unwrap());
                let found = mode_of(&payload);
                assert_eq!(found >> 4, conversion.id());
                let may_be =
                    if expected == mode::DIFFERENCE { vec![expected, mode::XOR] } else { vec![expected] };
                assert!(may_be.contains(&(found & 15)), "{conversion:?} {expected} {found}");
                seen[(found & 15) as usize] += 1;
                let mut back = vec![0xaa; data.len()];
                let all = [&[7; 5][..], &there].concat();
                codec.decode_with(&payload, Some(&all), &mut back, &mut scratch).unwrap();
                assert!(back == data, "{conversion:?} {expected}");
                // Of the other origin there is no counterpart, and too little of it is refused.
                let other: &dyn Codec = if origin == Origin::Base { &OF_SOURCE } else { &OF_BASE };
                assert!(!other.encode(&block, &mut scratch, &mut Vec::new()).unwrap());
                let short = all[..all.len() - 1].to_vec();
                assert!(codec.decode_with(&payload, Some(&short), &mut back, &mut scratch).is_err());
            }
        }
    }
    assert!(seen[1..].iter().all(|n| *n > 0) && seen[0] == 2 * 2 * Conversion::ALL.len(), "{seen:?}");
}

#[test]
fn a_part_of_a_counterpart_is_that_of_a_part_of_the_block() {
    let there = noise(4000, 1);
    let mut bytes = Vec::new();
    let whole = converted_counterpart(Conversion::F32ToE4m3, Origin::Source, &there, &mut bytes);
    let part = whole.part(100, 50);
    assert_eq!((part.offset, part.there, part.bytes), (405, &there[400..600], &whole.bytes[100..150]));
    let plain = Counterpart::of_base(3, &there).part(100, 50);
    assert_eq!((plain.offset, plain.there, plain.bytes), (103, &there[100..150], &there[100..150]));
}

#[test]
fn a_middle_of_few_values_does_not_stand_for_a_part() {
    // As symbols are that were sorted by classes: few differ in the middle.
    let n = 1 << 18;
    let data: Vec<u8> = noise(n, 5)
        .into_iter()
        .enumerate()
        .map(|(i, b)| if (n / 3..n / 2 + n / 6).contains(&i) { (b < 2) as u8 } else { b & 15 })
        .collect();
    for level in [Level::FAST, Level::BALANCED, Level::new(7).unwrap(), Level::MAX] {
        let mut scratch = Memory::default();
        let mut out = vec![7; 3];
        parts::put(&data, Some(Dtype::U8), level, &mut scratch, &mut out).unwrap();
        let given = Given { data: &data, declared: Some(Dtype::U8), base: None, whole: false };
        let choice = plan::prepare_given(&given, level, &mut scratch);
        let mut numbers = Vec::new();
        let block = choice.block(&data, Some(Dtype::U8), level, None);
        assert!(tensor::Tensor.encode(&block, &mut scratch, &mut numbers).unwrap());
        assert!(out.len() * 100 <= numbers.len() * 101, "{level:?} {} {}", out.len(), numbers.len());
        let mut back = vec![0; n];
        parts::get(&out[3..], &mut back, &mut scratch).unwrap();
        assert!(back == data);
    }
}

#[test]
fn lies_are_refused() {
    let base = noise(5000, 1);
    let with = |payload: &[u8]| decoded(payload, &base, 4096).unwrap_err().to_string();
    let stored = [0, mode::XOR, 0].iter().copied().chain(base[..4096].iter().copied()).collect::<Vec<_>>();
    assert!(decoded(&stored, &base, 4096).is_ok());
    assert!(with(&[]).contains("malformed offset"));
    assert!(with(&[0x89, 0x07, 0]).contains("from byte 905 of a base of 5000"));
    assert!(with(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0]).contains("of a base"));
    assert!(with(&[0]).contains("no mode"));
    assert!(with(&[0, 4]).contains("unknown mode"));
    assert!(with(&[0, 14 << 4]).contains("unknown conversion 14"));
    assert!(with(&[0, Conversion::F32ToBf16.id() << 4]).contains("8192 bytes from byte 0 of a base of 5000"));
    let odd = decoded(&[0, Conversion::F32ToBf16.id() << 4], &base, 11).unwrap_err().to_string();
    assert!(odd.contains("no whole number of converted elements"), "{odd}");
    assert!(with(&[0, mode::COPY, 0]).contains("left over"));
    assert!(with(&[0, mode::XOR]).contains("no codec"));
    // A codec that is new to the table is none of a part.
    for inner in 6..=255 {
        assert!(with(&[0, mode::XOR, inner, 0, mode::COPY]).contains("within"));
    }
    for form in [[64u8, 7, 0, 0, 0], [0, 8, 0, 0, 0], [0, 7, 8, 0, 0], [1, 4, 0, 9, 8], [1, 4, 0, 0, 9]] {
        let lie = [&[0, mode::DIFFERENCE][..], &form, &[12, 0]].concat();
        assert!(with(&lie).contains("impossible elements"), "{form:?}");
    }
    // 2048 differences of two bytes, all zero: a run of one byte.
    let form = [1, 4, 0, 0, 0];
    let zeros = |more: &[u8]| [&[0, mode::DIFFERENCE][..], &form, &[12, 2, 1, 0], more].concat();
    assert_eq!(decoded(&zeros(&[]), &base, 4096).unwrap(), &base[..4096]);
    assert!(with(&zeros(&[0])).contains("extra bits"));
    assert!(with(&[&[0, mode::DIFFERENCE][..], &form, &[11, 2, 1, 0]].concat()).contains("parts of"));
    assert!(
        with(&[&[0, mode::DIFFERENCE][..], &form, &[12, 3, 1, 0]].concat()).contains("a part of 3 bytes")
    );
    assert!(
        with(&[&[0, mode::DIFFERENCE][..], &form, &[12, 2, 1, 208]].concat()).contains("a symbol above 207")
    );
    // One element named, then its gap and its difference.
    let one = |m: u8, count: u8, gaps: &[u8]| {
        [&[0, mode::SPARSE][..], &form, &[m, count, 12, gaps.len() as u8], gaps, &[12, 2, 1, 0]].concat()
    };
    assert!(decoded(&one(1, 1, &[0, 5]), &base, 4096).is_ok());
    assert!(with(&one(2, 1, &[0, 5])).contains("gaps for 1 elements"));
    assert!(with(&one(1, 1, &[0, 255])).contains("gaps for 0 elements"));
    assert!(with(&one(1, 2, &[0, 5, 255])).contains("gaps for 1 elements"));
    assert!(with(&one(1, 10, &[0; 11])).contains("number of gaps"));
    assert!(with(&one(1, 9, &[0, 255, 255, 255, 255, 255, 255, 255, 255, 8])).contains("up to 2049"));
}

#[test]
fn bytes_that_the_last_extra_bits_do_not_use_are_zero() {
    let base = vec![0u8; 2];
    // Symbol 32 + 7: the difference 38 or 39, as the extra bit says.
    let with =
        |extra: &[u8]| decoded(&[&[0, 2, 1, 4, 0, 0, 0, 12, 2, 0, 39 - 4][..], extra].concat(), &base, 2);
    assert!(with(&[1]).is_ok());
    assert!(with(&[]).is_err());
    assert!(with(&[2]).is_err());
    assert!(with(&[1, 0]).is_err());
}

proptest! {
    #[test]
    fn edits_come_back(
        seed in any::<u64>(),
        n in 1usize..6000,
        kind in 0..KINDS.len(),
        head in 0u8..8,
        level in 1u8..10,
        offset in 0u64..1 << 20,
        strength in 0u8..9,
        density in any::<u8>(),
        narrow in any::<bool>(),
    ) {
        let base = noise(n, seed);
        let (what, whether) = (noise(n, seed ^ 1), noise(n, seed ^ 2));
        let mut data: Vec<u8> =
            (0..n).map(|i| if whether[i] <= density { base[i] ^ what[i] >> strength.min(7) } else { base[i] }).collect();
        if narrow {
            data.iter_mut().step_by(2).for_each(|b| *b = 0);
        }
        let element = Element { head, ..Element::of(KINDS[kind]) };
        if let Some(payload) = encoded(&data, &base, element, Level::new(level).unwrap(), offset) {
            let whole = Counterpart::of_base(offset, &base);
            let mut back = vec![0xaa; n];
            OF_BASE.decode_with(&payload, Some(&whole), &mut back, &mut Memory::default()).unwrap();
            prop_assert_eq!(back, data);
        }
    }

    #[test]
    fn arbitrary_payloads_never_panic(
        mut payload in prop::collection::vec(any::<u8>(), 2..200),
        mode in 1u8..4,
        base in prop::collection::vec(any::<u8>(), 1..5000),
    ) {
        (payload[0], payload[1]) = (0, mode);
        if let Some(b) = payload.get_mut(2) {
            *b &= 63;
        }
        let _ = decoded(&payload, &base, base.len());
    }
}

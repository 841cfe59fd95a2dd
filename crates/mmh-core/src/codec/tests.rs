//! What every codec in the table has to keep, whatever it does inside.

use super::*;
use crate::block::Given;
use crate::dtype::Dtype;
use crate::plan;
use crate::testing::noise;
use proptest::prelude::*;

/// Tiny blocks are tried with the codecs of two shorter tables: none may be forgotten there.
#[test]
fn every_codec_is_tried_on_tiny_blocks() {
    let tried = GENERAL.iter().chain(&SPECIAL).map(|c| c.id());
    let mut tried: Vec<u8> = [store::ID, pattern251::ID].into_iter().chain(tried).collect();
    let mut all: Vec<u8> = CODECS.iter().map(|c| c.id()).collect();
    tried.sort_unstable();
    all.sort_unstable();
    assert_eq!(tried, all, "a codec of CODECS stands neither in GENERAL nor in SPECIAL");
}

fn bf16_weights(n: usize) -> Vec<u8> {
    noise(4 * n, 11)
        .chunks(4)
        .map(|c| c.iter().map(|b| *b as f32 / 255.0 - 0.5).sum::<f32>() * 0.03)
        .flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes())
        .collect()
}

/// What a block may be stored against: itself, but for a byte here and there.
fn edited(data: &[u8]) -> Vec<u8> {
    data.iter().enumerate().map(|(i, b)| if i % 37 == 5 { b ^ 3 } else { *b }).collect()
}

fn samples() -> Vec<(&'static str, Vec<u8>, Option<Dtype>)> {
    vec![
        ("one byte", vec![7], None),
        ("text", b"the name of the layer and the name of the tensor ".repeat(30), None),
        ("zeros", vec![0; 5000], Some(Dtype::F32)),
        ("period", noise(251, 1).repeat(9), None),
        ("noise", noise(3001, 2), None),
        ("bf16", bf16_weights(3000), Some(Dtype::BF16)),
        ("bf16, odd", bf16_weights(3000)[1..].to_vec(), None),
        ("counting", (0..2000u64).flat_map(u64::to_le_bytes).collect(), Some(Dtype::I64)),
        ("mask", noise(9000, 3).iter().map(|b| b & 1).collect(), Some(Dtype::Bool)),
    ]
}

#[test]
fn the_table_is_in_order_and_found_by_id_and_name() {
    assert!(CODECS.windows(2).all(|w| w[0].id() < w[1].id()));
    for codec in CODECS {
        assert_eq!(by_id(codec.id()).unwrap().name(), codec.name());
        assert_eq!(by_name(codec.name()).unwrap().id(), codec.id());
    }
}

#[test]
fn what_is_encoded_comes_back_and_no_damage_panics() {
    let mut scratch = Scratch::default();
    for codec in CODECS {
        let mut used = 0;
        for (what, data, dtype) in samples() {
            for level in [1, 5, 9] {
                let level = Level::new(level).unwrap();
                let base = edited(&data);
                let origin = if codec.id() == delta::RELATIVE { Origin::Source } else { Origin::Base };
                let base = Counterpart { origin, ..Counterpart::of_base(3, &base) };
                let choice = plan::choose_given(
                    &Given { data: &data, declared: dtype, base: Some(base), whole: false },
                    level,
                    &mut scratch,
                );
                let block = Block {
                    data: &data,
                    declared: dtype,
                    element: choice.element,
                    level,
                    split: None,
                    structure: None,
                    base: Some(base),
                };
                let mut payload = Vec::new();
                if !codec.encode(&block, &mut scratch, &mut payload).unwrap() {
                    continue;
                }
                used += 1;
                let mut back = vec![0xaa; data.len()];
                codec.decode_with(&payload, Some(&base), &mut back, &mut scratch).unwrap();
                assert!(back == data, "{} {what} {level:?}", codec.name());
                // Damage gives an error or bytes, whatever they are; the frame's checksum tells.
                for cut in 0..payload.len().min(200) {
                    let _ = codec.decode_with(&payload[..cut], Some(&base), &mut back, &mut scratch);
                }
                for bit in 0..(payload.len() * 8).min(1600) {
                    payload[bit / 8] ^= 1 << (bit % 8);
                    let _ = codec.decode_with(&payload, Some(&base), &mut back, &mut scratch);
                    payload[bit / 8] ^= 1 << (bit % 8);
                }
                // So does a payload for another size.
                let mut longer = vec![0; data.len() + 1];
                let _ = codec.decode_with(&payload, Some(&base), &mut longer, &mut scratch);
            }
        }
        assert!(used > 0, "{} encoded nothing", codec.name());
    }
}

proptest! {
    #[test]
    fn arbitrary_payloads_never_panic(payload in prop::collection::vec(any::<u8>(), 0..300), n in 1usize..5000) {
        let mut scratch = Scratch::default();
        let mut out = vec![0; n];
        for codec in CODECS {
            let base: &[u8] = &payload;
            let _ = codec.decode_with(&payload, Some(&base), &mut out, &mut scratch);
            let _ = codec.decode_with(&payload, Some(&vec![7; 5000]), &mut out, &mut scratch);
        }
    }
}

use super::*;
use crate::testing::noise;

/// Sums of four uniform numbers: bell-shaped, as weights are.
fn weights(n: usize) -> Vec<f32> {
    let uniform = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32 / u32::MAX as f32 - 0.5;
    noise(16 * n, 7).chunks(16).map(|c| c.chunks(4).map(uniform).sum::<f32>() * 0.05).collect()
}

fn bf16(w: &[f32]) -> Vec<u8> {
    w.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect()
}

fn chosen(block: &[u8], declared: Option<Dtype>) -> &'static str {
    choose(block, declared, Level::BALANCED, &mut Scratch::default()).codec.name()
}

#[test]
fn each_kind_of_data_gets_its_codec() {
    let w = weights(40_000);
    let f32s: Vec<u8> = w.iter().flat_map(|x| x.to_le_bytes()).collect();
    let text = "the weights of the layer of the model and the rest of it; ".repeat(40).into_bytes();
    let mut text: Vec<u8> =
        text.iter().zip(noise(text.len(), 3)).map(|(t, r)| if r < 9 { r } else { *t }).collect();
    text.truncate(2000);
    assert_eq!(chosen(&noise(100_000, 1), None), "store");
    assert_eq!(chosen(&noise(100_000, 1), Some(Dtype::U8)), "store");
    assert_eq!(chosen(&vec![0; 100_000], Some(Dtype::F32)), "pattern251");
    assert_eq!(chosen(&noise(251, 5).repeat(1000), None), "pattern251");
    assert_eq!(chosen(&bf16(&w), Some(Dtype::BF16)), "tensor");
    assert_eq!(chosen(&f32s, Some(Dtype::F32)), "tensor");
    assert_eq!(chosen(&bf16(&w), None), "tensor");
    assert_eq!(chosen(&text, None), "zstd");
    let levels: Vec<u8> = w.iter().flat_map(|x| ((x * 60.0).round() * 0.0123).to_le_bytes()).collect();
    assert_eq!(chosen(&levels, Some(Dtype::F32)), "hierarchical");
}

#[test]
fn words_that_quantized_values_are_packed_in_are_bytes() {
    let element =
        |data: &[u8], dtype| choose(data, Some(dtype), Level::FAST, &mut Scratch::default()).element.unwrap();
    let values: Vec<u8> = weights(400_000).iter().map(|x| (x * 60.0 + 8.0).clamp(0.0, 15.0) as u8).collect();
    let packed: Vec<u8> = values.as_chunks::<2>().0.iter().map(|[low, high]| low | high << 4).collect();
    for (dtype, width) in [(Dtype::I32, 2), (Dtype::U32, 2), (Dtype::I64, 3), (Dtype::I16, 1)] {
        assert_eq!(element(&packed, dtype), Element::of(Dtype::U8));
        // Small numbers, whose upper bytes are zero or all ones; and one with a byte like no other.
        let size = 1 << width;
        let small: Vec<u8> =
            (packed.iter()).flat_map(|b| (*b as i64 - 128).to_le_bytes().into_iter().take(size)).collect();
        assert_eq!(element(&small, dtype), Element::of(dtype));
        let marked: Vec<u8> =
            packed.iter().enumerate().map(|(i, b)| if i % size == 1 { b ^ 0x80 } else { *b }).collect();
        assert_eq!(element(&marked, dtype), Element::of(dtype));
    }
    // Floats are floats, whatever they are made of.
    assert_eq!(element(&packed, Dtype::F32), Element::of(Dtype::F32));
}

#[test]
fn opaque_weights_are_recognized_at_any_offset() {
    let w = weights(40_000);
    let f32s: Vec<u8> = w.iter().flat_map(|x| x.to_le_bytes()).collect();
    for offset in 0..4 {
        let choice = choose(&f32s[offset..], None, Level::BALANCED, &mut Scratch::default());
        let element = choice.element.unwrap();
        assert_eq!((element.width, element.head as usize), (2, (4 - offset) % 4));
        let choice = choose(&bf16(&w)[offset..], None, Level::BALANCED, &mut Scratch::default());
        let element = choice.element.unwrap();
        assert_eq!((element.width, element.head as usize), (1, offset % 2));
    }
}

#[test]
fn the_same_block_gets_the_same_choice() {
    let block = bf16(&weights(30_000));
    let describe = |c: Choice| {
        format!("{} {:?} {:?}", c.codec.name(), c.element, c.bids.iter().map(|b| &b.1).collect::<Vec<_>>())
    };
    let mut used = Scratch::default();
    choose(&noise(50_000, 2), None, Level::MAX, &mut used);
    let first = describe(choose(&block, None, Level::BALANCED, &mut Scratch::default()));
    assert_eq!(first, describe(choose(&block, None, Level::BALANCED, &mut used)));
}

#[test]
fn text_is_plain_bytes_and_numbers_are_not_text() {
    let text = "{\"größe\": 4096, \"model_type\": \"llama\"}\r\n\t".repeat(30);
    let element = |block: &[u8]| {
        choose(block, None, Level::BALANCED, &mut Scratch::default()).element.map(|e| (e.width, e.head))
    };
    // A text is no numbers, and nobody asks.
    assert_eq!(element(text.as_bytes()), None);
    let f32s: Vec<u8> = weights(20_000).iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(element(&f32s), Some((2, 0)));
}

#[test]
fn fast_levels_leave_floats_to_zstandard_only_where_it_saves_clearly() {
    let fresh = bf16(&weights(200_000));
    let mut little = 0;
    for share in 0..=16u8 {
        // So many sixteenths of the stretches of 64 bytes are the same ones again.
        let stretches = fresh.chunks_exact(64).zip(noise(fresh.len() / 64, 9));
        let again = |r: u8| &fresh[64 * (r as usize / 16 % 8)..][..64];
        let of = |(own, r): (_, u8)| if r % 16 < share { again(r) } else { own };
        let block: Vec<u8> = stretches.flat_map(of).copied().collect();
        let choose = |level| choose(&block, Some(Dtype::BF16), level, &mut Scratch::default());
        let [fast, balanced] = [Level::FAST, Level::BALANCED].map(choose);
        let clear = |c: &Choice| {
            c.estimate_of(zstd::ID)
                .zip(c.estimate_of(codec::tensor::ID))
                .is_some_and(|(z, t)| z * 8.0 <= t * 7.0)
        };
        assert!(fast.codec.id() != zstd::ID || clear(&fast), "{share}");
        little += (balanced.codec.id() == zstd::ID && !clear(&balanced)) as u32;
        assert!(share < 12 || fast.codec.id() != codec::tensor::ID, "{share}");
    }
    assert!(little > 0);
}

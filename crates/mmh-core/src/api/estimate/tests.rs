use super::*;
use crate::api::CompressOptions;
use crate::block::Settings;
use crate::testing::noise;
use std::collections::BTreeMap;

/// A model of `layers` layers in a safetensors file: bf16 weights, noise that does not compress, zeros, a tensor and its twin.
fn model(layers: usize) -> Vec<u8> {
    let mut header = BTreeMap::new();
    let mut data: Vec<u8> = Vec::new();
    let mut add = |name: String, dtype: &str, width: usize, bytes: Vec<u8>| {
        let range = [data.len(), data.len() + bytes.len()];
        let shape = [bytes.len() / width];
        header.insert(name, serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": range}));
        data.extend(bytes);
    };
    for i in 0..layers {
        let sums = |seed: u64, n: usize| -> Vec<u8> {
            let raw = noise(4 * n, seed + i as u64);
            let each = raw.chunks(4).map(|c| c.iter().map(|b| *b as f32 / 255.0 - 0.5).sum::<f32>() * 0.05);
            each.flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect()
        };
        add(format!("layers.{i}.up"), "BF16", 2, sums(100, 700_000));
        add(format!("layers.{i}.ids"), "U8", 1, noise(300_000, 900 + i as u64));
        add(format!("layers.{i}.mask"), "F32", 4, vec![0; 400_000]);
        add(format!("layers.{i}.norm"), "BF16", 2, sums(300, 256));
    }
    add("head".into(), "U8", 1, noise(1_000_000, 5));
    add("twin".into(), "U8", 1, noise(1_000_000, 5));
    let text = serde_json::to_vec(&header).unwrap();
    [&(text.len() as u64).to_le_bytes()[..], &text, &data].concat()
}

fn truth(source: &[u8], level: Level) -> u64 {
    let settings = Settings { level, codec: None, verify: false };
    let options = CompressOptions { blake3: true, ..CompressOptions::new(settings) };
    crate::api::compress_bytes(source, None, &options).unwrap().len() as u64
}

const LEVELS: [Level; 3] = [Level::FAST, Level::BALANCED, Level::MAX];

#[test]
fn a_part_tells_the_size_of_the_whole() {
    let source = model(12);
    let found = estimate(&source, "", None, &LEVELS, &Workers::new(2), 1 << 20).unwrap();
    assert!(found.sampled_bytes < source.len() as u64 / 2, "{}", found.sampled_bytes);
    assert_eq!((found.format, found.tensors, found.copied_bytes), ("safetensors", 50, 1_000_000));
    for level in &found.levels {
        let truth = truth(&source, level.level) as f64;
        assert!((level.stored as f64 / truth - 1.0).abs() < 0.01, "{} {truth}", level.stored);
        assert!(level.compress_seconds > 0.0 && level.decompress_seconds > 0.0);
    }
}

#[test]
fn small_sources_are_exact() {
    for source in [Vec::new(), b"x".to_vec(), noise(5000, 1), model(1)] {
        let found = estimate(&source, "", None, &LEVELS, &Workers::new(1), BUDGET).unwrap();
        assert_eq!(found.sampled_bytes, source.len() as u64);
        for level in found.levels {
            assert_eq!(level.stored, truth(&source, level.level));
        }
    }
}

#[test]
fn blocks_that_were_there_before_cost_nothing() {
    let old = noise(4_000_000, 1);
    let parts =
        [old.clone(), [&old[..6 * block::BYTE_BLOCK], &noise(2_000_000, 2)].concat(), noise(1_000_000, 3)];
    let mut at = 0;
    let header: BTreeMap<String, serde_json::Value> = (parts.iter().enumerate())
        .map(|(i, part)| {
            let range = [at, at + part.len()];
            at = range[1];
            let tensor = serde_json::json!({"dtype": "U8", "shape": [part.len()], "data_offsets": range});
            (format!("{i}"), tensor)
        })
        .collect();
    let text = serde_json::to_vec(&header).unwrap();
    let source = [&(text.len() as u64).to_le_bytes()[..], &text, &parts.concat()].concat();
    let found = estimate(&source, "", None, &LEVELS, &Workers::new(2), 1 << 20).unwrap();
    for level in &found.levels {
        let truth = truth(&source, level.level) as f64;
        assert!((level.stored as f64 / truth - 1.0).abs() < 0.01, "{} {truth}", level.stored);
    }
}

#[test]
fn runs_cost_nothing_however_long() {
    let mut source = noise(251, 1).repeat(60_000);
    source.extend(noise(1000, 2));
    let found = estimate(&source, "", None, &[Level::BALANCED], &Workers::new(1), 1 << 20).unwrap();
    assert!(found.levels[0].stored < 5000, "{}", found.levels[0].stored);
}

#[test]
fn it_is_the_same_each_time_for_any_number_of_threads() {
    let source = model(6);
    let sizes = |threads| {
        let found = estimate(&source, "", None, &LEVELS, &Workers::new(threads), 2 << 20).unwrap();
        found.levels.iter().map(|l| l.stored).collect::<Vec<_>>()
    };
    assert_eq!(sizes(1), sizes(3));
}

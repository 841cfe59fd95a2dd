use super::*;
use crate::api::Workers;
use crate::block::Settings;
use crate::codec::Level;
use crate::dtype::Dtype;
use crate::limits::Limits;

fn side(dtype: Dtype, shape: &[u64], data: &[u8]) -> Side {
    let text = format!(
        r#"{{"x":{{"dtype":"{}","shape":{shape:?},"data_offsets":[0,{}]}}}}"#,
        dtype.name(),
        data.len()
    );
    let mut file = (text.len() as u64).to_le_bytes().to_vec();
    file.extend(text.as_bytes());
    file.extend(data);
    Side::open(Box::new(file), &Limits::default()).unwrap()
}

fn look(dtype: Dtype, shape: &[u64], data: &[u8], threads: usize) -> Examined {
    let side = side(dtype, shape, data);
    validate(&side, &Workers::new(threads), &mut |_| Ok(())).unwrap().tensors.remove(0)
}

fn floats(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}

/// Numbers from -0.5 to 0.5, without a rule.
fn noise(i: u64) -> f32 {
    let mut z = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ z >> 31) >> 40) as f32 / (1 << 24) as f32 - 0.5
}

#[test]
fn stretches_join_to_the_whole() {
    let values: Vec<f32> = (0..1_000_000).map(|i| noise(i) + 100.0).collect();
    let e = look(Dtype::F32, &[1000, 1000], &floats(values.iter().copied()), 3);
    let n = values.len() as f64;
    let mean = values.iter().map(|x| *x as f64).sum::<f64>() / n;
    let power = |p: i32| values.iter().map(|x| (*x as f64 - mean).powi(p)).sum::<f64>();
    let [m, m2, m3, m4] = e.stats.moments;
    assert_eq!(e.stats.count, 1_000_000);
    assert!((m - mean).abs() < 1e-9 && (m2 / power(2) - 1.0).abs() < 1e-9);
    assert!((m3 - power(3)).abs() < 1e-3 * n && (m4 / power(4) - 1.0).abs() < 1e-9);
    assert!((e.stats.kurtosis().unwrap() - 1.8).abs() < 0.01);
    assert_eq!(e.stats.bins.iter().sum::<u64>(), 1_000_000);
    assert_eq!(e.stats.exponents.iter().sum::<u64>(), 1_000_000);
}

#[test]
fn threads_do_not_matter() {
    let data = floats((0..700_000).map(noise));
    let (a, b) = (look(Dtype::F32, &[700, 1000], &data, 1), look(Dtype::F32, &[700, 1000], &data, 4));
    assert_eq!(a.stats.moments.map(f64::to_bits), b.stats.moments.map(f64::to_bits));
    assert_eq!((a.stats.bins, a.reason), (b.stats.bins, b.reason));
}

#[test]
fn verdicts() {
    let scale = |i: u64| (0.3 + (i / 256 % 7) as f32) * noise(i);
    #[allow(clippy::type_complexity)]
    let cases: Vec<(Dtype, Vec<u64>, Vec<u8>, Verdict, &str)> = vec![
        (Dtype::F32, vec![256, 256], floats((0..65536).map(noise)), Verdict::Fresh, "uniform"),
        (Dtype::F32, vec![256, 256], floats((0..65536).map(scale)), Verdict::Trained, "rows"),
        (Dtype::F32, vec![256, 256], vec![0; 262_144], Verdict::Constant, "zeros"),
        (Dtype::F32, vec![512], floats((0..512).map(|_| 1.0)), Verdict::Constant, "ones"),
        (Dtype::F32, vec![512], floats((0..512).map(|i| i as f32)), Verdict::Synthetic, "counts up"),
        (
            Dtype::F32,
            vec![64, 64],
            floats((0..4096).map(|i| noise(i % 100))),
            Verdict::Synthetic,
            "repeats every 400",
        ),
        (
            Dtype::F32,
            vec![64, 64],
            floats((0..4096).map(|i| (noise(i) * 20.0).round())),
            Verdict::Quantized,
            "different",
        ),
        (
            Dtype::I8,
            vec![64, 64],
            (0..4096).map(|i| (noise(i) * 200.0) as i8 as u8).collect(),
            Verdict::Quantized,
            "8-bit",
        ),
        (Dtype::F32, vec![4], floats((0..4).map(noise)), Verdict::Unknown, "too little"),
        (
            Dtype::I64,
            vec![100],
            (0..100u64).flat_map(u64::to_le_bytes).collect(),
            Verdict::Synthetic,
            "counts up from 0",
        ),
    ];
    for (dtype, shape, data, expected, reason) in cases {
        let e = look(dtype, &shape, &data, 2);
        assert_eq!(e.verdict, expected, "{}: {}", dtype.name(), e.reason);
        assert!(e.reason.contains(reason), "{}", e.reason);
    }
}

#[test]
fn damage_is_seen() {
    let good: Vec<f32> = (0..65536).map(|i| 0.1 * noise(i)).collect();
    let mut bad = good.clone();
    bad[77] = f32::NAN;
    let e = look(Dtype::F32, &[256, 256], &floats(bad.into_iter()), 2);
    assert_eq!((e.verdict, e.reason.as_str()), (Verdict::Corrupt, "1 elements are NaN"));
    let mut hollow = good.clone();
    hollow[10_000..12_000].fill(0.0);
    let e = look(Dtype::F32, &[256, 256], &floats(hollow.into_iter()), 2);
    assert_eq!(e.verdict, Verdict::Corrupt, "{}", e.reason);
    assert!(e.reason.contains("2000 zeros from element 10000"), "{}", e.reason);
    // Rows of zeros are none.
    let mut rows = good;
    rows[2560..5120].fill(0.0);
    assert_ne!(look(Dtype::F32, &[256, 256], &floats(rows.into_iter()), 2).verdict, Verdict::Corrupt);
    let bytes: Vec<u8> = (0..100_000u64).map(|i| (noise(i) * 1e5) as i32 as u8).collect();
    assert_eq!(look(Dtype::BF16, &[50_000], &bytes, 2).verdict, Verdict::Corrupt);
}

#[test]
fn upcast_rows_are_counted() {
    let narrow = |i: u64| f32::from_bits(noise(i).to_bits() & if i < 25_600 { 0xFFFF_0000 } else { !0 });
    let e = look(Dtype::F32, &[256, 256], &floats((0..65536).map(narrow)), 2);
    assert_eq!(e.stats.narrow[..2], [256, 100]);
}

#[test]
fn every_codec_is_proved() {
    let side = side(Dtype::F32, &[256, 256], &floats((0..65536).map(noise)));
    for codec in crate::codec::CODECS.iter().filter(|c| c.name() != "delta") {
        let settings = Settings { level: Level::new(5).unwrap(), codec: Some(*codec), verify: false };
        let options = crate::api::CompressOptions::new(settings);
        let proof = prove(&side, &options, &Workers::new(2), &mut |_| Ok(())).unwrap();
        assert!(proof.differs.is_none() && proof.stored_bytes < 270_000, "{}", codec.name());
    }
}

//! Each set of instructions restores the same bytes from a payload, or refuses it; and makes the same payload of the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmh_core::api::{CompressOptions, compress_bytes};
use mmh_core::block::Settings;
use mmh_core::codec::{Level, Scratch, by_name, delta};
use mmh_fuzz::{base_of, codec_of};
use mmh_kernels::cpu::{Simd, on};

fuzz_target!(|case: (u8, u8, u32, &[u8])| {
    let (codec, level, raw, data) = case;
    let codec = codec_of(codec);
    let len = 1 + raw as usize % (1 << 18);
    let base = base_of(data, len);
    let restored = |simd| {
        let mut out = vec![0; len];
        let done = on(simd, || codec.decode_with(data, Some(&base), &mut out, &mut Scratch::default()));
        done.map(|()| out).map_err(|e| e.to_string())
    };
    same(restored);
    // As weights, whose every group is coded.
    let times = 1 + raw as usize % 64;
    let level = Level::new(1 + level % 9).expect("1 to 9");
    let settings =
        Settings { level, codec: by_name(codec.name()).filter(|c| c.id() != delta::ID), verify: false };
    let options = CompressOptions { threads: 1, ..CompressOptions::new(settings) };
    let many = data.repeat(times);
    same(|simd| on(simd, || compress_bytes(&many, None, &options)).map_err(|e| e.to_string()));
});

fn same<T: PartialEq + std::fmt::Debug>(outcome: impl Fn(Simd) -> T) {
    let scalar = outcome(Simd::Scalar);
    for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
        assert!(outcome(simd) == scalar, "{} is not as scalar", simd.name());
    }
}

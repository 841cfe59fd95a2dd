//! Any bytes, called elements of any dtype, at any level, by any codec, come back as they were, and never cost more than 0.1 %
//! and 1 KiB.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use mmh_core::Dtype;
use mmh_core::api::{CompressOptions, compress_bytes, decompress_bytes};
use mmh_core::block::Settings;
use mmh_core::codec::{CODECS, Level};

#[derive(Arbitrary, Debug)]
struct Case {
    dtype: u8,
    level: u8,
    codec: u8,
    threads: bool,
    /// How often the data is repeated, so that blocks of many groups come up as well.
    times: u16,
    data: Vec<u8>,
}

fuzz_target!(|case: Case| {
    let times = 1 + usize::from(case.times) % (1 + (1 << 19) / case.data.len().max(1));
    let mut data = case.data.repeat(times);
    let array = Dtype::from_id(case.dtype).map(|dtype| {
        let (elements, bytes) = dtype.unit();
        let units = data.len() as u64 / bytes;
        data.truncate((units * bytes) as usize);
        (dtype, vec![units * elements])
    });
    let level = Level::new(1 + case.level % 9).expect("1 to 9");
    // One past the table stands for `auto`, and so does `delta`, for which there is no base.
    let codec = CODECS.get(usize::from(case.codec) % (CODECS.len() + 1)).copied().filter(|c| c.name() != "delta");
    let options = CompressOptions {
        threads: 1 + usize::from(case.threads),
        ..CompressOptions::new(Settings { level, codec, verify: false })
    };
    let blob = compress_bytes(&data, array, &options).expect("everything can be compressed");
    assert!(blob.len() <= data.len() + data.len() / 1000 + 1024, "{} bytes became {}", data.len(), blob.len());
    assert_eq!(decompress_bytes(&blob, 1, true).expect("what was just written is good"), data);
});

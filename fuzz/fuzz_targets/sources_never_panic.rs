//! No file makes a reader panic or go on for long, and whatever a reader finds in it, the segments cover the file, which comes
//! back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmh_core::api::{CompressOptions, compress_bytes, decompress_bytes};
use mmh_core::block::{Settings, segments};
use mmh_core::codec::{CODECS, Level};
use mmh_core::source::{Input, find};

fuzz_target!(|data: &[u8]| {
    // A stream that begins like that; a build with assertions finds out whether layouts are sound.
    find(Input { bytes: &data, complete: false });
    let layout = find(Input { bytes: &data, complete: true });
    let mut end = 0;
    for segment in segments(&layout, Some(data.len() as u64)) {
        assert_eq!(segment.start, end);
        end += segment.len;
    }
    assert_eq!(end, data.len() as u64);
    // The rest takes a hundred times as long.
    if data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) % 64 == 0 {
        comes_back(data);
    }
});

fn comes_back(data: &[u8]) {
    let settings =
        Settings { level: Level::new(1).expect("1 to 9"), codec: CODECS.first().copied(), verify: false };
    let options = CompressOptions { threads: 1, ..CompressOptions::new(settings) };
    let blob = compress_bytes(data, None, &options).expect("everything can be compressed");
    assert_eq!(decompress_bytes(&blob, 1, true).expect("what was just written is good"), data);
}

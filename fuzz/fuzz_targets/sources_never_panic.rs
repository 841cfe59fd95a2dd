//! No file makes a reader panic, and whatever a reader finds in it, the file comes back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmh_core::api::{CompressOptions, compress_bytes, decompress_bytes};
use mmh_core::block::Settings;
use mmh_core::codec::{CODECS, Level};
use mmh_core::source::{Input, find};

fuzz_target!(|data: &[u8]| {
    // A stream that begins like that; a debug build asserts that layouts are sound.
    find(Input { bytes: &data, complete: false });
    let settings =
        Settings { level: Level::new(1).expect("1 to 9"), codec: CODECS.first().copied(), verify: false };
    let options =
        CompressOptions { settings, threads: 1, blake3: false, sha256: false, force: false, name: None };
    let blob = compress_bytes(data, None, &options).expect("everything can be compressed");
    assert_eq!(decompress_bytes(&blob, 1, true).expect("what was just written is good"), data);
});

//! Whatever the bytes are, decoding gives an error or bytes; it does not panic, hang or take memory that the input has not
//! earned. With the checksums off, so that damage reaches the codecs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmh_core::api::decompress_into;

/// A run of a few bytes may stand for any number of them: the caller's buffer bounds what is restored.
const ROOM: usize = 1 << 20;

fuzz_target!(|blob: &[u8]| {
    let mut out = vec![0; ROOM];
    let _ = decompress_into(blob, &mut out, 1, true);
    let _ = decompress_into(blob, &mut out, 1, false);
});

//! Bytes before and behind the target stay as they are, whatever a payload says; the sanitizer watches the rest of the memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmh_core::codec::Scratch;
use mmh_fuzz::{base_of, codec_of};

/// On each side of the target, which begins at any alignment.
const GUARD: usize = 100;

fuzz_target!(|case: (u8, u32, u8, &[u8])| {
    let (codec, raw, shift, payload) = case;
    let codec = codec_of(codec);
    let (start, len) = (GUARD + usize::from(shift % 64), 1 + raw as usize % (1 << 18));
    let mut memory = vec![0xA5; start + len + GUARD];
    let base = base_of(payload, len);
    let _ = codec.decode_with(payload, Some(&base), &mut memory[start..start + len], &mut Scratch::default());
    let (before, behind) = (&memory[..start], &memory[start + len..]);
    assert!(before.iter().chain(behind).all(|byte| *byte == 0xA5), "{} wrote outside", codec.name());
});

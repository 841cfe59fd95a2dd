//! The decoder of every codec meets any payload and any size of block.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmh_core::codec::{CODECS, Scratch};

fuzz_target!(|case: (u8, u32, &[u8])| {
    let (codec, raw, payload) = case;
    let codec = CODECS[usize::from(codec) % CODECS.len()];
    let mut out = vec![0; 1 + raw as usize % (1 << 18)];
    let _ = codec.decode(payload, &mut out, &mut Scratch::default());
});

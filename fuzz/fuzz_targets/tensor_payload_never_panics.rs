//! The decoder of the `tensor` codec meets any payload and any size of block.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmh_core::codec::{Scratch, by_name};

fuzz_target!(|case: (u16, &[u8])| {
    let (raw, payload) = case;
    let mut out = vec![0; 1 + usize::from(raw) * 4];
    let codec = by_name("tensor").expect("it is in the table");
    let _ = codec.decode(payload, &mut out, &mut Scratch::default());
});

//! Memory is in proportion to what is there: the file when it is opened, the file and the blocks when it is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmh_core::Limits;
use mmh_core::api::{Workers, verify};
use mmh_core::container::reader::Archive;
use mmh_fuzz::{Counted, peak_of, sealed};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// Bytes that a file may restore here: with blocks of up to 16 MiB, what decoding them may take is far from what a machine has.
const RESTORED: usize = 1 << 20;
/// Memory for each byte of a file that is opened: a tensor of five bytes without a name takes some 150, and its place in tables.
const FOR_EACH: usize = 64;
const ALWAYS: usize = 64 << 10;
/// Memory for each byte restored: a window, a block of it, and eight times that below the block.
const FOR_EACH_RESTORED: usize = 40;
/// Tables of the codecs.
const CODECS: usize = 8 << 20;

fuzz_target!(|blob: &[u8]| {
    let blob = sealed(blob);
    let limits = Limits { restored: Some(RESTORED as u64), ..Limits::default() };
    let peak = peak_of(|| drop(Archive::open_within(blob.as_slice(), &limits)));
    assert!(peak <= ALWAYS + FOR_EACH * blob.len(), "{peak} bytes to open {}", blob.len());
    if let Ok(archive) = Archive::open_within(blob.as_slice(), &limits) {
        let restored = archive.index().source_len as usize;
        let peak = peak_of(|| drop(verify(&archive, &Workers::new(1), &mut |_| Ok(()))));
        let most = CODECS + FOR_EACH * blob.len() + FOR_EACH_RESTORED * restored;
        assert!(peak <= most, "{peak} bytes to verify {} that restore {restored}", blob.len());
    }
});

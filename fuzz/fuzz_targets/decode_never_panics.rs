//! Whatever the bytes are, reading gives an error or bytes; it does not panic or hang. With the checksums of blocks off as well, so
//! that damage reaches the codecs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmh_core::Limits;
use mmh_core::api::{Shared, Workers, decompress_into, salvage, verify};
use mmh_core::container::FOOTER;
use mmh_core::container::reader::Archive;
use mmh_fuzz::sealed;
use std::sync::Arc;

/// A run of a few bytes may stand for any number of them: what is restored is bounded here.
const ROOM: usize = 1 << 20;

fuzz_target!(|blob: &[u8]| {
    let mut out = vec![0; ROOM];
    let _ = decompress_into(blob, &mut out, 1, true);
    let sealed = sealed(blob);
    let _ = decompress_into(&sealed, &mut out, 1, false);
    let limits = Limits { restored: Some(ROOM as u64), ..Limits::default() };
    if let Ok(archive) = Archive::open_within(sealed.as_slice(), &limits) {
        let _ = verify(&archive, &Workers::new(1), &mut |_| Ok(()));
    }
    // Whole, without its beginning, without its end, without both: one of them for each input, as each is a search of its own.
    let losses = [(0, 0), (1, 0), (16, 0), (40, 0), (0, 1), (0, FOOTER + 8), (16, FOOTER + 8)];
    let (lost, cut) = losses[blob.len() % losses.len()];
    if let Some(rest) = sealed.get(lost..sealed.len().saturating_sub(cut).max(lost)) {
        look(rest, &limits);
    }
});

/// Saves what there is; all that is said to be sound can be read.
fn look(file: &[u8], limits: &Limits) {
    let workers = Workers::new(1);
    let input: Shared = Arc::new(file.to_vec());
    let Ok(found) = salvage(input, None, limits, &workers, &mut |_| Ok(())) else { return };
    let tensors = found.archive.index().tensors.iter().map(|row| row.tensor.start..row.tensor.end());
    let mut out = vec![0; ROOM];
    for range in tensors.chain(found.ranges).collect::<Vec<_>>() {
        let out = &mut out[..(range.end - range.start) as usize];
        found.archive.read_range(range.start, out, &workers, true).expect("what was said to be sound is");
    }
    if let Some((loose, ranges)) = found.loose {
        for range in ranges {
            let out = &mut out[..(range.end - range.start) as usize];
            loose.read_range(range.start, out, &workers, true).expect("what was said to be sound is");
        }
    }
}

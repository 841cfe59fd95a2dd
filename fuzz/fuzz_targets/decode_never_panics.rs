//! Whatever the bytes are, reading gives an error or bytes; it does not panic or hang. With the checksums of blocks off as well, so
//! that damage reaches the codecs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmh_core::Limits;
use mmh_core::api::{Workers, decompress_into, verify};
use mmh_core::container::reader::Archive;
use mmh_core::container::recovered::Recovered;
use mmh_fuzz::sealed;

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
    // A beginning that is lost: by the footer alone.
    for lost in [0, 1, 16, 40] {
        let Some(rest) = sealed.get(lost..) else { break };
        if let Ok(recovered) = Recovered::new(rest)
            && let Ok(archive) = Archive::open_within(recovered, &limits)
        {
            let _ = verify(&archive, &Workers::new(1), &mut |_| Ok(()));
        }
    }
});

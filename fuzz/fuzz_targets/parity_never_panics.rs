//! Whatever follows a file as its parity, looking at it and mending it give an error or the body that was protected; they do not panic or
//! hang. Half of the inputs are what is left of a protected file, so that damage reaches what lies behind the hashes of the heads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mmh_core::api::Workers;
use mmh_core::parity::{self, Plan};

/// A body of so many bytes, protected.
fn protected(body: &[u8], percent: u32, workers: &Workers) -> Option<Vec<u8>> {
    let quiet = &mut |_| Ok(());
    let (plan, table) =
        parity::hashed(&body, Plan::new(body.len() as u64, percent), None, workers, quiet).ok()?;
    let mut file = body.to_vec();
    parity::write(&body, &plan, &table, &tempfile::tempfile, &mut file, workers, quiet).ok()?;
    Some(file)
}

fn look(file: &[u8], body: Option<&[u8]>, workers: &Workers) {
    let _ = parity::body_len(&file);
    let Ok(Some(found)) = parity::examine(&file, workers, &mut |_| Ok(())) else { return };
    let mut out = Vec::new();
    let done = parity::mend(&file, &found, &tempfile::tempfile, &mut out, workers, &mut |_| Ok(()));
    assert!(done.is_err() || found.is_mendable());
    if done.is_ok() {
        let restored = &out[..found.plan.body as usize];
        assert_eq!(*blake3::hash(restored).as_bytes(), found.plan.blake3);
        assert!(body.is_none_or(|body| restored == body));
    }
}

fuzz_target!(|input: &[u8]| {
    let workers = Workers::new(1);
    look(input, None, &workers);
    let Some((settings, rest)) = input.split_first_chunk::<4>() else { return };
    let length = 1 + u16::from_le_bytes([settings[0], settings[1]]) as usize % 8192;
    let body: Vec<u8> = (0..length).map(|i| (i * i >> 3) as u8 ^ settings[2]).collect();
    let Some(mut file) = protected(&body, 1 + settings[3] as u32 % 100, &workers) else { return };
    // Each three bytes of the rest: where, and what is done there.
    for what in rest.as_chunks::<3>().0.iter().take(64) {
        let at = u16::from_le_bytes([what[0], what[1]]) as usize % file.len().max(1);
        match what[2] {
            0 => file.truncate(at + 1),
            1 => file.insert(at, 7),
            2 => drop(file.remove(at)),
            mask => file[at] ^= mask,
        }
        if file.is_empty() {
            return;
        }
    }
    look(&file, Some(&body), &workers);
});

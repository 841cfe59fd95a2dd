//! Packs a directory again and again, for profilers: DIR TARGET [RUNS] [THREADS] [LEVEL].

use mmh_core::api::{CompressOptions, pack_dir};
use mmh_core::block::Settings;
use mmh_core::codec::Level;
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (root, target) = (PathBuf::from(&words[0]), PathBuf::from(&words[1]));
    let number = |i: usize, or: usize| words.get(i).and_then(|w| w.parse().ok()).unwrap_or(or);
    let (runs, threads, level) = (number(2, 20), number(3, 1), number(4, 5));
    let settings =
        Settings { level: Level::new(level as u8).unwrap_or(Level::BALANCED), codec: None, verify: true };
    let options = CompressOptions { blake3: true, force: true, threads, ..CompressOptions::new(settings) };
    let mut times = Vec::new();
    let mut stored = 0;
    for _ in 0..runs {
        let start = Instant::now();
        stored = pack_dir(&root, Some(&target), &options, &mut |_| Ok(()))?.report.stored_bytes;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!("{stored} bytes; ms: least {:.2}, median {:.2}", times[0], times[times.len() / 2]);
    Ok(())
}

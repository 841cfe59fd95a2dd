//! A source that fits the budget: compressed whole, in memory, and decompressed.

use super::LevelEstimate;
use crate::api::{CompressOptions, Workers, compress_bytes_by, zeroed};
use crate::base::Base;
use crate::block::Settings;
use crate::codec::Level;
use crate::container::reader::Archive;
use crate::error::Result;
use crate::io::ReadAt;
use std::sync::Arc;
use std::time::Instant;

/// Compresses all of a small source, and decompresses it.
pub fn whole(
    source: &dyn ReadAt,
    name: &str,
    base: Option<Arc<Base>>,
    levels: &[Level],
    workers: &Workers,
) -> Result<Vec<LevelEstimate>> {
    let mut data = zeroed(source.len())?;
    let start = Instant::now();
    source.read_exact_at(0, &mut data)?;
    let (read, write) = (start.elapsed().as_secs_f64(), seconds_to_write());
    let mut back = zeroed(source.len())?;
    let counting = workers.counting(2 * source.len() * levels.len() as u64);
    let one = |&level: &Level| {
        let settings = Settings { level, codec: None, verify: true };
        let name = Some(name.to_owned());
        let options = CompressOptions {
            threads: workers.threads(),
            blake3: true,
            name,
            base: base.clone(),
            ..CompressOptions::new(settings)
        };
        let start = Instant::now();
        let blob = compress_bytes_by(&data, None, &options, workers)?;
        let compress_seconds = start.elapsed().as_secs_f64() + read + write * blob.len() as f64;
        counting.advance(source.len());
        let start = Instant::now();
        let mut archive = Archive::open(blob.as_slice())?;
        archive.set_base(base.clone())?;
        archive.read_range(0, &mut back, workers, true)?;
        let decompress_seconds = start.elapsed().as_secs_f64() + write * data.len() as f64;
        counting.advance(source.len());
        Ok(LevelEstimate { level, stored: blob.len() as u64, compress_seconds, decompress_seconds })
    };
    levels.iter().map(one).collect()
}

/// Seconds for a byte to go into a new file, as far as the system's cache; nothing where no file can be made.
pub fn seconds_to_write() -> f64 {
    const BYTES: usize = 1 << 20;
    const TIMES: usize = 16;
    let data = vec![1u8; BYTES];
    let start = Instant::now();
    let written = tempfile::tempfile().and_then(|mut file| {
        (0..TIMES).try_for_each(|_| std::io::Write::write_all(&mut file, &data))?;
        Ok(start.elapsed().as_secs_f64())
    });
    written.map_or(0.0, |seconds| seconds / (BYTES * TIMES) as f64)
}

//! Compresses the first bytes of a file in memory, by one thread: what `benches/planner_cost.py` counts the instructions of.
//!
//!     compress_once FILE LEVEL MEGABYTES [DTYPE]
//!
//! With a dtype the bytes are elements of it, wherever the file has them.

use mmh_core::Dtype;
use mmh_core::api::{CompressOptions, compress_bytes};
use mmh_core::block::Settings;
use mmh_core::codec::Level;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (file, level, megabytes, dtype) = match arguments.as_slice() {
        [file, level, megabytes] => (file, level, megabytes, None),
        [file, level, megabytes, dtype] => (file, level, megabytes, Some(dtype)),
        _ => return Err("expected FILE LEVEL MEGABYTES [DTYPE]".into()),
    };
    let mut data = std::fs::read(file)?;
    data.truncate(megabytes.parse::<usize>()? << 20);
    let settings = Settings { level: Level::new(level.parse()?)?, codec: None, verify: false };
    let options = CompressOptions { threads: 1, ..CompressOptions::new(settings) };
    let array = match dtype.map(|name| Dtype::from_name(name).ok_or("unknown dtype")).transpose()? {
        Some(dtype) => {
            let (elements, bytes) = dtype.unit();
            data.truncate(data.len() / bytes as usize * bytes as usize);
            Some((dtype, vec![data.len() as u64 / bytes * elements]))
        }
        None => None,
    };
    println!("{} of {} bytes", compress_bytes(&data, array, &options)?.len(), data.len());
    Ok(())
}

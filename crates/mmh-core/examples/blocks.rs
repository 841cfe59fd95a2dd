//! Time and size of the blocks of a file, one thread, without container, files or Python:
//! `cargo run --release -p mmh-core --example blocks -- FILE [LEVEL…] [--runs N] [--mb N]`. Round trips are compared first; times are
//! the smallest and the median of the runs, levels in turns, beside memcpy. What the engine does per block, hash included.

use mmh_core::block::{self, Given, Settings};
use mmh_core::codec::{Level, Scratch};
use mmh_core::source::{self, Input};
use std::error::Error;
use std::time::Instant;

/// A part of the file and what becomes of it.
struct Piece<'a> {
    data: &'a [u8],
    dtype: Option<mmh_core::Dtype>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("which file?")?;
    let (mut levels, mut runs, mut mb) = (Vec::new(), 9, 128);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--runs" => runs = args.next().ok_or("--runs N")?.parse()?,
            "--mb" => mb = args.next().ok_or("--mb N")?.parse::<usize>()?,
            level => levels.push(Level::new(level.parse()?)?),
        }
    }
    if levels.is_empty() {
        levels = vec![Level::FAST, Level::BALANCED];
    }
    let bytes = std::fs::read(&file)?;
    let layout = source::find(Input { bytes: &bytes.as_slice(), complete: true });
    let mut main = std::collections::BTreeMap::new();
    layout.tensors.iter().for_each(|t| *main.entry(t.dtype.name()).or_insert(0) += t.len);
    let Some((main, _)) = main.into_iter().max_by_key(|m| m.1) else { return Err("no tensors".into()) };
    let tensors: Vec<_> = layout.tensors.iter().filter(|t| t.dtype.name() == main).collect();
    // All of one dtype, as one array: as if it had been handed to `compress`.
    let dtype = tensors[0].dtype;
    let mut array: Vec<u8> = Vec::new();
    tensors.iter().for_each(|t| array.extend(&bytes[t.start as usize..t.end() as usize]));
    array.truncate(mb * 1_000_000 / 8 * 8);
    let gb = array.len() as f64 / 1e9;
    println!("{file}: {main}, {:.1} MB", gb * 1e3);

    let mut scratch = Scratch::default();
    let mut out = vec![0u8; array.len()];
    let mut times = vec![(Vec::new(), Vec::new()); levels.len()];
    let mut copies = Vec::new();
    let mut sizes = vec![0; levels.len()];
    // Payloads stand one after the other, in memory that is warm after the first run.
    let mut store: Vec<u8> = Vec::with_capacity(array.len() + (1 << 20));
    for run in 0..=runs {
        let start = Instant::now();
        out.copy_from_slice(&array);
        copies.push(start.elapsed().as_secs_f64());
        for (i, level) in levels.iter().enumerate() {
            let settings = Settings { level: *level, codec: None, verify: false };
            let pieces: Vec<Piece<'_>> = (array.chunks(block::size_for(Some(dtype), *level)))
                .map(|data| Piece { data, dtype: Some(dtype) })
                .collect();
            store.clear();
            let mut coded = Vec::with_capacity(pieces.len());
            let start = Instant::now();
            for piece in &pieces {
                let given = Given { data: piece.data, declared: piece.dtype, base: None, whole: false };
                let at = store.len();
                coded.push((block::encode_into(&given, &settings, &mut scratch, &mut store)?, at));
            }
            let encoded = start.elapsed().as_secs_f64();
            sizes[i] = store.len();
            let ends: Vec<usize> = coded.iter().skip(1).map(|c| c.1).chain([store.len()]).collect();
            let start = Instant::now();
            for (((coded, at), end), out) in
                coded.iter().zip(&ends).zip(out.chunks_mut(block::size_for(Some(dtype), *level)))
            {
                let payload = &store[*at..*end];
                block::decode(coded.codec, payload, coded.checksum, None, out, true, &mut scratch)?;
            }
            let decoded = start.elapsed().as_secs_f64();
            if run == 0 {
                if out != array {
                    return Err("the round trip gives other bytes".into());
                }
                continue;
            }
            times[i].0.push(encoded);
            times[i].1.push(decoded);
        }
    }
    let speed = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        format!("{:5.2} ({:5.2})", gb / times[times.len() / 2], gb / times[0])
    };
    println!("GB/s, median (best)  encode         decode         size");
    println!("memcpy               {}", speed(&mut copies));
    for (i, level) in levels.iter().enumerate() {
        let size = sizes[i] as f64 / array.len() as f64;
        let (mut e, mut d) = std::mem::take(&mut times[i]);
        println!("level {}              {}  {}  {size:.5}", level.get(), speed(&mut e), speed(&mut d));
    }
    Ok(())
}

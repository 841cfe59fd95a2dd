//! The proof: what a codec stores is written to a file, read back, and compared with every byte of the source.

use super::super::compress::compress_at;
use super::super::{CompressOptions, Progress, Step, Workers};
use super::Side;
use crate::container::reader::Archive;
use crate::container::writer::{Target, amend};
use crate::error::Result;
use crate::io::{FileAt, ReadAt};
use std::convert::Infallible;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// Bytes of the `.mmh`.
    pub stored_bytes: u64,
    /// Seconds of compressing into a file.
    pub compress_seconds: f64,
    /// Seconds of decompressing into memory, block checksums included.
    pub decompress_seconds: f64,
    /// The first byte that differs; there is none, or this program has a fault.
    pub differs: Option<u64>,
}

/// Bytes that are restored and compared at a time.
const BATCH: usize = 16 << 20;

struct Whole<'a> {
    side: &'a Side,
    workers: Workers,
}

impl ReadAt for Whole<'_> {
    fn len(&self) -> u64 {
        self.side.source_bytes()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.side.read(offset, buf, &self.workers).map_err(std::io::Error::other)
    }
}

struct Scratch(BufWriter<File>);

impl Write for Scratch {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Target for Scratch {
    type Place = Infallible;
    const AMENDS: bool = true;

    fn amend(&mut self, start: &[u8]) -> std::io::Result<()> {
        amend(&mut self.0, start)
    }
}

/// Compresses all of the file with these options, to a temporary file that nobody sees, and compares what that restores.
pub fn prove(
    side: &Side,
    options: &CompressOptions,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Proof> {
    let whole = Whole { side, workers: Workers::new(1) };
    let total = Some(2 * side.source_bytes());
    let file = tempfile::tempfile()?;
    let out = Scratch(BufWriter::with_capacity(1 << 18, file.try_clone()?));
    let start = Instant::now();
    let mut compressing = |s: Step| progress(Step { total, ..s });
    let (mut out, report) =
        compress_at(&whole, side.layout().clone(), out, options, workers, &mut compressing)?;
    out.flush()?;
    let compress_seconds = start.elapsed().as_secs_f64();
    drop(out);
    let archive = Archive::open(FileAt::new(file)?)?;
    let (mut restored, mut source) = (vec![0; BATCH], vec![0; BATCH]);
    let (mut decompress_seconds, mut differs, mut at) = (0.0, None, 0);
    while at < whole.len() && differs.is_none() {
        let n = (whole.len() - at).min(BATCH as u64) as usize;
        let start = Instant::now();
        archive.read_range(at, &mut restored[..n], workers, true)?;
        decompress_seconds += start.elapsed().as_secs_f64();
        side.read(at, &mut source[..n], workers)?;
        if restored[..n] != source[..n] {
            let first = restored.iter().zip(&source).position(|(a, b)| a != b).unwrap_or(0);
            differs = Some(at + first as u64);
        }
        at += n as u64;
        progress(Step { done: side.source_bytes() + at, total, stored: report.stored_bytes })?;
    }
    Ok(Proof { stored_bytes: report.stored_bytes, compress_seconds, decompress_seconds, differs })
}

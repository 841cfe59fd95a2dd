//! Where a file goes, in order, while its parts are made in parallel; or a count of the bytes that it would have.

use super::fill::Tensor;
use super::role::TABLES;
use super::table::Table;
use super::write::zip::descriptor;
use crate::api::{Progress, Step, Workers};
use crate::error::Result;
use std::io::Write;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Bytes that are made at a time by one thread, about.
const PIECE: u64 = 1 << 20;
/// Pieces of a batch for each thread, and in all.
const PIECES: usize = 4;
const MOST_PIECES: usize = 64;

/// Takes the parts of a file in order.
pub trait Sink {
    /// Bytes so far.
    fn position(&self) -> u64;

    /// These bytes are next.
    fn bytes(&mut self, bytes: Vec<u8>) -> Result<()>;

    /// The elements of a tensor are next: so many bytes, known before. It counts from zero.
    fn tensor(&mut self, number: usize, len: u64) -> Result<()>;

    /// CRC-32 of each tensor that was written; they have to be asked for when the sink is made.
    fn checksums(&mut self) -> Result<Vec<u32>>;

    /// A zip's record of the checksum and the length of a tensor.
    fn descriptor(&mut self, number: usize, len: u64) -> Result<()>;
}

/// Counts.
pub struct Count {
    position: u64,
    tensors: usize,
}

impl Count {
    /// Of a file of so many tensors.
    pub fn new(tensors: usize) -> Count {
        Count { position: 0, tensors }
    }
}

impl Sink for Count {
    fn position(&self) -> u64 {
        self.position
    }

    fn bytes(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn tensor(&mut self, _: usize, len: u64) -> Result<()> {
        self.position += len;
        Ok(())
    }

    fn checksums(&mut self) -> Result<Vec<u32>> {
        Ok(vec![0; self.tensors])
    }

    fn descriptor(&mut self, _: usize, len: u64) -> Result<()> {
        self.bytes(descriptor(0, len))
    }
}

/// What is still to be made or written.
enum Item {
    Bytes(Vec<u8>),
    Rows { number: usize, rows: Range<u64>, tensor: Arc<Tensor>, len: u64 },
    Descriptor { number: usize, len: u64 },
}

/// Bytes that are ready, and of which tensor they are with what checksum.
struct Made {
    bytes: Vec<u8>,
    of: Option<(usize, crc32fast::Hasher)>,
    descriptor: Option<(usize, u64)>,
}

/// Makes a batch while the one before is written.
pub struct Stream<'a> {
    tensor: &'a (dyn Fn(usize) -> Result<Tensor> + Sync),
    tables: Vec<Table>,
    workers: &'a Workers,
    out: &'a mut (dyn Write + Send),
    progress: Progress<'a>,
    total: u64,
    position: u64,
    written: u64,
    checked: bool,
    items: Vec<Item>,
    /// Bytes to be made, and how many are a batch.
    pending: u64,
    batch: u64,
    ready: Vec<Made>,
    /// Memory of what has been written.
    spare: Mutex<Vec<Vec<u8>>>,
    sums: Vec<crc32fast::Hasher>,
}

impl<'a> Stream<'a> {
    /// Asks `tensor` for each tensor when its turn comes.
    pub fn new(
        tensor: &'a (dyn Fn(usize) -> Result<Tensor> + Sync),
        tensors: usize,
        workers: &'a Workers,
        out: &'a mut (dyn Write + Send),
        progress: Progress<'a>,
        total: u64,
        checked: bool,
    ) -> Stream<'a> {
        Stream {
            tensor,
            tables: TABLES.iter().map(|spread| Table::new(*spread)).collect(),
            workers,
            out,
            progress,
            total,
            position: 0,
            written: 0,
            checked,
            items: Vec::new(),
            pending: 0,
            batch: (workers.threads() * PIECES).min(MOST_PIECES) as u64 * PIECE,
            ready: Vec::new(),
            spare: Mutex::default(),
            sums: vec![crc32fast::Hasher::new(); tensors],
        }
    }

    /// Makes what is to be made, and writes what is ready meanwhile.
    fn turn(&mut self) -> Result<()> {
        let (items, ready) = (std::mem::take(&mut self.items), std::mem::take(&mut self.ready));
        self.pending = 0;
        let (tables, workers, checked) = (&self.tables, self.workers, self.checked);
        let (out, sums, spare) = (&mut *self.out, &mut self.sums, &self.spare);
        let make = || workers.map(items, |item| made(item, tables, checked, spare, workers));
        let (written, made) = workers.join(move || write(ready, out, sums, spare), make);
        self.written += written?;
        self.ready = made.into_iter().collect::<Result<_>>()?;
        (self.progress)(Step { done: self.written, total: Some(self.total), stored: self.written })
    }

    /// Writes all that there is; returns the bytes written.
    pub fn finish(mut self) -> Result<u64> {
        self.turn()?;
        self.turn()?;
        Ok(self.written)
    }
}

fn made(
    item: Item,
    tables: &[Table],
    checked: bool,
    spare: &Mutex<Vec<Vec<u8>>>,
    workers: &Workers,
) -> Result<Made> {
    Ok(match item {
        Item::Bytes(bytes) => Made { bytes, of: None, descriptor: None },
        Item::Descriptor { number, len } => {
            Made { bytes: Vec::new(), of: None, descriptor: Some((number, len)) }
        }
        Item::Rows { number, rows, tensor, len } => {
            workers.check()?;
            // Fresh memory costs about as much as what is to be written to it.
            let mut bytes = spare.lock().ok().and_then(|mut spare| spare.pop()).unwrap_or_default();
            bytes.reserve_exact(len as usize);
            tensor.append(rows, tables, &mut bytes);
            debug_assert_eq!(bytes.len() as u64, len);
            let mut sum = crc32fast::Hasher::new();
            if checked {
                sum.update(&bytes);
            }
            Made { bytes, of: Some((number, sum)), descriptor: None }
        }
    })
}

fn write(
    ready: Vec<Made>,
    out: &mut (dyn Write + Send),
    sums: &mut [crc32fast::Hasher],
    spare: &Mutex<Vec<Vec<u8>>>,
) -> Result<u64> {
    let mut written = 0;
    for mut made in ready {
        if let Some((number, sum)) = made.of {
            sums[number].combine(&sum);
        }
        if let Some((number, len)) = made.descriptor {
            made.bytes = descriptor(sums[number].clone().finalize(), len);
        }
        out.write_all(&made.bytes)?;
        written += made.bytes.len() as u64;
        if made.bytes.capacity() as u64 >= PIECE / 2
            && let Ok(mut spare) = spare.lock()
        {
            made.bytes.clear();
            spare.push(made.bytes);
        }
    }
    Ok(written)
}

impl Sink for Stream<'_> {
    fn position(&self) -> u64 {
        self.position
    }

    fn bytes(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.position += bytes.len() as u64;
        self.items.push(Item::Bytes(bytes));
        Ok(())
    }

    fn tensor(&mut self, number: usize, len: u64) -> Result<()> {
        self.position += len;
        let tensor = Arc::new((self.tensor)(number)?);
        let rows = tensor.rows.max(1);
        let each = (len / rows).max(1);
        let step = (PIECE / each).max(1);
        let mut row = 0;
        while row < rows && len > 0 {
            let end = (row + step).min(rows);
            let len = (end - row) * (len / rows);
            self.items.push(Item::Rows { number, rows: row..end, tensor: tensor.clone(), len });
            // Small tensors make up a piece together.
            self.pending += len + (PIECE >> 6);
            if self.pending >= self.batch {
                self.turn()?;
            }
            row = end;
        }
        Ok(())
    }

    fn checksums(&mut self) -> Result<Vec<u32>> {
        self.turn()?;
        self.turn()?;
        Ok(self.sums.iter().map(|sum| sum.clone().finalize()).collect())
    }

    fn descriptor(&mut self, number: usize, len: u64) -> Result<()> {
        self.position += descriptor(0, len).len() as u64;
        self.items.push(Item::Descriptor { number, len });
        Ok(())
    }
}

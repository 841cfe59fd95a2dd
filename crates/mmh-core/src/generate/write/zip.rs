//! A zip archive of stored entries, with 64-bit sizes where they are needed, as `torch.save` writes it.
//!
//! <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>, 4.3.

use crate::error::Result;
use crate::generate::sink::Sink;

/// Data begin at multiples of it, so that they can be mapped.
const ALIGNMENT: u64 = 64;
const FULL: u32 = u32::MAX;
/// Names are UTF-8; checksum and lengths follow the data.
const FLAGS: u16 = 0x0808;
/// The first of January 1980.
const DATE: u32 = 0x0021_0000;

struct Entry {
    name: String,
    start: u64,
    len: u64,
    /// Its checksum, or whose it is.
    sum: Sum,
}

enum Sum {
    Known(u32),
    Of(usize),
}

/// An archive that is being written.
#[derive(Default)]
pub struct Archive(Vec<Entry>);

/// Checksum and lengths, behind the data.
pub fn descriptor(sum: u32, len: u64) -> Vec<u8> {
    let mut out = b"PK\x07\x08".to_vec();
    out.extend(sum.to_le_bytes());
    for _ in 0..2 {
        match large(len) {
            true => out.extend(len.to_le_bytes()),
            false => out.extend((len as u32).to_le_bytes()),
        }
    }
    out
}

fn large(number: u64) -> bool {
    number >= FULL as u64
}

impl Archive {
    /// An entry of bytes.
    pub fn bytes(&mut self, name: &str, bytes: Vec<u8>, sink: &mut dyn Sink) -> Result<()> {
        let (sum, len) = (crc32fast::hash(&bytes), bytes.len() as u64);
        self.head(name, len, Sum::Known(sum), sink)?;
        sink.bytes(bytes)?;
        sink.bytes(descriptor(sum, len))
    }

    /// An entry of the elements of a tensor.
    pub fn tensor(&mut self, name: &str, number: usize, len: u64, sink: &mut dyn Sink) -> Result<()> {
        self.head(name, len, Sum::Of(number), sink)?;
        sink.tensor(number, len)?;
        sink.descriptor(number, len)
    }

    fn head(&mut self, name: &str, len: u64, sum: Sum, sink: &mut dyn Sink) -> Result<()> {
        let start = sink.position();
        let mut out = b"PK\x03\x04".to_vec();
        out.extend(if large(len) { 45u16 } else { 20 }.to_le_bytes());
        out.extend(FLAGS.to_le_bytes());
        out.extend(0u16.to_le_bytes());
        out.extend(DATE.to_le_bytes());
        // The checksum and both lengths come later; readers of the directory do not look here.
        out.extend(0u32.to_le_bytes());
        let here = if large(len) { FULL } else { 0 };
        out.extend([here.to_le_bytes(), here.to_le_bytes()].concat());
        let wide: Vec<u8> = match large(len) {
            true => [&[1, 0, 16, 0], &len.to_le_bytes()[..], &len.to_le_bytes()].concat(),
            false => Vec::new(),
        };
        // A field of padding, four bytes and more.
        let head = 30 + name.len() as u64 + wide.len() as u64 + 4;
        let padding = (start + head).next_multiple_of(ALIGNMENT) - (start + head);
        out.extend((name.len() as u16).to_le_bytes());
        out.extend((wide.len() as u16 + 4 + padding as u16).to_le_bytes());
        out.extend(name.as_bytes());
        out.extend(wide);
        out.extend(b"FB");
        out.extend((padding as u16).to_le_bytes());
        out.extend(std::iter::repeat_n(b'Z', padding as usize));
        self.0.push(Entry { name: name.to_owned(), start, len, sum });
        sink.bytes(out)
    }

    /// The directory and the end.
    pub fn finish(self, sink: &mut dyn Sink) -> Result<()> {
        let sums = sink.checksums()?;
        let start = sink.position();
        let mut out = Vec::new();
        for e in &self.0 {
            let sum = match e.sum {
                Sum::Known(sum) => sum,
                Sum::Of(number) => sums[number],
            };
            let mut wide = Vec::new();
            if large(e.len) {
                wide.extend([e.len.to_le_bytes(), e.len.to_le_bytes()].concat());
            }
            if large(e.start) {
                wide.extend(e.start.to_le_bytes());
            }
            if !wide.is_empty() {
                let len = (wide.len() as u16).to_le_bytes();
                wide.splice(0..0, [1, 0, len[0], len[1]]);
            }
            let version: u16 = if wide.is_empty() { 20 } else { 45 };
            let short = |n: u64| if large(n) { FULL } else { n as u32 };
            out.extend(b"PK\x01\x02");
            out.extend([version.to_le_bytes(), version.to_le_bytes(), FLAGS.to_le_bytes(), [0, 0]].concat());
            out.extend([DATE, sum, short(e.len), short(e.len)].map(u32::to_le_bytes).concat());
            out.extend([e.name.len() as u16, wide.len() as u16, 0, 0, 0].map(u16::to_le_bytes).concat());
            out.extend([0, short(e.start)].map(u32::to_le_bytes).concat());
            out.extend(e.name.as_bytes());
            out.extend(wide);
        }
        let (end, count) = (start + out.len() as u64, self.0.len() as u64);
        let len = end - start;
        if large(start) || count >= 0xFFFF {
            out.extend(b"PK\x06\x06");
            out.extend(44u64.to_le_bytes());
            out.extend([45u16.to_le_bytes(), 45u16.to_le_bytes()].concat());
            out.extend([0; 8]);
            out.extend([count, count, len, start].map(u64::to_le_bytes).concat());
            out.extend(b"PK\x06\x07\0\0\0\0");
            out.extend(end.to_le_bytes());
            out.extend(1u32.to_le_bytes());
        }
        let short = (count.min(0xFFFF) as u16).to_le_bytes();
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend([short, short].concat());
        out.extend([len as u32, start.min(FULL as u64) as u32].map(u32::to_le_bytes).concat());
        out.extend([0, 0]);
        sink.bytes(out)
    }
}

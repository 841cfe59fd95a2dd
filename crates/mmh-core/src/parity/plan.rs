//! Which shards there are, and what each part of the section says of them (`spec/FORMAT.md`, section 6).

use crate::error::{Error, Result};
use mmh_kernels::checksum::xxh3;
use reed_solomon_simd::ReedSolomonEncoder;

/// First bytes of a head, of a record and of the trailer.
pub const MAGIC: [u8; 8] = *b"MMHPARIT";

/// Size of a head, of the head of a record, and of the trailer.
pub const HEAD: usize = 96;

/// Bytes of the sum of a shard in the table.
pub const SUM: usize = 8;

/// What a head stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The section.
    Section,
    /// A recovery shard: its group, its number there, XXH3 of its bytes.
    Record(u32, u32, u64),
    /// Nothing: it ends the file.
    Trailer,
}

/// The numbers that everything follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the file without the section.
    pub body: u64,
    /// Bytes of a shard, a power of two.
    pub shard: u64,
    /// Data shard `i` belongs to group `i mod groups`.
    pub groups: u64,
    /// Recovery shards of each group.
    pub recovery: u64,
    /// XXH3 of the table.
    pub table: u64,
    /// BLAKE3 of the body.
    pub blake3: [u8; 32],
}

/// Shards of a group, at most.
const MOST_SHARDS: u64 = 4096;
/// Bytes of the data of a group, at most: so much is in memory at once.
const MOST_DATA: u64 = 64 << 20;
/// The same for what is made of them.
const MOST_RECOVERY: u64 = 32 << 20;
/// Shards of a file, at most: the table is in memory.
const MOST_SUMS: u64 = 1 << 23;

impl Plan {
    /// For a body of so many bytes, at least 1, and parity of 1 to 100 percent. Hashes are yet to be known.
    pub fn new(body: u64, percent: u32) -> Plan {
        // Small files have small shards, that there be some; each costs two sums.
        let small = (4 * body.isqrt()).next_power_of_two().clamp(256, 16_384);
        let shard = small.max((body / MOST_SUMS).next_power_of_two());
        let percent = percent.clamp(1, 100) as u64;
        let most = (MOST_DATA / shard).min(MOST_RECOVERY * 100 / percent / shard).clamp(1, MOST_SHARDS);
        let shards = body.div_ceil(shard).max(1);
        let groups = shards.div_ceil(most);
        let recovery = (shards.div_ceil(groups) * percent).div_ceil(100);
        Plan { body, shard, groups, recovery, table: 0, blake3: [0; 32] }
    }

    /// Data shards in all.
    pub fn shards(&self) -> u64 {
        self.body.div_ceil(self.shard)
    }

    /// Data shards of a group: the first groups may have one more than the last.
    pub fn shards_of(&self, group: u64) -> u64 {
        (self.shards() + self.groups - 1 - group) / self.groups
    }

    /// Where a data shard begins, and its bytes: the last one may be shorter, and counts as filled up with zeros.
    pub fn place(&self, shard: u64) -> (u64, usize) {
        let start = shard * self.shard;
        (start, (self.body - start).min(self.shard) as usize)
    }

    /// Bytes of the table.
    pub fn table_len(&self) -> u64 {
        self.shards() * SUM as u64
    }

    /// Recovery shards in all.
    pub fn records(&self) -> u64 {
        self.groups * self.recovery
    }

    /// Where the record stands of a recovery shard of a group: those with one number stand side by side, that a burst hits all groups alike.
    pub fn record_at(&self, group: u64, number: u64) -> u64 {
        let before = number * self.groups + group;
        self.body + HEAD as u64 + self.table_len() + before * (HEAD as u64 + self.shard)
    }

    /// Bytes of the section.
    pub fn section(&self) -> u64 {
        2 * (HEAD as u64 + self.table_len()) + self.records() * (HEAD as u64 + self.shard)
    }

    /// Bytes of the file.
    pub fn file(&self) -> u64 {
        self.body + self.section()
    }

    /// Bytes in one place of the body that may be lost, wherever it is.
    pub fn burst(&self) -> u64 {
        ((self.records() - 1) * self.shard + 1).min(self.body)
    }

    /// In words.
    pub fn promise(&self) -> String {
        let of = self.shards_of(0) + self.recovery;
        let groups = if self.groups > 1 {
            format!(" in each of {} groups that take turns", self.groups)
        } else {
            String::new()
        };
        format!(
            "survives any {} of {of} shards of {} bytes{groups}; so any burst of {} bytes",
            self.recovery,
            self.shard,
            self.burst()
        )
    }

    /// A head.
    pub fn head(&self, kind: Kind) -> [u8; HEAD] {
        let mut h = [0; HEAD];
        h[..8].copy_from_slice(&MAGIC);
        h[8..10].copy_from_slice(&crate::FORMAT_VERSION.to_le_bytes());
        let (number, group, of_group, sum) = match kind {
            Kind::Section => (0u16, 0, 0, 0),
            Kind::Record(group, number, sum) => (1, group, number, sum),
            Kind::Trailer => (2, 0, 0, 0),
        };
        h[10..12].copy_from_slice(&number.to_le_bytes());
        h[12..16].copy_from_slice(&(self.shard as u32).to_le_bytes());
        h[16..24].copy_from_slice(&self.body.to_le_bytes());
        h[24..28].copy_from_slice(&(self.groups as u32).to_le_bytes());
        h[28..32].copy_from_slice(&(self.recovery as u32).to_le_bytes());
        h[32..40].copy_from_slice(&self.table.to_le_bytes());
        h[40..72].copy_from_slice(&self.blake3);
        h[72..76].copy_from_slice(&group.to_le_bytes());
        h[76..80].copy_from_slice(&of_group.to_le_bytes());
        h[80..88].copy_from_slice(&sum.to_le_bytes());
        let check = xxh3(&h[..88]);
        h[88..].copy_from_slice(&check.to_le_bytes());
        h
    }

    /// Reads a head; `None` if it is none, or a damaged one, or if its numbers make no sense.
    pub fn read(h: &[u8; HEAD]) -> Option<(Plan, Kind)> {
        let u16_at = |i: usize| u16::from_le_bytes([h[i], h[i + 1]]);
        let u32_at = |i: usize| h[i..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
        let u64_at = |i: usize| h[i..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        if h[..8] != MAGIC || u64_at(88) != xxh3(&h[..88]) || u16_at(8) != crate::FORMAT_VERSION {
            return None;
        }
        let plan = Plan {
            body: u64_at(16),
            shard: u32_at(12) as u64,
            groups: u32_at(24) as u64,
            recovery: u32_at(28) as u64,
            table: u64_at(32),
            blake3: *h[40..].first_chunk()?,
        };
        let (group, number, sum) = (u32_at(72), u32_at(76), u64_at(80));
        let kind = match (u16_at(10), group, number, sum) {
            (0, 0, 0, 0) => Kind::Section,
            (1, ..) if (group as u64) < plan.groups && (number as u64) < plan.recovery => {
                Kind::Record(group, number, sum)
            }
            (2, 0, 0, 0) => Kind::Trailer,
            _ => return None,
        };
        plan.is_possible().then_some((plan, kind))
    }

    /// Whether sizes can be added and multiplied, and the code can be had.
    fn is_possible(&self) -> bool {
        self.shard.is_power_of_two()
            && (64..=1 << 24).contains(&self.shard)
            && (1..1 << 50).contains(&self.body)
            && (1..=self.shards()).contains(&self.groups)
            && (1..=32_768).contains(&self.recovery)
            && self.shards() <= 1 << 32
            && self.shards_of(0) <= 32_768
            && self.shards_of(0) * self.shard <= 4 * MOST_DATA
            && ReedSolomonEncoder::supports(self.shards_of(0) as usize, self.recovery as usize)
    }
}

/// Bytes of the file at the end of which `trailer` stands, without the section, if it is a trailer.
pub fn body_before(trailer: &[u8; HEAD], len: u64) -> Result<u64> {
    if trailer[..8] != MAGIC {
        return Ok(len);
    }
    match Plan::read(trailer) {
        Some((plan, Kind::Trailer)) if plan.file() == len => Ok(plan.body),
        Some((plan, Kind::Trailer)) => Err(Error::corrupt_at(
            len,
            format!(
                "the file has {len} bytes, with its parity it had {} (mmh repair may mend it)",
                plan.file()
            ),
        )),
        _ => Err(Error::corrupt_at(len, "the end of the parity is damaged (mmh repair may mend it)")),
    }
}

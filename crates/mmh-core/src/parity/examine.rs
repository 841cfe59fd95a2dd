//! What is left of a protected file, wherever it stands now.

use super::plan::{HEAD, Kind, MAGIC, Plan, SUM};
use crate::api::{Progress, Step, Workers};
use crate::error::{Error, Result};
use crate::io::ReadAt;
use memchr::memmem;
use mmh_kernels::checksum::xxh3;
use std::ops::Range;

/// What was found.
pub struct Examination {
    /// The plan that the file was protected by.
    pub plan: Plan,
    /// Where each data shard is, if it is anywhere.
    pub data: Vec<Option<u64>>,
    /// Where the bytes of each recovery shard are, in the order of records.
    pub recovery: Vec<Option<u64>>,
    /// Whether head, tables and trailer are in place and sound, and nothing is behind them.
    pub frame: bool,
    /// The sums of the data shards.
    pub table: Vec<u8>,
}

/// How far shards are looked for that are not where others are.
const FAR: i64 = 1 << 16;

/// How often that is done: each time takes as long as hashing some gigabytes.
const SEARCHES: u32 = 16;

impl Examination {
    /// Nothing is wrong at all.
    pub fn is_sound(&self) -> bool {
        let in_place = |(i, at): (usize, &Option<u64>)| *at == Some(self.plan.place(i as u64).0);
        self.frame && self.data.iter().enumerate().all(in_place) && self.lost_recovery() == 0
    }

    /// Whether the body can be made whole.
    pub fn is_mendable(&self) -> bool {
        (0..self.plan.groups).all(|g| self.missing(g).len() <= self.recovery_of(g).len())
    }

    /// Data shards of a group that are lost, by their numbers in it.
    pub fn missing(&self, group: u64) -> Vec<usize> {
        let of_group = self.data.iter().skip(group as usize).step_by(self.plan.groups as usize);
        of_group.enumerate().filter(|(_, at)| at.is_none()).map(|(i, _)| i).collect()
    }

    /// Recovery shards of a group that are left: their numbers, and where they are.
    pub fn recovery_of(&self, group: u64) -> Vec<(usize, u64)> {
        let of_group = self.recovery.iter().skip(group as usize).step_by(self.plan.groups as usize);
        of_group.enumerate().filter_map(|(i, at)| at.map(|at| (i, at))).collect()
    }

    /// How many recovery shards are lost.
    pub fn lost_recovery(&self) -> u64 {
        self.recovery.iter().filter(|at| at.is_none()).count() as u64
    }

    /// Data shards that are lost.
    pub fn lost_data(&self) -> u64 {
        self.data.iter().filter(|at| at.is_none()).count() as u64
    }

    /// Stretches of the body whose shards are lost.
    pub fn lost(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for i in (0..self.plan.shards()).filter(|i| self.data[*i as usize].is_none()) {
            let (start, len) = self.plan.place(i);
            match ranges.last_mut().filter(|last| last.end == start) {
                Some(last) => last.end += len as u64,
                None => ranges.push(start..start + len as u64),
            }
        }
        ranges
    }
}

/// Reads what is there of `len` bytes from `at` on; `None` if it is not all there.
fn read(input: &dyn ReadAt, at: i128, len: usize) -> Result<Option<Vec<u8>>> {
    if at < 0 || at + len as i128 > input.len() as i128 {
        return Ok(None);
    }
    let mut bytes = vec![0; len];
    input.read_exact_at(at as u64, &mut bytes)?;
    Ok(Some(bytes))
}

fn head_at(input: &dyn ReadAt, at: i128) -> Result<Option<(Plan, Kind)>> {
    let bytes = read(input, at, HEAD)?;
    Ok(bytes.and_then(|b| Plan::read(b.first_chunk()?)))
}

/// All heads that are whole, wherever they are; `take` gets each and its place.
fn scan(input: &dyn ReadAt, workers: &Workers, take: &mut dyn FnMut(u64, Plan, Kind)) -> Result<()> {
    const AT_ONCE: u64 = 4 << 20;
    let finder = memmem::Finder::new(&MAGIC);
    let mut at = 0;
    while at < input.len() {
        workers.check()?;
        let n = (input.len() - at).min(AT_ONCE + HEAD as u64) as usize;
        let bytes = read(input, at as i128, n)?.unwrap_or_default();
        for hit in finder.find_iter(&bytes) {
            // A head that is cut off here is whole in the next piece.
            if let Some((plan, kind)) = bytes[hit..].first_chunk().and_then(Plan::read)
                && (hit as u64) < AT_ONCE
            {
                take(at + hit as u64, plan, kind);
            }
        }
        at += AT_ONCE;
    }
    Ok(())
}

/// Looks at all of a file. `None` if there is no sign of parity in it.
pub fn examine(input: &dyn ReadAt, workers: &Workers, progress: Progress<'_>) -> Result<Option<Examination>> {
    let len = input.len();
    let trailer = head_at(input, len as i128 - HEAD as i128)?.filter(|t| t.1 == Kind::Trailer);
    let mut found = trailer.map(|t| (t.0, len as i128 - t.0.file() as i128));
    // A head that a copy left behind is of another file: what most heads say holds.
    let mut heads: Vec<(u64, Plan, Kind)> = Vec::new();
    if found.is_none() {
        scan(input, workers, &mut |at, plan, kind| heads.push((at, plan, kind)))?;
        let votes = |plan: &Plan| heads.iter().filter(|h| h.1 == *plan).count();
        let most = heads.iter().max_by_key(|h| votes(&h.1)).copied();
        found = most.map(|(at, plan, kind)| (plan, at as i128 - expected(&plan, kind) as i128));
    }
    let Some((plan, shift)) = found else { return Ok(None) };
    // What is made of these numbers must be in proportion to the file.
    if plan.file() > len.saturating_mul(4).saturating_add(1 << 20) {
        return Err(Error::corrupt(format!(
            "of {} bytes that the file had with its parity {len} are left: too few to mend it",
            plan.file()
        )));
    }
    let mut shifts = vec![0i128];
    if shift != 0 {
        shifts.push(shift);
    }

    let first_table = plan.body as i128 + HEAD as i128;
    let second_table = plan.file() as i128 - HEAD as i128 - plan.table_len() as i128;
    let (mut table, mut frame) = (None, trailer.is_some() && shift == 0);
    let mut damaged = Vec::new();
    for at in [first_table, second_table].into_iter().flat_map(|t| shifts.iter().map(move |s| (t, *s))) {
        match read(input, at.0 + at.1, plan.table_len() as usize)? {
            Some(bytes) if xxh3(&bytes) == plan.table => table = Some(bytes),
            bytes => {
                frame &= at.1 != 0;
                damaged.extend(bytes);
            }
        }
    }
    frame &= head_at(input, plan.body as i128)? == Some((plan, Kind::Section));
    if table.is_none() {
        table = joined(input, &plan, &damaged, &shifts)?;
    }
    let Some(table) = table else {
        return Err(Error::corrupt(
            "both tables of the parity's checksums are damaged: what is sound cannot be told from what is not",
        ));
    };
    let data = find_data(input, &plan, &table, &mut shifts, workers, progress)?;
    let recovery = find_recovery(input, &plan, &shifts, heads, workers)?;
    Ok(Some(Examination { plan, data, recovery, frame, table }))
}

/// Sums on which copies do not agree that are tried out: twice as many ways for each.
const UNDECIDED: usize = 16;

/// The table out of damaged copies of it: where two of them differ, that sum is right which the shard has. Pieces that no two have in common
/// are beyond it.
fn joined(input: &dyn ReadAt, plan: &Plan, copies: &[Vec<u8>], shifts: &[i128]) -> Result<Option<Vec<u8>>> {
    for (i, a) in copies.iter().enumerate() {
        for b in &copies[i + 1..] {
            let mut table = a.clone();
            let mut undecided = Vec::new();
            let differing = a.as_chunks::<SUM>().0.iter().zip(b.as_chunks::<SUM>().0).enumerate();
            for (shard, (x, y)) in differing.filter(|(_, (x, y))| x != y) {
                let (start, len) = plan.place(shard as u64);
                let mut right = None;
                for shift in shifts {
                    let sum =
                        read(input, start as i128 + shift, len)?.map(|bytes| xxh3(&bytes).to_le_bytes());
                    right = right.or(sum.filter(|sum| sum == x || sum == y));
                }
                match right {
                    Some(sum) => table[shard * SUM..(shard + 1) * SUM].copy_from_slice(&sum),
                    None => undecided.push((shard, *y)),
                }
                if undecided.len() > UNDECIDED {
                    break;
                }
            }
            if undecided.len() > UNDECIDED {
                continue;
            }
            for choice in 0..1u32 << undecided.len() {
                let mut table = table.clone();
                for (bit, (shard, other)) in undecided.iter().enumerate() {
                    if choice >> bit & 1 == 1 {
                        table[shard * SUM..(shard + 1) * SUM].copy_from_slice(other);
                    }
                }
                if xxh3(&table) == plan.table {
                    return Ok(Some(table));
                }
            }
        }
    }
    Ok(None)
}

/// Where a head of this kind stands in a whole file.
fn expected(plan: &Plan, kind: Kind) -> u64 {
    match kind {
        Kind::Section => plan.body,
        Kind::Record(group, number, _) => plan.record_at(group as u64, number as u64),
        Kind::Trailer => plan.file() - HEAD as u64,
    }
}

fn find_data(
    input: &dyn ReadAt,
    plan: &Plan,
    table: &[u8],
    shifts: &mut Vec<i128>,
    workers: &Workers,
    progress: Progress<'_>,
) -> Result<Vec<Option<u64>>> {
    let sums = table.as_chunks::<SUM>().0;
    let fits = |shard: u64, bytes: &[u8]| {
        sums.get(shard as usize).is_some_and(|s| u64::from_le_bytes(*s) == xxh3(bytes))
    };
    let at_shift = |shard: u64, shift: i128| -> Result<Option<u64>> {
        let (start, len) = plan.place(shard);
        let at = start as i128 + shift;
        Ok(read(input, at, len)?.filter(|b| fits(shard, b)).map(|_| at as u64))
    };
    let mut data = Vec::with_capacity(plan.shards() as usize);
    let batch = (16 << 20) / plan.shard;
    for from in (0..plan.shards()).step_by(batch.max(1) as usize) {
        workers.check()?;
        let to = (from + batch.max(1)).min(plan.shards());
        let here = workers.map((from..to).collect(), |shard| at_shift(shard, 0));
        for at in here {
            data.push(at?);
        }
        progress(Step { done: plan.place(to - 1).0, total: Some(plan.body), stored: 0 })?;
    }
    // Those that are not in place may have been moved by what was put in or taken out before them.
    let mut searches = if input.len() == plan.file() { SEARCHES / 4 } else { SEARCHES };
    let mut failed_before = false;
    for shard in 0..plan.shards() {
        if data[shard as usize].is_some() {
            failed_before = false;
            continue;
        }
        for shift in shifts.iter().skip(1) {
            if let Some(at) = at_shift(shard, *shift)? {
                data[shard as usize] = Some(at);
                break;
            }
        }
        if data[shard as usize].is_none() && !failed_before && searches > 0 {
            searches -= 1;
            // The first one of a stretch may be damaged where the next is moved.
            for next in shard..(shard + 2).min(plan.shards()) {
                if let Some(shift) = search(input, plan, next, &fits, workers)? {
                    if !shifts.contains(&shift) {
                        shifts.push(shift);
                    }
                    data[next as usize] = Some((plan.place(next).0 as i128 + shift) as u64);
                    break;
                }
            }
        }
        failed_before = data[shard as usize].is_none();
    }
    Ok(data)
}

/// How far a shard is from its place, if it is near.
fn search(
    input: &dyn ReadAt,
    plan: &Plan,
    shard: u64,
    fits: &(dyn Fn(u64, &[u8]) -> bool + Sync),
    workers: &Workers,
) -> Result<Option<i128>> {
    let (start, len) = plan.place(shard);
    let from = (start as i128 - FAR as i128).max(0);
    let to = (start as i128 + FAR as i128 + len as i128).min(input.len() as i128);
    if to - from < len as i128 {
        return Ok(None);
    }
    let Some(window) = read(input, from, (to - from) as usize)? else { return Ok(None) };
    let last = window.len() - len;
    let pieces: Vec<usize> = (0..=last).step_by(4096).collect();
    let found = workers.map(pieces, |piece| {
        (piece..=(piece + 4095).min(last)).find(|at| fits(shard, &window[*at..*at + len]))
    });
    Ok(found.into_iter().flatten().next().map(|at| from + at as i128 - start as i128))
}

fn find_recovery(
    input: &dyn ReadAt,
    plan: &Plan,
    shifts: &[i128],
    mut heads: Vec<(u64, Plan, Kind)>,
    workers: &Workers,
) -> Result<Vec<Option<u64>>> {
    let is_record = |at: i128, group: u64, number: u64| -> Result<Option<u64>> {
        let Some((p, Kind::Record(g, n, sum))) = head_at(input, at)? else { return Ok(None) };
        if p != *plan || (g as u64, n as u64) != (group, number) {
            return Ok(None);
        }
        let bytes = read(input, at + HEAD as i128, plan.shard as usize)?;
        Ok(bytes.filter(|b| xxh3(b) == sum).map(|_| (at + HEAD as i128) as u64))
    };
    let all = (0..plan.recovery).flat_map(|n| (0..plan.groups).map(move |g| (g, n)));
    let find = |(group, number): (u64, u64)| -> Result<Option<u64>> {
        for shift in shifts {
            if let Some(at) = is_record(plan.record_at(group, number) as i128 + shift, group, number)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    };
    let mut found = workers.map(all.collect(), find).into_iter().collect::<Result<Vec<_>>>()?;
    if found.iter().any(Option::is_none) {
        if heads.is_empty() {
            scan(input, workers, &mut |at, plan, kind| heads.push((at, plan, kind)))?;
        }
        for (at, p, kind) in heads {
            let Kind::Record(group, number, _) = kind else { continue };
            let place = number as u64 * plan.groups + group as u64;
            if let Some(slot) = found.get_mut(place as usize).filter(|f| p == *plan && f.is_none()) {
                *slot = is_record(at as i128, group as u64, number as u64)?;
            }
        }
    }
    Ok(found)
}

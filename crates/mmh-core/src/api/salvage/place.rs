//! Where frames behind a hole belong, if nothing but the frames and the source's own header is left to say it.
//!
//! Frames do not straddle the borders of tensors. So the place where they truly belong is always one in which every border of a tensor
//! falls between two of them; if that is so in one place alone, that is it.

use crate::block::MAX_BLOCK;
use crate::codec;
use crate::container::frame::Head;
use crate::container::reader::Frame;
use crate::container::scan::Stretch;
use crate::dtype::Dtype;
use crate::source::{Format, Layout, Tensor};
use std::ops::Range;

/// Nobody cuts a tensor into smaller blocks than these: frames of sizes that have no such divisor in common are not of one tensor.
const LEAST_BLOCK: u64 = 1 << 12;

/// Places that are tried.
const TRIES: usize = 1 << 24;

/// What lies between frames whose place is known and others, beside damage: stretches whose place is not known.
#[derive(Default)]
pub struct Gap {
    raw: u64,
    stretches: usize,
}

impl Gap {
    /// One more that could not be placed.
    pub fn add(&mut self, stretch: &Stretch) {
        self.stretches += 1;
        self.raw = stretch.frames.iter().fold(self.raw, |n, f| n.saturating_add(f.head.raw));
    }
}

/// The end of the source, where its header tells.
pub fn end(layout: &Layout) -> Option<u64> {
    layout.tensors.last().filter(|_| layout.format == Format::Safetensors).map(Tensor::end)
}

/// Whether frames, from the start of the source on, can be those of a source with these tensors: they keep to the borders, or were cut without
/// regard to them, and all pieces of a stretch are as long as each other. If not, frames are missing between others.
pub fn agree(frames: &[Frame], layout: &Layout) -> bool {
    let end = frames.last().map_or(0, Frame::end);
    let is_cut = |at: u64| at >= end || frames.binary_search_by_key(&at, |f| f.start).is_ok();
    let is_piece = |range: &Range<u64>| is_cut(range.start) && is_cut(range.end) && is_even(frames, range);
    let mut filled = layout.tensors.iter().filter(|t| t.len > 0);
    if filled.all(|t| is_piece(&(t.start..t.end()))) {
        return true;
    }
    // Neighbours of one dtype may have been taken together in a small file; or nothing was known of tensors.
    let mut joined: Vec<(Dtype, Range<u64>)> = Vec::new();
    for t in layout.tensors.iter().filter(|t| t.len > 0) {
        match joined.last_mut().filter(|(dtype, range)| *dtype == t.dtype && range.end == t.start) {
            Some((_, range)) => range.end = t.end(),
            None => joined.push((t.dtype, t.start..t.end())),
        }
    }
    joined.iter().all(|(_, range)| is_piece(range)) || is_even(frames, &(0..u64::MAX))
}

/// Whether the frames in a range are pieces of one size, or several of them together (a run is one frame, however long).
fn is_even(frames: &[Frame], range: &Range<u64>) -> bool {
    let from = frames.partition_point(|f| f.start <= range.start);
    let to = frames.partition_point(|f| f.start < range.end);
    let cuts = frames.get(from..to).unwrap_or_default().iter().map(|f| f.start - range.start);
    let divisor = cuts.fold(0, gcd);
    divisor == 0 || divisor >= LEAST_BLOCK
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The source offset of a stretch that follows `frames` and then a gap, if it is proved.
pub fn behind(frames: &[Frame], gap: &Gap, stretch: &Stretch, layout: &Layout) -> Option<u64> {
    let end = frames.last()?.end();
    let mut borders: Vec<u64> =
        layout.tensors.iter().filter(|t| t.len > 0).flat_map(|t| [t.start, t.end()]).collect();
    borders.dedup();
    // A file that was compressed without knowing of tensors does not keep to their borders: seen before the hole, if at all.
    let before = &borders[..borders.partition_point(|b| *b <= end)];
    let keeps_to = |b: &u64| *b == end || frames.binary_search_by_key(b, |f| f.start).is_ok();
    if before.is_empty() || !before.iter().all(keeps_to) {
        return None;
    }
    let mut cuts = vec![0u64];
    for f in &stretch.frames {
        cuts.push(cuts.last()?.checked_add(f.head.raw)?);
    }
    let size = *cuts.last()?;
    let damaged = stretch.damaged.as_deref().filter(|d| gap.stretches == 0 && !d.is_empty());
    // At least a byte is lost wherever there is a gap.
    let least = end.checked_add(gap.raw)?.checked_add(damaged.map_or(1, |d| d.len() as u64))?;
    // Damaged blocks restore no more than blocks do, and each damaged frame ends at the next border at the latest; safetensors ends with its
    // last tensor.
    let next = borders.partition_point(|b| *b <= end);
    let blocks = damaged.filter(|d| d.iter().all(|head| !codec::is_run(head.codec)));
    let blocks = blocks.map(|d| end.saturating_add((d.len() * MAX_BLOCK) as u64));
    let within = damaged.and_then(|d| borders.get(next + d.len() - 1).copied());
    let last = match layout.format {
        Format::Safetensors => Some(borders.last()?.checked_sub(size)?),
        _ => None,
    };
    let most = blocks.into_iter().chain(within).chain(last).min()?;
    let place = only(&borders, &cuts, least, most)?;
    // What damaged heads say of sizes has to agree.
    let said = damaged.map(|d| d.iter().map(|head: &Head| head.raw).fold(end, u64::saturating_add));
    said.is_none_or(|said| said == place).then_some(place)
}

/// The one place from `least` to `most` in which frames with these cuts (from 0 to their size) keep to the borders.
fn only(borders: &[u64], cuts: &[u64], least: u64, most: u64) -> Option<u64> {
    let size = *cuts.last()?;
    let mut place = None;
    let mut tries = 0;
    // Each place has one border that is the first behind it.
    let mut from = least;
    let first = borders.partition_point(|b| *b <= least);
    for border in first..=borders.len() {
        if from > most {
            break;
        }
        let next = borders.get(border).copied();
        let until = next.map_or(most, |b| (b - 1).min(most));
        // Without a border within the frames every place is as good as the next.
        let free = next.map_or(until, |b| until.min(b.saturating_sub(size)));
        let is_free = free >= from && (next.is_none() || next >= Some(size));
        if is_free && (free > from || place.replace(from).is_some()) {
            return None;
        }
        let Some(b) = next else { break };
        for cut in cuts.iter().skip(1).take_while(|cut| **cut < size) {
            let Some(at) = b.checked_sub(*cut).filter(|at| *at >= from) else { break };
            if at > until {
                continue;
            }
            tries += 1;
            if tries > TRIES {
                return None;
            }
            let inner = borders[border..].iter().take_while(|b| **b - at < size);
            if inner.into_iter().all(|b| cuts.binary_search(&(b - at)).is_ok()) && place.replace(at).is_some()
            {
                return None;
            }
        }
        from = b;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    /// The same, by trying every place.
    fn slowly(borders: &[u64], cuts: &[u64], least: u64, most: u64) -> Option<u64> {
        let size = *cuts.last().unwrap();
        let fits = |at: &u64| {
            let inner = borders.iter().filter(|b| **b > *at && **b < at + size);
            inner.into_iter().all(|b| cuts.contains(&(b - at)))
        };
        let mut all = (least..=most).filter(fits);
        let one = all.next();
        one.filter(|_| all.next().is_none())
    }

    #[test]
    fn the_only_place_is_found_and_no_other() {
        let mut found = 0;
        for seed in 0..20_000 {
            let mut random = noise(64, seed).into_iter().map(u64::from);
            let mut some = |n: u64, most: u64| -> Vec<u64> {
                let mut at = 0;
                let mut steps = || (random.next().unwrap_or(0) % most) + 1;
                (0..n)
                    .map(|_| {
                        at += steps();
                        at
                    })
                    .collect()
            };
            let borders = some(1 + seed % 7, 9);
            let mut cuts = some(1 + seed % 5, 6);
            cuts.insert(0, 0);
            let least = some(1, 12)[0];
            let most = least + some(1, 30)[0] - 1;
            let expected = slowly(&borders, &cuts, least, most);
            assert_eq!(only(&borders, &cuts, least, most), expected, "{borders:?} {cuts:?} {least} {most}");
            found += usize::from(expected.is_some());
        }
        assert!(found > 1000, "{found}");
    }
}

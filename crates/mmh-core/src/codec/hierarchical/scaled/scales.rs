//! Scales that were met before: rows have one scale, tiles the same scales row after row.

use super::Scaled;
use super::solve::{Solved, Work};
use mmh_kernels::scaled::{ESCAPE, fit};
use std::collections::VecDeque;

/// New scales that are remembered.
const REMEMBERED: usize = 256;

/// How many of them may be tried in a block; more, for each one that comes where it was expected.
const TRIES: usize = 2048;
const FOR_ONE: usize = 4;

/// Bits of the place where the scale of a group is found by the group's largest number.
const PLACE_BITS: u32 = 10;

/// The scales of groups, one after the other.
pub(super) struct Scales {
    scaled: Scaled,
    scales: Vec<f32>,
    /// What is known of each.
    bounds: Vec<(f64, f64)>,
    /// Which scale is likely to come next, as that before it was the last one.
    next: usize,
    /// Which group had such a largest number.
    by_largest: Vec<u32>,
    /// What its largest number was a multiple of the scale by.
    largest: f32,
    /// Groups whose scales were new, the last one first.
    solved: VecDeque<usize>,
    tries: usize,
    again: usize,
    escaped: bool,
    work: Work,
}

impl Scales {
    pub(super) fn new(scaled: Scaled) -> Scales {
        Scales {
            scaled,
            scales: Vec::new(),
            bounds: Vec::new(),
            next: usize::MAX,
            by_largest: vec![u32::MAX; 1 << PLACE_BITS],
            largest: 0.0,
            solved: VecDeque::new(),
            tries: TRIES,
            again: 0,
            escaped: false,
            work: Work::default(),
        }
    }

    /// Whether any element was escaped.
    pub(super) fn any_escaped(&self) -> bool {
        self.escaped
    }

    /// Whether many scales are that of the group before, or of one in a row before.
    pub(super) fn come_again(&self) -> bool {
        self.again * 8 >= self.scales.len()
    }

    pub(super) fn all(&self) -> &[f32] {
        &self.scales
    }

    /// Adds the scale of a group, and gives the codes of its elements.
    pub(super) fn add(&mut self, body: &[u8], codes: &mut [u8]) {
        let last = self.scales.len().wrapping_sub(1);
        if self.fits(self.next, body, codes) {
            self.tries = (self.tries + FOR_ONE).min(TRIES);
            self.again += 1;
            return self.keep(self.next);
        }
        if self.fits(last, body, codes) {
            self.again += 1;
            return self.keep(last);
        }
        let largest = self.scaled.load(body, &mut self.work);
        let place = largest.to_bits().wrapping_mul(0x9E37_79B9) >> (u32::BITS - PLACE_BITS);
        let before = std::mem::replace(&mut self.by_largest[place as usize], self.scales.len() as u32);
        if self.fits(before as usize, body, codes) {
            return self.keep(before as usize);
        }
        if let Some(before) = self.search(body, codes) {
            return self.keep(before);
        }
        match self.scaled.solve_loaded(body, self.largest, &self.work, codes) {
            Some(solved) => self.solved(solved, body, codes),
            None => {
                codes.fill(ESCAPE);
                self.escaped = true;
                let scale = self.scales.last().copied().unwrap_or(1.0);
                self.push(scale, (0.0, f64::INFINITY));
            }
        }
    }

    fn fits(&self, i: usize, body: &[u8], codes: &mut [u8]) -> bool {
        let Scaled { float, grid } = self.scaled;
        self.scales.get(i).is_some_and(|scale| fit(float, grid, *scale, body, 0, codes) == 0)
    }

    /// Where a scale of some time ago was last.
    fn search(&mut self, body: &[u8], codes: &mut [u8]) -> Option<usize> {
        let Scaled { float, grid } = self.scaled;
        let mut tried = 0;
        let found = self.solved.iter().copied().take(self.tries).find(|i| {
            tried += 1;
            fit(float, grid, self.scales[*i], body, 0, codes) == 0
        });
        self.tries -= tried;
        found
    }

    /// The scale of group `i` once more.
    fn keep(&mut self, i: usize) {
        self.push(self.scales[i], self.bounds[i]);
        self.next = i + 1;
    }

    /// A new scale. If that of the same place a row before is nearly the same, they are one, of which now more is known.
    fn solved(&mut self, solved: Solved, body: &[u8], codes: &mut [u8]) {
        let Scaled { float, grid } = self.scaled;
        let Solved { mut scale, mut bounds, largest } = solved;
        if let (Some(known), Some(before)) = (self.bounds.get(self.next), self.scales.get(self.next)) {
            let both = (bounds.0.max(known.0), bounds.1.min(known.1));
            let middle = (((both.0 + both.1) / 2.0) as f32).copysign(scale);
            // Escapes would be those of a number that is rounded twice.
            if both.0 <= both.1
                && before.signum() == scale.signum()
                && fit(float, grid, middle, body, 0, codes) == 0
            {
                (scale, bounds) = (middle, both);
            } else {
                fit(float, grid, scale, body, 0, codes);
            }
        }
        self.largest = largest;
        self.solved.truncate(REMEMBERED - 1);
        self.solved.push_front(self.scales.len());
        self.push(scale, bounds);
        self.next = self.next.saturating_add(1);
    }

    fn push(&mut self, scale: f32, bounds: (f64, f64)) {
        self.scales.push(scale);
        self.bounds.push(bounds);
    }
}

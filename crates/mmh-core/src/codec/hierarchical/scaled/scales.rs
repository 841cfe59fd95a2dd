//! Scales that were met before: rows have one scale, tiles the same scales row after row.

use super::Scaled;
use super::solve::{Solved, Work};
use mmh_kernels::scaled::{ESCAPE, Grid, ZERO, fit};
use std::collections::VecDeque;

/// New scales that are remembered.
const REMEMBERED: usize = 256;

/// How many of them may be tried in a block; more, for each one that comes where it was expected.
const TRIES: usize = 2048;
const FOR_ONE: usize = 4;

/// Bits of the place where the scale of a group is found by the group's largest number.
const PLACE_BITS: u32 = 10;

/// Where the largest number of a group is so many times the scale, others with the same one have the same scale. Of fewer values, others may fit as well.
const TELLING: f32 = 7.0;

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
            work: Work::default(),
        }
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
        let place = (largest.to_bits().wrapping_mul(0x9E37_79B9) >> (u32::BITS - PLACE_BITS)) as usize;
        let before = self.by_largest[place] as usize;
        if self.fits(before, body, codes) {
            return self.keep(before);
        }
        if let Some(before) = self.search(body, codes) {
            return self.keep(before);
        }
        match self.scaled.solve_loaded(body, self.largest, &mut self.work, codes) {
            Some(solved) => {
                if solved.largest.abs() >= TELLING {
                    self.by_largest[place] = self.scales.len() as u32;
                }
                self.solved(solved, body, codes);
            }
            None => {
                codes.fill(ESCAPE);
                let scale = self.scales.last().copied().unwrap_or(1.0);
                self.push(scale, (0.0, f64::INFINITY));
            }
        }
    }

    /// Whether group `i` has the scale of this one as well.
    fn fits(&mut self, i: usize, body: &[u8], codes: &mut [u8]) -> bool {
        self.scales.get(i).copied().is_some_and(|scale| self.suits(scale, body, codes))
    }

    fn suits(&mut self, scale: f32, body: &[u8], codes: &mut [u8]) -> bool {
        let Scaled { float, grid } = self.scaled;
        if fit(float, grid, scale, body, 0, codes) > 0 {
            return false;
        }
        // Zeros that are escaped are those of a scale of the other sign, or come from both sides.
        if grid == Grid::Integers && !self.work.mixed && codes.contains(&ESCAPE) {
            self.work.mixed = codes.contains(&ZERO);
            return self.work.mixed;
        }
        true
    }

    /// Where a scale of some time ago was last.
    fn search(&mut self, body: &[u8], codes: &mut [u8]) -> Option<usize> {
        for known in 0..self.solved.len().min(self.tries) {
            self.tries -= 1;
            let i = self.solved[known];
            if self.fits(i, body, codes) {
                return Some(i);
            }
        }
        None
    }

    /// The scale of group `i` once more.
    fn keep(&mut self, i: usize) {
        self.push(self.scales[i], self.bounds[i]);
        self.next = i + 1;
    }

    /// A new scale. If that of the same place a row before is nearly the same, they are one, of which now more is known.
    fn solved(&mut self, solved: Solved, body: &[u8], codes: &mut [u8]) {
        let Scaled { float, grid } = self.scaled;
        let Solved { mut scale, mut bounds, largest, escaped } = solved;
        if let (Some(known), Some(before)) = (self.bounds.get(self.next), self.scales.get(self.next)) {
            let both = (bounds.0.max(known.0), bounds.1.min(known.1));
            let middle = (((both.0 + both.1) / 2.0) as f32).copysign(scale);
            // Escapes would be those of a number that is rounded twice.
            if both.0 <= both.1
                && middle.is_normal()
                && before.signum() == scale.signum()
                && fit(float, grid, middle, body, escaped, codes) <= escaped
            {
                (scale, bounds) = (middle, both);
            } else {
                fit(float, grid, scale, body, usize::MAX, codes);
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

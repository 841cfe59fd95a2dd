//! How the rests are stored: which low bits are zero, and in which segments; which planes are coded.

use super::super::analyze::Found;
use super::super::params::{Cut, Mode, Params};
use super::super::planes::{Zeros, plane_mode, saved_by_coding};
use super::super::{Scratch, lend};
use super::symbols::Elements;
use mmh_kernels::fields::FieldSpec;
use mmh_kernels::planes;

/// How rests are stored. The cuts of planes are those of whole rests.
pub(super) struct Choice {
    pub(super) params: Params,
    pub(super) zeros: Zeros,
    pub(super) high: Vec<(Cut, Mode)>,
    pub(super) low: Vec<(Cut, Mode)>,
}

/// Chooses for the rests that are in `scratch`.
pub(super) fn choose(
    of: &Elements<'_>,
    found: &Found,
    signed_symbols: bool,
    scratch: &mut Scratch,
) -> Choice {
    let &Elements { body, n, element, spec, level, .. } = of;
    let (width, rest) = (spec.rest_width(), scratch.rest.as_slice());
    // At the fastest levels the sample is believed.
    let zeros = if level.get() <= 3 && !found.any_zeros {
        Zeros::none()
    } else {
        let found = Zeros::find(&spec, body, &mut scratch.ors);
        // Coding whole planes may save more than leaving out the low part of some segments, which cuts the planes up.
        let by_coding = |top: u32, bottom: u32, bytes: &mut Vec<u8>| -> u64 {
            planes::cut(top - bottom)
                .filter(|cut| cut.0 == 8)
                .map(|cut| saved_by_coding(cut.1 + bottom as u8, width, rest, n, level, bytes))
                .sum()
        };
        let (top, bottom) = (spec.rest_bits(), found.drop as u32);
        let split = bottom + found.low as u32;
        if found.low > 0
            && by_coding(top, bottom, &mut scratch.bytes)
                > found.saved + by_coding(top, split, &mut scratch.bytes)
        {
            found.without_low_part()
        } else {
            found
        }
    };
    // The sign is coded even where all bits below it are zero.
    let zeros = if signed_symbols { zeros.below(spec.rest_bits() - 1) } else { zeros };
    let params = Params {
        spec: FieldSpec { drop: zeros.drop, ..spec },
        head: element.head,
        low: zeros.low,
        segment: zeros.segment,
        signed_symbols,
    };
    // Shifts within the whole rest, of which nothing has been dropped here.
    let drop = zeros.drop;
    let high: Vec<(Cut, Mode)> = params
        .high_planes()
        .map(|(w, s)| (w, s + drop))
        .map(|cut| (cut, plane_mode(cut, width, rest, n, zeros.all, level, &mut scratch.bytes)))
        .collect();
    // What the low part costs is told by the segments that have one.
    let present = if zeros.low > 0 { gather(&zeros, width, rest, 0, n, &mut scratch.low) } else { 0 };
    let low: Vec<(Cut, Mode)> = params
        .low_planes()
        .map(|(w, s)| (w, s + drop))
        .map(|cut| (cut, plane_mode(cut, width, &scratch.low, present, zeros.all, level, &mut scratch.bytes)))
        .collect();
    Choice { params, zeros, high, low }
}

/// Collects the rests of the present segments among elements `from … to`; gives their number.
pub(super) fn gather(
    zeros: &Zeros,
    width: u8,
    rest: &[u64],
    from: usize,
    to: usize,
    low: &mut Vec<u64>,
) -> usize {
    lend(low, planes::storage(width, to - from));
    let mut m = 0;
    for at in (from..to).step_by(1 << zeros.segment) {
        let s = at >> zeros.segment;
        if zeros.presence[s / 8] >> (s % 8) & 1 == 1 {
            let len = (1 << zeros.segment).min(to - at);
            planes::copy_words(width, rest, at - from, low, m, len);
            m += len;
        }
    }
    m
}

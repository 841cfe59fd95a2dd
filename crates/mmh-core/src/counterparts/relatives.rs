//! Tensors of one source that are the same weights: in another type, as casts and masters of mixed precision are, or some steps later, as averages of weights
//! and the checkpoints of one run are.
//!
//! Names say little of that across frameworks and files, signs do: those of 128 elements, at places that do not depend on the type. They survive any cast, and most
//! of them some training; of two tensors that have nothing to do with each other half agree. Whether a difference pays is decided block by block, as always.

use super::{Against, closest, tried};
use crate::api::Workers;
use crate::block::Segment;
use crate::codec::Origin;
use crate::codec::delta;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::io::ReadAt;
use crate::source::Layout;
use std::collections::HashMap;

/// Tensors of fewer elements are not looked at: the reads would take longer than to store them.
const FEWEST: u64 = 1024;

/// Places whose signs are looked at, and elements at each.
const PLACES: u64 = 4;
const AT_EACH: usize = 32;

/// Signs that may differ.
const MOST_DIFFERENT: u32 = 20;

/// Signs of which fewer are one way tell too little: those of norms are all alike, and rows of zeros are all positive. Of two tensors that have nothing to do with each other at most 20 of 128 signs differ
/// once in 10^15 where half of them are negative, and once in 10^10 where a third is (binomial).
const LEAST_MIXED: u32 = 43;

/// Tensors with the same 16 signs that are compared with each other, at most.
const MOST_COMPARED: usize = 64;

/// A tensor whose signs are known.
#[derive(Clone, Copy)]
struct Candidate {
    /// The position of its segment.
    i: usize,
    dtype: Dtype,
    signs: u128,
}

/// What segments may be stored against: of tensors that are alike all but one, the root, against that one.
pub fn find(
    source: &dyn ReadAt,
    layout: &Layout,
    segments: &[Segment],
    is_copy: impl Fn(usize) -> bool,
    workers: &Workers,
) -> Result<HashMap<usize, Against>> {
    let mut groups: HashMap<(u64, bool), Vec<(usize, Dtype)>> = HashMap::new();
    for (i, s) in segments.iter().enumerate() {
        let tensor = s.tensor.and_then(|t| layout.tensors.get(t));
        let Some((tensor, (dtype, size))) = tensor.zip(s.dtype.and_then(|d| Some((d, size_of(d)?)))) else {
            continue;
        };
        // What is a copy is stored already, and nothing refers to it.
        if s.len / size >= FEWEST && !is_copy(i) {
            groups.entry((s.len / size, tensor.fortran)).or_default().push((i, dtype));
        }
    }
    let mut found = HashMap::new();
    for ((count, _), members) in groups.into_iter().filter(|(_, members)| members.len() > 1) {
        let look = |(i, dtype)| {
            let signs = workers.check().and_then(|()| signs(source, &segments[i], dtype, count));
            signs.map(|signs| signs.map(|signs| Candidate { i, dtype, signs }))
        };
        let looked: Vec<Option<Candidate>> = workers.map(members, look).into_iter().collect::<Result<_>>()?;
        let mut candidates: Vec<Candidate> = looked.into_iter().flatten().collect();
        candidates.sort_by_key(|c| std::cmp::Reverse(size_of(c.dtype)));
        for family in families(candidates) {
            let root = root_of(&family, source, segments)?;
            for own in family.iter().filter(|own| own.i != root.i) {
                let ways = delta::between(root.dtype, own.dtype);
                if !ways.is_empty() {
                    let there = &segments[root.i];
                    let conversion = closest(&ways, (source, there), (source, &segments[own.i]))?;
                    let against = Against { origin: Origin::Source, root: there.clone(), conversion };
                    found.insert(own.i, against);
                }
            }
        }
    }
    Ok(found)
}

/// Candidates that are alike, those with the largest elements first.
fn families(candidates: Vec<Candidate>) -> Vec<Vec<Candidate>> {
    let mut roots = Roots::default();
    let mut all: Vec<Vec<Candidate>> = Vec::new();
    for own in candidates {
        match roots.closest(&own) {
            Some(family) => all[family].push(own),
            None => {
                roots.add(own);
                all.push(vec![own]);
            }
        }
    }
    all
}

/// Members of a family that are compared with each other to find the one that serves the others best.
const MOST_TRIED: usize = 8;

/// The member of a family that the others are stored against: of those with the largest elements the one of which most casts are, as weights are cast more often than their
/// average; the first of equal ones.
fn root_of(family: &[Candidate], source: &dyn ReadAt, segments: &[Segment]) -> Result<Candidate> {
    let first = family[0];
    let (widest, casts): (Vec<Candidate>, Vec<Candidate>) =
        family.iter().copied().partition(|c| c.dtype == first.dtype);
    if widest.len() == 1 || casts.is_empty() {
        return Ok(first);
    }
    let mut best = (usize::MAX, first);
    for root in widest.into_iter().take(MOST_TRIED) {
        let mut differ = 0;
        for cast in casts.iter().take(MOST_TRIED) {
            let ways = delta::between(root.dtype, cast.dtype);
            differ += tried(&ways, (source, &segments[root.i]), (source, &segments[cast.i]))?.0;
        }
        if differ < best.0 {
            best = (differ, root);
        }
    }
    Ok(best.1)
}

/// Whether a stretch has nothing in common with a segment whose elements are to be those of it, as far as signs tell.
pub fn are_strangers(root: (&dyn ReadAt, &Segment), own: (&dyn ReadAt, &Segment)) -> Result<bool> {
    let count = |s: &Segment| Some((s.len / size_of(s.dtype?)?, s.dtype?));
    let Some(((a, of_root), (b, of_own))) = count(root.1).zip(count(own.1)) else { return Ok(false) };
    let count = a.min(b);
    if count < FEWEST {
        return Ok(false);
    }
    let both = signs(root.0, root.1, of_root, count)?.zip(signs(own.0, own.1, of_own, count)?);
    Ok(both.is_some_and(|(x, y)| (x ^ y).count_ones() > MOST_DIFFERENT))
}

fn size_of(dtype: Dtype) -> Option<u64> {
    delta::float_of(dtype).map(|float| float.size() as u64)
}

/// The signs of some elements; `None` if they are too much alike to tell tensors apart.
fn signs(source: &dyn ReadAt, s: &Segment, dtype: Dtype, count: u64) -> Result<Option<u128>> {
    let size = size_of(dtype).unwrap_or(1) as usize;
    let mut signs = 0u128;
    let mut held = [0; 4 * AT_EACH];
    for place in 0..PLACES {
        let first = (count - AT_EACH as u64) / (PLACES - 1) * place;
        let bytes = &mut held[..size * AT_EACH];
        source.read_exact_at(s.start + first * size as u64, bytes)?;
        for element in bytes.chunks(size) {
            signs = signs << 1 | (element[size - 1] >> 7) as u128;
        }
    }
    let negative = signs.count_ones();
    Ok((LEAST_MIXED..=u128::BITS - LEAST_MIXED).contains(&negative).then_some(signs))
}

/// Tensors that others are stored against, by their signs.
#[derive(Default)]
struct Roots {
    all: Vec<Candidate>,
    /// By the place and the value of each 16 signs. Where one sign in 30 differs, one of these eight words agrees in 999 of 1,000 cases; where one in ten does, in four of five.
    words: HashMap<(u32, u16), Vec<usize>>,
}

impl Roots {
    fn words_of(signs: u128) -> impl Iterator<Item = (u32, u16)> {
        (0..u128::BITS / u16::BITS).map(move |w| (w, (signs >> (w * u16::BITS)) as u16))
    }

    fn add(&mut self, candidate: Candidate) {
        for word in Roots::words_of(candidate.signs) {
            let known = self.words.entry(word).or_default();
            if known.len() < MOST_COMPARED {
                known.push(self.all.len());
            }
        }
        self.all.push(candidate);
    }

    /// The number of the tensor that another one may be made of and whose signs differ least, if they are so few that this is no chance; the first of equal ones.
    fn closest(&self, own: &Candidate) -> Option<usize> {
        let known = Roots::words_of(own.signs).filter_map(|word| self.words.get(&word)).flatten();
        let near = known.map(|&root| ((self.all[root].signs ^ own.signs).count_ones(), root));
        let mut near: Vec<(u32, usize)> = near.filter(|(differ, _)| *differ <= MOST_DIFFERENT).collect();
        near.sort_unstable();
        let fits = |root: &usize| !delta::between(self.all[*root].dtype, own.dtype).is_empty();
        near.into_iter().map(|(_, root)| root).find(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block;
    use crate::source::{Format, Tensor};
    use crate::testing::noise;
    use mmh_kernels::conversions::Conversion::{self, F32CutToBf16, F32ToBf16, F32ToE4m3, F32ToF16};
    use mmh_kernels::conversions::convert;

    fn weights(n: usize, seed: u64) -> Vec<u8> {
        let each = |b: &[u8]| b.iter().map(|b| *b as f32 / 255.0 - 0.5).sum::<f32>() * 0.05;
        noise(4 * n, seed).chunks(4).flat_map(|b| each(b).to_le_bytes()).collect()
    }

    fn cast(single: &[u8], conversion: Conversion) -> Vec<u8> {
        let mut out = vec![0; single.len() / 4 * conversion.types().1.size()];
        convert(conversion, single, &mut out);
        out
    }

    fn source_of(tensors: &[(Dtype, Vec<u8>)]) -> (Vec<u8>, Layout) {
        let (mut source, mut rows) = (Vec::new(), Vec::new());
        for (i, (dtype, data)) in tensors.iter().enumerate() {
            let (start, len) = (source.len() as u64, data.len() as u64);
            let shape = vec![len / dtype.unit().1];
            rows.push(Tensor { name: i.to_string(), dtype: *dtype, shape, fortran: false, start, len });
            source.extend_from_slice(data);
        }
        (source, Layout::of(Format::Safetensors, rows))
    }

    /// Which tensor each one is stored against, and how that is converted.
    fn relatives(tensors: &[(Dtype, Vec<u8>)]) -> Vec<Option<(usize, Option<Conversion>)>> {
        let (source, layout) = source_of(tensors);
        let segments = block::segments(&layout, Some(source.len() as u64));
        let found = find(&source, &layout, &segments, |_| false, &Workers::new(2)).unwrap();
        let root = |against: &Against| segments.iter().position(|s| *s == against.root);
        (0..segments.len()).map(|i| found.get(&i).map(|s| (root(s).unwrap(), s.conversion))).collect()
    }

    #[test]
    fn the_largest_elements_stay_and_the_others_are_told_how_they_were_cast() {
        let w = weights(5000, 1);
        let cut: Vec<u8> = w.chunks(4).flat_map(|b| [b[2], b[3]]).collect();
        let found = relatives(&[
            (Dtype::F8_E4M3, cast(&w, F32ToE4m3)),
            (Dtype::BF16, cast(&w, F32ToBf16)),
            (Dtype::F16, cast(&w, F32ToF16)),
            (Dtype::F32, w.clone()),
            (Dtype::BF16, cut),
            (Dtype::F32, weights(5000, 2)),
            // As many bits, but nobody casts to integers without a word.
            (Dtype::I32, w.clone()),
        ]);
        let of = |conversion| Some((3, Some(conversion)));
        assert_eq!(found, [of(F32ToE4m3), of(F32ToBf16), of(F32ToF16), None, of(F32CutToBf16), None, None]);
    }

    #[test]
    fn some_training_leaves_most_signs_as_they_were() {
        let w = weights(5000, 1);
        let moved = |by: f32| -> Vec<u8> {
            let steps = weights(5000, 7);
            let pair = w.as_chunks::<4>().0.iter().zip(steps.as_chunks::<4>().0);
            pair.flat_map(|(w, s)| (f32::from_le_bytes(*w) + by * f32::from_le_bytes(*s)).to_le_bytes())
                .collect()
        };
        let of = |by| relatives(&[(Dtype::F32, w.clone()), (Dtype::F32, moved(by))])[1];
        assert_eq!((of(0.0), of(0.03)), (Some((0, None)), Some((0, None))));
        assert_eq!(of(2.0), None);
    }

    #[test]
    fn of_tensors_that_have_nothing_in_common_none_is_found() {
        let many: Vec<_> = (0..3000).map(|seed| (Dtype::F32, weights(FEWEST as usize, seed + 10))).collect();
        assert!(relatives(&many).iter().all(Option::is_none));
    }

    #[test]
    fn what_equals_another_one_is_neither_stored_against_one_nor_is_one() {
        let w = weights(5000, 1);
        let brain = cast(&w, F32ToBf16);
        let tensors =
            [(Dtype::F32, w.clone()), (Dtype::F32, w), (Dtype::BF16, brain.clone()), (Dtype::BF16, brain)];
        let (source, layout) = source_of(&tensors);
        let segments = block::segments(&layout, Some(source.len() as u64));
        let found = find(&source, &layout, &segments, |i| i == 1 || i == 3, &Workers::new(1)).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), [&2]);
        assert_eq!(found[&2].root, segments[0]);
    }

    #[test]
    fn what_most_was_cast_from_serves_the_others() {
        let w = weights(5000, 1);
        let steps = weights(5000, 7);
        let pairs = w.as_chunks::<4>().0.iter().zip(steps.as_chunks::<4>().0);
        let average: Vec<u8> = pairs
            .flat_map(|(w, s)| (f32::from_le_bytes(*w) + 0.01 * f32::from_le_bytes(*s)).to_le_bytes())
            .collect();
        let found =
            relatives(&[(Dtype::F32, average), (Dtype::F32, w.clone()), (Dtype::BF16, cast(&w, F32ToBf16))]);
        assert_eq!(found, [Some((1, None)), None, Some((1, Some(F32ToBf16)))]);
    }

    #[test]
    fn rows_of_zeros_tell_nothing() {
        // All but a third of two tensors are the same zeros.
        let padded = |seed| [weights(1700, seed), vec![0; 4 * 3300]].concat();
        assert_eq!(relatives(&[(Dtype::F32, padded(1)), (Dtype::F32, padded(2))]), [None, None]);
    }

    #[test]
    fn a_root_that_cannot_be_converted_gives_way_to_one_that_can() {
        // E5M2 is nearest to what it was cast from, and to E4M3, which nothing is made of.
        let w = weights(5000, 1);
        let small: Vec<u8> =
            w.as_chunks::<4>().0.iter().flat_map(|w| (f32::from_le_bytes(*w) * 1e-3).to_le_bytes()).collect();
        let found = relatives(&[
            (Dtype::F8_E4M3, cast(&w, F32ToE4m3)),
            (Dtype::F8_E5M2, cast(&w, Conversion::F32ToE5m2)),
            (Dtype::BF16, cast(&small, F32ToBf16)),
        ]);
        assert!(found.iter().take(2).all(|f| f.is_some_and(|(root, _)| root == 2)), "{found:?}");
        let found = relatives(&[
            (Dtype::F8_E4M3, cast(&w, F32ToE4m3)),
            (Dtype::F8_E5M2, cast(&w, Conversion::F32ToE5m2)),
        ]);
        assert_eq!(found, [None, None]);
    }

    #[test]
    fn signs_that_are_alike_and_few_elements_tell_nothing() {
        let w = weights(5000, 1);
        let norm: Vec<u8> = w.chunks(4).flat_map(|b| [b[0], b[1], b[2], b[3] & 0x7F]).collect();
        assert_eq!(relatives(&[(Dtype::F32, norm.clone()), (Dtype::F32, norm)]), [None, None]);
        let few = w[..4 * FEWEST as usize - 4].to_vec();
        assert_eq!(relatives(&[(Dtype::F32, few.clone()), (Dtype::F32, few)]), [None, None]);
        assert_eq!(relatives(&[(Dtype::F32, w.clone()), (Dtype::F32, w)]), [None, Some((0, None))]);
    }
}

//! Tensors of one source that are the same weights: in another type, as casts and masters of mixed precision are, or some steps later, as averages of weights
//! and the checkpoints of one run are.
//!
//! Names say little of that across frameworks and files, signs do: those of 128 elements, at places that do not depend on the type. They survive any cast, and most
//! of them some training; of two tensors that have nothing to do with each other half agree. Whether a difference pays is decided block by block, as always.

use super::{Among, Start, closest, conversions_between, float_of};
use crate::block::Segment;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::io::ReadAt;
use crate::source::Layout;
use std::collections::HashMap;

/// Tensors of fewer elements are not looked at: a few hundred bytes are soon read and soon stored.
const FEWEST: u64 = 4096;

/// Places whose signs are looked at, and elements at each.
const PLACES: u64 = 4;
const AT_EACH: usize = 32;

/// Signs that may differ: of 128 that are drawn, so few do once in 10^15 (binomial).
const MOST_DIFFERENT: u32 = 20;

/// Signs of which fewer are one way tell nothing: those of norms are all alike.
const LEAST_MIXED: u32 = 24;

/// Where the relatives of segments begin. Each has its like stored without one: of tensors that are alike, the first of those with the largest elements.
pub fn find(
    source: &dyn ReadAt,
    layout: &Layout,
    segments: &[Segment],
    is_known: impl Fn(&usize) -> bool,
) -> Result<HashMap<usize, Start>> {
    let mut groups: HashMap<(u64, bool), Vec<usize>> = HashMap::new();
    for (i, s) in segments.iter().enumerate() {
        let tensor = s.tensor.and_then(|t| layout.tensors.get(t));
        let (Some(tensor), Some(size)) = (tensor, s.dtype.and_then(size_of)) else { continue };
        let count = s.len / size;
        // What is a copy is stored already, and nothing refers to it; what has a counterpart in a base has a better one.
        if count >= FEWEST && !is_known(&i) {
            groups.entry((count, tensor.fortran)).or_default().push(i);
        }
    }
    let mut found = HashMap::new();
    let mut groups: Vec<_> = groups.into_iter().filter(|(_, members)| members.len() > 1).collect();
    groups.sort_unstable();
    for ((count, _), mut members) in groups {
        members.sort_by_key(|i| std::cmp::Reverse(segments[*i].dtype.and_then(size_of)));
        let mut roots = Roots::default();
        for i in members {
            let s = &segments[i];
            let Some(signs) = signs(source, s, count)? else { continue };
            match roots
                .closest(signs)
                .map(|root| &segments[root])
                .and_then(|root| Some((root, between(root, s)?)))
            {
                Some((root, conversions)) => {
                    let (there, own) = ((source, root.start), (source, s.start, s.len));
                    let conversion = closest(&conversions, there, own)?;
                    found.insert(
                        i,
                        Start { among: Among::Segment(root.clone()), offset: root.start, conversion },
                    );
                }
                None => roots.add(signs, i),
            }
        }
    }
    Ok(found)
}

fn between(root: &Segment, own: &Segment) -> Option<Vec<Option<mmh_kernels::conversions::Conversion>>> {
    conversions_between(root.dtype?, own.dtype?)
}

fn size_of(dtype: Dtype) -> Option<u64> {
    float_of(dtype).map(|float| float.size() as u64)
}

/// The signs of some elements; `None` if they are too much alike to tell tensors apart.
fn signs(source: &dyn ReadAt, s: &Segment, count: u64) -> Result<Option<u128>> {
    let Some(size) = s.dtype.and_then(size_of) else { return Ok(None) };
    let size = size as usize;
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
    let ones = signs.count_ones();
    Ok((LEAST_MIXED..=u128::BITS - LEAST_MIXED).contains(&ones).then_some(signs))
}

/// Tensors that others are stored against, by their signs.
#[derive(Default)]
struct Roots {
    all: Vec<(u128, usize)>,
    /// By the place and the value of each 16 signs: of 128 of which at most 20 differ, and not all over, some 16 hardly ever have none in common.
    words: HashMap<(u32, u16), Vec<usize>>,
}

impl Roots {
    fn words_of(signs: u128) -> impl Iterator<Item = (u32, u16)> {
        (0..u128::BITS / u16::BITS).map(move |w| (w, (signs >> (w * u16::BITS)) as u16))
    }

    fn add(&mut self, signs: u128, segment: usize) {
        for word in Roots::words_of(signs) {
            self.words.entry(word).or_default().push(self.all.len());
        }
        self.all.push((signs, segment));
    }

    /// The tensor whose signs differ least, if they are so few that this is no chance; the first of equal ones.
    fn closest(&self, signs: u128) -> Option<usize> {
        let candidates = Roots::words_of(signs).filter_map(|word| self.words.get(&word)).flatten();
        let distance = |root: usize| (self.all[root].0 ^ signs).count_ones();
        let near = candidates.map(|&root| (distance(root), root)).filter(|(d, _)| *d <= MOST_DIFFERENT);
        near.min().map(|(_, root)| self.all[root].1)
    }
}

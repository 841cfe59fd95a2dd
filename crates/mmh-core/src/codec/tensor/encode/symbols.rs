//! How symbols are stored: which code, with a model or without, or predicted.

use super::super::fit::{self, Rows};
use super::super::lanes;
use super::super::modelled::{Lengths, Model};
use super::super::params::Mode;
use super::super::planes::{SAMPLE_PIECE, SAMPLE_STRIDE, Sample, code_if_it_pays};
use super::super::{Element, GROUP, Scratch, lend};
use crate::codec::Level;
use crate::codec::symbols::{count, entropy, pieces, sum};
use mmh_kernels::fields::FieldSpec;
use mmh_kernels::{histogram, huffman};

/// Elements from which on a model is tried: with fewer, its tables cost more than it saves.
const SHORTEST_MODELLED: usize = 1024;

/// What a prediction saves of symbols and signs where nothing else is tried, in hundredths: models have nothing to set against weights.
const MUCH: u64 = 4;

/// What weights for a whole block save at least against a model of all of it, in thousandths of symbols and signs.
const MORE_THAN_PARTS: u64 = 5;

/// The elements of a block, and what is known of them.
#[derive(Clone, Copy)]
pub(super) struct Elements<'a> {
    pub(super) body: &'a [u8],
    pub(super) n: usize,
    pub(super) element: Element,
    pub(super) spec: FieldSpec,
    pub(super) rows: Rows,
    pub(super) level: Level,
}

/// How symbols are stored.
pub(super) struct Choice {
    pub(super) mode: Mode,
    /// Bits that planes take more without the signs, where these are predicted with the symbols.
    pub(super) lost: u64,
    /// Fewer bits than this, of symbols and signs, are worth a prediction.
    pub(super) enough: u64,
}

/// Chooses for the symbols that are in `scratch`; `None` if weights were asked for and are not worth what they take.
pub(super) fn choose(of: &Elements<'_>, scratch: &mut Scratch) -> Option<Choice> {
    let &Elements { body, n, element, spec, rows, level } = of;
    let (symbols, signs) = (&scratch.symbols[..n], lend(&mut scratch.signs, n));
    let one_of = lanes::one_of(n, &spec, level);
    let counts = count(n, lanes::together(&spec, level), one_of, &mut |of, to| {
        to.copy_from_slice(&symbols[of]);
    });
    let mode = lanes::choose(&counts, n, &spec, level).unwrap_or_else(|| byte_mode(symbols, level));
    // Models of either kind are made at the levels that are for size, and predictions first: where they save much, nothing else would do.
    let numbers = (rows.are_predicted(level) && is_worth_a_model(&mode, symbols, level))
        .then(|| fit::Numbers::of(symbols, body, &spec, element, signs))
        .flatten();
    // Without the sign, planes of bytes are others, and zeros may be of less use.
    let lost = numbers.as_ref().map_or(0, |_| {
        let mut sample = Sample::of(&spec, body, level, &mut scratch.rest, &mut scratch.bytes);
        let bits = spec.rest_bits();
        sample.saved(bits, n).saturating_sub(sample.saved(bits.saturating_sub(1), n))
    });
    // No prediction saves half a bit.
    let numbers = numbers.filter(|_| lost < n as u64 / 2);
    let known = numbers.as_ref().map(|numbers| match rows {
        Rows::Unknown | Rows::Unpredicted => fit::rows(numbers),
        Rows::Weighted(rows) | Rows::Short(rows) | Rows::Plain(rows) => Some(rows),
    });
    let predicted = numbers.zip(known).and_then(|(numbers, length)| {
        let (model, contexts) = (&mut scratch.models.predictor, &mut scratch.contexts);
        fit::choose(numbers, length, rows, level, model, contexts, &mut scratch.predicted[0])
    });
    // The sign would take a bit each.
    let predicted = predicted.map(|(predictor, bits)| (predictor, (bits + lost).saturating_sub(n as u64)));
    let weighted = matches!(rows, Rows::Weighted(_));
    if weighted && predicted.is_none() {
        return None;
    }
    // So few bits that models are not asked for.
    let plain = || bits_of(&mode, n, &counts, one_of) + n as u64;
    let few = if level.get() < fit::FASTEST_FOR_ALL { plain() * (100 - MUCH) / 100 } else { 0 };
    let much = predicted.as_ref().is_some_and(|(_, predicted)| predicted + (n as u64) < few);
    let (mode, bits) = if is_worth_a_model(&mode, symbols, level) && !much {
        // This time all symbols are counted.
        let counts = count(n, GROUP, 1, &mut |of, to| to.copy_from_slice(&symbols[of]));
        let plain = bits_of(&mode, n, &counts, 1);
        let most = predicted.as_ref().map_or(u64::MAX, |p| p.1);
        let classes = &mut scratch.classes;
        if weighted {
            // It is asked for the sake of comparison alone.
            let lengths = Lengths::Known(known.flatten());
            let bits = bits_of_model(symbols, &counts, &spec, element, lengths, most, classes);
            (mode, bits.unwrap_or(plain).min(plain))
        } else {
            let lengths = Lengths::Also(known.flatten());
            model_if_it_pays(mode, plain, symbols, &counts, &spec, element, lengths, most, classes)
        }
    } else {
        (mode, u64::MAX / 2000)
    };
    // A block as a whole has one model, where its parts have one each.
    let margin = if weighted { MORE_THAN_PARTS } else { 1 };
    let enough = if much { few } else { (bits + n as u64) * 1000 / (1000 + margin) };
    let mode = match predicted {
        Some((predictor, predicted)) if predicted + (n as u64) < enough => {
            Mode::Predicted(Box::new(predictor))
        }
        _ => mode,
    };
    let has_weights = matches!(&mode, Mode::Predicted(p) if !p.shape.weights.is_empty());
    (has_weights || !weighted).then_some(Choice { mode, lost, enough })
}

/// How to store a plane of bytes.
fn byte_mode(bytes: &[u8], level: Level) -> Mode {
    // The exact set of values matters, as each needs a code; their frequencies can be estimated.
    let (any_zero, lowest, highest) = histogram::range(bytes);
    if highest == 0 || (!any_zero && lowest == highest) {
        return Mode::Constant(highest);
    }
    let mut counts = [0u32; 256];
    let exact = bytes.len() <= GROUP || level.get() >= 7;
    if exact {
        histogram::bytes(bytes, &mut counts);
    } else {
        pieces(bytes.len(), SAMPLE_STRIDE, SAMPLE_PIECE)
            .for_each(|p| histogram::bytes(&bytes[p], &mut counts));
        counts[lowest as usize..=highest as usize].iter_mut().for_each(|c| *c = (*c).max(1));
        counts[0] = if any_zero { counts[0].max(1) } else { 0 };
    }
    code_if_it_pays(&counts, level)
}

fn is_worth_a_model(mode: &Mode, symbols: &[u8], level: Level) -> bool {
    level.get() >= 7 && symbols.len() >= SHORTEST_MODELLED && !matches!(mode, Mode::Constant(_))
}

/// How many bits symbols take in a mode without a model. `counts` has those of one in `one_of` pieces of each group.
fn bits_of(mode: &Mode, n: usize, counts: &[[u32; 256]], one_of: usize) -> u64 {
    match mode {
        Mode::Coded(code) => {
            let all = sum(counts);
            let seen: u64 = all.iter().map(|c| *c as u64).sum();
            huffman::coded_bits(&all, code) * n as u64 / seen.max(1) + 8 * code.written_size() as u64
        }
        Mode::Exact(codes) => codes.bits(counts, one_of),
        _ => n as u64 * 8,
    }
}

/// A model instead, where it saves more than a thousandth of the symbols, which take `bits`.
#[allow(clippy::too_many_arguments)]
fn model_if_it_pays(
    mode: Mode,
    bits: u64,
    symbols: &[u8],
    counts: &[[u32; 256]],
    spec: &FieldSpec,
    element: Element,
    lengths: Lengths,
    most: u64,
    classes: &mut Vec<u8>,
) -> (Mode, u64) {
    match Model::choose(symbols, &sum(counts), spec, element.kind, lengths, most, classes) {
        Some((model, modelled)) if modelled * 1001 < bits * 1000 => {
            (Mode::Modelled(Box::new(model)), modelled)
        }
        _ => (mode, bits),
    }
}

/// About how many bits all symbols would take with a model, by what those in the middle take. `None` as in [`Model::choose`].
fn bits_of_model(
    symbols: &[u8],
    counts: &[[u32; 256]],
    spec: &FieldSpec,
    element: Element,
    lengths: Lengths,
    most: u64,
    classes: &mut Vec<u8>,
) -> Option<u64> {
    let groups = counts.len();
    let middle = groups * 3 / 8..(groups * 5 / 8).max(1);
    let all = entropy::bits(sum(counts).into_iter()).max(1);
    let counts = sum(&counts[middle.clone()]);
    let those = entropy::bits(counts.into_iter());
    let of_all = |bits: u64| (bits as u128 * all as u128 / those.max(1) as u128) as u64;
    let most = (most as u128 * those as u128 / all as u128) as u64;
    let symbols = &symbols[middle.start * GROUP..symbols.len().min(middle.end * GROUP)];
    let (_, bits) = Model::choose(symbols, &counts, spec, element.kind, lengths, most, classes)?;
    Some(of_all(bits))
}

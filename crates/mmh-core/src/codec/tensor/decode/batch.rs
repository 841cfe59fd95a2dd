//! Symbols of several groups at once.

use crate::codec::symbols::{Code, Codes, MOST_SIDE_BY_SIDE, SIDE_BY_SIDE, Table};
use crate::codec::tensor::params::{Mode, bad};
use crate::codec::tensor::{GROUP, Models};
use crate::error::Result;
use mmh_kernels::lanes::Frequencies;
use mmh_kernels::memory::Soon;
use mmh_kernels::modelled::{self, DecodeModel, Group};
use mmh_kernels::predicted::{self, Model, Work};
use mmh_kernels::rans::Decoder;

/// What decodes the symbols of several groups at once, with its tables.
pub(super) enum BatchDecoder<'a> {
    None,
    Lanes(&'a Codes<Frequencies>, Vec<<Frequencies as Code>::Decoder>),
    Exact(&'a Codes<Table>, Vec<<Table as Code>::Decoder>),
    Modelled(&'a DecodeModel),
    /// The first element stands in this column.
    Predicted(&'a Model, usize),
}

/// What symbols are decoded into and with.
pub(super) struct Into<'a, 'b> {
    /// Of each group of the batch.
    pub(super) symbols: Vec<&'a mut [u8]>,
    /// The same, where they have signs.
    pub(super) signs: Vec<&'a mut [u8]>,
    pub(super) work: &'b mut [Work; predicted::SIDE_BY_SIDE],
}

impl<'a> BatchDecoder<'a> {
    /// For symbols of this mode; what it has in `models` has been built.
    pub(super) fn of(symbols: &'a Mode, models: &'a Models) -> BatchDecoder<'a> {
        match symbols {
            Mode::Lanes(codes) => BatchDecoder::Lanes(codes, codes.decoders()),
            Mode::Exact(codes) => BatchDecoder::Exact(codes, codes.decoders()),
            Mode::Modelled(_) => BatchDecoder::Modelled(&models.modelled),
            Mode::Predicted(predictor) => BatchDecoder::Predicted(&models.predictor, predictor.phase),
            _ => BatchDecoder::None,
        }
    }

    /// Whether each group decodes by itself.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, BatchDecoder::None)
    }

    /// Whether there are signs beside the symbols.
    pub(super) fn has_signs(&self) -> bool {
        matches!(self, BatchDecoder::Predicted(..))
    }

    /// Groups of `n` elements that are decoded at once; all, where each decodes by itself. Where symbols are `all` that there is to the elements, or codes
    /// decode in registers, they are as many as have some; else fewer, whose symbols wait in a cache.
    pub(super) fn batches(&self, n: usize, all: bool) -> Vec<Vec<usize>> {
        match self {
            BatchDecoder::None => vec![(0..n.div_ceil(GROUP)).collect()],
            BatchDecoder::Lanes(codes, _) => codes.batches(n, MOST_SIDE_BY_SIDE),
            BatchDecoder::Exact(codes, tables) => {
                let most = all || tables.iter().all(Decoder::is_narrow);
                codes.batches(n, if most { MOST_SIDE_BY_SIDE } else { SIDE_BY_SIDE })
            }
            BatchDecoder::Modelled(_) | BatchDecoder::Predicted(..) => {
                let order: Vec<usize> = (0..n.div_ceil(GROUP)).collect();
                order.chunks(MOST_SIDE_BY_SIDE).map(<[usize]>::to_vec).collect()
            }
        }
    }

    pub(super) fn decode(
        &self,
        batch: &[usize],
        streams: &[&[u8]],
        into: Into<'_, '_>,
        soon: &mut Soon,
    ) -> Result<()> {
        let Into { symbols, signs, work } = into;
        match self {
            BatchDecoder::None => Ok(()),
            BatchDecoder::Lanes(codes, tables) => codes.decode(tables, batch, streams, symbols, soon),
            BatchDecoder::Exact(codes, tables) => codes.decode(tables, batch, streams, symbols, soon),
            BatchDecoder::Modelled(model) => {
                let each = batch.iter().zip(symbols);
                let mut groups: Vec<Group<'_>> =
                    each.map(|(g, out)| Group { first: g * GROUP, stream: streams[*g], out }).collect();
                modelled::decode_groups(model, &mut groups)
                    .ok_or_else(|| bad("a modelled plane does not decode"))
            }
            BatchDecoder::Predicted(model, phase) => {
                let group = |((g, symbols), signs): ((&usize, _), _)| {
                    let (first, stream) = (phase + g * GROUP, streams[*g]);
                    predicted::Group { first, stream, symbols, signs }
                };
                let mut groups: Vec<predicted::Group<'_>> =
                    batch.iter().zip(symbols).zip(signs).map(group).collect();
                predicted::decode_groups(model, &mut groups, work)
                    .ok_or_else(|| bad("a predicted plane does not decode"))
            }
        }
    }
}

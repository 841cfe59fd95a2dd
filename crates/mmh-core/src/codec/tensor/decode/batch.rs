//! Symbols of several groups at once.

use crate::codec::symbols::{Code, Codes, MOST_SIDE_BY_SIDE, SIDE_BY_SIDE, Table};
use crate::codec::tensor::GROUP;
use crate::codec::tensor::params::Mode;
use crate::error::Result;
use mmh_kernels::lanes::Frequencies;
use mmh_kernels::memory::Soon;
use mmh_kernels::rans::Decoder;

/// What decodes the symbols of several groups at once, with its tables.
pub(super) enum BatchDecoder<'a> {
    None,
    Lanes(&'a Codes<Frequencies>, Vec<<Frequencies as Code>::Decoder>),
    Exact(&'a Codes<Table>, Vec<<Table as Code>::Decoder>),
}

impl<'a> BatchDecoder<'a> {
    /// For symbols of this mode.
    pub(super) fn of(symbols: &'a Mode) -> BatchDecoder<'a> {
        match symbols {
            Mode::Lanes(codes) => BatchDecoder::Lanes(codes, codes.decoders()),
            Mode::Exact(codes) => BatchDecoder::Exact(codes, codes.decoders()),
            _ => BatchDecoder::None,
        }
    }

    /// Whether each group decodes by itself.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, BatchDecoder::None)
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
        }
    }

    pub(super) fn decode(
        &self,
        batch: &[usize],
        streams: &[&[u8]],
        symbols: Vec<&mut [u8]>,
        soon: &mut Soon,
    ) -> Result<()> {
        match self {
            BatchDecoder::None => Ok(()),
            BatchDecoder::Lanes(codes, tables) => codes.decode(tables, batch, streams, symbols, soon),
            BatchDecoder::Exact(codes, tables) => codes.decode(tables, batch, streams, symbols, soon),
        }
    }
}

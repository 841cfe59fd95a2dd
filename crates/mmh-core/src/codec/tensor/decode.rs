//! A payload to a block: the shortest way that there is for what it holds.
//!
//! * `payload`: what stands in it, read
//! * `batch`: symbols of several groups at once
//! * `groups`: elements out of symbols and planes of any kind
//! * `later`: short blocks that are decoded together

use super::params::Mode;
use super::{GROUP, Models, Scratch, lanes, lend};
use crate::codec::cursor::Cursor;
use crate::codec::symbols::{MOST_SIDE_BY_SIDE, SIDE_BY_SIDE};
use crate::error::Result;
use batch::{BatchDecoder, Into};
use later::PutOff;
use mmh_kernels::fields::{self, FieldSpec};
use mmh_kernels::memory::Soon;
use payload::{Payload, all_read};

mod batch;
mod groups;
mod later;
mod payload;

pub use later::Later;

/// Restores all of `out`.
pub fn decode(payload: &[u8], out: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    decode_or_put_off(payload, out, scratch, None)
}

/// The same, or puts it off where others could be decoded at the same time.
pub fn decode_or_put_off<'a>(
    payload: &'a [u8],
    out: &'a mut [u8],
    scratch: &mut Scratch,
    later: Option<&mut Later<'a>>,
) -> Result<()> {
    let payload = Payload::read(payload, out.len(), scratch)?;
    let spec = payload.params.spec;
    let (head, body_end) = (payload.head.len(), out.len() - payload.tail.len());
    out[..head].copy_from_slice(payload.head);
    out[body_end..].copy_from_slice(payload.tail);
    if let Mode::Lanes(codes) = &payload.symbols {
        let Payload { streams, groups, codeless, .. } = &payload;
        if payload.is_straight() {
            let body = &mut out[head..body_end];
            lanes::decode_bf16(codes, streams, groups, body, scratch)?;
            lanes::patch_bf16(codeless, body);
            return Ok(());
        }
        if let Some(planes) = payload.nibbles()? {
            let body = &mut out[head..body_end];
            let symbols = lend(&mut scratch.batch_symbols, SIDE_BY_SIDE * GROUP);
            lanes::decode_nibbles(codes, &spec, streams, &planes, codeless, body, symbols)?;
            patch(&spec, &payload.exceptions, body);
            return Ok(());
        }
    }
    let models = std::mem::take(&mut scratch.models);
    let restored = restore(payload, out, &models, scratch, later);
    scratch.models = models;
    restored
}

/// The same with what decodes symbols of several groups at once, if there is something; the model of the payload, if it has one, is in
/// `models`.
fn restore<'a>(
    payload: Payload<'a>,
    out: &'a mut [u8],
    models: &Models,
    scratch: &mut Scratch,
    later: Option<&mut Later<'a>>,
) -> Result<()> {
    let decoder = BatchDecoder::of(&payload.symbols, models);
    let spec = payload.params.spec;
    let (head, body_end) = (payload.head.len(), out.len() - payload.tail.len());
    if spec != BYTES || decoder.is_none() || decoder.has_signs() {
        return groups::restore(&payload, &decoder, out, scratch);
    }
    let body = &mut out[head..body_end];
    payload.groups.iter().enumerate().try_for_each(|(g, group)| all_read(g, &Cursor(group)))?;
    let few = payload.groups.len() < MOST_SIDE_BY_SIDE;
    match (later, decoder) {
        (Some(later), BatchDecoder::Exact(codes, tables)) if few && codes.only().is_some() => {
            let Payload { streams, codeless, .. } = payload;
            later.blocks.push(PutOff { tables, streams, codeless, body });
            Ok(())
        }
        (_, decoder) => bytes(&decoder, &payload, body, scratch),
    }
}

/// Bytes that are symbols.
const BYTES: FieldSpec = FieldSpec { width: 0, sign_moved: false, zigzag: false, t: 8, drop: 0, base: 0 };

/// Decodes elements that are no more than their symbols: right to where they belong.
fn bytes(
    decoder: &BatchDecoder<'_>,
    payload: &Payload<'_>,
    body: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let mut bodies: Vec<Option<&mut [u8]>> = body.chunks_mut(GROUP).map(Some).collect();
    for batch in decoder.batches(payload.n, true) {
        let symbols = batch.iter().filter_map(|g| bodies[*g].take()).collect();
        let into = Into { symbols, signs: Vec::new(), work: &mut scratch.predicted };
        decoder.decode(&batch, &payload.streams, into, &mut Soon::default())?;
    }
    payload.codeless.iter().for_each(|&(at, symbol)| body[at as usize] = symbol);
    Ok(())
}

/// Puts the exceptions into their elements.
fn patch(spec: &FieldSpec, exceptions: &[(usize, u16)], body: &mut [u8]) {
    let size = spec.size();
    for &(at, field) in exceptions {
        fields::patch(spec, &mut body[at * size..(at + 1) * size], field);
    }
}

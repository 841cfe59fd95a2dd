//! Short blocks that are decoded together.

use crate::codec::symbols::{Code, Part, Table};
use crate::codec::tensor::GROUP;
use crate::codec::tensor::params::bad;
use crate::error::Result;
use mmh_kernels::memory::Soon;

/// Bytes that are symbols of exact codes, in fewer groups than are decoded side by side: those of several blocks together are more.
#[derive(Default)]
pub struct Later<'a> {
    pub(super) blocks: Vec<PutOff<'a>>,
}

/// One of the blocks.
pub(super) struct PutOff<'a> {
    /// Of its only code.
    pub(super) tables: Vec<<Table as Code>::Decoder>,
    pub(super) streams: Vec<&'a [u8]>,
    pub(super) codeless: Vec<(u32, u8)>,
    pub(super) body: &'a mut [u8],
}

impl Later<'_> {
    /// Decodes all of them.
    pub fn finish(mut self) -> Result<()> {
        let mut parts = Vec::new();
        for PutOff { tables, streams, body, .. } in &mut self.blocks {
            let each = streams.iter().zip(body.chunks_mut(GROUP));
            let tables = tables.iter().cycle();
            parts.extend(each.zip(tables).map(|((stream, out), table)| Part { table, stream, out }));
        }
        // Groups of one size are decoded side by side.
        parts.sort_by_key(|part: &Part<'_, Table>| std::cmp::Reverse(part.out.len()));
        Table::decode(parts, &mut Soon::default()).ok_or_else(|| bad("a stream does not decode"))?;
        for PutOff { codeless, body, .. } in &mut self.blocks {
            codeless.iter().for_each(|&(at, symbol)| body[at as usize] = symbol);
        }
        Ok(())
    }
}

//! safetensors: <https://huggingface.co/docs/safetensors/index#format>.

use super::{About, Row, tensors};
use crate::error::{Error, Result};
use crate::generate::sink::Sink;
use serde_json::{Map, Value, json};

pub fn write(rows: &[Row], about: &About<'_>, sink: &mut dyn Sink) -> Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({"format": "pt", "made_by": about.made_by}));
    let mut start = 0;
    for row in rows {
        let end = start + row.len;
        let entry = json!({"dtype": row.dtype.name(), "shape": row.shape, "data_offsets": [start, end]});
        header.insert(row.name.clone(), entry);
        start = end;
    }
    let text = serde_json::to_vec(&Value::Object(header)).map_err(|e| Error::Invalid(e.to_string()))?;
    // Elements begin at a multiple of eight.
    let len = text.len().next_multiple_of(8);
    let mut bytes = (len as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    bytes.resize(8 + len, b' ');
    sink.bytes(bytes)?;
    tensors(rows, sink)
}

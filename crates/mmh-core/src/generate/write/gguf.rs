//! GGUF 3: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use super::{About, Row};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::generate::sink::Sink;

const ALIGNMENT: u64 = 32;

/// The numbers of types of values and of tensors.
const U32: u32 = 4;
const STRING: u32 = 8;

fn kind(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::F16 => 1,
        Dtype::Q4_0 => 2,
        Dtype::Q8_0 => 8,
        Dtype::I64 => 27,
        Dtype::BF16 => 30,
        _ => 0,
    }
}

#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn string(&mut self, text: &str) {
        self.0.extend((text.len() as u64).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn text(&mut self, key: &str, value: &str) {
        self.string(key);
        self.0.extend(STRING.to_le_bytes());
        self.string(value);
    }

    fn number(&mut self, key: &str, value: u64) {
        self.string(key);
        self.0.extend(U32.to_le_bytes());
        self.0.extend((value as u32).to_le_bytes());
    }
}

pub fn write(rows: &[Row], about: &About<'_>, sink: &mut dyn Sink) -> Result<()> {
    let family = if about.family == "moe" { "llama" } else { about.family };
    let mut t = Text::default();
    t.0.extend(b"GGUF\x03\x00\x00\x00");
    t.0.extend((rows.len() as u64).to_le_bytes());
    t.0.extend(6u64.to_le_bytes());
    t.text("general.architecture", family);
    t.text("general.name", &about.made_by);
    t.number("general.alignment", ALIGNMENT);
    t.number(&format!("{family}.block_count"), about.dims.layers);
    t.number(&format!("{family}.embedding_length"), about.dims.width);
    t.number(&format!("{family}.context_length"), 2048);
    let mut start = 0u64;
    for row in rows {
        t.string(&name(&row.name, about.family));
        t.0.extend((row.shape.len() as u32).to_le_bytes());
        // The fastest axis comes first.
        row.shape.iter().rev().for_each(|n| t.0.extend(n.to_le_bytes()));
        t.0.extend(kind(row.dtype).to_le_bytes());
        t.0.extend(start.to_le_bytes());
        start = (start + row.len).next_multiple_of(ALIGNMENT);
    }
    t.0.resize(t.0.len().next_multiple_of(ALIGNMENT as usize), 0);
    sink.bytes(t.0)?;
    for (i, row) in rows.iter().enumerate() {
        sink.tensor(i, row.len)?;
        let padding = row.len.next_multiple_of(ALIGNMENT) - row.len;
        if padding > 0 {
            sink.bytes(vec![0; padding as usize])?;
        }
    }
    Ok(())
}

/// What llama.cpp calls the tensors of models that it knows.
const NAMES: &[(&str, &str)] = &[
    ("model.embed_tokens.", "token_embd."),
    ("model.norm.", "output_norm."),
    ("lm_head.", "output."),
    ("model.layers.", "blk."),
    ("input_layernorm.", "attn_norm."),
    ("post_attention_layernorm.", "ffn_norm."),
    ("self_attn.q_proj.", "attn_q."),
    ("self_attn.k_proj.", "attn_k."),
    ("self_attn.v_proj.", "attn_v."),
    ("self_attn.o_proj.", "attn_output."),
    ("mlp.gate_proj.", "ffn_gate."),
    ("mlp.up_proj.", "ffn_up."),
    ("mlp.down_proj.", "ffn_down."),
    ("block_sparse_moe.gate.", "ffn_gate_inp."),
    ("block_sparse_moe.experts.", "experts."),
    ("transformer.wte.", "token_embd."),
    ("transformer.wpe.", "position_embd."),
    ("transformer.ln_f.", "output_norm."),
    ("transformer.h.", "blk."),
    ("ln_1.", "attn_norm."),
    ("attn.c_attn.", "attn_qkv."),
    ("attn.c_proj.", "attn_output."),
    ("ln_2.", "ffn_norm."),
    ("mlp.c_fc.", "ffn_up."),
    ("mlp.c_proj.", "ffn_down."),
    ("embeddings.word_embeddings.", "token_embd."),
    ("embeddings.position_embeddings.", "position_embd."),
    ("embeddings.token_type_embeddings.", "token_types."),
    ("embeddings.LayerNorm.", "token_embd_norm."),
    ("encoder.layer.", "blk."),
    ("attention.self.query.", "attn_q."),
    ("attention.self.key.", "attn_k."),
    ("attention.self.value.", "attn_v."),
    ("attention.output.dense.", "attn_output."),
    ("attention.output.LayerNorm.", "attn_output_norm."),
    ("intermediate.dense.", "ffn_up."),
    ("output.dense.", "ffn_down."),
    ("output.LayerNorm.", "layer_output_norm."),
];

fn name(name: &str, family: &str) -> String {
    if !matches!(family, "llama" | "moe" | "gpt2" | "bert") {
        return name.to_owned();
    }
    NAMES.iter().fold(name.to_owned(), |name, (from, to)| match name.find(from) {
        // At its beginning, or behind a point: "output.dense." is no part of another word.
        Some(at) if at == 0 || name.as_bytes()[at - 1] == b'.' => name.replacen(from, to, 1),
        _ => name,
    })
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_are_llama_cpps() {
        assert_eq!(name("model.layers.3.self_attn.q_proj.weight", "llama"), "blk.3.attn_q.weight");
        assert_eq!(name("model.layers.3.mlp.down_proj.weight", "llama"), "blk.3.ffn_down.weight");
        assert_eq!(name("lm_head.weight", "llama"), "output.weight");
        assert_eq!(name("transformer.h.0.attn.c_attn.bias", "gpt2"), "blk.0.attn_qkv.bias");
        assert_eq!(name("encoder.layer.1.attention.output.dense.weight", "bert"), "blk.1.attn_output.weight");
        assert_eq!(name("encoder.layer.1.output.dense.weight", "bert"), "blk.1.ffn_down.weight");
        assert_eq!(name("fc.weight", "resnet"), "fc.weight");
    }
}

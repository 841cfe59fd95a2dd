//! Transformers for text.

use super::family::{Dims, Spec, Tensors};
use super::role::Role;

/// A multiple of 32, of 64 in large models, that is close.
fn rounded(width: f64) -> u64 {
    let step = if width >= 1024.0 { 256.0 } else { 32.0 };
    ((width / step + 0.5) as u64).max(1) * step as u64
}

/// Width of keys and values: with grouped queries, a part of that of the queries.
fn keys(width: u64) -> u64 {
    // Models of 4096 and less that are as old as the name have as many keys as queries.
    let heads = (width / 64).max(1);
    if heads < 4 || width <= 4096 {
        return width;
    }
    let groups = (1..=heads / 4).rev().find(|g| heads.is_multiple_of(*g)).unwrap_or(1);
    width / heads * groups
}

fn attention(t: &mut Tensors, layer: &str, width: u64) {
    let kv = keys(width);
    for (name, out) in [("q_proj", width), ("k_proj", kv), ("v_proj", kv)] {
        let role = if name == "v_proj" { Role::Linear } else { Role::Attention };
        t.add(format!("{layer}.self_attn.{name}.weight"), &[out, width], role);
    }
    t.add(format!("{layer}.self_attn.o_proj.weight"), &[width, width], Role::Output);
}

/// `LlamaForCausalLM`.
pub fn llama(d: &Dims) -> Vec<Spec> {
    let mut t = Tensors::default();
    let inner = rounded(d.width as f64 * 8.0 / 3.0);
    t.add("model.embed_tokens.weight", &[d.rows, d.width], Role::Embedding);
    for i in 0..d.layers {
        let layer = format!("model.layers.{i}");
        t.add(format!("{layer}.input_layernorm.weight"), &[d.width], Role::RmsNorm);
        attention(&mut t, &layer, d.width);
        t.add(format!("{layer}.post_attention_layernorm.weight"), &[d.width], Role::RmsNorm);
        t.add(format!("{layer}.mlp.gate_proj.weight"), &[inner, d.width], Role::Linear);
        t.add(format!("{layer}.mlp.up_proj.weight"), &[inner, d.width], Role::Linear);
        t.add(format!("{layer}.mlp.down_proj.weight"), &[d.width, inner], Role::Output);
    }
    t.add("model.norm.weight", &[d.width], Role::RmsNorm);
    t.add("lm_head.weight", &[d.rows, d.width], Role::Linear);
    t.done()
}

/// `MixtralForCausalLM`, with eight experts.
pub fn moe(d: &Dims) -> Vec<Spec> {
    let mut t = Tensors::default();
    let inner = rounded(d.width as f64 * 3.5);
    t.add("model.embed_tokens.weight", &[d.rows, d.width], Role::Embedding);
    for i in 0..d.layers {
        let layer = format!("model.layers.{i}");
        t.add(format!("{layer}.input_layernorm.weight"), &[d.width], Role::RmsNorm);
        attention(&mut t, &layer, d.width);
        t.add(format!("{layer}.post_attention_layernorm.weight"), &[d.width], Role::RmsNorm);
        t.add(format!("{layer}.block_sparse_moe.gate.weight"), &[8, d.width], Role::Linear);
        for expert in 0..8 {
            let expert = format!("{layer}.block_sparse_moe.experts.{expert}");
            t.add(format!("{expert}.w1.weight"), &[inner, d.width], Role::Linear);
            t.add(format!("{expert}.w2.weight"), &[d.width, inner], Role::Output);
            t.add(format!("{expert}.w3.weight"), &[inner, d.width], Role::Linear);
        }
    }
    t.add("model.norm.weight", &[d.width], Role::RmsNorm);
    t.add("lm_head.weight", &[d.rows, d.width], Role::Linear);
    t.done()
}

/// `GPT2LMHeadModel`; its `Conv1D` has inputs along the first axis.
pub fn gpt2(d: &Dims) -> Vec<Spec> {
    let (mut t, w) = (Tensors::default(), d.width);
    let linear = |t: &mut Tensors, name: String, into: u64, out: u64, role: Role| {
        t.add(format!("{name}.weight"), &[into, out], role);
        t.add(format!("{name}.bias"), &[out], Role::Bias);
    };
    t.add("transformer.wte.weight", &[d.rows, w], Role::Embedding);
    t.add("transformer.wpe.weight", &[if w < 256 { w } else { 1024 }, w], Role::Position);
    for i in 0..d.layers {
        let layer = format!("transformer.h.{i}");
        t.norm(&format!("{layer}.ln_1"), w);
        linear(&mut t, format!("{layer}.attn.c_attn"), w, 3 * w, Role::Linear);
        linear(&mut t, format!("{layer}.attn.c_proj"), w, w, Role::Output);
        t.norm(&format!("{layer}.ln_2"), w);
        linear(&mut t, format!("{layer}.mlp.c_fc"), w, 4 * w, Role::Linear);
        linear(&mut t, format!("{layer}.mlp.c_proj"), 4 * w, w, Role::Output);
    }
    t.norm("transformer.ln_f", w);
    t.tie("lm_head.weight", &[d.rows, w], Role::Embedding, "transformer.wte.weight");
    t.done()
}

/// `BertModel`.
pub fn bert(d: &Dims) -> Vec<Spec> {
    let (mut t, w) = (Tensors::default(), d.width);
    let positions = if w < 256 { w } else { 512 };
    t.add("embeddings.position_ids", &[1, positions], Role::Count);
    t.add("embeddings.word_embeddings.weight", &[d.rows, w], Role::Embedding);
    t.add("embeddings.position_embeddings.weight", &[positions, w], Role::Position);
    t.add("embeddings.token_type_embeddings.weight", &[2, w], Role::Position);
    t.norm("embeddings.LayerNorm", w);
    for i in 0..d.layers {
        let layer = format!("encoder.layer.{i}");
        t.linear(&format!("{layer}.attention.self.query"), w, w, Role::Attention);
        t.linear(&format!("{layer}.attention.self.key"), w, w, Role::Attention);
        t.linear(&format!("{layer}.attention.self.value"), w, w, Role::Linear);
        t.linear(&format!("{layer}.attention.output.dense"), w, w, Role::Output);
        t.norm(&format!("{layer}.attention.output.LayerNorm"), w);
        t.linear(&format!("{layer}.intermediate.dense"), 4 * w, w, Role::Linear);
        t.linear(&format!("{layer}.output.dense"), w, 4 * w, Role::Output);
        t.norm(&format!("{layer}.output.LayerNorm"), w);
    }
    // Never trained where sentences are averaged: as it was made, in fp16, with a bias of zeros.
    t.add("pooler.dense.weight", &[w, w], Role::Untrained);
    t.add("pooler.dense.bias", &[w], Role::Zero);
    t.done()
}

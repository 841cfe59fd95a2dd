//! Models of images.

use super::family::{Dims, Spec, Tensors};
use super::role::Role;

/// `ViTForImageClassification`, patches of 16 × 16.
pub fn vit(d: &Dims) -> Vec<Spec> {
    let (mut t, w) = (Tensors::default(), d.width);
    let patches = if w < 192 { 17 } else { 197 };
    let patch = if w < 192 { 4 } else { 16 };
    t.add("vit.embeddings.cls_token", &[1, 1, w], Role::Position);
    t.add("vit.embeddings.position_embeddings", &[1, patches, w], Role::Position);
    t.add("vit.embeddings.patch_embeddings.projection.weight", &[w, 3, patch, patch], Role::Conv);
    t.add("vit.embeddings.patch_embeddings.projection.bias", &[w], Role::Bias);
    for i in 0..d.layers {
        let layer = format!("vit.encoder.layer.{i}");
        t.norm(&format!("{layer}.layernorm_before"), w);
        t.linear(&format!("{layer}.attention.attention.query"), w, w, Role::Attention);
        t.linear(&format!("{layer}.attention.attention.key"), w, w, Role::Attention);
        t.linear(&format!("{layer}.attention.attention.value"), w, w, Role::Linear);
        t.linear(&format!("{layer}.attention.output.dense"), w, w, Role::Output);
        t.norm(&format!("{layer}.layernorm_after"), w);
        t.linear(&format!("{layer}.intermediate.dense"), 4 * w, w, Role::Linear);
        t.linear(&format!("{layer}.output.dense"), w, 4 * w, Role::Output);
    }
    t.norm("vit.layernorm", w);
    t.linear("classifier", d.rows, w, Role::Linear);
    t.done()
}

fn conv(t: &mut Tensors, name: &str, out: u64, into: u64, kernel: u64) {
    t.add(format!("{name}.weight"), &[out, into, kernel, kernel], Role::Conv);
    t.add(format!("{name}.bias"), &[out], Role::Bias);
}

/// A block of convolutions that is told the time.
fn residual(t: &mut Tensors, name: &str, into: u64, out: u64, time: u64) {
    t.norm(&format!("{name}.norm1"), into);
    conv(t, &format!("{name}.conv1"), out, into, 3);
    t.linear(&format!("{name}.time_emb_proj"), out, time, Role::Linear);
    t.norm(&format!("{name}.norm2"), out);
    conv(t, &format!("{name}.conv2"), out, out, 3);
    if into != out {
        conv(t, &format!("{name}.conv_shortcut"), out, into, 1);
    }
}

/// A transformer block that looks at the text.
fn attended(t: &mut Tensors, name: &str, w: u64, text: u64) {
    t.norm(&format!("{name}.norm"), w);
    conv(t, &format!("{name}.proj_in"), w, w, 1);
    let block = format!("{name}.transformer_blocks.0");
    for (attention, from) in [("attn1", w), ("attn2", text)] {
        t.add(format!("{block}.{attention}.to_q.weight"), &[w, w], Role::Attention);
        t.add(format!("{block}.{attention}.to_k.weight"), &[w, from], Role::Attention);
        t.add(format!("{block}.{attention}.to_v.weight"), &[w, from], Role::Linear);
        t.linear(&format!("{block}.{attention}.to_out.0"), w, w, Role::Output);
    }
    t.linear(&format!("{block}.ff.net.0.proj"), 8 * w, w, Role::Linear);
    t.linear(&format!("{block}.ff.net.2"), w, 4 * w, Role::Output);
    for norm in ["norm1", "norm2", "norm3"] {
        t.norm(&format!("{block}.{norm}"), w);
    }
    conv(t, &format!("{name}.proj_out"), w, w, 1);
}

/// `UNet2DConditionModel`: four stages down, one in the middle, four up.
pub fn unet(d: &Dims) -> Vec<Spec> {
    let (mut t, w, text) = (Tensors::default(), d.width, d.rows);
    let (stages, time) = ([w, 2 * w, 4 * w, 4 * w], 4 * w);
    conv(&mut t, "conv_in", w, 4, 3);
    t.linear("time_embedding.linear_1", time, w, Role::Linear);
    t.linear("time_embedding.linear_2", time, time, Role::Linear);
    let mut skips = vec![w];
    let mut at = w;
    for (i, &out) in stages.iter().enumerate() {
        let block = format!("down_blocks.{i}");
        for j in 0..d.layers {
            residual(&mut t, &format!("{block}.resnets.{j}"), at, out, time);
            if i < 3 {
                attended(&mut t, &format!("{block}.attentions.{j}"), out, text);
            }
            at = out;
            skips.push(at);
        }
        if i < 3 {
            conv(&mut t, &format!("{block}.downsamplers.0.conv"), at, at, 3);
            skips.push(at);
        }
    }
    residual(&mut t, "mid_block.resnets.0", at, at, time);
    attended(&mut t, "mid_block.attentions.0", at, text);
    residual(&mut t, "mid_block.resnets.1", at, at, time);
    for (i, &out) in stages.iter().rev().enumerate() {
        let block = format!("up_blocks.{i}");
        for j in 0..=d.layers {
            let skip = skips.pop().unwrap_or(out);
            residual(&mut t, &format!("{block}.resnets.{j}"), at + skip, out, time);
            if i > 0 {
                attended(&mut t, &format!("{block}.attentions.{j}"), out, text);
            }
            at = out;
        }
        if i < 3 {
            conv(&mut t, &format!("{block}.upsamplers.0.conv"), at, at, 3);
        }
    }
    t.norm("conv_norm_out", w);
    conv(&mut t, "conv_out", 4, w, 3);
    t.done()
}

fn batch_norm(t: &mut Tensors, name: &str, width: u64) {
    t.norm(name, width);
    t.add(format!("{name}.running_mean"), &[width], Role::Bias);
    t.add(format!("{name}.running_var"), &[width], Role::Variance);
    t.add(format!("{name}.num_batches_tracked"), &[], Role::Count);
}

/// A ResNet of bottlenecks, with `layers` of them in the third stage: 6 for ResNet-50, 23 for ResNet-101.
pub fn resnet(d: &Dims) -> Vec<Spec> {
    let (mut t, w) = (Tensors::default(), d.width);
    t.add("conv1.weight", &[w, 3, 7, 7], Role::Conv);
    batch_norm(&mut t, "bn1", w);
    let blocks = [3.min(d.layers), 4.min(d.layers), d.layers, 3.min(d.layers)];
    let mut at = w;
    for (stage, &count) in blocks.iter().enumerate() {
        let inner = w << stage;
        for i in 0..count {
            let block = format!("layer{}.{i}", stage + 1);
            for (j, (out, into, kernel)) in
                [(inner, at, 1), (inner, inner, 3), (4 * inner, inner, 1)].iter().enumerate()
            {
                let n = j + 1;
                t.add(format!("{block}.conv{n}.weight"), &[*out, *into, *kernel, *kernel], Role::Conv);
                batch_norm(&mut t, &format!("{block}.bn{n}"), *out);
            }
            if i == 0 {
                t.add(format!("{block}.downsample.0.weight"), &[4 * inner, at, 1, 1], Role::Conv);
                batch_norm(&mut t, &format!("{block}.downsample.1"), 4 * inner);
            }
            at = 4 * inner;
        }
    }
    t.linear("fc", d.rows, at, Role::Linear);
    t.done()
}

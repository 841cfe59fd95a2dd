//! Kinds of models: the names and shapes that their files have.

use super::role::Role;
use super::transformer;
use super::vision;

/// The sizes that a model is built by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// Width of the residual stream, or channels of the first stage.
    pub width: u64,
    /// Layers, or blocks of a stage.
    pub layers: u64,
    /// Rows of the tensor that can have any number of them: the vocabulary, the classes, the width of a text encoder.
    pub rows: u64,
}

/// A tensor to be made.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name in the file.
    pub name: String,
    /// Elements along each axis, as PyTorch has them.
    pub shape: Vec<u64>,
    /// What it is in the model.
    pub role: Role,
    /// The tensor of that name has the same elements.
    pub tied: Option<String>,
}

impl Spec {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Elements that belong to one output: all but the first axis.
    pub fn columns(&self) -> u64 {
        if self.shape.len() < 2 { self.elements() } else { self.shape[1..].iter().product() }
    }
}

/// Tensors in the order of the file.
#[derive(Default)]
pub struct Tensors(Vec<Spec>);

impl Tensors {
    /// One more.
    pub fn add(&mut self, name: impl Into<String>, shape: &[u64], role: Role) {
        self.0.push(Spec { name: name.into(), shape: shape.to_vec(), role, tied: None });
    }

    /// One more with the elements of an earlier one.
    pub fn tie(&mut self, name: &str, shape: &[u64], role: Role, to: &str) {
        self.0.push(Spec { name: name.into(), shape: shape.to_vec(), role, tied: Some(to.into()) });
    }

    /// A matrix and its bias: NAME.weight, NAME.bias.
    pub fn linear(&mut self, name: &str, out: u64, into: u64, role: Role) {
        self.add(format!("{name}.weight"), &[out, into], role);
        self.add(format!("{name}.bias"), &[out], Role::Bias);
    }

    /// Gain and bias of a normalization.
    pub fn norm(&mut self, name: &str, width: u64) {
        self.add(format!("{name}.weight"), &[width], Role::Norm);
        self.add(format!("{name}.bias"), &[width], Role::NormBias);
    }

    /// All of them.
    pub fn done(self) -> Vec<Spec> {
        self.0
    }
}

/// A kind of models.
pub struct Family {
    /// As in `--like`.
    pub name: &'static str,
    /// In a few words.
    pub about: &'static str,
    /// The least width, and from what width on it is a multiple of 64; below, of the least.
    pub widths: (u64, u64),
    /// Widths per layer that are usual.
    pub aspect: (u64, u64),
    /// Layers at most.
    pub max_layers: u64,
    /// What `rows` usually is, for a width.
    pub rows: fn(u64) -> u64,
    /// What `rows` counts.
    pub rows_name: &'static str,
    /// The largest share of all elements that the rows should take.
    pub rows_share: f64,
    /// Its tensors.
    pub build: fn(&Dims) -> Vec<Spec>,
}

/// The kinds there are.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "llama",
        about: "decoder of text: grouped queries, gated feed-forward, RMS norms",
        widths: (8, 256),
        aspect: (20, 160),
        max_layers: 128,
        rows: |_| 32_000,
        rows_name: "vocabulary",
        rows_share: 0.3,
        build: transformer::llama,
    },
    Family {
        name: "moe",
        about: "the same with eight experts in each layer (Mixtral)",
        widths: (8, 256),
        aspect: (20, 160),
        max_layers: 96,
        rows: |_| 32_000,
        rows_name: "vocabulary",
        rows_share: 0.3,
        build: transformer::moe,
    },
    Family {
        name: "gpt2",
        about: "decoder of text with learned positions and tied embeddings",
        widths: (8, 256),
        aspect: (20, 128),
        max_layers: 96,
        rows: |_| 50_257,
        rows_name: "vocabulary",
        rows_share: 0.4,
        build: transformer::gpt2,
    },
    Family {
        name: "bert",
        about: "encoder of text (MiniLM)",
        widths: (8, 256),
        aspect: (24, 128),
        max_layers: 96,
        rows: |_| 30_522,
        rows_name: "vocabulary",
        rows_share: 0.55,
        build: transformer::bert,
    },
    Family {
        name: "vit",
        about: "encoder of images in patches",
        widths: (8, 192),
        aspect: (16, 64),
        max_layers: 128,
        rows: |_| 1000,
        rows_name: "classes",
        rows_share: 0.2,
        build: vision::vit,
    },
    Family {
        name: "unet",
        about: "diffusion of images (Stable Diffusion)",
        widths: (2, 128),
        aspect: (1, 160),
        max_layers: 3,
        rows: |width| 768 * width / 320,
        rows_name: "text_width",
        rows_share: 0.3,
        build: vision::unet,
    },
    Family {
        name: "resnet",
        about: "convolutions with batch norms",
        widths: (4, 128),
        aspect: (2, 21),
        max_layers: 36,
        rows: |_| 1000,
        rows_name: "classes",
        rows_share: 0.2,
        build: vision::resnet,
    },
];

/// The kind of that name.
pub fn by_name(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|f| f.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_ties_lead_somewhere() {
        for family in FAMILIES {
            for dims in [
                Dims { width: 8, layers: 1, rows: 3 },
                Dims { width: 64, layers: 3, rows: 100 },
                Dims { width: 768, layers: 12, rows: 30_000 },
            ] {
                let specs = (family.build)(&dims);
                let mut names = HashSet::new();
                for s in &specs {
                    assert!(names.insert(s.name.clone()), "{} has {} twice", family.name, s.name);
                    assert!(s.elements() > 0, "{} is empty", s.name);
                    let tied = s.tied.as_ref().map(|t| specs.iter().find(|o| o.name == *t));
                    assert!(tied.is_none_or(|o| o.is_some_and(|o| o.shape == s.shape)), "{}", s.name);
                }
            }
        }
    }

    #[test]
    fn known_models_have_their_number_of_parameters() {
        let count = |name: &str, width, layers, rows| -> u64 {
            let specs = (by_name(name).unwrap().build)(&Dims { width, layers, rows });
            specs.iter().filter(|s| s.tied.is_none() && s.role != Role::Count).map(Spec::elements).sum()
        };
        // Llama 2 7B, GPT-2, MiniLM-L6, ViT-B/16, ResNet-50 with the statistics of its batch norms.
        assert_eq!(count("llama", 4096, 32, 32_000), 6_738_415_616);
        assert_eq!(count("gpt2", 768, 12, 50_257), 124_439_808);
        assert_eq!(count("bert", 384, 6, 30_522), 22_713_216);
        assert_eq!(count("vit", 768, 12, 1000), 86_567_656);
        assert_eq!(count("resnet", 64, 6, 1000), 25_557_032 + 53_120);
    }
}

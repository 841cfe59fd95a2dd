//! What tensors are in a model, and how their elements are spread: by tensor, row and column, around zero or one.
//!
//! The numbers are those of MiniLM (transformers) and Merlin (convolutions); `benches/generated.py` holds what comes out against them.

use super::random::Stream;
use super::table::{Table, exp};

/// What a tensor is in its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A matrix.
    Linear,
    /// Queries and keys.
    Attention,
    /// The matrix that writes to the residual stream.
    Output,
    /// A vector for each token; that of the padding is zero.
    Embedding,
    /// A vector for each position.
    Position,
    /// Kernels.
    Conv,
    /// As it was made, and never trained.
    Untrained,
    /// Gains of a layer norm or a batch norm.
    Norm,
    /// Gains of an RMS norm.
    RmsNorm,
    /// What a norm adds.
    NormBias,
    /// What a layer adds.
    Bias,
    /// Variances of a batch norm.
    Variance,
    /// Zeros.
    Zero,
    /// 0, 1, 2 and so on, in 64 bits.
    Count,
}

impl Role {
    /// Whether it is a matrix (or kernels) as those are that get quantized.
    pub fn is_matrix(self) -> bool {
        use Role::*;
        matches!(self, Linear | Attention | Output | Embedding | Conv | Untrained)
    }
}

/// How the elements of a tensor are spread.
#[derive(Clone, Debug)]
pub enum Spread {
    /// mean + scale · row · column · sample.
    Bell {
        /// Around what.
        mean: f32,
        /// The typical scale.
        scale: f32,
        /// Spread of the rows' scales, as a power of e.
        rows: f64,
        /// Which table the samples are from.
        table: usize,
        /// The scale of each column; none where it is 1.
        columns: Vec<f32>,
        /// Share of rows that have died: they are next to zero.
        dead: f64,
        /// Rows of zeros at the beginning and at the end.
        zeros: (u64, u64),
        /// Rows that were upcast.
        upcast: f64,
    },
    /// scale · e^(spread · sample).
    Positive {
        /// The median.
        scale: f64,
        /// The spread.
        spread: f64,
    },
    /// Zeros.
    Zero,
    /// 0, 1, 2 and so on.
    Count,
}

/// Spreads of the tables that there are; the first is a plain bell curve.
pub const TABLES: [f64; 3] = [0.0, 0.12, 0.22];

/// Positions of a tensor's stream for numbers about the tensor.
mod about {
    pub const SCALE: u64 = 0;
    pub const ROWS: u64 = 1;
    pub const COLUMNS: u64 = 2;
    pub const DEAD: u64 = 3;
    pub const UPCAST: u64 = 4;
}
/// The streams of columns and of places within a kernel.
const COLUMN: u64 = 1 << 40;
const TAP: u64 = 1 << 41;

struct Bell {
    scale: f64,
    vary: f64,
    rows: (f64, f64),
    columns: (f64, f64),
    table: usize,
}

/// How the elements of this tensor are spread.
pub fn spread(role: Role, shape: &[u64], stream: Stream, normal: &Table) -> Spread {
    let fan = shape.iter().skip(1).product::<u64>().max(1) as f64;
    let unit = 1.0 / fan.sqrt();
    let bell = match role {
        Role::Zero => return Spread::Zero,
        Role::Count => return Spread::Count,
        Role::Variance => return Spread::Positive { scale: 0.02, spread: 0.9 },
        Role::Norm => {
            return vector(
                0.62 + 0.1 * normal.draw(stream, about::SCALE),
                stream.between(about::ROWS, 0.05, 0.13),
            );
        }
        Role::RmsNorm => {
            let gain = 0.45 * exp(0.35 * normal.draw(stream, about::SCALE));
            return vector(gain, 0.12 * gain);
        }
        Role::NormBias => return vector(0.0, stream.between(about::SCALE, 0.02, 0.15)),
        Role::Bias => return vector(0.0, stream.between(about::SCALE, 0.01, 0.2)),
        Role::Linear => {
            Bell { scale: 1.1 * unit, vary: 0.15, rows: (0.08, 0.26), columns: (0.08, 0.24), table: 1 }
        }
        Role::Attention => {
            Bell { scale: 1.5 * unit, vary: 0.1, rows: (0.08, 0.2), columns: (0.07, 0.14), table: 0 }
        }
        Role::Output => Bell { scale: unit, vary: 0.15, rows: (0.1, 0.3), columns: (0.11, 0.18), table: 2 },
        Role::Embedding => {
            Bell { scale: 1.1 * unit, vary: 0.1, rows: (0.25, 0.32), columns: (0.05, 0.07), table: 0 }
        }
        Role::Position => {
            Bell { scale: 0.3 * unit, vary: 0.2, rows: (0.08, 0.14), columns: (0.2, 0.35), table: 0 }
        }
        Role::Conv => {
            Bell { scale: 0.4 * unit, vary: 0.25, rows: (0.08, 0.42), columns: (0.32, 0.1), table: 2 }
        }
        Role::Untrained => Bell { scale: 0.02, vary: 0.0, rows: (0.0, 0.0), columns: (0.0, 0.0), table: 0 },
    };
    let scale = bell.scale * exp(bell.vary * normal.draw(stream, about::SCALE));
    let convolved = role == Role::Conv;
    // Kernels whose outputs differ have inputs that do not.
    let columns =
        stream.between(if convolved { about::ROWS } else { about::COLUMNS }, bell.columns.0, bell.columns.1);
    Spread::Bell {
        mean: 0.0,
        scale: scale as f32,
        rows: stream.between(about::ROWS, bell.rows.0, bell.rows.1),
        table: bell.table,
        columns: if columns > 0.0 { self::columns(shape, columns, stream, normal) } else { Vec::new() },
        dead: if convolved { stream.unit(about::DEAD) * stream.unit(about::DEAD) * 0.06 } else { 0.0 },
        zeros: match role {
            // The padding, and tokens that the vocabulary was filled up with.
            Role::Embedding if shape[0] >= 64 => (1, shape[0] / 1000),
            _ => (0, 0),
        },
        upcast: match role {
            Role::Untrained => 1.0,
            Role::Position => 0.75,
            Role::Embedding => 0.04,
            _ if stream.unit(about::UPCAST) < 0.02 => 1.0,
            _ => 0.0,
        },
    }
}

fn vector(mean: f64, scale: f64) -> Spread {
    Spread::Bell {
        mean: mean as f32,
        scale: scale as f32,
        rows: 0.0,
        table: 1,
        columns: Vec::new(),
        dead: 0.0,
        zeros: (0, 0),
        upcast: 0.0,
    }
}

/// Of kernels, each input and each place has a scale; of others, each column.
fn columns(shape: &[u64], spread: f64, stream: Stream, normal: &Table) -> Vec<f32> {
    let (inputs, taps) = match shape {
        [_, inputs, taps @ ..] => (*inputs, taps.iter().product::<u64>()),
        _ => return Vec::new(),
    };
    let factor = |part: u64, i: u64, spread: f64| exp(spread * normal.draw(stream.part(part), i));
    let places: Vec<f64> = (0..taps).map(|i| if taps > 1 { factor(TAP, i, 0.2) } else { 1.0 }).collect();
    let mut all = Vec::with_capacity((inputs * taps) as usize);
    for i in 0..inputs {
        let input = factor(COLUMN, i, spread);
        all.extend(places.iter().map(|place| (input * place) as f32));
    }
    all
}

//! Elements of one dtype as those of another.

use crate::dtype::Dtype;
use mmh_kernels::conversions::{Conversion, Float};

/// The type of floats that others are converted from and to.
pub fn float_of(dtype: Dtype) -> Option<Float> {
    match dtype {
        Dtype::F16 => Some(Float::F16),
        Dtype::BF16 => Some(Float::Bf16),
        Dtype::F32 => Some(Float::F32),
        Dtype::F8_E4M3 => Some(Float::E4m3),
        Dtype::F8_E5M2 => Some(Float::E5m2),
        _ => None,
    }
}

/// All that elements of one dtype may have to go through to be such of another: nothing (`None`) where both are the same. Empty if there is no way.
pub fn between(from: Dtype, to: Dtype) -> Vec<Option<Conversion>> {
    if from == to {
        return vec![None];
    }
    let floats = float_of(from).zip(float_of(to));
    floats.into_iter().flat_map(|(from, to)| Conversion::between(from, to).map(Some)).collect()
}

/// Bytes of an element before and after.
pub fn sizes(conversion: Option<Conversion>) -> (usize, usize) {
    conversion.map_or((1, 1), |c| (c.types().0.size(), c.types().1.size()))
}

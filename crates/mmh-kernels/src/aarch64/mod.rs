//! Loops that the compiler does not find by itself. NEON is part of the target: nothing here needs a feature that is not there.
//!
//! * `lanes_neon`: the decoder of `lanes`
//! * `rans_neon`: the decoder of `rans`
//! * `predicted_neon`: sums of products for `predicted`

pub mod lanes_neon;
pub mod predicted_neon;
pub mod rans_neon;

//! What the targets share.

mod counted;
mod seal;

pub use counted::{Counted, peak_of};
pub use seal::sealed;

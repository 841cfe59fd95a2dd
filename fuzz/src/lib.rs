//! What the targets share.

mod chosen;
mod counted;
mod seal;

pub use chosen::{base_of, codec_of};
pub use counted::{Counted, peak_of};
pub use seal::sealed;

//! Parity: Reed–Solomon over the bytes of a `.mmh`, behind it (`spec/FORMAT.md`, section 6; `docs/design/0008-parity.md`).
//!
//! * `plan`: which shards there are, and the heads that say so
//! * `section`: the section, written
//! * `examine`: what is left of a protected file
//! * `mend`: the file, made whole
//! * `rescue`: what can be had of a body that cannot be made whole

mod examine;
mod mend;
mod plan;
mod rescue;
mod section;

pub use examine::{Examination, examine};
pub use mend::mend;
pub use plan::{HEAD, Kind, MAGIC, Plan, body_before};
pub use rescue::{Rescued, rescue};
pub use section::{Spool, hashed, write};

use crate::error::Result;
use crate::io::ReadAt;

/// Bytes of a file without its parity: all, where it has none.
pub fn body_len(input: &dyn ReadAt) -> Result<u64> {
    let len = input.len();
    let Some(at) = len.checked_sub(HEAD as u64) else { return Ok(len) };
    let mut trailer = [0; HEAD];
    input.read_exact_at(at, &mut trailer)?;
    body_before(&trailer, len)
}

/// The plan that a file is protected by, read from its end.
pub fn plan_of(input: &dyn ReadAt) -> Result<Option<Plan>> {
    let body = body_len(input)?;
    if body == input.len() {
        return Ok(None);
    }
    let mut trailer = [0; HEAD];
    input.read_exact_at(input.len() - HEAD as u64, &mut trailer)?;
    Ok(Plan::read(&trailer).map(|t| t.0))
}

#[cfg(test)]
mod tests;

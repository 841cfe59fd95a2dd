//! Checks that are right, so that what they protect is reached: no fuzzer finds a hash.

use mmh_core::container::{FOOTER, HEADER, index};

/// The bytes with the checks of header, index and footer made right, as far as there is room for them.
pub fn sealed(blob: &[u8]) -> Vec<u8> {
    let mut out = blob.to_vec();
    if out.len() < HEADER + FOOTER {
        return out;
    }
    let header = index::header(u16::from_le_bytes([out[10], out[11]]) & 7);
    out[..HEADER].copy_from_slice(&header);
    let end = out.len() - FOOTER;
    let claimed = u64::from_le_bytes(std::array::from_fn(|i| out[end + i]));
    let len = (claimed as usize).min(end - HEADER);
    let footer = index::footer(&header, &out[end - len..end], out.len() as u64);
    out[end..].copy_from_slice(&footer);
    out
}

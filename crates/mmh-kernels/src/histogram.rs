//! How often each value occurs.

use crate::generic;

multiversion! {
    /// Adds the counts of each byte value in `data` (less than 4 GiB of it) to `counts`.
    pub fn bytes(data: &[u8], counts: &mut [u32; 256]) = generic::histogram::bytes;
    on bytes_on
}

multiversion! {
    /// Adds the counts of each value in `data` to `counts`, whose length is a power of two; values are taken modulo it.
    pub fn fields(data: &[u16], counts: &mut [u32], scratch: &mut Vec<u32>) = generic::histogram::fields;
    on fields_on
}

multiversion! {
    /// Whether zero occurs, and the lowest and the highest byte that is not zero (255 and 0 if there is none).
    pub fn range(data: &[u8]) -> (bool, u8, u8) = generic::histogram::range;
    on range_on
}

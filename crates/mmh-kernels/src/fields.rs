//! The split of an element into a symbol and a rest, as `spec/codecs/tensor.md` section 1 defines it.

use crate::generic;

/// How elements are split. The caller keeps: `width` ≤ 3; `1 ≤ t ≤ min(16, bits)`; `sign_moved` needs `t < bits` and excludes
/// `zigzag`; `drop ≤ bits − t`; `base` is 0 when `t ≤ 8`, else below `2^t`. [`FieldSpec::is_valid`] checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FieldSpec {
    /// log2 of the element's size in bytes.
    pub width: u8,
    /// The sign bit goes below the symbol field.
    pub sign_moved: bool,
    /// Two's complement is folded to unsigned first.
    pub zigzag: bool,
    /// Bits of the symbol field.
    pub t: u8,
    /// Low bits of the rest that are zero and dropped.
    pub drop: u8,
    /// Symbol `s` stands for field `base + s` when `t > 8`.
    pub base: u16,
}

impl FieldSpec {
    /// Bits of an element.
    pub fn bits(&self) -> u32 {
        8 << self.width
    }

    /// Bytes of an element.
    pub fn size(&self) -> usize {
        1 << self.width
    }

    /// Bits of the rest, dropped ones included.
    pub fn rest_bits(&self) -> u32 {
        self.bits() - self.t as u32
    }

    /// log2 of the bytes of the word that holds what is kept of the rest: the narrower, the more of them share a register.
    pub fn rest_width(&self) -> u8 {
        match self.rest_bits().saturating_sub(self.drop as u32) {
            0..=8 => 0,
            9..=16 => 1,
            17..=32 => 2,
            _ => 3,
        }
    }

    /// Whether the fields keep to the limits above.
    pub fn is_valid(&self) -> bool {
        self.width <= 3
            && self.t >= 1
            && (self.t as u32) <= self.bits().min(16)
            && !(self.sign_moved && (self.zigzag || self.t as u32 == self.bits()))
            && (self.drop as u32) <= self.rest_bits()
            && if self.t > 8 { (self.base as u32) < 1 << self.t } else { self.base == 0 }
    }
}

multiversion! {
    /// Writes the symbol field `T` of each element of `src` to `out`; as many as the shorter one holds.
    pub fn top_fields(spec: &FieldSpec, src: &[u8], out: &mut [u16]) = generic::fields::top_fields;
    on top_fields_on
}

multiversion! {
    /// Writes the symbol of each element of `src` to `out`. Appends to `misses` the positions of those that have none (symbol 0 is
    /// written for them).
    pub fn symbols(spec: &FieldSpec, src: &[u8], out: &mut [u8], misses: &mut Vec<u32>) = generic::fields::symbols;
    on symbols_on
}

multiversion! {
    /// Writes `R >> drop` of each element of `src` to `out`, seen as an array of words of `8 << spec.rest_width()` bits.
    pub fn rests(spec: &FieldSpec, src: &[u8], out: &mut [u64]) = generic::fields::rests;
    on rests_on
}

multiversion! {
    /// The converse of [`symbols`] and [`rests`], apart from the symbols that were missing: fills `out` with elements. `rest` is as `rests` leaves it.
    pub fn merge(spec: &FieldSpec, symbols: &[u8], rest: &[u64], out: &mut [u8]) = generic::fields::merge;
    on merge_on
}

multiversion! {
    /// The same with rests of at most 8 bits, one a byte.
    pub fn merge_bytes(spec: &FieldSpec, symbols: &[u8], rest: &[u8], out: &mut [u8]) = generic::fields::merge_bytes;
    on merge_bytes_on
}

/// Puts the field `t_field` into one element, whose own is overwritten. `element` has exactly the element's size.
pub fn patch(spec: &FieldSpec, element: &mut [u8], t_field: u16) {
    generic::fields::patch(spec, element, t_field);
}

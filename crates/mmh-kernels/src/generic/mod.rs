//! The loops themselves, always inlined into the versions that `dispatch` compiles.
//!
//! * `fields`: element ⇄ symbol and rest
//! * `planes`: rest ⇄ planes
//! * `zeros`: which low bits are zero
//! * `histogram`: counting in several tables side by side
//! * `encode`: symbols to streams of prefix codes
//! * `decode`: the converse
//! * `lanes`: one stream for 32 lanes, a lane at a time
//! * `rans`: one stream for 16 lanes, a lane at a time
//! * `quantiles`: samples of a distribution

pub mod decode;
pub mod encode;
pub mod fields;
pub mod histogram;
pub mod lanes;
pub mod planes;
pub mod quantiles;
pub mod rans;
pub mod zeros;

/// An unsigned element of 1, 2, 4 or 8 bytes.
pub trait Word: Copy + Default + bytemuck::Pod + PartialEq {
    /// Size in bits.
    const BITS: u32;
    /// Its bytes, which need no alignment.
    type Bytes: Copy;
    /// The whole elements of some bytes.
    fn elements(bytes: &[u8]) -> &[Self::Bytes];
    /// The same, writable.
    fn elements_mut(bytes: &mut [u8]) -> &mut [Self::Bytes];
    /// From the bytes of one element, little-endian.
    fn of(bytes: Self::Bytes) -> Self;
    /// The converse of `of`.
    fn bytes(self) -> Self::Bytes;
    /// From the bytes of one element, little-endian; `bytes` has exactly `BITS / 8` of them.
    fn load(bytes: &[u8]) -> Self;
    /// The converse of `load`.
    fn store(self, bytes: &mut [u8]);
    /// The low bits of `v`.
    fn from_u64(v: u64) -> Self;
    /// Zero-extended.
    fn to_u64(self) -> u64;
    /// `self << n`, n < BITS.
    fn shl(self, n: u32) -> Self;
    /// `self >> n`, n < BITS.
    fn shr(self, n: u32) -> Self;
    /// Bitwise or.
    fn or(self, o: Self) -> Self;
    /// Bitwise and.
    fn and(self, o: Self) -> Self;
    /// Bitwise exclusive or.
    fn xor(self, o: Self) -> Self;
    /// Two's complement negation.
    fn neg(self) -> Self;
}

macro_rules! word {
    ($($t:ty),*) => {$(
        impl Word for $t {
            const BITS: u32 = <$t>::BITS;
            type Bytes = [u8; size_of::<$t>()];
            #[inline(always)]
            fn elements(bytes: &[u8]) -> &[Self::Bytes] {
                bytes.as_chunks().0
            }
            #[inline(always)]
            fn elements_mut(bytes: &mut [u8]) -> &mut [Self::Bytes] {
                bytes.as_chunks_mut().0
            }
            #[inline(always)]
            fn bytes(self) -> Self::Bytes {
                self.to_le_bytes()
            }
            #[inline(always)]
            fn of(bytes: Self::Bytes) -> Self {
                <$t>::from_le_bytes(bytes)
            }
            #[inline(always)]
            fn load(bytes: &[u8]) -> Self {
                let mut b = [0u8; size_of::<$t>()];
                b.copy_from_slice(bytes);
                <$t>::from_le_bytes(b)
            }
            #[inline(always)]
            fn store(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
            #[inline(always)]
            fn from_u64(v: u64) -> Self {
                v as $t
            }
            #[inline(always)]
            fn to_u64(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn shl(self, n: u32) -> Self {
                self << (n & (<$t>::BITS - 1))
            }
            #[inline(always)]
            fn shr(self, n: u32) -> Self {
                self >> (n & (<$t>::BITS - 1))
            }
            #[inline(always)]
            fn or(self, o: Self) -> Self {
                self | o
            }
            #[inline(always)]
            fn and(self, o: Self) -> Self {
                self & o
            }
            #[inline(always)]
            fn xor(self, o: Self) -> Self {
                self ^ o
            }
            #[inline(always)]
            fn neg(self) -> Self {
                self.wrapping_neg()
            }
        }
    )*};
}
word!(u8, u16, u32, u64);

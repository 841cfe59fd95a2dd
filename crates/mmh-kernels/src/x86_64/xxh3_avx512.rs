//! XXH3-64 of long data in registers of 512 bits: its eight accumulators are one of them.
//!
//! Source: Y. Collet, the specification of xxHash, "XXH3 Algorithm Overview", version 0.2.0.

use std::arch::x86_64::*;

/// Shorter data is hashed in another way, which is not here.
pub const SHORTEST: usize = 241;

/// The secret that XXH3 has where none is given.
#[rustfmt::skip]
const SECRET: [u8; 192] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
];

const PRIME32: [u64; 3] = [0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D];
const PRIME64: [u64; 5] = [
    0x9E37_79B1_85EB_CA87,
    0xC2B2_AE3D_27D4_EB4F,
    0x1656_67B1_9E37_79F9,
    0x85EB_CA77_C2B2_AE63,
    0x27D4_EB2F_1656_67C5,
];

const STRIPE: usize = 64;

/// Stripes of a block: the secret moves on by 8 bytes for each.
pub const STRIPES: usize = (SECRET.len() - STRIPE) / 8;

/// The accumulators of no bytes.
pub const BEGINNING: [u64; 8] = {
    let ([p1, p2, p3, p4, p5], [q1, q2, q3]) = (PRIME64, PRIME32);
    [q3, p1, p2, p3, p4, q2, p5, q1]
};

/// A hash at work, of which whole stripes are taken.
#[derive(Clone, Copy)]
pub struct Accumulators(__m512i);

impl Accumulators {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn load(lanes: &[u64; 8]) -> Accumulators {
        // SAFETY: the array has 64 readable bytes.
        Accumulators(unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn store(self, lanes: &mut [u64; 8]) {
        // SAFETY: there is room for eight lanes.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), self.0) };
    }

    /// Takes stripe `i` of a block, below [`STRIPES`].
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn take(&mut self, data: __m512i, i: usize) {
        self.0 = accumulate(self.0, data, secret(8 * i));
    }

    /// Takes all stripes of a block.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn take_block(&mut self, block: &[[u8; STRIPE]; STRIPES]) {
        // Data goes to the neighbours once for all stripes.
        let mut sum = _mm512_setzero_si512();
        for (i, stripe) in block.iter().enumerate() {
            // SAFETY: a stripe has 64 readable bytes.
            let data = unsafe { _mm512_loadu_si512(stripe.as_ptr().cast()) };
            self.0 = _mm512_add_epi64(self.0, product(data, secret(8 * i)));
            sum = _mm512_add_epi64(sum, data);
        }
        self.0 = _mm512_add_epi64(self.0, neighbours(sum));
    }

    /// Takes the last stripe of all.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn take_last(&mut self, data: __m512i) {
        self.0 = accumulate(self.0, data, secret(SECRET.len() - STRIPE - 7));
    }

    /// Ends a block that is not the last one.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    pub fn mix(&mut self) {
        let mixed = _mm512_xor_si512(self.0, _mm512_srli_epi64::<47>(self.0));
        let keyed = _mm512_xor_si512(mixed, secret(SECRET.len() - STRIPE));
        self.0 = _mm512_mullo_epi64(keyed, _mm512_set1_epi64(PRIME32[0] as i64));
    }
}

/// 64 bytes of the secret.
#[inline]
#[target_feature(enable = "avx512f")]
fn secret(at: usize) -> __m512i {
    let part: Option<&[u8; STRIPE]> = SECRET.get(at..).and_then(|s| s.first_chunk());
    // SAFETY: a stripe has 64 readable bytes.
    part.map_or(_mm512_setzero_si512(), |part| unsafe { _mm512_loadu_si512(part.as_ptr().cast()) })
}

/// Accumulates a stripe.
#[inline]
#[target_feature(enable = "avx512f")]
fn accumulate(accumulators: __m512i, data: __m512i, secret: __m512i) -> __m512i {
    _mm512_add_epi64(_mm512_add_epi64(product(data, secret), neighbours(data)), accumulators)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn product(data: __m512i, secret: __m512i) -> __m512i {
    let keyed = _mm512_xor_si512(data, secret);
    _mm512_mul_epu32(keyed, _mm512_srli_epi64::<32>(keyed))
}

/// Each lane gets the data of its neighbour.
#[inline]
#[target_feature(enable = "avx512f")]
fn neighbours(data: __m512i) -> __m512i {
    _mm512_shuffle_epi32::<0x4e>(data)
}

/// The hash of at least [`SHORTEST`] bytes, with seed 0; 0 for less.
#[target_feature(enable = "avx512f,avx512dq")]
pub fn xxh3(data: &[u8]) -> u64 {
    go_on(&BEGINNING, 0, data)
}

/// The same, with the accumulators of the first so many bytes of `data`, which are whole blocks and not all of it.
#[target_feature(enable = "avx512f,avx512dq")]
pub fn go_on(before: &[u64; 8], done: usize, data: &[u8]) -> u64 {
    if data.len() < SHORTEST || done >= data.len() {
        return 0;
    }
    // SAFETY: a stripe has 64 readable bytes.
    let load = |stripe: &[u8; STRIPE]| unsafe { _mm512_loadu_si512(stripe.as_ptr().cast()) };
    let mut all = Accumulators::load(before);
    // The last byte always belongs to what comes after the whole blocks.
    let (stripes, _) = data[done..data.len() - 1].as_chunks::<STRIPE>();
    let (blocks, left) = stripes.as_chunks::<STRIPES>();
    for block in blocks {
        all.take_block(block);
        all.mix();
    }
    for (i, stripe) in left.iter().enumerate() {
        all.take(load(stripe), i);
    }
    if let Some(stripe) = data.last_chunk::<STRIPE>() {
        all.take_last(load(stripe));
    }
    let mut lanes = [0; 8];
    all.store(&mut lanes);
    end(&lanes, data.len())
}

/// The hash of so many bytes, all of which have been taken.
pub fn end(lanes: &[u64; 8], len: usize) -> u64 {
    let keys = SECRET[11..].as_chunks::<8>().0;
    let mut hash = (len as u64).wrapping_mul(PRIME64[0]);
    for (pair, keys) in lanes.as_chunks::<2>().0.iter().zip(keys.as_chunks::<2>().0) {
        let [a, b] = [pair[0] ^ u64::from_le_bytes(keys[0]), pair[1] ^ u64::from_le_bytes(keys[1])];
        let product = a as u128 * b as u128;
        hash = hash.wrapping_add(product as u64 ^ (product >> 64) as u64);
    }
    hash ^= hash >> 37;
    hash = hash.wrapping_mul(0x1656_6791_9E37_79F9);
    hash ^ hash >> 32
}

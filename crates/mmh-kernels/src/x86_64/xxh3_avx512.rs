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
const STRIPES: usize = (SECRET.len() - STRIPE) / 8;

/// Accumulates a stripe.
#[inline]
#[target_feature(enable = "avx512f")]
fn accumulate(accumulators: __m512i, data: __m512i, secret: __m512i) -> __m512i {
    let keyed = _mm512_xor_si512(data, secret);
    let product = _mm512_mul_epu32(keyed, _mm512_srli_epi64::<32>(keyed));
    // Each lane gets the data of its neighbour.
    let swapped = _mm512_shuffle_epi32::<0x4e>(data);
    _mm512_add_epi64(_mm512_add_epi64(product, swapped), accumulators)
}

/// The hash of at least [`SHORTEST`] bytes, with seed 0; 0 for less.
#[target_feature(enable = "avx512f,avx512dq")]
pub fn xxh3(data: &[u8]) -> u64 {
    if data.len() < SHORTEST {
        return 0;
    }
    let secret = |at: usize| {
        let part: Option<&[u8; STRIPE]> = SECRET.get(at..).and_then(|s| s.first_chunk());
        // SAFETY: a stripe has 64 readable bytes.
        part.map_or(_mm512_setzero_si512(), |part| unsafe { _mm512_loadu_si512(part.as_ptr().cast()) })
    };
    // SAFETY: as above.
    let load = |stripe: &[u8; STRIPE]| unsafe { _mm512_loadu_si512(stripe.as_ptr().cast()) };
    let [p1, p2, p3, p4, p5] = PRIME64.map(|p| p as i64);
    let [q1, q2, q3] = PRIME32.map(|p| p as i64);
    let mut accumulators = _mm512_setr_epi64(q3, p1, p2, p3, p4, q2, p5, q1);
    let secrets: [__m512i; STRIPES] = std::array::from_fn(|i| secret(8 * i));
    let last_secret = secret(SECRET.len() - STRIPE);
    // The last byte always belongs to what comes after the whole blocks.
    let (stripes, _) = data[..data.len() - 1].as_chunks::<STRIPE>();
    let (blocks, left) = stripes.as_chunks::<STRIPES>();
    for block in blocks {
        for (stripe, secret) in block.iter().zip(&secrets) {
            accumulators = accumulate(accumulators, load(stripe), *secret);
        }
        let mixed = _mm512_xor_si512(accumulators, _mm512_srli_epi64::<47>(accumulators));
        accumulators = _mm512_mullo_epi64(_mm512_xor_si512(mixed, last_secret), _mm512_set1_epi64(q1));
    }
    for (stripe, secret) in left.iter().zip(&secrets) {
        accumulators = accumulate(accumulators, load(stripe), *secret);
    }
    if let Some(stripe) = data.last_chunk::<STRIPE>() {
        accumulators = accumulate(accumulators, load(stripe), secret(SECRET.len() - STRIPE - 7));
    }
    let mut lanes = [0u64; 8];
    // SAFETY: there is room for eight lanes.
    unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), accumulators) };
    let keys = SECRET[11..].as_chunks::<8>().0;
    let mut hash = (data.len() as u64).wrapping_mul(PRIME64[0]);
    for (pair, keys) in lanes.as_chunks::<2>().0.iter().zip(keys.as_chunks::<2>().0) {
        let [a, b] = [pair[0] ^ u64::from_le_bytes(keys[0]), pair[1] ^ u64::from_le_bytes(keys[1])];
        let product = a as u128 * b as u128;
        hash = hash.wrapping_add(product as u64 ^ (product >> 64) as u64);
    }
    hash ^= hash >> 37;
    hash = hash.wrapping_mul(0x1656_6791_9E37_79F9);
    hash ^ hash >> 32
}

//! Loops that the compiler does not find by itself.

mod bytes_avx512;
pub mod encode;
pub mod lanes_avx2;
pub mod lanes_avx512;
pub mod lanes_encode_avx512;
pub mod merge_avx2;
pub mod merge_avx512;
pub mod modelled_avx512;
pub mod planes_avx512;
pub mod predicted_avx2;
pub mod predicted_avx512;
pub mod rans_avx2;
pub mod rans_avx512;
pub mod rans_encode_avx2;
pub mod rans_narrow_avx512;
pub mod records_avx2;
pub mod sparse_avx512;
pub mod xxh3_avx512;

//! Loops that the compiler does not find by itself.
//!
//! * `lanes_avx2`: decoders of `lanes` (`lanes_avx512`, too); `lanes_encode_avx512`: its encoder
//! * `rans_avx2`: decoders of `rans` (`rans_avx512`, too; `rans_narrow_avx512` for few values); `rans_encode_avx2`: its encoder, which AVX-512 does without
//! * `encode`: streams of prefix codes, with AVX-512
//! * `merge_avx2`: elements out of symbols and planes (`merge_avx512`, too)
//! * `planes_avx512`: planes out of elements
//! * `modelled_avx512`: the lanes of four groups for `modelled`: their contexts; `modelled_decode_avx512`: their symbols; `modelled_encode_avx512`: their
//!   words
//! * `predicted_avx2`: sums of products for `predicted` (`predicted_avx512`, too)
//! * `records_avx2`: values that share bytes of records
//! * `sparse_avx512`: elements apart from a frequent one
//! * `xxh3_avx512`: checksums
//! * `bytes_avx512`: look-ups in tables of 256 bytes that stay in registers, for the others

mod bytes_avx512;
pub mod encode;
pub mod lanes_avx2;
pub mod lanes_avx512;
pub mod lanes_encode_avx512;
pub mod merge_avx2;
pub mod merge_avx512;
pub mod modelled_avx512;
pub mod modelled_decode_avx512;
pub mod modelled_encode_avx512;
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

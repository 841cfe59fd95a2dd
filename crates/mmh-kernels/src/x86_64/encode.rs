//! Streams of codes with AVX-512 VBMI: 64 symbols are looked up in registers and their codes joined four by four, so that the
//! sequential part appends 16 words in place of 64 codes. The bytes are those of `generic::encode`.

use std::arch::x86_64::*;

/// A table of 256 bytes in four registers.
type Table = [__m512i; 4];

/// Code and length of each symbol, as `look_up` wants them.
pub struct VectorTable {
    /// Low byte of the code.
    low: [u8; 256],
    /// High half byte of the code, and the length above it.
    high: [u8; 256],
}

impl VectorTable {
    /// Codes have at most 12 bits, lengths at most 12: both fit.
    pub fn new(codes: &[u64; 256], lengths: &[u64; 256]) -> VectorTable {
        let mut t = VectorTable { low: [0; 256], high: [0; 256] };
        for s in 0..256 {
            t.low[s] = codes[s] as u8;
            t.high[s] = (codes[s] >> 8) as u8 | (lengths[s] as u8) << 4;
        }
        t
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn registers(bytes: &[u8; 256]) -> Table {
    let quarters = bytes.as_chunks::<64>().0;
    // SAFETY: each quarter has 64 readable bytes; the load asks for no alignment.
    std::array::from_fn(|i| unsafe { _mm512_loadu_si512(quarters[i].as_ptr().cast()) })
}

/// `table[index]` for 64 indices.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up(table: &Table, index: __m512i) -> __m512i {
    let lower = _mm512_permutex2var_epi8(table[0], index, table[1]);
    let upper = _mm512_permutex2var_epi8(table[2], index, table[3]);
    _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), lower, upper)
}

/// Joins 32 codes of 16 bits to 8 of 64; the later element comes first in the stream, so its code takes the lower bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn join(code: __m512i, length: __m512i) -> (__m512i, __m512i) {
    let low16 = _mm512_set1_epi32(0xffff);
    let (later, later_len) = (_mm512_srli_epi32::<16>(code), _mm512_srli_epi32::<16>(length));
    let (earlier, earlier_len) = (_mm512_and_si512(code, low16), _mm512_and_si512(length, low16));
    let pair = _mm512_or_si512(later, _mm512_sllv_epi32(earlier, later_len));
    let pair_len = _mm512_add_epi32(later_len, earlier_len);
    let low32 = _mm512_set1_epi64(0xffff_ffff);
    let (later, later_len) = (_mm512_srli_epi64::<32>(pair), _mm512_srli_epi64::<32>(pair_len));
    let (earlier, earlier_len) = (_mm512_and_si512(pair, low32), _mm512_and_si512(pair_len, low32));
    let quad = _mm512_or_si512(later, _mm512_sllv_epi64(earlier, later_len));
    (quad, _mm512_add_epi64(later_len, earlier_len))
}

/// Codes joined four by four, the last four of the stream's elements in the last word.
pub struct Joined {
    words: [u64; WORDS],
    lengths: [u64; WORDS],
}

/// A stream has at most 4096 symbols.
const WORDS: usize = 1024;

impl Default for Joined {
    fn default() -> Self {
        Joined { words: [0; WORDS], lengths: [0; WORDS] }
    }
}

/// Writes the codes of as many symbols from the end of `symbols` as make whole blocks of 64 to `out`, last symbol first. Gives the
/// symbols left over, the bytes written, and the last bits, which wait to be written: (rest, bytes, bits, their number).
///
/// `out` needs room for 12 bits a symbol and eight bytes more, and `symbols` has at most 4096; else nothing is written.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,bmi1,bmi2")]
pub fn stream<'s>(
    table: &VectorTable,
    symbols: &'s [u8],
    joined: &mut Joined,
    out: &mut [u8],
) -> (&'s [u8], usize, u64, u64) {
    let (rest, blocks) = symbols.as_rchunks::<64>();
    if out.len() < symbols.len() * 12 / 8 + 9 || blocks.len() > WORDS / 16 {
        return (symbols, 0, 0, 0);
    }
    let (low, high) = (registers(&table.low), registers(&table.high));
    let nibble = _mm512_set1_epi16(0x0f);
    let (words, lengths) = (joined.words.as_chunks_mut::<8>().0, joined.lengths.as_chunks_mut::<8>().0);
    for ((block, words), lengths) in
        blocks.iter().zip(words.chunks_exact_mut(2)).zip(lengths.chunks_exact_mut(2))
    {
        // SAFETY: a block has 64 readable bytes.
        let s = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        let (l, h) = (look_up(&low, s), look_up(&high, s));
        let halves = [
            (_mm512_castsi512_si256(l), _mm512_castsi512_si256(h)),
            (_mm512_extracti64x4_epi64::<1>(l), _mm512_extracti64x4_epi64::<1>(h)),
        ];
        for (i, (l, h)) in halves.into_iter().enumerate() {
            let (l, h) = (_mm512_cvtepu8_epi16(l), _mm512_cvtepu8_epi16(h));
            let code = _mm512_or_si512(l, _mm512_slli_epi16::<8>(_mm512_and_si512(h, nibble)));
            let (word, length) = join(code, _mm512_srli_epi16::<4>(h));
            // SAFETY: each of the arrays has eight words of 64 bits.
            unsafe {
                _mm512_storeu_si512(words[i].as_mut_ptr().cast(), word);
                _mm512_storeu_si512(lengths[i].as_mut_ptr().cast(), length);
            }
        }
    }
    let n = 16 * blocks.len();
    let (mut acc, mut bits) = (0u64, 0u64);
    let mut to = out.as_mut_ptr();
    for (&word, &length) in joined.words[..n].iter().zip(&joined.lengths[..n]).rev() {
        // At most 7 bits wait, and four codes have at most 48.
        acc |= word << (bits & 63);
        bits += length;
        // SAFETY: the codes of all symbols so far have at most 12 bits each, so that eight bytes are left in `out` behind them.
        unsafe {
            to.cast::<u64>().write_unaligned(acc.to_le());
            to = to.add((bits >> 3) as usize);
        }
        acc >>= bits & 56;
        bits &= 7;
    }
    (rest, to as usize - out.as_ptr() as usize, acc, bits)
}

//! The lanes of four groups in one register: each waits for its own running mean. The classes are those of `modelled::classify`.

use crate::modelled::{CLASSES, LANES, NEUTRAL, Walk};
use std::arch::x86_64::*;

/// Groups side by side.
pub const GROUPS: usize = 4;

/// Symbols of a lane that are taken at once: a cache line. Lanes are so far apart that they all meet in a few places of the first cache, which would
/// not hold a line of each until its last byte is needed.
pub const AT_ONCE: usize = 64;

/// Sixteen registers of as many numbers.
type Square = [__m512i; 16];

/// Rows become columns.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn turned(rows: Square) -> Square {
    let pairs: Square = std::array::from_fn(|i| {
        let (a, b) = (rows[i & !1], rows[i | 1]);
        if i & 1 == 0 { _mm512_unpacklo_epi32(a, b) } else { _mm512_unpackhi_epi32(a, b) }
    });
    // Fours of rows: of each quarter of the register the column i % 4.
    let fours: Square = std::array::from_fn(|i| {
        let (a, b) = (pairs[i & !3 | (i >> 1) & 1], pairs[i & !3 | 2 | (i >> 1) & 1]);
        if i & 1 == 0 { _mm512_unpacklo_epi64(a, b) } else { _mm512_unpackhi_epi64(a, b) }
    });
    // Eights of rows: the first half of the quarters, or the second one, in place of i & 4.
    let eights: Square = std::array::from_fn(|i| {
        let (a, b) = (fours[i & !4], fours[i | 4]);
        if i & 4 == 0 { _mm512_shuffle_i32x4::<0x88>(a, b) } else { _mm512_shuffle_i32x4::<0xdd>(a, b) }
    });
    // Quarter q of the columns is in registers with q & 1 in place of i & 4, and q & 2 in place of i & 8.
    std::array::from_fn(|i| {
        let low = i & 3 | i & 4;
        let (a, b) = (eights[low], eights[low | 8]);
        if i & 8 == 0 { _mm512_shuffle_i32x4::<0x88>(a, b) } else { _mm512_shuffle_i32x4::<0xdd>(a, b) }
    })
}

/// Magnitudes, 32 in each register.
type Magnitudes = [__m512i; 8];

#[inline]
#[target_feature(enable = "avx512f")]
pub fn all(x: i32) -> __m512i {
    _mm512_set1_epi32(x)
}

/// What the symbols in the low bytes stand for.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn magnitudes(table: &Magnitudes, symbols: __m512i) -> __m512i {
    // Of each 32 bits the upper half is not looked up.
    let of = |i: usize| _mm512_maskz_permutex2var_epi16(0x5555_5555, table[2 * i], symbols, table[2 * i + 1]);
    let odd = _mm512_test_epi32_mask(symbols, all(64));
    let high = _mm512_test_epi32_mask(symbols, all(128));
    let low_half = _mm512_mask_blend_epi32(odd, of(0), of(1));
    let high_half = _mm512_mask_blend_epi32(odd, of(2), of(3));
    _mm512_mask_blend_epi32(high, low_half, high_half)
}

/// What a walk needs that does not change.
pub struct Steps<'a> {
    table: Magnitudes,
    columns: &'a [u32],
    end: __m512i,
    window: __m128i,
    whole: __m512i,
}

/// Where the lanes stand: [`crate::modelled::Walk`]'s places, lane by lane.
#[derive(Clone, Copy)]
pub struct Places {
    pub mean: __m512i,
    pub column: __m512i,
}

/// What is known of elements before their symbols.
#[derive(Clone, Copy)]
pub struct Context {
    /// Below 64.
    pub class: __m512i,
    /// Of the column.
    word: __m512i,
}

impl<'a> Steps<'a> {
    /// `None` if `COLUMNS` does not say whether columns differ.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn new<const COLUMNS: bool>(walk: &'a Walk) -> Option<Steps<'a>> {
        let (table, columns) = (walk.magnitude()?, walk.columns());
        if COLUMNS == columns.is_empty() {
            return None;
        }
        let first_class = walk.first_class() as i32;
        Some(Steps {
            // SAFETY: there are 256 numbers of 16 bits.
            table: std::array::from_fn(|i| unsafe { _mm512_loadu_si512(table.as_ptr().add(32 * i).cast()) }),
            columns,
            end: all(columns.len() as i32),
            window: _mm_cvtsi32_si128(walk.window() as i32),
            // 8 · ⌊log2 a⌋ and three bits of a, less those of the first class, is this less eight times the leading zeros, and the four
            // highest bits.
            whole: all(8 * 31 - 8 - first_class - if COLUMNS { 2 * NEUTRAL as i32 } else { 0 }),
        })
    }

    /// Columns of places have to be below the number of columns.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512cd")]
    pub fn context<const COLUMNS: bool>(&self, places: &Places) -> Context {
        let a = _mm512_add_epi32(places.mean, all(8));
        let zeros = _mm512_lzcnt_epi32(a);
        let highest = _mm512_srlv_epi32(a, _mm512_sub_epi32(all(28), zeros));
        let octaves = _mm512_sub_epi32(self.whole, _mm512_slli_epi32::<3>(zeros));
        let mut class = _mm512_add_epi32(octaves, highest);
        let mut word = _mm512_setzero_si512();
        if COLUMNS {
            // SAFETY: columns are below the number of columns.
            word = unsafe { _mm512_i32gather_epi32::<4>(places.column, self.columns.as_ptr().cast()) };
            class = _mm512_add_epi32(class, _mm512_srli_epi32::<16>(word));
        }
        let last = all(CLASSES as i32 - 1);
        Context { class: _mm512_min_epi32(_mm512_max_epi32(class, _mm512_setzero_si512()), last), word }
    }

    /// Goes on behind the symbols in the low bytes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn go_on<const COLUMNS: bool>(&self, places: &mut Places, context: &Context, symbols: __m512i) {
        let mut m = magnitudes(&self.table, _mm512_and_si512(symbols, all(0xff)));
        if COLUMNS {
            m = _mm512_srli_epi32::<12>(_mm512_mullo_epi32(m, _mm512_and_si512(context.word, all(0xffff))));
            let next = _mm512_add_epi32(places.column, all(1));
            places.column = _mm512_maskz_mov_epi32(_mm512_cmpneq_epi32_mask(next, self.end), next);
        }
        let less = _mm512_sub_epi32(places.mean, _mm512_srl_epi32(places.mean, self.window));
        places.mean = _mm512_add_epi32(less, m);
    }
}

/// Sixteen numbers of 32 bits.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn load(numbers: [u32; GROUPS * LANES]) -> __m512i {
    // SAFETY: there are 16 numbers of 32 bits.
    unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) }
}

/// The converse of [`load`].
#[inline]
#[target_feature(enable = "avx512f")]
pub fn numbers(register: __m512i) -> [u32; GROUPS * LANES] {
    let mut numbers = [0; GROUPS * LANES];
    // SAFETY: there is room for 16 numbers of 32 bits.
    unsafe { _mm512_storeu_si512(numbers.as_mut_ptr().cast(), register) };
    numbers
}

/// Writes the classes of the symbols of four groups of `size` elements, which begin at `starts`, each to its place in `out`.
///
/// # Panics
/// If a group does not lie within `symbols` and `out`, or its lanes are not of so many symbols that all are taken.
#[target_feature(enable = "avx512f,avx512bw,avx512cd")]
pub fn classify<const COLUMNS: bool>(
    walk: &Walk,
    starts: [usize; GROUPS],
    size: usize,
    symbols: &[u8],
    out: &mut [u8],
) {
    let len = symbols.len().min(out.len());
    assert!(size.is_multiple_of(LANES * AT_ONCE));
    assert!(starts.iter().all(|start| start.checked_add(size).is_some_and(|end| end <= len)));
    let Some(steps) = Steps::new::<COLUMNS>(walk) else { return };
    let per = size / LANES;
    let first: [usize; GROUPS * LANES] = std::array::from_fn(|i| starts[i / LANES] + i % LANES * per);
    let place = first.map(|first| walk.begin(first));
    let mut places = Places { mean: load(place.map(|p| p.mean)), column: load(place.map(|p| p.column)) };
    for step in (0..per).step_by(AT_ONCE) {
        // SAFETY: `step` and 63 more are below the length of a lane, and all lanes are within `symbols`.
        let rows =
            first.map(|first| unsafe { _mm512_loadu_si512(symbols.as_ptr().add(first + step).cast()) });
        let classes = turned(rows).map(|four| {
            let (mut four, mut classes) = (four, _mm512_setzero_si512());
            for _ in 0..4 {
                let context = steps.context::<COLUMNS>(&places);
                steps.go_on::<COLUMNS>(&mut places, &context, four);
                // The first of the four ends in the lowest byte.
                classes =
                    _mm512_or_si512(_mm512_srli_epi32::<8>(classes), _mm512_slli_epi32::<24>(context.class));
                four = _mm512_srli_epi32::<8>(four);
            }
            classes
        });
        for (first, row) in first.iter().zip(turned(classes)) {
            // SAFETY: as for `symbols`.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(first + step).cast(), row) };
        }
    }
}

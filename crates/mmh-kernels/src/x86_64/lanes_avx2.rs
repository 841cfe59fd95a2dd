//! Lanes in registers of 256 bits: the states of the 32 lanes are the bytes of one, and so are the bits that they hold and their numbers.
//! The bytes are those of `generic::lanes`, which also takes the rows in which lanes are missing.
//!
//! A table of 256 bytes does not fit these registers, and the gather instruction is slow on many CPUs: states go through general registers,
//! and the entries that are loaded for them are put into a vector one by one, three bytes at once.

use crate::generic::lanes::{Reader, SET, Writer, missing, whole_rows};
use crate::lanes::{Decoder, Encoder, Group, LANES};
use std::arch::x86_64::*;

/// Three bytes for each index, the first one lowest.
type Table = [u32; 256];

fn table(of: impl Fn(usize) -> [u8; 3]) -> Table {
    std::array::from_fn(|i| {
        let [a, b, c] = of(i);
        u32::from_le_bytes([a, b, c, 0])
    })
}

/// The entries of 4 indices, the first one lowest.
macro_rules! four {
    ($table:expr, $four:expr) => {{
        let (table, four): (&Table, u32) = ($table, $four);
        let at = |i: u32| table[(four >> (8 * i)) as u8 as usize] as i32;
        _mm_setr_epi32(at(0), at(1), at(2), at(3))
    }};
}

/// The same for two times 4, a half each; the first bytes come first, then the second and the third ones.
macro_rules! columns {
    ($table:expr, $low:expr, $high:expr) => {
        _mm256_shuffle_epi8(
            _mm256_set_m128i(four!($table, $high), four!($table, $low)),
            twice([0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, -1, -1, -1, -1]),
        )
    };
}

/// The three bytes of 32 indices, each in a register of its own. A macro because it is too long to be inlined.
macro_rules! look_up {
    ($table:expr, $indices:expr) => {{
        let indices: [u32; LANES / 4] = $indices;
        let (a, b) = (columns!($table, indices[0], indices[4]), columns!($table, indices[1], indices[5]));
        let (c, d) = (columns!($table, indices[2], indices[6]), columns!($table, indices[3], indices[7]));
        let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
        let third = _mm256_unpacklo_epi64(_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
        [_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd), third]
    }};
}

/// Bytes for `look_up`.
#[inline]
fn words(of: &[u8; LANES]) -> [u32; LANES / 4] {
    let mut words = [0; LANES / 4];
    for (w, four) in words.iter_mut().zip(of.as_chunks().0) {
        *w = u32::from_le_bytes(*four);
    }
    words
}

/// The same of a vector that was written to memory some time ago.
///
/// Read where the compiler does not see that they are its bytes: it would take them out of a register one by one.
#[inline]
#[target_feature(enable = "avx2")]
fn words_in_memory(of: &__m256i) -> [u32; LANES / 4] {
    let of: *const u32 = (&raw const *of).cast();
    let mut words = [0; LANES / 4];
    for (i, w) in words.iter_mut().enumerate() {
        // SAFETY: a vector has 8 words, and more than their alignment.
        *w = unsafe { of.add(i).read_volatile() };
    }
    words
}

/// 16 bytes in both halves.
#[inline]
#[target_feature(enable = "avx2")]
fn twice(bytes: [i8; 16]) -> __m256i {
    // SAFETY: 16 bytes are readable; the load asks for no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; LANES]) -> __m256i {
    // SAFETY: 32 bytes are readable; the load asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn bytes(of: __m256i) -> [u8; LANES] {
    let mut bytes = [0; LANES];
    // SAFETY: 32 bytes are writable; the store asks for no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), of) };
    bytes
}

/// Row `R` of 16 bytes of a table, in both halves.
#[inline]
#[target_feature(enable = "avx2")]
fn row<const R: usize>(table: &[u8; 256]) -> __m256i {
    const { assert!(R < 16) };
    // SAFETY: 16 bytes are readable there; the load asks for no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().add(16 * R).cast()) })
}

/// `table[index]` for 32 indices: more instructions than `look_up` for one byte of three, but the result is there sooner.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up_byte(table: &[u8; 256], index: __m256i) -> __m256i {
    // The column, or a negative byte, which gives zero: for even rows, and for odd ones.
    let even = _mm256_add_epi8(_mm256_and_si256(index, _mm256_set1_epi8(0x1f)), _mm256_set1_epi8(0x70));
    let odd = _mm256_xor_si256(even, _mm256_set1_epi8(-0x80));
    let twice = _mm256_add_epi8(index, index);
    let four_times = _mm256_add_epi8(twice, twice);
    macro_rules! two {
        ($r:expr) => {
            _mm256_or_si256(
                _mm256_shuffle_epi8(row::<{ $r }>(table), even),
                _mm256_shuffle_epi8(row::<{ $r + 1 }>(table), odd),
            )
        };
    }
    macro_rules! four {
        ($r:expr) => {
            _mm256_blendv_epi8(two!($r), two!($r + 2), four_times)
        };
    }
    macro_rules! eight {
        ($r:expr) => {
            _mm256_blendv_epi8(four!($r), four!($r + 4), twice)
        };
    }
    _mm256_blendv_epi8(eight!(0), eight!(8), index)
}

/// `bytes << shift` or, if there are `high` bytes, `high · 256 + bytes` shifted likewise, as words: those of the low 8 bytes of each half,
/// and those of the others. `power` is 2^shift; words do not overflow.
#[inline]
#[target_feature(enable = "avx2")]
fn shifted(bytes: __m256i, high: __m256i, power: __m256i, power_high: __m256i) -> [__m256i; 2] {
    [
        _mm256_mullo_epi16(_mm256_unpacklo_epi8(bytes, high), _mm256_unpacklo_epi8(power, power_high)),
        _mm256_mullo_epi16(_mm256_unpackhi_epi8(bytes, high), _mm256_unpackhi_epi8(power, power_high)),
    ]
}

/// 2^n − 1 at n.
const LOW_BITS: [i8; 16] = [0, 1, 3, 7, 15, 31, 63, 127, -1, 0, 0, 0, 0, 0, 0, 0];

/// Lanes of a stream that is being read.
#[derive(Clone, Copy)]
struct Lanes<'a> {
    /// Of each state the value, the next state without the bits that it takes, and their number.
    table: &'a Table,
    state: __m256i,
    held: __m256i,
    count: __m256i,
    left: usize,
}

impl Lanes<'_> {
    /// Goes to the next states, which take `bits` bits and are `base` without them. `None` if the stream has too few bytes; 64 lie behind
    /// those that are left.
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    fn step(&mut self, stream: &[u8], base: __m256i, bits: __m256i) -> Option<()> {
        let zero = _mm256_setzero_si256();
        // Negative in lanes that take a byte.
        let over = _mm256_sub_epi8(self.count, bits);
        let takes = _mm256_cmpgt_epi8(zero, over);
        let mask = _mm256_movemask_epi8(over) as u32;
        self.left = self.left.checked_sub(mask.count_ones() as usize)?;
        // The bytes of the low half's lanes, and those of the others.
        let low = (mask & 0xffff).count_ones() as usize;
        // SAFETY: 64 bytes lie behind `left`, and `low` is at most 16.
        let taken = unsafe {
            let at = stream.as_ptr().add(self.left);
            _mm256_inserti128_si256::<1>(
                _mm256_castsi128_si256(_mm_loadu_si128(at.cast())),
                _mm_loadu_si128(at.add(low).cast()),
            )
        };
        // How many lanes up to each one take a byte, in its half, as negative numbers.
        let n = _mm256_add_epi8(takes, _mm256_slli_epi64::<8>(takes));
        let n = _mm256_add_epi8(n, _mm256_slli_epi64::<16>(n));
        let n = _mm256_add_epi8(n, _mm256_slli_epi64::<32>(n));
        let of_eighth = twice([-1, -1, -1, -1, -1, -1, -1, -1, 7, 7, 7, 7, 7, 7, 7, 7]);
        let n = _mm256_add_epi8(n, _mm256_shuffle_epi8(n, of_eighth));
        // Where a byte is taken its number in the low four bits, elsewhere a negative number, which gives zero.
        let which = _mm256_xor_si256(_mm256_or_si256(n, _mm256_set1_epi8(-0x80)), takes);
        let taken = _mm256_shuffle_epi8(taken, which);
        // It goes below the bits that are held. Then what is above those that stay is used.
        let low = _mm256_blendv_epi8(self.held, taken, takes);
        let high = _mm256_and_si256(self.held, takes);
        self.count = _mm256_and_si256(over, _mm256_set1_epi8(7));
        let power = twice([-128, 64, 32, 16, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let [a, b] = shifted(low, high, _mm256_shuffle_epi8(power, self.count), zero);
        let used = _mm256_packus_epi16(_mm256_srli_epi16::<7>(a), _mm256_srli_epi16::<7>(b));
        self.state = _mm256_or_si256(base, used);
        self.held = _mm256_and_si256(low, _mm256_shuffle_epi8(twice(LOW_BITS), self.count));
        Some(())
    }
}

/// Groups that are decoded side by side: the steps of one depend on each other.
const SIDE_BY_SIDE: usize = 4;

/// Decodes groups; those of one size side by side.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn decode<const MERGE: bool>(groups: &mut [Group<'_>]) -> Option<()> {
    let mut tables = [[0; 256]; SIDE_BY_SIDE];
    let mut groups = groups;
    while !groups.is_empty() {
        let same = |g: &&Group<'_>| g.out.len() == groups[0].out.len();
        let n = groups.iter().take(SIDE_BY_SIDE).take_while(same).count();
        let (now, later) = groups.split_at_mut(n);
        for (t, g) in tables.iter_mut().zip(now.iter()) {
            *t = of_states::<MERGE>(g.table);
        }
        side_by_side::<MERGE>(&tables, now)?;
        groups = later;
    }
    Some(())
}

/// For [`Lanes::table`].
#[inline]
#[target_feature(enable = "avx2")]
fn of_states<const MERGE: bool>(decoder: &Decoder) -> Table {
    // Turned right by a bit the value lies as its element wants it: the lowest bit above the mantissa, the others below the sign.
    let turn = if MERGE { 1 } else { 0 };
    let mut table = [0; 256];
    for (s, entry) in table.iter_mut().enumerate() {
        let (value, bits, above) = (decoder.value[s], decoder.bits[s] as u32, decoder.above[s] as u32);
        *entry = value.rotate_right(turn) as u32 | (above << bits & 255) << 8 | bits << 16;
    }
    table
}

/// Decodes at most [`SIDE_BY_SIDE`] groups of one size.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn side_by_side<const MERGE: bool>(tables: &[Table; SIDE_BY_SIDE], groups: &mut [Group<'_>]) -> Option<()> {
    let elements = groups[0].elements::<MERGE>();
    let size = if MERGE { 2 * elements } else { elements };
    if groups.iter().any(|g| g.elements::<MERGE>() != elements || g.out.len() != size) {
        return None;
    }
    if elements == 0 {
        return groups.iter().all(|g| g.stream.is_empty()).then_some(());
    }
    let zero = _mm256_setzero_si256();
    let mut lanes =
        tables.each_ref().map(|table| Lanes { table, state: zero, held: zero, count: zero, left: 0 });
    for (l, g) in lanes.iter_mut().zip(groups.iter()) {
        let r = Reader::begin(g.stream)?;
        *l = Lanes { state: load(&r.state), held: load(&r.held), count: load(&r.count), left: r.left, ..*l };
    }
    let whole = whole_rows(elements) * LANES;
    for done in (0..whole).step_by(LANES) {
        for (l, g) in lanes.iter_mut().zip(groups.iter_mut()) {
            let [values, base, bits] = look_up!(l.table, words_in_memory(&l.state));
            l.step(g.stream, base, bits)?;
            // SAFETY: `done` is at least 32 below the number of elements; the sizes of `rest` and `out` have been compared with it.
            unsafe {
                if MERGE {
                    // The top bits of value and rest change places.
                    let rest = _mm256_loadu_si256(g.rest.as_ptr().add(done).cast());
                    let top = _mm256_and_si256(_mm256_xor_si256(values, rest), _mm256_set1_epi8(-0x80));
                    let (low, high) = (_mm256_xor_si256(rest, top), _mm256_xor_si256(values, top));
                    let (a, b) = (_mm256_unpacklo_epi8(low, high), _mm256_unpackhi_epi8(low, high));
                    let out = g.out.as_mut_ptr().add(2 * done);
                    _mm256_storeu_si256(out.cast(), _mm256_permute2x128_si256::<0x20>(a, b));
                    _mm256_storeu_si256(out.add(32).cast(), _mm256_permute2x128_si256::<0x31>(a, b));
                } else {
                    _mm256_storeu_si256(g.out.as_mut_ptr().add(done).cast(), values);
                }
            }
        }
    }
    for (l, g) in lanes.into_iter().zip(groups) {
        let r = Reader { state: bytes(l.state), held: bytes(l.held), count: bytes(l.count), left: l.left };
        r.finish::<MERGE>(g, whole)?;
    }
    Some(())
}

/// Lanes of a stream that is being written.
#[derive(Clone, Copy)]
struct Giving {
    state: __m256i,
    held: __m256i,
    count: __m256i,
    at: *mut u8,
}

impl Giving {
    /// Lanes give up `bits` bits of their states; full bytes are written. Gives the states without them, without bit 8.
    ///
    /// # Safety
    /// At `at` as many bytes are writable as there are lanes, and 8 more.
    #[inline]
    #[target_feature(enable = "avx2,popcnt")]
    unsafe fn give(&mut self, bits: __m256i) -> __m256i {
        let zero = _mm256_setzero_si256();
        let given = _mm256_and_si256(self.state, _mm256_shuffle_epi8(twice(LOW_BITS), bits));
        let power = twice([1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0]);
        let [a, b] = shifted(given, zero, _mm256_shuffle_epi8(power, self.count), zero);
        let byte = _mm256_set1_epi16(0xff);
        let low = _mm256_packus_epi16(_mm256_and_si256(a, byte), _mm256_and_si256(b, byte));
        let high = _mm256_packus_epi16(_mm256_srli_epi16::<8>(a), _mm256_srli_epi16::<8>(b));
        let low = _mm256_or_si256(low, self.held);
        let sum = _mm256_add_epi8(self.count, bits);
        let full = _mm256_cmpgt_epi8(sum, _mm256_set1_epi8(7));
        self.count = _mm256_and_si256(sum, _mm256_set1_epi8(7));
        self.held = _mm256_blendv_epi8(low, high, full);
        let mask = _mm256_movemask_epi8(full) as u32;
        let halves = [_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low)];
        for (half, mask) in halves.into_iter().zip([mask & 0xffff, mask >> 16]) {
            let (first, second) = (mask & 0xff, mask >> 8);
            // SAFETY: eight bytes are readable at each entry. Eight are written at `at`, which by then is as many bytes further as lanes gave
            // one, and at least eight lanes are still to be asked for theirs.
            unsafe {
                let order = _mm_loadl_epi64(SET[first as usize].as_ptr().cast());
                _mm_storel_epi64(self.at.cast(), _mm_shuffle_epi8(half, order));
                let order = _mm_loadl_epi64(SET[second as usize].as_ptr().cast());
                let after = self.at.add(first.count_ones() as usize);
                _mm_storel_epi64(after.cast(), _mm_shuffle_epi8(_mm_srli_si128::<8>(half), order));
                self.at = self.at.add(mask.count_ones() as usize);
            }
        }
        // A shift right by n is one left by 8 − n, and one right by 8.
        let power = twice([0, -128, 64, 32, 16, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0]);
        let power = _mm256_shuffle_epi8(power, bits);
        let none = _mm256_and_si256(_mm256_cmpeq_epi8(bits, zero), _mm256_set1_epi8(1));
        let [a, b] = shifted(self.state, zero, power, none);
        let kept = _mm256_packus_epi16(_mm256_srli_epi16::<8>(a), _mm256_srli_epi16::<8>(b));
        // Bit 8 of the state goes along.
        _mm256_or_si256(kept, power)
    }
}

/// Rows whose symbols are looked up before the first of them is coded: no symbol waits for a state.
const BLOCK: usize = 16;

/// Encodes two groups side by side; gives the sizes of their streams.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub fn encode(
    encoder: &Encoder,
    groups: [&[u8]; 2],
    first: [u32; 2],
    misses: &mut Vec<u32>,
    out: [&mut [u8]; 2],
) -> [usize; 2] {
    if (0..2).any(|i| out[i].len() < crate::lanes::room(groups[i].len())) {
        return [0; 2];
    }
    // Symbols without a code have bit 7 of the first byte set, and else what the one has that stands in.
    let symbols = table(|s| {
        let coded = encoder.coded(s as u8) as usize;
        let missing = if coded == s { 0 } else { 128 };
        [(encoder.bits[coded] - 1) | missing, encoder.threshold[coded], encoder.offset[coded]]
    });
    let rows = groups.map(|g| &g.as_chunks::<LANES>().0[..whole_rows(g.len())]);
    let zero = _mm256_setzero_si256();
    let mut giving =
        [zero; 2].map(|zero| Giving { state: zero, held: zero, count: zero, at: std::ptr::null_mut() });
    for i in 0..2 {
        let w = Writer::begin(encoder, groups[i], first[i], misses, out[i]);
        giving[i] = Giving {
            state: load(&w.state),
            held: load(&w.held),
            count: load(&w.count),
            at: out[i][w.at..].as_mut_ptr(),
        };
    }
    let mut found = [[[zero; 3]; BLOCK]; 2];
    for block in (0..rows[0].len().max(rows[1].len())).step_by(BLOCK).rev() {
        for i in 0..2 {
            for (r, row) in rows[i].iter().enumerate().skip(block).take(BLOCK) {
                let [most, threshold, offset] = look_up!(&symbols, words(row));
                if _mm256_movemask_epi8(most) != 0 {
                    missing(encoder, row, first[i] + (r * LANES) as u32, misses);
                }
                found[i][r % BLOCK] = [most, threshold, offset];
            }
        }
        for r in (block..block + BLOCK).rev() {
            for i in 0..2 {
                if r >= rows[i].len() {
                    continue;
                }
                let [most, threshold, offset] = found[i][r % BLOCK];
                let g = &mut giving[i];
                // One more than `most` from the threshold on.
                let above = _mm256_cmpeq_epi8(_mm256_max_epu8(g.state, threshold), g.state);
                let bits = _mm256_sub_epi8(_mm256_and_si256(most, _mm256_set1_epi8(7)), above);
                // SAFETY: `out` has 64 bytes more than the group has elements, each of which gives at most one.
                let kept = unsafe { g.give(bits) };
                g.state = look_up_byte(&encoder.states, _mm256_add_epi8(kept, offset));
            }
        }
    }
    let mut sizes = [0; 2];
    for (i, g) in giving.into_iter().enumerate() {
        if !groups[i].is_empty() {
            let at = g.at as usize - out[i].as_ptr() as usize;
            let w = Writer { state: bytes(g.state), held: bytes(g.held), count: bytes(g.count), at };
            sizes[i] = w.end(out[i]);
        }
    }
    sizes
}

//! The sixteen lanes of a group in one register. The bytes are those of `predicted`.
//!
//! While a number is looked up, which takes long, the sums of the next columns are made, as far as they do not need it.

use crate::predicted::{
    Avx512, BELOW, BINS, Begun, Both, COUNTED, Contexts, EIGHTHS, LANES, LARGEST, Model, NONE, Numbers,
    PART_BITS, PLACES, PROBABILITY_BITS, Pair, Pass, Rows, Stream, Sums, TABLES, TOTAL, Table, Work, Writer,
    put, refill,
};
use crate::rans::LOWEST;
use std::arch::x86_64::*;

/// What of a model is the same for all columns, in registers or close to them.
struct Constants {
    precision: __m512i,
    window: __m512i,
    /// 2^(-r/8) by the three low bits of the class, times 2^(16 + 3 + window).
    eighths: __m512i,
    mantissa: __m512i,
    origin: __m512i,
    numbers: __m512i,
    /// Twice the one before the bits of mantissa, and half a unit of the last of them if it was cut off.
    middle: i32,
    low: i32,
    shift: u32,
}

#[inline]
#[target_feature(enable = "avx512f")]
fn all(x: i32) -> __m512i {
    _mm512_set1_epi32(x)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn constants(model: &Model) -> Constants {
    let eighths: [u32; LANES] = std::array::from_fn(|r| EIGHTHS[r % 8] << (3 + model.window));
    let k = model.mantissa;
    Constants {
        precision: all(model.precision as i32),
        window: all(model.window as i32),
        // SAFETY: there are 16 numbers of 32 bits.
        eighths: unsafe { _mm512_loadu_si512(eighths.as_ptr().cast()) },
        mantissa: all(k as i32),
        origin: all(model.origin as i32),
        numbers: all(model.numbers as i32),
        middle: (2 << k) + !model.rounded as i32,
        low: (1 << k) - 1,
        shift: k + 1,
    }
}

/// The context of each lane's number.
#[derive(Clone, Copy)]
struct Place {
    table: __m512i,
    turned: __mmask16,
    lowest: __m512i,
    reciprocal: __m512i,
}

/// `(a · b + add) >> 16` without a sign, of which 32 bits are left.
#[inline]
#[target_feature(enable = "avx512f")]
fn product(a: __m512i, b: __m512i, add: i64) -> __m512i {
    let add = _mm512_set1_epi64(add);
    let even = _mm512_add_epi64(_mm512_mul_epu32(a, b), add);
    let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(b));
    let odd = _mm512_slli_epi64::<16>(_mm512_add_epi64(odd, add));
    _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64::<16>(even), odd)
}

impl Constants {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn predicted(&self, sum: __m512i) -> __m512i {
        let p = _mm512_srav_epi32(sum, self.precision);
        _mm512_max_epi32(_mm512_min_epi32(p, all(LARGEST)), all(-LARGEST))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn place(&self, mean: __m512i, predicted: __m512i, octave: i32) -> Place {
        let a = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_add_epi32(mean, all(8))));
        let class = _mm512_and_si512(_mm512_sub_epi32(_mm512_srli_epi32::<20>(a), all(127 << 3)), all(255));
        let width = _mm512_add_epi32(class, all(octave));
        let eighths = _mm512_permutexvar_epi32(_mm512_and_si512(class, all(7)), self.eighths);
        let reciprocal = _mm512_srlv_epi32(eighths, _mm512_srli_epi32::<3>(class));
        let place = product(_mm512_abs_epi32(predicted), reciprocal, 1 << 15);
        let place = _mm512_min_epu32(place, all(PLACES as i32 - 1));
        let fraction = _mm512_and_si512(width, all(7));
        // 33 times.
        let table = _mm512_add_epi32(_mm512_slli_epi32::<5>(fraction), _mm512_add_epi32(fraction, place));
        let above = _mm512_sub_epi32(_mm512_srai_epi32::<3>(width), all(BELOW));
        Place {
            table,
            turned: _mm512_movepi32_mask(predicted),
            lowest: _mm512_add_epi32(self.origin, _mm512_sllv_epi32(above, self.mantissa)),
            reciprocal,
        }
    }

    /// Numbers, scaled.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn scaled(&self, symbol: __m512i, negative: __mmask16, multiplier: u32) -> __m512i {
        let v = _mm512_sub_epi32(symbol, self.origin);
        let octave = _mm512_srav_epi32(v, self.mantissa);
        let m =
            _mm512_add_epi32(_mm512_slli_epi32::<1>(_mm512_and_si512(v, all(self.low))), all(self.middle));
        let size = _mm512_srlv_epi32(_mm512_sllv_epi32(m, octave), all(self.shift as i32));
        let size = _mm512_mask_mov_epi32(size, _mm512_cmpge_epi32_mask(octave, all(16)), all(0xffff));
        let size = _mm512_maskz_mov_epi32(_mm512_cmpge_epi32_mask(v, all(0)), size);
        let x = _mm512_srli_epi32::<12>(_mm512_mullo_epi32(size, all(multiplier as i32)));
        let x = _mm512_min_epu32(x, all(LARGEST));
        _mm512_mask_sub_epi32(x, negative, all(0), x)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn step(&self, mean: __m512i, lanes: __mmask16, error: __m512i) -> __m512i {
        let less = _mm512_sub_epi32(mean, _mm512_srlv_epi32(mean, self.window));
        _mm512_mask_add_epi32(mean, lanes, less, error)
    }
}

/// The place of a table in bytes.
#[inline]
#[target_feature(enable = "avx512f")]
fn at(table: __m512i) -> __m512i {
    const { assert!(size_of::<Table>() == 3 << 9) }
    _mm512_slli_epi32::<9>(_mm512_add_epi32(table, _mm512_add_epi32(table, table)))
}

/// Where each table has the slot at which an entry begins.
const SLOTS: i32 = std::mem::offset_of!(Table, below) as i32;

/// The slots with which entries and those behind them begin; the latter << 16.
///
/// # Safety
/// There are all tables, these are among them, and the entries are below 255.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn slots(tables: &[Table], table: __m512i, entry: __m512i) -> __m512i {
    let of = _mm512_add_epi32(at(table), _mm512_add_epi32(_mm512_add_epi32(entry, entry), all(SLOTS)));
    // SAFETY: the caller's promise.
    unsafe { _mm512_i32gather_epi32::<1>(of, tables.as_ptr().cast()) }
}

/// The two weights of a column in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn both(weights: &[i16; 2]) -> __m512i {
    // SAFETY: there are 4 bytes. Read at once, they are broadcast by the load.
    all(unsafe { weights.as_ptr().cast::<i32>().read_unaligned() })
}

/// Adds the products of a pair of columns.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add(weights: &Pair, numbers: __m512i, sums: &mut [__m512i; 2]) {
    for (sum, weights) in sums.iter_mut().zip(weights) {
        *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(numbers, both(weights)));
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(numbers: &Both) -> __m512i {
    // SAFETY: there are 64 bytes.
    unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(numbers: &mut Both, x: __m512i) {
    // SAFETY: there are 64 bytes.
    unsafe { _mm512_storeu_si512(numbers.as_mut_ptr().cast(), x) };
}

/// Adds the last pair but one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_last(model: &Model, i: usize, history: &[Both], sums: &mut [__m512i; 2]) {
    if let ([.., weights, _], Some(numbers)) = (model.pairs(i), i.checked_sub(1).and_then(|i| history.get(i)))
    {
        add(weights, load(numbers), sums);
    }
}

/// As [`add`] for as many pairs of columns.
#[target_feature(enable = "avx512f,avx512bw")]
pub fn add_all(weights: &[Pair], numbers: &[Both], to: &mut [[i32; LANES]; 2]) {
    // SAFETY: there are 64 bytes in each.
    let mut sums = unsafe { to.each_ref().map(|s| _mm512_loadu_si512(s.as_ptr().cast())) };
    weights.iter().zip(numbers).for_each(|(weights, numbers)| add(weights, load(numbers), &mut sums));
    for (to, sum) in to.iter_mut().zip(sums) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), sum) };
    }
}

/// The sums for each of two times as many numbers, and for the columns of two times as many weights; what is missing counts as zeros.
#[target_feature(enable = "avx512f,avx512bw")]
pub fn tile(weights: [&[Pair]; 2], numbers: [&[Both]; 2]) -> [[[[i32; LANES]; 2]; 2]; 2] {
    let ([wa, wb], [x, y]) = (weights, numbers);
    let [mut xa, mut xb, mut ya, mut yb] = [[all(0); 2]; 4];
    if wb.len() == wa.len() && y.len() == x.len() {
        for ((wa, wb), (x, y)) in wa.iter().zip(wb).zip(x.iter().zip(y)) {
            let (x, y) = (load(x), load(y));
            add(wa, x, &mut xa);
            add(wb, x, &mut xb);
            add(wa, y, &mut ya);
            add(wb, y, &mut yb);
        }
    } else {
        wa.iter().zip(x).for_each(|(w, x)| add(w, load(x), &mut xa));
        wb.iter().zip(x).for_each(|(w, x)| add(w, load(x), &mut xb));
        wa.iter().zip(y).for_each(|(w, y)| add(w, load(y), &mut ya));
        wb.iter().zip(y).for_each(|(w, y)| add(w, load(y), &mut yb));
    }
    let mut sums = [[[[0; LANES]; 2]; 2]; 2];
    let to = sums.as_flattened_mut().as_flattened_mut().iter_mut();
    for (to, sum) in to.zip([xa, xb, ya, yb].as_flattened()) {
        // SAFETY: there are 64 bytes.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), *sum) };
    }
    sums
}

/// As `predicted::accumulate`.
#[target_feature(
    enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2"
)]
pub fn accumulate(rows: &[i16], period: usize, sums: &mut [f32], work: &mut Sums) {
    crate::predicted::add::<Avx512>(rows, period, sums, work);
}

/// As `predicted::classify`.
#[allow(clippy::too_many_arguments)]
#[target_feature(
    enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2"
)]
pub fn classify(
    model: &Model,
    rows: &Rows,
    symbols: &[u8],
    signs: &[u8],
    contexts: &mut Vec<Contexts>,
    mut errors: Option<&mut [u32; BINS]>,
    work: &mut Work,
) {
    let c = constants(model);
    let Work { history, columns, .. } = work;
    let mut mean = all(model.start as i32);
    for pass in rows.passes() {
        pass.transpose(symbols, signs, columns);
        let first = pass.from / 2;
        let end = pass.to.div_ceil(2);
        history[..first].fill([[0; 2]; LANES]);
        for (i, numbers) in (first..end).zip(&mut history[first..end]) {
            let [even, odd] = [2 * i, 2 * i + 1].map(|column| {
                let (_, x) = number(&c, model, column, columns);
                _mm512_maskz_mov_epi32(pass.lanes(column), x)
            });
            let even = _mm512_and_si512(even, all(0xffff));
            store(numbers, _mm512_or_si512(even, _mm512_slli_epi32::<16>(odd)));
        }
        // Four columns at a time: each of the numbers before them is loaded once.
        for i in (first..end).step_by(2) {
            let mut sums = four(model, i, history);
            for (i, sums) in (i..end).zip(&mut sums) {
                let own = model.pairs(i).last().map_or(0, |w| w[1][0] as i32);
                let even = _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(load(&history[i])));
                sums[1] = _mm512_add_epi32(sums[1], _mm512_mullo_epi32(even, all(own)));
                for (column, sum) in (2 * i..2 * i + 2).zip(*sums) {
                    if !(pass.from..pass.to).contains(&column) {
                        continue;
                    }
                    let lanes = pass.lanes(column);
                    let p = c.predicted(sum);
                    let place = c.place(mean, p, model.column(column).octave);
                    let (numbers, x) = number(&c, model, column, columns);
                    let error = _mm512_abs_epi32(_mm512_sub_epi32(x, p));
                    contexts.push(context(&c, &place, numbers, lanes));
                    if let Some(errors) = errors.as_deref_mut().filter(|_| column % COUNTED == 0) {
                        count(&place, error, lanes, errors);
                    }
                    mean = c.step(mean, lanes, error);
                }
            }
        }
    }
}

/// The symbols of a column with their signs << 8, and its numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn number(c: &Constants, model: &Model, column: usize, columns: &[[u16; LANES]]) -> (__m512i, __m512i) {
    // SAFETY: there are 32 bytes.
    let numbers = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(columns[column].as_ptr().cast()) });
    let negative = _mm512_test_epi32_mask(numbers, all(256));
    let symbol = _mm512_and_si512(numbers, all(255));
    (numbers, c.scaled(symbol, negative, model.column(column).multiplier))
}

/// The sums of two pairs of columns, without what the two columns of a pair have to do with each other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn four(model: &Model, i: usize, history: &[Both]) -> [[__m512i; 2]; 2] {
    let bias = |column| all(model.column(column).bias);
    let (mut a, mut b) = ([bias(2 * i), bias(2 * i + 1)], [bias(2 * i + 2), bias(2 * i + 3)]);
    let (of_a, of_b) = (model.pairs(i), model.pairs(i + 1));
    if let [of_b @ .., last, _] = of_b {
        for ((of_a, of_b), numbers) in of_a.iter().zip(of_b).zip(history) {
            let numbers = load(numbers);
            add(of_a, numbers, &mut a);
            add(of_b, numbers, &mut b);
        }
        add(last, load(&history[i]), &mut b);
    } else if let [of_a @ .., _] = of_a {
        of_a.iter().zip(history).for_each(|(of_a, numbers)| add(of_a, load(numbers), &mut a));
    }
    [a, b]
}

/// Entries, and tables << 8.
#[inline]
#[target_feature(enable = "avx512f")]
fn context(c: &Constants, place: &Place, numbers: __m512i, lanes: u16) -> Contexts {
    let negative = _mm512_test_epi32_mask(numbers, all(256));
    let number = _mm512_sub_epi32(_mm512_and_si512(numbers, all(255)), place.lowest);
    let above = _mm512_add_epi32(_mm512_add_epi32(c.numbers, all(1)), number);
    let below = _mm512_sub_epi32(_mm512_sub_epi32(c.numbers, all(1)), number);
    let entry = _mm512_mask_mov_epi32(above, negative ^ place.turned, below);
    let known = _mm512_cmplt_epu32_mask(number, c.numbers);
    let entry = _mm512_mask_mov_epi32(c.numbers, known, entry);
    let context = _mm512_or_si512(entry, _mm512_slli_epi32::<8>(place.table));
    let context = _mm512_mask_mov_epi32(all(NONE as i32), lanes, context);
    let mut found = [0; LANES];
    // SAFETY: there are 64 bytes.
    unsafe { _mm512_storeu_si512(found.as_mut_ptr().cast(), context) };
    found
}

/// Adds the errors of some lanes to how often each is.
#[inline]
#[target_feature(enable = "avx512f")]
fn count(place: &Place, error: __m512i, lanes: u16, errors: &mut [u32; BINS]) {
    let bins = _mm512_min_epu32(product(error, place.reciprocal, 0), all(BINS as i32 - 1));
    let mut each = [0u32; LANES];
    // SAFETY: there are 64 bytes.
    unsafe { _mm512_storeu_si512(each.as_mut_ptr().cast(), bins) };
    for (lane, bin) in each.iter().enumerate() {
        errors[*bin as usize] += (lanes >> lane & 1) as u32;
    }
}

/// Puts all lanes of columns on top of the states, the last first.
#[target_feature(
    enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2"
)]
pub fn put_all(model: &Model, contexts: &[Contexts], numbers: &Numbers<'_>, writer: &mut Writer<'_>) {
    if model.tables.len() != TABLES {
        return;
    }
    let escape = all(model.numbers as i32);
    let order = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    // SAFETY: there are 64 bytes.
    let mut state = unsafe { _mm512_loadu_si512(writer.states.as_ptr().cast()) };
    for (i, of) in contexts.iter().enumerate().rev() {
        // SAFETY: there are 64 bytes.
        let context = unsafe { _mm512_loadu_si512(of.as_ptr().cast()) };
        let lanes = _mm512_cmpneq_epi32_mask(context, all(NONE as i32));
        let entry = _mm512_and_si512(context, all(255));
        let escaped = _mm512_mask_cmpeq_epi32_mask(lanes, entry, escape);
        if escaped != 0 || writer.at < LANES {
            // SAFETY: there are 64 bytes.
            unsafe { _mm512_storeu_si512(writer.states.as_mut_ptr().cast(), state) };
            put(model, of, numbers, i, writer);
            // SAFETY: as above.
            state = unsafe { _mm512_loadu_si512(writer.states.as_ptr().cast()) };
            continue;
        }
        let context = _mm512_maskz_mov_epi32(lanes, context);
        let entry = _mm512_and_si512(context, all(255));
        // Not needed for contexts that `classify` finds; what others have counts for nothing.
        let table = _mm512_min_epu32(_mm512_srli_epi32::<8>(context), all(TABLES as i32 - 1));
        let entry = _mm512_min_epu32(entry, all(254));
        // SAFETY: the tables are all there, and both numbers have been cut to what they may be.
        let slots = unsafe { slots(&model.tables, table, entry) };
        let below = _mm512_and_si512(slots, all(0xffff));
        let frequency = _mm512_sub_epi32(_mm512_srli_epi32::<16>(slots), below);
        let due = _mm512_mask_cmpge_epu32_mask(
            lanes,
            _mm512_srli_epi32::<{ 32 - PROBABILITY_BITS }>(state),
            frequency,
        );
        let count = due.count_ones() as usize;
        // The words that are due at the end of sixteen; those before them are written over later.
        let words = _mm512_maskz_compress_epi32(due, state);
        let words = _mm512_permutexvar_epi32(_mm512_add_epi32(order, all(count as i32)), words);
        // SAFETY: there are 16 words below `at`.
        unsafe {
            let to = writer.words.as_mut_ptr().add(writer.at - LANES);
            _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(words));
        }
        writer.at -= count;
        let x = _mm512_mask_srli_epi32::<16>(state, due, state);
        let quotient = divided(x, frequency);
        let rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(quotient, frequency));
        let next =
            _mm512_add_epi32(_mm512_slli_epi32::<PROBABILITY_BITS>(quotient), _mm512_add_epi32(rest, below));
        state = _mm512_mask_mov_epi32(state, lanes, next);
    }
    // SAFETY: there are 64 bytes.
    unsafe { _mm512_storeu_si512(writer.states.as_mut_ptr().cast(), state) };
}

/// ⌊x / d⌋, for d below 2^15: two different quotients are further apart than numbers of 53 bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn divided(x: __m512i, d: __m512i) -> __m512i {
    let half = |x: __m256i, d: __m256i| {
        _mm512_cvttpd_epu32(_mm512_div_pd(_mm512_cvtepu32_pd(x), _mm512_cvtepu32_pd(d)))
    };
    let low = half(_mm512_castsi512_si256(x), _mm512_castsi512_si256(d));
    let high = half(_mm512_extracti64x4_epi64::<1>(x), _mm512_extracti64x4_epi64::<1>(d));
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

/// A group, half way: where it stands, and what is known of the columns that come next.
struct Side<'a, 'b> {
    rows: &'a Rows,
    pass: Pass,
    stream: Stream<'a>,
    symbols: &'b mut [u8],
    signs: &'b mut [u8],
    history: &'b mut [Both],
    columns: &'b mut [[u16; LANES]],
    state: __m512i,
    mean: __m512i,
    /// Of this pair of columns, and as far as they are known of the next.
    sums: [__m512i; 2],
    next: [__m512i; 2],
    /// Numbers of this pair.
    now: __m512i,
}

/// What is looked up for a column of a group.
#[derive(Clone, Copy)]
struct Wanted {
    lanes: u16,
    predicted: __m512i,
    place: Place,
    slot: __m512i,
    entry: __m512i,
    /// As [`slots`] gives them.
    slots: __m512i,
}

/// Decodes groups side by side: what one waits for, the others have time for. As `predicted::decode` does each of them.
#[target_feature(
    enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2"
)]
pub fn decode<'a, const N: usize>(model: &Model, begun: [Begun<'a, '_>; N]) -> Option<()> {
    if model.tables.len() != TABLES {
        return None;
    }
    let c = constants(model);
    let passes = begun.iter().map(|of| of.rows.count()).max()?;
    let mut sides = begun.map(|of| Side {
        pass: of.rows.nth(0),
        history: &mut of.work.history,
        columns: &mut of.work.columns,
        // SAFETY: there are 64 bytes.
        state: unsafe { _mm512_loadu_si512(of.stream.states.as_ptr().cast()) },
        mean: all(model.start as i32),
        sums: [all(0); 2],
        next: [all(0); 2],
        now: all(0),
        rows: of.rows,
        stream: of.stream,
        symbols: of.symbols,
        signs: of.signs,
    });
    for pass in 0..passes {
        let first = sides.iter().map(|side| side.pass.from).min()? / 2;
        let to = sides.iter().map(|side| side.pass.to).max()?;
        for side in &mut sides {
            side.history[..first].fill([[0; 2]; LANES]);
            side.sums = [all(model.column(2 * first).bias), all(model.column(2 * first + 1).bias)];
        }
        for i in first..to.div_ceil(2) {
            for side in &mut sides {
                add_last(model, i, side.history, &mut side.sums);
                side.now = all(0);
                side.next = side.sums;
            }
            column::<N>(&c, model, 2 * i, &mut sides)?;
            begin_next::<N>(model, i, &mut sides);
            column::<N>(&c, model, 2 * i + 1, &mut sides)?;
            for side in &mut sides {
                store(&mut side.history[i], side.now);
                side.sums = side.next;
            }
        }
        for side in &mut sides {
            side.pass.transpose_back(side.columns, side.symbols, side.signs);
            side.pass = side.rows.nth(pass + 1);
        }
    }
    for mut side in sides {
        // SAFETY: there are 64 bytes.
        unsafe { _mm512_storeu_si512(side.stream.states.as_mut_ptr().cast(), side.state) };
        side.stream.end()?;
    }
    Some(())
}

/// What is known of the sums of pair `i + 1` of columns, and what the first of pair `i` adds to the second.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn begin_next<const N: usize>(model: &Model, i: usize, sides: &mut [Side<'_, '_>; N]) {
    let own = model.pairs(i).last().map_or(0, |w| w[1][0] as i32);
    let known = model.pairs(i + 1);
    let known = known.split_at(known.len().saturating_sub(2)).0;
    let mut next = [[all(model.column(2 * i + 2).bias), all(model.column(2 * i + 3).bias)]; N];
    // Of as many numbers as there are weights, which are at most all before this pair.
    let histories: [&[Both]; N] = std::array::from_fn(|n| &sides[n].history[..known.len()]);
    for (k, weights) in known.iter().enumerate() {
        for (next, history) in next.iter_mut().zip(histories) {
            add(weights, load(&history[k]), next);
        }
    }
    for (side, next) in sides.iter_mut().zip(next) {
        let x = _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(side.now));
        side.sums[1] = _mm512_add_epi32(side.sums[1], _mm512_mullo_epi32(x, all(own)));
        side.next = next;
    }
}

/// Decodes a column of each group, whose sums are known.
#[inline]
#[target_feature(
    enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2"
)]
fn column<const N: usize>(
    c: &Constants,
    model: &Model,
    column: usize,
    sides: &mut [Side<'_, '_>; N],
) -> Option<()> {
    let of = model.column(column);
    let mut wanted: [Wanted; N] = std::array::from_fn(|n| {
        let side = &sides[n];
        let predicted = c.predicted(side.sums[column % 2]);
        let place = c.place(side.mean, predicted, of.octave);
        let slot = _mm512_and_si512(side.state, all(TOTAL as i32 - 1));
        let part = _mm512_add_epi32(at(place.table), _mm512_srli_epi32::<PART_BITS>(slot));
        // SAFETY: the tables are all there, those of a context are among them, and each begins with a byte for each part, behind which there are more.
        let entry = unsafe { _mm512_i32gather_epi32::<1>(part, model.tables.as_ptr().cast()) };
        let entry = _mm512_and_si512(entry, all(255));
        Wanted { lanes: side.pass.lanes(column), predicted, place, slot, entry, slots: all(0) }
    });
    loop {
        let mut more = 0;
        for w in &mut wanted {
            // SAFETY: as above. The last entry of a table, far below 255, ends behind all slots.
            w.slots = unsafe { slots(&model.tables, w.place.table, w.entry) };
            let later = _mm512_cmple_epu32_mask(_mm512_srli_epi32::<16>(w.slots), w.slot);
            w.entry = _mm512_mask_add_epi32(w.entry, later, w.entry, all(1));
            more |= later;
        }
        if more == 0 {
            break;
        }
    }
    for (side, w) in sides.iter_mut().zip(wanted) {
        if w.lanes == 0 {
            continue;
        }
        let below = _mm512_and_si512(w.slots, all(0xffff));
        let frequency = _mm512_sub_epi32(_mm512_srli_epi32::<16>(w.slots), below);
        let advanced = _mm512_mullo_epi32(frequency, _mm512_srli_epi32::<PROBABILITY_BITS>(side.state));
        let advanced = _mm512_add_epi32(advanced, _mm512_sub_epi32(w.slot, below));
        let mut state = _mm512_mask_mov_epi32(side.state, w.lanes, advanced);
        let from_numbers = _mm512_sub_epi32(w.entry, c.numbers);
        let negative = _mm512_movepi32_mask(from_numbers) ^ w.place.turned;
        let number = _mm512_sub_epi32(_mm512_abs_epi32(from_numbers), all(1));
        let symbol = _mm512_and_si512(_mm512_add_epi32(w.place.lowest, number), all(255));
        let mut numbers = _mm512_mask_or_epi32(symbol, negative, symbol, all(256));
        let escaped = _mm512_mask_cmpeq_epi32_mask(w.lanes, w.entry, c.numbers);
        if escaped != 0 {
            (state, numbers) = refill_with_escapes(&mut side.stream, state, w.lanes, escaped, numbers)?;
        } else {
            let low = _mm512_mask_cmplt_epu32_mask(w.lanes, state, all(LOWEST as i32));
            let ahead = side.stream.ahead()?;
            // SAFETY: there are 64 bytes.
            let words = unsafe { _mm256_loadu_si256(ahead.as_ptr().cast()) };
            let words = _mm512_maskz_expand_epi32(low, _mm512_cvtepu16_epi32(words));
            state = _mm512_or_si512(_mm512_mask_slli_epi32::<16>(state, low, state), words);
            side.stream.skip(low.count_ones() as usize);
        }
        side.state = state;
        // SAFETY: there are 32 bytes.
        unsafe {
            let to = side.columns[column].as_mut_ptr();
            _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(numbers));
        }
        let negative = _mm512_test_epi32_mask(numbers, all(256));
        let x = c.scaled(_mm512_and_si512(numbers, all(255)), negative, of.multiplier);
        let error = _mm512_abs_epi32(_mm512_sub_epi32(x, w.predicted));
        side.mean = c.step(side.mean, w.lanes, error);
        let x = _mm512_maskz_mov_epi32(w.lanes, x);
        side.now = if column.is_multiple_of(2) {
            _mm512_and_si512(x, all(0xffff))
        } else {
            _mm512_or_si512(side.now, _mm512_slli_epi32::<16>(x))
        };
    }
    Some(())
}

/// Through general registers, as it is rare.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn refill_with_escapes(
    stream: &mut Stream<'_>,
    state: __m512i,
    lanes: u16,
    escaped: u16,
    numbers: __m512i,
) -> Option<(__m512i, __m512i)> {
    let mut each = [0; LANES];
    // SAFETY: there are 64 bytes in the states, and 32 in the numbers.
    unsafe {
        _mm512_storeu_si512(stream.states.as_mut_ptr().cast(), state);
        _mm256_storeu_si256(each.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(numbers));
    }
    refill(stream, lanes, escaped, &mut each)?;
    // SAFETY: as above.
    unsafe {
        let numbers = _mm256_loadu_si256(each.as_ptr().cast());
        Some((_mm512_loadu_si512(stream.states.as_ptr().cast()), _mm512_cvtepu16_epi32(numbers)))
    }
}

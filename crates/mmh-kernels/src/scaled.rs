//! Floats that were quantized and expanded again: a value of a small grid, times the scale of its group, rounded (`spec/codecs/hierarchical.md`,
//! section 12).

/// Stands for an element that is no value of the grid times the scale.
pub const ESCAPE: u8 = 255;

/// The code of zero among integers.
pub const ZERO: u8 = 127;

/// What elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// IEEE 754 binary16.
    Half,
    /// bfloat16.
    Brain,
    /// IEEE 754 binary32.
    Single,
}

impl Float {
    /// All of them.
    pub const ALL: [Float; 3] = [Float::Half, Float::Brain, Float::Single];

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Float::Half | Float::Brain => 2,
            Float::Single => 4,
        }
    }

    /// By how much rounding changes a number at most, beside the number.
    pub fn rounding(self) -> f32 {
        match self {
            Float::Half => f32::from_bits((127 - 11) << 23),
            Float::Brain => f32::from_bits((127 - 8) << 23),
            Float::Single => f32::from_bits((127 - 24) << 23),
        }
    }
}

/// Grids that are looked for. A decoder is given the values of a grid, whatever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// −127 … 127, as codes 0 … 254.
    Integers,
    /// OCP FP8 E4M3, each value as its byte.
    E4m3,
    /// The sixteen quantiles of 4-bit NormalFloat, in order.
    NormalFloat4,
}

/// QLoRA's 4-bit NormalFloat (arXiv:2305.14314, appendix E).
const NORMAL_FLOAT4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

impl Grid {
    /// All of them.
    pub const ALL: [Grid; 3] = [Grid::Integers, Grid::E4m3, Grid::NormalFloat4];

    /// The value of each code.
    pub fn values(self) -> Vec<f32> {
        match self {
            Grid::Integers => (-127i16..=127).map(f32::from).collect(),
            Grid::E4m3 => (0..=254u8).map(e4m3).collect(),
            Grid::NormalFloat4 => NORMAL_FLOAT4.to_vec(),
        }
    }

    /// The value that is nearest.
    pub fn nearest(self, ratio: f32) -> f32 {
        match self {
            Grid::Integers => Integers::nearest(ratio).1,
            Grid::E4m3 => E4m3::nearest(ratio).1,
            Grid::NormalFloat4 => Quantiles::nearest(ratio).1,
        }
    }
}

/// The nearest value of a grid: its code, and the value.
trait Nearest {
    fn nearest(ratio: f32) -> (u32, f32);
}

/// Adding and taking away this rounds to a multiple of 2^(power).
const fn rounder(power: i32) -> f32 {
    f32::from_bits(((127 + 23 + power) as u32) << 23 | 1 << 22)
}

struct Integers;

impl Nearest for Integers {
    #[inline(always)]
    #[allow(clippy::manual_clamp)]
    fn nearest(ratio: f32) -> (u32, f32) {
        const ROUND: f32 = rounder(0);
        // What is no number becomes the first of the two, where `clamp` would leave it.
        let sum = ratio.max(-127.0).min(127.0) + ROUND;
        (sum.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(ZERO as u32), sum - ROUND)
    }
}

struct E4m3;

impl Nearest for E4m3 {
    #[inline(always)]
    fn nearest(ratio: f32) -> (u32, f32) {
        const SMALL: f32 = rounder(-9);
        const LEAST_NORMAL: f32 = 1.0 / 64.0;
        let sign = ratio.to_bits() & 1 << 31;
        let magnitude = f32::from_bits(ratio.to_bits() ^ sign).min(448.0);
        // Three bits of the mantissa, to even; below the least normal number multiples of 2^-9.
        let bits = magnitude.to_bits();
        let up = (bits.wrapping_add((1 << 19) - 1 + (bits >> 20 & 1))) & !((1 << 20) - 1);
        let sum = magnitude + SMALL;
        let is_small = magnitude < LEAST_NORMAL;
        let value = if is_small { sum - SMALL } else { f32::from_bits(up) };
        let code = if is_small {
            sum.to_bits().wrapping_sub(SMALL.to_bits())
        } else {
            (up >> 20).wrapping_sub((127 - 7) << 3)
        };
        (code | sign >> 24, f32::from_bits(value.to_bits() | sign))
    }
}

struct Quantiles;

impl Nearest for Quantiles {
    #[inline(always)]
    fn nearest(ratio: f32) -> (u32, f32) {
        let (mut code, mut value) = (0, NORMAL_FLOAT4[0]);
        for i in 1..NORMAL_FLOAT4.len() {
            let above = ratio > (NORMAL_FLOAT4[i - 1] + NORMAL_FLOAT4[i]) * 0.5;
            code += above as u32;
            value = if above { NORMAL_FLOAT4[i] } else { value };
        }
        (code, value)
    }
}

/// Elements of one type.
trait Word {
    const SIZE: usize;
    /// All bits but the sign.
    const MAGNITUDE: u32;
    /// Some of these are set in numbers whose products are normal numbers of binary32. Others are escaped: a process may have its subnormal ones made zero.
    const NORMAL: u32;
    /// Half of what the last bit counts, beside the power of two that is not above the number.
    const HALF_STEP: f64;
    /// Half of what it counts below the normal numbers.
    const LEAST_STEP: f64;
    /// The bits of an element.
    fn get(bytes: &[u8]) -> u32;
    fn put(bits: u32, bytes: &mut [u8]);
    /// The number that they are; what is none is a NaN.
    fn value(bits: u32) -> f32;
    /// What a number is rounded to, ties to even.
    fn round(value: f32) -> u32;
}

struct Half;

impl Word for Half {
    const SIZE: usize = 2;
    const MAGNITUDE: u32 = 0x7FFF;
    const NORMAL: u32 = 0x7FFF;
    const HALF_STEP: f64 = 1.0 / 2048.0;
    const LEAST_STEP: f64 = 1.0 / 33_554_432.0;

    #[inline(always)]
    fn get(bytes: &[u8]) -> u32 {
        Brain::get(bytes)
    }

    #[inline(always)]
    fn put(bits: u32, bytes: &mut [u8]) {
        Brain::put(bits, bytes);
    }

    #[inline(always)]
    fn value(bits: u32) -> f32 {
        // The exponent of binary32 is larger by 112: multiplying puts that right for small numbers, too.
        let magnitude = f32::from_bits((bits & 0x7FFF) << 13) * f32::from_bits((127 + 112) << 23);
        let magnitude = if bits & 0x7C00 == 0x7C00 { f32::NAN } else { magnitude };
        f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
    }

    #[inline(always)]
    fn round(value: f32) -> u32 {
        let sign = value.to_bits() >> 16 & 0x8000;
        let bits = value.to_bits() & 0x7FFF_FFFF;
        let normal = (bits.wrapping_add(0xFFF + (bits >> 13 & 1)).wrapping_sub(112 << 23)) >> 13;
        // The last bit of a number between 1/2 and 1 counts 2^-24, as that of small halves does.
        let small = (f32::from_bits(bits) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
        let magnitude = if bits < (127 - 14) << 23 { small } else { normal.min(0x7C00) };
        sign | magnitude
    }
}

struct Brain;

impl Word for Brain {
    const SIZE: usize = 2;
    const MAGNITUDE: u32 = 0x7FFF;
    const NORMAL: u32 = 0x7F80;
    const HALF_STEP: f64 = 1.0 / 256.0;
    const LEAST_STEP: f64 = 0.0;

    #[inline(always)]
    fn get(bytes: &[u8]) -> u32 {
        let mut word = [0; 2];
        word.copy_from_slice(bytes);
        u16::from_le_bytes(word) as u32
    }

    #[inline(always)]
    fn put(bits: u32, bytes: &mut [u8]) {
        bytes.copy_from_slice(&(bits as u16).to_le_bytes());
    }

    #[inline(always)]
    fn value(bits: u32) -> f32 {
        finite_or_nan(f32::from_bits(bits << 16))
    }

    #[inline(always)]
    fn round(value: f32) -> u32 {
        let bits = value.to_bits();
        bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16
    }
}

struct Single;

impl Word for Single {
    const SIZE: usize = 4;
    const MAGNITUDE: u32 = 0x7FFF_FFFF;
    const NORMAL: u32 = 0x7F80_0000;
    const HALF_STEP: f64 = 1.0 / 16_777_216.0;
    const LEAST_STEP: f64 = 0.0;

    #[inline(always)]
    fn get(bytes: &[u8]) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(bytes);
        u32::from_le_bytes(word)
    }

    #[inline(always)]
    fn put(bits: u32, bytes: &mut [u8]) {
        bytes.copy_from_slice(&bits.to_le_bytes());
    }

    #[inline(always)]
    fn value(bits: u32) -> f32 {
        finite_or_nan(f32::from_bits(bits))
    }

    #[inline(always)]
    fn round(value: f32) -> u32 {
        value.to_bits()
    }
}

#[inline(always)]
fn finite_or_nan(value: f32) -> f32 {
    if value.is_finite() { value } else { f32::NAN }
}

/// Calls a function for the type of elements and, if one is named, the grid.
macro_rules! with_types {
    ($float:expr, $name:ident($($arg:expr),*)) => {
        match $float {
            Float::Half => $name::<Half>($($arg),*),
            Float::Brain => $name::<Brain>($($arg),*),
            Float::Single => $name::<Single>($($arg),*),
        }
    };
    ($float:expr, $grid:expr, $name:ident($($arg:expr),*)) => {
        match ($float, $grid) {
            (Float::Half, Grid::Integers) => $name::<Half, Integers>($($arg),*),
            (Float::Half, Grid::E4m3) => $name::<Half, E4m3>($($arg),*),
            (Float::Half, Grid::NormalFloat4) => $name::<Half, Quantiles>($($arg),*),
            (Float::Brain, Grid::Integers) => $name::<Brain, Integers>($($arg),*),
            (Float::Brain, Grid::E4m3) => $name::<Brain, E4m3>($($arg),*),
            (Float::Brain, Grid::NormalFloat4) => $name::<Brain, Quantiles>($($arg),*),
            (Float::Single, Grid::Integers) => $name::<Single, Integers>($($arg),*),
            (Float::Single, Grid::E4m3) => $name::<Single, E4m3>($($arg),*),
            (Float::Single, Grid::NormalFloat4) => $name::<Single, Quantiles>($($arg),*),
        }
    };
}

multiversion! {
    /// The numbers of `body`, as many as `values` has room for; NaN for what is none.
    pub fn load(float: Float, body: &[u8], values: &mut [f32]) = load_generic;
    on load_on
}

#[inline(always)]
fn load_generic(float: Float, body: &[u8], values: &mut [f32]) {
    with_types!(float, load_words(body, values));
}

#[inline(always)]
fn load_words<W: Word>(body: &[u8], values: &mut [f32]) {
    for (value, bytes) in values.iter_mut().zip(body.chunks_exact(W::SIZE)) {
        *value = W::value(W::get(bytes));
    }
}

/// Elements that are looked at side by side.
const AT_ONCE: usize = 16;

multiversion! {
    /// Writes the code of each element of `body` that is a value of the grid times `scale`, which is finite and not zero, and [`ESCAPE`] for others. How many those are, without
    /// zeros of the other sign, which all are one number; soon after they are more than `most` it stops, and `codes` is of no account.
    pub fn fit(float: Float, grid: Grid, scale: f32, body: &[u8], most: usize, codes: &mut [u8]) -> usize = fit_generic;
    on fit_on
}

#[inline(always)]
fn fit_generic(float: Float, grid: Grid, scale: f32, body: &[u8], most: usize, codes: &mut [u8]) -> usize {
    with_types!(float, grid, fit_words(scale, body, most, codes))
}

#[inline(always)]
fn fit_words<W: Word, N: Nearest>(scale: f32, body: &[u8], most: usize, codes: &mut [u8]) -> usize {
    let (pieces, tail) = codes.as_chunks_mut::<AT_ONCE>();
    let (body, tail_body) = body.split_at((pieces.len() * AT_ONCE * W::SIZE).min(body.len()));
    let mut escaped = 0;
    for (codes, body) in pieces.iter_mut().zip(body.chunks_exact(AT_ONCE * W::SIZE)) {
        escaped += fit_some::<W, N, AT_ONCE>(scale, body, codes);
        if escaped > most {
            return escaped;
        }
    }
    for (code, body) in tail.as_chunks_mut::<1>().0.iter_mut().zip(tail_body.chunks_exact(W::SIZE)) {
        escaped += fit_some::<W, N, 1>(scale, body, code);
    }
    escaped
}

/// Fits `K` elements; how many are escaped.
#[inline(always)]
fn fit_some<W: Word, N: Nearest, const K: usize>(scale: f32, body: &[u8], codes: &mut [u8; K]) -> usize {
    let inverse = 1.0 / scale;
    let mut escaped = 0;
    for (to, bytes) in codes.iter_mut().zip(body.chunks_exact(W::SIZE)) {
        let bits = W::get(bytes);
        let (code, value) = N::nearest(W::value(bits) * inverse);
        let same = (W::round(value * scale) == bits) & ((bits & W::MAGNITUDE == 0) | (bits & W::NORMAL != 0));
        *to = if same { code as u8 } else { ESCAPE };
        escaped += (!same & (bits & W::MAGNITUDE != 0)) as u32;
    }
    escaped as usize
}

/// Scales that [`integers_agree`] tells of: that of which the largest number is as many times as the place says; none for 0.
pub const SCALES: usize = 128;

multiversion! {
    /// Which scales may make integers of all `numbers`, the largest of which is 1, … 127 times the scale. Numbers are off by `most` of what they are and by `least` besides.
    pub fn integers_agree(numbers: &[f32], largest: f32, most: f32, least: f32) -> [bool; SCALES] = integers_agree_generic;
    on integers_agree_on
}

#[inline(always)]
fn integers_agree_generic(numbers: &[f32], largest: f32, most: f32, least: f32) -> [bool; SCALES] {
    const ROUND: f32 = rounder(0);
    // Numbers after which it is asked whether any scale is left.
    const SOME: usize = 3;
    let inverse: [f32; SCALES] = std::array::from_fn(|m| m as f32 / largest);
    let mut agree = [1u32; SCALES];
    agree[0] = 0;
    for numbers in numbers.chunks(SOME) {
        for number in numbers.iter().map(|x| x.abs()) {
            for (agree, inverse) in agree.iter_mut().zip(&inverse) {
                let ratio = number * inverse;
                let nearest = (ratio + ROUND) - ROUND;
                *agree &= ((ratio - nearest).abs() <= nearest * most + least * inverse) as u32;
            }
        }
        if agree.iter().all(|agree| *agree == 0) {
            break;
        }
    }
    agree.map(|agree| agree != 0)
}

multiversion! {
    /// Within which bounds the magnitude of the scale is, given that it is nearly `scale`, as far as elements tell that are at most `most` times as large; the
    /// lower one is above the upper one where there is no such scale.
    pub fn bounds(float: Float, grid: Grid, scale: f32, most: f32, values: &[f32]) -> (f64, f64) = bounds_generic;
    on bounds_on
}

#[inline(always)]
fn bounds_generic(float: Float, grid: Grid, scale: f32, most: f32, values: &[f32]) -> (f64, f64) {
    with_types!(float, grid, bounds_of(scale, most, values))
}

#[inline(always)]
fn bounds_of<W: Word, N: Nearest>(scale: f32, most: f32, values: &[f32]) -> (f64, f64) {
    const LANES: usize = 8;
    let inverse = 1.0 / scale;
    let (mut low, mut high) = ([0f64; LANES], [f64::INFINITY; LANES]);
    for values in values.chunks(LANES) {
        for ((value, low), high) in values.iter().zip(&mut low).zip(&mut high) {
            let nearest = N::nearest(value * inverse).1.abs();
            let tells = (nearest > 0.0) & (nearest <= most);
            let magnitude = value.abs();
            // Half of what the last bit of the element counts.
            let power = f32::from_bits(magnitude.to_bits() & 0x7F80_0000) as f64;
            let step = (power * W::HALF_STEP).max(W::LEAST_STEP);
            let (magnitude, nearest) = (magnitude as f64, nearest as f64);
            // Below a power of two numbers are twice as dense.
            let below = if magnitude == power { step * 0.5 } else { step };
            let (from, to) = ((magnitude - below) / nearest, (magnitude + step) / nearest);
            *low = if tells & (from > *low) { from } else { *low };
            *high = if tells & (to < *high) { to } else { *high };
        }
    }
    (low.into_iter().fold(0.0, f64::max), high.into_iter().fold(f64::INFINITY, f64::min))
}

/// Values of a grid, some of which need no table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Values<'a> {
    table: &'a [f32; 256],
    /// How many there are; the others in the table are zero.
    count: usize,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// This number, and on by ones.
    Linear(f32),
    /// OCP FP8 E4M3.
    E4m3,
    Table,
}

impl<'a> Values<'a> {
    /// The first `count` of a table.
    pub fn new(table: &'a [f32; 256], count: usize) -> Values<'a> {
        let count = count.min(table.len());
        let values = &table[..count];
        // Bit for bit, as zero has two signs.
        let are = |value: &dyn Fn(usize) -> f32| {
            values.iter().enumerate().all(|(i, v)| v.to_bits() == value(i).to_bits())
        };
        let form = match values.first() {
            Some(first) if first.abs() <= 256.0 && are(&|i| *first + i as f32) => Form::Linear(*first),
            Some(_) if are(&|i| e4m3(i as u8)) => Form::E4m3,
            _ => Form::Table,
        };
        Values { table, count, form }
    }
}

multiversion! {
    /// The converse of [`fit`]: the values of a grid times the scales of the groups, each of `length` elements but for the first one, which has `missing` fewer, and the last.
    /// Escaped elements become some number. `false` if a code is neither [`ESCAPE`] nor one of the grid's, or there are more codes than groups have.
    pub fn join(float: Float, values: Values<'_>, scales: &[u8], length: usize, missing: usize, codes: &[u8], body: &mut [u8]) -> bool = join_generic;
    on join_on
}

#[inline(always)]
fn join_generic(
    float: Float,
    values: Values<'_>,
    scales: &[u8],
    length: usize,
    missing: usize,
    codes: &[u8],
    body: &mut [u8],
) -> bool {
    let groups = Groups { scales, length, missing };
    match values.form {
        Form::Linear(first) => {
            let value = |code: u8| first + code as f32;
            with_types!(float, join_words(value, groups, codes, body));
        }
        Form::E4m3 => {
            with_types!(float, join_words(e4m3, groups, codes, body));
        }
        Form::Table if length >= 2 * values.count => {
            with_types!(float, join_by_table(values, groups, codes, body));
        }
        Form::Table => {
            let value = |code: u8| values.table[code as usize];
            with_types!(float, join_words(value, groups, codes, body));
        }
    }
    let known = codes.iter().fold(true, |all, c| all & ((*c as usize) < values.count || *c == ESCAPE));
    let room = scales.len() / 4 * length;
    known && codes.len() <= room.saturating_sub(missing)
}

/// The value of a byte of OCP FP8 E4M3. No code stands for its NaNs: theirs is what would come next.
#[inline(always)]
fn e4m3(code: u8) -> f32 {
    let magnitude = code as u32 & 0x7F;
    let small = magnitude as f32 * (1.0 / 512.0);
    let normal = f32::from_bits((magnitude << 20) + ((127 - 7) << 23));
    let value = if magnitude < 8 { small } else { normal };
    f32::from_bits(value.to_bits() | (code as u32 & 0x80) << 24)
}

#[derive(Clone, Copy)]
struct Groups<'a> {
    scales: &'a [u8],
    length: usize,
    missing: usize,
}

impl<'a> Groups<'a> {
    /// Calls `f` with the scale of each group, its codes and where its elements go.
    #[inline(always)]
    fn each<W: Word>(self, codes: &[u8], body: &mut [u8], mut f: impl FnMut(f32, &[u8], &mut [u8])) {
        let (mut codes, mut body) = (codes, body);
        let mut now = self.length.saturating_sub(self.missing);
        for scale in self.scales.as_chunks().0 {
            let (of_group, later) = codes.split_at(now.min(codes.len()));
            let (out, rest) = body.split_at_mut(now.saturating_mul(W::SIZE).min(body.len()));
            f(f32::from_le_bytes(*scale), of_group, out);
            (codes, body, now) = (later, rest, self.length);
        }
    }
}

#[inline(always)]
fn join_words<W: Word>(value: impl Fn(u8) -> f32, groups: Groups<'_>, codes: &[u8], body: &mut [u8]) {
    groups.each::<W>(codes, body, |scale, codes, out| {
        let (pieces, tail) = codes.as_chunks::<AT_ONCE>();
        let (out, out_tail) = out.split_at_mut((pieces.len() * AT_ONCE * W::SIZE).min(out.len()));
        for (out, codes) in out.chunks_exact_mut(AT_ONCE * W::SIZE).zip(pieces) {
            join_some::<W, AT_ONCE>(&value, scale, codes, out);
        }
        for (out, code) in out_tail.chunks_exact_mut(W::SIZE).zip(tail.as_chunks::<1>().0) {
            join_some::<W, 1>(&value, scale, code, out);
        }
    });
}

/// The same by a table of the elements of each group, made of the values.
#[inline(always)]
fn join_by_table<W: Word>(values: Values<'_>, groups: Groups<'_>, codes: &[u8], body: &mut [u8]) {
    let mut elements = [0u32; 256];
    groups.each::<W>(codes, body, |scale, codes, out| {
        let each = elements.iter_mut().zip(values.table).take(values.count);
        each.for_each(|(element, value)| *element = W::round(value * scale));
        for (out, code) in out.chunks_exact_mut(W::SIZE).zip(codes) {
            W::put(elements[*code as usize], out);
        }
    });
}

#[inline(always)]
fn join_some<W: Word, const K: usize>(
    value: impl Fn(u8) -> f32,
    scale: f32,
    codes: &[u8; K],
    out: &mut [u8],
) {
    for (out, code) in out.chunks_exact_mut(W::SIZE).zip(codes) {
        W::put(W::round(value(*code) * scale), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Simd;

    fn sets() -> impl Iterator<Item = Simd> {
        Simd::ALL.iter().copied().filter(|s| s.is_available())
    }

    /// Elements of a type, rounded from numbers.
    fn stored(float: Float, values: &[f32]) -> Vec<u8> {
        fn put<W: Word>(values: &[f32]) -> Vec<u8> {
            let mut out = vec![0; values.len() * W::SIZE];
            out.chunks_exact_mut(W::SIZE).zip(values).for_each(|(to, v)| W::put(W::round(*v), to));
            out
        }
        with_types!(float, put(values))
    }

    #[test]
    fn every_value_of_every_grid_comes_back() {
        for float in Float::ALL {
            for grid in Grid::ALL {
                // Code 127 of FP8 stands for nothing.
                let values: Vec<f32> = grid.values().into_iter().filter(|v| v.abs() < 480.0).collect();
                let scales = [0.013_7f32, 3e-5, 1.0, 0.75];
                for scale in scales {
                    // Zero has one code; what is not a number, and half of the least number, have none.
                    let scaled: Vec<f32> =
                        values.iter().map(|v| v * scale).chain([f32::NAN, scale / 3072.0]).collect();
                    let body = stored(float, &scaled);
                    for simd in sets() {
                        let mut codes = vec![0; scaled.len()];
                        let escaped = fit_on(simd, float, grid, scale, &body, usize::MAX, &mut codes);
                        let (last, known) = codes.split_last_chunk::<2>().map(|(k, l)| (l, k)).unwrap();
                        assert_eq!((escaped >= 1, last[0]), (true, ESCAPE), "{float:?} {grid:?} {scale}");
                        for (code, value) in known.iter().zip(&values) {
                            // The scale is such that small halves are not told apart.
                            if float != Float::Half || value.abs() * scale > 2e-4 || *value == 0.0 {
                                assert_eq!(
                                    grid.values()[*code as usize],
                                    *value,
                                    "{float:?} {grid:?} {scale}"
                                );
                            }
                        }
                        let mut table = [0.0; 256];
                        let all = grid.values();
                        table[..all.len()].copy_from_slice(&all);
                        let mut back = vec![0; body.len()];
                        let scale = scale.to_le_bytes();
                        let n = codes.len();
                        let good = join_on(
                            simd,
                            float,
                            Values::new(&table, all.len()),
                            &scale,
                            n + 3,
                            3,
                            &codes,
                            &mut back,
                        );
                        assert!(good);
                        let size = float.size();
                        for (i, code) in codes.iter().enumerate().filter(|c| *c.1 != ESCAPE) {
                            let at = i * size..(i + 1) * size;
                            assert_eq!(back[at.clone()], body[at], "{float:?} {grid:?} {code}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn halves_are_loaded_and_rounded_as_ieee_says() {
        for bits in 0..=0xFFFFu32 {
            let value = Half::value(bits);
            if bits & 0x7C00 == 0x7C00 {
                assert!(value.is_nan());
                continue;
            }
            let (exponent, mantissa) = ((bits >> 10 & 31) as i32, (bits & 1023) as f64);
            let magnitude = match exponent {
                0 => mantissa * 2f64.powi(-24),
                e => (1024.0 + mantissa) * 2f64.powi(e - 25),
            };
            assert_eq!(value.abs() as f64, magnitude);
            assert_eq!(value.is_sign_negative(), bits >> 15 == 1);
            assert_eq!(Half::round(value), bits);
            if bits & 0x7FFF < 0x7BFF {
                // Half way to the next one: to even; a little less, and a little more.
                let next = Half::value(bits + 1);
                let middle = (value + next) / 2.0;
                assert_eq!(Half::round(middle), (bits + 1) & !1);
                assert_eq!(Half::round(middle + (value - middle) / 64.0), bits);
                assert_eq!(Half::round(middle + (next - middle) / 64.0), bits + 1);
            }
        }
        assert_eq!([65520.0, 1e30, f32::INFINITY].map(Half::round), [0x7C00; 3]);
        assert_eq!([65519.0, -65519.0].map(Half::round), [0x7BFF, 0xFBFF]);
    }

    #[test]
    fn grids_that_need_no_table_are_known() {
        let form = |grid: Grid, from: usize| {
            let mut table = [0.0; 256];
            let values = grid.values().split_off(from);
            table[..values.len()].copy_from_slice(&values);
            Values::new(&table, values.len()).form
        };
        assert_eq!(form(Grid::Integers, 0), Form::Linear(-127.0));
        assert_eq!(form(Grid::Integers, 120), Form::Linear(-7.0));
        assert_eq!(form(Grid::E4m3, 0), Form::E4m3);
        assert_eq!(form(Grid::E4m3, 1), Form::Table);
        assert_eq!(form(Grid::NormalFloat4, 0), Form::Table);
        // The exponent's bias is 7, and that of subnormal numbers is one more.
        let known = [
            (0x00, 0.0),
            (0x01, 1.0 / 512.0),
            (0x07, 7.0 / 512.0),
            (0x08, 1.0 / 64.0),
            (0x38, 1.0),
            (0xB9, -1.125),
            (0x7E, 448.0),
        ];
        assert!(known.iter().all(|(code, value)| e4m3(*code) == *value) && e4m3(0x80).to_bits() == 1 << 31);
        assert!((0..0x7E).all(|code| e4m3(code) < e4m3(code + 1)));
    }

    #[test]
    fn scales_that_make_integers_agree_on_each_set() {
        let numbers = [3.0f32, -5.0, 12.0, 100.0, 7.0].map(|k| k * 0.001_234_5);
        let found: Vec<_> =
            sets().map(|simd| integers_agree_on(simd, &numbers, numbers[3], 1e-6, 0.0)).collect();
        assert!((0..SCALES).all(|m| found[0][m] == (m == 100)), "{:?}", found[0]);
        assert!(found.iter().all(|f| *f == found[0]));
        assert!(integers_agree(&[0.1, 0.017, 0.0233, 0.041], 0.1, 1e-6, 0.0).iter().all(|agree| !agree));
    }

    #[test]
    fn bounds_are_about_the_scale() {
        let scale = 0.001_234_5f32;
        for (float, grid) in Float::ALL.into_iter().flat_map(|f| Grid::ALL.map(|g| (f, g))) {
            let scaled: Vec<f32> =
                grid.values().iter().map(|v| v * scale).filter(|v| (1e-3..0.55).contains(&v.abs())).collect();
            let body = stored(float, &scaled);
            let mut values = vec![0.0; scaled.len()];
            load(float, &body, &mut values);
            let all = sets().map(|simd| bounds_on(simd, float, grid, scale * 1.000_1, 1e9, &values));
            let all: Vec<_> = all.collect();
            let (low, high) = all[0];
            assert!(low <= scale as f64 && scale as f64 <= high, "{float:?} {grid:?} {low} {high}");
            assert!(high - low <= scale as f64 * float.rounding() as f64 * 2.0);
            assert!(all.iter().all(|found| *found == all[0]));
        }
    }

    #[test]
    fn codes_beyond_the_grid_and_too_few_scales_are_told() {
        let table = [1.0; 256];
        let grid = Values::new(&table, 2);
        let scale = 2f32.to_le_bytes();
        let mut body = [0; 4];
        assert!(join(Float::Brain, grid, &scale, 2, 0, &[1, ESCAPE], &mut body));
        assert_eq!(body[..2], [0x00, 0x40]);
        assert!(!join(Float::Brain, grid, &scale, 2, 0, &[1, 2], &mut body));
        assert!(!join(Float::Brain, grid, &scale, 1, 0, &[1, 1], &mut body));
        assert!(!join(Float::Brain, grid, &scale, 2, 1, &[1, 1], &mut body));
    }
}

//! Floats that were printed in decimal: `number / 10^places`, rounded (`spec/codecs/hierarchical.md`, section 5).

/// The powers of ten that binary64 has exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// The most decimal places.
pub const MOST_PLACES: u8 = 22;

/// Places beyond the base that are tried.
pub const MORE: u8 = 4;

/// Stands for an element that has no such form.
pub const ESCAPE: u8 = 255;

/// An IEEE 754 number.
pub trait Float: Copy {
    /// Bytes of it.
    const SIZE: usize;
    /// Numbers are below two to this, so that chance makes no decimals of noise.
    const LIMIT: f64;
    /// From its bits.
    fn load(bits: u64) -> f64;
    /// The bits of what a value is rounded to.
    fn bits(value: f64) -> u64;
    /// Rounds to the type and writes it.
    fn store(value: f64, bytes: &mut [u8]);
    /// Zigzagged numbers as words of the same size.
    fn put(word: u64, bytes: &mut [u8]);
    /// The converse.
    fn get(bytes: &[u8]) -> u64;
}

macro_rules! float {
    ($float:ty, $word:ty, $limit:literal) => {
        impl Float for $float {
            const SIZE: usize = size_of::<$float>();
            const LIMIT: f64 = $limit;
            #[inline(always)]
            fn load(bits: u64) -> f64 {
                <$float>::from_bits(bits as $word) as f64
            }
            #[inline(always)]
            fn bits(value: f64) -> u64 {
                (value as $float).to_bits() as u64
            }
            #[inline(always)]
            fn store(value: f64, bytes: &mut [u8]) {
                bytes.copy_from_slice(&(value as $float).to_le_bytes());
            }
            #[inline(always)]
            fn put(word: u64, bytes: &mut [u8]) {
                bytes.copy_from_slice(&(word as $word).to_le_bytes());
            }
            #[inline(always)]
            fn get(bytes: &[u8]) -> u64 {
                let mut b = [0; size_of::<$word>()];
                b.copy_from_slice(bytes);
                <$word>::from_le_bytes(b) as u64
            }
        }
    };
}
float!(f32, u32, 1048576.0);
float!(f64, u64, 17592186044416.0);

multiversion! {
    /// Finds for each binary32, or binary64 if `double`, of `body` the first of the places `base …` at which a number gives it back: how many more than
    /// `base`, or [`ESCAPE`], goes to `places`; the zigzagged number, or zero, to `numbers`, which is as long as `body`.
    pub fn split(double: bool, base: u8, body: &[u8], places: &mut [u8], numbers: &mut [u8]) = split_generic;
    on split_on
}

#[inline(always)]
fn split_generic(double: bool, base: u8, body: &[u8], places: &mut [u8], numbers: &mut [u8]) {
    if double {
        split_floats::<f64>(base, body, places, numbers);
    } else {
        split_floats::<f32>(base, body, places, numbers);
    }
}

/// Elements that are looked at side by side.
const AT_ONCE: usize = 16;

#[inline(always)]
fn split_floats<F: Float>(base: u8, body: &[u8], places: &mut [u8], numbers: &mut [u8]) {
    let count = body.len().min(numbers.len()) / F::SIZE;
    let whole = count.min(places.len()) / AT_ONCE * AT_ONCE;
    let (body, tail) = body.split_at(whole * F::SIZE);
    let (places, tail_places) = places.split_at_mut(whole);
    let (numbers, tail_numbers) = numbers.split_at_mut(whole * F::SIZE);
    let each = body.chunks_exact(AT_ONCE * F::SIZE).zip(places.chunks_exact_mut(AT_ONCE));
    for ((body, places), numbers) in each.zip(numbers.chunks_exact_mut(AT_ONCE * F::SIZE)) {
        split_some::<F, AT_ONCE>(base, body, places, numbers);
    }
    let each = tail.chunks_exact(F::SIZE).zip(tail_places.chunks_exact_mut(1));
    for ((body, place), number) in each.zip(tail_numbers.chunks_exact_mut(F::SIZE)) {
        split_some::<F, 1>(base, body, place, number);
    }
}

/// Splits `N` elements. From the most places to the fewest, so that the last that is found is the first of them: then no element waits for
/// another, and vectors are made of them.
#[inline(always)]
fn split_some<F: Float, const N: usize>(base: u8, body: &[u8], places: &mut [u8], numbers: &mut [u8]) {
    // Adding and taking away 1.5 · 2^52 rounds to an integer, which is what the bits of the sum are above those of that.
    const ROUND: f64 = 6755399441055744.0;
    let (mut bits, mut values) = ([0u64; N], [0f64; N]);
    for ((bits, value), bytes) in bits.iter_mut().zip(&mut values).zip(body.chunks_exact(F::SIZE)) {
        *bits = F::get(bytes);
        *value = F::load(*bits);
    }
    let (mut more, mut words) = ([ESCAPE as u64; N], [0u64; N]);
    for p in (base..(base + MORE).min(MOST_PLACES + 1)).rev() {
        let power = POWERS[p as usize % POWERS.len()];
        for i in 0..N {
            let sum = values[i] * power + ROUND;
            let number = sum - ROUND;
            // Not for what is no number, either.
            let found = (number > -F::LIMIT) & (number < F::LIMIT) & (F::bits(number / power) == bits[i]);
            let k = sum.to_bits().wrapping_sub(ROUND.to_bits()).cast_signed();
            let word = ((k << 1) ^ (k >> 63)).cast_unsigned();
            more[i] = if found { (p - base) as u64 } else { more[i] };
            words[i] = if found { word } else { words[i] };
        }
    }
    places.iter_mut().zip(more).for_each(|(place, more)| *place = more as u8);
    numbers.chunks_exact_mut(F::SIZE).zip(words).for_each(|(number, word)| F::put(word, number));
}

multiversion! {
    /// The converse: numbers are shifted down by `shift` first. Elements that were escaped become some number. `false` if there are places beyond
    /// [`MOST_PLACES`] or numbers of more than 53 bits.
    pub fn merge(double: bool, base: u8, places: &[u8], numbers: &[u8], shift: u8, body: &mut [u8]) -> bool = merge_generic;
    on merge_on
}

#[inline(always)]
fn merge_generic(double: bool, base: u8, places: &[u8], numbers: &[u8], shift: u8, body: &mut [u8]) -> bool {
    if double {
        merge_floats::<f64>(base, places, numbers, shift, body)
    } else {
        merge_floats::<f32>(base, places, numbers, shift, body)
    }
}

#[inline(always)]
fn merge_floats<F: Float>(base: u8, places: &[u8], numbers: &[u8], shift: u8, body: &mut [u8]) -> bool {
    // By places beyond the base; what is escaped is divided by something.
    let powers: [f64; 256] = std::array::from_fn(|m| POWERS.get(base as usize + m).copied().unwrap_or(1.0));
    let known = (MOST_PLACES as usize + 1).saturating_sub(base as usize);
    let mut good = true;
    let each = body.chunks_exact_mut(F::SIZE).zip(places).zip(numbers.chunks_exact(F::SIZE));
    for ((bytes, more), number) in each {
        let word = F::get(number) >> (shift & 63);
        let k = (word >> 1) as i64 ^ -((word & 1) as i64);
        good &= ((*more as usize) < known || *more == ESCAPE) && word >> 54 == 0;
        F::store(k as f64 / powers[*more as usize], bytes);
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Simd;

    #[test]
    fn printed_numbers_come_back_and_others_are_escaped() {
        let texts = ["0.41800", "-0.044457", "9.5", "-0.00066023", "3", "0", "1048575", "-99999.9", "0.1"];
        let strange = [f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE, 1.0 / 3.0, 1e30];
        let singles: Vec<f32> = texts.iter().map(|t| t.parse().unwrap()).chain(strange).collect();
        let doubles: Vec<f64> = singles.iter().map(|x| *x as f64).collect();
        let doubles: Vec<f64> =
            texts.iter().map(|t| t.parse().unwrap()).chain(doubles[texts.len()..].iter().copied()).collect();
        let bytes = [
            (false, singles.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()),
            (true, doubles.iter().flat_map(|x| x.to_le_bytes()).collect()),
        ];
        for (double, body) in bytes {
            let size = if double { 8 } else { 4 };
            for simd in Simd::ALL.iter().copied().filter(|s| s.is_available()) {
                let mut places = vec![0; body.len() / size];
                let mut numbers = vec![0; body.len()];
                split_on(simd, double, 5, &body, &mut places, &mut numbers);
                assert!(places[texts.len()..].iter().all(|p| *p == ESCAPE), "{places:?}");
                let plain = [0, 1, 0, 3, 0, 0];
                assert_eq!(places[..6], plain);
                let mut back = vec![0; body.len()];
                assert!(merge_on(simd, double, 5, &places, &numbers, 0, &mut back));
                for (i, p) in places.iter().enumerate().filter(|p| *p.1 != ESCAPE) {
                    assert_eq!(back[i * size..(i + 1) * size], body[i * size..(i + 1) * size], "{i} {p}");
                }
            }
        }
    }

    #[test]
    fn numbers_and_places_out_of_range_are_told() {
        let mut body = [0; 8];
        assert!(merge(true, 20, &[2], &[2, 0, 0, 0, 0, 0, 0, 0], 0, &mut body));
        assert!(!merge(true, 20, &[3], &[2, 0, 0, 0, 0, 0, 0, 0], 0, &mut body));
        assert!(merge(true, 20, &[ESCAPE], &[2, 0, 0, 0, 0, 0, 0, 0], 0, &mut body));
        assert!(!merge(true, 0, &[0], &[0, 0, 0, 0, 0, 0, 0, 64], 0, &mut body));
        assert!(merge(true, 0, &[0], &[0, 0, 0, 0, 0, 0, 0, 64], 9, &mut body));
    }
}

//! How alike are two stretches of numbers?

multiversion! {
    /// The inner product of `a` and as many elements of `b` (of as many as both have). Elements lie within −1024 … 1023.
    pub fn product(a: &[i16], b: &[i16]) -> i64 = inner;
    on product_on
}

#[inline(always)]
fn inner(a: &[i16], b: &[i16]) -> i64 {
    // So many products of so many bits fit 32.
    let part = |(a, b): (&[i16], &[i16])| a.iter().zip(b).map(|(a, b)| *a as i32 * *b as i32).sum::<i32>();
    a.chunks(1024).zip(b.chunks(1024)).map(|c| part(c) as i64).sum()
}

multiversion! {
    /// Adds up each column of whole rows of so many values.
    pub fn fold(values: &[i16], sums: &mut [i32]) = sum_columns;
    on fold_on
}

/// Columns that are added up at once: with fewer, each sum would wait for the one before it.
const WIDE: usize = 256;

#[inline(always)]
fn sum_columns(values: &[i16], sums: &mut [i32]) {
    let period = sums.len().max(1);
    let times = WIDE.div_ceil(period);
    let (wide, rest) = values.split_at(values.len() / (period * times) * (period * times));
    let add = |sums: &mut [i32], row: &[i16]| sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += *v as i32);
    if times == 1 {
        wide.chunks_exact(period).for_each(|row| add(sums, row));
    } else {
        let mut each = [0i32; 2 * WIDE];
        let each = &mut each[..period * times];
        wide.chunks_exact(period * times).for_each(|row| add(each, row));
        for part in each.chunks_exact(period) {
            sums.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
        }
    }
    rest.chunks_exact(period).for_each(|row| add(sums, row));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Simd;

    #[test]
    fn products_are_those_of_single_elements() {
        let numbers = |n: usize, by: usize| -> Vec<i16> {
            // The largest there are among them, in stretches that would overflow.
            (0..n).map(|i| if i < n / 2 { -1024 } else { (i * by % 2048) as i16 - 1024 }).collect()
        };
        for (n, m) in
            [(0, 5), (1, 1), (31, 40), (32, 32), (100, 99), (1023, 1025), (8192, 8192), (70_001, 70_003)]
        {
            let (a, b) = (numbers(n, 7919), numbers(m, 104_729));
            let expected: i64 = a.iter().zip(&b).map(|(a, b)| *a as i64 * *b as i64).sum();
            for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                assert_eq!(product_on(simd, &a, &b), expected, "{simd:?} {n} {m}");
            }
        }
    }

    #[test]
    fn columns_are_added_up_whatever_their_number() {
        let values: Vec<i16> = (0..5000).map(|i| (i * 7919 % 255) as i16 - 127).collect();
        for period in [1, 2, 3, 16, 72, 255, 256, 257, 300, 1000, 6000] {
            let whole = values.len() / period * period;
            let column = |j: usize| values[..whole].iter().skip(j).step_by(period).map(|v| *v as i32).sum();
            let expected: Vec<i32> = (0..period).map(column).collect();
            for simd in Simd::ALL.into_iter().filter(|s| s.is_available()) {
                let mut sums = vec![0; period];
                fold_on(simd, &values, &mut sums);
                assert_eq!(sums, expected, "{simd:?} {period}");
            }
        }
    }
}

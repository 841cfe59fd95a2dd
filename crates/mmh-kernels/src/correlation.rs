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

#[inline(always)]
fn sum_columns(values: &[i16], sums: &mut [i32]) {
    for row in values.chunks_exact(sums.len().max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += *v as i32);
    }
}

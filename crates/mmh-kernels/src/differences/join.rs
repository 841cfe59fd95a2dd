//! Symbols and extra bits to elements.

use super::{STEP, Spec};

multiversion! {
    /// Restores the elements of a tile from their symbols; the extra bits begin at bit `at`. Gives where they end.
    pub fn tile(spec: &Spec, symbols: &[u8], extra: &[u8], at: usize, base: &[u8], out: &mut [u8]) -> usize = tile_generic;
    on tile_on
}

#[inline(always)]
fn tile_generic(spec: &Spec, symbols: &[u8], extra: &[u8], at: usize, base: &[u8], out: &mut [u8]) -> usize {
    match spec.width {
        0 => bytes(spec, symbols, extra, at, base, out),
        1 => halves(spec, symbols, extra, at, base, out),
        2 => singles(spec, symbols, extra, at, base, out),
        _ => doubles(spec, symbols, extra, at, base, out),
    }
}

/// Eight bytes from the byte of a bit on, shifted so that it is the lowest: 57 bits or more. Zeros where there are none.
#[inline(always)]
fn load(extra: &[u8], at: usize) -> u64 {
    let byte = at >> 3;
    if let Some(eight) = extra.get(byte..).and_then(|e| e.first_chunk::<8>()) {
        return u64::from_le_bytes(*eight) >> (at & 7);
    }
    let mut eight = [0; 8];
    eight.iter_mut().zip(extra.get(byte..).unwrap_or_default()).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(eight) >> (at & 7)
}

/// Takes the extra bits of as many elements, `N` for each look at them, which have `bits` each: at most 57 for `N` of them. Gives where they end.
#[inline(always)]
fn take<const N: usize>(
    extra: &[u8],
    mut at: usize,
    bits: &[u8; STEP],
    mut put: impl FnMut(usize, u64),
) -> usize {
    for (i, bits) in bits.as_chunks::<N>().0.iter().enumerate() {
        let mut word = load(extra, at);
        for (j, bits) in bits.iter().enumerate() {
            let bits = *bits as u32 & 63;
            put(N * i + j, word & ((1 << bits) - 1));
            word >>= bits;
            at += bits as usize;
        }
    }
    at
}

/// Up to 64 bits for each element.
#[inline(always)]
fn take_wide(extra: &[u8], mut at: usize, bits: &[u8; STEP], mut put: impl FnMut(usize, u64)) -> usize {
    for (i, bits) in bits.iter().enumerate() {
        let bits = *bits as usize & 63;
        let low = bits.min(32);
        let word = load(extra, at) & ((1 << low) - 1);
        let upper = load(extra, at + low) & ((1 << (bits - low)) - 1);
        put(i, word | upper << low);
        at += bits;
    }
    at
}

macro_rules! join {
    ($name:ident, $word:ty) => {
        #[inline(always)]
        fn $name(
            spec: &Spec,
            symbols: &[u8],
            extra: &[u8],
            mut at: usize,
            base: &[u8],
            out: &mut [u8],
        ) -> usize {
            const SIZE: usize = size_of::<$word>();
            const BITS: u32 = <$word>::BITS;
            let k = spec.mantissa as u32 & 7;
            let drop = spec.drop as u32 & (BITS - 1);
            let (mask, top) = (<$word>::MAX >> drop, BITS - drop - 1);
            let mantissa = ((1u32 << k) - 1) as $word;
            // What an element whose sign is set has inverted.
            let flip = if spec.float { mask >> 1 } else { 0 };
            let ordered = |x: $word| x ^ ((0 as $word).wrapping_sub(x >> top & 1) & flip);
            let most = spec.most_extra();
            let steps = symbols.chunks(STEP).zip(base.as_chunks::<SIZE>().0.chunks(STEP));
            for ((symbols, base), out) in steps.zip(out.as_chunks_mut::<SIZE>().0.chunks_mut(STEP)) {
                let mut bits = [0u8; STEP];
                let mut low = [0 as $word; STEP];
                bits.iter_mut().zip(symbols).for_each(|(bits, s)| *bits = (s >> k).max(1) - 1);
                if bits.iter().fold(0, |any, b| any | b) > 0 {
                    let put = |i: usize, value: u64| low[i % STEP] = value as $word;
                    at = match most {
                        0..=14 => take::<4>(extra, at, &bits, put),
                        15..=28 => take::<2>(extra, at, &bits, put),
                        29..=57 => take::<1>(extra, at, &bits, put),
                        _ => take_wide(extra, at, &bits, put),
                    };
                }
                let each = out.iter_mut().zip(base).zip(symbols).zip(bits.iter().zip(&low));
                for (((y, x), s), (bits, low)) in each {
                    let s = *s as $word;
                    let highest = ((s >> k != 0) as $word) << k;
                    let difference =
                        ((s & mantissa | highest) << (*bits as u32 & (BITS - 1))).wrapping_add(*low);
                    let d = (difference >> 1) ^ (0 as $word).wrapping_sub(difference & 1);
                    let x = ordered(<$word>::from_le_bytes(*x) >> drop);
                    *y = (ordered(x.wrapping_add(d) & mask) << drop).to_le_bytes();
                }
            }
            at
        }
    };
}
join!(bytes, u8);
join!(halves, u16);
join!(singles, u32);
join!(doubles, u64);

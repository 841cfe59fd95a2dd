//! Elements to symbols and extra bits.

use super::{STEP, Spec};

/// Bits that do not fill a word yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bits {
    word: u64,
    used: u32,
}

impl Bits {
    /// Appends `bits` (at most 32) bits; `value` has no others.
    #[inline(always)]
    fn put(&mut self, value: u64, bits: u32, out: &mut Vec<u8>) {
        // Fewer than 32 bits wait.
        self.word |= value << self.used;
        self.used += bits;
        if self.used >= 32 {
            out.extend_from_slice(&(self.word as u32).to_le_bytes());
            self.word >>= 32;
            self.used -= 32;
        }
    }

    /// Appends those that are left.
    pub fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.word.to_le_bytes()[..self.used.div_ceil(8) as usize]);
    }
}

multiversion! {
    /// Writes the symbols of a tile in the order of its elements, and appends their extra bits.
    pub fn tile(spec: &Spec, data: &[u8], base: &[u8], symbols: &mut [u8], bits: &mut Bits, extra: &mut Vec<u8>) = tile_generic;
    on tile_on
}

#[inline(always)]
fn tile_generic(
    spec: &Spec,
    data: &[u8],
    base: &[u8],
    symbols: &mut [u8],
    bits: &mut Bits,
    extra: &mut Vec<u8>,
) {
    match spec.width {
        0 => bytes(spec, data, base, symbols, bits, extra),
        1 => halves(spec, data, base, symbols, bits, extra),
        2 => singles(spec, data, base, symbols, bits, extra),
        _ => doubles(spec, data, base, symbols, bits, extra),
    }
}

macro_rules! split {
    ($name:ident, $word:ty, $signed:ty) => {
        #[inline(always)]
        fn $name(
            spec: &Spec,
            data: &[u8],
            base: &[u8],
            symbols: &mut [u8],
            bits: &mut Bits,
            extra: &mut Vec<u8>,
        ) {
            const SIZE: usize = size_of::<$word>();
            const BITS: u32 = <$word>::BITS;
            let k = spec.mantissa as u32 & 7;
            let drop = spec.drop as u32 & (BITS - 1);
            let (mask, top) = (<$word>::MAX >> drop, BITS - drop - 1);
            let flip = if spec.float { mask >> 1 } else { 0 };
            let ordered = |x: $word| x ^ ((0 as $word).wrapping_sub(x >> top & 1) & flip);
            let steps = data.as_chunks::<SIZE>().0.chunks(STEP).zip(base.as_chunks::<SIZE>().0.chunks(STEP));
            for ((data, base), symbols) in steps.zip(symbols.chunks_mut(STEP)) {
                let mut low = [0 as $word; STEP];
                let mut count = [0u8; STEP];
                let each = data.iter().zip(base).zip(symbols.iter_mut()).zip(low.iter_mut().zip(&mut count));
                for (((y, x), symbol), (low, count)) in each {
                    let y = ordered(<$word>::from_le_bytes(*y) >> drop);
                    let x = ordered(<$word>::from_le_bytes(*x) >> drop);
                    let d = y.wrapping_sub(x) << drop;
                    let sign = (d as $signed >> (BITS - 1)) as $word;
                    let difference = ((d << 1) ^ (sign >> drop << drop)) >> drop;
                    // The place of the highest bit above those that join the symbol.
                    let place = BITS - 1 - (difference | 1).leading_zeros();
                    let more = place.max(k) - k;
                    *symbol = ((more << k) as u8).wrapping_add((difference >> more) as u8);
                    *low = difference & (((1 as $word) << more) - 1);
                    *count = more as u8;
                }
                if count.iter().fold(0, |any, c| any | c) == 0 {
                    continue;
                }
                for (low, count) in low.iter().zip(&count).take(data.len()) {
                    let (low, count) = (*low as u64, *count as u32);
                    if SIZE == 8 && count > 32 {
                        bits.put(low & 0xffff_ffff, 32, extra);
                        bits.put(low >> 32, count - 32, extra);
                    } else {
                        bits.put(low, count, extra);
                    }
                }
            }
        }
    };
}
split!(bytes, u8, i8);
split!(halves, u16, i16);
split!(singles, u32, i32);
split!(doubles, u64, i64);

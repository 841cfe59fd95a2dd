//! Floats of one type as those of another (`spec/codecs/delta.md`, section 4).
//!
//! Nearest, ties to even, as IEEE 754 has it and as frameworks cast; in arithmetic of integers, and additions of floats that IEEE 754 defines to the last bit.

/// A type of floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Float {
    /// IEEE 754 binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// IEEE 754 binary32.
    F32,
    /// OCP FP8 E4M3.
    E4m3,
    /// OCP FP8 E5M2.
    E5m2,
}

impl Float {
    /// Bytes of an element.
    pub const fn size(self) -> usize {
        match self {
            Float::F16 | Float::Bf16 => 2,
            Float::F32 => 4,
            Float::E4m3 | Float::E5m2 => 1,
        }
    }
}

macro_rules! conversions {
    ($($variant:ident $id:literal $from:ident $to:ident by $reads:ty, $writes:ty, $doc:literal;)*) => {
        /// What is done to each element.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Conversion {
            $(#[doc = $doc] $variant,)*
        }

        impl Conversion {
            /// Each of them, in the order of their numbers.
            pub const ALL: &'static [Conversion] = &[$(Conversion::$variant),*];

            /// The number that stands for it in a payload, from 1.
            pub const fn id(self) -> u8 {
                match self { $(Conversion::$variant => $id),* }
            }

            /// What it makes of what.
            pub const fn types(self) -> (Float, Float) {
                match self { $(Conversion::$variant => (Float::$from, Float::$to)),* }
            }
        }

        #[inline(always)]
        fn convert_generic(conversion: Conversion, from: &[u8], out: &mut [u8]) {
            match conversion {
                $(Conversion::$variant => {
                    each::<$reads, $writes, { Float::$from.size() }, { Float::$to.size() }>(from, out);
                })*
            }
        }
    };
}

conversions! {
    F32ToBf16 1 F32 Bf16 by Single, Brain, "binary32 to bfloat16, nearest.";
    F32CutToBf16 2 F32 Bf16 by Single, CutBrain, "binary32 to bfloat16, without its lower half.";
    F32ToF16 3 F32 F16 by Single, Half, "binary32 to binary16, nearest.";
    F16ToBf16 4 F16 Bf16 by Half, Brain, "binary16 to bfloat16, nearest.";
    Bf16ToF16 5 Bf16 F16 by Brain, Half, "bfloat16 to binary16, nearest.";
    Bf16ToF32 6 Bf16 F32 by Brain, Single, "bfloat16 to binary32, which is exact.";
    F16ToF32 7 F16 F32 by Half, Single, "binary16 to binary32, which is exact.";
    F32ToE4m3 8 F32 E4m3 by Single, E4m3, "binary32 to FP8 E4M3, nearest.";
    Bf16ToE4m3 9 Bf16 E4m3 by Brain, E4m3, "bfloat16 to FP8 E4M3, nearest.";
    F16ToE4m3 10 F16 E4m3 by Half, E4m3, "binary16 to FP8 E4M3, nearest.";
    F32ToE5m2 11 F32 E5m2 by Single, E5m2, "binary32 to FP8 E5M2, nearest.";
    Bf16ToE5m2 12 Bf16 E5m2 by Brain, E5m2, "bfloat16 to FP8 E5M2, nearest.";
    F16ToE5m2 13 F16 E5m2 by Half, E5m2, "binary16 to FP8 E5M2, nearest.";
}

impl Conversion {
    /// By its number.
    pub fn from_id(id: u8) -> Option<Conversion> {
        Conversion::ALL.get((id as usize).checked_sub(1)?).copied()
    }

    /// Those that make one type of another.
    pub fn between(from: Float, to: Float) -> impl Iterator<Item = Conversion> {
        Conversion::ALL.iter().copied().filter(move |c| c.types() == (from, to))
    }
}

multiversion! {
    /// Writes to `out` what becomes of the elements of `from`, as many as both have.
    pub fn convert(conversion: Conversion, from: &[u8], out: &mut [u8]) = convert_generic;
    on convert_on
}

/// Elements by their bits as those of binary32, and back.
trait Bits<const N: usize> {
    fn widen(bytes: [u8; N]) -> u32;
    fn narrow(single: u32) -> [u8; N];
}

#[inline(always)]
fn each<A: Bits<N>, B: Bits<M>, const N: usize, const M: usize>(from: &[u8], out: &mut [u8]) {
    let from = from.as_chunks::<N>().0;
    out.as_chunks_mut::<M>().0.iter_mut().zip(from).for_each(|(y, x)| *y = B::narrow(A::widen(*x)));
}

const SIGN: u32 = 1 << 31;
const INFINITY: u32 = 0xFF << 23;

/// The magnitude of a number in a type with this bias of the exponent and so many bits of mantissa, if that has no end.
#[inline(always)]
fn rounded(abs: u32, bias: u32, mantissa: u32) -> u32 {
    let drop = 23 - mantissa;
    let first_normal = (128 - bias) << 23;
    // Half of the last place, less one where that is even; a carry goes on into the exponent.
    let even = (1 << (drop - 1)) - 1 + (abs >> drop & 1);
    let normal = abs.wrapping_sub((127 - bias) << 23).wrapping_add(even) >> drop;
    // What is added has the least of the type as its last place, and so has the sum.
    let place = (128 - bias + drop) << 23;
    let subnormal = (f32::from_bits(abs) + f32::from_bits(place)).to_bits().wrapping_sub(place);
    if abs < first_normal { subnormal } else { normal }
}

struct Half;

impl Bits<2> for Half {
    #[inline(always)]
    fn widen(bytes: [u8; 2]) -> u32 {
        let x = u16::from_le_bytes(bytes) as u32;
        let abs = (x & 0x7FFF) << 13;
        let subnormal = (f32::from_bits(abs | 113 << 23) - f32::from_bits(113 << 23)).to_bits();
        let normal = abs + (112 << 23);
        let finite = if abs < 1 << 23 { subnormal } else { normal };
        (x & 0x8000) << 16 | if abs >= 31 << 23 { abs | INFINITY } else { finite }
    }

    #[inline(always)]
    fn narrow(single: u32) -> [u8; 2] {
        let abs = single & !SIGN;
        let finite = rounded(abs, 15, 10).min(0x7C00);
        let nan = 0x7E00 | (abs >> 13 & 0x3FF);
        let abs = if abs > INFINITY { nan } else { finite };
        ((single >> 16 & 0x8000 | abs) as u16).to_le_bytes()
    }
}

struct Brain;

impl Bits<2> for Brain {
    #[inline(always)]
    fn widen(bytes: [u8; 2]) -> u32 {
        (u16::from_le_bytes(bytes) as u32) << 16
    }

    #[inline(always)]
    fn narrow(single: u32) -> [u8; 2] {
        let nearest = single.wrapping_add(0x7FFF + (single >> 16 & 1)) >> 16;
        let nan = single >> 16 | 0x40;
        (if single & !SIGN > INFINITY { nan } else { nearest } as u16).to_le_bytes()
    }
}

struct CutBrain;

impl Bits<2> for CutBrain {
    #[inline(always)]
    fn widen(bytes: [u8; 2]) -> u32 {
        Brain::widen(bytes)
    }

    #[inline(always)]
    fn narrow(single: u32) -> [u8; 2] {
        ((single >> 16) as u16).to_le_bytes()
    }
}

struct Single;

impl Bits<4> for Single {
    #[inline(always)]
    fn widen(bytes: [u8; 4]) -> u32 {
        u32::from_le_bytes(bytes)
    }

    #[inline(always)]
    fn narrow(single: u32) -> [u8; 4] {
        single.to_le_bytes()
    }
}

/// FP8 of so many bits of mantissa; what is above the largest number, or none, is `OVER`, or the NaN `7F`.
struct Eight<const BIAS: u32, const MANTISSA: u32, const OVER: u32>;

impl<const BIAS: u32, const MANTISSA: u32, const OVER: u32> Bits<1> for Eight<BIAS, MANTISSA, OVER> {
    #[inline(always)]
    fn widen(_: [u8; 1]) -> u32 {
        // Nothing is made of FP8.
        0
    }

    #[inline(always)]
    fn narrow(single: u32) -> [u8; 1] {
        let abs = single & !SIGN;
        let finite = rounded(abs, BIAS, MANTISSA).min(OVER);
        let abs = if abs > INFINITY { 0x7F } else { finite };
        [(single >> 24 & 0x80 | abs) as u8]
    }
}

type E4m3 = Eight<7, 3, 0x7F>;
type E5m2 = Eight<15, 2, 0x7C>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Simd;

    fn one(conversion: Conversion, from: &[u8]) -> Vec<u8> {
        let mut out = vec![0; conversion.types().1.size()];
        convert_on(Simd::Scalar, conversion, from, &mut out);
        out
    }

    /// The value of bits of a type, exactly; `None` for what is no number.
    fn value(float: Float, bits: u32) -> Option<f64> {
        let (exponent, mantissa, bias) = match float {
            Float::F16 => (5, 10, 15),
            Float::Bf16 => (8, 7, 127),
            Float::F32 => (8, 23, 127),
            Float::E4m3 => (4, 3, 7),
            Float::E5m2 => (5, 2, 15),
        };
        let sign = if bits >> (exponent + mantissa) & 1 == 1 { -1.0 } else { 1.0 };
        let (e, m) = (bits >> mantissa & ((1 << exponent) - 1), bits & ((1 << mantissa) - 1));
        let special = match float {
            Float::E4m3 => e == 15 && m == 7,
            _ => e == (1 << exponent) - 1,
        };
        let scale = |e: i32| 2f64.powi(e - bias - mantissa);
        let normal = (m + (1 << mantissa)) as f64 * scale(e as i32);
        (!special).then_some(sign * if e == 0 { m as f64 * scale(1) } else { normal })
    }

    fn bits(bytes: &[u8]) -> u32 {
        bytes.iter().rev().fold(0, |v, b| v << 8 | *b as u32)
    }

    /// Elements of a type: all of them, or for binary32 those near all that matters.
    fn elements(float: Float) -> Vec<u32> {
        match float {
            Float::F32 => (0..=0xFFFFu32)
                .flat_map(|top| {
                    let low = [0u32, 1, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001, 0xFFFF];
                    low.map(|low| top << 16 | low)
                })
                .collect(),
            _ => (0..1u32 << (8 * float.size())).collect(),
        }
    }

    #[test]
    fn the_nearest_is_taken_and_of_two_the_even_one() {
        for &conversion in Conversion::ALL {
            let (from, to) = conversion.types();
            // All numbers of the type without a sign, in order.
            let all: Vec<(f64, u32)> = elements(to)
                .into_iter()
                .filter(|b| b >> (8 * to.size() as u32 - 1) == 0)
                .filter_map(|b| Some((value(to, b)?, b)))
                .collect();
            let (last, _) = all[all.len() - 1];
            let step = last - all[all.len() - 2].0;
            for x in elements(from) {
                let Some(v) = value(from, x) else { continue };
                let found = bits(&one(conversion, &x.to_le_bytes()[..from.size()]));
                let sign = 1u32 << (8 * to.size() - 1);
                assert_eq!(found & sign != 0, v.is_sign_negative(), "{conversion:?} {x:x}");
                let (v, found) = (v.abs(), found & !sign);
                if conversion == Conversion::F32CutToBf16 {
                    assert_eq!(found, x << 1 >> 17);
                    continue;
                }
                if to == Float::F32 {
                    assert_eq!(value(to, found), Some(v), "{conversion:?} {x:x}");
                    continue;
                }
                let i = all.partition_point(|(n, _)| *n <= v);
                let (below, at) = all[i - 1];
                let expected = match all.get(i) {
                    Some((above, next)) => match (v - below).total_cmp(&(above - v)) {
                        std::cmp::Ordering::Less => at,
                        std::cmp::Ordering::Greater => *next,
                        std::cmp::Ordering::Equal => {
                            if at & 1 == 0 {
                                at
                            } else {
                                *next
                            }
                        }
                    },
                    // Above half a step, and at it where the last number is odd, there is what comes behind it.
                    None if v - last > step / 2.0 || v - last == step / 2.0 && at & 1 == 1 => at + 1,
                    None => at,
                };
                assert_eq!(found, expected, "{conversion:?} {x:x}");
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none_and_infinity_what_it_was() {
        for &conversion in Conversion::ALL {
            let (from, to) = conversion.types();
            for x in elements(from).into_iter().filter(|x| value(from, *x).is_none()) {
                let y = bits(&one(conversion, &x.to_le_bytes()[..from.size()]));
                assert!(value(to, y).is_none() || conversion == Conversion::F32CutToBf16);
                assert_eq!(x >> (8 * from.size() - 1) & 1, y >> (8 * to.size() - 1) & 1);
            }
        }
        assert_eq!(one(Conversion::F32ToBf16, &0x7F80_0001u32.to_le_bytes()), [0xC0, 0x7F]);
        assert_eq!(one(Conversion::F32ToF16, &0x7F80_0000u32.to_le_bytes()), [0x00, 0x7C]);
        assert_eq!(one(Conversion::F32ToF16, &0xFF80_0001u32.to_le_bytes()), [0x00, 0xFE]);
        assert_eq!(one(Conversion::F32ToE5m2, &0x7F80_0000u32.to_le_bytes()), [0x7C]);
        assert_eq!(one(Conversion::F32ToE4m3, &0x7F80_0000u32.to_le_bytes()), [0x7F]);
        assert_eq!(one(Conversion::F16ToF32, &[0x01, 0x7C]), 0x7F80_2000u32.to_le_bytes());
    }

    #[test]
    fn every_set_gives_the_same() {
        for &conversion in Conversion::ALL {
            let (from, to) = conversion.types();
            let data: Vec<u8> =
                elements(from).iter().flat_map(|x| x.to_le_bytes()[..from.size()].to_vec()).collect();
            let n = data.len() / from.size();
            let of = |simd| {
                let mut out = vec![0xA5; n * to.size() + 3];
                convert_on(simd, conversion, &data, &mut out[..n * to.size()]);
                out
            };
            let expected = of(Simd::Scalar);
            for simd in Simd::ALL.iter().copied().filter(|s| s.is_available()) {
                assert!(of(simd) == expected, "{conversion:?} {simd:?}");
            }
        }
    }

    #[test]
    fn numbers_of_conversions_are_their_places() {
        for id in 1..=Conversion::ALL.len() as u8 {
            assert_eq!(Conversion::from_id(id).map(Conversion::id), Some(id));
        }
        assert_eq!(Conversion::from_id(0), None);
        assert_eq!(Conversion::from_id(Conversion::ALL.len() as u8 + 1), None);
        assert!(Conversion::ALL.len() < 16);
        assert_eq!(Conversion::between(Float::F32, Float::Bf16).count(), 2);
        assert_eq!(Conversion::between(Float::E4m3, Float::F32).count(), 0);
    }
}

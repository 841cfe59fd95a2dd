//! Element types, named as safetensors names them.

/// How the bits of an element are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sign, exponent of so many bits, mantissa.
    Float {
        /// Bits of the exponent.
        exponent: u8,
    },
    /// Two's complement.
    Signed,
    /// Unsigned integers, booleans, packed values and scales.
    Unsigned,
}

macro_rules! dtypes {
    ($($variant:ident $id:literal $name:literal $bits:literal $kind:expr, $doc:literal;)*) => {
        /// An element type of a tensor.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types)]
        pub enum Dtype {
            $(#[doc = $doc] $variant,)*
        }

        impl Dtype {
            /// Every dtype, in order of its id.
            pub const ALL: &'static [Dtype] = &[$(Dtype::$variant),*];

            /// The number that stands for it in the container.
            pub fn id(self) -> u8 {
                match self { $(Dtype::$variant => $id),* }
            }

            /// safetensors' name.
            pub fn name(self) -> &'static str {
                match self { $(Dtype::$variant => $name),* }
            }

            /// Bits of an element.
            pub fn bits(self) -> u64 {
                match self { $(Dtype::$variant => $bits),* }
            }

            /// How its bits are read.
            pub fn kind(self) -> Kind {
                match self { $(Dtype::$variant => $kind),* }
            }
        }
    };
}

dtypes! {
    Bool 0 "BOOL" 8 Kind::Unsigned, "One byte, 0 or 1.";
    U8 1 "U8" 8 Kind::Unsigned, "8-bit unsigned.";
    I8 2 "I8" 8 Kind::Signed, "8-bit signed.";
    U16 3 "U16" 16 Kind::Unsigned, "16-bit unsigned.";
    I16 4 "I16" 16 Kind::Signed, "16-bit signed.";
    U32 5 "U32" 32 Kind::Unsigned, "32-bit unsigned.";
    I32 6 "I32" 32 Kind::Signed, "32-bit signed.";
    U64 7 "U64" 64 Kind::Unsigned, "64-bit unsigned.";
    I64 8 "I64" 64 Kind::Signed, "64-bit signed.";
    F16 9 "F16" 16 Kind::Float { exponent: 5 }, "IEEE 754 binary16.";
    BF16 10 "BF16" 16 Kind::Float { exponent: 8 }, "bfloat16.";
    F32 11 "F32" 32 Kind::Float { exponent: 8 }, "IEEE 754 binary32.";
    F64 12 "F64" 64 Kind::Float { exponent: 11 }, "IEEE 754 binary64.";
    F8_E4M3 13 "F8_E4M3" 8 Kind::Float { exponent: 4 }, "OCP FP8 E4M3 (fn).";
    F8_E5M2 14 "F8_E5M2" 8 Kind::Float { exponent: 5 }, "OCP FP8 E5M2.";
    F8_E4M3FNUZ 15 "F8_E4M3FNUZ" 8 Kind::Float { exponent: 4 }, "FP8 E4M3, no negative zero.";
    F8_E5M2FNUZ 16 "F8_E5M2FNUZ" 8 Kind::Float { exponent: 5 }, "FP8 E5M2, no negative zero.";
    F8_E8M0 17 "F8_E8M0" 8 Kind::Unsigned, "OCP MX scale.";
    F4 18 "F4" 4 Kind::Unsigned, "OCP FP4 E2M1, two to a byte.";
    F6_E2M3 19 "F6_E2M3" 6 Kind::Unsigned, "OCP FP6 E2M3, packed.";
    F6_E3M2 20 "F6_E3M2" 6 Kind::Unsigned, "OCP FP6 E3M2, packed.";
    C64 21 "C64" 64 Kind::Float { exponent: 8 }, "Two binary32: real, imaginary.";
}

impl Dtype {
    /// From the number in the container.
    pub fn from_id(id: u8) -> Option<Dtype> {
        Dtype::ALL.get(id as usize).copied()
    }

    /// From safetensors' name.
    pub fn from_name(name: &str) -> Option<Dtype> {
        Dtype::ALL.iter().copied().find(|d| d.name() == name)
    }

    /// Bytes of a tensor of this shape; `None` if that is not whole or does not fit 63 bits.
    pub fn size_of(self, shape: &[u64]) -> Option<u64> {
        let bits = if shape.contains(&0) {
            0
        } else {
            shape.iter().try_fold(self.bits(), |n, &d| n.checked_mul(d)).filter(|n| *n < 1 << 63)?
        };
        (bits % 8 == 0).then_some(bits / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_positions_and_names_are_unique() {
        for (i, d) in Dtype::ALL.iter().enumerate() {
            assert_eq!(d.id() as usize, i);
            assert_eq!(Dtype::from_name(d.name()), Some(*d));
        }
    }

    #[test]
    fn sizes_do_not_overflow() {
        assert_eq!(Dtype::F32.size_of(&[2, 3]), Some(24));
        assert_eq!(Dtype::F4.size_of(&[3]), None);
        assert_eq!(Dtype::F4.size_of(&[4]), Some(2));
        assert_eq!(Dtype::F64.size_of(&[1 << 40, 1 << 40]), None);
        assert_eq!(Dtype::F64.size_of(&[u64::MAX, 0]), Some(0));
        assert_eq!(Dtype::F32.size_of(&[]), Some(4));
    }
}

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
    /// Blocks of quantized values with their scales.
    Blocks,
}

macro_rules! dtypes {
    ($($variant:ident $id:literal $name:literal $elements:literal $bytes:literal $kind:expr, $doc:literal;)*) => {
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

            /// safetensors' name, or GGUF's.
            pub fn name(self) -> &'static str {
                match self { $(Dtype::$variant => $name),* }
            }

            /// The least number of elements that fill whole bytes, and how many bytes those are.
            pub fn unit(self) -> (u64, u64) {
                match self { $(Dtype::$variant => ($elements, $bytes)),* }
            }

            /// How its bits are read.
            pub fn kind(self) -> Kind {
                match self { $(Dtype::$variant => $kind),* }
            }
        }
    };
}

dtypes! {
    Bool 0 "BOOL" 1 1 Kind::Unsigned, "One byte, 0 or 1.";
    U8 1 "U8" 1 1 Kind::Unsigned, "8-bit unsigned.";
    I8 2 "I8" 1 1 Kind::Signed, "8-bit signed.";
    U16 3 "U16" 1 2 Kind::Unsigned, "16-bit unsigned.";
    I16 4 "I16" 1 2 Kind::Signed, "16-bit signed.";
    U32 5 "U32" 1 4 Kind::Unsigned, "32-bit unsigned.";
    I32 6 "I32" 1 4 Kind::Signed, "32-bit signed.";
    U64 7 "U64" 1 8 Kind::Unsigned, "64-bit unsigned.";
    I64 8 "I64" 1 8 Kind::Signed, "64-bit signed.";
    F16 9 "F16" 1 2 Kind::Float { exponent: 5 }, "IEEE 754 binary16.";
    BF16 10 "BF16" 1 2 Kind::Float { exponent: 8 }, "bfloat16.";
    F32 11 "F32" 1 4 Kind::Float { exponent: 8 }, "IEEE 754 binary32.";
    F64 12 "F64" 1 8 Kind::Float { exponent: 11 }, "IEEE 754 binary64.";
    F8_E4M3 13 "F8_E4M3" 1 1 Kind::Float { exponent: 4 }, "OCP FP8 E4M3 (fn).";
    F8_E5M2 14 "F8_E5M2" 1 1 Kind::Float { exponent: 5 }, "OCP FP8 E5M2.";
    F8_E4M3FNUZ 15 "F8_E4M3FNUZ" 1 1 Kind::Float { exponent: 4 }, "FP8 E4M3, no negative zero.";
    F8_E5M2FNUZ 16 "F8_E5M2FNUZ" 1 1 Kind::Float { exponent: 5 }, "FP8 E5M2, no negative zero.";
    F8_E8M0 17 "F8_E8M0" 1 1 Kind::Unsigned, "OCP MX scale.";
    F4 18 "F4" 2 1 Kind::Unsigned, "OCP FP4 E2M1, two to a byte.";
    F6_E2M3 19 "F6_E2M3" 4 3 Kind::Unsigned, "OCP FP6 E2M3, packed.";
    F6_E3M2 20 "F6_E3M2" 4 3 Kind::Unsigned, "OCP FP6 E3M2, packed.";
    C64 21 "C64" 1 8 Kind::Float { exponent: 8 }, "Two binary32: real, imaginary.";
    Q4_0 22 "Q4_0" 32 18 Kind::Blocks, "GGUF Q4_0: 32 elements in 18 bytes.";
    Q4_1 23 "Q4_1" 32 20 Kind::Blocks, "GGUF Q4_1: 32 elements in 20 bytes.";
    Q5_0 24 "Q5_0" 32 22 Kind::Blocks, "GGUF Q5_0: 32 elements in 22 bytes.";
    Q5_1 25 "Q5_1" 32 24 Kind::Blocks, "GGUF Q5_1: 32 elements in 24 bytes.";
    Q8_0 26 "Q8_0" 32 34 Kind::Blocks, "GGUF Q8_0: 32 elements in 34 bytes.";
    Q8_1 27 "Q8_1" 32 40 Kind::Blocks, "GGUF Q8_1: 32 elements in 40 bytes.";
    Q2_K 28 "Q2_K" 256 84 Kind::Blocks, "GGUF Q2_K: 256 elements in 84 bytes.";
    Q3_K 29 "Q3_K" 256 110 Kind::Blocks, "GGUF Q3_K: 256 elements in 110 bytes.";
    Q4_K 30 "Q4_K" 256 144 Kind::Blocks, "GGUF Q4_K: 256 elements in 144 bytes.";
    Q5_K 31 "Q5_K" 256 176 Kind::Blocks, "GGUF Q5_K: 256 elements in 176 bytes.";
    Q6_K 32 "Q6_K" 256 210 Kind::Blocks, "GGUF Q6_K: 256 elements in 210 bytes.";
    Q8_K 33 "Q8_K" 256 292 Kind::Blocks, "GGUF Q8_K: 256 elements in 292 bytes.";
    IQ2_XXS 34 "IQ2_XXS" 256 66 Kind::Blocks, "GGUF IQ2_XXS: 256 elements in 66 bytes.";
    IQ2_XS 35 "IQ2_XS" 256 74 Kind::Blocks, "GGUF IQ2_XS: 256 elements in 74 bytes.";
    IQ3_XXS 36 "IQ3_XXS" 256 98 Kind::Blocks, "GGUF IQ3_XXS: 256 elements in 98 bytes.";
    IQ1_S 37 "IQ1_S" 256 50 Kind::Blocks, "GGUF IQ1_S: 256 elements in 50 bytes.";
    IQ4_NL 38 "IQ4_NL" 32 18 Kind::Blocks, "GGUF IQ4_NL: 32 elements in 18 bytes.";
    IQ3_S 39 "IQ3_S" 256 110 Kind::Blocks, "GGUF IQ3_S: 256 elements in 110 bytes.";
    IQ2_S 40 "IQ2_S" 256 82 Kind::Blocks, "GGUF IQ2_S: 256 elements in 82 bytes.";
    IQ4_XS 41 "IQ4_XS" 256 136 Kind::Blocks, "GGUF IQ4_XS: 256 elements in 136 bytes.";
    IQ1_M 42 "IQ1_M" 256 56 Kind::Blocks, "GGUF IQ1_M: 256 elements in 56 bytes.";
    TQ1_0 43 "TQ1_0" 256 54 Kind::Blocks, "GGUF TQ1_0: 256 elements in 54 bytes.";
    TQ2_0 44 "TQ2_0" 256 66 Kind::Blocks, "GGUF TQ2_0: 256 elements in 66 bytes.";
    MXFP4 45 "MXFP4" 32 17 Kind::Blocks, "GGUF MXFP4: 32 elements in 17 bytes.";
    NVFP4 46 "NVFP4" 64 36 Kind::Blocks, "GGUF NVFP4: 64 elements in 36 bytes.";
    Q1_0 47 "Q1_0" 128 18 Kind::Blocks, "GGUF Q1_0: 128 elements in 18 bytes.";
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

    /// Bytes of a tensor of this shape; `None` if its elements are no whole number of units, or its bytes are not below 2^60.
    pub fn size_of(self, shape: &[u64]) -> Option<u64> {
        let (elements, bytes) = self.unit();
        if shape.contains(&0) {
            return Some(0);
        }
        let count = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d))?;
        let units = count.is_multiple_of(elements).then(|| count / elements)?;
        units.checked_mul(bytes).filter(|n| *n < 1 << 60)
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
        assert_eq!(Dtype::Q4_0.size_of(&[2, 64]), Some(72));
        assert_eq!(Dtype::Q4_0.size_of(&[31]), None);
    }
}

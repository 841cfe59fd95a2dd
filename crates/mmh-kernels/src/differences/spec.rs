//! What a difference is, and how it becomes a symbol and extra bits. This is the definition; the loops say the same in words of the elements' size.

/// How elements are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// log2 of the size of an element in bytes: 0 to 3.
    pub width: u8,
    /// Sign and magnitude, as floats are; else two's complement or unsigned.
    pub float: bool,
    /// Bits of a difference, below its highest, that join the symbol: 0 to 7.
    pub mantissa: u8,
    /// Low bits that are zero in every element: fewer than it has.
    pub drop: u8,
    /// Where the class stands in an element of the base: its lowest bit.
    pub shift: u8,
    /// Bits of the class: 0 to 8, within the element.
    pub bits: u8,
}

impl Spec {
    /// Size of an element in bytes.
    #[inline(always)]
    pub fn size(&self) -> usize {
        1 << (self.width & 3)
    }

    /// Bits of a difference.
    #[inline(always)]
    pub fn significant(&self) -> u32 {
        (8u32 << (self.width & 3)).saturating_sub(self.drop as u32).max(1)
    }

    /// The class of an element of the base.
    #[inline(always)]
    pub fn class(&self, x: u64) -> u8 {
        ((x >> (self.shift & 63)) & ((1 << self.bits.min(8)) - 1)) as u8
    }

    /// An element's place in the order of numbers, and back: for floats the bits of negative numbers below the sign are inverted.
    #[inline(always)]
    pub fn ordered(&self, x: u64) -> u64 {
        if self.float {
            let top = self.significant() - 1;
            x ^ (0u64.wrapping_sub(x >> top & 1) & ((1 << top) - 1))
        } else {
            x
        }
    }

    /// The difference of an element from its counterpart: small where they are close, 0 where they are equal.
    #[inline(always)]
    pub fn difference(&self, y: u64, x: u64) -> u64 {
        let unused = 64 - self.significant();
        let d = self.ordered(y >> self.drop).wrapping_sub(self.ordered(x >> self.drop)) << unused;
        // Zigzag in so many bits.
        ((d << 1) ^ ((d as i64 >> 63) as u64) >> unused << unused) >> unused
    }

    /// The element, given its counterpart and its difference.
    #[inline(always)]
    pub fn undo(&self, difference: u64, x: u64) -> u64 {
        let mask = u64::MAX >> (64 - self.significant());
        let d = (difference >> 1) ^ 0u64.wrapping_sub(difference & 1);
        self.ordered(self.ordered(x >> self.drop).wrapping_add(d) & mask) << self.drop
    }

    /// Symbol and number of extra bits of a difference.
    #[inline(always)]
    pub fn symbol(&self, difference: u64) -> (u8, u32) {
        let k = self.mantissa as u32;
        if difference < 2 << k {
            return (difference as u8, 0);
        }
        let extra = 63 - difference.leading_zeros() - k;
        ((extra << k) as u8 + (difference >> extra) as u8, extra)
    }

    /// The lowest difference that a symbol stands for, and its extra bits.
    #[inline(always)]
    pub fn lowest(&self, symbol: u8) -> (u64, u32) {
        let k = self.mantissa as u32 & 7;
        match (symbol as u32 >> k).checked_sub(2) {
            None => (symbol as u64, 0),
            Some(more) => {
                let top = (symbol as u64 & ((1 << k) - 1)) | 1 << k;
                (top.checked_shl(more + 1).unwrap_or(0), more + 1)
            }
        }
    }

    /// The greatest symbol.
    pub fn last_symbol(&self) -> u8 {
        let e = self.significant();
        let k = self.mantissa as u32;
        match e.checked_sub(k + 1) {
            None | Some(0) => ((1u64 << e) - 1) as u8,
            Some(extra) => (((extra + 2) << k) - 1).min(255) as u8,
        }
    }

    /// The most extra bits of an element.
    pub(super) fn most_extra(&self) -> u32 {
        self.significant().saturating_sub(self.mantissa as u32 + 1)
    }
}

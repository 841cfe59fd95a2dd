//! What a difference is, and how it becomes a symbol and extra bits.

use super::bad;
use crate::codec::tensor::Element;
use crate::dtype::Kind;
use crate::error::Result;
use mmh_kernels::histogram;

/// How the elements of a block are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// log2 of the size of an element in bytes.
    pub width: u8,
    /// Sign and magnitude, as floats are; else two's complement or unsigned.
    pub float: bool,
    /// Bytes before the first element.
    pub head: u8,
    /// Bits of a difference, below its highest, that join the symbol.
    pub mantissa: u8,
    /// Low bits that are zero in every element of the block.
    pub drop: u8,
    /// Where the class stands in an element of the base: its lowest bit.
    pub shift: u8,
    /// Bits of the class.
    pub bits: u8,
}

/// Bytes of a form in a payload.
pub const WRITTEN: usize = 5;

impl Form {
    /// For elements of a kind. The class of a float is its exponent: the step from one float to the next doubles with it, and a change of the
    /// same size is half as many steps.
    pub fn of(element: Element) -> Form {
        let size = 8u8 << element.width;
        let (shift, bits) = match element.kind {
            Kind::Float { exponent } => (size - 1 - exponent.min(size - 1), exponent.min(8)),
            Kind::Signed | Kind::Unsigned | Kind::Blocks => (0, 0),
        };
        Form {
            width: element.width,
            float: matches!(element.kind, Kind::Float { .. }),
            head: element.head,
            // As many as leave no more than 256 symbols.
            mantissa: [7, 4, 3, 2][element.width as usize & 3],
            drop: 0,
            shift,
            bits,
        }
    }

    /// Size of an element in bytes.
    pub fn size(&self) -> usize {
        1 << self.width
    }

    /// Whole elements in a block of so many bytes.
    pub fn count(&self, len: usize) -> usize {
        len.saturating_sub(self.head as usize) >> self.width
    }

    /// Bits of a difference.
    pub fn significant(&self) -> u32 {
        (8 << self.width) - self.drop as u32
    }

    /// The class of an element of the base.
    #[inline(always)]
    pub fn class(&self, x: u64) -> u8 {
        ((x >> self.shift) & ((1 << self.bits) - 1)) as u8
    }

    /// The classes of all elements of a part of the base.
    pub fn classes(&self, base: &[u8], classes: &mut Vec<u8>) {
        fn of<const SIZE: usize>(form: &Form, base: &[u8], classes: &mut Vec<u8>) {
            classes.extend(base.as_chunks::<SIZE>().0.iter().map(|x| form.class(load(x))));
        }
        classes.clear();
        match self.width {
            _ if self.bits == 0 => classes.resize(base.len() >> self.width, 0),
            0 => of::<1>(self, base, classes),
            1 => of::<2>(self, base, classes),
            2 => of::<4>(self, base, classes),
            _ => of::<8>(self, base, classes),
        }
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

    /// For each symbol the lowest difference that it stands for, and its extra bits; none for those that no difference has.
    pub fn table(&self) -> [(u64, u32); 256] {
        let k = self.mantissa as u32;
        std::array::from_fn(|s| match (s as u32 >> k).checked_sub(2) {
            None => (s as u64, 0),
            Some(more) => {
                ((((s as u64) & ((1 << k) - 1)) | 1 << k).checked_shl(more + 1).unwrap_or(0), more + 1)
            }
        })
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

    /// As it stands in a payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.width | (self.float as u8) << 2 | self.head << 3);
        out.extend([self.mantissa, self.drop, self.shift, self.bits]);
    }

    /// From a payload, for a block of `raw` bytes.
    pub fn read(from: &[u8; WRITTEN], raw: usize) -> Result<Form> {
        let [b, mantissa, drop, shift, bits] = *from;
        let form = Form { width: b & 3, float: b & 4 != 0, head: b >> 3 & 7, mantissa, drop, shift, bits };
        let e = 8u32 << form.width;
        let sound = b < 64
            && form.head as usize <= raw
            && form.count(raw) >= 1
            && mantissa <= 7
            && (drop as u32) < e
            && bits <= 8
            && shift as u32 + bits as u32 <= e;
        if sound { Ok(form) } else { Err(bad(format!("impossible elements {from:02x?}"))) }
    }
}

/// Where the symbols of each class begin.
pub fn starts(classes: &[u8]) -> [u32; 256] {
    let mut counts = [0; 256];
    histogram::bytes(classes, &mut counts);
    let mut start = 0;
    counts.map(|c| {
        start += c;
        start - c
    })
}

/// An element.
#[inline(always)]
pub fn load<const SIZE: usize>(bytes: &[u8; SIZE]) -> u64 {
    let mut all = [0; 8];
    all[..SIZE].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}

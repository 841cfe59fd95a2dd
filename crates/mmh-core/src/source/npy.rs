//! NumPy's `.npy`: magic, version, length of a header, the header (a Python dict literal), the array. See
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use super::{Format, Hint, Input, Layout, Tensor, collect};
use crate::dtype::Dtype;

/// More than any plain array needs, and all that version 1.0 can have; NumPy itself refuses more than 10,000
/// unless told otherwise.
const MAX_HEADER: usize = 65_535;
/// NumPy's limit, and the container's.
const MAX_RANK: usize = 64;

/// Finds the array of a `.npy` file.
pub fn read(input: Input<'_>) -> Option<Layout> {
    let (tensors, hints) = sorted([array_at(input, 0, u64::MAX, "data".into())?]);
    // More bytes may follow: `numpy.save` to an open file lets several arrays follow each other.
    Some(collect(input, Format::Npy, tensors, hints))
}

/// An array of a file.
pub(super) struct Array {
    /// Where it is, and what its elements are.
    pub tensor: Tensor,
    /// That is a guess: the file says less.
    pub guessed: bool,
}

/// Arrays, and what is guessed of others.
pub(super) fn sorted(arrays: impl IntoIterator<Item = Array>) -> (Vec<Tensor>, Vec<Hint>) {
    let (mut tensors, mut hints) = (Vec::new(), Vec::new());
    for Array { tensor, guessed } in arrays {
        match guessed {
            true => hints.push(Hint { start: tensor.start, len: tensor.len, dtype: tensor.dtype }),
            false => tensors.push(tensor),
        }
    }
    (tensors, hints)
}

/// The array whose magic is at `offset`, with a header of at most `most` bytes. Whether its last bytes are there is for the caller
/// to check.
pub(super) fn array_at(input: Input<'_>, offset: u64, most: u64, name: String) -> Option<Array> {
    let magic = input.read(offset, 8)?;
    let width = match magic.strip_prefix(b"\x93NUMPY")? {
        [1, 0] => 2,
        [2 | 3, 0] => 4,
        _ => return None,
    };
    let at = offset.checked_add(8)?;
    let len = input.read(at, width)?.iter().rev().fold(0, |n, &byte| n << 8 | usize::from(byte));
    if len > MAX_HEADER || len as u64 > most {
        return None;
    }
    let at = at.checked_add(width as u64)?;
    let header = input.read(at, len)?;
    // Versions 1.0 and 2.0 are Latin-1, but only the names of fields need more than ASCII.
    let Header { dtype, guessed, fortran_order, shape } = Literal(str::from_utf8(&header).ok()?).header()?;
    if shape.len() > MAX_RANK {
        return None;
    }
    let start = at.checked_add(len as u64)?;
    let len = dtype.size_of(&shape)?;
    start.checked_add(len)?;
    // An array of one axis is contiguous both ways, and NumPy calls it both.
    let fortran = fortran_order && shape.len() >= 2;
    Some(Array { tensor: Tensor { name, dtype, shape, fortran, start, len }, guessed })
}

/// The three keys of the header.
struct Header {
    dtype: Dtype,
    guessed: bool,
    fortran_order: bool,
    shape: Vec<u64>,
}

/// What is left to parse of a Python literal.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    /// The whole dict: each of its keys once, in any order, and nothing else.
    fn header(mut self) -> Option<Header> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect("{")?;
        while !self.eat("}") {
            let key = self.string()?;
            self.expect(":")?;
            let again = match key {
                "descr" => descr.replace(self.string()?).is_some(),
                "fortran_order" => fortran_order.replace(self.boolean()?).is_some(),
                "shape" => shape.replace(self.tuple()?).is_some(),
                _ => return None,
            };
            if again {
                return None;
            }
            if !self.eat(",") {
                self.expect("}")?;
                break;
            }
        }
        self.skip_spaces();
        // NumPy writes ml_dtypes' bfloat16 as two bytes of nothing.
        let guessed = matches!(descr?, "<V2" | "|V2");
        let dtype = if guessed { Dtype::BF16 } else { dtype(descr?)? };
        let header = Header { dtype, guessed, fortran_order: fortran_order?, shape: shape? };
        self.0.is_empty().then_some(header)
    }

    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
    }

    /// Whether `token` is next, which it then was.
    fn eat(&mut self, token: &str) -> bool {
        self.skip_spaces();
        let rest = self.0.strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Option<()> {
        self.eat(token).then_some(())
    }

    /// A string. Escapes are left as they are: none that matters has them.
    fn string(&mut self) -> Option<&'a str> {
        let quote = ["'", "\""].into_iter().find(|quote| self.eat(quote))?;
        let (string, rest) = self.0.split_once(quote)?;
        self.0 = rest;
        Some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        let yes = self.eat("True");
        (yes || self.eat("False")).then_some(yes)
    }

    /// An integer, with the `L` that Python 2 wrote behind large ones.
    fn integer(&mut self) -> Option<u64> {
        self.skip_spaces();
        let digits = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest.strip_prefix('L').unwrap_or(rest);
        // Python does not read 010.
        (digits == "0" || !digits.starts_with('0')).then(|| digits.parse().ok())?
    }

    fn tuple(&mut self) -> Option<Vec<u64>> {
        let mut items = Vec::new();
        self.expect("(")?;
        while !self.eat(")") {
            items.push(self.integer()?);
            if !self.eat(",") {
                self.expect(")")?;
                // (3) is a number.
                return (items.len() > 1).then_some(items);
            }
        }
        Some(items)
    }
}

/// Big-endian arrays, records, strings, times, objects, and the extension types of one byte, which NumPy writes as plain bytes, have
/// no dtype here.
fn dtype(descr: &str) -> Option<Dtype> {
    let (order, kind) = descr.split_at_checked(1)?;
    Some(match (order, kind) {
        // One byte has no order, whatever is written.
        ("|" | "<" | ">", "b1") => Dtype::Bool,
        ("|" | "<" | ">", "u1") => Dtype::U8,
        ("|" | "<" | ">", "i1") => Dtype::I8,
        ("<", "u2") => Dtype::U16,
        ("<", "i2") => Dtype::I16,
        ("<", "u4") => Dtype::U32,
        ("<", "i4") => Dtype::I32,
        ("<", "u8") => Dtype::U64,
        ("<", "i8") => Dtype::I64,
        ("<", "f2") => Dtype::F16,
        ("<", "f4") => Dtype::F32,
        ("<", "f8") => Dtype::F64,
        ("<", "c8") => Dtype::C64,
        _ => return None,
    })
}

//! Reads the node.

use super::form::Form;
use super::grid::Grid;
use super::node::{self, Kinds};
use super::{MIN_BITS, MOST, bad, byte, number, take_bits};
use crate::codec;
use crate::container::varint;
use crate::error::Result;
use mmh_kernels::words::{copy, expand, narrow, scatter};

/// Restores `out` from the node, whose kind has been read; its words have at most `most` bits.
pub fn decode(from: &mut &[u8], out: &mut [u8], most: usize, scratch: &mut codec::Scratch) -> Result<()> {
    let bits = number(from, most as u64, "bits of a word")?;
    let head = varint::read(from)
        .filter(|h| *h < bits as u64)
        .ok_or_else(|| bad("the first word begins too late"))?;
    let grid = Grid { bits, head: head as usize };
    let n = grid.count(out.len());
    // There are no more words of so many bits: it bounds the memory that numbers take.
    let most_known = MOST.min(n).min(1 << bits.min(16));
    let known = number(from, most_known as u64, "words of a codebook")?;
    let escapes = match byte(from)? {
        flag @ (0 | 1) => flag == 1,
        flag => return Err(bad(format_args!("reserved bits of the flags {flag:#x}"))),
    };
    if bits < MIN_BITS {
        return Err(bad(format_args!("words of {bits} bits")));
    }
    let form = Form { known, escapes };
    let first = take_bits(from, grid.head)?;
    let end = grid.head + n * bits;
    let last = take_bits(from, 8 * out.len() - end)?;
    let book = take_bits(from, known * bits)?;

    let mut plane = scratch.hierarchical.lend_node(n * form.size())?;
    let mut rest = Vec::new();
    let mut restore = || {
        node::decode(from, &mut plane, Kinds::leaf(), scratch)?;
        let escapes = prepare(&form, &mut plane)?;
        if form.escapes == (escapes == 0) {
            return Err(bad("the flags do not say whether words are passed down"));
        }
        rest = scratch.hierarchical.lend_node((escapes * bits).div_ceil(8))?;
        node::decode(from, &mut rest, Kinds::words(bits / 2), scratch)?;
        if !(escapes * bits).is_multiple_of(8) && rest.last().is_some_and(|b| b >> (escapes * bits % 8) != 0)
        {
            return Err(bad("unused bits are set"));
        }
        out.fill(0);
        copy(first, 0, out, 0, grid.head);
        copy(last, 0, out, end, 8 * out.len() - end);
        expand(book, bits, &plane, form.size() == 2, out, grid.head);
        if escapes > 0 {
            scatter(&plane, form.size() == 2, form.known, &rest, bits, out, grid.head);
        }
        Ok(())
    };
    let done = restore();
    scratch.hierarchical.give_back(plane);
    scratch.hierarchical.give_back(rest);
    done
}

/// Shifts wide numbers down; gives how many words are not in the codebook.
fn prepare(form: &Form, plane: &mut [u8]) -> Result<usize> {
    let (wide, shift) = (form.size() == 2, form.shift().unwrap_or(0));
    let highest =
        narrow(plane, wide, shift, form.numbers() - 1).ok_or_else(|| bad("a number that no word has"))?;
    Ok(if form.escapes { highest } else { 0 })
}

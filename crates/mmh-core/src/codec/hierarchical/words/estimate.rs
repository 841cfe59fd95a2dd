//! What a codebook would make of a block, from a sample of its words.

use super::MOST;
use super::counter::{NOT_TAKEN, PIECE, Word};
use super::form::Form;
use super::grid::Grid;
use super::worth::least_worth;
use crate::codec::symbols::{self, entropy};
use crate::codec::tensor::Element;
use crate::codec::tensor::analyze::analyze;
use crate::codec::{self, Level};

/// Words of the sample, in pieces.
const MANY: usize = 1 << 14;

/// Parts of it, of which the first one, if it has so many words, has to promise that of all of it one in so many has a twin.
const PARTS: usize = 4;
const TELLING: usize = 1024;
const WORTH: usize = 64;

/// Estimated size over size, and the words seen that would be in the codebook.
/// Words that are elements, and not in it, are looked at as such.
pub(super) fn estimate(
    data: &[u8],
    grid: Grid,
    own: Option<Element>,
    passed: u64,
    level: Level,
    scratch: &mut codec::Scratch,
) -> Option<(f64, usize)> {
    let counter = &mut scratch.hierarchical.counter;
    let n = grid.count(data.len());
    let stride = (n / MANY).max(1) * PIECE;
    // Short blocks need little of the table, and what is not needed is not cleared.
    counter.clear(MANY.min(n));
    let pieces = || symbols::pieces(n, stride, PIECE).enumerate();
    counter.met.clear();
    counter.met.resize(pieces().map(|(_, piece)| piece.len()).sum(), NOT_TAKEN);
    let (mut keys, mut positions) = ([0; PIECE], [0; PIECE]);
    for part in 0..PARTS {
        let mut met = 0;
        for (p, piece) in pieces().skip(part).step_by(PARTS) {
            let (first, len) = (piece.start, piece.len());
            grid.each_key(data, piece, |i, key| keys[i - first] = key);
            // All pieces are as long as one another but the last one.
            counter.count(&keys[..len], first, &mut positions[..len]);
            counter.met[p * PIECE..][..len].copy_from_slice(&positions[..len]);
            met += len;
        }
        // Where few words have twins, those that have are as many times more in a sample that is so many times larger.
        if part == 0 && met >= TELLING && counter.again(met) * PARTS * WORTH < met {
            return None;
        }
    }
    let seen = counter.met.len() as u64;
    let least = least_worth(grid, passed, seen, n as u64);
    let mut kept: Vec<Word> = counter.words.iter().filter(|w| w.count >= least).copied().collect();
    if kept.is_empty() || kept.len() > MOST {
        return None;
    }
    let escapes = seen - kept.iter().map(|s| s.count as u64).sum::<u64>();
    let bits = cost_of_numbers(&mut kept, escapes as u32, seen);
    let passed = match own {
        Some(element) if escapes > 0 => {
            let size = element.size();
            // All eight bytes of each, of which the next one covers those that are not the word's.
            let mut rest = vec![0; escapes as usize * size + 8 - size];
            let met = counter.met.iter().filter_map(|at| counter.words.get(*at as usize));
            for (k, word) in met.filter(|w| w.count < least).enumerate() {
                rest[k * size..k * size + 8].copy_from_slice(&word.key.to_le_bytes());
            }
            rest.truncate(escapes as usize * size);
            analyze(&rest, element, level, &mut scratch.tensor)?.element_millibits
        }
        // Elsewhere the words that are in the book may cost nothing, so that all that is known to be spent is spent on the others.
        _ => (passed * seen / escapes.max(1)).min(1000 * grid.bits as u64),
    };
    let passed_bits = escapes * passed / 1000;
    let book = kept.len() as f64 * grid.bits as f64;
    let all = (bits + passed_bits) as f64 * n as f64 / seen as f64 + book + 1000.0;
    Some((all / 8.0 / data.len() as f64, kept.len()))
}

/// Bits that the numbers of a sample cost: of those of two bytes, the bits below the upper eight are as they are.
fn cost_of_numbers(book: &mut [Word], escapes: u32, seen: u64) -> u64 {
    let form = Form { known: book.len(), escapes: escapes > 0 };
    let low = form.shift().map_or(0, |shift| 8 - shift.min(8));
    if low > 0 {
        book.sort_unstable_by_key(|s| s.key);
    }
    let upper = book.chunks(1 << low).map(|words| words.iter().map(|s| s.count).sum::<u32>());
    entropy::bits(upper.chain([escapes])) + book.len() as u64 * 72 / 100 + seen * low as u64
}

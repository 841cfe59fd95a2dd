//! Code lengths: chosen (package-merge), written down, read back.

/// The longest code that the format allows, in bits.
pub const MAX_CODE: u32 = 12;

/// The code length of each byte value, 0 for values that do not occur. The code is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeLengths {
    lengths: [u8; 256],
    first: u8,
    last: u8,
    longest: u8,
}

/// Size in bits of symbols that occur `counts` times each, coded with these lengths.
pub fn coded_bits(counts: &[u32; 256], lengths: &CodeLengths) -> u64 {
    counts.iter().zip(&lengths.lengths).map(|(&c, &l)| c as u64 * l as u64).sum()
}

impl CodeLengths {
    /// The best code of at most `limit` bits (8 to [`MAX_CODE`]) for these counts; `None` when fewer than two values occur.
    ///
    /// Package-merge: L. L. Larmore, D. S. Hirschberg, "A fast algorithm for optimal length-limited Huffman codes" (1990).
    pub fn for_counts(counts: &[u32; 256], limit: u32) -> Option<CodeLengths> {
        let limit = limit.clamp(8, MAX_CODE);
        let mut leaves: Vec<(u64, u8)> =
            counts.iter().enumerate().filter(|(_, c)| **c > 0).map(|(s, c)| (*c as u64, s as u8)).collect();
        if leaves.len() < 2 {
            return None;
        }
        leaves.sort_unstable();
        let n = leaves.len();
        // A level is a sorted list of weights: leaves merged with the pairs of the level below. Which of them are leaves is
        // all that is needed to count, going down again, how many of the cheapest leaves each level takes.
        let mut weights: Vec<u64> = leaves.iter().map(|l| l.0).collect();
        let mut is_leaf: Vec<Vec<bool>> = vec![vec![true; n]];
        for _ in 1..limit {
            let pairs: Vec<u64> = weights.chunks_exact(2).map(|p| p[0] + p[1]).collect();
            let mut merged = Vec::with_capacity(n + pairs.len());
            let mut kinds = Vec::with_capacity(n + pairs.len());
            let (mut l, mut p) = (0, 0);
            while l < n || p < pairs.len() {
                let leaf = p == pairs.len() || (l < n && leaves[l].0 <= pairs[p]);
                merged.push(if leaf { leaves[l].0 } else { pairs[p] });
                kinds.push(leaf);
                if leaf { l += 1 } else { p += 1 }
            }
            weights = merged;
            is_leaf.push(kinds);
        }
        let mut lengths = [0u8; 256];
        let mut take = 2 * (n - 1);
        for kinds in is_leaf.iter().rev() {
            let taken = kinds[..take.min(kinds.len())].iter().filter(|k| **k).count();
            for leaf in &leaves[..taken] {
                lengths[leaf.1 as usize] += 1;
            }
            take = 2 * (take.min(kinds.len()) - taken);
        }
        CodeLengths::new(lengths)
    }

    /// Checks that the code is complete and no longer than [`MAX_CODE`].
    fn new(lengths: [u8; 256]) -> Option<CodeLengths> {
        let first = lengths.iter().position(|l| *l > 0)?;
        let last = lengths.iter().rposition(|l| *l > 0)?;
        let longest = *lengths.iter().max()?;
        if first == last || longest as u32 > MAX_CODE {
            return None;
        }
        let kraft: u32 = lengths.iter().filter(|l| **l > 0).map(|l| 1 << (MAX_CODE - *l as u32)).sum();
        (kraft == 1 << MAX_CODE).then_some(CodeLengths {
            lengths,
            first: first as u8,
            last: last as u8,
            longest,
        })
    }

    /// The lengths, by byte value.
    pub fn lengths(&self) -> &[u8; 256] {
        &self.lengths
    }

    /// The longest length.
    pub fn longest(&self) -> u32 {
        self.longest as u32
    }

    /// Size in bytes of the code table as written.
    pub fn written_size(&self) -> usize {
        2 + (self.last as usize - self.first as usize + 2) / 2
    }

    /// Appends the code table.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend([self.first, self.last]);
        for pair in self.lengths[self.first as usize..=self.last as usize].chunks(2) {
            out.push(pair[0] | pair.get(1).unwrap_or(&0) << 4);
        }
    }

    /// Reads a code table from the front of `data`; gives it and the bytes it took. `None` if it is cut off or not a code.
    pub fn read(data: &[u8]) -> Option<(CodeLengths, usize)> {
        let (&first, &last) = (data.first()?, data.get(1)?);
        if first >= last {
            return None;
        }
        let n = last as usize - first as usize + 1;
        let size = 2 + n.div_ceil(2);
        let nibbles = data.get(2..size)?;
        let mut lengths = [0u8; 256];
        for i in 0..n {
            lengths[first as usize + i] = (nibbles[i / 2] >> (4 * (i & 1))) & 15;
        }
        if n % 2 == 1 && nibbles[n / 2] >> 4 != 0 {
            return None;
        }
        let code = CodeLengths::new(lengths)?;
        Some((code, size))
    }

    /// The code of each value, first bit lowest, as it is written into a stream.
    pub(crate) fn codes(&self) -> [u16; 256] {
        let mut codes = [0u16; 256];
        let mut next = 0u32;
        for length in 1..=self.longest as u32 {
            next <<= 1;
            for (code, _) in codes.iter_mut().zip(&self.lengths).filter(|(_, l)| **l as u32 == length) {
                *code = (next as u16).reverse_bits() >> (16 - length);
                next += 1;
            }
        }
        codes
    }
}

//! Groups that choose among several prefix codes (mode 5).

use super::GROUP;
use super::cluster::{cluster, sum};
use super::params::{Cursor, Mode, bad, read_code};
use super::sample::pieces;
use crate::codec::Level;
use crate::error::Result;
use mmh_kernels::histogram;
use mmh_kernels::huffman::{self, CodeLengths};

/// The most codes that groups may choose from.
pub const MOST_CODES: usize = 16;

/// Several codes, of which each group has one.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Two to [`MOST_CODES`].
    pub all: Vec<CodeLengths>,
    /// By group.
    pub of: Vec<u8>,
}

impl Choice {
    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.all.len() as u8);
        self.all.iter().for_each(|code| code.write(out));
        out.extend(&self.of);
    }

    /// Reads the choice of a block of so many groups.
    pub fn read(from: &mut Cursor<'_>, groups: usize) -> Result<Choice> {
        let count = from.byte()? as usize;
        if !(2..=MOST_CODES).contains(&count) {
            return Err(bad(format_args!("a choice of {count} codes")));
        }
        let all = (0..count).map(|_| read_code(from)).collect::<Result<Vec<_>>>()?;
        let of = from.take(groups)?.to_vec();
        match of.iter().find(|c| **c as usize >= count) {
            Some(c) => Err(bad(format_args!("code {c} of {count}"))),
            None => Ok(Choice { all, of }),
        }
    }
}

/// Codes that groups are offered.
const OFFERED: usize = 8;

/// Several codes of at most `limit` bits instead of one, where groups are not alike.
pub fn choice_if_it_pays(mode: Mode, symbols: &[u8], level: Level, limit: u32) -> Mode {
    let Mode::Coded(one) = &mode else { return mode };
    let groups = symbols.len().div_ceil(GROUP);
    if level.get() < 4 || groups < 2 {
        return mode;
    }
    let counts: Vec<[u32; 256]> = symbols
        .chunks(GROUP)
        .map(|group| {
            let mut counts = [0; 256];
            pieces(group.len(), 4096, 1024).for_each(|p| histogram::bytes(&group[p], &mut counts));
            counts
        })
        .collect();
    let of = cluster(&counts, OFFERED.min(groups));
    let clusters = of.iter().max().map_or(1, |c| *c as usize + 1);
    // Every value that occurs anywhere gets a code everywhere.
    let present = one.lengths().map(|l| (l > 0) as u32);
    let fit = |c: usize| {
        let mut those = sum(counts.iter().zip(&of).filter(|g| *g.1 as usize == c).map(|g| g.0));
        those.iter_mut().zip(present).for_each(|(t, p)| *t = if p == 0 { 0 } else { (*t).max(1) });
        CodeLengths::for_counts(&those, limit)
    };
    let Some(all) = (0..clusters).map(fit).collect::<Option<Vec<_>>>() else { return mode };
    let bits = |code: &CodeLengths, counts: &[u32; 256]| huffman::coded_bits(counts, code);
    let alone: u64 = counts.iter().map(|group| bits(one, group)).sum();
    let chosen: u64 = counts.iter().zip(&of).map(|(group, c)| bits(&all[*c as usize], group)).sum();
    // The sample stands for four times as much.
    let tables: usize = all.iter().map(CodeLengths::written_size).sum();
    if clusters > 1 && 4 * alone > 4 * chosen + 8 * (tables + groups) as u64 {
        return Mode::Choice(Choice { all, of });
    }
    mode
}

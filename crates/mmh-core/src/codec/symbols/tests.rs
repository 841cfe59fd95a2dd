use super::*;
use crate::codec::cursor::Cursor;

/// Bell-shaped symbols whose scale differs from group to group, with outliers.
fn hills(n: usize) -> Vec<u8> {
    let mut x = 88_172_645_463_325_252u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let mut one = |i: usize| {
        let r = next();
        let sum: i64 = (0..6).map(|k| (r >> (8 * k) & 255) as i64 - 128).sum();
        let outlier = (r >> 48).is_multiple_of(9973);
        if outlier { (r >> 56) as u8 } else { (128 + sum / (4 << (i / GROUP % 3))) as u8 }
    };
    (0..n).map(&mut one).collect()
}

/// A plane comes back from its parts.
fn check<C: Code + std::fmt::Debug>(symbols: &[u8], offered: usize) -> usize {
    let groups = symbols.len().div_ceil(GROUP);
    let mut fill = |of: std::ops::Range<usize>, to: &mut [u8]| to.copy_from_slice(&symbols[of]);
    let counts = count(symbols.len(), GROUP, 1, &mut fill);
    let codes = Codes::<C>::choose(&counts, 1, offered.min(groups)).unwrap();
    let (mut streams, mut without) = (Streams::default(), Vec::new());
    streams.encode(&codes, symbols.len(), &mut fill, &mut without);
    let mut head = Vec::new();
    codes.write(&mut head);
    let mut list = Vec::new();
    let listed: Vec<u8> = without.iter().map(|at| symbols[*at as usize]).collect();
    codeless::write(&without, &listed, &mut list);

    let mut from = Cursor(&head);
    let read = Codes::<C>::read(&mut from, groups).unwrap();
    assert!(read == codes && from.0.is_empty());
    assert!((0..head.len()).all(|n| Codes::<C>::read(&mut Cursor(&head[..n]), groups).is_err()));
    let without = codeless::read(&read, symbols.len(), &mut Cursor(&list)).unwrap();
    let parts: Vec<&[u8]> = (0..groups).map(|g| streams.get(g)).collect();
    let tables = read.decoders();
    let mut back = vec![0; symbols.len()];
    for batch in read.batches(symbols.len(), MOST_SIDE_BY_SIDE) {
        let mut out = vec![0; MOST_SIDE_BY_SIDE * GROUP];
        let each = batch.iter().zip(out.chunks_mut(GROUP));
        let each = each.map(|(g, out)| &mut out[..(symbols.len() - g * GROUP).min(GROUP)]).collect();
        read.decode(&tables, &batch, &parts, each, &mut mmh_kernels::memory::Soon::default()).unwrap();
        codeless::patch(&without, &batch, &mut out);
        for (g, out) in batch.iter().zip(out.chunks(GROUP)) {
            let to = &mut back[g * GROUP..symbols.len().min((g + 1) * GROUP)];
            to.copy_from_slice(&out[..to.len()]);
        }
    }
    assert!(back == symbols);
    head.len() + list.len() + parts.iter().map(|p| p.len()).sum::<usize>()
}

#[test]
fn planes_come_back() {
    for n in [40, 1000, GROUP, GROUP + 1, 5 * GROUP + 777, 9 * GROUP] {
        let symbols = hills(n);
        for offered in [1, 3, 16] {
            check::<Table>(&symbols, offered);
            check::<mmh_kernels::lanes::Frequencies>(&symbols, offered);
        }
    }
}

#[test]
fn exact_frequencies_come_close_to_the_entropy() {
    let symbols = hills(9 * GROUP);
    let groups = count(symbols.len(), GROUP, 1, &mut |of, to| to.copy_from_slice(&symbols[of]));
    let ideal: u64 =
        (0..3).map(|k| entropy::bits(sum(groups.iter().skip(k).step_by(3)).into_iter())).sum::<u64>() / 8;
    let size = check::<Table>(&symbols, 3) as u64;
    assert!(size * 1000 < ideal * 1004, "{size} {ideal}");
    assert!(size < check::<Table>(&symbols, 1) as u64);
}

#[test]
fn nearly_one_value_alone_has_a_code() {
    for value in [0, 7, 255] {
        let symbols = vec![value; GROUP + 40];
        let size = check::<Table>(&symbols, 1);
        assert!(size < 160, "{size}");
    }
}

//! GGUF files made by hand.

use super::*;

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn pair(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(key), &kind.to_le_bytes()[..], value].concat()
}

/// A row of the header: shape as GGUF has it, the contiguous axis first.
fn row(name: &str, shape: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let axes: Vec<u8> = shape.iter().flat_map(|n| n.to_le_bytes()).collect();
    let rank = (shape.len() as u32).to_le_bytes();
    [&text(name), &rank[..], &axes, &kind.to_le_bytes(), &offset.to_le_bytes()].concat()
}

fn gguf(version: u32, pairs: &[Vec<u8>], rows: &[Vec<u8>], data: usize, alignment: usize) -> Vec<u8> {
    let counts = [rows.len() as u64, pairs.len() as u64].map(u64::to_le_bytes).concat();
    let mut file = [b"GGUF", &version.to_le_bytes()[..], &counts, &pairs.concat(), &rows.concat()].concat();
    file.resize(file.len().next_multiple_of(alignment) + data, 0);
    file
}

#[test]
fn axes_are_turned_around_and_blocks_are_whole() {
    let rows = [row("a", &[64, 3], 2, 0), row("b", &[2, 1, 5], 30, 128), row("c", &[], 0, 160)];
    for version in [2, 3] {
        let file = gguf(version, &[], &rows, 164, 32);
        let start = (file.len() - 164) as u64;
        let want = [
            tensor("a", Dtype::Q4_0, &[3, 64], start),
            tensor("b", Dtype::BF16, &[5, 1, 2], start + 128),
            tensor("c", Dtype::F32, &[], start + 160),
        ];
        assert_eq!(find_checked(&file).tensors, want);
    }
    for version in [0, 1, 4, 3u32.swap_bytes()] {
        assert_eq!(find_checked(&gguf(version, &[], &rows, 164, 32)), Layout::opaque());
    }
}

#[test]
fn alignment_is_that_of_the_metadata() {
    for (alignment, known) in [(8u32, true), (256, true), (1, true), (0, false), (24, false)] {
        let pairs = [pair("general.alignment", 4, &alignment.to_le_bytes())];
        let file = gguf(3, &pairs, &[row("a", &[4], 0, 0)], 16, alignment.max(1) as usize);
        let want = tensor("a", Dtype::F32, &[4], file.len() as u64 - 16);
        assert_eq!(find_checked(&file).tensors, if known { vec![want] } else { vec![] }, "{alignment}");
    }
}

#[test]
fn metadata_of_every_kind_is_passed_over() {
    let array =
        |kind: u32, count: u64, items: &[u8]| [&kind.to_le_bytes(), &count.to_le_bytes()[..], items].concat();
    let widths = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
    let plain = widths.iter().enumerate().filter(|(_, width)| **width > 0);
    let mut pairs: Vec<_> = plain.map(|(kind, width)| pair("k", kind as u32, &vec![7; *width])).collect();
    pairs.push(pair("text", 8, &text("ü")));
    pairs.push(pair("floats", 9, &array(6, 3, &[0; 12])));
    pairs.push(pair("texts", 9, &array(8, 2, &[text("a"), text("")].concat())));
    pairs.push(pair("arrays", 9, &array(9, 2, &[array(0, 1, &[1]), array(8, 1, &text("b"))].concat())));
    let file = gguf(3, &pairs, &[row("a", &[1], 24, 0)], 1, 32);
    assert_eq!(names(&find_checked(&file)), ["a"]);
    for lie in [
        pair("kind", 13, &[0; 8]),
        pair("far", 9, &array(0, u64::MAX, &[])),
        pair("far", 9, &array(8, u64::MAX, &[])),
    ] {
        assert_eq!(find_checked(&gguf(3, &[lie], &[row("a", &[1], 24, 0)], 1, 32)), Layout::opaque());
    }
}

#[test]
fn tensors_that_are_not_understood_are_opaque_alone() {
    let odd = [
        row("odd", &[4], 4, 32),
        row("odd", &[4], u32::MAX, 32),
        // A block would straddle rows.
        row("odd", &[16, 2], 2, 32),
        row("odd", &[u64::MAX, 2], 0, 32),
        row("odd", &[4], 0, u64::MAX),
        row("odd", &[4], 0, 4),
    ];
    for odd in odd {
        let file = gguf(3, &[], &[row("a", &[4], 0, 0), odd, row("b", &[4], 0, 64)], 80, 32);
        assert_eq!(names(&find_checked(&file)), ["a", "b"]);
    }
}

#[test]
fn names_that_are_there_twice_are_numbered() {
    let rows = [row("a#2", &[4], 0, 0), row("a", &[4], 0, 32), row("a", &[4], 0, 64), row("a", &[4], 0, 96)];
    let layout = find_checked(&gguf(3, &[], &rows, 112, 32));
    // One that looks as if it were numbered is in the way.
    assert_eq!(names(&layout), ["a#2", "a", "a#3"]);
    assert_eq!(layout.hints.len(), 1);
}

#[test]
fn only_the_header_is_read() {
    let file = gguf(3, &[], &[row("a", &[1 << 20], 0, 0)], 4 << 20, 32);
    let disk = Disk { bytes: file, broken_from: u64::MAX, read: AtomicU64::new(0) };
    assert_eq!(find(Input { bytes: &disk, complete: true }).tensors.len(), 1);
    assert!(disk.read.into_inner() < 2000);
}

#[test]
fn a_tensor_that_is_cut_off_is_known_in_whole_blocks() {
    let file = gguf(3, &[], &[row("a", &[32], 8, 0), row("b", &[1 << 30], 14, 64)], 64 + 1000, 32);
    let layout = find_checked(&file);
    assert_eq!(names(&layout), ["a"]);
    let start = file.len() as u64 - 1000;
    assert_eq!(layout.hints, [Hint { start, len: 4 * 210, dtype: Dtype::Q6_K }]);
}

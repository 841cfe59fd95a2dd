//! Damage of many kinds, with and without the index: all that is sound is saved, and nothing false is.

use super::*;
use crate::api::{CompressOptions, compress_bytes};
use crate::block::Settings;
use crate::codec::Level;
use crate::container::FOOTER;
use crate::testing::noise;
use std::collections::BTreeMap;

type Tensors = [(String, Vec<u8>)];

/// A safetensors file of bytes.
fn safetensors(tensors: &Tensors) -> Vec<u8> {
    let mut at = 0;
    let mut rows = Vec::new();
    for (name, data) in tensors {
        let end = at + data.len();
        rows.push(format!(
            r#""{name}":{{"dtype":"U8","shape":[{}],"data_offsets":[{at},{end}]}}"#,
            data.len()
        ));
        at = end;
    }
    let head = format!("{{{}}}", rows.join(","));
    let data = tensors.iter().flat_map(|t| t.1.iter().copied());
    (head.len() as u64).to_le_bytes().into_iter().chain(head.bytes()).chain(data).collect()
}

/// Bytes that compress a little.
fn weights(n: usize, seed: u64) -> Vec<u8> {
    noise(n, seed).into_iter().map(|b| b & 0x3F).collect()
}

/// Tensors of several frames, equal ones, constant ones, empty ones.
fn tensors() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = vec![
        ("embed".into(), weights(300_000, 1)),
        ("norm".into(), noise(77, 2)),
        ("zeros".into(), vec![0; 500_000]),
        ("empty".into(), Vec::new()),
        ("tied".into(), weights(300_000, 1)),
        ("noise".into(), noise(200_000, 3)),
    ];
    all.extend((0..6).map(|i| (format!("layers.{i}"), weights(30_000 + 1000 * (i % 3), 10 + i as u64))));
    all.push(("tied again".into(), weights(30_000, 10)));
    all
}

fn options(level: u8) -> CompressOptions {
    let settings = Settings { level: Level::new(level).unwrap(), codec: None, verify: false };
    CompressOptions { threads: 1, blake3: true, ..CompressOptions::new(settings) }
}

fn saved(file: &[u8]) -> Result<Salvaged> {
    let input: Shared = Arc::new(file.to_vec());
    salvage(input, None, &Limits::default(), &Workers::new(1), &mut |_| Ok(()))
}

fn read(archive: &Archive<Shared>, range: Range<u64>) -> Vec<u8> {
    let mut out = vec![0; (range.end - range.start) as usize];
    archive.read_range(range.start, &mut out, &Workers::new(1), true).unwrap();
    out
}

/// Compares all that was saved with what it is to be; gives the names of the tensors.
fn check(found: &Salvaged, source: &[u8], tensors: &Tensors) -> Vec<String> {
    let by_name: BTreeMap<&str, &[u8]> = tensors.iter().map(|(n, d)| (n.as_str(), d.as_slice())).collect();
    let rows = &found.archive.index().tensors;
    for row in rows {
        let t = &row.tensor;
        assert!(read(&found.archive, t.start..t.end()) == by_name[t.name.as_str()], "{}", t.name);
    }
    for range in &found.ranges {
        assert!(read(&found.archive, range.clone()) == source[range.start as usize..range.end as usize]);
    }
    if let Some((loose, ranges)) = &found.loose {
        for range in ranges {
            let bytes = read(loose, range.clone());
            let n = bytes.len();
            assert!(source.windows(n).any(|w| w == bytes), "{n} bytes that are nowhere");
        }
    }
    let names: Vec<String> = rows.iter().map(|row| row.tensor.name.clone()).collect();
    assert!(found.lost.iter().all(|name| !names.contains(name) && by_name.contains_key(name.as_str())));
    names
}

/// Offsets of the frames and of the index.
fn frames_of(file: &[u8]) -> (Vec<Frame>, usize) {
    let archive = Archive::open(file).unwrap();
    let end = archive.frames().last().unwrap();
    (archive.frames().to_vec(), (end.offset + frame::HEAD as u64 + end.stored) as usize)
}

#[test]
fn of_a_file_that_was_cut_off_all_tensors_before_the_cut_are_saved() {
    let tensors = tensors();
    let source = safetensors(&tensors);
    for level in [1, 5] {
        let file = compress_bytes(&source, None, &options(level)).unwrap();
        let (frames, _) = frames_of(&file);
        let cuts = (0..60).map(|i| file.len() * i / 60).chain(frames.iter().flat_map(|f| {
            let at = f.offset as usize;
            [at - 1, at, at + 1, at + 23, at + 24]
        }));
        for cut in cuts {
            // What there is of the source, told by the whole file.
            let whole: Vec<&Frame> = frames
                .iter()
                .take_while(|f| f.offset as usize + frame::HEAD + f.stored as usize <= cut)
                .collect();
            let known = whole.last().map_or(0, |f| f.end());
            let Ok(found) = saved(&file[..cut]) else {
                assert_eq!(known, 0, "cut at {cut}");
                continue;
            };
            let names = check(&found, &source, &tensors);
            assert!(!found.indexed && found.loose.is_none());
            assert_eq!(found.ranges, std::slice::from_ref(&(0..known)));
            let header = 8 + u64::from_le_bytes(*source.first_chunk().unwrap());
            let mut end = header;
            let mut expected = Vec::new();
            for (name, data) in &tensors {
                end += data.len() as u64;
                if end <= known {
                    expected.push(name.clone());
                }
            }
            assert_eq!(names, expected, "cut at {cut}");
            assert_eq!(found.lost.len(), tensors.len() - names.len());
            assert_eq!(found.source_len, Some(source.len() as u64));
        }
    }
}

#[test]
fn without_an_index_everything_is_there_if_all_frames_are() {
    let tensors = tensors();
    let source = safetensors(&tensors);
    let file = compress_bytes(&source, None, &options(3)).unwrap();
    let (_, index) = frames_of(&file);
    let mut files: Vec<Vec<u8>> = vec![file[..index].to_vec(), file[..index + 1].to_vec()];
    for at in [index, index + 1, index + 30, file.len() - FOOTER, file.len() - 1] {
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        files.push(damaged);
    }
    for file in files {
        let found = saved(&file).unwrap();
        assert_eq!(check(&found, &source, &tensors).len(), tensors.len());
        assert!(!found.indexed && found.lost.is_empty());
        let len = source.len() as u64;
        assert_eq!(found.ranges, std::slice::from_ref(&(0..len)));
        assert_eq!(found.source_len, Some(len));
    }
}

#[test]
fn what_stands_behind_the_end_does_no_harm() {
    let tensors = tensors();
    let source = safetensors(&tensors);
    let file = compress_bytes(&source, None, &options(3)).unwrap();
    for tail in [vec![0; 5000], noise(70_000, 5), file[file.len() - 20..].to_vec()] {
        let found = saved(&[&file[..], &tail].concat()).unwrap();
        assert_eq!(check(&found, &source, &tensors).len(), tensors.len());
        assert!(found.indexed && found.lost.is_empty());
    }
}

#[test]
fn with_the_index_frames_are_found_wherever_they_are() {
    let tensors = tensors();
    let source = safetensors(&tensors);
    let file = compress_bytes(&source, None, &options(3)).unwrap();
    let (frames, _) = frames_of(&file);
    for f in &frames {
        let at = f.offset as usize;
        // Put in between frames: nothing is lost.
        let found = saved(&[&file[..at], &noise(1000, 1), &file[at..]].concat()).unwrap();
        assert_eq!(check(&found, &source, &tensors).len(), tensors.len());
        assert!(found.indexed && found.lost.is_empty());
        // Within a frame, or taken out: that one is lost, and what copies it.
        for damaged in [
            [&file[..at + 25], b"??", &file[at + 25..]].concat(),
            [&file[..at + 3], &file[at + 9..]].concat(),
            // Both, so that the length is what it was.
            [&file[..at + 3], &file[at + 9..index_of(&file)], &noise(6, 1), &file[index_of(&file)..]]
                .concat(),
        ] {
            let found = saved(&damaged).unwrap();
            let names = check(&found, &source, &tensors);
            assert!(found.indexed && names.len() + 3 >= tensors.len(), "{names:?}");
        }
    }
    // The beginning, and so much of it that most is gone.
    for gone in [1, 16, 17, 100, file.len() / 2, file.len() * 3 / 4] {
        let found = saved(&file[gone..]).unwrap();
        let names = check(&found, &source, &tensors);
        assert!(found.indexed && !names.is_empty() && names.len() + found.lost.len() == tensors.len());
    }
}

fn index_of(file: &[u8]) -> usize {
    frames_of(file).1
}

#[test]
fn behind_a_hole_tensors_are_named_where_their_place_is_proved() {
    let tensors = tensors();
    let source = safetensors(&tensors);
    let file = compress_bytes(&source, None, &options(3)).unwrap();
    let (frames, index) = frames_of(&file);
    let mut placed = 0;
    for (i, f) in frames.iter().enumerate() {
        let (at, end) = (f.offset as usize, f.offset as usize + frame::HEAD + f.stored as usize);
        let mut hurt = file[..index].to_vec();
        hurt[end - 1] ^= 1;
        let mut headless = file[..index].to_vec();
        headless[at..at + 24].fill(0);
        let taken_out = [&file[..at], &file[end..index]].concat();
        for damaged in [&hurt, &headless, &taken_out] {
            let found = saved(damaged).unwrap();
            // Where a frame was taken out from end to end nothing shows it but the sizes of those behind it: of other bytes the place may be wrong.
            let names = match std::ptr::eq(damaged, &taken_out) {
                true => check_named(&found, &tensors),
                false => check(&found, &source, &tensors),
            };
            assert!(!found.indexed);
            // The source's header is in the first frame.
            assert!(i > 0 || names.is_empty());
            placed += usize::from(found.ranges.len() > 1);
            let known: u64 = found.ranges.iter().map(|r| r.end - r.start).sum();
            let loose: u64 = found.loose.iter().flat_map(|l| &l.1).map(|r| r.end - r.start).sum();
            // A copy of what is lost, or whose place is not known, is lost.
            assert!(known + loose + f.raw + 700_000 >= source.len() as u64);
        }
    }
    assert!(placed > frames.len(), "{placed} of {}", 3 * frames.len());
}

#[test]
fn nothing_false_is_saved_whatever_is_damaged() {
    let tensors = tensors();
    let source = safetensors(&tensors);
    let file = compress_bytes(&source, None, &options(2)).unwrap();
    let index = index_of(&file);
    let (mut opened, mut named) = (0, 0);
    for seed in 0..150 {
        let mut random = noise(4096, seed)
            .chunks_exact(4)
            .map(|c| u32::from_le_bytes(c.try_into().unwrap()) as usize)
            .collect::<Vec<_>>()
            .into_iter();
        let mut next = |n: usize| random.next().unwrap() % n;
        let mut damaged = if seed % 3 == 0 { file.clone() } else { file[..index + next(40)].to_vec() };
        for _ in 0..1 + next(3) {
            let at = next(damaged.len());
            let size = [8, 300, 60_000][next(3)];
            let n = 1 + next(size);
            let end = (at + n).min(damaged.len());
            match next(6) {
                0 => damaged[at] ^= 1 << next(8),
                1 => damaged[at..end].fill(0),
                2 => drop(damaged.splice(at..at, noise(n, seed))),
                3 => drop(damaged.drain(at..end)),
                4 => damaged.truncate(at.max(100)),
                _ => {
                    // A piece of the file once more.
                    let piece = damaged[at..end].to_vec();
                    let to = next(damaged.len());
                    damaged.splice(to..to, piece);
                }
            }
        }
        if let Ok(found) = saved(&damaged) {
            opened += 1;
            named += check(&found, &source, &tensors).len();
        }
    }
    assert!(opened > 100 && named > 500, "{opened} {named}");
}

#[test]
fn a_file_in_a_file_is_not_taken_for_it() {
    let inner =
        compress_bytes(&safetensors(&[("inner".into(), weights(50_000, 4))]), None, &options(1)).unwrap();
    let tensors = vec![
        ("first".into(), noise(40_000, 5)),
        ("archive".into(), inner),
        ("last".into(), noise(40_000, 6)),
    ];
    let source = safetensors(&tensors);
    let file = compress_bytes(&source, None, &options(1)).unwrap();
    let (frames, index) = frames_of(&file);
    let archive = frames.iter().find(|f| f.raw == tensors[1].1.len() as u64).unwrap();
    assert_eq!(archive.codec, 0, "stored, so that its own frames are in sight");
    for at in [archive.offset, archive.offset + 5, archive.offset + 8, archive.offset + 30] {
        for end in [index, index + 3, file.len()] {
            let mut damaged = file[..end].to_vec();
            damaged[at as usize] ^= 1;
            let names = check_named(&saved(&damaged).unwrap(), &tensors);
            assert!(
                names.contains(&"first".to_owned()) && !names.contains(&"archive".to_owned()),
                "{names:?}"
            );
        }
    }
}

/// The tensors, compared; what has no place may be of the inner file.
fn check_named(found: &Salvaged, tensors: &Tensors) -> Vec<String> {
    for row in &found.archive.index().tensors {
        let expected = tensors.iter().find(|t| t.0 == row.tensor.name).map(|t| t.1.as_slice());
        let bytes = read(&found.archive, row.tensor.start..row.tensor.end());
        assert!(Some(bytes.as_slice()) == expected, "{}", row.tensor.name);
    }
    found.archive.index().tensors.iter().map(|row| row.tensor.name.clone()).collect()
}

#[test]
fn what_is_no_mmh_is_refused() {
    for data in [Vec::new(), noise(100, 1), noise(300_000, 2), vec![0; 5000], b"FR".repeat(10_000)] {
        assert!(matches!(saved(&data), Err(Error::NotMmh(_))));
    }
    // The header alone.
    assert!(matches!(saved(&index::header(0)), Err(Error::Corrupt { .. })));
}

#[test]
fn a_file_of_nothing_known_is_saved_as_bytes() {
    let source: Vec<u8> = b"some text, and more of it. ".repeat(60_000);
    let file = compress_bytes(&source, None, &options(3)).unwrap();
    let found = saved(&file[..file.len() * 7 / 10]).unwrap();
    assert!(found.archive.index().tensors.is_empty() && found.loose.is_none());
    let [range] = found.ranges.as_slice() else { panic!("{:?}", found.ranges) };
    assert!(range.start == 0 && range.end > 0);
    check(&found, &source, &[]);
}

//! Pickles and archives made by hand.

use super::*;

/// The pickle of a string.
fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn int(value: i32) -> Vec<u8> {
    [&b"J"[..], &value.to_le_bytes()].concat()
}

fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [&b"("[..], &items.concat(), b"t"].concat()
}

fn sizes(sizes: &[i32]) -> Vec<u8> {
    tuple(&sizes.iter().map(|size| int(*size)).collect::<Vec<_>>())
}

/// A reference to a storage of floats.
fn storage(key: &str, count: i32) -> Vec<u8> {
    let class = b"ctorch\nFloatStorage\n".to_vec();
    [tuple(&[text("storage"), class, text(key), text("cpu"), int(count)]), b"Q".to_vec()].concat()
}

/// A tensor of a storage.
fn view(storage: Vec<u8>, offset: i32, shape: &[i32], strides: &[i32]) -> Vec<u8> {
    let arguments = tuple(&[storage, int(offset), sizes(shape), sizes(strides), b"\x89N".to_vec()]);
    [b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec(), arguments, b"R".to_vec()].concat()
}

fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<_> = entries.iter().map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [&b"}("[..], &entries.concat(), b"u"].concat()
}

/// An archive of this pickle and of storages of so many floats.
fn archive(pickle: &[u8], counts: &[usize]) -> Vec<u8> {
    let pickle = [b"\x80\x02", pickle, b"."].concat();
    let storages = counts.iter().enumerate().map(|(i, n)| file(&format!("x/data/{i}"), &vec![0; 4 * n]));
    [file("x/data.pkl", &pickle)].into_iter().chain(storages).collect::<Vec<_>>().concat()
}

/// (name, shape) of the tensors.
fn shapes(layout: &Layout) -> Vec<(&str, &[u64])> {
    layout.tensors.iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect()
}

#[test]
fn views_become_the_tensors_that_they_can_be() {
    type View<'a> = (&'a str, i32, &'a [i32], &'a [i32]);
    type Shape<'a> = (&'a str, &'a [u64]);
    let cases: [(&[View<'_>], &[Shape<'_>], usize); 11] = [
        (&[("a", 0, &[3, 4], &[4, 1])], &[("a", &[3, 4])], 0),
        (&[("a", 0, &[4, 3], &[1, 4])], &[("a", &[4, 3])], 0),
        // Strides of axes of one element do not matter.
        (&[("a", 0, &[1, 12], &[7, 1])], &[("a", &[1, 12])], 0),
        // The longer of two that begin together, and the first of two that are alike.
        (&[("a", 0, &[6], &[1]), ("b", 0, &[12], &[1]), ("c", 0, &[12], &[1])], &[("b", &[12])], 0),
        (&[("a", 6, &[6], &[1]), ("b", 0, &[6], &[1])], &[("b", &[6]), ("a", &[6])], 0),
        (&[("a", 2, &[3], &[1]), ("b", 7, &[2], &[1])], &[("a", &[3]), ("b", &[2])], 3),
        (&[("a", 0, &[8], &[1]), ("b", 4, &[8], &[1])], &[("a", &[8])], 1),
        // Every other element, one of four for all, and none that is there.
        (&[("a", 0, &[6], &[2])], &[("a.storage", &[12])], 0),
        (&[("a", 0, &[3, 4], &[0, 1])], &[("a.storage", &[12])], 0),
        (&[("a", 1, &[12], &[1])], &[("a.storage", &[12])], 0),
        (&[("a", 0, &[i32::MAX, i32::MAX, i32::MAX], &[0, 0, 0])], &[("a.storage", &[12])], 0),
    ];
    for (views, want, hints) in cases {
        let views: Vec<_> = views
            .iter()
            .map(|(name, at, shape, strides)| (*name, view(storage("0", 12), *at, shape, strides)))
            .collect();
        let layout = find_checked(&archive(&dict(&views), &[12]));
        assert_eq!(shapes(&layout), want);
        assert_eq!(layout.hints.len(), hints, "{want:?}");
    }
}

#[test]
fn names_are_the_way_to_the_tensor() {
    let one = |key| view(storage(key, 1), 0, &[], &[]);
    let inner = dict(&[("b", one("0")), ("", one("1"))]);
    let list = [&b"]("[..], &one("2"), &one("3"), b"e"].concat();
    let numbered = [b"}".to_vec(), int(-7), one("4"), b"s".to_vec()].concat();
    // An object with a state, as a module is pickled.
    let state = dict(&[("_parameters", dict(&[("w", one("5"))])), ("_modules", dict(&[("m", one("6"))]))]);
    let object = [&b"cspam\nEggs\n)\x81"[..], &state, b"b"].concat();
    let root = dict(&[("a", inner), ("list", list), ("of", numbered), ("object", object)]);
    let layout = find_checked(&archive(&root, &[1; 7]));
    assert_eq!(names(&layout), ["a.b", "a.", "list.0", "list.1", "of.-7", "object.w", "object.m"]);
    assert_eq!(names(&find_checked(&archive(&one("0"), &[1]))), ["data"]);
}

#[test]
fn calls_of_anything_else_are_not_made_and_hold_their_arguments() {
    let tensor = view(storage("0", 1), 0, &[1], &[1]);
    let call = [&b"cos\nsystem\n"[..], &tuple(&[text("true"), tensor]), b"R"].concat();
    assert_eq!(names(&find_checked(&archive(&call, &[1]))), ["1"]);
}

#[test]
fn pickles_that_are_wrong_or_without_end() {
    let tensor = view(storage("0", 1), 0, &[1], &[1]);
    let nested = |n: usize| [vec![b']'; n], tensor.clone(), vec![b'a'; n]].concat();
    assert_eq!(find_checked(&archive(&nested(50), &[1])).tensors.len(), 1);
    let in_itself = [&b"]q\x00h\x00a"[..], &tensor, b"a"].concat();
    assert_eq!(names(&find_checked(&archive(&in_itself, &[1]))), ["1"]);
    // A list of two lists of two lists …
    let bomb =
        (0..60u8).fold(tensor.clone(), |inner, i| [&b"]("[..], &inner, &[b'q', i, b'h', i], b"e"].concat());
    assert_eq!(find_checked(&archive(&bomb, &[1])).tensors.len(), 1);
    let wrong = [
        nested(1_000_000),
        b"\xff".to_vec(),
        b"".to_vec(),
        b"t".to_vec(),
        b"e".to_vec(),
        b"h\x00".to_vec(),
        b"Q".to_vec(),
        b"R".to_vec(),
        b"X\xff\xff\xff\xff".to_vec(),
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        view(b"N".to_vec(), 0, &[1], &[1]),
        view(storage("0", 1), -1, &[1], &[1]),
        view(storage("0", 1), 0, &[-1], &[1]),
        view(storage("0", 1), 0, &[1], &[]),
        view(storage("0", 1), 0, &[0; 65], &[0; 65]),
        view(storage("1", 1), 0, &[1], &[1]),
    ];
    for wrong in wrong {
        assert_eq!(find_checked(&archive(&wrong, &[1])).tensors, []);
    }
}

#[test]
fn archives_that_are_not_pytorch_or_big_endian() {
    let tensor = view(storage("0", 1), 0, &[1], &[1]);
    let good = archive(&tensor, &[1]);
    for (order, tensors) in [(&b"little"[..], 1), (b"big", 0)] {
        let layout = find_checked(&[good.clone(), file("x/byteorder", order)].concat());
        assert_eq!(layout.tensors.len(), tensors);
    }
    for name in ["data.pkl", "x/y/data.pkl", "x/other.pkl"] {
        assert_eq!(find_checked(&file(name, b"N.")), Layout::opaque());
    }
}

#[test]
fn deflated_entries_are_opaque() {
    let pickle = [&view(storage("0", 1), 0, &[1], &[1])[..], b"."].concat();
    let deflated = entry(b"x/data/0", 0, 8, [4, 4], &[], &[0; 4]);
    let layout = find_checked(&[file("x/data.pkl", &pickle), deflated].concat());
    assert_eq!((layout.format, layout.tensors.len()), (Format::Pytorch, 0));
    let pickle = entry(b"x/data.pkl", 0, 8, [9, 9], &[], &[0; 9]);
    assert_eq!(find_checked(&[pickle, file("x/data/0", &[0; 4])].concat()).tensors, []);
}

/// Entries whose sizes are behind their data, as PyTorch writes them, and no directory: the pickle knows.
#[test]
fn sizes_behind_the_data() {
    let behind = |name: &str, data: &[u8], wide: bool| {
        let len = data.len() as u64;
        let sizes = if wide {
            [len; 2].map(u64::to_le_bytes).concat()
        } else {
            [len as u32; 2].map(u32::to_le_bytes).concat()
        };
        let descriptor = [b"PK\x07\x08\0\0\0\0", &sizes[..]].concat();
        [entry(name.as_bytes(), 1 << 3, 0, [0; 2], &[], data), descriptor].concat()
    };
    let tensors = [("a", view(storage("0", 3), 0, &[3], &[1])), ("b", view(storage("1", 5), 0, &[5], &[1]))];
    let pickle = [&dict(&tensors)[..], b"."].concat();
    for wide in [false, true] {
        let parts = [
            behind("x/data.pkl", &pickle, wide),
            behind("x/byteorder", b"little", wide),
            behind("x/empty", b"", wide),
            behind("x/data/0", &[0; 12], wide),
            behind("x/data/1", &[0; 20], wide),
        ];
        let whole = parts.concat();
        assert_eq!(names(&find_checked(&whole)), ["a", "b"]);
        assert_eq!(names(&find_in_stream(&whole)), ["a", "b"]);
        let cut = whole.len() - parts[4].len() + 30 + 8 + 10;
        let layout = find_checked(&whole[..cut]);
        assert_eq!(names(&layout), ["a"]);
        assert_eq!(layout.hints, [Hint { start: cut as u64 - 10, len: 8, dtype: Dtype::F32 }]);
        // Not what the pickle says.
        let lie = [&parts[0][..], &behind("x/data/0", &[0; 16], wide), &parts[4]].concat();
        assert!(find_checked(&lie).tensors.is_empty());
    }
}

//! ONNX models made by hand.

use super::*;

/// A field with a length.
fn message(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

/// A field with a number.
fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A tensor of two floats.
fn floats(fields: &[Vec<u8>]) -> Vec<u8> {
    message(5, &[number(1, 2), number(2, 1), message(8, b"a"), fields.concat()].concat())
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    [number(1, 8), message(7, &graph.concat())].concat()
}

#[test]
fn numbers_are_raw_or_packed_and_in_one_piece() {
    let raw = message(9, &[0; 8]);
    let layout = find_checked(&model(&[floats(std::slice::from_ref(&raw))]));
    assert_eq!((layout.format, names(&layout)), (Format::Onnx, vec!["a"]));
    assert_eq!(names(&find_checked(&model(&[floats(&[message(4, &[0; 8])])]))), ["a"]);
    for odd in [vec![], vec![message(9, &[0; 7])], vec![raw.clone(), raw], vec![message(10, &[0; 8])]] {
        let layout = find_checked(&model(&[floats(&odd)]));
        assert_eq!((layout.format, layout.tensors.len()), (Format::Onnx, 0));
    }
    let unpacked = [1u8, 2].map(|_| [varint(4 << 3 | 5), vec![0; 4]].concat()).concat();
    assert_eq!(find_checked(&model(&[floats(&[unpacked])])).tensors, []);
}

#[test]
fn dims_may_be_packed_and_fields_in_any_order() {
    let dims = message(1, &[2, 3]);
    let fields = [message(9, &[0; 12]), number(2, 10), dims, message(8, b"w")].concat();
    let layout = find_checked(&model(&[message(5, &fields)]));
    let start = layout.tensors[0].start;
    assert_eq!(layout.tensors, [tensor("w", Dtype::F16, &[2, 3], start)]);
}

#[test]
fn models_have_a_version_one_graph_and_no_strange_fields() {
    let graph = message(7, &floats(&[message(9, &[0; 8])]));
    let models = [
        ([number(1, 8), graph.clone()].concat(), true),
        (
            [number(1, 8), message(2, b"producer"), number(5, 1), graph.clone(), message(8, &number(2, 17))]
                .concat(),
            true,
        ),
        ([number(1, 0), graph.clone()].concat(), false),
        ([number(2, 8), graph.clone()].concat(), false),
        (graph.clone(), false),
        (number(1, 8), false),
        ([number(1, 8), number(2, 1), graph.clone()].concat(), false),
        ([number(1, 8), message(9, b""), graph.clone()].concat(), false),
        ([number(1, 8), graph.clone(), graph.clone()].concat(), false),
    ];
    for (model, known) in models {
        assert_eq!(find_checked(&model).format == Format::Onnx, known, "{model:x?}");
    }
}

#[test]
fn graphs_in_graphs_end() {
    let mut graph = floats(&[message(9, &[0; 8])]);
    for _ in 0..1000 {
        graph = message(1, &message(5, &message(6, &graph)));
    }
    let layout = find_checked(&model(&[floats(&[message(9, &[0; 8])]), graph]));
    assert_eq!((layout.format, names(&layout)), (Format::Onnx, vec!["a"]));
}

#[test]
fn only_what_is_around_tensors_is_read() {
    let file = model(&[
        floats(&[]),
        message(
            5,
            &[number(1, 1 << 20), number(2, 3), message(8, b"w"), message(9, &vec![0; 1 << 20])].concat(),
        ),
    ]);
    let disk = Disk { bytes: file, broken_from: u64::MAX, read: AtomicU64::new(0) };
    assert_eq!(find(Input { bytes: &disk, complete: true }).tensors.len(), 1);
    assert!(disk.read.into_inner() < 4000);
}

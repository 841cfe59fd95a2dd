use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

mod files;
mod gguf;
mod onnx;
mod pytorch;

/// safetensors 0.8: save({"b": [0, 1, 2] u16, "a": [[1.5, -2]] f32, "empty": zeros((0, 4)) f32, "s": 7 i8},
/// metadata={"format": "np"})
const SAFETENSORS: &str = "\
    00010000000000007b225f5f6d657461646174615f5f223a7b22666f726d6174223a226e70227d2c2261223a7b22647479706522\
    3a22463332222c227368617065223a5b312c325d2c22646174615f6f666673657473223a5b302c385d7d2c22656d707479223a7b\
    226474797065223a22463332222c227368617065223a5b302c345d2c22646174615f6f666673657473223a5b382c385d7d2c2262\
    223a7b226474797065223a22553136222c227368617065223a5b335d2c22646174615f6f666673657473223a5b382c31345d7d2c\
    2273223a7b226474797065223a224938222c227368617065223a5b5d2c22646174615f6f666673657473223a5b31342c31355d7d\
    7d2020200000c03f000000c000000100020007";

/// NumPy 2.4: save(asfortranarray(arange(6, dtype="f4").reshape(2, 3)))
const NPY: &str = "\
    934e554d5059010076007b276465736372273a20273c6634272c2027666f727472616e5f6f72646572273a20547275652c202773\
    68617065273a2028322c2033292c207d202020202020202020202020202020202020202020202020202020202020202020202020\
    20202020202020202020202020202020202020202020200a00000000000040400000803f00008040000000400000a040";

/// NumPy 2.4: savez(w=array([1, 2], "f2"), lé=array(True)). The sizes are in zip64 fields.
const NPZ: &str = "\
    504b03042d000000000000002100fd96bee2ffffffffffffffff05001400772e6e70790100100084000000000000008400000000\
    000000934e554d5059010076007b276465736372273a20273c6632272c2027666f727472616e5f6f72646572273a2046616c7365\
    2c20277368617065273a2028322c292c207d20202020202020202020202020202020202020202020202020202020202020202020\
    20202020202020202020202020202020202020202020202020200a003c0040504b03042d000008000000002100822df8d3ffffff\
    ffffffffff070014006cc3a92e6e70790100100081000000000000008100000000000000934e554d5059010076007b2764657363\
    72273a20277c6231272c2027666f727472616e5f6f72646572273a2046616c73652c20277368617065273a2028292c207d202020\
    20202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020\
    202020202020200a01504b01022d032d000000000000002100fd96bee28400000084000000050000000000000000000000800100\
    000000772e6e7079504b01022d032d000008000000002100822df8d381000000810000000700000000000000000000008001bb00\
    00006cc3a92e6e7079504b0506000000000200020068000000750100000000";

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn fixtures() -> [Vec<u8>; 3] {
    [SAFETENSORS, NPY, NPZ].map(unhex)
}

fn tensor(name: &str, dtype: Dtype, shape: &[u64], start: u64) -> Tensor {
    let len = dtype.size_of(shape).unwrap();
    Tensor { name: name.into(), dtype, shape: shape.into(), fortran: false, start, len }
}

/// The layout of a file, after checking what holds for every file, and for every stream that begins with it.
fn find_checked(bytes: &[u8]) -> Layout {
    for complete in [false, true] {
        let input = Input { bytes: &bytes, complete };
        for read in READERS {
            let Some(layout) = read(input) else { continue };
            assert!(is_sound(&layout), "{layout:?}");
            assert!(layout.tensors.iter().all(|t| input.reaches(t.end())), "{layout:?}");
        }
        assert!(is_sound(&find(input)));
    }
    find(Input { bytes: &bytes, complete: true })
}

fn find_in_stream(bytes: &[u8]) -> Layout {
    find(Input { bytes: &bytes, complete: false })
}

fn names(layout: &Layout) -> Vec<&str> {
    layout.tensors.iter().map(|t| t.name.as_str()).collect()
}

#[test]
fn reads_what_safetensors_writes() {
    let layout = find_checked(&unhex(SAFETENSORS));
    assert_eq!(layout.format, Format::Safetensors);
    let want = [
        tensor("a", Dtype::F32, &[1, 2], 264),
        tensor("empty", Dtype::F32, &[0, 4], 272),
        tensor("b", Dtype::U16, &[3], 272),
        tensor("s", Dtype::I8, &[], 278),
    ];
    assert_eq!(layout.tensors, want);
}

#[test]
fn reads_what_numpy_writes() {
    let layout = find_checked(&unhex(NPY));
    assert_eq!(layout.format, Format::Npy);
    assert_eq!(layout.tensors, [Tensor { fortran: true, ..tensor("data", Dtype::F32, &[2, 3], 128) }]);

    let layout = find_checked(&unhex(NPZ));
    assert_eq!(layout.format, Format::Npz);
    let want = [tensor("w", Dtype::F16, &[2], 183), tensor("lé", Dtype::Bool, &[], 372)];
    assert_eq!(layout.tensors, want);
}

#[test]
fn every_changed_byte_gives_a_sound_layout() {
    for mut bytes in fixtures() {
        for i in 0..bytes.len() {
            let was = bytes[i];
            for change in 1..=255 {
                bytes[i] = was ^ change;
                find_checked(&bytes);
            }
            bytes[i] = was;
        }
    }
}

#[test]
fn every_truncation_gives_a_sound_layout() {
    for bytes in fixtures() {
        for len in 0..bytes.len() {
            find_checked(&bytes[..len]);
        }
    }
}

#[test]
fn truncated_files_keep_what_is_whole() {
    let [safetensors, npy, npz] = fixtures();
    let header = 264;
    let of_safetensors = [8, 8, 14, 15].map(|end| header + end);
    for (bytes, arrays_end) in [(&safetensors, &of_safetensors[..]), (&npy, &[152]), (&npz, &[187, 373])] {
        for len in 0..bytes.len() {
            let whole = arrays_end.iter().filter(|&&end| end <= len).count();
            assert_eq!(find_checked(&bytes[..len]).tensors.len(), whole, "{len} bytes");
        }
    }
}

#[test]
fn streams_show_every_tensor_whose_header_was_seen() {
    let [safetensors, npy, npz] = fixtures();
    for (bytes, headers) in
        [(&safetensors, &[(264, 4)][..]), (&npy, &[(128, 1)]), (&npz, &[(183, 1), (372, 1)])]
    {
        for len in 0..bytes.len() {
            let seen: usize = headers.iter().filter(|(end, _)| *end <= len).map(|(_, tensors)| tensors).sum();
            assert_eq!(find_in_stream(&bytes[..len]).tensors.len(), seen, "{len} bytes");
        }
    }
}

#[test]
fn other_files_are_opaque() {
    for bytes in [&b""[..], b"{", b"PK\x03\x04", b"\x93NUMPY", &[0; 100], &[255; 100]] {
        assert_eq!(find_checked(bytes), Layout::opaque());
    }
}

/// A file that fails to read some bytes, and counts those that it reads.
struct Disk {
    bytes: Vec<u8>,
    broken_from: u64,
    read: AtomicU64,
}

impl ReadAt for Disk {
    fn len(&self) -> u64 {
        ReadAt::len(&self.bytes)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset + buf.len() as u64 > self.broken_from {
            return Err(io::Error::other("broken"));
        }
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.bytes.read_exact_at(offset, buf)
    }
}

#[test]
fn files_that_cannot_be_read_are_opaque() {
    for bytes in fixtures() {
        let disk = Disk { bytes, broken_from: 100, read: AtomicU64::new(0) };
        assert_eq!(find(Input { bytes: &disk, complete: true }), Layout::opaque());
    }
}

#[test]
fn only_headers_are_read() {
    let data = vec![0; 1 << 20];
    let header = r#"{"a":{"dtype":"U8","shape":[1048576],"data_offsets":[0,1048576]}}"#;
    let array = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1048576,)}", &data);
    let zip = [file("a.npy", &array), file("b.npy", &array)].concat();
    for (bytes, tensors) in [(safetensors(header, &data), 1), (array, 1), (zip, 2)] {
        let disk = Disk { bytes, broken_from: u64::MAX, read: AtomicU64::new(0) };
        assert_eq!(find(Input { bytes: &disk, complete: true }).tensors.len(), tensors);
        assert!(disk.read.into_inner() < 500);
    }
}

// safetensors

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// The tensors found behind this header in four bytes of data; none if the file is opaque.
fn tensors_of(header: &str) -> Option<Vec<Tensor>> {
    let layout = find_checked(&safetensors(header, &[0; 4]));
    (layout.format == Format::Safetensors).then_some(layout.tensors)
}

/// A header of two tensors: name, shape, offsets.
fn pair(a: (&str, &str, [u64; 2]), b: (&str, &str, [u64; 2])) -> String {
    let [a, b] = [a, b].map(|(name, shape, offsets)| {
        format!(r#""{name}":{{"dtype":"U8","shape":{shape},"data_offsets":{offsets:?}}}"#)
    });
    format!("{{{a},{b}}}")
}

#[test]
fn safetensors_headers_that_the_reference_accepts() {
    const A: &str = r#""a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]}"#;
    let headers = [
        format!("{{{A}}}"),
        format!(" \n{{{A}}}\t "),
        r#"{"a":{"data_offsets":[0,4],"shape":[2],"dtype":"I16"}}"#.into(),
        r#"{"a":{"dtype":"I16","shape":[2],"data_offsets":[0,4],"more":[1,-1,0.5,true,null,"",{"x":1}]}}"#
            .into(),
        r#"{"\u0061":{"dtype":"\u004916","shape":[2],"data_offsets":[0,4]}}"#.into(),
        format!(r#"{{"__metadata__":null,{A}}}"#),
        format!(r#"{{"__metadata__":{{}},{A}}}"#),
        format!(r#"{{{A},"__metadata__":{{"k":"v","k":"w"}}}}"#),
    ];
    for header in headers {
        let want = tensor("a", Dtype::I16, &[2], 8 + header.len() as u64);
        assert_eq!(tensors_of(&header), Some(vec![want]), "{header}");
    }
    assert_eq!(find_checked(&safetensors("{}", &[])).format, Format::Safetensors);
}

#[test]
fn safetensors_headers_that_the_reference_refuses() {
    let infos = [
        r#"{"dtype":"I16","shape":[2]}"#,
        r#"{"dtype":"I16","data_offsets":[0,4]}"#,
        r#"{"shape":[2],"data_offsets":[0,4]}"#,
        r#"{"dtype":"I17","shape":[2],"data_offsets":[0,4]}"#,
        r#"{"dtype":"i16","shape":[2],"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","dtype":"I16","shape":[2],"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","shape":[2],"shape":[2],"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","shape":[2],"data_offsets":[0,4],"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","shape":[3],"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","shape":[2.0],"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","shape":[-2],"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","shape":["2"],"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","shape":2,"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","shape":null,"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","shape":[2],"data_offsets":[0]}"#,
        r#"{"dtype":"I16","shape":[2],"data_offsets":[0,4,4]}"#,
        r#"{"dtype":"I16","shape":[2],"data_offsets":[4,0]}"#,
        r#"{"dtype":"I16","shape":[1],"data_offsets":[2,4]}"#,
        r#"{"dtype":"I16","shape":[1],"data_offsets":[0,2]}"#,
        r#"{"dtype":"F4","shape":[7],"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","shape":[9223372036854775808,2,2],"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","shape":[18446744073709551616],"data_offsets":[0,4]}"#,
        r#"{"dtype":"I16","shape":[2],"data_offsets":[0,4],"more":1e999}"#,
        r#"{"dtype":"I16","shape":[2],"data_offsets":[0,4],"more":"\ud800"}"#,
        "[]",
        "null",
        "1",
    ];
    let headers = [
        String::new(),
        "[]".into(),
        "{".into(),
        r#"{"a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]}}}"#.into(),
        r#"{"a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]},}"#.into(),
        r#"{"__metadata__":1,"a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]}}"#.into(),
        r#"{"__metadata__":{"k":1},"a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]}}"#.into(),
        r#"{"__metadata__":{},"__metadata__":{},"a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]}}"#
            .into(),
        // A hole, an overlap, and a size that overflows before the zero.
        pair(("a", "[1]", [0, 1]), ("b", "[2]", [2, 4])),
        pair(("a", "[3]", [0, 3]), ("b", "[2]", [2, 4])),
        pair(("a", "[4]", [0, 4]), ("b", "[8589934592,8589934592,0]", [4, 4])),
    ];
    for header in infos.iter().map(|info| format!(r#"{{"a":{info}}}"#)).chain(headers) {
        assert_eq!(tensors_of(&header), None, "{header}");
    }
}

#[test]
fn safetensors_names_are_unique() {
    for (other, unique) in [("b", true), ("a", false), (r"\u0061", false)] {
        let header = pair(("a", "[2]", [0, 2]), (other, "[2]", [2, 4]));
        assert_eq!(tensors_of(&header).is_some(), unique, "{header}");
        let header = pair(("a", "[4]", [0, 4]), (other, "[4]", [0, 4]));
        assert_eq!(tensors_of(&header), None, "{header}");
    }
}

#[test]
fn safetensors_are_ordered_by_offset_then_as_in_the_header() {
    let header = r#"{
        "z":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},
        "y":{"dtype":"F64","shape":[0],"data_offsets":[2,2]},
        "x":{"dtype":"U8","shape":[0,7],"data_offsets":[2,2]},
        "w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
        "":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}
    }"#;
    let tensors = tensors_of(header).unwrap();
    assert_eq!(tensors.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["", "w", "y", "x", "z"]);
}

#[test]
fn safetensors_cover_the_file() {
    let header = r#"{"a":{"dtype":"I16","shape":[2],"data_offsets":[0,4]}}"#;
    assert_eq!(find_checked(&safetensors(header, &[0; 5])), Layout::opaque());
    for len in [0, 3] {
        let cut = find_checked(&safetensors(header, &vec![0; len]));
        assert_eq!((cut.format, cut.tensors.len()), (Format::Safetensors, 0));
        let whole: u64 = cut.hints.iter().map(|h| h.len).sum();
        assert_eq!(whole, len as u64 / 2 * 2);
    }
    assert_eq!(names(&find_in_stream(&safetensors(header, &[]))), ["a"]);
    assert_eq!(names(&find_in_stream(&safetensors(header, &[0; 4]))), ["a"]);
    assert_eq!(find_in_stream(&safetensors(header, &[0; 5])), Layout::opaque());
}

#[test]
fn safetensors_headers_do_not_exhaust_the_stack() {
    for (depth, accepted) in [(100, true), (1_000_000, false)] {
        let more = "[".repeat(depth) + &"]".repeat(depth);
        let header = format!(r#"{{"a":{{"more":{more},"dtype":"U8","shape":[4],"data_offsets":[0,4]}}}}"#);
        assert_eq!(tensors_of(&header).is_some(), accepted);
    }
}

#[test]
fn safetensors_that_the_container_cannot_hold_are_opaque() {
    for (name, rank, held) in [(65_535, 64, true), (65_536, 64, false), (65_535, 65, false)] {
        let (name, ones) = ("n".repeat(name), "1,".repeat(rank - 1));
        let header = format!(r#"{{"{name}":{{"dtype":"U8","shape":[{ones}4],"data_offsets":[0,4]}}}}"#);
        let file = safetensors(&header, &[0; 4]);
        assert_eq!(find(Input { bytes: &file, complete: true }).tensors.len(), usize::from(held));
    }
}

#[test]
fn safetensors_with_a_header_longer_than_the_file_are_opaque() {
    for len in [93, 100_000_000, 100_000_001, u64::MAX - 7, u64::MAX] {
        let mut file = [&len.to_le_bytes(), "{}".as_bytes()].concat();
        file.resize(100, b' ');
        assert_eq!(find_checked(&file), Layout::opaque());
        assert_eq!(find_in_stream(&file), Layout::opaque());
    }
}

// npy

fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// The array found behind this header in 24 bytes of data.
fn array_of(header: &str) -> Option<Tensor> {
    find_checked(&npy(header, &[0; 24])).tensors.pop()
}

#[test]
fn npy_headers_that_numpy_accepts() {
    let headers = [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
        "{'shape':(2,3,),'fortran_order':False,'descr':'<f4'}",
        "  { \"descr\" : \"<f4\" , 'shape' : ( 2 , 3 ) ,\n 'fortran_order' : False , } \t\r\n\x0c",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }\n",
    ];
    for header in headers {
        let start = 10 + header.len() as u64;
        assert_eq!(array_of(header), Some(tensor("data", Dtype::F32, &[2, 3], start)), "{header}");
    }
}

#[test]
fn npy_headers_that_are_wrong() {
    let headers = [
        "",
        "{}",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'shape': (2, 3)}",
        "{'fortran_order': False, 'shape': (2, 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'shape': (2, 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\0",
        "{'descr': '<f4',, 'fortran_order': False, 'shape': (2, 3)}",
        "{'descr': '<f4' 'fortran_order': False, 'shape': (2, 3)}",
        "{'descr': '<f4\", 'fortran_order': False, 'shape': (2, 3)}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}",
        "{'descr': '<f4', 'fortran_order': Falsehood, 'shape': (2, 3)}",
        "{'descr': '\\x3cf4', 'fortran_order': False, 'shape': (2, 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': [2, 3]}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 6}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (6)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,,3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 03)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3.0)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, L)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 18446744073709551616)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808, 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (7,)}",
        "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}é",
    ];
    for header in headers {
        assert_eq!(array_of(header), None, "{header}");
    }
    // The container's limit, and NumPy's.
    for (rank, held) in [(64, true), (65, false)] {
        let ones = "1,".repeat(rank);
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({ones})}}");
        assert_eq!(array_of(&header).is_some(), held);
    }
}

#[test]
fn npy_dtypes() {
    let known = "b1:BOOL u1:U8 i1:I8 u2:U16 i2:I16 u4:U32 i4:I32 u8:U64 i8:I64 f2:F16 f4:F32 f8:F64 c8:C64";
    let dtype = |descr: &str| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,)}}");
        array_of(&header).map(|array| array.dtype.name())
    };
    for (descr, name) in known.split(' ').map(|row| row.split_once(':').unwrap()) {
        let byte = descr.ends_with('1');
        assert_eq!(dtype(&format!("<{descr}")), Some(name));
        assert_eq!(dtype(&format!("|{descr}")), byte.then_some(name));
        assert_eq!(dtype(&format!(">{descr}")), byte.then_some(name));
        assert_eq!(dtype(descr), None);
    }
    for descr in ["", "<", "f", "<c16", "<f16", "|O", "|S4", "<U4", "<V2", "|V1", "<M8[ns]", "éf4", "<f4 "] {
        assert_eq!(dtype(descr), None, "{descr}");
    }
}

#[test]
fn npy_order_matters_from_two_axes_on() {
    for (shape, fortran) in
        [("()", false), ("(2,)", false), ("(2,3)", true), ("(1,2,3)", true), ("(0,0)", true)]
    {
        let header = format!("{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}}}");
        assert_eq!(array_of(&header).unwrap().fortran, fortran, "{shape}");
    }
}

#[test]
fn npy_versions() {
    const HEADER: &[u8] = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}";
    for (version, known) in
        [([2, 0], true), ([3, 0], true), ([0, 0], false), ([2, 1], false), ([4, 0], false)]
    {
        let len = (HEADER.len() as u32).to_le_bytes();
        let file = [b"\x93NUMPY", &version[..], &len, HEADER, &[0; 24]].concat();
        assert_eq!(find_checked(&file).format == Format::Npy, known);
    }
    for (len, known) in [(65_535, true), (65_536, false), (100_000, false), (u32::MAX, false)] {
        let mut file = [b"\x93NUMPY\x02\0", &len.to_le_bytes()[..], HEADER].concat();
        file.resize(70_000, b' ');
        assert_eq!(find_checked(&file).format == Format::Npy, known);
    }
}

#[test]
fn npy_may_be_followed_by_other_bytes() {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (5,)}";
    assert_eq!(array_of(header), Some(tensor("data", Dtype::F32, &[5], 65)));
}

// npz

/// An entry of a zip archive: local header and data.
fn entry(name: &[u8], flags: u16, method: u16, sizes: [u32; 2], extra: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04\x14\0".to_vec();
    bytes.extend([flags, method, 0, 0, 0, 0].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend(sizes.iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend([name.len(), extra.len()].iter().flat_map(|n| (*n as u16).to_le_bytes()));
    [&bytes, name, extra, data].concat()
}

/// An entry of the usual kind.
fn file(name: &str, data: &[u8]) -> Vec<u8> {
    entry(name.as_bytes(), 0, 0, [data.len() as u32; 2], &[], data)
}

fn array() -> Vec<u8> {
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", &[0; 8])
}

#[test]
fn npz_entries_that_are_not_plain_arrays_are_opaque() {
    let array = array();
    let size = array.len() as u32;
    let odd = [
        file("b", &array),
        file("b.npz", &file("inner.npy", &array)),
        file("b.npy", b"not an array"),
        file("b.npy", b""),
        file("b.npy\0", &array),
        file("b\0.npy", &array),
        file("é.npy", &array),
        entry(b"\xff.npy", 1 << 11, 0, [size; 2], &[], &array),
        entry(b"b.npy", 1, 0, [size; 2], &[], &array),
        entry(b"b.npy", 0, 8, [size; 2], &[], &array),
        entry(b"b.npy", 0, 0, [size, size + 1], &[], &array),
        // The array would end behind its entry.
        entry(b"b.npy", 0, 0, [size - 1; 2], &[], &array[..array.len() - 1]),
    ];
    for odd in odd {
        let zip = [file("a.npy", &array), odd.clone(), file("dir/c.npy", &array)].concat();
        let layout = find_checked(&zip);
        assert_eq!((layout.format, names(&layout)), (Format::Npz, vec!["a", "dir/c"]), "{odd:x?}");
        let zip = [odd.clone(), file("a.npy", &array)].concat();
        assert_eq!(names(&find_checked(&zip)), ["a"], "{odd:x?}");
    }
}

#[test]
fn npz_entries_of_one_name_are_numbered() {
    let zip = [file("a.npy", &array()), file("a.npy", &array()), file("a.npy", &array())].concat();
    assert_eq!(names(&find_checked(&zip)), ["a", "a#2", "a#3"]);
}

#[test]
fn npz_entries_may_be_longer_than_their_array() {
    let zip = [file("a.npy", &[array(), vec![0; 9]].concat()), file(".npy", &array())].concat();
    assert_eq!(names(&find_checked(&zip)), ["a", ""]);
}

#[test]
fn npz_without_an_array_is_some_other_zip() {
    for zip in [file("archive/data/0", &array()), file("word/document.xml", b"<?xml?>"), file("a.npy", b"")] {
        assert_eq!(find_checked(&zip), Layout::opaque());
    }
}

#[test]
fn npz_walk_stops_where_the_next_entry_is_unknown() {
    let array = array();
    let size = array.len() as u32;
    let far = entry(b"b.npy", 0, 0, [u32::MAX - 1; 2], &[], &array);
    let ends = [
        entry(b"b.npy", 1 << 3, 0, [0; 2], &[], &array),
        entry(b"b.npz", 1 << 3, 0, [0; 2], &[], &file("inner.npy", &array)),
        entry(b"b.npy", 0, 0, [u32::MAX; 2], &[], &array),
        entry(b"b.npy", 0, 0, [u32::MAX; 2], &[1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0], &array),
        entry(b"b.npy", 0, 0, [u32::MAX; 2], &[[1, 0, 16, 0].as_slice(), &[255; 16]].concat(), &array),
        entry(b"b.npy", 0, 0, [u32::MAX; 2], &[1, 0, 255, 255], &array),
        b"PK\x01\x02".to_vec(),
    ];
    for end in ends {
        let zip = [file("a.npy", &array), end.clone(), file("c.npy", &array)].concat();
        assert_eq!(names(&find_checked(&zip)), ["a"], "{end:x?}");
    }
    // An entry may go on that far, in a stream or in a file that was cut off, and its array is here.
    let zip = [file("a.npy", &array), far].concat();
    assert_eq!(names(&find_in_stream(&zip)), ["a", "b"]);
    assert_eq!(names(&find_checked(&zip)), ["a", "b"]);
    // The bit alone does no harm where the sizes are there.
    let sized = entry(b"a.npy", 1 << 3, 0, [size; 2], &[], &array);
    assert_eq!(names(&find_checked(&[sized, file("b.npy", &array)].concat())), ["a", "b"]);
}

#[test]
fn npz_zip64_field_among_others() {
    let array = array();
    let size = array.len() as u64;
    let other = [0x55, 0x54, 5, 0, 1, 2, 3, 4, 5];
    let zip64 = [[1, 0, 16, 0].as_slice(), &size.to_le_bytes(), &size.to_le_bytes()].concat();
    for extra in [[other.to_vec(), zip64.clone()].concat(), [zip64, other.to_vec()].concat()] {
        let zip = [entry(b"a.npy", 0, 0, [u32::MAX; 2], &extra, &array), file("b.npy", &array)].concat();
        assert_eq!(names(&find_checked(&zip)), ["a", "b"]);
    }
}

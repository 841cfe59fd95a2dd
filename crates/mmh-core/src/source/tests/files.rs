//! Small real files of each format, made by `tests/data/make.py` with the format's own library.

use super::*;

macro_rules! files {
    ($($name:literal)*) => {
        const FILES: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("../../../../../tests/data/", $name)))),*];
    };
}

files! {
    "checkpoint.pt" "chunks.h5" "chunks-latest.h5" "dtypes.pt" "keras.h5" "latest.h5" "legacy.pt" "model.gguf" "model.onnx" "model.tflite" "module.pt" "protocol4.pt"
    "script.pt"
}

/// Name, dtype, shape, and the start of the BLAKE3 of the bytes in row-major order.
type Row = (String, String, Vec<u64>, String);

fn expected(file: &str) -> Vec<Row> {
    let json = include_str!("../../../../../tests/data/expected.json");
    let mut all: HashMap<String, Vec<Row>> = serde_json::from_str(json).unwrap();
    all.remove(file).unwrap()
}

/// The bytes of a tensor in row-major order.
fn row_major(bytes: &[u8], tensor: &Tensor) -> Vec<u8> {
    let data = &bytes[tensor.start as usize..tensor.end() as usize];
    match (tensor.fortran, tensor.shape.as_slice()) {
        (false, _) => data.to_vec(),
        (true, [rows, columns]) => {
            let (rows, columns) = (*rows as usize, *columns as usize);
            let size = data.len() / (rows * columns);
            let at = |row, column| &data[(column * rows + row) * size..][..size];
            (0..rows).flat_map(|row| (0..columns).flat_map(move |column| at(row, column))).copied().collect()
        }
        (true, shape) => panic!("{shape:?}"),
    }
}

fn found(bytes: &[u8]) -> Vec<Row> {
    let row = |t: &Tensor| {
        let hash = blake3::hash(&row_major(bytes, t)).to_hex()[..16].to_owned();
        (t.name.clone(), t.dtype.name().to_owned(), t.shape.clone(), hash)
    };
    let mut rows: Vec<Row> = find_checked(bytes).tensors.iter().map(row).collect();
    rows.sort();
    rows
}

#[test]
fn tensors_are_those_that_the_library_of_the_format_wrote() {
    for (name, bytes) in FILES {
        assert_eq!(found(bytes), expected(name), "{name}");
    }
}

#[test]
fn formats() {
    for (name, bytes) in FILES {
        let want = match (*name, name.rsplit_once('.').unwrap().1) {
            ("legacy.pt", _) => Format::PytorchLegacy,
            (_, "pt") => Format::Pytorch,
            (_, "gguf") => Format::Gguf,
            (_, "onnx") => Format::Onnx,
            (_, "h5") => Format::Hdf5,
            _ => Format::Tflite,
        };
        assert_eq!(find_checked(bytes).format, want, "{name}");
    }
}

#[test]
fn bytes_of_the_files_may_be_anything() {
    for (_, bytes) in FILES {
        let mut bytes = bytes.to_vec();
        // All of a large file would take minutes; the fuzz target does the rest.
        let step = 1 + bytes.len() / 400;
        for i in (0..bytes.len()).step_by(step) {
            let was = bytes[i];
            for now in [was ^ 1, was ^ 0x80, !was] {
                bytes[i] = now;
                find_checked(&bytes);
            }
            bytes[i] = was;
        }
    }
}

#[test]
fn files_may_end_anywhere() {
    for (_, bytes) in FILES {
        let all = <[u8]>::len(bytes);
        for len in (0..all).step_by(1 + all / 800) {
            find_checked(&bytes[..len]);
        }
    }
}

/// What is whole of a file that was cut off is found where the file says in front what it holds.
#[test]
fn what_is_whole_is_found() {
    for (name, bytes) in FILES {
        if !["checkpoint.pt", "protocol4.pt", "legacy.pt", "model.gguf"].contains(name) {
            continue;
        }
        let all = find_checked(bytes).tensors;
        let first = all.iter().map(|t| t.start).min().unwrap();
        for len in (first as usize + 1..<[u8]>::len(bytes)).step_by(5) {
            let cut = find_checked(&bytes[..len]);
            let whole = all.iter().filter(|t| t.end() <= len as u64).count();
            assert_eq!(cut.tensors, all[..whole], "{name} of {len} bytes");
            if let Some(next) = all.get(whole).filter(|t| t.start + t.dtype.unit().1 <= len as u64) {
                let there = len as u64 - next.start;
                let there = there - there % next.dtype.unit().1;
                let hint = Hint { start: next.start, len: there, dtype: next.dtype };
                assert!(cut.hints.contains(&hint), "{name} of {len} bytes: {hint:?}, {:?}", cut.hints);
            }
        }
    }
}

#[test]
fn files_that_fail_to_be_read_are_opaque_from_there_on() {
    for (name, bytes) in FILES {
        for broken_from in [0, 4, 64, 200, 300] {
            let disk = Disk { bytes: bytes.to_vec(), broken_from, read: AtomicU64::new(0) };
            let layout = find(Input { bytes: &disk, complete: true });
            assert!(is_sound(&layout), "{name}");
        }
    }
}

/// Found by fuzzing: a vector of a flatbuffer that said that it had billions of offsets.
#[test]
fn counts_that_lie_take_no_time() {
    let model = include_bytes!("../../../../../tests/data/model.tflite");
    for at in (0..model.as_slice().len()).step_by(4) {
        let mut bytes = model.to_vec();
        bytes[at..at + 4].fill(255);
        find_checked(&bytes);
    }
}

/// Chunks that no filter has been at are known, piece by piece; no other bytes are.
#[test]
fn chunks_of_hdf5_are_hints() {
    for name in ["chunks.h5", "chunks-latest.h5"] {
        let bytes = FILES.iter().find(|f| f.0 == name).unwrap().1;
        let layout = find_checked(bytes);
        assert_eq!((layout.format, layout.tensors.len()), (Format::Hdf5, 0), "{name}");
        let of = |dtype| {
            let hints = layout.hints.iter().filter(move |h| h.dtype == dtype);
            hints.flat_map(|h| &bytes[h.start as usize..][..h.len as usize]).copied().collect::<Vec<u8>>()
        };
        let floats = of(Dtype::F32);
        let mut floats: Vec<f32> =
            floats.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).filter(|f| *f > 0.0).collect();
        floats.sort_by(f32::total_cmp);
        // What is behind the edges is zero.
        assert!(floats.iter().copied().eq((1..4000u16).map(f32::from)), "{name}: {}", floats.len());
        let counts = of(Dtype::U16);
        let mut counts: Vec<u16> = counts.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        counts.sort_unstable();
        counts.retain(|n| *n > 0);
        assert!(counts.into_iter().eq(1..3000), "{name}");
        let doubles = of(Dtype::F64);
        assert_eq!(doubles.len(), 8 * 2048, "{name}");
    }
}

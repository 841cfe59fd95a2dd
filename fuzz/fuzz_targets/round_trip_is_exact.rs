//! Any bytes, called elements of any dtype, at any level, by any codec, come back as they were, and never cost more than 0.1 %
//! and 1 KiB. Against a base, too, which is the same bytes but for some.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use mmh_core::Dtype;
use mmh_core::api::{CompressOptions, compress_bytes, decompress_bytes};
use mmh_core::block::Settings;
use mmh_core::codec::tensor::Element;
use mmh_core::codec::{Block, CODECS, Codec, Counterpart, Level, Origin, Scratch, delta};
use mmh_kernels::conversions::{Conversion, convert};

#[derive(Arbitrary, Debug)]
struct Case {
    dtype: u8,
    level: u8,
    codec: u8,
    threads: bool,
    /// How often the data is repeated, so that blocks of many groups come up as well.
    times: u16,
    data: Vec<u8>,
}

fuzz_target!(|case: Case| {
    let times = 1 + usize::from(case.times) % (1 + (1 << 19) / case.data.len().max(1));
    let mut data = case.data.repeat(times);
    let array = Dtype::from_id(case.dtype).map(|dtype| {
        let (elements, bytes) = dtype.unit();
        let units = data.len() as u64 / bytes;
        data.truncate((units * bytes) as usize);
        (dtype, vec![units * elements])
    });
    let level = Level::new(1 + case.level % 9).expect("1 to 9");
    // One past the table stands for `auto`, and so does `delta`, which has a base.
    let codec = CODECS.get(usize::from(case.codec) % (CODECS.len() + 1)).copied();
    if codec.is_some_and(|c| c.id() == delta::ID) {
        against_others(&data, array.as_ref().map(|a| a.0), level, usize::from(case.times));
    }
    let codec = codec.filter(|c| c.id() != delta::ID);
    let options = CompressOptions {
        threads: 1 + usize::from(case.threads),
        ..CompressOptions::new(Settings { level, codec, verify: false })
    };
    let blob = compress_bytes(&data, array, &options).expect("everything can be compressed");
    assert!(
        blob.len() <= data.len() + data.len() / 1000 + 1024,
        "{} bytes became {}",
        data.len(),
        blob.len()
    );
    assert_eq!(decompress_bytes(&blob, 1, true).expect("what was just written is good"), data);
});

/// Whatever differences are made of the bytes, beside a counterpart of which every so many bytes are others, they come back: of a base as it is, and of a source that
/// is converted.
fn against_others(data: &[u8], dtype: Option<Dtype>, level: Level, apart: usize) {
    let base: Vec<u8> =
        data.iter().enumerate().map(|(i, b)| b ^ u8::from(i % (apart + 1) == apart)).collect();
    comes_back(&delta::OF_BASE, data, dtype, level, Counterpart::of_base(0, &base));
    comes_back(
        &delta::OF_SOURCE,
        data,
        dtype,
        level,
        Counterpart { origin: Origin::Source, ..Counterpart::of_base(0, &base) },
    );
    for conversion in Conversion::ALL {
        let (from, to) = conversion.types();
        let n = base.len() / from.size();
        let (there, mut bytes) = (&base[..n * from.size()], vec![0; n * to.size()]);
        convert(*conversion, there, &mut bytes);
        let data: Vec<u8> =
            bytes.iter().enumerate().map(|(i, b)| b ^ u8::from(i % (2 * apart + 1) == apart)).collect();
        let conversion = Some(*conversion);
        let counterpart = Counterpart { origin: Origin::Source, offset: 0, there, conversion, bytes: &bytes };
        comes_back(&delta::OF_SOURCE, &data, dtype, level, counterpart);
    }
}

fn comes_back(codec: &dyn Codec, data: &[u8], dtype: Option<Dtype>, level: Level, base: Counterpart<'_>) {
    let element = dtype.map(Element::of);
    let block =
        Block { data, declared: dtype, element, level, split: None, structure: None, base: Some(base) };
    let (mut scratch, mut payload) = (Scratch::default(), Vec::new());
    if !data.is_empty() && codec.encode(&block, &mut scratch, &mut payload).expect("a counterpart is there") {
        let mut back = vec![0; data.len()];
        codec
            .decode_with(&payload, Some(&base.there.to_vec()), &mut back, &mut scratch)
            .expect("what was just written is good");
        assert_eq!(back, data);
    }
}

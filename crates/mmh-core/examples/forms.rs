//! Speed of the forms that `hierarchical` and `delta` can take, one thread, beside memcpy in the same run:
//! `cargo run --release -p mmh-core --example forms -- [--corpus DIR] [--level L]… [--runs N] [--decodes N] [--only TEXT]`. Records are of real GGUF files where DIR
//! has them, else made; fine-tunes are of real ones. Blocks are those that files are cut into; the checksum is not part of the time. Round trips are
//! compared first; of each block the shortest time of the runs counts, which other work on the machine disturbs least. `--decodes` of a run leave little
//! else in a profile.

use mmh_core::Dtype;
use mmh_core::block::{self, Given};
use mmh_core::codec::{self, Block, Codec, Counterpart, Level, Scratch};
use mmh_core::dtype::Kind;
use mmh_core::io::ReadAt;
use mmh_core::plan;
use mmh_core::source::{self, Input};
use mmh_kernels::scaled::Grid;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// Bytes of each form.
const SIZE: usize = 8 << 20;

/// Some data, and how it is to be compressed.
struct Form {
    data: Vec<u8>,
    dtype: Option<Dtype>,
    base: Option<Vec<u8>>,
}

/// Random numbers (xorshift; G. Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bell-shaped, of spread 1: the sum of twelve uniform numbers.
    fn normal(&mut self) -> f32 {
        let sum: u64 =
            (0..3).map(|_| self.next()).map(|x| (0..4).map(|i| x >> (16 * i) & 0xffff).sum::<u64>()).sum();
        sum as f32 / 65536.0 - 6.0
    }
}

/// All tensors of a dtype of a file, one after the other.
fn tensors(path: &Path, dtype: Dtype) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok()?;
    let layout = source::find(Input { bytes: &bytes.as_slice(), complete: false });
    let mut all = Vec::new();
    for t in layout.tensors.iter().filter(|t| t.dtype == dtype) {
        let end = (t.end() as usize).min(bytes.len());
        all.extend(bytes.get(t.start as usize..end).unwrap_or_default());
    }
    let unit = dtype.unit().1 as usize;
    all.truncate(SIZE / unit * unit);
    (!all.is_empty()).then_some(all)
}

/// Bytes whose halves are each bell-shaped, as those of quantized values are.
fn nibbles(n: usize) -> Vec<u8> {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut nibble = || (random.normal() * 2.5 + 8.0).clamp(0.0, 15.0) as u8;
    (0..n).map(|_| nibble() | nibble() << 4).collect()
}

fn words(bits: usize, known: usize) -> Vec<u8> {
    let mut random = Random(bits as u64 * 77 + known as u64);
    let book: Vec<Vec<bool>> =
        (0..known).map(|_| (0..bits).map(|_| random.next() >> 20 & 1 == 1).collect()).collect();
    let mut data = vec![0u8; SIZE];
    let mut at = 0;
    while at + bits <= 8 * SIZE {
        let word = &book[(random.next() >> 11) as usize % known];
        word.iter().enumerate().filter(|b| *b.1).for_each(|(j, _)| data[(at + j) / 8] |= 1 << ((at + j) % 8));
        at += bits;
    }
    data
}

/// Weights rounded to some levels of one scale.
fn palette(levels: usize, wide: bool) -> Vec<u8> {
    let mut random = Random(levels as u64);
    let half = levels as f32 / 2.0;
    let mut level =
        || ((random.normal() * half / 3.0).round().clamp(-half, half - 1.0) * 0.0123f32).to_bits();
    match wide {
        true => (0..SIZE / 4).flat_map(|_| level().to_le_bytes()).collect(),
        false => (0..SIZE / 2).flat_map(|_| ((level() >> 16) as u16).to_le_bytes()).collect(),
    }
}

/// What weights are quantized to: a grid, the type that they are expanded to, and how many share a scale, or of how many rows of a tile.
type Quantized = (&'static str, Grid, Dtype, usize, usize);

const QUANTIZED: [Quantized; 5] = [
    ("4-bit integers times scales of 64, bf16", Grid::Integers, Dtype::BF16, 64, 1),
    ("4-bit NormalFloat times scales of 64, bf16", Grid::NormalFloat4, Dtype::BF16, 64, 1),
    ("8-bit integers times scales of rows, fp32", Grid::Integers, Dtype::F32, 384, 1),
    ("8-bit integers times scales of rows, bf16", Grid::Integers, Dtype::BF16, 384, 1),
    ("FP8 times scales of tiles, bf16", Grid::E4m3, Dtype::BF16, 128, 128),
];

/// Weights as values of a grid times scales.
fn expanded(weights: &[u8], (_, grid, dtype, group, rows): Quantized) -> Vec<u8> {
    let all = grid.values();
    let most = all.iter().filter(|v| v.abs() < 480.0).fold(0f32, |m, v| m.max(v.abs()));
    // Four bits of integers where the group is short.
    let most = if grid == Grid::Integers && group <= 128 { 7.0 } else { most };
    let weights: Vec<f32> = weights.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let mut out = Vec::with_capacity(4 * weights.len());
    for tile in weights.chunks(group * rows) {
        let scale = tile.iter().fold(f32::MIN_POSITIVE, |m, w| m.max(w.abs())) / most;
        for x in tile.iter().map(|w| grid.nearest(w / scale) * scale) {
            let bits = x.to_bits();
            match dtype {
                Dtype::F32 => out.extend(x.to_le_bytes()),
                _ => out.extend((((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) as u16).to_le_bytes()),
            }
        }
    }
    out
}

/// What makes a form, or `None` where the corpus lacks it.
type Make<'a> = Box<dyn Fn() -> Option<Form> + 'a>;

/// Rows of 2048 bytes, of which there are few.
fn rows() -> Vec<u8> {
    let mut random = Random(5);
    let rows: Vec<Vec<u8>> =
        (0..16).map(|_| (0..512).flat_map(|_| (random.normal() * 0.02).to_le_bytes()).collect()).collect();
    (0..SIZE / 2048).flat_map(|_| rows[(random.next() >> 9) as usize % 16].clone()).collect()
}

/// Weights of which so many in 1024 are zero.
fn zeros(share: u64) -> Vec<u8> {
    let mut random = Random(share);
    let mut weight = || match random.next() >> 7 & 1023 < share {
        true => 0.0f32,
        false => random.normal() * 0.02,
    };
    (0..SIZE / 4).flat_map(|_| weight().to_le_bytes()).collect()
}

/// Squares, as an optimizer's second moments are: none has a sign.
fn squares(half: bool) -> Vec<u8> {
    let mut random = Random(23);
    let mut square = || {
        let x = random.normal() * 2e-4;
        (x * x).to_bits()
    };
    match half {
        true => (0..SIZE / 2).flat_map(|_| ((square() >> 16) as u16).to_le_bytes()).collect(),
        false => (0..SIZE / 4).flat_map(|_| square().to_le_bytes()).collect(),
    }
}

/// Elements of two bytes, of which every second one is zero: as a mask makes them, of either sign, or two of each four, or what is negative.
fn halves(dtype: Dtype, is_zero: fn(usize, &mut Random, f32) -> bool, zero: fn(f32) -> f32) -> Vec<u8> {
    let mut random = Random(17);
    let mut element = |i: usize| {
        let x = random.normal() * 0.02;
        let x = if is_zero(i, &mut random, x) { zero(x) } else { x };
        // Rounded towards zero; none is small or large enough for anything else.
        let (sign, rest) = (x.to_bits() >> 16 & 0x8000, x.to_bits() & 0x7fff_ffff);
        let half = if rest == 0 { 0 } else { (rest >> 13).saturating_sub(112 << 10) };
        if dtype == Dtype::BF16 { (x.to_bits() >> 16) as u16 } else { (sign | half) as u16 }
    };
    (0..SIZE / 2).flat_map(|i| element(i).to_le_bytes()).collect()
}

/// Of each four those that are neither of two drawn ones.
fn is_third_or_fourth(i: usize, random: &mut Random, _: f32) -> bool {
    const TWO: [u8; 6] = [3, 5, 9, 6, 10, 12];
    // The same draw for all four; what is drawn in between moves on.
    random.next();
    let mut of_four = Random(0x9E37_79B9_7F4A_7C15 ^ (i as u64 / 4));
    let four = (0..4).map(|_| of_four.next()).last().unwrap_or(0);
    TWO[(four >> 33) as usize % 6] >> (i % 4) & 1 == 0
}

/// Numbers of five decimal places.
fn decimals(double: bool) -> Vec<u8> {
    let mut random = Random(7);
    let mut number = || (random.normal() as f64 * 3e4).round() / 1e5;
    match double {
        true => (0..SIZE / 8).flat_map(|_| number().to_le_bytes()).collect(),
        false => (0..SIZE / 4).flat_map(|_| (number() as f32).to_le_bytes()).collect(),
    }
}

/// Weights, and the same after a step that changes so many in 1024 of them.
fn step(share: u64, by: f32, half: bool) -> [Vec<u8>; 2] {
    let mut random = Random(11);
    let weights: Vec<f32> = (0..SIZE / 4).map(|_| random.normal() * 0.02).collect();
    let mut changed = |x: &f32| match random.next() >> 7 & 1023 < share {
        true => x + random.normal() * by,
        false => *x,
    };
    let next: Vec<f32> = weights.iter().map(&mut changed).collect();
    [next, weights].map(|w| match half {
        true => w.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect(),
        false => w.iter().flat_map(|x| x.to_le_bytes()).collect(),
    })
}

fn made() -> Vec<(String, Make<'static>)> {
    let mut all: Vec<(String, Make<'static>)> = Vec::new();
    let mut alone = |name: &str, dtype, make: Box<dyn Fn() -> Vec<u8>>| {
        all.push((
            name.into(),
            Box::new(move || Some(Form { data: make(), dtype: Some(dtype), base: None })),
        ));
    };
    alone("values of 4 bits, two to a byte", Dtype::U8, Box::new(|| nibbles(SIZE)));
    alone("values of 4 bits in words of 32", Dtype::I32, Box::new(|| nibbles(SIZE)));
    for levels in [16, 256, 2048] {
        let make = Box::new(move || palette(levels, true));
        alone(&format!("palette of {levels}, fp32"), Dtype::F32, make);
    }
    alone("palette of 16, bf16", Dtype::BF16, Box::new(|| palette(16, false)));
    for (bits, known) in [
        (4, 5),
        (12, 300),
        (16, 300),
        (24, 200),
        (48, 200),
        (64, 200),
        (64, 3000),
        (96, 200),
        (128, 200),
        (251, 16),
        (512, 100),
    ] {
        let make = Box::new(move || words(bits, known));
        alone(&format!("{known} words of {bits} bits"), Dtype::U8, make);
    }
    alone("rows of a few, fp32", Dtype::F32, Box::new(rows));
    alone("90 % zeros, fp32", Dtype::F32, Box::new(|| zeros(922)));
    alone("99 % zeros, fp32", Dtype::F32, Box::new(|| zeros(1014)));
    let drawn = |_: usize, random: &mut Random, _: f32| random.next() >> 40 & 1 == 0;
    for dtype in [Dtype::BF16, Dtype::F16] {
        let name = dtype.name();
        alone(&format!("half pruned, {name}"), dtype, Box::new(move || halves(dtype, drawn, |x| x * 0.0)));
        let make = Box::new(move || halves(dtype, is_third_or_fourth, |x| x * 0.0));
        alone(&format!("two of four pruned, {name}"), dtype, make);
        let make = Box::new(move || halves(dtype, |_, _, x| x < 0.0, |_| 0.0));
        alone(&format!("clipped at zero, {name}"), dtype, make);
    }
    alone("squares, fp32", Dtype::F32, Box::new(|| squares(false)));
    alone("squares, bf16", Dtype::BF16, Box::new(|| squares(true)));
    alone("decimals, fp32", Dtype::F32, Box::new(|| decimals(false)));
    alone("decimals, fp64", Dtype::F64, Box::new(|| decimals(true)));
    for (name, share, by) in
        [("1 % changed", 10, 0.01), ("10 % changed", 102, 0.01), ("all by a little", 1024, 0.0005)]
    {
        for (half, dtype) in [(false, Dtype::F32), (true, Dtype::BF16)] {
            let make = move || {
                let [data, base] = step(share, by, half);
                Some(Form { data, dtype: Some(dtype), base: Some(base) })
            };
            all.push((format!("delta, {name}, {}", dtype.name()), Box::new(make)));
        }
    }
    let flipped = || {
        let (base, mut random) = (nibbles(SIZE), Random(13));
        let mut flip =
            |b: &u8| b ^ if random.next() >> 9 & 15 == 0 { 1 << (random.next() >> 9 & 7) } else { 0 };
        let data = base.iter().map(&mut flip).collect();
        Some(Form { data, dtype: Some(Dtype::U8), base: Some(base) })
    };
    all.push(("delta, bits flipped, U8".into(), Box::new(flipped)));
    all
}

fn real(corpus: &Path) -> Vec<(String, Make<'_>)> {
    let mut all: Vec<(String, Make<'_>)> = Vec::new();
    let records = [
        (Dtype::Q4_0, "minilm-q4_0.gguf"),
        (Dtype::Q4_1, "smollm2-q4_1.gguf"),
        (Dtype::Q5_0, "minilm-q5_0.gguf"),
        (Dtype::Q8_0, "minilm-q8_0.gguf"),
        (Dtype::Q6_K, "deepseek-q6_k-truncated.gguf"),
    ];
    for (dtype, file) in records {
        let make = move || {
            let data = tensors(&corpus.join(file), dtype)?;
            Some(Form { data, dtype: Some(dtype), base: None })
        };
        all.push((format!("{}, {file}", dtype.name()), Box::new(make)));
    }
    let others = [
        Dtype::Q5_1,
        Dtype::Q2_K,
        Dtype::Q3_K,
        Dtype::Q4_K,
        Dtype::Q5_K,
        Dtype::Q8_K,
        Dtype::IQ4_XS,
        Dtype::MXFP4,
        Dtype::NVFP4,
    ];
    for dtype in others {
        let unit = dtype.unit().1 as usize;
        let make = move || Some(Form { data: nibbles(SIZE / unit * unit), dtype: Some(dtype), base: None });
        all.push((format!("{}, made", dtype.name()), Box::new(make)));
    }
    for quantized in QUANTIZED {
        let make = move || {
            let weights = tensors(&corpus.join("minilm-fp32.safetensors"), Dtype::F32)?;
            Some(Form { data: expanded(&weights, quantized), dtype: Some(quantized.2), base: None })
        };
        all.push((format!("{}, minilm-fp32", quantized.0), Box::new(make)));
    }
    let glove = move || {
        let bytes = std::fs::read(corpus.join("glove-50d-fp32.npy")).ok()?;
        Some(Form { data: bytes.get(128..128 + SIZE)?.to_vec(), dtype: Some(Dtype::F32), base: None })
    };
    all.push(("decimals, glove-50d-fp32.npy".into(), Box::new(glove)));
    for (name, base, dtype) in [
        ("minilm-sre-bf16.safetensors", "minilm-bf16.safetensors", Dtype::BF16),
        ("minilm-sre-fp32.safetensors", "minilm-fp32.safetensors", Dtype::F32),
        ("ligandmpnn-020.pt", "ligandmpnn-010.pt", Dtype::F32),
    ] {
        let make = move || {
            let mut data = tensors(&corpus.join(name), dtype)?;
            let mut base = tensors(&corpus.join(base), dtype)?;
            let n = data.len().min(base.len());
            data.truncate(n);
            base.truncate(n);
            Some(Form { data, dtype: Some(dtype), base: Some(base) })
        };
        all.push((format!("delta, {name}"), Box::new(make)));
    }
    all
}

/// A piece of a form and what became of it.
struct Coded {
    codec: &'static dyn Codec,
    payload: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (mut levels, mut runs, mut decodes, mut only) = (Vec::new(), 7, 1, String::new());
    let mut corpus = std::env::var("MMH_CORPUS").unwrap_or_default();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg}: a value is missing"));
        match arg.as_str() {
            "--corpus" => corpus = value()?,
            "--level" => levels.push(Level::new(value()?.parse()?)?),
            "--runs" => runs = value()?.parse()?,
            "--decodes" => decodes = value()?.parse()?,
            "--only" => only = value()?,
            other => return Err(format!("{other}: what is that?").into()),
        }
    }
    if levels.is_empty() {
        levels = vec![Level::FAST, Level::BALANCED];
    }
    println!("GB/s of one thread (of memcpy)     level  codec                   size   plan  encode  decode");
    let mut scratch = Scratch::default();
    let corpus = Path::new(&corpus);
    for (name, make) in real(corpus).into_iter().chain(made()).filter(|f| f.0.contains(&only)) {
        let Some(form) = make() else { continue };
        for level in &levels {
            measure(&name, &form, *level, [runs, decodes], &mut scratch)?;
        }
    }
    Ok(())
}

fn measure(
    name: &str,
    form: &Form,
    level: Level,
    [runs, decodes]: [usize; 2],
    scratch: &mut Scratch,
) -> Result<(), Box<dyn Error>> {
    let chunk = block::size_for(form.dtype, level);
    let pieces: Vec<(&[u8], Option<Counterpart<'_>>)> = (form.data.chunks(chunk).enumerate())
        .map(|(i, data)| {
            let of = |b| Counterpart::of_base((i * chunk) as u64, b);
            let base = form.base.as_ref().map(|b| of(&b[i * chunk..i * chunk + data.len()]));
            (data, base)
        })
        .collect();
    let mut out = vec![0u8; form.data.len()];
    // Of copying, planning, encoding and decoding each piece: the shortest of the runs.
    let mut best = vec![[f64::MAX; 4]; pieces.len()];
    let mut used = std::collections::BTreeSet::new();
    let mut size = 0;
    for run in 0..=runs {
        let mut coded = Vec::new();
        let mut times = vec![[0.0; 4]; pieces.len()];
        for (((data, base), times), out) in pieces.iter().zip(&mut times).zip(out.chunks_mut(chunk)) {
            let start = Instant::now();
            out.copy_from_slice(data);
            times[0] = start.elapsed().as_secs_f64();
            let start = Instant::now();
            let given = Given { data, declared: form.dtype, base: *base, whole: false };
            let choice = plan::choose_given(&given, level, scratch);
            times[1] = start.elapsed().as_secs_f64();
            // Made records have no more than bell-shaped nibbles, and would not all be taken for records.
            let records = form.dtype.is_some_and(|d| d.kind() == Kind::Blocks);
            let codec: &'static dyn Codec =
                if records { &codec::hierarchical::Hierarchical } else { choice.codec };
            let block: Block<'_> = choice.block(data, form.dtype, level, *base);
            let mut payload = Vec::new();
            let start = Instant::now();
            let smaller = codec.encode(&block, scratch, &mut payload)?;
            times[2] = start.elapsed().as_secs_f64();
            let (codec, payload): (&'static dyn Codec, _) =
                if smaller { (codec, payload) } else { (&codec::store::Store, data.to_vec()) };
            coded.push(Coded { codec, payload });
        }
        out.fill(0);
        for (((of, (_, base)), out), times) in
            coded.iter().zip(&pieces).zip(out.chunks_mut(chunk)).zip(&mut times)
        {
            let base = base.as_ref().map(|b| b as &dyn ReadAt);
            times[3] = f64::MAX;
            for _ in 0..decodes {
                let start = Instant::now();
                of.codec.decode_with(&of.payload, base, out, scratch)?;
                times[3] = times[3].min(start.elapsed().as_secs_f64());
            }
        }
        if run == 0 {
            if out != form.data {
                return Err(format!("{name}: the round trip gives other bytes").into());
            }
            used = coded.iter().map(|c| c.codec.name()).collect();
            size = coded.iter().map(|c| c.payload.len()).sum();
            continue;
        }
        for (best, times) in best.iter_mut().zip(times) {
            best.iter_mut().zip(times).for_each(|(best, time)| *best = best.min(time));
        }
    }
    let speed = |i: usize| form.data.len() as f64 / 1e9 / best.iter().map(|times| times[i]).sum::<f64>();
    let [copy, plan, encode, decode] = [0, 1, 2, 3].map(speed);
    let used = used.into_iter().collect::<Vec<_>>().join("/");
    println!(
        "{name:34} {:5}  {used:20} {:7.4} {plan:6.2} {encode:7.2} {decode:7.2} ({:.3})",
        level.get(),
        size as f64 / form.data.len() as f64,
        decode / copy
    );
    Ok(())
}

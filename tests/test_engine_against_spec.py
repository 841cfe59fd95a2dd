"""The engine writes what the specification says, and refuses what it forbids: both implementations side by side.

`test_spec_decoder.py` puts every hand-made file before both; here are the files that the engine makes.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmh_rs as mmh
from mmh_builder import DTYPES, build, hierarchical_frame, tensor_frame
from mmh_rs import _core
from verdicts import assert_same, by_engine, by_spec, decoder

# `delta` needs a base, `relative` other tensors; the vectors have some.
CODECS = [codec for codec in _core.CODECS if codec not in ("auto", "delta", "relative")]
WIDTHS = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F4": 1, "U16": 2, "I16": 2, "F16": 2,
    "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
BLOCKS = [dtype for dtype, (_, elements, _) in DTYPES.items() if elements >= 32]
FLOATS = ["BF16", "F16", "F32", "F64", "F8_E4M3", "F8_E5M2"]
GROUP = 32768
EDGES = [0, 1, 2, 7, 63, 64, 65, 1023, 1024, 1025, GROUP - 1, GROUP, GROUP + 1]


def weights(dtype: str, count: int, seed: int = 0) -> bytes:
    """`count` elements as a model has them."""
    random = np.random.default_rng(seed)
    width = WIDTHS[dtype]
    if dtype == "F64":
        return random.normal(0, 0.02, count).tobytes()
    values = random.normal(0, 0.02, count).astype(np.float32)
    if dtype == "F16":
        return values.astype(np.float16).tobytes()
    if dtype in ("F32", "BF16"):
        return np.ascontiguousarray(values.view(np.uint8).reshape(count, 4)[:, 4 - width :]).tobytes()
    spread = np.rint(random.normal(0, 20, count)).astype(np.int64)
    return np.ascontiguousarray(spread.view(np.uint8).reshape(count, 8)[:, :width]).tobytes()


def special(dtype: str, count: int) -> bytes:
    """NaNs with payloads, infinities, both zeros, subnormals and their neighbours, over and over."""
    bits = 8 * WIDTHS[dtype]
    exponent = {"BF16": 8, "F16": 5, "F32": 8, "F64": 11, "F8_E4M3": 4, "F8_E5M2": 5}[dtype]
    mantissa = bits - 1 - exponent
    infinity = (1 << exponent) - 1 << mantissa
    one = (1 << exponent - 1) - 1 << mantissa
    some = [
        0,
        1,
        (1 << mantissa) - 1,
        1 << mantissa,
        one,
        one + 1,
        infinity - 1,
        infinity,
        infinity + 1,
        infinity | 0x55,
    ]
    patterns = [value & (1 << bits) - 1 | sign << bits - 1 for value in some for sign in (0, 1)]
    choice = np.random.default_rng(1).integers(0, len(patterns), count)
    return b"".join(patterns[i].to_bytes(bits // 8, "little") for i in choice)


def round_trip(data: bytes, dtype: str | None, **options: object) -> bytes:
    """Compress, and have both restore it. The blob."""
    blob = mmh.compress(data, dtype=dtype, threads=1, **options)  # type: ignore[arg-type]
    assert len(blob) <= len(data) * 1.001 + 1024
    assert by_engine(blob) == data
    assert by_spec(blob) == data
    return blob


@pytest.mark.parametrize("count", EDGES)
@pytest.mark.parametrize("dtype", WIDTHS)
def test_sizes_around_edges(dtype: str, count: int) -> None:
    round_trip(weights(dtype, count), dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_special_values(dtype: str) -> None:
    round_trip(special(dtype, 5000), dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_all_bit_patterns(dtype: str) -> None:
    every = np.arange(1 << 16, dtype=np.uint16).tobytes()
    round_trip(every * (4 if dtype == "F32" else 1), dtype)


@pytest.mark.parametrize("level", range(1, 10))
@pytest.mark.parametrize("dtype", ["BF16", "F32", "I8", None])
def test_levels(dtype: str | None, level: int) -> None:
    round_trip(weights(dtype or "BF16", 3000), dtype, level=level)


@pytest.mark.parametrize("level", [1, 2, 5, 8])
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
@pytest.mark.parametrize("count", [1023, 1024, 5000, GROUP + 31, 2 * GROUP + 33])
def test_floats_of_several_sizes(dtype: str, level: int, count: int) -> None:
    round_trip(weights(dtype, count, count), dtype, level=level)


@pytest.mark.parametrize("level", [1, 2, 5, 8])
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_groups_that_are_not_alike(dtype: str, level: int) -> None:
    """Several codes for the symbols, where a level has them, and fields that none of them has."""
    random = np.random.default_rng(9)
    count = 8 * GROUP
    values = random.normal(0, 1, count) * np.repeat([0.01, 30, 1e-3, 30], 2 * GROUP)
    values[random.integers(0, count, 30)] = [np.nan, np.inf, -0.0, 1e-7, 6e4, -1e-30] * 5
    if dtype == "F16":
        data = values.astype(np.float16).tobytes()
    else:
        single = values.astype(np.float32)
        data = single.tobytes() if dtype == "F32" else single.view(np.uint16)[1::2].tobytes()
    blob = round_trip(data, dtype, level=level)
    if level == 5:
        assert any(descriptor[0] in (3, 5) and descriptor[1] > 1 for descriptor in symbol_descriptors(blob))


def symbol_descriptors(blob: bytes) -> list[bytes]:
    """How the descriptor of the plane of symbols begins, for each tensor frame without a head and a tail."""
    frames = [frame for frame in decoder.decode(blob).frames if frame.codec == "tensor"]
    return [blob[frame.at + 24 :][7:16] for frame in frames]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", ["BF16", "F64", None])
def test_codecs(dtype: str | None, codec: str) -> None:
    for data in (weights(dtype or "BF16", 2000), bytes(range(100)) * 80, bytes(8000)):
        round_trip(data, dtype, codec=codec)


def test_rows_that_were_upcast() -> None:
    rows = np.frombuffer(weights("F32", 40 * 512), np.uint32).reshape(40, 512).copy()
    rows[::2] &= 0xFFFF0000
    blob = round_trip(rows.tobytes(), "F32")
    assert len(blob) < 0.7 * rows.nbytes


@pytest.mark.parametrize("count", [1024, 1027, 4096, GROUP, GROUP + 1, GROUP + 1030])
@pytest.mark.parametrize("dtype", [*FLOATS, "I8", "U8"])
def test_scales_that_change(dtype: str, count: int) -> None:
    """Numbers for which the engine makes a model of the symbols."""
    size = np.repeat(2.0 ** np.random.default_rng(6).integers(-4, 4, count // 128 + 1), 128)[:count]
    columns = np.tile(2.0 ** np.random.default_rng(7).integers(-4, 4, 64), count // 64 + 1)[:count]
    values = np.random.default_rng(8).normal(0, 0.02, count) * size * columns
    data = {
        "F64": lambda: values.tobytes(),
        "F32": lambda: values.astype(np.float32).tobytes(),
        "F16": lambda: values.astype(np.float16).tobytes(),
        "BF16": lambda: (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes(),
        "F8_E5M2": lambda: (values.astype(np.float16).view(np.uint16) >> 8).astype(np.uint8).tobytes(),
        "F8_E4M3": lambda: (values.astype(np.float16).view(np.uint16) >> 7).astype(np.uint8).tobytes(),
        "I8": lambda: np.clip(values * 500, -128, 127).astype(np.int8).tobytes(),
        "U8": lambda: np.clip(values * 500 + 128, 0, 255).astype(np.uint8).tobytes(),
    }[dtype]()
    smaller = len(round_trip(data, dtype, level="max"))
    if count >= GROUP:
        assert smaller < len(mmh.compress(data, dtype=dtype, level=6))


@pytest.mark.parametrize("extra", [-1, 0, 1, 2])
@pytest.mark.parametrize("blocks", [1, 2])
def test_around_blocks(blocks: int, extra: int) -> None:
    """Too large for the slow decoder: the engine alone, and the same bytes from one thread and from two."""
    data = np.random.default_rng(3).normal(0, 0.02, (blocks << 18) + 1).astype(np.float32).tobytes()
    data = data[: (blocks << 20) + extra]
    blob = mmh.compress(data, threads=1)
    assert mmh.compress(data, threads=2) == blob
    assert mmh.decompress(blob, threads=2) == data
    assert mmh.decompress(blob, threads=1) == data


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    data=st.binary(max_size=3000),
    times=st.integers(1, 5),
    dtype=st.sampled_from([None, *WIDTHS]),
    level=st.integers(1, 9),
    codec=st.sampled_from(["auto", *CODECS]),
)
def test_any_bytes(data: bytes, times: int, dtype: str | None, level: int, codec: str) -> None:
    data = data * times
    if dtype is not None:
        data = data[: len(data) // WIDTHS[dtype] * WIDTHS[dtype]]
    round_trip(data, dtype, level=level, codec=codec)


@settings(max_examples=60, deadline=None)
@given(shape=st.lists(st.integers(0, 9), max_size=5), dtype=st.sampled_from(["float16", "float32", "int64", "bool"]))
def test_any_shape(shape: list[int], dtype: str) -> None:
    array = np.random.default_rng(len(shape)).integers(0, 2, shape).astype(dtype)
    blob = mmh.compress(array)
    assert assert_same(blob) == array.tobytes()
    with mmh.open(blob) as archive:
        (info,) = archive.infos()
        assert list(info.shape) == shape


# ---- Hierarchical ----


@pytest.mark.parametrize("dtype", BLOCKS)
def test_blocks(dtype: str) -> None:
    """Records of GGUF, few and many, of noise and of bits that are not."""
    _, elements, size = DTYPES[dtype]
    random = np.random.default_rng(elements + size)
    for records, mask in ((1, 0x33), (3, 0xFF), (40, 0x33), (300, 0x11), (300, 0xFF)):
        data = (random.integers(0, 256, records * size, dtype=np.uint8) & mask).tobytes()
        for level in ("fast", "max"):
            round_trip(data, dtype, codec="hierarchical", level=level)
            round_trip(data, dtype, level=level)


@pytest.mark.parametrize("level", [1, 5, 9])
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64", "I64"])
@pytest.mark.parametrize("known", [2, 16, 255, 256, 257, 1500])
def test_palettes(dtype: str, level: int, known: int) -> None:
    """Few values, of which some are rare, and some others."""
    random = np.random.default_rng(known)
    book = random.integers(0, 256, (known, WIDTHS[dtype]), dtype=np.uint8)
    at = np.minimum(random.geometric(min(1.0, 4 / known), 6000) - 1, known - 1)
    values = book[at]
    values[random.random(6000) < 0.01] = random.integers(0, 256, WIDTHS[dtype])
    blob = round_trip(values.tobytes(), dtype, codec="hierarchical", level=level)
    if known == 16:
        assert [frame.codec for frame in decoder.decode(blob).frames] == ["hierarchical"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    bits=st.integers(4, 512),
    known=st.integers(1, 40),
    count=st.integers(32, 600),
    head=st.integers(0, 511),
    strange=st.floats(0, 0.2),
    level=st.sampled_from([1, 5, 8]),
    dtype=st.sampled_from([None, "U8"]),
)
def test_words(bits: int, known: int, count: int, head: int, strange: float, level: int, dtype: str | None) -> None:
    random = np.random.default_rng(bits)
    words = random.integers(0, 2, (known, bits), dtype=np.uint8)[random.integers(0, known, count)]
    other = random.random(count) < strange
    words[other] = random.integers(0, 2, (int(other.sum()), bits), dtype=np.uint8)
    stream = np.concatenate([random.integers(0, 2, head % bits, dtype=np.uint8), words.reshape(-1)])
    round_trip(np.packbits(stream, bitorder="little").tobytes(), dtype, codec="hierarchical", level=level)


# ---- Damage ----

SMALL = [*CODECS, "upcast", "lanes", "model", "records"]


def small(codec: str) -> tuple[bytes, bytes]:
    """A blob of some hundred bytes that uses a codec, and what it stands for."""
    if codec == "upcast":
        values = np.frombuffer(weights("F32", 512), np.uint32).copy()
        values[:256] &= 0xFFFF0000
        return mmh.compress(values.tobytes(), dtype="F32", codec="tensor"), values.tobytes()
    if codec == "lanes":
        data = weights("BF16", 1025)
        blob = mmh.compress(data, dtype="BF16", level=1)
        assert symbol_descriptors(blob)[0][:2] == b"\x03\x01"
        return blob, data
    if codec == "model":
        size = np.repeat(2.0 ** np.arange(-8, 8), 80)
        values = np.random.default_rng(9).normal(0, 0.02, size.size) * size
        data = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
        return mmh.compress(data, dtype="BF16", level="max"), data
    if codec == "records":
        data = (np.random.default_rng(10).integers(0, 256, 30 * 24, dtype=np.uint8) & 0x11).tobytes()
        return mmh.compress(data, dtype="Q5_1", codec="hierarchical"), data
    if codec == "hierarchical":
        draws = np.random.default_rng(11).integers(0, 5, 300)
        data = np.array([0.1, -0.3, 0.7, 1e9, 0], np.float32)[draws].tobytes()
        return mmh.compress(data, dtype="F32", codec="hierarchical"), data
    data = weights("BF16", 300) if codec in ("tensor", "store") else b"a tensor, again: " * 20
    return mmh.compress(data, dtype="BF16" if codec == "tensor" else None, codec=codec), data


@pytest.mark.parametrize("codec", SMALL)
def test_every_truncation(codec: str) -> None:
    blob, data = small(codec)
    for size in range(len(blob)):
        assert isinstance(by_engine(blob[:size]), str), size
        with pytest.raises(mmh.MmhError):
            mmh.decompress(blob[:size])
    assert by_engine(blob) == data


@pytest.mark.parametrize("codec", SMALL)
def test_every_flipped_bit(codec: str) -> None:
    """An error, or the right bytes: LZ4 and Zstandard can say the same in more than one way."""
    blob, data = small(codec)
    for bit in range(8 * len(blob)):
        changed = bytearray(blob)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            assert mmh.decompress(bytes(changed)) == data, bit
        except mmh.MmhError:
            continue
        assert assert_same(bytes(changed)) == data, bit


@pytest.mark.parametrize("codec", SMALL)
def test_bytes_put_in_and_taken_out(codec: str) -> None:
    blob, _ = small(codec)
    for at in range(0, len(blob), 3):
        assert isinstance(by_engine(blob[:at] + b"\0" + blob[at:]), str) or blob[at : at + 1] == b"\0"
        assert isinstance(by_engine(blob[:at] + blob[at + 1 :]), str)


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
@pytest.mark.parametrize("level", [1, 5])
def test_damaged_lanes(dtype: str, level: int) -> None:
    """What the specification makes of a damaged payload, the engine does too, if the checksum lets it."""
    data = weights(dtype, 1200)
    blob = mmh.compress(data, dtype=dtype, level=level)
    (frame,) = decoder.decode(blob).frames
    payload = blob[frame.at + 24 :][: frame.stored]
    assert payload[7] == 3
    random = np.random.default_rng(level)
    accepted = 0
    for _ in range(1500):
        damaged = bytearray(payload)
        # The fields at the front, or anything.
        damaged[random.integers(0, random.choice([40, len(payload)]))] ^= 1 << random.integers(0, 8)
        try:
            restored = decoder.decode_tensor(decoder.Reader(bytes(damaged), 0, len(damaged), "payload"), len(data))
        except decoder.Corrupt:
            restored = None
        made = by_engine(build([tensor_frame(bytes(damaged), data if restored is None else restored)]))
        assert made == ("corrupt" if restored is None else restored)
        accepted += restored is not None
    assert 0 < accepted < 1500


@pytest.mark.parametrize("codec", ["records", "hierarchical"])
def test_damaged_nodes(codec: str) -> None:
    """What the specification makes of a damaged payload, the engine does too, if the checksum lets it."""
    blob, data = small(codec)
    (frame,) = decoder.decode(blob).frames
    assert frame.codec == "hierarchical"
    payload = blob[frame.at + 24 :][: frame.stored]
    random = np.random.default_rng(12)
    accepted = 0
    for _ in range(1500):
        damaged = bytearray(payload)
        damaged[random.integers(0, random.choice([20, len(payload)]))] ^= 1 << random.integers(0, 8)
        reader = decoder.Reader(bytes(damaged), 0, len(damaged), "payload")
        try:
            restored = decoder.decode_hierarchical(reader, len(data))
        except decoder.Corrupt:
            restored = None
        made = by_engine(build([hierarchical_frame(bytes(damaged), data if restored is None else restored)]))
        assert made == ("corrupt" if restored is None else restored)
        accepted += restored is not None
    assert 0 < accepted < 1500


# ---- Runs ----


@pytest.mark.parametrize("period", [bytes(1), np.random.default_rng(5).bytes(251)], ids=["zeros", "251"])
def test_a_gibibyte_of_a_pattern(period: bytes) -> None:
    """At most 536 bytes, whatever the length."""
    size = 1 << 30
    data = memoryview(period * (size // len(period) + 1))[:size]
    blob = mmh.compress(data)
    assert len(blob) <= 536
    out = bytearray(size)
    assert mmh.decompress(blob, out=out) == size
    assert out == data

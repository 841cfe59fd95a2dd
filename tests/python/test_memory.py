"""`compress` and `decompress`: what goes in comes out, of every kind of buffer, and wrong arguments are named."""

from __future__ import annotations

import array
import contextlib
import mmap
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import mmh_rs as mmh
from support import WIDTHS, header_of_version, weights

NUMPY_DTYPES: list[Any] = [
    np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64, np.float16, np.float32,
    np.float64, np.complex64, np.complex128, np.longdouble, np.dtype("M8[ns]"), np.dtype("m8[s]"), np.dtype("S3"),
    np.dtype("U2"), np.dtype("V5"), np.dtype(">f4"), np.dtype(">i8"), np.dtype([("a", "<f4"), ("b", "u1")]),
    ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e5m2fnuz, ml_dtypes.float8_e8m0fnu, ml_dtypes.float8_e4m3, ml_dtypes.float8_e3m4,
    ml_dtypes.float8_e4m3b11fnuz, ml_dtypes.float4_e2m1fn, ml_dtypes.float6_e2m3fn, ml_dtypes.int4, ml_dtypes.uint4,
]  # fmt: skip


def dtype_and_shape(blob: bytes) -> tuple[str, tuple[int, ...]] | None:
    with mmh.open(blob) as archive:
        if len(archive) == 0:
            return None
        info = archive.infos()[0]
        return info.dtype, info.shape


@pytest.mark.parametrize("dtype", NUMPY_DTYPES, ids=lambda dtype: str(np.dtype(dtype)))
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (0,), (4, 0, 2), (2, 3, 4, 5)], ids=str)
def test_every_dtype_and_shape(dtype: Any, shape: tuple[int, ...]) -> None:
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    raw = np.random.default_rng(1).integers(0, 256, count * dtype.itemsize, dtype=np.uint8)
    values = raw.view(dtype).reshape(shape) if count else np.empty(shape, dtype)
    before = values.tobytes()
    blob = mmh.compress(values)
    assert isinstance(blob, bytes)
    assert mmh.decompress(blob) == before
    assert values.tobytes() == before
    assert len(blob) <= len(before) * 1.001 + 1024


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.float32, ("F32", (6, 4))),
        (np.complex64, ("C64", (6, 4))),
        (np.complex128, ("F64", (6, 4, 2))),
        (np.dtype("M8[ns]"), ("I64", (6, 4))),
        (ml_dtypes.bfloat16, ("BF16", (6, 4))),
        (ml_dtypes.float8_e4m3fn, ("F8_E4M3", (6, 4))),
        (ml_dtypes.float8_e8m0fnu, ("F8_E8M0", (6, 4))),
        (ml_dtypes.int4, ("U8", (6, 4))),
        (np.dtype(">f4"), None),
        (np.dtype("S3"), None),
    ],
    ids=str,
)
def test_dtype_and_shape_are_taken_from_the_array(dtype: Any, expected: Any) -> None:
    assert dtype_and_shape(mmh.compress(np.zeros((6, 4), dtype))) == expected


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: array.array("B", data)])
def test_bytes_have_no_dtype(kind: Any) -> None:
    data = b"the quick brown fox" * 50
    blob = mmh.compress(kind(data))
    assert mmh.decompress(blob) == data
    assert dtype_and_shape(blob) is None


def test_other_buffers() -> None:
    floats = array.array("f", range(100))
    assert mmh.decompress(mmh.compress(floats)) == floats.tobytes()
    assert dtype_and_shape(mmh.compress(floats)) == ("F32", (100,))
    square = memoryview(bytes(range(16))).cast("B", (4, 4))
    assert mmh.decompress(mmh.compress(square)) == bytes(range(16))
    with mmap.mmap(-1, 4096) as mapped:
        mapped[:4] = b"abcd"
        assert mmh.decompress(mmh.compress(mapped))[:4] == b"abcd"
    assert mmh.decompress(mmh.compress(memoryview(b"").cast("H"))) == b""


def test_arrays_that_are_more_than_arrays(tmp_path: Path) -> None:
    values = np.arange(1000, dtype=np.float32)
    np.save(tmp_path / "a.npy", values)
    for kind in (np.load(tmp_path / "a.npy", mmap_mode="r"), values.view(np.matrix)):
        assert mmh.decompress(mmh.compress(kind)) == values.tobytes()
    assert mmh.decompress(mmh.compress(np.float32(1.5))) == np.float32(1.5).tobytes()
    assert mmh.decompress(mmh.compress(ml_dtypes.bfloat16(1.5))) == b"\xc0\x3f"
    values.flags.writeable = False
    assert mmh.decompress(mmh.compress(values)) == values.tobytes()


def test_every_bit_pattern_survives() -> None:
    patterns = np.arange(1 << 16, dtype=np.uint16)
    for dtype in (np.float16, ml_dtypes.bfloat16):
        assert mmh.decompress(mmh.compress(patterns.view(dtype))) == patterns.tobytes()
    nans = (np.arange(1 << 16, dtype=np.uint32) << 8 | 0x7F800001).view(np.float32)
    assert mmh.decompress(mmh.compress(nans)) == nans.tobytes()


NAMES = {
    "BF16": ["BF16", "bfloat16", "torch.bfloat16", "ml_dtypes.bfloat16", "bf16", "BFloat16", ml_dtypes.bfloat16,
             np.dtype(ml_dtypes.bfloat16)],
    "F16": ["F16", "float16", "half", "torch.float16", "f2", "<f2", "fp16", np.float16, np.dtype("f2")],
    "F32": ["F32", "float32", "numpy.float32", "f4", "=f4", np.float32, np.dtype("float32")],
    "F64": ["F64", "float64", "double", "f8", np.float64, np.dtype("float64")],
    "F8_E4M3": ["F8_E4M3", "float8_e4m3fn", "torch.float8_e4m3fn", "fp8_e4m3", ml_dtypes.float8_e4m3fn],
    "F8_E5M2": ["F8_E5M2", "float8_e5m2", "fp8_e5m2", ml_dtypes.float8_e5m2],
    "F8_E4M3FNUZ": ["F8_E4M3FNUZ", "float8_e4m3fnuz"],
    "F8_E5M2FNUZ": ["F8_E5M2FNUZ", "float8_e5m2fnuz"],
    "F8_E8M0": ["F8_E8M0", "float8_e8m0fnu"],
    "I8": ["I8", "int8", "i1", "|i1", np.int8],
    "U8": ["U8", "uint8", "u1", np.uint8],
    "I64": ["I64", "int64", "i8", np.int64],
    "U64": ["U64", "uint64", "u8", np.uint64],
    "I16": ["I16", "int16"],
    "U16": ["U16", "uint16"],
    "I32": ["I32", "int32"],
    "U32": ["U32", "uint32"],
    "BOOL": ["BOOL", "bool", "torch.bool", "bool_", bool, np.bool_],
    "C64": ["C64", "complex64", "cfloat", np.complex64],
    "F4": ["F4", "float4_e2m1fn_x2"],
    "F6_E2M3": ["F6_E2M3"],
    "F6_E3M2": ["F6_E3M2"],
}  # fmt: skip


def test_all_dtypes_are_named() -> None:
    assert set(NAMES) == set(WIDTHS)


@pytest.mark.parametrize(("expected", "dtype"), [(key, name) for key, names in NAMES.items() for name in names])
def test_dtype_in_every_spelling(expected: str, dtype: Any) -> None:
    data = weights(240).tobytes()
    blob = mmh.compress(data, dtype=dtype)
    assert mmh.decompress(blob) == data
    assert dtype_and_shape(blob) == (expected, (len(data) * 8 // WIDTHS[expected],))


def test_dtype_of_raw_bytes_makes_one_axis() -> None:
    raw = weights(64 * 64).reshape(64, 128)
    assert dtype_and_shape(mmh.compress(raw, dtype="bfloat16")) == ("BF16", (4096,))


def test_dtype_of_the_same_width_keeps_the_shape() -> None:
    raw = weights(64 * 64).view(np.uint16).reshape(64, 64)
    assert dtype_and_shape(mmh.compress(raw, dtype="bfloat16")) == ("BF16", (64, 64))


@pytest.mark.parametrize(
    ("data", "dtype", "message"),
    [
        (b"abc", "bfloat16", "3 bytes are no whole number of BF16 elements of 2 bytes"),
        (np.zeros(7, np.uint8), "F32", "7 bytes are no whole number of F32"),
        (bytes(4), "F6_E2M3", "4 bytes are no whole number of F6_E2M3 units of 4 elements in 3 bytes"),
        (b"ab", "bfloat17", "unknown dtype 'bfloat17'; accepted: .*BF16.*bfloat16"),
        (b"ab", "float", "ambiguous; say float32 or float64"),
        (b"ab", "f16", "ambiguous; say float16 or bfloat16"),
        (b"ab", float, "ambiguous"),
        (b"ab", ">f2", "big-endian"),
        (b"ab", np.dtype(">f2"), "big-endian"),
        (b"ab", np.dtype("U1"), "unknown dtype"),
        (b"ab", "", "unknown dtype"),
    ],
)
def test_wrong_dtypes_are_value_errors(data: Any, dtype: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mmh.compress(data, dtype=dtype)


@pytest.mark.parametrize("dtype", [5, 1.5, [], object()])
def test_what_is_no_dtype_is_a_type_error(dtype: Any) -> None:
    with pytest.raises(TypeError, match="dtype must be a name or a dtype object"):
        mmh.compress(b"ab", dtype=dtype)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((4, 6), np.float32).T,
        np.asfortranarray(np.zeros((4, 6), np.float32)),
        np.zeros(10, np.float32)[::2],
        np.zeros((4, 6), ml_dtypes.bfloat16)[:, 1:3],
        memoryview(bytes(10))[::2],
    ],
)
def test_what_is_not_contiguous_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match=r"not C-contiguous; pass numpy\.ascontiguousarray"):
        mmh.compress(values)


@pytest.mark.parametrize("data", ["text", None, 5, [1, 2, 3], object(), {"a": 1}])
def test_what_is_no_buffer_is_a_type_error(data: Any) -> None:
    with pytest.raises(TypeError, match=f"found {type(data).__name__}"):
        mmh.compress(data)
    with pytest.raises(TypeError, match=f"found {type(data).__name__}"):
        mmh.decompress(data)


def test_arrays_of_objects_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="Python objects"):
        mmh.compress(np.array([object()]))


@pytest.mark.parametrize("level", ["fast", "balanced", "max", *range(1, 10), np.int64(3)])
def test_levels(level: Any) -> None:
    data = weights(5000)
    assert mmh.decompress(mmh.compress(data, "bfloat16", level=level)) == data.tobytes()


def test_level_names_are_numbers() -> None:
    data = weights(5000)
    for name, number in (("fast", 2), ("balanced", 5), ("max", 8)):
        assert mmh.compress(data, "BF16", level=name) == mmh.compress(data, "BF16", level=number)
    assert mmh.compress(data, "BF16") == mmh.compress(data, "BF16", level="balanced")


@pytest.mark.parametrize("level", [0, 10, -1, "best", "5", "", 1 << 70])
def test_unknown_levels(level: Any) -> None:
    with pytest.raises(ValueError, match="accepted: 'fast', 'balanced', 'max', or 1 to 9"):
        mmh.compress(b"", level=level)


@pytest.mark.parametrize("level", [None, 2.5, True, b"fast"])
def test_levels_of_the_wrong_type(level: Any) -> None:
    with pytest.raises(TypeError, match="level must be a name or a number"):
        mmh.compress(b"", level=level)


def test_codecs() -> None:
    data = weights(5000)
    from mmh_rs import _core

    assert _core.CODECS[0] == "auto"
    for codec in _core.CODECS:
        if codec == "delta":
            with pytest.raises(ValueError, match="differences from a base"):
                mmh.compress(data, "BF16", codec=codec)
            continue
        assert mmh.decompress(mmh.compress(data, "BF16", codec=codec)) == data.tobytes()
    with pytest.raises(ValueError, match="unknown codec 'rar'; accepted: auto, store"):
        mmh.compress(data, codec="rar")
    with pytest.raises(TypeError, match="codec must be a name"):
        mmh.compress(data, codec=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [None, 0, 1, 3])
def test_the_number_of_threads_changes_nothing(threads: int | None) -> None:
    data = weights(300_000)
    blob = mmh.compress(data, "BF16", threads=threads)
    assert blob == mmh.compress(data, "BF16")
    assert mmh.decompress(blob, threads=threads) == data.tobytes()


def test_wrong_threads() -> None:
    with pytest.raises(ValueError, match="threads must not be negative"):
        mmh.compress(b"", threads=-1)
    for threads in ("2", 1.0, True):
        with pytest.raises(TypeError, match="threads must be a number"):
            mmh.decompress(mmh.compress(b""), threads=threads)  # type: ignore[call-overload]


class TestOut:
    data = weights(3000).tobytes()
    blob = mmh.compress(weights(3000), "BF16")

    @pytest.mark.parametrize(
        "out",
        [
            bytearray(6000),
            memoryview(bytearray(6000)),
            np.empty(6000, np.uint8),
            np.empty((30, 100), ml_dtypes.bfloat16),
            np.empty((3, 5, 100), np.float32),
            array.array("H", bytes(6000)),
        ],
        ids=lambda out: type(out).__name__,
    )
    def test_fills_any_buffer(self, out: Any) -> None:
        assert mmh.decompress(self.blob, out) == 6000
        assert bytes(out.tobytes() if hasattr(out, "tobytes") else out) == self.data

    def test_a_larger_one_is_filled_as_far_as_it_goes(self) -> None:
        out = bytearray(b"\xaa" * 6010)
        assert mmh.decompress(self.blob, out=out) == 6000
        assert out == self.data + b"\xaa" * 10

    def test_zero_axes_and_zero_bytes(self) -> None:
        out = np.empty((), np.float64)
        assert mmh.decompress(mmh.compress(np.array(2.5)), out) == 8
        assert out == 2.5
        assert mmh.decompress(mmh.compress(b""), bytearray()) == 0
        assert mmh.decompress(mmh.compress(b""), np.empty((0, 3), np.float32)) == 0

    def test_too_small(self) -> None:
        with pytest.raises(ValueError, match=r"5999.*6000|6000.*5999"):
            mmh.decompress(self.blob, bytearray(5999))

    def test_read_only(self) -> None:
        for out in (bytes(6000), np.frombuffer(bytes(6000), np.uint8)):
            with pytest.raises(ValueError, match="read-only"):
                mmh.decompress(self.blob, out)

    def test_not_contiguous(self) -> None:
        with pytest.raises(ValueError, match="not C-contiguous"):
            mmh.decompress(self.blob, np.empty((100, 60), np.uint8).T)

    def test_no_buffer(self) -> None:
        with pytest.raises(TypeError, match="found list"):
            mmh.decompress(self.blob, [])


def test_blobs_may_be_any_buffer() -> None:
    blob = mmh.compress(b"abc" * 100)
    for kind in (bytearray(blob), memoryview(blob), np.frombuffer(blob, np.uint8)):
        assert mmh.decompress(kind) == b"abc" * 100


def test_damaged_blobs() -> None:
    blob = mmh.compress(weights(20_000), "BF16")
    for cut in (0, 1, 8, 15, 16, len(blob) // 2, len(blob) - 1):
        with pytest.raises(mmh.MmhError):
            mmh.decompress(blob[:cut])
    for at in range(8, len(blob), max(1, len(blob) // 200)):
        damaged = bytearray(blob)
        damaged[at] ^= 0x10
        # Some bits of some codecs mean nothing; what comes out is right all the same, or nothing does.
        with contextlib.suppress(mmh.MmhError):
            assert mmh.decompress(damaged) == weights(20_000).tobytes()
    with pytest.raises(mmh.MmhError):
        mmh.decompress(blob + b"\0")


def test_what_is_no_blob() -> None:
    for data in (b"PK\x03\x04" * 100, bytes(100), b"{" * 100):
        with pytest.raises(mmh.UnsupportedFormatError):
            mmh.decompress(data)


def test_blobs_of_a_newer_version() -> None:
    blob = mmh.compress(b"abc" * 1000)
    assert blob[:16] == header_of_version(0)
    with pytest.raises(mmh.UnsupportedFormatError, match="version 9"):
        mmh.decompress(header_of_version(9) + blob[16:])
    with pytest.raises(mmh.CorruptionError):
        mmh.decompress(header_of_version(9)[:12] + blob[12:])


@pytest.mark.parametrize("level", [1, 5])
@pytest.mark.parametrize("kind", ["fp32", "upcast", "fp16"])
def test_what_no_cache_holds_comes_back_at_any_place_and_damage_is_found(kind: str, level: int) -> None:
    wide = np.random.default_rng(7).normal(0, 0.02, 5_000_003).astype(np.float32)
    if kind == "upcast":
        wide = (wide.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    values = np.concatenate([wide, wide[::-1]]).astype(np.float16) if kind == "fp16" else wide
    raw = values.view(np.uint8)
    blob = mmh.compress(values, level=level)
    memory = np.empty(raw.size + 64, np.uint8)
    for place in (0, 1, 16, 48):
        memory[:] = 0
        out = memory[place : place + raw.size]
        for threads in (1, 3):
            assert mmh.decompress(blob, out=out, threads=threads) == raw.size
            assert np.array_equal(out, raw)
    damaged = bytearray(blob)
    for at in np.random.default_rng(level).integers(len(blob) // 50, len(blob) * 49 // 50, 20):
        damaged[at] ^= 0x10
        with pytest.raises(mmh.CorruptionError):
            mmh.decompress(damaged, out=out)
        damaged[at] ^= 0x10

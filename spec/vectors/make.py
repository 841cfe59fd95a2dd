"""Write the vectors: small `.mmh` files that every decoder has to read, or has to refuse.

    python spec/vectors/make.py

`valid/NAME.mmh` restores `valid/NAME.source.bin`; `invalid/NAME.mmh` is refused, and `invalid/EXPECTED.json` has the
kind of the refusal by name. A vector that is there is never written again: later versions of the engine may compress
in another way, and still have to read these. While the format is version 0, one that the format no longer allows is
removed by hand, in the commit that changes the format.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests"))

import numpy as np  # noqa: E402
import zstandard  # noqa: E402

import mmh_builder as mb  # noqa: E402
import mmh_rs as mmh  # noqa: E402

Vector = tuple[str, bytes, bytes]
"""Name, `.mmh`, source."""

BF16 = np.ascontiguousarray(
    np.random.default_rng(1).normal(0, 0.02, 3000).astype(np.float32).view(np.uint16)[1::2]
).tobytes()


def by_hand() -> Iterator[Vector]:
    """Files from the builder: what the format allows, used by our writer or not."""

    def file(label: str, frames: list[mb.Frame], tensors: list[mb.Tensor] | None = None, **options: Any) -> Vector:
        return f"hand-{label}", mb.build(frames, tensors or [], **options), mb.restored_source(frames)

    yield file("empty", [])
    yield file("store", [mb.store(b"\0"), mb.store(bytes(range(256)))], name="größe.bin")
    yield file("no-hashes", [mb.store(b"abc")], hashes=False)
    yield file("sha256", [mb.store(b"abc")], [mb.Tensor("t", "U8", [3])], sha256=True, source_format=1)
    yield file("pattern251", [mb.pattern(bytes(range(251)), 1000), mb.pattern(b"\0", 1), mb.pattern(b"ab", 65535 // 2)])
    yield file("pattern-of-64-kib", [mb.pattern(np.random.default_rng(2).bytes(32768), 50000)])
    yield file("lz4", [mb.lz4(b"\x26ab\x02\x00\x50cdefg", b"ab" * 6 + b"cdefg")])
    text = b"the quick brown fox, " * 30
    yield file("zstd", [mb.zstd(zstandard.ZstdCompressor(level=19).compress(text), text)])
    yield file("copy", [mb.store(b"abc"), mb.pattern(b"de", 5), mb.store(b"fgh"), mb.copy(1, 9)])
    yield file(
        "tensors",
        [mb.store(b"head"), mb.store(b"12345678"), mb.store(b"tail")],
        [
            mb.Tensor("empty", "F32", [3, 0], gap=2),
            mb.Tensor("a", "U8", [2, 4], gap=2, layout=1),
            mb.Tensor("", "C64", [0, 2**60]),
        ],
        source_format=2,
    )
    for bits in (8, 16, 32, 64):
        for how in ("plain", "moved", "zigzag"):
            yield coded_elements(bits, how)
    yield from lanes_by_hand()
    yield from exact_by_hand()
    for count in (300, 1026):
        yield modelled_by_hand(count, HILL)
    yield modelled_by_hand(301, TWO, "two")
    yield modelled_by_hand(2000, HILL, "columns", columns=COLUMNS)


HILL: dict[str, Any] = {"weights": [70, 0, 85, 100, 99, 40], "first": 3, "escape": 4, "escape_weight": 20}
"""A table of five symbols and the escape, which stands at symbol 4; others are escaped."""
TWO: dict[str, Any] = {"weights": [1, 127], "first": 7}
"""A table of two symbols of which one is as rare as can be, and no escape."""
COLUMNS = b"\x03" + bytes([10, 12, 0x12, 0x02]) + b"\x01\0\x1a"
"""Three columns of scales 12, 10 and 11, with codes of 2, 1 and 2 bits, last column first."""


def modelled_block(count: int, table: dict[str, Any]) -> bytes:
    """Elements of 16 bits: a top byte of the table's symbols, or another if there is an escape, and a zero."""
    random = np.random.default_rng(count)
    symbols = [table["first"] + i for i, weight in enumerate(table["weights"]) if weight > 0]
    symbols = 4 * symbols + ([4, 0, 255] if "escape" in table else [])
    tops = random.choice(symbols, size=count)
    return b"".join(bytes([0, int(top)]) for top in tops)


def modelled_by_hand(count: int, table: dict[str, Any], label: str = "", **fields: Any) -> Vector:
    block = modelled_block(count, table)
    modes: list[mb.Mode] = [mb.Modelled(**table, **fields), mb.Constant(0)]
    payload = mb.tensor_parts(block, element_bits=16, t=8, modes=modes).to_bytes()
    return f"hand-modelled-{label or count}", mb.build([mb.tensor_frame(payload, block)]), block


def coded_elements(bits: int, how: str) -> Vector:
    """Elements of any width, cut in any way: symbols that are coded, the rest of them random and packed."""
    t = min(8, bits - 1)
    cut: dict[str, Any] = {"element_bits": bits, "t": t, "sign_moved": how == "moved", "zigzag": how == "zigzag"}
    random = np.random.default_rng(bits)
    symbols = random.choice([3, 4, 5, 9], size=1100, p=[0.5, 0.25, 0.125, 0.125])
    rest = random.integers(0, 1 << min(bits - t, 62), symbols.size)
    block = b"".join(
        mb.join_element(int(T), int(R), **cut).to_bytes(bits // 8, "little") for T, R in zip(symbols, rest, strict=True)
    )
    modes: list[mb.Mode] = [mb.Coded(mb.skewed_lengths([3, 4, 5, 9])), *[mb.PACKED] * len(mb.plane_widths(bits - t))]
    payload = mb.tensor_parts(block, modes=modes, **cut).to_bytes()
    return f"hand-tensor-{bits}-{how}", mb.build([mb.tensor_frame(payload, block)]), block


def lanes_by_hand() -> Iterator[Vector]:
    """Symbols in lanes."""

    def vector(label: str, elements: Sequence[int], lanes: mb.Lanes, element_bits: int, **cut: Any) -> Vector:
        block = b"".join(element.to_bytes(element_bits // 8, "little") for element in elements)
        drop, q = cut.get("drop", 0), cut.get("q", 0)
        high = element_bits - cut["t"] - drop - q
        modes: list[mb.Mode] = [lanes, *[mb.PACKED] * len(mb.plane_widths(high) + mb.plane_widths(q))]
        payload = mb.tensor_parts(block, element_bits=element_bits, modes=modes, **cut).to_bytes()
        return f"hand-lanes-{label}", mb.build([mb.tensor_frame(payload, block)]), block

    random = np.random.default_rng(5)
    skewed = {115: 128, 116: 64, 117: 32, 118: 16, 119: 8, 120: 4, 121: 2, 122: 1, 127: 1}
    exponents = np.array(list(skewed))

    def symbols(count: int) -> list[int]:
        return [int(s) for s in random.choice(exponents, size=count, p=np.array(list(skewed.values())) / 256)]

    drawn = symbols(mb.GROUP + 33)
    for last in (1, 31, 33):
        yield vector(f"last-group-{last}", drawn[: mb.GROUP + last], mb.Lanes([skewed]), 8, t=8)
    # Exponents in lanes, and signs and mantissas as they are: what a decoder may have a way of its own for.
    cut: dict[str, Any] = {"t": 8, "sign_moved": True}
    elements = [mb.join_element(s, i * 37 % 256, 16, **cut) for i, s in enumerate(drawn)]
    for last in (1, 33):
        yield vector(f"bf16-last-group-{last}", elements[: mb.GROUP + last], mb.Lanes([skewed]), 16, **cut)
    for count in (16, 31, 32, 33, 64):
        # Low bits that are zero make room for the 64 bytes that lanes begin with.
        yield vector(f"{count}-elements", [s << 56 for s in symbols(count)], mb.Lanes([skewed]), 64, t=8, drop=56)
    # The longest and the shortest steps.
    every = [s << 8 for s in range(256)] * 4
    yield vector("all-values", every, mb.Lanes([mb.flat_frequencies(range(256))]), 16, t=8, drop=8)
    rare = [int(s) << 8 for s in random.choice([0, 255], size=3000, p=[0.01, 0.99])]
    yield vector("two-values", rare, mb.Lanes([{0: 1, 255: 255}]), 16, t=8, drop=8)
    # Codes that no group has, and groups of other codes than the first.
    codes = [mb.flat_frequencies(range(i, i + 3)) for i in range(14)]
    yield vector("16-codes", symbols(5000), mb.Lanes([*codes, skewed, {0: 128, 255: 128}], [14]), 8, t=8)
    four = [{v + 64 * k: f for v, f in ((1, 70), (2, 60), (3, 50), (9, 76))} for k in (2, 0, 3, 1)]
    drawn = [int(s) + 64 * (i // mb.GROUP) for i, s in enumerate(random.choice([1, 2, 3, 9], size=3 * mb.GROUP + 77))]
    drawn[mb.GROUP - 1], drawn[2 * mb.GROUP], drawn[-1] = 2 + 64, 255, 0
    cut = {"t": 9, "sign_moved": True, "drop": 5}
    elements = [mb.join_element(200 + s if s else 0, i % 4 << 5, 16, 9, True) for i, s in enumerate(drawn)]
    yield vector("codes", elements, mb.Lanes(four, [1, 3, 0, 2]), 16, base=200, **cut)
    # Symbols without a code; fields without a symbol too where t is over 8, and zero of either kind.
    some = symbols(2000)
    some[3], some[500], some[501], some[1999] = 0, 255, 1, 254
    elements = [mb.join_element(s, i * 41 % 256, 16, t=8, sign_moved=True) for i, s in enumerate(some)]
    yield vector("without-a-code", elements, mb.Lanes([skewed], stand_in=127), 16, t=8, sign_moved=True)
    # All values but those with a code, at gaps of many sizes.
    places = sorted({int(at * 1.018**at) for at in range(1, 254)} | {0})
    some = [119] * (places[-1] + 9)
    for number, at in enumerate(places):
        some[at] = number if number < 119 else number + 2
    yield vector("254-without-a-code", some, mb.Lanes([{119: 255, 120: 1}]), 8, t=8)
    wide = [s - 100 + 700 for s in symbols(2000)]
    for at, T in ((0, 0), (17, 1023), (40, 700), (41, 955), (42, 956), (1000, 699), (1001, 1), (1998, 0), (1999, 701)):
        wide[at] = T
    elements = [mb.join_element(T, i * 43 % 64, 16, t=10, sign_moved=True) for i, T in enumerate(wide)]
    cut = {"t": 10, "sign_moved": True, "base": 700}
    code = {s - 100: f for s, f in skewed.items()}
    yield vector("exceptions-of-both-kinds", elements, mb.Lanes([code]), 16, **cut)
    yield vector("exceptions-but-zero", elements, mb.Lanes([{0: 1, **code, 15: 127}]), 16, **cut)
    # Low bits that are zero in some segments.
    elements = [
        s << 24 | (i * 2654435761 % 2**16 << 8 if i % 64 < 16 else 0xAB << 16) for i, s in enumerate(symbols(1500))
    ]
    yield vector("segments", elements, mb.Lanes([skewed]), 32, t=8, drop=8, q=8, log_segment=4)
    signs = [mb.join_element(s, i * 37 % 256, 16, t=8, zigzag=True) for i, s in enumerate(symbols(1500))]
    yield vector("zigzag", signs, mb.Lanes([skewed]), 16, t=8, zigzag=True)


def exact_by_hand() -> Iterator[Vector]:
    """Symbols in lanes with exact frequencies."""

    def vector(
        label: str, symbols: Sequence[int], lanes: mb.Exact, t: int = 8, base: int = 0, drop: int = 0
    ) -> Vector:
        cut: dict[str, Any] = {"t": t, "sign_moved": True}
        rests = [i * 37 % (1 << (16 - t)) >> drop << drop for i in range(len(symbols))]
        elements = [mb.join_element(s, rest, 16, **cut) for s, rest in zip(symbols, rests, strict=True)]
        block = b"".join(element.to_bytes(2, "little") for element in elements)
        modes: list[mb.Mode] = [lanes, *[mb.PACKED] * len(mb.plane_widths(16 - t - drop))]
        payload = mb.tensor_parts(block, element_bits=16, modes=modes, base=base, drop=drop, **cut).to_bytes()
        return f"hand-exact-{label}", mb.build([mb.tensor_frame(payload, block)]), block

    random = np.random.default_rng(7)
    hill = (115, [127, 119, 0, 103, 95, 87, 79, 71, 63])
    values = [115, 116, 118, 119, 120, 121, 122, 123]
    odds = 2.0 ** -np.arange(1, 9)

    def symbols(count: int) -> list[int]:
        return [int(s) for s in random.choice(values, size=count, p=odds / odds.sum())]

    drawn = symbols(mb.GROUP + 49)
    for last in (1, 31, 49):
        yield vector(f"last-group-{last}", drawn[: mb.GROUP + last], mb.Exact([hill]))
    for count in (200, 207, 1500):
        yield vector(f"{count}-elements", drawn[:count], mb.Exact([hill]))
    # As frequent and as rare as can be.
    rare = [int(s) for s in random.choice([0, 255], size=3000, p=[0.01, 0.99])]
    yield vector("two-values", rare, mb.Exact([(0, [1, *[0] * 254, 127])]))
    yield vector("all-values", [*range(256)] * 4, mb.Exact([(0, [64] * 256)]), drop=8)
    # Codes that no group has, and groups of other codes than the first.
    codes = [(i, [3, 127, 99]) for i in range(14)]
    yield vector("16-codes", drawn[:5000], mb.Exact([*codes, hill, (0, [1, 1])], [14]))
    # Symbols without a code, which the last states may carry, and fields without a symbol.
    wide = [s - 100 + 700 for s in symbols(2000)]
    for at, T in ((0, 0), (17, 1023), (40, 720), (41, 955), (42, 956), (1000, 699), (1998, 0), (1999, 711)):
        wide[at] = T
    code = (15, hill[1])
    yield vector("without-a-code", wide, mb.Exact([code]), t=10, base=700)


def by_engine() -> Iterator[Vector]:
    """Blobs from our writer."""
    kinds: dict[str, Callable[[np.random.Generator], Any]] = {
        "f16": lambda random: random.normal(0, 0.02, 1500).astype(np.float16),
        "f32": lambda random: random.normal(0, 0.02, 1500).astype(np.float32),
        "f64": lambda random: random.normal(0, 0.02, 1500),
        "c64": lambda random: random.normal(0, 1, 750).astype(np.complex64),
        "i8": lambda random: np.rint(random.normal(0, 9, 1500)).astype(np.int8),
        "i16": lambda random: np.rint(random.normal(0, 300, 1500)).astype(np.int16),
        "i32": lambda random: np.rint(random.normal(0, 300, 1500)).astype(np.int32),
        "i64": lambda random: np.arange(1500, dtype=np.int64),
        "u16": lambda random: random.integers(0, 500, 1500).astype(np.uint16),
        "bool": lambda random: random.integers(0, 2, 1500).astype(bool),
    }
    for number, (kind, make) in enumerate(kinds.items()):
        array = make(np.random.default_rng(number))
        yield f"engine-{kind}", mmh.compress(array, threads=1), array.tobytes()
    for dtype in ("BF16", "F8_E4M3", "F8_E5M2"):
        data = BF16 if dtype == "BF16" else BF16[1::2]
        yield f"engine-{dtype.lower()}", mmh.compress(data, dtype=dtype, threads=1), data
    for level in (1, 9):
        yield f"engine-bf16-level-{level}", mmh.compress(BF16, dtype="BF16", level=level, threads=1), BF16
    upcast = np.frombuffer(np.random.default_rng(3).normal(0, 1, 4096).astype(np.float32), np.uint32).copy()
    upcast[:2048] &= 0xFFFF0000
    yield "engine-f32-half-upcast", mmh.compress(upcast.view(np.float32), threads=1), upcast.tobytes()
    for codec in ("store", "pattern251", "lz4", "zstd", "tensor"):
        data = b"weights and weights " * 50
        yield f"engine-codec-{codec}", mmh.compress(data, codec=codec, threads=1), data
    long = np.ascontiguousarray(np.random.default_rng(4).normal(0, 1, 30000).astype(np.float32).view(np.uint16)[1::2])
    yield "engine-bf16-long", mmh.compress(long.tobytes(), dtype="BF16", threads=1), long.tobytes()
    yield from lanes_by_engine()
    yield from modelled()
    # Groups that are not alike choose among several codes of exact frequencies.
    scales = np.repeat([0.002, 0.05, 1.0], 20000)
    values = np.clip(np.random.default_rng(9).normal(0, scales), -3, 3).astype(np.float16)
    narrow = (np.ascontiguousarray(values).view(np.uint16) >> 8).astype(np.uint8)
    yield "engine-exact-e5m2", mmh.compress(narrow.tobytes(), dtype="F8_E5M2", threads=1), narrow.tobytes()


def lanes_by_engine() -> Iterator[Vector]:
    """Symbols in lanes, as our writer chooses them."""
    random = np.random.default_rng(6)

    def bf16(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.ascontiguousarray(values.astype(np.float32).view(np.uint16)[1::2])

    def vector(label: str, values: np.ndarray[Any, Any], dtype: str, level: int | str) -> Vector:
        data = values.tobytes()
        return f"engine-lanes-{label}", mmh.compress(data, dtype=dtype, level=level, threads=1), data

    values = random.normal(0, 0.02, 5000)
    for level in (1, 2, 5):
        yield vector(f"bf16-level-{level}", bf16(values), "BF16", level)
    yield vector("f16-level-2", values.astype(np.float16), "F16", 2)
    # Exponents that the writer's sample does not have: those that symbols can tell, and those that they cannot.
    rare = values.copy()
    rare[[2000, 2001, 4000]] = 1e30, 0, -1e-30
    yield vector("bf16-without-a-code", bf16(rare), "BF16", 2)
    yield vector("bf16-exceptions", bf16(rare), "BF16", 5)
    wide = values.astype(np.float32).view(np.uint32)
    yield vector("f32-zero-bits", wide & 0xFFFFE000, "F32", 5)
    some = wide.copy()
    some[1024:3072] &= 0xFFFF0000
    yield vector("f32-zero-bits-in-segments", some, "F32", 2)


def modelled() -> Iterator[Vector]:
    """Numbers whose scale changes, as `max` models them: with and without columns, with and without an escape."""
    random = np.random.default_rng(5)
    rows = random.normal(0, 0.02, (12, 250)) * 2.0 ** np.arange(-6, 6)[:, None]
    columns = random.normal(0, 0.02, (80, 60)) * 2.0 ** random.integers(-5, 5, 60)
    for name, values in (("rows", rows), ("columns", columns)):
        data = np.ascontiguousarray(values.astype(np.float32).view(np.uint16)[:, 1::2]).tobytes()
        yield f"engine-modelled-{name}", mmh.compress(data, dtype="BF16", level="max", threads=1), data
    shifts = (np.arange(20000) // 1000 % 5).astype(np.int8)
    every_value = (random.integers(-128, 128, 20000).astype(np.int8) >> shifts).tobytes()
    yield "engine-modelled-i8", mmh.compress(every_value, dtype="I8", level="max", threads=1), every_value


def invalid() -> Iterator[tuple[str, bytes, str]]:
    """Name, `.mmh`, kind of the refusal: one lie each, with all hashes around it right."""
    abc = mb.store(b"abcd")
    good = mb.build([abc], [mb.Tensor("t", "U8", [4])])
    yield "nothing", b"", "not-mmh"
    yield "other-magic", b"\x89PNG\r\n\x1a\n" + good[8:], "not-mmh"
    yield "newer-version", mb.build(version=1), "unsupported"
    yield "unknown-codec", mb.build([mb.Frame(6, b"a", 1, b"a")]), "unsupported"
    corrupt = {
        "header-check": mb.build(header_check=1),
        "reserved-flags": mb.build(flags=2),
        "copy-flag-without-copy": mb.build(flags=1),
        "truncated-header": good[:12],
        "truncated-footer": good[:-1],
        "trailing-bytes": good + b"\0",
        "bytes-between": mb.build([abc], between=b"?"),
        "footer-hash": mb.build([abc], footer_hash=5),
        "index-hash": mb.build([abc], index_hash=5),
        "index-size": mb.build([abc], index_size=1 << 60),
        "index-bytes-left": mb.build([abc], index_tail=b"\0"),
        "source-length": mb.build([abc], source_len=3),
        "source-hash": mb.build([abc], source_blake3=bytes(32)),
        "source-name": mb.build([abc], name="../up"),
        "frame-count": mb.build([abc], frame_count=2**40),
        "tensor-count": mb.build([abc], tensor_count=2**64 - 1),
        "tensor-twice": mb.build([mb.store(b"ab")] * 2, [mb.Tensor("t", "U8", [2])] * 2),
        "tensor-too-long": mb.build([abc], [mb.Tensor("t", "U8", [5])]),
        "tensor-overflow": mb.build([abc], [mb.Tensor("t", "U8", [2**63] * 64)]),
        "tensor-hash": mb.build([abc], [mb.Tensor("t", "U8", [4], digest=bytes(32))]),
        "tensor-straddled": mb.build([abc], [mb.Tensor("t", "U8", [2], gap=1)]),
        "frame-sync": mb.build([replace(abc, sync=b"RF")]),
        "frame-reserved": mb.build([replace(abc, reserved=1)]),
        "frame-checksum": mb.build([replace(abc, checksum=0)]),
        "block-too-long": mb.build(between=bytes(28), frame_table=[(mb.LZ4, 2**24 + 1, 4)], source_len=2**24 + 1),
        "copy-of-a-copy": mb.build([abc, mb.copy(0, 2), mb.copy(4, 2)]),
        "copy-of-the-future": mb.build([mb.copy(0, 1), abc], source_len=5),
        "pattern-empty": mb.build([mb.Frame(mb.PATTERN251, b"", 5, bytes(5))]),
        "varint-too-long": mb.build(index=b"IX\x80\x00\0\0\0\0\0"),
    }
    for name, data in corrupt.items():
        yield name, data, "corrupt"
    block = bytes(range(64)) * 16
    changes: dict[str, dict[str, Any]] = {
        "tensor-t": {"t": 17},
        "tensor-drop": {"drop": 9},
        "tensor-segment": {"log_segment": 3},
        "tensor-base": {"base": 1},
        "tensor-group-size": {"group_sizes": [2**32 - 1]},
        "tensor-after": {"after": b"\0"},
        "tensor-planes": {"descriptors": [b"\x06", b"\x01"]},
    }
    for name, fields in changes.items():
        parts = mb.tensor_parts(block, element_bits=16, t=8, modes=[mb.Coded(mb.flat_lengths(block[1::2])), mb.PACKED])
        yield name, mb.build([mb.tensor_frame(replace(parts, **fields).to_bytes(), block)]), "corrupt"
    zeros = bytes(1024)
    parts = mb.tensor_parts(zeros, element_bits=16, t=7, modes=[mb.Constant(128), mb.PACKED, mb.PACKED])
    yield "tensor-constant-symbol", mb.build([mb.tensor_frame(parts.to_bytes(), zeros)]), "corrupt"
    wide: dict[str, Any] = {"element_bits": 16, "t": 10, "sign_moved": True}
    block = b"".join(mb.join_element(301 + i % 99, i % 64, **wide).to_bytes(2, "little") for i in range(512))
    exceptions = {
        "tensor-exception-with-symbol": mb.exception_list([(9, 555)]),
        "tensor-exception-zero": mb.exception_list([(9, 0)]),
        "tensor-exception-field": mb.exception_list([(9, 1024)]),
        "tensor-exception-position": mb.exception_list([(512, 1)]),
        "tensor-exception-count": mb.exception_list([(9, 1)], count=2),
    }
    for name, listed in exceptions.items():
        modes: list[mb.Mode] = [mb.Coded(mb.flat_lengths(range(100))), *[mb.PACKED] * 2]
        parts = mb.tensor_parts(block, modes=modes, base=300, **wide)
        yield name, mb.build([mb.tensor_frame(replace(parts, exceptions=listed).to_bytes(), block)]), "corrupt"
    for name, data in invalid_exact():
        yield f"exact-{name}", data, "corrupt"
    for name, data in invalid_lanes():
        yield f"lanes-{name}", data, "corrupt"
    models: dict[str, dict[str, Any]] = {
        "kind": {"form": 0x39},
        "one-column": {"columns": b"\x01" + COLUMNS[1:]},
        "column-scale": {"columns": b"\x03" + bytes([10, 25, 0x12, 0, 0, 0, 0, 0, 0, 0x20]) + b"\x01\0\x1a"},
        "no-table": {"ends": b"\0"},
        "too-many-tables": {"ends": b"\x21"},
        "ends": {"ends": b"\x02\0"},
        "weights-below-zero": {"weights": [1, -1, 100]},
        "no-weight": {"weights": [0, 0, 0]},
        "one-entry": {"weights": [0, 5, 0], "escape": None, "escape_weight": 0},
        "escape-with-a-weight": {"weights": [70, 1, 85]},
        "last": {"last": 2},
        "unused-bit": {"table_tail": "1"},
        "difference-too-long": {"table_tail": "1" * 40, "last": 9},
        "state": {"state": 65535},
        "other-state": {"state": 70000},
        "words-missing": {"word_count_change": -1},
        "words-left": {"word_count_change": 1, "extra_words": b"ab"},
    }
    for name, fields in models.items():
        yield f"model-{name}", modelled_lie(fields), "corrupt"


def invalid_exact() -> Iterator[tuple[str, bytes]]:
    """Lies of symbols in lanes with exact frequencies."""
    block = bytes(np.random.default_rng(8).choice([3, 4, 5, 9], size=600, p=[0.5, 0.25, 0.125, 0.125]).tolist())
    code = (3, [100, 92, 84, 0, 0, 0, 84])

    def lie(table: mb.Exact | None = None, stream: mb.Exact | None = None, **changes: Any) -> bytes:
        """Of one code or of another that is described, of another that is coded with, or of other parts."""
        parts = mb.tensor_parts(block, element_bits=8, t=8, modes=[mb.Exact([code]) if stream is None else stream])
        if table is not None:
            parts.descriptors[0] = mb.descriptor(table)
        return mb.build([mb.tensor_frame(replace(parts, **changes).to_bytes(), block)])

    yield "no-code", lie(mb.Exact([]))
    yield "17-codes", lie(mb.Exact([code] * 17, [0]))
    yield "code-of-a-group", lie(mb.Exact([code] * 2, [2]))
    yield "no-code-of-a-group", lie(descriptors=[mb.descriptor(mb.Exact([code] * 2))])
    yield "one-value", lie(mb.Exact([(3, [127])]))
    yield "only-zeros", lie(mb.Exact([(3, [0, 0])]))
    yield "last-before-first", lie(mb.Exact([code], last=2))
    yield "weight-128", lie(mb.Exact([(3, [127, 128])]))
    yield "weight-below-zero", lie(mb.Exact([(3, [1, -1, 9])]))
    yield "unused-bit", lie(mb.Exact([(3, [1, 1, 1])], table_tail="1"))
    yield "difference-too-long", lie(mb.Exact([(3, [1, 1, 1])], last=9, table_tail="1" * 40))

    size, stream = mb.tensor_parts(block, element_bits=8, t=8, modes=[mb.Exact([code])]).groups[0]

    def with_stream(stream: bytes) -> bytes:
        return lie(groups=[[mb.u16(len(stream)), stream]])

    yield "stream-size", lie(groups=[[mb.u16(len(stream) + 1), stream]])
    yield "stream-of-62-bytes", with_stream(stream[-62:])
    yield "stream-of-an-odd-size", with_stream(b"\0" + stream)
    yield "no-stream", lie(groups=[[]])
    yield "words-left", with_stream(b"\0\0" + stream)
    yield "words-missing", with_stream(stream[2:])
    yield "state", with_stream(stream[:-4] + b"\xff\xff\0\0")
    yield "last-state", lie(stream=mb.Exact([code], lowest=1 << 17))
    yield "without-a-code-missing", lie(codeless=b"")
    yield "without-a-code-with-a-code", lie(codeless=mb.codeless_list([(9, block[9])]))
    # Fewer elements than states carry.
    short = block[:200] * 256
    parts = mb.tensor_parts(short[: mb.GROUP + 20], element_bits=8, t=8, modes=[mb.Exact([code], carry=1)])
    yield "more-is-carried", mb.build([mb.tensor_frame(parts.to_bytes(), short[: mb.GROUP + 20])])


def invalid_lanes() -> Iterator[tuple[str, bytes]]:
    """Lies of symbols in lanes."""
    cut: dict[str, Any] = {"element_bits": 16, "t": 8, "sign_moved": True}
    code = {118: 32, 119: 64, 120: 96, 121: 64}
    symbols = np.random.default_rng(8).choice([118, 119, 120, 121], size=512)
    block = b"".join(mb.join_element(int(s), i % 256, **cut).to_bytes(2, "little") for i, s in enumerate(symbols))

    def good() -> mb.TensorParts:
        return mb.tensor_parts(block, modes=[mb.Lanes([code]), mb.PACKED], **cut)

    def changed(**fields: Any) -> bytes:
        return mb.build([mb.tensor_frame(replace(good(), **fields).to_bytes(), block)])

    def described(symbols: bytes, rest: bytes = b"\x01") -> bytes:
        return changed(descriptors=[b"\x03" + symbols, rest])

    table = mb.frequency_table(code)
    yield "no-code", described(b"\0")
    yield "17-codes", described(b"\x11" + 17 * table + b"\0")
    yield "code-of-a-group", described(b"\x02" + 2 * table + b"\x02")
    yield "one-value", described(b"\x01" + mb.frequency_table({118: 255}))
    yield "last-before-first", described(b"\x01\x79\x76" + table[2:])
    yield "sum-255", described(b"\x01" + mb.frequency_table({**code, 120: 95}))
    yield "sum-257", described(b"\x01" + mb.frequency_table({**code, 120: 97}))
    yield "first-frequency-zero", described(b"\x01" + mb.frequency_table(code, first=117))
    yield "last-frequency-zero", described(b"\x01" + mb.frequency_table(code, last=122))
    yield (
        "other-plane",
        described(b"\x01" + table, rest=b"\x03\x01" + mb.frequency_table(mb.flat_frequencies(range(256)))),
    )

    _, rest, stream = good().groups[0]

    def with_stream(stream: bytes, size: int | None = None, rest: bytes = rest) -> bytes:
        return changed(groups=[[mb.u16(len(stream) if size is None else size), rest, stream]])

    yield "stream-size", with_stream(stream, size=len(rest + stream) + 1)
    yield "stream-size-one-more", with_stream(stream, size=len(stream) + 1)
    yield "stream-of-63-bytes", with_stream(stream[-63:])
    yield "no-stream", changed(groups=[[]])
    yield "marker", with_stream(stream[:-64] + b"\0" + stream[-63:])
    yield "bytes-left", with_stream(b"\0" + stream)
    yield "bytes-missing", with_stream(stream[1:])
    yield "group-bytes-left", with_stream(stream, rest=rest + b"\0")
    yield "after", changed(after=b"\0")

    lists = {
        "missing": b"",
        "with-a-code": mb.codeless_list([(9, int(symbols[9]))]),
        "position": mb.codeless_list([(512, 1)]),
        "position-far": mb.codeless_list([(2**24 - 1, 1)]),
        "number": bytes([1, 0, 2, 1, 2, 3, 0b111]),
        "count": b"\xff\xff\xff\xff\xff\x7f" + mb.codeless_list([(9, 1)])[1:],
        "r": mb.codeless_list([(9, 1)], 16),
        "descending": mb.codeless_list([(9, 1)], kinds=[2, 1]),
        "twice-the-same": mb.codeless_list([(9, 1)], kinds=[1, 1]),
        "25-zeros": bytes([1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]),
        "cut-off": mb.codeless_list([(9, 1)])[:-1],
        "bits-left": mb.codeless_list([(9, 1)], more_bits="1"),
        "byte-left": mb.codeless_list([(9, 1)]) + b"\0",
    }
    for name, codeless in lists.items():
        yield f"without-a-code-{name}", changed(codeless=codeless)

    # Lanes of one element, which take no bits, and lanes of none.
    short = b"".join((118 + i % 4 << 56).to_bytes(8, "little") for i in range(20))
    parts = mb.tensor_parts(short, element_bits=64, t=8, drop=56, modes=[mb.Lanes([code])])
    size, stream = parts.groups[0]
    for name, lie in {
        "bits-left": b"\xc0" + stream[1:],
        "zeros-left": b"\x01" + stream[1:],
        "bits-of-a-lane-without-elements": stream[:31] + b"\x40" + stream[32:],
        "state-of-a-lane-without-elements": stream[:-1] + b"\x01",
    }.items():
        payload = replace(parts, groups=[[size, lie]]).to_bytes()
        yield name, mb.build([mb.tensor_frame(payload, short)])


def modelled_lie(fields: dict[str, Any]) -> bytes:
    block = modelled_block(400, HILL)
    parts = mb.tensor_parts(block, element_bits=16, t=8, modes=[mb.Modelled(**HILL), mb.Constant(0)])
    lie = mb.Modelled(**(HILL | fields))
    if {"state", "word_count_change"} & fields.keys():
        parts = mb.tensor_parts(block, element_bits=16, t=8, modes=[lie, mb.Constant(0)])
    else:
        parts.descriptors[0] = mb.descriptor(lie)
    return mb.build([mb.tensor_frame(parts.to_bytes(), block)])


def write_new(path: Path, data: bytes) -> None:
    if len(data) >= 1 << 18:
        raise SystemExit(f"{path.name} is too large: {len(data)} bytes, at most 256 KiB")
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        print(path.relative_to(HERE))


def main() -> None:
    for name, data, source in (*by_hand(), *by_engine()):
        target = HERE / "valid" / f"{name}.mmh"
        if not target.exists():
            write_new(target, data)
            write_new(target.with_name(f"{name}.source.bin"), source)
    expected = HERE / "invalid" / "EXPECTED.json"
    kinds: dict[str, str] = json.loads(expected.read_text()) if expected.exists() else {}
    for name, data, kind in invalid():
        write_new(HERE / "invalid" / f"{name}.mmh", data)
        kinds.setdefault(name, kind)
    expected.write_text(json.dumps(dict(sorted(kinds.items())), indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Write the vectors: small `.mmh` files that every decoder has to read, or has to refuse.

    python spec/vectors/make.py

`valid/NAME.mmh` restores `valid/NAME.source.bin`; `invalid/NAME.mmh` is refused, and `invalid/EXPECTED.json` has the
kind of the refusal by name. A vector that is there is never written again: later versions of the engine may compress
in another way, and still have to read these. While the format is version 0, one that the format no longer allows is
removed by hand, in the commit that changes the format. What a vector was compressed against is beside it, as
`NAME.base.bin`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests"))

import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402
import zstandard  # noqa: E402

import mmh_builder as mb  # noqa: E402
import mmh_rs as mmh  # noqa: E402

Vector = tuple[str, bytes, bytes]
"""Name, `.mmh`, source."""
AgainstBase = tuple[str, bytes, bytes, bytes]
"""Name, `.mmh`, source, base."""

BF16 = np.ascontiguousarray(
    np.random.default_rng(1).normal(0, 0.02, 3000).astype(np.float32).view(np.uint16)[1::2]
).tobytes()


def packed(index: bytes, size: int | None = None) -> bytes:
    """A compressed index; `size` is what it says of the bytes that it restores."""
    frame = zstandard.ZstdCompressor(level=19, write_content_size=size is None).compress(index)
    return b"IZ" + mb.varint(len(index) if size is None else size) + frame


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
    first, second = b"Once there was " * 3, b"And once there was " * 2
    for label, frames in {
        "prefix": [mb.store(first), went_on(first, second), mb.store(b"!"), went_on(first, first)],
        "prefix-of-zstd": [mb.zstd(zstandard.ZstdCompressor().compress(first), first), went_on(first, second)],
        "prefix-twice": [mb.store(first), went_on(first, second), mb.copy(len(first), len(second))],
    }.items():
        yield file(label, frames, [mb.Tensor("t", "U8", [len(second)], gap=len(first))])
    yield file(
        "index-compressed", [mb.store(b"abc")] * 40, [mb.Tensor(f"t{i}", "U8", [3]) for i in range(40)], pack=packed
    )
    yield file("tar", [mb.store(bytes(1024))], source_format=11)
    yield file("copy-of-frames", [mb.store(b"abc"), mb.pattern(b"de", 5), mb.store(b"fgh"), mb.copy(3, 8)])
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
    yield from nodes_by_hand()
    yield from relatives_by_hand()


def went_on(first: bytes, data: bytes, payload: bytes | None = None, behind: bytes = b"") -> mb.Frame:
    """A frame that goes on from what the first one restores."""
    dictionary = zstandard.ZstdCompressionDict(first, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    made = zstandard.ZstdCompressor(level=19, dict_data=dictionary).compress(data)
    return mb.prefix((made if payload is None else payload) + behind, data)


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

    def vector(label: str, symbols: Sequence[int], lanes: mb.Exact, t: int = 8, base: int = 0, drop: int = 0) -> Vector:
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


def nodes_by_hand() -> Iterator[Vector]:
    """Hierarchical payloads: each kind of node at each place, and words that our writer does not look for."""

    def vector(label: str, payload: bytes, block: bytes) -> Vector:
        return f"hand-hierarchical-{label}", mb.build([mb.hierarchical_frame(payload, block)]), block

    zeros = bytes(1000)
    yield vector("leaf-zstd", squeezed(zeros), zeros)
    constant = mb.tensor_parts(zeros, element_bits=8, t=8, modes=[mb.Constant(0)]).to_bytes()
    yield vector("leaf-tensor", mb.leaf(zeros, mb.TENSOR, constant), zeros)
    lz4 = b"\x1f\0\1\0\xff\xff\xff" + bytes([1000 - 1 - 4 - 15 - 3 * 255 - 5]) + b"\x50" + bytes(5)
    yield vector("leaf-lz4", mb.leaf(zeros, mb.LZ4, lz4), zeros)
    # Widths, places of the first word, and words that are passed down or not.
    for bits, known, count, head, strange in [
        (4, 3, 500, 0, 0),
        (4, 7, 1001, 3, 20),
        (5, 9, 500, 2, 9),
        (12, 40, 500, 8, 0),
        (16, 254, 700, 0, 50),
        (16, 256, 700, 0, 0),
        (24, 40, 400, 16, 10),
        (32, 256, 1200, 0, 90),
        (32, 300, 1200, 31, 0),
        (33, 1025, 2200, 1, 0),
        (63, 30, 200, 62, 0),
        (64, 30, 200, 0, 10),
        (251, 16, 100, 77, 20),
        (512, 5, 50, 511, 10),
    ]:
        block, book = drawn_words(bits, known, count, head, strange)
        parts = mb.words_parts(block, bits, book, head)
        if bits < 8:
            parts.numbers = squeezed(mb.leaf_data(parts.numbers))
        yield vector(f"words-{bits}-of-{known}", parts.to_bytes(), block)
    block = bytes(range(16)) * 4
    yield vector("words-twice-in-the-book", mb.words_parts(block, 128, [read_word(block, 128)] * 2).to_bytes(), block)
    yield vector("words-down-to-4", words_of_halves(512), HALVES)
    for label, payload, block in records_by_hand():
        yield vector(f"records-{label}", payload, block)
    yield vector("decimals-f32", decimals(), DECIMALS)
    yield vector(
        "decimals-f32-none",
        b"\3\0\0\0" + mb.leaf(b"\xff" * 25) + squeezed(bytes(100)) + squeezed(b"abcd" * 25),
        b"abcd" * 25,
    )
    doubles = [-0.5, 2.25, 0.0, 1e22, -(2.0**53), (2.0**53 - 1) / 1e22, 123456789.125, 3.0, 1e-22]
    places = [1, 2, 0, 0, 0, 22, 3, 22, 22]
    numbers = [-5, 225, 0, 255, -(2**53), 2**53 - 1, 123456789125, 0, 1]
    places[3] = 255
    places[7] = 255
    block = b"head-3!" + b"".join(struct.pack("<d", d) for d in doubles) * 20 + b"!"
    words = b"".join(mb.u64((2 * abs(k) - (k < 0)) << 10) for k in numbers)
    escaped = struct.pack("<2d", 1e22, 3.0)
    fixed = bytes([3, 1 | 7 << 1, 0, 10]) + b"head-3!!"
    leaves = squeezed(bytes(places) * 20) + squeezed(words * 20) + squeezed(escaped * 20)
    yield vector("decimals-f64", fixed + leaves, block)
    for width in range(4):
        yield vector(f"strings-of-{1 << width}-byte-lengths", strings(width), listed(width))
    yield vector("strings-alone", strings(2, alone=True), listed(2, alone=True))
    for width in range(4):
        for signed in (False, True):
            label = f"varints-{'i' if signed else 'u'}{8 << width}"
            yield vector(label, varints(width, signed), spelled(width, signed))
    yield vector("steps-i16", steps(), STEPS)
    # Around the end of the range and back, in bytes.
    around = bytes((100 + 90 * i) % 256 if i % 2 else 100 for i in range(256))
    zigzag = bytes(2 * d if d < 128 else 511 - 2 * d for d in ((b - a) % 256 for a, b in pairwise(around)))
    yield vector("steps-u8", bytes([6, 0, 0]) + around[:1] + squeezed(zigzag), around)
    yield vector("period-of-steps", b"\7" + mb.varint(len(STEPS)) + steps(), STEPS * 5 + STEPS[:9])
    yield vector("period-of-all", b"\7" + mb.varint(len(STEPS)) + steps(), STEPS)
    yield vector("period-of-1", b"\7\1" + mb.leaf(b"!"), b"!" * 300)
    for bits in range(2, 8):
        for head in (0, bits - 1):
            yield vector(f"packed-{bits}-bits-behind-{head}", bit_packed(bits, head), BITS)
    yield vector("period-of-packed", b"\7" + mb.varint(len(BITS)) + bit_packed(3, 1), BITS * 2 + BITS[:7])
    for width, head, signed in ((0, 0, False), (1, 1, True), (2, 3, False), (3, 5, True)):
        label = f"sparse-u{8 << width}-behind-{head}{'-signed' if signed else ''}"
        yield vector(label, *sparse(width, head, signed))
    yield vector("sparse-alone", *sparse(1, 0, True, others=0))
    yield vector("sparse-none", *sparse(2, 0, True, others=100))
    for kind, head, missing in ((0, 1, 0), (1, 0, 3), (2, 3, 5), (2, 0, 0)):
        yield vector(f"scaled-{('f16', 'bf16', 'f32')[kind]}-behind-{head}-{missing}", *scaled(kind, head, missing))
    yield vector("scaled-beyond-all-numbers", *scaled(0, 0, 2, grid=(60000.0, 1e-7, -0.0, 1e38), scale=1.0))
    payload, block = scaled(1, 1, 0)
    yield vector("period-of-scaled", b"\7" + mb.varint(len(block)) + payload, block * 2 + block[:9])
    payload, block = sparse(1, 1, False)
    yield vector("period-of-sparse", b"\7" + mb.varint(len(block)) + payload, block * 2 + block[:9])
    label, payload, block = next(records_by_hand())
    yield vector(f"period-of-records-{label}", b"\7" + mb.varint(len(block)) + payload, block * 2 + block[:1])


def records_by_hand() -> Iterator[tuple[str, bytes, bytes]]:
    """Label, payload and block."""
    # Fields of one, two and eight parts, and records that are not whole.
    fields = [mb.whole_bytes(0, 2), mb.Field(32, [mb.Part(6, 16, 4, 0, 2), mb.Part(2, 1, 1, 0, 8)])]
    block = bytes(range(1, 23)) * 30 + b"end"
    parts = mb.records_parts(block, 22, fields)
    values = [field.values(block[:660], 22) for field in fields]
    parts.values = [mb.words_parts(values[0], 16, [0x0201]).to_bytes(), squeezed(values[1])]
    yield ("of-words-and-leaf", parts.to_bytes(), block)
    scattered = mb.Field(1, [mb.Part((5 * i + 1) % 8, 1, 1, i) for i in range(8)])
    others = [mb.Field(1, [mb.Part((5 * i + 1 + k) % 8, 1, 1, i) for i in range(8)]) for k in range(1, 8)]
    block = bytes(range(8)) * 150
    parts = mb.records_parts(block, 8, [scattered, *others])
    parts.values = [squeezed(field.values(block, 8)) for field in parts.fields]
    yield ("of-eight-parts", parts.to_bytes(), block)
    block = bytes(range(250)) * 30
    parts = mb.records_parts(block, 3750, [mb.whole_bytes(0, 3750)])
    parts.values = [squeezed(block)]
    yield ("of-3750-bytes", parts.to_bytes(), block)
    parts = mb.records_parts(bytes(4 * 900), 4, [mb.Field(16, [mb.Part(0, 4, 2, 0, 4)])])
    above = bytes(0xFC | i % 4 for i in range(16 * 900))
    parts.values = [squeezed(above)]
    block = bytes([0, 0x55, 0xAA, 0xFF]) * 900
    yield ("with-bits-above", parts.to_bytes(), block)


DECIMALS = b"abc" + b"".join(struct.pack("<f", k / 1000) for k in range(-120, 120)) + b"de"
"""Floats of three digits behind the point, and bytes before and behind them."""


def decimals(
    base: int = 1, shift: int = 20, form: int = 3 << 1, place: int = 2, top: int = 0, behind: bytes = b""
) -> bytes:
    """The payload of `DECIMALS`. The numbers are those of a thousandth; `top` is or-ed into the first one."""
    zigzag = [(2 * abs(k) - (k < 0)) for k in range(-120, 120)]
    words = [zigzag[0] << 20 | top, *(z << 20 for z in zigzag[1:])]
    places = bytes([place]) * 240
    fixed = bytes([3, form, base, shift]) + b"abcde"
    return fixed + squeezed(places) + squeezed(b"".join(mb.u32(word) for word in words)) + behind


TOKENS = [b"token", b"", b"to", b"\xc4\xa0the", b"ken", b"", b"", b"x" * 255, b"ing"] * 12
"""Strings without a `!`, which ends them in the payloads."""


def listed(width: int, alone: bool = False) -> bytes:
    """Strings behind their lengths: two runs, with other bytes before, between and behind them; or one run alone."""
    run = b"".join(len(text).to_bytes(1 << width, "little") + text for text in TOKENS)
    return run if alone else b"be" + run + b"between" + run[: (1 << width) + 5] + b"behind"


def strings(
    width: int,
    alone: bool = False,
    terminator: bytes = b"!",
    runs: list[tuple[int, int]] | None = None,
    size: int | None = None,
    texts: bytes | None = None,
    others: bytes = b"bebetweenbehind",
) -> bytes:
    """The payload of `listed`."""
    known = [(0, len(TOKENS))] if alone else [(2, len(TOKENS)), (7, 1)]
    text = b"".join(token + b"!" for token in (TOKENS if alone else [*TOKENS, TOKENS[0]]))
    chosen = known if runs is None else runs
    fixed = bytes([4, width]) + terminator + mb.varint(len(chosen))
    fixed += b"".join(mb.varint(gap) + mb.varint(count) for gap, count in chosen)
    fixed += mb.varint(len(text) if size is None else size)
    return fixed + (b"" if alone else mb.leaf(others)) + squeezed(text if texts is None else texts)


def integers(width: int, signed: bool) -> list[int]:
    """The least and the greatest of so many bits, and what is between them."""
    bits = 8 << width
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return [low, high, 0, 1, 127, high // 3, low // 5, high - 1, *(high >> i for i in range(bits - 1))] * 5


def spelled(width: int, signed: bool) -> bytes:
    """The integers as varints, with bytes before and behind them."""
    return b"\xff\1" + b"".join(mb.varint(number % (1 << 64)) for number in integers(width, signed)) + b"\x80"


def varints(
    width: int, signed: bool, form: int | None = None, around: bytes = b"\2\1", count: int | None = None
) -> bytes:
    """The payload of `spelled`."""
    numbers = [number.to_bytes(1 << width, "little", signed=signed) for number in integers(width, signed)]
    fixed = bytes([5, width | signed << 2 if form is None else form]) + around + b"\xff\1\x80"
    return fixed + mb.varint(len(numbers) if count is None else count) + squeezed(b"".join(numbers))


STEPS = b"!" + b"".join(struct.pack("<h", 40 * i - i * i) for i in range(-100, 100))
"""Integers of 16 bits in order, up and down, and a byte before them."""


def steps(form: int = 1 | 1 << 2, shift: int = 3, low: int = 5, behind: bytes = b"") -> bytes:
    """The payload of `STEPS`; `low` is what stands in the bits that are shifted out."""
    differences = [39 - 2 * i for i in range(-100, 99)]
    words = [((2 * abs(d) - (d < 0)) << 3 | low) % (1 << 16) for d in differences]
    return bytes([6, form, shift]) + STEPS[:3] + squeezed(b"".join(struct.pack("<H", word) for word in words)) + behind


BITS = bytes((37 * i * i + 11 * i) % 256 for i in range(7)) * 43
"""Bytes that are read bit after bit."""


def bit_packed(bits: int, head: int, behind: bytes = b"", more: int = 0) -> bytes:
    """The payload of `BITS`; `more` is added to the first bits."""
    number = int.from_bytes(BITS, "little")
    count, left = divmod(8 * len(BITS) - head, bits)
    values = [number >> (head + bits * i) & ((1 << bits) - 1) for i in range(count)]
    # What stands above a value is of no account.
    values[0] |= 1 << bits
    first = bytes([(number & ((1 << head) - 1)) + more]) if head else b""
    last = bytes([number >> (8 * len(BITS) - left)]) if left else b""
    return bytes([8, bits, head]) + first + last + squeezed(bytes(values)) + behind


def sparse(
    width: int, head: int, signed: bool, others: int = 3, form: int = 0, behind: bytes = b"", **parts: bytes
) -> tuple[bytes, bytes]:
    """The payload of elements of which `others` in ten are others, and its block. Bytes that are named stand in place
    of those of `places`, `signs` or `others`."""
    size, word = 1 << width, bytes(range(0x11, 0x11 + (1 << width)))
    apart = [i * 7 % 10 < others for i in range(90)]
    minus = [i % 3 == 0 for i, other in enumerate(apart) if not other] if signed else []
    dense = [bytes((17 * (i % 5) + 31 * k + 5) % 256 for k in range(size)) for i in range(sum(apart))]
    top = [bytes([*word[:-1], word[-1] | 128 * sign]) for sign in minus] or [word] * (90 - sum(apart))
    left, right = iter(dense), iter(top)
    before, after = bytes(range(head)), bytes(range(100, 99 + size))
    block = before + b"".join(next(left) if other else next(right) for other in apart) + after
    leaves = {"places": bit_string(apart), "signs": bit_string(minus), "others": b"".join(dense)} | parts
    fixed = bytes([9, (width | head << 2 | signed << 5) + form]) + before + after + word
    return fixed + b"".join(squeezed(leaf) for leaf in leaves.values() if leaf) + behind, block


def scaled(
    kind: int,
    head: int = 0,
    missing: int = 0,
    *,
    grid: tuple[float, ...] = (-1.5, 0.0, 0.7, 1.0, -0.3),
    scale: float = 0.0123,
    form: int = 0,
    known: int | None = None,
    length: int = 7,
    behind: bytes = b"",
    **parts: bytes,
) -> tuple[bytes, bytes]:
    """The payload of 90 values of a grid times the scales of their groups, and its block. Bytes that are named stand in
    place of those of `grid`, `scales`, `codes` or `escaped`."""
    size = (2, 2, 4)[kind]
    codes = [255 if i % 29 == 7 else i * i % len(grid) for i in range(90)]
    of_group = length or 7
    groups = -(-(90 + missing) // of_group)
    scales = [struct.unpack("<f", struct.pack("<f", scale * (1 + g % 4)))[0] for g in range(groups)]
    values = [struct.unpack("<f", struct.pack("<f", value))[0] for value in grid]
    apart = [bytes((31 * k + i) % 256 for k in range(size)) for i in range(codes.count(255))]
    left = iter(apart)
    before, after = bytes(range(head)), bytes(range(100, 99 + size))
    floats = [
        next(left) if code == 255 else product(values[code], scales[(i + missing) // of_group], kind)
        for i, code in enumerate(codes)
    ]
    leaves = {
        "grid_bytes": struct.pack(f"<{len(grid)}f", *values),
        "scales": struct.pack(f"<{groups}f", *scales),
        "codes": bytes(codes),
        "escaped": b"".join(apart),
    } | parts
    fixed = bytes([10, (kind | head << 2) + form]) + before + after + mb.varint(length) + mb.varint(missing)
    fixed += bytes([len(grid) if known is None else known])
    payload = fixed + b"".join(squeezed(leaf) for leaf in leaves.values() if leaf) + behind
    return payload, before + b"".join(floats) + after


def product(value: float, scale: float, kind: int) -> bytes:
    """A value times a scale, as binary16, bfloat16 or binary32."""
    with np.errstate(over="ignore"):
        single = np.float32(value) * np.float32(scale)
        if kind == 1:
            return to_bf16(np.array([single])).tobytes()
        return np.array([single], np.float16 if kind == 0 else np.float32).tobytes()


def bit_string(bits: list[bool]) -> bytes:
    return bytes(sum(bit << i for i, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))


HALVES = b"".join(bytes([17 * (i % 3)] * (2 << i % 6)) for i in range(400)) + bytes(range(48))
"""Runs of three values, of 2 to 64 bytes."""


def words_of_halves(bits: int) -> bytes:
    """Words of which the most frequent one is in the codebook, and the others are passed down to half as many bits."""

    def node(data: bytes, bits: int) -> bytes:
        words = mb.read_bit_string(data, bits, 8 * len(data) // bits)
        if not words:
            return mb.leaf(data)
        book = list(range(16)) if bits == 4 else [max(words, key=words.count)]
        parts = mb.words_parts(data, bits, book, below=lambda rest: node(rest, bits // 2))
        parts.numbers = squeezed(mb.leaf_data(parts.numbers))
        return parts.to_bytes()

    return node(HALVES, bits)


def squeezed(data: bytes) -> bytes:
    """A leaf of Zstandard."""
    payload = zstandard.ZstdCompressor(level=19).compress(data)
    return mb.leaf(data, mb.ZSTD, payload) if len(payload) < len(data) else mb.leaf(data)


def read_word(block: bytes, bits: int) -> int:
    return int.from_bytes(block[: bits // 8], "little")


def drawn_words(bits: int, known: int, count: int, head: int, strange: int) -> tuple[bytes, list[int]]:
    """A block of words drawn from a book, of which one in `strange` is another one; and the book."""
    random = np.random.default_rng(bits + known)

    def word() -> int:
        return int.from_bytes(random.bytes(64), "little") >> (512 - bits)

    book: list[int] = []
    while len(book) < known:
        if (new := word()) not in book:
            book.append(new)
    words = [word() if strange and i % strange == 1 else book[int(random.integers(known))] for i in range(count)]
    whole = int.from_bytes(mb.bit_string(words, bits), "little") << head | word() % (1 << head)
    return whole.to_bytes((head + count * bits + 7) // 8, "little"), book


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
    yield gaps_by_engine()
    yield from lanes_by_engine()
    yield from modelled()
    yield from predicted()
    # Groups that are not alike choose among several codes of exact frequencies.
    yield from hierarchical_by_engine()
    # Groups that are not alike choose among several codes.
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


def gaps_by_engine() -> Vector:
    """Entries of an archive, with what stands before each of them."""
    arrays = np.random.default_rng(12).normal(0, 0.02, (40, 64)).astype(np.float32)
    buffer = io.BytesIO()
    np.savez(buffer, **{f"layer{i}.weight": array for i, array in enumerate(arrays)})
    blob = mmh.compress(buffer.getvalue(), threads=1)
    with mmh.open(blob) as archive:
        assert "prefix" in archive.header.codecs
    return "engine-prefix-npz", blob, buffer.getvalue()


def correlated(rows: int, columns: int) -> np.ndarray[Any, Any]:
    """A matrix of which columns have a few things in common, means, and scales of their own."""
    random = np.random.default_rng(rows)
    common = random.normal(0, 1, (rows, 4)) @ random.normal(0, 1, (4, columns))
    values = common + random.normal(0, 1, (rows, columns)) + random.normal(0, 1, columns)
    return values * 0.02 * 2.0 ** random.uniform(-2, 2, columns)


def predicted() -> Iterator[Vector]:
    """Matrices of correlated columns, as level 9 predicts them: with weights, with biases alone, in parts."""

    def vector(label: str, data: bytes, dtype: str) -> Vector:
        return f"engine-predicted-{label}", mmh.compress(data, dtype=dtype, level=9, threads=1), data

    weights = correlated(1500, 24).astype(np.float32)
    yield vector("bf16", np.ascontiguousarray(weights.view(np.uint16)[:, 1::2]).tobytes(), "BF16")
    yield vector("f16", weights.astype(np.float16).tobytes(), "F16")
    bits = weights.view(np.uint32)
    eight = (bits >> 24 & 0x80) | np.clip((bits >> 20 & 0x7FF).astype(int) - (116 << 3), 0, 126)
    yield vector("e4m3", eight.astype(np.uint8).tobytes(), "F8_E4M3")
    upcast = weights.copy()
    upcast.view(np.uint32)[:700] &= 0xFFFF0000
    yield vector("f32", upcast.tobytes(), "F32")
    # What stands before it ends within a row.
    yield vector("within-a-row", weights.tobytes()[4 * 17 :], "F32")
    yield vector("long-rows", correlated(40, 640).astype(np.float32).tobytes(), "F32")
    # Parts of which one is weights, and one nothing but zeros.
    block = (weights.tobytes() * 2)[:65536] + bytes(40000)
    first = payload_of(mmh.compress(block[:65536], dtype="F32", level=9, threads=1))
    second = mb.tensor_parts(bytes(40000), element_bits=32, t=8, modes=[mb.Constant(0)] * 4).to_bytes()
    payload = b"\x90" + len(first).to_bytes(4, "little") + len(second).to_bytes(4, "little") + first + second
    yield "hand-parts", mb.build([mb.tensor_frame(payload, block)]), block


def payload_of(blob: bytes) -> bytes:
    """The payload of the first frame."""
    at = blob.index(b"FR")
    stored = int.from_bytes(blob[at + 4 : at + 8], "little")
    return blob[at + 24 : at + 24 + stored]


def hierarchical_by_engine() -> Iterator[Vector]:
    """Records and words as our writer finds them."""
    random = np.random.default_rng(11)

    def vector(label: str, data: bytes, dtype: str | None, level: int | str = "balanced") -> Vector:
        name = f"engine-hierarchical-{label}"
        blob = mmh.compress(data, dtype=dtype, codec="hierarchical", level=level, threads=1)
        with mmh.open(blob) as archive:
            # A vector that is there stays as it is, whatever the engine would store today.
            assert is_there(name) or archive.header.codecs.keys() == {"hierarchical"}, label
        return name, blob, data

    for dtype in BLOCKS:
        data = bytes(random.integers(0, 256, 100 * mb.DTYPES[dtype][2] // 8, dtype=np.uint8) & 0x33)
        data = data[: len(data) // mb.DTYPES[dtype][2] * mb.DTYPES[dtype][2]]
        yield vector(f"{dtype.lower()}", data, dtype)
    levels = (np.arange(-8, 8) * 0.0123).astype(np.float32)
    drawn = random.choice(
        levels, 3000, p=np.exp(-(np.linspace(-2, 2, 16) ** 2)) / np.exp(-(np.linspace(-2, 2, 16) ** 2)).sum()
    )
    yield vector("palette-f32", drawn.tobytes(), "F32")
    bf16 = (drawn.view(np.uint32) >> 16).astype(np.uint16)
    yield vector("palette-bf16", bf16.tobytes(), "BF16")
    yield vector("palette-bf16-level-1", bf16.tobytes(), "BF16", 1)
    sparse = np.where(random.random(3000) < 0.9, 0, random.normal(0, 1, 3000)).astype(np.float32)
    yield vector("sparse-f32", sparse.tobytes(), "F32")
    pruned = random.normal(0, 1, 3000) * (random.random(3000) < 0.5)
    yield vector("pruned-f32", pruned.astype(np.float32).tobytes(), "F32")
    yield vector("pruned-f16", pruned.astype(np.float16).tobytes(), "F16")
    yield vector("pruned-f64", np.maximum(pruned, 0).tobytes(), "F64")
    added = np.where(np.tril(np.ones((100, 100), bool)), np.float32(0), np.float32(-np.inf))
    yield vector("mask-f32", added.tobytes(), "F32")
    for bits, known, count, head, strange in [
        (12, 40, 2000, 8, 0),
        (24, 60, 1500, 16, 0),
        (32, 300, 3000, 0, 0),
        (64, 40, 600, 0, 8),
        (96, 30, 400, 0, 0),
        (251, 16, 200, 0, 0),
        (512, 9, 120, 0, 0),
    ]:
        yield vector(f"words-of-{bits}", drawn_words(bits, known, count, head, strange)[0], "U8")
    printed = np.array([round(x, 4) for x in random.normal(0, 1, 1500)])
    yield vector("decimals-f32", printed.astype(np.float32).tobytes(), "F32")
    yield vector("decimals-f64", printed.tobytes(), "F64")
    tokens = [TOKENS[i] + b"%d" % (i * i % 97) for i in random.integers(0, 7, 900)]
    text = b"".join(mb.u64(len(token)) + token for token in tokens)
    halves = random.normal(0, 0.02, 900).astype(np.float16).view(np.uint16)
    small = np.rint(random.normal(0, 9, 900)).astype(np.int64)
    for label, data in {
        "strings": b"begin" + text + b"end",
        "varints-of-halves": b"".join(mb.varint(int(n)) for n in halves),
        "varints-of-i8": b"".join(mb.varint(int(n) % (1 << 64)) for n in small),
    }.items():
        yield vector(label, data, None)
    for bits in (3, 4, 5, 6, 7):
        codes = np.clip(np.rint(random.normal(0.5, 0.2, 40_000) * (1 << bits)), 0, (1 << bits) - 1).astype(np.uint8)
        stream = np.packbits((codes[:, None] >> np.arange(bits) & 1).astype(np.uint8), bitorder="little")
        yield vector(f"packed-u32-of-{bits}-bits", stream[: stream.size // 4 * 4].tobytes(), "U32")
    yield vector("steps-i64", np.arange(20_000, dtype=np.int64).tobytes(), "I64")
    yield vector("steps-i32", np.sort(random.integers(0, 1 << 30, 5000)).astype(np.int32).tobytes(), "I32")
    yield vector("period-of-steps-i64", np.resize(np.arange(512, dtype=np.int64), 8000).tobytes(), "I64")
    yield vector("period-f32", np.resize(random.normal(0, 0.02, 2000).astype(np.float32), 20_000).tobytes(), "F32")
    for label, values, dtype in expanded(random):
        yield vector(f"scaled-{label}", values.tobytes(), dtype)
    # A third of the words of 64 bits are four words of 16 bits, of another book.
    wide, narrow = drawn_words(64, 20, 600, 0, 0)[0], drawn_words(16, 40, 2400, 0, 0)[0]
    mixed = b"".join((narrow if i % 3 == 0 else wide)[8 * i : 8 * i + 8] for i in range(600))
    yield vector("words-64-to-16", mixed, "U8")


def expanded(random: np.random.Generator) -> Iterator[tuple[str, np.ndarray[Any, Any], str]]:
    """Weights that were quantized and expanded again: integers with one number that is none, 4-bit NormalFloat, FP8."""
    weights = random.normal(0, 0.02, (48, 64)).astype(np.float32)
    largest = np.abs(weights).max(1, keepdims=True)
    for bits, label in ((4, "f16"), (8, "f32")):
        scale = largest / np.float32(2 ** (bits - 1) - 1)
        integers = np.rint(weights / scale).astype(np.float32) * scale
        integers[17, 5] = 1e-3 * np.pi
        yield (f"int{bits}-{label}", integers.astype(np.float16 if label == "f16" else np.float32), label.upper())
    levels = np.array(NORMAL_FLOAT, np.float32)
    nearest = np.abs((weights / largest)[:, :, None] - levels).argmin(2)
    yield "nf4-bf16", to_bf16(levels[nearest] * largest), "BF16"
    # Three bits of the mantissa, from 2^-6 up; multiples of 2^-9 below.
    ratio = weights / largest * np.float32(448)
    step = np.float32(2) ** (np.floor(np.log2(np.maximum(np.abs(ratio), np.float32(2**-6)))) - 3)
    eight = np.rint(ratio / step) * step * (largest / np.float32(448))
    yield "fp8-bf16", to_bf16(eight.astype(np.float32)), "BF16"


def to_bf16(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Rounded to nearest, ties to even."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


NORMAL_FLOAT = [
    -1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.091050036, 0.0,
    0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0,
]  # fmt: skip


BLOCKS = [
    "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_K", "IQ4_NL", "IQ4_XS",
    "MXFP4", "NVFP4",
]  # fmt: skip


# The types of each conversion, in the order of their numbers, which begin at 1; the second is made by `cut`.
CONVERSIONS = (
    ("F32", "BF16"),
    ("F32", "BF16"),
    ("F32", "F16"),
    ("F16", "BF16"),
    ("BF16", "F16"),
    ("BF16", "F32"),
    ("F16", "F32"),
    ("F32", "F8_E4M3"),
    ("BF16", "F8_E4M3"),
    ("F16", "F8_E4M3"),
    ("F32", "F8_E5M2"),
    ("BF16", "F8_E5M2"),
    ("F16", "F8_E5M2"),
)


def cast(elements: bytes, source: str, target: str) -> bytes:
    """By libraries that others have written; numbers alone, as libraries differ in what they make of a NaN."""
    types: dict[str, Any] = {
        "F32": np.float32,
        "F16": np.float16,
        "BF16": ml_dtypes.bfloat16,
        "F8_E4M3": ml_dtypes.float8_e4m3fn,
        "F8_E5M2": ml_dtypes.float8_e5m2,
    }
    with np.errstate(all="ignore"):
        made: bytes = np.frombuffer(elements, types[source]).astype(np.float32).astype(types[target]).tobytes()
    return made


def numbers_to_cast(dtype: str) -> bytes:
    """Every number of 16 bits, and infinities; of 32 bits those about halfway between two narrower ones."""
    if dtype == "F32":
        tops = np.arange(0, 0x10000, 29, dtype=np.uint32) << 16
        bits = np.concatenate([tops | low for low in (0, 1, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001, 0xFFFF)])
        eights = np.arange(0x3A000000, 0x45000000, 0x80000, dtype=np.uint32)
        bits = np.concatenate([bits, eights, eights + 1, eights - 1])
        return bits[~np.isnan(bits.view(np.float32))].astype("<u4").tobytes()
    bits = np.arange(0x10000, dtype=np.uint16)
    values = bits.view(np.float16 if dtype == "F16" else ml_dtypes.bfloat16).astype(np.float32)
    return bits[~np.isnan(values)][::5].astype("<u2").tobytes()


def relatives_by_hand() -> Iterator[Vector]:
    """Blocks that stand for others of their file, from the page alone."""

    def file(label: str, frames: list[mb.Frame], **options: Any) -> Vector:
        return f"hand-{label}", mb.build(frames, **options), mb.restored_source(frames)

    yield file("relatives-flag-alone", [mb.store(b"abc")], flags=4)
    yield file("relative-before", [mb.relative(mb.varint(len(BF16)) + b"\0", BF16), mb.store(BF16)])
    # A part of two frames; and of a copy, which stands behind it.
    halves = [mb.store(BF16[:1000]), mb.store(BF16[1000:])]
    yield file("relative-of-a-part", [*halves, mb.relative(mb.varint(500) + b"\0", BF16[500:1500])])
    copied = [mb.store(BF16), mb.relative(mb.varint(2 * len(BF16)) + b"\0", BF16), mb.copy(0, len(BF16))]
    yield file("relative-of-a-copy", copied)
    relative = mb.relative(b"\0\0", BF16)
    yield file("copy-of-a-relative", [mb.store(BF16), relative, mb.copy(len(BF16), len(BF16))])
    flipped = bytes(byte ^ 1 for byte in BF16)
    yield file("relative-xor", [mb.store(BF16), mb.relative(b"\0\1\1\1", flipped)])
    for dtype in ("F32", "F16", "BF16"):
        root = numbers_to_cast(dtype)
        frames = [mb.store(root)]
        for number, (source, target) in enumerate(CONVERSIONS, start=1):
            if source == dtype:
                cut = np.frombuffer(root, "<u2")[1::2].tobytes() if number == 2 else cast(root, source, target)
                frames.append(mb.relative(b"\0" + bytes([number << 4]), cut))
        yield file(f"relative-{dtype.lower()}-converted", frames)
    # As much as may be lent: 16 times as much, and a run, which is not counted.
    zeros = mb.zstd(zstandard.ZstdCompressor().compress(bytes(1 << 13)), bytes(1 << 13))
    lent = mb.relative(mb.varint((1 << 13) - 256) + b"\0", bytes(256) + b"a" * 256)
    yield file("relative-of-much", [zeros, mb.pattern(b"a", 1 << 16), lent])
    # What is no number: the table of the page.
    nans = struct.pack("<4I", 0x7F800001, 0xFFC00000, 0x7FFFFFFF, 0xFF802000) * 64
    made = {
        1: struct.pack("<4H", 0x7FC0, 0xFFC0, 0x7FFF, 0xFFC0),
        2: struct.pack("<4H", 0x7F80, 0xFFC0, 0x7FFF, 0xFF80),
        3: struct.pack("<4H", 0x7E00, 0xFE00, 0x7FFF, 0xFE01),
        8: b"\x7f\xff\x7f\xff",
        11: b"\x7f\xff\x7f\xff",
    }
    frames = [mb.store(nans), *(mb.relative(b"\0" + bytes([n << 4]), block * 64) for n, block in made.items())]
    yield file("relative-nan-converted", frames)
    halves_of_nan = struct.pack("<3H", 0x7C01, 0xFE00, 0xFFFF) * 64
    wide = struct.pack("<3I", 0x7F802000, 0xFFC00000, 0xFFFFE000) * 64
    frames = [mb.store(halves_of_nan), mb.relative(b"\0" + bytes([7 << 4]), wide)]
    frames.append(mb.relative(b"\0" + bytes([4 << 4]), struct.pack("<3H", 0x7FC0, 0xFFC0, 0xFFFF) * 64))
    yield file("relative-f16-nan-converted", frames)


def relatives_by_engine() -> Iterator[Vector]:
    """Tensors that are alike, as our writer stores them."""
    random = np.random.default_rng(21)
    master = random.normal(0, 0.02, 5000).astype(np.float32)
    average = (master * (1 + random.normal(0, 1e-3, 5000))).astype(np.float32)
    single = master.tobytes()
    tensors = {
        "half": ("F16", cast(single, "F32", "F16")),
        "brain": ("BF16", cast(single, "F32", "BF16")),
        "cut": ("BF16", np.frombuffer(single, "<u2")[1::2].tobytes()),
        "eight": ("F8_E4M3", cast(single, "F32", "F8_E4M3")),
        "master": ("F32", single),
        "average": ("F32", average.tobytes()),
    }
    for level in (2, 5, 9):
        source = safetensors(tensors)
        yield f"engine-relatives-level-{level}", mmh.compress(source, level=level), source


def invalid_relatives() -> dict[str, bytes]:
    """Blocks that refer to what they must not."""
    root, n = mb.store(BF16), len(BF16)
    relative = mb.relative(b"\0\0", BF16)

    def behind(payload: bytes, restored: bytes = BF16, others: Sequence[mb.Frame] = ()) -> bytes:
        return mb.build([root, *others, mb.relative(payload, restored)])

    def zeros(count: int) -> mb.Frame:
        return mb.zstd(zstandard.ZstdCompressor().compress(bytes(count)), bytes(count))

    copied = mb.copy(n, n)
    return {
        "relative-without-flag": mb.build([root, relative], flags=0),
        "relative-beyond-the-end": behind(mb.varint(n + 1) + b"\0"),
        "relative-offset-overflow": behind(mb.varint(2**64 - 1) + b"\0"),
        "relative-of-itself": mb.build([mb.relative(b"\0\0", BF16)]),
        "relative-of-a-part-of-itself": behind(mb.varint(n - 2) + b"\0"),
        "relative-of-a-relative": behind(mb.varint(n) + b"\0", others=[relative]),
        "relative-of-a-copy-of-a-relative": behind(mb.varint(2 * n) + b"\0", others=[relative, copied]),
        "relative-mode": behind(b"\0\4"),
        "relative-conversion-14": behind(b"\0\xe0"),
        "relative-conversion-15": behind(b"\0\xf0"),
        "relative-converted-beyond-the-end": behind(mb.varint(4) + b"\x10", BF16),
        "relative-converted-odd": behind(b"\0\x10", BF16[:3]),
        "prefix-of-a-relative": mb.build([mb.relative(mb.varint(n) + b"\0", BF16), root, went_on(BF16, BF16[:500])]),
        "relative-within-a-relative": behind(b"\0\1\x09\0\0"),
        "relative-of-too-much": mb.build([zeros(1 << 13), mb.relative(b"\0\0", bytes(511))]),
        "relative-of-too-much-copied": mb.build(
            [zeros(1 << 13), mb.copy(0, 1 << 13), mb.relative(mb.varint(1 << 13) + b"\0", bytes(511))]
        ),
        "relative-of-more-than-a-block": mb.build(
            [mb.pattern(b"\0", 1 << 25), mb.relative(b"\0\x80", bytes((1 << 22) + 1))]
        ),
        "relative-of-too-many": mb.build([*[mb.store(b"a")] * 10, mb.relative(b"\0\0", b"a" * 10)]),
    }


def invalid() -> Iterator[tuple[str, bytes, str]]:
    """Name, `.mmh`, kind of the refusal: one lie each, with all hashes around it right."""
    abc = mb.store(b"abcd")
    good = mb.build([abc], [mb.Tensor("t", "U8", [4])])
    yield "nothing", b"", "not-mmh"
    yield "other-magic", b"\x89PNG\r\n\x1a\n" + good[8:], "not-mmh"
    yield "newer-version", mb.build(version=1), "unsupported"
    yield "unknown-codec-99", mb.build([mb.Frame(99, b"a", 1, b"a")]), "unsupported"
    corrupt = {
        "header-check": mb.build(header_check=1),
        "reserved-flags-8": mb.build(flags=8),
        "base-flag-without-record": mb.build(flags=2),
        "delta-without-record": mb.build([mb.delta(b"\0\0", b"abcd")]),
        **invalid_relatives(),
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
        "copy-of-a-copied-frame": mb.build([abc, mb.copy(0, 4), mb.copy(4, 4)]),
        "copy-from-within-a-frame": mb.build([abc, mb.copy(1, 3)]),
        "copy-to-within-a-frame": mb.build([abc, abc, mb.copy(0, 7)]),
        "copy-of-the-future": mb.build([mb.copy(0, 1), abc], source_len=5),
        "frames-overlap": mb.build([abc, abc], frame_table=[(mb.STORE, 4, 4), (mb.STORE, 4, 3)], source_len=8),
        "frames-of-2-to-the-64": mb.build(
            [mb.pattern(b"x", 4)] * 2, frame_table=[(mb.PATTERN251, 2**63, 1)] * 2, source_len=2**64 - 1
        ),
        "prefix-first": mb.build([went_on(b"", b"abc" * 9)]),
        "prefix-of-a-pattern": mb.build([mb.pattern(b"abc", 90), went_on(b"abc" * 30, b"abcd" * 9)]),
        "prefix-of-a-prefix": mb.build([went_on(b"", b"abc" * 9), went_on(b"abc" * 9, b"abcd" * 9)]),
        "prefix-of-a-dictionary": mb.build(
            [mb.store(b"\x37\xa4\x30\xec" + b"abcd" * 9), went_on(b"\x37\xa4\x30\xec" + b"abcd" * 9, b"abcd" * 9)]
        ),
        "prefix-of-other-bytes": mb.build([mb.store(b"abce" * 9), went_on(b"abcd" * 9, b"abcd" * 9)]),
        "prefix-cut-off": mb.build([mb.store(b"abcd" * 9), went_on(b"", b"abcd" * 9, b"\x28\xb5\x2f\xfd")]),
        "prefix-after": mb.build([mb.store(b"abcd" * 9), went_on(b"abcd" * 9, b"abcd" * 9, behind=b"\0")]),
        "pattern-empty": mb.build([mb.Frame(mb.PATTERN251, b"", 5, bytes(5))]),
        "index-compressed-size": mb.build([abc], pack=lambda index: packed(index, len(index) + 1)),
        "index-compressed-and-more": mb.build([abc], pack=lambda index: packed(index) + b"\0"),
        "index-compressed-too-much": mb.build([abc], pack=lambda index: packed(index + bytes(50_000))),
        "index-compressed-twice": mb.build([abc], pack=lambda index: packed(packed(index))),
        "index-compressed-noise": mb.build([abc], pack=lambda index: b"IZ\x04abcd"),
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
    for name, data in invalid_predicted():
        yield f"predicted-{name}", data, "corrupt"

    for name, data in invalid_nodes():
        yield f"hierarchical-{name}", data, "corrupt"


def invalid_nodes() -> Iterator[tuple[str, bytes]]:
    """Lies of hierarchical payloads."""
    block, book = drawn_words(12, 20, 403, 10, 10)

    def framed(payload: bytes, block: bytes = block) -> bytes:
        assert len(payload) <= len(block)
        return mb.build([mb.hierarchical_frame(payload, block)])

    def words(**changes: Any) -> bytes:
        return framed(replace(mb.words_parts(block, 12, book, 10), **changes).to_bytes())

    good = mb.words_parts(block, 12, book, 10)
    numbers = mb.leaf_data(good.numbers)
    yield "kind", framed(b"\4" + good.to_bytes()[1:])
    yield "empty", framed(b"")
    yield "after", framed(good.to_bytes() + b"\0")
    yield "cut-off", framed(good.to_bytes()[:-1])
    yield "word-bits-3", words(bits=3, book=b"")
    yield "word-bits-513", words(bits=513, book=good.book_bytes())
    yield "word-head", words(head=12)
    yield "word-none-in-the-book", words(known=0)
    yield "word-book-too-large", words(known=404)
    yield "word-flags", words(flags=3)
    yield "word-flag-missing", words(flags=0)
    yield "word-flag-without-words", words(numbers=mb.leaf(bytes(n % 20 for n in numbers)))
    yield "word-number", words(numbers=mb.leaf(numbers[:-1] + bytes([21])))
    yield "word-first-bits", words(first=good.first[:-1] + bytes([good.first[-1] | 0x80]))
    yield "word-last-bits", words(last=good.last[:-1] + bytes([good.last[-1] | 0x80]))
    odd = replace(mb.words_parts(block[:-1], 12, book[:19], 10))
    yield (
        "word-book-bits",
        framed(replace(odd, book=odd.book_bytes()[:-1] + bytes([odd.book_bytes()[-1] | 0x80])).to_bytes(), block[:-1]),
    )
    passed = mb.leaf_data(good.below)
    assert numbers.count(20) % 2 == 1, "no unused bits"
    yield "word-bits-passed-down", words(below=mb.leaf(passed[:-1] + bytes([passed[-1] | 0x80])))
    yield "word-numbers-in-words", words(numbers=b"\2\4\0\1\0")
    yield "word-numbers-in-records", words(numbers=b"\1")
    yield "word-numbers-in-decimals", words(numbers=b"\3")
    yield "word-passed-down-to-decimals", words(below=b"\3" + good.below[1:])
    yield "word-passed-down-to-records", words(below=b"\1" + good.below[1:])
    many = bytes(4000)
    fields = [mb.Field(1, [mb.Part(0, 1, 2, shift, 1)]) for shift in (0, 2, 4, 6)]
    each = replace(mb.words_parts(many, 4, [0]), numbers=squeezed(bytes(8000))).to_bytes()
    records = replace(mb.records_parts(many, 1, fields), values=[each] * 4)
    yield "nodes-of-12-times-the-block", framed(records.to_bytes(), many)
    yield "word-passed-down-to-7-bits", words(below=mb.words_parts(passed, 7, [0]).to_bytes())
    zeros = bytes(100)
    parts = replace(mb.words_parts(zeros, 4, [*range(16), 0]), numbers=squeezed(bytes(200)))
    yield "word-more-than-there-are", framed(parts.to_bytes(), zeros)
    for label, numbers_leaf in {
        "codec": mb.leaf(numbers, codec=mb.HIERARCHICAL),
        "run": mb.leaf(numbers, codec=mb.PATTERN251),
        "unknown-codec": mb.leaf(numbers, codec=255),
        "delta": mb.leaf(numbers, codec=6),
        "prefix": mb.leaf(numbers, codec=8),
        "codec-9": mb.leaf(numbers, codec=9),
        "empty": mb.leaf(numbers, size=0),
        "larger-than-its-bytes": mb.leaf(numbers + b"\0"),
        "smaller-than-its-bytes": mb.leaf(numbers[:-1]),
        "size": mb.leaf(numbers, size=2**60),
        "bytes": mb.leaf(numbers, mb.ZSTD, zstandard.ZstdCompressor().compress(bytes(400))),
    }.items():
        yield f"leaf-{label}", words(numbers=numbers_leaf)
    wide, book = drawn_words(32, 300, 2000, 0, 0)
    parts = mb.words_parts(wide, 32, book)
    plane = mb.leaf_data(parts.numbers)
    lie = bytes([plane[0] | 1]) + plane[1:]
    yield "word-wide-number-bits", framed(replace(parts, numbers=mb.leaf(lie)).to_bytes(), wide)
    lie = mb.u16(300 << 7) + plane[2:]
    yield "word-wide-number", framed(replace(parts, numbers=mb.leaf(lie)).to_bytes(), wide)
    for name, payload in invalid_records():
        yield f"record-{name}", framed(payload, RECORDS)
    for name, payload in invalid_decimals():
        yield f"decimals-{name}", framed(payload, DECIMALS)
    for name, payload in {
        "width": b"\4\4" + strings(2)[2:],
        "no-runs": strings(2, runs=[]),
        "gap": strings(2, runs=[(3, len(TOKENS)), (7, 1)]),
        "gap-of-others": strings(2, runs=[(2, len(TOKENS)), (9, 1)], others=b"bebetweenbehin"),
        "count": strings(2, runs=[(2, len(TOKENS) - 1), (7, 1)]),
        "none-in-a-run": strings(2, runs=[(2, len(TOKENS) + 1), (7, 0)]),
        "size": strings(2, size=1 << 40),
        "size-below-the-count": strings(2, size=100),
        "terminator": strings(2, terminator=b"?"),
        "text-behind": strings(2, texts=b"".join(token + b"!" for token in TOKENS) + b"!token"),
        "others": strings(2, others=b"bebetweenbehin"),
        "after": strings(2) + b"\0",
    }.items():
        yield f"strings-{name}", framed(payload, listed(2))
    yield "strings-too-many-runs", framed(strings(2, runs=[(0, 1)] * 4097), bytes(20_000))
    yield "strings-too-long-for-a-byte", framed(long_string(), b"\0" * 300)
    for name, payload in {
        "form": varints(1, True, form=8),
        "around": varints(1, True, around=b"\xff\xff"),
        "none": varints(1, True, count=0),
        "count": varints(1, True, count=1 << 40),
        "of-another-sign": varints(1, False, form=5),
        "too-many": varints(1, True, around=b"\1\1"),
        "after": varints(1, True) + b"\0",
    }.items():
        yield f"varints-{name}", framed(payload, spelled(1, name != "of-another-sign"))
    size = mb.varint(len(STEPS))
    for name, payload in {
        "0": b"\7\0" + mb.leaf(b"!"),
        "too-long": b"\7" + mb.varint(5 * len(STEPS) + 1) + steps(),
        "of-a-period": b"\7" + size + b"\7" + size + steps(),
        "in-steps": b"\7" + size + steps()[:6] + b"\7",
        "cut-off": b"\7" + size,
        "after": b"\7" + size + steps() + b"\0",
        "in-words": b"\2\x08\0\1\0!\7",
    }.items():
        yield f"period-{name}", framed(payload, STEPS * 5)
    for name, payload in {
        "1-bit": b"\x08\1\0" + squeezed(bytes(8 * len(BITS))),
        "8-bits": b"\x08\x08\0" + squeezed(bytes(len(BITS))),
        "head": b"\x08\3\3" + bit_packed(3, 2)[3:],
        "first-bits": bit_packed(5, 1, more=2),
        "last-bits": b"\x08\7\1\0\x80" + squeezed(bytes(8 * len(BITS) // 7)),
        "left-over": bit_packed(6, 0, behind=b"!"),
        "cut-off": bit_packed(6, 0)[:-1],
        "of-words": b"\x08\6\0" + b"\2\4\0\1\0",
        "in-packed": b"\x08\6\0" + b"\x08",
        "in-records": b"\1\1\1" + bytes([1, 0, 1, 0, 0, 1, 0, 8, 0, 1]) + b"\x08",
    }.items():
        yield f"packed-{name}", framed(payload, BITS)
    sound, block = sparse(1, 1, True)
    for name, payload in {
        "form": sparse(1, 1, True, form=64)[0],
        "head": sparse(1, 1, True, form=4)[0],
        "head-beyond": b"\x09\x1f",
        "bits-behind": sparse(1, 1, True, places=bytes(11) + b"\4")[0],
        "places": sparse(1, 1, True, places=b"\0" * 12)[0],
        "signs-behind": sparse(1, 1, True, signs=bytes(7) + b"\x80")[0],
        "too-few": sparse(1, 1, True, others=2, places=bytes(11))[0],
        "left-over": sound + b"!",
        "cut-off": sound[:-1],
        "of-words": sound[:6] + b"\2\4\0\1\0",
        "in-sparse": sound[:6] + b"\x09",
        "in-records": b"\1\1\1" + bytes([1, 0, 1, 0, 0, 1, 0, 8, 0, 1]) + b"\x09",
    }.items():
        yield f"sparse-{name}", framed(payload, block[:3] if name == "head-beyond" else block)
    sound, block = scaled(1, 1, 2)
    infinite = struct.pack("<f", math.inf)
    for name, payload in {
        "type": scaled(1, 1, 2, form=2)[0],
        "head": scaled(1, 1, 2, form=4)[0],
        "head-beyond": b"\x0a\x0e",
        "length": scaled(1, 1, 0, length=0)[0],
        "missing": scaled(1, 1, 7)[0],
        "no-values": scaled(1, 1, 2, known=0)[0],
        "value": scaled(1, 1, 2, grid_bytes=infinite * 5)[0],
        "scale": scaled(1, 1, 2, scales=bytes(48) + infinite + bytes(4))[0],
        "scales": scaled(1, 1, 2, scales=bytes(13 * 4))[0],
        "code": scaled(1, 1, 2, codes=bytes([5]) * 90)[0],
        "too-few": scaled(1, 1, 2, escaped=bytes(4))[0],
        "left-over": sound + b"!",
        "cut-off": sound[:-1],
        "of-words": sound[:7] + b"\2\4\0\1\0",
        "in-scaled": sound[:7] + b"\x0a",
        "in-records": b"\1\1\1" + bytes([1, 0, 1, 0, 0, 1, 0, 8, 0, 1]) + b"\x0a",
    }.items():
        yield f"scaled-{name}", framed(payload, block[:2] if name == "head-beyond" else block)
    for name, payload in invalid_steps():
        yield f"steps-{name}", framed(payload, STEPS[:5] if name == "none" else STEPS)
    fixed = bytes([3, 1, 0, 0]) + squeezed(bytes(99) + b"\xff")
    numbers = squeezed(bytes(792) + mb.u64(1 << 54))
    yield "decimals-number-of-55-bits", framed(fixed + numbers + mb.leaf(bytes(8)), bytes(800))


def long_string() -> bytes:
    """One string of 299 bytes behind a length of one byte."""
    return b"\4\0!\1\0\1" + mb.varint(300) + squeezed(b"\0" * 299 + b"!")


RECORDS = bytes(range(1, 23)) * 60 + b"end"


def invalid_records() -> Iterator[tuple[str, bytes]]:
    """Lies of records, as payloads of `RECORDS`."""
    low, high, scale = mb.Part(6, 16, 4, 0, 2), mb.Part(2, 1, 1, 0, 8), mb.whole_bytes(0, 2)

    def records(fields: list[mb.Field], **changes: Any) -> bytes:
        parts = mb.records_parts(RECORDS, 22, [scale, mb.Field(32, [low, high])])
        parts.values = [squeezed(mb.leaf_data(values)) for values in parts.values]
        return replace(parts, **({"fields": [scale, *fields]} | changes)).to_bytes()

    def field(count: int = 32, part: mb.Part = low, **changes: Any) -> bytes:
        return records([mb.Field(count, [replace(part, **changes), high])])

    good = [mb.Field(32, [low, high])]
    yield "size-0", records(good, size=0)
    yield "size-4097", records(good, size=4097)
    yield "larger-than-the-block", records(good, size=len(RECORDS) + 1)
    yield "no-field", records(good, field_count=0)
    yield "65-fields", records(good, field_count=65)
    yield "bits-left", records([])
    yield "bits-twice", records([*good, mb.whole_bytes(0, 1)])
    yield "no-part", records([mb.Field(32, [low, high], part_count=0)])
    yield "9-parts", records([mb.Field(32, [low, high], part_count=9)])
    yield "no-value", field(0)
    yield "values", field(33)
    yield "values-too-many", field(64)
    yield "offset", field(offset=65535)
    yield "span-0", field(span=0)
    yield "bits-0", field(bits=0)
    yield "bits-5", field(bits=5)
    yield "shift", field(shift=1)
    yield "repeats-0", field(repeats=0)
    nine = [mb.Field(4, [mb.Part(2, 4, 8), mb.Part(6, 4, 1)]), mb.Field(4, [mb.Part(6, 4, 7, 1)])]
    yield "values-of-9-bits", records([*nine, mb.whole_bytes(10, 12)])
    ones = [mb.Field(32, [high]), mb.Field(32, [low])]
    yield "values-of-1-bit", records(ones)
    yield "records", records(good, values=[b"\1" + squeezed(RECORDS)])
    yield "value-missing", records(good, values=[])


def invalid_decimals() -> Iterator[tuple[str, bytes]]:
    """Lies of decimals, as payloads of `DECIMALS`."""
    yield "head", decimals(form=4 << 1)
    yield "head-too-long", decimals(form=127 << 1)
    yield "base", decimals(base=23)
    yield "shift", decimals(shift=32)
    yield "places", decimals(place=22)
    yield "places-254", decimals(place=254)
    yield "escaped-missing", decimals(place=255)
    yield "escaped-left", decimals(behind=mb.leaf(bytes(4)))
    yield "cut-off", decimals()[:-1]
    for name, change in {"words": b"\2\4\0\1\0", "records": b"\1", "decimals": b"\3"}.items():
        yield f"places-in-{name}", decimals()[:9] + change


def invalid_steps() -> Iterator[tuple[str, bytes]]:
    """Lies of steps, as payloads of `STEPS`."""
    yield "head", steps(form=1 | 2 << 2)
    yield "shift", steps(shift=16)
    yield "left-over", steps(behind=b"!")
    yield "cut-off", steps()[:-1]
    for name, change in {"words": b"\2\4\0\1\0", "decimals": b"\3", "steps": b"\6"}.items():
        yield f"in-{name}", steps()[:6] + change
    yield "none", bytes([6, 3 | 2 << 2, 0]) + STEPS[:2]


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

    stream = mb.tensor_parts(block, element_bits=8, t=8, modes=[mb.Exact([code])]).groups[0][-1]

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


def invalid_predicted() -> Iterator[tuple[str, bytes]]:
    """Lies of predictors, and of parts."""
    block = np.ascontiguousarray(correlated(1500, 24).astype(np.float32).view(np.uint16)[:, 1::2]).tobytes()
    payload = payload_of(mmh.compress(block, dtype="BF16", level=9, threads=1))
    # Behind seven bytes of the split: the mode, the form, origin, start, the row.
    assert payload[7] == 6 and payload[8] & 0x88 == 0x88 and payload[12] == 24

    def changed(at: int, to: int, of: bytes = payload) -> bytes:
        return mb.build([mb.tensor_frame(of[:at] + bytes([to]) + of[at + 1 :], block)])

    yield "column-none", changed(7, 7, of=payload[:13] + b"\0" + payload[13:])
    yield "column-behind-the-row", changed(7, 7, of=payload[:13] + b"\x18" + payload[13:])
    yield "no-sign", changed(0, payload[0] & ~4)
    yield "drop", changed(2, 16 - payload[1])
    yield "no-row", changed(12, 0)
    yield "weights-without-columns", changed(8, payload[8] & ~8)
    yield "no-weights", changed(8, payload[8] & ~0x80)
    yield "mantissa", changed(8, payload[8] ^ 3)
    yield "word-missing", mb.build([mb.tensor_frame(payload[:-2], block)])
    sizes = len(payload).to_bytes(4, "little")
    for name, lie in {
        "small": b"\x8f" + sizes + payload,
        "large": b"\x98" + sizes + payload,
        "one": b"\x91" + sizes + payload,
        "sizes": b"\x90" + sizes,
        "in-parts": b"\x90" + 2 * (13).to_bytes(4, "little") + 2 * (b"\x90" + bytes(12)),
    }.items():
        yield f"parts-{name}", mb.build([mb.tensor_frame(lie, block)])


BASE = b"head" + BF16 + b"tail"
"""What the vectors with differences were compressed against."""


def bf16_steps(block: bytes, steps: Sequence[int]) -> bytes:
    """Elements some steps away from those of a block, none of them across zero."""
    moved = np.frombuffer(block, np.uint16) + np.asarray(steps).astype(np.uint16)
    return moved.astype(np.uint16).tobytes()


def against_base_by_hand() -> Iterator[AgainstBase]:
    """Differences in every mode, from the page alone."""

    def file(label: str, frames: list[mb.Frame], base: bytes = BASE, name: str = "base.bin") -> AgainstBase:
        return f"hand-{label}", mb.build(frames, record=mb.base_record(base, name)), mb.restored_source(frames), base

    yield file("base-not-used", [mb.store(b"abc")], name="größe.bin")
    yield file("delta-copy", [mb.delta(mb.varint(4) + b"\0", BF16), mb.delta(mb.varint(len(BASE) - 3) + b"\0", b"ail")])
    flipped = bytes(byte ^ 1 for byte in BF16)
    yield file("delta-xor-and-copy", [mb.delta(mb.varint(4) + b"\1\1\1", flipped), mb.copy(0, len(flipped))])
    # The example of the page: one element, and both values of its extra bit.
    one = bytes([0x80, 0x3F])
    form = bytes([1 | 4, 4, 0, 7, 8])
    frames = []
    for bit, value in ((0, 0x3F93), (1, 0x3F6C)):
        # A payload is no longer than its block, so the block is many such elements.
        count = 64
        payload = b"\0\2" + form + bytes([12]) + b"\2\1\x23" + bytes([255 * bit]) * (count // 8)
        frames.append(mb.delta(payload, count * mb.u16(value)))
    yield file("delta-example", frames, base=one * 64)
    # Two elements of 600, the gaps 3 and 300, each two steps up; a head and a tail of one byte.
    block = bytearray(BASE[4 + 1 : 4 + 1 + 1202])
    block[0], block[-1] = 0, 255
    for i in (3, 304):
        at = 1 + 2 * i
        block[at : at + 2] = mb.u16(int.from_bytes(block[at : at + 2], "little") + 2 & 0xFFFF)
    sparse = b"\3" + bytes([1 | 1 << 3, 4, 0, 0, 0]) + b"\0\xff" + b"\2\3\x0c" + b"\4\0\3\xff\x2d"
    sparse += b"\x0c\2\1\4"
    yield file("delta-sparse", [mb.delta(mb.varint(5) + sparse, bytes(block))])
    wide = np.random.default_rng(22).normal(0, 0.02, 300).astype(np.float32).tobytes()
    narrow = cast(wide, "F32", "BF16")
    frames = [mb.delta(b"\0\x10", narrow), mb.delta(b"\4\x11\1\1", bytes(byte ^ 1 for byte in narrow[2:]))]
    yield file("delta-converted", frames, base=wide)


def against_base_by_engine() -> Iterator[AgainstBase]:
    """Fine-tunes, as our writer stores them."""
    random = np.random.default_rng(12)
    steps = np.where(random.random(3000) < 0.5, 0, random.integers(-300, 300, 3000))
    floats = random.normal(0, 0.02, 1500).astype(np.float32)
    tuned = floats + random.normal(0, 1e-5, 1500).astype(np.float32)
    few = np.frombuffer(BF16, np.uint16).copy()
    few[::97] += 1
    integers = random.integers(0, 1 << 40, 600)
    cases: dict[str, tuple[bytes, bytes, str]] = {
        "bf16": (BF16, bf16_steps(BF16, steps.tolist()), "BF16"),
        "bf16-sparse": (BF16, few.tobytes(), "BF16"),
        "f32": (floats.tobytes(), tuned.astype(np.float32).tobytes(), "F32"),
        "f64": (floats.astype(np.float64).tobytes(), tuned.astype(np.float64).tobytes(), "F64"),
        "i64": (integers.tobytes(), (integers + random.integers(-9, 9, 600)).tobytes(), "I64"),
    }
    single = floats.tobytes()
    brain = cast(single, "F32", "BF16")
    for label, (was, became) in {
        "bf16-of-f32": (("F32", single), ("BF16", brain)),
        "f32-of-bf16": (("BF16", brain), ("F32", single)),
        "fp8-of-f16": (("F16", cast(single, "F32", "F16")), ("F8_E5M2", cast(single, "F32", "F8_E5M2"))),
    }.items():
        before, after = safetensors({"w": was}), safetensors({"w": became})
        yield f"engine-delta-{label}", compressed_against(before, after, 5), after, before
    for label, (base, source, dtype) in cases.items():
        for level in (5, 9):
            before, after = (safetensors({"w": (dtype, data)}) for data in (base, source))
            yield f"engine-delta-{label}-level-{level}", compressed_against(before, after, level), after, before


def safetensors(tensors: dict[str, tuple[str, bytes]]) -> bytes:
    """A file of tensors along one axis."""
    header, at = {}, 0
    for name, (dtype, data) in tensors.items():
        count = len(data) * mb.DTYPES[dtype][1] // mb.DTYPES[dtype][2]
        header[name] = {"dtype": dtype, "shape": [count], "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    return mb.u64(len(text)) + text + b"".join(data for _, data in tensors.values())


def compressed_against(base: bytes, source: bytes, level: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("base.safetensors", "tuned.safetensors", "tuned.mmh")]
        paths[0].write_bytes(base)
        paths[1].write_bytes(source)
        mmh.compress_file(paths[1], paths[2], base=paths[0], level=level, threads=1)
        return paths[2].read_bytes()


def invalid_against_base() -> Iterator[tuple[str, bytes, str]]:
    """Lies about a base, which is `BASE`, and in payloads."""
    copied = mb.delta(b"\4\0", BF16)
    records = {
        "sync": mb.base_record(BASE, sync=b"SB"),
        "check": mb.base_record(BASE, check=7),
        "name-size": mb.base_record(BASE, name_size=1025),
        "name-cut-off": mb.base_record(BASE, name_size=300),
        "name": mb.base_record(BASE, "../up"),
        "name-no-text": mb.base_record(BASE, b"\xff"),
    }
    for name, record in records.items():
        yield f"base-{name}", mb.build([copied], record=record), "corrupt"
    yield "base-other-length", mb.build([copied], record=mb.base_record(BASE, length=len(BASE) + 1)), "no-base"
    yield "base-other-hash", mb.build([copied], record=mb.base_record(BASE, digest=bytes(32))), "no-base"
    form = bytes([1 | 4, 4, 0, 7, 8])
    zeros = b"\x0c\2\1\0"
    one = b"\4\3" + form
    n = len(BF16) // 2
    payloads = {
        "offset": mb.varint(len(BASE) - len(BF16) + 1) + b"\0",
        "offset-overflow": mb.varint(2**64 - 1) + b"\0",
        "no-mode": b"\4",
        "mode": b"\4\4",
        "copy-bytes-left": b"\4\0\0",
        "no-codec": b"\4\1",
        "within-itself": b"\4\1\6\4\0",
        "copy-within": b"\4\1\7" + bytes(8),
        "prefix-within": b"\4\1\x08" + bytes(8),
        "unknown-within": b"\4\1\x09" + bytes(8),
        "conversion-14": b"\4\xe0",
        "converted-beyond-the-end": b"\x09\x10",
        "reserved-form": b"\4\2" + bytes([form[0] | 64]) + form[1:] + zeros,
        "k": b"\4\2" + bytes([5, 8, 0, 7, 8]) + zeros,
        "drop": b"\4\2" + bytes([5, 4, 16, 7, 8]) + zeros,
        "class-bits": b"\4\2" + bytes([5, 4, 0, 0, 9]) + zeros,
        "class-shift": b"\4\2" + bytes([5, 4, 0, 9, 8]) + zeros,
        "parts-too-small": b"\4\2" + form + b"\x0b\2\1\0",
        "parts-too-large": b"\4\2" + form + b"\x19\2\1\0",
        "part-size": b"\4\2" + form + b"\x0c\3\1\0",
        "symbol": b"\4\2" + form + b"\x0c\2\1\xd0",
        "extra-bits-missing": b"\4\2" + form + b"\x0c\2\1\x20",
        "extra-bits-left": b"\4\2" + form + zeros + b"\0",
        "too-many-changed": one + mb.varint(n + 1) + b"\1\x0c\2\1\0" + zeros,
        "too-many-gaps": one + b"\1" + mb.varint(2 + n // 255) + b"\x0c\2\1\0" + zeros,
        "gaps-and-count": one + b"\1\2\x0c\2\1\0" + zeros,
        "gap-not-ended": one + b"\0\1\x0c\2\1\xff\x0c",
        "gap-too-far": one
        + b"\1"
        + mb.varint(1 + n // 255)
        + b"\x0c"
        + mb.varint(2 + n // 255)
        + b"\0"
        + b"\xff" * (n // 255)
        + bytes([n % 255])
        + zeros,
    }
    for name, payload in payloads.items():
        yield f"delta-{name}", mb.build([mb.delta(payload, BF16)], record=mb.base_record(BASE)), "corrupt"


def protected() -> Iterator[Vector]:
    """Files with parity."""
    for label, source, percent in (
        ("bf16", mmh.compress(BF16, dtype="BF16"), 5),
        ("small", mb.build([mb.store(b"abc")]), 100),
        ("empty", mb.build([]), 1),
    ):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "file.mmh")
            path.write_bytes(source)
            mmh.protect(path, percent=percent)
            yield f"parity-{label}", path.read_bytes(), mmh.decompress(source)


def invalid_parity() -> Iterator[tuple[str, bytes, str]]:
    """A trailer that lies, or that is damaged."""
    [(_, good, _)] = [vector for vector in protected() if vector[0] == "parity-small"]
    trailer = good[-96:]
    yield "parity-longer-than-it-says", good[:-96] + b"\0" + trailer, "corrupt"
    yield "parity-shorter-than-it-says", good[:-97] + trailer, "corrupt"
    yield "parity-damaged-trailer", good[:-1] + bytes([good[-1] ^ 1]), "corrupt"
    # The end is cut off, so that a recovery shard ends the file.
    yield "parity-without-trailer", good[:-96], "corrupt"


def write_new(path: Path, data: bytes) -> None:
    if len(data) >= 1 << 18:
        raise SystemExit(f"{path.name} is too large: {len(data)} bytes, at most 256 KiB")
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        print(path.relative_to(HERE))


def is_there(name: str) -> bool:
    return (HERE / "valid" / f"{name}.mmh").exists()


def list_new() -> None:
    """Lists what is new among what has to stay; tests/test_vectors_kept.py says how a vector is retired."""
    ledger = HERE / "KEPT.json"
    listed: dict[str, dict[str, str]] = json.loads(ledger.read_text())
    for path in sorted(path for kind in ("valid", "invalid") for path in (HERE / kind).iterdir()):
        if path.suffix != ".json":
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            listed["kept"].setdefault(str(path.relative_to(HERE)), digest)
    listed["kept"] = dict(sorted(listed["kept"].items()))
    ledger.write_text(json.dumps(listed, indent=1) + "\n")


def main() -> None:
    for name, data, source in (*by_hand(), *by_engine(), *relatives_by_engine(), *protected()):
        if not is_there(name):
            target = HERE / "valid" / f"{name}.mmh"
            write_new(target, data)
            write_new(target.with_name(f"{name}.source.bin"), source)
    for name, data, source, base in (*against_base_by_hand(), *against_base_by_engine()):
        if not is_there(name):
            target = HERE / "valid" / f"{name}.mmh"
            write_new(target, data)
            write_new(target.with_name(f"{name}.source.bin"), source)
            write_new(target.with_name(f"{name}.base.bin"), base)
    expected = HERE / "invalid" / "EXPECTED.json"
    kinds: dict[str, str] = json.loads(expected.read_text()) if expected.exists() else {}
    for name, data, kind in (*invalid(), *invalid_parity()):
        write_new(HERE / "invalid" / f"{name}.mmh", data)
        kinds.setdefault(name, kind)
    for name, data, kind in invalid_against_base():
        write_new(HERE / "invalid" / f"{name}.mmh", data)
        write_new(HERE / "invalid" / f"{name}.base.bin", BASE)
        kinds.setdefault(name, kind)
    expected.write_text(json.dumps(dict(sorted(kinds.items())), indent=2) + "\n")
    list_new()


if __name__ == "__main__":
    main()

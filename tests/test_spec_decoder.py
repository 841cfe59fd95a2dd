"""Every rule of the specification, tried on the decoder that stands next to it."""

from __future__ import annotations

import hashlib
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from blake3 import blake3

from mmh_builder import (
    COPY,
    DTYPES,
    GROUP,
    HIERARCHICAL,
    LZ4,
    PACKED,
    PATTERN251,
    STORE,
    TENSOR,
    Coded,
    Constant,
    Exact,
    Field,
    Frame,
    Lanes,
    Mode,
    Part,
    RecordsParts,
    Tensor,
    TensorParts,
    WordsParts,
    bit_string,
    build,
    coded_stream,
    codeless_list,
    copy,
    exception_list,
    flat_frequencies,
    flat_lengths,
    hierarchical_frame,
    join_element,
    lanes_stream,
    leaf,
    lz4,
    packed_plane,
    pattern,
    plane_widths,
    records_parts,
    relative,
    skewed_lengths,
    split_element,
    state_table,
    store,
    string,
    tensor_frame,
    tensor_parts,
    u8,
    u16,
    u32,
    u64,
    varint,
    whole_bytes,
    words_parts,
    xxh3,
    zstd,
)
from verdicts import SPEC, by_engine, decoder

SCRIPT = SPEC / "decoder.py"


def decode(data: bytes, **options: Any) -> Any:
    """Decode by the decoder; without options the engine has to give the same bytes."""
    decoded = decoder.decode(data, **options)
    if not options:
        assert by_engine(data) == decoded.source
    return decoded


def refuse(data: bytes, message: str, error: Any = None, engine: bool = True, **options: Any) -> None:
    """The decoder refuses `data` with a message that holds the regular expression `message`; without options the
    engine refuses it too."""
    with pytest.raises(decoder.Corrupt if error is None else error, match=message):
        decoder.decode(data, **options)
    if engine and not options:
        assert isinstance(by_engine(data), str)


# ---- The container ----


def test_empty_source() -> None:
    decoded = decode(build())
    assert (decoded.source, decoded.name, decoded.format) == (b"", "", "unknown")
    assert (decoded.tensors, decoded.frames) == ([], [])


def test_bytes_of_a_small_file() -> None:
    """A file written out by hand, so that the builder is tested too."""
    header = bytes.fromhex("894d4d480d0a1a0a 0000 0000")
    header += (xxh3(header) % 2**32).to_bytes(4, "little")
    frame = bytes.fromhex("4652 00 00 03000000 0300000000000000") + xxh3(b"abc").to_bytes(8, "little") + b"abc"
    index = b"IX\x03\x01" + blake3(b"abc").digest() + b"\x01\x05x.bin" + bytes.fromhex("01 00 03 03") + b"\x01"
    index += b"\x01\x02t0" + bytes.fromhex("01 00 01 02") + blake3(b"bc").digest()
    footer = len(index).to_bytes(8, "little") + xxh3(index).to_bytes(8, "little")
    footer += (16 + 27 + len(index) + 40).to_bytes(8, "little")
    footer += xxh3(header + footer).to_bytes(8, "little") + b"MMHEND\r\n"
    data = header + frame + index + footer
    assert data == build([store(b"abc")], [Tensor("t0", "U8", [2], gap=1)], name="x.bin", source_format=1)
    # A frame over 0 to 3 straddles the tensor that begins at 1.
    refuse(data, r"no frame across source offset 1, found one over 0 to 3 at byte 16")


def test_tensors_and_frames() -> None:
    frames = [store(b"head"), pattern(b"\x01\x02", 7), store(b"12345678"), store(b"xy"), copy(4, 7)]
    tensors = [
        Tensor("empty", "F32", [3, 0], gap=2),
        Tensor("a", "U8", [7], gap=2, layout=1),
        Tensor("nothing", "C64", [0, 2**60]),
        Tensor("ф", "BF16", [2, 2]),
        Tensor("scalar", "U16", []),
        Tensor("", "F64", [0], gap=6),
    ]
    data = build(frames, tensors, name="m", sha256=True)
    decoded = decode(data)
    repeated = b"\x01\x02\x01\x02\x01\x02\x01"
    assert decoded.source == b"head" + repeated + b"12345678" + b"xy" + repeated
    assert [(t.name, t.dtype, t.shape, t.layout, t.start, t.length) for t in decoded.tensors] == [
        ("empty", "F32", (3, 0), "C", 2, 0),
        ("a", "U8", (7,), "F", 4, 7),
        ("nothing", "C64", (0, 2**60), "C", 11, 0),
        ("ф", "BF16", (2, 2), "C", 11, 8),
        ("scalar", "U16", (), "C", 19, 2),
        ("", "F64", (0,), "C", 27, 0),
    ]
    assert [(f.codec, f.start, f.raw, f.at, f.stored) for f in decoded.frames] == [
        ("store", 0, 4, 16, 4),
        ("pattern251", 4, 7, 44, 2),
        ("store", 11, 8, 70, 8),
        ("store", 19, 2, 102, 2),
        ("copy", 21, 7, 128, 8),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype: str) -> None:
    number, elements, size = DTYPES[dtype]
    decoded = decode(build([store(bytes(6 * size))], [Tensor("t", dtype, [6, elements])]))
    assert (decoded.tensors[0].dtype, decoded.tensors[0].length) == (dtype, 6 * size)
    assert list(decoder.DTYPES)[number] == dtype
    if elements > 1:
        data = build([store(b"\0")], [Tensor("t", dtype, [1])])
        refuse(data, f"elements of a tensor: expected a multiple of {elements}, found 1")


FORMATS = [
    "unknown",
    "safetensors",
    "npy",
    "npz",
    "array",
    "gguf",
    "pytorch",
    "pytorch-legacy",
    "onnx",
    "hdf5",
    "tflite",
    "tar",
]


@pytest.mark.parametrize(("number", "name"), list(enumerate(FORMATS)))
def test_source_formats(number: int, name: str) -> None:
    assert decode(build(source_format=number)).format == name


@pytest.mark.parametrize(("hashes", "sha256"), [(False, False), (False, True), (True, False), (True, True)])
def test_content_hashes(hashes: bool, sha256: bool) -> None:
    data = build([store(b"abcd")], [Tensor("t", "U8", [4])], hashes=hashes, sha256=sha256)
    assert decode(data).source == b"abcd"


GOOD = build([store(b"abcd"), pattern(b"x", 9)], [Tensor("t", "U8", [4])], name="n")


@pytest.mark.parametrize("data", [b"", b"MM", b"\x89MMH\r\n\x1a", b"\x89PNG\r\n\x1a\n" + GOOD[8:], b"x" + GOOD])
def test_not_mmh(data: bytes) -> None:
    refuse(data, r"magic: expected 89 4d 4d 48 0d 0a 1a 0a, found .* at byte 0", decoder.NotMmh)


def test_header() -> None:
    refuse(build(header_check=1), r"header check: expected [0-9a-f]{8}, found 00000001 at byte 12")
    refuse(build(header_check=1, version=7), r"header check")
    refuse(build(version=1), r"version: expected 0, found 1 at byte 8", decoder.Unsupported)
    # The rest of a file of another version is not looked at.
    refuse(build(version=256, flags=0xFFFE)[:16], r"found 256 at byte 8", decoder.Unsupported)
    refuse(build(version=1, header_check=1), r"found 1 at byte 8", decoder.Unsupported, check=False)
    refuse(build(flags=8), r"reserved flags: expected 0, found 8 at byte 10")
    refuse(build(flags=0x8001), r"reserved flags: expected 0, found 32768")
    refuse(build(flags=1), r"flag for copy frames: expected False, found True at byte 10")
    refuse(build([store(b"a"), copy(0, 1)], flags=0), r"flag for copy frames: expected True, found False")


def test_footer() -> None:
    refuse(build(footer_hash=5), r"hash of header and footer: expected [0-9a-f]{16}, found 0000000000000005 at byte")
    refuse(build(index_hash=5), r"hash of the index: .* found 0000000000000005")
    refuse(build(file_size=5), r"size of the file: expected \d+, found 5")
    refuse(build(index_size=1 << 60), r"size of the index: expected at most \d+, found 1152921504606846976")
    refuse(build(index_size=0, index_hash=xxh3(b"")), r"sync of the index: expected 2 bytes, found 0 left in the index")
    refuse(build(end_magic=b"MMHEND\n\r"), r"end magic: expected 4d 4d 48 45 4e 44 0d 0a, found 4d .* 0a 0d")
    refuse(GOOD + b"\0", r"end magic")
    refuse(GOOD + GOOD, r"hash of header and footer|size of the file")
    refuse(build(trailing=b"x" * 40), r"end magic")
    refuse(GOOD[:30], r"footer: expected a file of at least 56 bytes, found 30 at byte 30")


def test_parts_are_adjacent() -> None:
    refuse(build([store(b"a")], between=b"?"), r"end of the frames: expected \d+, found \d+")
    refuse(build([store(b"a")], frame_table=[]), r"end of the frames")
    refuse(build(index_tail=b"\0"), r"end of the index: expected no more bytes, found 1 left over")


def test_every_truncation() -> None:
    for size in range(len(GOOD)):
        with pytest.raises((decoder.Corrupt, decoder.NotMmh)):
            decode(GOOD[:size])
        with pytest.raises((decoder.Corrupt, decoder.NotMmh)):
            decode(GOOD[:size], check=False)


def test_varints() -> None:
    largest = varint(2**64 - 1)
    assert len(largest) == 10

    def index(source_length: bytes) -> bytes:
        return build(index=b"IX" + source_length + b"\0\0\0\0\0")

    assert decode(index(b"\0")).source == b""
    refuse(index(varint(0, pad_to=2)), r"source length: expected the shortest varint, found a last byte of zero")
    refuse(index(varint(5, pad_to=10)), r"source length: expected the shortest varint")
    refuse(index(b"\xff" * 9 + b"\x02"), r"source length: expected a varint that fits 64 bits")
    refuse(index(b"\xff" * 10 + b"\x00"), r"source length: expected a varint of at most 10 bytes")
    refuse(index(largest), r"sum of raw: expected 18446744073709551615, found 0")
    refuse(build(index=b"IX\x80"), r"source length: expected 1 bytes, found 0 left in the index")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index_sync": b"XI"}, r"sync of the index: expected 49 58, found 58 49"),
        ({"hash_flags": 4}, r"reserved content hashes: expected 0, found 4"),
        ({"hash_flags": 0x81}, r"reserved content hashes: expected 0, found 128"),
        ({"source_format": 12}, r"source format: expected at most 11, found 12"),
        ({"name": "a/b"}, r"source name: expected a plain file name, found 'a/b'"),
        ({"name": "a\\b"}, r"source name"),
        ({"name": "a\0b"}, r"source name"),
        ({"name": "."}, r"source name"),
        ({"name": ".."}, r"source name"),
        ({"name": "x" * 1025}, r"size of source name: expected at most 1024, found 1025"),
        ({"name": b"a\xff"}, r"source name: expected UTF-8, found ff"),
        ({"name": b"\xed\xa0\x80"}, r"source name: expected UTF-8"),
        ({"source_len": 3}, r"sum of raw: expected 3, found 4"),
        ({"source_blake3": bytes(32)}, r"BLAKE3 of the source: expected 0{64}, found [0-9a-f]{64}"),
        ({"sha256": True, "source_sha256": bytes(32)}, r"SHA-256 of the source: expected 0{64}, found"),
        ({"frame_count": 2**40}, r"number of frames: expected at most \d+, found 1099511627776"),
        ({"tensor_count": 2**64 - 1}, r"number of tensors: expected at most \d+, found 18446744073709551615"),
        ({"tensor_count": 1}, r"number of tensors: expected at most 0, found 1"),
        ({"frame_count": 0}, r"end of the frames|sum of raw"),
    ],
)
def test_lies_of_the_index(changes: dict[str, Any], message: str) -> None:
    refuse(build([store(b"abcd")], **changes), message)


@pytest.mark.parametrize("name", ["...", "x" * 1024, "é" * 512, " a b.safetensors"])
def test_good_names(name: str) -> None:
    assert decode(build(name=name)).name == name


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([Tensor("t", "U8", [2]), Tensor("t", "U8", [2])], r"tensor name: expected one not used before, found 't'"),
        ([Tensor(b"\xc3", "U8", [4])], r"tensor name: expected UTF-8, found c3"),
        ([Tensor("x" * 65536, "U8", [4])], r"size of tensor name: expected at most 65535, found 65536"),
        ([Tensor("t", 48, [4])], r"dtype: expected at most 47, found 48"),
        ([Tensor("t", "U8", [4], layout=2)], r"layout: expected at most 1, found 2"),
        ([Tensor("t", "U8", [1] * 65)], r"rank: expected at most 64, found 65"),
        ([Tensor("t", "F4", [3])], r"elements of a tensor: expected a multiple of 2, found 3"),
        (
            [Tensor("t", "U8", [2**60])],
            r"bytes of a tensor: expected a number below 2\^60, found 1152921504606846976",
        ),
        ([Tensor("t", "U8", [2**63] * 64)], r"bytes of a tensor: expected a number below 2\^60"),
        ([Tensor("t", "U8", [2**60 - 1])], r"end of a tensor: expected at most the source length, 4"),
        ([Tensor("t", "U8", [5])], r"end of a tensor: expected at most the source length, 4, found 5"),
        ([Tensor("t", "U8", [0], gap=5)], r"end of a tensor: .* found 5"),
        ([Tensor("a", "U8", [2]), Tensor("t", "U8", [3])], r"end of a tensor: .* found 5"),
        ([Tensor("t", "U8", [4], gap=2**64 - 1)], r"end of a tensor: .* found 18446744073709551619"),
        ([Tensor("t", "U8", [4], digest=bytes(32))], r"BLAKE3 of tensor 't': expected 0{64}, found"),
        ([Tensor("t", "U8", [1], rank=40)], r"expected \d+ bytes, found \d+ left in the index"),
    ],
)
def test_lies_of_the_tensor_table(tensors: list[Tensor], message: str) -> None:
    refuse(build([store(b"ab"), store(b"cd")], tensors), message)


def test_good_tensor_names() -> None:
    names = ["", "x" * 65535, "../..", "a\nb"]
    decoded = decode(build(tensors=[Tensor(name, "U8", [0]) for name in names]))
    assert [tensor.name for tensor in decoded.tensors] == names


def test_rank_64() -> None:
    assert decode(build([store(b"ab")], [Tensor("t", "U8", [1] * 63 + [2])])).tensors[0].length == 2


def test_borders() -> None:
    frames = [store(b"ab"), store(b"cdef"), store(b"gh")]
    assert decode(build(frames, [Tensor("t", "U8", [4], gap=2)])).source == b"abcdefgh"
    assert decode(build(frames, [Tensor("t", "U8", [6])])).source == b"abcdefgh"
    assert decode(build(frames, [Tensor("t", "U8", [0], gap=3)])).source == b"abcdefgh"
    refuse(build(frames, [Tensor("t", "U8", [3], gap=3)]), r"tensor 't': expected no frame across source offset 3")
    refuse(build(frames, [Tensor("t", "U8", [3], gap=2)]), r"across source offset 5, found one over 2 to 6 at byte 42")
    refuse(build(frames, [Tensor("t", "U8", [1], gap=7)]), r"across source offset 7, found one over 6 to 8")


# ---- Frames ----


def test_frame_headers() -> None:
    table = [(STORE, 4, 4)]
    good = store(b"abcd")

    def changed(**changes: Any) -> bytes:
        return build([Frame(**{**vars(good), **changes})], frame_table=table, source_len=4)

    refuse(changed(sync=b"RF"), r"sync of a frame: expected 46 52, found 52 46 at byte 16")
    refuse(changed(codec=LZ4), r"codec of a frame: expected store, found lz4 at byte 18")
    unknown = max(decoder.CODECS) + 1
    refuse(changed(codec=unknown), rf"codec of a frame: expected store, found {unknown} at byte 18")
    refuse(changed(reserved=1), r"reserved byte of a frame: expected 0, found 1 at byte 19")
    refuse(changed(stored=5), r"stored of a frame: expected 4, found 5 at byte 20")
    refuse(changed(raw=5), r"raw of a frame: expected 4, found 5 at byte 24")
    refuse(changed(checksum=0), r"checksum: expected [0-9a-f]{16}, found 0000000000000000 at byte 32")
    assert decode(changed(checksum=0), check=False).source == b"abcd"


@pytest.mark.parametrize("codec", [max(decoder.CODECS) + 1, max(decoder.CODECS) + 2, 255])
def test_unsupported_codecs(codec: int) -> None:
    refuse(build([Frame(codec, b"a", 1, b"a")]), f"codec: expected .*, found {codec} at byte", decoder.Unsupported)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((STORE, 0, 0), r"raw: expected at least 1, found 0"),
        ((COPY, 0, 8), r"raw: expected at least 1, found 0"),
        ((LZ4, 2**24 + 1, 4), r"raw of a block: expected at most 16777216, found 16777217"),
        ((TENSOR, 2**60, 4), r"raw of a block: expected at most 16777216"),
        ((LZ4, 3, 4), r"stored of a block: expected at most raw, 3, found 4"),
        ((STORE, 5, 4), r"stored of a store frame: expected 5, found 4"),
        ((PATTERN251, 5, 0), r"stored of a pattern: expected 1 to 5, found 0"),
        ((PATTERN251, 5, 6), r"stored of a pattern: expected 1 to 5, found 6"),
        ((PATTERN251, 2**20, 65537), r"stored of a pattern: expected 1 to 65536, found 65537"),
        ((COPY, 5, 7), r"stored of a copy: expected 8, found 7"),
        ((STORE, 4, 4), r"end of the frames: expected \d+, found 44"),
    ],
)
def test_lies_of_the_frame_table(row: tuple[int, int, int], message: str) -> None:
    refuse(build(between=bytes(30), frame_table=[row], source_len=row[1], flags=int(row[0] == COPY)), message)


def test_sums_do_not_wrap() -> None:
    rows = [(PATTERN251, 2**63, 1)] * 2
    refuse(
        build(between=bytes(50), frame_table=rows, source_len=0), r"sum of raw: expected 0, found 18446744073709551616"
    )
    rows = [(PATTERN251, 2**64 - 1, 2**16)]
    refuse(build(frame_table=rows, source_len=2**64 - 1), r"end of the frames")


@pytest.mark.parametrize(("period", "raw"), [(b"a", 1), (b"abc", 3), (b"abc", 10), (bytes(range(251)), 1000)])
def test_pattern(period: bytes, raw: int) -> None:
    decoded = decode(build([pattern(period, raw)]))
    assert decoded.source == bytes(period[i % len(period)] for i in range(raw))


def test_runs() -> None:
    longest = pattern(bytes(65536), 2**25)
    assert decode(build([longest])).source == bytes(2**25)
    wrong = pattern(b"ab", 9)
    wrong.checksum = xxh3(b"ab")
    refuse(build([wrong]), r"checksum")


def test_limit() -> None:
    data = build([pattern(b"x", 1000)])
    assert len(decode(data, limit=1000).source) == 1000
    refuse(data, r"1000 bytes, more than the limit of 999", decoder.Unsupported, limit=999)
    huge = Frame(PATTERN251, b"\0", 2**63 - 1, b"")
    data = build([huge], source_len=2**63 - 1)
    refuse(data, r"more than the limit of 2147483648", decoder.Unsupported, limit=2**31)


def test_copy() -> None:
    frames = [store(b"abc"), pattern(b"de", 5), store(b"fgh")]
    assert decode(build([*frames, copy(3, 8)])).source == b"abcdededfgh" + b"dededfgh"
    assert decode(build([*frames, copy(0, 11)])).source == b"abcdededfgh" * 2
    assert decode(build([store(b"abc"), copy(0, 3), store(b"d"), copy(6, 1)])).source == b"abcabcdd"
    refuse(build([*frames, copy(1, 11)]), r"end of a copy's range: expected at most 11, found 12 at byte")
    refuse(build([*frames, copy(11, 1)]), r"end of a copy's range")
    refuse(build([*frames, copy(2**64 - 1, 1)]), r"end of a copy's range: .* found 18446744073709551616")
    refuse(build([copy(0, 1)], source_len=1), r"end of a copy's range")
    message = r"range of a copy: expected bytes restored by frames that are no copies"
    refuse(build([*frames, copy(0, 3), copy(11, 3)]), message)
    refuse(build([*frames, copy(0, 3), store(b"x"), copy(8, 6)]), message)
    refuse(build([*frames, copy(0, 3), store(b"x"), copy(11, 4)]), message)
    assert decode(build([*frames, copy(0, 3), store(b"x"), copy(14, 1)])).source == b"abcdededfghabcxx"
    for offset, raw in ((1, 2), (0, 2), (1, 10), (4, 2)):
        refuse(build([*frames, copy(offset, raw)]), r"range of a copy: expected whole frames")
    wrong = copy(0, 3)
    wrong.checksum = 0
    refuse(build([*frames, wrong]), r"checksum")


def test_relative() -> None:
    data = bytes(range(200)) * 5
    assert decode(build([store(data), relative(b"\x0a\0", data[10:490])])).source == data + data[10:490]
    assert decode(build([relative(b"\x80\4\0", data[:512]), store(data)])).source == data[:512] + data
    refuse(
        build([store(data), relative(varint(1001) + b"\0", data)]),
        r"end of the counterpart: expected at most 2000, found 2001",
    )
    refuse(
        build([store(data), relative(b"\x0a\0", data)]),
        r"counterpart: expected bytes restored by frames that are not rel",
    )
    refuse(
        build([store(data), relative(b"\0\0", data)], flags=0), r"flag for relative frames: expected one that is set"
    )
    refuse(build([store(data), relative(b"\0\4", data)]), r"mode: expected at most 3, found 4")
    refuse(build([store(data), relative(b"\0\xe0", data)]), r"conversion: expected at most 13, found 14")
    refuse(build([store(data), relative(b"\0\x10", data[:25])]), r"raw: expected a multiple of 2, found 25")
    twice = [store(data), relative(b"\0\0", data)]
    refuse(
        build([*twice, relative(varint(1000) + b"\0", data)]),
        r"counterpart: expected bytes restored by frames that are not rel",
    )
    refuse(
        build([*twice, copy(1000, 1000), relative(varint(2000) + b"\0", data)]),
        r"counterpart: expected bytes restored by frames",
    )


def test_relative_of_large_blocks() -> None:
    """As much as may be lent is 16 raw, and runs are not counted."""
    for more, good in ((0, True), (1, False)):
        n = 16 * 512 + more
        lent = zstd(zstandard.ZstdCompressor().compress(bytes(n)), bytes(n))
        both = relative(varint(n - 256) + b"\0", bytes(256) + b"a" * 256)
        file = build([lent, pattern(b"a", 1 << 22), both])
        # Of a copy, what is copied counts.
        copied = build([lent, copy(0, n), relative(varint(n) + b"\0", bytes(512))])
        if good:
            assert decode(file).source[-512:] == bytes(256) + b"a" * 256
            assert decode(copied).source == bytes(2 * n + 512)
        else:
            refuse(file, r"blocks of the counterpart: expected at most 8192 bytes, found 8193")
            refuse(copied, r"blocks of the counterpart")
    # A block of a byte counts as a page.
    refuse(build([*[store(b"a")] * 300, relative(b"\0\0", b"a" * 300)]), r"at most 4800 bytes, found 1228800")


# ---- LZ4 and Zstandard ----


def lz4_sequence(literals: bytes, distance: int = 0, match: int = 0) -> bytes:
    """One sequence; without a distance the last one of a block."""

    def more(length: int) -> bytes:
        return b"" if length < 15 else b"\xff" * ((length - 15) // 255) + u8((length - 15) % 255)

    token = min(len(literals), 15) << 4
    if not distance:
        return u8(token) + more(len(literals)) + literals
    return u8(token | min(match - 4, 15)) + more(len(literals)) + literals + u16(distance) + more(match - 4)


@pytest.mark.parametrize(
    ("sequences", "restored"),
    [
        ([(b"ab", 2, 10), (b"cdefg",)], b"ab" * 6 + b"cdefg"),
        ([(b"a", 1, 300), (b"cdefg",)], b"a" * 301 + b"cdefg"),
        ([(b"abcdef", 6, 4), (b"", 3, 5), (b"vwxyz",)], b"abcdefabcd" + b"bcdbc" + b"vwxyz"),
        ([(b"x" * 15, 15, 19), (b"y" * 270,)], b"x" * 34 + b"y" * 270),
        ([(b"x" * 14, 5, 18), (b"y" * 269,)], b"x" * 32 + b"y" * 269),
        ([(bytes(range(256)) * 256, 65535, 65535), (b"12345",)], None),
        ([(b"abcd", 4, 4), (b"",)], b"abcdabcd"),
    ],
)
def test_lz4(sequences: list[tuple[bytes, int, int]], restored: bytes | None) -> None:
    payload = b"".join(lz4_sequence(*sequence) for sequence in sequences)
    if restored is None:
        restored = bytes(range(256)) * 256
        restored += restored[1:] + b"12345"
    assert decode(build([lz4(payload, restored)])).source == restored


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", r"token of an LZ4 sequence: expected 1 bytes, found 0 left in the lz4 payload at byte 40"),
        (b"\x50abc", r"literals in an LZ4 block: expected 5 bytes, found 3 left"),
        (b"\xf0", r"length in an LZ4 block: expected 1 bytes"),
        (b"\xf0\xff\xff", r"length in an LZ4 block: expected 1 bytes"),
        (b"\xf0\xff\xff\xff\x00", r"literals in an LZ4 block: expected at most 300, found 780"),
        (b"\x10a\x01", r"offset in an LZ4 block: expected 2 bytes, found 1 left"),
        (b"\x10a\x00\x00\x00", r"offset in an LZ4 block: expected 1 to 1, found 0"),
        (b"\x10a\x02\x00\x00", r"offset in an LZ4 block: expected 1 to 1, found 2"),
        (b"\x00\x01\x00\x00", r"offset in an LZ4 block: expected 1 to 0, found 1"),
        (b"\x1fa\x01\x00\xff\xff\x00\x00", r"match in an LZ4 block: expected at most 299, found 529"),
        (lz4_sequence(b"a", 1, 299), r"token of an LZ4 sequence: expected 1 bytes, found 0 left"),
        (lz4_sequence(b"a", 1, 290) + lz4_sequence(b"12345"), r"restored block: expected 300, found 296 at byte 16"),
    ],
)
def test_lies_of_lz4(payload: bytes, message: str) -> None:
    refuse(build([lz4(payload, bytes(300))]), message)
    refuse(build([lz4(payload, bytes(300))]), message, check=False)


DATA = bytes(random.Random(1).choices(range(20), k=5000))


@pytest.mark.parametrize("content_size", [False, True])
@pytest.mark.parametrize("checksum", [False, True])
def test_zstd(content_size: bool, checksum: bool) -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=content_size, write_checksum=checksum)
    data = build([zstd(compressor.compress(DATA), DATA)])
    assert decode(data).source == DATA


def test_lies_of_zstd() -> None:
    sized = zstandard.ZstdCompressor().compress(DATA)
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(DATA)
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(2**27))
    huge = b"\x28\xb5\x2f\xfd" + b"\xc0\x58" + u64(2**62) + b"\x01\x00\x00"
    dictionary = zstandard.ZstdCompressionDict(DATA[:1000], dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    trained = zstandard.train_dictionary(2000, [DATA[i : i + 50] for i in range(0, 5000, 50)])
    skippable = b"\x50\x2a\x4d\x18" + u32(4) + b"skip"
    size = r"content size of a Zstandard frame: expected 4999, found 5000 at byte 40"
    refuse(build([zstd(sized, DATA[:-1])]), size)
    refuse(build([zstd(sized, DATA + b"x")]), r"content size of a Zstandard frame: expected 5001, found 5000")
    refuse(build([zstd(huge, bytes(100))]), r"content size .* found 4611686018427387904")
    refuse(build([zstd(unsized, DATA[:-1])]), r"Zstandard frame: expected one frame of 4999 bytes, found")
    refuse(build([zstd(unsized, DATA + b"x")]), r"size of a restored block: expected 5001, found 5000")
    refuse(build([zstd(bomb, bytes(20000))]), r"Zstandard frame: expected one frame of 20000 bytes")
    refuse(build([zstd(sized + b"x", DATA)]), r"Zstandard frame: expected one frame of 5000 bytes, found")
    refuse(build([zstd(sized + sized, DATA)]), r"stored of a block|Zstandard frame: expected one frame")
    refuse(build([zstd(sized + skippable, DATA)]), r"Zstandard frame: expected one frame")
    refuse(build([zstd(skippable + sized, DATA)]), r"Zstandard frame")
    refuse(build([zstd(unsized[:-1], DATA)]), r"Zstandard frame")
    refuse(build([zstd(b"", DATA)]), r"Zstandard frame: expected one frame of 5000 bytes, found")
    refuse(build([zstd(b"nothing", DATA)]), r"Zstandard frame")
    with_id = zstandard.ZstdCompressor(dict_data=trained).compress(DATA)
    refuse(build([zstd(with_id, DATA)]), r"dictionary of a Zstandard frame: expected 0, found \d+")
    without_id = zstandard.ZstdCompressor(dict_data=dictionary).compress(DATA)
    refuse(build([zstd(without_id, DATA)]), r"Zstandard frame|checksum")


# ---- The tensor codec ----


def block_of(elements: Sequence[int], element_bits: int) -> bytes:
    return b"".join(x.to_bytes(element_bits // 8, "little") for x in elements)


def decode_parts(parts: TensorParts, block: bytes) -> None:
    """The block comes back, even from a payload that is longer than a writer would let it be."""
    payload = parts.to_bytes()
    reader = decoder.Reader(payload, 0, len(payload), "tensor payload")
    assert decoder.decode_tensor(reader, len(block)) == block
    if len(payload) <= len(block):
        assert decode(build([tensor_frame(payload, block)])).source == block


def decode_tensor_parts(parts: TensorParts, raw: int) -> bytes:
    payload = parts.to_bytes()
    restored: bytes = decoder.decode_tensor(decoder.Reader(payload, 0, len(payload), "tensor payload"), raw)
    return restored


def test_split_and_join() -> None:
    """The steps of section 1 on numbers worked out by hand."""
    # BF16 -1.5: sign 1, exponent 0x7f, mantissa 0x40.
    assert split_element(0xBFC0, 16, 8, sign_moved=True) == (0x7F, 0xC0)
    assert split_element(0xBFC0, 16, 8) == (0xBF, 0xC0)
    assert split_element(0xFFFE, 16, 8, zigzag=True) == (0, 3)
    assert split_element(2, 16, 8, zigzag=True) == (0, 4)
    for E in (8, 16, 32, 64):
        for t in range(1, min(16, E) + 1):
            for moved, zigzag in ((False, False), (False, True), (True, False)):
                if moved and t == E:
                    continue
                for x in (0, 1, 2**E - 1, 1 << (E - 1), 0x5A5A5A5A5A5A5A5A % 2**E):
                    T, R = split_element(x, E, t, moved, zigzag)
                    assert T >> t == 0
                    assert R >> (E - t) == 0
                    assert join_element(T, R, E, t, moved, zigzag) == x


def test_packed_by_hand() -> None:
    assert packed_plane([1, 2, 3], 4) == b"\x31\x02"
    assert packed_plane([1, 0, 1, 1, 0, 0, 0, 0, 1], 1) == bytes([0b00010011, 0b00000010])
    assert packed_plane([7, 8], 8) == b"\x07\x08"
    assert packed_plane([], 1) == b""


def test_coded_by_hand() -> None:
    # The codes are 0, 10 and 11; the bits, from the first, are 11 10 0.
    assert coded_stream([0, 1, 2], {0: 1, 1: 2, 2: 2}) == bytes([0b00000111])


def test_lanes_by_hand() -> None:
    frequencies = {0: 192, 1: 64}
    states = state_table(frequencies)
    # The example of the specification.
    assert (states[0, 192], states[1, 127], states[1, 64]) == (0, 255, 18)
    # One row: a lane's only state is the first of its value, and there are no bits.
    assert lanes_stream([0, 1], frequencies) == b"\x80" * 32 + bytes([0, 18]) + bytes(30)
    # The state before 18 with value 0 has v = 256 + 18 over 2: 137, too small; so b = 0 and v = 274.
    assert lanes_stream([0] + [1] * 32, frequencies) == b"\x80" * 32 + bytes([states[0, 274]]) + bytes([18]) * 31
    # With value 1 it has v = 274 over 4, which leaves the bits 1 and 0.
    begin = bytes([states[1, 68]]) + bytes([18]) * 31
    assert lanes_stream([1] * 33, frequencies) == b"\xa0" + b"\x80" * 31 + begin
    # For a value without a code, another one is written.
    assert lanes_stream([7], frequencies, 1) == lanes_stream([1], frequencies)


def test_payload_by_hand() -> None:
    """Five BF16 elements: exponents coded, signs and mantissas packed."""
    block = bytes.fromhex("803f 80bf 8040 803f c03f")
    payload = bytes.fromhex("05 08 00 00 00 0000")
    # Symbols 7f, 7f, 81, 7f, 7f: a table from 7f to 81 with the lengths 1, 0, 1.
    payload += bytes.fromhex("02 7f81 01 01") + b"\x01"
    # One group: a stream of one byte with the codes 0, 0, 1, 0, 0, then sign and mantissa.
    payload += u32(8) + u16(1) + bytes([0b00000100]) + bytes.fromhex("00 80 00 00 40")
    parts = tensor_parts(block, element_bits=16, t=8, sign_moved=True, modes=[Coded({0x7F: 1, 0x81: 1}), PACKED])
    assert parts.to_bytes() == payload
    decode_parts(parts, block)


def random_block(
    rng: random.Random, E: int, t: int, moved: bool, zigzag: bool, drop: int, q: int, fields: Sequence[int], count: int
) -> bytes:
    """Elements with T out of `fields`, and with rests whose low parts are zero in most segments of 16."""
    r = E - t
    elements: list[int] = []
    for i in range(count):
        R = rng.getrandbits(r) >> drop << drop if r else 0
        if i // 16 % 3:
            R = R >> (drop + q) << (drop + q)
        elements.append(join_element(rng.choice(fields), R, E, t, moved, zigzag))
    return block_of(elements, E)


@pytest.mark.parametrize("E", [8, 16, 32, 64])
@pytest.mark.parametrize("how", ["plain", "moved", "zigzag"])
def test_all_cuts(E: int, how: str) -> None:
    """All t, many pairs of drop and q, all modes of planes, odd sizes."""
    rng = random.Random(f"{E} {how}")
    for t in range(1, min(16, E) + 1):
        r = E - t
        if how == "moved" and r == 0:
            continue
        for drop, q in {(0, 0), (0, r), (r, 0), (r // 2, r - r // 2), (r // 3, r // 3), (rng.randint(0, r), 0)}:
            base = rng.randrange(2**t - 1) if t > 8 else 0
            fields = rng.sample(range(2**t), min(5, 2**t))
            head = rng.randrange(8)
            count = rng.choice([1, 17, 33, 100, 1023, 1025])
            elements = random_block(rng, E, t, how == "moved", how == "zigzag", drop, q, fields, count)
            block = rng.randbytes(head) + elements + rng.randbytes(rng.randrange(E // 8))
            options: dict[str, Any] = {
                "element_bits": E,
                "t": t,
                "sign_moved": how == "moved",
                "zigzag": how == "zigzag",
                "drop": drop,
                "q": q,
                "base": base,
                "head_size": head,
            }
            decode_parts(tensor_parts(block, **options), block)
            modes: list[Mode] = [PACKED, *(PACKED for _ in plane_widths(r - drop - q) + plane_widths(q))]
            modes[0] = Coded(flat_lengths(range(256)))
            for i, width in enumerate(plane_widths(r - drop - q) + plane_widths(q), start=1):
                if width == 8:
                    modes[i] = Coded(flat_lengths(range(256)))
            decode_parts(tensor_parts(block, modes=modes, **options), block)
            # A code that leaves symbols out.
            modes[0] = Lanes([flat_frequencies(rng.sample(range(256), 60))])
            decode_parts(tensor_parts(block, modes=modes, **options), block)


def test_bases_and_exceptions() -> None:
    fields = [0, 1, 99, 100, 101, 355, 356, 1023]
    block = block_of([T << 6 | 5 for T in fields * 3], 16)
    parts = tensor_parts(block, element_bits=16, t=10, base=100)
    # 0 has the symbol 0; 101 to 355 have symbols of their own.
    positions = [i for i, T in enumerate(fields * 3) if T and not 101 <= T <= 355]
    assert parts.exceptions == exception_list([(i, (fields * 3)[i]) for i in positions])
    decode_parts(parts, block)


@pytest.mark.parametrize("count", [1, 7, 1023, 1024, 1031, 8 * 1024 + 1, GROUP - 1, GROUP, GROUP + 1, 2 * GROUP + 1500])
def test_groups_and_streams(count: int) -> None:
    rng = random.Random(count)
    symbols = list(range(100, 113))
    block = block_of(rng.choices([s << 7 for s in symbols], weights=[2**-i for i in range(13)], k=count), 16)
    modes: list[Mode] = [Coded(skewed_lengths(symbols)), Constant(0)]
    decode_parts(tensor_parts(block, element_bits=16, t=8, sign_moved=True, modes=modes), block)
    wide: list[Mode] = [Coded(skewed_lengths(symbols), first=0, last=255), PACKED]
    decode_parts(tensor_parts(block, element_bits=16, t=8, sign_moved=True, modes=wide), block)


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 63, 64, 65, 95, 1023, GROUP - 1, GROUP, GROUP + 1, GROUP + 33])
def test_groups_in_lanes(count: int) -> None:
    rng = random.Random(count)
    symbols = list(range(100, 113))
    block = block_of(rng.choices([s << 7 for s in symbols], weights=[2**-i for i in range(13)], k=count), 16)
    skewed = {100: 128, 101: 64, 102: 32, 103: 16, 104: 8, 105: 4, 106: 2, 107: 1, 108: 1}
    for code in (skewed, flat_frequencies(symbols), {100: 255, 112: 1}, flat_frequencies(range(256))):
        for modes in ([Lanes([code]), Constant(0)], [Lanes([code], first=min(code), stand_in=max(code)), PACKED]):
            decode_parts(tensor_parts(block, element_bits=16, t=8, sign_moved=True, modes=modes), block)


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 47, 48, 49, 1023, GROUP - 1, GROUP, GROUP + 1, GROUP + 49])
def test_groups_in_exact_lanes(count: int) -> None:
    rng = random.Random(count)
    symbols = list(range(100, 113))
    block = block_of(rng.choices([s << 7 for s in symbols], weights=[2**-i for i in range(13)], k=count), 16)
    hill = (99, [0, *range(127, 127 - 8 * 13, -8)])
    for code in (hill, (100, [7] * 13), (111, [127, 1]), (0, [64] * 256)):
        for modes in ([Exact([code]), Constant(0)], [Exact([code], stand_in=code[0] + 1), PACKED]):
            decode_parts(tensor_parts(block, element_bits=16, t=8, sign_moved=True, modes=modes), block)
    # Codes of groups that are not alike, and one that no group has.
    chosen = [1, 3][: 1 + (count > GROUP)]
    modes = [Exact([(0, [1, 1]), hill, (3, [0, 9, 9]), (100, [7] * 13)], chosen), PACKED]
    decode_parts(tensor_parts(block, element_bits=16, t=8, sign_moved=True, modes=modes), block)


def test_codes_of_groups() -> None:
    rng = random.Random(7)
    centres = [40, 90, 40, 200]
    block = bytes(rng.choice([0, 1, 1, 2, 2, 2]) + c for c in centres for _ in range(GROUP))[: 3 * GROUP + 5]
    wide = [flat_frequencies([c, c + 1, c + 2]) for c in (40, 90, 200)]
    right = Lanes(wide, [0, 1, 0, 2])
    parts = tensor_parts(block, element_bits=8, t=8, modes=[right])
    assert (parts.exceptions, parts.codeless) == (b"", b"\0")
    decode_parts(parts, block)
    # A wrong choice leaves all elements of the last group without a code, and codes need not be used.
    wrong = Lanes([*wide, *[{0: 1, 255: 255}] * 13], [0, 1, 0, 0])
    parts = tensor_parts(block, element_bits=8, t=8, modes=[wrong])
    assert parts.codeless[:1] == b"\x05"
    decode_parts(parts, block)
    decode_parts(tensor_parts(block[:GROUP], element_bits=8, t=8, modes=[Lanes(wide, [0])]), block[:GROUP])


def test_symbols_without_a_code_by_hand() -> None:
    """The example of the specification."""
    assert codeless_list([(0, 9), (6, 9)], 1, kinds=[3, 9]) == bytes.fromhex("02 01 01 03 09 e5")
    # One symbol takes no bits; a gap of 24 units is written in full.
    assert codeless_list([(2, 7)], 0) == bytes.fromhex("01 00 00 07 04")
    assert codeless_list([(24, 7)], 0) == bytes.fromhex("01 00 00 07") + (1 << 24 | 24 << 25).to_bytes(7, "little")
    assert codeless_list([]) == b"\0"


def test_exceptions_in_lanes() -> None:
    # T of 0, with symbols, below and above them.
    fields = [0, 1, 99, 100, 101, 102, 354, 355, 356, 1023] * 7
    block = block_of([T << 6 | 5 for T in fields], 16)
    for code in ({0: 100, 1: 156}, {0: 1, 255: 255}, {1: 128, 254: 128}, flat_frequencies(range(256))):
        parts = tensor_parts(block, element_bits=16, t=10, base=100, modes=[Lanes([code]), *[PACKED] * 2])
        # Exceptions have the symbol 0, with a code or without.
        symbols = [T - 100 if 101 <= T <= 355 else 0 for T in fields]
        missing = [(i, T) for i, (T, s) in enumerate(zip(fields, symbols, strict=True)) if T and not s]
        assert parts.exceptions == exception_list(missing)
        assert parts.codeless == codeless_list([(i, s) for i, s in enumerate(symbols) if s not in code])
        decode_parts(parts, block)
    # Values outside of T have codes or are in the list, and are cut off.
    block = bytes([1, 2, 3] * 30)
    parts = tensor_parts(block, element_bits=8, t=7, modes=[Lanes([{1: 200, 128: 56}]), PACKED])
    decode_parts(parts, block)
    parts.codeless = codeless_list([(4, 129)])
    restored = decode_tensor_parts(parts, len(block))
    assert set(restored) <= {2, 3} and restored[4] >> 1 == 1


@pytest.mark.parametrize("r", [0, 1, 7, 15])
def test_gaps_and_kinds_of_symbols_without_a_code(r: int) -> None:
    rng = random.Random(r)
    for kinds in (1, 2, 3, 16, 17, 254):
        places = sorted({0, 1, 2, 24, 50, GROUP - 1, GROUP, GROUP + 4999} | set(rng.sample(range(GROUP + 5000), 40)))
        block = bytearray(rng.choice([254, 255]) for _ in range(GROUP + 5000))
        for at in places:
            block[at] = rng.randrange(kinds)
        parts = tensor_parts(bytes(block), element_bits=8, t=8, modes=[Lanes([{254: 100, 255: 156}])])
        codeless = [(at, block[at]) for at in places]
        for long in (24, 5):
            # Symbols that are not used may be in the list.
            parts.codeless = codeless_list(codeless, r, kinds=range(kinds), long=long)
            decode_parts(parts, bytes(block))


@pytest.mark.parametrize("log_segment", range(4, 16))
def test_segments(log_segment: int) -> None:
    rng = random.Random(log_segment)
    count, segment = GROUP + 3000, 1 << log_segment
    present = [rng.random() < 0.5 for _ in range((count + segment - 1) // segment)]
    low = [rng.getrandbits(8) if present[i >> log_segment] else 0 for i in range(count)]
    block = block_of([rng.choice([3, 4]) << 12 | value << 4 for value in low], 16)
    options: dict[str, Any] = {"element_bits": 16, "t": 4, "drop": 4, "q": 8, "log_segment": log_segment}
    decode_parts(tensor_parts(block, present=present, **options), block)
    decode_parts(
        tensor_parts(block, present=present, modes=[PACKED, Coded(flat_lengths(range(256)))], **options), block
    )
    decode_parts(tensor_parts(block, present=present, modes=[Lanes([{3: 9, 4: 247}]), PACKED], **options), block)
    nowhere = block_of([3 << 12] * count, 16)
    for mode in (PACKED, Coded({0: 1, 1: 1}), Constant(9)):
        decode_parts(tensor_parts(nowhere, modes=[Constant(3), mode], **options), nowhere)


def test_constants() -> None:
    block = block_of([0x12345678] * 40000, 32)
    modes = [Constant(0x12), Constant(0x34), Constant(0x56), Constant(0x78)]
    parts = tensor_parts(block, element_bits=32, t=8, modes=modes)
    assert len(parts.to_bytes()) == 7 + 8 + 8
    decode_parts(parts, block)


def test_head_and_tail() -> None:
    block = b"1234567" + block_of([5, 6, 7], 64) + b"abcdefg"
    parts = tensor_parts(block, element_bits=64, t=3, head_size=7)
    assert (parts.head, parts.tail) == (b"1234567", b"abcdefg")
    decode_parts(parts, block)


BF16 = block_of([0x3F80 + i for i in range(2000)], 16)


def bf16(**options: Any) -> TensorParts:
    return tensor_parts(BF16, element_bits=16, **{"t": 8, **options})


def codes(lengths: dict[int, int], first: int | None = None, last: int | None = None) -> list[Mode]:
    return [Coded(lengths, first, last), PACKED]


def edit(**changes: Any) -> Callable[[TensorParts], None]:
    return lambda parts: vars(parts).update(changes)


def last_byte(part: int, value: int) -> Callable[[TensorParts], None]:
    """Set bits in the last byte of a plane's data."""

    def change(parts: TensorParts) -> None:
        data = parts.groups[0][part]
        parts.groups[0][part] = data[:-1] + u8(data[-1] | value)

    return change


def replace_plane(part: int, change: Callable[[bytes], bytes]) -> Callable[[TensorParts], None]:
    def apply(parts: TensorParts) -> None:
        parts.groups[0][part] = change(parts.groups[0][part])

    return apply


def replace_descriptor(part: int, value: bytes) -> Callable[[TensorParts], None]:
    def apply(parts: TensorParts) -> None:
        parts.descriptors[part] = value

    return apply


def refuse_parts(parts: TensorParts, raw: int, message: str) -> None:
    """Like `refuse`, for payloads that are longer than their blocks."""
    payload = parts.to_bytes()
    with pytest.raises(decoder.Corrupt, match=message):
        decoder.decode_tensor(decoder.Reader(payload, 0, len(payload), "tensor payload"), raw)


CODED = codes(flat_lengths(range(256)))
TWO = {7: 1, 8: 1}
WITH_Q: dict[str, Any] = {"t": 4, "q": 8, "log_segment": 4}
TEN: dict[str, Any] = {"t": 10, "base": 200}


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({}, edit(b0=0x81), r"size of parts: expected 2\^16 to 2\^23, found 2\^1 at byte 0"),
        ({}, edit(b0=0x0D), r"b0: expected not both sign moved and zigzag"),
        ({"t": 16, "base": 16000}, edit(sign_moved=True), r"b0: expected no sign moved where there is no rest"),
        ({}, edit(t=0), r"t: expected 1 to 16, found 0 at byte 1"),
        ({}, edit(t=17), r"t: expected 1 to 16, found 17"),
        ({}, edit(log_size=0, t=9), r"t: expected 1 to 8, found 9"),
        ({}, edit(drop=9), r"drop \+ q: expected at most 8, found 9 at byte 2"),
        (WITH_Q, edit(drop=200, q=100), r"drop \+ q: expected at most 12, found 300"),
        (WITH_Q, edit(log_segment=3), r"lambda: expected 4 to 15, found 3 at byte 4"),
        (WITH_Q, edit(log_segment=16), r"lambda: expected 4 to 15, found 16"),
        ({}, edit(log_segment=4), r"lambda: expected 0, found 4"),
        ({}, edit(base=1), r"base: expected 0, since t is at most 8, found 1 at byte 5"),
        (TEN, edit(base=1024), r"base: expected below 2\^10, found 1024 at byte 5"),
        ({}, replace_descriptor(0, b"\x06"), r"elements of a row: expected 1 to 32768, found 0 at byte 12"),
        ({}, replace_descriptor(0, b"\x08"), r"mode of a plane: expected 0 to 7, found 8 at byte 7"),
        ({}, replace_descriptor(1, b"\x03"), r"mode of a plane: expected 0, 1 or 2, found 3 at byte 8"),
        ({"t": 4}, replace_descriptor(2, b"\x02"), r"mode of a plane: expected 0 or 1, since it has 4 bits, found 2"),
        ({"t": 4}, replace_descriptor(2, b"\x00\x10"), r"constant of a plane: expected at most 15, found 16"),
        ({"t": 4}, replace_descriptor(0, b"\x00\x10"), r"constant of a plane: expected at most 15, found 16"),
        (
            {},
            replace_descriptor(0, b"\x02\x05\x05\x01"),
            r"last symbol of a code: expected more than the first, 5, found 5",
        ),
        (
            {},
            replace_descriptor(0, b"\x02\x05\x04\x01"),
            r"last symbol of a code: expected more than the first, 5, found 4",
        ),
        ({}, replace_descriptor(0, b"\x02\x05\x06\xd1"), r"length of a code: expected at most 12, found 13"),
        ({}, replace_descriptor(0, b"\x02\x05\x07\x11\x10"), r"unused half of a code's lengths: expected 0, found 1"),
        ({}, replace_descriptor(0, b"\x02\x05\x06\x00"), r"space of a code, in parts of 4096: expected 4096, found 0"),
        ({}, replace_descriptor(0, b"\x02\x05\x06\x01"), r"space of a code, .*: expected 4096, found 2048"),
        ({}, replace_descriptor(0, b"\x02\x05\x06\x21"), r"space of a code, .*: expected 4096, found 3072"),
        ({}, replace_descriptor(0, b"\x02\x05\x07\x11\x0c"), r"space of a code, .*: expected 4096, found 4097"),
        (WITH_Q, edit(presence=b"\xff" * 15 + b"\x3f"), r"unused bits of the presence: expected 0|left in the group"),
        (TEN, edit(exceptions=varint(2**40)), r"number of exceptions: expected at most \d+, found 1099511627776"),
        (
            TEN,
            edit(exceptions=exception_list([(0, 1), (2000, 1)])),
            r"position of an exception: .* at most 1999, found 2000",
        ),
        (TEN, edit(exceptions=exception_list([(2**63, 1)])), r"position of an exception: expected at most 1999"),
        (TEN, edit(exceptions=exception_list([(0, 0)])), r"T of an exception: expected 1 to 1023, found 0"),
        (TEN, edit(exceptions=exception_list([(0, 1024)])), r"T of an exception: expected 1 to 1023, found 1024"),
        (
            TEN,
            edit(exceptions=exception_list([(0, 201)])),
            r"T of an exception: expected one without a symbol, found 201",
        ),
        (
            TEN,
            edit(exceptions=exception_list([(0, 455)])),
            r"T of an exception: expected one without a symbol, found 455",
        ),
        (TEN, edit(exceptions=exception_list([(0, 456)])), r"symbol of an exception: expected 0, found 54"),
        ({}, edit(group_sizes=[3999]), r"end of the tensor payload: expected no more bytes, found 1 left over"),
        ({}, edit(group_sizes=[2**32 - 1]), r"group 0: expected 4294967295 bytes, found 4000 left"),
        ({}, edit(group_sizes=[], groups=[]), r"group sizes: expected 4 bytes, found 0"),
        ({}, edit(after=b"\0"), r"end of the tensor payload: expected no more bytes, found 1 left over"),
        (TEN, edit(after=b"\0"), r"end of the tensor payload: expected no more bytes, found 1 left over"),
        (TEN, edit(exceptions=b""), r"number of exceptions: expected 1 bytes, found 0 left"),
        (
            {},
            replace_plane(1, lambda data: data[:-1]),
            r"packed plane: expected 2000 bytes, found 1999 left in the group 0",
        ),
        (
            {},
            replace_plane(1, lambda data: data + b"\0"),
            r"end of the group 0: expected no more bytes, found 1 left over",
        ),
        ({"modes": CODED}, replace_plane(0, lambda data: b"\xff\xff" + data[2:]), r"stream: expected 65535 bytes"),
        (
            {"modes": CODED},
            replace_plane(0, lambda data: u16(249) + data[2:16] + data[17:]),
            r"size of a stream: expected 250, found 249",
        ),
        (
            {"modes": CODED},
            replace_plane(0, lambda data: data[:14] + u16(251) + data[16:] + b"\0"),
            r"size of a stream: expected 250, found 251",
        ),
    ],
)
def test_lies_of_the_tensor_codec(options: dict[str, Any], change: Callable[[TensorParts], None], message: str) -> None:
    parts = bf16(**options)
    change(parts)
    refuse_parts(parts, len(BF16), message)


def in_lanes() -> TensorParts:
    modes: list[Mode] = [Lanes([flat_frequencies(range(0x7F, 0x8F))]), PACKED]
    return tensor_parts(BF16, element_bits=16, t=8, sign_moved=True, modes=modes)


def change_stream(change: Callable[[bytearray], bytes | bytearray | None]) -> Callable[[TensorParts], None]:
    """Change the stream of the only group, and set its size right."""

    def apply(parts: TensorParts) -> None:
        stream = bytearray(parts.groups[0][-1])
        changed = change(stream)
        parts.groups[0][-1] = bytes(stream if changed is None else changed)
        parts.groups[0][0] = u16(len(parts.groups[0][-1]))

    return apply


def set_byte(at: int, value: int) -> Callable[[TensorParts], None]:
    def change(stream: bytearray) -> None:
        stream[at] = value

    return change_stream(change)


def one_code(*table: int) -> Callable[[TensorParts], None]:
    return replace_descriptor(0, b"\x03\x01" + bytes(table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace_descriptor(0, b"\x03\x00"), r"number of codes: expected 1 to 16, found 0 at byte 8"),
        (replace_descriptor(0, b"\x03\x11" + b"\x7f\x80\x80\x80" * 17), r"number of codes: .*, found 17"),
        (one_code(0x7F, 0x7F, 128), r"last value of the frequencies: expected more than the first, 127, found 127"),
        (one_code(0x80, 0x7F, 128), r"last value of the frequencies: expected more than the first, 128, found 127"),
        (one_code(0x7E, 0x80, 0, 64, 192), r"first of the frequencies: expected more than 0, found 0 at byte 11"),
        (one_code(0x7F, 0x81, 64, 192, 0), r"last of the frequencies: expected more than 0, found 0 at byte 13"),
        (one_code(0x7F, 0x80, 64, 191), r"sum of the frequencies: expected 256, found 255"),
        (one_code(0x7F, 0x80, 64, 193), r"sum of the frequencies: expected 256, found 257"),
        (
            replace_descriptor(0, b"\x03\x02" + b"\x7f\x80\x40\xc0" * 2 + b"\x02"),
            r"code of a group: expected at most 1, found 2",
        ),
        (lambda parts: parts.groups[0].clear(), r"size of a stream of lanes: expected 2 bytes, found 0 left"),
        (replace_plane(0, lambda _: u16(0xFFFF)), r"size of a stream of lanes: expected at most \d+, found 65535"),
        (change_stream(lambda stream: stream[-63:]), r"size of a stream of lanes: expected at least 64, found 63"),
        (change_stream(lambda _: b""), r"size of a stream of lanes: expected at least 64, found 0"),
        (change_stream(lambda stream: stream[1:]), r"bytes of a stream of lanes: expected at least \d+ left"),
        (change_stream(lambda stream: b"\0" + stream), r"lanes that are left over: expected 0, found 1"),
        (set_byte(-64, 0), r"first bits of a lane: expected a bit that is 1, found 0"),
        (set_byte(-33, 0), r"first bits of a lane: expected a bit that is 1, found 0"),
        (replace_plane(1, lambda data: data[:-1]), r"packed plane: expected 2000 bytes, found 1999 left in the group"),
        (replace_plane(1, lambda data: data + b"\0"), r"end of the group 0: expected no more bytes, found 1 left"),
        (edit(codeless=codeless_list([(0, 0x7F)])), r"symbol without a code: expected one that has none, found 127"),
        (
            edit(codeless=codeless_list([(0, 3), (2000, 3)])),
            r"position of a symbol .*: expected at most 1999, found 2000",
        ),
        (edit(codeless=codeless_list([(2**24 - 1, 3)], 0)), r"position of a symbol .* found 16777215"),
        (edit(codeless=b"\1"), r"number of symbols without a code: expected at most 0, found 1"),
        (
            edit(codeless=varint(2**40) + bytes(9)),
            r"number of symbols without a code: expected at most 72, found 10995",
        ),
        (edit(codeless=b""), r"number of symbols without a code: expected 1 bytes, found 0 left"),
        (edit(codeless=codeless_list([(0, 3)], 16)), r"r: expected at most 15, found 16"),
        (edit(codeless=b"\1\0\1\5"), r"symbols without a code: expected 2 bytes, found 1 left"),
        (edit(codeless=codeless_list([(0, 3)], kinds=[4, 3])), r"symbols without a code: expected ascending ones"),
        (edit(codeless=codeless_list([(0, 3)], kinds=[3, 3])), r"symbols without a code: expected ascending ones"),
        (edit(codeless=bytes([1, 0, 2, 3, 4, 5, 0b111])), r"symbol without a code: expected at most number 2, found 3"),
        (edit(codeless=bytes([1, 0, 0, 3, 0])), r"list of symbols without a code: expected more bits, found its end"),
        (edit(codeless=bytes([1, 0, 0, 3, 0, 0, 0, 2])), r"zeros of a gap: expected at most 24, found 25"),
        (edit(codeless=bytes([1, 0, 0, 3, 3])), r"unused bits of the list of symbols without a code: expected 0"),
        (edit(codeless=bytes([1, 0, 0, 3, 1, 0])), r"size of the list of symbols without a code: expected 1, found 2"),
        (edit(codeless=codeless_list([(0, 3)], count=4)), r"list of symbols without a code: expected more bits"),
        (edit(exceptions=b"\0"), r"size of the list|end of the tensor payload"),
        (edit(after=b"\0"), r"end of the tensor payload: expected no more bytes, found 1 left over"),
    ],
)
def test_lies_of_lanes(change: Callable[[TensorParts], None], message: str) -> None:
    parts = in_lanes()
    decode_parts(parts, BF16)
    change(parts)
    refuse_parts(parts, len(BF16), message)
    payload = parts.to_bytes()
    assert len(payload) <= len(BF16)
    assert by_engine(build([tensor_frame(payload, BF16)])) == "corrupt"


def test_symbols_with_a_code_in_another_group_alone() -> None:
    block = bytes([5, 6] * (GROUP // 2) + [7, 8] * 40)
    parts = tensor_parts(block, element_bits=8, t=8, modes=[Lanes([{5: 128, 6: 128}, {7: 128, 8: 128}], [0, 1])])
    decode_parts(parts, block)
    parts.codeless = codeless_list([(GROUP - 1, 6)])
    refuse_parts(parts, len(block), r"symbol without a code: expected one that has none, found 6")
    parts.codeless = codeless_list([(GROUP, 6)])
    assert decode_tensor_parts(parts, len(block)) == block[:GROUP] + b"\x06" + block[GROUP + 1 :]


def test_bits_and_lanes_that_are_left_over() -> None:
    block = block_of([7 << 56, 8 << 56] * 8, 64)
    options: dict[str, Any] = {"element_bits": 64, "t": 8, "drop": 56, "modes": [Lanes([{7: 128, 8: 128}])]}
    decode_parts(tensor_parts(block, **options), block)
    # A lane of one element takes no bits; lanes from 16 on have no elements.
    for at, value, message in (
        (-64, 0b11000000, r"bits of lanes that are left over: expected 0, found 1"),
        (-64, 0b01000000, r"bits of lanes that are left over: expected 0, found 1"),
        (-33, 0b11111111, r"bits of lanes that are left over: expected 0, found 7"),
        (-1, 1, r"state of a lane without elements: expected 0, found 1"),
        (-16, 255, r"state of a lane without elements: expected 0, found 255"),
    ):
        changed = tensor_parts(block, **options)
        set_byte(at, value)(changed)
        refuse_parts(changed, len(block), message)
        assert by_engine(build([tensor_frame(changed.to_bytes(), block)])) == "corrupt"


def tiny(values: Sequence[int], **options: Any) -> tuple[TensorParts, int]:
    """The parts of a block of bytes, and its size."""
    return tensor_parts(bytes(values), element_bits=8, **options), len(values)


def test_unused_bits() -> None:
    for width, t in ((4, 4), (2, 6), (1, 7)):
        columns = (9 * width + 7) // 8
        for unused in range(9 * width, columns * 8):
            # Element `unused // width` does not exist; it would be at this place.
            element, bit = divmod(unused, width)
            parts, raw = tiny([1] * 9, t=t)
            data = bytearray(parts.groups[0][1])
            data[element % columns] |= 1 << (width * (element // columns) + bit)
            parts.groups[0][1] = bytes(data)
            refuse_parts(parts, raw, r"unused bits of a packed plane: expected 0, found others")
    for bit in range(3, 8):
        parts, raw = tiny([7, 8, 7], t=8, modes=[Coded(TWO)])
        last_byte(0, 1 << bit)(parts)
        refuse_parts(parts, raw, r"unused bits of a stream: expected 0, found others")
    for bit in range(3, 8):
        parts, raw = tiny([0] * 16 * 3, t=4, q=4)
        parts.presence = u8(1 << bit)
        refuse_parts(parts, raw, r"unused bits of the presence: expected 0, found others")


def test_streams_of_a_wrong_size() -> None:
    parts, raw = tiny([7] * 16, t=8, modes=[Coded(TWO)])
    parts.groups[0][0] = u16(3) + bytes(3)
    refuse_parts(parts, raw, r"size of a stream: expected 2, found 3")
    parts.groups[0][0] = u16(1) + bytes(1)
    refuse_parts(parts, raw, r"size of a stream: expected 2, found 1")
    parts.groups[0][0] = u16(0)
    refuse_parts(parts, raw, r"size of a stream: expected 2, found 0")
    parts.groups[0][0] = u16(2) + bytes(2)
    decode_parts(parts, b"\x07" * 16)


def test_head_and_numbers_that_do_not_fit() -> None:
    parts, _ = tiny([1, 2, 3], t=8)
    parts.head_size = 7
    refuse_parts(parts, 6, r"head: expected at most 6, found 7")
    refuse_parts(parts, 7, r"number of elements: expected at least 1, found 0")
    parts.log_size, parts.head_size = 3, 0
    refuse_parts(parts, 7, r"number of elements: expected at least 1, found 0")


def test_symbols_are_cut_to_t_bits() -> None:
    parts, raw = tiny([1, 2, 3], t=7)
    parts.groups[0][0] = b"\xff\x80\x00"
    payload = parts.to_bytes()
    reader = decoder.Reader(payload, 0, len(payload), "tensor payload")
    assert decoder.decode_tensor(reader, raw) == bytes([0xFF, 0, 1])
    # 1000 + 25 is over 10 bits.
    parts = tensor_parts(block_of([1001 << 6], 16), element_bits=16, t=10, base=1000)
    parts.groups[0][0] = u8(25)
    payload = parts.to_bytes()
    reader = decoder.Reader(payload, 0, len(payload), "tensor payload")
    assert decoder.decode_tensor(reader, 2) == u16(1 << 6)


def test_a_tensor_frame_with_a_wrong_checksum() -> None:
    frame = tensor_frame(bf16(modes=[Constant(0x3F), PACKED]).to_bytes(), BF16)
    refuse(build([frame]), r"checksum: expected [0-9a-f]{16}, found [0-9a-f]{16} at byte 32")


# ---- Hierarchical ----


def decode_node(payload: bytes, block: bytes) -> None:
    """The payload restores the block, by the engine too where a frame may hold it."""
    if len(payload) <= len(block):
        assert decode(build([hierarchical_frame(payload, block)])).source == block
    assert decoder.decode_hierarchical(node_reader(payload), len(block)) == block


def node_reader(payload: bytes) -> Any:
    return decoder.Reader(payload, 0, len(payload), "hierarchical payload")


def refuse_node(payload: bytes, block: bytes, message: str) -> None:
    with pytest.raises(decoder.Corrupt, match=message):
        decoder.decode_hierarchical(node_reader(payload), len(block))
    if len(payload) <= len(block):
        assert by_engine(build([hierarchical_frame(payload, block)])) == "corrupt"


def test_words_by_hand() -> None:
    payload = bytes.fromhex("0210000201 11223344 000004 00010200 000002 5566")
    block = bytes.fromhex("1122334455661122")
    assert decoder.decode_hierarchical(node_reader(payload), 8) == block
    assert words_parts(block, 16, [0x2211, 0x4433]).to_bytes() == payload


def drawn_words(bits: int, known: int, count: int, head: int = 0, strange: int = 0) -> tuple[bytes, list[int]]:
    """A block of words drawn from a book, of which about one in `strange` is another one; and the book."""
    rng = random.Random(bits)
    book = rng.sample(range(1 << min(bits, 60)), known)
    book = [word << bits - 60 | word if bits > 120 else word for word in book]
    words = [rng.choice(book) if not strange or rng.randrange(strange) else rng.getrandbits(bits) for _ in range(count)]
    whole = bit_string(words, bits)
    number = (
        int.from_bytes(whole, "little") << head | rng.getrandbits(head) if head else int.from_bytes(whole, "little")
    )
    size = (head + count * bits + 7) // 8
    return number.to_bytes(size, "little"), book


@pytest.mark.parametrize("strange", [0, 20])
@pytest.mark.parametrize(
    ("bits", "known", "count", "head"),
    [
        (4, 3, 500, 0),
        (4, 16, 501, 3),
        (7, 40, 500, 5),
        (12, 40, 400, 8),
        (16, 255, 300, 0),
        (16, 256, 300, 0),
        (24, 40, 300, 16),
        (32, 300, 900, 31),
        (33, 1025, 3000, 1),
        (64, 30, 100, 0),
        (251, 16, 100, 77),
        (512, 5, 30, 511),
    ],
)
def test_words(bits: int, known: int, count: int, head: int, strange: int) -> None:
    block, book = drawn_words(bits, known, count, head, strange)
    decode_node(words_parts(block, bits, book, head).to_bytes(), block)


def test_words_passed_down() -> None:
    """Of 64 bits to 32, 16, 8 and 4, in part."""
    rng = random.Random(7)
    halves = [[rng.getrandbits(bits) for _ in range(3)] for bits in (64, 32, 16, 8)]
    block = b"".join(rng.choice(word).to_bytes(8, "little") for word in [halves[0]] * 200)
    for bits, words in zip((32, 16, 8), halves[1:], strict=True):
        block += b"".join(rng.choice(words).to_bytes(bits // 8, "little") for _ in range(64 * 20 // bits))

    def below(bits: int) -> Callable[[bytes], bytes]:
        def node(data: bytes) -> bytes:
            if bits == 4:
                return words_parts(data, 4, list(range(15, 1, -1))).to_bytes()
            return words_parts(data, bits, halves[{64: 0, 32: 1, 16: 2, 8: 3}[bits]], below=below(bits // 2)).to_bytes()

        return node

    decode_node(below(64)(block), block)


Q5_0 = [whole_bytes(0, 2), Field(32, [Part(6, 16, 4, 0, 2), Part(2, 1, 1, 0, 8)])]


@pytest.mark.parametrize("tail", [0, 3])
@pytest.mark.parametrize(
    ("size", "fields"),
    [
        (1, [whole_bytes(0, 1)]),
        (20, [whole_bytes(0, 2), whole_bytes(2, 2), whole_bytes(4, 16)]),
        (22, Q5_0),
        (4, [Field(4, [Part(0, 4, 6)]), Field(4, [Part(0, 4, 2, 6)])]),
        (6, [Field(16, [Part(0, 2, 2, 0, 4), Part(4, 1, 1, 0, 8)])]),
    ],
)
def test_records(size: int, fields: list[Field], tail: int) -> None:
    block = random.Random(size).randbytes(9 * size + min(tail, size - 1))
    decode_node(records_parts(block, size, fields).to_bytes(), block)


def test_bits_above_those_of_a_value_are_dropped() -> None:
    block = bytes(range(64)) * 3
    parts = records_parts(block, 4, [Field(4, [Part(0, 4, 6)]), Field(4, [Part(0, 4, 2, 6)])])
    values = bytes(value | 0xC0 for value in Field(4, [Part(0, 4, 6)]).values(block, 4))
    parts.values[0] = leaf(values)
    assert decoder.decode_hierarchical(node_reader(parts.to_bytes()), len(block)) == block


def test_records_of_words_and_leaves_of_other_codecs() -> None:
    block = b"".join(bytes([i % 5, 7]) + bytes([i % 3] * 14) + bytes([1, 2, 3, i % 256]) for i in range(300))
    fields = [whole_bytes(0, 2), whole_bytes(2, 14), whole_bytes(16, 4)]
    parts = records_parts(block, 20, fields)
    first, second, third = (field.values(block, 20) for field in fields)
    parts.values = [
        words_parts(first, 16, [7 << 8 | i for i in range(5)]).to_bytes(),
        leaf(second, 3, zstandard.ZstdCompressor().compress(second)),
        words_parts(third, 32, [int.from_bytes(bytes([1, 2, 3, i]), "little") for i in range(256)]).to_bytes(),
    ]
    decode_node(parts.to_bytes(), block)
    small = bytes(1000)
    decode_node(leaf(small, LZ4, lz4_sequence(b"\0", 1, 980) + lz4_sequence(bytes(19))), small)
    elements = tensor_parts(small, element_bits=8, t=8, modes=[Constant(0)])
    decode_node(leaf(small, TENSOR, elements.to_bytes()), small)


def some_words() -> WordsParts:
    """Twelve bits of head, words of 12 bits of which one in ten is passed down, and some bits behind."""
    return words_parts(WORDS, 12, WORD_BOOK, 10)


WORDS, WORD_BOOK = drawn_words(12, 40, 401, 10, 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 3, "book": b""}, r"bits of a word: expected 4 to 512, found 3 at byte 1"),
        ({"bits": 513}, r"bits of a word: expected 4 to 512, found 513"),
        ({"head": 12}, r"head of the words: expected below 12, found 12 at byte 2"),
        ({"head": 2**60}, r"head of the words: expected below 12"),
        ({"known": 0}, r"words of a codebook: expected 1 to 401, found 0 at byte 3"),
        ({"known": 402}, r"words of a codebook: expected 1 to 401, found 402"),
        ({"known": 2**50}, r"words of a codebook: expected 1 to 401, found 1125899906842624"),
        ({"known": 65536}, r"words of a codebook: expected 1 to 401, found 65536"),
        ({"flags": 3}, r"reserved flags of the words: expected 0, found 2 at byte 4"),
        ({"flags": 0}, r"number of a word: expected at most 39, found 40"),
        ({"first": b"\0\4"}, r"unused bits of the first bits: expected 0, found 1"),
        ({"last": b"\x80"}, r"unused bits of the last bits: expected 0, found \d+"),
        ({"book": b"\xff" * 5}, r"number of a word|kind of a node|codebook|leaf"),
        ({"numbers": leaf(bytes([41]) * 401)}, r"number of a word: expected at most 40, found 41"),
        ({"numbers": leaf(bytes(401))}, r"words that are passed down: expected at least 1, found 0"),
        ({"numbers": leaf(bytes(400))}, r"stored bytes: expected 401 bytes, found 400 left in the leaf"),
        ({"numbers": leaf(bytes(402))}, r"size of a leaf: expected 1 to 401, found 402"),
        ({"numbers": leaf(b"", size=401)[:-1]}, r"size of a leaf"),
        ({"numbers": leaf(b"", size=0)}, r"size of a leaf: expected 1 to 401, found 0"),
        ({"numbers": leaf(bytes(200), size=2**60)}, r"size of a leaf: expected 1 to 401"),
        ({"numbers": leaf(bytes(401), codec=1)}, r"codec of a leaf: expected one of 0, 2, 3, 5, found 1"),
        ({"numbers": leaf(bytes(401), codec=HIERARCHICAL)}, r"codec of a leaf: .* found 4"),
        ({"numbers": leaf(bytes(401), codec=6)}, r"codec of a leaf: .* found 6"),
        ({"numbers": leaf(bytes(401), codec=COPY)}, r"codec of a leaf: .* found 7"),
        (
            {"numbers": leaf(bytes(401), LZ4, lz4_sequence(b"\0", 1, 390) + lz4_sequence(bytes(9)))},
            r"size of a restored leaf: expected 401, found 400",
        ),
        ({"numbers": b"\1"}, r"kind of a node: expected one of 0, found 1"),
        ({"numbers": b"\2\4\0\1\0"}, r"kind of a node: expected one of 0, found 2"),
        ({"below": b"\1\2"}, r"kind of a node: expected one of 0, 2, found 1"),
        ({"below": b"\3"}, r"kind of a node: expected one of 0, 2, found 3"),
        ({"below": b"\2\7\0\1\0"}, r"bits of a word: expected 4 to 6, found 7"),
        ({"below": b""}, r"kind of a node: expected 1 bytes, found 0 left|number of a word"),
    ],
)
def test_lies_of_words(changes: dict[str, Any], message: str) -> None:
    parts = some_words()
    decode_node(parts.to_bytes(), WORDS)
    if "below" in changes:
        parts.flags = 1
    vars(parts).update(changes)
    refuse_node(parts.to_bytes(), WORDS, message)


def test_lies_at_the_end_of_words() -> None:
    good = some_words()
    assert good.below[0] == 0
    refuse_node(
        good.to_bytes() + b"\0", WORDS, r"end of the hierarchical payload: expected no more bytes, found 1 left"
    )
    refuse_node(good.to_bytes()[:-1], WORDS, r"leaf: expected \d+ bytes, found \d+ left in the hierarchical payload")
    # One word of 12 bits is passed down, in two bytes.
    block = bytes(597) + b"abc"
    parts = words_parts(block, 12, [0, 0x636])
    assert parts.below == leaf(b"\x61\x02")
    decode_node(parts.to_bytes(), block)
    parts.below = leaf(b"\x61\x12")
    refuse_node(parts.to_bytes(), block, r"unused bits of the words that are passed down: expected 0, found 1")


def test_more_words_than_there_are_of_so_many_bits() -> None:
    block = bytes(100)
    parts = words_parts(block, 4, list(range(16)))
    decode_node(parts.to_bytes(), block)
    parts.codebook = [*range(16), 0]
    refuse_node(parts.to_bytes(), block, r"words of a codebook: expected 1 to 16, found 17")


def test_lies_of_wide_numbers() -> None:
    block, book = drawn_words(32, 300, 2000)
    parts = words_parts(block, 32, book)
    decode_node(parts.to_bytes(), block)
    plane = parts.numbers[-4000:]
    parts.numbers = leaf(bytes([plane[0] | 1]) + plane[1:])
    refuse_node(parts.to_bytes(), block, r"bits below the number of a word: expected 0, found 1")
    parts.numbers = leaf(u16(300 << 7) + plane[2:])
    refuse_node(parts.to_bytes(), block, r"number of a word: expected at most 299, found 300")


RECORDS = random.Random(9).randbytes(22 * 30) + b"end"


def some_records() -> RecordsParts:
    return records_parts(RECORDS, 22, [Field(field.count, [replace(p) for p in field.parts]) for field in Q5_0])


def edit_part(**changes: Any) -> Callable[[RecordsParts], None]:
    """Change the first part of the values of 5 bits."""
    return lambda parts: vars(parts.fields[1].parts[0]).update(changes)


def edit_field(**changes: Any) -> Callable[[RecordsParts], None]:
    return lambda parts: vars(parts.fields[1]).update(changes)


def edit_records(**changes: Any) -> Callable[[RecordsParts], None]:
    return lambda parts: vars(parts).update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit_records(size=0), r"bytes of a record: expected 1 to 663, found 0 at byte 1"),
        (edit_records(size=664), r"bytes of a record: expected 1 to 663, found 664"),
        (edit_records(field_count=0), r"fields of a record: expected 1 to 64, found 0 at byte 2"),
        (edit_records(field_count=65), r"fields of a record: expected 1 to 64, found 65"),
        (edit_records(fields=[Q5_0[1]]), r"bits of a record that no field takes: expected 0, found 16"),
        (edit_records(fields=[*Q5_0, whole_bytes(0, 1)]), r"byte 0 of a record: expected bits taken once"),
        (edit_field(count=0), r"values of a field: expected at least 1, found 0"),
        (edit_field(count=33), r"values of a field: expected a multiple of 32, found 33"),
        (edit_field(count=64), r"end of a part: expected at most 22, found 38"),
        (edit_field(part_count=0), r"parts of a field: expected 1 to 8, found 0"),
        (edit_field(part_count=9), r"parts of a field: expected 1 to 8, found 9"),
        (edit_part(offset=7), r"end of a part: expected at most 22, found 23"),
        (edit_part(offset=65535), r"end of a part: expected at most 22"),
        (edit_part(offset=5), r"byte 5 of a record: expected bits taken once, found some taken twice"),
        (edit_part(span=0), r"span of a part: expected at least 1, found 0"),
        (edit_part(bits=0), r"bits of a part: expected at least 1, found 0"),
        (edit_part(repeats=0), r"repeats of a part: expected at least 1, found 0"),
        (edit_part(bits=5), r"shift \+ bits \* repeats of a part: expected at most 8, found 10"),
        (edit_part(shift=1), r"shift \+ bits \* repeats of a part: expected at most 8, found 9"),
        (edit_part(bits=255, shift=255, repeats=255), r"values of a field: expected a multiple of 4080|at most 8"),
        (
            edit_field(count=2, parts=[Part(2, 2), Part(4, 2, 1)]),
            r"bits of a field's values: expected 2 to 8, found 9",
        ),
        (edit_field(count=8, parts=[Part(2, 1, 1, 0, 8)]), r"bits of a field's values: expected 2 to 8, found 1"),
        (edit_records(tail=b"en"), r"kind of a node|leaf|codec|left"),
        (
            lambda parts: parts.values.pop(),
            r"kind of a node: expected 1 bytes, found 0 left in the hierarchical payload",
        ),
        (lambda parts: parts.values.append(b"\0"), r"end of the hierarchical payload: expected no more bytes, found 1"),
        (lambda parts: parts.values.__setitem__(0, b"\1"), r"kind of a node: expected one of 0, 2, found 1"),
    ],
)
def test_lies_of_records(change: Callable[[RecordsParts], None], message: str) -> None:
    parts = some_records()
    decode_node(parts.to_bytes(), RECORDS)
    change(parts)
    refuse_node(parts.to_bytes(), RECORDS, message)


def test_a_record_larger_than_4096_bytes() -> None:
    block = bytes(9000)
    decode_node(records_parts(block, 4096, [whole_bytes(0, 4096)]).to_bytes(), block)
    parts = records_parts(block, 4097, [whole_bytes(0, 4097)])
    refuse_node(parts.to_bytes(), block, r"bytes of a record: expected 1 to 4096, found 4097")


def printed_singles(*numbers: tuple[int, int]) -> bytes:
    """Floats k / 10^places, places 255 for one that is escaped."""
    return b"".join(struct.pack("<f", k / 10**places if places < 255 else float(k)) for k, places in numbers)


def test_decimals_by_hand() -> None:
    payload = bytes.fromhex("03000118 00000200FF 0000080000000A00000000 00000401020304")
    block = bytes.fromhex("0000003F 01020304")
    assert decoder.decode_hierarchical(node_reader(payload), 8) == block
    # Without a float there is no leaf.
    assert decoder.decode_hierarchical(node_reader(b"\3\4\0\0ab" + b"c"), 3) == b"abc"
    assert decoder.decode_hierarchical(node_reader(b"\3\4\0\0ab"), 2) == b"ab"


def decimals(form: int = 0, base: int = 0, shift: int = 0, places: bytes = b"\1\2\xff\0", top: int = 0) -> bytes:
    numbers = b"".join(u32(z) for z in (9 | top, 50, 0, 0))
    return (
        b"\3" + u8(form) + u8(base) + u8(shift) + leaf(places) + leaf(numbers) + leaf(b"\1\2\3\4" * places.count(255))
    )


DECIMALS = printed_singles((-5, 1), (25, 2)) + b"\1\2\3\4" + bytes(4)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (decimals(form=8), r"head of decimals: expected below 4, found 4 at byte 1"),
        (decimals(form=17), r"head of decimals: expected below 8, found 8"),
        (decimals(base=23), r"fewest places: expected at most 22, found 23 at byte 2"),
        (decimals(shift=32), r"shift of decimals: expected below 32, found 32 at byte 3"),
        (decimals(base=21), r"places of a decimal: expected at most 22, found 23"),
        (decimals(places=b"\1\2\xff\xfe"), r"places of a decimal: expected at most 22, found 254"),
        (decimals() + b"\0", r"end of the hierarchical payload: expected no more bytes, found 1"),
        (decimals()[:-1], r"leaf: expected 4 bytes, found 3 left in the hierarchical payload"),
        (decimals(form=2), r"places|leaf|kind"),
        (b"\3\0\0\0\1", r"kind of a node: expected one of 0, found 1"),
        (b"\3\0\0\0\2", r"kind of a node: expected one of 0, found 2"),
        (b"\3\0\0\0\3", r"kind of a node: expected one of 0, found 3"),
    ],
)
def test_lies_of_decimals(payload: bytes, message: str) -> None:
    with pytest.raises(decoder.Corrupt, match=message):
        decoder.decode_hierarchical(node_reader(payload), 16)


def test_decimals() -> None:
    assert decoder.decode_hierarchical(node_reader(decimals()), 16) == DECIMALS
    with pytest.raises(decoder.Corrupt, match=r"head of decimals: expected at most 1, found 2"):
        decoder.decode_hierarchical(node_reader(b"\3\4\0\0ab"), 1)
    doubles = b"\3\1\0\0" + leaf(b"\0\xff") + leaf(u64(5) + u64(1 << 54)) + leaf(bytes(8))
    with pytest.raises(decoder.Corrupt, match=r"number of a decimal: expected below 2\^54, found 18014398509481984"):
        decoder.decode_hierarchical(node_reader(doubles), 16)
    # A long block, for the engine.
    block = DECIMALS * 20
    payload = b"\3\0\0\0" + b"".join(
        leaf(part * 20, 3, zstandard.ZstdCompressor().compress(part * 20))
        for part in (b"\1\2\xff\0", u32(9) + u32(50) + bytes(8), b"\1\2\3\4")
    )
    decode_node(payload, block)


SCALED = bytes.fromhex("0A01020002 000008 0000803F 000040C0 000008 0000003F 0000803F 0000030001FF 000002ABCD")


def test_scaled_values_by_hand() -> None:
    assert decoder.decode_hierarchical(node_reader(SCALED), 6) == bytes.fromhex("003F C0BF ABCD")
    with pytest.raises(decoder.Corrupt, match=r"floats: expected at least one, found 0 at byte 1"):
        decoder.decode_hierarchical(node_reader(b"\x0a\2!!!"), 3)
    with pytest.raises(decoder.Corrupt, match=r"head of scaled values: expected at most 2, found 3"):
        decoder.decode_hierarchical(node_reader(b"\x0a\x0e!!"), 2)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (1, 3, r"type of scaled values: expected below 3, found 3 at byte 1"),
        (1, 9, r"head of scaled values: expected below 2, found 2 at byte 1"),
        (2, 0, r"floats of a group: expected 1 to 4294967295, found 0"),
        (3, 2, r"floats that the first group lacks: expected 0 to 1, found 2"),
        (4, 0, r"values of the grid: expected at least one, found 0"),
        (4, 3, r"leaf|size"),
        (11, 0xFF, r"value of the grid: expected a finite number"),
        (31, 2, r"code: expected below 2, found 2"),
    ],
)
def test_lies_of_scaled_values(at: int, value: int, message: str) -> None:
    payload = bytearray(SCALED)
    payload[at] = value
    with pytest.raises(decoder.Corrupt, match=message):
        decoder.decode_hierarchical(node_reader(bytes(payload)), 6)


def test_hostile_nodes() -> None:
    """Damaged payloads: both restore the same bytes, or both refuse."""
    rng = random.Random(5)
    zeros = bytes(3000)
    block = bytes(rng.choice([17, 34, 51]) for _ in range(3000))
    compressor = zstandard.ZstdCompressor(write_content_size=False)

    def squeezed(parts: WordsParts) -> bytes:
        numbers = parts.numbers[4:]
        return replace(parts, numbers=leaf(numbers, 3, compressor.compress(numbers))).to_bytes()

    narrow = squeezed(words_parts(block, 32, [0x11111111], 8, lambda data: squeezed(words_parts(data, 8, [17, 34]))))
    records = records_parts(zeros, 22, Q5_0)
    records.values = [
        leaf(bytes(272), LZ4, lz4_sequence(b"\0", 1, 260) + lz4_sequence(bytes(11))),
        words_parts(bytes(4352), 128, [0]).to_bytes(),
    ]
    accepted = 0
    for payload, restored in ((narrow, block), (records.to_bytes(), zeros)):
        assert len(payload) <= len(restored)
        decode_node(payload, restored)
        for _ in range(600):
            damaged = bytearray(payload)
            damaged[rng.randrange(min(len(payload), rng.choice([12, 60, 3000])))] = rng.choice(
                [0, 1, 255, rng.randrange(256)]
            )
            try:
                made = decoder.decode_hierarchical(node_reader(bytes(damaged)), 3000)
            except decoder.Corrupt:
                made = None
            found = by_engine(build([hierarchical_frame(bytes(damaged), restored if made is None else made)]))
            assert found == ("corrupt" if made is None else made)
            accepted += made is not None
    assert 0 < accepted < 1200


# ---- Everything at once ----


def rich_file() -> tuple[bytes, bytes]:
    floats = block_of([0x3F80 + i % 90 for i in range(700)], 16)
    modes: list[Mode] = [Coded(flat_lengths(range(0x7F, 0x82))), *[PACKED] * 4]
    parts = tensor_parts(floats, element_bits=16, t=8, sign_moved=True, q=3, modes=modes)
    text = b"abcabcabcabcabcabc" * 3 + b"12345"
    frames = [
        store(b"head"),
        tensor_frame(parts.to_bytes(), floats),
        lz4(lz4_sequence(b"abc", 3, 51) + lz4_sequence(b"12345"), text),
        zstd(zstandard.ZstdCompressor(write_checksum=False).compress(DATA), DATA),
        pattern(b"xyz", 100),
        copy(4, 1400),
    ]
    tensors = [Tensor("f", "BF16", [70, 10], gap=4), Tensor("z", "U8", [0]), Tensor("c", "BF16", [700], gap=5159)]
    data = build(frames, tensors, name="rich.bin", source_format=1, sha256=True)
    return data, decode(data).source


def test_all_codecs_together() -> None:
    data, source = rich_file()
    assert len(source) == 4 + 1400 + 59 + 5000 + 100 + 1400
    names = ["store", "tensor", "lz4", "zstd", "pattern251", "copy"]
    assert [frame.codec for frame in decode(data).frames] == names


def test_damage_is_found() -> None:
    """No change of a byte makes the decoder restore something else, nor fail in another way."""
    data, source = rich_file()
    rng = random.Random(2)
    for at in range(len(data)):
        if 900 < at < len(data) - 600 and at % 7:
            continue
        damaged = bytearray(data)
        damaged[at] ^= 1 << rng.randrange(8)
        with suppress(decoder.MmhError):
            assert decode(bytes(damaged)).source == source


def test_hostile_bytes_without_checks() -> None:
    """Whatever the bytes are, the decoder refuses them in its own words or restores as many as it was told."""
    data, _ = rich_file()
    rng = random.Random(3)
    for _ in range(1500):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(16, len(data))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        try:
            decoded = decode(bytes(damaged), check=False, limit=2**20)
        except decoder.MmhError:
            continue
        assert len(decoded.source) == sum(frame.raw for frame in decoded.frames)


def test_hostile_tensor_payloads() -> None:
    rng = random.Random(4)
    block = block_of([rng.choice([3, 500, 1000]) << 22 | rng.getrandbits(20) << 2 for _ in range(300)], 32)
    modes: list[Mode] = [Coded(flat_lengths(range(40))), Coded(flat_lengths(range(256))), *[PACKED] * 4]
    options: dict[str, Any] = {"element_bits": 32, "t": 10, "base": 480, "drop": 2, "q": 11}
    payload = tensor_parts(block, modes=modes, **options).to_bytes()
    in_lanes: list[Mode] = [Lanes([flat_frequencies(range(20)), {0: 156, 19: 100}], [1]), *modes[1:]]
    for number in range(3000):
        if number == 1500:
            payload = tensor_parts(block, modes=in_lanes, **options).to_bytes()
        damaged = bytearray(payload)
        for _ in range(rng.randint(1, 2)):
            damaged[rng.randrange(min(len(payload), rng.choice([8, 200, 5000])))] = rng.randrange(256)
        reader = decoder.Reader(bytes(damaged), 0, len(damaged), "tensor payload")
        with suppress(decoder.Corrupt):
            assert len(decoder.decode_tensor(reader, len(block))) == len(block)


# ---- Missing packages and the command line ----


@pytest.mark.parametrize("package", ["xxhash", "blake3", "zstandard"])
def test_missing_packages(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compressed = zstandard.ZstdCompressor().compress(DATA)
    data = build([zstd(compressed, DATA)])
    monkeypatch.setitem(sys.modules, package, None)
    refuse(data, f"needs the Python package '{package}'", decoder.Unsupported, engine=False)
    if package == "zstandard":
        refuse(data, "the codec zstd needs the Python package", decoder.Unsupported, check=False)
    else:
        assert decode(data, check=False).source == DATA
    if package == "blake3":
        assert decode(build([store(b"a")], hashes=False)).source == b"a"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command_line(tmp_path: Path) -> None:
    data, source = rich_file()
    file, out = tmp_path / "rich.mmh", tmp_path / "out"
    file.write_bytes(data)
    done = run(file, "-o", out)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(source).digest()

    listed = run(file, "--list")
    assert listed.returncode == 0
    assert listed.stdout.splitlines()[:4] == [
        f"source 'rich.bin', safetensors, {len(source)} bytes",
        "tensor 'f' BF16 70x10 C 4+1400",
        "tensor 'z' U8 0 C 1404+0",
        "tensor 'c' BF16 700 C 6563+1400",
    ]

    file.write_bytes(data[:-1])
    done = run(file)
    assert done.returncode == 2
    assert "end magic: expected 4d 4d 48" in done.stderr
    file.write_bytes(build([store(b"x")], source_blake3=bytes(32)))
    assert run(file).returncode == 2
    assert run(file, "--no-check").returncode == 0
    file.write_bytes(b"nothing of the kind")
    assert run(file).returncode == 3
    file.write_bytes(build(version=9))
    assert run(file).returncode == 3
    assert run(tmp_path / "missing.mmh").returncode == 4
    file.write_bytes(data)
    assert run(file, "-o", tmp_path / "no" / "folder").returncode == 4
    assert run().returncode == 64
    assert run(file, "--what").returncode == 64
    assert run("--help").returncode == 0


def test_names_are_escaped(tmp_path: Path) -> None:
    file = tmp_path / "a.mmh"
    file.write_bytes(build(tensors=[Tensor("\x1b[2J\n", "U8", [0])], name="é\x07"))
    assert run(file, "--list").stdout == "source '\\xe9\\x07', unknown, 0 bytes\ntensor '\\x1b[2J\\n' U8 0 C 0+0\n"


def test_builder_strings() -> None:
    assert string("é") == b"\x02\xc3\xa9"
    assert varint(300) == b"\xac\x02" and varint(300, pad_to=4) == b"\xac\x82\x80\x00"

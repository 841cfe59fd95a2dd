"""A small, slow and clear decoder of the `.mmh` container, version 0.

It is written from FORMAT.md and the pages in codecs/ alone and is meant to be read next to them: each function names
the section that it implements ("FORMAT 2.3", "tensor 3", ...). It holds the whole file in memory and refuses whatever
the specification calls corrupt. It needs Python 3.11 or newer, and the packages `xxhash` and `blake3` (unless the
checks are turned off) and `zstandard` (for files with zstd frames).

    python decoder.py FILE.mmh [--base BASE] [-o OUT] [--list] [--no-check]

Exit codes: 0 good, 2 damaged, 3 not an MMH file or not supported, 4 input/output error, 64 wrong usage.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import math
import struct
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeVar

MAGIC = b"\x89MMH\r\n\x1a\n"
END_MAGIC = b"MMHEND\r\n"
HEADER_SIZE, FRAME_HEADER_SIZE, FOOTER_SIZE = 16, 24, 40
PARITY_MAGIC, PARITY_HEAD_SIZE = b"MMHPARIT", 96
MAX_BLOCK = 1 << 24

CODECS = {0: "store", 1: "pattern251", 2: "lz4", 3: "zstd", 4: "hierarchical", 5: "tensor", 6: "delta", 7: "copy",
          8: "prefix", 9: "relative"}  # fmt: skip
RUNS = ("pattern251", "copy")
FORMATS = (
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
)
LAYOUTS = ("C", "F")
# Name, and elements and bytes of a unit; the place in the table is the number in the file.
# fmt: off
DTYPES = {
    "BOOL": (1, 1), "U8": (1, 1), "I8": (1, 1), "U16": (1, 2), "I16": (1, 2), "U32": (1, 4), "I32": (1, 4),
    "U64": (1, 8), "I64": (1, 8), "F16": (1, 2), "BF16": (1, 2), "F32": (1, 4), "F64": (1, 8),
    "F8_E4M3": (1, 1), "F8_E5M2": (1, 1), "F8_E4M3FNUZ": (1, 1), "F8_E5M2FNUZ": (1, 1), "F8_E8M0": (1, 1),
    "F4": (2, 1), "F6_E2M3": (4, 3), "F6_E3M2": (4, 3), "C64": (1, 8), "Q4_0": (32, 18), "Q4_1": (32, 20),
    "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34), "Q8_1": (32, 40), "Q2_K": (256, 84),
    "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210), "Q8_K": (256, 292),
    "IQ2_XXS": (256, 66), "IQ2_XS": (256, 74), "IQ3_XXS": (256, 98), "IQ1_S": (256, 50), "IQ4_NL": (32, 18),
    "IQ3_S": (256, 110), "IQ2_S": (256, 82), "IQ4_XS": (256, 136), "IQ1_M": (256, 56), "TQ1_0": (256, 54),
    "TQ2_0": (256, 66), "MXFP4": (32, 17), "NVFP4": (64, 36), "Q1_0": (128, 18),
}
# fmt: on


# ---- Errors ----


class MmhError(Exception):
    """What all refusals of this decoder have in common."""


class NotMmh(MmhError):
    """The file does not begin with the magic of an MMH file."""


class Corrupt(MmhError):
    """The file breaks a rule of the specification."""


class Unsupported(MmhError):
    """The file may be good, but this decoder cannot tell: another version, an unknown codec, a missing package."""


class NoBase(MmhError):
    """The base is missing, or is another one than the file was compressed against."""


def corrupt(what: str, expected: object, found: object, at: int) -> NoReturn:
    raise Corrupt(f"{what}: expected {expected}, found {found} at byte {at}")


def expect(good: bool, what: str, expected: object, found: object, at: int) -> None:
    """Raise `Corrupt` unless `good`; `at` is the place in the `.mmh` file."""
    if not good:
        corrupt(what, expected, found, at)


def expect_equal(what: str, expected: object, found: object, at: int) -> None:
    expect(expected == found, what, expected, found, at)


# ---- Numbers and hashes (FORMAT 1) ----


class Reader:
    """A cursor over the bytes `at` to `end` of the file. It never passes the end of its part, so that every size in
    the file is compared with what there is before it is used."""

    def __init__(self, data: bytes, at: int, end: int, part: str) -> None:
        self.data, self.at, self.end, self.part = data, at, end, part
        self.room = 0  # bytes that nodes below the top one may restore (hierarchical 9)

    @property
    def left(self) -> int:
        return self.end - self.at

    def take(self, count: int, what: str) -> bytes:
        expect(count <= self.left, what, f"{count} bytes", f"{self.left} left in the {self.part}", self.at)
        self.at += count
        return self.data[self.at - count : self.at]

    def literal(self, expected: bytes, what: str) -> None:
        expect_equal(what, expected.hex(" "), self.take(len(expected), what).hex(" "), self.at - len(expected))

    def section(self, count: int, part: str) -> Reader:
        """The next `count` bytes as a reader of their own."""
        expect(count <= self.left, part, f"{count} bytes", f"{self.left} left in the {self.part}", self.at)
        self.at += count
        return Reader(self.data, self.at - count, self.at, part)

    def uint(self, size: int, what: str) -> int:
        return int.from_bytes(self.take(size, what), "little")

    def u8(self, what: str) -> int:
        return self.uint(1, what)

    def varint(self, what: str) -> int:
        """Unsigned LEB128 in its shortest form."""
        start, value = self.at, 0
        for shift in range(0, 70, 7):
            byte = self.u8(what)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                expect(byte != 0 or shift == 0, what, "the shortest varint", "a last byte of zero", start)
                expect(value < 1 << 64, what, "a varint that fits 64 bits", value, start)
                return value
        corrupt(what, "a varint of at most 10 bytes", "a longer one", start)

    def string(self, what: str, limit: int) -> str:
        start = self.at
        size = self.varint(f"size of {what}")
        expect(size <= limit, f"size of {what}", f"at most {limit}", size, start)
        start, text = self.at, self.take(size, what)
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError as error:
            corrupt(what, "UTF-8", text[error.start : error.end].hex(" "), start + error.start)

    def finish(self) -> None:
        expect(self.left == 0, f"end of the {self.part}", "no more bytes", f"{self.left} left over", self.at)


def needed_package(name: str, purpose: str) -> Any:
    """Packages are imported when they are needed, so that a file that does without them can be read without them."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Unsupported(f"{purpose} needs the Python package '{name}', which is not installed") from None


def xxh3(data: bytes, seed: int = 0) -> int:
    return int(needed_package("xxhash", "checking (--no-check turns it off)").xxh3_64_intdigest(data, seed=seed))


def blake3(data: bytes) -> bytes:
    return bytes(needed_package("blake3", "checking (--no-check turns it off)").blake3(data).digest())


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


# ---- The container (FORMAT 2) ----


@dataclass(frozen=True)
class Frame:
    """One frame. `start` is a source offset, `at` the place of the frame's header in the `.mmh` file."""

    codec: str
    start: int
    raw: int
    at: int
    stored: int


@dataclass(frozen=True)
class Tensor:
    """One tensor. `start` is a source offset, `length` counts bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    layout: str
    start: int
    length: int
    blake3: bytes | None


@dataclass(frozen=True)
class Base:
    """What the record says of the base (FORMAT 2.5); `size` is that of the record."""

    name: str
    length: int
    blake3: bytes
    size: int


@dataclass(frozen=True)
class Decoded:
    """The index and, once all is restored, the source."""

    name: str
    format: str
    length: int
    blake3: bytes | None
    sha256: bytes | None
    tensors: list[Tensor]
    frames: list[Frame]
    source: bytes = b""


def decode(data: bytes, check: bool = True, limit: int = 2**31, base: bytes | None = None) -> Decoded:
    """Decode a whole `.mmh` file, which may need the bytes of a base. `limit` bounds the bytes restored, since a run of
    a few bytes may stand for any number of them. Without `check` no hash is compared, but everything else is. Parity is
    passed over: what it would take to mend a damaged file is not here."""
    data = without_parity(data, check)
    flags = read_header(data, check)
    has_copies, has_base, has_relatives = (flags & bit != 0 for bit in (1, 2, 4))
    record = read_base(data, check) if has_base else None
    index = read_index(read_footer(data, check), HEADER_SIZE + (record.size if record else 0))
    expect_equal("flag for copy frames", any(frame.codec == "copy" for frame in index.frames), has_copies, 10)
    check_borders(index)
    if any(frame.codec == "relative" for frame in index.frames):
        expect(has_relatives, "flag for relative frames", "one that is set", "relative frames without it", 10)
    if any(frame.codec == "delta" for frame in index.frames):
        expect(record is not None, "flag for a base", "one that is set", "delta frames without it", 10)
        check_base(record, base, check)
    if index.length > limit:
        raise Unsupported(f"the source has {index.length} bytes, more than the limit of {limit}")
    restored = Restored(data, index, check, base or b"")
    source = b"".join(map(restored.frame, range(len(index.frames))))
    if check:
        check_hashes(index, source)
    return replace(index, source=source)


def without_parity(data: bytes, check: bool) -> bytes:
    """FORMAT 6. The body, without the parity that may follow it."""
    at = len(data) - PARITY_HEAD_SIZE
    if at < 0 or data[at : at + 8] != PARITY_MAGIC:
        return data
    trailer = Reader(data, at + 8, len(data), "trailer of the parity")
    expect_equal("version of the parity", 0, trailer.uint(2, "version"), at + 8)
    expect_equal("kind of the last head", 2, trailer.uint(2, "kind"), at + 10)
    shard, body = trailer.uint(4, "size of a shard"), trailer.uint(8, "size of the body")
    groups, recovery = trailer.uint(4, "groups"), trailer.uint(4, "recovery shards")
    if check:
        expected = xxh3(data[at : at + 88])
        expect_equal("hash of the trailer", expected, int.from_bytes(data[at + 88 :], "little"), at + 88)
    expect(64 <= shard <= 1 << 24 and shard.bit_count() == 1, "size of a shard", "a power of two", shard, at + 12)
    expect(1 <= body < 1 << 50, "size of the body", "1 to 2^50 - 1", body, at + 16)
    shards = -(-body // shard)
    expect(1 <= groups <= shards, "groups", f"1 to {shards}", groups, at + 24)
    expect(1 <= recovery <= 32768, "recovery shards", "1 to 32768", recovery, at + 28)
    size = body + 2 * (PARITY_HEAD_SIZE + 8 * shards) + groups * recovery * (PARITY_HEAD_SIZE + shard)
    expect_equal("size of the file with its parity", size, len(data), at + 16)
    return data[:body]


def read_header(data: bytes, check: bool) -> int:
    """FORMAT 2.1. Returns the flags."""
    if data[:8] != MAGIC:
        raise NotMmh(f"magic: expected {MAGIC.hex(' ')}, found {data[:8].hex(' ') or 'nothing'} at byte 0")
    header = Reader(data, 8, min(len(data), HEADER_SIZE), "header")
    version, flags, found = header.uint(2, "version"), header.uint(2, "flags"), header.uint(4, "header check")
    # The check comes before the version: a damaged version must not pass for a newer one.
    if check:
        expect_equal("header check", f"{xxh3(data[:12]) & 0xFFFFFFFF:08x}", f"{found:08x}", 12)
    if version != 0:
        raise Unsupported(f"version: expected 0, found {version} at byte 8: the file is for another decoder")
    expect(flags < 8, "reserved flags", 0, flags & ~7, 10)
    return flags


def read_base(data: bytes, check: bool) -> Base:
    """FORMAT 2.5."""
    record = Reader(data, HEADER_SIZE, len(data), "record of the base")
    record.literal(b"BS", "sync of the record of the base")
    size, found = record.uint(2, "size of the name"), record.uint(4, "check of the record")
    expect(size <= 1024, "size of the name", "at most 1024", size, HEADER_SIZE + 2)
    length, digest, name_at = record.uint(8, "length of the base"), record.take(32, "BLAKE3 of the base"), record.at
    name = record.take(size, "name of the base")
    if check:
        expected = xxh3(data[HEADER_SIZE : HEADER_SIZE + 4] + data[HEADER_SIZE + 8 : record.at]) & 0xFFFFFFFF
        expect_equal("check of the record of the base", f"{expected:08x}", f"{found:08x}", HEADER_SIZE + 4)
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        corrupt("name of the base", "UTF-8", name.hex(" "), name_at)
    check_file_name("name of the base", text, name_at)
    return Base(text, length, digest, record.at - HEADER_SIZE)


def check_base(record: Base | None, base: bytes | None, check: bool) -> None:
    """FORMAT 2.5: before anything is restored."""
    assert record is not None
    wanted = f"{record.name!a} of {record.length} bytes, BLAKE3 {record.blake3.hex()}"
    if base is None:
        raise NoBase(f"a base is needed: {wanted}")
    if len(base) != record.length or (check and blake3(base) != record.blake3):
        raise NoBase(f"base: expected {wanted}, found another of {len(base)} bytes")


def read_footer(data: bytes, check: bool) -> Reader:
    """FORMAT 2.4. Returns a reader of the index."""
    at = len(data) - FOOTER_SIZE
    expect(at >= HEADER_SIZE, "footer", f"a file of at least {HEADER_SIZE + FOOTER_SIZE} bytes", len(data), len(data))
    footer = Reader(data, at, len(data), "footer")
    index_size, index_hash = footer.uint(8, "size of the index"), footer.uint(8, "hash of the index")
    file_size, footer_hash = footer.uint(8, "size of the file"), footer.uint(8, "hash of the footer")
    footer.literal(END_MAGIC, "end magic")
    if check:
        expected = xxh3(data[:HEADER_SIZE] + data[at : at + 24])
        expect_equal("hash of header and footer", f"{expected:016x}", f"{footer_hash:016x}", at + 24)
    expect_equal("size of the file", len(data), file_size, at + 16)
    expect(index_size <= at - HEADER_SIZE, "size of the index", f"at most {at - HEADER_SIZE}", index_size, at)
    index_at = at - index_size
    if check:
        expect_equal("hash of the index", f"{xxh3(data[index_at:at]):016x}", f"{index_hash:016x}", at + 8)
    return Reader(data, index_at, at, "index")


def read_index(index: Reader, first_frame: int) -> Decoded:
    """FORMAT 2.3."""
    index_at = index.at
    if index.data[index_at : index_at + 2] == b"IZ":
        index = restored_index(index)
    index.literal(b"IX", "sync of the index")
    length = index.varint("source length")
    hashes = index.u8("content hashes")
    expect(hashes < 4, "reserved content hashes", 0, hashes & ~3, index.at - 1)
    source_blake3 = index.take(32, "BLAKE3 of the source") if hashes & 1 else None
    source_sha256 = index.take(32, "SHA-256 of the source") if hashes & 2 else None
    source_format = one_of(FORMATS, index, "source format")
    name = read_source_name(index)
    frames = read_frame_table(index, index_at, first_frame)
    expect_equal("sum of raw", length, sum(frame.raw for frame in frames), index_at)
    tensors = read_tensor_table(index, length, has_hashes=bool(hashes & 1))
    index.finish()
    return Decoded(name, source_format, length, source_blake3, source_sha256, tensors, frames)


def restored_index(packed: Reader) -> Reader:
    """FORMAT 2.3, of an index that is compressed."""
    at, most = packed.at, 256 * packed.left
    packed.literal(b"IZ", "sync of the index")
    size = packed.varint("size of the restored index")
    expect(size <= most, "size of the restored index", f"at most {most}", size, at)
    plain = decode_zstd(packed, size)
    expect_equal("size of the restored index", size, len(plain), at)
    return Reader(plain, 0, len(plain), "restored index")


def one_of(names: tuple[str, ...], index: Reader, what: str) -> str:
    number = index.u8(what)
    expect(number < len(names), what, f"at most {len(names) - 1}", number, index.at - 1)
    return names[number]


def read_source_name(index: Reader) -> str:
    at = index.at
    name = index.string("source name", limit=1024)
    check_file_name("source name", name, at)
    return name


def check_file_name(what: str, name: str, at: int) -> None:
    bad = name in (".", "..") or any(character in name for character in "/\\\0")
    expect(not bad, what, "a plain file name", ascii(name), at)


def read_frame_table(index: Reader, index_at: int, first_frame: int) -> list[Frame]:
    at = index.at
    count = index.varint("number of frames")
    expect(count <= index.left // 3, "number of frames", f"at most {index.left // 3}", count, at)
    frames: list[Frame] = []
    source_offset, file_offset = 0, first_frame
    for _ in range(count):
        at = index.at
        codec = index.u8("codec")
        if codec not in CODECS:
            raise Unsupported(f"codec: expected one of {', '.join(map(str, CODECS))}, found {codec} at byte {at}")
        raw, stored = index.varint("raw"), index.varint("stored")
        check_sizes(CODECS[codec], raw, stored, at)
        frames.append(Frame(CODECS[codec], source_offset, raw, file_offset, stored))
        source_offset += raw
        file_offset += FRAME_HEADER_SIZE + stored
    expect_equal("end of the frames", index_at, file_offset, index_at)
    return frames


def check_sizes(codec: str, raw: int, stored: int, at: int) -> None:
    """FORMAT 2.2 and the rules on sizes of the codecs' pages."""
    expect(raw >= 1, "raw", "at least 1", raw, at)
    if codec not in RUNS:
        expect(raw <= MAX_BLOCK, "raw of a block", f"at most {MAX_BLOCK}", raw, at)
        expect(stored <= raw, "stored of a block", f"at most raw, {raw}", stored, at)
    if codec == "store":
        expect_equal("stored of a store frame", raw, stored, at)
    elif codec == "pattern251":
        expect(1 <= stored <= min(raw, 65536), "stored of a pattern", f"1 to {min(raw, 65536)}", stored, at)
    elif codec == "copy":
        expect_equal("stored of a copy", 8, stored, at)


def read_tensor_table(index: Reader, source_length: int, has_hashes: bool) -> list[Tensor]:
    at = index.at
    count = index.varint("number of tensors")
    expect(count <= index.left // 5, "number of tensors", f"at most {index.left // 5}", count, at)
    tensors: list[Tensor] = []
    names: set[str] = set()
    end = 0
    for _ in range(count):
        at = index.at
        start = end + index.varint("gap")
        name_at = index.at
        name = index.string("tensor name", limit=65535)
        expect(name not in names, "tensor name", "one not used before", ascii(name), name_at)
        names.add(name)
        dtype = one_of(tuple(DTYPES), index, "dtype")
        layout = one_of(LAYOUTS, index, "layout")
        rank = index.u8("rank")
        expect(rank <= 64, "rank", "at most 64", rank, index.at - 1)
        shape = tuple(index.varint("shape") for _ in range(rank))
        count = math.prod(shape)
        elements, unit = DTYPES[dtype]
        expect(count % elements == 0, "elements of a tensor", f"a multiple of {elements}", count, at)
        size = count // elements * unit
        expect(size < 1 << 60, "bytes of a tensor", "a number below 2^60", size, at)
        end = start + size
        expect(end <= source_length, "end of a tensor", f"at most the source length, {source_length}", end, at)
        digest = index.take(32, "BLAKE3 of a tensor") if has_hashes else None
        tensors.append(Tensor(name, dtype, shape, layout, start, size, digest))
    return tensors


def check_borders(index: Decoded) -> None:
    """FORMAT 2.3: frames do not straddle the border of a tensor that has at least one byte."""
    borders = {frame.start for frame in index.frames} | {index.length}
    for tensor in index.tensors:
        for border in (tensor.start, tensor.start + tensor.length):
            if tensor.length > 0 and border not in borders:
                frame = index.frames[bisect_right(index.frames, border, key=lambda frame: frame.start) - 1]
                found = f"one over {frame.start} to {frame.start + frame.raw}"
                corrupt(f"tensor {tensor.name!a}", f"no frame across source offset {border}", found, frame.at)


class Restored:
    """What frames restore, each decoded when it is first asked for: some refer to others, before or behind them."""

    def __init__(self, data: bytes, index: Decoded, check: bool, base: bytes) -> None:
        self.data, self.index, self.check, self.base = data, index, check, base
        self.blocks: dict[int, bytes] = {}

    def frame(self, number: int) -> bytes:
        if number not in self.blocks:
            self.blocks[number] = restore_frame(self, number)
        return self.blocks[number]

    def covering(self, start: int, end: int) -> range:
        """The frames that restore source bytes start to end."""
        frames = self.index.frames
        first = bisect_right(frames, start, key=lambda frame: frame.start) - 1
        return range(first, bisect_left(frames, end, key=lambda frame: frame.start))

    def bytes_of(self, start: int, end: int) -> bytes:
        numbers = self.covering(start, end)
        skip = self.index.frames[numbers[0]].start
        return b"".join(map(self.frame, numbers))[start - skip : end - skip]


def restore_frame(restored: Restored, number: int) -> bytes:
    """FORMAT 2.2: compare a frame with its row in the index, then decode and check it."""
    data, index, check = restored.data, restored.index, restored.check
    frame = index.frames[number]
    header = Reader(data, frame.at, frame.at + FRAME_HEADER_SIZE, "frame header")
    header.literal(b"FR", "sync of a frame")
    codec = header.u8("codec")
    expect_equal("codec of a frame", frame.codec, CODECS.get(codec, codec), frame.at + 2)
    expect_equal("reserved byte of a frame", 0, header.u8("reserved byte"), frame.at + 3)
    expect_equal("stored of a frame", frame.stored, header.uint(4, "stored"), frame.at + 4)
    expect_equal("raw of a frame", frame.raw, header.uint(8, "raw"), frame.at + 8)
    checksum = header.uint(8, "checksum")

    payload = Reader(data, header.at, header.at + frame.stored, f"{frame.codec} payload")
    payload_bytes = data[payload.at : payload.end]
    if frame.codec in RUNS:
        if check:
            expect_equal("checksum", f"{xxh3(payload_bytes, frame.raw):016x}", f"{checksum:016x}", frame.at + 16)
        if frame.codec == "copy":
            return decode_copy(payload, number, restored)
        return (payload_bytes * (frame.raw // frame.stored + 1))[: frame.raw]
    if frame.codec == "delta":
        block = decode_delta(payload, frame.raw, restored.base)
    elif frame.codec == "relative":
        block = decode_relative(payload, frame.raw, restored)
    elif frame.codec == "prefix":
        block = decode_prefix(payload, frame.raw, restored)
    else:
        block = BLOCK_DECODERS[frame.codec](payload, frame.raw)
    expect_equal("size of a restored block", frame.raw, len(block), frame.at)
    if check:
        expect_equal("checksum", f"{xxh3(block):016x}", f"{checksum:016x}", frame.at + 16)
    return block


def check_hashes(index: Decoded, source: bytes) -> None:
    """FORMAT 2.3: the hashes of the content."""
    check_hash("BLAKE3 of the source", index.blake3, blake3, source)
    check_hash("SHA-256 of the source", index.sha256, sha256, source)
    for tensor in index.tensors:
        content = source[tensor.start : tensor.start + tensor.length]
        check_hash(f"BLAKE3 of tensor {tensor.name!a}", tensor.blake3, blake3, content)


def check_hash(what: str, expected: bytes | None, digest: Callable[[bytes], bytes], content: bytes) -> None:
    if expected is not None and digest(content) != expected:
        raise Corrupt(f"{what}: expected {expected.hex()}, found {digest(content).hex()}")


# ---- Plain codecs (codecs/copy, store, lz4, zstd) ----


def copied(payload: Reader, number: int, restored: Restored) -> tuple[int, int]:
    """The page `copy`: the range that is copied."""
    at, frame = payload.at, restored.index.frames[number]
    start = payload.uint(8, "offset of a copy")
    end = start + frame.raw
    expect(end <= frame.start, "end of a copy's range", f"at most {frame.start}", end, at)
    frames = [restored.index.frames[i] for i in restored.covering(start, end)]
    whole = frames[0].start == start and frames[-1].start + frames[-1].raw == end
    expect(whole, "range of a copy", "whole frames", f"bytes {start} to {end}", at)
    chained = any(other.codec == "copy" for other in frames)
    expect(not chained, "range of a copy", "bytes restored by frames that are no copies", "bytes of a copy", at)
    return start, end


def decode_copy(payload: Reader, number: int, restored: Restored) -> bytes:
    """The page `copy`."""
    return restored.bytes_of(*copied(payload, number, restored))


def decode_store(payload: Reader, raw: int) -> bytes:
    """The page `store`."""
    return payload.take(raw, "stored bytes")


def decode_lz4(payload: Reader, raw: int) -> bytes:
    """The page `lz4`: sequences of literals and a match; the last sequence has literals alone."""
    out = bytearray()
    while True:
        at = payload.at
        token = payload.u8("token of an LZ4 sequence")
        literals = lz4_length(payload, token >> 4)
        expect(literals <= raw - len(out), "literals in an LZ4 block", f"at most {raw - len(out)}", literals, at)
        out += payload.take(literals, "literals in an LZ4 block")
        if payload.left == 0:
            return bytes(out)
        distance = payload.uint(2, "offset in an LZ4 block")
        expect(1 <= distance <= len(out), "offset in an LZ4 block", f"1 to {len(out)}", distance, payload.at - 2)
        match = lz4_length(payload, token & 15) + 4
        expect(match <= raw - len(out), "match in an LZ4 block", f"at most {raw - len(out)}", match, at)
        # A match longer than its distance repeats itself.
        start = len(out) - distance
        period = out[start : start + match]
        out += (period * (match // len(period) + 1))[:match]


def lz4_length(payload: Reader, nibble: int) -> int:
    """A length of 15 goes on in bytes up to the first that is not 255."""
    total, more = nibble, 255 if nibble == 15 else 0
    while more == 255:
        more = payload.u8("length in an LZ4 block")
        total += more
    return total


def decode_prefix(payload: Reader, raw: int, restored: Restored) -> bytes:
    """The page `prefix`."""
    first = restored.index.frames[0]
    allowed = first.codec not in (*RUNS, "delta", "prefix", "relative")
    expect(allowed, "codec of the first frame", "a block that others can go on from", first.codec, first.at)
    prefix = restored.frame(0)
    expect(not prefix.startswith(b"\x37\xa4\x30\xec"), "first frame", "no dictionary", prefix[:4].hex(), first.at)
    return decode_zstd(payload, raw, prefix)


def decode_zstd(payload: Reader, raw: int, prefix: bytes = b"") -> bytes:
    """The page `zstd`, and what decompresses with a prefix."""
    zstandard = needed_package("zstandard", "the codec zstd")
    at = payload.at
    frame = payload.take(payload.left, "Zstandard frame")
    try:
        header = zstandard.get_frame_parameters(frame)
        # The library allocates by this number, so it is compared first; it is a huge one when the frame has none.
        if header.content_size != zstandard.CONTENTSIZE_UNKNOWN:
            expect_equal("content size of a Zstandard frame", raw, header.content_size, at)
        expect_equal("dictionary of a Zstandard frame", 0, header.dict_id, at)
        known = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if prefix else None
        decompressor = zstandard.ZstdDecompressor(dict_data=known)
        return bytes(decompressor.decompress(frame, max_output_size=raw, allow_extra_data=False))
    except zstandard.ZstdError as error:
        corrupt("Zstandard frame", f"one frame of {raw} bytes", error, at)


# ---- The tensor codec (codecs/tensor) ----

GROUP = 32768
LONGEST_CODE = 12
LANES = 32
STATES = 256
EXACT_LANES = 16
LOWEST_STATE = 1 << 16
# One entry for each value of the next 12 bits of a stream: the symbol whose code they begin with, and its length.
CodeTable = list[tuple[int, int]]
# One entry for each state: its value and its number v.
StateTable = list[tuple[int, int]]
# One entry for each of the 4096 slots: the symbol (None: the escape), its frequency, and the slot's place in it.
SlotTable = list[tuple[int | None, int, int]]
Code = TypeVar("Code")


@dataclass(frozen=True)
class Numbers:
    """tensor 1: how an element of E bits is made up of a symbol field T of t bits and a rest R of r bits, and R of a
    high part of h bits, a low part of q bits, and `drop` zeros."""

    E: int
    t: int
    r: int
    h: int
    q: int
    drop: int
    segment: int
    base: int
    sign_moved: bool
    zigzag: bool

    def field_of_symbol(self) -> list[int]:
        """T for each symbol; bits outside of T are cut off."""
        if self.t <= 8:
            return [symbol % (1 << self.t) for symbol in range(256)]
        return [0] + [(self.base + symbol) % (1 << self.t) for symbol in range(1, 256)]

    def join(self, fields: list[int], rests: list[int]) -> list[int]:
        """The elements from their T and R: the inverse of the steps of tensor 1."""
        if self.sign_moved:
            top, below = self.E - 1, self.r - 1
            low = (1 << below) - 1
            return [(R >> below) << top | T << below | (R & low) for T, R in zip(fields, rests, strict=True)]
        elements = [T << self.r | R for T, R in zip(fields, rests, strict=True)]
        if self.zigzag:
            ones = (1 << self.E) - 1
            elements = [(x >> 1) ^ (ones if x & 1 else 0) for x in elements]
        return elements


@dataclass(frozen=True)
class Model:
    """tensor 5: the model of a symbol plane."""

    window: int
    start: int
    first_class: int
    columns: bytes
    # By symbol.
    magnitudes: list[int]
    # By class.
    tables: list[SlotTable]


@dataclass(frozen=True)
class Predictor:
    """tensor 6: the predictor of a symbol plane."""

    mantissa: int
    rounded: bool
    origin: int
    window: int
    start: int
    period: int
    # Of the block's first element.
    first_column: int
    # By column.
    scales: list[int]
    biases: list[int]
    precision: int
    # For each column one for each column before it; none at all where the bias alone predicts.
    weights: list[list[int]]
    # By symbol.
    magnitudes: list[int]
    # The shares of errors below each eighth of the width, in units of 2^-20.
    curve: list[int]
    # By eighth of an octave of the width and place of the prediction: where the slots of each entry begin.
    tables: dict[tuple[int, int], list[int]]


@dataclass(frozen=True)
class Plane:
    """A plane and its descriptor (tensor 2). Without a constant, a code table, lanes, a model and a predictor it is
    packed; in lanes it has the states of each group's code, or its slots where frequencies are exact."""

    width: int
    constant: int | None = None
    code: CodeTable | None = None
    lanes: list[StateTable] | None = None
    exact: list[SlotTable] | None = None
    model: Model | None = None
    predictor: Predictor | None = None


def decode_tensor(payload: Reader, raw: int) -> bytes:
    """tensor 2: the payload, in parts or not."""
    if payload.left == 0 or payload.data[payload.at] < 0x80:
        return decode_whole(payload, raw)
    log_size = payload.u8("size of parts") - 0x80
    expect(16 <= log_size <= 23, "size of parts", "2^16 to 2^23", f"2^{log_size}", payload.at - 1)
    size = 1 << log_size
    expect(raw > size, "size of parts", f"below {raw}", size, payload.at - 1)
    lengths = [min(size, raw - start) for start in range(0, raw, size)]
    expect(4 * len(lengths) <= payload.left, "sizes of parts", f"{4 * len(lengths)} bytes", payload.left, payload.at)
    stored = [payload.uint(4, "size of a part") for _ in lengths]
    parts = [payload.section(stored_size, f"part {number}") for number, stored_size in enumerate(stored)]
    payload.finish()
    return b"".join(decode_whole(part, length) for part, length in zip(parts, lengths, strict=True))


def decode_whole(payload: Reader, raw: int) -> bytes:
    """tensor 2: a payload without parts, field by field."""
    b0 = payload.u8("b0")
    expect(b0 < 0x80, "reserved bit of b0", 0, 1, payload.at - 1)
    element_size, head_size = 1 << (b0 & 3), b0 >> 4
    numbers = read_numbers(payload, 8 * element_size, sign_moved=bool(b0 & 4), zigzag=bool(b0 & 8))
    expect(head_size <= raw, "head", f"at most {raw}", head_size, payload.at)
    count, tail_size = divmod(raw - head_size, element_size)
    expect(count >= 1, "number of elements", "at least 1", count, payload.at)
    head, tail = payload.take(head_size, "head"), payload.take(tail_size, "tail")

    group_count = math.ceil(count / GROUP)
    symbols = read_plane(payload, 8, largest=(1 << min(numbers.t, 8)) - 1, symbol_groups=group_count)
    predictor = symbols.predictor
    if predictor is not None:
        expect(numbers.sign_moved and numbers.h > 0, "b0", "a sign, as numbers are predicted", "none", payload.at)
    high = [read_plane(payload, width) for width in plane_widths(numbers.h - (predictor is not None))]
    low = [read_plane(payload, width) for width in plane_widths(numbers.q)]
    presence = read_presence(payload, math.ceil(count / numbers.segment)) if numbers.q else []
    expect(4 * group_count <= payload.left, "group sizes", f"{4 * group_count} bytes", payload.left, payload.at)
    sizes = [payload.uint(4, "size of a group") for _ in range(group_count)]
    groups = [payload.section(size, f"group {number}") for number, size in enumerate(sizes)]
    exceptions = read_exceptions(payload, numbers, count) if numbers.t > 8 else {}
    codeless: dict[int, list[tuple[int, int]]] = {}
    if symbols.lanes is not None:
        codeless = read_codeless(payload, [{value for value, _ in states} for states in symbols.lanes], count)
    if symbols.exact is not None:
        codeless = read_codeless(payload, [{entry[0] for entry in slots} for slots in symbols.exact], count)
    payload.finish()

    field_of_symbol = numbers.field_of_symbol()
    out = bytearray(head)
    for number, group in enumerate(groups):
        m = min(GROUP, count - number * GROUP)
        start = group.at
        # The sign is the top bit of the rest.
        rests = [0] * m
        if predictor is not None:
            group_symbols, rests = read_predicted(group, predictor, m, predictor.first_column + number * GROUP)
        elif symbols.lanes is None and symbols.exact is None:
            group_symbols = bytearray(read_plane_data(group, symbols, m, first=number * GROUP))
        else:
            # The stream stands behind the other planes.
            stream_size = group.uint(2, "size of a stream of lanes")
            at_most = f"at most {group.left}"
            expect(stream_size <= group.left, "size of a stream of lanes", at_most, stream_size, start)
            group, stream = group.section(group.left - stream_size, group.part), group.section(stream_size, "stream")
            if symbols.exact is not None:
                group_symbols = read_exact_lanes(stream, symbols.exact[number], m)
            elif symbols.lanes is not None:
                group_symbols = read_lanes(stream, symbols.lanes[number], m)
            for position, symbol in codeless.get(number, []):
                group_symbols[position] = symbol
        fields = [field_of_symbol[symbol] for symbol in group_symbols]
        for position, field in exceptions.get(number, []):
            expect_equal("symbol of an exception", 0, group_symbols[position], start)
            fields[position] = field
        for plane in high:
            rests = append_bits(rests, plane.width, read_plane_data(group, plane, m))
        if numbers.q:
            per_group = GROUP // numbers.segment
            group_presence = presence[number * per_group : (number + 1) * per_group]
            # Each segment's elements, and how many of them have a low part.
            segments = [min(numbers.segment, m - start) for start in range(0, m, numbers.segment)]
            kept = [length * present for length, present in zip(segments, group_presence, strict=True)]
            for plane in low:
                dense = read_plane_data(group, plane, sum(kept))
                rests = append_bits(rests, plane.width, spread(dense, segments, kept))
        if numbers.drop:
            rests = [R << numbers.drop for R in rests]
        group.finish()
        out += struct.pack(f"<{m}{'BHIQ'[b0 & 3]}", *numbers.join(fields, rests))
    return bytes(out) + tail


def read_numbers(payload: Reader, E: int, sign_moved: bool, zigzag: bool) -> Numbers:
    """tensor 2: the fixed fields that follow b0."""
    at = payload.at
    t, drop, q, log_segment = (payload.u8(what) for what in ("t", "drop", "q", "lambda"))
    base = payload.uint(2, "base")
    expect(1 <= t <= min(16, E), "t", f"1 to {min(16, E)}", t, at)
    r = E - t
    expect(not (sign_moved and zigzag), "b0", "not both sign moved and zigzag", "both", at - 1)
    expect(not (sign_moved and r == 0), "b0", "no sign moved where there is no rest", "sign moved", at - 1)
    expect(drop + q <= r, "drop + q", f"at most {r}", drop + q, at + 1)
    expect(4 <= log_segment <= 15 if q else log_segment == 0, "lambda", "4 to 15" if q else "0", log_segment, at + 3)
    expect(base == 0 or t > 8, "base", "0, since t is at most 8", base, at + 4)
    expect(base < 1 << t, "base", f"below 2^{t}", base, at + 4)
    return Numbers(E, t, r, r - drop - q, q, drop, 1 << log_segment, base, sign_moved, zigzag)


def plane_widths(bits: int) -> list[int]:
    """tensor 1, *Planes*: as many planes of 8 bits as fit, then at most one each of 4, 2 and 1 bits."""
    return [8] * (bits // 8) + [width for width in (4, 2, 1) if bits & width]


def read_plane(payload: Reader, width: int, largest: int | None = None, symbol_groups: int = 0) -> Plane:
    """tensor 2: a plane descriptor. The plane of symbols may be in lanes, and then says
    something of each group, or modelled, or predicted."""
    mode = payload.u8("mode of a plane")
    at = payload.at
    if mode == 4 and symbol_groups > 0:
        return Plane(width, model=read_model(payload))
    if mode in (6, 7) and symbol_groups > 0:
        return Plane(width, predictor=read_predictor(payload, within_a_row=mode == 7))
    if mode == 0:
        constant = payload.u8("constant of a plane")
        largest = (1 << width) - 1 if largest is None else largest
        expect(constant <= largest, "constant of a plane", f"at most {largest}", constant, at)
        return Plane(width, constant=constant)
    if mode == 3 and symbol_groups > 0:
        return Plane(width, lanes=read_lane_codes(payload, symbol_groups, read_states))
    if mode == 5 and symbol_groups > 0:
        return Plane(width, exact=read_lane_codes(payload, symbol_groups, read_exact))
    allowed = "0 to 7" if symbol_groups > 0 else "0, 1 or 2"
    expect(mode <= 2, "mode of a plane", allowed, mode, at - 1)
    expect(mode == 1 or width == 8, "mode of a plane", f"0 or 1, since it has {width} bits", mode, at - 1)
    return Plane(width, code=read_code_table(payload) if mode == 2 else None)


def read_code_table(payload: Reader) -> CodeTable:
    """tensor 2: a code table. Bits are read least significant first, so each code is turned around and stands at all
    values of the next 12 bits that begin with it."""
    at = payload.at
    first, last = payload.u8("first symbol of a code"), payload.u8("last symbol of a code")
    expect(first < last, "last symbol of a code", f"more than the first, {first}", last, at + 1)
    halves = payload.take((last - first + 2) // 2, "lengths of a code")
    lengths = [half for byte in halves for half in (byte & 15, byte >> 4)]
    if (last - first + 1) % 2 == 1:
        expect_equal("unused half of a code's lengths", 0, lengths.pop(), payload.at - 1)
    expect(max(lengths) <= LONGEST_CODE, "length of a code", f"at most {LONGEST_CODE}", max(lengths), at + 2)
    space = 1 << LONGEST_CODE
    used = sum(space >> length for length in lengths if length)
    expect_equal(f"space of a code, in parts of {space}", space, used, at)

    table: CodeTable = [(0, 0)] * space
    code = 0
    for length in range(1, LONGEST_CODE + 1):
        code <<= 1
        for symbol, symbol_length in enumerate(lengths, start=first):
            if symbol_length == length:
                turned = int(f"{code:0{length}b}"[::-1], 2)
                step = 1 << length
                table[turned::step] = [(symbol, length)] * (space // step)
                code += 1
    return table


def read_lane_codes(payload: Reader, groups: int, read_code: Callable[[Reader], Code]) -> list[Code]:
    """tensor 2, modes 3 and 5: the codes; the result is the one of each group."""
    at = payload.at
    count = payload.u8("number of codes")
    expect(1 <= count <= 16, "number of codes", "1 to 16", count, at)
    codes = [read_code(payload) for _ in range(count)]
    if count == 1:
        return codes * groups
    at = payload.at
    choice = payload.take(groups, "codes of the groups")
    expect(max(choice) < count, "code of a group", f"at most {count - 1}", max(choice), at)
    return [codes[number] for number in choice]


def read_exact(payload: Reader) -> SlotTable:
    """tensor 2, *Exact frequencies*: a table of section 5, filled up to whole bytes."""
    bits = Bits(payload)
    table = read_frequencies(bits, None)
    expect_equal("unused bits of a table", 0, bits.byte, payload.at - 1)
    return table


def read_states(payload: Reader) -> StateTable:
    """tensor 2, *Frequencies*, and tensor 3, *Lanes*: the states that the frequencies of a code make."""
    at = payload.at
    first, last = payload.u8("first value of the frequencies"), payload.u8("last value of the frequencies")
    expect(first < last, "last value of the frequencies", f"more than the first, {first}", last, at + 1)
    frequencies = payload.take(last - first + 1, "frequencies")
    expect(frequencies[0] > 0, "first of the frequencies", "more than 0", 0, at + 2)
    expect(frequencies[-1] > 0, "last of the frequencies", "more than 0", 0, payload.at - 1)
    expect_equal("sum of the frequencies", STATES, sum(frequencies), at + 2)

    value_of_state = [0] * STATES
    state = 0
    for value, frequency in enumerate(frequencies, start=first):
        for _ in range(frequency):
            value_of_state[state] = value
            state = (state + 163) % STATES
    next_number = dict(enumerate(frequencies, start=first))
    table: StateTable = []
    for value in value_of_state:
        table.append((value, next_number[value]))
        next_number[value] += 1
    return table


def read_presence(payload: Reader, segments: int) -> list[bool]:
    """tensor 2: one bit for each segment, least significant first."""
    bitmap = payload.take((segments + 7) // 8, "presence")
    bits = [bool(byte >> bit & 1) for byte in bitmap for bit in range(8)]
    expect(not any(bits[segments:]), "unused bits of the presence", 0, "others", payload.at - 1)
    return bits[:segments]


def read_exceptions(payload: Reader, numbers: Numbers, count: int) -> dict[int, list[tuple[int, int]]]:
    """tensor 2: the exceptions of each group, as position in the group and T."""
    at = payload.at
    total = payload.varint("number of exceptions")
    expect(total <= payload.left // 3, "number of exceptions", f"at most {payload.left // 3}", total, at)
    exceptions: dict[int, list[tuple[int, int]]] = {}
    position = -1
    for _ in range(total):
        at = payload.at
        position += payload.varint("gap of an exception") + 1
        expect(position < count, "position of an exception", f"at most {count - 1}", position, at)
        field = payload.uint(2, "T of an exception")
        expect(1 <= field < 1 << numbers.t, "T of an exception", f"1 to {(1 << numbers.t) - 1}", field, payload.at - 2)
        has_symbol = 1 <= field - numbers.base <= 255
        expect(not has_symbol, "T of an exception", "one without a symbol", field, payload.at - 2)
        exceptions.setdefault(position // GROUP, []).append((position % GROUP, field))
    return exceptions


def read_codeless(payload: Reader, coded: list[set[int | None]], count: int) -> dict[int, list[tuple[int, int]]]:
    """tensor 4: the symbols of each group that have no code, as position in the group and symbol; `coded` are those of
    each group that have one."""
    start = payload.at
    total = payload.varint("number of symbols without a code")
    expect(total <= 8 * payload.left, "number of symbols without a code", f"at most {8 * payload.left}", total, start)
    if total == 0:
        return {}
    at = payload.at
    r, kind_count = payload.u8("r"), payload.u8("kinds of symbols without a code") + 1
    expect(r <= 15, "r", "at most 15", r, at)
    at = payload.at
    kinds = payload.take(kind_count, "symbols without a code")
    ascending = all(a < b for a, b in pairwise(kinds))
    expect(ascending, "symbols without a code", "ascending ones", kinds.hex(" "), at)
    at = payload.at
    data = payload.take(payload.left, "list of symbols without a code")
    used = 0

    def take(size: int) -> int:
        """The next bits, the first one lowest."""
        nonlocal used
        expect(used + size <= 8 * len(data), "list of symbols without a code", "more bits", "its end", at + len(data))
        used += size
        return sum((data[bit // 8] >> bit % 8 & 1) << place for place, bit in enumerate(range(used - size, used)))

    codeless: dict[int, list[tuple[int, int]]] = {}
    position = -1
    for _ in range(total):
        zeros = 0
        while take(1) == 0:
            zeros += 1
            expect(zeros <= 24, "zeros of a gap", "at most 24", zeros, at + used // 8)
        gap = zeros << r | take(r) if zeros < 24 else take(24)
        position += gap + 1
        what = "position of a symbol without a code"
        expect(position < count, what, f"at most {count - 1}", position, at + used // 8)
        number = take((kind_count - 1).bit_length())
        expect(number < kind_count, "symbol without a code", f"at most number {kind_count - 1}", number, at + used // 8)
        symbol = kinds[number]
        has_code = symbol in coded[position // GROUP]
        expect(not has_code, "symbol without a code", "one that has none", symbol, at + used // 8)
        codeless.setdefault(position // GROUP, []).append((position % GROUP, symbol))
    expect_equal("size of the list of symbols without a code", (used + 7) // 8, len(data), at)
    expect(take(-used % 8) == 0, "unused bits of the list of symbols without a code", 0, "others", payload.at - 1)
    return codeless


def spread(dense: bytes, segments: list[int], kept: list[int]) -> bytes:
    """tensor 1, *Rest*: put zeros where the low part is not present."""
    ends = accumulate(kept)
    return b"".join(dense[end - k : end] + bytes(m - k) for m, k, end in zip(segments, kept, ends, strict=True))


def append_bits(values: list[int], width: int, plane: bytes) -> list[int]:
    return [value << width | bits for value, bits in zip(values, plane, strict=True)]


def read_plane_data(group: Reader, plane: Plane, m: int, first: int = 0) -> bytes:
    """tensor 3: a plane's values over `m` elements, a byte for each; the first is number `first` of the block."""
    if plane.model is not None:
        return read_modelled(group, plane.model, m, first)
    if plane.constant is not None:
        return bytes([plane.constant]) * m
    if plane.code is not None:
        return read_coded(group, plane.code, m)
    return read_packed(group, plane.width, m)


def read_packed(group: Reader, width: int, m: int) -> bytes:
    """tensor 3, *Packed*: the c elements of one row have the same bits of c bytes; the rows follow one another."""
    columns = (m * width + 7) // 8
    packed = group.take(columns, "packed plane")
    mask = (1 << width) - 1
    rows = (packed.translate(bytes(byte >> shift & mask for byte in range(256))) for shift in range(0, 8, width))
    values = b"".join(rows)
    expect(not any(values[m:]), "unused bits of a packed plane", 0, "others", group.at - columns)
    return values[:m]


def read_coded(group: Reader, codes: CodeTable, m: int) -> bytes:
    """tensor 3, *Coded*: the sizes of the streams, then the streams."""
    if m == 0:
        return b""
    streams = 8 if m >= 1024 else 1
    each = math.ceil(m / streams)
    sizes = [group.uint(2, "size of a stream") for _ in range(streams)]
    values = bytearray()
    for number, size in enumerate(sizes):
        values += read_stream(group.section(size, "stream"), codes, min(each, m - number * each))
    return bytes(values)


def read_stream(stream: Reader, codes: CodeTable, count: int) -> bytes:
    """tensor 3, *Coded*: one stream of codes, last element first."""
    start, data = stream.at, stream.take(stream.left, "stream")
    values = bytearray()
    # `window` holds the next `held` bits of the stream; after the end of the stream come zeros, counted like others.
    window = held = at = 0
    for _ in range(count):
        if held < LONGEST_CODE:
            window |= int.from_bytes(data[at : at + 6], "little") << held
            at, held = at + 6, held + 48
        value, length = codes[window & 0xFFF]
        window >>= length
        held -= length
        values.append(value)
    used = 8 * at - held
    expect_equal("size of a stream", (used + 7) // 8, len(data), start)
    expect(window == 0, "unused bits of a stream", 0, "others", stream.end - 1)
    values.reverse()
    return bytes(values)


def read_lanes(stream: Reader, states: StateTable, m: int) -> bytearray:
    """tensor 3, *Lanes*: a group's symbols, those without a code as others."""
    start, data = stream.at, stream.take(stream.left, "stream")
    expect(len(data) >= 2 * LANES, "size of a stream of lanes", f"at least {2 * LANES}", len(data), start)
    # Bytes are taken from here down.
    taken = len(data) - 2 * LANES
    lane_state = list(data[taken + LANES :])
    # The bits that each lane has, the first one highest, and how many they are.
    lane_bits, lane_count = [0] * LANES, [0] * LANES
    for lane, byte in enumerate(data[taken : taken + LANES]):
        expect(byte != 0, "first bits of a lane", "a bit that is 1", 0, start + taken + lane)
        zeros = (byte & -byte).bit_length() - 1
        lane_bits[lane], lane_count[lane] = byte >> (zeros + 1), 7 - zeros
    for lane in range(min(m, LANES), LANES):
        expect_equal("state of a lane without elements", 0, lane_state[lane], start + taken + LANES + lane)

    values = bytearray()
    for row in range(0, m, LANES):
        values += bytes(states[state][0] for state in lane_state[: m - row])
        # The lanes that have an element in the next row, and the bits that they need.
        needs = [max(0, 9 - states[state][1].bit_length()) for state in lane_state[: max(0, m - row - LANES)]]
        short = [lane for lane, needed in enumerate(needs) if lane_count[lane] < needed]
        expect(len(short) <= taken, "bytes of a stream of lanes", f"at least {len(short)} left", taken, start)
        taken -= len(short)
        for lane, byte in zip(short, data[taken:], strict=False):
            lane_bits[lane] = lane_bits[lane] << 8 | byte
            lane_count[lane] += 8
        for lane, needed in enumerate(needs):
            lane_count[lane] -= needed
            u, lane_bits[lane] = divmod(lane_bits[lane], 1 << lane_count[lane])
            lane_state[lane] = ((states[lane_state[lane]][1] << needed) + u) % STATES
    expect_equal("bytes of a stream of lanes that are left over", 0, taken, start)
    expect_equal("bits of lanes that are left over", 0, sum(lane_count), start)
    return values


def read_exact_lanes(stream: Reader, slots: SlotTable, m: int) -> bytearray:
    """tensor 3, *Exact lanes*: a group's symbols, those without a code as others."""
    start, data = stream.at, stream.take(stream.left, "stream")
    beginning = 4 * EXACT_LANES
    expect(len(data) >= beginning, "size of a stream of exact lanes", f"at least {beginning}", len(data), start)
    expect(len(data) % 2 == 0, "size of a stream of exact lanes", "an even number", len(data), start)
    *words, _ = struct.unpack(f"<{len(data) // 2 - 32}H{beginning}s", data)
    states = list(struct.unpack(f"<{EXACT_LANES}I", data[-beginning:]))
    expect(min(states) >= LOWEST_STATE, "state", f"at least {LOWEST_STATE}", min(states), start + 2 * len(words))

    values = bytearray()
    coded = max(0, m - 2 * EXACT_LANES)
    for row in range(0, coded, EXACT_LANES):
        lanes = range(min(EXACT_LANES, coded - row))
        for lane in lanes:
            symbol, frequency, place = slots[states[lane] % 4096]
            assert symbol is not None, "there is no escape"
            values.append(symbol)
            states[lane] = frequency * (states[lane] >> 12) + place
        short = [lane for lane in lanes if states[lane] < LOWEST_STATE]
        expect(len(short) <= len(words), "words of a stream", f"at least {len(short)} left", len(words), start)
        for lane in reversed(short):
            states[lane] = states[lane] << 16 | words.pop()
    expect_equal("words of a stream that are left over", 0, len(words), start)
    expect_equal("high halves of the last states", [1] * EXACT_LANES, [state >> 16 for state in states], start)
    carried = bytes(state & 255 for state in states) + bytes(state >> 8 & 255 for state in states)
    expect(not any(carried[m - coded :]), "symbols behind the last one", 0, "others", start)
    return values + carried[: m - coded]


# ---- Modelled symbols (codecs/tensor 5) ----

CLASSES = 64


class Bits:
    """Bits of the payload, the first of them lowest in its byte."""

    def __init__(self, payload: Reader) -> None:
        self.payload, self.byte, self.left = payload, 0, 0

    def take(self, count: int, what: str) -> int:
        value = 0
        for place in range(count):
            if self.left == 0:
                self.byte, self.left = self.payload.u8(what), 8
            value |= (self.byte & 1) << place
            self.byte, self.left = self.byte >> 1, self.left - 1
        return value

    def take_difference(self, what: str) -> int:
        size = 2
        while self.take(1, what):
            size += 1
            expect(size <= 8, what, "at most 8 bits", "more", self.payload.at - 1)
        z = (1 << size | self.take(size, what)) - 4
        return z // 2 if z % 2 == 0 else -(z + 1) // 2


def read_model(payload: Reader) -> Model:
    """tensor 5, *Model*."""
    form = payload.u8("form of a model")
    kind, window, has_escape = form & 15, (form >> 4 & 7) + 1, form >> 7 == 1
    expect(kind <= 8, "kind of a model", "at most 8", kind, payload.at - 1)
    origin = payload.u8("origin")
    start = payload.uint(2, "start")
    first_class = payload.u8("first class")
    escape = payload.u8("escape") if has_escape else None
    columns = read_columns(payload)
    at = payload.at
    count = payload.u8("number of tables")
    expect(1 <= count <= 32, "number of tables", "1 to 32", count, at)
    ends = [*payload.take(count - 1, "ends of tables"), CLASSES]
    rising = all(a < b for a, b in zip([0, *ends], ends, strict=False))
    expect(rising, "ends of tables", "rising numbers from 1 to 63", ends[:-1], at + 1)
    bits = Bits(payload)
    tables: list[SlotTable] = []
    for start_class, end in zip([0, *ends], ends, strict=False):
        tables += [read_frequencies(bits, escape)] * (end - start_class)
    expect_equal("unused bits of the tables", 0, bits.byte, payload.at - 1)
    return Model(window, start, first_class, columns, [magnitude(kind, origin, s) for s in range(256)], tables)


def read_columns(payload: Reader) -> bytes:
    """tensor 5, *Model*: the scale of each column."""
    at = payload.at
    count = payload.varint("number of columns")
    if count == 0:
        return b""
    expect(2 <= count <= 32768, "number of columns", "0 or 2 to 32768", count, at)
    columns = read_coded(payload, read_code_table(payload), count)
    expect(max(columns) <= 24, "scale of a column", "at most 24", max(columns), at)
    return columns


def magnitude(kind: int, origin: int, symbol: int) -> int:
    """tensor 5, *Magnitude*."""
    if kind == 8:
        v = (symbol - origin) % 256
        return 128 * min(v, 256 - v)
    v = symbol - origin
    if v < 0:
        return 0
    octave = v >> kind
    return 1 << 14 if octave >= 14 else ((1 << kind) + v % (1 << kind) << octave) >> kind


def read_frequencies(bits: Bits, escape: int | None) -> SlotTable:
    """tensor 5, *Frequencies*."""
    first, last = bits.take(8, "first symbol of a table"), bits.take(8, "last symbol of a table")
    expect(first <= last, "last symbol of a table", f"at least {first}", last, bits.payload.at - 1)
    escape_weight = 0 if escape is None else bits.take(7, "weight of the escape")
    weights = [bits.take(7, "weight")]
    for _ in range(first, last):
        weights.append(weights[-1] + bits.take_difference("difference of weights"))
        expect(0 <= weights[-1] <= 127, "weight", "0 to 127", weights[-1], bits.payload.at - 1)
    at = bits.payload.at - 1
    entries: list[tuple[int | None, int]] = [
        (symbol, weight) for symbol, weight in enumerate(weights, start=first) if weight > 0
    ]
    expect(len(entries) > 0, "weights of a table", "one that is not 0", "only zeros", at)
    expect(all(symbol != escape for symbol, _ in entries), "weight of the escape's symbol", 0, "more", at)
    if escape_weight > 0:
        entries.append((None, escape_weight))
    expect(len(entries) >= 2, "entries of a table", "at least 2", 1, at)
    scale = (32768, 35734, 38968, 42495, 46341, 50535, 55109, 60097)
    shares = [scale[weight % 8] << weight // 8 for _, weight in entries]
    ends = [below * (4096 - len(shares)) // sum(shares) for below in accumulate(shares, initial=0)]
    frequencies = [1 + end - start for start, end in pairwise(ends)]
    return [
        (symbol, frequency, place)
        for (symbol, _), frequency in zip(entries, frequencies, strict=True)
        for place in range(frequency)
    ]


def read_modelled(group: Reader, model: Model, m: int, first: int) -> bytes:
    """tensor 5, *Group* and *Class*."""
    lanes = 4 if m >= 1024 else 1
    each = math.ceil(m / lanes)
    count = group.uint(2, "number of words")
    at = group.at
    states = [group.uint(4, "state") for _ in range(lanes)]
    expect(min(states) >= LOWEST_STATE, "state", f"at least {LOWEST_STATE}", min(states), at)
    words = group.section(2 * count, "words of a group")
    means = [model.start << model.window] * lanes
    values = bytearray(m)
    quarters = (32768, 27554, 23170, 19484)
    for step in range(each):
        for lane in range(lanes):
            position = lane * each + step
            # Only the last lane may be shorter than the others.
            if position >= m:
                break
            mean, x = means[lane], states[lane]
            c = model.columns[(first + position) % len(model.columns)] if model.columns else 12
            a = mean + 8
            octave = a.bit_length() - 1
            number = 8 * octave + (8 * a >> octave) % 8 + 2 * c - 24 - model.first_class
            symbol, frequency, place = model.tables[max(0, min(CLASSES - 1, number))][x % 4096]
            x = frequency * (x >> 12) + place
            if x < LOWEST_STATE:
                x = x << 16 | words.uint(2, "word")
            if symbol is None:
                symbol, x = x % 256, x >> 8
                if x < LOWEST_STATE:
                    x = x << 16 | words.uint(2, "word")
            values[position], states[lane] = symbol, x
            scaled = model.magnitudes[symbol] * (quarters[c % 4] >> c // 4) >> 12
            means[lane] = mean - (mean >> model.window) + scaled
    words.finish()
    expect_equal("states at the end", [LOWEST_STATE] * lanes, states, at)
    return bytes(values)


# ---- Predicted symbols (codecs/tensor 6) ----

BINS = 96
PREDICTED_LANES = 16
OCTAVES, OCTAVES_BELOW = 13, 9
PLACES = 33
LARGEST = 32767
DOWN_EIGHTHS = (65536, 60097, 55109, 50535, 46341, 42495, 38968, 35734)
UP_EIGHTHS = (32768, 35734, 38968, 42495, 46341, 50535, 55109, 60097)


def read_predictor(payload: Reader, within_a_row: bool) -> Predictor:
    """tensor 6, *Predictor*."""
    form = payload.u8("form of a predictor")
    mantissa, rounded, window = form & 3, bool(form & 4), (form >> 4 & 7) + 1
    origin = payload.u8("origin")
    start = payload.uint(2, "start")
    at = payload.at
    period = payload.varint("elements of a row")
    expect(1 <= period <= 32768, "elements of a row", "1 to 32768", period, at)
    first_column = 0
    if within_a_row:
        at = payload.at
        first_column = payload.varint("column of the first element")
        expect(1 <= first_column < period, "column of the first element", f"1 to {period - 1}", first_column, at)
    scales, biases = [32] * period, [64] * period
    if form & 8:
        bits = Bits(payload)
        scales = read_numbers_of(bits, period)
        biases = read_numbers_of(bits, period)
        expect_equal("unused bits of a predictor", 0, bits.byte, payload.at - 1)
        expect(max(scales) <= 63, "scale of a column", "at most 63", max(scales), payload.at - 1)
    precision, weights = 0, list[list[int]]()
    if form & 0x80:
        at = payload.at
        expect(bool(form & 8) and period <= 1024, "elements of a row", "at most 1024 with weights", period, at)
        precision = payload.u8("precision")
        expect(precision <= 15, "precision", "at most 15", precision, at)
        weights = read_weights(payload, period)
    bits = Bits(payload)
    shares = [UP_EIGHTHS[weight % 8] << weight // 8 if weight else 0 for weight in read_numbers_of(bits, BINS)]
    expect_equal("unused bits of a predictor", 0, bits.byte, payload.at - 1)
    total = sum(shares)
    expect(total > 0, "curve", "one that is not 0", "only zeros", payload.at - 1)
    curve = [(below << 20) // total for below in accumulate(shares, initial=0)]
    magnitudes = [predicted_magnitude(mantissa, rounded, symbol - origin) for symbol in range(256)]
    return Predictor(
        mantissa,
        rounded,
        origin,
        window,
        start,
        period,
        first_column,
        scales,
        biases,
        precision,
        weights,
        magnitudes,
        curve,
        tables={},
    )


def read_numbers_of(bits: Bits, count: int) -> list[int]:
    """tensor 6: numbers of 7 bits, the first one and differences."""
    numbers = [bits.take(7, "number")]
    for _ in range(1, count):
        numbers.append(numbers[-1] + bits.take_difference("difference of numbers"))
        expect(0 <= numbers[-1] <= 127, "number", "0 to 127", numbers[-1], bits.payload.at - 1)
    return numbers


def read_weights(payload: Reader, period: int) -> list[list[int]]:
    """tensor 6, *Predictor*: for each column its weights."""
    code = read_code_table(payload)
    count = period * (period - 1) // 2
    coded = b"".join(read_coded(payload, code, min(GROUP, count - start)) for start in range(0, count, GROUP))
    values = [byte - 256 if byte > 127 else byte for byte in coded]
    weights = [values[j * (j - 1) // 2 : j * (j + 1) // 2] for j in range(period)]
    most = max(sum(abs(weight) for weight in column) for column in weights)
    expect(most <= 60000, "sum of a column's weights", "at most 60000", most, payload.at)
    return weights


def predicted_magnitude(mantissa: int, rounded: bool, v: int) -> int:
    """tensor 6, *Magnitude*."""
    if v < 0:
        return 0
    octave, m = v >> mantissa, 1 << mantissa | v % (1 << mantissa)
    return 65535 if octave >= 16 else (2 * m + (not rounded)) << octave >> (mantissa + 1)


def predicted_table(predictor: Predictor, eighth: int, place: int) -> list[int]:
    """tensor 6, *Tables*: where the slots of each entry begin, and where the last one's end."""
    if (eighth, place) in predictor.tables:
        return predictor.tables[eighth, place]
    k = predictor.mantissa

    def edge(number: int) -> int:
        octave, m = number >> k, number % (1 << k)
        half = 0 if not predictor.rounded else 1 if m == 0 else 2
        return (4 * (1 << k | m) - half << octave) * DOWN_EIGHTHS[eighth] >> (17 + k)

    def share(at: int) -> int:
        part, within = abs(at) >> 7, abs(at) & 127
        up_to = 1 << 20
        if part < BINS:
            up_to = predictor.curve[part]
            up_to += (predictor.curve[part + 1] - up_to) * within >> 7
        return (1 << 20) + (up_to if at >= 0 else -up_to)

    numbers = OCTAVES << k
    edges = [-edge(number) for number in reversed(range(numbers))] + [edge(number) for number in range(numbers)]
    spare = 32768 - (2 * numbers + 1)
    table = [0, *(e + (share(at - 128 * place) * spare >> 21) for e, at in enumerate(edges, start=1)), 32768]
    predictor.tables[eighth, place] = table
    return table


def read_predicted(group: Reader, predictor: Predictor, m: int, first: int) -> tuple[bytearray, list[int]]:
    """tensor 6, *Group*: the symbols and the signs of `m` elements; the first is number `first` from where the first
    row begins."""
    count = group.uint(2, "number of words")
    at = group.at
    states = [group.uint(4, "state") for _ in range(PREDICTED_LANES)]
    expect(min(states) >= LOWEST_STATE, "state", f"at least {LOWEST_STATE}", min(states), at)
    words = group.section(2 * count, "words of a group")
    means = [predictor.start << predictor.window] * PREDICTED_LANES
    symbols, signs = bytearray(m), [0] * m
    period = predictor.period
    for row in range(first // period, math.ceil((first + m) / period), PREDICTED_LANES):
        before: list[list[int]] = [[] for _ in range(PREDICTED_LANES)]
        for column in range(period):
            for lane in range(PREDICTED_LANES):
                position = (row + lane) * period + column - first
                if not 0 <= position < m:
                    before[lane].append(0)
                    continue
                p = predict(predictor, column, before[lane])
                symbol, sign, states[lane] = next_predicted(predictor, column, p, means[lane], states[lane], words)
                scale = predictor.scales[column]
                x = min(LARGEST, predictor.magnitudes[symbol] * (DOWN_EIGHTHS[scale % 8] >> scale // 8) >> 12)
                x = -x if sign else x
                means[lane] += abs(x - p) - (means[lane] >> predictor.window)
                before[lane].append(x)
                symbols[position], signs[position] = symbol, sign
    words.finish()
    expect_equal("states at the end", [LOWEST_STATE] * PREDICTED_LANES, states, at)
    return symbols, signs


def predict(predictor: Predictor, column: int, before: list[int]) -> int:
    """tensor 6, *Prediction*."""
    total = (predictor.biases[column] - 64) << 5 << predictor.precision
    if predictor.weights:
        total += sum(weight * x for weight, x in zip(predictor.weights[column], before, strict=True))
    return max(-LARGEST, min(LARGEST, total >> predictor.precision))


def next_predicted(predictor: Predictor, column: int, p: int, mean: int, x: int, words: Reader) -> tuple[int, int, int]:
    """tensor 6, *Group*, steps 1 to 4: the symbol and the sign of an element, and the lane's next state."""
    window, k = predictor.window, predictor.mantissa
    a = mean + 8
    octave = a.bit_length() - 1
    number = 8 * octave + (8 * a >> octave) % 8
    width = number + predictor.scales[column] - 32 - 8 * window
    reciprocal = (DOWN_EIGHTHS[number % 8] << (3 + window)) >> number // 8
    place = min(PLACES - 1, (abs(p) * reciprocal + (1 << 15)) >> 16)
    table = predicted_table(predictor, width % 8, place)
    slot = x % 32768
    entry = bisect_right(table, slot) - 1
    x = (table[entry + 1] - table[entry]) * (x >> 15) + slot - table[entry]
    if x < LOWEST_STATE:
        x = x << 16 | words.uint(2, "word")
    numbers = OCTAVES << k
    if entry == numbers:
        symbol, sign, x = x % 256, x >> 8 & 1, x >> 9
        if x < LOWEST_STATE:
            x = x << 16 | words.uint(2, "word")
        return symbol, sign, x
    negative = entry < numbers
    value = numbers - 1 - entry if negative else entry - numbers - 1
    symbol = (predictor.origin + ((width // 8 - OCTAVES_BELOW) << k) + value) % 256
    return symbol, int(negative) ^ int(p < 0), x


# ---- The hierarchical codec (codecs/hierarchical) ----

MOST_WORD_BITS = 512
NODES = ("leaf", "records", "words", "decimals", "strings", "varints", "steps", "period", "packed", "sparse", "scaled")
MOST_RUNS = 4096
MOST_PLACES = 22
LEAVES = {number: name for number, name in CODECS.items() if name in ("store", "lz4", "zstd", "tensor")}


@dataclass(frozen=True)
class Part:
    """hierarchical 3: where `bits` bits of a field's values stand in a record."""

    offset: int
    span: int
    bits: int
    shift: int
    repeats: int

    def place(self, i: int) -> tuple[int, int]:
        """The byte of the record, and the lowest bit of it, for value `i`."""
        u, r = divmod(i, self.span * self.repeats)
        return self.offset + u * self.span + r % self.span, self.shift + self.bits * (r // self.span)


def decode_hierarchical(payload: Reader, raw: int) -> bytes:
    """hierarchical 2: the payload is one node."""
    payload.room = 8 * raw + 64
    block = read_node(payload, raw, is_top=True, may_repeat=True)
    payload.finish()
    return block


def read_node(
    payload: Reader, raw: int, is_top: bool = False, word_bits: int = MOST_WORD_BITS, may_repeat: bool = False
) -> bytes:
    """hierarchical 2: a node that restores `raw` bytes, or none for no bytes. `is_top`: at the top, where it may be a
    period (`may_repeat`), or as a period. Words may have up to `word_bits` bits; there are none where this is 0."""
    if raw == 0:
        return b""
    if not may_repeat:
        expect(raw <= payload.room, "bytes of a node", f"at most {payload.room} in all", raw, payload.at)
        payload.room -= raw
    may_be = (True, is_top, word_bits > 0, is_top, is_top, is_top, is_top, may_repeat, is_top, is_top, is_top)
    allowed = [number for number, may in enumerate(may_be) if may]
    kind = payload.u8("kind of a node")
    expect(kind in allowed, "kind of a node", f"one of {', '.join(map(str, allowed))}", kind, payload.at - 1)
    if NODES[kind] == "words":
        return read_words(payload, raw, word_bits)
    readers = {
        "leaf": read_leaf,
        "records": read_records,
        "decimals": read_decimals,
        "strings": read_strings,
        "varints": read_varints,
        "steps": read_steps,
        "period": read_period,
        "packed": read_packed_values,
        "sparse": read_sparse_elements,
        "scaled": read_scaled_values,
    }
    return readers[NODES[kind]](payload, raw)


def read_leaf(payload: Reader, raw: int) -> bytes:
    """hierarchical 2, *Leaf*: a payload of another codec."""
    at = payload.at
    codec = payload.u8("codec of a leaf")
    expect(codec in LEAVES, "codec of a leaf", f"one of {', '.join(map(str, LEAVES))}", codec, at)
    size_at, size = payload.at, payload.varint("size of a leaf")
    expect(1 <= size <= raw, "size of a leaf", f"1 to {raw}", size, size_at)
    leaf = payload.section(size, "leaf")
    restored = BLOCK_DECODERS[LEAVES[codec]](leaf, raw)
    leaf.finish()
    expect_equal("size of a restored leaf", raw, len(restored), at)
    return restored


def read_records(payload: Reader, raw: int) -> bytes:
    """hierarchical 3."""
    at = payload.at
    size = payload.varint("bytes of a record")
    expect(1 <= size <= min(4096, raw), "bytes of a record", f"1 to {min(4096, raw)}", size, at)
    at = payload.at
    count = payload.varint("fields of a record")
    expect(1 <= count <= 64, "fields of a record", "1 to 64", count, at)
    at = payload.at
    taken = [0] * size
    fields = [read_field(payload, taken) for _ in range(count)]
    missing = sum((~bits & 255).bit_count() for bits in taken)
    expect(missing == 0, "bits of a record that no field takes", 0, missing, at)
    records, tail_size = divmod(raw, size)
    tail = payload.take(tail_size, "tail of the records")
    out = bytearray(records * size)
    for n, parts in fields:
        values = read_node(payload, records * n)
        for i in range(n):
            place_values(out, size, values[i::n], [(part.bits, *part.place(i)) for part in parts])
    return bytes(out) + tail


def read_field(payload: Reader, taken: list[int]) -> tuple[int, list[Part]]:
    """hierarchical 3: a descriptor. Returns the number of values and the parts; marks the bits of the record's bytes
    as taken."""
    at = payload.at
    n = payload.uint(2, "values of a field")
    expect(n >= 1, "values of a field", "at least 1", n, at)
    count = payload.u8("parts of a field")
    expect(1 <= count <= 8, "parts of a field", "1 to 8", count, at + 2)
    parts = [read_part(payload, n, len(taken)) for _ in range(count)]
    width = sum(part.bits for part in parts)
    expect(2 <= width <= 8, "bits of a field's values", "2 to 8", width, at)
    for part in parts:
        for i in range(n):
            byte, shift = part.place(i)
            mask = ((1 << part.bits) - 1) << shift
            expect(taken[byte] & mask == 0, f"byte {byte} of a record", "bits taken once", "some taken twice", at)
            taken[byte] |= mask
    return n, parts


def read_part(payload: Reader, n: int, record_size: int) -> Part:
    """hierarchical 3: where one part of a field's values stands."""
    at = payload.at
    offset, span = payload.uint(2, "offset of a part"), payload.uint(2, "span of a part")
    bits, shift, repeats = (payload.u8(f"{what} of a part") for what in ("bits", "shift", "repeats"))
    expect(span >= 1, "span of a part", "at least 1", span, at + 2)
    expect(bits >= 1, "bits of a part", "at least 1", bits, at + 4)
    expect(repeats >= 1, "repeats of a part", "at least 1", repeats, at + 6)
    expect(n % (span * repeats) == 0, "values of a field", f"a multiple of {span * repeats}", n, at)
    top, end = shift + bits * repeats, offset + n // repeats
    expect(top <= 8, "shift + bits * repeats of a part", "at most 8", top, at + 4)
    expect(end <= record_size, "end of a part", f"at most {record_size}", end, at)
    return Part(offset, span, bits, shift, repeats)


def place_values(out: bytearray, record_size: int, values: bytes, places: list[tuple[int, int, int]]) -> None:
    """hierarchical 3: put one value of each record where it belongs. `places` has bits, byte and lowest bit of the
    parts, the lowest part first."""
    below = 0
    for bits, byte, shift in places:
        piece = values.translate(bytes((value >> below & (1 << bits) - 1) << shift for value in range(256)))
        mixed = int.from_bytes(out[byte::record_size], "little") | int.from_bytes(piece, "little")
        out[byte::record_size] = mixed.to_bytes(len(values), "little")
        below += bits


def read_words(payload: Reader, raw: int, most_bits: int) -> bytes:
    """hierarchical 4."""
    at = payload.at
    w = payload.varint("bits of a word")
    expect(4 <= w <= most_bits, "bits of a word", f"4 to {most_bits}", w, at)
    at = payload.at
    head = payload.varint("head of the words")
    expect(head < w, "head of the words", f"below {w}", head, at)
    count = max(0, 8 * raw - head) // w
    at, largest = payload.at, min(65535, count, 1 << w)
    K = payload.varint("words of a codebook")
    expect(1 <= K <= largest, "words of a codebook", f"1 to {largest}", K, at)
    flags = payload.u8("flags of the words")
    expect(flags < 2, "reserved flags of the words", 0, flags & ~1, payload.at - 1)
    first = read_bit_string(payload, 1, head, "first bits")
    last_size = 8 * raw - head - count * w
    last = read_bit_string(payload, 1, last_size, "last bits")
    codebook = read_bit_string(payload, K, w, "codebook")
    at = payload.at
    numbers = read_word_numbers(payload, count, K + flags)
    if flags == 1:
        passed = numbers.count(K)
        expect(passed >= 1, "words that are passed down", "at least 1", 0, at)
        at = payload.at
        restored = read_node(payload, (passed * w + 7) // 8, word_bits=w // 2)
        below = iter(split_bit_string(restored, passed, w, "words that are passed down", at))
        words = [codebook[number] if number < K else next(below) for number in numbers]
    else:
        words = [codebook[number] for number in numbers]
    return join_bits([(first[0], head), *((word, w) for word in words), (last[0], last_size)])


def read_word_numbers(payload: Reader, count: int, limit: int) -> list[int]:
    """hierarchical 4: the number of each word, below `limit`."""
    at = payload.at
    if limit <= 256:
        numbers = list(read_node(payload, count, word_bits=0))
    else:
        shift = 16 - (limit - 1).bit_length()
        shifted = struct.unpack(f"<{count}H", read_node(payload, 2 * count, word_bits=0))
        below = max(number % (1 << shift) for number in shifted)
        expect(below == 0, "bits below the number of a word", 0, below, at)
        numbers = [number >> shift for number in shifted]
    expect(max(numbers) < limit, "number of a word", f"at most {limit - 1}", max(numbers), at)
    return numbers


def read_decimals(payload: Reader, raw: int) -> bytes:
    """hierarchical 5."""
    at = payload.at
    form = payload.u8("form of decimals")
    size, head = 4 + 4 * (form & 1), form >> 1
    expect(head < size, "head of decimals", f"below {size}", head, at)
    expect(head <= raw, "head of decimals", f"at most {raw}", head, at)
    base, shift = payload.u8("fewest places"), payload.u8("shift of decimals")
    expect(base <= MOST_PLACES, "fewest places", f"at most {MOST_PLACES}", base, at + 1)
    expect(shift < 8 * size, "shift of decimals", f"below {8 * size}", shift, at + 2)
    count, tail_size = divmod(raw - head, size)
    before, behind = payload.take(head, "head of decimals"), payload.take(tail_size, "tail of decimals")
    at = payload.at
    places = read_node(payload, count, word_bits=0)
    most = max((place for place in places if place < 255), default=0)
    expect(base + most <= MOST_PLACES, "places of a decimal", f"at most {MOST_PLACES}", base + most, at)
    at = payload.at
    data = read_node(payload, count * size, word_bits=0)
    numbers = [word >> shift for word in struct.unpack(f"<{count}{'IQ'[form & 1]}", data)]
    expect(max(numbers, default=0) < 1 << 54, "number of a decimal", "below 2^54", max(numbers, default=0), at)
    escaped = Reader(read_node(payload, places.count(255) * size, word_bits=0), 0, places.count(255) * size, "floats")
    floats = [
        escaped.take(size, "float")
        if place == 255
        else struct.pack("<" + "fd"[form & 1], ((z >> 1) ^ -(z & 1)) / float(10 ** (base + place)))
        for place, z in zip(places, numbers, strict=True)
    ]
    return before + b"".join(floats) + behind


def read_strings(payload: Reader, raw: int) -> bytes:
    """hierarchical 6."""
    at = payload.at
    width, terminator = payload.u8("width of lengths"), payload.u8("terminator")
    expect(width <= 3, "width of lengths", "0 to 3", width, at)
    runs = []
    for _ in range(ranged(payload, 1, MOST_RUNS, "runs of strings")):
        runs.append((ranged(payload, 0, raw, "bytes before strings"), ranged(payload, 1, raw, "strings")))
    at = payload.at
    text_size = ranged(payload, 1, raw, "bytes of strings")
    strings = sum(count for _, count in runs)
    expect(text_size >= strings, "bytes of strings", f"at least {strings}", text_size, at)
    outside = raw - (text_size - strings) - (strings << width)
    expect(outside >= 0, "bytes outside of runs", "0 or more", outside, at)
    at = payload.at
    others = Reader(read_node(payload, outside, word_bits=0), 0, outside, "bytes outside of runs")
    texts = read_node(payload, text_size, word_bits=0).split(bytes([terminator]))
    expect_equal("strings", strings, len(texts) - 1, at)
    expect_equal("bytes behind the last string", 0, len(texts.pop()), at)
    longest = max(map(len, texts))
    expect(longest < 1 << (8 << width), "length of a string", f"below 2^{8 << width}", longest, at)
    restored, size = [], 1 << width
    following = iter(texts)
    for gap, count in runs:
        restored.append(others.take(gap, "bytes before strings"))
        restored += [len(text).to_bytes(size, "little") + text for text in islice(following, count)]
    return b"".join(restored) + others.take(outside - others.at, "bytes behind strings")


def read_varints(payload: Reader, raw: int) -> bytes:
    """hierarchical 7."""
    at = payload.at
    form, head, tail = payload.u8("form of varints"), payload.u8("head of varints"), payload.u8("tail of varints")
    expect(form < 8, "form of varints", "0 to 7", form, at)
    expect(head + tail <= raw, "bytes around varints", f"at most {raw}", head + tail, at + 1)
    before, behind = payload.take(head, "head of varints"), payload.take(tail, "tail of varints")
    count = ranged(payload, 1, raw - head - tail, "varints")
    size, at = 1 << (form & 3), payload.at
    data = read_node(payload, count * size, word_bits=0)
    numbers = [int.from_bytes(data[i : i + size], "little", signed=form > 3) for i in range(0, len(data), size)]
    restored = before + b"".join(leb128(number % (1 << 64)) for number in numbers) + behind
    expect_equal("bytes of varints", raw, len(restored), at)
    return restored


def leb128(number: int) -> bytes:
    more = bytearray()
    while number >= 0x80:
        more.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*more, number])


def ranged(payload: Reader, least: int, most: int, what: str) -> int:
    at, number = payload.at, payload.varint(what)
    expect(least <= number <= most, what, f"{least} to {most}", number, at)
    return number


def read_steps(payload: Reader, raw: int) -> bytes:
    """hierarchical 8."""
    at = payload.at
    form, shift = payload.u8("form of steps"), payload.u8("shift of steps")
    size, head = 1 << (form & 3), form >> 2
    expect(head < size, "head of steps", f"below {size}", head, at)
    expect(head <= raw, "head of steps", f"at most {raw}", head, at)
    expect(shift < 8 * size, "shift of steps", f"below {8 * size}", shift, at + 1)
    count, tail_size = divmod(raw - head, size)
    expect(count > 0, "integers", "at least one", count, at)
    before, behind = payload.take(head, "head of steps"), payload.take(tail_size, "tail of steps")
    integers = [int.from_bytes(payload.take(size, "first integer"), "little")]
    data = read_node(payload, (count - 1) * size, word_bits=0)
    for i in range(0, len(data), size):
        z = int.from_bytes(data[i : i + size], "little") >> shift
        integers.append((integers[-1] + ((z >> 1) ^ -(z & 1))) % (1 << 8 * size))
    return before + b"".join(x.to_bytes(size, "little") for x in integers) + behind


def read_period(payload: Reader, raw: int) -> bytes:
    """hierarchical 9."""
    size = ranged(payload, 1, raw, "period")
    period = read_node(payload, size, is_top=True)
    return (period * (raw // size + 1))[:raw]


def read_packed_values(payload: Reader, raw: int) -> bytes:
    """hierarchical 10."""
    at = payload.at
    bits, head = payload.u8("bits of a value"), payload.u8("bits before the first value")
    expect(2 <= bits <= 7, "bits of a value", "2 to 7", bits, at)
    expect(head < bits, "bits before the first value", f"below {bits}", head, at + 1)
    count, behind = divmod(max(0, 8 * raw - head), bits)
    expect(count > 0, "packed values", "at least one", count, at)
    (block,) = read_bit_string(payload, 1, head, "first bits")
    (last,) = read_bit_string(payload, 1, behind, "last bits")
    for i, value in enumerate(read_node(payload, count, word_bits=0)):
        block |= value % (1 << bits) << (head + i * bits)
    return (block | last << (8 * raw - behind)).to_bytes(raw, "little")


def read_sparse_elements(payload: Reader, raw: int) -> bytes:
    """hierarchical 11."""
    at = payload.at
    form = payload.u8("form of sparse elements")
    expect(form < 64, "form of sparse elements", "below 64", form, at)
    size, head, has_signs = 1 << (form & 3), form >> 2 & 7, form >> 5 == 1
    expect(head < size, "head of sparse elements", f"below {size}", head, at)
    expect(head <= raw, "head of sparse elements", f"at most {raw}", head, at)
    count, tail_size = divmod(raw - head, size)
    expect(count > 0, "elements", "at least one", count, at)
    before, behind = payload.take(head, "head of elements"), payload.take(tail_size, "tail of elements")
    word = payload.uint(size, "frequent word")
    at = payload.at
    places = split_bit_string(read_node(payload, (count + 7) // 8, word_bits=0), count, 1, "others' places", at)
    left = sum(places)
    frequent = [word] * (count - left)
    if has_signs:
        at, top = payload.at, 1 << (8 * size - 1)
        data = read_node(payload, (count - left + 7) // 8, word_bits=0)
        signs = split_bit_string(data, count - left, 1, "signs", at)
        frequent = [word & ~top | top * sign for sign in signs]
    others = read_node(payload, left * size, word_bits=0)
    elements = [others[i : i + size] for i in range(0, len(others), size)]
    elements, words = elements[::-1], [x.to_bytes(size, "little") for x in reversed(frequent)]
    return before + b"".join(elements.pop() if other else words.pop() for other in places) + behind


def read_scaled_values(payload: Reader, raw: int) -> bytes:
    """hierarchical 12."""
    at = payload.at
    form = payload.u8("form of scaled values")
    kind, head = form & 3, form >> 2
    expect(kind < 3, "type of scaled values", "below 3", kind, at)
    size = (2, 2, 4)[kind]
    expect(head < size, "head of scaled values", f"below {size}", head, at)
    expect(head <= raw, "head of scaled values", f"at most {raw}", head, at)
    count, tail_size = divmod(raw - head, size)
    before, behind = payload.take(head, "head of floats"), payload.take(tail_size, "tail of floats")
    expect(count > 0, "floats", "at least one", count, at)
    length = ranged(payload, 1, (1 << 32) - 1, "floats of a group")
    missing = ranged(payload, 0, length - 1, "floats that the first group lacks")
    at, known = payload.at, payload.u8("values of the grid")
    expect(known > 0, "values of the grid", "at least one", known, at)
    groups = -(-(count + missing) // length)
    grid = read_singles(payload, known, "value of the grid")
    scales = read_singles(payload, groups, "scale")
    at = payload.at
    codes = read_node(payload, count, word_bits=0)
    most = max((code for code in codes if code < 255), default=0)
    expect(most < known, "code", f"below {known}", most, at)
    escaped = Reader(read_node(payload, codes.count(255) * size, word_bits=0), 0, codes.count(255) * size, "floats")
    floats = [
        escaped.take(size, "float") if code == 255 else rounded(grid[code] * scales[(i + missing) // length], kind)
        for i, code in enumerate(codes)
    ]
    return before + b"".join(floats) + behind


def read_singles(payload: Reader, count: int, what: str) -> tuple[float, ...]:
    """A leaf with so many finite numbers of IEEE 754 binary32."""
    at = payload.at
    numbers = struct.unpack(f"<{count}f", read_node(payload, 4 * count, word_bits=0))
    expect(all(map(math.isfinite, numbers)), what, "a finite number", "one that is not", at)
    return numbers


def rounded(product: float, kind: int) -> bytes:
    """A product of two binary32, which is exact here: rounded to that, and then to the type of the elements."""
    try:
        single = struct.pack("<f", product)
    except OverflowError:
        single = struct.pack("<f", math.copysign(math.inf, product))
    bits = int.from_bytes(single, "little")
    if kind == 2:
        return single
    if kind == 1:
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).to_bytes(2, "little")
    (value,) = struct.unpack("<f", single)
    try:
        return struct.pack("<e", value)
    except OverflowError:
        return struct.pack("<e", math.copysign(math.inf, value))


def read_bit_string(payload: Reader, count: int, width: int, what: str) -> list[int]:
    """hierarchical 1: the numbers of a string of `count` times `width` bits."""
    at = payload.at
    return split_bit_string(payload.take((count * width + 7) // 8, what), count, width, what, at)


def split_bit_string(data: bytes, count: int, width: int, what: str, at: int) -> list[int]:
    """hierarchical 1: the same, from bytes that have been read or restored; the string or its node begins at `at`."""
    unused = data[-1] >> 8 - (8 * len(data) - count * width) if data else 0
    expect(unused == 0, f"unused bits of the {what}", 0, unused, at)
    mask = (1 << width) - 1
    starts = range(0, count * width, width) if width else [0]
    return [int.from_bytes(data[bit // 8 : (bit + width + 7) // 8], "little") >> bit % 8 & mask for bit in starts]


def join_bits(pieces: Iterable[tuple[int, int]]) -> bytes:
    """hierarchical 1: the string of numbers of so many bits each, which make up whole bytes in all."""
    out = bytearray()
    window = held = 0
    for value, width in pieces:
        window |= value << held
        held += width
        whole = held // 8
        out += (window % (1 << 8 * whole)).to_bytes(whole, "little")
        window >>= 8 * whole
        held %= 8
    return bytes(out)


# ---- Differences from a base, or from other tensors (codecs/delta, codecs/relative) ----


@dataclass(frozen=True)
class Float:
    """A type of floats: bits of exponent and mantissa; what stands behind its largest number, infinity or a NaN; and
    how a NaN of binary32 is written."""

    exponent: int
    mantissa: int
    overflow: int
    nan: Callable[[int], int]

    @property
    def size(self) -> int:
        return (1 + self.exponent + self.mantissa) // 8

    @property
    def bias(self) -> int:
        return (1 << (self.exponent - 1)) - 1


F32 = Float(8, 23, 0x7F800000, lambda single: single)
F16 = Float(5, 10, 0x7C00, lambda single: 0x7E00 | single >> 13 & 0x3FF)
BF16 = Float(8, 7, 0x7F80, lambda single: single >> 16 | 0x40)
E4M3 = Float(4, 3, 0x7F, lambda single: 0x7F)
E5M2 = Float(5, 2, 0x7C, lambda single: 0x7F)
# delta 4: the number of a conversion is its place, from 1.
CONVERSIONS = (
    (F32, BF16),
    (F32, BF16),
    (F32, F16),
    (F16, BF16),
    (BF16, F16),
    (BF16, F32),
    (F16, F32),
    (F32, E4M3),
    (BF16, E4M3),
    (F16, E4M3),
    (F32, E5M2),
    (BF16, E5M2),
    (F16, E5M2),
)
CUT = 2


def converted(number: int, elements: bytes) -> bytes:
    """delta 4: elements of the counterpart's type in that of the block."""
    source, target = CONVERSIONS[number - 1]
    out = bytearray()
    for at in range(0, len(elements), source.size):
        single = widened(int.from_bytes(elements[at : at + source.size], "little"), source)
        value = single >> 16 if number == CUT else narrowed(single, target)
        out += value.to_bytes(target.size, "little")
    return bytes(out)


def widened(bits: int, source: Float) -> int:
    """The bits of binary32 that are the same number; those of a NaN stay at the top of its mantissa."""
    sign, shift = bits >> (8 * source.size - 1) << 31, 23 - source.mantissa
    exponent = bits >> source.mantissa & ((1 << source.exponent) - 1)
    mantissa = bits & ((1 << source.mantissa) - 1)
    if exponent == (1 << source.exponent) - 1:
        return sign | 0x7F800000 | mantissa << shift
    if source.exponent == 8:
        return bits << shift
    if exponent == 0:
        value = math.ldexp(mantissa, 1 - source.bias - source.mantissa)
        return sign | int.from_bytes(struct.pack("<f", value), "little")
    return sign | (exponent - source.bias + 127) << 23 | mantissa << shift


def narrowed(single: int, target: Float) -> int:
    """The nearest number of a type, of two the even one."""
    sign, magnitude = single >> 31 << (8 * target.size - 1), single & 0x7FFFFFFF
    if target is F32:
        return single
    if magnitude > 0x7F800000:
        return sign | target.nan(magnitude)
    if magnitude == 0x7F800000:
        return sign | target.overflow
    (value,) = struct.unpack("<f", magnitude.to_bytes(4, "little"))
    # The place of the last bit: that of the number, or of the smallest ones of the type.
    least = 2 - target.bias
    exponent = max(math.frexp(value)[1], least) if value > 0 else least
    steps = round(math.ldexp(value, target.mantissa + 1 - exponent))
    # Steps from 2^mantissa on are those of the next exponent, so that a carry goes on into it.
    rounded = ((exponent - 2 + target.bias) << target.mantissa) + steps
    return sign | min(rounded, target.overflow)


@dataclass(frozen=True)
class Form:
    """delta 2: how elements are compared."""

    size: int
    is_float: bool
    head: int
    k: int
    drop: int
    shift: int
    bits: int

    @property
    def significant(self) -> int:
        return 8 * self.size - self.drop

    def ordered(self, value: int) -> int:
        top = 1 << (self.significant - 1)
        return value ^ (top - 1) if self.is_float and value & top else value

    def undo(self, difference: int, x: int) -> int:
        """*Order*: the element, from its difference and its counterpart."""
        d = ~(difference >> 1) if difference & 1 else difference >> 1
        return self.ordered((self.ordered(x >> self.drop) + d) % (1 << self.significant)) << self.drop

    def extra_bits(self, symbol: int) -> int:
        """*Symbols*: the number of extra bits, `b`."""
        return max(0, (symbol >> self.k) - 1)

    def last_symbol(self) -> int:
        largest = (1 << self.significant) - 1
        b = max(0, self.significant - 1 - self.k)
        return min(255, (b << self.k) + (largest >> b))


def read_place(payload: Reader, raw: int, length: int) -> tuple[int, int, int, int]:
    """delta: where the counterpart begins and ends among so many bytes, its conversion, and the mode."""
    at = payload.at
    offset = payload.varint("offset of the counterpart")
    byte = payload.u8("mode")
    mode, number = byte & 15, byte >> 4
    expect(mode <= 3, "mode", "at most 3", mode, payload.at - 1)
    expect(number <= len(CONVERSIONS), "conversion", f"at most {len(CONVERSIONS)}", number, payload.at - 1)
    end = offset + raw
    if number > 0:
        source, target = CONVERSIONS[number - 1]
        expect(raw % target.size == 0, "raw", f"a multiple of {target.size}", raw, payload.at - 1)
        end = offset + raw // target.size * source.size
    expect(end <= length, "end of the counterpart", f"at most {length}", end, at)
    expect(end - offset <= MAX_BLOCK, "bytes of the counterpart", f"at most {MAX_BLOCK}", end - offset, at)
    return offset, end, number, mode


def decode_delta(payload: Reader, raw: int, base: bytes) -> bytes:
    """The page `delta`."""
    offset, end, number, mode = read_place(payload, raw, len(base))
    return differ(payload, raw, base[offset:end], number, mode)


def decode_relative(payload: Reader, raw: int, restored: Restored) -> bytes:
    """The page `relative`."""
    at, frames = payload.at, restored.index.frames
    offset, end, number, mode = read_place(payload, raw, restored.index.length)
    roots = list(restored.covering(offset, end))
    for i in [i for i in roots if frames[i].codec == "copy"]:
        at_payload = frames[i].at + FRAME_HEADER_SIZE
        start, _ = copied(Reader(restored.data, at_payload, at_payload + 8, "copy payload"), i, restored)
        skip = start - frames[i].start
        roots += restored.covering(
            max(frames[i].start, offset) + skip, min(frames[i].start + frames[i].raw, end) + skip
        )
    chained = any(frames[i].codec == "relative" for i in roots)
    expect(not chained, "counterpart", "bytes restored by frames that are not relative", "relative ones", at)
    lent = sum(max(frames[i].raw, 4096) for i in roots if frames[i].codec not in RUNS)
    expect(lent <= 16 * raw, "blocks of the counterpart", f"at most {16 * raw} bytes", lent, at)
    return differ(payload, raw, restored.bytes_of(offset, end), number, mode)


def differ(payload: Reader, raw: int, counterpart: bytes, number: int, mode: int) -> bytes:
    """A block, from the mode on, given its counterpart as it stands."""
    if number > 0:
        counterpart = converted(number, counterpart)
    if mode == 0:
        payload.finish()
        return counterpart
    if mode == 1:
        bits = read_delta_part(payload, raw)
        return bytes(x ^ b for x, b in zip(counterpart, bits, strict=True))
    form = read_form(payload, raw)
    count = (raw - form.head) // form.size
    end = form.head + count * form.size
    head, tail = payload.take(form.head, "head"), payload.take(raw - end, "tail")
    elements = [counterpart[at : at + form.size] for at in range(form.head, end, form.size)]
    changed = list(range(count)) if mode == 2 else read_changed(payload, count)
    for position, value in zip(changed, read_differences(payload, form, [elements[i] for i in changed]), strict=True):
        elements[position] = value
    return head + b"".join(elements) + tail


PARTS = {number: name for number, name in CODECS.items() if name not in ("delta", "copy", "prefix", "relative")}


def read_delta_part(payload: Reader, raw: int) -> bytes:
    """delta 1. What is left of the payload restores `raw` bytes."""
    at = payload.at
    number = payload.u8("codec of a part")
    codec = PARTS.get(number, "")
    expect(codec != "", "codec of a part", f"one of {', '.join(map(str, PARTS))}", number, at)
    if codec == "pattern251":
        pattern = payload.take(payload.left, "pattern")
        expect(1 <= len(pattern) <= min(raw, 65536), "size of a pattern", f"1 to {min(raw, 65536)}", len(pattern), at)
        return (pattern * (raw // len(pattern) + 1))[:raw]
    block = BLOCK_DECODERS[codec](payload, raw)
    payload.finish()
    expect_equal("size of a part", raw, len(block), at)
    return block


def read_delta_parts(payload: Reader, count: int) -> bytes:
    """delta 1: p, and parts of 2^p for `count` bytes."""
    p = payload.u8("p")
    expect(12 <= p <= 24, "p", "12 to 24", p, payload.at - 1)
    parts = []
    for start in range(0, count, 1 << p):
        size = payload.varint("size of a part")
        parts.append(read_delta_part(payload.section(size, "part"), min(1 << p, count - start)))
    return b"".join(parts)


def read_form(payload: Reader, raw: int) -> Form:
    at = payload.at
    flags, k, drop, shift, bits = (payload.u8("form") for _ in range(5))
    form = Form(1 << (flags & 3), bool(flags & 4), flags >> 3 & 7, k, drop, shift, bits)
    element_bits = 8 * form.size
    expect(flags < 64, "reserved bits of the form", 0, flags & ~63, at)
    expect(form.head + form.size <= raw, "elements", "at least one", f"{raw} bytes", at)
    expect(k <= 7, "k", "at most 7", k, at + 1)
    expect(drop < element_bits, "drop", f"below {element_bits}", drop, at + 2)
    expect(bits <= 8 and shift + bits <= element_bits, "class", "bits of an element", f"{bits} from {shift}", at + 3)
    return form


def read_changed(payload: Reader, count: int) -> list[int]:
    """delta 3: the positions of the elements that differ."""
    at = payload.at
    m = payload.varint("number of elements that differ")
    expect(m <= count, "number of elements that differ", f"at most {count}", m, at)
    at = payload.at
    size = payload.varint("number of gaps")
    expect(size <= m + count // 255, "number of gaps", f"at most {m + count // 255}", size, at)
    positions, position = [], 0
    gaps = read_delta_parts(payload, size)
    for gap in gaps:
        position += gap
        if gap < 255:
            positions.append(position)
            position += 1
    expect(gaps[-1:] != b"\xff", "last gap", "below 255", 255, at)
    expect_equal("number of gaps below 255", m, len(positions), at)
    expect(position <= count, "position", f"below {count}", position - 1, at)
    return positions


def read_differences(payload: Reader, form: Form, elements: list[bytes]) -> list[bytes]:
    """delta 2, *Symbols* and *Classes*: the elements, given their counterparts."""
    at = payload.at
    symbols = read_delta_parts(payload, len(elements))
    last = form.last_symbol()
    expect(max(symbols, default=0) <= last, "symbol", f"at most {last}", max(symbols, default=0), at)
    counterparts = [int.from_bytes(element, "little") for element in elements]
    classes = [x >> form.shift & ((1 << form.bits) - 1) for x in counterparts]
    # Sorting is stable: those of one class stay in order.
    places = sorted(range(len(elements)), key=classes.__getitem__)
    symbol_of = dict(zip(places, symbols, strict=True))
    size = payload.left
    extra = payload.take(size, "extra bits")
    used, values = 0, []
    for i, x in enumerate(counterparts):
        symbol = symbol_of[i]
        b = form.extra_bits(symbol)
        # symbol = b·2^k + ⌊D / 2^b⌋
        word = int.from_bytes(extra[used // 8 : (used + b) // 8 + 1], "little") >> used % 8
        difference = (symbol - (b << form.k)) << b | word & ((1 << b) - 1)
        used += b
        values.append(form.undo(difference, x).to_bytes(form.size, "little"))
    expect_equal("size of the extra bits", (used + 7) // 8, size, at)
    unused = extra[-1] >> used % 8 if used % 8 else 0
    expect(unused == 0, "unused extra bits", 0, unused, at)
    return values


BLOCK_DECODERS: dict[str, Callable[[Reader, int], bytes]] = {
    "store": decode_store,
    "lz4": decode_lz4,
    "zstd": decode_zstd,
    "hierarchical": decode_hierarchical,
    "tensor": decode_tensor,
}


# ---- Command line ----


class ArgumentParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(64, f"{self.prog}: {message}\n")


def print_list(decoded: Decoded) -> None:
    print(f"source {decoded.name!a}, {decoded.format}, {len(decoded.source)} bytes")
    # Names are shown escaped: they come from the file and may hold what a terminal would obey.
    for tensor in decoded.tensors:
        shape = "x".join(map(str, tensor.shape)) or "scalar"
        place = f"{tensor.start}+{tensor.length}"
        print(f"tensor {tensor.name!a} {tensor.dtype} {shape} {tensor.layout} {place}")
    for frame in decoded.frames:
        print(f"frame {frame.codec} {frame.start}+{frame.raw} stored {frame.at}+{frame.stored}")


def main(arguments: list[str] | None = None) -> int:
    parser = ArgumentParser(description="Decode and check an .mmh file.")
    parser.add_argument("file", type=Path, metavar="FILE.mmh")
    parser.add_argument("--base", type=Path, metavar="BASE", help="what the file was compressed against, as it was")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="write the restored source to OUT")
    parser.add_argument("--list", action="store_true", help="list the tensors and the frames")
    parser.add_argument("--no-check", action="store_true", help="do not compare checksums and hashes")
    options = parser.parse_args(arguments)
    try:
        base = options.base.read_bytes() if options.base is not None else None
        decoded = decode(options.file.read_bytes(), check=not options.no_check, base=base)
        if options.output is not None:
            options.output.write_bytes(decoded.source)
        if options.list:
            print_list(decoded)
    except MmhError as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        if isinstance(error, NoBase):
            return 64 if options.base is None else 4
        return 2 if isinstance(error, Corrupt) else 3
    except OSError as error:
        print(error, file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())

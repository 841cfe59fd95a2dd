"""Rivals that are made up, good and bad ones, and results that need no measuring."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from mmh_rs.bench.candidates import Candidate, Family, UnsuitableError
from mmh_rs.bench.elements import Elements
from mmh_rs.bench.results import FileResult, Machine, Row, Timing

Build = Callable[[Elements, str, int], Candidate]


def family(name: str, build: Build, *, installed: bool = True, settings: tuple[str, ...] = ("",)) -> Family:
    return Family(name, name.capitalize(), "zlib" if installed else "no_such_module", name, settings, build)


def honest(elements: Elements, setting: str, threads: int) -> Candidate:
    return Candidate(lambda: elements.raw, lambda raw: zlib.compress(raw, 1), zlib.decompress)


def in_pieces(elements: Elements, setting: str, threads: int) -> Candidate:
    """Its compressed data are a list, and what it restores has to be joined."""
    return Candidate(
        lambda: elements.raw,
        lambda raw: [bytes(raw[:7]), bytes(raw[7:])],
        lambda blob: blob,
        lambda pieces: memoryview(b"".join(pieces)),
        "compress",
    )


def liar(elements: Elements, setting: str, threads: int) -> Candidate:
    """Restores something else, in no time."""

    def decompress(blob: bytes) -> bytes:
        data = bytearray(zlib.decompress(blob))
        data[len(data) // 2] ^= 1
        return bytes(data)

    return Candidate(lambda: elements.raw, lambda raw: zlib.compress(raw, 1), decompress)


def raises(elements: Elements, setting: str, threads: int) -> Candidate:
    def compress(raw: memoryview) -> bytes:
        raise RuntimeError("out of\nluck")

    return Candidate(lambda: elements.raw, compress, bytes)


def unsuitable(elements: Elements, setting: str, threads: int) -> Candidate:
    raise UnsuitableError(f"knows nothing of {elements.dtype}")


def broken_import(elements: Elements, setting: str, threads: int) -> Candidate:
    raise ImportError("libfoo.so.1 is not there")


def spoils(elements: Elements, setting: str, threads: int) -> Candidate:
    """Changes what it is given, as ZipNN does."""

    def compress(data: bytearray) -> bytes:
        blob = zlib.compress(data, 1)
        data[:] = bytes(len(data))
        return blob

    return Candidate(lambda: bytearray(elements.raw), compress, zlib.decompress)


def worn_out(calls: int, error: BaseException | None = None) -> Build:
    """Good for so many calls; then it raises, or restores nothing."""

    def build(elements: Elements, setting: str, threads: int) -> Candidate:
        left = calls

        def decompress(blob: bytes) -> bytes:
            nonlocal left
            left -= 1
            if left >= 0:
                return zlib.decompress(blob)
            if error is not None:
                raise error
            return b""

        return Candidate(lambda: elements.raw, lambda raw: zlib.compress(raw, 1), decompress)

    return build


MACHINE = Machine(
    cpu="Some <CPU> & Co",
    cores=2,
    memory=24 << 30,
    system="Linux x86_64",
    python="CPython 3.11.7",
    mmh="0.1.0",
    simd="avx512",
    versions={"openzl": "0.3.0", "zipnn": None},
)


def row(name: str, ratio: float, compress: float, decompress: float, **more: Any) -> Row:
    return Row(
        name,
        name.replace("-", " "),
        "1.0",
        "good",
        stored_bytes=round(ratio * 10**8),
        ratio=ratio,
        compress=Timing(0.1 / compress, 5, compress),
        decompress=Timing(0.1 / decompress, 5, decompress),
        **more,
    )


def result(*rows: Row, path: str = "model.safetensors", **more: Any) -> FileResult:
    fields: dict[str, Any] = {
        "path": path,
        "dtype": "BF16",
        "bytes": 10**8,
        "dtype_bytes": 10**8,
        "file_bytes": 10**8 + 100,
        "threads": 1,
        "runs": 5,
        "date": "2026-01-02T03:04:05+00:00",
        "memcpy_gbps": 12.0,
        "rows": list(rows),
        "machine": MACHINE,
    }
    return FileResult(**{**fields, **more})


CROWD = [
    row("mmh-fast", 0.6662, 1.6, 4.0, compress_memory=64_000_000, decompress_memory=46_000_000),
    row("mmh-balanced", 0.6639, 1.7, 2.9),
    row("mmh-max", 0.6627, 1.4, 2.4),
    row("openzl-huffman", 0.6657, 1.5, 2.3),
    row("openzl-fse", 0.6628, 0.9, 1.5),
    row("zipnn", 0.6651, 0.5, 1.3),
    row("pcodec-8", 0.6638, 0.1, 1.2),
    row("blosc2-bitshuffle", 0.7486, 0.6, 2.9),
    row("zstd-1", 0.7803, 0.75, 0.87),
    row("zstd-3", 0.7803, 0.61, 0.86),
    row("lz4", 1.0039, 0.95, 0.98),
    row("zlib-6", 0.7938, 0.013, 0.22),
]
"""As close together as they come on real weights."""

"""The candidates of the benchmark: this package and others, behind one interface."""

from __future__ import annotations

import importlib.util
import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

# safetensors' name of a dtype: its width in bytes, and the name that most packages have for it.
DTYPES = {
    "BF16": (2, "bfloat16"),
    "F16": (2, "float16"),
    "F32": (4, "float32"),
    "F8_E4M3": (1, "float8_e4m3fn"),
    "F8_E5M2": (1, "float8_e5m2"),
    "I8": (1, "int8"),
}


@dataclass(frozen=True)
class Weights:
    """All elements of the main dtype of a file, end to end."""

    file: str
    dtype: str
    raw: Bytes

    @property
    def width(self) -> int:
        return DTYPES[self.dtype][0]


@dataclass(frozen=True)
class Candidate:
    """One compressor with one setting, single-threaded."""

    name: str
    compress: Callable[[], Any]
    decompress: Callable[[Any], Any]
    """Into a warm buffer, where the package can."""
    size: Callable[[Any], int] = len
    restored: Callable[[Any], bytes] = bytes
    """The bytes of what `decompress` returned."""
    slow: bool = False
    """One run is enough."""


def weights_of(path: Path, limit: int) -> Weights:
    """The elements of the dtype that most of a safetensors file is made of, at most `limit` bytes."""
    import json

    data = np.memmap(path, np.uint8, "r")
    (size,) = struct.unpack_from("<Q", data[:8].tobytes())
    parts: dict[str, list[Bytes]] = {}
    for name, entry in json.loads(data[8 : 8 + size].tobytes()).items():
        if name != "__metadata__" and entry["dtype"] in DTYPES:
            start, end = (8 + size + offset for offset in entry["data_offsets"])
            parts.setdefault(entry["dtype"], []).append(data[start:end])
    dtype = max(parts, key=lambda dtype: sum(map(len, parts[dtype])))
    raw = np.concatenate(parts[dtype])[: limit // 8 * 8]
    return Weights(path.name, dtype, raw)


def candidates(weights: Weights) -> list[Candidate]:
    """Ours at three levels, and every rival that is installed and knows the dtype."""
    rivals = [_openzl, _zipnn, _pcodec, _zstd, _lz4, _blosc2]
    packages = ["openzl", "zipnn", "pcodec", "zstandard", "lz4", "blosc2"]
    found = [list(_ours(weights))]
    for package, rival in zip(packages, rivals, strict=True):
        if importlib.util.find_spec(package) is not None:
            found.append(list(rival(weights)))
    return list(itertools.chain.from_iterable(found))


def missing() -> list[str]:
    """Rivals that are not installed."""
    packages = ["openzl", "zipnn", "pcodec", "zstandard", "lz4", "blosc2"]
    return [package for package in packages if importlib.util.find_spec(package) is None]


def _ours(weights: Weights) -> Iterator[Candidate]:
    import mmh_rs as mmh

    out = np.zeros_like(weights.raw)

    def decompress(blob: bytes) -> Bytes:
        mmh.decompress(blob, out=out, threads=1)
        return out

    for level in ("fast", "balanced", "max"):
        compress = partial(mmh.compress, weights.raw, dtype=weights.dtype, level=level, threads=1)
        yield Candidate(f"mmh {level}", compress, decompress, restored=lambda array: array.tobytes())


def _openzl(weights: Weights) -> Iterator[Candidate]:
    """Split into sign and mantissa (stored) and exponent (coded), in pieces of 2 MB."""
    import openzl.ext as zl

    node = {"BF16": zl.nodes.BFloat16Deconstruct, "F32": zl.nodes.Float32Deconstruct}.get(weights.dtype)
    if node is None:
        return
    elements = weights.raw.view({2: np.uint16, 4: np.uint32}[weights.width])
    pieces = np.array_split(elements, max(1, len(weights.raw) >> 21))

    def compress(compressor: Any) -> list[bytes]:
        out = []
        for piece in pieces:
            context = zl.CCtx()
            context.ref_compressor(compressor)
            context.set_parameter(zl.CParam.FormatVersion, zl.MAX_FORMAT_VERSION)
            out.append(context.compress([zl.Input(zl.Type.Numeric, piece)]))
        return out

    def decompress(blobs: list[bytes]) -> list[Any]:
        context = zl.DCtx()
        return [context.decompress(blob) for blob in blobs]

    def restored(pieces: list[Any]) -> bytes:
        def array(content: Any) -> Any:
            return np.asarray(content.as_nparray() if hasattr(content, "as_nparray") else content)

        return b"".join(array(piece[0].content).tobytes() for piece in pieces)

    for name, graph in (("Huffman", zl.graphs.Huffman), ("FSE", zl.graphs.Fse)):
        compressor = zl.Compressor()
        split = node()(compressor, sign_frac=zl.graphs.Store()(compressor), exponent=graph()(compressor))
        compressor.select_starting_graph(split)
        yield Candidate(
            f"OpenZL {name}", partial(compress, compressor), decompress, lambda blobs: sum(map(len, blobs)), restored
        )


def _zipnn(weights: Weights) -> Iterator[Candidate]:
    import zipnn

    if weights.dtype == "I8":
        return
    codec = zipnn.ZipNN(bytearray_dtype=DTYPES[weights.dtype][1], threads=1)
    fresh: list[bytes] = []

    # ZipNN changes the bytes that it is given, so each run needs a copy, which is not to be timed: there are as many
    # in stock as there may be runs.
    def copies() -> None:
        fresh.extend(weights.raw.tobytes() for _ in range(12))

    def compress() -> Any:
        if not fresh:
            copies()
        return codec.compress(fresh.pop())

    copies()
    yield Candidate("ZipNN", compress, codec.decompress)


def _pcodec(weights: Weights) -> Iterator[Candidate]:
    from pcodec import ChunkConfig, standalone

    kinds: dict[str, Any] = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}
    if weights.dtype not in kinds:
        return
    numbers = weights.raw.view(kinds[weights.dtype])
    compress = partial(standalone.simple_compress, numbers, ChunkConfig(compression_level=8))
    yield Candidate("pcodec 8", compress, standalone.simple_decompress, restored=lambda out: out.tobytes(), slow=True)


def _zstd(weights: Weights) -> Iterator[Candidate]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor()
    data = weights.raw.tobytes()
    for level in (1, 3):
        compressor = zstandard.ZstdCompressor(level=level)
        yield Candidate(f"zstd {level}", partial(compressor.compress, data), decompressor.decompress)


def _lz4(weights: Weights) -> Iterator[Candidate]:
    import lz4.block

    yield Candidate("lz4", partial(lz4.block.compress, weights.raw), lz4.block.decompress)


def _blosc2(weights: Weights) -> Iterator[Candidate]:
    import blosc2

    data = weights.raw.tobytes()
    for filter in (blosc2.Filter.SHUFFLE, blosc2.Filter.BITSHUFFLE):
        compress = partial(
            blosc2.compress2,
            data,
            codec=blosc2.Codec.ZSTD,
            clevel=3,
            filters=[filter],
            filters_meta=[0],
            typesize=weights.width,
            nthreads=1,
        )
        yield Candidate(f"blosc2 {filter.name.lower()}", compress, partial(blosc2.decompress2, nthreads=1))

"""Each compressor's own way of doing it, one function each. What they import is imported when they are asked.

A new one is a function and a row in `RIVALS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .. import _core
from .._api import LEVELS
from .._dtypes import NUMPY_NAMES
from .candidates import Candidate, Choice, Family, UnsuitableError, chosen
from .elements import Elements, buffer

__all__ = ["MMH", "RIVALS", "lineup"]


def _named(dtype: str | None) -> str:
    return "bytes" if dtype is None else dtype


def _given(elements: Elements) -> Callable[[], memoryview]:
    return lambda: elements.raw


def _mmh(elements: Elements, setting: str, threads: int) -> Candidate:
    import mmh_rs as mmh

    out = buffer(len(elements.raw))
    level = int(setting) if setting.isdecimal() else setting

    def decompress(blob: bytes) -> memoryview:
        mmh.decompress(blob, out=out, threads=threads)
        return out

    compress = partial(mmh.compress, dtype=elements.dtype, level=level, threads=threads)
    return Candidate(_given(elements), compress, decompress, threads="both")


def _zstd(elements: Elements, setting: str, threads: int) -> Candidate:
    import zstandard

    # 0 is none beside the calling one; 1 would hand the work to another one.
    compressor = zstandard.ZstdCompressor(level=int(setting), threads=threads if threads > 1 else 0)
    decompressor = zstandard.ZstdDecompressor()
    return Candidate(_given(elements), compressor.compress, decompressor.decompress, threads="compress")


def _lz4(elements: Elements, setting: str, threads: int) -> Candidate:
    import lz4.block

    mode = "high_compression" if setting == "hc" else "default"
    return Candidate(_given(elements), partial(lz4.block.compress, mode=mode), lz4.block.decompress)


def _zlib(elements: Elements, setting: str, threads: int) -> Candidate:
    import zlib

    size = len(elements.raw)
    return Candidate(
        _given(elements), partial(zlib.compress, level=int(setting)), partial(zlib.decompress, bufsize=size)
    )


def _lzma(elements: Elements, setting: str, threads: int) -> Candidate:
    import lzma

    return Candidate(_given(elements), partial(lzma.compress, preset=int(setting)), lzma.decompress)


def _zipnn(elements: Elements, setting: str, threads: int) -> Candidate:
    if elements.dtype not in ("BF16", "F16", "F32", "F8_E4M3", "F8_E5M2"):
        raise UnsuitableError(f"knows bf16, fp16, fp32 and fp8, not {_named(elements.dtype)}")
    import zipnn

    codec = zipnn.ZipNN(bytearray_dtype=NUMPY_NAMES[elements.dtype], threads=threads)
    # It changes the bytes that it is given, so that each call needs its own.
    return Candidate(elements.raw.tobytes, codec.compress, codec.decompress, threads="both")


_PIECE = 1 << 21
"""OpenZL is given so many bytes at a time: larger inputs to one call are slower, and it limits their size."""


def _openzl(elements: Elements, setting: str, threads: int) -> Candidate:
    """huffman, fse: floats split into sign and mantissa (stored) and exponent (coded), single bytes coded as they are.
    generic: whatever OpenZL makes of numbers by itself."""
    if setting != "generic" and elements.dtype not in ("BF16", "F32") and elements.width > 1:
        # There is a split for fp16, but it keeps the 11 bits of sign and mantissa in 16: larger than the original.
        raise UnsuitableError(f"its split into sign, exponent and mantissa is for bf16 and fp32, not {elements.dtype}")
    import numpy as np
    import openzl.ext as zl

    compressor = zl.Compressor()
    graph = {"huffman": zl.graphs.Huffman, "fse": zl.graphs.Fse, "generic": zl.graphs.Compress}[setting]()(compressor)
    if setting != "generic" and elements.width > 1:
        split = zl.nodes.BFloat16Deconstruct if elements.dtype == "BF16" else zl.nodes.Float32Deconstruct
        graph = split()(compressor, sign_frac=zl.graphs.Store()(compressor), exponent=graph)
    compressor.select_starting_graph(graph)

    numbers = np.frombuffer(elements.raw, {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[elements.width])
    pieces = np.array_split(numbers, max(1, len(elements.raw) // _PIECE))

    def compress(pieces: list[Any]) -> list[bytes]:
        blobs = []
        for piece in pieces:
            context = zl.CCtx()
            context.ref_compressor(compressor)
            context.set_parameter(zl.CParam.FormatVersion, zl.MAX_FORMAT_VERSION)
            blobs.append(context.compress([zl.Input(zl.Type.Numeric, piece)]))
        return blobs

    def decompress(blobs: list[bytes]) -> list[Any]:
        context = zl.DCtx()
        return [context.decompress(blob) for blob in blobs]

    def restored(outputs: list[Any]) -> memoryview:
        def array(content: Any) -> Any:
            return np.asarray(content.as_nparray() if hasattr(content, "as_nparray") else content)

        return memoryview(b"".join(array(output[0].content).tobytes() for output in outputs))

    return Candidate(lambda: pieces, compress, decompress, restored)


def _pcodec(elements: Elements, setting: str, threads: int) -> Candidate:
    import numpy as np

    kinds: dict[str | None, Any] = {
        "BF16": np.uint16, "F16": np.float16, "F32": np.float32, "F64": np.float64, "I16": np.int16, "U16": np.uint16,
        "I32": np.int32, "U32": np.uint32, "I64": np.int64, "U64": np.uint64,
    }  # fmt: skip
    if elements.dtype not in kinds:
        raise UnsuitableError(f"knows numbers of 16 to 64 bits, not {_named(elements.dtype)}")
    from pcodec import ChunkConfig, standalone

    numbers = np.frombuffer(elements.raw, kinds[elements.dtype])
    out = np.frombuffer(buffer(len(elements.raw)), kinds[elements.dtype])

    def compress(numbers: Any) -> bytes:
        blob: bytes = standalone.simple_compress(numbers, ChunkConfig(compression_level=int(setting)))
        return blob

    def decompress(blob: bytes) -> Any:
        standalone.simple_decompress_into(blob, out)
        return out

    return Candidate(lambda: numbers, compress, decompress, lambda out: memoryview(out).cast("B"))


def _blosc2(elements: Elements, setting: str, threads: int) -> Candidate:
    import blosc2

    out = buffer(len(elements.raw))
    compress = partial(
        blosc2.compress2,
        codec=blosc2.Codec.ZSTD,
        clevel=3,
        filters=[blosc2.Filter[setting.upper()]],
        filters_meta=[0],
        typesize=elements.width,
        nthreads=threads,
    )

    def decompress(blob: bytes) -> memoryview:
        blosc2.decompress2(blob, dst=out, nthreads=threads)
        return out

    return Candidate(_given(elements), compress, decompress, threads="both")


def _numbers(first: int, last: int, *, but: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in map(str, range(first, last + 1)) if name not in but)


def _zlib_version() -> str:
    import zlib

    return f"{zlib.ZLIB_RUNTIME_VERSION} (Python's)"


MMH = Family(
    "mmh", "mmh", "mmh_rs", None, tuple(LEVELS), _mmh, others=tuple(map(str, range(1, 10))),
    built_in=lambda: _core.__version__,
)  # fmt: skip
"""This package."""

RIVALS: list[Family] = [
    Family(
        "openzl", "OpenZL", "openzl", "openzl", ("huffman", "fse", "generic"), _openzl,
        labels={"huffman": "Huffman", "fse": "FSE"},
    ),
    Family("zipnn", "ZipNN", "zipnn", "zipnn", ("",), _zipnn),
    Family("pcodec", "pcodec", "pcodec", "pcodec", ("8",), _pcodec, others=_numbers(0, 12, but=("8",))),
    Family("blosc2", "blosc2", "blosc2", "blosc2", ("shuffle", "bitshuffle"), _blosc2),
    Family("zstd", "zstd", "zstandard", "zstandard", ("1", "3"), _zstd, others=_numbers(1, 22, but=("1", "3"))),
    Family("lz4", "lz4", "lz4", "lz4", ("",), _lz4, others=("hc",)),
    Family("zlib", "zlib", "zlib", None, ("6",), _zlib, others=_numbers(1, 9, but=("6",)), built_in=_zlib_version),
    Family("lzma", "lzma", "lzma", None, ("6",), _lzma, others=_numbers(0, 9, but=("6",))),
]  # fmt: skip
"""All others, in the order of tables: those made for weights first."""


def lineup(levels: str, against: str | None) -> tuple[list[Choice], list[Family]]:
    """Who is to be measured, ours first, and who would be, were it installed.

    Args:
        levels: of ours, separated by commas.
        against: names of others, separated by commas; "none" for nobody, None for all that are installed.

    Raises:
        UnknownNameError: a name that stands for nothing, or for something that is not installed.
    """
    ours = chosen([f"mmh-{level}" for level in _split(levels)], [MMH])
    if against is not None:
        return ours + chosen([name for name in _split(against) if name != "none"], RIVALS), []
    installed = [family for family in RIVALS if family.installed()]
    missing = [family for family in RIVALS if family not in installed]
    return ours + [choice for family in installed for choice in family.choices()], missing


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]

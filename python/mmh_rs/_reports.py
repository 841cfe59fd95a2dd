"""What compressing and decompressing a file report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core import CodecTotal

__all__ = ["CompressReport", "DecompressReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """Facts of one finished file. Sizes are in bytes, times in seconds."""

    source: str | None
    """Path that was read; None for a stream."""
    target: str | None
    """Path that was written; None for a stream."""
    source_bytes: int
    """Size of the original, uncompressed side."""
    stored_bytes: int
    """Size of the `.mmh` side."""
    seconds: float
    format: str
    """"safetensors", "gguf", "pytorch", "pytorch-legacy", "onnx", "hdf5", "tflite", "npy", "npz", "tar", "array", or
    "opaque" for any other."""
    tensors: int
    codecs: dict[str, CodecTotal]
    """Frames, original bytes and stored bytes, by codec."""
    blake3: str | None
    """BLAKE3 of the original, in hexadecimal."""
    sha256: str | None
    """SHA-256 of the original, in hexadecimal, if it was asked for."""

    @property
    def ratio(self) -> float:
        """Stored over original size (smaller is better); 1.0 for an empty original."""
        return self.stored_bytes / self.source_bytes if self.source_bytes else 1.0

    @property
    def bytes_per_second(self) -> float:
        """Original bytes over the time it took."""
        return self.source_bytes / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressReport(_Report):
    """What `compress_file` did."""

    in_base: int | None = None
    """Tensors that have a counterpart in the base: one of the same name and shape, but for the number of rows or for
    what stands before all names, and of the same dtype or one of which casts are made (F32, BF16, F16; FP8 of these).
    None without a base. A file of which no tensor is known counts as one, if the base is such a file, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecompressReport(_Report):
    """What `decompress_file` did."""

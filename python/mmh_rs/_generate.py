"""Weights made on demand."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _core
from ._api import _path, _threads
from ._dtypes import dtype_name
from ._limits import byte_count

if TYPE_CHECKING:
    from typing import TypeAlias

    StrPath: TypeAlias = str | os.PathLike[str]
    Progress: TypeAlias = Callable[[int, int | None, int], None]

__all__ = ["FORMATS", "TIERS", "GenerateReport", "generate"]

TIERS = {
    "smoke": 50 * 10**6,
    "1": 100 * 10**6,
    "2": 10**9,
    "3": 2 * 10**9,
    "4": 4 * 10**9,
    "5": 8 * 10**9,
    "6": 16 * 10**9,
    "7": 32 * 10**9,
}
"""Bytes of the sizes that have a name."""

FORMATS = {"safetensors": "BF16", "npy": "F32", "gguf": "BF16", "pt": "BF16"}
"""Formats, with the dtype that is taken where none is asked for."""

_SUFFIXES = {".safetensors": "safetensors", ".npy": "npy", ".gguf": "gguf", ".pt": "pt", ".pth": "pt", ".bin": "pt"}

# Spellings beside safetensors' own.
_DTYPES = {
    "BFLOAT16": "BF16",
    "FLOAT16": "F16",
    "FP16": "F16",
    "FLOAT32": "F32",
    "FP32": "F32",
    "FLOAT64": "F64",
    "FP64": "F64",
    "FP8": "F8_E4M3",
    "FP8_E4M3": "F8_E4M3",
    "FP8_E5M2": "F8_E5M2",
    "F8": "F8_E4M3",
    "FLOAT8_E4M3FN": "F8_E4M3",
    "FLOAT8_E5M2": "F8_E5M2",
    "INT8": "I8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateReport:
    """What `generate` made. Sizes are in bytes."""

    target: str | None
    """None: standard output."""
    like: str
    dtype: str
    format: str
    seed: int
    bytes: int
    """Of the file."""
    asked_bytes: int
    tensors: int
    elements: int
    """Parameters: the elements of all tensors."""
    width: int
    """Of the residual stream, or channels of the first stage."""
    layers: int
    rows: int
    """How many there are of what `rows_name` says."""
    rows_name: str
    """"vocabulary", "classes" or "text_width"."""
    seconds: float
    sha256: str | None
    """Hexadecimal; None where it was not asked for."""


def format_of(target: str | None, name: str | None) -> str:
    """The format asked for, or else the one that the suffix tells."""
    if name is not None:
        return name
    suffix = ".safetensors" if target is None else os.path.splitext(target)[1].lower()
    if suffix not in _SUFFIXES:
        raise ValueError(f"{suffix or 'no suffix'} tells no format (name one: {', '.join(FORMATS)})")
    return _SUFFIXES[suffix]


def _dtype(dtype: object, kind: str) -> str:
    """The engine's name of a dtype."""
    if dtype is None:
        return FORMATS[kind]
    name = str(dtype).removeprefix("torch.").upper()
    return _DTYPES.get(name) or (name if name.startswith("Q") else dtype_name(dtype))


def generate(
    target: StrPath | None,
    *,
    like: str = "llama",
    size: int | str | None = None,
    tier: str | int | None = None,
    dtype: object = None,
    format: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    sha256: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> GenerateReport:
    """Make a file of weights: names, shapes and statistics as real models have them, elements at random.

    The same arguments give the same bytes on every machine, whatever the number of threads. The file is written as it
    is made, in bounded memory, and appears whole or not at all.

    Args:
        target: the file to write; None, standard output.
        like: "llama", "moe", "gpt2", "bert", "vit", "unet" or "resnet": width, layers and vocabulary (or classes) are
            chosen so that the file has the size asked for, within 1 % from 1 MB on.
        size: bytes, or "100MB" (10^8), "1GiB" (2^30).
        tier: "smoke" (50 MB, also where neither is given), or 1 (100 MB), 2 (1 GB), 3 (2 GB), 4 (4 GB), 5 (8 GB),
            6 (16 GB), 7 (32 GB).
        dtype: of the matrices: "BF16" (the usual one), "F16", "F32", "F64", "F8_E4M3", "F8_E5M2", "I8", and of GGUF
            "Q8_0", "Q4_0"; the spellings of NumPy and PyTorch do as well.
        format: "safetensors", "npy" (one array), "gguf" or "pt" (as torch.save writes it); None, as the suffix says.
        seed: any number from 0 to 2^64 - 1; another one gives other weights.
        threads: how many to use; None, as many as the machine has cores.
        sha256: compute the SHA-256 of the file, too.
        force: overwrite an existing target.
        progress: called as progress(bytes done, bytes in all, bytes done). An exception that it raises stops the
            work, and nothing is left behind.

    Raises:
        ValueError, TypeError: an argument is not one of the accepted values, or they do not go together.
        FileExistsError: the target exists.
        OSError: as the file system has it; a disk that is too full is told before any work.
    """
    path = None if target is None else _path(target, "target")
    for name, number in (("size", size), ("seed", seed)):
        if number is None or isinstance(number, str):
            continue
        if isinstance(number, bool) or not hasattr(number, "__index__"):
            raise TypeError(f"{name} must be a number, not {type(number).__name__}")
        if not 0 <= number.__index__() < 1 << 64:
            raise ValueError(f"{name} {number} is out of range; accepted: 0 to 2^64 - 1")
    if size is not None and tier is not None:
        raise ValueError("give a size or a tier, not both")
    if tier is not None and str(tier) not in TIERS:
        raise ValueError(f"there is no tier {tier!r} (but {', '.join(TIERS)})")
    count = TIERS[str(tier or "smoke")] if size is None else byte_count(size) if isinstance(size, str) else size
    kind = format_of(path, format)
    if kind not in FORMATS:
        raise ValueError(f"unknown format {kind!r} (there are: {', '.join(FORMATS)})")
    made = _core.generate(
        path, like, count, _dtype(dtype, kind), kind, seed, _threads(threads), force, sha256, progress
    )
    return GenerateReport(**made, asked_bytes=count)

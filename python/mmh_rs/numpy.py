"""NumPy arrays in `.mmh` files: the verbs of `safetensors.numpy`.

    from mmh_rs.numpy import load_file, save_file

    save_file({"embedding": np.zeros((512, 1024), np.float32)}, "model.safetensors.mmh")
    arrays = load_file("model.safetensors.mmh")

What is compressed is a real safetensors file: `mmh decompress model.safetensors.mmh` gives one that every other tool
reads. bfloat16 and fp8 are arrays of ml_dtypes' types.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ._buffers import readable
from ._dtypes import name_of_numpy
from ._safe_open import safe_open
from ._saving import Item, save_bytes, save_path
from .archive import open as open_archive

__all__ = ["load", "load_file", "save", "save_file"]


def save_file(
    tensor_dict: dict[str, npt.NDArray[Any]],
    filename: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
) -> None:
    """Save arrays to a `.mmh`, over what may be there.

    Args:
        tensor_dict: C-contiguous arrays by name, of a dtype that safetensors knows.
        filename: the `.mmh` to write. A safetensors file of the uncompressed size is written beside it for a moment.
        metadata: text to store beside them.

    Raises:
        ValueError: an array is not contiguous, or of another dtype.
        TypeError: a value is no array, or the metadata is not text.
    """
    save_path(_items(tensor_dict), filename, metadata)


def save(tensor_dict: dict[str, npt.NDArray[Any]], metadata: dict[str, str] | None = None) -> bytes:
    """The content of the `.mmh` that `save_file` writes; arguments and errors as there."""
    return save_bytes(_items(tensor_dict), metadata)


def load_file(
    filename: str | os.PathLike[str], *, backend: str = "mmap", base: str | os.PathLike[str] | None = None
) -> dict[str, npt.NDArray[Any]]:
    """All arrays of a `.mmh` (or of a plain safetensors file, if safetensors is installed), by name.

    Args:
        filename: the path.
        backend: for plain safetensors files; without meaning for `.mmh`.
        base: what the `.mmh` was compressed against, as for `mmh_rs.open`.

    Raises:
        FileNotFoundError, OSError, MmhError and its kinds: as for `mmh_rs.safe_open`.
        ImportError: an array is bfloat16 or fp8, and ml_dtypes is not installed.
    """
    with safe_open(filename, framework="np", backend=backend, base=base) as file:
        arrays: dict[str, npt.NDArray[Any]] = file.get_tensors()
        return arrays


def load(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """All arrays of the content of a `.mmh`, by name; errors as for `load_file`."""
    with open_archive(readable(data)) as archive:
        return {name: archive.get(name) for name in archive}


def _items(arrays: dict[str, npt.NDArray[Any]]) -> list[Item]:
    items = []
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{key!r} is {type(array).__name__}, expected a NumPy array")
        dtype = name_of_numpy(array.dtype.newbyteorder("<"))
        if dtype is None:
            raise ValueError(f"{key!r} has dtype {array.dtype}, which safetensors does not know")
        if not array.flags.c_contiguous:
            raise ValueError(f"{key!r} is not C-contiguous; save numpy.ascontiguousarray of it")
        items.append(Item(key, dtype, list(array.shape), partial(_bytes, array)))
    return items


def _bytes(array: npt.NDArray[Any]) -> memoryview:
    # safetensors is little-endian; this copies big-endian arrays alone.
    return readable(array.astype(array.dtype.newbyteorder("<"), copy=False))

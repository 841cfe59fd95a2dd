"""What is measured: the elements of a file's main dtype, end to end."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from dataclasses import dataclass

from .. import _core
from .._dtypes import BITS

__all__ = ["Elements", "buffer", "elements_of", "same"]


@dataclass(frozen=True)
class Elements:
    """All elements of one dtype, without the headers, names and padding around them."""

    path: str
    dtype: str | None
    """safetensors' name; None where the file has no tensors that the engine knows: bytes."""
    raw: memoryview
    """At most as many bytes as were asked for."""
    dtype_bytes: int
    """Bytes of that dtype in the whole file."""
    file_bytes: int

    @property
    def width(self) -> int:
        """Bytes of one element; 1 for bytes and for what is packed below a byte."""
        return 1 if self.dtype is None else max(1, BITS.get(self.dtype, 8) // 8)


def elements_of(path: str, limit: int) -> Elements:
    """The elements of the dtype that most of the file is made of, in the order of the file.

    Args:
        path: any file; the formats that the engine reads tensor by tensor, and all others as bytes.
        limit: at most so many bytes, rounded down to whole elements of up to 8 bytes.

    Raises:
        OSError: as the file system has it, or there is nothing in it to measure.
    """
    parts: dict[str | None, list[tuple[int, int]]] = {}
    # The cheapest level: only the segments are of interest here, not what is planned for them.
    for segment in _core.explain_file(path, 1):
        if segment["dtype"] is not None and segment["bytes"]:
            parts.setdefault(segment["dtype"], []).append((segment["start"], segment["bytes"]))
    file_bytes = os.stat(path).st_size
    if not parts:
        parts[None] = [(0, file_bytes)]
    dtype = max(parts, key=lambda dtype: sum(size for _, size in parts[dtype]))
    dtype_bytes = sum(size for _, size in parts[dtype])
    wanted = dtype_bytes if dtype_bytes <= limit else limit // 8 * 8
    if wanted == 0:
        raise OSError("is empty: nothing to measure (name a file with some data)")
    raw = buffer(wanted)
    at = 0
    with open(path, "rb") as file:
        for start, size in sorted(parts[dtype]):
            if at == wanted:
                break
            file.seek(start)
            piece = raw[at : min(at + size, wanted)]
            read = 0
            while read < len(piece):
                got = file.readinto(piece[read:])
                if not got:
                    raise OSError("became shorter while it was read (is something writing to it?)")
                read += got
            at += len(piece)
    return Elements(path, dtype, raw, dtype_bytes, file_bytes)


def buffer(size: int) -> memoryview:
    """Zeroed memory whose pages are not there until they are touched, in huge pages where the system has them.

    That is what NumPy gives for an array of this size, so that the speeds are those that a user of arrays sees.
    """
    if os.name != "posix":
        return memoryview(bytearray(size))
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel built without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


def same(one: memoryview, other: memoryview) -> bool:
    """Whether two flat views hold the same bytes.

    In pieces, as `bytes`: comparing memoryviews goes through them one element at a time.
    """
    step = 1 << 20
    return len(one) == len(other) and all(
        one[at : at + step].tobytes() == other[at : at + step].tobytes() for at in range(0, len(one), step)
    )

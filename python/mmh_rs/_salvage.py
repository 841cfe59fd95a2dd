"""What is intact of a damaged `.mmh`, as a safetensors file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ._api import _base, _path
from .archive import Archive
from .archive import open as open_archive

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ._api import StrPath
    from ._core import Progress
    from .archive import TensorInfo

__all__ = ["SalvageReport", "salvage"]

_DTYPES = {
    "BOOL", "U8", "I8", "U16", "I16", "F16", "BF16", "U32", "I32", "F32", "U64", "I64", "F64", "C64",
    "F8_E4M3", "F8_E5M2", "F8_E8M0",
}  # fmt: skip
"""What safetensors knows; the bytes of others are saved as U8."""

_AT_ONCE = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SalvageReport:
    """What `salvage` did."""

    saved: list[str]
    lost: list[str]
    bytes: int
    """Bytes of the tensors that were saved."""


def salvage(
    source: StrPath,
    target: StrPath,
    *,
    base: StrPath | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> SalvageReport:
    """Write the intact tensors of a damaged `.mmh` to a safetensors file, with or without parity.

    Every block of a tensor that is written agrees with its checksum, and the tensor with its hash where one is stored.
    The beginning of the file may be missing. Tensors of dtypes that safetensors does not know are written as bytes;
    those whose first axis is the contiguous one are written in safetensors' order.

    Raises:
        CorruptionError: the index is lost, so that tensors cannot be found; or none is intact. Nothing is written.
        FileNotFoundError, FileExistsError, OSError: as the file system has it.
    """
    from ._core import CorruptionError

    goal = _path(target, "target")
    if os.path.lexists(goal) and not force:
        raise FileExistsError(17, os.strerror(17), goal)
    with _opened(_path(source, "source"), base) as archive:
        infos = archive.infos()
        damaged = {damage["tensor"] for damage in archive.verify(progress=progress).damaged}
        saved = [info for info in infos if info.name not in damaged]
        lost = [info.name for info in infos if info.name in damaged]
        if not saved:
            raise CorruptionError(f"none of {len(infos)} tensors is intact")
        head = json.dumps(_header(saved, lost)).encode()
        head += b" " * (-len(head) % 8)
        folder = os.path.dirname(goal) or "."
        handle, temporary = tempfile.mkstemp(prefix=".mmh-", suffix=".part", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(len(head).to_bytes(8, "little") + head)
                total, done = sum(info.nbytes for info in saved), 0
                for info in saved:
                    for piece in _pieces(archive, info):
                        done += file.write(piece)
                        if progress is not None:
                            progress(done, total, 0)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, goal)
        except BaseException:
            os.unlink(temporary)
            raise
    return SalvageReport(saved=[info.name for info in saved], lost=lost, bytes=sum(info.nbytes for info in saved))


def _opened(path: str, base: StrPath | None) -> Archive:
    from . import _core

    try:
        return open_archive(path, base=base)
    except (_core.CorruptionError, _core.UnsupportedFormatError):
        try:
            return Archive(_core.Archive.open_damaged(path, _base(base)), path)
        except _core.MmhError:
            pass
        raise


def _pieces(archive: Archive, info: TensorInfo) -> Iterator[Buffer]:
    """The bytes of a tensor in C order."""
    if info.fortran and info.nbytes and info.dtype in _DTYPES:
        import numpy as np

        # Elements as they are, whatever NumPy makes of their dtype.
        width = info.nbytes // prod(info.shape)
        data = bytearray(info.nbytes)
        archive.get_into(info.name, data)
        yield np.ascontiguousarray(np.frombuffer(data, f"V{width}").reshape(info.shape[::-1]).T).view(np.uint8).data
        return
    for start in range(0, info.nbytes, _AT_ONCE):
        piece = bytearray(min(_AT_ONCE, info.nbytes - start))
        archive.read_into(info.start + start, piece)
        yield piece


def _header(saved: list[TensorInfo], lost: list[str]) -> dict[str, object]:
    header: dict[str, object] = {"__metadata__": {"salvaged_by": "mmh-rs", "lost": json.dumps(lost)}}
    at = 0
    for info in saved:
        known = info.dtype in _DTYPES
        header[info.name] = {
            "dtype": info.dtype if known else "U8",
            "shape": list(info.shape) if known else [info.nbytes],
            "data_offsets": [at, at + info.nbytes],
        }
        at += info.nbytes
    return header

"""What is intact of a damaged `.mmh`: its tensors as a safetensors file, and whatever else there is in a directory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from ._api import _base, _path, _threads
from ._limits import Limits, engine_limits
from ._whole import whole_file
from .archive import Archive

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ._api import StrPath
    from ._core import Progress, Salvaged
    from .archive import TensorInfo

__all__ = ["SalvageReport", "salvage"]

_DTYPES = {
    "BOOL", "U8", "I8", "U16", "I16", "F16", "BF16", "U32", "I32", "F32", "U64", "I64", "F64", "C64",
    "F8_E4M3", "F8_E5M2", "F8_E8M0",
}  # fmt: skip
"""What safetensors knows; the bytes of others are saved as U8."""

_AT_ONCE = 8 << 20

_ENDINGS = {
    "safetensors": "safetensors", "npy": "npy", "npz": "npz", "gguf": "gguf", "pytorch": "pt", "pytorch-legacy": "pt",
    "onnx": "onnx", "hdf5": "h5", "tflite": "tflite", "tar": "tar",
}  # fmt: skip

_REPORT = "salvage.json"

_Pieces = Iterable["Buffer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SalvageReport:
    """What `salvage` did. True where nothing is lost."""

    saved: list[str]
    """Tensors that are intact, and were written."""
    lost: list[str]
    """Tensors that are known of and not intact."""
    bytes: int
    """Bytes of the tensors that were saved."""
    indexed: bool
    """Whether the index was found. If not, names come from the header of the original file, and tensors that this does
    not tell of are not known of."""
    source_bytes: int | None
    """Size of the original file, where that is known."""
    ranges: list[tuple[int, int]]
    """Bytes of the original that are intact: first, and the one after the last."""
    unplaced: list[int]
    """Sizes of stretches of the original that are intact, but nothing tells where they belong."""
    damaged: list[tuple[int, int]]
    """Bytes of the `.mmh` that are damaged or foreign, as far as that is known."""
    files: list[str]
    """Names of the files that were written to the directory; empty where `target` is a file."""

    @property
    def complete(self) -> bool:
        """Whether every byte of the original is there."""
        return self.ranges == ([(0, self.source_bytes)] if self.source_bytes else []) and self.source_bytes is not None

    def __bool__(self) -> bool:
        return not self.lost and (self.indexed or self.complete)


def salvage(
    source: StrPath,
    target: StrPath,
    *,
    base: StrPath | None = None,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    limits: Limits | None = None,
) -> SalvageReport:
    """Save what is intact of a damaged `.mmh`, with or without parity, with or without its index.

    Every block that is written agrees with its checksum, and a tensor with its hash where one is stored. Any part of
    the file may be missing, its beginning and its end included. Blocks are found wherever they stand. Where the index
    is lost, the header of the original file, which is in the first blocks, names the tensors; those behind a hole are
    named only if their place is proved. What parity can still mend is mended.

    Args:
        source: the damaged `.mmh`.
        target: a safetensors file for the intact tensors; or a directory, existing or with a separator at its end, for
            all that is intact. It gets `tensors.safetensors`; `source-N.bin`, the bytes from byte N of the original on
            that are in no saved tensor; `unplaced-N.bin`, stretches whose place is not known; and `salvage.json`, this
            report. If nothing at all is missing it gets the original file instead, as `source` with an ending.
        base: the path of what it was compressed against, where it was.
        threads: 1 or more; all cores by default.
        force: write over files that exist.
        progress: called as progress(bytes done, bytes in all, 0), for each pass anew.
        limits: how much the blocks may restore in all, and how large an index may be.

    Tensors of dtypes that safetensors does not know are written as bytes; those whose first axis is the contiguous one
    are written in safetensors' order.

    Raises:
        CorruptionError: nothing is intact, or `target` is a file and no tensor is. Nothing is written.
        UnsupportedFormatError: nothing of a `.mmh` is in it, or it is of a newer version.
        LimitError: what is in it would restore more than the limits allow.
        ValueError: a base is needed and was not given; or `target` is the source or the base.
        FileNotFoundError, FileExistsError, OSError: as the file system has it.
    """
    from . import _core

    goal = _path(target, "target")
    whole_folder = goal.endswith(("/", os.sep)) or os.path.isdir(goal)
    goal = goal.rstrip("/" + os.sep) or goal
    if whole_folder and not force and os.path.isdir(goal) and os.listdir(goal):
        raise FileExistsError(17, os.strerror(17), goal)
    path, against = _path(source, "source"), _base(base)
    read = [path] if against is None else [path, against]
    if not whole_folder:
        _core.check_target(goal, force, read)
    folder = os.path.dirname(goal) or "."
    found = _core.salvage(
        path,
        folder,
        _threads(threads),
        progress=progress,
        base=against,
        limits=engine_limits(limits),
    )
    archive = Archive(found["archive"])
    infos = archive.infos() if archive._engine().indexed else []
    report = _report(found, infos)
    if not report.saved and not (whole_folder and (report.ranges or report.unplaced)):
        known = f"none of {len(report.lost)} tensors is intact"
        kept = sum(end - start for start, end in report.ranges) + sum(report.unplaced)
        raise _core.CorruptionError(
            f"{known}, {kept} other bytes are (name a directory, with a / at its end, to save them)" if kept else known
        )
    if not whole_folder:
        _write(goal, _safetensors(archive, infos, report.lost, progress), force, read)
        return report
    os.makedirs(goal, exist_ok=True)
    for name, pieces in _contents(found, archive, infos, report, progress):
        _write(os.path.join(goal, name), pieces, force, read)
        report.files.append(name)
    _write(os.path.join(goal, _REPORT), [json.dumps(asdict(report), indent=1).encode() + b"\n"], force, read)
    return report


def _report(found: Salvaged, infos: list[TensorInfo]) -> SalvageReport:
    return SalvageReport(
        saved=[info.name for info in infos],
        lost=found["lost"],
        bytes=sum(info.nbytes for info in infos),
        indexed=found["indexed"],
        source_bytes=found["source_bytes"],
        ranges=found["ranges"],
        unplaced=[end - start for start, end in found["loose_ranges"]],
        damaged=found["damaged"],
        files=[],
    )


def _contents(
    found: Salvaged, archive: Archive, infos: list[TensorInfo], report: SalvageReport, progress: Progress | None
) -> Iterator[tuple[str, _Pieces]]:
    """The files of a directory."""
    if report.complete:
        name = "source." + _ENDINGS.get(found["archive"].format, "bin")
        yield name, _stretch(archive, 0, report.source_bytes or 0)
        return
    if infos:
        yield "tensors.safetensors", _safetensors(archive, infos, report.lost, progress)
    for start, end in _others(report.ranges, infos):
        yield f"source-{start}.bin", _stretch(archive, start, end)
    if found["loose"] is not None:
        loose = Archive(found["loose"])
        for number, (start, end) in enumerate(found["loose_ranges"], 1):
            yield f"unplaced-{number}.bin", _stretch(loose, start, end)


def _others(ranges: list[tuple[int, int]], infos: list[TensorInfo]) -> Iterator[tuple[int, int]]:
    """The ranges without the tensors, which are in order."""
    filled = [info for info in infos if info.nbytes]
    next_one = 0
    for start, end in ranges:
        at = start
        while next_one < len(filled) and filled[next_one].start < end:
            info = filled[next_one]
            if at < info.start:
                yield at, info.start
            at = info.start + info.nbytes
            next_one += 1
        if at < end:
            yield at, end


def _stretch(archive: Archive, start: int, end: int) -> Iterator[Buffer]:
    for at in range(start, end, _AT_ONCE):
        piece = bytearray(min(_AT_ONCE, end - at))
        archive._engine().read_into(at, piece)
        yield piece


def _write(goal: str, pieces: _Pieces, force: bool, read: Sequence[str]) -> None:
    with whole_file(goal, force, read, durable=True) as file:
        for piece in pieces:
            file.write(piece)


def _safetensors(
    archive: Archive, infos: list[TensorInfo], lost: list[str], progress: Progress | None
) -> Iterator[Buffer]:
    head = json.dumps(_header(infos, lost)).encode()
    head += b" " * (-len(head) % 8)
    yield len(head).to_bytes(8, "little") + head
    total, done = sum(info.nbytes for info in infos), 0
    for info in infos:
        for piece in _tensor(archive, info):
            yield piece
            done += memoryview(piece).nbytes
            if progress is not None:
                progress(done, total, 0)


def _tensor(archive: Archive, info: TensorInfo) -> Iterator[Buffer]:
    """The bytes of a tensor in C order."""
    if info.fortran and info.nbytes and info.dtype in _DTYPES:
        import numpy as np

        # Elements as they are, whatever NumPy makes of their dtype.
        width = info.nbytes // prod(info.shape)
        data = bytearray(info.nbytes)
        archive.get_into(info.name, data)
        yield np.ascontiguousarray(np.frombuffer(data, f"V{width}").reshape(info.shape[::-1]).T).view(np.uint8).data
        return
    yield from _stretch(archive, info.start, info.start + info.nbytes)


def _header(saved: list[TensorInfo], lost: list[str]) -> dict[str, Any]:
    header: dict[str, Any] = {"__metadata__": {"salvaged_by": "mmh-rs", "lost": json.dumps(lost)}}
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

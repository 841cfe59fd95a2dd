"""What compressing would save and cost, from a part of the data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _core
from ._api import NOT_WORTH, _base, _path, _threads, level_number
from ._trees import Counterparts

if TYPE_CHECKING:
    from typing import TypeAlias

    StrPath: TypeAlias = str | os.PathLike[str]
    Progress: TypeAlias = Callable[[int, int | None, int], None]

__all__ = ["Estimate", "LevelEstimate", "estimate"]

_BUDGET = 24 << 20
"""Bytes that are compressed at each level to find out; eight times as many are at the fastest one."""
_LEAST = 1 << 20
"""Bytes of each file of a directory that are looked at at least; files up to this size are small ones."""
_SMALL_FILES = 100
"""Small files of a directory that are looked at, of each suffix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelEstimate:
    """What one level would do. Sizes are in bytes, times in seconds."""

    level: int
    """1 to 9."""
    source_bytes: int
    stored_bytes: int
    """Size of the `.mmh`, or of all of them."""
    compress_seconds: float
    """On this machine with these threads, self-check and hashes included, if the disk keeps up."""
    decompress_seconds: float

    @property
    def ratio(self) -> float:
        """Stored over original size (smaller is better); 1.0 for an empty original."""
        return self.stored_bytes / self.source_bytes if self.source_bytes else 1.0

    @property
    def saved_bytes(self) -> int:
        """What would be gained; negative where the `.mmh` is larger."""
        return self.source_bytes - self.stored_bytes

    @property
    def worth_it(self) -> bool:
        """Whether it saves more than 1 %."""
        return self.ratio < NOT_WORTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What `estimate` found out about a file or a directory. Sizes are in bytes."""

    source: str
    files: int
    source_bytes: int
    sampled_bytes: int
    """Bytes that were looked at."""
    exact: bool
    """Whether everything was compressed, at every level, so that the sizes are those that compressing gives."""
    format: str
    """"safetensors", "npy", "npz" or "opaque"; "directory"."""
    tensors: int
    copied_bytes: int
    """Bytes of tensors that equal an earlier one of their file, and so take no room."""
    levels: tuple[LevelEstimate, ...]
    """One for each level asked for, in their order."""

    @property
    def worth_it(self) -> bool:
        """Whether one of the levels saves more than 1 %."""
        return any(level.worth_it for level in self.levels)


def estimate(
    source: StrPath,
    *,
    levels: Sequence[str | int] = ("fast", "balanced", "max"),
    threads: int | None = None,
    progress: Progress | None = None,
    base: StrPath | None = None,
) -> Estimate:
    """Say what compressing a file, or all files of a directory, would save, and how long it would take.

    It compresses a part of the blocks, the same ones each time, some of every kind of tensor: 192 MiB at the fastest
    level, 24 MiB at each one. That takes about a second, however large the file. The size comes within 1 % of the true
    one unless parts of one tensor differ much, or blocks of different tensors are equal; files up to 24 MiB are
    compressed whole, and their sizes are exact.

    Args:
        source: a file, or a directory, of which all regular files are looked at (of many small ones a part).
        levels: as in `compress`.
        threads: how many to use, and to tell the times for; None, as many as the machine has cores.
        progress: called as progress(bytes looked at, bytes that would be if none could be left out, 0), at each level
            and when they come back, anew; of a directory, with the bytes of its files. It may end before all.
        base: what to store differences from, as in `compress_file`; of a directory, as in `compress_dir`.

    Raises:
        FileNotFoundError, PermissionError, OSError: as the file system has it.
        ValueError, TypeError: an argument is not one of the accepted values, the source is a pipe or device, or the
            base needs one itself.
    """
    path = _path(source, "source")
    numbers = [level_number(level) for level in levels]
    count = _threads(threads)
    if not os.path.isdir(path):
        return _of_file(path, numbers, count, _BUDGET, progress, _base(base))
    return _of_directory(path, numbers, count, progress, Counterparts(base, path))


def _of_file(
    path: str, levels: list[int], threads: int, budget: int, progress: Progress | None, base: str | None
) -> Estimate:
    found = _core.estimate(path, levels, threads, budget, progress, base)
    return Estimate(
        source=path,
        files=1,
        source_bytes=found["source_bytes"],
        sampled_bytes=found["sampled_bytes"],
        exact=found["exact"],
        format=found["format"],
        tensors=found["tensors"],
        copied_bytes=found["copied_bytes"],
        levels=tuple(LevelEstimate(source_bytes=found["source_bytes"], **level) for level in found["levels"]),
    )


def _of_directory(
    root: str, levels: list[int], threads: int, progress: Progress | None, counterparts: Counterparts
) -> Estimate:
    """Large files share the budget by their sizes; of many small ones with the same suffix some stand for all."""
    sizes = {path: os.stat(path).st_size for path in _files(root)}
    total = sum(sizes.values())
    sums = [[0.0, 0.0, 0.0] for _ in levels]
    sampled = tensors = copied = 0
    done, exact = 0, True
    for paths in _groups(sizes):
        step = max(1, len(paths) // _SMALL_FILES) if sizes[paths[0]] <= _LEAST else 1
        looked_at = paths[::step]
        found = []
        for path in looked_at:
            budget = max(_LEAST, _BUDGET * sizes[path] // total)
            found.append(_of_file(path, levels, threads, budget, None, counterparts.of(path)))
            if progress is not None:
                progress(done + sum(one.source_bytes for one in found), total, 0)
        done += sum(sizes[path] for path in paths)
        seen = sum(one.source_bytes for one in found)
        # Empty files have no bytes to go by; their number has to do.
        scale = sum(sizes[path] for path in paths) / seen if seen else len(paths) / len(looked_at)
        sampled += sum(one.sampled_bytes for one in found)
        exact = exact and step == 1 and all(one.exact for one in found)
        tensors += round(scale * sum(one.tensors for one in found))
        copied += round(scale * sum(one.copied_bytes for one in found))
        for sum_of, ones in zip(sums, zip(*(one.levels for one in found), strict=True), strict=True):
            sum_of[0] += scale * sum(one.stored_bytes for one in ones)
            sum_of[1] += scale * sum(one.compress_seconds for one in ones)
            sum_of[2] += scale * sum(one.decompress_seconds for one in ones)
    return Estimate(
        source=root,
        files=len(sizes),
        source_bytes=total,
        sampled_bytes=sampled,
        exact=exact,
        format="directory",
        tensors=tensors,
        copied_bytes=copied,
        levels=tuple(
            LevelEstimate(
                level=level,
                source_bytes=total,
                stored_bytes=round(stored),
                compress_seconds=compress,
                decompress_seconds=decompress,
            )
            for level, (stored, compress, decompress) in zip(levels, sums, strict=True)
        ),
    )


def _groups(sizes: dict[str, int]) -> Iterator[list[str]]:
    """Each large file by itself; small ones with those of the same suffix and about the same size."""
    small: dict[tuple[str, int], list[str]] = {}
    for path, size in sizes.items():
        if size > _LEAST:
            yield [path]
        else:
            small.setdefault((os.path.splitext(path)[1], size.bit_length() // 2), []).append(path)
    yield from small.values()


def _files(root: str) -> Iterator[str]:
    for top, directories, names in os.walk(root):
        directories.sort()
        for name in sorted(names):
            path = os.path.join(top, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path

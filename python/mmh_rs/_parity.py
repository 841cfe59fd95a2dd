"""Parity: adding it, looking at what is left, mending."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _core
from ._api import _base, _path, _threads, parity_percent

if TYPE_CHECKING:
    from ._api import StrPath
    from ._core import Progress

__all__ = ["Examination", "Parity", "ProtectReport", "RepairReport", "examine", "protect", "repair"]

PERCENT = 5
"""Parity where no number is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """What a file is protected by. Sizes are in bytes."""

    bytes: int
    """Size of the parity."""
    body_bytes: int
    """Size of the file without it."""
    shard_bytes: int
    """Size of a shard: the unit in which damage counts."""
    groups: int
    """Shards take turns in so many groups."""
    data_shards: int
    """Shards of the file in a group."""
    recovery_shards: int
    """Shards of a group, of the file or of the parity, that may be lost, whichever they are."""
    burst_bytes: int
    """Bytes in one place that may be lost, wherever it is."""
    promise: str
    """The same in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination(Parity):
    """What `examine` found. True where everything is sound."""

    ok: bool
    mendable: bool
    lost: list[tuple[int, int]]
    """Stretches of the file that are damaged: first byte, byte after the last."""
    lost_data: int
    """Shards of the file that are lost."""
    lost_recovery: int
    """Shards of the parity that are lost."""

    def __bool__(self) -> bool:
        return self.ok


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectReport(Parity):
    """What `protect` did."""

    unchecked: int
    """Blocks that are differences from a base that was not given: whether they are sound was not to be seen, and they
    are protected as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport(Parity):
    """What `repair` did."""

    sound: bool
    """Nothing was wrong."""
    restored: list[tuple[int, int]]
    """Stretches of the file that were restored: first byte, byte after the last."""
    lost_recovery: int
    """Shards of the parity that were lost, and are there again."""
    seconds: float


def protect(
    source: StrPath,
    target: StrPath | None = None,
    *,
    percent: int = PERCENT,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    base: StrPath | None = None,
) -> ProtectReport:
    """Add parity to a `.mmh`, so that `repair` can mend it; parity that it has is replaced.

    The file is verified first: damage is not to be protected. What needs a base that is not given cannot be verified in
    full: blocks that are differences from it are only compared with the index, and counted in the report.

    Args:
        source: the `.mmh`.
        target: where to write; None replaces the source, which stays as it was until the new file is whole.
        percent: 1 to 100, of the file's size.
        threads, force, progress: as in `compress_file`.
        base: what the file was compressed against, or an `.mmh` of it.

    Raises:
        CorruptionError: the file is damaged.
        UnsupportedFormatError: it is not an MMH file, or one of a newer version.
        ValueError: percent is out of range, or the target is the base or no regular file.
        MmhError: the base is another file than the one that was compressed against.
        FileNotFoundError, FileExistsError, OSError: as the file system has it.
    """
    path, goal = _both(source, target)
    number = parity_percent(percent) or PERCENT
    report = _core.protect(path, goal, number, _threads(threads), force, progress, _base(base))
    return ProtectReport(**{name: value for name, value in report.items() if name != "seconds"})  # type: ignore[arg-type]


def examine(source: StrPath, *, threads: int | None = None, progress: Progress | None = None) -> Examination | None:
    """Look at all of a protected file, however damaged it is; None where there is no sign of parity.

    Raises:
        CorruptionError: so much is gone that nothing can be told.
        FileNotFoundError, OSError: as the file system has it.
    """
    found = _core.examine(_path(source, "source"), _threads(threads), progress)
    return None if found is None else Examination(**found)


def repair(
    source: StrPath,
    target: StrPath | None = None,
    *,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> RepairReport:
    """Mend a protected `.mmh`. The result gets its name when its hash is the one that was protected.

    A file without parity is verified: if it is sound there is nothing to mend, and the report says so.

    Args:
        source: the damaged file: shards may be damaged, moved by bytes that were put in or taken out, or missing.
        target: where to write; None replaces the source, which stays as it was until the new file is whole.
        threads, force, progress: as in `compress_file`.

    Raises:
        CorruptionError: more is lost than the parity can restore, or it is damaged and there is none. Nothing is
            written.
        UnsupportedFormatError: it is not an MMH file, or one of a newer version.
        ValueError: the target is no regular file; or another one than the source, which is sound and has no parity.
        FileNotFoundError, FileExistsError, OSError: as the file system has it.
    """
    path, goal = _both(source, target)
    return RepairReport(**_core.repair(path, goal, _threads(threads), force, progress))


def _both(source: StrPath, target: StrPath | None) -> tuple[str, str]:
    path = _path(source, "source")
    goal = path if target is None else _path(target, "target")
    # What a link points to is replaced, not the link.
    return path, os.path.realpath(goal) if os.path.islink(goal) else goal

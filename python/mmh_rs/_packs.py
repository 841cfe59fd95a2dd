"""Whole directories in one file, and back.

What is compressed is a tar archive of the directory, which is made on the way and never on the disk: whatever reads
tar reads `mmh decompress -c DIR.tar.mmh`. Small files of one kind stand together in it and share blocks, so that a
folder of sources is smaller packed than mirrored file by file, and takes less time; tensors of the files in it are
found as they are in files, and equal ones are stored once for all files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _core
from ._api import SUFFIX, _base, _codec, _path, _threads, level_number, parity_percent
from ._limits import Limits, engine_limits
from ._reports import CompressReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    StrPath: TypeAlias = str | os.PathLike[str]
    Progress: TypeAlias = Callable[[int, int | None, int], None]

__all__ = ["PACKED", "PackReport", "pack_dir", "pack_name", "unpack_dir", "unpack_name"]

PACKED = ".tar" + SUFFIX
"""How the names of packed directories end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReport(CompressReport):
    """What `pack_dir` or `unpack_dir` did. `source_bytes` are those of the archive, headers included."""

    files: int
    links: int
    directories: int
    ignored: list[str]
    """Sockets, pipes and devices, which were left out."""


def pack_dir(
    source: StrPath,
    target: StrPath | None = None,
    *,
    codec: str = "auto",
    level: str | int = "balanced",
    threads: int | None = None,
    verify: bool = True,
    sha256: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    parity: int | None = None,
    independent: bool = False,
) -> PackReport:
    """Compress a directory into one file. The source is kept.

    Names, contents, modes, modification times (to the second), empty directories and symbolic links come back by
    `unpack_dir`. Owners, extended attributes and hard links are not kept. The same tree gives the same bytes.

    Args:
        source: the directory.
        target: the `.mmh` to write; None adds ".tar.mmh" to the directory's name. It must not lie in the directory. It
            appears whole or not at all.
        codec, level, threads, verify, sha256, force, progress, parity: as in `compress_file`.
        independent: as there, for the tensors of all files together.

    Raises:
        FileNotFoundError, NotADirectoryError, FileExistsError, PermissionError, OSError: as the file system has it; one
            file that cannot be read, or that changes meanwhile, is an error of the whole.
        ValueError, TypeError: an argument is not one of the accepted values.
    """
    path = _path(source, "source")
    goal = pack_name(path) if target is None else _path(target, "target")
    number, count, percent = level_number(level), _threads(threads), parity_percent(parity)
    return _packed(path, goal, _codec(codec), number, count, verify, sha256, force, progress, percent, independent)


def _packed(
    path: str,
    goal: str | None,
    codec: str,
    level: int,
    threads: int,
    verify: bool,
    sha256: bool,
    force: bool,
    progress: Progress | None,
    parity: int | None,
    independent: bool,
) -> PackReport:
    name = os.path.basename(os.path.abspath(path)) + ".tar"
    report = _core.pack_dir(
        path, goal, codec, level, threads, verify, sha256, force, name, progress, parity, independent
    )
    report["source"], report["target"] = path, goal
    return PackReport(**report)


def unpack_dir(
    source: StrPath,
    target: StrPath | None = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    base: StrPath | None = None,
    limits: Limits | None = None,
) -> PackReport:
    """Restore a directory that `pack_dir` packed, or what any other tar archive in a `.mmh` holds.

    Args:
        source: the `.mmh`.
        target: the directory, which must not be there yet; None takes ".tar.mmh" off the source's name. It appears
            whole or not at all, and nothing is written outside of it, whatever the archive says.
        threads, progress, base, limits: as in `decompress_file`.

    Raises:
        CorruptionError: the file is damaged; nothing is left.
        ValueError: it holds no tar archive; or no target is given and the name does not end in ".tar.mmh".
        UnsupportedFormatError, LimitError, MmhError, OSError: as in `decompress_file`.
    """
    path = _path(source, "source")
    goal = unpack_name(path) if target is None else _path(target, "target")
    report = _core.unpack_dir(path, goal, _threads(threads), progress, _base(base), engine_limits(limits))
    report["source"], report["target"] = path, goal
    return PackReport(**report)


def pack_name(directory: str) -> str:
    """Where a directory is packed to by default: beside it, also for "." and names that end in a slash."""
    whole = os.path.abspath(directory)
    name = os.path.basename(whole)
    if not name:
        raise ValueError(f"{directory!r} has no name to add {PACKED} to; name the target")
    stripped = directory.rstrip("/" + os.sep)
    plain = os.path.basename(stripped) not in ("", os.curdir, os.pardir)
    return os.path.join(os.path.dirname(stripped if plain else whole), name + PACKED)


def unpack_name(path: str) -> str:
    """The directory that a packed one restores.

    Raises:
        ValueError: the name does not tell.
    """
    name = os.path.basename(path)
    if not name.endswith(PACKED) or name == PACKED:
        raise ValueError(f"{path!r} does not end in {PACKED}; name the target")
    return path[: -len(PACKED)]

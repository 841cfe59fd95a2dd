"""Which files a command works on, and where it puts the results."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .._api import SUFFIX
from ._failure import WrongUsageError

__all__ = ["STREAM", "Job", "Walk", "jobs", "refuse_existing", "suffix_added", "suffix_taken"]

STREAM = "-"
"""Standard input or output on the command line."""


class Job(NamedTuple):
    """One file to work on. None is standard input or standard output."""

    source: str | None
    target: str | None
    walked: bool
    """Found in a directory, rather than named."""


class Walk(NamedTuple):
    """What one command does with names."""

    rename: Callable[[str], str]
    """The target's name for a source's."""
    wanted: Callable[[str], bool]
    """Whether a file found in a directory is one to work on."""


def jobs(
    sources: Sequence[str],
    walk: Walk,
    *,
    output: str | None,
    to_stdout: bool,
    recursive: bool,
    failed: Callable[[Exception, str], None],
) -> list[Job]:
    """Pair sources with targets.

    Args:
        sources: files, directories and "-".
        output: a file, or a directory for several sources (made when it is needed), or "-".
        failed: told of each source that cannot be worked on, and why; the others are.

    Raises:
        WrongUsageError: the sources do not fit the output.
    """
    directory = output is not None and (
        len(sources) > 1 or output.endswith(os.sep) or os.path.isdir(output) or os.path.isdir(sources[0])
    )
    found: list[Job] = []
    for source in sources:
        try:
            for path, relative in _found(source, walk, recursive):
                if to_stdout or output == STREAM:
                    target = None
                elif output is None:
                    target = None if path is None else _renamed(path, walk)
                elif directory:
                    target = os.path.join(output, _renamed(relative, walk))
                else:
                    target = output
                found.append(Job(path, target, walked=path != source and path is not None))
        except (OSError, WrongUsageError) as error:
            failed(error, source)
    _check_distinct(found)
    return found


def _found(source: str, walk: Walk, recursive: bool) -> Iterator[tuple[str | None, str | None]]:
    """The path of each file, and its path below the directory that was named."""
    if source == STREAM:
        yield None, None
    elif not os.path.isdir(source):
        yield source, os.path.basename(source)
    elif not recursive:
        raise WrongUsageError("is a directory (use -r for what is in it)")
    else:
        for path in _regular_files(source):
            if walk.wanted(path):
                yield path, os.path.relpath(path, source)


def _regular_files(directory: str) -> Iterator[str]:
    """Regular files below a directory, sorted. Symbolic links are left out: what they point to may lie elsewhere, or
    come twice."""
    with os.scandir(directory) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_dir(follow_symlinks=False):
            yield from _regular_files(entry.path)
        elif entry.is_file(follow_symlinks=False):
            yield entry.path


def _renamed(path: str | None, walk: Walk) -> str:
    if path is None:
        raise WrongUsageError("standard input has no name to be given in a directory (name a file with -o)")
    return os.path.join(os.path.dirname(path), walk.rename(os.path.basename(path)))


def _check_distinct(pairs: Sequence[Job]) -> None:
    seen: dict[str, Job] = {}
    for job in pairs:
        if job.target is None:
            continue
        key = os.path.normcase(os.path.abspath(job.target))
        other = seen.setdefault(key, job)
        if other is not job:
            raise WrongUsageError(f"{other.source} and {job.source} would both be written to {job.target}")
        if job.source is not None and key == os.path.normcase(os.path.abspath(job.source)):
            raise WrongUsageError(f"{job.source} would be written over itself (name another target with -o)")


def refuse_existing(target: str, force: bool) -> None:
    """Before any work is done; the engine checks again when it gives the file its name.

    Raises:
        FileExistsError
    """
    if not force and os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)


def suffix_added(name: str) -> str:
    """The `.mmh` of a file."""
    return name + SUFFIX


def suffix_taken(name: str) -> str:
    """The file that a `.mmh` restores.

    Raises:
        WrongUsageError: the name does not tell.
    """
    if not name.endswith(SUFFIX) or name == SUFFIX:
        raise WrongUsageError(f"does not end in {SUFFIX} (name the file to write with -o)")
    return name[: -len(SUFFIX)]

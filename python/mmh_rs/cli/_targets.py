"""Which files a command works on, and where it puts the results."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .._api import SUFFIX
from ._failure import WrongUsageError

__all__ = ["STREAM", "Job", "jobs", "refuse_existing", "suffix_added", "suffix_taken"]

STREAM = "-"
"""Standard input or output on the command line."""


class Job(NamedTuple):
    """One file to work on. None is standard input or standard output."""

    source: str | None
    target: str | None


def jobs(
    sources: Sequence[str],
    rename: Callable[[str], str],
    *,
    several: bool,
    output: str | None,
    to_stdout: bool,
    failed: Callable[[Exception, str], None],
) -> list[Job]:
    """Pair sources with targets.

    Args:
        sources: files and "-".
        rename: the target's name for a source's.
        several: more than these was named, so that `output` is a directory.
        output: a file, or a directory for several sources (made when it is needed), or "-".
        failed: told of each source that cannot be worked on, and why; the others are.

    Raises:
        WrongUsageError: the sources do not fit the output.
    """
    directory = output is not None and (several or output.endswith(os.sep) or os.path.isdir(output))
    found: list[Job] = []
    for source in sources:
        try:
            path = None if source == STREAM else source
            if path is not None and os.path.isdir(path):
                raise WrongUsageError("is a directory (use -r for a mirror of it, --pack for one file)")
            if to_stdout or output == STREAM:
                target = None
            elif output is None:
                target = None if path is None else _renamed(path, rename)
            elif directory:
                target = os.path.join(output, _renamed(None if path is None else os.path.basename(path), rename))
            else:
                target = output
            found.append(Job(path, target))
        except (OSError, WrongUsageError) as error:
            failed(error, source)
    _check_distinct(found)
    return found


def _renamed(path: str | None, rename: Callable[[str], str]) -> str:
    if path is None:
        raise WrongUsageError("standard input has no name to be given in a directory (name a file with -o)")
    return os.path.join(os.path.dirname(path), rename(os.path.basename(path)))


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

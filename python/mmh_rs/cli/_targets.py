"""Which files a command works on, and where it puts the results."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .. import _core
from .._api import SUFFIX
from ._failure import WrongUsageError

__all__ = ["STREAM", "Job", "jobs", "refuse_report", "refuse_target", "suffix_added", "suffix_taken"]

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
        # The directory may have several names; what is in it may be a link, which would be replaced.
        folder, name = os.path.split(os.path.abspath(job.target))
        key = os.path.normcase(os.path.join(os.path.realpath(folder), name))
        other = seen.setdefault(key, job)
        if other is not job:
            raise WrongUsageError(f"{other.source} and {job.source} would both be written to {job.target}")


def refuse_target(target: str, force: bool, *read: str | None) -> None:
    """Before any work is done; the engine checks again when it gives the file its name.

    Raises:
        FileExistsError: it is there, and `force` is not set.
        ValueError: it is one of the files that are `read`, or no regular file.
    """
    _core.check_target(target, force, [path for path in read if path is not None and path != STREAM])


def refuse_report(target: str, force: bool, about: Sequence[str]) -> None:
    """The same of a page about files.

    Raises:
        WrongUsageError: it is a directory.
        OSError: its directory is not there.
    """
    if os.path.isdir(target):
        raise WrongUsageError("is a directory (name a file in it)")
    refuse_target(target, force, *about)
    os.stat(os.path.dirname(target) or ".")


def suffix_added(name: str) -> str:
    """The `.mmh` of a file."""
    return name + SUFFIX


def suffix_taken(name: str) -> str:
    """The file that a `.mmh` restores.

    Raises:
        WrongUsageError: the name does not tell.
    """
    if not name.endswith(SUFFIX) or name == SUFFIX:
        raise WrongUsageError(f"does not end in {SUFFIX} (name the target with -o)")
    return name[: -len(SUFFIX)]

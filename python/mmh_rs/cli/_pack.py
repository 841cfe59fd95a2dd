"""Directories in one file on the command line: `mmh compress --pack DIR` and `mmh decompress --unpack DIR.tar.mmh`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ._failure import WrongUsageError
from ._run import Run
from ._targets import STREAM, refuse_target
from ._terminal import binary_stdout, number, percent, printable, size, speed

if TYPE_CHECKING:
    from .._api import Progress
    from .._packs import PackReport

__all__ = ["packs"]


def packs(
    paths: Sequence[str],
    rename: Callable[[str], str],
    take: Callable[[str, str | None, Progress | None], PackReport],
    *,
    output: str | None,
    to_stdout: bool,
    force: bool,
    run: Run,
    unpacking: bool = False,
    **more: Any,
) -> None:
    """Pack each directory, or unpack each file, and report.

    Args:
        rename: the target's path for a source's.
        unpacking: a directory that is there is not written over, whatever is asked.
        more: what each result has beside the report.
    """
    stream = to_stdout or output == STREAM
    if stream and (len(paths) > 1 or run.as_json):
        raise WrongUsageError("standard output takes one packed directory, and nothing else (name files with -o)")
    if stream:
        binary_stdout(force)
    inside = output is not None and not stream and (len(paths) > 1 or output.endswith(os.sep) or os.path.isdir(output))
    for path in paths:
        with run.working_on(path):
            target: str | None
            if stream:
                target = None
            elif output is None or inside:
                target = rename(path)
                target = target if output is None else os.path.join(output, os.path.basename(target))
            else:
                target = output
            if target is not None:
                if unpacking and os.path.lexists(target):
                    raise OSError(f"{target} is there already (name another directory with -o)")
                refuse_target(target, force)
                os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
            with run.bars.bar(path, None) as progress:
                report = take(path, target, progress)
            facts = {key: value for key, value in asdict(report).items() if key not in ("source", "target")}
            run.result(path, target=target, skipped=False, **facts, ratio=report.ratio, **more)
            run.summary(
                f"{printable(path)} → {printable(target or 'standard output')}  {number(report.files)} files  "
                f"{size(report.source_bytes)} of tar, {size(report.stored_bytes)} stored  "
                f"{percent(report.stored_bytes, report.source_bytes)}  {speed(report.source_bytes, report.seconds)}"
            )
            for ignored in report.ignored:
                run.remark(ignored, "is a socket, pipe or device (left out)")

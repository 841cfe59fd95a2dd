"""Directories on the command line: `mmh compress -r DIR` and `mmh decompress -r DIR.mmh`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from .._trees import TreeFile, TreeReport
from ._failure import WrongUsageError
from ._run import Run
from ._targets import STREAM
from ._terminal import duration, number, percent, printable, size, speed

if TYPE_CHECKING:
    Take = Callable[..., TreeReport]

__all__ = ["trees"]

_WORTH_A_LINE = 100_000_000
"""Bytes from which on a file of a tree gets a line of its own; the report counts all."""


def trees(
    directories: Sequence[str],
    rename: Callable[[str], str],
    take: Take,
    *,
    alone: bool,
    output: str | None,
    to_stdout: bool,
    describe: Callable[[TreeFile], dict[str, Any]],
    run: Run,
    compressing: bool = False,
) -> None:
    """Mirror each directory, or bring it back, and report.

    Args:
        rename: the target's name for a directory's.
        take: `compress_dir` or `decompress_dir` with its options.
        alone: it is all that was named, so that `output` is the target itself and not the directory of the targets.
        describe: what the result of a file has beside path, target and skipped.
        compressing: a line says where one file for all would be smaller, and where links lead out.
    """
    if directories and (to_stdout or output == STREAM):
        raise WrongUsageError("-r does not go with standard output (name a directory with -o, or pipe from tar)")
    for directory in directories:
        with run.working_on(directory):
            if output is None or not alone:
                name = rename(os.path.basename(os.path.abspath(directory)))
            target = output if output is None or alone else os.path.join(output, name)
            _one(directory, target, take, describe, run, compressing)


def _one(
    directory: str,
    target: str | None,
    take: Take,
    describe: Callable[[TreeFile], dict[str, Any]],
    run: Run,
    compressing: bool,
) -> None:
    done = 0

    def label() -> str:
        return f"{directory}  {number(done)} files"

    def on_file(file: TreeFile) -> None:
        nonlocal done
        done += 1
        if file.error is not None:
            run.fail(file.error, file.source)
            return
        run.result(file.source, target=file.target, skipped=file.skipped, link=file.link, **describe(file))
        if file.report is not None and file.source_bytes >= _WORTH_A_LINE:
            run.summary(f"{printable(file.source)}  {_line(file.source_bytes, file.stored_bytes, file.report.seconds)}")

    with run.bars.bar(label, None) as progress:
        report = take(directory, target, progress=progress if run.talks else None, on_file=on_file)
    facts = {field.name: getattr(report, field.name) for field in fields(report)}
    run.tree({**facts, "ratio": report.ratio, "failed": len(report.failed), "ignored": report.ignored})
    for line in _summary(report):
        run.summary(line)
    if compressing and report.links_out:
        links = "a link leads" if report.links_out == 1 else f"{number(report.links_out)} links lead"
        run.remark(
            directory,
            f"{links} out of the directory: what is there is not in {report.target} (--follow takes it)",
        )
    if compressing and report.worth_packing:
        run.summary(
            "  many small files: mmh compress --pack makes one file of them, which is smaller and takes less time"
        )


def _line(source: int, stored: int, seconds: float) -> str:
    return f"{size(source)} → {size(stored)}  {percent(stored, source)}  {speed(source, seconds)}"


def _summary(report: TreeReport) -> list[str]:
    """Two lines about a tree, for people."""
    counts = [
        (report.files, "done"),
        (report.skipped, "up to date"),
        (report.links, "links"),
        (len(report.failed), "failed"),
        (len(report.ignored), "left out, not ending in .mmh"),
    ]
    said = ", ".join(f"{number(count)} {what}" for count, what in counts if count or what == "done")
    return [
        f"{printable(report.source)} → {printable(report.target)}",
        f"  {said}  {size(report.source_bytes)} original, {size(report.stored_bytes)} stored"
        f"  {percent(report.stored_bytes, report.source_bytes)}  {duration(report.seconds)}",
    ]

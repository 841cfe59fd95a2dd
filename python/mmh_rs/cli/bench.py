"""`mmh bench`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ._failure import FAILED, Failure, WrongUsageError
from ._opening import is_source
from ._run import Run, uses_run
from ._targets import STREAM, refuse_report
from ._terminal import printable, table

if TYPE_CHECKING:
    from ..bench.candidates import Choice
    from ..bench.elements import Elements
    from ..bench.measure import Measurement, Progress
    from ..bench.results import FileResult, Row

__all__ = ["bench"]

_WORDS = "mmh_rs.words"
_COUNT = click.IntRange(min=1)


class _Command(click.Command):
    """Remembers its words, which the report shows."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = ["mmh", self.name or "", *args]
        return super().parse_args(ctx, args)


@click.command(cls=_Command, short_help="Measure this and other compressors on your files.")
@uses_run
@click.option("-f", "--force", is_flag=True, help="Overwrite the report.")
@click.option("--report", "target", metavar="OUT.html", help="Write a page with charts as well.")
@click.option("--relative-to", "reference", metavar="NAME", help="Compare with this one.  [default: mmh-balanced]")
@click.option("--keep-pages", is_flag=True, help="Have glibc keep freed memory, so that nobody pays for fresh pages.")
@click.option("--no-memory", is_flag=True, help="Do not measure peak memory (quicker).")
@click.option("--whole-file", is_flag=True, help="The size of the whole file at each level, too.")
@click.option(
    "--limit", type=_COUNT, default=128, metavar="MB", help="At most so much of each file.", show_default=True
)
@click.option("--runs", type=_COUNT, default=5, metavar="N", help="Runs to take the median of.", show_default=True)
@click.option("-T", "--threads", type=click.IntRange(min=0), default=1, metavar="N", help="0: all cores.  [default: 1]")
@click.option("--levels", default="fast,balanced,max", metavar="LEVELS", help="Levels of ours.", show_default=True)
@click.option("--against", metavar="NAMES", help="Others to measure, or none.  [default: all that are installed]")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
def bench(
    files: Sequence[str],
    against: str | None,
    levels: str,
    threads: int,
    runs: int,
    limit: int,
    whole_file: bool,
    no_memory: bool,
    keep_pages: bool,
    reference: str | None,
    target: str | None,
    force: bool,
    run: Run,
) -> None:
    """Measure size, speeds and peak memory of MMH-RS at each level, and of the compressors that are installed.

    Of each FILE all elements of its main dtype are taken, end to end; of a file without tensors its bytes. Round trips
    are checked first, and what fails is not timed. Candidates take turns; speeds are medians, in GB (10^9) of original
    bytes a second.

    \b
    NAMES are separated by commas: zstd, lz4, zlib, lzma, zipnn, openzl, pcodec,
    blosc2, also with a setting: zstd-19, openzl-fse, pcodec-4, lz4-hc.

    pip install 'mmh-rs[bench]' installs them all. Peak memory is how far the resident set grows during one call in a
    fresh process: the result counts, the input does not.

    A result of --json: path, dtype, bytes, dtype_bytes, file_bytes, threads, runs, date, memcpy_gbps, complete, rows
    ([{name, label, version, status, reason, threads, stored_bytes, ratio, compress: {seconds, runs, gbps}, decompress:
    {…}, compress_memory, decompress_memory}]), whole_file ([{level, stored_bytes, ratio}]), machine ({cpu, cores,
    memory, system, python, mmh, simd, versions, kept_pages}). status is good, failed, skipped or interrupted.
    """
    from dataclasses import replace

    from ..bench import rivals
    from ..bench.candidates import UnknownNameError
    from ..bench.machine import described, machine
    from ..bench.measure import Measurement, Settings
    from ..bench.measure import keep_pages as kept

    try:
        choices, missing = rivals.lineup(levels, against)
    except UnknownNameError as error:
        raise WrongUsageError(str(error)) from None
    names = [choice.name for choice in choices]
    if reference is not None and reference not in names:
        raise WrongUsageError(f"--relative-to {reference!r} is not measured (there are: {', '.join(names)})")
    if target is not None:
        try:
            refuse_report(target, force, files)  # now, rather than after minutes of measuring
        except (OSError, ValueError, WrongUsageError) as error:
            run.fail(error, target)
            return
    about = machine([rivals.MMH, *rivals.RIVALS], kept_pages=keep_pages and kept())
    settings = Settings(runs, threads or about.cores, not no_memory)
    results: list[FileResult] = []
    for file in files:
        with run.working_on(file):
            measurement = Measurement(_elements(file, limit * 10**6), choices, missing, settings)
            interrupted = _interrupted(measurement, [choice for choice in choices if whole_file], run)
            done = replace(measurement.result(about), complete=not interrupted)
            results.append(done)
            run.result(file, **done.fields())
            if len(results) == 1:
                run.show(_wrapped(described(about)) + "\n")
            run.show(_text(done, reference) + "\n")
            for row in done.rows:
                if row.ours and row.status == "failed":
                    text = f"{row.label} failed: {row.reason} (please report it)"
                    run.fail(Failure(file, "internal", text, FAILED))
            if interrupted:
                raise KeyboardInterrupt
    if results:
        from ..bench.table import method

        run.show(_wrapped(method(results[0])))
    if target is not None and results:
        import shlex

        from .._page import write_page
        from ..bench.report import report

        words = click.get_current_context().meta[_WORDS]
        with run.working_on(target):
            write_page(target, report(results, shlex.join(words), reference), force, files)
            run.summary(f"{printable(target)}  written")


def _interrupted(measurement: Measurement, whole: Sequence[Choice], run: Run) -> bool:
    """Measures, and returns whether Ctrl-C came in between: what was measured until then is to be shown."""
    from ..bench.measure import whole_file

    file = measurement.elements.path
    try:
        with _progress(file, run) as progress:
            measurement.run(progress)
            for choice in whole:
                if choice.family.name == "mmh":
                    progress(f"whole file at {choice.setting}", 1.0)
                    measurement.whole_file.append(whole_file(file, choice.setting, measurement.settings.threads))
    except KeyboardInterrupt:
        return True
    return False


def _elements(file: str, limit: int) -> Elements:
    from ..bench.elements import elements_of

    if file == STREAM or file.lower().startswith(("http://", "https://")):
        raise WrongUsageError("is not a file (name one: it is read more than once)")
    if os.path.isdir(file):
        raise WrongUsageError("is a directory (name the files in it)")
    if not is_source(file):
        raise WrongUsageError("is compressed already (name the original)")
    return elements_of(file, limit)


@contextmanager
def _progress(file: str, run: Run) -> Iterator[Progress]:
    """A bar on a terminal; nothing elsewhere."""
    if not run.talks:
        yield lambda what, done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn(printable(os.path.basename(file)), markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=1.0)
        yield lambda what, done: bar.update(task, description=what, completed=done)


def _text(result: FileResult, reference: str | None) -> str:
    """The table and what has to be said about it; as wide as the terminal allows."""
    import shutil

    from ..bench.table import cells, notes, reference_of, title

    compared = reference_of(result, reference)
    # sys.stdout may be closed.
    terminal = sys.stdout is not None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else 1000
    # The least important columns go first.
    for shown in ({}, {"brief": True}, {"brief": True, "relative": False}, {"brief": True, "memory": False}):
        heads, lines, rows = cells(result, compared, **shown)
        if sum(max(map(len, column)) for column in _columns(heads, lines)) + 2 * (len(heads) - 1) <= width:
            break
    body = _styled(heads, lines, rows, width) if terminal else _plain(heads, lines)
    told = [_wrapped(note, "  ") for note in notes(result, compared if shown.get("relative", True) else None)]
    return "\n".join([printable(title(result)), "", body, *([""] if told else []), *told])


def _wrapped(text: str, indent: str = "") -> str:
    """For people, in lines that the terminal does not have to break; in a pipe, in one line."""
    import shutil
    import textwrap

    if sys.stdout is None or not sys.stdout.isatty():
        return indent + printable(text)
    width = shutil.get_terminal_size().columns
    return textwrap.fill(printable(text), width, initial_indent=indent, subsequent_indent=2 * indent)


def _columns(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[*head.split("\n"), *(line[place] for line in lines)] for place, head in enumerate(heads)]


def _plain(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    upper, lower = zip(*(["", *head.split("\n")][-2:] for head in heads), strict=True)
    return table(upper, [lower, *lines], [False] + [True] * (len(heads) - 1))


def _styled(heads: Sequence[str], lines: Sequence[Sequence[str]], rows: Sequence[Row | None], width: int) -> str:
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for place, head in enumerate(heads):
        drawn.add_column(Text(head), justify="right" if place else "left", no_wrap=True)
    best = _best(lines, rows)
    for number, (line, row) in enumerate(zip(lines, rows, strict=True)):
        style = "dim" if row is None else "red" if row.status == "failed" else "bold" if row.ours else ""
        texts = [
            Text(printable(cell), style="green" if (number, place) in best else "") for place, cell in enumerate(line)
        ]
        drawn.add_row(*texts, style=style)
    out = StringIO()
    Console(file=out, force_terminal=True, width=width, highlight=False).print(drawn)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _best(lines: Sequence[Sequence[str]], rows: Sequence[Row | None]) -> set[tuple[int, int]]:
    """Line and column of the smallest and of the fastest."""
    good = [(number, row) for number, row in enumerate(rows) if row is not None and row.good]
    if len(good) < 2:
        return set()
    smallest = min(good, key=lambda pair: pair[1].ratio or 0.0)[0]
    packing = max(good, key=lambda pair: pair[1].compress.gbps if pair[1].compress else 0.0)[0]
    unpacking = max(good, key=lambda pair: pair[1].decompress.gbps if pair[1].decompress else 0.0)[0]
    return {(smallest, 1), (packing, 2), (unpacking, 3)}

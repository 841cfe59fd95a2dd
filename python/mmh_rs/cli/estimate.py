"""`mmh estimate`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import click

from .._api import LEVELS, level_number
from .._estimate import Estimate, LevelEstimate
from .._estimate import estimate as estimated
from ._failure import WrongUsageError
from ._opening import threads_option
from ._run import Run, uses_run
from ._targets import STREAM
from ._terminal import duration, level_name, number, percent, printable, size, table

__all__ = ["estimate"]


def _levels(context: click.Context, parameter: click.Parameter, names: Sequence[str]) -> list[int]:
    try:
        return [level_number(int(name) if name.isdecimal() else name) for name in names] or list(LEVELS.values())
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


@click.command(short_help="Say what compressing would save, and how long it takes.")
@uses_run
@threads_option
@click.option("-r", "--recursive", is_flag=True, help="Take the files in directories.")
@click.option(
    "--level",
    "levels",
    multiple=True,
    callback=_levels,
    metavar="LEVEL",
    help="fast, balanced or max, or 1 to 9; may be repeated.  [default: fast, balanced, max]",
)
@click.option(
    "--base", metavar="FILE", help="Of storing differences from FILE (or the source of FILE.mmh); with -r, a directory."
)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
def estimate(
    files: Sequence[str], levels: list[int], recursive: bool, base: str | None, threads: int, run: Run
) -> None:
    """Say in about a second what compressing each FILE would save, and how long it takes on this machine.

    A part of the file is compressed at each level and decompressed; nothing is written. Sizes come within 1 % unless
    parts of a tensor differ much; those of files up to 24 MiB are exact. Times are from file to file, with -T threads,
    if the disk keeps up. With -r, a directory counts as a whole. With --base, as mmh compress --base would do it.

    A result of --json: path, files, source_bytes, sampled_bytes, exact, format, tensors, copied_bytes, worth_it
    (whether a level saves more than 1 %), and levels, of which each has level, stored_bytes, saved_bytes, ratio,
    compress_seconds, decompress_seconds, worth_it.
    """
    for file in files:
        with run.working_on(file):
            if file == STREAM:
                raise WrongUsageError("standard input cannot be estimated (it is read once; name a file)")
            if os.path.isdir(file) and not recursive:
                raise WrongUsageError("is a directory (use -r for what is in it)")
            if os.path.isdir(file) and base is not None and os.path.isfile(base):
                raise WrongUsageError(
                    "--base of a directory is a directory, too (its files are matched by their paths)"
                )
            with run.bars.bar(file, None) as progress:
                found = estimated(file, levels=levels, threads=threads or None, progress=progress, base=base)
            run.result(file, **_fields(found))
            run.show(("" if file == files[0] else "\n") + _text(found))


def _fields(found: Estimate) -> dict[str, Any]:
    return {
        "files": found.files,
        "source_bytes": found.source_bytes,
        "sampled_bytes": found.sampled_bytes,
        "exact": found.exact,
        "format": found.format,
        "tensors": found.tensors,
        "copied_bytes": found.copied_bytes,
        "worth_it": found.worth_it,
        "levels": [
            {
                "level": level.level,
                "stored_bytes": level.stored_bytes,
                "saved_bytes": level.saved_bytes,
                "ratio": level.ratio,
                "compress_seconds": level.compress_seconds,
                "decompress_seconds": level.decompress_seconds,
                "worth_it": level.worth_it,
            }
            for level in found.levels
        ],
    }


def _text(found: Estimate) -> str:
    facts = [printable(found.source), size(found.source_bytes)]
    if found.format == "directory":
        facts.append(f"{number(found.files)} files")
    elif found.tensors:
        facts.append(f"{found.format}, {number(found.tensors)} tensors")
    else:
        facts.append(found.format)
    if found.copied_bytes:
        facts.append(f"{size(found.copied_bytes)} of equal tensors")
    facts.append("sizes are exact" if found.exact else f"from {size(found.sampled_bytes)} of it")
    heads = ["  level", "stored", "saved", "%", "compress", "decompress", ""]
    rows = [_row(level) for level in found.levels]
    return "  ".join(facts) + "\n" + table(heads, rows, [False, True, True, True, True, True, False])


def _row(level: LevelEstimate) -> list[str]:
    return [
        "  " + level_name(level.level),
        size(level.stored_bytes),
        size(max(level.saved_bytes, 0)),
        percent(level.stored_bytes, level.source_bytes),
        duration(level.compress_seconds),
        duration(level.decompress_seconds),
        "" if level.worth_it else "not worth it",
    ]

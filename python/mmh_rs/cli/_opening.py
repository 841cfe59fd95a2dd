"""What every command that reads a `.mmh` has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .._limits import NONE, Limits, byte_count
from ._targets import STREAM
from ._terminal import binary_stdin

if TYPE_CHECKING:
    from ..archive import Archive
    from ._run import Run

__all__ = ["base_option", "is_source", "limits_option", "listed", "opened", "threads_option"]

_PIECE = 1 << 20
"""Bytes of standard input that are read at a time."""
_MAGIC = b"\x89MMH\r\n\x1a\n"

threads_option = click.option(
    "-T", "--threads", type=click.IntRange(min=0), default=0, metavar="N", help="0: all cores."
)

base_option = click.option("--base", metavar="FILE", help="What it was compressed against, or an .mmh of that.")


def _limits(context: click.Context, parameter: click.Parameter, value: str | None) -> Limits | None:
    if value is None:
        return None
    if value.lower() == "none":
        return NONE
    try:
        return Limits(max_bytes=byte_count(value))
    except ValueError as error:
        raise click.BadParameter(f"{error}, or none", context, parameter) from None


limits_option = click.option(
    "--max-size",
    "limits",
    metavar="SIZE",
    callback=_limits,
    help="Bytes that a file may restore: 100GB, 2TiB, none.  [default: 64GiB, or 1024 × its own size]",
)


def opened(path: str, run: Run, base: str | None = None, limits: Limits | None = None) -> Archive:
    """A path, a URL, or standard input, which has to be held in memory since it cannot seek."""
    from ..archive import open as open_archive

    return open_archive(_whole_stdin(run) if path == STREAM else path, base=base, limits=limits)


def _whole_stdin(run: Run) -> bytearray:
    source, held = binary_stdin(), bytearray()
    with run.bars.bar("standard input", None) as progress:
        while piece := source.read(_PIECE):
            held += piece
            progress(len(held), None, 0)
    return held


def listed(path: str, run: Run, base: str | None = None) -> Archive:
    """The same, whatever it says that it restores: for looking at what it says."""
    return opened(path, run, base, NONE)


def is_source(path: str) -> bool:
    """Whether it is a file, and no `.mmh`."""
    if path == STREAM or path.lower().startswith(("http://", "https://")):
        return False
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) != _MAGIC

"""What every command that reads a `.mmh` has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ._targets import STREAM
from ._terminal import binary_stdin

if TYPE_CHECKING:
    from ..archive import Archive

__all__ = ["base_option", "is_source", "opened", "threads_option"]

_MAGIC = b"\x89MMH\r\n\x1a\n"

threads_option = click.option(
    "-T", "--threads", type=click.IntRange(min=0), default=0, metavar="N", help="0: all cores."
)

base_option = click.option("--base", metavar="FILE", help="What it was compressed against, or an .mmh of that.")


def opened(path: str, base: str | None = None) -> Archive:
    """A path, a URL, or standard input, which has to be held in memory since it cannot seek."""
    from ..archive import open as open_archive

    return open_archive(binary_stdin().read() if path == STREAM else path, base=base)


def is_source(path: str) -> bool:
    """Whether it is a file, and no `.mmh`."""
    if path == STREAM or path.lower().startswith(("http://", "https://")):
        return False
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) != _MAGIC

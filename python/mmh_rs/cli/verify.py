"""`mmh verify`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ._failure import DAMAGED, Failure
from ._opening import base_option, limits_option, opened, threads_option
from ._run import Run, uses_run
from ._terminal import number, printable, size, speed

if TYPE_CHECKING:
    from .._core import Damage
    from .._limits import Limits

__all__ = ["verify"]

_SHOWN = 20
"""Damaged places that are named for each file; --json names all."""


@click.command(short_help="Check every block and hash.")
@uses_run
@threads_option
@base_option
@limits_option
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
def verify(files: Sequence[str], threads: int, base: str | None, limits: Limits | None, run: Run) -> None:
    """Decode every block of each .mmh and compare all checksums and hashes.

    FILE is a path, an http(s) URL, or - for standard input. Damage is named by tensor and byte, and the exit code is 2.

    A result of --json: path, ok, source_bytes, stored_bytes, frames, tensors, seconds, and damaged, a list of {frame,
    offset, source_start, source_bytes, codec, tensor, what}.
    """
    for file in files:
        with run.working_on(file), opened(file, base, limits) as archive:
            header = archive.header
            with run.bars.bar(file, header.source_bytes) as progress:
                found = archive.verify(threads, progress)
            run.result(file, **asdict(found))
            if found:
                run.summary(
                    f"{printable(file)}  good  {size(found.source_bytes)}  {number(found.frames)} frames  "
                    f"{speed(found.source_bytes, found.seconds)}"
                )
            for damage in found.damaged[:_SHOWN]:
                run.fail(Failure(file, "corruption", _damage(damage), DAMAGED))
            hidden = len(found.damaged) - _SHOWN
            if hidden > 0:
                text = f"{number(hidden)} more damaged places (use --json for all of them)"
                run.fail(Failure(file, "corruption", text, DAMAGED))
            if not found.ok and not found.damaged:
                run.fail(Failure(file, "corruption", "damaged (restore it from another copy)", DAMAGED))


def _damage(damage: Damage) -> str:
    # Offsets without commas: they are copied into other tools.
    if damage["frame"] is None:
        return f"{damage['what']} at byte {damage['offset']} (restore the file from another copy)"
    start, stop = damage["source_start"], damage["source_start"] + damage["source_bytes"]
    owner = "bytes outside of tensors" if damage["tensor"] is None else f"tensor {damage['tensor']}"
    return (
        f"damaged block {damage['frame']} at byte {damage['offset']}: {owner}, original bytes {start} to {stop}, "
        f"{damage['codec']}: {damage['what']} (restore the file from another copy)"
    )

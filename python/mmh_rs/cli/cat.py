"""`mmh cat`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import click

from .._limits import Limits
from .._whole import whole_file
from ._failure import WrongUsageError
from ._opening import base_option, limits_option, opened, threads_option
from ._run import Run, uses_run
from ._targets import STREAM
from ._terminal import binary_stdout

__all__ = ["cat"]

_PIECE = 128 << 20
"""Bytes held at a time."""


@click.command(short_help="Write the bytes of one tensor.")
@uses_run
@threads_option
@base_option
@limits_option
@click.option("-f", "--force", is_flag=True, help="Overwrite OUT; write to a terminal.")
@click.option("-o", "--output", metavar="OUT", help="Write to a file.  [default: standard output]")
@click.argument("file", metavar="FILE")
@click.argument("tensor", metavar="TENSOR")
def cat(
    file: str,
    tensor: str,
    output: str | None,
    force: bool,
    threads: int,
    base: str | None,
    limits: Limits | None,
    run: Run,
) -> None:
    """Write the bytes of one tensor, as they are in the original file.

    FILE is a path, an http(s) URL, or - for standard input; `mmh list FILE` names the tensors.

    The result of --json (which needs -o): path, target, tensor, dtype, shape, fortran, nbytes.
    """
    if output == STREAM:
        output = None
    if output is None and run.as_json:
        raise WrongUsageError("--json and the data cannot both go to standard output (name a file with -o)")
    with run.working_on(file), opened(file, run, base, limits) as archive:
        try:
            found = archive.info(tensor)
        except KeyError:
            raise WrongUsageError(f"has no tensor {tensor!r} (mmh list names them)") from None
        read = [path for path in (file, base) if path not in (None, STREAM)]
        with _sink(output, force, read) as sink, run.bars.bar(f"{file} {tensor}", found.nbytes) as progress:
            buffer = memoryview(bytearray(min(_PIECE, found.nbytes)))
            for start in range(0, found.nbytes, _PIECE):
                piece = buffer[: min(_PIECE, found.nbytes - start)]
                archive.read_into(found.start + start, piece, threads)
                sink.write(piece)
                progress(start + len(piece), found.nbytes, 0)
        run.result(
            file,
            target=output,
            tensor=found.name,
            dtype=found.dtype,
            shape=found.shape,
            fortran=found.fortran,
            nbytes=found.nbytes,
        )


@contextlib.contextmanager
def _sink(output: str | None, force: bool, read: Sequence[str]) -> Iterator[Any]:
    """Standard output, or a file."""
    if output is not None:
        with whole_file(output, force, read) as file:
            yield file
        return
    sink = binary_stdout(force)
    yield sink
    sink.flush()

"""`mmh diff`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from .._diff import Diff, TensorDiff
from .._diff import diff as compared
from .._limits import Limits
from ._opening import limits_option, threads_option
from ._run import Run, uses_run
from ._terminal import number, percent, printable, size, table

__all__ = ["diff"]

_DIFFERENT = 1
"""Exit code of --exit-code, as of diff, cmp and git."""
_STYLES = {"changed": "yellow", "reshaped": "magenta", "retyped": "magenta", "added": "green", "gone": "red"}


@click.command(short_help="Say which tensors of two files differ, and how much.")
@uses_run
@threads_option
@limits_option
@click.option("--base", metavar="FILE", help="What A or B was compressed against, or an .mmh of that.")
@click.option("--exit-code", is_flag=True, help="Return 1 where the files differ, not 0.")
@click.option("--all", "show_all", is_flag=True, help="Show equal tensors as well.")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
def diff(
    first: str,
    second: str,
    base: str | None,
    show_all: bool,
    exit_code: bool,
    threads: int,
    limits: Limits | None,
    run: Run,
) -> None:
    """Say which tensors of A and B are equal, changed, added or gone, and how much they differ.

    A and B are paths or http(s) URLs, of sources or of .mmh files, in any combination. Elements are compared bit by
    bit. Tensors of two .mmh files with the same BLAKE3 are equal, and are not decoded. What was compressed against a
    base needs it: --base FILE.

    The exit code is 0 whether they differ or not; with --exit-code, 1 where any byte does.

    The result of --json: path (A), other_path (B), identical, same_tensors, changes ({change: how many}), first and
    second (format, source_bytes, tensors, other_bytes, packed), other (bytes outside of tensors: elements, differing,
    first, …), and tensors, of which each has name, change (equal, changed, reshaped, retyped, added, gone), first and
    second (dtype, shape, fortran, bytes; or null), elements, differing, share, first_differing, max_abs, max_rel,
    relative_norm, not_finite.
    """
    try:
        with run.bars.bar(f"{first} {second}", None) as progress:
            found = compared(first, second, threads=threads or None, progress=progress, limits=limits, base=base)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        run.fail(error, second if error.filename == second else first)
        return
    tensors = [{**asdict(tensor), "share": tensor.share} for tensor in found.tensors]
    run.result(
        first,
        other_path=second,
        identical=found.identical,
        same_tensors=found.same_tensors,
        changes=found.changes,
        first=found.first,
        second=found.second,
        other=found.other,
        tensors=tensors,
    )
    shown = [tensor for tensor in found.tensors if show_all or tensor.change != "equal"]
    if shown:
        _show([_row(tensor) for tensor in shown], run)
    run.show(_summary(found))
    if exit_code and found:
        run.code(_DIFFERENT)


_HEADS = ["change", "name", "dtype", "shape", "differ", "%", "max abs", "max rel", "norm"]
_NUMERIC = [False, False, False, False, True, True, True, True, True]


def _row(tensor: TensorDiff) -> list[str]:
    def both(key: str) -> str:
        sides: list[Any] = [side[key] for side in (tensor.first, tensor.second) if side is not None]  # type: ignore[literal-required]
        texts = ["x".join(map(str, side)) or "scalar" if isinstance(side, list) else str(side) for side in sides]
        return " → ".join(dict.fromkeys(texts))

    return [
        tensor.change,
        tensor.name,
        both("dtype"),
        both("shape"),
        "" if tensor.differing is None else number(tensor.differing),
        "" if tensor.differing is None or tensor.elements is None else _share(tensor.differing, tensor.elements),
        _number(tensor.max_abs),
        _number(tensor.max_rel),
        _number(tensor.relative_norm),
    ]


def _share(part: int, whole: int) -> str:
    return percent(part, whole) if part else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _show(rows: Sequence[Sequence[str]], run: Run) -> None:
    """Columns, in colour on a terminal."""
    if run.as_json:
        return
    if sys.stdout is None or not sys.stdout.isatty():
        run.show(table(_HEADS, rows, _NUMERIC))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head, right in zip(_HEADS, _NUMERIC, strict=True):
        shown.add_column(head, justify="right" if right else "left", overflow="fold")
    for row in rows:
        # As Text: brackets in a name are no markup.
        shown.add_row(*(Text(printable(cell)) for cell in row), style=_STYLES.get(row[0]))
    Console().print(shown)


def _summary(found: Diff) -> str:
    if found.identical:
        return f"identical: {size(found.first['source_bytes'])}, {number(len(found.tensors))} tensors"
    lines = []
    counts = [f"{number(count)} {change}" for change, count in found.changes.items() if count]
    if counts:
        lines.append("tensors: " + ", ".join(counts))
    one, other = found.first["other_bytes"], found.second["other_bytes"]
    differing, compared_bytes = found.other["differing"], found.other["elements"]
    what = "other bytes" if found.tensors else "bytes"
    if one == other and not differing:
        lines.append(f"{what}: equal ({number(one)})")
    else:
        sizes = number(one) if one == other else f"{number(one)} and {number(other)}"
        first = found.other["first"]
        where = "" if first is None else f", the first is {number(first)}"
        lines.append(f"{what}: {sizes}; of the {number(compared_bytes)} in both {number(differing)} differ{where}")
    return "\n".join(lines)

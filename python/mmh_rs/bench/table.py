"""Results for the eye: cells for terminals, Markdown and HTML alike, and the notes that go with them."""

from __future__ import annotations

import os

from .results import FileResult, Row

__all__ = ["Cells", "amount", "cells", "gbps", "method", "notes", "reference_of", "title"]

DEFAULT_REFERENCE = "mmh-balanced"
_NONE = "–"

Cells = tuple[list[str], list[list[str]], list[Row | None]]
"""Column heads; a list of cells for each line; and the row of each line (None: memcpy)."""


def title(result: FileResult) -> str:
    """What was measured."""
    part = f"{amount(result.bytes)} of {result.dtype or 'bytes'}"
    if result.bytes < result.dtype_bytes:
        part = f"the first {part}"
    threads = "one thread" if result.threads == 1 else f"{result.threads} threads"
    return f"{os.path.basename(result.path)}: {part}, {threads}"


def reference_of(result: FileResult, wanted: str | None = None) -> Row | None:
    """What the others are compared with: the candidate asked for, or balanced, or the first one."""
    return result.row(wanted or DEFAULT_REFERENCE) or next((row for row in result.rows if row.good), None)


def cells(
    result: FileResult, reference: Row | None, *, memory: bool = True, relative: bool = True, brief: bool = False
) -> Cells:
    """One line for each candidate that was measured or failed.

    Args:
        memory: with the columns of peak memory, if it was measured at all.
        relative: with the columns that compare to `reference`.
        brief: with short heads.
    """
    memory = memory and any(row.compress_memory is not None for row in result.rows)
    relative = relative and reference is not None
    compress, decompress, peak = ("comp.", "decomp.", "mem") if brief else ("compress", "decompress", "memory")
    heads = ["", "size\n%", f"{compress}\nGB/s", f"{decompress}\nGB/s"]
    heads += [f"{peak} c\nMB", f"{peak} d\nMB"] if memory else []
    heads += ["size\n±%", f"{compress}\n×", f"{decompress}\n×"] if relative else []
    lines: list[list[str]] = []
    rows: list[Row | None] = []
    if result.memcpy_gbps is not None:
        line = ["memcpy", "100.00", gbps(result.memcpy_gbps), gbps(result.memcpy_gbps)]
        line += [_NONE, _NONE] if memory else []
        line += [_NONE, *_times(reference, result.memcpy_gbps, result.memcpy_gbps)] if relative else []
        lines.append(line)
        rows.append(None)
    for row in result.rows:
        if row.status == "failed":
            lines.append([row.label, "FAILED", *[_NONE] * (len(heads) - 2)])
            rows.append(row)
        if not row.good or row.ratio is None or row.compress is None or row.decompress is None:
            continue
        line = [row.label, f"{100 * row.ratio:.2f}", gbps(row.compress.gbps), gbps(row.decompress.gbps)]
        line += [_megabytes(row.compress_memory), _megabytes(row.decompress_memory)] if memory else []
        if relative and reference is not None:
            line += [_larger(row, reference), *_times(reference, row.compress.gbps, row.decompress.gbps)]
        lines.append(line)
        rows.append(row)
    return heads, lines, rows


def notes(result: FileResult, reference: Row | None) -> list[str]:
    """What has to be said about the table of `cells` with these arguments."""
    told = []
    if reference is not None:
        told.append(f"±% and ×: compared with {reference.label}")
    for status, said in (("failed", "failed"), ("skipped", "left out"), ("interrupted", "interrupted")):
        reasons: dict[str, list[str]] = {}
        for row in result.rows:
            if row.status == status:
                reasons.setdefault(row.reason or "", []).append(row.label)
        told += [f"{', '.join(labels)} {said}: {reason}" for reason, labels in reasons.items()]
    if result.threads != 1:
        single = [row.label for row in result.rows if row.good and row.threads == "neither"]
        half = [row.label for row in result.rows if row.good and row.threads == "compress"]
        if single:
            told.append(f"one thread in spite of it, knowing no more: {', '.join(single)}")
        if half:
            told.append(f"decompress with one thread: {', '.join(half)}")
    fewer = _limited(result)
    if fewer:
        told.append(f"fewer than {result.runs} runs, being slow: {', '.join(fewer)}")
    unweighed = [row.label for row in result.rows if row.good and row.compress_memory is None]
    if any(row.compress_memory is not None for row in result.rows) and unweighed:
        told.append(f"memory not measured, being slow or refusing: {', '.join(unweighed)}")
    for whole in result.whole_file:
        told.append(
            f"whole file at {whole.level}: {amount(result.file_bytes)} → {amount(whole.stored_bytes)}, "
            f"{100 * whole.ratio:.2f} %"
        )
    return told


def _limited(result: FileResult) -> list[str]:
    """Who got fewer runs than were asked for, and how many."""
    told = []
    for row in result.rows:
        if row.good and row.compress is not None and row.decompress is not None:
            runs = (row.compress.runs, row.decompress.runs)
            if min(runs) < result.runs:
                told.append(f"{row.label} ({runs[0]} compress, {runs[1]} decompress)")
    return told


def method(result: FileResult) -> str:
    """How it was measured, in two sentences."""
    pages = "glibc keeps freed pages" if result.machine.kept_pages else "memory as the system allocates it"
    return (
        f"Round trips checked before timing; medians of {result.runs} runs in turns after a warm-up, {pages}. "
        "Size: of the original. Memory: growth of the resident set during one call in a fresh process; "
        "the result counts, the input does not."
    )


def amount(count: int) -> str:
    """Bytes in decimal units: "78.1 MB"."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def gbps(value: float) -> str:
    """Three digits, or two behind zeros: "12.3", "1.23", "0.012", "0.0014"."""
    digits = next((digits for least, digits in ((9.95, 1), (0.0995, 2), (0.00995, 3)) if value >= least), 4)
    return f"{value:.{digits}f}"


def _megabytes(count: int | None) -> str:
    return _NONE if count is None else f"{count / 1e6:.0f}"


def _larger(row: Row, reference: Row) -> str:
    if row is reference or row.ratio is None or not reference.ratio:
        return "="
    more = 100 * (row.ratio / reference.ratio - 1)
    digits = 1 if abs(more) >= 0.995 else 2
    return f"{round(more, digits) + 0.0:+.{digits}f}"  # no "-0.00"


def _times(reference: Row | None, compress: float, decompress: float) -> list[str]:
    if reference is None or reference.compress is None or reference.decompress is None:
        return [_NONE, _NONE]
    pairs = ((compress, reference.compress.gbps), (decompress, reference.decompress.gbps))
    return [f"{gbps(one / other)}×" if other else _NONE for one, other in pairs]

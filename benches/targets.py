"""What each level is to reach, and what it reaches: the requirements as rows, with the numbers they are judged by.

One thread, 64 MiB or more of real weights, decoding into a warm buffer, rivals in the same run:

| level    | size                         | decompress                                                | compress |
|----------|------------------------------|-----------------------------------------------------------|----------|
| fast     | OpenZL Huffman + 0.1 %       | 5 × OpenZL Huffman and .7 of memcpy (AVX-512), 2 × (AVX2) | 4 ×      |
| balanced | below every rival            | 2 × OpenZL Huffman                                        | 1.5 ×    |
| max      | 1 % below the smallest rival | 0.15 GB/s                                                 | 0.1 GB/s |

Balanced is also to be 10 times as fast as Python's zlib and lzma, and on weights that were upcast from bf16 to fp32 to
take at most .333, at the decompress speed of bf16 or better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tables import table

from mmh_rs.bench.results import FileResult, Row

ENOUGH = 64 << 20
"""Bytes of weights that the requirements are meant for."""


class Target(NamedTuple):
    """One requirement on one file."""

    level: str
    what: str
    target: str
    reached: str
    holds: bool | None
    """None: what it compares with is not in this run."""


def targets(result: FileResult, results: Sequence[FileResult]) -> list[Target]:
    """The requirements of all levels on one file.

    Args:
        results: all files of the run, since some compare with another one.
    """
    found: list[Target] = []
    for level, wanted in (("fast", _fast), ("balanced", _balanced), ("max", _max)):
        ours = result.row(f"mmh-{level}")
        if ours is not None:
            found += [Target(level, *rest) for rest in wanted(result, ours)]
    balanced = result.row("mmh-balanced")
    if balanced is not None and "-upcast-" in result.path:
        found += [Target("balanced", *rest) for rest in _upcast(balanced, result, results)]
    return found


_Judged = Iterator[tuple[str, str, str, bool | None]]


def _fast(result: FileResult, ours: Row) -> _Judged:
    huffman = result.row("openzl-huffman")
    limit = None if huffman is None else _ratio(huffman) * 1.001
    yield (
        "size",
        "OpenZL Huffman + 0.1 %" + ("" if limit is None else f": ≤ {_size(limit)}"),
        _size(_ratio(ours)),
        None if limit is None else _ratio(ours) <= limit,
    )
    times = {"avx512": 5.0, "avx2": 2.0}.get(result.machine.simd)
    if times is not None:
        yield _multiple("decompress", ours, huffman, times)
    if result.machine.simd == "avx512" and result.memcpy_gbps:
        part = _speed(ours, "decompress") / result.memcpy_gbps
        yield "decompress", "≥ 0.7 of memcpy", f"{part:.2f}", part >= 0.7
    yield _multiple("compress", ours, huffman, 4.0)


def _balanced(result: FileResult, ours: Row) -> _Judged:
    smallest = _smallest(result)
    asked = result.dtype in ("BF16", "F16", "F32", "F8_E4M3", "F8_E5M2")
    yield (
        "size",
        "below every rival" + _named(smallest) + ("" if asked else " (asked of floats alone)"),
        _size(_ratio(ours)),
        _ratio(ours) < _ratio(smallest) if asked and smallest is not None else None,
    )
    huffman = result.row("openzl-huffman")
    yield _multiple("decompress", ours, huffman, 2.0)
    yield _multiple("compress", ours, huffman, 1.5)
    for row in result.rows:
        if row.good and row.name.startswith(("zlib", "lzma")):
            yield _multiple("decompress", ours, row, 10.0)
            yield _multiple("compress", ours, row, 10.0)


def _max(result: FileResult, ours: Row) -> _Judged:
    smallest = _smallest(result)
    limit = None if smallest is None else 0.99 * _ratio(smallest)
    yield (
        "size",
        "1 % below the smallest rival" + _named(smallest) + ("" if limit is None else f": ≤ {_size(limit)}"),
        _size(_ratio(ours)),
        None if limit is None else _ratio(ours) <= limit,
    )
    for what, least in (("decompress", 0.15), ("compress", 0.1)):
        speed = _speed(ours, what)
        yield what, f"≥ {least:g} GB/s", f"{speed:.2f} GB/s", speed >= least


def _upcast(ours: Row, result: FileResult, results: Sequence[FileResult]) -> _Judged:
    yield "size", "upcast from bf16: ≤ .333", _size(_ratio(ours)), _ratio(ours) <= 0.3335
    twin = result.path.replace("-upcast-fp32", "-bf16")
    other = next((row for file in results if file.path == twin and (row := file.row(ours.name)) is not None), None)
    speed = _speed(ours, "decompress")
    if other is not None:
        least = _speed(other, "decompress")
        yield "decompress", f"upcast: ≥ bf16's {least:.2f} GB/s", f"{speed:.2f} GB/s", speed >= least


def report(results: Sequence[FileResult]) -> str:
    """A Markdown table for each file, and how many requirements of each level hold."""
    parts = ["## What each level is to reach\n"]
    counts: dict[str, list[int]] = {}
    for result in results:
        judged = targets(result, results)
        note = "" if result.bytes >= ENOUGH else f" ({result.bytes / 2**20:.0f} MiB; the targets are for 64 or more)"
        rows = []
        for level, what, target, reached, holds in judged:
            count = counts.setdefault(level, [0, 0])
            if holds is not None:
                count[0] += holds
                count[1] += 1
            rows.append([level, what, target, reached, "–" if holds is None else "yes" if holds else "**no**"])
        parts.append(f"### {result.path}{note}\n")
        parts.append(table(["level", "", "target", "reached", "holds"], rows, left=3) + "\n")
    told = ", ".join(f"{level} {count[0]} of {count[1]}" for level, count in counts.items())
    parts.append(f"Requirements that hold: {told}.\n")
    return "\n".join(parts)


def _multiple(what: str, ours: Row, other: Row | None, least: float) -> tuple[str, str, str, bool | None]:
    speed = _speed(ours, what)
    if other is None:
        return what, f"≥ {least:g} × OpenZL Huffman (not for this dtype, or not here)", f"{speed:.2f} GB/s", None
    times = speed / _speed(other, what)
    return what, f"≥ {least:g} × {other.label}", f"{times:.3g} ×", times >= least


def _smallest(result: FileResult) -> Row | None:
    return min((row for row in result.rows if row.good and not row.ours), key=_ratio, default=None)


def _named(row: Row | None) -> str:
    return "" if row is None else f" ({row.label} {_size(_ratio(row))})"


def _size(ratio: float) -> str:
    return f"{ratio:.5f}".lstrip("0")


def _ratio(row: Row) -> float:
    assert row.ratio is not None
    return row.ratio


def _speed(row: Row, what: str) -> float:
    timing = row.decompress if what == "decompress" else row.compress
    assert timing is not None
    return timing.gbps

"""Drawings of the page of `mmh validate`, as SVG written by hand. Colours come from the page's CSS variables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from ._validate import Histogram

__all__ = ["STYLE", "bell", "exponents", "stacked"]

STYLE = """
svg.drawn { display: block; width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg.drawn text { fill: var(--faint); font-variant-numeric: tabular-nums; }
svg.drawn .strong { fill: var(--ink); font-weight: 600; font-size: 13px; }
svg.drawn .base { stroke: var(--line); stroke-width: 1; }
svg.drawn .curve { fill: none; stroke: var(--ink); stroke-width: 1.1; opacity: .45; }
svg.drawn .bar { fill: var(--front); opacity: .85; }
"""


def bell(shown: Histogram, mean: float, std: float, colour: str, width: int = 220, height: int = 70) -> str:
    """A histogram, with the bell curve of the same mean and width over it."""
    counts, top, bottom = shown.counts, 4.0, height - 13.0
    step = (shown.high - shown.low) / len(counts)
    inside = sum(counts) + shown.below + shown.above

    def expected(value: float) -> float:
        z = (value - mean) / std
        return inside * step / (std * math.sqrt(2 * math.pi)) * math.exp(-z * z / 2) if abs(z) < 30 else 0.0

    highest = max(*counts, 1e-9)
    peak = expected(mean) if std > 0 else 0.0
    curve = ""
    # A curve that is far off says nothing.
    if 0 < peak < 3 * highest:
        highest = max(highest, peak)
        points = []
        for place in range(61):
            value = shown.low + (shown.high - shown.low) * place / 60
            points.append(f"{width * place / 60:.1f} {bottom - (bottom - top) * expected(value) / highest:.1f}")
        curve = f'<path class="curve" d="M{"L".join(points)}"/>'
    each = width / len(counts)
    path = f"M0 {bottom}"
    for place, count in enumerate(counts):
        y = bottom - (bottom - top) * count / highest
        path += f"L{each * place:.1f} {y:.1f}L{each * (place + 1):.1f} {y:.1f}"
    ends = "".join(
        f'<text x="{x}" y="{height - 2}" text-anchor="{anchor}">{escape(_value(value))}</text>'
        for x, anchor, value in ((0, "start", shown.low), (width, "end", shown.high))
    )
    label = f"Histogram from {shown.low:.3g} to {shown.high:.3g}"
    return (
        f'<svg class="drawn" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f'<path d="{path}L{width} {bottom}Z" fill="{colour}" opacity=".8"/>{curve}'
        f'<path class="base" d="M0 {bottom}H{width}"/>{ends}</svg>'
    )


def exponents(dtype: str, counts: Mapping[int, int], bits: int, width: int = 900, height: int = 150) -> str:
    """Bars for the powers of two that come, with the bits that they take."""
    total = sum(counts.values())
    entropy = sum(-count / total * math.log2(count / total) for count in counts.values() if count)
    bias = (1 << (bits - 1)) - 1
    # Zero has the lowest of all, and rare ones far out would squeeze the others, too.
    powers = {field: count for field, count in counts.items() if field and count}
    first, last = _most(powers, total / 2000) if powers else (0, 0)
    top, bottom, left = 26.0, height - 18.0, 8.0
    each = min(46.0, (width - 2 * left) / (last - first + 1))
    highest = max(counts[field] for field in range(first, last + 1) if counts.get(field))
    parts = []
    shown_every = max(1, math.ceil(34 / each))
    for field in range(first, last + 1):
        count = counts.get(field, 0)
        x = left + each * (field - first)
        tall = (bottom - top) * count / highest
        power = "0" if field == 0 else f"2{_superscript(field - bias)}"
        parts.append(
            f'<rect class="bar" x="{x + each * 0.08:.1f}" y="{bottom - tall:.1f}" width="{each * 0.84:.1f}" '
            f'height="{max(tall, 0.6 if count else 0):.1f}" rx="1.5">'
            f"<title>{power}: {100 * count / total:.3g} %</title></rect>"
        )
        if (field - first) % shown_every == 0:
            parts.append(f'<text x="{x + each / 2:.1f}" y="{height - 4}" text-anchor="middle">{power}</text>')
    title = f"{dtype}: {entropy:.2f} bits of {bits}"
    if powers and counts.get(0, 0) > total / 2000:
        title += f", {100 * counts[0] / total:.2g} % are zero"
    return (
        f'<svg class="drawn" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(f"Exponents of {title}")}">'
        f'<text class="strong" x="{left}" y="14">{escape(title)}</text>'
        f'<path class="base" d="M{left} {bottom}H{width - left}"/>{"".join(parts)}</svg>'
    )


def _most(counts: Mapping[int, int], rare: float) -> tuple[int, int]:
    """The first and the last field of those that are left when `rare` numbers are left out at each end."""
    fields = sorted(field for field, count in counts.items() if count)

    def end(order: Sequence[int]) -> int:
        passed = 0
        for field in order:
            passed += counts[field]
            if passed > rare:
                return field
        return order[-1]

    return end(fields), end(fields[::-1])


def stacked(parts: Sequence[tuple[str, int, str]], label: str, width: int = 900, height: int = 22) -> str:
    """One bar in parts of (name, weight, colour)."""
    total = sum(weight for _, weight, _ in parts) or 1
    drawn, x = [], 0.0
    for name, weight, colour in parts:
        # What is there is seen, however little it is.
        wide = max(2.0, width * weight / total)
        drawn.append(
            f'<rect x="{x:.1f}" y="0" width="{max(1.0, wide - 1):.1f}" height="{height}" fill="{colour}">'
            f"<title>{escape(name)}: {100 * weight / total:.3g} %</title></rect>"
        )
        x += wide
    return (
        f'<svg class="drawn" viewBox="0 0 {max(width, x):.0f} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}" style="height: 22px; border-radius: 6px">{"".join(drawn)}</svg>'
    )


def _value(value: float) -> str:
    text = f"{value:.0f}" if 10 <= abs(value) < 100_000 else f"{value:.2g}"
    return text.replace("-", "\N{MINUS SIGN}")


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))

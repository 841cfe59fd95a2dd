"""A chart of speed against size, as SVG written by hand: no library, no script, nothing from the network.

Colours come from the CSS variables of the page that it stands in, so that it is light and dark with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import NamedTuple

from .results import front

__all__ = ["STYLE", "Point", "chart"]

STYLE = """
.chart { display: block; width: 100%; height: auto; font: 13px system-ui, sans-serif; }
.chart text { fill: var(--ink); stroke: var(--paper); stroke-width: 3.5; stroke-linejoin: round; paint-order: stroke; }
.chart .tick { fill: var(--faint); font-size: 12px; font-variant-numeric: tabular-nums; }
.chart .axis { fill: var(--faint); font-size: 12px; }
.chart .ours { font-weight: 650; fill: var(--accent-ink); }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .lead { stroke: var(--faint); stroke-width: .75; }
.chart .front { stroke: var(--front); stroke-width: 2; fill: none; stroke-linejoin: round; }
.chart .beyond { fill: var(--front); opacity: .09; }
.chart .copy { stroke: var(--faint); stroke-width: 1.5; stroke-dasharray: 2 4; }
.chart circle { fill: var(--dot); stroke: var(--paper); stroke-width: 1.5; }
.chart circle.best { fill: var(--front); }
.chart circle.ours { fill: var(--accent); }
"""


@dataclass(frozen=True)
class Point:
    """One candidate."""

    label: str
    size: float
    """Stored over original size."""
    speed: float
    """GB/s."""
    ours: bool


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def hits(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def overlap(self, other: _Box) -> float:
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across * down if across > 0 and down > 0 else 0.0


_ROW = 16.0
"""Height of a line of text."""


def chart(points: Sequence[Point], *, what: str, memcpy: float | None, width: int = 860, height: int = 440) -> str:
    """Speed to the right, on a logarithmic scale; size upwards; the Pareto front drawn.

    Args:
        what: "decompress" or "compress".
        memcpy: GB/s of copying, drawn as a line.
    """
    if not points:
        return ""
    return _Chart(points, what, memcpy, width, height).svg()


class _Chart:
    def __init__(self, points: Sequence[Point], what: str, memcpy: float | None, width: int, height: int) -> None:
        self.points = [point for point in points if point.speed > 0]
        self.what, self.memcpy, self.width, self.height = what, memcpy, width, height
        self.plot = _Box(52, 30, width - 14, height - 46)
        speeds = [point.speed for point in self.points] + ([memcpy] if memcpy else [])
        # Room for labels beyond the slowest and the fastest.
        self.slow, self.fast = math.log10(min(speeds)) - 0.18, math.log10(max(speeds)) + 0.12
        sizes = [100 * point.size for point in self.points]
        self.least = min(sizes)
        # What is worth choosing lies close together at the small end, so that is where the scale is stretched.
        self.unit = max(0.5, 0.04 * (max(sizes) - self.least))
        self.room, self.span = 0.35, math.log10(1 + (max(sizes) - self.least) / self.unit) or 1.0
        self.best = front([(point.size, point.speed) for point in self.points])

    def x(self, speed: float) -> float:
        return self.plot.left + (math.log10(speed) - self.slow) / (self.fast - self.slow) * (
            self.plot.right - self.plot.left
        )

    def y(self, percent: float) -> float:
        height = math.log10(max(0.01, 1 + (percent - self.least) / self.unit)) / self.span
        return self.plot.bottom - (height + self.room) / (1.12 + self.room) * (self.plot.bottom - self.plot.top)

    def at(self, point: Point) -> tuple[float, float]:
        return self.x(point.speed), self.y(100 * point.size)

    def svg(self) -> str:
        names = ", ".join(f"{point.label} {100 * point.size:.1f} % at {point.speed:.2g} GB/s" for point in self.points)
        parts = [
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(f"Size and {self.what} speed: {names}")}" xmlns="http://www.w3.org/2000/svg">',
            *self._axes(),
            *self._front(),
            *self._copy(),
        ]
        dots = []
        # Ours last, and so on top.
        for place, point in sorted(enumerate(self.points), key=lambda item: item[1].ours):
            x, y = self.at(point)
            kind = "ours" if point.ours else "best" if place in self.best else ""
            title = escape(f"{point.label}: {100 * point.size:.2f} %, {self.what} {point.speed:.3g} GB/s")
            radius = 6 if point.ours else 5
            dots.append(f'<circle{_class(kind)} cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{title}</title></circle>')
        return "\n".join([*parts, *self._labels(), *dots, "</svg>"])

    def _axes(self) -> list[str]:
        plot, parts = self.plot, []
        for speed in _ticks_log(10**self.slow, 10**self.fast):
            x = self.x(speed)
            parts.append(f'<path class="grid" d="M{x:.1f} {plot.top}V{plot.bottom}"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{plot.bottom + 16}" text-anchor="middle">{speed:g}</text>')
        for percent, y in self._levels():
            parts.append(f'<path class="grid" d="M{plot.left} {y:.1f}H{plot.right}"/>')
            parts.append(
                f'<text class="tick" x="{plot.left - 7}" y="{y + 4:.1f}" text-anchor="end">{percent:g} %</text>'
            )
        upward = "↓ size, % of the original: smaller is better (stretched towards the small end)"
        onward = f"{self.what}, GB/s of original bytes: faster is better →"
        if self.width < 600:
            upward, onward = "↓ size, % of the original: smaller is better", f"{self.what}, GB/s: faster is better →"
        parts.append(f'<text class="axis" x="{plot.left - 44}" y="14">{escape(upward)}</text>')
        parts.append(
            f'<text class="axis" x="{plot.right}" y="{self.height - 8}" text-anchor="end">{escape(onward)}</text>'
        )
        return parts

    def _levels(self) -> list[tuple[float, float]]:
        """Sizes for grid lines, the roundest first, as many as there is room for."""
        found: list[tuple[float, float]] = []
        for step in (20, 10, 5, 2, 1, 0.5):
            first = math.ceil((self.least - self.unit) / step)
            for place in range(first, int(200 / step)):
                percent = step * place
                y = self.y(percent)
                if y < self.plot.top:
                    break
                # Further up, the scale is too narrow for small steps.
                fits = step >= (percent - self.least) / 8
                if fits and y <= self.plot.bottom and all(abs(y - other) >= 26 for _, other in found):
                    found.append((percent, y))
        return found

    def _steps(self) -> list[tuple[float, float]]:
        """Corners of the front, from the fastest, which is the largest, down to the smallest."""
        at = sorted((self.at(self.points[place]) for place in self.best), reverse=True)
        corners = [(at[0][0], self.plot.top)]
        for x, y in at:
            corners += [(x, corners[-1][1]), (x, y)]
        return [*corners, (self.plot.left, corners[-1][1])]

    def _front(self) -> list[str]:
        """Steps along the best ones; what lies beyond them nobody reaches."""
        plot = self.plot
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in self._steps())
        corner = f"V{plot.bottom:.1f}H{plot.right:.1f}V{plot.top:.1f}Z"
        return [f'<path class="beyond" d="{path}{corner}"/>', f'<path class="front" d="{path}"/>']

    def _front_boxes(self) -> list[_Box]:
        corners = self._steps()
        return [
            _Box(min(a, c) - 1, min(b, d) - 1, max(a, c) + 1, max(b, d) + 1) for (a, b), (c, d) in pairwise(corners)
        ]

    def _copy(self) -> list[str]:
        if not self.memcpy:
            return []
        x = self.x(self.memcpy)
        return [
            f'<path class="copy" d="M{x:.1f} {self.plot.top}V{self.plot.bottom}"/>',
            f'<text class="axis" x="{x - 5:.1f}" y="{self.plot.top + 12}" text-anchor="end">memcpy</text>',
        ]

    def _labels(self) -> list[str]:
        """Each label where it hides nothing, as near to its point as can be, with a line to it if it is far."""
        dots = [_Box(x - 8, y - 8, x + 8, y + 8) for x, y in map(self.at, self.points)]
        taken: list[_Box] = []
        lines = self._front_boxes()
        if self.memcpy:
            x = self.x(self.memcpy)
            taken.append(_Box(x - 56, self.plot.top, x + 2, self.plot.top + _ROW))
        parts = []
        # Ours first, then the best: they get the good places.
        order = sorted(range(len(self.points)), key=lambda place: (not self.points[place].ours, place not in self.best))
        for place in order:
            point = self.points[place]
            x, y = self.at(point)
            box, far = self._place(x, y, _width(point), dots, taken, lines)
            taken.append(box)
            middle = (box.top + box.bottom) / 2
            if far:
                # To the nearest point of the label's edge.
                end_x = min(max(x, box.left), box.right)
                end_y = (
                    middle
                    if end_x in (box.left, box.right) and box.top <= y <= box.bottom
                    else (box.bottom - 2 if box.bottom <= y else box.top + 2 if box.top >= y else middle)
                )
                parts.append(f'<path class="lead" d="M{x:.1f} {y:.1f}L{end_x:.1f} {end_y:.1f}"/>')
            kind = "ours" if point.ours else ""
            parts.append(
                f'<text{_class(kind)} x="{box.left + 2:.1f}" y="{box.bottom - 4:.1f}">{escape(point.label)}</text>'
            )
        return parts

    def _place(
        self,
        x: float,
        y: float,
        width: float,
        dots: Sequence[_Box],
        taken: Sequence[_Box],
        lines: Sequence[_Box],
    ) -> tuple[_Box, bool]:
        best: tuple[float, _Box, bool] | None = None
        for distance in (9.0, 20.0, 32.0, 46.0, 62.0, 80.0, 100.0, 122.0, 146.0):
            for turn in range(24):
                angle = 2 * math.pi * turn / 24
                across, down = math.cos(angle), math.sin(angle)
                # The label's edge, not its middle, lies at that distance.
                middle_x = x + across * (distance + width / 2)
                middle_y = y + down * (distance + _ROW / 2 - 2)
                box = _Box(middle_x - width / 2, middle_y - _ROW / 2, middle_x + width / 2, middle_y + _ROW / 2)
                if box.left < self.plot.left or box.right > self.width - 2:
                    continue
                if box.top < self.plot.top or box.bottom > self.plot.bottom:
                    continue
                hidden = sum(box.overlap(other) for other in (*taken, *dots))
                # To the right or the left reads best.
                crossed = sum(box.hits(line) for line in lines)
                cost = 1000 * hidden + 60 * crossed + distance + 6 * abs(down)
                if best is None or cost < best[0]:
                    best = (cost, box, distance > 12)
            if best is not None and best[0] < 30 + distance:
                break
        if best is None:  # a plot too small for the label
            return _Box(x, y - _ROW, x + width, y), False
        return best[1], best[2]


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _width(point: Point) -> float:
    """About how wide the label is; rather too much than too little."""
    each = 8.7 if point.ours else 7.8
    return 4 + sum(
        each * (1.35 if letter in "mwMWOQ" else 0.55 if letter in "iljft -1" else 1.0) for letter in point.label
    )


def _ticks_log(low: float, high: float) -> list[float]:
    ticks = [
        digit * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digit in (1, 2, 5)
    ]
    inside = [tick for tick in ticks if low <= tick <= high]
    if len(inside) > 9:
        inside = [tick for tick in inside if f"{tick:e}"[0] == "1"]
    return [float(f"{tick:g}") for tick in inside]

"""The HTML report: one file that needs nothing else, no network and no script."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape

from .._page import PAGE_STYLE, printable
from .chart import STYLE, Point, chart
from .machine import described
from .results import FileResult, Machine
from .table import cells, method, notes, reference_of, title

__all__ = ["report"]


def report(results: Sequence[FileResult], command: str, reference: str | None = None) -> str:
    """An HTML page: for each file two charts of speed against size, and the table.

    Args:
        results: of one run, on one machine.
        command: the command line that made it.
        reference: what the others are compared with, see `table.reference_of`.
    """
    machine = results[0].machine
    date = results[0].date.replace("T", " ")[:16]
    names = [escape(printable(os.path.basename(result.path))) for result in results]
    heading = names[0] if len(results) == 1 else f"{len(results)} files"
    contents = ""
    if len(results) > 2:
        items = "".join(f'<li><a href="#file-{place}">{name}</a></li>' for place, name in enumerate(names))
        contents = f"<nav><ul>{items}</ul></nav>"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>mmh bench: {heading}, {escape(date[:10])}</title>
<style>{PAGE_STYLE}{STYLE}</style>
</head>
<body>
<h1>Lossless compressors on {heading}</h1>
<p class="faint">{escape(date)}, {escape(described(machine))}</p>
<p class="key"><span><i style="background: var(--accent)"></i>MMH-RS</span>
<span><i style="background: var(--front)"></i>on the Pareto front: none is both smaller and faster</span>
<span><i style="background: var(--dot)"></i>others</span></p>
{contents}
{"".join(_section(result, place, reference) for place, result in enumerate(results))}
<section>
<h2>How it was measured</h2>
<p>{escape(method(results[0]))}</p>
<dl>
<dt>command</dt><dd><code>{escape(printable(command))}</code></dd>
<dt>date</dt><dd>{escape(results[0].date)}</dd>
{_facts(machine)}
</dl>
</section>
</body>
</html>
"""


def _section(result: FileResult, place: int, reference: str | None) -> str:
    compared = reference_of(result, reference)
    parts = [f'<section id="file-{place}">', f"<h2>{escape(printable(title(result)))}</h2>"]
    for what in ("decompress", "compress"):
        points = []
        for row in result.rows:
            timing = row.decompress if what == "decompress" else row.compress
            if row.good and timing is not None and row.ratio is not None:
                points.append(Point(row.label, row.ratio, timing.gbps, row.ours))
        if points:
            parts.append(f"<h3>{what.capitalize()} speed and size</h3>")
            wide = chart(points, what=what, memcpy=result.memcpy_gbps)
            narrow = chart(points, what=what, memcpy=result.memcpy_gbps, width=400, height=440)
            parts.append(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')
    heads, lines, rows = cells(result, compared)
    head = "".join(f'<th scope="col">{escape(text).replace(chr(10), "<br/>")}</th>' for text in heads)
    body = []
    for line, of in zip(lines, rows, strict=True):
        kind = "copy" if of is None else "failed" if of.status == "failed" else "ours" if of.ours else ""
        body.append(f'<tr class="{kind}">' + "".join(f"<td>{escape(printable(text))}</td>" for text in line) + "</tr>")
    parts.append(
        f'<h3>All numbers</h3><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
    told = notes(result, compared)
    if told:
        parts.append('<ul class="notes">' + "".join(f"<li>{escape(printable(text))}</li>" for text in told) + "</ul>")
    parts.append("</section>")
    return "\n".join(parts)


def _facts(machine: Machine) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items() if version is not None)
    memory = "unknown" if machine.memory is None else f"{machine.memory / 2**30:.1f} GiB"
    facts = {
        "CPU": f"{machine.cpu}, {machine.cores} logical cores",
        "memory": memory,
        "system": machine.system,
        "Python": machine.python,
        "mmh-rs": f"{machine.mmh}, instruction set used: {machine.simd}",
        "others": versions,
    }
    return "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>" for name, fact in facts.items())

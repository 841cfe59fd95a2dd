"""The HTML report: one file that needs nothing else, no network and no script."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape

from .chart import STYLE, Point, chart
from .machine import described
from .results import FileResult, Machine
from .table import cells, method, notes, reference_of, title

__all__ = ["report"]

_PAGE_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fff; --panel: #f6f7f9; --ink: #1b1f24; --faint: #67707c; --line: #e3e6ea;
  --accent: #d9480f; --accent-ink: #b93c0b; --dot: #9aa3ae; --front: #1971c2; --bad: #c92a2a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181c; --panel: #1d2126; --ink: #e6e8eb; --faint: #98a1ac; --line: #2c3138;
    --accent: #ff922b; --accent-ink: #ffa94d; --dot: #6b7480; --front: #4dabf7; --bad: #ff8787;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 64rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 3.2rem 0 .2rem; overflow-wrap: anywhere; }
h3 { font-size: .95rem; font-weight: 600; margin: 1.6rem 0 .4rem; }
p { margin: .3rem 0; max-width: 46rem; }
.faint { color: var(--faint); }
.key span { display: inline-block; margin-right: 1.1rem; }
.key i { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em; }
nav ul { list-style: none; margin: 1rem 0 0; padding: 0; columns: 18rem; }
nav li { overflow-wrap: anywhere; }
a { color: inherit; text-decoration-color: var(--faint); text-underline-offset: .2em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .3rem .5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--faint); vertical-align: bottom; line-height: 1.3; }
th:first-child, td:first-child {
  text-align: left; padding-left: .2rem; position: sticky; left: 0; background: var(--paper);
}
tr.ours td { font-weight: 600; }
tr.ours td:first-child { color: var(--accent-ink); }
tr.copy td { color: var(--faint); }
tr.failed td { color: var(--bad); }
ul.notes { font-size: .875rem; color: var(--faint); padding-left: 1.1rem; margin: .6rem 0 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; font-size: .875rem; margin: .8rem 0; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
code { font: .92em ui-monospace, monospace; background: var(--panel); padding: .1em .35em; border-radius: 4px; }
.narrow { display: none; }
@media (max-width: 640px) {
  body { padding: 1.25rem .9rem 3rem; }
  .wide { display: none; }
  .narrow { display: block; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
}
@media print { nav { display: none; } section { break-inside: avoid; } }
"""


def report(results: Sequence[FileResult], command: str, reference: str | None = None) -> str:
    """An HTML page: for each file two charts of speed against size, and the table.

    Args:
        results: of one run, on one machine.
        command: the command line that made it.
        reference: what the others are compared with, see `table.reference_of`.
    """
    machine = results[0].machine
    date = results[0].date.replace("T", " ")[:16]
    names = [escape(_printable(os.path.basename(result.path))) for result in results]
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
<style>{_PAGE_STYLE}{STYLE}</style>
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
<dt>command</dt><dd><code>{escape(_printable(command))}</code></dd>
<dt>date</dt><dd>{escape(results[0].date)}</dd>
{_facts(machine)}
</dl>
</section>
</body>
</html>
"""


def _section(result: FileResult, place: int, reference: str | None) -> str:
    compared = reference_of(result, reference)
    parts = [f'<section id="file-{place}">', f"<h2>{escape(_printable(title(result)))}</h2>"]
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
        body.append(f'<tr class="{kind}">' + "".join(f"<td>{escape(_printable(text))}</td>" for text in line) + "</tr>")
    parts.append(
        f'<h3>All numbers</h3><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
    told = notes(result, compared)
    if told:
        parts.append('<ul class="notes">' + "".join(f"<li>{escape(_printable(text))}</li>" for text in told) + "</ul>")
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


def _printable(text: str) -> str:
    """Bytes of a file name that are no text are lone surrogates here, which UTF-8 cannot hold; nor can HTML hold
    control characters."""
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in safe)

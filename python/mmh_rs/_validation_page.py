"""The page of `mmh validate`: what a file is made of, how its numbers are spread, and the proof."""

from __future__ import annotations

import datetime
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from html import escape
from math import prod

from . import _core
from ._page import PAGE_STYLE, printable
from ._validate import VERDICTS, Proof, TensorValidation, Validation
from ._validation_chart import STYLE, bell, exponents, stacked
from .cli._terminal import number, percent, size, speed
from .cli.validate import notes, way

__all__ = ["page"]

_STYLE = """
:root {
  --trained: #1c7ed6; --fresh: #0ca678; --synthetic: #7048e8; --constant: #868e96; --quantized: #e8590c;
  --data: #5c7cfa; --unknown: #adb5bd; --corrupt: #e03131;
}
@media (prefers-color-scheme: dark) {
  :root {
    --trained: #4dabf7; --fresh: #38d9a9; --synthetic: #9775fa; --constant: #868e96; --quantized: #ff922b;
    --data: #748ffc; --unknown: #5c636b; --corrupt: #ff6b6b;
  }
}
body { max-width: 72rem; }
h2 .faint { font-weight: 400; font-size: .9rem; margin-left: .5rem; }
.facts { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0; }
.fact { background: var(--panel); border-radius: 10px; padding: .7rem 1.1rem; min-width: 8.5rem; flex: 1; }
.fact b { display: block; font-size: 1.35rem; font-weight: 650; line-height: 1.3; font-variant-numeric: tabular-nums; }
.fact span { color: var(--faint); font-size: .82rem; }
.fact.good b { color: var(--fresh); }
.fact.bad b { color: var(--corrupt); }
.chips { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: .5rem 0 0; padding: 0; list-style: none;
  font-size: .88rem; }
.chips i, td i.dot { display: inline-block; width: .68em; height: .68em; border-radius: 3px;
  margin-right: .45em; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(13.2rem, 1fr));
  gap: .8rem; margin-top: .8rem; }
.card { background: var(--panel); border-radius: 10px; padding: .65rem .75rem .6rem; min-width: 0; }
.card h4 { margin: 0; font-size: .78rem; font-weight: 600; overflow-wrap: anywhere; line-height: 1.35;
  min-height: 2.1em; }
.card p { margin: .1rem 0 0; font-size: .74rem; color: var(--faint); font-variant-numeric: tabular-nums; }
.proof th:nth-child(2) { text-align: left; }
.proof td:nth-child(2) { width: 34%; min-width: 9rem; }
.proof .track { background: var(--panel); border-radius: 4px; height: .85rem; }
.proof .fill { background: var(--front); border-radius: 4px; height: 100%; opacity: .75; }
.proof tr.ours .fill { background: var(--accent); opacity: .9; }
.yes { color: var(--fresh); font-weight: 600; }
.no { color: var(--corrupt); font-weight: 600; }
.list td:nth-child(n+2):nth-child(-n+4), .list td:last-child,
.list th:nth-child(n+2):nth-child(-n+4), .list th:last-child { text-align: left; }
.list td:last-child { white-space: normal; min-width: 11.5rem; color: var(--faint); }
.list td:first-child { min-width: 12.5rem; max-width: 22rem; overflow-wrap: break-word; white-space: normal; }
@media (max-width: 640px) {
  .cards { grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .5rem; }
  .fact { padding: .55rem .8rem; }
  .list td:first-child { min-width: 9rem; max-width: 11rem; font-size: .8rem; }
}
details > summary { cursor: pointer; font-weight: 600; font-size: .95rem; margin: 2rem 0 .5rem; }
"""

_CARDS = 120
"""Tensors that get a card: the largest, in the order of the file."""


def page(results: Sequence[tuple[str, Validation]]) -> str:
    """An HTML page about these files, each with its path."""
    names = [escape(printable(os.path.basename(path))) for path, _ in results]
    heading = names[0] if len(names) == 1 else f"{len(names)} files"
    now = datetime.datetime.now().astimezone().isoformat(" ", "minutes")
    contents = ""
    if len(results) > 2:
        items = "".join(f'<li><a href="#file-{place}">{name}</a></li>' for place, name in enumerate(names))
        contents = f"<nav><ul>{items}</ul></nav>"
    sections = "".join(_file(path, found, place, len(results) > 1) for place, (path, found) in enumerate(results))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<link rel="icon" href="data:,"/>
<title>mmh validate: {heading}</title>
<style>{PAGE_STYLE}{_STYLE}{STYLE}</style>
</head>
<body>
<h1>What is in {heading}</h1>
<p class="faint">{escape(now)}, mmh-rs {escape(_core.__version__)}; every element was looked at</p>
{contents}
{sections}
</body>
</html>
"""


def _file(path: str, found: Validation, place: int, several: bool) -> str:
    name = escape(printable(os.path.basename(path)))
    packed = ", in an .mmh" if found.packed else ""
    parts = [
        f'<section id="file-{place}">',
        f'<h2>{name}<span class="faint">{escape(found.format)}{packed}</span></h2>',
    ]
    parts.append(_facts(found))
    if found.generated:
        parts.append("<p>The file says that <code>mmh generate</code> made it: its numbers are random.</p>")
    if found.tensors:
        parts.append(_looks(found))
    if found.proofs:
        parts.append(_proofs(found.proofs))
    if found.tensors:
        parts.append(_exponents(found))
        parts.append(_cards(found))
        parts.append(_list(found))
    parts.append("</section>")
    return "\n".join(parts)


def _facts(found: Validation) -> str:
    elements = sum(prod(tensor.shape) for tensor in found.tensors)
    facts = [("", size(found.source_bytes), "bytes of the file")]
    facts.append(("", number(len(found.tensors)), "tensor" if len(found.tensors) == 1 else "tensors"))
    if elements:
        facts.append(("", _short(elements), "elements"))
    corrupt = found.verdicts["corrupt"]
    if found.tensors:
        facts.append(("bad", number(corrupt), "look corrupt") if corrupt else ("good", "none", "looks corrupt"))
    if found.proofs:
        good = all(proof.equal for proof in found.proofs)
        least = min(found.proofs, key=lambda proof: proof.stored_bytes)
        facts.append(("", percent(least.stored_bytes, found.source_bytes), f"smallest, {way(least)}"))
        facts.append(
            ("good", "every bit", f"came back, {len(found.proofs)} ways") if good else ("bad", "not all", "came back")
        )
    cells = (
        f'<div class="fact {kind}"><b>{escape(text)}</b><span>{escape(what)}</span></div>' for kind, text, what in facts
    )
    return f'<div class="facts">{"".join(cells)}</div>'


def _looks(found: Validation) -> str:
    weights: dict[str, int] = defaultdict(int)
    for tensor in found.tensors:
        weights[tensor.verdict] += tensor.bytes
    shown = [verdict for verdict in VERDICTS if found.verdicts[verdict]]
    bar = stacked(
        [(verdict, weights[verdict], f"var(--{verdict})") for verdict in shown], "What tensors look like, by bytes"
    )
    total = sum(weights.values()) or 1
    chips = "".join(
        f'<li><i style="background: var(--{verdict})"></i>{verdict}: {number(found.verdicts[verdict])}, '
        f"{percent(weights[verdict], total)} of the bytes</li>"
        for verdict in shown
    )
    return f'<h3>What tensors look like</h3>{bar}<ul class="chips">{chips}</ul>'


def _exponents(found: Validation) -> str:
    """How often each power of two comes, for each dtype that has any; the largest first."""
    by_dtype: dict[str, Counter[int]] = defaultdict(Counter)
    bits: dict[str, int] = {}
    for tensor in found.tensors:
        if tensor.exponents and tensor.exponent_bits:
            by_dtype[tensor.dtype].update(dict(tensor.exponents))
            bits[tensor.dtype] = tensor.exponent_bits
    drawn = [
        f'<div class="wide">{exponents(dtype, counts, bits[dtype])}</div>'
        f'<div class="narrow">{exponents(dtype, counts, bits[dtype], width=350)}</div>'
        for dtype, counts in sorted(by_dtype.items(), key=lambda item: -sum(item[1].values()))
        if sum(counts.values()) >= 1000
    ]
    if not drawn:
        return ""
    return (
        "<h3>Exponents</h3><p class='faint'>How often each power of two comes. Few come often, so that they take less "
        "than the bits that they have: this is what is saved.</p>" + "".join(drawn)
    )


def _cards(found: Validation) -> str:
    able = [place for place, tensor in enumerate(found.tensors) if tensor.histogram is not None]
    largest = sorted(sorted(able, key=lambda place: -found.tensors[place].bytes)[:_CARDS])
    if not largest:
        return ""
    of = "" if len(largest) == len(able) else f" of the {len(largest)} largest tensors"
    cards = "".join(_card(found.tensors[place]) for place in largest)
    return (
        f"<h3>How numbers are spread{of}</h3><p class='faint'>From the mean to 4.5 standard deviations on each "
        f"side; the line is a bell curve of the same width.</p><div class='cards'>{cards}</div>"
    )


def _card(tensor: TensorValidation) -> str:
    assert tensor.histogram is not None
    shape = " × ".join(map(str, tensor.shape)) or "scalar"
    title = escape(f"{tensor.verdict}: {tensor.reason}")
    what = "scales, " if tensor.scales else ""
    told = f"{what}\N{GREEK SMALL LETTER SIGMA} {_digits(tensor.std)}, {_digits(tensor.min)} … {_digits(tensor.max)}"
    return (
        f'<div class="card" title="{escape(printable(title))}"><h4>{_broken(tensor.name)}</h4>'
        f"{bell(tensor.histogram, tensor.mean or 0.0, tensor.std or 0.0, f'var(--{tensor.verdict})')}"
        f"<p>{escape(tensor.dtype)} {escape(shape)}</p><p>{escape(told)}</p></div>"
    )


def _proofs(proofs: Sequence[Proof]) -> str:
    rows = []
    for proof in proofs:
        part = min(1.0, proof.ratio)
        good = (
            '<span class="yes">✓ every bit</span>' if proof.equal else f'<span class="no">byte {proof.differs}</span>'
        )
        rows.append(
            f'<tr class="{"ours" if proof.codec == "auto" else ""}"><td>{escape(way(proof))}</td>'
            f'<td><div class="track"><div class="fill" style="width: {100 * part:.2f}%"></div></div></td>'
            f"<td>{escape(percent(proof.stored_bytes, proof.source_bytes))}</td><td>{size(proof.stored_bytes)}</td>"
            f"<td>{speed(proof.source_bytes, proof.compress_seconds)}</td>"
            f"<td>{speed(proof.source_bytes, proof.decompress_seconds)}</td><td>{good}</td></tr>"
        )
    heads = ["", "size of the original", "%", "stored", "compress", "decompress", "comes back"]
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    return (
        "<h3>The proof</h3><p class='faint'>All of the file through each level and codec into a temporary file, "
        "restored and compared bit by bit. Speeds are of this one run.</p>"
        f'<div class="scroll"><table class="proof"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _list(found: Validation) -> str:
    heads = ["tensor", "dtype", "shape", "looks", "mean", "std", "min", "max", "NaN", "exponent", "why"]
    if not any(tensor.nan or tensor.infinite for tensor in found.tensors):
        heads.remove("NaN")
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    rows = []
    for tensor in found.tensors:
        lost = (tensor.nan or 0) + (tensor.infinite or 0)
        cells = [
            _broken(tensor.name),
            escape(tensor.dtype),
            escape("×".join(map(str, tensor.shape)) or "scalar"),
            f'<i class="dot" style="background: var(--{tensor.verdict})"></i>{tensor.verdict}',
            *map(_digits, (tensor.mean, tensor.std, tensor.min, tensor.max)),
            *([number(lost) if lost else ""] if "NaN" in heads else []),
            "" if tensor.exponent_entropy is None else f"{tensor.exponent_entropy:.2f} of {tensor.exponent_bits}",
            escape(printable("; ".join([tensor.reason, *notes(tensor)]))),
        ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    shown = " open" if len(rows) <= 200 else ""
    return (
        f"<details{shown}><summary>All {number(len(rows))} tensors</summary>"
        f'<div class="scroll"><table class="list"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        "</details>"
    )


def _broken(name: str) -> str:
    """Long names break behind points."""
    return escape(printable(name)).replace(".", ".<wbr/>").replace("_", "_<wbr/>")


def _digits(value: float | None) -> str:
    return (
        "" if value is None else f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("-", "\N{MINUS SIGN}")
    )


def _short(count: int) -> str:
    for unit, power in ((" G", 10**9), (" M", 10**6), (" k", 10**3)):
        if count >= power:
            return f"{count / power:.1f}{unit}"
    return str(count)

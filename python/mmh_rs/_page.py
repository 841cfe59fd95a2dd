"""What pages have in common: one file that needs nothing else, light and dark, no script, nothing from the network."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["PAGE_STYLE", "printable", "write_page"]

PAGE_STYLE = """
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


def printable(text: str) -> str:
    """Bytes of a file name that are no text are lone surrogates here, which UTF-8 cannot hold; nor can HTML hold
    control characters."""
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in safe)


def write_page(target: str, text: str, force: bool, about: Sequence[str]) -> None:
    """Writes a page: whole or not at all, and not over one of the files that it is about.

    Raises:
        FileExistsError: it exists, and `force` is not set.
        ValueError: it may not be written over.
        OSError: as the file system has it.
    """
    from ._whole import whole_file

    with whole_file(target, force, about) as file:
        file.write(text.encode())

"""Writes docs/reference/: every command and everything that `mmh_rs` exports, out of the code.

    python scripts/reference.py            writes the pages
    python scripts/reference.py --check    says whether they are what the code says (exit code 1: they are not)

Signatures and docstrings are read from the sources, so that nothing has to be imported which is not installed
(PyTorch), and every Python and click prints the same.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "mmh_rs"
TARGET = ROOT / "docs" / "reference"
NOTE = "<!-- Written by scripts/reference.py out of the code: edit the docstrings, then run make docs. -->\n\n"

MODULES = {
    "mmh_rs": "The package",
    "mmh_rs.numpy": "NumPy",
    "mmh_rs.torch": "PyTorch",
}


def main() -> int:
    stale = []
    for name, text in pages():
        path = TARGET / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    for name in stale:
        print(f"docs/reference/{name}: {'differs from the code (make docs)' if '--check' in sys.argv else 'written'}")
    return 1 if stale and "--check" in sys.argv[1:] else 0


def pages() -> Iterator[tuple[str, str]]:
    """Name and text of each page."""
    for name, lines in (("cli.md", _cli()), ("api.md", _api())):
        yield name, NOTE + re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


# The command line.


def _cli() -> Iterator[str]:
    from mmh_rs.cli import mmh

    yield "# The command line\n"
    yield _prose(mmh.help or "") + "\n"
    yield "```text\nmmh COMMAND [OPTIONS] FILE…\n```\n"
    context = click.Context(mmh, info_name="mmh")
    for name in mmh.list_commands(context):
        command = mmh.get_command(context, name)
        assert command is not None
        yield f"## mmh {name}\n"
        operands = [p.metavar or p.name or "" for p in command.params if isinstance(p, click.Argument)]
        yield f"```text\n{' '.join(['mmh', name, '[OPTIONS]', *operands])}\n```\n"
        yield _prose(command.help or "") + "\n"
        options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
        if options:
            yield "| option | |\n|---|---|"
            yield from (f"| {_option(option)} | {_cell(option.help or '')}{_default(option)} |" for option in options)
            yield ""
    yield "## Exit codes and errors\n"
    yield _prose(mmh.epilog or "") + "\n"


def _option(option: click.Option) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return f"`{names}`"
    kind = (
        "|".join(map(str, option.type.choices)) if isinstance(option.type, click.Choice) else option.type.name.upper()
    )
    return f"`{names} {option.metavar or kind}`".replace("|", "\\|")


def _default(option: click.Option) -> str:
    return f" (default: {option.default})" if option.show_default and option.default is not None else ""


def _cell(text: str) -> str:
    return _escaped(_with_options(" ".join(text.split()).replace("|", "\\|")))


def _prose(text: str) -> str:
    """A help text: what click is to leave as it is (after `\\b`) becomes a block."""
    parts = []
    for paragraph in inspect.cleandoc(text).replace("\x08", "\b").split("\n\n"):
        if paragraph.startswith("\b"):
            parts.append(f"```text\n{paragraph[1:].strip(chr(10))}\n```")
        else:
            parts.append(_escaped(_with_options(paragraph)))
    return "\n\n".join(parts)


def _with_options(text: str) -> str:
    """Options as code: they are not broken at their dashes then."""
    pieces = re.split(r"(`[^`]*`)", text)
    option = re.compile(r"(?<![\w`-])(--[a-z][a-z0-9-]*|-[A-Za-z0-9])(?![\w-])")
    return "".join(p if p.startswith("`") else option.sub(r"`\1`", p) for p in pieces)


def _escaped(text: str) -> str:
    """What Markdown would take for its own: tags, emphasis, links. Code stays as it is."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([<>\[\]*_])", r"\\\1", p) for p in pieces)


# The package.


class Found(NamedTuple):
    """A definition, and what else is needed to show it."""

    node: ast.stmt
    module: ast.Module
    doc: str | None


def _api() -> Iterator[str]:
    yield "# The Python package\n"
    for module, title in MODULES.items():
        path = _file_of(module.removeprefix("mmh_rs").removeprefix("."))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield f"## {title}: {module}\n"
        yield _docstring(ast.get_docstring(tree))
        for name in _exported(tree):
            yield from _entry(name, _find(name, tree))


def _entry(name: str, found: Found) -> Iterator[str]:
    node = found.node
    yield f"### `{name}`\n"
    if isinstance(node, ast.ClassDef):
        bases = [ast.unparse(base) for base in node.bases if not ast.unparse(base).startswith("_")]
        made = next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
        if made is not None and "Args:" in (found.doc or ""):
            yield _code(_signature(made).replace("def __init__", f"class {name}").removesuffix(" -> None"))
        else:
            yield _code(f"class {name}" + (f"({', '.join(bases)})" if bases else ""))
        yield _docstring(found.doc)
        yield from _members(node, found.module)
    elif isinstance(node, ast.FunctionDef):
        overloads = [
            each
            for each in found.module.body
            if isinstance(each, ast.FunctionDef) and each.name == node.name and _has(each, "overload")
        ]
        yield _code("\n".join(_signature(each) for each in overloads or [node]))
        yield _docstring(found.doc)
    else:
        yield _code(ast.unparse(node))
        yield _docstring(found.doc)


def _members(node: ast.ClassDef, module: ast.Module) -> Iterator[str]:
    """Fields, properties and methods, those of a hidden base first."""
    for base in node.bases:
        for each in module.body:
            if isinstance(each, ast.ClassDef) and each.name == ast.unparse(base) and each.name.startswith("_"):
                yield from _members(each, module)
    for each, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(each, ast.AnnAssign) and not ast.unparse(each.target).startswith("_"):
            yield _item(ast.unparse(each), _literal(following))
        elif isinstance(each, ast.FunctionDef) and _is_shown(each):
            if _has(each, "property"):
                result = f": {ast.unparse(each.returns)}" if each.returns else ""
                yield _item(f"{each.name}{result}", ast.get_docstring(each))
            else:
                yield _item(_signature(each).removeprefix("def "), ast.get_docstring(each))
    yield ""


def _item(code: str, doc: str | None) -> str:
    text = _docstring(doc).strip()
    indented = "\n".join(f"    {line}".rstrip() for line in text.splitlines())
    return f"- `{code}`" + (f"\n\n{indented}" if text else "") + "\n"


def _is_shown(node: ast.FunctionDef) -> bool:
    if node.name == "__init__":
        return ast.get_docstring(node) is not None
    return not node.name.startswith("_") and not _has(node, "overload")


def _has(node: ast.FunctionDef, decorator: str) -> bool:
    return any(ast.unparse(each).split(".")[-1] == decorator for each in node.decorator_list)


def _signature(node: ast.FunctionDef) -> str:
    """On one line where it fits, else an argument on each line."""
    bare = ast.FunctionDef(node.name, node.args, [ast.Pass()], [], node.returns, lineno=0)
    line = ast.unparse(bare).split(":\n")[0].replace("(self, ", "(").replace("(self)", "()")
    return line if len(line) <= 100 else _broken(line)


def _broken(line: str) -> str:
    """Commas that are in no brackets but the outermost end a line."""
    start = line.index("(")
    pieces: list[str] = []
    depth, piece = 0, ""
    for place, char in enumerate(line[start:], start):
        depth += (char in "([{") - (char in ")]}")
        if depth == 0:
            return (
                line[: start + 1] + "".join(f"\n    {each.strip()}," for each in [*pieces, piece]) + "\n" + line[place:]
            )
        if char == "," and depth == 1:
            pieces.append(piece)
            piece = ""
        elif place > start:
            piece += char
    return line


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"


def _exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return sorted((str(name) for name in ast.literal_eval(node.value)), key=str.lower)
    raise ValueError("there is no __all__")


def _find(name: str, tree: ast.Module) -> Found:
    """The definition of `name`, in this module or in the one that it is imported from."""
    hits: list[Found] = []
    for node, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            hits.append(Found(node, tree, ast.get_docstring(node) or _of_the_engine(name)))
        elif (isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name) or (
            isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
        ):
            hits.append(Found(node, tree, _literal(following)))
    if hits:
        return hits[-1]  # after its overloads
    for origin in ast.walk(tree):
        if isinstance(origin, ast.ImportFrom) and origin.level == 1:
            for alias in origin.names:
                if name == (alias.asname or alias.name):
                    text = _file_of(origin.module or "").read_text(encoding="utf-8")
                    return _find(alias.name, ast.parse(text))
    raise ValueError(f"{name} is exported, and defined nowhere")


def _of_the_engine(name: str) -> str | None:
    """What the compiled module says about its own classes."""
    from mmh_rs import _core

    own = getattr(_core, name, None)
    return inspect.getdoc(own) if isinstance(own, type) and own.__module__ == "mmh_rs" else None


def _file_of(module: str) -> Path:
    base = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    places = (base.with_suffix(".py"), base.with_suffix(".pyi"), base / "__init__.py")
    return next(place for place in places if place.is_file())


def _literal(node: ast.stmt | None) -> str | None:
    """The text of a string that stands alone, below what it describes."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return None


def _docstring(text: str | None) -> str:
    """Sections such as Args become lists; what is indented otherwise is code."""
    lines: list[str] = []
    section, code = "", False
    for line in (text or "").splitlines():
        indented = line.startswith("    ")
        if code and line.strip() and not indented:
            code = False
            lines[len(lines) - (not lines[-1]) :] = ["```", ""]
        if re.fullmatch(r"(Args|Returns|Raises|Yields|Attributes):", line):
            section = line
            lines += ["", f"**{line}**", ""]
        elif indented and section:
            item = re.fullmatch(r"    (\S[^:]*): (.*)", line)
            if section != "Returns:" and item and re.fullmatch(r"\*{0,2}[\w, ]+", item[1]):
                lines.append(f"- `{item[1]}`: {_escaped(item[2])}")
            elif lines[-1].startswith("- ") or lines[-1].startswith("    ") or lines[-1] == "":
                bare = re.fullmatch(r"    ([A-Z]\w*)", line)
                lines.append(f"- `{bare[1]}`" if bare else "    " + _escaped(line.strip()))
            else:
                lines.append(_escaped(line.strip()))
        elif indented:
            if not code:
                lines.append("```python")
                code = True
            lines.append(line[4:])
        else:
            section = section if not line.strip() else ""
            lines.append(line if code else _escaped(line))
    if code:
        lines.append("```")
    # A sentence right after the heading is no list, and is not indented as one.
    plain = re.sub(
        r"(\*\*\w+:\*\*\n\n)((?:    .*\n?)+)", lambda m: m[1] + inspect.cleandoc(m[2]) + "\n", "\n".join(lines)
    )
    return plain.strip() + "\n"


if __name__ == "__main__":
    sys.exit(main())

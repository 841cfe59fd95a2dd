"""`mmh menu`."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable
from typing import NamedTuple

import click

from .._api import LEVELS, SUFFIX, level_number
from ._failure import GOOD, INTERRUPTED, WrongUsageError
from ._terminal import printable

__all__ = ["menu", "path_of"]

Words = list[str]
"""A command line, without `mmh`."""


class _Entry(NamedTuple):
    command: str
    says: str
    ask: Callable[[], Words]


class _Back(Exception):
    """An answer was left empty that has no default: back to the menu."""


@click.command(short_help="Be asked what to do, step by step.")
@click.pass_context
def menu(context: click.Context) -> int:
    """Ask what to do and with which file, show the command that does it, run it, and ask again.

    Enter takes what is in brackets, and leads back to the menu where there is nothing in brackets. Paths may have
    blanks, and may be quoted. The exit code is that of the last command.
    """
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()):
        raise WrongUsageError("the menu needs a terminal (name a command; mmh --help lists them)")
    group = context.parent.command if context.parent else None
    known = group.list_commands(context) if isinstance(group, click.Group) else []
    entries = [entry for entry in _ENTRIES if entry.command in known]
    _complete_paths()
    code = GOOD
    click.echo("MMH-RS makes model weights and other AI tensors smaller, without losing a bit.")
    while True:
        try:
            entry = _chosen(entries)
            if entry is None:
                return code
            arguments = entry.ask()
        except _Back:
            continue
        except (EOFError, KeyboardInterrupt):
            click.echo()
            return code
        code = _run(arguments)
        if code == INTERRUPTED:
            return code


def _chosen(entries: list[_Entry]) -> _Entry | None:
    """What is to be done; None for nothing more."""
    click.echo()
    for number, entry in enumerate(entries, 1):
        click.echo(f"  {number}  {entry.command:<10}  {entry.says}")
    click.echo(f"  q  {'quit':<10}")
    while True:
        answer = input(f"What to do (1 to {len(entries)}, or q): ").strip().lower()
        if answer in ("q", "quit", "exit"):
            return None
        for number, entry in enumerate(entries, 1):
            if answer in (str(number), entry.command):
                return entry
        if answer:
            click.echo(f"There is no {printable(answer)} in the menu.")


def _run(arguments: Words) -> int:
    from . import main  # this package's own, which imports the commands one by one

    shown = shlex.join(arguments) if os.name == "posix" else " ".join(f'"{a}"' if " " in a else a for a in arguments)
    click.echo(f"\n$ mmh {printable(shown)}")
    code = main(arguments)
    if code not in (GOOD, INTERRUPTED):
        click.echo(f"This ended with exit code {code}.")
    return code


# What is asked, one function for each command.


def _compress() -> Words:
    source = _existing("File or directory to compress")
    level = _level()
    target = _target(source, _trimmed(source) + SUFFIX)
    return ["compress", *_recursive(source), *(["--level", level] if level != "balanced" else []), *target]


def _decompress() -> Words:
    source = _existing(f"{SUFFIX} file or directory to restore")
    plain = _trimmed(source)
    target = _target(source, plain[: -len(SUFFIX)] if plain.endswith(SUFFIX) else None)
    return ["decompress", *_recursive(source), *target]


def _one_file(command: str, question: str) -> Callable[[], Words]:
    def ask() -> Words:
        return [command, _existing(question, directories=False)]

    return ask


def _generate() -> Words:
    out = _answer("File to write", "example.safetensors")
    size = _answer("Size, such as 10MB or 1GB", "50MB")
    return ["generate", "--size", size, *_forced(_argument(path_of(out)))]


def _bench() -> Words:
    source = _existing("File to measure", directories=False)
    report = _answer("Page to write the result to, or - for none", "-")
    return ["bench", *([] if report == "-" else ["--report", *_forced(_argument(path_of(report)))]), source]


def _doctor() -> Words:
    return ["doctor"]


_ENTRIES = (
    _Entry("compress", "a file or a directory; the source is kept", _compress),
    _Entry("decompress", "bring back what was compressed, byte for byte", _decompress),
    _Entry("verify", "check every block and hash", _one_file("verify", f"{SUFFIX} file to check")),
    _Entry("repair", "mend a damaged file", _one_file("repair", f"{SUFFIX} file to mend")),
    _Entry("generate", "make weights to try things on", _generate),
    _Entry("bench", "the benchmark: size and speed beside other compressors", _bench),
    _Entry("doctor", "what this machine and installation offer", _doctor),
)
"""In the order of the menu. What this version has no command for is left out."""


# Answers.


def _answer(question: str, default: str | None = None) -> str:
    answer = input(f"{question}{'' if default is None else f' [{printable(default)}]'}: ")
    if answer.strip():
        return answer
    if default is None:
        raise _Back
    return default


def _existing(question: str, *, directories: bool = True) -> str:
    while True:
        path = path_of(_answer(question))
        if not os.path.exists(path):
            click.echo(f"There is no {printable(path)} (in {printable(os.getcwd())}).")
        elif not directories and os.path.isdir(path):
            click.echo(f"{printable(path)} is a directory; one file is needed.")
        else:
            return _argument(path)


def _level() -> str:
    while True:
        answer = _answer(f"Level: {', '.join(LEVELS)}, or 1 (fastest) to 9 (smallest)", "balanced").strip()
        try:
            level_number(int(answer) if answer.isdecimal() else answer)
            return answer
        except ValueError as error:
            click.echo(str(error))


def _target(source: str, default: str | None) -> Words:
    """`[-f] [-o TARGET] SOURCE`; the default needs no -o."""
    while True:
        answer = _answer("Write to", default)
        target = path_of(answer) if answer != default else answer
        option = [] if target == default else ["-o", _argument(target)]
        place = os.path.join(target, os.path.basename(default or source)) if os.path.isdir(target) else target
        # A directory takes up where an earlier run has ended, and overwrites nothing.
        if os.path.isdir(source) or not os.path.lexists(place):
            return [*option, source]
        if _yes(f"{printable(place)} exists. Overwrite it"):
            return ["-f", *option, source]


def _forced(target: str) -> Words:
    """`[-f] TARGET`."""
    if os.path.isfile(target) and _yes(f"{printable(target)} exists. Overwrite it"):
        return [target, "-f"]
    return [target]


def _yes(question: str) -> bool:
    return _answer(f"{question} (y or n)", "n").strip().lower() in ("y", "yes")


def _recursive(source: str) -> Words:
    return ["-r"] if os.path.isdir(source) else []


def _trimmed(path: str) -> str:
    """`DIR` for `DIR/`."""
    return path.rstrip("/" if os.name == "posix" else "/\\") or path


def _argument(path: str) -> str:
    """So that no path is taken for an option, or for standard input."""
    return os.path.join(os.curdir, path) if path.startswith("-") else path


def path_of(answer: str) -> str:
    """The path that was typed, pasted or dropped.

    A path that is there is taken as it stands; otherwise what a shell or a file manager adds to one is taken away:
    quotes, backslashes before blanks, and PowerShell's `& ` in front. `~` is the home directory.
    """
    text = answer.strip()
    for plain in (answer, text):
        if os.path.lexists(plain):
            return plain
    text = text.removeprefix("& ").strip()
    if os.name == "posix":
        with contextlib.suppress(ValueError):  # a quote that is not closed is part of the name
            words = shlex.split(text)
            # Several words: blanks were typed as they are, and none of it was meant for a shell.
            if len(words) == 1:
                text = words[0]
    elif len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return os.path.expanduser(text)


def _complete_paths() -> None:
    """Tab completes paths, where Python has readline."""
    try:
        import readline
    except ImportError:
        return

    def complete(start: str, state: int) -> str | None:
        import glob

        found = sorted(glob.glob(glob.escape(os.path.expanduser(start)) + "*"))
        return found[state] + os.sep * os.path.isdir(found[state]) if state < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims("")
    editline = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if editline else "tab: complete")
    readline.set_auto_history(False)

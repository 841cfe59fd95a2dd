"""One invocation of a command: its results, its errors, its document, its exit code."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from .. import __version__
from ._failure import GOOD, Failure, failure_of
from ._terminal import Bars, printable

__all__ = ["SCHEMA", "Run", "document", "say", "uses_run"]

SCHEMA = 1
"""Version of the `--json` documents. Fields are added without a change of it, and never renamed or removed."""


class Run:
    """Collects what a command finds out about its files.

    With `--json` one document is printed at the end, on standard output:

        {"schema": 1, "command": "compress", "version": "0.1.0", "exit_code": 0,
         "results": [{"path": …, …}], "errors": [{"path": …, "kind": …, "message": …, "exit_code": …}]}

    Where directories were worked on as a whole there are also "trees", one for each.

    Errors are also printed as lines on standard error, with `--json` and with `-q` as well.
    """

    def __init__(self, command: str, *, quiet: bool, as_json: bool) -> None:
        self.command = command
        self.as_json = as_json
        self.results: list[dict[str, Any]] = []
        self.trees: list[dict[str, Any]] = []
        self.errors: list[Failure] = []
        self.quiet = quiet
        # For people in front of a terminal; in a pipe or a log nothing is said about what went well.
        self.talks = not quiet and not as_json and sys.stderr is not None and sys.stderr.isatty()
        self.bars = Bars(self.talks)
        self._code = GOOD

    def result(self, path: str, **fields: Any) -> None:
        """Record what is known about one file."""
        self.results.append({"path": path, **fields})

    def tree(self, facts: dict[str, Any]) -> None:
        """Record what is known about a directory that was worked on as a whole."""
        self.trees.append(facts)

    def summary(self, text: str) -> None:
        """A line about a finished file, on a terminal."""
        if self.talks:
            self.bars.above(lambda: say(text))

    def remark(self, path: str, text: str) -> None:
        """A line about what went well, but not in full: in a pipe, too, unless with -q."""
        if not self.quiet:
            self.bars.above(lambda: say(f"mmh: {printable(path)}: {printable(text)}"))

    def show(self, text: str) -> None:
        """What was asked for, on standard output; `--json` has it in the document instead."""
        if not self.as_json and not self.quiet:
            _print(text)

    def fail(self, error: BaseException | Failure, path: str | None = None) -> None:
        """Record an error, print its line, and go on."""
        failure = error if isinstance(error, Failure) else failure_of(error, path)
        self.errors.append(failure)
        self.code(failure.exit_code)
        self.bars.above(lambda: print_failure(failure))
        if not isinstance(error, Failure) and failure.kind == "internal" and os.environ.get("MMH_TRACEBACK"):
            raise error

    def code(self, code: int) -> None:
        """Make the exit code at least this bad: the highest number is the worst."""
        self._code = max(self._code, code)

    @contextmanager
    def working_on(self, path: str) -> Iterator[None]:
        """Whatever goes wrong inside is recorded as an error of `path`; Ctrl-C and a closed pipe pass through."""
        try:
            yield
        except BrokenPipeError:
            raise
        except Exception as error:
            self.fail(error, path)

    def finish(self) -> int:
        """Print the document, if there is one, and return the exit code."""
        if self.as_json:
            _print(document(self.command, self._code, self.results, self.errors, self.trees))
        return self._code


def _print(text: str) -> None:
    """On standard output.

    Raises:
        OSError: it is closed, or takes nothing more.
    """
    if sys.stdout is None:
        raise OSError("standard output is closed")
    click.echo(text)


def print_failure(failure: Failure) -> None:
    """`mmh: <path>: <what> (<what to do>)` on standard error."""
    where = f"{printable(failure.path)}: " if failure.path is not None else ""
    say(f"mmh: {where}{printable(failure.message)}")


def say(text: str) -> None:
    """A line on standard error, whatever characters that can show."""
    if sys.stderr is None:  # closed by whoever started us
        return
    encoding = sys.stderr.encoding or "ascii"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr, flush=True)


def document(
    command: str | None,
    code: int,
    results: list[dict[str, Any]],
    errors: list[Failure],
    trees: list[dict[str, Any]] | None = None,
) -> str:
    """The document of `--json`. ASCII only: bytes of a file name that are no text are lone surrogates in it, as in
    Python's own file names."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "command": command,
            "version": __version__,
            "exit_code": code,
            "results": [_plain(result) for result in results],
            **({"trees": [_plain(tree) for tree in trees]} if trees else {}),
            "errors": [failure._asdict() for failure in errors],
        },
        allow_nan=False,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def uses_run(function: Callable[..., Any]) -> Callable[..., int]:
    """Gives a command its `Run` and the options -q and --json, and returns its exit code."""

    @click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
    @wraps(function)
    def command(*args: Any, quiet: bool, as_json: bool, **options: Any) -> int:
        run = Run(click.get_current_context().command.name or "", quiet=quiet, as_json=as_json)
        try:
            function(*args, run=run, **options)
        except BrokenPipeError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            run.fail(error)
        return run.finish()

    return command

"""Text for people: safe names, sizes, tables, and the progress bar."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .._api import LEVELS
from ._failure import WrongUsageError

if TYPE_CHECKING:
    from typing import TypeAlias

    Callback: TypeAlias = Callable[[int, int | None, int], None]

__all__ = [
    "Bars",
    "binary_stdin",
    "binary_stdout",
    "duration",
    "level_name",
    "number",
    "percent",
    "printable",
    "size",
    "speed",
    "table",
    "value",
    "words",
]

_PATIENCE = 0.3
"""Seconds of work before a bar is worth showing."""


def printable(text: str) -> str:
    """`text` with everything escaped that could move the cursor, hide or reorder what is printed.

    Names of files may hold bytes that are no text (surrogates here), and names of tensors come from the file.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"  # a byte that os.fsdecode could not decode
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def size(count: int | float) -> str:
    """Bytes in decimal units: "523.1 MB"."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} PB"


def number(count: int) -> str:
    """With a comma at each third digit: "1,040"."""
    return f"{count:,}"


def percent(stored: int | None, raw: int) -> str:
    """Stored size over original size: "66.5 %"."""
    if stored is None or raw == 0:
        return "-"
    ratio = 100 * stored / raw
    return f"{ratio:.1f} %" if ratio >= 1 else f"{ratio:.2g} %"


def speed(count: int, seconds: float) -> str:
    """ "1.42 GB/s"."""
    rate = count / seconds if seconds > 0 else 0.0
    return f"{rate / 1e9:.2f} GB/s" if rate >= 1e7 else f"{rate / 1e6:.2f} MB/s"


def duration(seconds: float) -> str:
    """ "0.42 s", "17 s", "3.5 min", "2.1 h"."""
    if seconds < 100:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    """Columns two spaces apart, numbers to the right, no line drawn: good to read and to cut."""
    cells = [[printable(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    lines = []
    for row in cells:
        aligned = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def words(key: object) -> str:
    """A key of a document, for people: "exponent_bits" as "exponent bits"."""
    return printable(str(key).replace("_", " "))


def value(thing: object) -> str:
    """A value of a document, for people."""
    if thing is None:
        return "none"
    if isinstance(thing, bool):
        return "yes" if thing else "no"
    if isinstance(thing, float):
        return f"{thing:.4g}"
    if isinstance(thing, dict):
        return ", ".join(f"{words(key)} {value(item)}" for key, item in thing.items())
    if isinstance(thing, (list, tuple)):
        return ", ".join(value(item) for item in thing)
    return printable(str(thing))


def level_name(level: int) -> str:
    """ "balanced" for 5, "level 7" for 7."""
    return next((name for name, number in LEVELS.items() if number == level), f"level {level}")


def binary_stdout(forced: bool) -> Any:
    """Standard output for bytes.

    Args:
        forced: even if it is a terminal.

    Raises:
        WrongUsageError: it is a terminal, or closed.
    """
    if sys.stdout is None:
        raise WrongUsageError("standard output is closed (name a file with -o)")
    if sys.stdout.isatty() and not forced:
        raise WrongUsageError("standard output is a terminal (redirect it, name a file with -o, or force it with -f)")
    sys.stdout.flush()
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(sys.stdout.fileno(), os.O_BINARY)
    _widen(sys.stdout.fileno())
    return sys.stdout.buffer


def _widen(descriptor: int) -> None:
    """Give a pipe as much room as the system lends without more ado, so that its two sides wait for each other less."""
    if sys.platform == "linux":
        import fcntl

        # It is no pipe, or the user's pipes have too much room already.
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 1 << 20)


def binary_stdin() -> Any:
    """Standard input for bytes, once there are some.

    Waiting is done here, where Ctrl-C ends it; the engine's own reading goes on until there is something to read.

    Raises:
        WrongUsageError: it is closed.
    """
    if sys.stdin is None:
        raise WrongUsageError("standard input is closed (name a file)")
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(sys.stdin.fileno(), os.O_BINARY)
    else:
        import select

        _widen(sys.stdin.fileno())
        select.select([sys.stdin.fileno()], [], [])
    return sys.stdin.buffer


class Bars:
    """Progress bars on standard error, which has to be a terminal if they are to be shown.

    rich is imported when the first bar is shown, which short work never comes to.
    """

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._progress: Any = None

    @contextmanager
    def bar(self, label: str | Callable[[], str], total: int | None) -> Iterator[Callback]:
        """A callback for the engine while `label` (which may change) is worked on. Where nothing is shown it does
        nothing, except that Python comes to handle signals in it.

        Args:
            total: source bytes, where they are known beforehand.
        """
        if not self._shown:
            yield lambda done, all_bytes, stored: None
            return
        task: Any = None
        started = shown = time.monotonic()

        def advance(done: int, all_bytes: int | None, stored: int) -> None:
            nonlocal task, shown
            now = time.monotonic()
            if now - started < _PATIENCE or now - shown < 0.05:
                return
            shown = now
            text = printable(label if isinstance(label, str) else label())
            if task is None:
                task = self._start().add_task(text, total=all_bytes or total)
            elif done < self._progress.tasks[0].completed:
                # The next part of the work, such as compressing after the base was hashed: speed and time are its own.
                self._progress.reset(task, total=all_bytes or total)
            self._progress.update(task, description=text, completed=done, total=all_bytes or total)

        try:
            yield advance
        finally:
            if task is not None:
                self._progress.remove_task(task)
                self._stop()

    def above(self, write: Callable[[], None]) -> None:
        """Has something written to standard error, above the bar if there is one."""
        progress = self._progress
        if progress is None:
            write()
            return
        progress.stop()
        write()
        progress.start()

    def _start(self) -> Any:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
        from rich.text import Text

        class Rate(ProgressColumn):
            def render(self, task: Task) -> Text:
                rate = task.finished_speed or task.speed
                return Text("" if rate is None else speed(int(rate), 1.0), style="progress.data.speed")

        class Amount(ProgressColumn):
            def render(self, task: Task) -> Text:
                done = size(int(task.completed))
                return Text(done if task.total is None else f"{done} of {size(int(task.total))}")

        self._progress = Progress(
            # Without markup: a name with brackets is a name.
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            Amount(),
            Rate(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._progress.start()
        return self._progress

    def _stop(self) -> None:
        progress, self._progress = self._progress, None
        progress.stop()

"""Round trips first, then turns, medians, and peak memory."""

from __future__ import annotations

import ctypes
import datetime
import gc
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .candidates import Candidate, Choice, Family, UnsuitableError, stored_bytes, version
from .elements import Elements, buffer, same
from .memory import peak
from .results import FileResult, Machine, Row, Timing, WholeFile

__all__ = ["Measurement", "Settings", "keep_pages", "whole_file"]

BUDGET = 10.0
"""Seconds for all runs of one direction of one candidate. Slower ones get fewer runs; those that need as long for one
get no other one, neither to be timed nor for their memory."""

Progress = Callable[[str, float], None]
"""progress(what is done, how much of all is done, 0 to 1)."""


@dataclass(frozen=True)
class Settings:
    """How to measure."""

    runs: int = 5
    threads: int = 1
    memory: bool = True
    """Whether to measure peak memory."""


@dataclass
class _Direction:
    checked: float
    """Seconds of the run that was checked."""
    seconds: list[float] = field(default_factory=list)

    def wanted(self, runs: int) -> int:
        """How many runs there are to be, after the one that was checked."""
        return min(runs, int(BUDGET / self.checked)) if self.checked > 0 else runs

    def timing(self, count: int) -> Timing:
        # Where one run takes this long, the checked one has to do.
        seconds = self.seconds or [self.checked]
        median = statistics.median(seconds)
        return Timing(median, len(seconds), count / median / 1e9 if median else 0.0)


@dataclass
class _Entrant:
    """A candidate that has shown that it restores its input."""

    choice: Choice
    candidate: Candidate
    blob: Any
    compress: _Direction
    decompress: _Direction
    compress_memory: int | None = None
    decompress_memory: int | None = None

    @property
    def seconds(self) -> float:
        """Of one run in both directions."""
        return self.compress.checked + self.decompress.checked


class Measurement:
    """All candidates on the elements of one file. What is known can be asked for at any time, even after Ctrl-C."""

    def __init__(self, elements: Elements, choices: Sequence[Choice], missing: Sequence[Family], settings: Settings):
        """
        Args:
            choices: who takes part, in the order of the table.
            missing: who would, were it installed; it is named in the result.
        """
        self.elements = elements
        self.choices = choices
        self.missing = missing
        self.settings = settings
        self._entrants: dict[str, _Entrant] = {}
        self._out: dict[str, Row] = {}
        self._copies: list[float] = []
        self._date = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        self._complete = False
        self.whole_file: list[WholeFile] = []

    def run(self, progress: Progress = lambda what, done: None) -> None:
        # The rivals' warnings are for their developers.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._check(progress)
            self._take_turns(progress)
            if self.settings.memory:
                self._weigh(progress)
        self._complete = True

    def _check(self, progress: Progress) -> None:
        """Every round trip; it makes caches, tables and buffers warm as well."""
        for place, choice in enumerate(self.choices):
            progress(f"checking {choice.label}", 0.3 * place / len(self.choices))
            try:
                candidate = choice.build(self.elements, self.settings.threads)
                given = candidate.source()
                compress, blob = _timed(candidate.compress, given)
                decompress, result = _timed(candidate.decompress, blob)
                good = same(memoryview(candidate.restored(result)).cast("B"), self.elements.raw)
            except UnsuitableError as error:
                self._out[choice.name] = self._row(choice, "skipped", str(error))
                continue
            except ImportError as error:
                self._out[choice.name] = self._row(choice, "skipped", f"cannot be imported: {_text(error)}")
                continue
            except Exception as error:  # someone else's code: whatever it raises
                self._out[choice.name] = self._row(choice, "failed", _text(error))
                continue
            if not good:
                self._out[choice.name] = self._row(choice, "failed", "does not restore its input")
                continue
            self._entrants[choice.name] = _Entrant(
                choice, candidate, blob, _Direction(compress), _Direction(decompress)
            )

    def _take_turns(self, progress: Progress) -> None:
        """A B C A B C …: whatever else the machine does hits all of them alike. Turn 0 is the warm-up."""
        runs = self.settings.runs
        target = buffer(len(self.elements.raw))
        for turn in range(runs + 1):
            copying = _timed(lambda raw: target.__setitem__(slice(None), raw), self.elements.raw)[0]
            if turn:
                self._copies.append(copying)
            for place, entrant in enumerate(self._entrants.values()):
                done = 0.3 + 0.5 * (turn + place / len(self._entrants)) / (runs + 1)
                progress(f"turn {turn} of {runs}: {entrant.choice.label}", done)
                candidate = entrant.candidate
                if turn <= entrant.compress.wanted(runs) > 0:
                    seconds = _timed(candidate.compress, candidate.source())[0]
                    if turn:
                        entrant.compress.seconds.append(seconds)
                if turn <= entrant.decompress.wanted(runs) > 0:
                    seconds, result = _timed(candidate.decompress, entrant.blob)
                    if turn:
                        entrant.decompress.seconds.append(seconds)
                    if turn == runs and not same(memoryview(candidate.restored(result)).cast("B"), self.elements.raw):
                        entrant.blob = None
                    del result
        for name, entrant in list(self._entrants.items()):
            if entrant.blob is None:
                self._out[name] = self._row(entrant.choice, "failed", "no longer restores its input after some runs")
                del self._entrants[name]

    def _weigh(self, progress: Progress) -> None:
        threads = self.settings.threads
        quick = [entrant for entrant in self._entrants.values() if entrant.seconds <= BUDGET]
        for place, entrant in enumerate(quick):
            progress(f"memory of {entrant.choice.label}", 0.8 + 0.2 * place / len(quick))
            entrant.compress_memory = peak(entrant.choice, self.elements, threads, "compress")
            entrant.decompress_memory = peak(entrant.choice, self.elements, threads, "decompress", entrant.blob)

    def _row(self, choice: Choice, status: Any, reason: str | None = None, **more: Any) -> Row:
        return Row(choice.name, choice.label, version(choice.family), status, reason, **more)

    def _measured(self, choice: Choice) -> Row:
        if choice.name in self._out:
            return self._out[choice.name]
        entrant = self._entrants.get(choice.name)
        if entrant is None:
            return self._row(choice, "interrupted", "not reached")
        count, stored = len(self.elements.raw), stored_bytes(entrant.blob)
        return self._row(
            choice,
            "good",
            threads=entrant.candidate.threads,
            stored_bytes=stored,
            ratio=stored / count,
            compress=entrant.compress.timing(count),
            decompress=entrant.decompress.timing(count),
            compress_memory=entrant.compress_memory,
            decompress_memory=entrant.decompress_memory,
        )

    def result(self, machine: Machine) -> FileResult:
        """What is known by now."""
        count = len(self.elements.raw)
        rows = [self._measured(choice) for choice in self.choices]
        for family in self.missing:
            reason = f"not installed (pip install {family.package})"
            rows.append(Row(family.name, family.label, None, "skipped", reason))
        return FileResult(
            path=self.elements.path,
            dtype=self.elements.dtype,
            bytes=count,
            dtype_bytes=self.elements.dtype_bytes,
            file_bytes=self.elements.file_bytes,
            threads=self.settings.threads,
            runs=self.settings.runs,
            date=self._date,
            memcpy_gbps=count / statistics.median(self._copies) / 1e9 if self._copies else None,
            rows=rows,
            machine=machine,
            whole_file=self.whole_file,
            complete=self._complete,
        )


def whole_file(path: str, level: str, threads: int) -> WholeFile:
    """The size of a file through `compress_file`, which reads it back and compares."""
    from .._api import compress_file

    with tempfile.TemporaryDirectory(prefix="mmh-bench-") as folder:
        done = compress_file(
            path, Path(folder) / "file.mmh", level=int(level) if level.isdecimal() else level, threads=threads
        )
    return WholeFile(level, done.stored_bytes, done.ratio)


def keep_pages() -> bool:
    """Tell glibc to keep what is freed, for the rest of the process. Returns False where that is not possible.

    We decode into a buffer of the caller's, most others into memory that they allocate, and glibc gives large pieces
    back to the system each time: fresh pages cost some of them more than their decoding does. That is what callers get,
    unless they do what this does, which is to measure the compressors without the allocator.
    """
    if platform.libc_ver()[0] != "glibc" or os.name != "posix":
        return False
    mmap_max, trim_threshold = -4, -1  # malloc.h
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(mmap_max, 0)) and bool(mallopt(trim_threshold, -1))
    return False


def _timed(call: Callable[[Any], Any], given: Any) -> tuple[float, Any]:
    """Without the collector, and without freeing what the call before returned."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        result = call(given)
        return time.perf_counter() - start, result
    finally:
        if collecting:
            gc.enable()


def _text(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__

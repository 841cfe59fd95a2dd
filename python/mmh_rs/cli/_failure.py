"""Exit codes, and the one line that says what went wrong."""

from __future__ import annotations

import os
from typing import NamedTuple

from .. import _core

__all__ = [
    "DAMAGED",
    "FAILED",
    "GOOD",
    "INTERRUPTED",
    "MENDABLE",
    "NOT_MMH",
    "USAGE",
    "Failure",
    "WrongUsageError",
    "failure_of",
]

GOOD = 0
MENDABLE = 1
DAMAGED = 2
NOT_MMH = 3
FAILED = 4
USAGE = 64
INTERRUPTED = 130


class Failure(NamedTuple):
    """One error, as it is printed and as `--json` has it."""

    path: str | None
    kind: str
    """"corruption", "format", "limit", "io", "usage", "interrupted", "memory", "different" or
    "internal"."""
    message: str
    exit_code: int


class WrongUsageError(Exception):
    """Something that the user has to ask for in another way; the message says how."""


def failure_of(error: BaseException, path: str | None) -> Failure:
    """What an exception that came up while working on `path` means to the user."""
    kind, code = _kind(error)
    return Failure(path, kind, _message(error, path), code)


def _kind(error: BaseException) -> tuple[str, int]:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if isinstance(error, _core.CorruptionError):
        return "corruption", DAMAGED
    if isinstance(error, _core.UnsupportedFormatError):
        return "format", NOT_MMH
    if isinstance(error, _core.LimitError):
        return "limit", NOT_MMH
    if isinstance(error, (WrongUsageError, ValueError)):  # the engine's word for arguments that make no sense
        return "usage", USAGE
    if isinstance(error, MemoryError):
        return "memory", FAILED
    if isinstance(error, (OSError, _core.MmhError)):
        return "io", FAILED
    return "internal", FAILED


def _message(error: BaseException, path: str | None) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted (nothing was left half-written)"
    if isinstance(error, FileExistsError):
        return _about("already exists (use -f to overwrite it)", error, path)
    if isinstance(error, FileNotFoundError) and "server" not in str(error):
        return _about("no such file or directory", error, path)
    if isinstance(error, IsADirectoryError):
        return _about("is a directory (name the files in it)", error, path)
    if isinstance(error, MemoryError):
        return "not enough memory (use fewer threads with -T, or read a part)"
    if isinstance(error, OSError) and error.strerror:
        return _about(error.strerror[:1].lower() + error.strerror[1:], error, path)
    text = " ".join(str(error).split()).removeprefix(f"{path}: ")
    if isinstance(error, _core.CorruptionError) and "mmh repair" in text:
        return text
    if isinstance(error, _core.CorruptionError):
        saves = "" if "is intact" in text else "; mmh repair --salvage saves what is intact"
        return f"{text} (restore the file from another copy{saves})"
    if isinstance(error, (OSError, _core.MmhError, WrongUsageError, ValueError)):
        return text or type(error).__name__
    return f"internal error: {type(error).__name__}: {text} (please report it; MMH_TRACEBACK=1 shows where it is)"


def _about(text: str, error: OSError, path: str | None) -> str:
    """Names the file that the system speaks of, where it is not the one in front of the line."""
    other = error.filename
    if other is None or path is None or os.fsdecode(other) == path:
        return text
    return f"{os.fsdecode(other)} {text}" if text.startswith(("already", "is a")) else f"{os.fsdecode(other)}: {text}"

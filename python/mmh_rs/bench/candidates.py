"""Who is measured: one interface for all compressors, and the choice among them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .elements import Elements

__all__ = [
    "Candidate",
    "Choice",
    "Family",
    "Threads",
    "UnknownNameError",
    "UnsuitableError",
    "chosen",
    "stored_bytes",
    "version",
]

Threads = Literal["both", "compress", "neither"]
"""In which direction a compressor can use several threads."""


class UnsuitableError(Exception):
    """A compressor does not take these elements, or not so; the message says why."""


class UnknownNameError(ValueError):
    """A name in `--against` that stands for nothing, or for something that is not installed."""


@dataclass(frozen=True)
class Candidate:
    """One compressor with one setting, ready for the elements of one file."""

    source: Callable[[], Any]
    """What `compress` is given, made outside of the timing: ZipNN changes its input, and has to get a copy."""
    compress: Callable[[Any], Any]
    """Returns the compressed data: bytes, or a list of them."""
    decompress: Callable[[Any], Any]
    """Into a buffer that is used again, where the package can."""
    restored: Callable[[Any], memoryview] = memoryview
    """The restored bytes, out of what `decompress` returned."""
    threads: Threads = "neither"


@dataclass(frozen=True)
class Family:
    """A compressor: how it is found, which settings it has, and how a candidate is made of it."""

    name: str
    """As in `--against`."""
    label: str
    """As in tables, before the setting."""
    module: str
    """What to import; it is not imported before it is needed."""
    package: str | None
    """What to install; None for what comes with Python or with us."""
    settings: tuple[str, ...]
    """The ones that are measured unless others are named."""
    build: Callable[[Elements, str, int], Candidate]
    """build(elements, setting, threads). Raises UnsuitableError."""
    others: tuple[str, ...] = ()
    """Settings that can be named as well."""
    labels: dict[str, str] = field(default_factory=dict)
    """What a setting is called, where it is not called by its name."""
    built_in: Callable[[], str] = lambda: "Python's"
    """The version, where there is no package to ask for it."""

    def installed(self) -> bool:
        try:
            return importlib.util.find_spec(self.module) is not None
        except (ImportError, ValueError):  # a parent that is missing, or half a module in its place
            return False

    def choices(self) -> list[Choice]:
        return [Choice(self, setting) for setting in self.settings]


@dataclass(frozen=True)
class Choice:
    """A family with one of its settings."""

    family: Family
    setting: str

    @property
    def name(self) -> str:
        """ "zstd-3", as in `--against`."""
        return "-".join(filter(None, (self.family.name, self.setting)))

    @property
    def label(self) -> str:
        """ "zstd 3", as in tables."""
        return " ".join(filter(None, (self.family.label, self.family.labels.get(self.setting, self.setting))))

    def build(self, elements: Elements, threads: int) -> Candidate:
        return self.family.build(elements, self.setting, threads)


def chosen(names: Iterable[str], families: Sequence[Family]) -> list[Choice]:
    """What a list of names stands for, each once, in the order of the names.

    Args:
        names: of families ("zstd"), or of families with a setting ("zstd-19").

    Raises:
        UnknownNameError: the message lists what is known and what is installed.
    """
    by_name = {family.name: family for family in families}
    every = {
        choice.name: choice
        for family in families
        for choice in (Choice(family, setting) for setting in (*family.settings, *family.others))
    }
    installed = ", ".join(family.name for family in families if family.installed()) or "none"
    found: dict[str, Choice] = {}
    for name in names:
        wanted = "-".join(name.strip().lower().split())
        if wanted in by_name:
            picked = by_name[wanted].choices()
        elif wanted in every:
            picked = [every[wanted]]
        elif (family := by_name.get(wanted.partition("-")[0])) is not None:
            settings = ", ".join(filter(None, (*family.settings, *family.others)))
            raise UnknownNameError(f"{family.name} has no setting {wanted.partition('-')[2]!r} (there are: {settings})")
        else:
            raise UnknownNameError(
                f"unknown compressor {name!r} (known: {', '.join(by_name)}; installed here: {installed})"
            )
        for choice in picked:
            if not choice.family.installed():
                raise UnknownNameError(
                    f"{choice.family.name} is not installed "
                    f"(pip install {choice.family.package}; installed here: {installed})"
                )
            found[choice.name] = choice
    return list(found.values())


def version(family: Family) -> str | None:
    """The version of what is installed; None where nothing is."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    if not family.installed():
        return None
    if family.package is None:
        return family.built_in()
    try:
        return version_of(family.package)
    except PackageNotFoundError:
        return "unknown"


def stored_bytes(blob: Any) -> int:
    """Size of compressed data."""
    return sum(map(len, blob)) if isinstance(blob, list) else len(blob)

"""What a measurement found out, as plain data: the schema of `--json`, and what tables and reports are made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["FileResult", "Machine", "Row", "Timing", "WholeFile", "front"]


@dataclass(frozen=True)
class Timing:
    """One direction of one candidate."""

    seconds: float
    """Median."""
    runs: int
    """How many runs that is the median of."""
    gbps: float
    """Original bytes, in GB (10^9) a second."""


@dataclass(frozen=True)
class Row:
    """One candidate on one file."""

    name: str
    """As in `--against`, "zstd-3"."""
    label: str
    """As in tables, "zstd 3"."""
    version: str | None
    status: Literal["good", "failed", "skipped", "interrupted"]
    """failed: it does not restore its input, or gave up; nothing of it was timed. skipped: not installed, or not for
    this dtype. interrupted: not reached."""
    reason: str | None = None
    """Why it failed or was skipped."""
    threads: Literal["both", "compress", "neither"] = "neither"
    """In which direction it was given the threads that were asked for; the other one used one."""
    stored_bytes: int | None = None
    ratio: float | None = None
    """Stored over original size."""
    compress: Timing | None = None
    decompress: Timing | None = None
    compress_memory: int | None = None
    """Peak memory in bytes, see `memory.py`; None where it was not measured."""
    decompress_memory: int | None = None

    @property
    def ours(self) -> bool:
        return self.name.startswith("mmh-")

    @property
    def good(self) -> bool:
        return self.status == "good" and self.compress is not None and self.decompress is not None


@dataclass(frozen=True)
class WholeFile:
    """The file through `compress_file`, headers, names and all."""

    level: str
    stored_bytes: int
    ratio: float


@dataclass(frozen=True)
class Machine:
    """What it was measured on. Nothing in it names the very machine."""

    cpu: str
    cores: int
    """Logical ones that this process may use."""
    memory: int | None
    """Bytes."""
    system: str
    python: str
    mmh: str
    """Version of this package."""
    simd: str
    """Set of instructions that it uses."""
    versions: dict[str, str | None]
    """Of each rival; None: not installed."""
    kept_pages: bool = False
    """Whether the allocator was told to keep its pages, see `measure.keep_pages`."""


@dataclass(frozen=True)
class FileResult:
    """All candidates on one file."""

    path: str
    dtype: str | None
    """safetensors' name of the elements; None: bytes."""
    bytes: int
    """Of the elements that were measured."""
    dtype_bytes: int
    """Of all elements of that dtype in the file."""
    file_bytes: int
    threads: int
    runs: int
    date: str
    """ISO 8601, local time with its offset, to the second."""
    memcpy_gbps: float | None
    rows: list[Row]
    machine: Machine
    whole_file: list[WholeFile] = field(default_factory=list)
    complete: bool = True
    """False where it was interrupted."""

    def row(self, name: str) -> Row | None:
        """The row of a candidate that was measured."""
        return next((row for row in self.rows if row.name == name and row.good), None)

    def fields(self) -> dict[str, Any]:
        """For `--json`, without the path."""
        fields = asdict(self)
        del fields["path"]
        return fields


def front(points: list[tuple[float, float]]) -> set[int]:
    """The Pareto front: the points (size, speed) than which no other is as small and as fast, and one of both more so.

    Returns:
        Their places in the list.
    """
    return {
        place
        for place, (size, speed) in enumerate(points)
        if not any(a <= size and b >= speed and (a < size or b > speed) for a, b in points)
    }

"""What is in a file, tensor by tensor, and the proof that it comes back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from . import _core
from ._api import LEVELS, _threads, lent
from ._diff import _opened
from ._limits import Limits, engine_limits

if TYPE_CHECKING:
    from typing import TypeAlias

    StrPath: TypeAlias = str | os.PathLike[str]
    Progress: TypeAlias = Callable[[int, int | None, int], None]

__all__ = ["Proof", "TensorValidation", "Validation", "validate"]

VERDICTS = ("trained", "fresh", "synthetic", "constant", "quantized", "data", "unknown", "corrupt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Values around the mean, in steps of the same width."""

    low: float
    high: float
    counts: tuple[float, ...]
    """How many there are in each step, to about a sixteenth of a step's distance from zero."""
    below: float
    """Values below `low`."""
    above: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorValidation:
    """One tensor. Numbers are None where the dtype is none of numbers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    verdict: str
    """"trained", "fresh" (as it was made before training), "synthetic" (made by a rule), "constant", "quantized",
    "data" (integers that count something), "unknown" (too few elements), or "corrupt"."""
    reason: str
    """Why."""
    equals: str | None
    """The earlier tensor of the file that has the same bytes."""
    scales: bool
    """Of GGUF's blocks, the numbers are those of their scales."""
    count: int | None
    """Numbers looked at."""
    min: float | None
    """Of the finite ones, as are the maximum, mean, standard deviation and kurtosis."""
    max: float | None
    mean: float | None
    std: float | None
    kurtosis: float | None
    """3 for a bell curve, 1.8 where all values of a range come alike; None where all are the same."""
    nan: int | None
    infinite: int | None
    zeros: int | None
    """Of both signs."""
    distinct: int | None
    """Different patterns of bits; None where there are more than 4096 of more than 16 bits."""
    byte_entropy: float | None
    """Bits of entropy of a byte."""
    exponent_entropy: float | None
    """Bits of entropy of an exponent, which takes `exponent_bits`."""
    exponent_bits: int | None
    period: int | None
    """Bytes after which all of it repeats."""
    upcast_from: str | None
    """The narrower dtype that elements fit without loss, where some rows (or the tensor as a whole) do."""
    upcast_share: float | None
    """Share of the rows that do; rows of zeros do not count."""
    exponents: tuple[tuple[int, int], ...]
    """(field of the exponent, how many) of those that there are."""
    histogram: Histogram | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The whole file through one codec at one level, stored in a temporary file, restored and compared."""

    codec: str
    level: int
    source_bytes: int
    stored_bytes: int
    compress_seconds: float
    decompress_seconds: float
    differs: int | None
    """The first byte that did not come back as it was."""

    @property
    def equal(self) -> bool:
        """Whether every bit came back."""
        return self.differs is None

    @property
    def ratio(self) -> float:
        """Stored over original size (smaller is better)."""
        return self.stored_bytes / self.source_bytes if self.source_bytes else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What `validate` found. True where no tensor looks corrupt and every codec gave every bit back."""

    source: str | None
    """The path; None for a file object."""
    format: str
    source_bytes: int
    packed: bool
    """It is a `.mmh`; everything here is about what that restores."""
    other_bytes: int
    """Outside of tensors."""
    generated: bool
    """Whether it says that `mmh generate` made it."""
    tensors: tuple[TensorValidation, ...]
    proofs: tuple[Proof, ...]

    def __bool__(self) -> bool:
        return not self.verdicts["corrupt"] and all(proof.equal for proof in self.proofs)

    @property
    def verdicts(self) -> dict[str, int]:
        """How many tensors there are of each verdict."""
        counts = dict.fromkeys(VERDICTS, 0)
        for tensor in self.tensors:
            counts[tensor.verdict] += 1
        return counts


def ways(proof: str) -> list[tuple[str, int]]:
    """Codecs and levels of a proof: "none", "levels" (all levels that have a name), or "all" (and every codec).

    Raises:
        ValueError: it is none of those.
    """
    if proof not in ("none", "levels", "all"):
        raise ValueError(f"proof must be 'none', 'levels' or 'all', not {proof!r}")
    levels = [] if proof == "none" else [("auto", level) for level in LEVELS.values()]
    # These store differences, from another file and from other tensors; what has none is no proof.
    codecs = [codec for codec in _core.CODECS if codec not in ("auto", "delta", "relative")] if proof == "all" else []
    return levels + [(codec, LEVELS["balanced"]) for codec in codecs]


def validate(
    source: StrPath | BinaryIO,
    *,
    proof: str = "all",
    threads: int | None = None,
    progress: Progress | None = None,
    limits: Limits | None = None,
    base: Any = None,
) -> Validation:
    """Look at every element of a file, say what each tensor looks like, and prove that all of it comes back.

    Statistics are of every element, made in one pass and in bounded memory. What a tensor looks like is judged from
    them alone: trained weights have rows and columns of different scales, which no initialisation has.

    Args:
        source: a path, an http(s) URL, or a binary file object that can seek: of any format that tensors are found in,
            or a `.mmh`, of which the original counts.
        proof: "all" compresses everything at each of the levels that have a name, and with every codec, into a
            temporary file (TMPDIR says where), and compares every bit of what that restores; "levels" leaves the
            codecs out, "none" does nothing of it.
        threads: how many to use; None, as many as the machine has cores.
        progress: called as progress(bytes done, bytes in all, stored bytes so far). An exception that it raises stops
            the work.
        limits: what is accepted of a `.mmh`; None, what `Limits()` says.
        base: what a `.mmh` was compressed against, as in `open`.

    Raises:
        MmhError: `base` is another file than it was compressed against.
        CorruptionError: a `.mmh` is damaged. (A source that is damaged is looked at, and said to be "corrupt".)
        LimitError: a `.mmh` stands for more than the limits allow.
        FileNotFoundError, OSError: as the file system has it.
        ValueError, TypeError: an argument is not one of the accepted values, or the file is a pipe or device.
    """
    todo = ways(proof)
    opened: list[Any] = []
    try:
        validator = _core.Validator(_opened(source, "source", opened), engine_limits(limits), lent(base))
        found = validator.tensors(_threads(threads), progress)
        proofs = [
            Proof(**way, source_bytes=found["source_bytes"]) for way in _proved(validator, todo, threads, progress)
        ]
    finally:
        for remote in opened:
            remote.close()
    return Validation(
        source=None if hasattr(source, "read") else os.fsdecode(source),
        format=found["format"],
        source_bytes=found["source_bytes"],
        packed=found["packed"],
        other_bytes=found["other_bytes"],
        generated=found["generated"],
        tensors=tuple(_tensor(tensor) for tensor in found["tensors"]),
        proofs=tuple(proofs),
    )


def _proved(
    validator: _core.Validator, todo: Sequence[tuple[str, int]], threads: int | None, progress: Progress | None
) -> Iterator[_core.Proved]:
    for codec, level in todo:
        yield validator.prove(codec, level, _threads(threads), progress)


def _tensor(found: _core.Validated) -> TensorValidation:
    fields: dict[str, Any] = dict(found)
    del fields["fortran"]
    shown = found["histogram"]
    fields |= {"shape": tuple(found["shape"]), "exponents": tuple(found["exponents"])}
    fields["histogram"] = shown and Histogram(
        low=shown[0], high=shown[1], counts=tuple(shown[2]), below=shown[3], above=shown[4]
    )
    return TensorValidation(**fields)

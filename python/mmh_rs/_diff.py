"""What two files do not have in common, tensor by tensor."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from . import _core
from ._api import _path, _threads, lent
from ._limits import Limits, engine_limits

if TYPE_CHECKING:
    from typing import TypeAlias

    from ._core import Compared, Found, Side

    StrPath: TypeAlias = str | os.PathLike[str]
    Progress: TypeAlias = Callable[[int, int | None, int], None]

__all__ = ["Diff", "TensorDiff", "diff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorDiff:
    """One tensor, by its name in both files."""

    name: str
    change: str
    """"equal", "changed" (other elements), "reshaped" (the same dtype, another shape or order of axes), "retyped"
    (another dtype), "added" (only the second file has it) or "gone" (only the first has it)."""
    first: Compared | None
    """dtype, shape, fortran and bytes in the first file."""
    second: Compared | None
    """The same of the second file."""
    elements: int | None
    """Elements compared, bit by bit; of packed dtypes (F4, F6, GGUF's) the groups that fill whole bytes. None where
    there is nothing to compare: the dtype or the number of bytes differs, or one file does not have it."""
    differing: int | None
    """Elements that differ."""
    first_differing: int | None
    """Position of the first one, in the order of the file."""
    max_abs: float | None
    """The largest absolute difference. This and what follows is None where nothing differs, and for dtypes that are no
    numbers (BOOL, F8_E8M0, packed ones). Pairs with a NaN or an infinity are left out."""
    max_rel: float | None
    """The largest difference over the number in the first file, where that is not zero."""
    relative_norm: float | None
    """Norm of the difference over the norm of the first tensor; None also where the latter is zero."""
    not_finite: int | None
    """Pairs left out that differ."""

    @property
    def share(self) -> float | None:
        """Share of elements that differ."""
        return None if self.elements is None or self.differing is None else self.differing / max(self.elements, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What `diff` found. True where something differs."""

    identical: bool
    """Whether both originals have the same bytes."""
    first: Side
    """format, source_bytes, tensors, other_bytes (outside of tensors) and packed (a `.mmh`) of the first file."""
    second: Side
    """The same of the second file."""
    tensors: list[TensorDiff]
    """Tensors of the first file in order, then those that only the second has."""
    other: Found
    """Bytes outside of tensors: headers, metadata, and all of a file of which no tensors are known. As many as both
    files have are compared: elements, differing, first."""

    def __bool__(self) -> bool:
        return not self.identical

    @property
    def same_tensors(self) -> bool:
        """Whether both have the same tensors with the same bytes, wherever in the file."""
        return all(tensor.change == "equal" for tensor in self.tensors)

    @property
    def changes(self) -> dict[str, int]:
        """How many tensors there are of each change."""
        counts = dict.fromkeys(("equal", "changed", "reshaped", "retyped", "added", "gone"), 0)
        for tensor in self.tensors:
            counts[tensor.change] += 1
        return counts


def diff(
    first: StrPath | BinaryIO,
    second: StrPath | BinaryIO,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    limits: Limits | None = None,
    base: Any = None,
) -> Diff:
    """Compare two files tensor by tensor, bit by bit, in bounded memory.

    Each may be a source (of any format that tensors are found in; any other file is compared as bytes) or a `.mmh`, of
    which the original counts. Tensors of two `.mmh` files with the same BLAKE3 are equal, and are not decoded;
    `Archive.verify` tells whether they are sound.

    Args:
        first, second: paths, http(s) URLs, or binary file objects that can seek.
        threads: how many to use; None, as many as the machine has cores.
        progress: called as progress(tensor bytes done, tensor bytes of the first file, 0). An exception that it raises
            stops the work.
        limits: what is accepted of a `.mmh`; None, what `Limits()` says.
        base: what a `.mmh` of the two was compressed against, as in `open`; not needed for tensors that have the same
            BLAKE3 in both.

    Raises:
        CorruptionError: a `.mmh` is damaged.
        MmhError: `base` is another file than one of them was compressed against.
        LimitError: a `.mmh` stands for more than the limits allow.
        FileNotFoundError, OSError: as the file system has it.
        ValueError, TypeError: an argument is not one of the accepted values, or a file is a pipe or device.
    """
    opened: list[Any] = []
    try:
        one, other = _opened(first, "first", opened), _opened(second, "second", opened)
        found = _core.diff(one, other, _threads(threads), progress, engine_limits(limits), lent(base))
    finally:
        for remote in opened:
            remote.close()
    return Diff(
        identical=found["identical"],
        first=found["first"],
        second=found["second"],
        tensors=[_tensor(tensor) for tensor in found["tensors"]],
        other=found["other"],
    )


def _opened(source: Any, what: str, opened: list[Any]) -> Any:
    if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
        from ._http import RangeReader

        opened.append(RangeReader(source))
        return opened[-1]
    return source if hasattr(source, "read") and hasattr(source, "seek") else _path(source, what)


def _tensor(tensor: _core.TensorDiff) -> TensorDiff:
    found = tensor["found"]
    return TensorDiff(
        name=tensor["name"],
        change=tensor["change"],
        first=tensor["first"],
        second=tensor["second"],
        elements=found and found["elements"],
        differing=found and found["differing"],
        first_differing=found and found["first"],
        max_abs=found and found["max_abs"],
        max_rel=found and found["max_rel"],
        relative_norm=found and found["relative_norm"],
        not_finite=found and found["not_finite"],
    )

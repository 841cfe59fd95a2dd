"""How much a `.mmh` may ask for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NONE", "Limits", "byte_count", "engine_limits"]

_MOST = 2**64 - 1
_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGTP", 1):
    _UNITS |= {f"{_letter}B": 1000**_power, f"{_letter}IB": 1024**_power, _letter: 1024**_power}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a reader accepts; what is over it raises LimitError before any work is done.

    A few bytes can rightly stand for very many (a run of zeros), or claim to. Whatever the limits are, counts and sizes
    are compared with the bytes that are there before memory is taken by them.
    """

    max_bytes: int | None = None
    """Bytes of the original. None: 64 GiB, or 1024 for each byte of the `.mmh` where that is more."""
    max_index: int = 256 << 20
    """Bytes of the index, which is held in memory."""
    max_tensors: int = 1 << 22
    """Tensors, of which a few hundred bytes each are held in memory."""

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_index", "max_tensors"):
            value = getattr(self, name)
            if value is None and name == "max_bytes":
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be a number, not {type(value).__name__}")
            if value < 0:
                raise ValueError(f"{name} must not be negative ({value})")


NONE = Limits(max_bytes=_MOST, max_index=_MOST, max_tensors=_MOST)
"""For looking at what a file says about itself: nothing is restored."""


def engine_limits(limits: Limits | None) -> tuple[int | None, int, int] | None:
    """As the engine takes them."""
    if limits is None:
        return None
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be mmh_rs.Limits(…), not {type(limits).__name__}")
    most = None if limits.max_bytes is None else min(limits.max_bytes, _MOST)
    return most, min(limits.max_index, _MOST), min(limits.max_tensors, _MOST)


def byte_count(text: str) -> int:
    """ "1GB" (10^9), "1GiB" or "1G" (2^30), "500 kB", "4096".

    Raises:
        ValueError: it is no such number.
    """
    letters = text.strip()
    digits = letters.rstrip("bBkKmMgGtTpPiI ")
    unit = _UNITS.get(letters[len(digits) :].strip().upper())
    try:
        number = float(digits)
    except ValueError:
        number = -1.0
    if unit is None or not 0 <= number < 1e18:
        raise ValueError(f"{text!r} is no size (500kB, 1GB, 1.5GiB, 4096)")
    return round(number * unit)

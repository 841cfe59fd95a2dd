"""The header of the safetensors format: https://huggingface.co/docs/safetensors/index#format

A file is a `u64` (little-endian) length, a JSON object of that length, and the tensors' bytes. The object maps names to
`{"dtype", "shape", "data_offsets": [begin, end]}`, the offsets counted from the end of the JSON; `"__metadata__"` maps
text to text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from math import prod
from typing import Any, NamedTuple

from ._core import CorruptionError
from ._dtypes import BITS

__all__ = ["Entry", "Header", "header_bytes", "looks_like_safetensors", "read_header"]

# The limit of safetensors itself.
_LONGEST_HEADER = 100_000_000

# safetensors sorts tensors by dtype, so that each is aligned, and then by name.
_ORDER = [
    "U64",
    "I64",
    "F64",
    "C64",
    "F32",
    "U32",
    "I32",
    "BF16",
    "F16",
    "U16",
    "I16",
    "F8_E5M2FNUZ",
    "F8_E4M3FNUZ",
    "F8_E8M0",
    "F8_E4M3",
    "F8_E5M2",
    "I8",
    "U8",
    "F6_E3M2",
    "F6_E2M3",
    "F4",
    "BOOL",
]


class Entry(NamedTuple):
    """One tensor of a header."""

    name: str
    dtype: str
    shape: list[int]
    start: int
    """Offset in the file, in bytes."""
    nbytes: int


class Header(NamedTuple):
    """A parsed header; `tensors` in the order of their offsets. Of a file that is cut off, those that are whole."""

    metadata: dict[str, str] | None
    tensors: list[Entry]


def looks_like_safetensors(head: bytes, size: int) -> bool:
    """Whether a file of `size` bytes that begins with `head` (9 bytes or more) may be a safetensors file."""
    length = int.from_bytes(head[:8], "little")
    return len(head) >= 9 and head[8:9] == b"{" and 2 <= length <= min(size - 8, _LONGEST_HEADER)


def read_header(read: Callable[[int, int], bytes], size: int) -> Header:
    """Parse the header of a file of `size` bytes.

    Args:
        read: returns `count` bytes from `start`: read(start, count).

    Raises:
        CorruptionError: it is no valid header.
    """
    if size < 9 or not looks_like_safetensors(read(0, 9), size):
        raise CorruptionError("no safetensors header: expected its length and a '{' at byte 0")
    length = int.from_bytes(read(0, 8), "little")
    try:
        document = json.loads(read(8, length))
        metadata = document.pop("__metadata__", None)
        entries = [_entry(name, fields, 8 + length) for name, fields in document.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptionError(f"invalid safetensors header at byte 8: {error}") from None
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    ):
        raise CorruptionError("invalid safetensors header: __metadata__ does not map text to text")
    tensors = [entry for entry in entries if entry.start + entry.nbytes <= size]
    return Header(metadata, sorted(tensors, key=lambda entry: (entry.start, entry.nbytes)))


def _entry(name: str, fields: dict[str, Any], data: int) -> Entry:
    dtype, shape, (begin, end) = fields["dtype"], fields["shape"], fields["data_offsets"]
    if dtype not in BITS:
        raise ValueError(f"tensor {name!r} has the unknown dtype {dtype!r}")
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise ValueError(f"tensor {name!r} has a shape or an offset that is no natural number")
    if not begin <= end or prod(shape) * BITS[dtype] != (end - begin) * 8:
        raise ValueError(f"tensor {name!r} of {dtype} {shape} does not fit its bytes {begin} to {end}")
    return Entry(name, dtype, shape, data + begin, end - begin)


def header_bytes(
    tensors: Iterable[tuple[str, str, list[int]]], metadata: dict[str, str] | None
) -> tuple[bytes, list[str]]:
    """The header of a new file, its length in front and padded with spaces so that the tensors are aligned to 8 bytes.

    Args:
        tensors: (name, safetensors' dtype, shape) of each.
        metadata: text to store beside them.

    Returns:
        The bytes, and the names in the order in which the tensors' bytes have to follow.

    Raises:
        ValueError, TypeError: names or metadata are no text, or a name is "__metadata__".
    """
    document: dict[str, Any] = {}
    if metadata is not None:
        for key, value in metadata.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise TypeError(f"metadata must map text to text, found {key!r}: {value!r}")
        document["__metadata__"] = dict(sorted(metadata.items()))
    position = 0
    names = []
    for name, dtype, shape in sorted(tensors, key=lambda item: (_ORDER.index(item[1]), item[0])):
        if not isinstance(name, str) or name == "__metadata__":
            raise ValueError(f"{name!r} cannot be the name of a tensor")
        end = position + prod(shape) * BITS[dtype] // 8
        document[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, end]}
        names.append(name)
        position = end
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, names

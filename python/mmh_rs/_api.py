"""The functions of the package: arguments are checked and named here, the work is the engine's."""

from __future__ import annotations

import os

from . import _core
from ._buffers import described, readable, writable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias, overload

    from typing_extensions import Buffer

    from ._limits import Limits
    from ._reports import CompressReport, DecompressReport

    StrPath: TypeAlias = str | os.PathLike[str]
    Progress: TypeAlias = Callable[[int, int | None, int], None]

__all__ = [
    "LEVELS",
    "NOT_WORTH",
    "SUFFIX",
    "compress",
    "compress_file",
    "decompress",
    "decompress_file",
    "lent",
    "level_number",
]

SUFFIX = ".mmh"
_LONGEST_PATH = 1 << 15
_MAGIC = b"\x89MMH\r\n\x1a\n"
LEVELS = {"fast": 2, "balanced": 5, "max": 8}
NOT_WORTH = 0.99
"""Stored over original size from which on compressing is in vain."""


def compress(
    data: Any,
    dtype: object = None,
    codec: str = "auto",
    level: str | int = "balanced",
    threads: int | None = None,
    *,
    base: Any = None,
) -> bytes:
    """Compress an array, a tensor or bytes into one `.mmh` in memory.

    Args:
        data: a NumPy array (C-contiguous; read without a copy), a PyTorch tensor (moved to the CPU and made contiguous
            if it is not), or any C-contiguous buffer.
        dtype: the type of the elements. None takes it from the array; plain bytes then have none. Otherwise a name in
            the spelling of NumPy ("bfloat16"), PyTorch ("torch.bfloat16") or safetensors ("BF16"), or a dtype object:
            the bytes are then elements of that type along one axis, or in the array's own shape if its elements are of
            the same width.
        codec: "auto" (the plan picks) or one of the engine's codecs, see `mmh doctor`.
        level: "fast", "balanced", "max", or 1 (fastest) to 9 (smallest).
        threads: how many to use; None, as many as the machine has cores.
        base: what to store differences from, where that is smaller: an array or a tensor of the same shape, such as the
            weights one step ago; bytes; or a path, as in `compress_file`. Bytes and files may be an `.mmh`
            that needs no base itself. Reading the result needs the same base.

    The data must not be changed while it is compressed: the GIL is released meanwhile, and other threads run. A block
    that was changed while it was encoded raises CorruptionError when it is decompressed; others are as they were when
    their turn came.

    Returns:
        The compressed bytes: at most 0.1 % and 1 KiB longer than the data. The same data and settings give the same
        bytes, whatever the number of threads.

    Raises:
        ValueError: the data is not contiguous, its length is no multiple of the dtype's width, or an argument is not
            one of the accepted values; the base needs a base itself.
        TypeError: the data is no buffer, or an argument is of the wrong type.
    """
    codec, level, threads = _codec(codec), level_number(level), _threads(threads)
    view, name, shape = described(data, dtype)
    return _core.compress(view, name, shape, codec, level, threads, False, lent(base, dtype))


if TYPE_CHECKING:

    @overload
    def decompress(
        blob: Buffer, out: None = None, threads: int | None = None, *, limits: Limits | None = None, base: Any = None
    ) -> bytes: ...
    @overload
    def decompress(
        blob: Buffer, out: Any, threads: int | None = None, *, limits: Limits | None = None, base: Any = None
    ) -> int: ...


def decompress(
    blob: Buffer, out: Any = None, threads: int | None = None, *, limits: Limits | None = None, base: Any = None
) -> bytes | int:
    """Decompress what `compress` made, or the content of a `.mmh` file.

    Args:
        blob: the compressed bytes.
        out: a writable C-contiguous buffer to fill: a bytearray, a NumPy array or a CPU tensor of any dtype and shape,
            at least as large as the data. Decompressing into memory that is used again is faster than into fresh
            memory.
        threads: how many to use; None, as many as the machine has cores.
        limits: what is accepted; None, what `Limits()` says. With `out`, its size is the limit.
        base: what it was compressed against: the same bytes, as an array, a tensor, bytes, or a path; or an `.mmh` of
            them. Its hash is compared before anything is restored. It is not looked at where none is needed.

    Returns:
        The bytes; with `out`, how many bytes were written to it.

    Raises:
        CorruptionError: the blob is damaged.
        UnsupportedFormatError: it is not an MMH blob, or one of a newer version.
        LimitError: it stands for more than the limits or the memory allow.
        ValueError: `out` is too small, read-only, not contiguous, or in the same memory as the blob or the base; or a
            base is needed and not given.
        MmhError: the base is another one than was compressed against.
    """
    count = _threads(threads)
    view, against = readable(blob), lent(base)
    from ._limits import engine_limits

    allowed = engine_limits(limits)
    if out is None:
        return _core.decompress(view, count, True, allowed, against)
    return _core.decompress_into(view, writable(out), count, True, against)


def compress_file(
    source: StrPath,
    target: StrPath | None = None,
    *,
    codec: str = "auto",
    level: str | int = "balanced",
    threads: int | None = None,
    verify: bool = True,
    sha256: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    base: StrPath | None = None,
    parity: int | None = None,
    independent: bool = False,
) -> CompressReport:
    """Compress a file. The source is kept.

    Args:
        source: any file; tensors are found in safetensors, GGUF, PyTorch, ONNX, HDF5, TFLite and NumPy files and in tar
            archives of them.
        target: the `.mmh` to write; None adds ".mmh" to the source's name. It appears whole or not at all.
        codec, level, threads: as in `compress`.
        verify: read the result back and compare it with the source's hash before it gets its name.
        sha256: store the SHA-256 of the source as well.
        force: overwrite an existing target.
        progress: called as progress(source bytes done, source bytes in all or None, stored bytes so far); while
            a base is hashed and while parity is added, with the bytes of the base, and of the `.mmh`. An exception that
            it raises stops the work, and nothing is left behind.
        base: a file to store differences from: what was fine-tuned, or the checkpoint before; or an `.mmh` of it that
            needs no base itself. Tensors are matched by name and shape; the dtype may be another one (F32 cast to BF16,
            say). Reading the result needs the same base.
        parity: percent of parity behind the file, 1 to 100, with which `repair` mends damage; None for none.
        independent: store every tensor without the help of others of the file, but for equal ones. Else tensors that
            are the same weights in another dtype, or some steps later, are stored as differences where that is smaller;
            to read one of them takes reading another one, too.

    Raises:
        FileNotFoundError, FileExistsError, IsADirectoryError, PermissionError, OSError: as the file system has it.
        ValueError, TypeError: an argument is not one of the accepted values; the base needs a base itself; or the
            target is the source, the base, or no regular file.
        MmhError: the result did not verify, or the base changed.
    """
    from ._reports import CompressReport

    path = _path(source, "source")
    goal = path + SUFFIX if target is None else _path(target, "target")
    report = _core.compress_file(
        path,
        goal,
        _codec(codec),
        level_number(level),
        _threads(threads),
        verify,
        sha256,
        force,
        None,
        progress,
        _base(base),
        parity_percent(parity),
        independent,
    )
    report["source"], report["target"] = path, goal  # as they were given; the engine's are for printing
    return CompressReport(**report)


def decompress_file(
    source: StrPath,
    target: StrPath | None = None,
    *,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    base: StrPath | None = None,
    limits: Limits | None = None,
) -> DecompressReport:
    """Restore a file, byte for byte. The `.mmh` is kept.

    Args:
        source: the `.mmh`.
        target: the file to write; None takes ".mmh" off the source's name. It appears whole or not at all.
        threads, force, progress: as in `compress_file`.
        base: what the file was compressed against, or an `.mmh` of it. Its hash is compared before anything is written.
            Files that were compressed without one do not look at it.
        limits: what is accepted; None, what `Limits()` says.

    Raises:
        CorruptionError: the file is damaged; nothing is written.
        UnsupportedFormatError: it is not an MMH file, or one of a newer version.
        LimitError: it stands for more than the limits allow.
        ValueError: no target is given and the source's name does not end in ".mmh"; a base is needed and not given; or
            the target is the source, the base, or no regular file.
        MmhError: the base is another file than the one that was compressed against.
        FileNotFoundError, FileExistsError, OSError: as the file system has it.
    """
    from ._limits import engine_limits
    from ._reports import DecompressReport

    path = _path(source, "source")
    if target is not None:
        goal = _path(target, "target")
    elif path.endswith(SUFFIX) and os.path.basename(path) != SUFFIX:
        goal = path[: -len(SUFFIX)]
    else:
        raise ValueError(f"{path!r} does not end in {SUFFIX}; name the target")
    allowed = engine_limits(limits)
    report = _core.decompress_file(path, goal, _threads(threads), True, force, progress, _base(base), allowed)
    report["source"], report["target"] = path, goal
    return DecompressReport(**report)


def level_number(level: str | int) -> int:
    """1 to 9 for a level's name or number.

    Raises:
        ValueError, TypeError: it is not one.
    """
    accepted = "accepted: 'fast', 'balanced', 'max', or 1 to 9"
    if isinstance(level, str):
        if level in LEVELS:
            return LEVELS[level]
        raise ValueError(f"unknown level {level!r}; {accepted}")
    if isinstance(level, bool) or not hasattr(level, "__index__"):
        raise TypeError(f"level must be a name or a number, not {type(level).__name__}; {accepted}")
    number = level.__index__()
    if not 1 <= number <= 9:
        raise ValueError(f"level {number} is out of range; {accepted}")
    return number


def parity_percent(percent: int | None) -> int | None:
    """1 to 100, or None for no parity.

    Raises:
        ValueError, TypeError: it is neither.
    """
    accepted = "accepted: 1 to 100"
    if percent is None:
        return None
    if isinstance(percent, bool) or not hasattr(percent, "__index__"):
        raise TypeError(f"parity must be a number, not {type(percent).__name__}; {accepted}")
    number = percent.__index__()
    if not 1 <= number <= 100:
        raise ValueError(f"parity of {number} percent is out of range; {accepted}")
    return number


def is_hash(text: str) -> bool:
    """Whether it is BLAKE3 or SHA-256 in hexadecimal. A file of such a name is ./ and the name."""
    return len(text) == 64 and not text.lower().strip("0123456789abcdef")


def _codec(codec: str) -> str:
    accepted = "accepted: " + ", ".join(_core.CODECS)
    if not isinstance(codec, str):
        raise TypeError(f"codec must be a name, not {type(codec).__name__}; {accepted}")
    if codec not in _core.CODECS:
        raise ValueError(f"unknown codec {codec!r}; {accepted}")
    return codec


def _threads(threads: int | None) -> int:
    """The engine's number of threads: 0 is all cores."""
    accepted = "accepted: a number of threads, or None for all cores"
    if threads is None:
        return 0
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise TypeError(f"threads must be a number, not {type(threads).__name__}; {accepted}")
    number = threads.__index__()
    if number < 0:
        raise ValueError(f"threads must not be negative ({number}); {accepted}")
    return min(number, 1 << 16)


def lent(base: Any, dtype: object = None) -> str | tuple[memoryview, str | None, list[int] | None] | None:
    """A base as the engine takes it: a path, or bytes with the dtype and the shape that they have as an array.

    Args:
        base: a path, an array, a tensor or a buffer; or None.
        dtype: of the elements, as in `compress`. The bytes of an `.mmh` are not elements of it.

    Raises:
        ValueError, TypeError: as `compress` has them of its data.
    """
    if base is None or isinstance(base, (str, os.PathLike)):
        return _base(base)
    view, own, shape = described(base, None)
    if dtype is None or (own is None and bytes(view[: len(_MAGIC)]) == _MAGIC):
        return view, own, shape
    return described(base, dtype)


def _base(path: StrPath | None) -> str | None:
    return None if path is None else _path(path, "base")


def _path(path: StrPath, what: str) -> str:
    if isinstance(path, bytes) and (len(path) > _LONGEST_PATH or 0 in path):
        raise TypeError(f"{what} must be a path, not content ({len(path):,} bytes)")
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"{what} must be a path, not {type(path).__name__}") from None

"""Reading `.mmh` files: whole tensors, parts of them, or any range of the original bytes."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, BinaryIO

from . import _core
from ._api import _path, _threads, is_hash, lent
from ._buffers import readable, writable
from ._frameworks import Framework, NumPy
from ._limits import Limits, engine_limits
from ._safetensors import read_header

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TypeAlias

    import numpy.typing as npt
    from typing_extensions import Buffer

    from ._core import BaseRecord, CodecTotal, Damage, Parity, Why

    StrPath: TypeAlias = str | os.PathLike[str]
    Progress: TypeAlias = Callable[[int, int | None, int], None]

__all__ = ["Archive", "Header", "TensorInfo", "TensorSlice", "Verification", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a `.mmh` says about itself. Sizes are in bytes."""

    version: int
    """Version of the container format."""
    name: str
    """Name of the original file; empty where there was none."""
    format: str
    """"safetensors", "gguf", "pytorch", "pytorch-legacy", "onnx", "hdf5", "tflite", "npy", "npz", "tar", "array", or
    "opaque" for any other."""
    source_bytes: int
    stored_bytes: int
    frames: int
    tensors: int
    """Tensors in the index. A small safetensors file has none there; `Archive.keys` knows them all the same."""
    blake3: str | None
    sha256: str | None
    codecs: dict[str, CodecTotal]
    """Frames, original bytes and stored bytes, by codec."""
    base: BaseRecord | None
    """What it was compressed against: name, bytes, blake3, and needed (whether some block is a difference from it)."""
    parity: Parity | None
    """What it is protected by, as `mmh_rs.Parity` has it."""

    @property
    def ratio(self) -> float:
        """Stored over original size (smaller is better); 1.0 for an empty original."""
        return self.stored_bytes / self.source_bytes if self.source_bytes else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """One tensor of an archive."""

    name: str
    dtype: str
    """safetensors' name: "BF16", "F32", …"""
    shape: tuple[int, ...]
    fortran: bool
    """Whether the first axis is the contiguous one."""
    start: int
    """Offset in the original file, in bytes."""
    nbytes: int
    """Size in the original file."""
    stored: int | None
    """Bytes of its frames; None where the archive has no index of tensors."""
    codecs: tuple[str, ...]
    """Codecs of its frames, the one with most bytes first."""
    frames: int
    blake3: str | None
    """BLAKE3 of its bytes, in hexadecimal."""
    copy_of: str | None
    """The earlier tensor with the same bytes that it is a reference to; None also where its blocks refer to several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What `Archive.verify` found. True where everything is sound, and as it is in `against`."""

    ok: bool
    source_bytes: int
    stored_bytes: int
    frames: int
    tensors: int
    seconds: float
    damaged: list[Damage]
    """Each damaged place: frame, offset (byte of the `.mmh`), source_start, source_bytes, codec, tensor, what."""
    matches: bool | None
    """Whether the restored bytes are those of `against`; None where that was not given, or where damage leaves it
    open."""

    def __bool__(self) -> bool:
        return self.ok


def open(source: StrPath | Buffer | BinaryIO, *, base: Any = None, limits: Limits | None = None) -> Archive:
    """Open a `.mmh` for reading.

    Args:
        source: a path; the bytes of a `.mmh`; a binary file object that can seek (used under a lock, and left open;
            it serves one archive, in one process: two archives, or both sides of a fork, would seek under each other);
            or an http(s) URL, of which only the ranges that are needed are fetched.
        base: the path of what it was compressed against, or of an `.mmh` of that; or the bytes of either, or an array
            or a tensor of them, in memory. Without it everything can be listed, and blocks that are differences from it
            raise ValueError when they are read. Its length is compared here, and its hash where an `.mmh` records it;
            the hash of anything else is computed by `Archive.verify`, and as soon as a block that is read does not have
            its checksum.
        limits: what is accepted; None, what `Limits()` says.

    Raises:
        UnsupportedFormatError: it is not an MMH file, or one of a newer version.
        CorruptionError: its header, index or footer is damaged.
        LimitError: it stands for more than the limits allow.
        FileNotFoundError, OSError: it cannot be read.
        TypeError: `source` is none of these, or a file that was opened as text.
        MmhError: the base is another file than the one that was compressed against.
    """
    against, allowed = lent(base), engine_limits(limits)
    if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
        from ._http import RangeReader

        remote = RangeReader(source)
        try:
            return Archive(_core.Archive.open_object(remote, against, allowed), source, remote)
        except BaseException:
            remote.close()
            raise
    if isinstance(source, (str, os.PathLike)):
        path = os.fsdecode(source)
        return Archive(_core.Archive.open_path(path, against, allowed), path)
    if hasattr(source, "read") and hasattr(source, "seek"):
        if isinstance(source, io.TextIOBase):
            raise TypeError('the file was opened as text; open it in binary mode, "rb"')
        if hasattr(source, "seekable") and not source.seekable():
            raise ValueError("the file object cannot seek; read it into bytes, or into a file, first")
        return Archive(_core.Archive.open_object(source, against, allowed), getattr(source, "name", None))
    return Archive(_core.Archive.open_buffer(readable(source), against, allowed), None)


class Archive:
    """An open `.mmh`, made by `mmh_rs.open`. Any number of threads may read from it at once.

    A context manager; iterating over it, `in` and `len` speak of the names of its tensors.
    """

    __slots__ = ("_closed", "_core", "_remote", "_source", "_tensors")

    def __init__(self, core: _core.Archive, source: object = None, remote: Any = None) -> None:
        self._core = core
        self._source = source
        self._remote = remote
        self._tensors: dict[str, TensorInfo] | None = None
        self._closed = False

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. Reading afterwards raises ValueError; slices that were taken before stay readable."""
        if not self._closed:
            self._closed = True
            del self._core
            # Slices may hold it; it has no connection that is open.
            self._remote = None

    def __repr__(self) -> str:
        if self._closed:
            return "<mmh_rs.Archive, closed>"
        header = self._core.header()
        return f"<mmh_rs.Archive of {header['name']!r}, {len(self)} tensors, {header['source_bytes']} bytes>"

    def __contains__(self, name: object) -> bool:
        return name in self._infos()

    def __len__(self) -> int:
        if self._tensors is None and self._is_listed():
            return self._engine().indexed
        return len(self._infos())

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos())

    @property
    def header(self) -> Header:
        """What the file says about itself."""
        return Header(**self._engine().header())

    def keys(self) -> list[str]:
        """The names of the tensors, in the order of their offsets."""
        return list(self._infos())

    def infos(self) -> list[TensorInfo]:
        """All tensors, in the order of their offsets."""
        return list(self._infos().values())

    def info(self, name: str) -> TensorInfo:
        """What is known about one tensor.

        Raises:
            KeyError: there is no such tensor.
        """
        if self._tensors is None and self._is_listed():
            # The others are not described for the sake of one.
            return _info(self._engine().tensor(name))
        return self._infos()[name]

    def get(self, name: str) -> npt.NDArray[Any]:
        """One tensor as a new NumPy array of its dtype and shape.

        One of GGUF's quantized types comes as `uint8`, its last axis counting bytes.

        Raises:
            KeyError: there is no such tensor.
            ImportError: it is bfloat16 or fp8, and ml_dtypes is not installed.
            TypeError: NumPy cannot hold its dtype (packed F4, F6); take its bytes with `get_into`.
            CorruptionError: its bytes are damaged.
        """
        array: npt.NDArray[Any] = self.get_slice(name)[...]
        return array

    def get_into(self, name: str, out: Any, threads: int | None = None) -> int:
        """Fill `out` with the bytes of one tensor, in the order of the file.

        Args:
            out: a writable C-contiguous buffer (bytearray, NumPy array, CPU tensor, …) of exactly the tensor's bytes. A
                tensor whose first axis is the contiguous one (`TensorInfo.fortran`) fills an array of its shape that is
                in that order, `numpy.empty(shape, dtype, order="F")`.
            threads: how many to use; None, as many as the machine has cores.

        Returns:
            The number of bytes.

        Raises:
            KeyError: there is no such tensor.
            ValueError: `out` is of another size or order, read-only or not contiguous.
            CorruptionError: the tensor is damaged; the content of `out` is then undefined.
        """
        info = self.info(name)
        if info.fortran and len(info.shape) > 1 and tuple(getattr(out, "shape", ())) == info.shape:
            if not getattr(getattr(out, "flags", None), "f_contiguous", False):
                raise ValueError(f"tensor {name!r} is in Fortran order; pass an array in that order, or use get")
            out = out.T
        view = writable(out)
        if len(view) != info.nbytes:
            raise ValueError(f"out has {len(view)} bytes, tensor {name!r} has {info.nbytes}")
        self._engine().read_into(info.start, view, _threads(threads))
        return len(view)

    def get_slice(self, name: str) -> TensorSlice:
        """A tensor that is read when it is indexed, and only as far as needed: `archive.get_slice(name)[10:20]`.

        Raises:
            KeyError: there is no such tensor.
        """
        return TensorSlice(self._engine(), self.info(name), NumPy())

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes of the original file from offset `start`; only the frames that hold them are read.

        Raises:
            ValueError: they are not within the original file.
            CorruptionError: they are damaged.
        """
        return _read(self._engine(), start, size)

    def read_into(self, start: int, out: Any, threads: int | None = None) -> int:
        """Fill `out`, a writable C-contiguous buffer, with bytes of the original file from offset `start`.

        Returns:
            The number of bytes.

        Raises:
            ValueError, CorruptionError: as for `read`.
        """
        view = writable(out)
        engine = self._engine()
        _check_range(engine, start, len(view))
        engine.read_into(start, view, _threads(threads))
        return len(view)

    def verify(
        self,
        threads: int | None = None,
        progress: Progress | None = None,
        *,
        against: StrPath | None = None,
    ) -> Verification:
        """Decode every frame and compare all checksums and hashes. Damage is reported, not raised.

        Args:
            threads: how many to use; None, as many as the machine has cores.
            progress: called as progress(source bytes done, source bytes in all, stored bytes so far); an exception that
                it raises stops the work.
            against: what is to be restored. 64 hexadecimal digits are its BLAKE3 or its SHA-256; anything else is the
                path of the original file, or of another `.mmh`, of which the hash that it records is taken.

        Raises:
            FileNotFoundError, OSError: `against`, or the archive, cannot be read.
            CorruptionError: `against` is an `.mmh` that is damaged.
            ValueError: a base is needed and was not given.
            MmhError: the base is another file than the one that was compressed against.
        """
        digest = file = None
        if isinstance(against, str) and is_hash(against):
            digest = bytes.fromhex(against)
        elif against is not None:
            file = _path(against, "against")
        return Verification(**self._engine().verify(_threads(threads), progress, digest, file))

    def why(self, progress: Progress | None = None) -> list[Why]:
        """What the plan sees in each segment, which codecs bid what, and which ones its frames are of.

        A dict for each segment: name and dtype (None for opaque bytes), start and bytes (of the original), stored
        (bytes), chosen (the codec of its first block), frames ({codec: how many}), seen ({what: value}, as
        exponent_bits or period), and bids (a list of dicts: codec, estimate, stored over original size or None where it
        does not bid, and reason). `chosen` and `frames` are read from the file; what is seen and bid is of the first
        block, looked at anew at the default level.

        Args:
            progress: as in `compress_file`.
        """
        return self._engine().why(progress=progress)

    def _engine(self) -> _core.Archive:
        if self._closed:
            raise ValueError("the archive is closed")
        return self._core

    def _is_listed(self) -> bool:
        """Whether the index has the tensors; of small files it may leave them to the header of the source."""
        engine = self._engine()
        return bool(engine.indexed) or engine.format != "safetensors"

    def _infos(self) -> dict[str, TensorInfo]:
        engine = self._engine()
        if self._tensors is None:
            # Two threads may both come here; they build the same table.
            if self._is_listed():
                infos = [_info(tensor) for tensor in engine.tensors()]
            else:
                infos = _from_source(engine, engine.header()["source_bytes"])
            self._tensors = {info.name: info for info in infos}
        return self._tensors


class TensorSlice:
    """One tensor of an archive that is read when it is indexed.

    Leading integers and a slice after them narrow what is read from the file: `[3, 10:20]` of a tensor of shape
    (8, 1000, 64) reads the blocks that hold those 10 rows. A step, and whatever follows, is applied in memory.
    """

    __slots__ = ("_core", "_framework", "_info")

    def __init__(self, core: _core.Archive, info: TensorInfo, framework: Framework) -> None:
        self._core = core
        self._info = info
        self._framework = framework

    def __repr__(self) -> str:
        return f"<mmh_rs.TensorSlice of {self._info.name!r}, {self._info.dtype} {list(self._info.shape)}>"

    def get_shape(self) -> list[int]:
        """The shape of the whole tensor."""
        return list(self._info.shape)

    def get_dtype(self) -> str:
        """safetensors' name of its dtype: "BF16", "F32", …"""
        return self._info.dtype

    def __getitem__(self, index: Any) -> Any:
        """A new array or tensor with the elements of `index`.

        NumPy: integers, slices with a positive step, one Ellipsis, and tuples of them. PyTorch: all that tensors take.

        Raises:
            IndexError: the tensor has no such element.
            ValueError: PyTorch, a step below 1.
            CorruptionError: the bytes are damaged.
        """
        info, framework = self._info, self._framework
        shape = framework.storage_shape(info.dtype, list(info.shape))
        items = framework.check(index if isinstance(index, tuple) else (index,), shape)
        if info.fortran:
            tensor, view = framework.empty(info.dtype, shape[::-1])
            self._core.read_into(info.start, view)
            return framework.place(framework.take(framework.transpose(tensor), items))
        offset, part, items = _narrow(items, shape)
        tensor, view = framework.empty(info.dtype, part)
        if len(view):
            width = info.nbytes // prod(shape)
            self._core.read_into(info.start + offset * width, view)
        return framework.place(framework.take(tensor, items))


def _narrow(items: tuple[Any, ...], shape: list[int]) -> tuple[int, list[int], tuple[Any, ...]]:
    """The smallest contiguous run of elements that holds what `items` asks for.

    Returns:
        The offset of its first element, its shape, and the index that is left to apply to it.
    """
    if any(not (item is None or item is Ellipsis or type(item) is int or isinstance(item, slice)) for item in items):
        return 0, shape, items  # lists, masks and the like: they act on all axes together
    if items.count(Ellipsis) == 1 and sum(item is not None for item in items) == len(shape) + 1:
        items = tuple(item for item in items if item is not Ellipsis)  # it stands for no axis
    offset, part, used = 0, list(shape), 0
    while used < len(items) and type(items[used]) is int:
        rows = part.pop(0)
        if not -rows <= items[used] < rows:
            raise IndexError(f"index {items[used]} is out of bounds for dimension {used} with size {rows}")
        offset += items[used] % rows * prod(part)
        used += 1
    items = items[used:]
    if items and isinstance(items[0], slice):
        start, stop, step = items[0].indices(part[0])
        count = len(range(start, stop, step))
        if count:
            offset += start * prod(part[1:])
        part[0] = (count - 1) * step + 1 if count else 0
        rest = items[1:]
        items = (slice(None, None, step), *rest) if step > 1 or rest else ()
    elif items == (Ellipsis,):
        items = ()
    return offset, part, items


def _read(core: _core.Archive, start: int, size: int) -> bytes:
    _check_range(core, start, size)
    out = bytearray(size)
    core.read_into(start, out)
    return bytes(out)


def _check_range(core: _core.Archive, start: int, size: int) -> None:
    # Before anything is allocated by it.
    total = core.header()["source_bytes"]
    if start < 0 or size < 0 or start + size > total:
        raise ValueError(f"bytes {start} to {start + size} are not within the original file of {total} bytes")


def _info(tensor: _core.Tensor) -> TensorInfo:
    return TensorInfo(
        name=tensor["name"],
        dtype=tensor["dtype"],
        shape=tuple(tensor["shape"]),
        fortran=tensor["fortran"],
        start=tensor["start"],
        nbytes=tensor["bytes"],
        stored=tensor["stored"],
        codecs=tuple(tensor["codecs"]),
        frames=tensor["frames"],
        blake3=tensor["blake3"],
        copy_of=tensor["copy_of"],
    )


def _from_source(core: _core.Archive, size: int) -> list[TensorInfo]:
    """The tensors of a safetensors file too small to be worth an index: from its own header."""
    header = read_header(lambda start, count: _read(core, start, count), size)
    return [
        TensorInfo(
            name=entry.name,
            dtype=entry.dtype,
            shape=tuple(entry.shape),
            fortran=False,
            start=entry.start,
            nbytes=entry.nbytes,
            stored=None,
            codecs=(),
            frames=0,
            blake3=None,
            copy_of=None,
        )
        for entry in header.tensors
    ]

"""`safe_open`: the reader of safetensors, version 0.8, for `.mmh` files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ._core import MmhError
from ._frameworks import framework_named
from ._safetensors import looks_like_safetensors, read_header
from .archive import Archive, TensorSlice
from .archive import open as open_archive

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["safe_open"]

_MAGIC = b"\x89MMH\r\n\x1a\n"


class safe_open:  # noqa: N801 - the name that it has in safetensors
    """Opens a `.mmh` of a safetensors file and reads its tensors as they are asked for.

        with safe_open("model.safetensors.mmh", framework="pt", device="cpu") as f:
            for name in f.keys():
                tensor = f.get_tensor(name)
            rows = f.get_slice(name)[:128]

    A plain `.safetensors` file is handed to safetensors' own `safe_open` if that is installed, so that code can import
    this one for both. Archives of other formats with tensors in them (GGUF, .npy, .npz, …) can be read too; they
    have no metadata. Any number of threads may read at once.

    Args:
        filename: the path.
        framework: "pt" ("torch", "pytorch") for PyTorch tensors, "np" ("numpy") for NumPy arrays (bfloat16 and fp8 by
            ml_dtypes).
        device: where PyTorch tensors are put, e.g. "cpu", "cuda:0", or 0 for the latter.
        backend: for plain safetensors files; without meaning for `.mmh`.
        base: what the `.mmh` was compressed against, as for `mmh_rs.open`; without meaning for others.

    Raises:
        FileNotFoundError, OSError: the file cannot be read.
        UnsupportedFormatError: it is neither an MMH nor a safetensors file, or of a newer version.
        CorruptionError: it is damaged.
        MmhError: the framework is unknown, or the file holds no tensors.
        RuntimeError: PyTorch does not know the device, or it is not there.
        ImportError: PyTorch, ml_dtypes or safetensors is needed and not installed.
    """

    _archive: Archive | None

    def __new__(
        cls,
        filename: str | os.PathLike[str],
        framework: str,
        device: Any = "cpu",
        *,
        backend: str = "mmap",
        base: str | os.PathLike[str] | None = None,
    ) -> Any:
        if isinstance(filename, (bytes, bytearray)):
            raise TypeError(f"filename must be str or os.PathLike, not {type(filename).__name__}")
        path = os.fspath(filename)
        if _is_plain_safetensors(path):
            return _delegate(path, framework, device, backend)
        return super().__new__(cls)

    def __init__(
        self,
        filename: str | os.PathLike[str],
        framework: str,
        device: Any = "cpu",
        *,
        backend: str = "mmap",
        base: str | os.PathLike[str] | None = None,
    ) -> None:
        self._archive = None
        self._framework = framework_named(framework, device)
        archive = open_archive(os.fspath(filename), base=base)
        if not len(archive) and archive.header.format != "safetensors":
            archive.close()
            raise MmhError(f"{os.fspath(filename)} holds no tensors; read its bytes with mmh_rs.open or decompress it")
        self._archive = archive

    def __enter__(self) -> safe_open:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        archive, self._archive = self._archive, None
        if archive is not None:
            archive.close()

    def keys(self) -> list[str]:
        """The names of the tensors, sorted."""
        return sorted(self._open().keys())

    def offset_keys(self) -> list[str]:
        """The names of the tensors, in the order of their offsets."""
        return self._open().keys()

    def metadata(self) -> dict[str, str] | None:
        """The text that was saved beside the tensors, or None."""
        archive = self._open()
        header = archive.header
        if header.format != "safetensors":
            return None
        return read_header(archive.read, header.source_bytes).metadata

    def get_tensor(self, name: str) -> Any:
        """One tensor, in the framework and on the device that the file was opened for.

        Raises:
            MmhError: there is no such tensor.
            CorruptionError: it is damaged.
        """
        return self.get_slice(name)[...]

    def get_tensors(self) -> dict[str, Any]:
        """All tensors by name, in the order of their offsets."""
        return {name: self.get_tensor(name) for name in self.offset_keys()}

    def get_slice(self, name: str) -> TensorSlice:
        """A tensor that is read when it is indexed, and only as far as needed: `f.get_slice(name)[:128]`.

        Raises:
            MmhError: there is no such tensor.
        """
        archive = self._open()
        if not isinstance(name, str):
            raise TypeError(f"name must be str, not {type(name).__name__}")
        try:
            info = archive.info(name)
        except KeyError:
            raise MmhError(f"File does not contain tensor {name}") from None
        return TensorSlice(archive._engine(), info, self._framework)

    def _open(self) -> Archive:
        if self._archive is None:
            raise MmhError("File is closed")
        return self._archive


def _is_plain_safetensors(path: str) -> bool:
    if path.lower().startswith(("http://", "https://")):
        return False
    with open(path, "rb") as file:
        head = file.read(9)
        return head[:8] != _MAGIC and looks_like_safetensors(head, os.fstat(file.fileno()).st_size)


def _delegate(path: str, framework: str, device: Any, backend: str) -> Any:
    try:
        import safetensors
    except ImportError:
        raise ImportError(
            f"{path} is a plain safetensors file, which needs safetensors: pip install 'mmh-rs[safetensors]'"
        ) from None
    # Passed on only where it says something: safetensors below 0.8 does not know it.
    options = {} if backend == "mmap" else {"backend": backend}
    return safetensors.safe_open(path, framework=framework, device=device, **options)

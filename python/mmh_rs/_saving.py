"""Writing tensors as a `.mmh` whose original is a safetensors file."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ._api import SUFFIX, compress_file
from ._safetensors import header_bytes

__all__ = ["Item", "archived_name", "folder_in", "save_bytes", "save_path"]


class Item(NamedTuple):
    """One tensor to save."""

    name: str
    dtype: str
    shape: list[int]
    data: Callable[[], memoryview]
    """Gives its bytes when their turn comes, so that a tensor on a GPU is copied to the host alone."""


def save_path(items: Sequence[Item], filename: str | os.PathLike[str], metadata: dict[str, str] | None) -> None:
    """Write the tensors to `filename`, over what may be there, as safetensors does."""
    goal = os.path.abspath(os.fsdecode(filename))
    _save(items, goal, archived_name(goal), metadata, os.path.dirname(goal))


def archived_name(goal: str) -> str:
    """The name of the safetensors file that the `.mmh` at `goal` restores."""
    name = os.path.basename(goal).removesuffix(SUFFIX)
    return name if name.endswith(".safetensors") else name + ".safetensors"


def save_bytes(items: Sequence[Item], metadata: dict[str, str] | None) -> bytes:
    """The `.mmh` as bytes."""
    with tempfile.TemporaryDirectory(prefix="mmh-") as folder:
        goal = os.path.join(folder, "blob" + SUFFIX)
        _save(items, goal, "model.safetensors", metadata, folder)
        with open(goal, "rb") as file:
            return file.read()


def folder_in(directory: str) -> tempfile.TemporaryDirectory[str]:
    """A temporary directory there.

    Raises:
        FileNotFoundError: of the directory, where it is not there; the name of the temporary one means nothing.
    """
    if not os.path.isdir(directory):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)
    return tempfile.TemporaryDirectory(prefix=".mmh-", dir=directory)


def _save(items: Sequence[Item], goal: str, name: str, metadata: dict[str, str] | None, beside: str) -> None:
    # Through a file rather than through memory: the tensors are held by the caller already, and a second and third
    # copy of a large model would not fit. The file's name is what the archive remembers.
    head, order = header_bytes([(item.name, item.dtype, item.shape) for item in items], metadata)
    by_name = {item.name: item for item in items}
    with folder_in(beside) as folder:
        source = os.path.join(folder, name)
        with open(source, "xb") as file:
            file.write(head)
            for key in order:
                file.write(by_name[key].data())
        compress_file(source, goal, verify=False, force=True)

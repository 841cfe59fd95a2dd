"""PyTorch tensors in `.mmh` files: the verbs of `safetensors.torch`.

    from mmh_rs.torch import load_file, save_file

    save_file(model.state_dict(), "model.safetensors.mmh")
    state = load_file("model.safetensors.mmh", device="cuda:0")

What is compressed is a real safetensors file: `mmh decompress model.safetensors.mmh` gives one that every other tool
reads.
"""

from __future__ import annotations

import os
from functools import partial
from itertools import pairwise

import torch  # type: ignore[import-not-found, unused-ignore]

from ._api import compress_file
from ._buffers import readable
from ._dtypes import dtype_name
from ._frameworks import PyTorch
from ._safe_open import safe_open
from ._saving import Item, archived_name, folder_in, save_bytes, save_path
from .archive import TensorSlice
from .archive import open as open_archive

__all__ = ["load", "load_file", "load_model", "save", "save_file", "save_model"]


def save_file(
    tensors: dict[str, torch.Tensor],
    filename: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
) -> None:
    """Save tensors to a `.mmh`, over what may be there.

    Args:
        tensors: dense, contiguous tensors by name, on any device, that share no memory.
        filename: the `.mmh` to write. A safetensors file of the uncompressed size is written beside it for a moment.
        metadata: text to store beside them.

    Raises:
        ValueError: a tensor is sparse or not contiguous.
        RuntimeError: tensors share memory (save such models with `save_model`).
        TypeError: the metadata is not text.
    """
    save_path(_items(tensors), filename, metadata)


def save(tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """The content of the `.mmh` that `save_file` writes; arguments and errors as there."""
    return save_bytes(_items(tensors), metadata)


def load_file(
    filename: str | os.PathLike[str],
    device: str | int | torch.device = "cpu",
    *,
    backend: str = "mmap",
    base: str | os.PathLike[str] | None = None,
) -> dict[str, torch.Tensor]:
    """All tensors of a `.mmh` (or of a plain safetensors file, if safetensors is installed), by name.

    Args:
        filename: the path.
        device: where the tensors are put.
        backend: for plain safetensors files; without meaning for `.mmh`.
        base: what the `.mmh` was compressed against, as for `mmh_rs.open`.

    Raises:
        FileNotFoundError, OSError, MmhError and its kinds: as for `mmh_rs.safe_open`.
    """
    with safe_open(filename, framework="pt", device=device, backend=backend, base=base) as file:
        tensors: dict[str, torch.Tensor] = file.get_tensors()
        return tensors


def load(data: bytes) -> dict[str, torch.Tensor]:
    """All tensors of the content of a `.mmh`, by name, on the CPU; errors as for `load_file`."""
    with open_archive(readable(data)) as archive:
        cpu = PyTorch()
        return {name: TensorSlice(archive._engine(), archive.info(name), cpu)[...] for name in archive}


def save_model(
    model: torch.nn.Module,
    filename: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
    force_contiguous: bool = True,
) -> None:
    """Save a module, tensors that share memory once, as `safetensors.torch.save_model` does (and by means of it).

    Raises:
        ImportError: safetensors is not installed.
        RuntimeError, ValueError: as safetensors raises them.
    """
    try:
        from safetensors.torch import save_model as save_plain
    except ImportError:
        raise ImportError("save_model needs safetensors: pip install 'mmh-rs[safetensors]'") from None
    goal = os.path.abspath(os.fsdecode(filename))
    with folder_in(os.path.dirname(goal)) as folder:
        source = os.path.join(folder, archived_name(goal))
        save_plain(model, source, metadata, force_contiguous)
        compress_file(source, goal, verify=False, force=True)


def load_model(
    model: torch.nn.Module,
    filename: str | os.PathLike[str],
    strict: bool = True,
    device: str | int | torch.device = "cpu",
    *,
    backend: str = "mmap",
    base: str | os.PathLike[str] | None = None,
) -> tuple[set[str], list[str]]:
    """Load a file that `save_model` wrote into a module.

    Args:
        strict: raise where names are missing in the file or unknown to the model; otherwise they are returned.
        base: what the file was compressed against, as for `mmh_rs.open`.

    Returns:
        Names of the model that the file does not have (tied to none that it has), and names of the file that the
        model does not have.

    Raises:
        RuntimeError: with `strict`, names differ.
    """
    state = load_file(filename, device=device, backend=backend, base=base)
    missing_names, unexpected = model.load_state_dict(state, strict=False)
    missing = set(missing_names)
    # A name that is missing in the file is loaded all the same if it is tied to one that is there.
    storage = {name: _storage(tensor) for name, tensor in model.state_dict().items()}
    loaded = {storage[name] for name in state if name in storage}
    missing = {name for name in missing if storage.get(name) is None or storage[name] not in loaded}
    if strict and (missing or unexpected):
        lines = [f"Error(s) in loading state_dict for {type(model).__name__}:"]
        if missing:
            lines.append("    Missing key(s) in state_dict: " + ", ".join(f'"{name}"' for name in sorted(missing)))
        if unexpected:
            lines.append(
                "    Unexpected key(s) in state_dict: " + ", ".join(f'"{name}"' for name in sorted(unexpected))
            )
        raise RuntimeError("\n".join(lines))
    return missing, list(unexpected)


def _storage(tensor: torch.Tensor) -> tuple[str, int] | None:
    if tensor.device.type == "meta" or tensor.numel() == 0:
        return None
    return str(tensor.device), tensor.untyped_storage().data_ptr()


def _items(tensors: dict[str, torch.Tensor]) -> list[Item]:
    spans: list[tuple[str, int, int, str]] = []
    items = []
    for key, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{key!r} is {type(tensor).__name__}, expected a torch.Tensor")
        if tensor.layout != torch.strided:
            raise ValueError(f"{key!r} is sparse; save .to_dense() of it")
        if not tensor.is_contiguous():
            raise ValueError(f"{key!r} is not contiguous; save .contiguous() of it")
        if tensor.numel() and tensor.device.type != "meta":
            start = tensor.data_ptr()
            spans.append((str(tensor.device), start, start + tensor.numel() * tensor.element_size(), key))
        try:
            dtype = dtype_name(tensor.dtype)
        except ValueError:
            raise ValueError(f"{key!r} has dtype {tensor.dtype}, which safetensors does not know") from None
        shape = list(tensor.shape)
        if dtype == "F4" and shape:
            shape[-1] *= 2  # two elements in a byte
        items.append(Item(key, dtype, shape, partial(readable, tensor)))
    spans.sort()
    for before, after in pairwise(spans):
        if before[0] == after[0] and after[1] < before[2]:
            raise RuntimeError(
                f"{before[3]!r} and {after[3]!r} share memory, and would be stored twice; use save_model, or save a "
                ".clone() of one"
            )
    return items

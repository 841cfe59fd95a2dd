"""Where tensors are put: NumPy arrays or PyTorch tensors, allocated empty and filled by the engine."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Protocol

from ._buffers import flat_bytes, torch_bytes
from ._core import MmhError
from ._dtypes import BLOCKS, numpy_dtype, torch_dtype, unit

__all__ = ["Framework", "IndexingError", "NumPy", "PyTorch", "framework_named"]


class IndexingError(MmhError, IndexError):
    """An index that the tensor does not have: PyTorch raises IndexError there, safetensors an error of its own."""


class Framework(Protocol):
    """How one library allocates, indexes and places tensors."""

    def storage_shape(self, dtype: str, shape: list[int]) -> list[int]:
        """The shape that the library gives to a tensor of `dtype` (safetensors' name) with `shape` elements."""

    def empty(self, dtype: str, shape: list[int]) -> tuple[Any, memoryview]:
        """A new C-contiguous tensor of a storage shape, and a writable view of its bytes."""

    def check(self, index: tuple[Any, ...], shape: list[int]) -> tuple[Any, ...]:
        """The index in the library's own terms.

        Raises:
            IndexingError: the tensor has no such element.
        """

    def take(self, tensor: Any, index: tuple[Any, ...]) -> Any:
        """A part of a tensor, which does not keep the memory of a larger whole alive."""

    def transpose(self, tensor: Any) -> Any:
        """The axes in reverse order, for tensors stored in Fortran order."""

    def place(self, tensor: Any) -> Any:
        """The tensor on the device that was asked for."""


class NumPy:
    """NumPy arrays. Indices are those that safetensors takes for NumPy: integers, slices with a positive step, and
    one Ellipsis."""

    def storage_shape(self, dtype: str, shape: list[int]) -> list[int]:
        return _in_bytes(dtype, shape) if dtype in BLOCKS else shape

    def empty(self, dtype: str, shape: list[int]) -> tuple[Any, memoryview]:
        resolved = numpy_dtype(dtype)
        import numpy as np

        array = np.empty(shape, resolved)
        flat = array.reshape(-1).view(np.uint8) if array.size else np.empty(0, np.uint8)
        return array, flat_bytes(flat)

    def check(self, index: tuple[Any, ...], shape: list[int]) -> tuple[Any, ...]:
        checked: list[Any] = []
        for position, item in enumerate(index):
            if item is Ellipsis:
                if Ellipsis in checked:
                    raise IndexingError("only one ellipsis (...) is allowed in an index")
                checked.append(item)
            elif isinstance(item, slice):
                checked.append(item)
            elif isinstance(item, list) and not item:
                checked.append(slice(0, 0))
            else:
                try:
                    checked.append(item.__index__())
                except (AttributeError, TypeError):
                    raise IndexingError(
                        f"unsupported index of type {type(item).__name__} at position {position}: "
                        "expected an integer, a slice or an ellipsis"
                    ) from None
        given = sum(item is not Ellipsis for item in checked)
        if given > len(shape):
            raise IndexingError(f"{given} indices for a tensor of {len(shape)} dimensions, shape {shape}")
        if Ellipsis in checked:
            at = checked.index(Ellipsis)
            axes = [*range(at), at, *range(len(shape) - (len(checked) - at - 1), len(shape))]
        else:
            axes = list(range(len(checked)))
        for axis, item in zip(axes, checked, strict=True):
            if isinstance(item, slice):
                _check_step(item, IndexingError)
            elif item is not Ellipsis and not -shape[axis] <= item < shape[axis]:
                raise IndexingError(f"index {item} is out of bounds for dimension {axis} of size {shape[axis]}")
        return tuple(checked)

    def take(self, tensor: Any, index: tuple[Any, ...]) -> Any:
        import numpy as np

        if not index:
            return tensor
        part = np.asarray(tensor[index])
        return part if part.size == tensor.size and part.flags.c_contiguous else part.copy()

    def transpose(self, tensor: Any) -> Any:
        return tensor.T

    def place(self, tensor: Any) -> Any:
        return tensor


class PyTorch:
    """PyTorch tensors on one device, with PyTorch's own indexing."""

    def __init__(self, device: Any = "cpu") -> None:
        import torch  # type: ignore[import-not-found, unused-ignore]

        self._torch = torch
        self._device = torch.device(device)

    def storage_shape(self, dtype: str, shape: list[int]) -> list[int]:
        return _in_bytes(dtype, shape) if dtype in BLOCKS or (dtype == "F4" and shape) else shape

    def empty(self, dtype: str, shape: list[int]) -> tuple[Any, memoryview]:
        tensor = self._torch.empty(shape, dtype=torch_dtype(dtype))
        return tensor, torch_bytes(tensor)

    def check(self, index: tuple[Any, ...], shape: list[int]) -> tuple[Any, ...]:
        given = 0
        checked: list[Any] = []
        for item in index:
            if isinstance(item, slice):
                _check_step(item, ValueError)
            given += item is not None and item is not Ellipsis and not isinstance(item, bool)
            # NumPy's integers as Python's, whose rows are read alone; a bool is a mask to PyTorch.
            integer = isinstance(item, Integral) and not isinstance(item, bool)
            checked.append(int(item) if integer else item)
        if given > len(shape) and not any(hasattr(item, "dtype") for item in checked):
            raise IndexingError(f"too many indices for tensor of dimension {len(shape)}")
        return tuple(checked)

    def take(self, tensor: Any, index: tuple[Any, ...]) -> Any:
        return tensor[index].contiguous() if index else tensor

    def transpose(self, tensor: Any) -> Any:
        return tensor.permute(*reversed(range(tensor.dim())))

    def place(self, tensor: Any) -> Any:
        return tensor if self._device.type == "cpu" else tensor.to(self._device)


def framework_named(name: str, device: Any = "cpu") -> Framework:
    """The framework of one of safetensors' names for it, on a device as safetensors writes them ("cuda:0", or 0).

    Raises:
        MmhError: the name is unknown, or the framework does not have that device.
        ImportError: PyTorch is not installed.
    """
    if not isinstance(name, str):
        raise TypeError(f"framework must be a name, not {type(name).__name__}")
    if name in ("np", "numpy"):
        if str(device) != "cpu":
            raise MmhError(f"device {device} is not supported for framework numpy (only cpu)")
        return NumPy()
    if name in ("pt", "torch", "pytorch"):
        return PyTorch(f"cuda:{device}" if isinstance(device, int) else device)
    raise MmhError(f"framework {name} is invalid (accepted: pt, torch, pytorch, np, numpy)")


def _in_bytes(dtype: str, shape: list[int]) -> list[int]:
    """The shape whose last axis counts bytes of packed elements, as gguf and PyTorch (of F4) have it."""
    elements, size = unit(dtype)
    last = shape[-1] if shape else 1
    if last % elements:
        raise ValueError(f"a packed {dtype} tensor needs a last axis of a multiple of {elements}, found shape {shape}")
    return [*shape[:-1], last // elements * size]


def _check_step(item: slice, error: type[Exception]) -> None:
    if item.step is not None and item.step.__index__() < 1:
        raise error(f"slice step must be a positive integer, got {item.step}")

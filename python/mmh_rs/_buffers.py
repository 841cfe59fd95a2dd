"""Arrays, tensors and buffers as flat views of their bytes, without a copy."""

from __future__ import annotations

import sys

from ._dtypes import BITS, dtype_name, name_of_numpy, unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Buffer

__all__ = ["described", "readable", "writable"]

# struct's codes (native sizes) of the kinds of elements that a plain buffer can announce. "B", "b" and "c" are what
# `bytes` and its kin announce: those are bytes without a type.
_FLOATS = {"e": "F16", "f": "F32", "d": "F64"}
_NOT_CONTIGUOUS = "the {kind} is not C-contiguous; pass numpy.ascontiguousarray({kind})"


def readable(data: object) -> memoryview:
    """The bytes of `data` as a flat view.

    Args:
        data: a NumPy array, a PyTorch tensor or any other C-contiguous buffer.

    Raises:
        TypeError: no bytes can be seen in it.
        ValueError: it is not C-contiguous.
    """
    return described(data, None)[0]


def described(data: object, dtype: object) -> tuple[memoryview, str | None, list[int] | None]:
    """The bytes of `data`, what their elements are, and its shape.

    Args:
        data: as in `readable`.
        dtype: overrides the type that the array itself has; None takes it from the array.

    Returns:
        The flat bytes; safetensors' name of the element type, or None for bytes without a type; and the shape, or
        None when there is no type.

    Raises:
        TypeError, ValueError: as in `readable`, and where the bytes are no whole number of elements.
    """
    own: str | None
    shape: list[int]
    if _is_torch(data):
        view, own, shape = _of_torch(data)
    elif _is_numpy(data):
        view, own, shape = _of_numpy(data)
    else:
        view, own, shape = _of_buffer(data)
    if dtype is None:
        return view, own, None if own is None else shape
    name = dtype_name(dtype)
    if own is not None and BITS[own] == BITS.get(name):
        return view, name, shape  # the same elements under another name, e.g. bfloat16 kept in uint16
    elements, size = unit(name)
    count, rest = divmod(len(view), size)
    if rest:
        each = f"elements of {size} bytes each" if elements == 1 else f"units of {elements} elements in {size} bytes"
        raise ValueError(f"{len(view)} bytes are no whole number of {name} {each}")
    return view, name, [count * elements]


def writable(out: object) -> memoryview:
    """The bytes of `out` as a flat view that can be written to.

    Raises:
        TypeError: it is no buffer, a NumPy scalar, or an array of Python objects.
        ValueError: it is not C-contiguous, not writable, or not in the memory of the host.
    """
    # A copy that is made of it would be filled in its place.
    if _is_torch(out):
        tensor: Any = out
        if tensor.device.type != "cpu":
            raise ValueError(f"out is a tensor on {tensor.device}; decompress into a CPU tensor, then move it")
        if not _is_plain(tensor) or not tensor.is_contiguous() or tensor.is_conj() or tensor.is_neg():
            raise ValueError("out is a tensor that is not contiguous; decompress into a contiguous one")
        view = torch_bytes(tensor)
    elif _is_numpy(out):
        array: Any = out
        import numpy as np

        if not isinstance(array, np.ndarray):
            raise TypeError("out is a NumPy scalar, which cannot be filled; pass an array, numpy.empty((), dtype)")
        if not array.flags.c_contiguous:
            raise ValueError("out is an array that is not C-contiguous; decompress into one that is")
        view = _of_numpy(array)[0]
    else:
        given = _view(out)
        if not given.c_contiguous:
            raise ValueError("out is a buffer that is not C-contiguous; decompress into one that is")
        view = _of_buffer(given)[0]
    if view.readonly:
        raise ValueError(f"out ({type(out).__name__}) is read-only; pass a bytearray or a writable array")
    return view


def torch_bytes(tensor: Any) -> memoryview:
    """The bytes of a contiguous CPU tensor, of any shape, shared with it."""
    import torch  # type: ignore[import-not-found, unused-ignore]

    # A view of another width needs an axis, and a tensor without elements or axes has none to give.
    flat = tensor.detach().reshape(-1)
    return flat_bytes(flat.view(torch.uint8).numpy())


def flat_bytes(array: Any) -> memoryview:
    """The memoryview of a flat uint8 array."""
    return memoryview(array)


def _is_numpy(data: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(data, (numpy.ndarray, numpy.generic))


def _is_torch(data: object) -> bool:
    torch = sys.modules.get("torch")
    tensor = getattr(torch, "Tensor", None)  # absent while torch is still being imported
    return tensor is not None and isinstance(data, tensor)


def _of_numpy(data: Any) -> tuple[memoryview, str | None, list[int]]:
    import numpy as np

    if isinstance(data, np.ma.MaskedArray):
        raise TypeError("a masked array is two arrays; pass its .data and its .mask, or .filled()")
    array = np.asarray(data)
    dtype = array.dtype
    if dtype.hasobject:
        raise TypeError(f"an array of Python objects (dtype {dtype}) has no bytes of its own; convert it first")
    if not array.flags.c_contiguous:
        raise ValueError(_NOT_CONTIGUOUS.format(kind="array"))
    shape = list(array.shape)
    name = name_of_numpy(dtype)
    if name is None:
        name, more = _stand_in(dtype)
        shape += more
    # Through uint8, since the buffer protocol knows neither bfloat16 nor fp8 nor datetime64.
    flat = array.reshape(-1).view(np.uint8) if array.size else np.empty(0, np.uint8)
    return flat_bytes(flat), name, shape


def _is_plain(tensor: Any) -> bool:
    """Whether its elements lie in memory, as its strides say."""
    import torch  # type: ignore[import-not-found, unused-ignore]

    return not tensor.is_nested and tensor.layout == torch.strided


def _stand_in(dtype: Any) -> tuple[str | None, list[int]]:
    """A type of the same bytes, and the axes to add, for a NumPy type that safetensors has no name for."""
    if not dtype.isnative:
        return None, []
    if dtype.kind in "mM":
        return "I64", []
    if dtype.name == "complex128":
        return "F64", [2]
    if dtype.itemsize == 1 and dtype.kind in "Vfiu" and dtype.names is None:
        return "U8", []  # ml_dtypes' int4, float8_e3m4 and others that keep one element in each byte
    return None, []


def _of_torch(tensor: Any) -> tuple[memoryview, str | None, list[int]]:
    import torch  # type: ignore[import-not-found, unused-ignore]

    if not _is_plain(tensor):
        kind = "nested" if tensor.is_nested else f"not strided ({tensor.layout})"
        raise ValueError(f"the tensor is {kind}; pass tensor.to_dense(), or its parts one by one")
    if tensor.device.type == "meta":
        raise ValueError("the tensor is on the meta device and has no data")
    # A transposed tensor is copied here into C order, which is the order that its values are read back in.
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    shape = list(tensor.shape)
    if tensor.dtype == torch.complex128:
        return torch_bytes(tensor), "F64", [*shape, 2]
    name = dtype_name(tensor.dtype)
    if name == "F4" and shape:
        shape[-1] *= 2  # two elements in a byte
    return torch_bytes(tensor), name, shape


def _view(data: object) -> memoryview:
    try:
        buffer: Buffer = data  # type: ignore[assignment]
        return memoryview(buffer)
    except TypeError:
        raise TypeError(
            f"expected bytes, a NumPy array, a PyTorch tensor or another buffer, found {type(data).__name__}"
        ) from None
    except (BufferError, ValueError) as error:
        raise ValueError(f"the bytes of {type(data).__name__} cannot be read: {error}") from None


def _of_buffer(data: object) -> tuple[memoryview, str | None, list[int]]:
    view = _view(data)
    if not view.c_contiguous:
        raise ValueError(_NOT_CONTIGUOUS.format(kind="buffer"))
    name, shape = _announced(view), list(view.shape or ())
    if view.format == "B" and view.ndim == 1:
        return view, name, shape
    if view.nbytes == 0:
        return memoryview(b"") if view.readonly else memoryview(bytearray()), name, shape
    return view.cast("B"), name, shape


def _announced(view: memoryview) -> str | None:
    code = view.format.lstrip("@=<" if sys.byteorder == "little" else "@")
    if code in _FLOATS:
        return _FLOATS[code]
    if code == "?":
        return "BOOL"
    if code in ("h", "i", "l", "q", "n"):
        return f"I{view.itemsize * 8}"
    if code in ("H", "I", "L", "Q", "N"):
        return f"U{view.itemsize * 8}"
    return None

"""Element types: safetensors' and GGUF's names, their widths, and their spellings in NumPy, ml_dtypes and PyTorch."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import numpy as np

__all__ = [
    "BITS",
    "BLOCKS",
    "NUMPY_NAMES",
    "TORCH_NAMES",
    "dtype_name",
    "name_of_numpy",
    "numpy_dtype",
    "torch_dtype",
    "unit",
]

BITS: dict[str, int] = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "U16": 16,
    "I16": 16,
    "U32": 32,
    "I32": 32,
    "U64": 64,
    "I64": 64,
    "F16": 16,
    "BF16": 16,
    "F32": 32,
    "F64": 64,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E8M0": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "C64": 64,
}
"""Bits of one element, by safetensors' name."""

BLOCKS: dict[str, tuple[int, int]] = {
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "Q8_1": (32, 40),
    "Q2_K": (256, 84),
    "Q3_K": (256, 110),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
    "Q8_K": (256, 292),
    "IQ2_XXS": (256, 66),
    "IQ2_XS": (256, 74),
    "IQ3_XXS": (256, 98),
    "IQ1_S": (256, 50),
    "IQ4_NL": (32, 18),
    "IQ3_S": (256, 110),
    "IQ2_S": (256, 82),
    "IQ4_XS": (256, 136),
    "IQ1_M": (256, 56),
    "TQ1_0": (256, 54),
    "TQ2_0": (256, 66),
    "MXFP4": (32, 17),
    "NVFP4": (64, 36),
    "Q1_0": (128, 18),
}
"""GGUF's quantized types: elements of a block, and its bytes."""


def unit(name: str) -> tuple[int, int]:
    """The least number of elements of a type that fill whole bytes, and how many bytes those are."""
    if name in BLOCKS:
        return BLOCKS[name]
    return {4: (2, 1), 6: (4, 3)}.get(BITS[name], (1, BITS[name] // 8))


NUMPY_NAMES: dict[str, str] = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "C64": "complex64",
}
"""NumPy's or ml_dtypes' name of each type that NumPy arrays can hold (the packed F4 and F6 are not among them)."""

_ML_DTYPES = frozenset({"BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"})

TORCH_NAMES: dict[str, str] = {**NUMPY_NAMES, "F4": "float4_e2m1fn_x2"}
"""PyTorch's attribute for each type; `float4_e2m1fn_x2` holds two elements in a byte."""

# What else people write. NumPy's codes are told from safetensors' names by their case: "i8" is NumPy's 64-bit
# integer, "I8" is safetensors' 8-bit one.
_CODES = {
    "?": "BOOL",
    "b1": "BOOL",
    "u1": "U8",
    "i1": "I8",
    "u2": "U16",
    "i2": "I16",
    "u4": "U32",
    "i4": "I32",
    "u8": "U64",
    "i8": "I64",
    "f2": "F16",
    "f4": "F32",
    "f8": "F64",
    "c8": "C64",
}
_WORDS = {
    **{name: dtype for dtype, name in TORCH_NAMES.items()},
    "bool_": "BOOL",
    "half": "F16",
    "double": "F64",
    "cfloat": "C64",
    "bf16": "BF16",
    "fp16": "F16",
    "fp32": "F32",
    "fp64": "F64",
    "fp8_e4m3": "F8_E4M3",
    "fp8_e5m2": "F8_E5M2",
    "f8_e4m3fn": "F8_E4M3",
    "float4_e2m1fn": "F4",
    "float6_e2m3fn": "F6_E2M3",
    "float6_e3m2fn": "F6_E3M2",
}
# NumPy and PyTorch mean different widths by these, and "byte" of NumPy is signed.
_AMBIGUOUS = {
    "float": "float32 or float64",
    "int": "int32 or int64",
    "long": "int32 or int64",
    "byte": "uint8 or int8",
    "f16": "float16 or bfloat16",
    "float8_e4m3": "float8_e4m3fn",
}


def _accepted() -> str:
    return "accepted: " + ", ".join([*BITS, *TORCH_NAMES.values()]) + ", or a dtype object"


def dtype_name(dtype: object) -> str:
    """safetensors' name ("BF16", "F32", …) of a dtype.

    Args:
        dtype: a name as NumPy, PyTorch or safetensors spell it, a NumPy or ml_dtypes dtype or scalar type, or a
            `torch.dtype`.

    Raises:
        ValueError: unknown, ambiguous or big-endian.
        TypeError: neither a name nor a dtype.
    """
    if isinstance(dtype, str):
        return _from_text(dtype)
    if type(dtype).__module__ == "torch" and type(dtype).__name__ == "dtype":
        return _from_text(str(dtype))
    if dtype is float or dtype is int or dtype is complex:
        raise ValueError(f"dtype {dtype!r} is ambiguous; name its width, e.g. 'float32' or 'int64'")
    if dtype is bool:
        return "BOOL"
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(dtype, (numpy.dtype, type)):
        try:
            resolved = numpy.dtype(dtype)
        except TypeError:
            resolved = numpy.dtype(object)
        name = name_of_numpy(resolved)
        if name is not None:
            return name
        if resolved.byteorder == ">" or (resolved.byteorder == "=" and sys.byteorder == "big"):
            raise ValueError(f"dtype {dtype!r} is big-endian; only little-endian elements are accepted")
        raise ValueError(f"unknown dtype {dtype!r}; {_accepted()}")
    raise TypeError(f"dtype must be a name or a dtype object, not {type(dtype).__name__}; {_accepted()}")


def _from_text(text: str) -> str:
    if text in BITS or text in BLOCKS:
        return text
    name = text.rpartition(".")[2]
    if name in BITS:
        return name
    if name.startswith(">"):
        raise ValueError(f"dtype {text!r} is big-endian; only little-endian elements are accepted")
    name = name.lstrip("<=|")
    if name in _CODES:
        return _CODES[name]
    name = name.lower()
    if name in _AMBIGUOUS:
        raise ValueError(f"dtype {text!r} is ambiguous; say {_AMBIGUOUS[name]}")
    if name in _WORDS:
        return _WORDS[name]
    raise ValueError(f"unknown dtype {text!r}; {_accepted()}")


def name_of_numpy(dtype: np.dtype[Any]) -> str | None:
    """safetensors' name of a NumPy dtype, or None where it has none (big-endian, structured, text, …)."""
    if dtype.byteorder == ">" or (dtype.byteorder == "=" and sys.byteorder == "big") or dtype.names is not None:
        return None
    name = dtype.name
    if name in ("float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"):
        return None  # ml_dtypes keeps one element in each byte, safetensors packs them
    for known, spelled in NUMPY_NAMES.items():
        if name == spelled and dtype.itemsize * 8 == BITS[known]:
            return known
    return None


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a safetensors name; bytes for GGUF's quantized types.

    Raises:
        ImportError: NumPy is not installed; or the type is one of ml_dtypes' and that is not.
        TypeError: NumPy has no such type (F4, F6_E2M3, F6_E3M2: packed below a byte).
    """
    try:
        import numpy as np
    except ImportError:
        raise ImportError("arrays need NumPy: pip install 'mmh-rs[numpy]'") from None

    if name in BLOCKS:
        return np.dtype(np.uint8)
    if name not in NUMPY_NAMES:
        raise TypeError(f"NumPy has no packed {name} arrays; take the bytes with get_into() or read()")
    if name in _ML_DTYPES:
        try:
            import ml_dtypes
        except ImportError:
            raise ImportError(f"{name} arrays need ml_dtypes: pip install 'mmh-rs[ml-dtypes]'") from None
        dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, NUMPY_NAMES[name]))
        return dtype
    return np.dtype(NUMPY_NAMES[name])


def torch_dtype(name: str) -> Any:
    """The `torch.dtype` of a safetensors name; bytes for GGUF's quantized types.

    Raises:
        TypeError: this PyTorch has no such type.
    """
    import torch  # type: ignore[import-not-found, unused-ignore]

    dtype = getattr(torch, "uint8" if name in BLOCKS else TORCH_NAMES.get(name, ""), None)
    if dtype is None:
        raise TypeError(f"PyTorch {torch.__version__} has no dtype for {name}; take the bytes with Archive.get_into()")
    return dtype

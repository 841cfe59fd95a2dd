"""MMH-RS: lossless compression of AI tensors.

    import mmh_rs as mmh

    blob = mmh.compress(array)              # bytes; dtype and shape are the array's
    data = mmh.decompress(blob)             # the same bytes again
    mmh.compress_file("model.safetensors")  # writes model.safetensors.mmh
    with mmh.open("model.safetensors.mmh") as archive:
        weight = archive.get("model.embed_tokens.weight")

`import mmh_rs` loads the engine and nothing else: NumPy, PyTorch and the rest are imported when they are used.
"""

from __future__ import annotations

from ._api import compress, compress_file, decompress, decompress_file
from ._core import CorruptionError, LimitError, MmhError, UnsupportedFormatError, __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._diff import Diff, TensorDiff, diff
    from ._estimate import Estimate, LevelEstimate, estimate
    from ._generate import GenerateReport, generate
    from ._limits import Limits
    from ._packs import PackReport, pack_dir, unpack_dir
    from ._parity import Examination, Parity, ProtectReport, RepairReport, examine, protect, repair
    from ._reports import CompressReport, DecompressReport
    from ._safe_open import safe_open
    from ._salvage import SalvageReport, salvage
    from ._trees import TreeFailure, TreeFile, TreeReport, compress_dir, decompress_dir
    from ._validate import Histogram, Proof, TensorValidation, Validation, validate
    from .archive import Archive, Header, TensorInfo, TensorSlice, Verification, open

__all__ = [
    "Archive",
    "CompressReport",
    "CorruptionError",
    "DecompressReport",
    "Diff",
    "Estimate",
    "Examination",
    "GenerateReport",
    "Header",
    "Histogram",
    "LevelEstimate",
    "LimitError",
    "Limits",
    "MmhError",
    "PackReport",
    "Parity",
    "Proof",
    "ProtectReport",
    "RepairReport",
    "SalvageReport",
    "TensorDiff",
    "TensorInfo",
    "TensorSlice",
    "TensorValidation",
    "TreeFailure",
    "TreeFile",
    "TreeReport",
    "UnsupportedFormatError",
    "Validation",
    "Verification",
    "__version__",
    "compress",
    "compress_dir",
    "compress_file",
    "decompress",
    "decompress_dir",
    "decompress_file",
    "diff",
    "estimate",
    "examine",
    "generate",
    "open",
    "pack_dir",
    "protect",
    "repair",
    "safe_open",
    "salvage",
    "unpack_dir",
    "validate",
]

# Where the names live that are imported on first use, so that `import mmh_rs` stays cheap.
_LAZY = {
    "Proof": "_validate",
    "validate": "_validate",
    "Archive": "archive",
    "CompressReport": "_reports",
    "DecompressReport": "_reports",
    "Diff": "_diff",
    "Estimate": "_estimate",
    "GenerateReport": "_generate",
    "LevelEstimate": "_estimate",
    "Examination": "_parity",
    "Header": "archive",
    "Histogram": "_validate",
    "Limits": "_limits",
    "Parity": "_parity",
    "ProtectReport": "_parity",
    "RepairReport": "_parity",
    "SalvageReport": "_salvage",
    "PackReport": "_packs",
    "TensorDiff": "_diff",
    "TensorInfo": "archive",
    "TensorSlice": "archive",
    "TensorValidation": "_validate",
    "TreeFailure": "_trees",
    "TreeFile": "_trees",
    "TreeReport": "_trees",
    "Validation": "_validate",
    "Verification": "archive",
    "compress_dir": "_trees",
    "decompress_dir": "_trees",
    "diff": "_diff",
    "estimate": "_estimate",
    "examine": "_parity",
    "generate": "_generate",
    "open": "archive",
    "protect": "_parity",
    "repair": "_parity",
    "salvage": "_salvage",
    "pack_dir": "_packs",
    "safe_open": "_safe_open",
    "unpack_dir": "_packs",
}
_SUBMODULES = ("archive", "cli", "numpy", "torch")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in _SUBMODULES:
            return import_module(f".{name}", __name__)
        try:
            module = _LAZY[name]
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        value = getattr(import_module(f".{module}", __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LAZY, *_SUBMODULES})

"""The Rust engine. Everything here releases the GIL while it works. Private: use `mmh_rs`."""

from collections.abc import Callable, Sequence
from typing import Any, NotRequired, TypedDict

from typing_extensions import Buffer

__version__: str
FORMAT_VERSION: int
CODECS: list[str]
"""Names of the codecs that can be asked for, `auto` first."""

class MmhError(Exception): ...
class CorruptionError(MmhError): ...
class UnsupportedFormatError(MmhError): ...
class LimitError(MmhError): ...

Progress = Callable[[int, int | None, int], None]
"""progress(source bytes done, source bytes in all or None, stored bytes so far); what it raises stops the work."""

Limits = tuple[int | None, int, int] | None
"""Bytes restored (None: by what is stored), bytes of the index, tensors. None: the usual ones."""

Base = str | tuple[Buffer, str | None, list[int] | None] | None
"""The path of a base; or bytes, with the dtype and the shape that they have as an array."""

class CodecTotal(TypedDict):
    frames: int
    raw: int
    stored: int

class Report(TypedDict):
    source: str | None  # path, None for a stream
    target: str | None
    source_bytes: int  # uncompressed side
    stored_bytes: int  # .mmh side
    seconds: float
    format: str  # as in CompressReport
    tensors: int
    codecs: dict[str, CodecTotal]
    blake3: str | None  # hex, of the uncompressed side
    sha256: str | None

class CompressReport(Report):
    in_base: NotRequired[int]  # with a base alone

class PackReport(Report):
    files: int
    links: int
    directories: int
    ignored: list[str]

class Header(TypedDict):
    version: int
    name: str
    format: str
    source_bytes: int
    stored_bytes: int
    frames: int
    tensors: int
    blake3: str | None
    sha256: str | None
    codecs: dict[str, CodecTotal]
    base: BaseRecord | None  # what it was compressed against
    parity: Parity | None

class Parity(TypedDict):
    bytes: int
    body_bytes: int
    shard_bytes: int
    groups: int
    data_shards: int  # of a group, at most
    recovery_shards: int  # of a group
    burst_bytes: int
    promise: str

class Protected(Parity):
    unchecked: int  # frames that are differences from a base that was not given
    seconds: float

class Examined(Parity):
    ok: bool
    mendable: bool
    lost: list[tuple[int, int]]  # bytes of the file without its parity
    lost_data: int
    lost_recovery: int

class Mended(Parity):
    sound: bool
    restored: list[tuple[int, int]]
    lost_recovery: int
    seconds: float

class BaseRecord(TypedDict):
    name: str
    bytes: int
    blake3: str
    needed: bool  # whether some block is a difference from it

class Tensor(TypedDict):
    name: str
    dtype: str  # safetensors' names: "BF16", "F32", ...
    shape: list[int]
    fortran: bool
    start: int  # source offset in bytes
    bytes: int
    stored: int  # payload and frame headers
    codecs: list[str]  # codecs of its frames, most bytes first
    blake3: str | None
    frames: int
    copy_of: str | None  # the earlier tensor that it is a reference to

class Damage(TypedDict):
    frame: int | None  # None: header, index or footer, or a content hash
    offset: int  # byte of the .mmh file
    source_start: int
    source_bytes: int
    codec: str
    tensor: str | None
    what: str

class Salvaged(TypedDict):
    archive: Archive
    """Its tensors are those that are intact."""
    lost: list[str]
    ranges: list[tuple[int, int]]
    """Bytes of the source that can be read."""
    loose: Archive | None
    loose_ranges: list[tuple[int, int]]
    """Bytes of `loose`: stretches whose place in the source is not known, one behind the other."""
    indexed: bool
    source_bytes: int | None
    damaged: list[tuple[int, int]]
    gave_up: bool

class Verification(TypedDict):
    ok: bool
    source_bytes: int
    stored_bytes: int
    frames: int
    tensors: int
    seconds: float
    damaged: list[Damage]
    matches: bool | None  # None: nothing to compare with, or damaged

class Bid(TypedDict):
    codec: str
    estimate: float | None  # stored over raw, on the sample; None: it did not bid
    reason: str

class Why(TypedDict):
    name: str | None  # None: opaque bytes
    dtype: str | None
    start: int
    bytes: int
    stored: int | None  # None when FILE is a source and nothing is stored yet
    chosen: str  # codec of the first block: as stored, or what the plan picks for a source
    frames: dict[str, int] | None  # how many of each codec are stored; None of a source
    seen: dict[str, Any]  # e.g. {"exponent_bits": 2.61, "period": None, ...}
    bids: list[Bid]

class LevelEstimate(TypedDict):
    level: int
    stored_bytes: int
    compress_seconds: float
    decompress_seconds: float

class Estimate(TypedDict):
    source_bytes: int
    sampled_bytes: int
    exact: bool  # everything was compressed at every level
    format: str
    tensors: int
    copied_bytes: int  # of tensors that equal an earlier one
    levels: list[LevelEstimate]

class Found(TypedDict):
    elements: int  # compared; of packed dtypes groups of whole bytes, outside of tensors bytes
    differing: int
    first: int | None
    max_abs: float | None  # None: not numbers, or none differ
    max_rel: float | None
    relative_norm: float | None
    not_finite: int | None

class Compared(TypedDict):
    dtype: str
    shape: list[int]
    fortran: bool
    bytes: int

class TensorDiff(TypedDict):
    name: str
    change: str  # "equal", "changed", "reshaped", "retyped", "added", "gone"
    first: Compared | None
    second: Compared | None
    found: Found | None  # None: elements were not compared

class Side(TypedDict):
    format: str
    source_bytes: int
    tensors: int
    other_bytes: int  # outside of tensors
    packed: bool

class Diff(TypedDict):
    identical: bool
    first: Side
    second: Side
    tensors: list[TensorDiff]
    other: Found

class Generated(TypedDict):
    target: str | None
    like: str
    dtype: str
    format: str
    seed: int
    bytes: int
    tensors: int
    elements: int
    width: int
    layers: int
    rows: int
    rows_name: str
    seconds: float
    sha256: str | None

class Validated(TypedDict):
    name: str
    dtype: str
    shape: list[int]
    fortran: bool
    bytes: int
    verdict: str
    reason: str
    equals: str | None
    scales: bool
    count: int | None
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    kurtosis: float | None
    nan: int | None
    infinite: int | None
    zeros: int | None
    distinct: int | None
    byte_entropy: float | None
    exponent_entropy: float | None
    exponent_bits: int | None
    period: int | None
    upcast_from: str | None
    upcast_share: float | None
    exponents: list[tuple[int, int]]
    histogram: tuple[float, float, list[float], float, float] | None  # low, high, counts, below, above

class ValidatedFile(TypedDict):
    format: str
    source_bytes: int
    packed: bool
    other_bytes: int
    generated: bool
    tensors: list[Validated]

class Proved(TypedDict):
    codec: str
    level: int
    stored_bytes: int
    compress_seconds: float
    decompress_seconds: float
    differs: int | None

class Validator:
    """A path or a binary file object that can seek; a source or a `.mmh`."""

    def __new__(cls, source: Any, limits: Limits = None, base: Base = None) -> Validator: ...
    def tensors(self, threads: int, progress: Progress | None = None) -> ValidatedFile: ...
    def prove(self, codec: str, level: int, threads: int, progress: Progress | None = None) -> Proved: ...

class Archive:
    """One open `.mmh`. Thread-safe."""

    @staticmethod
    def open_path(path: str, base: Base = None, limits: Limits = None) -> Archive: ...
    @staticmethod
    def open_buffer(data: Buffer, base: Base = None, limits: Limits = None) -> Archive: ...
    @staticmethod
    def open_object(file: Any, base: Base = None, limits: Limits = None) -> Archive:
        """A binary file object with `seek` and `read`; used under a lock."""
    @property
    def indexed(self) -> int:
        """Number of tensors in the index; of a small file it may leave them to the header of the source."""
    @property
    def format(self) -> str: ...
    def header(self) -> Header: ...
    def keys(self) -> list[str]:
        """In the order of their offsets."""
    def tensors(self) -> list[Tensor]: ...
    def tensor(self, name: str) -> Tensor:
        """Raises KeyError."""
    def read_into(self, start: int, out: Buffer, threads: int = 0, check: bool = True) -> None:
        """Fills the writable `out` with len(out) source bytes from offset `start`; reads only the frames needed."""
    def verify(
        self,
        threads: int = 0,
        progress: Progress | None = None,
        hash: bytes | None = None,  # 32 bytes, of BLAKE3 or SHA-256
        file: str | None = None,
    ) -> Verification: ...
    def why(self, level: int = 5, progress: Progress | None = None) -> list[Why]:
        """What the plan sees in each segment, seen again from the restored bytes, beside what is stored."""

def compress(
    data: Buffer,
    dtype: str | None,  # safetensors' name, None: bytes
    shape: list[int] | None,  # None: one axis
    codec: str,
    level: int,  # 1..9
    threads: int,  # 0: all cores
    hashes: bool,
    base: Base = None,
) -> bytes: ...
def decompressed_size(blob: Buffer) -> int: ...
def decompress(blob: Buffer, threads: int, check: bool, limits: Limits = None, base: Base = None) -> bytes: ...
def decompress_into(blob: Buffer, out: Buffer, threads: int, check: bool, base: Base = None) -> int:
    """Raises ValueError when `out` is too small; returns the number of bytes written."""

def check_target(target: str, force: bool, read: Sequence[str]) -> None:
    """Refuses a target that is one of the files that are read, no regular file, or there already without `force`."""

def compress_file(
    source: str | None,  # None: standard input
    target: str | None,  # None: standard output
    codec: str,
    level: int,
    threads: int,
    verify: bool,
    sha256: bool,
    force: bool,
    name: str | None = None,  # source name to record for a stream
    progress: Progress | None = None,
    base: str | None = None,  # a file, or the source of an `.mmh`
    parity: int | None = None,  # percent, 1..100
    independent: bool = False,
) -> CompressReport: ...
def protect(
    source: str,
    target: str,
    percent: int,
    threads: int,
    force: bool,
    progress: Progress | None = None,
    base: str | None = None,
) -> Protected: ...
def examine(source: str, threads: int, progress: Progress | None = None) -> Examined | None:
    """None: no sign of parity."""

def repair(source: str, target: str, threads: int, force: bool, progress: Progress | None = None) -> Mended: ...
def salvage(
    source: str,
    folder: str,  # for files without a name
    threads: int = 0,
    progress: Progress | None = None,
    base: str | None = None,
    limits: Limits = None,
) -> Salvaged: ...
def decompress_file(
    source: str | None,
    target: str | None,  # a path is written to a temporary file beside it and renamed
    threads: int,
    check: bool,
    force: bool,
    progress: Progress | None = None,
    base: str | None = None,
    limits: Limits = None,
) -> Report: ...
def pack_dir(
    source: str,
    target: str | None,  # None for standard output
    codec: str,
    level: int,
    threads: int,
    verify: bool,
    sha256: bool,
    force: bool,
    name: str,
    progress: Progress | None = None,
    parity: int | None = None,
    independent: bool = False,
) -> PackReport: ...
def unpack_dir(
    source: str,
    target: str,
    threads: int,
    progress: Progress | None = None,
    base: str | None = None,
    limits: Limits = None,
) -> PackReport: ...
def explain_file(source: str, level: int, base: str | None = None, progress: Progress | None = None) -> list[Why]:
    """The plan of a source file that is not compressed yet."""

def estimate(
    source: str,
    levels: list[int],
    threads: int,
    budget: int,
    progress: Progress | None = None,
    base: str | None = None,
) -> Estimate:
    """Compresses about `budget` bytes of the file at each level, eight times as many at the fastest, to find out."""

def diff(
    first: Any,
    second: Any,
    threads: int = 0,
    progress: Progress | None = None,
    limits: Limits = None,
    base: Base = None,
) -> Diff:
    """Each a path or a binary file object that can seek; a source or a `.mmh`."""

def families() -> list[tuple[str, str]]:
    """Kinds of models that `generate` knows, each with a few words."""

def generate(
    target: str | None,  # None: standard output
    like: str,
    size: int,
    dtype: str,
    format: str,
    seed: int,
    threads: int,
    force: bool,
    sha256: bool,
    progress: Progress | None = None,
) -> Generated: ...
def doctor() -> dict[str, Any]:
    """version, format_version, os, arch, cpu, threads, simd ({name: available}), simd_used, memcpy_gbps."""

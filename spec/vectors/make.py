"""Write the vectors: small `.mmh` files that every decoder has to read, or has to refuse.

    python spec/vectors/make.py

`valid/NAME.mmh` restores `valid/NAME.source.bin`; `invalid/NAME.mmh` is refused, and `invalid/EXPECTED.json` has the
kind of the refusal by name. A vector that is there is never written again: later versions of the engine may compress
in another way, and still have to read these. While the format is version 0, one that the format no longer allows is
removed by hand, in the commit that changes the format.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests"))

import numpy as np  # noqa: E402
import zstandard  # noqa: E402

import mmh_builder as mb  # noqa: E402
import mmh_rs as mmh  # noqa: E402

Vector = tuple[str, bytes, bytes]
"""Name, `.mmh`, source."""

BF16 = np.ascontiguousarray(
    np.random.default_rng(1).normal(0, 0.02, 3000).astype(np.float32).view(np.uint16)[1::2]
).tobytes()


def by_hand() -> Iterator[Vector]:
    """Files from the builder: what the format allows, used by our writer or not."""

    def file(label: str, frames: list[mb.Frame], tensors: list[mb.Tensor] | None = None, **options: Any) -> Vector:
        return f"hand-{label}", mb.build(frames, tensors or [], **options), mb.restored_source(frames)

    yield file("empty", [])
    yield file("store", [mb.store(b"\0"), mb.store(bytes(range(256)))], name="größe.bin")
    yield file("no-hashes", [mb.store(b"abc")], hashes=False)
    yield file("sha256", [mb.store(b"abc")], [mb.Tensor("t", "U8", [3])], sha256=True, source_format=1)
    yield file("pattern251", [mb.pattern(bytes(range(251)), 1000), mb.pattern(b"\0", 1), mb.pattern(b"ab", 65535 // 2)])
    yield file("pattern-of-64-kib", [mb.pattern(np.random.default_rng(2).bytes(32768), 50000)])
    yield file("lz4", [mb.lz4(b"\x26ab\x02\x00\x50cdefg", b"ab" * 6 + b"cdefg")])
    text = b"the quick brown fox, " * 30
    yield file("zstd", [mb.zstd(zstandard.ZstdCompressor(level=19).compress(text), text)])
    yield file("copy", [mb.store(b"abc"), mb.pattern(b"de", 5), mb.store(b"fgh"), mb.copy(1, 9)])
    yield file(
        "tensors",
        [mb.store(b"head"), mb.store(b"12345678"), mb.store(b"tail")],
        [
            mb.Tensor("empty", "F32", [3, 0], gap=2),
            mb.Tensor("a", "U8", [2, 4], gap=2, layout=1),
            mb.Tensor("", "C64", [0, 2**60]),
        ],
        source_format=2,
    )
    for bits in (8, 16, 32, 64):
        for how in ("plain", "moved", "zigzag"):
            yield coded_elements(bits, how)


def coded_elements(bits: int, how: str) -> Vector:
    """Elements of any width, cut in any way: symbols that are coded, the rest of them random and packed."""
    t = min(8, bits - 1)
    cut: dict[str, Any] = {"element_bits": bits, "t": t, "sign_moved": how == "moved", "zigzag": how == "zigzag"}
    random = np.random.default_rng(bits)
    symbols = random.choice([3, 4, 5, 9], size=1100, p=[0.5, 0.25, 0.125, 0.125])
    rest = random.integers(0, 1 << min(bits - t, 62), symbols.size)
    block = b"".join(
        mb.join_element(int(T), int(R), **cut).to_bytes(bits // 8, "little") for T, R in zip(symbols, rest, strict=True)
    )
    modes: list[mb.Mode] = [mb.Coded(mb.skewed_lengths([3, 4, 5, 9])), *[mb.PACKED] * len(mb.plane_widths(bits - t))]
    payload = mb.tensor_parts(block, modes=modes, **cut).to_bytes()
    return f"hand-tensor-{bits}-{how}", mb.build([mb.tensor_frame(payload, block)]), block


def by_engine() -> Iterator[Vector]:
    """Blobs from our writer."""
    kinds: dict[str, Callable[[np.random.Generator], Any]] = {
        "f16": lambda random: random.normal(0, 0.02, 1500).astype(np.float16),
        "f32": lambda random: random.normal(0, 0.02, 1500).astype(np.float32),
        "f64": lambda random: random.normal(0, 0.02, 1500),
        "c64": lambda random: random.normal(0, 1, 750).astype(np.complex64),
        "i8": lambda random: np.rint(random.normal(0, 9, 1500)).astype(np.int8),
        "i16": lambda random: np.rint(random.normal(0, 300, 1500)).astype(np.int16),
        "i32": lambda random: np.rint(random.normal(0, 300, 1500)).astype(np.int32),
        "i64": lambda random: np.arange(1500, dtype=np.int64),
        "u16": lambda random: random.integers(0, 500, 1500).astype(np.uint16),
        "bool": lambda random: random.integers(0, 2, 1500).astype(bool),
    }
    for number, (kind, make) in enumerate(kinds.items()):
        array = make(np.random.default_rng(number))
        yield f"engine-{kind}", mmh.compress(array, threads=1), array.tobytes()
    for dtype in ("BF16", "F8_E4M3", "F8_E5M2"):
        data = BF16 if dtype == "BF16" else BF16[1::2]
        yield f"engine-{dtype.lower()}", mmh.compress(data, dtype=dtype, threads=1), data
    for level in (1, 9):
        yield f"engine-bf16-level-{level}", mmh.compress(BF16, dtype="BF16", level=level, threads=1), BF16
    upcast = np.frombuffer(np.random.default_rng(3).normal(0, 1, 4096).astype(np.float32), np.uint32).copy()
    upcast[:2048] &= 0xFFFF0000
    yield "engine-f32-half-upcast", mmh.compress(upcast.view(np.float32), threads=1), upcast.tobytes()
    for codec in ("store", "pattern251", "lz4", "zstd", "tensor"):
        data = b"weights and weights " * 50
        yield f"engine-codec-{codec}", mmh.compress(data, codec=codec, threads=1), data
    long = np.ascontiguousarray(np.random.default_rng(4).normal(0, 1, 30000).astype(np.float32).view(np.uint16)[1::2])
    yield "engine-bf16-long", mmh.compress(long.tobytes(), dtype="BF16", threads=1), long.tobytes()


def invalid() -> Iterator[tuple[str, bytes, str]]:
    """Name, `.mmh`, kind of the refusal: one lie each, with all hashes around it right."""
    abc = mb.store(b"abcd")
    good = mb.build([abc], [mb.Tensor("t", "U8", [4])])
    yield "nothing", b"", "not-mmh"
    yield "other-magic", b"\x89PNG\r\n\x1a\n" + good[8:], "not-mmh"
    yield "newer-version", mb.build(version=1), "unsupported"
    yield "unknown-codec", mb.build([mb.Frame(6, b"a", 1, b"a")]), "unsupported"
    corrupt = {
        "header-check": mb.build(header_check=1),
        "reserved-flags": mb.build(flags=2),
        "copy-flag-without-copy": mb.build(flags=1),
        "truncated-header": good[:12],
        "truncated-footer": good[:-1],
        "trailing-bytes": good + b"\0",
        "bytes-between": mb.build([abc], between=b"?"),
        "footer-hash": mb.build([abc], footer_hash=5),
        "index-hash": mb.build([abc], index_hash=5),
        "index-size": mb.build([abc], index_size=1 << 60),
        "index-bytes-left": mb.build([abc], index_tail=b"\0"),
        "source-length": mb.build([abc], source_len=3),
        "source-hash": mb.build([abc], source_blake3=bytes(32)),
        "source-name": mb.build([abc], name="../up"),
        "frame-count": mb.build([abc], frame_count=2**40),
        "tensor-count": mb.build([abc], tensor_count=2**64 - 1),
        "tensor-twice": mb.build([mb.store(b"ab")] * 2, [mb.Tensor("t", "U8", [2])] * 2),
        "tensor-too-long": mb.build([abc], [mb.Tensor("t", "U8", [5])]),
        "tensor-overflow": mb.build([abc], [mb.Tensor("t", "U8", [2**63] * 64)]),
        "tensor-hash": mb.build([abc], [mb.Tensor("t", "U8", [4], digest=bytes(32))]),
        "tensor-straddled": mb.build([abc], [mb.Tensor("t", "U8", [2], gap=1)]),
        "frame-sync": mb.build([replace(abc, sync=b"RF")]),
        "frame-reserved": mb.build([replace(abc, reserved=1)]),
        "frame-checksum": mb.build([replace(abc, checksum=0)]),
        "block-too-long": mb.build(between=bytes(28), frame_table=[(mb.LZ4, 2**24 + 1, 4)], source_len=2**24 + 1),
        "copy-of-a-copy": mb.build([abc, mb.copy(0, 2), mb.copy(4, 2)]),
        "copy-of-the-future": mb.build([mb.copy(0, 1), abc], source_len=5),
        "pattern-empty": mb.build([mb.Frame(mb.PATTERN251, b"", 5, bytes(5))]),
        "varint-too-long": mb.build(index=b"IX\x80\x00\0\0\0\0\0"),
    }
    for name, data in corrupt.items():
        yield name, data, "corrupt"
    block = bytes(range(64)) * 16
    changes: dict[str, dict[str, Any]] = {
        "tensor-t": {"t": 17},
        "tensor-drop": {"drop": 9},
        "tensor-segment": {"log_segment": 3},
        "tensor-base": {"base": 1},
        "tensor-group-size": {"group_sizes": [2**32 - 1]},
        "tensor-after": {"after": b"\0"},
        "tensor-planes": {"descriptors": [b"\x03"]},
    }
    for name, fields in changes.items():
        parts = mb.tensor_parts(block, element_bits=16, t=8, modes=[mb.Coded(mb.flat_lengths(block[1::2])), mb.PACKED])
        yield name, mb.build([mb.tensor_frame(replace(parts, **fields).to_bytes(), block)]), "corrupt"


def write_new(path: Path, data: bytes) -> None:
    if len(data) >= 1 << 16:
        raise SystemExit(f"{path.name} is too large: {len(data)} bytes, at most 64 KiB")
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        print(path.relative_to(HERE))


def main() -> None:
    for name, data, source in (*by_hand(), *by_engine()):
        target = HERE / "valid" / f"{name}.mmh"
        if not target.exists():
            write_new(target, data)
            write_new(target.with_name(f"{name}.source.bin"), source)
    expected = HERE / "invalid" / "EXPECTED.json"
    kinds: dict[str, str] = json.loads(expected.read_text()) if expected.exists() else {}
    for name, data, kind in invalid():
        write_new(HERE / "invalid" / f"{name}.mmh", data)
        kinds.setdefault(name, kind)
    expected.write_text(json.dumps(dict(sorted(kinds.items())), indent=2) + "\n")


if __name__ == "__main__":
    main()

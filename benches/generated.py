"""How close generated weights come to real ones: exponents' entropy, and compressed size for each level and codec.

    python benches/generated.py DIR [--seed 0] [--markdown]

DIR holds the corpus (`benches/corpus/fetch.py DIR`). For each real file a file is generated that is like it: the same
kind of model, dtype, format and size. Sizes are stored over original size of the whole file. Entropy is that of the
exponents of a matrix, in bits, the mean over all matrices by their elements.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from tables import table

import mmh_rs as mmh

PAIRS = {
    "minilm-bf16.safetensors": ("bert", "BF16"),
    "minilm-fp16.safetensors": ("bert", "F16"),
    "minilm-fp32.safetensors": ("bert", "F32"),
    "minilm-fp8-e4m3.safetensors": ("bert", "F8_E4M3"),
    "minilm-fp8-e5m2.safetensors": ("bert", "F8_E5M2"),
    "minilm-int8-rows.safetensors": ("bert", "I8"),
    "minilm-q8_0.gguf": ("bert", "Q8_0"),
    "minilm-q4_0.gguf": ("bert", "Q4_0"),
    "merlin-bf16.safetensors": ("resnet", "BF16"),
}
"""Real files, and what they are like."""

WAYS = (("auto", "fast"), ("auto", "balanced"), ("auto", "max"), ("zstd", "balanced"), ("lz4", "balanced"))
EXPONENTS = {"BF16": (16, 7, 8), "F16": (16, 10, 5), "F32": (32, 23, 8), "F8_E4M3": (8, 3, 4), "F8_E5M2": (8, 2, 5)}
"""Bits of an element, of its mantissa and of its exponent."""


def entropy(path: Path) -> float | None:
    """Bits of an exponent; None where the elements have none."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "a.mmh"
        mmh.compress_file(path, archive, level="fast", codec="store", verify=False)
        sums = [0.0, 0.0]
        with mmh.open(archive) as file:
            for info in file.infos():
                name = info.name
                if info.dtype not in EXPONENTS or len(info.shape) < 2 or info.nbytes < 4096:
                    continue
                bits, mantissa, exponent = EXPONENTS[info.dtype]
                raw = np.empty(info.nbytes, np.uint8)
                file.get_into(name, raw)
                fields = raw.view(f"<u{bits // 8}") >> mantissa & (1 << exponent) - 1
                counts = np.bincount(fields.astype(np.int64))
                shares = counts[counts > 0] / fields.size
                sums[0] += float(-(shares * np.log2(shares)).sum()) * fields.size
                sums[1] += fields.size
    return sums[0] / sums[1] if sums[1] else None


def sizes(path: Path) -> list[float]:
    """Stored over original size, for each way."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "a.mmh"
        return [mmh.compress_file(path, target, codec=codec, level=level, force=True).ratio for codec, level in WAYS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="files whose names hold this")
    arguments = parser.parse_args()
    heads = ["weights", "exponent", *(level if codec == "auto" else codec for codec, level in WAYS)]
    rows = []
    worst = 0.0
    for name, (like, dtype) in PAIRS.items():
        real = arguments.corpus / name
        if arguments.only not in name:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            made = Path(scratch) / f"made{real.suffix}"
            mmh.generate(made, like=like, dtype=dtype, size=real.stat().st_size, seed=arguments.seed)
            found = [(entropy(path), sizes(path)) for path in (real, made)]
        for label, (bits, ratios) in zip((name, f"like {like}, {dtype}"), found, strict=True):
            rows.append([label, "–" if bits is None else f"{bits:.2f}", *(f"{ratio:.3f}" for ratio in ratios)])
        apart = [100 * (b / a - 1) for a, b in zip(found[0][1], found[1][1], strict=True)]
        worst = max(worst, *map(abs, apart[:3]))
        bits_apart = "–" if found[0][0] is None or found[1][0] is None else f"{found[1][0] - found[0][0]:+.2f}"
        rows.append(["", bits_apart, *(f"{percent:+.1f} %" for percent in apart)])
    print(table(heads, rows, left=1))
    print(f"\nThe generated files are within {worst:.1f} % of the size of the real ones, at each level.")


if __name__ == "__main__":
    main()

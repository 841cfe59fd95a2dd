"""Kinds of tensors as models have them, made here: what the plan has to choose well for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import mmh_rs as mmh
from mmh_rs import _core

Rng = np.random.Generator
Array = np.ndarray[Any, Any]
# These need something to be a difference from.
CODECS = [codec for codec in _core.CODECS if codec not in ("auto", "delta", "relative")]


@dataclass(frozen=True)
class Kind:
    """`make` gives about so many bytes; `dtype` is None for bytes of which nothing is said; `codecs` are those of which
    one may win."""

    name: str
    dtype: str | None
    codecs: str
    make: Callable[[Rng, int], Array]

    def data(self, size: int, seed: int = 1) -> bytes:
        made = self.make(np.random.default_rng(seed), size)
        return np.ascontiguousarray(made).tobytes()


def normal(rng: Rng, count: int, scale: float = 0.02) -> Array:
    return rng.normal(0, scale, count).astype(np.float32)


def bf16(values: Array) -> Array:
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def palette(rng: Rng, count: int, levels: int = 16) -> Array:
    """Weights rounded to some levels of one scale, as dequantized ones are."""
    steps = np.clip(np.rint(rng.normal(0, levels / 6, count)), -levels // 2, levels // 2 - 1)
    return (steps * np.float32(0.0123)).astype(np.float32)


def integers(rng: Rng, count: int, group: int, bits: int) -> Array:
    """Weights that were quantized to integers, with a scale for each group, and expanded again."""
    weights = normal(rng, count // group * group).reshape(-1, group)
    scale = np.abs(weights).max(1, keepdims=True) / np.float32((1 << bits - 1) - 1)
    expanded: Array = np.rint(weights / scale) * scale
    return expanded.astype(np.float32)


def fp8_tiles(rng: Rng, count: int) -> Array:
    """Weights that were quantized to FP8 with a scale for each 128 rows of 128, and expanded again."""
    weights = normal(rng, count // 128 * 128).reshape(-1, 128)
    tile = np.arange(len(weights)) // 128
    scale = np.array([np.abs(weights[tile == t]).max() for t in range(tile[-1] + 1)], np.float32) / np.float32(448)
    scale = scale[tile][:, None]
    ratio = weights / scale
    step = np.float32(2) ** (np.floor(np.log2(np.maximum(np.abs(ratio), np.float32(2**-6)))) - 3)
    expanded: Array = np.rint(ratio / step) * step * scale
    return expanded.astype(np.float32)


def rounded_bf16(values: Array) -> Array:
    """To nearest, ties to even."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def words(rng: Rng, size: int, bits: int, known: int) -> Array:
    """Words drawn from a book."""
    book = rng.integers(0, 2, (known, bits), dtype=np.uint8)
    chosen = book[rng.integers(0, known, 8 * size // bits)]
    return np.packbits(chosen.reshape(-1), bitorder="little")


def sparse(rng: Rng, count: int, zeros: float) -> Array:
    return np.where(rng.random(count) < zeros, 0, normal(rng, count)).astype(np.float32)


def pruned(rng: Rng, count: int, zeros: float) -> Array:
    """Multiplied by a mask, which leaves zeros of either sign."""
    return normal(rng, count) * (rng.random(count) >= zeros).astype(np.float32)


def two_of_four(rng: Rng, count: int) -> Array:
    """The two largest of each four are kept."""
    values = normal(rng, count // 4 * 4).reshape(-1, 4)
    ranks = np.abs(values).argsort(1).argsort(1)
    return (values * (ranks >= 2).astype(np.float32)).astype(np.float32)


def added_mask(rng: Rng, count: int) -> Array:
    return np.where(rng.random(count) < 0.8, np.float32(0), np.float32(-np.inf))


def q4_0(rng: Rng, size: int) -> Array:
    """Blocks of GGUF: a scale and 32 values of four bits."""
    n = size // 18
    values = normal(rng, 32 * n).reshape(n, 32)
    largest = np.take_along_axis(values, np.abs(values).argmax(1)[:, None], 1)
    scale = largest / -8
    quants = np.clip(np.trunc(values / scale + 8.5), 0, 15).astype(np.uint8)
    packed = quants[:, :16] | quants[:, 16:] << 4
    return np.concatenate([scale.astype(np.float16).view(np.uint8), packed], axis=1)


def q8_0(rng: Rng, size: int) -> Array:
    n = size // 34
    values = normal(rng, 32 * n).reshape(n, 32)
    scale = np.abs(values).max(1, keepdims=True) / 127
    quants = np.rint(values / scale).astype(np.int8)
    return np.concatenate([scale.astype(np.float16).view(np.uint8), quants.view(np.uint8)], axis=1)


def int4(rng: Rng, size: int) -> Array:
    values = np.clip(np.rint(rng.normal(8, 2.5, 2 * size)), 0, 15).astype(np.uint8)
    return values[::2] | values[1::2] << 4


def few_rows(rng: Rng, size: int) -> Array:
    return normal(rng, 16 * 512).reshape(16, 512)[rng.integers(0, 16, 1 + size // 2048)]


def embeddings(rng: Rng, size: int) -> Array:
    """Rows of 256, of which one in eight was never trained."""
    rows = normal(rng, size // 2 // 256 * 256).reshape(-1, 256)
    rows[rng.random(len(rows)) < 0.125] = 0
    return bf16(rows)


def upcast(rng: Rng, count: int) -> Array:
    return (normal(rng, count).view(np.uint32) & 0xFFFF0000).view(np.float32)


def fp8(rng: Rng, count: int) -> Array:
    """E4M3, from fp16 by truncation."""
    half = np.clip(normal(rng, count, 1.0), -200, 200).astype(np.float16).view(np.uint16)
    sign, exponent, mantissa = half >> 15, half >> 10 & 31, half >> 7 & 7
    small = np.clip(exponent.astype(int) - 8, 0, 15)
    return np.asarray(sign << 7 | small << 3 | mantissa, np.uint8)


def without_gaps(rng: Rng, size: int, bits: int) -> Array:
    """Quantized weights of a few bits, bit after bit."""
    codes = np.clip(np.rint(rng.normal(0.5, 0.2, 8 * size // bits) * (1 << bits)), 0, (1 << bits) - 1).astype(np.uint8)
    stream = np.packbits(codes[:, None] >> np.arange(bits) & 1, bitorder="little")
    return stream[: stream.size // 4 * 4]


def text(rng: Rng, size: int) -> Array:
    """A vocabulary, as tokenizers are written."""
    syllables = ["ing", "er", "a", "the", "on", "tion", "re", "con", "s", "ly", "un", "ment", "al", "ive"]
    entries: dict[str, int] = {}
    while 24 * len(entries) < size:
        entries["".join(rng.choice(syllables, rng.integers(2, 6)))] = len(entries)
    return np.frombuffer(json.dumps(entries).encode()[:size], np.uint8)


def one_hot(rng: Rng, count: int, classes: int = 64) -> Array:
    return np.eye(classes, dtype=np.float32)[rng.integers(0, classes, count // classes)]


def blocky_mask(rng: Rng, size: int) -> Array:
    side = 1 + int(size**0.5) // 32
    return np.kron(rng.random((side, side)) < 0.3, np.ones((32, 32), bool))


def relu(rng: Rng, size: int) -> Array:
    return np.maximum(normal(rng, size // 2), 0).astype(np.float16)


def moments(rng: Rng, count: int) -> Array:
    scales = np.repeat(np.exp(rng.normal(-9, 1.5, count // 256 + 1)), 256)[:count]
    return np.asarray(rng.normal(0, 1, count) * scales, np.float32)


KINDS = [
    Kind("noise", "U8", "store", lambda r, n: r.integers(0, 256, n, dtype=np.uint8)),
    Kind("noise of no type", None, "store", lambda r, n: r.integers(0, 256, n, dtype=np.uint8)),
    Kind("zeros", "F32", "pattern251", lambda _, n: np.zeros(n // 4, np.float32)),
    Kind("constant", "BF16", "pattern251", lambda _, n: np.full(n // 2, 0x3F80, np.uint16)),
    Kind("251-byte pattern", None, "pattern251", lambda r, n: np.resize(r.integers(0, 256, 251, dtype=np.uint8), n)),
    Kind("repeated rows", "F32", "pattern251 hierarchical", lambda r, n: np.resize(normal(r, 1024), n // 4)),
    Kind("rows of a few", "F32", "zstd hierarchical", few_rows),
    Kind("bf16 weights", "BF16", "tensor", lambda r, n: bf16(normal(r, n // 2))),
    Kind("bf16 weights of no type", None, "tensor", lambda r, n: bf16(normal(r, n // 2))),
    Kind("fp16 weights", "F16", "tensor", lambda r, n: normal(r, n // 2).astype(np.float16)),
    Kind("fp32 weights", "F32", "tensor", lambda r, n: normal(r, n // 4)),
    Kind("fp64 weights", "F64", "tensor", lambda r, n: r.normal(0, 0.02, n // 8)),
    Kind("fp8 weights", "F8_E4M3", "tensor", fp8),
    Kind("bf16 as fp32", "F32", "tensor", lambda r, n: upcast(r, n // 4)),
    Kind("fp16 as fp32", "F32", "tensor", lambda r, n: normal(r, n // 4).astype(np.float16).astype(np.float32)),
    Kind("90 % zeros", "F32", "tensor hierarchical zstd", lambda r, n: sparse(r, n // 4, 0.9)),
    Kind("99 % zeros", "F32", "hierarchical zstd", lambda r, n: sparse(r, n // 4, 0.99)),
    Kind("90 % zeros, bf16", "BF16", "tensor hierarchical zstd", lambda r, n: bf16(sparse(r, n // 2, 0.9))),
    Kind("half pruned, fp16", "F16", "hierarchical", lambda r, n: pruned(r, n // 2, 0.5).astype(np.float16)),
    Kind("two of four pruned, bf16", "BF16", "hierarchical", lambda r, n: bf16(two_of_four(r, n // 2))),
    Kind("added mask, fp32", "F32", "hierarchical tensor", lambda r, n: added_mask(r, n // 4)),
    Kind("int4, two to a byte", "U8", "tensor", int4),
    Kind("3 bits without a gap", "U32", "hierarchical", lambda r, n: without_gaps(r, n, 3)),
    Kind("4 bits in words of 32", "U32", "tensor", lambda r, n: without_gaps(r, n, 4)),
    Kind("5 bits without a gap", "U8", "hierarchical", lambda r, n: without_gaps(r, n, 5)),
    Kind("6 bits without a gap", "I32", "hierarchical", lambda r, n: without_gaps(r, n, 6)),
    Kind("Q4_0", "Q4_0", "hierarchical", q4_0),
    Kind("Q8_0", "Q8_0", "hierarchical", q8_0),
    Kind("palette, bf16", "BF16", "hierarchical tensor", lambda r, n: bf16(palette(r, n // 2))),
    Kind("palette, fp32", "F32", "hierarchical", lambda r, n: palette(r, n // 4)),
    Kind("palette of 256, fp32", "F32", "hierarchical", lambda r, n: palette(r, n // 4, 256)),
    Kind("int4 times scales, bf16", "BF16", "hierarchical", lambda r, n: rounded_bf16(integers(r, n // 2, 64, 4))),
    Kind("int4 times scales, fp16", "F16", "hierarchical", lambda r, n: integers(r, n // 2, 128, 4).astype(np.float16)),
    Kind("int8 times scales, fp32", "F32", "hierarchical", lambda r, n: integers(r, n // 4, 1024, 8)),
    Kind("fp8 times scales, fp32", "F32", "hierarchical", lambda r, n: fp8_tiles(r, n // 4)),
    Kind("fp8 times scales, bf16", "BF16", "hierarchical", lambda r, n: rounded_bf16(fp8_tiles(r, n // 2))),
    Kind("words of 4 bits", "U8", "tensor hierarchical", lambda r, n: words(r, n, 4, 5)),
    Kind("words of 16 bits", "U8", "hierarchical", lambda r, n: words(r, n, 16, 300)),
    Kind("words of 64 bits", "U8", "hierarchical", lambda r, n: words(r, n, 64, 200)),
    Kind("words of 64 bits of no type", None, "hierarchical", lambda r, n: words(r, n, 64, 200)),
    Kind("words of 251 bits", "U8", "hierarchical", lambda r, n: words(r, n, 251, 16)),
    Kind("text", None, "zstd", text),
    Kind("exp_avg", "F32", "tensor", lambda r, n: moments(r, n // 4)),
    Kind("exp_avg_sq", "F32", "tensor", lambda r, n: moments(r, n // 4) ** 2),
    Kind("layer norm near one", "F32", "tensor", lambda r, n: 1 + normal(r, n // 4, 0.05)),
    Kind("layer norm near one, bf16", "BF16", "tensor hierarchical", lambda r, n: bf16(1 + normal(r, n // 2, 0.05))),
    Kind("embeddings with zero rows", "BF16", "hierarchical", embeddings),
    Kind("position ids", "I64", "tensor hierarchical zstd", lambda _, n: np.arange(n // 8, dtype=np.int64)),
    Kind("position ids in rows", "I64", "hierarchical", lambda _, n: np.resize(np.arange(512, dtype=np.int64), n // 8)),
    Kind("sorted ints", "I32", "hierarchical", lambda r, n: np.sort(r.integers(0, 1 << 30, n // 4)).astype(np.int32)),
    Kind("token ids", "I64", "tensor hierarchical", lambda r, n: np.minimum(r.zipf(1.2, n // 8), 32000)),
    Kind("one-hot", "F32", "tensor hierarchical zstd", lambda r, n: one_hot(r, n // 4)),
    Kind("random mask", "BOOL", "tensor", lambda r, n: r.random(n) < 0.15),
    Kind("mask of one in a hundred", "BOOL", "tensor hierarchical zstd", lambda r, n: r.random(n) < 0.01),
    Kind("blocky mask", "BOOL", "zstd hierarchical", blocky_mask),
    Kind("causal mask", "BOOL", "zstd hierarchical", lambda _, n: np.tri(int(n**0.5), dtype=bool)),
    Kind("int8 weights", "I8", "tensor", lambda r, n: np.clip(np.rint(r.normal(0, 30, n)), -128, 127).astype(np.int8)),
    Kind("int8 weights, narrow", "I8", "tensor", lambda r, n: np.rint(r.normal(0, 2, n)).astype(np.int8)),
    Kind("counts", "I32", "tensor hierarchical", lambda r, n: r.poisson(3, n // 4).astype(np.int32)),
    Kind("counts of many", "I64", "tensor", lambda r, n: r.poisson(3000, n // 8).astype(np.int64)),
    Kind("clipped activations", "F16", "tensor hierarchical zstd", relu),
]


def compressed(kind: Kind, data: bytes, **options: object) -> bytes:
    return mmh.compress(data, dtype=kind.dtype, threads=1, **options)  # type: ignore[arg-type]


SMALLEST_LOSS = 64
"""Bytes: what no choice is judged by."""


def loss(kind: Kind, data: bytes, **options: object) -> tuple[float, str, str]:
    """What the plan's choice is larger by than the best codec's result, of which the smallest is sought by trying all;
    the codecs chosen, and the best."""
    blob = compressed(kind, data, **options)
    sizes = {codec: len(compressed(kind, data, codec=codec, **options)) for codec in CODECS}
    best = min(sizes, key=lambda codec: sizes[codec])
    more = len(blob) - sizes[best]
    return (more / sizes[best] if more > SMALLEST_LOSS else 0.0), chosen(blob), best


def chosen(blob: bytes) -> str:
    with mmh.open(blob) as archive:
        return "/".join(sorted(archive.header.codecs))

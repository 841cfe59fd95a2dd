"""Real weights: byte for byte on every way through, and no larger than promised.

Runs where MMH_CORPUS names a directory that `benches/corpus/fetch.py` filled.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmh_rs as mmh
from verdicts import by_spec

NAMED = os.environ.get("MMH_CORPUS")
FILES = sorted(path for path in Path(NAMED).iterdir() if path.is_file() and path.suffix != ".part") if NAMED else []

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not NAMED, reason="MMH_CORPUS names no directory (see benches/corpus/fetch.py)"),
]

SAFETENSORS = [path for path in FILES if path.suffix == ".safetensors"]
# Stored over original size, at most: what the best of OpenZL's Huffman and ZipNN reach on bf16 and fp32.
LIMITS = {
    "merlin-bf16.safetensors": 0.6835,
    "minilm-bf16.safetensors": 0.6651,
    "minilm-fp32.safetensors": 0.8193,
    "minilm-upcast-fp32.safetensors": 0.333,
    # The best of zstd, ZipNN and pcodec on the others.
    "wordllama-fp16.safetensors": 0.8541,
    "minilm-fp16.safetensors": 0.8485,
    "minilm-fp8-e4m3.safetensors": 0.8245,
    "minilm-fp8-e5m2.safetensors": 0.7001,
    "glove-50d-fp32.npy": 0.671,
    # What quantized blocks come to field by field.
    "smollm2-q4_1.gguf": 0.89,
    "minilm-q4_0.gguf": 0.925,
    "deepseek-q6_k-truncated.gguf": 0.957,
}
SLOW_DECODER = 1 << 20
"""Files up to this size are given to the decoder beside the specification, which is slow."""


# The same for fine-tunes against what they were tuned from, for casts against their masters, and the other way round.
AGAINST = {
    ("minilm-sre-bf16.safetensors", "minilm-bf16.safetensors"): 0.20,
    ("minilm-sre-fp32.safetensors", "minilm-fp32.safetensors"): 0.50,
    ("minilm-bf16.safetensors", "minilm-fp32.safetensors"): 0.001,
    ("minilm-fp16.safetensors", "minilm-fp32.safetensors"): 0.001,
    ("minilm-upcast-fp32.safetensors", "minilm-bf16.safetensors"): 0.001,
    ("minilm-fp32.safetensors", "minilm-bf16.safetensors"): 0.50,
}


@pytest.mark.parametrize(("tuned", "base"), AGAINST)
def test_what_is_like_another_file_is_small_against_it(tuned: str, base: str, scratch: Path) -> None:
    assert NAMED
    source, base_path = Path(NAMED, tuned), Path(NAMED, base)
    packed, back = scratch / "tuned.mmh", scratch / "back"
    report = mmh.compress_file(source, packed, base=base_path)
    assert report.stored_bytes <= AGAINST[tuned, base] * report.source_bytes
    mmh.decompress_file(packed, back, base=base_path)
    assert sha256(back) == sha256(source)


def name(path: Path) -> str:
    return path.name


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "mmh_rs", *map(str, arguments)]


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory that is emptied at once: pytest would keep a gigabyte."""
    yield tmp_path
    for path in tmp_path.iterdir():
        path.unlink()


def test_it_is_whole() -> None:
    assert set(LIMITS) <= {path.name for path in FILES}
    assert len(FILES) >= 29


@pytest.mark.parametrize("source", FILES, ids=name)
def test_every_way_gives_the_same_bytes(source: Path, scratch: Path) -> None:
    wanted, size = sha256(source), source.stat().st_size
    one, two, cli, back = (scratch / part for part in ("one.mmh", "two.mmh", "cli.mmh", "back"))

    report = mmh.compress_file(source, one, threads=1, sha256=True)
    assert report.sha256 == wanted
    assert report.source_bytes == size
    assert report.stored_bytes == one.stat().st_size <= size * LIMITS.get(source.name, 1.001) + 1024
    mmh.compress_file(source, two, threads=2, sha256=True)
    assert two.read_bytes() == one.read_bytes()

    for threads in (1, 2):
        assert mmh.decompress_file(one, back, threads=threads, force=True).sha256 in (None, wanted)
        assert sha256(back) == wanted

    subprocess.run(command("compress", "-T2", "--sha256", source, "-o", cli), check=True, capture_output=True)
    assert cli.read_bytes() == one.read_bytes()
    subprocess.run(command("verify", cli), check=True, capture_output=True)
    subprocess.run(command("decompress", "-f", cli, "-o", back), check=True, capture_output=True)
    assert sha256(back) == wanted


@pytest.mark.parametrize("source", FILES, ids=name)
def test_estimates_are_within_one_percent(source: Path, scratch: Path) -> None:
    found = mmh.estimate(source)
    assert found.source_bytes == source.stat().st_size
    for level in found.levels:
        report = mmh.compress_file(source, scratch / "file.mmh", level=level.level, verify=False, force=True)
        assert level.stored_bytes == pytest.approx(report.stored_bytes, rel=0.01)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("source", FILES, ids=name)
def test_through_pipes(source: Path, threads: int, scratch: Path) -> None:
    """compress - | decompress -"""
    with source.open("rb") as file, (scratch / "back").open("wb") as back:
        first = subprocess.Popen(
            command("compress", f"-T{threads}", "-c", "-"), stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        second = subprocess.Popen(
            command("decompress", f"-T{threads}", "-c", "-"), stdin=first.stdout, stdout=back, stderr=subprocess.PIPE
        )
        assert first.stdout is not None and first.stderr is not None
        first.stdout.close()
        _, errors = second.communicate()
        with first.stderr as stderr:
            assert (first.wait(), second.returncode) == (0, 0), (stderr.read(), errors)
    assert sha256(scratch / "back") == sha256(source)


@pytest.mark.parametrize("source", SAFETENSORS, ids=name)
def test_slices_equal_those_of_safetensors(source: Path, scratch: Path) -> None:
    from safetensors import safe_open as theirs

    fp8 = "fp8" in source.name  # safetensors' own NumPy side cannot make fp8: its bytes are compared instead

    target = scratch / "file.mmh"
    mmh.compress_file(source, target)
    with theirs(source, framework="np") as plain, mmh.safe_open(target, framework="np") as packed:
        assert list(packed.keys()) == list(plain.keys())
        assert packed.metadata() == plain.metadata()
        for key in plain.keys():  # noqa: SIM118
            if fp8 and plain.get_slice(key).get_dtype().startswith("F8"):
                assert_same_as_in_the_file(source, key, packed)
                continue
            left, right = packed.get_slice(key), plain.get_slice(key)
            assert list(left.get_shape()) == list(right.get_shape())
            assert left.get_dtype() == right.get_dtype()
            rows = right.get_shape()[0] if right.get_shape() else 0
            # None of them is empty: safetensors refuses some of those.
            thirds = [slice(0, rows // 3 + 1), slice(rows // 3, rows // 2 + 1), slice(rows - rows // 4 - 1, rows)]
            for part in thirds if rows else []:
                assert_same(left[part], right[part])
            assert_same(packed.get_tensor(key), plain.get_tensor(key))


def assert_same_as_in_the_file(source: Path, key: str, packed: Any) -> None:
    """Whole and in part, against the bytes where the header of the safetensors file says that they are."""
    with source.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(size))[key]
        start, end = entry["data_offsets"]
        file.seek(8 + size + start)
        plain = np.frombuffer(file.read(end - start), np.uint8).reshape(entry["shape"])
    half = plain.shape[0] // 2
    assert packed.get_tensor(key).view(np.uint8).tobytes() == plain.tobytes()
    assert packed.get_slice(key)[half:].view(np.uint8).tobytes() == plain[half:].tobytes()


def assert_same(left: Any, right: Any) -> None:
    assert left.shape == right.shape
    assert left.dtype == right.dtype
    assert np.ascontiguousarray(left).tobytes() == np.ascontiguousarray(right).tobytes()


@pytest.mark.parametrize("source", [path for path in FILES if path.stat().st_size <= SLOW_DECODER], ids=name)
def test_the_decoder_agrees(source: Path, scratch: Path) -> None:
    target = scratch / "file.mmh"
    mmh.compress_file(source, target, sha256=True)
    assert by_spec(target.read_bytes()) == source.read_bytes()


def test_random_bytes() -> None:
    data = np.random.default_rng(6).bytes(32 << 20)
    assert len(mmh.compress(data)) <= 1.001 * len(data)

"""Short stretches between tensors go on from the beginning of the file."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard

import mmh_builder as mb
import mmh_rs as mmh
from support import damage, environment, plain_safetensors
from test_salvage import check_folder

LAYERS = 60


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    return {f"layer{i}.weight": random.normal(0, 0.02, (40, 64)).astype(np.float32) for i in range(LAYERS)}


@pytest.fixture(scope="module")
def model(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive, in which a head stands before each entry."""
    path = tmp_path_factory.mktemp("prefix") / "model.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_what_stands_between_tensors(model: Path, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    target = tmp_path / "model.mmh"
    blobs = set()
    for threads in (1, 3):
        mmh.compress_file(model, target, threads=threads, force=True)
        blobs.add(target.read_bytes())
    assert len(blobs) == 1
    with mmh.open(target) as archive:
        codecs = archive.header.codecs
        # All but the first, and the directory at the end.
        assert codecs["prefix"]["frames"] >= LAYERS - 1
        assert codecs["prefix"]["stored"] < 70 * LAYERS
        assert archive.verify()
        for name, array in arrays.items():
            assert archive.get(name).tobytes() == array.tobytes()
    mmh.decompress_file(target, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == model.read_bytes()


@pytest.mark.parametrize("level", [1, 5, 8, 9])
def test_levels(model: Path, level: int) -> None:
    data = model.read_bytes()
    blob = mmh.compress(data, level=level)
    assert mmh.decompress(blob) == data
    with mmh.open(blob) as archive:
        assert "prefix" in archive.header.codecs


def test_pipes(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.mmh"
    mmh.compress_file(model, target, parity=5)
    with open(target, "rb") as file:
        words = [sys.executable, "-m", "mmh_rs", "decompress", "-", "-c"]
        read = subprocess.run(words, stdin=file, env=environment(), capture_output=True, check=True)
    assert read.stdout == model.read_bytes()


def test_a_damaged_beginning_costs_what_goes_on_from_it_and_no_tensor(
    model: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    target = tmp_path / "model.mmh"
    mmh.compress_file(model, target)
    data = bytearray(target.read_bytes())
    data[16 + 24 + 20] ^= 1
    target.write_bytes(data)
    with mmh.open(target) as archive:
        found = archive.verify()
        assert not found and all(place["tensor"] is None for place in found.damaged)
        assert all(archive.get(name).tobytes() == array.tobytes() for name, array in arrays.items())
        with pytest.raises(mmh.CorruptionError, match="the first frame"):
            archive.read(archive.info("layer1.weight").start - 100, 100)
    mmh.salvage(target, f"{tmp_path / 'saved'}/")
    report = check_folder(tmp_path / "saved", model.read_bytes(), truths(arrays))
    assert set(report.saved) == set(arrays)


@pytest.mark.parametrize("layer", [3, 40])
def test_without_the_index(model: Path, arrays: dict[str, np.ndarray], tmp_path: Path, layer: int) -> None:
    target = tmp_path / "model.mmh"
    mmh.compress_file(model, target)
    damage(target, f"layer{layer}.weight")
    target.write_bytes(target.read_bytes()[:-50])
    mmh.salvage(target, f"{tmp_path / 'saved'}/")
    report = check_folder(tmp_path / "saved", model.read_bytes(), truths(arrays))
    assert len(report.saved) >= layer


def truths(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in arrays.items()}


def test_a_head_beside_tensors_is_looked_at_closely(tmp_path: Path) -> None:
    """They are few there, and each byte counts; of texts alone there are many."""
    random = np.random.default_rng(6)
    names = {f"model.layers.{i}.{'qkvo'[int(random.integers(4))]}_proj.weight": "" for i in range(600)}
    metadata = {name: str(int(random.integers(1 << 30))) for name in names}
    source = plain_safetensors({"w": ("F32", [4096], random.normal(size=4096).astype(np.float32).tobytes())}, metadata)
    head = source[: -4 * 4096]
    blob = mmh.compress(source)
    with mmh.open(blob) as archive:
        stored = archive.header.codecs["zstd"]["stored"]
    with mmh.open(mmh.compress(head)) as archive:
        assert stored < archive.header.codecs["zstd"]["stored"]
    assert mmh.decompress(blob) == source


def test_a_beginning_that_claims_more_than_the_index_is_not_decoded() -> None:
    """The limits were asked about what the index says."""
    zeros = bytes(1 << 24)
    first, payload = zstandard.ZstdCompressor().compress(zeros), zstandard.ZstdCompressor().compress(b"!" * 40)
    frames = [mb.zstd(first, zeros), mb.prefix(payload, b"!" * 40)]
    assert mmh.decompress(mb.build(frames, hashes=False)) == zeros + b"!" * 40
    few = [replace(frames[0], raw=len(first)), frames[1]]
    blob = bytearray(mb.build(few, hashes=False))
    blob[16 + 8 : 16 + 16] = len(zeros).to_bytes(8, "little")
    with mmh.open(bytes(blob)) as archive, pytest.raises(mmh.CorruptionError, match="not agree with the index"):
        archive.read(len(first), 40)


def test_a_beginning_that_does_not_hold_is_decoded_once() -> None:
    """Thousands of frames that go on from it do not have it decoded again, each for itself."""
    zeros = bytes(1 << 24)
    first = replace(mb.zstd(zstandard.ZstdCompressor().compress(zeros), zeros), checksum=1)
    payload = zstandard.ZstdCompressor().compress(b"!" * 40)
    blob = mb.build([first, *[mb.prefix(payload, b"!" * 40)] * 5000], hashes=False)
    started = time.process_time()
    with mmh.open(blob) as archive:
        found = archive.verify()
    assert len(found.damaged) == 5001
    assert time.process_time() - started < 5


def test_why_tells_what_is_stored(model: Path) -> None:
    for options in ({}, {"codec": "zstd"}, {"level": 1}):
        with mmh.open(mmh.compress(model.read_bytes(), **options)) as archive:  # type: ignore[arg-type]
            explained = archive.why()
            stored: Counter[str] = Counter()
            for part in explained:
                assert part["frames"] is not None
                assert part["chosen"] == next(iter(part["frames"]))
                stored.update(part["frames"])
            assert stored == {name: total["frames"] for name, total in archive.header.codecs.items()}
            between = [part["chosen"] for part in explained if part["name"] is None]
            assert between.count("prefix") >= (LAYERS - 1 if "codec" not in options else 0)

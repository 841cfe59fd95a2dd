"""Blocks that are equal to earlier ones are stored once, whatever tensors they belong to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mmh_rs as mmh
from support import damage, environment, plain_safetensors, weights

BLOCK = 1 << 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of embeddings, and the same with other rows behind; what was frozen, twice, between other things."""
    table, more, other = (weights(n * BLOCK // 2, seed).tobytes() for seed, n in enumerate((6, 1, 3)))
    tensors = {
        "embed": table,
        "embed.longer": table + more,
        "other": other,
        "average": table[: 3 * BLOCK] + other[:BLOCK],
    }
    path = tmp_path_factory.mktemp("equal") / "model.safetensors"
    header = {name: ("BF16", [len(data) // 2], data) for name, data in tensors.items()}
    path.write_bytes(plain_safetensors(header))
    return path


def test_they_are_stored_once(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.mmh"
    sizes = {}
    for threads in (1, 3):
        mmh.compress_file(model, target, threads=threads, force=True)
        sizes[threads] = target.read_bytes()
    assert sizes[1] == sizes[3]
    with mmh.open(target) as archive:
        info = {name: archive.info(name) for name in archive}
        assert info["embed.longer"].codecs == ("copy", "tensor") and info["embed.longer"].frames == 2
        assert info["average"].codecs == ("copy",) and info["average"].frames == 2
        assert all(of.copy_of is None for of in info.values())
        assert archive.verify()
        data = model.read_bytes()
        for of in info.values():
            assert archive.read(of.start, of.nbytes) == data[of.start : of.start + of.nbytes]
    distinct = 10 * BLOCK
    assert target.stat().st_size < 0.68 * distinct
    mmh.decompress_file(target, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data


def test_in_memory(model: Path) -> None:
    data = model.read_bytes()
    blob = mmh.compress(data)
    assert len(blob) < 0.68 * 10 * BLOCK
    assert mmh.decompress(blob) == data
    text = bytes(weights(2 * BLOCK, 9))
    assert len(mmh.compress(text + text)) < len(mmh.compress(text)) + 100


def test_pipes(model: Path, tmp_path: Path) -> None:
    """What went into a pipe cannot be changed: the header says that there are no copies. From a pipe they come back."""
    data = model.read_bytes()
    command = [sys.executable, "-m", "mmh_rs"]
    words = [*command, "compress", "-c", str(model)]
    written = subprocess.run(words, env=environment(), capture_output=True, check=True)
    assert len(written.stdout) > 0.68 * 12 * BLOCK
    assert mmh.decompress(written.stdout) == data
    mmh.compress_file(model, tmp_path / "model.mmh", parity=5)
    with open(tmp_path / "model.mmh", "rb") as file:
        read = subprocess.run(
            [*command, "decompress", "-", "-c"], stdin=file, env=environment(), capture_output=True, check=True
        )
    assert read.stdout == data


def test_damage_is_told_for_every_place(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.mmh"
    mmh.compress_file(model, target)
    damage(target, "embed")
    with mmh.open(target) as archive:
        found = archive.verify()
        assert {place["tensor"] for place in found.damaged} == {"embed", "embed.longer", "average"}
        with pytest.raises(mmh.CorruptionError):
            archive.get("embed.longer")
        archive.get("other")

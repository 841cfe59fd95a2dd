"""`estimate`: what compressing would save, without doing it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

import mmh_rs as mmh
from support import Command, lines, plain_safetensors, weights

LEVELS = ["fast", "balanced", "max"]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """260 MB in twelve layers: more than is looked at. Layers are alike, what is in them is not, and no block comes
    again."""
    path = tmp_path / "large.safetensors"
    noise = os.urandom((1 << 20) - 1)
    weight = weights((2 << 20) - 1, 1).tobytes()
    tensors = {}
    for layer in range(12):
        turned = weight[1000 * layer * 2 :] + weight[: 1000 * layer * 2]
        tensors[f"layers.{layer}.up"] = ("BF16", [4 << 20], (turned * 3)[: 8 << 20])
        tensors[f"layers.{layer}.ids"] = (
            "U8",
            [8 << 20],
            ((noise[100 * layer :] + noise[: 100 * layer]) * 9)[: 8 << 20],
        )
        tensors[f"layers.{layer}.mask"] = ("F32", [1 << 20], bytes(4 << 20))
        tensors[f"layers.{layer}.norm"] = ("BF16", [512], weights(512, layer).tobytes())
    tensors["head"] = tensors["layers.0.up"]
    path.write_bytes(plain_safetensors(tensors))
    return path


def test_a_large_file_within_one_percent(large: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    found = mmh.estimate(large)
    assert time.monotonic() - started < 10
    assert (found.files, found.format, found.tensors, found.exact) == (1, "safetensors", 49, False)
    assert found.source_bytes == large.stat().st_size
    assert found.copied_bytes >= 8 << 20
    assert 0 < found.sampled_bytes < found.source_bytes
    for name, level in zip(LEVELS, found.levels, strict=True):
        report = mmh.compress_file(large, tmp_path / "out.mmh", level=name, verify=False, force=True)
        assert level.stored_bytes == pytest.approx(report.stored_bytes, rel=0.01)
        assert level.worth_it and level.saved_bytes == found.source_bytes - level.stored_bytes
        assert level.compress_seconds > 0 and level.decompress_seconds > 0
    assert [level.stored_bytes for level in found.levels] == [
        level.stored_bytes for level in mmh.estimate(large, threads=1).levels
    ]


@pytest.mark.parametrize("content", [b"", b"x", b"text " * 1000, os.urandom(100_000)])
def test_small_files_are_exact(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    found = mmh.estimate(path, levels=["max", 1])
    assert found.exact and found.sampled_bytes == len(content)
    assert [level.level for level in found.levels] == [8, 1]
    for level in found.levels:
        report = mmh.compress_file(path, tmp_path / "out.mmh", level=level.level, force=True)
        assert level.stored_bytes == report.stored_bytes
        assert level.ratio == report.ratio
    assert found.worth_it is (content[:4] == b"text")


def test_directories(tmp_path: Path, model: Path) -> None:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    model.rename(root / "model.safetensors")
    for number in range(450):
        (root / "sub" / f"{number}.json").write_text(json.dumps({"number": number, "text": "some words " * 20}))
    for number in range(3):
        (root / f"{number}.bin").write_bytes(weights(1_000_000, number).tobytes())
        (root / f"empty{number}").write_bytes(b"")
    if sys.platform != "win32":
        (root / "link").symlink_to("0.bin")
    found = mmh.estimate(root)
    report = mmh.compress_dir(root, tmp_path / "out")
    assert (found.files, found.format, found.tensors) == (457, "directory", 8)
    assert (found.source_bytes, found.exact) == (report.source_bytes, False)
    assert found.levels[1].stored_bytes == pytest.approx(report.stored_bytes, rel=0.01)
    assert mmh.estimate(tmp_path / "tree" / "sub").worth_it
    (tmp_path / "nothing").mkdir()
    nothing = mmh.estimate(tmp_path / "nothing")
    assert (nothing.files, nothing.source_bytes, nothing.worth_it, nothing.exact) == (0, 0, False, True)


def test_wrong_arguments(tmp_path: Path, model: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mmh.estimate(tmp_path / "absent")
    with pytest.raises(ValueError, match="unknown level"):
        mmh.estimate(model, levels=["best"])
    with pytest.raises(TypeError):
        mmh.estimate(None)  # type: ignore[arg-type]
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="pipe or a device"):
            mmh.estimate(tmp_path / "pipe")


def test_the_command(run: Command, model: Path) -> None:
    (model.parent / "noise").write_bytes(os.urandom(50_000))
    done = run("estimate", "model.safetensors", "noise")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert text.startswith("model.safetensors  1.1 MB  safetensors, 8 tensors  sizes are exact\n")
    assert text.count("not worth it") == 3 and text.count("balanced") == 2
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.safetensors", "noise"]


def test_json(run: Command, model: Path) -> None:
    done = run("estimate", "--json", "-r", "-T1", "--level", "fast", "--level", "9", "model.safetensors", ".", "absent")
    document = json.loads(done.stdout)
    assert document["exit_code"] == done.returncode == 4
    assert lines(done.stderr) == ["mmh: absent: no such file or directory"]
    one, directory = document["results"]
    assert set(one) == set(directory) == {
        "path", "files", "source_bytes", "sampled_bytes", "exact", "format", "tensors", "copied_bytes", "worth_it",
        "levels",
    }  # fmt: skip
    assert [level["level"] for level in one["levels"]] == [2, 9]
    assert set(one["levels"][0]) == {
        "level", "stored_bytes", "saved_bytes", "ratio", "compress_seconds", "decompress_seconds", "worth_it",
    }  # fmt: skip
    assert directory["levels"][1]["stored_bytes"] == one["levels"][1]["stored_bytes"]

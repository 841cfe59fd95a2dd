"""`diff`: which tensors of two files differ, and how much."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import mmh_rs as mmh
from support import Command, Server, damage, lines, model_tensors, plain_safetensors


@pytest.fixture
def other(model: Path) -> Path:
    """The model after some work: a tensor of each fate."""
    tensors = model_tensors()
    embed = np.frombuffer(tensors["model.embed.weight"][2], ml_dtypes.bfloat16).copy()
    embed[1000:1100] = embed[1000:1100] * ml_dtypes.bfloat16(2)
    tensors["model.embed.weight"] = ("BF16", [512, 512], embed.tobytes())
    tensors["model.positions"] = ("I64", [512], tensors["model.positions"][2])
    tensors["model.norm.weight"] = ("F16", [1024], tensors["model.norm.weight"][2])
    del tensors["model.mask"]
    tensors["new"] = ("U8", [3], b"abc")
    path = model.parent / "other.safetensors"
    path.write_bytes(plain_safetensors(tensors, {"format": "pt", "note": "größer ✓"}))
    return path


def packed(path: Path) -> Path:
    target = Path(f"{path}.mmh")
    if not target.exists():
        mmh.compress_file(path, target)
    return target


@pytest.mark.parametrize("packing", ["neither", "first", "second", "both"])
@pytest.mark.parametrize("threads", [1, 3])
def test_each_kind_of_change(model: Path, other: Path, packing: str, threads: int) -> None:
    one = packed(model) if packing in ("first", "both") else model
    two = packed(other) if packing in ("second", "both") else other
    found = mmh.diff(one, two, threads=threads)
    assert found and not found.identical and not found.same_tensors
    assert {tensor.name: tensor.change for tensor in found.tensors} == {
        "model.embed.weight": "changed",
        "model.norm.weight": "retyped",
        "model.mask": "gone",
        "model.positions": "reshaped",
        "model.scale": "equal",
        "model.empty": "equal",
        "model.experts": "equal",
        "lm_head.weight": "equal",
        "new": "added",
    }
    assert found.changes == {"equal": 4, "changed": 1, "reshaped": 1, "retyped": 1, "added": 1, "gone": 1}
    assert (found.first["packed"], found.second["packed"]) == (
        packing in ("first", "both"),
        packing in ("second", "both"),
    )
    tensors = {tensor.name: tensor for tensor in found.tensors}
    embed = tensors["model.embed.weight"]
    before = np.frombuffer(model_tensors()["model.embed.weight"][2], ml_dtypes.bfloat16).astype(np.float64)
    part = before[1000:1100]
    assert embed.elements == 512 * 512
    assert embed.differing == np.count_nonzero(part)
    assert embed.share == embed.differing / embed.elements
    assert embed.first_differing == 1000 + np.flatnonzero(part)[0]
    assert embed.max_abs == np.abs(part).max()
    assert embed.max_rel == 1.0
    assert embed.relative_norm == pytest.approx(np.linalg.norm(part) / np.linalg.norm(before))
    assert embed.not_finite == 0
    moved = tensors["model.positions"]
    assert (moved.differing, moved.max_abs) == (0, None)
    assert (moved.first or {})["shape"] == [1, 512] and (moved.second or {})["shape"] == [512]
    assert tensors["model.norm.weight"].elements is None and tensors["model.norm.weight"].share is None
    assert tensors["new"].first is None and tensors["model.mask"].second is None


def test_a_file_and_its_mmh_are_identical(model: Path) -> None:
    for one, two in ((model, packed(model)), (packed(model), model), (packed(model), packed(model)), (model, model)):
        found = mmh.diff(one, two)
        assert found.identical and found.same_tensors and not found
        assert found.other["differing"] == 0


def test_small_archives_have_their_tensors_too(tmp_path: Path) -> None:
    """Of a small file the index leaves the tensors out."""
    tensors = {f"t{number}": ("F32", [1], bytes([number, 1, 2, 3])) for number in range(200)}
    (tmp_path / "a").write_bytes(plain_safetensors(tensors))
    tensors["t7"] = ("F32", [1], b"diff")
    (tmp_path / "b").write_bytes(plain_safetensors(tensors))
    found = mmh.diff(packed(tmp_path / "a"), packed(tmp_path / "b"))
    assert [tensor.name for tensor in found.tensors if tensor.change == "changed"] == ["t7"]
    assert found.changes["equal"] == 199


def test_files_without_tensors(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello world")
    (tmp_path / "b").write_bytes(b"hullo")
    found = mmh.diff(tmp_path / "a", tmp_path / "b")
    assert found and found.tensors == [] and found.same_tensors
    assert (found.other["elements"], found.other["differing"], found.other["first"]) == (5, 1, 1)
    assert (found.first["other_bytes"], found.second["other_bytes"]) == (11, 5)


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    for name, values in (("a", [1.0, np.nan, np.inf, 0.0]), ("b", [1.5, np.nan, 1.0, -0.0])):
        np.save(tmp_path / f"{name}.npy", np.array(values))
    (tensor,) = mmh.diff(tmp_path / "a.npy", tmp_path / "b.npy").tensors
    assert (tensor.differing, tensor.not_finite) == (3, 1)
    assert (tensor.max_abs, tensor.max_rel, tensor.relative_norm) == (0.5, 0.5, 0.5)


def test_file_objects_and_urls(model: Path, other: Path, server: Server) -> None:
    server.files["/model.mmh"] = packed(model).read_bytes()
    assert mmh.diff(f"{server.address}/model.mmh", io.BytesIO(model.read_bytes())).identical
    assert mmh.diff(io.BytesIO(packed(other).read_bytes()), f"{server.address}/model.mmh").changes["changed"] == 1
    with pytest.raises(FileNotFoundError):
        mmh.diff(model, f"{server.address}/absent")


def test_progress_and_stopping(model: Path, other: Path) -> None:
    steps: list[tuple[int, int | None, int]] = []
    mmh.diff(model, other, progress=lambda *step: steps.append(step))
    total = sum(len(data) for _, _, data in model_tensors().values())
    assert steps[-1][:2] == (total, total)

    def stop(*step: object) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        mmh.diff(model, other, progress=stop)


def test_damage_is_told(model: Path, other: Path) -> None:
    damage(packed(other), "model.embed.weight")
    with pytest.raises(mmh.CorruptionError, match="damaged: in the second file, "):
        mmh.diff(model, packed(other))
    packed(other).write_bytes(packed(other).read_bytes()[:-1])
    with pytest.raises(mmh.CorruptionError, match="in the second file, the end of the file"):
        mmh.diff(model, packed(other))


def test_the_command(run: Command, model: Path, other: Path) -> None:
    done = run("diff", "model.safetensors", "other.safetensors")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert [line.split()[:2] for line in text.splitlines()[1:6]] == [
        ["changed", "model.embed.weight"],
        ["retyped", "model.norm.weight"],
        ["gone", "model.mask"],
        ["reshaped", "model.positions"],
        ["added", "new"],
    ]
    assert "F32 → F16" in text and "1x512 → 512" in text
    assert "tensors: 4 equal, 1 changed, 1 reshaped, 1 retyped, 1 added, 1 gone\n" in text
    assert "model.scale" not in text
    assert "model.scale" in run("diff", "--all", "model.safetensors", "other.safetensors").stdout.decode()
    assert run("diff", "--exit-code", "model.safetensors", "other.safetensors").returncode == 1
    packed(model)
    done = run("diff", "--exit-code", "model.safetensors", "model.safetensors.mmh")
    assert (done.returncode, done.stdout) == (0, b"identical: 1.1 MB, 8 tensors\n")
    done = run("diff", "model.safetensors", "absent")
    assert (done.returncode, lines(done.stderr)) == (4, ["mmh: absent: no such file or directory"])
    damage(packed(other), "model.embed.weight")
    done = run("diff", "model.safetensors", "other.safetensors.mmh")
    assert done.returncode == 2
    assert "in the second file" in lines(done.stderr)[0]


def test_json(run: Command, model: Path, other: Path) -> None:
    document = json.loads(run("diff", "--json", "--exit-code", "model.safetensors", "other.safetensors").stdout)
    assert document["exit_code"] == 1
    (result,) = document["results"]
    assert set(result) == {
        "path", "other_path", "identical", "same_tensors", "changes", "first", "second", "other", "tensors",
    }  # fmt: skip
    assert len(result["tensors"]) == 9
    assert set(result["tensors"][0]) == {
        "name", "change", "first", "second", "elements", "differing", "share", "first_differing", "max_abs", "max_rel",
        "relative_norm", "not_finite",
    }  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_colours_on_a_terminal(model: Path, other: Path) -> None:
    from test_cli_manners import on_terminal

    words = ["diff", "model.safetensors", "other.safetensors"]
    code, text = on_terminal(words, model.parent, NO_COLOR="")
    assert code == 0 and "\x1b[33mchanged" in text
    code, text = on_terminal(words, model.parent)
    assert code == 0 and "\x1b[" not in text.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "changed" in text and "model.embed.weight" in text

"""What is left of a damaged file is saved, with its index or without it, and nothing is saved under a wrong name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import mmh_rs as mmh
from support import Command, model_tensors, plain_safetensors, weights

DATA = Path(__file__).resolve().parent.parent / "data"

VECTORS = Path(__file__).resolve().parents[2] / "spec" / "vectors" / "valid"

FORMATS = ["model.gguf", "checkpoint.pt", "legacy.pt", "script.pt", "model.onnx", "keras.h5", "model.tflite"]


def tensors_of(path: Path) -> dict[str, bytes]:
    """The tensors of a safetensors file, by its header."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__")
    start = 8 + size
    spans = {name: entry["data_offsets"] for name, entry in header.items()}
    return {name: data[start + first : start + last] for name, (first, last) in spans.items()}


def truth(path: Path) -> dict[str, bytes]:
    """What the tensors of a whole `.mmh` are, in C order."""
    with mmh.open(path) as archive:
        found = {}
        for info in archive.infos():
            data = bytearray(info.nbytes)
            archive.get_into(info.name, data)
            if info.fortran and info.nbytes:
                width = info.nbytes // int(np.prod(info.shape))
                data = np.frombuffer(data, f"V{width}").reshape(info.shape[::-1]).T.tobytes()  # type: ignore[assignment]
            found[info.name] = bytes(data)
        return found


def end_of_frames(path: Path) -> int:
    data = path.read_bytes()
    return len(data) - 40 - int.from_bytes(data[-40:-32], "little")


def check_folder(folder: Path, original: bytes, expected: dict[str, bytes]) -> mmh.SalvageReport:
    """Compares all that a directory holds with what it is to be, and gives the report in it."""
    shown = json.loads((folder / "salvage.json").read_text())
    shown["ranges"] = [tuple(pair) for pair in shown["ranges"]]
    shown["damaged"] = [tuple(pair) for pair in shown["damaged"]]
    report = mmh.SalvageReport(**shown)
    assert sorted([*report.files, "salvage.json"]) == sorted(path.name for path in folder.iterdir())
    seen = 0
    for name in report.files:
        data = (folder / name).read_bytes()
        if name == "tensors.safetensors":
            saved = tensors_of(folder / name)
            assert list(saved) == report.saved
            for tensor, content in saved.items():
                assert content == expected[tensor], tensor
            data = b"".join(saved.values())
        elif name.startswith("source."):
            assert data == original and report.complete
        elif name.startswith("source-"):
            start = int(name.removeprefix("source-").removesuffix(".bin"))
            assert data == original[start : start + len(data)], name
        else:
            assert name.startswith("unplaced-") and data in original
            continue
        seen += len(data)
    assert seen == sum(stop - start for start, stop in report.ranges)
    return report


@pytest.mark.parametrize("parity", [None, 5])
def test_a_download_that_was_cut_off(model: Path, parity: int | None) -> None:
    path = model.with_name("whole.mmh")
    mmh.compress_file(model, path, parity=parity)
    data = path.read_bytes()
    original = model.read_bytes()
    expected = {name: content for name, (_, _, content) in model_tensors().items()}
    start = 8 + int.from_bytes(original[:8], "little")
    cut, saved_before = model.with_name("cut.mmh"), -1
    for percent in range(4, 100, 4):
        cut.write_bytes(data[: len(data) * percent // 100])
        folder = model.with_name(f"saved {percent}")
        report = mmh.salvage(cut, f"{folder}/")
        assert check_folder(folder, original, expected) == report
        assert report.source_bytes == len(original) and not report.unplaced
        # Everything before the cut: all tensors that end there.
        [(first, known)] = report.ranges
        ends, at = {}, start
        for name, content in expected.items():
            at += len(content)
            ends[name] = at
        assert first == 0 and report.saved == [name for name in expected if ends[name] <= known]
        assert set(report.lost) == set(expected) - set(report.saved)
        assert len(report.saved) >= saved_before
        saved_before = len(report.saved)
    assert saved_before > len(expected) // 2


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_without_its_index(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    shutil.copy(DATA / name, source)
    path = tmp_path / "whole.mmh"
    mmh.compress_file(source, path)
    expected, original = truth(path), source.read_bytes()
    assert expected
    data, end = path.read_bytes(), end_of_frames(path)
    damaged = tmp_path / "damaged.mmh"
    # The end alone is lost: all of the original is there.
    for tail in (b"", data[end : end + 2], data[end:-1], data[end:-45] + b"?" * 45):
        damaged.write_bytes(data[:end] + tail)
        folder = tmp_path / f"all {len(tail)}"
        report = mmh.salvage(damaged, f"{folder}/")
        check_folder(folder, original, expected)
        assert not report.indexed
        if tail:
            assert report.complete and report.files == [f"source{source.suffix}"]
        assert report.ranges == [(0, len(original))]
    named = 0
    for percent in (20, 50, 80, 95):
        for hole in (b"", b"\0" * 999):
            damaged.write_bytes(data[: end * percent // 100] + hole)
            folder = tmp_path / f"cut {percent} {len(hole)}"
            try:
                mmh.salvage(damaged, f"{folder}/")
            except mmh.MmhError:
                assert not folder.exists()  # not one frame is whole
                continue
            named += len(check_folder(folder, original, expected).saved)
    if name in ("model.gguf", "checkpoint.pt"):
        assert named, "these tell of their tensors at the front, or beside them"


def test_every_vector_without_its_index(tmp_path: Path) -> None:
    """Each codec, copies, differences: what they restore is the original, without what the index says of it."""
    for vector in sorted(VECTORS.glob("*.mmh")):
        data = vector.read_bytes()
        if not data.endswith(b"MMHEND\r\n") or end_of_frames(vector) == 16:
            continue  # protected, or of nothing
        base = vector.with_name(f"{vector.stem}.base.bin")
        damaged, folder = tmp_path / "damaged.mmh", tmp_path / vector.stem
        damaged.write_bytes(data[: end_of_frames(vector) + 2])
        report = mmh.salvage(damaged, f"{folder}/", base=base if base.exists() else None)
        original = vector.with_name(f"{vector.stem}.source.bin").read_bytes()
        kept = sum(stop - start for start, stop in report.ranges) + sum(report.unplaced)
        assert kept == len(original), vector.name
        for name in report.files:
            content = (folder / name).read_bytes()
            assert content == original if name.startswith("source.") else content in original, vector.name


def test_arrays_without_an_index(tmp_path: Path) -> None:
    arrays = {name: np.random.default_rng(seed).normal(size=(40, 50)) for seed, name in enumerate("abcde")}
    arrays["b"] = np.asfortranarray(arrays["b"])
    np.savez(tmp_path / "arrays.npz", **arrays)  # type: ignore[arg-type]
    np.save(tmp_path / "array.npy", arrays["a"])
    for name in ("arrays.npz", "array.npy"):
        path = tmp_path / f"{name}.mmh"
        mmh.compress_file(tmp_path / name)
        expected, data = truth(path), path.read_bytes()
        path.write_bytes(data[: end_of_frames(path) * 9 // 10 if name == "arrays.npz" else end_of_frames(path)])
        report = mmh.salvage(path, f"{path}.saved/")
        folder = Path(f"{path}.saved")
        check_folder(folder, (tmp_path / name).read_bytes(), expected)
        assert len(report.saved) == (4 if name == "arrays.npz" else 1)


@pytest.mark.parametrize("moved", [-700, 1, 5000])
@pytest.mark.parametrize("indexed", [True, False])
def test_bytes_put_in_or_taken_out(archive_path: Path, moved: int, indexed: bool) -> None:
    original = archive_path.with_name("model.safetensors").read_bytes()
    expected = {name: content for name, (_, _, content) in model_tensors().items()}
    data, end = archive_path.read_bytes(), end_of_frames(archive_path)
    most = 0
    for at in range(1000, end - 1000, end // 9):
        kept = data if indexed else data[:end]
        copy = archive_path.with_name("moved.mmh")
        copy.write_bytes(kept[:at] + np.random.default_rng(at).bytes(max(moved, 0)) + kept[at + max(-moved, 0) :])
        folder = archive_path.with_name(f"saved {at}")
        report = mmh.salvage(copy, f"{folder}/")
        check_folder(folder, original, expected)
        assert report.indexed == indexed
        most = max(most, len(report.saved))
        if indexed:
            assert len(report.lost) <= 2
    assert most >= len(expected) - 2


def test_parity_mends_what_it_can_where_more_is_lost(model: Path) -> None:
    path = model.with_name("safe.mmh")
    mmh.compress_file(model, path, parity=10)
    found = mmh.examine(path)
    assert found is not None
    data = bytearray(path.read_bytes())
    # The index is damaged, and the parity with it: more than it can mend.
    step = found.shard_bytes * found.groups
    for number in range(found.recovery_shards + 1):
        data[number * step + 300] ^= 1
    data[found.body_bytes - 60] ^= 1
    hurt = model.with_name("hurt.mmh")
    hurt.write_bytes(data)
    with pytest.raises(mmh.CorruptionError, match="salvage"):
        mmh.repair(hurt)
    folder = model.with_name("saved")
    report = mmh.salvage(hurt, f"{folder}/")
    expected = {name: content for name, (_, _, content) in model_tensors().items()}
    check_folder(folder, model.read_bytes(), expected)
    assert report.ranges or report.unplaced


def test_differences_from_a_base(model: Path) -> None:
    tensors = model_tensors()
    changed = {}
    for name, (dtype, shape, content) in tensors.items():
        data = bytes(byte ^ 1 if place % 1000 == 0 else byte for place, byte in enumerate(content))
        changed[name] = (dtype, shape, data)
    path = model.with_name("tuned.safetensors")
    path.write_bytes(plain_safetensors(changed))
    mmh.compress_file(path, base=model)
    archive = model.with_name("tuned.safetensors.mmh")
    data, end = archive.read_bytes(), end_of_frames(archive)
    archive.write_bytes(data[:end])
    folder = model.with_name("saved")
    with pytest.raises(ValueError, match="base"):
        mmh.salvage(archive, f"{folder}/")
    with pytest.raises(mmh.MmhError, match="is not the one"):
        mmh.salvage(archive, f"{folder}/", base=path)
    report = mmh.salvage(archive, f"{folder}/", base=model)
    assert report.saved == list(tensors) and report.source_bytes == path.stat().st_size
    # The record of the base is lost as well: the blocks tell whether it is the one.
    archive.write_bytes(b"?" * 40 + data[40:end])
    for base, good in ((model, True), (path, False)):
        folder = model.with_name(f"saved {good}")
        try:
            mmh.salvage(archive, f"{folder}/", base=base)
        except mmh.MmhError:
            assert not good
            continue
        check_folder(folder, path.read_bytes(), {name: content for name, (_, _, content) in changed.items()})


def test_a_folder_that_was_packed(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for number in range(3):
        tensors = {"weight": ("BF16", [400_000], weights(400_000, number).tobytes())}
        (folder / f"{number}.safetensors").write_bytes(plain_safetensors(tensors))  # type: ignore[arg-type]
    mmh.pack_dir(folder, tmp_path / "pack.mmh")
    path = tmp_path / "pack.mmh"
    expected, data = truth(path), path.read_bytes()
    assert len(expected) == 3
    path.write_bytes(data[: end_of_frames(path) * 8 // 10])
    report = mmh.salvage(path, tmp_path / "saved.safetensors")
    assert report.saved == list(expected)[:2]
    saved = tensors_of(tmp_path / "saved.safetensors")
    assert all(saved[name] == expected[name] for name in report.saved)


def test_commands_and_exit_codes(run: Command, archive_path: Path) -> None:
    data, end = archive_path.read_bytes(), end_of_frames(archive_path)
    cut = archive_path.with_name("cut.mmh")
    cut.write_bytes(data[: end * 8 // 10])
    answer = run("repair", "--salvage", "cut.mmh", "-o", "saved/")
    assert answer.returncode == 2
    said = answer.stderr.decode()
    assert "the index is lost" in said and "tensor lm_head.weight is lost" in said
    shown = run("repair", "--salvage", "cut.mmh", "-o", "other/", "--json")
    result = json.loads(shown.stdout)["results"][0]
    assert (
        result["indexed"] is False and "lm_head.weight" in result["lost"] and "tensors.safetensors" in result["files"]
    )
    # A directory with something in it.
    assert run("repair", "--salvage", "cut.mmh", "-o", "saved/").returncode == 4
    assert run("repair", "--salvage", "cut.mmh", "-o", "saved", "-f").returncode == 2
    # Nothing is lost but the index.
    cut.write_bytes(data[:end] + data[end + 1 :])
    assert run("repair", "--salvage", "cut.mmh", "-o", "all/").returncode == 0
    original = archive_path.with_name("model.safetensors").read_bytes()
    assert archive_path.with_name("all").joinpath("source.safetensors").read_bytes() == original
    # The header of the original is lost: bytes, and no names.
    hurt = bytearray(data[:end])
    hurt[45] ^= 1
    cut.write_bytes(hurt)
    answer = run("repair", "--salvage", "cut.mmh", "-o", "x.safetensors")
    assert answer.returncode == 2 and b"name a directory" in answer.stderr
    assert not archive_path.with_name("x.safetensors").exists()
    answer = run("repair", "--salvage", "cut.mmh", "-o", "pieces/")
    assert answer.returncode == 2 and b"nothing tells where they belong" in answer.stderr
    assert archive_path.with_name("pieces").joinpath("unplaced-1.bin").stat().st_size > 500_000
    other = archive_path.with_name("text.mmh")
    other.write_text("no archive at all")
    assert run("repair", "--salvage", "text.mmh", "-o", "y/").returncode == 3


def test_limits_hold_without_an_index(run: Command, tmp_path: Path) -> None:
    path = tmp_path / "zeros.mmh"
    path.write_bytes(mmh.compress(bytes(3 << 20)))
    path.write_bytes(path.read_bytes()[: end_of_frames(path)])
    few = mmh.Limits(max_bytes=(3 << 20) - 1)
    with pytest.raises(mmh.LimitError, match=r"at most 3145727 are restored.*--max-size"):
        mmh.salvage(path, f"{tmp_path}/few/", limits=few)
    assert not (tmp_path / "few").exists()
    assert mmh.salvage(path, f"{tmp_path}/all/", limits=mmh.Limits(max_bytes=3 << 20), threads=1).ranges == [
        (0, 3 << 20)
    ]
    answer = run("repair", "--salvage", "zeros.mmh", "-o", "some/", "--max-size", "1M")
    assert answer.returncode == 3 and b"--max-size" in answer.stderr
    assert not (tmp_path / "some").exists()
    assert run("repair", "--salvage", "zeros.mmh", "-o", "some/", "--max-size", "3M").returncode == 2
    assert (tmp_path / "some" / "source-0.bin").read_bytes() == bytes(3 << 20)
    assert run("repair", "zeros.mmh", "--max-size", "3M").returncode == 64

"""`compress_file` and `decompress_file`."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmh_rs as mmh
from support import weights


def test_round_trip(model: Path) -> None:
    original = model.read_bytes()
    report = mmh.compress_file(model)
    target = Path(f"{model}.mmh")
    assert model.read_bytes() == original
    assert (report.source, report.target) == (str(model), str(target))
    assert report.source_bytes == len(original)
    assert report.stored_bytes == target.stat().st_size < len(original)
    assert report.ratio == pytest.approx(target.stat().st_size / len(original))
    assert report.seconds > 0
    assert report.bytes_per_second == pytest.approx(len(original) / report.seconds)
    assert (report.format, report.tensors) == ("safetensors", 8)
    assert sum(total["raw"] for total in report.codecs.values()) == len(original)
    assert report.blake3 is not None and len(bytes.fromhex(report.blake3)) == 32
    assert report.sha256 is None
    model.unlink()
    back = mmh.decompress_file(target)
    assert model.read_bytes() == original
    assert (back.source, back.target) == (str(target), str(model))
    assert (back.source_bytes, back.stored_bytes) == (report.source_bytes, report.stored_bytes)
    assert back.blake3 == report.blake3
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.safetensors", "model.safetensors.mmh"]


def test_reports_cannot_be_changed(model: Path) -> None:
    report = mmh.compress_file(model)
    assert isinstance(report, mmh.CompressReport)
    with pytest.raises(AttributeError):
        report.seconds = 1  # type: ignore[misc]
    assert isinstance(mmh.decompress_file(f"{model}.mmh", model.with_name("b")), mmh.DecompressReport)


def test_the_file_is_the_same_as_the_blob_s_content(model: Path) -> None:
    mmh.compress_file(model)
    assert mmh.decompress(Path(f"{model}.mmh").read_bytes()) == model.read_bytes()


@pytest.mark.parametrize("content", [b"", b"x", b"hello\n" * 1000, os.urandom(300_000), bytes(1 << 22)], ids=len)
def test_any_file(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "file"
    source.write_bytes(content)
    report = mmh.compress_file(source, tmp_path / "out.mmh")
    assert report.stored_bytes <= len(content) * 1.001 + 1024
    mmh.decompress_file(tmp_path / "out.mmh", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_numpy_files(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(100, 33)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    report = mmh.compress_file(tmp_path / "a.npy")
    assert (report.format, report.tensors) == ("npy", 1)
    with mmh.open(f"{tmp_path}/a.npy.mmh") as archive:
        np.testing.assert_array_equal(archive.get(archive.keys()[0]), values)


def test_fortran_order(tmp_path: Path) -> None:
    values = np.asfortranarray(np.arange(12000, dtype=np.float32).reshape(100, 40, 3))
    np.save(tmp_path / "a.npy", values)
    mmh.compress_file(tmp_path / "a.npy")
    with mmh.open(f"{tmp_path}/a.npy.mmh") as archive:
        (name,) = archive
        assert archive.info(name).fortran
        np.testing.assert_array_equal(archive.get(name), values)
        np.testing.assert_array_equal(archive.get_slice(name)[3:50:7, 1], values[3:50:7, 1])


def test_same_file_same_bytes(model: Path) -> None:
    targets = []
    for threads in (1, 2, None):
        target = model.with_name(f"{threads}.mmh")
        mmh.compress_file(model, target, threads=threads)
        targets.append(target.read_bytes())
    assert targets[0] == targets[1] == targets[2]


def test_sha256(model: Path) -> None:
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert mmh.compress_file(model, sha256=True).sha256 == digest
    with mmh.open(f"{model}.mmh") as archive:
        assert archive.header.sha256 == digest
    assert mmh.decompress_file(f"{model}.mmh", model.with_name("b")).sha256 == digest


def test_targets_are_not_overwritten(model: Path) -> None:
    target = Path(f"{model}.mmh")
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        mmh.compress_file(model)
    assert target.read_bytes() == b"mine"
    mmh.compress_file(model, force=True)
    with pytest.raises(FileExistsError):
        mmh.decompress_file(target)
    model.write_bytes(b"older")
    mmh.decompress_file(target, force=True)
    assert model.stat().st_size > 1000


def test_default_target_needs_the_suffix(model: Path) -> None:
    other = model.with_name("archive.bin")
    mmh.compress_file(model, other)
    with pytest.raises(ValueError, match=r"does not end in \.mmh; name the target"):
        mmh.decompress_file(other)
    bare = model.with_name(".mmh")
    other.rename(bare)
    with pytest.raises(ValueError, match="name the target"):
        mmh.decompress_file(bare)


def test_missing_files_and_directories(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mmh.compress_file(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        mmh.decompress_file(tmp_path / "absent.mmh")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(FileNotFoundError):
        mmh.compress_file(tmp_path / "file", tmp_path / "no" / "such" / "directory.mmh")
    with pytest.raises(OSError):
        mmh.compress_file(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize("path", [None, 5, object()])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(TypeError, match="source must be a path"):
        mmh.compress_file(path)
    with pytest.raises(TypeError, match="source must be a path"):
        mmh.decompress_file(path)


def test_wrong_arguments_touch_nothing(model: Path) -> None:
    for options in ({"level": 11}, {"codec": "rar"}, {"threads": -1}):
        with pytest.raises(ValueError):
            mmh.compress_file(model, **options)  # type: ignore[arg-type]
    assert not Path(f"{model}.mmh").exists()


def test_progress(tmp_path: Path) -> None:
    source = tmp_path / "a.bin"
    source.write_bytes(weights(3_000_000).tobytes())
    calls: list[tuple[int, int | None, int]] = []
    mmh.compress_file(source, progress=lambda *call: calls.append(call))
    assert calls
    assert all(0 <= done <= 6_000_000 and total == 6_000_000 for done, total, _ in calls)
    assert [done for done, _, _ in calls] == sorted(done for done, _, _ in calls)
    calls.clear()
    mmh.decompress_file(f"{source}.mmh", tmp_path / "b", progress=lambda *call: calls.append(call))
    assert calls and calls[-1][0] <= 6_000_000


class StopError(Exception):
    pass


def test_progress_may_stop_the_work(tmp_path: Path) -> None:
    def stop(done: int, total: int | None, stored: int) -> None:
        raise StopError

    source = tmp_path / "a.bin"
    source.write_bytes(weights(3_000_000).tobytes())
    with pytest.raises(StopError):
        mmh.compress_file(source, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    mmh.compress_file(source)
    with pytest.raises(StopError):
        mmh.decompress_file(f"{source}.mmh", tmp_path / "b", progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "a.bin.mmh"]


def test_damage_leaves_no_file(archive_path: Path, model: Path) -> None:
    data = bytearray(archive_path.read_bytes())
    data[len(data) // 2] ^= 1
    archive_path.write_bytes(data)
    with pytest.raises(mmh.CorruptionError):
        mmh.decompress_file(archive_path, model.with_name("b"))
    assert not model.with_name("b").exists()
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.safetensors", "model.safetensors.mmh"]


def test_not_an_mmh_file(model: Path) -> None:
    with pytest.raises(mmh.UnsupportedFormatError):
        mmh.decompress_file(model, model.with_name("b"))


@pytest.mark.skipif(sys.platform == "win32", reason="names are Unicode there")
def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(bytes(tmp_path) + b"/w\xff\xfe.bin")
    Path(name).write_bytes(b"content" * 100)
    report = mmh.compress_file(os.fsencode(name))  # type: ignore[arg-type]
    assert report.target == f"{name}.mmh"
    os.unlink(name)
    assert mmh.decompress_file(f"{name}.mmh").target == name
    assert Path(name).read_bytes() == b"content" * 100

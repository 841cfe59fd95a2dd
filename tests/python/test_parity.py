"""Parity: what it promises is kept, what it cannot do is said, and nothing half written is left behind."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

import mmh_rs as mmh
from support import Command, model_tensors, plain_safetensors, weights


@pytest.fixture
def protected(model: Path) -> Path:
    """`model.safetensors.mmh` with parity of 10 percent."""
    report = mmh.compress_file(model, parity=10)
    assert report.target is not None
    return Path(report.target)


def hurt(path: Path, *places: tuple[int, int]) -> Path:
    """A copy with zeros turned to ones and the other way round from some byte on, for some bytes."""
    data = bytearray(path.read_bytes())
    for start, length in places:
        data[start : start + length] = bytes(255 - byte for byte in data[start : start + length])
    copy = path.with_name("hurt.mmh")
    copy.write_bytes(data)
    return copy


def left_behind(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".mmh-")]


def test_what_is_protected_reads_as_before(model: Path, protected: Path) -> None:
    plain = mmh.compress_file(model, model.with_name("plain.mmh"))
    assert plain.target is not None
    body = Path(plain.target).read_bytes()
    data = protected.read_bytes()
    assert data.startswith(body)
    assert mmh.decompress(data) == model.read_bytes()
    with mmh.open(protected) as archive:
        parity = archive.header.parity
        assert parity is not None and parity["body_bytes"] == len(body)
        assert len(data) == parity["body_bytes"] + parity["bytes"] == archive.header.stored_bytes
        assert archive.verify()
        name = "model.embed.weight"
        assert archive.get(name).tobytes() == model_tensors()[name][2]
    with mmh.open(plain.target) as archive:
        assert archive.header.parity is None


def test_protecting_later_gives_the_same_bytes_and_other_percentages_replace_it(model: Path, protected: Path) -> None:
    expected = protected.read_bytes()
    path = model.with_name("later.mmh")
    mmh.compress_file(model, path)
    body = path.read_bytes()
    os.chmod(path, 0o640)
    done = mmh.protect(path, percent=10)
    assert path.read_bytes() == expected
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert done.bytes == len(expected) - len(body)
    again = mmh.protect(path, percent=50)
    assert again.recovery_shards > done.recovery_shards
    assert path.read_bytes().startswith(body)
    assert mmh.protect(path, percent=10) == done
    assert path.read_bytes() == expected
    other = mmh.protect(path, path.with_name("other.mmh"), percent=1)
    assert other.body_bytes == len(body)
    assert path.read_bytes() == expected
    assert not left_behind(path.parent)


def test_damage_is_mended_in_place_and_elsewhere(protected: Path) -> None:
    expected = protected.read_bytes()
    found = mmh.examine(protected)
    assert found is not None and found and found.mendable and not found.lost
    burst = found.burst_bytes
    for places in (
        [(0, 16)],
        [(0, burst)],
        [(len(expected) - 200, 200)],
        [(found.body_bytes - 40, 40)],
        [(start, 1) for start in range(1000, 1000 + 40 * found.shard_bytes, 2 * found.shard_bytes)],
    ):
        copy = hurt(protected, *places[: found.recovery_shards])
        damaged = copy.read_bytes()
        seen = mmh.examine(copy)
        assert seen is not None and not seen and seen.mendable
        target = copy.with_name("mended.mmh")
        done = mmh.repair(copy, target)
        assert target.read_bytes() == expected and copy.read_bytes() == damaged
        assert not done.sound and done.restored == seen.lost
        target.unlink()
        mmh.repair(copy)
        assert copy.read_bytes() == expected
        assert mmh.repair(copy).sound
    assert not left_behind(protected.parent)


@pytest.mark.parametrize("moved", [-5, -4096, 1, 700])
def test_bytes_that_were_put_in_or_taken_out(protected: Path, moved: int) -> None:
    expected = protected.read_bytes()
    for at in (0, 5000, 300_000):
        data = expected[:at] + b"?" * max(moved, 0) + expected[at + max(-moved, 0) :]
        copy = protected.with_name("moved.mmh")
        copy.write_bytes(data)
        mmh.repair(copy)
        assert copy.read_bytes() == expected


def test_more_damage_than_promised_is_said_and_nothing_is_written(protected: Path) -> None:
    found = mmh.examine(protected)
    assert found is not None
    step = found.shard_bytes * found.groups
    places = [(number * step + 3, 1) for number in range(found.recovery_shards + 1)]
    copy = hurt(protected, *places)
    before = copy.read_bytes()
    seen = mmh.examine(copy)
    assert seen is not None and not seen.mendable and seen.lost_data == found.recovery_shards + 1
    with pytest.raises(mmh.CorruptionError, match=r"recovery shards are left.*salvage"):
        mmh.repair(copy)
    with pytest.raises(mmh.CorruptionError):
        mmh.repair(copy, copy.with_name("target.mmh"))
    assert copy.read_bytes() == before
    assert sorted(os.listdir(copy.parent)) == ["hurt.mmh", "model.safetensors", "model.safetensors.mmh"]


def test_damage_is_not_protected(archive_path: Path) -> None:
    copy = hurt(archive_path, (400_000, 4))
    before = copy.read_bytes()
    with pytest.raises(mmh.CorruptionError, match="parity would protect the damage"):
        mmh.protect(copy)
    assert copy.read_bytes() == before
    with pytest.raises(mmh.CorruptionError, match="no parity"):
        mmh.repair(copy)
    assert mmh.examine(copy) is None
    with pytest.raises(mmh.UnsupportedFormatError):
        other = copy.with_name("text.txt")
        other.write_text("no archive at all")
        mmh.repair(other)


def test_arguments(protected: Path) -> None:
    for percent in (0, 101, -1):
        with pytest.raises(ValueError, match="1 to 100"):
            mmh.protect(protected, percent=percent)
        with pytest.raises(ValueError, match="1 to 100"):
            mmh.compress_file(protected, "x.mmh", parity=percent)
    with pytest.raises(TypeError):
        mmh.protect(protected, percent="5")  # type: ignore[arg-type]
    with pytest.raises(FileExistsError):
        mmh.protect(protected, protected.with_name("model.safetensors"))
    with pytest.raises(FileNotFoundError):
        mmh.examine(protected.with_name("none.mmh"))


def test_five_percent_costs_at_most_5_2_percent(tmp_path: Path) -> None:
    path = tmp_path / "noise.bin"
    path.write_bytes(np.random.default_rng(4).bytes(33 << 20))
    report = mmh.compress_file(path, parity=5)
    with mmh.open(tmp_path / "noise.bin.mmh") as archive:
        parity = archive.header.parity
        assert parity is not None and parity["bytes"] <= 0.052 * parity["body_bytes"]
        assert report.stored_bytes == archive.header.stored_bytes


def test_a_link_stays_a_link(protected: Path) -> None:
    link = protected.with_name("link.mmh")
    link.symlink_to(protected.name)
    mmh.protect(link, percent=3)
    assert link.is_symlink() and not protected.is_symlink()
    found = mmh.examine(protected)
    assert found is not None and found


def test_salvage_saves_what_is_intact(archive_path: Path) -> None:
    with mmh.open(archive_path) as archive:
        first = archive.info("model.experts")
    # Somewhere in the tensor's frames: tensors stand in order.
    copy = hurt(archive_path, (archive_path.stat().st_size // 2, 8))
    with mmh.open(copy) as archive:
        lost = {damage["tensor"] for damage in archive.verify().damaged}
    assert len(lost) == 1
    target = copy.with_name("saved.safetensors")
    report = mmh.salvage(copy, target)
    assert set(report.lost) == lost and first.name in report.saved + report.lost
    size = int.from_bytes(target.read_bytes()[:8], "little")
    header = json.loads(target.read_bytes()[8 : 8 + size])
    data = target.read_bytes()[8 + size :]
    for name, (_, shape, expected) in model_tensors().items():
        if name not in lost:
            start, end = header[name]["data_offsets"]
            assert data[start:end] == expected and header[name]["shape"] == shape
    with pytest.raises(FileExistsError):
        mmh.salvage(copy, target)
    assert not left_behind(copy.parent)


@pytest.mark.parametrize("lost", ["first 16 bytes", "magic", "flags", 1, 16, 100_000])
@pytest.mark.parametrize("parity", [None, 1])
def test_a_beginning_that_is_lost(model: Path, lost: str | int, parity: int | None) -> None:
    """Nothing but the footer says what the header was: the tensors that are intact are saved all the same."""
    path = model.with_name("whole.mmh")
    mmh.compress_file(model, path, parity=parity)
    data = bytearray(path.read_bytes())
    if isinstance(lost, int):
        del data[:lost]
    else:
        start, stop = {"first 16 bytes": (0, 16), "magic": (3, 4), "flags": (10, 11)}[lost]
        data[start:stop] = bytes(255 - byte for byte in data[start:stop])
    copy = model.with_name("headless.mmh")
    copy.write_bytes(data)
    kind = mmh.CorruptionError if lost == "flags" else mmh.UnsupportedFormatError
    with pytest.raises(kind, match=r"beginning of the file is missing or damaged.*salvage"):
        mmh.open(copy)
    target = model.with_name("saved.safetensors")
    report = mmh.salvage(copy, target)
    assert bool(report.lost) == (lost == 100_000)
    saved = target.read_bytes()
    size = int.from_bytes(saved[:8], "little")
    header = json.loads(saved[8 : 8 + size])
    for name, (_, _, expected) in model_tensors().items():
        if name in report.lost:
            assert name not in header
        else:
            start, stop = header[name]["data_offsets"]
            assert saved[8 + size + start : 8 + size + stop] == expected
    if parity is None:
        with pytest.raises(mmh.CorruptionError, match="no parity to mend it with"):
            mmh.repair(copy)


def test_what_is_no_archive_and_what_cannot_be_saved(model: Path, archive_path: Path) -> None:
    other = model.with_name("other.mmh")
    data = archive_path.read_bytes()
    with pytest.raises(mmh.UnsupportedFormatError, match="not an MMH file"):
        mmh.salvage(model, other)
    # Header and index: nothing says that it is one, but its frames do.
    other.write_bytes(b"?" * 16 + data[16:-30] + b"?" * 10 + data[-20:])
    report = mmh.salvage(other, model.with_name("saved"))
    assert not report.lost and not report.indexed
    model.with_name("saved").unlink()
    # Most of it is missing.
    other.write_bytes(data[-len(data) // 4 :])
    report = mmh.salvage(other, model.with_name("saved"))
    assert report.indexed and report.saved and report.lost
    model.with_name("saved").unlink()
    other.write_bytes(data[-300:-200])
    with pytest.raises(mmh.UnsupportedFormatError):
        mmh.salvage(other, model.with_name("saved"))
    assert not model.with_name("saved").exists()


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i2", "?", "<c8"])
def test_salvage_saves_tensors_whose_first_axis_is_contiguous(tmp_path: Path, dtype: str) -> None:
    arrays = {
        name: np.asfortranarray(np.random.default_rng(seed).normal(size=shape).astype(dtype))
        for seed, (name, shape) in enumerate({"a": (30, 40), "b": (5, 6, 7), "empty": (0, 3), "c": (4, 1)}.items())
    }
    path = tmp_path / "arrays.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    mmh.compress_file(path)
    with mmh.open(f"{path}.mmh") as archive:
        assert archive.info("b").fortran
    target = tmp_path / "saved.safetensors"
    report = mmh.salvage(f"{path}.mmh", target)
    assert not report.lost and set(report.saved) == set(arrays)
    data = target.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    for name, array in arrays.items():
        start, stop = header[name]["data_offsets"]
        assert header[name]["shape"] == list(array.shape)
        assert data[8 + size + start : 8 + size + stop] == array.tobytes("C")


def test_protecting_what_needs_a_base(model: Path, run: Command) -> None:
    tensors = model_tensors()
    dtype, shape, data = tensors["lm_head.weight"]
    tuned = bytes(byte ^ 1 if place % 1000 == 0 else byte for place, byte in enumerate(data))
    path = model.with_name("tuned.safetensors")
    path.write_bytes(plain_safetensors({**tensors, "lm_head.weight": (dtype, shape, tuned)}))
    mmh.compress_file(path, base=model)
    archive = model.with_name("tuned.safetensors.mmh")
    original = archive.read_bytes()
    with mmh.open(archive) as opened:
        base = opened.header.base
        assert base is not None and base["needed"]
    assert mmh.protect(archive, base=model).unchecked == 0
    report = mmh.protect(archive, percent=20)
    assert report.unchecked > 0 and archive.read_bytes().startswith(original)
    expected = archive.read_bytes()
    mmh.repair(hurt(archive, (100, 50)), archive.with_name("mended.mmh"))
    assert archive.with_name("mended.mmh").read_bytes() == expected
    with pytest.raises(mmh.MmhError, match="is not the one"):
        mmh.protect(archive, base=path)
    answer = run("protect", archive.name, "--json")
    assert answer.returncode == 0
    assert json.loads(answer.stdout)["results"][0]["unchecked"] == report.unchecked
    assert answer.stderr.count(b"\n") == 1 and b"were not verified" in answer.stderr
    assert run("protect", archive.name, "--base", model.name).stderr == b""
    assert run("protect", archive.name, "-q").stderr == b""


def test_damage_is_not_protected_where_a_base_is_needed(tmp_path: Path) -> None:
    """Each byte of a small file: whatever is no difference is decoded, and the heads of differences are compared."""
    noise = np.random.default_rng(1).bytes(3000)
    first = {"same": ("U8", [6000], noise * 2), "other": ("U8", [3000], bytes(3000))}
    other = {"same": ("U8", [6000], noise * 2), "other": ("U8", [3000], np.random.default_rng(2).bytes(3000))}
    (tmp_path / "base").write_bytes(plain_safetensors(first))  # type: ignore[arg-type]
    (tmp_path / "file").write_bytes(plain_safetensors(other))  # type: ignore[arg-type]
    mmh.compress_file(tmp_path / "file", base=tmp_path / "base")
    path = tmp_path / "file.mmh"
    data = path.read_bytes()
    assert mmh.protect(path, tmp_path / "safe").unchecked > 0
    with mmh.open(path) as archive:
        stored = archive.info("other").stored
    assert stored is not None and stored > 3000
    copy = tmp_path / "copy"
    refused = 0
    for at in range(0, len(data), 7):
        copy.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            mmh.protect(copy, tmp_path / "safe", force=True)
        except mmh.MmhError:
            refused += 7
    assert refused >= stored


def test_commands_and_exit_codes(run: Command, model: Path, tmp_path: Path) -> None:
    # Without a number, before a file's name.
    assert run("compress", "--parity", model.name).returncode == 0
    expected = (tmp_path / "model.safetensors.mmh").read_bytes()
    assert run("compress", "-f", model.name, "--parity", "5").returncode == 0
    assert (tmp_path / "model.safetensors.mmh").read_bytes() == expected
    assert b"survives any" in run("info", "model.safetensors.mmh").stdout
    assert run("verify", "model.safetensors.mmh").returncode == 0
    hurt(tmp_path / "model.safetensors.mmh", (200_000, 50))
    answer = run("verify", "hurt.mmh")
    assert answer.returncode == 1 and b"mmh repair mends it" in answer.stderr
    shown = json.loads(run("verify", "--json", "hurt.mmh").stdout)
    assert shown["exit_code"] == 1 and shown["results"][0]["parity"]["mendable"] is True
    # The header is gone: only the parity knows what it was.
    hurt(tmp_path / "model.safetensors.mmh", (0, 16))
    answer = run("verify", "hurt.mmh")
    assert answer.returncode == 1 and b"bytes 0 to" in answer.stderr
    answer = run("decompress", "hurt.mmh", "-o", "x")
    assert answer.returncode == 3 and b"the beginning of the file is missing" in answer.stderr
    assert run("repair", "hurt.mmh").returncode == 0
    assert (tmp_path / "hurt.mmh").read_bytes() == expected
    # The parity itself is damaged.
    hurt(tmp_path / "model.safetensors.mmh", (len(expected) - 300, 8))
    answer = run("verify", "hurt.mmh")
    assert answer.returncode == 1
    assert run("repair", "hurt.mmh").returncode == 0
    assert (tmp_path / "hurt.mmh").read_bytes() == expected
    # Too much.
    hurt(tmp_path / "model.safetensors.mmh", (0, len(expected) // 2))
    answer = run("verify", "hurt.mmh")
    assert answer.returncode == 2 and b"salvage" in answer.stderr
    answer = run("repair", "hurt.mmh")
    assert answer.returncode == 2 and answer.stderr.count(b"\n") == 1
    assert run("repair", "--salvage", "hurt.mmh").returncode == 64
    assert run("compress", "--parity", "101", model.name).returncode == 64
    answer = run("compress", "--parity", "-c", model.name)
    assert answer.returncode == 64 and b"not a pipe" in answer.stderr


def test_directories_and_streams(run: Command, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "a.bin").write_bytes(weights(50_000).tobytes())
    assert run("compress", "-r", "--parity", "20", "models").returncode == 0
    [protected] = [path for path in (tmp_path / "models.mmh").rglob("*.mmh") if path.is_file()][:1]
    assert mmh.examine(protected) is not None
    data = protected.read_bytes()
    assert run("decompress", "-", "-o", "-", input=data).stdout == (folder / "a.bin").read_bytes()
    # A stream's end is looked at, too.
    assert run("decompress", "-", "-o", "-", input=data + b"?").returncode == 2
    assert run("compress", "-", "-o", "s.mmh", "--parity", input=b"some text " * 999).returncode == 0
    assert mmh.examine(tmp_path / "s.mmh") is not None

"""`verify` against the original, another archive, or a hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import mmh_rs as mmh
from support import Command, damage


def matches(archive: Path | bytes, against: str | Path) -> bool | None:
    with mmh.open(archive) as opened:
        found = opened.verify(against=against)
    assert found.ok == bool(found) == (found.matches is True and not found.damaged)
    return found.matches


@pytest.fixture
def other(model: Path) -> Path:
    """Of the same length, with another last bit."""
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    path = model.with_name("other.safetensors")
    path.write_bytes(data)
    return path


def test_the_original(model: Path, archive_path: Path, other: Path) -> None:
    assert matches(archive_path, model)
    assert matches(archive_path, str(model))
    assert matches(archive_path, other) is False
    shorter = model.with_name("shorter")
    shorter.write_bytes(model.read_bytes()[:-1])
    assert matches(archive_path, shorter) is False
    empty = model.with_name("empty")
    empty.write_bytes(b"")
    assert matches(archive_path, empty) is False
    assert matches(mmh.compress(b""), empty)


def test_another_archive(model: Path, archive_path: Path, other: Path) -> None:
    again = model.with_name("again.mmh")
    mmh.compress_file(model, again, level=1, parity=5)
    assert again.read_bytes() != archive_path.read_bytes()
    assert matches(archive_path, again)
    mmh.compress_file(other, again, force=True)
    assert matches(archive_path, again) is False
    # What is compressed in memory has no hash: it is restored for one.
    again.write_bytes(mmh.compress(model.read_bytes()))
    assert matches(archive_path, again) and matches(again, archive_path) and matches(again, model)
    data = bytearray(again.read_bytes())
    data[len(data) // 2] ^= 1
    again.write_bytes(data)
    with pytest.raises(mmh.CorruptionError, match=r"again\.mmh"):
        matches(archive_path, again)
    # An archive of an archive restores that, and not what that restores.
    twice = model.with_name("twice.mmh")
    mmh.compress_file(archive_path, twice)
    assert matches(twice, archive_path)
    assert matches(twice, twice)
    assert matches(twice, model) is False


def test_hashes(model: Path, archive_path: Path, other: Path) -> None:
    with mmh.open(archive_path) as archive:
        assert archive.header.sha256 is None
        blake3 = str(archive.header.blake3)
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    recorded = model.with_name("recorded.mmh")
    mmh.compress_file(model, recorded, sha256=True)
    without = model.with_name("without.mmh")
    without.write_bytes(mmh.compress(model.read_bytes()))
    for archive_of_it in (archive_path, recorded, without):
        assert matches(archive_of_it, blake3) and matches(archive_of_it, blake3.upper())
        assert matches(archive_of_it, sha256) and matches(archive_of_it, sha256.upper())
        assert matches(archive_of_it, hashlib.sha256(other.read_bytes()).hexdigest()) is False
        assert matches(archive_of_it, "0" * 64) is False


def test_a_file_that_is_named_like_a_hash(model: Path, archive_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "0123456789abcdef" * 4
    monkeypatch.chdir(model.parent)
    Path(name).write_bytes(model.read_bytes())
    assert matches(archive_path, name) is False
    assert matches(archive_path, f"./{name}")
    assert matches(archive_path, Path(name))


def test_damage_leaves_it_open(model: Path, archive_path: Path) -> None:
    damage(archive_path, "model.experts")
    with mmh.open(archive_path) as archive:
        found = archive.verify(against=model)
    assert not found.ok and found.matches is None and found.damaged
    with mmh.open(mmh.compress(b"text")) as archive:
        assert archive.verify().matches is None


def test_what_cannot_be_read_is_said_before_the_work(model: Path, archive_path: Path) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    with mmh.open(archive_path) as archive:
        with pytest.raises(FileNotFoundError):
            archive.verify(progress=never, against=model.with_name("none"))
        with pytest.raises(IsADirectoryError):
            archive.verify(progress=never, against=model.parent)
        with pytest.raises(TypeError):
            archive.verify(against=5)  # type: ignore[arg-type]


def test_command(run: Command, model: Path, archive_path: Path, other: Path) -> None:
    good = run("verify", archive_path.name, "--against", model.name, "--json")
    assert good.returncode == 0 and json.loads(good.stdout)["results"][0]["matches"] is True
    bad = run("verify", archive_path.name, "--against", other.name, "--json")
    document = json.loads(bad.stdout)
    assert bad.returncode == document["exit_code"] == 2
    assert document["results"][0]["ok"] is False and document["results"][0]["matches"] is False
    assert [error["kind"] for error in document["errors"]] == ["different"]
    assert bad.stderr.decode().splitlines() == [
        f"mmh: {archive_path.name}: restores something else than {other.name} (mmh diff names the tensors that differ)"
    ]
    assert run("verify", "-", "--against", model.name, input=archive_path.read_bytes()).returncode == 0
    bad = run("verify", archive_path.name, "--against", "f" * 64)
    assert bad.returncode == 2 and bad.stderr.count(b"\n") == 1 and b"its BLAKE3 is" in bad.stderr
    assert run("verify", archive_path.name, "--against", "none").returncode == 4
    # What parity protects may be something else all the same.
    assert run("protect", archive_path.name).returncode == 0
    bad = run("verify", archive_path.name, "--against", other.name)
    assert bad.returncode == 2 and bad.stderr.count(b"\n") == 1

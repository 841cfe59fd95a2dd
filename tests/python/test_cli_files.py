"""`mmh compress` and `mmh decompress`: where files go, what is refused, and what is said."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

import mmh_rs as mmh
from support import Command, header_of_version, lines, weights

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def ok(done: object) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")  # type: ignore[attr-defined]


def test_round_trip_in_silence(run: Command, model: Path) -> None:
    original = model.read_bytes()
    ok(run("compress", "model.safetensors"))
    assert model.read_bytes() == original
    ok(run("decompress", "model.safetensors.mmh", "-o", "back"))
    assert (model.parent / "back").read_bytes() == original
    assert names(model.parent) == ["back", "model.safetensors", "model.safetensors.mmh"]


def test_source_is_removed_on_request(run: Command, model: Path) -> None:
    original = model.read_bytes()
    ok(run("compress", "--rm", model))
    assert names(model.parent) == ["model.safetensors.mmh"]
    ok(run("decompress", "--rm", f"{model}.mmh"))
    assert names(model.parent) == ["model.safetensors"]
    assert model.read_bytes() == original


def test_source_is_kept_when_something_went_wrong(run: Command, model: Path) -> None:
    Path(f"{model}.mmh").write_bytes(b"mine")
    assert run("compress", "--rm", model).returncode == 4
    assert model.exists()


def test_nothing_is_overwritten_without_f(run: Command, model: Path) -> None:
    target = Path(f"{model}.mmh")
    target.write_bytes(b"mine")
    done = run("compress", "model.safetensors")
    assert done.returncode == 4
    assert lines(done.stderr) == [
        "mmh: model.safetensors: model.safetensors.mmh already exists (use -f to overwrite it)"
    ]
    assert target.read_bytes() == b"mine"
    ok(run("compress", "-f", "model.safetensors"))
    done = run("decompress", "model.safetensors.mmh")
    assert done.returncode == 4
    assert "model.safetensors already exists" in lines(done.stderr)[0]
    ok(run("decompress", "--force", "model.safetensors.mmh"))


def test_output_file_and_directory(run: Command, model: Path) -> None:
    ok(run("compress", "model.safetensors", "-o", "x.mmh"))
    ok(run("compress", "model.safetensors", "-o", "new/"))
    ok(run("compress", "model.safetensors", "--output", "new", "-f"))
    assert names(model.parent) == ["model.safetensors", "new", "new/model.safetensors.mmh", "x.mmh"]
    ok(run("decompress", "x.mmh", "new/model.safetensors.mmh", "-o", "both"))
    assert names(model.parent / "both") == ["model.safetensors", "x"]


def test_several_files(run: Command, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(name * 1000)
    ok(run("compress", "a", "b", "c"))
    ok(run("compress", "a", "b", "-o", "out"))
    assert names(tmp_path) == ["a", "a.mmh", "b", "b.mmh", "c", "c.mmh", "out", "out/a.mmh", "out/b.mmh"]


def test_others_go_on_after_an_error(run: Command, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(name * 1000)
    (tmp_path / "b.mmh").write_bytes(b"mine")
    done = run("compress", "a", "absent", "b", "c")
    assert done.returncode == 4
    assert lines(done.stderr) == [
        "mmh: absent: no such file or directory",
        "mmh: b: b.mmh already exists (use -f to overwrite it)",
    ]
    assert (tmp_path / "a.mmh").exists() and (tmp_path / "c.mmh").exists()


def test_the_worst_code_is_returned(run: Command, tmp_path: Path, archive_path: Path) -> None:
    (tmp_path / "plain.mmh").write_bytes(b"no mmh" * 100)
    damaged = bytearray(archive_path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "bad.mmh").write_bytes(damaged)
    assert run("decompress", "bad.mmh").returncode == 2
    assert run("decompress", "plain.mmh").returncode == 3
    done = run("decompress", "bad.mmh", "plain.mmh", "absent.mmh")
    assert done.returncode == 4
    assert [line.split(":")[1] for line in lines(done.stderr)] == [" bad.mmh", " plain.mmh", " absent.mmh"]
    assert run("decompress", "bad.mmh", "plain.mmh").returncode == 3


def test_a_newer_version(run: Command, archive_path: Path) -> None:
    archive_path.write_bytes(header_of_version(7) + archive_path.read_bytes()[16:])
    done = run("decompress", "-f", archive_path)
    assert done.returncode == 3
    (line,) = lines(done.stderr)
    assert "version 7" in line


def test_standard_streams(run: Command) -> None:
    data = weights(100_000).tobytes()
    packed = run("compress", "-", input=data)
    assert (packed.returncode, packed.stderr) == (0, b"")
    assert len(packed.stdout) < len(data)
    assert mmh.decompress(packed.stdout) == data
    back = run("decompress", "-", input=packed.stdout)
    assert (back.returncode, back.stdout, back.stderr) == (0, data, b"")


@pytest.mark.parametrize("data", [b"", b"x", b"\r\n\x1a\n" * 100])
def test_small_and_odd_streams(run: Command, data: bytes) -> None:
    packed = run("compress", "-", "-c", input=data)
    assert packed.returncode == 0
    assert run("decompress", "-c", "-", input=packed.stdout).stdout == data


def test_streams_and_files(run: Command, model: Path) -> None:
    original = model.read_bytes()
    ok(run("compress", "-", "-o", "from-stdin.mmh", input=original))
    ok(run("decompress", "-", "-o", "back", input=(model.parent / "from-stdin.mmh").read_bytes()))
    assert (model.parent / "back").read_bytes() == original
    for words in (("-c", model), (model, "-o", "-"), ("--stdout", model)):
        done = run("compress", *words)
        assert (done.returncode, done.stderr) == (0, b"")
        assert mmh.decompress(done.stdout) == original
    assert not Path(f"{model}.mmh").exists()
    with mmh.open(model.parent / "from-stdin.mmh") as archive:
        assert archive.header.format in ("safetensors", "opaque")


def test_several_files_to_standard_output(run: Command, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name * 1000)
    done = run("compress", "-c", "a", "b")
    assert done.returncode == 64
    assert "one standard output" in lines(done.stderr)[0]
    ok(run("compress", "a", "b"))
    assert run("decompress", "-c", "a.mmh", "b.mmh").stdout == b"a" * 1000 + b"b" * 1000


def test_directories_need_r(run: Command, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    done = run("compress", "tree")
    assert done.returncode == 64
    assert lines(done.stderr) == ["mmh: tree: is a directory (use -r for a mirror of it, --pack for one file)"]
    assert run("decompress", "tree").returncode == 64


def test_targets_that_meet(run: Command, tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    done = run("compress", "x/a", "y/a", "-o", "out")
    assert done.returncode == 64
    assert "x/a and y/a would both be written to" in lines(done.stderr)[0]
    assert not (tmp_path / "out").exists()
    done = run("compress", "-f", "x/a", "-o", "x/a")
    assert done.returncode == 64
    assert "would be written over" in lines(done.stderr)[0]
    assert (tmp_path / "x/a").read_text() == "x"


def test_levels(run: Command, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(weights(3000).tobytes())
    for words, level in [
        ([], 5), (["-1"], 1), (["-9"], 9), (["--level", "fast"], 2), (["--level=balanced"], 5), (["--level", "max"], 8),
        (["--level", "7"], 7), (["-3", "-4"], 4), (["--level", "max", "-1"], 1), (["-1", "--level", "max"], 8),
        (["-f9"], 9),
    ]:  # fmt: skip
        done = run("compress", "-f", "--json", *words, "a")
        assert json.loads(done.stdout)["results"][0]["level"] == level, words


@pytest.mark.parametrize("level", ["0", "10", "best", "", "-5", "1.5"])
def test_wrong_levels(run: Command, level: str) -> None:
    done = run("compress", f"--level={level}", "a")
    assert done.returncode == 64
    assert "accepted: 'fast', 'balanced', 'max', or 1 to 9" in lines(done.stderr)[0]


def test_options_reach_the_engine(run: Command, model: Path) -> None:
    ok(run("compress", "--sha256", "--codec", "store", "-T", "1", "--no-verify", model))
    with mmh.open(f"{model}.mmh") as archive:
        assert archive.header.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
        assert archive.header.stored_bytes >= archive.header.source_bytes


def test_json(run: Command, model: Path) -> None:
    done = run("compress", "--json", "model.safetensors", "absent")
    document = json.loads(done.stdout)
    assert set(document) == {"schema", "command", "version", "exit_code", "results", "errors"}
    assert (document["schema"], document["command"], document["version"]) == (1, "compress", mmh.__version__)
    assert document["exit_code"] == done.returncode == 4
    (result,) = document["results"]
    assert set(result) == {
        "path", "target", "skipped", "source_bytes", "stored_bytes", "ratio", "worth_it", "seconds", "format",
        "tensors", "codecs", "blake3", "sha256", "level", "codec",
    }  # fmt: skip
    assert result["path"] == "model.safetensors" and result["target"] == "model.safetensors.mmh"
    assert result["source_bytes"] == model.stat().st_size
    assert result["worth_it"] is True
    assert document["errors"] == [
        {"path": "absent", "kind": "io", "message": "no such file or directory", "exit_code": 4}
    ]
    assert lines(done.stderr) == ["mmh: absent: no such file or directory"]
    done = run("decompress", "--json", "model.safetensors.mmh", "-o", "b")
    (result,) = json.loads(done.stdout)["results"]
    assert set(result) == {
        "path", "target", "skipped", "source_bytes", "stored_bytes", "ratio", "seconds", "format", "tensors", "codecs",
        "blake3", "sha256",
    }  # fmt: skip


def test_noise_is_said_not_to_be_worth_it(run: Command, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(os.urandom(100_000))
    assert json.loads(run("compress", "--json", "noise").stdout)["results"][0]["worth_it"] is False


@posix
def test_names_that_are_no_text(run: Command, tmp_path: Path) -> None:
    name = os.fsdecode(b"w\xff\x1b[31m[bold]\n.bin")
    (tmp_path / name).write_bytes(b"content" * 100)
    ok(run("compress", name))
    done = run("compress", name)
    assert lines(done.stderr) == [
        r"mmh: w\xff\x1b[31m[bold]\x0a.bin: w\xff\x1b[31m[bold]\x0a.bin.mmh already exists (use -f to overwrite it)"
    ]
    document = json.loads(run("compress", "-f", "--json", name).stdout)
    assert document["results"][0]["path"] == name
    ok(run("decompress", "-f", f"{name}.mmh"))


def test_names_that_look_like_options(run: Command, tmp_path: Path) -> None:
    (tmp_path / "-9").write_bytes(b"content" * 100)
    ok(run("compress", "--", "-9"))
    assert (tmp_path / "-9.mmh").exists()


def test_mmh_files_are_not_compressed_by_accident(run: Command, archive_path: Path) -> None:
    done = run("compress", archive_path.name)
    assert done.returncode == 64
    assert "ends in .mmh already (use -f" in lines(done.stderr)[0]
    ok(run("compress", "-f", archive_path.name))


def test_targets_that_cannot_be_guessed(run: Command, model: Path, archive_path: Path) -> None:
    done = run("decompress", "model.safetensors")
    assert done.returncode == 3
    assert "not an MMH file" in lines(done.stderr)[0]
    archive_path.rename(model.parent / "archive")
    done = run("decompress", "archive")
    assert done.returncode == 64
    assert lines(done.stderr) == ["mmh: archive: does not end in .mmh (name the target with -o)"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compress", "-c", "-o", "x", "a"], "-c and -o exclude each other"),
        (["compress", "-c", "--json", "a"], "--json and the data cannot both go to standard output"),
        (["compress", "-c", "--rm", "a"], "--rm does not go with standard output"),
        (["compress", "--rm", "-", "-o", "x"], "--rm does not go with standard input"),
        (["compress", "-", "-"], "standard input can be read once"),
        (["compress", "-r", "-c", "."], "-r does not go with standard output"),
        (["compress", "--follow", "--rm", "-r", "."], "--follow and --rm exclude each other"),
        (["compress", "-r", ".", "-o", "below"], "lies in the directory itself"),
        (["decompress", "-r", "."], "does not end in .mmh"),
        (["estimate", "-"], "standard input cannot be estimated"),
        (["estimate", "."], "is a directory (use -r"),
        (["estimate", "--level", "best", "a"], "unknown level"),
        (["diff", "a"], "Missing argument"),
        (["compress", "-", "-o", "out/"], "standard input has no name"),
        (["compress", "--codec", "rar", "a"], "unknown codec 'rar' (there are: auto, store"),
        (["compress", "-T", "-1", "a"], "-T"),
        (["compress", "-T", "many", "a"], "-T"),
        (["compress"], "Missing argument 'FILE"),
        (["compress", "--frobnicate", "a"], "No such option"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["decompress", "--sha256", "a"], "No such option"),
    ],
)  # fmt: skip
def test_wrong_usage(run: Command, tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "a").write_text("a")
    done = run(*words)
    assert done.returncode == 64
    (line,) = lines(done.stderr)
    assert line.startswith("mmh: ") and message in line
    if "--json" in words:
        assert json.loads(done.stdout)["errors"][0]["kind"] == "usage"
    else:
        assert done.stdout == b""
    assert names(tmp_path) == ["a"]


def test_wrong_usage_in_json(run: Command) -> None:
    done = run("compress", "--json", "--level", "best", "a")
    document = json.loads(done.stdout)
    assert (document["exit_code"], document["command"], document["results"]) == (64, "compress", [])
    assert document["errors"][0]["kind"] == "usage"
    assert document["errors"][0]["message"] in lines(done.stderr)[0]
    assert json.loads(run("bogus", "--json").stdout)["command"] is None


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may do everything")
def test_permissions(run: Command, model: Path) -> None:
    model.chmod(0)
    done = run("compress", model)
    assert done.returncode == 4
    assert "permission denied" in lines(done.stderr)[0]


def test_a_target_in_no_directory(run: Command, model: Path) -> None:
    (model.parent / "file").write_text("x")
    (model.parent / "tree").mkdir()
    for words in (["file/x.mmh", "model.safetensors"], ["file/", "model.safetensors"], ["file", "-r", "tree"]):
        done = run("compress", "-o", *words)
        assert done.returncode == 4
        assert all("ot a directory" in line for line in lines(done.stderr))
    assert names(model.parent) == ["file", "model.safetensors", "tree"]


@posix
def test_a_full_disk(run: Command, model: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    import subprocess

    from support import environment

    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mmh_rs", "compress", "-c", str(model)],
            stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 4
    (line,) = lines(done.stderr)
    assert "no space left" in line.lower()

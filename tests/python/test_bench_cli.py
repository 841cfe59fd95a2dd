"""`mmh bench` as a command: what it prints, its JSON, its exit codes, and that it leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import bench_support as fakes
import mmh_rs as mmh
from mmh_rs.bench import rivals
from mmh_rs.cli import main
from support import Command, environment, lines, weights

FAST = ("--runs", "1", "--no-memory", "--levels", "fast,balanced")
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


@pytest.fixture
def no_rivals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "RIVALS", [])


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    builds = {"honest": fakes.honest, "liar": fakes.liar, "choosy": fakes.unsuitable}
    families = [fakes.family(name, build) for name, build in builds.items()]
    monkeypatch.setattr(rivals, "RIVALS", [*families, fakes.family("gone", fakes.honest, installed=False)])


def document(run: Command, *words: str | Path) -> dict[str, Any]:
    done = run("bench", *words, "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["exit_code"] == done.returncode
    return found


def test_table(run: Command, model: Path) -> None:
    done = run("bench", *FAST, "--against", "zlib-1,lzma-0,zstd", model)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert "model.safetensors: 1.0 MB of BF16, one thread" in text
    for label in ("memcpy", "mmh fast", "mmh balanced", "zlib 1", "lzma 0", "zstd 1", "zstd 3"):
        assert re.search(rf"^{label} +\d+\.\d\d ", text, re.MULTILINE)
    assert "Round trips checked before timing" in text
    assert "\x1b" not in text


def test_json(run: Command, model: Path) -> None:
    found = document(run, *FAST, "--against", "zlib", "--whole-file", model)
    assert (found["command"], found["errors"]) == ("bench", [])
    (result,) = found["results"]
    assert set(result) == {
        "path", "dtype", "bytes", "dtype_bytes", "file_bytes", "threads", "runs", "date", "memcpy_gbps", "rows",
        "machine", "whole_file", "complete",
    }  # fmt: skip
    assert (result["path"], result["dtype"], result["complete"]) == (str(model), "BF16", True)
    assert [row["name"] for row in result["rows"]] == ["mmh-fast", "mmh-balanced", "zlib-6"]
    for row in result["rows"]:
        assert set(row) == {
            "name", "label", "version", "status", "reason", "threads", "stored_bytes", "ratio", "compress",
            "decompress", "compress_memory", "decompress_memory",
        }  # fmt: skip
        assert row["status"] == "good"
        assert row["ratio"] == row["stored_bytes"] / result["bytes"]
        assert set(row["compress"]) == {"seconds", "runs", "gbps"} == set(row["decompress"])
    assert set(result["machine"]) == {
        "cpu", "cores", "memory", "system", "python", "mmh", "simd", "versions", "kept_pages",
    }  # fmt: skip
    assert result["rows"][0]["version"] == mmh.__version__
    assert [whole["level"] for whole in result["whole_file"]] == ["fast", "balanced"]
    size = len(mmh.compress(b"".join(_bf16(model)), dtype="BF16", level="fast"))
    assert result["rows"][0]["stored_bytes"] == size


def _bf16(model: Path) -> list[bytes]:
    from support import model_tensors

    return [data for dtype, _, data in model_tensors().values() if dtype == "BF16"]


@pytest.mark.skipif(sys.platform == "win32", reason="cannot be told there")
def test_memory(run: Command, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(weights(4_000_000).tobytes())
    found = document(run, "--runs", "1", "--levels", "fast", "--against", "zlib-1", "x.bin")
    for row in found["results"][0]["rows"]:
        assert 7_000_000 < row["decompress_memory"] < 60_000_000
        assert 0 < row["compress_memory"] < 60_000_000


def test_report(run: Command, model: Path, tmp_path: Path) -> None:
    done = run("bench", *FAST, "--against", "zlib-1", "--report", "out.html", model)
    assert done.returncode == 0
    text = (tmp_path / "out.html").read_text("utf-8")
    tree = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    assert "zlib 1" in "".join(tree.itertext())
    assert (
        f"mmh bench --runs 1 --no-memory --levels fast,balanced --against zlib-1 --report out.html {model}"
        in "".join(tree.itertext())
    )
    before = text
    done = run("bench", *FAST, "--against", "none", "--report", "out.html", model)
    assert (done.returncode, done.stdout) == (4, b"")
    assert lines(done.stderr) == ["mmh: out.html: already exists (use -f to overwrite it)"]
    assert (tmp_path / "out.html").read_text("utf-8") == before
    assert run("bench", *FAST, "--against", "none", "-f", "--report", "out.html", model).returncode == 0
    assert (tmp_path / "out.html").read_text("utf-8") != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "out.html"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["absent"], 4, "mmh: absent: no such file or directory"),
        (["."], 64, "mmh: .: is a directory (name the files in it)"),
        (["-"], 64, "mmh: -: is not a file (name one: it is read more than once)"),
        (["empty"], 4, "mmh: empty: is empty: nothing to measure (name a file with some data)"),
        (["m.mmh"], 64, "mmh: m.mmh: is compressed already (name the original)"),
        (["--against", "gzip", "x"], 64, "mmh: unknown compressor 'gzip' (known: openzl, zipnn, pcodec, blosc2, zstd,"),
        (["--against", "zlib-77", "x"], 64, "mmh: zlib has no setting '77' (there are: 6, 1, 2, 3, 4, 5, 7, 8, 9)"),
        (["--levels", "best", "x"], 64, "mmh: mmh has no setting 'best' (there are: fast, balanced, max, 1, 2,"),
        (["--relative-to", "lz5", "x"], 64, "mmh: --relative-to 'lz5' is not measured (there are: mmh-fast,"),
        (["--report", "no/such.html", "x"], 4, "mmh: no/such.html: no: no such file or directory"),
        (["--report", ".", "x"], 64, "mmh: .: is a directory (name a file in it)"),
        (["--runs", "0", "x"], 64, "mmh: Invalid value for '--runs'"),
        ([], 64, "mmh: Missing argument 'FILE…' (see mmh bench --help)"),
    ],
)
def test_errors(run: Command, tmp_path: Path, words: list[str], code: int, said: str) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "x").write_bytes(b"x" * 1000)
    (tmp_path / "m.mmh").write_bytes(mmh.compress(b"x" * 1000))
    done = run("bench", *words)
    assert (done.returncode, done.stdout) == (code, b"")
    (line,) = lines(done.stderr)
    assert line.startswith(said)


def test_one_bad_file_does_not_stop_the_others(run: Command, model: Path) -> None:
    found = document(run, *FAST, "--against", "none", "absent", model)
    assert found["exit_code"] == 4
    assert [error["path"] for error in found["errors"]] == ["absent"]
    assert [result["path"] for result in found["results"]] == [str(model)]


@pytest.mark.usefixtures("no_rivals")
def test_without_rivals(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *FAST, str(model)]) == 0
    assert "mmh balanced" in capsys.readouterr().out


@pytest.mark.usefixtures("made_up")
def test_liars_and_others_are_shown(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *FAST, str(model)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^Honest +\d", text, re.MULTILINE)
    assert re.search(r"^Liar +FAILED +– ", text, re.MULTILINE)
    assert "Liar failed: does not restore its input" in text
    assert "Choosy left out: knows nothing of BF16" in text
    assert "Gone left out: not installed (pip install gone)" in text
    assert main(["bench", *FAST, "--against", "gone", str(model)]) == 64
    said = capsys.readouterr().err
    assert said == "mmh: gone is not installed (pip install gone; installed here: honest, liar, choosy)\n"


def test_our_own_failure_is_an_error(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rivals, "RIVALS", [])
    monkeypatch.setattr(mmh, "decompress", lambda blob, out, threads: 0)
    assert main(["bench", *FAST, str(model)]) == 4
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"mmh: {model}: mmh fast failed: does not restore its input (please report it)"


def test_interrupted(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stops = fakes.family("stops", fakes.worn_out(1, KeyboardInterrupt()))
    monkeypatch.setattr(rivals, "RIVALS", [fakes.family("honest", fakes.honest), stops])
    assert main(["bench", *FAST, str(model), str(model), "--report", str(tmp_path / "x.html")]) == 130
    printed = capsys.readouterr()
    assert re.search(r"^Honest +\d", printed.out, re.MULTILINE)
    assert printed.err == "mmh: interrupted (nothing was left half-written)\n"
    assert main(["bench", *FAST, "--json", str(model), str(model)]) == 130
    found = json.loads(capsys.readouterr().out)
    (result,) = found["results"]
    assert result["complete"] is False and result["rows"][2]["status"] == "good"
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(tmp_path: Path, number: int) -> None:
    (tmp_path / "big").write_bytes(weights(40_000_000, 2).tobytes())
    process = subprocess.Popen(
        [sys.executable, "-m", "mmh_rs", "bench", "--levels", "fast", "--against", "zlib-1", "--runs", "100", "big"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    time.sleep(2.5)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert lines(stderr) == ["mmh: interrupted (nothing was left half-written)"]
    assert b"big: 80.0 MB of bytes" in stdout
    assert [path.name for path in tmp_path.iterdir()] == ["big"]


def test_threads(run: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=50_000).astype(np.float32))
    text = run("bench", *FAST, "-T", "2", "--against", "zlib-1,zstd-1", "a.npy").stdout.decode()
    assert "a.npy: 200.0 kB of F32, 2 threads" in text
    assert "one thread in spite of it, knowing no more: zlib 1" in text
    assert "decompress with one thread: zstd 1" in text


def test_relative_to(run: Command, model: Path) -> None:
    text = run("bench", *FAST, "--against", "zlib-1", "--relative-to", "zlib-1", model).stdout.decode()
    assert re.search(r"^zlib 1 .* = +1\.00× +1\.00×$", text, re.MULTILINE)
    assert "compared with zlib 1" in text


def test_names_are_printable(run: Command, tmp_path: Path) -> None:
    name = "a\x1b[31m[red].bin" if sys.platform != "win32" else "a[red].bin"
    (tmp_path / name).write_bytes(b"x" * 5000)
    done = run("bench", *FAST, "--against", "none", "--report", "x.html", name)
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout
    assert "\x1b" not in (tmp_path / "x.html").read_text("utf-8")

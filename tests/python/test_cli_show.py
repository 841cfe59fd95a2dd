"""`mmh list`, `info`, `verify`, `cat` and `doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mmh_rs as mmh
from support import Command, Server, damage, lines, model_tensors, plain_safetensors, weights


def test_list(run: Command, archive_path: Path) -> None:
    done = run("list", archive_path)
    assert (done.returncode, done.stderr) == (0, b"")
    rows = lines(done.stdout)
    assert rows[0].split() == ["name", "dtype", "shape", "bytes", "stored", "%", "codec"]
    assert [row.split()[0] for row in rows[1:9]] == list(model_tensors())
    assert rows[1].split()[1:4] == ["BF16", "512x512", "524,288"]
    assert rows[-2].startswith("(other bytes)")
    assert rows[-1].startswith("8 tensors")
    assert all(row == row.rstrip() for row in rows)


def test_list_in_json(run: Command, archive_path: Path) -> None:
    document = json.loads(run("list", "--json", archive_path).stdout)
    (result,) = document["results"]
    assert set(result) == {"path", "source_bytes", "stored_bytes", "format", "tensors"}
    assert [tensor["name"] for tensor in result["tensors"]] == list(model_tensors())
    assert set(result["tensors"][0]) == {
        "name", "dtype", "shape", "fortran", "start", "nbytes", "stored", "codecs", "frames", "blake3", "copy_of",
    }  # fmt: skip
    assert result["tensors"][0]["shape"] == [512, 512]


def test_list_shows_references(run: Command, tmp_path: Path) -> None:
    data = weights(50_000).tobytes()
    path = tmp_path / "tied.safetensors"
    path.write_bytes(plain_safetensors({"embed": ("BF16", [500, 100], data), "head": ("BF16", [500, 100], data)}))
    run("compress", path)
    done = run("list", f"{path}.mmh")
    assert "= embed" in lines(done.stdout)[2]


def test_names_in_files_cannot_command_the_terminal(run: Command, tmp_path: Path) -> None:
    name = "a\x1b[2J\u202e\n[red]"
    path = tmp_path / "a.safetensors"
    path.write_bytes(plain_safetensors({name: ("U8", [5000], weights(2500).tobytes())}))
    run("compress", path)
    out = run("list", f"{path}.mmh").stdout.decode()
    assert "\x1b" not in out and "\u202e" not in out
    assert r"a\x1b[2J\u202e\x0a[red]" in out
    out = run("info", "--why", f"{path}.mmh").stdout.decode()
    assert "\x1b" not in out
    done = run("cat", f"{path}.mmh", "no\x1bname")
    assert b"\x1b" not in done.stderr


def test_info(run: Command, archive_path: Path, model: Path) -> None:
    done = run("info", archive_path)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert "model.safetensors, safetensors, 8 tensors" in text
    assert f"({model.stat().st_size:,} bytes)" in text
    assert f"({archive_path.stat().st_size:,} bytes)" in text
    assert "SHA-256   not stored" in text
    with mmh.open(archive_path) as archive:
        assert archive.header.blake3 is not None and archive.header.blake3 in text


def test_info_in_json(run: Command, archive_path: Path) -> None:
    (result,) = json.loads(run("info", "--json", archive_path).stdout)["results"]
    assert set(result) == {
        "path", "version", "name", "format", "source_bytes", "stored_bytes", "ratio", "frames", "tensors", "blake3",
        "sha256", "codecs", "base", "parity",
    }  # fmt: skip
    (result,) = json.loads(run("info", "--json", "--why", archive_path).stdout)["results"]
    assert set(result["why"][0]) == {"name", "dtype", "start", "bytes", "stored", "chosen", "frames", "seen", "bids"}


def test_why(run: Command, archive_path: Path, model: Path) -> None:
    text = run("info", "--why", archive_path).stdout.decode()
    assert "model.embed.weight  BF16" in text
    assert "stored  tensor" in text and "bid" in text
    done = run("info", "--why", model)
    assert done.returncode == 0
    assert "not compressed yet, planned for level balanced" in done.stdout.decode()
    assert "model.embed.weight  BF16" in done.stdout.decode()
    assert run("info", "--why", "--level", "fast", model).returncode == 0
    assert run("info", "--why", "--level", "best", model).returncode == 64
    (result,) = json.loads(run("info", "--json", "--why", model).stdout)["results"]
    assert set(result) == {"path", "why"}
    assert result["why"][0]["stored"] is None
    assert result["why"][0]["frames"] is None


def test_why_of_any_file(run: Command, tmp_path: Path) -> None:
    for name, data in {"empty": b"", "x": b"x", "zeros": bytes(100_000), "text": b"text " * 5000}.items():
        (tmp_path / name).write_bytes(data)
        assert run("info", "--why", name).returncode == 0


def test_verify(run: Command, archive_path: Path) -> None:
    done = run("verify", archive_path, archive_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    document = json.loads(run("verify", "--json", archive_path).stdout)
    (result,) = document["results"]
    assert set(result) == {
        "path", "ok", "source_bytes", "stored_bytes", "frames", "tensors", "seconds", "damaged", "matches",
            "parity",
    }  # fmt: skip
    assert result["ok"] is True and result["parity"] is None


def test_verify_names_the_damage(run: Command, archive_path: Path) -> None:
    damage(archive_path, "model.experts")
    done = run("verify", archive_path.name)
    assert done.returncode == 2
    first = lines(done.stderr)[0]
    assert first.startswith(f"mmh: {archive_path.name}: damaged block ")
    assert "tensor model.experts" in first and "at byte" in first
    assert "(restore the file from another copy; mmh repair --salvage" in first
    document = json.loads(run("verify", "--json", archive_path).stdout)
    assert document["exit_code"] == 2
    assert document["results"][0]["ok"] is False
    assert document["results"][0]["damaged"][0]["tensor"] == "model.experts"
    assert document["errors"][0]["kind"] == "corruption"


def test_verify_of_several(run: Command, archive_path: Path, tmp_path: Path) -> None:
    (tmp_path / "short.mmh").write_bytes(archive_path.read_bytes()[:-1])
    (tmp_path / "other.mmh").write_bytes(b"PK\x03\x04" * 100)
    done = run("verify", "short.mmh", "other.mmh", archive_path)
    assert done.returncode == 3
    assert [line.split(":")[1].strip() for line in lines(done.stderr)] == ["short.mmh", "other.mmh"]
    assert run("verify", "short.mmh").returncode == 2
    assert run("verify", "absent.mmh").returncode == 4


@pytest.mark.parametrize("name", model_tensors())
def test_cat(run: Command, archive_path: Path, name: str) -> None:
    done = run("cat", archive_path, name)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == model_tensors()[name][2]


def test_cat_to_a_file(run: Command, archive_path: Path, tmp_path: Path) -> None:
    done = run("cat", archive_path, "model.mask", "-o", "mask.bin", "--json")
    (result,) = json.loads(done.stdout)["results"]
    assert set(result) == {"path", "target", "tensor", "dtype", "shape", "fortran", "nbytes"}
    assert (tmp_path / "mask.bin").read_bytes() == np.tri(64, dtype=bool).tobytes()
    done = run("cat", archive_path, "model.scale", "-o", "mask.bin")
    assert done.returncode == 4
    assert "mask.bin already exists" in lines(done.stderr)[0]
    assert run("cat", "-f", archive_path, "model.scale", "-o", "mask.bin").returncode == 0
    assert (tmp_path / "mask.bin").stat().st_size == 4
    damage(archive_path, "model.experts")
    assert run("cat", archive_path, "model.experts", "-o", "x").returncode == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".mmh", "x"))]


def test_cat_of_nothing(run: Command, archive_path: Path) -> None:
    done = run("cat", archive_path, "absent")
    assert done.returncode == 64
    assert "has no tensor 'absent' (mmh list names them)" in lines(done.stderr)[0]
    assert run("cat", archive_path, "model.mask", "--json").returncode == 64
    assert run("cat", archive_path).returncode == 64


def test_standard_input(run: Command, archive_path: Path) -> None:
    data = archive_path.read_bytes()
    assert run("list", "-", input=data).stdout == run("list", archive_path).stdout
    assert run("verify", "-", input=data).returncode == 0
    assert run("cat", "-", "model.scale", input=data).stdout == model_tensors()["model.scale"][2]
    assert run("info", "-", input=b"").returncode in (2, 3)


def test_urls(run: Command, archive_path: Path, server: Server) -> None:
    server.files["/m.mmh"] = archive_path.read_bytes()
    url = f"{server.address}/m.mmh"
    assert run("list", url).stdout == run("list", archive_path).stdout
    assert run("verify", url).returncode == 0
    assert run("cat", url, "model.scale").stdout == model_tensors()["model.scale"][2]
    done = run("info", f"{server.address}/absent")
    assert done.returncode == 4
    assert "the server answers 404" in lines(done.stderr)[0]


@pytest.mark.parametrize("command", ["list", "info", "verify", "cat"])
@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", 3), (b"no mmh" * 100, 3), (b"\x89MMH\r\n\x1a\n", 2), (None, 4)],
    ids=["empty", "other", "cut", "absent"],
)
def test_errors(run: Command, tmp_path: Path, command: str, content: bytes | None, code: int) -> None:
    if content is not None:
        (tmp_path / "x.mmh").write_bytes(content)
    words = [command, "x.mmh", "t"] if command == "cat" else [command, "x.mmh"]
    done = run(*words)
    assert done.returncode == code
    assert done.stdout == b""
    (line,) = lines(done.stderr)
    assert line.startswith("mmh: x.mmh: ")


def test_doctor(run: Command) -> None:
    done = run("doctor")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    for word in ("mmh-rs", "cpu", "simd", "threads", "memcpy", "numpy", "torch", "codecs", "python"):
        assert word in text
    (result,) = json.loads(run("doctor", "--json").stdout)["results"]
    assert set(result) == {"path", "engine", "python", "packages", "codecs", "format_version", "advice"}
    assert result["codecs"][0] == "auto"
    assert all(isinstance(sentence, str) for sentence in result["advice"])

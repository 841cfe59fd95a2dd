"""Directories in one file."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmh_rs as mmh
from support import Command, lines, weights

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub" / "empty").mkdir(parents=True)
    for number in range(40):
        (root / "sub" / f"{number}.json").write_text(json.dumps({"hidden_size": 384, "layer": number}) * 20)
    (root / "sub" / ("long" * 40)).write_text("x")
    (root / "sub" / os.fsdecode(b"\xff odd")).write_text("odd")
    (root / "nothing").write_bytes(b"")
    for name in ("first", "second"):
        np.save(root / f"{name}.npy", weights(200_000, 1).view("u2").reshape(400, -1))
    (root / "link").symlink_to("sub/1.json")
    (root / "dangling").symlink_to("/nowhere")
    (root / "sub" / "1.json").chmod(0o640)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, (0, 10**9 + number), follow_symlinks=False)
    (root / "sub" / "empty").chmod(0o555)
    os.utime(root, (0, 10**9))
    return root


def facts(root: Path) -> dict[str, tuple[Any, ...]]:
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        info = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        mode = None if path.is_symlink() else stat.S_IMODE(info.st_mode)
        found[str(path.relative_to(root))] = (stat.S_IFMT(info.st_mode), mode, int(info.st_mtime), content)
    return found


def test_everything_comes_back(tree: Path, tmp_path: Path) -> None:
    before = facts(tree)
    report = mmh.pack_dir(tree)
    assert report.target == f"{tree}.tar.mmh" and report.format == "tar"
    assert (report.files, report.links, report.directories, report.ignored) == (45, 2, 3, [])
    assert report.stored_bytes == os.path.getsize(f"{tree}.tar.mmh")
    back = mmh.unpack_dir(f"{tree}.tar.mmh", tmp_path / "back", threads=2)
    assert (back.files, back.links, back.directories) == (45, 2, 3)
    assert facts(tmp_path / "back") == before == facts(tree)
    # Smaller than the files one by one: they share blocks, and the second array is the first one again.
    assert 1.9 * report.stored_bytes < mmh.compress_dir(tree).stored_bytes


def test_tar_reads_it(tree: Path, tmp_path: Path) -> None:
    mmh.pack_dir(tree)
    mmh.decompress_file(f"{tree}.tar.mmh")
    with tarfile.open(tmp_path / "tree.tar") as archive:
        archive.extractall(tmp_path / "out", filter="tar")
    assert {name: fact[3] for name, fact in facts(tmp_path / "out").items()} == {
        name: fact[3] for name, fact in facts(tree).items()
    }
    with mmh.open(f"{tree}.tar.mmh") as archive:
        assert sorted(archive.keys()) == ["first.npy:data", "second.npy:data"]
        assert np.array_equal(archive.get("second.npy:data"), np.load(tree / "second.npy"))


def test_the_same_tree_gives_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    one = mmh.pack_dir(tree, tmp_path / "one", threads=1)
    four = mmh.pack_dir(tree, tmp_path / "four", threads=4)
    assert one.blake3 == four.blake3
    assert (tmp_path / "one").read_bytes() == (tmp_path / "four").read_bytes()


def test_other_archives_can_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text " * 1000)
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        archive.add(tmp_path / "a.txt", "deep/down/a.txt")
    mmh.compress_file(tmp_path / "other.tar")
    assert mmh.unpack_dir(tmp_path / "other.tar.mmh", tmp_path / "out").files == 1
    assert (tmp_path / "out/deep/down/a.txt").read_text() == "text " * 1000


def test_what_is_refused(tree: Path, tmp_path: Path) -> None:
    mmh.pack_dir(tree)
    with pytest.raises(FileExistsError):
        mmh.pack_dir(tree)
    with pytest.raises(FileExistsError):
        mmh.unpack_dir(f"{tree}.tar.mmh")
    with pytest.raises(ValueError, match="lies in the directory"):
        mmh.pack_dir(tree, tree / "sub" / "x.mmh")
    with pytest.raises(NotADirectoryError):
        mmh.pack_dir(tree / "nothing", tmp_path / "x")
    mmh.compress_file(tree / "sub" / "1.json", tmp_path / "one.tar.mmh")
    with pytest.raises(ValueError, match="holds no directory"):
        mmh.unpack_dir(tmp_path / "one.tar.mmh")
    with pytest.raises(ValueError, match=r"does not end in \.tar\.mmh"):
        mmh.unpack_dir(tmp_path / "x.mmh")
    blob = bytearray(Path(f"{tree}.tar.mmh").read_bytes())
    blob[1000] ^= 1
    Path(f"{tree}.tar.mmh").write_bytes(blob)
    with pytest.raises(mmh.CorruptionError):
        mmh.unpack_dir(f"{tree}.tar.mmh", tmp_path / "back")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.tar.mmh", "tree", "tree.tar.mmh"]


class TestCommand:
    def test_round_trip(self, run: Command, tree: Path, tmp_path: Path) -> None:
        done: subprocess.CompletedProcess[bytes] = run("compress", "--pack", "tree", "--json")
        (result,) = json.loads(done.stdout)["results"]
        assert (result["target"], result["files"], result["format"]) == ("tree.tar.mmh", 45, "tar")
        before = facts(tree)
        tree.rename(tmp_path / "was")
        assert run("decompress", "--unpack", "tree.tar.mmh", "-q").returncode == 0
        assert facts(tree) == before
        run("compress", "--pack", "tree", "was", "-o", "out")
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["tree.tar.mmh", "was.tar.mmh"]
        piped = run("compress", "--pack", "tree", "-c").stdout
        assert mmh.decompress(piped) == mmh.decompress((tmp_path / "out/tree.tar.mmh").read_bytes())

    def test_wrong_usage(self, run: Command, tree: Path) -> None:
        assert run("compress", "--pack", "-r", "tree").returncode == 64
        assert run("decompress", "--unpack", "-f", "tree.tar.mmh").returncode == 64
        refused = run("compress", "tree")
        assert "--pack for one file" in lines(refused.stderr)[0]

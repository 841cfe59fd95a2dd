"""Directories: a mirror, and back, with everything that a directory has."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mmh_rs as mmh
from support import Command, damage, environment, lines, weights

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
pytestmark = posix
not_root = pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may do everything")


def facts(root: Path) -> dict[str, tuple[Any, ...]]:
    """What is to come back: kind, mode, time, and content, of everything below a directory and of itself."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        info = path.lstat()
        content: object = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
        mode = None if path.is_symlink() else stat.S_IMODE(info.st_mode)
        found[str(path.relative_to(root))] = (stat.S_IFMT(info.st_mode), mode, info.st_mtime_ns, content)
    return found


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A bit of everything: large, small, hidden and empty files, a `.mmh`, links of all kinds, odd names and modes."""
    root = tmp_path / "tree"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "sub" / "empty").mkdir()
    (root / "was.mmh" / ".mmh").mkdir(parents=True)
    (root / "model.safetensors").write_bytes(weights(1_500_000, 1).tobytes())
    (root / "sub" / "config.json").write_text('{"a": 1}' * 50)
    (root / "sub" / ".hidden").write_text("x")
    (root / "sub" / "deep" / "nothing").write_bytes(b"")
    (root / "sub" / "deep" / "x.mmh").write_bytes(mmh.compress(b"x" * 1000))
    (root / "sub" / "deep" / ".mmh").write_bytes(b"named as the suffix alone")
    (root / "was.mmh" / "noise.gz").write_bytes(os.urandom(5000))
    (root / "was.mmh" / os.fsdecode(b"\xff\n[bold]")).write_text("odd")
    (root / "read-only").write_text("r" * 100)
    (root / "link").symlink_to("sub/config.json")
    (root / "sub" / "up").symlink_to("../model.safetensors")
    (root / "directory").symlink_to("sub")
    (root / "dangling").symlink_to("/nowhere/at all.mmh")
    (root / "loop").symlink_to(".")
    (root / "read-only").chmod(0o444)
    (root / "sub" / "config.json").chmod(0o640)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 10**18 + number * 1_234_567_891), follow_symlinks=False)
    (root / "was.mmh").chmod(0o555)
    os.utime(root, ns=(0, 10**18))
    return root


FILES, LINKS, DIRECTORIES = 9, 5, 6


def test_everything_comes_back(tree: Path, tmp_path: Path) -> None:
    before = facts(tree)
    report = mmh.compress_dir(tree)
    assert report and report.target == f"{tree}.mmh"
    assert (report.files, report.skipped, report.links, report.directories) == (FILES, 0, LINKS, DIRECTORIES)
    assert report.source_bytes == sum(len(fact[3]) for fact in before.values() if isinstance(fact[3], bytes))
    assert report.stored_bytes == sum(
        path.stat().st_size for path in (tmp_path / "tree.mmh").rglob("*") if path.is_file() and not path.is_symlink()
    )
    assert 0 < report.ratio < 0.7 and report.seconds > 0
    assert facts(tree) == before
    for threads in (1, 3):
        target = tmp_path / f"back{threads}"
        back = mmh.decompress_dir(report.target, target, threads=threads)
        assert back
        assert (back.files, back.links, back.directories) == (FILES, LINKS, DIRECTORIES)
        assert (back.source_bytes, back.stored_bytes) == (report.source_bytes, report.stored_bytes)
        assert facts(target) == before


def test_the_mirror_can_be_used_as_it_is(tree: Path, tmp_path: Path) -> None:
    mmh.compress_dir(tree)
    mirror = tmp_path / "tree.mmh"
    assert {"sub/config.json.mmh", "was.mmh.mmh/.mmh.mmh", "sub/deep/x.mmh.mmh"} <= set(names(mirror))
    assert os.readlink(mirror / "link.mmh") == "sub/config.json.mmh"
    assert mmh.decompress((mirror / "link.mmh").read_bytes()) == (tree / "link").read_bytes()
    one = mmh.decompress_file(mirror / "sub" / "up.mmh", tmp_path / "one")
    assert one.source_bytes == 3_000_000


def test_any_number_of_threads_gives_the_same_mirror(tree: Path, tmp_path: Path) -> None:
    mmh.compress_dir(tree, tmp_path / "one", threads=1)
    mmh.compress_dir(tree, tmp_path / "four", threads=4)
    assert facts(tmp_path / "one") == facts(tmp_path / "four")


def test_default_names(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    for source in (".", "./", "sub/..", f"{tree}/"):
        assert os.path.abspath(mmh.compress_dir(source).target) == str(tmp_path / "tree.mmh")
    monkeypatch.chdir(tmp_path)
    assert mmh.compress_dir("tree//").target == "tree.mmh"
    monkeypatch.chdir(tmp_path / "tree.mmh")
    (tmp_path / "tree").rename(tmp_path / "kept")
    assert os.path.abspath(mmh.decompress_dir(".").target) == str(tmp_path / "tree")
    assert facts(tmp_path / "tree") == facts(tmp_path / "kept")
    with pytest.raises(ValueError, match=r"does not end in \.mmh"):
        mmh.decompress_dir(tmp_path / "kept")
    with pytest.raises(ValueError, match="name the target"):
        mmh.compress_dir("/")


def test_a_repeated_run_skips_what_is_finished(tree: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "tree.mmh"
    mmh.compress_dir(tree)
    written = {path: path.lstat().st_ctime_ns for path in mirror.rglob("*.mmh") if path.is_file()}
    (mirror / "sub" / "config.json.mmh").unlink()
    (mirror / "sub" / ".mmh-aB3xyZ.part").write_bytes(b"half")
    (mirror / "link.mmh").unlink()
    seen: list[mmh.TreeFile] = []
    report = mmh.compress_dir(tree, on_file=seen.append)
    assert (report.files, report.skipped, report.links) == (1, FILES - 1, LINKS)
    assert [file.source for file in seen if not file.skipped] == [f"{tree}/link", f"{tree}/sub/config.json"]
    assert not (mirror / "sub" / ".mmh-aB3xyZ.part").exists()
    unchanged = [path for path, at in written.items() if path.lstat().st_ctime_ns == at and not path.is_symlink()]
    assert len(unchanged) >= FILES - 1

    mmh.decompress_dir(mirror, tmp_path / "back")
    (tmp_path / "back" / "sub" / "deep" / ".mmh").unlink()
    again = mmh.decompress_dir(mirror, tmp_path / "back")
    assert (again.files, again.skipped) == (1, FILES - 1)
    assert facts(tmp_path / "back") == facts(tree)
    assert mmh.compress_dir(tree, force=True).files == FILES


def test_only_whole_targets_of_the_same_source_are_trusted(tree: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "tree.mmh"
    mmh.compress_dir(tree)

    def refused(change: Callable[[Path, Path], None]) -> None:
        source, target = tree / "sub" / "config.json", mirror / "sub" / "config.json.mmh"
        mmh.compress_file(source, target, force=True)
        change(source, target)
        report = mmh.compress_dir(tree)
        ((path, error),) = report.failed
        assert not report and path == str(source)
        assert isinstance(error, FileExistsError)
        assert report.skipped == FILES - 1
        os.utime(source, ns=(0, 10**18))

    def cut(source: Path, target: Path) -> None:
        info = target.stat()
        target.write_bytes(target.read_bytes()[:-1])
        os.utime(target, ns=(0, info.st_mtime_ns))

    def edit(source: Path, target: Path) -> None:
        source.write_text("new")

    def grow(source: Path, target: Path) -> None:
        info = source.stat()
        source.write_text("another length")
        os.utime(source, ns=(0, info.st_mtime_ns))

    for change in (cut, edit, grow):
        refused(change)
    assert mmh.compress_dir(tree, force=True)
    mmh.decompress_dir(mirror, tmp_path / "back")
    assert facts(tmp_path / "back") == facts(tree)


def test_leftovers_of_others_are_kept(tmp_path: Path) -> None:
    """Only what this program left behind is removed, and nothing that belongs to the tree."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".mmh-abcdef.part").write_text("a file of the tree")
    mmh.compress_dir(tmp_path / "tree")
    (tmp_path / "back").mkdir()
    for name in (".mmh-abcdef.part", ".mmh-ghijkl.part", ".mmh-x.part", "mine"):
        (tmp_path / "back" / name).write_text("old")
    report = mmh.decompress_dir(tmp_path / "tree.mmh", tmp_path / "back", force=True)
    assert report
    assert names(tmp_path / "back") == [".mmh-abcdef.part", ".mmh-x.part", "mine"]


def test_sources_are_removed_when_their_results_are_safe(tree: Path, tmp_path: Path) -> None:
    (tree / "was.mmh").chmod(0o755)
    before = facts(tree)
    assert mmh.compress_dir(tree, remove=True)
    assert not tree.exists()
    (tmp_path / "tree.mmh" / "foreign").write_text("kept")
    report = mmh.decompress_dir(tmp_path / "tree.mmh", remove=True)
    assert report and report.ignored == [f"{tmp_path}/tree.mmh/foreign"]
    after = facts(tree)
    after["."] = before["."]  # it was made anew beside the file that was added
    assert after == before
    assert names(tmp_path / "tree.mmh") == ["foreign"]


def test_what_fails_is_not_removed(tree: Path, tmp_path: Path) -> None:
    (tree / "was.mmh").chmod(0o755)
    before = facts(tree)
    mirror = tmp_path / "tree.mmh"
    (mirror / "sub").mkdir(parents=True)
    (mirror / "sub" / "config.json.mmh").write_text("in the way")
    report = mmh.compress_dir(tree, remove=True)
    assert [path for path, _ in report.failed] == [f"{tree}/sub/config.json"]
    assert names(tree) == ["sub", "sub/config.json"]
    assert {name: fact[2] for name, fact in facts(tree).items()} == {
        name: before[name][2] for name in (".", "sub", "sub/config.json")
    }


def test_a_removal_does_not_trust_an_earlier_run(tree: Path, tmp_path: Path) -> None:
    """A `.mmh` whose frames are damaged looks finished; the source may not go for it."""
    model = tree / "model.safetensors"
    content = model.read_bytes()
    mmh.compress_dir(tree)
    target = tmp_path / "tree.mmh" / "model.safetensors.mmh"
    info = target.stat()
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 1
    target.write_bytes(data)
    os.utime(target, ns=(0, info.st_mtime_ns))
    assert mmh.compress_dir(tree).skipped == FILES
    mmh.compress_dir(tree, remove=True)
    assert mmh.decompress(target.read_bytes()) == content


def test_damage_does_not_stop_the_others(tree: Path, tmp_path: Path, model: Path) -> None:
    (tree / "real.safetensors").write_bytes(model.read_bytes())
    mmh.compress_dir(tree)
    damage(tmp_path / "tree.mmh" / "real.safetensors.mmh", "model.embed.weight")
    (tmp_path / "tree.mmh" / "plain.mmh").write_text("not one")
    report = mmh.decompress_dir(tmp_path / "tree.mmh", tmp_path / "back")
    failed = {Path(path).name: error for path, error in report.failed}
    assert set(failed) == {"real.safetensors.mmh", "plain.mmh"}
    assert isinstance(failed["real.safetensors.mmh"], mmh.CorruptionError)
    assert isinstance(failed["plain.mmh"], mmh.UnsupportedFormatError)
    assert report.files == FILES
    assert not (tmp_path / "back" / "real.safetensors").exists()


def test_nothing_is_written_outside_of_the_target(tmp_path: Path) -> None:
    """A mirror made by somebody else: links and directories of the same name."""
    mirror, outside = tmp_path / "evil.mmh", tmp_path / "outside"
    (mirror / "x").mkdir(parents=True)
    outside.mkdir()
    mmh.compress_file(__file__, mirror / "x" / "file.mmh")
    (mirror / "x.mmh").symlink_to(f"{outside}.mmh")
    (mirror / "other.mmh").symlink_to("no suffix")
    report = mmh.decompress_dir(mirror)
    assert sorted(Path(path).name for path, _ in report.failed) == ["other.mmh", "x.mmh"]
    assert list(outside.iterdir()) == []
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "x").symlink_to(outside)
    report = mmh.decompress_dir(mirror, tmp_path / "back", force=True)
    assert any(isinstance(error, NotADirectoryError) for _, error in report.failed)
    assert list(outside.iterdir()) == []


def test_links_can_be_followed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "abc").write_text("blob")
    for name in ("dangling", "loop", "link", "directory"):
        (tree / name).unlink()
    (tree / "snapshot").symlink_to(tmp_path / "blobs" / "abc")
    (tree / "all").symlink_to(tmp_path / "blobs")
    report = mmh.compress_dir(tree, follow=True)
    assert report and report.links == 0
    mmh.decompress_dir(report.target, tmp_path / "back")
    assert (tmp_path / "back" / "snapshot").read_text() == "blob"
    assert (tmp_path / "back" / "all" / "abc").read_text() == "blob"
    assert not (tmp_path / "back" / "all").is_symlink()
    (tree / "gone").symlink_to("nowhere")
    (tree / "sub" / "round").symlink_to("..")
    report = mmh.compress_dir(tree, follow=True)
    assert [Path(path).name for path, _ in report.failed] == ["gone", "round"]
    with pytest.raises(ValueError, match="follow and remove"):
        mmh.compress_dir(tree, follow=True, remove=True)


def test_what_is_no_file_is_said(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    report = mmh.compress_dir(tree)
    ((path, error),) = report.failed
    assert path.endswith("pipe") and "pipe or device" in str(error)


def test_wrong_arguments(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mmh.compress_dir(tmp_path / "absent")
    with pytest.raises(NotADirectoryError):
        mmh.compress_dir(tree / "read-only")
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError):
        mmh.compress_dir(tree, tmp_path / "file")
    for target in (tree, tree / "sub", tree / "sub" / "new", tree / "directory" / "x"):
        with pytest.raises(ValueError, match="lies in the directory itself"):
            mmh.compress_dir(tree, target)
    with pytest.raises(ValueError, match="unknown codec"):
        mmh.compress_dir(tree, codec="rar")
    with pytest.raises(TypeError):
        mmh.compress_dir(None)  # type: ignore[arg-type]


def test_progress_and_stopping(tree: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None, int]] = []
    total = sum(len(fact[3]) for fact in facts(tree).values() if isinstance(fact[3], bytes))
    report = mmh.compress_dir(tree, progress=lambda *step: steps.append(step))
    assert steps[-1] == (total, total, report.stored_bytes)
    assert [step[0] for step in steps] == sorted(step[0] for step in steps)
    steps.clear()
    mmh.decompress_dir(report.target, tmp_path / "back", progress=lambda *step: steps.append(step))
    assert steps[-1][0] == steps[-1][1] == report.stored_bytes

    def stop(*step: object) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        mmh.compress_dir(tree, tmp_path / "stopped", progress=stop)
    assert not [name for name in names(tmp_path / "stopped") if name.endswith(".part")]
    assert mmh.compress_dir(tree, tmp_path / "stopped")


@pytest.mark.parametrize("threads", [1, 2])
def test_ten_thousand_small_files(tmp_path: Path, threads: int) -> None:
    text = (Path(mmh.__file__).read_text() * 2)[:4000]
    for number in range(10_000):
        directory = tmp_path / "many" / f"{number % 50}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / str(number)).write_text(f"{number}{text[number % 3000 :][:1000]}")
    # Others may be at work on this machine, and the file system may have a lot to do.
    started = os.times().user
    report = mmh.compress_dir(tmp_path / "many", threads=threads)
    assert report.files == 10_000 and report
    assert os.times().user - started < 5
    assert mmh.decompress_dir(report.target, tmp_path / "back", threads=threads).files == 10_000
    for number in range(0, 10_000, 97):
        name = f"{number % 50}/{number}"
        assert (tmp_path / "back" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


class TestCommand:
    def test_round_trip_in_silence(self, run: Command, tree: Path, tmp_path: Path) -> None:
        for words in (["compress", "-r", "tree"], ["decompress", "-r", "tree.mmh", "-o", "back"]):
            done = run(*words)
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert facts(tmp_path / "back") == facts(tree)

    def test_targets(self, run: Command, tree: Path, tmp_path: Path) -> None:
        assert run("compress", "-r", "tree/", "-o", "mirror").returncode == 0
        assert facts(tmp_path / "mirror") == facts(tmp_path / "mirror")
        (tmp_path / "file").write_text("x")
        assert run("compress", "-r", "tree", "file", "-o", "both").returncode == 0
        assert {"file.mmh", "tree.mmh", "tree.mmh/link.mmh"} <= set(names(tmp_path / "both"))
        assert run("decompress", "-r", "both/tree.mmh", "both/file.mmh", "-o", "back").returncode == 0
        assert facts(tmp_path / "back" / "tree") == facts(tree)

    def test_json(self, run: Command, tree: Path, tmp_path: Path) -> None:
        (tmp_path / "tree.mmh").mkdir()
        (tmp_path / "tree.mmh" / "read-only.mmh").write_text("in the way")
        done = run("compress", "-r", "tree", "--json")
        document = json.loads(done.stdout)
        assert document["exit_code"] == done.returncode == 4
        assert lines(done.stderr) == [
            "mmh: tree/read-only: tree.mmh/read-only.mmh already exists (use -f to overwrite it)"
        ]
        (facts,) = document["trees"]
        assert set(facts) == {
            "source", "target", "files", "skipped", "links", "links_out", "directories", "source_bytes", "stored_bytes",
            "seconds", "ratio", "failed", "ignored",
        }  # fmt: skip
        assert (facts["source"], facts["target"], facts["failed"]) == ("tree", "tree.mmh", 1)
        results = {result["path"]: result for result in document["results"]}
        assert set(results["tree/model.safetensors"]) == {
            "path", "target", "skipped", "link", "source_bytes", "stored_bytes", "ratio", "worth_it", "seconds",
            "format", "tensors", "codecs", "blake3", "sha256", "level", "codec",
        }  # fmt: skip
        assert results["tree/was.mmh/noise.gz"]["worth_it"] is False
        assert results["tree/link"] == {
            "path": "tree/link", "target": "tree.mmh/link.mmh", "skipped": False, "link": True
        }  # fmt: skip
        done = run("compress", "-r", "-f", "tree", "--json", "--level", "fast")
        assert done.returncode == 0
        document = json.loads(run("compress", "-r", "tree", "--json").stdout)
        assert (document["trees"][0]["skipped"], document["exit_code"]) == (FILES, 0)
        assert "trees" not in json.loads(run("compress", "-f", "tree/read-only", "--json").stdout)

    def test_a_tree_that_cannot_be_told_from_its_name(self, run: Command, tree: Path) -> None:
        done = run("decompress", "-r", "tree")
        assert done.returncode == 64
        assert lines(done.stderr) == ["mmh: tree: does not end in .mmh (name the target with -o)"]

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
    def test_it_goes_on_where_it_was_interrupted(self, tmp_path: Path, number: int) -> None:
        (tmp_path / "tree").mkdir()
        for name in range(40):
            (tmp_path / "tree" / f"shard-{name:02}").write_bytes(weights(2_000_000, name % 4).tobytes())
        words = [sys.executable, "-m", "mmh_rs", "compress", "-r", "tree", "-T1", "--level", "max"]
        process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, env=environment())
        deadline = time.monotonic() + 30
        mirror = tmp_path / "tree.mmh"
        while len(list(mirror.glob("*.mmh"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        if process.returncode == 0:
            pytest.skip("this machine is faster than the test")
        if number == signal.SIGINT:
            assert process.returncode == 130 and len(lines(errors)) == 1
            assert not list(mirror.glob(".*"))
        finished = len(list(mirror.glob("*.mmh")))
        assert 3 <= finished < 40
        report = mmh.compress_dir(tmp_path / "tree")
        assert (report.skipped, report.files) == (finished, 40 - finished)
        assert len(names(mirror)) == 40
        mmh.decompress_dir(mirror, tmp_path / "back")
        assert facts(tmp_path / "back") == facts(tmp_path / "tree")

    @not_root
    def test_what_may_not_be_read(self, run: Command, tree: Path) -> None:
        (tree / "read-only").chmod(0)
        (tree / "sub" / "empty").chmod(0)
        done = run("compress", "-r", "tree")
        assert done.returncode == 4
        assert all("permission denied" in line for line in lines(done.stderr))
        assert len(lines(done.stderr)) == 2

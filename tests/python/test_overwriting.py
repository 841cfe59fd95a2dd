"""Nothing that is read is written over, nothing that is no file is replaced by one, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import mmh_rs as mmh
from mmh_rs.cli import main
from support import Command, damage, environment, model_tensors, plain_safetensors, weights

fcntl = pytest.importorskip("fcntl")


def changed(model: Path, name: str) -> Path:
    """A model that differs in a few elements, as a fine-tune does."""
    tensors = model_tensors()
    dtype, shape, data = tensors["model.experts"]
    content = bytearray(data)
    content[1000:1010] = bytes(10)
    path = model.with_name(name)
    path.write_bytes(plain_safetensors(tensors | {"model.experts": (dtype, shape, bytes(content))}))
    return path


def content(root: Path) -> dict[str, bytes | None]:
    """Every file below, hidden ones included."""
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in root.rglob("*")}


class TestTheBase:
    def test_is_not_the_target_of_a_file(self, model: Path, run: Command, tmp_path: Path) -> None:
        tuned = changed(model, "tuned.safetensors")
        mmh.compress_file(model, tmp_path / "base.mmh")
        (tmp_path / "way").symlink_to(".")
        before = content(tmp_path)
        for base, target in [
            (model.name, model.name),
            (model.name, f"way/{model.name}"),
            ("base.mmh", "base.mmh"),
        ]:
            done = run("compress", "-f", "--rm", tuned.name, "--base", base, "-o", target)
            assert done.returncode == 64
            assert f"mmh: {tuned.name}: {target} is ".encode() in done.stderr
            with pytest.raises(ValueError, match="would be written over"):
                mmh.compress_file(tuned, tmp_path / target, base=tmp_path / base, force=True)
        assert content(tmp_path) == before

    def test_is_not_the_target_of_restoring(self, model: Path, run: Command, tmp_path: Path) -> None:
        tuned = changed(model, "tuned.safetensors")
        mmh.compress_file(tuned, tmp_path / "tuned.mmh", base=model)
        before = content(tmp_path)
        done = run("decompress", "-f", "tuned.mmh", "--base", model.name, "-o", model.name)
        assert done.returncode == 64 and b"is read, and would be written over" in done.stderr
        done = run("protect", "-f", "tuned.mmh", "--base", model.name, "-o", model.name)
        assert done.returncode == 64 and b"is read, and would be written over" in done.stderr
        done = run("cat", "-f", "tuned.mmh", "model.experts", "--base", model.name, "-o", model.name)
        assert done.returncode == 64 and b"is read, and would be written over" in done.stderr
        assert content(tmp_path) == before

    def test_is_not_in_the_target_of_a_tree(self, tmp_path: Path, run: Command) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "x").write_bytes(weights(100_000, 1).tobytes())
        mmh.compress_dir(tmp_path / "one")
        before = content(tmp_path)
        for words in [
            ["compress", "-r", "-f", "--rm", "one", "--base", "one.mmh"],
            ["compress", "-r", "-f", "two", "--base", "one.mmh", "-o", "one.mmh"],
            ["compress", "-r", "-f", "two", "--base", "one", "-o", "one/two.mmh"],
            ["decompress", "-r", "-f", "one.mmh", "--base", "two", "-o", "two"],
        ]:
            done = run(*words)
            assert done.returncode == 64 and b"overlap" in done.stderr, words
        assert content(tmp_path) == before


class TestTheSource:
    @pytest.mark.parametrize("way", ["itself", "link to the directory", "link"])
    def test_is_not_the_target(self, way: str, model: Path, run: Command, tmp_path: Path) -> None:
        archive = tmp_path / "m.mmh"
        mmh.compress_file(model, archive)
        (tmp_path / "way").symlink_to(".")

        def named(path: Path) -> str:
            if way == "link":
                link = path.with_suffix(".link")
                link.unlink(missing_ok=True)
                link.symlink_to(path.name)
                return link.name
            return path.name if way == "itself" else f"way/{path.name}"

        to_model, to_archive = named(model), named(archive)
        before = content(tmp_path)
        for words in [
            ["compress", "-f", model.name, "-o", to_model],
            ["decompress", "-f", archive.name, "-o", to_archive],
            ["cat", "-f", archive.name, "model.norm.weight", "-o", to_archive],
            ["repair", "--salvage", "-f", archive.name, "-o", to_archive],
            ["validate", "-f", "--proof", "none", model.name, "--report", to_model],
            ["bench", "-f", model.name, "--runs", "1", "--report", to_model],
        ]:
            done = run(*words)
            assert done.returncode == 64 and b"would be written over" in done.stderr, (words, done.stderr)
            assert content(tmp_path) == before, words
        target = tmp_path / to_model
        for call in (
            lambda: mmh.compress_file(model, target, force=True),
            lambda: mmh.decompress_file(archive, tmp_path / to_archive, force=True),
            lambda: mmh.salvage(archive, tmp_path / to_archive, force=True),
        ):
            with pytest.raises(ValueError, match="would be written over"):
                call()
        assert content(tmp_path) == before

    def test_is_kept_when_a_damaged_archive_is_salvaged_over_itself(self, archive_path: Path, run: Command) -> None:
        damage(archive_path, "model.experts")
        before = archive_path.read_bytes()
        assert run("repair", "--salvage", "-f", archive_path.name, "-o", archive_path.name).returncode == 64
        assert archive_path.read_bytes() == before


class TestWhatIsNoFile:
    @pytest.fixture(params=["pipe", "link to a pipe", "socket"])
    def node(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        if request.param == "socket":
            import socket

            directory = os.getcwd()
            os.chdir(tmp_path)  # the names of sockets are short
            with socket.socket(socket.AF_UNIX) as end:
                end.bind("node")
            os.chdir(directory)
        elif request.param == "pipe":
            os.mkfifo(tmp_path / "node")
        else:
            os.mkfifo(tmp_path / "far")
            (tmp_path / "node").symlink_to("far")
        return tmp_path / "node"

    def test_stays_what_it_is(self, node: Path, archive_path: Path, run: Command) -> None:
        before = node.lstat()
        for words in [
            ["compress", "-f", "model.safetensors", "-o", "node"],
            ["decompress", "-f", archive_path.name, "-o", "node"],
            ["cat", "-f", archive_path.name, "model.norm.weight", "-o", "node"],
            ["protect", "-f", archive_path.name, "-o", "node"],
            ["repair", "--salvage", "-f", archive_path.name, "-o", "node"],
            ["generate", "-f", "--size", "100kB", "--format", "safetensors", "node"],
            ["validate", "-f", "--proof", "none", "model.safetensors", "--report", "node"],
        ]:
            done = run(*words)
            assert done.returncode == 64, (words, done.stderr)
            assert b"is a device, a pipe or a socket" in done.stderr
            after = node.lstat()
            assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)

    def test_links_of_the_system_stay(self, model: Path, tmp_path: Path) -> None:
        """What /dev/stdout leads to may be a file; the link would be replaced all the same."""
        with open(tmp_path / "out", "wb") as out:
            done = subprocess.run(
                [sys.executable, "-m", "mmh_rs", "compress", "-f", model, "-o", f"/proc/self/fd/{out.fileno()}"],
                stdout=out,
                pass_fds=[out.fileno()],
                stderr=subprocess.PIPE,
                env=environment(),
                timeout=60,
            )
        assert done.returncode == 64 and b"is a device, a pipe or a socket" in done.stderr
        assert (tmp_path / "out").read_bytes() == b""


class TestTrees:
    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        root = tmp_path / "tree"
        root.mkdir()
        (root / "model").write_bytes(weights(50_000, 1).tobytes())
        (root / "text").write_text("x" * 1000)
        for path in (root / "model", root / "text", root):
            os.utime(path, (1_700_000_000, 1_700_000_000))
        return root

    def test_a_file_changed_within_two_seconds_is_seen(self, tree: Path) -> None:
        assert mmh.compress_dir(tree).files == 2
        (tree / "model").write_bytes(weights(50_000, 2).tobytes())
        os.utime(tree / "model", (1_700_000_001, 1_700_000_001))
        report = mmh.compress_dir(tree)
        assert report.skipped == 1 and [Path(path).name for path, _ in report.failed] == ["model"]

    def test_update_takes_what_has_changed_alone(self, tree: Path, tmp_path: Path, run: Command) -> None:
        assert run("compress", "-r", "tree").returncode == 0
        (tree / "model").write_bytes(weights(50_000, 2).tobytes())
        (tree / "new").write_text("y")
        assert run("compress", "-r", "tree").returncode == 4
        done = run("compress", "-r", "-u", "tree", "--json")
        assert done.returncode == 0
        skipped = {result["path"]: result["skipped"] for result in json.loads(done.stdout)["results"]}
        assert skipped == {"tree/model": False, "tree/new": True, "tree/text": True}
        (tmp_path / "back").mkdir()
        (tmp_path / "back" / "model").write_text("old")
        assert run("decompress", "-r", "tree.mmh", "-o", "back").returncode == 4
        assert run("decompress", "-r", "-u", "tree.mmh", "-o", "back").returncode == 0
        assert content(tmp_path / "back") == content(tree)
        for words in (
            ["compress", "-u", "tree/new"],
            ["compress", "--pack", "-u", "tree"],
            ["decompress", "--unpack", "-u", "x"],
        ):
            assert run(*words).returncode == 64

    def test_a_directory_that_is_shared_keeps_its_mode_and_time(self, tree: Path, tmp_path: Path) -> None:
        tree.chmod(0o755)
        shared, empty = tmp_path / "shared", tmp_path / "empty"
        for path in (shared, empty):
            path.mkdir()
        (shared / "of others").write_text("z")
        shared.chmod(0o1777)
        os.utime(shared, (1, 1))
        assert mmh.compress_dir(tree, shared)
        assert stat.S_IMODE(shared.stat().st_mode) == 0o1777 and shared.stat().st_mtime != 1_700_000_000
        # One that holds nothing else becomes what it mirrors, also when it is brought up to date.
        for _ in range(2):
            assert mmh.compress_dir(tree, empty)
            assert (stat.S_IMODE(empty.stat().st_mode), empty.stat().st_mtime) == (0o755, 1_700_000_000)

    def test_what_another_run_is_writing_stays(self, tree: Path) -> None:
        mmh.compress_dir(tree)
        busy, left = (tree.with_name("tree.mmh") / f".mmh-{name}.part" for name in ("aaaaaa", "bbbbbb"))
        for path in (busy, left):
            path.write_bytes(b"half")
        with open(busy, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            mmh.compress_dir(tree)
            assert busy.exists() and not left.exists()
        mmh.compress_dir(tree)
        assert not busy.exists()

    def test_two_runs_do_not_meet(self, tmp_path: Path, run: Command) -> None:
        """The second one cleans up where the first one is at work."""
        (tmp_path / "src").mkdir()
        (tmp_path / "src" / "x").write_text("x")
        (tmp_path / "dst").mkdir()
        (tmp_path / "big").write_bytes(weights(8_000_000, 3).tobytes())
        first = subprocess.Popen(
            [sys.executable, "-m", "mmh_rs", "compress", "-T1", "--level", "9", "big", "-o", "dst/big.mmh"],
            cwd=tmp_path,
            env=environment(),
        )
        deadline = time.monotonic() + 30
        while not list((tmp_path / "dst").glob(".mmh-*.part")) and time.monotonic() < deadline:
            time.sleep(0.005)
        assert run("compress", "-r", "src", "-o", "dst").returncode == 0
        assert first.wait(120) == 0
        assert mmh.open(tmp_path / "dst" / "big.mmh").verify().ok

    def test_links_that_lead_out_are_told_of(self, tree: Path, tmp_path: Path, run: Command) -> None:
        (tmp_path / "blob").write_text("weights")
        (tree / "weights").symlink_to("../blob")
        (tree / "inside").symlink_to("text")
        (tree / "nowhere").symlink_to("gone")
        done = run("compress", "-r", "tree", "--json")
        assert done.returncode == 0 and json.loads(done.stdout)["trees"][0]["links_out"] == 1
        assert done.stderr.count(b"\n") == 1 and b"a link leads out of the directory" in done.stderr
        assert run("compress", "-r", "--follow", "tree", "-o", "all").returncode == 4  # one leads nowhere
        assert (tmp_path / "all" / "weights.mmh").is_file()

    def test_one_that_is_removed_as_a_link(self, tree: Path, run: Command) -> None:
        (tree / "link").symlink_to("model")
        done = run("compress", "--rm", "tree/link")
        assert done.returncode == 0 and b"what it pointed to is not" in done.stderr
        assert (tree / "model").exists() and not (tree / "link").is_symlink()

    def test_all_of_a_mirror_is_verified(self, tree: Path, tmp_path: Path, run: Command) -> None:
        (tree / "sub.mmh").mkdir()
        (tree / "sub.mmh" / "deep").write_bytes(weights(50_000, 5).tobytes())
        mmh.compress_dir(tree)
        (tmp_path / "tree.mmh" / "foreign").write_text("not one")
        done = run("verify", "-r", "tree.mmh", "--json")
        assert done.returncode == 0
        assert [Path(result["path"]).name for result in json.loads(done.stdout)["results"]] == [
            "model.mmh", "text.mmh", "deep.mmh"
        ]  # fmt: skip
        # Against a base, as it was compressed.
        mmh.compress_dir(tree, tmp_path / "delta", base=tmp_path / "tree.mmh")
        assert run("verify", "-r", "delta", "--base", "tree.mmh").returncode == 0
        assert run("verify", "-r", "delta", "--base", "tree").returncode == 0
        assert run("verify", "-r", "delta").returncode != 0
        target = tmp_path / "tree.mmh" / "sub.mmh.mmh" / "deep.mmh"
        data = bytearray(target.read_bytes())
        data[len(data) // 2] ^= 1
        target.write_bytes(data)
        done = run("verify", "-r", "tree.mmh")
        assert done.returncode == 2 and b"sub.mmh.mmh/deep.mmh" in done.stderr
        (tmp_path / "nothing").mkdir()
        assert b"has no .mmh in it" in run("verify", "-r", "nothing").stderr
        assert b"name the files in it" in run("verify", "tree.mmh").stderr


class TestEnds:
    @pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP")
    def test_a_terminal_that_is_closed_leaves_nothing(self, tmp_path: Path) -> None:
        assert self.closed(tmp_path, signal.SIG_DFL) == (130, True)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["big"]

    @pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP")
    def test_nohup_goes_on_without_a_terminal(self, tmp_path: Path) -> None:
        assert self.closed(tmp_path, signal.SIG_IGN) == (0, False)
        assert mmh.decompress((tmp_path / "big.mmh").read_bytes()) == (tmp_path / "big").read_bytes()

    @staticmethod
    def closed(tmp_path: Path, disposition: signal.Handlers) -> tuple[int, bool]:
        """The exit code of a command whose terminal is closed, and whether it says so. Tests may run under nohup."""
        (tmp_path / "big").write_bytes(weights(8_000_000, 3).tobytes())
        work = subprocess.Popen(
            [sys.executable, "-m", "mmh_rs", "compress", "-T1", "--level", "9", "big"],
            cwd=tmp_path,
            env=environment(),
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, disposition),
        )
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(".mmh-*.part")) and time.monotonic() < deadline:
            time.sleep(0.005)
        work.send_signal(signal.SIGHUP)
        said = work.communicate(timeout=60)[1]
        return work.returncode, b"interrupted" in said

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
    @pytest.mark.parametrize("words", [["--help"], ["--version"], ["compress", "--help"], ["doctor"]])
    def test_an_output_that_is_full(self, words: list[str]) -> None:
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "mmh_rs", *words],
                stdout=full,
                stderr=subprocess.PIPE,
                env=environment(),
                timeout=60,
            )
        assert done.returncode == 4 and done.stderr == b"mmh: no space left on device\n"

    def test_an_output_that_is_closed(self, archive_path: Path) -> None:
        for words in (["list"], ["list", "--json"], ["info"]):
            done = subprocess.run(
                ["/bin/sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "mmh_rs", *words, str(archive_path)],
                stderr=subprocess.PIPE,
                env=environment(),
                timeout=60,
            )
            assert done.returncode == 4 and b"standard output is closed" in done.stderr

    def test_a_source_that_cannot_be_removed(
        self, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def denied(source: str, target: str, info: os.stat_result) -> None:
            raise PermissionError(13, "Permission denied", source)

        monkeypatch.setattr("mmh_rs._trees.remove", denied)
        assert main(["compress", "--rm", str(model)]) == 4
        said = capsys.readouterr().err
        assert said == f"mmh: {model}: {model}.mmh is whole, but this could not be removed: permission denied\n"
        assert mmh.open(f"{model}.mmh").verify(against=model).matches


class TestAdvice:
    def test_a_sound_file_has_nothing_to_mend(self, archive_path: Path, run: Command) -> None:
        before = archive_path.read_bytes()
        done = run("repair", archive_path.name, "--json")
        (result,) = json.loads(done.stdout)["results"]
        assert done.returncode == 0 and result["sound"] and result["recovery_shards"] == 0
        assert mmh.repair(archive_path).promise == "survives no damage: there is no parity"
        assert run("repair", archive_path.name, "-o", "copy").returncode == 64
        assert archive_path.read_bytes() == before and not archive_path.with_name("copy").exists()
        damage(archive_path, "model.experts")
        done = run("repair", archive_path.name)
        assert done.returncode == 2 and b"there is no parity to mend it with" in done.stderr

    def test_differences_are_validated_with_their_base(self, model: Path, run: Command) -> None:
        tuned = changed(model, "tuned.safetensors")
        mmh.compress_file(tuned, model.with_name("tuned.mmh"), base=model)
        assert run("validate", "--proof", "levels", "tuned.mmh").returncode == 64
        done = run("validate", "--proof", "levels", "tuned.mmh", "--base", model.name, "--json")
        assert done.returncode == 0
        (result,) = json.loads(done.stdout)["results"]
        assert len(result["tensors"]) == 8 and all(proof["equal"] for proof in result["proofs"])
        # Another file of the same size is not taken for it.
        other = bytearray(model.read_bytes())
        other[-1] ^= 1
        model.write_bytes(other)
        assert run("validate", "--proof", "none", "tuned.mmh", "--base", model.name).returncode != 0

    def test_damage_is_said_once(self, archive_path: Path, run: Command) -> None:
        damage(archive_path, "model.experts")
        (line,) = run("protect", archive_path.name).stderr.decode().splitlines()
        assert line.count("damaged") == line.count("of the file)") == line.count("another copy") == 1, line

    def test_what_is_cut_off_can_be_salvaged(self, archive_path: Path, run: Command) -> None:
        archive_path.write_bytes(archive_path.read_bytes()[:-100])
        assert b"mmh repair --salvage" in run("verify", archive_path.name).stderr

    def test_messages_name_the_target(self, archive_path: Path, run: Command) -> None:
        for words in (
            ["cat", archive_path.name, "model.norm.weight", "-o", "none/x"],
            ["repair", "--salvage", archive_path.name, "-o", "none/x"],
            ["validate", "--proof", "none", archive_path.name, "--report", "none/x.html"],
        ):
            done = run(*words)
            assert done.returncode == 4 and b".mmh-" not in done.stderr and b"none" in done.stderr, done.stderr

    def test_a_report_is_refused_before_the_work(self, model: Path, run: Command) -> None:
        model.with_name("page.html").write_text("old")
        done = run("validate", model.name, "--report", "page.html")
        assert done.returncode == 4 and done.stdout == b""
        assert done.stderr == b"mmh: page.html: already exists (use -f to overwrite it)\n"

    def test_quiet_is_quiet(self, archive_path: Path, run: Command) -> None:
        for words in (["list"], ["info"], ["estimate"], ["validate", "--proof", "none"]):
            path = "model.safetensors" if words[0] == "estimate" else archive_path.name
            done = run(*words, "-q", path)
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    def test_modes_follow_the_umask(self, archive_path: Path, tmp_path: Path) -> None:
        damage(archive_path, "model.experts")
        before = os.umask(0o027)
        try:
            mmh.salvage(archive_path, tmp_path / "saved.safetensors")
            mmh.salvage(archive_path, f"{tmp_path}/all/")
        finally:
            os.umask(before)
        for path in (tmp_path / "saved.safetensors", *(tmp_path / "all").iterdir()):
            assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_sizes_are_spelled_in_one_way(self, archive_path: Path, run: Command) -> None:
        for text, code in [("1GB", 0), ("1.5GiB", 0), ("2 MB", 0), ("2M", 0), ("1kB", 3), ("none", 0), ("much", 64)]:
            assert run("verify", "--max-size", text, archive_path.name).returncode == code, text

    def test_sockets_are_told_of_when_they_are_not_packed(self, tmp_path: Path, run: Command) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "x").write_text("x")
        os.mkfifo(tmp_path / "folder" / "pipe")
        done = run("compress", "--pack", "folder")
        assert done.returncode == 0
        assert done.stderr == b"mmh: folder/pipe: is a socket, pipe or device (left out)\n"

    def test_any_number_of_threads(self) -> None:
        assert mmh.decompress(mmh.compress(np.zeros(100), threads=2**70), threads=2**70) == bytes(800)

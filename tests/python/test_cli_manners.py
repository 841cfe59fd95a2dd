"""Manners of the command: help, terminals, pipes that close, signals, and one line for each error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mmh_rs as mmh
from support import Command, environment, lines, weights

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
MMH = [sys.executable, "-m", "mmh_rs"]
COMMANDS = ["compress", "decompress", "list", "info", "verify", "cat", "diff", "estimate", "bench", "doctor"]


def test_help(run: Command) -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    for command in COMMANDS:
        assert f"\n  {command} " in text
    for code in (
        "0  good",
        "1  damaged, but",
        "2  damaged beyond",
        "3  not an MMH",
        "4  an input",
        "64  wrong",
        "130  inter",
    ):
        assert code in text
    assert run("-h").stdout == done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands(run: Command, command: str) -> None:
    done = run(command, "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--json" in done.stdout


def test_no_command(run: Command) -> None:
    done = run()
    assert done.returncode == 64
    assert done.stdout == b""
    assert b"Usage: mmh" in done.stderr


def test_version(run: Command) -> None:
    assert run("--version").stdout.decode().strip() == f"mmh {mmh.__version__}"


def test_the_command_is_installed() -> None:
    script = Path(sys.executable).with_name("mmh")
    if not script.exists():
        pytest.skip("installed elsewhere")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == f"mmh {mmh.__version__}"


def test_main_can_be_called(capsys: pytest.CaptureFixture[str], archive_path: Path) -> None:
    from mmh_rs.cli import main

    before = signal.getsignal(signal.SIGTERM)
    assert main(["list", str(archive_path)]) == 0
    assert "lm_head.weight" in capsys.readouterr().out
    assert main(["list", "absent"]) == 4
    assert capsys.readouterr().err == "mmh: absent: no such file or directory\n"
    assert main(["bogus"]) == 64
    assert signal.getsignal(signal.SIGTERM) == before


def test_quiet(run: Command, model: Path) -> None:
    done = run("compress", "-q", model, "absent")
    assert lines(done.stderr) == ["mmh: absent: no such file or directory"]


def test_internal_errors_are_one_line(archive_path: Path) -> None:
    code = (
        "import sys, mmh_rs.archive\n"
        "def infos(self): raise RuntimeError('what\\nnow')\n"
        "mmh_rs.archive.Archive.infos = infos\n"
        "from mmh_rs.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, "list", str(archive_path)]
    done = subprocess.run(words, capture_output=True, env=environment(), timeout=60, check=False)
    assert (done.returncode, done.stdout) == (4, b"")
    (line,) = lines(done.stderr)
    assert line.startswith(f"mmh: {archive_path}: internal error: RuntimeError: what now (please report it")
    done = subprocess.run(words, capture_output=True, env=environment(MMH_TRACEBACK="1"), timeout=60, check=False)
    assert b"Traceback" in done.stderr


def on_terminal(words: list[str], cwd: Path, stdin: bytes = b"", **env: str) -> tuple[int, str]:
    """Runs with standard output and error on one terminal; returns the exit code and what the terminal got."""
    import pty

    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*MMH, *words], cwd=cwd, stdin=subprocess.PIPE, stdout=follower, stderr=follower,
        env={**environment(**env), "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(follower)
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.close()
    output = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        output += piece
    os.close(leader)
    return process.wait(60), output.decode(errors="replace").replace("\r\n", "\n")


@posix
class TestTerminal:
    def test_many_small_files_are_better_packed_which_is_said(self, tmp_path: Path) -> None:
        for name, files in (("many", 30), ("few", 10)):
            (tmp_path / name).mkdir()
            for number in range(files):
                (tmp_path / name / f"{number}.py").write_text(f"# {number}\nimport os\n" * 50)
        code, said = on_terminal(["compress", "-r", "many", "few"], tmp_path)
        assert code == 0
        many, few = said.split("few → ")
        assert "--pack" in many and "--pack" not in few
        code, said = on_terminal(["decompress", "-r", "many.mmh", "-o", "back"], tmp_path)
        assert code == 0 and "--pack" not in said

    def test_a_line_for_each_file(self, model: Path) -> None:
        code, text = on_terminal(["compress", "model.safetensors"], model.parent)
        assert code == 0
        (line,) = [line for line in text.splitlines() if "→" in line]
        assert line.startswith("model.safetensors  1.1 MB → ")
        assert " % " in line and "B/s" in line and line.endswith("balanced")
        code, text = on_terminal(["decompress", "-f", "-q", "model.safetensors.mmh"], model.parent)
        assert (code, text) == (0, "")
        code, text = on_terminal(["decompress", "-f", "model.safetensors.mmh"], model.parent)
        assert code == 0 and " → 1.1 MB  " in text
        code, text = on_terminal(["verify", "model.safetensors.mmh"], model.parent)
        assert code == 0 and text.startswith("model.safetensors.mmh  good  1.1 MB")

    def test_what_was_in_vain_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "noise").write_bytes(os.urandom(100_000))
        _, text = on_terminal(["compress", "noise"], tmp_path)
        assert "(not worth compressing)" in text

    def test_binary_data_is_not_written_to_it(self, archive_path: Path) -> None:
        name = archive_path.name
        for words in (
            ["compress", "-c", "model.safetensors"],
            ["compress", "-"],
            ["decompress", "-c", name],
            ["cat", name, "model.mask"],
        ):
            code, text = on_terminal(words, archive_path.parent)
            assert code == 64
            assert text.startswith("mmh: ") and "standard output is a terminal (redirect it" in text
        code, text = on_terminal(["cat", "-f", archive_path.name, "model.mask"], archive_path.parent)
        assert code == 0 and text.count("\x01") == 64 * 65 // 2

    def test_progress(self, tmp_path: Path) -> None:
        name = "big [red]\x07.bin"
        (tmp_path / name).write_bytes(weights(150_000_000 // 2).tobytes())
        code, text = on_terminal(["compress", "-9", "-T1", name], tmp_path, NO_COLOR="")
        assert code == 0
        assert "\x07" not in text
        assert "B/s" in text
        assert r"big [red]\x07.bin" in text

    def test_json_is_alone(self, model: Path) -> None:
        code, text = on_terminal(["compress", "--json", "model.safetensors"], model.parent)
        assert code == 0
        assert text.startswith("{") and text.count("\n") == 1

    def test_no_color(self, model: Path) -> None:
        _, text = on_terminal(["compress", "model.safetensors"], model.parent)
        assert "\x1b[3" not in text


@posix
@pytest.mark.parametrize(
    "words", [["list", "m.mmh"], ["info", "m.mmh"], ["--help"], ["cat", "m.mmh", "t"], ["decompress", "-c", "m.mmh"]]
)
def test_closed_pipes_are_quiet(tmp_path: Path, words: list[str]) -> None:
    """`mmh … | head -c 0`"""
    from support import plain_safetensors

    (tmp_path / "m").write_bytes(plain_safetensors({"t": ("U8", [2_000_000], weights(1_000_000).tobytes())}))
    mmh.compress_file(tmp_path / "m")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*MMH, *words], stdout=write, stderr=subprocess.PIPE, cwd=tmp_path, env=environment(), timeout=60, check=False
    )
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 4


def interrupted(process: subprocess.Popen[bytes], number: int) -> tuple[int, list[str]]:
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    return process.returncode, lines(stderr)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
class TestSignals:
    def test_while_working(self, tmp_path: Path, number: int) -> None:
        (tmp_path / "big").write_bytes(weights(100_000_000, 2).tobytes())
        process = subprocess.Popen(
            [*MMH, "compress", "-9", "-T1", "big"], cwd=tmp_path, stderr=subprocess.PIPE, env=environment()
        )
        deadline = time.monotonic() + 20
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)  # until its temporary file is there
        time.sleep(0.2)
        if process.poll() is not None:
            pytest.skip("this machine is faster than the test")
        started = time.monotonic()
        code, said = interrupted(process, number)
        assert code == 130
        assert time.monotonic() - started < 3
        assert len(said) == 1 and said[0].startswith("mmh: ") and "interrupted" in said[0]
        assert [path.name for path in tmp_path.iterdir()] == ["big"]

    def test_while_waiting_for_input(self, tmp_path: Path, number: int) -> None:
        with subprocess.Popen(
            [*MMH, "compress", "-", "-o", "x.mmh"],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process:
            time.sleep(1.0)
            process.send_signal(number)
            try:
                # Standard input stays open: no end of it lets the command go on.
                assert process.wait(10) == 130
            finally:
                process.kill()
            assert process.stderr is not None
            assert len(lines(process.stderr.read())) == 1
        assert list(tmp_path.iterdir()) == []


@posix
def test_odd_streams(run: Command, archive_path: Path) -> None:
    """Closed and ASCII-only standard streams."""
    for redirect in (">&-", "2>&-", "<&-"):
        command = f"exec {sys.executable} -m mmh_rs list {archive_path} {redirect}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, env=environment(), timeout=60, check=False)
        assert b"Traceback" not in done.stderr
    done = run("info", archive_path, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0

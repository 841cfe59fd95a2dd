"""The menu and the launcher, driven through a terminal as a person drives them."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmh_rs as mmh
from mmh_rs.cli.menu import path_of
from support import Command, environment

posix = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
LAUNCHER = Path(__file__).parents[2] / "scripts" / "mmh.sh"
MENU = "What to do"


class Person:
    """Reads what a terminal shows, and answers."""

    def __init__(self, words: list[str], cwd: Path) -> None:
        import pty

        self.leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            words, cwd=cwd, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
            env={**environment(), "TERM": "dumb", "COLUMNS": "120"},
        )  # fmt: skip
        os.close(follower)
        self.seen = ""

    def reads(self, text: str) -> str:
        """Everything up to `text`, which has to come within a minute."""
        until = time.monotonic() + 60
        while text not in self.seen:
            ready, _, _ = select.select([self.leader], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{text!r} did not come after {self.seen!r}"
            assert self._more(), f"the end came before {text!r}, after {self.seen!r}"
        before, _, self.seen = self.seen.partition(text)
        return before

    def answers(self, question: str, answer: str) -> None:
        self.reads(question)
        self.reads(": ")
        os.write(self.leader, answer.encode() + b"\n")

    def leaves(self) -> tuple[int, str]:
        """The exit code and the rest of what was shown."""
        while self._more():
            pass
        os.close(self.leader)
        return self.process.wait(60), self.seen

    def _more(self) -> bool:
        try:
            piece = os.read(self.leader, 65536)
        except OSError:  # Linux's word for the end
            return False
        self.seen += piece.decode(errors="replace").replace("\r\n", "\n")
        return bool(piece)


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    person = Person([sys.executable, "-m", "mmh_rs", "menu"], tmp_path)
    yield person
    person.process.kill()
    person.process.wait()


@posix
def test_four_answers_compress_a_file(model: Path, person: Person) -> None:
    person.answers(MENU, "1")
    person.answers("to compress", model.name)
    person.answers("Level", "")
    person.answers("Write to [model.safetensors.mmh]", "")
    assert "$ mmh compress model.safetensors\n" in person.reads("MB →")
    person.answers(MENU, "q")
    assert person.leaves()[0] == 0
    with mmh.open(f"{model}.mmh") as archive:
        assert archive.verify()


@posix
def test_names_with_blanks_and_quotes(model: Path, person: Person) -> None:
    name = 'it\'s "my" model.safetensors'
    model.rename(model.with_name(name))
    person.answers(MENU, "compress")
    person.answers("to compress", r"""'it'\''s "my" model.safetensors'""")
    person.answers("Level", "fast")
    person.answers("Write to", "'a new file.mmh'")
    person.answers(MENU, "decompress")
    person.answers("to restore", "a new file.mmh")
    person.answers("Write to [a new file]", "the same.safetensors")
    person.answers(MENU, "q")
    assert person.leaves()[0] == 0
    assert model.with_name("the same.safetensors").read_bytes() == model.with_name(name).read_bytes()


@posix
def test_a_directory(model: Path, person: Person, tmp_path: Path) -> None:
    (tmp_path / "all of them").mkdir()
    model.rename(tmp_path / "all of them" / model.name)
    person.answers(MENU, "1")
    person.answers("to compress", "all of them/")
    person.answers("Level", "1")
    person.answers("Write to [all of them.mmh]", "")
    person.answers(MENU, "q")
    assert person.leaves()[0] == 0
    assert (tmp_path / "all of them.mmh" / f"{model.name}.mmh").is_file()


@posix
def test_nothing_is_overwritten_unasked(model: Path, person: Person, tmp_path: Path) -> None:
    target = tmp_path / "kept.mmh"
    target.write_bytes(b"kept")
    person.answers(MENU, "1")
    person.answers("to compress", model.name)
    person.answers("Level", "")
    person.answers("Write to", target.name)
    person.answers("Overwrite it", "")
    person.answers("Write to", target.name)
    assert target.read_bytes() == b"kept"
    person.answers("Overwrite it", "y")
    person.answers(MENU, "q")
    assert person.leaves()[0] == 0
    with mmh.open(target) as archive:
        assert archive.verify()


@posix
def test_wrong_answers_are_asked_again(model: Path, person: Person, tmp_path: Path) -> None:
    person.answers(MENU, "99")
    person.reads("There is no 99")
    person.answers(MENU, "1")
    person.answers("to compress", "absent")
    person.reads("There is no absent")
    person.answers("to compress", "")  # back to the menu
    person.answers(MENU, "verify")
    person.answers("to check", ".")
    person.reads("is a directory")
    person.answers("to check", model.name)
    person.reads("exit code 3")
    person.answers(MENU, "q")
    assert person.leaves()[0] == 3


@posix
def test_the_end_of_the_input_ends_it(person: Person) -> None:
    person.reads(MENU)
    os.write(person.leader, b"\x04")
    assert person.leaves()[0] == 0


@posix
def test_only_what_there_is_is_offered(person: Person, run: Command) -> None:
    offered = person.reads(MENU)
    there = {line.split()[0] for line in run("--help").stdout.decode().splitlines() if line.startswith("  ")}
    for command in ("compress", "decompress", "verify", "repair", "generate", "bench", "doctor"):
        assert (f"  {command} " in offered) == (command in there)
    person.answers("q)", "q")
    assert person.leaves()[0] == 0


def test_without_a_terminal(run: Command) -> None:
    done = run("menu")
    assert (done.returncode, done.stdout) == (64, b"")
    assert done.stderr.startswith(b"mmh: the menu needs a terminal")


class TestPaths:
    """What is typed, pasted or dropped."""

    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_as_they_are(self) -> None:
        assert path_of("a b.bin") == "a b.bin"
        assert path_of("  plain.bin ") == "plain.bin"
        assert path_of("don't.bin") == "don't.bin"

    def test_quoted(self) -> None:
        assert path_of('"a b.bin"') == "a b.bin"
        assert path_of("'a b.bin'") == "a b.bin"
        assert path_of("& 'a b.bin'") == "a b.bin"

    @posix
    def test_escaped(self) -> None:
        assert path_of(r"a\ b\'s.bin") == "a b's.bin"

    @posix
    def test_quotes_that_are_part_of_the_name(self) -> None:
        Path("'quoted'").touch()
        assert path_of("'quoted'") == "'quoted'"

    def test_home(self) -> None:
        assert path_of("~/model.bin") == str(Path.home() / "model.bin").replace("\\", "/") or os.name == "nt"


@posix
@pytest.mark.skipif(not os.access(LAUNCHER.parents[1] / ".venv/bin/mmh", os.X_OK), reason="make build was not run")
class TestLauncher:
    def test_arguments_and_exit_codes_pass_through(self, model: Path, tmp_path: Path) -> None:
        name = "a 'b' $c.mmh"
        for words, code in ((["compress", "-o", name, model.name], 0), (["list", "absent"], 4), (["bogus"], 64)):
            done = subprocess.run([LAUNCHER, *words], cwd=tmp_path, env=environment(), capture_output=True, timeout=60)
            assert done.returncode == code, done.stderr
        link = tmp_path / "linked"
        link.symlink_to(LAUNCHER)
        listed = subprocess.run([link, "list", name], cwd=tmp_path, env=environment(), capture_output=True, timeout=60)
        assert (listed.returncode, b"lm_head.weight" in listed.stdout) == (0, True)

    def test_nothing_gives_the_menu(self, tmp_path: Path) -> None:
        person = Person([str(LAUNCHER)], tmp_path)
        person.answers(MENU, "q")
        assert person.leaves()[0] == 0


@posix
def test_the_launcher_says_what_is_missing(tmp_path: Path) -> None:
    """In a clone without an environment, on a machine without make."""
    (tmp_path / "scripts").mkdir()
    copy = tmp_path / "scripts" / "mmh.sh"
    copy.write_bytes(LAUNCHER.read_bytes())
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("dirname", "readlink"):
        found = next(place for place in ("/usr/bin", "/bin") if os.path.exists(f"{place}/{tool}"))
        (tools / tool).symlink_to(f"{found}/{tool}")
    done = subprocess.run(
        ["/bin/sh", copy, "doctor"], env={"PATH": str(tools)}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("mmh: make is needed")

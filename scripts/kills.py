"""Kills mmh at random moments, and looks whether anything wrong stands under a final name.

    python scripts/kills.py [--kills 200] [--seed 0] [--megabytes 48]

A process that was killed with SIGKILL cannot clean up. What has to hold all the same: a target is not there, or is
whole, or is what stood there before; a source is as it was, or, with --rm, its target is whole; what is left behind
has a name of its own (`.mmh-….part`), and the next run works. Ends with 1 if any of it does not.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import mmh_rs as mmh

LEFT_BEHIND = re.compile(r"\.mmh-[A-Za-z0-9]{6}\.part")


class Case(NamedTuple):
    """One command, what is there before it, and what it makes."""

    name: str
    words: list[str]
    prepare: Callable[[Path], None]
    check: Callable[[Path], None]


class WrongError(Exception):
    """Something that must not be."""


def digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes()).hexdigest()


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise WrongError(what)


class Material:
    """A model, an archive of it, and an older model with its archive."""

    def __init__(self, folder: Path, megabytes: int, seed: int) -> None:
        self.folder = folder
        random_bytes = random.Random(seed).randbytes(1 << 20)
        for name, key in (("model", 1), ("older", 2)):
            # Top bytes that come from few values, as those of weights do.
            with open(folder / name, "wb") as file:
                for i in range(megabytes if name == "model" else 3):
                    file.write(bytes((b & 0x0F) + key if k % 2 else b ^ i for k, b in enumerate(random_bytes)))
            mmh.compress_file(folder / name)
        shutil.copyfile(folder / "model.mmh", folder / "safe.mmh")
        mmh.protect(folder / "safe.mmh")
        damaged = bytearray((folder / "safe.mmh").read_bytes())
        for at in range(100, len(damaged), len(damaged) // 5):
            damaged[at] ^= 1
        (folder / "hurt.mmh").write_bytes(damaged)
        self.digests = {path.name: digest(path) for path in folder.iterdir()}

    def give(self, name: str, to: Path) -> None:
        shutil.copyfile(self.folder / name, to)

    def is_one_of(self, path: Path, *names: str) -> bool:
        return digest(path) in [self.digests[name] for name in names]


def cases(m: Material) -> list[Case]:
    """Every command that writes, alone, over an older file, and with --rm; in a directory of its own."""

    def before(**files: str) -> Callable[[Path], None]:
        def prepare(folder: Path) -> None:
            for to, name in files.items():
                path = folder / to.replace("__", ".")
                path.parent.mkdir(exist_ok=True)
                m.give(name, path)

        return prepare

    def after(target: str, source: str, kind: str, older: str | None = None) -> Callable[[Path], None]:
        """The target is whole or not there (or the older one); the source is as it was, or the target is whole."""
        made, origin = ("model.mmh", "model") if kind == "compress" else ("model", "model.mmh")

        def check(folder: Path) -> None:
            goal, start = folder / target, folder / source
            whole = goal.exists() and m.is_one_of(goal, made)
            if goal.exists() and not whole:
                expect(older is not None and m.is_one_of(goal, older), f"{target} is neither whole nor what it was")
            if older is not None:
                expect(goal.exists(), f"{target} was there, and is gone")
            if start.exists():
                expect(m.is_one_of(start, origin), f"{source} was changed")
            else:
                expect(whole, f"{source} is gone, and {target} is not whole")

        return check

    plain = [
        Case("compress", ["compress", "model"], before(model="model"), after("model.mmh", "model", "compress")),
        Case(
            "decompress",
            ["decompress", "model.mmh"],
            before(model__mmh="model.mmh"),
            after("model", "model.mmh", "decompress"),
        ),
        Case(
            "compress -f",
            ["compress", "-f", "model"],
            before(model="model", model__mmh="older.mmh"),
            after("model.mmh", "model", "compress", "older.mmh"),
        ),
        Case(
            "decompress -f",
            ["decompress", "-f", "model.mmh"],
            before(model="older", model__mmh="model.mmh"),
            after("model", "model.mmh", "decompress", "older"),
        ),
    ]
    removing = [Case(f"{case.name} --rm", [*case.words, "--rm"], case.prepare, case.check) for case in plain[:2]]
    return plain + removing + later(m, before)


def later(m: Material, before: Callable[..., Callable[[Path], None]]) -> list[Case]:
    """`mmh protect` and `mmh repair` in place: the file is as it was, or as it is to be."""

    def check(was: str) -> Callable[[Path], None]:
        def look(folder: Path) -> None:
            path = folder / "model.mmh"
            expect(path.exists(), "model.mmh is gone")
            expect(m.is_one_of(path, was, "safe.mmh"), "model.mmh is neither what it was nor what it is to be")

        return look

    return [
        Case("protect", ["protect", "model.mmh"], before(model__mmh="model.mmh"), check("model.mmh")),
        Case("repair", ["repair", "model.mmh"], before(model__mmh="hurt.mmh"), check("hurt.mmh")),
    ]


def run(case: Case, folder: Path, after: float | None) -> bool:
    """Whether the process was killed; else it has ended by itself, or was to."""
    command = [sys.executable, "-m", "mmh_rs", *case.words]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE) as process:
        if after is None:
            _, errors = process.communicate()
            expect(process.returncode == 0, f"{case.name} failed: {errors.decode()}")
            return False
        try:
            process.wait(after)
            return False
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return True


def once(case: Case, root: Path, after: float | None) -> bool:
    """In a fresh directory: starts the command, kills it, looks, and has the next run do its work."""
    folder = root / "here"
    folder.mkdir()
    try:
        case.prepare(folder)
        there = {path.name for path in folder.iterdir()}
        killed = run(case, folder, after)
        case.check(folder)
        made = {path.name for path in folder.iterdir()} - there - {"model", "model.mmh"}
        strange = sorted(name for name in made if not LEFT_BEHIND.fullmatch(name))
        expect(not strange, f"left behind: {strange}")
        source = folder / [word for word in case.words if not word.startswith("-")][1]
        if killed and source.exists():
            again = case._replace(words=[*case.words, "-f"])
            run(again, folder, None)
            case.check(folder)
        return killed
    finally:
        shutil.rmtree(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--megabytes", type=int, default=48)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    kills: Counter[str] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="mmh-kills-") as name:
        root = Path(name)
        (root / "material").mkdir()
        material = Material(root / "material", options.megabytes, options.seed)
        all_cases = cases(material)
        seconds: dict[str, float] = {}
        for case in all_cases:
            started = time.monotonic()
            once(case, root, None)
            seconds[case.name] = time.monotonic() - started
        tries = 0
        while sum(kills.values()) < options.kills and tries < 20 * options.kills:
            case = all_cases[tries % len(all_cases)]
            tries += 1
            after = chance.uniform(0.05, seconds[case.name])
            try:
                kills[case.name] += once(case, root, after)
            except WrongError as error:
                wrong += 1
                print(f"{case.name}, killed after {after:.3f} s: {error}", file=sys.stderr)
    for case in all_cases:
        print(f"{kills[case.name]:4} kills  {case.name}")
    print(f"{sum(kills.values()):4} in {tries} runs, {wrong} wrong")
    return 1 if wrong or sum(kills.values()) < options.kills else 0


if __name__ == "__main__":
    sys.exit(main())

"""Real weights: the same container, byte for byte, with every set of instructions that this CPU has."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMED = os.environ.get("MMH_CORPUS")
FILES = sorted(path for path in Path(NAMED).iterdir() if path.is_file() and path.suffix != ".part") if NAMED else []

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not NAMED, reason="MMH_CORPUS names no directory (see benches/corpus/fetch.py)"),
]


def run(*arguments: str | Path, simd: str | None = None) -> bytes:
    environment = {**os.environ, "MMH_SIMD": simd} if simd else dict(os.environ)
    command = [sys.executable, "-m", "mmh_rs", *map(str, arguments)]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout


@pytest.fixture(scope="module")
def sets() -> list[str]:
    (doctor,) = json.loads(run("doctor", "--json"))["results"]
    engine = doctor["engine"]
    return [name for name, has in engine["simd"].items() if has and name != engine["simd_used"]]


@pytest.mark.parametrize("level", ["fast", "balanced"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_same_container_on_every_set(path: Path, level: str, sets: list[str]) -> None:
    def digest(simd: str | None = None) -> str:
        return hashlib.sha256(run("compress", "-q", "-c", "--no-verify", "--level", level, path, simd=simd)).hexdigest()

    best = digest()
    assert {simd: digest(simd) for simd in sets} == dict.fromkeys(sets, best)

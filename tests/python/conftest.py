"""Fixtures. The engine is not optional: where it is missing, everything fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmh_rs as mmh
from support import Command, Server, environment, model_tensors, plain_safetensors


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Shells start what runs in the background with SIGINT ignored, and children inherit that: it is to be answered."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """`model.safetensors` with metadata, in a directory of its own."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(plain_safetensors(model_tensors(), {"format": "pt", "note": "größer ✓"}))
    return path


@pytest.fixture
def archive_path(model: Path) -> Path:
    """`model.safetensors.mmh` beside `model.safetensors`."""
    report = mmh.compress_file(model)
    assert report.target is not None
    return Path(report.target)


@pytest.fixture
def run(tmp_path: Path) -> Command:
    """Runs `python -m mmh_rs …` in `tmp_path`, with nothing a terminal."""

    def command(
        *arguments: str | os.PathLike[str], input: bytes = b"", **env: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "mmh_rs", *map(os.fspath, arguments)],
            input=input,
            capture_output=True,
            cwd=tmp_path,
            env=environment(**env),
            timeout=60,
            check=False,
        )

    return command


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()

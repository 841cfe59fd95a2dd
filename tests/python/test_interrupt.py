"""Ctrl-C is answered within half a second, at every level, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support import environment, weights

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")

SECONDS = 0.5
"""From the signal to the end of the process. One attempt of three has to do: others may be using the machine."""

TEXT = b"".join(b"%d, the quick brown fox jumps over %d lazy dogs;\n" % (i * i, i % 977) for i in range(200_000))

# Says when the work has begun, which is at the first call of `progress`, or at once where there is none.
CALL = """
import sys, threading, time
import mmh_rs as mmh

def begun(*_):
    if begun.first:
        begun.first = False
        print("begun", flush=True)
begun.first = True
def soon():
    threading.Timer(0.3, begun).start()
try:
    {call}
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Weights and text that take seconds at the slowest levels, and archives of the weights."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "text.txt").write_bytes(TEXT * 12)
    bits = weights(24 << 20)
    with open(folder / "weights.bin", "wb") as file:
        for i in range(12):
            file.write((bits ^ np.uint8(i)).tobytes())
    import mmh_rs as mmh

    # At the slowest level to restore; bytes that come again would be stored once.
    small = mmh.compress(bits.tobytes() + (bits ^ np.uint8(1)).tobytes(), dtype="BF16", level=9)
    (folder / "slow.mmh").write_bytes(small)
    mmh.compress_file(folder / "weights.bin", folder / "weights.mmh", level=1, verify=False)
    (folder / "back.bin").touch()  # is replaced, so that one fast restore can follow the other
    yield folder
    shutil.rmtree(folder)  # more than a gigabyte


def answered(command: list[str], folder: Path, after: float | None = None) -> tuple[float, int]:
    """Seconds from SIGINT to the end, and the exit code."""
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        if after is None:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
        else:
            time.sleep(after)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
        return time.monotonic() - started, code


def check(command: list[str], folder: Path, after: float | None = None) -> None:
    before = set(os.listdir(folder))
    times = []
    for _ in range(3):
        seconds, code = answered(command, folder, after)
        assert code == 130, "it was done before it could be stopped"
        assert set(os.listdir(folder)) == before, "something was left behind"
        times.append(seconds)
        if seconds < SECONDS:
            return
    pytest.fail(f"answered after {times} seconds")


CALLS = {
    "compress_file, text, level 9": 'soon(); mmh.compress_file("text.txt", "out.mmh", level=9)',
    "compress_file, text, level 9, one thread": 'soon(); mmh.compress_file("text.txt", "o.mmh", level=9, threads=1)',
    "compress_file, weights, max": 'mmh.compress_file("weights.bin", "out.mmh", level="max", progress=begun)',
    "compress, in memory": 'data = open("text.txt", "rb").read(); soon(); mmh.compress(data, level=9)',
    "compress, in memory, one thread": (
        'data = open("text.txt", "rb").read(); soon(); mmh.compress(data, level=9, threads=1)'
    ),
    "estimate": 'soon(); [mmh.estimate("text.txt", levels=[9, 8, 7]) for _ in range(20)]',
    "diff": 'soon(); [mmh.diff("weights.mmh", "weights.bin") for _ in range(99)]',
    "verify": '[mmh.open("weights.mmh").verify(progress=begun) for _ in range(99)]',
    "verify, slow, one thread": '[mmh.open("slow.mmh").verify(threads=1, progress=begun) for _ in range(99)]',
    "decompress_file": (
        '[mmh.decompress_file("weights.mmh", "back.bin", force=True, progress=begun) for _ in range(99)]'
    ),
    "decompress, in memory": (
        'data = open("weights.mmh", "rb").read(); soon(); [mmh.decompress(data) for _ in range(99)]'
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str, files: Path) -> None:
    check(["-c", CALL.replace("{call}", CALLS[name])], files)


@pytest.mark.parametrize(
    "words",
    [
        ["compress", "-9", "text.txt", "-o", "out.mmh"],
        ["compress", "--level", "max", "-T", "1", "weights.bin", "-o", "out.mmh"],
        ["estimate", "--level", "9", "text.txt"],
        ["compress", "-", "-o", "out.mmh"],  # and nothing comes
        ["decompress", "-", "-o", "out.mmh"],
    ],
    ids=" ".join,
)
def test_commands(words: list[str], files: Path) -> None:
    check(["-m", "mmh_rs", *words], files, after=1.0)

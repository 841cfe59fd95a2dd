"""Memory stays bounded, whatever the size of the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

LIMIT = 300_000_000
SIZE = 768 << 20

# The peak of the process itself, in bytes. On Linux getrusage would give that of the process that started it, if that
# is larger; macOS counts in bytes.
MEASURE = """
import runpy, sys
sys.argv = ["mmh", *sys.argv[1:]]
try:
    runpy.run_module("mmh_rs", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
if sys.platform == "linux":
    lines = open("/proc/self/status").read().splitlines()
    peak = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
else:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak, file=sys.stderr)
"""


def peak(*words: str, stdin: Path | None = None, stdout: Path | None = None) -> int:
    # `cat` makes a pipe of the file, so that it cannot be read at any offset.
    with (
        open(stdin or "/dev/null", "rb") as source,
        open(stdout or "/dev/null", "wb") as target,
        subprocess.Popen(["cat"], stdin=source, stdout=subprocess.PIPE) as pipe,
    ):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *words],
            stdin=pipe.stdout,
            stdout=target,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1])


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is needed to measure")
def test_files_and_pipes(tmp_path: Path) -> None:
    weights = np.random.default_rng(7).normal(scale=0.02, size=8 << 20).astype(np.float32)
    tile = (weights.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    source, blob, back = tmp_path / "weights.bin", tmp_path / "weights.mmh", tmp_path / "back.bin"
    with source.open("wb") as file:
        for _ in range(SIZE // len(tile)):
            file.write(tile)
    assert peak("compress", "-q", str(source), "-o", str(blob)) < LIMIT
    assert peak("decompress", "-q", str(blob), "-o", str(back)) < LIMIT
    assert subprocess.run(["cmp", str(source), str(back)], check=False).returncode == 0
    back.unlink()
    assert peak("compress", "-q", "-", stdin=source, stdout=blob) < LIMIT
    assert peak("decompress", "-q", "-", stdin=blob, stdout=back) < LIMIT
    assert subprocess.run(["cmp", str(source), str(back)], check=False).returncode == 0

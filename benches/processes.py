"""Commands as processes of their own: how long they take, and how much memory at most."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MMH = [sys.executable, "-m", "mmh_rs"]

_MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


@dataclass(frozen=True)
class Ran:
    """One command."""

    code: int
    seconds: float
    peak: int
    """Bytes of memory at most."""
    output: str

    def results(self) -> dict[str, Any]:
        """The first result of --json."""
        first: dict[str, Any] = json.loads(self.output)["results"][0]
        return first


def mmh(*words: str | Path, codes: Sequence[int] = (0,)) -> Ran:
    """Runs `mmh WORDS`.

    Raises:
        SystemExit: its exit code is none of these.
    """
    start = time.perf_counter()
    # On a system without resource usage there is no peak.
    line = [*MMH, *map(str, words)]
    if sys.platform == "win32":
        plain = subprocess.run(line, capture_output=True, text=True, encoding="utf-8")
        ran = Ran(plain.returncode, time.perf_counter() - start, 0, plain.stdout)
        said = plain.stderr
    else:
        done = subprocess.run([sys.executable, "-c", _MEASURE, *line], capture_output=True, text=True, encoding="utf-8")
        unit = 1 if sys.platform == "darwin" else 1024
        peak = int(done.stdout.split()[-1]) * unit if done.stdout.split() else 0
        # What the command prints on both streams comes on one.
        ran, said = Ran(done.returncode, time.perf_counter() - start, peak, done.stderr), done.stderr
    if ran.code not in codes:
        raise SystemExit(f"mmh {' '.join(map(str, words))}: exit code {ran.code}\n{said}")
    return ran

"""A large file, from the page cache to the page cache: `mmh` beside `cp` and `zstd -1 -T2`, and two threads beside one.

    python benches/large_file.py minilm-bf16.safetensors [--gib 1] [--runs 7] [--directory DIR]

The large file is made of the weights of the one named (bf16, safetensors), again and again, with the two lowest bits of
each changed at random, so that no stretch comes twice. Whole commands are timed, the start of Python included;
candidates take turns in an order that changes, each writes a new file, and what was written before is on the disk by
then; what was restored is compared first. The threads of `mmh.compress` and `mmh.decompress` are compared on 256 MiB in
memory, where glibc keeps freed pages. Times are medians, in seconds.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tables import table

import mmh_rs as mmh
from mmh_rs.bench.measure import keep_pages

PER_TENSOR = 16 << 20
"""Weights of each tensor."""
IN_MEMORY = 256 << 20


def make(source: Path, target: Path, gib: float) -> None:
    """Write a safetensors file of `gib` GiB of weights that look like those of `source`."""
    raw = np.fromfile(source, dtype=np.uint8)
    start = 8 + int.from_bytes(raw[:8].tobytes(), "little")
    weights = raw[start : start + (raw.size - start) // 2 * 2].view(np.uint16)
    count = max(1, round(gib * 2**30 / 2 / PER_TENSOR))
    size = 2 * PER_TENSOR
    rows = {
        f"layers.{i}.weight": {
            "dtype": "BF16",
            "shape": [PER_TENSOR // 4096, 4096],
            "data_offsets": [i * size, (i + 1) * size],
        }
        for i in range(count)
    }
    header = json.dumps(rows).encode()
    header += b" " * (-len(header) % 8)
    numbers = np.random.default_rng(1)
    with target.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(count):
            first = int(numbers.integers(0, weights.size))
            tensor = np.resize(np.roll(weights, -first), PER_TENSOR)
            (tensor ^ numbers.integers(0, 4, PER_TENSOR, dtype=np.uint16)).tofile(file)


def command(words: Sequence[str | Path], made: Path) -> Callable[[], float]:
    """Seconds that the command takes to write `made`, and to be gone."""

    def run() -> float:
        made.unlink(missing_ok=True)
        # What was written before is not to be brought to the disk meanwhile.
        os.sync()
        start = time.perf_counter()
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    return run


def peak(words: Sequence[str | Path], made: Path) -> float:
    """MiB of memory that the command takes at most."""
    made.unlink(missing_ok=True)
    measure = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); " + (
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", measure, *map(str, words)], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / (2**20 if sys.platform == "darwin" else 2**10)


def in_turns(candidates: dict[str, Callable[[], float]], runs: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in candidates}
    order = list(candidates)
    shuffle = random.Random(1)
    for _ in range(runs):
        shuffle.shuffle(order)
        for name in order:
            times[name].append(candidates[name]())
    return {name: statistics.median(all_) for name, all_ in times.items()}


def files(source: Path, directory: Path, runs: int) -> str:
    """The table of whole commands."""
    program = [sys.executable, "-m", "mmh_rs"]
    packed, restored, made = (directory / name for name in ("packed.mmh", "restored", "made"))
    subprocess.run([*program, "compress", "-q", source, "-o", packed], check=True)
    subprocess.run([*program, "decompress", "-q", packed, "-o", restored], check=True)
    if not filecmp.cmp(source, restored, shallow=False):
        raise SystemExit("the file did not come back")
    restored.unlink()
    words: dict[str, list[str | Path]] = {"cp": ["cp", source, made]}
    if shutil.which("zstd"):
        words["zstd -1 -T2"] = ["zstd", "-q", "-1", "-T2", source, "-o", made]
    for level in ("fast", "balanced"):
        for threads in ("1", "2"):
            name = f"mmh compress --level {level} -T {threads}"
            words[name] = [*program, *name.split()[1:], "-q", source, "-o", made]
    for threads in ("1", "2"):
        name = f"mmh decompress -T {threads}"
        words[name] = [*program, *name.split()[1:], "-q", packed, "-o", made]
    times = in_turns({name: command(line, made) for name, line in words.items()}, runs)
    rows = []
    for name, seconds in times.items():
        other = "cp" if "decompress" in name else "zstd -1 -T2" if "compress" in name else None
        beside = f"{seconds / times[other]:.2f} x {other}" if other in times else ""
        one = times.get(name.replace("-T 2", "-T 1"), seconds)
        rows.append([name, f"{seconds:.2f}", beside, f"{one / seconds:.2f}", f"{peak(words[name], made):.0f}"])
    made.unlink()
    return table(["", "s", "beside", "one thread over this", "MiB of memory"], rows, left=1)


def threads_in_memory(source: Path, runs: int) -> str:
    """The table of one and two threads."""
    with source.open("rb") as file:
        file.seek(1 << 16)
        data = np.frombuffer(file.read(IN_MEMORY), dtype=np.uint16)
    keep_pages()
    out = bytearray(data.nbytes)
    rows = []
    for level in ("fast", "balanced", "max"):
        blob = mmh.compress(data, dtype="BF16", level=level)

        def packing(threads: int, level: str = level) -> Callable[[], float]:
            def run() -> float:
                start = time.perf_counter()
                mmh.compress(data, dtype="BF16", level=level, threads=threads)
                return time.perf_counter() - start

            return run

        def unpacking(threads: int, blob: bytes = blob) -> Callable[[], float]:
            def run() -> float:
                start = time.perf_counter()
                mmh.decompress(blob, out=out, threads=threads)
                return time.perf_counter() - start

            return run

        for what, work in (("compress", packing), ("decompress", unpacking)):
            times = in_turns({"1": work(1), "2": work(2)}, runs if level != "max" else min(runs, 3))
            one, two = (data.nbytes / 1e9 / times[n] for n in "12")
            rows.append([f"{what}, {level}", f"{one:.2f}", f"{two:.2f}", f"{two / one:.2f}"])
    return table([f"{data.nbytes >> 20} MiB in memory", "GB/s, one thread", "two", "times"], rows, left=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--gib", type=float, default=1)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--directory", type=Path, help="where to work; two times the size has to fit")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as scratch:
        source = Path(scratch) / "large.safetensors"
        make(arguments.file, source, arguments.gib)
        print(f"{source.stat().st_size / 2**30:.2f} GiB of bf16, {os.cpu_count()} cores\n")
        print(files(source, Path(scratch), arguments.runs) + "\n")
        print(threads_in_memory(source, arguments.runs))


if __name__ == "__main__":
    main()

"""Parity, in seconds: what it adds to compressing, and how long repairing takes; and salvage, without parity.

    python benches/parity.py minilm-bf16.safetensors [--gib 1] [--percent 5] [--runs 3] [--directory DIR]

A large file is made of the weights of the one named (bf16, safetensors; as `benches/large_file.py` does) and compressed
without parity and with it, in turn. Then a file that does not compress is protected, and damaged in four ways: one bit;
the longest burst that is promised; as many bits as are promised, all over, in each group; a lost head. Each is repaired
to another file and in place, and compared with the sound one, byte for byte. Times are medians, from the page cache to
the disk, as `mmh` syncs what it repairs; `dd` with fsync beside them shows how much of it is the disk.

Last, the first archive, without parity, loses its index, and then a hole of 1 MiB in its middle as well. What is saved
is compared with the original, and decompressing the sound archive stands beside it.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from large_file import make
from tables import table

import mmh_rs as mmh


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def hurt(path: Path, places: list[tuple[int, bytes]]) -> None:
    """Other bits in each of these places."""
    with path.open("r+b") as file:
        for at, mask in places:
            file.seek(at)
            old = file.read(len(mask))
            file.seek(at)
            file.write(bytes(a ^ b for a, b in zip(old, mask, strict=True)))


def damages(found: mmh.Examination) -> dict[str, list[tuple[int, bytes]]]:
    """By name: places, and what to flip there."""
    shard, groups, recovery = found.shard_bytes, found.groups, found.recovery_shards
    shards = found.body_bytes // shard
    numbers = np.random.default_rng(3)
    spread = [
        (int(group + groups * number) * shard + int(numbers.integers(shard)), b"\x10")
        for group in range(groups)
        for number in numbers.choice(shards // groups, recovery, replace=False)
    ]
    burst = numbers.integers(1, 256, found.burst_bytes, dtype=np.uint8).tobytes()
    return {
        "one bit": [(found.body_bytes // 3, b"\x01")],
        f"a burst of {found.burst_bytes:,} bytes": [(found.body_bytes // 2, burst)],
        f"{len(spread):,} bits all over": spread,
        "the first 4 KiB": [(0, b"\xff" * 4096)],
    }


def compressing(source: Path, folder: Path, percent: int, runs: int) -> None:
    target = folder / "compressed.mmh"
    seconds: dict[str, list[float]] = {"alone": [], "parity": []}
    sizes = {}
    for _ in range(runs):
        for name, added in (("alone", None), ("parity", percent)):
            target.unlink(missing_ok=True)
            seconds[name].append(timed(lambda: mmh.compress_file(source, target, parity=added)))  # noqa: B023
            sizes[name] = target.stat().st_size
    alone = statistics.median(seconds["alone"])
    parity = statistics.median(seconds["parity"])
    print(
        table(
            ["compress", "seconds", "bytes"],
            [
                ["without parity", f"{alone:.2f}", f"{sizes['alone']:,}"],
                [f"with {percent} %", f"{parity:.2f}", f"{sizes['parity']:,}"],
                ["ratio", f"{parity / alone:.2f}", f"{sizes['parity'] / sizes['alone']:.4f}"],
            ],
        )
    )


def repairing(folder: Path, gib: float, percent: int, runs: int) -> None:
    noise, sound, broken = folder / "noise", folder / "noise.mmh", folder / "broken.mmh"
    numbers = np.random.default_rng(5)
    with noise.open("wb") as file:
        for _ in range(round(gib * 64)):
            file.write(numbers.bytes(1 << 24))
    mmh.compress_file(noise, sound, level=1)
    noise.unlink()
    protecting = timed(lambda: mmh.protect(sound, percent=percent))
    found = mmh.examine(sound)
    assert found is not None
    copy = folder / "copy"
    size = sound.stat().st_size
    command = ["dd", f"if={sound}", f"of={copy}", "bs=1M", "conv=fsync", "status=none"]

    def copied() -> None:
        copy.unlink(missing_ok=True)
        subprocess.run(command, check=True)

    disk = statistics.median(timed(copied) for _ in range(runs))
    copy.unlink()
    rows = [
        ["dd conv=fsync", f"{disk:.2f}", "1.00"],
        ["mmh protect", f"{protecting:.2f}", f"{protecting / disk:.2f}"],
    ]
    examining = timed(lambda: mmh.examine(sound))
    rows.append(["mmh.examine", f"{examining:.2f}", f"{examining / disk:.2f}"])
    for name, places in damages(found).items():
        for in_place in (False, True):
            times = []
            for _ in range(runs):
                shutil.copyfile(sound, broken)
                hurt(broken, places)
                os.sync()
                target = broken if in_place else copy
                copy.unlink(missing_ok=True)
                times.append(timed(lambda: mmh.repair(broken, target)))  # noqa: B023
                if not filecmp.cmp(target, sound, shallow=False):
                    raise SystemExit(f"{name}: not what it was")
            t = statistics.median(times)
            rows.append([f"mmh repair{', in place' if in_place else ''}: {name}", f"{t:.2f}", f"{t / disk:.2f}"])
    print(f"A .mmh of {size:,} bytes, {found.promise}.")
    print()
    print(table(["", "seconds", "to dd"], rows))


def tensors(path: Path) -> dict[str, np.ndarray]:
    """The bytes of each tensor of a safetensors file."""
    data = np.memmap(path, np.uint8, "r")
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8:start].tobytes())
    header.pop("__metadata__", None)
    spans = {name: entry["data_offsets"] for name, entry in header.items()}
    return {name: data[start + first : start + last] for name, (first, last) in spans.items()}


def saved_rightly(report: mmh.SalvageReport, folder: Path, source: Path) -> bool:
    """Whether each tensor that was saved is the one of that name."""
    if report.complete:
        return filecmp.cmp(folder / report.files[0], source, shallow=False)
    saved, true = tensors(folder / "tensors.safetensors"), tensors(source)
    return set(saved) == set(report.saved) and all(np.array_equal(saved[name], true[name]) for name in saved)


def salvaging(folder: Path, source: Path, sound: Path, runs: int) -> None:
    broken, target, copy = folder / "broken.mmh", folder / "saved", folder / "copy"
    data = sound.read_bytes()
    hole = len(data) // 2
    losses = {
        "the last 64 KiB lost": data[: -(64 << 10)],
        "and 1 MiB in the middle zeroed": data[:hole] + bytes(1 << 20) + data[hole + (1 << 20) : -(64 << 10)],
    }

    def whole() -> None:
        mmh.decompress_file(sound, copy, force=True)
        os.sync()

    base = statistics.median(timed(whole) for _ in range(runs))
    rows = [["mmh decompress, and sync", f"{base:.2f}", "1.00", ""]]
    for name, left in losses.items():
        broken.write_bytes(left)
        os.sync()
        times, reports = [], []
        for _ in range(runs):
            shutil.rmtree(target, ignore_errors=True)
            times.append(timed(lambda: reports.append(mmh.salvage(broken, f"{target}{os.sep}"))))  # noqa: B023
        report = reports[-1]
        if not saved_rightly(report, target, source):
            raise SystemExit(f"{name}: not what it was")
        t = statistics.median(times)
        of = f"{len(report.saved):,} of {len(report.saved) + len(report.lost):,}"
        rows.append([f"mmh repair --salvage: {name}", f"{t:.2f}", f"{t / base:.2f}", of])
    print(table(["", "seconds", "to decompress", "tensors"], rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path)
    parser.add_argument("--gib", type=float, default=1)
    parser.add_argument("--percent", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mmh-parity-", dir=options.directory) as name:
        folder = Path(name)
        make(options.source, folder / "source", options.gib)
        compressing(folder / "source", folder, options.percent, options.runs)
        print()
        compressed = folder / "compressed.mmh"
        mmh.compress_file(folder / "source", compressed, force=True)
        salvaging(folder, folder / "source", compressed, options.runs)
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        print()
        repairing(folder, options.gib, options.percent, options.runs)


if __name__ == "__main__":
    main()

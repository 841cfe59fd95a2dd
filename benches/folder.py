"""A folder of many files: `compress_dir` beside Python's gzip at level 6, file by file.

    python benches/folder.py DIR [--runs 5]

Both write a file for each file. Candidates take turns; times are medians, from files in the cache to new files.
What `compress_dir` wrote is restored and compared first. Sizes count the files' contents, containers included.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mmh_rs as mmh

LEVELS = ("fast", "balanced", "max")


def files_in(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]


def with_gzip(root: Path, target: Path) -> None:
    for path in files_in(root):
        goal = target / path.relative_to(root).with_name(path.name + ".gz")
        goal.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as source, gzip.open(goal, "wb", 6) as sink:
            shutil.copyfileobj(source, sink)


def with_mmh(level: str, threads: int) -> Callable[[Path, Path], None]:
    def work(root: Path, target: Path) -> None:
        report = mmh.compress_dir(root, target, level=level, threads=threads)
        if not report:
            raise RuntimeError(f"failed: {report.failed}")

    return work


def check(root: Path, scratch: Path) -> None:
    """Every file comes back, or the times mean nothing."""
    mmh.compress_dir(root, scratch / "checked.mmh")
    mmh.decompress_dir(scratch / "checked.mmh")
    for path in files_in(root):
        if (scratch / "checked" / path.relative_to(root)).read_bytes() != path.read_bytes():
            raise RuntimeError(f"{path} did not come back")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    root: Path = arguments.folder
    sizes = [path.stat().st_size for path in files_in(root)]
    total = sum(sizes)
    print(
        f"{root}: {len(sizes):,} files, {total:,} bytes, {total // max(len(sizes), 1):,} each; {os.cpu_count()} cores"
    )
    candidates: dict[str, Callable[[Path, Path], None]] = {"gzip 6": with_gzip}
    candidates |= {f"mmh {level}, {n} threads": with_mmh(level, n) for level in LEVELS for n in (1, 2)}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    stored: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        check(root, scratch)
        for _ in range(arguments.runs):
            for name, work in candidates.items():
                target = scratch / "out"
                started = time.perf_counter()
                work(root, target)
                times[name].append(time.perf_counter() - started)
                stored[name] = sum(path.stat().st_size for path in files_in(target))
                shutil.rmtree(target)
    base = statistics.median(times["gzip 6"])
    print(f"{'':<22}  {'size':>6}  {'of gzip':>7}  {'ms':>7}  times gzip's speed")
    for name in candidates:
        took = statistics.median(times[name])
        row = f"{stored[name] / total:>6.3f}  {stored[name] / stored['gzip 6']:>7.3f}  {1000 * took:>7.1f}"
        print(f"{name:<22}  {row}  {base / took:.1f}")


if __name__ == "__main__":
    main()

"""A folder of many files: `compress_dir` and `pack_dir` beside Python's gzip at level 6.

    python benches/folder.py DIR [--runs 5] [--scratch DIR] [--levels fast,balanced,max]

gzip of each file, and of a tar archive. Two floors of what can be had file by file: the files alone (each is read, a
third of it is written beside its target, which takes its mode, its time and its name), and Zstandard's frames of each
file, without anything around them. Candidates take turns; times are medians, from files in the cache to new files,
and beside them what the process and its threads had of the processors, which other work on the machine disturbs less.
What was written is removed at the end alone: after many removals some file systems (ext4) make new files slowly, for
all candidates. What ours wrote is restored and compared first. Sizes count the files' contents, containers included.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import zstandard

import mmh_rs as mmh

EACH, TAR = "gzip 6, each file", "gzip 6, tar"
ALONE = "files alone, no codec"


def files_in(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]


def with_gzip(root: Path, target: Path) -> None:
    for path in files_in(root):
        goal = target / path.relative_to(root).with_name(path.name + ".gz")
        goal.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as source, gzip.open(goal, "wb", 6) as sink:
            shutil.copyfileobj(source, sink)


def with_tar(root: Path, target: Path) -> None:
    with tarfile.open(target, "w:gz", compresslevel=6) as archive:
        archive.add(root, ".")


def files_alone(root: Path, target: Path) -> None:
    """By the bare calls of the system, in one thread."""
    for directory in [root, *(path for path in sorted(root.rglob("*")) if path.is_dir())]:
        os.makedirs(target / directory.relative_to(root))
    for path in files_in(root):
        goal = str(target / path.relative_to(root))
        source = os.open(path, os.O_RDONLY)
        info = os.fstat(source)
        data = os.read(source, info.st_size)
        sink = os.open(goal + ".part", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(sink, data[: len(data) // 3])
        os.fchmod(sink, info.st_mode)
        os.utime(sink, ns=(info.st_atime_ns, info.st_mtime_ns))
        os.rename(goal + ".part", goal)
        os.close(sink)
        os.close(source)


def frames_alone(level: int) -> Callable[[Path, Path], None]:
    def work(root: Path, target: Path) -> None:
        compressor = zstandard.ZstdCompressor(level=level)
        for path in files_in(root):
            goal = target / path.relative_to(root)
            goal.parent.mkdir(parents=True, exist_ok=True)
            goal.write_bytes(compressor.compress(path.read_bytes()))

    return work


def mirrored(level: str, threads: int) -> Callable[[Path, Path], None]:
    def work(root: Path, target: Path) -> None:
        report = mmh.compress_dir(root, target, level=level, threads=threads)
        if not report:
            raise RuntimeError(f"failed: {report.failed}")

    return work


def packed(level: str, threads: int) -> Callable[[Path, Path], None]:
    def work(root: Path, target: Path) -> None:
        mmh.pack_dir(root, target, level=level, threads=threads)

    return work


def check(root: Path, scratch: Path) -> None:
    """Every file comes back, or the times mean nothing."""
    mmh.compress_dir(root, scratch / "checked.mmh")
    mmh.decompress_dir(scratch / "checked.mmh")
    mmh.pack_dir(root, scratch / "packed.tar.mmh")
    mmh.unpack_dir(scratch / "packed.tar.mmh")
    for path in files_in(root):
        for back in ("checked", "packed"):
            if (scratch / back / path.relative_to(root)).read_bytes() != path.read_bytes():
                raise RuntimeError(f"{path} did not come back")


def size_of(target: Path) -> int:
    return sum(path.stat().st_size for path in (files_in(target) if target.is_dir() else [target]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scratch", type=Path, help="where results are written")
    parser.add_argument("--levels", default="fast,balanced,max")
    arguments = parser.parse_args()
    root: Path = arguments.folder
    total = size_of(root)
    count = len(files_in(root))
    print(f"{root}: {count:,} files, {total:,} bytes, {total // max(count, 1):,} each; {os.cpu_count()} cores")
    candidates: dict[str, Callable[[Path, Path], None]] = {EACH: with_gzip, TAR: with_tar, ALONE: files_alone}
    candidates |= {f"zstd {level}, each file, frames alone": frames_alone(level) for level in (6, 19)}
    for kind, make in (("-r", mirrored), ("--pack", packed)):
        for level in arguments.levels.split(","):
            candidates |= {f"mmh {kind} {level}, {n} threads": make(level, n) for n in (1, 2)}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    stored: dict[str, int] = {}
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as directory:
        scratch = Path(directory)
        check(root, scratch)
        for run in range(arguments.runs):
            for number, (name, work) in enumerate(candidates.items()):
                target = scratch / f"{run}-{number}"
                started, busy = time.perf_counter(), time.process_time()
                work(root, target)
                times[name].append((time.perf_counter() - started, time.process_time() - busy))
                stored[name] = size_of(target)
    medians = {name: [statistics.median(part) for part in zip(*times[name], strict=True)] for name in candidates}
    print(
        f"{'':<32}  {'size':>6}  {'of each':>7}  {'of tar':>6}  {'ms':>7}  {'busy':>7}  times the speed of each, of tar"
    )
    for name in candidates:
        took, busy = medians[name]
        sizes = f"{stored[name] / total:>6.3f}  {stored[name] / stored[EACH]:>7.3f}  {stored[name] / stored[TAR]:>6.3f}"
        speeds = f"{medians[EACH][0] / took:.1f}, {medians[TAR][0] / took:.1f}"
        print(f"{name:<32}  {sizes}  {1000 * took:>7.1f}  {1000 * busy:>7.1f}  {speeds}")


if __name__ == "__main__":
    main()

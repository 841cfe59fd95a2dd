"""What is claimed of this system, and of the one that it continues: each claim measured, the false ones marked false.

    python benches/claims.py DIR                         all, and writes docs/claims.md
    python benches/claims.py DIR --only memory           one of them, printed
    python benches/claims.py DIR --only memory --write   and its rows in docs/claims.md renewed

DIR holds the corpus (`benches/corpus/fetch.py DIR`). Round trips are compared before anything is timed; candidates take
turns, times are medians; one thread where nothing else is said.
"""

from __future__ import annotations

import argparse
import bz2
import datetime
import gzip
import io
import lzma
import os
import platform
import statistics
import subprocess
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zstandard
from large_file import in_turns
from processes import MMH, mmh

import mmh_rs
from mmh_rs.bench.machine import described, machine
from mmh_rs.bench.measure import keep_pages

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "claims.md"
SLICE = 8 << 20
"""Bytes of weights that the slow ones get."""
HEAD = 12 << 20
"""Bytes of each file of the corpus that all get."""
RUNS = 3


class Row(NamedTuple):
    """One claim."""

    claim: str
    measured: str
    holds: bool | None
    """None: not to be measured here."""


Compressor = tuple[Callable[[bytes], Any], Callable[[Any], Any]]

PYTHONS: dict[str, Compressor] = {
    "gzip 6": (lambda data: gzip.compress(data, 6), gzip.decompress),
    "zlib 6": (lambda data: zlib.compress(data, 6), zlib.decompress),
    "bz2": (bz2.compress, bz2.decompress),
    "lzma": (lambda data: lzma.compress(data, preset=3), lzma.decompress),
}
"""What Python brings along; lzma at preset 3, since 6 takes minutes."""
MINE, BY_ONE = "mmh", "mmh, one thread"


def seconds(run: Callable[[], object], runs: int = RUNS) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def weights(corpus: Path, name: str = "minilm-bf16.safetensors") -> bytes:
    """Part of a file of real weights, without its header."""
    raw = (corpus / name).read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    return raw[start : start + SLICE]


def ours(level: str, dtype: str | None) -> Compressor:
    def compress(data: bytes) -> bytes:
        return mmh_rs.compress(data, dtype, level=level, threads=1)

    return compress, lambda blob: mmh_rs.decompress(blob, threads=1)


def measured(data: bytes, compressor: Compressor) -> tuple[float, float, float]:
    """Size (of the original), and GB/s of both directions."""
    compress, decompress = compressor
    blob = compress(data)
    if bytes(decompress(blob)) != data:
        raise SystemExit("a round trip failed")
    pack, unpack = seconds(lambda: compress(data)), seconds(lambda: decompress(blob))
    return len(blob) / len(data), len(data) / 1e9 / pack, len(data) / 1e9 / unpack


def pattern(corpus: Path, scratch: Path) -> Iterator[Row]:
    source, size = scratch / "pattern", 1 << 30
    block = bytes(range(251)) * 4178
    with source.open("wb") as file:
        while file.tell() < size:
            file.write(block[: size - file.tell()])
    report = mmh_rs.compress_file(source)
    mmh_rs.decompress_file(report.target or "", scratch / "back")
    equal = same(source, scratch / "back")
    saved = 100 * (1 - report.stored_bytes / size)
    told = f"1 GiB that repeats every 251 bytes: {report.stored_bytes} bytes, {saved:.5f} % saved"
    yield Row(
        "99.99995 % saved on repetitive data", told + ("" if equal else ", NOT EQUAL"), equal and saved >= 99.99995
    )


def same(a: Path, b: Path) -> bool:
    with a.open("rb") as one, b.open("rb") as other:
        while True:
            left, right = one.read(1 << 22), other.read(1 << 22)
            if left != right:
                return False
            if not left:
                return True


def python_weights(corpus: Path, scratch: Path) -> Iterator[Row]:
    for label, name, dtype in (
        ("bf16", "minilm-bf16.safetensors", "BF16"),
        ("fp32", "minilm-fp32.safetensors", "F32"),
    ):
        data = weights(corpus, name)
        _, pack, unpack = measured(data, ours("balanced", dtype))
        told, holds = [], True
        for rival, compressor in PYTHONS.items():
            _, slow, slower = measured(data, compressor)
            told.append(f"{rival} {pack / slow:.0f} and {unpack / slower:.1f}")
            holds = holds and pack / slow >= 2 and unpack / slower >= 2
        claim = f"2 to 10 times faster than Python's compressors, on {label} weights (or more)"
        yield Row(claim, f"balanced, compress and decompress, times as fast as: {'; '.join(told)}", holds)


def python_folder(corpus: Path, scratch: Path) -> Iterator[Row]:
    folder = ROOT / "crates"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "target" not in path.parts]
    copy = scratch / "folder"
    for path in files:
        goal = copy / path.relative_to(folder)
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.write_bytes(path.read_bytes())

    def each(pack: Callable[[bytes], bytes], target: Path) -> None:
        for path in sorted(copy.rglob("*")):
            if path.is_file():
                goal = target / path.relative_to(copy)
                goal.parent.mkdir(parents=True, exist_ok=True)
                goal.write_bytes(pack(path.read_bytes()))

    def tar(pack: Callable[[bytes], bytes], target: Path) -> None:
        target.mkdir()
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w") as archive:
            archive.add(copy, ".")
        (target / "tar").write_bytes(pack(held.getvalue()))

    def mirrored(target: Path, threads: int | None = None) -> None:
        if not mmh_rs.compress_dir(copy, target, threads=threads):
            raise SystemExit("a folder failed")

    def packed(target: Path, threads: int | None = None) -> None:
        target.mkdir()
        mmh_rs.pack_dir(copy, target / "tar.mmh", threads=threads)

    mirrored(scratch / "folder.mmh")
    mmh_rs.decompress_dir(scratch / "folder.mmh", scratch / "back")
    if any((scratch / "back" / path.relative_to(folder)).read_bytes() != path.read_bytes() for path in files):
        raise SystemExit("a folder did not come back")
    raw = sum(path.stat().st_size for path in files)
    what = f"crates/, {len(files)} files, {raw / 1e6:.1f} MB"
    for mine, others, how in (
        (mirrored, each, "file by file"),
        (packed, tar, "packed into one file (others: a tar archive)"),
    ):
        times, stored = _in_turn(scratch, mine, others)
        faster = {name: [times[name] / times[one] for one in (MINE, BY_ONE)] for name in PYTHONS}
        told = "; ".join(f"{name} {all_:.1f} ({one:.1f} by one thread)" for name, (all_, one) in faster.items())
        holds = all(all_ >= 2 for all_, _ in faster.values())
        claim = f"2 to 10 times faster than Python's compressors, on a project folder, {how}"
        yield Row(claim, f"{what}: times as fast as {told}", holds)
        sizes = "; ".join(f"{name} {stored[name] / raw:.3f}" for name in (MINE, *PYTHONS))
        smaller = all(stored[MINE] < stored[name] for name in PYTHONS)
        yield Row(f"Smaller than Python's compressors, on a project folder, {how}", f"{what}: {sizes}", smaller)


def _in_turn(
    scratch: Path, mine: Callable[..., None], others: Callable[[Callable[[bytes], bytes], Path], None]
) -> tuple[dict[str, float], dict[str, int]]:
    """Seconds, and bytes that are stored. Ours by as many threads as it takes unasked, and by one."""
    candidates: dict[str, Callable[[Path], None]] = {MINE: mine, BY_ONE: lambda target: mine(target, threads=1)}
    candidates |= {name: lambda target, pack=pair[0]: others(pack, target) for name, pair in PYTHONS.items()}  # type: ignore[misc]
    times: dict[str, list[float]] = {name: [] for name in candidates}
    stored = {}
    for _ in range(RUNS):
        for name, work in candidates.items():
            target = Path(tempfile.mkdtemp(dir=scratch)) / "of"
            start = time.perf_counter()
            work(target)
            times[name].append(time.perf_counter() - start)
            stored[name] = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return {name: statistics.median(all_) for name, all_ in times.items()}, stored


def ratios(corpus: Path, scratch: Path) -> Iterator[Row]:
    names = sorted(path.name for path in corpus.iterdir() if path.suffix in (".safetensors", ".gguf", ".pt", ".onnx"))
    against: dict[str, Callable[[bytes], bytes]] = {name: pair[0] for name, pair in PYTHONS.items()}
    against["zstd 3"] = lambda data: zstandard.ZstdCompressor(level=3).compress(data)
    told: dict[str, list[str]] = {"balanced": [], "max": []}
    for name in names:
        part = scratch / name
        with (corpus / name).open("rb") as file:
            data = file.read(HEAD)
        part.write_bytes(data)
        rivals = {label: len(pack(data)) / len(data) for label, pack in against.items()}
        least = min(rivals, key=rivals.__getitem__)
        for level, lost in told.items():
            mine = mmh_rs.compress_file(part, level=level, force=True).ratio
            if mine >= rivals[least]:
                lost.append(f"{name} ({mine:.3f}, {least} {rivals[least]:.3f})")
    for level, lost in told.items():
        wins = f"the smallest on {len(names) - len(lost)} of {len(names)} files (the first {HEAD >> 20} MiB of each)"
        text = f"{wins}; not on {', '.join(lost)}" if lost else wins
        yield Row(f"Smaller than gzip, zlib, bz2, lzma and zstd on AI data, at level {level}", text, not lost)


def latency(corpus: Path, scratch: Path) -> Iterator[Row]:
    data = weights(corpus)[: 10**6]
    blob = mmh_rs.compress(data, "BF16", level="fast", threads=1)
    out = bytearray(len(data))
    told = []
    worst = 0.0
    both: dict[str, Callable[[], object]] = {
        "compress": lambda: mmh_rs.compress(data, "BF16", level="fast", threads=1),
        "decompress": lambda: mmh_rs.decompress(blob, out=out, threads=1),
    }
    for what, run in both.items():
        times = []
        for _ in range(300):
            start = time.perf_counter()
            run()
            times.append(1000 * (time.perf_counter() - start))
        times.sort()
        worst = max(worst, times[150])
        told.append(f"{what} {times[150]:.2f} ms (99 of 100 within {times[297]:.2f})")
    good = bytes(out) == data
    claim = "Real time: a tensor of 1 MB (bf16, fast) in less than 2 ms each way"
    yield Row(claim, ", ".join(told), good and worst < 2)


def streaming(corpus: Path, scratch: Path) -> Iterator[Row]:
    source = scratch / "model.safetensors"
    mmh_rs.generate(source, size=500_000_000, force=True)
    size = source.stat().st_size

    def through(*words: str, input_path: Path, output_path: Path) -> float:
        start = time.perf_counter()
        with output_path.open("wb") as target:
            feed = subprocess.Popen(["cat", str(input_path)], stdout=subprocess.PIPE)
            subprocess.run([*MMH, *words], stdin=feed.stdout, stdout=target, check=True)
            feed.wait()
        return size / 1e9 / (time.perf_counter() - start)

    packed, back = scratch / "packed", scratch / "back"
    pack = statistics.median(
        through("compress", "-", "--level", "fast", "-c", input_path=source, output_path=packed) for _ in range(RUNS)
    )
    unpack = statistics.median(
        through("decompress", "-", "-c", input_path=packed, output_path=back) for _ in range(RUNS)
    )
    told = f"500 MB through pipes at fast, {os.cpu_count()} threads: {pack:.2f} and {unpack:.2f} GB/s"
    claim = "Real time: streams at more than 0.5 GB/s each way"
    yield Row(claim, told, same(source, back) and min(pack, unpack) > 0.5)


def gain(work: Callable[..., object], threads: int, runs: int) -> float:
    """How many times as fast so many threads are as one; the two take turns."""
    times = in_turns({str(n): partial(seconds, partial(work, threads=n), 1) for n in (1, threads)}, runs)
    return times["1"] / times[str(threads)]


def scaling(corpus: Path, scratch: Path) -> Iterator[Row]:
    cores = os.cpu_count() or 1
    source = scratch / "model.safetensors"
    mmh_rs.generate(source, size=256_000_000, force=True)
    wanted = 0.9 * min(cores, 2) if cores > 1 else 1
    # As `mmh bench` measures; nothing that is timed in this process comes after it.
    pages = ", glibc keeps freed pages" if keep_pages() else ""
    raw = np.fromfile(source, dtype=np.uint8)
    for level in ("fast", "balanced", "max"):
        blob = mmh_rs.compress(raw, level=level)
        if blob != mmh_rs.compress(raw, level=level, threads=1):
            raise SystemExit("the bytes depend on the number of threads")
        out = np.zeros_like(raw)
        runs = RUNS if level == "max" else 5 * RUNS
        one = gain(partial(mmh_rs.compress, raw, level=level), cores, runs)
        other = gain(partial(mmh_rs.decompress, blob, out=out), cores, runs)
        claim = f"Multi-core: {cores} threads are at least {wanted:g} times as fast as one, at level {level}"
        told = f"an array of 256 MB{pages}: compress {one:.2f}, decompress {other:.2f} times one thread; the same bytes"
        yield Row(claim, told, min(one, other) >= wanted)


def memory(corpus: Path, scratch: Path) -> Iterator[Row]:
    told, most = [], 0
    for size in (100, 1000, 4000):
        source, packed, back = (scratch / name for name in ("model.safetensors", "model.mmh", "back"))
        words = [["generate", source, "--size", f"{size}MB", "-f"], ["compress", source, "-o", packed, "-f"]]
        words += [["verify", packed], ["decompress", packed, "-o", back, "-f"]]
        peaks = [mmh(*map(str, line)).peak for line in words]
        if not same(source, back):
            raise SystemExit("a file did not come back")
        most = max(most, *peaks)
        told.append(f"{size} MB: {', '.join(f'{peak / 1e6:.0f}' for peak in peaks)}")
    text = f"MB at most of generate, compress, verify, decompress, for a file of {'; '.join(told)}"
    yield Row("Bounded memory: less than 300 MB, whatever the size", text, 0 < most < 300e6)


def expansion(corpus: Path, scratch: Path) -> Iterator[Row]:
    worst = 0.0
    for size in (0, 1, 100, 10_000, 10_000_000):
        data = os.urandom(size)
        for level in ("fast", "balanced", "max"):
            blob = mmh_rs.compress(data, level=level)
            if mmh_rs.decompress(blob) != data:
                raise SystemExit("a round trip failed")
            worst = max(worst, (len(blob) - size) / (0.001 * size + 1024))
    claim = "Never larger than the source by more than 0.1 % and 1 KiB"
    yield Row(claim, f"noise of 0 to 10 MB at three levels: at most {worst:.2f} of that", worst <= 1)


def lossless(corpus: Path, scratch: Path) -> Iterator[Row]:
    ways = files = 0
    good = True
    for path in sorted(corpus.iterdir()):
        if path.is_file() and path.stat().st_size < 30e6:
            found = mmh_rs.validate(path)
            good = good and all(proof.equal for proof in found.proofs)
            ways, files = len(found.proofs), files + 1
    claim = "Lossless: every bit comes back, from every level and codec"
    yield Row(claim, f"{files} files of the corpus, {ways} ways each: {'all equal' if good else 'NOT EQUAL'}", good)


def platforms(corpus: Path, scratch: Path) -> Iterator[Row]:
    for name, system in (("Linux", "Linux"), ("macOS", "Darwin"), ("Windows", "Windows")):
        if platform.system() == system:
            data = weights(corpus)
            good = mmh_rs.decompress(mmh_rs.compress(data, "BF16")) == data
            yield Row(f"Runs on {name}", f"this table was made on {platform.system()} {platform.machine()}", good)
        else:
            yield Row(f"Runs on {name}", "not run here: see the workflows in .github/workflows", None)


CLAIMS: dict[str, Callable[[Path, Path], Iterator[Row]]] = {
    "lossless": lossless,
    "pattern": pattern,
    "python-weights": python_weights,
    "python-folder": python_folder,
    "ratios": ratios,
    "latency": latency,
    "streaming": streaming,
    "scaling": scaling,
    "memory": memory,
    "expansion": expansion,
    "platforms": platforms,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--only", choices=CLAIMS, action="append", help="this claim; may be repeated")
    parser.add_argument("--write", action="store_true", help="with --only: renew its rows in docs/claims.md")
    arguments = parser.parse_args()
    rows: dict[str, list[str]] = {}
    for name, measure in CLAIMS.items():
        if arguments.only and name not in arguments.only:
            continue
        rows[name] = []
        with tempfile.TemporaryDirectory() as scratch:
            for row in measure(arguments.corpus, Path(scratch)):
                holds = "not measured here" if row.holds is None else "yes" if row.holds else "**false**"
                rows[name].append(f"| {row.claim} | {holds} | {row.measured} | {command(name)} |")
                print(f"{holds:<10} {row.claim}: {row.measured}", flush=True)
    if arguments.write or not arguments.only:
        write(rows)


def command(name: str) -> str:
    return f'`make claims ARGS="--only {name}"`'


def write(rows: dict[str, list[str]]) -> None:
    here = described(machine([]))
    # Those that were not measured now stay, if they were measured on this machine.
    before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    kept = before.splitlines() if here in before else []
    for name in CLAIMS:
        rows.setdefault(name, [line for line in kept if line.endswith(f"{command(name)} |")])
    lines = [line for name in CLAIMS for line in rows[name]]
    text = (
        "# Claims\n\nWhat has been claimed of this system and of the one that it continues, what was measured, and the "
        "command that measures it again.\nThose that do not hold are marked false. `make claims` measures all, in less "
        "than ten minutes, with the weights of\n`python benches/corpus/fetch.py ~/.cache/mmh-rs-corpus` (`CORPUS=DIR` "
        "names another directory), and writes this page.\n\n"
        f"{datetime.date.today().isoformat()}, {here}.\n\n"
        "| claim | holds | measured | command |\n|---|---|---|---|\n"
        + "\n".join(lines)
        + "\n\nSpeeds are ratios within one run. More on sizes and speeds beside other compressors: `make bench`; on a "
        "large file:\n[validation.md](validation.md).\n"
    )
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

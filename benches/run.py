"""Ours and others on real weights: sizes, and speeds in one process, one thread, warm buffers.

    python benches/run.py [FILE …] [--runs 5] [--mb 128] [--no-files] [--update-readme]

FILE names files of the corpus; the default is the six that stand for their dtypes. The corpus is fetched to
benches/corpus/data (1.1 GB) unless MMH_CORPUS names a directory that has it. Every round trip is checked before it is
timed and once more after it; the candidates take turns, and medians are reported. Prints Markdown and
writes it to benches/results/.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from corpus.fetch import fill  # noqa: E402
from rivals import Candidate, Weights, candidates, missing, weights_of  # noqa: E402
from tables import machine, replace_region, table  # noqa: E402

TIMED = [
    "merlin-bf16.safetensors",
    "minilm-bf16.safetensors",
    "wordllama-fp16.safetensors",
    "minilm-fp32.safetensors",
    "minilm-upcast-fp32.safetensors",
    "minilm-fp8-e4m3.safetensors",
]
DERIVED = (
    "minilm-bf16",
    "minilm-fp16",
    "minilm-fp8",
    "minilm-int8-rows",
    "minilm-sre-bf16",
    "minilm-upcast",
    "minilm-q",
)
HEADLINES = ("mmh fast", "mmh balanced", "mmh max", "ZipNN", "OpenZL Huffman", "zstd 3")


@dataclass(frozen=True)
class Result:
    """Of one candidate on one file: stored over original size, and bytes a second of the original."""

    name: str
    size: float
    compress: float
    decompress: float


def keep_pages() -> None:
    """Start again with an allocator that keeps its pages.

    We decode into a buffer of the caller's, most others into one that they allocate. glibc gives large ones back to the
    system, or does not, as the heap's history has it; ZipNN decodes twice as fast when it does not. Warm for all is
    the only fair reading of "warm buffers". Elsewhere than on glibc it is left to the system, and said so.
    """
    keep = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}
    if on_glibc() and any(name not in os.environ for name in keep):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **keep})


def on_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measure(weights: Weights, runs: int) -> list[Result]:
    """Check every round trip, then let the candidates take turns."""
    original = weights.raw.tobytes()
    count = len(original)
    blobs: dict[str, Any] = {}
    good: list[Candidate] = []
    for candidate in candidates(weights):
        try:
            blob = candidate.compress()
            same = candidate.restored(candidate.decompress(blob)) == original
        except Exception as error:  # a rival that cannot do it is left out, and said to be
            print(f"  {candidate.name}: {error!r:.200}", file=sys.stderr)
            continue
        if not same:
            raise SystemExit(f"{candidate.name} does not restore {weights.file}")
        blobs[candidate.name] = blob
        good.append(candidate)

    times: dict[str, tuple[list[float], list[float]]] = {candidate.name: ([], []) for candidate in good}
    copies = []
    target = np.zeros_like(weights.raw)
    for turn in range(runs):
        copies.append(seconds(lambda: np.copyto(target, weights.raw))[0])
        for candidate in good:
            if turn and candidate.slow:
                continue
            compressing, decompressing = times[candidate.name]
            compressing.append(seconds(candidate.compress)[0])
            decompressing.append(seconds(lambda candidate=candidate: candidate.decompress(blobs[candidate.name]))[0])  # type: ignore[misc]
        print(f"  turn {turn + 1} of {runs}", file=sys.stderr, flush=True)
    for candidate in good:
        if candidate.restored(candidate.decompress(blobs[candidate.name])) != original:
            raise SystemExit(f"{candidate.name} no longer restores {weights.file} after it was timed")
    copy = count / statistics.median(copies)
    results = [Result("memcpy", 1.0, copy, copy)]
    for candidate in good:
        compressing, decompressing = times[candidate.name]
        size = candidate.size(blobs[candidate.name]) / count
        results.append(
            Result(
                candidate.name, size, count / statistics.median(compressing), count / statistics.median(decompressing)
            )
        )
    return results


def report(weights: Weights, results: Sequence[Result]) -> str:
    """A table of one file. Speeds drift from run to run; the ratios hold."""
    by_name = {result.name: result for result in results}

    def ratio(result: Result, other: str) -> str:
        base = by_name.get(other)
        if base is None:
            return "–"
        return f"{result.compress / base.compress:.1f} / {result.decompress / base.decompress:.1f}"

    rows = [
        [
            result.name,
            f"{result.size:.4f}".lstrip("0"),
            f"{result.compress / 1e9:.2f}",
            f"{result.decompress / 1e9:.2f}",
            ratio(result, "ZipNN"),
            ratio(result, "OpenZL Huffman"),
        ]
        for result in results
    ]
    head = ["", "size", "compress GB/s", "decompress GB/s", "× ZipNN (c / d)", "× OpenZL Huffman (c / d)"]
    title = f"### {weights.file}, {weights.dtype}, {len(weights.raw) / 1e6:.0f} MB{derived(weights.file)}"
    return f"{title}\n\n{table(head, rows)}\n"


def derived(name: str) -> str:
    return " (derived: a cast of MiniLM)" if name.startswith(DERIVED) else ""


def whole_files(folder: Path) -> str:
    """Every file of the corpus through `compress_file` and back, beside zstd."""
    import zstandard

    import mmh_rs as mmh

    zstd = zstandard.ZstdCompressor(level=3)
    rows = []
    sums = [0, 0, 0]
    with tempfile.TemporaryDirectory() as temporary:
        target, back = Path(temporary) / "file.mmh", Path(temporary) / "file"
        for path in sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".part"):
            done = mmh.compress_file(path, target, force=True)
            mmh.decompress_file(target, back, force=True)
            original = path.read_bytes()
            if back.read_bytes() != original:
                raise SystemExit(f"{path.name} does not come back as it was")
            other = len(zstd.compress(original))
            sizes = (len(original), done.stored_bytes, other)
            sums = [total + size for total, size in zip(sums, sizes, strict=True)]
            most = max(done.codecs, key=lambda codec: done.codecs[codec]["raw"])
            name = path.name + (" *" if derived(path.name) else "")
            rows.append([name, f"{sizes[0] / 1e6:.1f}", *(f"{size / sizes[0]:.4f}" for size in sizes[1:]), most])
            print(f"  {path.name}", file=sys.stderr, flush=True)
    rows.append(["all", f"{sums[0] / 1e6:.1f}", f"{sums[1] / sums[0]:.4f}", f"{sums[2] / sums[0]:.4f}", ""])
    head = ["file (* derived)", "MB", "mmh balanced", "zstd 3", "mostly by"]
    return "### Whole files\n\n" + table(head, rows) + "\n"


def headline(measured: Sequence[tuple[Weights, Sequence[Result]]], where: str, date: str) -> str:
    """The short table of the README: size, compress and decompress by candidate and file."""
    rows = []
    for weights, results in measured:
        by_name = {result.name: result for result in results}
        row = [f"{weights.file.removesuffix('.safetensors')}{' *' if derived(weights.file) else ''}"]
        for name in HEADLINES:
            result = by_name.get(name)
            cell = "–" if result is None else f"{result.size:.3f}".lstrip("0")
            if result is not None:
                cell += f" · {result.compress / 1e9:.2f} · {result.decompress / 1e9:.2f}"
            row.append(cell)
        rows.append(row)
    note = (
        f"Size (of the original) · compress GB/s · decompress GB/s; one thread, in memory; {where}; {date}. "
        "Compare within a row: speeds drift from run to run. \\* derived: a cast of MiniLM."
    )
    return table(["weights", *HEADLINES], rows) + "\n\n" + note


def corpus() -> Path:
    """The directory with the real weights, filled."""
    named = os.environ.get("MMH_CORPUS")
    folder = Path(named) if named else HERE / "corpus" / "data"
    fill(folder)
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", default=TIMED, metavar="FILE", help="safetensors files of the corpus")
    parser.add_argument("--runs", type=int, default=5, help="turns of each candidate (default: 5)")
    parser.add_argument("--mb", type=int, default=128, help="at most so many MB of each file (default: 128)")
    parser.add_argument("--no-files", action="store_true", help="without the table of whole files")
    parser.add_argument("--update-readme", action="store_true", help="write the short table into README.md")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # of the rivals

    folder = corpus()
    warm = "warm buffers for all" if on_glibc() else "ours decodes into a warm buffer, others as the system allocates"
    where, date = machine(), datetime.date.today().isoformat()
    parts = [f"## {date}\n\n{where}. One thread, {warm}, medians of {options.runs} turns.\n"]
    if missing():
        parts.append(f"Not installed, and so not here: {', '.join(missing())}.\n")
    measured = []
    for file in options.files:
        print(file, file=sys.stderr, flush=True)
        weights = weights_of(folder / file, options.mb * 10**6)
        measured.append((weights, measure(weights, options.runs)))
        parts.append(report(*measured[-1]))
        print(parts[-1], flush=True)
    if not options.no_files:
        print("whole files", file=sys.stderr, flush=True)
        parts.append(whole_files(folder))
        print(parts[-1], flush=True)
    results = HERE / "results" / f"{date}.md"
    results.parent.mkdir(exist_ok=True)
    results.write_text("\n".join(parts), encoding="utf-8")
    print(f"written to {results.relative_to(HERE.parent)}", file=sys.stderr)
    if options.update_readme:
        replace_region(HERE.parent / "README.md", "bench", headline(measured, where, date))


if __name__ == "__main__":
    keep_pages()
    main()

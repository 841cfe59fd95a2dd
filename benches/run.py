"""Ours and others on real weights: `mmh bench` over the corpus, with what each level is to reach.

    python benches/run.py [FILE …] [--runs 5] [--limit 128] [--against NAMES] [--system-pages] [--no-memory]
                          [--no-files] [--update-readme]

FILE names files of the corpus; the default is the ten that stand for their dtypes. The corpus is fetched to
benches/corpus/data (1.1 GB) unless MMH_CORPUS names a directory that has it. How it is measured is `mmh_rs.bench`'s
matter. Prints Markdown, and writes it to benches/results/DATE.md with DATE.json, the document of `mmh bench --json`,
and DATE.html, the page of `mmh bench --report`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from corpus.fetch import fill  # noqa: E402
from tables import replace_region, table  # noqa: E402
from targets import report as targets_report  # noqa: E402

import mmh_rs as mmh  # noqa: E402
from mmh_rs.bench.elements import elements_of  # noqa: E402
from mmh_rs.bench.machine import described, machine  # noqa: E402
from mmh_rs.bench.measure import Measurement, Settings, keep_pages  # noqa: E402
from mmh_rs.bench.report import report as page  # noqa: E402
from mmh_rs.bench.results import FileResult, Machine  # noqa: E402
from mmh_rs.bench.rivals import MMH, RIVALS, lineup  # noqa: E402
from mmh_rs.bench.table import cells, method, notes, reference_of  # noqa: E402
from mmh_rs.cli._run import document  # noqa: E402

TIMED = [
    "merlin-bf16.safetensors",
    "minilm-bf16.safetensors",
    "wordllama-fp16.safetensors",
    "minilm-fp16.safetensors",
    "minilm-fp32.safetensors",
    "minilm-sre-fp32.safetensors",
    "minilm-upcast-fp32.safetensors",
    "minilm-fp8-e4m3.safetensors",
    "minilm-fp8-e5m2.safetensors",
    "minilm-int8-rows.safetensors",
]
# In the README: one file for each thing that there is to say.
HEADLINE_FILES = (
    "merlin-bf16",
    "minilm-bf16",
    "wordllama-fp16",
    "minilm-fp32",
    "minilm-upcast-fp32",
    "minilm-fp8-e4m3",
)
HEADLINES = ("mmh-fast", "mmh-balanced", "mmh-max", "zipnn", "openzl-huffman", "zstd-3")
DERIVED = (
    "minilm-bf16",
    "minilm-fp16",
    "minilm-fp8",
    "minilm-int8-rows",
    "minilm-sre-bf16",
    "minilm-upcast",
    "minilm-q",
)
# Not lzma: it takes a minute for what others do in a tenth of a second. `--against` has it.
AGAINST = [family.name for family in RIVALS if family.name != "lzma"]
PAGE_LIMIT = 300_000
"""Bytes of a page that is worth keeping in the repository."""


def measured(path: Path, against: str, settings: Settings, limit: int, about: Machine) -> FileResult:
    """All candidates on one file."""
    choices, missing = lineup("fast,balanced,max", against)
    measurement = Measurement(elements_of(str(path), limit), choices, missing, settings)
    last = ""

    def progress(what: str, done: float) -> None:
        nonlocal last
        step = what.split(":")[0].split(" of ")[0]
        if step != last:
            last = step
            print(f"  {what}", file=sys.stderr, flush=True)

    measurement.run(progress)
    return replace(measurement.result(about), path=path.name)


def section(result: FileResult) -> str:
    """The table of one file, in Markdown."""
    reference = reference_of(result)
    heads, lines, _ = cells(result, reference)
    title = f"### {result.path}, {result.dtype}, {result.bytes / 1e6:.0f} MB{derived(result.path)}"
    told = "\n".join(f"- {note}" for note in notes(result, reference))
    return f"{title}\n\n{table([head.replace(chr(10), ' ') for head in heads], lines)}\n\n{told}\n"


def derived(name: str) -> str:
    return " (derived: a cast of MiniLM)" if name.startswith(DERIVED) else ""


def whole_files(folder: Path) -> str:
    """Every file of the corpus through `compress_file` and back, beside zstd."""
    import zstandard

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
    return "## Whole files\n\n" + table(head, rows) + "\n"


def headline(results: Sequence[FileResult], where: str, date: str) -> str:
    """The short table of the README: size, compress and decompress by candidate and file."""
    labels = {row.name: row.label for result in results for row in result.rows}
    rows = []
    for result in results:
        name = result.path.removesuffix(".safetensors")
        if name not in HEADLINE_FILES:
            continue
        line = [f"{name}{' *' if derived(name) else ''}"]
        for candidate in HEADLINES:
            row = result.row(candidate)
            if row is None or row.ratio is None or row.compress is None or row.decompress is None:
                line.append("–")
            else:
                size = f"{row.ratio:.3f}".lstrip("0")
                line.append(f"{size} · {row.compress.gbps:.2f} · {row.decompress.gbps:.2f}")
        rows.append(line)
    note = (
        f"Size (of the original) · compress GB/s · decompress GB/s; one thread, in memory; {where}; {date}. "
        "Compare within a row: speeds drift from run to run. \\* derived: a cast of MiniLM."
    )
    return table(["weights", *(labels.get(name, name) for name in HEADLINES)], rows) + "\n\n" + note


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
    parser.add_argument("--limit", type=int, default=128, help="at most so many MB of each file (default: 128)")
    parser.add_argument("--against", help="as in mmh bench (default: all that are installed, but lzma)")
    parser.add_argument("--system-pages", action="store_true", help="memory as the system allocates it")
    parser.add_argument("--no-memory", action="store_true", help="without peak memory")
    parser.add_argument("--no-files", action="store_true", help="without the table of whole files")
    parser.add_argument("--update-readme", action="store_true", help="write the short table into README.md")
    options = parser.parse_args(arguments)

    folder = corpus()
    against = options.against or ",".join(
        family.name for family in RIVALS if family.name in AGAINST and family.installed()
    )
    absent = [family.name for family in RIVALS if not family.installed()]
    # We decode into a warm buffer, others into memory that they allocate; to be compared with, they get warm pages too.
    about = machine([MMH, *RIVALS], kept_pages=not options.system_pages and keep_pages())
    settings = Settings(options.runs, 1, not options.no_memory)
    results: list[FileResult] = []
    parts: list[str] = []
    for file in options.files:
        print(file, file=sys.stderr, flush=True)
        results.append(measured(folder / file, against, settings, options.limit * 10**6, about))
        parts.append(section(results[-1]))
        print(parts[-1], flush=True)
    where, date = described(about), results[0].date[:10]
    versions = ", ".join(f"{name} {version}" for name, version in about.versions.items() if version is not None)
    start = f"## {date}\n\n{where}. One thread. {method(results[0])}\n\nVersions: {versions}.\n"
    if absent:
        start += f"\nNot installed, and so not here: {', '.join(absent)}.\n"
    parts.insert(0, start)
    parts.append(targets_report(results))
    print(parts[-1], flush=True)
    if not options.no_files:
        print("whole files", file=sys.stderr, flush=True)
        parts.append(whole_files(folder))
        print(parts[-1], flush=True)

    stem = HERE / "results" / date
    stem.parent.mkdir(exist_ok=True)
    pages = {
        ".md": "\n".join(parts),
        ".json": document("bench", 0, [{"path": result.path, **result.fields()} for result in results], []) + "\n",
        ".html": page(results, "make bench"),
    }
    for suffix, text in pages.items():
        data = text.encode()
        target = stem.with_name(stem.name + suffix)
        if suffix == ".html" and len(data) > PAGE_LIMIT:
            print(f"{target.name} would be {len(data) / 1e6:.1f} MB: not kept", file=sys.stderr)
            continue
        target.write_bytes(data)
        print(f"written to {target.relative_to(HERE.parent)}", file=sys.stderr)
    if options.update_readme:
        replace_region(HERE.parent / "README.md", "bench", headline(results, where, date))


if __name__ == "__main__":
    main()

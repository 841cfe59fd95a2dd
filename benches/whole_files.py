"""Whole files, ours and others': the size of each file of the corpus, beside the smallest that any other makes of it.

    python benches/whole_files.py [FILE …] [--quick] [--above PERCENT] [--kept FILE] [--write]

The others are given the whole file, header and all, and what they need to know of it: the width of the elements, from
the dtype that most of its bytes have. Each of ours comes back first. `--quick` leaves out those that take minutes
(zstd 19, xz 9, bz2 9, brotli 11, blosc2 9). What the others make of a file is kept in `--kept FILE`, a JSON document,
and not asked for again while the file and their version are the same. FILE names files; the default are those of the
corpus (MMH_CORPUS, or benches/corpus/data). Prints Markdown; `--write` renews docs/sizes.md. The exit code is 1 if one
of ours is larger than the best of the others by more than PERCENT (0.1): `balanced` than the quick ones, `max` than
all.
"""

from __future__ import annotations

import argparse
import bz2
import hashlib
import json
import lzma
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from tables import table  # noqa: E402

import mmh_rs as mmh  # noqa: E402
from mmh_rs._dtypes import NUMPY_NAMES  # noqa: E402

Size = Callable[[bytes, str | None, int], int | None]


def zstd(level: int) -> Size:
    def size(data: bytes, dtype: str | None, width: int) -> int:
        import zstandard

        return len(zstandard.ZstdCompressor(level=level).compress(data))

    return size


def xz(data: bytes, dtype: str | None, width: int) -> int:
    return len(lzma.compress(data, preset=9))


def bzip2(data: bytes, dtype: str | None, width: int) -> int:
    return len(bz2.compress(data, 9))


def brotli(data: bytes, dtype: str | None, width: int) -> int:
    import brotli  # type: ignore[import-not-found, unused-ignore]

    return len(brotli.compress(data, quality=11, lgwin=24))


def blosc2(filter: str, level: int) -> Size:
    def size(data: bytes, dtype: str | None, width: int) -> int:
        import blosc2

        options: dict[str, Any] = {"filters": [blosc2.Filter[filter]], "filters_meta": [0], "typesize": width}
        return len(blosc2.compress2(data, codec=blosc2.Codec.ZSTD, clevel=level, nthreads=2, **options))

    return size


def pcodec(data: bytes, dtype: str | None, width: int) -> int | None:
    import numpy as np
    from pcodec import ChunkConfig, standalone

    kinds: dict[str | None, Any] = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32, "F64": np.float64}
    if dtype not in kinds:
        return None
    whole = len(data) // width * width
    # Elements begin where they do in the file, so that what is before them is left to the last bytes.
    return len(standalone.simple_compress(np.frombuffer(data[:whole], kinds[dtype]), ChunkConfig(compression_level=8)))


def openzl(data: bytes, dtype: str | None, width: int) -> int:
    import numpy as np
    import openzl.ext as zl

    whole = len(data) // width * width
    numbers = np.frombuffer(data[:whole], {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[width])
    compressor = zl.Compressor()
    graph = zl.graphs.Compress()(compressor)
    compressor.select_starting_graph(graph)
    total = 0
    for piece in np.array_split(numbers, max(1, len(data) >> 21)):
        context = zl.CCtx()
        context.ref_compressor(compressor)
        context.set_parameter(zl.CParam.FormatVersion, zl.MAX_FORMAT_VERSION)
        total += len(context.compress([zl.Input(zl.Type.Numeric, piece)]))
    return total


def zipnn(data: bytes, dtype: str | None, width: int) -> int | None:
    if dtype not in ("BF16", "F16", "F32", "F8_E4M3", "F8_E5M2"):
        return None
    import zipnn

    # It changes the bytes that it is given.
    return len(zipnn.ZipNN(bytearray_dtype=NUMPY_NAMES[dtype]).compress(bytes(bytearray(data))))


QUICK: dict[str, Size] = {
    "zstd 3": zstd(3),
    "blosc2 shuffle": blosc2("SHUFFLE", 3),
    "blosc2 bitshuffle": blosc2("BITSHUFFLE", 3),
    "pcodec": pcodec,
    "OpenZL": openzl,
    "ZipNN": zipnn,
}
SLOW: dict[str, Size] = {
    "zstd 19": zstd(19),
    "xz 9": xz,
    "bz2 9": bzip2,
    "brotli 11": brotli,
    "blosc2 shuffle 9": blosc2("SHUFFLE", 9),
    "blosc2 bitshuffle 9": blosc2("BITSHUFFLE", 9),
}
PACKAGES = {
    "zstd": "zstandard",
    "brotli": "brotli",
    "blosc2": "blosc2",
    "pcodec": "pcodec",
    "OpenZL": "openzl",
    "ZipNN": "zipnn",
}
LEVELS = ("fast", "balanced", "max")


PAGE = HERE.parent / "docs" / "sizes.md"
INTRODUCTION = """# Sizes of whole files

What `mmh compress` makes of each file of the corpus (`benches/corpus/fetch.py`) at three levels, as a fraction of the
file, beside the smallest that any other compressor makes of it. *Best quick* is the smallest of zstd 3, blosc2 (shuffle
and bitshuffle, zstd 3), pcodec 8, OpenZL and ZipNN; *best of all* that of those and of zstd 19, xz 9, bz2 9, brotli 11
and blosc2 with zstd 9. Others are told the width of the elements, and the dtype where they take one. Every one of ours
came back, byte for byte.

`make sizes` prints this table, and writes this page. The others take an hour the first time; what they made is kept in
`benches/corpus/sizes.json`.
"""


def main_dtype(archive: Path) -> tuple[str | None, int]:
    """The dtype of most bytes, and the width of its elements."""
    share: Counter[str] = Counter()
    with mmh.open(archive) as opened:
        for name in opened.keys():  # noqa: SIM118
            info = opened.info(name)
            share[info.dtype] += info.nbytes
    dtype = share.most_common(1)[0][0] if share else None
    width = {"16": 2, "32": 4, "64": 8}.get((dtype or "")[-2:], 1)
    return dtype, width


class Others:
    """What others make of files, with what was kept of earlier runs."""

    def __init__(self, kept: Path | None) -> None:
        self.kept = kept
        self.known: dict[str, int | None] = json.loads(kept.read_text()) if kept and kept.exists() else {}
        self.absent: set[str] = set()

    def sizes(self, rivals: dict[str, Size], data: bytes, dtype: str | None, width: int) -> dict[str, int]:
        """By name; those that are not installed, or cannot take such data, are left out."""
        found = {}
        digest = hashlib.sha256(data).hexdigest()
        for name, size in rivals.items():
            package = PACKAGES.get(name.split()[0])
            try:
                key = f"{digest} {dtype} {name} {version(package) if package else ''}".strip()
                if key not in self.known:
                    self.known[key] = size(data, dtype, width)
                    self.keep()
            except (ImportError, PackageNotFoundError):
                self.absent.add(name)
                continue
            if (known := self.known[key]) is not None:
                found[name] = known
        return found

    def keep(self) -> None:
        if self.kept:
            partial = self.kept.with_name(self.kept.name + ".part")
            partial.write_text(json.dumps(self.known, indent=0, sort_keys=True))
            partial.replace(self.kept)


def ours(path: Path, level: str, scratch: Path) -> int:
    """Its size, once it has come back."""
    target, back = scratch / "file.mmh", scratch / "file"
    stored = mmh.compress_file(path, target, level=level, force=True).stored_bytes
    mmh.decompress_file(target, back, force=True)
    if back.read_bytes() != path.read_bytes():
        raise SystemExit(f"{path.name} does not come back as it was")
    return stored


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--above", type=float, default=0.1)
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    folder = Path(os.environ.get("MMH_CORPUS", HERE / "corpus" / "data"))
    files = options.files or sorted(path for path in folder.iterdir() if path.is_file())
    rows: list[list[str]] = []
    worse: list[str] = []
    others = Others(options.kept)
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        for path in files:
            data = path.read_bytes()
            fast, balanced, largest = (ours(path, level, scratch) for level in LEVELS)
            dtype, width = main_dtype(scratch / "file.mmh")
            quick = others.sizes(QUICK, data, dtype, width)
            every = quick if options.quick else quick | others.sizes(SLOW, data, dtype, width)
            best, most = min(quick, key=lambda name: quick[name]), min(every, key=lambda name: every[name])
            shown = [f"{size / len(data):.4f}" for size in (fast, balanced, quick[best], largest, every[most])]
            rows.append([path.name, f"{len(data) / 1e6:.1f}", *shown[:3], best, *shown[3:], most])
            for level, mine, theirs in (("balanced", balanced, quick[best]), ("max", largest, every[most])):
                if mine > theirs * (1 + options.above / 100):
                    worse.append(f"- {path.name}: {level} is {100 * (mine / theirs - 1):.2f} % larger")
            print(f"  {' '.join(rows[-1])}", file=sys.stderr, flush=True)
    head = ["file", "MB", "mmh fast", "mmh balanced", "best quick", "", "mmh max", "best of all", ""]
    text = table(head, rows)
    if others.absent:
        text += f"\n\nNot installed: {', '.join(sorted(others.absent))}."
    text += "\n\n" + ("\n".join(worse) if worse else f"None of ours is larger by more than {options.above} %.")
    print(text)
    if options.write:
        PAGE.write_text(f"{INTRODUCTION}\n{text}\n", encoding="utf-8", newline="\n")
    return bool(worse)


if __name__ == "__main__":
    raise SystemExit(main())

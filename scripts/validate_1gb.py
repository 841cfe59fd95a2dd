"""The whole way with a large file: generate, compress with each level, verify, damage, repair, decompress, compare.

    make validate-1gb                   1 GB, and writes docs/validation.md
    make validate-1gb ARGS="--gb 8"     8 GB

Each step is the command that a user would type, in a process of its own, whose time and peak memory are measured. What
comes back is compared with the SHA-256 of what was generated. Needs three times the size on the disk.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benches"))

from processes import Ran, mmh  # noqa: E402
from tables import table  # noqa: E402

from mmh_rs.bench.machine import described, machine  # noqa: E402

LEVELS = ("fast", "balanced", "max")
PARITY = 5
"""Percent."""
LIMIT = 300 * 10**6
"""Bytes of memory that a command may take."""
HEADS = ["step", "seconds", "GB/s", "memory, MB", "result"]


class Steps:
    """What was done, as rows of the table."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rows: list[list[str]] = []
        self.failed: list[str] = []

    def add(self, what: str, ran: Ran, told: str, good: bool = True) -> None:
        if not good:
            self.failed.append(f"{what}: {told}")
        if ran.peak > LIMIT:
            self.failed.append(f"{what}: {ran.peak / 1e6:.0f} MB of memory")
        row = [what, f"{ran.seconds:.1f}", f"{self.size / 1e9 / ran.seconds:.2f}", f"{ran.peak / 1e6:.0f}", told]
        self.rows.append(row)
        print("  ".join(cell.ljust(width) for cell, width in zip(row, (44, 7, 5, 5, 40), strict=True)), flush=True)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damage(path: Path, share: float) -> str:
    """Overwrites one stretch, flips bits at twenty other places, and cuts off the end."""
    size = path.stat().st_size
    burst = int(size * share)
    with path.open("r+b") as file:
        file.seek(size // 3)
        file.write(bytes(burst))
        for place in range(20):
            at = size // 2 + place * (size // 4096)
            file.seek(at)
            (byte,) = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ 0x10]))
        file.truncate(size - 1000)
    return f"{burst / 1e6:.1f} MB of zeros, 20 bits flipped, 1,000 bytes cut off"


def one_level(level: str, source: Path, expected: str, steps: Steps) -> None:
    packed, restored = source.with_name("packed.mmh"), source.with_name("restored")
    # The fast one gets its parity afterwards, as files do that were compressed without.
    late = level == "fast"
    words: list[str | Path] = ["compress", source, "-o", packed, "--level", level, "--json", "-f"]
    ran = mmh(*words, *([] if late else [f"--parity={PARITY}"]))
    stored = packed.stat().st_size
    steps.add(
        f"compress --level {level}{'' if late else f' --parity={PARITY}'}", ran, f"{100 * stored / steps.size:.2f} %"
    )
    if late:
        ran = mmh("protect", packed, f"--parity={PARITY}", "--json")
        steps.add(f"protect --parity={PARITY}", ran, f"{100 * packed.stat().st_size / steps.size:.2f} %")
    sound = sha256(packed)
    steps.add("verify", mmh("verify", packed, "--json"), "good")
    told = damage(packed, 0.02)
    ran = mmh("verify", packed, "--json", codes=(0, 1, 2, 3))
    steps.add("verify, damaged", ran, f"exit code {ran.code}: {told}", ran.code == 1)
    ran = mmh("repair", packed, "--json", codes=(0, 1, 2, 3, 4))
    mended = sha256(packed) == sound
    steps.add(
        "repair", ran, "the very bytes that were there" if mended else f"NOT MENDED, exit code {ran.code}", mended
    )
    ran = mmh("decompress", packed, "-o", restored, "--json", "-f")
    equal = sha256(restored) == expected
    steps.add("decompress", ran, "equal" if equal else "NOT EQUAL", equal)
    restored.unlink()
    packed.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=1)
    parser.add_argument("--like", default="llama")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--directory", type=Path, help="where to work; three times the size has to fit")
    parser.add_argument("--note", default="", help="what else is to be said of this run")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "validation.md")
    arguments = parser.parse_args()
    size = round(arguments.gb * 10**9)
    where = arguments.directory or Path(tempfile.gettempdir())
    if shutil.disk_usage(where).free < 3 * size:
        raise SystemExit(f"{where} has no room for {3 * size / 1e9:.0f} GB (name another place with --directory)")
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="mmh-validate-") as scratch:
        source = Path(scratch) / "model.safetensors"
        words = ["--size", str(size), "--like", arguments.like, "--seed", str(arguments.seed)]
        ran = mmh("generate", source, *words, "--json")
        steps = Steps(source.stat().st_size)
        expected = sha256(source)
        steps.add(f"generate --like {arguments.like} --seed {arguments.seed}", ran, f"SHA-256 {expected[:16]}…")
        for level in LEVELS:
            one_level(level, source, expected, steps)
    verdict = "all equal" if not steps.failed else "failed: " + "; ".join(steps.failed)
    print(verdict)
    if arguments.output.name != "-":
        write(arguments.output, arguments.gb, steps, verdict, arguments.note)
    return 1 if steps.failed else 0


def write(path: Path, gb: float, steps: Steps, verdict: str, note: str) -> None:
    """Replaces the section of this size, and leaves those of others."""
    today = datetime.date.today().isoformat()
    name = f"{gb:g} GB"
    command = "make validate-1gb" + ("" if gb == 1 else f' ARGS="--gb {gb:g}"')
    told = f" {note}" if note else ""
    peak = max(int(row[3]) for row in steps.rows)
    section = (
        f"## {name}\n\n`{command}`, {today}, {described(machine([]))}, {os.cpu_count()} threads.{told}\n\n"
        f"{table(HEADS, steps.rows, left=1)}\n\n**{verdict}**, and no command took more than {peak} MB of memory.\n"
    )
    head = (
        "# Validation\n\nA file is generated, compressed with each level, verified, damaged, repaired, decompressed "
        "and compared. Each\nrow is a command as a user would type it; seconds include the start of Python. GB/s are "
        "of "
        "the original's bytes.\nWritten by `scripts/validate_1gb.py`.\n"
    )
    sections: dict[str, str] = {}
    if path.exists():
        for part in path.read_text(encoding="utf-8").split("\n## ")[1:]:
            sections[part.partition("\n")[0]] = "## " + part.strip() + "\n"
    sections[name] = section
    order = sorted(sections, key=lambda title: float(title.split()[0]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *(sections[title] for title in order)]), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    raise SystemExit(main())

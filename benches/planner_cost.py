"""What planning takes of compressing: instructions in `plan`, of all for the first bytes of a file.

    python benches/planner_cost.py FILE[:DTYPE] … [--level 5] [--megabytes 8]

With a dtype (BF16, Q4_1, …) the bytes are elements of it; without, only what a reader finds in so much of the file is
known. Counted by valgrind's callgrind (`apt install valgrind`), which knows AVX2 and no AVX-512: encoders take more
instructions there than on a processor with AVX-512. Reading the file and starting are left out. Of what the plan finds
out, the split of the elements is told apart: with `--codec tensor`, without any plan, the encoder would look for it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHOLE = "mmh_core::api::compress::compress_bytes"
PLANS = ("mmh_core::plan::choose_among", "mmh_core::plan::prepare_given")
SPLIT = "mmh_core::plan::Sample::find_split"


def built() -> Path:
    subprocess.run(
        ["cargo", "build", "--locked", "--profile", "bench", "-p", "mmh-core", "--example", "compress_once"],
        cwd=ROOT,
        check=True,
    )
    return ROOT / "target" / "release" / "examples" / "compress_once"


def counted(
    binary: Path, file: str, dtype: str, level: int, megabytes: int, within: tuple[str, ...] = ()
) -> dict[str, int]:
    """Instructions by function, those of the functions that it calls included; of all, or of what a function does."""
    with tempfile.TemporaryDirectory() as directory:
        out = f"{directory}/callgrind.out"
        run = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={out}",
        ]
        run += [f"--toggle-collect={function}*" for function in within]
        run += [str(binary), file, str(level)]
        subprocess.run([*run, str(megabytes), *([dtype] if dtype else [])], check=True, capture_output=True)
        listing = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", out]
        text = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
    found: dict[str, int] = {}
    for line in text.splitlines():
        match = re.match(r"\s*([\d,]+) .*?:(mmh_core::\S+)", line)
        if match:
            found.setdefault(match[2].split("'")[0], int(match[1].replace(",", "")))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE[:DTYPE]")
    parser.add_argument("--level", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=8)
    options = parser.parse_args()
    binary = built()
    for named in options.files:
        file, _, dtype = named.partition(":")
        whole = counted(binary, file, dtype, options.level, options.megabytes)[WHOLE]
        # Encoders look for splits as well, of what they make of the elements: the plan's are counted by themselves.
        found = counted(binary, file, dtype, options.level, options.megabytes, within=PLANS)
        plan, split = sum(found.get(name, 0) for name in PLANS), found.get(SPLIT, 0)
        bids = {name: count for name, count in found.items() if "::bid" in name or "sniff" in name or "analyze" in name}
        print(
            f"{Path(file).name} {dtype}: {100 * plan / whole:.2f} % of {whole / 1e6:,.0f} million instructions, "
            f"{100 * (plan - split) / whole:.2f} % without the split"
        )
        for name, count in sorted(bids.items(), key=lambda item: -item[1])[:6]:
            print(f"  {100 * count / whole:5.2f} %  {name}")


if __name__ == "__main__":
    main()

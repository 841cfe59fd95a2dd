"""Where another codec would have been smaller than the one that the plan chose.

    python benches/plan_choices.py [--level LEVEL] [--size BYTES]… [--above PERCENT]

Each kind of `tests/plan_kinds.py`, made in so many bytes, is compressed by the plan and by each codec.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from plan_kinds import KINDS, loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--level", default="balanced")
    parser.add_argument("--size", type=int, action="append", help="bytes of each kind (1000 to 1 MiB)")
    parser.add_argument("--above", type=float, default=1.0, help="per cent by which the choice is larger")
    options = parser.parse_args()
    for size in options.size or [1000, 6000, 60_000, 1 << 18, 1 << 20]:
        for kind in KINDS:
            more, chosen, best = loss(kind, kind.data(size), level=options.level)
            if 100 * more > options.above:
                print(f"{size:8}  {kind.name:28} {chosen:22} {best:14} {100 * more:7.1f} %")


if __name__ == "__main__":
    main()

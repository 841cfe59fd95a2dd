"""Damages files at random, thousands of times, and looks at what becomes of them.

    python scripts/damages.py [FILE…] [--count 10000] [--seed 0] [--parity 5] [--megabytes 1]

Each FILE (weights of its own making if there is none) is compressed, once with parity and once without; of large ones
the first megabytes. Each damage is one of: flipped bits, a burst of noise, zeroed pages, a truncation, bytes put in,
bytes taken out. What has to hold: no damage goes unseen; damage within the promise of the parity is mended to the very
bytes; nothing else than the right bytes or an error ever comes out, and no call takes longer than ten seconds. Ends
with 1 if any of it does not.
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
import tempfile
import time
from pathlib import Path

import mmh_rs as mmh

LONGEST = 10.0
"""Seconds that a call may take."""


def own_weights() -> bytes:
    """A safetensors file with a megabyte of bell-shaped bf16, in layers."""
    import json

    dice = random.Random(1)
    layers = {}
    data = bytearray()
    for number in range(8):
        piece = bytearray()
        for _ in range(32_768):
            value = abs(int(dice.gauss(0, 900))) + 15_000
            piece += (min(value, 32_767) | dice.getrandbits(1) << 15).to_bytes(2, "little")
        layers[f"layer.{number}"] = {
            "dtype": "BF16",
            "shape": [128, 256],
            "data_offsets": [len(data), len(data) + 65_536],
        }
        data += piece
    head = json.dumps(layers).encode()
    return len(head).to_bytes(8, "little") + head + bytes(data)


def damaged(whole: bytes, dice: random.Random) -> tuple[str, bytes]:
    """A kind of damage, and what is left."""
    kind = dice.choice(["bits", "burst", "pages", "truncated", "inserted", "removed"])
    data = bytearray(whole)
    # Mostly small, sometimes a tenth of the file.
    most = len(data) // 10 if dice.random() < 0.1 else len(data) // 200 + 1
    length = dice.randint(1, max(1, most))
    at = dice.randrange(len(data))
    if kind == "bits":
        for _ in range(dice.randint(1, 20)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif kind == "burst":
        data[at : at + length] = dice.randbytes(len(data[at : at + length]))
    elif kind == "pages":
        at -= at % 4096
        length += -length % 4096
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif kind == "truncated":
        del data[len(data) - min(length, len(data) - 1) :]
    elif kind == "inserted":
        data[at:at] = dice.randbytes(min(length, 60_000))
    else:
        del data[at : at + length]
    return kind, bytes(data)


class Wrong(Exception):
    """What must not be."""


def attempt(path: Path, source: bytes, whole: bytes, left: bytes) -> str:
    """What becomes of a damaged file: "same" bytes after all, "found", or "mended"."""
    started = time.monotonic()
    path.write_bytes(left)
    try:
        if mmh.decompress(left) != source:
            raise Wrong("wrong bytes came out")
        readable = True
    except mmh.MmhError:
        readable = False
    seen = True
    try:
        with mmh.open(path) as archive:
            seen = not archive.verify()
    except mmh.MmhError:
        pass
    try:
        found = mmh.examine(path)
    except mmh.CorruptionError:
        found = None
    protected = found is not None
    if readable and not seen and not protected:
        return "same"
    if not protected:
        if not seen:
            raise Wrong("damage went unseen")
        return "found"
    assert found is not None
    if found.ok:
        if left != whole:
            raise Wrong("a damaged file is called sound")
        return "same"
    try:
        mmh.repair(path)
    except mmh.CorruptionError:
        if found.mendable:
            raise Wrong("what is called mendable was not mended") from None
        if path.read_bytes() != left:
            raise Wrong("what could not be mended was written to") from None
        return "beyond"
    finally:
        if time.monotonic() - started > LONGEST:
            raise Wrong(f"it took {time.monotonic() - started:.0f} seconds")
    if path.read_bytes() != whole:
        raise Wrong("it was mended to other bytes")
    return "mended"


def within(whole: bytes, left: bytes, kind: str, promise: mmh.Examination) -> bool:
    """Whether the parity promises to mend it: as far as shards can be counted."""
    if kind not in ("bits", "burst", "pages"):
        return False
    shard, body = promise.shard_bytes, promise.body_bytes
    hit = {at // shard for at in range(body) if left[at] != whole[at]}
    groups = collections.Counter(number % promise.groups for number in hit)
    behind = sum(1 for at in range(body, len(whole)) if left[at] != whole[at])
    return behind == 0 and max(groups.values(), default=0) <= promise.recovery_shards


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parity", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=1)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    sources = [(path.name, path.read_bytes()[: int(options.megabytes * 1e6)]) for path in options.files]
    sources = sources or [("weights", own_weights())]
    outcomes: collections.Counter[tuple[str, str, str]] = collections.Counter()
    promised = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        cases = []
        for number, (name, source) in enumerate(sources):
            raw = Path(folder, f"source{number}")
            raw.write_bytes(source)
            for parity in (None, options.parity):
                target = Path(folder, f"{number}-{parity}.mmh")
                mmh.compress_file(raw, target, parity=parity)
                cases.append((name, source, target.read_bytes(), mmh.examine(target)))
        path = Path(folder, "damaged.mmh")
        for number in range(options.count):
            name, source, whole, promise = cases[number % len(cases)]
            kind, left = damaged(whole, dice)
            if left == whole:
                left = whole[:-1]
                kind = "truncated"
            try:
                outcome = attempt(path, source, whole, left)
                if promise is not None and within(whole, left, kind, promise):
                    promised += 1
                    if outcome != "mended":
                        raise Wrong(f"damage within the promise: {outcome}")
            except Wrong as error:
                wrong += 1
                outcome = "WRONG"
                print(f"{name}, damage {number} of seed {options.seed}, {kind}: {error}", file=sys.stderr)
            outcomes["with parity" if promise else "without", kind, outcome] += 1
    kinds = ["bits", "burst", "pages", "truncated", "inserted", "removed"]
    columns = ["found", "mended", "beyond", "same", "WRONG"]
    print(f"{options.count} damages, seed {options.seed}, {len(sources)} files, parity {options.parity} %")
    print(f"{'':24}" + "".join(f"{column:>10}" for column in columns))
    for parity in ("without", "with parity"):
        for kind in kinds:
            counts = [outcomes[parity, kind, column] for column in columns]
            print(f"{parity + ', ' + kind:24}" + "".join(f"{count:>10}" for count in counts))
    print(f"within the promise: {promised}, all of them mended" if not wrong else f"{wrong} are WRONG")
    print("found: an error, nothing to mend with; beyond: an error, more is lost than the parity restores")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Fills fuzz/corpus: vectors for the targets that take files, their payloads for those that take payloads, the small
files of tests/data for the readers."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
HEADER, HEAD, FRAME = 16, 24, b"FR"


def frames(data: bytes) -> list[tuple[int, int, bytes]]:
    """Codec, raw and payload of each frame, as far as they look like frames."""
    at, found = HEADER, []
    if data[at : at + 2] == b"BS":
        at += 48 + int.from_bytes(data[at + 2 : at + 4], "little")
    while data[at : at + 2] == FRAME and at + HEAD <= len(data):
        codec, _, stored, raw = struct.unpack_from("<BBIQ", data, at + 2)
        found.append((codec, raw, data[at + HEAD : at + HEAD + stored]))
        at += HEAD + stored
    return found


def put(target: str, name: str, data: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main() -> None:
    for path in sorted((ROOT / "spec" / "vectors").glob("*/*.mmh")):
        data = path.read_bytes()
        for target in ("decode_never_panics", "decode_never_allocates_past_the_limit", "parity_never_panics"):
            put(target, path.stem, data)
        for number, (codec, raw, payload) in enumerate(frames(data)[:2]):
            # A target adds one to what is left of `raw`.
            size = struct.pack("<I", max(raw - 1, 0) % (1 << 18))
            name = f"{path.stem}-{number}"
            put("decode_never_writes_outside", name, bytes([codec]) + size + b"\0" + payload)
            put("simd_equals_scalar", name, bytes([codec, 4]) + size + payload)
    for path in (ROOT / "tests" / "data").iterdir():
        if path.suffix in (".pt", ".h5", ".gguf", ".onnx", ".tflite"):
            put("sources_never_panic", path.name, path.read_bytes())
    count = sum(1 for path in CORPUS.rglob("*") if path.is_file())
    print(f"{count} files in {CORPUS.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()

"""Files of a few bytes that claim, or rightly stand for, very much: refused at once and without memory, or restored."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

import mmh_builder as mb
import mmh_rs as mmh
from support import Command

MILLISECONDS = 50
BYTES = 50 << 20

MEASURE = """
import json, sys, time
import mmh_rs as mmh

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

path, base = sys.argv[1], sys.argv[2] or None
data = open(path, "rb").read()

def opened(source):
    with mmh.open(source, base=base) as archive:
        return archive.verify(threads=2)

calls = {
    "open and verify": lambda: opened(path),
    "open bytes and verify": lambda: opened(data),
    "decompress": lambda: mmh.decompress(data),
    "decompress into": lambda: mmh.decompress(data, out=bytearray(100)),
    "decompress_file": lambda: mmh.decompress_file(path, path + ".out", base=base),
    "diff": lambda: mmh.diff(path, path),
}
for call in calls.values():  # what is imported on first use
    try:
        call()
    except Exception:
        pass
before, found = peak(), {}
for name, call in calls.items():
    best = 1e9
    for _ in range(3):
        started = time.perf_counter()
        try:
            kind = "good" if call() else "damaged"
        except Exception as error:
            kind = type(error).__name__
        best = min(best, time.perf_counter() - started)
    found[name] = (kind, 1000 * best)
print(json.dumps({"calls": found, "grown": peak() - before, "peak": peak()}))
"""


def run_of(raw: int, hashes: bool = True) -> bytes:
    frame = mb.Frame(mb.PATTERN251, b"\0", raw, b"")
    return mb.build([frame], source_len=raw, hashes=hashes)


def claims_many_frames() -> bytes:
    return mb.build([mb.store(b"abcd")], frame_count=2**40)


def nested_references() -> bytes:
    frames = [mb.store(b"abcd")]
    for depth in range(60):
        frames.append(mb.Frame(mb.COPY, mb.u64(0), 4 << depth, b"abcd" * (1 << min(depth, 4))))
    length = sum(frame.raw for frame in frames)
    return mb.build(frames, source_len=length, source_blake3=bytes(32))


def overlapping_frames() -> bytes:
    table = [(mb.STORE, 4, 4), (mb.STORE, 4, 2)]
    return mb.build([mb.store(b"abcd"), mb.store(b"efgh")], frame_table=table, source_len=8)


def many_tiny_copies() -> bytes:
    """Each of a byte out of a block of 16 MiB, which would be decoded for it."""
    zeros = bytes(1 << 24)
    block = mb.zstd(zstandard.ZstdCompressor(level=1).compress(zeros), zeros)
    return mb.build([block, *[mb.copy(5, 1)] * 3000], hashes=False)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a run of 2^60 bytes": lambda: run_of(2**60),
    "a run of 2^60 bytes without a hash": lambda: run_of(2**60, hashes=False),
    "a run of 2^63 bytes": lambda: run_of(2**63),
    "2^40 frames": claims_many_frames,
    "2^64 - 1 tensors": lambda: mb.build([mb.store(b"abcd")], tensor_count=2**64 - 1),
    "an index of 2^60 bytes": lambda: mb.build([mb.store(b"abcd")], index_size=2**60),
    "nested references": nested_references,
    "overlapping frames": overlapping_frames,
    "a tensor of 2^63 rows": lambda: mb.build([mb.store(b"abcd")], [mb.Tensor("t", "U8", [2**63] * 64)]),
}


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory by /proc")
@pytest.mark.parametrize("name", HOSTILE)
def test_refused_at_once(name: str, tmp_path: Path) -> None:
    refused(HOSTILE[name](), tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory by /proc")
def test_a_cyclic_base_is_refused_at_once(tmp_path: Path) -> None:
    """Two files that are each other's base, and one that is its own."""
    block = bytes(range(256)) * 8
    frame = mb.delta(mb.varint(0) + b"\0", block)
    other = tmp_path / "other.mmh"
    other.write_bytes(mb.build([frame], record=mb.base_record(block, "one")))
    one = mb.build([frame], record=mb.base_record(block, "other"))
    refused(one, tmp_path, str(other))
    refused(one, tmp_path, str(tmp_path / "file.mmh"))


def refused(data: bytes, directory: Path, base: str = "") -> None:
    path = directory / "file.mmh"
    path.write_bytes(data)
    found = measured(path, base)
    for call, (kind, milliseconds) in found["calls"].items():
        if base and call == "diff":
            continue  # which takes no base, and decodes nothing where the hashes are the same
        assert kind in ("CorruptionError", "LimitError", "ValueError"), (call, kind)
        assert milliseconds < MILLISECONDS, (call, milliseconds)
    assert found["grown"] < BYTES
    assert not path.with_name("file.mmh.out").exists()


def measured(path: Path, base: str = "") -> dict:
    command = [sys.executable, "-c", MEASURE, str(path), base]
    done = subprocess.run(command, capture_output=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory by /proc")
def test_copies_cost_what_they_restore(tmp_path: Path) -> None:
    path = tmp_path / "copies.mmh"
    path.write_bytes(many_tiny_copies())
    calls = measured(path)["calls"]
    assert calls["open and verify"][0] == "damaged"
    # One block is decoded, not 3000 times.
    assert calls["decompress"][0] == "CorruptionError"
    assert calls["decompress"][1] < 1000


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory by /proc")
@pytest.mark.parametrize("sound", [True, False])
def test_nested_nodes_are_bounded(sound: bool, tmp_path: Path) -> None:
    """Records whose values are words: what was some 60 times the block once."""
    size = 1 << 21
    fields = [mb.Field(1, [mb.Part(0, 1, 2, shift, 1)]) for shift in (0, 2, 4, 6)]
    bits = 16 if sound else 4
    zeros = zstandard.ZstdCompressor().compress(bytes(8 * size // bits))
    words = b"\2" + mb.varint(bits) + b"\0\1\0" + bytes((bits + 7) // 8) + mb.leaf(b"", mb.ZSTD, zeros)
    records = replace(mb.records_parts(b"\0", 1, fields), values=[words] * 4).to_bytes()
    path = tmp_path / "nested.mmh"
    path.write_bytes(mb.build([mb.hierarchical_frame(records, bytes(size))], hashes=False))
    found = measured(path)
    assert found["calls"]["open and verify"][0] == ("good" if sound else "damaged")
    # A few results, and 8 times the block below them.
    assert found["grown"] < 24 * size


def test_huge_runs_are_restored(tmp_path: Path) -> None:
    """What the limits must not refuse: a gigabyte in 536 bytes, and 8 GB of a sparse file."""
    pattern = tmp_path / "pattern.mmh"
    period = bytes(range(251))
    frame = mb.Frame(mb.PATTERN251, period, 1 << 30, b"")
    pattern.write_bytes(mb.build([frame], source_len=1 << 30, hashes=False))
    assert pattern.stat().st_size <= 536
    with mmh.open(pattern) as archive:
        assert archive.verify()
        assert archive.read((1 << 30) - 300, 300) == (period * 10)[(1 << 30) % 251 - 300 + 251 * 2 :][:300]
    zeros = tmp_path / "zeros.mmh"
    zeros.write_bytes(run_of(8 * 10**9, hashes=False))
    with mmh.open(zeros) as archive:
        assert archive.verify()
        assert archive.read(8 * 10**9 - 5, 5) == bytes(5)


def test_limits_are_adjustable(tmp_path: Path) -> None:
    blob = mmh.compress(bytes(5000))
    assert mmh.decompress(blob, limits=mmh.Limits(max_bytes=5000)) == bytes(5000)
    for call in (
        lambda limits: mmh.decompress(blob, limits=limits),
        lambda limits: mmh.open(blob, limits=limits),
    ):
        with pytest.raises(mmh.LimitError, match=r"stand for 5000, at most 4999 are restored.*--max-size, limits="):
            call(mmh.Limits(max_bytes=4999))
        with pytest.raises(mmh.LimitError, match=r"bytes of the index, at most 10 are read.*max_index"):
            call(mmh.Limits(max_index=10))
    with pytest.raises(mmh.LimitError, match=r"1 tensors, at most 0 are read.*max_tensors"):
        mmh.open(mmh.compress(bytes(5000), dtype="U8"), limits=mmh.Limits(max_tensors=0))
    path = tmp_path / "file.mmh"
    path.write_bytes(blob)
    with pytest.raises(mmh.LimitError):
        mmh.decompress_file(path, limits=mmh.Limits(max_bytes=1))
    with pytest.raises(mmh.LimitError):
        mmh.diff(path, path, limits=mmh.Limits(max_bytes=1))
    huge = mmh.open(run_of(2**60), limits=mmh.Limits(max_bytes=2**61))
    assert huge.read(2**59, 4) == bytes(4)


@pytest.mark.parametrize("wrong", [{"max_bytes": -1}, {"max_index": -1}, {"max_tensors": -1}])
def test_limits_are_no_less_than_nothing(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        mmh.Limits(**wrong)


def test_limits_are_numbers() -> None:
    with pytest.raises(TypeError, match="max_bytes must be a number"):
        mmh.Limits(max_bytes="1G")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"limits must be mmh_rs\.Limits"):
        mmh.decompress(mmh.compress(b"abc"), limits=5)  # type: ignore[call-overload]


def test_the_command_line_has_them(run: Command, tmp_path: Path) -> None:
    (tmp_path / "huge.mmh").write_bytes(run_of(2**60, hashes=False))
    for words in (["verify", "huge.mmh"], ["decompress", "huge.mmh", "-o", "out"], ["diff", "huge.mmh", "huge.mmh"]):
        done = run(*words)
        assert done.returncode == 3, words
        assert b"1152921504606846976, at most 68719476736 are restored" in done.stderr
    # What it says about itself can be seen.
    assert run("list", "huge.mmh").returncode == 0
    assert run("info", "huge.mmh").returncode == 0
    (tmp_path / "five.mmh").write_bytes(mmh.compress(bytes(5000)))
    assert run("decompress", "five.mmh", "--max-size", "4K").returncode == 3
    assert run("decompress", "five.mmh", "--max-size", "5K").returncode == 0
    assert run("verify", "five.mmh", "--max-size", "none").returncode == 0
    assert run("verify", "five.mmh", "--max-size", "4 bytes").returncode == 64
    assert run("decompress", "-", "-o", "there", "--max-size", "4K", input=mmh.compress(bytes(5000))).returncode == 3
    assert not (tmp_path / "there").exists()

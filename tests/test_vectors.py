"""The vectors beside the specification, read by the engine and by the decoder. They are never changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mmh_rs as mmh
from verdicts import SPEC, by_engine, by_spec

VALID = sorted((SPEC / "vectors" / "valid").glob("*.mmh"))
INVALID = sorted((SPEC / "vectors" / "invalid").glob("*.mmh"))
EXPECTED: dict[str, str] = json.loads((SPEC / "vectors" / "invalid" / "EXPECTED.json").read_text())


def base_of(path: Path) -> Path | None:
    """What a vector was compressed against."""
    base = path.with_name(f"{path.stem}.base.bin")
    return base if base.exists() else None


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", VALID, ids=name)
def test_valid(path: Path) -> None:
    source = path.with_name(f"{path.stem}.source.bin").read_bytes()
    data, base = path.read_bytes(), base_of(path)
    assert by_spec(data, base and base.read_bytes()) == source
    assert by_engine(data, base=base) == source
    assert by_engine(data, threads=2, base=base) == source
    if base is not None:
        expected = source if "not-used" in path.stem else "no-base"
        assert by_spec(data) == by_engine(data) == expected
        return
    out = bytearray(b"\xaa") * (len(source) + 8)
    assert mmh.decompress(data, out=out) == len(source)
    assert out == source + b"\xaa" * 8, "bytes after the end were touched"


@pytest.mark.parametrize("path", INVALID, ids=name)
def test_invalid(path: Path) -> None:
    data, base = path.read_bytes(), base_of(path)
    assert by_spec(data, base and base.read_bytes()) == EXPECTED[path.stem]
    assert by_engine(data, base=base) == EXPECTED[path.stem]


def test_all_are_there() -> None:
    assert {path.stem for path in INVALID} == set(EXPECTED)
    assert len(VALID) >= 20

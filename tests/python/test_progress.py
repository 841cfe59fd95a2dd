"""What takes long tells how far it is, and can be stopped meanwhile."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import mmh_rs as mmh
from mmh_rs import _core

Calls = list[tuple[int, int | None, int]]


class Told:
    """A progress function."""

    def __init__(self) -> None:
        self.calls: Calls = []

    def __call__(self, done: int, total: int | None, stored: int) -> None:
        self.calls.append((done, total, stored))

    def of(self, total: int) -> list[int]:
        """What was done, of so many bytes."""
        found = [done for done, all_bytes, _ in self.calls if all_bytes == total]
        assert all(before <= after <= total for before, after in itertools.pairwise([0, *found]))
        return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("progress") / "model.safetensors"
    mmh.generate(path, size=40_000_000, like="gpt2", dtype="F32")
    return path


def test_estimate(model: Path) -> None:
    told = Told()
    found = mmh.estimate(model, levels=["max"], threads=1, progress=told)
    assert not found.exact
    # At the fastest level and at the one asked for; before, as many as there are at the fastest one.
    last = told.calls[-1][1]
    assert last is not None and 2 * 24e6 < last <= 2 * 40e6
    assert len(set(told.of(last))) > 1


def test_estimate_of_a_directory(model: Path) -> None:
    (model.parent / "small").write_bytes(b"text " * 100)
    told = Told()
    found = mmh.estimate(model.parent, levels=["fast"], progress=told)
    assert told.of(found.source_bytes)[-1] == found.source_bytes and len(told.calls) == 2


def test_why(model: Path) -> None:
    told = Told()
    # Of a source each first block is encoded; of an archive all is over too soon to be told.
    _core.explain_file(str(model), 9, None, told)
    # Bytes of the first block of each part.
    total = told.calls[-1][1]
    assert total is not None and total <= model.stat().st_size and told.of(total)


@pytest.mark.parametrize("work", ["compress", "decompress", "verify"])
def test_the_base_is_hashed(work: str, tmp_path: Path) -> None:
    base, tuned, target = (tmp_path / name for name in ("base", "tuned", "tuned.mmh"))
    length, noise = 600_000_000, os.urandom(300_000)
    with base.open("wb") as file:
        file.write(noise)
        # No room is taken by the rest.
        file.truncate(length)
    tuned.write_bytes(noise[:-1] + b"another end")
    told = Told()
    mmh.compress_file(tuned, target, base=base, threads=1, progress=told if work == "compress" else None)

    def verify(path: Path) -> None:
        with mmh.open(path, base=base) as archive:
            assert archive.verify(1, told).ok

    others: dict[str, Callable[[Path], object]] = {
        "decompress": lambda path: mmh.decompress_file(path, tmp_path / "back", base=base, threads=1, progress=told),
        "verify": verify,
    }
    if work in others:
        others[work](target)
    assert len(told.of(length)) > 1


def test_protect_and_compress_with_parity(model: Path, tmp_path: Path) -> None:
    target, told = tmp_path / "m.mmh", Told()
    report = mmh.compress_file(model, target, parity=20, progress=told)
    assert told.of(report.source_bytes)
    body = told.calls[-1][1]
    assert body is not None and body < report.stored_bytes and told.of(body)[-1] > 0.99 * body
    told = Told()
    mmh.protect(target, percent=10, progress=told)
    assert told.of(report.source_bytes)[-1] == report.source_bytes  # verified first
    assert told.of(body)[-1] > 0.99 * body


def test_what_is_raised_stops_it(model: Path) -> None:
    class Enough(Exception):
        pass

    def stop(done: int, total: int | None, stored: int) -> None:
        raise Enough

    with pytest.raises(Enough):
        mmh.estimate(model, threads=1, progress=stop)

"""Tensors that are the same weights as another one of their file: casts, averages, later steps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import mmh_rs as mmh
from support import Command, damage, plain_safetensors
from verdicts import by_engine, by_spec

DTYPES: dict[str, Any] = {
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
}
Tensors = dict[str, tuple[str, list[int], bytes]]
RELATIVES = 4
"""The flag in byte 10 of a file that may have such blocks."""


def matrix(seed: int, rows: int = 300, columns: int = 1000) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.02, (rows, columns)).astype(np.float32)


def cast(values: np.ndarray, dtype: str) -> tuple[str, list[int], bytes]:
    return dtype, [*values.shape], values.astype(DTYPES[dtype]).tobytes()


def masters_and_casts() -> Tensors:
    """As a checkpoint of mixed precision: casts first, then what they were cast from, and an average of that."""
    random = np.random.default_rng(7)
    tensors: Tensors = {}
    for layer in range(2):
        tensors[f"model.layers.{layer}.weight"] = cast(matrix(layer), "BF16")
    for layer in range(2):
        tensors[f"optimizer.{layer}.master"] = cast(matrix(layer), "F32")
        average = matrix(layer) * (1 + random.normal(0, 1e-4, matrix(layer).shape))
        tensors[f"ema.{layer}"] = cast(average.astype(np.float32), "F32")
    tensors["model.norm"] = cast(np.ones(1000, np.float32), "F32")
    return tensors


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(plain_safetensors(masters_and_casts()))
    return path


def codecs_of(blob: bytes) -> dict[str, set[str]]:
    """Which codecs each tensor has frames of."""
    with mmh.open(blob) as archive:
        return {info.name: set(info.codecs) for info in archive.infos()}


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "F32"])
@pytest.mark.parametrize("level", [1, 2, 5, 9])
def test_a_cast_costs_next_to_nothing_wherever_it_stands(dtype: str, level: int) -> None:
    tensors = {"cast": cast(matrix(1), dtype), "master": cast(matrix(1), "F32")}
    alone = len(mmh.compress(plain_safetensors({"master": tensors["master"]}), level=level))
    for order in (tensors, dict(reversed(tensors.items()))):
        data = plain_safetensors(order)
        blob = mmh.compress(data, level=level)
        assert len(blob) < alone + 1000
        assert mmh.decompress(blob) == data


def test_casts_that_were_cut_off_and_casts_of_casts() -> None:
    single = matrix(2)
    brain = single.astype(ml_dtypes.bfloat16)
    tensors = {
        "master": cast(single, "F32"),
        "cut": ("BF16", [300, 1000], single.view("<u2")[..., 1::2].tobytes()),
        # Not what a cast of the master would be: rounded twice.
        "eight": cast(brain.astype(np.float32), "F8_E4M3"),
    }
    data = plain_safetensors(tensors)
    blob = mmh.compress(data)
    assert mmh.decompress(blob) == data
    assert len(blob) < len(mmh.compress(plain_safetensors({"master": tensors["master"]}))) + 25_000
    halves = plain_safetensors({"a": cast(brain.astype(np.float32), "BF16"), "b": cast(brain, "F16")})
    blob = mmh.compress(halves)
    assert mmh.decompress(blob) == halves
    assert len(blob) < 0.35 * len(halves)


def test_what_a_checkpoint_is_stored_as(source: Path) -> None:
    data = source.read_bytes()
    assert "relative" in mmh.compress_file(source).codecs
    blob = Path(f"{source}.mmh").read_bytes()
    of = codecs_of(blob)
    for layer in range(2):
        assert of[f"model.layers.{layer}.weight"] == {"relative"}
        assert of[f"optimizer.{layer}.master"] == {"tensor"}
        assert of[f"ema.{layer}"] == {"relative"}
    assert "relative" not in of["model.norm"]
    # The casts, a fifth, for nothing; the averages for less than two thirds of what they are alone.
    apart = sum(len(mmh.compress(tensor[2], tensor[0])) for tensor in masters_and_casts().values())
    assert len(blob) < 0.65 * apart
    assert by_engine(blob) == data
    assert mmh.compress(data, threads=1) == mmh.compress(data, threads=3)
    with mmh.open(blob) as archive:
        assert archive.verify().ok


def test_the_decoder_of_the_specification_agrees(tmp_path: Path) -> None:
    tensors = {f"t.{dtype}": cast(matrix(3, 50, 100), dtype) for dtype in DTYPES}
    data = plain_safetensors(tensors)
    blob = mmh.compress(data)
    assert "relative" in set().union(*codecs_of(blob).values())
    assert by_spec(blob) == data


def test_reading_parts(source: Path) -> None:
    data, tensors = source.read_bytes(), masters_and_casts()
    mmh.compress_file(source)
    with mmh.open(f"{source}.mmh") as archive:
        for name, (_, _, expected) in tensors.items():
            out = bytearray(len(expected))
            archive.get_into(name, out)
            assert out == expected
        assert archive.read(400_001, 500_000) == data[400_001:900_001]
    with mmh.safe_open(f"{source}.mmh", framework="np") as file:
        rows = file.get_slice("model.layers.1.weight")[7:9]
        assert rows.tobytes() == tensors["model.layers.1.weight"][2][7 * 2000 : 9 * 2000]


def test_strangers_are_not_compared() -> None:
    """Tensors of one shape have nothing to do with each other as a rule, and norms are alike in their signs alone."""
    tensors = {f"layers.{i}.w": cast(matrix(100 + i, 100, 100), "BF16") for i in range(200)}
    tensors |= {f"layers.{i}.norm": cast(np.abs(matrix(300 + i, 100, 100)), "BF16") for i in range(10)}
    # Half of the signs alone are others.
    tensors["layers.0.noise"] = cast(np.abs(matrix(100, 100, 100)) * np.sign(matrix(5, 100, 100)), "BF16")
    # Not one is as much as looked at: the header would say so.
    assert not mmh.compress(plain_safetensors(tensors))[10] & RELATIVES


def test_a_relative_that_became_a_stranger_costs_nothing(tmp_path: Path) -> None:
    """Signs agree, and nothing else does: what the difference saves is at most those."""
    values = matrix(8)
    other = np.abs(matrix(9)) * np.sign(values) * np.exp(4 * matrix(10) / 0.02).astype(np.float32)
    tensors = {"a": cast(values, "BF16"), "b": cast(other, "BF16")}
    blob = mmh.compress(plain_safetensors(tensors))
    assert blob[10] & RELATIVES
    apart = sum(len(mmh.compress(tensor[2], "BF16")) for tensor in tensors.values())
    assert len(blob) <= apart + 1000
    assert mmh.decompress(blob) == plain_safetensors(tensors)


def test_equal_blocks_of_what_others_refer_to() -> None:
    """A block of a tensor that others are stored against may equal one that is stored against a third."""
    block = 1 << 19
    shared = matrix(11, 1, block).astype(ml_dtypes.bfloat16)
    x, y = matrix(12, 1, block), matrix(13, 1, block)
    first = np.concatenate([shared.astype(np.float32), x], axis=1)
    second = np.concatenate([y, shared.astype(np.float32)], axis=1)
    wide = first.copy()
    # Differences take some bytes: what takes none is no copy in any case.
    wide[0, :block] *= 1 + matrix(14, 1, block)[0] / 20
    tensors = {
        # Stored against the master behind it: its first block is one that the next tensor has, too.
        "a.cast": cast(first, "BF16"),
        "b": cast(second, "BF16"),
        "b.eight": cast(second.astype(ml_dtypes.bfloat16).astype(np.float32), "F8_E5M2"),
        "a.master": cast(wide, "F32"),
    }
    data = plain_safetensors(tensors)
    for level in (1, 5):
        blob = mmh.compress(data, level=level)
        assert by_engine(blob) == data
        of = codecs_of(blob)
        assert "relative" in of["b.eight"], of
        assert "copy" not in of["b"], of


def test_copies_of_relatives() -> None:
    tensors = {"master": cast(matrix(4), "F32"), "cast": cast(matrix(4), "BF16"), "tied": cast(matrix(4), "BF16")}
    data = plain_safetensors(tensors)
    blob = mmh.compress(data)
    of = codecs_of(blob)
    assert (of["cast"], of["tied"]) == ({"relative"}, {"copy"})
    assert by_engine(blob) == data


def test_pipes(run: Command, source: Path) -> None:
    """To a pipe the header has to say at once that there are relatives; from one it has to be read at random."""
    told = run("compress", source, "-o", "-")
    assert told.returncode == 0
    assert codecs_of(told.stdout)["model.layers.0.weight"] == {"relative"}
    restored = subprocess.run(
        [sys.executable, "-m", "mmh_rs", "decompress", "-"], input=told.stdout, capture_output=True, check=True
    )
    assert restored.stdout == source.read_bytes()
    # What comes from a pipe is not read twice.
    big = plain_safetensors({k: cast(matrix(1, 3000, 1000), d) for k, d in {"a": "F32", "b": "BF16"}.items()})
    packed = subprocess.run(
        [sys.executable, "-m", "mmh_rs", "compress", "-"], input=big, capture_output=True, check=True
    ).stdout
    assert mmh.decompress(packed) == big
    assert not any("relative" in codecs for codecs in codecs_of(packed).values())


def test_damage_names_all_that_it_hurts(run: Command, source: Path) -> None:
    mmh.compress_file(source)
    archive_path = Path(f"{source}.mmh")
    damage(archive_path, "optimizer.1.master")
    told = run("verify", archive_path, "--json")
    assert told.returncode == 2
    hurt = {row["tensor"] for row in json.loads(told.stdout)["results"][0]["damaged"] if row["tensor"]}
    assert hurt == {"optimizer.1.master", "model.layers.1.weight", "ema.1"}
    with mmh.open(archive_path) as archive:
        out = bytearray(600_000)
        archive.get_into("model.layers.0.weight", out)
        assert out == masters_and_casts()["model.layers.0.weight"][2]
        with pytest.raises(mmh.CorruptionError):
            archive.get_into("model.layers.1.weight", out)
    with pytest.raises(mmh.CorruptionError):
        mmh.decompress_file(archive_path, source.with_suffix(".back"))
    assert not source.with_suffix(".back").exists()


@pytest.mark.parametrize("indexed", [True, False])
def test_what_is_saved_of_a_damaged_file(run: Command, source: Path, tmp_path: Path, indexed: bool) -> None:
    # The last one is equal to one that is lost with its master.
    tensors = {**masters_and_casts(), "tied": masters_and_casts()["model.layers.1.weight"]}
    source.write_bytes(plain_safetensors(tensors))
    mmh.compress_file(source)
    archive_path = Path(f"{source}.mmh")
    damage(archive_path, "optimizer.1.master")
    if not indexed:
        data = archive_path.read_bytes()
        archive_path.write_bytes(data[: len(data) - 40 - int.from_bytes(data[-40:-32], "little")])
    report = mmh.salvage(archive_path, f"{tmp_path}/saved/")
    assert report.indexed == indexed
    lost = {"optimizer.1.master", "model.layers.1.weight", "ema.1", "tied"}
    assert set(report.lost) == lost
    with mmh.safe_open(tmp_path / "saved" / "tensors.safetensors", framework="np") as file:
        saved = set(file.keys())
        for name, (_, _, expected) in tensors.items():
            if name not in lost:
                assert name in saved
                assert file.get_tensor(name).tobytes() == expected


def test_parity_mends_what_others_refer_to(source: Path) -> None:
    mmh.compress_file(source, parity=5)
    archive_path = Path(f"{source}.mmh")
    whole = archive_path.read_bytes()
    damage(archive_path, "optimizer.1.master")
    mmh.repair(archive_path)
    assert archive_path.read_bytes() == whole


def test_packs_of_checkpoints(run: Command, tmp_path: Path) -> None:
    """Two steps of one run, and the same weights as another program stores them."""
    steps = tmp_path / "run"
    random = np.random.default_rng(3)
    for step in (100, 200):
        later = {
            f"l{i}": matrix(i) * (1 + step * random.normal(0, 1e-6, (300, 1000))).astype(np.float32) for i in (0, 1)
        }
        (steps / str(step)).mkdir(parents=True)
        for dtype in ("F32", "BF16"):
            tensors = {name: cast(values, dtype) for name, values in later.items()}
            (steps / str(step) / f"{dtype}.safetensors").write_bytes(plain_safetensors(tensors))
    assert run("compress", "--pack", steps).returncode == 0
    packed = tmp_path / "run.tar.mmh"
    one = mmh.compress_file(steps / "100" / "F32.safetensors", tmp_path / "one.mmh").stored_bytes
    assert packed.stat().st_size < 1.8 * one
    assert run("decompress", "--unpack", packed, "-o", tmp_path / "back").returncode == 0
    for path in steps.rglob("*.safetensors"):
        assert (tmp_path / "back" / path.relative_to(steps)).read_bytes() == path.read_bytes()


def test_an_estimate_knows_of_them(tmp_path: Path) -> None:
    tensors = {}
    for i in range(8):
        tensors[f"model.{i}.w"] = cast(matrix(i, 1000, 1000), "BF16")
        tensors[f"master.{i}.w"] = cast(matrix(i, 1000, 1000), "F32")
    path = tmp_path / "large.safetensors"
    path.write_bytes(plain_safetensors(tensors))
    estimate = mmh.estimate(path, levels=["balanced"])
    stored = mmh.compress_file(path).stored_bytes
    assert abs(estimate.levels[0].stored_bytes / stored - 1) < 0.03


def test_each_by_itself(run: Command, source: Path) -> None:
    alone = mmh.compress_file(source, f"{source}.alone", independent=True)
    assert "relative" not in alone.codecs
    assert run("compress", source, "--independent").returncode == 0
    assert Path(f"{source}.mmh").read_bytes() == Path(f"{source}.alone").read_bytes()
    # Not even the header speaks of others: whatever reads a stream reads this one.
    assert Path(f"{source}.mmh").read_bytes()[10] & 4 == 0
    folder = source.parent / "folder"
    folder.mkdir()
    source.rename(folder / "a.safetensors")
    assert "relative" not in mmh.pack_dir(folder, independent=True).codecs
    mmh.compress_dir(folder, independent=True)
    mirrored = codecs_of(Path(f"{folder}.mmh", "a.safetensors.mmh").read_bytes())
    assert not any("relative" in codecs for codecs in mirrored.values())
    base = mmh.compress_file(folder / "a.safetensors", base=folder / "a.safetensors", independent=True)
    assert "delta" in base.codecs


def test_a_damaged_head_of_a_relative_costs_no_more_than_that(source: Path, tmp_path: Path) -> None:
    """Without an index, whatever bit of its head is wrong: what is saved is right."""
    mmh.compress_file(source)
    whole = Path(f"{source}.mmh").read_bytes()
    data = whole[: len(whole) - 40 - int.from_bytes(whole[-40:-32], "little")]
    at = data.index(b"FR\x09\0")
    tensors, hurt = masters_and_casts(), 0
    for bit in range(0, 8 * 24, 5):
        broken = bytearray(data)
        broken[at + bit // 8] ^= 1 << bit % 8
        path = tmp_path / "broken.mmh"
        path.write_bytes(broken)
        report = mmh.salvage(path, f"{tmp_path}/saved {bit}/")
        hurt += "model.layers.0.weight" in report.lost or not report.saved
        if report.saved:
            with mmh.safe_open(tmp_path / f"saved {bit}" / "tensors.safetensors", framework="np") as file:
                for name in set(file.keys()):
                    assert file.get_tensor(name).tobytes() == tensors[name][2]
    assert hurt > 30


def test_codecs_that_are_asked_for_look_for_nothing_else(source: Path) -> None:
    data = source.read_bytes()
    for codec in ("store", "zstd", "tensor"):
        assert not mmh.compress(data, codec=codec)[10] & RELATIVES
    blob = mmh.compress(data, codec="relative")
    assert codecs_of(blob)["model.layers.0.weight"] == {"relative"}
    assert mmh.decompress(blob) == data


def test_a_base_and_relatives(run: Command, tmp_path: Path) -> None:
    """A cast is known by its master of the same step, and that one by the master of the step before."""
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    moved = matrix(1) + matrix(2) / 1000
    before.write_bytes(plain_safetensors({"m": cast(matrix(1), "F32"), "c": cast(matrix(1), "BF16")}))
    after.write_bytes(plain_safetensors({"m": cast(moved, "F32"), "c": cast(moved, "BF16")}))
    report = mmh.compress_file(after, base=before)
    archive_path = Path(f"{after}.mmh")
    assert {name: set(total_of) for name, total_of in codecs_with(archive_path, before).items()} == {
        "m": {"delta"},
        "c": {"relative"},
    }
    assert report.codecs["relative"]["stored"] < 1000
    mmh.decompress_file(archive_path, tmp_path / "back", base=before)
    assert (tmp_path / "back").read_bytes() == after.read_bytes()
    # Without the base nothing of it can be read, and nothing is called damaged.
    assert run("protect", archive_path).returncode == 0
    with pytest.raises(ValueError, match="base"):
        mmh.decompress_file(archive_path, tmp_path / "back 2")
    # What is stored so can be a base itself, where it needs none.
    mmh.compress_file(before)
    assert "relative" in codecs_of(Path(f"{before}.mmh").read_bytes())["c"]
    mmh.compress_file(after, base=f"{before}.mmh", force=True)
    mmh.decompress_file(archive_path, tmp_path / "back 3", base=f"{before}.mmh")
    assert (tmp_path / "back 3").read_bytes() == after.read_bytes()


def codecs_with(path: Path, base: Path) -> dict[str, tuple[str, ...]]:
    with mmh.open(path, base=base) as archive:
        return {info.name: info.codecs for info in archive.infos()}


def test_why_of_an_archive(run: Command, source: Path) -> None:
    mmh.compress_file(source)
    archive_path = Path(f"{source}.mmh")
    told = run("info", "--why", archive_path).stdout.decode()
    part = told[told.index("model.layers.0.weight") :]
    assert "100 % equal" in part[: part.index("stored")]
    damage(archive_path, "optimizer.1.master")
    told = run("info", "--why", archive_path)
    assert (told.returncode, len(told.stderr.splitlines())) == (2, 1)


def test_why_says_what_a_difference_would_cost(run: Command, source: Path) -> None:
    told = run("info", "--why", source).stdout.decode()
    part = told[told.index("model.layers.0.weight") :]
    assert "relative" in part
    assert "100 % equal" in part
    assert "beside optimizer.0.master" in part
    assert told.count("others are stored against it") == 2


OTHER_TYPES = [("F32", "BF16", 0.01), ("F32", "F16", 0.01), ("BF16", "F8_E4M3", 0.01), ("BF16", "F32", 0.56)]


@pytest.mark.parametrize(("before", "after", "share"), OTHER_TYPES)
def test_a_base_may_be_of_another_type(tmp_path: Path, before: str, after: str, share: float) -> None:
    values = matrix(5)
    if after != "F32":
        values = values.astype(DTYPES[before]).astype(np.float32)
    base, source = tmp_path / "base.safetensors", tmp_path / "source.safetensors"
    base.write_bytes(plain_safetensors({"w": cast(values, before)}))
    source.write_bytes(plain_safetensors({"w": cast(values, after)}))
    report = mmh.compress_file(source, base=base)
    assert report.in_base == 1
    assert report.stored_bytes < share * source.stat().st_size
    mmh.decompress_file(f"{source}.mmh", tmp_path / "back", base=base)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    (tmp_path / "other").write_bytes(base.read_bytes()[:-1] + b"\1")
    with pytest.raises(mmh.MmhError, match="not the one"):
        mmh.decompress_file(f"{source}.mmh", tmp_path / "back2", base=tmp_path / "other")


def test_a_base_of_fewer_rows_and_another_type(tmp_path: Path) -> None:
    """Several blocks of the tensor are beyond the end of its counterpart."""
    base, source = tmp_path / "base.safetensors", tmp_path / "source.safetensors"
    values = matrix(6, 2000, 1000)
    base.write_bytes(plain_safetensors({"w": cast(values[:400], "F32")}))
    source.write_bytes(plain_safetensors({"w": cast(values, "BF16")}))
    for level in (1, 5):
        report = mmh.compress_file(source, base=base, level=level, force=True)
        assert report.in_base == 1
        mmh.decompress_file(f"{source}.mmh", tmp_path / "back", base=base, force=True)
        assert (tmp_path / "back").read_bytes() == source.read_bytes()
    # Of the eight blocks of 512 KiB that level 1 makes the first one is whole in the base.
    alone = len(mmh.compress(source.read_bytes(), level=1))
    assert mmh.compress_file(source, base=base, level=1, force=True).stored_bytes < 0.88 * alone

"""Files compressed against a base: matched, restored, refused."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmh_rs as mmh
from mmh_rs.numpy import load_file
from support import Command, lines, model_tensors, plain_safetensors, weights
from verdicts import by_engine, by_spec

Tensors = dict[str, tuple[str, list[int], bytes]]


def tuned(tensors: Tensors, seed: int = 9) -> Tensors:
    """Every second weight a step or two away; other tensors as they were."""
    random = np.random.default_rng(seed)
    changed = dict(tensors)
    for name, (dtype, shape, data) in tensors.items():
        if dtype == "BF16":
            values = np.frombuffer(data, np.uint16)
            steps = np.where(random.random(values.size) < 0.5, 0, random.integers(0, 3, values.size))
            changed[name] = (dtype, shape, (values + steps.astype(np.uint16)).tobytes())
    return changed


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.safetensors"
    path.write_bytes(plain_safetensors(model_tensors(), {"format": "pt"}))
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    # Another order and other offsets: tensors are matched by their names.
    tensors = dict(reversed(tuned(model_tensors()).items()))
    path = tmp_path / "tuned.safetensors"
    path.write_bytes(plain_safetensors(tensors, pad=64))
    return path


def packed(source: Path, base: Path, **options: Any) -> Path:
    target = source.with_suffix(".mmh")
    mmh.compress_file(source, target, base=base, force=True, **options)
    return target


@pytest.mark.parametrize("level", [1, 3, 5, 7, 9])
def test_every_level_restores(source: Path, base: Path, level: int) -> None:
    alone = mmh.compress_file(source, level=level)
    report = mmh.compress_file(source, source.with_suffix(".mmh"), base=base, level=level)
    assert report.stored_bytes < alone.stored_bytes / 3
    assert "delta" in report.codecs
    back = source.with_suffix(".back")
    mmh.decompress_file(source.with_suffix(".mmh"), back, base=base)
    assert back.read_bytes() == source.read_bytes()


def test_threads_change_no_byte_and_the_decoder_of_the_specification_agrees(source: Path, base: Path) -> None:
    data = packed(source, base, threads=1).read_bytes()
    assert packed(source, base, threads=3).read_bytes() == data
    assert by_engine(data, base=base) == source.read_bytes()
    small = source.with_name("small.safetensors")
    small.write_bytes(plain_safetensors({"w": ("BF16", [2000], weights(2000, 3).tobytes())}))
    before = small.with_name("before.safetensors")
    before.write_bytes(plain_safetensors({"w": ("BF16", [2000], (weights(2000, 3) ^ 1).tobytes())}))
    assert by_spec(packed(small, before).read_bytes(), before.read_bytes()) == small.read_bytes()


def bf16_rows(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Rows of 64."""
    values = np.random.default_rng(seed).normal(0, 0.02, (count, 64)).astype(np.float32)
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def test_names_behind_a_prefix_and_more_rows_have_counterparts(tmp_path: Path) -> None:
    rows = {"embed.weight": bf16_rows(900, 1), "head": bf16_rows(500, 2)}
    before = tmp_path / "before.safetensors"
    before.write_bytes(plain_safetensors({n: ("BF16", [*v.shape], v.tobytes()) for n, v in rows.items()}))
    more = np.vstack([rows["embed.weight"] ^ 1, bf16_rows(30, 3)])
    after = {"module.embed.weight": more, "module.head": rows["head"][:400] ^ 1, "module.new": bf16_rows(10, 4)}
    source = tmp_path / "after.safetensors"
    source.write_bytes(plain_safetensors({n: ("BF16", [*v.shape], v.tobytes()) for n, v in after.items()}))
    alone = mmh.compress_file(source, tmp_path / "alone.mmh")
    report = mmh.compress_file(source, base=before)
    assert (alone.in_base, report.in_base, report.tensors) == (None, 2, 3)
    assert report.stored_bytes < alone.stored_bytes / 2
    back = tmp_path / "back"
    mmh.decompress_file(tmp_path / "after.safetensors.mmh", back, base=before)
    assert back.read_bytes() == source.read_bytes()


def test_how_many_tensors_have_a_counterpart_is_told(run: Command, source: Path, base: Path) -> None:
    told = run("compress", source, "--json", "--base", base)
    assert json.loads(told.stdout)["results"][0]["in_base"] == len(model_tensors())
    assert told.stderr == b""
    other = base.with_name("other.safetensors")
    other.write_bytes(plain_safetensors({"x": ("BF16", [2000], weights(2000, 3).tobytes())}))
    told = run("compress", source, "-f", "--json", "--base", other)
    assert b"no tensor has a counterpart in" in told.stderr
    assert json.loads(told.stdout)["results"][0]["in_base"] == 0


def test_the_base_may_be_an_mmh(source: Path, base: Path) -> None:
    data = packed(source, base).read_bytes()
    for level in (1, 5):
        mmh.compress_file(base, f"{base}.mmh", level=level, force=True)
        assert packed(source, Path(f"{base}.mmh")).read_bytes() == data
        back = source.with_suffix(".back")
        mmh.decompress_file(source.with_suffix(".mmh"), back, base=f"{base}.mmh", force=True)
        assert back.read_bytes() == source.read_bytes()


def test_a_base_of_a_base_is_refused(source: Path, base: Path, tmp_path: Path) -> None:
    middle = packed(source, base)
    with pytest.raises(ValueError, match=r"itself compressed against a base, base\.safetensors"):
        mmh.compress_file(base, tmp_path / "x.mmh", base=middle)
    assert not (tmp_path / "x.mmh").exists()


def test_reading_parts(source: Path, base: Path) -> None:
    path = packed(source, base)
    tensors = tuned(model_tensors())
    with mmh.open(path, base=base) as archive:
        assert archive.header.base is not None
        assert archive.header.base["name"] == "base.safetensors"
        assert archive.header.base["needed"]
        for name, (_, _, data) in tensors.items():
            out = bytearray(len(data))
            archive.get_into(name, out)
            assert out == data
        assert archive.read(1000, 5000) == source.read_bytes()[1000:6000]
        assert archive.verify()
    with path.open("rb") as file_object:
        for given in (path.read_bytes(), file_object):
            with mmh.open(given, base=base) as archive:
                assert archive.read(0, source.stat().st_size) == source.read_bytes()
    with mmh.safe_open(path, framework="np", base=base) as file:
        assert file.get_slice("model.norm.weight")[:3].tobytes() == tensors["model.norm.weight"][2][:12]


def test_load_file(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(0, 0.02, (300, 400)).astype(np.float32)
    paths = [tmp_path / "before.safetensors", tmp_path / "after.safetensors"]
    for path, array in zip(paths, (values, values + np.float32(1e-6)), strict=True):
        path.write_bytes(plain_safetensors({"w": ("F32", [300, 400], array.tobytes())}))
    target = packed(paths[1], paths[0])
    assert target.stat().st_size < paths[1].stat().st_size / 2
    assert np.array_equal(load_file(target, base=paths[0])["w"], values + np.float32(1e-6))


def test_a_missing_base_is_named(source: Path, base: Path, tmp_path: Path) -> None:
    path = packed(source, base)
    message = re.escape(f"base.safetensors ({base.stat().st_size} bytes, BLAKE3 ")
    with pytest.raises(ValueError, match=message):
        mmh.decompress_file(path, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with pytest.raises(ValueError, match=message):
        mmh.decompress(path.read_bytes())
    with mmh.open(path) as archive:
        assert len(archive.infos()) == len(model_tensors())
        with pytest.raises(ValueError, match=message):
            archive.verify()
        with pytest.raises(ValueError, match=message):
            archive.get_into("lm_head.weight", bytearray(archive.info("lm_head.weight").nbytes))
        # What is not a difference needs no base.
        assert archive.read(0, 8) == source.read_bytes()[:8]


@pytest.mark.parametrize("how", ["length", "content"])
def test_another_base_is_refused(source: Path, base: Path, tmp_path: Path, how: str) -> None:
    path = packed(source, base)
    data = bytearray(base.read_bytes())
    data[len(data) // 2] ^= 1
    other = tmp_path / "other"
    other.write_bytes(data if how == "content" else data + b"!")
    with pytest.raises(mmh.MmhError, match="is not the one that was compressed against"):
        mmh.decompress_file(path, tmp_path / "back", base=other)
    assert not (tmp_path / "back").exists()
    mmh.compress_file(other, f"{other}.mmh")
    with pytest.raises(mmh.MmhError, match="is not the one"):
        mmh.open(path, base=f"{other}.mmh")
    if how == "length":
        with pytest.raises(mmh.MmhError, match="is not the one"):
            mmh.open(path, base=other)
        return
    # The hash of a plain file is looked at when something is wrong, and then the base is named and not the archive.
    with mmh.open(path, base=other) as archive, pytest.raises(mmh.MmhError, match="is not the one") as caught:
        archive.read(0, source.stat().st_size)
    assert not isinstance(caught.value, mmh.CorruptionError)


def test_damage_is_told_from_a_wrong_base(source: Path, base: Path) -> None:
    path = packed(source, base)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    with mmh.open(bytes(data), base=base) as archive:
        found = archive.verify()
        assert not found.ok
        with pytest.raises(mmh.CorruptionError):
            archive.read(0, source.stat().st_size)


def test_every_flip_and_cut_of_a_small_file_is_seen(tmp_path: Path) -> None:
    base, source = tmp_path / "a", tmp_path / "b"
    first, second = weights(300, 1), weights(300, 1)
    second[::14] ^= 1
    for path, data in ((base, first), (source, second)):
        path.write_bytes(plain_safetensors({"w": ("BF16", [300], data.tobytes())}))
    data = packed(source, base).read_bytes()
    assert by_engine(data, base=base) == source.read_bytes()
    for cut in range(len(data)):
        assert isinstance(by_engine(data[:cut], base=base), str)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        # A bit may be of no account (zstd has one in its header); what comes back is right or nothing.
        found = by_engine(bytes(damaged), base=base)
        assert isinstance(found, str) or found == source.read_bytes(), f"bit {bit}"


def test_an_unrelated_base_costs_next_to_nothing(source: Path, tmp_path: Path) -> None:
    alone = mmh.compress_file(source).stored_bytes
    others = {
        # Of the same names and shapes, and of other values; of no tensor in common; no tensors at all.
        "values": plain_safetensors(
            {n: (d, s, np.random.default_rng(5).bytes(len(b))) for n, (d, s, b) in model_tensors().items()}
        ),
        "permuted": plain_safetensors(
            {
                n: (d, s, np.random.default_rng(6).permutation(np.frombuffer(b, np.uint16)).tobytes())
                if d == "BF16"
                else (d, s, b)
                for n, (d, s, b) in model_tensors().items()
            }
        ),
        "names": plain_safetensors({f"{n}.x": t for n, t in model_tensors().items()}),
        "bytes": os.urandom(100_000),
        "empty": b"",
    }
    for name, data in others.items():
        base = tmp_path / name
        base.write_bytes(data)
        path = packed(source, base)
        assert path.stat().st_size <= alone * 1.005 + 300, name
        with mmh.open(path) as archive:
            assert (archive.header.base is None) == (name in ("names", "bytes", "empty"))
        mmh.decompress_file(path, tmp_path / "back", base=base, force=True)
        assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_files_without_known_tensors_are_compared_by_position(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    values = random.normal(size=100_000).astype(np.float32)
    paths = tmp_path / "step-1.bin", tmp_path / "step-2.bin"
    for path, array in zip(paths, (values, values * np.float32(1.00001)), strict=True):
        path.write_bytes(b"header of 20 bytes.." + array.tobytes() + b"end")
    target = packed(paths[1], paths[0])
    assert target.stat().st_size < 0.6 * paths[1].stat().st_size
    mmh.decompress_file(target, tmp_path / "back", base=paths[0])
    assert (tmp_path / "back").read_bytes() == paths[1].read_bytes()


def test_an_unchanged_file_is_nearly_nothing(base: Path, tmp_path: Path) -> None:
    assert packed(base, base).stat().st_size < 2500


def test_command(run: Command, source: Path, base: Path) -> None:
    assert run("compress", "tuned.safetensors", "--base", "base.safetensors", "-o", "t.mmh").returncode == 0
    missing = run("decompress", "t.mmh", "-o", "back")
    assert missing.returncode == 64
    assert lines(missing.stderr)[0].startswith(
        "mmh: t.mmh: compressed against a base, which is needed to read it: name base."
    )
    for name in ("verify", "cat"):
        more = ["lm_head.weight"] if name == "cat" else []
        assert run(name, "t.mmh", *more).returncode == 64
        assert run(name, "t.mmh", *more, "--base", "base.safetensors").returncode == 0
    wrong = run("decompress", "t.mmh", "-o", "back", "--base", "tuned.safetensors")
    assert wrong.returncode == 4
    assert b"is not the one that was compressed against" in wrong.stderr
    assert not (source.parent / "back").exists()
    assert run("decompress", "t.mmh", "-o", "back", "--base", "base.safetensors").returncode == 0
    assert (source.parent / "back").read_bytes() == source.read_bytes()
    shown = run("info", "t.mmh")
    assert b"base      base.safetensors" in shown.stdout
    assert json.loads(run("info", "--json", "t.mmh").stdout)["results"][0]["base"]["needed"]
    why = run("info", "--why", "tuned.safetensors", "--base", "base.safetensors")
    assert b"chosen  delta" in why.stdout
    assert run("list", "t.mmh").returncode == 0
    assert run("compress", "tuned.safetensors", "--codec", "delta").returncode == 64


def test_pipes(run: Command, source: Path, base: Path) -> None:
    made = run("compress", "-", "--base", "base.safetensors", input=source.read_bytes())
    assert made.returncode == 0
    back = run("decompress", "-", "--base", "base.safetensors", input=made.stdout)
    assert (back.returncode, back.stdout) == (0, source.read_bytes())
    for more in ([], ["--base", "tuned.safetensors"]):
        refused = run("decompress", "-", *more, input=made.stdout)
        assert (refused.returncode, refused.stdout) == (4 if more else 64, b"")


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """A directory, and one whose files were made from it; some of them, and some elsewhere."""
    before, after = tmp_path / "before", tmp_path / "after"
    tensors = model_tensors()
    for folder, content in ((before, tensors), (after, tuned(tensors))):
        (folder / "shards" / "odd.mmh").mkdir(parents=True)
        (folder / "shards" / "1.safetensors").write_bytes(plain_safetensors(content))
        (folder / "shards" / "odd.mmh" / "2.safetensors").write_bytes(plain_safetensors(content, pad=32))
        (folder / "config.json").write_text(f'{{"of": "{folder.name}"}}')
    (after / "new.safetensors").write_bytes(plain_safetensors(tuned(tensors, 5)))
    return before, after


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_directories_are_matched_file_by_file(trees: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = trees
    mirror, alone, back = tmp_path / "after.mmh", tmp_path / "alone.mmh", tmp_path / "back"
    mmh.compress_dir(after, alone)
    assert mmh.compress_dir(before)
    bases = (before, tmp_path / "before.mmh")
    for base in bases:
        report = mmh.compress_dir(after, mirror, base=base, force=True)
        assert report and report.files == 4
        for shard in ("1.safetensors", "odd.mmh.mmh/2.safetensors"):
            small, large = mirror / "shards" / f"{shard}.mmh", alone / "shards" / f"{shard}.mmh"
            assert small.stat().st_size < large.stat().st_size / 3
        # What has no counterpart is as it would be alone.
        assert (mirror / "new.safetensors.mmh").read_bytes() == (alone / "new.safetensors.mmh").read_bytes()
        for other in bases:
            assert mmh.decompress_dir(mirror, back, base=other, force=True)
            assert contents(back) == contents(after)


def test_a_directory_without_its_base_is_restored_as_far_as_it_goes(trees: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = trees
    mmh.compress_dir(after, base=before)
    for wrong in (None, after):
        back = tmp_path / f"back-{wrong is None}"
        report = mmh.decompress_dir(tmp_path / "after.mmh", back, base=wrong)
        assert sorted(os.path.basename(failure.path) for failure in report.failed) == [
            "1.safetensors.mmh",
            "2.safetensors.mmh",
        ]
        assert sorted(contents(back)) == ["config.json", "new.safetensors"]
    # A base that needs a base itself.
    report = mmh.compress_dir(after, tmp_path / "again.mmh", base=tmp_path / "after.mmh")
    assert len(report.failed) == 2


def test_directories_on_the_command_line(run: Command, trees: tuple[Path, Path]) -> None:
    after = trees[1]
    assert run("compress", "-r", "after", "--base", "before").returncode == 0
    assert run("decompress", "-r", "after.mmh", "-o", "back", "--base", "before").returncode == 0
    assert contents(after.parent / "back") == contents(after)
    for command, folder in (("compress", "after"), ("decompress", "after.mmh")):
        done = run(command, "-r", folder, "--base", "before/config.json", "-o", "other")
        assert done.returncode == 64
        assert b"--base of a directory is a directory" in done.stderr
    done = run("compress", "-r", "after", "--base", "nowhere", "-o", "other")
    assert done.returncode == 4
    assert b"nowhere" in done.stderr


def test_arrays_in_memory() -> None:
    random = np.random.default_rng(2)
    before = random.normal(0, 0.02, (300, 700)).astype(np.float32)
    after = before + (random.random(before.shape) < 0.02).astype(np.float32) * 1e-4
    alone = mmh.compress(after)
    blob = mmh.compress(after, base=before)
    assert len(blob) < len(alone) / 4
    assert mmh.decompress(blob, base=before) == after.tobytes()
    out = np.empty_like(after)
    assert mmh.decompress(blob, out, base=before) == after.nbytes
    assert (out == after).all()
    with mmh.open(blob, base=before) as archive:
        assert (archive.get("data") == after).all()
    # The same bytes as other objects, and the base compressed.
    for same in (before.tobytes(), memoryview(before), mmh.compress(before), bytearray(mmh.compress(before))):
        assert mmh.decompress(blob, base=same) == after.tobytes()
    assert mmh.compress(after.tobytes(), "F32", base=before.tobytes()) == mmh.compress(
        after.reshape(-1), base=before.reshape(-1)
    )
    assert len(mmh.compress(after, "F32", base=mmh.compress(before))) < len(alone) / 4
    # Of another shape it is no counterpart, and not needed.
    other = mmh.compress(after, base=before.T.copy())
    assert mmh.decompress(other) == after.tobytes()
    for wrong in (before + 1, before[1:], b"", mmh.compress(after)):
        with pytest.raises(mmh.MmhError):
            mmh.decompress(blob, base=wrong)
        with pytest.raises(mmh.MmhError):
            mmh.decompress(blob, out, base=wrong)
    with pytest.raises(ValueError, match="base"):
        mmh.decompress(blob)
    with pytest.raises(ValueError, match="base"):
        mmh.compress(after, base=blob)
    with pytest.raises(TypeError):
        mmh.compress(after, base=3)
    with pytest.raises(ValueError, match="contiguous"):
        mmh.compress(after, base=before.T)


def test_a_base_in_memory_for_files_and_back(source: Path, base: Path) -> None:
    blob = mmh.compress(source.read_bytes(), base=base.read_bytes())
    assert blob == mmh.compress(source.read_bytes(), base=base.read_bytes())
    assert mmh.decompress(blob, base=str(base)) == source.read_bytes()
    target = packed(source, base)
    with mmh.open(target, base=base.read_bytes()) as archive:
        assert archive.verify().ok
    assert mmh.decompress(target.read_bytes(), base=base.read_bytes()) == source.read_bytes()


def test_estimate_of_a_small_file_is_exact(source: Path, base: Path) -> None:
    found = mmh.estimate(source, levels=[1, 5], base=base)
    assert found.exact and found.tensors == len(model_tensors())
    for level in found.levels:
        report = mmh.compress_file(source, source.with_suffix(".mmh"), base=base, level=level.level, force=True)
        assert level.stored_bytes == report.stored_bytes
    # A base of other names is of no use, and costs nothing.
    other = base.with_name("other.safetensors")
    other.write_bytes(plain_safetensors({"x": ("U8", [3], b"abc")}))
    alone = mmh.estimate(source, levels=[5])
    assert mmh.estimate(source, levels=[5], base=other).levels[0].stored_bytes == alone.levels[0].stored_bytes


def test_estimate_of_a_large_file(tmp_path: Path, run: Command) -> None:
    names = {f"layers.{i}.weight": ("BF16", [2 << 20], weights(2 << 20, i).tobytes()) for i in range(9)}
    base, source = tmp_path / "base.safetensors", tmp_path / "tuned.safetensors"
    base.write_bytes(plain_safetensors(names))
    source.write_bytes(plain_safetensors(tuned(names)))
    (level,) = mmh.estimate(source, levels=["balanced"], base=base).levels
    true = mmh.compress_file(source, base=base).stored_bytes
    assert not mmh.estimate(source, levels=["balanced"], base=base).exact
    assert abs(level.stored_bytes - true) < 0.01 * true
    done = run("estimate", "--json", "--base", str(base), "--level", "balanced", str(source))
    assert done.returncode == 0
    assert json.loads(done.stdout)["results"][0]["levels"][0]["stored_bytes"] == level.stored_bytes


def test_estimate_of_directories(tmp_path: Path, source: Path, base: Path, run: Command) -> None:
    for folder, file in (("old", base), ("new", source)):
        (tmp_path / folder / "a").mkdir(parents=True)
        (tmp_path / folder / "a" / "model.safetensors").write_bytes(file.read_bytes())
    (tmp_path / "new" / "only.bin").write_bytes(bytes(range(256)) * 9)
    report = mmh.compress_dir(tmp_path / "new", base=tmp_path / "old")
    (level,) = mmh.estimate(tmp_path / "new", levels=["balanced"], base=tmp_path / "old").levels
    assert level.stored_bytes == report.stored_bytes
    done = run("estimate", "-r", "--base", str(base), str(tmp_path / "new"))
    assert done.returncode == 64 and b"is a directory, too" in done.stderr


def test_diff(source: Path, base: Path, run: Command) -> None:
    target = packed(source, base)
    other = packed(base, base)
    plain = mmh.diff(base, source)
    with pytest.raises(ValueError, match="base"):
        mmh.diff(base, target)
    for first, second in ((base, target), (other, target), (base, source)):
        found = mmh.diff(first, second, base=base)
        assert found.changes == plain.changes and found.tensors == plain.tensors
    assert mmh.diff(source, target, base=np.fromfile(base, np.uint8)).identical
    done = run("diff", str(source), str(target), "--base", str(base))
    assert done.returncode == 0 and b"identical" in done.stdout
    with pytest.raises(mmh.MmhError, match="not the one"):
        mmh.diff(base, target, base=source)

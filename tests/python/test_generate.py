"""`generate`: the same bytes everywhere, in formats that others open, of the size asked for, like the real thing."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import mmh_rs as mmh
from mmh_rs import _core
from support import Command, lines

FAMILIES = [name for name, _ in _core.families()]
PINNED = {
    ("llama", "BF16", "safetensors"): "ba8057d9b2c1ef544d587d4c14220b1230cdc75186fb89b9275b4f18cb201cd3",
    ("bert", "F32", "safetensors"): "e4a919312d4101c9b23c3d07a5735a37c457da93df2c1289824c8de79f117559",
    ("resnet", "F16", "pt"): "d778eb7a3cda0dc0213c7d8df4bb6b95b5a6083298fb51154f0d823fa0cd3253",
    ("gpt2", "Q4_0", "gguf"): "3dd38c3aff39bafcee082daf25aa08bf70303455ef176c6f4a47ae8b00538b72",
    ("llama", "F64", "npy"): "48baa4e533c294b2b4fb8e140c88904da464a5130790c664a11fb9a556fb577f",
    ("vit", "F8_E4M3", "safetensors"): "6f4d19494b79d264cc7b5fc39f6e7d700068dfbe1d8d93826f10ea95390f19da",
    ("moe", "I8", "safetensors"): "2df425b13eee555fafee0058c343a2a9e452bb9cd0fb3af5fb4b11af3bb78fe2",
}
"""SHA-256 of 300 kB with seed 42: a machine that computes otherwise is found here."""


def made(path: Path, **options: Any) -> bytes:
    mmh.generate(path, force=True, **options)
    return path.read_bytes()


@pytest.mark.parametrize(("like", "dtype", "kind"), PINNED, ids="-".join)
def test_the_bytes_are_these_on_every_machine(like: str, dtype: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "made"
    for threads in (1, 3):
        report = mmh.generate(
            path, like=like, dtype=dtype, format=kind, size=300_000, seed=42, threads=threads, sha256=True, force=True
        )
        assert report.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() == PINNED[like, dtype, kind]


def test_seeds_and_kinds_differ_and_runs_do_not(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    one = made(path, size=3_000_000, seed=1, threads=1)
    assert one == made(path, size=3_000_000, seed=1, threads=2)
    other = made(path, size=3_000_000, seed=2)
    assert one != other and one[-100_000:] != other[-100_000:]


@pytest.mark.parametrize("like", FAMILIES)
@pytest.mark.parametrize("size", [1_000_000, 20_000_000])
def test_sizes_come_within_two_percent(like: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    report = mmh.generate(path, like=like, size=size)
    assert report.bytes == path.stat().st_size
    assert report.asked_bytes == size and abs(report.bytes / size - 1) < 0.02


@pytest.mark.parametrize("like", FAMILIES)
def test_any_size_is_made(like: str, tmp_path: Path) -> None:
    for size in (0, 1, 5_000, 70_000):
        for suffix in ("safetensors", "npy", "gguf", "pt"):
            path = tmp_path / f"{size}.{suffix}"
            report = mmh.generate(path, like=like, size=size)
            assert report.bytes == path.stat().st_size > 0
            assert _core.explain_file(str(path), 1)


@pytest.mark.parametrize("like", FAMILIES)
@pytest.mark.parametrize("dtype", ["F32", "F16", "F64"])
def test_safetensors_opens_it(like: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    report = mmh.generate(path, like=like, dtype=dtype, size=2_000_000)
    tensors = safetensors.numpy.load_file(path)
    assert len(tensors) == report.tensors
    assert sum(array.size for array in tensors.values()) == report.elements
    for name, array in tensors.items():
        assert np.isfinite(array.astype(np.float64)).all(), name
    assert mmh.compress_file(path).format == "safetensors"


def test_what_is_in_a_model(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    mmh.generate(path, like="bert", dtype="F32", size=20_000_000)
    tensors = safetensors.numpy.load_file(path)
    words = tensors["embeddings.word_embeddings.weight"]
    assert not words[0].any() and words[1].any()
    assert not tensors["pooler.dense.bias"].any()
    ids = tensors["embeddings.position_ids"][0]
    assert np.array_equal(ids, np.arange(len(ids))) and len(ids) > 100
    norm = tensors["encoder.layer.0.output.LayerNorm.weight"]
    assert 0.3 < norm.mean() < 1 and norm.std() < 0.2
    # Upcast from 16 bits: all of the pooler, three quarters of the positions, few of the words.
    narrow = [
        float((array.view(np.uint32) & 0x1FFF == 0).all(axis=1).mean())
        for array in (tensors["pooler.dense.weight"], tensors["embeddings.position_embeddings.weight"], words)
    ]
    assert narrow[0] == 1 and 0.6 < narrow[1] < 0.9 and 0.01 < narrow[2] < 0.1
    # Rows are of different scales, and some weights are far out.
    dense = tensors["encoder.layer.0.intermediate.dense.weight"]
    scales = np.sqrt((dense.astype(np.float64) ** 2).mean(axis=1))
    assert 0.05 < np.log(scales).std() < 0.4
    mmh.generate(path, like="gpt2", size=20_000_000, dtype="F16", force=True)
    tensors = safetensors.numpy.load_file(path)
    assert np.array_equal(tensors["lm_head.weight"], tensors["transformer.wte.weight"])


def test_narrow_elements_are_rounded_wide_ones(tmp_path: Path) -> None:
    """All dtypes hold the same numbers: bf16 and fp16 are fp32's, rounded to the nearest."""
    import ml_dtypes

    arrays = {}
    for dtype in ("F32", "F16"):
        mmh.generate(tmp_path / dtype, format="npy", dtype=dtype, size=4 * 10**5 // (1 + (dtype == "F16")))
        arrays[dtype] = np.load(tmp_path / dtype)
    wide, half = arrays["F32"], arrays["F16"]
    columns = min(wide.shape[1], half.shape[1])
    if wide.shape == half.shape:
        assert np.array_equal(wide.astype(np.float16), half)
    assert columns >= 64
    mmh.generate(tmp_path / "b", format="safetensors", dtype="BF16", size=10**6, like="vit")
    mmh.generate(tmp_path / "w", format="safetensors", dtype="F32", size=2 * 10**6, like="vit")
    with mmh.open(mmh.compress_file(tmp_path / "b").target or "") as narrow:
        name = "vit.layernorm.weight"
        short = narrow.get(name)
        long = safetensors.numpy.load_file(tmp_path / "w")[name]
        assert np.array_equal(short.view(ml_dtypes.bfloat16)[:64], long.astype(ml_dtypes.bfloat16)[:64])


@pytest.mark.skipif(importlib.util.find_spec("gguf") is None, reason="needs gguf")
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "Q8_0", "Q4_0"])
def test_gguf_opens_it(dtype: str, tmp_path: Path) -> None:
    import gguf

    path = tmp_path / "a.gguf"
    report = mmh.generate(path, like="llama", dtype=dtype, size=2_000_000)
    reader = gguf.GGUFReader(path)
    assert len(reader.tensors) == report.tensors
    assert {tensor.tensor_type.name for tensor in reader.tensors} == {dtype, "F32"}
    assert "blk.0.attn_q.weight" in {tensor.name for tensor in reader.tensors}
    if dtype.startswith("Q"):
        wide_path = tmp_path / "wide.gguf"
        mmh.generate(wide_path, like="llama", dtype="F32", size=2_000_000)
        tensor = next(tensor for tensor in reader.tensors if tensor.name == "blk.0.attn_q.weight")
        restored = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        again = gguf.quants.quantize(restored.astype(np.float32), tensor.tensor_type)
        assert np.mean(again == tensor.data) > 0.99


def test_pt_has_sound_checksums(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "a.pt"
    report = mmh.generate(path, like="gpt2", size=2_000_000)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    # One storage is shared.
    assert sum("/data/" in name for name in names) == report.tensors - 1
    assert mmh.compress_file(path).format == "pytorch"


def test_it_compresses_as_real_weights_do(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for like, dtype, low, high in (
        ("bert", "BF16", 0.65, 0.672),
        ("bert", "F16", 0.84, 0.86),
        ("resnet", "BF16", 0.66, 0.70),
    ):
        mmh.generate(path, like=like, dtype=dtype, size=20_000_000, force=True)
        assert low < mmh.compress_file(path, force=True).ratio < high


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for options, message in (
        ({"like": "elephant"}, "there are: llama"),
        ({"dtype": "F7"}, "unknown dtype"),
        ({"dtype": "Q4_0"}, "not made of Q4_0"),
        ({"tier": 9}, "no tier"),
        ({"tier": 1, "size": 1}, "not both"),
        ({"format": "zip"}, "unknown format"),
        ({"size": "much"}, "no size"),
        ({"size": 1 << 60}, "too many"),
        ({"threads": -1}, "threads"),
    ):
        with pytest.raises(ValueError, match=message):
            mmh.generate(path, **options)
    with pytest.raises(ValueError, match="tells no format"):
        mmh.generate(tmp_path / "a.txt")
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        mmh.generate(path, size=1000)
    assert path.read_bytes() == b"mine"
    with pytest.raises(FileNotFoundError):
        mmh.generate(tmp_path / "no" / "a.npy", size=1000)
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_a_stopped_run_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int | None, stored: int) -> None:
        assert total == pytest.approx(50_000_000, rel=0.01)
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        mmh.generate(tmp_path / "a.npy", size="50MB", progress=stop)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="asks how much is free")
def test_a_full_disk_is_told_before_any_work(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path)
    size = 2 * free.f_bavail * free.f_frsize
    if size > 1 << 43:
        pytest.skip("the disk is too large to be filled")
    with pytest.raises(OSError, match="space"):
        mmh.generate(tmp_path / "a.npy", size=size)
    assert os.listdir(tmp_path) == []


def test_the_command(run: Command, tmp_path: Path) -> None:
    done = run("generate", "a.safetensors", "--size", "1MB", "--seed", "7", "--json", "--sha256")
    (result,) = json.loads(done.stdout)["results"]
    assert done.returncode == 0
    assert result["sha256"] == hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()
    assert {"path", "like", "dtype", "bytes", "asked_bytes", "tensors", "elements", "width", "layers"} <= set(result)
    again = run("generate", "a.safetensors", "--size", "1MB")
    assert again.returncode == 4 and b"already exists (use -f to overwrite it)" in again.stderr
    piped = run("generate", "-", "--size", "1MB", "--seed", "7")
    assert hashlib.sha256(piped.stdout).hexdigest() == result["sha256"] and piped.stderr == b""
    for words in (["a.txt"], ["b.npy", "--like", "x"], ["b.npy", "--size", "x"], ["b.npy", "--tier", "9"]):
        wrong = run("generate", *words)
        assert wrong.returncode == 64 and len(lines(wrong.stderr)) == 1
    told = run("generate", "b.npy", "--size", "10kB", "--sha256")
    assert told.stdout.decode().split() == [hashlib.sha256((tmp_path / "b.npy").read_bytes()).hexdigest(), "b.npy"]

"""Files of other formats: their tensors are found, and every byte comes back."""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import sys
import tarfile
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

import mmh_rs as mmh
from support import Command, plain_safetensors

DATA = Path(__file__).parents[1] / "data"
EXPECTED: dict[str, list[list[Any]]] = json.loads((DATA / "expected.json").read_text())


def compressed(path: Path) -> mmh.CompressReport:
    """Compresses a file beside itself, and compares what comes back."""
    report = mmh.compress_file(path, f"{path}.mmh", force=True)
    back = path.with_name("back")
    mmh.decompress_file(f"{path}.mmh", back, force=True)
    assert back.read_bytes() == path.read_bytes()
    return report


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    compressed(path)
    with mmh.open(f"{path}.mmh") as archive:
        return {info.name: archive.get(info.name) for info in archive.infos()}


def assert_equal(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert sorted(found) == sorted(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes(), name


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.02, shape).astype(np.float32)


@pytest.mark.parametrize("name", EXPECTED)
def test_small_files_of_each_library(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes((DATA / name).read_bytes())
    report = compressed(path)
    assert report.format != "opaque"
    with mmh.open(f"{path}.mmh") as archive:
        infos = archive.infos()
        if not infos:  # names would have cost more than the promised 1 KiB
            assert name == "legacy.pt" or not EXPECTED[name]
            return
        rows = [[i.name, i.dtype, [*i.shape], blake3(archive.get(i.name).tobytes()).hexdigest(length=8)] for i in infos]
    assert sorted(rows) == EXPECTED[name]


def test_safetensors_that_are_cut_off(tmp_path: Path) -> None:
    """What is whole of them is listed; what the cut goes through is compressed as what it is."""
    arrays = [normal(600, 500, seed=i).astype([np.float32, np.float16][i % 2]) for i in range(4)]
    names = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16"}
    bytes_of = plain_safetensors(
        {f"layer.{i}": (names[array.dtype], [*array.shape], array.tobytes()) for i, array in enumerate(arrays)}
    )
    whole = tmp_path / "whole.safetensors"
    whole.write_bytes(bytes_of)
    begin = 8 + int.from_bytes(bytes_of[:8], "little")
    least = compressed(whole).ratio
    ends = np.cumsum([array.nbytes for array in arrays])
    for length in (begin, begin + 1, begin + 900_001, begin + int(ends[1]) + 300_001, len(bytes_of) - 1):
        path = tmp_path / "cut.safetensors"
        path.write_bytes(bytes_of[:length])
        report = compressed(path)
        assert report.format == "safetensors"
        assert report.tensors == sum(begin + end <= length for end in ends)
        if length > begin + 1_300_000:
            assert report.ratio < least * 1.03
    # Small ones have no index; their header says what is whole all the same.
    small = {f"layer.{i}": ("F32", [100], normal(100, seed=i).tobytes()) for i in range(40)}
    bytes_of_small = plain_safetensors(small)
    for lost in (0, 1, 400, 401, 16_000):
        blob = mmh.compress(bytes_of_small[: len(bytes_of_small) - lost])
        with mmh.open(blob) as archive:
            assert archive.keys() == [f"layer.{i}" for i in range(40 - -(-lost // 400))]
            assert all(archive.get(name).tobytes() == small[name][2] for name in archive.keys())  # noqa: SIM118
            assert archive.verify().ok
    behind = tmp_path / "behind.safetensors"
    behind.write_bytes(bytes_of + b"more")
    assert compressed(behind).format == "opaque"


def test_tokenizers_lose_their_lengths(tmp_path: Path) -> None:
    """Strings behind lengths, as GGUF keeps tokens, are smaller without the lengths between them."""
    random = np.random.default_rng(3)
    parts = ["to", "ken", "izer", "ing", " the", "s", "ion", "Ġ", "ab", "er"]
    tokens = ["".join(parts[i] for i in random.integers(0, 10, random.integers(1, 5))).encode() for _ in range(60_000)]
    listed = b"".join(struct.pack("<Q", len(token)) + token for token in tokens)
    data = b"GGUF" + struct.pack("<IQQ", 9, 0, 1) + listed + bytes(5000)
    path = tmp_path / "tokens"
    path.write_bytes(data)
    for level in ("fast", "balanced", "max"):
        report = mmh.compress_file(path, f"{path}.mmh", level=level, force=True)
        assert report.codecs["hierarchical"]["raw"] > len(listed) * 0.9, level
        alone = mmh.compress_file(path, f"{path}.zstd.mmh", level=level, codec="zstd", force=True)
        assert report.stored_bytes < alone.stored_bytes * 0.95, level
        mmh.decompress_file(f"{path}.mmh", tmp_path / "back", force=True)
        assert (tmp_path / "back").read_bytes() == data


def test_chunks_of_hdf5_are_as_small_as_whole_datasets(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    array = normal(700, 900)
    ratios = []
    for chunks in (None, (100, 300)):
        with h5py.File(tmp_path / "weights.h5", "w") as file:
            file.create_dataset("weights", data=array, chunks=chunks)
        ratios.append(compressed(tmp_path / "weights.h5").ratio)
    assert ratios[1] < ratios[0] * 1.01


@pytest.mark.parametrize("name", EXPECTED)
def test_cut_and_damaged_files_come_back(name: str) -> None:
    whole = (DATA / name).read_bytes()
    for length in range(0, len(whole), 1 + len(whole) // 150):
        assert mmh.decompress(mmh.compress(whole[:length], threads=1)) == whole[:length]
    rng = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 4):
            data[at] = rng.integers(256)
        assert mmh.decompress(mmh.compress(data, threads=1)) == data


class Storage:
    """What a pickle of PyTorch's has in place of a storage."""

    def __init__(self, key: str, array: np.ndarray) -> None:
        self.key, self.array = key, array


class TorchPickler(pickle.Pickler):
    """Writes arrays as PyTorch writes tensors, without PyTorch."""

    def __init__(self, file: io.BytesIO, torch: types.ModuleType, utils: types.ModuleType) -> None:
        super().__init__(file, protocol=2)
        self.torch, self.utils, self.storages = torch, utils, list[Storage]()

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return NotImplemented
        self.storages.append(Storage(str(len(self.storages)), value))
        strides = tuple(stride // value.itemsize for stride in value.strides)
        return self.utils._rebuild_tensor_v2, (self.storages[-1], 0, value.shape, strides, False, {})

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Storage):
            return None
        return ("storage", self.torch.FloatStorage, value.key, "cpu", value.array.size)


@pytest.fixture
def pickled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Pickles a value and returns that with the arrays in it, while the modules are there that the pickle names."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})  # type: ignore[attr-defined]

    def _rebuild_tensor_v2() -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    def write(value: Any) -> tuple[bytes, list[Storage]]:
        file = io.BytesIO()
        pickler = TorchPickler(file, torch, utils)
        pickler.dump(value)
        return file.getvalue(), pickler.storages

    yield write


LAYER = {"layers.0.weight": normal(64, 128), "layers.0.bias": normal(64, seed=1)}
STATE = {"model": LAYER, "step": 3, "extra": [normal(9)]}
WANTED = {
    "model.layers.0.weight": normal(64, 128),
    "model.layers.0.bias": normal(64, seed=1),
    "extra.0": normal(9),
}


def test_pytorch_archives(pickled: Any, tmp_path: Path) -> None:
    content, storages = pickled(STATE)
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", "little")
        for storage in storages:
            archive.writestr(f"archive/data/{storage.key}", storage.array.tobytes())
        archive.writestr("archive/version", "3\n")
    assert_equal(arrays_of(path), WANTED)
    assert compressed(path).format == "pytorch"


def test_legacy_pytorch(pickled: Any, tmp_path: Path) -> None:
    content, storages = pickled(STATE)
    path = tmp_path / "model.pt"
    parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    parts += [content, pickle.dumps([storage.key for storage in storages], 2)]
    for storage in storages:
        parts += [struct.pack("<q", storage.array.size), storage.array.tobytes()]
    path.write_bytes(b"".join(parts))
    assert_equal(arrays_of(path), WANTED)
    assert compressed(path).format == "pytorch-legacy"


def test_pickles_are_not_executed(tmp_path: Path) -> None:
    path, witness = tmp_path / "model.pt", tmp_path / "witness"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", f"cbuiltins\nopen\n(V{witness}\nVw\ntR.")
    assert compressed(path).format == "pytorch"
    assert not witness.exists()


def test_gguf(tmp_path: Path) -> None:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    weight, blocks = normal(32, 256), np.random.default_rng(1).integers(0, 256, (64, 18), np.uint8)
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 1) + text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head += text("token_embd.weight") + struct.pack("<IQQIQ", 2, 256, 32, 0, 0)
    head += text("blk.0.ffn_up.weight") + struct.pack("<IQQIQ", 2, 64, 32, 2, weight.nbytes)
    path = tmp_path / "model.gguf"
    path.write_bytes(head + bytes(-len(head) % 32) + weight.tobytes() + blocks.tobytes())
    wanted = {"token_embd.weight": weight, "blk.0.ffn_up.weight": blocks.reshape(32, 36)}
    assert_equal(arrays_of(path), wanted)
    with mmh.open(f"{path}.mmh") as archive:
        assert archive.info("blk.0.ffn_up.weight").shape == (32, 64)
        assert archive.info("blk.0.ffn_up.weight").dtype == "Q4_0"


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tar(form: int, tmp_path: Path) -> None:
    weight = normal(160, 128)
    np.save(tmp_path / "weight.npy", weight)
    name = "directory/" + "x" * (90 if form == tarfile.USTAR_FORMAT else 200) + ".npy"
    path = tmp_path / "all.tar"
    with tarfile.open(path, "w", format=form) as archive:
        archive.add(tmp_path / "weight.npy", name)
        archive.add(tmp_path / "weight.npy", "again.npy")
        archive.add(DATA / "module.pt", "small.pt")
    with mmh.open(mmh.compress(path.read_bytes())) as archive:
        assert archive.header.format == "tar"
        (first, second) = archive.keys()
        assert first == f"{name}:data" and second == "again.npy:data"
        assert np.array_equal(archive.get(first), weight)
    assert compressed(path).format == "tar"
    with mmh.open(f"{path}.mmh") as archive:
        assert archive.info(second).copy_of == first
    whole = path.read_bytes()
    for cut in (512, 700, 20_000, len(whole) - 3000):
        assert mmh.decompress(mmh.compress(whole[:cut])) == whole[:cut]
    lying = whole.replace(b"again.npy", b"0gain.npy")
    assert mmh.decompress(mmh.compress(lying)) == lying


def test_list_and_safe_open(run: Command) -> None:
    run("compress", "-q", DATA / "checkpoint.pt", "-o", "checkpoint.pt.mmh")
    result: subprocess.CompletedProcess[bytes] = run("list", "checkpoint.pt.mmh")
    assert b"optimizer.state.0.exp_avg_sq" in result.stdout
    blob = mmh.compress((DATA / "module.pt").read_bytes())
    with mmh.open(blob) as archive:
        assert archive.keys()[:2] == ["0.weight", "0.bias"]
        assert archive.get("0.weight").shape == (2, 3)


def test_tensors_in_a_pipe_have_dtypes(run: Command, tmp_path: Path) -> None:
    """Where names would cost more than is promised, the dtypes are used all the same."""
    arrays = {f"layer.{i}": normal(1 << 16, seed=i) for i in range(48)}
    np.savez(tmp_path / "a.npz", **arrays)
    size = (tmp_path / "a.npz").stat().st_size
    named = mmh.compress_file(tmp_path / "a.npz").stored_bytes
    piped = run("compress", "-q", "-c", "a.npz").stdout
    assert size > 12 << 20
    assert abs(len(piped) - named) < size // 1000
    assert mmh.decompress(piped) == (tmp_path / "a.npz").read_bytes()


def test_arrays_that_numpy_wrote_to_a_pipe(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

        def seek(self, *_: int) -> int:
            raise OSError

    pipe = Pipe()
    arrays = {"a": normal(100, 30), "b": np.arange(500)}
    np.savez(pipe, **arrays)
    path = tmp_path / "a.npz"
    path.write_bytes(pipe.getvalue())
    assert_equal(arrays_of(path), arrays)
    # Without the directory at the end.
    path.write_bytes(pipe.getvalue()[:-100])
    assert_equal(arrays_of(path), arrays)


def test_bfloat16_of_numpy_is_recognized(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    path = tmp_path / "a.npy"
    np.save(path, normal(300, 200).astype(ml_dtypes.bfloat16))
    report = compressed(path)
    assert (report.format, report.tensors) == ("npy", 0)
    assert report.ratio < 0.75


def test_pytorch_itself(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 96), torch.nn.Linear(96, 8).to(torch.bfloat16))
    optimizer = torch.optim.Adam(model[0].parameters())
    model[0](torch.randn(4, 64)).sum().backward()
    optimizer.step()
    value = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "turned": torch.randn(30, 50).t()}
    wanted = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for i, moments in optimizer.state_dict()["state"].items():
        wanted |= {f"optimizer.state.{i}.{name}": tensor for name, tensor in moments.items()}
    wanted["turned"] = value["turned"]
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        path = tmp_path / "model.pt"
        torch.save(value, path, **options)
        found = arrays_of(path)
        assert sorted(found) == sorted(wanted)
        for name, tensor in wanted.items():
            array = found[name].view(np.uint16) if tensor.dtype == torch.bfloat16 else found[name]
            theirs = tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor
            assert np.array_equal(array, theirs.numpy())


def test_onnx_itself(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    arrays = {"w": normal(64, 128), "i": np.arange(1000), "h": normal(50).astype(np.float16)}
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(helper.make_graph([], "g", [], [], tensors)), path)
    assert_equal(arrays_of(path), arrays)


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_hdf5_itself(version: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    arrays = {f"group {i % 3}/layer {i}/kernel:0": normal(20 + i, 30, seed=i) for i in range(24)}
    path = tmp_path / "model.h5"
    with h5py.File(path, "w", libver=version) as file:
        for name, array in arrays.items():
            file[name] = array
    assert_equal(arrays_of(path), arrays)

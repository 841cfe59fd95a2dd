"""`safe_open` does what safetensors' own does, and more where that fails by accident."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

import mmh_rs as mmh
from support import WIDTHS, Counting, model_tensors, plain_safetensors, weights

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

FRAMEWORKS = ["np", pytest.param("pt", marks=pytest.mark.skipif(torch is None, reason="needs PyTorch"))]
needs_torch = pytest.mark.skipif(torch is None, reason="needs PyTorch")


def content(tensor: Any) -> tuple[Any, tuple[int, ...], bytes]:
    """What two tensors have to have in common: dtype, shape and bytes."""
    if torch is not None and isinstance(tensor, torch.Tensor):
        flat = tensor.contiguous().reshape(-1)
        return tensor.dtype, tuple(tensor.shape), flat.view(torch.uint8).numpy().tobytes()
    return tensor.dtype, tensor.shape, tensor.tobytes()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A safetensors file whose tensors NumPy can hold, and its `.mmh`."""
    tensors = {
        "z.wide": ("F32", [40, 6, 5], np.random.default_rng(1).normal(size=1200).astype(np.float32).tobytes()),
        "a.long": ("I64", [3000], np.arange(3000, dtype=np.int64).tobytes()),
        "m.scalar": ("F64", [], np.array(2.5).tobytes()),
        "b.empty": ("F16", [0, 3], b""),
    }
    path = tmp_path / "pair.safetensors"
    path.write_bytes(plain_safetensors(tensors, {"format": "pt"}))
    mmh.compress_file(path)
    return path, Path(f"{path}.mmh")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_names_and_metadata(pair: tuple[Path, Path], framework: str) -> None:
    plain, packed = pair
    with safetensors.safe_open(plain, framework) as theirs, mmh.safe_open(packed, framework) as ours:
        assert ours.keys() == theirs.keys()
        assert ours.offset_keys() == theirs.offset_keys()
        assert ours.metadata() == theirs.metadata() == {"format": "pt"}
        mine, other = ours.get_tensors(), theirs.get_tensors()
        assert list(mine) == list(other)
        for name in other:
            assert content(ours.get_tensor(name)) == content(theirs.get_tensor(name)) == content(mine[name])
            assert ours.get_slice(name).get_shape() == theirs.get_slice(name).get_shape()
            assert ours.get_slice(name).get_dtype() == theirs.get_slice(name).get_dtype()


def test_metadata_may_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for metadata in (None, {}, {"a": "ü\n\u2028"}):
        path.write_bytes(plain_safetensors({"t": ("U8", [3000], weights(1500).tobytes())}, metadata))
        mmh.compress_file(path, force=True)
        with mmh.safe_open(f"{path}.mmh", "np") as ours, safetensors.safe_open(path, "np") as theirs:
            assert ours.metadata() == theirs.metadata()


INDICES = [
    np.s_[:], np.s_[...], np.s_[()], np.s_[0], np.s_[-1], np.s_[39], np.s_[-40], np.s_[1:3], np.s_[:, 1],
    np.s_[:, 1, :], np.s_[..., 1],
    np.s_[1, ..., 0], np.s_[::2], np.s_[:, ::2], np.s_[1:1], np.s_[0, 0, 0], np.s_[1, 1:2, ...],
    np.s_[..., 0:1, 0], np.s_[0:40:3], np.s_[True], np.s_[np.int64(1)], np.s_[np.array(1)], np.s_[[]], np.s_[5:9, -1],
    np.s_[0, 0:3], np.s_[3, 2, 1:4], np.s_[2, :, ::2], np.s_[7:8, 2, 3], np.s_[-3, -2, -1], np.s_[np.int32(2), 1:3],
    np.s_[-2:], np.s_[:-1], np.s_[-100:], np.s_[2:100], np.s_[100:], np.s_[3:1], np.s_[0:2, -1, -1:], np.s_[5:2, :],
    np.s_[:, :, :, :], np.s_[0, 0, 0, 0], np.s_[40], np.s_[-41], np.s_[:, 6], np.s_[:, -7], np.s_[::-1], np.s_[::0],
    np.s_[..., ...], np.s_[None], np.s_[:, None], np.s_[..., None], np.s_[None, 0], np.s_[0, None], np.s_[3, None, 1:2],
    np.s_[[0, 2]], np.s_[:, [0, 1]], np.s_[0, [1]], np.s_[0, :, [1, 2]], np.s_[np.array([0, 2])], np.s_["x"],
    np.s_[1.0], np.s_["a":], np.s_[True, 0], np.s_[:, True], np.s_[..., 0, 0, 0], np.s_[0, ..., 0, 0],
]  # fmt: skip


def outcome(get: Any) -> Any:
    try:
        return content(get())
    except Exception as error:
        return error


# What safetensors does for NumPy by accident: numbers that wrapped around. Ours does what NumPy does.
ACCIDENTS = (OverflowError, SystemError)


@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("name", ["z.wide", "a.long", "m.scalar", "b.empty"])
def test_numpy_slices(pair: tuple[Path, Path], name: str, index: Any) -> None:
    plain, packed = pair
    with safetensors.safe_open(plain, "np") as theirs, mmh.safe_open(packed, "np") as ours:
        wanted = outcome(lambda: theirs.get_slice(name)[index])
        found = outcome(lambda: ours.get_slice(name)[index])
        if isinstance(wanted, ACCIDENTS) or (isinstance(wanted, safetensors.SafetensorError) and type(found) is tuple):
            # Slices beyond the end are cut, as by NumPy. (True is 1 to safetensors, a mask to NumPy.)
            plainly = tuple(int(item) if item is True else item for item in index) if type(index) is tuple else index
            numpy_s = outcome(lambda: np.asarray(theirs.get_tensor(name)[plainly]))
            assert found == numpy_s if type(numpy_s) is tuple else isinstance(found, IndexError)
        elif isinstance(wanted, safetensors.SafetensorError):
            assert isinstance(found, mmh.MmhError) and isinstance(found, IndexError)
        elif isinstance(wanted, Exception):
            assert isinstance(found, (type(wanted), IndexError))
        else:
            assert found == wanted


@needs_torch
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("name", ["z.wide", "a.long", "m.scalar", "b.empty"])
def test_torch_slices(pair: tuple[Path, Path], name: str, index: Any) -> None:
    plain, packed = pair
    with safetensors.safe_open(plain, "pt") as theirs, mmh.safe_open(packed, "pt") as ours:
        wanted = outcome(lambda: theirs.get_slice(name)[index])
        found = outcome(lambda: ours.get_slice(name)[index])
        if isinstance(wanted, Exception):
            assert isinstance(found, (type(wanted), IndexError)), (found, wanted)
        else:
            assert found == wanted


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("dtype", WIDTHS)
def test_every_dtype(tmp_path: Path, framework: str, dtype: str) -> None:
    """Ours reads all that theirs reads; and bfloat16 and fp8 for NumPy, where theirs needs luck."""
    size = 6 * 8 * WIDTHS[dtype] // 8
    data = np.random.default_rng(3).integers(0, 2, size, dtype=np.uint8).tobytes()
    path = tmp_path / "a.safetensors"
    path.write_bytes(plain_safetensors({"pad": ("U8", [4096], weights(2048).tobytes()), "t": (dtype, [6, 8], data)}))
    mmh.compress_file(path)
    with safetensors.safe_open(path, framework) as theirs, mmh.safe_open(f"{path}.mmh", framework) as ours:
        assert ours.get_slice("t").get_dtype() == theirs.get_slice("t").get_dtype() == dtype
        assert ours.get_slice("t").get_shape() == theirs.get_slice("t").get_shape() == [6, 8]
        wanted = outcome(lambda: theirs.get_tensor("t"))
        found = outcome(lambda: ours.get_tensor("t"))
        if dtype.startswith("F6_") or (dtype == "F4" and framework == "np"):
            assert isinstance(wanted, Exception) and isinstance(found, TypeError)
            return
        assert found[2] == data
        if not isinstance(wanted, Exception):
            assert found == wanted
            part = outcome(lambda: theirs.get_slice("t")[2:4])
            if not isinstance(part, Exception):
                assert content(ours.get_slice("t")[2:4]) == part
        assert content(ours.get_slice("t")[2:4])[2] == data[size // 3 : size // 3 * 2]


def test_errors(pair: tuple[Path, Path], tmp_path: Path) -> None:
    _, packed = pair
    with pytest.raises(FileNotFoundError):
        mmh.safe_open(tmp_path / "absent.mmh", "np")
    with pytest.raises(TypeError):
        mmh.safe_open(packed)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        mmh.safe_open(packed, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        mmh.safe_open(bytes(packed), "np")  # type: ignore[arg-type]
    with pytest.raises(mmh.MmhError, match=r"framework tensorgrad is invalid \(accepted: pt, torch"):
        mmh.safe_open(packed, "tensorgrad")
    with pytest.raises(mmh.MmhError, match="device cuda:0 is not supported for framework numpy"):
        mmh.safe_open(packed, "np", device="cuda:0")
    (tmp_path / "other").write_bytes(b"PK\x03\x04" * 100)
    with pytest.raises(mmh.UnsupportedFormatError):
        mmh.safe_open(tmp_path / "other", "np")
    (tmp_path / "text").write_bytes(b"text" * 1000)
    mmh.compress_file(tmp_path / "text")
    with pytest.raises(mmh.MmhError, match="holds no tensors"):
        mmh.safe_open(tmp_path / "text.mmh", "np")
    with mmh.safe_open(packed, "np") as file:
        for get in (file.get_tensor, file.get_slice):
            with pytest.raises(mmh.MmhError, match="does not contain tensor absent"):
                get("absent")
            with pytest.raises(TypeError):
                get(5)  # type: ignore[arg-type]


def test_closed(pair: tuple[Path, Path]) -> None:
    with mmh.safe_open(pair[1], "np") as file:
        part = file.get_slice("a.long")
    for use in (file.keys, file.offset_keys, file.metadata, file.get_tensors, lambda: file.get_tensor("a.long")):
        with pytest.raises(mmh.MmhError, match="closed"):
            use()
    assert part[5] == 5  # as safetensors has it


def test_without_with(pair: tuple[Path, Path]) -> None:
    file = mmh.safe_open(pair[1], framework="numpy", backend="pread")
    assert isinstance(file, mmh.safe_open)
    assert file.get_tensor("m.scalar") == 2.5


def test_plain_files_go_to_safetensors(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with mmh.safe_open(pair[0], framework="np") as file:
        assert isinstance(file, safetensors.safe_open)
        assert file.get_tensor("m.scalar") == 2.5
    import sys

    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"pip install 'mmh-rs\[safetensors\]'"):
        mmh.safe_open(pair[0], framework="np")


def test_other_formats(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(5000.0))
    mmh.compress_file(tmp_path / "a.npy")
    with mmh.safe_open(tmp_path / "a.npy.mmh", "np") as file:
        (name,) = file.keys()
        assert file.metadata() is None
        np.testing.assert_array_equal(file.get_slice(name)[10:20], np.arange(10.0, 20.0))


TENSOR = '{"t":{"dtype":"%s","shape":%s,"data_offsets":%s}}'


@pytest.mark.parametrize(
    "header",
    [
        b"[]", b"{", b'{"t": 5}', b"{" * 5000, b"{\xff}", b'{},"__metadata__":{}}', b'{"__metadata__":{"a":1}}',
        b'{"__metadata__":[]}', *[
            (TENSOR % fields).encode()
            for fields in [
                ("F32", "[2]", "[0,9]"), ("F99", "[2]", "[0,8]"), ("F32", "[-2]", "[0,8]"),
                ("F32", "2", "[0,8]"), ("F32", "[2]", "[8,0]"), ("F32", "[2.0]", "[0,8]"), ("F32", "[true,2]", "[0,8]"),
                ("F32", '["2"]', "[0,8]"), ("F32", "[2]", "[0]"), ("F32", "[2]", "null"), ("F4", "[15]", "[0,8]"),
            ]
        ],
    ],
)  # fmt: skip
def test_invalid_headers(header: bytes) -> None:
    """The header comes from the file, and the file from anywhere."""
    from mmh_rs._safetensors import read_header

    data = len(header).to_bytes(8, "little") + header + bytes(8)
    with pytest.raises(mmh.CorruptionError):
        read_header(lambda start, count: data[start : start + count], len(data))


def test_tensors_that_are_cut_off_are_not_there() -> None:
    from mmh_rs._safetensors import read_header

    header = (
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}'
    )
    data = len(header).to_bytes(8, "little") + header + bytes(8 + 7)
    found = read_header(lambda start, count: data[start : start + count], len(data))
    assert [entry.name for entry in found.tensors] == ["a"]


@pytest.mark.parametrize("data", [b"", bytes(8), b"\xff" * 20, b"\2\0\0\0\0\0\0\0[]"])
def test_no_headers(data: bytes) -> None:
    from mmh_rs._safetensors import read_header

    with pytest.raises(mmh.CorruptionError):
        read_header(lambda start, count: data[start : start + count], len(data))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_many_threads(archive_path: Path, framework: str) -> None:
    names = [name for name, (dtype, _, _) in model_tensors().items() if dtype != "none"]
    barrier = threading.Barrier(8)
    with mmh.safe_open(archive_path, framework) as file:
        wanted = {name: content(file.get_tensor(name)) for name in names}

        def work(number: int) -> None:
            barrier.wait()
            for turn in range(8):
                name = names[(number + turn) % len(names)]
                assert content(file.get_tensor(name)) == wanted[name]
                assert file.keys() == sorted(names)
                assert file.metadata() == {"format": "pt", "note": "größer ✓"}

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_slices_read_just_their_rows(tmp_path: Path, framework: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.safetensors"
    rows = weights(2048 * 4096, 5).tobytes()
    path.write_bytes(plain_safetensors({"w": ("BF16", [2048, 4096], rows)}))
    stored = mmh.compress_file(path).stored_bytes
    file = Counting(Path(f"{path}.mmh").read_bytes())
    archive = mmh.open(file)
    monkeypatch.setattr("mmh_rs._safe_open.open_archive", lambda _, base: archive)
    with mmh.safe_open(f"{path}.mmh", framework) as opened:
        file.count = 0
        part = opened.get_slice("w")[:128]
        assert content(part)[2] == rows[: 128 * 8192]
        assert file.count < stored / 3


@needs_torch
class TestTorch:
    def test_devices(self, pair: tuple[Path, Path]) -> None:
        for device in ("cpu", torch.device("cpu")):
            with mmh.safe_open(pair[1], "pt", device=device) as file:
                assert file.get_tensor("m.scalar").device.type == "cpu"
        with mmh.safe_open(pair[1], "pt", device="meta") as file:
            assert file.get_tensor("a.long").is_meta

    @pytest.mark.skipif(torch is None or not torch.cuda.is_available(), reason="needs a GPU")
    @pytest.mark.parametrize("device", ["cuda", "cuda:0", 0])
    def test_cuda(self, pair: tuple[Path, Path], device: Any) -> None:
        with mmh.safe_open(pair[1], "pt", device=device) as file:
            tensor = file.get_slice("a.long")[10:20]
            assert tensor.device.type == "cuda"
            assert tensor.tolist() == list(range(10, 20))

    def test_memory_of_a_part_is_its_own(self, pair: tuple[Path, Path]) -> None:
        with mmh.safe_open(pair[1], "torch") as file:
            part = file.get_slice("z.wide")[:, 1]
            assert part.is_contiguous()
            assert part.untyped_storage().nbytes() == part.numel() * 4

"""`mmh_rs.numpy`: the verbs of `safetensors.numpy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy as theirs

import mmh_rs as mmh
import mmh_rs.numpy as ours


@pytest.fixture
def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "weight": rng.normal(size=(50, 40)).astype(np.float32),
        "half": rng.normal(size=(30, 7)).astype(np.float16),
        "ids": np.arange(100, dtype=np.int64),
        "mask": rng.integers(0, 2, 99).astype(bool),
        "bytes": rng.integers(0, 255, 33).astype(np.uint8),
        "scalar": np.array(1.5),
        "empty": np.empty((0, 5), np.float32),
        'odd "name" ü': np.ones(3, np.complex64),
    }


def assert_same(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert sorted(left) == sorted(right)
    for name, array in left.items():
        assert array.dtype == right[name].dtype and array.shape == right[name].shape
        assert array.tobytes() == right[name].tobytes()


def test_files(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path = tmp_path / "model.safetensors.mmh"
    assert ours.save_file(arrays, path, {"format": "np"}) is None  # type: ignore[func-returns-value]
    assert_same(ours.load_file(path), arrays)
    assert [item.name for item in tmp_path.iterdir()] == ["model.safetensors.mmh"]
    with mmh.open(path) as archive:
        assert (archive.header.name, archive.header.format) == ("model.safetensors", "safetensors")


def test_the_original_is_what_safetensors_writes(tmp_path: Path, arrays: dict[str, Any]) -> None:
    ours.save_file(arrays, tmp_path / "a.mmh", {"a": 'quote " and ü'})
    mmh.decompress_file(tmp_path / "a.mmh", tmp_path / "a.safetensors")
    theirs.save_file(arrays, tmp_path / "b.safetensors", {"a": 'quote " and ü'})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    with mmh.open(tmp_path / "a.mmh") as archive:
        assert archive.header.name == "a.safetensors"


def test_bytes(arrays: dict[str, Any]) -> None:
    blob = ours.save(arrays, {"a": "b"})
    assert isinstance(blob, bytes)
    assert_same(ours.load(blob), arrays)
    assert_same(theirs.load(mmh.decompress(blob)), arrays)


def test_nothing(tmp_path: Path) -> None:
    ours.save_file({}, tmp_path / "a.mmh")
    assert ours.load_file(tmp_path / "a.mmh") == {}
    assert mmh.decompress((tmp_path / "a.mmh").read_bytes()) == theirs.save({})


def test_plain_files(tmp_path: Path, arrays: dict[str, Any]) -> None:
    theirs.save_file(arrays, tmp_path / "a.safetensors")
    assert_same(ours.load_file(tmp_path / "a.safetensors"), arrays)


def test_ml_dtypes(tmp_path: Path) -> None:
    arrays = {
        name: np.arange(-8, 8).astype(getattr(ml_dtypes, name))
        for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
    }
    ours.save_file(arrays, tmp_path / "a.mmh")
    assert_same(ours.load_file(tmp_path / "a.mmh"), arrays)


def test_big_endian_arrays_become_little_endian() -> None:
    loaded = ours.load(ours.save({"a": np.array([1.5, 2.5], ">f4")}))["a"]
    assert loaded.dtype == np.dtype("<f4")
    assert loaded.tolist() == [1.5, 2.5]


def test_files_are_overwritten_as_by_safetensors(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path = tmp_path / "a.mmh"
    path.write_bytes(b"before")
    ours.save_file(arrays, path)
    assert_same(ours.load_file(path), arrays)


@pytest.mark.parametrize(
    ("arrays", "metadata", "error", "message"),
    [
        ({"a": np.zeros((3, 4)).T}, None, ValueError, "'a' is not C-contiguous"),
        ({"a": np.zeros(3, "M8[s]")}, None, ValueError, "dtype datetime64.*safetensors does not know"),
        ({"a": np.zeros(3, np.complex128)}, None, ValueError, "complex128"),
        ({"a": [1, 2]}, None, TypeError, "'a' is list, expected a NumPy array"),
        ({5: np.zeros(3)}, None, ValueError, "5 cannot be the name"),
        ({"__metadata__": np.zeros(3)}, None, ValueError, "cannot be the name"),
        ({"a": np.zeros(3)}, {"a": 1}, TypeError, "metadata must map text to text"),
    ],
)
def test_errors(tmp_path: Path, arrays: Any, metadata: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ours.save_file(arrays, tmp_path / "a.mmh", metadata)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        ours.load_file(tmp_path / "absent.mmh")
    with pytest.raises(mmh.UnsupportedFormatError):
        ours.load(bytes(100))

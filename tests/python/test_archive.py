"""`open` and `Archive`: tensors, parts of them, and any range of bytes."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import mmh_rs as mmh
from support import WIDTHS, Counting, damage, model_tensors, plain_safetensors, weights

NUMPY = {
    "BF16": ml_dtypes.bfloat16, "F32": np.float32, "BOOL": np.bool_, "I64": np.int64, "F16": np.float16,
}  # fmt: skip


def expected(name: str) -> np.ndarray[Any, Any]:
    dtype, shape, data = model_tensors()[name]
    return np.frombuffer(data, NUMPY[dtype]).reshape(shape)


def same(left: Any, right: Any) -> bool:
    left, right = np.asarray(left), np.asarray(right)
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


@pytest.fixture
def archive(archive_path: Path) -> Any:
    with mmh.open(archive_path) as archive:
        yield archive


def test_names(archive: mmh.Archive) -> None:
    assert archive.keys() == list(archive) == list(model_tensors())
    assert len(archive) == 8
    assert "model.norm.weight" in archive
    assert "absent" not in archive
    assert 5 not in archive


def test_infos(archive: mmh.Archive, model: Path) -> None:
    original = model.read_bytes()
    for info in archive.infos():
        dtype, shape, data = model_tensors()[info.name]
        assert info == archive.info(info.name)
        assert (info.dtype, info.shape, info.nbytes) == (dtype, tuple(shape), len(data))
        assert original[info.start : info.start + info.nbytes] == data
        assert info.stored is not None and (info.stored > 0) == (info.nbytes > 0)
        assert bool(info.codecs) == bool(info.frames) == bool(data)
        assert info.blake3 is not None
        assert not info.fortran and info.copy_of is None
    with pytest.raises(AttributeError):
        archive.infos()[0].name = "x"  # type: ignore[misc]
    with pytest.raises(KeyError, match="absent"):
        archive.info("absent")


def test_header(archive: mmh.Archive, archive_path: Path, model: Path) -> None:
    header = archive.header
    assert (header.version, header.name, header.format) == (0, "model.safetensors", "safetensors")
    assert header.source_bytes == model.stat().st_size
    assert header.stored_bytes == archive_path.stat().st_size
    assert header.tensors == 8
    assert header.ratio == pytest.approx(header.stored_bytes / header.source_bytes)
    assert sum(total["raw"] for total in header.codecs.values()) == header.source_bytes
    assert sum(total["frames"] for total in header.codecs.values()) == header.frames


@pytest.mark.parametrize("name", model_tensors())
def test_get(archive: mmh.Archive, name: str) -> None:
    array = archive.get(name)
    assert same(array, expected(name))
    assert array.flags.writeable and array.flags.owndata


@pytest.mark.parametrize("name", model_tensors())
def test_get_into(archive: mmh.Archive, name: str) -> None:
    wanted = expected(name)
    raw = bytearray(wanted.nbytes)
    assert archive.get_into(name, raw) == wanted.nbytes
    assert raw == wanted.tobytes()
    array = np.empty(wanted.shape, wanted.dtype)
    assert archive.get_into(name, array, threads=1) == wanted.nbytes
    assert same(array, wanted)


def test_get_into_wants_the_right_buffer(archive: mmh.Archive) -> None:
    for size in (2047, 2049, 0):
        with pytest.raises(ValueError, match=f"out has {size} bytes, tensor 'model.norm.weight' has 2048"):
            archive.get_into("model.norm.weight", bytearray(size))
    with pytest.raises(ValueError, match="read-only"):
        archive.get_into("model.norm.weight", bytes(2048))
    with pytest.raises(KeyError):
        archive.get_into("absent", bytearray(1))


SLICES = [
    np.s_[:], np.s_[...], np.s_[()], np.s_[0], np.s_[-1], np.s_[3:10], np.s_[-5:], np.s_[:-500], np.s_[10:10],
    np.s_[20:5], np.s_[5:99999], np.s_[99999:], np.s_[::7], np.s_[3:100:9], np.s_[:, 0], np.s_[:, -3:], np.s_[1:4, ::5],
    np.s_[2, 3], np.s_[..., 1], np.s_[1, ...], np.s_[..., 4:6], np.s_[0:5, ..., 2], np.s_[np.int64(3)], np.s_[2:7, 3:3],
]  # fmt: skip


@pytest.mark.parametrize("index", SLICES, ids=str)
def test_slices_are_numpy_s(archive: mmh.Archive, index: Any) -> None:
    part = archive.get_slice("model.embed.weight")[index]
    assert same(part, expected("model.embed.weight")[index])
    assert part.flags.c_contiguous and part.flags.writeable


@pytest.mark.parametrize(
    "index",
    [np.s_[2, 10:20], np.s_[-1, -1, -1], np.s_[1, 2, 3:9], np.s_[:, 2, 3], np.s_[3, ..., 5], np.s_[1:3, -2:]],
    ids=str,
)
def test_slices_of_three_axes(archive: mmh.Archive, index: Any) -> None:
    assert same(archive.get_slice("model.experts")[index], expected("model.experts")[index])


def test_slices_of_odd_tensors(archive: mmh.Archive) -> None:
    assert same(archive.get_slice("model.scale")[()], np.array(0.5, np.float32))
    assert archive.get_slice("model.empty")[:].shape == (0, 7)
    assert archive.get_slice("model.empty")[0:0, 2:4].shape == (0, 2)
    assert same(archive.get_slice("model.positions")[0, 5], np.array(5, np.int64))
    assert archive.get_slice("model.norm.weight")[..., 3:5].shape == (2,)


def test_slices_know_themselves(archive: mmh.Archive) -> None:
    part = archive.get_slice("model.experts")
    assert part.get_shape() == [4, 64, 512]
    assert part.get_dtype() == "BF16"
    assert "model.experts" in repr(part)


@pytest.mark.parametrize(
    "index",
    [512, -513, (0, 512), (0, 0, 0), (slice(None), slice(None), 0), "x", 1.0, None, [1], (..., ...), np.array([1, 2]),
     slice(None, None, -1), slice(None, None, 0)],
    ids=str,
)  # fmt: skip
def test_wrong_indices(archive: mmh.Archive, index: Any) -> None:
    with pytest.raises(IndexError):
        archive.get_slice("model.embed.weight")[index]


def test_read(archive: mmh.Archive, model: Path) -> None:
    original = model.read_bytes()
    for start, size in [(0, 8), (0, len(original)), (len(original), 0), (100, 70_000), (len(original) - 5, 5), (3, 0)]:
        assert archive.read(start, size) == original[start : start + size]
        out = np.zeros(size, np.uint8)
        assert archive.read_into(start, out) == size
        assert out.tobytes() == original[start : start + size]
    for start, size in [(-1, 1), (0, len(original) + 1), (len(original) + 1, 0), (0, -1), (0, 1 << 62)]:
        with pytest.raises(ValueError, match="not within the original file"):
            archive.read(start, size)


def test_verify(archive: mmh.Archive) -> None:
    calls: list[tuple[int, int | None, int]] = []
    found = archive.verify(progress=lambda *call: calls.append(call))
    assert found and found.ok
    assert found.damaged == []
    assert found.source_bytes == archive.header.source_bytes
    assert found.frames == archive.header.frames
    assert calls


def test_verify_names_what_is_damaged(archive_path: Path) -> None:
    at = damage(archive_path, "model.experts")
    with mmh.open(archive_path) as archive:
        found = archive.verify()
        assert not found
        info = archive.info("model.experts")
        (place,) = [place for place in found.damaged if place["frame"] is not None]
        assert place["tensor"] == "model.experts"
        assert place["offset"] <= at
        assert info.start <= place["source_start"] < info.start + info.nbytes
        with pytest.raises(mmh.CorruptionError):
            archive.get("model.experts")
        assert same(archive.get("model.embed.weight"), expected("model.embed.weight"))


def test_sources_of_every_kind(archive_path: Path) -> None:
    data = archive_path.read_bytes()
    with archive_path.open("rb") as file:
        sources: list[Any] = [str(archive_path), archive_path, data, bytearray(data), memoryview(data),
                              np.frombuffer(data, np.uint8), io.BytesIO(data), file]  # fmt: skip
        for source in sources:
            with mmh.open(source) as archive:
                assert same(archive.get("lm_head.weight"), expected("lm_head.weight"))
        file.seek(0)  # it was left open


def test_sources_of_the_wrong_kind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mmh.open(tmp_path / "absent.mmh")
    with pytest.raises(OSError):
        mmh.open(tmp_path)
    for data in (b"", b"short", bytes(1000)):
        with pytest.raises(mmh.MmhError):
            mmh.open(data)
    for source in (5, None, 1.5):
        with pytest.raises(TypeError):
            mmh.open(source)  # type: ignore[arg-type]

    class Pipe(io.RawIOBase):
        def readable(self) -> bool:
            return True

    with pytest.raises(ValueError, match="cannot seek"):
        mmh.open(Pipe())  # type: ignore[arg-type]


def test_closed(archive_path: Path) -> None:
    with mmh.open(archive_path) as archive:
        part = archive.get_slice("model.norm.weight")
        assert "8 tensors" in repr(archive)
    for use in (
        archive.keys,
        archive.verify,
        lambda: archive.get("model.mask"),
        lambda: archive.header,
        lambda: len(archive),
    ):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert "closed" in repr(archive)
    archive.close()
    assert same(part[5:9], expected("model.norm.weight")[5:9])


def big_archive() -> tuple[bytes, bytes]:
    """A tensor of many blocks: 32 MiB, 4096 rows of 8 KiB."""
    rows = weights(4096 * 4096, 9).tobytes()
    source = plain_safetensors({"w": ("BF16", [4096, 4096], rows), "v": ("BF16", [16], rows[:32])})
    return source, rows


def test_slices_read_just_what_they_need(tmp_path: Path) -> None:
    source, rows = big_archive()
    path = tmp_path / "big.safetensors"
    path.write_bytes(source)
    stored = mmh.compress_file(path).stored_bytes
    file = Counting(Path(f"{path}.mmh").read_bytes())
    with mmh.open(file) as archive:
        opened = file.count
        assert opened < 100_000
        for index, limit in [
            (np.s_[:16], 1),
            (np.s_[-16:], 1),
            (np.s_[2000], 1),
            (np.s_[2000:2003, 5], 2),
            (np.s_[9, 1:2], 1),
        ]:
            file.count = 0
            part = archive.get_slice("w")[index]
            assert same(part, np.frombuffer(rows, ml_dtypes.bfloat16).reshape(4096, 4096)[index])
            assert file.count < stored / 8 * limit, index
        file.count = 0
        archive.get("v")
        assert file.count < 1000
        assert archive.read(0, 8) == source[:8]
        assert file.count < 100_000


def test_many_threads_read_one_archive(archive_path: Path) -> None:
    barrier = threading.Barrier(8)

    def work(number: int, archive: mmh.Archive) -> None:
        barrier.wait()
        names = list(model_tensors())
        for turn in range(6):
            name = names[(number + turn) % len(names)]
            assert same(archive.get(name), expected(name))
            assert same(
                archive.get_slice("model.embed.weight")[number * 9 :: 50],
                expected("model.embed.weight")[number * 9 :: 50],
            )

    for source in (archive_path, io.BytesIO(archive_path.read_bytes())):
        with mmh.open(source) as archive, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number, archive=archive: work(number, archive), range(8)))


class Slow(io.BytesIO):
    """Lets other threads run in the middle of each read."""

    def read(self, size: int | None = -1) -> bytes:
        time.sleep(0.001)
        return super().read(size)


def test_threads_that_ask_and_threads_that_read(archive_path: Path) -> None:
    """Each needs the file object and the GIL; none may wait for one with the other in hand."""
    with mmh.open(Slow(archive_path.read_bytes())) as archive, ThreadPoolExecutor(4) as pool:
        name = next(iter(model_tensors()))
        work: list[Callable[[], object]] = [lambda: archive.header, lambda: archive.get(name), lambda: repr(archive)]
        list(pool.map(lambda i: work[i % 3](), range(60)))


@pytest.mark.parametrize("dtype", [dtype for dtype in WIDTHS if not dtype.startswith(("F4", "F6"))])
def test_every_dtype(tmp_path: Path, dtype: str) -> None:
    data = np.random.default_rng(0).integers(0, 256, 48 * WIDTHS[dtype] // 8, dtype=np.uint8).tobytes()
    path = tmp_path / "a.safetensors"
    path.write_bytes(plain_safetensors({"t": (dtype, [6, 8], data)}))
    mmh.compress_file(path)
    with mmh.open(f"{path}.mmh") as archive:
        array = archive.get("t")
        assert array.tobytes() == data
        assert array.shape == (6, 8) and array.dtype.itemsize * 8 == WIDTHS[dtype]


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "F6_E3M2"])
def test_packed_dtypes_are_bytes(tmp_path: Path, dtype: str) -> None:
    data = bytes(range(48 * WIDTHS[dtype] // 8))
    path = tmp_path / "a.safetensors"
    path.write_bytes(plain_safetensors({"t": (dtype, [6, 8], data)}))
    mmh.compress_file(path)
    with mmh.open(f"{path}.mmh") as archive:
        with pytest.raises(TypeError, match=f"no packed {dtype} arrays"):
            archive.get("t")
        out = bytearray(len(data))
        archive.get_into("t", out)
        assert out == data


def test_tensors_of_a_file_too_small_for_an_index(tmp_path: Path) -> None:
    """Its header says it is safetensors, and the tensors are found in the original's own header."""
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(plain_safetensors({"t": ("F32", [2], b"abcdefgh"), "s": ("U8", [], b"x")}, {"a": "b"}))
    mmh.compress_file(path)
    with mmh.open(f"{path}.mmh") as archive:
        assert archive.keys() == ["t", "s"]
        assert archive.info("t").shape == (2,)
        assert archive.get("t").tobytes() == b"abcdefgh"
        assert archive.get_slice("t")[1:].tobytes() == b"efgh"
        assert archive.get("s").tobytes() == b"x"
    with mmh.safe_open(f"{path}.mmh", "np") as file:
        assert file.metadata() == {"a": "b"}
        assert file.keys() == ["s", "t"]
        assert file.offset_keys() == ["t", "s"]


def test_files_without_tensors(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"no tensors" * 100)
    mmh.compress_file(path)
    with mmh.open(f"{path}.mmh") as archive:
        assert archive.header.format == "opaque"
        assert archive.keys() == []
        assert archive.read(3, 7) == b"tensors"


def test_why(archive: mmh.Archive) -> None:
    explained = archive.why()
    assert {why["name"] for why in explained} - {None} <= set(model_tensors())
    for why in explained:
        assert set(why) == {"name", "dtype", "start", "bytes", "stored", "chosen", "frames", "seen", "bids"}


def test_without_ml_dtypes(archive: mmh.Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match=r"pip install 'mmh-rs\[ml-dtypes\]'"):
        archive.get("model.embed.weight")
    assert same(archive.get("model.norm.weight"), expected("model.norm.weight"))

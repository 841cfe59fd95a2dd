"""Archives on a web server: what is fetched, and what is said when it cannot be."""

from __future__ import annotations

import io
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import mmh_rs as mmh
from mmh_rs import _http
from support import Server, model_tensors, plain_safetensors, weights


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "_PAUSES", (0.0, 0.0))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def url(server: Server, archive_path: Path) -> str:
    server.files["/model.mmh"] = archive_path.read_bytes()
    return f"{server.address}/model.mmh"


def test_tensors(url: str) -> None:
    with mmh.open(url) as archive:
        assert archive.keys() == list(model_tensors())
        for name, (_, _, data) in model_tensors().items():
            assert archive.get(name).tobytes() == data
        assert archive.verify()


def test_safe_open(url: str) -> None:
    with mmh.safe_open(url, "np") as file:
        assert file.get_slice("lm_head.weight")[3].tobytes() == model_tensors()["lm_head.weight"][2][3072:4096]


def test_a_slice_fetches_little(server: Server, tmp_path: Path) -> None:
    rows = weights(8192 * 4096, 9).tobytes()
    path = tmp_path / "big.safetensors"
    path.write_bytes(plain_safetensors({"w": ("BF16", [8192, 4096], rows)}))
    mmh.compress_file(path)
    server.files["/big.mmh"] = Path(f"{path}.mmh").read_bytes()
    stored = len(server.files["/big.mmh"])
    with mmh.open(f"{server.address}/big.mmh") as archive:
        assert len(server.requests) <= 3
        part = archive.get_slice("w")[5000:5016]
        assert part.tobytes() == np.frombuffer(rows, ml_dtypes.bfloat16).reshape(8192, 4096)[5000:5016].tobytes()
    assert sum(size for _, _, size in server.requests) < stored / 4
    assert len(server.requests) <= 6


def test_the_reader_is_a_file(server: Server) -> None:
    data = np.random.default_rng(0).integers(0, 256, 9_000_000, dtype=np.uint8).tobytes()
    server.files["/f"] = data
    reader = _http.RangeReader(f"{server.address}/f")
    reference = io.BytesIO(data)
    assert reader.seekable() and reader.readable() and not reader.writable()
    assert reader.size == len(data)
    rng = np.random.default_rng(1)
    for _ in range(150):
        position = int(rng.integers(0, len(data) + 100))
        size = int(rng.choice([0, 1, 40, 5000, 300_000, 5_000_000]))
        assert reader.seek(position) == reference.seek(position)
        assert reader.read(size) == reference.read(size)
        assert reader.tell() == reference.tell()
    reader.seek(-10, io.SEEK_END)
    assert reader.read() == data[-10:]
    reader.seek(5)
    out = bytearray(7)
    assert reader.readinto(out) == 7
    assert out == data[5:12]
    reader.seek(3, io.SEEK_CUR)
    assert reader.tell() == 15
    with pytest.raises(ValueError, match="negative"):
        reader.seek(-1)
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.read(1)


def test_small_reads_are_joined(server: Server) -> None:
    server.files["/f"] = bytes(3_000_000)
    reader = _http.RangeReader(f"{server.address}/f")
    for position in range(0, 1_000_000, 1000):
        reader.seek(position)
        reader.read(1000)
    assert len(server.requests) <= 4


def test_redirects_are_remembered(server: Server, url: str) -> None:
    server.redirects["/latest"] = "/model.mmh"
    with mmh.open(f"{server.address}/latest") as archive:
        archive.get("model.experts")
        assert [path for path, _, _ in server.requests].count("/latest") == 1
        # The signed address of a hub expires; the first one gives a new one.
        data = server.files.pop("/model.mmh")
        server.files["/moved.mmh"] = data
        server.redirects["/latest"] = "/moved.mmh"
        assert archive.verify()


def test_no_ranges(server: Server, url: str) -> None:
    server.ranges = False
    with pytest.raises(OSError, match="does not answer range requests; download the file"):
        mmh.open(url)


def test_absent(server: Server) -> None:
    with pytest.raises(FileNotFoundError, match="404") as caught:
        mmh.open(f"{server.address}/absent")
    assert caught.value.filename == f"{server.address}/absent"


def test_forbidden(server: Server, url: str) -> None:
    server.failures = [403]
    with pytest.raises(OSError, match="403"):
        mmh.open(url)


def test_failures_that_pass(server: Server, url: str) -> None:
    server.failures = [503, 429]
    with mmh.open(url) as archive:
        assert len(archive) == 8


def test_failures_that_stay(server: Server, url: str) -> None:
    server.failures = [503] * 10
    with pytest.raises(OSError, match="503"):
        mmh.open(url)
    assert len(server.requests) == 3


def test_nobody_there() -> None:
    with pytest.raises(OSError, match="cannot be reached"):
        mmh.open("http://127.0.0.1:9/model.mmh")


def test_not_an_mmh_file(server: Server) -> None:
    for data in (b"", b"x", b"<html>" * 1000):
        server.files["/page"] = data
        with pytest.raises(mmh.MmhError):
            mmh.open(f"{server.address}/page")


def test_a_file_that_changes(server: Server, tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 256, 9_000_000, dtype=np.uint8).tobytes()
    server.files["/f"] = data
    reader = _http.RangeReader(f"{server.address}/f")
    server.files["/f"] = data[:-1] + b"!"
    reader.seek(5_000_000)
    with pytest.raises(OSError, match="changed on the server"):
        reader.read(10)

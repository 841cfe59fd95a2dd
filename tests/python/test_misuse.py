"""What callers get wrong is said; nothing is filled, dropped or kept in silence."""

from __future__ import annotations

import http.server
import mmap
import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmh_rs as mmh
import mmh_rs.numpy
from support import Command, Server, damage, weights

X = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
Y = np.where(np.arange(len(X)) % 50 == 0, X * np.float32(1.01), X)
BLOB = mmh.compress(X)


class TestOut:
    @pytest.mark.parametrize(
        "out",
        [
            np.float32(0),
            np.zeros(1, [("a", "f4", 100_000)])[0],
            np.zeros((400, 250), np.float32, order="F"),
            np.zeros(200_000, np.float32)[::2],
            np.zeros(100_000, object),
            memoryview(bytearray(800_000))[::2],
            np.ma.zeros(100_000, np.float32),
        ],
        ids=["scalar", "record", "order F", "strided", "objects", "strided buffer", "masked"],
    )
    def test_a_copy_is_not_filled_in_its_place(self, out: Any, tmp_path: Path) -> None:
        for fill in (
            lambda: mmh.decompress(BLOB, out=out),
            lambda: mmh.open(BLOB).read_into(0, out),
        ):
            with pytest.raises((TypeError, ValueError)) as told:
                fill()
            assert "ascontiguousarray" not in str(told.value)

    def test_an_array_without_axes_is_filled(self) -> None:
        out = np.zeros((), np.float32)
        assert mmh.decompress(mmh.compress(np.float32(7)), out=out) == 4 and out == 7

    def test_memory_that_is_read_is_not_written(self) -> None:
        buffer = bytearray(X.nbytes)
        buffer[: len(BLOB)] = BLOB
        view = memoryview(buffer)
        with pytest.raises(ValueError, match="the same memory"):
            mmh.decompress(view[: len(BLOB)], out=view)
        assert buffer[: len(BLOB)] == BLOB
        with pytest.raises(ValueError, match="the same memory"):
            mmh.decompress(mmh.compress(Y, base=X), out=X, base=X)
        # Neighbours are not the same.
        room = bytearray(len(BLOB) + X.nbytes)
        room[: len(BLOB)] = BLOB
        assert mmh.decompress(memoryview(room)[: len(BLOB)], out=memoryview(room)[len(BLOB) :]) == X.nbytes
        assert room[len(BLOB) :] == X.tobytes()

    def test_fortran_order_is_not_taken_for_the_other(self, tmp_path: Path) -> None:
        array = np.asfortranarray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
        np.save(tmp_path / "f.npy", array)
        mmh.compress_file(tmp_path / "f.npy")
        archive = mmh.open(tmp_path / "f.npy.mmh")
        out = np.empty((2, 3, 4), np.int16, order="F")
        assert archive.get_into("data", out) == 48 and (out == array).all()
        with pytest.raises(ValueError, match="Fortran order"):
            archive.get_into("data", np.empty((2, 3, 4), np.int16))
        raw = bytearray(48)
        archive.get_into("data", raw)
        assert raw == array.tobytes(order="F")

    def test_limits_are_looked_at(self) -> None:
        with pytest.raises(TypeError, match="limits must be"):
            mmh.decompress(BLOB, out=bytearray(X.nbytes), limits="much")  # type: ignore[call-overload]


class TestSources:
    def test_a_mask_is_not_dropped(self) -> None:
        with pytest.raises(TypeError, match="mask"):
            mmh.compress(np.ma.masked_array([1.0, 2.0], [False, True]))

    def test_text_is_said_to_be_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.mmh").write_bytes(BLOB)
        with open(tmp_path / "a.mmh") as file, pytest.raises(TypeError, match="binary mode"):
            mmh.open(file)  # type: ignore[arg-type]

    def test_maps_of_memory(self, tmp_path: Path) -> None:
        (tmp_path / "a.mmh").write_bytes(BLOB)
        with open(tmp_path / "a.mmh", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert mmh.open(mapped).verify()
            assert not mmh.diff(mapped, tmp_path / "a.mmh")
            assert mmh.validate(mapped, proof="none")

    @pytest.mark.parametrize(
        "call",
        [
            lambda data, folder: mmh.compress_file(data, folder / "x"),
            lambda data, folder: mmh.decompress_file(data, folder / "x"),
            lambda data, folder: mmh.validate(data, proof="none"),
            lambda data, folder: mmh.estimate(data),
            lambda data, folder: mmh.diff(data, data),
        ],
    )
    def test_content_is_no_path(self, call: Callable[[bytes, Path], object], tmp_path: Path) -> None:
        with pytest.raises(TypeError) as told:
            call(BLOB, tmp_path)
        assert "must be a path" in str(told.value) and len(str(told.value)) < 100

    def test_a_path_may_be_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"x" * 1000)
        assert mmh.compress_file(os.fsencode(tmp_path / "a")).source_bytes == 1000


class TestBases:
    def test_one_that_is_not_needed_is_not_looked_at(self, tmp_path: Path) -> None:
        (tmp_path / "a.mmh").write_bytes(BLOB)
        assert mmh.decompress(BLOB, base="/not there") == X.tobytes()
        assert mmh.decompress(BLOB, out=bytearray(X.nbytes), base="/not there") == X.nbytes
        assert mmh.open(tmp_path / "a.mmh", base="/not there").verify()

    def test_damage_of_one_is_damage(self, model: Path, run: Command) -> None:
        base, tuned = model.with_name("base.mmh"), model.with_name("tuned.mmh")
        mmh.compress_file(model, base)
        other = bytearray(model.read_bytes())
        other[-5000] ^= 1
        model.write_bytes(other)
        mmh.compress_file(model, tuned, base=base)
        damage(base, "model.embed.weight")
        for call in (
            lambda: mmh.compress_file(model, tuned, base=base, force=True),
            lambda: mmh.decompress_file(tuned, model, base=base, force=True),
            lambda: mmh.open(tuned, base=base).verify(),
        ):
            with pytest.raises(mmh.CorruptionError, match=r"the base .*: damaged"):
                call()
        assert model.read_bytes() == other
        for words in (["decompress", "-f"], ["verify"]):
            done = run(*words, "tuned.mmh", "--base", "base.mmh")
            assert done.returncode == 2 and b"the base base.mmh" in done.stderr


class TestTrees:
    @pytest.mark.parametrize("error", [ValueError("enough"), TimeoutError("enough"), MemoryError("enough")])
    def test_whoever_is_told_may_stop_the_work(self, error: Exception, tmp_path: Path) -> None:
        (tmp_path / "tree").mkdir()
        for name in "ab":
            (tmp_path / "tree" / name).write_bytes(weights(2_000_000, ord(name)).tobytes())
        told = 0

        def progress(*_: object) -> None:
            nonlocal told
            told += 1
            raise error

        with pytest.raises(type(error), match="enough"):
            mmh.compress_dir(tmp_path / "tree", progress=progress)
        assert told == 1 and not list((tmp_path / "tree.mmh").iterdir())

    def test_a_full_disk_is_told_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "tree").mkdir()
        for name in "abc":
            (tmp_path / "tree" / name).write_bytes(weights(2_000_000, ord(name)).tobytes())

        def full(source: str, target: str, *_: object) -> None:
            raise OSError(28, "No space left on device", target)

        monkeypatch.setattr("mmh_rs._core.compress_file", full)
        told: list[mmh.TreeFile] = []
        with pytest.raises(OSError, match="No space left"):
            mmh.compress_dir(tmp_path / "tree", on_file=told.append)
        assert [Path(file.source).name for file in told] == ["a"]

    def test_a_directory_to_unpack_to_is_not_there(self, tmp_path: Path, run: Command) -> None:
        (tmp_path / "tree").mkdir()
        assert run("compress", "--pack", "tree").returncode == 0
        done = run("decompress", "--unpack", "tree.tar.mmh")
        assert done.returncode == 4 and b"-f" not in done.stderr
        assert done.stderr == b"mmh: tree.tar.mmh: tree is there already (name another directory with -o)\n"


class TestServers:
    def test_slices_outlive_their_archive(self, archive_path: Path, model: Path, server: Server) -> None:
        expected = mmh.open(archive_path).get("model.experts").tobytes()
        server.files["/x.mmh"] = archive_path.read_bytes()
        archive = mmh.open(f"{server.address}/x.mmh")
        rows = archive.get_slice("model.experts")
        archive.close()
        assert rows[:].tobytes() == expected
        with pytest.raises(ValueError, match="closed"):
            archive.get("model.experts")

    @pytest.fixture
    def garbage(self) -> Iterator[str]:
        class Answer(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(1000)
                self.request.sendall(b"what?\r\n\r\n")

        with socketserver.TCPServer(("127.0.0.1", 0), Answer) as answers:
            threading.Thread(target=answers.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{answers.server_address[1]}/x"
            answers.shutdown()

    def test_whatever_they_answer(self, garbage: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mmh_rs._http._PAUSES", ())
        for url, what in [
            (garbage, "the connection broke: what"),
            ("http://127.0.0.1:abc/x", "not a URL"),
        ]:
            with pytest.raises(OSError, match=what):
                mmh.open(url)

    def test_names_that_are_no_ascii(self, archive_path: Path, tmp_path: Path) -> None:
        seen: list[str] = []
        data = archive_path.read_bytes()

        class Files(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(self.path)
                first, last = (int(n) for n in self.headers["Range"].removeprefix("bytes=").split("-"))
                piece = data[first : last + 1]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{first + len(piece) - 1}/{len(data)}")
                self.send_header("Content-Length", str(len(piece)))
                self.end_headers()
                self.wfile.write(piece)

            def log_message(self, *_: object) -> None:
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Files) as files:
            threading.Thread(target=files.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{files.server_port}/größe %41 b?x=1"
            assert mmh.open(url).verify()
            files.shutdown()
        assert set(seen) == {"/gr%C3%B6%C3%9Fe%20%41%20b?x=1"}


class TestArguments:
    @pytest.mark.parametrize("wrong", [{"seed": -1}, {"seed": 2**64}, {"size": -5}, {"size": 2**70}])
    def test_numbers_that_are_out_of_range(self, wrong: dict[str, int], tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="out of range"):
            mmh.generate(tmp_path / "g.safetensors", **{"size": 10**6, **wrong})  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("dtype", "name"),
        [(np.float32, "F32"), ("half", "F16"), ("float64", "F64"), ("torch.bfloat16", "BF16"), ("fp8", "F8_E4M3")],
    )
    def test_dtypes_as_others_spell_them(self, dtype: object, name: str, tmp_path: Path) -> None:
        assert mmh.generate(tmp_path / "g.safetensors", size=10**6, dtype=dtype).dtype == name

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError) as told:
            mmh.numpy.save_file({"a": X}, tmp_path / "none" / "x.mmh")
        assert told.value.filename == str(tmp_path / "none")

    def test_what_is_no_archive(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"something else" * 100)
        for call in (mmh.protect, mmh.repair):
            with pytest.raises(mmh.UnsupportedFormatError):
                call(tmp_path / "x")

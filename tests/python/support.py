"""What the tests share: small real files, a file object that counts, and a web server."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mmh_rs as mmh

WIDTHS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64, "F16": 16,
    "BF16": 16, "F32": 32, "F64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F8_E8M0": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "C64": 64,
}  # fmt: skip


def weights(count: int, seed: int = 0) -> np.ndarray:
    """Bytes of `count` bfloat16 weights, normally distributed: what compresses to about two thirds."""
    values = np.random.default_rng(seed).normal(0, 0.02, count).astype(np.float32)
    return np.ascontiguousarray(values.view(np.uint16)[1::2]).view(np.uint8)


def plain_safetensors(
    tensors: dict[str, tuple[str, list[int], bytes]], metadata: dict[str, str] | None = None, pad: int = 0
) -> bytes:
    """A safetensors file, written without safetensors, so that every dtype can be."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    position = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + len(data)]}
        position += len(data)
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8 + pad)
    return len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values())


def model_tensors() -> dict[str, tuple[str, list[int], bytes]]:
    """A model in small: names, dtypes and shapes as checkpoints have them, 1.2 MB."""
    return {
        "model.embed.weight": ("BF16", [512, 512], weights(512 * 512, 1).tobytes()),
        "model.norm.weight": ("F32", [512], np.random.default_rng(2).normal(size=512).astype(np.float32).tobytes()),
        "model.mask": ("BOOL", [64, 64], np.tri(64, dtype=bool).tobytes()),
        "model.positions": ("I64", [1, 512], np.arange(512, dtype=np.int64).tobytes()),
        "model.scale": ("F32", [], np.array(0.5, np.float32).tobytes()),
        "model.empty": ("F16", [0, 7], b""),
        "model.experts": ("BF16", [4, 64, 512], weights(4 * 64 * 512, 3).tobytes()),
        "lm_head.weight": ("BF16", [256, 512], weights(256 * 512, 4).tobytes()),
    }


def header_of_version(version: int) -> bytes:
    """The 16 bytes that a file of this version of the format begins with. The check is XXH3-64 with seed 0, as it
    is for 9 to 16 bytes."""
    data = b"\x89MMH\r\n\x1a\n" + version.to_bytes(2, "little") + bytes(2)
    secret = bytes.fromhex("7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248e")
    word = [int.from_bytes(secret[at : at + 8], "little") for at in range(0, 32, 8)]
    low = int.from_bytes(data[:8], "little") ^ word[0] ^ word[1]
    high = int.from_bytes(data[-8:], "little") ^ word[2] ^ word[3]
    product = low * high
    swapped = int.from_bytes(low.to_bytes(8, "big"), "little")
    mixed = (12 + swapped + high + ((product & (1 << 64) - 1) ^ (product >> 64))) & (1 << 64) - 1
    mixed = ((mixed ^ (mixed >> 37)) * 0x165667919E3779F9) & (1 << 64) - 1
    return data + ((mixed ^ (mixed >> 32)) & 0xFFFFFFFF).to_bytes(4, "little")


def damage(path: Path, name: str) -> int:
    """Flips a bit in the middle of a tensor's frames, and returns where."""
    data = bytearray(path.read_bytes())
    with mmh.open(bytes(data)) as archive:
        before = sum(info.stored or 0 for info in archive.infos() if info.start < archive.info(name).start)
        at = before + (archive.info(name).stored or 0) // 2 + 16
    data[at] ^= 0x40
    path.write_bytes(data)
    return at


class Counting(io.BytesIO):
    """A file object that counts what is read from it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        self.count += count
        return count


Command = Callable[..., "subprocess.CompletedProcess[bytes]"]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1", **more}


def lines(output: bytes) -> list[str]:
    return output.decode(errors="surrogateescape").splitlines()


class Server:
    """Files over HTTP, with the requests that were made for them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.redirects: dict[str, str] = {}
        self.failures: list[int] = []
        self.requests: list[tuple[str, str | None, int]] = []
        """(path, Range header, bytes sent) of each request that was answered."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if outer.failures:
                    self._reply(outer.failures.pop(0), b"")
                elif self.path in outer.redirects:
                    self._reply(302, b"", Location=outer.redirects[self.path])
                elif self.path not in outer.files:
                    self._reply(404, b"")
                else:
                    self._file(outer.files[self.path])

            def _file(self, data: bytes) -> None:
                wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
                tag = f'"{hash(data)}"'
                if wanted is None or not outer.ranges:
                    self._reply(200, data, ETag=tag)
                    return
                start, stop = int(wanted[1]), min(int(wanted[2]) + 1, len(data))
                if start >= len(data):
                    self._reply(416, b"")
                    return
                span = f"bytes {start}-{stop - 1}/{len(data)}"
                self._reply(206, data[start:stop], ETag=tag, **{"Content-Range": span})

            def _reply(self, code: int, body: bytes, **headers: str) -> None:
                outer.requests.append((self.path, self.headers.get("Range"), len(body)))
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")
                self.end_headers()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client may leave at no 206
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

"""Reading a file on a web server by range requests, as far as it is needed."""

from __future__ import annotations

import errno
import http.client
import io
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["RangeReader"]

_CHUNK = 256 * 1024
"""Small reads are rounded up to chunks of this size, which are kept."""
_KEPT = 32
"""Chunks kept: 8 MiB."""
_TIMEOUT = 30.0
"""Seconds without an answer."""
_PAUSES = (0.5, 2.0)
"""Seconds to wait before each further try after a failure that may pass."""
_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})


class RangeReader(io.RawIOBase):
    """A seekable, read-only file over HTTP. Not for several threads at once.

    Args:
        url: an http or https URL. Redirects are followed once and remembered (hubs redirect to a server of theirs).

    Raises:
        FileNotFoundError: the server does not have it.
        OSError: the server cannot be reached, answers no range requests, or the file changed while it was read.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        # As browsers do with what a URL may not have.
        self._asked = urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")
        self._final = self._asked
        self._position = 0
        self._size: int | None = None
        self._tag: str | None = None
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        # The first chunk tells whether the server answers ranges, and the size, and has the header: one request.
        first = self._fetch(0, _CHUNK)
        self._chunks[0] = first

    @property
    def name(self) -> str:
        """The URL."""
        return self._url

    @property
    def size(self) -> int:
        """Bytes of the file."""
        assert self._size is not None
        return self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to the negative position {base + offset}")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """As many bytes as asked for, fewer only at the end of the file."""
        self._check_open()
        start = self._position
        stop = self.size if size is None or size < 0 else min(start + size, self.size)
        if stop <= start:
            return b""
        data = self._range(start, stop)
        self._position = stop
        return data

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._chunks.clear()
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _range(self, start: int, stop: int) -> bytes:
        if stop - start >= _CHUNK * _KEPT // 2:
            return self._fetch(start, stop)  # large: as it is, without going through the chunks
        first, last = start // _CHUNK, (stop - 1) // _CHUNK
        missing = [number for number in range(first, last + 1) if number not in self._chunks]
        found = {number: self._chunks[number] for number in range(first, last + 1) if number in self._chunks}
        if missing:
            # One request for the whole span: a second one costs more than the bytes between two holes.
            begin = missing[0] * _CHUNK
            span = self._fetch(begin, min((missing[-1] + 1) * _CHUNK, self.size))
            for number in range(missing[0], missing[-1] + 1):
                at = number * _CHUNK - begin
                found[number] = span[at : at + _CHUNK]
        for number in range(first, last + 1):
            self._chunks[number] = found[number]
            self._chunks.move_to_end(number)
        while len(self._chunks) > _KEPT:
            self._chunks.popitem(last=False)
        data = b"".join(found[number] for number in range(first, last + 1))
        return data[start - first * _CHUNK : stop - first * _CHUNK]

    def _fetch(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of the file; fewer on the first request if the file is shorter."""
        for pause in (*_PAUSES, None):
            try:
                return self._request(start, stop)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code in (401, 403, 404, 410) and self._final != self._asked:
                    self._final = self._asked  # a redirect to a signed address that has expired: ask again
                    continue
                if error.code == 416 and self._size is None:
                    self._size = 0
                    return b""
                if error.code in (404, 410):
                    raise FileNotFoundError(
                        errno.ENOENT, f"the server answers {error.code} {error.reason}", self._url
                    ) from None
                if error.code not in _MAY_PASS or pause is None:
                    raise OSError(errno.EIO, f"the server answers {error.code} {error.reason}", self._url) from None
            except urllib.error.URLError as error:
                if pause is None or not isinstance(error.reason, (TimeoutError, ConnectionError)):
                    raise OSError(errno.EIO, f"the server cannot be reached: {error.reason}", self._url) from None
            except http.client.InvalidURL as error:
                raise OSError(errno.EINVAL, f"not a URL: {error}", self._url) from None
            except (TimeoutError, ConnectionError, http.client.HTTPException, _ShortAnswerError) as error:
                if pause is None:
                    text = " ".join(str(error).split()) or type(error).__name__
                    raise OSError(errno.EIO, f"the connection broke: {text}", self._url) from None
            if pause is not None:
                time.sleep(pause)
        raise OSError(errno.EIO, "the server sends us in circles", self._url)

    def _request(self, start: int, stop: int) -> bytes:
        request = urllib.request.Request(
            self._final,
            headers={
                "Range": f"bytes={start}-{stop - 1}",
                "Accept-Encoding": "identity",
                "User-Agent": "mmh-rs",
            },
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            if response.status != 206:
                raise OSError(
                    errno.ENOTSUP,
                    "the server does not answer range requests; download the file, then open it",
                    self._url,
                )
            self._final = response.geturl()
            answered = response.headers.get("Content-Range") or ""
            match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answered.strip())
            if match is None or int(match[1]) != start:
                raise OSError(
                    errno.EIO,
                    f"the server answers another range: asked for {start}-{stop - 1}, got {answered!r}",
                    self._url,
                )
            size, tag = int(match[3]), response.headers.get("ETag")
            if self._size is None:
                self._size, self._tag = size, tag
            elif size != self._size or tag != self._tag:
                raise OSError(errno.EIO, "the file changed on the server while it was read; open it again", self._url)
            expected = min(stop, size) - start
            data: bytes = response.read(expected)
            if len(data) != expected:
                raise _ShortAnswerError(f"expected {expected} bytes from {start}, got {len(data)}")
            return data


class _ShortAnswerError(Exception):
    """The connection was closed before all bytes had come."""

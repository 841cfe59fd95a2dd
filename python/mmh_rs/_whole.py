"""Files that appear whole or not at all, and never in the place of what they are made from."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO

from . import _core

__all__ = ["whole_file"]


@contextmanager
def whole_file(target: str, force: bool, read: Sequence[str] = (), *, durable: bool = False) -> Iterator[BinaryIO]:
    """A file to write to, which takes the name `target` when the block ends without an exception.

    Args:
        target: its path. It must not be one of the files that are `read`, nor a device, a pipe or a socket.
        force: write over a file that is there.
        read: paths of what it is made from.
        durable: have it on the disk before it gets its name.

    Raises:
        FileExistsError: it is there, and `force` is not set.
        ValueError: it may not be written over.
        OSError: as the file system has it.
    """
    _core.check_target(target, force, read)
    try:
        handle, part = tempfile.mkstemp(prefix=".mmh-", suffix=".part", dir=os.path.dirname(target) or ".")
    except OSError as error:
        raise _about(error, target) from None
    try:
        with open(handle, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(part, 0o666 & ~mask)  # as any new file; a temporary one is the owner's alone
        try:
            os.replace(part, target)
        except OSError as error:
            raise _about(error, target) from None
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def _about(error: OSError, target: str) -> OSError:
    """The name of the temporary file means nothing to anybody."""
    return type(error)(error.errno, error.strerror, target)

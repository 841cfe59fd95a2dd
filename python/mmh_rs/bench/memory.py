"""Peak memory of one call, in a process of its own.

It is how far the resident set grows while the call runs, over what it was just before: the input is there already and
does not count, the result does, and so does a buffer that the caller gives for it (its pages are fresh). Each direction
gets a fresh process, since what an allocator keeps from one call hides what the next one needs.

The data go through pipes: nothing is left behind, however it ends.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from .candidates import Choice, chosen
from .elements import Elements, buffer

__all__ = ["Direction", "main", "peak"]

Direction = Literal["compress", "decompress"]

_PATIENCE = 1800
"""Seconds after which a child is given up."""


def peak(choice: Choice, elements: Elements, threads: int, direction: Direction, blob: Any = None) -> int | None:
    """Peak memory in bytes of one call; None where the child could not tell.

    Args:
        blob: the compressed data, to decompress.
    """
    parts = [elements.raw] if direction == "compress" else blob if isinstance(blob, list) else [blob]
    task = {
        "name": choice.name,
        "dtype": elements.dtype,
        "bytes": len(elements.raw),
        "threads": threads,
        "direction": direction,
        "parts": [len(part) for part in parts],
        "list": isinstance(blob, list),
    }
    # -P: the directory that the user is in holds data, not modules. What we can import, the child can.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONWARNINGS": "ignore"}
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    assert child.stdin is not None
    try:
        with suppress(BrokenPipeError):  # it ended early; it has no answer then
            child.stdin.write(json.dumps(task).encode() + b"\n")
            for part in parts:
                child.stdin.write(part)
        answer, _ = child.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.poll() is None:
            child.kill()
            with suppress(OSError):
                child.stdin.close()
            child.wait()
    if child.returncode:
        return None
    with suppress(ValueError, IndexError, KeyError, TypeError):
        return int(json.loads(answer.splitlines()[-1])["peak"])
    return None


def main() -> None:
    """The child: a task and data on standard input, the answer in the last line of standard output."""
    from .rivals import MMH, RIVALS

    warnings.simplefilter("ignore")
    task = json.loads(sys.stdin.buffer.readline())
    data = [_read(size) for size in task["parts"]]
    compressing = task["direction"] == "compress"
    # Where the elements are not needed they have no pages.
    raw = data[0] if compressing else buffer(task["bytes"])
    elements = Elements("", task["dtype"], raw, len(raw), len(raw))
    (choice,) = chosen([task["name"]], [MMH, *RIVALS])
    candidate = choice.build(elements, task["threads"])
    if compressing:
        call, given = candidate.compress, candidate.source()
    else:
        blobs = [part.tobytes() for part in data]
        call, given = candidate.decompress, blobs if task["list"] else blobs[0]
    del data
    gc.collect()
    before = _start()
    result = call(given)
    grown = _peak() - before
    del result
    print(json.dumps({"peak": max(0, grown)}))


def _read(size: int) -> memoryview:
    stream: Any = sys.stdin.buffer
    data = buffer(size) if size else memoryview(b"")
    read = 0
    while read < size:
        got = stream.readinto(data[read:])
        if not got:
            raise SystemExit(1)
        read += got
    return data


# Linux: VmHWM, which can be set back, so that the making of the input does not count. Not ru_maxrss, which cannot be,
# and which a child starts with at its parent's height. Elsewhere ru_maxrss is what there is; what was needed before
# the call can hide some of it there.


def _start() -> int:
    """Begin to measure, and return what is in use now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return _peak()


def _peak() -> int:
    try:
        return _status("VmHWM")
    except OSError:
        pass
    if sys.platform == "win32":
        raise SystemExit(1)  # no way to tell without another package
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    main()

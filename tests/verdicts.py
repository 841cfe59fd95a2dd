"""What the two implementations make of the same `.mmh`: the decoder beside the specification, and the engine."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import mmh_rs as mmh

SPEC = Path(__file__).resolve().parent.parent / "spec"


def load_decoder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mmh_spec_decoder", SPEC / "decoder.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


decoder: Any = load_decoder()

KINDS = {"Corrupt": "corrupt", "NotMmh": "not-mmh", "Unsupported": "unsupported", "NoBase": "no-base"}


def by_spec(data: bytes, base: bytes | None = None) -> bytes | str:
    """The restored bytes, or the kind of the refusal: "corrupt", "not-mmh", "unsupported", "no-base"."""
    try:
        source: bytes = decoder.decode(data, base=base).source
    except decoder.MmhError as error:
        return KINDS[type(error).__name__]
    return source


def by_engine(data: bytes, threads: int = 1, base: Path | None = None) -> bytes | str:
    """The same of the engine, with every hash compared. Other exceptions than its own for refusals come through."""
    try:
        with mmh.open(data, base=base) as archive:
            found = archive.verify(threads=threads)
            if not found.ok:
                # What verification calls damaged must not be handed out without a word, unless it is a content hash,
                # which is of all bytes and is not looked at when some are read.
                return "corrupt"
            length = archive.header.source_bytes
            if base is not None:
                return archive.read(0, length)
        restored = mmh.decompress(data, threads=threads)
        assert len(restored) == length
        return restored
    except mmh.CorruptionError:
        return "corrupt"
    except mmh.UnsupportedFormatError as error:
        return "not-mmh" if "not an MMH" in str(error) else "unsupported"
    except mmh.LimitError:
        return "limit"
    except (ValueError, mmh.MmhError) as error:
        if "base" not in str(error):
            raise
        return "no-base"


def assert_same(data: bytes) -> bytes | str:
    """Both give the same bytes, or both refuse; what the engine says is returned."""
    spec, engine = by_spec(data), by_engine(data)
    if isinstance(spec, bytes) or isinstance(engine, bytes):
        assert engine == spec
    return engine

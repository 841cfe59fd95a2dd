"""`mmh doctor`."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from .. import _core
from ._run import Run, uses_run
from ._terminal import printable, value, words

__all__ = ["doctor"]


@click.command(short_help="Say what this machine and installation offer.")
@uses_run
def doctor(run: Run) -> None:
    """Say what this machine, this build and this Python offer, and what would help.

    The result of --json: path (empty), engine (cpu, simd, simd_used, threads, memcpy_gbps, …), python, packages ({name:
    version or null}), codecs, format_version, advice (a list of sentences).
    """
    engine = _core.doctor()
    packages = {name: _version(name) for name in ("numpy", "ml_dtypes", "safetensors", "torch", "click", "rich")}
    advice = _advice(engine, packages)
    python = f"{sys.version.split()[0]} ({sys.executable})"
    run.result(
        "",
        engine=engine,
        python=python,
        packages=packages,
        codecs=_core.CODECS,
        format_version=_core.FORMAT_VERSION,
        advice=advice,
    )
    rows = [["mmh-rs", _core.__version__], ["format version", str(_core.FORMAT_VERSION)]]
    rows += [[words(key), value(fact)] for key, fact in engine.items() if "version" not in key]
    rows += [["codecs", ", ".join(_core.CODECS)], ["python", python]]
    rows += [[name, version or "not installed"] for name, version in packages.items()]
    run.show("\n".join(f"{printable(name):<16}  {printable(text)}" for name, text in rows))
    for sentence in advice:
        run.show(f"advice: {sentence}")


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _advice(engine: dict[str, Any], packages: dict[str, str | None]) -> list[str]:
    advice = []
    if os.environ.get("MMH_SIMD"):
        advice.append(f"MMH_SIMD={os.environ['MMH_SIMD']} chooses the instruction set; unset it for the fastest one.")
    elif engine.get("simd_used") == "scalar":
        advice.append("No vector instructions are used; decompressing is several times faster on a CPU with AVX2.")
    if engine.get("threads") == 1:
        advice.append("One thread is available; both directions scale with the cores.")
    if isinstance(engine.get("memcpy_gbps"), (int, float)) and engine["memcpy_gbps"] < 4:
        advice.append("Memory is slow here (shared or throttled machine?); it limits decompressing.")
    if packages["ml_dtypes"] is None:
        advice.append("For bfloat16 and fp8 as NumPy arrays: pip install 'mmh-rs[ml-dtypes]'")
    if packages["safetensors"] is None:
        advice.append("To open plain .safetensors files by mmh_rs.safe_open as well: pip install 'mmh-rs[safetensors]'")
    return advice

"""`import mmh_rs` is cheap and pure."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import mmh_rs as mmh

HEAVY = ["numpy", "torch", "click", "rich", "ml_dtypes", "safetensors", "urllib.request", "json", "dataclasses"]


def fresh(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def test_import_leaves_the_heavy_modules_alone() -> None:
    loaded = f"print([name for name in {HEAVY} if name in sys.modules])"
    before = fresh(f"import sys; {loaded}")
    after = fresh(f"import sys, mmh_rs; {loaded}")
    assert after == before


def test_compressing_bytes_leaves_the_heavy_modules_alone() -> None:
    code = "import sys, mmh_rs; mmh_rs.decompress(mmh_rs.compress(b'abc', dtype='U8')); print('numpy' in sys.modules)"
    assert fresh(code) == "False"


def test_import_takes_less_than_30_ms() -> None:
    code = "import time; t = time.perf_counter(); import mmh_rs; print(time.perf_counter() - t)"
    assert min(float(fresh(code)) for _ in range(7)) < 0.030


def test_help_takes_less_than_150_ms_and_no_rich() -> None:
    code = (
        "import time, sys; t = time.perf_counter(); from mmh_rs.cli import main; code = main(['--help']);"
        "print(time.perf_counter() - t, code, 'rich' in sys.modules, 'numpy' in sys.modules)"
    )
    answers = [fresh(code).splitlines()[-1].split() for _ in range(7)]
    assert min(float(answer[0]) for answer in answers) < 0.150
    assert answers[0][1:] == ["0", "False", "False"]


def test_the_command_leaves_the_benchmark_alone() -> None:
    code = "import sys, mmh_rs.cli; print([name for name in sys.modules if name.startswith('mmh_rs.bench')])"
    assert fresh(code) == "[]"


def test_all_names_exist_and_are_listed() -> None:
    assert sorted(mmh.__all__) == mmh.__all__
    for name in mmh.__all__:
        assert getattr(mmh, name) is not None
        assert name in dir(mmh)


@pytest.mark.parametrize("name", ["archive", "cli", "numpy"])
def test_submodules_come_by_attribute(name: str) -> None:
    assert fresh(f"import mmh_rs; print(mmh_rs.{name}.__name__)") == f"mmh_rs.{name}"


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match=r"mmh_rs.*has no attribute 'compres'"):
        _ = mmh.compres  # type: ignore[attr-defined]


def test_version_is_the_distribution_s() -> None:
    assert mmh.__version__ == version("mmh-rs")


def test_errors_are_a_family() -> None:
    for kind in (mmh.CorruptionError, mmh.UnsupportedFormatError, mmh.LimitError):
        assert issubclass(kind, mmh.MmhError)
    assert issubclass(mmh.MmhError, Exception)
    assert not issubclass(mmh.MmhError, (ValueError, OSError))


def test_what_the_list_of_commands_says_is_what_they_say() -> None:
    from importlib import import_module

    from mmh_rs.cli import _COMMANDS

    for module, name, text in _COMMANDS.values():
        assert getattr(import_module(f"mmh_rs.cli.{module}"), name).short_help == text

"""The examples in the documentation of the package run as they stand."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmh_rs as mmh
import mmh_rs.numpy
from support import plain_safetensors, weights


def examples(documentation: str) -> list[str]:
    """The indented blocks of a docstring."""
    text = inspect.cleandoc(documentation)
    blocks = re.findall(r"(?:^ {4}.*\n(?:\n(?= {4}))?)+", text + "\n", re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "model.embed_tokens.weight"
    Path("model.safetensors").write_bytes(plain_safetensors({name: ("BF16", [256, 64], weights(256 * 64).tobytes())}))


def test_of_the_package() -> None:
    (code,) = examples(mmh.__doc__ or "")
    names: dict[str, Any] = {"array": np.arange(1000.0)}
    exec(code, names)
    assert names["data"] == np.arange(1000.0).tobytes()
    assert names["weight"].shape == (256, 64)


def test_of_numpy() -> None:
    (code,) = examples(mmh_rs.numpy.__doc__ or "")
    names: dict[str, Any] = {"np": np}
    exec(code, names)
    assert names["arrays"]["embedding"].shape == (512, 1024)


def test_of_torch() -> None:
    torch = pytest.importorskip("torch")
    import mmh_rs.torch

    (code,) = examples(mmh_rs.torch.__doc__ or "")
    names: dict[str, Any] = {"model": torch.nn.Linear(3, 4)}
    exec(code.replace("cuda:0", "cpu"), names)
    assert names["state"]["weight"].shape == (4, 3)


@pytest.mark.parametrize("framework", ["np", "pt"])
def test_of_safe_open(framework: str) -> None:
    if framework == "pt":
        pytest.importorskip("torch")
    mmh.compress_file("model.safetensors")
    code = next(code for code in examples(mmh.safe_open.__doc__ or "") if "safe_open(" in code)
    names: dict[str, Any] = {"safe_open": mmh.safe_open}
    exec(code.replace('"pt"', repr(framework)), names)
    assert tuple(names["tensor"].shape) == (256, 64)
    assert tuple(names["rows"].shape) == (128, 64)

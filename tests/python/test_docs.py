"""The documentation: references are what the code says, examples run, the site needs nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mmh_rs as mmh
from support import environment, model_tensors, plain_safetensors

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "docs" / "index.md", *(ROOT / "docs" / "guide").glob("*.md")])


def test_the_references_are_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "reference.py", "--check"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_references_name_everything() -> None:
    from mmh_rs.cli import _COMMANDS

    commands = re.findall(r"^## mmh (\S+)", (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert commands == list(_COMMANDS)
    names = re.findall(r"^### `(\S+)`", (ROOT / "docs/reference/api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(mmh.__all__) <= set(names)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the pages speak of: a model, a fine-tune of it, a directory; and `mmh` itself."""
    monkeypatch.chdir(tmp_path)
    tensors = model_tensors()
    Path("model.safetensors").write_bytes(plain_safetensors(tensors))
    dtype, shape, data = tensors["lm_head.weight"]
    tuned = bytes(byte ^ 1 if place % 1000 == 0 else byte for place, byte in enumerate(data))
    Path("tuned.safetensors").write_bytes(plain_safetensors({**tensors, "lm_head.weight": (dtype, shape, tuned)}))
    Path("models/small").mkdir(parents=True)
    Path("models/small/model.safetensors").write_bytes(plain_safetensors({"a": tensors["model.norm.weight"]}))
    Path("models/notes.txt").write_text("notes\n" * 50)
    tools = tmp_path / ".tools"
    tools.mkdir()
    for name, words in (("mmh", "-m mmh_rs"), ("python", "")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (tools / name).chmod(0o755)
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="the examples are for a POSIX shell")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_run(page: Path, here: Path) -> None:
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```(console|python)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    for language, code in blocks:
        if language == "python":
            exec(code, names)
            continue
        for line in code.splitlines():
            assert line.startswith("$ "), line
            expected = re.search(r"# exit code (\d+)", line)
            path = f"{here / '.tools'}:{environment()['PATH']}"
            done = subprocess.run(
                ["/bin/sh", "-c", line[2:]], env=environment(PATH=path), capture_output=True, text=True, timeout=120
            )
            assert done.returncode == (int(expected[1]) if expected else 0), f"{line}\n{done.stdout}{done.stderr}"


@pytest.mark.skipif(importlib.util.find_spec("material") is None, reason="make docs was not run")
def test_the_site_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT, env=environment(NO_MKDOCS_2_WARNING="1"), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert {"index.html", "reference/cli.html", "spec/FORMAT.html", "spec/codecs/tensor.html"} <= {
        page.relative_to(tmp_path / "site").as_posix() for page in pages
    }
    for page in pages:
        loaded = re.findall(
            r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?([^\"\s>]+)|<link[^>]*\shref=\"?([^\"\s>]+)",
            page.read_text(encoding="utf-8"),
        )
        for source in filter(None, (a or b for a, b in loaded)):
            assert not re.match(r"(https?:)?//", source), f"{page.name} loads {source}"

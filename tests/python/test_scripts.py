"""Launchers and workflows, as far as they can be checked without their systems."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
POWERSHELL = sorted((ROOT / "scripts").glob("*.ps1"))


def test_workflows_follow_githubs_schema() -> None:
    pytest.importorskip("check_jsonschema")
    assert WORKFLOWS
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run([*words, *map(str, WORKFLOWS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_would_find_a_mistake(tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text(encoding="utf-8").replace("runs-on:", "run-on:"), encoding="utf-8")
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(wrong)]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("script", POWERSHELL, ids=lambda path: path.name)
def test_powershell_is_well_formed(script: Path) -> None:
    tree_sitter = pytest.importorskip("tree_sitter")
    grammar = pytest.importorskip("tree_sitter_powershell")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    text = script.read_bytes()
    assert not parser.parse(text).root_node.has_error
    assert parser.parse(text + b"\nif (1) {").root_node.has_error


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs sh")
def test_the_shell_reads_the_launcher() -> None:
    subprocess.run(["sh", "-n", ROOT / "scripts" / "mmh.sh"], check=True)


def test_batch_lines_end_as_cmd_wants_them() -> None:
    lines = (ROOT / "scripts" / "mmh.bat").read_bytes().split(b"\n")
    attributes = (ROOT / ".gitattributes").read_text(encoding="utf-8") if (ROOT / ".gitattributes").exists() else ""
    assert all(line.endswith(b"\r") for line in lines[:-1]) or "*.bat" in attributes

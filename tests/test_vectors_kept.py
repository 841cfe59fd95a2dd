"""Every vector that was ever committed is still there, as it was, unless it was retired."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from verdicts import SPEC

VECTORS = SPEC / "vectors"
KEPT = VECTORS / "KEPT.json"
"""Each file of a vector that was ever committed for the present format, and its SHA-256; and the vectors that were
retired, and why. A vector may be retired while the format is version 0, when a change of the format makes it a file of
another format; the reason names the rule that changed. From version 1 on none may be: a file that was right stays
readable, and what is wrong in it goes to `spec/ERRATA.md`."""

LEDGER: dict[str, dict[str, str]] = json.loads(KEPT.read_text())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def there() -> dict[str, str]:
    files = sorted(path for kind in ("valid", "invalid") for path in (VECTORS / kind).iterdir())
    return {str(path.relative_to(VECTORS)): digest(path) for path in files if path.suffix != ".json"}


def test_kept_as_they_were() -> None:
    found = there()
    changed = [name for name, expected in LEDGER["kept"].items() if found.get(name) != expected]
    assert not changed, f"vectors are added, never edited or removed: {changed}"
    new = [name for name in found if name not in LEDGER["kept"]]
    assert not new, f"make vectors lists new vectors in {KEPT.name}: {new}"


def test_what_makes_them_runs_and_has_nothing_to_add() -> None:
    """`make vectors` works for whoever adds one: what was made before is not asked of today's engine again."""
    done = subprocess.run([sys.executable, VECTORS / "make.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_retired_ones_say_why() -> None:
    for name, reason in LEDGER["retired"].items():
        assert len(reason) > 20, name
        assert name not in LEDGER["kept"]


def test_nothing_was_forgotten() -> None:
    """The history knows of every file that was ever there."""
    root = SPEC.parent
    if shutil.which("git") is None or not (root / ".git").exists():
        pytest.skip("not a clone")
    command = ["git", "-C", str(root), "log", "--format=", "--name-only", "--diff-filter=A", "--", "spec/vectors"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    ever = {name.removeprefix("spec/vectors/") for name in names if name.endswith((".mmh", ".bin"))}
    stems = {name.split(".")[0] for name in LEDGER["retired"]}
    lost = sorted(name for name in ever if name not in LEDGER["kept"] and name.split(".")[0] not in stems)
    assert not lost, f"neither kept nor retired: {lost}"

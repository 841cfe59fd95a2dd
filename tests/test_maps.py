"""Each module says what is in it: a stranger finds every room from `lib.rs` on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "crates").glob("*/src/**/*.rs"))
MODULE = re.compile(r"^(#\[cfg\(test\)\]\n(?:#\[.*\]\n)*)?(?:pub(?:\([a-z]+\))? )?mod (\w+);$", re.MULTILINE)


def children(text: str) -> list[str]:
    """Modules that are files of their own, without those of tests."""
    return [name for is_test, name in MODULE.findall(text) if not is_test and name not in ("tests", "testing")]


PARENTS = [path for path in SOURCES if path.name != "tests.rs" and children(path.read_text())]


@pytest.mark.parametrize("path", PARENTS, ids=lambda path: str(path.relative_to(ROOT / "crates")))
def test_every_module_is_on_the_map_of_its_parent(path: Path) -> None:
    text = path.read_text()
    told = " ".join(line for line in text.splitlines() if line.startswith("//!"))
    names = set(re.findall(r"\w+", told))
    missing = [name for name in children(text) if name not in names]
    assert not missing, f"the `//!` at the top of {path.name} does not say what {missing} are for"


def test_modules_are_found() -> None:
    assert len(PARENTS) > 15
    assert children("mod a;\npub mod b;\n#[cfg(test)]\nmod c;\npub(crate) mod d;\nmod tests;\n") == ["a", "b", "d"]

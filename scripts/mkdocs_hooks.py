"""What mkdocs does beside turning docs/ into pages (mkdocs.yml names this file).

The format's pages stay in spec/, where they belong, and are part of the site all the same. The notes on the design, the
codecs' pages, and reports that other commands write to docs/ are listed by themselves. Links to files that are no pages
become plain text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def on_config(config: Any) -> Any:
    sections = {title: value for item in config.nav for title, value in item.items()}
    named = re.findall(r"[\w/-]+\.md", str(config.nav))
    reports = [path.name for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in named]
    sections["Reference"].extend(reports)
    sections["Design"].extend(f"design/{path.name}" for path in sorted((ROOT / "docs" / "design").glob("*.md")))
    sections["Format"].extend(_spec())
    return config


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for uri in _spec():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / uri)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links are those of the repository; here the pages lie elsewhere."""
    uri = page.file.src_uri
    place = Path(uri if uri.startswith("spec/") else f"docs/{uri}").parent

    def link(match: re.Match[str]) -> str:
        text, target = match[1], match[2]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, anchor = target.partition("#")
        there = os.path.normpath(place / path).replace(os.sep, "/")
        other = files.get_file_from_path(there.removeprefix("docs/"))
        if other is None:
            if not (ROOT / there).exists():
                return match[0]  # mkdocs has the word for it
            return text if text.startswith("`") else f"{text} (`{there}`)" if there not in text else f"`{there}`"
        relative = os.path.relpath(other.src_uri, Path(uri).parent).replace(os.sep, "/")
        return f"[{text}]({relative}{'#' + anchor if anchor else ''})"

    return re.sub(r"(?<!!)\[([^\]\n]*(?:\n[^\]\n]*)?)\]\(([^)\s]+)\)", link, markdown)


def _spec() -> list[str]:
    """The pages of the format: FORMAT.md first, the codecs last."""
    spec = ROOT / "spec"
    pages = [spec / "FORMAT.md", spec / "ERRATA.md", *sorted((spec / "codecs").glob("*.md"))]
    return [path.relative_to(ROOT).as_posix() for path in pages if path.is_file()]

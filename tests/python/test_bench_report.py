"""Tables and the page: everything is in them, escaped, readable, and from nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree

import pytest

import bench_support as fakes
from mmh_rs.bench.chart import Point, chart
from mmh_rs.bench.report import report
from mmh_rs.bench.results import FileResult, Row, WholeFile
from mmh_rs.bench.table import amount, cells, gbps, notes, reference_of, title

SVG = "{http://www.w3.org/2000/svg}"
FAILED = Row("liar", "Liar", "1", "failed", "does not restore its input")
SKIPPED = Row("zipnn", "ZipNN", None, "skipped", "not installed (pip install zipnn)")


def page(*results: FileResult, command: str = "mmh bench x") -> ElementTree.Element:
    text = report(results, command)
    assert text.startswith("<!DOCTYPE html>\n")
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


def text_of(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def test_every_candidate_is_there() -> None:
    tree = page(fakes.result(*fakes.CROWD, FAILED, SKIPPED))
    charts = list(tree.iter(f"{SVG}svg"))
    assert len(charts) == 4  # two directions, wide and narrow
    for svg in charts:
        labels = [text.text for text in svg.iter(f"{SVG}text")]
        for row in fakes.CROWD:
            assert row.label in labels
        assert len(list(svg.iter(f"{SVG}circle"))) == len(fakes.CROWD)
        assert "Liar" not in labels and "memcpy" in labels
    rows = [text_of(row) for row in tree.iter("tr")]
    for row in fakes.CROWD:
        assert any(line.startswith(row.label) for line in rows)
    assert any(line.startswith("Liar") and "FAILED" in line for line in rows)
    whole = text_of(tree)
    assert "Liar failed: does not restore its input" in whole
    assert "ZipNN left out: not installed (pip install zipnn)" in whole


def test_it_says_how_and_where() -> None:
    whole = text_of(page(fakes.result(*fakes.CROWD), command="mmh bench 'a b'"))
    for word in (
        "2026-01-02",
        "Some <CPU> & Co",
        "24 GiB",
        "avx512",
        "openzl 0.3.0",
        "mmh bench 'a b'",
        "medians of 5",
    ):
        assert word in whole


def test_nothing_is_fetched_and_nothing_runs() -> None:
    text = report([fakes.result(*fakes.CROWD)], "mmh bench x")
    assert "<script" not in text
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href)=\"(?!#)", text)
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("name", ["<script>alert(1)</script>&\"'.safetensors", "a\udcffb\x1b[31m\n.npy", "größer ✓"])
def test_names_are_escaped(name: str) -> None:
    text = report([fakes.result(*fakes.CROWD, path=f"/some/{name}")], f"mmh bench {name}")
    assert "<script" not in text and "\x1b" not in text
    text.encode("utf-8")
    page(fakes.result(*fakes.CROWD, path=f"/some/{name}"), command=f"mmh bench {name}")


def test_several_files_have_contents() -> None:
    results = [fakes.result(*fakes.CROWD, path=f"{name}.npy") for name in "abc"]
    tree = page(*results)
    links = [link.get("href") for link in tree.iter("a")]
    assert links == ["#file-0", "#file-1", "#file-2"]
    assert {section.get("id") for section in tree.iter("section")} >= {"file-0", "file-1", "file-2"}
    assert len(report(results * 4, "mmh bench").encode()) < 300_000


def test_without_anything_measured() -> None:
    tree = page(fakes.result(FAILED, SKIPPED, memcpy_gbps=None))
    assert not list(tree.iter(f"{SVG}svg"))


def labels(svg: ElementTree.Element) -> Iterator[tuple[str, float, float]]:
    for text in svg.iter(f"{SVG}text"):
        if text.get("class") in (None, "ours"):
            yield text.text or "", float(text.get("x", 0)), float(text.get("y", 0))


@pytest.mark.parametrize(("width", "height"), [(860, 440), (400, 440)])
@pytest.mark.parametrize("what", ["compress", "decompress"])
def test_labels_do_not_hide_each_other(what: str, width: int, height: int) -> None:
    points = [
        Point(row.label, row.ratio or 0, (row.compress if what == "compress" else row.decompress).gbps, row.ours)  # type: ignore[union-attr]
        for row in fakes.CROWD
    ]
    svg = ElementTree.fromstring(chart(points, what=what, memcpy=12.0, width=width, height=height))
    placed = list(labels(svg))
    assert len(placed) == len(points)
    for number, (one, x, y) in enumerate(placed):
        assert x >= 0 and x + 6 * len(one) <= width + 6 and 0 <= y <= height
        for other, u, v in placed[number + 1 :]:
            apart = abs(y - v) >= 12 or x + 6 * len(one) <= u or u + 6 * len(other) <= x
            assert apart, (one, other)


@pytest.mark.parametrize("points", [[], [Point("a", 1.0, 1.0, False)], [Point("a", 0.5, 2.0, True)] * 3])
def test_small_charts(points: list[Point]) -> None:
    svg = chart(points, what="compress", memcpy=None)
    assert svg == "" if not points else ElementTree.fromstring(svg) is not None


def test_a_hundred_thousandfold() -> None:
    points = [Point("slow", 0.00001, 0.00001, False), Point("fast", 1.2, 90.0, True)]
    ElementTree.fromstring(chart(points, what="compress", memcpy=100.0))


class TestTable:
    def test_numbers(self) -> None:
        heads, lines, rows = cells(fakes.result(*fakes.CROWD), fakes.CROWD[1])
        assert len(heads) == 9 and all(len(line) == 9 for line in lines)
        assert rows[0] is None and lines[0][:4] == ["memcpy", "100.00", "12.0", "12.0"]
        assert lines[1] == ["mmh fast", "66.62", "1.60", "4.00", "64", "46", "+0.35", "0.94×", "1.38×"]
        assert lines[2][6:] == ["=", "1.00×", "1.00×"]

    def test_columns_can_be_left_out(self) -> None:
        found = fakes.result(*fakes.CROWD)
        assert len(cells(found, fakes.CROWD[1], memory=False)[0]) == 7
        assert len(cells(found, fakes.CROWD[1], relative=False)[0]) == 6
        assert len(cells(found, None, memory=False)[0]) == 4

    def test_reference(self) -> None:
        found = fakes.result(*fakes.CROWD)
        assert reference_of(found) is fakes.CROWD[1]
        assert reference_of(found, "lz4") is fakes.CROWD[10]
        assert reference_of(fakes.result(FAILED)) is None
        assert reference_of(fakes.result(fakes.CROWD[3])) is fakes.CROWD[3]

    def test_notes(self) -> None:
        slow = replace(fakes.CROWD[11], compress=replace(fakes.CROWD[11].compress, runs=1))  # type: ignore[type-var]
        lone = replace(fakes.CROWD[8], threads="compress")
        found = fakes.result(fakes.CROWD[1], slow, lone, threads=4, whole_file=[WholeFile("max", 5 * 10**7, 0.5)])
        told = "\n".join(notes(found, fakes.CROWD[1]))
        assert "compared with mmh balanced" in told
        assert "fewer than 5 runs, being slow: zlib 6 (1 compress, 5 decompress)" in told
        assert "decompress with one thread: zstd 1" in told
        assert "whole file at max: 100.0 MB → 50.0 MB, 50.00 %" in told

    def test_memory_that_is_not_there_is_said(self) -> None:
        told = "\n".join(notes(fakes.result(*fakes.CROWD[:3]), None))
        assert "memory not measured, being slow or refusing: mmh balanced, mmh max" in told
        assert "memory" not in "\n".join(notes(fakes.result(*fakes.CROWD[1:]), None))

    def test_titles(self) -> None:
        found = fakes.result(path="/a/b.npy", bytes=5 * 10**7, threads=2)
        assert title(found) == "b.npy: the first 50.0 MB of BF16, 2 threads"
        assert (
            title(replace(found, threads=1, dtype=None, dtype_bytes=5 * 10**7)) == "b.npy: 50.0 MB of bytes, one thread"
        )

    def test_formats(self) -> None:
        assert [gbps(value) for value in (12.34, 9.96, 1.234, 0.1, 0.0123, 0.0014)] == [
            "12.3", "10.0", "1.23", "0.10", "0.012", "0.0014",
        ]  # fmt: skip
        assert [amount(count) for count in (12, 1500, 10**6, 2 * 10**9)] == ["12 B", "1.5 kB", "1.0 MB", "2.0 GB"]

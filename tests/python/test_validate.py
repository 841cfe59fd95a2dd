"""`validate`: statistics against NumPy, verdicts, the proof, the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

import mmh_rs as mmh
from support import Command, damage, lines, model_tensors, plain_safetensors

RANDOM = np.random.default_rng(5)


def one(path: Path, array: Any, dtype: str | None = None) -> mmh.TensorValidation:
    """What is said of an array in a file of its own."""
    names = {"<f4": "F32", "<f8": "F64", "<f2": "F16", "|i1": "I8", "<i8": "I64", "|b1": "BOOL"}
    name = dtype or names[array.dtype.str]
    path.write_bytes(plain_safetensors({"x": (name, list(array.shape), array.tobytes())}))
    (tensor,) = mmh.validate(path, proof="none").tensors
    return tensor


@pytest.mark.parametrize("kind", ["f4", "f8", "f2", "bf16", "f8", "i1", "i8"])
def test_statistics_are_numpys(kind: str, tmp_path: Path) -> None:
    values = RANDOM.standard_t(5, size=(700, 900)) * 3 + 0.5
    dtype: str | None = None
    array: Any
    if kind == "bf16":
        array, dtype = values.astype(ml_dtypes.bfloat16), "BF16"
    else:
        array = np.clip(values * (10 if kind.startswith("i") else 1), -100, 100).astype(kind)
    array.flat[5:60] = 0
    found = one(tmp_path / "a", array, dtype)
    wide = array.astype(np.float64)
    assert (found.count, found.zeros) == (wide.size, int((wide == 0).sum()))
    assert (found.min, found.max) == (wide.min(), wide.max())
    assert found.mean == pytest.approx(wide.mean(), abs=1e-12 * wide.std(), rel=1e-9)
    assert found.std == pytest.approx(wide.std(), rel=1e-9)
    spread = ((wide - wide.mean()) ** 4).mean() / wide.var() ** 2
    assert found.kurtosis == pytest.approx(spread, rel=1e-9)
    if found.distinct is not None:
        assert found.distinct == np.unique(array.view(f"u{array.itemsize}")).size
    counts = np.bincount(np.frombuffer(array.tobytes(), np.uint8), minlength=256)
    shares = counts[counts > 0] / counts.sum()
    assert found.byte_entropy == pytest.approx(-(shares * np.log2(shares)).sum())
    bits = {"f4": (23, 8), "f8": (52, 11), "f2": (10, 5), "bf16": (7, 8)}.get(kind)
    if bits is not None:
        fields = array.view(f"u{array.itemsize}").ravel() >> np.uint64(bits[0]) & np.uint64((1 << bits[1]) - 1)
        numbers, counts = np.unique(fields, return_counts=True)
        assert found.exponents == tuple(zip(numbers.tolist(), counts.tolist(), strict=True))
        shares = counts / counts.sum()
        assert found.exponent_entropy == pytest.approx(-(shares * np.log2(shares)).sum())
        assert found.exponent_bits == bits[1]
    # The histogram is NumPy's, but for bins that lie across two of its steps.
    shown = found.histogram
    assert shown is not None
    assert sum(shown.counts) + shown.below + shown.above == pytest.approx(wide.size)
    theirs, _ = np.histogram(wide, bins=len(shown.counts), range=(shown.low, shown.high))
    assert np.abs(theirs - shown.counts).sum() < 0.25 * wide.size


def test_not_a_number(tmp_path: Path) -> None:
    array = RANDOM.normal(size=(64, 64)).astype(np.float32)
    array[3, 4:7] = np.nan, np.inf, -np.inf
    found = one(tmp_path / "a", array)
    assert (found.nan, found.infinite, found.verdict) == (1, 2, "corrupt")
    assert found.std == pytest.approx(array[np.isfinite(array)].astype(np.float64).std())
    # Masks hold infinities by right.
    mask = np.where(np.tri(64, dtype=bool), 0, -np.inf).astype(np.float32)
    assert one(tmp_path / "a", mask).verdict == "synthetic"


def test_verdicts(tmp_path: Path) -> None:
    normal = RANDOM.normal(size=(256, 300)).astype(np.float32)
    rows = np.exp(RANDOM.normal(0, 0.2, size=(256, 1)).astype(np.float32))
    columns = np.exp(RANDOM.normal(0, 0.2, size=300).astype(np.float32))
    bound = np.float32(1 / np.sqrt(300))
    truncated = np.where(np.abs(normal) < 2, normal, 0.3) * 0.02
    cases: list[tuple[Any, str, str]] = [
        (normal * rows, "trained", "rows differ"),
        (normal * columns, "trained", "of columns"),
        (0.02 * normal, "fresh", "normal"),
        (RANDOM.uniform(-bound, bound, (256, 300)).astype(np.float32), "fresh", "uniform"),
        (truncated.astype(np.float32), "fresh", "alike"),
        (RANDOM.standard_t(4, (256, 300)).astype(np.float32), "trained", "heavier"),
        (RANDOM.uniform(-bound, bound, 300).astype(np.float32), "fresh", "as biases are made"),
        (1 + 0.1 * normal[0], "trained", "a vector"),
        (np.zeros((40, 40), np.float32), "constant", "all zeros"),
        (np.ones(300, np.float32), "constant", "gains"),
        (np.full(300, 0.25, np.float16), "constant", "0.25"),
        (np.arange(300, dtype=np.int64), "synthetic", "counts up from 0"),
        (np.linspace(0, 1, 257, dtype=np.float64), "synthetic", "more than the one before"),
        (np.tile(normal[0], 50).reshape(50, 300), "synthetic", "repeats every 1200 bytes"),
        (RANDOM.integers(0, 50_000, 500), "data", "integers from"),
        (np.clip(40 * normal, -127, 127).astype(np.int8), "quantized", "8-bit"),
        (np.round(normal * 2).astype(np.float32) / 7, "quantized", "dequantized"),
        (normal[0, :5], "unknown", "too little"),
        (np.float32([3.5]), "unknown", "single"),
        (RANDOM.integers(0, 1 << 16, (300, 300)).astype(np.uint16).view(np.float16), "corrupt", "NaN"),
    ]
    for array, verdict, reason in cases:
        found = one(tmp_path / "a", np.ascontiguousarray(array))
        assert (found.verdict, reason in found.reason) == (verdict, True), f"{verdict} {reason}: {found}"


def test_upcast_and_equal_tensors(tmp_path: Path) -> None:
    wide = RANDOM.normal(size=(100, 256)).astype(np.float32)
    half = wide.astype(np.float16).astype(np.float32)
    short = wide.astype(ml_dtypes.bfloat16).astype(np.float32)
    mixed = np.concatenate([short[:25], wide[25:]])
    tensors = {
        "wide": wide,
        "half": half,
        "short": short,
        "mixed": mixed,
        "again": wide,
        "f64": wide.astype(np.float64),
    }
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(tensors, path)
    found = {tensor.name: tensor for tensor in mmh.validate(path, proof="none").tensors}
    told = {name: (tensor.upcast_from, tensor.upcast_share) for name, tensor in found.items()}
    assert told == {
        "wide": (None, None),
        "half": ("F16", 1),
        "short": ("BF16", 1),
        "mixed": ("BF16", 0.25),
        "again": (None, None),
        "f64": ("F32", 1),
    }
    equal = {tensor.name: tensor.equals for tensor in found.values() if tensor.equals}
    assert equal in ({"wide": "again"}, {"again": "wide"})


def test_archives_and_threads_give_the_same(model: Path, archive_path: Path) -> None:
    source = mmh.validate(model, proof="none", threads=1)
    packed = mmh.validate(archive_path, proof="none", threads=3)
    assert (source.packed, packed.packed) == (False, True)
    assert source.tensors == packed.tensors
    assert [tensor.name for tensor in source.tensors] == list(model_tensors())
    with model.open("rb") as file:
        assert mmh.validate(file, proof="none").tensors == source.tensors


def test_the_proof(model: Path) -> None:
    found = mmh.validate(model)
    assert found and all(proof.equal for proof in found.proofs)
    ways = {(proof.codec, proof.level) for proof in found.proofs}
    assert {("auto", 2), ("auto", 5), ("store", 5), ("zstd", 5), ("tensor", 5)} <= ways
    for proof in found.proofs:
        report = mmh.compress_file(model, codec=proof.codec, level=proof.level, force=True)
        # But for the name, which is the source's own there.
        assert abs(report.stored_bytes - proof.stored_bytes) < 64
        assert proof.compress_seconds > 0 and proof.decompress_seconds > 0
    assert len(mmh.validate(model, proof="levels").proofs) == 3
    with pytest.raises(ValueError, match="proof must be"):
        mmh.validate(model, proof="some")


def test_generated_files_say_so(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.gguf", "a.pt"):
        mmh.generate(tmp_path / name, size="1MB")
        found = mmh.validate(tmp_path / name, proof="none")
        assert found.generated and found.verdicts["synthetic"] > 3 and not found.verdicts["trained"]
        report = mmh.compress_file(tmp_path / name)
        assert mmh.validate(report.target or "", proof="none").generated


def test_the_command(run: Command, model: Path, archive_path: Path, tmp_path: Path) -> None:
    done = run("validate", model, "--proof", "levels")
    assert done.returncode == 0 and done.stderr == b""
    text = done.stdout.decode()
    assert "model.embed.weight" in text and "every bit comes back" in text and "looks: " in text
    done = run("validate", model, archive_path, "--json", "--proof", "none")
    document = json.loads(done.stdout)
    assert [result["ok"] for result in document["results"]] == [True, True]
    assert {"verdicts", "proofs", "tensors", "generated"} <= set(document["results"][0])
    bad = np.full((64, 64), np.nan, np.float32)
    bad[::2] = RANDOM.normal(size=(32, 64))
    (tmp_path / "bad").write_bytes(plain_safetensors({"x": ("F32", [64, 64], bad.tobytes())}))
    done = run("validate", "bad", "--proof", "none")
    assert done.returncode == 2 and b"looks corrupt: x: 2048 elements are NaN (" in done.stderr
    damage(archive_path, "model.embed.weight")
    assert run("validate", archive_path, "--proof", "none").returncode == 2
    (tmp_path / "notes.txt").write_text("text " * 100)
    done = run("validate", "notes.txt")
    assert done.returncode == 0 and b"no tensors" in done.stdout
    for words, code in ((["no-such-file"], 4), (["-"], 64), ([str(model), "--proof", "x"], 64), (["."], 4)):
        done = run("validate", *words)
        assert done.returncode == code and len(lines(done.stderr)) == 1, done


class Page(HTMLParser):
    """Collects what a page asks for, and holds its tags against each other."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.asked: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.asked += [value or "" for key, value in attributes if key in ("href", "src") and tag != "a"]
        if tag not in ("meta", "link", "br", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page(run: Command, model: Path, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\x1b[2J"
    other = {**model_tensors(), hostile: ("F32", [300], RANDOM.normal(size=300).astype(np.float32).tobytes())}
    (tmp_path / "a&b").write_bytes(plain_safetensors(other))
    done = run("validate", model, "a&b", model, "--report", "out.html", "--proof", "levels")
    assert done.returncode == 0
    text = (tmp_path / "out.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.asked == ["data:,"] and "script" not in page.tags
    assert page.tags.count("section") == 3 and page.tags.count("svg") >= 10
    assert "a&amp;b" in text and "&lt;script&gt;" in text and "\x1b" not in text
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    for name in model_tensors():
        assert name.replace(".", ".<wbr/>").replace("_", "_<wbr/>") in text or name in text
    again = run("validate", model, "--report", "out.html", "--proof", "none")
    assert again.returncode == 4 and b"already exists" in again.stderr
    assert run("validate", model, "--report", "out.html", "--proof", "none", "-f").returncode == 0

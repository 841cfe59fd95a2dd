"""What is measured, who takes part, and that only those are timed who restore their input."""

from __future__ import annotations

import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bench_support as fakes
from mmh_rs.bench import memory, rivals
from mmh_rs.bench.candidates import Choice, Family, UnknownNameError, UnsuitableError, chosen, stored_bytes
from mmh_rs.bench.elements import Elements, buffer, elements_of, same
from mmh_rs.bench.machine import _model, described, machine
from mmh_rs.bench.measure import Measurement, Settings, whole_file
from mmh_rs.bench.results import FileResult, front
from mmh_rs.bench.rivals import MMH, RIVALS, lineup
from support import model_tensors, plain_safetensors, weights

QUICK = Settings(runs=2, memory=False)


def elements(dtype: str | None = "BF16", count: int = 40_000) -> Elements:
    raw = buffer(count)
    raw[:] = weights(count // 2).tobytes()
    return Elements("made up", dtype, raw, count, count)


def measured(*families: Family, of: Elements | None = None, missing: list[Family] | None = None) -> FileResult:
    choices = [choice for family in families for choice in family.choices()]
    measurement = Measurement(of or elements(), choices, missing or [], QUICK)
    measurement.run()
    return measurement.result(fakes.MACHINE)


class TestElements:
    def test_main_dtype_of_safetensors(self, model: Path) -> None:
        found = elements_of(str(model), 10**9)
        parts = [data for dtype, _, data in model_tensors().values() if dtype == "BF16"]
        assert (found.dtype, found.width) == ("BF16", 2)
        assert found.raw.tobytes() == b"".join(parts)
        assert found.dtype_bytes == len(found.raw)
        assert found.file_bytes == model.stat().st_size

    def test_limit(self, model: Path) -> None:
        found = elements_of(str(model), 300_007)
        assert len(found.raw) == 300_000
        assert found.raw.tobytes() == model_tensors()["model.embed.weight"][2][:300_000]
        assert found.dtype_bytes > 300_000

    def test_numpy_files(self, tmp_path: Path) -> None:
        array = np.random.default_rng(0).normal(size=(100, 30))
        np.save(tmp_path / "a.npy", array)
        np.savez(tmp_path / "a.npz", a=array, b=np.arange(5))
        for name in ("a.npy", "a.npz"):
            found = elements_of(str(tmp_path / name), 10**9)
            assert (found.dtype, found.width) == ("F64", 8)
            assert found.raw.tobytes() == array.tobytes()

    def test_other_files_are_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"what is this? " * 101)
        found = elements_of(str(tmp_path / "x"), 10**9)
        assert (found.dtype, found.width) == (None, 1)
        assert found.raw.tobytes() == b"what is this? " * 101

    @pytest.mark.parametrize("content", [b"", plain_safetensors({"empty": ("F16", [0, 7], b"")})[:0]])
    def test_nothing(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(OSError, match="nothing to measure"):
            elements_of(str(tmp_path / "x"), 10**9)

    def test_no_tensor_has_an_element(self, tmp_path: Path) -> None:
        data = plain_safetensors({"empty": ("F16", [0, 7], b"")})
        (tmp_path / "x").write_bytes(data)
        assert elements_of(str(tmp_path / "x"), 10**9).raw.tobytes() == data

    def test_same(self) -> None:
        one, other = buffer(3_000_000), buffer(3_000_000)
        assert same(one, other)
        other[2_999_999] = 1
        assert not same(one, other)
        assert not same(one, one[:-1])


class TestChoice:
    def names(self, *wanted: str) -> list[str]:
        return [choice.name for choice in chosen(wanted, [MMH, *RIVALS])]

    def test_families_and_settings(self) -> None:
        assert self.names("zlib") == ["zlib-6"]
        assert self.names("ZLIB 9", "lzma-1", "zlib-9") == ["zlib-9", "lzma-1"]
        assert self.names("mmh") == ["mmh-fast", "mmh-balanced", "mmh-max"]
        assert self.names("mmh-1") == ["mmh-1"]

    def test_labels(self) -> None:
        assert [choice.label for family in RIVALS for choice in family.choices()] == [
            "OpenZL Huffman", "OpenZL FSE", "OpenZL generic", "ZipNN", "pcodec 8", "blosc2 shuffle",
            "blosc2 bitshuffle", "zstd 1", "zstd 3", "lz4", "zlib 6", "lzma 6",
        ]  # fmt: skip

    def test_unknown_names(self) -> None:
        known = r"unknown compressor 'gzip' \(known: mmh, openzl, .*lzma; installed here: mmh, .*zlib, lzma\)"
        with pytest.raises(UnknownNameError, match=known):
            self.names("gzip")
        with pytest.raises(UnknownNameError, match=r"zlib has no setting '10' \(there are: 6, 1, 2,"):
            self.names("zlib-10")

    def test_not_installed(self) -> None:
        families = [fakes.family("there", fakes.honest), fakes.family("gone", fakes.honest, installed=False)]
        with pytest.raises(UnknownNameError, match=r"gone is not installed \(pip install gone; installed here: there"):
            chosen(["gone"], families)

    def test_lineup(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gone = fakes.family("gone", fakes.honest, installed=False)
        monkeypatch.setattr(rivals, "RIVALS", [fakes.family("there", fakes.honest), gone])
        choices, missing = lineup("fast,max", None)
        assert [choice.name for choice in choices] == ["mmh-fast", "mmh-max", "there"]
        assert missing == [gone]
        assert [choice.name for choice in lineup("5", "none")[0]] == ["mmh-5"]

    def test_families_are_found_without_being_imported(self) -> None:
        assert not fakes.family("gone", fakes.honest, installed=False).installed()
        assert not replace(fakes.family("gone", fakes.honest), module="no_such_module.ext").installed()


class TestMeasurement:
    def test_good_ones(self) -> None:
        found = measured(fakes.family("honest", fakes.honest), fakes.family("pieces", fakes.in_pieces), MMH)
        assert [row.status for row in found.rows] == ["good"] * 5
        honest, pieces = found.rows[:2]
        assert honest.stored_bytes == len(zlib.compress(elements().raw, 1))
        assert honest.ratio == honest.stored_bytes / 40_000
        assert pieces.ratio == 1.0 and pieces.threads == "compress"
        assert honest.compress is not None and honest.compress.runs == 2 and honest.compress.gbps > 0
        assert found.memcpy_gbps is not None and found.complete
        assert all(row.compress_memory is None for row in found.rows)

    @pytest.mark.parametrize(
        ("build", "status", "reason"),
        [
            (fakes.liar, "failed", "does not restore its input"),
            (fakes.raises, "failed", "RuntimeError: out of luck"),
            (fakes.worn_out(2), "failed", "no longer restores its input after some runs"),
            (fakes.unsuitable, "skipped", "knows nothing of BF16"),
            (fakes.broken_import, "skipped", "cannot be imported: ImportError: libfoo.so.1 is not there"),
        ],
    )
    def test_bad_ones_have_no_numbers(self, build: fakes.Build, status: str, reason: str) -> None:
        found = measured(fakes.family("bad", build), fakes.family("honest", fakes.honest))
        bad, honest = found.rows
        assert (bad.status, bad.reason) == (status, reason)
        assert (bad.ratio, bad.compress, bad.decompress) == (None, None, None)
        assert found.row("bad") is None and found.row("honest") is honest

    def test_liars_are_never_timed(self) -> None:
        calls = []

        def build(elements: Elements, setting: str, threads: int) -> fakes.Candidate:
            liar = fakes.liar(elements, setting, threads)
            return replace(liar, compress=lambda raw: calls.append(1) or liar.compress(raw))  # type: ignore[func-returns-value]

        measured(fakes.family("liar", build))
        assert calls == [1]

    def test_what_changes_its_input_gets_its_own(self) -> None:
        source = elements()
        before = source.raw.tobytes()
        found = measured(fakes.family("spoils", fakes.spoils), fakes.family("honest", fakes.honest), of=source)
        assert [row.status for row in found.rows] == ["good", "good"]
        assert source.raw.tobytes() == before

    def test_they_take_turns(self) -> None:
        order: list[str] = []

        def logged(name: str) -> Family:
            def build(elements: Elements, setting: str, threads: int) -> fakes.Candidate:
                good = fakes.honest(elements, setting, threads)
                return replace(good, compress=lambda raw: order.append(name) or good.compress(raw))  # type: ignore[func-returns-value]

            return fakes.family(name, build)

        measured(logged("a"), logged("b"), logged("c"))
        assert "".join(order) == "abc" * 4  # checked, warm-up, two turns

    def test_slow_ones_get_fewer_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mmh_rs.bench.measure.BUDGET", 0.0)
        calls = []

        def build(elements: Elements, setting: str, threads: int) -> fakes.Candidate:
            good = fakes.honest(elements, setting, threads)
            return replace(good, compress=lambda raw: calls.append(1) or good.compress(raw))  # type: ignore[func-returns-value]

        (row,) = measured(fakes.family("slow", build)).rows
        assert calls == [1]
        assert row.compress is not None and row.compress.runs == 1

    def test_what_is_missing_is_named(self) -> None:
        gone = fakes.family("gone", fakes.honest, installed=False)
        found = measured(fakes.family("honest", fakes.honest), missing=[gone])
        assert (found.rows[1].status, found.rows[1].reason) == ("skipped", "not installed (pip install gone)")

    def test_interrupted(self) -> None:
        families = [
            fakes.family("honest", fakes.honest),
            fakes.family("stops", fakes.worn_out(0, KeyboardInterrupt())),
            fakes.family("later", fakes.honest),
        ]
        measurement = Measurement(elements(), [family.choices()[0] for family in families], [], QUICK)
        with pytest.raises(KeyboardInterrupt):
            measurement.run()
        found = measurement.result(fakes.MACHINE)
        assert not found.complete
        assert [row.status for row in found.rows] == ["good", "interrupted", "interrupted"]

    def test_whole_file(self, model: Path) -> None:
        found = whole_file(str(model), "fast", 1)
        assert 0 < found.ratio < 1 and found.stored_bytes < model.stat().st_size
        assert [path.name for path in model.parent.iterdir()] == [model.name]


class TestRivals:
    """Those that are installed, on each kind of elements."""

    @pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64", "F8_E4M3", "F8_E5M2", "I8", "I64", "F4", None])
    def test_round_trips(self, dtype: str | None) -> None:
        families = [family for family in RIVALS if family.installed()]
        assert {"zlib", "lzma", "zstd"} <= {family.name for family in families}
        found = measured(MMH, *families, of=elements(dtype))
        for row in found.rows:
            assert row.status in ("good", "skipped"), (row.name, row.reason)
            assert row.status == "good" or row.reason
        assert found.row("zstd-3") is not None and found.row("mmh-max") is not None

    def test_reasons(self) -> None:
        for name, dtype, reason in (
            ("zipnn", "I8", "knows bf16, fp16, fp32 and fp8, not I8"),
            ("pcodec-8", None, "knows numbers of 16 to 64 bits, not bytes"),
            ("openzl-huffman", "F16", "is for bf16 and fp32, not F16"),
        ):
            family = next(family for family in RIVALS if name.startswith(family.name))
            with (
                pytest.raises(UnsuitableError, match=reason)
                if family.installed()
                else pytest.raises((UnsuitableError, ImportError))
            ):
                Choice(family, name.partition("-")[2]).build(elements(dtype), 1)

    def test_stored_bytes(self) -> None:
        assert stored_bytes(b"abc") == 3
        assert stored_bytes([b"abc", bytearray(4)]) == 7


@pytest.mark.skipif(sys.platform == "win32", reason="cannot be told there")
class TestMemory:
    def peak(self, name: str, direction: memory.Direction) -> int | None:
        of = elements("BF16", 16_000_000)
        (choice,) = chosen([name], [MMH, *RIVALS])
        candidate = choice.build(of, 1)
        blob = candidate.compress(candidate.source()) if direction == "decompress" else None
        return memory.peak(choice, of, 1, direction, blob)

    @pytest.mark.parametrize("name", ["mmh-fast", "zstd-1"])
    def test_the_result_counts(self, name: str) -> None:
        restoring = self.peak(name, "decompress")
        compressing = self.peak(name, "compress")
        assert restoring is not None and 15_000_000 < restoring < 80_000_000
        assert compressing is not None and 8_000_000 < compressing < 120_000_000

    def test_of_what_the_child_does_not_know(self) -> None:
        choice = fakes.family("made-up", fakes.honest).choices()[0]
        assert memory.peak(choice, elements(), 1, "compress") is None


def test_front() -> None:
    points = [(0.6, 1.0), (0.7, 4.0), (0.7, 3.0), (0.65, 0.5), (0.9, 4.0), (0.6, 1.0)]
    assert front(points) == {0, 1, 5}
    assert front([]) == set()


def test_a_cpu_without_a_number_in_its_name() -> None:
    cpuinfo = "processor\t: 0\ncpu family\t: {}\nmodel\t\t: {}\nmodel name\t: {}\nmodel name\t: another\n"
    assert _model(cpuinfo.format(25, 17, "AMD EPYC")) == "AMD EPYC (family 25, model 17)"
    assert _model(cpuinfo.format(6, 143, "Intel(R) Xeon(R) 8481C")) == "Intel(R) Xeon(R) 8481C"
    assert _model("Processor\t: AArch64\n") == ""


def test_machine() -> None:
    found = machine(RIVALS)
    assert found.cpu and found.cores >= 1 and found.simd
    assert set(found.versions) == {family.name for family in RIVALS}
    assert found.versions["lzma"] == "Python's"
    import platform

    assert platform.node() not in described(found) or not platform.node()

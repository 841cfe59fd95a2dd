"""What each level is to reach, judged on made-up results."""

from __future__ import annotations

from dataclasses import replace

from targets import report, targets

import bench_support as fakes


def judged(*rows: fakes.Row, **more: object) -> dict[tuple[str, str, str], bool | None]:
    found = fakes.result(*rows, **more)
    return {(target.level, target.what, target.target): target.holds for target in targets(found, [found])}


def test_all_of_it() -> None:
    found = judged(
        fakes.row("mmh-fast", 0.6662, 6.1, 11.6),
        fakes.row("mmh-balanced", 0.6610, 2.3, 4.5),
        fakes.row("mmh-max", 0.6500, 0.2, 0.5),
        fakes.row("openzl-huffman", 0.6657, 1.5, 2.3),
        fakes.row("zstd-3", 0.78, 0.5, 0.9),
        fakes.row("zlib-6", 0.79, 0.01, 0.2),
    )
    assert found == {
        ("fast", "size", "OpenZL Huffman + 0.1 %: ≤ .66637"): True,
        ("fast", "decompress", "≥ 5 × openzl huffman"): True,
        ("fast", "decompress", "≥ 0.7 of memcpy"): True,
        ("fast", "compress", "≥ 4 × openzl huffman"): True,
        ("balanced", "size", "below every rival (openzl huffman .66570)"): True,
        ("balanced", "decompress", "≥ 2 × openzl huffman"): False,
        ("balanced", "compress", "≥ 1.5 × openzl huffman"): True,
        ("balanced", "decompress", "≥ 10 × zlib 6"): True,
        ("balanced", "compress", "≥ 10 × zlib 6"): True,
        ("max", "size", "1 % below the smallest rival (openzl huffman .66570): ≤ .65904"): True,
        ("max", "decompress", "≥ 0.15 GB/s"): True,
        ("max", "compress", "≥ 0.1 GB/s"): True,
    }


def test_what_cannot_be_told() -> None:
    found = judged(fakes.row("mmh-fast", 0.85, 3.0, 9.0), memcpy_gbps=None)
    assert set(found.values()) == {None}


def test_integers_may_be_larger_than_a_rival_s() -> None:
    rows = fakes.row("mmh-balanced", 0.916, 1.0, 1.0), fakes.row("zstd-3", 0.913, 1.0, 1.0)
    assert (
        judged(*rows, dtype="I8")["balanced", "size", "below every rival (zstd 3 .91300) (asked of floats alone)"]
        is None
    )


def test_avx2_asks_for_less() -> None:
    rows = fakes.row("mmh-fast", 0.6662, 6.1, 5.0), fakes.row("openzl-huffman", 0.6657, 1.5, 2.3)
    avx2 = judged(*rows, machine=replace(fakes.MACHINE, simd="avx2"))
    assert avx2["fast", "decompress", "≥ 2 × openzl huffman"] is True
    assert not any("memcpy" in target for _, _, target in avx2)


def test_upcast_weights() -> None:
    plain = fakes.result(fakes.row("mmh-balanced", 0.66, 2.0, 3.0), path="minilm-bf16.safetensors")
    upcast = fakes.result(fakes.row("mmh-balanced", 0.331, 2.0, 2.9), path="minilm-upcast-fp32.safetensors")
    found = {target.target: target.holds for target in targets(upcast, [plain, upcast])}
    assert found["upcast from bf16: ≤ .333"] is True
    assert found["upcast: ≥ bf16's 3.00 GB/s"] is False


def test_report() -> None:
    text = report([fakes.result(*fakes.CROWD, path="small.safetensors", bytes=10 * 2**20)])
    assert "### small.safetensors (10 MiB; the targets are for 64 or more)" in text
    assert "**no**" in text and "yes" in text
    assert "Requirements that hold: fast 1 of 4, balanced 2 of 5, max 2 of 3." in text

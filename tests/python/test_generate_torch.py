"""PyTorch opens what `generate` writes, without executing anything."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import mmh_rs as mmh  # noqa: E402
from mmh_rs import _core  # noqa: E402

DTYPES = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I8": torch.int8,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("like", [name for name, _ in _core.families()])
def test_weights_only(like: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    report = mmh.generate(path, like=like, dtype=dtype, size=1_500_000)
    tensors = torch.load(path, weights_only=True, map_location="cpu")
    assert len(tensors) == report.tensors
    assert sum(tensor.numel() for tensor in tensors.values()) == report.elements
    assert DTYPES[dtype] in {tensor.dtype for tensor in tensors.values()}
    assert all(torch.isfinite(tensor.float()).all() for tensor in tensors.values())


def test_it_holds_what_safetensors_holds(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    mmh.generate(tmp_path / "a.pt", like="gpt2", dtype="F16", size=5_000_000)
    tensors = torch.load(tmp_path / "a.pt", weights_only=True)
    shared = tensors["lm_head.weight"].data_ptr() == tensors["transformer.wte.weight"].data_ptr()
    assert shared
    mmh.generate(tmp_path / "a.safetensors", like="gpt2", dtype="F16", size=5_000_000)
    # The sizes are fitted to each format; norms are of the width alone.
    others = load_file(tmp_path / "a.safetensors")
    if others["transformer.ln_f.weight"].shape == tensors["transformer.ln_f.weight"].shape:
        assert torch.equal(others["transformer.ln_f.weight"], tensors["transformer.ln_f.weight"])


def test_fp8_times_its_scale_is_the_weight(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    mmh.generate(tmp_path / "a.safetensors", like="vit", dtype="F8_E4M3", size=3_000_000)
    tensors = load_file(tmp_path / "a.safetensors")
    name = "vit.encoder.layer.0.output.dense.weight"
    weight = tensors[name].float() * tensors[name + "_scale"]
    expected = weight.shape[1] ** -0.5
    assert 0.4 * expected < weight.std() < 2.5 * expected

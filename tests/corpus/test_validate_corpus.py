"""What `validate` says of real weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mmh_rs as mmh

NAMED = os.environ.get("MMH_CORPUS")
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not NAMED, reason="MMH_CORPUS names no directory (see benches/corpus/fetch.py)"),
]
CORPUS = Path(NAMED or ".")

EXPECTED = {
    "minilm-fp32.safetensors": {"trained": 101, "fresh": 1, "synthetic": 1, "constant": 1},
    "minilm-bf16.safetensors": {"trained": 101, "fresh": 1, "synthetic": 1, "constant": 1},
    "minilm-upcast-fp32.safetensors": {"trained": 101, "fresh": 1, "synthetic": 1, "constant": 1},
    "minilm-fp8-e4m3.safetensors": {"trained": 62, "synthetic": 1, "constant": 1, "quantized": 40},
    "minilm-fp8-e5m2.safetensors": {"trained": 62, "synthetic": 1, "constant": 1, "quantized": 40},
    "minilm-int8-rows.safetensors": {"trained": 101, "synthetic": 1, "constant": 1, "quantized": 40},
    "minilm-int8.onnx": {"trained": 101, "synthetic": 1, "quantized": 38},
    "minilm-q4_0.gguf": {"trained": 62, "quantized": 40, "constant": 1},
    "minilm-q8_0.gguf": {"trained": 62, "quantized": 40, "constant": 1},
    "smollm2-q4_1.gguf": {"trained": 61, "quantized": 211},
    "wordllama-fp16.safetensors": {"trained": 1},
    "spliceai-fp32.h5": {"trained": 205},
    "resemblyzer-adam.pt": {"trained": 42},
    "glove-50d-fp32.npy": {"trained": 1},
    "merlin-bf16.safetensors": {"trained": 369},
}
"""How many tensors there are of each verdict, without those of a few elements. MiniLM's pooler was never trained."""


@pytest.mark.parametrize("name", EXPECTED)
def test_verdicts(name: str) -> None:
    found = mmh.validate(CORPUS / name, proof="none")
    told = {verdict: count for verdict, count in found.verdicts.items() if count}
    told.pop("unknown", None)
    assert told == EXPECTED[name]


def test_nothing_real_looks_corrupt() -> None:
    for path in sorted(CORPUS.iterdir()):
        if path.is_file():
            found = mmh.validate(path, proof="none")
            assert not found.verdicts["corrupt"], [t for t in found.tensors if t.verdict == "corrupt"]


def test_what_was_upcast() -> None:
    def told(name: str) -> dict[str, tuple[str | None, float | None]]:
        found = mmh.validate(CORPUS / name, proof="none")
        return {tensor.name: (tensor.upcast_from, tensor.upcast_share) for tensor in found.tensors}

    published = told("minilm-fp32.safetensors")
    assert published["pooler.dense.weight"] == ("F16", 1)
    kind, share = published["embeddings.position_embeddings.weight"]
    assert kind is not None and share == pytest.approx(0.75, abs=0.01)
    assert published["encoder.layer.3.output.dense.weight"] == (None, None)
    derived = told("minilm-upcast-fp32.safetensors")
    matrices = [value for name, value in derived.items() if name.endswith("dense.weight")]
    assert set(matrices) == {("BF16", 1)}

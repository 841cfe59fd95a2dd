"""Real files of other formats: their tensors are those that each format's own library gives."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmh_rs as mmh

NAMED = os.environ.get("MMH_CORPUS")
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not NAMED, reason="MMH_CORPUS names no directory (see benches/corpus/fetch.py)"),
]
CORPUS = Path(NAMED or ".")

# Tensors that the library has and that are no range of the file: in channels-last order, or a list of varints.
APART = {"efficientnet-lite0.pth": 17, "silero.onnx": 1}
Tensors = Iterator[tuple[str, np.ndarray]]


def by_gguf(path: Path) -> Tensors:
    for tensor in pytest.importorskip("gguf").GGUFReader(path).tensors:
        yield tensor.name, tensor.data


def by_onnx(path: Path) -> Tensors:
    onnx = pytest.importorskip("onnx")

    def of_graph(graph: Any) -> Iterator[tuple[str, Any]]:
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t.name or f"{node.output[0]}.{attribute.name}", attribute.t
                if attribute.HasField("g"):
                    yield from of_graph(attribute.g)
        for tensor in graph.initializer:
            yield tensor.name, tensor

    times: Counter[str] = Counter()
    for name, tensor in of_graph(onnx.load(path).graph):
        raw = tensor.HasField("raw_data")
        times[name] += raw
        numbered = name if times[name] == 1 else f"{name}#{times[name]}"
        yield numbered if raw else f"{name}, a list", onnx.numpy_helper.to_array(tensor)


def by_h5py(path: Path) -> Tensors:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path) as file:
        names: list[str] = []
        file.visit(names.append)
        for name in names:
            if isinstance(file[name], h5py.Dataset):
                yield name, file[name][()]


def by_torch(path: Path) -> Tensors:
    torch = pytest.importorskip("torch")
    if path.suffix == ".jit":
        module = torch.jit.load(path)
        yield from ((name, tensor.detach().numpy()) for name, tensor in module.named_parameters())
        return

    def of(value: Any, name: str) -> Tensors:
        if isinstance(value, torch.Tensor):
            yield name, value.detach().numpy()
        elif isinstance(value, dict | list):
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                yield from of(inner, f"{name}.{key}" if name else str(key))

    yield from of(torch.load(path, map_location="cpu", weights_only=True), "")


LIBRARIES = {
    "minilm-q4_0.gguf": by_gguf,
    "minilm-q5_0.gguf": by_gguf,
    "minilm-q8_0.gguf": by_gguf,
    "smollm2-q4_1.gguf": by_gguf,
    "minilm-int8.onnx": by_onnx,
    "silero.onnx": by_onnx,
    "spliceai-fp32.h5": by_h5py,
    "silero.jit": by_torch,
    "ligandmpnn-010.pt": by_torch,
    "ligandmpnn-020.pt": by_torch,
    "resemblyzer-adam.pt": by_torch,
    "efficientnet-lite0.pth": by_torch,
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("name", LIBRARIES)
def test_tensors_are_those_of_the_library(name: str, tmp_path: Path) -> None:
    mmh.compress_file(CORPUS / name, tmp_path / "a.mmh")
    missing = []
    with mmh.open(tmp_path / "a.mmh") as archive:
        known = set(archive.keys())
        count = 0
        for key, array in LIBRARIES[name](CORPUS / name):
            count += 1
            if key not in known:
                missing.append(key)
                continue
            ours = archive.get(key)
            assert (ours.shape, ours.tobytes()) == (array.shape, array.tobytes()), key
    assert count > 0
    assert len(missing) == APART.get(name, 0)


@pytest.mark.parametrize(("name", "tensors"), [("deepseek-q6_k-truncated.gguf", 0), ("merlin-bf16-truncated.pt", 443)])
def test_what_is_whole_of_a_cut_file_is_found(name: str, tensors: int, tmp_path: Path) -> None:
    assert mmh.compress_file(CORPUS / name, tmp_path / "a.mmh").tensors == tensors

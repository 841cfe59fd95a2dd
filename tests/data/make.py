"""Makes the files beside it, each with its format's library: `pip install torch onnx h5py gguf tflite blake3`.

They are small and in the repository, so that tests need none of those. Made by torch 2.15, onnx 1.23, h5py 3.16,
gguf 0.19 and tflite 2.18. `expected.json` says which tensors there are: name, dtype, shape, and the start of the
BLAKE3 of their bytes in row-major order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import gguf
import h5py
import numpy as np
import onnx
import tflite
import torch
from blake3 import blake3
from onnx import helper, numpy_helper

HERE = Path(__file__).parent
Row = tuple[str, str, list[int], str]
DTYPES = {
    "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64", "float8_e4m3fn": "F8_E4M3",
    "int64": "I64", "int32": "I32", "int8": "I8", "uint8": "U8", "uint16": "U16", "bool": "BOOL", "complex64": "C64",
}  # fmt: skip


def row(name: str, dtype: str, shape: Any, data: bytes) -> Row:
    return name, dtype, [int(size) for size in shape], blake3(data).hexdigest(length=8)


def numpy_row(name: str, array: np.ndarray) -> Row:
    return row(name, DTYPES[str(array.dtype)], array.shape, np.ascontiguousarray(array).tobytes())


def torch_row(name: str, tensor: torch.Tensor) -> Row:
    data = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return row(name, DTYPES[str(tensor.dtype).removeprefix("torch.")], tensor.shape, data)


def named(value: Any, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in dicts and lists, called by the way to them."""
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from named(inner, f"{path}.{key}" if path else str(key))


def checkpoint() -> tuple[dict[str, Any], list[Row]]:
    """A model, its optimizer, and what else one finds: tied weights, slices, transposed and permuted tensors."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    flat = torch.arange(10.0)
    table = torch.arange(12, dtype=torch.bfloat16)
    images = torch.arange(24.0).reshape(1, 2, 3, 4)
    wholes = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": torch.tensor(7),
        "half": [torch.arange(3, dtype=torch.float16)],
        "mask": torch.tensor([True, False]),
        "turned": torch.arange(6, dtype=torch.int8).reshape(2, 3).t(),
        "empty": torch.zeros(0, 5),
        "parameter": torch.nn.Parameter(torch.ones(2, 2)),
    }
    parts = {"parts": [flat[2:6].reshape(2, 2), flat[6:9], flat[4:8]]}
    others = {"tied": [table, table], "images": images.to(memory_format=torch.channels_last), "epoch": 3, "lr": [0.1]}
    rows = [torch_row(*pair) for pair in named(wholes)]
    rows += [torch_row(f"parts.{i}", parts["parts"][i]) for i in (0, 1)]
    rows.append(torch_row("tied.0", table))
    rows.append(torch_row("images.storage", images.permute(0, 2, 3, 1).reshape(-1)))
    return {**wholes, **parts, **others}, rows


def torch_files() -> Iterator[tuple[str, list[Row]]]:
    value, rows = checkpoint()
    torch.save(value, HERE / "checkpoint.pt")
    yield "checkpoint.pt", rows
    torch.save(value, HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    yield "legacy.pt", rows
    torch.save(value, HERE / "protocol4.pt", pickle_protocol=4)
    yield "protocol4.pt", rows

    torch.manual_seed(1)
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    torch.save(module, HERE / "module.pt")
    yield "module.pt", [torch_row(*pair) for pair in module.state_dict().items()]
    torch.jit.script(module).save(HERE / "script.pt")
    yield "script.pt", [torch_row(*pair) for pair in module.state_dict().items()]

    new = {"fp8": torch.arange(8.0).to(torch.float8_e4m3fn), "u16": torch.arange(5).to(torch.uint16)}
    torch.save({**new, "c128": torch.ones(3, dtype=torch.complex128), "c64": torch.ones(3) + 1j}, HERE / "dtypes.pt")
    yield "dtypes.pt", [torch_row(*pair) for pair in new.items()] + [torch_row("c64", torch.ones(3) + 1j)]


def onnx_file() -> list[Row]:
    raw = np.arange(12, dtype=np.float32).reshape(3, 4)
    listed = np.linspace(0, 1, 5, dtype=np.float32)
    doubles = np.linspace(0, 1, 3)
    constant = np.arange(6, dtype=np.float16).reshape(2, 3)
    inner = np.arange(4, dtype=np.int64)
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["chosen"], value=numpy_helper.from_array(inner))],
        "branch",
        [],
        [helper.make_tensor_value_info("chosen", onnx.TensorProto.INT64, [4])],
        [numpy_helper.from_array(inner + 1, "added")],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["fixed"], value=numpy_helper.from_array(constant)),
            helper.make_node("If", ["condition"], ["taken"], name="choice", then_branch=branch, else_branch=branch),
        ],
        "graph",
        [],
        [],
        [
            numpy_helper.from_array(raw, "raw"),
            helper.make_tensor("listed", onnx.TensorProto.FLOAT, [5], listed),
            helper.make_tensor("doubles", onnx.TensorProto.DOUBLE, [3], doubles),
            helper.make_tensor("varints", onnx.TensorProto.INT32, [3], [1, 2, 3]),
        ],
    )
    (HERE / "model.onnx").write_bytes(helper.make_model(graph).SerializeToString(deterministic=True))
    return [
        numpy_row("raw", raw),
        numpy_row("listed", listed),
        numpy_row("doubles", doubles),
        numpy_row("fixed.value", constant),
        numpy_row("chosen.value", inner),
        numpy_row("added", inner + 1),
        numpy_row("chosen.value#2", inner),
        numpy_row("added#2", inner + 1),
    ]


def hdf5_files() -> Iterator[tuple[str, list[Row]]]:
    arrays = {
        "layer/kernel:0": np.arange(12, dtype=np.float32).reshape(3, 4),
        "layer/half": np.arange(5, dtype=np.float16),
        "steps": np.array(9, np.int64),
        "mask": np.arange(3, dtype=np.uint8),
    }
    for name, version in (("keras.h5", "earliest"), ("latest.h5", "latest")):
        with h5py.File(HERE / name, "w", libver=version) as file:
            for key, array in arrays.items():
                file.create_dataset(key, data=array)
            file.create_dataset("big_endian", data=np.arange(3, dtype=">f4"))
            file.create_dataset("chunked", data=np.arange(64, dtype=np.float32), chunks=(16,), compression="gzip")
            file["layer"].attrs["names"] = "kernel"
            file["soft"] = h5py.SoftLink("/steps")
            file["twice"] = file["steps"]
        yield name, [numpy_row(key, array) for key, array in arrays.items()]


def chunked_files() -> Iterator[tuple[str, list[Row]]]:
    """Datasets in chunks: no tensors, but ranges of known elements, unless filters are in the way."""
    floats = np.arange(2000, dtype=np.float32).reshape(50, 40)
    counts = np.arange(3000, dtype=np.uint16)
    for name, version in (("chunks.h5", "earliest"), ("chunks-latest.h5", "latest")):
        with h5py.File(HERE / name, "w", libver=version) as file:
            file.create_dataset("edges", data=floats, chunks=(16, 16))
            file.create_dataset("one", data=floats + 2000, chunks=floats.shape)
            file.create_dataset("group/counts", data=counts, chunks=(700,))
            file.create_dataset("zipped", data=floats, chunks=(16, 16), compression="gzip")
            file.create_dataset("shuffled", data=floats, chunks=(16, 16), shuffle=True)
            file.create_dataset("summed", data=floats, chunks=(16, 16), fletcher32=True)
            file.create_dataset("swapped", data=floats.astype(">f4"), chunks=(16, 16))
            early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            early.set_chunk((512,))
            early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            space = h5py.h5s.create_simple((2048,))
            dataset = h5py.h5d.create(file.id, b"in_order", h5py.h5t.IEEE_F64LE, space, early)
            dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(2048.0))
        yield name, []


def gguf_file() -> list[Row]:
    writer = gguf.GGUFWriter(HERE / "model.gguf", "llama")
    writer.add_custom_alignment(64)
    writer.add_array("tokenizer.ggml.tokens", ["<s>", "größer", ""])
    writer.add_array("tokenizer.ggml.scores", [0.5, -1.0, 2.0])
    rng = np.random.default_rng(0)
    rows = []
    for name, array in {"a": np.arange(5, dtype=np.float32), "b": np.arange(6, dtype=np.float16).reshape(2, 3)}.items():
        writer.add_tensor(name, array)
        rows.append(numpy_row(name, array))
    for kind in (gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q8_0):
        data = gguf.quants.quantize(rng.normal(size=(2, 64)).astype(np.float32), kind)
        writer.add_tensor(f"blk.0.{kind.name}", data, raw_dtype=kind)
        rows.append(row(f"blk.0.{kind.name}", kind.name, (2, 64), data.tobytes()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return rows


def tflite_file() -> list[Row]:
    arrays = {"dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.arange(3, dtype=np.int8)}
    build = flatbuffers.Builder()

    def vector(offsets: list[int], start: Any) -> int:
        start(build, len(offsets))
        for offset in reversed(offsets):
            build.PrependUOffsetTRelative(offset)
        return build.EndVector()

    buffers = []
    for data in [b"", *(array.tobytes() for array in arrays.values())]:
        content = build.CreateByteVector(data) if data else None
        tflite.BufferStart(build)
        if content is not None:
            tflite.BufferAddData(build, content)
        buffers.append(tflite.BufferEnd(build))
    tensors = []
    float32, int8 = tflite.TensorType.FLOAT32, tflite.TensorType.INT8
    rows = [("dense/kernel", float32, 1), ("bias", int8, 2), ("input", float32, 0), ("again", int8, 2)]
    for name, kind, buffer in rows:
        text = build.CreateString(name)
        shape = build.CreateNumpyVector(np.array(arrays.get(name, np.zeros(3)).shape, np.int32))
        tflite.TensorStart(build)
        tflite.TensorAddShape(build, shape)
        tflite.TensorAddType(build, kind)
        tflite.TensorAddBuffer(build, buffer)
        tflite.TensorAddName(build, text)
        tensors.append(tflite.TensorEnd(build))
    content = vector(tensors, tflite.SubGraphStartTensorsVector)
    tflite.SubGraphStart(build)
    tflite.SubGraphAddTensors(build, content)
    graphs = vector([tflite.SubGraphEnd(build)], tflite.ModelStartSubgraphsVector)
    content = vector(buffers, tflite.ModelStartBuffersVector)
    tflite.ModelStart(build)
    tflite.ModelAddVersion(build, 3)
    tflite.ModelAddSubgraphs(build, graphs)
    tflite.ModelAddBuffers(build, content)
    build.Finish(tflite.ModelEnd(build), b"TFL3")
    (HERE / "model.tflite").write_bytes(bytes(build.Output()))
    return [numpy_row(name, array) for name, array in arrays.items()]


def main() -> None:
    expected = dict(torch_files())
    expected["model.onnx"] = onnx_file()
    expected |= dict(hdf5_files())
    expected |= dict(chunked_files())
    expected["model.gguf"] = gguf_file()
    expected["model.tflite"] = tflite_file()
    lines = (f"{json.dumps(name)}: {json.dumps(sorted(rows))}" for name, rows in sorted(expected.items()))
    (HERE / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()

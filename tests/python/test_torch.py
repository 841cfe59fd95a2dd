"""`mmh_rs.torch`: the verbs of `safetensors.torch`, and tensors in `compress` and `decompress`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import safetensors.torch as theirs  # noqa: E402

import mmh_rs as mmh  # noqa: E402
import mmh_rs.torch as ours  # noqa: E402

DTYPES = [
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool, torch.complex64, torch.float8_e4m3fn,
    torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz,
]  # fmt: skip


def tensor_of(dtype: Any, *shape: int) -> Any:
    raw = torch.randint(0, 2, (*shape, dtype.itemsize), dtype=torch.uint8)
    return raw.view(dtype).reshape(shape)


def content(tensor: Any) -> tuple[Any, Any, bytes]:
    flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    return tensor.dtype, tensor.shape, flat.numpy().tobytes()


def assert_same(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert sorted(left) == sorted(right)
    for name, tensor in left.items():
        assert content(tensor) == content(right[name])


@pytest.fixture
def tensors() -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        **{str(dtype): tensor_of(dtype, 30, 8) for dtype in DTYPES},
        "scalar": torch.tensor(1.5),
        "empty": torch.empty(0, 3),
        "normal": torch.randn(100, 50, requires_grad=True).detach().to(torch.bfloat16),
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_compress_tensors(dtype: Any) -> None:
    tensor = tensor_of(dtype, 6, 8)
    blob = mmh.compress(tensor)
    assert mmh.decompress(blob) == content(tensor)[2]
    with mmh.open(blob) as archive:
        assert archive.infos()[0].shape == (6, 8)
    out = torch.empty_like(tensor)
    assert mmh.decompress(blob, out) == tensor.numel() * tensor.element_size()
    assert content(out) == content(tensor)


def test_tensors_of_every_layout() -> None:
    whole = torch.randn(8, 6)
    for tensor in (whole.T, whole[::2, 1:4], torch.tensor(2.5), torch.empty(0, 3), whole.requires_grad_(),
                   torch.randn(3, dtype=torch.complex64).conj(), torch.randn(4, dtype=torch.complex128),
                   torch.nn.Parameter(whole)):  # fmt: skip
        resolved = tensor.detach().resolve_conj().contiguous()
        assert mmh.decompress(mmh.compress(tensor)) == resolved.numpy().tobytes()


def test_dtype_by_object_and_name() -> None:
    raw = torch.randn(40).to(torch.bfloat16).view(torch.uint8)
    for dtype in (torch.bfloat16, "torch.bfloat16"):
        with mmh.open(mmh.compress(raw, dtype)) as archive:
            assert (archive.infos()[0].dtype, archive.infos()[0].shape) == ("BF16", (40,))
    for dtype in DTYPES:
        mmh.compress(bytes(16), dtype)
    with pytest.raises(ValueError, match="unknown dtype"):
        mmh.compress(bytes(16), torch.quint8)


def test_tensors_that_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match="sparse"):
        mmh.compress(torch.eye(3).to_sparse())
    with pytest.raises(ValueError, match="meta"):
        mmh.compress(torch.empty(3, device="meta"))
    blob = mmh.compress(bytes(48))
    with pytest.raises(ValueError, match="meta"):
        mmh.decompress(blob, torch.empty(12, device="meta"))
    with pytest.raises(ValueError, match="not contiguous"):
        mmh.decompress(blob, torch.empty(4, 3).T)


def test_out_that_wants_gradients() -> None:
    out = torch.zeros(12, requires_grad=True)
    mmh.decompress(mmh.compress(torch.arange(12.0)), out)
    assert out.tolist() == list(range(12))


def test_files(tmp_path: Path, tensors: dict[str, Any]) -> None:
    path = tmp_path / "model.safetensors.mmh"
    ours.save_file(tensors, path, {"format": "pt"})
    assert_same(ours.load_file(path), tensors)
    assert [item.name for item in tmp_path.iterdir()] == ["model.safetensors.mmh"]
    mmh.decompress_file(path)
    theirs.save_file(tensors, tmp_path / "theirs.safetensors", {"format": "pt"})
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()
    assert_same(ours.load_file(tmp_path / "theirs.safetensors"), tensors)


def test_bytes(tensors: dict[str, Any]) -> None:
    blob = ours.save(tensors)
    assert_same(ours.load(blob), tensors)
    assert_same(theirs.load(mmh.decompress(blob)), tensors)


def test_packed_float4(tmp_path: Path) -> None:
    if not hasattr(torch, "float4_e2m1fn_x2"):
        pytest.skip("needs a newer PyTorch")
    tensor = torch.randint(0, 255, (6, 16), dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    ours.save_file({"t": tensor}, tmp_path / "a.mmh")
    loaded = ours.load_file(tmp_path / "a.mmh")["t"]
    assert (loaded.dtype, loaded.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(loaded.view(torch.uint8), tensor.view(torch.uint8))
    with mmh.safe_open(tmp_path / "a.mmh", "pt") as file:
        assert file.get_slice("t").get_shape() == [6, 32]
        assert torch.equal(file.get_slice("t")[2:4].view(torch.uint8), tensor.view(torch.uint8)[2:4])


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ({"a": torch.zeros(3, 4).T}, ValueError, "'a' is not contiguous"),
        ({"a": torch.eye(3).to_sparse()}, ValueError, "'a' is sparse"),
        ({"a": torch.zeros(3, dtype=torch.complex128)}, ValueError, "complex128"),
        ({"a": [1]}, ValueError, "'a' is list"),
    ],
)
def test_errors(tmp_path: Path, tensors: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ours.save_file(tensors, tmp_path / "a.mmh")


def test_shared_memory(tmp_path: Path) -> None:
    whole = torch.zeros(10)
    for tensors in (
        {"a": whole, "b": whole},
        {"a": whole, "b": whole[5:]},
        {"b": whole[5:], "c": whole[2:6], "a": whole[:2]},
    ):
        with pytest.raises(RuntimeError, match="share memory"):
            ours.save_file(tensors, tmp_path / "a.mmh")
    ours.save_file({"a": whole[:5], "b": whole[5:]}, tmp_path / "a.mmh")


class Tied(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(20, 8)
        self.head = torch.nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight
        self.norm = torch.nn.LayerNorm(8)


def test_models(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model, other = Tied(), Tied()
    ours.save_model(model, tmp_path / "model.safetensors.mmh", {"a": "b"})
    assert [item.name for item in tmp_path.iterdir()] == ["model.safetensors.mmh"]
    assert ours.load_model(other, tmp_path / "model.safetensors.mmh") == (set(), [])
    assert_same(dict(other.state_dict()), dict(model.state_dict()))


def test_models_that_differ(tmp_path: Path) -> None:
    ours.save_model(torch.nn.Linear(3, 4), tmp_path / "a.mmh")
    other = torch.nn.Linear(3, 4, bias=False)
    other.scale = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(RuntimeError, match=r'Missing key.*"scale"') as caught:
        ours.load_model(other, tmp_path / "a.mmh")
    assert 'Unexpected key(s) in state_dict: "bias"' in str(caught.value)
    assert ours.load_model(other, tmp_path / "a.mmh", strict=False) == ({"scale"}, ["bias"])

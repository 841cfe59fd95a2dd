"""The whole way: compress a model, list, verify, restore, compare, damage a copy, and sizes beside others.

    make demo                          a model of 64 MB is made up
    make demo FILE=model.safetensors   with a file of yours, which is only read

Everything is written to demo-out/. Needs the package, NumPy and zstandard; ZipNN is shown if it is installed.
"""

from __future__ import annotations

import filecmp
import json
import math
import os
import platform
import shlex
import shutil
import struct
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

import mmh_rs as mmh
from mmh_rs.bench.machine import machine

OUT = Path(__file__).resolve().parent.parent / "demo-out"
Bf16 = npt.NDArray[np.uint16]

console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())


# ---- A model ----


def bf16(values: npt.NDArray[np.float32]) -> Bf16:
    """The bits of float32 numbers, rounded to bfloat16, halves to even."""
    bits = values.view(np.uint32)
    rounded: Bf16 = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return rounded


def matrix(random: np.random.Generator, rows: int, columns: int, scale: float) -> Bf16:
    """Weights as training leaves them: Gaussian in a row, rows of different scales, a few heavy tails."""
    values = random.standard_normal((rows, columns), np.float32)
    values *= (scale * np.exp(0.25 * random.standard_normal((rows, 1)))).astype(np.float32)
    heavy = random.integers(0, values.size, values.size // 500)
    values.reshape(-1)[heavy] *= random.uniform(2, 8, heavy.size).astype(np.float32)
    return bf16(values)


def norm(random: np.random.Generator, size: int) -> Bf16:
    return bf16((1 + 0.1 * random.standard_normal(size)).astype(np.float32))


def model() -> Iterator[tuple[str, Bf16]]:
    """A small llama: 8 layers of 512 with an embedding of 8,192 tokens that the head shares."""
    random = np.random.default_rng(251)
    width, hidden, tokens, layers = 512, 1216, 8192, 8
    embedding = matrix(random, tokens, width, 0.02)
    yield "model.embed_tokens.weight", embedding
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", norm(random, width)
        for name in "qkvo":
            yield f"{prefix}.self_attn.{name}_proj.weight", matrix(random, width, width, 1 / math.sqrt(width))
        yield f"{prefix}.post_attention_layernorm.weight", norm(random, width)
        for name, rows, columns in (("gate", hidden, width), ("up", hidden, width), ("down", width, hidden)):
            yield f"{prefix}.mlp.{name}_proj.weight", matrix(random, rows, columns, 1 / math.sqrt(columns))
    yield "model.norm.weight", norm(random, width)
    yield "lm_head.weight", embedding


def write_model(path: Path) -> None:
    tensors = dict(model())
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [end, end + tensor.nbytes]}
        end += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(b"".join([struct.pack("<Q", len(text)), text, *(tensor.tobytes() for tensor in tensors.values())]))


# ---- Commands ----


def command() -> str:
    """The `mmh` of this environment."""
    beside = Path(sys.executable).with_name("mmh.exe" if os.name == "nt" else "mmh")
    return str(beside) if beside.exists() else shutil.which("mmh") or fail("the command mmh is not installed")


def run(*arguments: str, expect: int = 0, show: int = 12) -> None:
    """Run `mmh …` in demo-out, shown as it would be typed, with the first lines of what it prints."""
    console.print(f"\n[bold green]$[/] [bold]mmh {shlex.join(arguments)}[/]")
    done = subprocess.run(
        [command(), *arguments], cwd=OUT, text=True, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines = done.stdout.splitlines()
    for line in lines[:show]:
        console.print(line, markup=False)
    if len(lines) > show:
        console.print(f"… and {len(lines) - show} more lines", style="dim")
    if done.returncode != expect:
        fail(f"mmh {arguments[0]} ended with {done.returncode}, expected {expect}")


def fail(message: str) -> NoReturn:
    console.print(f"demo: {message}", style="bold red", markup=False)
    raise SystemExit(1)


def flip(source: Path, target: Path) -> None:
    """A copy with one bit changed, in the middle."""
    data = bytearray(source.read_bytes())
    data[len(data) // 2] ^= 0x10
    target.write_bytes(data)
    console.print(f"\n[dim]one bit of byte {len(data) // 2} of {len(data)} is flipped in {target.name}[/]")


# ---- Beside others ----

Pair = tuple[Callable[[], Any], Callable[[Any], Any]]


def others(data: bytes, dtype: str | None) -> dict[str, Pair]:
    """How to compress `data` and back, by name; one thread each."""
    import zstandard

    out = bytearray(len(data))

    def ours(level: str) -> Pair:
        def restore(blob: bytes) -> bytearray:
            mmh.decompress(blob, out=out, threads=1)
            return out

        return (lambda: mmh.compress(data, dtype=dtype, level=level, threads=1)), restore

    found: dict[str, Pair] = {f"mmh {level}": ours(level) for level in ("fast", "balanced", "max")}
    back = zstandard.ZstdDecompressor()
    for level in (1, 3):
        found[f"zstd {level}"] = partial(zstandard.ZstdCompressor(level=level).compress, data), back.decompress
    found["zlib 6"] = (lambda: zlib.compress(data, 6)), zlib.decompress
    try:
        import zipnn
    except ImportError:
        return found
    names = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
    if dtype in names:
        codec = zipnn.ZipNN(bytearray_dtype=names[dtype], threads=1)
        # ZipNN changes what it is given.
        found["ZipNN"] = (lambda: codec.compress(bytes(bytearray(data)))), codec.decompress
    return found


def sample(path: Path) -> tuple[bytes, str | None]:
    """Up to 32 MiB of the file's largest tensors of one dtype, or its first bytes if it has no tensors."""
    limit = 32 << 20
    with mmh.open(OUT / f"{path.name}.mmh") as archive:
        infos = sorted(archive.infos(), key=lambda info: -info.nbytes)
        if not infos:
            return archive.read(0, min(limit, archive.header.source_bytes)), None
        dtype, parts, left = infos[0].dtype, [], limit
        for info in infos:
            if info.dtype == dtype and left > 0:
                parts.append(archive.read(info.start, min(info.nbytes, left // 8 * 8)))
                left -= len(parts[-1])
        return b"".join(parts), dtype


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def compare(path: Path) -> None:
    data, dtype = sample(path)
    table = Table(title=f"{len(data) / 1e6:.0f} MB of {dtype or 'bytes'} from {path.name}, in memory, one thread")
    for column in ("", "size", "compress", "decompress"):
        table.add_column(column, justify="right" if column else "left")
    for name, (compress, decompress) in others(data, dtype).items():
        blob = compress()
        if bytes(decompress(blob)) != data:
            fail(f"{name} does not restore the data")
        turns = 1 if name.startswith("zlib") else 3
        speeds = [
            len(data) / min(seconds(work)[0] for _ in range(turns)) / 1e9
            for work in (compress, lambda blob=blob, decompress=decompress: decompress(blob))
        ]
        style = "bold" if name == "mmh balanced" else None
        table.add_row(name, f"{len(blob) / len(data):.1%}", *(f"{speed:.2f} GB/s" for speed in speeds), style=style)
    console.print()
    console.print(table)
    console.print(
        f"{machine(()).cpu}, {os.cpu_count()} cores, {platform.system()}. Best of three, round trips checked.",
        style="dim",
    )


def main() -> None:
    warnings.simplefilter("ignore")  # of the others
    OUT.mkdir(exist_ok=True)
    if len(sys.argv) > 1:
        source = Path(sys.argv[1]).resolve()
        if not source.is_file():
            fail(f"{source} is no file")
        argument = str(source)
    else:
        source = OUT / "model.safetensors"
        console.print(f"making {source.name}: a small llama in bfloat16, with made-up weights", style="dim")
        write_model(source)
        argument = source.name
    stored, restored, damaged = f"{source.name}.mmh", f"restored-{source.name}", f"damaged-{source.name}.mmh"

    run("compress", "-f", argument, "-o", stored)
    run("list", stored)
    run("verify", stored)
    run("decompress", "-f", stored, "-o", restored)
    console.print(f"\n[bold green]$[/] [bold]cmp {shlex.join([argument, restored])}[/]")
    if not filecmp.cmp(source, OUT / restored, shallow=False):
        fail(f"{restored} differs from {source.name}")
    console.print("[dim]no difference[/]")
    flip(OUT / stored, OUT / damaged)
    run("verify", damaged, expect=2)
    compare(source)

    before, after = source.stat().st_size, (OUT / stored).stat().st_size
    percent = f"{after / before:.1%}"
    console.print(
        f"\n[bold green]good[/]: {source.name} takes {after / 1e6:.1f} of {before / 1e6:.1f} MB ({percent}); "
        "it came back byte for byte, and the damage was found."
    )


if __name__ == "__main__":
    main()

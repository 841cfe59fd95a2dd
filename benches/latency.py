"""How long it takes to begin: one small tensor out of 10,000, the import, the help of the command.

    python benches/latency.py

Prints the best of some runs, in milliseconds, in processes and archives of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mmh_rs as mmh

COUNT = 10_000
RUNS = 20


def archive(directory: Path) -> Path:
    """An archive of so many tensors of a kilobyte each."""
    size = 1024
    header = {
        f"model.layers.{i}.weight": {"dtype": "F32", "shape": [16, 16], "data_offsets": [i * size, (i + 1) * size]}
        for i in range(COUNT)
    }
    text = json.dumps(header).encode()
    source = directory / "many.safetensors"
    noise = bytes(i * i % 251 for i in range(size * 8))
    source.write_bytes(len(text).to_bytes(8, "little") + text + noise * (COUNT // 8))
    mmh.compress_file(source)
    return source.with_name("many.safetensors.mmh")


def best(run: Callable[[], object], runs: int = RUNS) -> float:
    """Milliseconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = archive(Path(directory))

        def one() -> None:
            with mmh.safe_open(path, framework="np") as file:
                file.get_tensor(f"model.layers.{COUNT * 7 // 9}.weight")

        print(f"open an archive of {COUNT:,} tensors, read one   {best(one):6.1f} ms")
    python = [sys.executable, "-c"]
    bare = best(lambda: subprocess.run([*python, "pass"], check=True), 10)
    imported = best(lambda: subprocess.run([*python, "import mmh_rs"], check=True), 10)
    print(f"import mmh_rs                                    {imported - bare:6.1f} ms")
    command = [sys.executable, "-m", "mmh_rs", "--help"]
    shown = best(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), 10)
    print(f"mmh --help                                       {shown:6.1f} ms")


if __name__ == "__main__":
    main()

"""Full disks, files that change, writers that meet: nothing half written under a final name, sources untouched."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import mmh_rs as mmh
from support import environment, lines, model_tensors, plain_safetensors, weights

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the faults are made in POSIX's ways")

MMH = [sys.executable, "-m", "mmh_rs"]

SIZE = 3_000_000
"""Bytes of the large file; half as many are more than the disks here have."""


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A large file and its archives, a damaged one, and a directory with a large file and a small one."""
    here = tmp_path / "here"
    (here / "tree").mkdir(parents=True)
    (here / "large").write_bytes(weights(SIZE // 2, 5).tobytes())
    (here / "tree" / "large").write_bytes(weights(SIZE // 2, 6).tobytes())
    (here / "tree" / "small").write_bytes(b"some words " * 100)
    mmh.compress_file(here / "large", here / "plain.mmh")
    mmh.compress_file(here / "large", here / "safe.mmh", parity=5)
    data = bytearray((here / "safe.mmh").read_bytes())
    data[5000:5010] = bytes(10)
    (here / "hurt.mmh").write_bytes(data)
    mmh.compress_dir(here / "tree", here / "mirror.mmh")
    return here


WRITING = {
    "compress": ["compress", "large"],
    "compress, over another": ["compress", "-f", "large", "-o", "plain.mmh"],
    "compress --rm": ["compress", "--rm", "large"],
    "compress --parity": ["compress", "--parity", "9", "large"],
    "compress -r": ["compress", "-r", "tree"],
    "compress -r --rm": ["compress", "-r", "--rm", "tree"],
    "compress --pack": ["compress", "--pack", "tree"],
    "decompress": ["decompress", "plain.mmh"],
    "decompress --rm": ["decompress", "--rm", "plain.mmh"],
    "decompress -r": ["decompress", "-r", "mirror.mmh"],
    "decompress, over another": ["decompress", "-f", "plain.mmh", "-o", "large"],
    "protect": ["protect", "plain.mmh"],
    "protect, elsewhere": ["protect", "plain.mmh", "-o", "other.mmh"],
    "repair": ["repair", "hurt.mmh"],
    "repair, elsewhere": ["repair", "hurt.mmh", "-o", "other.mmh"],
}


def check(files: Path, before: dict[str, bytes], done: subprocess.CompletedProcess[bytes], code: int = 4) -> None:
    """Nothing but the small file is new, nothing is gone or changed, and each failure is one line."""
    after = content(files)
    small = [name for name in after if name.endswith(("small", "small.mmh"))]
    assert done.returncode == code, done.stderr
    assert {name: data for name, data in after.items() if name not in small} == {
        name: data for name, data in before.items() if not name.endswith(("small", "small.mmh"))
    }
    assert small
    assert lines(done.stderr) and all(line.startswith("mmh: ") for line in lines(done.stderr))
    assert b"Traceback" not in done.stderr and b"internal" not in done.stderr


def limited() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 4, SIZE // 4))


@pytest.mark.parametrize("name", list(WRITING))
def test_a_file_cannot_become_so_large(files: Path, name: str) -> None:
    before = content(files)
    done = subprocess.run(
        [*MMH, *WRITING[name]], cwd=files, capture_output=True, env=environment(), preexec_fn=limited, timeout=60
    )
    check(files, before, done)
    assert os.strerror(errno.EFBIG).lower() in done.stderr.decode().lower()


@pytest.fixture
def small_disk(files: Path) -> Callable[[list[str]], subprocess.CompletedProcess[bytes]]:
    """Runs a command in a file system that has room for little more than `files`, and copies back what is there then.

    It is mounted in a namespace of the command's own.
    """
    used = sum(-(-len(data) // 4096) * 4096 for data in content(files).values())
    script = (
        'mount -t tmpfs -o size="$1" tmpfs "$2" && cp -a "$3/." "$2" && cd "$2" && rm -r "$3" && '
        'shift 3 && { TMPDIR=. "$@"; code=$?; cd /; cp -a "$OLDPWD" "$BACK"; exit $code; }'
    )
    disk = files.parent / "disk"
    disk.mkdir()

    def run(words: list[str]) -> subprocess.CompletedProcess[bytes]:
        command = ["unshare", "-rm", "sh", "-c", script, "sh", str(used + SIZE // 4), str(disk), str(files)]
        try:
            return subprocess.run(
                [*command, *MMH, *words], capture_output=True, env=environment(BACK=str(files)), timeout=60
            )
        except FileNotFoundError:
            pytest.skip("there is no unshare")

    probe = 'mount -t tmpfs tmpfs "$0"'
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-rm", "sh", "-c", probe, str(disk)], capture_output=True, check=False).returncode
    ):
        pytest.skip("no file system can be mounted here")
    return run


@pytest.mark.parametrize("name", list(WRITING))
def test_the_disk_is_full(
    files: Path, small_disk: Callable[[list[str]], subprocess.CompletedProcess[bytes]], name: str
) -> None:
    before = content(files)
    done = small_disk(WRITING[name])
    check(files, before, done)
    assert os.strerror(errno.ENOSPC).lower() in done.stderr.decode().lower()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [["compress", "-c", "large"], ["decompress", "-c", "plain.mmh"]], ids=" ".join)
def test_standard_output_is_full(files: Path, words: list[str]) -> None:
    before = content(files)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*MMH, *words], cwd=files, stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=60
        )
    assert done.returncode == 4 and len(lines(done.stderr)) == 1
    assert content(files) == before


def without_privileges() -> None:
    """Root may write anywhere; without these capabilities, it is a user like others."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
            if libc.prctl(24, capability, 0, 0, 0) != 0:  # PR_CAPBSET_DROP
                os._exit(99)


@pytest.mark.parametrize("name", [name for name in WRITING if " -r" not in name])
def test_a_directory_that_cannot_be_written_to(files: Path, name: str) -> None:
    if os.geteuid() == 0 and sys.platform != "linux":
        pytest.skip("root may write anywhere")
    before = content(files)
    files.chmod(0o555)
    try:
        done = subprocess.run(
            [*MMH, *WRITING[name]],
            cwd=files, capture_output=True, env=environment(), preexec_fn=without_privileges, timeout=60,
        )  # fmt: skip
    finally:
        files.chmod(0o755)
    if done.returncode == 99:
        pytest.skip("privileges cannot be dropped")
    check(files, before, done)
    assert len(lines(done.stderr)) == 1 and b"ermission denied" in done.stderr


class Once:
    """Does something when work has begun, once."""

    def __init__(self, what: Callable[[], object]) -> None:
        self.what = what
        self.done = False

    def __call__(self, *_: object) -> None:
        if not self.done:
            self.done = True
            self.what()


def append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def overwrite(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")


def shrink(path: Path) -> None:
    os.truncate(path, 1000)


@pytest.mark.parametrize("change", [append, overwrite, shrink])
@pytest.mark.parametrize("parity", [None, 5])
def test_the_source_changes_while_it_is_compressed(
    files: Path, change: Callable[[Path], None], parity: int | None
) -> None:
    source = files / "source"
    # Several batches of blocks; and one tensor twice, of which one is stored as a copy of the other.
    tensor = ("BF16", [3 << 20], weights(3 << 20, 7).tobytes())
    source.write_bytes(plain_safetensors({"a": tensor, "b": ("U8", [9 << 20], bytes(range(256)) * (9 << 12))}))
    target = files / "source.mmh"
    changing = Once(lambda: change(source))
    with pytest.raises(OSError, match=r"source: the file (was changed|became shorter) while it was read"):
        mmh.compress_file(source, threads=1, progress=changing, parity=parity)
    assert changing.done and not target.exists()
    # Not over another either.
    older = (files / "plain.mmh").read_bytes()
    target.write_bytes(older)
    changing = Once(lambda: append(source))
    with pytest.raises(OSError, match="was changed"):
        mmh.compress_file(source, threads=1, progress=changing, parity=parity, force=True)
    assert target.read_bytes() == older
    assert not [name for name in content(files) if ".mmh-" in name]


def test_the_source_changes_while_it_is_protected(files: Path) -> None:
    """What is copied has to be what was verified: progress is asked while it is copied."""
    source = files / "source.mmh"
    mmh.compress_file(files / "large", source)
    before = source.read_bytes()
    for change in (append, overwrite):
        source.write_bytes(before)
        changing = Once(lambda change=change: change(source))  # type: ignore[misc]
        with pytest.raises(OSError, match=r"source\.mmh: the file was changed while it was read"):
            mmh.protect(source, files / "other.mmh", progress=changing)
        assert changing.done
    assert not [name for name in content(files) if ".mmh-" in name or name == "other.mmh"]


def test_a_file_changes_while_it_is_packed(files: Path) -> None:
    tree = files / "tree"
    (tree / "large").write_bytes(weights(12 << 20, 7).tobytes())
    for path in (tree / "small", tree / "large"):
        changing = Once(lambda path=path: append(path))  # type: ignore[misc]
        with pytest.raises(OSError, match=f"{path.name} changed"):
            mmh.pack_dir(tree, threads=1, progress=changing)
        assert changing.done and not (files / "tree.tar.mmh").exists()
    assert not [name for name in content(files) if ".mmh-" in name]


def test_a_directory_with_a_file_that_changes(files: Path) -> None:
    tree = files / "tree"
    (tree / "large").write_bytes(weights(12 << 20, 7).tobytes())
    report = mmh.compress_dir(
        tree, files / "out", threads=1, remove=True, progress=Once(lambda: append(tree / "large"))
    )
    assert [failure.path for failure in report.failed] == [str(tree / "large")]
    assert (tree / "large").exists() and not (tree / "small").exists()
    assert list(content(files / "out")) == ["small.mmh"]


def test_what_was_changed_after_it_had_been_read_is_not_removed(files: Path) -> None:
    """Between the end of the work and the removal of the source."""
    script = """
import mmh_rs._core as core, os, sys
from mmh_rs.cli import main
real = core.compress_file
def compress_file(source, *rest):
    report = real(source, *rest)
    with open(source, "ab") as file:
        file.write(b"more")
    return report
core.compress_file = compress_file
sys.exit(main(["compress", "--rm", "large"]))
"""
    before = (files / "large").read_bytes()
    done = subprocess.run([sys.executable, "-c", script], cwd=files, capture_output=True, env=environment(), timeout=60)
    assert done.returncode == 4 and b"is kept" in done.stderr
    assert (files / "large").read_bytes() == before + b"more"
    assert mmh.decompress((files / "large.mmh").read_bytes()) == before


def test_an_archive_shrinks_while_it_is_restored(files: Path) -> None:
    (files / "source").write_bytes(weights(24 << 20, 7).tobytes())
    archive = files / "source.mmh"
    mmh.compress_file(files / "source", level=1)
    changing = Once(lambda: shrink(archive))
    with pytest.raises(OSError, match="became shorter"):
        mmh.decompress_file(archive, files / "out", threads=1, progress=changing)
    assert changing.done and not (files / "out").exists()
    assert not [name for name in content(files) if ".mmh-" in name]


@pytest.mark.parametrize("force", [False, True])
def test_writers_of_one_target(files: Path, force: bool) -> None:
    sources = []
    for seed in range(4):
        source = files / f"source{seed}"
        source.write_bytes(weights(SIZE, 10 + seed).tobytes())
        sources.append(source)
    processes = [
        subprocess.Popen(
            [*MMH, "compress", "-T1", source.name, "-o", "target.mmh", *(["-f"] if force else [])],
            cwd=files, stderr=subprocess.PIPE, env=environment(),
        )
        for source in sources
    ]  # fmt: skip
    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    made = mmh.decompress((files / "target.mmh").read_bytes())
    winners = [source for source in sources if source.read_bytes() == made]
    assert len(winners) == 1
    if force:
        assert [code for _, code in ends] == [0] * 4
    else:
        # The first one keeps it, and the others say so.
        assert sorted(code for _, code in ends) == [0, 4, 4, 4]
        assert ends[sources.index(winners[0])][1] == 0
        assert all(b"already exists" in said for said, code in ends if code)
    assert not [name for name in content(files) if ".mmh-" in name]


def test_writers_in_one_place(files: Path) -> None:
    """`protect`, `protect` and `repair` of one file at once: whoever ends last, the file is whole."""
    body = (files / "plain.mmh").read_bytes()
    shutil.copyfile(files / "safe.mmh", files / "one.mmh")
    for _ in range(3):
        commands = [
            ["protect", "--parity", "3", "one.mmh"],
            ["protect", "--parity", "9", "one.mmh"],
            ["repair", "one.mmh"],
        ]
        processes = [
            subprocess.Popen([*MMH, *words], cwd=files, stderr=subprocess.PIPE, env=environment()) for words in commands
        ]
        for process in processes:
            _, said = process.communicate(timeout=60)
            assert process.returncode == 0, said
        assert (files / "one.mmh").read_bytes().startswith(body)
        found = mmh.examine(files / "one.mmh")
        assert found is not None and found


def test_readers_during_a_write(files: Path) -> None:
    """A reader has the old file or the new one, whole, and keeps the one that it has opened."""
    names = ["large", "tree/large"]
    sources = [(files / name).read_bytes() for name in names]
    target = files / "target.mmh"
    mmh.compress_file(files / names[0], target)
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not stop.is_set():
            with mmh.open(target) as archive:
                half = len(sources[0]) // 2
                first = archive.read(0, half)
                time.sleep(0.002)
                seen.append(sources.index(first + archive.read(half, len(sources[0]) - half)))

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        try:
            for turn in range(1, 13):
                mmh.compress_file(files / names[turn % 2], target, force=True, level=1)
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    assert set(seen) == {0, 1}


def test_a_reader_of_what_is_damaged_meanwhile(files: Path) -> None:
    """Written to in place, as no writer of ours does: it is noticed, or the bytes are right."""
    source = (files / "large").read_bytes()
    with mmh.open(files / "plain.mmh") as archive:
        with open(files / "plain.mmh", "r+b") as file:
            file.seek(20_000)
            file.write(bytes(100))
        with pytest.raises(mmh.CorruptionError):
            archive.read(0, len(source))
        shrink(files / "plain.mmh")
        with pytest.raises(OSError, match="became shorter"):
            archive.read(0, len(source))


@pytest.mark.parametrize("words", [["compress", "-c", "large"], ["decompress", "-c", "plain.mmh"]], ids=" ".join)
def test_whoever_reads_the_pipe_goes_away(files: Path, words: list[str]) -> None:
    """In the middle of it, and not before."""
    before = content(files)
    with subprocess.Popen(
        [*MMH, *words], cwd=files, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert len(process.stdout.read(1000)) == 1000
        process.stdout.close()
        assert process.wait(30) == 4
        assert process.stderr.read() == b""
    assert content(files) == before


def test_whoever_writes_the_pipe_is_killed(files: Path) -> None:
    """An archive that ends in the middle is no archive: nothing is written."""
    data = (files / "plain.mmh").read_bytes()
    for cut in (5, 1000, len(data) // 2, len(data) - 1):
        done = subprocess.run(
            [*MMH, "decompress", "-", "-o", "out"],
            cwd=files, input=data[:cut], capture_output=True, env=environment(), timeout=60,
        )  # fmt: skip
        assert done.returncode in (2, 3) and len(lines(done.stderr)) == 1
        assert not (files / "out").exists() and not [name for name in content(files) if ".mmh-" in name]


@pytest.fixture
def archive(archive_path: Path) -> Iterator[mmh.Archive]:
    with mmh.open(archive_path) as opened:
        yield opened


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_after_fork(archive: mmh.Archive, archive_path: Path) -> None:
    """Parent and children read one archive at once, by threads of their own."""
    tensors = {name: data for name, (_, _, data) in model_tensors().items() if data}
    assert archive.verify(threads=2)  # its threads do not live on in a child

    def read_all() -> bool:
        good = all(
            archive.get(name).tobytes() == data for name, data in tensors.items() if name != "model.embed.weight"
        )
        whole = bytearray(len(tensors["model.embed.weight"]))
        archive.get_into("model.embed.weight", whole, threads=4)
        return good and whole == tensors["model.embed.weight"] and bool(archive.verify(threads=2))

    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                signal.alarm(30)
                blob = mmh.compress(np.arange(1 << 20), threads=2)
                code = 0 if read_all() and len(mmh.decompress(blob, threads=2)) == 8 << 20 else 1
            os._exit(code)
        children.append(child)
    assert read_all()
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4


def test_many_threads_read_one_archive(archive: mmh.Archive, model: Path) -> None:
    tensors = {name: data for name, (_, _, data) in model_tensors().items() if data}
    names = list(tensors)
    source = model.read_bytes()

    def work(seed: int) -> None:
        chance = np.random.default_rng(seed)
        for _ in range(30):
            name = names[chance.integers(len(names))]
            out = bytearray(len(tensors[name]))
            archive.get_into(name, out, threads=int(chance.integers(1, 4)))
            assert out == tensors[name]
            start = int(chance.integers(len(source)))
            size = int(chance.integers(len(source) - start))
            assert archive.read(start, size) == source[start : start + size]
        assert archive.verify(threads=2)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))

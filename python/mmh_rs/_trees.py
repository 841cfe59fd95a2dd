"""Whole directories: a mirror of `.mmh` files, and back.

The mirror of DIR is a directory like any other, `DIR.mmh` by default:

* each file `a/b` is `a/b.mmh`, with its mode and modification time;
* each directory keeps its name (one that ends in `.mmh` gets `.mmh` added), its mode and its time, also if it is empty;
* each symbolic link `a -> b` is a symbolic link `a.mmh -> b.mmh`, so that links between files of the tree work in the
  mirror too. Links are not followed (unless that is asked for, when what they point to is taken in their place).

So no list of what it holds is needed: files can be moved, copied and restored one by one, and an interrupted run is
taken up where it ended, since a finished file is told by its own index, its size and its time. Every file is taken;
what cannot be made smaller, block by block, is stored as it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from . import _core
from ._api import SUFFIX, _codec, _path, _threads, level_number, parity_percent
from ._limits import NONE, Limits, engine_limits
from ._reports import CompressReport, DecompressReport

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor
    from typing import TypeAlias

    StrPath: TypeAlias = str | os.PathLike[str]
    Progress: TypeAlias = Callable[[int, int | None, int], None]

__all__ = ["TreeFailure", "TreeFile", "TreeReport", "compress_dir", "decompress_dir", "mirror_name", "remove", "sync"]

_SMALL = 1 << 20
"""Files up to this size have one block or two: several files are worked on at once, each by one thread."""
_MANY, _EACH, _SAVED = 20, 32 << 10, 0.9
"""As many files of so many bytes on average, saved to so much of their size, are smaller in one `.mmh`."""
_WAITING = 64
"""Small files that may wait for each thread."""
_LEFT_BEHIND = re.compile(r"\.mmh-[A-Za-z0-9]{6}\.part")
"""Names of the engine's temporary files, as a process that was killed leaves them behind."""
_OLD = 3600
"""Seconds for which nothing was written to a file that nobody writes to any more."""
_FINE = 1000
"""Nanoseconds between times that are the same: copies may be rounded."""
_HOPELESS = frozenset({errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""Errors that every other file would meet as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """One file or symbolic link of a tree, as `on_file` is told of it."""

    source: str
    target: str
    report: CompressReport | DecompressReport | None = None
    """None for links, and where `skipped` or `error` say why."""
    skipped: bool = False
    """An earlier run has finished it."""
    link: bool = False
    error: Exception | None = None
    source_bytes: int = 0
    """Size of the original, uncompressed side."""
    stored_bytes: int = 0
    """Size of the `.mmh` side."""
    read_bytes: int = field(default=0, repr=False)


class TreeFailure(NamedTuple):
    """What could not be taken over."""

    path: str
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeReport:
    """What `compress_dir` or `decompress_dir` did. True where nothing failed."""

    source: str
    target: str
    files: int
    """Compressed or restored now."""
    skipped: int
    """Finished by an earlier run."""
    links: int
    links_out: int
    """Those of the links that lead to something outside of the directory, which is not in the target."""
    directories: int
    source_bytes: int
    """Size of the originals, of the skipped ones as well."""
    stored_bytes: int
    """Size of the `.mmh` files."""
    seconds: float
    failed: list[TreeFailure]
    """Files, links and directories that are not in the target."""
    ignored: list[str]
    """Files in a mirror that do not end in `.mmh`, and so are no part of it."""

    def __bool__(self) -> bool:
        return not self.failed

    @property
    def ratio(self) -> float:
        """Stored over original size (smaller is better); 1.0 for nothing at all."""
        return self.stored_bytes / self.source_bytes if self.source_bytes else 1.0

    @property
    def worth_packing(self) -> bool:
        """Whether these are many small files, such as sources, which `pack_dir` makes clearly smaller in less time."""
        files = self.files + self.skipped
        return files >= _MANY and self.source_bytes <= files * _EACH and self.ratio <= _SAVED


def compress_dir(
    source: StrPath,
    target: StrPath | None = None,
    *,
    codec: str = "auto",
    level: str | int = "balanced",
    threads: int | None = None,
    verify: bool = True,
    sha256: bool = False,
    force: bool = False,
    remove: bool = False,
    follow: bool = False,
    progress: Progress | None = None,
    on_file: Callable[[TreeFile], None] | None = None,
    parity: int | None = None,
    base: StrPath | None = None,
    update: bool = False,
    independent: bool = False,
) -> TreeReport:
    """Compress every file of a directory into a mirror of it: `a/b` becomes `a/b.mmh`. The source is kept.

    Contents, modes, modification times, empty directories and symbolic links come back by `decompress_dir`. Owners,
    extended attributes and hard links are not kept. A run that was interrupted can be repeated: what is finished (a
    whole `.mmh` with the source's size and modification time) is skipped. One file that fails does not stop the others.

    Args:
        source: the directory.
        target: the mirror, made where it is missing; None adds ".mmh" to the source's name. It must not lie in the
            source.
        codec, level, threads, verify, sha256: as in `compress_file`. Small files are compressed several at once.
        force: compress again what is there already.
        remove: remove each source file once its `.mmh` is safe on the disk, and directories that are empty then.
        follow: take what symbolic links point to in their place; inside or outside of the directory. Not with `remove`.
        progress: called as progress(bytes read, bytes to read in all, bytes of `.mmh` so far). An exception that it
            raises stops the work.
        on_file: told of each file and link when it is done; on the thread that called.
        parity: percent of parity behind each file, as in `compress_file`.
        base: a directory, or the mirror of one, to store differences from: each file `a/b` is compressed against the
            base's `a/b`, or its `a/b.mmh`, where there is one, as in `compress_file`. Restoring needs the same base.
            The target must not lie in it, nor it in the target.
        update: compress again what is there and not finished: what has changed since. Without it, and without `force`,
            a file that has changed is a failure.
        independent: as in `compress_file`.

    Returns:
        What was done; `report.failed` has what was not.

    Raises:
        FileNotFoundError, NotADirectoryError, PermissionError: of the source or the target itself.
        OSError: the disk is full or cannot be written to; the other files would fare no better.
        ValueError, TypeError: an argument is not one of the accepted values.
    """
    codec, number, count = _codec(codec), level_number(level), _threads(threads)
    if follow and remove:
        raise ValueError("follow and remove exclude each other: what a link points to is not the tree's to remove")

    percent = parity_percent(parity)
    root = _path(source, "source")
    goal = mirror_name(root) if target is None else _path(target, "target")
    counterparts = Counterparts(base, root)
    counterparts.refuse(goal)

    def one(path: str, goal: str, threads: int, overwrite: bool, step: Progress | None) -> CompressReport:
        against = counterparts.of(path)
        done = _core.compress_file(
            path, goal, codec, number, threads, verify, sha256, overwrite, None, step, against, percent, independent
        )
        done["source"], done["target"] = path, goal
        return CompressReport(**done)

    return _Tree(_Compressing(one), count, force, update, remove, follow, progress, on_file).run(root, goal)


def decompress_dir(
    source: StrPath,
    target: StrPath | None = None,
    *,
    threads: int | None = None,
    force: bool = False,
    remove: bool = False,
    progress: Progress | None = None,
    on_file: Callable[[TreeFile], None] | None = None,
    limits: Limits | None = None,
    base: StrPath | None = None,
    update: bool = False,
) -> TreeReport:
    """Restore a directory from its mirror, byte for byte, with modes, modification times, empty directories and links.

    Args:
        source: what `compress_dir` made, or any directory with `.mmh` files.
        target: the directory, made where it is missing; None takes ".mmh" off the source's name. Nothing is written
            outside of it, whatever links there are.
        threads, force, remove, progress, on_file: as in `compress_dir`; what is restored already (its size and
            modification time tell) is skipped.
        limits: what is accepted of each file; None, what `Limits()` says.
        base: the directory that it was compressed against, or a mirror of that. The target must not lie in it.
        update: restore again what is there and not the same, such as files that were changed since.

    Returns, raises:
        As `compress_dir`. Damaged files, and those whose base is missing or another one, are in `report.failed`, and
        are not written.
        ValueError: no target is given and the source's name does not end in ".mmh".
    """
    count, allowed = _threads(threads), engine_limits(limits)
    root = _path(source, "source")
    if target is not None:
        goal = _path(target, "target")
    else:
        name = os.path.basename(os.path.abspath(root))
        if not name.endswith(SUFFIX) or name == SUFFIX:
            raise ValueError(f"{root!r} does not end in {SUFFIX}; name the target")
        goal = os.path.join(_parent(root), name[: -len(SUFFIX)])
    counterparts = Counterparts(base, goal)
    counterparts.refuse(goal)

    def one(path: str, goal: str, threads: int, overwrite: bool, step: Progress | None) -> DecompressReport:
        against = counterparts.of(goal)
        done = _core.decompress_file(path, goal, threads, True, overwrite, step, against, allowed)
        done["source"], done["target"] = path, goal
        return DecompressReport(**done)

    return _Tree(_Restoring(one), count, force, update, remove, False, progress, on_file).run(root, goal)


def mirror_name(directory: str) -> str:
    """Where the mirror of a directory is by default: beside it, also for "." and names that end in a slash."""
    name = os.path.basename(os.path.abspath(directory))
    if not name:
        raise ValueError(f"{directory!r} has no name to add {SUFFIX} to; name the target")
    return os.path.join(_parent(directory), name + SUFFIX)


def _parent(directory: str) -> str:
    stripped = directory.rstrip("/" + os.sep)
    if os.path.basename(stripped) in ("", os.curdir, os.pardir):
        return os.path.dirname(os.path.abspath(directory))
    return os.path.dirname(stripped)


def sync(path: str) -> None:
    """Has a file and its name written to the disk, so that both survive a power cut."""
    with open(path, "rb" if os.name == "posix" else "rb+") as file:
        os.fsync(file.fileno())
    _sync_directory(os.path.dirname(path))


def remove(source: str, target: str, info: os.stat_result) -> None:
    """Removes what `target` was made from, when that is safe on the disk; `info` is of the source, before it was read.

    Raises:
        OSError: the source is another one now, and is kept.
    """
    sync(target)
    now = os.stat(source, follow_symlinks=False)
    if (now.st_size, now.st_mtime_ns) != (info.st_size, info.st_mtime_ns):
        raise OSError(f"{source}: was changed after it had been read, and is kept")
    os.unlink(source)


def _sync_directory(path: str) -> None:
    if os.name == "posix":
        directory = os.open(path or ".", os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


One = Callable[[str, str, int, bool, "Progress | None"], "CompressReport | DecompressReport"]


class Counterparts:
    """The files of a base directory, or of its mirror, by the places that the same files have in a tree."""

    def __init__(self, base: StrPath | None, root: str) -> None:
        """`root` is the tree's, uncompressed."""
        self._base = None if base is None else _path(base, "base")
        self._root = root
        if self._base is not None and not stat.S_ISDIR(os.stat(self._base).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._base)

    def refuse(self, target: str) -> None:
        """A base that is written over is lost, and what needs it with it.

        Raises:
            ValueError: the target is in the base, or the base in it.
        """
        if self._base is not None and (_is_within(target, self._base) or _is_within(self._base, target)):
            raise ValueError(f"the target {target!r} and the base {self._base!r} overlap; name another target")

    def of(self, path: str) -> str | None:
        """What a file of the tree is to be compared with, if there is such a file."""
        if self._base is None:
            return None
        *directories, name = os.path.relpath(path, self._root).split(os.sep)
        places = [*directories, name], [*map(_mirrored, directories), name + SUFFIX]
        return next((there for place in places if os.path.isfile(there := os.path.join(self._base, *place))), None)


def mirrored_files(root: str, failed: Callable[[OSError, str], None]) -> Iterator[tuple[str, str]]:
    """Every `.mmh` of a mirror, or of any directory, in order, with the path that its original has in the tree. Links
    are not followed; `failed` is told of directories that cannot be read."""

    def cannot(error: OSError) -> None:
        failed(error, os.fsdecode(error.filename or root))

    for folder, below, files in os.walk(root, onerror=cannot):
        below.sort()
        relative = os.path.relpath(folder, root)
        parts = [] if relative == os.curdir else [_unmirrored(part) or part for part in relative.split(os.sep)]
        for name in sorted(files):
            path, original = os.path.join(folder, name), _unmirrored(name)
            if original is not None and not os.path.islink(path):
                yield path, os.path.join(root, *parts, original)


def _mirrored(directory: str) -> str:
    """The name that a directory has in a mirror."""
    return directory + SUFFIX if directory.endswith(SUFFIX) else directory


def _unmirrored(name: str) -> str | None:
    """The name without `.mmh`, if it ends so."""
    return name[: -len(SUFFIX)] if name.endswith(SUFFIX) and name != SUFFIX else None


class _Compressing(NamedTuple):
    """What goes into a mirror, and under which name."""

    one: One

    def directory(self, name: str) -> str:
        return _mirrored(name)

    def file(self, name: str) -> str | None:
        return name + SUFFIX

    def text(self, link: str) -> str:
        return link + SUFFIX

    def may_be_old(self, name: str) -> bool:
        """Whether this may be the mirror of what is in the source no more."""
        return name.endswith(SUFFIX) or _LEFT_BEHIND.fullmatch(name) is not None

    def finished(self, source: str, info: os.stat_result, target: str, there: os.stat_result) -> tuple[int, int] | None:
        """The sizes of both sides, if the target is whole and of the source as it is now."""
        try:
            size = _core.Archive.open_path(target, None, engine_limits(NONE)).header()["source_bytes"]
        except (OSError, _core.MmhError):
            return None
        return (size, there.st_size) if size == info.st_size else None


class _Restoring(NamedTuple):
    """What comes out of a mirror, and under which name."""

    one: One

    def directory(self, name: str) -> str:
        return _unmirrored(name) or name

    def file(self, name: str) -> str | None:
        return _unmirrored(name)

    def text(self, link: str) -> str:
        if not link.endswith(SUFFIX):
            raise ValueError(f"is a symbolic link to {link!r}, which does not end in {SUFFIX} (it is not of a mirror)")
        return link[: -len(SUFFIX)]

    def may_be_old(self, name: str) -> bool:
        return _LEFT_BEHIND.fullmatch(name) is not None

    def finished(self, source: str, info: os.stat_result, target: str, there: os.stat_result) -> tuple[int, int] | None:
        """The sizes of both sides, if the target is whole."""
        size = _core.Archive.open_path(source, None, engine_limits(NONE)).header()["source_bytes"]
        return (size, info.st_size) if size == there.st_size else None


class _Directory(NamedTuple):
    source: str
    target: str
    info: os.stat_result
    above: tuple[tuple[int, int], ...]
    """Device and inode of each directory above, to notice loops of links."""


class _HopelessError(Exception):
    """An error of one file that all others would meet: the walk ends."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class _Tree:
    """One walk over a tree: directories in order, the files of each before the directories in it."""

    def __init__(
        self,
        way: _Compressing | _Restoring,
        threads: int,
        force: bool,
        update: bool,
        remove: bool,
        follow: bool,
        progress: Progress | None,
        on_file: Callable[[TreeFile], None] | None,
    ) -> None:
        self._way = way
        self._threads = threads or os.cpu_count() or 1
        self._force = force
        self._update = update
        self._remove = remove
        self._follow = follow
        self._progress = progress
        self._on_file = on_file
        self._root = ""
        self._entered: list[_Directory] = []
        self._failed: list[TreeFailure] = []
        self._ignored: list[str] = []
        self._files = self._skipped = self._links = self._links_out = 0
        self._source_bytes = self._stored_bytes = self._read = self._total = 0
        self._granularity: int | None = None
        self._stopped: BaseException | None = None
        self._shared = False
        self._pool: ThreadPoolExecutor | None = None
        self._pending: deque[Future[TreeFile]] = deque()

    def run(self, source: str, target: str) -> TreeReport:
        started = time.perf_counter()
        self._root = source
        info = os.stat(source)
        if not stat.S_ISDIR(info.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), source)
        _refuse_inside(source, target)
        if self._progress is not None:
            self._total = sum(self._sizes(source))
        try:
            self._walk(_Directory(source, target, info, ((info.st_dev, info.st_ino),)))
        except _HopelessError as ended:
            raise ended.error from None
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
            self._leave()
        return TreeReport(
            source=source,
            target=target,
            files=self._files,
            skipped=self._skipped,
            links=self._links,
            links_out=self._links_out,
            directories=len(self._entered),
            source_bytes=self._source_bytes,
            stored_bytes=self._stored_bytes,
            seconds=time.perf_counter() - started,
            failed=self._failed,
            ignored=self._ignored,
        )

    def _sizes(self, root: str) -> Iterator[int]:
        for top, _, names in os.walk(root, followlinks=False):
            for name in names:
                with contextlib.suppress(OSError):
                    info = os.stat(os.path.join(top, name), follow_symlinks=self._follow)
                    if stat.S_ISREG(info.st_mode) and self._way.file(name) is not None:
                        yield info.st_size

    def _walk(self, root: _Directory) -> None:
        waiting = [root]
        while waiting:
            directory = waiting.pop()
            try:
                with os.scandir(directory.source) as entries:
                    ordered = sorted(entries, key=lambda entry: entry.name)
                if directory is root:
                    self._shared = self._is_shared(root.target, ordered)
                self._enter(directory, directory is root)
            except OSError as error:
                if directory is root or error.errno in _HOPELESS:
                    raise
                self._fail(directory.source, error)
                continue
            self._clean(directory, ordered)
            waiting += reversed(self._entries(directory, ordered))
        while self._pending:
            self._settle(self._pending.popleft().result())

    def _entries(self, directory: _Directory, entries: list[os.DirEntry[str]]) -> list[_Directory]:
        """Takes on the files and links of a directory, and returns the directories in it."""
        below: list[_Directory] = []
        taken: set[str] = set()
        for entry in entries:
            try:
                info = entry.stat(follow_symlinks=self._follow)
                is_directory = stat.S_ISDIR(info.st_mode)
                name = self._way.directory(entry.name) if is_directory else self._way.file(entry.name)
                if name is None:
                    self._ignored.append(entry.path)
                    continue
                if name in taken:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.path.join(directory.target, name))
                taken.add(name)
                target = os.path.join(directory.target, name)
                if is_directory:
                    place = (info.st_dev, info.st_ino)
                    if place in directory.above:
                        raise OSError(errno.ELOOP, "a symbolic link to a directory above itself", entry.path)
                    below.append(_Directory(entry.path, target, info, (*directory.above, place)))
                elif stat.S_ISLNK(info.st_mode):
                    self._settle(self._link(entry.path, target, info))
                elif stat.S_ISREG(info.st_mode):
                    self._take(entry.path, target, info)
                else:
                    raise OSError("is a socket, pipe or device (left out)")
            except (OSError, ValueError) as error:
                if error is self._stopped:
                    raise
                self._settle(TreeFile(source=entry.path, target="", error=error))
        return below

    def _enter(self, directory: _Directory, is_root: bool) -> None:
        """Makes the target, or makes it writable until its content is there."""
        target, mode = directory.target, stat.S_IMODE(directory.info.st_mode) | stat.S_IRWXU
        try:
            if is_root:
                os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
            os.mkdir(target, mode)
            if self._remove:
                _sync_directory(os.path.dirname(target))
        except FileExistsError:
            there = os.stat(target, follow_symlinks=is_root)
            if not stat.S_ISDIR(there.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), target) from None
            if there.st_mode & stat.S_IRWXU != stat.S_IRWXU:
                os.chmod(target, stat.S_IMODE(there.st_mode) | stat.S_IRWXU)
        self._entered.append(directory)

    def _is_shared(self, target: str, entries: list[os.DirEntry[str]]) -> bool:
        """Whether the target is there and has what is not of this tree: a home directory keeps its mode and time."""
        if self._remove:  # what is not in the source any more may be of it
            return False
        names = {name for entry in entries for name in (self._way.file(entry.name), self._way.directory(entry.name))}
        with contextlib.suppress(OSError), os.scandir(target) as there:
            return any(entry.name not in names and not self._way.may_be_old(entry.name) for entry in there)
        return False

    def _leave(self) -> None:
        """Gives directories their modes and times, which whatever is written into them would change."""
        for directory in reversed(self._entered):
            if self._shared and directory is self._entered[0]:
                continue
            times = (directory.info.st_atime_ns, directory.info.st_mtime_ns)
            with contextlib.suppress(OSError):
                os.chmod(directory.target, stat.S_IMODE(directory.info.st_mode))
                os.utime(directory.target, ns=times)
            if self._remove:
                try:
                    os.rmdir(directory.source)
                except OSError:  # something is left in it; a later run is to find its time as it was
                    with contextlib.suppress(OSError):
                        os.utime(directory.source, ns=times)

    def _clean(self, directory: _Directory, entries: list[os.DirEntry[str]]) -> None:
        """Removes what a run that was killed left half-written; what another one is writing is locked by it."""
        expected = {self._way.file(entry.name) for entry in entries}
        with contextlib.suppress(OSError), os.scandir(directory.target) as there:
            for entry in there:
                if (
                    _LEFT_BEHIND.fullmatch(entry.name)
                    and entry.name not in expected
                    and entry.is_file(follow_symlinks=False)
                    and _is_left_behind(entry.path)
                ):
                    os.unlink(entry.path)

    def _take(self, source: str, target: str, info: os.stat_result) -> None:
        """Has a file worked on: a large one now, by all threads; a small one when a thread is free."""
        if info.st_size > _SMALL or self._threads == 1:
            while self._pending:
                self._settle(self._pending.popleft().result())
            self._settle(self._file(source, target, info, self._threads, self._step(info.st_size)))
            return
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # `mmh --help` need not wait for it

            self._pool = ThreadPoolExecutor(self._threads, "mmh-file")
        while len(self._pending) >= _WAITING * self._threads:
            self._settle(self._pending.popleft().result())
        self._pending.append(self._pool.submit(self._file, source, target, info, 1, None))

    def _step(self, size: int) -> Progress | None:
        callback = self._progress
        if callback is None:
            return None

        def step(done: int, total: int | None, stored: int) -> None:
            # What is read is the source's bytes in one direction, those of the `.mmh` in the other.
            read = done if total is None or total == size else done * size // max(total, 1)
            try:
                callback(self._read + min(read, size), self._total, self._stored_bytes + stored)
            except BaseException as error:
                self._stopped = error
                raise

        return step

    def _file(self, source: str, target: str, info: os.stat_result, threads: int, step: Progress | None) -> TreeFile:
        """Works on one file; may run on another thread, and so only returns what came of it."""
        try:
            there = _lstat(target)
            overwrite = self._force
            if there is not None and not overwrite and stat.S_ISREG(there.st_mode) and self._same_time(info, there):
                sizes = self._way.finished(source, info, target, there)
                if sizes is not None and not self._remove:
                    if stat.S_IMODE(there.st_mode) != stat.S_IMODE(info.st_mode):
                        os.chmod(target, stat.S_IMODE(info.st_mode))
                    source_bytes, stored_bytes = sizes
                    return TreeFile(
                        source=source,
                        target=target,
                        skipped=True,
                        source_bytes=source_bytes,
                        stored_bytes=stored_bytes,
                        read_bytes=info.st_size,
                    )
                # A source is removed on the strength of what this run has seen alone.
                overwrite = sizes is not None
            overwrite = overwrite or self._update
            if there is not None and not overwrite:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
            report = self._way.one(source, target, threads, overwrite, step)
            if self._remove:
                remove(source, target, info)
            return TreeFile(
                source=source,
                target=target,
                report=report,
                source_bytes=report.source_bytes,
                stored_bytes=report.stored_bytes,
                read_bytes=info.st_size,
            )
        except (OSError, ValueError, _core.MmhError, MemoryError) as error:
            if error is self._stopped:  # by whoever is told of the progress
                raise
            # A ValueError is a base that is missing, or that needs a base itself.
            return TreeFile(source=source, target=target, error=error, read_bytes=info.st_size)

    def _same_time(self, one: os.stat_result, other: os.stat_result) -> bool:
        """The same modification time, as far as the target's file system keeps it."""
        apart = abs(one.st_mtime_ns - other.st_mtime_ns)
        if apart < _FINE:
            return True
        if apart >= 2 * 10**9:
            return False
        if self._granularity is None:
            self._granularity = _granularity(self._entered[0].target)
        return apart < self._granularity

    def _link(self, source: str, target: str, info: os.stat_result) -> TreeFile:
        text = self._way.text(os.readlink(source))
        leads_out = os.path.exists(source) and not _is_within(source, self._root)
        there = _lstat(target)
        if there is not None and stat.S_ISLNK(there.st_mode) and os.readlink(target) == text:
            skipped = not self._remove
        else:
            skipped = False
            if there is not None:
                if not (self._force or self._update) or stat.S_ISDIR(there.st_mode):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
                os.unlink(target)
            os.symlink(text, target)
            if os.utime in os.supports_follow_symlinks:
                os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)
        if self._remove:
            _sync_directory(os.path.dirname(target))
            os.unlink(source)
        self._links_out += leads_out
        return TreeFile(source=source, target=target, skipped=skipped, link=True)

    def _settle(self, done: TreeFile) -> None:
        """Counts what came of a file, on the thread that called, in the order of the files."""
        self._read += done.read_bytes
        self._source_bytes += done.source_bytes
        self._stored_bytes += done.stored_bytes
        if done.error is not None:
            self._failed.append(TreeFailure(done.source, done.error))
        elif done.link:
            self._links += 1
        elif done.skipped:
            self._skipped += 1
        else:
            self._files += 1
        if self._on_file is not None:
            self._on_file(done)
        if self._progress is not None:
            self._progress(self._read, max(self._total, self._read), self._stored_bytes)
        if isinstance(done.error, OSError) and done.error.errno in _HOPELESS:
            raise _HopelessError(done.error)

    def _fail(self, path: str, error: Exception) -> None:
        self._settle(TreeFile(source=path, target="", error=error))


def _is_left_behind(path: str) -> bool:
    """Whether no process holds the lock that the engine has on a file while it writes it."""
    try:
        import fcntl
    except ImportError:  # where there is none, an open file cannot be removed
        return True
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # no locks on this file system
            return time.time() - os.fstat(file.fileno()).st_mtime > _OLD
    return True


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _granularity(directory: str) -> int:
    """Nanoseconds to which a file system keeps modification times: some know whole seconds, or two of them, only."""
    written = 1_600_000_001_987_654_321
    try:
        with tempfile.NamedTemporaryFile(prefix=".mmh-", dir=directory) as file:
            os.utime(file.name, ns=(written, written))
            apart = abs(os.stat(file.name).st_mtime_ns - written)
    except OSError:  # nothing can be written there
        return _FINE
    return next((step for step in (_FINE, 10**6, 10**7, 10**9) if apart < step), 2 * 10**9)


def _is_within(path: str, directory: str) -> bool:
    inner, outer = os.path.realpath(path), os.path.realpath(directory)
    return inner == outer or inner.startswith(outer.rstrip(os.sep) + os.sep)


def _refuse_inside(source: str, target: str) -> None:
    """A mirror inside its source would be mirrored itself."""
    if _is_within(target, source):
        raise ValueError(f"the target {target!r} lies in the directory itself; name one outside of it")

"""`mmh compress` and `mmh decompress`."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from .. import _core
from .._api import LEVELS, NOT_WORTH, SUFFIX, level_number
from .._limits import NONE, Limits, engine_limits
from ._failure import WrongUsageError, failure_of
from ._opening import base_option, limits_option
from ._run import Run, uses_run
from ._targets import STREAM, Job, jobs, refuse_target, suffix_added, suffix_taken
from ._terminal import binary_stdin, binary_stdout, level_name, percent, printable, size, speed
from .parity import PercentCommand, parity_option

if TYPE_CHECKING:
    from .._api import Progress
    from .._core import CompressReport, Report
    from .._packs import PackReport
    from .._trees import TreeFile

__all__ = ["compress", "decompress"]

_LEVEL = "mmh_rs.level"


def _level_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--level L and -1 … -9; the last one given counts."""

    def named(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            try:
                context.meta[_LEVEL] = level_number(int(value) if value.isdecimal() else value)
            except ValueError as error:
                raise click.BadParameter(str(error), context, parameter) from None

    def digit(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.meta[_LEVEL] = int(parameter.opts[0][1:])

    for number in range(9, 0, -1):
        function = click.option(
            f"-{number}", f"level_{number}", is_flag=True, expose_value=False, hidden=True, callback=digit
        )(function)
    return click.option(
        "--level",
        metavar="LEVEL",
        expose_value=False,
        callback=named,
        help="fast, balanced or max, or 1 (fastest) to 9 (smallest), also as -1 … -9.  [default: balanced]",
    )(function)


def _common(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("-f", "--force", is_flag=True, help="Overwrite files; write to a terminal."),
        click.option("--rm", "remove", is_flag=True, help="Remove each source after success."),
        click.option("-T", "--threads", type=click.IntRange(min=0), default=0, metavar="N", help="0: all cores."),
        click.option("-u", "--update", is_flag=True, help="With -r, do again what has changed since."),
        click.option("-r", "--recursive", is_flag=True, help="Take directories, as a whole."),
        click.option("-c", "--stdout", "to_stdout", is_flag=True, help="Write to standard output."),
        click.option(
            "-o", "--output", metavar="OUT", help="Target; a directory for several sources or -r; - for stdout."
        ),
        click.argument("files", nargs=-1, required=True, metavar="FILE…"),
    ):
        function = option(function)
    return function


@click.command(cls=PercentCommand, short_help="Compress files to FILE.mmh.")
@uses_run
@click.option("--sha256", is_flag=True, help="Store the SHA-256 of each source, too.")
@click.option("--no-verify", is_flag=True, help="Do not read the result back and compare.")
@click.option("--pack", is_flag=True, help="Compress directories into one file each.")
@click.option("--follow", is_flag=True, help="With -r, take what symbolic links point to.")
@click.option("--codec", default="auto", metavar="CODEC", help="Use one codec throughout.  [default: auto]")
@click.option("--independent", is_flag=True, help="Store no tensor as a difference from another one of its file.")
@click.option(
    "--base", metavar="FILE", help="Store differences from FILE (or the source of FILE.mmh); with -r, from a directory."
)
@parity_option("Add parity, with which mmh repair mends damage: percent of the size, 5 without a number.")
@_level_options
@_common
def compress(
    files: Sequence[str],
    output: str | None,
    to_stdout: bool,
    recursive: bool,
    update: bool,
    threads: int,
    remove: bool,
    force: bool,
    codec: str,
    no_verify: bool,
    sha256: bool,
    follow: bool,
    pack: bool,
    independent: bool,
    base: str | None,
    parity: int | None,
    run: Run,
) -> None:
    """Compress each FILE to FILE.mmh. - is standard input.

    The source is kept, a file appears whole or not at all, and none is overwritten without -f.

    With -r a directory DIR becomes a directory DIR.mmh (or OUT) that mirrors it: each file a/b is a/b.mmh there, and
    modes, times, empty directories and symbolic links are kept, so that mmh decompress -r brings DIR back as it was.
    What an earlier run has finished is skipped (same size and time, and a whole .mmh), so that an interrupted run can
    be repeated; -u does again what has changed since, -f all. A file that fails does not stop the others. Symbolic
    links stay links and are not followed, unless with --follow; a line says how many lead out of DIR. --rm removes
    each file when its .mmh is safe on the disk.

    With --pack a directory DIR becomes one file, DIR.tar.mmh: a tar archive of it, compressed. That is smaller and
    faster for many small files, which then cannot be resumed or moved one by one; mmh decompress --unpack brings DIR
    back, and so does mmh decompress -c DIR.tar.mmh | tar x. Times are kept to the second.

    With --base, a fine-tune or the next checkpoint becomes small: tensors of the same name and shape are stored as
    differences where that is smaller. The dtype may be another one (a cast of F32 to BF16, say), there may be more rows
    than in the base, and "model." or the like before the names of one of them; how many tensors have a counterpart is
    printed. The same file is then needed to read the result. With -r the base is a directory, or the mirror of one:
    each file a/b is compressed against its a/b, or a/b.mmh, where there is one.

    Tensors that are the same weights as another one of their file or pack, in another dtype (a master and its cast) or
    some steps later (an average, the next checkpoint), are found by what is in them and stored as differences as well.
    To read one of those takes reading the other one, too; with --independent each tensor stands alone.

    A result of --json: path, target, skipped, and unless skipped source_bytes, stored_bytes, ratio, worth_it, seconds,
    format, tensors, codecs ({name: {frames, raw, stored}}), blake3, sha256, level, codec, and with --base in_base (how
    many tensors have a counterpart there). With -r each file and link has one, with link too (a symbolic link has path,
    target, skipped and link alone); with --pack each directory, with files, links, directories, ignored too. With -r
    the document has trees: source, target, files, skipped, links, links_out, directories, source_bytes, stored_bytes,
    ratio, seconds, failed (how many), ignored (paths).
    """
    # One line for a wrong name, in place of one for each file.
    if codec not in _core.CODECS:
        raise WrongUsageError(f"unknown codec {codec!r} (there are: {', '.join(_core.CODECS)})")
    if codec == "delta" and base is None:
        raise WrongUsageError("--codec delta stores differences from a base (name one with --base)")
    _check_update(update, recursive)
    if follow and remove:
        raise WrongUsageError("--follow and --rm exclude each other (what a link points to may be elsewhere)")
    level: int = click.get_current_context().meta.get(_LEVEL, LEVELS["balanced"])
    if pack:
        if recursive or remove or follow or base is not None:
            raise WrongUsageError("--pack does not go with -r, --rm, --follow or --base (it packs what is there)")
        from .._packs import _packed, pack_name
        from ._pack import packs

        def take_in(source: str, target: str | None, progress: Progress | None) -> PackReport:
            return _packed(
                source, target, codec, level, threads, not no_verify, sha256, force, progress, parity, independent
            )

        more: dict[str, Any] = {"level": level, "codec": codec}
        packs(files, pack_name, take_in, output=output, to_stdout=to_stdout, force=force, run=run, **more)
        return
    directories, named = _split(files, recursive)
    _check_base(base, directories)
    work = _planned(named, suffix_added, len(files), output, to_stdout, remove, force, run)
    if len(work) > 1 and any(job.target is None for job in work):
        raise WrongUsageError("several files cannot be compressed to one standard output (compress them one by one)")

    def one(job: Job) -> None:
        if job.source is not None and job.source.endswith(SUFFIX) and not force:
            raise WrongUsageError(f"ends in {SUFFIX} already (use -f to compress it once more)")
        with run.bars.bar(_name(job.source), _bytes_of(job.source)) as progress:
            report = _core.compress_file(
                job.source,
                job.target,
                codec,
                level,
                threads,
                not no_verify,
                sha256,
                force,
                None,
                progress,
                base,
                parity,
                independent,
            )
        ratio = report["stored_bytes"] / report["source_bytes"] if report["source_bytes"] else 1.0
        worth_it = ratio < NOT_WORTH
        _record(run, job, report, ratio=ratio, worth_it=worth_it, level=level, codec=codec)
        run.summary(
            "  ".join(
                [
                    printable(_name(job.source)),
                    f"{size(report['source_bytes'])} → {size(report['stored_bytes'])}",
                    percent(report["stored_bytes"], report["source_bytes"]),
                    speed(report["source_bytes"], report["seconds"]),
                    level_name(level),
                ]
                + (_in_base(report) if report["tensors"] else [])
                + ([] if worth_it else ["(not worth compressing)"])
            )
        )
        if report.get("in_base") == 0:
            run.remark(_name(job.source), f"no tensor has a counterpart in {base} (of the same name and shape)")

    def describe(file: TreeFile) -> dict[str, Any]:
        if file.report is None:
            return {}
        ratio = file.report.ratio
        return {
            **_fields(asdict(file.report)),
            "ratio": ratio,
            "worth_it": ratio < NOT_WORTH,
            "level": level,
            "codec": codec,
        }

    if directories:
        # What directories need is imported for them alone.
        from .._trees import compress_dir
        from ._tree import trees

        take = partial(
            compress_dir,
            base=base,
            codec=codec,
            level=level,
            threads=threads or None,
            verify=not no_verify,
            parity=parity,
            independent=independent,
            sha256=sha256,
            force=force,
            update=update,
            remove=remove,
            follow=follow,
        )
        alone = len(files) == 1
        trees(
            directories,
            suffix_added,
            take,
            alone=alone,
            output=output,
            to_stdout=to_stdout,
            describe=describe,
            run=run,
            compressing=True,
        )
    _each(work, one, base, force, remove, run)


@click.command(short_help="Restore files, byte for byte.")
@uses_run
@base_option
@limits_option
@click.option("--unpack", is_flag=True, help="Restore the directories that --pack packed.")
@_common
def decompress(
    files: Sequence[str],
    output: str | None,
    to_stdout: bool,
    recursive: bool,
    update: bool,
    threads: int,
    remove: bool,
    force: bool,
    base: str | None,
    limits: Limits | None,
    unpack: bool,
    run: Run,
) -> None:
    """Restore FILE from each FILE.mmh, byte for byte. - is standard input.

    The .mmh is kept, a file appears whole or not at all, and none is overwritten without -f. Several files to standard
    output come one after the other.

    With -r a directory DIR.mmh that mmh compress -r made becomes DIR (or OUT), as it was. What is restored already
    (same size and time) is skipped, and with -u what differs is restored again; a file that fails does not stop the
    others; files that do not end in .mmh are left out. What was compressed against a directory is restored with that,
    or a mirror of it, as --base.

    With --unpack, DIR.tar.mmh (of mmh compress --pack, or of any other tar archive) becomes DIR (or OUT), which must
    not be there yet.

    A result of --json: path, target, skipped, and unless skipped source_bytes, stored_bytes, ratio, seconds, format,
    tensors, codecs, blake3, sha256. With -r also link, and the document has trees, as mmh compress has them. With
    --unpack also files, links, directories, ignored.
    """
    _check_update(update, recursive)
    if unpack:
        if recursive or remove or force or to_stdout or output == STREAM:
            raise WrongUsageError(
                "--unpack does not go with -r, --rm, -f or standard output (name a directory with -o)"
            )
        from .._packs import unpack_dir, unpack_name
        from ._pack import packs

        def take_out(source: str, target: str | None, progress: Progress | None) -> PackReport:
            return unpack_dir(source, target, threads=threads, progress=progress, base=base, limits=limits)

        packs(files, unpack_name, take_out, output=output, to_stdout=False, force=False, run=run, unpacking=True)
        return
    directories, named = _split(files, recursive)
    _check_base(base, directories)
    work = _planned(named, suffix_taken, len(files), output, to_stdout, remove, force, run)

    def one(job: Job) -> None:
        with run.bars.bar(_name(job.source), None) as progress:
            report = _core.decompress_file(
                job.source, job.target, threads, True, force, progress, base, engine_limits(limits)
            )
        ratio = report["stored_bytes"] / report["source_bytes"] if report["source_bytes"] else 1.0
        _record(run, job, report, ratio=ratio)
        run.summary(
            "  ".join(
                [
                    printable(_name(job.source)),
                    f"{size(report['stored_bytes'])} → {size(report['source_bytes'])}",
                    speed(report["source_bytes"], report["seconds"]),
                ]
            )
        )

    def describe(file: TreeFile) -> dict[str, Any]:
        return {} if file.report is None else {**_fields(asdict(file.report)), "ratio": file.report.ratio}

    if directories:
        from .._trees import decompress_dir
        from ._tree import trees

        take = partial(
            decompress_dir,
            threads=threads or None,
            force=force,
            update=update,
            remove=remove,
            limits=limits,
            base=base,
        )
        alone = len(files) == 1
        trees(
            directories, suffix_taken, take, alone=alone, output=output, to_stdout=to_stdout, describe=describe, run=run
        )
    _each(work, one, base, force, remove, run)


def _split(paths: Sequence[str], recursive: bool) -> tuple[list[str], list[str]]:
    """Directories to be taken as a whole, and everything else."""
    directories = [path for path in paths if recursive and path != STREAM and os.path.isdir(path)]
    return directories, [path for path in paths if path not in directories]


def _check_update(update: bool, recursive: bool) -> None:
    if update and not recursive:
        raise WrongUsageError("--update is for directories (-r; a file is overwritten with -f)")


def _check_base(base: str | None, directories: Sequence[object]) -> None:
    if base is not None and directories and os.path.isfile(base):
        raise WrongUsageError("--base of a directory is a directory, too (its files are matched by their paths)")


def _planned(
    files: Sequence[str],
    rename: Callable[[str], str],
    count: int,
    output: str | None,
    to_stdout: bool,
    remove: bool,
    force: bool,
    run: Run,
) -> list[Job]:
    if output is not None and to_stdout:
        raise WrongUsageError("-c and -o exclude each other (use one of them)")
    if files.count(STREAM) > 1:
        raise WrongUsageError("standard input can be read once (name - once)")
    work = jobs(
        files,
        rename,
        several=count > 1,
        output=output,
        to_stdout=to_stdout,
        failed=lambda error, path: run.fail(_told(error, path, rename), path),
    )
    if any(job.target is None for job in work):
        if run.as_json:
            raise WrongUsageError("--json and the data cannot both go to standard output (name a file with -o)")
        if remove:
            raise WrongUsageError("--rm does not go with standard output (what arrived there cannot be checked)")
        binary_stdout(force)
    if remove and any(job.source is None for job in work):
        raise WrongUsageError("--rm does not go with standard input (there is nothing to remove)")
    return work


def _told(error: Exception, path: str, rename: Callable[[str], str]) -> Exception:
    """That a file is no `.mmh` says more than that its name does not tell what to call the result."""
    if rename is suffix_taken and isinstance(error, WrongUsageError) and os.path.isfile(path):
        from ..archive import open as open_archive

        try:
            open_archive(path, limits=NONE).close()
        except (OSError, _core.MmhError) as better:
            return better
    return error


def _each(
    work: Sequence[Job], one: Callable[[Job], None], base: str | None, force: bool, remove: bool, run: Run
) -> None:
    for job in work:
        with run.working_on(job.source or STREAM):
            if job.target is not None:
                refuse_target(job.target, force, job.source, base)
                _make_directory(os.path.dirname(job.target))
            if job.source is None:
                binary_stdin()
            before = os.lstat(job.source) if remove and job.source is not None else None
            one(job)
            if before is not None and job.source is not None and job.target is not None:
                from .._trees import remove as remove_source

                try:
                    remove_source(job.source, job.target, before)
                except OSError as error:
                    reason = failure_of(error, job.source).message
                    raise OSError(f"{job.target} is whole, but this could not be removed: {reason}") from None
                if stat.S_ISLNK(before.st_mode):
                    run.remark(job.source, "was a link: it is removed, and what it pointed to is not")


def _make_directory(path: str) -> None:
    if path:
        try:
            os.makedirs(path, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None


def _record(run: Run, job: Job, report: Report, **more: Any) -> None:
    run.result(job.source or STREAM, target=job.target, skipped=False, **_fields({**report}), **more)


def _fields(report: dict[str, Any]) -> dict[str, Any]:
    """What a result has of the engine's report; in_base with a base alone."""
    without = ("source", "target", *(["in_base"] if report.get("in_base") is None else []))
    return {key: value for key, value in report.items() if key not in without}


def _in_base(report: CompressReport) -> list[str]:
    return [f"{report['in_base']} of {report['tensors']} tensors in the base"] if "in_base" in report else []


def _name(source: str | None) -> str:
    return "standard input" if source is None else source


def _bytes_of(source: str | None) -> int | None:
    return None if source is None else os.stat(source).st_size

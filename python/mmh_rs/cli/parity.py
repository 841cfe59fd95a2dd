"""`mmh protect` and `mmh repair`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import click

from .._limits import Limits
from .._parity import PERCENT, Parity, protect, repair
from ._failure import WrongUsageError
from ._opening import base_option, limits_option, threads_option
from ._run import Run, uses_run
from ._terminal import number, printable, size, speed

__all__ = ["PercentCommand", "parity_option", "protect_", "repair_"]

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTION = "--parity"

force_option = click.option("-f", "--force", is_flag=True, help="Overwrite OUT.")


class PercentCommand(click.Command):
    """--parity may stand without a number, before a file's name, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        end = given.index("--") if "--" in given else len(given)
        for at in range(end - 1, -1, -1):
            if given[at] == _OPTION and not (at + 1 < end and given[at + 1].isdecimal()):
                given[at] = f"{_OPTION}={PERCENT}"
        return super().parse_args(ctx, given)


def parity_option(text: str, **settings: Any) -> Callable[[_F], _F]:
    return click.option(_OPTION, type=click.IntRange(1, 100), metavar="[PERCENT]", help=text, **settings)


@click.command("protect", cls=PercentCommand, short_help="Add parity to a .mmh, so that damage can be mended.")
@uses_run
@threads_option
@base_option
@force_option
@click.option("-o", "--output", metavar="OUT", help="Write there and leave FILE as it is.")
@parity_option(f"Percent of FILE's size.  [default: {PERCENT}]", default=PERCENT)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
def protect_(
    files: Sequence[str],
    parity: int,
    output: str | None,
    force: bool,
    threads: int,
    base: str | None,
    run: Run,
) -> None:
    """Add parity to each .mmh, without compressing it again. Parity that it has is replaced.

    FILE is verified first, and stays as it was until the new one is whole. mmh info states what it then survives.
    Blocks that are differences from a base can be verified with --base; without it they are protected as they are, and
    a line says how many.

    A result of --json: path, target, bytes, body_bytes, shard_bytes, groups, data_shards, recovery_shards,
    burst_bytes, promise, unchecked (blocks).
    """
    _refuse_several(files, output)
    for file in files:
        with run.working_on(file):
            with run.bars.bar(file, None) as progress:
                done = protect(
                    file, output, percent=parity, threads=threads or None, force=force, progress=progress, base=base
                )
            if done.unchecked:
                run.remark(
                    file,
                    f"{number(done.unchecked)} blocks are differences from the base, and were not verified "
                    "(--base FILE verifies them, too)",
                )
            run.result(file, target=output or file, **asdict(done))
            run.summary(f"{printable(file)}  {_promise(done)}")


@click.command("repair", short_help="Mend a damaged .mmh that has parity.")
@uses_run
@threads_option
@base_option
@limits_option
@force_option
@click.option("-o", "--output", metavar="OUT", help="Write there and leave FILE as it is.")
@click.option("--salvage", is_flag=True, help="Save what is intact to OUT: a safetensors file, or a directory.")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
def repair_(
    files: Sequence[str],
    output: str | None,
    salvage: bool,
    force: bool,
    threads: int,
    base: str | None,
    limits: Limits | None,
    run: Run,
) -> None:
    """Mend each .mmh by its parity. A file gets its name only when its hash is the one that was protected.

    Damaged, missing and moved bytes are mended as long as no more are lost than mmh info promises; if they are, nothing
    is written, and --salvage saves the tensors that are intact, with or without parity, and names the lost ones. Any
    part of FILE may be missing, the index at its end included: then the header of the original names the tensors. Into
    a directory (existing, or with a / at its end) goes all that is intact: tensors.safetensors, other bytes of the
    original, stretches whose place is not known, and a report; or, if nothing is missing, the original.

    A result of --json: path, target, sound, restored ([first byte, byte after the last], …), lost_recovery, seconds,
    and the fields of mmh protect; with --salvage path, target, saved, lost (names), bytes, indexed, source_bytes,
    ranges ([first byte, byte after the last], … of the original), unplaced (sizes), damaged (ranges of FILE), files.
    A file without parity is verified, and good if it is sound (its recovery_shards are 0). Without enough parity the
    exit code is 2, and so it is where --salvage has lost tensors, or cannot tell.
    """
    _refuse_several(files, output)
    if salvage:
        if output is None:
            raise WrongUsageError("--salvage writes another kind of file (name it with -o OUT.safetensors, or -o DIR/)")
        _salvage(files[0], output, base, threads, force, limits, run)
        return
    if limits is not None:
        raise WrongUsageError("--max-size is for --salvage: mending restores nothing")
    for file in files:
        with run.working_on(file):
            with run.bars.bar(file, None) as progress:
                done = repair(file, output, threads=threads or None, force=force, progress=progress)
            run.result(file, target=output or file, **asdict(done))
            if done.sound:
                run.summary(f"{printable(file)}  nothing to mend")
                continue
            restored = sum(end - start for start, end in done.restored)
            run.summary(
                f"{printable(file)}  mended: {number(restored)} bytes in {number(len(done.restored))} places and "
                f"{number(done.lost_recovery)} shards of parity  {speed(done.body_bytes, done.seconds)}"
            )


def _salvage(
    file: str, output: str, base: str | None, threads: int, force: bool, limits: Limits | None, run: Run
) -> None:
    from .._salvage import salvage
    from ._failure import DAMAGED, Failure

    with run.working_on(file):
        with run.bars.bar(file, None) as progress:
            done = salvage(
                file, output, base=base, threads=threads or None, force=force, progress=progress, limits=limits
            )
        run.result(file, target=output, **asdict(done))
        run.summary(f"{printable(output)}  {number(len(done.saved))} tensors, {size(done.bytes)}")
        kept = sum(stop - start for start, stop in done.ranges)
        if not done.indexed:
            whole = f" of {number(done.source_bytes)}" if done.source_bytes is not None else ""
            run.remark(
                file,
                f"the index is lost: names are from the header of the original, of which {number(kept)}{whole} bytes "
                "are intact and have a place",
            )
        if done.unplaced:
            where = "unplaced-N.bin" if done.files else "not saved (name a directory, with a / at its end)"
            run.remark(
                file,
                f"{number(sum(done.unplaced))} bytes in {number(len(done.unplaced))} places are intact, but what was "
                f"before them is lost, so that nothing tells where they belong: {where}",
            )
        for name in done.lost:
            run.fail(Failure(file, "corruption", f"tensor {name} is lost (restore it from another copy)", DAMAGED))
        if not done and not done.lost:
            what = (
                "whether there were more tensors is not known: the index is lost, and not all of the original is there"
            )
            run.fail(Failure(file, "corruption", what, DAMAGED))


def _refuse_several(files: Sequence[str], output: str | None) -> None:
    if len(files) > 1 and output is not None:
        raise WrongUsageError("-o names one file (leave it out, or give the files one by one)")


def _promise(parity: Parity) -> str:
    return f"{size(parity.bytes)} of parity: {parity.promise}"

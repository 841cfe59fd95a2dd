"""`mmh verify`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from .. import _core
from .._api import is_hash
from ._failure import DAMAGED, MENDABLE, Failure, WrongUsageError
from ._opening import base_option, limits_option, opened, threads_option
from ._run import Run, uses_run
from ._targets import STREAM
from ._terminal import number, printable, size, speed

if TYPE_CHECKING:
    from .._core import Damage, Examined
    from .._limits import Limits
    from ..archive import Header

__all__ = ["verify"]

_SHOWN = 20
"""Damaged places that are named for each file; --json names all."""


@click.command(short_help="Check every block and hash.")
@uses_run
@threads_option
@base_option
@limits_option
@click.option("--against", metavar="FILE|HASH", help="Compare what is restored with a file or a hash, too.")
@click.option("-r", "--recursive", is_flag=True, help="Take directories: every .mmh in them.")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
def verify(
    files: Sequence[str],
    threads: int,
    base: str | None,
    limits: Limits | None,
    against: str | None,
    recursive: bool,
    run: Run,
) -> None:
    """Decode every block of each .mmh and compare all checksums and hashes.

    FILE is a path, an http(s) URL, or - for standard input. Damage is named by tensor and byte; nothing is written. The
    exit code is 1 where the file's parity can mend it (mmh repair), else 2.

    With --against, what is restored has to be the same, too: as the original file, as what another .mmh restores, or as
    64 hexadecimal digits say, which are its BLAKE3 or its SHA-256. If it is not, the exit code is 2.

    With -r, every .mmh in a directory is verified, such as all of a mirror that mmh compress -r made; links are not
    followed. --base is a directory then, or the mirror of one, as it was for mmh compress -r.

    A result of --json: path, ok, source_bytes, stored_bytes, frames, tensors, seconds, and damaged, a list of {frame,
    offset, source_start, source_bytes, codec, tensor, what}; matches (null without --against, or where damage leaves it
    open); and parity: null, or {ok, mendable, lost ([first byte, byte after the last], …), lost_data, lost_recovery,
    and the fields of mmh protect}. A file whose index is damaged has path, ok and parity alone.
    """
    for file in files:
        with run.working_on(file):
            if recursive and os.path.isdir(file):
                _verify_tree(file, threads, base, limits, against, run)
            else:
                _verify(file, threads, base, limits, against, run)


def _verify_tree(
    root: str, threads: int, base: str | None, limits: Limits | None, against: str | None, run: Run
) -> None:
    from .._trees import Counterparts, mirrored_files

    if against is not None:
        raise WrongUsageError("--against is for one file (mmh diff compares two)")
    counterparts = Counterparts(base, root)
    good = bad = 0
    for path, original in mirrored_files(root, run.fail):
        before = len(run.errors)
        with run.working_on(path):
            _verify(path, threads, counterparts.of(original), limits, None, run)
        good, bad = (good + 1, bad) if len(run.errors) == before else (good, bad + 1)
    if not good + bad and not run.errors:
        raise WrongUsageError("has no .mmh in it")
    run.summary(f"{printable(root)}  {number(good)} files good" + (f", {number(bad)} not" if bad else ""))


def _verify(file: str, threads: int, base: str | None, limits: Limits | None, against: str | None, run: Run) -> None:
    try:
        with opened(file, run, base, limits) as archive:
            header = archive.header
            with run.bars.bar(file, header.source_bytes) as progress:
                found = archive.verify(threads, progress, against=against)
    except (_core.CorruptionError, _core.UnsupportedFormatError) as error:
        # Its parity may stand, and tell what else does.
        examined = _examined(file, threads, run)
        if examined is None:
            raise
        run.result(file, ok=False, parity=examined)
        run.fail(Failure(file, "corruption", f"{error} ({_advice(examined)})", _code(examined)))
        _name_lost(file, examined, run)
        return
    examined = None if header.parity is None else _examined(file, threads, run)
    ok = found.ok and (examined is None or examined["ok"])
    run.result(file, **{**asdict(found), "ok": ok}, parity=examined)
    if ok:
        run.summary(
            f"{printable(file)}  good  {size(found.source_bytes)}  {number(found.frames)} frames  "
            f"{speed(found.source_bytes, found.seconds)}"
        )
        return
    if found.matches is False:
        run.fail(Failure(file, "different", _difference(str(against), header), DAMAGED))
    for damage in found.damaged[:_SHOWN]:
        run.fail(Failure(file, "corruption", f"{_damage(damage)} ({_advice(examined)})", _code(examined)))
    hidden = len(found.damaged) - _SHOWN
    if hidden > 0:
        text = f"{number(hidden)} more damaged places (use --json for all of them)"
        run.fail(Failure(file, "corruption", text, _code(examined)))
    if examined is not None:
        if not examined["ok"]:
            _name_lost(file, examined, run)
    elif not found.damaged and found.matches is not False:
        run.fail(Failure(file, "corruption", f"damaged ({_advice(examined)})", _code(examined)))


def _examined(file: str, threads: int, run: Run) -> Examined | None:
    """What the parity says of a file, where there is one."""
    if file == STREAM or "://" in file:
        return None
    with run.bars.bar(file, None) as progress:
        return _core.examine(file, threads, progress)


def _code(examined: Examined | None) -> int:
    return MENDABLE if examined is not None and examined["mendable"] else DAMAGED


def _advice(examined: Examined | None) -> str:
    if examined is None:
        return "restore the file from another copy; mmh repair --salvage saves the tensors that are intact"
    if examined["mendable"]:
        return "mmh repair mends it"
    return "more is lost than its parity can restore: mmh repair --salvage saves the tensors that are intact"


def _name_lost(file: str, examined: Examined, run: Run) -> None:
    for start, stop in examined["lost"][:_SHOWN]:
        text = f"bytes {start} to {stop} of the file are damaged ({_advice(examined)})"
        run.fail(Failure(file, "corruption", text, _code(examined)))
    if len(examined["lost"]) > _SHOWN:
        text = f"{number(len(examined['lost']) - _SHOWN)} more damaged stretches (use --json for all of them)"
        run.fail(Failure(file, "corruption", text, _code(examined)))
    if not examined["lost"]:
        text = f"the parity is damaged or not in its place, {number(examined['lost_recovery'])} shards of it are lost"
        run.fail(Failure(file, "corruption", f"{text} ({_advice(examined)})", _code(examined)))


def _difference(against: str, header: Header) -> str:
    if is_hash(against):
        return f"restores something else than {against} (its BLAKE3 is {header.blake3 or 'not recorded'})"
    return f"restores something else than {printable(against)} (mmh diff names the tensors that differ)"


def _damage(damage: Damage) -> str:
    # Offsets without commas: they are copied into other tools.
    if damage["frame"] is None:
        return f"{damage['what']} at byte {damage['offset']}"
    start, stop = damage["source_start"], damage["source_start"] + damage["source_bytes"]
    owner = "bytes outside of tensors" if damage["tensor"] is None else f"tensor {damage['tensor']}"
    return (
        f"damaged block {damage['frame']} at byte {damage['offset']}: {owner}, original bytes {start} to {stop}, "
        f"{damage['codec']}: {damage['what']}"
    )

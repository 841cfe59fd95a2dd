"""`mmh list` and `mmh info`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from .. import _core
from .._api import level_number
from ..archive import Archive, TensorInfo
from ._failure import WrongUsageError
from ._opening import base_option, is_source, listed
from ._run import Run, uses_run
from ._terminal import level_name, number, percent, printable, size, table, value, words

if TYPE_CHECKING:
    from .._core import CodecTotal, Why

__all__ = ["info", "list_"]


@click.command("list", short_help="List the tensors of a .mmh.")
@uses_run
@base_option
@click.argument("file", metavar="FILE")
def list_(file: str, base: str | None, run: Run) -> None:
    """List the tensors of a .mmh: name, dtype, shape, original bytes, stored bytes, codec.

    FILE is a path, an http(s) URL, or - for standard input.

    The result of --json: path, source_bytes, stored_bytes, format, and tensors, of which each has name, dtype, shape,
    fortran, start, nbytes, stored, codecs, frames, blake3, copy_of.
    """
    with run.working_on(file), listed(file, run, base) as archive:
        header, infos = archive.header, archive.infos()
        run.result(
            file,
            source_bytes=header.source_bytes,
            stored_bytes=header.stored_bytes,
            format=header.format,
            tensors=[asdict(info) for info in infos],
        )
        rows = [
            [
                info.name,
                info.dtype,
                _shape(info),
                number(info.nbytes),
                "-" if info.stored is None else number(info.stored),
                percent(info.stored, info.nbytes),
                f"= {info.copy_of}" if info.copy_of is not None else "+".join(info.codecs),
            ]
            for info in infos
        ]
        tensor_bytes = sum(info.nbytes for info in infos)
        rest = header.source_bytes - tensor_bytes
        if rest:
            rows.append(["(other bytes)", "", "", number(rest), "", "", ""])
        rows.append(
            [
                f"{number(len(infos))} tensors",
                "",
                "",
                number(header.source_bytes),
                number(header.stored_bytes),
                percent(header.stored_bytes, header.source_bytes),
                "",
            ]
        )
        heads = ["name", "dtype", "shape", "bytes", "stored", "%", "codec"]
        run.show(table(heads, rows, [False, False, False, True, True, True, False]))


@click.command(short_help="Say what a .mmh holds, and why it is stored so.")
@uses_run
@click.option("--level", default="balanced", metavar="LEVEL", help="With --why, the level to plan a source file for.")
@click.option("--why", is_flag=True, help="What the plan saw in each part, what each codec bid, and the choice.")
@base_option
@click.argument("file", metavar="FILE")
def info(file: str, why: bool, level: str, base: str | None, run: Run) -> None:
    """Say what a .mmh holds: the original, sizes, hashes, codecs.

    FILE is a path, an http(s) URL, or - for standard input. With --why it may also be a file that is not compressed
    yet.

    The result of --json: path, version, name, format, source_bytes, stored_bytes, ratio, frames, tensors, blake3,
    sha256, codecs ({name: {frames, raw, stored}}), base (null, or {name, bytes, blake3, needed}), parity (null, or
    {bytes, body_bytes, shard_bytes, groups, data_shards, recovery_shards, burst_bytes, promise});
    with --why also why, a list of {name, dtype, start, bytes, stored, chosen, frames: {codec: count}, seen, bids:
    [{codec, estimate, reason}]}; chosen and frames are as stored, seen and bids are of the first block, looked at anew.
    Of a source file there are path and why alone, and nothing is stored yet: stored and frames are null.
    """
    try:
        number_of_level = level_number(int(level) if level.isdecimal() else level)
    except ValueError as error:
        raise WrongUsageError(str(error)) from None
    with run.working_on(file):
        if why and is_source(file):
            with run.bars.bar(file, None) as progress:
                explained = _core.explain_file(file, number_of_level, base, progress)
            run.result(file, why=explained)
            run.show(f"{printable(file)}, not compressed yet, planned for level {level_name(number_of_level)}\n")
            run.show(_reasons(explained))
            return
        with listed(file, run, base) as archive:
            header = archive.header
            fields = {**asdict(header), "ratio": header.ratio}
            run.show(_facts(file, archive))
            if why:
                with run.bars.bar(file, None) as progress:
                    fields["why"] = archive.why(progress)
                run.show("\n" + _reasons(fields["why"]))
            run.result(file, **fields)


def _shape(info: TensorInfo) -> str:
    return "x".join(map(str, info.shape)) + (" (Fortran)" if info.fortran else "")


def _facts(file: str, archive: Archive) -> str:
    header = archive.header
    lines = [
        printable(file),
        f"  original  {printable(header.name) or '(no name)'}, {header.format}, {number(len(archive))} tensors, "
        f"{size(header.source_bytes)} ({number(header.source_bytes)} bytes)",
        f"  stored    {size(header.stored_bytes)} ({number(header.stored_bytes)} bytes), "
        f"{percent(header.stored_bytes, header.source_bytes)}, {number(header.frames)} frames, "
        f"format version {header.version}",
        f"  BLAKE3    {header.blake3 or 'not stored'}",
        f"  SHA-256   {header.sha256 or 'not stored'}",
    ]
    if header.base is not None:
        use = "" if header.base["needed"] else ", not needed: nothing is stored as a difference from it"
        lines.append(
            f"  base      {printable(header.base['name']) or '(no name)'}, {number(header.base['bytes'])} bytes, "
            f"BLAKE3 {header.base['blake3']}{use}"
        )
    if header.parity is not None:
        lines.append(f"  parity    {number(header.parity['bytes'])} bytes: {header.parity['promise']}")
    if header.codecs:
        lines += ["", _codec_table(header.codecs)]
    return "\n".join(lines)


def _codec_table(codecs: dict[str, CodecTotal]) -> str:
    rows = [
        [
            name,
            number(total["frames"]),
            number(total["raw"]),
            number(total["stored"]),
            percent(total["stored"], total["raw"]),
        ]
        for name, total in codecs.items()
    ]
    return table(["  codec", "frames", "bytes", "stored", "%"], [["  " + row[0], *row[1:]] for row in rows], _NUMBERS)


_NUMBERS = [False, True, True, True, True]


def _reasons(explained: Sequence[Why]) -> str:
    parts = []
    for why in explained:
        title = [printable(why["name"]) if why["name"] is not None else "(bytes outside of tensors)"]
        if why["dtype"] is not None:
            title.append(why["dtype"])
        if why["stored"] is None:
            title.append(f"{number(why['bytes'])} bytes from {number(why['start'])}")
        else:
            title.append(f"{number(why['bytes'])} bytes from {number(why['start'])} → {number(why['stored'])}")
            title.append(percent(why["stored"], why["bytes"]))
        lines = ["  ".join(title)]
        seen = [f"{words(key)} {value(fact)}" for key, fact in why["seen"].items() if fact is not None]
        if seen:
            lines.append("  seen    " + ", ".join(seen))
        for bid in why["bids"]:
            mark = "←" if bid["codec"] == why["chosen"] else " "
            estimate = "-" if bid["estimate"] is None else f"{bid['estimate']:.3f}"
            lines.append(f"  bid  {mark}  {bid['codec']:<12}  {estimate:>6}  {printable(bid['reason'])}".rstrip())
        if why["frames"] is None:
            lines.append(f"  chosen  {why['chosen']}")
        else:
            frames = [f"{codec} ({number(count)})" for codec, count in why["frames"].items()]
            lines.append("  stored  " + (why["chosen"] if sum(why["frames"].values()) == 1 else ", ".join(frames)))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)

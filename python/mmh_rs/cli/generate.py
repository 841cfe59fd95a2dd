"""`mmh generate`."""

from __future__ import annotations

from dataclasses import asdict

import click

from .. import _core
from .._generate import FORMATS, TIERS, GenerateReport
from .._generate import generate as generated
from .._limits import byte_count
from ._opening import threads_option
from ._run import Run, uses_run
from ._targets import STREAM, refuse_target
from ._terminal import binary_stdout, duration, number, printable, size, speed

__all__ = ["generate"]


def _bytes(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else byte_count(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


@click.command(short_help="Make a file of weights to try things on.")
@uses_run
@threads_option
@click.option("-f", "--force", is_flag=True, help="Overwrite OUT; write to a terminal.")
@click.option("--sha256", is_flag=True, help="Tell the SHA-256 of the file.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    metavar="N",
    help="Another one gives other weights.",
    show_default=True,
)
@click.option(
    "--format", "kind", type=click.Choice(list(FORMATS)), metavar="FORMAT", help="As the suffix says, or one of these."
)
@click.option("--dtype", metavar="DTYPE", help="Of the matrices.  [default: BF16; of npy, F32]")
@click.option("--tier", type=click.Choice(list(TIERS)), metavar="TIER", help="A size that has a name.")
@click.option("--size", "count", metavar="SIZE", callback=_bytes, help="10kB, 100MB, 1GiB.  [default: 50MB]")
@click.option(
    "--like",
    type=click.Choice([name for name, _ in _core.families()]),
    default="llama",
    metavar="MODEL",
    help="Whose names and shapes.",
    show_default=True,
)
@click.argument("out", metavar="OUT")
def generate(
    out: str,
    like: str,
    count: int | None,
    tier: str | None,
    dtype: str | None,
    kind: str | None,
    seed: int,
    sha256: bool,
    force: bool,
    threads: int,
    run: Run,
) -> None:
    """Make a file of weights: names, shapes and statistics as real models have them, elements at random.

    The same options give the same bytes on every machine. Width, layers and vocabulary are chosen so that the file
    has about the size asked for, within 1 % from 1 MB on. OUT may be - for standard output.

    \b
    MODEL   llama, moe, gpt2, bert, vit, unet, resnet
    TIER    smoke (50 MB), 1 (100 MB), 2 (1 GB), 3 (2 GB), 4 (4 GB), 5 (8 GB),
            6 (16 GB), 7 (32 GB)
    DTYPE   BF16, F16, F32; not in GGUF: F64, F8_E4M3, F8_E5M2, I8;
            in GGUF alone: Q8_0, Q4_0
    FORMAT  safetensors, npy (one array), gguf, pt (as torch.save writes it)

    The result of --json: path, like, dtype, format, seed, bytes, asked_bytes, tensors, elements, width, layers, rows,
    rows_name (vocabulary, classes or text_width), seconds, sha256 (null without --sha256).
    """
    stream = out == STREAM
    with run.working_on(out):
        if stream:
            binary_stdout(force)
        else:
            refuse_target(out, force)
        with run.bars.bar(out, None) as progress:
            made = generated(
                None if stream else out,
                like=like,
                size=count,
                tier=tier,
                dtype=dtype,
                format=kind,
                seed=seed,
                threads=threads or None,
                sha256=sha256,
                force=force,
                progress=progress,
            )
        fields = asdict(made)
        del fields["target"]
        if not stream or not run.as_json:
            run.result(out, **fields)
        run.summary(_summary(out, made))
        if sha256 and not stream:
            run.show(f"{made.sha256}  {printable(out)}")


def _summary(out: str, made: GenerateReport) -> str:
    of = f"{made.like}, {made.dtype}, {number(made.tensors)} tensors, {_short(made.elements)} parameters"
    sizes = f"width {made.width}, layers {made.layers}, {made.rows_name.replace('_', ' ')} {number(made.rows)}"
    took = f"{duration(made.seconds)}, {speed(made.bytes, made.seconds)}"
    shape = "" if made.format == "npy" else f"  {sizes}"
    return f"{printable(out)}  {size(made.bytes)} ({number(made.bytes)} bytes)  {of}{shape}  {took}"


def _short(count: int) -> str:
    """ "6.7 G", "22.7 M"."""
    for unit, power in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= power:
            return f"{count / power:.1f} {unit}"
    return str(count)

"""`mmh validate`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from .._limits import Limits
from .._validate import VERDICTS, Proof, TensorValidation, Validation
from .._validate import validate as validated
from ._failure import DAMAGED, Failure, WrongUsageError
from ._opening import base_option, limits_option, threads_option
from ._run import Run, uses_run
from ._targets import STREAM, refuse_report
from ._terminal import level_name, number, percent, printable, size, speed, table

__all__ = ["validate"]


@click.command(short_help="Look at every tensor, and prove that all comes back.")
@uses_run
@threads_option
@base_option
@limits_option
@click.option("-f", "--force", is_flag=True, help="Overwrite the report.")
@click.option("--report", "target", metavar="OUT.html", help="Write a page with histograms as well.")
@click.option(
    "--proof",
    type=click.Choice(["all", "levels", "none"]),
    default="all",
    metavar="WHAT",
    help="all, levels or none.",
    show_default=True,
)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
def validate(
    files: Sequence[str],
    proof: str,
    target: str | None,
    force: bool,
    threads: int,
    base: str | None,
    limits: Limits | None,
    run: Run,
) -> None:
    """Say of every tensor of each FILE what it looks like, and why; then prove that all of it comes back.

    FILE is a path or an http(s) URL: safetensors, GGUF, PyTorch, ONNX, HDF5, …, or an .mmh, of which the original
    counts. Every element is looked at. Verdicts: trained, fresh (as made before training), synthetic (made by a rule),
    constant, quantized, data (integers that count something), unknown (too few elements), corrupt (NaN, infinities,
    noise, holes).

    The proof compresses all of the file at each level and with every codec, into a temporary file (in $TMPDIR),
    decompresses it and compares every bit. --proof levels leaves the codecs out.

    The exit code is 2 where a tensor looks corrupt, an .mmh is damaged, or a bit does not come back.

    A result of --json: path, ok, format, source_bytes, packed, other_bytes, generated (says that mmh generate made it),
    verdicts ({verdict: how many}), proofs ([{codec, level, source_bytes, stored_bytes, ratio, compress_seconds,
    decompress_seconds, equal, differs}]), and tensors, of which each has name, dtype, shape, bytes, verdict, reason,
    equals (an earlier tensor), scales (the numbers are those of blocks), count, min, max, mean, std, kurtosis, nan,
    infinite, zeros, distinct, byte_entropy, exponent_entropy, exponent_bits, period, upcast_from, upcast_share,
    exponents ([field, how many]), histogram (low, high, counts, below, above).
    """
    if target is not None:
        try:
            refuse_report(target, force, files)  # now, rather than after minutes
        except (OSError, ValueError, WrongUsageError) as error:
            run.fail(error, target)
            return
    results: list[tuple[str, Validation]] = []
    for file in files:
        with run.working_on(file):
            if file == STREAM:
                raise WrongUsageError("standard input is read once (name a file)")
            with run.bars.bar(file, None) as progress:
                found = validated(
                    file, proof=proof, threads=threads or None, progress=progress, limits=limits, base=base
                )
            results.append((file, found))
            run.result(file, **_fields(found))
            run.show(("" if file == files[0] else "\n") + _text(file, found))
            _judge(file, found, run)
    if target is not None and results:
        from .._page import write_page
        from .._validation_page import page

        with run.working_on(target):
            write_page(target, page(results), force, files)
            run.summary(f"{printable(target)}  written")


def _judge(file: str, found: Validation, run: Run) -> None:
    for proof in found.proofs:
        if not proof.equal:
            text = f"{proof.codec} at level {proof.level}: byte {proof.differs} did not come back (please report it)"
            run.fail(Failure(file, "internal", text, DAMAGED))
    corrupt = [tensor for tensor in found.tensors if tensor.verdict == "corrupt"]
    if corrupt:
        first = f"{corrupt[0].name}: {corrupt[0].reason}"
        more = f", and {len(corrupt) - 1} more" if len(corrupt) > 1 else ""
        text = f"looks corrupt: {first}{more} (fetch it again, or ask who made it)"
        run.fail(Failure(file, "corruption", text, DAMAGED))


def _fields(found: Validation) -> dict[str, Any]:
    return {
        "ok": bool(found),
        "format": found.format,
        "source_bytes": found.source_bytes,
        "packed": found.packed,
        "other_bytes": found.other_bytes,
        "generated": found.generated,
        "verdicts": found.verdicts,
        "proofs": [{**asdict(proof), "ratio": proof.ratio, "equal": proof.equal} for proof in found.proofs],
        "tensors": [asdict(tensor) for tensor in found.tensors],
    }


_HEADS = ["name", "dtype", "shape", "looks", "mean", "std", "min", "max", "exponent", "why"]
_NUMERIC = [False, False, False, False, True, True, True, True, True, False]


def _text(file: str, found: Validation) -> str:
    kinds = Counter(tensor.dtype for tensor in found.tensors)
    dtypes = ", ".join(f"{count} {dtype}" for dtype, count in kinds.most_common())
    what = f"{found.format}{' in an .mmh' if found.packed else ''}"
    parts = [f"{printable(file)}  {size(found.source_bytes)}  {what}  {dtypes or 'no tensors'}"]
    if found.tensors:
        parts.append(table(_HEADS, [_row(tensor) for tensor in found.tensors], _NUMERIC))
        told = [f"{number(found.verdicts[verdict])} {verdict}" for verdict in VERDICTS if found.verdicts[verdict]]
        parts.append("looks: " + ", ".join(told))
    if found.generated:
        parts.append("the file says that mmh generate made it")
    if found.proofs:
        heads = ["proof", "stored", "%", "compress", "decompress", ""]
        rows = [_proof_row(proof) for proof in found.proofs]
        parts.append(table(heads, rows, [False, True, True, True, True, False]))
    return "\n\n".join(parts)


def _row(tensor: TensorValidation) -> list[str]:
    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:.3g}"

    entropy = "" if tensor.exponent_entropy is None else f"{tensor.exponent_entropy:.2f}"
    return [
        tensor.name,
        tensor.dtype,
        "x".join(map(str, tensor.shape)) or "scalar",
        tensor.verdict,
        *map(shown, (tensor.mean, tensor.std, tensor.min, tensor.max)),
        entropy,
        "; ".join([tensor.reason, *notes(tensor)]),
    ]


def notes(tensor: TensorValidation) -> list[str]:
    """What else is to be said about a tensor."""
    told = []
    if tensor.upcast_from is not None and tensor.upcast_share is not None and tensor.verdict != "constant":
        share = "" if tensor.upcast_share == 1 else f"{100 * tensor.upcast_share:.3g} % of its rows "
        told.append(f"{share}upcast from {tensor.upcast_from}")
    if tensor.equals is not None:
        told.append(f"equals {tensor.equals}")
    if tensor.zeros and tensor.count and 0.01 * tensor.count < tensor.zeros < tensor.count:
        told.append(f"{percent(tensor.zeros, tensor.count)} zeros")
    if tensor.scales:
        told.append("numbers are of its scales")
    return told


def way(proof: Proof) -> str:
    """ "balanced", "zstd"."""
    return level_name(proof.level) if proof.codec == "auto" else f"codec {proof.codec}"


def _proof_row(proof: Proof) -> list[str]:
    return [
        way(proof),
        size(proof.stored_bytes),
        percent(proof.stored_bytes, proof.source_bytes),
        speed(proof.source_bytes, proof.compress_seconds),
        speed(proof.source_bytes, proof.decompress_seconds),
        "every bit comes back" if proof.equal else f"byte {proof.differs} differs",
    ]

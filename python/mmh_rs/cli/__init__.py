"""The command `mmh`."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import click

from .. import _core
from ._failure import FAILED, INTERRUPTED, USAGE, Failure, failure_of
from ._run import document, print_failure

__all__ = ["main"]

# Each command with its module, its name there and what it does, in the order of use. The module is imported when it is
# needed, which is not for the list of them all.
_COMMANDS = {
    "compress": ("compress", "compress", "Compress files to FILE.mmh."),
    "decompress": ("compress", "decompress", "Restore files, byte for byte."),
    "list": ("show", "list_", "List the tensors of a .mmh."),
    "info": ("show", "info", "Say what a .mmh holds, and why it is stored so."),
    "verify": ("verify", "verify", "Check every block and hash."),
    "protect": ("parity", "protect_", "Add parity to a .mmh, so that damage can be mended."),
    "repair": ("parity", "repair_", "Mend a damaged .mmh that has parity."),
    "cat": ("cat", "cat", "Write the bytes of one tensor."),
    "diff": ("diff", "diff", "Say which tensors of two files differ, and how much."),
    "estimate": ("estimate", "estimate", "Say what compressing would save, and how long it takes."),
    "generate": ("generate", "generate", "Make a file of weights to try things on."),
    "validate": ("validate", "validate", "Look at every tensor, and prove that all comes back."),
    "bench": ("bench", "bench", "Measure this and other compressors on your files."),
    "doctor": ("doctor", "doctor", "Say what this machine and installation offer."),
    "menu": ("menu", "menu", "Be asked what to do, step by step."),
}

_EPILOG = """\b
Exit codes:
    0  good
    1  damaged, but mendable
    2  damaged beyond mending
    3  not an MMH file, or of a version or size that this one does not read
    4  an input or output error (a closed pipe: without a word)
   64  wrong usage
  130  interrupted (Ctrl-C, SIGTERM, SIGHUP)
Of several files, all are tried, and the highest code is returned.
(mmh diff --exit-code returns 1 where the files differ; mmh validate 2 where a
tensor looks corrupt.)

\b
Errors are lines "mmh: <path>: <what> (<what to do>)" on standard error.
--json prints {"schema", "command", "version", "exit_code", "results", "errors"};
each error has path, kind, message and exit_code.
"""


class _Group(click.Group):
    """Errors as one line and an exit code; click by itself answers closed pipes and Ctrl-C with codes of its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f".{module}", __name__), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException):
            raise
        except BrokenPipeError:
            raise click.exceptions.Exit(FAILED) from None
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get("MMH_TRACEBACK"):
                raise
            failure = failure_of(error, None)
            print_failure(failure)
            raise click.exceptions.Exit(failure.exit_code) from None


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
    invoke_without_command=True,
)
@click.version_option(_core.__version__, prog_name="mmh", message="%(prog)s %(version)s")
@click.pass_context
def mmh(context: click.Context) -> None:
    """Make model weights and other AI tensors smaller, without losing a bit."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `mmh`.

    Args:
        arguments: the command line after the program's name; None takes `sys.argv`.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    with _terminating():
        try:
            code = mmh.main(words, prog_name="mmh", standalone_mode=False)
            return _flushed(code if isinstance(code, int) else 0)
        except click.ClickException as error:
            return _flushed(_wrong_usage(error, words))
        except (click.exceptions.Abort, KeyboardInterrupt):
            return INTERRUPTED
        except OSError as error:
            # Standard output takes nothing more of a help text.
            print_failure(failure_of(error, None))
            return _muted(FAILED)
        except SystemExit as ended:
            # click itself ends so when the pipe is closed while it prints a help text (1), or completes words (0).
            return FAILED if ended.code else 0


def _wrong_usage(error: click.ClickException, words: Sequence[str]) -> int:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "mmh"
    message = " ".join(error.format_message().split()).rstrip(".")
    failure = Failure(None, "usage", f"{message} (see {path} --help)", USAGE)
    print_failure(failure)
    if "--json" in words:
        command = context.command.name if context is not None and context.parent is not None else None
        click.echo(document(command, USAGE, [], [failure]))
    return USAGE


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """SIGTERM and a terminal that is closed end the work as Ctrl-C does, and what a stream cannot show is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if threading.current_thread() is not threading.main_thread():
        yield  # whoever calls us there handles signals
        return
    ends = [signal.SIGTERM]
    # nohup has it ignored.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ends.append(signal.SIGHUP)
    before = [(end, signal.signal(end, signal.default_int_handler)) for end in ends]
    try:
        yield
    finally:
        for end, handler in before:
            signal.signal(end, handler)


def _flushed(code: int) -> int:
    """What is still buffered is written here, where a closed pipe can be told from other ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        return _muted(code or FAILED)
    except OSError as error:
        print_failure(failure_of(error, None))
        return _muted(max(code, FAILED))
    return code


def _muted(code: int) -> int:
    """Python flushes once more when it exits; that goes nowhere."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code

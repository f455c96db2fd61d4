"""The command-line application: all commands, and how errors and interrupts end.

Exit codes: 0 all well, 1 some runs failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from eibench.cli.check import check
from eibench.cli.console import (
    flush_streams,
    is_user_error,
    prepare_streams,
    print_warnings,
    say,
)
from eibench.cli.cost import cost
from eibench.cli.data import data_app
from eibench.cli.doctor import doctor
from eibench.cli.evaluate import evaluate
from eibench.cli.export import export
from eibench.cli.help import HelpGroup, epilog
from eibench.cli.importing import import_app
from eibench.cli.init import init
from eibench.cli.listing import list_app
from eibench.cli.plot import plot
from eibench.cli.profile import profile
from eibench.cli.report import report
from eibench.cli.results import results_app
from eibench.cli.run import probe, run
from eibench.cli.search import search
from eibench.cli.show import show
from eibench.cli.speed import speed
from eibench.cli.status import status
from eibench.cli.submit import submit
from eibench.cli.tables import tables
from eibench.cli.verify import verify
from eibench.errors import UserError, printable, remark_listeners, shorten
from eibench.version import __version__

BAD_INPUT = 2
INTERRUPTED = 130
LONGEST_USAGE = 500
"""Maximal length in characters of a usage error, which may quote the command line."""


class _Group(HelpGroup):
    """Command group that turns user errors into messages and interrupts into an exit code."""

    def make_context(self, *words: Any, **options: Any) -> Any:
        with _bounded_usage_errors():
            return super().make_context(*words, **options)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _bounded_usage_errors(), interrupted_by_termination():
                return super().invoke(ctx)
        except UserError as error:
            raise _bad_input(str(error)) from None
        except KeyboardInterrupt:
            say("interrupted; run the same command again to resume", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except BaseException as error:
            if (message := _message(error)) is None:
                raise
            raise _bad_input(message) from None


@contextmanager
def interrupted_by_termination() -> Iterator[None]:
    """Take SIGTERM, with which batch systems end a job, as an interrupt: locks are released.

    Under torchrun it kills, since a process may wait for one that is gone.
    """
    alone = "TORCHELASTIC_RUN_ID" not in os.environ
    if not (alone and threading.current_thread() is threading.main_thread()):
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _bad_input(text: str) -> typer.Exit:
    """Print an error message; return the exit to raise."""
    for line in text.split("\n"):
        say(f"error: {line}", err=True)
    return typer.Exit(BAD_INPUT)


def _message(error: BaseException) -> str | None:
    """Return the message of an error in a plugin, a disk or a file; None for any other error."""
    plugins = sys.modules.get("eibench.plan.plugins")  # not loaded: no plugin can be at fault
    message = plugins.plugin_error(error) if plugins else None
    if message is None and isinstance(error, OSError) and is_user_error(error):
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return None if message is None else str(UserError(message))


@contextmanager
def _bounded_usage_errors() -> Iterator[None]:
    """Shorten the message of a usage error; it may quote the whole command line."""
    try:
        yield
    except Exception as error:
        usage: Any = error
        if hasattr(error, "exit_code") and isinstance(getattr(error, "message", None), str):
            usage.message = shorten(printable(usage.message), LONGEST_USAGE)
        raise


def _version(asked: bool) -> None:
    if asked:
        say(f"eibench {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=epilog(),
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Can inhibition replace normalization? Suites of spiking networks, run and reported."""
    if _print_remark not in remark_listeners:
        remark_listeners.append(_print_remark)


def _print_remark(text: str) -> None:
    """Print a plugin's remark on stderr, apart from the results of a command."""
    say(text, err=True)


COMMANDS: tuple[Callable[..., None], ...] = (
    *(run, init, probe, search, submit, status),
    *(evaluate, export, report, plot, tables, verify),
    *(show, check, cost, profile, doctor),
)
for command in COMMANDS:
    app.command(epilog=epilog(command.__name__))(command)
app.add_typer(list_app, name="list", epilog=epilog("list"))
app.add_typer(data_app, name="data", epilog=epilog("data"))
app.add_typer(results_app, name="results", epilog=epilog("results"))
app.add_typer(import_app, name="import", epilog=epilog("import"))
data_app.command()(speed)


def main() -> None:
    """Run the `eibench` command."""
    reduce_gc_overhead()
    print_warnings()
    os.environ["MPLBACKEND"] = "agg"  # a backend for files, which needs no display
    prepare_streams()
    try:
        app()
    finally:
        flush_streams()


def reduce_gc_overhead() -> None:
    """Collect garbage rarely, and skip the collection at exit.

    By default Python collects after every few hundred new objects and at exit. The imported
    libraries make hundreds of thousands, none of them garbage; scanning them costs about a second
    at the start and another at exit.
    """
    gc.set_threshold(50_000, 50)
    atexit.register(gc.freeze)
